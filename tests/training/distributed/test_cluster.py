"""Ray as the trainers use it: what listens, who gets in, what stays behind, and what is said when it fails."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import torch

from lancelet import LanceletError
from lancelet.training.distributed import cluster, ray_folders, ray_token
from lancelet.training.distributed.cluster import check_address, connected
from lancelet.training.evolution import workers
from lancelet.training.evolution.workers import parallel

TOKEN = ray_token.Token("f" * 64, "the test")
INTRUDER = """
import sys
import ray
ray.init(address=sys.argv[1], log_to_driver=False)
print("in:", ray.get(ray.remote(lambda: 1).remote()))
"""
RAY_KEEPS_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_NUM_REDIS_GET_RETRIES": "1"}
"""of a process that joins a pool on 127.0.0.1: else Ray asks the machine's outer address; and fails at the first try"""


def about(item):
    if item == "fault":
        raise ValueError("a fault of its own")
    time.sleep(0.3 if item == 0 else 0.0)  # the first is done last
    return item, torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]


def meet(paths):
    """Wait for another process that runs at the same time; this one's number."""
    own, other = paths
    own.touch()
    end = time.monotonic() + 60
    while not other.exists() and time.monotonic() < end:
        time.sleep(0.01)
    return os.getpid() if other.exists() else None


@pytest.fixture
def folders(monkeypatch):
    """Where the pools of a test have their folders: not among those of other processes."""
    root = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    monkeypatch.setattr(ray_folders, "root", lambda: root)
    yield root
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="module")
def home():
    """The home folder of this process and its children, empty at first."""
    before = os.environ.get("HOME")
    folder = Path(tempfile.mkdtemp())
    os.environ["HOME"] = str(folder)
    yield folder
    os.environ.pop("HOME") if before is None else os.environ.update(HOME=before)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def ray(home):
    """A pool of two; its token is known to the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_token, "new_token", lambda: TOKEN)
        # What another file's tests may have left in this process is not ours.
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
            patch.delenv(name, raising=False)
        with connected(2) as module:
            yield module


@pytest.fixture
def address(ray):
    return ray.get_runtime_context().gcs_address


def session_processes():
    """This process and those of the pools that it has started."""
    return [psutil.Process(), *psutil.Process().children(recursive=True)]


@pytest.mark.slow
def test_everything_listens_on_this_machine_only(ray):
    assert ray.get(ray.remote(about).remote(1))[0] == 1, "its workers are there, and listen too"
    found = {}
    for process in session_processes():
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                found[process.name(), connection.laddr.port] = connection.laddr.ip.removeprefix(
                    "::ffff:"
                )
    assert len(found) >= 4, "the head, the node and workers listen"
    assert set(found.values()) == {"127.0.0.1"}, found


@pytest.mark.parametrize(
    "variables",
    [{"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "wrong"}],
)
def test_a_process_without_the_token_does_not_get_in(address, variables):
    done = subprocess.run(
        [sys.executable, "-P", "-c", INTRUDER, address],
        env={**os.environ, **RAY_KEEPS_LOOPBACK, **variables}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode != 0 and "in:" not in done.stdout
    assert "token is missing or incorrect" in done.stderr


def test_a_process_with_the_token_does(address):
    done = subprocess.run(
        [sys.executable, "-P", "-c", INTRUDER, address],
        env={**os.environ, **RAY_KEEPS_LOOPBACK, **TOKEN.variables}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.strip() == "in: 1", done.stderr


def test_the_token_stands_in_no_file_no_command_line_and_not_in_our_environment(ray, home):
    assert "RAY_AUTH_TOKEN" not in os.environ and "RAY_AUTH_MODE" not in os.environ
    for process in session_processes():
        assert not any(TOKEN.secret in word for word in process.cmdline())
    assert {path.name for path in home.iterdir()} <= {".cache", ".config"}, (
        "matplotlib's, in workers"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("token", "message"),
    [
        (
            None,
            "wants a token, and there is none (variable RAY_AUTH_TOKEN, or file ~/.ray/auth_token",
        ),
        ("wrong", "wants another token than that of variable RAY_AUTH_TOKEN"),
    ],
)
def test_a_cluster_that_wants_another_token_is_one_line(address, monkeypatch, token, message):
    for name, value in RAY_KEEPS_LOOPBACK.items():
        monkeypatch.setenv(name, value)
    if token is not None:
        monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    with pytest.raises(LanceletError, match=re.escape(message)) as caught:
        cluster._admission(address)
    assert "\n" not in str(caught.value)


JOINS = """
from lancelet.training.distributed.cluster import connected
with connected(1, {address!r}) as ray:
    print("slots:", ray.cluster_resources()["CPU"])
"""


@pytest.mark.slow
def test_joining_says_which_token_it_used(address, tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKEN.secret)
    file.chmod(0o644)
    environment = {**os.environ, **RAY_KEEPS_LOOPBACK, "RAY_AUTH_TOKEN_PATH": str(file)}
    done = subprocess.run(
        [sys.executable, "-c", JOINS.format(address=address)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.strip() == "slots: 2.0", done.stderr
    assert f"token of file {file} (other users may read it: chmod 600 {file})" in done.stderr


@pytest.mark.slow
def test_a_pool_works_side_by_side_and_in_order(ray, tmp_path):
    assert ray.cluster_resources()["CPU"] == 2
    found = list(parallel(about, range(4)))
    assert ray.is_initialized(), "a pool within a pool is the same, and stays"
    assert [item for item, *_ in found] == [0, 1, 2, 3]
    assert {(threads, variable) for _, threads, variable in found} == {(1, "1")}
    with pytest.raises(ValueError, match="a fault of its own"):
        list(parallel(about, [1, "fault"]))
    marks = (tmp_path / "a", tmp_path / "b")
    numbers = set(parallel(meet, [marks, marks[::-1]]))
    assert len(numbers) == 2 and not numbers & {None, os.getpid()}


# From here on no pool of the module may be there: these start their own.


@pytest.fixture
def no_pool(ray):
    """The module's pool has ended, and so it stays."""
    if ray.is_initialized():
        ray.shutdown()


@pytest.mark.slow
def test_a_pool_that_ends_takes_folder_processes_and_token_with_it(no_pool, folders, monkeypatch):
    from ray._raylet import AuthenticationMode, get_authentication_mode

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    children = {child.pid for child in psutil.Process().children(recursive=True)}
    with connected(1) as ray:
        assert len(list(folders.glob("lancelet-ray-*/r/session_latest/logs"))) == 1
        assert [path.stat().st_mode & 0o077 for path in folders.iterdir()] == [0], (
            "nobody else enters it"
        )
        assert get_authentication_mode() == AuthenticationMode.TOKEN
        assert os.environ["RAY_AUTH_MODE"] == "disabled", "the environment is as it was"
    assert not ray.is_initialized() and not list(folders.iterdir())
    assert get_authentication_mode() == AuthenticationMode.DISABLED
    left = [
        child for child in psutil.Process().children(recursive=True) if child.pid not in children
    ]
    assert not psutil.wait_procs(left, timeout=8)[1]


DIES_IN_WORKERS = """
import sys
with open("/proc/self/cmdline") as file:
    if "default_worker.py" in file.read():
        sys.exit("no worker starts here")
"""


@pytest.mark.slow
def test_a_pool_whose_workers_do_not_come_up_gives_up_and_says_why(
    no_pool, folders, monkeypatch, tmp_path
):
    (tmp_path / "sitecustomize.py").write_text(DIES_IN_WORKERS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(cluster, "WORKER_SECONDS", 6)
    with (
        pytest.raises(
            LanceletError,
            match=r"workers \(this machine\) did not come up within 6 s: .*no worker starts",
        ),
        connected(1),
    ):
        pass
    assert not list(folders.iterdir())


@pytest.mark.slow
def test_a_machine_without_memory_is_said_and_not_tried_for_ever(no_pool, folders, monkeypatch):
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.001")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "50")
    monkeypatch.setattr(workers, "TRIES", 2)
    # Ray kills whatever it finds running: the item's workers, or already the one that shows that workers come up.
    over_items = r"2 workers died over the same item; the last: .*OutOfMemoryError\); fewer workers would need less"
    at_the_start = r"Ray's workers .* do not come up: .*low on memory"
    with pytest.raises(LanceletError, match=f"{over_items}|{at_the_start}") as caught, connected(1):
        list(parallel(time.sleep, [600], workers=1))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["", "localhost", ":6379", "localhost:", "localhost:http"])
def test_what_is_no_address_is_refused_at_once(address):
    with pytest.raises(LanceletError, match="must be host:port of a Ray cluster's head"):
        check_address(address)


def test_a_closed_port_fails_at_once_in_one_line(no_pool):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    begun = time.monotonic()
    with (
        pytest.raises(
            LanceletError, match=rf"address = '{address}' does not answer: .*ray start --head"
        ) as caught,
        connected(1, address),
    ):
        pass
    assert time.monotonic() - begun < 60 and "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_port_that_listens_and_says_nothing_fails_within_30_seconds(no_pool):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address, begun = f"127.0.0.1:{server.getsockname()[1]}", time.monotonic()
        with (
            pytest.raises(
                LanceletError, match=f"{address}.*no Ray cluster answered within 22 s"
            ) as caught,
            connected(1, address),
        ):
            pass
    assert time.monotonic() - begun < 60 and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [RuntimeError, Exception])
def test_what_ray_says_of_a_bad_start_becomes_one_line(no_pool, monkeypatch, folders, kind):
    import ray

    def refuse(**settings):
        raise kind("Version mismatch: 3.11 here\nand 3.12 there")

    monkeypatch.setattr(ray, "init", refuse)
    with (
        pytest.raises(
            LanceletError,
            match=r"^Ray does not start \(this machine\): Version mismatch: 3.11 here$",
        ),
        connected(1),
    ):
        pass
    assert not list(folders.iterdir())

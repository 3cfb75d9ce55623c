import os
import socket
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import torch

from lancelet import LanceletError
from lancelet.training import cluster
from lancelet.training.cluster import check_address, connected, parallel


def about(item):
    if item == "fault":
        raise ValueError("a fault of its own")
    time.sleep(0.3 if item == 0 else 0.0)  # the first is done last
    return item, torch.get_num_threads(), os.environ["OMP_NUM_THREADS"], os.getpid()


@pytest.fixture
def homes(monkeypatch):
    """Session folders of the pools that the test starts."""
    make, made = tempfile.mkdtemp, []

    def remember(*args, **kwargs):
        made.append(Path(make(*args, **kwargs)))
        return str(made[-1])

    monkeypatch.setattr(cluster.tempfile, "mkdtemp", remember)
    return made


@pytest.mark.slow
def test_a_pool_works_side_by_side_and_leaves_nothing_behind(homes):
    children = {child.pid for child in psutil.Process().children(recursive=True)}
    with connected(2) as ray:
        assert ray.cluster_resources()["CPU"] == 2
        found = list(parallel(about, range(4)))
        assert ray.is_initialized(), "a pool within a pool is the same, and stays"
        with pytest.raises(ValueError, match="a fault of its own"):
            list(parallel(about, [1, "fault"]))
        assert list(homes[0].glob("session_*")) and len(homes) == 1
    assert [item for item, *_ in found] == [0, 1, 2, 3]
    assert {(threads, variable) for _, threads, variable, _ in found} == {(1, "1")}
    assert os.getpid() not in {pid for *_, pid in found} and len({pid for *_, pid in found}) == 2
    assert not ray.is_initialized() and not homes[0].exists()
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in children]
    assert not psutil.wait_procs(left, timeout=8)[1]


@pytest.mark.parametrize("address", ["", "localhost", ":6379", "localhost:", "localhost:http"])
def test_what_is_no_address_is_refused_at_once(address):
    with pytest.raises(LanceletError, match="must be host:port of a Ray cluster's head"):
        check_address(address)


def test_a_closed_port_fails_at_once_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    begun = time.monotonic()
    with (
        pytest.raises(LanceletError, match=rf"address = '{address}' does not answer: .*ray start --head") as caught,
        connected(1, address),
    ):
        pass
    assert time.monotonic() - begun < 10 and "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_port_that_listens_and_says_nothing_fails_within_30_seconds():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address, begun = f"127.0.0.1:{server.getsockname()[1]}", time.monotonic()
        with (
            pytest.raises(LanceletError, match=f"{address}.*no Ray cluster answered within 22 s") as caught,
            connected(1, address),
        ):
            pass
    assert time.monotonic() - begun < 30 and "\n" not in str(caught.value)


def test_what_ray_says_of_a_bad_start_becomes_one_line(monkeypatch, homes):
    import ray

    def refuse(**settings):
        raise RuntimeError("Version mismatch: 3.11 here\nand 3.12 there")

    monkeypatch.setattr(ray, "init", refuse)
    with (
        pytest.raises(LanceletError, match=r"^Ray does not start \(this machine\): Version mismatch: 3.11 here$"),
        connected(1),
    ):
        pass
    assert not homes[0].exists()

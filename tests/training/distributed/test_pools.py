"""Workers that die: the pool says so, goes on, and leaves nothing behind."""

import ctypes
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import psutil
import pytest

from lancelet import LanceletError
from lancelet.training.distributed import calls, local_worker, pools, ray_pool
from lancelet.training.distributed.pools import Call, Cluster, Local, pool


def triple(x):
    return 3 * x


def fall(how):
    if how == "segfault":
        ctypes.string_at(0)
    if how == "raise":
        raise ValueError("no good")
    if how == "hang":
        while True:
            pass
    if how == "memory":
        return len(bytearray(3 * 2**30))
    if how == "unsendable":
        return lambda: None
    os.kill(os.getpid(), signal.SIGKILL)
    return None


def hang_at(path):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    fall("hang")


def nap(seconds):
    time.sleep(seconds)
    return os.getpid()


def stop_at(path):
    """Write the number of this process, and stop it."""
    Path(path).write_text(str(os.getpid()))
    os.kill(os.getpid(), signal.SIGSTOP)


def terminate(_):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


def gather(crew, count, limit=240.0):
    found, end = {}, time.monotonic() + limit
    while len(found) < count and time.monotonic() < end:
        found |= {outcome.key: outcome for outcome in crew.outcomes(0.2)}
    return found


def call(function, argument, seconds=30.0, memory=None):
    return Call(function, argument, seconds, memory)


@pytest.fixture(scope="module")
def local():
    with pool(2) as crew:
        yield crew


def test_values_come_back(local):
    for key in range(5):
        local.submit(key, call(triple, key))
    assert {key: one.value for key, one in gather(local, 5).items()} == {
        key: 3 * key for key in range(5)
    }


@pytest.mark.slow
def test_every_way_to_fall_is_told_and_the_pool_goes_on(local):
    for key, how in enumerate(("segfault", "raise", "hang", "memory", "unsendable", "kill")):
        local.submit(
            key, call(fall, how, 1.0 if how == "hang" else 30.0, 2**30 if how == "memory" else None)
        )
    local.submit(6, call(triple, 2))
    found = gather(local, 7)
    assert (
        found[0].died == "its process ended by SIGSEGV"
        and found[5].died == "its process ended by SIGKILL"
    )
    assert found[2].died == "took too long"
    assert repr(found[1].error) == "ValueError('no good')" and isinstance(
        found[3].error, MemoryError
    )
    assert "pickle" in str(found[4].error)
    assert found[6].value == 6
    assert all(one.blamed for one in found.values())


@pytest.mark.slow
def test_an_idle_worker_that_was_killed_is_replaced(local):
    for worker in local._idle:
        os.kill(worker.process.pid, signal.SIGKILL)
    time.sleep(0.2)
    for key in range(4):
        local.submit(key, call(triple, key))
    assert sum(one.value is not None for one in gather(local, 4).values()) >= 2


@pytest.mark.slow
def test_a_stopped_worker_is_killed_at_the_deadline_and_replaced(local, monkeypatch, tmp_path):
    monkeypatch.setattr(calls, "GRACE", 0.2)
    local.submit(0, call(stop_at, str(tmp_path / "pid"), 0.5))
    assert gather(local, 1)[0] == pools.Outcome(0, died="took too long", blamed=True)
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
    for worker in local._idle:
        stopped = psutil.Process(worker.process.pid)
        stopped.suspend()  # a call that is given to one would wait for ever
        while stopped.status() != psutil.STATUS_STOPPED:
            time.sleep(0.01)
    for key in range(1, 4):
        local.submit(key, call(triple, key))
    assert {key: one.value for key, one in gather(local, 3).items()} == {1: 3, 2: 6, 3: 9}


def test_a_call_is_not_blamed_where_somebody_ended_its_process_or_it_had_not_begun(local):
    local.submit(0, call(terminate, None))
    found = gather(local, 1)[0]
    assert found.died == "its process ended by SIGTERM" and not found.blamed
    with pool(1) as crew:
        assert isinstance(crew, Local)
        crew.submit(1, call(triple, 1))
        crew._starting[0].process.kill()  # with the call in its pipe
        assert gather(crew, 1)[1].value == 3


def test_a_call_that_workers_cannot_import_is_an_error_of_the_run(local, monkeypatch):
    ghost = types.ModuleType("ghost")
    exec("def haunt(x): return x", ghost.__dict__)
    monkeypatch.setitem(sys.modules, "ghost", ghost)
    local.submit(0, call(ghost.__dict__["haunt"], 1))
    error = gather(local, 1)[0].error
    assert isinstance(error, LanceletError)
    assert (
        str(error)
        == "a worker cannot load what it is to do: ModuleNotFoundError: No module named 'ghost'"
    )


SCRIPT = """
import os, sys
if __name__ != "__main__":
    {in_workers}
else:
    from lancelet import LanceletError
    from lancelet.training.distributed.pools import Call, pool
    try:
        with pool(2) as crew:
            crew.submit(0, Call(abs, -3))
            found = []
            while not found:
                found = crew.outcomes(1.0)
            print(found[0].value)
    except LanceletError as error:
        print(error)
"""


def said_by(tmp_path, in_workers, code=SCRIPT):
    """What a script says whose workers do something while they start, in a folder with a trap of the same name."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "random.py").write_text("raise ImportError('the wrong one')")
    (tmp_path / "script.py").write_text(code.format(in_workers=in_workers))
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")],
        cwd=tmp_path / "here",
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.slow
def test_a_file_of_the_present_folder_does_not_shadow_a_module_of_the_workers(tmp_path):
    assert said_by(tmp_path, "pass") == "3\n"


def test_workers_that_die_at_their_start_are_given_up_with_the_reason(tmp_path):
    said = said_by(tmp_path, "raise ImportError('half an installation')")
    assert said == "3 workers in a row died while they started: ImportError: half an installation\n"


def test_workers_that_never_come_up_are_given_up(monkeypatch, tmp_path):
    monkeypatch.setattr(local_worker, "START_LIMIT", 2.0)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    crew = Local(1)
    try:
        os.kill(crew._starting[0].process.pid, signal.SIGSTOP)
        with pytest.raises(
            LanceletError, match="no worker has come up in 2 s: they are still starting"
        ):
            gather(crew, 1, 30.0)
    finally:
        crew.close()


@pytest.mark.slow
def test_a_script_without_a_main_guard_is_told_so_once(tmp_path):
    code = (
        "from lancelet.training.coevolve import Coevolve\n"
        "from lancelet import LanceletError\n"
        "try:\n"
        "    Coevolve(evaluations=2, population=2, steps=5, workers='2', folder='run', quiet=True).run('swim')\n"
        "except LanceletError as error:\n"
        "    print(error)\n"
    )
    assert said_by(tmp_path, "", code) == f"{pools.NO_GUARD}\n"


@pytest.mark.slow
def test_workers_die_with_their_driver_even_in_an_endless_loop(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
        "import test_pools as t\n"
        "if __name__ == '__main__':\n"
        "    from lancelet.training.distributed.pools import Local\n"
        "    crew = Local(2)\n"
        f"    for key in range(2): crew.submit(key, t.call(t.hang_at, {str(tmp_path)!r} + f'/at{{key}}', 300.0))\n"
        "    t.time.sleep(100)\n"
    )
    (tmp_path / "driver.py").write_text(code)
    driver = subprocess.Popen([sys.executable, str(tmp_path / "driver.py")])
    marks, end = [tmp_path / f"at{key}" for key in range(2)], time.monotonic() + 60
    while not all(mark.exists() and mark.read_text() for mark in marks) and time.monotonic() < end:
        time.sleep(0.05)
    workers = [psutil.Process(int(mark.read_text())) for mark in marks]
    assert len(workers) == 2 and all(worker.is_running() for worker in workers)
    driver.kill()
    driver.wait()
    gone, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive and len(gone) == 2


@pytest.mark.parametrize("workers", ["many", "0", "-1", ""])
def test_workers_that_make_no_sense_are_refused(workers):
    with (
        pytest.raises(LanceletError, match="must be local, ray, or a number of processes"),
        pool(workers),
    ):
        pass


@pytest.mark.slow
def test_ray_tasks_behave_alike():
    with pool("ray") as crew:
        assert isinstance(crew, Cluster) and crew.slots == os.cpu_count()
        for key, how in enumerate(("segfault", "raise", "hang", "memory", "kill")):
            crew.submit(
                key,
                call(fall, how, 1.0 if how == "hang" else 30.0, 2**30 if how == "memory" else None),
            )
        crew.submit(5, call(triple, 2))
        found = gather(crew, 6)
        assert found[5].value == 6
        assert all(found[key].died for key in (0, 2, 4))
        assert isinstance(found[1].error, ValueError) and isinstance(found[3].error, MemoryError)
        crew.submit(6, call(nap, 100.0, 200.0))


@pytest.mark.slow
def test_ray_ends_a_stopped_worker_at_the_deadline_and_says_when_it_is_gone(monkeypatch, tmp_path):
    monkeypatch.setattr(calls, "GRACE", 0.2)
    monkeypatch.setattr(ray_pool, "LOOK_INTERVAL", 0.5)
    with pool("ray") as crew:
        slots = crew.slots
        for key in range(slots):
            crew.submit(key, call(stop_at, str(tmp_path / f"pid{key}"), 1.0))
        found = gather(crew, slots)
        assert {(one.died, one.blamed) for one in found.values()} == {("took too long", True)}
        crew.submit(slots, call(triple, 2))
        assert gather(crew, 1)[slots].value == 6  # the slot is free again
        children = psutil.Process().children()
        (raylet,) = [
            one
            for one in children
            if one.name() == "raylet" and one.status() != psutil.STATUS_ZOMBIE
        ]
        crew.submit(slots + 1, call(nap, 100.0, 200.0))
        raylet.kill()
        with pytest.raises(LanceletError, match="Ray on this machine is gone") as caught:
            gather(crew, 1)
        assert "\n" not in str(caught.value)

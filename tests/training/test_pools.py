"""Workers that die: the pool says so, goes on, and leaves nothing behind."""

import ctypes
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from lancelet import LanceletError
from lancelet.training.pools import Call, Cluster, pool


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


def gather(crew, count, limit=60.0):
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
    assert {key: one.value for key, one in gather(local, 5).items()} == {key: 3 * key for key in range(5)}


def test_every_way_to_fall_is_told_and_the_pool_goes_on(local):
    for key, how in enumerate(("segfault", "raise", "hang", "memory", "unsendable", "kill")):
        local.submit(key, call(fall, how, 1.0 if how == "hang" else 30.0, 2**30 if how == "memory" else None))
    local.submit(6, call(triple, 2))
    found = gather(local, 7)
    assert found[0].died == "its process ended by SIGSEGV" and found[5].died == "its process ended by SIGKILL"
    assert found[2].died == "took too long"
    assert repr(found[1].error) == "ValueError('no good')" and isinstance(found[3].error, MemoryError)
    assert "pickle" in str(found[4].error) and found[6].value == 6
    assert all(one.blamed for one in found.values())


def test_an_idle_worker_that_was_killed_is_replaced(local):
    for worker in local._idle:
        os.kill(worker.process.pid, signal.SIGKILL)
    time.sleep(0.2)
    for key in range(4):
        local.submit(key, call(triple, key))
    assert sum(one.value is not None for one in gather(local, 4).values()) >= 2


def test_workers_die_with_their_driver_even_in_an_endless_loop(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
        "import test_pools as t\n"
        "if __name__ == '__main__':\n"
        "    from lancelet.training.pools import Local\n"
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
    with pytest.raises(LanceletError, match="must be local, ray, or a number of processes"), pool(workers):
        pass


def test_ray_tasks_behave_alike():
    with pool("ray") as crew:
        assert isinstance(crew, Cluster) and crew.slots == os.cpu_count()
        for key, how in enumerate(("segfault", "raise", "hang", "memory", "kill")):
            crew.submit(key, call(fall, how, 1.0 if how == "hang" else 30.0, 2**30 if how == "memory" else None))
        crew.submit(5, call(triple, 2))
        found = gather(crew, 6)
        assert found[5].value == 6
        assert all(found[key].died for key in (0, 2, 4))
        assert isinstance(found[1].error, ValueError) and isinstance(found[3].error, MemoryError)
        crew.submit(6, call(nap, 100.0, 200.0))

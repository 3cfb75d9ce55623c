"""Workers that may die: a call goes out, its value comes back, or word that its process died over it.

Two kinds behind one face: processes of this machine (`Local`), which need nothing and start at once, and Ray tasks
(`Cluster`) on this machine or a cluster. A call holds its own deadline and memory limit, so that neither needs the
driver to be well (facts/ray.md 2 to 4).
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import resource
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from ..errors import LanceletError
from .cluster import ONE_THREAD, connected


@dataclass(frozen=True)
class Call:
    """A function of a module and its argument, with what it may take."""

    function: Callable[[Any], Any]
    argument: Any
    seconds: float = 0.0
    """after so many its process is killed, whatever it does; 0: never"""
    memory: int | None = None
    """bytes of address space beyond what its process has; None: no limit"""


@dataclass(frozen=True)
class Outcome:
    """What became of a call."""

    key: int
    value: Any = None
    died: str | None = None
    """how its process ended, where it did"""
    blamed: bool = True
    """whether the call may be at fault: not where a node was lost, or a neighbour's memory was"""
    error: BaseException | None = None
    """what the function raised"""


class Pool(ABC):
    """Calls out, outcomes in, in any order."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """Calls that run at one time."""

    @abstractmethod
    def submit(self, key: int, call: Call) -> None:
        """Send a call, which `key` stands for."""

    @abstractmethod
    def outcomes(self, timeout: float) -> list[Outcome]:
        """What has ended; waits up to `timeout` seconds for the first."""

    @abstractmethod
    def close(self) -> None:
        """End every process that still runs."""


def run(call: Call) -> Any:
    """In a worker: the call under its deadline and its limit. A signal needs no interpreter, nor the driver."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, call.seconds)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if call.memory is not None:
        with open("/proc/self/statm") as file:
            present = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (present + call.memory, hard))
    try:
        return call.function(call.argument)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


class Local(Pool):
    """Spawned processes of this machine that die with this one; a dead one is replaced at once."""

    def __init__(self, workers: int) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._idle: list[_Worker] = []
        self._busy: dict[int, _Worker] = {}
        self._waiting: list[tuple[int, Call]] = []
        self._workers = workers
        with _environment():
            self._idle = [_Worker(self._context) for _ in range(workers)]

    @property
    def slots(self) -> int:
        """See `Pool`."""
        return self._workers

    def submit(self, key: int, call: Call) -> None:
        """See `Pool`."""
        self._waiting.append((key, call))
        self._hand_out()

    def outcomes(self, timeout: float) -> list[Outcome]:
        """See `Pool`."""
        self._hand_out()
        if not self._busy:
            time.sleep(timeout)
            return []
        wait([thing for worker in self._busy.values() for thing in (worker.pipe, worker.process.sentinel)], timeout)
        found = []
        for key, worker in list(self._busy.items()):
            outcome = worker.outcome(key)
            if outcome is None:
                continue
            found.append(outcome)
            del self._busy[key]
            self._idle.append(self._replacement() if outcome.died else worker)
        self._hand_out()
        return found

    def close(self) -> None:
        """See `Pool`."""
        for worker in (*self._idle, *self._busy.values()):
            worker.process.kill()
        for worker in (*self._idle, *self._busy.values()):
            worker.process.join()
            worker.pipe.close()
        self._idle, self._busy, self._waiting = [], {}, []

    def _hand_out(self) -> None:
        while self._waiting and self._idle:
            worker = self._idle.pop()
            if not worker.process.is_alive():  # killed while it had nothing to do
                worker.pipe.close()
                worker = self._replacement()
            key, call = self._waiting.pop(0)
            with contextlib.suppress(OSError):  # it died just now: `outcome` will say so
                worker.pipe.send(call)
            self._busy[key] = worker

    def _replacement(self) -> _Worker:
        with _environment():
            return _Worker(self._context)


class _Worker:
    def __init__(self, context: Any) -> None:
        self.pipe: Connection
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, os.getpid()), daemon=True)
        self.process.start()
        theirs.close()

    def outcome(self, key: int) -> Outcome | None:
        """What came back, or how the process ended; None: it is at work."""
        alive = self.process.is_alive()  # asked first: what it sent before its end is still in the pipe
        try:
            if self.pipe.poll():
                value, error = self.pipe.recv()
                return Outcome(key, value, error=error)
        except (EOFError, OSError):
            alive = False
        if alive:
            return None
        self.process.join()
        self.pipe.close()
        return Outcome(key, died=_ending(self.process.exitcode or 0))


def _ending(code: int) -> str:
    if code == -signal.SIGALRM:
        return "took too long"
    name = signal.Signals(-code).name if code < 0 else f"exit {code}"
    return f"its process ended by {name}"


def _serve(pipe: Connection, parent: int) -> None:
    """A worker's life: calls one by one, until its driver is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's; it ends its workers itself
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: die with the driver (Linux)
    if os.getppid() != parent:
        os._exit(1)
    while True:
        try:
            call = pipe.recv()
        except EOFError:
            return
        value: Any = None
        error: BaseException | None = None
        try:
            value = run(call)
        except Exception as raised:
            error = raised
        try:
            pipe.send((value, error))
        except Exception as raised:  # what cannot be pickled
            pipe.send((None, RuntimeError(f"{type(raised).__name__}: {raised}")))


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """The workers' environment, while they are started."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


class Cluster(Pool):
    """Ray tasks, one slot each; never retried by Ray, whose own retries come later and are not told."""

    def __init__(self, ray: Any, slots: int | None = None) -> None:
        self._ray, self._fixed, self._keys = ray, slots, dict[Any, int]()
        self._task = ray.remote(num_cpus=1, max_retries=0)(run)
        self._seen = (0.0, 1)

    @property
    def slots(self) -> int:
        """Of the cluster as it is now; looked up every few seconds."""
        if self._fixed:
            return self._fixed
        when, count = self._seen
        if time.monotonic() - when > 5:
            count = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
            self._seen = (time.monotonic(), count)
        return count

    def submit(self, key: int, call: Call) -> None:
        """See `Pool`."""
        self._keys[self._task.remote(call)] = key

    def outcomes(self, timeout: float) -> list[Outcome]:
        """See `Pool`."""
        if not self._keys:
            time.sleep(timeout)
            return []
        ready, _ = self._ray.wait(list(self._keys), timeout=timeout)
        more, _ = self._ray.wait(list(self._keys), num_returns=len(self._keys), timeout=0) if ready else (ready, [])
        return [self._outcome(ref) for ref in more]

    def _outcome(self, ref: Any) -> Outcome:
        from ray.exceptions import NodeDiedError, OutOfMemoryError, RayError, RayTaskError

        key = self._keys.pop(ref)
        try:
            return Outcome(key, self._ray.get(ref))
        except RayTaskError as error:
            raised = error.cause or error
            if raised is not error:
                raised.__cause__ = error  # which tells where in the worker it was
            return Outcome(key, error=raised)
        except RayError as error:
            innocent = isinstance(error, NodeDiedError | OutOfMemoryError)
            return Outcome(key, died=f"its process died ({type(error).__name__})", blamed=not innocent)

    def close(self) -> None:
        """See `Pool`."""
        for ref in self._keys:
            self._ray.cancel(ref, force=True)
        self._keys.clear()


@contextlib.contextmanager
def pool(workers: str | int = "local", address: str | None = None) -> Iterator[Pool]:
    """Workers while the context lasts.

    Args:
        workers: ``local``: a process a core of this machine; ``ray``: all slots of Ray on this machine, or of the
            cluster at `address`; a number: so many processes, or slots of the cluster.
        address: host:port of a running Ray cluster.

    Raises:
        LanceletError: `workers` is none of these, or the cluster does not answer within 30 s.
    """
    number = int(workers) if str(workers).isdigit() else None
    if number == 0 or (number is None and workers not in ("local", "ray")):
        raise LanceletError(f"workers = {workers!r}: must be local, ray, or a number of processes, 1 or more")
    if address is not None and workers == "local":
        workers = "ray"
    if address is None and workers != "ray":
        made: Pool = Local(number or os.cpu_count() or 1)
        try:
            yield made
        finally:
            made.close()
        return
    with connected(os.cpu_count() or 1, address) as ray:
        made = Cluster(ray, number)
        try:
            yield made
        finally:
            made.close()

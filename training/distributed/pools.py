"""Workers that may die: a call goes out, its value comes back, or word that its process died over it.

Two kinds behind one face: processes of this machine (`Local`), which need nothing and start at once, and Ray tasks
(`Cluster`) on this machine or a cluster. A call holds its own deadline and memory limit, so that neither needs the
driver to be well. The driver keeps the deadline as well: a process that is stopped, or swapped out, keeps none.

A call is blamed for the death of a process only where it had begun there and nothing else is known to have ended it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import multiprocessing
import os
import resource
import signal
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import IO, Any

from ...errors import LanceletError
from .cluster import ONE_THREAD, check_address, connected
from .import_paths import end_safe_path, safe_path
from .stopped_workers import StoppedWorkers

GRACE = 10.0
"""s beyond the deadline of a call after which the driver ends a process that has not ended itself"""
START_LIMIT = 50.0
"""s within which a worker must come up, and begin a call that it was given, on a machine with a core for each"""
PIPE_ROOM = 2**16
"""bytes that a pipe to a worker certainly holds while nobody reads them"""
FAILED_STARTS = 3
"""workers in a row that end by themselves while they start, after which the pool gives up"""
LOOK_INTERVAL = 5.0
"""s between two looks at a Ray cluster: its slots, which calls have begun, whether its servers live"""
UNANSWERED = 30.0
"""s after which a Ray call that was cancelled, and whose process was killed, is taken to be lost with its node"""
NO_GUARD_STATUS = 77
"""exit status of a worker that was about to begin the run anew, because the script has no main guard"""
WORKER_MARK = "LANCELET_WORKER"
"""environment variable of the processes that `Local` starts"""
NO_GUARD = (
    "the script starts its run again in every worker that imports it: "
    'put what it runs under `if __name__ == "__main__":`'
)
OUTSIDE_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""what somebody sends who wants a process to end; no evaluation ends itself by these"""

READY = "ready"
"""a worker's word that it has come up"""
BEGUN = "begun"
"""a worker's word that it has read a call and begins it"""
DONE = "done"
"""a worker's word that a call has ended; its value and what it raised follow"""


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
    """whether the call may be at fault: not where it had not begun, its node was lost or out of memory, or somebody
    ended its process"""
    error: BaseException | None = None
    """what the function raised"""
    out_of_memory: bool = False
    """whether its node had no memory left, whoever had taken it"""


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
    """Spawned processes of this machine that die with this one; a dead one is replaced at once.

    Raises:
        LanceletError: the script that runs has no main guard. `outcomes` raises it too, where no worker comes up.
    """

    def __init__(self, workers: int) -> None:
        refuse_without_guard()
        self._context = multiprocessing.get_context("spawn")
        self._workers = workers
        self._starting: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._busy: dict[int, _Worker] = {}
        self._waiting: deque[tuple[int, Call]] = deque()
        self._failed_starts = 0
        self._last_up = time.monotonic()
        for _ in range(workers):
            self._start()

    @property
    def slots(self) -> int:
        """Processes of the pool."""
        return self._workers

    def submit(self, key: int, call: Call) -> None:
        """Send a call to an idle worker, or keep it until there is one."""
        self._waiting.append((key, call))
        self._hand_out()

    def outcomes(self, timeout: float) -> list[Outcome]:
        """What has ended; waits up to `timeout` seconds for the first.

        Raises:
            LanceletError: no worker comes up; the message holds the last line that one of them wrote.
        """
        end = time.monotonic() + timeout
        while True:
            self._welcome()
            self._hand_out()
            found = self._ended()
            left = end - time.monotonic()
            if found or left <= 0:
                self._hand_out()
                return found
            watched: list[Any] = []
            for worker in (*self._starting, *self._busy.values()):
                watched += [worker.pipe, worker.process.sentinel]
            wait(watched, left)

    def close(self) -> None:
        """Kill every worker and wait for its end."""
        workers = (*self._starting, *self._idle, *self._busy.values())
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.end()
        self._starting, self._idle, self._busy = [], [], {}
        self._waiting.clear()

    def _start(self) -> None:
        with _environment():
            self._starting.append(_Worker(self._context))

    def _welcome(self) -> None:
        """Workers that have come up become idle; those that died at their start are replaced, or the pool gives up."""
        now = time.monotonic()
        if len(self._starting) < self._workers:
            self._last_up = now
        for worker in list(self._starting):
            alive = worker.process.is_alive()
            worker.listen()
            if worker.ready:
                self._starting.remove(worker)
                self._failed_starts = 0
                self._last_up = now
                if worker.early is None:
                    self._idle.append(worker)
                else:
                    self._busy[worker.early[0]] = worker
                continue
            if alive:
                continue
            self._starting.remove(worker)
            if worker.early is not None:
                self._waiting.appendleft(worker.early)
            words = worker.last_words()
            worker.end()
            self._failed_at_start(worker.process.exitcode or 0, words)
            self._start()
        limit = _start_limit(self._workers)
        if now - self._last_up > limit:
            words = self._starting[0].last_words() or "they are still starting"
            raise LanceletError(f"no worker has come up in {limit:.0f} s: {words}")

    def _failed_at_start(self, code: int, words: str | None) -> None:
        """Give up where it is of no use to start another worker."""
        if code == NO_GUARD_STATUS:
            raise LanceletError(NO_GUARD)
        if code == -signal.SIGKILL or -code in OUTSIDE_SIGNALS:
            return  # somebody else ended it: the time within which one must come up is bound enough
        self._failed_starts += 1
        if self._failed_starts >= FAILED_STARTS:
            why = words or _ending(code)
            raise LanceletError(
                f"{self._failed_starts} workers in a row died while they started: {why}"
            )

    def _ended(self) -> list[Outcome]:
        """Calls that have come back, those whose process died, and those whose process is past its time."""
        found = []
        for key, worker in list(self._busy.items()):
            outcome = worker.outcome(key)
            if outcome is None:
                continue
            found.append(outcome)
            del self._busy[key]
            if outcome.died is None:
                self._idle.append(worker)
            else:
                self._start()
        return found

    def _hand_out(self) -> None:
        """Calls to idle workers; the small ones also to workers that are starting, whose pipes hold them."""
        while self._waiting and self._idle:
            worker = self._idle.pop()
            if not worker.usable():  # killed or stopped while it had nothing to do
                worker.process.kill()
                worker.end()
                self._start()
                continue
            key, call = self._waiting.popleft()
            worker.take(call)
            self._busy[key] = worker
        for worker in self._starting:
            if self._waiting and worker.early is None and worker.take_early(self._waiting[0][1]):
                worker.early = self._waiting.popleft()


class _Worker:
    """A process of `Local`, as its driver sees it."""

    def __init__(self, context: Any) -> None:
        self.pipe: Connection
        self.pipe, theirs = context.Pipe()
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - what it writes until it is ready
        stderr = Connection(os.dup(2), readable=False)
        self.process = context.Process(
            target=_serve, args=(theirs, stderr, os.getpid()), daemon=True
        )
        with _stderr_into(self._said):
            self.process.start()
        theirs.close()
        stderr.close()
        self.ready = False
        self.early: tuple[int, Call] | None = None
        """the call that it was given before it was ready"""
        self._call: Call | None = None
        self._given = 0.0
        self._begun: float | None = None
        self._reply: tuple[Any, BaseException | None] | None = None

    def usable(self) -> bool:
        """Whether a call can be given to it: a stopped one would never read it."""
        return self.process.is_alive() and _state(self.process.pid) not in ("T", "t")

    def take(self, call: Call) -> None:
        """Send it a call."""
        self._call, self._given = call, time.monotonic()
        self._begun = self._reply = None
        with contextlib.suppress(OSError):  # it died just now: `outcome` will say so
            self.pipe.send(call)

    def take_early(self, call: Call) -> bool:
        """Send it a call before it reads; not one for which the pipe has no room: the driver would wait for it."""
        data = ForkingPickler.dumps(call)
        if len(data) > PIPE_ROOM:
            return False
        self._call = call
        with contextlib.suppress(OSError):
            self.pipe.send_bytes(data)
        return True

    def listen(self) -> None:
        """Read what it has sent."""
        with contextlib.suppress(EOFError, OSError):
            while self.pipe.poll():
                word, *rest = self.pipe.recv()
                if word == READY:
                    self.ready = True
                    self._given = time.monotonic()
                elif word == BEGUN:
                    self._begun = time.monotonic()
                else:
                    self._reply = (rest[0], rest[1])

    def outcome(self, key: int) -> Outcome | None:
        """What came back, or how the process ended; None: it is at work."""
        alive = (
            self.process.is_alive()
        )  # asked first: what it sent before its end is still in the pipe
        self.listen()
        if self._reply is not None:
            value, error = self._reply
            return Outcome(key, value, error=error)
        begun = self._begun is not None
        if alive and not self._overdue():
            return None
        if alive:
            self.process.kill()
            self.end()
            died = "took too long" if begun else "its worker did not begin it in time"
            return Outcome(key, died=died, blamed=begun)
        self.end()
        code = self.process.exitcode or 0
        outside = -code in OUTSIDE_SIGNALS
        return Outcome(key, died=_ending(code), blamed=begun and not outside)

    def _overdue(self) -> bool:
        """Whether it should have ended itself by now."""
        now = time.monotonic()
        if self._call is None or not self._call.seconds:
            return False
        if self._begun is None:
            return now - self._given > _start_limit(1)
        return now - self._begun > self._call.seconds + GRACE

    def last_words(self) -> str | None:
        """The last line that it wrote while it started; None: it wrote none."""
        if self._said.closed:
            return None
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else None

    def end(self) -> None:
        """Wait for its end, and let its pipe go."""
        self.process.join()
        self.pipe.close()
        self._said.close()


def refuse_without_guard() -> None:
    """Refuse to begin a run in a process that only imports the script of its driver, as a spawned worker does.

    Raises:
        LanceletError: this process is such a one. A worker of `Local` ends instead: its driver says it, once.
    """
    if not getattr(multiprocessing.current_process(), "_inheriting", False):
        return
    if WORKER_MARK in os.environ:
        raise SystemExit(NO_GUARD_STATUS)
    raise LanceletError(NO_GUARD)


def _start_limit(workers: int) -> float:
    """Seconds within which workers that start at the same time must come up.

    All of them import a lot; where a machine has more to do than it has cores, everything takes so much longer.
    """
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0]
    return START_LIMIT * max(1.0, workers / cores, load / cores)


def _state(pid: int) -> str:
    """The letter that Linux has for the state of a process; X where it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "X"
    return text.rpartition(")")[2].split()[0]


def _ending(code: int) -> str:
    if code == -signal.SIGALRM:
        return "took too long"
    if code < 0:
        return f"its process ended by {signal.Signals(-code).name}"
    return f"its process ended by exit {code}"


def _serve(pipe: Connection, stderr: Connection, parent: int) -> None:
    """A worker's life: calls one by one, until its driver is gone."""
    end_safe_path()
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is the driver's; it ends its workers itself
    ctypes.CDLL(None).prctl(
        1, signal.SIGKILL, 0, 0, 0
    )  # PR_SET_PDEATHSIG: die with the driver (Linux)
    if os.getppid() != parent:
        os._exit(1)
    os.dup2(stderr.fileno(), 2)
    stderr.close()
    pipe.send((READY,))
    while True:
        try:
            call = pipe.recv()
        except EOFError:
            return
        except Exception as raised:  # a module that cannot be imported here
            pipe.send((DONE, None, _cannot_load(raised)))
            continue
        pipe.send((BEGUN,))
        value: Any = None
        error: BaseException | None = None
        try:
            value = run(call)
        except Exception as raised:
            error = raised
        try:
            pipe.send((DONE, value, error))
        except Exception as raised:  # what cannot be pickled
            pipe.send((DONE, None, RuntimeError(f"{type(raised).__name__}: {raised}")))


def _cannot_load(error: BaseException) -> LanceletError:
    reason = (str(error).splitlines() or ["no reason given"])[0]
    return LanceletError(f"a worker cannot load what it is to do: {type(error).__name__}: {reason}")


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """The workers' environment, while they are started."""
    given = {**ONE_THREAD, WORKER_MARK: "1"}
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        with safe_path():
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _stderr_into(file: IO[bytes]) -> Iterator[None]:
    """Processes that are started inside write their stderr into `file`."""
    kept = os.dup(2)
    try:
        os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@dataclass
class _Sent:
    """A call under way in Ray."""

    key: int
    call: Call
    name: str
    """under which its worker says that it has begun"""
    begun: float | None = None
    """when the driver saw that it had begun"""
    cancelled: float | None = None
    """when the driver ended it, because it was past its deadline"""


class Cluster(Pool):
    """Ray tasks, one slot each; never retried by Ray, whose own retries come later and are not told.

    A worker that begins a call with a deadline writes its node and process id into Ray's key-value store. So the
    driver knows how long a call has run, and not only waited for a slot, and which process to end where it is
    stopped: cancelling alone leaves such a process, and its slot with it.
    Among calls without a deadline, a worker that is stopped for some seconds is killed (`stopped`); a call that
    it had begun counts as one that killed it.

    Args:
        ray: the connected module.
        slots: calls at one time; None: all slots of the cluster.

    Raises:
        LanceletError: by `slots` and `outcomes`, where the servers of a local Ray are gone.
    """

    def __init__(self, ray: Any, slots: int | None = None) -> None:
        self._ray, self._fixed = ray, slots
        self._task = ray.remote(num_cpus=1, max_retries=0)(_announced)
        self._prefix = f"lancelet-{uuid.uuid4().hex}-"
        self._sent: dict[Any, _Sent] = {}
        self._calls = 0
        self._slots = 1
        self._looked = -math.inf
        self._servers = _servers()
        self._stopped = StoppedWorkers(ray)

    @property
    def slots(self) -> int:
        """Of the cluster as it is now; looked up every few seconds."""
        if self._fixed:
            return self._fixed
        self._look()
        return self._slots

    def submit(self, key: int, call: Call) -> None:
        """Send a call."""
        name = f"{self._prefix}{self._calls}"
        self._calls += 1
        self._sent[self._task.remote(name, call)] = _Sent(key, call, name)

    def outcomes(self, timeout: float) -> list[Outcome]:
        """What has ended; waits up to `timeout` seconds for the first."""
        if any(not sent.call.seconds for sent in self._sent.values()):
            self._stopped.end()  # a call that has a deadline is ended at it
        if not self._sent:
            time.sleep(timeout)
            return []
        ready, _ = self._ray.wait(list(self._sent), timeout=timeout)
        if ready:
            ready, _ = self._ray.wait(list(self._sent), num_returns=len(self._sent), timeout=0)
        found = [self._outcome(ref) for ref in ready]
        self._look()
        return found + self._overdue()

    def close(self) -> None:
        """Cancel what is under way."""
        for ref in self._sent:
            with contextlib.suppress(Exception):  # Ray itself may be gone
                self._ray.cancel(ref, force=True)
        self._sent.clear()
        if self._lost_server() is None:
            _store().delete(self._prefix, all_with_prefix=True)

    def _look(self) -> None:
        """See to the cluster, every few seconds: its servers, its slots, and which calls have begun."""
        now = time.monotonic()
        if now - self._looked < LOOK_INTERVAL:
            return
        self._looked = now
        self._check_servers()
        self._slots = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        timed = [sent for sent in self._sent.values() if sent.call.seconds]
        if not timed:
            return
        begun = _store().names(self._prefix)
        for sent in timed:
            if sent.begun is None and sent.name in begun:
                sent.begun = now

    def _lost_server(self) -> str | None:
        """The name of a server of a local Ray that is gone."""
        for name, pid in self._servers.items():
            if _state(pid) in ("Z", "X"):
                return name
        return None

    def _check_servers(self) -> None:
        lost = self._lost_server()
        if lost is not None:
            raise _ray_is_gone(lost)

    def _overdue(self) -> list[Outcome]:
        """End what is past its deadline; word of what does not answer even so."""
        found = []
        now = time.monotonic()
        for ref, sent in list(self._sent.items()):
            if sent.begun is None:
                continue
            if sent.cancelled is None:
                if now - sent.begun > sent.call.seconds + GRACE:
                    # By force at once: where a gentle try came first, the forced one does nothing.
                    self._ray.cancel(ref, force=True)
                    self._end(sent)
                    sent.cancelled = now
            elif now - sent.cancelled > UNANSWERED:
                del self._sent[ref]
                found.append(
                    Outcome(
                        sent.key, died="took too long, and its node does not answer", blamed=False
                    )
                )
        return found

    def _end(self, sent: _Sent) -> None:
        """Kill the process of a call, from a task on its node that needs no slot: a stopped one hears nothing else."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        where = _store().get(sent.name)
        if where is None:
            return
        node, pid = where.split()
        task = self._ray.remote(num_cpus=0, max_retries=0)(_kill_worker)
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        task.options(scheduling_strategy=there).remote(int(pid))

    def _outcome(self, ref: Any) -> Outcome:
        from ray import exceptions

        sent = self._sent.pop(ref)
        key = sent.key
        try:
            return Outcome(key, self._ray.get(ref))
        except exceptions.RayTaskError as error:
            raised = error.cause or error
            if raised is not error:
                raised.__cause__ = error  # which tells where in the worker it was
            return Outcome(key, error=raised)
        except exceptions.LocalRayletDiedError:
            raise _ray_is_gone("raylet") from None
        except (exceptions.RaySystemError, exceptions.RuntimeEnvSetupError) as error:
            return Outcome(key, error=_cannot_load(error))
        except exceptions.RayError as error:
            return self._death(sent, error)

    def _death(self, sent: _Sent, error: Exception) -> Outcome:
        from ray import exceptions

        self._check_servers()
        if sent.cancelled is not None:
            return Outcome(sent.key, died="took too long")
        crashed = isinstance(error, exceptions.WorkerCrashedError)
        # What has begun and not ended has left its name; a call without a deadline leaves none.
        begun = not sent.call.seconds or _store().get(sent.name) is not None
        _store().delete(sent.name)
        return Outcome(
            sent.key,
            died=f"its process died ({type(error).__name__})",
            blamed=crashed and begun,
            out_of_memory=isinstance(error, exceptions.OutOfMemoryError),
        )


def _announced(name: str, call: Call) -> Any:
    """In a Ray worker: the call, with word of its beginning where it has a deadline."""
    if not call.seconds:
        return run(call)
    import ray

    store = _store()
    store.put(name, f"{ray.get_runtime_context().get_node_id()} {os.getpid()}")
    try:
        return run(call)
    finally:
        store.delete(name)


def _kill_worker(pid: int) -> None:
    """In a Ray worker of the same node: end another one, if the process of that id is still one."""
    with contextlib.suppress(OSError):
        if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::"):
            os.kill(pid, signal.SIGKILL)


class _Store:
    """Ray's key-value store, which driver and workers of a cluster share; texts."""

    def __init__(self) -> None:
        from ray.experimental import internal_kv

        self._kv = internal_kv

    def put(self, name: str, value: str) -> None:
        """Keep a value under a name."""
        self._kv._internal_kv_put(name, value)

    def get(self, name: str) -> str | None:
        """The value under a name; None: there is none."""
        value = self._kv._internal_kv_get(name)
        return None if value is None else value.decode()

    def names(self, prefix: str) -> set[str]:
        """Names that begin so."""
        return {name.decode() for name in self._kv._internal_kv_list(prefix)}

    def delete(self, name: str, all_with_prefix: bool = False) -> None:
        """Drop a name, or all that begin so."""
        self._kv._internal_kv_del(name, del_by_prefix=all_with_prefix)


@functools.cache
def _store() -> _Store:
    return _Store()


def _servers() -> dict[str, int]:
    """Ray's servers that this process has started: name -> process id; none where it has joined a cluster."""
    found = {}
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in children.read_text().split():
            with contextlib.suppress(OSError):
                name = Path(f"/proc/{pid}/comm").read_text().strip()
                # An earlier Ray's server that was killed is still a child, as a zombie.
                if name in ("raylet", "gcs_server") and _state(int(pid)) not in ("Z", "X"):
                    found[name] = int(pid)
    return found


def _ray_is_gone(server: str) -> LanceletError:
    return LanceletError(
        f"Ray on this machine is gone (its {server} has died); every result so far is on disk: --resume goes on"
    )


def check_workers(workers: str | int, address: str | None = None) -> None:
    """Refuse what `pool` takes no workers from.

    Raises:
        LanceletError: `workers` is neither ``local`` nor ``ray`` nor a number of 1 or more, or `address` none.
    """
    if workers not in ("local", "ray") and not (str(workers).isdigit() and int(workers) > 0):
        raise LanceletError(
            f"workers = {workers!r}: must be local, ray, or a number of processes, 1 or more"
        )
    if address is not None:
        check_address(address)


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
    check_workers(workers, address)
    number = int(workers) if str(workers).isdigit() else None
    if address is None and workers != "ray":
        made: Pool = Local(number or os.cpu_count() or 1)
        try:
            yield made
        finally:
            made.close()
        return
    refuse_without_guard()
    with connected(os.cpu_count() or 1, address) as ray:
        made = Cluster(ray, number)
        try:
            yield made
        finally:
            made.close()

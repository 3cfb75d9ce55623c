"""One worker process of this machine: its life, and how its driver sees it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from multiprocessing.reduction import ForkingPickler
from typing import IO, Any, NamedTuple

from .calls import TOOK_TOO_LONG, Call, Outcome, loading_error, run
from .import_paths import end_safe_path
from .processes import STOPPED, TRACED, process_state

START_LIMIT = 50.0
"""s within which a worker must come up, and begin a call that it was given, on a machine with a core for each"""
PIPE_ROOM = 2**16
"""bytes that a pipe to a worker certainly holds while nobody reads them"""
OUTSIDE_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""what somebody sends who wants a process to end; no evaluation ends itself by these"""
STDERR = 2
"""number of the file that a process writes its errors to"""
PR_SET_PDEATHSIG = 1
"""Linux's `prctl` option: the signal that a process gets when its parent dies"""

# The first word of a report from a worker.
READY = "ready"
"""it has come up"""
BEGUN = "begun"
"""it has read a call and begins it"""
DONE = "done"
"""a call has ended"""


class Report(NamedTuple):
    """What a worker sends to its driver."""

    word: str
    """`READY`, `BEGUN` or `DONE`"""
    value: Any = None
    """what the call returned, where it is done"""
    error: BaseException | None = None
    """what the call raised, where it did"""


class QueuedCall(NamedTuple):
    """A call that no worker has begun yet."""

    key: int
    """the number that it was submitted under"""
    call: Call


class LocalWorker:
    """A spawned process, as its driver sees it.

    Args:
        context: of `multiprocessing`, which spawns it.
    """

    def __init__(self, context: SpawnContext) -> None:
        own_pipe, their_pipe = context.Pipe()
        self.pipe: Any = own_pipe
        """the driver's end"""
        self._start_errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - `end` closes it
        """what the process writes to stderr until it is ready"""
        their_stderr = Connection(os.dup(STDERR), readable=False)
        self.process = context.Process(
            target=_serve, args=(their_pipe, their_stderr, os.getpid()), daemon=True
        )
        with _stderr_into(self._start_errors):
            self.process.start()
        # Only the worker holds its ends now: the driver's `recv` ends when the worker does.
        their_pipe.close()
        their_stderr.close()
        self.ready = False
        """whether it has come up"""
        self.early: QueuedCall | None = None
        """the call that it was given before it was ready"""
        self._call: Call | None = None
        self._given_at = 0.0
        self._begun_at: float | None = None
        self._reply: Report | None = None

    def usable(self) -> bool:
        """Whether a call can be given to it: a stopped process would never read it."""
        return self.process.is_alive() and process_state(self._pid()) not in (STOPPED, TRACED)

    def take(self, call: Call) -> None:
        """Send it a call."""
        self._call = call
        self._given_at = time.monotonic()
        self._begun_at = None
        self._reply = None
        with contextlib.suppress(OSError):  # it died just now: `outcome` will say so
            self.pipe.send(call)

    def take_early(self, queued: QueuedCall) -> bool:
        """Send it a call that its pipe holds until it has come up, and return True.

        Returns False for a call for which the pipe has no room: the driver would wait until the worker reads.
        """
        message = ForkingPickler.dumps(queued.call)
        if len(message) > PIPE_ROOM:
            return False
        self.early = queued
        self._call = queued.call
        with contextlib.suppress(OSError):
            self.pipe.send_bytes(message)
        return True

    def listen(self) -> None:
        """Read what it has sent so far."""
        with contextlib.suppress(EOFError, OSError):
            while self.pipe.poll():
                report = self.pipe.recv()
                if report.word == READY:
                    self.ready = True
                    # An early call has waited for this moment: its time to begin counts from now.
                    self._given_at = time.monotonic()
                elif report.word == BEGUN:
                    self._begun_at = time.monotonic()
                else:
                    self._reply = report

    def outcome(self, key: int) -> Outcome | None:
        """What came back, or how the process ended; None: it is at work.

        A process that is past its time is killed here.
        """
        # Asked before its pipe is read: what it sent before its end is still in there.
        alive = self.process.is_alive()
        self.listen()
        if self._reply is not None:
            return Outcome(key, value=self._reply.value, error=self._reply.error)
        begun = self._begun_at is not None
        if alive and not self._is_overdue():
            return None
        if alive:
            self.process.kill()
            self.end()
            died = TOOK_TOO_LONG if begun else "its worker did not begin it in time"
            return Outcome(key, died=died, blamed=begun)
        self.end()
        exit_code = self.process.exitcode or 0
        ended_from_outside = -exit_code in OUTSIDE_SIGNALS
        return Outcome(key, died=ending(exit_code), blamed=begun and not ended_from_outside)

    def last_words(self) -> str | None:
        """The last line that it wrote while it started; None: it wrote none."""
        if self._start_errors.closed:
            return None
        self._start_errors.seek(0)
        text = self._start_errors.read().decode(errors="replace")
        lines = text.strip().splitlines()
        return lines[-1].strip() if lines else None

    def end(self) -> None:
        """Wait for its end, and close the driver's files to it."""
        self.process.join()
        self.pipe.close()
        self._start_errors.close()

    def _is_overdue(self) -> bool:
        """Whether it should have begun its call by now, or should have ended itself over it."""
        now = time.monotonic()
        if self._call is None or not self._call.seconds:
            return False
        if self._begun_at is None:
            return now - self._given_at > start_limit(1)
        return self._call.is_overdue(now - self._begun_at)

    def _pid(self) -> int:
        pid = self.process.pid
        assert pid is not None, "the process was started when this object was made"
        return pid


def start_limit(workers: int) -> float:
    """Seconds within which workers that start at the same time must come up.

    All of them import a lot. Where a machine has more to do than it has cores, everything takes so much longer.
    """
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0]
    return START_LIMIT * max(1.0, workers / cores, load / cores)


def ending(exit_code: int) -> str:
    """How a process ended, in words; `exit_code` is `multiprocessing`'s: a signal's number is negative there."""
    if exit_code == -signal.SIGALRM:
        return TOOK_TOO_LONG
    if exit_code < 0:
        return f"its process ended by {signal.Signals(-exit_code).name}"
    return f"its process ended by exit {exit_code}"


def _serve(pipe: Connection, stderr: Connection, parent: int) -> None:
    """Live a worker's life: do calls one by one, until the driver is gone.

    Args:
        pipe: the worker's end.
        stderr: the driver's own, for what is written after the start.
        parent: process id of the driver.
    """
    end_safe_path()
    # Ctrl-C goes to the whole group of processes, but is the driver's: it ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with(parent)
    os.dup2(stderr.fileno(), STDERR)
    stderr.close()
    pipe.send(Report(READY))
    while True:
        try:
            call = pipe.recv()
        except EOFError:
            return
        except Exception as error:  # a module that cannot be imported here
            pipe.send(Report(DONE, error=loading_error(error)))
            continue
        pipe.send(Report(BEGUN))
        result = _result(call)
        try:
            pipe.send(result)
        except Exception as error:
            reason = RuntimeError(f"cannot pickle the result: {type(error).__name__}: {error}")
            pipe.send(Report(DONE, error=reason))


def _result(call: Call) -> Report:
    """Run a call and report its value, or what it raised."""
    try:
        return Report(DONE, value=run(call))
    except Exception as error:
        return Report(DONE, error=error)


def _die_with(parent: int) -> None:
    """From now on the kernel kills this process when its parent dies, even in an endless C loop (Linux)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # A parent that died before that call has sent no signal: this process has another parent by now.
    if os.getppid() != parent:
        os._exit(1)


@contextlib.contextmanager
def _stderr_into(file: IO[bytes]) -> Iterator[None]:
    """Processes that are started inside write their stderr into `file`."""
    own_stderr = os.dup(STDERR)
    try:
        os.dup2(file.fileno(), STDERR)
        yield
    finally:
        os.dup2(own_stderr, STDERR)
        os.close(own_stderr)

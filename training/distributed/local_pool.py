"""Workers that are processes of this machine: they need nothing but Python, and start at once."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait

from ...errors import LanceletError
from . import main_guard
from .calls import Call, Outcome, Pool
from .cluster import ONE_THREAD
from .import_paths import safe_path
from .local_worker import OUTSIDE_SIGNALS, LocalWorker, QueuedCall, ending, start_limit

FAILED_STARTS = 3
"""workers in a row that end by themselves while they start, after which the pool gives up"""


class Local(Pool):
    """Spawned processes of this machine that die with this one; a dead one is replaced at once.

    A worker is starting, then idle or busy. It is spawned, not forked: a forked one would keep the lock of the run's
    folder, and would hang where the driver has physics threads (docs/libraries.md, "Threads and forks").

    Args:
        workers: number of processes.

    Raises:
        LanceletError: the script that runs has no main guard. `outcomes` raises it too, where no worker comes up.
    """

    def __init__(self, workers: int) -> None:
        main_guard.refuse_without_guard()
        self._context = multiprocessing.get_context("spawn")
        self._workers = workers
        self._starting: list[LocalWorker] = []
        self._idle: list[LocalWorker] = []
        self._busy: dict[int, LocalWorker] = {}
        """key of a call -> the worker that has it"""
        self._waiting: deque[QueuedCall] = deque()
        self._failed_starts = 0
        """starts in a row that failed"""
        self._last_up = time.monotonic()
        """s of the clock, when not all of the workers were starting"""
        for _ in range(workers):
            self._start()

    @property
    def slots(self) -> int:
        """Number of processes in the pool."""
        return self._workers

    def submit(self, key: int, call: Call) -> None:
        """Send a call to an idle worker, or keep it until there is one."""
        self._waiting.append(QueuedCall(key, call))
        self._hand_out()

    def outcomes(self, timeout: float) -> list[Outcome]:
        """The calls that have ended since the last time; waits up to `timeout` seconds for the first.

        Raises:
            LanceletError: no worker comes up; the message holds the last line that one of them wrote.
        """
        end = time.monotonic() + timeout
        while True:
            self._welcome()
            self._hand_out()
            outcomes = self._ended()
            time_left = end - time.monotonic()
            if outcomes or time_left <= 0:
                # Workers that have just become idle do not wait until the caller asks again.
                self._hand_out()
                return outcomes
            self._wait(time_left)

    def close(self) -> None:
        """Kill every worker and wait for its end."""
        workers = (*self._starting, *self._idle, *self._busy.values())
        # All are killed before the first is waited for: they end side by side.
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.end()
        self._starting = []
        self._idle = []
        self._busy = {}
        self._waiting.clear()

    def _start(self) -> None:
        with _worker_environment():
            self._starting.append(LocalWorker(self._context))

    def _wait(self, timeout: float) -> None:
        """Wait up to `timeout` seconds until a worker sends something or ends."""
        watched: list[Connection | int] = []
        for worker in (*self._starting, *self._busy.values()):
            watched.append(worker.pipe)
            watched.append(worker.process.sentinel)
        wait(watched, timeout)

    def _welcome(self) -> None:
        """Let workers that have come up begin, and replace those that died at their start; or give up."""
        now = time.monotonic()
        if len(self._starting) < self._workers:
            self._last_up = now
        for worker in list(self._starting):
            # Asked before its pipe is read: what it sent before its end is still in there.
            alive = worker.process.is_alive()
            worker.listen()
            if worker.ready:
                self._last_up = now
                self._came_up(worker)
            elif not alive:
                self._died_at_start(worker)
        limit = start_limit(self._workers)
        if now - self._last_up > limit:
            words = self._starting[0].last_words() or "they are still starting"
            raise LanceletError(f"no worker has come up in {limit:.0f} s: {words}")

    def _came_up(self, worker: LocalWorker) -> None:
        self._starting.remove(worker)
        self._failed_starts = 0
        if worker.early is None:
            self._idle.append(worker)
        else:
            self._busy[worker.early.key] = worker

    def _died_at_start(self, worker: LocalWorker) -> None:
        self._starting.remove(worker)
        if worker.early is not None:
            # It had not begun: the call is as good as new, and the next in turn.
            self._waiting.appendleft(worker.early)
        # Its last words are read first: `end` closes the file that they stand in.
        words = worker.last_words()
        worker.end()
        self._check_failed_start(worker.process.exitcode or 0, words)
        self._start()

    def _check_failed_start(self, exit_code: int, words: str | None) -> None:
        """Count a failed start.

        Raises:
            LanceletError: it is of no use to start another worker.
        """
        if exit_code == main_guard.EXIT_STATUS:
            raise LanceletError(main_guard.NO_GUARD)
        if exit_code == -signal.SIGKILL or -exit_code in OUTSIDE_SIGNALS:
            # Somebody else ended it, which is no failure of ours. Where that goes on for ever, the time within
            # which a worker must come up ends the run.
            return
        self._failed_starts += 1
        if self._failed_starts >= FAILED_STARTS:
            reason = words or ending(exit_code)
            raise LanceletError(
                f"{self._failed_starts} workers in a row died while they started: {reason}"
            )

    def _ended(self) -> list[Outcome]:
        """Calls that have come back, those whose process died, and those whose process is past its time."""
        outcomes = []
        for key, worker in list(self._busy.items()):
            outcome = worker.outcome(key)
            if outcome is None:
                continue
            outcomes.append(outcome)
            del self._busy[key]
            if outcome.died is None:
                self._idle.append(worker)
            else:
                self._start()
        return outcomes

    def _hand_out(self) -> None:
        """Give calls to idle workers, and to those that are starting, whose pipes hold small ones."""
        while self._waiting and self._idle:
            worker = self._idle.pop()
            if not worker.usable():  # killed or stopped while it had nothing to do
                worker.process.kill()
                worker.end()
                self._start()
                continue
            queued = self._waiting.popleft()
            worker.take(queued.call)
            self._busy[queued.key] = worker
        for worker in self._starting:
            if not self._waiting:
                break
            if worker.early is None and worker.take_early(self._waiting[0]):
                self._waiting.popleft()


@contextlib.contextmanager
def _worker_environment() -> Iterator[None]:
    """This process has the workers' environment while they are started, which inherit it."""
    variables = {**ONE_THREAD, main_guard.WORKER_MARK: "1"}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        with safe_path():
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

"""A call, its outcome, and the face that every pool of workers shows.

A worker may die over a call, and the pool says so and goes on. A call holds its own deadline and memory limit, so
that neither needs the driver to be well. The driver keeps the deadline as well, because a process that is stopped,
or swapped out, keeps none.

A call is blamed for the death of a process only where it had begun there and nothing else is known to have ended it.
"""

from __future__ import annotations

import resource
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...errors import LanceletError

GRACE = 10.0
"""s beyond the deadline of a call after which the driver ends a process that has not ended itself"""
TOOK_TOO_LONG = "took too long"
"""how a process ended that was killed at the deadline of its call"""


@dataclass(frozen=True)
class Call:
    """A function of a module and its argument, with the time and the memory that it may take."""

    function: Callable[[Any], Any]
    """it is sent by its name: workers import its module"""
    argument: Any
    """what the function is called with; it is pickled"""
    seconds: float = 0.0
    """Deadline, s of wall-clock time: then its process is killed, whatever it does. 0: there is none."""
    memory: int | None = None
    """Bytes of address space that it may take beyond what its process has already. None: there is no limit."""

    def is_overdue(self, running: float) -> bool:
        """Whether the driver has to end a call that has run for `running` s: its process should have, long ago."""
        return self.seconds > 0 and running > self.seconds + GRACE


@dataclass(frozen=True)
class Outcome:
    """What became of a call: a value, an error that it raised, or the death of its process."""

    key: int
    """the number that the call was submitted under"""
    value: Any = None
    """what the function returned"""
    died: str | None = None
    """how its process ended, in words; None: it lives"""
    blamed: bool = True
    """Whether the call may be at fault for the death of its process. It is not where it had not begun, where its node
    was lost or out of memory, or where somebody ended its process."""
    error: BaseException | None = None
    """what the function raised"""
    out_of_memory: bool = False
    """whether its node had no memory left, whichever process had taken it"""


class Pool(ABC):
    """Workers side by side: calls are submitted, and their outcomes come back in any order."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """Number of calls that run at one time."""

    @abstractmethod
    def submit(self, key: int, call: Call) -> None:
        """Send a call; its outcome will bear the number `key`."""

    @abstractmethod
    def outcomes(self, timeout: float) -> list[Outcome]:
        """The calls that have ended since the last time; waits up to `timeout` seconds for the first."""

    @abstractmethod
    def close(self) -> None:
        """End every call that still runs, and every process that the pool has started."""


def run(call: Call) -> Any:
    """Run a call in a worker, under its deadline and its memory limit, and return its value.

    The kernel keeps both. So a call in an endless C loop ends too, with or without a driver.
    """
    # The default action of SIGALRM ends the process; a handler would wait for the interpreter.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, call.seconds)
    soft_limit, hard_limit = resource.getrlimit(resource.RLIMIT_AS)
    if call.memory is not None:
        limit = _address_space() + call.memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard_limit))
    try:
        return call.function(call.argument)
    finally:
        # The worker lives on: its next call begins without timer and limit.
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft_limit, hard_limit))


def loading_error(error: BaseException) -> LanceletError:
    """The one line for a worker that cannot import a call's function, or cannot unpickle its argument."""
    lines = str(error).splitlines() or ["no reason given"]
    kind = type(error).__name__
    return LanceletError(f"a worker cannot load what it is to do: {kind}: {lines[0]}")


def _address_space() -> int:
    """Bytes of address space that this process has now."""
    with open("/proc/self/statm") as file:
        pages = file.read().split()[0]
    return int(pages) * resource.getpagesize()

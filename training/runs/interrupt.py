"""Ctrl-C at a safe point.

Python raises KeyboardInterrupt wherever it happens to be. Inside the log or the progress bar, whose threads hold locks,
that can leave a lock taken for ever. So a training defers the signal to a point where no lock is held.

SIGTERM, by which machines are told to stop, is handled as Ctrl-C: a run ends where it can be continued from.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import NoReturn

from ...errors import Terminated

_pending = threading.Event()
"""set while an interrupt waits for the next `check`"""
_by_sigterm = threading.Event()
"""set once SIGTERM has arrived, until its handler is taken back"""


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Inside, the first Ctrl-C or SIGTERM waits for the next `check`; a second one interrupts at once.

    Outside the main thread, which alone may handle signals, nothing changes.
    """
    if not _in_main_thread():
        yield
        return

    def handle(number: int, frame: object) -> None:
        if _pending.is_set():
            _interrupt()
        _pending.set()

    previous_handler = signal.signal(signal.SIGINT, handle)
    try:
        # Inside: SIGTERM becomes a SIGINT, which must find the handler above.
        with sigterm_as_ctrl_c():
            yield
            # One that came after the last check of the block.
            check()
    finally:
        signal.signal(signal.SIGINT, previous_handler)
        _pending.clear()


@contextlib.contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Inside, SIGTERM does what Ctrl-C would do then; where the caller handles it already, that stays.

    Outside the main thread, nothing changes.

    Raises:
        Terminated: in place of the KeyboardInterrupt that SIGTERM led to.
    """
    is_handled_already = signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    if not _in_main_thread() or is_handled_already:
        yield
        return

    def handle(number: int, frame: object) -> None:
        _by_sigterm.set()
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGTERM, handle)
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if _by_sigterm.is_set() and not isinstance(interrupt, Terminated):
            raise Terminated from interrupt
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _by_sigterm.clear()


def check() -> None:
    """Raise the KeyboardInterrupt that waits, if one does; to be called where no lock is held.

    Raises:
        KeyboardInterrupt: after Ctrl-C.
        Terminated: after SIGTERM.
    """
    if _pending.is_set():
        _interrupt()


def _interrupt() -> NoReturn:
    """Raise what the signal that arrived stands for."""
    if _by_sigterm.is_set():
        raise Terminated
    raise KeyboardInterrupt


def _in_main_thread() -> bool:
    """Whether the caller runs in the main thread."""
    return threading.current_thread() is threading.main_thread()

"""Ctrl-C at a safe point: an exception raised anywhere may leave a lock of the log's or the bar's thread taken.

SIGTERM, by which machines are told to stop, is as Ctrl-C: a run ends where it can be continued from.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

from ...errors import Terminated

_pending = threading.Event()
_by_sigterm = threading.Event()


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Inside, the first Ctrl-C or SIGTERM waits for the next `check`; a second one interrupts at once.

    Outside the main thread, which alone may handle signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: object) -> None:
        if _pending.is_set():
            _interrupt()
        _pending.set()

    before = signal.signal(signal.SIGINT, handle)
    try:
        with sigterm_as_ctrl_c():
            yield
            check()
    finally:
        signal.signal(signal.SIGINT, before)
        _pending.clear()


@contextlib.contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Inside, SIGTERM does what Ctrl-C would do then; where the caller handles it already, that stays.

    Outside the main thread, nothing changes.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def handle(number: int, frame: object) -> None:
        _by_sigterm.set()
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGTERM, handle)
    try:
        yield
    except KeyboardInterrupt as interrupted:
        if _by_sigterm.is_set() and not isinstance(interrupted, Terminated):
            raise Terminated from interrupted
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _by_sigterm.clear()


def check() -> None:
    """Raise the KeyboardInterrupt that waits, if one does; called where no lock is held."""
    if _pending.is_set():
        _interrupt()


def _interrupt() -> None:
    raise Terminated if _by_sigterm.is_set() else KeyboardInterrupt

"""Ctrl-C at a safe point: an exception raised anywhere may leave a lock of the log's or the bar's thread taken."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

_pending = threading.Event()


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Inside, the first Ctrl-C waits for the next `check`; a second one interrupts at once.

    Outside the main thread, which alone may handle signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: object) -> None:
        if _pending.is_set():
            raise KeyboardInterrupt
        _pending.set()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
        check()
    finally:
        signal.signal(signal.SIGINT, before)
        _pending.clear()


def check() -> None:
    """Raise the KeyboardInterrupt that waits, if one does; called where no lock is held."""
    if _pending.is_set():
        raise KeyboardInterrupt

"""SIGTERM asks a driver to end: a node of a cluster is about to go away."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers | None
"""what `signal.signal` takes and gives back"""


class StopRequest:
    """An event that SIGTERM sets, in place of ending the process."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def listen(self) -> Handler:
        """Let SIGTERM set the event.

        Returns:
            The handler that was there before; None in another thread than the main one, where
            Python lets nobody set a handler.
        """
        if threading.current_thread() is not threading.main_thread():
            return None
        return signal.signal(signal.SIGTERM, self._set)

    def is_set(self) -> bool:
        """Whether somebody has asked the driver to end."""
        return self.event.is_set()

    def _set(self, number: int, frame: FrameType | None) -> None:
        self.event.set()


@contextmanager
def stop_on_sigterm() -> Iterator[StopRequest]:
    """Inside the block, SIGTERM sets the event of the request that this yields."""
    request = StopRequest()
    earlier_handler = request.listen()
    try:
        yield request
    finally:
        if earlier_handler is not None:
            signal.signal(signal.SIGTERM, earlier_handler)

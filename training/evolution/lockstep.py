"""Many searches side by side: each steps in a thread, and their candidates are scored together in one batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


class Lockstep:
    """A meeting point: every search brings its candidates, the last to come scores them all.

    The searches stay ordinary EvoTorch objects; results do not depend on the order in which threads arrive.

    Args:
        parties: number of searches.
        evaluate: candidates of every search, (p_i, parameters) each -> their fitness, (p_i,) each.
    """

    def __init__(self, parties: int, evaluate: Callable[[list[Tensor]], Sequence[Tensor]]) -> None:
        self._inbox: list[Tensor] = [torch.empty(0)] * parties
        self._outbox: Sequence[Tensor] = []
        self._evaluate = evaluate
        self._barrier = threading.Barrier(parties, action=self._score)
        self._error: BaseException | None = None

    def _score(self) -> None:
        self._outbox = self._evaluate(list(self._inbox))

    def submit(self, party: int, candidates: Tensor) -> Tensor:
        """The fitness of `candidates`, once every other party has submitted too."""
        self._inbox[party] = candidates.clone()
        self._barrier.wait()
        return self._outbox[party]

    def step(self, searchers: Sequence[Any]) -> None:
        """One step of every search, together.

        Raises:
            Exception: what the scoring or a search raised first.
        """
        threads = [
            threading.Thread(target=self._guarded, args=(searcher,), daemon=True)
            for searcher in searchers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._error is not None:
            raise self._error

    def _guarded(self, searcher: Any) -> None:
        try:
            searcher.step()
        except threading.BrokenBarrierError:
            pass  # another thread failed: its error is the one to tell
        except BaseException as error:
            self._error = error
            self._barrier.abort()

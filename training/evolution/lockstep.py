"""Many searches side by side: each steps in a thread, and their candidates are scored together in one batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor


class Searcher(Protocol):
    """A search of EvoTorch's, whose problem asks a `Lockstep` for the fitness of its candidates."""

    def step(self) -> None:
        """Make one generation."""
        ...


class Lockstep:
    """A meeting point of searches: each brings its candidates, and the last to come scores them all.

    The searches stay ordinary EvoTorch objects; results do not depend on the order in which threads arrive.

    Args:
        parties: number of searches.
        evaluate: scores the candidates of all searches, (p_i, parameters) each -> their fitness, (p_i,) each.
    """

    def __init__(self, parties: int, evaluate: Callable[[list[Tensor]], Sequence[Tensor]]) -> None:
        self._evaluate = evaluate
        self._candidates: list[Tensor] = [torch.empty(0)] * parties
        """what each search has brought"""
        self._fitness: Sequence[Tensor] = []
        """what each search takes back"""
        self._barrier = threading.Barrier(parties, action=self._score)
        self._error: BaseException | None = None
        """what the scoring or a search raised first"""

    def _score(self) -> None:
        """Score all candidates; the barrier calls this in the last thread to come, while the others wait."""
        self._fitness = self._evaluate(list(self._candidates))

    def submit(self, party: int, candidates: Tensor) -> Tensor:
        """Bring candidates, and wait until every other search has brought its own.

        Args:
            party: number of the search, from 0.
            candidates: its genomes, (p, parameters).

        Returns:
            Their fitness, (p,).
        """
        # A copy: the search may reuse the memory of its population.
        self._candidates[party] = candidates.clone()
        self._barrier.wait()
        return self._fitness[party]

    def step(self, searchers: Sequence[Searcher]) -> None:
        """Make one step of every search, together.

        Raises:
            Exception: what the scoring or a search raised first.
        """
        threads = [
            threading.Thread(target=self._step_guarded, args=(searcher,), daemon=True)
            for searcher in searchers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._error is not None:
            raise self._error

    def _step_guarded(self, searcher: Searcher) -> None:
        """Make one step of a search; an error is kept for `step`, and frees the searches that wait."""
        try:
            searcher.step()
        except threading.BrokenBarrierError:
            # Another thread failed: its error is the one to raise.
            pass
        except BaseException as error:
            self._error = error
            self._barrier.abort()

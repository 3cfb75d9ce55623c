"""The search of `routed_es`: each weight climbs by the loss of its column. Importing this imports EvoTorch."""

from __future__ import annotations

from typing import Any

import torch
from evotorch import Problem
from torch import Tensor

from ..evolution.openai_searcher import Searcher


class RoutedSearcher(Searcher):
    """`Searcher` that climbs each weight by its column's loss; the centre stays above the controller's floors.

    Args:
        problem: its evaluations have the mixed loss in column 0, loss 1 and loss 2 behind it, all with their signs
            turned.
        start: first centre, (parameters,).
        shares: how much of the gradient of loss 1 and of loss 2 each weight climbs by, (2, parameters).
        floors: lowest value of each weight, (parameters,); -inf where there is none.
        **search: further arguments of `Searcher`.
    """

    def __init__(
        self, problem: Problem, start: Tensor, shares: Tensor, floors: Tensor, **search: Any
    ) -> None:
        super().__init__(problem, start, **search)
        self._shares = shares
        self._floors = floors

    def gradient(self, evals: Tensor, noise: Tensor) -> Tensor:
        """The shares of both losses' gradients, added up for each weight, (parameters,)."""
        gradient = torch.zeros_like(self.center)
        # Column 0 is the mixed loss, which ranks candidates and drives no weight.
        for column, share in enumerate(self._shares, start=1):
            gradient = gradient + share * self.ascent(evals[:, column], noise)
        return gradient

    def _step(self) -> None:
        super()._step()
        self.center = torch.maximum(self.center, self._floors)

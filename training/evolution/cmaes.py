"""EvoTorch's CMA-ES, its dense covariance handled faster and resumable to the bit."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from evotorch.algorithms import CMAES as EvoCMAES
from torch import Tensor


class CMAES(EvoCMAES):
    """The same search (Hansen 2016); a diagonal covariance is untouched."""

    def __init__(self, *args: Any, **options: Any) -> None:
        with warnings.catch_warnings():  # of torch and numpy about how it copies its own numbers
            warnings.simplefilter("ignore")
            super().__init__(*args, **options)

    def update_C(self, zs: Tensor, ys: Tensor, assigned_weights: Tensor, h_sig: Any) -> None:
        """The rank-mu update as one matrix product in place of a (population, d, d) array."""
        if self.separable:
            super().update_C(zs, ys, assigned_weights, h_sig)
            return
        weights = assigned_weights
        if self.active:
            shrunk = ys.shape[1] * weights / zs.square().sum(-1)
            weights = torch.where(weights > 0, weights, shrunk)
        c_c: Any = self.c_c
        rank_one = self.c_1 * (1 - (1 - h_sig**2) * c_c * (2 - c_c))
        along = (self.c_1 / (rank_one + 1e-23)) ** 0.5 * self.p_c
        mixed = (weights[:, None] * ys).T @ ys
        old = self.C
        mixed = mixed - torch.sum(self.weights) * old
        self.C = old + rank_one * (torch.outer(along, along) - old) + self.c_mu * mixed

    def decompose_C(self) -> None:
        """EvoTorch's, in row-major layout: a checkpoint keeps none, and products of another one round otherwise."""
        super().decompose_C()
        self.A = self.A.contiguous()

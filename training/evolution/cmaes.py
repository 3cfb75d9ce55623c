"""EvoTorch's CMA-ES, its dense covariance handled faster and resumable to the bit. Importing this imports EvoTorch."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from evotorch.algorithms import CMAES as EvoCMAES
from torch import Tensor

STATE = ("m", "sigma", "C", "A", "p_sigma", "p_c")
"""attributes that decide the next step, in Hansen's letters: mean, step size, covariance and its square root, and the
evolution paths of step size and covariance"""
SMALLEST_DIVISOR = 1e-23
"""added to a divisor that may be 0, as EvoTorch does"""


class CMAES(EvoCMAES):
    """The same search (Hansen 2016, arXiv 1604.00772), and the same bits where the covariance is diagonal."""

    def __init__(self, *args: Any, **options: Any) -> None:
        # torch and numpy warn of how EvoTorch copies its own numbers: nothing that a user could mend.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            super().__init__(*args, **options)

    def update_C(self, zs: Tensor, ys: Tensor, assigned_weights: Tensor, h_sig: Any) -> None:
        """Update the covariance by the rank-one and rank-mu terms (Hansen 2016, equation 47).

        The rank-mu term is one matrix product, where EvoTorch makes an array of (population, d, d) numbers.

        Args:
            zs: samples of the standard normal distribution, (population, d).
            ys: the same samples in the shape of the covariance, (population, d).
            assigned_weights: recombination weight of every sample, (population,); negative for the worse half.
            h_sig: 0 where the evolution path is stalled, else 1.
        """
        if self.separable:
            super().update_C(zs, ys, assigned_weights, h_sig)
            return
        weights = assigned_weights
        if self.active:
            # A negative weight is scaled by the sample's length, so that the covariance stays positive definite.
            shrunk = ys.shape[1] * weights / zs.square().sum(-1)
            weights = torch.where(weights > 0, weights, shrunk)
        c_c: Any = self.c_c
        rank_one_rate = self.c_1 * (1 - (1 - h_sig**2) * c_c * (2 - c_c))
        path = (self.c_1 / (rank_one_rate + SMALLEST_DIVISOR)) ** 0.5 * self.p_c
        old = self.C
        rank_mu = (weights[:, None] * ys).T @ ys
        rank_mu = rank_mu - torch.sum(self.weights) * old
        self.C = old + rank_one_rate * (torch.outer(path, path) - old) + self.c_mu * rank_mu

    def decompose_C(self) -> None:
        """Take the square root of the covariance, and lay it out row by row.

        A checkpoint does not keep another layout, and products of a matrix that is laid out otherwise round otherwise.
        """
        super().decompose_C()
        self.A = self.A.contiguous()

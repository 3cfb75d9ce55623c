"""The critic of the actor-critic trainers: a network with its own running normalisers, whatever the actor is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim
from torch import Tensor, nn

from ...controllers import Controller

LEAST_STD = 0.01
"""below which a number counts as constant"""


class Running(nn.Module):
    """Mean and standard deviation of all rows so far (Chan et al. 1979), in buffers, so that they are saved."""

    count: Tensor
    average: Tensor
    squares: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("average", torch.zeros(size, dtype=torch.float64))
        self.register_buffer(
            "squares", torch.zeros(size, dtype=torch.float64)
        )  # sum of squared deviations

    @property
    def mean(self) -> Tensor:
        """(size,), float32; 0 before the first row."""
        return self.average.float()

    @property
    def std(self) -> Tensor:
        """(size,), float32, at least `LEAST_STD`; 1 before the first row."""
        if self.count == 0:
            return torch.ones_like(self.average).float()
        return (self.squares / self.count).sqrt().clamp(min=LEAST_STD).float()

    def update(self, rows: Tensor) -> None:
        """Take (n, size) rows in."""
        rows = rows.double()
        n, mean = len(rows), rows.mean(0)
        whole, apart = self.count + n, mean - self.average
        self.squares += (rows - mean).square().sum(0) + apart.square() * self.count * n / whole
        self.average += apart * n / whole
        self.count.copy_(whole)


class Critic(nn.Module):
    """Value of an observation: tanh layers between a normaliser of the observation and one of the returns.

    The output is in units of the returns' own spread, so that learning rates fit any reward; where the spread
    moves, the last layer is rescaled so that the values stay as they were (van Hasselt et al. 2016, PopArt).

    Args:
        size: numbers in an observation.
        hidden: units of each hidden layer.
    """

    shift: Tensor
    scale: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, size: int, hidden: Sequence[int] = (64, 64)) -> None:
        super().__init__()
        sizes = [size, *hidden]
        self.seen, self.returns = Running(size), Running(1)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.head = nn.Linear(sizes[-1], 1)
        self.register_buffer("shift", torch.zeros(1))
        self.register_buffer("scale", torch.ones(1))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))

    def forward(self, observation: Any) -> Tensor:
        """Values (batch, 1)."""
        x = (flat_rows(observation).to(self.mean.dtype) - self.mean) / self.std
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return self.head(x) * self.scale + self.shift

    @torch.no_grad()
    def update(self, observations: Tensor, returns: Tensor) -> None:
        """Take observations (n, size) and their returns (n,) into the statistics."""
        self.seen.update(observations)
        self.mean.copy_(self.seen.mean)
        self.std.copy_(self.seen.std)
        first = not self.returns.count
        self.returns.update(returns[:, None])
        shift, scale = self.returns.mean, self.returns.std
        if (
            not first
        ):  # before, the values were in units of nothing: they begin at the mean return instead
            self.head.weight *= self.scale / scale
            self.head.bias.copy_((self.head.bias * self.scale + self.shift - shift) / scale)
        self.shift.copy_(shift)
        self.scale.copy_(scale)


def flat_rows(observation: Any) -> Tensor:
    """Observations (batch, ...), or a dict of such however deep, as rows (batch, size), in the order of the keys."""
    if not isinstance(observation, dict):
        return observation.flatten(1)
    return torch.cat([flat_rows(observation[key]) for key in sorted(observation)], dim=1)


def flat(observations: Any, space: spaces.Space) -> Tensor:
    """Observations (..., k), or a dict of such, as rows (n, size); entries stand in the order of their names."""
    if isinstance(space, spaces.Dict):
        return torch.cat([flat(observations[name], space[name]) for name in sorted(space)], 1)
    return torch.as_tensor(observations).reshape(-1, flatdim(space))


@torch.no_grad()
def hand_down(seen: Running, controller: Controller) -> None:
    """Give a controller that normalises its input (mlp, gru) the critic's statistics of the same observations.

    Args:
        seen: of rows that begin with the observation.
        controller: changed where it has buffers ``mean`` and ``std`` of its own.
    """
    own = dict(controller.named_buffers(recurse=False))
    for name in ("mean", "std") if {"mean", "std"} <= own.keys() else ():
        own[name].copy_(getattr(seen, name)[: own[name].numel()].reshape(own[name].shape))

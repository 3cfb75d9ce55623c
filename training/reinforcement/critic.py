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

Observations = Tensor | dict[str, Any]
"""observations (batch, ...): a tensor, or a dict of such however deep"""
LEAST_STD = 0.01
"""standard deviation below which a number counts as constant, in the number's own unit"""


class Running(nn.Module):
    """Mean and standard deviation of all rows so far, in buffers, so that they are saved.

    The names of the buffers stand in saved runs.

    Args:
        size: numbers in a row.
    """

    count: Tensor
    """() number of rows so far"""
    average: Tensor
    """(size,) mean of each number, float64"""
    squares: Tensor
    """(size,) sum of the squared deviations of each number from its mean, float64"""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("average", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(size, dtype=torch.float64))

    @property
    def mean(self) -> Tensor:
        """Mean of each number, (size,), float32; 0 before the first row."""
        return self.average.float()

    @property
    def std(self) -> Tensor:
        """Standard deviation of each number, (size,), float32, at least `LEAST_STD`; 1 before the first row."""
        if self.count == 0:
            return torch.ones_like(self.average).float()
        variance = self.squares / self.count
        return variance.sqrt().clamp(min=LEAST_STD).float()

    def update(self, rows: Tensor) -> None:
        """Take (n, size) rows in, at least one.

        The moments are merged as Chan, Golub and LeVeque (1979) merge those of parallel sums.
        """
        rows = rows.double()
        new_count = len(rows)
        new_mean = rows.mean(0)
        new_squares = (rows - new_mean).square().sum(0)

        total_count = self.count + new_count
        delta_mean = new_mean - self.average
        between = delta_mean.square() * self.count * new_count / total_count
        squares = self.squares + (new_squares + between)
        average = self.average + delta_mean * new_count / total_count
        # All three are known before the first is stored: each needs the old ones.
        self.squares.copy_(squares)
        self.average.copy_(average)
        self.count.copy_(total_count)


class Critic(nn.Module):
    """Value of an observation: tanh layers between a normaliser of the observation and one of the returns.

    The output is in units of the returns' own spread, so that learning rates fit any reward; where the spread
    moves, the last layer is rescaled so that the values stay as they were (van Hasselt et al. 2016, PopArt).

    The names of the parts stand in saved runs.

    Args:
        size: numbers in an observation.
        hidden: units of each hidden layer.
    """

    shift: Tensor
    """(1,) mean of the returns"""
    scale: Tensor
    """(1,) standard deviation of the returns"""
    mean: Tensor
    """(size,) mean of the observations"""
    std: Tensor
    """(size,) standard deviation of the observations"""

    def __init__(self, size: int, hidden: Sequence[int] = (64, 64)) -> None:
        super().__init__()
        sizes = [size, *hidden]
        self.seen = Running(size)
        """statistics of the observations"""
        self.returns = Running(1)
        """statistics of the returns"""
        self.layers = nn.ModuleList(nn.Linear(inputs, units) for inputs, units in pairwise(sizes))
        self.head = nn.Linear(sizes[-1], 1)
        self.register_buffer("shift", torch.zeros(1))
        self.register_buffer("scale", torch.ones(1))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))

    def forward(self, observation: Observations) -> Tensor:
        """Values (batch, 1) of observations (batch, ...)."""
        rows = flat_rows(observation).to(self.mean.dtype)
        hidden = (rows - self.mean) / self.std
        for layer in self.layers:
            hidden = torch.tanh(layer(hidden))
        return self.head(hidden) * self.scale + self.shift

    @torch.no_grad()
    def update(self, observations: Tensor, returns: Tensor) -> None:
        """Take observations (n, size) and their returns (n,) into the statistics; values of observations stay."""
        self.seen.update(observations)
        self.mean.copy_(self.seen.mean)
        self.std.copy_(self.seen.std)
        had_returns = self.returns.count > 0
        self.returns.update(returns[:, None])
        new_shift = self.returns.mean
        new_scale = self.returns.std
        # At the first update the values were in units of nothing yet: they begin at the mean return instead.
        if had_returns:
            self._keep_values(new_shift, new_scale)
        self.shift.copy_(new_shift)
        self.scale.copy_(new_scale)

    def _keep_values(self, new_shift: Tensor, new_scale: Tensor) -> None:
        """Rescale the last layer so that the values are the same under another shift and scale (PopArt)."""
        self.head.weight *= self.scale / new_scale
        bias = (self.head.bias * self.scale + self.shift - new_shift) / new_scale
        self.head.bias.copy_(bias)


def flat_rows(observation: Observations) -> Tensor:
    """Observations as rows (batch, size); the entries of a dict stand in the order of their keys."""
    if not isinstance(observation, dict):
        return observation.flatten(1)
    return torch.cat([flat_rows(observation[key]) for key in sorted(observation)], dim=1)


def flat(observations: Any, space: spaces.Space) -> Tensor:
    """Observations of any leading dimensions as rows (n, size); entries of a dict stand in the order of their names.

    Args:
        observations: (..., k), tensors or arrays, or a dict of such.
        space: of one observation; it says where the leading dimensions end.
    """
    if isinstance(space, spaces.Dict):
        parts = [flat(observations[name], space[name]) for name in sorted(space)]
        return torch.cat(parts, dim=1)
    return torch.as_tensor(observations).reshape(-1, flatdim(space))


@torch.no_grad()
def hand_down(statistics: Running, controller: Controller) -> None:
    """Give a controller that normalises its input (mlp, gru) the critic's statistics of the same observations.

    Args:
        statistics: of rows that begin with the observation.
        controller: changed where it has buffers ``mean`` and ``std`` of its own.
    """
    buffers = dict(controller.named_buffers(recurse=False))
    if "mean" not in buffers or "std" not in buffers:
        return
    values_of_buffer = {"mean": statistics.mean, "std": statistics.std}
    for name, values in values_of_buffer.items():
        buffer = buffers[name]
        # What the critic reads beside the observation stands behind it.
        of_observation = values[: buffer.numel()]
        buffer.copy_(of_observation.reshape(buffer.shape))

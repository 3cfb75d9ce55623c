"""Controllers that know nothing: the floor under every result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from gymnasium import spaces
from torch import Tensor

from ..errors import LanceletError
from .core import Controller, Options, State


def _rows(observation: Any) -> Tensor:
    return next(iter(observation.values())) if isinstance(observation, dict) else observation


def _bounded(space: spaces.Space, who: str) -> spaces.Box:
    if not isinstance(space, spaces.Box) or not space.is_bounded():
        raise LanceletError(f"{who} cannot act in {space}: needs a bounded Box")
    return space


class Zero(Controller):
    """Always zero."""

    def forward(self, observation: Any, state: State) -> tuple[Tensor, State]:
        """Zeros (batch, m)."""
        rows = _rows(observation)
        return rows.new_zeros((rows.shape[0], *self.action_space.shape)), state  # pyright: ignore[reportGeneralTypeIssues, reportOptionalIterable]


@dataclass(frozen=True, kw_only=True)
class RandomOptions(Options):
    """Options of the random controller."""

    seed: int = 0
    """of the stream; agent i of a batch draws a stream of its own from it"""


class Random(Controller):
    """Uniform actions, each a hash of (seed, agent, step, joint): the same for an agent in any batch."""

    Options: ClassVar[type[Options]] = RandomOptions

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Space, options: RandomOptions
    ) -> None:
        super().__init__(observation_space, action_space, options)
        space = _bounded(action_space, "Random")
        self.low: Tensor
        self.high: Tensor
        self.register_buffer("low", torch.as_tensor(space.low), persistent=False)
        self.register_buffer("high", torch.as_tensor(space.high), persistent=False)

    def initial_state(self, batch: int) -> State:
        """Position of every agent's stream, (batch,)."""
        return (torch.arange(batch) + (self.options.seed << 20)) << 32

    def forward(self, observation: Any, state: State) -> tuple[Tensor, State]:
        """Uniform actions (batch, m)."""
        joints = torch.arange(self.low.numel()).reshape(self.low.shape)
        mixed = _mix(_mix(state).reshape(-1, *[1] * self.low.dim()) + joints)
        share = ((mixed >> 11) & (2**53 - 1)).double() / 2**53
        return (self.low + (self.high - self.low) * share).to(self.low.dtype), state + 1


def _mix(x: Tensor) -> Tensor:
    """SplitMix64's finaliser on wrapping int64 (Steele et al. 2014)."""
    x = x + -7046029254386353131
    x = (x ^ ((x >> 30) & (2**34 - 1))) * -4658895280553007687
    x = (x ^ ((x >> 27) & (2**37 - 1))) * -7723592293110705685
    return x ^ ((x >> 31) & (2**33 - 1))

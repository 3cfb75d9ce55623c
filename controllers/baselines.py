"""Controllers that know nothing: the floor under every result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from gymnasium import spaces
from torch import Tensor

from ..errors import LanceletError
from .core import Controller, Observation, Options, State

AGENT_BITS = 20
"""bits of the agent's number in a position of a stream; the seed stands above them"""
STEP_BITS = 32
"""bits of the step's number in a position of a stream; the agent stands above them"""
SHARE_BITS = 53
"""bits of a random share: as many as a float64 holds"""


class Zero(Controller):
    """Always zero."""

    def forward(self, observation: Observation, state: State) -> tuple[Tensor, State]:
        """Zeros (batch, m); the state is passed on."""
        rows = observation
        if isinstance(observation, dict):
            rows = next(iter(observation.values()))
        shape = self.action_space.shape
        assert shape is not None
        return rows.new_zeros((rows.shape[0], *shape)), state


@dataclass(frozen=True, kw_only=True)
class RandomOptions(Options):
    """Options of the random controller."""

    seed: int = 0
    """of the stream; agent i of a batch draws a stream of its own from it"""


class Random(Controller):
    """Uniform actions, each a hash of (seed, agent, step, joint): the same for an agent in any batch.

    A generator would give an agent other actions in a larger batch; and `forward` may draw nothing at random.
    """

    Options: ClassVar[type[Options]] = RandomOptions
    options: RandomOptions

    low: Tensor
    """lower bounds of the action space, in its shape"""
    high: Tensor
    """upper bounds of the action space, in its shape"""

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        options: RandomOptions,
    ) -> None:
        super().__init__(observation_space, action_space, options)
        if not isinstance(action_space, spaces.Box) or not action_space.is_bounded():
            raise LanceletError(f"Random cannot act in {action_space}: needs a bounded Box")
        self.register_buffer("low", torch.as_tensor(action_space.low), persistent=False)
        self.register_buffer("high", torch.as_tensor(action_space.high), persistent=False)

    def initial_state(self, batch: int) -> State:
        """Position of every agent's stream, (batch,): seed, agent and step in one int64."""
        agents = torch.arange(batch) + (self.options.seed << AGENT_BITS)
        return agents << STEP_BITS

    def forward(self, observation: Observation, state: State) -> tuple[Tensor, State]:
        """Uniform actions (batch, m), and the next position of every stream."""
        joints = torch.arange(self.low.numel()).reshape(self.low.shape)
        one_per_agent = _mix(state).reshape(-1, *[1] * self.low.dim())
        mixed = _mix(one_per_agent + joints)
        # The upper 53 of 64 bits: a hash is worst in its lowest ones.
        upper_bits = (mixed >> 11) & (2**SHARE_BITS - 1)
        share = upper_bits.double() / 2**SHARE_BITS
        action = self.low + (self.high - self.low) * share
        return action.to(self.low.dtype), state + 1


def _mix(x: Tensor) -> Tensor:
    """SplitMix64's finaliser on wrapping int64 (Steele et al. 2014).

    `>>` of an int64 copies the sign, so the copies are masked away; the factors are the published ones, as int64.
    """
    x = x + -7046029254386353131
    x = (x ^ ((x >> 30) & (2**34 - 1))) * -4658895280553007687
    x = (x ^ ((x >> 27) & (2**37 - 1))) * -7723592293110705685
    return x ^ ((x >> 31) & (2**33 - 1))

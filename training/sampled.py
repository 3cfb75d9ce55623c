"""Agents that act with noise: the sampled policy of reinforcement learning, where evaluation is to show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..controllers import Controller, Population
from ..controllers.core import State


class Sampled(Population):
    """`Population` of one controller whose actions are Normal(action, std); each agent has a stream of its own.

    Args:
        controller: what acts.
        std: standard deviation, one number or one an action, (m,).
        seeds: one an agent.
        steps: how many steps an episode may have: the noise of each is drawn as one block at the start.
    """

    def __init__(
        self,
        controller: Controller,
        std: float | Sequence[float] | np.ndarray,
        seeds: Sequence[int],
        steps: int,
    ) -> None:
        super().__init__(controller, len(seeds))
        shape = (steps, *controller.action_space.shape)  # pyright: ignore[reportGeneralTypeIssues, reportOptionalIterable]
        blocks = [
            np.random.default_rng([seed, 1]).standard_normal(shape, np.float32) for seed in seeds
        ]
        self._noise = np.stack(blocks, 1) * np.asarray(std, np.float32)
        self._step = 0

    def initial_state(self) -> State:
        """States of all agents at the start of an episode; the noise begins anew."""
        self._step = 0
        return super().initial_state()

    def __call__(self, observation: Any, state: State) -> tuple[np.ndarray, State]:
        """Actions (n, m) with noise, and next states."""
        action, state = super().__call__(observation, state)
        self._step += 1
        return action + self._noise[self._step - 1], state

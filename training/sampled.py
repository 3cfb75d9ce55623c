"""Agents that act with noise: the sampled policy of reinforcement learning, where evaluation is to show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..controllers import Controller, Population
from ..controllers.core import State

NOISE_STREAM = 1
"""second word of the seed of an agent's noise, which must not be that of its start state"""


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
        blocks = []
        for seed in seeds:
            generator = np.random.default_rng([seed, NOISE_STREAM])
            blocks.append(generator.standard_normal(shape, np.float32))
        # Steps first, agents second: a step's noise has the shape of the actions.
        self._noise = np.stack(blocks, axis=1) * np.asarray(std, np.float32)
        self._step = 0

    def initial_state(self) -> State:
        """States of all agents at the start of an episode; the noise begins again with its first step."""
        self._step = 0
        return super().initial_state()

    def __call__(self, observation: Any, state: State) -> tuple[np.ndarray, State]:
        """Actions (n, m) with the noise of this step, and next states."""
        action, next_state = super().__call__(observation, state)
        noise = self._noise[self._step]
        self._step += 1
        return action + noise, next_state

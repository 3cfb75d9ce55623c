"""A controller whose faults stop what it controls, instead of reaching it (docs/systems/hdemg.md, "Safe stop")."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ..emg_layout import GESTURE_COUNT, REST
from ..errors import LanceletError
from .boxes import box
from .core import Controller, Observation, Options, State

# Codes of faults.
NO_FAULT = 0.0
NOT_FINITE = 1.0
"""an action held NaN or infinity: this agent rests, and begins anew with its state"""
EXCEPTION = 2.0
"""the controller raised an exception: all agents rest, and keep their state"""


class GuardedState(NamedTuple):
    """The controller's state, and what went wrong."""

    inner: State
    """of the controller that is guarded"""
    fault: Tensor
    """(batch,) code of the last step's fault"""


class Guarded(Controller):
    """Wraps a controller: where it raises an exception or gives a number that is not finite, the action is rest.

    Rest is the posterior of rest alone where the action is ten posteriors, else 0, or what lies next to it in the action
    box. Signals: those of the controller, and ``fault``, one of the codes of this module.

    The wrapper has no options and no parts of its own: save, load and lesion the controller inside, which is `inner`.

    Args:
        inner: the controller to guard; a plastic one (``pure = False``) keeps what it changed before it failed.

    Raises:
        LanceletError: the controller is guarded already, or its actions are no Box.
    """

    inner: Controller
    rest: Tensor
    """(m,) action that stops"""

    def __init__(self, inner: Controller) -> None:
        if isinstance(inner, Guarded):
            raise LanceletError("Guarded: this controller is guarded already")
        super().__init__(inner.observation_space, inner.action_space, Options())
        self.inner = inner
        self.pure = inner.pure  # pyright: ignore[reportAttributeAccessIssue] - of this instance
        self.exploration = inner.exploration  # pyright: ignore[reportAttributeAccessIssue] - of this instance
        self.register_buffer("rest", rest_action(inner.action_space), persistent=False)

    def counted_interval(self) -> float | None:
        """That of the controller inside."""
        return self.inner.counted_interval()

    def initial_state(self, batch: int) -> State:
        """The controller's, and no fault."""
        return GuardedState(
            inner=self.inner.initial_state(batch),
            fault=torch.full((batch,), NO_FAULT),
        )

    def reset(self, state: State, mask: Tensor) -> State:
        """`state` with the agents of `mask` (batch,) back at the start of an episode."""
        return GuardedState(
            inner=self.inner.reset(state.inner, mask),
            fault=torch.where(mask, NO_FAULT, state.fault),
        )

    def forward(self, observation: Observation, state: State) -> tuple[Tensor, State]:
        """The controller's actions (batch, m), or rest, and the next state."""
        try:
            proposed, next_inner = self.inner(observation, state.inner)
        # Whatever it is: a robot that goes on because of an exception that nobody thought of does harm.
        except Exception:
            return self._stopped(state)
        is_finite = torch.isfinite(proposed).all(dim=-1)
        action = torch.where(is_finite[:, None], proposed, self.rest)
        fault = torch.where(is_finite, NO_FAULT, NOT_FINITE)
        # What made the number may stand in the state, and would make it again.
        sound_inner = self.inner.reset(next_inner, ~is_finite)
        return action, GuardedState(inner=sound_inner, fault=fault)

    def _stopped(self, state: GuardedState) -> tuple[Tensor, State]:
        """Rest for all agents, (batch, m), after an exception, and the state as it was before it."""
        action = self.rest.expand(len(state.fault), -1)
        return action, state._replace(fault=torch.full_like(state.fault, EXCEPTION))

    def learn(
        self,
        observation: Observation,
        action: Tensor,
        reward: Tensor,
        ended: Tensor,
        next_observation: Observation,
        state: State,
    ) -> State:
        """Let the controller inside change, as `Controller.learn`; nothing changes where that raises an exception.

        Args:
            observation: before the step.
            action: taken in the step, (batch, m).
            reward: of the step, (batch,).
            ended: (batch,) True from an agent's last step on.
            next_observation: after the step.
            state: what `forward` gave in the step.
        """
        try:
            inner = self.inner.learn(
                observation, action, reward, ended, next_observation, state.inner
            )
        except Exception:
            return state._replace(fault=torch.full_like(state.fault, EXCEPTION))
        return state._replace(inner=inner)

    def signals(self, state: State) -> dict[str, Tensor]:
        """Those of the controller, and the code of the last step's fault."""
        return {**self.inner.signals(state.inner), "fault": state.fault}


def rest_action(space: spaces.Space) -> Tensor:
    """The action (m,) that stops: the posterior of rest alone, or what lies next to 0 in another box.

    Raises:
        LanceletError: `space` is no one-dimensional Box.
    """
    size = box(space, "Guarded", "the action space")
    assert isinstance(space, spaces.Box)
    is_posterior = size == GESTURE_COUNT and (space.low == 0).all() and (space.high == 1).all()
    if is_posterior:
        posterior = torch.zeros(GESTURE_COUNT)
        posterior[REST] = 1.0
        return posterior
    nearest_to_zero = np.clip(np.zeros(size), space.low, space.high)
    return torch.as_tensor(nearest_to_zero, dtype=torch.get_default_dtype())

"""The intended gesture as it is: perfect labels, and the keyboard whose slips the task makes."""

from __future__ import annotations

from gymnasium import spaces
from torch import Tensor

from ...emg_layout import GESTURE_COUNT
from ...errors import LanceletError
from ..core import Controller, Observation, Options, State
from .decoder import check_posteriors

INTENT = "intent"
"""key of an observation that holds the intended gesture: (10,), 1 in its place"""


class GestureLabels(Controller):
    """Passes the observation ``intent`` on as posteriors: what a decoder without errors and delay would give.

    Raises:
        LanceletError: an observation without ``intent`` (10,), or another action than ten posteriors.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        options: Options,
    ) -> None:
        is_given = (
            isinstance(observation_space, spaces.Dict)
            and INTENT in observation_space.spaces
            and observation_space[INTENT].shape == (GESTURE_COUNT,)
        )
        if not is_given:
            raise LanceletError(
                f"GestureLabels reads an observation '{INTENT}' {(GESTURE_COUNT,)}, not {observation_space}; "
                "the assistive tasks give it with input=gesture"
            )
        check_posteriors(action_space, "GestureLabels")
        super().__init__(observation_space, action_space, options)

    def forward(self, observation: Observation, state: State) -> tuple[Tensor, State]:
        """The intended gesture (batch, 10); the state is passed on."""
        return observation[INTENT], state

"""The perceptron that sees the last few observations: what a memory must beat before it is called one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from gymnasium import spaces
from torch import Tensor

from ...checks import whole_number
from ..core import Observation, Options, State
from ..mlp import MLP, MLPOptions


@dataclass(frozen=True, kw_only=True)
class WindowMLPOptions(MLPOptions):
    """Options of the perceptron over a window."""

    hidden: tuple[int, ...] = (59, 59)
    """units of each hidden layer"""
    window: int = 8
    """observations that are seen at once, the present one included"""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number("window-mlp window", self.window, least=1)


class Window(NamedTuple):
    """State of the perceptron over a window."""

    frames: Tensor
    """(batch, window, k) last observations, oldest first"""
    has_begun: Tensor
    """(batch,) 0 before the first observation of an episode, then 1"""


class WindowMLP(MLP):
    """Fully connected layers over the last `window` observations, which are the whole state.

    At the first step of an episode all frames are the observation of that step. Normalising, lesions and the head are
    those of `MLP`; a lesioned input is silent in every frame.
    """

    Options: ClassVar[type[Options]] = WindowMLPOptions
    options: WindowMLPOptions  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        options: WindowMLPOptions,
    ) -> None:
        # The base class asks for the width before it has kept the options.
        self._window = options.window
        super().__init__(observation_space, action_space, options)

    def _feature_count(self, input_count: int) -> int:
        """Numbers of all frames."""
        return self._window * input_count

    def initial_state(self, batch: int) -> State:
        """No observation yet."""
        frames = self.mean.new_zeros(batch, self._window, len(self.mean))
        return Window(frames=frames, has_begun=self.mean.new_zeros(batch))

    def forward(self, observation: Observation, state: State) -> tuple[Tensor, State]:
        """Actions (batch, m), within the action box where the output is tanh, and the next state."""
        vector = self._vector(observation)
        frames = self._next_frames(vector, state)
        action = self._action(self._features(frames))
        return action, Window(frames=frames, has_begun=torch.ones_like(state.has_begun))

    def _next_frames(self, vector: Tensor, state: Window) -> Tensor:
        """The frames (batch, window, k) that end with the observation `vector` (batch, k)."""
        now = vector.unsqueeze(1)
        shifted = torch.cat([state.frames[:, 1:], now], dim=1)
        has_begun = state.has_begun[:, None, None] > 0
        return torch.where(has_begun, shifted, now.expand_as(shifted))

    def _features(self, frames: Tensor) -> Tensor:
        """What the first layer reads, (batch, window * k), of frames that are not normalised."""
        normalised = (frames - self.mean) / self.std * self._mask(0)
        return normalised.flatten(-2)

    def unroll(self, observation: Observation, state: State) -> tuple[Tensor, State]:
        """As `Controller.unroll`, by one pass of the layers over the windows of all steps."""
        vector = self._vector(observation)
        # Of each step, then (steps, batch, window, k).
        first_frames = self._next_frames(vector[0], state)
        before = first_frames.transpose(0, 1)
        history = torch.cat([before, vector[1:]])
        windows = history.unfold(0, self._window, 1).movedim(-1, 2)
        action = self._action(self._features(windows))
        last = Window(frames=windows[-1], has_begun=torch.ones_like(state.has_begun))
        return action, last

"""Two crossed synapses, Braitenberg's light seeker (Vehicles, 1984; Powers et al., arXiv 1910.07487)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from gymnasium import spaces
from torch import Tensor, nn

from ..checks import number_within
from ..errors import LanceletError
from .boxes import box
from .core import Controller, Options, State


@dataclass(frozen=True, kw_only=True)
class BraitenbergOptions(Options):
    """First weights."""

    left: float = 0.5
    """from sensor 2 to the left wheel, in [-1, 1]"""
    right: float = 0.5
    """from sensor 1 to the right wheel, in [-1, 1]"""

    gain: float = 1.0
    """what both weights are multiplied by: how far [-1, 1] reaches"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, low, high in (("left", -1, 1), ("right", -1, 1), ("gain", 0, 1000)):
            value = getattr(self, name)
            if not number_within(value, low, high):
                raise LanceletError(f"Braitenberg {name} = {value!r}: must be from {low} to {high}")


class Braitenberg(Controller):
    """Observation (batch, 2), sensors 1 and 2; action (batch, 2), wheels left and right: tanh(gain weight sensor).

    The two weights are one parameter `weights` (2,), left wheel first. Parts to lesion: ``left``, ``right``.
    """

    Options: ClassVar[type[Options]] = BraitenbergOptions

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        options: BraitenbergOptions,
    ) -> None:
        seen = box(observation_space, "Braitenberg", "the observation space")
        sizes = seen, box(action_space, "Braitenberg", "the action space")
        if sizes != (2, 2):
            raise LanceletError(
                f"Braitenberg reads 2 sensors and drives 2 wheels: {sizes[0]} and {sizes[1]} given"
            )
        super().__init__(observation_space, action_space, options)
        self.weights = nn.Parameter(
            torch.tensor([options.left, options.right], dtype=torch.float32)
        )
        self.sound: Tensor
        kept = torch.tensor([float(part not in options.lesions) for part in self.parts()])
        self.register_buffer("sound", kept, persistent=False)

    def parts(self) -> list[str]:
        """The two synapses, by the wheel they drive."""
        return ["left", "right"]

    def forward(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Wheel speeds (batch, 2) as shares of the top speed."""
        return torch.tanh(
            self.options.gain * self.weights * self.sound * observation.flip(-1)
        ), state

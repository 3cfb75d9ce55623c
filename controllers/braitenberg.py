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

LARGEST_GAIN = 1000


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
        _check_within("left", self.left, -1, 1)
        _check_within("right", self.right, -1, 1)
        _check_within("gain", self.gain, 0, LARGEST_GAIN)


def _check_within(name: str, value: float, low: float, high: float) -> None:
    """Refuse an option that is not a number from `low` to `high`."""
    if not number_within(value, low, high):
        raise LanceletError(f"Braitenberg {name} = {value!r}: must be from {low} to {high}")


class Braitenberg(Controller):
    """Each of two wheels is driven by the sensor on the other side: wheel = tanh(gain weight sensor).

    Observation (batch, 2): sensors 1 and 2. Action (batch, 2): wheels left and right. The two weights are one
    parameter `weights` (2,), left wheel first. Parts to lesion: ``left``, ``right``.
    """

    Options: ClassVar[type[Options]] = BraitenbergOptions
    options: BraitenbergOptions

    sound: Tensor
    """(2,) 1 for a synapse that works, 0 for a lesioned one, left wheel first"""

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        options: BraitenbergOptions,
    ) -> None:
        sensors = box(observation_space, "Braitenberg", "the observation space")
        wheels = box(action_space, "Braitenberg", "the action space")
        if (sensors, wheels) != (2, 2):
            raise LanceletError(
                f"Braitenberg reads 2 sensors and drives 2 wheels: {sensors} and {wheels} given"
            )
        super().__init__(observation_space, action_space, options)
        weights = torch.tensor([options.left, options.right], dtype=torch.float32)
        self.weights = nn.Parameter(weights)
        sound = torch.tensor([float(part not in options.lesions) for part in self.parts()])
        self.register_buffer("sound", sound, persistent=False)

    def parts(self) -> list[str]:
        """The two synapses, by the wheel they drive."""
        return ["left", "right"]

    def forward(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Wheel speeds (batch, 2) as shares of the top speed; the state is passed on."""
        opposite_sensor = observation.flip(-1)
        drive = self.options.gain * self.weights * self.sound * opposite_sensor
        return torch.tanh(drive), state

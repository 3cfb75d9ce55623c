"""PID: the conventional altitude controller of the blimp (arXiv 2309.12937).

Its gains stand in docs/systems/blimp.md, "The controllers".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from gymnasium import spaces
from torch import Tensor, nn

from ..checks import number_within
from ..errors import LanceletError
from .boxes import box
from .core import Controller, Options, State


@dataclass(frozen=True, kw_only=True)
class PIDOptions(Options):
    """Options of the PID; the defaults are the gains that flew, in command units."""

    kp: float = 9.0
    """command units per m"""
    ki: float = 0.75
    """command units per m s"""
    kd: float = 14.0
    """command units per m/s"""
    dt: float = 0.1
    """s, control step"""
    derivative: Literal["difference", "mean"] = "difference"
    """one backward difference, or the mean of the last two"""
    integral_limit: float | None = 10.0
    """m s, the error's integral is kept within +- this; none: free"""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_finite("kp", self.kp)
        _check_finite("ki", self.ki)
        _check_finite("kd", self.kd)
        _check_positive("dt", self.dt)
        if self.integral_limit is not None:
            _check_positive("integral_limit", self.integral_limit)


def _check_finite(name: str, value: float) -> None:
    """Refuse an option that is no finite number."""
    if not number_within(value, -float("inf"), float("inf")):
        raise LanceletError(f"PID {name} = {value!r}: must be a finite number")


def _check_positive(name: str, value: float) -> None:
    """Refuse an option that is no finite number above 0."""
    _check_finite(name, value)
    if value <= 0:
        raise LanceletError(f"PID {name} = {value!r}: must be > 0")


class PID(Controller):
    """u = kp e + ki I + kd D for every dimension by itself: observation e (batch, m), action u (batch, m), not clipped.

    I = clamp(I + dt e) takes the present error in; D is the backward difference of e over dt. Both begin at 0 and so
    does the last error, so that the first sample of an episode carries the derivative's kick. Gains are parameters,
    shape (): they can be evolved, and differ between agents. Parts to lesion: ``p``, ``i``, ``d``.

    Raises:
        LanceletError: observation and action of different sizes, or gains that are not finite.
    """

    Options: ClassVar[type[Options]] = PIDOptions
    options: PIDOptions

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        options: PIDOptions,
    ) -> None:
        self._size = box(action_space, "PID", "the action space")
        errors = box(observation_space, "PID", "the observation space")
        if errors != self._size:
            raise LanceletError(
                f"PID reads one error an action: {errors} observations, {self._size} actions "
                f'(the blimp has track="snn")'
            )
        super().__init__(observation_space, action_space, options)
        self.kp = nn.Parameter(torch.tensor(float(options.kp)))
        self.ki = nn.Parameter(torch.tensor(float(options.ki)))
        self.kd = nn.Parameter(torch.tensor(float(options.kd)))

    def parts(self) -> list[str]:
        """The three terms."""
        return ["p", "i", "d"]

    def initial_state(self, batch: int) -> State:
        """Integral (m s), last error (m), last difference quotient (m/s): (batch, m) each."""
        rest = self.kp.new_zeros(batch, self._size)
        return rest, rest, rest

    def forward(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Commands (batch, m) from the error, and the next state."""
        error = observation
        last_integral, last_error, last_slope = state
        integral = last_integral + self.options.dt * error
        limit = self.options.integral_limit
        if limit is not None:
            integral = integral.clamp(-limit, limit)
        slope = (error - last_error) / self.options.dt
        derivative = slope
        if self.options.derivative == "mean":
            derivative = (slope + last_slope) / 2

        terms = {
            "p": self.kp * error,
            "i": self.ki * integral,
            "d": self.kd * derivative,
        }
        command = torch.zeros_like(error)
        for name, term in terms.items():
            if name not in self.options.lesions:
                command = command + term
        return command, (integral, error, slope)

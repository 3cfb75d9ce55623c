"""PID: the conventional altitude controller of the blimp (arXiv 2309.12937; spec blimp_snn 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from gymnasium import spaces
from torch import Tensor, nn

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
        for name in ("kp", "ki", "kd", "dt", "integral_limit"):
            value = getattr(self, name)
            if name == "integral_limit" and value is None:
                continue
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not math.isfinite(value)
            ):
                raise LanceletError(f"PID {name} = {value!r}: must be a finite number")
            if name in ("dt", "integral_limit") and value <= 0:
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
    kp: Tensor
    ki: Tensor
    kd: Tensor

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Space, options: PIDOptions
    ) -> None:
        self._size = box(action_space, "PID", "the action space")
        seen = box(observation_space, "PID", "the observation space")
        if seen != self._size:
            raise LanceletError(
                f'PID reads one error an action: {seen} observations, {self._size} actions (the blimp has track="snn")'
            )
        super().__init__(observation_space, action_space, options)
        for name in ("kp", "ki", "kd"):
            setattr(self, name, nn.Parameter(torch.tensor(float(getattr(options, name)))))

    def parts(self) -> list[str]:
        """The three terms."""
        return ["p", "i", "d"]

    def initial_state(self, batch: int) -> State:
        """Integral (m s), last error (m), last difference quotient (m/s): (batch, m) each."""
        rest = self.kp.new_zeros(batch, self._size)
        return rest, rest, rest

    def forward(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Commands (batch, m)."""
        integral, before, last = state
        limit, lesions = self.options.integral_limit, self.options.lesions
        integral = integral + self.options.dt * observation
        if limit is not None:
            integral = integral.clamp(-limit, limit)
        slope = (observation - before) / self.options.dt
        rate = (slope + last) / 2 if self.options.derivative == "mean" else slope
        terms = {"p": self.kp * observation, "i": self.ki * integral, "d": self.kd * rate}
        action = sum(
            (term for name, term in terms.items() if name not in lesions),
            torch.zeros_like(observation),
        )
        return action, (integral, observation, slope)

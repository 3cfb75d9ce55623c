"""Coupled phase oscillators, one a joint (Ijspeert 2008, Neural Networks 21); sensors push them (Owaki et al. 2013).

Owaki, Kano, Nagasawa, Tero, Ishiguro, J. R. Soc. Interface 10: force slows or speeds the phase by its cosine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from gymnasium import spaces
from torch import Tensor, nn

from ..errors import LanceletError
from .boxes import box
from .core import Controller, Options, State, sigmoid

SHARED, JOINT, SENSOR = [0.0, 0.0], [0.0, 0.5, 1.0, math.pi, 1.0, 1.0], [0.0, 0.0]
"""parameters at birth: the whole's, a joint's row, a sensor's row"""
STEP = 0.5
"""rad, by which sensors can shift a phase in one control step, at most"""


@dataclass(frozen=True, kw_only=True)
class OscillatorOptions(Options):
    """Who is coupled to whom; the defaults make a chain, each joint and each sensor with a row of its own."""

    period: float = 40.0
    """control steps of a cycle at birth"""
    upstream: tuple[int, ...] | None = None
    """for each joint the joint before it (less than its own number) that it keeps its phase to; -1: the clock;
    none: a chain from the first"""
    joint_rows: tuple[int, ...] | None = None
    """for each joint its row of weights; joints that share one are copies of each other; none: one each"""
    mirrored: tuple[bool, ...] | None = None
    """for each joint whether it is the mirror image of its row's; none: no joint"""
    sensor_rows: tuple[int, ...] | None = None
    """for each observation its row of weights; none: one each"""
    heard_by: tuple[tuple[int, ...], ...] | None = None
    """for each observation the joints that hear it; none: all hear all"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.heard_by is not None:  # from JSON
            object.__setattr__(self, "heard_by", tuple(tuple(joints) for joints in self.heard_by))


class Oscillator(Controller):
    """A central pattern generator for any number of joints and any observation.

    Joint i, whose row of `joints` is (offset, size, lag, mirror lag, hearing, mirror hearing), follows its joint
    upstream u(i), or the clock; with f = exp(`rhythm`_0) / period, k = sigmoid(`rhythm`_1) / 2 and x the observation:

        clock'  = clock + 2 pi f
        phase_i = phase_u(i) - lag_i + (shift_i - shift_u(i))      lags of the mirrored: lag + mirror lag
        shift_i' = shift_i + k sin(shift_u(i) - shift_i) - [h_i p_i cos phase_i]      [.] within +-0.5 rad
        action_i = offset_i + size_i sin phase_i + h_i m_i

    where m_i and p_i are the sums over the sensors that joint i hears of `sensors` (to the motor, to the phase) times
    x, and h_i is how well it hears. Sensors that many joints hear count with one over the square root of how many.

    At birth: equal lags of 1 rad, mirror images half a cycle apart, no sensor heard. State: ``clock`` (batch,),
    ``shift`` and ``phase`` (batch, joints), rad. Parts to lesion: ``rhythm`` (joints stand still), ``coupling``,
    ``feedback``, ``joint:i`` (its command is 0), ``sensor:i`` (observation i reads 0), i from 1.
    """

    Options: ClassVar[type[Options]] = OscillatorOptions
    exploration: ClassVar[tuple[float, bool]] = (0.1, False)

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        options: OscillatorOptions,
    ) -> None:
        n = self.count = box(action_space, "Oscillator", "the action space")
        k = box(observation_space, "Oscillator", "the observation space")
        if not 1 < options.period < math.inf:
            raise LanceletError(f"Oscillator period = {options.period!r}: must be finite and > 1")
        upstream = _list("upstream", options.upstream, n, range(-1, n - 1))
        if any(above >= joint for joint, above in enumerate(upstream)):
            raise LanceletError(
                f"Oscillator upstream = {options.upstream!r}: each joint must follow one before it"
            )
        joint_rows = _list("joint_rows", options.joint_rows, n, range(n))
        sensor_rows = _list("sensor_rows", options.sensor_rows, k, range(k))
        mirrored = [False] * n if options.mirrored is None else list(options.mirrored)
        heard_by = [range(n)] * k if options.heard_by is None else list(options.heard_by)
        if (
            len(mirrored) != n
            or len(heard_by) != k
            or any(not 0 <= i < n for joints in heard_by for i in joints)
        ):
            raise LanceletError(
                f"Oscillator mirrored and heard_by: need {n} and {k} entries, joints from 0 to {n - 1}"
            )
        super().__init__(observation_space, action_space, options)
        self.rhythm = nn.Parameter(torch.tensor(SHARED))
        self.joints = nn.Parameter(torch.tensor([JOINT] * (max(joint_rows) + 1)))
        self.sensors = nn.Parameter(torch.tensor([SENSOR] * (max(sensor_rows) + 1)))
        path, parent, hears = torch.eye(n), torch.zeros(n, n), torch.zeros(n, k)
        for joint, above in enumerate(upstream):
            if above >= 0:
                path[joint] += path[above]
                parent[joint, above] = 1
        for channel, joints in enumerate(heard_by):
            hears[list(joints), channel] = len(joints) ** -0.5 if joints else 0.0
        hears[:, self.silenced("sensor")] = 0
        if "feedback" in options.lesions:
            hears[:] = 0
        moves = torch.ones(n)
        moves[self.silenced("joint")] = 0
        self.path: Tensor
        self.parent: Tensor
        self.hears: Tensor
        self.moves: Tensor
        self.mirrored: Tensor
        self.joint_rows: Tensor
        self.sensor_rows: Tensor
        for name, value in (("path", path), ("parent", parent), ("hears", hears), ("moves", moves)):
            self.register_buffer(name, value, persistent=False)
        self.register_buffer(
            "mirrored", torch.tensor(mirrored, dtype=torch.float32), persistent=False
        )
        self.register_buffer("joint_rows", torch.tensor(joint_rows), persistent=False)
        self.register_buffer("sensor_rows", torch.tensor(sensor_rows), persistent=False)

    def parts(self) -> list[str]:
        """The rhythm, the coupling, all feedback; every joint, every sensor."""
        joints = (f"joint:{i}" for i in range(1, self.count + 1))
        sensors = (f"sensor:{i}" for i in range(1, (self.observation_space.shape or (0,))[0] + 1))
        return ["rhythm", "coupling", "feedback", *joints, *sensors]

    def initial_state(self, batch: int) -> State:
        """The clock at 0, every joint in its place in the rhythm."""
        still = torch.zeros(batch, self.count)
        return {"clock": torch.zeros(batch), "shift": still, "phase": still.clone()}

    def forward(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Commands (batch, joints) in [-1, 1]."""
        offset, size, lag, twin_lag, hearing, twin_hearing = self.joints[self.joint_rows].unbind(-1)
        heard = (
            observation.clamp(-10, 10).unsqueeze(-1) * self.sensors[self.sensor_rows]
        )  # (batch, sensors, 2)
        ears = torch.where(self.mirrored > 0, twin_hearing, hearing).unsqueeze(-1)
        motor, push = (ears * (self.hears @ heard)).unbind(-1)
        shift, clock = state["shift"], state["clock"]
        phase = clock.unsqueeze(-1) - self.path @ (lag + self.mirrored * twin_lag) + shift
        command = offset + motor
        if "rhythm" not in self.options.lesions:
            command = command + size * torch.sin(phase)
        pull = 0.0
        if "coupling" not in self.options.lesions:
            pull = 0.5 * sigmoid(self.rhythm[1]) * torch.sin(shift @ self.parent.T - shift)
        step = 2 * math.pi / self.options.period * torch.exp(self.rhythm[0].clamp(-3, 3))
        clock = torch.remainder(clock + step.clamp(max=math.pi), 2 * math.pi)
        state = {
            "clock": clock,
            "shift": shift + pull - (push * torch.cos(phase)).clamp(-STEP, STEP),
            "phase": phase,
        }
        return (command * self.moves).clamp(-1, 1), state

    def signals(self, state: State) -> dict[str, Tensor]:
        """``phase`` (batch, joints) of the last step, in rad."""
        return {"phase": torch.remainder(state["phase"], 2 * math.pi)}


def _list(name: str, given: Any, count: int, usual: range) -> list[int]:
    """Whole numbers from -1 or 0 up, one for each of `count`; rows must be used without a gap."""
    values = list(usual if given is None else given)
    least = -1 if name == "upstream" else 0
    if len(values) != count or any(
        isinstance(v, bool) or not isinstance(v, int) or v < least for v in values
    ):
        raise LanceletError(
            f"Oscillator {name} = {given!r}: needs {count} whole numbers, {least} or more"
        )
    if least == 0 and set(values) != set(range(max(values, default=-1) + 1)):
        raise LanceletError(
            f"Oscillator {name} = {given!r}: rows must be used from 0 on without a gap"
        )
    return values

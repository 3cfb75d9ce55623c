"""Coupled phase oscillators, one a joint (Ijspeert 2008, Neural Networks 21); sensors push them (Owaki et al. 2013).

Owaki, Kano, Nagasawa, Tero, Ishiguro, J. R. Soc. Interface 10: force slows or speeds the phase by its cosine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from gymnasium import spaces
from torch import Tensor, nn

from ..checks import finite_number
from ..errors import LanceletError
from .boxes import box
from .core import Controller, Exploration, Options, State, sigmoid

RHYTHM_AT_BIRTH = {
    "log_frequency": 0.0,
    "coupling": 0.0,
}
"""the parameters of the whole: the logarithm of the frequency times the period at birth; how strongly joints pull
each other back to their lags"""
JOINT_AT_BIRTH = {
    "offset": 0.0,
    "size": 0.5,
    "lag": 1.0,
    "mirror_lag": math.pi,
    "hearing": 1.0,
    "mirror_hearing": 1.0,
}
"""a row of `Oscillator.joints`, in the order in which it is saved; lags in rad"""
SENSOR_AT_BIRTH = {
    "to_motor": 0.0,
    "to_phase": 0.0,
}
"""a row of `Oscillator.sensors`, in the order in which it is saved"""
LOG_FREQUENCY = list(RHYTHM_AT_BIRTH).index("log_frequency")
COUPLING = list(RHYTHM_AT_BIRTH).index("coupling")

CLOCK = -1
"""stands in `upstream` for a joint that follows the clock and no other joint"""
LARGEST_PUSH = 0.5
"""rad, by which sensors can shift a phase in one control step, at most"""
LARGEST_OBSERVATION = 10.0
"""observations are clipped to this on both sides"""
LARGEST_LOG_FREQUENCY = 3.0
"""the logarithm of the frequency is clipped to this on both sides: 20 times as fast or as slow as at birth"""
STRONGEST_PULL = 0.5
"""rad, that the coupling can pull a phase in one control step, at most"""


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
        if self.heard_by is not None:
            # JSON has no tuples: lists in a file stand for them.
            object.__setattr__(self, "heard_by", tuple(tuple(joints) for joints in self.heard_by))


class Oscillator(Controller):
    """A central pattern generator for any number of joints and any observation.

    Joint i, whose row of `joints` is (offset, size, lag, mirror lag, hearing, mirror hearing), follows its joint
    upstream u(i), or the clock; with f = exp(`rhythm`_0) / period, k = sigmoid(`rhythm`_1) / 2 and x the observation
    (each of the names is explained at `JOINT_AT_BIRTH` and its neighbours):

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
    exploration: ClassVar[tuple[float, bool]] = Exploration(
        standard_deviation=0.1, is_learned=False
    )
    options: OscillatorOptions

    path: Tensor
    """(joints, joints) 1 where the second joint lies on the way from the clock to the first, which counts itself"""
    parent: Tensor
    """(joints, joints) 1 where the first joint follows the second"""
    hears: Tensor
    """(joints, sensors) how much of a sensor a joint hears, by the wiring alone"""
    moves: Tensor
    """(joints,) 1 for a joint that moves, 0 for a lesioned one"""
    mirrored: Tensor
    """(joints,) 1 for the mirror image of a row's joint"""
    joint_rows: Tensor
    """(joints,) row of `joints` for each joint"""
    sensor_rows: Tensor
    """(sensors,) row of `sensors` for each observation"""

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        options: OscillatorOptions,
    ) -> None:
        self.count = box(action_space, "Oscillator", "the action space")
        self.sensor_count = box(observation_space, "Oscillator", "the observation space")
        finite_number("Oscillator period", options.period, above=1, unit="control steps")
        upstream = _upstream(options.upstream, self.count)
        joint_rows = _rows("joint_rows", options.joint_rows, self.count)
        sensor_rows = _rows("sensor_rows", options.sensor_rows, self.sensor_count)
        mirrored = _mirrored(options, self.count)
        heard_by = _heard_by(options, self.count, self.sensor_count)
        _check_wiring(mirrored, heard_by, self.count, self.sensor_count)
        super().__init__(observation_space, action_space, options)
        self.rhythm = nn.Parameter(_table(RHYTHM_AT_BIRTH, rows=1)[0])
        self.joints = nn.Parameter(_table(JOINT_AT_BIRTH, rows=max(joint_rows) + 1))
        self.sensors = nn.Parameter(_table(SENSOR_AT_BIRTH, rows=max(sensor_rows) + 1))

        hears = _hearing(heard_by, self.count)
        hears[:, self.silenced("sensor")] = 0
        if "feedback" in options.lesions:
            hears[:] = 0
        moves = torch.ones(self.count)
        moves[self.silenced("joint")] = 0
        path, parent = _tree(upstream)
        self._add_buffer("path", path)
        self._add_buffer("parent", parent)
        self._add_buffer("hears", hears)
        self._add_buffer("moves", moves)
        self._add_buffer("mirrored", torch.tensor(mirrored, dtype=torch.float32))
        self._add_buffer("joint_rows", torch.tensor(joint_rows))
        self._add_buffer("sensor_rows", torch.tensor(sensor_rows))

    def _add_buffer(self, name: str, value: Tensor) -> None:
        """Keep a tensor that is not saved, since it follows from the options."""
        self.register_buffer(name, value, persistent=False)

    def parts(self) -> list[str]:
        """The rhythm, the coupling, all feedback; every joint, every sensor."""
        joints = [f"joint:{number}" for number in range(1, self.count + 1)]
        sensors = [f"sensor:{number}" for number in range(1, self.sensor_count + 1)]
        return ["rhythm", "coupling", "feedback", *joints, *sensors]

    def initial_state(self, batch: int) -> State:
        """The clock at 0, every joint in its place in the rhythm."""
        return {
            "clock": torch.zeros(batch),
            "shift": torch.zeros(batch, self.count),
            "phase": torch.zeros(batch, self.count),
        }

    def forward(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Commands (batch, joints) in [-1, 1], and the clock, shifts and phases of the step."""
        # The columns of `JOINT_AT_BIRTH`, (joints,) each.
        own_rows = self.joints[self.joint_rows]
        offset, size, lag, mirror_lag, hearing, mirror_hearing = own_rows.unbind(-1)
        to_motor, to_phase = self._feedback(observation, hearing, mirror_hearing)

        # The lags of all joints from the clock to this one add up.
        lags = self.path @ (lag + self.mirrored * mirror_lag)
        phase = state["clock"].unsqueeze(-1) - lags + state["shift"]
        command = offset + to_motor
        if "rhythm" not in self.options.lesions:
            command = command + size * torch.sin(phase)

        push = (to_phase * torch.cos(phase)).clamp(-LARGEST_PUSH, LARGEST_PUSH)
        next_state = {
            "clock": self._next_clock(state["clock"]),
            "shift": state["shift"] + self._pull(state["shift"]) - push,
            "phase": phase,
        }
        return (command * self.moves).clamp(-1, 1), next_state

    def _feedback(
        self, observation: Tensor, hearing: Tensor, mirror_hearing: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What joints hear of the sensors.

        Args:
            observation: (batch, sensors).
            hearing: how well each joint hears, (joints,).
            mirror_hearing: the same of a joint that is a mirror image, (joints,).

        Returns:
            What goes to the motor, and what goes to the phase: (batch, joints) each.
        """
        clipped = observation.clamp(-LARGEST_OBSERVATION, LARGEST_OBSERVATION)
        # (batch, sensors, 2), the columns of `SENSOR_AT_BIRTH`.
        signals = clipped.unsqueeze(-1) * self.sensors[self.sensor_rows]
        own_hearing = torch.where(self.mirrored > 0, mirror_hearing, hearing)
        heard = own_hearing.unsqueeze(-1) * (self.hears @ signals)
        to_motor, to_phase = heard.unbind(-1)
        return to_motor, to_phase

    def _pull(self, shift: Tensor) -> Tensor | float:
        """How far the joint upstream pulls each phase in a step, (batch, joints) rad; `shift` is (batch, joints)."""
        if "coupling" in self.options.lesions:
            return 0.0
        strength = STRONGEST_PULL * sigmoid(self.rhythm[COUPLING])
        upstream_shift = shift @ self.parent.T
        return strength * torch.sin(upstream_shift - shift)

    def _next_clock(self, clock: Tensor) -> Tensor:
        """The clock (batch,) after a step, rad in [0, 2 pi)."""
        log_frequency = self.rhythm[LOG_FREQUENCY]
        log_frequency = log_frequency.clamp(-LARGEST_LOG_FREQUENCY, LARGEST_LOG_FREQUENCY)
        turn = 2 * math.pi / self.options.period * torch.exp(log_frequency)
        # More than half a turn a step would look like a turn the other way.
        return torch.remainder(clock + turn.clamp(max=math.pi), 2 * math.pi)

    def signals(self, state: State) -> dict[str, Tensor]:
        """``phase`` (batch, joints) of the last step, in rad."""
        return {"phase": torch.remainder(state["phase"], 2 * math.pi)}


def _table(row_at_birth: dict[str, float], rows: int) -> Tensor:
    """Parameters (rows, columns) at birth: equal rows."""
    return torch.tensor([list(row_at_birth.values())] * rows)


def _tree(upstream: list[int]) -> tuple[Tensor, Tensor]:
    """Matrices (joints, joints) of who follows whom: `Oscillator.path` and `Oscillator.parent`."""
    count = len(upstream)
    path = torch.eye(count)
    parent = torch.zeros(count, count)
    # In this order every path is complete before it is added to another: a joint follows one before it.
    for joint, above in enumerate(upstream):
        if above != CLOCK:
            path[joint] += path[above]
            parent[joint, above] = 1
    return path, parent


def _hearing(heard_by: list[Sequence[int]], count: int) -> Tensor:
    """Weights (joints, sensors) of the wiring: one over the square root of how many joints hear a sensor."""
    hears = torch.zeros(count, len(heard_by))
    for sensor, joints in enumerate(heard_by):
        if joints:
            hears[list(joints), sensor] = len(joints) ** -0.5
    return hears


def _upstream(given: Sequence[int] | None, count: int) -> list[int]:
    """For each joint the one that it follows; by default a chain from the clock on."""
    if given is None:
        return list(range(-1, count - 1))
    upstream = _whole_numbers("upstream", given, count, least=CLOCK)
    for joint, above in enumerate(upstream):
        if above >= joint:
            raise LanceletError(
                f"Oscillator upstream = {given!r}: each joint must follow one before it"
            )
    return upstream


def _rows(name: str, given: Sequence[int] | None, count: int) -> list[int]:
    """For each of `count` joints or sensors its row of weights; by default one each. `name` is for the error."""
    if given is None:
        return list(range(count))
    rows = _whole_numbers(name, given, count, least=0)
    # A row that none uses would be a weight without effect.
    if set(rows) != set(range(max(rows) + 1)):
        raise LanceletError(
            f"Oscillator {name} = {given!r}: rows must be used from 0 on without a gap"
        )
    return rows


def _whole_numbers(name: str, given: Sequence[int], count: int, least: int) -> list[int]:
    """The given numbers as a list, if they are `count` whole numbers from `least` on; `name` is for the error."""
    values = list(given)
    are_whole = all(isinstance(value, int) and not isinstance(value, bool) for value in values)
    if len(values) != count or not are_whole or min(values) < least:
        raise LanceletError(
            f"Oscillator {name} = {given!r}: needs {count} whole numbers, {least} or more"
        )
    return values


def _mirrored(options: OscillatorOptions, count: int) -> list[bool]:
    """For each joint whether it is a mirror image; by default none is."""
    if options.mirrored is None:
        return [False] * count
    return list(options.mirrored)


def _heard_by(
    options: OscillatorOptions, joint_count: int, sensor_count: int
) -> list[Sequence[int]]:
    """For each sensor the joints that hear it; by default all hear all."""
    if options.heard_by is None:
        return [range(joint_count)] * sensor_count
    return list(options.heard_by)


def _check_wiring(
    mirrored: list[bool], heard_by: list[Sequence[int]], joint_count: int, sensor_count: int
) -> None:
    """Refuse wiring that does not fit the body.

    Args:
        mirrored: for each joint whether it is a mirror image.
        heard_by: for each sensor the joints that hear it.
        joint_count: joints that there are.
        sensor_count: sensors that there are.
    """
    has_right_lengths = len(mirrored) == joint_count and len(heard_by) == sensor_count
    listeners = [joint for joints in heard_by for joint in joints]
    if not has_right_lengths or not all(0 <= joint < joint_count for joint in listeners):
        raise LanceletError(
            f"Oscillator mirrored and heard_by: need {joint_count} and {sensor_count} entries, "
            f"joints from 0 to {joint_count - 1}"
        )

"""NCAP, the C. elegans swimming circuit (Bhattasali, Zador, Engel 2022, arXiv 2201.05242).

The equations and the figures that it is measured against stand in docs/systems/ncap.md, "The circuit" and "Reference
figures".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from gymnasium import spaces
from torch import Tensor, nn

from ..checks import finite_number, whole_number
from ..errors import LanceletError
from .boxes import box
from .core import Controller, Exploration, Options, State

HORIZON = 1000
"""control steps in which the clock of an observation runs from -1 to 1, however long the episode is; equal to that of
`envs/swim.py`, which controllers do not import"""

INHIBITORY = ("contralateral", "speed")
"""synapse classes whose weights are kept <= 0; those of all others are kept >= 0"""

# B neurons are the worm's motor neurons for swimming forward: a pair at each joint, one for each side of the body.
# The dorsal side is that of a positive joint angle, the ventral side that of a negative one.
DORSAL = 0
VENTRAL = 1
SIDES = 2

# An observation has 3 + 4 N numbers; a target and a clock add to them.
TARGET_NUMBERS = 2
CLOCK_NUMBERS = 1

# Hard steering looks at where the target is in the frame of the head; the thresholds are the published code's.
NEAR = 0.12
"""m along the body; with a target no farther away than this the swimmer stops"""
ASIDE = 0.1
"""m to one side; with a target farther away than this the swimmer turns"""

STEERING_NOISE = 0.1
"""standard deviation of the first weights of learned steering"""


@dataclass(frozen=True, kw_only=True)
class NCAPOptions(Options):
    """Options of the circuit; the defaults are the published model.

    Its four weights are those of the classes `proprioception`, `oscillator`, `ipsilateral` and `contralateral`.
    """

    sharing: bool = True
    """one weight a synapse class, shared by all joints and both sides"""
    sign: bool = True
    """keep excitatory weights >= 0 and inhibitory ones <= 0"""
    init: Literal["unit", "uniform"] = "unit"
    """magnitudes 1, or uniform in [0, 1]; with sign off, random signs as well"""
    period: int = 60
    """control steps of the head oscillator's cycle"""
    oscillator: bool = True
    """the head oscillator drives the first pair of B neurons"""
    proprioception: bool = True
    """every B neuron hears the joint in front of it"""
    speed: bool = False
    """add the speed brake: one more synapse class, inhibitory, which acts with 1 - speed"""
    turn: bool = False
    """add the turn commands: one more synapse class"""
    turn_joints: int = 1
    """pairs of B neurons that hear the turn command"""
    command: tuple[float, float, float] = (1.0, 0.0, 0.0)
    """speed (1 fastest, 0 stopped), right and left turn where `steering` is none"""
    steering: Literal["none", "hard", "learned"] = "none"
    """who gives speed and turn: `command`, fixed thresholds on the target's place, or one affine map of it; it has an
    effect only with `speed` or `turn`"""
    joint_limit: float | None = None
    """rad, scale of the joint angles; None: 2 pi / (joints + 1)"""
    seed: int = 0
    """of the random initial weights"""


class NCAP(Controller):
    """A chain of B-neuron pairs: head oscillator, proprioception from the joint in front, cross-inhibited muscles.

    Observation: the first N numbers are the joint angles in rad, N = number of actions. The phase comes from the
    last number where there are 4N + 4 of them (4N + 6 with a target): -1 + 2 t / 1000; else from a step counter
    in the state. Steering reads the target (left, behind; m, head frame) from numbers N and N + 1.

    Parts to lesion: the synapse classes ``proprioception``, ``oscillator``, ``ipsilateral``, ``contralateral``,
    ``speed``, ``turn``; ``sensor:i`` (joint i's angle), ``neurons:i`` (B pair i), i from 1.
    """

    Options: ClassVar[type[Options]] = NCAPOptions
    exploration: ClassVar[tuple[float, bool]] = Exploration(
        standard_deviation=0.1, is_learned=False
    )
    options: NCAPOptions

    sensors: Tensor
    """(N, 1) 1 for a joint whose angle is felt, 0 for a lesioned sensor"""
    neurons: Tensor
    """(N, 1) 1 for a pair of B neurons that fires, 0 for a lesioned one"""
    turning: Tensor
    """(N, 1) 1 for a pair of B neurons that hears the turn command"""

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        options: NCAPOptions,
    ) -> None:
        self.joints = box(action_space, "NCAP", "the action space")
        self.size = box(observation_space, "NCAP", "the observation space")
        extra_numbers = _extra_numbers(self.size, self.joints)
        has_target = extra_numbers >= TARGET_NUMBERS
        _check_options(options, self.joints, has_target)
        # Before `super()`, which checks lesions against `parts()`: those need the joints and the shapes.
        self._shapes = _weight_shapes(options, self.joints)
        super().__init__(observation_space, action_space, options)

        self.clocked = extra_numbers in (CLOCK_NUMBERS, TARGET_NUMBERS + CLOCK_NUMBERS)
        self.scale = options.joint_limit or 2 * math.pi / (self.joints + 1)
        self._add_weights()
        self._add_masks()

    def _add_weights(self) -> None:
        """Create the weights; those of one seed are the same in every process, drawn in the order of `_shapes`."""
        generator = torch.Generator().manual_seed(self.options.seed)
        for name, unshared_shape in self._shapes.items():
            shape = () if self.options.sharing else unshared_shape
            weight = self._first_weight(name, shape, generator)
            setattr(self, name, nn.Parameter(weight))
        if self.options.steering == "learned":
            noise = torch.randn((3, 3), generator=generator)
            self.steer = nn.Parameter(noise * STEERING_NOISE)

    def _first_weight(
        self,
        name: str,
        shape: tuple[int, ...],
        generator: torch.Generator,
    ) -> Tensor:
        """Weights of one synapse class before any training.

        Args:
            name: of the class; the inhibitory ones are negative where the sign is kept.
            shape: of its weights; () where they are shared.
            generator: of the run's seed. Magnitudes are drawn where these are random, then signs where these are free.
        """
        magnitude = torch.ones(shape)
        if self.options.init == "uniform":
            magnitude = torch.rand(shape, generator=generator)
        if not self.options.sign:
            random_sign = 2.0 * torch.randint(0, 2, shape, generator=generator) - 1.0
            return magnitude * random_sign
        if name in INHIBITORY:
            return -magnitude
        return magnitude

    def _add_masks(self) -> None:
        """Create the buffers that silence lesioned parts, and the one that says which pairs hear the turn command."""
        sensors = torch.ones(self.joints, 1)
        sensors[self.silenced("sensor")] = 0
        self.register_buffer("sensors", sensors, persistent=False)
        neurons = torch.ones(self.joints, 1)
        neurons[self.silenced("neurons")] = 0
        self.register_buffer("neurons", neurons, persistent=False)
        turning = torch.zeros(self.joints, 1)
        turning[: self.options.turn_joints] = 1
        self.register_buffer("turning", turning, persistent=False)

    def parts(self) -> list[str]:
        """Synapse classes present, every joint's sensor, every B pair."""
        numbers = range(1, self.joints + 1)
        sensors = [f"sensor:{number}" for number in numbers]
        neurons = [f"neurons:{number}" for number in numbers]
        return [*self._shapes, *sensors, *neurons]

    def _weight(self, name: str) -> Tensor | float:
        """A synapse class as the forward pass uses it: clamped to its sign; 0 if absent or lesioned.

        The weight itself is left free, so that an evolution strategy may carry it over the bound and back. A gradient
        cannot bring it back: it is zero beyond the bound.
        """
        if name not in self._shapes or name in self.options.lesions:
            return 0.0
        weight: Tensor = getattr(self, name)
        if not self.options.sign:
            return weight
        if name in INHIBITORY:
            return weight.clamp(max=0)
        return weight.clamp(min=0)

    def initial_state(self, batch: int) -> State:
        """The step counter, (batch,); nothing where the observation carries the time."""
        if self.clocked:
            return ()
        return torch.zeros(batch, dtype=torch.int64)

    def forward(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Motor commands (batch, N) in [-1, 1], and the state of the next step.

        The chain of docs/systems/ncap.md, "The circuit": the bend of a joint excites the pair of B neurons behind it,
        the oscillator excites the pair at the head, and a B neuron excites the muscle on its own side and inhibits
        the one on the other side.
        """
        bend = self._bend(observation)
        head_drive = self._weight("oscillator") * self._half_cycle(observation, state)
        # The last joint has no pair behind it: its bend drives nothing.
        chain_drive = self._weight("proprioception") * bend[:, :-1]
        drive = torch.cat([head_drive, chain_drive], dim=1)
        if self.options.speed or self.options.turn:
            drive = drive + self._command_drive(observation)

        b_neurons = drive.clamp(0, 1) * self.neurons
        same_side = self._weight("ipsilateral") * b_neurons
        other_side = self._weight("contralateral") * b_neurons.flip(-1)
        muscles = (same_side + other_side).clamp(0, 1)
        motor_commands = muscles[..., DORSAL] - muscles[..., VENTRAL]
        next_state = state if self.clocked else state + 1
        return motor_commands, next_state

    def unroll(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """All steps in one call, as one large batch: nothing but the counter flows from one step to the next.

        Args:
            observation: (steps, batch, k) in time order.
            state: before the first step.

        Returns:
            Actions (steps, batch, N), and the state after the last step.
        """
        steps = len(observation)
        all_observations = observation.flatten(0, 1)
        if self.clocked:
            commands, _ = self(all_observations, state)
            return commands.unflatten(0, (steps, -1)), state
        counters = state + torch.arange(steps)[:, None]
        commands, _ = self(all_observations, counters.flatten())
        return commands.unflatten(0, (steps, -1)), state + steps

    def _bend(self, observation: Tensor) -> Tensor:
        """How far each joint bends to the dorsal and to the ventral side, (batch, N, 2) in [0, 1]; 0 where lesioned."""
        angle = observation[:, : self.joints] / self.scale
        angle = angle.clamp(-1, 1).unsqueeze(-1) * self.sensors
        dorsal = angle.clamp(min=0)
        ventral = (-angle).clamp(min=0)
        return torch.cat([dorsal, ventral], dim=-1)

    def _half_cycle(self, observation: Tensor, state: State) -> Tensor:
        """The side that the head oscillator drives at this step: 1 there, 0 on the other side, (batch, 1, 2)."""
        step = self._time(observation) if self.clocked else state
        phase = torch.remainder(step, self.options.period)
        dorsal = (phase < self.options.period // 2).to(observation.dtype)
        return torch.stack([dorsal, 1 - dorsal], dim=-1).unsqueeze(1)

    def _time(self, observation: Tensor) -> Tensor:
        """Number of the control step, (batch,): the last observation runs from -1 at the start to 1 at the horizon."""
        clock = observation[:, -1]
        return ((clock + 1) * (HORIZON / 2)).round()

    def _command_drive(self, observation: Tensor) -> Tensor:
        """What the speed brake and the turn commands add to the drive of the B neurons, (batch, N, 2) by broadcast."""
        speed, turns = self._steering(observation)
        brake_drive = (1 - speed) * self._weight("speed")
        return brake_drive + self.turning * self._turn_weight() * turns

    def _turn_weight(self) -> Tensor | float:
        """Weights of the turn command that go with all N pairs: one number, or (N, 2) with 0 for pairs that are deaf."""
        weight = self._weight("turn")
        if self.options.sharing or not isinstance(weight, Tensor):
            return weight
        # Only pairs that hear the command have weights of their own; `turning` masks a shared one.
        deaf = weight.new_zeros(self.joints - self.options.turn_joints, SIDES)
        return torch.cat([weight, deaf])

    def _steering(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Who steers says how fast and where to, in [0, 1].

        Returns:
            Speed (batch, 1, 1), 1 fastest; right and left turn (batch, 1, 2), which excite the dorsal and the ventral
            side.
        """
        left = observation[:, self.joints]
        along = observation[:, self.joints + 1].abs()
        if self.options.steering == "hard":
            signals = torch.stack([along > NEAR, -left > ASIDE, left > ASIDE], dim=-1)
            signals = signals.to(observation.dtype)
        elif self.options.steering == "learned":
            place = torch.stack([-left, along, torch.ones_like(left)], dim=-1)
            # The rows of `steer` stay in the order of saved weights (right, left, speed); signals begin with the speed.
            turn_right, turn_left, speed = (place @ self.steer.T).unbind(-1)
            signals = torch.stack([speed, turn_right, turn_left], dim=-1).clamp(0, 1)
        else:
            signals = observation.new_tensor(self.options.command).expand(len(observation), 3)
        speed = signals[:, :1, None]
        turns = signals[:, None, 1:]
        return speed, turns


def _extra_numbers(size: int, joints: int) -> int:
    """How many numbers an observation of `size` has for a target and a clock, beside those for the body."""
    body_numbers = 4 * joints + 3
    extra = size - body_numbers
    if extra not in (0, CLOCK_NUMBERS, TARGET_NUMBERS, TARGET_NUMBERS + CLOCK_NUMBERS):
        raise LanceletError(
            f"NCAP cannot read {size} observations with {joints} joints: needs 4N+3 = {body_numbers}, "
            f"or 4N+5 with a target, and one more with clock=True"
        )
    return extra


def _check_options(options: NCAPOptions, joints: int, has_target: bool) -> None:
    """Refuse options that do not fit a body of `joints` or observations without a target."""
    if options.steering != "none" and not has_target:
        raise LanceletError(
            f"NCAP steering={options.steering!r} needs a target in the observation (4N+5 numbers)"
        )
    finite_number("NCAP period", options.period, least=2)
    whole_number("NCAP turn_joints", options.turn_joints, least=1, most=joints)
    if options.joint_limit is not None:
        finite_number("NCAP joint_limit", options.joint_limit, above=0, unit="rad")
    if not isinstance(options.command, tuple) or len(options.command) != 3:
        raise LanceletError(
            f"NCAP command = {options.command!r}: needs speed, right turn, left turn"
        )


def _weight_shapes(options: NCAPOptions, joints: int) -> dict[str, tuple[int, int]]:
    """Synapse classes present, with the shape of their weights where these are not shared: (pairs, sides).

    The keys are names of saved weights and of parts to lesion. Their order is that of flat genomes and of the random
    draws of first weights: a new class goes behind all others.
    """
    shapes = {}
    if options.proprioception:
        # The first pair has no joint in front of it.
        shapes["proprioception"] = (joints - 1, SIDES)
    if options.oscillator:
        # The pair at the head alone hears it.
        shapes["oscillator"] = (1, SIDES)
    shapes["ipsilateral"] = (joints, SIDES)
    shapes["contralateral"] = (joints, SIDES)
    if options.speed:
        shapes["speed"] = (joints, SIDES)
    if options.turn:
        shapes["turn"] = (options.turn_joints, SIDES)
    return shapes

"""Proprioceptive reflex chain: bending waves from stretch, stretch rate and flow, with or without a head oscillator.

Sources: B neurons that hear the body in front (Wen et al. 2012, Neuron 76) as in NCAP (arXiv 2201.05242); a rhythm
switched by proprioceptive thresholds in place of a clock (Ji et al. 2021, eLife 10:e69905); bistable B neurons (Boyle,
Berri, Cohen 2012, Front. Comput. Neurosci. 6:10). The assembly and every figure of it are this project's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor, nn

from ..checks import finite_number
from ..errors import LanceletError
from .boxes import box
from .core import Controller, Exploration, Options, State, sigmoid

# Units of what a weight of 1 hears.
RATE_UNIT = 0.3
"""s; the stretch rate is counted in the largest bend per this time"""
FLOW_UNIT = 0.2
"""m/s, unit of the sideways flow"""
FORWARD_UNIT = 0.1
"""m/s, forward speed at which the gain of `speed` is 1"""
LARGEST_GAIN = 3.0
"""by which forward speed can multiply the input of the B neurons, at most"""

# The Hopf oscillator.
GROWTH = 0.1
"""rate, per control step, at which its amplitude returns to 1"""
PERIOD_AT_BIRTH = 60
"""control steps of a cycle where the weight of the period is 0"""
PERIOD_SCALE = 0.3
"""by which the logarithm of the period falls when that weight grows by 1"""
KICK = 0.1
"""how far a stretch of 1 shifts the oscillator in one step, at a weight of 1"""

LEAK_AT_BIRTH = 1.5
"""a B neuron moves by sigmoid(1.5 - leak) of the way to its input in one step: by 0.82 at a leak of 0"""
STRETCH_AT_BIRTH = 1.5
"""first weight of the joint in front; all others begin at 0, but for the oscillator's"""

JOINTS_HEARD = {"front": 1, "own": 2, "behind": 3}
"""number of joints that a B neuron hears, for each choice of the option `hears`"""

# Columns of the velocities of a link, in its own frame.
SIDEWAYS = 0
"""m/s"""
BACKWARD = 1
"""m/s; swimming forward is negative"""
TURNING = 2
"""rad/s"""
LINK_VELOCITIES = 3

# Places in the weights of each mechanism, which are saved in this order.
FRONT = 0
"""of `stretch` and `rate`; behind it the pair's own joint and the one behind, as far as they are heard"""

FLOW_AT_JOINT = 0
FLOW_AT_HEAD = 1
TURNING_OF_HEAD = 2
FLOW_SIZE = 3

LEAK = 0
SELF_EXCITATION = 1
MEMBRANE_SIZE = 2

HEAD_STRETCH = slice(0, 2)
"""from the first two joints"""
HEAD_RATE = slice(2, 4)
"""from the first two joints, where the option `rate` is on"""

LOG_PERIOD = 0
OSCILLATOR_OUTPUT = slice(1, 3)
"""of the real and the imaginary part, to the first pair"""
OSCILLATOR_KICK = slice(3, 5)
"""to the real and the imaginary part, from the first joint's stretch"""
OSCILLATOR_SIZE = 5


@dataclass(frozen=True, kw_only=True)
class ReflexOptions(Options):
    """Mechanisms, each of which can be left out; see `Reflex` for their biology."""

    hears: Literal["front", "own", "behind"] = "own"
    """joints that B neurons hear: the one in front; and their own; and the one behind as well: 1, 2 or 3 weights"""
    head: bool = True
    """the first pair has weights of its own for the first two joints: 2 weights, 4 with `rate`"""
    flow: bool = True
    """lateral-line input: sideways flow at each joint's front link, at the head's, and the head's turning: 3 weights"""
    membrane: bool = False
    """B neurons are leaky (a delay) and excite themselves: 2 weights; off: they have no memory"""
    rate: bool = False
    """receptors tell how fast the joints bend as well: as many weights again, and 2 of the head's"""
    oscillator: bool = False
    """a Hopf oscillator of learned period, entrained by the first joint, drives the first pair: 5 weights"""
    speed: bool = False
    """forward speed scales every B neuron's input: 1 weight"""
    joint_limit: float | None = None
    """rad, scale of the joint angles; None: 2 pi / (joints + 1)"""


class Reflex(Controller):
    """A chain of B-neuron pairs, every weight shared by all joints and both sides: the same number for every body.

    A pair is one number in [-1, 1], dorsal minus ventral: every input is odd, so the mirrored body moves mirrored.
    With x_i the stretch of joint i (q_i / q_max), r_i its rate (0.3 s), f_i the sideways flow at its front link
    (0.2 m/s), nothing beyond the ends, [.] clipped to [-1, 1] and y_i the activity of the pair at the step before:

        I_i = w . (x_{i-1}, x_i) + w_f f_i             and with options + w' . (r_{i-1}, r_i), and x_{i+1}, r_{i+1}
        I_1 also: u . (x_1, x_2, f_1, turning)          and with options + u' . (r_1, r_2) + o . z, the oscillator's
        a_i = [I_i], or with the membrane [y_i + k (I_i + s y_i - y_i)]

    | mechanism | biology | weights |
    |---|---|---|
    | `stretch` | B neurons hear the joint in front (Wen et al. 2012), their own, the one behind | 1 .. 3 |
    | `head` | head motor neurons with reception of their own: the relaxation oscillator (Ji et al. 2021) | 2, 4 |
    | `flow` | lateral line, and the head's turning (inner ear); fishes and lampreys, not the worm | 3 |
    | `membrane` | time constant, k = sigmoid(1.5 - leak), and self-excitation s of B neurons (Boyle et al. 2012) | 2 |
    | `rate` | stretch receptors that tell velocity, like muscle spindles | 1 .. 3 |
    | `oscillator` | half-centres as a Hopf normal form at rest until stretch kicks it, phase reset by x_1 | 5 |
    | `speed` | forward speed as descending gain: 1 + w (v_f / 0.1 - 1), kept within 0 .. 3 | 1 |

    At birth it is NCAP's chain: 1.5 x_{i-1}, every new mechanism at 0. A body that is exactly straight and at rest
    stays so: nothing breaks the mirror.

    Observation (4N + 3): as of `lancelet/Swim-v0`, joint angles in rad and link velocities; N = number of actions.
    State: ``neurons`` (batch, N), their last activity, ``oscillator`` (batch, 2) where there is one.
    Parts to lesion: the mechanisms present; ``sensor:i`` (stretch and rate of joint i), ``neurons:i``, i from 1.

    Raises:
        LanceletError: an observation of another size, fewer than 2 joints, or a joint limit that is not > 0.
    """

    Options: ClassVar[type[Options]] = ReflexOptions
    exploration: ClassVar[tuple[float, bool]] = Exploration(
        standard_deviation=0.1, is_learned=False
    )
    options: ReflexOptions

    oscillator: Tensor
    """(5,) weights of the oscillator, where there is one"""
    stretch_scale: Tensor
    """(N,) 1/rad, stretch of a joint per angle; 0 where the sensor is lesioned"""
    is_alive: Tensor
    """(N,) 1 for a pair of B neurons that fires, 0 for a lesioned one"""
    is_first: Tensor
    """(N,) 1 for the first pair, 0 for the others"""

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Space, options: ReflexOptions
    ) -> None:
        self.joints = box(action_space, "Reflex", "the action space")
        observation_size = box(observation_space, "Reflex", "the observation space")
        _check(options, self.joints, observation_size)
        # Before the base class, which asks `parts` for them.
        self._weights_at_birth = _weights_at_birth(options)
        super().__init__(observation_space, action_space, options)
        for mechanism, values in self._weights_at_birth.items():
            setattr(self, mechanism, nn.Parameter(torch.tensor(values)))

        joint_limit = options.joint_limit or 2 * math.pi / (self.joints + 1)
        stretch_scale = torch.ones(self.joints) / joint_limit
        stretch_scale[self.silenced("sensor")] = 0
        is_alive = torch.ones(self.joints)
        is_alive[self.silenced("neurons")] = 0
        is_first = torch.zeros(self.joints)
        is_first[0] = 1
        # Not saved, since they follow from the options and the body.
        self.register_buffer("stretch_scale", stretch_scale, persistent=False)
        self.register_buffer("is_alive", is_alive, persistent=False)
        self.register_buffer("is_first", is_first, persistent=False)

    def parts(self) -> list[str]:
        """Mechanisms present, every joint's receptors, every B pair."""
        numbers = range(1, self.joints + 1)
        sensors = [f"sensor:{number}" for number in numbers]
        neurons = [f"neurons:{number}" for number in numbers]
        return [*self._weights_at_birth, *sensors, *neurons]

    def _weight(self, mechanism: str) -> Tensor | None:
        """Weights of a mechanism; None where it is absent or lesioned."""
        if mechanism not in self._weights_at_birth or mechanism in self.options.lesions:
            return None
        return getattr(self, mechanism)

    def initial_state(self, batch: int) -> State:
        """Silent neurons, the oscillator at rest."""
        state = {"neurons": torch.zeros(batch, self.joints)}
        if self.options.oscillator:
            state["oscillator"] = torch.zeros(batch, 2)
        return state

    def forward(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Motor commands (batch, N) in [-1, 1], and the activity that they leave behind."""
        stretch = observation[:, : self.joints] * self.stretch_scale
        link_velocities = observation[:, self.joints :]
        links = link_velocities.reshape(len(observation), self.joints + 1, LINK_VELOCITIES)
        rate = None
        if self.options.rate:
            # A joint bends as fast as the links on its two sides turn against each other.
            rate = links[..., TURNING].diff() * (self.stretch_scale * RATE_UNIT)

        drive = self._chain("stretch", stretch)
        if rate is not None:
            drive = drive + self._chain("rate", rate)
        flow = self._weight("flow")
        if flow is not None:
            front_links = links[:, :-1]
            drive = drive + flow[FLOW_AT_JOINT] / FLOW_UNIT * front_links[..., SIDEWAYS]
        head_drive = self._head_drive(stretch, rate, links, state)
        drive = drive + self.is_first * head_drive.unsqueeze(1)
        speed = self._weight("speed")
        if speed is not None:
            forward_speed = links[:, 0, BACKWARD] / -FORWARD_UNIT
            gain = (1 + speed * (forward_speed - 1)).clamp(0, LARGEST_GAIN)
            drive = drive * gain.unsqueeze(1)

        activity = self._leaky(drive, state["neurons"]).clamp(-1, 1) * self.is_alive
        next_state = {"neurons": activity}
        if self.options.oscillator:
            next_state["oscillator"] = self._next_oscillator(stretch, state["oscillator"])
        return activity, next_state

    def _chain(self, mechanism: str, heard: Tensor) -> Tensor:
        """Input to every pair from the joints in front, own and behind, as many as there are weights: (batch, N).

        Args:
            mechanism: ``stretch`` or ``rate``.
            heard: what the receptors of each joint tell, (batch, N).
        """
        weights = self._weight(mechanism)
        if weights is None:
            return torch.zeros_like(heard)
        # Nothing is heard from beyond the two ends.
        padded = F.pad(heard, (1, 1))
        front_own_behind = padded.unfold(1, 3, 1)
        return front_own_behind[..., : weights.shape[0]] @ weights

    def _head_drive(
        self, stretch: Tensor, rate: Tensor | None, links: Tensor, state: State
    ) -> Tensor:
        """Input to the first pair alone, (batch,).

        Args:
            stretch: (batch, N).
            rate: (batch, N); None: the receptors do not tell it.
            links: velocities (batch, N + 1, 3).
            state: of the step before.
        """
        drive = torch.zeros_like(stretch[:, 0])
        head = self._weight("head")
        if head is not None:
            drive = drive + stretch[:, :2] @ head[HEAD_STRETCH]
        flow = self._weight("flow")
        if flow is not None:
            drive = drive + flow[FLOW_AT_HEAD] / FLOW_UNIT * links[:, 0, SIDEWAYS]
            drive = drive + flow[TURNING_OF_HEAD] * RATE_UNIT * links[:, 0, TURNING]
        oscillator = self._weight("oscillator")
        if oscillator is not None:
            drive = drive + state["oscillator"] @ oscillator[OSCILLATOR_OUTPUT]
        # A lesion of `rate` silences the rate that the head hears too.
        if rate is not None and head is not None and self._weight("rate") is not None:
            drive = drive + rate[:, :2] @ head[HEAD_RATE]
        return drive

    def _leaky(self, drive: Tensor, last_activity: Tensor) -> Tensor:
        """Activity (batch, N), not clipped, of pairs that have a membrane; without one it is their input `drive`."""
        membrane = self._weight("membrane")
        if membrane is None:
            return drive
        share = sigmoid(LEAK_AT_BIRTH - membrane[LEAK])
        pull = drive + (membrane[SELF_EXCITATION] - 1) * last_activity
        return last_activity + share * pull

    def _next_oscillator(self, stretch: Tensor, oscillator: Tensor) -> Tensor:
        """One step of z' = (growth (1 - |z|^2) + i w) z, exact, after a kick from the first joint: (batch, 2).

        The Hopf normal form: the phase turns by w, and the amplitude r follows r' = growth r (1 - r^2), whose solution
        after one step is r e / sqrt(1 + (e^2 - 1) r^2) with e = exp(growth).

        Args:
            stretch: (batch, N).
            oscillator: z at the step before, (batch, 2).
        """
        # Not `_weight`: a lesioned oscillator still turns, though nobody hears it.
        weights = self.oscillator
        period = PERIOD_AT_BIRTH * torch.exp(-PERIOD_SCALE * weights[LOG_PERIOD])
        angle = 2 * math.pi / period
        # The amplitude grows by what it was before the kick, so that a kick out of rest is not held back.
        growth = math.exp(GROWTH)
        squared_amplitude = (oscillator**2).sum(1)
        amplification = growth / torch.sqrt(1 + (growth**2 - 1) * squared_amplitude)
        kicked = oscillator + KICK * stretch[:, :1] * weights[OSCILLATOR_KICK]
        real = kicked[:, 0]
        imaginary = kicked[:, 1]
        cosine = torch.cos(angle) * amplification
        sine = torch.sin(angle) * amplification
        turned_real = cosine * real - sine * imaginary
        turned_imaginary = sine * real + cosine * imaginary
        return torch.stack([turned_real, turned_imaginary], 1)

    def signals(self, state: State) -> dict[str, Tensor]:
        """``neurons`` (batch, N), and where there is an oscillator its ``phase`` (batch,) in rad."""
        signals = {"neurons": state["neurons"]}
        if self.options.oscillator:
            real, imaginary = state["oscillator"].unbind(1)
            signals["phase"] = torch.atan2(imaginary, real)
        return signals


def _check(options: ReflexOptions, joints: int, observation_size: int) -> None:
    """Refuse a body or a joint limit that the chain cannot work with."""
    needed_size = 4 * joints + 3
    if observation_size != needed_size:
        raise LanceletError(
            f"Reflex cannot read {observation_size} observations with {joints} joints: "
            f"needs 4N+3 = {needed_size}"
        )
    if joints < 2:
        raise LanceletError(f"Reflex needs 2 joints or more: the action space has {joints}")
    if options.joint_limit is not None:
        finite_number("Reflex joint_limit", options.joint_limit, above=0, unit="rad")


def _weights_at_birth(options: ReflexOptions) -> dict[str, list[float]]:
    """Mechanisms present and their weights at birth.

    Their order is that of flat genomes, since `Reflex` creates its parameters in it: genomes that were saved are read
    by place, so that a new mechanism goes behind all others. Files of weights are read by name.
    """
    joints_heard = JOINTS_HEARD[options.hears]
    stretch = [0.0] * joints_heard
    stretch[FRONT] = STRETCH_AT_BIRTH
    weights = {"stretch": stretch}
    if options.rate:
        weights["rate"] = [0.0] * joints_heard
    if options.head:
        head_size = HEAD_RATE.stop if options.rate else HEAD_STRETCH.stop
        weights["head"] = [0.0] * head_size
    if options.membrane:
        weights["membrane"] = [0.0] * MEMBRANE_SIZE
    if options.flow:
        weights["flow"] = [0.0] * FLOW_SIZE
    if options.oscillator:
        oscillator = [0.0] * OSCILLATOR_SIZE
        # The head hears the real part, and stretch shifts the real part.
        oscillator[OSCILLATOR_OUTPUT.start] = 1.0
        oscillator[OSCILLATOR_KICK.start] = 1.0
        weights["oscillator"] = oscillator
    if options.speed:
        weights["speed"] = [0.0]
    return weights

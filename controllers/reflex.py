"""Proprioceptive reflex chain: bending waves from stretch, stretch rate and flow, with or without a head oscillator.

Sources: B neurons that hear the body in front (Wen et al. 2012, Neuron 76) as in NCAP (arXiv 2201.05242); a rhythm
switched by proprioceptive thresholds in place of a clock (Ji et al. 2021, eLife 10:e69905); bistable B neurons (Boyle,
Berri, Cohen 2012, Front. Comput. Neurosci. 6:10). The assembly and every figure of it are this project's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor, nn

from ..errors import LanceletError
from .boxes import box
from .core import Controller, Options, State, sigmoid

RATE, FLOW, GROWTH = 0.3, 0.2, 0.1
"""unit of the stretch rate: one q_max in 0.3 s; of the lateral flow, m/s; of the oscillator's growth, per step"""
_HEARD = {"front": 1, "own": 2, "behind": 3}


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
    (0.2 m/s), nothing beyond the ends, [.] clipped to [-1, 1] and y_i the pair before:

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
    """

    Options: ClassVar[type[Options]] = ReflexOptions
    exploration: ClassVar[tuple[float, bool]] = (0.1, False)

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Space, options: ReflexOptions
    ) -> None:
        self.joints = n = box(action_space, "Reflex", "the action space")
        size = box(observation_space, "Reflex", "the observation space")
        if size != 4 * n + 3:
            raise LanceletError(
                f"Reflex cannot read {size} observations with {n} joints: needs 4N+3 = {4 * n + 3}"
            )
        if n < 2:
            raise LanceletError(f"Reflex needs 2 joints or more: the action space has {n}")
        if options.joint_limit is not None and not 0 < options.joint_limit < math.inf:
            raise LanceletError(
                f"Reflex joint_limit = {options.joint_limit!r}: must be finite and > 0"
            )
        self._weights = _weights(options)
        super().__init__(observation_space, action_space, options)
        for name, values in self._weights.items():
            setattr(self, name, nn.Parameter(torch.tensor(values)))
        sensors, neurons, first = torch.ones(n), torch.ones(n), torch.zeros(n)
        sensors /= options.joint_limit or 2 * math.pi / (n + 1)
        sensors[self.silenced("sensor")] = 0
        neurons[self.silenced("neurons")] = 0
        first[0] = 1
        self.stretched: Tensor
        self.neurons: Tensor
        self.first: Tensor
        for name, values in (("stretched", sensors), ("neurons", neurons), ("first", first)):
            self.register_buffer(name, values, persistent=False)

    def parts(self) -> list[str]:
        """Mechanisms present, every joint's receptors, every B pair."""
        numbers = range(1, self.joints + 1)
        return [
            *self._weights,
            *(f"sensor:{i}" for i in numbers),
            *(f"neurons:{i}" for i in numbers),
        ]

    def _weight(self, name: str) -> Tensor | None:
        """Weights of a mechanism; None where it is absent or lesioned."""
        return (
            getattr(self, name)
            if name in self._weights and name not in self.options.lesions
            else None
        )

    def initial_state(self, batch: int) -> State:
        """Silent neurons, the oscillator at rest."""
        state = {"neurons": torch.zeros(batch, self.joints)}
        return state | ({"oscillator": torch.zeros(batch, 2)} if self.options.oscillator else {})

    def forward(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Motor commands (batch, N) in [-1, 1]."""
        n = self.joints
        x = observation[:, :n] * self.stretched
        links = observation[:, n:].reshape(len(observation), n + 1, 3)
        drive, head = self._chain("stretch", x), self._head(x, links, state)
        if self.options.rate:
            r = links[..., 2].diff() * (self.stretched * RATE)
            drive = drive + self._chain("rate", r)
            if (own := self._weight("head")) is not None and self._weight("rate") is not None:
                head = head + r[:, :2] @ own[2:]
        if (flow := self._weight("flow")) is not None:
            drive = drive + flow[0] / FLOW * links[:, :-1, 0]
        drive = drive + self.first * head.unsqueeze(1)
        if (gain := self._weight("speed")) is not None:
            drive = drive * (1 + gain * (links[:, 0, 1] / -0.1 - 1)).clamp(0, 3).unsqueeze(1)
        before = state["neurons"]
        if (membrane := self._weight("membrane")) is not None:
            drive = before + sigmoid(1.5 - membrane[0]) * (drive + (membrane[1] - 1) * before)
        action = drive.clamp(-1, 1) * self.neurons
        after = {"neurons": action}
        return action, after | (
            {"oscillator": self._cycle(x, state)} if self.options.oscillator else {}
        )

    def _chain(self, name: str, heard: Tensor) -> Tensor:
        """Input to every pair from the joints in front, own and behind, as many as there are weights: (batch, N)."""
        weights = self._weight(name)
        if weights is None:
            return torch.zeros_like(heard)
        return F.pad(heard, (1, 1)).unfold(1, 3, 1)[..., : weights.shape[0]] @ weights

    def _head(self, x: Tensor, links: Tensor, state: State) -> Tensor:
        """Input to the first pair alone, but for the stretch rate: (batch,)."""
        head = torch.zeros_like(x[:, 0])
        if (own := self._weight("head")) is not None:
            head = head + x[:, :2] @ own[:2]
        if (flow := self._weight("flow")) is not None:
            head = head + flow[1] / FLOW * links[:, 0, 0] + flow[2] * RATE * links[:, 0, 2]
        if (oscillator := self._weight("oscillator")) is not None:
            head = head + state["oscillator"] @ oscillator[1:3]
        return head

    def _cycle(self, x: Tensor, state: State) -> Tensor:
        """One step of z' = (growth (1 - |z|^2) + i w) z, exact, after a kick from the first joint: (batch, 2)."""
        weights: Any = self.oscillator
        log_period, kick = weights[0], weights[3:]
        angle = 2 * math.pi / (60 * torch.exp(-0.3 * log_period))
        z = state["oscillator"] + 0.1 * x[:, :1] * kick
        u, v, grown = z[:, 0], z[:, 1], math.exp(GROWTH)
        size = grown / torch.sqrt(1 + (grown**2 - 1) * (state["oscillator"] ** 2).sum(1))
        cos, sin = torch.cos(angle) * size, torch.sin(angle) * size
        return torch.stack([cos * u - sin * v, sin * u + cos * v], 1)

    def signals(self, state: State) -> dict[str, Tensor]:
        """``neurons`` (batch, N), and where there is an oscillator its ``phase`` (batch,) in rad."""
        found = {"neurons": state["neurons"]}
        if self.options.oscillator:
            found["phase"] = torch.atan2(state["oscillator"][:, 1], state["oscillator"][:, 0])
        return found


def _weights(options: ReflexOptions) -> dict[str, list[float]]:
    """Mechanisms present and their weights at birth."""
    heard, head = _HEARD[options.hears], 4 if options.rate else 2
    every: dict[str, Any] = {
        "stretch": [1.5, 0.0, 0.0][:heard],
        "rate": [0.0] * heard if options.rate else None,
        "head": [0.0] * head if options.head else None,
        "membrane": [0.0, 0.0] if options.membrane else None,
        "flow": [0.0] * 3 if options.flow else None,
        "oscillator": [0.0, 1.0, 0.0, 1.0, 0.0] if options.oscillator else None,
        "speed": [0.0] if options.speed else None,
    }
    return {name: values for name, values in every.items() if values is not None}

"""NCAP, the C. elegans swimming circuit (Bhattasali, Zador, Engel 2022, arXiv 2201.05242; spec ncap 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from gymnasium import spaces
from torch import Tensor, nn

from ..errors import LanceletError
from .core import Controller, Options, State, box

HORIZON = 1000
"""control steps that the time feature spans from -1 to 1"""

EXCITATORY = ("proprioception", "oscillator", "ipsilateral", "turn")
INHIBITORY = ("contralateral", "speed")


@dataclass(frozen=True, kw_only=True)
class NCAPOptions(Options):
    """Options of the circuit; the defaults are the published four-parameter model."""

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
    """add the speed brake: one more synapse class"""
    turn: bool = False
    """add the turn commands: one more synapse class"""
    turn_joints: int = 1
    """pairs of B neurons that hear the turn command"""
    command: tuple[float, float, float] = (1.0, 0.0, 0.0)
    """speed (1 fastest, 0 stopped), right and left turn where `steering` is none"""
    steering: Literal["none", "hard", "learned"] = "none"
    """who gives speed and turn: `command`, fixed thresholds on the target's place, or one affine map of it"""
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
    exploration: ClassVar[tuple[float, bool]] = (0.1, False)

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Space, options: NCAPOptions
    ) -> None:
        self.joints = box(action_space, "NCAP", "the action space")
        self.size = box(observation_space, "NCAP", "the observation space")
        n, extra = self.joints, self.size - 4 * self.joints
        if extra not in (3, 4, 5, 6):
            raise LanceletError(
                f"NCAP cannot read {self.size} observations with {n} joints: needs 4N+3 = {4 * n + 3}, "
                f"or 4N+5 with a target, and one more with clock=True"
            )
        if options.steering != "none" and extra < 5:
            raise LanceletError(
                f"NCAP steering={options.steering!r} needs a target in the observation (4N+5 numbers)"
            )
        if options.period < 2 or not 1 <= options.turn_joints <= n:
            raise LanceletError(
                "NCAP: period must be 2 or more, turn_joints from 1 to the number of joints"
            )
        if options.joint_limit is not None and not 0 < options.joint_limit < math.inf:
            raise LanceletError(
                f"NCAP joint_limit = {options.joint_limit!r}: must be finite and > 0"
            )
        if len(options.command) != 3:
            raise LanceletError(
                f"NCAP command = {options.command!r}: needs speed, right turn, left turn"
            )
        super().__init__(observation_space, action_space, options)
        self.clocked = extra in (4, 6)
        self.scale = options.joint_limit or 2 * math.pi / (n + 1)
        random = torch.Generator().manual_seed(options.seed)
        for name, shape in self._shapes().items():
            setattr(
                self,
                name,
                nn.Parameter(self._initial(name, () if options.sharing else shape, random)),
            )
        if options.steering == "learned":
            self.steer = nn.Parameter(torch.randn((3, 3), generator=random) * 0.1)
        sensors, neurons = torch.ones(n, 1), torch.ones(n, 1)
        sensors[self.silenced("sensor")] = 0
        neurons[self.silenced("neurons")] = 0
        self.sensors: Tensor
        self.neurons: Tensor
        self.turning: Tensor
        self.register_buffer("sensors", sensors, persistent=False)
        self.register_buffer("neurons", neurons, persistent=False)
        first = torch.zeros(n, 1)
        first[: options.turn_joints] = 1
        self.register_buffer("turning", first, persistent=False)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Synapse classes present, with their weights' shape where they are not shared: (joints, dorsal/ventral)."""
        n, options = self.joints, self.options
        shapes: dict[str, tuple[int, ...]] = {}
        if options.proprioception:
            shapes["proprioception"] = (n - 1, 2)
        if options.oscillator:
            shapes["oscillator"] = (1, 2)
        shapes |= {"ipsilateral": (n, 2), "contralateral": (n, 2)}
        if options.speed:
            shapes["speed"] = (n, 2)
        if options.turn:
            shapes["turn"] = (options.turn_joints, 2)
        return shapes

    def _initial(self, name: str, shape: tuple[int, ...], random: torch.Generator) -> Tensor:
        magnitude = (
            torch.rand(shape, generator=random)
            if self.options.init == "uniform"
            else torch.ones(shape)
        )
        if self.options.sign:
            return -magnitude if name in INHIBITORY else magnitude
        return magnitude * (2.0 * torch.randint(0, 2, shape, generator=random) - 1.0)

    def parts(self) -> list[str]:
        """Synapse classes present, every joint's sensor, every B pair."""
        numbers = range(1, self.joints + 1)
        return [
            *self._shapes(),
            *(f"sensor:{i}" for i in numbers),
            *(f"neurons:{i}" for i in numbers),
        ]

    def _weight(self, name: str) -> Tensor | float:
        """A synapse class as the forward pass sees it: rectified to its sign, 0 if absent or lesioned."""
        if name in self.options.lesions or not hasattr(self, name):
            return 0.0
        weight = getattr(self, name)
        if not self.options.sign:
            return weight
        return weight.clamp(max=0) if name in INHIBITORY else weight.clamp(min=0)

    def initial_state(self, batch: int) -> State:
        """The step counter, (batch,); nothing where the observation carries the time."""
        return () if self.clocked else torch.zeros(batch, dtype=torch.int64)

    def forward(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Motor commands (batch, N) in [-1, 1]."""
        n = self.joints
        x = (observation[:, :n] / self.scale).clamp(-1, 1).unsqueeze(-1) * self.sensors
        bend = torch.cat([x.clamp(min=0), (-x).clamp(min=0)], -1)  # (batch, N, dorsal/ventral)
        step = ((observation[:, -1] + 1) * (HORIZON / 2)).round() if self.clocked else state
        dorsal = (torch.remainder(step, self.options.period) < self.options.period // 2).to(x.dtype)
        cycle = torch.stack([dorsal, 1 - dorsal], -1).unsqueeze(1)
        drive = torch.cat(
            [self._weight("oscillator") * cycle, self._weight("proprioception") * bend[:, :-1]], 1
        )
        if self.options.speed or self.options.turn:
            drive = drive + self._command(observation)
        b = drive.clamp(0, 1) * self.neurons
        muscle = (
            self._weight("ipsilateral") * b + self._weight("contralateral") * b.flip(-1)
        ).clamp(0, 1)
        return muscle[..., 0] - muscle[..., 1], state if self.clocked else state + 1

    def unroll(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """All steps at once: nothing but the counter flows from one to the next."""
        steps = len(observation)
        times = state if self.clocked else (state + torch.arange(steps)[:, None]).flatten()
        action, _ = self(observation.flatten(0, 1), times)
        return action.unflatten(0, (steps, -1)), state if self.clocked else state + steps

    def _command(self, observation: Tensor) -> Tensor:
        """Input of speed and turn to the B neurons, broadcastable to (batch, N, 2)."""
        speed, turns = self._steering(observation)
        drive: Any = (1 - speed) * self._weight("speed")
        turn = self._weight("turn")
        if isinstance(turn, Tensor) and turn.dim() == 2:
            turn = torch.cat([turn, turn.new_zeros(self.joints - turn.shape[0], 2)])
        return drive + self.turning * turn * turns

    def _steering(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Speed (batch, 1, 1) and right and left turn (batch, 1, 2)."""
        left, ahead = observation[:, self.joints], observation[:, self.joints + 1].abs()
        if self.options.steering == "hard":
            signals = torch.stack([ahead > 0.12, -left > 0.1, left > 0.1], -1).to(observation.dtype)
        elif self.options.steering == "learned":
            seen = torch.stack([-left, ahead, torch.ones_like(left)], -1)
            signals = (seen @ self.steer.T)[:, [2, 0, 1]].clamp(0, 1)
        else:
            signals = observation.new_tensor(self.options.command).expand(len(observation), 3)
        return signals[:, :1, None], signals[:, None, 1:]

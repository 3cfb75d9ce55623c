"""What the scripted experts of the assistive tasks share: they read the true state and steer the tip of the tool.

See docs/systems/assist.md, "Experts". Places and directions are in the robot's frame: x is its heading, the arm points
along -y, z is up. So a speed of the tip is driven, extended and lifted axis by axis.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from gymnasium import spaces
from torch import Tensor

from ...assist_layout import (
    COMMANDS,
    CONTROL_PERIOD,
    FORCE_UNIT,
    JOINTS,
    OBSERVATION_SIZE,
    SEEN,
)
from ...errors import LanceletError
from ..boxes import box
from ..core import Controller, Options, State

PLACE_GAIN = 3.0
"""1/s, speed of the tip for its distance from the goal"""
WRIST_GAIN = 4.0
"""1/s, speed of a wrist's joint for its distance from the goal"""
TURN_GAIN = 2.0
"""1/s, speed of turning for the angle to the goal"""
FORCE_GAIN = 0.004
"""m/s per N, speed along the contact's normal for a force that is missing"""


@dataclass
class Goal:
    """What the robot is to do now, for a batch; `command` turns it into an action. A number holds for all rows."""

    tip_velocity: Tensor
    """(batch, 3) m/s"""
    heading: Tensor | float = 0.0
    """(batch,) rad, angle of the person's facing from the robot's heading that is wanted"""
    yaw: Tensor | float = 0.0
    """(batch,) rad, of the wrist"""
    pitch: Tensor | float = 0.0
    """(batch,) rad, of the wrist"""
    roll: Tensor | float = 0.0
    """(batch,) rad, of the wrist"""
    gripper: Tensor | float = 0.0
    """(batch,) m, of the gripper's slide"""


class Expert(Controller):
    """A script of phases that reads the whole state of an assistive task; it has nothing to learn.

    State: the phase, a whole number, and the time in it, s: (batch,) each.

    Raises:
        LanceletError: an observation that is not that of an assistive task.
    """

    Options: ClassVar[type[Options]] = Options

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Space, options: Options
    ) -> None:
        name = type(self).__name__
        size = box(observation_space, name, "the observation space")
        commands = box(action_space, name, "the action space")
        if size != OBSERVATION_SIZE or commands != len(COMMANDS):
            raise LanceletError(
                f"{name} reads the {OBSERVATION_SIZE} observations of an assistive task and gives "
                f"{len(COMMANDS)} commands, not {size} and {commands}; try it on assist-scratch"
            )
        super().__init__(observation_space, action_space, options)

    def initial_state(self, batch: int) -> State:
        """Phase 0, for 0 s."""
        return torch.zeros(batch), torch.zeros(batch)

    @abstractmethod
    def plan(self, seen: dict[str, Tensor], phase: Tensor, clock: Tensor) -> tuple[Goal, Tensor]:
        """What to do now.

        Args:
            seen: part of the observation -> its numbers, (batch, k).
            phase: (batch,) where in its script each robot is.
            clock: (batch,) s since that phase began.

        Returns:
            The goal, and the phase (batch,) of the next step.
        """

    def forward(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Commands (batch, 8) and the next state."""
        phase, clock = state
        seen = {name: observation[:, part] for name, part in SEEN.items()}
        goal, next_phase = self.plan(seen, phase, clock)
        next_clock = torch.where(
            next_phase == phase, clock + CONTROL_PERIOD, torch.zeros_like(clock)
        )
        return command(seen, goal), (next_phase, next_clock)


def command(seen: dict[str, Tensor], goal: Goal) -> Tensor:
    """The action (batch, 8) in [-1, 1] that moves the robot towards a goal."""
    joints = dict(zip(JOINTS, seen["joints"].unbind(1), strict=True))
    facing = seen["person_facing"]
    heading = torch.atan2(facing[:, 1], facing[:, 0])
    speeds = {
        "drive": goal.tip_velocity[:, 0],
        # Turning left turns the person, as the robot sees them, to the right.
        "turn": TURN_GAIN * (heading - goal.heading),
        "lift": goal.tip_velocity[:, 2],
        "arm": -goal.tip_velocity[:, 1],
        "wrist_yaw": WRIST_GAIN * (goal.yaw - joints["wrist_yaw"]),
        "wrist_pitch": WRIST_GAIN * (goal.pitch - joints["wrist_pitch"]),
        "wrist_roll": WRIST_GAIN * (goal.roll - joints["wrist_roll"]),
        "gripper": WRIST_GAIN * (goal.gripper - joints["gripper"]),
    }
    shares = [speeds[name] / largest for name, largest in COMMANDS.items()]
    return torch.stack(shares, dim=1).clamp(-1.0, 1.0)


def towards(vector: Tensor, fastest: float | Tensor) -> Tensor:
    """Velocity (batch, 3) along a vector (batch, 3) to the goal, m, no faster than `fastest`, m/s."""
    velocity = PLACE_GAIN * vector
    speed = length(velocity)
    return velocity * (fastest / speed.clamp_min(1e-9)).clamp_max(1.0)[:, None]


def length(vector: Tensor) -> Tensor:
    """Lengths (batch,) of vectors (batch, 3), a sum of squares row by row."""
    x, y, z = vector.unbind(1)
    return (x * x + y * y + z * z).sqrt()


def along(vector: Tensor, direction: Tensor) -> Tensor:
    """Components (batch,) of vectors (batch, 3) along unit vectors (batch, 3)."""
    products = vector * direction
    x, y, z = products.unbind(1)
    return x + y + z


def contact_force(seen: dict[str, Tensor]) -> Tensor:
    """Force (batch,) between robot and person, N."""
    return FORCE_UNIT * length(seen["force"])


def within_skin(vector: Tensor, out: Tensor) -> Tensor:
    """The part (batch, 3) of vectors that lies in the skin, whose normals are `out` (batch, 3)."""
    return vector - along(vector, out)[:, None] * out


def press(force: Tensor, wanted: float, out: Tensor) -> Tensor:
    """Velocity (batch, 3) along the skin's normal that brings the force to the wanted one.

    Args:
        force: (batch,) N, that is there.
        wanted: N.
        out: (batch, 3) normals of the skin.
    """
    return -(FORCE_GAIN * (wanted - force))[:, None] * out


def constant(like: Tensor, value: float) -> Tensor:
    """A tensor (batch,) of one value."""
    return torch.full_like(like, value)

"""The expert of `AssistDrink`: the rim to the lips first, then the tilt about the rim."""

from __future__ import annotations

import torch
from torch import Tensor

from ...assist_layout import JOINTS
from .expert import Expert, Goal, constant, length, towards
from .feed import APPROACH_SPEED, BEFORE, CLOSE

AT_LIPS = 0.018
"""m before the mouth where the rim stays"""
LIPS_SPEED = 0.06
"""m/s from there to the lips"""
AT_REST = 0.006
"""m from the lips at which the cup may be tilted"""
ROLL_LEAD = 0.05
"""rad that the wrist aims ahead while it tilts: it sets how fast it turns"""
DRINKING_ROLL = 0.785
"""rad, of the wrist: the cup leans to the person"""
CUP = 0.005
"""m, of the gripper's slide around the cup"""
# Phases.
ALIGN = 0.0
IN = 1.0
TILT = 2.0


class DrinkExpert(Expert):
    """Aligns before the mouth, moves in level, and tilts the cup while the rim stays at the lips."""

    def plan(self, seen: dict[str, Tensor], phase: Tensor, clock: Tensor) -> tuple[Goal, Tensor]:
        """Before the mouth, to the lips, then tilt."""
        to_before = seen["target"] + BEFORE * seen["target_axis"]
        to_lips = seen["target"] + AT_LIPS * seen["target_axis"]
        is_aligning = phase == ALIGN
        is_tilting = phase == TILT
        velocity = torch.where(
            is_aligning[:, None], towards(to_before, APPROACH_SPEED), towards(to_lips, LIPS_SPEED)
        )
        # The wrist turns slowly, so that base, arm and lift can keep the rim in its place.
        present_roll = seen["joints"][:, JOINTS.index("wrist_roll")]
        slow_roll = torch.clamp(present_roll + ROLL_LEAD, max=DRINKING_ROLL)
        goal = Goal(
            tip_velocity=velocity,
            roll=torch.where(is_tilting, slow_roll, constant(phase, 0.0)),
            gripper=CUP,
        )
        next_phase = torch.where(is_aligning & (length(to_before) < CLOSE), IN, phase)
        at_lips = (phase == IN) & (length(to_lips) < AT_REST)
        return goal, torch.where(at_lips, TILT, next_phase)

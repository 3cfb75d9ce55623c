"""The expert of `AssistFetch`: along to the table, around the box, up, back, and to the hand."""

from __future__ import annotations

import torch
from torch import Tensor

from .expert import Expert, Goal, constant, length, towards
from .grasp import BEFORE, CLOSE, CLOSED, GRASPING_TIME, OPEN, above, beside

RAISE = 0.10
"""m that the box is lifted"""
CARRY_SPEED = 0.15
"""m/s on the way back"""
OVER_HAND = 0.08
"""m over the hand where the box is brought"""
FREE_OF_KNEES = 0.22
"""m beside the hand until the robot is there"""
BESIDE = 0.03
"""m along the heading within which the robot is beside the hand"""
ALIGN, REACH, GRASP, LIFT, BACK, GIVE = 0.0, 1.0, 2.0, 3.0, 4.0, 5.0
"""phases"""


class FetchExpert(Expert):
    """Drives to the table with the arm retracted, grasps the box from the side, and brings it to the hand."""

    def plan(self, seen: dict[str, Tensor], phase: Tensor, clock: Tensor) -> tuple[Goal, Tensor]:
        """To the table, around the box, up, back along the way it came, and to the hand."""
        to_box = seen["object"]
        to_hand = above(seen["target"], OVER_HAND)
        to_before = beside(to_box, BEFORE)
        # The target is the hand from the moment on at which the box counts as held.
        to_side = beside(to_hand, FREE_OF_KNEES)
        up = torch.zeros_like(to_box)
        up[:, 2] = RAISE
        goals = {
            ALIGN: towards(to_before, 0.18),
            REACH: towards(to_box, 0.08),
            GRASP: torch.zeros_like(to_box),
            LIFT: towards(up, 0.05),
            BACK: towards(to_side, CARRY_SPEED),
            GIVE: towards(to_hand, 0.08),
        }
        velocity = torch.zeros_like(to_box)
        for number, speed in goals.items():
            velocity = torch.where((phase == number)[:, None], speed, velocity)
        is_open = (phase == ALIGN) | (phase == REACH)
        goal = Goal(
            tip_velocity=velocity,
            heading=constant(phase, 0.0),
            yaw=constant(phase, 0.0),
            pitch=constant(phase, 0.0),
            roll=constant(phase, 0.0),
            gripper=torch.where(is_open, OPEN, CLOSED),
        )
        ends = {
            ALIGN: length(to_before) < CLOSE,
            REACH: length(to_box) < CLOSE,
            GRASP: clock > GRASPING_TIME,
            LIFT: clock > RAISE / 0.05,
            # Along the way alone: the arm may not be able to come back so far.
            BACK: to_side[:, 0].abs() < BESIDE,
        }
        next_phase = phase
        for number, ended in ends.items():
            next_phase = torch.where((phase == number) & ended, number + 1.0, next_phase)
        return goal, next_phase

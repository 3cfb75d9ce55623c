"""The expert of `AssistFetch`: along to the table, around the box, up, back, and to the hand."""

from __future__ import annotations

import torch
from torch import Tensor

from .expert import Expert, Goal, length, towards
from .grasp import BEFORE, CLOSE, CLOSED, GRASPING_TIME, OPEN, REACH_SPEED, above, beside

RAISE = 0.10
"""m that the box is lifted"""
DRIVE_SPEED = 0.18
"""m/s to the table"""
LIFT_SPEED = 0.05
"""m/s upwards with the box"""
GIVE_SPEED = 0.08
"""m/s to the hand"""
CARRY_SPEED = 0.15
"""m/s on the way back"""
OVER_HAND = 0.08
"""m over the hand where the box is brought"""
FREE_OF_KNEES = 0.22
"""m beside the hand until the robot is there"""
BESIDE = 0.03
"""m along the heading within which the robot is beside the hand"""
# Phases.
ALIGN = 0.0
REACH = 1.0
GRASP = 2.0
LIFT = 3.0
BACK = 4.0
GIVE = 5.0


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
            ALIGN: towards(to_before, DRIVE_SPEED),
            REACH: towards(to_box, REACH_SPEED),
            GRASP: torch.zeros_like(to_box),
            LIFT: towards(up, LIFT_SPEED),
            BACK: towards(to_side, CARRY_SPEED),
            GIVE: towards(to_hand, GIVE_SPEED),
        }
        velocity = torch.zeros_like(to_box)
        for number, speed in goals.items():
            velocity = torch.where((phase == number)[:, None], speed, velocity)
        is_open = (phase == ALIGN) | (phase == REACH)
        goal = Goal(
            tip_velocity=velocity,
            gripper=torch.where(is_open, OPEN, CLOSED),
        )
        ends = {
            ALIGN: length(to_before) < CLOSE,
            REACH: length(to_box) < CLOSE,
            GRASP: clock > GRASPING_TIME,
            LIFT: clock > RAISE / LIFT_SPEED,
            # Along the way alone: the arm may not be able to come back so far.
            BACK: to_side[:, 0].abs() < BESIDE,
        }
        next_phase = phase
        for number, ended in ends.items():
            next_phase = torch.where((phase == number) & ended, number + 1.0, next_phase)
        return goal, next_phase

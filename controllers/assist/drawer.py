"""The expert of `AssistDrawer`: before the handle, around it, close, pull."""

from __future__ import annotations

import torch
from torch import Tensor

from .expert import Expert, Goal, length, towards
from .grasp import BEFORE, CLOSE, CLOSED, GRASPING_TIME, OPEN, REACH_SPEED, beside

APPROACH_SPEED = 0.15
"""m/s to the place before the handle"""
PULL_SPEED = 0.06
"""m/s"""
# Phases.
ALIGN = 0.0
REACH = 1.0
GRASP = 2.0
PULL = 3.0


class DrawerExpert(Expert):
    """Grasps the handle and retracts the arm."""

    def plan(self, seen: dict[str, Tensor], phase: Tensor, clock: Tensor) -> tuple[Goal, Tensor]:
        """Before the handle, around it, close the fingers, pull."""
        to_handle = seen["object"]
        to_before = beside(to_handle, BEFORE)
        is_aligning = phase == ALIGN
        is_reaching = phase == REACH
        is_pulling = phase == PULL
        pull = torch.zeros_like(to_handle)
        pull[:, 1] = PULL_SPEED
        still = torch.zeros_like(to_handle)
        velocity = torch.where(is_pulling[:, None], pull, still)
        velocity = torch.where(is_reaching[:, None], towards(to_handle, REACH_SPEED), velocity)
        velocity = torch.where(is_aligning[:, None], towards(to_before, APPROACH_SPEED), velocity)
        is_open = is_aligning | is_reaching
        goal = Goal(
            tip_velocity=velocity,
            gripper=torch.where(is_open, OPEN, CLOSED),
        )
        next_phase = torch.where(is_aligning & (length(to_before) < CLOSE), REACH, phase)
        next_phase = torch.where(is_reaching & (length(to_handle) < CLOSE), GRASP, next_phase)
        has_grasped = (phase == GRASP) & (clock > GRASPING_TIME)
        return goal, torch.where(has_grasped, PULL, next_phase)

"""The expert of `AssistReach`: over the place, then down to it."""

from __future__ import annotations

import torch
from torch import Tensor

from .expert import Expert, Goal, constant, length, towards

ABOVE = 0.08
"""m over the skin that the tip goes to first: straight there it would hit the side of the arm"""
BEFORE_TOUCH = 0.015
"""m over the skin where the tip waits without touching"""
APPROACH_SPEED = 0.15
"""m/s to the place over the skin"""
DESCENT_SPEED = 0.05
"""m/s down from there"""
CLOSE = 0.02
"""m from the goal at which a phase ends"""
PITCH = -0.9
"""rad, of the wrist"""
# Phases.
OVER = 0.0
DOWN = 1.0


class ReachExpert(Expert):
    """Goes over the place on the forearm, then down along the normal of the skin, and stays just above it."""

    def plan(self, seen: dict[str, Tensor], phase: Tensor, clock: Tensor) -> tuple[Goal, Tensor]:
        """Over the place, then down."""
        to_skin = seen["target"]
        out = seen["target_axis"]
        to_hover = to_skin + ABOVE * out
        to_touch = to_skin + BEFORE_TOUCH * out
        is_over = phase == OVER
        velocity = torch.where(
            is_over[:, None], towards(to_hover, APPROACH_SPEED), towards(to_touch, DESCENT_SPEED)
        )
        goal = Goal(
            tip_velocity=velocity,
            pitch=PITCH,
        )
        arrives = is_over & (length(to_hover) < CLOSE)
        return goal, torch.where(arrives, constant(phase, DOWN), phase)

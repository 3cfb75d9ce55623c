"""The expert of `AssistWipe`: down to the forearm, then from patch to patch with a gentle force."""

from __future__ import annotations

import torch
from torch import Tensor

from .expert import FORCE_GAIN, Expert, Goal, along, constant, length, towards
from .reach import ABOVE, CLOSE, PITCH

PRESS = 3.0
"""N, while it wipes"""
TOUCH = 0.5
"""N, from which on the sponge counts as touching"""
WIPE_SPEED = 0.03
"""m/s along the skin"""
OVER, DOWN, WIPE = 0.0, 1.0, 2.0
"""phases"""


class WipeExpert(Expert):
    """Follows the patches that the task shows it, and holds the force along the normal of the skin."""

    def plan(self, seen: dict[str, Tensor], phase: Tensor, clock: Tensor) -> tuple[Goal, Tensor]:
        """Over the first patch, down to it, then from one to the next."""
        to_skin = seen["target"]
        out = seen["target_axis"]
        to_hover = to_skin + ABOVE * out
        force = 10.0 * length(seen["force"])
        in_plane = to_skin - along(to_skin, out)[:, None] * out
        pressing = -(FORCE_GAIN * (PRESS - force))[:, None] * out
        wiping = towards(in_plane, WIPE_SPEED) + pressing
        descent = towards(to_skin - 0.02 * out, 0.015)
        is_over = phase == OVER
        is_down = phase == DOWN
        velocity = torch.where(
            is_over[:, None],
            towards(to_hover, 0.15),
            torch.where(is_down[:, None], descent, wiping),
        )
        goal = Goal(
            tip_velocity=velocity,
            heading=constant(phase, 0.0),
            yaw=constant(phase, 0.0),
            pitch=constant(phase, PITCH),
            roll=constant(phase, 0.0),
            gripper=constant(phase, 0.0),
        )
        next_phase = torch.where(is_over & (length(to_hover) < CLOSE), DOWN, phase)
        return goal, torch.where(is_down & (force > TOUCH), WIPE, next_phase)

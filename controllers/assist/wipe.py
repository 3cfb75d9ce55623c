"""The expert of `AssistWipe`: down to the forearm, then from patch to patch with a gentle force."""

from __future__ import annotations

import torch
from torch import Tensor

from .expert import Expert, Goal, contact_force, length, press, towards, within_skin
from .reach import ABOVE, APPROACH_SPEED, CLOSE, PITCH
from .scratch import TOUCH_SPEED, UNDER_SKIN

PRESS = 3.0
"""N, while it wipes"""
TOUCH = 0.5
"""N, from which on the sponge counts as touching"""
WIPE_SPEED = 0.03
"""m/s along the skin"""
# Phases.
OVER = 0.0
DOWN = 1.0
WIPE = 2.0


class WipeExpert(Expert):
    """Follows the patches that the task shows it, and holds the force along the normal of the skin."""

    def plan(self, seen: dict[str, Tensor], phase: Tensor, clock: Tensor) -> tuple[Goal, Tensor]:
        """Over the first patch, down to it, then from one to the next."""
        to_skin = seen["target"]
        out = seen["target_axis"]
        to_hover = to_skin + ABOVE * out
        force = contact_force(seen)
        wiping = towards(within_skin(to_skin, out), WIPE_SPEED) + press(force, PRESS, out)
        descent = towards(to_skin - UNDER_SKIN * out, TOUCH_SPEED)
        is_over = phase == OVER
        is_down = phase == DOWN
        velocity = torch.where(
            is_over[:, None],
            towards(to_hover, APPROACH_SPEED),
            torch.where(is_down[:, None], descent, wiping),
        )
        goal = Goal(
            tip_velocity=velocity,
            pitch=PITCH,
        )
        next_phase = torch.where(is_over & (length(to_hover) < CLOSE), DOWN, phase)
        return goal, torch.where(is_down & (force > TOUCH), WIPE, next_phase)

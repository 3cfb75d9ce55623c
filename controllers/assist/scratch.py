"""The expert of `AssistScratch`: over the place, down until it touches, then to and fro with a gentle force."""

from __future__ import annotations

import torch
from torch import Tensor

from .expert import Expert, Goal, along, contact_force, length, press, towards, within_skin
from .reach import ABOVE, APPROACH_SPEED, CLOSE, PITCH

PRESS = 2.0
"""N, force of a stroke"""
TOUCH = 0.5
"""N, from which on the tool counts as touching"""
STROKE = 0.012
"""m to each side of the place"""
TOUCH_SPEED = 0.015
"""m/s down to the skin"""
UNDER_SKIN = 0.02
"""m under the skin that the descent aims at: it ends at the touch"""
OVERSHOOT = 1.3
"""a stroke aims so many times as far as it goes, so that it does not slow down before its end"""
STROKE_SPEED = 0.03
"""m/s along the skin"""
# Phases.
OVER = 0.0
DOWN = 1.0
FORTH = 2.0
BACK = 3.0


class ScratchExpert(Expert):
    """Strokes along the forearm, forwards and backwards, while it holds the force along the normal of the skin."""

    def plan(self, seen: dict[str, Tensor], phase: Tensor, clock: Tensor) -> tuple[Goal, Tensor]:
        """Over the place, down to the skin, then stroke after stroke."""
        to_skin = seen["target"]
        out = seen["target_axis"]
        to_hover = to_skin + ABOVE * out
        force = contact_force(seen)
        facing = torch.nn.functional.pad(seen["person_facing"], (0, 1))
        tangent = within_skin(facing, out)
        tangent = tangent / length(tangent)[:, None]

        is_over = phase == OVER
        is_down = phase == DOWN
        side = torch.where(phase == FORTH, 1.0, -1.0)
        to_end = to_skin + (side * OVERSHOOT * STROKE)[:, None] * tangent
        strokes = towards(within_skin(to_end, out), STROKE_SPEED) + press(force, PRESS, out)
        descent = towards(to_skin - UNDER_SKIN * out, TOUCH_SPEED)
        velocity = torch.where(
            is_over[:, None],
            towards(to_hover, APPROACH_SPEED),
            torch.where(is_down[:, None], descent, strokes),
        )
        goal = Goal(
            tip_velocity=velocity,
            pitch=PITCH,
        )
        offset = -along(to_skin, tangent)
        next_phase = phase
        next_phase = torch.where(is_over & (length(to_hover) < CLOSE), DOWN, next_phase)
        next_phase = torch.where(is_down & (force > TOUCH), FORTH, next_phase)
        next_phase = torch.where((phase == FORTH) & (offset > STROKE), BACK, next_phase)
        next_phase = torch.where((phase == BACK) & (offset < -STROKE), FORTH, next_phase)
        return goal, next_phase

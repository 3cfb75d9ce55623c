"""The expert of `AssistScratch`: over the place, down until it touches, then to and fro with a gentle force."""

from __future__ import annotations

import torch
from torch import Tensor

from .expert import FORCE_GAIN, Expert, Goal, along, constant, length, towards
from .reach import ABOVE, CLOSE, PITCH

PRESS = 2.0
"""N, force of a stroke"""
TOUCH = 0.5
"""N, from which on the tool counts as touching"""
STROKE = 0.012
"""m to each side of the place"""
APPROACH_SPEED = 0.015
"""m/s down to the skin"""
STROKE_SPEED = 0.03
"""m/s along the skin"""
OVER, DOWN, FORTH, BACK = 0.0, 1.0, 2.0, 3.0
"""phases"""


class ScratchExpert(Expert):
    """Strokes along the forearm, forwards and backwards, while it holds the force along the normal of the skin."""

    def plan(self, seen: dict[str, Tensor], phase: Tensor, clock: Tensor) -> tuple[Goal, Tensor]:
        """Over the place, down to the skin, then stroke after stroke."""
        to_skin = seen["target"]
        out = seen["target_axis"]
        to_hover = to_skin + ABOVE * out
        force = 10.0 * length(seen["force"])
        facing = torch.nn.functional.pad(seen["person_facing"], (0, 1))
        tangent = facing - along(facing, out)[:, None] * out
        tangent = tangent / length(tangent)[:, None]

        is_over = phase == OVER
        is_down = phase == DOWN
        side = torch.where(phase == FORTH, 1.0, -1.0)
        to_end = to_skin + (side * 1.3 * STROKE)[:, None] * tangent
        in_plane = to_end - along(to_end, out)[:, None] * out
        pressing = -(FORCE_GAIN * (PRESS - force))[:, None] * out
        strokes = towards(in_plane, STROKE_SPEED) + pressing
        descent = towards(to_skin - 0.02 * out, APPROACH_SPEED)
        velocity = torch.where(
            is_over[:, None],
            towards(to_hover, 0.15),
            torch.where(is_down[:, None], descent, strokes),
        )
        goal = Goal(
            tip_velocity=velocity,
            heading=constant(phase, 0.0),
            yaw=constant(phase, 0.0),
            pitch=constant(phase, PITCH),
            roll=constant(phase, 0.0),
            gripper=constant(phase, 0.0),
        )
        offset = -along(to_skin, tangent)
        next_phase = phase
        next_phase = torch.where(is_over & (length(to_hover) < CLOSE), DOWN, next_phase)
        next_phase = torch.where(is_down & (force > TOUCH), FORTH, next_phase)
        next_phase = torch.where((phase == FORTH) & (offset > STROKE), BACK, next_phase)
        next_phase = torch.where((phase == BACK) & (offset < -STROKE), FORTH, next_phase)
        return goal, next_phase

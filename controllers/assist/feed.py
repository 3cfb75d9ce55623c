"""The expert of `AssistFeed`: before the mouth, then straight to it, the spoon level all the way."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .expert import Expert, Goal, constant, length, towards

BEFORE = 0.12
"""m before the mouth that the tip goes to first"""
AT_LIPS = 0.014
"""m before the mouth where it stays"""
APPROACH_SPEED = 0.12
"""m/s to the place before the mouth"""
LIPS_SPEED = 0.05
"""m/s from there to the lips"""
CLOSE = 0.015
"""m from the goal at which a phase ends"""
FACE_TO_FACE = math.pi / 2
"""rad, the person's facing as seen by a robot whose arm points to the face"""
# Phases.
ALIGN = 0.0
IN = 1.0


class FeedExpert(Expert):
    """Aligns before the mouth, then moves in slowly and waits."""

    def plan(self, seen: dict[str, Tensor], phase: Tensor, clock: Tensor) -> tuple[Goal, Tensor]:
        """Before the mouth, then to the lips."""
        to_before = seen["target"] + BEFORE * seen["target_axis"]
        to_lips = seen["target"] + AT_LIPS * seen["target_axis"]
        is_aligning = phase == ALIGN
        velocity = torch.where(
            is_aligning[:, None], towards(to_before, APPROACH_SPEED), towards(to_lips, LIPS_SPEED)
        )
        goal = Goal(
            tip_velocity=velocity,
            heading=FACE_TO_FACE,
        )
        arrives = is_aligning & (length(to_before) < CLOSE)
        return goal, torch.where(arrives, constant(phase, IN), phase)

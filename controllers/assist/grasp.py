"""Phases and measures of grasping that the experts of boxes and handles share."""

from __future__ import annotations

import torch
from torch import Tensor

OPEN = 0.035
"""m, the gripper's slide on the way to a thing"""
CLOSED = -0.02
"""m, the gripper's slide that it closes to; what is between the fingers stops it"""
BEFORE = 0.14
"""m between the grasp and the thing before the arm is extended"""
REACH_SPEED = 0.08
"""m/s with the open gripper around the thing"""
CLOSE = 0.012
"""m from the goal at which a phase ends"""
GRASPING_TIME = 1.2
"""s that the fingers are given to close"""


def beside(vector: Tensor, distance: float | Tensor) -> Tensor:
    """The vector (batch, 3) to a point `distance` m before the thing, on the robot's side."""
    offset = torch.zeros_like(vector)
    offset[:, 1] = distance
    return vector + offset


def above(vector: Tensor, height: float | Tensor) -> Tensor:
    """The vector (batch, 3) to a point `height` m over the thing."""
    offset = torch.zeros_like(vector)
    offset[:, 2] = height
    return vector + offset

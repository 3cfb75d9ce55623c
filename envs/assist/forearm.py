"""Places on the skin of the person's left forearm."""

from __future__ import annotations

import numpy as np

from ...morphology.person import FOREARM_LENGTH, FOREARM_RADIUS
from ..simulation import Simulation

ALONG = (0.45, 0.85)
"""range of places along the forearm: 0 at the elbow, 1 at the wrist; nearer to the elbow the upper arm is in the way"""
AROUND = (-0.4, 0.8)
"""rad, range of places around it: 0 on the upper side, positive outwards, to the robot"""


def draw_place(rng: np.random.Generator) -> tuple[float, float]:
    """A place on the upper, outer side: along, and around in rad."""
    return float(rng.uniform(*ALONG)), float(rng.uniform(*AROUND))


def place_on_forearm(
    sim: Simulation, along: np.ndarray, around: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Places on the skin in the robot's frame.

    Args:
        sim: with present sensors.
        along: (n,) 0 at the elbow, 1 at the wrist.
        around: (n,) rad from the upper side outwards.

    Returns:
        Places (n, 3), m, and the directions (n, 3) out of the skin.
    """
    up = sim.sensor("forearm_up")
    outwards = sim.sensor("forearm_out")
    towards_wrist = -sim.sensor("forearm_back")
    normal = np.cos(around)[:, None] * up + np.sin(around)[:, None] * outwards
    axis_point = sim.sensor("elbow") + (along * FOREARM_LENGTH)[:, None] * towards_wrist
    return axis_point + FOREARM_RADIUS * normal, normal

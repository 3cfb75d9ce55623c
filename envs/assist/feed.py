"""Bring a spoon with food to the person's mouth and hold it there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..simulation import Simulation
from ..task import Memory
from . import plans, scene
from .base import NEAR_REWARD, Assist, Forces, Spread, Start, count_dwell
from .plans import Plan

MOUTH_RADIUS = 0.03
"""m around the mouth within which the person can eat"""
DWELL = 1.0
"""s that the spoon must stay there"""
LARGEST_TILT = math.radians(20)
"""rad; tilted further, the spoon loses its food"""
LARGEST_FORCE = 5.0
"""N, above it the time at the mouth does not count"""
FACING_START = Start(x=1.05, y=0.0, yaw=-math.pi / 2, lift=0.93, arm=0.05, wrist_pitch=0.0)
"""before the person, the arm pointing to the face"""
FACING_SPREAD = Spread(x=0.06, y=0.10, yaw=0.2)
"""half widths: nearer, the base would stand on the person's feet"""


def tilt(sim: Simulation) -> np.ndarray:
    """Angle (n,) of the tool's upper side from the vertical, rad."""
    upright = sim.sensor("tip_up")[:, 2]
    return np.arccos(np.clip(upright, -1.0, 1.0))


@dataclass(kw_only=True)
class AssistFeed(Assist):
    """Hold the tip of the spoon within 30 mm of the mouth for 1 s with less than 5 N, never tilted by more than 20 degrees.

    Observation, action, reward, unsafe ends and metrics: docs/systems/assist.md, "Tasks". Progress: time at the mouth,
    s, and tilt, in 20 degrees. A spoon that is tilted further ends the episode as failed.

    Version: v0.
    """

    force_limit: float = 10.0
    """N; a larger force between robot and person, in any substep, ends the episode as unsafe"""

    near_reward: ClassVar[float] = NEAR_REWARD
    plan: ClassVar[Plan] = staticmethod(plans.feed)
    tool: ClassVar[str] = "spoon"
    start: ClassVar[Start] = FACING_START
    long_spread: ClassVar[Spread] = FACING_SPREAD
    view: ClassVar[scene.View] = scene.BEFORE_THE_CHAIR

    def own_memory(self, n: int) -> Memory:
        """Time at the mouth, and the tilt."""
        return {"dwell": np.zeros(n), "tilt": np.zeros(n)}

    def target(self, sim: Simulation, memory: Memory) -> tuple[np.ndarray, np.ndarray]:
        """The mouth, and the way out of it."""
        return sim.sensor("mouth"), sim.sensor("mouth_axis")

    def judge(self, sim: Simulation, memory: Memory, forces: Forces) -> None:
        """Count the time at the mouth."""
        memory["tilt"][:] = tilt(sim)
        memory["has_failed"] |= memory["tilt"] > LARGEST_TILT
        at_mouth = (self._distance(sim, memory) < MOUTH_RADIUS) & (forces.peak < LARGEST_FORCE)
        count_dwell(memory, at_mouth, DWELL)

    def progress(self, memory: Memory) -> list[np.ndarray]:
        """Time at the mouth and tilt."""
        return [memory["dwell"] / DWELL, memory["tilt"] / LARGEST_TILT]

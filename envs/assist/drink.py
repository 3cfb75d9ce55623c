"""Bring a cup to the person's mouth and tilt it there, and nowhere else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..simulation import Simulation
from ..task import Memory
from . import plans
from .base import NEAR_REWARD, Assist, Forces, Spread, Start, count_dwell
from .feed import LARGEST_FORCE, MOUTH_RADIUS, tilt
from .plans import Plan

DWELL = 2.0
"""s that the person drinks"""
DRINKING_TILT = math.radians(45)
"""rad, at which the person drinks; 5 degrees less will do"""
TOLERANCE = math.radians(5)
"""rad"""
SPILLING_TILT = math.radians(20)
"""rad; tilted further away from the mouth, the cup spills"""
SPILL_DISTANCE = 0.06
"""m of the rim from the mouth, within which nothing is spilt"""


@dataclass(kw_only=True)
class AssistDrink(Assist):
    """Hold the cup's rim within 30 mm of the mouth, tilted by 45 degrees, for 2 s with less than 5 N.

    Observation, action, reward, unsafe ends and metrics: docs/systems/assist.md, "Tasks". Progress: time of drinking, in
    2 s, and tilt, in 45 degrees. A cup that is tilted by more than 20 degrees more than 60 mm away from the mouth is
    spilt: the episode ends as failed.

    Version: v0.
    """

    force_limit: float = 10.0
    """N; a larger force between robot and person, in any substep, ends the episode as unsafe"""

    near_reward: ClassVar[float] = NEAR_REWARD
    plan: ClassVar[Plan] = staticmethod(plans.drink)
    tool: ClassVar[str] = "cup"
    # Beside the person: the arm reaches across, and the wrist's roll tilts the cup towards the face. From the front
    # the pitch would, and ask the lift for more than it has.
    start: ClassVar[Start] = Start(
        x=0.35, y=0.84, yaw=0.0, lift=0.92, arm=0.10, wrist_pitch=0.0, gripper=0.005
    )
    long_spread: ClassVar[Spread] = Spread(x=0.10, y=0.05, yaw=0.2)

    def own_memory(self, n: int) -> Memory:
        """Time of drinking, and the tilt."""
        return {"dwell": np.zeros(n), "tilt": np.zeros(n)}

    def target(self, sim: Simulation, memory: Memory) -> tuple[np.ndarray, np.ndarray]:
        """The mouth, and the way out of it."""
        return sim.sensor("mouth"), sim.sensor("mouth_axis")

    def judge(self, sim: Simulation, memory: Memory, forces: Forces) -> None:
        """Count the time of drinking, and see whether the cup is spilt."""
        distance = self._distance(sim, memory)
        memory["tilt"][:] = tilt(sim)
        memory["has_failed"] |= (memory["tilt"] > SPILLING_TILT) & (distance > SPILL_DISTANCE)
        drinks = (
            (distance < MOUTH_RADIUS)
            & (memory["tilt"] > DRINKING_TILT - TOLERANCE)
            & (forces.peak < LARGEST_FORCE)
        )
        count_dwell(memory, drinks, DWELL)

    def progress(self, memory: Memory) -> list[np.ndarray]:
        """Time of drinking and tilt."""
        return [memory["dwell"] / DWELL, memory["tilt"] / DRINKING_TILT]

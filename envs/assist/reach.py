"""Bring the tip of a rod to a place on the person's forearm, and keep it there for half a second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..simulation import Simulation
from ..task import Memory
from . import plans
from .base import NEAR, NEAR_REWARD, Assist, Forces, Start, count_dwell
from .forearm import draw_place, place_on_forearm
from .plans import Plan

DWELL = 0.5
"""s that the tip must stay near"""


@dataclass(kw_only=True)
class AssistReach(Assist):
    """Bring the tip to within 3 cm of a place on the left forearm for 0.5 s.

    Observation, action, reward, unsafe ends and metrics: docs/systems/assist.md, "Tasks".

    Version: v0.
    """

    near_reward: ClassVar[float] = NEAR_REWARD
    plan: ClassVar[Plan] = staticmethod(plans.reach)
    tool: ClassVar[str] = "scratcher"
    start: ClassVar[Start] = Start(x=0.2, y=0.88, yaw=0.0, lift=0.95, arm=0.02, wrist_pitch=-0.9)

    def own_memory(self, n: int) -> Memory:
        """Place on the forearm, and time near it."""
        return {
            "along": np.zeros(n),  # 0 at the elbow, 1 at the wrist
            "around": np.zeros(n),  # rad from the upper side outwards
            "dwell": np.zeros(n),  # s within `NEAR` without a break
        }

    def draw(self, sim: Simulation, memory: Memory, i: int, rng: np.random.Generator) -> None:
        """A place on the upper, outer side of the forearm."""
        memory["along"][i], memory["around"][i] = draw_place(rng)

    def target(self, sim: Simulation, memory: Memory) -> tuple[np.ndarray, np.ndarray]:
        """The place on the skin, and the way out of it."""
        return place_on_forearm(sim, memory["along"], memory["around"])

    def judge(self, sim: Simulation, memory: Memory, forces: Forces) -> None:
        """Count the time near the place."""
        is_near = self._distance(sim, memory) < NEAR
        count_dwell(memory, is_near, DWELL)

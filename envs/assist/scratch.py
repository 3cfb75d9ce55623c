"""Scratch an itch on the person's forearm with ten gentle strokes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..simulation import Simulation
from ..task import Memory
from . import plans
from .base import Assist, Forces, Start
from .forearm import draw_place, place_on_forearm
from .plans import Plan

STROKES = 10
"""strokes that the itch needs"""
ITCH_RADIUS = 0.025
"""m around the target within which a stroke counts"""
STROKE_LENGTH = 0.010
"""m that the tip must have moved since the last stroke that counted"""
LEAST_FORCE = 0.2
"""N, below it the tool does not touch"""
LARGEST_FORCE = 10.0
"""N, above it a stroke hurts and does not count"""
STROKE_REWARD = 1.0
"""for each of the ten strokes"""


@dataclass(kw_only=True)
class AssistScratch(Assist):
    """Scratch the left forearm: ten strokes that touch within 25 mm of the itch, each 10 mm from the last, under 10 N.

    Observation, action, reward, unsafe ends and metrics: docs/systems/assist.md, "Tasks". Progress: strokes / 10, and
    the tip's distance from where the last stroke counted, in 10 mm. Metric: ``strokes``.

    Version: v0.
    """

    plan: ClassVar[Plan] = staticmethod(plans.scratch)
    tool: ClassVar[str] = "scratcher"
    start: ClassVar[Start] = Start(x=0.2, y=0.88, yaw=0.0, lift=0.95, arm=0.02, wrist_pitch=-0.9)

    def own_memory(self, n: int) -> Memory:
        """Place of the itch, strokes, and where the last one counted."""
        return {
            "along": np.zeros(n),  # 0 at the elbow, 1 at the wrist
            "around": np.zeros(n),  # rad from the upper side outwards
            "strokes": np.zeros(n),
            "last_place": np.full((n, 3), np.inf),  # m from the itch, in the robot's frame
            "moved": np.zeros(n),  # m since then
        }

    def draw(self, sim: Simulation, memory: Memory, i: int, rng: np.random.Generator) -> None:
        """A place on the upper, outer side of the forearm."""
        memory["along"][i], memory["around"][i] = draw_place(rng)

    def target(self, sim: Simulation, memory: Memory) -> tuple[np.ndarray, np.ndarray]:
        """The itch, and the way out of the skin."""
        return place_on_forearm(sim, memory["along"], memory["around"])

    def judge(self, sim: Simulation, memory: Memory, forces: Forces) -> None:
        """Count the strokes."""
        itch, _ = self.target(sim, memory)
        offset = sim.sensor("tip") - itch
        touches = (forces.tool > LEAST_FORCE) & (forces.tool_peak < LARGEST_FORCE)
        on_itch = np.linalg.norm(offset, axis=1) < ITCH_RADIUS
        # The first touch is infinitely far from the last stroke: it only begins to count.
        first = touches & on_itch & np.isinf(memory["last_place"][:, 0])
        memory["last_place"][first] = offset[first]
        moved = np.where(
            np.isinf(memory["last_place"][:, 0]),
            0.0,
            np.linalg.norm(offset - _finite(memory["last_place"]), axis=1),
        )
        counts = touches & on_itch & (moved > STROKE_LENGTH)
        memory["last_place"][counts] = offset[counts]
        memory["moved"][:] = np.where(counts, 0.0, moved)
        memory["strokes"] += counts
        memory["event_reward"] += STROKE_REWARD * counts
        memory["success"] |= memory["strokes"] >= STROKES

    def progress(self, memory: Memory) -> list[np.ndarray]:
        """Strokes, and the way since the last one."""
        strokes = memory["strokes"] / STROKES
        return [strokes, memory["moved"] / STROKE_LENGTH]

    def own_metrics(self, memory: Memory) -> dict[str, np.ndarray]:
        """The strokes."""
        return {"strokes": memory["strokes"].copy()}


def _finite(places: np.ndarray) -> np.ndarray:
    """The places, with 0 where there is none yet."""
    return np.where(np.isinf(places), 0.0, places)

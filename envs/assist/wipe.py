"""Wipe the person's forearm with a sponge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..simulation import Simulation
from ..task import Memory
from . import plans
from .base import Assist, Forces, Start
from .forearm import place_on_forearm
from .plans import Plan

COLUMNS_ALONG = np.linspace(0.42, 0.95, 10)
"""places of the columns of patches along the forearm: 0 at the elbow, 1 at the wrist"""
ROWS_AROUND = np.linspace(-0.5, 0.8, 4)
"""rad, places of their rows around it: 0 on the upper side, positive outwards"""
PATCH_ALONG = np.repeat(COLUMNS_ALONG, len(ROWS_AROUND))
"""place of every patch along the forearm, by the patch's number"""
PATCH_AROUND = np.tile(ROWS_AROUND, len(COLUMNS_ALONG))
"""rad, place of every patch around it, by the patch's number"""
PATCH_COUNT = len(PATCH_ALONG)
PATCH_RADIUS = 0.022
"""m around the sponge's middle within which a patch is wiped: half of what it covers"""
LEAST_FORCE = 1.0
"""N, below it the sponge does not wipe"""
LARGEST_FORCE = 8.0
"""N, above it the sponge hurts and does not count"""
SHARE = 0.6
"""of the patches that must be wiped"""
PATCH_REWARD = 0.5
"""for each patch"""


@dataclass(kw_only=True)
class AssistWipe(Assist):
    """Wipe 60 % of 40 patches on the upper, outer side of the left forearm with 1 to 8 N.

    Observation, action, reward, unsafe ends and metrics: docs/systems/assist.md, "Tasks". The target is the nearest
    patch that is not wiped yet. Progress: share of patches wiped, over the share that is asked. Metric: ``coverage``.

    Version: v0.
    """

    plan: ClassVar[Plan] = staticmethod(plans.wipe)
    tool: ClassVar[str] = "wiper"
    start: ClassVar[Start] = Start(x=0.2, y=0.88, yaw=0.0, lift=0.95, arm=0.02, wrist_pitch=-0.9)

    def own_memory(self, n: int) -> Memory:
        """Which patches are wiped, and which is the target."""
        return {
            "is_wiped": np.zeros((n, PATCH_COUNT), bool),
            "goal_patch": np.zeros(n, np.int64),
        }

    def draw(self, sim: Simulation, memory: Memory, i: int, rng: np.random.Generator) -> None:
        """Wiping begins at a patch that is drawn."""
        memory["goal_patch"][i] = rng.integers(PATCH_COUNT)

    def target(self, sim: Simulation, memory: Memory) -> tuple[np.ndarray, np.ndarray]:
        """The patch that is next, and the way out of the skin."""
        goal = memory["goal_patch"]
        return place_on_forearm(sim, PATCH_ALONG[goal], PATCH_AROUND[goal])

    def judge(self, sim: Simulation, memory: Memory, forces: Forces) -> None:
        """See which patches the sponge covers, and choose the next."""
        distances = self._patch_distances(sim)
        wipes = (forces.tool > LEAST_FORCE) & (forces.tool_peak < LARGEST_FORCE)
        covered = (distances < PATCH_RADIUS) & wipes[:, None] & ~memory["is_wiped"]
        memory["is_wiped"] |= covered
        memory["event_reward"] += PATCH_REWARD * covered.sum(1)
        memory["success"] |= memory["is_wiped"].mean(1) >= SHARE
        goal_is_wiped = np.take_along_axis(
            memory["is_wiped"], memory["goal_patch"][:, None], axis=1
        )[:, 0]
        # The tip is never infinitely far: what is wiped comes last.
        nearest = np.where(memory["is_wiped"], np.inf, distances).argmin(1)
        memory["goal_patch"][:] = np.where(goal_is_wiped, nearest, memory["goal_patch"])

    def _patch_distances(self, sim: Simulation) -> np.ndarray:
        """Distances (n, patches) of all patches, by their numbers, from the tip of the sponge, m."""
        tip = sim.sensor("tip")
        distances = np.zeros((sim.n, PATCH_COUNT))
        for patch in range(PATCH_COUNT):
            along = np.full(sim.n, PATCH_ALONG[patch])
            around = np.full(sim.n, PATCH_AROUND[patch])
            place, _normal = place_on_forearm(sim, along, around)
            distances[:, patch] = np.linalg.norm(place - tip, axis=1)
        return distances

    def progress(self, memory: Memory) -> list[np.ndarray]:
        """Share of what is asked."""
        share = memory["is_wiped"].mean(1) / SHARE
        return [share]

    def own_metrics(self, memory: Memory) -> dict[str, np.ndarray]:
        """Share of patches wiped."""
        return {"coverage": memory["is_wiped"].mean(1)}

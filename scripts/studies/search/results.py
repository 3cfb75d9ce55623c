"""What the parts of the search study hand on: to parts that are measured later, and to the pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lancelet.scripts.studies.search.lives import Lives


@dataclass(frozen=True)
class FixedPairLives:
    """Lives on the fixed pair of one maze."""

    search: Lives
    """of the search, several trials"""
    oracle: Lives
    """of agents that have the map and the same motor layer, as many trials"""


@dataclass(frozen=True)
class BlockedRoute:
    """Steps of the trials around a wall that falls onto the shortest way and goes again (N1 and N2)."""

    before: np.ndarray
    """without the wall, (agents, trials)"""
    blocked: np.ndarray
    """of the same agents with the wall there, (agents, trials)"""
    reopened: np.ndarray
    """of the same agents with the wall gone again, (agents, trials)"""
    newborn: np.ndarray
    """of agents that are born while the wall is there, (agents, trials)"""


@dataclass
class Results:
    """What the study measured; empty where a part of it was not asked for."""

    fixed_pairs: dict[str, FixedPairLives] = field(default_factory=dict)
    """maze -> lives on its fixed pair"""
    blocked_route: BlockedRoute | None = None
    """steps around a wall that comes and goes"""
    sac_runs: list[dict[str, Any]] = field(default_factory=list)
    """trainings of SAC, as `sac.train` returns them"""

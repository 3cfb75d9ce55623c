"""The circuit and the episodes that all parts of the NCAP study measure with."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np

from lancelet import controllers, training
from lancelet.controllers import Controller
from lancelet.training.rollout import Score

TASK = "lancelet/Swim-v0"
NAVIGATE = "lancelet/SwimNavigate-v0"


def start(joints: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Start state (nq,) and target (2,) of the suite's legacy generator: heading, joints, then the target."""
    random = np.random.RandomState(seed)
    limit = 2 * math.pi / (joints + 1)
    qpos = np.zeros(3 + joints)
    qpos[2] = random.uniform(-math.pi, math.pi)
    qpos[3:] = random.uniform(-limit, limit, joints)
    box = 0.3 if random.rand() < 0.2 else 2.0
    return qpos, random.uniform(-box, box, 2)


def circuit(joints: int = 5, task: str = TASK, **options: Any) -> Controller:
    """NCAP for a swimmer of `joints` joints."""
    return controllers.make("ncap", gym.make(task, joints=joints), **options)


def score(
    controller: Controller, seeds: int, joints: int = 5, task: str = TASK, **options: Any
) -> Score:
    """Episodes from the legacy start states 0 .. seeds - 1."""
    starts = [start(joints, seed) for seed in range(seeds)]
    reset: dict[str, Any] = {"qpos": np.stack([qpos for qpos, _ in starts])}
    if task == NAVIGATE:
        reset["target"] = np.stack([target for _, target in starts])
    return training.evaluate(controller, task, seeds, options=reset, joints=joints, **options)

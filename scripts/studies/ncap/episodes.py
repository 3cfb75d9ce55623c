"""The circuit and the episodes that all parts of the NCAP study measure with."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np

from lancelet import controllers, training
from lancelet.controllers import Controller
from lancelet.envs.swim import FAR_TARGETS, FIRST_JOINT, HEADING, NEAR_PROBABILITY, NEAR_TARGETS
from lancelet.training.rollout import Score

TASK = "lancelet/Swim-v0"
NAVIGATE = "lancelet/SwimNavigate-v0"
JOINTS = 5
"""joints of the swimmer that the paper trains"""


def start(joints: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Start state and target of dm_control's swimmer, drawn from numpy's legacy generator as dm_control does.

    Args:
        joints: of the swimmer.
        seed: of the generator.

    Returns:
        Start state (3 + joints,): x, y (m), heading and joint angles (rad); target (2,): x, y (m).
    """
    random = np.random.RandomState(seed)
    joint_limit = 2 * math.pi / (joints + 1)
    # The order of the draws is dm_control's: heading, joints, size of the box, target.
    qpos = np.zeros(FIRST_JOINT + joints)
    qpos[HEADING] = random.uniform(-math.pi, math.pi)
    qpos[FIRST_JOINT:] = random.uniform(-joint_limit, joint_limit, joints)
    half_width = FAR_TARGETS
    if random.rand() < NEAR_PROBABILITY:
        half_width = NEAR_TARGETS
    target = random.uniform(-half_width, half_width, 2)
    return qpos, target


def circuit(joints: int = JOINTS, task: str = TASK, **options: Any) -> Controller:
    """NCAP for a swimmer of `joints` joints; `options` are those of the controller."""
    return controllers.make("ncap", gym.make(task, joints=joints), **options)


def score(
    controller: Controller, seeds: int, joints: int = JOINTS, task: str = TASK, **options: Any
) -> Score:
    """Episodes from the start states 0 .. seeds - 1 of `start`.

    Args:
        controller: what acts.
        seeds: number of episodes.
        joints: of the swimmer.
        task: `TASK`, or `NAVIGATE`, whose episodes get the targets of `start` too.
        **options: of `training.evaluate`.
    """
    starts = [start(joints, seed) for seed in range(seeds)]
    reset_options = {"qpos": np.stack([qpos for qpos, _ in starts])}
    if task == NAVIGATE:
        reset_options["target"] = np.stack([target for _, target in starts])
    return training.evaluate(
        controller, task, seeds, options=reset_options, joints=joints, **options
    )

"""Model P in the goodbody study: are diagonal sensors better than canonical ones in rigid-body physics too?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from lancelet import controllers
from lancelet.controllers import Population
from lancelet.envs.kinematic import grid
from lancelet.morphology.braitenberg import CANONICAL, Braitenberg
from lancelet.scripts.rows import Row
from lancelet.scripts.studies.goodbody.placement_search import ALL_LIGHTS
from lancelet.scripts.study import Study
from lancelet.training.rollout import make_env, rollout

TASK = "lancelet/Phototaxis-v0"
DIAGONAL = {
    "diagonal": (-0.5, 0.125, 0.5, -0.375),
    "diagonal, mirrored wiring": (-0.5, -0.125, 0.5, 0.375),
}
"""the best of arXiv 1910.07487's code, which gives lateral places without saying which side is positive"""
LIGHTS = [1, 2, 3, 4]
"""places of the light, one an environment, as the task numbers them"""
GAIN = 3.0
"""factor of the weights: weights of +-1 alone are too weak, in 2,500 steps no spinner arrives"""
STEPS = 5000
"""control steps of an episode"""
LEAST_POLICIES = 20
"""policies that solve all four, of the better body: below that one policy more or less turns the order round"""
SIDE = {"quick": 5, "shown": 9, "full": 21}
"""size of the study -> weights a side of the policy grid"""


def solved(
    places: Sequence[float], side: int, steps: int = STEPS, gain: float = GAIN
) -> dict[str, np.ndarray]:
    """Every policy of a grid towards every light.

    Args:
        places: of the sensors, (4,), m.
        side: weights a side of the policy grid.
        steps: control steps of an episode.
        gain: factor of the weights.

    Returns:
        ``success`` and ``distance`` (m), (side, side, 4) each: by both weights and the light.
    """
    policies = grid(side)
    episode_count = len(LIGHTS) * len(policies)
    env = make_env(TASK, episode_count, max_episode_steps=steps, body=Braitenberg.placed(places))
    # A population of fewer genomes than episodes: each policy acts in as many episodes in a row as there are lights.
    genomes = torch.tensor(policies, dtype=torch.float32)
    agents = Population(controllers.make("braitenberg", env, gain=gain), episode_count, genomes)
    options = {"light": np.tile(LIGHTS, len(policies))}
    score, _ = rollout(env, agents, 0, options)
    shape = (side, side, len(LIGHTS))
    return {name: score.metrics[name].reshape(shape) for name in ("success", "distance")}


def ordering(study: Study) -> None:
    """P: the share of policies that reach all four lights, of the better diagonal body against the canonical one."""
    side = SIDE[study.size]
    policy_count = side * side
    all_lights = {}
    any_light = {}
    for index, (name, body) in enumerate({"canonical": CANONICAL, **DIAGONAL}.items()):
        success = study.stage(f"rigid-{index}", partial(solved, body, side))["success"]
        all_lights[name] = int((success.sum(-1) == ALL_LIGHTS).sum())
        any_light[name] = int(success.any(-1).sum())

    best = max(DIAGONAL, key=lambda name: all_lights[name])
    counts = ", ".join(
        f"{name} {count} (any light {any_light[name]})" for name, count in all_lights.items()
    )
    note = (
        f"policies of {side} x {side} (weights within +-{GAIN:g}) that reach all four lights in {STEPS} steps: "
        f"{counts}"
    )
    holds = all_lights[best] > all_lights["canonical"]
    if max(all_lights["canonical"], all_lights[best]) < LEAST_POLICIES:
        holds = None
        note = f"not judged: both have fewer than {LEAST_POLICIES} policies to count; {note}"
    study.add(
        Row(
            name="P MuJoCo: diagonal sensors over canonical ones, r1",
            kind="claim",
            value=all_lights[best] / policy_count,
            target=f"> {all_lights['canonical'] / policy_count:.4g}",
            holds=holds,
            note=note,
        )
    )

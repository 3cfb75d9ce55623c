"""Model P in the goodbody study: are diagonal sensors better than canonical ones in rigid-body physics too?"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lancelet import controllers
from lancelet.controllers import Population
from lancelet.envs.kinematic import grid
from lancelet.morphology.braitenberg import CANONICAL, Braitenberg
from lancelet.scripts.rows import Row
from lancelet.scripts.study import Study
from lancelet.training.rollout import make_env, rollout

TASK = "lancelet/Phototaxis-v0"
DIAGONAL = {
    "diagonal": (-0.5, 0.125, 0.5, -0.375),
    "diagonal, mirrored wiring": (-0.5, -0.125, 0.5, 0.375),
}
"""the best of arXiv 1910.07487's code, which gives lateral places without saying which side is positive"""
GAIN, STEPS = 3.0, 5000
"""weights of +-1 alone are too weak: in 2,500 steps no spinner arrives"""
LEAST_POLICIES = 20
"""policies that solve all four, of the better body: below that one policy more or less turns the order round"""
SIDE = {"quick": 5, "shown": 9, "full": 21}
"""weights a side of the policy grid"""


def solved(places: Any, side: int, steps: int = STEPS, gain: float = GAIN) -> dict[str, np.ndarray]:
    """Every policy of a grid towards every light: ``success`` and ``distance``, (side, side, 4)."""
    weights = grid(side)
    n = 4 * len(weights)
    env = make_env(TASK, n, max_episode_steps=steps, body=Braitenberg.placed(places))
    genomes = torch.tensor(weights, dtype=torch.float32)
    agents = Population(controllers.make("braitenberg", env, gain=gain), n, genomes)
    score, _ = rollout(env, agents, 0, {"light": np.tile([1, 2, 3, 4], len(weights))})
    return {name: score.metrics[name].reshape(side, side, 4) for name in ("success", "distance")}


def ordering(study: Study) -> None:
    """Share of policies that reach all four lights, body by body."""
    side = SIDE[study.size]
    bodies = {"canonical": CANONICAL, **DIAGONAL}
    found = {
        name: study.stage(f"rigid-{k}", lambda b=b: solved(b, side))
        for k, (name, b) in enumerate(bodies.items())
    }
    every = {name: int((one["success"].sum(-1) == 4).sum()) for name, one in found.items()}
    some = {name: int(one["success"].any(-1).sum()) for name, one in found.items()}
    best = max(DIAGONAL, key=lambda name: every[name])
    total = side * side
    note = (
        f"policies of {side} x {side} (weights within +-{GAIN:g}) that reach all four lights in {STEPS} steps: "
        + ", ".join(f"{name} {every[name]} (any light {some[name]})" for name in bodies)
    )
    target = f"> {every['canonical'] / total:.4g}"
    holds = every[best] > every["canonical"]
    if max(every["canonical"], every[best]) < LEAST_POLICIES:
        holds = None
        note = f"not judged: both have fewer than {LEAST_POLICIES} policies to count; {note}"
    name = "P MuJoCo: diagonal sensors over canonical ones, r1"
    study.add(Row(name, "claim", every[best] / total, target, holds, note=note))

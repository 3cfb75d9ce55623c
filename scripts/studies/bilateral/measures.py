"""What the networks of the bilateral study do on the MuJoCo arm: figures, lesions, stiffness, paths."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from lancelet import controllers
from lancelet.controllers import Controller, Population
from lancelet.controllers.bilateral import Bilateral
from lancelet.envs.movement import gaps
from lancelet.morphology.arm import Arm
from lancelet.scripts.studies.bilateral.models import Brains, Cell, controller
from lancelet.scripts.studies.bilateral.plant import TASKS
from lancelet.training.rollout import make_env, rollout
from lancelet.training.twins.arm import trials
from lancelet.training.twins.cohort import Cohort, Pupil
from lancelet.training.twins.course import course

Figures = dict[str, dict[str, np.ndarray]]
"""model -> metric -> mean over trials, (seeds,)"""
FIRST_TEST = 1_000_000
"""seed of the first test trial"""
LESIONS = {
    "left sees nothing": ("high:left",),
    "right sees nothing": ("high:right",),
    "left silent": ("low:left",),
    "right silent": ("low:right",),
    "callosum cut": ("callosum",),
    "callosum cut, left sees nothing": ("callosum", "high:left"),
    "callosum cut, right sees nothing": ("callosum", "high:right"),
}
POSTURES = ((0.6, 1.9), (1.2, 1.5), (1.9, 1.0))
"""rad, shoulder and elbow, where stiffness is measured"""
PUSH, DIRECTIONS = 2.0, 8
"""N; of the hand"""
CENTRE, RADIUS = (0.85, 1.6), 0.15
"""rad, where the standard reaches begin; m, how far their targets are"""


def play(
    task: str,
    brain: tuple[Controller, torch.Tensor],
    trials: int,
    options: Mapping[str, np.ndarray] | None = None,
    watch: Callable[[Any], None] | None = None,
    **fields: Any,
) -> dict[str, np.ndarray]:
    """Every metric of the task, (seeds, trials), of one model's networks, all on the same trials; nan without meaning.

    Args:
        task: ``reach`` or ``hold``.
        brain: controller and weights (seeds, parameters).
        trials: their number.
        options: of the reset, (trials, ...) each.
        watch: told the environment after every step.
        **fields: of the task, and ``max_episode_steps``.
    """
    one, weights = brain
    env = make_env(TASKS[task], trials * len(weights), **fields)
    repeated = {
        name: np.tile(rows, (len(weights), *[1] * (rows.ndim - 1)))
        for name, rows in (options or {}).items()
    }
    seeds = list(range(FIRST_TEST, FIRST_TEST + trials)) * len(weights)
    on_step = None if watch is None else lambda _: watch(env)
    score, _ = rollout(
        env, Population(one, env.num_envs, weights), seeds, repeated, on_step=on_step
    )
    return {name: rows.reshape(len(weights), trials) for name, rows in gaps(score.metrics).items()}


def figures(task: str, brains: Brains, trials: int, **fields: Any) -> Figures:
    """Means over trials of every metric of every model."""
    return {name: averaged(play(task, brain, trials, **fields)) for name, brain in brains.items()}


def averaged(metrics: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Means over trials, (seeds,); trials in which a metric has no meaning are left out."""
    with np.errstate(invalid="ignore"):  # nan where no trial is left
        return {
            name: np.nansum(rows, 1) / np.isfinite(rows).sum(1) for name, rows in metrics.items()
        }


def error(task: str) -> str:
    """The error that a task is judged by."""
    return "final_error" if task == "reach" else "mean_error"


def lesioned(task: str, brains: Brains, trials: int) -> dict[str, dict[str, np.ndarray]]:
    """Model -> lesion -> the task's error, (seeds,); ``none`` among the lesions."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, (one, weights) in brains.items():
        known = one.parts()
        for lesion, parts in {"none": (), **LESIONS}.items():
            if set(parts) <= set(known):
                cut = type(one)(
                    one.observation_space,
                    one.action_space,
                    dataclasses.replace(one.options, lesions=parts),
                )
                rows = averaged(play(task, (cut, weights), trials))
                found.setdefault(name, {})[lesion] = rows[error(task)]
    return found


def yields(brain: tuple[Controller, torch.Tensor], posture: tuple[float, float]) -> np.ndarray:
    """Compliance of the hand (seeds, 2, 2), m/N, holding at joint angles: from where pushes bring it in 0.5 s.

    Its inverse is the apparent stiffness: muscles, feedback and inertia together.
    """
    turns = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    push = np.concatenate([PUSH * np.stack([np.cos(turns), np.sin(turns)], 1), np.zeros((1, 2))])
    hands: list[np.ndarray] = []
    options = {
        "angles": np.tile(posture, (len(push), 1)),
        "target": np.tile(Arm().hand(posture), (len(push), 1)),
    }
    play(
        "hold", brain, len(push), options | {"force": push}, lambda env: hands.append(hand_of(env))
    )
    last = hands[-1].reshape(-1, len(push), 2)
    moved = last[:, :-1] - last[:, -1:]
    return np.stack([compliance(push[:-1], rows) for rows in moved])


def compliance(push: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """C (2, 2), m/N, with ``moved = C push`` in least squares; rows (n, 2) of either."""
    return np.linalg.lstsq(push, moved, rcond=None)[0].T


def hand_of(env: Any) -> np.ndarray:
    """Where the hands are, m, (n, 2)."""
    return Arm().hand(env.sim.qpos)


def paths(brain: tuple[Controller, torch.Tensor], **fields: Any) -> np.ndarray:
    """Hand paths (seeds, 8 targets, steps + 1, 2), m, of standard reaches from one place."""
    turns = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    start = Arm().hand(CENTRE)
    target = start + RADIUS * np.stack([np.cos(turns), np.sin(turns)], 1)
    hands = [np.tile(start, (len(brain[1]) * DIRECTIONS, 1))]
    options = {"angles": np.tile(CENTRE, (DIRECTIONS, 1)), "target": target}
    play("reach", brain, DIRECTIONS, options, lambda env: hands.append(hand_of(env)), **fields)
    return np.stack(hands, 1).reshape(len(brain[1]), DIRECTIONS, -1, 2)


@torch.no_grad()
def beside_the_twin(
    cell: Cell, one: Controller, folder: Path, count: int = 500
) -> dict[str, tuple[float, float]]:
    """Figure -> (MuJoCo, twin) of a controller that is saved, loaded and driven over the same trials."""
    controllers.save(one, folder / "beside.safetensors")
    again = controllers.load(folder / "beside.safetensors")
    (folder / "beside.safetensors").unlink()
    assert isinstance(again, Bilateral)
    drawn: Any = trials(cell.task, count, torch.Generator().manual_seed(FIRST_TEST))  # pyright: ignore[reportArgumentType]
    given = {name: rows.numpy().astype(float) for name, rows in drawn.items()}
    weights = torch.nn.utils.parameters_to_vector(again.parameters())[None]
    ours = averaged(play(cell.task, (again, weights), count, given))
    task: Any = gym.make(cell.id).unwrapped
    trace = Cohort(course(task.task, 50), [Pupil(again, ("mixed", "mixed"))]).play(drawn)
    miss = trace["hand"] - drawn["target"]
    far = miss.norm(dim=-1)
    theirs = {"mean_error": far.mean(), "final_error": far[-1].mean(), "P1": miss.abs().mean()}
    theirs |= {"P2": 10 * miss.square().mean(), "E": trace["action"].square().mean()}
    return {name: (float(ours[name][0]), float(value)) for name, value in theirs.items()}


@torch.no_grad()
def likeness(cell: Cell, brains: Brains, name: str, count: int = 100) -> np.ndarray:
    """Mean cosine between the last hidden activities of left and right column, (seeds,), and mean of w1/(w1 + w2)."""
    one, weights = brains[name]
    drawn: Any = trials(cell.task, count, torch.Generator().manual_seed(FIRST_TEST))  # pyright: ignore[reportArgumentType]
    task: Any = gym.make(cell.id).unwrapped
    made: list[Any] = [controller(brains, name, seed) for seed in range(len(weights))]
    pupils = [Pupil(each, ("mixed", "mixed")) for each in made]
    layers = Cohort(course(task.task, 50), pupils).play(drawn)["hidden"][0]
    depth = one.options.layers
    left, right = layers[depth - 1], layers[2 * depth - 1]
    cosine = torch.nn.functional.cosine_similarity(left, right, dim=2).mean((0, 2))
    share = torch.stack([each.w1 / (each.w1 + each.w2) for each in made])[:, 0]
    return torch.stack([cosine, share]).numpy()

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
PUSH = 2.0
"""N, force on the hand where stiffness is measured"""
DIRECTIONS = 8
"""of the pushes and of the standard reaches, evenly around the hand"""
CENTRE = (0.85, 1.6)
"""rad, shoulder and elbow, where the standard reaches begin"""
RADIUS = 0.15
"""m, how far the targets of the standard reaches are"""
NO_LESION = "none"
"""name of the intact network among the lesions"""
TWIN_STEPS = 50
"""control steps of the trials that are run on the twin"""
SQUARED_ERROR_WEIGHT = 10
"""weight of the squared error in P2 (docs/systems/arm.md, "Losses")"""
MIXED = ("mixed", "mixed")
"""losses of both columns of a network that is only run, not trained"""


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
    network, weights = brain
    networks = len(weights)
    env = make_env(TASKS[task], trials * networks, **fields)
    repeated = {}
    for name, rows in (options or {}).items():
        repetitions = [networks] + [1] * (rows.ndim - 1)
        repeated[name] = np.tile(rows, repetitions)
    seeds = list(range(FIRST_TEST, FIRST_TEST + trials)) * networks

    def tell(step: int) -> None:
        if watch is not None:
            watch(env)

    agents = Population(network, env.num_envs, weights)
    score, _ = rollout(env, agents, seeds, repeated, on_step=tell)
    metrics = gaps(score.metrics)
    return {name: rows.reshape(networks, trials) for name, rows in metrics.items()}


def figures(task: str, brains: Brains, trials: int, **fields: Any) -> Figures:
    """Means over trials of every metric of every model."""
    return {name: averaged(play(task, brain, trials, **fields)) for name, brain in brains.items()}


def averaged(metrics: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Means over trials, (seeds,); trials in which a metric has no meaning are left out."""
    means = {}
    with np.errstate(invalid="ignore"):  # nan where no trial is left
        for name, rows in metrics.items():
            means[name] = np.nansum(rows, 1) / np.isfinite(rows).sum(1)
    return means


def error(task: str) -> str:
    """The error that a task is judged by."""
    return "final_error" if task == "reach" else "mean_error"


def lesioned(task: str, brains: Brains, trials: int) -> dict[str, dict[str, np.ndarray]]:
    """Model -> lesion -> the task's error, (seeds,); ``none`` among the lesions.

    Args:
        task: ``reach`` or ``hold``.
        brains: model -> controller and weights (seeds, parameters).
        trials: how many each network is tested on.

    Returns:
        A lesion that names parts which a model lacks is left out for that model.
    """
    errors: dict[str, dict[str, np.ndarray]] = {}
    for model, (network, weights) in brains.items():
        errors[model] = {}
        for lesion, parts in {NO_LESION: (), **LESIONS}.items():
            if not set(parts) <= set(network.parts()):
                continue
            options = dataclasses.replace(network.options, lesions=parts)
            cut = type(network)(network.observation_space, network.action_space, options)
            metrics = averaged(play(task, (cut, weights), trials))
            errors[model][lesion] = metrics[error(task)]
    return errors


def directions() -> np.ndarray:
    """Unit vectors (DIRECTIONS, 2), evenly around, the first along x."""
    turns = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    return np.stack([np.cos(turns), np.sin(turns)], 1)


def yields(brain: tuple[Controller, torch.Tensor], posture: tuple[float, float]) -> np.ndarray:
    """Compliance of the hand (seeds, 2, 2), m/N, holding at joint angles: from where pushes bring it in 0.5 s.

    Its inverse is the apparent stiffness: muscles, feedback and inertia together.
    """
    pushes = PUSH * directions()
    # One more trial without a push: where the network holds the hand when it is left alone.
    forces = np.concatenate([pushes, np.zeros((1, 2))])
    options = {
        "angles": np.tile(posture, (len(forces), 1)),
        "target": np.tile(Arm().hand(posture), (len(forces), 1)),
        "force": forces,
    }
    hands: list[np.ndarray] = []
    play("hold", brain, len(forces), options, lambda env: hands.append(hand_of(env)))
    last = hands[-1].reshape(-1, len(forces), 2)
    pushed = last[:, :-1]
    left_alone = last[:, -1:]
    displacements = pushed - left_alone
    return np.stack([compliance(pushes, rows) for rows in displacements])


def compliance(push: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """C (2, 2), m/N, with ``moved = C push`` in least squares; rows (n, 2) of either."""
    return np.linalg.lstsq(push, moved, rcond=None)[0].T


def hand_of(env: Any) -> np.ndarray:
    """Where the hands are, m, (n, 2)."""
    return Arm().hand(env.sim.qpos)


def paths(brain: tuple[Controller, torch.Tensor], **fields: Any) -> np.ndarray:
    """Hand paths (seeds, 8 targets, steps + 1, 2), m, of standard reaches from one place."""
    _, weights = brain
    networks = len(weights)
    start = Arm().hand(CENTRE)
    options = {
        "angles": np.tile(CENTRE, (DIRECTIONS, 1)),
        "target": start + RADIUS * directions(),
    }
    hands = [np.tile(start, (networks * DIRECTIONS, 1))]
    play("reach", brain, DIRECTIONS, options, lambda env: hands.append(hand_of(env)), **fields)
    return np.stack(hands, 1).reshape(networks, DIRECTIONS, -1, 2)


@torch.no_grad()
def beside_the_twin(
    cell: Cell, network: Controller, folder: Path, count: int = 500
) -> dict[str, tuple[float, float]]:
    """Figure -> (MuJoCo, twin) of a controller that is saved, loaded and driven over the same trials.

    Args:
        cell: task and loss that the controller was trained for.
        network: the controller.
        folder: where it is saved for a moment.
        count: how many trials are run.
    """
    file = folder / "beside.safetensors"
    controllers.save(network, file)
    loaded = controllers.load(file)
    file.unlink()
    assert isinstance(loaded, Bilateral)
    drawn = _drawn_trials(cell, count)
    options = {name: rows.numpy().astype(float) for name, rows in drawn.items()}
    weights = torch.nn.utils.parameters_to_vector(loaded.parameters())[None]
    on_mujoco = averaged(play(cell.task, (loaded, weights), count, options))
    trace = _on_the_twin(cell, [loaded], drawn)
    offset = trace["hand"] - drawn["target"]
    distance = offset.norm(dim=-1)
    on_twin = {
        "mean_error": distance.mean(),
        "final_error": distance[-1].mean(),
        "P1": offset.abs().mean(),
        "P2": SQUARED_ERROR_WEIGHT * offset.square().mean(),
        "E": trace["action"].square().mean(),
    }
    return {name: (float(on_mujoco[name][0]), float(value)) for name, value in on_twin.items()}


@torch.no_grad()
def likeness(cell: Cell, brains: Brains, name: str, count: int = 100) -> np.ndarray:
    """How alike the two columns of a model are, and how the first one weighs: (2, seeds).

    Args:
        cell: task and loss that the networks were trained for.
        brains: model -> controller and weights (seeds, parameters).
        name: of the model; it must have two columns.
        count: how many trials are run.

    Returns:
        The mean cosine between the last hidden activities of left and right column, then the first element of
        w1 / (w1 + w2).
    """
    model, weights = brains[name]
    networks: list[Any] = [controller(brains, name, seed) for seed in range(len(weights))]
    layers = _on_the_twin(cell, networks, _drawn_trials(cell, count))["hidden"][0]
    # The layers of the left column come first, then as many of the right one.
    depth = model.options.layers
    last_of_left = layers[depth - 1]
    last_of_right = layers[2 * depth - 1]
    cosines = torch.nn.functional.cosine_similarity(last_of_left, last_of_right, dim=2)
    cosine = cosines.mean((0, 2))
    shares = [network.w1 / (network.w1 + network.w2) for network in networks]
    share = torch.stack(shares)[:, 0]
    return torch.stack([cosine, share]).numpy()


def _drawn_trials(cell: Cell, count: int) -> Any:
    """Trials of a task, drawn as training draws them, but by the seed of the test."""
    return trials(cell.task, count, torch.Generator().manual_seed(FIRST_TEST))  # pyright: ignore[reportArgumentType]


def _on_the_twin(cell: Cell, networks: list[Any], drawn: Any) -> Any:
    """What the differentiable twin records of the networks over the drawn trials."""
    env: Any = gym.make(cell.id).unwrapped
    pupils = [Pupil(network, MIXED) for network in networks]
    return Cohort(course(env.task, TWIN_STEPS), pupils).play(drawn)

"""What the networks of the bilateral study do on the MuJoCo arm: figures, lesions, stiffness, paths.

The figures of a trial are explained in docs/systems/arm.md, "Figures of a movement".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from lancelet import controllers
from lancelet.controllers import Controller, Population
from lancelet.controllers.bilateral import Bilateral
from lancelet.envs import VectorEnv
from lancelet.envs.movement import gaps
from lancelet.morphology.arm import Arm
from lancelet.scripts.studies.bilateral.models import MIXED, Brain, Brains, Cell, controller
from lancelet.scripts.studies.bilateral.plant import (
    SQUARED_ERROR_WEIGHT,
    STEPS,
    TASKS,
    TaskName,
)
from lancelet.training.rollout import make_env, rollout
from lancelet.training.twins.arm import trials as draw_trials
from lancelet.training.twins.cohort import Cohort
from lancelet.training.twins.course import course
from lancelet.training.twins.groups import Pupil

Figures = dict[str, dict[str, np.ndarray]]
"""model -> metric -> mean over trials, (seeds,)"""
Lesions = dict[str, dict[str, np.ndarray]]
"""model -> lesion -> the task's error, (seeds,)"""
FIRST_TEST = 1_000_000
"""seed of the first test trial"""
NO_LESION = "none"
"""name of the intact network among the lesions"""
LEFT_SILENT = "left silent"
RIGHT_SILENT = "right silent"
LESIONS = {
    "left sees nothing": ("high:left",),
    "right sees nothing": ("high:right",),
    LEFT_SILENT: ("low:left",),
    RIGHT_SILENT: ("low:right",),
    "callosum cut": ("callosum",),
    "callosum cut, left sees nothing": ("callosum", "high:left"),
    "callosum cut, right sees nothing": ("callosum", "high:right"),
}
"""name of a lesion -> parts of `controllers.bilateral.Bilateral` that it silences"""
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


class Likeness(NamedTuple):
    """How alike the two columns of a model are, one value a seed."""

    cosine: np.ndarray
    """Mean cosine between the last hidden activities of the left and the right column, (seeds,)."""
    share: np.ndarray
    """w1 / (w1 + w2): how much of the sum of the columns is the left one's, (seeds,)."""


def play(
    task: TaskName,
    brain: Brain,
    trial_count: int,
    options: Mapping[str, np.ndarray] | None = None,
    watch: Callable[[VectorEnv], None] | None = None,
    **fields: Any,
) -> dict[str, np.ndarray]:
    """Every metric of the task for all networks of one model, all on the same trials.

    Args:
        task: ``reach`` or ``hold``.
        brain: controller and weights (seeds, parameters).
        trial_count: how many each network plays.
        options: of the reset, (trials, ...) each.
        watch: called with the environment after every step.
        **fields: of the task, and ``max_episode_steps``.

    Returns:
        Metric -> (seeds, trials); NaN in a trial in which the metric has no meaning.
    """
    network, weights = brain
    network_count = len(weights)
    env = make_env(TASKS[task], trial_count * network_count, **fields)
    # Episodes are ordered network by network: all trials of the first one, then all of the second.
    repeated_options = {}
    for name, rows in (options or {}).items():
        repetitions = [network_count] + [1] * (rows.ndim - 1)
        repeated_options[name] = np.tile(rows, repetitions)
    seeds = list(range(FIRST_TEST, FIRST_TEST + trial_count)) * network_count

    def call_watch(_: int) -> None:
        if watch is not None:
            watch(env)

    agents = Population(network, env.num_envs, weights)
    score, _ = rollout(env, agents, seeds, repeated_options, on_step=call_watch)
    metrics = gaps(score.metrics)
    return {name: rows.reshape(network_count, trial_count) for name, rows in metrics.items()}


def figures(task: TaskName, brains: Brains, trial_count: int, **fields: Any) -> Figures:
    """Means over trials of every metric of every model.

    Args:
        task: ``reach`` or ``hold``.
        brains: model -> controller and weights (seeds, parameters).
        trial_count: how many each network plays.
        **fields: of the task, and ``max_episode_steps``.
    """
    return {
        name: averaged(play(task, brain, trial_count, **fields)) for name, brain in brains.items()
    }


def averaged(metrics: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Means over trials, (seeds,); trials in which a metric has no meaning are left out."""
    means = {}
    # Where no trial is left the mean is 0 / 0: NaN is then what it should be.
    with np.errstate(invalid="ignore"):
        for name, rows in metrics.items():
            means[name] = np.nansum(rows, 1) / np.isfinite(rows).sum(1)
    return means


def error_metric(task: TaskName) -> str:
    """Name of the metric that a task is judged by: the error at the end of a reach, the mean one of a hold."""
    return "final_error" if task == "reach" else "mean_error"


def lesioned(task: TaskName, brains: Brains, trial_count: int) -> Lesions:
    """The task's error under every lesion.

    Args:
        task: ``reach`` or ``hold``.
        brains: model -> controller and weights (seeds, parameters).
        trial_count: how many each network is tested on.

    Returns:
        Model -> lesion -> error, (seeds,); `NO_LESION` is among the lesions. A lesion that names parts which a model
        lacks is left out for that model.
    """
    errors: Lesions = {}
    for model, (network, weights) in brains.items():
        errors[model] = {}
        for lesion, parts in {NO_LESION: (), **LESIONS}.items():
            if not set(parts) <= set(network.parts()):
                continue
            # Lesions are options: a second controller of the same weights is cut, the first stays whole.
            options = dataclasses.replace(network.options, lesions=parts)
            cut = type(network)(network.observation_space, network.action_space, options)
            metrics = averaged(play(task, (cut, weights), trial_count))
            errors[model][lesion] = metrics[error_metric(task)]
    return errors


def directions() -> np.ndarray:
    """Unit vectors (DIRECTIONS, 2), evenly around, the first along x."""
    turns = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    return np.stack([np.cos(turns), np.sin(turns)], 1)


def hand_compliance(brain: Brain, posture: tuple[float, float]) -> np.ndarray:
    """Compliance of the hand (seeds, 2, 2), m/N, holding at joint angles: from where pushes bring it in 0.5 s.

    Its inverse is the apparent stiffness: muscles, feedback and inertia together.

    Args:
        brain: controller and weights (seeds, parameters), trained to hold.
        posture: shoulder and elbow, rad.
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
    play("hold", brain, len(forces), options, lambda env: hands.append(hands_of(env)))
    last = hands[-1].reshape(-1, len(forces), 2)
    pushed = last[:, :-1]
    left_alone = last[:, -1:]
    displacements = pushed - left_alone
    return np.stack([fitted_compliance(pushes, rows) for rows in displacements])


def fitted_compliance(pushes: np.ndarray, displacements: np.ndarray) -> np.ndarray:
    """The matrix C with ``displacement = C push`` in least squares.

    Args:
        pushes: N, (n, 2).
        displacements: m, (n, 2).

    Returns:
        C, m/N, (2, 2).
    """
    return np.linalg.lstsq(pushes, displacements, rcond=None)[0].T


def hands_of(env: VectorEnv) -> np.ndarray:
    """Where the hands are, m, (environments, 2)."""
    return Arm().hand(env.sim.qpos)


def paths(brain: Brain, **fields: Any) -> np.ndarray:
    """Hand paths of the standard reaches: from one place to targets evenly around it.

    Args:
        brain: controller and weights (seeds, parameters), trained to reach.
        **fields: of the task, and ``max_episode_steps``.

    Returns:
        m, (seeds, DIRECTIONS, steps + 1, 2); the first sample is the start.
    """
    _, weights = brain
    network_count = len(weights)
    start = Arm().hand(CENTRE)
    options = {
        "angles": np.tile(CENTRE, (DIRECTIONS, 1)),
        "target": start + RADIUS * directions(),
    }
    hands = [np.tile(start, (network_count * DIRECTIONS, 1))]
    play("reach", brain, DIRECTIONS, options, lambda env: hands.append(hands_of(env)), **fields)
    return np.stack(hands, 1).reshape(network_count, DIRECTIONS, -1, 2)


@torch.no_grad()
def beside_the_twin(
    cell: Cell, network: Controller, folder: Path, count: int = 500
) -> dict[str, tuple[float, float]]:
    """Figures of a controller that is saved, loaded and driven over the same trials on MuJoCo and on the twin.

    Args:
        cell: task and loss that the controller was trained for.
        network: the controller.
        folder: where it is saved for a moment.
        count: how many trials are run.

    Returns:
        Figure -> its values on MuJoCo and on the twin.
    """
    # The way through a file is part of the test: spaces, options and weights must survive it.
    file = folder / "beside.safetensors"
    controllers.save(network, file)
    loaded = controllers.load(file)
    file.unlink()
    assert isinstance(loaded, Bilateral)
    drawn = _drawn_trials(cell, count)
    options = {name: rows.numpy().astype(float) for name, rows in drawn.items()}
    # One network is a stack of one seed.
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
def likeness(cell: Cell, brains: Brains, name: str, count: int = 100) -> Likeness:
    """How alike the two columns of a model are, and how the left one weighs.

    Args:
        cell: task and loss that the networks were trained for.
        brains: model -> controller and weights (seeds, parameters).
        name: of the model; it must have two columns.
        count: how many trials are run.
    """
    model, weights = brains[name]
    networks = [controller(brains, name, seed) for seed in range(len(weights))]
    # All networks have one structure and so form one group of the cohort: the first one.
    layers = _on_the_twin(cell, networks, _drawn_trials(cell, count))["hidden"][0]
    # The layers of the left column come first, then as many of the right one.
    depth = model.options.layers
    last_of_left = layers[depth - 1]
    last_of_right = layers[2 * depth - 1]
    cosines = torch.nn.functional.cosine_similarity(last_of_left, last_of_right, dim=2)
    cosine = cosines.mean((0, 2))
    shares = [network.w1 / (network.w1 + network.w2) for network in networks]
    share = torch.stack(shares)[:, 0]
    return Likeness(cosine=cosine.numpy(), share=share.numpy())


def _drawn_trials(cell: Cell, count: int) -> dict[str, Tensor]:
    """Trials of a task, drawn as training draws them, but by the seed of the test."""
    return draw_trials(cell.task, count, torch.Generator().manual_seed(FIRST_TEST))


def _on_the_twin(
    cell: Cell, networks: Sequence[Controller], drawn: dict[str, Tensor]
) -> dict[str, Any]:
    """What the differentiable twin records of networks: as `Cohort.play` does.

    Args:
        cell: whose task it is.
        networks: run side by side.
        drawn: trials, (trials, 2) each, the same for all networks.
    """
    env: Any = gym.make(cell.id).unwrapped
    # The losses of a pupil matter in training only: any pair would do.
    pupils = [Pupil(network, MIXED) for network in networks]
    return Cohort(course(env.task, STEPS), pupils).play(drawn)

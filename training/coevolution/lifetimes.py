"""What a co-evolved individual is worth: its body built, its controller taught where asked, its episodes scored.

A pure function of genome and settings, so that a second try gives the same: who computes it, and beside whom, changes
no bit of it.
"""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from ... import controllers, morphology
from ...checks import seed_number, whole_number
from ...controllers import Controller, Population
from ...envs.genomes import reason
from ...errors import LanceletError, check_names
from ...morphology.genome import Genome, decode, kind_of, kinds, signature
from ...tasks import check_task_options, known_task_id
from ..distributed.shipping import Names
from ..rollout import FAILED, make_env, rollout
from ..trainer import TRAINING, start_seeds
from .individuals import settings

MOST_STEPS = 1_000_000
"""control steps of an episode of a run that is looked at"""


@dataclass(frozen=True)
class Life:
    """How individuals of one run live; part of every evaluation's identity."""

    kind: str
    """of genome"""
    task: str
    task_options: dict[str, Any]
    episodes: int
    steps: int | None
    """control steps of an episode; None: the task's own limit"""
    seed: int
    learning: int
    """generations of SNES over the controller's weights in every life; 0: weights change by inheritance alone"""
    folder: str
    """of the run, on storage that all workers share where `learning` is on: unfinished learning is kept there"""

    def settings(self) -> dict[str, Any]:
        """What must not change within a run, as JSON values."""
        return {name: value for name, value in asdict(self).items() if name != "folder"}


def life_of(folder: str | Path) -> Life:
    """How the individuals of a run folder lived.

    Its task and its kind of genome are names of registered ones: nothing is imported for them.

    Raises:
        LanceletError: there is no run, or its settings are not such as this version writes.
    """
    kept = settings(folder)
    where = f"settings of {folder}"
    for name in ("kind", "task", "task_options", "episodes", "steps", "seed", "learning"):
        if name not in kept:
            raise LanceletError(f"{where} lack {name}")
    for name in ("kind", "task"):
        if not isinstance(kept[name], str):
            raise LanceletError(f"{where}: {name} = {kept[name]!r}: must be a name")
    check_names("kind of genome", [kept["kind"]], kinds)
    task = known_task_id(kept["task"])
    if not isinstance(kept["task_options"], dict):
        raise LanceletError(
            f"{where}: task_options = {kept['task_options']!r}: must be names with values"
        )
    check_task_options(task, kept["task_options"])
    steps = kept["steps"]
    if steps is not None:
        steps = whole_number(f"{where}: steps", steps, 1, MOST_STEPS)
    return Life(
        kind=kept["kind"],
        task=task,
        task_options=kept["task_options"],
        episodes=whole_number(f"{where}: episodes", kept["episodes"], 1),
        steps=steps,
        seed=seed_number(kept["seed"], f"{where}: seed"),
        learning=whole_number(f"{where}: learning", kept["learning"], 0),
        folder=str(folder),
    )


@dataclass(frozen=True)
class Group:
    """Individuals that one call evaluates: (id, genome's JSON)."""

    life: Life
    members: list[tuple[int, str]]
    classes: Names
    kind: Any
    """the kind's object, for workers that have registered nothing"""


@dataclass
class Lifetime:
    """What became of one individual."""

    fitness: float
    """mean return over the episodes; `FAILED` where it is invalid"""
    figures: dict[str, float] = field(default_factory=dict)
    """means of the task's metrics"""
    learned: dict[str, list[float]] = field(default_factory=dict)
    """weights by lineage name; empty where nothing was learned"""
    reason: str | None = None
    """why it is invalid"""
    seconds: float = 0.0


def live(group: Group) -> dict[int, Lifetime]:
    """Every individual of a group, those of one layout side by side in one batch."""
    torch.set_num_threads(1)
    group.classes.register()
    kinds.register(group.life.kind, group.kind)
    found: dict[int, Lifetime] = {}
    alike: dict[Any, list[tuple[int, Genome]]] = defaultdict(list)
    for number, text in group.members:
        begun = time.perf_counter()
        genome = Genome.from_json(text)
        why = reason(genome)
        if why is not None:
            found[number] = Lifetime(FAILED, reason=why, seconds=time.perf_counter() - begun)
        else:
            alike[signature(genome)].append((number, genome))
    for members in alike.values():
        begun = time.perf_counter()
        lives = together(group.life, members)
        for one in lives.values():
            one.seconds = (time.perf_counter() - begun) / len(lives)
        found |= lives
    return found


def together(life: Life, members: Sequence[tuple[int, Genome]]) -> dict[int, Lifetime]:
    """Individuals of one layout in one batch."""
    genomes = [genome for _, genome in members]
    bodies = [morphology.to_json(decode(genome)) for genome in genomes]
    seeds = start_seeds(TRAINING, life.seed, 0, life.episodes)
    env = make_env(
        life.task, len(genomes) * len(seeds), life.steps, nthread=1, **life.task_options,
        body=[body for body in bodies for _ in seeds],
    )  # fmt: skip
    controller = brain(genomes[0], env)
    weights = [weigh(genome, controller) for genome in genomes]
    learned: list[dict[str, list[float]]] = [{} for _ in genomes]
    if life.learning:
        for k, (number, genome) in enumerate(members):
            weights[k] = learn(life, number, genome, bodies[k])
            learned[k] = (
                kind_of(genome).learned(genome, names(controller), weights[k].numpy()).weights
            )
    rows = torch.stack(weights) if controller.parameter_count else None
    score, _ = rollout(env, Population(controller, env.num_envs, rows), seeds * len(genomes))
    shape = (len(genomes), len(seeds))
    fitness = score.comparable.reshape(shape).mean(1)
    failed = np.array(score.failed.reshape(shape).any(1))
    metrics = {name: values.reshape(shape).mean(1) for name, values in score.metrics.items()}
    lives = {}
    for k, (number, _) in enumerate(members):
        figures = {
            name: float(values[k]) for name, values in metrics.items() if np.isfinite(values[k])
        }
        why = (
            "its physics blew up, or its controller gave a number that is not finite"
            if failed[k]
            else None
        )
        lives[number] = Lifetime(
            FAILED if failed[k] else float(fitness[k]), figures, learned[k], why
        )
    return lives


def brain(genome: Genome, env: Any) -> Controller:
    """The controller that a genome asks for, with the genome's weights."""
    name, options = kind_of(genome).controller(genome)
    controller = controllers.make(name, env, **options)
    vector_to_parameters(weigh(genome, controller), controller.parameters())
    return controller


def weigh(genome: Genome, controller: Controller) -> Tensor:
    """Flat weights of a controller as the genome has them."""
    return torch.from_numpy(kind_of(genome).flat(genome, names(controller)))


def names(controller: Controller) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of its parameters, in order."""
    return [(name, tuple(value.shape)) for name, value in controller.named_parameters()]


def learn(life: Life, number: int, genome: Genome, body: dict[str, Any]) -> Tensor:
    """Flat weights after a lifetime of SNES; it keeps checkpoints, and a second try goes on from them."""
    from ..evolution.strategies import SNES

    folder = Path(life.folder) / "learning" / str(number)
    name, options = kind_of(genome).controller(genome)
    steps = {} if life.steps is None else {"max_episode_steps": life.steps}
    trainer = SNES(
        seed=life.seed, generations=life.learning, population=16, episodes=1, validation=4, test=0, quiet=True,
        folder=str(folder), resume=True, start=str(_begin(folder, genome, life, body)),
    )  # fmt: skip
    trained = trainer.train(life.task, name, {**life.task_options, "body": body, **steps}, options)
    return parameters_to_vector(trained.controller.parameters()).detach()


def forget(life: Life, number: int) -> None:
    """Drop what `learn` kept of an individual that is done."""
    folder = Path(life.folder) / "learning"
    shutil.rmtree(folder / str(number), ignore_errors=True)
    (folder / f"{number}-start.safetensors").unlink(missing_ok=True)


def _begin(folder: Path, genome: Genome, life: Life, body: dict[str, Any]) -> Path:
    """The weights that learning begins with, as a file."""
    path = folder.parent / f"{folder.name}-start.safetensors"
    if not path.exists():
        env = make_env(life.task, 1, life.steps, nthread=1, **life.task_options, body=body)
        controllers.save(brain(genome, env), path)
    return path


def classes_of(life: Life, genome: Genome) -> Names:
    """The classes behind a run, for workers."""
    name, _ = kind_of(genome).controller(genome)
    return Names.of(
        life.task, name, {**life.task_options, "body": morphology.to_json(decode(genome))}
    )

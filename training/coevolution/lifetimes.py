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
from typing import Any, NamedTuple

import mujoco
import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from ... import controllers, morphology
from ...checks import seed_number, whole_number
from ...controllers import Controller, Population
from ...envs import VectorEnv
from ...envs.genomes import fault, reason
from ...errors import LanceletError, check_names
from ...morphology.genome import Genome, Kind, Weights, decode, kind_of, kinds, signature
from ...tasks import check_task_options, known_task_id
from ..distributed.shipping import Names
from ..rollout import FAILED, Score, make_env, rollout
from ..trainer import TRAINING, start_seeds
from .individuals import settings

MOST_STEPS = 1_000_000
"""control steps of an episode of a run that is looked at"""
LEARNING = "learning"
"""folder of unfinished learning, in that of the run"""
LEARNING_POPULATION = 16
"""candidates of a generation of learning"""
LEARNING_EPISODES = 1
"""start states that a candidate of learning is scored on"""
LEARNING_VALIDATION = 4
"""start states by which the best weights of a lifetime are chosen"""
NOT_FINITE = "its physics blew up, or its controller gave a number that is not finite"
"""why an individual is invalid whose body compiles and whose episode failed"""
SAVED_SETTINGS = ("kind", "task", "task_options", "episodes", "steps", "seed", "learning")
"""fields of `Life` that a run folder must hold"""


@dataclass(frozen=True)
class Life:
    """How individuals of one run live; part of every evaluation's identity."""

    kind: str
    """name of the kind of genome"""
    task: str
    """id of the task"""
    task_options: dict[str, Any]
    """fields of the task but for its body, as JSON values"""
    episodes: int
    """start states that an individual is scored on"""
    steps: int | None
    """control steps of an episode; None: the task's own limit"""
    seed: int
    """of the start states"""
    learning: int
    """generations of SNES over the controller's weights in every life; 0: weights change by inheritance alone"""
    folder: str
    """of the run, on storage that all workers share where `learning` is on: unfinished learning is kept there"""

    def settings(self) -> dict[str, Any]:
        """What must not change within a run, as JSON values: all but the folder, which may be moved."""
        return {name: value for name, value in asdict(self).items() if name != "folder"}

    def step_limit(self) -> dict[str, Any]:
        """The keyword ``max_episode_steps`` where the run sets a limit; else nothing, and the task's own holds."""
        if self.steps is None:
            return {}
        return {"max_episode_steps": self.steps}


def life_of(folder: str | Path) -> Life:
    """How the individuals of a run folder lived.

    Its task and its kind of genome are names of registered ones: nothing is imported for them.

    Raises:
        LanceletError: there is no run, or its settings are not such as this version writes.
    """
    saved = settings(folder)
    where = f"settings of {folder}"
    for name in SAVED_SETTINGS:
        if name not in saved:
            raise LanceletError(f"{where} lack {name}")
    for name in ("kind", "task"):
        if not isinstance(saved[name], str):
            raise LanceletError(f"{where}: {name} = {saved[name]!r}: must be a name")
    check_names("kind of genome", [saved["kind"]], kinds)
    task = known_task_id(saved["task"])
    task_options = saved["task_options"]
    if not isinstance(task_options, dict):
        raise LanceletError(f"{where}: task_options = {task_options!r}: must be names with values")
    check_task_options(task, task_options)
    steps = saved["steps"]
    if steps is not None:
        # A stranger's run must not keep whoever looks at it busy for ever.
        steps = whole_number(f"{where}: steps", steps, 1, MOST_STEPS)
    return Life(
        kind=saved["kind"],
        task=task,
        task_options=task_options,
        episodes=whole_number(f"{where}: episodes", saved["episodes"], 1),
        steps=steps,
        seed=seed_number(saved["seed"], f"{where}: seed"),
        learning=whole_number(f"{where}: learning", saved["learning"], 0),
        folder=str(folder),
    )


class Member(NamedTuple):
    """An individual on its way to a worker."""

    number: int
    """of the individual"""
    genome: str
    """its JSON"""


class ParsedMember(NamedTuple):
    """An individual in its worker."""

    number: int
    """of the individual"""
    genome: Genome
    """parsed and checked"""


@dataclass(frozen=True)
class Group:
    """Individuals that one call evaluates."""

    life: Life
    """how they live"""
    members: Sequence[Member]
    """the individuals"""
    classes: Names
    """the classes behind the names of the run, for workers that have registered nothing"""
    kind: Kind
    """the kind of the genomes, for the same reason"""


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
    """why it is invalid; None: it is valid"""
    seconds: float = 0.0
    """s of a worker that it took"""


def live(group: Group) -> dict[int, Lifetime]:
    """Evaluate every individual of a group, those of one layout side by side in one batch.

    Returns:
        Number of an individual -> its lifetime.

    Raises:
        LanceletError: a text that is no genome, or a task that cannot be made.
    """
    # There is a worker for every core: threads of torch would only wait for one another.
    torch.set_num_threads(1)
    group.classes.register()
    kinds.register(group.life.kind, group.kind)
    by_layout: dict[str, list[ParsedMember]] = defaultdict(list)
    for number, text in group.members:
        # Parsing checks the genome too: nothing after this line does so again.
        genome = Genome.from_json(text)
        by_layout[signature(genome)].append(ParsedMember(number, genome))
    lifetimes: dict[int, Lifetime] = {}
    for members in by_layout.values():
        begun = time.perf_counter()
        batch = together(group.life, members)
        seconds = time.perf_counter() - begun
        # Nobody's share of a batch can be measured: each is taken to cost the same.
        for lifetime in batch.values():
            lifetime.seconds = seconds / len(batch)
        lifetimes |= batch
    return lifetimes


def together(life: Life, members: Sequence[ParsedMember]) -> dict[int, Lifetime]:
    """Evaluate individuals of one layout in one batch.

    Args:
        life: how they live.
        members: the individuals.

    Returns:
        Number of an individual -> its lifetime, without its seconds.

    Raises:
        LanceletError: the task cannot be made, for a reason that is not the body's.
    """
    try:
        env = _environment(life, [genome for _, genome in members])
    except LanceletError:
        return _one_by_one(life, members)
    invalid: dict[int, Lifetime] = {}
    valid: list[ParsedMember] = []
    for index, (number, genome) in enumerate(members):
        # The model is that of the simulation: a body is compiled once, to be looked at and to be moved.
        why = fault(_model(env, index * life.episodes))
        if why is None:
            valid.append(ParsedMember(number, genome))
        else:
            invalid[number] = Lifetime(fitness=FAILED, reason=why)
    if not invalid:
        return _score(life, members, env)
    if not valid:
        return invalid
    # The others need a batch of their own. Nobody is at fault there, so that this happens once.
    return invalid | together(life, valid)


def _one_by_one(life: Life, members: Sequence[ParsedMember]) -> dict[int, Lifetime]:
    """Evaluate individuals whose batch cannot be made: one of the bodies does not compile, and nobody knows which.

    Args:
        life: how they live.
        members: the individuals.

    Raises:
        LanceletError: the task cannot be made, for a reason that is not the body's.
    """
    lifetimes: dict[int, Lifetime] = {}
    if len(members) > 1:
        for member in members:
            lifetimes |= together(life, [member])
        return lifetimes
    ((number, genome),) = members
    why = reason(genome)
    if why is None:
        # The body is sound, so the task is at fault. Making it once more raises its error.
        _environment(life, [genome])
    return {number: Lifetime(fitness=FAILED, reason=why)}


def _environment(life: Life, genomes: Sequence[Genome]) -> VectorEnv:
    """One simulation for every individual and start state, those of one individual beside each other."""
    bodies: list[morphology.Body] = []
    for genome in genomes:
        bodies += [decode(genome)] * life.episodes
    return make_env(life.task, len(bodies), life.steps, nthread=1, **life.task_options, body=bodies)


def _model(env: VectorEnv, simulation: int) -> mujoco.MjModel:
    """The compiled body of a simulation."""
    if env.sim.models:
        return env.sim.models[simulation]
    return env.sim.model


def _score(
    life: Life,
    members: Sequence[ParsedMember],
    env: VectorEnv,
) -> dict[int, Lifetime]:
    """Teach individuals where the run asks for it, and score all of them.

    Args:
        life: how they live.
        members: the individuals.
        env: their bodies, in the order of `_environment`.

    Returns:
        Number of an individual -> its lifetime, without its seconds.
    """
    # One controller serves all: they are of one layout, and each has its own row of weights.
    _, first_genome = members[0]
    controller = brain(first_genome, env)
    weights: list[Tensor] = []
    learned: list[Weights] = []
    for number, genome in members:
        if life.learning:
            taught = learn(life, number, genome, morphology.to_json(decode(genome)))
            inherited = kind_of(genome).learned(genome, names(controller), taught.numpy())
            weights.append(taught)
            learned.append(inherited.weights)
        else:
            weights.append(weigh(genome, controller))
            learned.append({})
    rows = None
    if controller.parameter_count:
        rows = torch.stack(weights)
    # The same start states for every individual, whose episodes lie side by side in `env`, `rows` and the seeds alike.
    seeds = start_seeds(TRAINING, life.seed, 0, life.episodes)
    agents = Population(controller, env.num_envs, rows)
    score, _ = rollout(env, agents, seeds * len(members))
    lifetimes = _lifetimes(score, individuals=len(members), episodes=len(seeds))
    for lifetime, weights_by_lineage in zip(lifetimes, learned, strict=True):
        lifetime.learned = weights_by_lineage
    numbers = [number for number, _ in members]
    return dict(zip(numbers, lifetimes, strict=True))


def _lifetimes(score: Score, individuals: int, episodes: int) -> list[Lifetime]:
    """The lifetime of each individual from the score of all episodes.

    Args:
        score: (individuals * episodes,) of each figure, episodes of one individual beside each other.
        individuals: number of them.
        episodes: of each individual.
    """
    shape = (individuals, episodes)
    fitness = score.comparable.reshape(shape).mean(1)
    failed = np.any(score.failed.reshape(shape), axis=1)
    metrics = {name: values.reshape(shape).mean(1) for name, values in score.metrics.items()}
    lifetimes = []
    for index in range(individuals):
        figures: dict[str, float] = {}
        for name, values in metrics.items():
            # A metric is NaN where an episode diverged; the database holds finite numbers only.
            if np.isfinite(values[index]):
                figures[name] = float(values[index])
        lifetime = Lifetime(fitness=float(fitness[index]), figures=figures)
        if failed[index]:
            lifetime.fitness = FAILED
            lifetime.reason = NOT_FINITE
        lifetimes.append(lifetime)
    return lifetimes


def brain(genome: Genome, env: VectorEnv) -> Controller:
    """The controller that a genome asks for, with the genome's weights."""
    name, options = kind_of(genome).controller(genome)
    controller = controllers.make(name, env, **options)
    vector_to_parameters(weigh(genome, controller), controller.parameters())
    return controller


def weigh(genome: Genome, controller: Controller) -> Tensor:
    """Flat weights of a controller as the genome has them, (parameters,)."""
    return torch.from_numpy(kind_of(genome).flat(genome, names(controller)))


def names(controller: Controller) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of its parameters, in order."""
    return [(name, tuple(value.shape)) for name, value in controller.named_parameters()]


def learn(life: Life, number: int, genome: Genome, body: dict[str, Any]) -> Tensor:
    """Teach an individual for its lifetime of SNES; checkpoints are kept, and a second try goes on from them.

    Args:
        life: how it lives.
        number: of the individual.
        genome: its weights are those that learning begins with.
        body: that the genome stands for, as JSON.

    Returns:
        Flat weights of its controller, (parameters,).
    """
    from ..evolution.strategies import SNES

    folder = Path(life.folder) / LEARNING / str(number)
    name, options = kind_of(genome).controller(genome)
    trainer = SNES(
        seed=life.seed,
        generations=life.learning,
        population=LEARNING_POPULATION,
        episodes=LEARNING_EPISODES,
        validation=LEARNING_VALIDATION,
        test=0,
        quiet=True,
        folder=str(folder),
        resume=True,
        start=str(_start_weights(folder, genome, life, body)),
    )
    task_options = {**life.task_options, "body": body, **life.step_limit()}
    trained = trainer.train(life.task, name, task_options, options)
    return parameters_to_vector(trained.controller.parameters()).detach()


def forget(life: Life, number: int) -> None:
    """Remove what `learn` kept of an individual that is done."""
    folder = Path(life.folder) / LEARNING / str(number)
    shutil.rmtree(folder, ignore_errors=True)
    _start_file(folder).unlink(missing_ok=True)


def _start_weights(folder: Path, genome: Genome, life: Life, body: dict[str, Any]) -> Path:
    """The file of the weights that learning begins with; it is written where it is not there."""
    path = _start_file(folder)
    if not path.exists():
        env = make_env(life.task, 1, life.steps, nthread=1, **life.task_options, body=body)
        controllers.save(brain(genome, env), path)
    return path


def _start_file(folder: Path) -> Path:
    """Beside the folder of an individual's learning: the folder itself is the trainer's."""
    return folder.with_name(f"{folder.name}-start.safetensors")


def classes_of(life: Life, genome: Genome) -> Names:
    """The classes behind a run, for workers."""
    name, _ = kind_of(genome).controller(genome)
    body = morphology.to_json(decode(genome))
    return Names.of(life.task, name, {**life.task_options, "body": body})

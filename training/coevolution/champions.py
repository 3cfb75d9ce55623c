"""Champions of a co-evolution: the best so far at every moment, and each as a run folder that can be filmed."""

from __future__ import annotations

import math
import shutil
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from ... import controllers, morphology
from ...envs.genomes import to_xml
from ...errors import LanceletError
from ...files import write_atomic
from ...morphology.genome import Genome, decode
from ..rollout import evaluate, make_env
from ..runs.folder import RunFolder, read_config, save_episode
from .individuals import Individual
from .lifetimes import Life, brain

BEST = "best"
"""folder of the best individual, in that of the run"""
CHAMPIONS = "champions"
"""folder of the champions' genomes and models, in that of the run"""
GENOMES_KEPT = 1024
"""genomes that are kept parsed, those used last: parents are asked for again and again, and to parse and check a tree
takes milliseconds"""

_genomes: OrderedDict[str, Genome] = OrderedDict()
"""a genome's JSON -> the genome, the one used last at the end"""


def genome_of(individual: Individual) -> Genome:
    """The genome that an individual was born with.

    Raises:
        LanceletError: its text is no genome, or one that its kind refuses.
    """
    genome = _genomes.get(individual.genome)
    if genome is None:
        genome = Genome.from_json(individual.genome)
    remember(individual, genome)
    return genome


def remember(individual: Individual, genome: Genome) -> None:
    """Keep the genome of an individual, so that its text need not be parsed when it is asked for.

    The genome that was asked for longest ago makes room for it (a cache of the least recently used kind).
    """
    _genomes[individual.genome] = genome
    _genomes.move_to_end(individual.genome)
    while len(_genomes) > GENOMES_KEPT:
        _genomes.popitem(last=False)


def grown(individual: Individual) -> Genome:
    """An individual's genome with what it has learned: what its children inherit."""
    genome = genome_of(individual)
    if not individual.learned:
        return genome
    return genome.with_weights(individual.learned)


def champions(individuals: Iterable[Individual]) -> list[Individual]:
    """Those that were the best when they were evaluated, in that order."""
    in_order = sorted(scored(individuals), key=_arrival)
    best: list[Individual] = []
    best_fitness = -math.inf
    for individual in in_order:
        fitness = individual.fitness or 0.0
        if not best or fitness > best_fitness:
            best.append(individual)
            best_fitness = fitness
    return best


def scored(individuals: Iterable[Individual]) -> list[Individual]:
    """Those that are evaluated and valid, in the order given."""
    return [
        individual
        for individual in individuals
        if individual.state == "evaluated" and individual.fitness is not None
    ]


def _arrival(individual: Individual) -> tuple[float, int]:
    """What individuals are sorted by into the order in which their results came."""
    # Results of one call have one time: the order of birth decides.
    return individual.done or 0.0, individual.id


def ancestors(individuals: Iterable[Individual], of: Individual) -> list[Individual]:
    """All that an individual descends from, itself included, oldest first.

    Args:
        individuals: of the run.
        of: the individual.
    """
    by_id = {individual.id: individual for individual in individuals}
    to_visit = [of.id]
    visited: set[int] = set()
    while to_visit:
        number = to_visit.pop()
        if number not in visited:
            visited.add(number)
            to_visit += by_id[number].parents
    return [by_id[number] for number in sorted(visited)]


def keep_champion(folder: Path, individual: Individual) -> None:
    """Write a champion's genome, and its model as MuJoCo's XML, which needs no decoder of ours.

    Raises:
        LanceletError: the disk refuses.
    """
    genome = grown(individual)
    champions_folder = folder / CHAMPIONS
    write_atomic(champions_folder / f"{individual.id}.json", genome.to_json())
    write_atomic(champions_folder / f"{individual.id}.xml", to_xml(genome))


def film_best(folder: Path, best: Individual | None, life: Life) -> None:
    """Make the best individual a run folder that `lancelet render` films, unless it is there already.

    It is made beside its place and moved there when it is complete, so that a kill leaves a complete folder or none,
    and the next session makes it.

    Args:
        folder: of the run.
        best: the individual; None: nobody has been evaluated, and nothing is made.
        life: how it lived.
    """
    best_folder = folder / BEST
    if best is None or is_filmed(best_folder, best):
        return
    new = folder / f".{BEST}.new"
    old = folder / f".{BEST}.old"
    # A session that was killed may have left either.
    shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    as_run(new, grown(best), life, best.id)
    # A folder cannot be renamed onto one that is not empty: the old one goes aside first.
    if best_folder.exists():
        best_folder.rename(old)
    new.rename(best_folder)
    shutil.rmtree(old, ignore_errors=True)


def is_filmed(folder: Path, individual: Individual) -> bool:
    """Whether a folder that `as_run` has made is complete, and of this individual."""
    if not (folder / "episode.npz").exists():
        return False
    try:
        return read_config(folder)["algorithm_options"]["individual"] == individual.id
    except (LanceletError, KeyError, TypeError):
        return False


def as_run(folder: Path, genome: Genome, life: Life, number: int) -> Path:
    """Make a run folder of an individual: configuration, weights, and its first episode, for `lancelet render`.

    Args:
        folder: to be made.
        genome: of the individual, with what it has learned.
        life: how it lived.
        number: of the individual.

    Returns:
        The folder.
    """
    body = morphology.to_json(decode(genome))
    options = {**life.task_options, "body": body}
    env = make_env(life.task, 1, life.steps, nthread=1, **options)
    controller = brain(genome, env)
    limit = life.step_limit()
    run = RunFolder(
        {
            "task": life.task,
            "task_options": {**env.task.options(), "body": body, **limit},
            "controller": controllers.controllers.name_of(type(controller)),
            "controller_options": asdict(controller.options),
            "algorithm": "coevolve",
            "algorithm_options": {"seed": life.seed, "individual": number},
            "model_hash": morphology.model_hash(env.sim.model),
        },
        folder,
    )
    try:
        controllers.save(controller, folder / "best.safetensors")
        score = evaluate(controller, life.task, 1, life.seed, record=True, **options, **limit)
        save_episode(folder, score.record)
    finally:
        run.close()
    return folder

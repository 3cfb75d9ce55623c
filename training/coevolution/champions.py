"""Champions of a co-evolution: the best so far at every moment, and each as a run folder that can be filmed."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ... import controllers, morphology
from ...errors import LanceletError
from ...morphology.genome import Genome, decode
from ..rollout import evaluate, make_env
from ..runs.folder import RunFolder, read_config, save_episode
from .individuals import Individual
from .lifetimes import Life, brain


def champions(people: Sequence[Individual]) -> list[Individual]:
    """Those that were the best when they were evaluated, in that order."""
    evaluated = [one for one in people if one.state == "evaluated" and one.fitness is not None]
    found: list[Individual] = []
    for one in sorted(evaluated, key=lambda one: (one.done or 0.0, one.id)):
        if not found or (one.fitness or 0.0) > (found[-1].fitness or 0.0):
            found.append(one)
    return found


def ancestors(people: Sequence[Individual], of: Individual) -> list[Individual]:
    """All that `of` descends from, itself included, oldest first."""
    by_id = {one.id: one for one in people}
    wanted, found = [of.id], set[int]()
    while wanted:
        number = wanted.pop()
        if number not in found:
            found.add(number)
            wanted += by_id[number].parents
    return [by_id[number] for number in sorted(found)]


@functools.lru_cache(1024)
def parsed(text: str) -> Genome:
    """The genome that the text stands for: parents are asked for again and again, and checking a tree takes time."""
    return Genome.from_json(text)


def grown(one: Individual) -> Genome:
    """An individual's genome with what it has learned: what its children inherit."""
    genome = parsed(one.genome)
    return genome.weighing(one.learned) if one.learned else genome


def filmed(folder: Path, one: Individual) -> bool:
    """Whether a folder that `as_run` has made is whole, and of this individual."""
    if not (folder / "episode.npz").exists():
        return False
    try:
        return read_config(folder)["algorithm_options"]["individual"] == one.id
    except (LanceletError, KeyError, TypeError):
        return False


def as_run(folder: Path, genome: Genome, life: Life, number: int) -> Path:
    """A run folder of individual `number`: configuration, weights, and its first episode, for `lancelet render`."""
    body = morphology.to_json(decode(genome))
    options = {**life.task_options, "body": body}
    env = make_env(life.task, 1, life.steps, nthread=1, **options)
    controller = brain(genome, env)
    steps: dict[str, Any] = {} if life.steps is None else {"max_episode_steps": life.steps}
    run = RunFolder(
        {
            "task": life.task,
            "task_options": {**env.task.options(), "body": body, **steps},
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
        score = evaluate(controller, life.task, 1, life.seed, record=True, **options, **steps)
        save_episode(folder, score.record)
    finally:
        run.close()
    return folder

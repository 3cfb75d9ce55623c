"""Training and evaluation: what users call by name. `registry` is the table of algorithms."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ..errors import LanceletError, check_names
from ..morphology import genome
from .registry import algorithms, register
from .rollout import Score, evaluate
from .trainer import Run, Trainer

__all__ = ["Run", "Score", "Trainer", "algorithms", "evaluate", "evolve", "register"]

# The controllers that bodies of co-evolution carry.
genome.brains.register("swimmer", "lancelet.training.coevolution.brains:SWIMMER")
genome.brains.register("creature", "lancelet.training.coevolution.brains:CREATURE")


def evolve(
    id: str,
    controller: str,
    generations: int = 40,
    seed: int = 0,
    algorithm: str = "snes",
    folder: str | Path | None = None,
    resume: bool = False,
    quiet: bool = True,
    task_options: dict[str, Any] | None = None,
    controller_options: dict[str, Any] | None = None,
    **options: Any,
) -> Run:
    """Evolve a controller's weights.

    Args:
        id: the task.
        controller: its registered name.
        generations: how many.
        seed: of everything random.
        algorithm: ``snes``, ``pgpe``, ``cma-es``, ``openai-es``, or one of your own.
        folder: of the run; None: a new one under ``runs/``.
        resume: continue the run in `folder`.
        quiet: no progress bar.
        task_options: fields of the task, and ``max_episode_steps``.
        controller_options: of the controller.
        **options: of the algorithm (``population``, ``episodes``, ...): fields of its class, such as
            `training.evolution.strategies.SNES`.

    Returns:
        The run: ``run.folder``, ``run.controller`` (best by validation), ``run.summary``.

    Raises:
        LanceletError: unknown names or options, an algorithm that does not evolve, or a folder that cannot be used.
    """
    algorithm_class = algorithms.get(algorithm)
    fields = [field.name for field in dataclasses.fields(algorithm_class)]
    check_names(f"option of algorithm {algorithm}", options, fields)
    if "generations" not in fields:
        raise LanceletError(
            f"algorithm {algorithm!r} does not evolve: use snes, pgpe, cma-es or openai-es"
        )
    trainer = algorithm_class(
        generations=generations,
        seed=seed,
        folder=None if folder is None else str(folder),
        resume=resume,
        quiet=quiet,
        **options,
    )
    return trainer.train(id, controller, task_options, controller_options)

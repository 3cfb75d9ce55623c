"""Rollouts and optimisers. Importing this package registers the ids."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ..errors import LanceletError, check_names
from ..registry import Registry
from .rollout import Score, evaluate
from .trainer import Run, Trainer

__all__ = ["Run", "Score", "Trainer", "algorithms", "evaluate", "evolve", "register"]

algorithms = Registry("algorithm")
register = algorithms.register

register("snes", "lancelet.training.evolution.strategies:SNES")
register("pgpe", "lancelet.training.evolution.strategies:PGPE")
register("cma-es", "lancelet.training.evolution.strategies:CMAES")
register("openai-es", "lancelet.training.evolution.openai_es:OpenAIES")
register("ppo", "lancelet.training.reinforcement.ppo:PPO")
register("ddpg", "lancelet.training.reinforcement.off_policy:DDPG")
register("td3", "lancelet.training.reinforcement.off_policy:TD3")
register("sac", "lancelet.training.reinforcement.off_policy:SAC")
register("rllib", "lancelet.training.reinforcement.rllib:RLlib")
register("routed-es", "lancelet.training.twins.routed_es:RoutedES")
register("imitate", "lancelet.training.imitation.imitate:Imitate")
register("surrogate", "lancelet.training.imitation.surrogate:Surrogate")
register("backprop", "lancelet.training.twins.backprop:Backprop")
register("recurrent-ppo", "lancelet.training.reinforcement.recurrent_ppo:RecurrentPPO")


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
    """Evolve a controller's weights; see `training.evolution.Evolve` for what `options` may hold.

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
        **options: of the algorithm (``population``, ``episodes``, ...).

    Returns:
        The run: ``run.folder``, ``run.controller`` (best by validation), ``run.summary``.
    """
    cls = algorithms.get(algorithm)
    check_names(
        f"option of algorithm {algorithm}",
        options,
        [field.name for field in dataclasses.fields(cls)],
    )
    if "generations" not in [field.name for field in dataclasses.fields(cls)]:
        raise LanceletError(
            f"algorithm {algorithm!r} does not evolve: use snes, pgpe, cma-es or openai-es"
        )
    where = None if folder is None else str(folder)
    common = {
        "generations": generations,
        "seed": seed,
        "folder": where,
        "resume": resume,
        "quiet": quiet,
    }
    return cls(**common, **options).train(id, controller, task_options, controller_options)

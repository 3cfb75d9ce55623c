"""Which controller a run keeps: the best on start states that are neither trained nor tested on."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from .. import controllers
from ..controllers import Controller, Population
from .rollout import FAILED, make_env, rollout
from .runs.folder import RunFolder
from .sampled import Sampled
from .trainer import VALIDATION, start_seeds


class Selection:
    """The best controller so far by validation, in the run's ``best.safetensors``.

    Args:
        run: where the best is kept.
        controller: the one that is trained; copied where it is the best yet.
        task: its id.
        task_options: of the task.
        seed: of the run.
        starts: start states, acted on without noise.
        sampled: how many of them are acted on with the action noise as well (reported, not chosen by).
    """

    def __init__(
        self,
        run: RunFolder,
        controller: Controller,
        task: str,
        task_options: dict[str, Any],
        seed: int,
        starts: int,
        sampled: int = 0,
    ) -> None:
        self._run, self._controller = run, controller
        self._seeds = start_seeds(VALIDATION, seed, 0, starts)
        self._arena = make_env(task, starts, **task_options)
        self._noisy = make_env(task, sampled, **task_options) if sampled else None
        self.best, self.score, self.steps = copy.deepcopy(controller), -np.inf, 0
        self.std: list[float] = []

    def look(self, steps: int, std: np.ndarray | None = None) -> dict[str, float]:
        """Score the controller as it is after `steps`; figures ``validation`` and, where asked for, ``sampled``.

        Args:
            steps: control steps of training so far.
            std: of the action noise, (m,); kept beside the weights, so that the policy can be sampled later.
        """
        score, _ = rollout(self._arena, Population(self._controller, len(self._seeds)), self._seeds)
        figures = {"validation": max(FAILED, float(score.comparable.mean()))}
        if self._noisy is not None and std is not None:
            seeds, limit = self._seeds[: self._noisy.num_envs], self._noisy.max_episode_steps
            noisy, _ = rollout(
                self._noisy, Sampled(self._controller, std, seeds, limit or 0), seeds
            )
            figures["sampled"] = max(FAILED, float(noisy.comparable.mean()))
        if figures["validation"] > self.score:
            self.best, self.score, self.steps = (
                copy.deepcopy(self._controller),
                figures["validation"],
                steps,
            )
            self.std = [] if std is None else [float(value) for value in std]
            self.keep()
        return figures

    def keep(self) -> None:
        """Write the best so far."""
        notes = {"validation": self.score, "steps": self.steps, "std": self.std}
        controllers.save(self.best, self._run.path / "best.safetensors", **notes)

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        weights = dict(self.best.state_dict())
        return {"weights": weights, "score": self.score, "steps": self.steps, "std": self.std}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.best.load_state_dict(saved["weights"])
        self.score, self.steps, self.std = saved["score"], saved["steps"], saved["std"]
        self.keep()

"""Which controller a run keeps: the best on start states that are neither trained nor tested on."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from .. import controllers
from ..controllers import Controller, Population
from ..envs import VectorEnv
from .rollout import FAILED, Score, make_env, rollout
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
        self._run = run
        self._controller = controller
        self._seeds = start_seeds(VALIDATION, seed, 0, starts)
        self._env = make_env(task, starts, **task_options)
        self._noisy_env = make_env(task, sampled, **task_options) if sampled else None
        self.best = copy.deepcopy(controller)
        """the best so far"""
        self.score = -np.inf
        """its mean return on the validation start states"""
        self.steps = 0
        """control steps of training after which it was found"""
        self.std: list[float] = []
        """standard deviation of the action noise then, (m,); empty where there is none to speak of"""

    def look(self, steps: int, std: np.ndarray | None = None) -> dict[str, float]:
        """Score the controller as it is, and keep it where it is the best.

        Args:
            steps: control steps of training so far.
            std: of the action noise, (m,); kept beside the weights, so that the policy can be sampled later.

        Returns:
            ``validation``, the mean return without noise, and ``sampled`` with it, where that was asked for.
        """
        figures = {"validation": self._validation()}
        if self._noisy_env is not None and std is not None:
            figures["sampled"] = self._sampled(self._noisy_env, std)
        if figures["validation"] > self.score:
            self.best = copy.deepcopy(self._controller)
            self.score = figures["validation"]
            self.steps = steps
            self.std = [] if std is None else [float(value) for value in std]
            self.keep()
        return figures

    def _validation(self) -> float:
        """Mean return of the controller without noise."""
        agents = Population(self._controller, len(self._seeds))
        score, _ = rollout(self._env, agents, self._seeds)
        return _mean_return(score)

    def _sampled(self, env: VectorEnv, std: np.ndarray) -> float:
        """Mean return of the controller with action noise, on the first of the validation start states."""
        seeds = self._seeds[: env.num_envs]
        agents = Sampled(self._controller, std, seeds, env.max_episode_steps or 0)
        score, _ = rollout(env, agents, seeds)
        return _mean_return(score)

    def keep(self) -> None:
        """Write the best so far."""
        notes = {"validation": self.score, "steps": self.steps, "std": self.std}
        controllers.save(self.best, self._run.path / "best.safetensors", **notes)

    def state_dict(self) -> dict[str, Any]:
        """The best so far, for the checkpoint."""
        return {
            "weights": dict(self.best.state_dict()),
            "score": self.score,
            "steps": self.steps,
            "std": self.std,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.best.load_state_dict(saved["weights"])
        self.score = saved["score"]
        self.steps = saved["steps"]
        self.std = saved["std"]
        # The run may have been killed between a better best.safetensors and its checkpoint.
        self.keep()


def _mean_return(score: Score) -> float:
    """Mean return of the episodes, a failed one counted as `FAILED`; no lower than that, so that it is in the log."""
    return max(FAILED, float(score.comparable.mean()))

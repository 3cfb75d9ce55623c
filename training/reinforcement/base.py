"""What the trainers of reinforcement learning share: their common options, and the loop around a learner."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from torch import Tensor

from ...controllers import Controller
from ...envs import Task
from ...errors import LanceletError
from ..runs.folder import RunFolder
from ..runs.progress import progress
from ..runs.state import seeded
from ..selection import Selection
from ..trainer import Trainer


class Learner(Protocol):
    """One training in progress; it trains the controller it was made with, in place."""

    @property
    def steps(self) -> int:
        """Control steps of all simulations so far."""
        ...

    def iterate(self) -> dict[str, float]:
        """Some control steps, and what is learned from them; figures for the log."""
        ...

    def std(self) -> np.ndarray | None:
        """Standard deviation (m,) of the present action noise; None where there is none to speak of."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides what comes next, as arrays and JSON values."""
        ...

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        ...

    def close(self) -> None:
        """Let processes and environments go."""
        ...


@dataclass(kw_only=True)
class Reinforcement(Trainer):
    """A trainer that learns from steps; subclasses make the `Learner`."""

    may_change: ClassVar[tuple[str, ...]] = (*Trainer.may_change, "steps")
    remedy: ClassVar[str] = "lower --actor-rate or raise --std"
    """what to try where weights are no numbers any more"""

    steps: int = 500_000
    """control steps of all simulations together, rounded up to whole iterations"""
    envs: int = 64
    """simulations side by side"""
    gamma: float = 0.99
    """discount a control step; it sets how far ahead actions are judged, 1 / (1 - gamma) steps: at 0.99 the swimmer
    (0.03 s a step) looks 3 s ahead, under two beats of its tail, while the score is the undiscounted return of 30 s"""
    critic: tuple[int, ...] = (64, 64)
    """hidden units of the critic"""
    validation: int = 16
    """start states that choose the run's controller, acted on without noise"""
    validate_every: int = 20_000
    """control steps between two choices"""
    sampled: int = 0
    """validation start states that are acted on with the action noise as well, for the log"""
    save_every: int = 0
    """control steps between two checkpoints; 0: after every iteration"""

    @abstractmethod
    def learner(self, controller: Controller, task: str, task_options: dict[str, Any]) -> Learner:
        """The training of `controller`, at its beginning."""

    def check(self) -> None:
        """Counts must be positive, shares between 0 and 1."""
        super().check()
        self.at_least(0, "steps", "sampled", "save_every")
        self.at_least(1, "envs", "validation", "validate_every")
        self.share("gamma")
        if self.sampled > self.validation:
            raise LanceletError(
                f"sampled = {self.sampled}: must be at most validation = {self.validation}"
            )
        if any(units < 1 for units in self.critic):
            raise LanceletError(f"critic = {self.critic}: must be whole numbers, 1 or more each")

    def check_weights(self, weights: Iterable[Tensor], steps: int) -> None:
        """Stop a training whose weights are no numbers any more; the last checkpoint stays."""
        from .. import algorithms

        if not all(weight.isfinite().all() for weight in weights):
            who = algorithms.name_of(type(self))
            raise LanceletError(f"{who}: weights not finite after {steps} steps: {self.remedy}")

    def learn(
        self, run: RunFolder, controller: Controller, task: str, task_options: dict[str, Any]
    ) -> None:
        """Iteration by iteration, with a checkpoint after each (or every `save_every` steps)."""
        with seeded(self.seed):
            choice = Selection(
                run, controller, task, task_options, self.seed, self.validation, self.sampled
            )
            learner = self.learner(controller, task, task_options)
            try:
                self._learn(run, learner, choice)
            finally:
                learner.close()

    def _learn(self, run: RunFolder, learner: Learner, choice: Selection) -> None:
        saved, seconds = run.load(), 0.0
        if saved is None:
            run.begin_log(-1)
            run.log(0, **choice.look(0, learner.std()), steps=0, seconds=0.0)
        else:
            with run.restoring():
                learner.load_state_dict(saved["learner"])
                choice.load_state_dict(saved["selection"])
                seconds = float(saved["seconds"])
            run.begin_log(learner.steps)
        begun, name = time.monotonic() - seconds, type(self).__name__.lower()
        with progress(name, self.steps, "steps", learner.steps, self.quiet) as advance:
            while learner.steps < self.steps:
                before = learner.steps
                figures = learner.iterate()
                now = learner.steps
                if now // self.validate_every > before // self.validate_every or now >= self.steps:
                    figures |= choice.look(now, learner.std())
                seconds = time.monotonic() - begun
                run.log(now, **figures, steps=now, seconds=seconds)
                if (
                    not self.save_every
                    or now // self.save_every > before // self.save_every
                    or now >= self.steps
                ):
                    state = {
                        "learner": learner.state_dict(),
                        "selection": choice.state_dict(),
                        "seconds": seconds,
                    }
                    run.save(state)
                shown = ("reward", "mean", "kl", "validation")
                advance(now - before, **{name: figures[name] for name in shown if name in figures})


def with_clock(task: Task, controller: Controller) -> dict[str, Any]:
    """The time in the observation, where the controller keeps a state that may be a clock."""
    if (
        getattr(task, "clock", None) is False
        and controller.pure
        and controller.initial_state(1) != ()
    ):
        return {"clock": True}
    return {}

"""What the trainers of reinforcement learning share: their common options, and the loop around a learner."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from ...controllers import Controller
from ...envs import Task
from ...errors import LanceletError
from ..loop import Figures, Training, crossed, run_training
from ..runs.folder import RunFolder
from ..runs.state import seeded
from ..selection import Selection
from ..trainer import Trainer


class Learner(Protocol):
    """One training in progress; it trains the controller that it was made with, in place."""

    @property
    def steps(self) -> int:
        """Control steps of all simulations so far."""
        ...

    def iterate(self) -> dict[str, float]:
        """Take some control steps and learn from them; figures for the log."""
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


@runtime_checkable
class Clocked(Protocol):
    """A task that can put the time into its observation."""

    clock: bool
    """whether it does"""


@dataclass(kw_only=True)
class Reinforcement(Trainer):
    """A trainer that learns from steps; subclasses make the `Learner`."""

    may_change: ClassVar[tuple[str, ...]] = (*Trainer.may_change, "steps")
    remedy: ClassVar[str] = "lower --actor-rate or raise --std"
    """what the user may try where weights are no numbers any more"""

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
        """Make the training of `controller`, at its beginning.

        Args:
            controller: trained in place.
            task: its id.
            task_options: fields of the task, and ``max_episode_steps``.
        """

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
        """Stop a training whose weights are no numbers any more; the last checkpoint stays.

        Args:
            weights: all that are trained.
            steps: control steps so far, for the error.

        Raises:
            LanceletError: a weight is NaN or infinite.
        """
        from .. import algorithms

        if all(weight.isfinite().all() for weight in weights):
            return
        algorithm = algorithms.name_of(type(self))
        raise LanceletError(f"{algorithm}: weights not finite after {steps} steps: {self.remedy}")

    def learn(
        self, run: RunFolder, controller: Controller, task: str, task_options: dict[str, Any]
    ) -> None:
        """Learn iteration by iteration, with a checkpoint after each (or every `save_every` steps)."""
        with seeded(self.seed):
            selection = Selection(
                run=run,
                controller=controller,
                task=task,
                task_options=task_options,
                seed=self.seed,
                starts=self.validation,
                sampled=self.sampled,
            )
            learner = self.learner(controller, task, task_options)
            try:
                run_training(run, LearnerTraining(self, learner, selection), self.quiet)
            finally:
                learner.close()


class LearnerTraining(Training):
    """A learner with the selection of the best controller, counted in control steps.

    stable-baselines3 and RLlib bring loops of their own, with callbacks. A `Learner` runs them for one iteration at a
    time, so that restoring, logging, choosing and saving are the same here as for every other algorithm.

    Args:
        options: the algorithm.
        learner: at its beginning.
        selection: of the controller that `learner` trains.
    """

    unit = "steps"
    SHOWN = ("reward", "mean", "kl", "validation")
    """figures that the progress bar shows, in its order"""

    def __init__(self, options: Reinforcement, learner: Learner, selection: Selection) -> None:
        self.verb = type(options).__name__.lower()
        self.total = options.steps
        self._options = options
        self._learner = learner
        self._selection = selection

    @property
    def done(self) -> int:
        """Control steps of all simulations so far."""
        return self._learner.steps

    def begin(self) -> Figures:
        """Score the untrained controller: it is the run's until a trained one is better."""
        return self.validate()

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._learner.load_state_dict(saved["learner"])
        self._selection.load_state_dict(saved["selection"])

    def state(self) -> dict[str, Any]:
        """The learner, and the best controller so far."""
        return {
            "learner": self._learner.state_dict(),
            "selection": self._selection.state_dict(),
        }

    def advance(self) -> Figures:
        """Take some control steps, and learn from them."""
        return self._learner.iterate()

    def validation_due(self, before: int) -> bool:
        """Every `validate_every` steps, and at the end."""
        return crossed(before, self.done, self._options.validate_every) or self.done >= self.total

    def validate(self) -> Figures:
        """Score the controller as it is, and keep it where it is the best."""
        return self._selection.look(self.done, self._learner.std())

    def checkpoint_due(self, before: int) -> bool:
        """After every iteration, or every `save_every` steps and at the end."""
        save_every = self._options.save_every
        if save_every == 0 or self.done >= self.total:
            return True
        return crossed(before, self.done, save_every)

    def costs(self, seconds: float) -> Figures:
        """Control steps and seconds so far."""
        return {"steps": self.done, "seconds": seconds}

    def shown(self, figures: Figures) -> Figures:
        """Rewards, divergence and validation, as far as the iteration has them."""
        return {name: figures[name] for name in self.SHOWN if name in figures}


def with_clock(task: Task, controller: Controller) -> dict[str, Any]:
    """Fields of the task that put the time into its observation, where the controller's state may be a clock.

    Shuffled single steps have no state; a circuit that only counts steps reads the observed time instead.
    """
    if not isinstance(task, Clocked) or task.clock is not False:
        return {}
    if not controller.pure or controller.initial_state(1) == ():
        return {}
    return {"clock": True}

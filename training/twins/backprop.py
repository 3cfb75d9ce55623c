"""Back-propagation through a task's twin, each column by a loss of its own (arXiv 2401.14057).

docs/systems/arm.md, "Losses" and "Training".
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from ... import controllers
from ...controllers import Controller
from ...controllers.bilateral import Bilateral, TwoColumns, apart, joined
from ...envs import Task
from ...errors import LanceletError
from ..loop import Figures, Training, run_training
from ..rollout import make_env
from ..runs.folder import RunFolder
from ..trainer import Trainer, unconsidered
from .cohort import Cohort, Pupil
from .course import Course, course
from .losses import Mode


@dataclass(kw_only=True)
class Backprop(Trainer):
    """Adam on the loss of whole episodes of fresh trials, through every step of the twin.

    The best weights by mixed loss on held trials are the run's controller. As far as the loss counts hidden layers, it
    takes what the controller gives as signals.
    """

    may_change: ClassVar[tuple[str, ...]] = (*Trainer.may_change, "updates")

    updates: int = 2000
    """number of updates"""
    batch: int = 64
    """fresh trials in an update"""
    rate: float = 3e-3
    """Adam's learning rate; the released code has 1e-3"""
    anneal: int = 0
    """updates in which the rate falls evenly to a tenth; 0: it stays"""
    clip: float = 1.0
    """largest norm of the gradient of one tensor (not of all together)"""
    loss: Literal["mixed", "loss1", "loss2"] = "mixed"
    """the loss of every weight, where columns are not specialised; loss1: distance and smoothness, loss2: squared
    distance and excitation"""
    specialised: bool = False
    """each column has a loss of its own, combiner and motor layer the mean of both gradients"""
    dominance: Literal["left", "right"] = "left"
    """column that loss1 drives"""
    mode: Mode = "intended"
    """the regulariser acts on hidden layers, or as_released: where the published code really puts it"""
    pretrain: int = 0
    """updates in which specialised columns are trained apart, each moving the arm alone; they are joined then, and
    only combiner and motor layer go on with the mixed loss"""
    validation: int = 256
    """held trials that choose the run's controller"""
    validate_every: int = 50
    """updates between two choices; those after the last choice are not considered"""

    def check(self) -> None:
        """Counts and rates must be positive, names known."""
        super().check()
        self.at_least(0, "updates", "pretrain", "anneal")
        self.at_least(1, "batch", "validation", "validate_every")
        self.above_zero("rate", "clip")
        if self.pretrain and not self.specialised:
            raise LanceletError(
                f"pretrain = {self.pretrain}: needs specialised = True, a loss for each column"
            )

    def refusal(self, controller: Controller) -> str | None:
        """Refuse a plastic controller, which has no gradient; for specialised training one without two columns."""
        reason = super().refusal(controller)
        if reason is not None:
            return reason
        if not controller.pure:
            return "is plastic: its memory has no gradient"
        if self.specialised and not _has_two_columns(controller):
            return "has no left and right column to specialise"
        if self.pretrain and not _has_common_motor_layer(controller):
            return "has no motor layer in common to train after the columns"
        return None

    def adapt_task(self, task: Task, controller: Controller) -> dict[str, Any]:
        """Refuse a task without a twin."""
        course(task, 1)
        return {}

    def cautions(self, controller: Controller) -> list[str]:
        """Say which updates no validation looks at."""
        return unconsidered("updates", self.updates, self.validate_every)

    def pupils(self, controller: Controller) -> list[Pupil]:
        """The models that are trained together at first: the controller, or its two columns apart."""
        if not self.specialised:
            return [Pupil(controller, (self.loss, self.loss), self.seed)]
        left_loss, right_loss = "loss1", "loss2"
        if self.dominance == "right":
            left_loss, right_loss = "loss2", "loss1"
        if not self.pretrain:
            return [Pupil(controller, (left_loss, right_loss), self.seed)]
        assert isinstance(controller, Bilateral)
        left, right = apart(controller)
        return [
            Pupil(left, (left_loss, left_loss), self.seed),
            Pupil(right, (right_loss, right_loss), self.seed),
        ]

    def learn(
        self, run: RunFolder, controller: Controller, task: str, task_options: dict[str, Any]
    ) -> None:
        """Descend update by update; a checkpoint at every choice and at the end."""
        env = make_env(task, 1, **task_options)
        assert env.max_episode_steps is not None
        twin_course = course(env.task, env.max_episode_steps)
        run_training(run, Descent(self, run, controller, twin_course), self.quiet)


def _has_two_columns(controller: Controller) -> bool:
    return isinstance(controller, TwoColumns) and "left" in controller.sides


def _has_common_motor_layer(controller: Controller) -> bool:
    return isinstance(controller, Bilateral) and controller.options.join == "sum"


class Descent(Training):
    """The descent of one controller, in two phases where its columns are trained apart first.

    While the columns are apart, the cohort holds two models, one a column. Then they are joined, and a new cohort holds
    the whole controller; its updates are counted from 0 again.

    Args:
        options: the algorithm.
        run: where the best controller is kept.
        controller: its present weights are the first.
        twin_course: the twin of the task, and its trials.
    """

    verb = "descending"
    unit = "update"

    def __init__(
        self, options: Backprop, run: RunFolder, controller: Controller, twin_course: Course
    ) -> None:
        self.total = options.updates
        self._options = options
        self._run = run
        self._controller = controller
        self._course = twin_course
        self._apart = options.pretrain > 0
        self._updates_apart = 0
        self._cohort = self._new_cohort(options.pupils(controller))
        self._last_losses: np.ndarray | None = None
        """losses (models,) of the last update; None where this cohort has had none"""

    @property
    def done(self) -> int:
        """Updates of both phases so far."""
        return self._updates_apart + self._cohort.updates

    def begin(self) -> Figures:
        """Keep the untrained controller, and score it."""
        self._save_best(self._controller, validation=None, update=0)
        return self.validate()

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue from `state`."""
        if saved["joined"]:
            # The columns' weights are in the checkpoint: here only their structure counts.
            self._begin_joined(self._controller)
        self._cohort.load_state_dict(saved["cohort"])

    def state(self) -> dict[str, Any]:
        """The cohort and its phase."""
        return {
            "step": self.done,
            "joined": self._updates_apart > 0,
            "cohort": self._cohort.state_dict(),
        }

    def advance(self) -> Figures:
        """Make one update, or join the columns; it has a line in the log only where it is validated."""
        if self._apart and self._cohort.updates == self._options.pretrain:
            self._join()
        else:
            self._last_losses = self._cohort.update()
        return {}

    def validation_due(self, before: int) -> bool:
        """Every `validate_every` updates of a phase, and where columns have just been joined."""
        return self._cohort.updates % self._options.validate_every == 0

    def validate(self) -> Figures:
        """Score the cohort on the held trials; the best whole controller is the run's."""
        terms = self._cohort.validate()
        is_best = self._cohort.found[0] == self._cohort.updates
        if is_best and not self._apart:
            validation = -float(self._cohort.best_loss[0])
            self._save_best(self._cohort.controller(0), validation=validation, update=self.done)
        # Before the first update there is no training loss: the validation loss stands in for it.
        losses = terms["loss"] if self._last_losses is None else self._last_losses
        figures = {"mean": -float(losses.mean()), "validation": -float(terms["loss"].mean())}
        for name, values in terms.items():
            if name != "loss":
                figures[name] = float(values.mean())
        return figures

    def checkpoint_due(self, before: int) -> bool:
        """At every choice, and at the end of a phase."""
        # Columns have just been joined, from what the last checkpoint holds: there is nothing new to save.
        if self.done == before:
            return False
        end_of_phase = self._apart and self._cohort.updates == self._options.pretrain
        return self.validation_due(before) or end_of_phase or self.done >= self.total

    def costs(self, seconds: float) -> Figures:
        """Control steps of all trials, and seconds so far."""
        steps = self._options.batch * self._course.steps
        return {"steps": self.done * steps, "seconds": seconds}

    def _join(self) -> None:
        """Join the best of both columns, which stay fixed from now on."""
        assert isinstance(self._controller, Bilateral)
        left = self._cohort.controller(0)
        right = self._cohort.controller(1)
        assert isinstance(left, Bilateral)
        assert isinstance(right, Bilateral)
        self._begin_joined(joined(left, right, **asdict(self._controller.options)))
        self._last_losses = None

    def _begin_joined(self, controller: Controller) -> None:
        """Begin the second phase: all but the columns of `controller` is trained by the mixed loss."""
        pupil = Pupil(
            controller, ("mixed", "mixed"), self._options.seed, frozen=("left.", "right.")
        )
        self._cohort = self._new_cohort([pupil])
        self._apart = False
        self._updates_apart = self._options.pretrain

    def _new_cohort(self, pupils: list[Pupil]) -> Cohort:
        """A cohort at its beginning."""
        options = self._options
        return Cohort(
            self._course,
            pupils,
            mode=options.mode,
            rate=options.rate,
            anneal=options.anneal,
            clip=options.clip,
            batch=options.batch,
            validation=options.validation,
        )

    def _save_best(self, controller: Controller, validation: float | None, update: int) -> None:
        """Write the run's controller."""
        path = self._run.path / "best.safetensors"
        controllers.save(controller, path, validation=validation, update=update)

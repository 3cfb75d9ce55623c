"""Back-propagation through a task's twin, each column by a loss of its own (arXiv 2401.14057; spec 5, 6)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from ... import controllers
from ...controllers import Controller
from ...controllers.bilateral import Bilateral, apart, joined
from ...envs import Task
from ...errors import LanceletError
from ..rollout import make_env
from ..runs import interrupt
from ..runs.folder import RunFolder
from ..runs.progress import progress
from ..trainer import Trainer, unconsidered
from .cohort import Cohort, Pupil
from .course import course
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
    """fresh trials an update"""
    rate: float = 3e-3
    """of Adam; the released code has 1e-3"""
    anneal: int = 0
    """updates in which the rate falls evenly to a tenth; 0: it stays"""
    clip: float = 1.0
    """largest norm of the gradient of one tensor (not of all together)"""
    loss: Literal["mixed", "loss1", "loss2"] = "mixed"
    """of every weight, where columns are not specialised; loss1: distance and smoothness, loss2: squared distance and
    excitation"""
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
        """A plastic controller, which has no gradient; for specialised training one without two columns."""
        reason = super().refusal(controller)
        if reason is None and not controller.pure:
            reason = "is plastic: its memory has no gradient"
        if reason is None and self.specialised and "left" not in getattr(controller, "sides", ()):
            reason = "has no left and right column to specialise"
        if reason is None and self.pretrain and getattr(controller.options, "join", "") != "sum":
            reason = "has no motor layer in common to train after the columns"
        return reason

    def adapt_task(self, task: Task, controller: Controller) -> dict[str, Any]:
        """Refuse a task without a twin."""
        course(task, 1)
        return {}

    def cautions(self, controller: Controller) -> list[str]:
        """Which updates no validation looks at."""
        return unconsidered("updates", self.updates, self.validate_every)

    def pupils(self, controller: Controller) -> list[Pupil]:
        """What is trained together: the controller, or while they are apart its columns."""
        order = ("loss1", "loss2") if self.dominance == "left" else ("loss2", "loss1")
        if not self.specialised:
            return [Pupil(controller, (self.loss, self.loss), self.seed)]
        if not self.pretrain:
            return [Pupil(controller, order, self.seed)]
        assert isinstance(controller, Bilateral)
        return [
            Pupil(half, (loss, loss), self.seed)
            for half, loss in zip(apart(controller), order, strict=True)
        ]

    def learn(
        self, run: RunFolder, controller: Controller, task: str, task_options: dict[str, Any]
    ) -> None:
        """Update by update; a checkpoint at every choice and at the end."""
        env = make_env(task, 1, **task_options)
        assert env.max_episode_steps is not None
        path = course(env.task, env.max_episode_steps)
        settings = {
            name: getattr(self, name)
            for name in ("mode", "rate", "anneal", "clip", "batch", "validation")
        }
        saved = run.load()
        apart_for = self.pretrain
        seconds = 0.0
        if saved is not None:
            with run.restoring():
                seconds = float(saved["seconds"])
        cohort = Cohort(path, self.pupils(controller), **settings)
        if saved is None:
            controllers.save(controller, run.path / "best.safetensors", validation=None, update=0)
        step = 0
        if saved is not None:
            with run.restoring():
                if saved["joined"]:
                    cohort = Cohort(path, [self._whole(controller, None)], **settings)
                cohort.load_state_dict(saved["cohort"])
                step = int(saved["step"])
        run.begin_log(step)
        begun, steps = time.monotonic() - seconds, self.batch * path.steps

        def note(loss: np.ndarray, found: dict[str, np.ndarray]) -> dict[str, float]:
            whole = not apart_for or done > 0
            now = done + cohort.updates
            if whole and cohort.found[0] == cohort.updates:
                about = {"validation": -float(cohort.best_loss[0]), "update": now}
                controllers.save(cohort.controller(0), run.path / "best.safetensors", **about)
            figures = {"mean": -float(loss.mean()), "validation": -float(found["loss"].mean())}
            figures |= {
                name: float(values.mean()) for name, values in found.items() if name != "loss"
            }
            run.log(now, **figures, steps=now * steps, seconds=time.monotonic() - begun)
            return figures

        def keep() -> None:
            state = {
                "step": done + cohort.updates,
                "joined": done > 0,
                "seconds": time.monotonic() - begun,
            }
            run.save({**state, "cohort": cohort.state_dict()})

        done = apart_for if saved is not None and saved["joined"] else 0
        with progress(
            "descending", self.updates, "update", done + cohort.updates, self.quiet
        ) as advance:
            if apart_for and not done:
                descend(
                    cohort, min(apart_for, self.updates), self.validate_every, note, keep, advance
                )
                if self.updates <= apart_for:
                    return
                halves = (cohort.controller(0), cohort.controller(1))
                cohort, done = (
                    Cohort(path, [self._whole(controller, halves)], **settings),
                    apart_for,
                )
            descend(cohort, self.updates - done, self.validate_every, note, keep, advance)

    def _whole(self, controller: Controller, halves: Any) -> Pupil:
        """The columns joined again, fixed; `halves` None: as they are in `controller`."""
        if halves is not None:
            assert isinstance(controller, Bilateral)
            controller = joined(*halves, **asdict(controller.options))
        return Pupil(controller, ("mixed", "mixed"), self.seed, frozen=("left.", "right."))


def descend(
    cohort: Cohort,
    updates: int,
    every: int,
    note: Callable[[np.ndarray, dict[str, np.ndarray]], dict[str, float]],
    keep: Callable[[], None],
    advance: Callable[..., None],
) -> None:
    """Train `cohort` until it has had `updates`.

    Args:
        cohort: from where it is.
        updates: in all.
        every: updates between two validations.
        note: told the last losses and the validation; gives figures for the progress bar.
        keep: writes a checkpoint.
        advance: of the progress bar.
    """
    if not cohort.updates:
        found = cohort.validate()
        note(found["loss"], found)
    while cohort.updates < updates:
        loss, figures = cohort.update(), {}
        interrupt.check()
        if cohort.updates % every == 0:
            figures = note(loss, cohort.validate())
        if cohort.updates % every == 0 or cohort.updates == updates:
            keep()
        advance(**figures)

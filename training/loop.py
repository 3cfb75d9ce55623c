"""The loop of every training that can be resumed: restore, advance, validate, log, save, stop on Ctrl-C.

An algorithm supplies a `Training`: what one iteration does, when it validates and saves, and its state for the
checkpoint. `run_training` drives it in a run folder. A run that was stopped anywhere and resumed goes on from its last
checkpoint, and its log from there: what was logged after that checkpoint is computed, and logged, again.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from .runs import interrupt
from .runs.folder import RunFolder
from .runs.progress import progress

Figures = dict[str, float]
"""figures by name, in the order in which a line of the log has them"""


class Training(ABC):
    """One training in progress; subclasses say what an algorithm does, `run_training` says in which order.

    Progress is counted in the algorithm's own unit: generations, updates or control steps.
    """

    verb: str
    """what the progress bar says, ``"evolving"``"""
    unit: ClassVar[str]
    """unit of `done` and `total`, for the progress bar"""
    total: int
    """where the training ends"""

    @property
    @abstractmethod
    def done(self) -> int:
        """Units so far."""

    def begin(self) -> Figures:
        """Prepare a run that has no checkpoint, and leave a first ``best.safetensors`` where there is one.

        Returns:
            Figures of a line of the log for the untrained controller; empty where there is no such line.
        """
        return {}

    @abstractmethod
    def restore(self, saved: dict[str, Any]) -> None:
        """Continue from what `state` gave; called in place of `begin`, on a training that was built alike."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Everything that decides what comes next, as arrays and JSON values."""

    @abstractmethod
    def advance(self) -> Figures:
        """Do one iteration; figures of it for the log."""

    @abstractmethod
    def validation_due(self, before: int) -> bool:
        """Whether the iteration that began at `before` units ends with a validation."""

    @abstractmethod
    def validate(self) -> Figures:
        """Score the candidate on start states kept for that, and keep it where it is the best; figures for the log."""

    @abstractmethod
    def checkpoint_due(self, before: int) -> bool:
        """Whether the iteration that began at `before` units ends with a checkpoint."""

    def finished(self, seconds: float) -> bool:
        """Whether the training ends here.

        Args:
            seconds: of all sessions so far.
        """
        return self.done >= self.total

    def costs(self, seconds: float) -> Figures:
        """What the training has taken so far; these figures end every line of the log.

        Args:
            seconds: of all sessions so far.
        """
        return {"seconds": seconds}

    def shown(self, figures: Figures) -> Figures:
        """Those of an iteration's figures that the progress bar shows."""
        return figures


class Stopwatch:
    """Wall-clock seconds of a training over all its sessions.

    Args:
        before: seconds of the sessions before this one.
    """

    def __init__(self, before: float = 0.0) -> None:
        self._start = time.monotonic() - before

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._start


def run_training(run: RunFolder, training: Training, quiet: bool = False) -> None:
    """Drive `training` from where the run folder has it to its end.

    Args:
        run: holds the log and the checkpoint.
        training: at its beginning; it is taken to the checkpoint's state where there is one.
        quiet: show no progress bar.

    Raises:
        LanceletError: the checkpoint does not fit, or the log cannot be written.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the run can be resumed.
    """
    stopwatch = _begin_or_restore(run, training)
    with progress(
        training.verb,
        total=training.total,
        unit=training.unit,
        done=training.done,
        quiet=quiet,
    ) as show:
        while not training.finished(stopwatch.seconds):
            before = training.done
            figures = training.advance()
            if training.validation_due(before):
                figures |= training.validate()
            seconds = stopwatch.seconds
            if figures:
                run.log(training.done, **figures, **training.costs(seconds))
            # The log first: a line past the checkpoint is dropped at the next resume, a line that is missing
            # before it would be missing for good.
            if training.checkpoint_due(before):
                run.save({**training.state(), "seconds": seconds})
            show(training.done - before, **training.shown(figures))
            # Only now: whatever a caught Ctrl-C came in the middle of has been logged and saved.
            interrupt.check()


def _begin_or_restore(run: RunFolder, training: Training) -> Stopwatch:
    """Take `training` to where the run stands, open the log there, and start the clock."""
    saved = run.load()
    if saved is None:
        figures = training.begin()
        # Lines of a session that did not reach its first checkpoint are all dropped, that of step 0 as well.
        run.begin_log(-1)
        if figures:
            run.log(training.done, **figures, **training.costs(0.0))
        return Stopwatch()
    with run.restoring():
        training.restore(saved)
        seconds = float(saved["seconds"])
    run.begin_log(training.done)
    return Stopwatch(seconds)


def crossed(before: int, now: int, every: int) -> bool:
    """Whether a multiple of `every` lies above `before` and at or below `now`."""
    return now // every > before // every

"""What every trainer shares: the run folder, resuming, and the report on start states that training never saw."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from .. import controllers
from ..checks import check_fields, plain, seed_number, whole_number
from ..controllers import Controller
from ..envs import Task
from ..errors import LanceletError, warn
from ..files import to_json, write_atomic
from ..morphology import model_hash
from ..tasks import check_task_options, task_id
from .rollout import FAILED, evaluate, make_env
from .runs import interrupt
from .runs.folder import RunFolder, read_log, save_episode
from .runs.report import write_report

TRAINING, VALIDATION = 2**32, 2**33
"""first seeds of the start states that are trained and selected on; tests use seeds below both"""


def start_seeds(first: int, seed: int, generation: int, count: int) -> list[int]:
    """Seeds of `count` start states from a split that begins at `first` (`TRAINING` or `VALIDATION`)."""
    return [
        first + int(word)
        for word in np.random.SeedSequence([seed, generation]).generate_state(count)
    ]


@dataclass
class Run:
    """A finished run."""

    folder: Path
    controller: Controller
    """the best by validation"""
    summary: dict[str, Any]
    """untrained and trained on held-out start states; empty where ``test=0``"""
    failed: bool = False
    """every candidate failed in every episode, so that nothing was learned"""


@dataclass(kw_only=True)
class Trainer(ABC):
    """An algorithm with its options; subclasses add theirs and implement `learn`."""

    may_change: ClassVar[tuple[str, ...]] = ("test",)
    """options that a resumed run may give other values: they say how long it goes on, or who
    computes, not what; subclasses add theirs"""

    seed: int = 0
    """of everything random in the run"""
    folder: str | None = None
    """run folder; none: a new one under runs/"""
    resume: bool = False
    """continue the run in the folder (or begin there)"""
    test: int = 20
    """held-out start states of the final report; 0: no report"""
    start: str | None = None
    """run folder or file of weights to begin with, of the same controller; none: the controller's own first weights"""
    quiet: bool = False
    """no progress bar"""

    @abstractmethod
    def learn(
        self, run: RunFolder, controller: Controller, task: str, task_options: dict[str, Any]
    ) -> None:
        """Train `controller`, leaving the best by validation in the run folder's ``best.safetensors``."""

    def adapt_task(self, task: Task, controller: Controller) -> dict[str, Any]:
        """Fields of the task that must change before this algorithm can train the controller; none by default.

        Asked before anything is written; task and controller are made anew with what it returns, and it is asked
        again, until it returns nothing.
        """
        return {}

    def refusal(self, controller: Controller) -> str | None:
        """Why this algorithm cannot train `controller`, as in "which keeps a state"; None: it can."""
        return None if controller.parameter_count else "has no weights to train"

    def check(self) -> None:
        """Refuse options that make no sense, before anything is written.

        Numbers of numpy become Python's. Subclasses add the ranges of their options.
        """
        check_fields(self)
        seed_number(self.seed)
        self.at_least(0, "test")

    def at_least(self, least: float, *names: str) -> None:
        """Refuse options below `least`; those that are None are left alone."""
        for name in names:
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise LanceletError(f"{name} = {value}: must be {least} or more")

    def above_zero(self, *names: str) -> None:
        """Refuse options that are not above 0; those that are None are left alone."""
        for name in names:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise LanceletError(f"{name} = {value}: must be above 0")

    def share(self, *names: str) -> None:
        """Refuse options outside 0 .. 1."""
        for name in names:
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise LanceletError(f"{name} = {value}: must be from 0 to 1")

    def cautions(self, controller: Controller) -> list[str]:
        """What the user should know before this algorithm trains `controller`, a line each."""
        return []

    def train(
        self,
        task: str,
        controller: str,
        task_options: Mapping[str, Any] | None = None,
        controller_options: Mapping[str, Any] | None = None,
        watch: Callable[[dict[str, float]], None] | None = None,
    ) -> Run:
        """Train a controller on a task, by their names; `watch` is told the figures of every line of the log.

        Raises:
            LanceletError: unknown names or options, or a folder that cannot be used; one line says which.
        """
        from . import algorithms

        self.check()
        torch.set_num_threads(1)
        task = task_id(task)
        circuit, resolved, model = self.prepare(task, controller, task_options, controller_options)
        self.refuse(circuit, task, controller, task_options, controller_options)
        if self.start is not None:
            _begin_with(circuit, self.start)
        run = RunFolder(
            {
                "task": task,
                "task_options": resolved,
                "controller": controller,
                "controller_options": dataclasses.asdict(circuit.options),
                "algorithm": algorithms.name_of(type(self)),
                "algorithm_options": self._options() | self.decided(circuit),
                "model_hash": model,
            },
            self.folder,
            self.resume,
            self.may_change,
            type(self)()._options(),
        )
        run.watch = watch
        try:
            for caution in self.cautions(circuit):
                warn(caution)
            controllers.save(circuit, run.path / "initial.safetensors")
            with interrupt.deferred():
                self.learn(run, circuit, task, resolved)
            failed = nothing_succeeded(read_log(run.path))
            if failed:
                warn(
                    f"{run.path}: every candidate of this run failed (the physics diverged, or the controller "
                    "gave numbers that are not finite): nothing was learned"
                )
            best = controllers.load(run.path)
            return Run(run.path, best, self._report(run, best, task, resolved), failed)
        finally:
            run.close()

    def prepare(
        self,
        task: str,
        controller: str,
        task_options: Mapping[str, Any] | None = None,
        controller_options: Mapping[str, Any] | None = None,
    ) -> tuple[Controller, dict[str, Any], str | None]:
        """The controller, all options of the task as this algorithm needs it (`adapt_task`), the model's hash."""
        task_fields: dict[str, Any] = plain(dict(task_options or {}))
        circuit_options: dict[str, Any] = plain(dict(controller_options or {}))
        check_task_options(task, task_fields)
        limit = task_fields.pop("max_episode_steps", None)
        if limit is not None:
            # An environment may do without a limit, a training may not: -1, none for Gymnasium, is refused.
            whole_number("max_episode_steps", limit, least=1)
        while True:
            env = make_env(task, 1, limit, nthread=1, **task_fields)
            circuit = controllers.make(controller, env, **circuit_options)
            whole = env.task
            sim = env.sim
            env.close()
            changes = self.adapt_task(whole, circuit)
            if not changes:
                break
            task_fields |= changes
        resolved = whole.options()
        if limit is not None:
            resolved["max_episode_steps"] = limit
        model = getattr(sim, "model", None)
        return circuit, resolved, None if model is None else model_hash(model)

    def refuse(
        self,
        circuit: Controller,
        task: str,
        controller: str,
        task_options: Mapping[str, Any] | None = None,
        controller_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Raise the error for a controller that this algorithm cannot train; it names the algorithms that can.

        Args:
            circuit: the controller, as `prepare` made it from the other arguments.
            task: its id.
            controller: its registered name.
            task_options: of the task.
            controller_options: of the controller.
        """
        from . import algorithms

        reason = self.refusal(circuit)
        if reason is None:
            return
        able = []
        for name in algorithms:
            trainer = algorithms.get(name)()
            if trainer.can_train(task, controller, task_options, controller_options):
                able.append(name)
        hint = f"{', '.join(able)} can" if able else "choose another controller"
        who = algorithms.name_of(type(self))
        raise LanceletError(f"{who} cannot train {type(circuit).__name__}, which {reason}; {hint}")

    def can_train(
        self,
        task: str,
        controller: str,
        task_options: Mapping[str, Any] | None = None,
        controller_options: Mapping[str, Any] | None = None,
    ) -> bool:
        """Whether this algorithm takes the task and the controller, told by their names."""
        try:
            circuit, _, _ = self.prepare(task, controller, task_options, controller_options)
        except LanceletError:
            return False
        return self.refusal(circuit) is None

    def decided(self, controller: Controller) -> dict[str, Any]:
        """Options that this algorithm sets by itself for `controller`, as the run's configuration has them."""
        return {}

    def _options(self) -> dict[str, Any]:
        values = dataclasses.asdict(self)
        return {
            name: value
            for name, value in values.items()
            if name not in ("folder", "resume", "quiet")
        }

    def _report(
        self, run: RunFolder, trained: Controller, task: str, task_options: dict[str, Any]
    ) -> dict[str, Any]:
        if not self.test:
            return {}
        untrained, summary = controllers.load(run.path / "initial.safetensors"), {}
        for name, circuit in (("untrained", untrained), ("trained", trained)):
            score = evaluate(
                circuit, task, episodes=self.test, seed=0, record=name == "trained", **task_options
            )
            summary[name] = {figure: values.tolist() for figure, values in score.figures.items()}
            summary[name]["failed"] = score.failed.astype(float).tolist()
            if score.record:
                save_episode(run.path, score.record)
        write_atomic(run.path / "summary.json", to_json(summary))
        write_report(run.path, run.config, read_log(run.path), summary)
        return summary


def unconsidered(option: str, total: int, validate_every: int) -> list[str]:
    """The line that says which updates at a run's end no validation looks at; none where it looks at all.

    Args:
        option: name of the option that holds `total`.
        total: updates, or generations, of the run.
        validate_every: updates between two validations.
    """
    missed = total % validate_every
    if missed == 0:
        return []
    if missed == total:
        result = "none is considered, so that the run's controller has its first weights"
    else:
        result = f"the last {missed} are not considered for the run's controller"
    return [
        f"{option} = {total} with validate_every = {validate_every}: {result}; "
        f"give a multiple of {validate_every}, or another validate_every"
    ]


def nothing_succeeded(log: Sequence[Mapping[str, float]]) -> bool:
    """Whether a log tells of failed candidates and of none that did not fail."""
    failures = 0
    for line in log:
        scores = [line[name] for name in ("mean", "best", "validation") if name in line]
        if any(score > FAILED for score in scores):
            return False
        failures += len(scores) + line.get("failed", 0) > 0
    return failures > 0


def _begin_with(circuit: Controller, path: str) -> None:
    """Give `circuit` the weights saved in `path`; refuse those of another controller or structure."""
    other = controllers.load(path)
    if type(other) is not type(circuit):
        raise LanceletError(
            f"start = {path}: holds a {type(other).__name__}, not a {type(circuit).__name__}"
        )
    have, need = dataclasses.asdict(other.options), dataclasses.asdict(circuit.options)
    for name in need:
        if name not in ("seed", "lesions") and have[name] != need[name]:
            raise LanceletError(
                f"start = {path}: was made with {name} = {have[name]!r}, not {need[name]!r}"
            )
    weights, own = other.state_dict(), circuit.state_dict()
    for name, value in own.items():
        if weights[name].shape != value.shape:
            shapes = f"{tuple(weights[name].shape)}, not {tuple(value.shape)}"
            raise LanceletError(
                f"start = {path}: weight {name!r} is {shapes}, of another body or task"
            )
    circuit.load_state_dict(weights)

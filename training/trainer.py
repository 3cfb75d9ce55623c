"""What every trainer shares: the run folder, resuming, and the report on start states that training never saw."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .. import controllers
from ..checks import check_fields, plain, seed_number, whole_number
from ..controllers import Controller
from ..envs import Task
from ..envs.simulation import Simulation
from ..errors import LanceletError, warn
from ..files import to_json, write_atomic
from ..morphology import model_hash
from ..tasks import check_task_options, task_id
from .rollout import FAILED, Score, evaluate, make_env
from .runs import interrupt
from .runs.folder import RunFolder, read_log, save_episode
from .runs.report import write_report
from .threads import one_torch_thread

# Three splits of the seeds that share none: the final test has those from 0 on, each of the others 2**32 of them.
TRAINING = 2**32
"""first seed of the start states that are trained on"""
VALIDATION = 2**33
"""first seed of the start states that the best controller is chosen on"""
TEST_SEED = 0
"""first seed of the held-out start states of the final test"""
INITIAL_WEIGHTS = "initial.safetensors"
"""file in a run folder: the controller before training"""
SUMMARY = "summary.json"
"""file in a run folder: what the final test has measured"""


def start_seeds(first: int, seed: int, generation: int, count: int) -> list[int]:
    """Draw the seeds of start states.

    Args:
        first: first seed of the split, `TRAINING` or `VALIDATION`; a split has 2**32 of them.
        seed: of the run.
        generation: number of the draw.
        count: how many.
    """
    words = np.random.SeedSequence([seed, generation]).generate_state(count)
    return [first + int(word) for word in words]


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
    """An algorithm with its options; subclasses add theirs and implement `learn`.

    `train` asks in this order: `check` (do the options make sense?), `adapt_task` (must the task change?), `refusal`
    (can it train this controller at all?), `decided` (which options does it set by itself?), `cautions` (what should
    the user know?), then `learn`, and writes the report.
    """

    may_change: ClassVar[tuple[str, ...]] = ("test",)
    """options that a resumed run may give other values: they say how long it goes on, or who
    computes, not what is computed; subclasses add theirs"""

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
        """Say which fields of the task must change before this algorithm can train the controller; none by default.

        This is asked before anything is written. Task and controller are built again with the fields that it returns,
        and it is asked again, until it returns none.
        """
        return {}

    def refusal(self, controller: Controller) -> str | None:
        """Say why this algorithm cannot train `controller`, as in "which keeps a state"; None: it can."""
        if controller.parameter_count == 0:
            return "has no weights to train"
        return None

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
        """Say what the user should know before this algorithm trains `controller`, a line each."""
        return []

    def train(
        self,
        task: str,
        controller: str,
        task_options: Mapping[str, Any] | None = None,
        controller_options: Mapping[str, Any] | None = None,
        watch: Callable[[dict[str, float]], None] | None = None,
        opened: Callable[[Path], None] | None = None,
    ) -> Run:
        """Train a controller on a task.

        Args:
            task: its id, or a short name of it.
            controller: its registered name.
            task_options: fields of the task, and ``max_episode_steps``.
            controller_options: of the controller.
            watch: told the figures of every line of the log.
            opened: told the run folder as soon as it is open: what an interrupted run can be
                continued from.

        Raises:
            LanceletError: unknown names or options, or a folder that cannot be used; one line says which.
        """
        self.check()
        # Networks are small: a second thread makes them 10 to 100 times slower where another process wants the core.
        with one_torch_thread():
            task = task_id(task)
            setup = self._set_up(task, controller, task_options, controller_options)
            self.refuse(setup.controller, task, controller, task_options, controller_options)
            if self.start is not None:
                _begin_with(setup.controller, self.start)
            run = self._open_run(task, controller, setup)
            run.watch = watch
            if opened is not None:
                opened(run.path)
            try:
                return self._train_in(run, task, setup)
            finally:
                run.close()

    def _open_run(self, task: str, controller: str, setup: _Setup) -> RunFolder:
        """Make the run folder, or open the one that is to be resumed."""
        from . import algorithms

        config = {
            "task": task,
            "task_options": setup.task_options,
            "controller": controller,
            "controller_options": dataclasses.asdict(setup.controller.options),
            "algorithm": algorithms.name_of(type(self)),
            "algorithm_options": self._options() | self.decided(setup.controller),
            "model_hash": setup.model_hash,
        }
        # A run that an older version made lacks the options that were added since: it ran with their defaults.
        defaults = type(self)()._options()
        return RunFolder(
            config=config,
            folder=self.folder,
            resume=self.resume,
            may_change=self.may_change,
            defaults=defaults,
        )

    def _train_in(self, run: RunFolder, task: str, setup: _Setup) -> Run:
        """Train, and report, in an open run folder."""
        for caution in self.cautions(setup.controller):
            warn(caution)
        controllers.save(setup.controller, run.path / INITIAL_WEIGHTS)
        # The first Ctrl-C waits for a step that is logged and saved.
        with interrupt.deferred():
            self.learn(run, setup.controller, task, setup.task_options)
        failed = nothing_succeeded(read_log(run.path))
        if failed:
            warn(
                f"{run.path}: every candidate of this run failed (the physics diverged, or the controller "
                "gave numbers that are not finite): nothing was learned"
            )
        best = controllers.load(run.path)
        summary = self._test_and_report(run, best, task, setup.task_options)
        return Run(folder=run.path, controller=best, summary=summary, failed=failed)

    def prepare(
        self,
        task: str,
        controller: str,
        task_options: Mapping[str, Any] | None = None,
        controller_options: Mapping[str, Any] | None = None,
    ) -> tuple[Controller, dict[str, Any], str | None]:
        """Build what would be trained, without writing anything.

        Args:
            task: its id.
            controller: its registered name.
            task_options: fields of the task, and ``max_episode_steps``.
            controller_options: of the controller.

        Returns:
            The controller; all options of the task as this algorithm needs it (`adapt_task`); the hash of the compiled
            body, None where the task has no body.
        """
        setup = self._set_up(task, controller, task_options, controller_options)
        return setup.controller, setup.task_options, setup.model_hash

    def _set_up(
        self,
        task: str,
        controller: str,
        task_options: Mapping[str, Any] | None,
        controller_options: Mapping[str, Any] | None,
    ) -> _Setup:
        """Build controller and task, again and again until the algorithm asks for no other field of the task."""
        task_fields: dict[str, Any] = plain(dict(task_options or {}))
        circuit_options: dict[str, Any] = plain(dict(controller_options or {}))
        check_task_options(task, task_fields)
        limit = task_fields.pop("max_episode_steps", None)
        if limit is not None:
            # Gymnasium writes "no limit" as -1; a training needs a limit, so that -1 is refused here.
            whole_number("max_episode_steps", limit, least=1)
        while True:
            env = make_env(task, 1, limit, nthread=1, **task_fields)
            circuit = controllers.make(controller, env, **circuit_options)
            # It keeps its task and its model; only what draws it is gone.
            env.close()
            changes = self.adapt_task(env.task, circuit)
            if not changes:
                break
            task_fields |= changes
        resolved = env.task.options()
        if limit is not None:
            resolved["max_episode_steps"] = limit
        # Simulators other than MuJoCo's have no compiled body.
        body = env.sim.model if isinstance(env.sim, Simulation) else None
        return _Setup(
            controller=circuit,
            task_options=resolved,
            model_hash=None if body is None else model_hash(body),
        )

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
            task_options: fields of the task, and ``max_episode_steps``.
            controller_options: of the controller.

        Raises:
            LanceletError: this algorithm cannot train the controller.
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
        advice = "choose another controller"
        if able:
            advice = f"{', '.join(able)} can"
        own_name = algorithms.name_of(type(self))
        kind = type(circuit).__name__
        raise LanceletError(f"{own_name} cannot train {kind}, which {reason}; {advice}")

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
        """Say which options this algorithm sets by itself for `controller`, as the run's configuration has them."""
        return {}

    def _options(self) -> dict[str, Any]:
        """The options that say what is computed, as the run's configuration has them."""
        options = dataclasses.asdict(self)
        for name in ("folder", "resume", "quiet"):
            del options[name]
        return options

    def _test_and_report(
        self, run: RunFolder, trained: Controller, task: str, task_options: dict[str, Any]
    ) -> dict[str, Any]:
        """Compare the untrained and the trained controller on held-out start states.

        Writes the trained one's first episode, ``summary.json`` and the report into the run folder.

        Args:
            run: its log is complete, since the report shows it.
            trained: the best by validation.
            task: its id.
            task_options: all of them.

        Returns:
            ``untrained`` and ``trained``: each figure's values, one a start state; empty where `test` is 0.
        """
        if not self.test:
            return {}
        untrained = controllers.load(run.path / INITIAL_WEIGHTS)
        # The same start states for every run, so that runs can be compared.
        common = {"episodes": self.test, "seed": TEST_SEED, **task_options}
        untrained_score = evaluate(untrained, task, **common)
        trained_score = evaluate(trained, task, record=True, **common)
        summary = {
            "untrained": _figures_of(untrained_score),
            "trained": _figures_of(trained_score),
        }
        save_episode(run.path, trained_score.record)
        write_atomic(run.path / SUMMARY, to_json(summary))
        write_report(run.path, run.config, read_log(run.path), summary)
        return summary


@dataclass(kw_only=True)
class _Setup:
    """What a training is about, before anything is written."""

    controller: Controller
    """with its first weights"""
    task_options: dict[str, Any]
    """all of them, as the algorithm needs them"""
    model_hash: str | None
    """of the compiled body; None where the task has no body"""


def _figures_of(score: Score) -> dict[str, list[float]]:
    """The values of every figure, one an episode, as the summary has them; ``failed`` is 1 for a failed one."""
    figures = {name: values.tolist() for name, values in score.figures.items()}
    return {**figures, "failed": score.failed.astype(float).tolist()}


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
    has_failures = False
    for line in log:
        scores = [line[name] for name in ("mean", "best", "validation") if name in line]
        if any(score > FAILED for score in scores):
            return False
        # Whatever score there is, is that of a failure.
        if scores or line.get("failed", 0) > 0:
            has_failures = True
    return has_failures


def _begin_with(circuit: Controller, path: str) -> None:
    """Give `circuit` the weights saved in `path`; refuse those of another controller or structure."""
    other = controllers.load(path)
    if type(other) is not type(circuit):
        raise LanceletError(
            f"start = {path}: holds a {type(other).__name__}, not a {type(circuit).__name__}"
        )
    given = dataclasses.asdict(other.options)
    needed = dataclasses.asdict(circuit.options)
    for name in needed:
        # Neither the seed of the first weights nor lesions change the structure.
        if name not in ("seed", "lesions") and given[name] != needed[name]:
            raise LanceletError(
                f"start = {path}: was made with {name} = {given[name]!r}, not {needed[name]!r}"
            )
    weights = other.state_dict()
    for name, value in circuit.state_dict().items():
        if weights[name].shape != value.shape:
            shapes = f"{tuple(weights[name].shape)}, not {tuple(value.shape)}"
            raise LanceletError(
                f"start = {path}: weight {name!r} is {shapes}, of another body or task"
            )
    circuit.load_state_dict(weights)

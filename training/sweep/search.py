"""Search over options with Ray Tune: every trial an ordinary run in a folder of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import torch
import yaml

from ... import foreign
from ...checks import check_fields, plain, seed_number, whole_number
from ...controllers.store import describe
from ...errors import LanceletError
from ...files import make_folder, user_path, write_atomic
from ...tasks import short_name
from ..config import Config
from ..distributed.cluster import check_address, connected
from ..distributed.ray_compat import trials_of
from ..distributed.shipping import Names
from ..distributed.stopped_workers import StoppedWorkers
from ..rollout import FAILED
from ..runs.folder import hold, read_log
from ..runs.progress import Advance, progress
from .ranges import Over, parse
from .variations import OWN as OWN
from .variations import merged, option_types, try_ends

if TYPE_CHECKING:
    from ray import tune
    from ray.tune.experiment import Trial as TuneTrial

CORES = os.cpu_count() or 1
"""cores of this machine"""
FIRST_LOOK_PARTS = 9
"""a trial may first be stopped after one part in so many of its steps; with `REDUCTION`, then after a third"""
REDUCTION = 3
"""at each look, one trial in so many goes on (the eta of Li et al. 2018)"""
NO_LIMIT = 10**15
"""control steps that no trial reaches"""
MOST_FAILURES = 2
"""times that Tune begins a trial again whose process died"""
TUNE_SEEDS = 2**32
"""seeds of numpy's older generator, which Tune draws with"""
LOCK_TRIES = 40
"""attempts to get the lock of a trial's run before it is begun without"""
LOCK_PAUSE = 0.5
"""s between two of these attempts"""

STOPPED_EARLY = "stopped early"
"""note of a trial that the scheduler stopped"""


@dataclass(kw_only=True)
class Trial:
    """One configuration and how it did."""

    folder: str
    """path of its run folder"""
    values: dict[str, Any]
    """the swept options, by their names in `option_types`"""
    validation: float | None
    """best validation of the run's controller; None where the trial failed"""
    steps: int
    """control steps that the trial took"""
    note: str = ""
    """why the trial failed, or that it was stopped early"""


@dataclass(kw_only=True)
class Sweep:
    """Trials drawn at random from ranges and lists; the best is that of the highest validation.

    The folder holds `sweep.yaml` (what is swept), `trials/<number>/` (run folders) and `tune/` (Ray Tune's own
    files, which are pickles). One that was stopped, or killed, is continued with `resume`: Ray Tune knows which
    trials are done, and a trial that was not goes on from its run's checkpoint.
    """

    over: tuple[str, ...] = ()
    """what to vary: name=low..high (log-uniform from a decade on, else uniform) or name=a,b,c; names as the flags,
    controller.x and task.x for options of the controller and the task"""
    samples: int = 8
    """trials"""
    scheduler: Literal["asha", "fifo"] = "asha"
    """asha: stop trials early that lie behind at an equal number of control steps (Li et al. 2018); fifo: none"""
    first_look: int = 0
    """control steps before asha may stop a trial; 0: a ninth of a trial"""
    workers: int = 0
    """trials side by side; 0: one a core, or with an address as many as the cluster takes"""
    address: str | None = None
    """host:port of a running Ray cluster, which must see the same folders; none: this machine"""
    folder: str | None = None
    """of the sweep; none: a new one under runs/"""
    resume: bool = False
    """continue the sweep in the folder; needs --trust, since Ray's part of the folder is unpickled"""
    trust: bool = False
    """with --resume: the folder is my own. Unpickling a stranger's runs whatever code they put there"""
    quiet: bool = False
    """no progress bar"""

    def check(self) -> None:
        """Refuse options that make no sense.

        Raises:
            LanceletError: the first option that is wrong.
        """
        check_fields(self)
        whole_number("samples", self.samples, least=1)
        whole_number("first_look", self.first_look, least=0)
        whole_number("workers", self.workers, least=0)
        if self.address is not None:
            check_address(self.address)

    def run(self, base: Config, seed: int = 0) -> list[Trial]:
        """Run all trials, and set `self.folder` to the folder of the sweep.

        Args:
            base: what every trial has in common.
            seed: of the search; trials have their own seed among the options of the algorithm.

        Returns:
            The trials, best first.

        Raises:
            LanceletError: options that make no sense, or a folder that cannot be used.
            KeyboardInterrupt: Ctrl-C; the folder can be continued.
        """
        self.check()
        seed = seed_number(seed)
        overs = parse(self.over, option_types(base))
        try_ends(base, overs)
        about = {
            **plain(dataclasses.asdict(base)),
            "over": list(self.over),
            "samples": self.samples,
            "seed": seed,
            "scheduler": self.scheduler,
            "first_look": self.first_look,
        }
        folder = user_path(self.folder or _new_name(base, seed)).absolute()
        self.folder = str(folder)
        # Everything is checked before the folder is made: bad options leave nothing behind.
        self._claim(folder, about)
        make_folder(folder)
        with contextlib.closing(hold(folder)):
            write_atomic(folder / "sweep.yaml", yaml.safe_dump(about, sort_keys=False))
            slots = self.workers or CORES
            with connected(slots, self.address) as ray:
                _seen.stopped = StoppedWorkers(ray)
                with progress("sweeping", self.samples, "trials", quiet=self.quiet) as advance:
                    _seen.begin(advance)
                    return self._run_trials(folder, base, overs, seed)

    def _claim(self, folder: Path, about: dict[str, Any]) -> None:
        """Refuse a folder that is not ours to write to, or to read.

        Args:
            folder: folder of the sweep, which need not exist.
            about: what `sweep.yaml` is to hold.

        Raises:
            LanceletError: the folder holds something else, or a sweep that is not to be continued, or another sweep.
        """
        path = folder / "sweep.yaml"
        if not path.exists():
            if folder.exists() and any(folder.iterdir()):
                raise LanceletError(f"{folder} is neither empty nor a sweep: give another --folder")
            return
        if not self.resume:
            raise LanceletError(
                f"{folder} already holds a sweep: give --resume to continue it, or another --folder"
            )
        if not self.trust:
            reason = "Ray keeps its part of a sweep as pickles, and a stranger's can run any code"
            raise LanceletError(
                f"{folder}: {reason}; if this sweep is your own, continue it with --resume --trust"
            )
        old = foreign.read_yaml(path, inside=folder)
        if not isinstance(old, dict):
            raise LanceletError(f"{path} is not what a sweep writes, or is cut short")
        # By way of YAML, as the old values went: a tuple has become a list there.
        new = foreign.parse_yaml(yaml.safe_dump(about), "this sweep")
        for name, value in new.items():
            if old.get(name) != value:
                raise LanceletError(
                    f"{folder} was swept with {name} = {old.get(name)!r}, not {about[name]!r}"
                )

    def _run_trials(self, folder: Path, base: Config, overs: list[Over], seed: int) -> list[Trial]:
        """Have Ray Tune run the trials.

        Args:
            folder: folder of the sweep.
            base: what every trial has in common.
            overs: the options that are varied.
            seed: of the search.

        Returns:
            The trials, best first.

        Raises:
            KeyboardInterrupt: Tune ended before all trials did, which it does after Ctrl-C without raising it.
        """
        _quieten_tune()
        tuner = self._tuner(folder, base, overs, seed)
        tune_trials = trials_of(tuner.fit())
        _look(tune_trials)
        all_finished = all(trial.is_finished() for trial in tune_trials)
        if len(tune_trials) < self.samples or not all_finished:
            raise KeyboardInterrupt
        trials = [_outcome(folder, trial) for trial in tune_trials]
        return sorted(trials, key=_rank)

    def _tuner(self, folder: Path, base: Config, overs: list[Over], seed: int) -> tune.Tuner:
        """Ray Tune's search, new or continued; the arguments are those of `_run_trials`."""
        from ray import tune

        names = Names.of(base.task, base.controller, base.task_options, base.algorithm)
        trial_function = tune.with_parameters(
            _trial, names=names, base=dataclasses.asdict(base), folder=str(folder)
        )
        trainable = tune.with_resources(trial_function, {"cpu": 1})
        space = {over.name: over.domain() for over in overs}
        tune_folder = str(folder / "tune")
        if self.resume and tune.Tuner.can_restore(tune_folder):
            return tune.Tuner.restore(
                tune_folder, trainable, param_space=space, restart_errored=True
            )
        # A sweep that was killed before Tune's first save comes here too: the seed gives the same trials again, and
        # their runs go on.
        return tune.Tuner(
            trainable,
            param_space=space,
            tune_config=self._tune_config(base, seed),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(folder),
                verbose=0,
                callbacks=[_callback()],
                failure_config=tune.FailureConfig(max_failures=MOST_FAILURES),
            ),
        )

    def _tune_config(self, base: Config, seed: int) -> tune.TuneConfig:
        """How Ray Tune draws the trials, and which of them it stops early."""
        from ray import tune
        from ray.tune.schedulers import ASHAScheduler, FIFOScheduler
        from ray.tune.search import BasicVariantGenerator

        scheduler = FIFOScheduler()
        if self.scheduler == "asha":
            first_look = self.first_look or _steps(base) // FIRST_LOOK_PARTS
            scheduler = ASHAScheduler(
                time_attr="steps",
                grace_period=max(1, first_look),
                reduction_factor=REDUCTION,
                # Trials end by themselves: stopped at a limit they would lose their last report.
                max_t=NO_LIMIT,
            )
        return tune.TuneConfig(
            metric="validation",
            mode="max",
            num_samples=self.samples,
            search_alg=BasicVariantGenerator(
                random_state=seed % TUNE_SEEDS,
                max_concurrent=self.workers,
            ),
            scheduler=scheduler,
            trial_dirname_creator=_number,
        )


def _quieten_tune() -> None:
    """Keep Ray Tune from changing folders, writing logs of its own and printing tables; changes this process.

    Our folders are absolute, our bar shows the progress, and nobody reads another copy of the results.
    """
    os.environ.update(
        RAY_CHDIR_TO_TRIAL_DIR="0",
        TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
        RAY_AIR_NEW_OUTPUT="0",
    )
    # Imported after the variables are set, so that none is read too early, and before the loggers' levels are.
    import ray.tune  # noqa: F401

    for name in ("ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _rank(trial: Trial) -> float:
    """The key by which trials are sorted best first; those that failed come last."""
    if trial.validation is None:
        return -FAILED
    return -trial.validation


# What Tune calls while it runs. Its pickles name `_trial`, `_number`, `_look` and `_end_stopped` by this module:
# renamed or moved, an older sweep could not be continued.


class _Seen:
    """What Tune's callback works on; apart from it, since Tune keeps a pickle of the callback for `Tuner.restore`."""

    stopped: StoppedWorkers | None
    """looks for workers that are stopped; None before the first sweep of this process"""
    advance: Advance
    """moves the progress bar"""
    finished: int
    """trials that the bar shows as done"""

    def __init__(self) -> None:
        self.stopped = None
        self.begin(_advance_nothing)

    def begin(self, advance: Advance) -> None:
        """Begin a new sweep in this process, whose bar is moved by `advance`."""
        self.advance = advance
        self.finished = 0

    def look(self, trials: list[TuneTrial]) -> None:
        """Move the bar on to the trials that are done now, and show the best validation so far."""
        finished = sum(trial.is_finished() for trial in trials)
        validations = [_last_result(trial).get("validation", FAILED) for trial in trials]
        best = max(validations, default=FAILED)
        figures = {}
        if best > FAILED:
            figures["best"] = best
        self.advance(finished - self.finished, **figures)
        self.finished = finished


def _advance_nothing(count: int = 1, **figures: float) -> None:
    """The progress bar where no sweep runs."""


_seen = _Seen()


def _look(trials: list[TuneTrial]) -> None:
    """Show how far the trials are."""
    _seen.look(trials)


def _end_stopped() -> None:
    """Kill stopped workers: a trial whose process dies fails, and Tune begins it again from its run's checkpoint."""
    if _seen.stopped is not None:
        _seen.stopped.end()


def _callback() -> tune.Callback:
    """What Tune calls at each round of its loop."""
    from ray import tune

    # Declared here: its base class exists only where Ray is installed.
    class Progress(tune.Callback):
        """Looks at the trials whenever the loop of Tune has gone round."""

        def on_step_end(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
            _look(trials)
            _end_stopped()

    return Progress()


# One trial


def _trial(config: dict[str, Any], names: Names, base: dict[str, Any], folder: str) -> None:
    """Run one trial in a process of Ray Tune's; it reports its best validation as it goes.

    Args:
        config: the values that the search chose for this trial.
        names: the classes that the configuration names; a user's own file has registered none of them here.
        base: what every trial has in common, fields of a `Config`.
        folder: of the sweep.
    """
    from ray import tune

    torch.set_num_threads(1)
    names.register()
    run_folder = Path(folder) / "trials" / _number(None)
    # An earlier worker may still write the log that is read next.
    _wait_for(run_folder)
    best = _best_validation(run_folder)

    def report_validation(figures: Mapping[str, float]) -> None:
        nonlocal best
        if "validation" in figures:
            best = max(best, figures["validation"])
            tune.report({"validation": best, "steps": int(figures["steps"])})

    try:
        trial_config = merged(Config(**base), config)
        trainer = trial_config.trainer(folder=str(run_folder), resume=True, quiet=True)
        run = trainer.train(
            task=trial_config.task,
            controller=trial_config.controller,
            task_options=trial_config.task_options,
            controller_options=trial_config.controller_options,
            watch=report_validation,
        )
        if run.failed:
            raise LanceletError(
                "every candidate failed: the physics diverged, or actions were not finite"
            )
        log = read_log(run_folder)
        steps = int(log[-1]["steps"]) if log else 0
        # Beside the saved controller stands what it was chosen by, where its trainer validates.
        chosen_by = float(describe(run_folder)["notes"].get("validation", best))
        tune.report({"validation": chosen_by, "steps": steps, "whole": True})
    except LanceletError as error:
        # Options that cannot be are an outcome of the search, and no fault of it.
        tune.report({"validation": FAILED, "steps": 0, "refused": str(error)})


def _best_validation(run_folder: Path) -> float:
    """The best validation that a run has logged so far; `FAILED` where it has logged none."""
    validations = [line["validation"] for line in read_log(run_folder) if "validation" in line]
    return max(validations, default=FAILED)


def _wait_for(folder: Path) -> None:
    """Wait until no process holds a run, 20 s at most: workers of a driver that was killed live on for some seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(LOCK_TRIES):
        with contextlib.suppress(LanceletError):
            hold(folder).close()
            return
        time.sleep(LOCK_PAUSE)


def _number(trial: TuneTrial | None) -> str:
    """Number of a trial, the same in a sweep that was begun again; None: of the trial that this process runs.

    Tune's ids are a random word and the number.
    """
    from ray import tune

    trial_id = tune.get_context().get_trial_id() if trial is None else trial.trial_id
    return trial_id.rpartition("_")[2]


def _last_result(trial: TuneTrial) -> dict[str, Any]:
    """What a trial reported last; empty where it has reported nothing."""
    return trial.last_result or {}


def _outcome(folder: Path, trial: TuneTrial) -> Trial:
    """How a trial of Tune's ended; `folder` is that of the sweep."""
    last = _last_result(trial)
    note = last.get("refused", "")
    if trial.status == "ERROR":
        note = f"crashed: {_last_line(trial.get_error())}"
    elif not note and not last.get("whole"):
        note = STOPPED_EARLY
    failed = note not in ("", STOPPED_EARLY)
    validation = None
    if not failed and "validation" in last:
        validation = float(last["validation"])
    return Trial(
        folder=str(folder / "trials" / _number(trial)),
        values=dict(trial.config),
        validation=validation,
        steps=int(last.get("steps", 0)),
        note=note,
    )


def _last_line(error: object) -> str:
    """The last line of an error of Tune's, which is a whole traceback."""
    lines = str(error).strip().splitlines()
    if not lines:
        return "no reason given"
    return lines[-1]


@runtime_checkable
class _RunsGenerations(Protocol):
    """A trainer that evaluates a population in episodes, generation by generation."""

    generations: int
    population: int
    episodes: int


@runtime_checkable
class _RunsSteps(Protocol):
    """A trainer that is given a number of control steps."""

    steps: int


def _steps(base: Config) -> int:
    """Control steps of a trial, at most; 0 where nothing says so."""
    trainer = base.trainer()
    if isinstance(trainer, _RunsGenerations):
        spec = Names.of(base.task, base.controller, {}).spec
        own_limit = base.task_options.get("max_episode_steps")
        episode_steps = own_limit or spec["max_episode_steps"] or 0
        return trainer.generations * trainer.population * trainer.episodes * episode_steps
    if isinstance(trainer, _RunsSteps):
        return trainer.steps
    return 0


def _new_name(base: Config, seed: int) -> Path:
    """A folder under runs/ for a sweep that was given none."""
    controller = base.controller.rpartition(":")[2]
    name = f"sweep-{short_name(base.task)}-{controller}-{base.algorithm}-{seed}"
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"

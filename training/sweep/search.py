"""Search over options with Ray Tune: every trial an ordinary run in a folder of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

import torch
import yaml

from ... import controllers, foreign
from ...checks import check_fields, plain, seed_number
from ...controllers.store import describe
from ...envs import Task
from ...errors import LanceletError
from ...files import make_folder, user_path, write_atomic
from ...tasks import short_name
from ..config import Config
from ..distributed.cluster import check_address, connected
from ..distributed.shipping import Names
from ..distributed.stopped_workers import StoppedWorkers
from ..rollout import FAILED
from ..runs.folder import hold, read_log
from ..runs.progress import progress
from .ranges import Over, parse

OWN = ("folder", "resume", "quiet", "workers", "address", "chunk")
"""options of a trainer that the sweep sets for every trial"""
CORES = os.cpu_count() or 1


@dataclass(kw_only=True)
class Trial:
    """One configuration and how it did."""

    folder: str
    values: dict[str, Any]
    validation: float | None
    """of the run's controller, its best; None where the trial failed"""
    steps: int
    note: str = ""
    """why it failed, or that it was stopped early"""


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
        """Refuse options that make no sense."""
        check_fields(self)
        for name, least in (("samples", 1), ("first_look", 0), ("workers", 0)):
            if getattr(self, name) < least:
                raise LanceletError(f"{name} = {getattr(self, name)}: must be {least} or more")
        if self.address is not None:
            check_address(self.address)

    def run(self, base: Config, seed: int = 0) -> list[Trial]:
        """All trials, best first; `self.folder` says where.

        Args:
            base: what every trial has in common.
            seed: of the search; trials have their own seed among the options of the algorithm.

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
        }
        about |= {"scheduler": self.scheduler, "first_look": self.first_look}
        folder = user_path(self.folder or _new_name(base, seed)).absolute()
        self.folder = str(folder)
        self._claim(folder, about)
        make_folder(folder)
        with contextlib.closing(hold(folder)):
            write_atomic(folder / "sweep.yaml", yaml.safe_dump(about, sort_keys=False))
            slots = self.workers or CORES
            with connected(slots, self.address) as ray:
                _seen.stopped = StoppedWorkers(ray)
                with progress("sweeping", self.samples, "trials", 0, self.quiet) as bar:
                    return self._fit(folder, base, overs, seed, bar)

    def _claim(self, folder: Path, about: dict[str, Any]) -> None:
        """Refuse a folder that is not ours to write to, or to read."""
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
        new = foreign.parse_yaml(yaml.safe_dump(about), "this sweep")
        changed = [name for name, value in new.items() if old.get(name) != value]
        if changed:
            name = changed[0]
            raise LanceletError(
                f"{folder} was swept with {name} = {old.get(name)!r}, not {about[name]!r}"
            )

    def _fit(
        self, folder: Path, base: Config, overs: list[Over], seed: int, bar: Callable[..., None]
    ) -> list[Trial]:
        # our folders are absolute, our bar shows the progress, and nobody reads another copy of the results
        os.environ.update(
            RAY_CHDIR_TO_TRIAL_DIR="0",
            TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
            RAY_AIR_NEW_OUTPUT="0",
        )
        from ray import tune
        from ray.tune.schedulers import ASHAScheduler, FIFOScheduler
        from ray.tune.search import BasicVariantGenerator

        for name in ("ray.tune", "ray.train"):
            logging.getLogger(name).setLevel(logging.ERROR)
        names = Names.of(base.task, base.controller, base.task_options, base.algorithm)
        trainable = tune.with_resources(
            tune.with_parameters(
                _trial, names=names, base=dataclasses.asdict(base), folder=str(folder)
            ),
            {"cpu": 1},
        )
        space = {over.name: over.domain() for over in overs}
        _seen.begin(bar)
        if self.resume and tune.Tuner.can_restore(str(folder / "tune")):
            tuner = tune.Tuner.restore(
                str(folder / "tune"), trainable, param_space=space, restart_errored=True
            )
        else:  # killed before Tune's first save: the seed gives the same trials, whose runs go on
            first = self.first_look or _steps(base) // 9
            # trials end by themselves: stopped at max_t they would lose their report
            asha = ASHAScheduler(
                time_attr="steps", grace_period=max(1, first), reduction_factor=3, max_t=10**15
            )
            tuner = tune.Tuner(
                trainable,
                param_space=space,
                tune_config=tune.TuneConfig(
                    metric="validation",
                    mode="max",
                    num_samples=self.samples,
                    search_alg=BasicVariantGenerator(
                        random_state=seed % 2**32,  # numpy's older generator takes no more bits
                        max_concurrent=self.workers,
                    ),
                    scheduler=asha if self.scheduler == "asha" else FIFOScheduler(),
                    trial_dirname_creator=_number,
                ),
                run_config=tune.RunConfig(
                    name="tune",
                    storage_path=str(folder),
                    verbose=0,
                    callbacks=[_callback()],
                    failure_config=tune.FailureConfig(max_failures=2),
                ),
            )
        trials = (
            tuner.fit()._experiment_analysis.trials
        )  # the public results do not tell a trial that was cut off
        _look(trials)
        if len(trials) < self.samples or not all(trial.is_finished() for trial in trials):
            raise KeyboardInterrupt
        found = [_outcome(folder, trial) for trial in trials]
        return sorted(
            found, key=lambda trial: -FAILED if trial.validation is None else -trial.validation
        )


class _Seen:
    """What Tune's callback sees; apart from it, since Tune keeps a pickle of the callback for `Tuner.restore`."""

    def __init__(self) -> None:
        self.stopped: StoppedWorkers | None = None
        self.begin(lambda *_args, **_figures: None)

    def begin(self, advance: Callable[..., None]) -> None:
        """A new sweep in this process."""
        self.advance, self.done = advance, 0

    def look(self, trials: list[Any]) -> None:
        """Move the bar on to the trials that are done now."""
        done = sum(trial.is_finished() for trial in trials)
        best = max(
            [(trial.last_result or {}).get("validation", FAILED) for trial in trials],
            default=FAILED,
        )
        self.advance(done - self.done, **({"best": best} if best > FAILED else {}))
        self.done = done


_seen = _Seen()


def _look(trials: list[Any]) -> None:
    _seen.look(trials)


def _end_stopped() -> None:
    """A trial whose process is stopped fails, and Tune begins it again from its run's checkpoint."""
    if _seen.stopped is not None:
        _seen.stopped.end()


def _callback() -> Any:
    from ray import tune

    class Progress(tune.Callback):
        """Looks at the trials whenever the loop of Tune has gone round."""

        def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
            _look(trials)
            _end_stopped()

    return Progress()


def option_types(base: Config) -> dict[str, Any]:
    """Name -> type of every option that can be swept: the algorithm's, ``controller.x`` and ``task.x``."""
    from .. import algorithms

    cls = algorithms.get(base.algorithm)
    options = controllers.controllers.get(base.controller).Options
    task: type[Task] = Names.of(base.task, base.controller, {}).spec["task"]
    found = {name: kind for name, kind in _types(cls).items() if name not in (*OWN, "test")}
    found |= {f"controller.{name}": kind for name, kind in _types(options).items()}
    found |= {f"task.{name}": kind for name, kind in _types(task).items() if kind is not Any}
    return found | {"task.max_episode_steps": int}


def _types(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def merged(base: Config, values: Mapping[str, Any]) -> Config:
    """`base` with the values of a trial."""
    parts = {"task": dict(base.task_options), "controller": dict(base.controller_options)}
    own = dict(base.algorithm_options)
    for name, value in values.items():
        kind, dot, field = name.partition(".")
        (parts[kind] if dot else own)[field if dot else name] = value
    return dataclasses.replace(
        base,
        task_options=parts["task"],
        controller_options=parts["controller"],
        algorithm_options=own,
    )


def try_ends(base: Config, overs: list[Over]) -> None:
    """Make everything but the runs with every end of every range, so that bad values show now and not in a trial."""
    for over in overs:
        for value in over.ends:
            config = merged(base, {over.name: value})
            try:
                trainer = config.trainer()
                trainer.check()
                circuit, _, _ = trainer.prepare(
                    config.task, config.controller, config.task_options, config.controller_options
                )
                trainer.refuse(
                    circuit,
                    config.task,
                    config.controller,
                    config.task_options,
                    config.controller_options,
                )
            except LanceletError as error:
                if not any(
                    other.name.rpartition(".")[2] in str(error)
                    for other in overs
                    if other is not over
                ):
                    raise LanceletError(
                        f"--over {over.name}: {error}"
                    ) from error  # else it may hold with the others


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
        ready = merged(Config(**base), config)
        trainer = ready.trainer(folder=str(run_folder), resume=True, quiet=True)
        run = trainer.train(
            ready.task,
            ready.controller,
            ready.task_options,
            ready.controller_options,
            report_validation,
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
    """Workers of a driver that was killed live on for some seconds, and hold their runs."""
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(40):
        with contextlib.suppress(LanceletError):
            hold(folder).close()
            return
        time.sleep(0.5)


def _number(trial: Any) -> str:
    """Number of a trial, the same in a sweep that was begun again: ids are a random word and the number."""
    from ray import tune

    return (tune.get_context().get_trial_id() if trial is None else trial.trial_id).rpartition("_")[
        2
    ]


def _outcome(folder: Path, trial: Any) -> Trial:
    number, last = _number(trial), trial.last_result or {}
    note = last.get("refused", "")
    if trial.status == "ERROR":
        note = (
            "crashed: " + (str(trial.get_error()).strip().splitlines() or ["no reason given"])[-1]
        )
    elif not note and not last.get("whole"):
        note = "stopped early"
    failed = bool(note and note != "stopped early")
    return Trial(
        folder=str(folder / "trials" / number),
        values=dict(trial.config),
        validation=None if failed or "validation" not in last else float(last["validation"]),
        steps=int(last.get("steps", 0)),
        note=note,
    )


def _steps(base: Config) -> int:
    """Control steps of a trial, at most; 0 where nothing says so."""
    trainer: Any = base.trainer()
    if hasattr(trainer, "generations"):
        spec = Names.of(base.task, base.controller, {}).spec
        limit = base.task_options.get("max_episode_steps") or spec["max_episode_steps"] or 0
        return trainer.generations * trainer.population * trainer.episodes * limit
    return getattr(trainer, "steps", 0)


def _new_name(base: Config, seed: int) -> Path:
    name = f"sweep-{short_name(base.task)}-{base.controller.rpartition(':')[2]}-{base.algorithm}-{seed}"
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"

"""A training configuration as a small YAML file: what to train, by registered names and plain values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from .. import controllers, foreign
from ..checks import plain, whole_number
from ..errors import LanceletError, check_names
from ..files import write_atomic
from ..tasks import known_task_id
from .evolution.workers import parallel
from .runs.progress import progress
from .trainer import Run, Trainer

NAMES = ("task", "controller", "algorithm")
"""keys of a configuration that must be there, and whose values are texts"""
OPTIONS = ("task_options", "controller_options", "algorithm_options")
"""keys of a configuration whose values are mappings"""
RUNS = Path("runs/configs")
"""folder of the runs of committed configurations"""


@dataclass(frozen=True)
class Config:
    """One training but for its seed and folder; options left out have their defaults."""

    task: str
    """id of the task, or a short name of it"""
    controller: str
    """registered name of the controller"""
    algorithm: str
    """registered name of the algorithm"""
    task_options: dict[str, Any] = field(default_factory=dict)
    """fields of the task, and ``max_episode_steps``"""
    controller_options: dict[str, Any] = field(default_factory=dict)
    """options of the controller"""
    algorithm_options: dict[str, Any] = field(default_factory=dict)
    """options of the algorithm"""
    seeds: int = 1
    """number of trainings, whose seeds are 0, 1, 2 ..."""

    def trainer(self, **common: Any) -> Trainer:
        """The algorithm with its options.

        Args:
            **common: options of every trainer: ``seed``, ``folder``, ``resume``, ...

        Raises:
            LanceletError: an unknown algorithm or option.
        """
        from . import algorithms

        algorithm = algorithms.get(self.algorithm)
        known = [item.name for item in fields(algorithm)]
        check_names(f"option of algorithm {self.algorithm}", self.algorithm_options, known)
        options = {}
        for name, value in self.algorithm_options.items():
            # YAML has lists where options are tuples.
            options[name] = tuple(value) if isinstance(value, list) else value
        return algorithm(**options, **common)

    def train(self, seed: int, **common: Any) -> Run:
        """Train with one seed, which is also that of the first weights where a controller draws them.

        Args:
            seed: seed of everything random.
            **common: further options of every trainer: ``folder``, ``resume``, ...
        """
        controller_options = dict(self.controller_options)
        known = [item.name for item in fields(controllers.controllers.get(self.controller).Options)]
        if "seed" in known:
            controller_options.setdefault("seed", seed)
        trainer = self.trainer(seed=seed, **common)
        return trainer.train(self.task, self.controller, self.task_options, controller_options)

    def shorter(self, **options: Any) -> Config:
        """The same training with other options of the algorithm, such as fewer steps."""
        return replace(self, algorithm_options={**self.algorithm_options, **options})

    def task_fields(self) -> dict[str, Any]:
        """All options of the task as the algorithm needs it, with which the trained controller is to be evaluated."""
        _, task_options, _ = self.trainer().prepare(
            self.task, self.controller, self.task_options, self.controller_options
        )
        return task_options

    def write(self, path: str | Path) -> None:
        """Write the configuration to a YAML file, which `read` reads."""
        write_atomic(path, yaml.safe_dump(plain(asdict(self)), sort_keys=False))


def read(path: str | Path) -> Config:
    """The configuration in a file.

    Names in it are those of registered tasks, controllers and algorithms: nothing is imported for them.

    Raises:
        LanceletError: the file is missing or no YAML, lacks a key or has an unknown one, or a name in it is not
            registered.
    """
    from . import algorithms

    content = foreign.read_yaml(path, by_hand=True)
    if not isinstance(content, dict):
        raise LanceletError(
            f"{path} is not a training configuration: needs task, controller and algorithm"
        )
    check_names(f"key of {path}", content, [item.name for item in fields(Config)])
    for name in NAMES:
        if not isinstance(content.get(name), str):
            raise LanceletError(f"{path}: {name} = {content.get(name)!r}: must be a name")
    for name in OPTIONS:
        if not isinstance(content.get(name, {}), dict):
            raise LanceletError(
                f"{path}: {name} = {content[name]!r}: must be a mapping of names to values"
            )
    config = Config(**content)
    whole_number(f"{path}: seeds", config.seeds, 1)
    check_names("controller", [config.controller], controllers.controllers)
    check_names("algorithm", [config.algorithm], algorithms)
    return replace(config, task=known_task_id(config.task))


def folder(name: str, seed: int) -> Path:
    """Where a run of a committed configuration lies.

    Studies and benches share these folders: what one has run the other reads.

    Args:
        name: name of the configuration: of its file.
        seed: seed of the run.
    """
    return RUNS / name / str(seed)


def train_all(names: Iterable[str], quiet: bool = False) -> None:
    """Train committed configurations with all their seeds, two runs at a time; what is there is taken up."""
    configs = committed()
    jobs = []
    for name in names:
        for seed in range(configs[name].seeds):
            jobs.append((name, seed, configs[name]))
    with progress("training", len(jobs), "runs", quiet=quiet) as advance:
        for _ in parallel(_train, jobs):
            advance()


def _train(job: tuple[str, int, Config]) -> None:
    """Train a configuration, given with its name and a seed, in a worker process."""
    name, seed, config = job
    config.train(seed=seed, folder=str(folder(name, seed)), resume=True, quiet=True, test=0)


def committed() -> dict[str, Config]:
    """Name -> configuration of every file in `training/configs`: what `lancelet bench table` runs."""
    paths = sorted((Path(__file__).parent / "configs").glob("*.yaml"))
    return {path.stem: read(path) for path in paths}

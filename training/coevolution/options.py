"""What a user says of a co-evolution, `Coevolve`, and what comes of it, `Evolved`."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from pathlib import Path

from ...checks import check_fields, finite_number, seed_number, whole_number
from ...errors import LanceletError, unknown
from ...files import make_folder
from ...foreign import check_links
from ...morphology.genome import kinds
from ...tasks import short_name, task_id
from ..distributed.pools import check_workers, refuse_without_guard
from ..runs.folder import hold
from .champions import BEST, CHAMPIONS
from .individuals import NAME, Individual
from .lifetimes import LEARNING

SECONDS_OF_UNIT = {"": 1, "s": 1, "m": 60, "h": 3600}
"""unit behind the number of a budget -> s"""
COUNTS = ("evaluations", "population", "window", "layers", "episodes", "tries", "steps")
"""options that are 1 or more where they are given"""


@dataclass(kw_only=True)
class Coevolve:
    """Steady-state evolution of bodies with their controllers."""

    evaluations: int | None = None
    """individuals to evaluate, those of earlier sessions counted; none: as many as the budget allows"""
    budget: str | None = None
    """time to spend, earlier sessions counted: 90s, 5m, 2h; none: as long as the evaluations take"""
    steps: int | None = None
    """control steps of an episode; none: the task's own limit"""
    episodes: int = 2
    """start states that every individual is scored on, the same for all"""
    learning: int = 0
    """generations of SNES that each individual's controller learns for, inherited by its children; 0: none"""
    population: int = 32
    """random individuals at the beginning"""
    selection: str = "tournament"
    """tournament: the best of four among the youngest; map-elites: niches of bodies; nsga2: fitness against size"""
    window: int = 576
    """evaluated individuals, the youngest, that may breed (tournament, nsga2)"""
    layers: int = 1
    """layers of age in which tournaments are held; fresh random individuals keep coming where there are several"""
    crossover: float = 0.25
    """share of births with two parents"""
    workers: str = "local"
    """local: a process a core; ray: all slots of Ray, here or at the address; a number of processes"""
    address: str | None = None
    """host:port of a running Ray cluster; none: this machine"""
    deadline: float = 60.0
    """s that one evaluation may take before its process is killed"""
    memory: float = 4.0
    """GiB that one evaluation may take"""
    tries: int = 3
    """processes that may die over one individual before it is quarantined"""
    seed: int = 0
    """of births: individual b is drawn from (seed, b) and from what had been evaluated when it was born"""
    folder: str | None = None
    """run folder; none: a new one under runs/"""
    resume: bool = False
    """continue the run in the folder (or begin there)"""
    quiet: bool = False
    """no progress bar"""

    def check(self) -> None:
        """Refuse options that make no sense, before anything is written.

        Raises:
            LanceletError: the first one that is wrong.
        """
        check_fields(self)
        seed_number(self.seed)
        if self.evaluations is None and self.budget is None:
            raise LanceletError("coevolve needs an end: give --budget 5m, or --evaluations N")
        for name in COUNTS:
            count = getattr(self, name)
            if count is not None and count < 1:
                raise LanceletError(f"{name} = {count}: must be 1 or more")
        finite_number("deadline", self.deadline, above=0, unit="s")
        finite_number("memory", self.memory, above=0, unit="GiB")
        finite_number("crossover", self.crossover, least=0, most=1)
        whole_number("learning", self.learning, least=0)
        check_workers(self.workers, self.address)
        self.seconds()

    def seconds(self) -> float:
        """The budget in seconds; infinite where there is none.

        Raises:
            LanceletError: the budget is no time above 0.
        """
        if self.budget is None:
            return math.inf
        match = re.fullmatch(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[smh]?)", self.budget.strip())
        seconds = 0.0
        if match is not None:
            seconds = float(match["number"]) * SECONDS_OF_UNIT[match["unit"]]
        if seconds <= 0:
            raise LanceletError(
                f"budget = {self.budget!r}: must be a time above 0, as in 90s, 5m or 2h"
            )
        return seconds

    def run(self, task: str) -> Evolved:
        """Evolve individuals for a task until the budget is spent.

        Raises:
            LanceletError: a task without a kind of genome, options that make no sense, a folder
                that cannot be used or that is deleted meanwhile, workers that do not come up, a Ray
                that is gone.
        """
        # Imported here: the driver knows these options.
        from .driver import Driver

        refuse_without_guard()
        self.check()
        kind = kind_for(task)
        folder = make_folder(self.folder or _new_folder(task))
        lock = hold(folder)
        try:
            check_links(folder, BEST, CHAMPIONS, LEARNING)
            if (folder / NAME).exists() and not self.resume:
                raise LanceletError(
                    f"{folder} already holds a run: give --resume to continue it, "
                    "or another --folder"
                )
            driver = Driver(self, kind, folder)
            try:
                driver.drive()
            finally:
                driver.store.close()
            return driver.evolved()
        finally:
            lock.close()


@dataclass(frozen=True, kw_only=True)
class Evolved:
    """A run that has ended, or was interrupted."""

    folder: Path
    """of the run"""
    best: Individual | None
    """the fittest individual of all sessions; None: nobody has been evaluated"""
    evaluated: int
    """individuals evaluated in all sessions, invalid ones counted"""
    quarantined: int
    """individuals quarantined in all sessions"""
    seconds: float
    """s that all sessions took"""
    stopped: bool
    """whether SIGTERM ended it before the budget was spent"""


def home_tasks() -> dict[str, str]:
    """The id of the task that a kind of genome lives in -> the name of the kind."""
    homes = {}
    for name in kinds:
        task, _ = kinds.known(name).task()
        homes[task_id(task)] = name
    return homes


def kind_for(task: str) -> str:
    """The kind of genome whose bodies live in a task.

    Raises:
        LanceletError: there is none.
    """
    homes = home_tasks()
    wanted = task_id(task)
    if wanted not in homes:
        known = [short_name(home) for home in homes]
        raise unknown("task with a kind of genome", short_name(wanted), known)
    return homes[wanted]


def _new_folder(task: str) -> str:
    """The name of a run folder that says its task and when it began."""
    begun = time.strftime("%Y%m%d-%H%M%S")
    return f"runs/{short_name(task_id(task))}-coevolve-{begun}"

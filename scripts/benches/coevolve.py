"""Co-evolution: building bodies, the driver's own time, idle workers, resuming, mixed bodies in batches."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lancelet.morphology.genome import Genome, kinds
from lancelet.scripts.benches._decode import CREATURE_PARTS, decode_bench
from lancelet.scripts.rows import Row, at_least, at_most
from lancelet.training.coevolution.driver import Coevolve, Driver
from lancelet.training.coevolution.individuals import Individual
from lancelet.training.coevolution.lifetimes import Group, Lifetime, Member, classes_of, live
from lancelet.training.distributed.pools import Call, Local, Outcome, Pool

CALL_DEADLINE = 600.0
"""s, of every call: none should ever come near it"""
QUICK_REST = 0.1
"""how long calls rest in a quick bench, over how long they rest in a full one"""

# Bodies in batches
GROUPED_BODIES = 64
"""swimmers, all different, that are evaluated in groups and one by one"""
GROUPED_STEPS = 100
"""control steps of an episode"""
GROUPED_WORKERS = 2
"""processes that evaluate them"""

# Resuming
RESUMED = 100_000
"""individuals of the run that is resumed"""
QUICK_RESUMED = RESUMED // 20
"""individuals that a quick bench resumes with: its time is scaled up"""


class Load(NamedTuple):
    """Calls that do nothing but rest, and how busy they should keep the workers."""

    workers: int
    """number of processes"""
    rest: float
    """s that a call rests"""
    calls: int
    """number of calls after the first one of every worker"""
    target: float
    """least share of the workers' time that the calls should fill"""


LOADS = (
    Load(workers=2, rest=1.0, calls=24, target=0.95),
    Load(workers=16, rest=5.0, calls=200, target=0.90),
)


def run(quick: bool) -> list[Row]:
    """Measure all rows; `quick` takes fewer rounds and rests shorter."""
    rounds = 1 if quick else 3
    resumed = QUICK_RESUMED if quick else RESUMED
    return [
        _decode_row(10 if quick else 50),
        *_own_time_rows(300 if quick else 3000),
        *(_utilisation_row(load, quick) for load in LOADS),
        _resume_row(resumed),
        _grouped_row(rounds),
    ]


@contextmanager
def _driver(evaluations: int, kind: str = "swimmer", **options: Any) -> Iterator[Driver]:
    """A driver in a folder of its own, which is removed in the end.

    Args:
        evaluations: budget of the run.
        kind: name of the kind of genome.
        **options: other options of `Coevolve`.
    """
    with tempfile.TemporaryDirectory() as folder:
        search = Coevolve(evaluations=evaluations, quiet=True, folder=folder, **options)
        driver = Driver(search, kind, Path(folder))
        try:
            yield driver
        finally:
            driver.store.close()


def _ignore_progress(*_: object, **__: object) -> None:
    """Show no progress bar."""


# From genome to first step


def _decode_row(rounds: int) -> Row:
    """How long it takes to build a body and move it once."""
    seconds = decode_bench(rounds)
    return at_most(
        f"body decode + compile + first step, {CREATURE_PARTS}-segment creature, median ms",
        "speed",
        1e3 * seconds,
        10,
    )


# The driver's own time


def _own_time_rows(results: int) -> list[Row]:
    """What the driver itself takes for each of so many results."""
    return [
        at_most(
            "our own code per result, swimmers, us",
            "speed",
            _own_time("swimmer", results),
            400,
            note="one result a call: selection, variation, JSON, a transaction each; tournament",
        ),
        Row(
            "our own code per result, creatures, us",
            "info",
            _own_time("creature", results),
            note="a tree's children are built and checked for overlaps before they are born",
        ),
    ]


def _own_time(kind: str, results: int) -> float:
    """Time of the driver per result, us."""
    with _driver(results, kind) as driver:
        begun = time.perf_counter()
        driver.loop(_Instant(), _ignore_progress)
        seconds = time.perf_counter() - begun
    return 1e6 * seconds / results


class _Instant(Pool):
    """A pool whose results are there at once: what is left is the driver's own time."""

    def __init__(self) -> None:
        self._outcomes: list[Outcome] = []
        self._random = np.random.default_rng(0)

    @property
    def slots(self) -> int:
        """As many as on the machine of two cores that the target was set on."""
        return 2

    def submit(self, key: int, call: Call) -> None:
        """Give each individual of the call a random fitness.

        Its evaluation is said to have taken long, so that the driver keeps to one individual a call.
        """
        lifetimes: dict[int, Lifetime] = {}
        for member in call.argument.members:
            lifetimes[member.number] = Lifetime(
                fitness=float(self._random.normal()),
                figures={"speed": 0.1},
                seconds=10.0,
            )
        self._outcomes.append(Outcome(key, lifetimes))

    def outcomes(self, timeout: float) -> list[Outcome]:
        """The first outcome that has not been handed out, alone."""
        first = self._outcomes[:1]
        self._outcomes = self._outcomes[1:]
        return first

    def close(self) -> None:
        """Do nothing: nothing runs."""


# Idle workers


class _Rest(NamedTuple):
    """The argument of a call that does nothing."""

    seconds: float
    """s that it rests"""
    members: list[int]
    """numbers of the individuals that it should evaluate"""


def _rest(argument: _Rest) -> dict[int, Lifetime]:
    """Rest in a worker, and give every individual the same fitness."""
    time.sleep(argument.seconds)
    # Said to have taken long, so that the driver keeps to one individual a call.
    return {number: Lifetime(fitness=0.0, seconds=100.0) for number in argument.members}


def _utilisation_row(load: Load, quick: bool) -> Row:
    """Time that calls took over the time that the workers were there, after every worker has had its first call."""
    rest = load.rest
    calls = load.calls
    if quick:
        rest = load.rest * QUICK_REST
        calls = max(2 * load.workers, int(load.calls * QUICK_REST))
    total_calls = calls + load.workers
    with _driver(total_calls) as driver:
        driver.work = lambda members: Call(_rest, _Rest(rest, members), CALL_DEADLINE)
        crew = Local(load.workers)
        try:
            _warm_up(crew)
            begun = time.perf_counter()
            driver.loop(crew, _ignore_progress)
            wall_seconds = time.perf_counter() - begun
        finally:
            crew.close()
    utilisation = total_calls * rest / (wall_seconds * load.workers)
    return at_least(
        f"utilisation, {load.workers} workers with {load.rest:g} s tasks",
        "speed",
        utilisation,
        load.target,
        note=f"{total_calls} calls of {rest:g} s, {wall_seconds:.1f} s; a process a slot",
    )


def _warm_up(crew: Local) -> None:
    """Wait until every process has started and imported what it needs."""
    # Each starting process is given one of these calls: as many outcomes are as many processes.
    for number in range(crew.slots):
        crew.submit(-1 - number, Call(_rest, _Rest(0.0, []), CALL_DEADLINE))
    _await_outcomes(crew, crew.slots)


def _await_outcomes(crew: Pool, count: int) -> None:
    """Wait until so many calls have ended."""
    missing = count
    while missing:
        missing -= len(crew.outcomes(1.0))


# Resuming


def _resume_row(count: int) -> Row:
    """How long a driver takes to take up a run of `count` individuals, as if there were `RESUMED`."""
    with tempfile.TemporaryDirectory() as folder:
        search = Coevolve(evaluations=count + 1, quiet=True, folder=folder)
        driver = Driver(search, "swimmer", Path(folder))
        _fill(driver, count)
        driver.store.close()

        search = Coevolve(evaluations=count + 1, quiet=True, folder=folder, resume=True)
        begun = time.perf_counter()
        resumed = Driver(search, "swimmer", Path(folder))
        seconds = time.perf_counter() - begun
        resumed.store.close()
    note = "read back, checked, and into the archive"
    if count != RESUMED:
        note = f"{count:,} run, scaled"
    return at_most(
        f"resume with {RESUMED:,} individuals, s",
        "speed",
        seconds * RESUMED / count,
        30,
        note=note,
    )


def _fill(driver: Driver, count: int) -> None:
    """Put evaluated individuals into a driver's database, each the child of the one before."""
    kind = kinds.known("swimmer")
    rng = np.random.default_rng(0)
    individuals = []
    for number in range(count):
        # The first one has no parent: a parent is born before its child.
        parents = [number - 1] if number else []
        individual = Individual(
            id=number,
            parents=parents,
            operator="resize",
            genome=kind.random(rng).to_json(),
            layer=3,
        )
        individuals.append(individual)
    driver.store.record(births=individuals)
    for individual in individuals:
        individual.state = "evaluated"
        individual.fitness = 1.0
        individual.figures = {"speed": 0.1}
        individual.seconds = 1.0
        individual.done = 2.0
    driver.store.record(done=individuals)


# Bodies in batches


def _grouped_row(rounds: int) -> Row:
    """Distinct swimmers in a group a process, against one environment a body, both by as many processes."""
    kind = kinds.known("swimmer")
    members: list[Member] = []
    for number in range(GROUPED_BODIES):
        genome = kind.random(np.random.default_rng(number))
        members.append(Member(number=number, genome=genome.to_json()))
    group_sizes = {"grouped": GROUPED_BODIES // GROUPED_WORKERS, "one by one": 1}
    seconds: dict[str, list[float]] = {name: [] for name in group_sizes}
    with _driver(GROUPED_BODIES, steps=GROUPED_STEPS) as driver:
        classes = classes_of(driver.life, Genome.from_json(members[0].genome))
        crew = Local(GROUPED_WORKERS)
        try:
            for round_number in range(rounds + 1):
                for name, group_size in group_sizes.items():
                    begun = time.perf_counter()
                    for first in range(0, GROUPED_BODIES, group_size):
                        group = Group(
                            life=driver.life,
                            members=members[first : first + group_size],
                            classes=classes,
                            kind=kind,
                        )
                        crew.submit(first, Call(live, group, CALL_DEADLINE))
                    _await_outcomes(crew, GROUPED_BODIES // group_size)
                    # The first round starts the processes: it is not measured.
                    if round_number > 0:
                        seconds[name].append(time.perf_counter() - begun)
        finally:
            crew.close()
    grouped = min(seconds["grouped"])
    one_by_one = min(seconds["one by one"])
    rates = f"{GROUPED_BODIES / grouped:.1f} against {GROUPED_BODIES / one_by_one:.1f}"
    return at_least(
        f"evaluations/s, {GROUPED_BODIES} distinct swimmers in grouped batches vs one env a body, "
        f"{GROUPED_WORKERS} processes each",
        "speed",
        one_by_one / grouped,
        1.5,
        note=f"{rates} evaluations/s, 2 episodes of {GROUPED_STEPS} steps",
    )

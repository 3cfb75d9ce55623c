"""Co-evolution: building bodies, the driver's own time, idle workers, resuming, mixed bodies in batches."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from lancelet.morphology.genome import Genome, kinds
from lancelet.scripts.benches._decode import decode_bench
from lancelet.scripts.rows import Row, at_least, at_most
from lancelet.training.coevolution.driver import Coevolve, Driver
from lancelet.training.coevolution.individuals import Individual
from lancelet.training.coevolution.lifetimes import Group, Lifetime, classes_of, live
from lancelet.training.distributed.pools import Call, Local, Outcome, Pool

BODIES, STEPS, MANY = 64, 100, 100_000


def run(quick: bool) -> list[Row]:
    """All rows; `quick` takes fewer rounds and rests shorter."""
    seconds = decode_bench(10 if quick else 50)
    rows = [
        at_most(
            "body decode + compile + first step, 12-segment creature, median ms",
            "speed",
            1e3 * seconds,
            10,
        )
    ]
    taken = {kind: _own_time(kind, 300 if quick else 3000) for kind in ("swimmer", "creature")}
    note = "one result a call: selection, variation, JSON, a transaction each; tournament"
    rows.append(
        at_most("our own code per result, swimmers, us", "speed", taken["swimmer"], 400, note=note)
    )
    note = "a tree's children are built and checked for overlaps before they are born"
    rows.append(Row("our own code per result, creatures, us", "info", taken["creature"], note=note))
    for slots, rest, tasks, target in ((2, 1.0, 24, 0.95), (16, 5.0, 200, 0.90)):
        scale = 0.1 if quick else 1.0
        rows.append(
            _utilisation(slots, rest * scale, max(2 * slots, int(tasks * scale)), target, rest)
        )
    return [*rows, _resume(MANY // 20 if quick else MANY), _grouped(1 if quick else 3)]


def _driver(folder: str, evaluations: int, kind: str = "swimmer", **options: Any) -> Driver:
    settings = {"evaluations": evaluations, "quiet": True, "folder": folder, **options}
    return Driver(Coevolve(**settings), kind, Path(folder))


class _Instant(Pool):
    """Results at once: what is left is the driver's own time."""

    def __init__(self) -> None:
        self._out: list[Outcome] = []
        self._random = np.random.default_rng(0)

    @property
    def slots(self) -> int:
        return 2

    def submit(self, key: int, call: Call) -> None:
        lives = {
            k: Lifetime(float(self._random.normal()), {"speed": 0.1}, seconds=10.0)
            for k, _ in call.argument.members
        }
        self._out.append(Outcome(key, lives))

    def outcomes(self, timeout: float) -> list[Outcome]:
        found, self._out = self._out[:1], self._out[1:]
        return found

    def close(self) -> None:
        """Nothing runs."""


def _own_time(kind: str, results: int) -> float:
    """Time of the driver per result, us."""
    with tempfile.TemporaryDirectory() as folder:
        driver = _driver(folder, results, kind)
        begun = time.perf_counter()
        driver.loop(_Instant(), lambda *_, **__: None)
        taken = (time.perf_counter() - begun) / results
        driver.store.close()
    return 1e6 * taken


def _rest(argument: tuple[float, list[int]]) -> dict[int, Lifetime]:
    seconds, members = argument
    time.sleep(seconds)
    return {k: Lifetime(0.0, seconds=100.0) for k in members}


def _utilisation(slots: int, rest: float, tasks: int, target: float, asked: float) -> Row:
    """Time that calls took over the time that the slots were there, after every slot has had its first call."""
    with tempfile.TemporaryDirectory() as folder:
        driver, crew = _driver(folder, tasks + slots), Local(slots)
        driver.work = lambda members: Call(_rest, (rest, members), 600.0)
        try:
            for key in range(slots):  # the warm-up: processes start and import
                crew.submit(-1 - key, Call(_rest, (0.0, []), 600.0))
            while slots and len(crew._idle) + len(crew._waiting) < slots:
                crew.outcomes(0.1)
            begun = time.perf_counter()
            driver.loop(crew, lambda *_, **__: None)
            wall = time.perf_counter() - begun
        finally:
            crew.close()
            driver.store.close()
        share = (tasks + slots) * rest / (wall * slots)
    note = f"{tasks + slots} calls of {rest:g} s, {wall:.1f} s; a process a slot"
    return at_least(
        f"utilisation, {slots} workers with {asked:g} s tasks", "speed", share, target, note=note
    )


def _resume(count: int) -> Row:
    kind, rng = kinds.known("swimmer"), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        driver = _driver(folder, count + 1)
        people = []
        for k in range(count):
            genome = kind.random(rng).to_json()
            one = Individual(k, [max(k - 1, 0)], "resize", genome, 3)
            people.append(one)
        driver.store.record(births=people)
        for one in people:
            one.state, one.fitness, one.figures, one.seconds, one.done = (
                "evaluated",
                1.0,
                {"speed": 0.1},
                1.0,
                2.0,
            )
        driver.store.record(people)
        driver.store.close()
        begun = time.perf_counter()
        again = _driver(folder, count + 1, resume=True)
        taken = (time.perf_counter() - begun) * MANY / count
        again.store.close()
    note = f"{count:,} run, scaled" if count != MANY else "read back, checked, and into the archive"
    return at_most(f"resume with {MANY:,} individuals, s", "speed", taken, 30, note=note)


def _grouped(rounds: int) -> Row:
    """64 distinct swimmers in two groups, against one environment a body, both by two processes."""
    kind = kinds.known("swimmer")
    members = [(k, kind.random(np.random.default_rng(k)).to_json()) for k in range(BODIES)]
    with tempfile.TemporaryDirectory() as folder:
        driver = _driver(folder, BODIES, steps=STEPS)
        classes = classes_of(driver.life, Genome.from_json(members[0][1]))
        crew, times = Local(2), {"grouped": [], "one by one": []}
        try:
            for number in range(rounds + 1):
                for name, size in (("grouped", BODIES // 2), ("one by one", 1)):
                    begun = time.perf_counter()
                    for key in range(0, BODIES, size):
                        group = Group(driver.life, members[key : key + size], classes, kind)
                        crew.submit(key, Call(live, group, 600.0))
                    waiting = BODIES // size
                    while waiting:
                        waiting -= len(crew.outcomes(1.0))
                    if number:  # the first round starts the processes
                        times[name].append(time.perf_counter() - begun)
        finally:
            crew.close()
            driver.store.close()
    best = {name: min(values) for name, values in times.items()}
    rates = " against ".join(f"{BODIES / best[name]:.1f}" for name in times)
    note = f"{rates} evaluations/s, 2 episodes of {STEPS} steps"
    name = f"evaluations/s, {BODIES} distinct swimmers in grouped batches vs one env a body, 2 processes each"
    return at_least(name, "speed", best["one by one"] / best["grouped"], 1.5, note=note)

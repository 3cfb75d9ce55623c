"""A co-evolution whose processes are killed at random instants: ``python tests/faults.py --kills 100 --workers ray``.

The tests do a few; the driver is killed, or one of its workers, or Ray's raylet.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

from lancelet import LanceletError
from lancelet.training.coevolution.driver import CALLS_A_SLOT, LARGEST_CALL
from lancelet.training.coevolution.individuals import NAME, Individual, read

SHORT = ("--steps", "4", "--episodes", "1", "--population", "6", "--deadline", "300", "--quiet")
"""flags of a run whose evaluations take no time"""
SLOTS = 2
"""calls that run at one time"""
UNDER_WAY = int(CALLS_A_SLOT * SLOTS) * LARGEST_CALL
"""individuals that may be under way with two slots: as many evaluations may be done again after a kill"""
FOR_EVER = "1000000"
"""evaluations that no session reaches before it is killed"""
VICTIMS = {"2": ("driver", "worker"), "ray": ("driver", "worker", "raylet")}
"""what is killed, by kind of workers"""


@dataclass
class Driver:
    """`lancelet coevolve swim` in a process of its own, killed where the context ends before it does."""

    folder: Path
    flags: tuple[str, ...] = ()
    workers: str = "2"

    def __enter__(self) -> Driver:
        command = [
            sys.executable,
            "-m",
            "lancelet.scripts.coevolve",
            "swim",
            "--folder",
            str(self.folder),
        ]
        self.process = subprocess.Popen(
            [*command, *SHORT, "--workers", self.workers, *self.flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def wait_for(self, evaluated: int, limit: float = 120.0) -> None:
        """Until so many are evaluated, or the driver has ended."""
        end = time.monotonic() + limit
        while count(self.folder) < evaluated and self.process.poll() is None:
            assert time.monotonic() < end, f"only {count(self.folder)} evaluated in {limit} s"
            time.sleep(0.02)

    def children(self) -> list[psutil.Process]:
        """Its worker processes: spawned ones, or those of its raylet that compute."""
        with contextlib.suppress(psutil.NoSuchProcess):
            if self.workers != "ray":
                children = psutil.Process(self.process.pid).children()
                return [child for child in children if _says(child, "spawn_main")]
            raylet = self.raylet()
            if raylet is not None:
                children = raylet.children()
                workers = [child for child in children if _says(child, "ray::")]
                return [worker for worker in workers if not _says(worker, "Agent")]
        return []

    def raylet(self) -> psutil.Process | None:
        """Ray's raylet, where the driver has started one that lives."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children():
                if child.name() == "raylet" and child.status() != psutil.STATUS_ZOMBIE:
                    return child
        return None

    def end(self, limit: float = 180.0) -> tuple[int, str]:
        """Its exit status and what it wrote to stderr."""
        _, errors = self.process.communicate(timeout=limit)
        return self.process.returncode, errors


def people(folder: Path) -> list[Individual]:
    """The individuals of a run; none where it has not begun."""
    try:
        return read(folder)
    except LanceletError:
        return []


def count(folder: Path) -> int:
    """Evaluated individuals of a run."""
    return sum(individual.fitness is not None for individual in people(folder))


def whole(folder: Path, evaluations: int) -> list[Individual]:
    """Exactly so many individuals, numbered without gaps, every one evaluated, and a sound database."""
    individuals = read(folder)
    assert [individual.id for individual in individuals] == list(range(evaluations))
    for individual in individuals:
        assert individual.state in ("evaluated", "invalid")
        assert individual.fitness is not None
    assert sqlite3.connect(folder / NAME).execute("pragma integrity_check").fetchone() == ("ok",)
    return individuals


def _says(process: psutil.Process, text: str) -> bool:
    """Whether the command line of a process holds a text."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return text in " ".join(process.cmdline())
    return False


def strike(victim: str, driver: Driver, rng: random.Random) -> bool:
    """Kill by -9 the driver, one of its workers, or the raylet; False: there is none just now."""
    if victim == "driver":
        driver.process.kill()
        driver.process.wait()
        return True
    if victim == "worker":
        candidates = driver.children()
    else:
        raylet = driver.raylet()
        candidates = [] if raylet is None else [raylet]
    if not candidates:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        rng.choice(candidates).kill()
        return True
    return False


Results = dict[int, tuple[str, float | None]]
"""number of an individual that is done -> its genome, its fitness"""


def _results(individuals: list[Individual]) -> Results:
    """The results that are there."""
    return {
        individual.id: (individual.genome, individual.fitness)
        for individual in individuals
        if individual.fitness is not None
    }


def _kills(done: Counter[str]) -> int:
    """Kills so far."""
    return sum(done[victim] for victim in VICTIMS["ray"])


def kills(
    folder: Path,
    number: int,
    seed: int = 0,
    each: int = 12,
    say: bool = False,
    workers: str = "2",
) -> dict[str, int]:
    """Kill processes of a run at `number` random instants of its life, resuming it as often as it ends; then end it.

    A killed driver has to be resumed; with a killed raylet, it has to say so and end; a killed worker, it survives.

    Args:
        folder: of the run.
        number: of kills, each while the driver lives.
        seed: of the instants and the victims.
        each: individuals that are evaluated between two kills, at most, before a wait of up to 0.2 s.
        say: print a line a kill.
        workers: "2": two processes; "ray": Ray on this machine.

    Raises:
        AssertionError: a result that was there is gone or changed, an id is missing or double, a count is wrong,
            somebody is in quarantine.

    Returns:
        Kills by victim; ``again``: evaluations that were done again after kills of the driver, at most; ``starts given
        up``: sessions that Ray did not begin.
    """
    rng = random.Random(seed)
    known: Results = {}
    done = Counter[str]()
    while _kills(done) < number:
        with Driver(folder, ("--evaluations", FOR_EVER, "--resume"), workers) as driver:
            # The driver outlives a killed worker only: with any other victim the session ends.
            victim = "worker"
            while victim == "worker" and _kills(done) < number:
                driver.wait_for(count(folder) + rng.randrange(each), 900.0)
                time.sleep(rng.uniform(0, 0.2))
                if driver.process.poll() is not None:
                    _check_start_given_up(driver, done, most=5 + number // 10)
                    break
                victim = rng.choice(VICTIMS[workers])
                if not strike(victim, driver, rng):
                    # None is up yet: later.
                    victim = "worker"
                    continue
                if victim == "raylet":
                    status, errors = driver.end()
                    last_line = errors.splitlines()[-1]
                    assert status == 2, errors
                    assert last_line.startswith("error: Ray on this machine is gone"), errors
                done[victim] += 1
                individuals = people(folder)
                known = _check_nothing_lost(individuals, known)
                under_way = sum(individual.state == "born" for individual in individuals)
                assert under_way <= UNDER_WAY
                if victim != "worker":
                    done["again"] += under_way
                if say:
                    line = f"kill {_kills(done)} ({victim}): {len(known)} evaluated"
                    print(f"{line}, {under_way} under way", flush=True)
    evaluations = len(people(folder)) + each
    _run_to_its_end(folder, evaluations, workers)
    assert known.items() <= _results(whole(folder, evaluations)).items()
    assert (folder / "best" / "episode.npz").exists()
    return dict(done)


def _check_start_given_up(driver: Driver, done: Counter[str], most: int) -> None:
    """Check that a driver that has ended by itself did so because Ray gave its start up; count it.

    Ray does so where the machine has too much else to do.

    Args:
        driver: that has ended.
        done: the count is changed in place.
        most: starts that may be given up.
    """
    status, errors = driver.end()
    assert status == 2 and errors.splitlines()[-1].startswith("error: Ray"), errors
    done["starts given up"] += 1
    assert done["starts given up"] <= most, errors


def _check_nothing_lost(individuals: list[Individual], known: Results) -> Results:
    """Check a run after a kill.

    Args:
        individuals: of the run.
        known: results that were there before.

    Returns:
        The results that are there now.
    """
    assert [individual.id for individual in individuals] == list(range(len(individuals)))
    assert all(individual.state != "quarantined" for individual in individuals)
    results = _results(individuals)
    assert known.items() <= results.items()
    return results


def _run_to_its_end(folder: Path, evaluations: int, workers: str) -> None:
    """Resume a run until its budget is spent; once more where Ray gives the start up."""
    for _ in range(2):
        with Driver(folder, ("--evaluations", str(evaluations), "--resume"), workers) as driver:
            status, errors = driver.end(900.0)
        if status == 0 or "error: Ray" not in errors:
            break
    assert status == 0, errors


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", choices=sorted(VICTIMS), default="2")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        killed = kills(
            Path(scratch) / "run", options.kills, options.seed, say=True, workers=options.workers
        )
    again = killed.pop("again", 0)
    print(
        f"{killed}: every result kept, exact counts, nobody quarantined; at most {again} evaluations done again"
    )

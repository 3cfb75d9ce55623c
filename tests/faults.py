"""Drivers of a co-evolution killed at random instants: ``python tests/faults.py --kills 100``; CI does ten."""

from __future__ import annotations

import argparse
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from lancelet import LanceletError
from lancelet.training.individuals import NAME, Individual, read

SHORT = ("--steps", "4", "--episodes", "1", "--population", "6", "--workers", "2", "--deadline", "300")
UNDER_WAY = 3 * 32
"""individuals that may be under way with two slots: as many evaluations may be done again after a kill"""


@dataclass
class Driver:
    """`lancelet coevolve swim` in a process of its own, killed where the context ends before it does."""

    folder: Path
    flags: tuple[str, ...] = ()

    def __enter__(self) -> Driver:
        command = [sys.executable, "-m", "lancelet.scripts.coevolve", "swim", "--folder", str(self.folder)]
        self.process = subprocess.Popen(
            [*command, *SHORT, *self.flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
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

    def end(self, limit: float = 180.0) -> tuple[int, str]:
        """Its exit status and what it wrote to stderr."""
        _, err = self.process.communicate(timeout=limit)
        return self.process.returncode, err


def people(folder: Path) -> list[Individual]:
    """The individuals of a run; none where it has not begun."""
    try:
        return read(folder)
    except LanceletError:
        return []


def count(folder: Path) -> int:
    """Evaluated individuals of a run."""
    return sum(one.fitness is not None for one in people(folder))


def whole(folder: Path, evaluations: int) -> list[Individual]:
    """Exactly so many individuals, numbered without gaps, every one evaluated, and a sound database."""
    found = read(folder)
    assert [one.id for one in found] == list(range(evaluations))
    assert all(one.state in ("evaluated", "invalid") and one.fitness is not None for one in found)
    assert sqlite3.connect(folder / NAME).execute("pragma integrity_check").fetchone() == ("ok",)
    return found


def kills(folder: Path, number: int, seed: int = 0, each: int = 12, say: bool = False) -> int:
    """Kill a driver by -9 at `number` random instants of its life, resuming each time, then let it end.

    Raises:
        AssertionError: a result that was there is gone or changed, an id is missing or double, a count is wrong.

    Returns:
        Evaluations that were done again, all in all.
    """
    rng, known, again = random.Random(seed), dict[int, tuple[str, float]](), 0
    evaluations = each * (number + 1)
    for k in range(number):
        with Driver(folder, ("--evaluations", str(evaluations), "--resume")) as driver:
            driver.wait_for(count(folder) + rng.randrange(each))
            time.sleep(rng.uniform(0, 0.2))
            driver.process.kill()
            driver.process.wait()
        found = people(folder)
        assert [one.id for one in found] == list(range(len(found)))
        results = {one.id: (one.genome, one.fitness) for one in found if one.fitness is not None}
        assert known.items() <= results.items()
        under_way = sum(one.state == "born" for one in found)
        assert under_way <= UNDER_WAY
        known, again = results, again + under_way
        if say:
            print(f"kill {k + 1}: {len(results)} evaluated, {under_way} under way", flush=True)
    with Driver(folder, ("--evaluations", str(evaluations), "--resume")) as driver:
        status, err = driver.end()
    assert status == 0, err
    assert known.items() <= {one.id: (one.genome, one.fitness) for one in whole(folder, evaluations)}.items()
    return again


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        done = kills(Path(scratch) / "run", options.kills, options.seed, say=True)
    print(f"{options.kills} kills: every result kept, exact counts; at most {done} evaluations done again")

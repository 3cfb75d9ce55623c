"""Model K: the compiled sweep against a plain C loop of the same arithmetic; both cores; early ends."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lancelet.envs.kinematic import DT, STARTS, STEPS, distances, grid
from lancelet.morphology.braitenberg import CANONICAL, design
from lancelet.scripts.benches._timing import Times, take_turns
from lancelet.scripts.rows import Row, at_least

SOURCE = r"""
#include <math.h>
void rollouts(const double *body, const double *weights, const double *starts, long policies, long environments,
              long steps, double dt, double *out) {
  for (long i = 0; i < policies * environments; i++) {
    const double *w = weights + 2 * (i / environments), *start = starts + 2 * (i % environments);
    double x = start[0], y = start[1], a = 0, best = x * x + y * y;
    for (long t = 0; t < steps; t++) {
      double c = cos(a), s = sin(a);
      double ax = x + (c * body[0] - s * body[1]), ay = y + (s * body[0] + c * body[1]);
      double bx = x + (c * body[2] - s * body[3]), by = y + (s * body[2] + c * body[3]);
      double m1 = w[0] / (bx * bx + by * by), m2 = w[1] / (ax * ax + ay * ay), v = dt * 0.5 * (m1 + m2);
      x += v * c; y += v * s; a += dt * (m2 - m1);
      double d = x * x + y * y;
      if (d < best) best = d;
    }
    out[i] = sqrt(best);
  }
}
"""
"""Model K in C: the arithmetic of `lancelet.envs.kinematic`, with the library's cosines and without early ends"""
FLAGS = ("-O2", "-O3 -march=native")
"""flags of the C compiler, each of which makes a peer"""
GRID = 9
"""weights a side of the policy grid"""
QUICK_GRID = 5
"""weights a side of the policy grid of a quick bench"""
ROUNDS = 7
QUICK_ROUNDS = 3
TARGET = 0.8
"""least ratio of our rate to that of C"""
TIMES_THE_GRID = 3
"""copies of the grid that keep all cores busy long enough to be measured"""
MILLION = 1e6


def run(quick: bool) -> list[Row]:
    """All rows; `quick` takes fewer policies and rounds."""
    weights = grid(QUICK_GRID if quick else GRID)
    rounds = QUICK_ROUNDS if quick else ROUNDS
    rows = []
    for name, body in {"canonical": np.array(CANONICAL), "diagonal": design(80)}.items():
        rows += _body_rows(name, body, weights, rounds)
    return [*rows, _both_cores(weights)]


def _body_rows(name: str, body: np.ndarray, weights: np.ndarray, rounds: int) -> list[Row]:
    """Rows of one body.

    Args:
        name: what the body is called in the rows.
        body: placement of its sensors, m, (4,).
        weights: policies (n, 2).
        rounds: rounds that are timed.
    """
    contenders: dict[str, Callable[[], object]] = {
        "whole": lambda: distances(body, weights, whole=True, threads=1),
        "both": lambda: distances(body, weights, whole=True, threads=2),
        "early": lambda: distances(body, weights, threads=1),
    }
    with tempfile.TemporaryDirectory() as folder:
        for flags in FLAGS:
            loop_in_c = _compiled(Path(folder), flags, body, weights)
            if loop_in_c is not None:
                contenders[flags] = loop_in_c
        times = take_turns(rounds, None, **contenders)
    steps = len(weights) * len(STARTS) * STEPS
    rows = [_row_against_c(name, flags, times, steps) for flags in FLAGS]

    value, interval = times.ratio("whole", "both")
    rate = times.rate("both", steps) / MILLION
    row = Row(
        name=f"Model K, {name} body, two threads vs one",
        kind="info",
        value=value,
        interval=interval,
        note=f"{rate:,.0f} million Euler steps/s; 2 on a quiet machine of two cores",
    )
    rows.append(row)

    value, interval = times.ratio("whole", "early")
    row = Row(
        name=f"Model K, {name} body, with early ends vs all steps",
        kind="info",
        value=value,
        interval=interval,
        note="rollouts end where no later step can change their least distance: the same numbers to the bit",
    )
    rows.append(row)
    return rows


def _row_against_c(name: str, flags: str, times: Times, steps: int) -> Row:
    """Our compiled sweep against the C loop.

    Args:
        name: what the body is called.
        flags: flags that the C loop was compiled with.
        times: what was measured.
        steps: Euler steps of a round.
    """
    title = f"Model K, {name} body, one core, all steps, vs a plain C loop (cc {flags})"
    if flags not in times.seconds:
        return Row(title, "speed", note="not run: no C compiler (cc) here")
    value, interval = times.ratio(flags, "whole")
    ours = times.rate("whole", steps) / MILLION
    theirs = times.rate(flags, steps) / MILLION
    note = f"{ours:,.0f} against {theirs:,.0f} million Euler steps/s, the fastest round of each"
    return at_least(title, "speed", value, TARGET, interval=interval, note=note)


def _both_cores(weights: np.ndarray) -> Row:
    """CPU seconds a second of wall time with the default number of threads."""
    many_weights = np.tile(weights, (TIMES_THE_GRID, 1))
    wall_begin = time.perf_counter()
    cpu_begin = time.process_time()
    distances(CANONICAL, many_weights, whole=True)
    cores = (time.process_time() - cpu_begin) / (time.perf_counter() - wall_begin)
    return Row(
        "Model K, default threads: cores busy", "info", cores, note="CPU time over wall time"
    )


def _compiled(
    folder: Path, flags: str, body: np.ndarray, weights: np.ndarray
) -> Callable[[], np.ndarray] | None:
    """Compile the C loop over the whole grid.

    Args:
        folder: where the source and the library go.
        flags: flags of the compiler, one of `FLAGS`.
        body: placement of the sensors, m, (4,).
        weights: policies (n, 2).

    Returns:
        A function that returns least distances in m, (n, 4); None where there is no compiler, or it fails.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    source = folder / "k.c"
    # A name of its own for each: a library that is loaded must not be written over.
    library = folder / f"k{FLAGS.index(flags)}.so"
    source.write_text(SOURCE)
    compilation = subprocess.run(
        [compiler, *flags.split(), "-shared", "-fPIC", str(source), "-o", str(library), "-lm"],
        capture_output=True,
    )
    if compilation.returncode != 0:
        return None
    loop = ctypes.CDLL(str(library)).rollouts
    array = np.ctypeslib.ndpointer(np.float64, flags="C")
    type_of = {
        "body": array,
        "weights": array,
        "starts": array,
        "policies": ctypes.c_long,
        "environments": ctypes.c_long,
        "steps": ctypes.c_long,
        "dt": ctypes.c_double,
        "out": array,
    }
    loop.argtypes = list(type_of.values())
    loop.restype = None
    starts = np.ascontiguousarray(STARTS)
    out = np.empty(len(weights) * len(STARTS))

    def call() -> np.ndarray:
        loop(body, weights, starts, len(weights), len(STARTS), STEPS, DT, out)
        return out.reshape(len(weights), len(STARTS))

    return call

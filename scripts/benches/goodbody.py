"""Model K: the compiled sweep against a plain C loop of the same arithmetic; both cores; early ends."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lancelet.envs.kinematic import DT, STARTS, STEPS, distances, grid
from lancelet.morphology.braitenberg import CANONICAL, design
from lancelet.scripts.benches._timing import take_turns
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
FLAGS = ("-O2", "-O3 -march=native")


def run(quick: bool) -> list[Row]:
    """All rows; `quick` takes fewer policies and rounds."""
    weights, rounds = grid(5 if quick else 9), 3 if quick else 7
    count = len(weights) * len(STARTS) * STEPS
    rows = []
    for name, body in {"canonical": np.array(CANONICAL), "diagonal": design(80)}.items():
        contenders: dict[str, Any] = {
            "whole": lambda body=body: distances(body, weights, whole=True, threads=1),
            "both": lambda body=body: distances(body, weights, whole=True, threads=2),
            "early": lambda body=body: distances(body, weights, threads=1),
        }
        with tempfile.TemporaryDirectory() as folder:
            built = {flags: _compiled(Path(folder), flags, body, weights) for flags in FLAGS}
            contenders |= {flags: call for flags, call in built.items() if call is not None}
            times = take_turns(rounds, **contenders)
        for flags, call in built.items():
            title = f"Model K, {name} body, one core, all steps, vs a plain C loop (cc {flags})"
            if call is None:
                rows.append(Row(title, "speed", note="not run: no C compiler (cc) here"))
                continue
            value, interval = times.ratio(flags, "whole")
            ours, theirs = (times.rate(key, count) / 1e6 for key in ("whole", flags))
            note = f"{ours:,.0f} against {theirs:,.0f} million Euler steps/s"
            rows.append(
                at_least(
                    title,
                    "speed",
                    value,
                    0.8,
                    interval=interval,
                    note=f"{note}, the fastest round of each",
                )
            )
        value, interval = times.ratio("whole", "both")
        note = f"{times.rate('both', count) / 1e6:,.0f} million Euler steps/s; 2 on a quiet machine of two cores"
        rows.append(
            Row(
                f"Model K, {name} body, two threads vs one",
                "info",
                value,
                interval=interval,
                note=note,
            )
        )
        value, interval = times.ratio("whole", "early")
        note = "rollouts end where no later step can change their least distance: the same numbers to the bit"
        rows.append(
            Row(
                f"Model K, {name} body, with early ends vs all steps",
                "info",
                value,
                interval=interval,
                note=note,
            )
        )
    return [*rows, _both_cores(weights)]


def _both_cores(weights: np.ndarray) -> Row:
    """CPU seconds a second of wall time with the default number of threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    distances(CANONICAL, np.tile(weights, (3, 1)), whole=True)
    value = (time.process_time() - cpu) / (time.perf_counter() - wall)
    return Row(
        "Model K, default threads: cores busy", "info", value, note="CPU time over wall time"
    )


def _compiled(
    folder: Path, flags: str, body: np.ndarray, weights: np.ndarray
) -> Callable[[], np.ndarray] | None:
    """The C loop over the whole grid as a call; None without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    source, library = folder / "k.c", folder / f"k{FLAGS.index(flags)}.so"
    source.write_text(SOURCE)
    done = subprocess.run(
        [compiler, *flags.split(), "-shared", "-fPIC", str(source), "-o", str(library), "-lm"],
        capture_output=True,
    )
    if done.returncode:
        return None
    loop = ctypes.CDLL(str(library)).rollouts
    array = np.ctypeslib.ndpointer(np.float64, flags="C")
    loop.argtypes = [
        array,
        array,
        array,
        ctypes.c_long,
        ctypes.c_long,
        ctypes.c_long,
        ctypes.c_double,
        array,
    ]
    loop.restype = None
    out, starts = np.empty(len(weights) * len(STARTS)), np.ascontiguousarray(STARTS)

    def call() -> np.ndarray:
        loop(body, weights, starts, len(weights), len(STARTS), STEPS, DT, out)
        return out.reshape(len(weights), len(STARTS))

    return call

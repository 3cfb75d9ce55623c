"""A reference that moves in steps, and what is measured of the response: used by tasks that track one number."""

from __future__ import annotations

import numpy as np

LEVELS, SIZES, HOLDS, COUNT = (0.4, 1.8), (0.3, 1.0), (20.0, 35.0), 64
"""of the recording flights: m; m; s; steps drawn, enough for 20 minutes (spec blimp_snn 5)"""
WINDOW, TAIL, SETTLING = 20.0, 10.0, 30.0
"""s, that oscillation, steady-state error and overshoot look at"""


def recording(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Times (s) and levels (m), `COUNT` each, of a recording flight."""
    times = np.concatenate([[0.0], np.cumsum(rng.uniform(*HOLDS, COUNT - 1))])
    levels = [rng.uniform(*LEVELS)]
    while len(levels) < COUNT:
        level = levels[-1] + rng.uniform(*SIZES) * rng.choice((-1, 1))
        if LEVELS[0] <= level <= LEVELS[1]:
            levels.append(level)
    return times, np.array(levels)


def memory(n: int, period: float) -> dict[str, np.ndarray]:
    """State of the measurement of `n` responses sampled every `period` s; nan: not yet."""
    numbers: dict[str, np.ndarray] = {
        name: np.zeros(n) for name in ("origin", "since", "overshoot")
    }
    never = {name: np.full(n, np.nan) for name in ("rise10", "rise90")}
    samples = {
        "samples": np.zeros(n, np.int64),
        "errors": np.full((n, round(WINDOW / period)), np.nan),
    }
    return {**numbers, **never, **samples}


def step(memory: dict[str, np.ndarray], rows: np.ndarray, value: np.ndarray) -> None:
    """The reference of `rows` (mask or ids) has just stepped, from measured `value` (n,)."""
    memory["origin"][rows], memory["since"][rows] = value[rows], 0.0
    memory["rise10"][rows] = memory["rise90"][rows] = np.nan


def respond(
    memory: dict[str, np.ndarray], reference: np.ndarray, value: np.ndarray, period: float
) -> None:
    """Take in one more sample of `value` (n,) under `reference` (n,)."""
    error, whole = reference - value, reference - memory["origin"]
    memory["since"] += period
    memory["errors"][np.arange(len(error)), memory["samples"] % memory["errors"].shape[1]] = error
    memory["samples"] += 1
    beyond = np.where(memory["since"] <= SETTLING, -np.sign(whole) * error, 0.0)
    np.maximum(memory["overshoot"], beyond, out=memory["overshoot"])
    made = (value - memory["origin"]) * np.sign(whole)
    for name, part in (("rise10", 0.1), ("rise90", 0.9)):
        first = np.isnan(memory[name]) & (made >= part * np.abs(whole))
        memory[name][first] = memory["since"][first]


def figures(memory: dict[str, np.ndarray], period: float) -> dict[str, np.ndarray]:
    """Figures of every response so far, (n,) each.

    ``steady_state_error`` mean size of the error over the last 10 s; ``overshoot`` largest error of opposite sign
    within 30 s of a step, 0 where none; ``rise_time`` s from 10 to 90 % of the last step, or the time since that
    step where the response has not got there; ``oscillation`` half the distance between the largest and the least
    error of the last 20 s.
    """
    errors = np.where(
        memory["samples"][:, None] > 0, memory["errors"], 0.0
    )  # nothing to tell before the first
    size = errors.shape[1]
    ages = (memory["samples"][:, None] - 1 - np.arange(size)) % size
    late = np.where(ages < round(TAIL / period), errors, np.nan)
    rise = memory["rise90"] - memory["rise10"]
    return {
        "steady_state_error": np.nanmean(np.abs(late), axis=1),
        "overshoot": memory["overshoot"].copy(),
        "rise_time": np.where(np.isnan(rise), memory["since"], rise),
        "oscillation": (np.nanmax(errors, axis=1) - np.nanmin(errors, axis=1)) / 2,
    }

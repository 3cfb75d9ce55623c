"""A reference that moves in steps, and what is measured of the response: used by tasks that track one number.

A response is measured in a dictionary of arrays with one row a simulation, made by `memory` and changed in place by
`step` and `respond`; `figures` reads it (docs/systems/blimp.md, "The flight").
"""

from __future__ import annotations

import numpy as np

LOWEST_LEVEL = 0.4
"""m, of a recording flight's reference"""
HIGHEST_LEVEL = 1.8
"""m, of a recording flight's reference"""
SMALLEST_STEP = 0.3
"""m, of a recording flight's reference"""
LARGEST_STEP = 1.0
"""m, of a recording flight's reference"""
SHORTEST_HOLD = 20.0
"""s that the reference stays at a level"""
LONGEST_HOLD = 35.0
"""s that the reference stays at a level"""
COUNT = 64
"""levels that are drawn: enough for 20 minutes"""

OSCILLATION_WINDOW = 20.0
"""s at the end of a response, over which its oscillation is measured; so many errors are remembered"""
STEADY_WINDOW = 10.0
"""s at the end of a response, over which its steady-state error is a mean"""
OVERSHOOT_WINDOW = 30.0
"""s after a step within which an overshoot counts"""
RISE_BEGINS = 0.1
"""part of a step at which the rise time begins"""
RISE_ENDS = 0.9
"""part of a step at which the rise time ends"""

Response = dict[str, np.ndarray]


def recording(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the reference of a recording flight.

    Returns:
        Times (s) at which the reference steps, the first of them 0, and the levels (m) it steps to, `COUNT` each.
    """
    holds = rng.uniform(SHORTEST_HOLD, LONGEST_HOLD, COUNT - 1)
    times = np.concatenate([[0.0], np.cumsum(holds)])
    levels = [rng.uniform(LOWEST_LEVEL, HIGHEST_LEVEL)]
    while len(levels) < COUNT:
        # A step that leads out of the range is drawn again.
        size = rng.uniform(SMALLEST_STEP, LARGEST_STEP)
        level = levels[-1] + size * rng.choice((-1, 1))
        if LOWEST_LEVEL <= level <= HIGHEST_LEVEL:
            levels.append(level)
    return times, np.array(levels)


def memory(n: int, period: float) -> Response:
    """The measurement of `n` responses, before their first sample.

    Args:
        n: number of simulations.
        period: s between two samples.

    Returns:
        ``origin`` (n,) value at the last step of the reference; ``since`` (n,) s since that step; ``overshoot`` (n,)
        the largest so far; ``rise10`` and ``rise90`` (n,) s after the step at which 10 and 90 % of it were made, NaN
        if not yet; ``samples`` (n,) their number; ``errors`` (n, samples in 20 s) the last ones as a ring.
    """
    remembered = round(OSCILLATION_WINDOW / period)
    return {
        "origin": np.zeros(n),
        "since": np.zeros(n),
        "overshoot": np.zeros(n),
        "rise10": np.full(n, np.nan),
        "rise90": np.full(n, np.nan),
        "samples": np.zeros(n, np.int64),
        "errors": np.full((n, remembered), np.nan),
    }


def step(memory: Response, rows: np.ndarray, value: np.ndarray) -> None:
    """Note, in place, that the reference of some simulations has just stepped.

    Args:
        memory: of the responses.
        rows: mask (n,) or ids of the simulations.
        value: (n,) what is measured at that moment.
    """
    memory["origin"][rows] = value[rows]
    memory["since"][rows] = 0.0
    memory["rise10"][rows] = np.nan
    memory["rise90"][rows] = np.nan


def respond(memory: Response, reference: np.ndarray, value: np.ndarray, period: float) -> None:
    """Take in one more sample of every response, in place.

    Args:
        memory: of the responses.
        reference: (n,) that holds for this sample.
        value: (n,) measured.
        period: s since the last sample.
    """
    error = reference - value
    whole_step = reference - memory["origin"]
    direction = np.sign(whole_step)
    memory["since"] += period

    remembered = memory["errors"].shape[1]
    slot = memory["samples"] % remembered
    memory["errors"][np.arange(len(error)), slot] = error
    memory["samples"] += 1

    counts = memory["since"] <= OVERSHOOT_WINDOW
    beyond = np.where(counts, -direction * error, 0.0)
    np.maximum(memory["overshoot"], beyond, out=memory["overshoot"])

    progress = (value - memory["origin"]) * direction
    for name, part in (("rise10", RISE_BEGINS), ("rise90", RISE_ENDS)):
        just_reached = np.isnan(memory[name]) & (progress >= part * np.abs(whole_step))
        memory[name][just_reached] = memory["since"][just_reached]


def figures(memory: Response, period: float) -> dict[str, np.ndarray]:
    """Figures of every response so far, (n,) each.

    ``steady_state_error`` mean size of the error over the last 10 s; ``overshoot`` largest error of opposite sign
    within 30 s of a step, 0 where none; ``rise_time`` s from 10 to 90 % of the last step, or the time since that
    step where the response has not got there; ``oscillation`` half the distance between the largest and the least
    error of the last 20 s.
    """
    samples = memory["samples"][:, None]
    # Before the first sample there are no errors: 0 in place of NaN, which would warn of an empty mean.
    errors = np.where(samples > 0, memory["errors"], 0.0)
    remembered = errors.shape[1]
    # Age of every slot of the ring, in samples: 0 for the last one written.
    ages = (samples - 1 - np.arange(remembered)) % remembered
    late_errors = np.where(ages < round(STEADY_WINDOW / period), errors, np.nan)
    rise_time = memory["rise90"] - memory["rise10"]
    return {
        "steady_state_error": np.nanmean(np.abs(late_errors), axis=1),
        "overshoot": memory["overshoot"].copy(),
        "rise_time": np.where(np.isnan(rise_time), memory["since"], rise_time),
        "oscillation": (np.nanmax(errors, axis=1) - np.nanmin(errors, axis=1)) / 2,
    }

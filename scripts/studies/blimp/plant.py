"""The blimp itself: gate G2, and the plant held against one logged flight of the real one.

The plant and its figures: docs/systems/blimp.md, "The flight" and "The plant".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lancelet import controllers, morphology
from lancelet.controllers import Controller, Population
from lancelet.morphology.blimp import CALIBRATED, Blimp
from lancelet.scripts.rows import Row, at_most
from lancelet.scripts.study import Study
from lancelet.training.rollout import make_env, rollout

TASK = "lancelet/BlimpAltitude-v0"
PERIOD = 0.1
"""s, one control step"""
RATE = 10
"""control steps a second"""
HEAVY = 3.0
"""command units of ballast in the flights of the paper, by the logs"""
FREE: dict[str, Any] = {"dead_zone": 0.0, "pwm": 0.0, "lidar_step": 0.0}
"""quantities of a blimp without dead zone, without counts of its motor driver, and whose LiDAR has no steps"""
FITTED = tuple(CALIBRATED)
"""quantities that `calibrate` fits"""
LARGEST_MISFIT = 25
"""square of a distance in units of `Logged.unit`; greater ones count as this, so that one figure cannot drown the rest"""
SPECTRUM_SIZE = 8192
"""points of the Fourier transform that finds a period: zeros behind the signal make its bins fine"""
FIRST_BIN = 10
"""of the spectrum in which a period is looked for: 82 s; slower ones are drift"""

Profile = tuple[tuple[float, float], ...]
"""a reference over time: (s, m) of every step, the first at 0 s"""


class Logged(NamedTuple):
    """A figure of the real flights."""

    value: float
    unit: float
    """How far off counts as one in the misfit."""
    meaning: str
    """Unit and meaning of the value, in words."""


LOGGED = {
    "delay": Logged(0.55, 0.15, "s until the height has risen by 2 cm"),
    "rise": Logged(3.0, 0.3, "s from 10 to 90 %"),
    "climb": Logged(0.34, 0.03, "m/s, fastest"),
    "climb at": Logged(1.6, 0.3, "s after the step"),
    "peak": Logged(0.06, 0.03, "m beyond the reference, first 15 s"),
    "amplitude": Logged(0.0625, 0.01, "m, of the limit cycle"),
    "period": Logged(7.45, 0.4, "s, of the limit cycle"),
    "PID up": Logged(0.14, 0.02, "m, overshoot of PID with ballast, step up (R7)"),
    "PID down": Logged(0.20, 0.03, "m, the same, step down (R7)"),
    "PID error": Logged(0.005, 0.01, "m, steady state with ballast"),
    "PD droop": Logged(0.33, 0.03, "m, PD alone with ballast"),
}
"""what was logged or published; `features` gives the same figures of a plant, in this order"""


def pid(ki: float = 0.75, **options: Any) -> Controller:
    """The reference controller (docs/systems/blimp.md, "The controllers").

    Args:
        ki: gain of the integral, command units per m s; 0 makes it a PD.
        **options: further ones of the controller.
    """
    return controllers.make("pid", make_env(TASK, 1), ki=ki, **options)


def heights(
    bodies: Sequence[Blimp],
    controller: Controller,
    steps: int,
    reference: float | Profile,
    ballast: float = 0.0,
) -> np.ndarray:
    """What the LiDAR of each body measures during one flight.

    Args:
        bodies: the blimps, which fly side by side.
        controller: flies all of them.
        steps: control steps of the flight.
        reference: m, constant or a profile.
        ballast: command units.

    Returns:
        m after each step, (bodies, steps).
    """
    env: Any = make_env(
        TASK,
        len(bodies),
        max_episode_steps=steps,
        body=list(bodies),
        reference=reference,
        ballast=ballast,
    )
    errors: list[np.ndarray] = []

    def record_error(_: int) -> None:
        errors.append(env.task.observe(env.sim, env.memory)[:, 0])

    rollout(env, Population(controller, len(bodies)), 0, on_step=record_error)
    # The observation is reference - height: the height is what is missing to the reference.
    return level_at(_times(steps), reference) - np.stack(errors, axis=1)


def _times(steps: int) -> np.ndarray:
    """Times after each control step, s, (steps,)."""
    return np.arange(1, steps + 1) * PERIOD


def level_at(times: np.ndarray, reference: float | Profile) -> np.ndarray:
    """The reference (m) at times (s), (n,): that of the last step before or at each time."""
    steps = ((0.0, reference),) if isinstance(reference, float) else reference
    profile = np.array(steps)
    step_times = profile[:, 0]
    levels = profile[:, 1]
    # Multiples of 0.1 are not exact: a time that should be that of a step may lie a rounding error before it.
    last_step = np.searchsorted(step_times, times + 1e-9, side="right") - 1
    return levels[last_step]


def features(bodies: Sequence[Blimp]) -> np.ndarray:
    """The figures of `LOGGED` for each body, in its order, (bodies, 11).

    Three flights give them: a step of 1 m under PD, neutral; steps up and down under PID with ballast; and PD with
    ballast.
    """
    proportional_derivative = pid(ki=0.0)
    step_up = ((0.0, 1.0), (PERIOD, 2.0))
    # The reference steps after the first sample, which is left out.
    after_step = heights(bodies, proportional_derivative, 700, reference=step_up)[:, 1:]
    responses = [_step_response(height - 1.0) for height in after_step]
    figures: dict[str, Any] = {}
    for name in responses[0]:
        figures[name] = np.array([response[name] for response in responses])

    up_and_down = ((0.0, 1.0), (50.0, 1.5), (100.0, 1.0))
    height = heights(bodies, pid(), 1500, reference=up_and_down, ballast=HEAVY)
    figures["PID up"] = (_between(height, 50, 80) - 1.5).max(1)
    figures["PID down"] = (1.0 - _between(height, 100, 130)).max(1)
    # The last 10 s at each level.
    steady_errors = [
        np.abs(_between(height, 40, 50) - 1.0).mean(1),
        np.abs(_between(height, 90, 100) - 1.5).mean(1),
        np.abs(_between(height, 140, 150) - 1.0).mean(1),
    ]
    figures["PID error"] = np.mean(steady_errors, axis=0)

    drooping = heights(bodies, proportional_derivative, 400, reference=1.0, ballast=HEAVY)
    figures["PD droop"] = 1.0 - _between(drooping, 30, 40).mean(1)
    return np.column_stack([figures[name] for name in LOGGED])


def _between(height: np.ndarray, begin: int, end: int) -> np.ndarray:
    """The samples (bodies, samples) of a flight between two times, s."""
    return height[:, begin * RATE : end * RATE]


def _step_response(rise: np.ndarray) -> dict[str, float]:
    """Figures of a flight after a step of 1 m.

    Args:
        rise: m above the start after each step of 0.1 s, (steps,).
    """
    times = _times(len(rise))
    first_time = {level: times[np.argmax(rise >= level)] for level in (0.02, 0.1, 0.9)}
    # The LiDAR has steps of 1 cm: speeds are taken of a mean over three samples, which lie around their middle one.
    smooth = np.convolve(rise, np.ones(3) / 3, "valid")
    climb = np.gradient(smooth, PERIOD)[: 6 * RATE]
    # After 25 s the blimp swings for ever. Percentiles instead of extremes: a single sample counts for little.
    limit_cycle = rise[25 * RATE :] - 1.0
    low, high = np.percentile(limit_cycle, (0.5, 99.5))
    return {
        "delay": first_time[0.02],
        "rise": first_time[0.9] - first_time[0.1],
        "climb": climb.max(),
        "climb at": times[1 + np.argmax(climb)],
        "peak": rise[: 15 * RATE].max() - 1.0,
        "amplitude": (high - low) / 2,
        "period": period(limit_cycle),
    }


def period(signal: np.ndarray) -> float:
    """Strongest period of a signal sampled every `PERIOD`, s, up to 82 s."""
    windowed = (signal - signal.mean()) * np.hanning(len(signal))
    spectrum = np.abs(np.fft.rfft(windowed, SPECTRUM_SIZE))
    strongest = FIRST_BIN + np.argmax(spectrum[FIRST_BIN:])
    frequencies = np.fft.rfftfreq(SPECTRUM_SIZE, PERIOD)
    return float(1 / frequencies[strongest])


def misfit(figures: np.ndarray) -> np.ndarray:
    """Mean squared distance of `features` from `LOGGED`, each in its own unit and at most 25.

    Args:
        figures: (bodies, 11).

    Returns:
        (bodies,).
    """
    logged = np.array([figure.value for figure in LOGGED.values()], float)
    units = np.array([figure.unit for figure in LOGGED.values()], float)
    distance = (figures - logged) / units
    # A steady-state error below the logged one is no misfit.
    error = list(LOGGED).index("PID error")
    distance[:, error] = np.maximum(distance[:, error], 0)
    return np.minimum(distance**2, LARGEST_MISFIT).mean(1)


def calibrate(study: Study, generations: int = 24) -> Blimp:
    """Fit the quantities of `CALIBRATED` by differential evolution within their ranges; this takes minutes.

    Args:
        study: says what was found.
        generations: of the differential evolution.
    """
    # Imported here: a full study alone calibrates.
    from scipy.optimize import differential_evolution

    from lancelet.training.runs.progress import progress

    bounds = morphology.ranges(Blimp)

    def misfits(columns: np.ndarray) -> np.ndarray:
        """Misfit of every candidate, a column each."""
        # All candidates of a generation fly side by side, in one call.
        return misfit(features([_blimp(values) for values in columns.T]))

    with progress("calibrating", generations, "gen") as advance:
        result = differential_evolution(
            misfits,
            [bounds[name] for name in FITTED],
            popsize=6,
            maxiter=generations,
            vectorized=True,
            updating="deferred",
            rng=0,
            polish=False,
            init="sobol",
            callback=lambda intermediate_result: advance(),
        )
    quantities = [f"{name} {value:.4g}" for name, value in zip(FITTED, result.x, strict=True)]
    study.say(f"  calibrated: {', '.join(quantities)}")
    return _blimp(result.x)


def _blimp(values: np.ndarray) -> Blimp:
    """The blimp with these values of the `FITTED` quantities."""
    quantities: dict[str, Any] = {
        name: float(value) for name, value in zip(FITTED, values, strict=True)
    }
    return Blimp(**quantities)


def plant(study: Study) -> None:
    """Add the rows of gate G2 on the nominal plant, and of both sets of quantities beside the logs."""
    quantities: dict[str, Any] = dict(CALIBRATED)
    calibrated = calibrate(study) if study.size == "full" else Blimp(**quantities)
    bodies = {"nominal": Blimp(), "calibrated": calibrated, "free": Blimp(**FREE)}
    table = features(list(bodies.values()))
    figures = {
        body: dict(zip(LOGGED, row, strict=True)) for body, row in zip(bodies, table, strict=True)
    }
    _add_gate(study, figures["nominal"], figures["free"]["amplitude"])
    for name, logged in LOGGED.items():
        nominal = figures["nominal"][name]
        fitted = figures["calibrated"][name]
        study.add(
            Row(
                name=f"plant against the logs: {name}",
                kind="info",
                value=float(fitted),
                reference=logged.value,
                note=f"{logged.meaning}; nominal {nominal:.3g}, calibrated {fitted:.3g}",
            )
        )
    misfits = dict(zip(bodies, misfit(table), strict=True))
    note = (
        f"mean square, in the units of LOGGED; nominal {misfits['nominal']:.2f}, "
        f"calibrated {misfits['calibrated']:.2f}"
    )
    name = "plant against the logs: misfit"
    study.add(Row(name, "info", float(misfits["calibrated"]), note=note))


def _add_gate(study: Study, nominal: dict[str, float], free_amplitude: float) -> None:
    """G2: the plant flies as the logs do, and its limit cycle is gone without dead zone and centimetres.

    Args:
        study: takes the rows.
        nominal: figures of the nominal plant by name.
        free_amplitude: m, limit cycle of the plant without dead zone, counts and centimetres.
    """
    note = "nominal plant; one deterministic flight"
    study.within(
        "G2 PD, +1 m: rise (s)",
        "gate",
        nominal["rise"],
        low=2.5,
        high=3.5,
        reference=3.0,
        note=note,
    )
    study.within(
        "G2 PD: limit cycle (m)",
        "gate",
        nominal["amplitude"],
        low=0.04,
        high=0.08,
        reference="0.055 .. 0.07",
        note=note,
    )
    study.within(
        "G2 PD: period (s)",
        "gate",
        nominal["period"],
        low=6,
        high=10,
        reference="7.3 .. 7.6",
        note=note,
    )
    name = "G2 PD without dead zone, counts and centimetres: limit cycle (m)"
    study.add(at_most(name, "gate", free_amplitude, 0.002))
    study.within(
        "G2 PID with ballast: larger overshoot (m)",
        "gate",
        max(nominal["PID up"], nominal["PID down"]),
        low=0.10,
        high=0.25,
        reference="0.14 up, 0.20 down",
        note=note,
    )
    name = "G2 PID with ballast: steady-state error (m)"
    study.add(at_most(name, "gate", nominal["PID error"], 0.01, note=note))
    study.within(
        "G2 PD with ballast: droop (m)",
        "gate",
        nominal["PD droop"],
        low=0.30,
        high=0.36,
        reference=0.33,
        note=note,
    )

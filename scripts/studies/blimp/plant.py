"""The blimp itself: gate G2, and the plant held against one logged flight of the real one.

The plant and its figures: docs/systems/blimp.md, "The plant".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lancelet import controllers, morphology
from lancelet.controllers import Controller, Population
from lancelet.morphology.blimp import CALIBRATED, Blimp
from lancelet.scripts.rows import Row, at_most
from lancelet.scripts.study import Study
from lancelet.training.rollout import make_env, rollout

TASK, PERIOD = "lancelet/BlimpAltitude-v0", 0.1
HEAVY = 3.0
"""command units of ballast in the flights of the paper, by the logs"""
FREE: dict[str, Any] = {"dead_zone": 0.0, "pwm": 0.0, "lidar_step": 0.0}
"""no dead zone, no counts, no centimetres"""
LOGGED = {
    "delay": (0.55, 0.15, "s until the height has risen by 2 cm"),
    "rise": (3.0, 0.3, "s from 10 to 90 %"),
    "climb": (0.34, 0.03, "m/s, fastest"),
    "climb at": (1.6, 0.3, "s after the step"),
    "peak": (0.06, 0.03, "m beyond the reference, first 15 s"),
    "amplitude": (0.0625, 0.01, "m, of the limit cycle"),
    "period": (7.45, 0.4, "s, of the limit cycle"),
    "PID up": (0.14, 0.02, "m, overshoot of PID with ballast, step up (R7)"),
    "PID down": (0.20, 0.03, "m, the same, step down (R7)"),
    "PID error": (0.005, 0.01, "m, steady state with ballast"),
    "PD droop": (0.33, 0.03, "m, PD alone with ballast"),
}
"""what was logged or published, how far off counts as one, and what it is"""
FITTED = tuple(CALIBRATED)


def pid(ki: float = 0.75, **options: Any) -> Controller:
    """The reference controller; without `ki` a PD."""
    return controllers.make("pid", make_env(TASK, 1), ki=ki, **options)


def heights(bodies: Sequence[Blimp], controller: Controller, steps: int, **task: Any) -> np.ndarray:
    """What the LiDAR of each body told, (bodies, steps), in one flight under `controller`."""
    env = make_env(TASK, len(bodies), max_episode_steps=steps, body=list(bodies), **task)
    seen: list[np.ndarray] = []

    def look(_: int) -> None:
        observed: Any = env.task.observe(env.sim, env.memory)
        seen.append(observed[:, 0])

    rollout(env, Population(controller, len(bodies)), 0, on_step=look)
    times = np.arange(1, steps + 1) * PERIOD
    reference = task["reference"]
    profile = np.array([(0.0, reference)] if isinstance(reference, float) else reference)
    level = profile[np.searchsorted(profile[:, 0], times + 1e-9, side="right") - 1, 1]
    return level - np.stack(seen, axis=1)


def features(bodies: Sequence[Blimp]) -> np.ndarray:
    """The figures of `LOGGED`, (bodies, 11), in three flights each."""
    pd, whole = pid(ki=0.0), pid()
    step = heights(bodies, pd, 700, reference=((0.0, 1.0), (PERIOD, 2.0)))[:, 1:]
    out = np.array([_step_response(row - 1.0) for row in step])
    held = heights(
        bodies, whole, 1500, reference=((0.0, 1.0), (50.0, 1.5), (100.0, 1.0)), ballast=HEAVY
    )
    up, down = (held[:, 500:800] - 1.5).max(1), (1.0 - held[:, 1000:1300]).max(1)
    ends = ((slice(400, 500), 1.0), (slice(900, 1000), 1.5), (slice(1400, 1500), 1.0))
    error = np.mean([np.abs(held[:, part] - level).mean(1) for part, level in ends], axis=0)
    droop = 1.0 - heights(bodies, pd, 400, reference=1.0, ballast=HEAVY)[:, 300:].mean(1)
    return np.column_stack([out, up, down, error, droop])


def _step_response(rise: np.ndarray) -> list[float]:
    """The first seven figures, from the height over the start after a step of 1 m."""
    times = np.arange(1, len(rise) + 1) * PERIOD
    first = [times[np.argmax(rise >= level)] for level in (0.02, 0.1, 0.9)]
    climb = np.gradient(np.convolve(rise, np.ones(3) / 3, "valid"), PERIOD)[
        :60
    ]  # the LiDAR has 1 cm steps
    tail = rise[250:] - 1.0
    low, high = np.percentile(tail, (0.5, 99.5))
    return [
        first[0], first[2] - first[1], climb.max(), times[1 + np.argmax(climb)], rise[:150].max() - 1.0,
        (high - low) / 2, period(tail),
    ]  # fmt: skip


def period(signal: np.ndarray) -> float:
    """Strongest period of a signal, s, up to 80 s."""
    centred = (signal - signal.mean()) * np.hanning(len(signal))
    spectrum = np.abs(np.fft.rfft(centred, 8192))
    return float(1 / np.fft.rfftfreq(8192, PERIOD)[10 + np.argmax(spectrum[10:])])


def misfit(found: np.ndarray) -> np.ndarray:
    """Mean square distance of `features` (n, 11) from `LOGGED`, in its units, each at most 25."""
    want, unit = (np.array([row[i] for row in LOGGED.values()], float) for i in (0, 1))
    off = (found - want) / unit
    error = list(LOGGED).index("PID error")
    off[:, error] = np.maximum(off[:, error], 0)  # smaller is no misfit
    return np.minimum(off**2, 25).mean(1)


def calibrate(study: Study, generations: int = 24) -> Blimp:
    """Fit the quantities of `CALIBRATED` by differential evolution within their ranges; minutes."""
    from scipy.optimize import differential_evolution

    from lancelet.training.runs.progress import progress

    bounds = morphology.ranges(Blimp)

    def blimp(values: np.ndarray) -> Blimp:
        parameters: dict[str, Any] = dict(zip(FITTED, map(float, values), strict=True))
        return Blimp(**parameters)

    with progress("calibrating", generations, "gen") as advance:
        found = differential_evolution(
            lambda columns: misfit(features([blimp(values) for values in columns.T])),
            [bounds[name] for name in FITTED], popsize=6, maxiter=generations, vectorized=True, updating="deferred",
            rng=0, polish=False, init="sobol", callback=lambda intermediate_result: advance(),
        )  # fmt: skip
    body = blimp(found.x)
    study.say(
        f"  calibrated: {', '.join(f'{name} {value:.4g}' for name, value in zip(FITTED, found.x, strict=True))}"
    )
    return body


def plant(study: Study) -> None:
    """Gate G2 on the nominal plant, and both sets of quantities beside the logs."""
    nominal, free = Blimp(), Blimp(**FREE)
    values: dict[str, Any] = dict(CALIBRATED)
    fitted = calibrate(study) if study.size == "full" else Blimp(**values)
    found = features([nominal, fitted, free])
    value = dict(zip(LOGGED, found[0], strict=True))
    note = "nominal plant; one deterministic flight"
    study.within("G2 PD, +1 m: rise (s)", "gate", value["rise"], 2.5, 3.5, reference=3.0, note=note)
    study.within(
        "G2 PD: limit cycle (m)",
        "gate",
        value["amplitude"],
        0.04,
        0.08,
        reference="0.055 .. 0.07",
        note=note,
    )
    study.within(
        "G2 PD: period (s)", "gate", value["period"], 6, 10, reference="7.3 .. 7.6", note=note
    )
    still = dict(zip(LOGGED, found[2], strict=True))["amplitude"]
    study.add(
        at_most(
            "G2 PD without dead zone, counts and centimetres: limit cycle (m)", "gate", still, 0.002
        )
    )
    beyond = max(value["PID up"], value["PID down"])
    study.within("G2 PID with ballast: larger overshoot (m)", "gate", beyond, 0.10, 0.25,
                 reference="0.14 up, 0.20 down", note=note)  # fmt: skip
    study.add(
        at_most(
            "G2 PID with ballast: steady-state error (m)",
            "gate",
            value["PID error"],
            0.01,
            note=note,
        )
    )
    study.within(
        "G2 PD with ballast: droop (m)",
        "gate",
        value["PD droop"],
        0.30,
        0.36,
        reference=0.33,
        note=note,
    )
    for column, (name, (reference, _, meaning)) in enumerate(LOGGED.items()):
        pair = ", ".join(
            f"{who} {found[i, column]:.3g}" for i, who in enumerate(("nominal", "calibrated"))
        )
        study.add(Row(f"plant against the logs: {name}", "info", float(found[1, column]), reference=reference,
                      note=f"{meaning}; {pair}"))  # fmt: skip
    fit = misfit(found)
    note = f"mean square, in the units of LOGGED; nominal {fit[0]:.2f}, calibrated {fit[1]:.2f}"
    study.add(Row("plant against the logs: misfit", "info", float(fit[1]), note=note))

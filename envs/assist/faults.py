"""The safe stop: which strides of the signal cannot be trusted, and how the robot stands still at one.

See docs/systems/hdemg.md, "Safe stop". It stands in the task, so that no decoder and no policy can drive past it.
"""

from __future__ import annotations

import numpy as np

from ...assist_layout import JOINTS
from ...emg_layout import LEVEL_FLOOR, RAIL

FAULTS = ("none", "nan", "flat", "saturated", "missing", "late")
"""kinds of fault in the order of their numbers, which terms and observations show"""
NO_FAULT = FAULTS.index("none")
MOST_LOST_CHANNELS = 8
"""channels that may be flat or saturated: as many the decoder predicts from the others; more are a fault"""
FLAT_POWER = LEVEL_FLOOR**2
"""mean square under which a channel is flat: a hundredth of the sensor's own noise"""
SATURATED_POWER = (RAIL / 2) ** 2
"""mean square from which on a channel is saturated: a quarter of the stride at the rail; an active one has 0.06"""
MOST_DELAY = 0.150
"""s that a stride may be late"""
BRAKING_STEPS = 4
"""control steps of a stop in which set-points are brought to their joints: as long as what moved swings out; later they
stay, since a held box would pull the arm down a little in every step"""
GRIPPER = JOINTS.index("gripper")


def judge(power: np.ndarray, delay: np.ndarray) -> np.ndarray:
    """Fault (n,) of one stride, by its number; where there are several, the last in `FAULTS`.

    Args:
        power: (n, 64) mean square of each channel; of a stride that did not come it is not looked at.
        delay: (n,) s by which the stride is late; infinite where it did not come.
    """
    with np.errstate(invalid="ignore"):
        is_finite = np.isfinite(power)
        flat = (is_finite & (power < FLAT_POWER)).sum(1)
        saturated = (is_finite & (power >= SATURATED_POWER)).sum(1)
    cases = {
        "nan": ~is_finite.all(1),
        "flat": flat > MOST_LOST_CHANNELS,
        "saturated": saturated > MOST_LOST_CHANNELS,
        "missing": np.isinf(delay),
        "late": np.isfinite(delay) & (delay > MOST_DELAY),
    }
    fault = np.full(len(power), NO_FAULT)
    for name, holds in cases.items():
        fault[holds] = FAULTS.index(name)
    return fault


def is_braking(halt_steps: np.ndarray) -> np.ndarray:
    """True (n,) where a stop has begun, or has lasted (n,) steps that are few enough, for `halted`."""
    return (halt_steps > 0) & (halt_steps <= BRAKING_STEPS)


def halted(set_points: np.ndarray, lengths: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Set-points (n, 6) with those of the stopped robots where their joints are: none pushes or runs on.

    The gripper's stays: what is held is not dropped.

    Args:
        set_points: (n, 6).
        lengths: (n, 6) where the joints are.
        rows: (n,) True for the robots that are stopped.
    """
    there = set_points.copy()
    stopped = np.flatnonzero(rows)
    for column in range(len(JOINTS)):
        if column != GRIPPER:
            there[stopped, column] = lengths[stopped, column]
    return there

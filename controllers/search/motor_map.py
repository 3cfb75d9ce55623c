"""Learned motor map: what an action does to the velocity.

It is found by babbling, and mended when the actuators change.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

WINDOW = 32
"""last steps that an agent remembers for fitting"""
ENOUGH = 10
"""steps that a fit needs"""
EXPLAINED = 0.05
"""relative error of a fit under which it is believed"""
ROUNDS = 4
"""least-squares fits, each to the steps that the one before explains"""
OUTLIER = 3.0
"""times the median error of the fitted steps, above which a step is taken for a collision"""
LEAST_SHARE = 0.6
"""share of all steps that a fit must explain"""
WORST_INPUT = 200.0
"""condition number of the actions' second moments above which they leave a direction out"""
WORST_MAP = 20.0
"""condition number of a map above which it is near singular: a wall has taken a direction away"""


class Fit(NamedTuple):
    """A motor map, and how well it explains what happened."""

    gain: np.ndarray
    """(2, 2) m/s, change of the velocity over a step by a full action"""
    error: float
    """relative error of the steps that it was fitted to; infinite where it is not to be believed"""


def fit(action: np.ndarray, change: np.ndarray) -> Fit:
    """Least squares of ``change = gain action`` that sets collisions aside (trimmed regression).

    Args:
        action: (m, 2) in [-1, 1].
        change: (m, 2), change of the velocity over the step, m/s.

    Returns:
        The map. Its error is infinite where the steps say too little, or the map is near singular (so it is where a
        wall takes one direction away).
    """
    # All steps at first; from round to round those that the map before explains.
    is_fitted = np.ones(len(action), bool)
    gain = np.eye(2)
    error = np.zeros(len(action))
    for _ in range(ROUNDS):
        fitted_action = action[is_fitted]
        fitted_change = change[is_fitted]
        moments = fitted_action.T @ fitted_action
        if len(fitted_action) < ENOUGH or np.linalg.cond(moments) > WORST_INPUT:
            return Fit(gain=gain, error=np.inf)
        gain = np.linalg.solve(moments, fitted_action.T @ fitted_change).T
        error = np.linalg.norm(change - action @ gain.T, axis=1)
        # A touch more than the median, so that steps without any error are not lost to rounding.
        threshold = OUTLIER * np.median(error[is_fitted]) + 1e-9
        is_fitted = error <= threshold
    least_count = max(ENOUGH, LEAST_SHARE * len(action))
    if is_fitted.sum() < least_count or np.linalg.cond(gain) > WORST_MAP:
        return Fit(gain=gain, error=np.inf)
    mean_error = error[is_fitted].mean()
    mean_change = np.linalg.norm(change[is_fitted], axis=1).mean()
    return Fit(gain=gain, error=float(mean_error / (mean_change + 1e-12)))


def surprise(action: np.ndarray, change: np.ndarray, gain: np.ndarray) -> float:
    """Relative error of a motor map: 0 where it explains all, about 1 where it explains nothing.

    Args:
        action: (m, 2).
        change: (m, 2), change of the velocity over the step, m/s.
        gain: (2, 2), the map, m/s.
    """
    predicted = action @ gain.T
    mean_predicted = np.linalg.norm(predicted, axis=1).mean()
    mean_change = np.linalg.norm(change, axis=1).mean()
    mean_error = np.linalg.norm(change - predicted, axis=1).mean()
    # Relative to the mean of both: a map that predicts nothing is as wrong as one that predicts too much.
    return float(2 * mean_error / (mean_predicted + mean_change + 1e-9))


@njit(cache=True)
def desired_speed(distance: float, most: float, braking: float) -> float:
    """Highest speed from which the agent can still stop in time.

    Args:
        distance: to the point where it must stand, m.
        most: upper limit of the speed, m/s.
        braking: deceleration that it reckons with, m/s^2.

    Returns:
        m/s.
    """
    return min(most, np.sqrt(2 * braking * distance))

"""Learned motor map: what an action does to the velocity.

It is found by babbling, and mended when the actuators change.
"""

from __future__ import annotations

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


def fit(action: np.ndarray, change: np.ndarray) -> tuple[np.ndarray, float]:
    """Least squares of ``change = B action`` that sets collisions aside (trimmed regression).

    Args:
        action: (m, 2).
        change: (m, 2), change of the velocity over the step, m/s.

    Returns:
        B (2, 2) in m/s, and the relative error of the steps that it was fitted to. The error is
        infinite where the steps say too little, or B is near singular (so it is where a wall takes
        one direction away).
    """
    is_fitted = np.ones(len(action), bool)
    gain = np.eye(2)
    error = np.zeros(len(action))
    for _ in range(ROUNDS):
        fitted_action = action[is_fitted]
        fitted_change = change[is_fitted]
        moments = fitted_action.T @ fitted_action
        if len(fitted_action) < ENOUGH or np.linalg.cond(moments) > WORST_INPUT:
            return gain, np.inf
        gain = np.linalg.solve(moments, fitted_action.T @ fitted_change).T
        error = np.linalg.norm(change - action @ gain.T, axis=1)
        is_fitted = error <= OUTLIER * np.median(error[is_fitted]) + 1e-9
    least_count = max(ENOUGH, LEAST_SHARE * len(action))
    if is_fitted.sum() < least_count or np.linalg.cond(gain) > WORST_MAP:
        return gain, np.inf
    mean_change = np.linalg.norm(change[is_fitted], axis=1).mean()
    return gain, float(error[is_fitted].mean() / (mean_change + 1e-12))


def surprise(action: np.ndarray, change: np.ndarray, gain: np.ndarray) -> float:
    """Relative error of a motor map: 0 where it explains all, about 1 where it explains nothing.

    Args:
        action: (m, 2).
        change: (m, 2), change of the velocity over the step, m/s.
        gain: (2, 2), the map, m/s.
    """
    predicted = action @ gain.T
    size = np.linalg.norm(predicted, axis=1).mean() + np.linalg.norm(change, axis=1).mean()
    error = np.linalg.norm(change - predicted, axis=1).mean()
    return float(2 * error / (size + 1e-9))


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

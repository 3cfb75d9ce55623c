"""Learned motor map: what an action does to the velocity, found by babbling, mended when the actuators change."""

from __future__ import annotations

import numpy as np
from numba import njit

WINDOW = 32
"""last steps that an agent remembers for fitting"""
ENOUGH = 10
"""steps that a fit needs"""
EXPLAINED = 0.05
"""relative error of a fit under which it is believed"""


def fit(action: np.ndarray, change: np.ndarray) -> tuple[np.ndarray, float]:
    """Least squares of ``change = B action`` that sets collisions aside.

    Args:
        action: (m, 2).
        change: (m, 2), of the velocity over the step, m/s.

    Returns:
        B (2, 2) in m/s, and the relative error of the steps that it was fitted to; that is infinite where the steps
        say too little, or B is near singular (so it is where a wall takes one direction away).
    """
    kept = np.ones(len(action), bool)
    gain, rest = np.eye(2), np.zeros(len(action))
    for _ in range(4):
        one, two = action[kept], change[kept]
        square = one.T @ one
        if len(one) < ENOUGH or np.linalg.cond(square) > 200:
            return gain, np.inf
        gain = np.linalg.solve(square, one.T @ two).T
        rest = np.linalg.norm(change - action @ gain.T, axis=1)
        kept = rest <= 3 * np.median(rest[kept]) + 1e-9
    if kept.sum() < max(ENOUGH, 0.6 * len(action)) or np.linalg.cond(gain) > 20:
        return gain, np.inf
    return gain, float(rest[kept].mean() / (np.linalg.norm(change[kept], axis=1).mean() + 1e-12))


def surprise(action: np.ndarray, change: np.ndarray, gain: np.ndarray) -> float:
    """Relative error of the map `gain` (2, 2) over steps (m, 2): 0 for none, about 1 where it explains nothing."""
    told = action @ gain.T
    size = np.linalg.norm(told, axis=1).mean() + np.linalg.norm(change, axis=1).mean()
    return float(2 * np.linalg.norm(change - told, axis=1).mean() / (size + 1e-9))


@njit(cache=True)
def desired_speed(distance: float, most: float, braking: float) -> float:
    """Speed (m/s) from which a stop within `distance` (m) takes no more than `braking` (m/s^2)."""
    return min(most, np.sqrt(2 * braking * distance))

"""Figures of a reach or a hold from the hand's path (spec bilateral 9), compiled.

Straightness, smoothness and fields after Yadav & Sainburg 2014 (Exp Brain Res 232); initial direction and use of
interaction torques after Sainburg & Kalakanis 2000 (J Neurophysiol 83: 2661-75).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

SUMS = ("mean_error", "P1", "P2", "E", "activation_effort", "force_effort", "cocontraction")
"""what `book` sums over the steps"""
NAMES = ("straightness", "path_ratio", "jerk", "log_jerk", "movement_time", "peak_speed", "time_to_peak",
         "direction_error", "submovements", "muscle_share", "chord", "elbow_speed", "drift_max",
         "drift_speed")  # fmt: skip
"""what `figures` tells"""
DRIFT = NAMES[12:]
SHORT, SLOW, LATE = 0.05, 0.1, 0.1
"""m, shortest chord that a straightness or a direction is told of; rad/s, least elbow speed that a share is told of;
s, the end of the path that ``drift_speed`` looks at"""
ONSET, PEAK = 0.05, 0.1
"""parts of the peak speed: where a movement begins and ends; what counts as a sub-movement"""


def figures(
    path: np.ndarray, steps: np.ndarray, target: np.ndarray, inertia: np.ndarray, dt: float
) -> dict[str, np.ndarray]:
    """`NAMES` of every path, (n,) each; 0 where a figure has no meaning, which `gaps` makes nan.

    | figure | unit | meaning |
    |---|---|---|
    | straightness | 1 | largest distance from the chord / its length; none below 0.05 m |
    | path_ratio | 1 | path length / chord; none below 0.05 m |
    | jerk | m/s^3 | root mean square of the third difference of the position |
    | log_jerk | 1 | ln(integral of jerk^2 x duration^3 / peak speed^2): minus the LDLJ |
    | movement_time | s | from 5 % of the peak speed to below it again, or to the end |
    | peak_speed | m/s | |
    | time_to_peak | s | from 5 % of the peak speed |
    | direction_error | rad | hand's direction at peak acceleration to the target's; none nearer than 0.05 m |
    | submovements | 1 | peaks of the speed above 10 % of the largest |
    | muscle_share | 1 | muscle impulse / net impulse at the elbow until its peak speed; none below 0.1 rad/s |
    | chord | m | from the first to the last point |
    | elbow_speed | rad/s | peak |
    | drift_max | m | largest distance from the start |
    | drift_speed | m/s | mean speed of the hand over the last 0.1 s |

    Args:
        path: hand x, y (m), elbow's muscle impulse during the step before (N m s), elbow speed (rad/s); row 0 is the
            start: (n, T + 1, 4).
        steps: how many of the T count, (n,).
        target: m, (n, 2).
        inertia: kg m^2 about the elbow, (n,): what turns its speed into its net impulse.
        dt: s.
    """
    out = np.zeros((len(path), len(NAMES)))
    _figures(path, np.minimum(steps, path.shape[1] - 1), target, inertia, dt, out)
    return dict(zip(NAMES, out.T.copy(), strict=True))


def gaps(metrics: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Metrics of arm tasks with nan for each figure that has no meaning in its trial: average with `numpy.nanmean`."""
    short, still = metrics["chord"] < SHORT, metrics["peak_speed"] <= 0
    none = {
        "straightness": short,
        "path_ratio": short,
        "direction_error": still | (metrics["distance"] < SHORT),
    }
    none |= {"muscle_share": metrics["elbow_speed"] < SLOW, "log_jerk": still}
    return metrics | {name: np.where(rows, np.nan, metrics[name]) for name, rows in none.items()}


@njit(cache=True, nogil=True, error_model="numpy")
def book(hand, target, action, muscles, peaks, impulse, speed, step, path, losses, sums):
    """Enter one more step into the path and the sums, one row an arm.

    Args:
        hand: m, (n, 2).
        target: m, (n, 2).
        action: (n, 6).
        muscles: `muscles.COLUMNS`, (n, 7, 6); flexor and extensor of a pair stand side by side.
        peaks: N, (n, 6), largest forces.
        impulse: N m s, (n,), of the muscles at the elbow.
        speed: rad/s, (n,), of the elbow.
        step: (n,), number of this step, 1 the first.
        path: filled in row `step` where that is not past the end, (n, T + 1, 4).
        losses: filled with P1, P2, E of this step, (n, 3).
        sums: `SUMS`, added to, (n, 7).
    """
    for i in range(len(hand)):
        x, y = target[i, 0] - hand[i, 0], target[i, 1] - hand[i, 1]
        losses[i, 0], losses[i, 1] = (abs(x) + abs(y)) / 2, 5 * (x * x + y * y)
        excited = effort = force = both = 0.0
        for m in range(6):
            u, a, f = float(action[i, m]), muscles[i, 0, m], muscles[i, 6, m] / peaks[i, m]
            excited += u * u / 6
            effort += a * a / 6
            force += f * f / 6
            if m % 2:
                both += min(a, muscles[i, 0, m - 1])
        losses[i, 2] = excited
        sums[i, 0] += math.hypot(x, y)
        for k in range(3):
            sums[i, 1 + k] += losses[i, k]
        sums[i, 4] += effort
        sums[i, 5] += force
        sums[i, 6] += both
        t = step[i]
        if t < path.shape[1]:
            path[i, t, 0], path[i, t, 1], path[i, t, 2], path[i, t, 3] = (
                hand[i, 0],
                hand[i, 1],
                impulse[i],
                speed[i],
            )


@njit(cache=True, nogil=True, error_model="numpy")
def _figures(path, steps, target, inertia, dt, out):
    speed = np.zeros(path.shape[1] + 1)
    for i in range(len(path)):
        k = steps[i]
        if k < 1:
            continue
        p = path[i]
        length = peak = 0.0
        top = 1
        for t in range(1, k + 1):
            speed[t] = math.hypot(p[t, 0] - p[t - 1, 0], p[t, 1] - p[t - 1, 1]) / dt
            length += speed[t] * dt
            if speed[t] > peak:
                peak, top = speed[t], t
        dx, dy = p[k, 0] - p[0, 0], p[k, 1] - p[0, 1]
        chord = math.hypot(dx, dy)
        if chord >= SHORT:
            aside = 0.0
            for t in range(1, k):
                aside = max(aside, abs(dx * (p[t, 1] - p[0, 1]) - dy * (p[t, 0] - p[0, 0])) / chord)
            out[i, 0], out[i, 1] = aside / chord, length / chord
        if k >= 3:
            total = 0.0
            for t in range(k - 2):
                for c in range(2):
                    total += (
                        (p[t + 3, c] - 3 * p[t + 2, c] + 3 * p[t + 1, c] - p[t, c]) / dt**3
                    ) ** 2
            out[i, 2] = math.sqrt(total / (k - 2))
            if peak > 0.0 and total > 0.0:
                out[i, 3] = math.log(total * dt * (k * dt) ** 3 / peak**2)
        begin = top
        while begin > 1 and speed[begin - 1] >= ONSET * peak:
            begin -= 1
        end = top
        while end < k and speed[end] >= ONSET * peak:
            end += 1
        out[i, 4], out[i, 5], out[i, 6] = (end - begin) * dt, peak, (top - begin) * dt
        goal = math.hypot(target[i, 0] - p[0, 0], target[i, 1] - p[0, 1])
        if goal >= SHORT and peak > 0.0:
            best, where = -1.0, 1
            for t in range(begin, top + 1):
                gain = speed[t] - (speed[t - 1] if t > 1 else 0.0)
                if gain > best:
                    best, where = gain, t
            hand = math.atan2(p[where, 1] - p[where - 1, 1], p[where, 0] - p[where - 1, 0])
            wanted = math.atan2(target[i, 1] - p[0, 1], target[i, 0] - p[0, 0])
            out[i, 7] = abs((hand - wanted + math.pi) % (2 * math.pi) - math.pi)
        peaks = 0
        speed[0] = speed[k + 1] = 0.0
        for t in range(1, k + 1):
            if speed[t] > speed[t - 1] and speed[t] >= speed[t + 1] and speed[t] > PEAK * peak:
                peaks += 1
        out[i, 8] = peaks
        turn = 1
        for t in range(1, k + 1):
            if abs(p[t, 3]) > abs(p[turn, 3]):
                turn = t
        out[i, 11] = abs(p[turn, 3])
        if abs(p[turn, 3]) >= SLOW:
            impulse = 0.0
            for t in range(1, turn + 1):
                impulse += p[t, 2]
            out[i, 9] = impulse / (inertia[i] * (p[turn, 3] - p[0, 3]))
        far = 0.0
        for t in range(1, k + 1):
            far = max(far, math.hypot(p[t, 0] - p[0, 0], p[t, 1] - p[0, 1]))
        late = min(k, round(LATE / dt))
        slow = 0.0
        for t in range(k - late + 1, k + 1):
            slow += speed[t] / late
        out[i, 10], out[i, 12], out[i, 13] = chord, far, slow

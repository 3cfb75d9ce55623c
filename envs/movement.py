"""Figures of a reach or a hold from the path of the hand, compiled.

They are those of docs/systems/arm.md, "Figures of a movement". Straightness, smoothness and fields
follow Yadav & Sainburg 2014 (Exp Brain Res 232), initial direction and the use of interaction
torques Sainburg & Kalakanis 2000 (J Neurophysiol 83: 2661-75).
"""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np
from numba import njit

from .muscles import MUSCLE_COUNT, Column

SHORTEST_CHORD = 0.05
"""m; a shorter movement has no straightness, and a nearer target no direction"""
LEAST_ELBOW_SPEED = 0.1
"""rad/s; below it the muscles' share of the elbow's impulse has no meaning"""
DRIFT_WINDOW = 0.1
"""s at the end of the path over which `drift_speed` is a mean"""
ONSET_SHARE = 0.05
"""part of the peak speed at which a movement begins and ends"""
SUBMOVEMENT_SHARE = 0.1
"""part of the peak speed above which a local peak counts as a sub-movement"""


class Path(IntEnum):
    """Columns of a path, an array (n, T + 1, 4): arm, step, column."""

    HAND_X = 0
    """m"""
    HAND_Y = 1
    """m"""
    ELBOW_IMPULSE = 2
    """N m s, of the muscles at the elbow, during the step before"""
    ELBOW_SPEED = 3
    """rad/s"""


class Sum(IntEnum):
    """Columns of the sums over the steps that `book` adds to, an array (n, 7)."""

    MEAN_ERROR = 0
    """m, distance of the hand from the target"""
    P1 = 1
    """m, mean distance an axis"""
    P2 = 2
    """m^2, ten times the mean squared distance an axis"""
    E = 3
    """mean squared excitation"""
    ACTIVATION_EFFORT = 4
    """mean squared activation"""
    FORCE_EFFORT = 5
    """mean squared force, in largest forces"""
    COCONTRACTION = 6
    """sum over the pairs of muscles of the lesser activation"""


class StepLoss(IntEnum):
    """Columns of the losses of one step, an array (n, 3); see `Sum`."""

    P1 = 0
    P2 = 1
    E = 2


SUMS = {
    "mean_error": Sum.MEAN_ERROR,
    "P1": Sum.P1,
    "P2": Sum.P2,
    "E": Sum.E,
    "activation_effort": Sum.ACTIVATION_EFFORT,
    "force_effort": Sum.FORCE_EFFORT,
    "cocontraction": Sum.COCONTRACTION,
}
"""metric -> the column whose mean over the steps it is"""
FIGURES = np.dtype(
    [
        ("straightness", float),
        ("path_ratio", float),
        ("jerk", float),
        ("log_jerk", float),
        ("movement_time", float),
        ("peak_speed", float),
        ("time_to_peak", float),
        ("direction_error", float),
        ("submovements", float),
        ("muscle_share", float),
        ("chord", float),
        ("elbow_speed", float),
        ("drift_max", float),
        ("drift_speed", float),
    ]
)
"""record of one movement's figures, explained at `figures`"""
NAMES: tuple[str, ...] = FIGURES.names or ()
"""names of the figures, in the order of `FIGURES`"""
DRIFT = ("drift_max", "drift_speed")
"""figures that only a hold has a use for"""


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
    | peak_speed | m/s | largest speed of the hand |
    | time_to_peak | s | from 5 % of the peak speed |
    | direction_error | rad | angle between the hand's direction at peak acceleration and the \
target's; none nearer than 0.05 m |
    | submovements | 1 | peaks of the speed above 10 % of the largest |
    | muscle_share | 1 | muscle impulse / net impulse at the elbow until its peak speed; \
none below 0.1 rad/s |
    | chord | m | from the first to the last point |
    | elbow_speed | rad/s | largest speed of the elbow, without sign |
    | drift_max | m | largest distance from the start |
    | drift_speed | m/s | mean speed of the hand over the last 0.1 s |

    Args:
        path: columns `Path` at every step, row 0 the start, (n, T + 1, 4).
        steps: how many of the T steps count, (n,).
        target: m, (n, 2).
        inertia: about the elbow, kg m^2, (n,): it turns the elbow's speed into its net impulse.
        dt: control step, s.

    Returns:
        The figures of `NAMES`, in this order; all are 0 for a path without a step.
    """
    out = np.zeros(len(path), FIGURES)
    last = np.minimum(steps, path.shape[1] - 1)
    _fill_figures(path, last, target, inertia, dt, out)
    return {name: out[name].copy() for name in NAMES}


def gaps(metrics: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Metrics of arm tasks with nan for each figure that has no meaning in its trial.

    Average them with `numpy.nanmean`: a trial without a figure is left out, not counted as zero.
    """
    is_short = metrics["chord"] < SHORTEST_CHORD
    is_still = metrics["peak_speed"] <= 0
    is_meaningless = {
        "straightness": is_short,
        "path_ratio": is_short,
        "direction_error": is_still | (metrics["distance"] < SHORTEST_CHORD),
        "muscle_share": metrics["elbow_speed"] < LEAST_ELBOW_SPEED,
        "log_jerk": is_still,
    }
    with_gaps = dict(metrics)
    for name, mask in is_meaningless.items():
        with_gaps[name] = np.where(mask, np.nan, metrics[name])
    return with_gaps


@njit(cache=True, nogil=True, error_model="numpy")
def book(hand, target, action, muscles, peaks, impulse, speed, step, path, losses, sums):
    """Enter one more step into the path and the sums, in place, one row an arm.

    Args:
        hand: m, (n, 2).
        target: m, (n, 2).
        action: excitations, (n, 6).
        muscles: `muscles.Column` of every muscle, (n, 7, 6); the flexor of a pair (even index)
            stands before its extensor.
        peaks: largest forces, N, (n, 6).
        impulse: of the muscles at the elbow during the step, N m s, (n,).
        speed: of the elbow, rad/s, (n,).
        step: number of this step, 1 the first, (n,).
        path: filled in row `step` where that is not past the end, (n, T + 1, 4).
        losses: filled with the losses of this step, columns `StepLoss`, (n, 3).
        sums: columns `Sum`, added to, (n, 7).
    """
    for i in range(len(hand)):
        error_x = target[i, 0] - hand[i, 0]
        error_y = target[i, 1] - hand[i, 1]
        excitation_effort = 0.0
        activation_effort = 0.0
        force_effort = 0.0
        cocontraction = 0.0
        for m in range(MUSCLE_COUNT):
            excitation = float(action[i, m])
            activation = muscles[i, Column.ACTIVATION, m]
            force = muscles[i, Column.FORCE, m] / peaks[i, m]
            excitation_effort += excitation * excitation / MUSCLE_COUNT
            activation_effort += activation * activation / MUSCLE_COUNT
            force_effort += force * force / MUSCLE_COUNT
            is_extensor = m % 2 == 1
            if is_extensor:
                cocontraction += min(activation, muscles[i, Column.ACTIVATION, m - 1])

        losses[i, StepLoss.P1] = (abs(error_x) + abs(error_y)) / 2
        losses[i, StepLoss.P2] = 5 * (error_x * error_x + error_y * error_y)
        losses[i, StepLoss.E] = excitation_effort
        sums[i, Sum.MEAN_ERROR] += math.hypot(error_x, error_y)
        sums[i, Sum.P1] += losses[i, StepLoss.P1]
        sums[i, Sum.P2] += losses[i, StepLoss.P2]
        sums[i, Sum.E] += losses[i, StepLoss.E]
        sums[i, Sum.ACTIVATION_EFFORT] += activation_effort
        sums[i, Sum.FORCE_EFFORT] += force_effort
        sums[i, Sum.COCONTRACTION] += cocontraction
        row = step[i]
        if row < path.shape[1]:
            path[i, row, Path.HAND_X] = hand[i, 0]
            path[i, row, Path.HAND_Y] = hand[i, 1]
            path[i, row, Path.ELBOW_IMPULSE] = impulse[i]
            path[i, row, Path.ELBOW_SPEED] = speed[i]


@njit(cache=True, nogil=True, error_model="numpy")
def _fill_figures(paths, last_steps, target, inertia, dt, out):
    """Fill the records `out` (n,) with the figures of paths (n, T + 1, 4); see `figures`."""
    for i in range(len(paths)):
        path = paths[i]
        last = last_steps[i]
        if last < 1:
            continue
        record = out[i]
        speed = _speeds(path, last, dt)
        begin, end, peak_step, peak_speed = _movement(speed, last)

        chord = _distance(path, 0, last)
        record.chord = chord
        if chord >= SHORTEST_CHORD:
            record.straightness = _straightness(path, last, chord)
            record.path_ratio = _path_length(speed, last, dt) / chord

        if last >= 3:
            squared_jerk = _squared_jerk(path, last, dt)
            record.jerk = math.sqrt(squared_jerk / (last - 2))
            if peak_speed > 0.0 and squared_jerk > 0.0:
                record.log_jerk = math.log(squared_jerk * dt * (last * dt) ** 3 / peak_speed**2)

        record.movement_time = (end - begin) * dt
        record.peak_speed = peak_speed
        record.time_to_peak = (peak_step - begin) * dt
        record.submovements = _submovements(speed, last, peak_speed)

        target_x = target[i, 0] - path[0, Path.HAND_X]
        target_y = target[i, 1] - path[0, Path.HAND_Y]
        if math.hypot(target_x, target_y) >= SHORTEST_CHORD and peak_speed > 0.0:
            step = _peak_acceleration(speed, begin, peak_step)
            record.direction_error = _direction_error(path, step, target_x, target_y)

        elbow_step = _peak_elbow_step(path, last)
        record.elbow_speed = abs(path[elbow_step, Path.ELBOW_SPEED])
        if record.elbow_speed >= LEAST_ELBOW_SPEED:
            record.muscle_share = _muscle_share(path, elbow_step, inertia[i])

        record.drift_max = _largest_drift(path, last)
        record.drift_speed = _last_speed(speed, last, dt)


@njit(cache=True, nogil=True, error_model="numpy")
def _distance(path, first, second):
    """Distance of the hand between two steps, m."""
    return math.hypot(
        path[second, Path.HAND_X] - path[first, Path.HAND_X],
        path[second, Path.HAND_Y] - path[first, Path.HAND_Y],
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _speeds(path, last, dt):
    """Speed of the hand during each step, m/s, (last + 2,).

    Entry 0, in front of the first step, and the entry behind the last one are 0.
    """
    speed = np.zeros(last + 2)
    for step in range(1, last + 1):
        speed[step] = _distance(path, step - 1, step) / dt
    return speed


@njit(cache=True, nogil=True, error_model="numpy")
def _path_length(speed, last, dt):
    """Length of the path, m."""
    length = 0.0
    for step in range(1, last + 1):
        length += speed[step] * dt
    return length


@njit(cache=True, nogil=True, error_model="numpy")
def _movement(speed, last):
    """First and last step of the movement around the peak speed, step of the peak, and peak, m/s."""
    peak_speed = 0.0
    peak_step = 1
    for step in range(1, last + 1):
        if speed[step] > peak_speed:
            peak_speed = speed[step]
            peak_step = step
    threshold = ONSET_SHARE * peak_speed
    begin = peak_step
    while begin > 1 and speed[begin - 1] >= threshold:
        begin -= 1
    end = peak_step
    while end < last and speed[end] >= threshold:
        end += 1
    return begin, end, peak_step, peak_speed


@njit(cache=True, nogil=True, error_model="numpy")
def _straightness(path, last, chord):
    """Largest distance of the hand from the chord, as a part of the chord's length."""
    chord_x = path[last, Path.HAND_X] - path[0, Path.HAND_X]
    chord_y = path[last, Path.HAND_Y] - path[0, Path.HAND_Y]
    largest = 0.0
    for step in range(1, last):
        from_start_x = path[step, Path.HAND_X] - path[0, Path.HAND_X]
        from_start_y = path[step, Path.HAND_Y] - path[0, Path.HAND_Y]
        from_chord = abs(chord_x * from_start_y - chord_y * from_start_x) / chord
        largest = max(largest, from_chord)
    return largest / chord


@njit(cache=True, nogil=True, error_model="numpy")
def _squared_jerk(path, last, dt):
    """Sum over the path of the squared jerk, (m/s^3)^2, from third differences."""
    total = 0.0
    for step in range(last - 2):
        for axis in range(2):
            third_difference = (
                path[step + 3, axis]
                - 3 * path[step + 2, axis]
                + 3 * path[step + 1, axis]
                - path[step, axis]
            )
            total += (third_difference / dt**3) ** 2
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _peak_acceleration(speed, begin, peak_step):
    """The step, from the onset to the peak speed, in which the speed grows most."""
    largest = -1.0
    best_step = 1
    for step in range(begin, peak_step + 1):
        growth = speed[step] - speed[step - 1]
        if growth > largest:
            largest = growth
            best_step = step
    return best_step


@njit(cache=True, nogil=True, error_model="numpy")
def _direction_error(path, step, target_x, target_y):
    """Angle between the hand's direction in a step and the target's (from the start), rad."""
    hand = math.atan2(
        path[step, Path.HAND_Y] - path[step - 1, Path.HAND_Y],
        path[step, Path.HAND_X] - path[step - 1, Path.HAND_X],
    )
    wanted = math.atan2(target_y, target_x)
    return abs((hand - wanted + math.pi) % (2 * math.pi) - math.pi)


@njit(cache=True, nogil=True, error_model="numpy")
def _submovements(speed, last, peak_speed):
    """Number of local peaks of the speed above `SUBMOVEMENT_SHARE` of the largest."""
    count = 0
    for step in range(1, last + 1):
        is_peak = speed[step] > speed[step - 1] and speed[step] >= speed[step + 1]
        if is_peak and speed[step] > SUBMOVEMENT_SHARE * peak_speed:
            count += 1
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _peak_elbow_step(path, last):
    """The step in which the elbow turns fastest."""
    fastest = 1
    for step in range(1, last + 1):
        if abs(path[step, Path.ELBOW_SPEED]) > abs(path[fastest, Path.ELBOW_SPEED]):
            fastest = step
    return fastest


@njit(cache=True, nogil=True, error_model="numpy")
def _muscle_share(path, elbow_step, inertia):
    """Part of the elbow's net impulse until its peak speed that the muscles gave."""
    impulse = 0.0
    for step in range(1, elbow_step + 1):
        impulse += path[step, Path.ELBOW_IMPULSE]
    gained_speed = path[elbow_step, Path.ELBOW_SPEED] - path[0, Path.ELBOW_SPEED]
    return impulse / (inertia * gained_speed)


@njit(cache=True, nogil=True, error_model="numpy")
def _largest_drift(path, last):
    """Largest distance of the hand from the start, m."""
    largest = 0.0
    for step in range(1, last + 1):
        largest = max(largest, _distance(path, 0, step))
    return largest


@njit(cache=True, nogil=True, error_model="numpy")
def _last_speed(speed, last, dt):
    """Mean speed of the hand over the last `DRIFT_WINDOW` of the path, m/s."""
    window = min(last, round(DRIFT_WINDOW / dt))
    mean = 0.0
    for step in range(last - window + 1, last + 1):
        mean += speed[step] / window
    return mean

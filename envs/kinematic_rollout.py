"""Compiled rollouts of model K: eight robots are stepped side by side, in lanes that refill as rollouts end.

The equations stand in docs/systems/goodbody.md, "Model K"; `kinematic` is what others call.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

LANES = 8
"""rollouts stepped in one sweep, as wide registers hold them"""
BLOCK = 50
"""steps between two looks at which rollouts have ended"""
IDLE = -1
"""rollout of a lane that has none"""

# Rows of the state of all lanes, a flat array (ROWS * LANES,): row r of lane j is at r * LANES + j, so that one row of
# all lanes fills a register.
_X = 0
"""m"""
_Y = 1
"""m"""
_HEADING = 2
"""rad"""
_W1 = 3
"""weight from sensor 2 to the left wheel"""
_W2 = 4
"""weight from sensor 1 to the right wheel"""
_LEAST = 5
"""least squared distance from the light so far, m^2"""
_FORWARD1 = 6
"""place of sensor 1: metres before the centre"""
_LEFT1 = 7
"""place of sensor 1: metres to the left"""
_FORWARD2 = 8
"""place of sensor 2: metres before the centre"""
_LEFT2 = 9
"""place of sensor 2: metres to the left"""
_ROWS = 12
"""rows in all; two are padding"""
_BODY_ROWS = 4
"""rows from `_FORWARD1` on that hold a placement, in its own order"""

# Columns of a trace.
TRACE_X = 0
TRACE_Y = 1
TRACE_HEADING = 2
TRACE_SENSOR1 = 3
TRACE_SENSOR2 = 4
TRACE_COLUMNS = 5

_ROUNDER = 6755399441055744.0
"""1.5 x 2^52, where neighbouring float64 numbers are 1 apart: added to a number and taken away again, it leaves that
number rounded to a whole one, which takes no branch and no call"""
_QUARTERS_PER_RADIAN = 2 / math.pi
"""quarter turns in a radian"""
# A quarter turn in three parts, so that taking many of them from an angle loses no bits (Cody & Waite 1980).
_QUARTER_HIGH = 1.57079632673412561417
_QUARTER_MIDDLE = 6.07710050630396597660e-11
_QUARTER_LOW = 2.02226624871116645580e-21

# Minimax coefficients by power of the angle, from -pi / 4 to pi / 4 (FreeBSD's k_sin.c and k_cos.c). The first ones of
# the series are exact and stand in the code: sin r = r + ..., cos r = 1 - r^2 / 2 + ....
_SIN_3 = -1.66666666666666324348e-01
_SIN_5 = 8.33333333332248946124e-03
_SIN_7 = -1.98412698298579493134e-04
_SIN_9 = 2.75573137070700676789e-06
_SIN_11 = -2.50507602534068634195e-08
_SIN_13 = 1.58969099521155010221e-10
_COS_4 = 4.16666666666666019037e-02
_COS_6 = -1.38888888888741095749e-03
_COS_8 = 2.48015872894767294178e-05
_COS_10 = -2.75573143513906633035e-07
_COS_12 = 2.08757232129817482790e-09
_COS_14 = -1.13596475577881948265e-11

_ROUNDING_MARGIN = 1.000001
"""factor on the bound by which a rollout ends early: far more than rounding can add to its distances"""


class Rollouts(NamedTuple):
    """What is to be rolled out: every policy in every environment."""

    bodies: np.ndarray
    """placements (b, 4) of both sensors, m: forward and left of sensor 1, then of sensor 2; policy i has body i % b"""
    weights: np.ndarray
    """policies (n, 2): w1 and w2"""
    starts: np.ndarray
    """x and y of the start in each environment, m, (e, 2)"""
    steps: int
    """steps of a rollout"""
    dt: float
    """Euler step, s"""
    floor: float
    """least squared distance that a sensor can read, m^2"""
    enough: float
    """m; a rollout may end once it came nearer than this"""
    whole: bool
    """run all steps of every rollout"""


@njit(inline="always", fastmath={"contract"}, error_model="numpy")
def _turn(angle):
    """Cosine and sine of an angle in rad, within an ulp or two.

    Whole quarter turns are taken off (Cody & Waite's reduction), polynomials give sine and cosine of the rest, and the
    quadrant says which is which with which sign. These are FreeBSD's polynomials without its branches, so that loops
    vectorise. Angles beyond 3e9 come out wrong. Only a kick that has sent the robot out of reach for good makes such
    an angle.

    Products and sums may be fused ("contract"), as they are written here: another order of the same operations gives
    other last bits, and with them another map of policies (`kinematic`).
    """
    quarters = (angle * _QUARTERS_PER_RADIAN + _ROUNDER) - _ROUNDER
    quadrant = np.int32(quarters)
    # What is left of the angle, from -pi / 4 to pi / 4.
    rest = (
        (angle - quarters * _QUARTER_HIGH) - quarters * _QUARTER_MIDDLE
    ) - quarters * _QUARTER_LOW
    square = rest * rest

    # Horner's scheme, the highest power first.
    sine = _SIN_9 + square * (_SIN_11 + square * _SIN_13)
    sine = _SIN_7 + square * sine
    sine = _SIN_5 + square * sine
    sine = _SIN_3 + square * sine
    sine = rest + rest * square * sine
    cosine = _COS_10 + square * (_COS_12 + square * _COS_14)
    cosine = _COS_8 + square * cosine
    cosine = _COS_6 + square * cosine
    cosine = _COS_4 + square * cosine
    cosine = 1.0 - (0.5 * square - square * square * cosine)

    # In every other quadrant sine and cosine change places; in two of four each changes its sign.
    changes_places = quadrant & 1 != 0
    cos = sine if changes_places else cosine
    sin = cosine if changes_places else sine
    cos_is_negative = (quadrant + 1) & 2 != 0
    sin_is_negative = quadrant & 2 != 0
    signed_cos = -cos if cos_is_negative else cos
    signed_sin = -sin if sin_is_negative else sin
    return signed_cos, signed_sin


@njit(inline="always", fastmath={"contract"}, error_model="numpy")
def _sense(x, y, cos, sin, forward, left, floor):
    """Squared distance of a sensor from the light, m^2, not below `floor`: the sensor reads one over this.

    Args:
        x: place of the body's centre, m.
        y: place of the body's centre, m.
        cos: cosine of the heading.
        sin: sine of the heading.
        forward: place of the sensor, m before the centre.
        left: place of the sensor, m to the left of the centre.
        floor: least squared distance that a sensor can read, m^2.
    """
    sensor_x = x + (cos * forward - sin * left)
    sensor_y = y + (sin * forward + cos * left)
    square = sensor_x * sensor_x + sensor_y * sensor_y
    return square if square > floor else floor


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def _sweep(s, count, dt, floor):
    """Make `count` Euler steps of all lanes of the state `s`, in place.

    Args:
        s: state of all lanes, (_ROWS * LANES,).
        count: number of steps.
        dt: Euler step, s.
        floor: least squared distance that a sensor can read, m^2.
    """
    for _ in range(count):
        # The compiler turns this loop into vector code: no branch, and no call that is not inlined.
        for j in range(LANES):
            x = s[_X * LANES + j]
            y = s[_Y * LANES + j]
            angle = s[_HEADING * LANES + j]
            cos, sin = _turn(angle)
            per_sensor1 = _sense(
                x, y, cos, sin, s[_FORWARD1 * LANES + j], s[_LEFT1 * LANES + j], floor
            )
            per_sensor2 = _sense(
                x, y, cos, sin, s[_FORWARD2 * LANES + j], s[_LEFT2 * LANES + j], floor
            )
            left_wheel = s[_W1 * LANES + j] / per_sensor2
            right_wheel = s[_W2 * LANES + j] / per_sensor1
            way = dt * 0.5 * (left_wheel + right_wheel)
            x += way * cos
            y += way * sin
            s[_X * LANES + j] = x
            s[_Y * LANES + j] = y
            s[_HEADING * LANES + j] = angle + dt * (right_wheel - left_wheel)
            squared_distance = x * x + y * y
            least = s[_LEAST * LANES + j]
            s[_LEAST * LANES + j] = squared_distance if squared_distance < least else least


@njit(nogil=True, cache=True, error_model="numpy")
def _sensor_radius(s, j):
    """Distance of the farther sensor of lane `j` from its body's centre, m."""
    square1 = s[_FORWARD1 * LANES + j] ** 2 + s[_LEFT1 * LANES + j] ** 2
    square2 = s[_FORWARD2 * LANES + j] ** 2 + s[_LEFT2 * LANES + j] ** 2
    return math.sqrt(max(square1, square2))


@njit(nogil=True, cache=True, error_model="numpy")
def _is_over(s, j, steps_left, enough, dt):
    """Whether nothing that lane `j` can still do changes its result.

    Outside the sensors' radius L the centre nears the light by at most dt W / (r - L)^2 a step, W = (|w1| + |w2|) / 2;
    so (r - L)^3 / 3 falls by at most dt W a step.

    Args:
        s: state of all lanes.
        j: number of the lane.
        steps_left: steps that it still has.
        enough: m; a distance below it is good enough to end.
        dt: Euler step, s.
    """
    x = s[_X * LANES + j]
    y = s[_Y * LANES + j]
    squared_distance = x * x + y * y
    squared_least = s[_LEAST * LANES + j]
    if steps_left == 0 or squared_least < enough * enough:
        return True
    # A robot that was kicked to infinity, or to NaN, does not come back.
    if not squared_distance < math.inf:
        return True
    distance = math.sqrt(squared_distance)
    least = math.sqrt(squared_least)
    radius = _sensor_radius(s, j)
    if distance <= radius:
        # A sensor may lie on the light, where a step has no bound.
        return False
    room = (distance - radius) ** 3 - max(least - radius, 0.0) ** 3
    weight_sum = abs(s[_W1 * LANES + j]) + abs(s[_W2 * LANES + j])
    return room > 1.5 * weight_sum * dt * steps_left * _ROUNDING_MARGIN


@njit(nogil=True, cache=True, error_model="numpy")
def _begin(s, j, start, policy_weights, body):
    """Put a robot at its start into lane `j` of the state `s`, in place; its heading is 0.

    Args:
        s: state of all lanes.
        j: number of the lane.
        start: x and y, m, (2,).
        policy_weights: w1 and w2, (2,).
        body: placement of its sensors, m, (4,).
    """
    x, y = start
    s[_X * LANES + j] = x
    s[_Y * LANES + j] = y
    s[_HEADING * LANES + j] = 0.0
    s[_W1 * LANES + j] = policy_weights[0]
    s[_W2 * LANES + j] = policy_weights[1]
    s[_LEAST * LANES + j] = x * x + y * y
    for row in range(_BODY_ROWS):
        s[(_FORWARD1 + row) * LANES + j] = body[row]


@njit(nogil=True, cache=True, error_model="numpy")
def _idle_lanes():
    """A state (_ROWS * LANES,) in which all lanes circle where nothing overflows."""
    s = np.zeros(_ROWS * LANES)
    for j in range(LANES):
        s[_X * LANES + j] = 1.0
        s[_Y * LANES + j] = 1.0
        s[_FORWARD1 * LANES + j] = 1.0
    return s


@njit(nogil=True, cache=True, error_model="numpy")
def least_distances(first, last, order, job, out):
    """Run a slice of the rollouts; a lane whose rollout ends takes the next one.

    Args:
        first: where the slice begins in `order`.
        last: one past where the slice ends in `order`.
        order: numbers of all rollouts in the order of work: policy times environments, plus environment.
        job: the `Rollouts`.
        out: filled with the least distance of each rollout of the slice, m, by its number.
    """
    s = _idle_lanes()
    rollout_of = np.full(LANES, IDLE)
    steps_left = np.zeros(LANES, np.int64)
    environment_count = len(job.starts)
    next_place = first
    busy_count = 0
    while next_place < last or busy_count > 0:
        for j in range(LANES):
            if rollout_of[j] != IDLE:
                ends_early = not job.whole and _is_over(s, j, steps_left[j], job.enough, job.dt)
                if steps_left[j] == 0 or ends_early:
                    out[rollout_of[j]] = math.sqrt(s[_LEAST * LANES + j])
                    rollout_of[j] = IDLE
                    busy_count -= 1
            if rollout_of[j] == IDLE and next_place < last:
                rollout = order[next_place]
                policy = rollout // environment_count
                start = job.starts[rollout % environment_count]
                body = job.bodies[policy % len(job.bodies)]
                _begin(s, j, start, job.weights[policy], body)
                rollout_of[j] = rollout
                steps_left[j] = job.steps
                next_place += 1
                busy_count += 1
        # No lane may go beyond its last step.
        count = BLOCK
        for j in range(LANES):
            if rollout_of[j] != IDLE:
                count = min(count, steps_left[j])
        _sweep(s, count, job.dt, job.floor)
        steps_left -= count


@njit(nogil=True, cache=True, error_model="numpy")
def trace_rollout(body, policy_weights, start, steps, dt, floor, out):
    """Record one rollout in full; it runs in lane 0, so that its numbers are those of `least_distances`.

    Args:
        body: placement of the sensors, m, (4,).
        policy_weights: w1 and w2, (2,).
        start: x and y, m, (2,).
        steps: steps of the rollout.
        dt: Euler step, s.
        floor: least squared distance that a sensor can read, m^2.
        out: filled with the state before every step and after the last, (steps + 1, TRACE_COLUMNS).
    """
    lane = 0
    s = np.ones(_ROWS * LANES)
    _begin(s, lane, start, policy_weights, body)
    for step in range(steps + 1):
        x = s[_X * LANES + lane]
        y = s[_Y * LANES + lane]
        angle = s[_HEADING * LANES + lane]
        cos, sin = _turn(angle)
        out[step, TRACE_X] = x
        out[step, TRACE_Y] = y
        out[step, TRACE_HEADING] = angle
        out[step, TRACE_SENSOR1] = 1.0 / _sense(x, y, cos, sin, body[0], body[1], floor)
        out[step, TRACE_SENSOR2] = 1.0 / _sense(x, y, cos, sin, body[2], body[3], floor)
        if step < steps:
            _sweep(s, 1, dt, floor)

"""The arm's equations, compiled: Hill muscles, section 2's step of spec bilateral, and the step's exact gradient.

Rigid-tendon Hill muscles after Kistemaker, Wong, Gribble 2010 (J Neurophysiol 104: 2985-94), activation after Thelen
2003, as MotorNet has them (Codol et al., eLife 88591). The environment and `training.twins.arm` run this one code.

Every array has one row an arm. A muscle's columns are named in `COLUMNS`; `parameters` turns a body into the row of
numbers that every function takes. Numbers are float64 inside, whatever the arrays hold.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ..morphology.arm import MUSCLES, Arm

COLUMNS = ("activation", "length", "speed", "passive", "active_length", "active", "force")
"""of a muscle's state: activation; length in optimal lengths; speed in `Arm.top_speed`; passive and active force in
largest forces; force-length factor; force in N"""
WIDTH, CURVE, FLAT = 0.66, 0.41, 5.2
"""of the force-length curve; of the force-velocity curve: its curvature, and its width at full activation"""
CRITICAL, SILENT = 0.3, 0.005
"""activation below which the force-velocity curve narrows; where it is at a tenth"""
PLATEAU, SLANT = 1.5, 0.001
"""largest lengthening force, in isometric forces; slope of the curve far out"""
LEAST_FACTOR = 0.01
"""of the force-length curve"""
_L1, _L2, _COUPLE, _FIRST, _LAST, _RISE, _PER_FALL, _LEAST, _PER_TOP, _LOW, _HIGH = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    11,
)
FOREARM, LEAST, LOW, HIGH, PEAKS = _LAST, _LEAST, slice(9, 11), slice(11, 13), slice(13, 61, 8)
"""places in the row: inertia of the forearm about the elbow, least activation, lowest and highest angles,
largest forces"""
_MUSCLE, _EACH = 13, 8
"""where muscles begin, numbers of each"""
_PEAK, _TENDON, _PER_BEST, _REST, _ARM, _CURVE = 0, 1, 2, 3, 4, 6
_SQUARE, _NARROW = 1 / WIDTH**2, 0.9 / (CRITICAL - SILENT)
_COUNT = len(MUSCLES)


def parameters(body: Arm) -> np.ndarray:
    """The numbers of a body as one row, (61,)."""
    last = body.forearm_mass * body.forearm_centre**2 + body.forearm_inertia
    first = (
        body.upper_mass * body.upper_centre**2
        + body.upper_inertia
        + body.forearm_mass * body.upper_length**2
    )
    couple = body.forearm_mass * body.upper_length * body.forearm_centre
    skeleton = [body.upper_length, body.forearm_length, couple, first + last, last]
    muscle = [
        body.activation_time,
        1 / body.deactivation_time,
        body.least_activation,
        1 / body.top_speed,
    ]
    each = [
        body.max_force,
        body.tendon,
        [1 / best for best in body.optimal_length],
        body.rest_length,
    ]
    each += [body.shoulder_arm, body.elbow_arm, body.shoulder_curve, body.elbow_curve]
    return np.concatenate([skeleton, muscle, *body.limits, np.array(each).T.ravel()])


ELBOW_ANGLES = 61
"""elbow angles, spread over its range, at which `steepest_drag` looks"""


def steepest_drag(row: np.ndarray, dt: float) -> float:
    """Largest gain of a linear field that a plant step of `dt` carries, N s/m, for an arm's `parameters` (61,).

    The field acts for a whole step with the speed at its beginning. With a gain of one over the step and the hand's
    largest mobility (1/kg) it stops the hand in one step; a steeper one throws it back, and from twice that the
    speed grows at every step.
    """
    elbow = np.linspace(row[LOW][1], row[HIGH][1], ELBOW_ANGLES)
    upper_length, forearm_length, couple, whole, forearm = row[:5]
    shared = forearm + couple * np.cos(elbow)
    inertia = np.empty((ELBOW_ANGLES, 2, 2))
    inertia[:, 0, 0] = whole + 2 * couple * np.cos(elbow)
    inertia[:, 0, 1] = shared
    inertia[:, 1, 0] = shared
    inertia[:, 1, 1] = forearm
    # Of the hand's place, by the joints' angles, the shoulder at 0: its angle turns everything alike.
    jacobian = np.empty((ELBOW_ANGLES, 2, 2))
    jacobian[:, 0, 0] = -forearm_length * np.sin(elbow)
    jacobian[:, 0, 1] = -forearm_length * np.sin(elbow)
    jacobian[:, 1, 0] = upper_length + forearm_length * np.cos(elbow)
    jacobian[:, 1, 1] = forearm_length * np.cos(elbow)
    mobility = jacobian @ np.linalg.solve(inertia, jacobian.transpose(0, 2, 1))
    return 1 / (dt * float(np.linalg.eigvalsh(mobility).max()))


@njit(cache=True, error_model="numpy")
def _hand(p, one, two):
    """Hand at joint angles."""
    along = math.cos(one) * p[_L1] + math.cos(one + two) * p[_L2]
    return along, math.sin(one) * p[_L1] + math.sin(one + two) * p[_L2]


@njit(cache=True, nogil=True, error_model="numpy")
def hand(rows, q):
    """Where the hands of arms ``rows`` (n, 61) are at angles (n, 2): m, (n, 2)."""
    out = np.empty((len(q), 2))
    for i in range(len(q)):
        out[i, 0], out[i, 1] = _hand(rows[i], q[i, 0], q[i, 1])
    return out


@njit(cache=True, error_model="numpy")
def _geometry(p, m, d1, d2):
    """Length of muscle `m` and its tendon, and its two moment arms."""
    k = _MUSCLE + _EACH * m
    a1, a2, c1, c2 = p[k + _ARM], p[k + _ARM + 1], p[k + _CURVE], p[k + _CURVE + 1]
    return (
        p[k + _REST] + (a1 + c1 * d1) * d1 + (a2 + c2 * d2) * d2,
        a1 + 2 * c1 * d1,
        a2 + 2 * c2 * d2,
    )


@njit(cache=True, error_model="numpy")
def _curves(a, length, speed):
    """Factors of the Hill muscle: stretch, force-length factor, A, B, and numerator and denominator of the force.

    Numerator and denominator of the lengthening branch are multiplied through by their own divisor, which passes 0.
    """
    stretch = max(length - 1.0, 0.0)
    factor = max(1.0 - (length - 1.0) ** 2 * _SQUARE, LEAST_FACTOR)
    slope = CURVE * factor if length > 1.0 else CURVE
    narrow = 1.0 if a >= CRITICAL else 1.0 - _NARROW * (CRITICAL - a)
    width = FLAT * narrow * narrow
    full = a * factor
    if speed < 0.0:
        return stretch, factor, slope, width, speed * a * slope + full * width, width - speed
    steep = SLANT - 2.0 * a * (factor + slope) / width
    top = 0.25 * full * full - 0.5 * PLATEAU * full * full - 0.5 * SLANT * full * speed
    return (
        stretch,
        factor,
        slope,
        width,
        top + steep * speed * (PLATEAU * full + SLANT * speed),
        (steep * speed - 0.5 * full),
    )


@njit(cache=True, error_model="numpy")
def _curves_gradient(a, length, speed, to_passive, to_factor, to_active):
    """Gradient of activation, length and speed from that of passive force, factor and active force."""
    stretch, factor, slope, width, top, bottom = _curves(a, length, speed)
    ga = gspeed = gslope = gwidth = 0.0
    gfactor, ratio = to_factor, top / bottom
    if ratio >= 0.0:
        gtop = to_active / bottom
        gbottom = -gtop * ratio
        if speed < 0.0:
            ga = gtop * (speed * slope + factor * width)
            gspeed = gtop * a * slope - gbottom
            gslope = gtop * speed * a
            gfactor += gtop * a * width
            gwidth = gtop * a * factor + gbottom
        else:
            full, steep = a * factor, SLANT - 2.0 * a * (factor + slope) / width
            gfull = (
                gtop * ((0.5 - PLATEAU) * full - 0.5 * SLANT * speed + PLATEAU * steep * speed)
                - 0.5 * gbottom
            )
            gsteep = gtop * speed * (PLATEAU * full + SLANT * speed) + gbottom * speed
            gspeed = (
                gtop * (steep * (PLATEAU * full + 2.0 * SLANT * speed) - 0.5 * SLANT * full)
                + gbottom * steep
            )
            ga = gfull * factor - gsteep * 2.0 * (factor + slope) / width
            gfactor += gfull * a - gsteep * 2.0 * a / width
            gslope = -gsteep * 2.0 * a / width
            gwidth = gsteep * 2.0 * a * (factor + slope) / (width * width)
    if length > 1.0:
        gfactor += CURVE * gslope
    if a < CRITICAL:
        ga += gwidth * 2.0 * math.sqrt(FLAT * width) * _NARROW
    glength = 2.0 * to_passive * stretch * _SQUARE
    if factor > LEAST_FACTOR:
        glength -= 2.0 * gfactor * (length - 1.0) * _SQUARE
    return ga, glength, gspeed


@njit(cache=True, error_model="numpy")
def _activate(p, a, u, dt):
    """Activation after `dt`."""
    u = min(max(u, p[_LEAST]), 1.0)
    scale = 0.5 + 1.5 * a
    rate = 1.0 / (p[_RISE] * scale) if u > a else scale * p[_PER_FALL]
    return min(max(a + dt * (u - a) * rate, p[_LEAST]), 1.0)


@njit(cache=True, error_model="numpy")
def _joint(p, j, q, v, acceleration, dt):
    """Angle and speed after `dt`: the angle moves with the OLD speed; at a limit the outward speed is lost."""
    low, high = p[_LOW + j], p[_HIGH + j]
    q, v = q + dt * v, v + dt * acceleration
    if (q <= low and v < 0.0) or (q >= high and v > 0.0):
        v = 0.0
    return min(max(q, low), high), v


@njit(cache=True, error_model="numpy")
def _muscles(p, q, v, state):
    """Fill the columns of the muscles `state` (7, 6) that follow from activation, angles and speeds."""
    d1, d2 = q[0] - 0.5 * math.pi, q[1]
    for m in range(_COUNT):
        k = _MUSCLE + _EACH * m
        whole, arm1, arm2 = _geometry(p, m, d1, d2)
        length = max(whole - p[k + _TENDON], 0.0) * p[k + _PER_BEST]
        speed = (arm1 * v[0] + arm2 * v[1]) * (p[_PER_TOP] * p[k + _PER_BEST])
        stretch, factor, _, _, top, bottom = _curves(state[0, m], length, speed)
        passive, active = stretch * stretch * _SQUARE, max(top / bottom, 0.0)
        state[1, m], state[2, m], state[3, m], state[4, m], state[5, m] = (
            length,
            speed,
            passive,
            factor,
            active,
        )
        state[6, m] = p[k + _PEAK] * (active + passive)


@njit(cache=True, error_model="numpy")
def _torques(p, q, force):
    """Joint torques of the muscle forces (6)."""
    one = two = 0.0
    for m in range(_COUNT):
        _, arm1, arm2 = _geometry(p, m, q[0] - 0.5 * math.pi, q[1])
        one -= force[m] * arm1
        two -= force[m] * arm2
    return one, two


@njit(cache=True, error_model="numpy")
def _pushed(p, q, fx, fy):
    """Joint torques of a force on the hand."""
    angle = q[0] + q[1]
    two = p[_L2] * (math.cos(angle) * fy - math.sin(angle) * fx)
    return p[_L1] * (math.cos(q[0]) * fy - math.sin(q[0]) * fx) + two, two


@njit(cache=True, error_model="numpy")
def _accelerations(p, q, v, one, two):
    """Joint accelerations under torques; H11, H12 and the determinant of the inertia."""
    sin, cos, h = math.sin(q[1]), math.cos(q[1]), p[_COUPLE]
    one += h * sin * (2.0 * v[0] + v[1]) * v[1]
    two -= h * sin * v[0] * v[0]
    h11, h12, h22 = p[_FIRST] + 2.0 * h * cos, p[_LAST] + h * cos, p[_LAST]
    det = h11 * h22 - h12 * h12
    return (h22 * one - h12 * two) / det, (h11 * two - h12 * one) / det, h11, h12, det


@njit(cache=True, nogil=True, error_model="numpy")
def pull(rows, q, v, muscles):
    """Fill ``muscles`` (n, 7, 6) from its activations (row 0), angles and speeds (n, 2).

    Args:
        rows: `parameters` of every arm, (n, 61), or (1, 61) for all.
        q: rad.
        v: rad/s.
        muscles: `COLUMNS` of every muscle.
    """
    for i in range(len(q)):
        _muscles(rows[i if len(rows) > 1 else 0], q[i], v[i], muscles[i])


@njit(cache=True, nogil=True, error_model="numpy")
def drive(rows, q, v, muscles, excitation, dt):
    """Activations in ``muscles`` (n, 7, 6) after `dt` under ``excitation`` (n, 6), then `pull`, in place."""
    for i in range(len(q)):
        for m in range(_COUNT):
            muscles[i, 0, m] = _activate(rows[i], muscles[i, 0, m], excitation[i, m], dt)
        _muscles(rows[i], q[i], v[i], muscles[i])


@njit(cache=True, nogil=True, error_model="numpy")
def move(rows, q, v, accelerations, dt):
    """Move angles and speeds (n, 2) on by `dt`, in place: section 2's step and limits."""
    for i in range(len(q)):
        for j in range(2):
            q[i, j], v[i, j] = _joint(rows[i], j, q[i, j], v[i, j], accelerations[i, j], dt)


@njit(cache=True, nogil=True, error_model="numpy")
def torques(rows, q, v, muscles, push, drag, squared, elbow, out):
    """Joint torques of muscles, of a force on the hand and of a field that resists it.

    Args:
        rows: `parameters` of every arm, (n, 61).
        q: rad, (n, 2).
        v: rad/s, (n, 2).
        muscles: `COLUMNS` of every muscle, (n, 7, 6).
        push: N on the hand, (n, 2).
        drag: gain of the field, (n,): N s/m, or N s^2/m^2 where it is `squared`.
        squared: whether the field grows with the square of the hand's speed, (n,).
        elbow: filled with the muscles' torque at the elbow, N m, (n,).
        out: filled with the joint torques, N m, (n, 2).
    """
    for i in range(len(q)):
        p, one, two = rows[i], q[i, 0], q[i, 0] + q[i, 1]
        fx, fy = push[i, 0], push[i, 1]
        if drag[i] != 0.0:
            turn = v[i, 0] + v[i, 1]
            vx = -p[_L1] * math.sin(one) * v[i, 0] - p[_L2] * math.sin(two) * turn
            vy = p[_L1] * math.cos(one) * v[i, 0] + p[_L2] * math.cos(two) * turn
            gain = drag[i] * math.hypot(vx, vy) if squared[i] else drag[i]
            fx -= gain * vx
            fy -= gain * vy
        first, elbow[i] = _torques(p, q[i], muscles[i, 6])
        more, most = _pushed(p, q[i], fx, fy)
        out[i, 0], out[i, 1] = first + more, elbow[i] + most


@njit(cache=True, nogil=True, error_model="numpy")
def step(rows, q, v, activation, force, excitation, push, dt, joints, muscles):
    """One plant step of the whole arm, skeleton included.

    Args:
        rows: as in `pull`.
        q: rad, (n, 2).
        v: rad/s, (n, 2).
        activation: (n, 6).
        force: N, (n, 6), of the muscles at q, v and activation.
        excitation: (n, 6).
        push: N on the hand, (n, 2).
        dt: s.
        joints: filled with the new angles, speeds and hand, (n, 3, 2).
        muscles: filled with the new `COLUMNS`, (n, 7, 6).
    """
    for i in range(len(q)):
        p = rows[i if len(rows) > 1 else 0]
        one, two = _torques(p, q[i], force[i])
        more, most = _pushed(p, q[i], push[i, 0], push[i, 1])
        a1, a2, _, _, _ = _accelerations(p, q[i], v[i], one + more, two + most)
        joints[i, 0, 0], joints[i, 1, 0] = _joint(p, 0, q[i, 0], v[i, 0], a1, dt)
        joints[i, 0, 1], joints[i, 1, 1] = _joint(p, 1, q[i, 1], v[i, 1], a2, dt)
        joints[i, 2, 0], joints[i, 2, 1] = _hand(p, joints[i, 0, 0], joints[i, 0, 1])
        for m in range(_COUNT):
            muscles[i, 0, m] = _activate(p, activation[i, m], excitation[i, m], dt)
        _muscles(p, joints[i, 0], joints[i, 1], muscles[i])


@njit(cache=True, nogil=True, error_model="numpy")
def step_gradient(
    rows, q, v, activation, force, excitation, push, dt, joints, muscles, to_joints, to_muscles, out
):
    """The gradient of a scalar through `step`, from what it is in its results to what it is in its arguments.

    Args:
        rows: as in `step`, like all up to `muscles`, which are `step`'s results.
        q: as in `step`.
        v: as in `step`.
        activation: as in `step`.
        force: as in `step`.
        excitation: as in `step`.
        push: as in `step`.
        dt: as in `step`.
        joints: as in `step`.
        muscles: as in `step`.
        to_joints: gradient in `joints`, (n, 3, 2).
        to_muscles: gradient in `muscles`, (n, 7, 6).
        out: filled with the gradient in q, v, push, activation, force, excitation, (n, 24).
    """
    for i in range(len(q)):
        p = rows[i if len(rows) > 1 else 0]
        new1, new2, speed1, speed2 = (
            joints[i, 0, 0],
            joints[i, 0, 1],
            joints[i, 1, 0],
            joints[i, 1, 1],
        )
        gq1, gq2, gv1, gv2 = (
            to_joints[i, 0, 0],
            to_joints[i, 0, 1],
            to_joints[i, 1, 0],
            to_joints[i, 1, 1],
        )
        # the hand
        gx, gy, angle = to_joints[i, 2, 0], to_joints[i, 2, 1], new1 + new2
        along = p[_L2] * (math.cos(angle) * gy - math.sin(angle) * gx)
        gq1 += p[_L1] * (math.cos(new1) * gy - math.sin(new1) * gx) + along
        gq2 += along
        # the muscles at the new angles
        d1, d2 = new1 - 0.5 * math.pi, new2
        for m in range(_COUNT):
            k = _MUSCLE + _EACH * m
            whole, arm1, arm2 = _geometry(p, m, d1, d2)
            a, length, speed = muscles[i, 0, m], muscles[i, 1, m], muscles[i, 2, m]
            pulled = p[_PEAK + k] * to_muscles[i, 6, m]
            ga, glength, gspeed = _curves_gradient(
                a,
                length,
                speed,
                to_muscles[i, 3, m] + pulled,
                to_muscles[i, 4, m],
                to_muscles[i, 5, m] + pulled,
            )
            ga += to_muscles[i, 0, m]
            gwhole = (
                (glength + to_muscles[i, 1, m]) * p[k + _PER_BEST]
                if whole > p[k + _TENDON]
                else 0.0
            )
            gspeed = (gspeed + to_muscles[i, 2, m]) * (p[_PER_TOP] * p[k + _PER_BEST])
            gq1 += gwhole * arm1 + 2.0 * gspeed * p[k + _CURVE] * speed1
            gq2 += gwhole * arm2 + 2.0 * gspeed * p[k + _CURVE + 1] * speed2
            gv1 += gspeed * arm1
            gv2 += gspeed * arm2
            # activation
            u, old, least = min(max(excitation[i, m], p[_LEAST]), 1.0), activation[i, m], p[_LEAST]
            scale = 0.5 + 1.5 * old
            if u > old:
                rate, bend = 1.0 / (p[_RISE] * scale), -1.5 / (p[_RISE] * scale * scale)
            else:
                rate, bend = scale * p[_PER_FALL], 1.5 * p[_PER_FALL]
            raw = old + dt * (u - old) * rate
            if raw < least or raw > 1.0:
                ga = 0.0
            out[i, 6 + m] = ga * (1.0 + dt * ((u - old) * bend - rate))
            out[i, 18 + m] = ga * dt * rate if least <= excitation[i, m] <= 1.0 else 0.0
        # the joints: the step and its limits
        q1, q2, v1, v2 = q[i, 0], q[i, 1], v[i, 0], v[i, 1]
        one, two = _torques(p, q[i], force[i])
        fx, fy = push[i, 0], push[i, 1]
        more, most = _pushed(p, q[i], fx, fy)
        acc1, acc2, h11, h12, det = _accelerations(p, q[i], v[i], one + more, two + most)
        raw1, raw2, faster1, faster2 = q1 + dt * v1, q2 + dt * v2, v1 + dt * acc1, v2 + dt * acc2
        if (raw1 <= p[_LOW] and faster1 < 0.0) or (raw1 >= p[_HIGH] and faster1 > 0.0):
            gv1 = 0.0
        if (raw2 <= p[_LOW + 1] and faster2 < 0.0) or (raw2 >= p[_HIGH + 1] and faster2 > 0.0):
            gv2 = 0.0
        if raw1 < p[_LOW] or raw1 > p[_HIGH]:
            gq1 = 0.0
        if raw2 < p[_LOW + 1] or raw2 > p[_HIGH + 1]:
            gq2 = 0.0
        # the accelerations: w is the gradient in the torques
        h, sin, cos = p[_COUPLE], math.sin(q2), math.cos(q2)
        w1 = dt * (p[_LAST] * gv1 - h12 * gv2) / det
        w2 = dt * (h11 * gv2 - h12 * gv1) / det
        gv1 += dt * gq1
        gv2 += dt * gq2
        gv1 += 2.0 * h * sin * (w1 * v2 - w2 * v1)
        gv2 += 2.0 * h * sin * w1 * (v1 + v2)
        gq2 += h * sin * (2.0 * w1 * acc1 + w1 * acc2 + w2 * acc1)
        gq2 += h * cos * (w1 * (2.0 * v1 + v2) * v2 - w2 * v1 * v1)
        # the torques
        for m in range(_COUNT):
            k = _MUSCLE + _EACH * m
            _, arm1, arm2 = _geometry(p, m, q1 - 0.5 * math.pi, q2)
            out[i, 12 + m] = -(w1 * arm1 + w2 * arm2)
            gq1 -= 2.0 * w1 * force[i, m] * p[k + _CURVE]
            gq2 -= 2.0 * w2 * force[i, m] * p[k + _CURVE + 1]
        angle = q1 + q2
        out[i, 4] = -w1 * (p[_L1] * math.sin(q1) + p[_L2] * math.sin(angle)) - w2 * p[
            _L2
        ] * math.sin(angle)
        out[i, 5] = w1 * (p[_L1] * math.cos(q1) + p[_L2] * math.cos(angle)) + w2 * p[
            _L2
        ] * math.cos(angle)
        turn = -(w1 + w2) * p[_L2] * (math.cos(angle) * fx + math.sin(angle) * fy)
        gq1 += turn - w1 * p[_L1] * (math.cos(q1) * fx + math.sin(q1) * fy)
        gq2 += turn
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = gq1, gq2, gv1, gv2

"""The arm's equations, compiled: Hill muscles, the plant step, and the exact gradient of the step.

Rigid-tendon Hill muscles after Kistemaker, Wong, Gribble 2010 (J Neurophysiol 104: 2985-94), with
the activation of Thelen 2003, as MotorNet has them (Codol et al., eLife 88591). The equations stand
in docs/systems/arm.md, "The arm" and "The muscles". `ArmReach` and `training.twins.arm` run this
one code.

Arrays have one row an arm; `arms` are records of `arm_parameters.ARM_RECORD`. Arrays hold float64
in the environment and float32 in the twin. A sum of two float32 numbers is rounded to float32, so
the order of factors and the place of parentheses decide the last bits of the twin's results.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numba import njit

from ..morphology.arm import MUSCLES
from .arm_parameters import ELBOW, SHOULDER, parameters, steepest_drag

# Everything compiled for the arm's plant stands in this one file. Numba's cache looks only at the
# file of the function that is called: a helper in another file could change without its callers
# being compiled again. (`movement` uses `Column`: after a change of its order, delete __pycache__.)
# The larger helpers of `step` and `step_gradient` are inlined by name: left to LLVM, the gradient
# takes 1.4 times as long.


class Column(IntEnum):
    """Columns of the state of muscles, an array (n, 7, 6): arm, column, muscle."""

    ACTIVATION = 0
    """in [`Arm.least_activation`, 1]"""
    LENGTH = 1
    """of the fibres, in optimal lengths"""
    SPEED = 2
    """of the fibres, lengthening positive, in `Arm.top_speed`"""
    PASSIVE = 3
    """force of the stretched fibres, in largest forces"""
    ACTIVE_LENGTH = 4
    """force-length factor"""
    ACTIVE = 5
    """force of the activated fibres, in largest forces"""
    FORCE = 6
    """N, active and passive force together"""


class Joint(IntEnum):
    """Rows of the joints' part of a state, an array (n, 3, 2)."""

    ANGLE = 0
    """rad, of shoulder and elbow"""
    SPEED = 1
    """rad/s, of shoulder and elbow"""
    HAND = 2
    """m, x and y"""


class Gradient(IntEnum):
    """First column of each argument's gradient in the result of `step_gradient`, an array (n, 24)."""

    ANGLE = 0
    """2 columns, in the order of the joints"""
    SPEED = 2
    """2 columns, in the order of the joints"""
    PUSH = 4
    """2 columns, x and y"""
    ACTIVATION = 6
    """6 columns, in the order of the muscles"""
    FORCE = 12
    """6 columns, in the order of the muscles"""
    EXCITATION = 18
    """6 columns, in the order of the muscles"""


COLUMNS = tuple(column.name.lower() for column in Column)
"""names of `Column`, in its order"""
GRADIENT_WIDTH = 24
"""columns of `Gradient` in all"""
MUSCLE_COUNT = len(MUSCLES)

FORCE_LENGTH_WIDTH = 0.66
"""optimal lengths from the best length to where the force-length parabola is 0"""
HILL_A = 0.41
"""curvature of the force-velocity hyperbola (Hill's a, in isometric forces)"""
HILL_B = 5.2
"""width of the force-velocity hyperbola at full activation (Hill's b, in optimal lengths)"""
CRITICAL_ACTIVATION = 0.3
"""activation below which Hill's b falls"""
SILENT_ACTIVATION = 0.005
"""activation at which the root of Hill's b has fallen to a tenth"""
LENGTHENING_PLATEAU = 1.5
"""largest force of a lengthening muscle, in isometric forces"""
LENGTHENING_SLOPE = 0.001
"""slope of the lengthening curve far out, which keeps the force strictly monotonic"""
LEAST_LENGTH_FACTOR = 0.01
"""floor of the force-length factor"""
_PER_SQUARED_WIDTH = 1 / FORCE_LENGTH_WIDTH**2
_B_LOSS = 0.9 / (CRITICAL_ACTIVATION - SILENT_ACTIVATION)
"""what the root of Hill's b loses, as a part of its full value, for each unit of activation"""


# -- geometry ----------------------------------------------------------------------------------


@njit(cache=True, error_model="numpy")
def _hand(arm, shoulder, elbow):
    """Position of the hand at joint angles, m."""
    x = math.cos(shoulder) * arm.upper_length + math.cos(shoulder + elbow) * arm.forearm_length
    y = math.sin(shoulder) * arm.upper_length + math.sin(shoulder + elbow) * arm.forearm_length
    return x, y


@njit(cache=True, error_model="numpy")
def _jacobian_transposed(arm, angle, x, y):
    """A vector at the hand taken to the joints: the transposed Jacobian of the hand, times (x, y).

    It turns a force on the hand into joint torques, and a gradient in the hand into one in the
    angles.
    """
    forearm_angle = angle[SHOULDER] + angle[ELBOW]
    at_elbow = arm.forearm_length * (math.cos(forearm_angle) * y - math.sin(forearm_angle) * x)
    upper_part = arm.upper_length * (math.cos(angle[SHOULDER]) * y - math.sin(angle[SHOULDER]) * x)
    return upper_part + at_elbow, at_elbow


class Path(NamedTuple):
    """How a muscle runs over the joints."""

    length: float
    """m, of muscle and tendon"""
    shoulder_arm: float
    """m, moment arm: the derivative of the length by the shoulder's angle"""
    elbow_arm: float
    """m, moment arm: the derivative of the length by the elbow's angle"""


@njit(cache=True, error_model="numpy")
def _path(muscle, d1, d2):
    """The muscle's polynomial (docs/systems/arm.md, "The muscles"): length, and moment arms.

    L = rest + sum_j (arm_j + curve_j d_j) d_j, with d1 = shoulder - pi/2 and d2 = elbow.
    """
    length = (
        muscle.rest_length
        + (muscle.shoulder_arm + muscle.shoulder_curve * d1) * d1
        + (muscle.elbow_arm + muscle.elbow_curve * d2) * d2
    )
    shoulder_arm = muscle.shoulder_arm + 2 * muscle.shoulder_curve * d1
    elbow_arm = muscle.elbow_arm + 2 * muscle.elbow_curve * d2
    return Path(length, shoulder_arm, elbow_arm)


# -- one muscle --------------------------------------------------------------------------------


class HillCurves(NamedTuple):
    """Factors of a Hill muscle's force at one activation, length and speed."""

    stretch: float
    """optimal lengths beyond the best length; 0 if shorter"""
    length_factor: float
    """f_l, force-length factor"""
    hill_a: float
    """A"""
    hill_b: float
    """B"""
    numerator: float
    """of the active force"""
    denominator: float
    """of the active force"""


@njit(cache=True, error_model="numpy")
def _hill_curves(activation, length, speed):
    """Factors of the force of a muscle (docs/systems/arm.md, "The muscles").

    With activation a, force-length factor f and speed v the active force is, for shortening,
    Hill's hyperbola (v a A + a f B) / (B - v). For lengthening it is a second hyperbola with the
    same value and slope at v = 0, which tends to the plateau P with a slope c:
    (a^2 f^2 (1/4 - P/2) - c a f v / 2 + s v (P a f + c v)) / (s v - a f / 2)
    where s = c - 2 a (f + A) / B.

    Numerator and denominator of the lengthening curve are multiplied through by their own divisor,
    which passes 0.
    """
    stretch = max(length - 1.0, 0.0)
    length_factor = max(1.0 - (length - 1.0) ** 2 * _PER_SQUARED_WIDTH, LEAST_LENGTH_FACTOR)
    hill_a = HILL_A * length_factor if length > 1.0 else HILL_A
    root = (
        1.0
        if activation >= CRITICAL_ACTIVATION
        else 1.0 - _B_LOSS * (CRITICAL_ACTIVATION - activation)
    )
    hill_b = HILL_B * root * root
    isometric = activation * length_factor
    if speed < 0.0:
        numerator = speed * activation * hill_a + isometric * hill_b
        denominator = hill_b - speed
    else:
        steepness = LENGTHENING_SLOPE - 2.0 * activation * (length_factor + hill_a) / hill_b
        at_rest = (
            0.25 * isometric * isometric
            - 0.5 * LENGTHENING_PLATEAU * isometric * isometric
            - 0.5 * LENGTHENING_SLOPE * isometric * speed
        )
        plateau = LENGTHENING_PLATEAU * isometric + LENGTHENING_SLOPE * speed
        numerator = at_rest + steepness * speed * plateau
        denominator = steepness * speed - 0.5 * isometric
    return HillCurves(stretch, length_factor, hill_a, hill_b, numerator, denominator)


@njit(cache=True, error_model="numpy")
def _activate(arm, activation, excitation, dt):
    """Activation after `dt`: first order, rising faster than it falls (Thelen 2003)."""
    excitation = min(max(excitation, arm.least_activation), 1.0)
    scale = 0.5 + 1.5 * activation
    rising = 1.0 / (arm.activation_time * scale)
    falling = scale * arm.per_deactivation_time
    rate = rising if excitation > activation else falling
    new = activation + dt * (excitation - activation) * rate
    return min(max(new, arm.least_activation), 1.0)


@njit(cache=True, error_model="numpy")
def _fill_muscles(arm, angle, speed, state):
    """Fill the columns of the muscles `state` (7, 6) that follow from activation, angles and speeds."""
    d1 = angle[SHOULDER] - 0.5 * math.pi
    d2 = angle[ELBOW]
    for m in range(MUSCLE_COUNT):
        muscle = arm.muscle[m]
        path = _path(muscle, d1, d2)
        fibres = max(path.length - muscle.tendon, 0.0) * muscle.per_optimal_length
        path_speed = path.shoulder_arm * speed[SHOULDER] + path.elbow_arm * speed[ELBOW]
        fibre_speed = path_speed * (arm.per_top_speed * muscle.per_optimal_length)
        curves = _hill_curves(state[Column.ACTIVATION, m], fibres, fibre_speed)
        passive = curves.stretch * curves.stretch * _PER_SQUARED_WIDTH
        active = max(curves.numerator / curves.denominator, 0.0)
        state[Column.LENGTH, m] = fibres
        state[Column.SPEED, m] = fibre_speed
        state[Column.PASSIVE, m] = passive
        state[Column.ACTIVE_LENGTH, m] = curves.length_factor
        state[Column.ACTIVE, m] = active
        state[Column.FORCE, m] = muscle.max_force * (active + passive)


# -- the skeleton ------------------------------------------------------------------------------


@njit(inline="always", error_model="numpy")
def _muscle_torques(arm, angle, force):
    """Joint torques of the muscle forces (6), N m: a muscle pulls against its moment arm."""
    at_shoulder = 0.0
    at_elbow = 0.0
    for m in range(MUSCLE_COUNT):
        path = _path(arm.muscle[m], angle[SHOULDER] - 0.5 * math.pi, angle[ELBOW])
        at_shoulder -= force[m] * path.shoulder_arm
        at_elbow -= force[m] * path.elbow_arm
    return at_shoulder, at_elbow


class Acceleration(NamedTuple):
    """Joint accelerations, and the inertia that gave them."""

    shoulder: float
    """rad/s^2"""
    elbow: float
    """rad/s^2"""
    h11: float
    """kg m^2, of the inertia matrix"""
    h12: float
    """kg m^2, of the inertia matrix"""
    determinant: float
    """kg^2 m^4, of the inertia matrix"""


@njit(inline="always", error_model="numpy")
def _accelerations(arm, angle, speed, shoulder_torque, elbow_torque):
    """Accelerations under joint torques, with the Coriolis and centrifugal terms of the skeleton."""
    sin = math.sin(angle[ELBOW])
    cos = math.cos(angle[ELBOW])
    h = arm.coupling
    w1 = speed[SHOULDER]
    w2 = speed[ELBOW]
    shoulder_torque += h * sin * (2.0 * w1 + w2) * w2
    elbow_torque -= h * sin * w1 * w1
    h11 = arm.straight_inertia + 2.0 * h * cos
    h12 = arm.forearm_inertia + h * cos
    h22 = arm.forearm_inertia
    determinant = h11 * h22 - h12 * h12
    shoulder = (h22 * shoulder_torque - h12 * elbow_torque) / determinant
    elbow = (h11 * elbow_torque - h12 * shoulder_torque) / determinant
    return Acceleration(shoulder, elbow, h11, h12, determinant)


@njit(cache=True, error_model="numpy")
def _move_joint(arm, joint, angle, speed, acceleration, dt):
    """Angle and speed of a joint after `dt`; at a limit the outward speed is lost.

    The angle moves with the OLD speed, as in the original.
    """
    low = arm.lowest_angle[joint]
    high = arm.highest_angle[joint]
    new_angle = angle + dt * speed
    new_speed = speed + dt * acceleration
    if (new_angle <= low and new_speed < 0.0) or (new_angle >= high and new_speed > 0.0):
        new_speed = 0.0
    return min(max(new_angle, low), high), new_speed


# -- batches, as the environment calls them ----------------------------------------------------


@njit(cache=True, nogil=True, error_model="numpy")
def hands(arms, angles):
    """Where the hands are, m, (n, 2), of arms (n,) at angles (n, 2)."""
    out = np.empty((len(angles), 2))
    for i in range(len(angles)):
        out[i, 0], out[i, 1] = _hand(arms[i], angles[i, SHOULDER], angles[i, ELBOW])
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def fill_muscles(arms, angles, speeds, muscles):
    """Fill the columns of muscles that follow from their activations, angles and speeds, in place.

    Args:
        arms: `parameters` of every arm, (n,), or (1,) for all.
        angles: rad, (n, 2).
        speeds: rad/s, (n, 2).
        muscles: `Column` of every muscle, (n, 7, 6); activations are read, all else is filled.
    """
    for i in range(len(angles)):
        _fill_muscles(arms[i if len(arms) > 1 else 0], angles[i], speeds[i], muscles[i])


@njit(cache=True, nogil=True, error_model="numpy")
def advance_muscles(arms, angles, speeds, muscles, excitation, dt):
    """Activations after `dt`, and all that follows from them, in place.

    Args:
        arms: `parameters` of every arm, (n,).
        angles: rad, (n, 2), after the step.
        speeds: rad/s, (n, 2), after the step.
        muscles: `Column` of every muscle before the step, (n, 7, 6); overwritten.
        excitation: of every muscle, (n, 6), clipped to [least activation, 1].
        dt: plant step, s.
    """
    for i in range(len(angles)):
        for m in range(MUSCLE_COUNT):
            before = muscles[i, Column.ACTIVATION, m]
            muscles[i, Column.ACTIVATION, m] = _activate(arms[i], before, excitation[i, m], dt)
        _fill_muscles(arms[i], angles[i], speeds[i], muscles[i])


class Joints(NamedTuple):
    """The joints of n arms; column `SHOULDER` or `ELBOW` of each array."""

    angles: np.ndarray
    """rad, (n, 2)"""
    speeds: np.ndarray
    """rad/s, (n, 2)"""
    accelerations: np.ndarray
    """rad/s^2, (n, 2)"""


@njit(cache=True, nogil=True, error_model="numpy")
def advance_joints(arms, joints, dt):
    """Move the angles and speeds of `joints` on by `dt`, in place; their accelerations stay.

    Args:
        arms: `parameters` of every arm, (n,).
        joints: `Joints` of every arm; angles and speeds are overwritten.
        dt: plant step, s.
    """
    for i in range(len(joints.angles)):
        for joint in (SHOULDER, ELBOW):
            # Both from the values before the step: the angle must not move with the new speed.
            angle = joints.angles[i, joint]
            speed = joints.speeds[i, joint]
            acceleration = joints.accelerations[i, joint]
            new_angle, new_speed = _move_joint(arms[i], joint, angle, speed, acceleration, dt)
            joints.angles[i, joint] = new_angle
            joints.speeds[i, joint] = new_speed


@njit(cache=True, error_model="numpy")
def _hand_velocity(arm, angle, speed):
    """Velocity of the hand, m/s."""
    forearm_angle = angle[SHOULDER] + angle[ELBOW]
    forearm_turn = speed[SHOULDER] + speed[ELBOW]
    x = (
        -arm.upper_length * math.sin(angle[SHOULDER]) * speed[SHOULDER]
        - arm.forearm_length * math.sin(forearm_angle) * forearm_turn
    )
    y = (
        arm.upper_length * math.cos(angle[SHOULDER]) * speed[SHOULDER]
        + arm.forearm_length * math.cos(forearm_angle) * forearm_turn
    )
    return x, y


@njit(cache=True, nogil=True, error_model="numpy")
def joint_torques(arms, angles, speeds, muscles, push, drag, squared, elbow, out):
    """Joint torques of muscles, of a force on the hand and of a field that resists it.

    Args:
        arms: `parameters` of every arm, (n,).
        angles: rad, (n, 2).
        speeds: rad/s, (n, 2).
        muscles: `Column` of every muscle, (n, 7, 6).
        push: force on the hand, N, (n, 2).
        drag: gain of the field, (n,): N s/m, or N s^2/m^2 where it is `squared`.
        squared: whether the field grows with the square of the hand's speed, (n,).
        elbow: filled with the muscles' torque at the elbow, N m, (n,).
        out: filled with the joint torques, N m, (n, 2).
    """
    for i in range(len(angles)):
        arm = arms[i]
        force_x = push[i, 0]
        force_y = push[i, 1]
        if drag[i] != 0.0:
            velocity_x, velocity_y = _hand_velocity(arm, angles[i], speeds[i])
            gain = drag[i] * math.hypot(velocity_x, velocity_y) if squared[i] else drag[i]
            force_x -= gain * velocity_x
            force_y -= gain * velocity_y
        shoulder, elbow[i] = _muscle_torques(arm, angles[i], muscles[i, Column.FORCE])
        hand_shoulder, hand_elbow = _jacobian_transposed(arm, angles[i], force_x, force_y)
        out[i, SHOULDER] = shoulder + hand_shoulder
        out[i, ELBOW] = elbow[i] + hand_elbow


# -- batches, as the twin calls them -----------------------------------------------------------


@njit(inline="always", error_model="numpy")
def _accelerations_under(arm, angle, speed, force, push_x, push_y):
    """Accelerations under muscle forces (6), N, and a push on the hand, N."""
    shoulder, elbow = _muscle_torques(arm, angle, force)
    push_shoulder, push_elbow = _jacobian_transposed(arm, angle, push_x, push_y)
    return _accelerations(arm, angle, speed, shoulder + push_shoulder, elbow + push_elbow)


@njit(cache=True, nogil=True, error_model="numpy")
def step(arms, angles, speeds, activation, force, excitation, push, dt, joints, muscles):
    """One plant step of the whole arm, skeleton included.

    Args:
        arms: `parameters` of every arm, (n,), or (1,) for all.
        angles: rad, (n, 2).
        speeds: rad/s, (n, 2).
        activation: of every muscle, (n, 6).
        force: N, (n, 6), of the muscles at these angles, speeds and activations.
        excitation: of every muscle, (n, 6), clipped to [least activation, 1].
        push: force on the hand, N, (n, 2).
        dt: plant step, s.
        joints: filled with `Joint` after the step, (n, 3, 2).
        muscles: filled with `Column` after the step, (n, 7, 6).
    """
    for i in range(len(angles)):
        arm = arms[i if len(arms) > 1 else 0]
        now = _accelerations_under(arm, angles[i], speeds[i], force[i], push[i, 0], push[i, 1])
        joints[i, Joint.ANGLE, SHOULDER], joints[i, Joint.SPEED, SHOULDER] = _move_joint(
            arm=arm,
            joint=SHOULDER,
            angle=angles[i, SHOULDER],
            speed=speeds[i, SHOULDER],
            acceleration=now.shoulder,
            dt=dt,
        )
        joints[i, Joint.ANGLE, ELBOW], joints[i, Joint.SPEED, ELBOW] = _move_joint(
            arm=arm,
            joint=ELBOW,
            angle=angles[i, ELBOW],
            speed=speeds[i, ELBOW],
            acceleration=now.elbow,
            dt=dt,
        )
        # Read back from the results, which may be float32: the muscles follow what the caller sees.
        shoulder = joints[i, Joint.ANGLE, SHOULDER]
        elbow = joints[i, Joint.ANGLE, ELBOW]
        joints[i, Joint.HAND, 0], joints[i, Joint.HAND, 1] = _hand(arm, shoulder, elbow)
        for m in range(MUSCLE_COUNT):
            muscles[i, Column.ACTIVATION, m] = _activate(
                arm, activation[i, m], excitation[i, m], dt
            )
        _fill_muscles(arm, joints[i, Joint.ANGLE], joints[i, Joint.SPEED], muscles[i])


# -- the gradient of a step --------------------------------------------------------------------
# Reverse mode by hand: each function takes the gradient of a scalar in its results and gives the
# one in its arguments. A limit that clamps a number passes no gradient.


class CurvesGradient(NamedTuple):
    """Gradient of the active force in what it is computed from."""

    activation: float
    speed: float
    length_factor: float
    hill_a: float
    hill_b: float


@njit(cache=True, error_model="numpy")
def _shortening_gradient(activation, speed, curves, grad_active):
    """Gradient through Hill's hyperbola, the shortening branch of `_hill_curves`."""
    grad_numerator = grad_active / curves.denominator
    grad_denominator = -grad_numerator * (curves.numerator / curves.denominator)
    return CurvesGradient(
        activation=grad_numerator * (speed * curves.hill_a + curves.length_factor * curves.hill_b),
        speed=grad_numerator * activation * curves.hill_a - grad_denominator,
        length_factor=grad_numerator * activation * curves.hill_b,
        hill_a=grad_numerator * speed * activation,
        hill_b=grad_numerator * activation * curves.length_factor + grad_denominator,
    )


@njit(cache=True, error_model="numpy")
def _lengthening_gradient(activation, speed, curves, grad_active):
    """Gradient through the second hyperbola, the lengthening branch of `_hill_curves`."""
    hill_b = curves.hill_b
    factor_and_a = curves.length_factor + curves.hill_a
    isometric = activation * curves.length_factor
    steepness = LENGTHENING_SLOPE - 2.0 * activation * factor_and_a / hill_b
    grad_numerator = grad_active / curves.denominator
    grad_denominator = -grad_numerator * (curves.numerator / curves.denominator)
    grad_isometric = (
        grad_numerator
        * (
            (0.5 - LENGTHENING_PLATEAU) * isometric
            - 0.5 * LENGTHENING_SLOPE * speed
            + LENGTHENING_PLATEAU * steepness * speed
        )
        - 0.5 * grad_denominator
    )
    grad_steepness = (
        grad_numerator * speed * (LENGTHENING_PLATEAU * isometric + LENGTHENING_SLOPE * speed)
        + grad_denominator * speed
    )
    grad_speed = (
        grad_numerator
        * (
            steepness * (LENGTHENING_PLATEAU * isometric + 2.0 * LENGTHENING_SLOPE * speed)
            - 0.5 * LENGTHENING_SLOPE * isometric
        )
        + grad_denominator * steepness
    )
    return CurvesGradient(
        activation=(
            grad_isometric * curves.length_factor - grad_steepness * 2.0 * factor_and_a / hill_b
        ),
        speed=grad_speed,
        length_factor=grad_isometric * activation - grad_steepness * 2.0 * activation / hill_b,
        hill_a=-grad_steepness * 2.0 * activation / hill_b,
        hill_b=grad_steepness * 2.0 * activation * factor_and_a / (hill_b * hill_b),
    )


@njit(inline="always", error_model="numpy")
def _hill_gradient(activation, length, speed, grad_passive, grad_factor, grad_active):
    """Gradient in activation, length and speed from that in passive force, factor and active force."""
    curves = _hill_curves(activation, length, speed)
    if curves.numerator / curves.denominator >= 0.0:
        if speed < 0.0:
            active = _shortening_gradient(activation, speed, curves, grad_active)
        else:
            active = _lengthening_gradient(activation, speed, curves, grad_active)
    else:
        # A negative force is clamped to 0.
        active = CurvesGradient(0.0, 0.0, 0.0, 0.0, 0.0)

    grad_factor += active.length_factor
    if length > 1.0:
        grad_factor += HILL_A * active.hill_a
    grad_activation = active.activation
    if activation < CRITICAL_ACTIVATION:
        # d(B r^2)/dr = 2 sqrt(B) sqrt(B r^2), with r the root that falls below this activation.
        grad_activation += active.hill_b * 2.0 * math.sqrt(HILL_B * curves.hill_b) * _B_LOSS
    grad_length = 2.0 * grad_passive * curves.stretch * _PER_SQUARED_WIDTH
    if curves.length_factor > LEAST_LENGTH_FACTOR:
        grad_length -= 2.0 * grad_factor * (length - 1.0) * _PER_SQUARED_WIDTH
    return grad_activation, grad_length, active.speed


@njit(inline="always", error_model="numpy")
def _activation_gradient(arm, activation, excitation, dt, grad_new):
    """Gradient in activation and excitation before a step from that in the activation after it."""
    least = arm.least_activation
    clipped = min(max(excitation, least), 1.0)
    scale = 0.5 + 1.5 * activation
    if clipped > activation:
        rate = 1.0 / (arm.activation_time * scale)
        rate_slope = -1.5 / (arm.activation_time * scale * scale)
    else:
        rate = scale * arm.per_deactivation_time
        rate_slope = 1.5 * arm.per_deactivation_time
    unclamped = activation + dt * (clipped - activation) * rate
    if unclamped < least or unclamped > 1.0:
        grad_new = 0.0
    grad_activation = grad_new * (1.0 + dt * ((clipped - activation) * rate_slope - rate))
    grad_excitation = grad_new * dt * rate if least <= excitation <= 1.0 else 0.0
    return grad_activation, grad_excitation


@njit(inline="always", error_model="numpy")
def _joint_gradient(arm, joint, angle, speed, acceleration, dt, grad_angle, grad_speed):
    """What the limits of a joint leave of the gradient in its new angle and speed."""
    low = arm.lowest_angle[joint]
    high = arm.highest_angle[joint]
    new_angle = angle + dt * speed
    new_speed = speed + dt * acceleration
    if (new_angle <= low and new_speed < 0.0) or (new_angle >= high and new_speed > 0.0):
        grad_speed = 0.0
    if new_angle < low or new_angle > high:
        grad_angle = 0.0
    return grad_angle, grad_speed


@njit(cache=True, nogil=True, error_model="numpy")
def step_gradient(
    arms,
    angles,
    speeds,
    activation,
    force,
    excitation,
    push,
    dt,
    joints,
    muscles,
    grad_joints,
    grad_muscles,
    out,
):
    """The gradient of a scalar through `step`, from that in its results to that in its arguments.

    Args:
        arms: as in `step`, like all up to `muscles`, which are `step`'s results.
        angles: as in `step`.
        speeds: as in `step`.
        activation: as in `step`.
        force: as in `step`.
        excitation: as in `step`.
        push: as in `step`.
        dt: as in `step`.
        joints: as in `step`.
        muscles: as in `step`.
        grad_joints: gradient in `joints`, (n, 3, 2).
        grad_muscles: gradient in `muscles`, (n, 7, 6).
        out: filled with the gradient in the arguments, columns `Gradient`, (n, 24).
    """
    for i in range(len(angles)):
        arm = arms[i if len(arms) > 1 else 0]
        # Backwards: from the results to the new angles and speeds, from these to what was before the step.
        grad_shoulder, grad_elbow, grad_shoulder_speed, grad_elbow_speed = _results_gradient(
            arm=arm,
            activation=activation[i],
            excitation=excitation[i],
            dt=dt,
            joints=joints[i],
            muscles=muscles[i],
            grad_joints=grad_joints[i],
            grad_muscles=grad_muscles[i],
            out=out[i],
        )
        _skeleton_gradient(
            arm=arm,
            angle=angles[i],
            speed=speeds[i],
            force=force[i],
            push=push[i],
            dt=dt,
            grad_shoulder=grad_shoulder,
            grad_elbow=grad_elbow,
            grad_shoulder_speed=grad_shoulder_speed,
            grad_elbow_speed=grad_elbow_speed,
            out=out[i],
        )


@njit(inline="always", error_model="numpy")
def _results_gradient(
    arm, activation, excitation, dt, joints, muscles, grad_joints, grad_muscles, out
):
    """Gradient in the new angles and speeds, to which hand and muscles add; activations into `out`.

    Args:
        arm: record of the arm.
        activation: before the step, (6,).
        excitation: (6,).
        dt: plant step, s.
        joints: after the step, (3, 2).
        muscles: after the step, (7, 6).
        grad_joints: gradient in `joints`.
        grad_muscles: gradient in `muscles`.
        out: row of `Gradient`; its columns of activation and excitation are filled.

    Returns:
        The gradient in the new angles of shoulder and elbow, and in their new speeds.
    """
    new_angle = joints[Joint.ANGLE]
    new_speed = joints[Joint.SPEED]
    hand_shoulder, hand_elbow = _jacobian_transposed(
        arm, new_angle, grad_joints[Joint.HAND, 0], grad_joints[Joint.HAND, 1]
    )
    grad_shoulder = grad_joints[Joint.ANGLE, SHOULDER] + hand_shoulder
    grad_elbow = grad_joints[Joint.ANGLE, ELBOW] + hand_elbow
    grad_shoulder_speed = 0.0 + grad_joints[Joint.SPEED, SHOULDER]
    grad_elbow_speed = 0.0 + grad_joints[Joint.SPEED, ELBOW]

    d1 = new_angle[SHOULDER] - 0.5 * math.pi
    d2 = new_angle[ELBOW]
    for m in range(MUSCLE_COUNT):
        muscle = arm.muscle[m]
        path = _path(muscle, d1, d2)
        # The force is max_force (active + passive): both get its gradient.
        by_force = muscle.max_force * grad_muscles[Column.FORCE, m]
        grad_activation, grad_length, grad_speed = _hill_gradient(
            muscles[Column.ACTIVATION, m],
            muscles[Column.LENGTH, m],
            muscles[Column.SPEED, m],
            grad_muscles[Column.PASSIVE, m] + by_force,
            grad_muscles[Column.ACTIVE_LENGTH, m],
            grad_muscles[Column.ACTIVE, m] + by_force,
        )
        grad_activation += grad_muscles[Column.ACTIVATION, m]
        if path.length > muscle.tendon:
            fibre_gradient = grad_length + grad_muscles[Column.LENGTH, m]
            grad_path = fibre_gradient * muscle.per_optimal_length
        else:
            grad_path = 0.0
        per_speed = arm.per_top_speed * muscle.per_optimal_length
        grad_path_speed = (grad_speed + grad_muscles[Column.SPEED, m]) * per_speed
        grad_shoulder += (
            grad_path * path.shoulder_arm
            + 2.0 * grad_path_speed * muscle.shoulder_curve * new_speed[SHOULDER]
        )
        grad_elbow += (
            grad_path * path.elbow_arm
            + 2.0 * grad_path_speed * muscle.elbow_curve * new_speed[ELBOW]
        )
        grad_shoulder_speed += grad_path_speed * path.shoulder_arm
        grad_elbow_speed += grad_path_speed * path.elbow_arm
        out[Gradient.ACTIVATION + m], out[Gradient.EXCITATION + m] = _activation_gradient(
            arm, activation[m], excitation[m], dt, grad_activation
        )
    return grad_shoulder, grad_elbow, grad_shoulder_speed, grad_elbow_speed


@njit(inline="always", error_model="numpy")
def _skeleton_gradient(
    arm,
    angle,
    speed,
    force,
    push,
    dt,
    grad_shoulder,
    grad_elbow,
    grad_shoulder_speed,
    grad_elbow_speed,
    out,
):
    """Gradient through the joints' step, the accelerations and the torques.

    Args:
        arm: record of the arm.
        angle: before the step, (2,).
        speed: before the step, (2,).
        force: of the muscles before the step, (6,).
        push: on the hand, (2,).
        dt: plant step, s.
        grad_shoulder: gradient in the shoulder's new angle.
        grad_elbow: gradient in the elbow's new angle.
        grad_shoulder_speed: gradient in the shoulder's new speed.
        grad_elbow_speed: gradient in the elbow's new speed.
        out: row of `Gradient`; its columns of angle, speed, push and force are filled.
    """
    push_x = push[0]
    push_y = push[1]
    now = _accelerations_under(arm, angle, speed, force, push_x, push_y)
    grad_shoulder, grad_shoulder_speed = _joint_gradient(
        arm=arm,
        joint=SHOULDER,
        angle=angle[SHOULDER],
        speed=speed[SHOULDER],
        acceleration=now.shoulder,
        dt=dt,
        grad_angle=grad_shoulder,
        grad_speed=grad_shoulder_speed,
    )
    grad_elbow, grad_elbow_speed = _joint_gradient(
        arm=arm,
        joint=ELBOW,
        angle=angle[ELBOW],
        speed=speed[ELBOW],
        acceleration=now.elbow,
        dt=dt,
        grad_angle=grad_elbow,
        grad_speed=grad_elbow_speed,
    )

    # Through the accelerations: inertia times acceleration = torque, so the gradient in the torques
    # is the inverse inertia times the one in the accelerations, dt times that in the new speeds.
    grad_shoulder_torque = (
        dt
        * (arm.forearm_inertia * grad_shoulder_speed - now.h12 * grad_elbow_speed)
        / now.determinant
    )
    grad_elbow_torque = (
        dt * (now.h11 * grad_elbow_speed - now.h12 * grad_shoulder_speed) / now.determinant
    )
    # Angles move with the old speeds. This comes after the lines above, which need the gradient
    # in the new speeds alone.
    grad_shoulder_speed += dt * grad_shoulder
    grad_elbow_speed += dt * grad_elbow
    # Through the Coriolis and centrifugal terms, and the elbow's angle in the inertia.
    h = arm.coupling
    sin = math.sin(angle[ELBOW])
    cos = math.cos(angle[ELBOW])
    w1 = speed[SHOULDER]
    w2 = speed[ELBOW]
    grad_shoulder_speed += 2.0 * h * sin * (grad_shoulder_torque * w2 - grad_elbow_torque * w1)
    grad_elbow_speed += 2.0 * h * sin * grad_shoulder_torque * (w1 + w2)
    grad_elbow += (
        h
        * sin
        * (
            2.0 * grad_shoulder_torque * now.shoulder
            + grad_shoulder_torque * now.elbow
            + grad_elbow_torque * now.shoulder
        )
    )
    grad_elbow += (
        h * cos * (grad_shoulder_torque * (2.0 * w1 + w2) * w2 - grad_elbow_torque * w1 * w1)
    )

    # Through the torques of the muscles.
    for m in range(MUSCLE_COUNT):
        muscle = arm.muscle[m]
        path = _path(muscle, angle[SHOULDER] - 0.5 * math.pi, angle[ELBOW])
        out[Gradient.FORCE + m] = -(
            grad_shoulder_torque * path.shoulder_arm + grad_elbow_torque * path.elbow_arm
        )
        grad_shoulder -= 2.0 * grad_shoulder_torque * force[m] * muscle.shoulder_curve
        grad_elbow -= 2.0 * grad_elbow_torque * force[m] * muscle.elbow_curve

    # Through the torques of the push: its gradient is the Jacobian of the hand times the torques'.
    upper = arm.upper_length
    forearm = arm.forearm_length
    forearm_angle = angle[SHOULDER] + angle[ELBOW]
    out[Gradient.PUSH] = -grad_shoulder_torque * (
        upper * math.sin(angle[SHOULDER]) + forearm * math.sin(forearm_angle)
    ) - grad_elbow_torque * forearm * math.sin(forearm_angle)
    out[Gradient.PUSH + 1] = grad_shoulder_torque * (
        upper * math.cos(angle[SHOULDER]) + forearm * math.cos(forearm_angle)
    ) + grad_elbow_torque * forearm * math.cos(forearm_angle)
    forearm_part = (
        -(grad_shoulder_torque + grad_elbow_torque)
        * forearm
        * (math.cos(forearm_angle) * push_x + math.sin(forearm_angle) * push_y)
    )
    grad_shoulder += forearm_part - grad_shoulder_torque * upper * (
        math.cos(angle[SHOULDER]) * push_x + math.sin(angle[SHOULDER]) * push_y
    )
    grad_elbow += forearm_part

    out[Gradient.ANGLE + SHOULDER] = grad_shoulder
    out[Gradient.ANGLE + ELBOW] = grad_elbow
    out[Gradient.SPEED + SHOULDER] = grad_shoulder_speed
    out[Gradient.SPEED + ELBOW] = grad_elbow_speed


__all__ = [
    "COLUMNS",
    "Column",
    "Gradient",
    "Joint",
    "Joints",
    "advance_joints",
    "advance_muscles",
    "fill_muscles",
    "hands",
    "joint_torques",
    "parameters",
    "steepest_drag",
    "step",
    "step_gradient",
]

"""The numbers of an arm as a record with named fields, which the compiled equations of `muscles` read.

A batch of arms is an array (n,) of records. Where an array of plain numbers is needed, for instance
in the saved state of an environment, the same memory is viewed as rows of floats.
"""

from __future__ import annotations

import numpy as np

from ..morphology.arm import MUSCLES, Arm

SHOULDER = 0
"""index of the shoulder in an array of joints"""
ELBOW = 1
"""index of the elbow in an array of joints"""
ELBOW_ANGLES = 61
"""elbow angles, spread over its range, at which `steepest_drag` looks"""

MUSCLE_RECORD = np.dtype(
    [
        ("max_force", float),  # N
        ("tendon", float),  # m, length of the tendon, which does not stretch
        ("per_optimal_length", float),  # 1/m
        ("rest_length", float),  # m, of muscle and tendon at the reference posture
        ("shoulder_arm", float),  # m, moment arm at the reference posture
        ("elbow_arm", float),  # m, moment arm at the reference posture
        ("shoulder_curve", float),  # m/rad, half the change of the moment arm with the angle
        ("elbow_curve", float),  # m/rad, half the change of the moment arm with the angle
    ]
)
"""one muscle of an arm; the reference posture is a shoulder of 90 degrees and an elbow of 0"""

ARM_RECORD = np.dtype(
    [
        ("upper_length", float),  # m, shoulder to elbow
        ("forearm_length", float),  # m, elbow to hand
        ("coupling", float),  # kg m^2, h = m2 l1 g2: what the elbow's angle adds to the inertia
        ("straight_inertia", float),  # kg m^2, H11 without its term 2 h cos(elbow)
        ("forearm_inertia", float),  # kg m^2, H22: of the forearm about the elbow
        ("activation_time", float),  # s
        ("per_deactivation_time", float),  # 1/s
        ("least_activation", float),  # 1, that a muscle at rest keeps
        ("per_top_speed", float),  # 1 / (optimal lengths/s)
        ("lowest_angle", float, (2,)),  # rad, of shoulder and elbow
        ("highest_angle", float, (2,)),  # rad, of shoulder and elbow
        ("muscle", MUSCLE_RECORD, (len(MUSCLES),)),  # in the order of `morphology.arm.MUSCLES`
    ]
)
"""one arm; saved states of environments hold it as a row of `ROW_LENGTH` numbers in this order"""
ROW_LENGTH = ARM_RECORD.itemsize // np.dtype(float).itemsize
"""numbers in a record"""


def parameters(body: Arm) -> np.ndarray:
    """The numbers of a body as a batch of one arm: (1,) of `ARM_RECORD`."""
    # The inertia of docs/systems/arm.md, "The arm": H22, and the constant part of H11.
    forearm_inertia = body.forearm_mass * body.forearm_centre**2 + body.forearm_inertia
    upper_inertia = (
        body.upper_mass * body.upper_centre**2
        + body.upper_inertia
        + body.forearm_mass * body.upper_length**2
    )
    lowest, highest = body.limits
    arms = np.zeros(1, ARM_RECORD)
    arms["upper_length"] = body.upper_length
    arms["forearm_length"] = body.forearm_length
    arms["coupling"] = body.forearm_mass * body.upper_length * body.forearm_centre
    arms["straight_inertia"] = upper_inertia + forearm_inertia
    arms["forearm_inertia"] = forearm_inertia
    arms["activation_time"] = body.activation_time
    arms["per_deactivation_time"] = 1 / body.deactivation_time
    arms["least_activation"] = body.least_activation
    arms["per_top_speed"] = 1 / body.top_speed
    arms["lowest_angle"] = lowest
    arms["highest_angle"] = highest
    muscles = arms["muscle"]
    muscles["max_force"] = body.max_force
    muscles["tendon"] = body.tendon
    muscles["per_optimal_length"] = [1 / length for length in body.optimal_length]
    muscles["rest_length"] = body.rest_length
    muscles["shoulder_arm"] = body.shoulder_arm
    muscles["elbow_arm"] = body.elbow_arm
    muscles["shoulder_curve"] = body.shoulder_curve
    muscles["elbow_curve"] = body.elbow_curve
    return arms


def as_rows(arms: np.ndarray) -> np.ndarray:
    """A batch of arms (n,) as rows of plain numbers (n, `ROW_LENGTH`), which share its memory."""
    return arms.view(float).reshape(len(arms), ROW_LENGTH)


def as_arms(rows: np.ndarray) -> np.ndarray:
    """Rows of plain numbers (n, `ROW_LENGTH`) as a batch of arms (n,), which shares their memory."""
    return rows.view(ARM_RECORD)[:, 0]


def steepest_drag(arms: np.ndarray, dt: float) -> float:
    """Largest gain of a linear force field that a plant step carries, N s/m.

    The field acts for a whole step with the speed at its beginning. With a gain of one over the
    step and the hand's largest mobility (1/kg) it stops the hand in one step; a steeper one throws
    the hand back, and from twice that gain on the speed grows at every step.

    Args:
        arms: `parameters` of one arm, (1,).
        dt: plant step, s.
    """
    arm = arms[0]
    elbow = np.linspace(arm["lowest_angle"][ELBOW], arm["highest_angle"][ELBOW], ELBOW_ANGLES)
    coupling = arm["coupling"]
    forearm_length = arm["forearm_length"]

    off_diagonal = arm["forearm_inertia"] + coupling * np.cos(elbow)
    inertia = np.empty((ELBOW_ANGLES, 2, 2))
    inertia[:, SHOULDER, SHOULDER] = arm["straight_inertia"] + 2 * coupling * np.cos(elbow)
    inertia[:, SHOULDER, ELBOW] = off_diagonal
    inertia[:, ELBOW, SHOULDER] = off_diagonal
    inertia[:, ELBOW, ELBOW] = arm["forearm_inertia"]

    # Derivatives of the hand's (x, y) by the joints. The shoulder is put at angle 0: its angle
    # turns the hand's path and the field alike, so the mobility does not depend on it.
    x, y = 0, 1
    jacobian = np.empty((ELBOW_ANGLES, 2, 2))
    jacobian[:, x, SHOULDER] = -forearm_length * np.sin(elbow)
    jacobian[:, x, ELBOW] = -forearm_length * np.sin(elbow)
    jacobian[:, y, SHOULDER] = arm["upper_length"] + forearm_length * np.cos(elbow)
    jacobian[:, y, ELBOW] = forearm_length * np.cos(elbow)

    mobility = jacobian @ np.linalg.solve(inertia, jacobian.transpose(0, 2, 1))
    return 1 / (dt * float(np.linalg.eigvalsh(mobility).max()))

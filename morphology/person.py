"""A seated person of capsules in a wheelchair, whose head and left arm yield to touch.

Proportions are those of docs/systems/assist.md, "The person". The person faces x; the floor under the hips is the
origin. Postures are joint positions, never places of bodies: a body that is moved in a compiled model takes its
collision bounds and derived constants along only after MuJoCo's `set_const`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import mujoco

from .manipulator import OBJECT, PERSON, ROBOT
from .manipulator_parts import add_bar


class PostureJoint(NamedTuple):
    """A joint of the person, held by a soft servo as a relaxed limb is."""

    low: float
    """rad, least angle"""
    high: float
    """rad, largest angle"""
    rest: float
    """rad, of the usual posture"""
    stiffness: float
    """N m/rad"""
    damping: float
    """N m s/rad"""


POSTURE = {
    "neck_pitch": PostureJoint(-0.35, 0.35, rest=0.0, stiffness=40.0, damping=4.0),
    "neck_yaw": PostureJoint(-0.6, 0.6, rest=0.0, stiffness=30.0, damping=3.0),
    "shoulder_flexion": PostureJoint(-0.1, 0.6, rest=0.15, stiffness=80.0, damping=8.0),
    "shoulder_abduction": PostureJoint(0.0, 0.5, rest=0.12, stiffness=80.0, damping=8.0),
    "elbow": PostureJoint(1.0, 1.9, rest=1.42, stiffness=60.0, damping=5.0),
}
"""name -> joint, in the order of a posture; pitch and flexion forwards, yaw to the left, abduction away from the body"""

HIP_HEIGHT = 0.52
"""m over the floor"""
SHOULDER_HEIGHT = 0.99
"""m"""
SHOULDER_HALF_WIDTH = 0.19
"""m, from the spine to a shoulder"""
NECK_HEIGHT = 1.05
"""m"""
HEAD_HEIGHT = 0.15
"""m, of the head's centre over the neck's joint"""
HEAD_HALF = (0.098, 0.078, 0.118)
"""m, half axes of the head"""
MOUTH_PLACE = (0.112, 0.0, 0.085)
"""m, just before the lips, from the neck's joint"""
UPPER_ARM_LENGTH = 0.28
"""m, shoulder to elbow"""
UPPER_ARM_RADIUS = 0.042
"""m"""
FOREARM_LENGTH = 0.25
"""m, elbow to wrist"""
FOREARM_RADIUS = 0.034
"""m"""
HAND_RADIUS = 0.038
"""m"""
KNEE = (0.43, 0.10, 0.52)
"""m, of the left knee"""
ANKLE = (0.46, 0.10, 0.10)
"""m, of the left ankle"""
SEAT_HALF = (0.22, 0.22, 0.025)
"""m, half sizes of the seat"""
SEAT_HEIGHT = 0.42
"""m"""
BACK_HALF = (0.02, 0.21, 0.24)
"""m, half sizes of the back rest"""
WHEEL_PLACE = (-0.02, 0.27, 0.29)
"""m, of the left wheel's hub; it stands under the arm and leaves the forearm free"""
WHEEL_RADIUS = 0.29
"""m"""
CASTER_PLACE = (0.36, 0.20, 0.07)
"""m, of the left caster's hub"""
CASTER_RADIUS = 0.07
"""m"""

SKIN = (0.86, 0.66, 0.53, 1.0)
SHIRT = (0.30, 0.50, 0.62, 1.0)
TROUSERS = (0.25, 0.28, 0.36, 1.0)
SHOES = (0.15, 0.14, 0.15, 1.0)
HAIR = (0.24, 0.17, 0.13, 1.0)
LIPS = (0.72, 0.38, 0.36, 1.0)
EYES = (0.12, 0.12, 0.14, 1.0)
CHAIR = (0.20, 0.21, 0.24, 1.0)
CUSHION = (0.36, 0.37, 0.42, 1.0)
STEEL = (0.70, 0.72, 0.75, 1.0)

FRICTION = 0.4
"""1, of skin and cloth"""
SOFT_CONTACT = (0.015, 1.0)
"""s and 1, time constant and damping ratio of contacts with the person: flesh gives"""


def add_person(spec: mujoco.MjSpec) -> None:
    """Add the person in the wheelchair to a scene, at the origin, facing x.

    Bodies: ``person`` (chair, trunk, legs and right arm, fixed to the world), ``head``, ``upper_arm``, ``forearm``.
    Sites: ``mouth`` (its x axis points out of the face), ``elbow``, ``wrist`` and ``lap``. Joints and servos are
    called as in `POSTURE`; a servo's control is the angle that it holds.

    Args:
        spec: of the scene; it is changed in place. The robot's actuators must be there already: those of the person
            stand behind them.
    """
    person = spec.worldbody.add_body(name="person")
    _add_chair(person)
    _add_trunk(person)
    for side in (1, -1):
        _add_leg(person, side)
    _add_resting_arm(person)
    _add_head(person)
    _add_yielding_arm(person)
    for name, joint in POSTURE.items():
        servo = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.set_to_position(kp=joint.stiffness, kv=joint.damping)
    # Limbs and trunk overlap where they join.
    for limb, trunk in (("head", "person"), ("upper_arm", "person"), ("forearm", "person")):
        spec.add_exclude(name=f"{limb}_{trunk}", bodyname1=limb, bodyname2=trunk)


def _add_chair(person: mujoco.MjsBody) -> None:
    """A wheelchair without arm rests on the left, where the robot comes."""
    _box(person, SEAT_HALF, (0.02, 0, SEAT_HEIGHT), CUSHION)
    _box(person, BACK_HALF, (-0.20, 0, SEAT_HEIGHT + BACK_HALF[2]), CUSHION)
    for side in (1, -1):
        x, y, z = WHEEL_PLACE
        _wheel(person, (x, side * y, z), WHEEL_RADIUS, 0.012, STEEL)
        _wheel(person, (x, side * y, z), WHEEL_RADIUS - 0.02, 0.013, CHAIR)
        _wheel(person, (x, side * y, z), 0.03, 0.02, STEEL)
        x, y, z = CASTER_PLACE
        _wheel(person, (x, side * y, z), CASTER_RADIUS, 0.014, CHAIR)
        _bar(person, (-0.22, side * 0.20, 0.95), (-0.22, side * 0.20, 0.30), 0.012, STEEL)
        _bar(person, (-0.22, side * 0.20, 0.93), (-0.31, side * 0.20, 0.93), 0.014, CHAIR)
        _bar(person, (-0.22, side * 0.20, 0.36), (0.30, side * 0.20, 0.36), 0.012, STEEL)
        _bar(person, (0.30, side * 0.20, 0.36), (0.44, side * 0.12, 0.07), 0.012, STEEL)
        _box(person, (0.08, 0.06, 0.008), (0.48, side * 0.10, 0.045), CHAIR)


def _add_trunk(person: mujoco.MjsBody) -> None:
    """Hips, belly, chest, shoulders and neck."""
    _bar(person, (0, -0.07, HIP_HEIGHT), (0, 0.07, HIP_HEIGHT), 0.105, TROUSERS)
    _ellipsoid(person, (0.105, 0.145, 0.16), (-0.01, 0, 0.68), SHIRT)
    _ellipsoid(person, (0.105, 0.165, 0.19), (-0.02, 0, 0.84), SHIRT)
    shoulder = SHOULDER_HALF_WIDTH - 0.035
    _bar(
        person,
        (-0.02, -shoulder, SHOULDER_HEIGHT - 0.01),
        (-0.02, shoulder, SHOULDER_HEIGHT - 0.01),
        0.055,
        SHIRT,
    )
    _bar(person, (-0.02, 0, 1.0), (0.0, 0, NECK_HEIGHT + 0.03), 0.048, SKIN)
    person.add_site(name="floor_under_person", pos=[0, 0, 0], group=4)
    person.add_site(name="lap", pos=[0.25, 0, KNEE[2] + 0.10], group=4)


def _add_leg(person: mujoco.MjsBody, side: int) -> None:
    """A leg that does not move; `side` is 1 for the left one and -1 for the right one."""
    knee = (KNEE[0], side * KNEE[1], KNEE[2])
    ankle = (ANKLE[0], side * ANKLE[1], ANKLE[2])
    _bar(person, (0, side * 0.09, HIP_HEIGHT), knee, 0.072, TROUSERS)
    _bar(person, knee, ankle, 0.052, TROUSERS)
    heel = (ankle[0] - 0.01, ankle[1], 0.085)
    toe = (ankle[0] + 0.13, ankle[1], 0.08)
    _bar(person, heel, toe, 0.036, SHOES)


def _add_resting_arm(person: mujoco.MjsBody) -> None:
    """The right arm, its hand in the lap; it does not move."""
    shoulder = (-0.01, -SHOULDER_HALF_WIDTH, SHOULDER_HEIGHT)
    elbow = (0.03, -0.25, 0.72)
    wrist = (0.24, -0.12, 0.64)
    _bar(person, shoulder, elbow, UPPER_ARM_RADIUS, SHIRT)
    _bar(person, elbow, wrist, FOREARM_RADIUS, SKIN)
    _ellipsoid(person, (0.05, 0.035, 0.02), (0.29, -0.09, 0.63), SKIN)


def _add_head(person: mujoco.MjsBody) -> None:
    """The head on its two neck joints, with a face."""
    head = person.add_body(name="head", pos=[0, 0, NECK_HEIGHT], gravcomp=1)
    # Yaw first: a person turns the neck and then nods.
    _hinge(head, "neck_yaw", (0, 0, 1))
    _hinge(head, "neck_pitch", (0, 1, 0))
    skull = _ellipsoid(head, HEAD_HALF, (0.005, 0, HEAD_HEIGHT), SKIN, mass=4.0)
    skull.name = "skull"
    _look(head, "ellipsoid", (0.100, 0.083, 0.100), (-0.012, 0, HEAD_HEIGHT + 0.035), HAIR)
    _look(head, "ellipsoid", (0.016, 0.012, 0.018), (0.103, 0, HEAD_HEIGHT - 0.010), SKIN)
    _look(head, "ellipsoid", (0.008, 0.024, 0.007), (0.094, 0, MOUTH_PLACE[2]), LIPS)
    for side in (1, -1):
        _look(head, "ball", (0.011, 0, 0), (0.090, side * 0.032, HEAD_HEIGHT + 0.015), EYES)
        _look(head, "ellipsoid", (0.02, 0.01, 0.03), (0, side * 0.08, HEAD_HEIGHT - 0.01), SKIN)
    head.add_site(name="mouth", pos=list(MOUTH_PLACE), group=4)


def _add_yielding_arm(person: mujoco.MjsBody) -> None:
    """The left arm: upper arm on two joints of the shoulder, forearm and hand on the elbow."""
    upper_arm = person.add_body(
        name="upper_arm", pos=[-0.01, SHOULDER_HALF_WIDTH, SHOULDER_HEIGHT], gravcomp=1
    )
    _hinge(upper_arm, "shoulder_abduction", (1, 0, 0))
    _hinge(upper_arm, "shoulder_flexion", (0, -1, 0))
    elbow = (0, 0, -UPPER_ARM_LENGTH)
    _bar(upper_arm, (0, 0, 0), elbow, UPPER_ARM_RADIUS, SHIRT, mass=1.8)
    forearm = upper_arm.add_body(name="forearm", pos=list(elbow), gravcomp=1)
    _hinge(forearm, "elbow", (0, -1, 0))
    # At an elbow of 0 the arm hangs straight: the forearm goes down, as the upper arm does.
    wrist = (0, 0, -FOREARM_LENGTH)
    skin = _bar(forearm, (0, 0, 0), wrist, FOREARM_RADIUS, SKIN, mass=1.1)
    skin.name = "forearm"
    hand = _ellipsoid(forearm, (0.022, 0.036, 0.06), (0, 0, -FOREARM_LENGTH - 0.06), SKIN, mass=0.4)
    hand.name = "hand"
    _look(forearm, "ellipsoid", (0.012, 0.012, 0.03), (0.02, -0.03, -FOREARM_LENGTH - 0.04), SKIN)
    forearm.add_site(name="elbow", pos=[0, 0, 0], group=4)
    forearm.add_site(name="wrist", pos=list(wrist), group=4)


# -- parts --------------------------------------------------------------------------------------------------------------


def _touchable(geom: mujoco.MjsGeom) -> None:
    """Let the robot and what it carries touch a geom, softly."""
    geom.contype = PERSON
    geom.conaffinity = ROBOT | OBJECT
    geom.solref = list(SOFT_CONTACT)
    geom.friction = [FRICTION, 0.005, 0.0001]
    # Skin and cloth are slippery for whatever touches them.
    geom.priority = 1


def _hinge(body: mujoco.MjsBody, name: str, axis: Sequence[float]) -> None:
    """The joint of `POSTURE` called `name`."""
    joint = POSTURE[name]
    body.add_joint(
        name=name,
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=list(axis),
        range=[joint.low, joint.high],
        limited=True,
        armature=0.02,
        damping=0.5,
    )


def _box(
    body: mujoco.MjsBody, half: Sequence[float], place: Sequence[float], colour: Sequence[float]
) -> None:
    """A box that can be touched; its mass comes from its size."""
    geom = body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX, size=list(half), pos=list(place), rgba=list(colour)
    )
    _touchable(geom)


def _bar(
    body: mujoco.MjsBody,
    start: Sequence[float],
    end: Sequence[float],
    radius: float,
    colour: Sequence[float],
    mass: float = 0.0,
) -> mujoco.MjsGeom:
    """A capsule that can be touched."""
    geom = add_bar(body, start, end, radius, colour, mass)
    _touchable(geom)
    return geom


def _ellipsoid(
    body: mujoco.MjsBody,
    half: Sequence[float],
    place: Sequence[float],
    colour: Sequence[float],
    mass: float = 0.0,
) -> mujoco.MjsGeom:
    """An ellipsoid that can be touched."""
    geom = body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_ELLIPSOID,
        size=list(half),
        pos=list(place),
        rgba=list(colour),
        mass=mass,
    )
    _touchable(geom)
    return geom


def _wheel(
    body: mujoco.MjsBody,
    place: Sequence[float],
    radius: float,
    half_width: float,
    colour: Sequence[float],
) -> None:
    """A wheel whose axis is y."""
    x, y, z = place
    geom = body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[radius, 0, 0],
        fromto=[x, y - half_width, z, x, y + half_width, z],
        rgba=list(colour),
    )
    _touchable(geom)


def _look(
    body: mujoco.MjsBody,
    shape: str,
    size: Sequence[float],
    place: Sequence[float],
    colour: Sequence[float],
) -> None:
    """Something that is seen and not touched."""
    shapes = {"ball": mujoco.mjtGeom.mjGEOM_SPHERE, "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID}
    body.add_geom(
        type=shapes[shape],
        size=list(size),
        pos=list(place),
        rgba=list(colour),
        mass=0.0,
        contype=0,
        conaffinity=0,
    )

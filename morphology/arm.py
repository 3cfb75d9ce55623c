"""The planar two-joint, six-muscle arm of Rinaldo et al. 2024 (arXiv 2401.14057); values: MotorNet's arm26.

Masses after Nijhof & Kouwenhoven 2000, muscles after Kistemaker, Wong, Gribble 2010
(docs/systems/arm.md, "The arm").
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from ..errors import LanceletError
from . import scenery
from .core import Body, quantity

MUSCLES = (
    "pectoralis",
    "deltoid",
    "brachioradialis",
    "triceps_lateral",
    "biceps",
    "triceps_long",
)
"""the order of every field, action and observation of six numbers"""
JOINTS = ("shoulder", "elbow")
"""the order of every pair of angles"""
HEIGHT = 0.06
"""m, of the arm's plane over the floor, for the picture only"""
TOLERANCE = 1e-5
"""m, by which a point may lie out of reach: float32 is not finer"""
LARGEST_LEAST_ACTIVATION = 0.1
"""the largest activation that a muscle at rest may keep"""

# Joint limits: stiff ones, as a skeleton's (MuJoCo's parameters of a soft constraint).
LIMIT_SOLREF = [0.005, 1]
"""s, time constant; damping ratio"""
LIMIT_SOLIMP = [0.95, 0.99, 0.001, 0.5, 2]
"""impedance from 0.95 to 0.99 within 0.001 rad, midpoint, power"""

# MuJoCo's own muscles (`NativeArm`): lengths in optimal lengths, forces in largest forces.
SHORTEST_ACTIVE_LENGTH = 0.34
"""length from which a muscle has active force (docs/systems/arm.md, "The muscles": 0.66 to either side of the best)"""
LONGEST_ACTIVE_LENGTH = 1.66
"""length up to which a muscle has active force"""
PASSIVE_FORCE = 1.0
"""passive force at `LONGEST_ACTIVE_LENGTH`"""
LENGTHENING_FORCE = 1.5
"""active force that a lengthening muscle saturates at"""

SKIN = [0.93, 0.72, 0.58, 1]
"""colour of the limbs (red, green, blue, opacity)"""
SHIRT = [0.36, 0.5, 0.62, 1]
"""colour of the chest"""
MUSCLE = [0.76, 0.25, 0.22, 1]
"""colour of the muscles"""
FOREARM_GEOM_SHORTENED = 0.05
"""m, by which the forearm's picture ends before the hand's point: the palm is drawn there"""
SEEN_ONLY = {"mass": 0, "contype": 0, "conaffinity": 0}
"""arguments of a geom that weighs nothing and collides with nothing"""


class Belly(NamedTuple):
    """Where a muscle's belly is drawn. The pull of the muscle does not depend on it."""

    link: str
    """name of the link that it lies on"""
    begin: float
    """where it begins along the link, as a part of the link's length"""
    end: float
    """where it ends along the link, as a part of the link's length"""
    aside: float
    """m, to the left of the link's axis"""


BELLIES = {
    "pectoralis": Belly("upper_arm", begin=0.02, end=0.42, aside=0.030),
    "deltoid": Belly("upper_arm", begin=0.0, end=0.36, aside=-0.032),
    "biceps": Belly("upper_arm", begin=0.42, end=0.95, aside=0.027),
    "triceps_lateral": Belly("upper_arm", begin=0.36, end=0.90, aside=-0.024),
    "triceps_long": Belly("upper_arm", begin=0.20, end=0.80, aside=-0.034),
    "brachioradialis": Belly("forearm", begin=0.02, end=0.50, aside=0.022),
}
"""muscle -> its belly"""


@dataclass(frozen=True)
class Arm(Body):
    """Upper arm and forearm on two hinges, `shoulder` and `elbow` (relative), in a horizontal plane.

    No gravity, no joint damping, no actuator: muscles are figures here and pull as generalised forces in the task.
    Muscle fields hold six numbers, in the order of `MUSCLES`. With d = (q1 - pi/2, q2) a muscle and its tendon are
    ``rest_length + sum_j (arm_j + curve_j d_j) d_j`` long, and its moment arm is ``arm_j + 2 curve_j d_j``.
    """

    upper_mass: float = quantity(1.82, "kg", 1.2, 2.8)
    """mass of the upper arm, kg"""
    forearm_mass: float = quantity(1.43, "kg", 0.9, 2.2)
    """mass of forearm and hand, kg"""
    upper_length: float = quantity(0.309, "m", 0.25, 0.37)
    """length from shoulder to elbow, m"""
    forearm_length: float = quantity(0.333, "m", 0.25, 0.40)
    """length from elbow to hand, m"""
    upper_centre: float = quantity(0.135, "m", 0.10, 0.18)
    """length from the shoulder to the upper arm's centre of mass, m"""
    forearm_centre: float = quantity(0.165, "m", 0.12, 0.21)
    """length from the elbow to the forearm's centre of mass, m"""
    upper_inertia: float = quantity(0.051, "kg m^2", 0.01, 0.09)
    """inertia of the upper arm about its centre of mass, kg m^2"""
    forearm_inertia: float = quantity(0.057, "kg m^2", 0.01, 0.09)
    """inertia of the forearm about its centre of mass, kg m^2"""
    shoulder_limit: tuple[float, ...] = quantity((0.0, math.radians(135)), "rad", -0.5, 2.7)
    """lowest and highest angle of the shoulder, rad"""
    elbow_limit: tuple[float, ...] = quantity((0.0, math.radians(155)), "rad", 0.0, 2.8)
    """lowest and highest angle of the elbow, rad"""
    max_force: tuple[float, ...] = quantity(
        (838.0, 1207.0, 1422.0, 1549.0, 414.0, 603.0), "N", 200.0, 3000.0
    )
    """isometric force at full activation and best length, N"""
    tendon: tuple[float, ...] = quantity(
        (0.039, 0.066, 0.172, 0.187, 0.204, 0.217), "m", 0.02, 0.35
    )
    """length of the tendon, which does not stretch, m"""
    optimal_length: tuple[float, ...] = quantity(
        (0.134, 0.140, 0.092, 0.093, 0.137, 0.127), "m", 0.05, 0.25
    )
    """length of the muscle fibres at which they pull best, m"""
    rest_length: tuple[float, ...] = quantity(
        (0.151, 0.2322, 0.2859, 0.2355, 0.3329, 0.2989), "m", 0.1, 0.5
    )
    """length of muscle and tendon at d = 0, m"""
    shoulder_arm: tuple[float, ...] = quantity(
        (-0.03, 0.03, 0.0, 0.0, -0.03, 0.03), "m", -0.06, 0.06
    )
    """moment arm about the shoulder at d = 0, m; flexors are negative"""
    elbow_arm: tuple[float, ...] = quantity(
        (0.0, 0.0, -0.014, 0.025, -0.016, 0.03), "m", -0.06, 0.06
    )
    """moment arm about the elbow at d = 0, m; flexors are negative"""
    shoulder_curve: tuple[float, ...] = quantity((0.0,) * 6, "m/rad", -0.01, 0.01)
    """half the change of the moment arm with the angle of the shoulder, m/rad"""
    elbow_curve: tuple[float, ...] = quantity(
        (0.0, 0.0, -4.0e-3, -2.2e-3, -5.7e-3, -3.2e-3), "m/rad", -0.01, 0.01
    )
    """half the change of the moment arm with the angle of the elbow, m/rad"""
    activation_time: float = quantity(0.015, "s", 0.01, 0.03)
    """time constant of activation, at activation 1/3, s"""
    deactivation_time: float = quantity(0.05, "s", 0.03, 0.08)
    """time constant of deactivation, at activation 1/3, s"""
    least_activation: float = quantity(0.001, "1", 1e-4, 0.01)
    """activation that a muscle at rest keeps, from 0 to 1"""
    top_speed: float = quantity(10.0, "optimal lengths/s", 5.0, 15.0)
    """speed that muscle speeds are measured by, optimal lengths/s"""
    timestep: float = 0.01
    """time step of the simulator, s"""

    def __post_init__(self) -> None:
        self.positive(
            "upper_mass",
            "forearm_mass",
            "upper_length",
            "forearm_length",
            "upper_inertia",
            "forearm_inertia",
            "upper_centre",
            "forearm_centre",
            "activation_time",
            "deactivation_time",
            "least_activation",
            "top_speed",
            "timestep",
        )
        positive_of_muscles = ("max_force", "tendon", "optimal_length", "rest_length")
        moment_arms = ("shoulder_arm", "elbow_arm", "shoulder_curve", "elbow_curve")
        limits = ("shoulder_limit", "elbow_limit")
        for name in (*positive_of_muscles, *moment_arms):
            if len(getattr(self, name)) != len(MUSCLES):
                raise self._refused(name, "needs six numbers")
        self.positive(*positive_of_muscles)
        self._finite(
            (*moment_arms, *limits),
            lambda number: abs(number) <= math.pi,
            "within +-pi",
        )
        for name in limits:
            limit = getattr(self, name)
            if len(limit) != 2 or not limit[0] < limit[1]:
                raise self._refused(name, "needs a low and a higher angle")
        if self.least_activation > LARGEST_LEAST_ACTIVATION:
            raise self._refused("least_activation", f"must be {LARGEST_LEAST_ACTIVATION:g} or less")

    def _refused(self, name: str, rule: str) -> LanceletError:
        """The error for a field that breaks a rule."""
        return LanceletError(f"{type(self).__name__}.{name} = {getattr(self, name)!r}: {rule}")

    @property
    def limits(self) -> np.ndarray:
        """Lowest and highest angles, rad, (2 bounds, 2 joints)."""
        return np.array([self.shoulder_limit, self.elbow_limit]).T

    def hand(self, angles: ArrayLike) -> np.ndarray:
        """Where the hand is, m, (..., 2), at joint angles (..., 2), rad."""
        angles = np.asarray(angles, float)
        upper_direction = angles[..., 0]
        # The elbow's angle is relative to the upper arm.
        forearm_direction = angles.sum(-1)
        upper = self.upper_length * _unit_vectors(upper_direction)
        forearm = self.forearm_length * _unit_vectors(forearm_direction)
        return np.moveaxis(upper + forearm, 0, -1)

    def angles_at(self, hand: ArrayLike) -> np.ndarray:
        """Joint angles that bring the hand to points, within the joint limits (law of cosines).

        Args:
            hand: m, (..., 2), where the hand is to be.

        Returns:
            rad, (..., 2); NaN where no posture reaches the point. Where two do, the one with the positive elbow.
        """
        x, y = np.moveaxis(np.asarray(hand, float), -1, 0)
        upper = self.upper_length
        forearm = self.forearm_length
        cosine = (x * x + y * y - upper * upper - forearm * forearm) / (2 * upper * forearm)
        bend = np.arccos(np.clip(cosine, -1, 1))
        reached = np.full((*x.shape, 2), np.nan)
        # The later one wins: a positive elbow.
        for sign in (-1, 1):
            elbow = sign * bend
            offset = np.arctan2(forearm * np.sin(elbow), upper + forearm * np.cos(elbow))
            shoulder = np.arctan2(y, x) - offset
            shoulder = (shoulder + np.pi) % (2 * np.pi) - np.pi
            angles = np.clip(np.stack([shoulder, elbow], -1), *self.limits)
            # Clipped cosines and angles miss the point: that is how points out of reach show.
            miss = self.hand(angles) - np.stack([x, y], -1)
            is_reached = (miss**2).sum(-1, keepdims=True) < TOLERANCE**2
            reached = np.where(is_reached, angles, reached)
        return reached

    def loaded(self, mass: float, place: float | None = None) -> Arm:
        """This arm with a point mass on the forearm.

        Args:
            mass: kg, of the load.
            place: m, of the load from the elbow; None: the forearm's centre of mass.

        Raises:
            LanceletError: `mass` is not finite or below 0.
        """
        if not (math.isfinite(mass) and mass >= 0):
            raise LanceletError(f"load = {mass!r}: must be finite and >= 0 kg")
        if place is None:
            place = self.forearm_centre
        total_mass = self.forearm_mass + mass
        centre = (self.forearm_mass * self.forearm_centre + mass * place) / total_mass
        # Parallel axes: both masses move to the common centre.
        forearm_shift = self.forearm_centre - centre
        load_shift = place - centre
        inertia = self.forearm_inertia + self.forearm_mass * forearm_shift**2
        inertia += mass * load_shift**2
        return dataclasses.replace(
            self,
            forearm_mass=total_mass,
            forearm_centre=centre,
            forearm_inertia=inertia,
        )

    def build(self) -> mujoco.MjSpec:
        """The spec: two hinges about z, explicit inertias, stiff limits, no contact, a site `hand`."""
        spec = mujoco.MjSpec()
        spec.compiler.degree = False
        spec.option.timestep = self.timestep
        spec.option.gravity = [0, 0, 0]
        spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
        scenery.floor(spec)
        # Where lengths vary the camera stays: pictures of different arms can be laid side by side.
        scenery.above(spec, width=1.5, depth=0.95, centre=(0.05, 0.24))
        _add_person(spec.worldbody)
        upper_arm = _add_link(
            spec.worldbody,
            "upper_arm",
            place=[0, 0, HEIGHT],
            length=self.upper_length,
            thick=0.04,
            thin=0.032,
        )
        _set_inertia(upper_arm, self.upper_mass, self.upper_centre, self.upper_inertia)
        forearm = _add_link(
            upper_arm,
            "forearm",
            place=[self.upper_length, 0, 0],
            length=self.forearm_length - FOREARM_GEOM_SHORTENED,
            thick=0.031,
            thin=0.024,
        )
        _set_inertia(forearm, self.forearm_mass, self.forearm_centre, self.forearm_inertia)
        _add_hinge(upper_arm, "shoulder", self.shoulder_limit)
        _add_hinge(forearm, "elbow", self.elbow_limit)
        forearm.add_geom(
            name="palm",
            type=mujoco.mjtGeom.mjGEOM_ELLIPSOID,
            size=[0.05, 0.033, 0.018],
            pos=[self.forearm_length - 0.02, 0, 0],
            rgba=SKIN,
            **SEEN_ONLY,
        )
        forearm.add_site(
            name="hand",
            pos=[self.forearm_length, 0, 0],
            size=[0.008, 0.008, 0.008],
            rgba=scenery.EYE,
        )
        return spec


@dataclass(frozen=True)
class NativeArm(Arm):
    """The arm on MuJoCo's own muscle actuators: another plant, never to be mixed with `Arm` in one table.

    Six actuators named as in `MUSCLES` pull on fixed tendons. These are linear in the angles, so moment arms are
    constant (`elbow_curve` is 0), and force-length, force-velocity and passive curves are MuJoCo's. Activation has
    the time constants of the fields, and no least value.
    """

    elbow_curve: tuple[float, ...] = quantity((0.0,) * 6, "m/rad", 0.0, 0.0)
    """always 0: MuJoCo's tendons cannot bend their moment arms"""
    timestep: float = 0.002
    """time step of the simulator, s"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("shoulder_curve", "elbow_curve"):
            if any(getattr(self, name)):
                raise LanceletError(
                    f"NativeArm.{name} = {getattr(self, name)!r}: must be 0, tendons are linear here"
                )

    def build(self) -> mujoco.MjSpec:
        """The spec of `Arm`, with a tendon and a muscle actuator for each of `MUSCLES`."""
        spec = super().build()
        for index, name in enumerate(MUSCLES):
            self._add_muscle(spec, index, name)
        return spec

    def _add_muscle(self, spec: mujoco.MjSpec, index: int, name: str) -> None:
        """Add one muscle and its tendon.

        Args:
            spec: gets both.
            index: of the muscle in `MUSCLES`.
            name: of the muscle.
        """
        moment_arms = np.array([self.shoulder_arm[index], self.elbow_arm[index]])
        tendon = spec.add_tendon(name=name)
        for joint, moment_arm in zip(JOINTS, moment_arms, strict=True):
            if moment_arm:
                tendon.wrap_joint(joint, moment_arm)
        # The tendon's length is that of the muscle up to a constant: shortest and longest within the limits.
        low, high = self.limits
        lengths_at_limits = np.stack([moment_arms * low, moment_arms * high])
        tendon_range = np.sort(lengths_at_limits, axis=0).sum(1)
        shoulder_at_rest = self.shoulder_arm[index] * math.pi / 2
        offset = self.rest_length[index] - self.tendon[index] - shoulder_at_rest
        muscle_range = (tendon_range + offset) / self.optimal_length[index]
        actuator = spec.add_actuator(
            name=name,
            target=name,
            trntype=mujoco.mjtTrn.mjTRN_TENDON,
        )
        actuator.set_to_muscle(
            timeconst=[self.activation_time, self.deactivation_time],
            # Activation switches sharply between its two time constants, as in the paper.
            tausmooth=0,
            range=list(muscle_range),
            force=self.max_force[index],
            # Not read, as the force is given.
            scale=-1,
            lmin=SHORTEST_ACTIVE_LENGTH,
            lmax=LONGEST_ACTIVE_LENGTH,
            vmax=self.top_speed,
            fpmax=PASSIVE_FORCE,
            fvmax=LENGTHENING_FORCE,
        )
        actuator.lengthrange = list(tendon_range)
        actuator.ctrllimited = 1
        actuator.ctrlrange = [0, 1]


def _unit_vectors(angles: np.ndarray) -> np.ndarray:
    """Directions (2, ...) at angles (...), rad."""
    return np.array([np.cos(angles), np.sin(angles)])


def _set_inertia(body: mujoco.MjsBody, mass: float, centre: float, inertia: float) -> None:
    """Give a link its mass and inertia.

    Args:
        body: the link, along x; it is changed in place.
        mass: kg.
        centre: m, where the centre of mass lies along x.
        inertia: kg m^2, about z at the centre of mass.
    """
    body.explicitinertial = True
    body.mass = mass
    body.ipos = [centre, 0, 0]
    # The arm turns about z alone: what it has about x and y is a rod's, and is never felt.
    body.inertia = [0.1 * inertia, inertia, inertia]


def _add_hinge(body: mujoco.MjsBody, name: str, limit: tuple[float, ...]) -> None:
    """Add a joint about z that stops hard at its limits.

    Args:
        body: that turns.
        name: of the joint.
        limit: rad, lowest and highest angle.
    """
    body.add_joint(
        name=name,
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=[0, 0, 1],
        limited=1,
        range=list(limit),
        solref_limit=LIMIT_SOLREF,
        solimp_limit=LIMIT_SOLIMP,
    )


def _add_link(
    parent: mujoco.MjsBody,
    name: str,
    place: list[float],
    length: float,
    thick: float,
    thin: float,
) -> mujoco.MjsBody:
    """Add a limb along x; its geoms are to be seen only, muscles lie along it.

    Args:
        parent: that it hangs on.
        name: of the limb, as `BELLIES` has it.
        place: m, (3,), of its joint in the parent's frame.
        length: m, as it is drawn.
        thick: m, radius of the ball at its joint.
        thin: m, radius of the limb.
    """
    body = parent.add_body(name=name, pos=place)
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        size=[thin, 0, 0],
        fromto=[0, 0, 0, length, 0, 0],
        rgba=SKIN,
        **SEEN_ONLY,
    )
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_SPHERE,
        size=[thick, 0, 0],
        rgba=SKIN,
        **SEEN_ONLY,
    )
    for muscle, belly in BELLIES.items():
        if belly.link == name:
            body.add_geom(
                name=muscle,
                type=mujoco.mjtGeom.mjGEOM_ELLIPSOID,
                size=[(belly.end - belly.begin) * length / 2, 0.013, 0.016],
                pos=[(belly.begin + belly.end) * length / 2, belly.aside, 0.012],
                rgba=MUSCLE,
                **SEEN_ONLY,
            )
    return body


def _add_person(world: mujoco.MjsBody) -> None:
    """Add chest and head, left of the shoulder of a right arm, to be seen only."""
    world.add_geom(
        name="chest",
        type=mujoco.mjtGeom.mjGEOM_ELLIPSOID,
        size=[0.19, 0.1, 0.04],
        pos=[-0.17, -0.03, HEIGHT - 0.02],
        rgba=SHIRT,
        **SEEN_ONLY,
    )
    world.add_geom(
        name="head",
        type=mujoco.mjtGeom.mjGEOM_ELLIPSOID,
        size=[0.075, 0.095, 0.08],
        pos=[-0.17, 0.01, HEIGHT + 0.07],
        rgba=scenery.EYE,
        **SEEN_ONLY,
    )

"""The planar two-joint, six-muscle arm of Rinaldo et al. 2024 (arXiv 2401.14057); values: MotorNet's arm26.

Masses after Nijhof & Kouwenhoven 2000, muscles after Kistemaker, Wong, Gribble 2010
(docs/systems/arm.md, "The arm").
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from ..errors import LanceletError
from . import scenery
from .core import Body, quantity

MUSCLES = ("pectoralis", "deltoid", "brachioradialis", "triceps_lateral", "biceps", "triceps_long")
HEIGHT = 0.06
"""m, of the arm's plane over the floor, for the picture only"""
TOLERANCE = 1e-5
"""m, by which a point may lie out of reach: float32 is not finer"""
SKIN, SHIRT, MUSCLE = [0.93, 0.72, 0.58, 1], [0.36, 0.5, 0.62, 1], [0.76, 0.25, 0.22, 1]
BELLIES = {
    "pectoralis": ("upper_arm", 0.02, 0.42, 0.030), "deltoid": ("upper_arm", 0.0, 0.36, -0.032),
    "biceps": ("upper_arm", 0.42, 0.95, 0.027), "triceps_lateral": ("upper_arm", 0.36, 0.90, -0.024),
    "triceps_long": ("upper_arm", 0.20, 0.80, -0.034), "brachioradialis": ("forearm", 0.02, 0.50, 0.022),
}  # fmt: skip
"""muscle -> link, where its belly begins and ends along it (parts of the length), and how far (m) beside its axis"""


@dataclass(frozen=True)
class Arm(Body):
    """Upper arm and forearm on two hinges, `shoulder` and `elbow` (relative), in a horizontal plane.

    No gravity, no joint damping, no actuator: muscles are figures here and pull as generalised forces in the task.
    Muscle fields hold six numbers, in the order of `MUSCLES`. With d = (q1 - pi/2, q2) a muscle and its tendon are
    ``rest_length + sum_j (arm_j + curve_j d_j) d_j`` long, and its moment arm is ``arm_j + 2 curve_j d_j``.
    """

    upper_mass: float = quantity(1.82, "kg", 1.2, 2.8)
    """of the upper arm"""
    forearm_mass: float = quantity(1.43, "kg", 0.9, 2.2)
    """of forearm and hand"""
    upper_length: float = quantity(0.309, "m", 0.25, 0.37)
    """shoulder to elbow"""
    forearm_length: float = quantity(0.333, "m", 0.25, 0.40)
    """elbow to hand"""
    upper_centre: float = quantity(0.135, "m", 0.10, 0.18)
    """shoulder to the upper arm's centre of mass"""
    forearm_centre: float = quantity(0.165, "m", 0.12, 0.21)
    """elbow to the forearm's centre of mass"""
    upper_inertia: float = quantity(0.051, "kg m^2", 0.01, 0.09)
    """of the upper arm about its centre of mass"""
    forearm_inertia: float = quantity(0.057, "kg m^2", 0.01, 0.09)
    """of the forearm about its centre of mass"""
    shoulder_limit: tuple[float, ...] = quantity((0.0, math.radians(135)), "rad", -0.5, 2.7)
    """lowest and highest angle"""
    elbow_limit: tuple[float, ...] = quantity((0.0, math.radians(155)), "rad", 0.0, 2.8)
    """lowest and highest angle"""
    max_force: tuple[float, ...] = quantity(
        (838.0, 1207.0, 1422.0, 1549.0, 414.0, 603.0), "N", 200.0, 3000.0
    )
    """isometric force at full activation and best length"""
    tendon: tuple[float, ...] = quantity(
        (0.039, 0.066, 0.172, 0.187, 0.204, 0.217), "m", 0.02, 0.35
    )
    """length of the tendon, which does not stretch"""
    optimal_length: tuple[float, ...] = quantity(
        (0.134, 0.140, 0.092, 0.093, 0.137, 0.127), "m", 0.05, 0.25
    )
    """of the muscle fibres, where they pull best"""
    rest_length: tuple[float, ...] = quantity(
        (0.151, 0.2322, 0.2859, 0.2355, 0.3329, 0.2989), "m", 0.1, 0.5
    )
    """of muscle and tendon at d = 0"""
    shoulder_arm: tuple[float, ...] = quantity(
        (-0.03, 0.03, 0.0, 0.0, -0.03, 0.03), "m", -0.06, 0.06
    )
    """moment arm at d = 0; flexors are negative"""
    elbow_arm: tuple[float, ...] = quantity(
        (0.0, 0.0, -0.014, 0.025, -0.016, 0.03), "m", -0.06, 0.06
    )
    """moment arm at d = 0; flexors are negative"""
    shoulder_curve: tuple[float, ...] = quantity((0.0,) * 6, "m/rad", -0.01, 0.01)
    """half the change of the moment arm with the angle"""
    elbow_curve: tuple[float, ...] = quantity(
        (0.0, 0.0, -4.0e-3, -2.2e-3, -5.7e-3, -3.2e-3), "m/rad", -0.01, 0.01
    )
    """half the change of the moment arm with the angle"""
    activation_time: float = quantity(0.015, "s", 0.01, 0.03)
    """time constant of activation, at activation 1/3"""
    deactivation_time: float = quantity(0.05, "s", 0.03, 0.08)
    """time constant of deactivation, at activation 1/3"""
    least_activation: float = quantity(0.001, "1", 1e-4, 0.01)
    """that a muscle at rest keeps"""
    top_speed: float = quantity(10.0, "optimal lengths/s", 5.0, 15.0)
    """that muscle speeds are measured by"""
    timestep: float = 0.01
    """s, of the simulator"""

    def __post_init__(self) -> None:
        self.positive(
            "upper_mass", "forearm_mass", "upper_length", "forearm_length", "upper_inertia", "forearm_inertia",
            "upper_centre", "forearm_centre", "activation_time", "deactivation_time", "least_activation", "top_speed",
            "timestep",
        )  # fmt: skip
        muscles = ("max_force", "tendon", "optimal_length", "rest_length")
        arms = ("shoulder_arm", "elbow_arm", "shoulder_curve", "elbow_curve")
        for name in (*muscles, *arms):
            if len(getattr(self, name)) != len(MUSCLES):
                raise LanceletError(
                    f"{type(self).__name__}.{name} = {getattr(self, name)!r}: needs six numbers"
                )
        self.positive(*muscles)
        self._finite(
            (*arms, "shoulder_limit", "elbow_limit"),
            lambda number: abs(number) <= math.pi,
            "within +-pi",
        )
        for name in ("shoulder_limit", "elbow_limit"):
            limit = getattr(self, name)
            if len(limit) != 2 or not limit[0] < limit[1]:
                raise LanceletError(
                    f"{type(self).__name__}.{name} = {limit!r}: needs a low and a higher angle"
                )
        if self.least_activation > 0.1:
            raise LanceletError(
                f"{type(self).__name__}.least_activation = {self.least_activation!r}: must be 0.1 or less"
            )

    @property
    def limits(self) -> np.ndarray:
        """Lowest and highest angles, rad, (2 bounds, 2 joints)."""
        return np.array([self.shoulder_limit, self.elbow_limit]).T

    def hand(self, angles: Any) -> np.ndarray:
        """Where the hand is, m, (..., 2), at joint angles (..., 2)."""
        angles = np.asarray(angles, float)
        upper, lower = angles[..., 0], angles.sum(-1)
        reach = self.upper_length * np.array([np.cos(upper), np.sin(upper)])
        return np.moveaxis(
            reach + self.forearm_length * np.array([np.cos(lower), np.sin(lower)]), 0, -1
        )

    def angles_at(self, hand: Any) -> np.ndarray:
        """Joint angles, rad, (..., 2), within the limits that bring the hand to points (..., 2); NaN out of reach."""
        x, y = np.moveaxis(np.asarray(hand, float), -1, 0)
        one, two = self.upper_length, self.forearm_length
        bend = (x * x + y * y - one * one - two * two) / (2 * one * two)
        bend = np.clip(bend, -1, 1)
        found = np.full((*x.shape, 2), np.nan)
        for sign in (-1, 1):  # a positive elbow wins
            elbow = sign * np.arccos(bend)
            shoulder = np.arctan2(y, x) - np.arctan2(two * np.sin(elbow), one + two * np.cos(elbow))
            angles = np.clip(
                np.stack([(shoulder + np.pi) % (2 * np.pi) - np.pi, elbow], -1), *self.limits
            )
            near = self.hand(angles) - np.stack([x, y], -1)
            found = np.where((near**2).sum(-1, keepdims=True) < TOLERANCE**2, angles, found)
        return found

    def loaded(self, mass: float, place: float | None = None) -> Arm:
        """This arm with a point `mass` (kg) on the forearm, `place` m from the elbow (none: its centre of mass)."""
        if not (math.isfinite(mass) and mass >= 0):
            raise LanceletError(f"load = {mass!r}: must be finite and >= 0 kg")
        place = self.forearm_centre if place is None else place
        total = self.forearm_mass + mass
        centre = (self.forearm_mass * self.forearm_centre + mass * place) / total
        inertia = self.forearm_inertia + self.forearm_mass * (self.forearm_centre - centre) ** 2
        inertia += mass * (place - centre) ** 2
        return dataclasses.replace(
            self, forearm_mass=total, forearm_centre=centre, forearm_inertia=inertia
        )

    def build(self) -> mujoco.MjSpec:
        """The spec: two hinges about z, explicit inertias, stiff limits, no contact, a site `hand`."""
        spec = mujoco.MjSpec()
        spec.compiler.degree = False
        spec.option.timestep = self.timestep
        spec.option.gravity = [0, 0, 0]
        spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
        scenery.floor(spec)
        scenery.above(spec, width=1.5, depth=0.95, centre=(0.05, 0.24))
        _person(spec.worldbody)
        # where lengths vary the camera stays: pictures of different arms can be laid side by side
        upper = _link(spec.worldbody, "upper_arm", [0, 0, HEIGHT], self.upper_length, 0.04, 0.032)
        _inertia(upper, self.upper_mass, self.upper_centre, self.upper_inertia)
        forearm = _link(
            upper, "forearm", [self.upper_length, 0, 0], self.forearm_length - 0.05, 0.031, 0.024
        )
        _inertia(forearm, self.forearm_mass, self.forearm_centre, self.forearm_inertia)
        for body, name, limit in (
            (upper, "shoulder", self.shoulder_limit),
            (forearm, "elbow", self.elbow_limit),
        ):
            body.add_joint(
                name=name, type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, 1], limited=1, range=list(limit),
                solref_limit=[0.005, 1], solimp_limit=[0.95, 0.99, 0.001, 0.5, 2],
            )  # fmt: skip
        forearm.add_geom(
            name="palm", type=mujoco.mjtGeom.mjGEOM_ELLIPSOID, size=[0.05, 0.033, 0.018], mass=0,
            pos=[self.forearm_length - 0.02, 0, 0], rgba=SKIN, contype=0, conaffinity=0,
        )  # fmt: skip
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
    """0: MuJoCo's tendons cannot bend their moment arms"""
    timestep: float = 0.002
    """s, of the simulator"""

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
        low, high = self.limits
        for m, name in enumerate(MUSCLES):
            arms = np.array([self.shoulder_arm[m], self.elbow_arm[m]])
            tendon = spec.add_tendon(name=name)
            for joint, arm in zip(("shoulder", "elbow"), arms, strict=True):
                if arm:
                    tendon.wrap_joint(joint, arm)
            # the tendon's length is that of the muscle up to a constant: shortest and longest within the limits
            ends = np.sort(np.stack([arms * low, arms * high]), axis=0).sum(1)
            offset = self.rest_length[m] - self.tendon[m] - self.shoulder_arm[m] * math.pi / 2
            actuator = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_TENDON)
            actuator.set_to_muscle(
                timeconst=[self.activation_time, self.deactivation_time], tausmooth=0,
                range=list((ends + offset) / self.optimal_length[m]), force=self.max_force[m], scale=-1,
                lmin=0.34, lmax=1.66, vmax=self.top_speed, fpmax=1.0, fvmax=1.5,
            )  # fmt: skip
            actuator.lengthrange = list(ends)
            actuator.ctrllimited, actuator.ctrlrange = 1, [0, 1]
        return spec


def _inertia(body: mujoco.MjsBody, mass: float, centre: float, inertia: float) -> None:
    """Mass (kg) at `centre` (m along x) with `inertia` (kg m^2) about z; about x as a rod, which never turns."""
    body.explicitinertial = True
    body.mass, body.ipos, body.inertia = mass, [centre, 0, 0], [0.1 * inertia, inertia, inertia]


def _link(
    parent: mujoco.MjsBody, name: str, place: list[float], length: float, thick: float, thin: float
) -> mujoco.MjsBody:
    """A limb along x from `place`, to be seen only: it thins out towards its end, muscles lie along it."""
    body = parent.add_body(name=name, pos=place)
    seen = {"mass": 0, "contype": 0, "conaffinity": 0}
    body.add_geom(
        name=name, type=mujoco.mjtGeom.mjGEOM_CAPSULE, size=[thin, 0, 0], fromto=[0, 0, 0, length, 0, 0], rgba=SKIN,
        **seen,
    )  # fmt: skip
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[thick, 0, 0], rgba=SKIN, **seen)
    for muscle, (link, begin, end, beside) in BELLIES.items():
        if link == name:
            body.add_geom(
                name=muscle, type=mujoco.mjtGeom.mjGEOM_ELLIPSOID, size=[(end - begin) * length / 2, 0.013, 0.016],
                pos=[(begin + end) * length / 2, beside, 0.012], rgba=MUSCLE, **seen,
            )  # fmt: skip
    return body


def _person(world: mujoco.MjsBody) -> None:
    """Chest and head, left of the shoulder of a right arm, to be seen only."""
    seen = {"mass": 0, "contype": 0, "conaffinity": 0}
    chest = {"size": [0.19, 0.1, 0.04], "pos": [-0.17, -0.03, HEIGHT - 0.02], "rgba": SHIRT}
    world.add_geom(name="chest", type=mujoco.mjtGeom.mjGEOM_ELLIPSOID, **chest, **seen)
    head = {"size": [0.075, 0.095, 0.08], "pos": [-0.17, 0.01, HEIGHT + 0.07], "rgba": scenery.EYE}
    world.add_geom(name="head", type=mujoco.mjtGeom.mjGEOM_ELLIPSOID, **head, **seen)

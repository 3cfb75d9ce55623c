"""The planar swimmer of the dm_control suite, any number of links, any lengths (Tassa et al. 2018).

Its numbers: docs/systems/ncap.md, "The body".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco

from ..checks import whole_number
from ..errors import LanceletError
from . import scenery
from .core import Body

_REFERENCE_LENGTH = 0.1


@dataclass(frozen=True)
class Swimmer(Body):
    """A chain of boxes in a plane, head first, the nose towards -y, with a motor on every joint.

    Sensors: for each link, head first, `velocity_k` and `spin_k` (3 numbers each, link frame, at the link's
    centre). A site `nose` marks the front of the head.
    """

    joints: int = 5
    """actuated joints; the body has joints + 1 links"""
    lengths: float | tuple[float, ...] = _REFERENCE_LENGTH
    """m, of every link, or joints + 1 of them, head first"""
    mass: float = 0.01
    """kg of a link 0.1 m long; mass grows with length"""
    thickness: float = 0.002
    """m, width of the box that carries the mass and meets the water"""
    height: float = 0.02
    """m, of the same box"""
    gear: float = 5e-4
    """N m at full motor command"""
    armature: float = 1e-6
    """kg m^2 on every joint"""
    joint_limit: float | tuple[float, ...] | None = None
    """rad, soft limit to either side of every joint, or one each, head first; None: 2 pi / (joints + 1)"""
    timestep: float = 0.002
    """s, of the simulator"""

    def __post_init__(self) -> None:
        joints = whole_number("Swimmer.joints", self.joints, least=1, most=200)
        object.__setattr__(self, "joints", joints)  # without numpy; the class is frozen
        self.positive("lengths", "mass", "thickness", "height", "gear", "armature", "timestep")
        if self.joint_limit is not None:
            self.positive("joint_limit")
        if isinstance(self.lengths, tuple) and len(self.lengths) != self.joints + 1:
            raise LanceletError(
                f"Swimmer.lengths has {len(self.lengths)} entries: needs one, or joints + 1 = {self.joints + 1}"
            )
        if isinstance(self.joint_limit, tuple) and len(self.joint_limit) != self.joints:
            raise LanceletError(
                f"Swimmer.joint_limit has {len(self.joint_limit)} entries: needs one, or joints = {self.joints}"
            )

    @property
    def limits(self) -> tuple[float, ...]:
        """Soft limit of every joint in rad, head first."""
        limit = 2 * math.pi / (self.joints + 1) if self.joint_limit is None else self.joint_limit
        return limit if isinstance(limit, tuple) else (limit,) * self.joints

    @property
    def link_lengths(self) -> tuple[float, ...]:
        """Length of every link in m, head first."""
        return (
            self.lengths if isinstance(self.lengths, tuple) else (self.lengths,) * (self.joints + 1)
        )

    def build(self) -> mujoco.MjSpec:
        """The spec: contact off, planar unlimited root, 3 + joints degrees of freedom."""
        spec = mujoco.MjSpec()
        spec.compiler.degree = False
        spec.option.timestep = self.timestep
        spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
        scenery.floor(spec)
        parent, before = spec.worldbody, 0.0
        for link, length in enumerate(self.link_lengths):
            half = length / 2
            position = [0, before + half, 0] if link else [0, 0, 0.05]
            body = parent.add_body(name=f"link_{link}" if link else "head", pos=position)
            if link:
                self._joint(spec, body, link - 1, half)
            else:
                self._root(body, half)
                span = sum(self.link_lengths)
                scenery.follow(body, span, centre=(0, span / 2 - half))
            self._link(spec, body, link, half)
            parent, before = body, half
        return spec

    def _root(self, head: mujoco.MjsBody, half: float) -> None:
        pivot = [0, -half, 0]
        for name, axis in (("root_x", [1, 0, 0]), ("root_y", [0, 1, 0])):
            head.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis, pos=pivot)
        head.add_joint(
            name="root_heading", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, 1], pos=pivot
        )
        head.add_site(name="nose", pos=[0, -half - 0.01, 0], rgba=[0, 0, 0, 0])
        head.add_geom(
            name="head_visual", type=mujoco.mjtGeom.mjGEOM_ELLIPSOID, size=[0.02, 0.04, 0.017],
            pos=[0, 0.028 - half, 0], rgba=scenery.BODY, mass=0,
        )  # fmt: skip
        for side in (-1, 1):
            head.add_geom(
                type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.005, 0, 0], pos=[side * 0.008, -half - 0.004, 0.008],
                rgba=scenery.EYE, mass=0,
            )  # fmt: skip

    def _joint(self, spec: mujoco.MjSpec, body: mujoco.MjsBody, joint: int, half: float) -> None:
        body.add_joint(
            name=f"joint_{joint}", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, 1], pos=[0, -half, 0],
            limited=1, range=[-self.limits[joint], self.limits[joint]], armature=self.armature,
            solref_limit=[0.05, 1], solimp_limit=[0, 0.8, 0.1, 0.5, 2],
        )  # fmt: skip
        spec.add_actuator(
            name=f"motor_{joint}", target=f"joint_{joint}", trntype=mujoco.mjtTrn.mjTRN_JOINT,
            gear=[self.gear, 0, 0, 0, 0, 0], ctrllimited=1, ctrlrange=[-1, 1],
        )  # fmt: skip

    def _link(self, spec: mujoco.MjSpec, body: mujoco.MjsBody, link: int, half: float) -> None:
        body.add_geom(
            name=f"inertial_{link}", type=mujoco.mjtGeom.mjGEOM_BOX, size=[self.thickness / 2, half, self.height / 2],
            mass=self.mass * (2 * half / _REFERENCE_LENGTH), rgba=[0, 0, 0, 0],
        )  # fmt: skip
        body.add_geom(
            name=f"visual_{link}", type=mujoco.mjtGeom.mjGEOM_CAPSULE, size=[0.01, 0, 0],
            fromto=[0, -half, 0, 0, half, 0], rgba=scenery.BODY, mass=0,
        )  # fmt: skip
        body.add_site(name=f"centre_{link}", size=[0.01, 0.01, 0.01], rgba=[0, 0, 0, 0])
        for name, kind in (
            ("velocity", mujoco.mjtSensor.mjSENS_VELOCIMETER),
            ("spin", mujoco.mjtSensor.mjSENS_GYRO),
        ):
            spec.add_sensor(
                name=f"{name}_{link}",
                type=kind,
                objtype=mujoco.mjtObj.mjOBJ_SITE,
                objname=f"centre_{link}",
            )

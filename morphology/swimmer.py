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

REFERENCE_LENGTH = 0.1
"""m, of a standard link, which `Swimmer.mass` is the mass of"""
MOST_JOINTS = 200
HEAD_HEIGHT = 0.05
"""m, of the plane of the chain over the floor, for the picture only"""
NOSE_AHEAD = 0.01
"""m, by which the site `nose` stands in front of the first link"""

# Joint limits: soft ones, those of the dm_control suite (MuJoCo's parameters of a soft constraint).
LIMIT_SOLREF = [0.05, 1]
"""s, time constant; damping ratio"""
LIMIT_SOLIMP = [0, 0.8, 0.1, 0.5, 2]
"""impedance from 0 to 0.8 within 0.1 rad, midpoint, power"""


@dataclass(frozen=True)
class Swimmer(Body):
    """A chain of boxes in a plane, head first, the nose towards -y, with a motor on every joint.

    Sensors: for each link, head first, `velocity_k` and `spin_k` (3 numbers each, link frame, at the link's
    centre). A site `nose` marks the front of the head.

    Link 0 is the head. Joint k stands between links k and k + 1. A link's frame stands in its middle, its joint half a
    length towards the head, at -y.
    """

    joints: int = 5
    """actuated joints; the body has joints + 1 links"""
    lengths: float | tuple[float, ...] = REFERENCE_LENGTH
    """length of every link, m, or joints + 1 of them, head first"""
    mass: float = 0.01
    """mass of a link 0.1 m long, kg; mass grows with length"""
    thickness: float = 0.002
    """width of the box that carries the mass and meets the water, m"""
    height: float = 0.02
    """height of the same box, m"""
    gear: float = 5e-4
    """torque of every motor at full command, N m"""
    armature: float = 1e-6
    """armature of every joint, kg m^2"""
    joint_limit: float | tuple[float, ...] | None = None
    """soft limit to either side of every joint, rad, or one each, head first; None: 2 pi / (joints + 1)"""
    timestep: float = 0.002
    """time step of the simulator, s"""

    def __post_init__(self) -> None:
        joints = whole_number("Swimmer.joints", self.joints, least=1, most=MOST_JOINTS)
        # The class is frozen. A number of numpy's must not stay.
        object.__setattr__(self, "joints", joints)
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
        """Soft limit of every joint, rad, head first."""
        limit = self.joint_limit
        if limit is None:
            # Not 2 pi / joints, the easiest mistake to make: a chain bent to all its limits closes a circle.
            limit = 2 * math.pi / (self.joints + 1)
        if isinstance(limit, tuple):
            return limit
        return (limit,) * self.joints

    @property
    def link_lengths(self) -> tuple[float, ...]:
        """Length of every link, m, head first."""
        if isinstance(self.lengths, tuple):
            return self.lengths
        return (self.lengths,) * (self.joints + 1)

    def build(self) -> mujoco.MjSpec:
        """The spec: contact off, planar unlimited root, 3 + joints degrees of freedom."""
        spec = mujoco.MjSpec()
        spec.compiler.degree = False
        spec.option.timestep = self.timestep
        spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
        scenery.floor(spec)
        head_length, *other_lengths = self.link_lengths
        half_length = head_length / 2
        body = self._add_head(spec, half_length)
        for joint, length in enumerate(other_lengths):
            half_length_before = half_length
            half_length = length / 2
            link = joint + 1
            body = body.add_body(
                name=f"link_{link}",
                pos=[0, half_length_before + half_length, 0],
            )
            self._add_joint(spec, body, joint, half_length)
            self._add_link(spec, body, link, half_length)
        return spec

    def _add_head(self, spec: mujoco.MjSpec, half_length: float) -> mujoco.MjsBody:
        """Add the first link with the root's joints, the nose, a face, and the camera that follows.

        Args:
            spec: gets the sensors of the link.
            half_length: m, of the link.
        """
        head = spec.worldbody.add_body(name="head", pos=[0, 0, HEAD_HEIGHT])
        front = [0, -half_length, 0]
        head.add_joint(
            name="root_x",
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=[1, 0, 0],
            pos=front,
        )
        head.add_joint(
            name="root_y",
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=[0, 1, 0],
            pos=front,
        )
        head.add_joint(
            name="root_heading",
            type=mujoco.mjtJoint.mjJNT_HINGE,
            axis=[0, 0, 1],
            pos=front,
        )
        head.add_site(
            name="nose",
            pos=[0, -half_length - NOSE_AHEAD, 0],
            rgba=scenery.CLEAR,
        )
        _add_face(head, half_length)
        span = sum(self.link_lengths)
        # The chain is straight at the start, and the head's frame half a link behind its front.
        scenery.follow(head, span, centre=(0, span / 2 - half_length))
        self._add_link(spec, head, 0, half_length)
        return head

    def _add_joint(
        self,
        spec: mujoco.MjSpec,
        body: mujoco.MjsBody,
        joint: int,
        half_length: float,
    ) -> None:
        """Add a joint and the motor that turns it.

        Args:
            spec: gets the motor.
            body: the link behind the joint.
            joint: its number, head first.
            half_length: m, of that link.
        """
        limit = self.limits[joint]
        body.add_joint(
            name=f"joint_{joint}",
            type=mujoco.mjtJoint.mjJNT_HINGE,
            axis=[0, 0, 1],
            pos=[0, -half_length, 0],
            limited=1,
            range=[-limit, limit],
            armature=self.armature,
            solref_limit=LIMIT_SOLREF,
            solimp_limit=LIMIT_SOLIMP,
        )
        spec.add_actuator(
            name=f"motor_{joint}",
            target=f"joint_{joint}",
            trntype=mujoco.mjtTrn.mjTRN_JOINT,
            gear=[self.gear, 0, 0, 0, 0, 0],
            ctrllimited=1,
            ctrlrange=[-1, 1],
        )

    def _add_link(
        self,
        spec: mujoco.MjSpec,
        body: mujoco.MjsBody,
        link: int,
        half_length: float,
    ) -> None:
        """Add the box that carries a link's mass, what is seen of the link, and its sensors.

        Args:
            spec: gets the sensors.
            body: of the link.
            link: its number, head first.
            half_length: m, of the link.
        """
        body.add_geom(
            name=f"inertial_{link}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[self.thickness / 2, half_length, self.height / 2],
            mass=self.mass * (2 * half_length / REFERENCE_LENGTH),
            rgba=scenery.CLEAR,
        )
        body.add_geom(
            name=f"visual_{link}",
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            size=[0.01, 0, 0],
            fromto=[0, -half_length, 0, 0, half_length, 0],
            mass=0,
            rgba=scenery.BODY,
        )
        site = f"centre_{link}"
        body.add_site(
            name=site,
            size=[0.01, 0.01, 0.01],
            rgba=scenery.CLEAR,
        )
        spec.add_sensor(
            name=f"velocity_{link}",
            type=mujoco.mjtSensor.mjSENS_VELOCIMETER,
            objtype=mujoco.mjtObj.mjOBJ_SITE,
            objname=site,
        )
        spec.add_sensor(
            name=f"spin_{link}",
            type=mujoco.mjtSensor.mjSENS_GYRO,
            objtype=mujoco.mjtObj.mjOBJ_SITE,
            objname=site,
        )


def _add_face(head: mujoco.MjsBody, half_length: float) -> None:
    """Add a snout and two eyes, to be seen only.

    Args:
        head: the first link.
        half_length: m, of that link.
    """
    head.add_geom(
        name="head_visual",
        type=mujoco.mjtGeom.mjGEOM_ELLIPSOID,
        size=[0.02, 0.04, 0.017],
        pos=[0, 0.028 - half_length, 0],
        mass=0,
        rgba=scenery.BODY,
    )
    for side in (-1, 1):
        head.add_geom(
            type=mujoco.mjtGeom.mjGEOM_SPHERE,
            size=[0.005, 0, 0],
            pos=[side * 0.008, -half_length - 0.004, 0.008],
            mass=0,
            rgba=scenery.EYE,
        )

"""Creatures: trees of capsules with servo joints and sensors (Sims 1994; Gupta et al. 2021, arXiv 2102.02202)."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import mujoco

from ..errors import LanceletError
from . import scenery
from .core import Body
from .creature_genes import (
    CHANNELS,
    DEPTH,
    MASS,
    PARTS,
    SEGMENTS,
    SENSORS,
    TOLERANCE,
    Segment,
    Sensor,
    gene,
    quadruped,
)
from .creature_parts import Part, Pose, expand, overlaps, reflect, rest, surface

STIFFNESS, BRAKE = 2.5, 0.25
"""1/rad and s/rad: shares of the largest torque that a servo adds for an error and takes off for a speed"""
CLEARANCE, GRAVITY = 0.03, 9.81
"""m, under the lowest point at the start; m/s^2, that touch is measured against"""


class Hinge(NamedTuple):
    """One axis about which a part turns on its parent."""

    part: int
    """that turns"""
    axis: int
    """number of the axis among those of the part"""


class Channel(NamedTuple):
    """One number that a sensor tells: tanh of gain times the value in its unit."""

    key: str
    """lineage: ``sensor:id.c``, the same on mirrored copies"""
    part: int
    """that it sits on"""
    source: str
    """MuJoCo sensor"""
    component: int
    """of it"""
    scale: float
    """gain / unit"""

    @property
    def width(self) -> int:
        """How many numbers of MuJoCo its sensor makes."""
        return 3 if self.component else 1


@dataclass(frozen=True, kw_only=True)
class Creature(Body):
    """A tree of segments on legs or without, its nose towards +x, its mirror the xz plane; the root moves freely.

    Servos: one a hinge, parts in order. Command -1 to 1 is the angle asked for, from one end of the range to the
    other; the torque is limited. Sensors of MuJoCo: what `channels` reads. All parts but neighbours collide.
    """

    segments: tuple[Segment, ...] = quadruped()[0]
    """parents first"""
    sensors: tuple[Sensor, ...] = quadruped()[1]
    """one or more"""
    timestep: float = 0.005
    """s, of the simulator"""

    def __post_init__(self) -> None:
        for name, cls, most in (("segments", Segment, SEGMENTS), ("sensors", Sensor, SENSORS)):
            given = getattr(self, name)
            if not isinstance(given, list | tuple) or not 1 <= len(given) <= most:
                count = len(given) if isinstance(given, list | tuple) else given
                raise LanceletError(
                    f"Creature.{name}: {count!r} of them: needs a list of 1 to {most}"
                )
            made = tuple(gene(f"Creature.{name}[{i}]", cls, item) for i, item in enumerate(given))
            object.__setattr__(self, name, made)
            ids = [gene.id for gene in made]
            if len(set(ids)) < len(ids):
                raise LanceletError(
                    f"Creature.{name}: lineage id {max(ids, key=ids.count)} is there twice"
                )
        self.positive("timestep")
        self._check_segments()
        self._check_sensors()
        self._check_whole()

    def _check_segments(self) -> None:
        depths: list[int] = []
        for i, segment in enumerate(self.segments):
            who = f"Creature.segments[{i}]"
            lowest, highest = (-1, -1) if i == 0 else (0, i - 1)
            if not lowest <= segment.parent <= highest:
                need = (
                    "-1, it is the root"
                    if i == 0
                    else f"from 0 to {i - 1}, a segment before it (no cycles)"
                )
                raise LanceletError(f"{who}.parent = {segment.parent}: must be {need}")
            depths.append(0 if i == 0 else depths[segment.parent] + 1)
            if depths[i] > DEPTH:
                raise LanceletError(
                    f"{who}.parent = {segment.parent}: {depths[i]} joints from the root, at most {DEPTH}"
                )
            if i == 0 and (segment.axes or segment.mirror):
                raise LanceletError(f"{who}: the root has no axes and no mirror image")
            if i and _inward(self.segments[segment.parent], segment):
                raise LanceletError(
                    f"{who}.direction = {segment.direction}: points into its parent"
                )

    def _check_sensors(self) -> None:
        for i, sensor in enumerate(self.sensors):
            who = f"Creature.sensors[{i}]"
            if not 0 <= sensor.segment < len(self.segments):
                raise LanceletError(
                    f"{who}.segment = {sensor.segment}: there are {len(self.segments)} segments"
                )
            if sensor.kind == "joint" and not self.segments[sensor.segment].axes:
                raise LanceletError(
                    f"{who}.segment = {sensor.segment}: has no axes for a joint sensor to feel"
                )

    def _check_whole(self) -> None:
        if len(self.parts) > PARTS:
            raise LanceletError(
                f"Creature.segments: more than {PARTS} parts with all mirrored copies"
            )
        if not self.joints:
            raise LanceletError(
                "Creature.segments: no segment has an axis: needs one actuated joint or more"
            )
        if len(self.channels) > CHANNELS:
            raise LanceletError(
                f"Creature.sensors tell {len(self.channels)} numbers: at most {CHANNELS}"
            )
        mass = self.mass
        if not MASS[0] <= mass <= MASS[1]:
            raise LanceletError(
                f"Creature weighs {mass:.3g} kg: must be {MASS[0]:g} to {MASS[1]:g} kg"
            )
        deepest = overlaps(self.parts, self.pose)
        if deepest is not None and deepest[2] > TOLERANCE:
            one, other = (self.parts[i].segment for i in deepest[:2])
            raise LanceletError(
                f"Creature.segments[{one}] and [{other}] run {1000 * deepest[2]:.1f} mm into one another at rest: "
                f"at most {1000 * TOLERANCE:g} mm"
            )

    @cached_property
    def parts(self) -> list[Part]:
        """Segments and their mirrored copies, parents first, in the order of the simulator's bodies."""
        return expand(self.segments, PARTS)

    @cached_property
    def pose(self) -> Pose:
        """At rest."""
        return rest(self.segments, self.parts)

    @cached_property
    def joints(self) -> list[Hinge]:
        """Every hinge, in the order of the actions and of the simulator's joints."""
        hinges: list[Hinge] = []
        for number, part in enumerate(self.parts):
            hinges += [Hinge(number, axis) for axis in range(len(part.axes))]
        return hinges

    @cached_property
    def hinge_lineages(self) -> list[str]:
        """Lineage of every hinge, ``segment:id.axis``, the same on mirrored copies."""
        return [
            f"segment:{self.segments[self.parts[hinge.part].segment].id}.{hinge.axis}"
            for hinge in self.joints
        ]

    def carrier(self, part: int) -> int:
        """The nearest part with hinges from `part` towards the root, itself first; -1: none."""
        nearest = part
        while nearest >= 0 and not self.parts[nearest].axes:
            nearest = self.parts[nearest].parent
        return nearest

    @cached_property
    def _head(self) -> int:
        """Where the eyes are, for the picture: the foremost of trunk and what sits on its middle facing ahead."""
        ahead = [
            i
            for i, p in enumerate(self.parts)
            if p.parent == 0 and p.direction[0] > 0.3 and p.attach[1] == 0
        ]
        return max([0, *ahead], key=lambda i: self.pose.lines[i, 1, 0])

    @cached_property
    def torques(self) -> list[float]:
        """N m, of every motor at most."""
        return [self.segments[self.parts[i].segment].torque for i, _ in self.joints]

    @cached_property
    def mass(self) -> float:
        """kg, of the whole."""
        return sum(self.segments[part.segment].mass for part in self.parts)

    @cached_property
    def channels(self) -> list[Channel]:
        """What it feels, in the order of the observation; units: the range, 8 rad/s; 1, 5 rad/s; half the weight."""
        found: list[Channel] = []
        for k, sensor in enumerate(self.sensors):
            for i, part in enumerate(self.parts):
                if part.segment == sensor.segment:
                    for c, (source, component, unit) in enumerate(
                        self._told(sensor, f"{k}_{i}", part)
                    ):
                        found.append(
                            Channel(
                                f"sensor:{sensor.id}.{c}", i, source, component, sensor.gain / unit
                            )
                        )
        return found

    def _told(self, sensor: Sensor, name: str, part: Part) -> list[tuple[str, int, float]]:
        """(MuJoCo sensor, component, unit) of every number of one sensor on one part."""
        if sensor.kind == "touch":
            return [(f"touch_{name}", 0, 0.5 * GRAVITY * self.mass)]
        if sensor.kind == "imu":
            return [(f"tilt_{name}", 2, 1.0), (f"spin_{name}", 2, -5.0 if part.mirrored else 5.0)]
        bend = self.segments[sensor.segment].range
        return [
            one
            for a in range(len(part.axes))
            for one in ((f"angle_{name}_{a}", 0, bend), (f"speed_{name}_{a}", 0, 8.0))
        ]

    def build(self) -> mujoco.MjSpec:
        """The spec: its lowest point 3 cm over a floor that does not carry it yet."""
        spec = mujoco.MjSpec()
        spec.compiler.degree = False
        spec.option.timestep = self.timestep
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        scenery.floor(spec)
        bodies: list[Any] = []
        for i, part in enumerate(self.parts):
            bodies.append(
                self._part(spec, bodies[part.parent] if bodies else spec.worldbody, i, part)
            )
        low, high = self.pose.box
        scenery.chase(bodies[0], self.pose.span, ((low + high) / 2).tolist())
        for k, sensor in enumerate(self.sensors):
            for i, part in enumerate(self.parts):
                if part.segment == sensor.segment:
                    self._sensor(spec, bodies[i], sensor, k, i)
        return spec

    def _part(self, spec: mujoco.MjSpec, parent: Any, i: int, part: Part) -> Any:
        segment, root = self.segments[part.segment], part.parent < 0
        position = [0, 0, CLEARANCE - self.pose.lowest] if root else self.pose.places[i].tolist()
        body = parent.add_body(name=f"part_{i}", pos=position, quat=list(part.rotation))
        if root:
            body.add_freejoint(name="root")
        for axis, vector in enumerate(part.axes):
            self._servo(spec, body, f"{i}_{axis}", vector, segment)
        half, radius = segment.half_length, segment.radius
        ends = [-half, 0, 0, half, 0, 0] if root else [0, 0, 0, 2 * half, 0, 0]
        body.add_geom(
            name=f"part_{i}", type=mujoco.mjtGeom.mjGEOM_CAPSULE, size=[radius, 0, 0], fromto=ends,
            density=segment.density, rgba=_colour(part, segment), friction=[1.0, 0.005, 0.0001], condim=3,
        )  # fmt: skip
        if i == self._head:
            self._face(body, segment, 0.0 if root else half)
        return body

    def _face(self, body: Any, segment: Segment, middle: float) -> None:
        """Two eyes on the front of a segment, whose capsule's centre is `middle` (m) along it."""
        size = 0.28 * segment.radius
        for side in (-1, 1):
            (x, y, z), _ = surface((0.83, 0.4 * side, 0.39), segment.half_length, segment.radius)
            body.add_geom(
                type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[size, 0, 0], pos=[x + middle, y, z], rgba=scenery.EYE, mass=0,
                contype=0, conaffinity=0,
            )  # fmt: skip

    def _servo(
        self, spec: mujoco.MjSpec, body: Any, name: str, axis: Any, segment: Segment
    ) -> None:
        torque, bend = segment.torque, segment.range
        body.add_joint(
            name=f"joint_{name}", type=mujoco.mjtJoint.mjJNT_HINGE, axis=list(axis), limited=1, range=[-bend, bend],
            armature=0.01 * torque * BRAKE, damping=[0.02 * torque, 0, 0],
        )  # fmt: skip
        spec.add_actuator(
            name=f"servo_{name}", target=f"joint_{name}", trntype=mujoco.mjtTrn.mjTRN_JOINT,
            ctrllimited=1, ctrlrange=[-1, 1], forcelimited=1, forcerange=[-torque, torque],
            gainprm=[torque * STIFFNESS * bend] + [0] * 9, biastype=mujoco.mjtBias.mjBIAS_AFFINE,
            biasprm=[0, -torque * STIFFNESS, -torque * BRAKE] + [0] * 7,
        )  # fmt: skip

    def _sensor(self, spec: mujoco.MjSpec, body: Any, sensor: Sensor, k: int, i: int) -> None:
        part, name = self.parts[i], f"{k}_{i}"
        if sensor.kind == "joint":
            for a in range(len(part.axes)):
                for kind, what in (
                    ("angle", _SENSOR.mjSENS_JOINTPOS),
                    ("speed", _SENSOR.mjSENS_JOINTVEL),
                ):
                    joint = f"joint_{i}_{a}"
                    spec.add_sensor(
                        name=f"{kind}_{name}_{a}",
                        type=what,
                        objtype=mujoco.mjtObj.mjOBJ_JOINT,
                        objname=joint,
                    )
            return
        segment = self.segments[sensor.segment]
        middle = 0.0 if part.parent < 0 else segment.half_length
        site, axis = f"{sensor.kind}_{name}", reflect(sensor.axis) if part.mirrored else sensor.axis
        told: tuple[tuple[str, Any], ...]
        if sensor.kind == "touch":
            x, y, z = surface(axis, segment.half_length, segment.radius)[0]
            size = 1.1 * segment.radius
            body.add_site(
                name=site, pos=[x + middle, y, z], size=[size, size, size], rgba=[0, 0, 0, 0]
            )
            told = (("touch", _SENSOR.mjSENS_TOUCH),)
        else:
            body.add_site(
                name=site, pos=[middle, 0, 0], zaxis=list(axis), size=[0.01] * 3, rgba=[0, 0, 0, 0]
            )
            told = (("tilt", _SENSOR.mjSENS_FRAMEZAXIS), ("spin", _SENSOR.mjSENS_GYRO))
        for kind, what in told:
            spec.add_sensor(
                name=f"{kind}_{name}", type=what, objtype=mujoco.mjtObj.mjOBJ_SITE, objname=site
            )


_SENSOR = mujoco.mjtSensor


def _inward(parent: Segment, child: Segment) -> bool:
    """Whether `child` grows into its parent."""
    normal = surface(child.attach, parent.half_length, parent.radius)[1]
    return sum(map(operator.mul, normal, child.direction)) < -1e-6


def _colour(part: Part, segment: Segment) -> list[float]:
    """The trunk's, lighter where it does not move, darker and redder the more joints it has."""
    red, green, blue, _ = scenery.BODY
    shade = 1.0 if part.parent < 0 else 0.92 if not part.axes else 0.8
    return [red * shade, green * shade, blue * shade, 1]

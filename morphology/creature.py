"""Creatures: trees of capsules with servo joints and sensors (Sims 1994; Gupta et al. 2021, arXiv 2102.02202).

`creature_genes` says what a segment and a sensor are, `creature_parts` where they stand. This file makes a body of
them: what it refuses, what it weighs and feels, and its MuJoCo model.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import mujoco

from ..errors import LanceletError
from . import scenery
from .core import Body
from .creature_genes import (
    MASS,
    MOST_CHANNELS,
    MOST_JOINTS_DEEP,
    MOST_PARTS,
    MOST_SEGMENTS,
    MOST_SENSORS,
    OVERLAP_TOLERANCE,
    GeneType,
    Segment,
    Sensor,
    quadruped,
    read_gene,
)
from .creature_parts import (
    NO_PARENT,
    Part,
    Pose,
    Vector,
    expand,
    overlaps,
    reflect,
    rest,
    surface,
)

# Servos

STIFFNESS = 2.5
"""1/rad: share of the largest torque that a servo adds for an error"""
BRAKE = 0.25
"""s/rad: share of the largest torque that a servo takes off for a speed"""
JOINT_DAMPING = 0.02
"""s/rad: share of the largest torque that the hinge itself takes off for a speed"""
ARMATURE_TIME = 0.01
"""s: time constant with which the servo's brake slows the armature of its hinge"""

# Sensors

SPEED_UNIT = 8.0
"""rad/s, of a hinge, that a joint sensor of gain 1 tells as tanh 1"""
SPIN_UNIT = 5.0
"""rad/s, about its axis, that an attitude sensor of gain 1 tells as tanh 1"""
TOUCH_UNIT = 0.5
"""of the creature's weight: the force that a touch sensor of gain 1 tells as tanh 1"""
GRAVITY = 9.81
"""m/s^2, that the weight is reckoned with"""
TOUCH_SIZE = 1.1
"""radius of the ball within which a touch sensor feels contacts, over the radius of its segment"""
Z_COMPONENT = 2
"""number of z in a MuJoCo sensor that makes x, y and z"""

# Build

CLEARANCE = 0.03
"""m, under the lowest point at the start"""
INWARD_TOLERANCE = 1e-6
"""cosine by which a direction may point into its parent"""
# Pictures

FACING_AHEAD = 0.3
"""x of a direction above which a segment on the trunk faces ahead"""
EYE_SIZE = 0.28
"""radius of an eye over the radius of its segment"""
RIGID_SHADE = 0.92
"""brightness of a part without hinges, over the trunk's"""
MOVING_SHADE = 0.8
"""brightness of a part with hinges, over the trunk's"""


class Hinge(NamedTuple):
    """One axis about which a part turns on its parent."""

    part: int
    """index of the part that turns"""
    axis: int
    """number of the axis among those of the part"""


class Channel(NamedTuple):
    """One number that a sensor tells: tanh of scale times the value in MuJoCo's unit."""

    key: str
    """lineage: ``sensor:id.number``, the same on mirrored copies"""
    part: int
    """index of the part that its sensor sits on"""
    source: str
    """name of the MuJoCo sensor that it is read from"""
    component: int
    """number of the value among those of that MuJoCo sensor"""
    scale: float
    """gain of the sensor / unit of the value"""

    @property
    def width(self) -> int:
        """How many numbers its MuJoCo sensor makes."""
        # Only tilt and spin are vectors, and of these z is read.
        return 3 if self.component == Z_COMPONENT else 1


class _Reading(NamedTuple):
    """One number of a sensor on a part, as MuJoCo makes it."""

    source: str
    """name of the MuJoCo sensor"""
    component: int
    """number of the value among those of that sensor"""
    unit: float
    """value that is told as tanh 1 at a gain of 1; below 0: the value's sign is turned"""


class _Place(NamedTuple):
    """A sensor on one of the parts that carry it."""

    sensor_index: int
    """number of the sensor among the genes"""
    sensor: Sensor
    """the gene"""
    part_index: int
    """number of the part in the body"""
    part: Part
    """the part"""

    @property
    def name(self) -> str:
        """What the names of its MuJoCo sensors end with."""
        return f"{self.sensor_index}_{self.part_index}"


@dataclass(frozen=True, kw_only=True)
class Creature(Body):
    """A tree of segments on legs or without, its nose towards +x, its mirror the xz plane; the root moves freely.

    Servos: one a hinge, parts in order. Command -1 to 1 is the angle asked for, from one end of the range to the
    other; the torque is limited. Sensors of MuJoCo: what `channels` reads. All parts but neighbours collide.
    """

    segments: tuple[Segment, ...] = quadruped()[0]
    """the tree, parents first"""
    sensors: tuple[Sensor, ...] = quadruped()[1]
    """what it feels of itself: one sensor or more"""
    timestep: float = 0.005
    """s, of the simulator"""

    def __post_init__(self) -> None:
        segments = _read_genes("segments", Segment, self.segments, MOST_SEGMENTS)
        sensors = _read_genes("sensors", Sensor, self.sensors, MOST_SENSORS)
        # The class is frozen; JSON has given lists of objects.
        object.__setattr__(self, "segments", segments)
        object.__setattr__(self, "sensors", sensors)
        self.positive("timestep")
        # In this order: each check relies on what the ones before have refused.
        self._check_segments()
        self._check_sensors()
        self._check_body()

    def _check_segments(self) -> None:
        """Refuse what is no tree, one that is too deep, and segments that grow into their parents.

        Raises:
            LanceletError: one line that names the segment.
        """
        depths: list[int] = []
        for index, segment in enumerate(self.segments):
            name = f"Creature.segments[{index}]"
            if index == 0:
                if segment.parent != NO_PARENT:
                    raise LanceletError(
                        f"{name}.parent = {segment.parent}: must be -1, it is the root"
                    )
                if segment.axes or segment.mirror:
                    raise LanceletError(f"{name}: the root has no axes and no mirror image")
                depths.append(0)
                continue
            if not 0 <= segment.parent < index:
                raise LanceletError(
                    f"{name}.parent = {segment.parent}: must be from 0 to {index - 1}, "
                    f"a segment before it (no cycles)"
                )
            depth = depths[segment.parent] + 1
            depths.append(depth)
            if depth > MOST_JOINTS_DEEP:
                raise LanceletError(
                    f"{name}.parent = {segment.parent}: {depth} joints from the root, at most {MOST_JOINTS_DEEP}"
                )
            if _grows_inward(self.segments[segment.parent], segment):
                raise LanceletError(
                    f"{name}.direction = {segment.direction}: points into its parent"
                )

    def _check_sensors(self) -> None:
        """Refuse sensors that sit on no segment, or feel hinges where there are none.

        Raises:
            LanceletError: one line that names the sensor.
        """
        for index, sensor in enumerate(self.sensors):
            name = f"Creature.sensors[{index}].segment = {sensor.segment}"
            if not 0 <= sensor.segment < len(self.segments):
                raise LanceletError(f"{name}: there are {len(self.segments)} segments")
            if sensor.kind == "joint" and not self.segments[sensor.segment].axes:
                raise LanceletError(f"{name}: has no axes for a joint sensor to feel")

    def _check_body(self) -> None:
        """Refuse a body that is too large, too light or too heavy, cannot move, or runs into itself.

        Raises:
            LanceletError: one line that says what is wrong.
        """
        if len(self.parts) > MOST_PARTS:
            raise LanceletError(
                f"Creature.segments: more than {MOST_PARTS} parts with all mirrored copies"
            )
        if not self.joints:
            raise LanceletError(
                "Creature.segments: no segment has an axis: needs one actuated joint or more"
            )
        if len(self.channels) > MOST_CHANNELS:
            raise LanceletError(
                f"Creature.sensors tell {len(self.channels)} numbers: at most {MOST_CHANNELS}"
            )
        if not MASS.low <= self.mass <= MASS.high:
            raise LanceletError(
                f"Creature weighs {self.mass:.3g} kg: must be {MASS.low:g} to {MASS.high:g} kg"
            )
        overlap = overlaps(self.parts, self.pose)
        if overlap is not None and overlap.depth > OVERLAP_TOLERANCE:
            first = self.parts[overlap.first].segment
            second = self.parts[overlap.second].segment
            raise LanceletError(
                f"Creature.segments[{first}] and [{second}] run {1000 * overlap.depth:.1f} mm into one another "
                f"at rest: at most {1000 * OVERLAP_TOLERANCE:g} mm"
            )

    @cached_property
    def parts(self) -> list[Part]:
        """Segments and their mirrored copies, parents first, in the order of the simulator's bodies."""
        return expand(self.segments, MOST_PARTS)

    @cached_property
    def pose(self) -> Pose:
        """Where every part stands at rest."""
        return rest(self.segments, self.parts)

    @cached_property
    def joints(self) -> list[Hinge]:
        """Every hinge, in the order of the actions and of the simulator's joints."""
        hinges: list[Hinge] = []
        for index, part in enumerate(self.parts):
            hinges += [Hinge(part=index, axis=axis) for axis in range(len(part.axes))]
        return hinges

    @cached_property
    def hinge_lineages(self) -> list[str]:
        """Lineage of every hinge, ``segment:id.axis``, the same on mirrored copies."""
        lineages: list[str] = []
        for hinge in self.joints:
            segment = self._segment(self.parts[hinge.part])
            lineages.append(f"segment:{segment.id}.{hinge.axis}")
        return lineages

    def carrier(self, part: int) -> int:
        """The nearest part with hinges from `part` towards the root, itself first; -1: there is none."""
        nearest = part
        while nearest != NO_PARENT and not self.parts[nearest].axes:
            nearest = self.parts[nearest].parent
        return nearest

    @cached_property
    def torques(self) -> list[float]:
        """Largest torque of every motor, N m, in the order of `joints`."""
        return [self._segment(self.parts[hinge.part]).torque for hinge in self.joints]

    @cached_property
    def mass(self) -> float:
        """Mass of the whole body with its mirrored copies, kg."""
        return sum(self._segment(part).mass for part in self.parts)

    @cached_property
    def channels(self) -> list[Channel]:
        """What it feels, in the order of the observation and of the simulator's sensors.

        Units: the hinge's range and `SPEED_UNIT`; 1 and `SPIN_UNIT`; half the weight (`TOUCH_UNIT`).
        """
        channels: list[Channel] = []
        for place in self._places():
            for number, reading in enumerate(self._readings(place)):
                channel = Channel(
                    key=f"sensor:{place.sensor.id}.{number}",
                    part=place.part_index,
                    source=reading.source,
                    component=reading.component,
                    scale=place.sensor.gain / reading.unit,
                )
                channels.append(channel)
        return channels

    def _segment(self, part: Part) -> Segment:
        """The gene of a part."""
        return self.segments[part.segment]

    def _places(self) -> Iterator[_Place]:
        """Every sensor on its part and on the mirrored copies of that, in the order of the simulator's sensors."""
        for sensor_index, sensor in enumerate(self.sensors):
            for part_index, part in enumerate(self.parts):
                if part.segment == sensor.segment:
                    yield _Place(
                        sensor_index=sensor_index,
                        sensor=sensor,
                        part_index=part_index,
                        part=part,
                    )

    def _readings(self, place: _Place) -> list[_Reading]:
        """What a sensor tells of one part. `_add_sensors` makes the MuJoCo sensors of these names."""
        if place.sensor.kind == "touch":
            weight = GRAVITY * self.mass
            return [_Reading(f"touch_{place.name}", component=0, unit=TOUCH_UNIT * weight)]
        if place.sensor.kind == "imu":
            # A mirror image spins the other way round.
            spin_unit = -SPIN_UNIT if place.part.mirrored else SPIN_UNIT
            return [
                _Reading(f"tilt_{place.name}", component=Z_COMPONENT, unit=1.0),
                _Reading(f"spin_{place.name}", component=Z_COMPONENT, unit=spin_unit),
            ]
        readings: list[_Reading] = []
        for axis in range(len(place.part.axes)):
            bend = self._segment(place.part).range
            readings += [
                _Reading(f"angle_{place.name}_{axis}", component=0, unit=bend),
                _Reading(f"speed_{place.name}_{axis}", component=0, unit=SPEED_UNIT),
            ]
        return readings

    def build(self) -> mujoco.MjSpec:
        """The spec: its lowest point 3 cm over a floor that does not carry it yet."""
        spec = mujoco.MjSpec()
        spec.compiler.degree = False
        spec.option.timestep = self.timestep
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        scenery.floor(spec)
        bodies: list[mujoco.MjsBody] = []
        for index, part in enumerate(self.parts):
            parent = spec.worldbody if part.is_root else bodies[part.parent]
            bodies.append(self._add_part(spec, parent, index))
        low, high = self.pose.box
        middle = (low + high) / 2
        scenery.chase(bodies[0], self.pose.span, middle.tolist())
        for place in self._places():
            self._add_sensors(spec, bodies[place.part_index], place)
        return spec

    def _add_part(
        self,
        spec: mujoco.MjSpec,
        parent: mujoco.MjsBody,
        index: int,
    ) -> mujoco.MjsBody:
        """Add a part with its servos.

        Args:
            spec: gets the servos.
            parent: body of the part that it hangs on.
            index: of the part.
        """
        part = self.parts[index]
        segment = self._segment(part)
        if part.is_root:
            position = [0, 0, CLEARANCE - self.pose.lowest]
            ends = [-segment.half_length, 0, 0, segment.half_length, 0, 0]
        else:
            position = self.pose.places[index].tolist()
            ends = [0, 0, 0, 2 * segment.half_length, 0, 0]
        body = parent.add_body(
            name=f"part_{index}",
            pos=position,
            quat=list(part.rotation),
        )
        if part.is_root:
            body.add_freejoint(name="root")
        for axis, vector in enumerate(part.axes):
            _add_servo(spec, body, f"{index}_{axis}", vector, segment)
        body.add_geom(
            name=f"part_{index}",
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            size=[segment.radius, 0, 0],
            fromto=ends,
            density=segment.density,
            rgba=_colour(part),
            # MuJoCo's usual friction: sliding, torsion, rolling.
            friction=[1.0, 0.005, 0.0001],
            condim=3,
        )
        if index == self._head:
            _add_eyes(body, segment, _middle(part, segment))
        return body

    @cached_property
    def _head(self) -> int:
        """Where the eyes are, for the picture: the foremost of trunk and what sits on its middle facing ahead."""
        trunk = 0
        candidates = [trunk]
        for index, part in enumerate(self.parts):
            is_on_middle = part.parent == trunk and part.attach[1] == 0
            if is_on_middle and part.direction[0] > FACING_AHEAD:
                candidates.append(index)

        def front(index: int) -> float:
            """How far ahead the end of a part reaches, m."""
            return self.pose.lines[index, 1, 0]

        return max(candidates, key=front)

    def _add_sensors(self, spec: mujoco.MjSpec, body: mujoco.MjsBody, place: _Place) -> None:
        """Add the MuJoCo sensors of one sensor on one part, in the order of `_readings`.

        Args:
            spec: gets the sensors.
            body: of the part; it gets a site.
            place: the sensor and the part.
        """
        if place.sensor.kind == "joint":
            for axis in range(len(place.part.axes)):
                joint = f"joint_{place.part_index}_{axis}"
                for quantity, kind in (
                    ("angle", mujoco.mjtSensor.mjSENS_JOINTPOS),
                    ("speed", mujoco.mjtSensor.mjSENS_JOINTVEL),
                ):
                    spec.add_sensor(
                        name=f"{quantity}_{place.name}_{axis}",
                        type=kind,
                        objtype=mujoco.mjtObj.mjOBJ_JOINT,
                        objname=joint,
                    )
            return
        segment = self._segment(place.part)
        middle = _middle(place.part, segment)
        site = f"{place.sensor.kind}_{place.name}"
        axis = reflect(place.sensor.axis) if place.part.mirrored else place.sensor.axis
        if place.sensor.kind == "touch":
            x, y, z = surface(axis, segment.half_length, segment.radius).point
            size = TOUCH_SIZE * segment.radius
            body.add_site(
                name=site,
                pos=[x + middle, y, z],
                size=[size, size, size],
                rgba=scenery.CLEAR,
            )
            quantities = {"touch": mujoco.mjtSensor.mjSENS_TOUCH}
        else:
            # The site's z axis is the sensor's: `Z_COMPONENT` of what MuJoCo tells is along it.
            body.add_site(
                name=site,
                pos=[middle, 0, 0],
                zaxis=list(axis),
                size=[0.01, 0.01, 0.01],
                rgba=scenery.CLEAR,
            )
            quantities = {
                "tilt": mujoco.mjtSensor.mjSENS_FRAMEZAXIS,
                "spin": mujoco.mjtSensor.mjSENS_GYRO,
            }
        for quantity, kind in quantities.items():
            spec.add_sensor(
                name=f"{quantity}_{place.name}",
                type=kind,
                objtype=mujoco.mjtObj.mjOBJ_SITE,
                objname=site,
            )


def _read_genes(
    field: str,
    cls: type[GeneType],
    given: object,
    most: int,
) -> tuple[GeneType, ...]:
    """The genes of one sort, each checked by itself.

    Args:
        field: of the creature, for errors.
        cls: `Segment` or `Sensor`.
        given: a list or tuple of them, or of their JSON objects.
        most: genes of the sort that there may be.

    Raises:
        LanceletError: none or too many, one that is wrong by itself, or two of one lineage.
    """
    if not isinstance(given, list | tuple):
        raise LanceletError(f"Creature.{field}: {given!r} of them: needs a list of 1 to {most}")
    if not 1 <= len(given) <= most:
        raise LanceletError(f"Creature.{field}: {len(given)} of them: needs a list of 1 to {most}")
    genes = tuple(
        read_gene(f"Creature.{field}[{index}]", cls, item) for index, item in enumerate(given)
    )
    ids = [gene.id for gene in genes]
    if len(set(ids)) < len(ids):
        most_frequent = max(ids, key=ids.count)
        raise LanceletError(f"Creature.{field}: lineage id {most_frequent} is there twice")
    return genes


def _grows_inward(parent: Segment, child: Segment) -> bool:
    """Whether `child` grows into its parent."""
    normal = surface(child.attach, parent.half_length, parent.radius).normal
    cosine = sum(map(operator.mul, normal, child.direction))
    return cosine < -INWARD_TOLERANCE


def _middle(part: Part, segment: Segment) -> float:
    """Where the middle of a part's capsule lies along x in the part's frame, m."""
    # The root's frame stands in its middle, every other at its joint.
    return 0.0 if part.is_root else segment.half_length


def _add_servo(
    spec: mujoco.MjSpec,
    body: mujoco.MjsBody,
    name: str,
    axis: Vector,
    segment: Segment,
) -> None:
    """Add a hinge and the servo that turns it.

    The torque is ``torque * (STIFFNESS * (bend * command - angle) - BRAKE * speed)``, limited to ``torque``.

    Args:
        spec: gets the servo.
        body: gets the hinge.
        name: of the hinge: ``part_axis``, both numbers.
        axis: in the body's frame.
        segment: gene of the part.
    """
    torque = segment.torque
    bend = segment.range
    body.add_joint(
        name=f"joint_{name}",
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=list(axis),
        limited=1,
        range=[-bend, bend],
        # However light the segment, its brake works no faster than this: the simulator's step can follow.
        armature=ARMATURE_TIME * torque * BRAKE,
        damping=[JOINT_DAMPING * torque, 0, 0],
    )
    gain = torque * STIFFNESS * bend
    spec.add_actuator(
        name=f"servo_{name}",
        target=f"joint_{name}",
        trntype=mujoco.mjtTrn.mjTRN_JOINT,
        ctrllimited=1,
        ctrlrange=[-1, 1],
        forcelimited=1,
        forcerange=[-torque, torque],
        gainprm=[gain, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        biastype=mujoco.mjtBias.mjBIAS_AFFINE,
        # A constant, a factor of the angle, a factor of the speed.
        biasprm=[0, -torque * STIFFNESS, -torque * BRAKE, 0, 0, 0, 0, 0, 0, 0],
    )


def _add_eyes(body: mujoco.MjsBody, segment: Segment, middle: float) -> None:
    """Add two eyes on the front of a segment, to be seen only.

    Args:
        body: of the part.
        segment: gene of the part.
        middle: m, where the middle of the capsule lies along x.
    """
    size = EYE_SIZE * segment.radius
    for side in (-1, 1):
        attach = (0.83, 0.4 * side, 0.39)
        x, y, z = surface(attach, segment.half_length, segment.radius).point
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_SPHERE,
            size=[size, 0, 0],
            pos=[x + middle, y, z],
            rgba=scenery.EYE,
            mass=0,
            contype=0,
            conaffinity=0,
        )


def _colour(part: Part) -> list[float]:
    """The trunk's colour, a little darker on parts that do not move, darker still on those that do."""
    shade = MOVING_SHADE
    if part.is_root:
        shade = 1.0
    elif not part.axes:
        shade = RIGID_SHADE
    red, green, blue, opacity = scenery.BODY
    return [red * shade, green * shade, blue * shade, opacity]

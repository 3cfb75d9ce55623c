"""The genes of a creature: segments and sensors, what they may be, and a quadruped made of them.

What a genome is: docs/systems/coevolve.md, "Genomes".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal, NamedTuple, TypeVar

from ..errors import LanceletError, check_names
from .creature_parts import NO_PARENT, Vector
from .genome import check_number


class Bounds(NamedTuple):
    """What a number may be."""

    low: float
    """the lowest value allowed"""
    high: float
    """the highest value allowed"""


HALF_LENGTH = Bounds(low=0.03, high=0.3)
"""m, from the middle of a capsule to the centre of its end"""
RADIUS = Bounds(low=0.015, high=0.1)
"""m, of a capsule"""
DENSITY = Bounds(low=500.0, high=2000.0)
"""kg/m^3, of a capsule"""
RANGE = Bounds(low=0.1, high=1.5)
"""rad, of a hinge to either side of rest"""
GEAR = Bounds(low=0.05, high=1.0)
"""torque of a motor, as a share of the muscle's"""
GAIN = Bounds(low=0.1, high=3.0)
"""gain of a sensor"""
MASS = Bounds(low=0.2, high=100.0)
"""kg, of a whole body"""

BOUNDS = {
    "half_length": HALF_LENGTH,
    "radius": RADIUS,
    "density": DENSITY,
    "range": RANGE,
    "gear": GEAR,
    "gain": GAIN,
}
"""gene that is one number -> its bounds"""

MOST_SEGMENTS = 16
"""segments of a genome at most"""
MOST_PARTS = 24
"""parts of a body at most: segments and their mirrored copies"""
MOST_JOINTS_DEEP = 6
"""joints from the root to a tip at most"""
MOST_HINGES = 2
"""axes of a segment at most"""
MOST_SENSORS = 24
"""sensors of a genome at most"""
MOST_CHANNELS = 96
"""numbers that all sensors of a body give at most"""
OVERLAP_TOLERANCE = 0.002
"""m, by which two parts may run into one another at rest"""
UNIT_TOLERANCE = 1e-6
"""by which the length of a direction may miss 1"""
ALIKE_AXES = 0.9
"""cosine of the angle between two axes above which they are (nearly) one"""
MUSCLE = 4.7e5
"""N/m^2: a muscle as thick as its segment pulls 0.3 MPa at half its radius, so that 1 of gear is this times radius^3"""
KINDS = ("joint", "touch", "imu")
"""kinds of sensors"""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A capsule along x in its own frame, which begins at its joint (the root's: in its middle).

    At rest x points along `direction` by the shortest turn from the parent's x. All vectors are of length 1.
    """

    id: int
    """lineage: kept through all that evolution does to the segment"""
    parent: int
    """index of the segment that it hangs on, less than its own; -1: it is the root"""
    attach: Vector = (1.0, 0.0, 0.0)
    """towards the place on the parent's surface, seen from its centre in the parent's frame, stretched as it is"""
    direction: Vector = (1.0, 0.0, 0.0)
    """where x points, in the parent's frame; never into the parent"""
    half_length: float = 0.1
    """m, from the middle of the capsule to the centre of its end"""
    radius: float = 0.03
    """m, of the capsule"""
    density: float = 1000.0
    """kg/m^3, of the capsule"""
    axes: tuple[Vector, ...] = ()
    """axes of its hinges in its own frame: none (rigid), one or two"""
    range: float = 0.8
    """rad, of every hinge to either side of rest"""
    gear: float = 0.5
    """largest torque, as a share of what a muscle as thick as the segment can"""
    mirror: bool = False
    """whether there is a mirrored copy of it, and of all that hangs on it, on the other side of the parent"""

    @property
    def mass(self) -> float:
        """Mass of the capsule, without mirrored copies, kg."""
        # A cylinder of this length has the volume of the capsule: its two half spheres add 4/3 of a radius.
        cylinder_length = 2 * self.half_length + 4 / 3 * self.radius
        return self.density * math.pi * self.radius**2 * cylinder_length

    @property
    def torque(self) -> float:
        """Largest torque of each hinge's motor, N m."""
        return self.gear * MUSCLE * self.radius**3


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """What a creature feels of itself, on a segment and on its mirrored copies."""

    id: int
    """lineage: kept through all that evolution does to the sensor"""
    kind: Literal["joint", "touch", "imu"]
    """angle and speed of every hinge; force on a place; tilt of an axis against the vertical and spin about it"""
    segment: int
    """index of the segment that it sits on"""
    axis: Vector = (1.0, 0.0, 0.0)
    """imu: the axis; touch: the place, as a segment's `attach`; joint: not read"""
    gain: float = 1.0
    """factor of what it tells"""


# The usual creature

PITCH: Vector = (0.0, 1.0, 0.0)
YAW: Vector = (0.0, 0.0, 1.0)
ROLL: Vector = (1.0, 0.0, 0.0)


def quadruped() -> tuple[tuple[Segment, ...], tuple[Sensor, ...]]:
    """The usual creature: trunk, head, tail, two pairs of two-jointed legs; feels joints, feet and attitude.

    Returns:
        Its segments and its sensors.
    """
    # The lineage of every segment is its index too.
    trunk = Segment(id=0, parent=NO_PARENT, half_length=0.2, radius=0.075)
    head = Segment(id=1, parent=0, direction=(0.8, 0.0, 0.6), half_length=0.06, radius=0.05)
    tail = Segment(
        id=2,
        parent=0,
        attach=(-1.0, 0.0, 0.0),
        direction=(-0.96, 0.0, 0.28),
        half_length=0.13,
        radius=0.02,
        axes=(YAW,),
        gear=0.3,
    )
    fore_upper = _upper_leg(id=3, place=0.64, lean=-0.2)
    fore_lower = _lower_leg(id=4, upper=fore_upper, bend=0.3)
    hind_upper = _upper_leg(id=5, place=-0.64, lean=0.2)
    hind_lower = _lower_leg(id=6, upper=hind_upper, bend=-0.3)
    segments = (trunk, head, tail, fore_upper, fore_lower, hind_upper, hind_lower)
    sensors = (
        Sensor(id=0, kind="joint", segment=fore_upper.id),
        Sensor(id=1, kind="joint", segment=fore_lower.id),
        Sensor(id=2, kind="touch", segment=fore_lower.id),
        Sensor(id=3, kind="joint", segment=hind_upper.id),
        Sensor(id=4, kind="joint", segment=hind_lower.id),
        Sensor(id=5, kind="touch", segment=hind_lower.id),
        Sensor(id=6, kind="imu", segment=trunk.id, axis=ROLL),
        Sensor(id=7, kind="imu", segment=trunk.id, axis=PITCH),
    )
    return segments, sensors


def _upper_leg(id: int, place: float, lean: float) -> Segment:
    """The upper segments of a pair of the quadruped's legs, on either side of its trunk.

    Args:
        id: lineage and index.
        place: where along the trunk, from -1 (its tail) to 1 (its head).
        lean: how far the leg points to the front, for each part of it that points down.
    """
    return Segment(
        id=id,
        parent=0,
        attach=_unit(place, 0.76, -0.1),
        direction=_unit(lean, 0.25, -1.0),
        half_length=0.085,
        radius=0.035,
        axes=(PITCH,),
        range=0.7,
        gear=0.9,
        mirror=True,
    )


def _lower_leg(id: int, upper: Segment, bend: float) -> Segment:
    """The lower segments of a pair of the quadruped's legs, at the tips of the upper ones.

    Args:
        id: lineage and index.
        upper: that it hangs on.
        bend: how far it points off the upper one's line, along that one's z.
    """
    return Segment(
        id=id,
        parent=upper.id,
        direction=_unit(0.95, 0.0, bend),
        half_length=0.085,
        radius=0.026,
        axes=(PITCH,),
        range=0.8,
        gear=1.0,
    )


def _unit(x: float, y: float, z: float) -> Vector:
    """The direction of a vector, of length 1."""
    # Not math.hypot: its last bit may differ, and every bit belongs to the identity of the quadruped.
    size = math.sqrt(sum(number**2 for number in (x, y, z)))
    return x / size, y / size, z / size


# Genes from JSON

GeneType = TypeVar("GeneType", Segment, Sensor)


def read_gene(owner: str, cls: type[GeneType], given: Any) -> GeneType:
    """A segment or a sensor from its JSON, or as it is; its numbers are checked.

    Args:
        owner: where the gene stands, for the error: ``Creature.segments[3]``.
        cls: what it is to be, `Segment` or `Sensor`.
        given: a JSON object, or a `cls`.

    Raises:
        LanceletError: one line that begins with `owner`.
    """
    gene = given if isinstance(given, cls) else _from_json(owner, cls, given)
    for name in _NAMES[cls]:
        check = _CHECKS[name]
        check(f"{owner}.{name}", getattr(gene, name))
    return gene


def _from_json(owner: str, cls: type[GeneType], given: Any) -> GeneType:
    """A segment or a sensor from a JSON object, its lists as tuples; its numbers are not checked yet.

    Args:
        owner: where the gene stands, for the error.
        cls: what it is to be.
        given: what stands there.

    Raises:
        LanceletError: no object, an unknown gene, or one that is missing.
    """
    if not isinstance(given, Mapping):
        raise LanceletError(f"{owner} = {given!r}: must be a JSON object")
    check_names(f"gene of {owner}", given, _NAMES[cls])
    for name in _NEEDED_NAMES[cls]:
        if name not in given:
            raise LanceletError(f"{owner} has no {name}")
    values = {name: _nested_tuple(value) for name, value in given.items()}
    return cls(**values)


def _nested_tuple(value: Any) -> Any:
    """Turn nested lists into nested tuples."""
    if isinstance(value, list):
        return tuple(_nested_tuple(item) for item in value)
    return value


# Checks of one gene each: they raise `LanceletError` with a line that begins with the gene's name.


def _check_whole(name: str, value: Any) -> None:
    """Refuse what is no whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise LanceletError(f"{name} = {value!r}: must be a whole number")


def _check_within(bounds: Bounds) -> Callable[[str, Any], None]:
    """A check that refuses what is no number within `bounds`."""

    def check(name: str, value: Any) -> None:
        check_number(name, value, bounds.low, bounds.high)

    return check


def _check_direction(name: str, value: Any) -> None:
    """Refuse what is no vector of three numbers and length 1."""
    if not isinstance(value, tuple) or len(value) != 3:
        raise LanceletError(f"{name} = {value!r}: needs three numbers")
    for number in value:
        if not isinstance(number, float | int) or isinstance(number, bool):
            raise LanceletError(f"{name} = {value!r}: needs three numbers")
    size = math.hypot(*value)
    # Asked this way round, NaN is refused as well.
    is_unit = abs(size - 1) <= UNIT_TOLERANCE
    if not is_unit:
        raise LanceletError(f"{name} = {value!r}: has length {size:.6g}, must be 1")


def _check_axes(name: str, axes: Any) -> None:
    """Refuse more axes than a segment may have, and two that are nearly one."""
    if not isinstance(axes, tuple) or len(axes) > MOST_HINGES:
        raise LanceletError(f"{name} = {axes!r}: needs none, one or two axes")
    for axis in axes:
        _check_direction(name, axis)
    if len(axes) == 2:
        first, second = axes
        cosine = sum(one * other for one, other in zip(first, second, strict=True))
        if abs(cosine) > ALIKE_AXES:
            raise LanceletError(f"{name} = {axes!r}: two axes must not be (nearly) one")


def _check_flag(name: str, value: Any) -> None:
    """Refuse what is neither true nor false."""
    if not isinstance(value, bool):
        raise LanceletError(f"{name} = {value!r}: must be true or false")


def _check_kind(name: str, value: Any) -> None:
    """Refuse an unknown kind of sensor."""
    if value not in KINDS:
        raise LanceletError(f"{name} = {value!r}: must be joint, touch or imu")


_CHECKS: dict[str, Callable[[str, Any], None]] = {
    "id": _check_whole,
    "parent": _check_whole,
    "segment": _check_whole,
    "kind": _check_kind,
    "attach": _check_direction,
    "direction": _check_direction,
    "axis": _check_direction,
    "axes": _check_axes,
    "mirror": _check_flag,
    **{name: _check_within(bounds) for name, bounds in BOUNDS.items()},
}
"""gene -> what refuses a bad one, given its full name and its value"""


def _needed_names(cls: type[Segment] | type[Sensor]) -> list[str]:
    """The genes that have no usual value."""
    return [field.name for field in fields(cls) if field.default is MISSING]


_NAMES = {cls: [field.name for field in fields(cls)] for cls in (Segment, Sensor)}
"""class -> its genes"""
_NEEDED_NAMES = {cls: _needed_names(cls) for cls in (Segment, Sensor)}
"""class -> its genes that must be given"""

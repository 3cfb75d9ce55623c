"""The genes of a creature: segments and sensors, what they may be, and a quadruped made of them.

What a genome is: docs/systems/coevolve.md, "Genomes".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal

from ..errors import LanceletError, check_names
from .genome import finite

HALF_LENGTH = (0.03, 0.3)
"""m, lowest and highest distance from the middle of a capsule to the centre of its end"""
RADIUS = (0.015, 0.1)
"""m, lowest and highest radius of a capsule"""
DENSITY = (500.0, 2000.0)
"""kg/m^3, lowest and highest"""
RANGE = (0.1, 1.5)
"""rad, lowest and highest range of a hinge to either side of rest"""
GEAR = (0.05, 1.0)
"""lowest and highest torque of a motor, as a share of the muscle's"""
GAIN = (0.1, 3.0)
"""lowest and highest gain of a sensor"""
SEGMENTS = 16
"""segments of a genome at most"""
PARTS = 24
"""parts of a body at most: segments and their mirrored copies"""
DEPTH = 6
"""joints from the root to a tip at most"""
SENSORS = 24
"""sensors of a genome at most"""
CHANNELS = 96
"""numbers that all sensors of a body give at most"""
MASS = (0.2, 100.0)
"""kg, lowest and highest mass of a body"""
TOLERANCE = 0.002
"""m, by which two parts may run into one another at rest"""
MUSCLE = 4.7e5
"""N/m^2: a muscle as thick as its segment pulls 0.3 MPa at half its radius, so that 1 of gear is this times radius^3"""
KINDS = ("joint", "touch", "imu")
BOUNDS = {
    "half_length": HALF_LENGTH,
    "radius": RADIUS,
    "density": DENSITY,
    "range": RANGE,
    "gear": GEAR,
    "gain": GAIN,
}
"""of every gene that is one number"""
Vector = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A capsule along x in its own frame, which begins at its joint (the root's: in its middle).

    At rest x points along `direction` by the shortest turn from the parent's x. All vectors are of length 1.
    """

    id: int
    """lineage: kept through all that evolution does to the segment"""
    parent: int
    """index of the segment that it hangs on, less than its own; -1: the root"""
    attach: Vector = (1.0, 0.0, 0.0)
    """towards the place on the parent's surface, seen from its centre in the parent's frame, stretched as it is"""
    direction: Vector = (1.0, 0.0, 0.0)
    """where x points, in the parent's frame; never into the parent"""
    half_length: float = 0.1
    """m"""
    radius: float = 0.03
    """m"""
    density: float = 1000.0
    """kg/m^3"""
    axes: tuple[Vector, ...] = ()
    """of its hinges, none (rigid), one or two, in its own frame"""
    range: float = 0.8
    """rad, of every hinge to either side of rest"""
    gear: float = 0.5
    """largest torque, as a share of what a muscle as thick as the segment can"""
    mirror: bool = False
    """there is a mirrored copy of it, and of all that hangs on it, on the other side of the parent"""

    @property
    def mass(self) -> float:
        """Mass of the capsule, without mirrored copies, kg."""
        return (
            self.density * math.pi * self.radius**2 * (2 * self.half_length + 4 / 3 * self.radius)
        )

    @property
    def torque(self) -> float:
        """Largest torque of each hinge's motor, N m."""
        return self.gear * MUSCLE * self.radius**3


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """What a creature feels of itself, on a segment and on its mirrored copies."""

    id: int
    """lineage"""
    kind: Literal["joint", "touch", "imu"]
    """angle and speed of every hinge; force on a place; tilt of an axis against the vertical and spin about it"""
    segment: int
    """index of the segment"""
    axis: Vector = (1.0, 0.0, 0.0)
    """imu: the axis; touch: the place, as a segment's `attach`; joint: nothing"""
    gain: float = 1.0
    """of what it tells"""


def quadruped() -> tuple[tuple[Segment, ...], tuple[Sensor, ...]]:
    """The usual creature: trunk, head, tail, two pairs of two-jointed legs; feels joints, feet and attitude."""
    pitch = ((0.0, 1.0, 0.0),)
    trunk = Segment(id=0, parent=-1, half_length=0.2, radius=0.075)
    head = Segment(id=1, parent=0, direction=(0.8, 0.0, 0.6), half_length=0.06, radius=0.05)
    tail = Segment(
        id=2, parent=0, attach=(-1.0, 0.0, 0.0), direction=(-0.96, 0.0, 0.28), half_length=0.13, radius=0.02,
        axes=((0.0, 0.0, 1.0),), gear=0.3,
    )  # fmt: skip
    legs, sensors = [], []
    for pair, (place, lean) in enumerate(((0.64, -0.2), (-0.64, 0.2))):
        upper = Segment(
            id=3 + 2 * pair, parent=0, attach=_unit(place, 0.76, -0.1), direction=_unit(lean, 0.25, -1.0),
            half_length=0.085, radius=0.035, axes=pitch, range=0.7, gear=0.9, mirror=True,
        )  # fmt: skip
        lower = Segment(
            id=4 + 2 * pair, parent=3 + 2 * pair, direction=_unit(0.95, 0.0, 0.3 if lean < 0 else -0.3),
            half_length=0.085, radius=0.026, axes=pitch, range=0.8, gear=1.0,
        )  # fmt: skip
        legs += [upper, lower]
        sensors += [
            Sensor(id=3 * pair, kind="joint", segment=3 + 2 * pair),
            Sensor(id=3 * pair + 1, kind="joint", segment=4 + 2 * pair),
            Sensor(id=3 * pair + 2, kind="touch", segment=4 + 2 * pair),
        ]
    for id, axis in ((6, (1.0, 0.0, 0.0)), (7, (0.0, 1.0, 0.0))):
        sensors.append(Sensor(id=id, kind="imu", segment=0, axis=axis))
    return (trunk, head, tail, *legs), tuple(sensors)


def _unit(*vector: float) -> Any:
    size = math.sqrt(sum(number**2 for number in vector))
    return tuple(number / size for number in vector)


def gene(who: str, cls: type[Any], given: Any) -> Any:
    """A `Segment` or `Sensor` from its JSON, or as it is; its numbers checked.

    Raises:
        LanceletError: one line that begins with `who`.
    """
    names = _NAMES[cls]
    if not isinstance(given, cls):
        if not isinstance(given, Mapping):
            raise LanceletError(f"{who} = {given!r}: must be a JSON object")
        check_names(f"gene of {who}", given, names)
        for name in _NEEDED[cls]:
            if name not in given:
                raise LanceletError(f"{who} has no {name}")
        given = cls(
            **{
                name: _tuples(value) if isinstance(value, list) else value
                for name, value in given.items()
            }
        )
    for name in names:
        _CHECKS[name](who, name, getattr(given, name))
    return given


def _whole(who: str, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise LanceletError(f"{who}.{name} = {value!r}: must be a whole number")


def _within(who: str, name: str, value: Any) -> None:
    low, high = BOUNDS[name]
    if not (isinstance(value, float | int) and low <= value <= high) or isinstance(value, bool):
        finite(f"{who}.{name}", value, low, high)


def _direction(who: str, name: str, vector: Any) -> None:
    if not isinstance(vector, tuple) or len(vector) != 3:
        raise LanceletError(f"{who}.{name} = {vector!r}: needs three numbers")
    for number in vector:
        if not isinstance(number, float | int) or isinstance(number, bool):
            raise LanceletError(f"{who}.{name} = {vector!r}: needs three numbers")
    size = math.hypot(*vector)
    if not abs(size - 1) <= 1e-6:  # not a number is neither
        raise LanceletError(f"{who}.{name} = {vector!r}: has length {size:.6g}, must be 1")


def _hinges(who: str, name: str, axes: Any) -> None:
    if not isinstance(axes, tuple) or len(axes) > 2:
        raise LanceletError(f"{who}.{name} = {axes!r}: needs none, one or two axes")
    for axis in axes:
        _direction(who, name, axis)
    if len(axes) == 2 and abs(sum(a * b for a, b in zip(*axes, strict=True))) > 0.9:
        raise LanceletError(f"{who}.{name} = {axes!r}: two axes must not be (nearly) one")


def _yes_or_no(who: str, name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise LanceletError(f"{who}.{name} = {value!r}: must be true or false")


def _sort(who: str, name: str, value: Any) -> None:
    if value not in KINDS:
        raise LanceletError(f"{who}.{name} = {value!r}: must be joint, touch or imu")


def _tuples(value: Any) -> Any:
    return tuple([_tuples(item) if isinstance(item, list) else item for item in value])


_NAMES = {cls: [field.name for field in fields(cls)] for cls in (Segment, Sensor)}
_NEEDED = {
    cls: [field.name for field in fields(cls) if field.default is MISSING]
    for cls in (Segment, Sensor)
}
_CHECKS: dict[str, Callable[[str, str, Any], None]] = {
    **dict.fromkeys(("id", "parent", "segment"), _whole), **dict.fromkeys(BOUNDS, _within),
    **dict.fromkeys(("attach", "direction", "axis"), _direction), "axes": _hinges, "mirror": _yes_or_no, "kind": _sort,
}  # fmt: skip
"""gene -> what refuses a bad one"""

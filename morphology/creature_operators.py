"""What evolution does to a creature's tree: operators on the JSON of a body.

They change the lists of a `copied` body and the genes in them, never the lists within a gene: these are shared with the
parent. They return which parts are copies of which (`Heirs`). `OPERATORS` is the table of them all.

The order of their draws is part of every run's identity: a genome is drawn again from the seed of its birth.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import LanceletError
from .creature_genes import (
    BOUNDS,
    DENSITY,
    KINDS,
    MOST_HINGES,
    MOST_SEGMENTS,
    MOST_SENSORS,
)
from .creature_parts import NO_PARENT, surface

BodyGenes = dict[str, Any]
"""JSON of a creature: ``segments`` and ``sensors``"""
PartGenes = dict[str, Any]
"""JSON of a segment or a sensor"""
Heirs = dict[int, int]
"""lineage of a copy -> that of its original, whose weights it begins with"""

PITCH = [0.0, 1.0, 0.0]
YAW = [0.0, 0.0, 1.0]
ROLL = [1.0, 0.0, 0.0]
AXES = (PITCH, YAW, ROLL)
"""axes that a new hinge turns about, the usual one first"""
AHEAD = [1.0, 0.0, 0.0]
"""along a segment, in its own frame"""

# New segments
USUAL_DENSITY = 1000.0
"""kg/m^3"""
USUAL_RANGE = 0.8
"""rad, of a root, which has no hinges to use it"""
USUAL_GEAR = 0.5
"""of a root, which has no hinges to use it"""
USUAL_HALF_LENGTH = 0.09
"""m, median"""
HALF_LENGTH_SPREAD = 0.35
"""standard deviation of the logarithm of the half length"""
THINNEST = 0.02
"""m, least radius"""
AT_ROOT_SHARE = 0.5
"""of the new segments, those that hang on the trunk"""
MIRRORED_SHARE = 0.65
"""of the new segments that may have a mirror image, those that have one"""
LEG_SHARE = 0.7
"""of the new limbs with a mirror image, those that point down"""
JOINT_SENSOR_SHARE = 0.8
"""of the new segments with hinges, those that feel them"""
TOUCH_SENSOR_SHARE = 0.4
"""of the new segments, those that feel contacts"""
HINGE_COUNT_SHARES = [0.08, 0.67, 0.25]
"""of the new segments, those with none, one and two hinges"""

# Changes of segments
TIP_SHARE = 0.8
"""of the removals, those of a tip"""
ALL_SHARE = 0.2
"""of the changes of size, those of all segments at once"""
SIZE_SPREAD = 0.25
"""standard deviation of the logarithm by which lengths and radii change"""
DENSITY_SPREAD = 0.1
"""standard deviation of the logarithm by which densities change"""
ATTACH_SPREAD = 0.25
"""standard deviation of the numbers by which a place moves"""
DIRECTION_SPREAD = 0.3
"""standard deviation of the numbers by which a direction turns"""
AXIS_SPREAD = 0.25
"""standard deviation of the numbers by which an axis turns"""
RANGE_SPREAD = 0.3
"""standard deviation of the logarithm by which ranges change"""
GEAR_SPREAD = 0.4
"""standard deviation of the logarithm by which gears change"""

# What changes of a joint, as shares that add up: the rest of the time its range changes.
ADD_HINGE_UP_TO = 0.15
REMOVE_HINGE_UP_TO = 0.25
TURN_AXIS_UP_TO = 0.6

# What changes of the sensors, as shares that add up: the rest of the time a sensor changes.
ADD_SENSOR_UP_TO = 0.35
REMOVE_SENSOR_UP_TO = 0.55
GAIN_SPREAD = 0.4
"""standard deviation of the logarithm by which gains change"""
SENSOR_AXIS_SPREAD = 0.3
"""standard deviation of the numbers by which a sensor's axis turns"""

MIDDLE_TOLERANCE = 1e-9
"""how far a place or a direction on the mirror plane may point aside"""
NEAR_MIDDLE = 0.3
"""aside part of a place from which a mirror image would overlap its segment"""
NEAR_AXES = 0.7
"""cosine of the angle between two axes that are too close for two hinges"""
OUTWARD_MARGIN = 1 + 1e-9
"""of the part of a direction that is taken away because it points inwards; 1 would leave a rounding error there"""


def copied(body: BodyGenes) -> BodyGenes:
    """A copy that operators may change."""
    return {
        "segments": [dict(segment) for segment in body["segments"]],
        "sensors": [dict(sensor) for sensor in body["sensors"]],
    }


def lineage(rng: np.random.Generator) -> int:
    """A new lineage: never met again, by all odds."""
    return int(rng.integers(1, 2**40))


def unit(vector: Sequence[float] | np.ndarray) -> list[float]:
    """`vector` (3,), of length 1; a zero vector stays one."""
    x, y, z = map(float, vector)
    size = math.hypot(x, y, z)
    if size == 0.0:
        size = 1.0
    return [x / size, y / size, z / size]


def clip(gene: str, value: float) -> float:
    """`value`, within the bounds of its gene."""
    bounds = BOUNDS[gene]
    return float(min(max(value, bounds.low), bounds.high))


def scale(
    part: PartGenes,
    gene: str,
    rng: np.random.Generator,
    spread: float,
) -> None:
    """Multiply a gene by a random factor, within its bounds; `part` is changed in place.

    Args:
        part: a segment or a sensor.
        gene: its name.
        rng: draws the factor.
        spread: standard deviation of the factor's logarithm.
    """
    part[gene] = clip(gene, part[gene] * math.exp(rng.normal(0, spread)))


def outward(
    parent: PartGenes,
    attach: Sequence[float],
    direction: Sequence[float] | np.ndarray,
) -> list[float]:
    """`direction`, turned back where it would grow into the parent.

    Args:
        parent: the segment that another one hangs on.
        attach: where, as a direction from the parent's middle.
        direction: in which the other one grows.

    Returns:
        A unit vector.
    """
    normal = surface(attach, parent["half_length"], parent["radius"]).normal
    # The part of the direction along the normal, where it points inwards; else 0.
    inward = min(sum(map(operator.mul, normal, direction)), 0.0)
    turned = [
        float(component) - OUTWARD_MARGIN * inward * normal_component
        for component, normal_component in zip(direction, normal, strict=True)
    ]
    return unit(turned)


def trunk(rng: np.random.Generator) -> BodyGenes:
    """A root alone, which feels its attitude: where every creature begins."""
    root = {
        "id": 0,
        "parent": NO_PARENT,
        "attach": list(AHEAD),
        "direction": list(AHEAD),
        "half_length": float(rng.uniform(0.08, 0.25)),
        "radius": float(rng.uniform(0.05, 0.09)),
        "density": USUAL_DENSITY,
        "axes": [],
        "range": USUAL_RANGE,
        "gear": USUAL_GEAR,
        "mirror": False,
    }
    sensors = [_sensor(rng, "imu", 0, axis) for axis in (ROLL, PITCH)]
    return {"segments": [root], "sensors": sensors}


def add_segment(body: BodyGenes, rng: np.random.Generator) -> Heirs:
    """A new segment: at the trunk a limb and its mirror image, or one on the middle; elsewhere mostly at a tip."""
    segments = body["segments"]
    _check_room(segments, MOST_SEGMENTS, "segments")
    is_at_root = len(segments) == 1 or rng.random() < AT_ROOT_SHARE
    parent_index = 0 if is_at_root else int(rng.integers(1, len(segments)))
    parent = segments[parent_index]
    is_on_middle = _on_middle(segments, parent_index)
    is_mirrored = is_on_middle and bool(rng.random() < MIRRORED_SHARE)
    if is_mirrored:
        attach, direction = _limb(rng)
    elif is_at_root:
        attach, direction = _on_trunk(rng)
    else:
        attach, direction = _at_tip(is_on_middle, rng)
    # The draws are made in the order of the genes.
    segment = {
        "id": lineage(rng),
        "parent": parent_index,
        "attach": attach,
        "direction": outward(parent, attach, direction),
        "half_length": clip(
            "half_length", USUAL_HALF_LENGTH * math.exp(rng.normal(0, HALF_LENGTH_SPREAD))
        ),
        "radius": clip("radius", max(parent["radius"] * rng.uniform(0.45, 0.85), THINNEST)),
        "density": USUAL_DENSITY,
        "axes": _new_axes(rng),
        "range": float(rng.uniform(0.4, 1.1)),
        "gear": float(rng.uniform(0.4, 1.0)),
        "mirror": is_mirrored,
    }
    index = len(segments)
    segments.append(segment)
    if segment["axes"] and rng.random() < JOINT_SENSOR_SHARE:
        _add_sensor(body, rng, "joint", index, AHEAD)
    if rng.random() < TOUCH_SENSOR_SHARE:
        _add_sensor(body, rng, "touch", index, AHEAD)
    return {}


def _limb(rng: np.random.Generator) -> tuple[list[float], np.ndarray]:
    """Place and direction of a limb that has a mirror image: a leg as a rule."""
    attach = unit([rng.uniform(-0.9, 0.9), rng.uniform(0.5, 1.0), rng.uniform(-0.6, 0.2)])
    up = -1.0
    if rng.random() >= LEG_SHARE:
        up = rng.normal(0, 0.3)
    direction = np.array([rng.normal(0, 0.3), rng.uniform(0.1, 0.9), up])
    return attach, direction


def _on_trunk(rng: np.random.Generator) -> tuple[list[float], np.ndarray]:
    """Place and direction of a segment on the middle of the trunk: a head, a tail, a fin."""
    end = rng.choice([-1.0, 1.0])
    along = end * rng.uniform(0.3, 1.0)
    attach = unit([along, 0.0, rng.uniform(-0.3, 0.5)])
    # Nothing points aside: it stays on the mirror plane.
    noise = rng.normal(0, 0.3, 3) * [1, 0, 1]
    direction = np.array([2 * attach[0], 0.0, attach[2]]) + noise
    return attach, direction


def _at_tip(is_on_middle: bool, rng: np.random.Generator) -> tuple[list[float], np.ndarray]:
    """Place and direction of a segment near the tip of another one; on the middle it does not point aside."""
    is_free = [1, not is_on_middle, 1]
    attach = unit(np.array(AHEAD) + rng.normal(0, 0.25, 3) * is_free)
    direction = np.array(AHEAD) + rng.normal(0, 0.5, 3) * is_free
    return attach, direction


def copy_limb(body: BodyGenes, rng: np.random.Generator) -> Heirs:
    """Copy a limb with all that hangs on it, to another place along its parent; `body` is changed in place.

    Sensors of the limb are copied in their order as far as there is room for them; the others are left out.
    """
    original = _any_limb(body["segments"], rng)
    branch = subtree(body["segments"], original)
    _check_room(body["segments"], MOST_SEGMENTS, "segments", added=len(branch))
    segment_heirs, copy_index = _copy_branch(body, branch, rng)
    sensor_heirs = _copy_sensors(body, copy_index, rng)
    return segment_heirs | sensor_heirs


def _copy_branch(
    body: BodyGenes, branch: list[int], rng: np.random.Generator
) -> tuple[Heirs, dict[int, int]]:
    """Append copies of a branch to the segments of `body`, which is changed in place.

    Args:
        body: `copied`.
        branch: indices of its segments as `subtree` gives them: its root first, parents before their children.
        rng: draws lineages, and the place of the copy.

    Returns:
        Lineage of a copy -> that of its original; index of an original -> that of its copy.
    """
    segments = body["segments"]
    root = branch[0]
    heirs: Heirs = {}
    copy_index: dict[int, int] = {}
    for index in branch:
        copy = segments[index] | {"id": lineage(rng)}
        heirs[copy["id"]] = segments[index]["id"]
        if index == root:
            # It stays on the original's parent: at the same place the two would overlap.
            _move_along(copy, segments[copy["parent"]], rng)
        else:
            copy["parent"] = copy_index[copy["parent"]]
        copy_index[index] = len(segments)
        segments.append(copy)
    return heirs, copy_index


def _copy_sensors(body: BodyGenes, copy_index: dict[int, int], rng: np.random.Generator) -> Heirs:
    """Give copied segments the sensors of their originals, as far as there is room; `body` is changed in place.

    Args:
        body: `copied`.
        copy_index: index of a segment -> the index of its copy.
        rng: draws lineages.

    Returns:
        Lineage of a copy -> that of its original.
    """
    heirs: Heirs = {}
    # A list of its own: copies are appended to the body's while it is gone through.
    sensors_of_originals = [sensor for sensor in body["sensors"] if sensor["segment"] in copy_index]
    for sensor in sensors_of_originals:
        if len(body["sensors"]) < MOST_SENSORS:
            copy = sensor | {"id": lineage(rng), "segment": copy_index[sensor["segment"]]}
            heirs[copy["id"]] = sensor["id"]
            body["sensors"].append(copy)
    return heirs


def _move_along(segment: PartGenes, parent: PartGenes, rng: np.random.Generator) -> None:
    """Move a segment along its parent, away from where it is; `segment` is changed in place."""
    along, *aside = segment["attach"]
    moved = along + rng.choice([-1, 1]) * rng.uniform(0.3, 1.2)
    segment["attach"] = unit([np.clip(moved, -0.95, 0.95), *aside])
    segment["direction"] = outward(parent, segment["attach"], segment["direction"])


def remove_segment(body: BodyGenes, rng: np.random.Generator) -> Heirs:
    """A segment away, with all that hangs on it and feels there; most often a tip."""
    segments = body["segments"]
    parents = {segment["parent"] for segment in segments}
    tips = sorted(set(range(1, len(segments))) - parents)
    takes_tip = bool(tips) and rng.random() < TIP_SHARE
    index = int(rng.choice(tips)) if takes_tip else _any_limb(segments, rng)
    prune(body, set(subtree(segments, index)))
    return {}


def prune(body: BodyGenes, removed: set[int]) -> None:
    """Take segments away, sensors on them too; the others keep their lineage. `body` is changed in place.

    Args:
        body: `copied`.
        removed: indices of the segments: complete branches.
    """
    remaining = [index for index in range(len(body["segments"])) if index not in removed]
    new_index = {index: place for place, index in enumerate(remaining)}
    # The root's parent is no segment, and stays that.
    new_index[NO_PARENT] = NO_PARENT
    segments = []
    for index in remaining:
        segment = body["segments"][index]
        segments.append(segment | {"parent": new_index[segment["parent"]]})
    sensors = []
    for sensor in body["sensors"]:
        if sensor["segment"] in new_index:
            sensors.append(sensor | {"segment": new_index[sensor["segment"]]})
    body["segments"] = segments
    body["sensors"] = sensors


def mirror_segment(body: BodyGenes, rng: np.random.Generator) -> Heirs:
    """A mirror image comes, or goes; one that comes takes its segment off the middle."""
    segments = body["segments"]
    segment = segments[_any_limb(segments, rng)]
    segment["mirror"] = not segment["mirror"]
    if segment["mirror"] and abs(segment["attach"][1]) < NEAR_MIDDLE:
        x, _, z = segment["attach"]
        segment["attach"] = unit([x, rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 0.9), z])
        parent = segments[segment["parent"]]
        segment["direction"] = outward(parent, segment["attach"], segment["direction"])
    return {}


def resize_segment(body: BodyGenes, rng: np.random.Generator) -> Heirs:
    """One segment longer, thicker or denser, or the reverse; now and then all of them at once."""
    segments = body["segments"]
    all_at_once = rng.random() < ALL_SHARE
    resized = segments
    if not all_at_once:
        resized = [segments[int(rng.integers(len(segments)))]]
    longer, thicker = rng.normal(0, SIZE_SPREAD, 2)
    denser = rng.normal(0, DENSITY_SPREAD)
    if all_at_once:
        # The whole creature keeps its proportions.
        thicker = longer
    for segment in resized:
        segment["half_length"] = clip("half_length", segment["half_length"] * math.exp(longer))
        segment["radius"] = clip("radius", segment["radius"] * math.exp(thicker))
        segment["density"] = float(np.clip(segment["density"] * math.exp(denser), *DENSITY))
    return {}


def move_segment(body: BodyGenes, rng: np.random.Generator) -> Heirs:
    """A segment elsewhere on its parent, or pointing elsewhere; what is on the middle stays there."""
    segments = body["segments"]
    index = _any_limb(segments, rng)
    segment = segments[index]
    is_free = np.array([1.0, not _on_middle(segments, index), 1.0])
    if rng.random() < 0.5:
        segment["attach"] = unit(segment["attach"] + rng.normal(0, ATTACH_SPREAD, 3) * is_free)
    direction = segment["direction"] + rng.normal(0, DIRECTION_SPREAD, 3) * is_free
    segment["direction"] = outward(segments[segment["parent"]], segment["attach"], direction)
    return {}


def change_joint(body: BodyGenes, rng: np.random.Generator) -> Heirs:
    """A hinge more or less, an axis turned, or a wider or narrower range."""
    index = _any_limb(body["segments"], rng)
    segment = body["segments"][index]
    axes = segment["axes"]
    draw = rng.random()
    if draw < ADD_HINGE_UP_TO and len(axes) < MOST_HINGES:
        _add_hinge(segment, rng)
    elif draw < REMOVE_HINGE_UP_TO and axes:
        _remove_hinge(body, index)
    elif draw < TURN_AXIS_UP_TO and axes:
        number = int(rng.integers(len(axes)))
        turned = unit(axes[number] + rng.normal(0, AXIS_SPREAD, 3))
        # A new list: the old one is the parent's too.
        segment["axes"] = [*axes[:number], turned, *axes[number + 1 :]]
    else:
        scale(segment, "range", rng, RANGE_SPREAD)
    return {}


def _add_hinge(segment: PartGenes, rng: np.random.Generator) -> None:
    """Give a segment one more hinge, about an axis that is not close to those it has; it is changed in place."""
    axes = segment["axes"]
    candidates = [candidate for candidate in AXES if _is_far(candidate, axes)]
    segment["axes"] = [*axes, candidates[int(rng.integers(len(candidates)))]]


def _is_far(candidate: list[float], axes: list[list[float]]) -> bool:
    """Whether an axis is close to none of others, of either sign."""
    return all(abs(np.dot(candidate, axis)) < NEAR_AXES for axis in axes)


def _remove_hinge(body: BodyGenes, index: int) -> None:
    """Take the last hinge of a segment away, so that the first keeps its weights; `body` is changed in place."""
    segment = body["segments"][index]
    segment["axes"] = segment["axes"][:-1]
    if segment["axes"]:
        return
    # Nothing is left for a joint sensor to feel.
    remaining = []
    for sensor in body["sensors"]:
        feels_hinges = sensor["kind"] == "joint" and sensor["segment"] == index
        if not feels_hinges:
            remaining.append(sensor)
    body["sensors"] = remaining


def change_motor(body: BodyGenes, rng: np.random.Generator) -> Heirs:
    """A stronger or weaker motor."""
    moving = [segment for segment in body["segments"] if segment["axes"]]
    segment = moving[int(rng.integers(len(moving)))]
    scale(segment, "gear", rng, GEAR_SPREAD)
    return {}


def change_sensor(body: BodyGenes, rng: np.random.Generator) -> Heirs:
    """A sensor more, one less, or one that sits, points or tells otherwise."""
    sensors = body["sensors"]
    draw = rng.random()
    if draw < ADD_SENSOR_UP_TO:
        _add_random_sensor(body, rng)
    elif draw < REMOVE_SENSOR_UP_TO:
        sensors.pop(int(rng.integers(len(sensors))))
    else:
        sensor = sensors[int(rng.integers(len(sensors)))]
        # A joint sensor has no axis to turn.
        if sensor["kind"] == "joint" or rng.random() < 0.5:
            scale(sensor, "gain", rng, GAIN_SPREAD)
        else:
            sensor["axis"] = unit(sensor["axis"] + rng.normal(0, SENSOR_AXIS_SPREAD, 3))
    return {}


def _add_random_sensor(body: BodyGenes, rng: np.random.Generator) -> None:
    """Put a sensor of any kind on a segment that it can sit on; `body` is changed in place.

    Raises:
        LanceletError: there is no room for one more.
    """
    kind = str(rng.choice(KINDS))
    places: list[int] = []
    for index, segment in enumerate(body["segments"]):
        if kind != "joint" or segment["axes"]:
            places.append(index)
    axis = AHEAD
    if kind == "imu" or rng.random() < 0.5:
        axis = unit(rng.normal(size=3))
    _check_room(body["sensors"], MOST_SENSORS, "sensors")
    _add_sensor(body, rng, kind, int(rng.choice(places)), axis)


class Operator(NamedTuple):
    """One way in which a tree changes."""

    share: float
    """how often it is drawn"""
    change: Callable[[BodyGenes, np.random.Generator], Heirs]
    """changes a `copied` body in place; raises `LanceletError` where the body does not allow it"""


OPERATORS = {
    "add segment": Operator(0.12, add_segment),
    "copy limb": Operator(0.05, copy_limb),
    "remove segment": Operator(0.09, remove_segment),
    "mirror segment": Operator(0.04, mirror_segment),
    "resize segment": Operator(0.16, resize_segment),
    "move segment": Operator(0.12, move_segment),
    "joint": Operator(0.10, change_joint),
    "motor": Operator(0.06, change_motor),
    "sensor": Operator(0.05, change_sensor),
}
"""name -> operator; the rest of the time the weights change"""


def subtree(segments: list[PartGenes], index: int) -> list[int]:
    """Indices of a segment and of all that hangs on it, parents first."""
    branch = [index]
    # Parents stand before their children, so that one pass meets all.
    for other in range(index + 1, len(segments)):
        if segments[other]["parent"] in branch:
            branch.append(other)
    return branch


def _on_middle(segments: list[PartGenes], index: int) -> bool:
    """Whether a segment lies in the mirror plane with all that it hangs on."""
    ancestor = index
    # Up to the root, which always does.
    while ancestor > 0:
        segment = segments[ancestor]
        is_aside = abs(segment["attach"][1]) > MIDDLE_TOLERANCE
        points_aside = abs(segment["direction"][1]) > MIDDLE_TOLERANCE
        if segment["mirror"] or is_aside or points_aside:
            return False
        ancestor = segment["parent"]
    return True


def _any_limb(segments: list[PartGenes], rng: np.random.Generator) -> int:
    """Index of a segment that is not the root.

    Raises:
        LanceletError: there is none.
    """
    if len(segments) == 1:
        raise LanceletError("the creature is a trunk alone")
    return int(rng.integers(1, len(segments)))


def _check_room(present: list[PartGenes], most: int, sort: str, added: int = 1) -> None:
    """Refuse more parts than there is room for.

    Args:
        present: the parts of the sort.
        most: how many there may be.
        sort: segments or sensors, for the error.
        added: how many are to be added.

    Raises:
        LanceletError: there would be more than `most`.
    """
    if len(present) + added > most:
        raise LanceletError(f"the creature has {len(present)} {sort} already")


def _new_axes(rng: np.random.Generator) -> list[list[float]]:
    """Axes of a new segment's hinges: none, one or two, pitch first in half of the cases."""
    count = int(rng.choice([0, 1, 2], p=HINGE_COUNT_SHARES))
    order = np.arange(count)
    if rng.random() < 0.5:
        order = rng.permutation(3)[:count]
    return [list(AXES[int(number)]) for number in order]


def _sensor(
    rng: np.random.Generator,
    kind: str,
    segment: int,
    axis: list[float],
) -> PartGenes:
    """A new sensor of gain 1.

    Args:
        rng: draws its lineage.
        kind: joint, touch or imu.
        segment: index of the segment that it sits on.
        axis: its axis or place, as `Sensor.axis`.
    """
    return {
        "id": lineage(rng),
        "kind": kind,
        "segment": segment,
        "axis": list(axis),
        "gain": 1.0,
    }


def _add_sensor(
    body: BodyGenes,
    rng: np.random.Generator,
    kind: str,
    segment: int,
    axis: list[float],
) -> None:
    """Put a sensor on a segment, where there is room for one; `body` is changed in place.

    Args:
        body: `copied`.
        rng: draws its lineage.
        kind: joint, touch or imu.
        segment: index of the segment that it sits on.
        axis: its axis or place, as `Sensor.axis`.
    """
    if len(body["sensors"]) < MOST_SENSORS:
        body["sensors"].append(_sensor(rng, kind, segment, axis))

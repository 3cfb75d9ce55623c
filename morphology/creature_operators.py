"""What evolution does to a creature's tree: operators on the JSON of a body.

They change the lists of a `copied` body and the genes in them, never the lists within a gene, and tell what was copied.
The order of their draws is part of every run's identity: a genome is drawn again from the seed of its birth.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import LanceletError
from .creature_genes import BOUNDS, DENSITY, MOST_HINGES, MOST_SEGMENTS, MOST_SENSORS
from .creature_parts import surface

Body = dict[str, Any]
"""JSON of a creature: ``segments`` and ``sensors``"""
Gene = dict[str, Any]
"""JSON of a segment or a sensor"""
Heirs = dict[int, int]
"""lineage of a copy -> that of its original, whose weights it begins with"""

PITCH = [0.0, 1.0, 0.0]
YAW = [0.0, 0.0, 1.0]
ROLL = [1.0, 0.0, 0.0]
AXES = (PITCH, YAW, ROLL)
"""axes that a new hinge turns about, the usual one first"""
AHEAD = [1.0, 0.0, 0.0]
USUAL_DENSITY = 1000.0
"""kg/m^3, of a new segment"""
MIDDLE_TOLERANCE = 1e-9
"""how far a place or a direction on the mirror plane may point aside"""
NEAR_MIDDLE = 0.3
"""aside part of a place from which a mirror image would overlap its segment"""
NEAR_AXES = 0.7
"""cosine of the angle between two axes that are too close for two hinges"""
OUTWARD_MARGIN = 1 + 1e-9
"""of the part of a direction that is taken away because it points inwards; 1 would leave a rounding error there"""


def copied(body: Body) -> Body:
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
    size = math.hypot(x, y, z) or 1.0
    return [x / size, y / size, z / size]


def clip(gene: str, value: float) -> float:
    """`value`, within the bounds of its gene."""
    low, high = BOUNDS[gene]
    return float(min(max(value, low), high))


def outward(
    parent: Gene,
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
    _, normal = surface(attach, parent["half_length"], parent["radius"])
    inward = min(sum(map(operator.mul, normal, direction)), 0.0)
    turned = [
        float(along) - OUTWARD_MARGIN * inward * across
        for along, across in zip(direction, normal, strict=True)
    ]
    return unit(turned)


def trunk(rng: np.random.Generator) -> Body:
    """A root alone, which feels its attitude: where every creature begins."""
    root = {
        "id": 0,
        "parent": -1,
        "attach": list(AHEAD),
        "direction": list(AHEAD),
        "half_length": float(rng.uniform(0.08, 0.25)),
        "radius": float(rng.uniform(0.05, 0.09)),
        "density": USUAL_DENSITY,
        "axes": [],
        "range": 0.8,
        "gear": 0.5,
        "mirror": False,
    }
    sensors = [
        {"id": lineage(rng), "kind": "imu", "segment": 0, "axis": axis, "gain": 1.0}
        for axis in (ROLL, PITCH)
    ]
    return {"segments": [root], "sensors": sensors}


def add(body: Body, rng: np.random.Generator) -> Heirs:
    """A new segment: at the trunk a limb and its mirror image, or one on the middle; elsewhere mostly at a tip."""
    segments = body["segments"]
    _check_room(segments, MOST_SEGMENTS, "segments")
    is_at_root = len(segments) == 1 or rng.random() < 0.5
    parent_index = 0 if is_at_root else int(rng.integers(1, len(segments)))
    parent = segments[parent_index]
    is_on_middle = _on_middle(segments, parent_index)
    is_mirrored = is_on_middle and bool(rng.random() < 0.65)
    if is_mirrored:
        attach, direction = _limb(rng)
    elif is_at_root:
        attach, direction = _on_trunk(rng)
    else:
        attach, direction = _at_tip(is_on_middle, rng)
    segment = {
        "id": lineage(rng),
        "parent": parent_index,
        "attach": attach,
        "direction": outward(parent, attach, direction),
        "half_length": clip("half_length", 0.09 * math.exp(rng.normal(0, 0.35))),
        "radius": clip("radius", max(parent["radius"] * rng.uniform(0.45, 0.85), 0.02)),
        "density": USUAL_DENSITY,
        "axes": _new_axes(rng),
        "range": float(rng.uniform(0.4, 1.1)),
        "gear": float(rng.uniform(0.4, 1.0)),
        "mirror": is_mirrored,
    }
    index = len(segments)
    segments.append(segment)
    if segment["axes"] and rng.random() < 0.8:
        _add_sensor(body, rng, "joint", index, AHEAD)
    if rng.random() < 0.4:
        _add_sensor(body, rng, "touch", index, AHEAD)
    return {}


def _limb(rng: np.random.Generator) -> tuple[list[float], np.ndarray]:
    """Place and direction of a limb that has a mirror image: a leg as a rule."""
    attach = unit([rng.uniform(-0.9, 0.9), rng.uniform(0.5, 1.0), rng.uniform(-0.6, 0.2)])
    down = -1.0
    if rng.random() >= 0.7:
        down = rng.normal(0, 0.3)
    direction = np.array([rng.normal(0, 0.3), rng.uniform(0.1, 0.9), down])
    return attach, direction


def _on_trunk(rng: np.random.Generator) -> tuple[list[float], np.ndarray]:
    """Place and direction of a segment on the middle of the trunk: a head, a tail, a fin."""
    attach = unit([rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 1.0), 0.0, rng.uniform(-0.3, 0.5)])
    direction = np.array([2 * attach[0], 0.0, attach[2]]) + rng.normal(0, 0.3, 3) * [1, 0, 1]
    return attach, direction


def _at_tip(is_on_middle: bool, rng: np.random.Generator) -> tuple[list[float], np.ndarray]:
    """Place and direction of a segment near the tip of another one; on the middle it does not point aside."""
    is_free = [1, not is_on_middle, 1]
    attach = unit(np.array(AHEAD) + rng.normal(0, 0.25, 3) * is_free)
    direction = np.array(AHEAD) + rng.normal(0, 0.5, 3) * is_free
    return attach, direction


def duplicate(body: Body, rng: np.random.Generator) -> Heirs:
    """A limb with all that hangs on it, once more: elsewhere along the trunk, or at its own tip."""
    segments = body["segments"]
    original = _any_limb(segments, rng)
    branch = subtree(segments, original)
    _check_room(segments, MOST_SEGMENTS + 1 - len(branch), "segments")
    heirs: Heirs = {}
    copy_of: dict[int, int] = {}
    """index of a segment -> the index of its copy"""
    for index in branch:
        twin = segments[index] | {"id": lineage(rng)}
        heirs[twin["id"]] = segments[index]["id"]
        if index == original:
            along, *aside = twin["attach"]
            moved = along + rng.choice([-1, 1]) * rng.uniform(0.3, 1.2)
            twin["attach"] = unit([np.clip(moved, -0.95, 0.95), *aside])
            twin["direction"] = outward(segments[twin["parent"]], twin["attach"], twin["direction"])
        else:
            twin["parent"] = copy_of[twin["parent"]]
        copy_of[index] = len(segments)
        segments.append(twin)
    sensors_of_limb = [sensor for sensor in body["sensors"] if sensor["segment"] in copy_of]
    for sensor_gene in sensors_of_limb:
        if len(body["sensors"]) < MOST_SENSORS:
            twin = sensor_gene | {"id": lineage(rng), "segment": copy_of[sensor_gene["segment"]]}
            heirs[twin["id"]] = sensor_gene["id"]
            body["sensors"].append(twin)
    return heirs


def remove(body: Body, rng: np.random.Generator) -> Heirs:
    """A segment away, with all that hangs on it and feels there; most often a tip."""
    segments = body["segments"]
    parents = {segment["parent"] for segment in segments}
    tips = sorted(set(range(1, len(segments))) - parents)
    takes_tip = bool(tips) and rng.random() < 0.8
    index = int(rng.choice(tips)) if takes_tip else _any_limb(segments, rng)
    prune(body, set(subtree(segments, index)))
    return {}


def prune(body: Body, removed: set[int]) -> None:
    """Take segments away, sensors on them too; the others keep their lineage. `body` is changed in place.

    Args:
        body: `copied`.
        removed: indices of the segments: complete branches.
    """
    remaining = [index for index in range(len(body["segments"])) if index not in removed]
    new_index = {index: place for place, index in enumerate(remaining)}
    # The root's parent is no segment, and stays that.
    new_index[-1] = -1
    segments = []
    for index in remaining:
        segment = body["segments"][index]
        segments.append(segment | {"parent": new_index[segment["parent"]]})
    sensors = []
    for sensor_gene in body["sensors"]:
        if sensor_gene["segment"] in new_index:
            sensors.append(sensor_gene | {"segment": new_index[sensor_gene["segment"]]})
    body["segments"] = segments
    body["sensors"] = sensors


def mirror(body: Body, rng: np.random.Generator) -> Heirs:
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


def resize(body: Body, rng: np.random.Generator) -> Heirs:
    """One segment longer, thicker or denser, or the reverse; now and then all of them at once."""
    segments = body["segments"]
    all_at_once = rng.random() < 0.2
    chosen = segments
    if not all_at_once:
        chosen = [segments[int(rng.integers(len(segments)))]]
    longer, thicker = rng.normal(0, 0.25, 2)
    denser = rng.normal(0, 0.1)
    if all_at_once:
        # The whole creature keeps its proportions.
        thicker = longer
    for segment in chosen:
        segment["half_length"] = clip("half_length", segment["half_length"] * math.exp(longer))
        segment["radius"] = clip("radius", segment["radius"] * math.exp(thicker))
        segment["density"] = float(np.clip(segment["density"] * math.exp(denser), *DENSITY))
    return {}


def move(body: Body, rng: np.random.Generator) -> Heirs:
    """A segment elsewhere on its parent, or pointing elsewhere; what is on the middle stays there."""
    segments = body["segments"]
    index = _any_limb(segments, rng)
    segment = segments[index]
    is_free = np.array([1.0, not _on_middle(segments, index), 1.0])
    if rng.random() < 0.5:
        segment["attach"] = unit(segment["attach"] + rng.normal(0, 0.25, 3) * is_free)
    direction = segment["direction"] + rng.normal(0, 0.3, 3) * is_free
    segment["direction"] = outward(segments[segment["parent"]], segment["attach"], direction)
    return {}


def joint(body: Body, rng: np.random.Generator) -> Heirs:
    """A hinge more or less, an axis turned, or a wider or narrower range."""
    index = _any_limb(body["segments"], rng)
    segment = body["segments"][index]
    axes = segment["axes"]
    draw = rng.random()
    if draw < 0.15 and len(axes) < MOST_HINGES:
        _add_hinge(segment, rng)
    elif draw < 0.25 and axes:
        _remove_hinge(body, index)
    elif draw < 0.6 and axes:
        which = int(rng.integers(len(axes)))
        turned = unit(axes[which] + rng.normal(0, 0.25, 3))
        segment["axes"] = [*axes[:which], turned, *axes[which + 1 :]]
    else:
        segment["range"] = clip("range", segment["range"] * math.exp(rng.normal(0, 0.3)))
    return {}


def _add_hinge(segment: Gene, rng: np.random.Generator) -> None:
    """Give a segment one more hinge, about an axis that is not close to those it has; it is changed in place."""
    axes = segment["axes"]
    others = [
        candidate
        for candidate in AXES
        if all(abs(np.dot(candidate, axis)) < NEAR_AXES for axis in axes)
    ]
    segment["axes"] = [*axes, others[int(rng.integers(len(others)))]]


def _remove_hinge(body: Body, index: int) -> None:
    """Take the last hinge of a segment away, so that the first keeps its weights; `body` is changed in place."""
    segment = body["segments"][index]
    segment["axes"] = segment["axes"][:-1]
    if segment["axes"]:
        return
    # Nothing is left for a joint sensor to feel.
    body["sensors"] = [
        sensor_gene
        for sensor_gene in body["sensors"]
        if sensor_gene["kind"] != "joint" or sensor_gene["segment"] != index
    ]


def motor(body: Body, rng: np.random.Generator) -> Heirs:
    """A stronger or weaker motor."""
    moving = [segment for segment in body["segments"] if segment["axes"]]
    segment = moving[int(rng.integers(len(moving)))]
    segment["gear"] = clip("gear", segment["gear"] * math.exp(rng.normal(0, 0.4)))
    return {}


def sensor(body: Body, rng: np.random.Generator) -> Heirs:
    """A sensor more, one less, or one that sits, points or tells otherwise."""
    sensors = body["sensors"]
    draw = rng.random()
    if draw < 0.35:
        _add_random_sensor(body, rng)
    elif draw < 0.55:
        sensors.pop(int(rng.integers(len(sensors))))
    else:
        changed = sensors[int(rng.integers(len(sensors)))]
        if changed["kind"] == "joint" or rng.random() < 0.5:
            changed["gain"] = clip("gain", changed["gain"] * math.exp(rng.normal(0, 0.4)))
        else:
            changed["axis"] = unit(changed["axis"] + rng.normal(0, 0.3, 3))
    return {}


def _add_random_sensor(body: Body, rng: np.random.Generator) -> None:
    """Put a sensor of any kind on a segment that it can sit on; `body` is changed in place."""
    kind = str(rng.choice(["joint", "touch", "imu"]))
    places = [
        index
        for index, segment in enumerate(body["segments"])
        if kind != "joint" or segment["axes"]
    ]
    axis = AHEAD
    if kind == "imu" or rng.random() < 0.5:
        axis = unit(rng.normal(size=3))
    _check_room(body["sensors"], MOST_SENSORS, "sensors")
    _add_sensor(body, rng, kind, int(rng.choice(places)), axis)


class Operator(NamedTuple):
    """One way in which a tree changes."""

    share: float
    """how often it is drawn"""
    change: Callable[[Body, np.random.Generator], Heirs]
    """changes a `copied` body in place; raises `LanceletError` where the body does not allow it"""


OPERATORS = {
    "add segment": Operator(0.12, add),
    "copy limb": Operator(0.05, duplicate),
    "remove segment": Operator(0.09, remove),
    "mirror segment": Operator(0.04, mirror),
    "resize segment": Operator(0.16, resize),
    "move segment": Operator(0.12, move),
    "joint": Operator(0.10, joint),
    "motor": Operator(0.06, motor),
    "sensor": Operator(0.05, sensor),
}
"""name -> operator; the rest of the time the weights change"""


def subtree(segments: list[Gene], index: int) -> list[int]:
    """Indices of a segment and of all that hangs on it, parents first."""
    branch = [index]
    # Parents stand before their children, so that one pass meets all.
    for other in range(index + 1, len(segments)):
        if segments[other]["parent"] in branch:
            branch.append(other)
    return branch


def _on_middle(segments: list[Gene], index: int) -> bool:
    """Whether a segment lies in the mirror plane with all that it hangs on."""
    present = index
    while present > 0:
        segment = segments[present]
        is_aside = abs(segment["attach"][1]) > MIDDLE_TOLERANCE
        points_aside = abs(segment["direction"][1]) > MIDDLE_TOLERANCE
        if segment["mirror"] or is_aside or points_aside:
            return False
        present = segment["parent"]
    return True


def _any_limb(segments: list[Gene], rng: np.random.Generator) -> int:
    """Index of a segment that is not the root.

    Raises:
        LanceletError: there is none.
    """
    if len(segments) == 1:
        raise LanceletError("the creature is a trunk alone")
    return int(rng.integers(1, len(segments)))


def _check_room(present: list[Gene], most: int, what: str) -> None:
    """Refuse one more where there are `most` already."""
    if len(present) >= most:
        raise LanceletError(f"the creature has {len(present)} {what} already")


def _new_axes(rng: np.random.Generator) -> list[list[float]]:
    """Axes of a new segment's hinges: none, one or two, pitch first in half of the cases."""
    count = int(rng.choice([0, 1, 2], p=[0.08, 0.67, 0.25]))
    order = np.arange(count)
    if rng.random() < 0.5:
        order = rng.permutation(3)[:count]
    return [list(AXES[int(number)]) for number in order]


def _add_sensor(
    body: Body,
    rng: np.random.Generator,
    kind: str,
    segment: int,
    axis: list[float],
) -> None:
    """Put a sensor on a segment, where there is room for one; `body` is changed in place.

    Args:
        body: `copied`.
        rng: draws the lineage.
        kind: joint, touch or imu.
        segment: index.
        axis: in which it points.
    """
    if len(body["sensors"]) < MOST_SENSORS:
        body["sensors"].append(
            {"id": lineage(rng), "kind": kind, "segment": segment, "axis": list(axis), "gain": 1.0}
        )

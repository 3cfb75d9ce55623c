"""What evolution does to a creature's tree: operators on the JSON of a body.

They change the lists of a `copied` body and the genes in them, never the lists within a gene, and tell what was copied.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import LanceletError
from .creature_genes import BOUNDS, DENSITY, SEGMENTS, SENSORS
from .creature_parts import surface

Body = dict[str, Any]
Heirs = dict[int, int]
"""lineage of a copy -> that of its original, whose weights it begins with"""
PITCH, YAW, ROLL = [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]


def copied(body: Body) -> Body:
    """A copy that operators may change."""
    return {sort: [dict(gene) for gene in body[sort]] for sort in ("segments", "sensors")}


def lineage(rng: np.random.Generator) -> int:
    """A new lineage: never met again, by all odds."""
    return int(rng.integers(1, 2**40))


def unit(vector: Any) -> list[float]:
    """`vector`, of length 1."""
    x, y, z = map(float, vector)
    size = math.hypot(x, y, z) or 1.0
    return [x / size, y / size, z / size]


def clip(gene: str, value: float) -> float:
    """`value`, within the bounds of its gene."""
    low, high = BOUNDS[gene]
    return float(min(max(value, low), high))


def outward(parent: dict[str, Any], attach: list[float], direction: Any) -> list[float]:
    """`direction`, turned back where it would grow into the parent."""
    normal = surface(attach, parent["half_length"], parent["radius"])[1]
    into = min(sum(map(operator.mul, normal, direction)), 0.0)
    return unit([float(d) - (1 + 1e-9) * into * n for d, n in zip(direction, normal, strict=True)])


def trunk(rng: np.random.Generator) -> Body:
    """A root alone, which feels its attitude: where every creature begins."""
    root = {
        "id": 0, "parent": -1, "attach": [1.0, 0.0, 0.0], "direction": [1.0, 0.0, 0.0],
        "half_length": float(rng.uniform(0.08, 0.25)), "radius": float(rng.uniform(0.05, 0.09)), "density": 1000.0,
        "axes": [], "range": 0.8, "gear": 0.5, "mirror": False,
    }  # fmt: skip
    sensors = [
        {"id": lineage(rng), "kind": "imu", "segment": 0, "axis": axis, "gain": 1.0}
        for axis in (ROLL, PITCH)
    ]
    return {"segments": [root], "sensors": sensors}


def add(body: Body, rng: np.random.Generator) -> Heirs:
    """A new segment: at the trunk a limb and its mirror image, or one on the middle; elsewhere mostly at a tip."""
    segments = body["segments"]
    _room(segments, SEGMENTS, "segments")
    at_root = len(segments) == 1 or rng.random() < 0.5
    index = 0 if at_root else int(rng.integers(1, len(segments)))
    parent = segments[index]
    middle = _on_middle(segments, index)
    mirror = bool(middle and rng.random() < 0.65)
    if mirror:  # a limb to either side: a leg as a rule
        attach = unit([rng.uniform(-0.9, 0.9), rng.uniform(0.5, 1.0), rng.uniform(-0.6, 0.2)])
        down = -1.0 if rng.random() < 0.7 else rng.normal(0, 0.3)
        direction = np.array([rng.normal(0, 0.3), rng.uniform(0.1, 0.9), down])
    elif at_root:  # a head, a tail, a fin
        attach = unit(
            [rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 1.0), 0.0, rng.uniform(-0.3, 0.5)]
        )
        direction = np.array([2 * attach[0], 0.0, attach[2]]) + rng.normal(0, 0.3, 3) * [1, 0, 1]
    else:
        attach = unit(np.array([1.0, 0.0, 0.0]) + rng.normal(0, 0.25, 3) * [1, not middle, 1])
        direction = np.array([1.0, 0.0, 0.0]) + rng.normal(0, 0.5, 3) * [1, not middle, 1]
    segment = {
        "id": lineage(rng), "parent": index, "attach": attach, "direction": outward(parent, attach, direction),
        "half_length": clip("half_length", 0.09 * math.exp(rng.normal(0, 0.35))),
        "radius": clip("radius", max(parent["radius"] * rng.uniform(0.45, 0.85), 0.02)), "density": 1000.0,
        "axes": _axes(rng), "range": float(rng.uniform(0.4, 1.1)), "gear": float(rng.uniform(0.4, 1.0)),
        "mirror": mirror,
    }  # fmt: skip
    segments.append(segment)
    if segment["axes"] and rng.random() < 0.8:
        _feel(body, rng, "joint", len(segments) - 1, [1.0, 0.0, 0.0])
    if rng.random() < 0.4:
        _feel(body, rng, "touch", len(segments) - 1, [1.0, 0.0, 0.0])
    return {}


def duplicate(body: Body, rng: np.random.Generator) -> Heirs:
    """A limb with all that hangs on it, once more: elsewhere along the trunk, or at its own tip."""
    segments = body["segments"]
    original = _any(segments, rng)
    branch = subtree(segments, original)
    _room(segments, SEGMENTS + 1 - len(branch), "segments")
    heirs, moved = {}, {}
    for index in branch:
        twin = segments[index] | {"id": lineage(rng)}
        heirs[twin["id"]] = segments[index]["id"]
        if index == original:
            x, *side = twin["attach"]
            twin["attach"] = unit(
                [np.clip(x + rng.choice([-1, 1]) * rng.uniform(0.3, 1.2), -0.95, 0.95), *side]
            )
            twin["direction"] = outward(segments[twin["parent"]], twin["attach"], twin["direction"])
        else:
            twin["parent"] = moved[twin["parent"]]
        moved[index] = len(segments)
        segments.append(twin)
    for sensor in [sensor for sensor in body["sensors"] if sensor["segment"] in moved]:
        if len(body["sensors"]) < SENSORS:
            twin = sensor | {"id": lineage(rng), "segment": moved[sensor["segment"]]}
            heirs[twin["id"]] = sensor["id"]
            body["sensors"].append(twin)
    return heirs


def remove(body: Body, rng: np.random.Generator) -> Heirs:
    """A segment away, with all that hangs on it and feels there; most often a tip."""
    segments = body["segments"]
    tips = set(range(1, len(segments))) - {segment["parent"] for segment in segments}
    index = int(rng.choice(sorted(tips))) if tips and rng.random() < 0.8 else _any(segments, rng)
    prune(body, set(subtree(segments, index)))
    return {}


def prune(body: Body, gone: set[int]) -> None:
    """Take segments away by index (whole branches), sensors on them too; the others keep their lineage."""
    kept = [index for index in range(len(body["segments"])) if index not in gone]
    place = {index: new for new, index in enumerate(kept)}
    segments = [body["segments"][index] for index in kept]
    body["segments"] = [
        s | {"parent": place[s["parent"]] if s["parent"] >= 0 else -1} for s in segments
    ]
    body["sensors"] = [
        s | {"segment": place[s["segment"]]} for s in body["sensors"] if s["segment"] in place
    ]


def mirror(body: Body, rng: np.random.Generator) -> Heirs:
    """A mirror image comes, or goes; one that comes takes its segment off the middle."""
    segment = body["segments"][_any(body["segments"], rng)]
    segment["mirror"] = not segment["mirror"]
    if segment["mirror"] and abs(segment["attach"][1]) < 0.3:
        x, _, z = segment["attach"]
        segment["attach"] = unit([x, rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 0.9), z])
        parent = body["segments"][segment["parent"]]
        segment["direction"] = outward(parent, segment["attach"], segment["direction"])
    return {}


def resize(body: Body, rng: np.random.Generator) -> Heirs:
    """One segment longer, thicker or denser, or the reverse; now and then all of them at once."""
    segments = body["segments"]
    whole = rng.random() < 0.2
    chosen = segments if whole else [segments[int(rng.integers(len(segments)))]]
    longer, thicker = rng.normal(0, 0.25, 2)
    denser = rng.normal(0, 0.1)
    for segment in chosen:
        segment["half_length"] = clip("half_length", segment["half_length"] * math.exp(longer))
        segment["radius"] = clip(
            "radius", segment["radius"] * math.exp(longer if whole else thicker)
        )
        segment["density"] = float(np.clip(segment["density"] * math.exp(denser), *DENSITY))
    return {}


def move(body: Body, rng: np.random.Generator) -> Heirs:
    """A segment elsewhere on its parent, or pointing elsewhere; what is on the middle stays there."""
    segments = body["segments"]
    index = _any(segments, rng)
    segment = segments[index]
    free = np.array([1.0, not _on_middle(segments, index), 1.0])
    if rng.random() < 0.5:
        segment["attach"] = unit(segment["attach"] + rng.normal(0, 0.25, 3) * free)
    direction = segment["direction"] + rng.normal(0, 0.3, 3) * free
    segment["direction"] = outward(segments[segment["parent"]], segment["attach"], direction)
    return {}


def joint(body: Body, rng: np.random.Generator) -> Heirs:
    """A hinge more or less, an axis turned, or a wider or narrower range."""
    segments = body["segments"]
    index = _any(segments, rng)
    segment, draw = segments[index], rng.random()
    axes = segment["axes"]
    if draw < 0.15 and len(axes) < 2:
        others = [
            axis for axis in (PITCH, YAW, ROLL) if all(abs(np.dot(axis, one)) < 0.7 for one in axes)
        ]
        segment["axes"] = [*axes, others[int(rng.integers(len(others)))]]
    elif draw < 0.25 and axes:
        segment["axes"] = axes[:-1]  # the first keeps its weights
        if len(axes) == 1:
            felt = [
                s for s in body["sensors"] if not (s["kind"] == "joint" and s["segment"] == index)
            ]
            body["sensors"] = felt
    elif draw < 0.6 and axes:
        which = int(rng.integers(len(axes)))
        turned = unit(axes[which] + rng.normal(0, 0.25, 3))
        segment["axes"] = [*axes[:which], turned, *axes[which + 1 :]]
    else:
        segment["range"] = clip("range", segment["range"] * math.exp(rng.normal(0, 0.3)))
    return {}


def motor(body: Body, rng: np.random.Generator) -> Heirs:
    """A stronger or weaker motor."""
    moving = [segment for segment in body["segments"] if segment["axes"]]
    segment = moving[int(rng.integers(len(moving)))]
    segment["gear"] = clip("gear", segment["gear"] * math.exp(rng.normal(0, 0.4)))
    return {}


def sensor(body: Body, rng: np.random.Generator) -> Heirs:
    """A sensor more, one less, or one that sits, points or tells otherwise."""
    sensors, segments, draw = body["sensors"], body["segments"], rng.random()
    if draw < 0.35:
        kind = str(rng.choice(["joint", "touch", "imu"]))
        fit = [i for i, segment in enumerate(segments) if kind != "joint" or segment["axes"]]
        axis = unit(rng.normal(size=3)) if kind == "imu" or rng.random() < 0.5 else [1.0, 0.0, 0.0]
        _room(sensors, SENSORS, "sensors")
        _feel(body, rng, kind, int(rng.choice(fit)), axis)
    elif draw < 0.55:
        sensors.pop(int(rng.integers(len(sensors))))
    else:
        one = sensors[int(rng.integers(len(sensors)))]
        if one["kind"] == "joint" or rng.random() < 0.5:
            one["gain"] = clip("gain", one["gain"] * math.exp(rng.normal(0, 0.4)))
        else:
            one["axis"] = unit(one["axis"] + rng.normal(0, 0.3, 3))
    return {}


OPERATORS: dict[str, tuple[float, Callable[[Body, np.random.Generator], Heirs]]] = {
    "add segment": (0.12, add), "copy limb": (0.05, duplicate), "remove segment": (0.09, remove),
    "mirror segment": (0.04, mirror), "resize segment": (0.16, resize), "move segment": (0.12, move),
    "joint": (0.10, joint), "motor": (0.06, motor), "sensor": (0.05, sensor),
}  # fmt: skip
"""operator -> how often it is drawn, and the operator; the rest of the time the weights change"""


def subtree(segments: list[dict[str, Any]], index: int) -> list[int]:
    """A segment and all that hangs on it, parents first."""
    found = [index]
    for i in range(index + 1, len(segments)):
        if segments[i]["parent"] in found:
            found.append(i)
    return found


def _on_middle(segments: list[dict[str, Any]], index: int) -> bool:
    """Whether a segment lies in the mirror plane with all that it hangs on."""
    while index > 0:
        segment = segments[index]
        if (
            segment["mirror"]
            or abs(segment["attach"][1]) > 1e-9
            or abs(segment["direction"][1]) > 1e-9
        ):
            return False
        index = segment["parent"]
    return True


def _any(segments: list[dict[str, Any]], rng: np.random.Generator) -> int:
    if len(segments) == 1:
        raise LanceletError("the creature is a trunk alone")
    return int(rng.integers(1, len(segments)))


def _room(have: list[Any], most: int, what: str) -> None:
    if len(have) >= most:
        raise LanceletError(f"the creature has {len(have)} {what} already")


def _axes(rng: np.random.Generator) -> list[list[float]]:
    count = int(rng.choice([0, 1, 2], p=[0.08, 0.67, 0.25]))
    order = rng.permutation(3)[:count] if rng.random() < 0.5 else np.arange(count)
    return [list((PITCH, YAW, ROLL)[int(i)]) for i in order]


def _feel(body: Body, rng: np.random.Generator, kind: str, segment: int, axis: list[float]) -> None:
    if len(body["sensors"]) < SENSORS:
        body["sensors"].append(
            {"id": lineage(rng), "kind": kind, "segment": segment, "axis": list(axis), "gain": 1.0}
        )

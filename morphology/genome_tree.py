"""Genomes of creatures: trees that grow, lose and mirror segments, and weights that follow them by lineage."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, replace
from typing import Any, ClassVar

import numpy as np

from ..errors import LanceletError
from .creature import Creature
from .creature_genes import BOUNDS, PARTS, SENSORS, quadruped
from .creature_operators import (
    OPERATORS,
    Heirs,
    add,
    clip,
    copied,
    outward,
    prune,
    subtree,
    trunk,
    unit,
)
from .genome import Genome, Kind, only

TRIES = 40
"""draws of an operator until a body comes out that can be; then the weights change instead"""


class TreeKind(Kind):
    """``segments`` and ``sensors`` of a `Creature`; the controller is a rhythm with a row of weights a hinge.

    Weights: ``shared`` (2), ``segment:<lineage>.<axis>`` (6) and ``sensor:<lineage>.<number>`` (2), in the words of
    `controllers.oscillator.Oscillator`; mirrored copies share them.
    """

    name: ClassVar[str] = "creature"
    niches: ClassVar[dict[str, tuple[float, float]]] = {
        "segments": (2.0, float(PARTS)),
        "span": (0.2, 2.5),
    }
    start: ClassVar[dict[str, list[float]]] = {
        "shared": [0.0, 0.0],
        "segment": [0.0, 0.5, 1.0, float(np.float32(np.pi)), 1.0, 1.0],
        "sensor": [0.0, 0.0],
    }

    def random(self, rng: np.random.Generator) -> Genome:
        """A trunk and two to five segments, most of them in pairs."""
        body, wanted = trunk(rng), 1 + int(rng.integers(2, 6))
        for _ in range(TRIES):
            grown = copied(body)
            add(grown, rng)
            with contextlib.suppress(LanceletError):
                Creature(**grown)
                body = grown
            if len(body["segments"]) == wanted:
                break
        genome = Genome(self.name, body, {}) if len(body["segments"]) > 1 else self.usual()
        return self.perturbed(genome, rng, 1.0, 0.3)

    def usual(self) -> Genome:
        """The quadruped that a creature is by default."""
        genes = {
            sort: [asdict(gene) for gene in every]
            for sort, every in zip(_GENES, quadruped(), strict=True)
        }
        return Genome(self.name, json.loads(json.dumps(genes)), {})

    def mutate(self, genome: Genome, rng: np.random.Generator) -> tuple[Genome, str]:
        """One of `OPERATORS`, or the weights; see `Kind`."""
        names, odds = list(OPERATORS), [share for share, _ in OPERATORS.values()]
        for _ in range(TRIES):
            operator = str(rng.choice([*names, "weights"], p=[*odds, 1 - sum(odds)]))
            if operator == "weights":
                break
            body = copied(genome.body)
            try:
                heirs = OPERATORS[operator][1](body, rng)
                child = Genome(self.name, body, {})
                child = child.weighing(self._inherited(genome.weights, child, heirs))
                self.check(child)
            except LanceletError:
                continue
            if body != genome.body:
                return child, operator
        return self.perturbed(genome, rng, 0.3, 0.3), "weights"

    def cross(self, one: Genome, other: Genome, rng: np.random.Generator) -> Genome:
        """The tree of `one`; genes and weights of lineages that both have from either; now and then a branch too."""
        weights = dict(one.weights)
        for key in sorted(one.weights.keys() & other.weights.keys()):
            if rng.random() < 0.5:
                weights[key] = list(other.weights[key])
        grafts = rng.random() < 0.3
        for tried in range(TRIES):
            body = copied(one.body)
            _mix(body, other.body, rng)
            borrowed = _graft(body, other, rng) if grafts and tried < TRIES // 2 else {}
            with contextlib.suppress(LanceletError):
                child = Genome(self.name, body, {})
                child = child.weighing(self._inherited(borrowed | weights, child, {}))
                self.check(child)
                return child
        return one.weighing(weights)

    def check(self, genome: Genome) -> None:
        """See `Kind`: all that a `Creature` refuses, and weights of parts that are not there."""
        self._creature(genome)
        self.check_weights(genome)

    def body(self, genome: Genome) -> Creature:
        """A `Creature`."""
        only("creature genome body", genome.body, ("segments", "sensors"))
        return Creature(**genome.body)

    def controller(self, genome: Genome) -> tuple[str, dict[str, Any]]:
        """Oscillators, coupled as the hinges hang on one another; sensors reach the hinges of their own segment.

        Where that has none, the next one towards the trunk; attitude, and what finds none, reaches all.
        """
        body = self._creature(genome)
        first = {
            part: number
            for number, (part, axis) in reversed(list(enumerate(body.joints)))
            if axis == 0
        }
        carrier = [self._carrier(body, part) for part in range(len(body.parts))]
        upstream = []
        for part, axis in body.joints:
            above = part if axis else self._carrier(body, body.parts[part].parent)
            upstream.append(first.get(above, -1))
        hinges = {
            part: [n for n, (own, _) in enumerate(body.joints) if own == part] for part in first
        }
        everyone = list(range(len(body.joints)))
        heard_by = [
            everyone if c.width > 1 else hinges.get(carrier[c.part], everyone)
            for c in body.channels
        ]
        rows = self.lineages(genome)
        return "oscillator", {
            "upstream": upstream,
            "joint_rows": [rows["joints"].index(key) for key in self._keys(body)],
            "mirrored": [body.parts[part].mirrored for part, _ in body.joints],
            "sensor_rows": [rows["sensors"].index(channel.key) for channel in body.channels],
            "heard_by": heard_by,
        }

    def task(self) -> tuple[str, dict[str, Any]]:
        """Crawling ahead."""
        return "lancelet/Crawl-v0", {}

    def features(self, genome: Genome) -> dict[str, float]:
        """Number of segments with mirrored copies, longest side in m of the box around it at rest."""
        body = self._creature(genome)
        return {"segments": float(len(body.parts)), "span": body.pose.span}

    def layout(self, genome: Genome) -> tuple[Any, ...]:
        """What hangs on what with how many hinges, and which sensors sit where."""
        body = self._creature(genome)
        parts = [[part.parent, len(part.axes)] for part in body.parts]
        return parts, [channel.source for channel in body.channels]

    def lineages(self, genome: Genome) -> dict[str, list[str]]:
        """Rows of the hinges and of what sensors tell, mirrored copies left out."""
        body = self._creature(genome)
        keys = {"joints": self._keys(body), "sensors": [channel.key for channel in body.channels]}
        return {name: list(dict.fromkeys(every)) for name, every in keys.items()}

    def vector(self, genome: Genome) -> np.ndarray:
        """Genes of the segments, then of the sensors, in the order of `_GENES`; vectors take three numbers."""
        return np.concatenate([np.ravel(gene[name]) for gene, name in _genes(genome.body)])

    def bounds(self, genome: Genome) -> tuple[np.ndarray, np.ndarray]:
        """See `Kind`; vectors are brought to length 1."""
        pairs = [np.broadcast_to(BOUNDS.get(name, (-1.0, 1.0)), (np.size(gene[name]), 2)) for gene, name in
                 _genes(genome.body)]  # fmt: skip
        low, high = np.concatenate(pairs).T
        return low, high

    def from_vector(self, genome: Genome, values: np.ndarray) -> Genome:
        """See `Kind`.

        Raises:
            LanceletError: not as many finite numbers as genes, or a body that runs into itself.
        """
        body, values, first = copied(genome.body), np.asarray(values, float), 0
        need = len(self.vector(genome))
        if values.shape != (need,) or not np.isfinite(values).all():
            raise LanceletError(
                f"creature vector of shape {values.shape}: needs {need} finite numbers"
            )
        for gene, name in _genes(body):
            size = np.size(gene[name])
            part, first = values[first : first + size], first + size
            if name in BOUNDS:
                gene[name] = clip(name, float(part[0]))
            elif name == "axes":
                gene[name] = [unit(axis) for axis in part.reshape(-1, 3)]
            else:
                gene[name] = unit(part)
        for segment in body["segments"][1:]:
            parent = body["segments"][segment["parent"]]
            segment["direction"] = outward(parent, segment["attach"], segment["direction"])
        child = replace(genome, body=body)
        self.check(child)
        return child

    def _creature(self, genome: Genome) -> Creature:
        return genome.decoded  # pyright: ignore[reportReturnType] - of this kind

    def _keys(self, body: Creature) -> list[str]:
        """Lineage of every hinge."""
        return [
            f"segment:{body.segments[body.parts[part].segment].id}.{axis}"
            for part, axis in body.joints
        ]

    def _carrier(self, body: Creature, part: int) -> int:
        """The nearest part with hinges from `part` towards the root; -1: none."""
        while part >= 0 and not body.parts[part].axes:
            part = body.parts[part].parent
        return part

    def _inherited(
        self, weights: dict[str, list[float]], child: Genome, heirs: Heirs
    ) -> dict[str, list[float]]:
        """Weights of the parts that the child has; copies begin with those of their originals."""
        found = {}
        for key in ["shared", *(key for keys in self.lineages(child).values() for key in keys)]:
            sort, _, rest = key.partition(":")
            id, _, number = rest.partition(".")
            source = f"{sort}:{heirs[int(id)]}.{number}" if rest and int(id) in heirs else key
            if source in weights:
                found[key] = list(weights[source])
        return found


_GENES = {
    "segments": (
        "attach",
        "direction",
        "half_length",
        "radius",
        "density",
        "axes",
        "range",
        "gear",
    ),
    "sensors": ("axis", "gain"),
}
"""the genes that are numbers"""


def _genes(body: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Every gene that is a number or numbers: where it is kept, and its name."""
    every = [(one, name) for sort, names in _GENES.items() for one in body[sort] for name in names]
    return [(one, name) for one, name in every if np.size(one[name])]


def _mix(body: dict[str, Any], other: dict[str, Any], rng: np.random.Generator) -> None:
    """Give lineages that `other` has too some of its genes, place by place."""
    for sort, groups in _TOGETHER.items():
        theirs = {one["id"]: one for one in other[sort]}
        for one in body[sort]:
            if one["id"] not in theirs:
                continue
            same = theirs[one["id"]]
            for group in groups:
                if rng.random() < 0.5 and all(
                    np.shape(one[name]) == np.shape(same[name]) for name in group
                ):
                    one |= {name: same[name] for name in group}


_TOGETHER = {
    "segments": (
        ("attach", "direction", "mirror"),
        ("half_length", "radius", "density"),
        ("axes", "range"),
        ("gear",),
    ),
    "sensors": (("axis", "gain"),),
}
"""genes that pass on together"""


def _graft(body: dict[str, Any], other: Genome, rng: np.random.Generator) -> dict[str, list[float]]:
    """Hang a branch of `other` on `body`, where its parent's lineage is or else on the trunk; returns its weights."""
    theirs = other.body["segments"]
    branch = subtree(theirs, int(rng.integers(1, len(theirs))))
    place = {segment["id"]: index for index, segment in enumerate(body["segments"])}
    mine = {theirs[index]["id"] for index in branch} & place.keys()
    if mine:  # the same branch, changed elsewhere: it takes the place of the old one
        root = min(place[id] for id in mine)
        prune(body, set(subtree(body["segments"], root)))
        place = {segment["id"]: index for index, segment in enumerate(body["segments"])}
    moved = {}
    for index in branch:
        segment = dict(theirs[index])
        above = segment["parent"]
        segment["parent"] = moved[above] if above in moved else place.get(theirs[above]["id"], 0)
        moved[index] = len(body["segments"])
        body["segments"].append(segment)
        if index == branch[0]:
            parent = body["segments"][segment["parent"]]
            segment["direction"] = outward(parent, segment["attach"], segment["direction"])
    have = {sensor["id"] for sensor in body["sensors"]}
    for sensor in other.body["sensors"]:
        if (
            sensor["segment"] in moved
            and sensor["id"] not in have
            and len(body["sensors"]) < SENSORS
        ):
            body["sensors"].append(sensor | {"segment": moved[sensor["segment"]]})
    return other.weights


KIND = TreeKind()

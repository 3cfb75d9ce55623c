"""Genomes of creatures: trees that grow, lose and mirror segments, and weights that follow them by lineage."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, replace
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np

from ..errors import LanceletError
from .creature import Creature
from .creature_genes import BOUNDS, MOST_PARTS, MOST_SENSORS, quadruped
from .creature_operators import (
    OPERATORS,
    BodyGenes,
    Heirs,
    PartGenes,
    add_segment,
    clip,
    copied,
    outward,
    prune,
    subtree,
    trunk,
    unit,
)
from .genome import Genome, Kind, Weights, check_keys

TRIES = 40
"""draws of an operator until a body comes out that can be; then the weights change instead"""
GRAFT_TRIES = TRIES // 2
"""draws of a crossing that may graft a branch; the others exchange genes alone"""
TRUNK = 0
"""index of the root among the segments"""
WEIGHTS = "weights"
"""name of the operator that leaves the body as it is"""
GRAFT_SHARE = 0.3
"""share of the crossings that try to graft a branch"""
EXCHANGE_SHARE = 0.5
"""share of the genes and weights of common lineages that a crossing takes from the other parent"""
NEW_SEGMENTS = (2, 5)
"""fewest and most segments that a random creature tries to get beside its trunk"""
NUMERIC_GENES = {
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
"""sort of part -> its genes that are numbers"""
LINKED_GENES = {
    "segments": (
        ("attach", "direction", "mirror"),
        ("half_length", "radius", "density"),
        ("axes", "range"),
        ("gear",),
    ),
    "sensors": (("axis", "gain"),),
}
"""sort of part -> groups of genes that pass on together"""


class TreeKind(Kind):
    """``segments`` and ``sensors`` of a `Creature`.

    Weights: ``shared``, a row for every hinge, ``segment:<lineage>.<axis>``, and a row for every number that a sensor
    gives, ``sensor:<lineage>.<number>``; mirrored copies share them.
    """

    name: ClassVar[str] = "creature"
    brain: ClassVar[str] = "creature"
    niches: ClassVar[dict[str, tuple[float, float]]] = {
        "segments": (2.0, float(MOST_PARTS)),
        "span": (0.2, 2.5),
    }

    def random(self, rng: np.random.Generator) -> Genome:
        """A trunk and two to five segments, most of them in pairs."""
        body = trunk(rng)
        fewest, most = NEW_SEGMENTS
        wanted_segments = 1 + int(rng.integers(fewest, most + 1))
        for _ in range(TRIES):
            larger = copied(body)
            add_segment(larger, rng)
            # A segment that no body can have there is forgotten, and another one tried.
            with contextlib.suppress(LanceletError):
                Creature(**larger)
                body = larger
            if len(body["segments"]) == wanted_segments:
                break
        genome = Genome(kind=self.name, body=body, weights={})
        if len(body["segments"]) == 1:
            # A trunk alone cannot move, and is no creature.
            genome = self.usual()
        return self.perturbed(genome, rng, share=1.0, spread=0.3)

    def usual(self) -> Genome:
        """The quadruped that a creature is by default."""
        segments, sensors = quadruped()
        genes = {
            "segments": [asdict(segment) for segment in segments],
            "sensors": [asdict(sensor) for sensor in sensors],
        }
        # Through JSON: its tuples become the lists that a genome holds.
        return Genome(kind=self.name, body=json.loads(json.dumps(genes)), weights={})

    def mutate(self, genome: Genome, rng: np.random.Generator) -> tuple[Genome, str]:
        """A changed copy, and the operator of `OPERATORS`, or ``weights``, that changed it."""
        shares = [operator.share for operator in OPERATORS.values()]
        names = [*OPERATORS, WEIGHTS]
        odds = [*shares, 1 - sum(shares)]
        for _ in range(TRIES):
            name = str(rng.choice(names, p=odds))
            if name == WEIGHTS:
                break
            body = copied(genome.body)
            try:
                heirs = OPERATORS[name].change(body, rng)
                child = self._child(body, genome.weights, heirs)
            except LanceletError:
                # No such body can be: another draw.
                continue
            # A gene at its bound may be pushed against it: then nothing has changed yet.
            if body != genome.body:
                return child, name
        return self.perturbed(genome, rng, share=0.3, spread=0.3), WEIGHTS

    def cross(self, one: Genome, other: Genome, rng: np.random.Generator) -> Genome:
        """The tree of `one`; genes and weights of lineages that both have from either; now and then a branch too."""
        weights = dict(one.weights)
        for lineage in sorted(one.weights.keys() & other.weights.keys()):
            if rng.random() < EXCHANGE_SHARE:
                weights[lineage] = list(other.weights[lineage])
        grafts = rng.random() < GRAFT_SHARE
        for attempt in range(TRIES):
            body = copied(one.body)
            _mix(body, other.body, rng)
            inherited = weights
            if grafts and attempt < GRAFT_TRIES:
                _graft(body, other.body, rng)
                # The branch needs weights of its own tree; where both parents have some, the mixed ones above win.
                inherited = other.weights | weights
            with contextlib.suppress(LanceletError):
                return self._child(body, inherited, heirs={})
        # No exchange gave a body that can be: the weights alone are mixed.
        return one.with_weights(weights)

    def check(self, genome: Genome) -> None:
        """Refuse all that a `Creature` refuses, and weights of parts that are not there.

        Raises:
            LanceletError: one line that names the gene.
        """
        _creature(genome)
        self.check_weights(genome)

    def body(self, genome: Genome) -> Creature:
        """A `Creature`."""
        check_keys("creature genome body", genome.body, ("segments", "sensors"))
        return Creature(**genome.body)

    def features(self, genome: Genome) -> dict[str, float]:
        """Number of segments with mirrored copies, longest side in m of the box around it at rest."""
        body = _creature(genome)
        return {"segments": float(len(body.parts)), "span": body.pose.span}

    def layout(self, genome: Genome) -> tuple[Any, ...]:
        """What hangs on what with how many hinges, and which sensors sit where."""
        body = _creature(genome)
        parts = [[part.parent, len(part.axes)] for part in body.parts]
        return parts, [channel.source for channel in body.channels]

    def lineages(self, genome: Genome) -> dict[str, list[str]]:
        """Rows of the hinges (``joints``) and of what sensors tell (``sensors``), mirrored copies left out."""
        body = _creature(genome)
        sensor_lineages = [channel.key for channel in body.channels]
        # A dict keeps the order in which lineages come first.
        return {
            "joints": list(dict.fromkeys(body.hinge_lineages)),
            "sensors": list(dict.fromkeys(sensor_lineages)),
        }

    def vector(self, genome: Genome) -> np.ndarray:
        """Genes of the segments, then of the sensors, in the order of `NUMERIC_GENES`; vectors take three numbers."""
        return np.concatenate([np.ravel(gene.value) for gene in _genes(genome.body)])

    def bounds(self, genome: Genome) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest value of every number of `vector`; directions and axes are brought to length 1."""
        low: list[float] = []
        high: list[float] = []
        for gene in _genes(genome.body):
            lowest, highest = BOUNDS.get(gene.name, (-1.0, 1.0))
            size = np.size(gene.value)
            low += [lowest] * size
            high += [highest] * size
        return np.array(low, float), np.array(high, float)

    def from_vector(self, genome: Genome, values: np.ndarray) -> Genome:
        """`genome` with other numbers, (genes,) in the order of `vector`, brought within their bounds.

        Numbers beyond their `bounds` are clipped, directions and axes brought to length 1, and directions that point
        into the parent turned outwards: `vector` of the result may differ from `values`.

        Raises:
            LanceletError: not as many finite numbers as genes, or a body that runs into itself.
        """
        numbers = np.asarray(values, float)
        need = len(self.vector(genome))
        if numbers.shape != (need,) or not np.isfinite(numbers).all():
            raise LanceletError(
                f"creature vector of shape {numbers.shape}: needs {need} finite numbers"
            )
        body = copied(genome.body)
        first = 0
        # `vector` reads the same list of genes, so that every number comes back to the gene that it was read from.
        for gene in _genes(body):
            size = np.size(gene.value)
            gene.set_within_bounds(numbers[first : first + size])
            first += size
        # Parents may have changed their shape under a segment: it must not grow into them. The root has no parent.
        for segment in body["segments"][1:]:
            parent = body["segments"][segment["parent"]]
            segment["direction"] = outward(parent, segment["attach"], segment["direction"])
        child = replace(genome, body=body)
        self.check(child)
        return child

    def _child(self, body: BodyGenes, weights: Weights, heirs: Heirs) -> Genome:
        """The genome of a changed body, with the weights of its parts' lineages.

        Args:
            body: JSON of the child's.
            weights: of its parents.
            heirs: lineage of a copied part -> that of its original, whose weights the copy begins with.

        Raises:
            LanceletError: no such body can be.
        """
        child = Genome(kind=self.name, body=body, weights={})
        inherited: Weights = {}
        for lineage in self.every_lineage(child):
            source = _source(lineage, heirs)
            if source in weights:
                inherited[lineage] = list(weights[source])
        # Built once: the same body goes to the child with its weights.
        weighted = child.with_weights(inherited)
        self.check(weighted)
        return weighted


def _creature(genome: Genome) -> Creature:
    """The body of a genome of this kind."""
    return cast(Creature, genome.decoded)


def _source(lineage: str, heirs: Heirs) -> str:
    """The lineage whose weights a part begins with: its own, or, of a copy, that of its original."""
    sort, _, rest = lineage.partition(":")
    id, _, number = rest.partition(".")
    if not rest or int(id) not in heirs:
        return lineage
    return f"{sort}:{heirs[int(id)]}.{number}"


class _Gene(NamedTuple):
    """A gene that is a number or numbers, where it is kept."""

    part: PartGenes
    """the segment or the sensor"""
    name: str
    """of the gene"""

    @property
    def value(self) -> Any:
        """A number, a vector, or a list of vectors."""
        return self.part[self.name]

    def set_within_bounds(self, numbers: np.ndarray) -> None:
        """Put numbers (size,) in its place in the part, which is changed in place.

        A number is clipped to its bounds; a vector, or each vector of a list, is brought to length 1.
        """
        if self.name in BOUNDS:
            self.part[self.name] = clip(self.name, float(numbers[0]))
        elif self.name == "axes":
            self.part[self.name] = [unit(axis) for axis in numbers.reshape(-1, 3)]
        else:
            self.part[self.name] = unit(numbers)


def _genes(body: BodyGenes) -> list[_Gene]:
    """Every gene of a body that is a number or numbers; empty ones (no hinges) are left out.

    The order is that of `TreeKind.vector`, `bounds` and `from_vector`: segments before sensors, part after part, and
    within a part as `NUMERIC_GENES` has them.
    """
    genes: list[_Gene] = []
    for sort, names in NUMERIC_GENES.items():
        for part in body[sort]:
            genes += [_Gene(part, name) for name in names if np.size(part[name])]
    return genes


def _mix(body: BodyGenes, other: BodyGenes, rng: np.random.Generator) -> None:
    """Give the parts of `body` whose lineages `other` has too some of their genes there; `body` is changed in place.

    Args:
        body: `copied`.
        other: stays as it is.
        rng: all that is random comes from it.
    """
    for sort, groups in LINKED_GENES.items():
        counterparts = {part["id"]: part for part in other[sort]}
        for part in body[sort]:
            counterpart = counterparts.get(part["id"])
            if counterpart is None:
                continue
            for group in groups:
                is_exchanged = rng.random() < EXCHANGE_SHARE
                if is_exchanged and _have_one_shape(part, counterpart, group):
                    for name in group:
                        part[name] = counterpart[name]


def _have_one_shape(
    part: PartGenes,
    counterpart: PartGenes,
    names: tuple[str, ...],
) -> bool:
    """Whether genes of two parts hold as many numbers: a hinge must not come without its weights."""
    return all(np.shape(part[name]) == np.shape(counterpart[name]) for name in names)


def _graft(body: BodyGenes, other: BodyGenes, rng: np.random.Generator) -> None:
    """Hang a random branch of `other` on `body`, with its sensors; `body` is changed in place.

    A branch that `body` has a version of takes that one's place. Its root hangs on the segment of the same lineage as
    in `other`, or on the trunk where `body` has none.

    Args:
        body: `copied`.
        other: stays as it is.
        rng: draws the branch.
    """
    donor = other["segments"]
    branch = subtree(donor, int(rng.integers(1, len(donor))))
    older_version = _root_of_older_version(body, {donor[index]["id"] for index in branch})
    if older_version is not None:
        # Pruned before the new branch is hung on: a lineage must not come twice, and pruning moves all indices.
        prune(body, set(subtree(body["segments"], older_version)))
    new_index = _hang(body, donor, branch)
    _bring_sensors(body, other["sensors"], new_index)


def _root_of_older_version(body: BodyGenes, branch_lineages: set[int]) -> int | None:
    """Index of the first segment of `body` whose lineage a branch has too; None: there is none."""
    for index, segment in enumerate(body["segments"]):
        if segment["id"] in branch_lineages:
            return index
    return None


def _hang(body: BodyGenes, donor: list[PartGenes], branch: list[int]) -> dict[int, int]:
    """Hang a branch of another tree on `body`, which is changed in place.

    Its root hangs on the segment of the same lineage as there, or else on the trunk.

    Args:
        body: `copied`; none of its segments has a lineage of the branch.
        donor: segments of the other tree.
        branch: indices of the branch in the donor, parents first.

    Returns:
        Index of a segment in the donor -> its index in `body`.
    """
    index_of = _index_of_lineages(body)
    new_index: dict[int, int] = {}
    for index in branch:
        segment = dict(donor[index])
        donor_parent = segment["parent"]
        if donor_parent in new_index:
            segment["parent"] = new_index[donor_parent]
        else:
            # The root of the branch: no other segment of it has a parent outside.
            segment["parent"] = index_of.get(donor[donor_parent]["id"], TRUNK)
        new_index[index] = len(body["segments"])
        body["segments"].append(segment)
        if index == branch[0]:
            # Its new parent may have another shape: it must not grow into that.
            parent = body["segments"][segment["parent"]]
            segment["direction"] = outward(parent, segment["attach"], segment["direction"])
    return new_index


def _bring_sensors(
    body: BodyGenes,
    donor_sensors: list[PartGenes],
    new_index: dict[int, int],
) -> None:
    """Give `body` the sensors of a branch that it was given, as far as there is room; it is changed in place.

    Args:
        body: `copied`.
        donor_sensors: of the tree that the branch comes from.
        new_index: index of a segment of the branch in that tree -> its index in `body`.
    """
    present = {sensor["id"] for sensor in body["sensors"]}
    for sensor in donor_sensors:
        is_on_branch = sensor["segment"] in new_index
        has_room = len(body["sensors"]) < MOST_SENSORS
        if is_on_branch and has_room and sensor["id"] not in present:
            body["sensors"].append(sensor | {"segment": new_index[sensor["segment"]]})


def _index_of_lineages(body: BodyGenes) -> dict[int, int]:
    """Lineage of every segment -> its index."""
    return {segment["id"]: index for index, segment in enumerate(body["segments"])}


KIND = TreeKind()

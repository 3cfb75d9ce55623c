"""Genomes: a body's numbers or tree with its controller's weights, as JSON; what a kind of them must be able to do.

Weights belong to lineages of parts, not to places in the body (docs/systems/coevolve.md, "Genomes"). Which controller
they are of is said by a `Brain`, which the room that knows controllers registers.
"""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..checks import number_within
from ..errors import LanceletError
from ..registry import Registry
from .core import Body

SCHEMA = 1
"""version of the JSON form"""
LARGEST_WEIGHT = 100.0
"""size of the largest controller weight, of either sign"""
SHARED = "shared"
"""lineage of the weights that belong to no part"""

Names = Sequence[tuple[str, tuple[int, ...]]]
"""names and shapes of a controller's parameters, in the order of its `named_parameters`"""
Weights = dict[str, list[float]]
"""lineage -> the weights of what belongs to it"""

brains = Registry("brain of a kind of genome (import lancelet.training, or register it)")
"""name -> `Brain`; filled by training, as this room knows no controllers"""
kinds = Registry("kind of genome")
"""name -> `Kind`"""
kinds.register("swimmer", "lancelet.morphology.genome_swimmer:KIND")
kinds.register("creature", "lancelet.morphology.genome_tree:KIND")


@dataclass(frozen=True)
class Genome:
    """What evolution changes: JSON values only, never written to once made."""

    kind: str
    """registered in `kinds`"""
    body: dict[str, Any]
    """the body's numbers, or its tree"""
    weights: Weights
    """the controller's parameters by the lineage of what they belong to (``shared``, ``segment:17.0``, ``sensor:4.1``);
    what is missing begins at the kind's own start"""
    schema: int = SCHEMA
    """version of the JSON form"""

    def to_json(self) -> str:
        """One line, keys sorted: equal genomes give equal text.

        Raises:
            LanceletError: a gene or a weight is not finite.
        """
        document = {
            "body": self.body,
            "kind": self.kind,
            "schema": self.schema,
            "weights": self.weights,
        }
        try:
            return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
        except ValueError as error:
            raise LanceletError(
                f"genome of kind {self.kind!r} holds a number that is not finite: {error}"
            ) from error

    @classmethod
    def from_json(cls, text: str) -> Genome:
        """The genome that `to_json` wrote, checked.

        Raises:
            LanceletError: no JSON of a genome, another schema, an unknown kind, or a body that cannot be built.
        """
        try:
            data = json.loads(text, parse_constant=_refuse_constant)
        except LanceletError:
            # Of `_refuse_constant`. It is a `ValueError` too, and says more than the next line would.
            raise
        except (ValueError, TypeError, RecursionError) as error:
            raise LanceletError(f"a genome is not JSON: {str(error).splitlines()[0]}") from error
        if not isinstance(data, dict):
            raise LanceletError(f"a genome is a JSON object, not {type(data).__name__}")
        # True would equal 1.
        if data.get("schema") != SCHEMA or isinstance(data["schema"], bool):
            raise LanceletError(
                f"genome schema = {data.get('schema')!r}: this version reads {SCHEMA}"
            )
        if set(data) != {"kind", "body", "weights", "schema"}:
            raise LanceletError(
                f"a genome has kind, body, weights and schema, not {', '.join(sorted(data))}"
            )
        if not isinstance(data["body"], dict) or not isinstance(data["weights"], dict):
            raise LanceletError("genome body and weights: must be JSON objects")
        genome = cls(kind=str(data["kind"]), body=data["body"], weights=data["weights"])
        kind_of(genome).check(genome)
        return genome

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the JSON, in hexadecimal: the genome's identity."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @cached_property
    def decoded(self) -> Body:
        """The body that it stands for."""
        return kind_of(self).body(self)

    def with_weights(self, weights: Weights) -> Genome:
        """The same body with other weights."""
        other = replace(self, weights=weights)
        # A body that is decoded already is handed on: to decode a tree takes most of the time of a birth. It is put
        # where `cached_property` keeps its value.
        if "decoded" in self.__dict__:
            other.__dict__["decoded"] = self.decoded
        return other

    def __hash__(self) -> int:
        # The usual hash of a dataclass would fail: its dicts have none.
        return hash(self.digest)


def _refuse_constant(name: str) -> float:
    """Refuse NaN and infinities, which Python's JSON would read."""
    raise LanceletError(f"a genome holds {name}: every gene must be a finite number")


class Brain(ABC):
    """The controller that the bodies of a kind carry, and their task; registered in `brains`."""

    @property
    @abstractmethod
    def start(self) -> Weights:
        """Weights at birth: ``shared``, and for each other lineage the row of its sort (``segment``, ``sensor``)."""

    @abstractmethod
    def controller(self, genome: Genome) -> tuple[str, dict[str, Any]]:
        """A registered controller, and its options for this body."""

    @abstractmethod
    def task(self) -> tuple[str, dict[str, Any]]:
        """Id and options, but for the body, of the task that bodies of the kind are usually tried on."""


class _Slot(NamedTuple):
    """A run of numbers in a controller's flat weights."""

    lineage: str
    """that the numbers belong to"""
    size: int
    """how many there are"""


class Kind(ABC):
    """One kind of genome: how it varies, and which body it stands for.

    All that is random comes from the generator given; genomes are never changed in place.
    """

    name: ClassVar[str]
    """that the kind is registered under"""
    brain: ClassVar[str]
    """name of its `Brain`; not read where a kind overrides `start`, `controller` and `task`"""
    niches: ClassVar[dict[str, tuple[float, float]]]
    """lowest and highest value of every descriptor that `features` gives"""

    @property
    def start(self) -> Weights:
        """Weights at birth, as `Brain.start` gives them."""
        return brains.known(self.brain).start

    def controller(self, genome: Genome) -> tuple[str, dict[str, Any]]:
        """A registered controller, and its options for this body."""
        return brains.known(self.brain).controller(genome)

    def task(self) -> tuple[str, dict[str, Any]]:
        """Id and options, but for the body, of the task that this kind is usually tried on."""
        return brains.known(self.brain).task()

    @abstractmethod
    def random(self, rng: np.random.Generator) -> Genome:
        """A new genome."""

    @abstractmethod
    def mutate(self, genome: Genome, rng: np.random.Generator) -> tuple[Genome, str]:
        """A changed copy, which passes `check`, and the name of the operator that changed it."""

    @abstractmethod
    def cross(self, one: Genome, other: Genome, rng: np.random.Generator) -> Genome:
        """A child of both, which passes `check`."""

    @abstractmethod
    def check(self, genome: Genome) -> None:
        """Refuse a genome whose body or weights make no sense.

        Raises:
            LanceletError: one line that names the gene.
        """

    @abstractmethod
    def body(self, genome: Genome) -> Body:
        """The body that the genome stands for."""

    @abstractmethod
    def features(self, genome: Genome) -> dict[str, float]:
        """Descriptors of the body, one for each of `niches`."""

    @abstractmethod
    def layout(self, genome: Genome) -> tuple[Any, ...]:
        """What two bodies must have in common to be simulated in one batch."""

    @abstractmethod
    def vector(self, genome: Genome) -> np.ndarray:
        """The body's continuous genes, (genes,)."""

    @abstractmethod
    def bounds(self, genome: Genome) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest values of `vector`, (genes,) each."""

    @abstractmethod
    def from_vector(self, genome: Genome, values: np.ndarray) -> Genome:
        """`genome` with other continuous genes, (genes,), brought within their bounds."""

    def lineages(self, genome: Genome) -> dict[str, list[str]]:
        """Controller parameter -> the lineage of each of its rows; parameters left out are ``shared``."""
        return {}

    def flat(self, genome: Genome, names: Names) -> np.ndarray:
        """The controller's parameters as the genome has them.

        Rows follow their segment or sensor by its lineage, not by its place in the body.

        Args:
            genome: whose weights are taken.
            names: of the controller's parameters, with their shapes.

        Returns:
            (parameters,) float32, in the order of the controller's `named_parameters`.

        Raises:
            LanceletError: the controller has other parameters than the genome has weights for.
        """
        values: list[float] = []
        for slot in self._slots(genome, names):
            row = genome.weights.get(slot.lineage)
            if row is None:
                row = self.start.get(_sort_of_part(slot.lineage), [])
            if len(row) != slot.size:
                raise LanceletError(
                    f"genome weights {slot.lineage!r} are {len(row)} numbers: the controller needs {slot.size}"
                )
            values += row
        return np.array(values, np.float32)

    def learned(self, genome: Genome, names: Names, vector: np.ndarray) -> Genome:
        """The genome with the weights of a controller: the inverse of `flat`.

        Args:
            genome: whose body stays.
            names: of the controller's parameters, with their shapes.
            vector: (parameters,) weights.

        Raises:
            LanceletError: not as many finite numbers as parameters.
        """
        slots = self._slots(genome, names)
        numbers = [float(number) for number in np.asarray(vector).ravel()]
        need = sum(slot.size for slot in slots)
        if len(numbers) != need or not all(map(math.isfinite, numbers)):
            raise LanceletError(f"{len(numbers)} controller weights: need {need} finite numbers")
        weights: Weights = {}
        first = 0
        for slot in slots:
            weights[slot.lineage] = numbers[first : first + slot.size]
            first += slot.size
        return genome.with_weights(weights)

    def _slots(self, genome: Genome, names: Names) -> list[_Slot]:
        """The runs of numbers in the flat weights, one lineage each; shared ones come first and in one run.

        Raises:
            LanceletError: the controller's parameters do not fit the body.
        """
        lineages = self.lineages(genome)
        shared_size = 0
        slots: list[_Slot] = []
        for name, shape in names:
            if name not in lineages:
                if slots:
                    raise LanceletError(
                        f"controller parameter {name!r} is shared: it must stand before the others"
                    )
                shared_size += math.prod(shape)
                continue
            rows = lineages[name]
            if not shape or shape[0] != len(rows):
                raise LanceletError(
                    f"controller parameter {name!r} has shape {shape}: needs {len(rows)} rows"
                )
            row_size = math.prod(shape[1:])
            slots += [_Slot(lineage, row_size) for lineage in rows]
        if shared_size:
            slots.insert(0, _Slot(SHARED, shared_size))
        return slots

    def every_lineage(self, genome: Genome) -> list[str]:
        """``shared``, then the lineages of all rows, in the order of the controller's parameters."""
        lineages = [SHARED]
        for rows in self.lineages(genome).values():
            lineages += rows
        return lineages

    def check_weights(self, genome: Genome) -> None:
        """Refuse weights that are not lists of finite numbers of a sane size, or of unknown lineage.

        Raises:
            LanceletError: the first lineage that is wrong.
        """
        known = set(self.every_lineage(genome))
        for lineage, row in genome.weights.items():
            if lineage not in known:
                raise LanceletError(f"genome weights {lineage!r}: the body has no such part")
            size = len(self.start[_sort_of_part(lineage)])
            if not isinstance(row, list) or len(row) != size:
                raise LanceletError(f"genome weights {lineage!r}: needs {size} numbers")
            for number in row:
                check_number(f"genome weights {lineage!r}", number, -LARGEST_WEIGHT, LARGEST_WEIGHT)

    def perturbed(
        self,
        genome: Genome,
        rng: np.random.Generator,
        share: float,
        spread: float,
    ) -> Genome:
        """A copy whose weights have moved by Gaussian steps.

        Args:
            genome: stays as it is.
            rng: all that is random comes from it.
            share: probability of each weight to move; one moves at least.
            spread: standard deviation of the steps.
        """
        lineages = self.every_lineage(genome)
        start = self.start
        rows = [genome.weights.get(lineage, start[_sort_of_part(lineage)]) for lineage in lineages]
        values = np.concatenate(rows)
        # The order of the draws is part of every run's identity.
        steps = spread * rng.normal(size=len(values))
        is_moved = draw_mask(rng, len(values), share)
        moved = np.clip(values + steps * is_moved, -LARGEST_WEIGHT, LARGEST_WEIGHT).tolist()
        weights: Weights = {}
        first = 0
        for lineage, row in zip(lineages, rows, strict=True):
            weights[lineage] = moved[first : first + len(row)]
            first += len(row)
        return genome.with_weights(weights)


def _sort_of_part(lineage: str) -> str:
    """The sort of part that a lineage belongs to: ``segment`` of ``segment:17.0``, and ``shared`` of itself."""
    return lineage.partition(":")[0]


def kind_of(genome: Genome | str) -> Kind:
    """The kind of a genome, or the one called so."""
    return kinds.known(genome.kind if isinstance(genome, Genome) else genome)


def decode(genome: Genome) -> Body:
    """The body that the genome stands for."""
    return genome.decoded


def signature(genome: Genome) -> str:
    """Equal for genomes that can act side by side in one batch of one task with one controller: JSON text."""
    kind = kind_of(genome)
    controller, options = kind.controller(genome)
    return json.dumps([genome.kind, kind.layout(genome), controller, options], sort_keys=True)


def draw_mask(rng: np.random.Generator, count: int, share: float) -> np.ndarray:
    """True or False (count,), True at least once.

    Args:
        rng: all that is random comes from it.
        count: number of draws.
        share: probability of True.
    """
    chosen = rng.random(count) < share
    # Drawn in any case, so that the generator moves on alike.
    fallback = int(rng.integers(count))
    if not chosen.any():
        chosen[fallback] = True
    return chosen


def check_number(name: str, value: Any, low: float, high: float) -> float:
    """Return `value`, refused where it is not a number of a range.

    Args:
        name: of the gene, for the error.
        value: what was given for it.
        low: the lowest number allowed.
        high: the highest number allowed.

    Raises:
        LanceletError: `value` is no finite number of the range.
    """
    if not number_within(value, low, high):
        raise LanceletError(f"{name} = {value!r}: must be a number from {low:g} to {high:g}")
    return value


def check_numbers(
    name: str,
    values: Any,
    count: int | None,
    low: float,
    high: float,
) -> list[float]:
    """Return `values`, refused where they are not a list of numbers of a range.

    Args:
        name: of the gene, for the error.
        values: what was given for it.
        count: numbers that there must be; None: any count will do.
        low: the lowest number allowed.
        high: the highest number allowed.

    Raises:
        LanceletError: `values` is no list of the count, or one of its items no finite number of the range.
    """
    if not isinstance(values, list) or (count is not None and len(values) != count):
        need = "a list"
        if count is not None:
            need = f"{count} of them"
        raise LanceletError(f"{name} = {values!r}: needs {need}, numbers from {low:g} to {high:g}")
    return [check_number(name, value, low, high) for value in values]


def check_keys(name: str, given: Mapping[str, Any], needed: Sequence[str]) -> None:
    """Refuse a JSON object that has not exactly the keys needed.

    Args:
        name: of the object, for the error.
        given: the object.
        needed: its keys.

    Raises:
        LanceletError: a key is missing, or is too many.
    """
    if set(given) != set(needed):
        present = ", ".join(sorted(given)) or "nothing"
        raise LanceletError(f"{name} has {present}: needs {', '.join(needed)}")

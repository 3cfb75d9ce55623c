"""Genomes: a body's numbers or tree with its controller's weights, as JSON; what a kind of them must be able to do."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from ..checks import number_within
from ..errors import LanceletError
from ..registry import Registry
from .core import Body

SCHEMA = 1
"""version of the JSON form"""
LARGEST = 100.0
"""size of the largest controller weight"""

Names = Sequence[tuple[str, tuple[int, ...]]]
"""names and shapes of a controller's parameters, in order"""

kinds = Registry("kind of genome")
kinds.register("swimmer", "lancelet.morphology.genome_swimmer:KIND")
kinds.register("creature", "lancelet.morphology.genome_tree:KIND")


@dataclass(frozen=True)
class Genome:
    """What evolution changes: JSON values only, never written to once made."""

    kind: str
    """registered in `kinds`"""
    body: dict[str, Any]
    """the body's numbers, or its tree"""
    weights: dict[str, list[float]]
    """the controller's parameters by the lineage of what they belong to (``shared``, ``segment:17.0``, ``sensor:4.1``);
    what is missing begins at the kind's own start"""
    schema: int = SCHEMA

    def to_json(self) -> str:
        """One line, keys sorted: equal genomes give equal text."""
        whole = {
            "body": self.body,
            "kind": self.kind,
            "schema": self.schema,
            "weights": self.weights,
        }
        try:
            return json.dumps(whole, sort_keys=True, separators=(",", ":"), allow_nan=False)
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
        except (ValueError, TypeError, RecursionError) as error:
            if isinstance(error, LanceletError):
                raise
            raise LanceletError(f"a genome is not JSON: {str(error).splitlines()[0]}") from error
        if not isinstance(data, dict):
            raise LanceletError(f"a genome is a JSON object, not {type(data).__name__}")
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
        genome = cls(str(data["kind"]), data["body"], data["weights"])
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

    def weighing(self, weights: dict[str, list[float]]) -> Genome:
        """The same body with other weights."""
        other = replace(self, weights=weights)
        if "decoded" in self.__dict__:
            other.__dict__["decoded"] = self.decoded  # decoding is what takes time
        return other

    def __hash__(self) -> int:
        return hash(self.digest)


def _refuse_constant(name: str) -> float:
    raise LanceletError(f"a genome holds {name}: every gene must be a finite number")


class Kind(ABC):
    """One kind of genome: how it varies, which body and controller it stands for, and for which task.

    All that is random comes from the generator given; genomes are never changed in place.
    """

    name: ClassVar[str]
    niches: ClassVar[dict[str, tuple[float, float]]]
    """lowest and highest value of every descriptor that `features` gives"""
    start: ClassVar[dict[str, list[float]]]
    """weights at birth: ``shared``, and for each other lineage the row of its sort (``segment``, ``sensor``)"""

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
    def controller(self, genome: Genome) -> tuple[str, dict[str, Any]]:
        """A registered controller, and its options for this body."""

    @abstractmethod
    def task(self) -> tuple[str, dict[str, Any]]:
        """Id and options, but for the body, of the task that this kind is usually tried on."""

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
        """The controller's parameters, (parameters,) float32, in the order of its `named_parameters`.

        Rows follow their segment or sensor by its lineage, not by its place in the body.

        Raises:
            LanceletError: the controller has other parameters than the genome has weights for.
        """
        values: list[float] = []
        for key, size in self._slots(genome, names):
            row = genome.weights.get(key, self.start.get(key.partition(":")[0], []))
            if len(row) != size:
                raise LanceletError(
                    f"genome weights {key!r} are {len(row)} numbers: the controller needs {size}"
                )
            values += row
        return np.array(values, np.float32)

    def learned(self, genome: Genome, names: Names, vector: np.ndarray) -> Genome:
        """`genome` with the weights of a controller, (parameters,): what `flat` is the inverse of."""
        slots = self._slots(genome, names)
        numbers = [float(number) for number in np.asarray(vector).ravel()]
        if len(numbers) != sum(size for _, size in slots) or not all(map(math.isfinite, numbers)):
            raise LanceletError(
                f"{len(numbers)} controller weights: need {sum(s for _, s in slots)} finite numbers"
            )
        weights, first = {}, 0
        for key, size in slots:
            weights[key], first = numbers[first : first + size], first + size
        return genome.weighing(weights)

    def _slots(self, genome: Genome, names: Names) -> list[tuple[str, int]]:
        """Lineage and size of every run of numbers in the flat weights; shared ones come first and in one run."""
        rows, slots, shared = self.lineages(genome), [], 0
        for name, shape in names:
            if name not in rows:
                if slots:
                    raise LanceletError(
                        f"controller parameter {name!r} is shared: it must stand before the others"
                    )
                shared += math.prod(shape)
                continue
            if not shape or shape[0] != len(rows[name]):
                raise LanceletError(
                    f"controller parameter {name!r} has shape {shape}: needs {len(rows[name])} rows"
                )
            slots += [(key, math.prod(shape[1:])) for key in rows[name]]
        return [("shared", shared), *slots] if shared else slots

    def check_weights(self, genome: Genome) -> None:
        """Refuse weights that are not lists of finite numbers of a sane size, or of unknown lineage."""
        known = {"shared", *(key for keys in self.lineages(genome).values() for key in keys)}
        for key, row in genome.weights.items():
            if key not in known:
                raise LanceletError(f"genome weights {key!r}: the body has no such part")
            if not isinstance(row, list) or len(row) != len(self.start[key.partition(":")[0]]):
                raise LanceletError(
                    f"genome weights {key!r}: needs {len(self.start[key.partition(':')[0]])} numbers"
                )
            for number in row:
                finite(f"genome weights {key!r}", number, -LARGEST, LARGEST)

    def perturbed(
        self, genome: Genome, rng: np.random.Generator, share: float, spread: float
    ) -> Genome:
        """A copy whose weights have moved, each with probability `share`, by Gaussian steps of size `spread`."""
        keys = ["shared", *(key for keys in self.lineages(genome).values() for key in keys)]
        rows = [genome.weights.get(key, self.start[key.partition(":")[0]]) for key in keys]
        values = np.concatenate(rows)
        values += spread * rng.normal(size=len(values)) * some(rng, len(values), share)
        values = np.clip(values, -LARGEST, LARGEST).tolist()
        ends = list(itertools.accumulate(map(len, rows)))
        return genome.weighing(
            {k: values[end - len(row) : end] for k, row, end in zip(keys, rows, ends, strict=True)}
        )


def kind_of(genome: Genome | str) -> Kind:
    """The kind of a genome, or the one called so."""
    return kinds.known(genome.kind if isinstance(genome, Genome) else genome)


def decode(genome: Genome) -> Body:
    """The body that the genome stands for."""
    return genome.decoded


def signature(genome: Genome) -> str:
    """Equal for genomes that can act side by side in one batch of one task with one controller: JSON text."""
    kind = kind_of(genome)
    return json.dumps([genome.kind, kind.layout(genome), *kind.controller(genome)], sort_keys=True)


def some(rng: np.random.Generator, count: int, share: float) -> np.ndarray:
    """True (count,) with probability `share` each, and at least once."""
    chosen = rng.random(count) < share
    chosen[int(rng.integers(count))] |= not chosen.any()
    return chosen


def finite(name: str, value: Any, low: float, high: float) -> float:
    """`value`, refused where it is not a number from `low` to `high`."""
    if not number_within(value, low, high):
        raise LanceletError(f"{name} = {value!r}: must be a number from {low:g} to {high:g}")
    return value


def numbers(name: str, values: Any, count: int | None, low: float, high: float) -> list[float]:
    """`values`, refused where they are not a list of (`count`) numbers from `low` to `high`."""
    if not isinstance(values, list) or (count is not None and len(values) != count):
        need = "a list" if count is None else f"{count} of them"
        raise LanceletError(f"{name} = {values!r}: needs {need}, numbers from {low:g} to {high:g}")
    return [finite(name, value, low, high) for value in values]


def only(name: str, given: Mapping[str, Any], fields: Sequence[str]) -> None:
    """Refuse a JSON object that has not exactly `fields`."""
    if set(given) != set(fields):
        raise LanceletError(
            f"{name} has {', '.join(sorted(given)) or 'nothing'}: needs {', '.join(fields)}"
        )

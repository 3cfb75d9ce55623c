"""Genomes of the swimmer: how many links, how long each, how far each joint bends, and NCAP's weights."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ..errors import LanceletError
from .core import Body
from .genome import Genome, Kind, numbers, only, some
from .swimmer import Swimmer

JOINTS, LENGTH, LIMIT, WHOLE = (2, 12), (0.03, 0.25), (0.2, 2.0), (0.3, 1.2)
"""number; m, of a link; rad; m, of the whole swimmer"""
OPERATORS = {
    "weights": 0.4,
    "resize": 0.2,
    "limits": 0.2,
    "add segment": 0.1,
    "remove segment": 0.1,
}
"""operator -> how often it is drawn"""


class SwimmerKind(Kind):
    """Links of a chain, head first: ``lengths`` (links) in m, ``limits`` (joints = links - 1) in rad.

    The controller is NCAP as published: four weights that all joints share, the same for any number of them.
    """

    name: ClassVar[str] = "swimmer"
    niches: ClassVar[dict[str, tuple[float, float]]] = {"joints": JOINTS, "length": WHOLE}
    start: ClassVar[dict[str, list[float]]] = {"shared": [1.0, 1.0, 1.0, -1.0]}

    def random(self, rng: np.random.Generator) -> Genome:
        """Three to eight joints, links of 0.1 m and the standard limits, all within a factor of about 1.5."""
        joints = int(rng.integers(3, 9))
        lengths = 0.1 * np.exp(rng.normal(0, 0.25, joints + 1))
        limits = 2 * math.pi / (joints + 1) * np.exp(rng.normal(0, 0.25, joints))
        return self.perturbed(self._genome(lengths, limits, {}), rng, 1.0, 0.3)

    def mutate(self, genome: Genome, rng: np.random.Generator) -> tuple[Genome, str]:
        """One operator of `OPERATORS` that this body allows; see `Kind`."""
        lengths, limits = self._arrays(genome)
        share = dict(OPERATORS)
        if len(limits) == JOINTS[1] or lengths.sum() + LENGTH[0] > WHOLE[1]:
            share["add segment"] = 0.0
        if len(limits) == JOINTS[0] or lengths.sum() - lengths.max() < WHOLE[0]:
            share["remove segment"] = 0.0
        odds = np.cumsum(list(share.values()))
        operator = list(share)[int(np.searchsorted(odds, rng.random() * odds[-1], side="right"))]
        child = genome
        while child == genome:  # a gene at its bound may have been drawn
            if operator == "weights":
                child = self.perturbed(genome, rng, 0.5, 0.2)
            else:
                child = self._genome(*self._changed(lengths, limits, operator, rng), genome.weights)
        return child, operator

    def _changed(
        self, lengths: np.ndarray, limits: np.ndarray, operator: str, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lengths and limits after one operator on the body."""
        if operator in ("resize", "limits"):
            genes = lengths if operator == "resize" else limits
            which = some(rng, len(genes), 1.0 if rng.random() < 0.3 else 1.0 / len(genes))
            genes = np.where(which, genes * np.exp(rng.normal(0, 0.2)), genes)
            return (genes, limits) if operator == "resize" else (lengths, genes)
        link = int(rng.integers(len(lengths)))
        joint = min(link, len(limits) - 1)
        if operator == "remove segment":
            return np.delete(lengths, link), np.delete(limits, joint)
        room = min(lengths[link], WHOLE[1] - lengths.sum())  # a copy of the link, behind it
        return np.insert(lengths, link + 1, room), np.insert(limits, joint, limits[joint])

    def cross(self, one: Genome, other: Genome, rng: np.random.Generator) -> Genome:
        """As many joints as either parent; lengths and limits follow one parent along the body, then the other.

        With unequal counts a gene is read at the same share of the body's length in links; weights come one by one.
        """
        parents = [self._arrays(genome) for genome in (one, other)]
        joints = len(parents[int(rng.integers(2))][1])
        cut, first = rng.random(), int(rng.integers(2))
        genes = []
        for part, count in ((0, joints + 1), (1, joints)):
            places = (np.arange(count) + 0.5) / count
            rows = [parent[part][(places * len(parent[part])).astype(int)] for parent in parents]
            genes.append(np.where(places < cut, rows[first], rows[1 - first]))
        pairs = zip(self._weights(one), self._weights(other), strict=True)
        weights = [pair[int(rng.integers(2))] for pair in pairs]
        return self._genome(genes[0], genes[1], {"shared": weights})

    def check(self, genome: Genome) -> None:
        """See `Kind`."""
        only("swimmer genome body", genome.body, ("lengths", "limits"))
        lengths = numbers("swimmer genome lengths", genome.body["lengths"], None, *LENGTH)
        joints = len(lengths) - 1
        if not JOINTS[0] <= joints <= JOINTS[1]:
            raise LanceletError(
                f"swimmer genome has {len(lengths)} lengths: needs {JOINTS[0] + 1} to {JOINTS[1] + 1}"
            )
        numbers("swimmer genome limits", genome.body["limits"], joints, *LIMIT)
        if not WHOLE[0] - 1e-9 <= sum(lengths) <= WHOLE[1] + 1e-9:
            raise LanceletError(
                f"swimmer genome is {sum(lengths):g} m long: must be {WHOLE[0]:g} to {WHOLE[1]:g} m"
            )
        self.check_weights(genome)

    def body(self, genome: Genome) -> Body:
        """A `Swimmer`."""
        lengths, limits = genome.body["lengths"], genome.body["limits"]
        return Swimmer(joints=len(limits), lengths=tuple(lengths), joint_limit=tuple(limits))

    def controller(self, genome: Genome) -> tuple[str, dict[str, Any]]:
        """NCAP, the published model."""
        return "ncap", {}

    def task(self) -> tuple[str, dict[str, Any]]:
        """Swimming forward."""
        return "lancelet/Swim-v0", {}

    def features(self, genome: Genome) -> dict[str, float]:
        """Number of joints, length of the whole in m."""
        return {
            "joints": float(len(genome.body["limits"])),
            "length": float(sum(genome.body["lengths"])),
        }

    def layout(self, genome: Genome) -> tuple[Any, ...]:
        """The number of joints."""
        return (len(genome.body["limits"]),)

    def vector(self, genome: Genome) -> np.ndarray:
        """Lengths, then limits, (2 joints + 1,)."""
        return np.concatenate(self._arrays(genome))

    def bounds(self, genome: Genome) -> tuple[np.ndarray, np.ndarray]:
        """See `Kind`; the whole length is bounded too."""
        lengths, limits = self._arrays(genome)
        low, high = (
            np.r_[np.full(len(lengths), LENGTH[i]), np.full(len(limits), LIMIT[i])] for i in (0, 1)
        )
        return low, high

    def from_vector(self, genome: Genome, values: np.ndarray) -> Genome:
        """See `Kind`; too long or too short a swimmer is scaled."""
        links = len(genome.body["lengths"])
        values = np.asarray(values, float)
        if values.shape != (2 * links - 1,) or not np.isfinite(values).all():
            raise LanceletError(
                f"swimmer vector of shape {values.shape}: needs {2 * links - 1} finite numbers"
            )
        return self._genome(values[:links], values[links:], genome.weights)

    def _genome(
        self, lengths: np.ndarray, limits: np.ndarray, weights: dict[str, list[float]]
    ) -> Genome:
        """Genes brought within their bounds, that of the whole length as well."""
        lengths = np.clip(lengths, *LENGTH)
        for _ in range(20):  # scaling meets the bounds of single links
            whole = lengths.sum()
            if WHOLE[0] <= whole <= WHOLE[1]:
                break
            lengths = np.clip(lengths * np.clip(whole, *WHOLE) / whole, *LENGTH)
        limits = np.clip(limits, *LIMIT)
        return Genome(
            self.name, {"lengths": lengths.tolist(), "limits": limits.tolist()}, dict(weights)
        )

    def _arrays(self, genome: Genome) -> tuple[np.ndarray, np.ndarray]:
        return np.array(genome.body["lengths"], float), np.array(genome.body["limits"], float)

    def _weights(self, genome: Genome) -> list[float]:
        return genome.weights.get("shared", self.start["shared"])


KIND = SwimmerKind()

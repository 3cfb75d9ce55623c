"""Genomes of the swimmer: how many links, how long each, and how far each joint bends."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..errors import LanceletError
from .core import Body
from .genome import SHARED, Genome, Kind, Weights, check_keys, check_numbers, draw_mask
from .swimmer import Swimmer

FEWEST_JOINTS = 2
"""joints of a swimmer at least"""
MOST_JOINTS = 12
"""joints of a swimmer at most"""
SHORTEST_LINK = 0.03
"""length of a link at least, m"""
LONGEST_LINK = 0.25
"""length of a link at most, m"""
LEAST_LIMIT = 0.2
"""bend of a joint to either side at least, rad"""
LARGEST_LIMIT = 2.0
"""bend of a joint to either side at most, rad"""
SHORTEST_SWIMMER = 0.3
"""length of all links together at least, m"""
LONGEST_SWIMMER = 1.2
"""length of all links together at most, m"""
LENGTH_TOLERANCE = 1e-9
"""m, by which a sum of links that was scaled may miss the bounds of the whole swimmer"""
MOST_SCALINGS = 20
"""times that links are scaled to bring the whole swimmer within its bounds"""
USUAL_LINK = 0.1
"""m, median of a random link"""
RANDOM_SPREAD = 0.25
"""standard deviation of the logarithm of random lengths and limits"""
STEP = 0.2
"""standard deviation of the logarithm by which a mutation scales genes"""
ALL_GENES_SHARE = 0.3
"""share of the mutations of lengths or limits that scale them all"""

OPERATORS = {
    "weights": 0.4,
    "resize": 0.2,
    "limits": 0.2,
    "add segment": 0.1,
    "remove segment": 0.1,
}
"""operator -> how often it is drawn"""


class _Genes(NamedTuple):
    """The body's genes of one swimmer, head first."""

    lengths: np.ndarray
    """(links,) m"""
    limits: np.ndarray
    """(joints,) rad"""


class SwimmerKind(Kind):
    """Links of a chain, head first: ``lengths`` (links) in m, ``limits`` (joints = links - 1) in rad.

    All weights are shared, so that they fit any number of joints.
    """

    name: ClassVar[str] = "swimmer"
    brain: ClassVar[str] = "swimmer"
    niches: ClassVar[dict[str, tuple[float, float]]] = {
        "joints": (FEWEST_JOINTS, MOST_JOINTS),
        "length": (SHORTEST_SWIMMER, LONGEST_SWIMMER),
    }

    def random(self, rng: np.random.Generator) -> Genome:
        """Three to eight joints, links of 0.1 m and the standard limits, all within a factor of about 1.5."""
        # Three to eight: the upper end of numpy's range does not belong to it.
        joints = int(rng.integers(3, 9))
        lengths = USUAL_LINK * np.exp(rng.normal(0, RANDOM_SPREAD, joints + 1))
        standard_limit = 2 * math.pi / (joints + 1)
        limits = standard_limit * np.exp(rng.normal(0, RANDOM_SPREAD, joints))
        genome = self._genome(_Genes(lengths, limits), weights={})
        return self.perturbed(genome, rng, share=1.0, spread=0.3)

    def mutate(self, genome: Genome, rng: np.random.Generator) -> tuple[Genome, str]:
        """A changed copy, and the operator of `OPERATORS` that changed it; the body must allow the operator."""
        genes = _genes(genome)
        operator = _drawn_operator(genes, rng)
        child = genome
        # A gene at its bound may be drawn: then nothing has changed yet.
        while child == genome:
            if operator == "weights":
                child = self.perturbed(genome, rng, share=0.5, spread=0.2)
            else:
                child = self._genome(_changed(genes, operator, rng), genome.weights)
        return child, operator

    def cross(self, one: Genome, other: Genome, rng: np.random.Generator) -> Genome:
        """As many joints as either parent; lengths and limits follow one parent along the body, then the other.

        With unequal counts a gene is read at the same share of the body's length in links; weights come one by one.
        """
        parents = [_genes(one), _genes(other)]
        joints = len(parents[int(rng.integers(2))].limits)
        cut = rng.random()
        in_front = int(rng.integers(2))
        front = parents[in_front]
        back = parents[1 - in_front]
        genes = _Genes(
            lengths=_spliced(front.lengths, back.lengths, joints + 1, cut),
            limits=_spliced(front.limits, back.limits, joints, cut),
        )
        pairs = zip(self._shared(one), self._shared(other), strict=True)
        weights = [pair[int(rng.integers(2))] for pair in pairs]
        return self._genome(genes, {SHARED: weights})

    def check(self, genome: Genome) -> None:
        """Refuse numbers of links, lengths, limits and weights out of their bounds.

        Raises:
            LanceletError: one line that names the gene.
        """
        check_keys("swimmer genome body", genome.body, ("lengths", "limits"))
        lengths = check_numbers(
            "swimmer genome lengths", genome.body["lengths"], None, SHORTEST_LINK, LONGEST_LINK
        )
        joints = len(lengths) - 1
        if not FEWEST_JOINTS <= joints <= MOST_JOINTS:
            raise LanceletError(
                f"swimmer genome has {len(lengths)} lengths: "
                f"needs {FEWEST_JOINTS + 1} to {MOST_JOINTS + 1}"
            )
        limits = genome.body["limits"]
        check_numbers("swimmer genome limits", limits, joints, LEAST_LIMIT, LARGEST_LIMIT)
        length = sum(lengths)
        is_too_short = length < SHORTEST_SWIMMER - LENGTH_TOLERANCE
        is_too_long = length > LONGEST_SWIMMER + LENGTH_TOLERANCE
        if is_too_short or is_too_long:
            raise LanceletError(
                f"swimmer genome is {length:g} m long: "
                f"must be {SHORTEST_SWIMMER:g} to {LONGEST_SWIMMER:g} m"
            )
        self.check_weights(genome)

    def body(self, genome: Genome) -> Body:
        """A `Swimmer`."""
        lengths = genome.body["lengths"]
        limits = genome.body["limits"]
        return Swimmer(joints=len(limits), lengths=tuple(lengths), joint_limit=tuple(limits))

    def features(self, genome: Genome) -> dict[str, float]:
        """Number of joints, length of the whole swimmer in m."""
        return {
            "joints": float(len(genome.body["limits"])),
            "length": float(sum(genome.body["lengths"])),
        }

    def layout(self, genome: Genome) -> tuple[Any, ...]:
        """The number of joints."""
        return (len(genome.body["limits"]),)

    def vector(self, genome: Genome) -> np.ndarray:
        """Lengths, then limits, (2 joints + 1,)."""
        return np.concatenate(_genes(genome))

    def bounds(self, genome: Genome) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest value of each gene, (2 joints + 1,) each; the whole length is bounded too."""
        links = len(genome.body["lengths"])
        joints = len(genome.body["limits"])
        low = [SHORTEST_LINK] * links + [LEAST_LIMIT] * joints
        high = [LONGEST_LINK] * links + [LARGEST_LIMIT] * joints
        return np.array(low), np.array(high)

    def from_vector(self, genome: Genome, values: np.ndarray) -> Genome:
        """`genome` with other genes, (2 joints + 1,); too long or too short a swimmer is scaled.

        Raises:
            LanceletError: not as many finite numbers as genes.
        """
        links = len(genome.body["lengths"])
        joints = len(genome.body["limits"])
        need = links + joints
        values = np.asarray(values, float)
        if values.shape != (need,) or not np.isfinite(values).all():
            raise LanceletError(
                f"swimmer vector of shape {values.shape}: needs {need} finite numbers"
            )
        genes = _Genes(lengths=values[:links], limits=values[links:])
        return self._genome(genes, genome.weights)

    def _genome(self, genes: _Genes, weights: Weights) -> Genome:
        """A genome whose genes are brought within their bounds, that of the whole length as well."""
        bounded = np.clip(genes.lengths, SHORTEST_LINK, LONGEST_LINK)
        # Scaling meets the bounds of single links, so that one pass may not be enough.
        for _ in range(MOST_SCALINGS):
            length = bounded.sum()
            if SHORTEST_SWIMMER <= length <= LONGEST_SWIMMER:
                break
            wanted = np.clip(length, SHORTEST_SWIMMER, LONGEST_SWIMMER)
            bounded = np.clip(bounded * wanted / length, SHORTEST_LINK, LONGEST_LINK)
        body = {
            "lengths": bounded.tolist(),
            "limits": np.clip(genes.limits, LEAST_LIMIT, LARGEST_LIMIT).tolist(),
        }
        return Genome(kind=self.name, body=body, weights=dict(weights))

    def _shared(self, genome: Genome) -> list[float]:
        """Its weights, those of birth where it has none of its own."""
        return genome.weights.get(SHARED, self.start[SHARED])


def _genes(genome: Genome) -> _Genes:
    """The genes of a genome as arrays."""
    return _Genes(
        lengths=np.array(genome.body["lengths"], float),
        limits=np.array(genome.body["limits"], float),
    )


def _drawn_operator(genes: _Genes, rng: np.random.Generator) -> str:
    """One of the operators that a body allows: no link more or less where a bound forbids it."""
    joints = len(genes.limits)
    length = genes.lengths.sum()
    shares = dict(OPERATORS)
    if joints == MOST_JOINTS or length + SHORTEST_LINK > LONGEST_SWIMMER:
        shares["add segment"] = 0.0
    # Any link may be the one that goes, the longest too.
    if joints == FEWEST_JOINTS or length - genes.lengths.max() < SHORTEST_SWIMMER:
        shares["remove segment"] = 0.0
    cumulative = np.cumsum(list(shares.values()))
    drawn = rng.random() * cumulative[-1]
    # To the right: an operator with a share of 0 is never met.
    index = int(np.searchsorted(cumulative, drawn, side="right"))
    return list(shares)[index]


def _changed(genes: _Genes, operator: str, rng: np.random.Generator) -> _Genes:
    """Genes after one operator on the body.

    Args:
        genes: of the parent; they stay as they are.
        operator: one of `OPERATORS`, but for the weights.
        rng: all that is random comes from it.
    """
    lengths, limits = genes
    if operator == "resize":
        return _Genes(_scaled(lengths, rng), limits)
    if operator == "limits":
        return _Genes(lengths, _scaled(limits, rng))
    link = int(rng.integers(len(lengths)))
    # The joint behind the link; the last link has only the one in front of it.
    joint = min(link, len(limits) - 1)
    if operator == "remove segment":
        return _Genes(np.delete(lengths, link), np.delete(limits, joint))
    # A copy of the link stands behind it, as long as the whole swimmer may grow.
    copied_length = min(lengths[link], LONGEST_SWIMMER - lengths.sum())
    return _Genes(
        lengths=np.insert(lengths, link + 1, copied_length),
        limits=np.insert(limits, joint, limits[joint]),
    )


def _scaled(genes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Genes (n,) of which some, or all, are scaled by one factor."""
    share = 1.0 / len(genes)
    if rng.random() < ALL_GENES_SHARE:
        share = 1.0
    is_scaled = draw_mask(rng, len(genes), share)
    return np.where(is_scaled, genes * np.exp(rng.normal(0, STEP)), genes)


def _spliced(front: np.ndarray, back: np.ndarray, count: int, cut: float) -> np.ndarray:
    """Genes along the body: those of one parent in front of a cut, those of the other behind it.

    Args:
        front: (any number,) genes of the parent in front.
        back: (any number,) genes of the other.
        count: genes wanted.
        cut: where along the body, from 0 to 1.
    """
    places = (np.arange(count) + 0.5) / count
    from_front = front[(places * len(front)).astype(int)]
    from_back = back[(places * len(back)).astype(int)]
    return np.where(places < cut, from_front, from_back)


KIND = SwimmerKind()

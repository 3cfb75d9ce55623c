"""Who breeds: ageing tournaments, MAP-Elites niches or Pareto ranks over the individuals evaluated so far.

Sources: ageing tournament of 4 in a window of 576 by birth (Gupta et al. 2021, DERL); age layers (Hornby 2006, ALPS);
MAP-Elites (Mouret, Clune 2015) by pyribs; NSGA-II (Deb et al. 2002), its ranks and crowding by EvoTorch.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...errors import LanceletError, unknown
from ...optional import extras

CONTESTANTS = 4
"""candidates of a tournament"""
PARETO_CONTESTANTS = 2
"""candidates of a tournament of NSGA-II"""
CELLS = 10
"""cells of the MAP-Elites grid along every feature"""
LOWEST_LAYER_AGE = 5
"""generations that the lowest layer holds; each next one holds twice as many"""
RANKING_INTERVAL = 8
"""arrivals after which NSGA-II ranks anew"""


@dataclass(frozen=True)
class Candidate:
    """What selection knows of an evaluated individual."""

    id: int
    """of the individual"""
    fitness: float
    """mean return"""
    layer: int
    """age: generations since its oldest ancestor was drawn at random"""
    features: tuple[float, ...]
    """of its body, in the kind's order"""
    objectives: tuple[float, ...]
    """all to be maximised; the fitness first"""


class Parents(ABC):
    """Takes candidates in as they are evaluated, and draws parents."""

    @abstractmethod
    def add(self, candidate: Candidate) -> None:
        """Take a candidate in."""

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> int:
        """The id of a parent; at least one candidate has been added."""


class Tournament(Parents):
    """The fittest of four among the youngest `window`; with `layers`, among those of one layer of age and below.

    Layer k holds lineages of at most ``2**k * gap`` generations since their first, random ancestor; the last layer
    holds all.

    Args:
        window: candidates, the youngest by birth, that may breed in a layer.
        layers: number of layers.
        gap: generations that the lowest layer holds.
    """

    def __init__(self, window: int, layers: int = 1, gap: int = LOWEST_LAYER_AGE) -> None:
        self._window = window
        self._oldest = [gap * 2**layer for layer in range(layers - 1)]
        """generations that each layer but the last holds"""
        self._layers: list[list[Candidate]] = [[] for _ in range(layers)]

    def add(self, candidate: Candidate) -> None:
        """Take a candidate into the layer of its age, and into all older ones.

        Those born close together stay in the order in which they arrived.
        """
        for layer in range(self._lowest_layer(candidate), len(self._layers)):
            members = self._layers[layer]
            members.append(candidate)
            # Sorted and cut once in a window: to do so for every arrival would cost as much as a birth.
            if len(members) > 2 * self._window:
                members.sort(key=_birth)
                self._layers[layer] = members[-self._window :]

    def draw(self, rng: np.random.Generator) -> int:
        """The winner of a tournament in a layer that is drawn uniformly."""
        filled = [members for members in self._layers if members]
        members = filled[rng.integers(len(filled))]
        youngest = members[-self._window :]
        places = rng.integers(len(youngest), size=CONTESTANTS)
        contestants = [youngest[place] for place in places]
        return max(contestants, key=lambda contestant: contestant.fitness).id

    def _lowest_layer(self, candidate: Candidate) -> int:
        """The first layer that is old enough for a candidate."""
        for layer, oldest in enumerate(self._oldest):
            if candidate.layer <= oldest:
                return layer
        return len(self._layers) - 1


def _birth(candidate: Candidate) -> int:
    """Ids count births."""
    return candidate.id


class MapElites(Parents):
    """A uniformly drawn elite of a grid over the body's features.

    Args:
        bounds: lowest and highest value of each feature.
        seed: of the archive.

    Raises:
        LanceletError: there are no features.
    """

    def __init__(self, bounds: Sequence[tuple[float, float]], seed: int) -> None:
        with extras():
            from ribs.archives import GridArchive

        if not bounds:
            raise LanceletError(
                "selection = 'map-elites': this kind of genome has no features to make niches of"
            )
        self._archive = GridArchive(
            solution_dim=1,
            dims=[CELLS] * len(bounds),
            ranges=list(bounds),
            seed=seed,
        )

    def add(self, candidate: Candidate) -> None:
        """Let a candidate take its niche where it is fitter than the elite there."""
        solution = [candidate.id]
        self._archive.add_single(solution, candidate.fitness, np.array(candidate.features))

    def draw(self, rng: np.random.Generator) -> int:
        """An elite, each with equal probability."""
        # Sorted: the archive's own order depends on when niches were filled.
        elites = np.sort(self._archive.data("solution")[:, 0])
        return int(elites[rng.integers(len(elites))])


class Pareto(Parents):
    """NSGA-II's tournament of two in the youngest `window`: by rank of domination, then by crowding.

    Args:
        window: candidates, those that arrived last, that may breed.
        every: arrivals after which ranks are computed anew.
    """

    def __init__(self, window: int, every: int = RANKING_INTERVAL) -> None:
        self._window = window
        self._every = every
        self._arrivals = 0
        """since the last ranking"""
        self._candidates: list[Candidate] = []
        self._ranked: list[Candidate] = []
        """the candidates of the last ranking"""
        self._utility = np.zeros(0)
        """of each of the ranked: higher is better"""

    def add(self, candidate: Candidate) -> None:
        """Take a candidate in, and the oldest out where there are more than the window."""
        self._candidates.append(candidate)
        self._candidates = self._candidates[-self._window :]
        self._arrivals += 1

    def draw(self, rng: np.random.Generator) -> int:
        """The winner of a tournament; ranks are brought up to date every few arrivals."""
        if not self._ranked or self._arrivals >= self._every:
            self._rank()
        pair = rng.integers(len(self._ranked), size=PARETO_CONTESTANTS)
        winner = max(pair, key=lambda place: self._utility[place])
        return self._ranked[winner].id

    def _rank(self) -> None:
        """Compute everybody's rank of domination and crowding, as one number."""
        from evotorch.operators.functional import pareto_utility

        objectives = [candidate.objectives for candidate in self._candidates]
        scores = torch.tensor(objectives, dtype=torch.float64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            utility = pareto_utility(scores, objective_sense=["max"] * scores.shape[1])
        self._utility = utility.numpy()
        self._ranked = list(self._candidates)
        self._arrivals = 0


def parents(
    selection: str,
    seed: int,
    window: int,
    layers: int,
    bounds: Mapping[str, tuple[float, float]],
) -> Parents:
    """The selection of a name.

    Args:
        selection: ``tournament``, ``map-elites`` or ``nsga2``.
        seed: of the archive of niches.
        window: candidates, the youngest, that may breed.
        layers: of age, in which tournaments are held.
        bounds: lowest and highest value of each feature of a body, by name.

    Raises:
        LanceletError: an unknown name, or niches without features.
    """
    makers: dict[str, Callable[[], Parents]] = {
        "tournament": lambda: Tournament(window, layers),
        "map-elites": lambda: MapElites(list(bounds.values()), seed),
        "nsga2": lambda: Pareto(window),
    }
    if selection not in makers:
        raise unknown("selection", selection, makers)
    return makers[selection]()

"""Who breeds: ageing tournaments, MAP-Elites niches or Pareto ranks over the individuals evaluated so far.

Sources: ageing tournament of 4 in a window of 576 by birth (Gupta et al. 2021, DERL); age layers (Hornby 2006, ALPS);
MAP-Elites (Mouret, Clune 2015) by pyribs; NSGA-II (Deb et al. 2002), its ranks and crowding by EvoTorch.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...errors import LanceletError, unknown
from ...optional import extras

CONTESTANTS = 4
CELLS = 10
"""of the MAP-Elites grid, along every feature"""


@dataclass(frozen=True)
class Candidate:
    """What selection knows of an evaluated individual."""

    id: int
    fitness: float
    layer: int
    features: tuple[float, ...]
    """of its body, in the kind's order"""
    objectives: tuple[float, ...]
    """all to be maximised; the fitness first"""


class Parents(ABC):
    """Takes candidates in as they are evaluated, and draws parents."""

    @abstractmethod
    def add(self, one: Candidate) -> None:
        """Take an individual in."""

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> int:
        """The id of a parent; at least one has been added."""


class Tournament(Parents):
    """The fittest of four among the youngest `window`; with `layers`, among those of one layer of age and below.

    Layer k holds lineages of at most ``2**k * gap`` generations since their first, random ancestor; the last one all.
    """

    def __init__(self, window: int, layers: int = 1, gap: int = 5) -> None:
        self._window, self._limits = window, [gap * 2**k for k in range(layers - 1)]
        self._kept: list[list[Candidate]] = [[] for _ in range(layers)]

    def add(self, one: Candidate) -> None:
        """See `Parents`; arrival, not birth, orders those born close together."""
        for layer in range(self._home(one), len(self._kept)):
            self._kept[layer].append(one)
            if len(self._kept[layer]) > 2 * self._window:
                self._kept[layer] = sorted(self._kept[layer], key=_birth)[-self._window :]

    def draw(self, rng: np.random.Generator) -> int:
        """See `Parents`."""
        filled = [kept for kept in self._kept if kept]
        kept = filled[rng.integers(len(filled))]
        young = kept[-self._window :]
        drawn = [young[k] for k in rng.integers(len(young), size=CONTESTANTS)]
        return max(drawn, key=lambda one: one.fitness).id

    def _home(self, one: Candidate) -> int:
        return next(
            (k for k, limit in enumerate(self._limits) if one.layer <= limit), len(self._kept) - 1
        )


def _birth(one: Candidate) -> int:
    return one.id


class MapElites(Parents):
    """A uniformly drawn elite of a grid over the body's features."""

    def __init__(self, bounds: Sequence[tuple[float, float]], seed: int) -> None:
        with extras():
            from ribs.archives import GridArchive

        if not bounds:
            raise LanceletError(
                "selection = 'map-elites': this kind of genome has no features to make niches of"
            )
        self._archive = GridArchive(
            solution_dim=1, dims=[CELLS] * len(bounds), ranges=list(bounds), seed=seed
        )

    def add(self, one: Candidate) -> None:
        """See `Parents`."""
        self._archive.add_single([one.id], one.fitness, np.array(one.features))

    def draw(self, rng: np.random.Generator) -> int:
        """See `Parents`."""
        elites = self._archive.data("solution")[:, 0]
        return int(np.sort(elites)[rng.integers(len(elites))])


class Pareto(Parents):
    """NSGA-II's tournament of two in the youngest `window`: by rank of domination, then by crowding."""

    def __init__(self, window: int, every: int = 8) -> None:
        self._window, self._every, self._stale = window, every, 0
        self._kept: list[Candidate] = []
        self._utility = np.zeros(0)

    def add(self, one: Candidate) -> None:
        """See `Parents`."""
        self._kept = [*self._kept, one][-self._window :]
        self._stale += 1

    def draw(self, rng: np.random.Generator) -> int:
        """See `Parents`; ranks are brought up to date every few arrivals."""
        if len(self._utility) == 0 or self._stale >= self._every:
            from evotorch.operators.functional import pareto_utility

            scores = torch.tensor([one.objectives for one in self._kept], dtype=torch.float64)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                utility = pareto_utility(scores, objective_sense=["max"] * scores.shape[1])
            self._utility, self._ranked, self._stale = utility.numpy(), list(self._kept), 0
        pair = rng.integers(len(self._ranked), size=2)
        return self._ranked[max(pair, key=lambda k: self._utility[k])].id


def parents(
    selection: str, seed: int, window: int, layers: int, bounds: Mapping[str, tuple[float, float]]
) -> Parents:
    """The selection called `selection`: tournament, map-elites, nsga2."""
    made: dict[str, Any] = {
        "tournament": lambda: Tournament(window, layers),
        "map-elites": lambda: MapElites(list(bounds.values()), seed),
        "nsga2": lambda: Pareto(window),
    }
    if selection not in made:
        raise unknown("selection", selection, made)
    return made[selection]()

"""Births: individual b is drawn from (seed, b) and from those that had been evaluated when it was born."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...morphology.genome import Genome, Kind
from .champions import grown, remember
from .individuals import Individual
from .options import Coevolve
from .parents import Parents


class Breeder:
    """Makes individuals: random ones at first, then children of those that selection draws.

    Args:
        options: of the run; the population, the layers, the crossover and the seed are read.
        kind: of the genomes.
        parents: draws who breeds.
    """

    def __init__(self, options: Coevolve, kind: Kind, parents: Parents) -> None:
        self._options = options
        self._kind = kind
        self._parents = parents

    def birth(
        self,
        number: int,
        individuals: Mapping[int, Individual],
        may_breed: bool,
    ) -> Individual:
        """Individual `number`.

        Args:
            number: counts births from 0.
            individuals: everybody who was born before, by number.
            may_breed: whether somebody has been evaluated whom the selection can draw.
        """
        # The order of the draws is part of a run's identity: each moves the generator on.
        rng = np.random.default_rng([self._options.seed, number])
        if self._is_random(number, rng) or not may_breed:
            genome = self._kind.random(rng)
            return self._newborn(number, genome, family=[], operator="random")

        mother = individuals[self._parents.draw(rng)]
        genome = grown(mother)
        family = [mother]
        crossing = ""
        if rng.random() < self._options.crossover:
            father = individuals[self._parents.draw(rng)]
            if father.id != mother.id:
                genome = self._kind.cross(genome, grown(father), rng)
                family = [mother, father]
                crossing = "cross, "
        child, operator = self._kind.mutate(genome, rng)
        return self._newborn(number, child, family=family, operator=crossing + operator)

    def _is_random(self, number: int, rng: np.random.Generator) -> bool:
        """Whether it descends from nobody: the first ones, and newcomers that keep the lowest layer young."""
        has_layers = self._options.layers > 1
        is_newcomer = has_layers and rng.random() < 1 / self._options.population
        return is_newcomer or number < self._options.population

    def _newborn(
        self,
        number: int,
        genome: Genome,
        family: list[Individual],
        operator: str,
    ) -> Individual:
        """The individual of a genome; its layer is one above that of its older parent."""
        layer = 0
        if family:
            layer = 1 + max(parent.layer for parent in family)
        individual = Individual(
            id=number,
            parents=[parent.id for parent in family],
            operator=operator,
            genome=genome.to_json(),
            layer=layer,
        )
        # Its text need not be parsed again when it is evaluated, and when it breeds.
        remember(individual, genome)
        return individual

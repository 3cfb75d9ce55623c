"""What has been evaluated so far: counts, the best individual, who may breed, and how much bodies differ."""

from __future__ import annotations

from collections import deque

import numpy as np

from ...errors import LanceletError
from ...morphology.genome import Kind
from .champions import genome_of
from .individuals import Individual
from .parents import Candidate, Parents

BODIES_COMPARED = 64
"""latest individuals whose bodies the diversity is of"""
MOST_QUARANTINED = 100
"""quarantined individuals more than evaluated ones, and in all, at which a run ends"""


class Archive:
    """Individuals that are done: evaluated (invalid ones are too), or quarantined.

    Args:
        kind: of the genomes.
        parents: takes in those that may breed.
    """

    def __init__(self, kind: Kind, parents: Parents) -> None:
        self.kind = kind
        self.parents = parents
        self.evaluated = 0
        self.quarantined = 0
        self.best: Individual | None = None
        self._features: deque[tuple[float, ...]] = deque(maxlen=BODIES_COMPARED)
        self._last_death: str | None = None
        """how the process of the last quarantined individual ended"""

    @property
    def best_fitness(self) -> float | None:
        """Of the best individual; None: there is none yet."""
        if self.best is None:
            return None
        return self.best.fitness

    def add(self, individual: Individual) -> None:
        """Take in an individual that is done."""
        if individual.state == "quarantined":
            self.quarantined += 1
            self._last_death = individual.reason
            return
        self.evaluated += 1
        if individual.state != "evaluated" or individual.fitness is None:
            return
        features = self.kind.features(genome_of(individual))
        values = tuple(features.values())
        self._features.append(values)
        # Where a kind has no length, the sum of its features stands for the size of a body.
        size = features.get("length", float(sum(values)))
        candidate = Candidate(
            id=individual.id,
            fitness=individual.fitness,
            layer=individual.layer,
            features=values,
            objectives=(individual.fitness, -size),
        )
        self.parents.add(candidate)
        best_fitness = self.best_fitness
        if best_fitness is None or individual.fitness > best_fitness:
            self.best = individual

    def check_quarantine(self) -> None:
        """End the run where hardly anything survives its evaluation.

        Raises:
            LanceletError: the number of those quarantined, and how the last one's process ended.
        """
        if self.quarantined >= max(MOST_QUARANTINED, self.evaluated + MOST_QUARANTINED):
            raise LanceletError(
                f"{self.quarantined} individuals killed whoever evaluated them; "
                f"the last: {self._last_death}"
            )

    def diversity(self) -> float:
        """Standard deviation of the latest bodies' features, as a part of their ranges, on average."""
        if len(self._features) < 2:
            return 0.0
        features = np.array(self._features)
        bounds = np.array(list(self.kind.niches.values()))
        ranges = bounds[:, 1] - bounds[:, 0]
        return float((features.std(0) / ranges).mean())

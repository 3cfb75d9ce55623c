"""Imitation by evolution: CMA-ES over the genes of a spiking network (arXiv 2309.12937; docs/systems/blimp.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from ...controllers import Controller
from ...controllers.spiking.kernel import costs
from ...controllers.spiking.kernel import run as open_loop
from ...controllers.spiking.snn import SNN
from ..loop import Figures
from ..runs.folder import RunFolder
from ..trainer import unconsidered
from .base import Imitation, ImitationTraining, Recordings
from .shortlist import Shortlist

COVARIANCE = Literal["auto", "full", "diagonal"]
LARGEST_FULL_COVARIANCE = 500
"""largest number of genes for which ``covariance="auto"`` means a full one"""
LEAST_SECONDS = 1e-9
"""s; a rate is counted over at least this time, so that nothing is divided by 0"""


@dataclass(kw_only=True)
class Imitate(Imitation):
    """CMA-ES (Hansen 2016) by EvoTorch, one training flight a generation, the same for all candidates.

    Genes are in units of their range and begin where the controller's own do. Bounds: a gene beyond [0, 1] is reflected
    at them, coordinate by coordinate, wherever it is used; the search distribution itself is free.
    """

    may_change: ClassVar[tuple[str, ...]] = (*Imitation.may_change, "generations")

    generations: int = 3000
    """number of generations"""
    population: int = 50
    """candidates a generation"""
    stdev: float = 0.1
    """standard deviation of the first generation's genes, in units of their range"""
    covariance: COVARIANCE = "auto"
    """covariance of the search distribution; auto: full up to 500 genes"""

    def check(self) -> None:
        """Counts must be positive."""
        super().check()
        self.at_least(0, "generations")
        self.at_least(2, "population")
        self.above_zero("stdev")

    def cautions(self, controller: Controller) -> list[str]:
        """Say which generations no validation looks at."""
        return unconsidered("generations", self.generations, self.validate_every)

    def diagonal(self, circuit: SNN) -> bool:
        """Whether the covariance is diagonal, so that every gene is searched by itself."""
        if self.covariance == "auto":
            return circuit.parameter_count > LARGEST_FULL_COVARIANCE
        return self.covariance == "diagonal"

    def notes(self, circuit: SNN) -> dict[str, Any]:
        """Say how bounds and covariance are handled."""
        form = "diagonal" if self.diagonal(circuit) else "full"
        return {"bounds": "reflected, per coordinate", "covariance": form}

    def training(
        self, run: RunFolder, circuit: SNN, recordings: Recordings, shortlist: Shortlist
    ) -> ImitationTraining:
        """Make the evolution of `circuit`."""
        return _Evolution(
            options=self,
            run=run,
            circuit=circuit,
            recordings=recordings,
            shortlist=shortlist,
        )


class _Evolution(ImitationTraining):
    """One evolution; an iteration is a generation, and a checkpoint is saved at every choice and at the end."""

    verb = "imitating"
    unit = "gen"

    def __init__(
        self,
        options: Imitate,
        run: RunFolder,
        circuit: SNN,
        recordings: Recordings,
        shortlist: Shortlist,
    ) -> None:
        from ..evolution.cmaes import CMAES
        from ..evolution.evotorch_compat import Evaluation

        super().__init__(
            options=options,
            run=run,
            circuit=circuit,
            recordings=recordings,
            shortlist=shortlist,
        )
        self.total = options.generations
        self._seed = options.seed
        self._generation = 0
        start = parameters_to_vector(circuit.parameters()).detach()
        self._searcher = CMAES(
            Evaluation(start.numel(), options.seed, self._fitness),
            stdev_init=options.stdev,  # pyright: ignore[reportArgumentType] - a float is no numbers.Real to a type checker
            center_init=start,
            popsize=options.population,
            separable=options.diagonal(circuit),
        )

    @property
    def done(self) -> int:
        """Generations so far."""
        return self._generation

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue from `state`."""
        from ..evolution.cmaes import STATE
        from ..evolution.evotorch_compat import restore_searcher

        self._generation = int(saved["generation"])
        self._shortlist.restore(saved["shortlist"])
        restore_searcher(self._searcher, saved["searcher"], STATE)

    def state(self) -> dict[str, Any]:
        """The shortlist and the search algorithm."""
        from ..evolution.cmaes import STATE
        from ..evolution.evotorch_compat import searcher_state

        return {
            "generation": self._generation,
            "shortlist": self._shortlist.state(),
            "searcher": searcher_state(self._searcher, STATE),
        }

    def advance(self) -> Figures:
        """Search for one generation; it has a line in the log only where it is validated."""
        self._searcher.step()
        # Only after the step, which asks for fitness: the flight is drawn by the generation's number.
        self._generation += 1
        return {}

    def validation_due(self, before: int) -> bool:
        """Every `validate_every` generations."""
        return self._is_choice(before)

    def validate(self) -> Figures:
        """Offer the centre and the generation's best candidate to the shortlist."""
        generation = self._searcher.population
        fitness = generation.evals[:, 0]
        fittest = torch.as_tensor(generation.values)[fitness.argmax()]
        centre = torch.as_tensor(self._searcher.status["center"])
        candidates = reflect(torch.stack([centre, fittest]).float())
        figures = self._offer(candidates)
        return {
            **figures,
            "best": self._shortlist.best.loss,
            "mean": -fitness.mean().item(),
            "sigma": self._searcher.status["stepsize"],
        }

    def checkpoint_due(self, before: int) -> bool:
        """At every choice, and at the end."""
        return self._is_choice(before) or self.done >= self.total

    def costs(self, seconds: float) -> Figures:
        """Generations a second, and seconds so far."""
        return {"rate": self.done / max(seconds, LEAST_SECONDS), "seconds": seconds}

    def _fitness(self, genes: Tensor) -> Tensor:
        """Minus the loss of rows of genes on this generation's flight, (rows,)."""
        flights = self._recordings.training
        # Drawn by the generation's number and not from a stream, so that a resumed run draws the same.
        word = np.random.SeedSequence([self._seed, self._generation]).generate_state(1)[0]
        flight = int(word % len(flights.errors))
        outputs, _ = open_loop(self._circuit, reflect(genes), flights.errors[flight])
        return -costs(outputs, flights.targets[flight])["loss"].float()


def reflect(genes: Tensor) -> Tensor:
    """Genes reflected into [0, 1] at both ends, as often as it takes: 1.25 becomes 0.75 and -0.25 becomes 0.25."""
    return 1 - (1 - genes.remainder(2)).abs()

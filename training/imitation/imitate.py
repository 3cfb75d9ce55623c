"""Imitation by evolution: CMA-ES over a spiking network's genes (arXiv 2309.12937; spec blimp_snn 5)."""

from __future__ import annotations

import time
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
from ..evolution.cmaes import CMAES
from ..evolution.strategies import Evaluation, restore_searcher, searcher_state
from ..runs import interrupt
from ..runs.folder import RunFolder
from ..runs.progress import progress
from ..trainer import unconsidered
from .base import Imitation, Shortlist
from .flights import Flights

COVARIANCE = Literal["auto", "full", "diagonal"]
SEPARABLE = 500
"""genes above which the covariance is diagonal where nobody says"""
STATE = ("m", "sigma", "C", "A", "p_sigma", "p_c")


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
    """of the first generation's genes, in units of their range"""
    covariance: COVARIANCE = "auto"
    """of the search distribution; auto: full up to 500 genes"""

    def check(self) -> None:
        """Counts must be positive."""
        super().check()
        self.at_least(0, "generations")
        self.at_least(2, "population")
        self.above_zero("stdev")

    def cautions(self, controller: Controller) -> list[str]:
        """Which generations no validation looks at."""
        return unconsidered("generations", self.generations, self.validate_every)

    def diagonal(self, circuit: SNN) -> bool:
        """Whether genes are searched each by itself."""
        return self.covariance == "diagonal" or (
            self.covariance == "auto" and circuit.parameter_count > SEPARABLE
        )

    def notes(self, circuit: SNN) -> dict[str, Any]:
        """How bounds and covariance are handled."""
        form = "diagonal" if self.diagonal(circuit) else "full"
        return {"bounds": "reflected, per coordinate", "covariance": form}

    def search(
        self, run: RunFolder, circuit: SNN, train: Flights, held: Flights, best: Shortlist
    ) -> None:
        """Generation by generation; a checkpoint at every choice."""
        start = parameters_to_vector(circuit.parameters()).detach()
        generation = 0

        def score(genomes: Tensor) -> Tensor:
            which = int(
                np.random.SeedSequence([self.seed, generation]).generate_state(1)[0]
                % len(train.errors)
            )
            outputs, _ = open_loop(circuit, reflect(genomes), train.errors[which])
            return -costs(outputs, train.targets[which])["loss"].float()

        problem = Evaluation(start.numel(), self.seed, score)
        searcher = CMAES(
            problem,
            stdev_init=self.stdev,  # pyright: ignore[reportArgumentType] - a float is no numbers.Real to a type checker
            center_init=start,
            popsize=self.population,
            separable=self.diagonal(circuit),
        )
        saved, seconds = run.load(), 0.0
        if saved is None:
            best.offer(start, self.losses(circuit, start[None], held)["loss"].item(), 0)
            self.keep(run, circuit, best)
        else:
            with run.restoring():
                generation = int(saved["generation"])
                seconds = float(saved["seconds"])
                best.restore(saved["shortlist"])
                restore_searcher(searcher, saved["searcher"], STATE)
        run.begin_log(generation)
        begun = time.monotonic() - seconds
        with progress("imitating", self.generations, "gen", generation, self.quiet) as advance:
            while generation < self.generations:
                searcher.step()
                generation += 1
                interrupt.check()
                if generation % self.validate_every and generation < self.generations:
                    advance()
                    continue
                if generation % self.validate_every == 0:
                    fitness = searcher.population.evals[:, 0]
                    top = torch.as_tensor(searcher.population.values)[fitness.argmax()]
                    candidates = reflect(
                        torch.stack([torch.as_tensor(searcher.status["center"]), top]).float()
                    )
                    found = self.losses(circuit, candidates, held)
                    for genes, loss in zip(candidates, found["loss"].tolist(), strict=True):
                        best.offer(genes, loss, generation)
                    self.keep(run, circuit, best)
                    figures = {
                        name: values[found["loss"].argmin()].item()
                        for name, values in found.items()
                    }
                    figures |= {
                        "best": best.losses[0],
                        "mean": -fitness.mean().item(),
                        "sigma": searcher._get_sigma(),
                    }
                    seconds = time.monotonic() - begun
                    run.log(
                        generation, **figures, rate=generation / max(seconds, 1e-9), seconds=seconds
                    )
                    advance(**{"validation": best.losses[0], "correlation": figures["correlation"]})
                else:
                    advance()
                run.save({
                    "generation": generation,
                    "seconds": time.monotonic() - begun,
                    "shortlist": best.state(),
                    "searcher": searcher_state(searcher, STATE),
                })  # fmt: skip


def reflect(genes: Tensor) -> Tensor:
    """Genes folded into [0, 1] at both ends."""
    return 1 - (1 - genes.remainder(2)).abs()

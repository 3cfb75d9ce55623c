"""The NCAP code's evolution strategy: mirrored sampling, centred ranks, Adam (Salimans et al. 2017; spec ncap 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from evotorch import Problem, SolutionBatch
from evotorch.algorithms.searchalgorithm import SearchAlgorithm, SinglePopulationAlgorithmMixin
from torch import Tensor

from .strategies import Evolve


class Searcher(SearchAlgorithm, SinglePopulationAlgorithmMixin):
    """One step: P/2 mirrored pairs around the centre, a clamped rank gradient, one Adam update with L2 decay."""

    def __init__(
        self, problem: Problem, start: Tensor, popsize: int, sigma: float, rate: float, decay: float
    ) -> None:
        SearchAlgorithm.__init__(self, problem, center=lambda: self.center)
        self.center, self.m, self.v = (
            start.clone(),
            torch.zeros_like(start),
            torch.zeros_like(start),
        )
        self._sigma, self._rate, self._decay = sigma, rate, decay
        self._population = SolutionBatch(problem, popsize=popsize, empty=True)
        SinglePopulationAlgorithmMixin.__init__(self)

    @property
    def population(self) -> SolutionBatch:
        """The last generation."""
        return self._population

    def gradient(self, evals: Tensor, noise: Tensor) -> Tensor:
        """Where to go, (parameters,), from what the candidates scored, (P, figures), and their noise."""
        return self.ascent(evals[:, 0], noise)

    def ascent(self, fitness: Tensor, noise: Tensor) -> Tensor:
        """The clamped score-function gradient of one figure (P,), by centred ranks."""
        ranks = torch.empty_like(fitness)
        ranks[fitness.argsort(stable=True)] = torch.arange(len(fitness), dtype=fitness.dtype)
        shaped = ranks / (len(fitness) - 1) - 0.5
        return (shaped @ noise / (len(fitness) * self._sigma)).clamp(-1, 1)

    def _step(self) -> None:
        pairs = len(self._population) // 2
        noise = self._sigma * torch.randn(pairs, len(self.center), generator=self.problem.generator)
        noise = torch.cat([noise, -noise])
        self._population.set_values(self.center + noise)
        self.problem.evaluate(self._population)
        evals = self._population.evals.as_subclass(Tensor)  # EvoTorch hands out read-only tensors
        gradient = self.gradient(evals, noise) - self._decay * self.center
        step = self._steps_count + 1
        self.m = 0.9 * self.m + 0.1 * gradient
        self.v = 0.999 * self.v + 0.001 * gradient**2
        unbiased = self.m / (1 - 0.9**step), self.v / (1 - 0.999**step)
        self.center = self.center + self._rate * unbiased[0] / (unbiased[1].sqrt() + 1e-8)


@dataclass(kw_only=True)
class OpenAIES(Evolve):
    """The NCAP code's strategy: sigma 0.02, Adam 0.01, L2 0.005, mirrored, ranks centred (spec ncap 5)."""

    mirrored: ClassVar[bool] = True

    sigma: float = 0.02
    """standard deviation of the noise"""
    rate: float = 0.01
    """Adam's learning rate"""
    decay: float = 0.005
    """L2 coefficient"""

    def check(self) -> None:
        """Standard deviation and rate must be above zero."""
        super().check()
        self.above_zero("sigma", "rate")
        self.at_least(0, "decay")

    def searcher(self, problem: Problem, start: Tensor) -> Any:
        """See `Searcher`."""
        return Searcher(problem, start, self.population, self.sigma, self.rate, self.decay)

    def state_names(self) -> tuple[str, ...]:
        """See `Evolve`."""
        return ("center", "m", "v")

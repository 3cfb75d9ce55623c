"""The search of the NCAP code's evolution strategy, as an EvoTorch algorithm. Importing this imports EvoTorch.

Salimans et al. 2017 (arXiv 1703.03864), with mirrored sampling and centred ranks; docs/systems/ncap.md, "Algorithms".
"""

from __future__ import annotations

import torch
from evotorch import Problem, SolutionBatch
from evotorch.algorithms.searchalgorithm import SearchAlgorithm, SinglePopulationAlgorithmMixin
from torch import Tensor

# Shares of the old value and of the new one in Adam's running means. Both are written down: 1 - 0.9 is not the float 0.1.
FIRST_MOMENT_KEPT = 0.9
"""share of the old mean of the gradient that a step keeps"""
FIRST_MOMENT_NEW = 0.1
"""share of the new gradient in its mean"""
SECOND_MOMENT_KEPT = 0.999
"""share of the old mean of the squared gradient that a step keeps"""
SECOND_MOMENT_NEW = 0.001
"""share of the new squared gradient in its mean"""
ADAM_EPSILON = 1e-8
"""added to Adam's divisor, which is 0 where no gradient ever was"""


class Searcher(SearchAlgorithm, SinglePopulationAlgorithmMixin):
    """One step: mirrored pairs around the centre, a clamped gradient by ranks, one update by Adam with L2 decay.

    `center`, `m` and `v` (the moments of Adam), all (parameters,), decide the next step.

    Args:
        problem: to be maximised.
        start: first centre, (parameters,).
        popsize: number of candidates, even.
        sigma: standard deviation of the noise.
        rate: Adam's learning rate.
        decay: L2 coefficient.
    """

    def __init__(
        self, problem: Problem, start: Tensor, popsize: int, sigma: float, rate: float, decay: float
    ) -> None:
        SearchAlgorithm.__init__(self, problem, center=lambda: self.center)
        self.center = start.clone()
        self.m = torch.zeros_like(start)
        self.v = torch.zeros_like(start)
        self._sigma = sigma
        self._rate = rate
        self._decay = decay
        self._population = SolutionBatch(problem, popsize=popsize, empty=True)
        SinglePopulationAlgorithmMixin.__init__(self)

    @property
    def population(self) -> SolutionBatch:
        """The last generation."""
        return self._population

    def gradient(self, evals: Tensor, noise: Tensor) -> Tensor:
        """The direction of the next step, (parameters,); subclasses may climb by several figures.

        Args:
            evals: fitness, and further figures, of the candidates, (candidates, figures).
            noise: what was added to the centre for each candidate, (candidates, parameters).
        """
        return self.ascent(evals[:, 0], noise)

    def ascent(self, fitness: Tensor, noise: Tensor) -> Tensor:
        """The score-function gradient of one figure by centred ranks, each component clamped to [-1, 1].

        Args:
            fitness: the figure, (candidates,).
            noise: what was added to the centre for each candidate, (candidates, parameters).
        """
        ranks = torch.empty_like(fitness)
        ranks[fitness.argsort(stable=True)] = torch.arange(len(fitness), dtype=fitness.dtype)
        centred_ranks = ranks / (len(fitness) - 1) - 0.5
        return (centred_ranks @ noise / (len(fitness) * self._sigma)).clamp(-1, 1)

    def _step(self) -> None:
        """Draw, score and climb, as EvoTorch asks for it."""
        noise = self._mirrored_noise(len(self._population) // 2)
        self._population.set_values(self.center + noise)
        self.problem.evaluate(self._population)
        # EvoTorch hands out read-only tensors, which refuse to be sorted into.
        evals = self._population.evals.as_subclass(Tensor)
        gradient = self.gradient(evals, noise) - self._decay * self.center
        self.center = self.center + self._adam_change(gradient)

    def _mirrored_noise(self, pairs: int) -> Tensor:
        """Noise (2 pairs, parameters), the second half the first with its sign turned."""
        generator = self.problem.generator
        noise = self._sigma * torch.randn(pairs, len(self.center), generator=generator)
        return torch.cat([noise, -noise])

    def _adam_change(self, gradient: Tensor) -> Tensor:
        """How far Adam (Kingma and Ba 2015) climbs along `gradient` (parameters,); its moments take it in."""
        step = self.step_count + 1
        self.m = FIRST_MOMENT_KEPT * self.m + FIRST_MOMENT_NEW * gradient
        self.v = SECOND_MOMENT_KEPT * self.v + SECOND_MOMENT_NEW * gradient**2
        mean = self.m / (1 - FIRST_MOMENT_KEPT**step)
        square = self.v / (1 - SECOND_MOMENT_KEPT**step)
        return self._rate * mean / (square.sqrt() + ADAM_EPSILON)

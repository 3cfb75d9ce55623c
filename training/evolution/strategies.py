"""Evolution of a controller's weights with EvoTorch: one batch of simulations a generation, resumable to the bit."""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from evotorch import Problem, SolutionBatch
from evotorch.algorithms import PGPE as EvoPGPE
from evotorch.algorithms import SNES as EvoSNES
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from ... import controllers
from ...controllers import Controller
from ...errors import LanceletError
from ..distributed.cluster import check_address
from ..rollout import FAILED
from ..runs.folder import RunFolder
from ..runs.progress import progress
from ..trainer import TRAINING, VALIDATION, Trainer, start_seeds, unconsidered
from .cmaes import CMAES as DenseCMAES
from .workers import Arena, Scorer, scorer

logging.getLogger("evotorch").setLevel(logging.WARNING)

LARGEST_FULL_COVARIANCE = 1000
"""weights above which CMA-ES keeps variances alone: a full covariance of d weights takes d^2 numbers
and d^3 operations at every decomposition (5,000 weights: 100 MB for each of two matrices, and seconds)"""


class Evaluation(Problem):
    """Flat weights -> mean return over start states, as an EvoTorch problem; `extra` figures come beside it."""

    def __init__(
        self, length: int, seed: int, score: Callable[[Tensor], Tensor], extra: int = 0
    ) -> None:
        settings: dict[str, Any] = {
            "solution_length": length,
            "initial_bounds": (-1, 1),
            "dtype": torch.float32,
        }
        super().__init__("max", **settings, seed=seed, eval_data_length=extra)
        self._score = score

    def _evaluate_batch(self, batch: SolutionBatch) -> None:
        batch.set_evals(self._score(torch.as_tensor(batch.values)))


@dataclass(kw_only=True)
class Evolve(Trainer):
    """Evolution strategies over the flat weights; subclasses choose the strategy.

    All candidates of a generation meet the same start states, new ones each generation. Every `validate_every`
    generations the strategy's centre and the generation's best are scored on start states kept for that, and the
    best so far is the run's controller.

    With `workers` or an `address` the candidates are scored by Ray tasks, a chunk each, handed out as workers get
    free; one that dies loses nothing, its chunk is computed again. No option of these three decides any bit of the
    result, so that a resumed run may change them (on a cluster: given equal machines, since other processors may
    round otherwise).
    """

    may_change: ClassVar[tuple[str, ...]] = (
        *Trainer.may_change,
        "generations",
        "workers",
        "address",
        "chunk",
    )
    mirrored: ClassVar[bool] = False
    """candidates come in pairs around the centre"""
    arena: ClassVar[type[Arena]] = Arena
    """what scores the candidates"""
    extra: ClassVar[int] = 0
    """figures that it tells beside the score, for the search algorithm"""

    generations: int = 40
    """number of generations"""
    population: int = 32
    """candidates a generation"""
    episodes: int = 1
    """start states that each candidate is scored on"""
    validation: int = 16
    """start states that choose the run's controller"""
    validate_every: int = 4
    """generations between two choices; those after the last choice are not considered"""
    workers: int = 0
    """processes that score the candidates, by Ray; 0: this one on all cores, or with an address the whole cluster.
    Physics runs on threads anyhow: on one machine workers pay where the controller, not the physics, takes the time"""
    address: str | None = None
    """host:port of a running Ray cluster; none: this machine"""
    chunk: int = 16
    """simulations that a worker computes at once, rounded to whole candidates: the default makes two pieces of the
    usual 32 candidates, each at half to two thirds of the speed of a large batch (larger populations: raise it);
    without workers, chunks are joined to batches of 1024"""

    @abstractmethod
    def searcher(self, problem: Problem, start: Tensor) -> Any:
        """The EvoTorch search algorithm, its centre at `start`."""

    @abstractmethod
    def state_names(self) -> tuple[str, ...]:
        """Attributes of the search algorithm that decide its next step (tensors and numbers)."""

    def check(self) -> None:
        """Counts must be positive; a strategy compares candidates, so that it needs two of them."""
        super().check()
        self.at_least(2, "population")
        self.at_least(1, "episodes", "validation", "validate_every", "chunk")
        self.at_least(0, "generations", "workers")
        if self.mirrored and self.population % 2:
            raise LanceletError(
                f"population = {self.population}: must be even for mirrored sampling"
            )
        if self.address is not None:
            check_address(self.address)

    def refusal(self, controller: Controller) -> str | None:
        """A plastic controller, whose agents cannot have weights of their own."""
        plastic = None if controller.pure else "is plastic: its agents share one set of weights"
        return super().refusal(controller) or plastic

    def cautions(self, controller: Controller) -> list[str]:
        """Which generations no validation looks at."""
        return unconsidered("generations", self.generations, self.validate_every)

    def learn(
        self, run: RunFolder, controller: Controller, task: str, task_options: dict[str, Any]
    ) -> None:
        """Generation by generation, with a checkpoint after each."""
        with scorer(
            self.arena(controller, task, task_options), self.chunk, self.workers, self.address
        ) as found:
            self._learn(run, controller, _Scores(self, found))

    def _learn(self, run: RunFolder, controller: Controller, scores: _Scores) -> None:
        start = parameters_to_vector(controller.parameters()).detach()
        problem = Evaluation(start.numel(), self.seed, scores.training, self.extra)
        searcher, saved = self.searcher(problem, start), run.load()
        generation, best, best_score, found, seconds = 0, start, -np.inf, 0, 0.0
        if saved is None:
            best_score = scores.validate(start[None])[0].item()
        else:
            with run.restoring():
                generation = int(saved["generation"])
                best = saved["best"].reshape(start.shape)
                best_score = float(saved["best_score"])
                found = saved["found"]
                seconds = float(saved["seconds"])
                scores.steps = int(saved["steps"])
                restore_searcher(searcher, saved["searcher"], self.state_names())
        self._keep(run, controller, best, best_score, found)
        run.begin_log(generation)
        begun = time.monotonic() - seconds
        with progress("evolving", self.generations, "gen", generation, self.quiet) as advance:
            while generation < self.generations:
                scores.generation = generation
                searcher.step()
                generation += 1
                fitness = searcher.population.evals[:, 0]
                figures = _figures(fitness)
                if generation % self.validate_every == 0:
                    top = torch.as_tensor(searcher.population.values)[fitness.argmax()]
                    candidates = torch.stack(
                        [torch.as_tensor(searcher.status["center"]), top]
                    ).float()
                    validated = scores.validate(candidates)
                    figures["validation"] = validated.max().item()
                    if validated.max() > best_score:
                        best, best_score = (
                            candidates[validated.argmax()].clone(),
                            validated.max().item(),
                        )
                        found = generation
                        self._keep(run, controller, best, best_score, found)
                seconds = time.monotonic() - begun
                run.log(generation, **figures, steps=scores.steps, seconds=seconds)
                run.save(
                    {
                        "generation": generation,
                        "best": best,
                        "best_score": best_score,
                        "found": found,
                        "seconds": seconds,
                        "steps": scores.steps,
                        "searcher": searcher_state(searcher, self.state_names()),
                    }
                )
                advance(**figures)

    def _keep(
        self, run: RunFolder, controller: Controller, best: Tensor, score: float, generation: int
    ) -> None:
        vector_to_parameters(best, controller.parameters())
        controllers.save(
            controller, run.path / "best.safetensors", validation=score, generation=generation
        )


def _figures(fitness: Tensor) -> dict[str, float]:
    """Figures of a generation from the score of each of its candidates, (population,)."""
    succeeded = fitness[fitness > FAILED]
    failures = len(fitness) - len(succeeded)
    figures = {}
    if len(succeeded):
        figures["mean"] = succeeded.mean().item()
        figures["best"] = succeeded.max().item()
    if failures:
        figures["failed"] = failures
    return figures


def searcher_state(searcher: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """What decides the next step of an EvoTorch search: its attributes `names`, population, generator, distribution."""
    population = searcher._population
    distribution = getattr(searcher, "_distribution", None)
    optimizer = getattr(searcher, "_optimizer", None)
    return {
        "generator": searcher.problem.generator.get_state(),
        "steps": searcher._steps_count,
        "values": torch.as_tensor(population.values).clone(),
        "evals": torch.as_tensor(population.evals).clone(),
        "own": {name: getattr(searcher, name) for name in names},
        "distribution": {} if distribution is None else dict(distribution.parameters),
        "velocity": None if optimizer is None else optimizer._velocity,
    }


def restore_searcher(searcher: Any, saved: dict[str, Any], names: tuple[str, ...]) -> None:
    """Continue from `searcher_state` with the same `names`, in a search that was built alike."""
    problem = searcher.problem
    problem.generator.set_state(saved["generator"])
    searcher._steps_count = saved["steps"]
    searcher._population = SolutionBatch(problem, popsize=len(saved["values"]), empty=True)
    searcher._population.set_values(saved["values"])
    searcher._population.set_evals(saved["evals"])
    for name in names:
        setattr(searcher, name, saved["own"][name])
    if saved["distribution"]:
        searcher._distribution = searcher._distribution.modified_copy(**saved["distribution"])
    if saved["velocity"] is not None:
        searcher._optimizer._velocity = saved["velocity"]


class _Scores:
    """Mean returns of rows of flat weights, on training or validation start states."""

    def __init__(self, options: Evolve, scorer: Scorer) -> None:
        self._o, self._scorer = options, scorer
        self.generation = 0
        self.steps = 0

    def training(self, genomes: Tensor) -> Tensor:
        seeds = start_seeds(TRAINING, self._o.seed, self.generation, self._o.episodes)
        fitness, steps = self._scorer.score(genomes, seeds)
        self.steps += steps
        return fitness

    def validate(self, genomes: Tensor) -> Tensor:
        found = self._scorer.score(
            genomes, start_seeds(VALIDATION, self._o.seed, 0, self._o.validation)
        )[0]
        return found.reshape(len(genomes), -1)[:, 0]


@dataclass(kw_only=True)
class SNES(Evolve):
    """Separable natural evolution strategy (Schaul et al. 2011), by EvoTorch."""

    stdev: float = 0.5
    """of the first generation's weights around the start"""

    def check(self) -> None:
        """The standard deviation must be above zero."""
        super().check()
        self.above_zero("stdev")

    def searcher(self, problem: Problem, start: Tensor) -> Any:
        """EvoTorch's SNES."""
        return EvoSNES(problem, stdev_init=self.stdev, center_init=start, popsize=self.population)

    def state_names(self) -> tuple[str, ...]:
        """See `Evolve`."""
        return ("_first_iter", "_mean_eval")


@dataclass(kw_only=True)
class PGPE(Evolve):
    """Policy gradients with parameter-based exploration, symmetric, ClipUp (Toklu et al. 2020), by EvoTorch."""

    mirrored: ClassVar[bool] = True

    stdev: float = 0.3
    """of the first generation's weights around the start"""
    center_rate: float = 0.15
    """learning rate of the centre"""
    stdev_rate: float = 0.1
    """learning rate of the standard deviations"""

    def check(self) -> None:
        """Standard deviation and rates must be above zero."""
        super().check()
        self.above_zero("stdev", "center_rate", "stdev_rate")

    def searcher(self, problem: Problem, start: Tensor) -> Any:
        """EvoTorch's PGPE."""
        return EvoPGPE(
            problem,
            popsize=self.population,
            center_learning_rate=self.center_rate,
            stdev_learning_rate=self.stdev_rate,
            stdev_init=self.stdev,
            center_init=start,
        )

    def state_names(self) -> tuple[str, ...]:
        """See `Evolve`."""
        return ("_first_iter", "_mean_eval")


@dataclass(kw_only=True)
class CMAES(Evolve):
    """Covariance matrix adaptation (Hansen 2016), by EvoTorch."""

    stdev: float = 0.5
    """of the first generation's weights around the start"""
    separable: bool = False
    """diagonal covariance; set by itself above 1000 weights, where a full one would fill the memory"""

    def check(self) -> None:
        """The standard deviation must be above zero."""
        super().check()
        self.above_zero("stdev")

    def decided(self, controller: Controller) -> dict[str, Any]:
        """Whether the covariance is diagonal."""
        return {"separable": self._is_separable(controller.parameter_count)}

    def cautions(self, controller: Controller) -> list[str]:
        """That the covariance is diagonal where nobody asked for it."""
        weights = controller.parameter_count
        found = super().cautions(controller)
        if self._is_separable(weights) and not self.separable:
            found.append(
                f"cma-es searches {weights} weights with a diagonal covariance (separable = True), "
                f"since a full one is for up to {LARGEST_FULL_COVARIANCE}"
            )
        return found

    def _is_separable(self, weights: int) -> bool:
        return self.separable or weights > LARGEST_FULL_COVARIANCE

    def searcher(self, problem: Problem, start: Tensor) -> Any:
        """EvoTorch's CMAES."""
        return DenseCMAES(
            problem,
            stdev_init=self.stdev,  # pyright: ignore[reportArgumentType] - a float is no numbers.Real to a type checker
            center_init=start,
            popsize=self.population,
            separable=self._is_separable(start.numel()),
        )

    def state_names(self) -> tuple[str, ...]:
        """See `Evolve`."""
        return ("m", "sigma", "C", "A", "p_sigma", "p_c")

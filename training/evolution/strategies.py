"""Evolution of a controller's weights with EvoTorch: one batch of simulations a generation, resumable to the bit.

Here stand `snes`, `pgpe` and `cma-es`; `openai_es` holds the fourth strategy, and `training/registry.py` names them all.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from ... import controllers
from ...controllers import Controller
from ...errors import LanceletError
from ..distributed.cluster import check_address
from ..loop import Figures, Training, crossed, run_training
from ..rollout import FAILED
from ..runs.folder import RunFolder
from ..trainer import TRAINING, VALIDATION, Trainer, start_seeds, unconsidered

# An arena says how one batch of weights is scored; a scorer cuts a generation into such batches and hands them out.
from .workers import Arena, Scorer, scorer

# EvoTorch is imported where a search begins (evotorch_compat says why): here for the type checker alone.
if TYPE_CHECKING:
    from evotorch import Problem

LARGEST_FULL_COVARIANCE = 1000
"""weights above which CMA-ES keeps variances alone: decomposing a full covariance of d weights takes d^3 operations,
and d^2 numbers of memory (5,000 weights: seconds, and 100 MB for each of two matrices)"""
FITNESS = 0
"""column of a population's evaluations that holds the fitness; further figures follow"""


@dataclass(kw_only=True)
class Evolve(Trainer):
    """Evolution strategies over the flat weights; subclasses choose the strategy.

    All candidates of a generation meet the same start states, new ones each generation. Every `validate_every`
    generations the strategy's centre and the generation's best are scored on start states kept for that, and the
    best so far is the run's controller.

    With `workers` or an `address` the candidates are scored by Ray tasks, a chunk each, handed out as workers get
    free; one that dies loses nothing, its chunk is computed again. None of `workers`, `address` and `chunk` changes a bit
    of the result, so that a resumed run may give other values (on a cluster: given equal machines, since other
    processors may round otherwise).

    `learn` makes an `Evolution` and hands it to `loop.run_training`, which calls `begin` or `restore`, then `advance`,
    `validate` and `state` in turns.
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
    """number of figures that the arena gives beside the fitness, for the search algorithm"""

    generations: int = 40
    """number of generations"""
    population: int = 32
    """candidates a generation"""
    episodes: int = 1
    """start states that each candidate is scored on"""
    validation: int = 16
    """start states that choose the run's controller"""
    validate_every: int = 4
    """generations between two validations; those after the last one cannot become the run's controller"""
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
        """Make the EvoTorch search algorithm of `problem`, its centre at `start` (weights,)."""

    @abstractmethod
    def state_names(self) -> tuple[str, ...]:
        """Name the attributes of the search algorithm that decide its next step (tensors and numbers)."""

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
        """Refuse a plastic controller (`pure = False`): it changes its state in place, so that all agents share its weights."""
        reason = super().refusal(controller)
        if reason is None and not controller.pure:
            reason = "is plastic: its agents share one set of weights"
        return reason

    def cautions(self, controller: Controller) -> list[str]:
        """Say which generations no validation looks at."""
        return unconsidered("generations", self.generations, self.validate_every)

    def learn(
        self, run: RunFolder, controller: Controller, task: str, task_options: dict[str, Any]
    ) -> None:
        """Evolve generation by generation, with a checkpoint after each."""
        arena = self.arena(controller, task, task_options)
        with scorer(arena, self.chunk, self.workers, self.address) as candidate_scorer:
            evolution = Evolution(self, run, controller, candidate_scorer)
            run_training(run, evolution, self.quiet)


class Evolution(Training):
    """The evolution of one controller in its run folder.

    Args:
        options: the algorithm.
        run: where the best controller is kept.
        controller: its present weights are the first centre; it is overwritten with the best candidate.
        scorer: scores rows of weights.
    """

    verb = "evolving"
    unit = "gen"

    def __init__(
        self, options: Evolve, run: RunFolder, controller: Controller, scorer: Scorer
    ) -> None:
        from .evotorch_compat import Evaluation

        start = parameters_to_vector(controller.parameters()).detach()
        self.total = options.generations
        self._options = options
        self._run = run
        self._controller = controller
        self._scorer = scorer
        self._generation = 0
        self._steps = 0
        self._best = start
        self._best_score = -np.inf
        self._best_generation = 0
        problem = Evaluation(len(start), options.seed, self._training_scores, options.extra)
        self._searcher = options.searcher(problem, start)

    @property
    def done(self) -> int:
        """Generations so far."""
        return self._generation

    def begin(self) -> Figures:
        """Score the first centre: it is the run's controller until a candidate is better."""
        self._best_score = self._validation_scores(self._best[None])[0].item()
        self._keep_best()
        return {}

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue from `state`."""
        from .evotorch_compat import restore_searcher

        self._generation = int(saved["generation"])
        self._best = saved["best"].reshape(self._best.shape)
        self._best_score = float(saved["best_score"])
        self._best_generation = saved["found"]
        self._steps = int(saved["steps"])
        restore_searcher(self._searcher, saved["searcher"], self._options.state_names())
        # A kill after best.safetensors was written and before the checkpoint was leaves a best from the future there:
        # ours is written again.
        self._keep_best()

    def state(self) -> dict[str, Any]:
        """The search algorithm, the best weights so far, and the control steps taken."""
        from .evotorch_compat import searcher_state

        return {
            "generation": self._generation,
            "best": self._best,
            "best_score": self._best_score,
            "found": self._best_generation,  # called so in the checkpoints of all runs
            "steps": self._steps,
            "searcher": searcher_state(self._searcher, self._options.state_names()),
        }

    def advance(self) -> Figures:
        """Search for one generation."""
        self._searcher.step()
        # Only now: the search asks for fitness while it steps, and start states are drawn by the generation's number.
        self._generation += 1
        return generation_figures(self._fitness(), self._options.episodes)

    def validation_due(self, before: int) -> bool:
        """Every `validate_every` generations."""
        return crossed(before, self.done, self._options.validate_every)

    def validate(self) -> Figures:
        """Score the centre and the generation's best candidate on the validation start states; keep the better one."""
        population = torch.as_tensor(self._searcher.population.values)
        fittest = population[self._fitness().argmax()]
        centre = torch.as_tensor(self._searcher.status["center"])
        candidates = torch.stack([centre, fittest]).float()
        scores = self._validation_scores(candidates)
        if scores.max() > self._best_score:
            self._best = candidates[scores.argmax()].clone()
            self._best_score = scores.max().item()
            self._best_generation = self._generation
            self._keep_best()
        return {"validation": scores.max().item()}

    def checkpoint_due(self, before: int) -> bool:
        """After every generation: a checkpoint is small beside the simulations of a generation."""
        return True

    def costs(self, seconds: float) -> Figures:
        """Control steps and seconds so far."""
        return {"steps": self._steps, "seconds": seconds}

    def _fitness(self) -> Tensor:
        """Fitness of the candidates of the last generation, (population,)."""
        return self._searcher.population.evals[:, FITNESS]

    def _training_scores(self, weights: Tensor) -> Tensor:
        """Fitness of rows of weights on the start states of the present generation; counts their control steps."""
        options = self._options
        seeds = start_seeds(TRAINING, options.seed, self._generation, options.episodes)
        fitness, steps = self._scorer.score(weights, seeds)
        self._steps += steps
        return fitness

    def _validation_scores(self, weights: Tensor) -> Tensor:
        """Fitness (candidates,) of rows of weights on the validation start states; their steps are not counted."""
        seeds = start_seeds(VALIDATION, self._options.seed, 0, self._options.validation)
        fitness, _ = self._scorer.score(weights, seeds)
        return fitness.reshape(len(weights), -1)[:, FITNESS]

    def _keep_best(self) -> None:
        """Write the best weights so far."""
        vector_to_parameters(self._best, self._controller.parameters())
        controllers.save(
            self._controller,
            self._run.path / "best.safetensors",
            validation=self._best_score,
            generation=self._best_generation,
        )


def generation_figures(fitness: Tensor, episodes: int) -> Figures:
    """Figures of a generation for the log.

    Args:
        fitness: of each candidate, (population,): the mean over its episodes, of which a failed one counts as `FAILED`.
        episodes: number of episodes of each candidate.

    Returns:
        ``mean`` and ``best`` of the candidates of whom no episode failed, where there are any; ``failed``, the number
        of the others, where there are any.
    """
    # One failed episode alone puts the mean near FAILED / episodes, far below any return.
    succeeded = fitness[fitness > FAILED / (2 * episodes)]
    failures = len(fitness) - len(succeeded)
    figures = {}
    if len(succeeded):
        figures["mean"] = succeeded.mean().item()
        figures["best"] = succeeded.max().item()
    if failures:
        figures["failed"] = failures
    return figures


@dataclass(kw_only=True)
class SNES(Evolve):
    """Separable natural evolution strategy (Schaul et al. 2011), by EvoTorch."""

    stdev: float = 0.5
    """standard deviation of the first generation's weights around the start"""

    def check(self) -> None:
        """The standard deviation must be above zero."""
        super().check()
        self.above_zero("stdev")

    def searcher(self, problem: Problem, start: Tensor) -> Any:
        """Make EvoTorch's SNES."""
        from evotorch.algorithms import SNES as EvoSNES

        return EvoSNES(
            problem,
            stdev_init=self.stdev,
            center_init=start,
            popsize=self.population,
        )

    def state_names(self) -> tuple[str, ...]:
        """Name what SNES keeps beside its distribution."""
        return ("_first_iter", "_mean_eval")


@dataclass(kw_only=True)
class PGPE(Evolve):
    """Policy gradients with parameter-based exploration, symmetric, ClipUp (Toklu et al. 2020), by EvoTorch."""

    mirrored: ClassVar[bool] = True

    stdev: float = 0.3
    """standard deviation of the first generation's weights around the start"""
    center_rate: float = 0.15
    """learning rate of the centre"""
    stdev_rate: float = 0.1
    """learning rate of the standard deviations"""

    def check(self) -> None:
        """Standard deviation and rates must be above zero."""
        super().check()
        self.above_zero("stdev", "center_rate", "stdev_rate")

    def searcher(self, problem: Problem, start: Tensor) -> Any:
        """Make EvoTorch's PGPE."""
        from evotorch.algorithms import PGPE as EvoPGPE

        return EvoPGPE(
            problem,
            popsize=self.population,
            center_learning_rate=self.center_rate,
            stdev_learning_rate=self.stdev_rate,
            stdev_init=self.stdev,
            center_init=start,
        )

    def state_names(self) -> tuple[str, ...]:
        """Name what PGPE keeps beside its distribution and the optimiser of its centre."""
        return ("_first_iter", "_mean_eval")


@dataclass(kw_only=True)
class CMAES(Evolve):
    """Covariance matrix adaptation (Hansen 2016), by EvoTorch."""

    stdev: float = 0.5
    """standard deviation of the first generation's weights around the start"""
    separable: bool = False
    """diagonal covariance; set by itself above 1000 weights, where decomposing a full one takes too long"""

    def check(self) -> None:
        """The standard deviation must be above zero."""
        super().check()
        self.above_zero("stdev")

    def decided(self, controller: Controller) -> dict[str, Any]:
        """Say whether the covariance is diagonal."""
        return {"separable": self._is_separable(controller.parameter_count)}

    def cautions(self, controller: Controller) -> list[str]:
        """Say that the covariance is diagonal where nobody asked for it."""
        lines = super().cautions(controller)
        weights = controller.parameter_count
        if self._is_separable(weights) and not self.separable:
            lines.append(
                f"cma-es searches {weights} weights with a diagonal covariance (separable = True), "
                f"since a full one is for up to {LARGEST_FULL_COVARIANCE}"
            )
        return lines

    def _is_separable(self, weights: int) -> bool:
        """Whether the covariance of so many weights is diagonal."""
        return self.separable or weights > LARGEST_FULL_COVARIANCE

    def searcher(self, problem: Problem, start: Tensor) -> Any:
        """Make our faster form of EvoTorch's CMA-ES."""
        from .cmaes import CMAES as DenseCMAES

        return DenseCMAES(
            problem,
            stdev_init=self.stdev,  # pyright: ignore[reportArgumentType] - a float is no numbers.Real to a type checker
            center_init=start,
            popsize=self.population,
            separable=self._is_separable(start.numel()),
        )

    def state_names(self) -> tuple[str, ...]:
        """Name the distribution, the evolution paths, and the decomposed covariance, which is renewed only at times."""
        from .cmaes import STATE

        return STATE

"""Searches over policies, or bodies and policies, of Model K: the methods of Powers et al. 2021 in this house's stack.

The paper (arXiv 2108.08398) and its public code ran BlackBoxOptim.jl and Borg
(docs/systems/goodbody.md, "Searches"). Here EvoTorch's SNES stands for its separable NES, SciPy's
DE/rand/2/bin (generational, one dither a generation) for its steady-state one, and EvoTorch's
NSGA-II for Borg; `LABELS` names them. Random search and the pattern search (compass search; Kolda,
Lewis, Torczon 2003) are loops of a few lines that no library here has.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import differential_evolution

from lancelet.envs.kinematic import NEAR
from lancelet.errors import LanceletError, unknown

LABELS = {
    "random": "random search",
    "pattern": "pattern search (complete polls, for BlackBoxOptim's generating set search)",
    "snes": "SNES (EvoTorch, for BlackBoxOptim's separable NES)",
    "de": "DE/rand/2/bin (SciPy, for BlackBoxOptim's)",
    "nsga2": "NSGA-II (EvoTorch, for Borg)",
}
"""method -> its name in rows, with what it stands for"""
SHORT = {
    "random": "random search",
    "pattern": "pattern search",
    "snes": "EvoTorch SNES",
    "de": "SciPy DE/rand/2/bin",
    "nsga2": "EvoTorch NSGA-II",
}
"""method -> its name above a picture"""
ALL_LIGHTS = 4
"""environments, a light in each: a policy that solves all of them is optimal"""
LEAST_POPULATION = 6
"""individuals: DE/rand/2 combines five others for each one"""

RANDOM_BATCH = 50
"""points that random search evaluates in one call"""
FIRST_STEP = 0.5
"""first step of the pattern search, in half widths of the box"""
FINEST = 1e-4
"""smallest step of the pattern search, in half widths of the box; then it starts anew elsewhere"""
ENDLESS = 10**6
"""generations of DE: far more than any budget pays for"""

Evaluate = Callable[[np.ndarray], np.ndarray]
"""points (n, k) -> distances from the light in the four environments (n, 4), m"""


class _Spent(Exception):
    """The budget is used up."""


@dataclass(frozen=True)
class SearchResult:
    """One search: what it evaluated, in order."""

    points: np.ndarray
    """(evaluations, k)"""
    distances: np.ndarray
    """Least distance from the light in each environment, (evaluations, 4), m"""

    @property
    def evaluations_to_solve(self) -> int:
        """Evaluations until a point first solved all four environments; evaluations + 1 where none did."""
        solves_all = np.asarray((self.distances < NEAR).all(1))
        if not solves_all.any():
            return solves_all.size + 1
        return int(solves_all.argmax()) + 1

    @property
    def best_index(self) -> np.ndarray:
        """Index of the point of least total distance so far, (evaluations,)."""
        total = self.distances.sum(1)
        lowest = np.minimum.accumulate(total)
        is_new_best = np.concatenate([[True], lowest[1:] < lowest[:-1]])
        # Indices rise: the largest index of a new best so far is that of the last one.
        return np.maximum.accumulate(np.where(is_new_best, np.arange(len(total)), 0))

    @property
    def best_distance(self) -> np.ndarray:
        """Mean distance over the environments of the best point so far, (evaluations,), m."""
        return self.distances[self.best_index].mean(1)

    @property
    def most_solved(self) -> np.ndarray:
        """Most environments that one point solved so far, (evaluations,).

        These are not the environments that the best point solves: a point of less total distance may solve fewer.
        """
        return np.maximum.accumulate((self.distances < NEAR).sum(1))


class _Ledger:
    """Counts and keeps evaluations; the batch that meets the budget is cut there and ends the search."""

    def __init__(self, evaluate: Evaluate, low: np.ndarray, high: np.ndarray, budget: int) -> None:
        self.evaluate = evaluate
        self.low = low
        self.high = high
        self.budget = budget
        self.points: list[np.ndarray] = []
        self.distances: list[np.ndarray] = []
        self.evaluation_count = 0

    @property
    def dimensions(self) -> int:
        """Numbers in a point."""
        return len(self.low)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Distances (n, 4) of points (n, k), which are brought into the box first.

        Raises:
            _Spent: these points met the budget. They are kept before it is raised, those beyond the budget are not.
        """
        remaining = self.budget - self.evaluation_count
        inside = np.clip(points, self.low, self.high)[:remaining]
        distances = self.evaluate(inside)
        self.points.append(inside)
        self.distances.append(distances)
        self.evaluation_count += len(inside)
        if self.evaluation_count >= self.budget:
            raise _Spent
        return distances

    def uniform(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Points (count, k), drawn uniformly from the box."""
        return rng.uniform(self.low, self.high, (count, self.dimensions))


def search(
    method: str,
    evaluate: Evaluate,
    low: Sequence[float],
    high: Sequence[float],
    seed: Sequence[int],
    budget: int = 500,
    population: int = 10,
) -> SearchResult:
    """Run one search.

    Args:
        method: of `LABELS`.
        evaluate: points (n, k) -> distances (n, 4); all but ``nsga2`` minimise their sum.
        low: bounds of the box, (k,).
        high: bounds of the box, (k,).
        seed: the key of the random stream: name experiment, method, body and repeat in it, and no two share one.
        budget: evaluations.
        population: of SNES, DE and NSGA-II.

    Raises:
        LanceletError: unknown method, or bounds, budget or population that make no search.
    """
    if method not in METHODS:
        raise unknown("search method", method, METHODS)
    lower = np.array(low, float)
    upper = np.array(high, float)
    is_box = lower.ndim == 1 and lower.shape == upper.shape and (lower < upper).all()
    if not is_box:
        raise LanceletError(f"low = {low}, high = {high}: need as many numbers, low below high")
    if budget < 1 or population < LEAST_POPULATION:
        raise LanceletError(
            f"budget = {budget}, population = {population}: must be 1 or more and {LEAST_POPULATION} or more"
        )
    ledger = _Ledger(evaluate, lower, upper, budget)
    rng = np.random.default_rng(np.random.SeedSequence([int(key) for key in seed]))
    # No method ends by itself: the ledger does it, from within an evaluation.
    with contextlib.suppress(_Spent):
        METHODS[method](ledger, rng, population)
    return SearchResult(
        points=np.concatenate(ledger.points), distances=np.concatenate(ledger.distances)
    )


def _random(ledger: _Ledger, rng: np.random.Generator, population: int) -> None:
    """Points drawn uniformly from the box, each by itself; there is no population."""
    while True:
        ledger(ledger.uniform(rng, RANDOM_BATCH))


def _pattern(ledger: _Ledger, rng: np.random.Generator, population: int) -> None:
    """All 2 k neighbours are polled; the best becomes the centre if it is better, else the step is halved."""
    axes = np.eye(ledger.dimensions)
    directions = np.concatenate([axes, -axes]) * (ledger.high - ledger.low) / 2
    while True:
        centre = ledger.uniform(rng, 1)
        centre_total = ledger(centre).sum()
        step = FIRST_STEP
        while step > FINEST:
            neighbours = np.clip(centre + step * directions, ledger.low, ledger.high)
            totals = ledger(neighbours).sum(1)
            if totals.min() < centre_total:
                centre = neighbours[[totals.argmin()]]
                centre_total = totals.min()
            else:
                step /= 2


def _problem(ledger: _Ledger, rng: np.random.Generator, objectives: int, **settings: Any) -> Any:
    """The search as an EvoTorch problem that is minimised.

    EvoTorch is imported here: commands that only look at the list of studies shall not wait for it.

    Args:
        ledger: counts the evaluations.
        rng: of the problem's seed.
        objectives: 4: every distance is one; 1: their sum.
        **settings: of the problem: its bounds.

    Returns:
        An ``evotorch.Problem`` of float64 points; evaluating the batch that meets the budget raises `_Spent`.
    """
    from evotorch import Problem, SolutionBatch

    logging.getLogger("evotorch").setLevel(logging.WARNING)

    class Placement(Problem):
        """Points of the ledger's box."""

        def _evaluate_batch(self, batch: SolutionBatch) -> None:
            distances = ledger(torch.as_tensor(batch.values).numpy())
            if objectives == 1:
                distances = distances.sum(1, keepdims=True)
            batch.set_evals(torch.from_numpy(np.ascontiguousarray(distances)))

    return Placement(
        ["min"] * objectives,
        solution_length=ledger.dimensions,
        dtype=torch.float64,
        seed=int(rng.integers(2**31)),
        **settings,
    )


def _snes(ledger: _Ledger, rng: np.random.Generator, population: int) -> None:
    """Centre drawn from the box, standard deviation a quarter of its width; samples outside count as on its edge."""
    from evotorch.algorithms import SNES

    # The problem draws its seed before the centre is drawn: both come from the same stream.
    problem = _problem(ledger, rng, objectives=1, initial_bounds=(-1, 1))
    centre = torch.from_numpy(ledger.uniform(rng, 1)[0])
    deviation = torch.from_numpy((ledger.high - ledger.low) / 4)
    searcher = SNES(
        problem,
        stdev_init=deviation,  # pyright: ignore[reportArgumentType]
        center_init=centre,
        popsize=population,
    )
    while True:
        searcher.step()


def _de(ledger: _Ledger, rng: np.random.Generator, population: int) -> None:
    """SciPy's differential evolution, never converged by its own measure: the budget alone ends it."""
    bounds = list(zip(ledger.low, ledger.high, strict=True))
    # SciPy multiplies `popsize` by the number of dimensions.
    individuals_per_dimension = max(1, population // ledger.dimensions)
    while True:
        differential_evolution(
            lambda points: ledger(points.T).sum(1),
            bounds,
            strategy="rand2bin",
            popsize=individuals_per_dimension,
            maxiter=ENDLESS,
            # With an absolute tolerance below zero, even a population in one point has not converged.
            tol=0,
            atol=-1,
            rng=rng,
            polish=False,
            init="random",
            updating="deferred",
            vectorized=True,
        )


def _nsga2(ledger: _Ledger, rng: np.random.Generator, population: int) -> None:
    """Four objectives, the four distances; simulated binary crossover and polynomial mutation."""
    from evotorch.algorithms import GeneticAlgorithm
    from evotorch.operators import PolynomialMutation, SimulatedBinaryCrossOver

    bounds = (ledger.low.tolist(), ledger.high.tolist())
    problem = _problem(ledger, rng, objectives=ALL_LIGHTS, bounds=bounds)
    operators = [
        SimulatedBinaryCrossOver(problem, tournament_size=2, cross_over_rate=1.0, eta=15),
        PolynomialMutation(problem, eta=20),
    ]
    searcher = GeneticAlgorithm(problem, operators=operators, popsize=population, re_evaluate=False)
    while True:
        searcher.step()


METHODS: dict[str, Callable[[_Ledger, np.random.Generator, int], None]] = {
    "random": _random,
    "pattern": _pattern,
    "snes": _snes,
    "de": _de,
    "nsga2": _nsga2,
}
"""method -> the function that runs it until the ledger raises `_Spent`"""

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

from ....envs.kinematic import NEAR
from ....errors import LanceletError, unknown

LABELS = {
    "random": "random search",
    "pattern": "pattern search (complete polls, for BlackBoxOptim's generating set search)",
    "snes": "SNES (EvoTorch, for BlackBoxOptim's separable NES)",
    "de": "DE/rand/2/bin (SciPy, for BlackBoxOptim's)",
    "nsga2": "NSGA-II (EvoTorch, for Borg)",
}
SHORT = {"random": "random search", "pattern": "pattern search", "snes": "EvoTorch SNES", "de": "SciPy DE/rand/2/bin",
         "nsga2": "EvoTorch NSGA-II"}  # fmt: skip
FINEST = 1e-4
"""smallest step of the pattern search, in half widths of the box; then it starts anew elsewhere"""

Evaluate = Callable[[np.ndarray], np.ndarray]


class _Spent(Exception):
    """The budget is used up."""


@dataclass(frozen=True)
class Found:
    """One search: what it evaluated, in order."""

    points: np.ndarray
    """(evaluations, k)"""
    distances: np.ndarray
    """(evaluations, 4), m"""

    @property
    def first(self) -> int:
        """Evaluations until a point first solved all four environments; evaluations + 1 where none did."""
        hits = np.asarray((self.distances < NEAR).all(1))
        return int(hits.argmax()) + 1 if hits.any() else hits.size + 1

    @property
    def best(self) -> np.ndarray:
        """Index of the point of least total distance so far, (evaluations,)."""
        total = self.distances.sum(1)
        lowest = np.minimum.accumulate(total)
        fresh = np.concatenate([[True], lowest[1:] < lowest[:-1]])
        return np.maximum.accumulate(np.where(fresh, np.arange(len(total)), 0))

    @property
    def curve(self) -> np.ndarray:
        """Mean distance of the best so far, (evaluations,), m."""
        return self.distances[self.best].mean(1)

    @property
    def solved(self) -> np.ndarray:
        """Most environments that one point solved so far, (evaluations,): not those of `best`, which may lose some."""
        return np.maximum.accumulate((self.distances < NEAR).sum(1))


class _Ledger:
    """Counts and keeps evaluations; the batch that meets the budget is cut there and ends the search."""

    def __init__(self, evaluate: Evaluate, low: np.ndarray, high: np.ndarray, budget: int) -> None:
        self.evaluate, self.low, self.high, self.budget = evaluate, low, high, budget
        self.points: list[np.ndarray] = []
        self.distances: list[np.ndarray] = []
        self.used = 0

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Distances (n, 4) of points (n, k), which are brought into the box first."""
        points = np.clip(points, self.low, self.high)[: self.budget - self.used]
        found = self.evaluate(points)
        self.points.append(points)
        self.distances.append(found)
        self.used += len(points)
        if self.used >= self.budget:
            raise _Spent
        return found

    def uniform(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.uniform(self.low, self.high, (n, len(self.low)))


def search(
    method: str, evaluate: Evaluate, low: Sequence[float], high: Sequence[float], seed: Sequence[int],
    budget: int = 500, population: int = 10,
) -> Found:  # fmt: skip
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
    low_, high_ = np.array(low, float), np.array(high, float)
    if low_.shape != high_.shape or low_.ndim != 1 or not (low_ < high_).all():
        raise LanceletError(f"low = {low}, high = {high}: need as many numbers, low below high")
    if budget < 1 or population < 6:
        raise LanceletError(
            f"budget = {budget}, population = {population}: must be 1 or more and 6 or more"
        )
    ledger = _Ledger(evaluate, low_, high_, budget)
    rng = np.random.default_rng(np.random.SeedSequence([int(key) for key in seed]))
    with contextlib.suppress(_Spent):
        METHODS[method](ledger, rng, population)
    return Found(np.concatenate(ledger.points), np.concatenate(ledger.distances))


def _random(ledger: _Ledger, rng: np.random.Generator, population: int) -> None:
    while True:
        ledger(ledger.uniform(rng, 50))


def _pattern(ledger: _Ledger, rng: np.random.Generator, population: int) -> None:
    """All 2 k neighbours are polled; the best becomes the centre if it is better, else the step is halved."""
    directions = (
        np.concatenate([np.eye(len(ledger.low)), -np.eye(len(ledger.low))])
        * (ledger.high - ledger.low)
        / 2
    )
    while True:
        centre, step = ledger.uniform(rng, 1), 0.5
        value = ledger(centre).sum()
        while step > FINEST:
            around = np.clip(centre + step * directions, ledger.low, ledger.high)
            values = ledger(around).sum(1)
            if values.min() < value:
                centre, value = around[[values.argmin()]], values.min()
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
    """
    from evotorch import Problem, SolutionBatch

    logging.getLogger("evotorch").setLevel(logging.WARNING)

    class Placement(Problem):
        """Points of the ledger's box."""

        def _evaluate_batch(self, batch: SolutionBatch) -> None:
            distances = ledger(torch.as_tensor(batch.values).numpy())
            evals = distances if objectives > 1 else distances.sum(1, keepdims=True)
            batch.set_evals(torch.from_numpy(np.ascontiguousarray(evals)))

    return Placement(
        ["min"] * objectives,
        solution_length=len(ledger.low),
        dtype=torch.float64,
        seed=int(rng.integers(2**31)),
        **settings,
    )


def _snes(ledger: _Ledger, rng: np.random.Generator, population: int) -> None:
    """Centre drawn from the box, standard deviation a quarter of its width; samples outside count as on its edge."""
    from evotorch.algorithms import SNES

    problem = _problem(ledger, rng, 1, initial_bounds=(-1, 1))
    centre = torch.from_numpy(ledger.uniform(rng, 1)[0])
    width = torch.from_numpy((ledger.high - ledger.low) / 4)
    searcher = SNES(problem, stdev_init=width, center_init=centre, popsize=population)  # pyright: ignore[reportArgumentType]
    while True:
        searcher.step()


def _de(ledger: _Ledger, rng: np.random.Generator, population: int) -> None:
    """Never converged by its own measure: the budget alone ends it."""
    while True:
        differential_evolution(
            lambda points: ledger(points.T).sum(1), list(zip(ledger.low, ledger.high, strict=True)),
            strategy="rand2bin", popsize=max(1, population // len(ledger.low)), maxiter=10**6, tol=0, atol=-1,
            rng=rng, polish=False, init="random", updating="deferred", vectorized=True,
        )  # fmt: skip


def _nsga2(ledger: _Ledger, rng: np.random.Generator, population: int) -> None:
    """Four objectives, the four distances; simulated binary crossover and polynomial mutation."""
    from evotorch.algorithms import GeneticAlgorithm
    from evotorch.operators import PolynomialMutation, SimulatedBinaryCrossOver

    problem = _problem(ledger, rng, 4, bounds=(ledger.low.tolist(), ledger.high.tolist()))
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

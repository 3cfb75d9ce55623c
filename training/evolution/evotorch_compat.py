"""All that Lancelet needs of EvoTorch beyond its public interface; importing this module imports EvoTorch.

No other file of `training/evolution` imports EvoTorch at its top. The import also looks for the optional `cma` package,
which takes a second and more, and commands that do not evolve shall not wait for it. So the trainers import this module,
and the searches that are built on it, where they begin to search.

The private attributes read here are those of EvoTorch 0.6.1 (docs/libraries.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...optional import extras

with extras():
    from evotorch import Problem, SolutionBatch

logging.getLogger("evotorch").setLevel(logging.WARNING)


class Evaluation(Problem):
    """The fitness of flat weights as an EvoTorch problem to be maximised.

    Args:
        length: number of weights.
        seed: of the problem's generator, which the search algorithm draws from.
        score: rows of weights (candidates, length) -> fitness (candidates,), or (candidates, 1 + extra) with further
            figures behind the fitness.
        extra: number of further figures.
    """

    def __init__(
        self, length: int, seed: int, score: Callable[[Tensor], Tensor], extra: int = 0
    ) -> None:
        super().__init__(
            "max",
            solution_length=length,
            # EvoTorch asks for bounds of the first population; our searches are given a centre, and draw around it.
            initial_bounds=(-1, 1),
            dtype=torch.float32,
            seed=seed,
            eval_data_length=extra,
        )
        self._score = score

    def _evaluate_batch(self, batch: SolutionBatch) -> None:
        batch.set_evals(self._score(torch.as_tensor(batch.values)))


def searcher_state(searcher: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """What decides the next step of an EvoTorch search, as arrays and JSON values.

    Args:
        searcher: the search algorithm.
        names: its own attributes that decide the next step (tensors and numbers), beside what every search has: the
            generator, the number of steps, the population, the distribution and the optimiser of its centre.
    """
    population = searcher.population
    distribution = getattr(searcher, "_distribution", None)
    optimizer = getattr(searcher, "_optimizer", None)
    return {
        "generator": searcher.problem.generator.get_state(),
        "steps": searcher.step_count,
        "values": torch.as_tensor(population.values).clone(),
        "evals": torch.as_tensor(population.evals).clone(),
        "own": {name: getattr(searcher, name) for name in names},
        "distribution": {} if distribution is None else dict(distribution.parameters),
        "velocity": None if optimizer is None else optimizer._velocity,
    }


def restore_searcher(searcher: Any, saved: dict[str, Any], names: tuple[str, ...]) -> None:
    """Set an EvoTorch search to a state that `searcher_state` gave.

    Args:
        searcher: a search that was built alike; it is changed in place.
        saved: the state.
        names: as they were given to `searcher_state`.
    """
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

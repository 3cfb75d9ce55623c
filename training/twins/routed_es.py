"""Two score-function gradients, each for its column: specialised columns where a task has no twin (spec bilateral 7).

The population of the NCAP code's strategy (`openai_es`) is scored by both losses of arXiv 2401.14057 at once, on the
MuJoCo arm; each column climbs by its own, combiner and motor layer by the mean of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from ...controllers import Controller, Population
from ...controllers.bilateral import Bilateral
from ...controllers.core import State
from ...envs import Task
from ...envs.arm import PERIOD, ArmReach
from ...errors import LanceletError
from ..evolution.openai_es import OpenAIES
from ..evolution.workers import Arena
from ..rollout import FAILED, Score
from ..runs.folder import RunFolder
from .losses import LOSSES, RATE

# EvoTorch is imported where a search begins: here for the type checker alone.
if TYPE_CHECKING:
    from evotorch import Problem

ORDER = ("mixed", "loss1", "loss2")


class Watched(Population):
    """A population that adds up the regulariser R of its hidden layers over an episode."""

    def initial_state(self) -> State:
        """See `Population`; the sums begin anew."""
        self._level, self._rate, self._before, self._steps = (
            np.zeros(self.n),
            np.zeros(self.n),
            None,
            0,
        )
        return super().initial_state()

    def __call__(self, observation: Any, state: State) -> tuple[np.ndarray, State]:
        """See `Population`."""
        action, state = super().__call__(observation, state)
        signals = self.signals(state)
        layers = torch.cat(
            [rows.reshape(self.n, -1, rows.shape[-1]) for rows in signals.values()], 1
        ).numpy()
        self._level += np.square(layers).mean(2).sum(1)
        if self._before is not None:
            self._rate += np.square((layers - self._before) / PERIOD).mean(2).sum(1)
        self._before, self._steps = layers, self._steps + 1
        return action, state

    def penalty(self) -> np.ndarray:
        """R (n,) of the steps so far, summed over hidden layers."""
        return self._level / self._steps + RATE * self._rate / max(1, self._steps - 1)


class LossArena(Arena):
    """Candidates scored by the mixed loss, loss 1 and loss 2, each with its sign turned."""

    def agents(self, n: int, genomes: Tensor) -> Population:
        """See `Arena`."""
        return Watched(self.controller, n, genomes)

    def worth(self, score: Score, agents: Population) -> np.ndarray:
        """Minus the three losses, (episodes, 3)."""
        assert isinstance(agents, Watched)
        terms = {name: score.metrics[name] for name in ("E", "P1", "P2")} | {"R": agents.penalty()}
        losses = [
            sum(getattr(LOSSES[name], term) * rows for term, rows in terms.items())
            for name in ORDER
        ]
        worth = -np.stack(losses, 1)  # pyright: ignore[reportCallIssue, reportArgumentType]
        return np.where(score.failed[:, None] | ~np.isfinite(worth), FAILED, worth)


@dataclass(kw_only=True)
class RoutedES(OpenAIES):
    """Evolution of specialised columns; scores, and the figures of the log, are minus the mixed loss."""

    arena: ClassVar[type[Arena]] = LossArena
    extra: ClassVar[int] = 2

    sigma: float = 0.05
    """standard deviation of the noise"""
    rate: float = 0.02
    """Adam's learning rate"""
    decay: float = 0.0
    """L2 coefficient"""
    dominance: Literal["left", "right"] = "left"
    """column that loss 1 drives"""

    def refusal(self, controller: Controller) -> str | None:
        """Anything without two columns."""
        columns = isinstance(controller, Bilateral) and len(controller.sides) == 2
        return super().refusal(controller) or (
            None if columns else "has no left and right column to specialise"
        )

    def adapt_task(self, task: Task, controller: Controller) -> dict[str, Any]:
        """Refuse a task that does not tell the terms of the losses."""
        if not isinstance(task, ArmReach):
            raise LanceletError(
                f"{type(task).__name__} tells no P1, P2 and E to specialise by: use arm-reach or arm-hold"
            )
        return {}

    def learn(
        self, run: RunFolder, controller: Controller, task: str, task_options: dict[str, Any]
    ) -> None:
        """See `Evolve`."""
        assert isinstance(controller, Bilateral)
        self._weights = [(name, weight.numel()) for name, weight in controller.named_parameters()]
        self._side_of, self._least = controller.side_of, controller.floors()
        super().learn(run, controller, task, task_options)

    def searcher(self, problem: Problem, start: Tensor) -> Any:
        """Make the search that climbs each weight by its column's loss."""
        from .routed_searcher import RoutedSearcher

        first, second = ("left", "right") if self.dominance == "left" else ("right", "left")
        share = {first: (1.0, 0.0), second: (0.0, 1.0), None: (0.5, 0.5)}
        shares = torch.tensor(
            [share[self._side_of(name)] for name, size in self._weights for _ in range(size)]
        ).T
        least = [
            self._least.get(name, -torch.inf) for name, size in self._weights for _ in range(size)
        ]
        return RoutedSearcher(
            problem,
            start,
            shares=shares,
            floors=torch.tensor(least),
            popsize=self.population,
            sigma=self.sigma,
            rate=self.rate,
            decay=self.decay,
        )

"""Two score-function gradients, each for its column: specialised columns where a task has no twin.

The population of the NCAP code's strategy (`openai_es`) is scored by both losses of arXiv 2401.14057
at once (docs/systems/arm.md, "Losses"), on the MuJoCo arm. Each column climbs by its own loss,
combiner and motor layer by the mean of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

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

SCORED_LOSSES = ("mixed", "loss1", "loss2")
"""losses in the columns of the scores; the first one ranks candidates, the others drive columns"""


class Watched(Population):
    """A population that adds up the regulariser R of its hidden layers over an episode."""

    def initial_state(self) -> State:
        """Begin an episode, as `Population` does; the sums begin anew."""
        self._level_sum = np.zeros(self.n)
        self._rate_sum = np.zeros(self.n)
        self._last_activity: np.ndarray | None = None
        self._steps = 0
        return super().initial_state()

    def __call__(self, observation: Any, state: State) -> tuple[np.ndarray, State]:
        """Act, as `Population` does, and add this step to the sums."""
        action, state = super().__call__(observation, state)
        activity = self._activity(state)
        # Mean over the units of a layer, sum over layers.
        self._level_sum += np.square(activity).mean(2).sum(1)
        if self._last_activity is not None:
            rate = (activity - self._last_activity) / PERIOD
            self._rate_sum += np.square(rate).mean(2).sum(1)
        self._last_activity = activity
        self._steps += 1
        return action, state

    def _activity(self, state: State) -> np.ndarray:
        """Activity of the hidden layers, (n, layers, units)."""
        layers = [rows.reshape(self.n, -1, rows.shape[-1]) for rows in self.signals(state).values()]
        return torch.cat(layers, 1).numpy()

    def penalty(self) -> np.ndarray:
        """R (n,) of the steps so far, summed over hidden layers."""
        # The first step has no rate of change: there is one less of them.
        rate_count = max(1, self._steps - 1)
        return self._level_sum / self._steps + RATE * self._rate_sum / rate_count


class LossArena(Arena):
    """Candidates scored by the mixed loss, loss 1 and loss 2, each with its sign turned."""

    def agents(self, n: int, genomes: Tensor) -> Population:
        """Candidates that add up R while they act, as `Arena` asks for them."""
        return Watched(self.controller, n, genomes)

    def worth(self, score: Score, agents: Population) -> np.ndarray:
        """Minus the three losses, (episodes, 3)."""
        assert isinstance(agents, Watched)
        terms = {
            "E": score.metrics["E"],
            "P1": score.metrics["P1"],
            "P2": score.metrics["P2"],
            "R": agents.penalty(),
        }
        losses = []
        for name in SCORED_LOSSES:
            weighted = [getattr(LOSSES[name], term) * rows for term, rows in terms.items()]
            losses.append(sum(weighted))
        worth = -np.stack(losses, 1)  # pyright: ignore[reportCallIssue, reportArgumentType]
        is_failed = score.failed[:, None] | ~np.isfinite(worth)
        return np.where(is_failed, FAILED, worth)


class _Weight(NamedTuple):
    """Where a weight of the controller belongs."""

    size: int
    """numbers in it"""
    side: str | None
    """its column; None: the columns share it"""
    floor: float
    """lowest value that training may give it; -inf where there is none"""


def _columns_of(controller: Bilateral) -> list[_Weight]:
    """The weights of a controller, in the order of its genome."""
    floors = controller.floors()
    weights = []
    for name, values in controller.named_parameters():
        side = controller.side_of(name)
        weights.append(_Weight(values.numel(), side, floors.get(name, -torch.inf)))
    return weights


@dataclass(kw_only=True)
class RoutedES(OpenAIES):
    """Evolution of specialised columns; scores, and the figures of the log, are minus the mixed loss."""

    arena: ClassVar[type[Arena]] = LossArena
    extra: ClassVar[int] = len(SCORED_LOSSES) - 1

    sigma: float = 0.05
    """standard deviation of the noise"""
    rate: float = 0.02
    """Adam's learning rate"""
    decay: float = 0.0
    """L2 coefficient"""
    dominance: Literal["left", "right"] = "left"
    """column that loss 1 drives"""

    def refusal(self, controller: Controller) -> str | None:
        """Refuse a controller without two columns, beside those that evolution refuses."""
        reason = super().refusal(controller)
        has_columns = isinstance(controller, Bilateral) and len(controller.sides) == 2
        if reason is None and not has_columns:
            reason = "has no left and right column to specialise"
        return reason

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
        """Evolve, as `OpenAIES` does, with the columns and floors of this controller."""
        assert isinstance(controller, Bilateral)
        # `searcher` is called inside, without the controller.
        self._columns = _columns_of(controller)
        super().learn(run, controller, task, task_options)

    def searcher(self, problem: Problem, start: Tensor) -> Any:
        """Make the search that climbs each weight by its column's loss."""
        from .routed_searcher import RoutedSearcher

        # Shares of the gradients of loss 1 and of loss 2.
        by_loss1 = (1.0, 0.0)
        by_loss2 = (0.0, 1.0)
        by_both = (0.5, 0.5)
        if self.dominance == "left":
            share_of_side = {"left": by_loss1, "right": by_loss2, None: by_both}
        else:
            share_of_side = {"left": by_loss2, "right": by_loss1, None: by_both}
        shares = []
        floors = []
        for weight in self._columns:
            shares += [share_of_side[weight.side]] * weight.size
            floors += [weight.floor] * weight.size
        return RoutedSearcher(
            problem,
            start,
            shares=torch.tensor(shares).T,
            floors=torch.tensor(floors),
            popsize=self.population,
            sigma=self.sigma,
            rate=self.rate,
            decay=self.decay,
        )

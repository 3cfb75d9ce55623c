"""Imitation by surrogate gradients (Neftci, Mostafa, Zenke 2019): back-propagation through a spiking network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_, parameters_to_vector

from ...controllers.spiking.gradient import differentiable
from ...controllers.spiking.kernel import costs
from ...controllers.spiking.snn import SNN
from ..loop import Figures
from ..runs.folder import RunFolder
from ..runs.state import optimizer_state, restore_optimizer
from .base import Imitation, ImitationTraining, Recordings
from .shortlist import Shortlist


@dataclass(kw_only=True)
class Surrogate(Imitation):
    """Adam on the same flights, loss and choice as `imitate`; genes are kept in [0, 1] after every update.

    An update goes through a batch of whole flights, by the compiled gradient of `controllers.spiking.gradient`.
    """

    may_change: ClassVar[tuple[str, ...]] = (*Imitation.may_change, "updates", "seconds")

    updates: int = 1000
    """number of updates"""
    seconds: float | None = None
    """stop after this much search, recording and the last choice not counted; none: all updates"""
    batch: int = 32
    """flights in an update"""
    rate: float = 0.005
    """Adam's learning rate, in units of a gene's range"""
    clip_norm: float = 1.0
    """largest norm of an update's gradient"""

    def check(self) -> None:
        """Counts and rate must be positive."""
        super().check()
        self.at_least(0, "updates")
        self.at_least(1, "batch")
        self.above_zero("rate", "seconds", "clip_norm")

    def training(
        self, run: RunFolder, circuit: SNN, recordings: Recordings, shortlist: Shortlist
    ) -> ImitationTraining:
        """Make the descent of `circuit`."""
        return _Descent(
            options=self,
            run=run,
            circuit=circuit,
            recordings=recordings,
            shortlist=shortlist,
        )

    def notes(self, circuit: SNN) -> dict[str, Any]:
        """Say how bounds are handled."""
        return {"bounds": "clamped after every update, per coordinate"}


class _Descent(ImitationTraining):
    """One descent; an iteration is an update, and a checkpoint is saved at every choice."""

    verb = "descending"
    unit = "update"

    def __init__(
        self,
        options: Surrogate,
        run: RunFolder,
        circuit: SNN,
        recordings: Recordings,
        shortlist: Shortlist,
    ) -> None:
        super().__init__(
            options=options,
            run=run,
            circuit=circuit,
            recordings=recordings,
            shortlist=shortlist,
        )
        # The base class keeps them too, as the options that every imitation has.
        self._options: Surrogate = options
        # For `run_training`, which goes on until `done` is `total` or `finished` says so.
        self.total = options.updates
        self._updates_done = 0
        """updates since the run began, over all its sessions; the search itself counts, in `advance`"""
        self._losses_since_choice: list[float] = []
        """training loss of every update since the last choice, for the log's `mean` only; a checkpoint, which is
        saved at choices only, never has to hold any"""
        start = parameters_to_vector(circuit.parameters()).detach()
        # A population of one: the compiled gradient takes genes as (individuals, genes).
        self._genes = torch.nn.Parameter(start[None])
        self._optimizer = torch.optim.Adam([self._genes], lr=options.rate)

    @property
    def done(self) -> int:
        """Updates so far."""
        return self._updates_done

    def finished(self, seconds: float) -> bool:
        """At the last update, or where the time is up."""
        limit = self._options.seconds
        return super().finished(seconds) or (limit is not None and seconds >= limit)

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._updates_done = int(saved["update"])
        self._shortlist.restore(saved["shortlist"])
        self._genes.data.copy_(saved["genes"])
        restore_optimizer(self._optimizer, saved["optimiser"])

    def state(self) -> dict[str, Any]:
        """The shortlist, the genes and the optimiser."""
        return {
            "update": self._updates_done,
            "shortlist": self._shortlist.state(),
            "genes": self._genes.detach(),
            "optimiser": optimizer_state(self._optimizer),
        }

    def advance(self) -> Figures:
        """Descend once.

        Returns:
            No figures: the log gets a line only where `validate` chooses, and that one has the mean of the losses.
        """
        flights = self._recordings.training
        batch = self._batch()
        outputs = differentiable(self._circuit, self._genes, flights.errors[batch])
        loss = costs(outputs, flights.targets[batch])["loss"].mean()
        self._optimizer.zero_grad()
        loss.backward()
        norm = clip_grad_norm_([self._genes], self._options.clip_norm)
        # A network that has blown up has no gradient to follow.
        if norm.isfinite():
            self._optimizer.step()
        self._genes.data.clamp_(0, 1)
        self._updates_done += 1
        # A loss is finite even where outputs are not: `costs` bounds them.
        self._losses_since_choice.append(loss.item())
        return {}

    def validation_due(self, before: int) -> bool:
        """Every `validate_every` updates, and at the end."""
        return self._is_choice(before) or self.done >= self.total

    def validate(self) -> Figures:
        """Offer the genes to the shortlist."""
        figures = self._offer(self._genes.detach())
        mean_loss = _mean(self._losses_since_choice)
        self._losses_since_choice = []
        return {**figures, "mean": mean_loss, "best": self._shortlist.best.loss}

    def checkpoint_due(self, before: int) -> bool:
        """At every choice, and only there: the losses since the last one are not part of the state."""
        return self.validation_due(before)

    def _batch(self) -> np.ndarray:
        """Numbers of the flights of this update, drawn by its own number: (batch,), or all where there are fewer."""
        generator = np.random.default_rng([self._options.seed, self._updates_done])
        flight_count = len(self._recordings.training.errors)
        size = min(self._options.batch, flight_count)
        return generator.choice(flight_count, size, replace=False)


def _mean(losses: list[float]) -> float:
    """Mean of losses, added up from the first to the last."""
    total = 0.0
    for loss in losses:
        # Not `sum`, which compensates its rounding from Python 3.12 on: the last bit would depend on the version.
        total += loss
    return total / len(losses)

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
from .base import Imitation, ImitationTraining, Shortlist
from .flights import Flights


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
    """flights an update"""
    rate: float = 0.005
    """of Adam, in units of a gene's range"""
    clip_norm: float = 1.0
    """largest norm of an update's gradient"""

    def check(self) -> None:
        """Counts and rate must be positive."""
        super().check()
        self.at_least(0, "updates")
        self.at_least(1, "batch")
        self.above_zero("rate", "seconds", "clip_norm")

    def training(
        self, run: RunFolder, circuit: SNN, train: Flights, held: Flights, best: Shortlist
    ) -> ImitationTraining:
        """The descent of `circuit`."""
        return _Descent(self, run, circuit, train, held, best)

    def notes(self, circuit: SNN) -> dict[str, Any]:
        """Say how bounds are handled."""
        return {"bounds": "clamped after every update, per coordinate"}


class _Descent(ImitationTraining):
    """Update by update; a checkpoint at every choice."""

    verb = "descending"
    unit = "update"

    def __init__(
        self,
        options: Surrogate,
        run: RunFolder,
        circuit: SNN,
        train: Flights,
        held: Flights,
        best: Shortlist,
    ) -> None:
        super().__init__(options, run, circuit, held, best)
        self.total = options.updates
        self._options: Surrogate = options
        self._train = train
        self._update = 0
        self._loss_since_choice = 0.0
        start = parameters_to_vector(circuit.parameters()).detach()
        self._genes = torch.nn.Parameter(start[None])
        self._optimizer = torch.optim.Adam([self._genes], lr=options.rate)

    @property
    def done(self) -> int:
        """Updates so far."""
        return self._update

    def finished(self, seconds: float) -> bool:
        """At the last update, or where the time is up."""
        limit = self._options.seconds
        return super().finished(seconds) or (limit is not None and seconds >= limit)

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._update = int(saved["update"])
        self._best.restore(saved["shortlist"])
        self._genes.data.copy_(saved["genes"])
        restore_optimizer(self._optimizer, saved["optimiser"])

    def state(self) -> dict[str, Any]:
        """The shortlist, the genes and the optimiser."""
        return {
            "update": self._update,
            "shortlist": self._best.state(),
            "genes": self._genes.detach(),
            "optimiser": optimizer_state(self._optimizer),
        }

    def advance(self) -> Figures:
        """Descend once; it is told of in the log where it is validated."""
        batch = self._batch()
        outputs = differentiable(self._circuit, self._genes, self._train.errors[batch])
        loss = costs(outputs, self._train.targets[batch])["loss"].mean()
        self._optimizer.zero_grad()
        loss.backward()
        norm = clip_grad_norm_([self._genes], self._options.clip_norm)
        # A network that has blown up has no gradient to follow.
        if norm.isfinite():
            self._optimizer.step()
        self._genes.data.clamp_(0, 1)
        self._update += 1
        self._loss_since_choice += loss.item()
        return {}

    def validation_due(self, before: int) -> bool:
        """Every `validate_every` updates, and at the end."""
        return self._is_choice(before) or self.done >= self.total

    def validate(self) -> Figures:
        """Offer the genes to the shortlist."""
        figures = self._offer(self._genes.detach())
        updates_since_choice = (self._update - 1) % self._options.validate_every + 1
        mean = self._loss_since_choice / updates_since_choice
        self._loss_since_choice = 0.0
        return {**figures, "mean": mean, "best": self._best.losses[0]}

    def checkpoint_due(self, before: int) -> bool:
        """At every choice: `restore` begins the mean loss anew, as a choice does."""
        return self.validation_due(before)

    def _batch(self) -> np.ndarray:
        """Numbers of the flights of this update, drawn by its own number: (batch,), or all where there are fewer."""
        generator = np.random.default_rng([self._options.seed, self._update])
        count = len(self._train.errors)
        return generator.choice(count, min(self._options.batch, count), replace=False)

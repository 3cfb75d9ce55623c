"""Imitation by surrogate gradients (Neftci, Mostafa, Zenke 2019): back-propagation through a spiking network."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn.utils import parameters_to_vector

from ...controllers.spiking.gradient import differentiable
from ...controllers.spiking.kernel import costs
from ...controllers.spiking.snn import SNN
from ..runs import interrupt
from ..runs.folder import RunFolder
from ..runs.progress import progress
from ..runs.state import optimizer_state, restore_optimizer
from .base import Imitation, Shortlist
from .flights import Flights


@dataclass(kw_only=True)
class Surrogate(Imitation):
    """Adam on the same flights, loss and choice as `imitate`; genes are kept in [0, 1] after every update.

    An update goes through a batch of whole flights, by the compiled gradient of `controllers.snn_gradient`.
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

    def search(
        self, run: RunFolder, circuit: SNN, train: Flights, held: Flights, best: Shortlist
    ) -> None:
        """Update by update; a checkpoint at every choice."""
        genes = torch.nn.Parameter(parameters_to_vector(circuit.parameters()).detach()[None])
        optimiser = torch.optim.Adam([genes], lr=self.rate)
        saved, update, seconds = run.load(), 0, 0.0
        if saved is None:
            best.offer(genes[0].detach(), self.losses(circuit, genes, held)["loss"].item(), 0)
            self.keep(run, circuit, best)
        else:
            with run.restoring():
                update = int(saved["update"])
                seconds = float(saved["seconds"])
                best.restore(saved["shortlist"])
                genes.data.copy_(saved["genes"])
                restore_optimizer(optimiser, saved["optimiser"])
        run.begin_log(update)
        begun, total = time.monotonic() - seconds, 0.0
        with progress("descending", self.updates, "update", update, self.quiet) as advance:
            while update < self.updates and (self.seconds is None or seconds < self.seconds):
                rng = np.random.default_rng([self.seed, update])
                drawn = rng.choice(
                    len(train.errors), min(self.batch, len(train.errors)), replace=False
                )
                outputs = differentiable(circuit, genes, train.errors[drawn])
                loss = costs(outputs, train.targets[drawn])["loss"].mean()
                optimiser.zero_grad()
                loss.backward()
                norm = torch.nn.utils.clip_grad_norm_([genes], self.clip_norm)
                if norm.isfinite():  # a network that has blown up has no gradient to follow
                    optimiser.step()
                genes.data.clamp_(0, 1)
                update, total = update + 1, total + loss.item()
                interrupt.check()
                seconds = time.monotonic() - begun
                if update % self.validate_every and update < self.updates:
                    advance()
                    continue
                found = {
                    name: values.item()
                    for name, values in self.losses(circuit, genes, held).items()
                }
                best.offer(genes[0].detach(), found["loss"], update)
                self.keep(run, circuit, best)
                advance(validation=best.losses[0], correlation=found["correlation"])
                mean, total = total / ((update - 1) % self.validate_every + 1), 0.0
                run.log(update, **found, mean=mean, best=best.losses[0], seconds=seconds)
                run.save({
                    "update": update,
                    "seconds": seconds,
                    "shortlist": best.state(),
                    "genes": genes.detach(),
                    "optimiser": optimizer_state(optimiser),
                })  # fmt: skip

    def notes(self, circuit: SNN) -> dict[str, Any]:
        """How bounds are handled."""
        return {"bounds": "clamped after every update, per coordinate"}

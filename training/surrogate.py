"""Imitation by surrogate gradients (Neftci, Mostafa, Zenke 2019): back-propagation through a spiking network."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parameters_to_vector
from torch.utils._pytree import tree_map

from ..controllers.snn import SNN
from ..controllers.snn_kernel import costs
from ..errors import LanceletError
from . import interrupt
from .flights import Flights
from .imitation import Imitation, Shortlist
from .progress import progress
from .runs import RunFolder
from .state import optimizer_state, restore_optimizer


@dataclass(kw_only=True)
class Surrogate(Imitation):
    """Adam on the same flights, loss and choice as `imitate`; genes are kept in [0, 1] after every update.

    An update goes through one window of a batch of flights; the state flows on into the next window, without its
    gradient, until the flights end and others are drawn. Choices are made whenever flights end: `validate_every` is
    not read, and `updates` rounds up to whole flights.
    """

    updates: int = 1000
    """number of updates"""
    seconds: float | None = None
    """stop after this much search, recording and the last choice not counted; none: all updates"""
    batch: int = 32
    """flights an update"""
    window: int = 100
    """steps an update goes back through time"""
    rate: float = 0.01
    """of Adam, in units of a gene's range"""
    clip_norm: float = 1.0
    """largest norm of an update's gradient"""

    def check(self) -> None:
        """Counts and rate must be positive."""
        super().check()
        self.at_least(0, "updates")
        self.at_least(1, "batch")
        self.at_least(2, "window")
        for name in ("rate", "seconds", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise LanceletError(f"{name} = {value}: must be finite and > 0")

    def search(self, run: RunFolder, circuit: SNN, train: Flights, held: Flights, best: Shortlist) -> None:
        """Update by update; a checkpoint at every choice, which falls on an end of the flights."""
        optimiser = torch.optim.Adam(circuit.parameters(), lr=self.rate)
        errors, targets = torch.from_numpy(train.errors), torch.from_numpy(train.targets)
        windows = errors.shape[1] // self.window
        if not windows:
            raise LanceletError(f"window = {self.window}: must be at most the {errors.shape[1]} steps of a flight")
        saved, update, seconds = run.load(), 0, 0.0
        if saved is None:
            self._choose(circuit, held, best, 0)
            self.keep(run, circuit, best)
        else:
            update, seconds = saved["update"], saved["seconds"]
            best.restore(saved["shortlist"])
            circuit.load_state_dict(saved["weights"])
            restore_optimizer(optimiser, saved["optimiser"])
        run.begin_log(update)
        begun = time.monotonic() - seconds
        with progress("descending", self.updates, "update", update, self.quiet) as advance:
            while update < self.updates and (self.seconds is None or time.monotonic() - begun < self.seconds):
                rng = np.random.default_rng([self.seed, update])
                drawn = torch.from_numpy(rng.choice(len(errors), min(self.batch, len(errors)), replace=False))
                state, total = circuit.initial_state(len(drawn)), 0.0
                for first in range(0, windows * self.window, self.window):
                    seen = errors[drawn, first : first + self.window].T.unsqueeze(-1)
                    action, state = circuit.unroll(seen, state)
                    loss = costs(action.squeeze(-1).T, targets[drawn, first : first + self.window])["loss"].mean()
                    optimiser.zero_grad()
                    loss.backward()
                    norm = torch.nn.utils.clip_grad_norm_(circuit.parameters(), self.clip_norm)
                    if norm.isfinite():  # a network that has blown up has no gradient to follow
                        optimiser.step()
                    with torch.no_grad():
                        for gene in circuit.parameters():
                            gene.clamp_(0, 1)
                    state, total = tree_map(torch.Tensor.detach, state), total + loss.item()
                    update += 1
                    advance()
                    interrupt.check()
                figures = self._choose(circuit, held, best, update)
                self.keep(run, circuit, best)
                seconds = time.monotonic() - begun
                run.log(update, **figures, mean=total / windows, best=best.losses[0], seconds=seconds)
                run.save(
                    {
                        "update": update,
                        "seconds": seconds,
                        "shortlist": best.state(),
                        "weights": dict(circuit.state_dict()),
                        "optimiser": optimizer_state(optimiser),
                    }
                )

    def _choose(self, circuit: SNN, held: Flights, best: Shortlist, update: int) -> dict[str, float]:
        genes = parameters_to_vector(circuit.parameters()).detach()
        figures = {name: values.item() for name, values in self.losses(circuit, genes[None], held).items()}
        best.offer(genes, figures["loss"], update)
        return figures

    def notes(self, circuit: SNN) -> dict[str, Any]:
        """How bounds are handled."""
        return {"bounds": "clamped after every update, per coordinate"}

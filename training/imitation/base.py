"""Learning to imitate a PD or I controller from recorded flights: what evolution and back-propagation share.

Source: arXiv 2309.12937; spec blimp_snn 5 and 11. Training, validation and test flights never share a seed. The
validation flights choose a shortlist; the shortlist flies in closed loop, and the best pilot in it is the run's result,
since an open loop does not show drift.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from ... import controllers
from ...controllers import Controller, Population
from ...controllers.spiking.kernel import costs
from ...controllers.spiking.kernel import run as open_loop
from ...controllers.spiking.snn import SNN
from ...controllers.sum import Sum
from ...envs import Task
from ...envs.blimp import BlimpAltitude
from ...errors import LanceletError
from ..rollout import make_env, rollout
from ..runs.folder import RunFolder
from ..trainer import TRAINING, VALIDATION, Trainer, start_seeds
from .flights import Flights, integral, proportional_derivative

CLOSED = 16
"""closed-loop flights of every candidate on the shortlist"""
NEAR = 1.1
"""a candidate on the shortlist may have this much more loss than its best"""


@dataclass
class Shortlist:
    """The `size` best candidates so far by validation loss, best first."""

    size: int
    genes: list[Tensor] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    found: list[int] = field(default_factory=list)

    def offer(self, genes: Tensor, loss: float, when: int) -> bool:
        """Take a candidate in where it is good enough; True where it is the best so far."""
        place = int(np.searchsorted(self.losses, loss, side="right"))
        if place < self.size:
            self.genes.insert(place, genes.clone())
            self.losses.insert(place, loss)
            self.found.insert(place, when)
            del self.genes[self.size :], self.losses[self.size :], self.found[self.size :]
        return place == 0

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"genes": torch.stack(self.genes), "losses": self.losses, "found": self.found}

    def restore(self, saved: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.genes, self.losses, self.found = (
            list(saved["genes"]),
            list(saved["losses"]),
            list(saved["found"]),
        )


@dataclass(kw_only=True)
class Imitation(Trainer):
    """Imitate one part of the PID law; subclasses search. Loss: MAE + 1 - correlation, averaged over sets."""

    role: Literal["pd", "i"] = "pd"
    """the part: PD on flights of the neutral blimp, or I on a double integrator under changing bias"""
    kp: float = 9.0
    """command units per m"""
    ki: float = 0.75
    """command units per m s"""
    kd: float = 14.0
    """command units per m/s"""
    clip: bool = True
    """keep targets within the command's range, +-10"""
    sets: int = 100
    """flights to train on"""
    validation: int = 10
    """flights that choose the shortlist"""
    validate_every: int = 50
    """generations, or updates, between two choices"""
    shortlist: int = 8
    """candidates that fly in closed loop in the end"""

    @abstractmethod
    def search(
        self, run: RunFolder, circuit: SNN, train: Flights, held: Flights, best: Shortlist
    ) -> None:
        """Offer candidates to `best`, saving the state as it goes."""

    def check(self) -> None:
        """Counts must be positive."""
        super().check()
        self.at_least(1, "sets", "validation", "validate_every", "shortlist")

    def refusal(self, controller: Controller) -> str | None:
        """Anything but one spiking network."""
        return None if isinstance(controller, SNN) else "is no spiking network (snn)"

    def adapt_task(self, task: Task, controller: Controller) -> dict[str, Any]:
        """Refuse a task without recording flights."""
        if not isinstance(task, BlimpAltitude):
            raise LanceletError(
                f"imitation needs flights to imitate: {type(task).__name__} has none, use blimp-altitude"
            )
        return {}

    def flights(self, task: str, first: int, count: int, **options: Any) -> Flights:
        """`count` flights of the split whose seeds begin at `first`."""
        return self.recorded(
            task, start_seeds(first, self.seed if first == TRAINING else 0, 0, count), **options
        )

    def recorded(self, task: str, seeds: list[int], **options: Any) -> Flights:
        """The flights of these seeds, with this role's targets."""
        if self.role == "i":
            return integral(seeds, self.kp, self.ki, self.kd, self.clip)
        return proportional_derivative(task, seeds, self.kp, self.kd, self.clip, **options)

    def learn(
        self, run: RunFolder, controller: Controller, task: str, task_options: dict[str, Any]
    ) -> None:
        """Record flights, search, then let the shortlist fly."""
        assert isinstance(controller, SNN)
        plant = {
            name: task_options[name]
            for name in ("body", "randomise", "gaps")
            if task_options.get(name)
        }
        train, held = (
            self.flights(task, TRAINING, self.sets, **plant),
            self.flights(task, VALIDATION, self.validation, **plant),
        )
        best = Shortlist(self.shortlist)
        self.search(run, controller, train, held, best)
        flown = self.fly(controller, torch.stack(best.genes), task, **plant)
        near = [k for k, loss in enumerate(best.losses) if loss <= NEAR * best.losses[0]]
        chosen = min(near, key=lambda k: flown[k])
        for name, k in (("best_loss", 0), ("best", chosen)):
            self.keep(
                run,
                controller,
                best,
                k,
                name,
                closed_loop=float(flown[k]) if np.isfinite(flown[k]) else None,
            )

    def keep(
        self,
        run: RunFolder,
        circuit: SNN,
        best: Shortlist,
        which: int = 0,
        name: str = "best",
        **notes: Any,
    ) -> None:
        """Save a candidate of the shortlist with what is known of it."""
        kept = copy.deepcopy(circuit)  # the search goes on from its own genes
        vector_to_parameters(best.genes[which], kept.parameters())
        notes |= {
            "role": self.role,
            "validation": best.losses[which],
            "found": best.found[which],
            **self.notes(circuit),
        }
        controllers.save(kept, run.path / f"{name}.safetensors", **notes)

    def notes(self, circuit: SNN) -> dict[str, Any]:
        """What the search adds to the weights' notes."""
        return {}

    def losses(self, circuit: SNN, genes: Tensor, flights: Flights) -> dict[str, Tensor]:
        """``loss``, ``mae``, ``correlation`` of rows of genes, (rows,), averaged over the flights."""
        outputs, _ = open_loop(circuit, genes, flights.errors)
        return {
            name: values.mean(1).float() for name, values in costs(outputs, flights.targets).items()
        }

    def fly(self, circuit: SNN, genes: Tensor, task: str, **plant: Any) -> np.ndarray:
        """Closed-loop cost (m) of rows of genes, (rows,), on validation starts.

        Beside the rest of the law, under a ballast drawn from +-4 units: steady-state error. pd: and alone on the
        neutral blimp, steady-state error + oscillation.
        """
        rest = {"kp": self.kp, "kd": self.kd, "ki": 0.0, "derivative": "mean"}
        if self.role == "pd":
            rest = {"kp": 0.0, "kd": 0.0, "ki": self.ki}
        env = make_env(task, CLOSED * len(genes), ballast=None, **plant)
        law = controllers.make("pid", env, **rest)
        gains = parameters_to_vector(law.parameters()).detach().expand(len(genes), -1)
        seeds = start_seeds(VALIDATION, 0, 1, CLOSED) * len(genes)
        pair = Population(Sum.of(law, circuit), env.num_envs, torch.cat([gains, genes], dim=1))
        score, _ = rollout(env, pair, seeds)
        cost = np.where(score.failed, np.inf, score.metrics["steady_state_error"])
        if self.role == "pd":
            env = make_env(task, CLOSED * len(genes), **plant)
            alone, _ = rollout(env, Population(circuit, env.num_envs, genes), seeds)
            figures = alone.metrics["steady_state_error"] + alone.metrics["oscillation"]
            cost = cost + np.where(alone.failed, np.inf, figures)
        return cost.reshape(len(genes), CLOSED).mean(1)

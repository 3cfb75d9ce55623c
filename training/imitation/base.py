"""Learning to imitate a PD or I controller from recorded flights: what evolution and back-propagation share.

Source: arXiv 2309.12937; docs/systems/blimp.md, "Training". Training, validation and test flights never share a seed.
The validation flights choose a shortlist; the shortlist flies in closed loop, and the best pilot in it is the run's
result, since an open loop does not show drift.
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
from ..loop import Figures, Training, crossed, run_training
from ..rollout import make_env, rollout
from ..runs.folder import RunFolder
from ..trainer import TRAINING, VALIDATION, Trainer, start_seeds
from .flights import Flights, integral, proportional_derivative

CLOSED = 16
"""number of closed-loop flights of every candidate on the shortlist"""
NEAR = 1.1
"""a candidate on the shortlist may have this many times the loss of its best, and still be chosen"""
PLANT_OPTIONS = ("body", "randomise", "gaps")
"""options of the task that change the blimp: flights are recorded, and the shortlist flies, with them"""


@dataclass
class Shortlist:
    """The `size` best candidates so far by validation loss; three lists in the same order, the best first."""

    size: int
    """largest number of candidates"""
    genes: list[Tensor] = field(default_factory=list)
    """genes of each candidate, (genes,)"""
    losses: list[float] = field(default_factory=list)
    """loss of each on the validation flights"""
    found: list[int] = field(default_factory=list)
    """generation, or update, at which each was offered"""

    def offer(self, genes: Tensor, loss: float, when: int) -> bool:
        """Take a candidate in where it is good enough; behind those of equal loss.

        Args:
            genes: its genes, (genes,); copied.
            loss: its loss on the validation flights.
            when: the generation or update.

        Returns:
            Whether it is the best so far.
        """
        place = int(np.searchsorted(self.losses, loss, side="right"))
        if place < self.size:
            self.genes.insert(place, genes.clone())
            self.losses.insert(place, loss)
            self.found.insert(place, when)
            del self.genes[self.size :]
            del self.losses[self.size :]
            del self.found[self.size :]
        return place == 0

    def state(self) -> dict[str, Any]:
        """The candidates, for a checkpoint."""
        return {"genes": torch.stack(self.genes), "losses": self.losses, "found": self.found}

    def restore(self, saved: dict[str, Any]) -> None:
        """Take up the candidates that `state` gave."""
        self.genes = list(saved["genes"])
        self.losses = list(saved["losses"])
        self.found = list(saved["found"])


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
    def training(
        self, run: RunFolder, circuit: SNN, train: Flights, held: Flights, best: Shortlist
    ) -> ImitationTraining:
        """Make the search, at its beginning.

        Args:
            run: where the best candidate is kept.
            circuit: the network; the search begins at its genes.
            train: flights to train on.
            held: flights that choose the shortlist.
            best: the shortlist, still empty; the search offers its candidates to it.
        """

    def check(self) -> None:
        """Counts must be positive."""
        super().check()
        self.at_least(1, "sets", "validation", "validate_every", "shortlist")

    def refusal(self, controller: Controller) -> str | None:
        """Refuse anything but one spiking network."""
        if isinstance(controller, SNN):
            return None
        return "is no spiking network (snn)"

    def adapt_task(self, task: Task, controller: Controller) -> dict[str, Any]:
        """Refuse a task without recording flights."""
        if not isinstance(task, BlimpAltitude):
            raise LanceletError(
                f"imitation needs flights to imitate: {type(task).__name__} has none, use blimp-altitude"
            )
        return {}

    def flights(self, task: str, first: int, count: int, **options: Any) -> Flights:
        """Record flights of a split.

        Args:
            task: its id.
            first: first seed of the split, `TRAINING` or `VALIDATION`.
            count: number of flights.
            **options: of the task.
        """
        # The validation flights are the same for every seed of a run, so that losses of runs can be compared.
        seed = self.seed if first == TRAINING else 0
        return self.recorded(task, start_seeds(first, seed, 0, count), **options)

    def recorded(self, task: str, seeds: list[int], **options: Any) -> Flights:
        """Record the flights of these seeds, with this role's targets.

        Args:
            task: its id.
            seeds: one a flight.
            **options: of the task.
        """
        if self.role == "i":
            return integral(seeds, self.kp, self.ki, self.kd, self.clip)
        return proportional_derivative(task, seeds, self.kp, self.kd, self.clip, **options)

    def learn(
        self, run: RunFolder, controller: Controller, task: str, task_options: dict[str, Any]
    ) -> None:
        """Record flights, search, then let the shortlist fly, and keep its best pilot."""
        assert isinstance(controller, SNN)
        plant = {name: task_options[name] for name in PLANT_OPTIONS if task_options.get(name)}
        train = self.flights(task, TRAINING, self.sets, **plant)
        held = self.flights(task, VALIDATION, self.validation, **plant)
        best = Shortlist(self.shortlist)
        run_training(run, self.training(run, controller, train, held, best), self.quiet)
        closed_loop = self.fly(controller, torch.stack(best.genes), task, **plant)
        pilot = best_pilot(best.losses, closed_loop)
        self._keep_flown(run, controller, best, 0, "best_loss", closed_loop)
        self._keep_flown(run, controller, best, pilot, "best", closed_loop)

    def _keep_flown(
        self,
        run: RunFolder,
        circuit: SNN,
        best: Shortlist,
        which: int,
        name: str,
        closed_loop: np.ndarray,
    ) -> None:
        """Save a candidate with its cost in closed loop (m); None where it failed."""
        cost = float(closed_loop[which])
        noted = cost if np.isfinite(cost) else None
        self.keep(run, circuit, best, which, name, closed_loop=noted)

    def keep(
        self,
        run: RunFolder,
        circuit: SNN,
        best: Shortlist,
        which: int = 0,
        name: str = "best",
        **notes: Any,
    ) -> None:
        """Save a candidate of the shortlist with what is known of it.

        Args:
            run: where.
            circuit: of the same structure; it is left as it is.
            best: the shortlist.
            which: place of the candidate in it.
            name: of the file, without ``.safetensors``.
            **notes: further notes, in front of the others.
        """
        candidate = copy.deepcopy(circuit)
        vector_to_parameters(best.genes[which], candidate.parameters())
        notes |= {
            "role": self.role,
            "validation": best.losses[which],
            "found": best.found[which],
            **self.notes(circuit),
        }
        controllers.save(candidate, run.path / f"{name}.safetensors", **notes)

    def notes(self, circuit: SNN) -> dict[str, Any]:
        """Say what the search adds to the weights' notes."""
        return {}

    def losses(self, circuit: SNN, genes: Tensor, flights: Flights) -> dict[str, Tensor]:
        """Score rows of genes in open loop.

        Args:
            circuit: of their structure.
            genes: (rows, genes).
            flights: what to imitate.

        Returns:
            ``loss``, ``mae`` and ``correlation``, (rows,) each, averaged over the flights.
        """
        outputs, _ = open_loop(circuit, genes, flights.errors)
        figures = costs(outputs, flights.targets)
        return {name: values.mean(1).float() for name, values in figures.items()}

    def fly(self, circuit: SNN, genes: Tensor, task: str, **plant: Any) -> np.ndarray:
        """Cost in closed loop (m) of rows of genes, on validation starts.

        The network flies beside the rest of the law, under a ballast that each flight draws: steady-state error. In the
        role ``pd`` it flies alone on the neutral blimp as well: steady-state error + oscillation.

        Args:
            circuit: of their structure.
            genes: (rows, genes).
            task: its id.
            **plant: options of the task that change the blimp.

        Returns:
            (rows,); infinite where a flight failed.
        """
        rows = len(genes)
        # Every row of genes flies the same starts: flight i is of row i // CLOSED.
        starts = start_seeds(VALIDATION, seed=0, generation=1, count=CLOSED)
        seeds = starts * rows
        cost = self._cost_beside_the_law(circuit, genes, task, seeds, plant)
        if self.role == "pd":
            cost = cost + _cost_alone(circuit, genes, task, seeds, plant)
        return cost.reshape(rows, CLOSED).mean(1)

    def _cost_beside_the_law(
        self, circuit: SNN, genes: Tensor, task: str, seeds: list[int], plant: dict[str, Any]
    ) -> np.ndarray:
        """Cost of every flight of the network together with the part of the law that it does not imitate."""
        if self.role == "pd":
            other_part = {"kp": 0.0, "kd": 0.0, "ki": self.ki}
        else:
            other_part = {"kp": self.kp, "kd": self.kd, "ki": 0.0, "derivative": "mean"}
        # ballast=None: every flight draws its own.
        env = make_env(task, len(seeds), ballast=None, **plant)
        law = controllers.make("pid", env, **other_part)
        gains = parameters_to_vector(law.parameters()).detach().expand(len(genes), -1)
        weights = torch.cat([gains, genes], dim=1)
        pilots = Population(Sum.of(law, circuit), env.num_envs, weights)
        score, _ = rollout(env, pilots, seeds)
        return np.where(score.failed, np.inf, score.metrics["steady_state_error"])


def _cost_alone(
    circuit: SNN, genes: Tensor, task: str, seeds: list[int], plant: dict[str, Any]
) -> np.ndarray:
    """Cost of every flight of the network alone on the neutral blimp."""
    env = make_env(task, len(seeds), **plant)
    score, _ = rollout(env, Population(circuit, env.num_envs, genes), seeds)
    cost = score.metrics["steady_state_error"] + score.metrics["oscillation"]
    return np.where(score.failed, np.inf, cost)


def best_pilot(losses: list[float], closed_loop: np.ndarray) -> int:
    """Place of the best pilot in closed loop among candidates whose loss is near that of the best.

    Args:
        losses: of the candidates, the lowest first.
        closed_loop: their cost in closed loop, m.
    """
    near = [place for place, loss in enumerate(losses) if loss <= NEAR * losses[0]]
    return min(near, key=lambda place: closed_loop[place])


class ImitationTraining(Training):
    """A search that offers its candidates to a shortlist every `validate_every` iterations.

    Args:
        options: the algorithm.
        run: where the best candidate is kept.
        circuit: the network; the search begins at its genes.
        held: flights that choose the shortlist.
        best: the shortlist, still empty.
    """

    def __init__(
        self, options: Imitation, run: RunFolder, circuit: SNN, held: Flights, best: Shortlist
    ) -> None:
        self._imitation = options
        self._run = run
        self._circuit = circuit
        self._held = held
        self._best = best

    def begin(self) -> Figures:
        """Put the network's own genes on the shortlist."""
        genes = parameters_to_vector(self._circuit.parameters()).detach()
        self._offer(genes[None])
        return {}

    def shown(self, figures: Figures) -> Figures:
        """The best loss on the validation flights, and the correlation, where there was a choice."""
        if not figures:
            return {}
        return {"validation": figures["best"], "correlation": figures["correlation"]}

    def _is_choice(self, before: int) -> bool:
        """Whether `validate_every` iterations are done since the last choice."""
        return crossed(before, self.done, self._imitation.validate_every)

    def _offer(self, candidates: Tensor) -> Figures:
        """Offer rows of genes to the shortlist, and keep its best; the figures of the best row."""
        losses = self._imitation.losses(self._circuit, candidates, self._held)
        for genes, loss in zip(candidates, losses["loss"].tolist(), strict=True):
            self._best.offer(genes, loss, self.done)
        self._imitation.keep(self._run, self._circuit, self._best)
        lowest = losses["loss"].argmin()
        return {name: values[lowest].item() for name, values in losses.items()}

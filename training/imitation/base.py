"""Learning to imitate a PD or I controller from recorded flights: what evolution and back-propagation share.

Source: arXiv 2309.12937; docs/systems/blimp.md, "Training". Training, validation and test flights never share a seed.
The validation flights choose a shortlist; the shortlist flies in closed loop, and the best pilot in it is the run's
result, since an open loop does not show drift.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from ... import controllers
from ...controllers import Controller
from ...controllers.spiking.kernel import costs
from ...controllers.spiking.kernel import run as open_loop
from ...controllers.spiking.snn import SNN
from ...envs import Task
from ...envs.blimp import BlimpAltitude
from ...errors import LanceletError
from ..loop import Figures, Training, crossed, run_training
from ..runs.folder import RunFolder
from ..trainer import TRAINING, VALIDATION, Trainer, start_seeds
from . import closed_loop
from .flights import Flights, integral, proportional_derivative
from .shortlist import Candidate, Shortlist

PLANT_OPTIONS = ("body", "randomise", "gaps")
"""options of the task that change the blimp: flights are recorded, and the shortlist flies, with them"""


@dataclass(frozen=True, kw_only=True)
class Recordings:
    """The flights of a run."""

    training: Flights
    """flights to train on"""
    validation: Flights
    """flights that choose the shortlist"""


@dataclass(kw_only=True)
class Imitation(Trainer):
    """Imitate one part of the PID law; subclasses search. The loss is MAE + 1 - correlation, averaged over flights."""

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
        self, run: RunFolder, circuit: SNN, recordings: Recordings, shortlist: Shortlist
    ) -> ImitationTraining:
        """Make the search, at its beginning.

        Args:
            run: where the best candidate is kept.
            circuit: the network; the search begins at its genes.
            recordings: flights to train on, and flights that choose the shortlist.
            shortlist: still empty; the search offers its candidates to it.
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
            return integral(seeds, kp=self.kp, ki=self.ki, kd=self.kd, clip=self.clip)
        return proportional_derivative(
            task, seeds, kp=self.kp, kd=self.kd, clip=self.clip, **options
        )

    def learn(
        self, run: RunFolder, controller: Controller, task: str, task_options: dict[str, Any]
    ) -> None:
        """Record flights, search, then let the shortlist fly, and keep its best pilot."""
        assert isinstance(controller, SNN)
        plant = {name: task_options[name] for name in PLANT_OPTIONS if task_options.get(name)}
        recordings = Recordings(
            training=self.flights(task, TRAINING, self.sets, **plant),
            validation=self.flights(task, VALIDATION, self.validation, **plant),
        )
        shortlist = Shortlist(self.shortlist)
        run_training(run, self.training(run, controller, recordings, shortlist), self.quiet)

        candidates = shortlist.candidates
        genes = torch.stack([candidate.genes for candidate in candidates])
        flown_costs = self.fly(controller, genes, task, **plant)
        losses = [candidate.loss for candidate in candidates]
        pilot = closed_loop.best_pilot(losses, flown_costs)
        for name, place in {"best_loss": 0, "best": pilot}.items():
            # JSON, in which notes are saved, has no infinity: None stands for a failure.
            cost = float(flown_costs[place])
            noted = cost if np.isfinite(cost) else None
            self.keep(run, controller, candidates[place], name, closed_loop=noted)

    def keep(
        self,
        run: RunFolder,
        circuit: SNN,
        candidate: Candidate,
        name: str = "best",
        **notes: Any,
    ) -> None:
        """Save a candidate with what is known of it.

        Args:
            run: where.
            circuit: of the same structure; it is left as it is.
            candidate: of the shortlist.
            name: of the file, without ``.safetensors``.
            **notes: further notes, in front of the others.
        """
        network = copy.deepcopy(circuit)
        vector_to_parameters(candidate.genes, network.parameters())
        notes |= {
            "role": self.role,
            "validation": candidate.loss,
            "found": candidate.found_at,
            **self.notes(circuit),
        }
        controllers.save(network, run.path / f"{name}.safetensors", **notes)

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

        In both roles the network flies beside the part of the law that it does not imitate. In the role ``pd`` it
        flies alone on the neutral blimp as well, and the costs are added.

        Args:
            circuit: of their structure.
            genes: (rows, genes).
            task: its id.
            **plant: options of the task that change the blimp.

        Returns:
            (rows,); infinite where a flight failed.
        """
        rest_of_law = self._rest_of_law()
        cost = closed_loop.cost_with_rest_of_law(circuit, genes, task, rest_of_law, **plant)
        if self.role == "pd":
            cost = cost + closed_loop.cost_alone(circuit, genes, task, **plant)
        return closed_loop.mean_of_flights(cost)

    def _rest_of_law(self) -> dict[str, Any]:
        """Options of the PID controller that leave out the part which the network imitates."""
        if self.role == "pd":
            return {"kp": 0.0, "kd": 0.0, "ki": self.ki}
        return {"kp": self.kp, "kd": self.kd, "ki": 0.0, "derivative": "mean"}


class ImitationTraining(Training):
    """A search that offers its candidates to a shortlist every `validate_every` iterations.

    Args:
        options: the algorithm.
        run: where the best candidate is kept.
        circuit: the network; the search begins at its genes.
        recordings: flights to train on, and flights that choose the shortlist.
        shortlist: still empty.
    """

    def __init__(
        self,
        options: Imitation,
        run: RunFolder,
        circuit: SNN,
        recordings: Recordings,
        shortlist: Shortlist,
    ) -> None:
        self._imitation = options
        self._run = run
        self._circuit = circuit
        self._recordings = recordings
        self._shortlist = shortlist

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
        """Whether the iteration that began at `before` reached a multiple of `validate_every`."""
        return crossed(before, self.done, self._imitation.validate_every)

    def _offer(self, candidates: Tensor) -> Figures:
        """Offer rows of genes to the shortlist, and save its best; the figures of the best row."""
        figures = self._imitation.losses(self._circuit, candidates, self._recordings.validation)
        for genes, loss in zip(candidates, figures["loss"].tolist(), strict=True):
            self._shortlist.offer(genes, loss, self.done)
        self._imitation.keep(self._run, self._circuit, self._shortlist.best)
        best_row = figures["loss"].argmin()
        return {name: values[best_row].item() for name, values in figures.items()}

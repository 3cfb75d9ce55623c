"""The networks of the blimp study: trained open loop to imitate PD and I, resumable, two processes side by side.

Structures and training: docs/systems/blimp.md, "The neurons" and "Training".

The covariance of CMA-ES is diagonal throughout: in a trial of LIF on the PD task it came to a validation loss of 0.76
within 1,500 generations, where the full one stood at 0.87 after 2,500 and had all but stopped.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch.nn.utils import parameters_to_vector

from lancelet import controllers
from lancelet.controllers import Controller
from lancelet.controllers.spiking.snn import SNN
from lancelet.scripts.studies.blimp.plant import TASK
from lancelet.scripts.study import Size
from lancelet.training.evolution.workers import parallel
from lancelet.training.imitation.flights import Flights
from lancelet.training.imitation.imitate import Imitate
from lancelet.training.imitation.surrogate import Surrogate
from lancelet.training.runs.progress import progress

Role = Literal["pd", "i"]
"""part of the PID law that a network imitates"""
ROLES: tuple[Role, ...] = ("pd", "i")
STRUCTURES = ("lif", "iwta-lif", "r-lif", "r-iwta-lif")
HEADLINE: dict[Role, str] = {"pd": "lif", "i": "iwta-lif"}
"""role -> structure of the pair that flew"""


class SeedCounts(NamedTuple):
    """How often each structure is trained."""

    headline: int
    """Trainings of a structure that flew, in the role in which it flew."""
    others: int
    """Trainings of every other structure and role."""


SEEDS: dict[Size, SeedCounts] = {
    "quick": SeedCounts(headline=1, others=0),
    "shown": SeedCounts(headline=5, others=2),
    "full": SeedCounts(headline=30, others=30),
}
GENERATIONS: dict[Size, dict[Role, int]] = {
    "quick": {"pd": 400, "i": 150},
    "shown": {"pd": 3000, "i": 4000},
    "full": {"pd": 50_000, "i": 50_000},
}
"""generations of an evolution"""
TESTS = 5
"""test flights, seen by no training and no choice"""
FIRST_TEST = 1000
"""seed of the first test flight"""
LARGEST_DECAY: dict[Role, float] = {"pd": 1.0, "i": 0.3}
"""of the decoder; that of I is so small that the decoder cannot integrate by itself"""
ENDLESS = 10**9
"""updates of a search that ends by its seconds"""
BEST = "best"
"""name of the weights of a run that fly best in closed loop, on validation starts"""
BEST_LOSS = "best_loss"
"""name of the weights of a run whose loss on validation flights is least; they are written last"""
FIGURES = ("loss", "mae", "correlation")
"""what `losses` measures: MAE + 1 - correlation, and its two parts"""


@dataclass(frozen=True)
class Job:
    """One network to train."""

    role: Role
    structure: str
    seed: int
    size: Size
    """Size of the study, which decides how many generations there are."""
    seconds: float | None = None
    """Seconds of a search by surrogate gradients; None: the network is evolved."""

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        method = "" if self.seconds is None else "-surrogate"
        study = Path("runs") / f"reproduce-blimp-{self.size}"
        return study / f"{self.role}-{self.structure}-{self.seed}{method}"


def jobs(size: Size) -> list[Job]:
    """What the study trains, the headline structures first."""
    headline = []
    others = []
    for structure in STRUCTURES:
        for role in ROLES:
            if HEADLINE[role] == structure:
                headline.append((role, structure))
            else:
                others.append((role, structure))
    # A study that is broken off has at least what its closed loop needs.
    counts = SEEDS[size]
    result = []
    for role, structure in headline:
        result += [
            Job(role=role, structure=structure, seed=seed, size=size)
            for seed in range(counts.headline)
        ]
    for role, structure in others:
        result += [
            Job(role=role, structure=structure, seed=seed, size=size)
            for seed in range(counts.others)
        ]
    return result


def train(job: Job) -> None:
    """Train one network, or go on where an earlier run stopped; nothing happens where it is done."""
    # The file that a run writes last says that it is done.
    if (job.folder / f"{BEST_LOSS}.safetensors").exists():
        return
    settings: dict[str, Any] = {
        "role": job.role,
        "seed": job.seed,
        "folder": str(job.folder),
        "resume": True,
        "test": 0,
        "quiet": True,
    }
    if job.seconds is None:
        generations = GENERATIONS[job.size][job.role]
        trainer = Imitate(generations=generations, covariance="diagonal", **settings)
    else:
        trainer = Surrogate(updates=ENDLESS, seconds=job.seconds, **settings)
    options = {
        "hidden": job.structure,
        "seed": job.seed,
        "decoder_decay": (0.0, LARGEST_DECAY[job.role]),
    }
    trainer.train(TASK, "snn", controller_options=options)


def train_all(todo: list[Job], fresh: bool = False) -> None:
    """Train all networks, two at a time.

    Args:
        todo: the networks.
        fresh: begin from the beginning, whatever earlier runs left.
    """
    if fresh:
        for job in todo:
            shutil.rmtree(job.folder, ignore_errors=True)
    with progress("training networks", len(todo), "network") as advance:
        for _ in parallel(train, todo):
            advance()


def trained(job: Job, name: str = BEST) -> Controller:
    """The network of a finished job.

    Args:
        job: that is done.
        name: `BEST` in closed loop, or `BEST_LOSS` on validation flights.
    """
    return controllers.load(job.folder / f"{name}.safetensors")


def held_flights(role: Role) -> Flights:
    """The test flights of a role."""
    seeds = list(range(FIRST_TEST, FIRST_TEST + TESTS))
    return Imitate(role=role).recorded(TASK, seeds)


def losses(role: Role, networks: list[Controller], held: Flights) -> dict[str, np.ndarray]:
    """How well networks imitate.

    Args:
        role: that they imitate.
        networks: of any structures.
        held: flights that they were not trained on.

    Returns:
        Each of `FIGURES`, (networks,).
    """
    trainer = Imitate(role=role)
    rows = []
    # One by one: networks of several structures cannot be stacked.
    for network in networks:
        assert isinstance(network, SNN)
        genes = parameters_to_vector(network.parameters()).detach()[None]
        rows.append(trainer.losses(network, genes, held))
    figures = {}
    for name in FIGURES:
        figures[name] = torch.cat([row[name] for row in rows]).numpy()
    return figures

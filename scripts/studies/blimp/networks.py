"""The networks of the blimp study: trained open loop to imitate PD and I, resumable, two processes side by side.

The covariance is diagonal throughout: in a trial of LIF on the PD task it came to a validation loss of 0.76 within
1,500 generations, where the full one stood at 0.87 after 2,500 and had all but stopped.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parameters_to_vector

from lancelet import controllers
from lancelet.controllers import Controller
from lancelet.scripts.studies.blimp.plant import TASK
from lancelet.scripts.study import Size
from lancelet.training.evolution.workers import parallel
from lancelet.training.imitation.flights import Flights
from lancelet.training.imitation.imitate import Imitate
from lancelet.training.imitation.surrogate import Surrogate
from lancelet.training.runs.progress import progress

STRUCTURES = ("lif", "iwta-lif", "r-lif", "r-iwta-lif")
HEADLINE = {"pd": "lif", "i": "iwta-lif"}
"""the pair that flew"""
SEEDS = {"quick": (1, 0), "shown": (5, 2), "full": (30, 30)}
"""runs of the headline structures, and of the others"""
GENERATIONS = {
    "quick": {"pd": 400, "i": 150},
    "shown": {"pd": 3000, "i": 4000},
    "full": {"pd": 50_000, "i": 50_000},
}
TESTS, FIRST_TEST = 5, 1000
"""test flights, seen by no training and no choice, and the first of their seeds"""
TRACKED = 0.3
"""largest decay of the decoder for I, so that it cannot integrate by itself"""


@dataclass(frozen=True)
class Job:
    """One network to train."""

    role: str
    structure: str
    seed: int
    size: Size
    seconds: float | None = None
    """search by surrogate gradients for so long; none: evolution"""

    @property
    def folder(self) -> Path:
        """Of its run."""
        how = "" if self.seconds is None else "-surrogate"
        return (
            Path("runs")
            / f"reproduce-blimp-{self.size}"
            / f"{self.role}-{self.structure}-{self.seed}{how}"
        )


def jobs(size: Size) -> list[Job]:
    """What the study trains, the headline structures first."""
    many, few = SEEDS[size]
    order = [(role, structure) for structure in STRUCTURES for role in ("pd", "i")]
    order.sort(key=lambda pair: HEADLINE[pair[0]] != pair[1])
    counts = {pair: many if HEADLINE[pair[0]] == pair[1] else few for pair in order}
    return [
        Job(role, structure, seed, size)
        for (role, structure), n in counts.items()
        for seed in range(n)
    ]


def train(job: Job) -> None:
    """Train one network, or go on; nothing where it is done."""
    if (job.folder / "best_loss.safetensors").exists():  # written last
        return
    settings: dict[str, Any] = {
        "role": job.role, "seed": job.seed, "folder": str(job.folder), "resume": True, "test": 0, "quiet": True,
    }  # fmt: skip
    if job.seconds is None:
        trainer: Any = Imitate(
            generations=GENERATIONS[job.size][job.role], covariance="diagonal", **settings
        )
    else:
        trainer = Surrogate(updates=10**9, seconds=job.seconds, **settings)
    decay = (0.0, TRACKED) if job.role == "i" else (0.0, 1.0)
    options = {"hidden": job.structure, "seed": job.seed, "decoder_decay": decay}
    trainer.train(TASK, "snn", controller_options=options)


def train_all(todo: list[Job], fresh: bool = False) -> None:
    """All of them, two at a time; `fresh`: from the beginning, whatever earlier runs left."""
    for job in todo if fresh else ():
        shutil.rmtree(job.folder, ignore_errors=True)
    with progress("training networks", len(todo), "network") as advance:
        for _ in parallel(train, todo):
            advance()


def trained(job: Job, name: str = "best") -> Controller:
    """The network of a finished job: ``best`` in closed loop, or ``best_loss`` by validation flights."""
    return controllers.load(job.folder / f"{name}.safetensors")


def flights(role: str) -> Flights:
    """The test flights of a role."""
    seeds = list(range(FIRST_TEST, FIRST_TEST + TESTS))
    trainer = Imitate(role=role)  # pyright: ignore[reportArgumentType]
    return trainer.recorded(TASK, seeds)


def losses(role: str, networks: list[Controller], held: Flights) -> dict[str, np.ndarray]:
    """Test ``loss``, ``mae`` and ``correlation`` of each network."""
    trainer, rows = Imitate(role=role), []  # pyright: ignore[reportArgumentType]
    for one in networks:
        genes = parameters_to_vector(one.parameters()).detach()[None]
        rows.append(trainer.losses(one, genes, held))  # pyright: ignore[reportArgumentType]
    return {
        name: torch.cat([row[name] for row in rows]).numpy()
        for name in ("loss", "mae", "correlation")
    }

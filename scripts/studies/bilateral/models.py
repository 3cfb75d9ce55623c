"""The networks of the bilateral study: seven models and two baselines, all seeds of a task and loss as one batch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch.nn.utils import parameters_to_vector

from lancelet import controllers
from lancelet.controllers.bilateral import Bilateral, joined
from lancelet.scripts.studies.bilateral.plant import TASKS
from lancelet.scripts.study import Size
from lancelet.training.evolution.workers import parallel
from lancelet.training.runs import checkpoint
from lancelet.training.runs.progress import progress
from lancelet.training.twins.cohort import Cohort, Pupil
from lancelet.training.twins.course import course
from lancelet.training.twins.losses import Mode

MODES: tuple[Mode, ...] = ("intended", "as_released")
MIXED, FIRST, SECOND, BOTH = (
    ("mixed", "mixed"),
    ("loss1", "loss1"),
    ("loss2", "loss2"),
    ("loss1", "loss2"),
)
MODELS: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "U-N": ({"columns": 1}, MIXED),
    "U-D": ({"columns": 1}, FIRST),
    "U-ND": ({"columns": 1}, SECOND),
    "B-N": ({}, MIXED),
    "B-S": ({}, BOTH),
    "CC-N": ({"callosum": True}, MIXED),
    "CC-S": ({"callosum": True}, BOTH),
}
"""the seven of the paper's grid: structure, and the losses of left and right column"""
BASELINES = ("U8-N", "E-N")
"""beyond it, under the intended loss: one column of 8 units (262 weights), and the mean of two of 5 (302)"""
HALF = 1000
"""added to the seed of the ensemble's other half"""
SEEDS = {"quick": 2, "shown": 10, "full": 10}
UPDATES = {"quick": 0, "shown": 1300, "full": 5000}
"""annealed; in a trial on reach (two U-N, one B-S) 600 at 6e-3 came to the mixed loss of 1,500 at 3e-3"""
RATE = 6e-3
"""of Adam, falling evenly to a tenth"""
VALIDATE, HELD, BATCH, STEPS = 100, 256, 64, 50
"""updates between validations; held trials; fresh trials an update; control steps of a trial"""
KEPT = Path(__file__).resolve().parents[3] / "results" / "bilateral"

Brains = dict[str, tuple[Bilateral, torch.Tensor]]
"""model -> a controller of its structure, and the weights of every seed, (seeds, parameters)"""


@dataclass(frozen=True)
class Cell:
    """A task and a loss: one cohort."""

    task: str
    mode: Mode
    size: Size

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.task}-{self.mode}"

    @property
    def path(self) -> Path:
        """Of its state while it trains, and after."""
        return Path("runs") / f"reproduce-bilateral-{self.size}" / f"{self.name}.safetensors"

    @property
    def id(self) -> str:
        """Of the task."""
        return TASKS[self.task]


def cells(size: Size) -> list[Cell]:
    """What the study trains."""
    return [Cell(task, mode, size) for mode in MODES for task in TASKS]


def pupils(cell: Cell) -> list[tuple[str, Pupil]]:
    """Name and pupil of all models and seeds; the halves of the ensemble are named apart.

    Loss 2 has no regulariser, so that U-ND is the same under both modes: it is trained under the intended one.
    """
    env, found = gym.make(cell.id), []
    for seed in range(SEEDS[cell.size]):
        for name, (options, losses) in MODELS.items():
            if name == "U-ND" and cell.mode == "as_released":
                continue
            found.append(
                (
                    name,
                    Pupil(controllers.make("bilateral", env, seed=seed, **options), losses, seed),
                )
            )
        if cell.mode == "intended":
            for name, units, own in (
                ("U8-N", 8, seed),
                ("left half", 5, seed),
                ("right half", 5, seed + HALF),
            ):
                one = controllers.make("bilateral", env, seed=own, columns=1, units=units)
                found.append((name, Pupil(one, MIXED, own)))
    return found


def cohort(cell: Cell) -> Cohort:
    """All models of a cell, untrained."""
    env: Any = gym.make(cell.id).unwrapped
    members = [pupil for _, pupil in pupils(cell)]
    path = course(env.task, STEPS)
    settings = {"batch": BATCH, "validation": HELD, "rate": RATE, "anneal": UPDATES[cell.size]}
    return Cohort(path, members, cell.mode, **settings)


def train(cell: Cell) -> None:
    """Train a cell, or go on from where its file is; nothing where it is done."""
    torch.set_num_threads(1)
    updates, seconds, log = UPDATES[cell.size], 0.0, []
    saved = checkpoint.load(cell.path) if cell.path.exists() else None
    if saved is not None and saved["cohort"]["updates"] >= updates:
        return
    group = cohort(cell)
    if saved is None:
        log.append(group.validate()["loss"])
    else:
        group.load_state_dict(saved["cohort"])
        seconds, log = saved["seconds"], list(saved["log"])
    begun = time.monotonic() - seconds
    while group.updates < updates:
        group.update()
        if group.updates % VALIDATE == 0:
            log.append(group.validate()["loss"])
            state = {
                "cohort": group.state_dict(),
                "log": np.stack(log),
                "seconds": time.monotonic() - begun,
            }
            checkpoint.save(cell.path, state)


def train_all(size: Size, fresh: bool = False) -> None:
    """All cells, two at a time; `fresh`: from the beginning, whatever earlier runs left."""
    todo = cells(size)
    for cell in todo if fresh else ():
        cell.path.unlink(missing_ok=True)
    with progress("training cells", len(todo), "cell") as advance:
        for _ in parallel(train, todo):
            advance()


def trained(cell: Cell) -> Brains:
    """The best networks of a trained cell, the ensemble joined."""
    group = cohort(cell)
    group.load_state_dict(checkpoint.load(cell.path)["cohort"])
    found: dict[str, list[Any]] = {}
    for k, (name, _) in enumerate(pupils(cell)):
        found.setdefault(name, []).append(group.controller(k))
    halves = zip(found.pop("left half", []), found.pop("right half", []), strict=True)
    pairs = [joined(left, right, join="action") for left, right in halves]
    return _brains(found | ({"E-N": pairs} if pairs else {}))


def _brains(found: dict[str, list[Any]]) -> Brains:
    rows = {
        name: [parameters_to_vector(one.parameters()).detach() for one in ones]
        for name, ones in found.items()
    }
    return {name: (ones[0], torch.stack(rows[name])) for name, ones in found.items()}


def curves(cell: Cell) -> dict[str, np.ndarray]:
    """Mixed loss on the held trials, (validations, seeds), of each model."""
    log, names = np.asarray(checkpoint.load(cell.path)["log"]), [name for name, _ in pupils(cell)]
    return {
        name: log[:, [k for k, each in enumerate(names) if each == name]]
        for name in dict.fromkeys(names)
    }


def structure(name: str) -> Bilateral:
    """A controller of the structure of a model."""
    options = {"U8-N": {"columns": 1, "units": 8}, "E-N": {"join": "action"}}
    made = controllers.make(
        "bilateral",
        gym.make(TASKS["reach"]),
        **(options | {k: o for k, (o, _) in MODELS.items()})[name],
    )
    assert isinstance(made, Bilateral)
    return made


def keep(folder: Path, cell: Cell, brains: Brains) -> None:
    """Leave the weights of all models of a cell in one file."""
    checkpoint.save(
        folder / f"{cell.name}.safetensors",
        {name: weights for name, (_, weights) in brains.items()},
    )


def kept(cell: Cell, folder: Path | None = None) -> Brains | None:
    """The first seeds of a cell that an earlier study left in results/bilateral; None where it is not."""
    path = (KEPT if folder is None else folder) / f"{cell.name}.safetensors"
    if not path.exists():
        return None
    rows = checkpoint.load(path)
    return {name: (structure(name), weights[: SEEDS[cell.size]]) for name, weights in rows.items()}


def controller(brains: Brains, name: str, seed: int = 0) -> Bilateral:
    """One network as a controller of its own."""
    one, weights = brains[name]
    made = Bilateral(one.observation_space, one.action_space, one.options)
    torch.nn.utils.vector_to_parameters(weights[seed].clone(), made.parameters())
    return made

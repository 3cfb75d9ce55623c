"""The networks of the bilateral study: seven models and two baselines, all seeds of a task and loss as one batch.

Structures and losses: docs/systems/arm.md, "The networks" and "Losses".
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from lancelet import controllers
from lancelet.controllers.bilateral import Bilateral, joined
from lancelet.scripts.studies.bilateral.plant import STEPS, TASKS, TaskName
from lancelet.scripts.study import Size
from lancelet.training.evolution.workers import parallel
from lancelet.training.runs import checkpoint
from lancelet.training.runs.progress import progress
from lancelet.training.twins.cohort import Cohort
from lancelet.training.twins.course import course
from lancelet.training.twins.groups import Pupil
from lancelet.training.twins.losses import Mode

MODES: tuple[Mode, ...] = ("intended", "as_released")
"""loss modes, in the order of the rows"""
MIXED = ("mixed", "mixed")
"""losses of the left and the right column: the mixed loss drives both"""


class Model(NamedTuple):
    """One of the paper's models."""

    options: dict[str, Any]
    """Options of `controllers.bilateral.Bilateral`."""
    losses: tuple[str, str]
    """Losses that drive the left and the right column; one column takes both, which are then equal."""


MODELS = {
    "U-N": Model(options={"columns": 1}, losses=MIXED),
    "U-D": Model(options={"columns": 1}, losses=("loss1", "loss1")),
    "U-ND": Model(options={"columns": 1}, losses=("loss2", "loss2")),
    "B-N": Model(options={}, losses=MIXED),
    "B-S": Model(options={}, losses=("loss1", "loss2")),
    "CC-N": Model(options={"callosum": True}, losses=MIXED),
    "CC-S": Model(options={"callosum": True}, losses=("loss1", "loss2")),
}
"""the seven of the paper's grid"""
BASELINES: dict[str, dict[str, Any]] = {
    "U8-N": {"columns": 1, "units": 8},
    "E-N": {"join": "action"},
}
"""beyond the grid, under the intended loss: one column of 8 units (262 weights), and the mean of the actions of two
columns of 5 units that were trained apart (302 weights); options of their structure"""
ENSEMBLE_HALF: dict[str, Any] = {"columns": 1, "units": 5}
"""options of each of the two networks that E-N is joined from"""
LEFT_HALF = "left half"
RIGHT_HALF = "right half"
RIGHT_HALF_SEED = 1000
"""added to the seed of the ensemble's right half, so that its halves differ"""
SEEDS: dict[Size, int] = {"quick": 2, "shown": 10, "full": 10}
"""trainings of each model"""
UPDATES: dict[Size, int] = {"quick": 0, "shown": 1300, "full": 5000}
"""annealed; in a trial on reach (two U-N, one B-S) 600 at 6e-3 came to the mixed loss of 1,500 at 3e-3"""
RATE = 6e-3
"""learning rate of Adam, falling evenly to a tenth"""
VALIDATE = 100
"""updates between validations"""
HELD = 256
"""held trials, which the validation is on"""
BATCH = 64
"""fresh trials of an update"""
KEPT = Path(__file__).resolve().parents[3] / "results" / "bilateral"
"""folder of the committed networks"""

Brain = tuple[Bilateral, Tensor]
"""a controller of a model's structure, and the weights of every seed, (seeds, parameters)"""
Brains = dict[str, Brain]
"""model -> its networks"""


@dataclass(frozen=True)
class Cell:
    """A task and a loss mode, all of whose networks are trained as one cohort."""

    task: TaskName
    mode: Mode
    size: Size
    """Size of the study, which decides how many seeds and updates there are."""

    @property
    def name(self) -> str:
        """Name of the cell's file, without its ending."""
        return f"{self.task}-{self.mode}"

    @property
    def path(self) -> Path:
        """File of the cell's state, while it trains and after."""
        return Path("runs") / f"reproduce-bilateral-{self.size}" / f"{self.name}.safetensors"

    @property
    def id(self) -> str:
        """Id of the task."""
        return TASKS[self.task]


class Member(NamedTuple):
    """One network of a cohort."""

    name: str
    """Its model; each half of the ensemble has a name of its own."""
    pupil: Pupil
    """What is trained."""


def cells(size: Size) -> list[Cell]:
    """The cells that the study trains."""
    result = []
    for mode in MODES:
        result += [Cell(task, mode, size) for task in TASKS]
    return result


def pupils(cell: Cell) -> list[Member]:
    """All models and seeds of a cell, seed after seed.

    Loss 2 has no regulariser, so that U-ND is the same under both modes: it is trained under the intended one.
    """
    env = gym.make(cell.id)
    # Saved cells hold weights by number: `trained` and `curves` rely on this order.
    members = []
    for seed in range(SEEDS[cell.size]):
        for name, model in MODELS.items():
            if name == "U-ND" and cell.mode == "as_released":
                continue
            network = controllers.make("bilateral", env, seed=seed, **model.options)
            members.append(Member(name, Pupil(network, model.losses, seed)))
        if cell.mode == "intended":
            members += _baseline_members(env, seed)
    return members


def _baseline_members(env: gym.Env, seed: int) -> list[Member]:
    """The networks of the baselines of one seed; those of the ensemble are joined after training."""
    small = controllers.make("bilateral", env, seed=seed, **BASELINES["U8-N"])
    left = controllers.make("bilateral", env, seed=seed, **ENSEMBLE_HALF)
    right_seed = seed + RIGHT_HALF_SEED
    right = controllers.make("bilateral", env, seed=right_seed, **ENSEMBLE_HALF)
    return [
        Member("U8-N", Pupil(small, MIXED, seed)),
        Member(LEFT_HALF, Pupil(left, MIXED, seed)),
        Member(RIGHT_HALF, Pupil(right, MIXED, right_seed)),
    ]


def cohort(cell: Cell) -> Cohort:
    """All models of a cell, untrained."""
    env: Any = gym.make(cell.id).unwrapped
    return Cohort(
        course(env.task, STEPS),
        [member.pupil for member in pupils(cell)],
        cell.mode,
        batch=BATCH,
        validation=HELD,
        rate=RATE,
        anneal=UPDATES[cell.size],
    )


def train(cell: Cell) -> None:
    """Train a cell, or go on from where its file is; nothing happens where it is done.

    The file holds the cohort, the log of validation losses (validations, networks), and the seconds so far.
    """
    # Cells train side by side, one process each: more threads would only get in each other's way.
    torch.set_num_threads(1)
    saved = checkpoint.load(cell.path) if cell.path.exists() else None
    if saved is not None and saved["cohort"]["updates"] >= UPDATES[cell.size]:
        return
    group = cohort(cell)
    if saved is None:
        log = [group.validate()["loss"]]
        seconds_before = 0.0
    else:
        group.load_state_dict(saved["cohort"])
        log = list(saved["log"])
        seconds_before = saved["seconds"]
    begun = time.monotonic() - seconds_before
    while group.updates < UPDATES[cell.size]:
        group.update()
        if group.updates % VALIDATE == 0:
            # The cohort is saved after its validation, which keeps the best weights so far.
            log.append(group.validate()["loss"])
            state = {
                "cohort": group.state_dict(),
                "log": np.stack(log),
                "seconds": time.monotonic() - begun,
            }
            checkpoint.save(cell.path, state)


def train_all(size: Size, fresh: bool = False) -> None:
    """Train all cells, two at a time.

    Args:
        size: of the study.
        fresh: begin from the beginning, whatever earlier runs left.
    """
    todo = cells(size)
    if fresh:
        for cell in todo:
            cell.path.unlink(missing_ok=True)
    with progress("training cells", len(todo), "cell") as advance:
        for _ in parallel(train, todo):
            advance()


def trained(cell: Cell) -> Brains:
    """The best networks of a trained cell, the ensemble joined."""
    group = cohort(cell)
    group.load_state_dict(checkpoint.load(cell.path)["cohort"])
    networks: dict[str, list[Bilateral]] = {}
    for number, member in enumerate(pupils(cell)):
        network = group.controller(number)
        assert isinstance(network, Bilateral)
        networks.setdefault(member.name, []).append(network)
    left_halves = networks.pop(LEFT_HALF, [])
    right_halves = networks.pop(RIGHT_HALF, [])
    if left_halves:
        # The ensemble is no network that was trained: its halves are joined by the mean of their actions.
        networks["E-N"] = [
            joined(left, right, join="action")
            for left, right in zip(left_halves, right_halves, strict=True)
        ]
    return {name: _stacked(of_seeds) for name, of_seeds in networks.items()}


def _stacked(networks: list[Bilateral]) -> Brain:
    """Networks of one structure as one of them and the weights of all."""
    rows = [parameters_to_vector(network.parameters()).detach() for network in networks]
    return networks[0], torch.stack(rows)


def curves(cell: Cell) -> dict[str, np.ndarray]:
    """Mixed loss on the held trials, (validations, seeds), of each model."""
    log = np.asarray(checkpoint.load(cell.path)["log"])
    names = np.array([member.name for member in pupils(cell)])
    return {name: log[:, names == name] for name in dict.fromkeys(names.tolist())}


def structure(name: str) -> Bilateral:
    """A controller of the structure of a model or baseline, its weights as they begin."""
    options = BASELINES[name] if name in BASELINES else MODELS[name].options
    network = controllers.make("bilateral", gym.make(TASKS["reach"]), **options)
    assert isinstance(network, Bilateral)
    return network


def keep(folder: Path, cell: Cell, brains: Brains) -> None:
    """Save the weights of all models of a cell in one file.

    Args:
        folder: of the file.
        cell: whose networks they are.
        brains: the networks.
    """
    weights_by_name = {name: weights for name, (_, weights) in brains.items()}
    checkpoint.save(folder / f"{cell.name}.safetensors", weights_by_name)


def kept(cell: Cell, folder: Path | None = None) -> Brains | None:
    """The first seeds of a cell that `keep` left; None where its file is not there.

    Args:
        cell: whose networks are wanted.
        folder: of the file; None: that of the committed networks.
    """
    path = (folder or KEPT) / f"{cell.name}.safetensors"
    if not path.exists():
        return None
    weights_by_name = checkpoint.load(path)
    # A quick study measures fewer seeds than were committed.
    seeds = SEEDS[cell.size]
    return {name: (structure(name), weights[:seeds]) for name, weights in weights_by_name.items()}


def controller(brains: Brains, name: str, seed: int = 0) -> Bilateral:
    """One network as a controller of its own.

    Args:
        brains: the networks of a cell.
        name: of the model.
        seed: of the training.
    """
    # The template is shared by all seeds: its weights are not touched.
    template, weights = brains[name]
    network = Bilateral(template.observation_space, template.action_space, template.options)
    # A copy: the parameters would otherwise be views of the shared rows.
    vector_to_parameters(weights[seed].clone(), network.parameters())
    return network

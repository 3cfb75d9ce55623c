"""Gates A1 to A3 of the bilateral study: is the plant right, are the losses, is the network?

What each gate asks stands in docs/systems/arm.md, "Row codes".
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch

from lancelet import controllers
from lancelet.controllers import Controller
from lancelet.controllers.bilateral import Bilateral, crossed
from lancelet.scripts.rows import Row, at_most
from lancelet.scripts.studies.bilateral import models, plant
from lancelet.scripts.study import Study
from lancelet.training.twins.cohort import Cohort
from lancelet.training.twins.course import course
from lancelet.training.twins.groups import Pupil
from lancelet.training.twins.losses import LOSSES, MUSCLE, SENSED_COUNT, Loss

MILLIMETRES = 1000
"""in a metre"""
STRUCTURES = {
    "U": {"columns": 1},
    "U8": {"columns": 1, "units": 8},
    "B": {},
    "CC": {"callosum": True},
}
"""name of a structure in the rows -> its options"""
PARAMETER_COUNTS = "346/262/268/268"
"""weights of the four structures (docs/systems/arm.md, "The networks")"""
CALLOSUM_ADDS = [0, 0, 0, 2, 4]
"""what the callosum adds to the other column for the activity 1, 2, 3, 4, 5, computed by hand: the larger of each pair,
on the last units"""

# The weights of the mixed loss are written out again, not taken from `training.twins.losses`: gate A2 would otherwise
# hold whatever stands there.
POSITION_WEIGHT = 2.5
"""of P1 and of P2"""
REGULARISER_WEIGHT = 0.01
RATE_WEIGHT = 0.05
"""of a rate of change beside a level, in the regulariser"""
RELEASED_REFERENCE = "513.96 = 2.945 + 0.01 x (946.8 + 50153 + 1.18 + 0.116)"
"""total, base and penalties of an untrained network in the released code"""

Moved = dict[str, float]
"""part of the network -> largest change of one of its weights"""


def anatomy(study: Study) -> None:
    """Add the rows of A1 to A3: plant, losses, network."""
    add_inertia(study)
    for excitation, known in plant.ANCHORS.items():
        add_anchors(study, excitation, known)
    add_gaps(study, substeps=1, clock="10 ms", euler_reference="8-18")
    add_gaps(study, substeps=5, clock="5 x 2 ms", euler_reference="2-4")
    add_losses(study)
    add_network(study)


def add_inertia(study: Study) -> None:
    """A1: MuJoCo's inertia against the formulas."""
    measured = plant.inertia()
    differences = []
    for elbow_angle, known in plant.INERTIA.items():
        differences += [
            abs(ours - theirs) for ours, theirs in zip(measured[elbow_angle], known, strict=True)
        ]
    # "The spec" of this row's name is docs/systems/arm.md, "The arm"; names of committed rows stay as they are.
    name = "A1 inertia: largest difference from the spec (kg m²)"
    study.add(at_most(name, "gate", max(differences), 1e-4))


def add_anchors(study: Study, excitation: float, known: dict[str, float]) -> None:
    """A1: how far a constant excitation leaves the hand from its targets.

    Args:
        study: takes the row.
        excitation: of all muscles.
        known: figure -> what it must be.
    """
    measured = plant.anchors(excitation)
    largest = max(abs(measured[name] / value - 1) for name, value in known.items())
    figures = ", ".join(f"{name} {measured[name]:.3f}" for name in known)
    study.add(
        at_most(
            f"A1 excitation {excitation:g}: largest relative difference",
            "gate",
            largest,
            0.03,
            note=f"{figures}; {plant.ANCHOR_TRIALS:,} trials",
        )
    )


def add_gaps(study: Study, substeps: int, clock: str, euler_reference: str) -> None:
    """A1: the hand on the twin against the hand on MuJoCo, by the arm's own step and by MuJoCo's Euler.

    Args:
        study: takes the rows.
        substeps: plant steps in a control step.
        clock: these steps in words.
        euler_reference: median gap (mm) that is known for MuJoCo's Euler.
    """
    own_step = MILLIMETRES * plant.gap(substeps)
    study.add(
        at_most(
            f"A1 twin against MuJoCo, {clock}: largest gap of the hand (mm)",
            "gate",
            float(own_step.max()),
            1.0,
            note=f"{len(own_step)} random excitations that avoid the limits",
        )
    )
    euler = MILLIMETRES * plant.gap(substeps, "mujoco")
    study.add(
        Row(
            name=f"A1 twin against MuJoCo's own Euler, {clock}: median gap (mm)",
            kind="info",
            value=float(np.median(euler)),
            reference=euler_reference,
        )
    )


@torch.no_grad()
def add_losses(study: Study) -> None:
    """A2: the mis-routed total of an untrained CC network, put together again from the plant's outputs."""
    env: Any = gym.make(plant.TASKS["reach"]).unwrapped
    network = controllers.make("bilateral", env, callosum=True, seed=1)
    path = course(env.task, plant.STEPS)
    # A cohort of one that is never updated: it serves as the thing that computes losses.
    group = Cohort(path, [Pupil(network, models.MIXED)], "as_released", validation=64)
    total = float(group.validate()["loss"][0])

    trace = {
        name: value.numpy()
        for name, value in group.play(group.held).items()
        if isinstance(value, torch.Tensor)
    }
    offset = group.held["target"].numpy() - trace["hand"]
    effort = np.mean(trace["action"] ** 2)
    distance = POSITION_WEIGHT * np.mean(np.abs(offset))
    # P2 is ten times the mean square: as the code has it, the square of ten times the error over ten.
    squared_distance = POSITION_WEIGHT * np.mean((10 * offset) ** 2) / 10
    base = effort + distance + squared_distance

    # The outputs that the released code penalises, in its order: joint state, muscle state, delayed proprioception,
    # vision (docs/systems/arm.md, "Losses").
    penalised = [
        np.concatenate([trace["q"], trace["v"]], -1),
        np.concatenate([trace[name] for name in MUSCLE], -1),
        trace["seen"][..., :SENSED_COUNT],
        trace["hand"],
    ]
    penalties = []
    for output in penalised:
        rate = np.diff(output, axis=0) / path.dt
        penalties.append(float(np.mean(output**2) + RATE_WEIGHT * np.mean(rate**2)))
    expected = float(base + REGULARISER_WEIGHT * sum(penalties))

    sum_in_words = " + ".join(f"{penalty:.4g}" for penalty in penalties)
    note = (
        f"{total:.1f} = {base:.3f} + {REGULARISER_WEIGHT:g} x ({sum_in_words}); "
        "64 trials, untrained CC"
    )
    study.add(
        at_most(
            "A2 as released: total against base + four terms, relative",
            "gate",
            abs(total / expected - 1),
            1e-5,
            reference=RELEASED_REFERENCE,
            note=note,
        )
    )


def add_network(study: Study) -> None:
    """A3: parameter counts, the callosum by hand, the routing of gradients."""
    env = gym.make(plant.TASKS["reach"])
    networks = {
        name: controllers.make("bilateral", env, **options) for name, options in STRUCTURES.items()
    }
    counts = "/".join(str(network.parameter_count) for network in networks.values())
    study.add(
        Row(
            name=f"A3 parameters of {', '.join(networks)}",
            kind="gate",
            value=counts,
            target=PARAMETER_COUNTS,
            holds=counts == PARAMETER_COUNTS,
        )
    )

    silent = torch.zeros(5, 1)
    counting = torch.arange(1.0, 6.0)[:, None]
    added = [int(value) for value in crossed(silent, counting)[:, 0]]
    study.add(
        Row(
            name="A3 callosum of x = 1..5 adds",
            kind="gate",
            value=str(added),
            target=str(CALLOSUM_ADDS),
            holds=added == CALLOSUM_ADDS,
        )
    )

    moved = moved_by_loss1(networks["CC"])
    others = [change for part, change in moved.items() if part != "right"]
    changes = ", ".join(f"{change:.2g}" for change in moved.values())
    note = (
        "one update with loss 2 at zero: largest change of left column, combiner, motor layer; "
        f"right: {changes}"
    )
    study.add(
        Row(
            name="A3 routing: change of the right column",
            kind="gate",
            value=moved["right"],
            target="0",
            holds=moved["right"] == 0 and min(others) > 0,
            note=note,
        )
    )


def moved_by_loss1(network: Controller) -> Moved:
    """Largest change of each part's weights by one update in which loss 2 is nothing.

    The right column learns from loss 2 alone, so that it must not move.

    Args:
        network: of two columns; it is not changed.
    """
    assert isinstance(network, Bilateral)
    env: Any = gym.make(plant.TASKS["reach"]).unwrapped
    without_loss2 = {**LOSSES, "loss2": Loss(E=0, P1=0, P2=0, R=0)}
    group = Cohort(
        course(env.task, plant.STEPS),
        [Pupil(network, ("loss1", "loss2"))],
        batch=16,
        validation=16,
        losses=without_loss2,
    )
    group.update()
    # The cohort hands out its best weights by validation: without one it would be the weights from before the update.
    group.validate()
    after = dict(group.controller(0).named_parameters())
    moved = {"left": 0.0, "combiner": 0.0, "output": 0.0, "right": 0.0}
    for name, before in network.named_parameters():
        part = "combiner" if name in ("w1", "w2") else name.partition(".")[0]
        change = float((after[name] - before).detach().abs().max())
        moved[part] = max(moved[part], change)
    return moved

"""What an arm is trained for: the losses of arXiv 2401.14057 as they were meant and as they were run.

Both modes are explained in docs/systems/arm.md, "Losses".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ...morphology.arm import MUSCLES

Mode = Literal["intended", "as_released"]
"""where the regulariser acts: on hidden layers, or on the plant's outputs as in the released code"""
MUSCLE = ("activation", "length", "speed", "passive", "active_length", "active", "force")
"""parts of a muscle's state, in the order in which the released code concatenates them"""
TERMS = ("E", "P1", "P2", "R")
"""names of the terms: fields of `Loss`"""
RATE = 0.05
"""weight of a rate of change beside a level, in R"""
SQUARE_WEIGHT = 10
"""weight of the squared distance in P2, per m"""
ALL_BUT_ROWS = (0, 2, 3)
"""dimensions that a term is a mean over, of values (steps, rows, batch, size): rows are models of losses of their own"""
SENSED_COUNT = 2 * len(MUSCLES)
"""muscle lengths and speeds, which stand first in an observation"""


@dataclass(frozen=True)
class Loss:
    """Weights of the four terms of a loss."""

    E: float
    """weight of the mean squared excitation"""
    P1: float
    """weight of the mean distance an axis, m"""
    P2: float
    """weight of `SQUARE_WEIGHT` times the mean squared distance an axis, m²"""
    R: float
    """weight of the regulariser: levels and rates of the hidden layers, or of what `Mode` says"""


LOSSES = {
    "mixed": Loss(E=1, P1=2.5, P2=2.5, R=0.01),
    "loss1": Loss(E=0, P1=5, P2=0, R=0.02),
    "loss2": Loss(E=2, P1=0, P2=5, R=0),
}
"""mixed is the mean of the two others; by the usual reading of "dominant", loss 1 drives the left
column and loss 2 the right"""


def penalty(activity: Tensor, dt: float) -> Tensor:
    """The regulariser R of each row, (rows,): mean square + `RATE` x mean squared rate of change.

    Args:
        activity: of any units, (steps, rows, batch, units).
        dt: s, of a step.
    """
    rate = torch.diff(activity, dim=0) / dt
    level_term = activity.square().mean(ALL_BUT_ROWS)
    rate_term = rate.square().mean(ALL_BUT_ROWS)
    return level_term + RATE * rate_term


def position(hand: Tensor, target: Tensor) -> dict[str, Tensor]:
    """How far the hand is from the target, in both measures of `Loss`: the terms P1 and P2 of each row, (rows,).

    Args:
        hand: positions of the hand, m, (steps, rows, batch, 2).
        target: m, (rows, batch, 2).
    """
    error = hand - target
    return {
        "P1": error.abs().mean(ALL_BUT_ROWS),
        "P2": SQUARE_WEIGHT * error.square().mean(ALL_BUT_ROWS),
    }


def released(trace: Mapping[str, Tensor], dt: float, hidden_layers: int) -> Tensor:
    """R (rows,) where the released code puts it: on its outputs in alphabetical order.

    As many outputs are penalised as there are hidden layers: joint state, whole muscle state,
    delayed proprioception, vision (docs/systems/arm.md, "Losses").

    Args:
        trace: an episode of `Cohort.unroll`, (steps, rows, batch, size) each.
        dt: s, of a step.
        hidden_layers: of the models, 1 to 4.
    """
    outputs = {
        "joint state": ("q", "v"),
        "muscle state": MUSCLE,
        "proprioception": ("seen",),
        "vision": ("hand",),
    }
    terms = []
    # The penalties meant for the hidden layers slide onto the outputs in this order, one a layer.
    for output, names in list(outputs.items())[:hidden_layers]:
        activity = torch.cat([trace[name] for name in names], -1)
        if output == "proprioception":
            activity = activity[..., :SENSED_COUNT]
        terms.append(penalty(activity, dt))
    return sum(terms[1:], terms[0])


def weights(names: Sequence[str], losses: Mapping[str, Loss] = LOSSES) -> dict[str, Tensor]:
    """Weights of the terms, (rows,) each, of rows that are trained by the named losses.

    Args:
        names: the loss of every row.
        losses: what the names mean.
    """
    table = {}
    for term in TERMS:
        table[term] = torch.tensor([getattr(losses[name], term) for name in names])
    return table


def total(terms: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Tensor:
    """The weighted sum of the `TERMS`, (rows,)."""
    weighted_terms = [weights[name] * terms[name] for name in TERMS]
    return sum(weighted_terms, torch.zeros(()))

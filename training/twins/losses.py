"""What an arm is trained for: the losses of arXiv 2401.14057 as they were meant and as they were run (spec 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Mode = Literal["intended", "as_released"]
MUSCLE = ("activation", "length", "speed", "passive", "active_length", "active", "force")
TERMS = ("E", "P1", "P2", "R")
RATE = 0.05
"""weight of a rate of change beside a level, in R"""


@dataclass(frozen=True)
class Loss:
    """Weights of the four terms."""

    E: float
    """mean squared excitation"""
    P1: float
    """mean distance per axis (m)"""
    P2: float
    """ten times the mean squared distance per axis (m²)"""
    R: float
    """regulariser: levels and rates of the hidden layers, or of what `mode` says"""


LOSSES = {"mixed": Loss(1, 2.5, 2.5, 0.01), "loss1": Loss(0, 5, 0, 0.02), "loss2": Loss(2, 0, 5, 0)}
"""mixed is the mean of the two; loss 1 (dominant, by the spec's reading) drives the left column, loss 2 the right"""


def penalty(y: Tensor, dt: float) -> Tensor:
    """R of activity (steps, rows, ..., ...) for each row, (rows,): mean square + 0.05 mean squared rate."""
    rate = torch.diff(y, dim=0) / dt
    return y.square().mean((0, 2, 3)) + RATE * rate.square().mean((0, 2, 3))


def position(hand: Tensor, target: Tensor) -> dict[str, Tensor]:
    """P1 and P2 (rows,) of hand positions (steps, rows, batch, 2) against targets (rows, batch, 2)."""
    miss = hand - target
    return {"P1": miss.abs().mean((0, 2, 3)), "P2": 10 * miss.square().mean((0, 2, 3))}


def released(trace: Mapping[str, Tensor], dt: float, hidden_layers: int) -> Tensor:
    """R (rows,) where the released code puts it: as many outputs, alphabetically, as there are hidden layers.

    They are joint state, whole muscle state, delayed proprioception and vision (spec 5).
    """
    outputs = [
        lambda: torch.cat([trace["q"], trace["v"]], -1),
        lambda: torch.cat([trace[name] for name in MUSCLE], -1),
        lambda: trace["seen"][..., :12],
        lambda: trace["hand"],
    ]
    terms = [penalty(make(), dt) for make in outputs[:hidden_layers]]
    return sum(terms[1:], terms[0])


def weights(names: Sequence[str]) -> dict[str, Tensor]:
    """Weights of the terms, (rows,) each, of rows that are trained by the named losses."""
    return {term: torch.tensor([getattr(LOSSES[name], term) for name in names]) for term in TERMS}


def total(terms: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Tensor:
    """The weighted sum, (rows,)."""
    return sum((weights[name] * terms[name] for name in TERMS), torch.zeros(()))

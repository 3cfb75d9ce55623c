"""How well spiking networks fly: their cost in closed loop, where an open loop does not show that they drift.

Source: arXiv 2309.12937; docs/systems/blimp.md, "Training".
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from ... import controllers
from ...controllers import Population
from ...controllers.spiking.snn import SNN
from ...controllers.sum import Sum
from ..rollout import make_env, rollout
from ..trainer import VALIDATION, start_seeds

FLIGHTS = 16
"""closed-loop flights of every candidate"""
LOSS_MARGIN = 1.1
"""a candidate whose loss is up to this many times that of the best one may still be chosen for its flights"""


def cost_with_rest_of_law(
    circuit: SNN, genes: Tensor, task: str, rest_of_law: dict[str, Any], **plant: Any
) -> np.ndarray:
    """Cost in closed loop of networks that replace one part of the PID law: the steady-state error.

    The command is the network's plus that of the other part, under a ballast that each flight draws: what a network
    leaves undone shows as a lasting error.

    Args:
        circuit: of the structure of all networks.
        genes: one network a row, (networks, genes).
        task: its id.
        rest_of_law: options of the controller ``pid``, with gain 0 for the part that the network imitates.
        **plant: options of the task that change the blimp.

    Returns:
        Cost of every flight, m, (networks x FLIGHTS,), network by network; infinite where it failed.
    """
    # ballast=None: every flight draws its own.
    env = make_env(task, len(genes) * FLIGHTS, ballast=None, **plant)
    law = controllers.make("pid", env, **rest_of_law)
    # A pilot's genome is that of the sum: the gains, which are the same for all, then the network's genes.
    gains = parameters_to_vector(law.parameters()).detach().expand(len(genes), -1)
    genomes = torch.cat([gains, genes], dim=1)
    pilots = Population(Sum.of(law, circuit), env.num_envs, genomes)
    score, _ = rollout(env, pilots, _flight_seeds(len(genes)))
    return np.where(score.failed, np.inf, score.metrics["steady_state_error"])


def cost_alone(circuit: SNN, genes: Tensor, task: str, **plant: Any) -> np.ndarray:
    """Cost in closed loop of networks that fly the neutral blimp alone: steady-state error + oscillation.

    Args:
        circuit: of the structure of all networks.
        genes: one network a row, (networks, genes).
        task: its id.
        **plant: options of the task that change the blimp.

    Returns:
        Cost of every flight, m, (networks x FLIGHTS,), network by network; infinite where it failed.
    """
    env = make_env(task, len(genes) * FLIGHTS, **plant)
    pilots = Population(circuit, env.num_envs, genes)
    score, _ = rollout(env, pilots, _flight_seeds(len(genes)))
    cost = score.metrics["steady_state_error"] + score.metrics["oscillation"]
    return np.where(score.failed, np.inf, cost)


def _flight_seeds(network_count: int) -> list[int]:
    """Seeds of the start states: every network flies the same ones. Flight i is of network i // FLIGHTS."""
    starts = start_seeds(VALIDATION, seed=0, generation=1, count=FLIGHTS)
    return starts * network_count


def mean_of_flights(cost: np.ndarray) -> np.ndarray:
    """Mean cost of each network, (networks,), from that of every flight, (networks x FLIGHTS,)."""
    return cost.reshape(-1, FLIGHTS).mean(1)


def best_pilot(losses: list[float], costs: np.ndarray) -> int:
    """Place of the best pilot in closed loop among candidates whose loss is near that of the best one.

    Args:
        losses: of the candidates in open loop, the lowest first.
        costs: their costs in closed loop, m, (candidates,).
    """
    largest_loss = LOSS_MARGIN * losses[0]
    near = [place for place, loss in enumerate(losses) if loss <= largest_loss]
    return min(near, key=lambda place: costs[place])

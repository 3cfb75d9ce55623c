"""Liquid time-constant neurons as conductances (Hasani et al., AAAI 2021, arXiv 2006.04439).

The equations stand in docs/systems/liquid.md, "Time constants that are liquid".
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core import sigmoid
from .cfc_cells import CellStep
from .fan_in import FanIn
from .lesions import WHOLE, Lesions
from .wiring import SynapseList, Wiring

# Ranges of the first weights: those of the authors' code (`ncps`).
FIRST_LEAK = (0.001, 1.0)
"""conductance of the leak"""
FIRST_LEAK_POTENTIAL = (-0.2, 0.2)
"""activity that the leak pulls towards"""
FIRST_CAPACITANCE = (0.4, 0.6)
"""capacitance in units of a conductance times a period"""
FIRST_WEIGHT = (0.001, 1.0)
"""conductance of a synapse that is open"""
FIRST_SLOPE = (3.0, 8.0)
"""slope of a synapse's opening"""
FIRST_CENTRE = (0.3, 0.8)
"""activity of the source at which a synapse is half open"""

LEAST_LEAK = 1e-8
"""conductance of a leak towards 0 that every neuron has beside its own, so that no sum of conductances is 0"""
LEAST_CAPACITANCE = 1e-30
"""added to every capacitance, so that one that a trainer has driven to 0 keeps its activity over no time"""


class SynapseRows(NamedTuple):
    """Numbers of the synapses, one row a neuron, (targets, fan-in)."""

    weight: Tensor
    """conductance when open; 0 where there is no synapse"""
    slope: Tensor
    """of the opening"""
    centre: Tensor
    """activity of the source at which it is half open"""
    reversal: Tensor
    """activity that it pulls its target towards"""


class SynapticInput(NamedTuple):
    """What the synapses do to every neuron, (batch, targets) each."""

    current: Tensor
    """sum of conductance times reversal potential"""
    conductance: Tensor
    """sum of the conductances"""


class Synapses(nn.Module):
    """Conductance synapses: the flat list of them is what is trained.

    A synapse from activity y has the conductance weight * sigmoid(slope (y - centre)), which pulls its target towards
    the reversal potential. The conductance is the softplus of `raw_weight`, so that no optimiser makes it negative.

    Args:
        synapses: the list; polarities are the first reversal potentials.
        target_count: number of neurons that hear.
    """

    source: Tensor
    """(synapses,) number of whom each synapse hears"""

    def __init__(self, synapses: SynapseList, target_count: int) -> None:
        super().__init__()
        self.synapses = synapses
        self.fan_in = FanIn(synapses, target_count)
        self.raw_weight = nn.Parameter(raw(_uniform(synapses.size, FIRST_WEIGHT)))
        self.slope = nn.Parameter(_uniform(synapses.size, FIRST_SLOPE))
        self.centre = nn.Parameter(_uniform(synapses.size, FIRST_CENTRE))
        polarity = torch.as_tensor(synapses.polarity.tolist())
        self.reversal = nn.Parameter(polarity.to(self.slope.dtype))
        self.register_buffer("source", torch.as_tensor(synapses.source, dtype=torch.long), False)

    def weight(self, heard: Tensor | None = None) -> Tensor:
        """Conductance of every open synapse (synapses,).

        Args:
            heard: (sources,) 1 for a source that is heard, 0 for a silent one; None: all are heard.
        """
        weight = F.softplus(self.raw_weight)
        if heard is not None:
            weight = weight * heard[self.source]
        return weight

    def rows(self, weight: Tensor) -> SynapseRows:
        """The numbers that a step needs, for conductances `weight` (synapses,)."""
        spread = self.fan_in.spread
        return SynapseRows(
            weight=spread(weight),
            slope=spread(self.slope),
            centre=spread(self.centre),
            reversal=spread(self.reversal),
        )

    def forward(self, activity: Tensor, rows: SynapseRows) -> SynapticInput:
        """What the synapses do when their sources have this activity (batch, sources)."""
        distance = self.fan_in.heard(activity) - rows.centre
        conductance = rows.weight * sigmoid(rows.slope * distance)
        current = conductance * rows.reversal
        return SynapticInput(current.sum(-1), conductance.sum(-1))


class LTCCell(nn.Module):
    """Liquid time-constant neurons, solved by the fused solver: implicit in a neuron's own activity alone.

    With capacitance c, leak g towards v, synapses of conductance s_j and reversal E_j, and d = elapsed / unfoldings:

        x <- (c x + d (g v + sum_j s_j E_j)) / (c + d (g + sum_j s_j))

    so that x stays between the least and the largest of 0, v and all E_j, whatever the input.

    Args:
        wiring: neurons and synapses; the state is the neurons' activity (batch, neurons).
        unfoldings: solver steps in a control step.
    """

    crosses_layers: Tensor
    """(internal synapses,) bool: the synapse leads to another layer"""

    def __init__(self, wiring: Wiring, unfoldings: int = 6) -> None:
        super().__init__()
        neurons = wiring.neuron_count
        self.unfoldings = unfoldings
        self.input_weight = nn.Parameter(torch.ones(wiring.input_count))
        self.input_bias = nn.Parameter(torch.zeros(wiring.input_count))
        self.sensory = Synapses(wiring.sensory, neurons)
        self.internal = Synapses(wiring.internal, neurons)
        self.raw_leak = nn.Parameter(raw(_uniform(neurons, FIRST_LEAK)))
        self.leak_potential = nn.Parameter(_uniform(neurons, FIRST_LEAK_POTENTIAL))
        self.raw_capacitance = nn.Parameter(raw(_uniform(neurons, FIRST_CAPACITANCE)))
        crosses_layers = torch.as_tensor((~wiring.is_within_layer()).tolist())
        self.register_buffer("crosses_layers", crosses_layers, persistent=False)

    def internal_weight(self, lesions: Lesions) -> Tensor:
        """Conductance of every open internal synapse (synapses,), 0 where it is silent."""
        weight = self.internal.weight(lesions.units)
        if lesions.recurrence:
            weight = torch.where(self.crosses_layers, weight, 0.0)
        return weight

    def capacitance(self) -> Tensor:
        """Of every neuron, (neurons,)."""
        return F.softplus(self.raw_capacitance) + LEAST_CAPACITANCE

    def felt(self, inputs: Tensor) -> Tensor:
        """The input (..., k) as the sensory synapses read it: an affine map of every number."""
        return inputs * self.input_weight + self.input_bias

    def forward(
        self, inputs: Tensor, state: Tensor, elapsed: Tensor, lesions: Lesions = WHOLE
    ) -> CellStep:
        """One control step.

        Args:
            inputs: (batch, k).
            state: activity (batch, neurons).
            elapsed: (batch, 1) in periods.
            lesions: a held gate stands for the conductance that the synapses add to the leak.
        """
        sensory_rows = self.sensory.rows(self.sensory.weight())
        sensory = self.sensory(self.felt(inputs), sensory_rows)
        internal_rows = self.internal.rows(self.internal_weight(lesions))
        leak = F.softplus(self.raw_leak)
        leak_current = leak * self.leak_potential
        capacitance = self.capacitance()
        interval = elapsed / self.unfoldings

        activity = state
        total_conductance = torch.zeros_like(state)
        for _ in range(self.unfoldings):
            internal = self.internal(activity, internal_rows)
            conductance = internal.conductance + sensory.conductance
            total_conductance = total_conductance + conductance
            if lesions.gate is not None:
                conductance = lesions.gate
            current = leak_current + internal.current + sensory.current
            numerator = capacitance * activity + interval * current
            total_leak = leak + conductance + LEAST_LEAK
            activity = numerator / (capacitance + interval * total_leak)
            activity = lesions.silenced(activity)
        mean_conductance = total_conductance / self.unfoldings
        return CellStep(activity, mean_conductance, activity)

    def half_open(self) -> Tensor:
        """Conductance of each neuron's synapses when all are half open, (neurons,)."""
        sensory = self.sensory.fan_in.spread(self.sensory.weight()).sum(-1)
        internal = self.internal.fan_in.spread(self.internal.weight()).sum(-1)
        return (sensory + internal).detach() / 2

    def time_constant(self, conductance: Tensor) -> Tensor:
        """Time in periods in which a neuron forgets, at a synaptic conductance (..., neurons)."""
        leak = F.softplus(self.raw_leak)
        return self.capacitance() / (leak + conductance + LEAST_LEAK)


def raw(positive: Tensor) -> Tensor:
    """Numbers whose softplus is `positive`."""
    return torch.log(torch.expm1(positive))


def _uniform(count: int, limits: tuple[float, float]) -> Tensor:
    """Random numbers within `limits`."""
    low, high = limits
    return torch.empty(count).uniform_(low, high)

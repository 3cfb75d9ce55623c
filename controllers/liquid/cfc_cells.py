"""Cells in closed form: over a dense backbone, over wired neurons, and behind a memory cell (Hasani et al. 2022).

A cell is called with the input (batch, k), the state, the elapsed time (batch, 1) in periods and `Lesions`; it
returns the units' activity, the gate and the next state. Equations: docs/systems/liquid.md, "Closed form".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..core import State, sigmoid
from .closed_form import ClosedForm, Form, Mixture
from .fan_in import FanIn
from .lesions import WHOLE, Lesions
from .wiring import SynapseList, Wiring

LECUN_HEIGHT = 1.7159
"""factor outside the tanh of LeCun et al. (1998, "Efficient BackProp")"""
LECUN_SLOPE = 0.666
"""factor inside that tanh: 2/3 in the paper, 0.666 in the authors' code, whose weights are to give the same here"""

ActivationName = Literal["lecun-tanh", "tanh", "relu", "silu"]


def _lecun_tanh(x: Tensor) -> Tensor:
    """LeCun's scaled tanh."""
    return LECUN_HEIGHT * torch.tanh(LECUN_SLOPE * x)


def _silu(x: Tensor) -> Tensor:
    """X times its logistic function, by way of `core.sigmoid`, which rounds alike everywhere."""
    return x * sigmoid(x)


ACTIVATIONS: dict[ActivationName, Callable[[Tensor], Tensor]] = {
    "lecun-tanh": _lecun_tanh,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "silu": _silu,
}
"""of the backbone, by name"""


class CellStep(NamedTuple):
    """What a cell gives for one step."""

    hidden: Tensor
    """(batch, units) activity"""
    gate: Tensor
    """(batch, units) of the closed form; of an LTC its synaptic conductance"""
    state: State
    """of the next step"""


class CfCCell(nn.Module):
    """One closed-form layer: a dense backbone reads input and state, linear heads read the backbone.

    Args:
        input_count: numbers that are read.
        units: number of neurons; the state is their activity (batch, units).
        form: of the closed form.
        backbone_units: of each layer of the backbone.
        backbone_layers: of the backbone, 1 or more.
        activation: of the backbone.
    """

    def __init__(
        self,
        input_count: int,
        units: int,
        form: Form = "gate",
        backbone_units: int = 64,
        backbone_layers: int = 1,
        activation: ActivationName = "lecun-tanh",
    ) -> None:
        super().__init__()
        self.units = units
        self.activation: ActivationName = activation
        self.closed_form = ClosedForm(form, units)
        # The first layer reads input and state side by side: one layer in two blocks of columns.
        self.input = nn.Linear(input_count, backbone_units)
        self.recurrent = nn.Linear(units, backbone_units, bias=False)
        further = [nn.Linear(backbone_units, backbone_units) for _ in range(1, backbone_layers)]
        for layer in further:
            nn.init.xavier_uniform_(layer.weight)
        self.further = nn.ModuleList(further)
        self.heads = nn.Linear(backbone_units, self.closed_form.head_count * units)
        self._begin(input_count, backbone_units)

    def _begin(self, input_count: int, backbone_units: int) -> None:
        """Give the first layer, in two blocks, and each head, as a layer of its own, Xavier-uniform weights."""
        bound = _xavier_bound(input_count + self.units, backbone_units)
        nn.init.uniform_(self.input.weight, -bound, bound)
        nn.init.uniform_(self.recurrent.weight, -bound, bound)
        bound = _xavier_bound(backbone_units, self.units)
        nn.init.uniform_(self.heads.weight, -bound, bound)

    def forward(
        self, inputs: Tensor, state: Tensor, elapsed: Tensor, lesions: Lesions = WHOLE
    ) -> CellStep:
        """One step, as the head of this file says."""
        drive = self.input(inputs)
        if not lesions.recurrence:
            drive = drive + self.recurrent(state)
        activate = ACTIVATIONS[self.activation]
        activity = activate(drive)
        for layer in self.further:
            activity = activate(layer(activity))
        mixture = self.closed_form(self.heads(activity), elapsed, lesions.gate)
        hidden = lesions.silenced(mixture.hidden)
        return CellStep(hidden, mixture.gate, hidden)


class WiredCfCCell(nn.Module):
    """Closed-form neurons in the layers of a wiring; each hears its synapses and all neurons of its own layer.

    A neuron without a synapse of its own layer would have no memory, so the recurrence within a layer is full, as in
    the authors' code. Layers follow one another within a step: a later one reads what an earlier one gives now.
    Every head reads the same synapses, so that the parameters are as many as the drawing has lines.

    Args:
        wiring: its layers, sensory synapses, and internal synapses from each layer to the next.
        form: of the closed form.
    """

    def __init__(self, wiring: Wiring, form: Form = "gate") -> None:
        super().__init__()
        layers = []
        input_count = wiring.input_count
        for number, layer in enumerate(wiring.layers):
            arriving = _arriving(wiring, number)
            layers.append(WiredLayer(arriving, input_count, layer.size, form))
            input_count = layer.size
        self.layers = nn.ModuleList(layers)
        self.sizes = [layer.size for layer in wiring.layers]

    def forward(
        self, inputs: Tensor, state: Tensor, elapsed: Tensor, lesions: Lesions = WHOLE
    ) -> CellStep:
        """One step, as the head of this file says; the activity is that of all layers."""
        activities = []
        gates = []
        first = 0
        arriving = inputs
        for layer, size in zip(self.layers, self.sizes, strict=True):
            place = slice(first, first + size)
            mixture = layer(arriving, state[:, place], elapsed, _of_layer(lesions, place))
            activities.append(mixture.hidden)
            gates.append(mixture.gate)
            arriving = mixture.hidden
            first += size
        hidden = torch.cat(activities, dim=-1)
        return CellStep(hidden, torch.cat(gates, dim=-1), hidden)


class WiredLayer(nn.Module):
    """The neurons of one layer of a `WiredCfCCell`.

    Args:
        arriving: synapses from the layer before, sources and targets numbered within their layers.
        input_count: neurons of the layer before.
        units: neurons of this layer.
        form: of the closed form.
    """

    def __init__(self, arriving: SynapseList, input_count: int, units: int, form: Form) -> None:
        super().__init__()
        self.closed_form = ClosedForm(form, units)
        synapses = _with_own_layer(arriving, input_count, units)
        self.fan_in = FanIn(synapses, units)
        self.synapses = synapses
        head_count = self.closed_form.head_count
        mean_fan_in = synapses.size // units
        mean_fan_out = synapses.size // (input_count + units)
        bound = _xavier_bound(mean_fan_in, max(mean_fan_out, 1))
        weight = torch.empty(head_count, synapses.size).uniform_(-bound, bound)
        self.weight = nn.Parameter(weight)
        offset = torch.empty(head_count, units).uniform_(-(mean_fan_in**-0.5), mean_fan_in**-0.5)
        self.bias = nn.Parameter(offset)

    def forward(self, arriving: Tensor, own: Tensor, elapsed: Tensor, lesions: Lesions) -> Mixture:
        """Next activity of the layer.

        Args:
            arriving: activity of the layer before, (batch, input_count).
            own: activity of this layer before the step, (batch, units).
            elapsed: (batch, 1) in periods.
            lesions: of this layer.
        """
        if lesions.recurrence:
            own = torch.zeros_like(own)
        heard = self.fan_in.heard(torch.cat([arriving, own], dim=-1))
        weight = self.fan_in.spread(self.weight)
        # (batch, heads, units): a sum over the synapses of every neuron, for every head.
        sums = (heard.unsqueeze(-3) * weight).sum(-1) + self.bias
        mixture = self.closed_form(sums.flatten(-2), elapsed, lesions.gate)
        return Mixture(lesions.silenced(mixture.hidden), mixture.gate)


class MixedMemoryCell(nn.Module):
    """A long short-term memory in front of a closed-form cell, which maps its activity on (the paper's CfC-mmRNN).

    The state is the activity and the memory, (batch, units) each. With the blocks of rows in torch's order (input,
    forget, candidate, output), the memory c and the activity h:

        c' = sigmoid(forget) c + sigmoid(input) tanh(candidate);  h* = sigmoid(output) tanh(c');  h' = cell(input, h*)

    Args:
        cell: in closed form.
        input_count: numbers that are read.
        units: of the cell.
    """

    def __init__(self, cell: CfCCell | WiredCfCCell, input_count: int, units: int) -> None:
        super().__init__()
        self.cell = cell
        self.units = units
        self.memory_input = nn.Linear(input_count, 4 * units)
        self.memory_recurrent = nn.Linear(units, 4 * units, bias=False)
        nn.init.xavier_uniform_(self.memory_input.weight)
        for block in self.memory_recurrent.weight.detach().split(units):
            nn.init.xavier_uniform_(block)
        with torch.no_grad():
            # An open forget gate at first, so that the memory lasts (Jozefowicz et al. 2015).
            self.memory_input.bias[units : 2 * units] += 1.0

    def forward(
        self, inputs: Tensor, state: State, elapsed: Tensor, lesions: Lesions = WHOLE
    ) -> CellStep:
        """One step, as the head of this file says."""
        activity, memory = state
        rows = self.memory_input(inputs)
        if not lesions.recurrence:
            rows = rows + self.memory_recurrent(activity)
        input_gate, forget_gate, candidate, output_gate = rows.split(self.units, dim=-1)
        remembered = sigmoid(forget_gate) * memory
        next_memory = remembered + sigmoid(input_gate) * torch.tanh(candidate)
        remembered_activity = sigmoid(output_gate) * torch.tanh(next_memory)
        # What the cell reads comes out of the memory in this step: that is no recurrence to cut.
        of_cell = lesions._replace(recurrence=False)
        step = self.cell(inputs, remembered_activity, elapsed, of_cell)
        return CellStep(step.hidden, step.gate, (step.hidden, next_memory))


def _xavier_bound(fan_in: int, fan_out: int) -> float:
    """Bound of uniform weights of Glorot & Bengio (2010)."""
    return math.sqrt(6.0 / (fan_in + fan_out))


def _of_layer(lesions: Lesions, place: slice) -> Lesions:
    """The lesions of the neurons of one layer."""
    units = None if lesions.units is None else lesions.units[place]
    gate = None if lesions.gate is None else lesions.gate[place]
    return Lesions(units=units, recurrence=lesions.recurrence, gate=gate)


def _arriving(wiring: Wiring, number: int) -> SynapseList:
    """Synapses to layer `number` from the inputs or from the layer before it, numbered within their layers.

    Layers are numbered from the inputs on, in the order of `Wiring.slices`; the first begins with neuron 0. Synapses within
    a layer, back, or over a layer are left out.
    """
    slices = list(wiring.slices().values())
    own = slices[number]
    if number == 0:
        inputs = slice(0, wiring.input_count)
        return _between(wiring.sensory, sources=inputs, targets=own)
    return _between(wiring.internal, sources=slices[number - 1], targets=own)


def _between(synapses: SynapseList, sources: slice, targets: slice) -> SynapseList:
    """Those of the synapses that lead from one range of numbers to another, numbered within these ranges."""
    is_from = (synapses.source >= sources.start) & (synapses.source < sources.stop)
    is_to = (synapses.target >= targets.start) & (synapses.target < targets.stop)
    is_between = is_from & is_to
    return SynapseList(
        source=synapses.source[is_between] - sources.start,
        target=synapses.target[is_between] - targets.start,
        polarity=synapses.polarity[is_between],
    )


def _with_own_layer(arriving: SynapseList, input_count: int, units: int) -> SynapseList:
    """`arriving` and a synapse between any two neurons of the layer, whose sources are numbered behind the inputs."""
    own = np.arange(units)
    source = np.concatenate([arriving.source, np.tile(own + input_count, units)])
    target = np.concatenate([arriving.target, np.repeat(own, units)])
    order = np.lexsort((source, target))
    return SynapseList(source[order], target[order], np.ones(len(order), np.int64))

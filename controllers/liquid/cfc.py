"""CfC, a liquid network in closed form (Hasani et al., Nature Machine Intelligence 2022, arXiv 2106.13898)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ...checks import whole_number
from ...errors import LanceletError
from ..core import Options, State
from .base import RECURRENCE, Liquid, LiquidOptions
from .cfc_cells import ActivationName, CfCCell, MixedMemoryCell, WiredCfCCell, WiredLayer
from .circuit import Neuron, Synapse, dense, listed
from .closed_form import Form
from .wiring import Wiring

BACKBONE_RATIO = 2
"""units of the backbone's layers for each neuron, where the option does not say"""


@dataclass(frozen=True, kw_only=True)
class CfCOptions(LiquidOptions):
    """Options of the closed-form networks."""

    form: Form = "gate"
    """how the next state is made: between two candidates by a gate, their sum, or the solution of the equation"""
    mixed: bool = False
    """a long short-term memory stands in front of the cell, for tasks of more than some hundred steps"""
    backbone_units: int | None = None
    """of each layer between the inputs and the heads; None: twice `hidden`; read only where `wiring` is full"""
    backbone_layers: int = 1
    """layers between the inputs and the heads; read only where `wiring` is full"""
    activation: ActivationName = "lecun-tanh"
    """of the backbone"""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number("CfC backbone_layers", self.backbone_layers, least=1)
        if self.backbone_units is not None:
            whole_number("CfC backbone_units", self.backbone_units, least=1)


class CfC(Liquid):
    """A closed-form network; see `Liquid` for what it reads, its parts and its signals.

    The state is the activity (batch, neurons); with mixed memory, the activity and the memory, and one more signal,
    ``memory``.
    """

    Options: ClassVar[type[Options]] = CfCOptions
    options: CfCOptions  # pyright: ignore[reportIncompatibleVariableOverride]
    cell: CfCCell | WiredCfCCell | MixedMemoryCell

    def _make_cell(self, circuit_wiring: Wiring) -> nn.Module:
        """The cell that the options name."""
        options = self.options
        if options.wiring == "full":
            backbone_units = options.backbone_units or BACKBONE_RATIO * options.hidden
            cell = CfCCell(
                circuit_wiring.input_count,
                options.hidden,
                form=options.form,
                backbone_units=backbone_units,
                backbone_layers=options.backbone_layers,
                activation=options.activation,
            )
        else:
            cell = WiredCfCCell(circuit_wiring, options.form)
        if options.mixed:
            return MixedMemoryCell(cell, circuit_wiring.input_count, circuit_wiring.neuron_count)
        return cell

    def initial_state(self, batch: int) -> State:
        """All neurons at 0, and the memory."""
        activity = super().initial_state(batch)
        if self.options.mixed:
            return activity, super().initial_state(batch)
        return activity

    def _through_time(self, inputs: Tensor, state: State, elapsed: Tensor) -> Tensor | None:
        """As `Liquid._through_time`, for a dense cell of whole neurons in float32."""
        has_silent_units = any(name in self.options.lesions for name in self._wiring.neuron_names())
        is_cut = RECURRENCE in self.options.lesions
        if not isinstance(self.cell, CfCCell) or has_silent_units or is_cut:
            return None
        if inputs.dtype != torch.float32:
            return None
        # Here and not above: to play or to evolve a network needs no compiler.
        from .cfc_through_time import through_time

        return through_time(self.cell, inputs, state, elapsed)

    def signals(self, state: State) -> dict[str, Tensor]:
        """The activity by layer, and the memory."""
        if not self.options.mixed:
            return super().signals(state)
        activity, memory = state
        return {**super().signals(activity), "memory": memory}

    def _hidden_neurons(self) -> list[Neuron]:
        """The backbone of a dense cell, then the neurons."""
        neurons = super()._hidden_neurons()
        cell = self._closed_cell()
        if isinstance(cell, WiredCfCCell):
            return neurons
        return [Neuron(name, "backbone") for name in _backbone_names(cell)] + neurons

    def _synapses(self, inputs: list[str], names: list[str]) -> list[Synapse]:
        """As `Liquid._synapses`; a memory in front of the cell is not drawn."""
        cell = self._closed_cell()
        if isinstance(cell, WiredCfCCell):
            return _wired_synapses(cell, self._wiring, inputs, names)
        backbone = _backbone_names(cell)
        if len(cell.further) > 0:
            raise LanceletError("circuit: drawn for a backbone of one layer only")
        heads = cell.heads.weight.unflatten(0, (-1, cell.units))
        synapses = dense(inputs, backbone, cell.input.weight, signed=True)
        synapses += dense(names, backbone, cell.recurrent.weight, signed=True)
        return synapses + dense(backbone, names, heads, signed=False)

    def _closed_cell(self) -> CfCCell | WiredCfCCell:
        """The cell behind the memory, or the cell itself."""
        if isinstance(self.cell, MixedMemoryCell):
            return self.cell.cell
        return self.cell


def _backbone_names(cell: CfCCell) -> list[str]:
    """Names of the backbone's units."""
    return [f"backbone:{number}" for number in range(1, cell.input.out_features + 1)]


def _wired_synapses(
    cell: WiredCfCCell, wiring: Wiring, inputs: list[str], names: list[str]
) -> list[Synapse]:
    """Synapses of all layers of a wired cell; the strength is the norm over the heads."""
    synapses = []
    before = inputs
    for layer, place in zip(cell.layers, wiring.slices().values(), strict=True):
        assert isinstance(layer, WiredLayer)
        own = names[place]
        pairs = (layer.synapses.source, layer.synapses.target)
        strengths = layer.weight.detach().norm(dim=0).numpy()
        signs = np.zeros(len(strengths), int)
        synapses += listed([*before, *own], own, pairs, strengths, signs)
        before = own
    return synapses

"""LTC, a liquid time-constant network (Hasani et al., AAAI 2021; wired as Lechner et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...checks import whole_number
from ..core import Options, State
from .base import Liquid, LiquidOptions
from .circuit import Synapse, listed
from .ltc_cell import LTCCell, Synapses
from .wiring import Wiring


@dataclass(frozen=True, kw_only=True)
class LTCOptions(LiquidOptions):
    """Options of the liquid time-constant networks."""

    unfoldings: int = 6
    """steps of the solver in a control step; the error is about 1 / unfoldings"""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number("LTC unfoldings", self.unfoldings, least=1)


class LTC(Liquid):
    """A liquid time-constant network; see `Liquid` for what it reads, its parts and its signals.

    The state is the activity (batch, neurons). Its gate is the conductance that the synapses add to the leak of every
    neuron, which is what makes the time constants liquid; the lesion ``gate`` holds that, and with it the time
    constants, while the synapses drive the neurons as before.
    """

    Options: ClassVar[type[Options]] = LTCOptions
    options: LTCOptions  # pyright: ignore[reportIncompatibleVariableOverride]
    cell: LTCCell

    def _make_cell(self, circuit_wiring: Wiring) -> nn.Module:
        """The cell."""
        return LTCCell(circuit_wiring, self.options.unfoldings)

    def _first_gate_mean(self) -> Tensor:
        """As `Liquid._first_gate_mean`, of half-open synapses."""
        return self.cell.half_open()

    def _through_time(self, inputs: Tensor, state: State, elapsed: Tensor) -> Tensor | None:
        """As `Liquid._through_time`, in float32."""
        if inputs.dtype != torch.float32:
            return None
        # Here and not above: to play or to evolve a network needs no compiler.
        from .ltc_kernel import Structure, ThroughTime

        cell = self.cell
        structure = Structure(
            sensory_source=cell.sensory.synapses.source,
            sensory_target=cell.sensory.synapses.target,
            internal_source=cell.internal.synapses.source,
            internal_target=cell.internal.synapses.target,
            unfoldings=cell.unfoldings,
        )
        return ThroughTime.apply(  # pyright: ignore[reportReturnType]
            structure,
            elapsed[..., 0] / cell.unfoldings,
            cell.felt(inputs),
            state,
            *_numbers(cell.sensory, cell.sensory.weight()),
            *_numbers(cell.internal, cell.internal_weight(self._lesions())),
            F.softplus(cell.raw_leak),
            cell.leak_potential,
            cell.capacitance(),
        )

    def _synapses(self, inputs: list[str], names: list[str]) -> list[Synapse]:
        """As `Liquid._synapses`; the sign is that of the reversal potential."""
        synapses = _drawn(self.cell.sensory, inputs, names)
        return synapses + _drawn(self.cell.internal, names, names)


def _numbers(synapses: Synapses, weight: Tensor) -> tuple[Tensor, ...]:
    """What `ltc_kernel.ThroughTime` takes of synapses with these conductances."""
    return weight, synapses.slope, synapses.centre, synapses.reversal


def _drawn(synapses: Synapses, sources: list[str], targets: list[str]) -> list[Synapse]:
    """The synapses of a list as a drawing shows them."""
    pairs = (synapses.synapses.source, synapses.synapses.target)
    strengths = synapses.weight().detach().numpy()
    signs = np.sign(synapses.reversal.detach().numpy())
    return listed(sources, targets, pairs, strengths, signs)

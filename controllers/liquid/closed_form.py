"""The closed form of a liquid neuron (Hasani et al., Nature Machine Intelligence 2022, equations 2 and 10).

docs/systems/liquid.md, "Closed form", has the equations in the symbols of this file.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ..core import sigmoid

Form = Literal["gate", "no-gate", "pure"]
"""how the next state is made of the heads"""

FIRST_DECAY = 0.1
"""`decay` of the pure form at first, 1 / period; at 0, where the authors' code begins, |decay| has no slope, so that
it would never be learned"""


class Mixture(NamedTuple):
    """What the closed form gives."""

    hidden: Tensor
    """(batch, units) next activity"""
    gate: Tensor
    """(batch, units) from 0 to 1; in the pure form the part that is left of the distance to `equilibrium`"""


class ClosedForm(nn.Module):
    """Next activity of the neurons from the numbers that the heads of the network give.

    With elapsed time t (1: one period), heads g, h, a and b and the gate q = sigmoid(a t + b):

        gate:     x' = tanh(g) (1 - q) + tanh(h) q
        no-gate:  x' = tanh(g) + tanh(h) q
        pure:     x' = A - A q f   with   q = exp(-t (|w| + |f|)),  one head f,  A = `equilibrium`,  w = `decay`

    Args:
        form: which of the three.
        units: number of neurons.
    """

    def __init__(self, form: Form, units: int) -> None:
        super().__init__()
        self.form: Form = form
        self.units = units
        if form == "pure":
            self.decay = nn.Parameter(torch.full((units,), FIRST_DECAY))
            self.equilibrium = nn.Parameter(torch.ones(units))

    @property
    def head_count(self) -> int:
        """Numbers that the heads give for every neuron."""
        return 1 if self.form == "pure" else 4

    def forward(self, heads: Tensor, elapsed: Tensor, held_gate: Tensor | None = None) -> Mixture:
        """The next activity.

        Args:
            heads: (batch, head_count * units), block after block in the order g, h, a, b.
            elapsed: (batch, 1) in periods.
            held_gate: (units,) that stands for the gate; None: the gate is free.
        """
        if self.form == "pure":
            return self._pure(heads, elapsed, held_gate)
        first, second, slope, offset = heads.split(self.units, dim=-1)
        gate = sigmoid(slope * elapsed + offset)
        if held_gate is not None:
            gate = held_gate.expand_as(gate)
        first_candidate = torch.tanh(first)
        second_candidate = torch.tanh(second)
        if self.form == "no-gate":
            return Mixture(first_candidate + gate * second_candidate, gate)
        hidden = first_candidate * (1.0 - gate) + gate * second_candidate
        return Mixture(hidden, gate)

    def _pure(self, drive: Tensor, elapsed: Tensor, held_gate: Tensor | None) -> Mixture:
        """As `forward`, for the form that is a solution of the differential equation itself."""
        rate = self.decay.abs() + drive.abs()
        gate = torch.exp(-elapsed * rate)
        if held_gate is not None:
            gate = held_gate.expand_as(gate)
        hidden = self.equilibrium - self.equilibrium * gate * drive
        return Mixture(hidden, gate)

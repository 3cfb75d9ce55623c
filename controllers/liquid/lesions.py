"""Which parts of a liquid cell are silent in a step."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Lesions(NamedTuple):
    """Silent parts of a cell; the default has none."""

    units: Tensor | None = None
    """(units,) 1 for a neuron that is heard, 0 for a silent one; None: all are heard"""
    recurrence: bool = False
    """True: no neuron hears a neuron of its own layer"""
    gate: Tensor | None = None
    """(units,) at which the gate is held; None: it is free"""

    def silenced(self, activity: Tensor) -> Tensor:
        """The activity (batch, units) with 0 in place of silent neurons."""
        if self.units is None:
            return activity
        return activity * self.units


WHOLE = Lesions()
"""nothing is silent"""

"""Sparse layers without a dense matrix: for every neuron, a row of those that it hears."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .wiring import SynapseList


class FanIn(nn.Module):
    """A list of synapses as one row a neuron, as long as the largest fan-in.

    The rows make a sum over synapses one of torch's sums over the last dimension, which rounds each row alike
    wherever it stands; adding synapse by synapse would take one call each.

    Args:
        synapses: sorted by target.
        target_count: number of neurons that hear.
    """

    source: Tensor
    """(targets, fan-in) whom each neuron hears; 0 where it hears fewer"""
    place: Tensor
    """(targets, fan-in) number of the synapse in the list; the number of all synapses where there is none"""

    def __init__(self, synapses: SynapseList, target_count: int) -> None:
        super().__init__()
        fans = np.bincount(synapses.target, minlength=target_count)
        largest_fan = int(fans.max(initial=0))
        source = np.zeros((target_count, largest_fan), np.int64)
        place = np.full((target_count, largest_fan), synapses.size, np.int64)
        first = 0
        for target, fan in enumerate(fans):
            source[target, :fan] = synapses.source[first : first + fan]
            place[target, :fan] = np.arange(first, first + fan)
            first += fan
        # Not saved: they follow from the options. A file could otherwise name neurons that do not exist.
        self.register_buffer("source", torch.as_tensor(source, dtype=torch.long), persistent=False)
        self.register_buffer("place", torch.as_tensor(place, dtype=torch.long), persistent=False)

    def heard(self, activity: Tensor) -> Tensor:
        """What each neuron hears, (batch, targets, fan-in), of the sources' activity (batch, sources)."""
        rows = activity.index_select(-1, self.source.flatten())
        return rows.unflatten(-1, self.source.shape)

    def spread(self, values: Tensor) -> Tensor:
        """Numbers of the synapses (..., synapses) as rows (..., targets, fan-in); 0 where there is none."""
        padded = F.pad(values, (0, 1))
        rows = padded.index_select(-1, self.place.flatten())
        return rows.unflatten(-1, self.place.shape)

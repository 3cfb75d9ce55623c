"""A small convolutional network on the map of log RMS around and along the forearm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu

from ...checks import seed_number, whole_number
from ...emg_layout import COLUMNS, GESTURE_COUNT, ROWS
from ..core import Options
from .channels import Seen
from .decoder import Decoder, DecoderOptions
from .window import Window, log_rms

KERNEL = 3
"""electrodes that a filter covers along and around the arm"""
POOLED_ROWS = 2
"""rows that are left of the map after the two convolutions; the columns stay"""
LEAST_SPREAD = 1e-3
"""standard deviation of an input, at least"""
BATCH = 64
"""windows in a step of the fit"""
LEARNING_RATE = 2e-3
"""of Adam"""


@dataclass(frozen=True, kw_only=True)
class CNNOptions(DecoderOptions):
    """Options of the network."""

    filters: int = 32
    """maps of each of the two convolutions"""
    epochs: int = 15
    """passes of the fit over the training windows"""
    seed: int = 0
    """of the random initial weights"""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number("filters", self.filters, least=1, most=256)
        whole_number("epochs", self.epochs, least=1, most=1000)
        seed_number(self.seed)


class CNNDecoder(Decoder):
    """Two convolutions, circular around the arm, and a linear layer.

    The input is one map of 4 x 16 electrodes for each stride of the window, log RMS less the window's median, and one
    map that holds the median. Strides that do not count show the whole window. With the usual options the network
    has 21,258 weights.

    A convolution is written as a linear layer over patches, since a library's own rounds by the size of the batch.
    """

    Options: ClassVar[type[Options]] = CNNOptions
    options: CNNOptions  # pyright: ignore[reportIncompatibleVariableOverride] - nobody sets others

    mean: Tensor
    """(maps,) of the inputs"""
    spread: Tensor
    """(maps,) standard deviation of the inputs"""
    patches: Tensor
    """(64, 9) numbers of the electrodes in each electrode's patch; 64 stands for beyond the sleeve's edge"""

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        options: CNNOptions,
    ) -> None:
        super().__init__(observation_space, action_space, options)
        maps = options.strides + 1
        patch = KERNEL * KERNEL
        filters = options.filters
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            self.first = nn.Linear(patch * maps, filters)
            self.second = nn.Linear(patch * filters, filters)
            self.output = nn.Linear(POOLED_ROWS * COLUMNS * filters, GESTURE_COUNT)
        self.register_buffer("mean", torch.zeros(maps))
        self.register_buffer("spread", torch.ones(maps))
        self.register_buffer("patches", torch.as_tensor(_patches()), persistent=False)

    def represent(self, window: Window, seen: Seen) -> Tensor:
        """The maps (batch, maps * 64) as one vector."""
        level = seen.log_rms.median(dim=-1, keepdim=True).values
        counts = (window.weight > 0) & (seen.good > 0)[:, None, :]
        whole_window = seen.log_rms[:, None, :]
        of_strides = torch.where(counts, log_rms(window.power), whole_window) - level[:, None, :]
        of_level = level[:, None, :].expand(-1, 1, of_strides.shape[-1])
        return torch.cat([of_strides, of_level], dim=1).flatten(start_dim=1)

    def score(self, features: Tensor) -> Tensor:
        """The network's output, (batch, 10)."""
        maps = features.reshape(len(features), len(self.mean), ROWS * COLUMNS)
        normalised = (maps - self.mean[:, None]) / self.spread[:, None]
        # Electrodes first, maps last: (batch, 64, maps).
        hidden = relu(self._convolved(self.first, normalised.mT))
        hidden = relu(self._convolved(self.second, hidden))
        rows = hidden.reshape(len(hidden), POOLED_ROWS, ROWS // POOLED_ROWS, COLUMNS, -1)
        return self.output(rows.mean(dim=2).flatten(start_dim=1))

    def _convolved(self, layer: nn.Linear, maps: Tensor) -> Tensor:
        """A convolution (batch, 64, filters) of maps (batch, 64, maps)."""
        batch, electrodes, depth = maps.shape
        beyond = maps.new_zeros(batch, 1, depth)
        padded = torch.cat([maps, beyond], dim=1)
        patches = padded[:, self.patches].reshape(batch * electrodes, -1)
        return layer(patches).reshape(batch, electrodes, -1)

    def fit_scores(self, features: np.ndarray, labels: np.ndarray, seed: int) -> None:
        """Minimise the cross entropy with Adam; `seed` draws the order of the windows."""
        inputs = torch.as_tensor(features)
        targets = torch.as_tensor(labels)
        maps = inputs.reshape(len(inputs), len(self.mean), ROWS * COLUMNS)
        with torch.no_grad():
            self.mean.copy_(maps.mean(dim=(0, 2)))
            self.spread.copy_(maps.std(dim=(0, 2)).clamp_min(LEAST_SPREAD))
        order_of = torch.Generator().manual_seed(seed)
        steps = self.options.epochs * -(-len(inputs) // BATCH)
        adam = torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
        for _ in range(self.options.epochs):
            order = torch.randperm(len(inputs), generator=order_of)
            for chosen in order.split(BATCH):
                loss = cross_entropy(self.score(inputs[chosen]), targets[chosen])
                adam.zero_grad()
                loss.backward()
                adam.step()
                schedule.step()


def _patches() -> np.ndarray:
    """Electrodes in the patch around each electrode, (64, 9): circular around the arm, with an edge along it."""
    beyond = ROWS * COLUMNS
    reach = KERNEL // 2
    patches = np.full((ROWS * COLUMNS, KERNEL * KERNEL), beyond)
    for row in range(ROWS):
        for column in range(COLUMNS):
            place = 0
            for row_step in range(-reach, reach + 1):
                for column_step in range(-reach, reach + 1):
                    near_row = row + row_step
                    near_column = (column + column_step) % COLUMNS
                    if 0 <= near_row < ROWS:
                        patches[row * COLUMNS + column, place] = near_row * COLUMNS + near_column
                    place += 1
    return patches

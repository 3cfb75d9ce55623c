"""Multilayer perceptron: the baseline every circuit is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from gymnasium import spaces
from torch import Tensor, nn

from ..errors import LanceletError
from .core import Controller, Options, State, box

_ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}


@dataclass(frozen=True, kw_only=True)
class MLPOptions(Options):
    """Options of the perceptron."""

    hidden: tuple[int, ...] = (64, 64)
    """units of each hidden layer"""
    activation: Literal["tanh", "relu"] = "tanh"
    """of the hidden layers"""
    output: Literal["tanh", "linear"] = "tanh"
    """of the action"""
    seed: int = 0
    """of the random initial weights"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.hidden, tuple) or any(not isinstance(units, int) or units < 1 for units in self.hidden):
            raise LanceletError(f"MLP hidden = {self.hidden}: must be whole numbers, 1 or more each")


class MLP(Controller):
    """Fully connected layers over the normalised observation; stateless.

    `mean` and `std` (buffers, saved with the weights) normalise the observation; a trainer that keeps running
    statistics sets them between rollouts. Parts to lesion: ``input:i`` and ``layer1:i``, ``layer2:i``, ...
    """

    Options: ClassVar[type[Options]] = MLPOptions

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space, options: MLPOptions) -> None:
        inputs = box(observation_space, "MLP", "the observation space")
        outputs = box(action_space, "MLP", "the action space")
        self._sizes = [inputs, *options.hidden]
        super().__init__(observation_space, action_space, options)
        sizes = [*self._sizes, outputs]
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.mean: Tensor
        self.std: Tensor
        self.mask_0: Tensor
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("std", torch.ones(inputs))
        for k, units in enumerate(self._sizes):
            mask = torch.ones(units)
            mask[self.silenced(f"layer{k}" if k else "input")] = 0
            self.register_buffer(f"mask_{k}", mask, persistent=False)

    def parts(self) -> list[str]:
        """Every input and every hidden unit."""
        return [
            f"{f'layer{k}' if k else 'input'}:{i}" for k, units in enumerate(self._sizes) for i in range(1, units + 1)
        ]

    def forward(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Actions (batch, m); within [-1, 1] where the output is tanh."""
        x = (observation - self.mean) / self.std * self.mask_0
        for k, layer in enumerate(self.layers[:-1], start=1):
            x = _ACTIVATIONS[self.options.activation](layer(x)) * getattr(self, f"mask_{k}")
        x = self.layers[-1](x)
        return torch.tanh(x) if self.options.output == "tanh" else x, state

"""Multilayer perceptron: the baseline every circuit is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from gymnasium import spaces
from torch import Tensor, nn

from ..errors import LanceletError
from .boxes import Span, box, flatten, input_names, is_unit
from .core import Controller, Options, State

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
    span: bool = True
    """tanh reaches from the lower to the upper bound of every action; off: from -1 to 1, whatever the bounds are"""
    seed: int = 0
    """of the random initial weights"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.hidden, tuple) or any(
            not isinstance(units, int) or units < 1 for units in self.hidden
        ):
            raise LanceletError(
                f"MLP hidden = {self.hidden}: must be whole numbers, 1 or more each"
            )

    @classmethod
    def of_first_format(cls, saved: dict[str, Any], action_space: spaces.Space) -> dict[str, Any]:
        """See `Options.of_first_format`; there the tanh reached from -1 to 1."""
        return {"span": is_unit(action_space), **saved}


class MLP(Controller):
    """Fully connected layers over the normalised observation; stateless.

    A Dict observation is read in the order of its keys, as one vector.

    `mean` and `std` (buffers, saved with the weights) normalise the observation; a trainer that keeps running
    statistics sets them between rollouts. Parts to lesion: ``input:i`` (``input:KEY:i`` of a Dict) and ``layer1:i``,
    ``layer2:i``, ...
    """

    Options: ClassVar[type[Options]] = MLPOptions

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Space, options: MLPOptions
    ) -> None:
        self._input_names = input_names(observation_space, "MLP")
        inputs = len(self._input_names)
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
        self.span = Span(action_space, options.span)  # pyright: ignore[reportArgumentType] - `box` has checked it
        for k, names in enumerate(self._part_names()):
            mask = torch.tensor([float(name not in options.lesions) for name in names])
            self.register_buffer(f"mask_{k}", mask, persistent=False)

    def _part_names(self) -> list[list[str]]:
        """Names of the inputs, and of the units of each hidden layer."""
        names = [[f"input:{name}" for name in self._input_names]]
        for k, units in enumerate(self._sizes[1:], start=1):
            names.append([f"layer{k}:{i}" for i in range(1, units + 1)])
        return names

    def parts(self) -> list[str]:
        """Every input and every hidden unit."""
        return [name for names in self._part_names() for name in names]

    def forward(self, observation: Any, state: State) -> tuple[Tensor, State]:
        """Actions (batch, m); within the action box where the output is tanh."""
        x = flatten(observation, self.observation_space).to(self.mean.dtype)
        x = (x - self.mean) / self.std * self.mask_0
        for k, layer in enumerate(self.layers[:-1], start=1):
            x = _ACTIVATIONS[self.options.activation](layer(x)) * getattr(self, f"mask_{k}")
        x = self.layers[-1](x)
        action = self.span(torch.tanh(x)) if self.options.output == "tanh" else x
        return action, state

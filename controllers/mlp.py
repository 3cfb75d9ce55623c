"""Multilayer perceptron: the baseline every circuit is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from gymnasium import spaces
from torch import Tensor, nn

from ..checks import whole_numbers
from .boxes import Span, box, flatten, input_names, is_unit
from .core import Controller, Observation, Options, State

_ACTIVATIONS = {
    "tanh": torch.tanh,
    "relu": torch.relu,
}


@dataclass(frozen=True, kw_only=True)
class MLPOptions(Options):
    """Options of the perceptron."""

    hidden: tuple[int, ...] = (64, 64)
    """units of each hidden layer"""
    activation: Literal["tanh", "relu"] = "tanh"
    """of the hidden layers"""
    output: Literal["tanh", "linear"] = "tanh"
    """what the action is passed through"""
    span: bool = True
    """tanh reaches from the lower to the upper bound of every action; off: from -1 to 1, whatever the bounds are"""
    seed: int = 0
    """of the random initial weights"""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_numbers("MLP hidden", self.hidden, least=1)

    @classmethod
    def of_first_format(cls, saved: dict[str, Any], action_space: spaces.Space) -> dict[str, Any]:
        """As `Options.of_first_format`; in that format the tanh reached from -1 to 1."""
        return {"span": is_unit(action_space), **saved}


class MLP(Controller):
    """Fully connected layers over the normalised observation; stateless.

    A Dict observation is read in the order of its keys, as one vector.

    `mean` and `std` (buffers, saved with the weights) normalise the observation; a trainer that keeps running
    statistics sets them between rollouts. Parts to lesion: ``input:i`` (``input:KEY:i`` of a Dict) and ``layer1:i``,
    ``layer2:i``, ...; a lesioned input reads its mean, a lesioned unit sends 0.
    """

    Options: ClassVar[type[Options]] = MLPOptions
    options: MLPOptions

    mean: Tensor
    """(k,) of the observation"""
    std: Tensor
    """(k,) of the observation"""

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        options: MLPOptions,
    ) -> None:
        self._input_names = input_names(observation_space, "MLP")
        input_count = len(self._input_names)
        action_count = box(action_space, "MLP", "the action space")
        # `parts` reads the options before the base class has kept them.
        self._hidden_sizes = options.hidden
        super().__init__(observation_space, action_space, options)

        sizes = [self._feature_count(input_count), *options.hidden, action_count]
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            layers = [nn.Linear(inputs, outputs) for inputs, outputs in pairwise(sizes)]
        self.layers = nn.ModuleList(layers)
        self.register_buffer("mean", torch.zeros(input_count))
        self.register_buffer("std", torch.ones(input_count))
        self.span = Span(action_space, options.span)  # pyright: ignore[reportArgumentType] - `box` has checked it
        for depth, names in enumerate(self._parts_by_layer()):
            mask = torch.tensor([float(name not in options.lesions) for name in names])
            self.register_buffer(f"mask_{depth}", mask, persistent=False)

    def _feature_count(self, input_count: int) -> int:
        """Numbers that the first layer reads, of an observation of `input_count` numbers."""
        return input_count

    def _parts_by_layer(self) -> list[list[str]]:
        """Names of the inputs, and of the units of each hidden layer."""
        layers = [[f"input:{name}" for name in self._input_names]]
        for depth, units in enumerate(self._hidden_sizes, start=1):
            layers.append([f"layer{depth}:{number}" for number in range(1, units + 1)])
        return layers

    def parts(self) -> list[str]:
        """Every input and every hidden unit."""
        names = []
        for layer_names in self._parts_by_layer():
            names += layer_names
        return names

    def _mask(self, depth: int) -> Tensor:
        """1 for every whole unit of a layer, 0 for every lesioned one; depth 0 is the input, 1 the first layer."""
        return getattr(self, f"mask_{depth}")

    def forward(self, observation: Observation, state: State) -> tuple[Tensor, State]:
        """Actions (batch, m), within the action box where the output is tanh; the state is passed on."""
        return self._action(self._normalised(observation)), state

    def _vector(self, observation: Observation) -> Tensor:
        """The observation as one vector (..., k) of the weights' type."""
        return flatten(observation, self.observation_space).to(self.mean.dtype)

    def _normalised(self, observation: Observation) -> Tensor:
        """The observation as one vector (..., k) of mean 0 and deviation 1; 0 where lesioned."""
        vector = self._vector(observation)
        return (vector - self.mean) / self.std * self._mask(0)

    def _action(self, features: Tensor) -> Tensor:
        """Actions (..., m) from what the first layer reads."""
        activity = features
        activation = _ACTIVATIONS[self.options.activation]
        for depth, layer in enumerate(self.layers[:-1], start=1):
            activity = activation(layer(activity)) * self._mask(depth)
        action = self.layers[-1](activity)
        if self.options.output == "tanh":
            action = self.span(torch.tanh(action))
        return action

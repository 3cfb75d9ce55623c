"""Gated recurrent networks: GRU (Cho et al. 2014, arXiv 1406.1078) and LSTM (Hochreiter & Schmidhuber 1997)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from gymnasium import spaces
from torch import Tensor, nn

from ..errors import LanceletError
from .boxes import Span, box, flatten, input_names, is_unit
from .core import Controller, Options, State, sigmoid


@dataclass(frozen=True, kw_only=True)
class RecurrentOptions(Options):
    """Options of the recurrent networks."""

    hidden: int = 64
    """units of the recurrent layer"""
    output: Literal["tanh", "linear"] = "tanh"
    """of the action"""
    span: bool = True
    """tanh reaches from the lower to the upper bound of every action; off: from -1 to 1, whatever the bounds are"""
    seed: int = 0
    """of the random initial weights"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.hidden, bool) or not isinstance(self.hidden, int) or self.hidden < 1:
            raise LanceletError(
                f"recurrent hidden = {self.hidden!r}: must be a whole number, 1 or more"
            )

    @classmethod
    def of_first_format(cls, saved: dict[str, Any], action_space: spaces.Space) -> dict[str, Any]:
        """See `Options.of_first_format`; there the tanh reached from -1 to 1."""
        return {"span": is_unit(action_space), **saved}


class Recurrent(Controller):
    """One recurrent layer over the normalised observation, one linear layer from its units to the action.

    A Dict observation is read in the order of its keys, as one vector.

    `mean` and `std` (buffers, saved with the weights) normalise the observation; a trainer that keeps running
    statistics sets them between rollouts. Parts to lesion: ``input:i`` (``input:KEY:i`` of a Dict), which then
    reads its mean, and ``unit:i``, which then sends 0 to the action and to the layer itself.
    Signal: ``hidden``, the units' activity (batch, hidden).

    The gates are linear layers, since torch's own cells do not vmap; their rows stand in torch's order, so that
    weights can be carried over. Weights begin uniform in +-1/sqrt(hidden), as torch's do.
    """

    Options: ClassVar[type[Options]] = RecurrentOptions
    gates: ClassVar[int]
    """blocks of rows in the layer's weights"""

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Space, options: RecurrentOptions
    ) -> None:
        who = type(self).__name__
        self._input_names = input_names(observation_space, who)
        self._inputs = len(self._input_names)
        self._units = options.hidden
        outputs = box(action_space, who, "the action space")
        super().__init__(observation_space, action_space, options)
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            self.input = nn.Linear(self._inputs, self.gates * self._units)
            self.recurrent = nn.Linear(self._units, self.gates * self._units)
            self.output = nn.Linear(self._units, outputs)
            for weight in self.parameters():
                nn.init.uniform_(weight, -(self._units**-0.5), self._units**-0.5)
        self.mean: Tensor
        self.std: Tensor
        self.inputs: Tensor
        self.units: Tensor
        self.register_buffer("mean", torch.zeros(self._inputs))
        self.register_buffer("std", torch.ones(self._inputs))
        self.span = Span(action_space, options.span)  # pyright: ignore[reportArgumentType] - `box` has checked it
        for name, parts in (("inputs", self._input_parts()), ("units", self._unit_parts())):
            mask = torch.tensor([float(part not in options.lesions) for part in parts])
            self.register_buffer(name, mask, persistent=False)

    def parts(self) -> list[str]:
        """Every input and every unit."""
        return [*self._input_parts(), *self._unit_parts()]

    def _input_parts(self) -> list[str]:
        return [f"input:{name}" for name in self._input_names]

    def _unit_parts(self) -> list[str]:
        return [f"unit:{i}" for i in range(1, self._units + 1)]

    def cell(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Activity (batch, hidden) of the units and the next state, from the normalised observation."""
        raise NotImplementedError

    def forward(self, observation: Any, state: State) -> tuple[Tensor, State]:
        """Actions (batch, m); within the action box where the output is tanh."""
        hidden, state = self.cell(self._normalised(observation), state)
        return self._action(hidden), state

    def _normalised(self, observation: Any) -> Tensor:
        seen = flatten(observation, self.observation_space).to(self.mean.dtype)
        return (seen - self.mean) / self.std * self.inputs

    def _action(self, hidden: Tensor) -> Tensor:
        action = self.output(hidden)
        return self.span(torch.tanh(action)) if self.options.output == "tanh" else action

    def _through_time(self, kernel: Any, observation: Any, state: Any) -> tuple[Tensor, Any]:
        """Activity (steps, batch, hidden) and last states (batch, hidden) by torch's own layer.

        A silent unit still has an activity in there, which nothing reads.
        """
        weights = [
            self.input.weight,
            self.recurrent.weight * self.units,
            self.input.bias,
            self.recurrent.bias,
        ]
        hidden, *last = kernel(
            self._normalised(observation), state, weights, True, 1, 0.0, False, False, False
        )
        return hidden * self.units, [rows[0] for rows in last]


def gated(given: Tensor, own: Tensor, state: Tensor) -> Tensor:
    """Next activity (batch, units) of gated units, from what layers make of input and activity (batch, 3 units)."""
    units = state.shape[-1]
    reset, update = sigmoid(given[..., : 2 * units] + own[..., : 2 * units]).split(units, -1)
    candidate = torch.tanh(given[..., 2 * units :] + reset * own[..., 2 * units :])
    return candidate + update * (state - candidate)


class GRU(Recurrent):
    """Gated recurrent units, equal to `torch.nn.GRUCell`; state: the units' activity (batch, hidden)."""

    gates: ClassVar[int] = 3

    def initial_state(self, batch: int) -> State:
        """All units at 0."""
        return self.mean.new_zeros(batch, self._units)

    def cell(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """See `Recurrent.cell`."""
        hidden = gated(self.input(x), self.recurrent(state), state) * self.units
        return hidden, hidden

    def unroll(self, observation: Any, state: State) -> tuple[Tensor, State]:
        """See `Controller.unroll`."""
        hidden, (last,) = self._through_time(torch.gru, observation, state[None])
        return self._action(hidden), last * self.units

    def signals(self, state: State) -> dict[str, Tensor]:
        """The units' activity."""
        return {"hidden": state}


class LSTM(Recurrent):
    """Long short-term memory, equal to `torch.nn.LSTMCell`; state: activity and cells, (batch, hidden) each."""

    gates: ClassVar[int] = 4

    def initial_state(self, batch: int) -> State:
        """All units and cells at 0."""
        return self.mean.new_zeros(batch, self._units), self.mean.new_zeros(batch, self._units)

    def cell(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """See `Recurrent.cell`."""
        hidden, cells = state
        taken, kept, candidate, shown = (self.input(x) + self.recurrent(hidden)).split(
            self._units, 1
        )
        cells = sigmoid(kept) * cells + sigmoid(taken) * torch.tanh(candidate)
        hidden = sigmoid(shown) * torch.tanh(cells) * self.units
        return hidden, (hidden, cells)

    def unroll(self, observation: Any, state: State) -> tuple[Tensor, State]:
        """See `Controller.unroll`."""
        hidden, (last, cells) = self._through_time(
            torch.lstm, observation, [rows[None] for rows in state]
        )
        return self._action(hidden), (last * self.units, cells)

    def signals(self, state: State) -> dict[str, Tensor]:
        """The units' activity and their cells."""
        return {"hidden": state[0], "cells": state[1]}

"""Gated recurrent networks: GRU (Cho et al. 2014, arXiv 1406.1078) and LSTM (Hochreiter & Schmidhuber 1997)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from gymnasium import spaces
from torch import Tensor, nn

from ..checks import whole_number
from .boxes import Span, box, flatten, input_names, is_unit
from .core import Controller, Observation, Options, State, sigmoid


@dataclass(frozen=True, kw_only=True)
class RecurrentOptions(Options):
    """Options of the recurrent networks."""

    hidden: int = 64
    """units of the recurrent layer"""
    output: Literal["tanh", "linear"] = "tanh"
    """what the action is passed through"""
    span: bool = True
    """tanh reaches from the lower to the upper bound of every action; off: from -1 to 1, whatever the bounds are"""
    seed: int = 0
    """of the random initial weights"""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number("recurrent hidden", self.hidden, least=1)

    @classmethod
    def of_first_format(cls, saved: dict[str, Any], action_space: spaces.Space) -> dict[str, Any]:
        """As `Options.of_first_format`; in that format the tanh reached from -1 to 1."""
        return {"span": is_unit(action_space), **saved}


class Recurrent(Controller):
    """One recurrent layer over the normalised observation, one linear layer from its units to the action.

    A Dict observation is read in the order of its keys, as one vector.

    `mean` and `std` (buffers, saved with the weights) normalise the observation; a trainer that keeps running
    statistics sets them between rollouts. Parts to lesion: ``input:i`` (``input:KEY:i`` of a Dict), which then
    reads its mean, and ``unit:i``, which then sends 0 to the action and to the layer itself.
    Signal: ``hidden``, the units' activity (batch, hidden).

    The gates are linear layers, since torch's own cells do not vmap (docs/libraries.md, "Cells"); their rows stand in
    torch's order, so that weights can be carried over. Weights begin uniform in +-1/sqrt(hidden), as torch's do.
    """

    Options: ClassVar[type[Options]] = RecurrentOptions
    options: RecurrentOptions
    gates: ClassVar[int]
    """blocks of `hidden` rows in the layer's weights"""

    mean: Tensor
    """(k,) of the observation"""
    std: Tensor
    """(k,) of the observation"""
    inputs: Tensor
    """(k,) 1 for an input that is read, 0 for a lesioned one"""
    units: Tensor
    """(hidden,) 1 for a unit that is heard, 0 for a lesioned one"""

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        options: RecurrentOptions,
    ) -> None:
        who = type(self).__name__
        self._input_names = input_names(observation_space, who)
        self._input_count = len(self._input_names)
        self._unit_count = options.hidden
        action_count = box(action_space, who, "the action space")
        super().__init__(observation_space, action_space, options)

        gate_rows = self.gates * self._unit_count
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            self.input = nn.Linear(self._input_count, gate_rows)
            self.recurrent = nn.Linear(self._unit_count, gate_rows)
            self.output = nn.Linear(self._unit_count, action_count)
            bound = self._unit_count**-0.5
            for weight in self.parameters():
                nn.init.uniform_(weight, -bound, bound)

        self.register_buffer("mean", torch.zeros(self._input_count))
        self.register_buffer("std", torch.ones(self._input_count))
        self.span = Span(action_space, options.span)  # pyright: ignore[reportArgumentType] - `box` has checked it
        self.register_buffer("inputs", self._mask(self._input_parts()), persistent=False)
        self.register_buffer("units", self._mask(self._unit_parts()), persistent=False)

    def parts(self) -> list[str]:
        """Every input and every unit."""
        return [*self._input_parts(), *self._unit_parts()]

    def _input_parts(self) -> list[str]:
        """Names of the inputs, for lesions."""
        return [f"input:{name}" for name in self._input_names]

    def _unit_parts(self) -> list[str]:
        """Names of the units, for lesions."""
        return [f"unit:{number}" for number in range(1, self._unit_count + 1)]

    def _mask(self, parts: list[str]) -> Tensor:
        """1 for every part that is whole, 0 for every lesioned one."""
        return torch.tensor([float(part not in self.options.lesions) for part in parts])

    def cell(self, normalised: Tensor, state: State) -> tuple[Tensor, State]:
        """One step of the layer.

        Args:
            normalised: observation (batch, k).
            state: before the step.

        Returns:
            Activity of the units (batch, hidden), and the next state.
        """
        raise NotImplementedError

    def forward(self, observation: Observation, state: State) -> tuple[Tensor, State]:
        """Actions (batch, m), within the action box where the output is tanh, and the next state."""
        hidden, next_state = self.cell(self._normalised(observation), state)
        return self._action(hidden), next_state

    def _normalised(self, observation: Observation) -> Tensor:
        """The observation as one vector (batch, k) of mean 0 and deviation 1; 0 where lesioned."""
        vector = flatten(observation, self.observation_space).to(self.mean.dtype)
        return (vector - self.mean) / self.std * self.inputs

    def _action(self, hidden: Tensor) -> Tensor:
        """Actions (..., m) from the units' activity (..., hidden)."""
        action = self.output(hidden)
        if self.options.output == "tanh":
            return self.span(torch.tanh(action))
        return action

    def _through_time(
        self,
        kernel: Callable[..., tuple[Tensor, ...]],
        observation: Observation,
        state: Tensor | Sequence[Tensor],
    ) -> tuple[Tensor, list[Tensor]]:
        """All steps by a layer of torch's own, which is many times as fast as step by step.

        A silent unit still has an activity in there, which nothing reads.

        Args:
            kernel: `torch.gru` or `torch.lstm`.
            observation: (steps, batch, k) in time order, or a dict of such.
            state: tensors (1, batch, hidden) as `kernel` takes them.

        Returns:
            Activity (steps, batch, hidden), and the last states (batch, hidden) in the order of `kernel`.
        """
        # A silent unit is not heard by the layer: its column is 0.
        heard_weight = self.recurrent.weight * self.units
        # In torch's order, in which each entry is told by its place alone: weights, then biases.
        weights = [self.input.weight, heard_weight, self.input.bias, self.recurrent.bias]
        hidden, *last_states = kernel(
            input=self._normalised(observation),
            hx=state,
            params=weights,
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=False,
            bidirectional=False,
            batch_first=False,
        )
        return hidden * self.units, [layer_states[0] for layer_states in last_states]


def gated(from_input: Tensor, from_units: Tensor, activity: Tensor) -> Tensor:
    """Next activity of gated recurrent units (Cho et al. 2014, in torch's form).

    With the blocks of rows in the order reset, update, candidate:

        r = sigmoid(a_r + b_r);  z = sigmoid(a_z + b_z);  c = tanh(a_c + r b_c);  h' = c + z (h - c)

    Args:
        from_input: a (..., 3 units), what a linear layer makes of the input.
        from_units: b (..., 3 units), what a linear layer makes of the activity.
        activity: h (..., units), before the step.

    Returns:
        h' (..., units).
    """
    units = activity.shape[-1]
    gates = slice(0, 2 * units)
    candidates = slice(2 * units, 3 * units)
    opened = sigmoid(from_input[..., gates] + from_units[..., gates])
    reset_gate, update_gate = opened.split(units, -1)
    candidate = torch.tanh(from_input[..., candidates] + reset_gate * from_units[..., candidates])
    return candidate + update_gate * (activity - candidate)


class GRU(Recurrent):
    """Gated recurrent units, equal to `torch.nn.GRUCell`; state: the units' activity (batch, hidden)."""

    gates: ClassVar[int] = 3

    def initial_state(self, batch: int) -> State:
        """All units at 0."""
        return self.mean.new_zeros(batch, self._unit_count)

    def cell(self, normalised: Tensor, state: State) -> tuple[Tensor, State]:
        """One step of the gated units, as `Recurrent.cell` says; the activity is the next state."""
        activity = gated(self.input(normalised), self.recurrent(state), state)
        hidden = activity * self.units
        return hidden, hidden

    def unroll(self, observation: Observation, state: State) -> tuple[Tensor, State]:
        """As `Controller.unroll`, by `torch.gru`."""
        hidden, (last_activity,) = self._through_time(torch.gru, observation, state[None])
        return self._action(hidden), last_activity * self.units

    def signals(self, state: State) -> dict[str, Tensor]:
        """The units' activity."""
        return {"hidden": state}


class LSTM(Recurrent):
    """Long short-term memory, equal to `torch.nn.LSTMCell`; state: activity and cells, (batch, hidden) each."""

    gates: ClassVar[int] = 4

    def initial_state(self, batch: int) -> State:
        """All units and cells at 0."""
        activity = self.mean.new_zeros(batch, self._unit_count)
        cells = self.mean.new_zeros(batch, self._unit_count)
        return activity, cells

    def cell(self, normalised: Tensor, state: State) -> tuple[Tensor, State]:
        """One step of the memory cells, as `Recurrent.cell` says.

        With the blocks of rows in torch's order (input, forget, candidate, output), cells c and activity h:

            c' = sigmoid(forget) c + sigmoid(input) tanh(candidate);  h' = sigmoid(output) tanh(c')
        """
        hidden, cells = state
        rows = self.input(normalised) + self.recurrent(hidden)
        input_gate, forget_gate, candidate, output_gate = rows.split(self._unit_count, 1)
        kept = sigmoid(forget_gate) * cells
        next_cells = kept + sigmoid(input_gate) * torch.tanh(candidate)
        next_hidden = sigmoid(output_gate) * torch.tanh(next_cells) * self.units
        return next_hidden, (next_hidden, next_cells)

    def unroll(self, observation: Observation, state: State) -> tuple[Tensor, State]:
        """As `Controller.unroll`, by `torch.lstm`."""
        layer_states = [rows[None] for rows in state]
        hidden, last_states = self._through_time(torch.lstm, observation, layer_states)
        last_activity, last_cells = last_states
        return self._action(hidden), (last_activity * self.units, last_cells)

    def signals(self, state: State) -> dict[str, Tensor]:
        """The units' activity and their cells."""
        hidden, cells = state
        return {"hidden": hidden, "cells": cells}

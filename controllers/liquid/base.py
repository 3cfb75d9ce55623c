"""What the liquid controllers share: how they read an observation and the time, and how the action is read off them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from ...checks import finite_number, whole_number
from ...errors import LanceletError, unknown
from ..boxes import Span, box, flatten, input_names
from ..core import Controller, Observation, Options, State
from . import wiring
from .cfc_cells import CellStep
from .circuit import Circuit, Neuron, Synapse, dense
from .lesions import Lesions
from .wiring import Wiring

GATE = "gate"
"""part whose lesion holds the gate at its mean"""
STATE = "state"
"""part whose lesion puts the state back to its start before every step"""
RECURRENCE = "recurrence"
"""part whose lesion cuts what neurons of one layer tell one another"""


@dataclass(frozen=True, kw_only=True)
class LiquidOptions(Options):
    """Options of the liquid networks."""

    hidden: int = 32
    """neurons; with `wiring` ncp those of all layers, motor neurons included"""
    wiring: Literal["full", "ncp"] = "full"
    """who hears whom: everybody everybody, or inputs, inter, command and motor neurons with sparse synapses"""
    sparsity: float = 0.5
    """part of the possible synapses that is missing where `wiring` is ncp"""
    wiring_seed: int = 0
    """of the synapses and their polarities"""
    elapsed: str = ""
    """name of the input that tells the time since the last step in s, as in the part ``input:NAME``; empty: every step
    lasts one period"""
    interval: float = 1.0
    """period in s, which the elapsed time is divided by; read only where `elapsed` is given"""
    output: Literal["tanh", "linear"] = "tanh"
    """what the action is passed through"""
    span: bool = True
    """tanh reaches from the lower to the upper bound of every action; off: from -1 to 1, whatever the bounds are"""
    seed: int = 0
    """of the random initial weights"""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number("liquid hidden", self.hidden, least=1)
        finite_number("liquid sparsity", self.sparsity, above=0, below=1)
        whole_number("wiring_seed", self.wiring_seed, least=0, most=wiring.LARGEST_SEED)
        finite_number("liquid interval", self.interval, above=0, unit="s")


class Liquid(Controller):
    """A liquid cell over the normalised observation, and one linear layer from its last neurons to the action.

    A Dict observation is read in the order of its keys, as one vector. `mean` and `std` (buffers, saved with the
    weights) normalise it; a trainer that keeps running statistics sets them between rollouts. The elapsed time is
    read as it is.

    Parts to lesion: ``input:NAME``, which then reads its mean (the elapsed time one period); ``unit:i``, or
    ``inter:i``, ``command:i`` and ``motor:i``, which then sends 0; ``gate``, held at `gate_mean`, which
    `measure_gate` sets; ``state``, which then begins anew at every step; ``recurrence``, so that no neuron hears its
    own layer.

    Signals: the activity by layer, ``hidden`` where there is one layer alone.
    """

    Options: ClassVar[type[Options]] = LiquidOptions
    options: LiquidOptions

    mean: Tensor
    """(k,) of the observation"""
    std: Tensor
    """(k,) of the observation"""
    inputs: Tensor
    """(k,) 1 for an input that is read, 0 for a lesioned one"""
    units: Tensor
    """(neurons,) 1 for a neuron that is heard, 0 for a lesioned one"""
    gate_mean: Tensor
    """(neurons,) at which a lesion holds the gate"""

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        options: LiquidOptions,
    ) -> None:
        who = type(self).__name__
        self._input_names = input_names(observation_space, who)
        self._elapsed_place = _place_of(options.elapsed, self._input_names)
        action_count = box(action_space, who, "the action space")
        read_count = len(self._input_names) - (self._elapsed_place is not None)
        self._wiring = _wiring_of(options, read_count, action_count)
        super().__init__(observation_space, action_space, options)

        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            self.cell = self._make_cell(self._wiring)
            self.output = nn.Linear(self._wiring.output_count, action_count)
        self.register_buffer("mean", torch.zeros(len(self._input_names)))
        self.register_buffer("std", torch.ones(len(self._input_names)))
        self.register_buffer("gate_mean", self._first_gate_mean())
        self.span = Span(action_space, options.span)  # pyright: ignore[reportArgumentType] - `box` has checked it
        self.register_buffer("inputs", self._mask(self._input_parts()), persistent=False)
        self.register_buffer("units", self._mask(self._wiring.neuron_names()), persistent=False)

    def _make_cell(self, circuit_wiring: Wiring) -> nn.Module:
        """The cell, with random weights of torch's own generator.

        It is called as the cells of `cfc_cells` are.
        """
        raise NotImplementedError

    def _first_gate_mean(self) -> Tensor:
        """`gate_mean` (neurons,) before it has been measured: a gate that is half open."""
        return torch.full((self._wiring.neuron_count,), 0.5)

    def parts(self) -> list[str]:
        """Every input, every neuron, the gate, the state and the recurrence."""
        return [
            *self._input_parts(),
            *self._wiring.neuron_names(),
            GATE,
            STATE,
            RECURRENCE,
        ]

    def _input_parts(self) -> list[str]:
        """Names of the inputs, for lesions."""
        return [f"input:{name}" for name in self._input_names]

    def _mask(self, parts: list[str]) -> Tensor:
        """1 for every part that is whole, 0 for every lesioned one."""
        return torch.tensor([float(part not in self.options.lesions) for part in parts])

    def counted_interval(self) -> float | None:
        """The period where the elapsed time is read, as `Controller.counted_interval`."""
        return self.options.interval if self._elapsed_place is not None else None

    def initial_state(self, batch: int) -> State:
        """All neurons at 0."""
        return self.mean.new_zeros(batch, self._wiring.neuron_count)

    def forward(self, observation: Observation, state: State) -> tuple[Tensor, State]:
        """Actions (batch, m), within the action box where the output is tanh, and the next state.

        Raises:
            LanceletError: an elapsed time below 0. In a population, where no number can be looked at, the action
                becomes NaN instead, which every environment refuses.
        """
        step = self._step(observation, state)
        return self._action(step.hidden), step.state

    def unroll(self, observation: Observation, state: State) -> tuple[Tensor, State]:
        """As `Controller.unroll`, by a compiled pass where there is one for this network."""
        vector = self._vector(observation)
        if not self._is_plain(vector):
            return Controller.unroll(self, observation, state)
        hidden = self._through_time(self._read(vector), state, self._elapsed(vector))
        if hidden is None:
            return Controller.unroll(self, observation, state)
        hidden = hidden * self.units
        return self._action(hidden), hidden[-1]

    def _is_plain(self, vector: Tensor) -> bool:
        """Whether a pass through time of our own may be taken: lesions, maps and gradients of time need all steps."""
        if GATE in self.options.lesions or STATE in self.options.lesions:
            return False
        if self._elapsed_place is not None and vector.requires_grad:
            return False
        return not _is_mapped(vector) and not _is_mapped(self.output.weight)

    def _through_time(self, inputs: Tensor, state: State, elapsed: Tensor) -> Tensor | None:
        """Activity of all neurons (steps, batch, neurons), faster than step by step; None: there is no such way.

        Args:
            inputs: normalised, (steps, batch, k).
            state: before the first step.
            elapsed: (steps, batch, 1) in periods.
        """
        return None

    def gate(self, observation: Observation, state: State) -> Tensor:
        """The gate (batch, neurons) that a step from `state` with this observation opens: see `CellStep`."""
        return self._step(observation, state).gate

    @torch.no_grad()
    def measure_gate(self, observation: Observation, state: State) -> Tensor:
        """Set `gate_mean` to the mean of the free gate over an episode, for the lesion ``gate``.

        Args:
            observation: (steps, batch, k) in time order, or a dict of such.
            state: before the first step.

        Returns:
            The mean (neurons,).
        """
        if GATE in self.options.lesions:
            raise LanceletError(
                "gate: a held gate has no mean to measure; measure it before the lesion"
            )
        steps = self._vector(observation).shape[0]
        gates = []
        for number in range(steps):
            now = tree_map(lambda values, number=number: values[number], observation)
            step = self._step(now, state)
            state = step.state
            gates.append(step.gate.mean(0))
        self.gate_mean.copy_(torch.stack(gates).mean(0))
        return self.gate_mean.clone()

    def _step(self, observation: Observation, state: State) -> CellStep:
        """One step of the cell, with the lesions."""
        vector = self._vector(observation)
        if STATE in self.options.lesions:
            state = tree_map(torch.zeros_like, state)
        return self.cell(self._read(vector), state, self._elapsed(vector), self._lesions())

    def _lesions(self) -> Lesions:
        """What is silent in the cell."""
        held_gate = self.gate_mean if GATE in self.options.lesions else None
        is_cut = RECURRENCE in self.options.lesions
        return Lesions(units=self.units, recurrence=is_cut, gate=held_gate)

    def _vector(self, observation: Observation) -> Tensor:
        """The observation as one vector (..., k) of the weights' type."""
        return flatten(observation, self.observation_space).to(self.mean.dtype)

    def _read(self, vector: Tensor) -> Tensor:
        """The vector (..., k) with mean 0 and deviation 1, 0 where lesioned, without the elapsed time."""
        normalised = (vector - self.mean) / self.std * self.inputs
        if self._elapsed_place is None:
            return normalised
        before = normalised[..., : self._elapsed_place]
        behind = normalised[..., self._elapsed_place + 1 :]
        return torch.cat([before, behind], dim=-1)

    def _elapsed(self, vector: Tensor) -> Tensor:
        """Time since the last step in periods, (..., 1)."""
        periods = vector.new_ones(*vector.shape[:-1], 1)
        if self._elapsed_place is None or f"input:{self.options.elapsed}" in self.options.lesions:
            return periods
        seconds = vector[..., self._elapsed_place, None]
        if _is_mapped(seconds):
            seconds = torch.where(seconds >= 0, seconds, torch.nan)
        elif not bool((seconds >= 0).all()):
            raise LanceletError(
                f"elapsed time {float(seconds.detach().min()):g} s in input {self.options.elapsed}: "
                "must be 0 or more"
            )
        return seconds / self.options.interval

    def _action(self, hidden: Tensor) -> Tensor:
        """Actions (..., m) from the activity of all neurons (..., neurons)."""
        last_layer = hidden[..., -self._wiring.output_count :]
        action = self.output(last_layer)
        if self.options.output == "tanh":
            return self.span(torch.tanh(action))
        return action

    def signals(self, state: State) -> dict[str, Tensor]:
        """The activity by layer."""
        slices = self._wiring.slices()
        if len(slices) == 1:
            return {"hidden": state}
        return {name: state[:, place] for name, place in slices.items()}

    def circuit(self) -> Circuit:
        """Neurons by layer, and every synapse."""
        inputs = [f"input:{name}" for name in self._read_names()]
        neurons = [Neuron(name, "input") for name in inputs]
        neurons += self._hidden_neurons()
        actions = [f"action:{number}" for number in range(1, self.output.out_features + 1)]
        neurons += [Neuron(name, "action") for name in actions]

        names = self._wiring.neuron_names()
        last_layer = names[-self._wiring.output_count :]
        synapses = self._synapses(inputs, names)
        synapses += dense(last_layer, actions, self.output.weight, signed=True)
        return Circuit(neurons, synapses)

    def _hidden_neurons(self) -> list[Neuron]:
        """The neurons between inputs and actions."""
        return [Neuron(name, name.split(":")[0]) for name in self._wiring.neuron_names()]

    def _synapses(self, inputs: list[str], names: list[str]) -> list[Synapse]:
        """Synapses between inputs and neurons of these names, and between neurons."""
        raise NotImplementedError

    def _read_names(self) -> list[str]:
        """Names of the inputs but for the elapsed time."""
        return [name for name in self._input_names if name != self.options.elapsed]


def _place_of(elapsed: str, names: list[str]) -> int | None:
    """Place of the elapsed time among the inputs; None: no input tells it.

    Raises:
        LanceletError: no input of that name, or no other input.
    """
    if not elapsed:
        return None
    if elapsed not in names:
        raise unknown("input that tells the elapsed time", elapsed, names)
    if len(names) == 1:
        raise LanceletError(f"elapsed = {elapsed}: there is no other input to act on")
    return names.index(elapsed)


def _wiring_of(options: LiquidOptions, input_count: int, action_count: int) -> Wiring:
    """The wiring that the options name."""
    if options.wiring == "full":
        return wiring.full(input_count, options.hidden, options.wiring_seed)
    counts = wiring.policy_counts(options.hidden, action_count, options.sparsity)
    return wiring.policy(input_count, counts, options.wiring_seed)


def _is_mapped(values: Tensor) -> bool:
    """Whether a tensor is one that `torch.func` maps over: its numbers cannot be looked at."""
    # torch has no public question for this.
    functorch = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]
    return functorch.is_functorch_wrapped_tensor(values)

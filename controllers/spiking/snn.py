"""Spiking network for altitude control (Burgers, Stroobants, de Croon 2023, arXiv 2309.12937)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from gymnasium import spaces
from torch import Tensor, nn

from ...errors import LanceletError
from ..boxes import box
from ..core import Controller, Options, State

BOUNDS = {
    "encoder_weight": (-2.0, 2.0),
    "encoder_bias": (-1.0, 1.0),
    "encoder_synapse": (0.0, 0.99),
    "encoder_membrane": (0.0, 1.0),
    "encoder_threshold": (0.0, 10.0),
    "hidden_weight": (-2.0, 2.0),
    "synapse": (0.0, 1.0),
    "membrane": (0.0, 1.0),
    "threshold": (0.0, 10.0),
    "recurrent": (-1.0, 1.0),
    "threshold_decay": (0.0, 1.0),
    "threshold_jump": (-1.0, 1.0),
    "decoder_weight": (-1.0, 1.0),
    "decoder_decay": (0.0, 1.0),
}
"""range of every quantity in natural units; the options may narrow decoder_decay"""
FIRST = {
    "encoder_threshold": (0.1, 2.0),
    "threshold": (0.1, 3.0),
    "encoder_synapse": (0.1, 0.9),
    "encoder_membrane": (0.1, 0.9),
    "synapse": (0.1, 0.9),
    "membrane": (0.1, 0.9),
    "threshold_decay": (0.1, 0.9),
    "recurrent": (-0.01, 0.01),
}
"""narrower ranges of the first values: neurons that spike, and leak (the authors' runs began narrower too)"""
DECAYS = (
    "encoder_synapse",
    "encoder_membrane",
    "synapse",
    "membrane",
    "threshold_decay",
    "decoder_decay",
)
"""quantities that are kept within their range: outside of it a decay would grow without end, or alternate"""
MIRRORED = ("encoder_weight", "decoder_weight")
"""quantities of form "shared" whose sign the second neuron of a pair turns round"""
EQUAL_IN_PAIRS = (
    "encoder_bias",
    "encoder_synapse",
    "encoder_membrane",
    "encoder_threshold",
    "threshold_decay",
)
"""quantities of form "shared" that both neurons of a pair have alike; of an adaptive layer the threshold too"""
SILENT = 1e30
"""threshold of a lesioned neuron; finite, for 0 spikes times it must be 0"""


@dataclass(frozen=True, kw_only=True)
class SNNOptions(Options):
    """Options of the spiking network."""

    hidden: Literal["lif", "r-lif", "iwta-lif", "r-iwta-lif"] = "lif"
    """hidden layer: leaky integrate-and-fire; r: all-to-all recurrent; iwta: thresholds that follow incoming spikes"""
    neurons: int = 40
    """of the encoder, and of the hidden layer; even, since neurons come in pairs"""
    form: Literal["shared", "literal"] = "shared"
    """which numbers are free: pairs share theirs (the authors' code), or each neuron has its own (the paper's table)"""
    trace: Literal["paper", "code"] = "paper"
    """threshold trace: incoming spikes alone, or also the layer's own last spikes, decaying twice a step"""
    decoder_decay: tuple[float, float] = (0.0, 1.0)
    """range of the decoder's decay; (0, 0.3) keeps integration out of the decoder"""
    seed: int = 0
    """of the random initial genes"""

    def __post_init__(self) -> None:
        super().__post_init__()
        # Words of its own, since `whole_number` knows of no pairs.
        neurons = self.neurons
        is_whole = isinstance(neurons, int) and not isinstance(neurons, bool)
        if not is_whole or neurons < 2 or neurons % 2 == 1:
            raise LanceletError(
                f"SNN neurons = {neurons!r}: must be an even whole number, 2 or more (they come in pairs)"
            )
        if not _is_range_of_decays(self.decoder_decay):
            raise LanceletError(
                f"SNN decoder_decay = {self.decoder_decay!r}: must be two numbers, 0 <= lowest <= highest <= 1"
            )


def _is_range_of_decays(value: Any) -> bool:
    """Whether a value is the lowest and the highest of some decays."""
    if not isinstance(value, tuple) or len(value) != 2:
        return False
    if not all(isinstance(end, int | float) for end in value):
        return False
    lowest, highest = value
    return 0 <= lowest <= highest <= 1


class SNN(Controller):
    """One error in, one command out: encoder -> hidden -> leaky decoder, one network step a control step.

    Observation (batch, 1): the error e. Action (batch, 1) in command units. Encoder and hidden neurons follow

        i[t] = a_syn i[t-1] + input[t];  v[t] = a_mem v[t-1] + i[t] - s[t-1] theta[t-1];  s[t] = v[t] > theta[t]

    with input ``w e + b`` (encoder), or a 2 x 2 block of the encoder pair's spikes plus, where recurrent, all hidden
    spikes of the step before. IWTA: theta[t] = threshold + d[t], d[t] = decay d[t-1] + jump s_in[t] with s_in the
    encoder's spikes; ``trace="code"``: d[t] = decay (decay d[t-1] + jump s[t-1]) + jump s_in[t]. The decoder:
    y[t] = a y[t-1] + (1 - a) sum w s[t].

    Every parameter is a *gene*: 0 is the lower bound of its quantity in `BOUNDS`, 1 the upper; decays are kept in
    their range, the others are only scaled. `values` gives natural units. Genes begin uniform in [0, 1], some in the
    narrower ranges of `FIRST`.

    Spikes are 0 or 1. With gradients on, their derivative is that of arctan(pi x) / pi at x = v - theta, and none
    flows through the reset's spikes (as in snnTorch). Arithmetic order matters here: `kernel` repeats it to
    the bit; sums over many neurons are taken in double precision, so that their order does not show.

    Signals: ``encoder`` and ``hidden`` spikes (batch, N); ``operations`` (batch,), additions that the step's spikes
    caused in neurons they reach (into the thresholds too). Parts to lesion: ``recurrent``, ``threshold`` (no jumps)
    where present, and ``pair:i``, hidden pair i silent, i from 1.

    Raises:
        LanceletError: observation or action of another size than 1.
    """

    Options: ClassVar[type[Options]] = SNNOptions
    options: SNNOptions

    encoder_weight: Tensor
    is_silent: Tensor
    """(N,) True for a lesioned hidden neuron"""

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Space, options: SNNOptions
    ) -> None:
        _check_space(observation_space, "observation")
        _check_space(action_space, "action")
        super().__init__(observation_space, action_space, options)
        self.bounds = {**BOUNDS, "decoder_decay": options.decoder_decay}
        # One generator for all, in the order of `_shapes`: what a seed means depends on it.
        random = torch.Generator().manual_seed(options.seed)
        for name, shape in self._shapes().items():
            first, last = FIRST.get(name, self.bounds[name])
            value = first + (last - first) * torch.rand(shape, generator=random)
            setattr(self, name, nn.Parameter(self._first_gene(name, value)))
        is_silent_pair = torch.zeros(options.neurons // 2, dtype=torch.bool)
        is_silent_pair[self.silenced("pair")] = True
        self.register_buffer("is_silent", is_silent_pair.repeat_interleave(2), persistent=False)

    def _first_gene(self, name: str, value: Tensor) -> Tensor:
        """The gene of a first value; 0 where the range of its quantity is a single number."""
        low, high = self.bounds[name]
        if high > low:
            return (value - low) / (high - low)
        return value * 0

    @property
    def recurrent_layer(self) -> bool:
        """Whether hidden neurons hear each other."""
        return self.options.hidden.startswith("r-")

    @property
    def adaptive(self) -> bool:
        """Whether thresholds follow incoming spikes (IWTA)."""
        return "iwta" in self.options.hidden

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of the free numbers of each quantity that is present, in the order of `BOUNDS`."""
        neurons = self.options.neurons
        pairs = neurons // 2
        is_shared = self.options.form == "shared"
        each_neuron = (neurons,)
        each_pair = (pairs,)
        # In form "shared" the neurons of a pair share their numbers.
        own = each_pair if is_shared else each_neuron
        shapes: dict[str, tuple[int, ...]] = {
            "encoder_weight": own,
            "encoder_bias": own,
            "encoder_synapse": own,
            "encoder_membrane": own,
            "encoder_threshold": own,
            "hidden_weight": (pairs, 2, 2),
            "synapse": each_neuron,
            "membrane": each_neuron,
            # The authors' code shares thresholds only where they adapt.
            "threshold": own if self.adaptive else each_neuron,
            "recurrent": (neurons, neurons),
            "threshold_decay": own,
            "threshold_jump": each_pair if is_shared else (neurons, neurons),
            "decoder_weight": own,
            "decoder_decay": (),
        }
        absent = []
        if not is_shared:
            # The paper's table has no synapse in the encoder.
            absent.append("encoder_synapse")
        if not self.recurrent_layer:
            absent.append("recurrent")
        if not self.adaptive:
            absent += ["threshold_decay", "threshold_jump"]
        return {name: shape for name, shape in shapes.items() if name not in absent}

    def parts(self) -> list[str]:
        """Recurrent synapses and threshold jumps where present, every hidden pair."""
        parts = []
        if self.recurrent_layer:
            parts.append("recurrent")
        if self.adaptive:
            parts.append("threshold")
        pairs = self.options.neurons // 2
        return parts + [f"pair:{number}" for number in range(1, pairs + 1)]

    def values(self, genes: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Natural units that the circuit acts with, lesions included; the same arrays for both forms.

        Args:
            genes: by name, with any leading dimensions; None: its own.

        Returns:
            With N neurons, and the leading dimensions of `genes` before: hidden_weight (N/2, 2, 2) [pair, post,
            pre], recurrent and threshold_jump (N, N) [post, pre] where present, decoder_decay (), else (N,).
        """
        if genes is None:
            genes = self._own_genes()
        values = self._natural(genes)
        # Times 0 and not a new tensor: leading dimensions and gradients stay.
        if "recurrent" in self.options.lesions:
            values["recurrent"] = values["recurrent"] * 0
        if "threshold" in self.options.lesions:
            values["threshold_jump"] = values["threshold_jump"] * 0
        values["threshold"] = torch.where(self.is_silent, SILENT, values["threshold"])
        return values

    def _own_genes(self) -> dict[str, Tensor]:
        """The circuit's genes by name, in the order of `BOUNDS`."""
        return {name: getattr(self, name) for name in self._shapes()}

    def _natural(self, genes: dict[str, Tensor]) -> dict[str, Tensor]:
        """Natural units of genes, without lesions: a number for every neuron, whatever the form."""
        values = {}
        for name, gene in genes.items():
            low, high = self.bounds[name]
            value = low + (high - low) * gene
            values[name] = value.clamp(low, high) if name in DECAYS else value
        if self.options.form == "literal":
            values["encoder_synapse"] = values["encoder_weight"] * 0
            return values

        for name in MIRRORED:
            values[name] = _interleaved(values[name], -values[name])
        for name in EQUAL_IN_PAIRS:
            if name in values:
                values[name] = _interleaved(values[name], values[name])
        if self.adaptive:
            values["threshold"] = _interleaved(values["threshold"], values["threshold"])
            values["threshold_jump"] = _jumps_within_pairs(values["threshold_jump"])
        return values

    def assign(self, values: dict[str, Any]) -> None:
        """Set the genes from natural values as `values` gives them; nothing changes where they do not fit.

        Raises:
            LanceletError: a missing or unknown name, another shape, a decay out of its range, numbers that are not
                finite, or values that this form cannot hold because it shares them.
        """
        with torch.no_grad():
            present_values = self._natural(self._own_genes())
        self._check_shapes(values, present_values)
        given = {
            name: torch.as_tensor(values[name], dtype=present.dtype)
            for name, present in present_values.items()
        }
        genes = {}
        for name, shape in self._shapes().items():
            self._check_numbers(name, given[name])
            genes[name] = self._gene(name, _shared(given[name], shape))
        # Back again: values that neurons of a pair do not share would come out otherwise than they went in.
        for name, value in self._natural(genes).items():
            if not torch.allclose(value, given[name], rtol=1e-5, atol=1e-5):
                largest_error = float((value - given[name]).abs().max())
                raise LanceletError(
                    f"SNN {name}: form={self.options.form!r} cannot hold these (off by {largest_error:g})"
                )
        with torch.no_grad():
            for name, gene in genes.items():
                getattr(self, name).copy_(gene)

    def _check_shapes(self, given: dict[str, Any], present: dict[str, Tensor]) -> None:
        """Refuse values whose names or shapes are not those of the present ones."""
        for name in present.keys() | given.keys():
            given_shape: Any = "missing"
            needed_shape: Any = "unknown"
            if name in given:
                given_shape = tuple(torch.as_tensor(given[name]).shape)
            if name in present:
                needed_shape = tuple(present[name].shape)
            if given_shape != needed_shape:
                raise LanceletError(
                    f"SNN {name} is {given_shape}: a {self.options.hidden} network needs {needed_shape}"
                )

    def _check_numbers(self, name: str, value: Tensor) -> None:
        """Refuse numbers that are not finite, and decays out of their range."""
        low, high = self.bounds[name]
        if not bool(value.isfinite().all()):
            raise LanceletError(f"SNN {name}: holds numbers that are not finite")
        if name in DECAYS and not bool(((value >= low) & (value <= high)).all()):
            distance_from_middle = (value - (low + high) / 2).abs()
            worst = value.flatten()[distance_from_middle.argmax()]
            raise LanceletError(
                f"SNN {name} = {float(worst):g}: must be within [{low:g}, {high:g}]"
            )

    def _gene(self, name: str, value: Tensor) -> Tensor:
        """The gene of a value; the middle where the range of its quantity is a single number."""
        low, high = self.bounds[name]
        if high > low:
            return (value - low) / (high - low)
        return torch.full_like(value, 0.5)

    def initial_state(self, batch: int) -> State:
        """Everything at 0: (batch, N) each, but ``output`` (batch, 1) and ``operations`` (batch,)."""
        zeros = self.encoder_weight.new_zeros(batch, self.options.neurons)
        state = {
            "encoder_current": zeros,
            "encoder_potential": zeros,
            "encoder": zeros,
            "current": zeros,
            "potential": zeros,
            "hidden": zeros,
            "output": zeros[:, :1],
            "operations": zeros[:, 0],
        }
        if self.adaptive:
            state["offset"] = zeros
        return state

    def forward(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Commands (batch, 1) in command units, not clipped."""
        return self._step(self.values(), observation, state)

    def unroll(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Commands of many steps, and the last state; the genes are turned into values once.

        Args:
            observation: (steps, batch, 1) in time order.
            state: before the first step.

        Returns:
            Commands (steps, batch, 1), and the state after the last step.
        """
        values = self.values()
        commands = []
        for error in observation:
            command, state = self._step(values, error, state)
            commands.append(command)
        return torch.stack(commands), state

    def _step(self, values: dict[str, Tensor], error: Tensor, old: State) -> tuple[Tensor, State]:
        """One step of the network; every operation, and their order, is what `kernel.run_individual` repeats.

        Args:
            values: natural units, from `values`.
            error: (batch, 1).
            old: state of the step before.

        Returns:
            The command (batch, 1), and the state.
        """
        new = {}
        encoder_drive = values["encoder_weight"] * error + values["encoder_bias"]
        new["encoder_current"] = values["encoder_synapse"] * old["encoder_current"] + encoder_drive
        encoder_threshold = values["encoder_threshold"]
        new["encoder_potential"] = (
            values["encoder_membrane"] * old["encoder_potential"] + new["encoder_current"]
        ) - old["encoder"].detach() * encoder_threshold
        new["encoder"] = spike(new["encoder_potential"], encoder_threshold)

        drive = _drive_of_pairs(new["encoder"], values["hidden_weight"])
        if self.recurrent_layer:
            drive = drive + _sum(old["hidden"], values["recurrent"])
        # A spike is taken back by the threshold of its own step, which is the one before.
        last_threshold = values["threshold"]
        threshold = values["threshold"]
        if self.adaptive:
            last_threshold = values["threshold"] + old["offset"]
            new["offset"] = self._next_offset(values, new["encoder"], old)
            threshold = values["threshold"] + new["offset"]
        new["current"] = values["synapse"] * old["current"] + drive
        new["potential"] = (values["membrane"] * old["potential"] + new["current"]) - old[
            "hidden"
        ].detach() * last_threshold
        new["hidden"] = spike(new["potential"], threshold)

        decay = values["decoder_decay"]
        decoder_input = _sum(new["hidden"], values["decoder_weight"].unsqueeze(-2))
        new["output"] = decay * old["output"] + (1 - decay) * decoder_input
        new["operations"] = self._operations(old["hidden"], new["encoder"], new["hidden"])
        # The order of the leaves stays that of the first state, for whatever saves them.
        next_state = {name: new[name] for name in old}
        return new["output"], next_state

    def _next_offset(self, values: dict[str, Tensor], encoder_spikes: Tensor, old: State) -> Tensor:
        """Offsets (batch, N) of adaptive thresholds: they decay, and jump at spikes that come in."""
        decay = values["threshold_decay"]
        offset = old["offset"]
        if self.options.trace == "code":
            # The authors' code decays twice a step, and hears the layer's own last spikes in between.
            offset = decay * offset + _sum(old["hidden"], values["threshold_jump"])
        return decay * offset + _sum(encoder_spikes, values["threshold_jump"])

    def _operations(self, last_hidden: Tensor, encoder: Tensor, hidden: Tensor) -> Tensor:
        """Additions (batch,) that spikes cause in a step.

        An encoder spike reaches two hidden neurons, and a hidden one the decoder; the structure adds to both.

        Args:
            last_hidden: spikes of the step before, (batch, N).
            encoder: spikes of this step, (batch, N).
            hidden: spikes of this step, (batch, N).
        """
        neurons = self.options.neurons
        thresholds_reached = 0
        if self.adaptive and "threshold" not in self.options.lesions:
            thresholds_reached = 2 if self.options.form == "shared" else neurons
        reached_later = 0
        if self.recurrent_layer and "recurrent" not in self.options.lesions:
            reached_later += neurons
        if self.options.trace == "code":
            reached_later += thresholds_reached
        additions = (
            (2 + thresholds_reached) * encoder.sum(-1)
            + hidden.sum(-1)
            + reached_later * last_hidden.sum(-1)
        )
        return additions.detach()

    def signals(self, state: State) -> dict[str, Tensor]:
        """Spikes of both layers and the step's synaptic operations."""
        return {name: state[name] for name in ("encoder", "hidden", "operations")}


def _check_space(space: spaces.Space, what: str) -> None:
    """Refuse a space of more than one number; `what` it is, the error says."""
    if box(space, "SNN", f"the {what} space") != 1:
        raise LanceletError(
            f'SNN cannot use {space}: needs {what} (1,), the error (the blimp has track="snn")'
        )


def _interleaved(first: Tensor, second: Tensor) -> Tensor:
    """Numbers (..., pairs) of the first and of the second neurons of pairs as (..., N), pair by pair."""
    return torch.stack([first, second], -1).flatten(-2)


def _jumps_within_pairs(jump: Tensor) -> Tensor:
    """Threshold jumps (..., N, N) [post, pre] of pairs that share one number (..., pairs).

    A spike lowers the threshold of its own place in the pair and raises that of the partner's, or the other way round.
    """
    # (..., pair of post, 1, pair of pre, 1), 0 between different pairs.
    by_pair = torch.diag_embed(jump)[..., :, None, :, None]
    # (post, 1, pre) in a pair.
    sign = by_pair.new_tensor([[-1.0, 1.0], [1.0, -1.0]])[:, None, :]
    return (by_pair * sign).flatten(-4, -3).flatten(-2)


def _shared(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Natural values (N,) or (N, N) as the numbers that are free, of `shape`: the first of a pair stands for both."""
    if value.shape == shape:
        return value
    if value.dim() == 2:
        # The jump from the partner, which has the sign of the free number.
        return value[0::2, 1::2].diagonal()
    return value[0::2]


def _drive_of_pairs(spikes: Tensor, weight: Tensor) -> Tensor:
    """What encoder spikes (batch, N) send to the hidden layer (batch, N): 2 x 2 blocks (N/2, 2, 2) [pair, post, pre]."""
    pairs = spikes.unflatten(-1, (-1, 2))
    from_first = weight[..., 0] * pairs[..., :1]
    from_second = weight[..., 1] * pairs[..., 1:]
    return (from_first + from_second).flatten(-2)


def spike(potential: Tensor, threshold: Tensor) -> Tensor:
    """1 where `potential` exceeds `threshold`, else 0; with the derivative of an arctan where gradients are on."""
    excess = potential - threshold
    hard = (potential > threshold).to(excess.dtype)
    if not torch.is_grad_enabled():
        return hard
    # The value is that of `hard`, the derivative that of `soft`.
    soft = torch.atan(math.pi * excess) / math.pi
    return hard + (soft - soft.detach())


def _sum(spikes: Tensor, weights: Tensor) -> Tensor:
    """Weights (post, pre) summed over spikes (batch, pre), rounded once: no order of summing shows."""
    in_double = spikes.double() @ weights.double().transpose(-1, -2)
    return in_double.to(spikes.dtype)

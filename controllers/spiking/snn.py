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
    "encoder_weight": (-2.0, 2.0), "encoder_bias": (-1.0, 1.0), "encoder_synapse": (0.0, 0.99),
    "encoder_membrane": (0.0, 1.0), "encoder_threshold": (0.0, 10.0), "hidden_weight": (-2.0, 2.0),
    "synapse": (0.0, 1.0), "membrane": (0.0, 1.0), "threshold": (0.0, 10.0), "recurrent": (-1.0, 1.0),
    "threshold_decay": (0.0, 1.0), "threshold_jump": (-1.0, 1.0), "decoder_weight": (-1.0, 1.0),
    "decoder_decay": (0.0, 1.0),
}  # fmt: skip
"""range of every quantity in natural units; the options may narrow decoder_decay"""
FIRST = {
    "encoder_threshold": (0.1, 2.0), "threshold": (0.1, 3.0), "encoder_synapse": (0.1, 0.9),
    "encoder_membrane": (0.1, 0.9), "synapse": (0.1, 0.9), "membrane": (0.1, 0.9), "threshold_decay": (0.1, 0.9),
    "recurrent": (-0.01, 0.01),
}  # fmt: skip
"""narrower ranges of the first values: neurons that spike, and leak (the authors' runs began narrower too)"""
DECAYS = (
    "encoder_synapse",
    "encoder_membrane",
    "synapse",
    "membrane",
    "threshold_decay",
    "decoder_decay",
)
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
        n, decay = self.neurons, self.decoder_decay
        if isinstance(n, bool) or not isinstance(n, int) or n < 2 or n % 2:
            raise LanceletError(
                f"SNN neurons = {n!r}: must be an even whole number, 2 or more (they come in pairs)"
            )
        good = (
            isinstance(decay, tuple)
            and len(decay) == 2
            and all(isinstance(end, int | float) for end in decay)
        )
        if not good or not 0 <= decay[0] <= decay[1] <= 1:
            raise LanceletError(
                f"SNN decoder_decay = {decay!r}: must be two numbers, 0 <= lowest <= highest <= 1"
            )


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
    flows through the reset's spikes (as in snnTorch). Arithmetic order matters here: `snn_kernel` repeats it to
    the bit; sums over many neurons are taken in double precision, so that their order does not show.

    Signals: ``encoder`` and ``hidden`` spikes (batch, N); ``operations`` (batch,), additions that the step's spikes
    caused in neurons they reach (into the thresholds too). Parts to lesion: ``recurrent``, ``threshold`` (no jumps)
    where present, and ``pair:i``, hidden pair i silent, i from 1.

    Raises:
        LanceletError: observation or action of another size than 1.
    """

    Options: ClassVar[type[Options]] = SNNOptions
    encoder_weight: Tensor

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Space, options: SNNOptions
    ) -> None:
        for space, what in ((observation_space, "observation"), (action_space, "action")):
            if box(space, "SNN", f"the {what} space") != 1:
                raise LanceletError(
                    f'SNN cannot use {space}: needs {what} (1,), the error (the blimp has track="snn")'
                )
        super().__init__(observation_space, action_space, options)
        self.bounds = {**BOUNDS, "decoder_decay": options.decoder_decay}
        random = torch.Generator().manual_seed(options.seed)
        for name, shape in self._shapes().items():
            low, high = self.bounds[name]
            first, last = FIRST.get(name, (low, high))
            value = first + (last - first) * torch.rand(shape, generator=random)
            setattr(
                self, name, nn.Parameter((value - low) / (high - low) if high > low else value * 0)
            )
        silent = torch.zeros(options.neurons // 2, dtype=torch.bool)
        silent[self.silenced("pair")] = True
        self.silent: Tensor
        self.register_buffer("silent", silent.repeat_interleave(2), persistent=False)

    @property
    def recurrent_layer(self) -> bool:
        """Whether hidden neurons hear each other."""
        return self.options.hidden.startswith("r-")

    @property
    def adaptive(self) -> bool:
        """Whether thresholds follow incoming spikes (IWTA)."""
        return "iwta" in self.options.hidden

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Free numbers of each quantity, in the order of `BOUNDS`."""
        n, pairs, shared = (
            self.options.neurons,
            self.options.neurons // 2,
            self.options.form == "shared",
        )
        own, iwta = (pairs if shared else n,), (pairs if shared and self.adaptive else n,)
        shapes: dict[str, tuple[int, ...]] = {
            "encoder_weight": own, "encoder_bias": own, "encoder_synapse": own, "encoder_membrane": own,
            "encoder_threshold": own, "hidden_weight": (pairs, 2, 2), "synapse": (n,), "membrane": (n,),
            "threshold": iwta, "recurrent": (n, n), "threshold_decay": own,
            "threshold_jump": own if shared else (n, n), "decoder_weight": own, "decoder_decay": (),
        }  # fmt: skip
        absent = [] if shared else ["encoder_synapse"]
        absent += [] if self.recurrent_layer else ["recurrent"]
        absent += [] if self.adaptive else ["threshold_decay", "threshold_jump"]
        return {name: shape for name, shape in shapes.items() if name not in absent}

    def parts(self) -> list[str]:
        """Recurrent synapses and threshold jumps where present, every hidden pair."""
        layers = [
            name
            for name, here in (("recurrent", self.recurrent_layer), ("threshold", self.adaptive))
            if here
        ]
        return [*layers, *(f"pair:{i}" for i in range(1, self.options.neurons // 2 + 1))]

    def values(self, genes: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Natural units that the circuit acts with, lesions included; the same arrays for both forms.

        Returns:
            With N neurons, and the leading dimensions of `genes` before: hidden_weight (N/2, 2, 2) [pair, post,
            pre], recurrent and threshold_jump (N, N) [post, pre] where present, decoder_decay (), else (N,).
        """
        values = self._natural(genes or {name: getattr(self, name) for name in self._shapes()})
        for part, name in (("recurrent", "recurrent"), ("threshold", "threshold_jump")):
            if part in self.options.lesions:
                values[name] = values[name] * 0
        values["threshold"] = torch.where(self.silent, SILENT, values["threshold"])
        return values

    def _natural(self, genes: dict[str, Tensor]) -> dict[str, Tensor]:
        values = {}
        for name, gene in genes.items():
            low, high = self.bounds[name]
            value = low + (high - low) * gene
            values[name] = value.clamp(low, high) if name in DECAYS else value
        if self.options.form == "literal":
            values["encoder_synapse"] = values["encoder_weight"] * 0
            return values
        mirrored = ("encoder_weight", "decoder_weight")
        alike = (
            "encoder_bias",
            "encoder_synapse",
            "encoder_membrane",
            "encoder_threshold",
            "threshold_decay",
        )
        for name in [*mirrored, *alike, *(["threshold"] if self.adaptive else [])]:
            if name in values:
                one = values[name]
                values[name] = torch.stack([one, -one if name in mirrored else one], -1).flatten(-2)
        if self.adaptive:
            blocks = torch.diag_embed(values["threshold_jump"])[..., :, None, :, None]
            sign = blocks.new_tensor([[-1.0, 1.0], [1.0, -1.0]])[:, None, :]
            values["threshold_jump"] = (blocks * sign).flatten(-4, -3).flatten(-2)
        return values

    def assign(self, values: dict[str, Any]) -> None:
        """Set the genes from natural values as `values` gives them; nothing changes where they do not fit.

        Raises:
            LanceletError: a missing or unknown name, another shape, a decay out of its range, numbers that are not
                finite, or values that this form cannot hold because it shares them.
        """
        old = {
            name: value.detach()
            for name, value in self._natural(dict(self.named_parameters())).items()
        }
        for name in old.keys() | values.keys():
            have = tuple(torch.as_tensor(values[name]).shape) if name in values else "missing"
            need = tuple(old[name].shape) if name in old else "unknown"
            if have != need:
                raise LanceletError(
                    f"SNN {name} is {have}: a {self.options.hidden} network needs {need}"
                )
        given = {name: torch.as_tensor(values[name], dtype=old[name].dtype) for name in old}
        genes = {}
        for name, shape in self._shapes().items():
            low, high = self.bounds[name]
            value = given[name]
            if not bool(value.isfinite().all()):
                raise LanceletError(f"SNN {name}: holds numbers that are not finite")
            if name in DECAYS and not bool(((value >= low) & (value <= high)).all()):
                worst = value.flatten()[(value - (low + high) / 2).abs().argmax()]
                raise LanceletError(
                    f"SNN {name} = {float(worst):g}: must be within [{low:g}, {high:g}]"
                )
            if value.shape != shape:  # shared: the first of each pair stands for both
                value = value[0::2, 1::2].diagonal() if value.dim() == 2 else value[0::2]
            genes[name] = (
                (value - low) / (high - low) if high > low else torch.full_like(value, 0.5)
            )
        for name, value in self._natural(genes).items():
            if not torch.allclose(value, given[name], rtol=1e-5, atol=1e-5):
                worst = float((value - given[name]).abs().max())
                raise LanceletError(
                    f"SNN {name}: form={self.options.form!r} cannot hold these (off by {worst:g})"
                )
        with torch.no_grad():
            for name, gene in genes.items():
                getattr(self, name).copy_(gene)

    def initial_state(self, batch: int) -> State:
        """Everything at 0: (batch, N) each, but ``output`` (batch, 1) and ``operations`` (batch,)."""
        rest = self.encoder_weight.new_zeros(batch, self.options.neurons)
        names = (
            "encoder_current",
            "encoder_potential",
            "encoder",
            "current",
            "potential",
            "hidden",
        )
        state = {name: rest for name in names} | {"output": rest[:, :1], "operations": rest[:, 0]}
        return state | {"offset": rest} if self.adaptive else state

    def forward(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Commands (batch, 1) in command units, not clipped."""
        return self._step(self.values(), observation, state)

    def unroll(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """See `Controller.unroll`; the genes are turned into values once."""
        values, actions = self.values(), []
        for now in observation:
            action, state = self._step(values, now, state)
            actions.append(action)
        return torch.stack(actions), state

    def _step(self, w: dict[str, Tensor], error: Tensor, old: State) -> tuple[Tensor, State]:
        new = {}
        new["encoder_current"] = w["encoder_synapse"] * old["encoder_current"] + (
            w["encoder_weight"] * error + w["encoder_bias"]
        )
        threshold = w["encoder_threshold"]
        new["encoder_potential"] = (
            w["encoder_membrane"] * old["encoder_potential"] + new["encoder_current"]
        ) - old["encoder"].detach() * threshold
        arriving = new["encoder"] = spike(new["encoder_potential"], threshold)

        pair = arriving.unflatten(-1, (-1, 2))
        drive = (
            w["hidden_weight"][..., 0] * pair[..., :1] + w["hidden_weight"][..., 1] * pair[..., 1:]
        ).flatten(-2)
        if self.recurrent_layer:
            drive = drive + _sum(old["hidden"], w["recurrent"])
        before = threshold = w["threshold"]
        if self.adaptive:
            before = threshold + old["offset"]
            decay, offset = w["threshold_decay"], old["offset"]
            if self.options.trace == "code":
                offset = decay * offset + _sum(old["hidden"], w["threshold_jump"])
            new["offset"] = decay * offset + _sum(arriving, w["threshold_jump"])
            threshold = threshold + new["offset"]
        new["current"] = w["synapse"] * old["current"] + drive
        new["potential"] = (w["membrane"] * old["potential"] + new["current"]) - old[
            "hidden"
        ].detach() * before
        new["hidden"] = spike(new["potential"], threshold)

        decay = w["decoder_decay"]
        new["output"] = decay * old["output"] + (1 - decay) * _sum(
            new["hidden"], w["decoder_weight"].unsqueeze(-2)
        )
        new["operations"] = self._operations(old["hidden"], arriving, new["hidden"])
        return new["output"], {
            name: new[name] for name in old
        }  # one order of leaves, whatever saves them

    def _operations(self, before: Tensor, arriving: Tensor, hidden: Tensor) -> Tensor:
        """Additions (batch,): a spike reaches 2 hidden neurons, or the decoder, and what the structure adds."""
        n, lesions = self.options.neurons, self.options.lesions
        jumps = (
            (2 if self.options.form == "shared" else n)
            if self.adaptive and "threshold" not in lesions
            else 0
        )
        again = n if self.recurrent_layer and "recurrent" not in lesions else 0
        again += jumps if self.options.trace == "code" else 0
        return ((2 + jumps) * arriving.sum(-1) + hidden.sum(-1) + again * before.sum(-1)).detach()

    def signals(self, state: State) -> dict[str, Tensor]:
        """Spikes of both layers and the step's synaptic operations."""
        return {name: state[name] for name in ("encoder", "hidden", "operations")}


def spike(potential: Tensor, threshold: Tensor) -> Tensor:
    """1 where `potential` exceeds `threshold`, else 0; with the derivative of an arctan where gradients are on."""
    over = potential - threshold
    hard = (potential > threshold).to(over.dtype)
    if not torch.is_grad_enabled():
        return hard
    soft = torch.atan(math.pi * over) / math.pi
    return hard + (soft - soft.detach())


def _sum(spikes: Tensor, weights: Tensor) -> Tensor:
    """Weights (post, pre) summed over spikes (batch, pre), rounded once: no order of summing shows."""
    return (spikes.double() @ weights.double().transpose(-1, -2)).to(spikes.dtype)

"""Whole populations of spiking networks over recorded errors: one numba loop, `SNN.forward`'s arithmetic to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from ...threads import in_threads
from ..population import unflatten
from .snn import SNN

ROWS = ("encoder_synapse", "encoder_membrane", "encoder_weight", "encoder_bias", "encoder_threshold",
        "synapse", "membrane", "threshold", "decoder_weight")  # fmt: skip
CAP = 1e9
"""what outputs that are not finite count as in `costs`"""


def run(circuit: SNN, genomes: Tensor, errors: Any, threads: int = 0) -> tuple[Tensor, Tensor]:
    """Open loop: the outputs of every genome over every set of errors, each from rest.

    Args:
        circuit: structure, form, trace, ranges and lesions; its own genes are not read.
        genomes: flat genes (P, parameters), in the order of ``circuit.parameters()``.
        errors: (T,), or (S, T) for S sets.
        threads: that share the work, individuals times sets; 0: one a core. The numbers do not depend on it.

    Returns:
        Outputs float32 (P, T) or (P, S, T), in command units, and spikes int64 (P, 2) or (P, S, 2) of encoder and
        hidden layer, summed over neurons and time.
    """
    seen = np.ascontiguousarray(torch.as_tensor(errors, dtype=torch.float32).numpy())
    sets, people = np.atleast_2d(seen), len(genomes)
    outputs = np.empty((people * len(sets), sets.shape[1]), np.float32)
    spikes = np.zeros((len(outputs), 2), np.int64)
    with torch.no_grad():
        values = [value.numpy() for value in arrays(circuit, genomes)]
    in_threads(
        run_all,
        len(outputs),
        threads,
        *values,
        circuit.options.trace == "code",
        sets,
        outputs,
        spikes,
    )
    lead = (people, *seen.shape[:-1])
    return torch.from_numpy(outputs.reshape(*lead, -1)), torch.from_numpy(spikes.reshape(*lead, 2))


def costs(outputs: Any, targets: Any) -> dict[str, Tensor]:
    """How far outputs are from targets: mean absolute error, Pearson correlation, and MAE + 1 - correlation.

    The correlation with a constant is 0. Nothing is ever NaN: an output that is not finite counts as 1e9.
    Differentiable in `outputs`.

    Args:
        outputs: (P, ..., T).
        targets: (..., T).

    Returns:
        ``mae``, ``correlation``, ``loss``: float64 (P, ...).
    """
    have = torch.nan_to_num(
        torch.as_tensor(outputs).double(), nan=CAP, posinf=CAP, neginf=-CAP
    ).clamp(-CAP, CAP)
    want = torch.as_tensor(targets).double().expand(have.shape)
    mae = (have - want).abs().mean(-1)
    one, two = (x - x.mean(-1, keepdim=True) for x in (have, want))
    scale = one.square().sum(-1) * two.square().sum(-1)
    # asked of the numbers themselves: a mean that is rounded leaves a constant with a variance
    flat = (have.amax(-1) == have.amin(-1)) | (want.amax(-1) == want.amin(-1)) | (scale <= 0)
    correlation = (one * two).sum(-1) / torch.where(flat, 1.0, scale).sqrt()
    correlation = torch.where(flat, 0.0, correlation.clamp(-1, 1))
    return {"mae": mae, "correlation": correlation, "loss": mae + (1 - correlation)}


def arrays(circuit: SNN, genomes: Tensor) -> tuple[Tensor, ...]:
    """Values as the loops want them: the first neurons of all pairs, then the second ones, so that loops vectorise."""
    names = [(name, gene.shape) for name, gene in circuit.named_parameters()]
    genes = unflatten(genomes.to(torch.float32), [shape for _, shape in names])
    values = circuit.values(dict(zip([name for name, _ in names], genes, strict=True)))
    n = circuit.options.neurons
    order = torch.cat([torch.arange(0, n, 2), torch.arange(1, n, 2)])
    none = torch.zeros(len(genomes), 0, 0)

    def square(name: str) -> Tensor:  # [pre, post]: a spike reads one row
        found = values.get(name)
        return none if found is None else found[:, order][:, :, order].transpose(1, 2)

    jumps, pairs, blocks = square("threshold_jump"), n // 2, none
    if (
        circuit.options.form == "shared" and circuit.adaptive
    ):  # block diagonal: two numbers a neuron say it all
        blocks = torch.stack([jumps.diagonal(0, 1, 2), jumps.roll(pairs, 1).diagonal(0, 1, 2)], 1)
        jumps = none
    decay = values["threshold_decay"][:, None, order] if circuit.adaptive else none
    rows = torch.stack([values[name][:, order] for name in ROWS], 1)
    hidden = values["hidden_weight"].permute(0, 2, 3, 1).flatten(1, 2)  # (P, 4, pairs): post x pre
    parts = (rows, hidden, square("recurrent"), decay, jumps, blocks, values["decoder_decay"])
    return tuple(part.contiguous() for part in parts)


@njit(cache=True, nogil=True)
def run_all(
    first, last, rows, hidden, recurrent, decays, jumps, blocks, leaks, code, sets, outputs, spikes
):
    """Items `first` to `last` of individuals times sets."""
    unseen = np.zeros((0, 0, 0), np.float32)
    for item in range(first, last):
        who = item // len(sets)
        run_individual(
            rows[who], hidden[who], recurrent[who], decays[who], jumps[who], blocks[who], leaks[who], code,
            sets[item % len(sets)], outputs[item], spikes[item], unseen,
        )  # fmt: skip


@njit(cache=True, nogil=True)
def run_individual(
    rows, hidden, recurrent, decays, jumps, blocks, leak, code, errors, output, spikes, states
):
    """One network through time; every float32 operation as in `SNN._step`, every sum in float64.

    `states` (T + 1, 7, N), or empty: filled with every step's state from index 1 on, see `snn_gradient`.
    """
    n = rows.shape[1]
    pairs = n // 2
    a_syn, a_mem, weight, bias, limit = rows[0], rows[1], rows[2], rows[3], rows[4]
    synapse, membrane, base, decoder = rows[5], rows[6], rows[7], rows[8].astype(np.float64)
    w00, w01, w10, w11 = hidden[0], hidden[1], hidden[2], hidden[3]
    current, potential, spike = (
        np.zeros(n, np.float32),
        np.zeros(n, np.float32),
        np.zeros(n, np.float32),
    )
    current2, potential2, spike2 = (
        np.zeros(n, np.float32),
        np.zeros(n, np.float32),
        np.zeros(n, np.float32),
    )
    drive, offset, before, after = (
        np.zeros(n, np.float32),
        np.zeros(n, np.float32),
        base.copy(),
        base.copy(),
    )
    total, ones = np.zeros(n), np.ones(n)
    adaptive, again = len(decays) > 0, len(recurrent) > 0
    y, rest = np.float32(0), np.float32(1) - leak
    for t in range(len(errors)):
        error = errors[t]
        for j in range(n):
            current[j] = a_syn[j] * current[j] + (weight[j] * error + bias[j])
        for j in range(n):
            potential[j] = (a_mem[j] * potential[j] + current[j]) - spike[j] * limit[j]
        for j in range(n):
            spike[j] = np.float32(1) if potential[j] > limit[j] else np.float32(0)
        spikes[0] += np.int64(_dot(spike, ones))
        for k in range(pairs):
            drive[k] = w00[k] * spike[k] + w01[k] * spike[pairs + k]
        for k in range(pairs):
            drive[pairs + k] = w10[k] * spike[k] + w11[k] * spike[pairs + k]
        if again:
            _gather(spike2, recurrent, total)
            for j in range(n):
                drive[j] = drive[j] + np.float32(total[j])
        if adaptive:
            decay = decays[0]
            before[:] = after
            if code:
                jump(spike2, jumps, blocks, total)
                for j in range(n):
                    offset[j] = decay[j] * offset[j] + np.float32(total[j])
            jump(spike, jumps, blocks, total)
            for j in range(n):
                offset[j] = decay[j] * offset[j] + np.float32(total[j])
            for j in range(n):
                after[j] = base[j] + offset[j]
        for j in range(n):
            current2[j] = synapse[j] * current2[j] + drive[j]
        for j in range(n):
            potential2[j] = (membrane[j] * potential2[j] + current2[j]) - spike2[j] * before[j]
        for j in range(n):
            spike2[j] = np.float32(1) if potential2[j] > after[j] else np.float32(0)
        spikes[1] += np.int64(_dot(spike2, ones))
        y = leak * y + rest * np.float32(_dot(spike2, decoder))
        output[t] = y
        if len(states):
            kept = states[t + 1]
            kept[0], kept[1], kept[2] = current, potential, spike
            kept[3], kept[4], kept[5], kept[6] = current2, potential2, spike2, offset


@njit(
    cache=True, nogil=True, fastmath={"reassoc"}
)  # a double precision sum in any order rounds to one float32
def _dot(spike, weights):
    """Sum of `weights` over the neurons that spiked, in float64."""
    total = 0.0
    for j in range(len(spike)):
        total += spike[j] * weights[j]
    return total


@njit(cache=True, nogil=True)
def _gather(spike, weights, total):
    """Rows of `weights` [pre, post] summed over the neurons that spiked."""
    total[:] = 0
    for j in range(len(spike)):
        if spike[j] > 0:
            row = weights[j]
            for i in range(len(total)):
                total[i] += row[i]


@njit(cache=True, nogil=True)
def jump(spike, jumps, blocks, total):
    """Threshold jumps of the spikes, by whole rows or by 2 x 2 blocks (a neuron's own spike, its partner's)."""
    if len(blocks) == 0:
        _gather(spike, jumps, total)
        return
    own, other, pairs = blocks[0], blocks[1], len(spike) // 2
    for k in range(pairs):
        total[k] = own[k] * spike[k] + other[k] * spike[pairs + k]
    for k in range(pairs):
        total[pairs + k] = own[pairs + k] * spike[pairs + k] + other[pairs + k] * spike[k]

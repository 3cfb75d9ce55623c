"""Whole populations of spiking networks over recorded errors: one numba loop, `SNN.forward`'s arithmetic to the bit.

Every float32 operation is that of `SNN._step`, in the same order; sums over many neurons are taken in float64, where
no order shows once the result is rounded. Inside, the neurons of a layer stand in another order than in `SNN`: first
those that come first in their pair, then their partners, so that the loops vectorise. Partner of k is k + N / 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numba import njit
from torch import Tensor

from ...threads import in_threads
from ..population import unflatten
from .snn import SNN

CAP = 1e9
"""what outputs that are not finite count as in `costs`, command units"""

# Rows of a network's `rows` (9, N): one number a neuron.
ROWS = (
    "encoder_synapse",
    "encoder_membrane",
    "encoder_weight",
    "encoder_bias",
    "encoder_threshold",
    "synapse",
    "membrane",
    "threshold",
    "decoder_weight",
)
ENCODER_SYNAPSE = ROWS.index("encoder_synapse")
ENCODER_MEMBRANE = ROWS.index("encoder_membrane")
ENCODER_WEIGHT = ROWS.index("encoder_weight")
ENCODER_BIAS = ROWS.index("encoder_bias")
ENCODER_THRESHOLD = ROWS.index("encoder_threshold")
SYNAPSE = ROWS.index("synapse")
MEMBRANE = ROWS.index("membrane")
THRESHOLD = ROWS.index("threshold")
DECODER_WEIGHT = ROWS.index("decoder_weight")

# Rows of a network's `hidden` (4, N / 2): the 2 x 2 block from an encoder pair to a hidden pair.
FIRST_FROM_FIRST = 0
FIRST_FROM_SECOND = 1
SECOND_FROM_FIRST = 2
SECOND_FROM_SECOND = 3

# Rows of a network's `blocks` (2, N): threshold jumps of a neuron from spikes of its own place and of its partner's.
OWN = 0
PARTNER = 1

# Rows of a step's `states` (7, N), which the way back of `gradient` needs.
ENCODER_CURRENT = 0
ENCODER_POTENTIAL = 1
ENCODER_SPIKE = 2
HIDDEN_CURRENT = 3
HIDDEN_POTENTIAL = 4
HIDDEN_SPIKE = 5
OFFSET = 6
STATES = 7

# Columns of the spikes counted.
ENCODER_COUNT = 0
HIDDEN_COUNT = 1


Array = TypeVar("Array", Tensor, np.ndarray)
"""tensors where gradients flow, arrays of numpy inside the compiled loops"""


class NetworkArrays(NamedTuple, Generic[Array]):
    """Values of P networks of N neurons as the loops want them, float32; absent parts have length 0."""

    rows: Array
    """(P, 9, N) numbers of every neuron, see `ROWS`"""
    hidden: Array
    """(P, 4, N / 2) from encoder pairs to hidden pairs"""
    recurrent: Array
    """(P, N, N) [pre, post] among hidden neurons"""
    decays: Array
    """(P, 1, N) of the thresholds' offsets, where these adapt"""
    jumps: Array
    """(P, N, N) [pre, post] of the thresholds, where they have no blocks"""
    blocks: Array
    """(P, 2, N) of the thresholds, where only pairs are joined: two numbers a neuron say it all"""
    leaks: Array
    """(P,) decay of the decoder"""


class Network(NamedTuple):
    """One network's part of `NetworkArrays`: the same fields without their first dimension."""

    rows: np.ndarray
    """(9, N)"""
    hidden: np.ndarray
    """(4, N / 2)"""
    recurrent: np.ndarray
    """(N, N) [pre, post], or empty"""
    decays: np.ndarray
    """(1, N), or empty"""
    jumps: np.ndarray
    """(N, N) [pre, post], or empty"""
    blocks: np.ndarray
    """(2, N), or empty"""
    leak: float
    """decay of the decoder"""


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
    error_array = np.ascontiguousarray(torch.as_tensor(errors, dtype=torch.float32).numpy())
    sets = np.atleast_2d(error_array)
    items = len(genomes) * len(sets)
    outputs = np.empty((items, sets.shape[1]), np.float32)
    spikes = np.zeros((items, 2), np.int64)
    with torch.no_grad():
        networks = in_numpy(arrays(circuit, genomes))
    has_code_trace = circuit.options.trace == "code"
    in_threads(run_all, items, threads, networks, has_code_trace, sets, outputs, spikes)
    leading_shape = (len(genomes), *error_array.shape[:-1])
    output_tensor = torch.from_numpy(outputs.reshape(*leading_shape, -1))
    return output_tensor, torch.from_numpy(spikes.reshape(*leading_shape, 2))


def costs(outputs: Any, targets: Any) -> dict[str, Tensor]:
    """How far outputs are from targets: mean absolute error, Pearson correlation, and MAE + 1 - correlation.

    The correlation with a constant is 0. Nothing is ever NaN: an output that is not finite counts as 1e9.
    Differentiable in `outputs`.

    Args:
        outputs: (P, ..., T), command units.
        targets: (..., T), command units.

    Returns:
        ``mae``, ``correlation``, ``loss``: float64 (P, ...).
    """
    output = torch.as_tensor(outputs).double()
    output = torch.nan_to_num(output, nan=CAP, posinf=CAP, neginf=-CAP).clamp(-CAP, CAP)
    target = torch.as_tensor(targets).double().expand(output.shape)
    mae = (output - target).abs().mean(-1)

    output_deviation = output - output.mean(-1, keepdim=True)
    target_deviation = target - target.mean(-1, keepdim=True)
    scale = output_deviation.square().sum(-1) * target_deviation.square().sum(-1)
    # Asked of the numbers themselves: a mean that is rounded leaves a constant with a variance.
    output_is_constant = output.amax(-1) == output.amin(-1)
    target_is_constant = target.amax(-1) == target.amin(-1)
    is_flat = output_is_constant | target_is_constant | (scale <= 0)
    # The division is by 1 where it has no meaning: the branch not taken would spoil the gradient.
    safe_scale = torch.where(is_flat, 1.0, scale).sqrt()
    correlation = (output_deviation * target_deviation).sum(-1) / safe_scale
    correlation = torch.where(is_flat, 0.0, correlation.clamp(-1, 1))
    return {"mae": mae, "correlation": correlation, "loss": mae + (1 - correlation)}


def arrays(circuit: SNN, genomes: Tensor) -> NetworkArrays[Tensor]:
    """The values of many genomes as the loops want them; differentiable in `genomes`.

    Args:
        circuit: structure, form, ranges and lesions.
        genomes: flat genes (P, parameters), in the order of ``circuit.parameters()``.
    """
    values = circuit.values(_named_genes(circuit, genomes))
    neurons = circuit.options.neurons
    pairs = neurons // 2
    order = torch.cat([torch.arange(0, neurons, 2), torch.arange(1, neurons, 2)])
    absent = torch.zeros(len(genomes), 0, 0)

    recurrent = absent
    if "recurrent" in values:
        recurrent = _from_presynaptic(values["recurrent"], order)
    jumps = absent
    blocks = absent
    decays = absent
    if circuit.adaptive:
        decays = values["threshold_decay"][:, None, order]
        jumps = _from_presynaptic(values["threshold_jump"], order)
        if circuit.options.form == "shared":
            own = jumps.diagonal(0, 1, 2)
            partner = jumps.roll(pairs, 1).diagonal(0, 1, 2)
            blocks = torch.stack([own, partner], 1)
            jumps = absent
    # (P, pair, post, pre) becomes (P, post and pre, pair).
    hidden = values["hidden_weight"].permute(0, 2, 3, 1).flatten(1, 2)
    return NetworkArrays(
        rows=torch.stack([values[name][:, order] for name in ROWS], 1).contiguous(),
        hidden=hidden.contiguous(),
        recurrent=recurrent.contiguous(),
        decays=decays.contiguous(),
        jumps=jumps.contiguous(),
        blocks=blocks.contiguous(),
        leaks=values["decoder_decay"].contiguous(),
    )


def in_numpy(networks: NetworkArrays[Tensor]) -> NetworkArrays[np.ndarray]:
    """The same values for the compiled loops, which share the tensors' memory; the tensors must be without gradients."""
    return NetworkArrays(
        rows=networks.rows.numpy(),
        hidden=networks.hidden.numpy(),
        recurrent=networks.recurrent.numpy(),
        decays=networks.decays.numpy(),
        jumps=networks.jumps.numpy(),
        blocks=networks.blocks.numpy(),
        leaks=networks.leaks.numpy(),
    )


def _named_genes(circuit: SNN, genomes: Tensor) -> dict[str, Tensor]:
    """Flat genes (P, parameters) as one tensor (P, ...) a quantity."""
    names = [name for name, _ in circuit.named_parameters()]
    shapes = [gene.shape for gene in circuit.parameters()]
    genes: Sequence[Tensor] = unflatten(genomes.to(torch.float32), shapes)
    return dict(zip(names, genes, strict=True))


def _from_presynaptic(weights: Tensor, order: Tensor) -> Tensor:
    """Weights (P, post, pre) as (P, pre, post) in the order of the loops: a spike reads one row."""
    return weights[:, order][:, :, order].transpose(1, 2)


@njit(cache=True, nogil=True)
def run_all(first, last, networks, has_code_trace, sets, outputs, spikes):
    """Run the items from `first` to `last`, without `last`; item i is individual ``i // S`` over the errors ``i % S``.

    Args:
        first: number of the first item.
        last: number of the item after the last one.
        networks: `NetworkArrays` of numpy, one network an individual.
        has_code_trace: whether thresholds follow the authors' code.
        sets: errors, float32 (S, T).
        outputs: filled, float32 (items, T).
        spikes: added to, int64 (items, 2), see `ENCODER_COUNT` and `HIDDEN_COUNT`.
    """
    # Empty, which tells `run_individual` to keep no states: only the way back needs them. It is no None, so that
    # one compiled function serves both.
    no_states = np.zeros((0, 0, 0), np.float32)
    for item in range(first, last):
        run_individual(
            network=network_of(networks, item // len(sets)),
            has_code_trace=has_code_trace,
            errors=sets[item % len(sets)],
            output=outputs[item],
            spikes=spikes[item],
            states=no_states,
        )


@njit(cache=True, nogil=True)
def network_of(networks, individual):
    """The `Network` of one individual, as views into `NetworkArrays`; also for gradients of the same shapes."""
    return Network(
        rows=networks.rows[individual],
        hidden=networks.hidden[individual],
        recurrent=networks.recurrent[individual],
        decays=networks.decays[individual],
        jumps=networks.jumps[individual],
        blocks=networks.blocks[individual],
        leak=networks.leaks[individual],
    )


@njit(cache=True, nogil=True)
def run_individual(network, has_code_trace, errors, output, spikes, states):
    """One network through time; every float32 operation as in `SNN._step`, every sum in float64.

    Args:
        network: `Network`.
        has_code_trace: whether thresholds follow the authors' code.
        errors: (T,).
        output: filled, (T,).
        spikes: added to, (2,).
        states: filled with every step's state from index 1 on, (T + 1, 7, N); nothing is kept where it is empty.
    """
    rows = network.rows
    hidden = network.hidden
    recurrent = network.recurrent
    decays = network.decays
    jumps = network.jumps
    blocks = network.blocks
    leak = network.leak
    neurons = rows.shape[1]
    is_adaptive = len(decays) > 0
    is_recurrent = len(recurrent) > 0
    decoder_weight = rows[DECODER_WEIGHT].astype(np.float64)
    encoder_current = np.zeros(neurons, np.float32)
    encoder_potential = np.zeros(neurons, np.float32)
    encoder_spike = np.zeros(neurons, np.float32)
    hidden_current = np.zeros(neurons, np.float32)
    hidden_potential = np.zeros(neurons, np.float32)
    hidden_spike = np.zeros(neurons, np.float32)
    drive = np.zeros(neurons, np.float32)
    offset = np.zeros(neurons, np.float32)
    # A spike is taken back by the threshold of its own step, which is the one before.
    last_threshold = rows[THRESHOLD].copy()
    threshold = rows[THRESHOLD].copy()
    total = np.zeros(neurons)
    ones = np.ones(neurons)
    decoder = np.float32(0)
    share_of_new = np.float32(1) - leak
    for step in range(len(errors)):
        error = errors[step]
        for j in range(neurons):
            drive[j] = rows[ENCODER_WEIGHT, j] * error + rows[ENCODER_BIAS, j]
        _integrate(
            synapse=rows[ENCODER_SYNAPSE],
            membrane=rows[ENCODER_MEMBRANE],
            drive=drive,
            last_threshold=rows[ENCODER_THRESHOLD],
            current=encoder_current,
            potential=encoder_potential,
            last_spike=encoder_spike,
        )
        _fire(encoder_potential, rows[ENCODER_THRESHOLD], encoder_spike)
        spikes[ENCODER_COUNT] += np.int64(_dot(encoder_spike, ones))

        _drive_pairs(encoder_spike, hidden, drive)
        if is_recurrent:
            _gather(hidden_spike, recurrent, total)
            for j in range(neurons):
                drive[j] = drive[j] + np.float32(total[j])
        if is_adaptive:
            last_threshold[:] = threshold
            if has_code_trace:
                # The authors' code decays twice a step, and hears the layer's own last spikes in between.
                jump(hidden_spike, jumps, blocks, total)
                _decay_and_add(decays[0], total, offset)
            jump(encoder_spike, jumps, blocks, total)
            _decay_and_add(decays[0], total, offset)
            for j in range(neurons):
                threshold[j] = rows[THRESHOLD, j] + offset[j]
        _integrate(
            synapse=rows[SYNAPSE],
            membrane=rows[MEMBRANE],
            drive=drive,
            last_threshold=last_threshold,
            current=hidden_current,
            potential=hidden_potential,
            last_spike=hidden_spike,
        )
        _fire(hidden_potential, threshold, hidden_spike)
        spikes[HIDDEN_COUNT] += np.int64(_dot(hidden_spike, ones))

        decoder = leak * decoder + share_of_new * np.float32(_dot(hidden_spike, decoder_weight))
        output[step] = decoder
        if len(states):
            state = states[step + 1]
            state[ENCODER_CURRENT] = encoder_current
            state[ENCODER_POTENTIAL] = encoder_potential
            state[ENCODER_SPIKE] = encoder_spike
            state[HIDDEN_CURRENT] = hidden_current
            state[HIDDEN_POTENTIAL] = hidden_potential
            state[HIDDEN_SPIKE] = hidden_spike
            state[OFFSET] = offset


@njit(cache=True, nogil=True)
def _integrate(synapse, membrane, drive, last_threshold, current, potential, last_spike):
    """One step of `current` and `potential` (N,), in place, before the layer fires."""
    for j in range(len(current)):
        current[j] = synapse[j] * current[j] + drive[j]
    for j in range(len(current)):
        reset = last_spike[j] * last_threshold[j]
        potential[j] = (membrane[j] * potential[j] + current[j]) - reset


@njit(cache=True, nogil=True)
def _fire(potential, threshold, spike):
    """Set `spike` (N,) to 1 where the potential exceeds the threshold, else to 0."""
    for j in range(len(spike)):
        spike[j] = np.float32(1) if potential[j] > threshold[j] else np.float32(0)


@njit(cache=True, nogil=True)
def _drive_pairs(spike, hidden, drive):
    """Set `drive` (N,) to what the encoder's spikes send to the hidden layer, pair to pair."""
    pairs = len(spike) // 2
    for k in range(pairs):
        from_first = hidden[FIRST_FROM_FIRST, k] * spike[k]
        drive[k] = from_first + hidden[FIRST_FROM_SECOND, k] * spike[pairs + k]
    for k in range(pairs):
        from_first = hidden[SECOND_FROM_FIRST, k] * spike[k]
        drive[pairs + k] = from_first + hidden[SECOND_FROM_SECOND, k] * spike[pairs + k]


@njit(cache=True, nogil=True)
def _decay_and_add(decay, total, offset):
    """Let `offset` (N,) decay once, in place, and add the jumps `total`."""
    for j in range(len(offset)):
        offset[j] = decay[j] * offset[j] + np.float32(total[j])


# Reassociation lets the loop vectorise: a float64 sum in any order rounds to the same float32.
@njit(cache=True, nogil=True, fastmath={"reassoc"})
def _dot(spike, weights):
    """Sum of `weights` over the neurons that spiked, in float64."""
    total = 0.0
    for j in range(len(spike)):
        total += spike[j] * weights[j]
    return total


@njit(cache=True, nogil=True)
def _gather(spike, weights, total):
    """Set `total` (N,) to the rows of `weights` [pre, post] summed over the neurons that spiked."""
    total[:] = 0
    for j in range(len(spike)):
        if spike[j] > 0:
            row = weights[j]
            for i in range(len(total)):
                total[i] += row[i]


@njit(cache=True, nogil=True)
def jump(spike, jumps, blocks, total):
    """Set `total` (N,) to the threshold jumps of the spikes, by whole rows or by 2 x 2 blocks."""
    if len(blocks) == 0:
        _gather(spike, jumps, total)
        return
    own = blocks[OWN]
    partner = blocks[PARTNER]
    pairs = len(spike) // 2
    for k in range(pairs):
        total[k] = own[k] * spike[k] + partner[k] * spike[pairs + k]
    for k in range(pairs):
        total[pairs + k] = own[pairs + k] * spike[pairs + k] + partner[pairs + k] * spike[k]

"""Surrogate gradients of `kernel.run`, by hand: back-propagation through whole flights in one compiled loop.

The derivatives are those that torch gives `SNN.unroll`: a spike has the derivative of an arctan, and none flows
through the spikes of the reset (Neftci, Mostafa, Zenke 2019, "Surrogate Gradient Learning in Spiking Neural
Networks"). This is some fifty times faster: a thousand steps of a hundred neurons are no work for a graph of torch.

Every function below that begins with ``_back`` is the way back of one function or stage of `kernel.run_individual`.
A name ``grad_x`` is the derivative of the loss by x, and has the shape of x.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import ArrayLike
from torch import Tensor

from ...threads import in_threads
from .kernel import (
    DECODER_WEIGHT,
    ENCODER_BIAS,
    ENCODER_CURRENT,
    ENCODER_MEMBRANE,
    ENCODER_POTENTIAL,
    ENCODER_SPIKE,
    ENCODER_SYNAPSE,
    ENCODER_THRESHOLD,
    ENCODER_WEIGHT,
    FIRST_FROM_FIRST,
    FIRST_FROM_SECOND,
    HIDDEN_CURRENT,
    HIDDEN_POTENTIAL,
    HIDDEN_SPIKE,
    MEMBRANE,
    OFFSET,
    OWN,
    PARTNER,
    SECOND_FROM_FIRST,
    SECOND_FROM_SECOND,
    STATES,
    SYNAPSE,
    THRESHOLD,
    NetworkArrays,
    arrays,
    in_numpy,
    jump,
    network_of,
    run_all,
    run_individual,
)
from .snn import SNN

PI_SQUARED = np.float32(math.pi**2)
"""pi^2 in the derivative 1 / (1 + pi^2 x^2) of arctan(pi x) / pi, which stands for that of a spike"""


def differentiable(circuit: SNN, genomes: Tensor, errors: ArrayLike, threads: int = 0) -> Tensor:
    """Outputs of every genome over every set of errors, as `kernel.run`, with gradients towards `genomes`.

    Args:
        circuit: structure, form, trace, ranges and lesions; its own genes are not read.
        genomes: flat genes (P, parameters).
        errors: (S, T) sets, or (T,).
        threads: that share the work; 0: one a core. The numbers do not depend on it.

    Returns:
        float32 (P, S, T) or (P, T), in command units.
    """
    error_array = np.ascontiguousarray(torch.as_tensor(errors, dtype=torch.float32).numpy())
    sets = np.atleast_2d(error_array)
    has_code_trace = circuit.options.trace == "code"
    values = arrays(circuit, genomes)
    outputs: Tensor = _OpenLoop.apply(sets, has_code_trace, threads, *values)  # pyright: ignore
    return outputs.reshape(len(genomes), *error_array.shape)


class _OpenLoop(torch.autograd.Function):
    """`kernel.run_all` as one node of torch's graph; an item is one individual over one set of errors."""

    @staticmethod
    def forward(
        ctx: Any,
        sets: np.ndarray,
        has_code_trace: bool,
        threads: int,
        *values: Tensor,
    ) -> Tensor:
        """Outputs float32 (P * S, T), individual by individual.

        Args:
            ctx: torch's store for the way back.
            sets: errors, float32 (S, T).
            has_code_trace: whether thresholds follow the authors' code.
            threads: that share the work.
            values: the fields of `NetworkArrays`, in their order: torch looks for gradients only in arguments that
                are tensors themselves.
        """
        ctx.save_for_backward(*values)
        ctx.sets = sets
        ctx.has_code_trace = has_code_trace
        ctx.threads = threads
        networks = in_numpy(NetworkArrays(*values))
        items = len(networks.rows) * len(sets)
        outputs = np.empty((items, sets.shape[1]), np.float32)
        spikes = np.zeros((items, 2), np.int64)
        in_threads(run_all, items, threads, networks, has_code_trace, sets, outputs, spikes)
        return torch.from_numpy(outputs)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of `forward`'s arguments; None for those that are no tensors."""
        networks = in_numpy(NetworkArrays(*ctx.saved_tensors))
        grad_outputs = np.ascontiguousarray(upstream[0].to(torch.float32).numpy())
        individuals = len(networks.rows)
        sets = len(ctx.sets)
        items = individuals * sets
        # float64, since these are sums over a thousand steps.
        item_grads = NetworkArrays(*(np.zeros((items, *array.shape[1:])) for array in networks))
        in_threads(
            _back_all,
            items,
            ctx.threads,
            networks,
            ctx.has_code_trace,
            ctx.sets,
            grad_outputs,
            item_grads,
        )
        # Summed here and not by the threads: their number would show in the last bits.
        grads = []
        for item_grad in item_grads:
            by_set = item_grad.reshape(individuals, sets, *item_grad.shape[1:])
            grads.append(torch.from_numpy(by_set.sum(1)).float())
        # None for `sets`, `has_code_trace` and `threads`.
        return (None, None, None, *grads)


@njit(cache=True, nogil=True)
def _back_all(first, last, networks, has_code_trace, sets, grad_outputs, item_grads):
    """Go back through the items from `first` to `last`, without `last`.

    Args:
        first: number of the first item.
        last: number of the item after the last one.
        networks: as in `run_all`.
        has_code_trace: as in `run_all`.
        sets: as in `run_all`.
        grad_outputs: float32 (items, T).
        item_grads: `NetworkArrays`, float64, one gradient an item; the gradients are added to it.
    """
    steps = sets.shape[1]
    neurons = networks.rows.shape[2]
    # Index 0 is the state at rest, before the first step.
    states = np.zeros((steps + 1, STATES, neurons), np.float32)
    output = np.zeros(steps, np.float32)
    spikes = np.zeros(2, np.int64)
    for item in range(first, last):
        network = network_of(networks, item // len(sets))
        errors = sets[item % len(sets)]
        run_individual(
            network=network,
            has_code_trace=has_code_trace,
            errors=errors,
            output=output,
            spikes=spikes,
            states=states,
        )
        # The leak is a number, not an array that could be added to: its gradient is returned.
        item_grads.leaks[item] = _back_individual(
            network=network,
            has_code_trace=has_code_trace,
            errors=errors,
            output=output,
            states=states,
            grad_output=grad_outputs[item],
            grad=network_of(item_grads, item),
        )


@njit(cache=True, nogil=True, error_model="numpy")
def _back_individual(network, has_code_trace, errors, output, states, grad_output, grad):
    """One network back through time, last step first: the stages of `kernel.run_individual` in reverse order.

    Args:
        network: `Network`.
        has_code_trace: as in `run_individual`.
        errors: (T,).
        output: what `run_individual` filled, (T,).
        states: what `run_individual` filled, (T + 1, 7, N).
        grad_output: (T,).
        grad: `Network` of gradients, to whose arrays is added; its `leak` is not looked at.

    Returns:
        The gradient of the network's `leak`.
    """
    rows = network.rows
    hidden = network.hidden
    recurrent = network.recurrent
    decays = network.decays
    jumps = network.jumps
    blocks = network.blocks
    leak = network.leak
    grad_rows = grad.rows
    grad_hidden = grad.hidden
    grad_recurrent = grad.recurrent
    grad_decays = grad.decays
    grad_jumps = grad.jumps
    grad_blocks = grad.blocks
    neurons = rows.shape[1]
    is_adaptive = len(decays) > 0
    is_recurrent = len(recurrent) > 0
    # Gradients of a step's state: what later steps, and what comes after it in its own step, want of it.
    grad_encoder_current = np.zeros(neurons, np.float32)
    grad_encoder_potential = np.zeros(neurons, np.float32)
    grad_encoder_spike = np.zeros(neurons, np.float32)
    grad_hidden_current = np.zeros(neurons, np.float32)
    grad_hidden_potential = np.zeros(neurons, np.float32)
    grad_hidden_spike = np.zeros(neurons, np.float32)
    grad_offset = np.zeros(neurons, np.float32)
    # Of the hidden spikes of the step before, through recurrent synapses and the thresholds of the authors' code.
    grad_last_spike = np.zeros(neurons, np.float32)
    threshold = np.zeros(neurons, np.float32)
    grad_threshold = np.zeros(neurons)
    grad_decoder = 0.0
    grad_leak = 0.0
    share_of_new = 1 - leak
    for step in range(len(errors) - 1, -1, -1):
        state = states[step + 1]
        last_state = states[step]

        # The decoder.
        last_output = 0.0
        if step > 0:
            last_output = output[step - 1]
        grad_decoder = grad_output[step] + leak * grad_decoder
        arriving = _decoder_input(state[HIDDEN_SPIKE], rows[DECODER_WEIGHT])
        grad_leak += grad_decoder * (last_output - arriving)
        grad_arriving = np.float32(grad_decoder * share_of_new)
        for j in range(neurons):
            grad_rows[DECODER_WEIGHT, j] += grad_arriving * state[HIDDEN_SPIKE, j]
            from_decoder = grad_arriving * rows[DECODER_WEIGHT, j]
            grad_hidden_spike[j] = from_decoder + grad_last_spike[j]

        # The hidden layer.
        for j in range(neurons):
            threshold[j] = rows[THRESHOLD, j] + state[OFFSET, j]
        _back_layer(
            synapse=rows[SYNAPSE],
            membrane=rows[MEMBRANE],
            threshold=threshold,
            potential=state[HIDDEN_POTENTIAL],
            spike=state[HIDDEN_SPIKE],
            last_current=last_state[HIDDEN_CURRENT],
            last_potential=last_state[HIDDEN_POTENTIAL],
            grad_spike=grad_hidden_spike,
            grad_potential=grad_hidden_potential,
            grad_current=grad_hidden_current,
            grad_threshold=grad_threshold,
            grad_synapse=grad_rows[SYNAPSE],
            grad_membrane=grad_rows[MEMBRANE],
        )
        for j in range(neurons):
            grad_rows[THRESHOLD, j] += grad_threshold[j]
            grad_offset[j] += grad_threshold[j]

        # What reaches the hidden layer. From here on `grad_last_spike` belongs to the next turn of this loop.
        _back_pairs(
            spike=state[ENCODER_SPIKE],
            hidden=hidden,
            grad_drive=grad_hidden_current,
            grad_hidden=grad_hidden,
            grad_spike=grad_encoder_spike,
        )
        grad_last_spike[:] = 0
        if is_recurrent:
            _back_gather(
                spike=last_state[HIDDEN_SPIKE],
                weights=recurrent,
                grad_total=grad_hidden_current,
                grad_weights=grad_recurrent,
                grad_spike=grad_last_spike,
            )
        if is_adaptive:
            # Before the offset's own way back, which makes `grad_offset` that of the step before.
            _back_jump(
                spike=state[ENCODER_SPIKE],
                jumps=jumps,
                blocks=blocks,
                grad_total=grad_offset,
                grad_jumps=grad_jumps,
                grad_blocks=grad_blocks,
                grad_spike=grad_encoder_spike,
            )
            if has_code_trace:
                _back_code_trace(
                    decay=decays[0],
                    jumps=jumps,
                    blocks=blocks,
                    last_spike=last_state[HIDDEN_SPIKE],
                    last_offset=last_state[OFFSET],
                    grad_offset=grad_offset,
                    grad_decay=grad_decays[0],
                    grad_jumps=grad_jumps,
                    grad_blocks=grad_blocks,
                    grad_last_spike=grad_last_spike,
                )
            else:
                for j in range(neurons):
                    grad_decays[0, j] += grad_offset[j] * last_state[OFFSET, j]
                    grad_offset[j] = decays[0, j] * grad_offset[j]

        # The encoder.
        _back_layer(
            synapse=rows[ENCODER_SYNAPSE],
            membrane=rows[ENCODER_MEMBRANE],
            threshold=rows[ENCODER_THRESHOLD],
            potential=state[ENCODER_POTENTIAL],
            spike=state[ENCODER_SPIKE],
            last_current=last_state[ENCODER_CURRENT],
            last_potential=last_state[ENCODER_POTENTIAL],
            grad_spike=grad_encoder_spike,
            grad_potential=grad_encoder_potential,
            grad_current=grad_encoder_current,
            grad_threshold=grad_threshold,
            grad_synapse=grad_rows[ENCODER_SYNAPSE],
            grad_membrane=grad_rows[ENCODER_MEMBRANE],
        )
        for j in range(neurons):
            grad_rows[ENCODER_THRESHOLD, j] += grad_threshold[j]
            grad_rows[ENCODER_WEIGHT, j] += grad_encoder_current[j] * errors[step]
            grad_rows[ENCODER_BIAS, j] += grad_encoder_current[j]
    return grad_leak


@njit(cache=True, nogil=True)
def _decoder_input(spike, weights):
    """Sum of the decoder's `weights` over the neurons that spiked, neuron by neuron in float64."""
    total = 0.0
    for j in range(len(spike)):
        total += weights[j] * spike[j]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _back_layer(
    synapse,
    membrane,
    threshold,
    potential,
    spike,
    last_current,
    last_potential,
    grad_spike,
    grad_potential,
    grad_current,
    grad_threshold,
    grad_synapse,
    grad_membrane,
):
    """Back through one step of a layer, all arrays (N,).

    The step was ``current = synapse last_current + drive``, ``potential = membrane last_potential + current - reset``
    and ``spike = potential > threshold``.

    In place: `grad_potential` and `grad_current` come in as those of the step after, and go out as those of this one;
    `grad_threshold` is set; `grad_synapse` and `grad_membrane` are added to. The gradient of the drive is that of
    the current.
    """
    for j in range(len(spike)):
        excess = potential[j] - threshold[j]
        through_spike = grad_spike[j] / (1 + PI_SQUARED * excess * excess)
        # The reset took spike times threshold from the potential of the step after.
        grad_threshold[j] = -through_spike - spike[j] * grad_potential[j]
        grad_potential[j] = through_spike + membrane[j] * grad_potential[j]
        grad_membrane[j] += grad_potential[j] * last_potential[j]
        grad_current[j] = grad_potential[j] + synapse[j] * grad_current[j]
        grad_synapse[j] += grad_current[j] * last_current[j]


@njit(cache=True, nogil=True)
def _back_pairs(spike, hidden, grad_drive, grad_hidden, grad_spike):
    """Back through the 2 x 2 blocks from encoder pairs to hidden pairs.

    Adds to `grad_hidden` (4, N / 2) and sets `grad_spike` (N,), in place, from `grad_drive` (N,).
    """
    pairs = len(spike) // 2
    for k in range(pairs):
        grad_first = grad_drive[k]
        grad_second = grad_drive[pairs + k]
        grad_hidden[FIRST_FROM_FIRST, k] += grad_first * spike[k]
        grad_hidden[FIRST_FROM_SECOND, k] += grad_first * spike[pairs + k]
        grad_hidden[SECOND_FROM_FIRST, k] += grad_second * spike[k]
        grad_hidden[SECOND_FROM_SECOND, k] += grad_second * spike[pairs + k]
        to_first = hidden[FIRST_FROM_FIRST, k] * grad_first
        grad_spike[k] = to_first + hidden[SECOND_FROM_FIRST, k] * grad_second
        to_second = hidden[FIRST_FROM_SECOND, k] * grad_first
        grad_spike[pairs + k] = to_second + hidden[SECOND_FROM_SECOND, k] * grad_second


@njit(cache=True, nogil=True)
def _back_code_trace(
    decay,
    jumps,
    blocks,
    last_spike,
    last_offset,
    grad_offset,
    grad_decay,
    grad_jumps,
    grad_blocks,
    grad_last_spike,
):
    """Back through ``offset = decay inner + ...`` with ``inner = decay last_offset + jumps of last_spike``.

    This is the trace of the authors' code, which decays twice a step. In place: `grad_offset` (N,) becomes that of
    the step before; the gradients behind it are added to.
    """
    neurons = len(decay)
    last_jumps = np.zeros(neurons)
    grad_inner = np.zeros(neurons, np.float32)
    jump(last_spike, jumps, blocks, last_jumps)
    for j in range(neurons):
        inner = decay[j] * last_offset[j] + last_jumps[j]
        grad_inner[j] = decay[j] * grad_offset[j]
        # By the product rule: `decay` stands in the offset and in what it decays.
        grad_decay[j] += grad_offset[j] * inner + grad_inner[j] * last_offset[j]
        grad_offset[j] = decay[j] * grad_inner[j]
    _back_jump(
        spike=last_spike,
        jumps=jumps,
        blocks=blocks,
        grad_total=grad_inner,
        grad_jumps=grad_jumps,
        grad_blocks=grad_blocks,
        grad_spike=grad_last_spike,
    )


@njit(cache=True, nogil=True)
def _back_gather(spike, weights, grad_total, grad_weights, grad_spike):
    """Back through `weights` [pre, post] summed over the neurons that spiked.

    Adds to `grad_weights` (N, N) and to `grad_spike` (N,), in place, from `grad_total` (N,).
    """
    for j in range(len(spike)):
        total = 0.0
        for i in range(len(grad_total)):
            total += weights[j, i] * grad_total[i]
        grad_spike[j] += total
        # A silent neuron has a gradient all the same; only its weights have none.
        if spike[j] > 0:
            for i in range(len(grad_total)):
                grad_weights[j, i] += grad_total[i]


@njit(cache=True, nogil=True)
def _back_jump(spike, jumps, blocks, grad_total, grad_jumps, grad_blocks, grad_spike):
    """Back through `kernel.jump`.

    Adds to `grad_jumps` or `grad_blocks`, whichever is present, and to `grad_spike` (N,), in place, from `grad_total`
    (N,).
    """
    if len(blocks) == 0:
        _back_gather(spike, jumps, grad_total, grad_jumps, grad_spike)
        return
    own = blocks[OWN]
    partner = blocks[PARTNER]
    pairs = len(spike) // 2
    for first in range(pairs):
        second = pairs + first
        grad_blocks[OWN, first] += grad_total[first] * spike[first]
        grad_blocks[PARTNER, first] += grad_total[first] * spike[second]
        grad_blocks[OWN, second] += grad_total[second] * spike[second]
        grad_blocks[PARTNER, second] += grad_total[second] * spike[first]
        grad_spike[first] += own[first] * grad_total[first] + partner[second] * grad_total[second]
        grad_spike[second] += own[second] * grad_total[second] + partner[first] * grad_total[first]

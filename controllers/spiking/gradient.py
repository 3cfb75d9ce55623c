"""Surrogate gradients of `snn_kernel.run`, by hand: back-propagation through whole flights in one compiled loop.

The same derivatives that torch gives `SNN.unroll` (arctan spikes, no gradient through the reset's spikes; Neftci,
Mostafa, Zenke 2019), some fifty times faster: a thousand steps of a hundred neurons are no work for a graph.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from ...threads import in_threads
from .kernel import arrays, jump, run_all, run_individual
from .snn import SNN

STATES = 7
"""what the way back needs of a step: currents, potentials and spikes of both layers, and the threshold's offset"""


def differentiable(circuit: SNN, genomes: Tensor, errors: Any, threads: int = 0) -> Tensor:
    """Outputs of every genome over every set of errors, as `snn_kernel.run`, with gradients towards `genomes`.

    Args:
        circuit: structure, form, trace, ranges and lesions; its own genes are not read.
        genomes: flat genes (P, parameters).
        errors: (S, T) sets, or (T,).
        threads: that share the work; 0: one a core. The numbers do not depend on it.

    Returns:
        float32 (P, S, T) or (P, T), in command units.
    """
    seen = np.ascontiguousarray(torch.as_tensor(errors, dtype=torch.float32).numpy())
    code = circuit.options.trace == "code"
    out: Tensor = _Flights.apply(np.atleast_2d(seen), code, threads, *arrays(circuit, genomes))  # pyright: ignore
    return out.reshape(len(genomes), *seen.shape)


class _Flights(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sets: np.ndarray, code: bool, threads: int, *values: Tensor) -> Tensor:
        ctx.save_for_backward(*values)
        ctx.sets, ctx.code, ctx.threads = sets, code, threads
        have = [value.numpy() for value in values]
        outputs = np.empty((len(have[0]) * len(sets), sets.shape[1]), np.float32)
        spikes = np.zeros((len(outputs), 2), np.int64)
        in_threads(run_all, len(outputs), threads, *have, code, sets, outputs, spikes)
        return torch.from_numpy(outputs)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Any, ...]:
        have = [value.numpy() for value in ctx.saved_tensors]
        wanted = np.ascontiguousarray(upstream[0].to(torch.float32).numpy())
        people, sets = len(have[0]), len(ctx.sets)
        found = [
            np.zeros((people * sets, *value.shape[1:])) for value in have
        ]  # float64: long sums
        in_threads(_backward, people * sets, ctx.threads, *have, ctx.code, ctx.sets, wanted, *found)
        summed = [value.reshape(people, sets, *value.shape[1:]).sum(1) for value in found]
        return (None, None, None, *(torch.from_numpy(value).float() for value in summed))


@njit(cache=True, nogil=True)
def _backward(
    first, last, rows, hidden, recurrent, decays, jumps, blocks, leaks, code, sets, wanted,
    to_rows, to_hidden, to_recurrent, to_decays, to_jumps, to_blocks, to_leaks,
):  # fmt: skip
    states = np.zeros((sets.shape[1] + 1, STATES, rows.shape[2]), np.float32)
    output, count = np.zeros(sets.shape[1], np.float32), np.zeros(2, np.int64)
    for item in range(first, last):
        who, errors = item // len(sets), sets[item % len(sets)]
        run_individual(
            rows[who], hidden[who], recurrent[who], decays[who], jumps[who], blocks[who], leaks[who], code,
            errors, output, count, states,
        )  # fmt: skip
        to_leaks[item] = _back(
            rows[who], hidden[who], recurrent[who], decays[who], jumps[who], blocks[who], leaks[who], code,
            errors, output, states, wanted[item],
            to_rows[item], to_hidden[item], to_recurrent[item], to_decays[item], to_jumps[item], to_blocks[item],
        )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _back(
    rows, hidden, recurrent, decays, jumps, blocks, leak, code, errors, output, states, wanted,
    to_rows, to_hidden, to_recurrent, to_decays, to_jumps, to_blocks,
):  # fmt: skip
    """Adjoints of one network, last step first; the gradient by quantity, the decoder's decay returned."""
    n = rows.shape[1]
    pairs = n // 2
    a_syn, a_mem, limit = rows[0], rows[1], rows[4]
    synapse, membrane, base, decoder = rows[5], rows[6], rows[7], rows[8]
    adaptive, again = len(decays) > 0, len(recurrent) > 0
    g_current, g_potential = np.zeros(n, np.float32), np.zeros(n, np.float32)
    g_current2, g_potential2 = np.zeros(n, np.float32), np.zeros(n, np.float32)
    g_offset, g_spike2, g_spike = (
        np.zeros(n, np.float32),
        np.zeros(n, np.float32),
        np.zeros(n, np.float32),
    )
    inner, g_inner, back = np.zeros(n), np.zeros(n, np.float32), np.zeros(n)
    earlier = np.zeros(n, np.float32)  # what later steps want of this step's hidden spikes
    g_output, to_leak, rest, pi2 = 0.0, 0.0, 1 - leak, np.float32(math.pi**2)
    for t in range(len(errors) - 1, -1, -1):
        now, old = states[t + 1], states[t]
        spike, potential2, spike2, offset = now[2], now[4], now[5], now[6]
        g_output = wanted[t] + leak * g_output
        summed = 0.0
        for j in range(n):
            summed += decoder[j] * spike2[j]
        to_leak += g_output * ((output[t - 1] if t else 0.0) - summed)
        scaled = np.float32(g_output * rest)
        for j in range(n):
            to_rows[8, j] += scaled * spike2[j]
            g_spike2[j] = scaled * decoder[j] + earlier[j]
            over = potential2[j] - (base[j] + offset[j])
            through = g_spike2[j] / (1 + pi2 * over * over)
            g_threshold = -through - spike2[j] * g_potential2[j]
            to_rows[7, j] += g_threshold
            g_offset[j] += g_threshold
            g_potential2[j] = through + membrane[j] * g_potential2[j]
            to_rows[6, j] += g_potential2[j] * old[4, j]
            g_current2[j] = g_potential2[j] + synapse[j] * g_current2[j]
            to_rows[5, j] += g_current2[j] * old[3, j]
        for k in range(pairs):
            one, two = g_current2[k], g_current2[pairs + k]
            for row, (g, s) in enumerate(((one, spike[k]), (one, spike[pairs + k]), (two, spike[k]),
                                          (two, spike[pairs + k]))):  # fmt: skip
                to_hidden[row, k] += g * s
            g_spike[k] = hidden[0, k] * one + hidden[2, k] * two
            g_spike[pairs + k] = hidden[1, k] * one + hidden[3, k] * two
        earlier[:] = 0
        if again:
            _through(old[5], recurrent, g_current2, to_recurrent, earlier)
        if adaptive:
            decay = decays[0]
            _through_jump(spike, jumps, blocks, g_offset, to_jumps, to_blocks, g_spike)
            if code:  # offset = decay (decay old + jumps of the layer's own last spikes) + jumps of what comes in
                jump(old[5], jumps, blocks, back)
                for j in range(n):
                    inner[j] = decay[j] * old[6, j] + back[j]
                    g_inner[j] = decay[j] * g_offset[j]
                    to_decays[0, j] += g_offset[j] * inner[j] + g_inner[j] * old[6, j]
                    g_offset[j] = decay[j] * g_inner[j]
                _through_jump(old[5], jumps, blocks, g_inner, to_jumps, to_blocks, earlier)
            else:
                for j in range(n):
                    to_decays[0, j] += g_offset[j] * old[6, j]
                    g_offset[j] = decay[j] * g_offset[j]
        error = errors[t]
        for j in range(n):
            over = now[1, j] - limit[j]
            through = g_spike[j] / (1 + pi2 * over * over)
            to_rows[4, j] += -through - spike[j] * g_potential[j]
            g_potential[j] = through + a_mem[j] * g_potential[j]
            to_rows[1, j] += g_potential[j] * old[1, j]
            g_current[j] = g_potential[j] + a_syn[j] * g_current[j]
            to_rows[0, j] += g_current[j] * old[0, j]
            to_rows[2, j] += g_current[j] * error
            to_rows[3, j] += g_current[j]
    return to_leak


@njit(cache=True, nogil=True)
def _through(spike, weights, upstream, to_weights, to_spike):
    """Back through `weights` [pre, post] summed over the neurons that spiked."""
    for j in range(len(spike)):
        total = 0.0
        for i in range(len(upstream)):
            total += weights[j, i] * upstream[i]
        to_spike[j] += total
        if spike[j] > 0:
            for i in range(len(upstream)):
                to_weights[j, i] += upstream[i]


@njit(cache=True, nogil=True)
def _through_jump(spike, jumps, blocks, upstream, to_jumps, to_blocks, to_spike):
    """Back through `snn_kernel.jump`."""
    if len(blocks) == 0:
        _through(spike, jumps, upstream, to_jumps, to_spike)
        return
    own, other, pairs = blocks[0], blocks[1], len(spike) // 2
    for k in range(pairs):
        m = pairs + k
        to_blocks[0, k] += upstream[k] * spike[k]
        to_blocks[1, k] += upstream[k] * spike[m]
        to_blocks[0, m] += upstream[m] * spike[m]
        to_blocks[1, m] += upstream[m] * spike[k]
        to_spike[k] += own[k] * upstream[k] + other[m] * upstream[m]
        to_spike[m] += own[m] * upstream[m] + other[k] * upstream[k]

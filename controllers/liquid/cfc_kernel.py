"""The parts of a closed-form step that are no products, compiled: each is one pass over memory instead of ten.

The equations are those of `closed_form` and of `cfc_cells.ACTIVATIONS`. Functions that begin with ``back_`` are the
way back. A name ``grad_x`` is the derivative of the loss by x, and has the shape of x. Everything is float32.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from .cfc_cells import LECUN_HEIGHT, LECUN_SLOPE
from .compiled_tanh import logistic, tanh

FORMS = {"gate": 0, "no-gate": 1, "pure": 2}
"""numbers of the closed forms in compiled code"""
GATE = FORMS["gate"]
PURE = FORMS["pure"]

ACTIVATIONS = {"lecun-tanh": 0, "tanh": 1, "relu": 2, "silu": 3}
"""numbers of the activations in compiled code"""
TANH = ACTIVATIONS["tanh"]
RELU = ACTIVATIONS["relu"]
SILU = ACTIVATIONS["silu"]

HEIGHT = np.float32(LECUN_HEIGHT)
"""of LeCun's tanh"""
SLOPE = np.float32(LECUN_SLOPE)
"""of LeCun's tanh"""
ONE = np.float32(1)

# What `close` keeps of every neuron for the way back.
FIRST = 0
"""first candidate; in the pure form the drive"""
SECOND = 1
"""second candidate; in the pure form the drive times the gate"""
OPENING = 2
"""the gate"""
PARTS = 3
"""number of these"""


@njit(cache=True, nogil=True, error_model="numpy")
def activate(kind, before, after):
    """Set `after` to the activation of `before`, (batch, units) each, in place."""
    for row in range(before.shape[0]):
        x = before[row]
        y = after[row]
        # One loop for each kind: a branch inside would keep the compiler from using the lanes.
        if kind == TANH:
            for unit in range(len(x)):
                y[unit] = tanh(x[unit])
        elif kind == RELU:
            for unit in range(len(x)):
                y[unit] = max(x[unit], np.float32(0))
        elif kind == SILU:
            for unit in range(len(x)):
                y[unit] = x[unit] * logistic(x[unit])
        else:
            for unit in range(len(x)):
                y[unit] = HEIGHT * tanh(SLOPE * x[unit])


@njit(cache=True, nogil=True, error_model="numpy")
def back_activate(kind, before, after, grad_after, grad_before):
    """Set `grad_before` from `grad_after`, (batch, units) each, in place."""
    for row in range(before.shape[0]):
        x = before[row]
        y = after[row]
        grad_y = grad_after[row]
        grad_x = grad_before[row]
        if kind == TANH:
            for unit in range(len(x)):
                grad_x[unit] = grad_y[unit] * (ONE - y[unit] * y[unit])
        elif kind == RELU:
            for unit in range(len(x)):
                grad_x[unit] = grad_y[unit] if x[unit] > 0 else np.float32(0)
        elif kind == SILU:
            for unit in range(len(x)):
                opened = logistic(x[unit])
                grad_x[unit] = grad_y[unit] * (opened + y[unit] * (ONE - opened))
        else:
            for unit in range(len(x)):
                grad_x[unit] = grad_y[unit] * SLOPE * (HEIGHT - y[unit] * y[unit] / HEIGHT)


@njit(cache=True, nogil=True, error_model="numpy")
def close(form, heads, elapsed, decay, equilibrium, parts, hidden):
    """The closed form of one step.

    Args:
        form: number of the form.
        heads: (batch, head numbers), block after block.
        elapsed: in periods, (batch,).
        decay: of the pure form, (units,).
        equilibrium: of the pure form, (units,).
        parts: (PARTS, batch, units), set in place for the way back.
        hidden: next activity (batch, units), set in place.
    """
    units = hidden.shape[1]
    for row in range(len(hidden)):
        first = parts[FIRST, row]
        second = parts[SECOND, row]
        opening = parts[OPENING, row]
        now = elapsed[row]
        next_activity = hidden[row]
        if form == PURE:
            for unit in range(units):
                drive = heads[row, unit]
                gate = math.exp(-now * (abs(decay[unit]) + abs(drive)))
                first[unit] = drive
                second[unit] = gate * drive
                opening[unit] = gate
                next_activity[unit] = equilibrium[unit] - equilibrium[unit] * second[unit]
            continue
        first_head = heads[row, :units]
        second_head = heads[row, units : 2 * units]
        slope = heads[row, 2 * units : 3 * units]
        offset = heads[row, 3 * units :]
        for unit in range(units):
            first[unit] = tanh(first_head[unit])
            second[unit] = tanh(second_head[unit])
            opening[unit] = logistic(slope[unit] * now + offset[unit])
        if form == GATE:
            for unit in range(units):
                kept = first[unit] * (ONE - opening[unit])
                next_activity[unit] = kept + opening[unit] * second[unit]
        else:
            for unit in range(units):
                next_activity[unit] = first[unit] + opening[unit] * second[unit]


@njit(cache=True, nogil=True, error_model="numpy")
def back_close(
    form,
    grad_next,
    grad_output,
    elapsed,
    decay,
    equilibrium,
    parts,
    grad_heads,
    grad_decay,
    grad_equilibrium,
):
    """Back through `close`.

    Args:
        form: number of the form.
        grad_next: of the activity by way of the next step, (batch, units).
        grad_output: of the activity by way of the output, (batch, units).
        elapsed: as in `close`, and so are `decay`, `equilibrium` and `parts`.
        decay: as above.
        equilibrium: as above.
        parts: as `close` has set them.
        grad_heads: (batch, head numbers), set in place.
        grad_decay: (units,) float64; what this step adds is added in place.
        grad_equilibrium: (units,) float64, the same.
    """
    units = grad_next.shape[1]
    for row in range(len(grad_next)):
        first = parts[FIRST, row]
        second = parts[SECOND, row]
        opening = parts[OPENING, row]
        now = elapsed[row]
        from_next = grad_next[row]
        from_output = grad_output[row]
        grad = grad_heads[row]
        if form == PURE:
            # x' = A - A e f with e = exp(-t (|w| + |f|)); `first` is f, `second` is e f.
            for unit in range(units):
                grad_hidden = from_next[unit] + from_output[unit]
                scaled = grad_hidden * equilibrium[unit]
                grad_equilibrium[unit] += grad_hidden * (ONE - second[unit])
                grad_decay[unit] += scaled * second[unit] * now * np.sign(decay[unit])
                grad[unit] = -scaled * opening[unit] * (ONE - now * abs(first[unit]))
            continue
        grad_first = grad[:units]
        grad_second = grad[units : 2 * units]
        grad_slope = grad[2 * units : 3 * units]
        grad_offset = grad[3 * units :]
        for unit in range(units):
            grad_hidden = from_next[unit] + from_output[unit]
            gate = opening[unit]
            grad_candidate = grad_hidden
            grad_gate = grad_hidden * second[unit]
            if form == GATE:
                grad_candidate = grad_hidden * (ONE - gate)
                grad_gate = grad_hidden * (second[unit] - first[unit])
            grad_first[unit] = grad_candidate * (ONE - first[unit] * first[unit])
            grad_second[unit] = grad_hidden * gate * (ONE - second[unit] * second[unit])
            grad_argument = grad_gate * gate * (ONE - gate)
            grad_offset[unit] = grad_argument
            grad_slope[unit] = grad_argument * now

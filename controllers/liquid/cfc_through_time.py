"""A dense closed-form cell through time, with its way back by hand.

Autograd keeps some twenty nodes a step; here a step back is two products, and the gradients of all weights are one
product each over all steps at once. A name ``grad_x`` is the derivative of the loss by x, and has the shape of x.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..core import sigmoid
from .cfc_cells import Activation, CfCCell
from .closed_form import Form


class Shape(NamedTuple):
    """What is not trained."""

    form: Form
    """of the closed form"""
    units: int
    """number of neurons"""
    activation: Activation
    """of the backbone"""
    further: int
    """layers of the backbone behind the first"""


class _Weights(NamedTuple):
    """The weights in the order in which `ThroughTime` takes them."""

    recurrent: Tensor
    """(backbone, units) of the first layer, from the state"""
    heads: Tensor
    """(head numbers, backbone)"""
    heads_bias: Tensor
    """(head numbers,)"""
    closed_form: list[Tensor]
    """decay and equilibrium of the pure form, (units,) each; else none"""
    further: list[Tensor]
    """weight and bias of every further layer in turn"""


def through_time(cell: CfCCell, inputs: Tensor, state: Tensor, elapsed: Tensor) -> Tensor:
    """Activity (steps, batch, units) of a cell without lesions.

    Args:
        cell: the cell.
        inputs: (steps, batch, k).
        state: activity before the first step, (batch, units).
        elapsed: (steps, batch, 1) in periods; no gradient flows to it.
    """
    shape = Shape(cell.closed_form.form, cell.units, cell.activation, len(cell.further))
    closed_form = []
    if shape.form == "pure":
        closed_form = [cell.closed_form.decay, cell.closed_form.equilibrium]
    further = []
    for layer in cell.further:
        further += [layer.weight, layer.bias]
    # The input's share of all steps is one product, which autograd knows the way back through.
    drives = cell.input(inputs)
    return ThroughTime.apply(  # pyright: ignore[reportReturnType]
        shape,
        elapsed,
        drives,
        state,
        cell.recurrent.weight,
        cell.heads.weight,
        cell.heads.bias,
        *closed_form,
        *further,
    )


class ThroughTime(torch.autograd.Function):
    """All steps of a cell as one node of torch's graph."""

    @staticmethod
    def forward(
        ctx: Any, shape: Shape, elapsed: Tensor, drives: Tensor, start: Tensor, *weights: Tensor
    ) -> Tensor:
        """Activity after every step, (steps, batch, units).

        Args:
            ctx: torch's store for the way back.
            shape: of the cell.
            elapsed: (steps, batch, 1) in periods.
            drives: what the first layer makes of the inputs, (steps, batch, backbone).
            start: activity before the first step, (batch, units).
            weights: as in `_Weights`.
        """
        named = _named(shape, weights)
        steps, batch, backbone_units = drives.shape
        depth = 1 + shape.further
        before = drives.new_empty(depth, steps, batch, backbone_units)
        after = drives.new_empty(depth, steps, batch, backbone_units)
        hidden = drives.new_empty(steps, batch, shape.units)
        # What `_close` gives beside the activity: three tensors, (steps, batch, units) each.
        parts = drives.new_empty(3, steps, batch, shape.units)
        state = start
        for step in range(steps):
            torch.addmm(drives[step], state, named.recurrent.T, out=before[0, step])
            after[0, step] = shape.activation.value(before[0, step])
            for layer in range(shape.further):
                weight = named.further[2 * layer]
                bias = named.further[2 * layer + 1]
                before[layer + 1, step] = F.linear(after[layer, step], weight, bias)
                after[layer + 1, step] = shape.activation.value(before[layer + 1, step])
            heads = F.linear(after[-1, step], named.heads, named.heads_bias)
            state = _close(shape, heads, elapsed[step], named.closed_form, parts[:, step])
            hidden[step] = state
        ctx.shape = shape
        ctx.save_for_backward(elapsed, start, before, after, hidden, parts, *weights)
        return hidden

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_hidden: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Gradients of `forward`'s arguments; None for `shape` and `elapsed`."""
        shape: Shape = ctx.shape
        elapsed, start, before, after, hidden, parts, *weights = ctx.saved_tensors
        named = _named(shape, weights)
        steps = len(hidden)
        grad_heads = hidden.new_empty(steps, hidden.shape[1], len(named.heads))
        grad_before = torch.empty_like(before)
        grad_closed_form = [torch.zeros_like(parts[0]) for _ in named.closed_form]
        slopes = shape.activation.slope(before, after)
        grad_state = torch.zeros_like(start)
        for step in reversed(range(steps)):
            grad_state = grad_state + grad_hidden[step]
            grad_heads[step] = _close_back(
                shape,
                grad_state,
                elapsed[step],
                named.closed_form,
                parts[:, step],
                [grad[step] for grad in grad_closed_form],
            )
            grad_after = grad_heads[step] @ named.heads
            for layer in reversed(range(shape.further)):
                torch.mul(grad_after, slopes[layer + 1, step], out=grad_before[layer + 1, step])
                grad_after = grad_before[layer + 1, step] @ named.further[2 * layer]
            torch.mul(grad_after, slopes[0, step], out=grad_before[0, step])
            grad_state = grad_before[0, step] @ named.recurrent

        states = torch.cat([start[None], hidden[:-1]])
        grad_further = []
        for layer in range(shape.further):
            grad_further.append(_outer(grad_before[layer + 1], after[layer]))
            grad_further.append(grad_before[layer + 1].sum((0, 1)))
        return (
            None,
            None,
            grad_before[0],
            grad_state,
            _outer(grad_before[0], states),
            _outer(grad_heads, after[-1]),
            grad_heads.sum((0, 1)),
            *(grad.sum((0, 1)) for grad in grad_closed_form),
            *grad_further,
        )


def _named(shape: Shape, weights: tuple[Tensor, ...] | list[Tensor]) -> _Weights:
    """The weights by name."""
    recurrent, heads, heads_bias, *rest = weights
    closed_form_count = 2 if shape.form == "pure" else 0
    return _Weights(
        recurrent=recurrent,
        heads=heads,
        heads_bias=heads_bias,
        closed_form=rest[:closed_form_count],
        further=rest[closed_form_count:],
    )


def _outer(grad_rows: Tensor, rows: Tensor) -> Tensor:
    """Gradient (m, k) of a weight that maps rows (steps, batch, k) to ones (steps, batch, m)."""
    return grad_rows.flatten(0, 1).T @ rows.flatten(0, 1)


def _close(
    shape: Shape, heads: Tensor, elapsed: Tensor, closed_form: list[Tensor], parts: Tensor
) -> Tensor:
    """Next activity as `ClosedForm.forward` gives it.

    Args:
        shape: of the cell.
        heads: (batch, head numbers).
        elapsed: (batch, 1) in periods.
        closed_form: decay and equilibrium of the pure form.
        parts: (3, batch, units), set in place to both candidates and the gate; in the pure form to the drive, what
            the gate leaves of it, and the gate.
    """
    first_part, second_part, gate_part = parts
    if shape.form == "pure":
        decay, equilibrium = closed_form
        gate = torch.exp(-elapsed * (decay.abs() + heads.abs()))
        first_part.copy_(heads)
        gate_part.copy_(gate)
        torch.mul(gate, heads, out=second_part)
        return equilibrium - equilibrium * second_part
    first, second, slope, offset = heads.split(shape.units, dim=-1)
    torch.tanh(first, out=first_part)
    torch.tanh(second, out=second_part)
    gate_part.copy_(sigmoid(torch.addcmul(offset, slope, elapsed)))
    if shape.form == "no-gate":
        return torch.addcmul(first_part, gate_part, second_part)
    return torch.lerp(first_part, second_part, gate_part)


def _close_back(
    shape: Shape,
    grad_state: Tensor,
    elapsed: Tensor,
    closed_form: list[Tensor],
    parts: Tensor,
    grad_closed_form: list[Tensor],
) -> Tensor:
    """Back through `_close`: gradient of the heads (batch, head numbers).

    Args:
        shape: of the cell.
        grad_state: of the next activity, (batch, units).
        elapsed: (batch, 1) in periods.
        closed_form: decay and equilibrium of the pure form.
        parts: as `_close` has set them.
        grad_closed_form: of each agent, (batch, units) each, set in place.
    """
    first, second, gate = parts
    if shape.form == "pure":
        decay, equilibrium = closed_form
        grad_decay, grad_equilibrium = grad_closed_form
        # x' = A - A e f with e = exp(-t (|w| + |f|)); `first` is f, `second` is e f.
        grad_equilibrium.copy_(grad_state * (1 - second))
        scaled = grad_state * equilibrium
        grad_decay.copy_(scaled * second * elapsed * decay.sign())
        return -scaled * gate * (1 - elapsed * first.abs())
    grad_first = grad_state
    grad_gate = grad_state * second
    if shape.form == "gate":
        grad_first = grad_state * (1 - gate)
        grad_gate = grad_state * (second - first)
    grad_second = grad_state * gate
    grad_offset = grad_gate * gate * (1 - gate)
    blocks = [
        grad_first * (1 - first * first),
        grad_second * (1 - second * second),
        grad_offset * elapsed,
        grad_offset,
    ]
    return torch.cat(blocks, dim=-1)

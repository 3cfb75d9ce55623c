"""A dense closed-form cell through time, with its way back by hand.

Autograd keeps some twenty nodes a step. Here a step is two products and two compiled passes, each way, and the
gradients of all weights are one product each over all steps at once. A name ``grad_x`` is the derivative of the loss
by x, and has the shape of x.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .cfc_cells import CfCCell
from .cfc_kernel import ACTIVATIONS, FORMS, PARTS, activate, back_activate, back_close, close


class Shape(NamedTuple):
    """What is not trained."""

    form: int
    """number of the closed form"""
    activation: int
    """number of the backbone's activation"""
    depth: int
    """layers of the backbone"""


class _Weights(NamedTuple):
    """The weights in the order in which `ThroughTime` takes them."""

    recurrent: Tensor
    """(backbone, units) of the first layer, from the state"""
    heads: Tensor
    """(head numbers, backbone)"""
    heads_bias: Tensor
    """(head numbers,)"""
    decay: Tensor
    """(units,) of the pure form; (0,) of the others"""
    equilibrium: Tensor
    """(units,) of the pure form; (0,) of the others"""
    further: list[Tensor]
    """weight and bias of every further layer in turn"""

    @classmethod
    def of(cls, weights: Sequence[Tensor]) -> _Weights:
        """The weights by name."""
        recurrent, heads, heads_bias, decay, equilibrium, *further = weights
        return cls(recurrent, heads, heads_bias, decay, equilibrium, further)


def through_time(cell: CfCCell, inputs: Tensor, state: Tensor, elapsed: Tensor) -> Tensor:
    """Activity (steps, batch, units) of a cell without lesions, float32.

    Args:
        cell: the cell.
        inputs: (steps, batch, k).
        state: activity before the first step, (batch, units).
        elapsed: (steps, batch, 1) in periods; no gradient flows to it.
    """
    closed_form = cell.closed_form
    shape = Shape(
        form=FORMS[closed_form.form],
        activation=ACTIVATIONS[cell.activation],
        depth=1 + len(cell.further),
    )
    nothing = inputs.new_empty(0)
    is_pure = closed_form.form == "pure"
    further = []
    for layer in cell.further:
        further += [layer.weight, layer.bias]
    return ThroughTime.apply(  # pyright: ignore[reportReturnType]
        shape,
        elapsed[..., 0],
        # The input's share of all steps is one product, which autograd knows the way back through.
        cell.input(inputs),
        state,
        cell.recurrent.weight,
        cell.heads.weight,
        cell.heads.bias,
        closed_form.decay if is_pure else nothing,
        closed_form.equilibrium if is_pure else nothing,
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
            elapsed: (steps, batch) in periods.
            drives: what the first layer makes of the inputs, (steps, batch, backbone).
            start: activity before the first step, (batch, units).
            weights: as in `_Weights`.
        """
        named = _Weights.of(weights)
        steps, batch, backbone_units = drives.shape
        units = start.shape[1]
        before = drives.new_empty(shape.depth, steps, batch, backbone_units)
        after = torch.empty_like(before)
        # The state before every step, and the one after the last.
        states = drives.new_empty(steps + 1, batch, units)
        states[0] = start
        parts = drives.new_empty(steps, PARTS, batch, units)
        heads = drives.new_empty(batch, len(named.heads_bias))

        # The same memory as arrays, for the compiled passes.
        before_arrays = before.numpy()
        after_arrays = after.numpy()
        state_arrays = states.numpy()
        part_arrays = parts.numpy()
        head_array = heads.numpy()
        elapsed_array = np.ascontiguousarray(elapsed.numpy())
        decay = named.decay.numpy()
        equilibrium = named.equilibrium.numpy()
        recurrent = named.recurrent.T
        head_weight = named.heads.T
        for step in range(steps):
            torch.addmm(drives[step], states[step], recurrent, out=before[0, step])
            activate(shape.activation, before_arrays[0, step], after_arrays[0, step])
            for layer in range(1, shape.depth):
                weight, bias = named.further[2 * layer - 2 : 2 * layer]
                torch.addmm(bias, after[layer - 1, step], weight.T, out=before[layer, step])
                activate(shape.activation, before_arrays[layer, step], after_arrays[layer, step])
            torch.addmm(named.heads_bias, after[-1, step], head_weight, out=heads)
            close(
                shape.form,
                head_array,
                elapsed_array[step],
                decay,
                equilibrium,
                part_arrays[step],
                state_arrays[step + 1],
            )
        ctx.shape = shape
        ctx.elapsed = elapsed_array
        ctx.save_for_backward(before, after, states, parts, *weights)
        return states[1:].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_hidden: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Gradients of `forward`'s arguments; None for `shape` and `elapsed`."""
        shape: Shape = ctx.shape
        before, after, states, parts, *weights = ctx.saved_tensors
        named = _Weights.of(weights)
        steps, batch, units = grad_hidden.shape
        grad_heads = grad_hidden.new_empty(steps, batch, len(named.heads_bias))
        grad_before = torch.empty_like(before)
        grad_after = torch.empty_like(before[0, 0])
        grad_state = grad_hidden.new_zeros(batch, units)
        # float64, since these are sums over all steps.
        grad_decay = np.zeros(len(named.decay))
        grad_equilibrium = np.zeros(len(named.equilibrium))

        before_arrays = before.numpy()
        after_arrays = after.numpy()
        part_arrays = parts.numpy()
        output_arrays = np.ascontiguousarray(grad_hidden.numpy())
        grad_head_arrays = grad_heads.numpy()
        grad_before_arrays = grad_before.numpy()
        grad_after_array = grad_after.numpy()
        grad_state_array = grad_state.numpy()
        decay = named.decay.numpy()
        equilibrium = named.equilibrium.numpy()
        for step in reversed(range(steps)):
            back_close(
                shape.form,
                grad_state_array,
                output_arrays[step],
                ctx.elapsed[step],
                decay,
                equilibrium,
                part_arrays[step],
                grad_head_arrays[step],
                grad_decay,
                grad_equilibrium,
            )
            torch.mm(grad_heads[step], named.heads, out=grad_after)
            for layer in reversed(range(shape.depth)):
                back_activate(
                    shape.activation,
                    before_arrays[layer, step],
                    after_arrays[layer, step],
                    grad_after_array,
                    grad_before_arrays[layer, step],
                )
                if layer > 0:
                    weight = named.further[2 * layer - 2]
                    torch.mm(grad_before[layer, step], weight, out=grad_after)
            torch.mm(grad_before[0, step], named.recurrent, out=grad_state)

        grad_further = []
        for layer in range(1, shape.depth):
            grad_further.append(_outer(grad_before[layer], after[layer - 1]))
            grad_further.append(grad_before[layer].sum((0, 1)))
        return (
            None,
            None,
            grad_before[0],
            grad_state,
            _outer(grad_before[0], states[:-1]),
            _outer(grad_heads, after[-1]),
            grad_heads.sum((0, 1)),
            torch.from_numpy(grad_decay.astype(np.float32)),
            torch.from_numpy(grad_equilibrium.astype(np.float32)),
            *grad_further,
        )


def _outer(grad_rows: Tensor, rows: Tensor) -> Tensor:
    """Gradient (m, k) of a weight that maps rows (steps, batch, k) to ones (steps, batch, m)."""
    return grad_rows.flatten(0, 1).T @ rows.flatten(0, 1)

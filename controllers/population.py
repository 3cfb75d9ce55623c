"""Many agents of one controller side by side: a population of weights, or one set of weights in many episodes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from .core import Controller, State

ALIGNMENT = 16
"""numbers; blocks of an agent begin at multiples of it: 64 bytes in float32, the widest register of a processor"""

_PRODUCTS = {Tensor.__matmul__, Tensor.matmul, Tensor.mm, torch.matmul, torch.mm}


class Population:
    """`n` agents behind numpy: ``action, state = population(observation, state)``.

    An agent acts bit for bit alike whatever stands beside it. Libraries of linear algebra round a product by the
    size of the batch and by where in memory its operands begin, so every agent has weights and buffers of its own,
    one row each, even where they are equal, and the rows begin at multiples of `ALIGNMENT`. The promise covers
    `nn.Linear` of any width and products with parameters or floating-point buffers. It does not cover products
    with a matrix that `forward` itself makes. Since floating-point buffers are mapped too, Python's ``if`` in
    `forward` must not depend on their values.

    A plastic controller (``pure = False``) is called on the whole batch instead, and so is one without weights.
    Observations are cast to the type of the weights; actions come back as float32 at least.

    Args:
        controller: what acts; its own weights where no genomes are given.
        n: number of agents.
        genomes: flat weights (p, parameters), p dividing `n`; agent a acts with row ``a // (n / p)``.
    """

    def __init__(self, controller: Controller, n: int, genomes: Tensor | None = None) -> None:
        self.controller = controller
        self.n = n
        self._dtype = next(
            (p.dtype for p in controller.parameters() if p.is_floating_point()), None
        )
        self._learns = type(controller).learn is not Controller.learn
        self._rows = _rows(controller, n, genomes)
        self._fixed = {
            name: value for name, value in controller.named_buffers() if not _has_rows(value)
        }
        self._is_mapped = controller.pure and any(True for _ in controller.parameters())

    def initial_state(self) -> State:
        """States of all agents at the start of an episode."""
        return self.controller.initial_state(self.n)

    @torch.no_grad()
    def __call__(self, observation: Any, state: State) -> tuple[np.ndarray, State]:
        """Actions (n, m) and next states from observations (n, k), or a dict of them."""
        seen = self._cast(observation)
        action, state = self._call("forward", seen, state)
        if action.dtype in (torch.float16, torch.bfloat16):
            action = action.float()
        return action.numpy(), state

    @torch.no_grad()
    def learn(
        self,
        observation: Any,
        action: np.ndarray,
        reward: np.ndarray,
        ended: np.ndarray,
        next_observation: Any,
        state: State,
    ) -> State:
        """States after `Controller.learn`, every agent with its own weights; arguments are arrays, agents first."""
        if not self._learns:
            return state
        step = (
            self._cast(observation),
            torch.as_tensor(action),
            torch.as_tensor(reward),
            torch.as_tensor(ended),
        )
        return self._call("learn", *step, self._cast(next_observation), state)

    @torch.no_grad()
    def signals(self, state: State) -> dict[str, Tensor]:
        """`Controller.signals` of every agent with its own weights, (n, ...) each."""
        return self._call("signals", state)

    def _call(self, method: str, *arguments: Any) -> Any:
        """A method of the controller on all agents: mapped over their weights, or on the whole batch."""
        if not self._is_mapped:
            return getattr(self.controller, method)(*arguments)
        each = vmap(self._one_agent(method))
        return tree_map(_squeeze, each(self._rows, tree_map(_unsqueeze, arguments)))

    def _one_agent(self, method: str) -> Callable[..., Any]:
        """A method as a function of one agent's weights and arguments."""
        module = _Method(self.controller, method)

        def call(rows: dict[str, Tensor], arguments: Any) -> Any:
            with _SameBits(rows.values()):
                weights = {
                    f"controller.{name}": value for name, value in {**rows, **self._fixed}.items()
                }
                # `rows` names tied weights one by one: torch's own tying restores a module of two names wrongly.
                return functional_call(module, weights, arguments, tie_weights=False)

        return call

    def _cast(self, observation: Any) -> Any:
        """Arrays as tensors of the weights' type, on memory that torch has aligned."""

        def cast(array: Any) -> Tensor:
            values = torch.as_tensor(array)
            if self._dtype is not None and values.is_floating_point():
                values = values.to(self._dtype)
            return values

        return tree_map(cast, observation)


class _Method(nn.Module):
    """A method of a controller as a module's `forward`, which is what `functional_call` calls."""

    def __init__(self, controller: Controller, method: str) -> None:
        super().__init__()
        self.controller = controller
        self.method = method

    def forward(self, *arguments: Any) -> Any:
        return getattr(self.controller, self.method)(*arguments)


class _SameBits(TorchFunctionMode):
    """Lays the operands of linear layers and products out so that their rounding does not depend on the agent's place.

    Without it an activity of 53 numbers begins at another offset from 64 bytes for every agent, and the library sums
    it in another order. The weights are laid out once, by `_rows`.
    """

    def __init__(self, weights: Any) -> None:
        super().__init__()
        self._weights = {id(weight) for weight in weights}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.linear:
            return func(_aligned(args[0]), *args[1:], **kwargs)
        if func not in _PRODUCTS:
            return func(*args, **kwargs)
        # All as rows through a linear layer: the plain product is computed otherwise for one agent than for many.
        left, right = args
        match left.dim(), right.dim():
            case 2, 1:
                return self._linear(right[None], left)[0]
            case 1, 2:
                return self._linear(left[None], right.mT)[0]
            case 2, 2 if right.shape[1] == 1:
                return self._linear(right.mT, left).mT
            case 2, 2:
                return self._linear(left, right.mT)
            case _:
                return func(_aligned(left), _aligned(right), **kwargs)

    def _linear(self, rows: Tensor, matrix: Tensor) -> Tensor:
        """Products (r, m) of rows (r, k) with those of a matrix (m, k)."""
        if id(matrix) not in self._weights:
            matrix = _aligned(matrix)
        return F.linear(_aligned(rows), matrix)


def _aligned(values: Tensor) -> Tensor:
    """The same values, every agent's at a multiple of `ALIGNMENT` numbers."""
    size = values.numel()
    padded = F.pad(values.flatten(), (0, -size % ALIGNMENT))
    return padded[:size].view(values.shape)


def _has_rows(buffer: Tensor) -> bool:
    """Whether every agent gets a row of its own for a buffer: where products with it could round by the batch."""
    return buffer.is_floating_point() and buffer.dim() > 0


def _rows(controller: Controller, n: int, genomes: Tensor | None) -> dict[str, Tensor]:
    """Weights and floating-point buffers, one row an agent (n, ...), by every name that they must be set under."""
    weights = dict(controller.named_parameters())
    if genomes is None:
        # A copy: weights that `vector_to_parameters` has set are views that begin anywhere.
        rows = {
            name: value.detach().clone().expand(n, *value.shape) for name, value in weights.items()
        }
    else:
        parts = unflatten(genomes, [value.shape for value in weights.values()])
        each = n // len(genomes)
        rows = {
            name: _spaced(part.repeat_interleave(each, 0))
            for name, part in zip(weights, parts, strict=True)
        }
    for name, value in controller.named_buffers():
        if _has_rows(value):
            rows[name] = value.clone().expand(n, *value.shape)
    return _under_all_names(controller, rows)


def _under_all_names(controller: Controller, rows: dict[str, Tensor]) -> dict[str, Tensor]:
    """`rows` with the other names of tied weights; a module of two names is set under one of them."""
    first_names = {
        id(value): name
        for name, value in (*controller.named_parameters(), *controller.named_buffers())
    }
    result = {}
    for prefix, module in controller.named_modules():  # each module once
        own = {
            **dict(module.named_parameters(prefix, False, False)),
            **dict(module.named_buffers(prefix, False, False)),
        }
        for name, value in own.items():
            if first_names[id(value)] in rows:
                result[name] = rows[first_names[id(value)]]
    return result


def _spaced(rows: Tensor) -> Tensor:
    """A copy of rows (n, ...), each at a multiple of `ALIGNMENT` numbers."""
    size = math.prod(rows.shape[1:])
    padded = F.pad(rows.reshape(len(rows), size), (0, -size % ALIGNMENT))
    return padded[:, :size].view(rows.shape)


def _unsqueeze(x: Tensor) -> Tensor:
    return x.unsqueeze(1)


def _squeeze(x: Tensor) -> Tensor:
    return x.squeeze(1)


def unflatten(genomes: Tensor, shapes: list[torch.Size]) -> list[Tensor]:
    """Flat weights (p, parameters) as one tensor (p, *shape) a shape."""
    sizes = [math.prod(shape) for shape in shapes]
    parts = torch.split(genomes, sizes, dim=1)
    return [
        part.reshape(len(genomes), *shape).contiguous()
        for part, shape in zip(parts, shapes, strict=True)
    ]

"""Many agents of one controller side by side: a population of weights, or one set of weights in many episodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from ..errors import LanceletError
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

    Raises:
        LanceletError: `n` is no multiple of p.
    """

    def __init__(self, controller: Controller, n: int, genomes: Tensor | None = None) -> None:
        self.controller = controller
        self.n = n
        self._dtype = _weight_type(controller)
        self._learns = type(controller).learn is not Controller.learn
        self._rows = _rows(controller, n, genomes)
        # Counters, indices and single numbers: no product rounds by them, so all agents share one.
        self._shared_buffers = {
            name: buffer for name, buffer in controller.named_buffers() if not _has_rows(buffer)
        }
        has_weights = len(list(controller.parameters())) > 0
        self._is_mapped = controller.pure and has_weights

    @classmethod
    def of_several(cls, controllers: Sequence[Controller], n: int) -> Population:
        """`n` agents of several controllers of one kind, each with its own weights and floating-point buffers.

        Args:
            controllers: p of them, p dividing `n`; agent a acts as ``controllers[a // (n / p)]`` does alone.
            n: number of agents.

        Raises:
            LanceletError: none is given, `n` is no multiple of p, or they differ in more than their numbers.
        """
        if not controllers or n % len(controllers):
            raise LanceletError(
                f"n = {n}: must be a multiple of the {len(controllers)} controllers"
            )
        first = controllers[0]
        for other in controllers[1:]:
            _check_alike(first, other)
        population = cls(first, n)
        agents_per_controller = n // len(controllers)
        by_controller = [_rows(controller, 1, None) for controller in controllers]
        for name in population._rows:
            values = torch.cat([rows[name] for rows in by_controller])
            by_agent = values.repeat_interleave(agents_per_controller, 0)
            population._rows[name] = _with_aligned_rows(by_agent)
        return population

    def initial_state(self) -> State:
        """States of all agents at the start of an episode."""
        return self.controller.initial_state(self.n)

    @torch.no_grad()
    def __call__(self, observation: Any, state: State) -> tuple[np.ndarray, State]:
        """Actions (n, m) and next states from observations (n, k), or a dict of them."""
        action, next_state = self._call("forward", self._cast(observation), state)
        # numpy has no bfloat16, and environments do not expect float16.
        if action.dtype in (torch.float16, torch.bfloat16):
            action = action.float()
        return action.numpy(), next_state

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
        """States after `Controller.learn`, every agent with its own weights.

        Args:
            observation: before the step, an array (n, k) or a dict of such.
            action: taken in the step, (n, m).
            reward: of the step, (n,).
            ended: (n,) True from an agent's last step on.
            next_observation: after the step, as `observation`.
            state: what the call gave in the step.
        """
        if not self._learns:
            return state
        return self._call(
            "learn",
            self._cast(observation),
            torch.as_tensor(action),
            torch.as_tensor(reward),
            torch.as_tensor(ended),
            self._cast(next_observation),
            state,
        )

    @torch.no_grad()
    def signals(self, state: State) -> dict[str, Tensor]:
        """`Controller.signals` of every agent with its own weights, (n, ...) each."""
        return self._call("signals", state)

    def _call(self, method: str, *arguments: Any) -> Any:
        """A method of the controller on all agents: mapped over their weights, or on the whole batch."""
        if not self._is_mapped:
            return getattr(self.controller, method)(*arguments)
        # A controller sees batches: each agent is one of 1, whose dimension is taken off what it returns.
        batches_of_one = tree_map(_unsqueeze, arguments)
        call_each = vmap(self._one_agent(method))
        return tree_map(_squeeze, call_each(self._rows, batches_of_one))

    def _one_agent(self, method: str) -> Callable[..., Any]:
        """A method as a function of one agent's weights and arguments."""
        module = _Method(self.controller, method)

        def call(rows: dict[str, Tensor], arguments: Any) -> Any:
            own_and_shared = {**rows, **self._shared_buffers}
            # `_Method` holds the controller under this name.
            weights = {f"controller.{name}": value for name, value in own_and_shared.items()}
            with _SameBits(rows.values()):
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

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__()
        # By identity: to compare tensors would compare their numbers.
        self._weights = {id(weight) for weight in weights}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call `func`, a function of torch, in the way that rounds alike."""
        kwargs = kwargs or {}
        if func is F.linear:
            return func(_aligned(args[0]), *args[1:], **kwargs)
        if func not in _PRODUCTS:
            return func(*args, **kwargs)
        # All as rows through a linear layer: the plain product is computed otherwise for one agent than for many.
        left, right = args
        match left.dim(), right.dim():
            case 2, 1:
                # A matrix times a vector: the vector is the one row.
                return self._linear(right[None], left)[0]
            case 1, 2:
                # A vector times a matrix.
                return self._linear(left[None], right.mT)[0]
            case 2, 2 if right.shape[1] == 1:
                # A matrix times a single column: as with a vector, or the rounding would differ from it.
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
    """The same values of one agent; under `vmap`, which stacks the agents, each one's begin at a multiple of `ALIGNMENT`."""
    size = values.numel()
    padded = F.pad(values.flatten(), (0, -size % ALIGNMENT))
    return padded[:size].view(values.shape)


def _weight_type(controller: Controller) -> torch.dtype | None:
    """Type of the first floating-point weight; None: there is none."""
    for weight in controller.parameters():
        if weight.is_floating_point():
            return weight.dtype
    return None


def _check_alike(first: Controller, other: Controller) -> None:
    """Refuse two controllers that one call cannot serve: of different kinds, options, spaces or shared buffers."""
    if type(first) is not type(other) or first.options != other.options:
        raise LanceletError(
            f"{type(other).__name__} with {other.options}: must be as the first, "
            f"{type(first).__name__} with {first.options}"
        )
    if not first.pure:
        raise LanceletError(
            f"{type(first).__name__} changes within an episode: give each agent a population of its own"
        )
    spaces_of_first = (first.observation_space, first.action_space)
    if spaces_of_first != (other.observation_space, other.action_space):
        raise LanceletError(
            f"{type(other).__name__}: its spaces must be those of the first, {spaces_of_first}"
        )
    buffers = dict(other.named_buffers())
    for name, buffer in first.named_buffers():
        if not _has_rows(buffer) and not torch.equal(buffer, buffers[name]):
            raise LanceletError(
                f"{type(other).__name__}: the buffer {name} must be that of the first, {buffer}"
            )


def _has_rows(buffer: Tensor) -> bool:
    """Whether every agent gets a row of its own for a buffer: where products with it could round by the batch."""
    return buffer.is_floating_point() and buffer.dim() > 0


def _rows(controller: Controller, n: int, genomes: Tensor | None) -> dict[str, Tensor]:
    """Weights and floating-point buffers, one row an agent (n, ...), by every name that they must be set under."""
    weights = dict(controller.named_parameters())
    if genomes is None:
        rows = {name: _repeated(weight.detach(), n) for name, weight in weights.items()}
    else:
        rows = _rows_of_genomes(weights, n, genomes)
    for name, buffer in controller.named_buffers():
        if _has_rows(buffer):
            rows[name] = _repeated(buffer, n)
    return _under_all_names(controller, rows)


def _repeated(value: Tensor, n: int) -> Tensor:
    """One tensor as `n` equal rows (n, ...), which share their memory."""
    # A copy: weights that `vector_to_parameters` has set are views that begin anywhere.
    return value.clone().expand(n, *value.shape)


def _rows_of_genomes(weights: Mapping[str, Tensor], n: int, genomes: Tensor) -> dict[str, Tensor]:
    """Rows (n, ...) of every weight, one an agent, out of flat genomes; agents of one genome stand side by side.

    Args:
        weights: of the controller, by name, in the order in which they follow one another in a genome.
        n: number of agents.
        genomes: (p, parameters), p dividing `n`; agent a gets genome ``a // (n / p)``.

    Raises:
        LanceletError: the genomes do not share out evenly among the agents.
    """
    if n % len(genomes):
        raise LanceletError(f"n = {n}: must be a multiple of the {len(genomes)} genomes")
    agents_per_genome = n // len(genomes)
    shapes = [weight.shape for weight in weights.values()]
    rows = {}
    for name, by_genome in zip(weights, unflatten(genomes, shapes), strict=True):
        by_agent = by_genome.repeat_interleave(agents_per_genome, 0)
        rows[name] = _with_aligned_rows(by_agent)
    return rows


def _under_all_names(controller: Controller, rows: dict[str, Tensor]) -> dict[str, Tensor]:
    """`rows` with the other names of tied weights; a module of two names is set under one of them."""
    # torch lists a tensor of several names under its first one, which is the one that `rows` has.
    named = [*controller.named_parameters(), *controller.named_buffers()]
    first_names = {id(value): name for name, value in named}
    rows_of_all_names = {}
    # Each module comes once here, and names every tensor of its own, tied or not.
    for prefix, module in controller.named_modules():
        own_tensors = [
            *module.named_parameters(prefix, recurse=False, remove_duplicate=False),
            *module.named_buffers(prefix, recurse=False, remove_duplicate=False),
        ]
        for name, value in own_tensors:
            first_name = first_names[id(value)]
            if first_name in rows:
                rows_of_all_names[name] = rows[first_name]
    return rows_of_all_names


def _with_aligned_rows(rows: Tensor) -> Tensor:
    """A copy of rows (n, ...) that lies in memory so that each row begins at a multiple of `ALIGNMENT` numbers.

    Packed rows of another length would begin anywhere, and a library of linear algebra rounds by where a row begins.
    """
    size = math.prod(rows.shape[1:])
    # Zeros behind every row; the view that is returned does not show them.
    padded = F.pad(rows.reshape(len(rows), size), (0, -size % ALIGNMENT))
    return padded[:, :size].view(rows.shape)


def _unsqueeze(values: Tensor) -> Tensor:
    """An agent's values (...) as those of a batch of 1, (1, ...), for all agents at once: (n, 1, ...)."""
    return values.unsqueeze(1)


def _squeeze(values: Tensor) -> Tensor:
    """Values (n, 1, ...) of n batches of 1 as (n, ...)."""
    return values.squeeze(1)


def unflatten(genomes: Tensor, shapes: list[torch.Size]) -> list[Tensor]:
    """Flat weights (p, parameters) as one tensor (p, *shape) for each of `shapes`, in their order."""
    sizes = [math.prod(shape) for shape in shapes]
    tensors = []
    for part, shape in zip(torch.split(genomes, sizes, dim=1), shapes, strict=True):
        tensors.append(part.reshape(len(genomes), *shape).contiguous())
    return tensors

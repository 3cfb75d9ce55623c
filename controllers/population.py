"""Many agents of one controller side by side: a population of weights, or one set of weights in many episodes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.utils._pytree import tree_map

from .core import Controller, State


class Population:
    """`n` agents behind numpy: ``action, state = population(observation, state)``.

    Every agent has weights of its own in memory order, one row each, even where the weights are equal: only then
    does an agent act bit for bit alike whatever stands beside it (facts/integration.md 0.5). A plastic
    controller (``pure = False``) is called on the whole batch instead.

    Args:
        controller: what acts; its own weights where no genomes are given.
        n: number of agents.
        genomes: flat weights (p, parameters), p dividing `n`; agent a acts with row ``a // (n / p)``.
    """

    def __init__(self, controller: Controller, n: int, genomes: Tensor | None = None) -> None:
        self.controller, self.n = controller, n
        names = [(name, p.shape) for name, p in controller.named_parameters()]
        if genomes is None:
            rows = {name: p.detach().expand(n, *p.shape) for name, p in controller.named_parameters()}
        else:
            rows = dict(zip([name for name, _ in names], unflatten(genomes, [s for _, s in names]), strict=True))
            rows = {name: values.repeat_interleave(n // len(genomes), 0) for name, values in rows.items()}
        buffers = dict(controller.named_buffers())

        def act(weights: dict[str, Tensor], observation: Any, state: State) -> tuple[Tensor, State]:
            return functional_call(controller, {**weights, **buffers}, (observation, state))

        self._rows, self._act = rows, vmap(act) if rows and controller.pure else None

    def initial_state(self) -> State:
        """States of all agents at the start of an episode."""
        return self.controller.initial_state(self.n)

    @torch.no_grad()
    def __call__(self, observation: Any, state: State) -> tuple[np.ndarray, State]:
        """Actions (n, m) and next states from observations (n, k), or a dict of them."""
        seen = tree_map(torch.as_tensor, observation)
        if self._act is None:
            action, state = self.controller(seen, state)
            return action.numpy(), state
        action, state = self._act(self._rows, tree_map(_unsqueeze, seen), tree_map(_unsqueeze, state))
        return action.squeeze(1).numpy(), tree_map(_squeeze, state)


def _unsqueeze(x: Tensor) -> Tensor:
    return x.unsqueeze(1)


def _squeeze(x: Tensor) -> Tensor:
    return x.squeeze(1)


def unflatten(genomes: Tensor, shapes: list[torch.Size]) -> list[Tensor]:
    """Flat weights (p, parameters) as one tensor (p, *shape) a shape."""
    sizes = [math.prod(shape) for shape in shapes]
    parts = torch.split(genomes, sizes, dim=1)
    return [part.reshape(len(genomes), *shape).contiguous() for part, shape in zip(parts, shapes, strict=True)]

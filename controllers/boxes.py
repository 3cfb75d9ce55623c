"""Observation and action boxes as controllers read them: their sizes, names and ranges, and actions within them."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from ..errors import LanceletError
from .core import Observation


def box(space: spaces.Space, who: str, what: str) -> int:
    """Length of a one-dimensional Box.

    Args:
        space: the space to read.
        who: name of the controller, for the error.
        what: which of its spaces this is, for the error: "the action space".

    Raises:
        LanceletError: `space` is anything else.
    """
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise LanceletError(f"{who} cannot read {what} {space}: needs a one-dimensional Box")
    return space.shape[0]


def input_names(space: spaces.Space, who: str) -> list[str]:
    """Names, for lesions, of the numbers that `flatten` gives.

    They are ``1``, ``2``, ... for a Box; for a Dict, ``KEY:1``, ``KEY:2``, ... in the order of its keys.

    Args:
        space: a one-dimensional Box, or a Dict of such, however deep.
        who: name of the controller, for the error.

    Raises:
        LanceletError: `space` is anything else.
    """
    if not isinstance(space, spaces.Dict):
        size = box(space, who, "the observation space")
        return [str(number) for number in range(1, size + 1)]
    names = []
    for key in sorted(space):
        names += [f"{key}:{name}" for name in input_names(space[key], who)]
    return names


def flatten(observation: Observation, space: spaces.Space) -> Tensor:
    """An observation (..., k), or a dict of such in the order of its keys, as one tensor (..., size)."""
    if not isinstance(space, spaces.Dict):
        return observation
    parts = [flatten(observation[key], space[key]) for key in sorted(space)]
    return torch.cat(parts, dim=-1)


def half_ranges(space: spaces.Box) -> np.ndarray:
    """Half the range of every action, flat, float64; 1 where a bound is missing."""
    low = np.asarray(space.low, np.float64).ravel()
    high = np.asarray(space.high, np.float64).ravel()
    is_bounded = np.isfinite(low) & np.isfinite(high)
    finite_low = np.where(is_bounded, low, 0)
    finite_high = np.where(is_bounded, high, 0)
    # Halved before they are subtracted: the range of two large bounds is infinite.
    half_range = finite_high / 2 - finite_low / 2
    return np.where(is_bounded, half_range, 1.0)


def is_unit(space: spaces.Space) -> bool:
    """Whether every action runs from -1 to 1."""
    if not isinstance(space, spaces.Box):
        return False
    return bool((space.low == -1).all() and (space.high == 1).all())


UNITS_BESIDE_ONE_BOUND = 2
"""width of the span of an action that has one bound alone"""


def _finite_bounds(space: spaces.Box) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest actions, float64, with what stands for bounds that are missing: see `Span`."""
    box_low = np.asarray(space.low, np.float64)
    box_high = np.asarray(space.high, np.float64)
    low_without_bound = np.where(np.isfinite(box_high), box_high - UNITS_BESIDE_ONE_BOUND, -1.0)
    low = np.where(np.isfinite(box_low), box_low, low_without_bound)
    high = np.where(np.isfinite(box_high), box_high, low + UNITS_BESIDE_ONE_BOUND)
    return low, high


class Span(nn.Module):
    """Numbers in [-1, 1] stretched over the action box, low to high.

    An action with one bound spans the two units beside it; an action without bounds stays in [-1, 1]. Where the box
    is [-1, 1] already, nothing is computed.

    Args:
        space: one-dimensional Box.
        stretches: False: leave every number in [-1, 1], whatever the box.
    """

    centre: Tensor
    """(m,) action that 0 becomes"""
    half_range: Tensor
    """(m,) by which 1 and -1 lie beside the centre"""
    low: Tensor
    """(m,) action that -1 becomes"""
    high: Tensor
    """(m,) action that 1 becomes"""

    def __init__(self, space: spaces.Box, stretches: bool = True) -> None:
        super().__init__()
        self._is_identity = not stretches or is_unit(space)
        low, high = _finite_bounds(space)
        # Halved before they are added: the sum of two large bounds is infinite.
        self._add_buffer("centre", low / 2 + high / 2)
        self._add_buffer("half_range", half_ranges(space))
        self._add_buffer("low", low)
        self._add_buffer("high", high)

    def _add_buffer(self, name: str, values: np.ndarray) -> None:
        """Keep `values` in the type of the weights; they are not saved, since they follow from the space."""
        tensor = torch.as_tensor(values, dtype=torch.get_default_dtype())
        self.register_buffer(name, tensor, persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """Actions (..., m) within the box."""
        if self._is_identity:
            return values
        # Clamped, since the sum may be rounded to a number just beyond the bound.
        return (self.centre + self.half_range * values).clamp(self.low, self.high)

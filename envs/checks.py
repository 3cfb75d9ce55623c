"""Numbers that tasks are given, checked: one line that names the field, its value and its range."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..checks import number_within
from ..errors import LanceletError


def within(name: str, value: Any, low: float, high: float, unit: str) -> None:
    """Refuse what is not a number from `low` to `high`."""
    if not number_within(value, low, high):
        raise LanceletError(f"{name} = {value!r}: must be from {low:g} to {high:g} ({unit})")


def reset_option(
    name: str, given: Any, shape: tuple[int, ...], low: float, high: float
) -> np.ndarray:
    """A reset option as `shape` = (n, ...), from that or one entry for all; refused beyond `low` to `high`."""
    try:
        values = np.broadcast_to(np.asarray(given, float), shape)
    except (ValueError, TypeError) as error:
        one = f"({', '.join(map(str, shape[1:]))},)" if shape[1:] else "one number"
        raise LanceletError(
            f"options[{name!r}] has shape {np.shape(given)}: must be {one} or {shape}"
        ) from error
    if not (np.isfinite(values).all() and (values >= low).all() and (values <= high).all()):
        raise LanceletError(f"options[{name!r}] = {given!r}: must be from {low:g} to {high:g}")
    return values

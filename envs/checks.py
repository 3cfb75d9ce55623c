"""Numbers that tasks are given, checked: one line that names the field, its value and its range."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..checks import number_within
from ..errors import LanceletError


def within(name: str, value: Any, low: float, high: float, unit: str) -> None:
    """Refuse a field that is no number from `low` to `high`.

    Args:
        name: of the field, for the error.
        value: what was given for it.
        low: the lowest number that is allowed.
        high: the highest number that is allowed.
        unit: of the number, for the error.

    Raises:
        LanceletError: it is no number, or outside the range.
    """
    if not number_within(value, low, high):
        raise LanceletError(f"{name} = {value!r}: must be from {low:g} to {high:g} ({unit})")


def reset_option(
    name: str, given: Any, shape: tuple[int, ...], low: float, high: float
) -> np.ndarray:
    """A reset option as an array with one entry a simulation.

    Args:
        name: key of ``reset(options=)``, for the error.
        given: one entry for all simulations, or one each.
        shape: (n, ...) of the array.
        low: the lowest number that is allowed.
        high: the highest number that is allowed.

    Returns:
        The array; it may share its memory between rows, and is not to be written to.

    Raises:
        LanceletError: another shape, no numbers, or numbers outside the range.
    """
    try:
        values = np.broadcast_to(np.asarray(given, float), shape)
    except (ValueError, TypeError) as error:
        entry = shape[1:]
        one_entry = f"({', '.join(map(str, entry))},)" if entry else "one number"
        raise LanceletError(
            f"options[{name!r}] has shape {np.shape(given)}: must be {one_entry} or {shape}"
        ) from error
    inside = np.isfinite(values) & (values >= low) & (values <= high)
    if not inside.all():
        raise LanceletError(f"options[{name!r}] = {given!r}: must be from {low:g} to {high:g}")
    return values


def finite_reset_option(name: str, given: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A reset option of finite numbers, such as a start state, as an array with one row a simulation.

    Args:
        name: key of ``reset(options=)``, for the error.
        given: one row for all simulations, or one each.
        shape: (n, k) of the array.

    Returns:
        The array; it may share its memory between rows, and is not to be written to.

    Raises:
        LanceletError: another shape, or a number that is not finite.
    """
    try:
        values = np.broadcast_to(np.asarray(given, float), shape)
    except ValueError as error:
        raise LanceletError(
            f"options[{name!r}] has shape {np.shape(given)}: must be {shape[1:]} or {shape}"
        ) from error
    if not np.isfinite(values).all():
        raise LanceletError(f"options[{name!r}] holds a number that is not finite")
    return values

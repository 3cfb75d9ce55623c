"""Checks of options: each gives the value back as a plain Python one, or raises what is right.

Numbers of numpy are numbers: they come from ``linspace``, ``arange``, a shape or a generator. What
a check gives back is the Python number, so that a file of a run never holds an object of numpy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .errors import LanceletError

LARGEST_SEED = 2**64 - 1
"""torch's generators take no larger seed; those of numpy do"""


def plain(value: Any) -> Any:
    """`value` without objects of numpy, however deep they lie: scalars as Python's, arrays as tuples.

    Everything else is handed back as it is; a list stays a list, and a tuple a tuple.
    """
    if isinstance(value, np.ndarray):
        return _nested_tuple(value.tolist())
    if isinstance(value, np.generic):
        return value.item()
    if type(value) is dict:
        return {plain(key): plain(item) for key, item in value.items()}
    if type(value) is list:
        return [plain(item) for item in value]
    if type(value) is tuple:
        return tuple(plain(item) for item in value)
    return value


def whole_number(name: str, value: Any, least: int | None = None, most: int | None = None) -> int:
    """`value` as an `int`.

    Args:
        name: of the option, for the error.
        value: what was given for it.
        least: the lowest number that is allowed; None: there is none.
        most: the highest number that is allowed; None: there is none.

    Raises:
        LanceletError: it is no whole number (a bool is none, nor is 3.0), or one outside the range.
    """
    number = plain(value)
    rule = "a whole number" + _closed_range(least, most)
    if isinstance(number, bool) or not isinstance(number, int):
        raise _wrong_type(name, number, rule)
    if (least is not None and number < least) or (most is not None and number > most):
        raise LanceletError(f"{name} = {number}: must be {rule}")
    return number


def finite_number(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    unit: str = "",
) -> float:
    """`value` as a finite `int` or `float`.

    Args:
        name: of the option, for the error.
        value: what was given for it.
        least: the lowest number that is allowed.
        above: the number must be higher than this one.
        most: the highest number that is allowed.
        below: the number must be lower than this one.
        unit: of the number, for the error.

    Raises:
        LanceletError: it is no number (a bool is none), not finite, or outside the range.
    """
    number = plain(value)
    rule = "a finite number" + _range(least, above, most, below)
    if unit:
        rule += f" ({unit})"
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise _wrong_type(name, number, rule)
    inside = (
        math.isfinite(number)
        and (least is None or number >= least)
        and (above is None or number > above)
        and (most is None or number <= most)
        and (below is None or number < below)
    )
    if not inside:
        raise LanceletError(f"{name} = {number}: must be {rule}")
    return number


def seed_number(value: Any, name: str = "seed") -> int:
    """`value` as a seed that every generator takes: an `int` from 0 to `LARGEST_SEED`.

    Raises:
        LanceletError: it is none.
    """
    number = plain(value)
    rule = "a whole number from 0 to 2**64 - 1"
    if isinstance(number, bool) or not isinstance(number, int):
        raise _wrong_type(name, number, rule)
    if not 0 <= number <= LARGEST_SEED:
        raise LanceletError(f"{name} = {number}: must be {rule}")
    return number


def true_or_false(name: str, value: Any) -> bool:
    """`value` as a `bool`.

    Raises:
        LanceletError: it is none; numbers are none, since 0.5 would pass for "yes".
    """
    flag = plain(value)
    if not isinstance(flag, bool):
        raise _wrong_type(name, flag, "True or False")
    return flag


def _nested_tuple(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_nested_tuple(item) for item in value)
    return value


def _wrong_type(name: str, value: Any, rule: str) -> LanceletError:
    return LanceletError(f"{name} = {value!r} (of type {type(value).__name__}): must be {rule}")


def _closed_range(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f" from {least} to {most}"
    if least is not None:
        return f", {least} or more"
    if most is not None:
        return f", {most} or less"
    return ""


def _range(
    least: float | None,
    above: float | None,
    most: float | None,
    below: float | None,
) -> str:
    """The range in words."""
    if above is None and below is None:
        return _closed_range(least, most)
    words = []
    if least is not None:
        words.append(f"at least {least}")
    if above is not None:
        words.append(f"above {above}")
    if most is not None:
        words.append(f"at most {most}")
    if below is not None:
        words.append(f"below {below}")
    return " " + " and ".join(words)

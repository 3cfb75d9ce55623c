"""Checks of options: each gives the value back as a plain Python one, or raises what is right.

Numbers of numpy are numbers: they come from ``linspace``, ``arange``, a shape or a generator. What
a check gives back is the Python number, so that a file of a run never holds an object of numpy.
"""

from __future__ import annotations

import dataclasses
import math
import os
import types
from collections.abc import Callable
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from .errors import LanceletError, unknown

LARGEST_SEED = 2**64 - 1
"""torch's generators take no larger seed; those of numpy do"""


def plain(value: Any) -> Any:
    """`value` without objects of numpy, however deep they lie: scalars as Python's, arrays as tuples.

    Everything else is handed back as it is; a list stays a list, and a tuple a tuple.
    """
    if isinstance(value, np.ndarray):
        return _nested_tuple(value.tolist())
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()  # a scalar of numpy or of torch
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


def number_within(value: Any, low: float, high: float) -> bool:
    """Whether `value` is a finite number, and no bool, from `low` to `high`."""
    number = plain(value)
    return _is_finite(number) and low <= number <= high


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


def check_fields(options: Any) -> None:
    """Make the fields of a dataclass plain values of the types that they are declared with.

    Numbers must be finite. Types other than numbers, flags, text, choices (`Literal`), tuples and
    unions of these are not looked at.

    Raises:
        LanceletError: a value is of another type than its field.
    """
    try:
        kinds = get_type_hints(type(options))
    except NameError:  # a class of a user's that is declared with names which exist there only
        kinds = {}
    for field in dataclasses.fields(options):
        value = plain(getattr(options, field.name))
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        kind = kinds.get(field.name, Any)
        if not _is_of(value, kind):
            if get_origin(kind) is Literal:
                raise unknown(field.name, value, get_args(kind))
            raise _wrong_type(field.name, value, _in_words(kind))
        if type(value) is list:  # of JSON or YAML, where a tuple is meant
            value = tuple(value)
        object.__setattr__(options, field.name, value)


def _is_of(value: Any, kind: Any) -> bool:
    """Whether `value` is one of type `kind`; True for kinds that `check_fields` does not look at."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return any(_is_of(value, member) for member in get_args(kind))
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in get_args(kind))
    if origin is tuple:
        return isinstance(value, tuple | list) and _are_of(value, get_args(kind))
    known = _OF_TYPE.get(kind)
    return known is None or known(value)


def _are_of(values: tuple[Any, ...] | list[Any], kinds: tuple[Any, ...]) -> bool:
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return all(_is_of(value, kinds[0]) for value in values)
    if len(values) != len(kinds):
        return False
    return all(_is_of(value, kind) for value, kind in zip(values, kinds, strict=True))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


_OF_TYPE: dict[Any, Callable[[Any], bool]] = {
    bool: lambda value: isinstance(value, bool),
    int: _is_whole,
    float: _is_finite,
    str: lambda value: isinstance(value, str),
    type(None): lambda value: value is None,
}
_WORDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a finite number",
    str: "text",
    type(None): "None",
}


def _in_words(kind: Any) -> str:
    """What a value of type `kind` is, for an error."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(_in_words(member) for member in get_args(kind))
    if origin is Literal:
        return " or ".join(map(str, get_args(kind)))
    if origin is tuple:
        members = get_args(kind)
        if len(members) == 2 and members[1] is Ellipsis:
            return f"a list, each of it {_in_words(members[0])}"
        return f"a list of {len(members)}: " + ", ".join(map(_in_words, members))
    return _WORDS.get(kind, str(kind))


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

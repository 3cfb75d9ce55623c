"""Checks of options: the one module that says whether a value given by a user or a file is right.

Every check takes the name of the option and the value. It returns the value as a plain Python object, or raises
`LanceletError` with one line that names the option, the value and the rule: ``joints = 0: must be a whole number from
1 to 200``.

=====================  ====================================================================
what is wanted         check
=====================  ====================================================================
a count                `whole_number`, and `whole_numbers` for a tuple of them
a quantity             `finite_number`
a seed                 `seed_number`
fields of a dataclass  `check_fields`, for their types
=====================  ====================================================================

`number_within` only asks, for callers whose message says more than these do.

Numbers of numpy are numbers: they come from ``linspace``, ``arange``, a shape or a generator. A check returns the
Python number, so that a file of a run never holds an object of numpy.
"""

from __future__ import annotations

import dataclasses
import math
import os
import types
from collections.abc import Callable, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from .errors import LanceletError, unknown

LARGEST_SEED = 2**64 - 1
"""The generators of torch take no larger seed; those of numpy do."""


# Plain values


def plain(value: Any) -> Any:
    """Return `value` without objects of numpy, however deep they lie.

    Scalars of numpy and torch become numbers of Python, and arrays become tuples. Everything else is returned as it
    is; a list stays a list, and a tuple a tuple.
    """
    if isinstance(value, np.ndarray):
        return _nested_tuple(value.tolist())
    is_scalar = hasattr(value, "item") and getattr(value, "ndim", None) == 0
    if is_scalar:
        return value.item()
    if type(value) is dict:
        return {plain(key): plain(item) for key, item in value.items()}
    if type(value) is list:
        return [plain(item) for item in value]
    if type(value) is tuple:
        return tuple(plain(item) for item in value)
    return value


def _nested_tuple(value: Any) -> Any:
    """Turn nested lists into nested tuples."""
    if isinstance(value, list):
        return tuple(_nested_tuple(item) for item in value)
    return value


# One value


def whole_number(name: str, value: Any, least: int | None = None, most: int | None = None) -> int:
    """Return `value` as an `int`.

    Args:
        name: name of the option, for the error.
        value: what was given for it.
        least: the lowest number that is allowed; None: there is none.
        most: the highest number that is allowed; None: there is none.

    Raises:
        LanceletError: `value` is no whole number (a bool is none, nor is 3.0), or is outside the range.
    """
    number = plain(value)
    rule = "a whole number" + _closed_range(least, most)
    if not _is_whole(number):
        raise _wrong_type(name, number, rule)
    if not _is_inside(number, least=least, most=most):
        raise _wrong_value(name, number, rule)
    return number


def whole_numbers(
    name: str,
    value: Any,
    least: int | None = None,
    most: int | None = None,
) -> tuple[int, ...]:
    """Return a tuple or list of whole numbers as a tuple of `int`.

    Args:
        name: name of the option, for the error.
        value: what was given for it; it may be empty.
        least: the lowest number that is allowed; None: there is none.
        most: the highest number that is allowed; None: there is none.

    Raises:
        LanceletError: `value` is no tuple or list, or one of its items is no whole number of the range.
    """
    numbers = plain(value)
    rule = "whole numbers" + _closed_range(least, most) + " each"
    if not isinstance(numbers, tuple | list):
        raise _wrong_type(name, numbers, rule)
    for number in numbers:
        if not (_is_whole(number) and _is_inside(number, least=least, most=most)):
            raise _wrong_value(name, numbers, rule)
    return tuple(numbers)


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
    """Return `value` as a finite `int` or `float`.

    Args:
        name: name of the option, for the error.
        value: what was given for it.
        least: the lowest number that is allowed.
        above: the number must be higher than this one.
        most: the highest number that is allowed.
        below: the number must be lower than this one.
        unit: unit of the number, for the error.

    Raises:
        LanceletError: `value` is no number (a bool is none), not finite, or outside the range.
    """
    number = plain(value)
    rule = "a finite number" + _range(least=least, above=above, most=most, below=below)
    if unit:
        rule += f" ({unit})"
    if not _is_number(number):
        raise _wrong_type(name, number, rule)
    is_inside = _is_inside(number, least=least, above=above, most=most, below=below)
    if not (math.isfinite(number) and is_inside):
        raise _wrong_value(name, number, rule)
    return number


def number_within(value: Any, low: float, high: float) -> bool:
    """Whether `value` is a finite number, and no bool, from `low` to `high`."""
    number = plain(value)
    return _is_finite(number) and low <= number <= high


def seed_number(value: Any, name: str = "seed") -> int:
    """Return `value` as a seed that every generator takes: an `int` from 0 to `LARGEST_SEED`.

    Raises:
        LanceletError: `value` is no whole number, or is outside that range.
    """
    number = plain(value)
    rule = "a whole number from 0 to 2**64 - 1"
    if not _is_whole(number):
        raise _wrong_type(name, number, rule)
    if not _is_inside(number, least=0, most=LARGEST_SEED):
        raise _wrong_value(name, number, rule)
    return number


# Fields of a dataclass


def check_fields(options: Any) -> None:
    """Check that the fields of a dataclass have the types that they are declared with.

    The fields are set to plain values, in a frozen dataclass too. Numbers must be finite. Types other than numbers,
    flags, text, choices (`Literal`), tuples and unions of these are not looked at.

    Raises:
        LanceletError: a value is of another type than its field.
    """
    try:
        kinds = get_type_hints(type(options))
    except NameError:
        # A class of a user's may be declared with names that exist only where it was declared.
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
        if type(value) is list:
            # JSON and YAML have lists only, where a tuple is meant.
            value = tuple(value)
        object.__setattr__(options, field.name, value)


def _is_of(value: Any, kind: Any) -> bool:
    """Whether `value` is one of type `kind`; True for types that `check_fields` does not look at."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return any(_is_of(value, member) for member in get_args(kind))
    if origin is Literal:
        # 1 == True == 1.0: only equal types make an equal choice.
        return any(type(value) is type(choice) and value == choice for choice in get_args(kind))
    if origin is tuple:
        return isinstance(value, tuple | list) and _are_of(value, get_args(kind))
    simple = _SIMPLE_TYPES.get(kind)
    return simple is None or simple.contains(value)


def _are_of(values: Sequence[Any], kinds: tuple[Any, ...]) -> bool:
    """Whether `values` fit the types of a tuple: ``(int, ...)``, or one type an item."""
    if _is_of_any_length(kinds):
        return all(_is_of(value, kinds[0]) for value in values)
    if len(values) != len(kinds):
        return False
    return all(_is_of(value, kind) for value, kind in zip(values, kinds, strict=True))


def _is_of_any_length(kinds: tuple[Any, ...]) -> bool:
    """Whether the types of a tuple are those of ``tuple[int, ...]``."""
    return len(kinds) == 2 and kinds[1] is Ellipsis


def _is_whole(value: Any) -> bool:
    """Whether `value` is an `int`; a bool is none here, though Python counts it as one."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    """Whether `value` is an `int` or a `float`, be it finite or not."""
    return _is_whole(value) or isinstance(value, float)


def _is_finite(value: Any) -> bool:
    """Whether `value` is a finite `int` or `float`."""
    return _is_number(value) and math.isfinite(value)


@dataclasses.dataclass(frozen=True)
class _SimpleType:
    """A type that a field may be declared with."""

    contains: Callable[[Any], bool]
    """whether a value is one of this type"""
    words: str
    """what such a value is, for an error"""


_SIMPLE_TYPES: dict[Any, _SimpleType] = {
    bool: _SimpleType(lambda value: isinstance(value, bool), "True or False"),
    int: _SimpleType(_is_whole, "a whole number"),
    float: _SimpleType(_is_finite, "a finite number"),
    str: _SimpleType(lambda value: isinstance(value, str), "text"),
    type(None): _SimpleType(lambda value: value is None, "None"),
}


# Ranges and errors in words


def _in_words(kind: Any) -> str:
    """What a value of type `kind` is, for an error."""
    origin = get_origin(kind)
    members = get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(_in_words(member) for member in members)
    if origin is Literal:
        return " or ".join(str(choice) for choice in members)
    if origin is tuple:
        if _is_of_any_length(members):
            return f"a list, each of it {_in_words(members[0])}"
        return f"a list of {len(members)}: " + ", ".join(_in_words(member) for member in members)
    simple = _SIMPLE_TYPES.get(kind)
    if simple is None:
        return str(kind)
    return simple.words


def _wrong_type(name: str, value: Any, rule: str) -> LanceletError:
    """The error for a value of a wrong type."""
    return LanceletError(f"{name} = {value!r} (of type {type(value).__name__}): must be {rule}")


def _wrong_value(name: str, value: Any, rule: str) -> LanceletError:
    """The error for a value of the right type that is outside its range."""
    return LanceletError(f"{name} = {value}: must be {rule}")


def _is_inside(
    number: float,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> bool:
    """Whether `number` is within the limits that are given; NaN is within none."""
    if least is not None and not number >= least:
        return False
    if above is not None and not number > above:
        return False
    if most is not None and not number <= most:
        return False
    return below is None or number < below


def _range(
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> str:
    """A range in words that follow "a number": " above 0 and at most 1"."""
    if above is None and below is None:
        return _closed_range(least, most)
    limits = []
    if least is not None:
        limits.append(f"at least {least}")
    if above is not None:
        limits.append(f"above {above}")
    if most is not None:
        limits.append(f"at most {most}")
    if below is not None:
        limits.append(f"below {below}")
    return " " + " and ".join(limits)


def _closed_range(least: float | None, most: float | None) -> str:
    """A range whose ends belong to it, in words that follow "a number": " from 1 to 200" or ", 1 or more"."""
    if least is not None and most is not None:
        return f" from {least} to {most}"
    if least is not None:
        return f", {least} or more"
    if most is not None:
        return f", {most} or less"
    return ""

"""YAML and JSON from somebody else: only plain values, and no more of them than a limit.

A text of a kilobyte may stand for billions of values, since aliases of YAML share what they stand for, and a text of
brackets may be nested deeper than Python's stack. Both are refused in one line.
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from .errors import LanceletError, first_line

PLAIN_VALUES = 1_000_000
"""values in one YAML or JSON text; an alias counts as often as it stands for something"""
PLAIN_CHARACTERS = 64 * 1024 * 1024
"""characters of all texts in one YAML or JSON text together; aliases count likewise"""
PLAIN_DEPTH = 64
"""levels of lists and objects in one another"""
PLAIN_INTEGER_BITS = 128
"""bits of the largest whole number"""
SHOWN_OF_A_KEY = 40
"""characters of a wrong key that the error shows"""


def parse_yaml(text: str, source: str, by_hand: bool = False) -> Any:
    """The plain values in a YAML text, as `plain_values` returns them.

    Args:
        text: YAML with one document.
        source: where the text comes from, for the error: a path, or words.
        by_hand: a person wrote the text, who means a number by ``1e-3``. In YAML 1.1 that is text, and a hash in a
            file of ours may look like it.

    Raises:
        LanceletError: the text is no YAML, or holds values that are not plain.
    """
    loader_class = _HandwrittenLoader if by_hand else _PlainLoader
    try:
        value = loader_class(text).get_single_data()
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise LanceletError(
            f"{source} is not YAML, or is cut short: {first_line(error)}"
        ) from error
    return plain_values(value, source)


def parse_json(text: str | bytes, source: str) -> Any:
    """The plain values in a JSON text, as `plain_values` returns them.

    Args:
        text: JSON, as text or as bytes in UTF-8.
        source: where the text comes from, for the error: a path, or words.

    Raises:
        LanceletError: the text is no JSON, or holds values that are too deep, too many or too large.
    """
    try:
        value = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise LanceletError(f"{source} is not JSON: {first_line(error)}") from error
    return plain_values(value, source)


def plain_values(value: Any, source: str) -> Any:
    """A copy of `value` in which nothing is shared: dicts, lists, texts, numbers, flags and None only.

    Args:
        value: what a parser of YAML or JSON returned. It may hold the same list twice, or a list that holds itself.
        source: where the value comes from, for the error: a path, or words.

    Raises:
        LanceletError: a value of another type, more than `PLAIN_VALUES`, `PLAIN_CHARACTERS` or `PLAIN_DEPTH`, or a
            whole number beyond `PLAIN_INTEGER_BITS`.
    """
    return _PlainCopy(source).copy(value, depth=0)


class _PlainCopy:
    """Copies one parsed text and counts what it copies, so that aliases are paid for every time."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.values_left = PLAIN_VALUES
        self.characters_left = PLAIN_CHARACTERS

    def copy(self, value: Any, depth: int) -> Any:
        """A copy of `value`, which lies below `depth` lists and objects."""
        self.values_left -= 1
        if self.values_left < 0:
            raise LanceletError(f"{self.source} stands for more than {PLAIN_VALUES:,} values")
        # A list that holds itself ends here too: it is endlessly deep.
        if depth > PLAIN_DEPTH:
            raise LanceletError(f"{self.source} is nested more than {PLAIN_DEPTH} levels deep")
        # Before the whole numbers, since a bool is an int.
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            return self._checked_integer(value)
        if isinstance(value, str):
            return self._counted_text(value)
        if isinstance(value, list):
            return [self.copy(item, depth + 1) for item in value]
        if isinstance(value, dict):
            return self._copied_dict(value, depth)
        raise LanceletError(
            f"{self.source} holds a value of type {type(value).__name__}: only plain ones are read"
        )

    def _checked_integer(self, number: int) -> int:
        """`number`, if it is not longer than is allowed."""
        if number.bit_length() > PLAIN_INTEGER_BITS:
            raise LanceletError(
                f"{self.source} holds a whole number of more than {PLAIN_INTEGER_BITS} bits"
            )
        return number

    def _counted_text(self, text: str) -> str:
        """`text`, once its characters are counted."""
        self.characters_left -= len(text)
        if self.characters_left < 0:
            raise LanceletError(
                f"{self.source} stands for more than {PLAIN_CHARACTERS:,} characters"
            )
        return text

    def _copied_dict(self, mapping: dict[Any, Any], depth: int) -> dict[str, Any]:
        """A copy of `mapping`, whose keys must be texts; a key counts as a value."""
        copied = {}
        for key, item in mapping.items():
            if not isinstance(key, str):
                shown_key = str(key)[:SHOWN_OF_A_KEY]
                raise LanceletError(f"{self.source} has a key that is no text: {shown_key!r}")
            name = self.copy(key, depth=0)
            copied[name] = self.copy(item, depth + 1)
        return copied


class _PlainLoader(yaml.SafeLoader):
    """A SafeLoader without merge keys, which multiply what aliases stand for, and without dates."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse ``<<``, which no file of ours has."""
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, "merge keys (<<) are not read", key.start_mark
                )

    def construct_yaml_timestamp(self, node: yaml.ScalarNode) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Keep a date as the text that it was."""
        return str(self.construct_scalar(node))


_PlainLoader.add_constructor("tag:yaml.org,2002:timestamp", _PlainLoader.construct_yaml_timestamp)


class _HandwrittenLoader(_PlainLoader):
    """The loader with the numbers of YAML 1.2 beside those of 1.1: an exponent needs no dot and no sign."""


_HandwrittenLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)

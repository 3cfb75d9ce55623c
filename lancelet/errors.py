"""The exception for what a user can mend, the warning beside it, and how both are put into one line."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable

NEAR_NAMES = 3
"""names that an error proposes in place of an unknown one, at most"""
LEAST_SIMILARITY = 0.5
"""similarity from 0 to 1 (`difflib`) from which a known name is near to the one that was given"""


class LanceletError(ValueError):
    """Something the user can mend: one line that names the field, the value and what would be right."""


class LanceletWarning(UserWarning):
    """Something the user should know before trusting a result: one line."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message; the name of its class where it has none."""
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    return lines[0]


def warn(text: str) -> None:
    """Tell the user `text`; commands print it as one line on stderr."""
    # The warning belongs to the line that called our caller: that is where its reason lies.
    warnings.warn(text, LanceletWarning, stacklevel=3)


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: handled as Ctrl-C is, but with an exit status of its own."""


def unknown(kind: str, name: object, known: Iterable[str]) -> LanceletError:
    """The error for a name that is not among `known`: it lists near names, or all of them where none is near.

    Args:
        kind: what the name is of, for the error: "task".
        name: the name that was given.
        known: the names that exist.
    """
    known_names = sorted(str(known_name) for known_name in known)
    near_names = difflib.get_close_matches(
        str(name), known_names, n=NEAR_NAMES, cutoff=LEAST_SIMILARITY
    )
    if near_names:
        hint = f"did you mean {' or '.join(near_names)}?"
    elif known_names:
        hint = f"known: {', '.join(known_names)}"
    else:
        hint = "known: none"
    return LanceletError(f"unknown {kind} {name!r}; {hint}")


def check_names(kind: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse names that do not exist.

    Args:
        kind: what the names are of, for the error: "option of task swim".
        given: the names to be checked.
        known: the names that exist.

    Raises:
        LanceletError: the first of `given` that is not among `known`; near names are listed.
    """
    known_names = list(known)
    for name in given:
        if name not in known_names:
            raise unknown(kind, name, known_names)

"""The exception for what a user can mend with the near names it carries, and the warning beside it."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable


class LanceletError(ValueError):
    """Something the user can mend: one line that names the field, the value and what would be right."""


class LanceletWarning(UserWarning):
    """Something the user should know before trusting a result: one line."""


def warn(text: str) -> None:
    """Tell the user `text`; commands print it as one line on stderr."""
    warnings.warn(text, LanceletWarning, stacklevel=3)


class Terminated(KeyboardInterrupt):
    """SIGTERM, handled as Ctrl-C is."""


def unknown(kind: str, name: object, known: Iterable[str]) -> LanceletError:
    """The error for a name that is not among `known`: near names first, else all of them."""
    names = sorted(map(str, known))
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names) or 'none'}"
    return LanceletError(f"unknown {kind} {name!r}; {hint}")


def check_names(kind: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise `unknown` for the first of `given` that is not among `known`."""
    known = list(known)
    for name in given:
        if name not in known:
            raise unknown(kind, name, known)

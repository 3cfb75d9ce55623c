"""Where worker processes find modules: what this process finds beside Python's own, and always behind it.

A folder in front of the standard library is a trap: a file there that is called `random.py` or `types.py` is what
Python itself imports, and a worker that starts in such a folder dies before it has read a line of ours.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

SAFE_PATH = "PYTHONSAFEPATH"
"""variable with which Python keeps the present folder out of the front of its path"""
_OURS = "lancelet"
"""its value where we set it: any text that is not empty does"""


def own_paths() -> list[str]:
    """Folders in which this process finds modules, without those that belong to Python's installation."""
    # "" stands for the present folder, and becomes its path.
    absolute = [os.path.abspath(path) for path in sys.path]
    own = [path for path in absolute if not path.startswith((sys.prefix, sys.base_prefix))]
    # Each once, in order.
    return list(dict.fromkeys(own))


def at_the_end(paths: list[str]) -> Callable[[], None]:
    """A function for the start of a Ray worker: `paths` become the last that modules are looked for in.

    The function is sent whole and not by its name, since the worker finds none of our modules before it has run.
    """

    def append() -> None:
        # Imported here: the worker has nothing of this module but this function.
        import sys

        sys.path.extend(path for path in paths if path not in sys.path)

    return append


@contextlib.contextmanager
def safe_path() -> Iterator[None]:
    """Python processes that are started inside look for modules in no folder but Python's own, at first.

    `multiprocessing` starts its processes with ``python -c``, which puts the present folder in front; later it gives
    them the path of this process.
    """
    if os.environ.get(SAFE_PATH):
        yield
        return
    os.environ[SAFE_PATH] = _OURS
    try:
        yield
    finally:
        os.environ.pop(SAFE_PATH, None)


def end_safe_path() -> None:
    """In a process that was started inside `safe_path`: its own children begin as the user's would."""
    if os.environ.get(SAFE_PATH) == _OURS:
        del os.environ[SAFE_PATH]

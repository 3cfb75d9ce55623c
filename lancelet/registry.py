"""Names for bodies, controllers and algorithms: a dictionary for each kind, whose objects load when first asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from .errors import LanceletError, unknown
from .optional import missing_extra


def load_object(target: str) -> Any:
    """Import the object that ``"module:name"`` stands for.

    Raises:
        LanceletError: there is no such module or name, or a package that it needs is not installed.
    """
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        missing = missing_extra(error)
        if missing is not None:
            raise missing from error
        raise LanceletError(f"cannot load {target!r}: {error}") from error
    except AttributeError as error:
        raise LanceletError(f"cannot load {target!r}: {error}") from error


def import_prefix(name: str, kind: str) -> tuple[str, str]:
    """Import the module in front of a name, which registers what is called so.

    Args:
        name: ``"module:name"``, or a name alone: then nothing is imported.
        kind: what the name is of, for the error: "task".

    Returns:
        The module ("" where there is none) and the name behind it.

    Raises:
        LanceletError: the module cannot be imported.
    """
    module, _, short_name = name.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise LanceletError(f"cannot import {module!r} for {kind} {name!r}: {error}") from error
    return module, short_name


class Registry:
    """Objects by name; in place of an object stands ``"module:name"`` until it is first asked for.

    Args:
        kind: what the objects are, for errors: "controller".
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._targets: dict[str, Any] = {}

    def register(self, name: str, target: Any) -> None:
        """Add `target`, an object or ``"module:name"``, under `name`; an equal name is replaced."""
        self._targets[name] = target

    def get(self, name: str) -> Any:
        """The object called `name`, which comes from the user; of ``"module:name"``, the module is imported first.

        Raises:
            LanceletError: the module cannot be imported, or there is no such name; near names are listed.
        """
        _, short_name = import_prefix(name, self.kind)
        return self.known(short_name)

    def known(self, name: str) -> Any:
        """The object registered under `name`.

        A name that comes from a file is looked up here only: it imports no module that was not registered.

        Raises:
            LanceletError: no such name; near names are listed.
        """
        target = self.target(name)
        if isinstance(target, str):
            loaded = load_object(target)
            self._targets[name] = loaded
            return loaded
        return target

    def target(self, name: str) -> Any:
        """What is registered under `name`, without loading it: the object, or ``"module:name"``.

        Raises:
            LanceletError: no such name; near names are listed.
        """
        if name not in self._targets:
            raise unknown(self.kind, name, self._targets)
        return self._targets[name]

    def name_of(self, target: Any) -> str:
        """The name that a class or function is registered under.

        Raises:
            LanceletError: it is not registered.
        """
        path = f"{target.__module__}:{target.__qualname__}"
        for name, registered in self._targets.items():
            is_loaded = registered is target
            is_the_path = registered == path
            if is_loaded or is_the_path:
                return name
        raise LanceletError(
            f"{self.kind} {target.__qualname__} is not registered: call register(name, {path!r}) first"
        )

    def __iter__(self) -> Iterator[str]:
        """Names in alphabetical order."""
        return iter(sorted(self._targets))

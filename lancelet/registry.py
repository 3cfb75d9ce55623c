"""Names for bodies, controllers and algorithms: one dictionary each, filled by strings so that nothing loads early."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from .errors import LanceletError, unknown


def load_object(target: str) -> Any:
    """The object that ``"module:name"`` stands for."""
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise LanceletError(f"cannot load {target!r}: {error}") from error


def import_prefix(name: str, kind: str) -> tuple[str, str]:
    """Split ``"module:name"`` and import the module, which registers what is called `name`; module "" is none."""
    module, _, short = name.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise LanceletError(f"cannot import {module!r} for {kind} {name!r}: {error}") from error
    return module, short


class Registry:
    """Name -> object, or the ``"module:name"`` string that leads to it (imported when first asked for)."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._targets: dict[str, Any] = {}

    def register(self, name: str, target: Any) -> None:
        """Add `target` under `name`; an equal name is replaced."""
        self._targets[name] = target

    def get(self, name: str) -> Any:
        """The object called `name`; ``"module:name"`` imports the module, which registers it, first."""
        return self.known(import_prefix(name, self.kind)[1])

    def known(self, name: str) -> Any:
        """The object registered under `name`: the look-up for names read from files, which must import nothing else."""
        if name not in self._targets:
            raise unknown(self.kind, name, self._targets)
        if isinstance(self._targets[name], str):
            self._targets[name] = load_object(self._targets[name])
        return self._targets[name]

    def name_of(self, target: Any) -> str:
        """The name that `target` is registered under."""
        path = f"{target.__module__}:{target.__qualname__}"
        for name, known in self._targets.items():
            if known is target or known == path:
                return name
        raise LanceletError(
            f"{self.kind} {target.__qualname__} is not registered: call register(name, {path!r}) first"
        )

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._targets))

"""The contract that every body keeps, and bodies as JSON (docs/design.md, "Body")."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import mujoco
import numpy as np

from ..checks import plain
from ..errors import LanceletError, check_names


class Body(ABC):
    """A frozen dataclass of physical parameters (SI units) that builds a model description.

    Building is deterministic and touches no global state; `build` is called once per body.
    """

    @abstractmethod
    def build(self) -> mujoco.MjSpec:
        """Make a new spec of this body alone: no goal, no medium of a task."""

    def positive(self, *names: str) -> None:
        """Refuse fields (numbers, or tuples of them) that are not finite or not above zero.

        Raises:
            LanceletError: one line that names the first such field.
        """
        self._finite(names, lambda number: number > 0, "> 0")

    def not_negative(self, *names: str) -> None:
        """Refuse fields (numbers, or tuples of them) that are not finite or below zero.

        Raises:
            LanceletError: one line that names the first such field.
        """
        self._finite(names, lambda number: number >= 0, ">= 0")

    def _finite(self, names: tuple[str, ...], fits: Callable[[float], bool], need: str) -> None:
        """Set fields to plain values of Python, and refuse those that are not finite or do not fit.

        Args:
            names: of the fields (numbers, or tuples of them).
            fits: whether a number keeps the rule.
            need: the rule, in words that follow "must be finite and".

        Raises:
            LanceletError: one line that names the first field that breaks the rule.
        """
        for name in names:
            value = plain(getattr(self, name))
            # The class is frozen. Scalars and arrays of numpy must not stay: they neither compare nor hash alike.
            object.__setattr__(self, name, value)
            numbers = value if isinstance(value, tuple) else (value,)
            for number in numbers:
                is_number = isinstance(number, int | float)
                if not (is_number and math.isfinite(number) and fits(number)):
                    raise LanceletError(
                        f"{type(self).__name__}.{name} = {value!r}: must be finite and {need}"
                    )


def quantity(
    default: float | tuple[float, ...],
    unit: str,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """A dataclass field with its unit and, where it is uncertain or may vary, its range.

    Args:
        default: the field's value, or values, if none are given.
        unit: of the value, as text; "1" for a number without one.
        low: least value of (each number of) it; None: the field has no range.
        high: largest value of (each number of) it.
    """
    metadata: dict[str, Any] = {"unit": unit}
    if low is not None:
        metadata["range"] = (low, high)
    return dataclasses.field(default=default, metadata=metadata)


def ranges(body: Body | type[Body]) -> dict[str, tuple[float, float]]:
    """Lower and upper bound of every field of a body that has a range."""
    fields = dataclasses.fields(body)  # pyright: ignore[reportArgumentType]
    return {field.name: field.metadata["range"] for field in fields if "range" in field.metadata}


def to_json(body: Body) -> dict[str, Any]:
    """The body as JSON values, with its registered name."""
    # Imported late: the registry of bodies stands in the package, which imports this file.
    from . import bodies

    fields = dataclasses.asdict(body)  # pyright: ignore[reportArgumentType]
    return {"name": bodies.name_of(type(body)), **plain(fields)}


def from_json(data: dict[str, Any]) -> Body:
    """The body that `to_json` described.

    Raises:
        LanceletError: no body is registered by that name, or it refuses the parameters.
    """
    # Imported late: the registry of bodies stands in the package, which imports this file.
    from . import bodies

    parameters = dict(data)
    name = str(parameters.pop("name", ""))
    # Names in files are looked up among the registered ones only: they never import a module.
    return create(bodies.known(name), parameters)


def create(cls: type[Body], parameters: Mapping[str, Any]) -> Body:
    """A body of class `cls`; lists become tuples.

    Raises:
        LanceletError: a parameter is unknown, or the body refuses its value.
    """
    arguments: dict[str, Any] = {}
    for name, value in plain(parameters).items():
        arguments[name] = tuple(value) if isinstance(value, list) else value
    known = [field.name for field in dataclasses.fields(cls)]  # pyright: ignore[reportArgumentType]
    check_names(f"parameter of body {cls.__name__}", arguments, known)
    return cls(**arguments)


_LOOKS_PREFIXES = ("_", "tex_", "mat_", "cam_", "light_", "skin_", "name", "paths")
"""beginnings of the names of a model's fields that the physics does not read: textures, cameras, lights, names"""
_LOOKS_SUFFIXES = ("_rgba", "_matid")
"""ends of the names of a model's fields that the physics does not read: colours and materials"""
_PHYSICS_OPTIONS = (
    "timestep",
    "density",
    "viscosity",
    "gravity",
    "wind",
    "integrator",
    "disableflags",
)
"""fields of a model's options that the physics reads and that bodies or tasks set"""


def model_hash(model: mujoco.MjModel) -> str:
    """Sixteen hex digits over all that the physics of a compiled model reads, the same in every process.

    Colours, cameras and lights are left out: a prettier body is no other body.
    """
    digest = hashlib.sha256()
    for name, value in _physical_arrays(model):
        digest.update(name.encode() + np.ascontiguousarray(value).tobytes())
    for name in _PHYSICS_OPTIONS:
        digest.update(np.asarray(getattr(model.opt, name)).tobytes())
    return digest.hexdigest()[:16]


def _physical_arrays(model: mujoco.MjModel) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a model that its physics reads, with their names, in the order of the names."""
    for name in sorted(dir(model)):
        if name.startswith(_LOOKS_PREFIXES) or name.endswith(_LOOKS_SUFFIXES):
            continue
        value = getattr(model, name)
        if isinstance(value, np.ndarray):
            yield name, value

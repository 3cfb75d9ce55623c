"""The body contract, and bodies as JSON."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
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
        """A new spec of this body alone: no goal, no medium of a task."""

    def positive(self, *names: str) -> None:
        """Refuse fields (numbers, or tuples of them) that are not finite and above zero."""
        self._finite(names, lambda number: number > 0, "> 0")

    def not_negative(self, *names: str) -> None:
        """Refuse fields (numbers, or tuples of them) that are not finite or below zero."""
        self._finite(names, lambda number: number >= 0, ">= 0")

    def _finite(self, names: tuple[str, ...], right: Callable[[float], bool], need: str) -> None:
        for name in names:
            value = plain(getattr(self, name))
            object.__setattr__(self, name, value)  # without numpy; bodies are frozen
            for number in value if isinstance(value, tuple) else (value,):
                is_number = isinstance(number, int | float)
                if not (is_number and math.isfinite(number) and right(number)):
                    raise LanceletError(
                        f"{type(self).__name__}.{name} = {value!r}: must be finite and {need}"
                    )


def quantity(
    default: float | tuple[float, ...],
    unit: str,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """A dataclass field with its unit and, where it is uncertain or may vary, the range of (each of) it."""
    bounds = {} if low is None else {"range": (low, high)}
    return dataclasses.field(default=default, metadata={"unit": unit, **bounds})


def ranges(body: Body | type[Body]) -> dict[str, tuple[float, float]]:
    """Lower and upper bound of every field of a body that has a range."""
    fields = dataclasses.fields(body)  # pyright: ignore[reportArgumentType]
    return {field.name: field.metadata["range"] for field in fields if "range" in field.metadata}


def to_json(body: Body) -> dict[str, Any]:
    """The body as JSON values, with its registered name."""
    from . import bodies

    fields = dataclasses.asdict(body)  # pyright: ignore[reportArgumentType]
    return {"name": bodies.name_of(type(body)), **plain(fields)}


def from_json(data: dict[str, Any]) -> Body:
    """The body that `to_json` described."""
    from . import bodies

    parameters = dict(data)
    return create(bodies.known(str(parameters.pop("name", ""))), parameters)


def create(cls: type[Body], parameters: dict[str, Any]) -> Body:
    """A body of class `cls`; unknown parameters are refused, lists become tuples."""
    parameters = plain(parameters)
    parameters = {
        key: tuple(value) if isinstance(value, list) else value for key, value in parameters.items()
    }
    known = [field.name for field in dataclasses.fields(cls)]  # pyright: ignore[reportArgumentType]
    check_names(f"parameter of body {cls.__name__}", parameters, known)
    return cls(**parameters)


_LOOKS = ("_", "tex_", "mat_", "cam_", "light_", "skin_", "name", "paths")


def model_hash(model: mujoco.MjModel) -> str:
    """Sixteen hex digits over all that the physics of a compiled model reads, the same in every process.

    Colours, cameras and lights are left out: a prettier body is no other body.
    """
    digest = hashlib.sha256()
    for name in sorted(dir(model)):
        value = (
            None
            if name.startswith(_LOOKS) or name.endswith(("_rgba", "_matid"))
            else getattr(model, name)
        )
        if isinstance(value, np.ndarray):
            digest.update(name.encode() + np.ascontiguousarray(value).tobytes())
    for name in (
        "timestep",
        "density",
        "viscosity",
        "gravity",
        "wind",
        "integrator",
        "disableflags",
    ):
        digest.update(np.asarray(getattr(model.opt, name)).tobytes())
    return digest.hexdigest()[:16]

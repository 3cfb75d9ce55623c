"""What a sweep varies: ``actor_rate=1e-4..1e-2`` is a range, ``gamma=0.98,0.99`` a list."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import tyro

from ...errors import LanceletError, unknown


@dataclass(frozen=True)
class Over:
    """One option and its values: every value of `choices`, or from `low` to `high`, both included."""

    name: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    """an integer option"""

    @property
    def log(self) -> bool:
        """Drawn, and shown, by the logarithm: above zero, and a decade or more wide."""
        return not self.choices and self.low > 0 and self.high / self.low >= 10

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values to try before the sweep begins."""
        return self.choices or (self.low, self.high)

    def domain(self) -> Any:
        """As Ray Tune's search space; integers stay integers."""
        from ray import tune

        if self.choices:
            return tune.choice(list(self.choices))
        if self.whole:
            draw = tune.lograndint if self.log else tune.randint
            return draw(int(self.low), int(self.high) + 1)
        return (tune.loguniform if self.log else tune.uniform)(self.low, self.high)


def parse(texts: Iterable[str], types: Mapping[str, Any]) -> list[Over]:
    """The options to vary, from ``name=low..high`` or ``name=a,b,c``; lists of tuples as in ``hidden=32 32,64 64``.

    Args:
        texts: one an option.
        types: name -> type of every option there is.

    Raises:
        LanceletError: none at all, an unknown option, one twice, an empty range, or a value of another type.
    """
    found: dict[str, Over] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip().removeprefix("--").replace("-", "_")
        if not equals or not values.strip():
            raise LanceletError(f"--over {text!r}: must be name=low..high or name=a,b,c")
        if name not in types:
            raise unknown("option to sweep over", name, types)
        if name in found:
            raise LanceletError(
                f"--over {name} is given twice: give all values at once, {name}=a,b,c"
            )
        found[name] = (
            _range(name, values, types[name])
            if ".." in values
            else _list(name, values, types[name])
        )
    if not found:
        raise LanceletError(
            "nothing to sweep over: give --over name=low..high or --over name=a,b,c"
        )
    return list(found.values())


def _list(name: str, values: str, kind: Any) -> Over:
    choices = tuple(convert(name, value, kind) for value in values.split(","))
    if len(set(choices)) < len(choices):
        raise LanceletError(f"--over {name}={values}: one value stands there twice")
    return Over(name, choices)


def _range(name: str, values: str, kind: Any) -> Over:
    low, _, high = values.partition("..")
    ends = [convert(name, end, kind) for end in (low, high)]
    if not all(type(end) in (int, float) and math.isfinite(end) for end in ends):
        raise LanceletError(
            f"--over {name}={values}: only numbers have a range; give a list, {name}=a,b,c"
        )
    if ends[1] <= ends[0]:
        raise LanceletError(
            f"--over {name}={values}: the range is empty; its end must be above its beginning"
        )
    return Over(name, (), *ends, whole=type(ends[0]) is int)


def convert(name: str, text: str, kind: Any) -> Any:
    """`text` as a value of type `kind`, read as the commands read their flags.

    Raises:
        LanceletError: it is none.
    """
    marks = (tyro.conf.PositionalRequiredArgs, tyro.conf.FlagConversionOff)
    shown = getattr(kind, "__name__", "") if isinstance(kind, type) else ""
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            return tyro.cli(kind, args=text.split(), config=marks)
    except SystemExit:
        need = shown or str(kind).replace("typing.", "")
        raise LanceletError(
            f"--over {name}: {text.strip()!r} is no value of it; needs {need}"
        ) from None

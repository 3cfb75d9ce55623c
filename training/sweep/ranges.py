"""What a sweep varies: ``actor_rate=1e-4..1e-2`` is a range, ``gamma=0.98,0.99`` a list."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tyro

from ...errors import LanceletError, unknown

if TYPE_CHECKING:
    from ray.tune.search.sample import Domain

DECADE = 10
"""a range whose end is so many times its beginning, or more, is drawn by the logarithm"""


@dataclass(frozen=True)
class Over:
    """One option and its values: every value of `choices`, or from `low` to `high`, both included."""

    name: str
    """name of the option: the algorithm's own, ``controller.x`` or ``task.x``"""
    choices: tuple[Any, ...] = ()
    """the values of a list; empty for a range"""
    low: float = 0.0
    """lowest value of a range, in the option's unit"""
    high: float = 0.0
    """highest value of a range, in the option's unit"""
    whole: bool = False
    """whether a range has whole numbers only"""

    @property
    def log(self) -> bool:
        """Whether values are drawn, and shown, by the logarithm: the range is above zero, and a decade or more wide."""
        is_range = not self.choices
        return is_range and self.low > 0 and self.high / self.low >= DECADE

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values to try before the sweep begins: both ends of a range, or all values of a list."""
        return self.choices or (self.low, self.high)

    def domain(self) -> Domain:
        """The values as Ray Tune draws them; whole numbers stay whole."""
        from ray import tune

        if self.choices:
            return tune.choice(list(self.choices))
        if self.whole:
            draw_whole = tune.lograndint if self.log else tune.randint
            # Tune leaves the upper end out.
            return draw_whole(int(self.low), int(self.high) + 1)
        draw = tune.loguniform if self.log else tune.uniform
        return draw(self.low, self.high)


def parse(texts: Iterable[str], types: Mapping[str, Any]) -> list[Over]:
    """The options to vary, from texts as they stand behind ``--over``.

    Args:
        texts: one text an option: ``name=low..high``, or ``name=a,b,c``. Items of a tuple are parted by blanks, as in
            ``hidden=32 32,64 64``.
        types: name -> type of every option that there is.

    Raises:
        LanceletError: there is none at all, an unknown option, one twice, an empty range, or a value of another type.
    """
    overs: dict[str, Over] = {}
    for text in texts:
        left, equals, values = text.partition("=")
        name = left.strip().removeprefix("--").replace("-", "_")
        if not equals or not values.strip():
            raise LanceletError(f"--over {text!r}: must be name=low..high or name=a,b,c")
        if name not in types:
            raise unknown("option to sweep over", name, types)
        if name in overs:
            raise LanceletError(
                f"--over {name} is given twice: give all values at once, {name}=a,b,c"
            )
        parse_values = _range if ".." in values else _list
        overs[name] = parse_values(name, values, types[name])
    if not overs:
        raise LanceletError(
            "nothing to sweep over: give --over name=low..high or --over name=a,b,c"
        )
    return list(overs.values())


def _list(name: str, values: str, kind: Any) -> Over:
    """An option with a list of values, from ``a,b,c``."""
    choices = tuple(convert(name, value, kind) for value in values.split(","))
    if len(set(choices)) < len(choices):
        raise LanceletError(f"--over {name}={values}: one value stands there twice")
    return Over(name, choices)


def _range(name: str, values: str, kind: Any) -> Over:
    """An option with a range of values, from ``low..high``."""
    low_text, _, high_text = values.partition("..")
    low = convert(name, low_text, kind)
    high = convert(name, high_text, kind)
    if not (_is_finite_number(low) and _is_finite_number(high)):
        raise LanceletError(
            f"--over {name}={values}: only numbers have a range; give a list, {name}=a,b,c"
        )
    if high <= low:
        raise LanceletError(
            f"--over {name}={values}: the range is empty; its end must be above its beginning"
        )
    return Over(name, low=low, high=high, whole=type(low) is int)


def _is_finite_number(value: Any) -> bool:
    """Whether `value` is a finite number; a bool is none."""
    return type(value) in (int, float) and math.isfinite(value)


def convert(name: str, text: str, kind: Any) -> Any:
    """`text` as a value of type `kind`, read as the commands read their flags.

    Args:
        name: name of the option, for the error.
        text: the value as it was typed; items of a tuple are parted by blanks.
        kind: type of the option, as its field is annotated.

    Raises:
        LanceletError: the text is no value of that type.
    """
    marks = (tyro.conf.PositionalRequiredArgs, tyro.conf.FlagConversionOff)
    # tyro explains a wrong value over many lines, and ends the process: neither is wanted here.
    silence = io.StringIO()
    try:
        with contextlib.redirect_stderr(silence), contextlib.redirect_stdout(silence):
            return tyro.cli(kind, args=text.split(), config=marks)
    except SystemExit:
        raise LanceletError(
            f"--over {name}: {text.strip()!r} is no value of it; needs {_type_text(kind)}"
        ) from None


def _type_text(kind: Any) -> str:
    """A type as an error shows it: "int", "float | None"."""
    if isinstance(kind, type):
        class_name = getattr(kind, "__name__", "")
        if class_name:
            return class_name
    return str(kind).replace("typing.", "")

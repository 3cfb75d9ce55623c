"""Rows: the one form in which commands report what they measured; as JSON, a terminal table or markdown."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import math
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from lancelet import files

Kind = Literal["gate", "speed", "claim", "info"]
"""kind of a row; the field `Row.kind` says what each means"""
PACKAGES = ("lancelet", "mujoco", "gymnasium", "torch", "numpy")
"""distributions whose versions are shown beside the rows"""
VERDICT_WORD = {True: "yes", False: "no", None: "-"}
"""verdict -> the word in a table"""
VERDICT_STYLE = {True: "green", False: "bold red", None: ""}
"""verdict -> how a terminal shows the word"""
FILE_COLUMNS = 150
"""characters; width of a table that is printed to a file"""
LEAST_COLUMNS_FOR_NOTES = 110
"""characters; width of a terminal below which notes are left out"""
LARGE = 1000
"""from here on a figure is shown without decimals, and with commas"""
UNDECIDED = "the value is within the target, its interval is not"
"""what the note of a row says that a verdict by the value alone would have let pass"""
_NUMBER = r"(-?[0-9.]+(?:e[+-]?[0-9]+)?)"
"""pattern of a number in a target"""


_LEFT_COLUMNS = ("name", "kind", "note")
"""columns of words; the others are aligned to the right"""
_WIDE_COLUMNS = {"name": 3, "note": 4}
"""columns that share what width the others leave, and their parts of it"""


@dataclass(frozen=True)
class Row:
    """One measured line."""

    name: str
    """what was measured"""
    kind: Kind
    """gate: our build is right, must hold; speed; claim: a published claim, or a goal beyond it; info"""
    value: float | str | None = None
    """the figure; None: not run, and `note` says why"""
    target: float | str | None = None
    """what `value` is held against, such as ``">= 1.2"``"""
    holds: bool | None = None
    """the verdict; None: not run, or no target"""
    seeds: int | None = None
    """number of samples behind `value`; `seeds_of` says of what"""
    interval: tuple[float, float] | None = None
    """lower and upper end of the 95 % interval of `value`"""
    note: str = ""
    """how it was measured, or why it was not"""
    reference: float | str | None = None
    """what the source reports"""
    seeds_of: str = ""
    """what `seeds` counts, such as "trainings" or "start states"; empty in files from before it was told"""


def at_least(name: str, kind: Kind, value: float, target: float, **rest: Any) -> Row:
    """The row that holds where `value`, and the whole of its interval where it has one, is `target` or more."""
    return judged(name, kind, value, low=target, high=math.inf, target=f">= {target:g}", **rest)


def at_most(name: str, kind: Kind, value: float, target: float, **rest: Any) -> Row:
    """The row that holds where `value`, and the whole of its interval where it has one, is `target` or less."""
    return judged(name, kind, value, low=-math.inf, high=target, target=f"<= {target:g}", **rest)


def between(name: str, kind: Kind, value: float, low: float, high: float, **rest: Any) -> Row:
    """The row that holds where `value`, and the whole of its interval where it has one, is in [`low`, `high`]."""
    target = f"{low:g} .. {high:g}"
    return judged(name, kind, value, low=low, high=high, target=target, **rest)


def judged(
    name: str, kind: Kind, value: float, low: float, high: float, target: str, **rest: Any
) -> Row:
    """A row with its verdict: does `value` lie in [`low`, `high`], and all of its interval with it?

    A value inside whose interval reaches outside does not hold: another sample might as well have missed. The note
    then says so.

    Args:
        name: name of the row.
        kind: kind of the row.
        value: the figure that was measured.
        low: least value that holds.
        high: greatest value that holds.
        target: the two bounds as the table shows them.
        **rest: further fields of the row; `interval` takes part in the verdict.
    """
    row = Row(name=name, kind=kind, value=value, target=target, **rest)
    value_holds = bool(low <= value <= high)
    interval_holds = True
    if row.interval is not None:
        lower_end, upper_end = row.interval
        interval_holds = bool(low <= lower_end and upper_end <= high)
    note = row.note
    # A row that is judged again says so already.
    if value_holds and not interval_holds and UNDECIDED not in note:
        note = f"{UNDECIDED}; {note}" if note else UNDECIDED
    return replace(row, holds=value_holds and interval_holds, note=note)


def judged_again(row: Row) -> Row:
    """A row from a file with the verdict of `judged`; as it is where it has no interval, or a target in words."""
    # The target in a file is rounded: it may take a verdict back, it never gives one.
    if not row.holds:
        return row
    bounds = _bounds(row.target)
    # A file has null for an end that is not finite.
    has_interval = row.interval is not None and None not in row.interval
    has_figure = isinstance(row.value, int | float)
    if bounds is None or not has_interval or not has_figure:
        return row
    values = {item.name: getattr(row, item.name) for item in fields(Row)}
    del values["holds"]
    low, high = bounds
    return judged(low=low, high=high, **values)


def _bounds(target: float | str | None) -> tuple[float, float] | None:
    """Least and greatest value that a target such as ``">= 2"`` or ``"0 .. 1"`` lets pass; None: it is in words."""
    text = str(target)
    lower_bound = re.fullmatch(f">=? {_NUMBER}", text)
    if lower_bound:
        return float(lower_bound[1]), math.inf
    upper_bound = re.fullmatch(f"<=? {_NUMBER}", text)
    if upper_bound:
        return -math.inf, float(upper_bound[1])
    both_bounds = re.fullmatch(rf"{_NUMBER} \.\. {_NUMBER}", text)
    if both_bounds:
        low, high = sorted([float(both_bounds[1]), float(both_bounds[2])])
        return low, high
    return None


def to_json(rows: Sequence[Row], path: str | Path) -> None:
    """Write the rows as a list of objects, all at once; a number that is not finite becomes null."""
    files.write_atomic(path, files.to_json([asdict(row) for row in rows], indent=1) + "\n")


def from_json(path: str | Path) -> list[Row]:
    """The rows that `to_json` wrote, of any version: a field that a file lacks has its default."""
    items = json.loads(Path(path).read_text())
    rows = []
    for item in items:
        values = dict(item)
        if values["interval"] is not None:
            # JSON has lists only.
            values["interval"] = tuple(values["interval"])
        rows.append(Row(**values))
    return rows


def show(rows: Sequence[Row], title: str = "") -> None:
    """Print the rows; on a narrow terminal without their notes, which are in the report and the JSON."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=FILE_COLUMNS)
    console.print(table(rows, title, notes=console.width >= LEAST_COLUMNS_FOR_NOTES))


def table(rows: Sequence[Row], title: str = "", notes: bool = True) -> Table:
    """The rows for `rich.print`, with or without their notes."""
    result = Table(
        title=title or None,
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    names = [name for name in headings(rows) if notes or name != "note"]
    for name in names:
        justify: JustifyMethod = "left" if name in _LEFT_COLUMNS else "right"
        result.add_column(name, ratio=_WIDE_COLUMNS.get(name), justify=justify)
    for row in rows:
        text_of = _texts(row)
        style_of = {"holds": VERDICT_STYLE[row.holds]}
        # `Text`, so that brackets in a note are no markup of rich's.
        result.add_row(*[Text(text_of[name], style=style_of.get(name, "")) for name in names])
    return result


def to_markdown(rows: Sequence[Row]) -> str:
    """The rows as a markdown table."""
    names = headings(rows)
    lines = [names, ["---"] * len(names)]
    lines += [cells(row, rows) for row in rows]
    return "".join(_markdown_line(line) for line in lines)


def _markdown_line(line: Sequence[str]) -> str:
    """One line of a markdown table."""
    escaped = [cell.replace("|", "\\|") for cell in line]
    return f"| {' | '.join(escaped)} |\n"


def header() -> dict[str, str]:
    """When, where and with which versions the rows were measured."""
    versions = [f"python {platform.python_version()}"]
    versions += [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": ", ".join(versions),
    }


def headings(rows: Sequence[Row]) -> list[str]:
    """Headings of a table of `rows`: columns that no row fills are left out."""
    names = ["name", "kind"]
    for name in ("reference", "target"):
        if any(getattr(row, name) is not None for row in rows):
            names.append(name)
    names.append("measured")
    for name in ("interval", "seeds"):
        if any(getattr(row, name) for row in rows):
            names.append(name)
    return [*names, "holds", "note"]


def cells(row: Row, rows: Sequence[Row]) -> list[str]:
    """One line of the table of `rows`: a text under each of their headings."""
    text_of = _texts(row)
    return [text_of[name] for name in headings(rows)]


def _texts(row: Row) -> dict[str, str]:
    """Heading -> text of a row under it."""
    interval = ""
    if row.interval is not None:
        low, high = row.interval
        interval = f"{_text(low)} .. {_text(high)}"
    seeds = "-"
    if row.seeds is not None:
        seeds = f"{row.seeds} {row.seeds_of}".strip()
    return {
        "name": row.name,
        "kind": row.kind,
        "reference": _text(row.reference),
        "target": _text(row.target),
        "measured": _text(row.value),
        "interval": interval,
        "seeds": seeds,
        "holds": VERDICT_WORD[row.holds],
        "note": row.note,
    }


def _text(value: float | str | None) -> str:
    """A figure with four digits, or all those before the point; words as they are; "-" where there is none."""
    if value is None:
        return "-"
    if isinstance(value, str | int):
        return str(value)
    if abs(value) >= LARGE:
        return f"{value:,.0f}"
    return f"{value:.4g}"

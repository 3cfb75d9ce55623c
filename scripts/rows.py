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
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lancelet import files

Kind = Literal["gate", "speed", "claim", "info"]
PACKAGES = ("lancelet", "mujoco", "gymnasium", "torch", "numpy")
UNDECIDED = "the value is within the target, its interval is not"
"""what the note of a row says that a verdict by the value alone would have let pass"""


@dataclass(frozen=True)
class Row:
    """One measured line."""

    name: str
    kind: Kind
    """gate: our build is right, must hold; speed; claim: a published claim, or a goal beyond it; info"""
    value: float | str | None = None
    """None: not run, and `note` says why"""
    target: float | str | None = None
    """what `value` is held against, such as ``">= 1.2"``"""
    holds: bool | None = None
    """None: not run, or no target"""
    seeds: int | None = None
    """how many; `seeds_of` says of what"""
    interval: tuple[float, float] | None = None
    """95 % interval of `value`"""
    note: str = ""
    reference: float | str | None = None
    """what the source reports"""
    seeds_of: str = ""
    """what `seeds` counts, such as "trainings" or "start states"; empty in files from before it was told"""


def at_least(name: str, kind: Kind, value: float, target: float, **rest: Any) -> Row:
    """The row that holds where `value`, and the whole of its interval where it has one, is `target` or more."""
    return judged(name, kind, value, target, math.inf, f">= {target:g}", **rest)


def at_most(name: str, kind: Kind, value: float, target: float, **rest: Any) -> Row:
    """The row that holds where `value`, and the whole of its interval where it has one, is `target` or less."""
    return judged(name, kind, value, -math.inf, target, f"<= {target:g}", **rest)


def between(name: str, kind: Kind, value: float, low: float, high: float, **rest: Any) -> Row:
    """The row that holds where `value`, and the whole of its interval where it has one, is in [`low`, `high`]."""
    return judged(name, kind, value, low, high, f"{low:g} .. {high:g}", **rest)


def judged(
    name: str, kind: Kind, value: float, low: float, high: float, target: str, **rest: Any
) -> Row:
    """A row with its verdict: does `value` lie in [`low`, `high`], and all of its interval with it?

    A value inside whose interval reaches outside does not hold: another sample might as well have missed. The note
    then says so.

    Args:
        name: of the row.
        kind: of the row.
        value: what was measured.
        low: least value that holds.
        high: greatest value that holds.
        target: the two bounds as the table shows them.
        **rest: further fields of the row; `interval` takes part in the verdict.
    """
    row = Row(name, kind, value, target, **rest)
    value_holds = bool(low <= value <= high)
    interval_holds = True
    if row.interval is not None:
        interval_holds = bool(low <= row.interval[0] and row.interval[1] <= high)
    note = row.note
    if value_holds and not interval_holds and UNDECIDED not in note:
        note = f"{UNDECIDED}; {note}" if note else UNDECIDED
    return replace(row, holds=value_holds and interval_holds, note=note)


def judged_again(row: Row) -> Row:
    """A row from a file with the verdict of `judged`; as it is where it has no interval, or a target in words."""
    bounds = _bounds(row.target)
    has_interval = row.interval is not None and None not in row.interval
    if (
        row.holds is None
        or bounds is None
        or not has_interval
        or not isinstance(row.value, int | float)
    ):
        return row
    known = {item.name: getattr(row, item.name) for item in fields(Row)}
    del known["holds"]
    again = judged(low=bounds[0], high=bounds[1], **known)
    # The target in the text is rounded: it may take a verdict back, it never gives one.
    return again if row.holds else row


def _bounds(target: Any) -> tuple[float, float] | None:
    """Least and greatest value that a target such as ``">= 2"`` or ``"0 .. 1"`` lets pass; None: it is in words."""
    number = r"(-?[0-9.]+(?:e[+-]?[0-9]+)?)"
    if at_least := re.fullmatch(f">=? {number}", str(target)):
        return float(at_least[1]), math.inf
    if at_most := re.fullmatch(f"<=? {number}", str(target)):
        return -math.inf, float(at_most[1])
    if both := re.fullmatch(rf"{number} \.\. {number}", str(target)):
        ends = sorted([float(both[1]), float(both[2])])
        return ends[0], ends[1]
    return None


def to_json(rows: Sequence[Row], path: str | Path) -> None:
    """Write the rows as a list of objects, all at once; a number that is not finite becomes null."""
    files.write_atomic(path, files.to_json([asdict(row) for row in rows], indent=1) + "\n")


def from_json(path: str | Path) -> list[Row]:
    """The rows that `to_json` wrote, of any version: a field that a file lacks has its default."""
    items = json.loads(Path(path).read_text())
    rows = []
    for item in items:
        interval = item["interval"]
        if interval is not None:
            interval = tuple(interval)
        rows.append(Row(**{**item, "interval": interval}))
    return rows


def show(rows: Sequence[Row], title: str = "") -> None:
    """Print the rows; a file gets 150 columns, a narrow terminal no notes (they are in the report and the JSON)."""
    console = Console()
    console = console if console.is_terminal else Console(width=150)
    console.print(table(rows, title, notes=console.width >= 110))


def table(rows: Sequence[Row], title: str = "", notes: bool = True) -> Table:
    """The rows for `rich.print`, with or without their notes."""
    whole = Table(
        title=title or None,
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    whole.add_column("name", ratio=3)
    for heading in headings(rows)[1:-1]:
        whole.add_column(heading, justify="left" if heading == "kind" else "right")
    if notes:
        whole.add_column("note", ratio=4)
    for row in rows:
        *shown, note = cells(row, rows)
        style = {True: "green", False: "bold red", None: ""}[row.holds]
        texts = [Text(cell) for cell in shown[:-1]] + [Text(shown[-1], style=style)]
        whole.add_row(*texts, *([Text(note)] if notes else []))
    return whole


def to_markdown(rows: Sequence[Row]) -> str:
    """The rows as a markdown table."""
    lines = [headings(rows), ["---"] * len(headings(rows)), *(cells(row, rows) for row in rows)]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )


def header() -> dict[str, str]:
    """Where and with what the rows were measured."""
    versions = {"python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def headings(rows: Sequence[Row]) -> list[str]:
    """Headings of a table of `rows`: columns that no row fills are left out."""
    optional = [
        name
        for name in ("reference", "target")
        if any(getattr(row, name) is not None for row in rows)
    ]
    measured = [
        "measured",
        *(name for name in ("interval", "seeds") if any(getattr(row, name) for row in rows)),
    ]
    return ["name", "kind", *optional, *measured, "holds", "note"]


def cells(row: Row, rows: Sequence[Row]) -> list[str]:
    """One line of the table of `rows`."""
    interval = (
        "" if row.interval is None else f"{_text(row.interval[0])} .. {_text(row.interval[1])}"
    )
    holds = {True: "yes", False: "no", None: "-"}[row.holds]
    seeds = "-" if row.seeds is None else f"{row.seeds} {row.seeds_of}".strip()
    shown = {
        "measured": _text(row.value),
        "interval": interval,
        "seeds": seeds,
        "holds": holds,
        "note": row.note,
    }
    return [shown[name] if name in shown else _text(getattr(row, name)) for name in headings(rows)]


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, str | int):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"

"""Rows: the one form in which commands report what they measured; as JSON, a terminal table or markdown."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lancelet import files

Kind = Literal["gate", "speed", "claim", "info"]
PACKAGES = ("lancelet", "mujoco", "gymnasium", "torch", "numpy")


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
    """how many"""
    interval: tuple[float, float] | None = None
    """95 % interval of `value`"""
    note: str = ""
    reference: float | str | None = None
    """what the source reports"""


def at_least(name: str, kind: Kind, value: float, target: float, **rest: Any) -> Row:
    """The row that holds where `value` >= `target`."""
    return Row(name, kind, value, f">= {target:g}", bool(value >= target), **rest)


def at_most(name: str, kind: Kind, value: float, target: float, **rest: Any) -> Row:
    """The row that holds where `value` <= `target`."""
    return Row(name, kind, value, f"<= {target:g}", bool(value <= target), **rest)


def to_json(rows: Sequence[Row], path: str | Path) -> None:
    """Write the rows as a list of objects, all at once; a number that is not finite becomes null."""
    files.write_atomic(path, files.to_json([asdict(row) for row in rows], indent=1) + "\n")


def from_json(path: str | Path) -> list[Row]:
    """The rows that `to_json` wrote."""
    items = json.loads(Path(path).read_text())
    return [Row(**{**item, "interval": item["interval"] and tuple(item["interval"])}) for item in items]


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
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


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
    optional = [name for name in ("reference", "target") if any(getattr(row, name) is not None for row in rows)]
    measured = ["measured", *(name for name in ("interval", "seeds") if any(getattr(row, name) for row in rows))]
    return ["name", "kind", *optional, *measured, "holds", "note"]


def cells(row: Row, rows: Sequence[Row]) -> list[str]:
    """One line of the table of `rows`."""
    interval = "" if row.interval is None else f"{_text(row.interval[0])} .. {_text(row.interval[1])}"
    holds = {True: "yes", False: "no", None: "-"}[row.holds]
    shown = {"measured": _text(row.value), "interval": interval, "holds": holds, "note": row.note}
    return [shown[name] if name in shown else _text(getattr(row, name)) for name in headings(rows)]


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, str | int):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"

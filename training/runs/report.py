"""One self-contained HTML page a run: configuration, learning curve, untrained beside trained."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ...files import write_atomic
from ..statistics import interval

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}"
    "td,th{padding:.25rem .8rem;border-bottom:1px solid #ddd;text-align:left}"
    "img,video{max-width:100%}.yes{color:#176b2c}.no{color:#b3261e}"
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src 'self' file:"










def figure(plot: Any) -> str:
    """A matplotlib figure as an `img` element; the figure is closed."""
    import matplotlib.pyplot as plt

    data = io.BytesIO()
    plot.savefig(data, format="png", dpi=110, bbox_inches="tight")
    plt.close(plot)
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}">'


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """An HTML table; every cell is escaped."""
    lines = ["".join(f"<th>{html.escape(str(cell))}</th>" for cell in head)]
    lines += ["".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def write_page(path: str | Path, title: str, *parts: str) -> None:
    """Write a page of HTML `parts` that loads nothing from elsewhere."""
    head = f'<meta charset=utf-8><meta http-equiv=Content-Security-Policy content="{_POLICY}"><style>{_STYLE}</style>'
    name = html.escape(title)
    body = f"<!doctype html><html lang=en><head>{head}<title>{name}</title></head><body><h1>{name}</h1>"
    write_atomic(path, body + "\n".join(parts) + "</body></html>")


def summary_rows(summary: Mapping[str, Mapping[str, Sequence[float]]]) -> list[list[str]]:
    """Figure | untrained | trained, each a mean with its 95 % interval over the start states that have the figure.

    Episodes that failed have none; the row ``failed`` tells how many they are, and is left out where there are none.
    """
    failures = {which: summary[which].get("failed", []) for which in summary}
    rows = []
    for name in summary["untrained"]:
        if name == "failed":
            continue
        cells = [_cell(summary[which][name]) for which in ("untrained", "trained")]
        rows.append([name, *cells])
    if any(sum(failed) for failed in failures.values()):
        told = [f"{sum(failures[which]):g} of {len(failures[which])}" for which in ("untrained", "trained")]
        rows.append(["failed", *told])
    return rows


def _cell(values: Sequence[float | None]) -> str:
    """Mean and 95 % interval of those of the values that are numbers."""
    numbers = [value for value in values if value is not None and np.isfinite(value)]
    if not numbers:
        return "none"
    low, high = interval(numbers)
    return f"{np.mean(numbers):.4g} [{low:.4g}, {high:.4g}]"


def write_report(
    folder: Path, config: Mapping[str, Any], log: Sequence[Mapping[str, float]], summary: Mapping[str, Any]
) -> None:
    """Write `report.html` into a run folder."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    parts = []
    starts = len(summary["trained"]["return"])
    parts.append(f"<h2>On {starts} start states that training never saw (mean, 95 % interval)</h2>")
    parts.append(table(["", "untrained", "trained"], summary_rows(summary)))
    names = [name for name in ("mean", "best", "validation") if any(name in line for line in log)]
    if names:
        at, unit = ("steps", "environment steps") if "steps" in log[0] else ("step", "updates")  # open loop: none
        plot, axes = plt.subplots(figsize=(7, 3.5))
        for name in names:
            lines = [line for line in log if name in line]
            style = {"marker": "o", "markersize": 3} if name == "validation" else {}
            axes.plot([line[at] for line in lines], [line[name] for line in lines], label=name, **style)
        axes.set_xlabel(unit)
        axes.set_ylabel("return" if at == "steps" else "loss")
        axes.legend()
        axes.spines[["top", "right"]].set_visible(False)
        parts.append(f"<h2>Training</h2>{figure(plot)}")
    parts.append('<video src="video.mp4" controls></video>')
    parts.append(f"<h2>Configuration</h2><pre>{html.escape(yaml.safe_dump(dict(config), sort_keys=False))}</pre>")
    write_page(folder / "report.html", f"{config['controller']} on {config['task']}, {config['algorithm']}", *parts)

"""One self-contained HTML page a run: configuration, learning curve, untrained beside trained."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ...files import write_atomic
from ...optional import extras
from ..statistics import interval

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}"
    "td,th{padding:.25rem .8rem;border-bottom:1px solid #ddd;text-align:left}"
    "img,video{max-width:100%}.yes{color:#176b2c}.no{color:#b3261e}"
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src 'self' file:"
"""Content-Security-Policy: the page loads nothing but its own pictures and the film beside it"""
_CURVES = ("mean", "best", "validation")
"""figures of the log that are drawn as learning curves"""


def figure(plot: Any) -> str:
    """A matplotlib figure as an `img` element; the figure is closed."""
    with extras():
        import matplotlib.pyplot as plt

    data = io.BytesIO()
    plot.savefig(data, format="png", dpi=110, bbox_inches="tight")
    plt.close(plot)
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}">'


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """An HTML table; every cell is escaped."""
    lines = [_cells("th", head)]
    lines += [_cells("td", row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _cells(tag: str, values: Sequence[Any]) -> str:
    """The cells of a row of a table, escaped."""
    return "".join(f"<{tag}>{html.escape(str(value))}</{tag}>" for value in values)


def write_page(path: str | Path, title: str, *parts: str) -> None:
    """Write a page of HTML `parts` that loads nothing from elsewhere."""
    policy = f'<meta http-equiv=Content-Security-Policy content="{_POLICY}">'
    name = html.escape(title)
    page = (
        f"<!doctype html><html lang=en><head><meta charset=utf-8>{policy}<style>{_STYLE}</style>"
        f"<title>{name}</title></head><body><h1>{name}</h1>"
    )
    write_atomic(path, page + "\n".join(parts) + "</body></html>")


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
        counts = [
            f"{sum(failures[which]):g} of {len(failures[which])}"
            for which in ("untrained", "trained")
        ]
        rows.append(["failed", *counts])
    return rows


def _cell(values: Sequence[float | None]) -> str:
    """Mean and 95 % interval of those of the values that are numbers."""
    numbers = [value for value in values if value is not None and np.isfinite(value)]
    if not numbers:
        return "none"
    low, high = interval(numbers)
    return f"{np.mean(numbers):.4g} [{low:.4g}, {high:.4g}]"


def write_report(
    folder: Path,
    config: Mapping[str, Any],
    log: Sequence[Mapping[str, float]],
    summary: Mapping[str, Any],
) -> None:
    """Write `report.html` into a run folder.

    Args:
        folder: of the run.
        config: of the run, as `config.yaml` holds it.
        log: its lines, in the order of time.
        summary: figures of episodes, ``untrained`` and ``trained``: name -> a value a start state.
    """
    start_count = len(summary["trained"]["return"])
    parts = [
        f"<h2>On {start_count} start states that training never saw (mean, 95 % interval)</h2>",
        table(["", "untrained", "trained"], summary_rows(summary)),
    ]
    curves = [name for name in _CURVES if any(name in line for line in log)]
    if curves:
        parts.append(f"<h2>Training</h2>{_learning_curves(log, curves)}")
    parts.append('<video src="video.mp4" controls></video>')
    settings = html.escape(yaml.safe_dump(dict(config), sort_keys=False))
    parts.append(f"<h2>Configuration</h2><pre>{settings}</pre>")
    title = f"{config['controller']} on {config['task']}, {config['algorithm']}"
    write_page(folder / "report.html", title, *parts)


def _learning_curves(log: Sequence[Mapping[str, float]], names: Sequence[str]) -> str:
    """The named figures of a log over environment steps, or over updates where there are none."""
    with extras():
        import matplotlib

    # Chosen before pyplot is imported: reports are written where there is no screen.
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    has_steps = "steps" in log[0]  # an open-loop training runs no environment
    x_name = "steps" if has_steps else "step"
    plot, axes = plt.subplots(figsize=(7, 3.5))
    for name in names:
        lines = [line for line in log if name in line]
        x = [line[x_name] for line in lines]
        y = [line[name] for line in lines]
        if name == "validation":
            axes.plot(x, y, label=name, marker="o", markersize=3)
        else:
            axes.plot(x, y, label=name)
    axes.set_xlabel("environment steps" if has_steps else "updates")
    axes.set_ylabel("return" if has_steps else "loss")
    axes.legend()
    axes.spines[["top", "right"]].set_visible(False)
    return figure(plot)

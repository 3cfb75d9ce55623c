"""One self-contained HTML page a run: configuration, learning curve, untrained beside trained."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from ...files import write_atomic
from ...optional import extras
from ..statistics import interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 110
"""resolution of the pictures of a page"""
_CURVE_SIZE = (7, 3.5)
"""width and height of the learning curves, inches"""
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}"
    "td,th{padding:.25rem .8rem;border-bottom:1px solid #ddd;text-align:left}"
    "img,video{max-width:100%}.yes{color:#176b2c}.no{color:#b3261e}"
)
"""style sheet of every page"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src 'self' file:"
"""Content-Security-Policy: the page loads nothing but its own pictures and the film beside it"""
_CURVES = ("mean", "best", "validation")
"""figures of the log that are drawn as learning curves"""
_SUMMARIES = ("untrained", "trained")
"""the two controllers whose episodes a report compares"""


def figure(plot: Figure) -> str:
    """A matplotlib figure as an `img` element that holds its own picture; the figure is closed."""
    with extras():
        import matplotlib.pyplot as plt

    image = io.BytesIO()
    plot.savefig(image, format="png", dpi=DOTS_PER_INCH, bbox_inches="tight")
    plt.close(plot)
    text = base64.b64encode(image.getvalue()).decode()
    return f'<img alt="" src="data:image/png;base64,{text}">'


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """An HTML table; every cell is escaped."""
    table_rows = [_cells("th", head)]
    table_rows += [_cells("td", row) for row in rows]
    body = "".join(f"<tr>{cells}</tr>" for cells in table_rows)
    return f"<table>{body}</table>"


def _cells(tag: str, values: Sequence[Any]) -> str:
    """The cells of a row of a table, escaped."""
    return "".join(f"<{tag}>{html.escape(str(value))}</{tag}>" for value in values)


def write_page(path: str | Path, title: str, *parts: str) -> None:
    """Write an HTML page that loads nothing from elsewhere.

    Args:
        path: path of the file.
        title: title of the page, as plain text; it is escaped.
        *parts: HTML of the body, one part below the other; they are written as they are.
    """
    policy = f'<meta http-equiv=Content-Security-Policy content="{_POLICY}">'
    name = html.escape(title)
    beginning = (
        f"<!doctype html><html lang=en><head><meta charset=utf-8>{policy}<style>{_STYLE}</style>"
        f"<title>{name}</title></head><body><h1>{name}</h1>"
    )
    body = "\n".join(parts)
    write_atomic(path, f"{beginning}{body}</body></html>")


def summary_rows(summary: Mapping[str, Mapping[str, Sequence[float]]]) -> list[list[str]]:
    """Rows of a table: a figure's name, and its mean with a 95 % interval, untrained and trained.

    Episodes that failed have no figures. The last row, ``failed``, says how many they are; it is left out where there
    are none.

    Args:
        summary: ``untrained`` and ``trained``: name of a figure -> a value a start state.
    """
    rows = []
    for name in summary["untrained"]:
        if name == "failed":
            continue
        cells = [_cell(summary[which][name]) for which in _SUMMARIES]
        rows.append([name, *cells])
    failures = {which: summary[which].get("failed", []) for which in summary}
    if any(sum(failed) for failed in failures.values()):
        counts = [f"{sum(failures[which]):g} of {len(failures[which])}" for which in _SUMMARIES]
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
        folder: folder of the run.
        config: configuration of the run, as `config.yaml` holds it.
        log: lines of the run's log, in the order of time.
        summary: ``untrained`` and ``trained``: name of a figure -> a value a start state.
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
    """Draw the named figures of a log over environment steps, or over updates where there are none.

    Args:
        log: lines of the log, one or more; a figure need not stand in every line.
        names: names of the figures, a curve each.

    Returns:
        The picture as an `img` element.
    """
    with extras():
        import matplotlib

    # Chosen before pyplot is imported: reports are written where there is no screen.
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    x_name = "steps"
    x_label = "environment steps"
    y_label = "return"
    if "steps" not in log[0]:
        # An open-loop training runs no environment.
        x_name = "step"
        x_label = "updates"
        y_label = "loss"
    plot, axes = plt.subplots(figsize=_CURVE_SIZE)
    for name in names:
        lines = [line for line in log if name in line]
        x = [line[x_name] for line in lines]
        y = [line[name] for line in lines]
        if name == "validation":
            # Validations are rare: a marker shows where one was.
            axes.plot(x, y, label=name, marker="o", markersize=3)
        else:
            axes.plot(x, y, label=name)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.legend()
    axes.spines[["top", "right"]].set_visible(False)
    return figure(plot)

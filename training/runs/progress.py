"""The progress bar of every long job: units done, rate, time left, and the figures that matter."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

BAR_WIDTH = 16
"""characters"""


class Advance(Protocol):
    """Moves a progress bar."""

    def __call__(self, count: int = 1, **figures: float) -> None:
        """Say that `count` more units are done, and show `figures` by name behind the bar."""
        ...


class _Rate(ProgressColumn):
    """How many units are done in a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """The rate of a job, or nothing before it can be told."""
        speed = task.finished_speed or task.speed
        text = ""
        if speed is not None:
            text = f"{speed:,.1f} {self._unit}/s"
        return Text(text, style="cyan")


@contextlib.contextmanager
def progress(
    what: str, total: int, unit: str, done: int = 0, quiet: bool = False
) -> Iterator[Advance]:
    """Show a bar on stderr inside the block; yields the function that moves it.

    Args:
        what: words in front of the bar: "training".
        total: units in all.
        unit: name of the units: "episodes".
        done: units that were done before, by an earlier session.
        quiet: show nothing.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(BAR_WIDTH),
        MofNCompleteColumn(),
        _Rate(unit),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as bar:
        job = bar.add_task(what, total=total, completed=done, figures="")

        def advance(count: int = 1, **figures: float) -> None:
            if figures:
                words = [f"{name} {value:,.4g}" for name, value in figures.items()]
                bar.update(job, figures="  ".join(words))
            bar.advance(job, count)

        yield advance

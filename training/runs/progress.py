"""The progress bar of every long job: done, rate, time left, and the figure that matters."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

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


class _Rate(ProgressColumn):
    """How many units are done in a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f} {self._unit}/s", style="cyan")


@contextlib.contextmanager
def progress(
    what: str, total: int, unit: str, done: int = 0, quiet: bool = False
) -> Iterator[Callable[..., None]]:
    """A bar on stderr; yields ``advance(count=1, **figures)``.

    Args:
        what: words in front of the bar.
        total: units in all.
        unit: name of one of them.
        done: units that were done before.
        quiet: show nothing.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(16),
        MofNCompleteColumn(),
        _Rate(unit),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as bar:
        task = bar.add_task(what, total=total, completed=done, figures="")

        def advance(count: int = 1, **figures: float) -> None:
            if figures:
                words = [f"{name} {value:,.4g}" for name, value in figures.items()]
                bar.update(task, figures="  ".join(words))
            bar.advance(task, count)

        yield advance

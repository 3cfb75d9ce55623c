"""The progress bar of every long job: done, rate, time left, and the figure that matters."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f} {self._unit}/s", style="cyan")


@contextlib.contextmanager
def progress(what: str, total: int, unit: str, done: int = 0, quiet: bool = False) -> Iterator[Callable[..., None]]:
    """A bar on stderr; yields ``advance(count=1, **figures)``."""
    what_column, figures_column = TextColumn("{task.description}"), TextColumn("{task.fields[figures]}")
    columns = (what_column, BarColumn(16), MofNCompleteColumn(), _Rate(unit), TimeRemainingColumn(), figures_column)
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as bar:
        task = bar.add_task(what, total=total, completed=done, figures="")

        def advance(count: int = 1, **figures: float) -> None:
            if figures:
                bar.update(task, figures="  ".join(f"{name} {value:,.4g}" for name, value in figures.items()))
            bar.advance(task, count)

        yield advance

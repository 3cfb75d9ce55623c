"""Train a controller on a task: `lancelet train swim ncap --generations 40`."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lancelet import LanceletError
from lancelet.scripts import cli

DEFAULT = "snes"
"""algorithm of a command that names none"""
STATUS_FAILED = 1
"""exit status of a training in which every candidate failed"""
ALGORITHM_FLAG = "--algorithm"


@dataclass
class Episodes:
    """How long, and whether to film."""

    max_episode_steps: int | None = None
    """control steps of an episode; none: the task's own limit"""
    video: bool = False
    """film a held-out episode when done"""


def main(argv: list[str] | None = None) -> int | None:
    """Train, report on held-out start states, and say where the run lies."""
    from lancelet import controllers, task_id, training
    from lancelet.training.runs.report import summary_rows

    cli.shield_gl()
    (task, controller), all_flags = cli.words(
        "train", __doc__ or "", argv, task=cli.tasks(), controller=list(controllers.controllers)
    )
    algorithm, flags = algorithm_of(all_flags)
    algorithms = ", ".join(training.algorithms)
    parsed = cli.parse(
        f"train {task} {controller} --algorithm {algorithm}",
        f"{__doc__}\n\nalgorithms: {algorithms} (--algorithm, default {DEFAULT})",
        flags,
        prefixed=["controller"],
        trainer=training.algorithms.get(algorithm),
        task=cli.task_defaults(task),
        episodes=Episodes,
        controller=controllers.controllers.get(controller).Options,
    )
    controller_options = changed(parsed.controller)
    task_options = parsed.task.options()
    if parsed.episodes.max_episode_steps is not None:
        task_options["max_episode_steps"] = parsed.episodes.max_episode_steps
    opened_folders: list[Path] = []
    try:
        run = parsed.trainer.train(
            task_id(task),
            controller,
            task_options,
            controller_options,
            opened=opened_folders.append,
        )
    except KeyboardInterrupt:
        # Ctrl-C may come before there is a folder.
        folder = opened_folders[-1] if opened_folders else "RUN"
        print(
            f"\ninterrupted: continue with the same command and --folder {folder} --resume",
            file=sys.stderr,
        )
        raise
    if run.summary:
        _print(summary_rows(run.summary), len(run.summary["trained"]["return"]))
    if parsed.episodes.video:
        _film(str(run.folder))
    hints = [f"film it: lancelet render {run.folder}"]
    if run.summary:
        hints.insert(0, f"report: {run.folder / 'report.html'}")
    print(f"run folder: {run.folder}   ({'; '.join(hints)})")
    return STATUS_FAILED if run.failed else 0


def _film(folder: str) -> None:
    """Render the run; where that is impossible, say why and go on."""
    from lancelet.scripts import render

    try:
        render.main([folder])
    except LanceletError as error:
        print(f"no video: {error}", file=sys.stderr)


def algorithm_of(flags: list[str]) -> tuple[str, list[str]]:
    """Take ``--algorithm NAME`` out of the flags: it decides which other flags there are.

    Returns:
        The name of the algorithm, and the other flags.
    """
    for index, flag in enumerate(flags):
        before = flags[:index]
        has_value_behind = index + 1 < len(flags)
        if flag == ALGORITHM_FLAG and has_value_behind:
            return flags[index + 1], before + flags[index + 2 :]
        if flag.startswith(f"{ALGORITHM_FLAG}="):
            name = flag.partition("=")[2]
            return name, before + flags[index + 1 :]
    return DEFAULT, flags


def changed(options: Any, defaults: Any = None) -> dict[str, Any]:
    """The fields of a dataclass object that differ from those of `defaults`; None: from those of its class."""
    usual = type(options)() if defaults is None else defaults
    values = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value != getattr(usual, field.name):
            values[field.name] = value
    return values


def _print(rows: list[list[str]], start_count: int) -> None:
    """Print the rows of `summary_rows` for a number of start states."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{start_count} held-out start states: mean [95 % interval]", title_justify="left"
    )
    for heading in ("", "untrained", "trained"):
        table.add_column(heading)
    for row in rows:
        # rich takes brackets for markup.
        table.add_row(*[cell.replace("[", r"\[") for cell in row])
    Console().print(table)


if __name__ == "__main__":
    raise SystemExit(cli.guard(main))

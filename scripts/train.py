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
    (task, controller), flags = cli.words(
        "train", __doc__ or "", argv, task=cli.tasks(), controller=list(controllers.controllers)
    )
    algorithm, flags = algorithm_of(flags)
    trainer = training.algorithms.get(algorithm)
    parsed = cli.parse(
        f"train {task} {controller} --algorithm {algorithm}",
        f"{__doc__}\n\nalgorithms: {', '.join(training.algorithms)} (--algorithm, default {DEFAULT})",
        flags,
        prefixed=["controller"],
        trainer=trainer,
        task=cli.task_defaults(task),
        episodes=Episodes,
        controller=controllers.controllers.get(controller).Options,
    )
    own, options = changed(parsed.controller), parsed.task.options()
    if parsed.episodes.max_episode_steps is not None:
        options["max_episode_steps"] = parsed.episodes.max_episode_steps
    folders: list[Path] = []
    try:
        run = parsed.trainer.train(task_id(task), controller, options, own, opened=folders.append)
    except KeyboardInterrupt:
        folder = folders[-1] if folders else "RUN"
        print(
            f"\ninterrupted: continue with the same command and --folder {folder} --resume",
            file=sys.stderr,
        )
        raise
    if run.summary:
        _print(summary_rows(run.summary), len(run.summary["trained"]["return"]))
    if parsed.episodes.video:
        _film(str(run.folder))
    report = f"report: {run.folder / 'report.html'}; " if run.summary else ""
    print(f"run folder: {run.folder}   ({report}film it: lancelet render {run.folder})")
    return 1 if run.failed else 0


def _film(folder: str) -> None:
    """Render the run; where that is impossible, say why and go on."""
    from lancelet.scripts import render

    try:
        render.main([folder])
    except LanceletError as error:
        print(f"no video: {error}", file=sys.stderr)


def algorithm_of(flags: list[str]) -> tuple[str, list[str]]:
    """Take ``--algorithm NAME`` out of the flags: it decides which other flags there are."""
    for i, flag in enumerate(flags):
        if flag == "--algorithm" and i + 1 < len(flags):
            return flags[i + 1], flags[:i] + flags[i + 2 :]
        if flag.startswith("--algorithm="):
            return flag.split("=", 1)[1], flags[:i] + flags[i + 1 :]
    return DEFAULT, flags


def changed(options: Any, defaults: Any = None) -> dict[str, Any]:
    """The options that differ from `defaults`, or from those of their class."""
    defaults = type(options)() if defaults is None else defaults
    names = [field.name for field in dataclasses.fields(options)]
    return {
        name: getattr(options, name)
        for name in names
        if getattr(options, name) != getattr(defaults, name)
    }


def _print(rows: list[list[str]], starts: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{starts} held-out start states: mean [95 % interval]", title_justify="left"
    )
    for head in ("", "untrained", "trained"):
        table.add_column(head)
    for row in rows:
        table.add_row(*[cell.replace("[", r"\[") for cell in row])
    Console().print(table)


if __name__ == "__main__":
    raise SystemExit(cli.guard(main))

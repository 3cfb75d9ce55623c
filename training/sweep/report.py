"""What a sweep leaves: the trials as a table and as JSON, the best as a configuration, a picture of all."""

from __future__ import annotations

import dataclasses
import io
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...files import to_json, write_atomic
from ...tasks import short_name
from ..config import Config
from .ranges import Over
from .search import Trial
from .variations import merged

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL_WIDTH = 3.2
"""inches, of the panel of one option"""
LABEL_WIDTH = 1
"""inches, left of the first panel"""
PICTURE_HEIGHT = 3.4
"""inches"""
DOTS_PER_INCH = 120
BEST_COLOR = "C3"
"""red, in matplotlib's usual cycle"""
OTHER_COLOR = "C0"
"""blue, in matplotlib's usual cycle"""
LOG_MARGIN = 1.3
"""factor by which a logarithmic axis goes beyond both ends of its range"""
LINEAR_MARGIN = 0.05
"""part of the range by which a linear axis goes beyond both of its ends"""


def write(folder: Path, base: Config, overs: list[Over], trials: list[Trial]) -> Config | None:
    """Write `trials.json`, and where a trial succeeded `best.yaml` and `sweep.png`.

    Args:
        folder: folder of the sweep.
        base: what every trial has in common.
        overs: the options that were varied.
        trials: all trials, best first.

    Returns:
        The best configuration; None where every trial failed.
    """
    table = [dataclasses.asdict(trial) for trial in trials]
    write_atomic(folder / "trials.json", to_json(table, indent=1))
    best_trial = trials[0]
    if best_trial.validation is None:
        return None
    best = merged(base, best_trial.values)
    best.write(folder / "best.yaml")
    picture(folder / "sweep.png", overs, trials)
    return best


def command(config: Config) -> str:
    """The command that trains with a configuration."""
    words = ["lancelet", "train", _short_task(config.task), config.controller]
    words += ["--algorithm", config.algorithm]
    words += _flags("", config.algorithm_options)
    words += _flags("", config.task_options)
    words += _flags("controller.", config.controller_options)
    return shlex.join(words)


def rows(trials: list[Trial], names: list[str]) -> list[list[str]]:
    """A table of the trials, its headings first: number, validation, control steps, the swept values, a note.

    Args:
        trials: best first.
        names: names of the options that were varied.
    """
    table = [["trial", "validation", "steps", *names, ""]]
    for trial in trials:
        number = Path(trial.folder).name
        validation = "" if trial.validation is None else f"{trial.validation:,.4g}"
        values = [show(trial.values[name]) for name in names]
        table.append([number, validation, f"{trial.steps:,}", *values, trial.note])
    return table


def show(value: Any) -> str:
    """A swept value as a short text: four digits, and items of a list parted by blanks."""
    if isinstance(value, list | tuple):
        return " ".join(show(item) for item in value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def picture(path: Path, overs: list[Over], trials: list[Trial]) -> None:
    """Draw validation against every swept option, side by side; the best is red, stopped trials are hollow.

    Args:
        path: path of the png file.
        overs: the options that were varied, a panel each.
        trials: all trials, best first; those that failed have no point.
    """
    import matplotlib

    # Chosen before pyplot is imported: sweeps run where there is no screen.
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    finished = [trial for trial in trials if trial.validation is not None]
    width = LABEL_WIDTH + PANEL_WIDTH * len(overs)
    plot, grid = plt.subplots(
        1, len(overs), figsize=(width, PICTURE_HEIGHT), sharey=True, squeeze=False
    )
    panels = grid[0]
    for panel, over in zip(panels, overs, strict=True):
        _draw_points(panel, over, finished)
        _set_range(panel, over)
        panel.set_xlabel(over.name)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("validation (best of the run)")
    title = f"{len(finished)} trials; red: the best"
    if any(trial.note for trial in finished):
        title += ", hollow: stopped early"
    plot.suptitle(title, fontsize=10)
    plot.tight_layout()
    image = io.BytesIO()
    plot.savefig(image, dpi=DOTS_PER_INCH, format="png")
    plt.close(plot)
    write_atomic(path, image.getvalue())


def _draw_points(panel: Axes, over: Over, trials: Sequence[Trial]) -> None:
    """Draw the validation of `trials` (best first) against one option; changes `panel`."""
    # The best last, so that no other point covers it.
    for rank, trial in reversed(list(enumerate(trials))):
        color = BEST_COLOR if rank == 0 else OTHER_COLOR
        assert trial.validation is not None, "trials that failed have no point"
        stopped_early = bool(trial.note)
        panel.scatter(
            [_place(over, trial.values[over.name])],
            [trial.validation],
            s=36,
            facecolors="none" if stopped_early else color,
            edgecolors=color,
            zorder=3,
        )


def _place(over: Over, value: Any) -> Any:
    """Where a value stands on the axis of its option: the number itself, or the index of a choice."""
    if not over.choices:
        return value
    # Compared as texts: Tune gives a tuple back as a list.
    texts = [show(choice) for choice in over.choices]
    return texts.index(show(value))


def _set_range(panel: Axes, over: Over) -> None:
    """Give the axis of an option its scale, its ends and its labels; changes `panel`."""
    from matplotlib.ticker import NullFormatter

    if over.choices:
        count = len(over.choices)
        panel.set_xticks(range(count), [show(choice) for choice in over.choices])
        panel.set_xlim(-0.5, count - 0.5)
    elif over.log:
        panel.set_xscale("log")
        panel.set_xlim(over.low / LOG_MARGIN, over.high * LOG_MARGIN)
        panel.xaxis.set_minor_formatter(NullFormatter())
    else:
        margin = LINEAR_MARGIN * (over.high - over.low)
        panel.set_xlim(over.low - margin, over.high + margin)


def _short_task(task: str) -> str:
    """The short name of a task, with the module in front where its id has one."""
    module, _, id = task.rpartition(":")
    if module:
        return f"{module}:{short_name(id)}"
    return short_name(id)


def _flags(prefix: str, options: Mapping[str, Any]) -> list[str]:
    """Options as words of a command line: ``--controller.hidden 32 32``, ``--no-clock``."""
    words = []
    for name, value in options.items():
        flag = f"{prefix}{name}".replace("_", "-")
        if isinstance(value, bool):
            # tyro writes a flag that is off as --controller.no-clock, not as --no-controller.clock.
            switch = name if value else f"no-{name}"
            words.append(f"--{prefix}{switch}".replace("_", "-"))
        elif isinstance(value, list | tuple):
            words.append(f"--{flag}")
            words += [str(item) for item in value]
        else:
            words += [f"--{flag}", str(value)]
    return words

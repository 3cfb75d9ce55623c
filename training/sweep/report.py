"""What a sweep leaves: the trials as a table and as JSON, the best as a configuration, a picture of all."""

from __future__ import annotations

import dataclasses
import io
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...files import to_json, write_atomic
from ...tasks import short_name
from ..config import Config
from .ranges import Over
from .search import Trial, merged


def write(folder: Path, base: Config, overs: list[Over], trials: list[Trial]) -> Config | None:
    """Write `trials.json`, `best.yaml` and `sweep.png`; the best configuration, None where every trial failed."""
    table = [dataclasses.asdict(trial) for trial in trials]
    write_atomic(folder / "trials.json", to_json(table, indent=1))
    if trials[0].validation is None:
        return None
    best = merged(base, trials[0].values)
    best.write(folder / "best.yaml")
    picture(folder / "sweep.png", overs, trials)
    return best


def command(config: Config) -> str:
    """The command that trains with a configuration."""
    words = [
        "lancelet",
        "train",
        _short(config.task),
        config.controller,
        "--algorithm",
        config.algorithm,
    ]
    words += _flags("", config.algorithm_options) + _flags("", config.task_options)
    return shlex.join(words + _flags("controller.", config.controller_options))


def rows(trials: list[Trial], names: list[str]) -> list[list[str]]:
    """Head and a row a trial: number, validation, control steps, the swept values, a note."""
    found = [["trial", "validation", "steps", *names, ""]]
    for trial in trials:
        score = "" if trial.validation is None else f"{trial.validation:,.4g}"
        values = [show(trial.values[name]) for name in names]
        found.append([Path(trial.folder).name, score, f"{trial.steps:,}", *values, trial.note])
    return found


def show(value: Any) -> str:
    """A swept value, short."""
    if isinstance(value, list | tuple):
        return " ".join(map(show, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def picture(path: Path, overs: list[Over], trials: list[Trial]) -> None:
    """Validation against every swept option, side by side; the best in another colour, stopped trials hollow."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter

    done = [trial for trial in trials if trial.validation is not None]
    plot, axes = plt.subplots(
        1, len(overs), figsize=(1 + 3.2 * len(overs), 3.4), sharey=True, squeeze=False
    )
    for axis, over in zip(axes[0], overs, strict=True):
        for rank, trial in reversed(list(enumerate(done))):
            value, color = trial.values[over.name], "C3" if rank == 0 else "C0"
            x = (
                [show(choice) for choice in over.choices].index(show(value))
                if over.choices
                else value
            )
            face = "none" if trial.note else color
            axis.scatter([x], [trial.validation], s=36, facecolors=face, edgecolors=color, zorder=3)
        if over.choices:
            axis.set_xticks(range(len(over.choices)), [show(choice) for choice in over.choices])
            axis.set_xlim(-0.5, len(over.choices) - 0.5)
        elif over.log:
            axis.set_xscale("log")
            axis.set_xlim(over.low / 1.3, over.high * 1.3)
            axis.xaxis.set_minor_formatter(NullFormatter())
        else:
            margin = 0.05 * (over.high - over.low)
            axis.set_xlim(over.low - margin, over.high + margin)
        axis.set_xlabel(over.name)
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("validation (best of the run)")
    stopped = ", hollow: stopped early" if any(trial.note for trial in done) else ""
    plot.suptitle(f"{len(done)} trials; red: the best{stopped}", fontsize=10)
    plot.tight_layout()
    drawn = io.BytesIO()
    plot.savefig(drawn, dpi=120, format="png")
    plt.close(plot)
    write_atomic(path, drawn.getvalue())


def _short(task: str) -> str:
    module, _, rest = task.rpartition(":")
    return f"{module}:{short_name(rest)}" if module else short_name(rest)


def _flags(prefix: str, options: Mapping[str, Any]) -> list[str]:
    words = []
    for name, value in options.items():
        flag = f"{prefix}{name}".replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{prefix}{'' if value else 'no-'}{name}".replace("_", "-"))
        elif isinstance(value, list | tuple):
            words += [f"--{flag}", *map(str, value)]
        else:
            words += [f"--{flag}", str(value)]
    return words

"""Returns of every committed configuration (training/configs): IQM and 95 % interval, deterministic and sampled.

Writes BENCHMARKS.md. Runs lie under runs/configs, those of `lancelet reproduce reinforcement` among them, and are
taken up where they stopped; ``--quick`` trains nothing and measures those that are there. A configuration that was not
run says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lancelet import controllers, training
from lancelet.controllers.store import FILE, describe
from lancelet.files import write_atomic
from lancelet.scripts.rows import Row, header
from lancelet.tasks import short_name
from lancelet.training.config import Config, committed, folder, train_all
from lancelet.training.report import interquartile
from lancelet.training.runs import read_log

STARTS = 64
"""held-out start states: seeds 0 .. 63, never trained or selected on"""
HEAD = ("task", "controller", "parameters", "algorithm", "steps", "seeds", "deterministic", "sampled")


@dataclass(frozen=True)
class Line:
    """One configuration, measured."""

    cells: tuple[str, ...]
    rows: tuple[Row, ...]


def run(quick: bool) -> list[Row]:
    """All rows; `quick` trains nothing."""
    configs = committed()
    if not quick:
        train_all(configs)
    lines = [measure(name, config) for name, config in configs.items()]
    write_atomic("BENCHMARKS.md", page(lines, f"lancelet bench table{' --quick' if quick else ''}"))
    return [row for line in lines for row in line.rows]


def measure(name: str, config: Config) -> Line:
    """Score the run of every seed on the held-out start states."""
    folders = [folder(name, seed) for seed in range(config.seeds)]
    done = [path for path in folders if (path / FILE).exists()]
    who = (short_name(config.task), config.controller, config.algorithm)
    if not done:
        note = f"not run: no {folders[0]} here; `lancelet bench table` trains it"
        cells = (who[0], who[1], "-", who[2], "-", "-", "not run", "not run")
        return Line(cells, (Row(" ".join(who), "info", note=note),))
    returns: dict[str, list[np.ndarray]] = {"deterministic": [], "sampled": []}
    count, steps, task = 0, [], config.task_fields()
    for path in done:
        controller, std = controllers.load(path), describe(path)["notes"].get("std")
        count = controller.parameter_count
        steps.append(read_log(path)[-1]["steps"])
        returns["deterministic"].append(training.evaluate(controller, config.task, STARTS, **task).returns)
        if std:
            returns["sampled"].append(training.evaluate(controller, config.task, STARTS, std=std, **task).returns)
    rows, shown = [], []
    for how, found in returns.items():
        if not found:
            shown.append("no action noise")
            continue
        value, interval = interquartile(np.stack(found))
        note = f"IQM over {STARTS} held-out start states a seed; {count} parameters"
        rows.append(Row(f"{' '.join(who)}, {how}", "info", value, seeds=len(found), interval=interval, note=note))
        shown.append(f"{value:.1f} [{interval[0]:.1f}, {interval[1]:.1f}]")
    cells = (who[0], who[1], f"{count:,}", who[2], f"{max(steps):,.0f}", str(len(done)), *shown)
    return Line(cells, tuple(rows))


def page(lines: list[Line], command: str) -> str:
    """BENCHMARKS.md."""
    about = "".join(f"- {key}: {value}\n" for key, value in {"command": f"`{command}`", **header()}.items())
    table = [HEAD, ("---",) * len(HEAD), *(line.cells for line in lines)]
    text = "".join("| " + " | ".join(cells) + " |\n" for cells in table)
    return (
        "# Benchmarks\n\nReturn of each configuration in `training/configs/`: interquartile mean over seeds and "
        f"{STARTS} held-out start states a seed, with its 95 % bootstrap interval over seeds. The controller is the "
        "run's best by validation; *sampled* adds the action noise it was trained with. With `--quick` only runs that "
        "were there already are measured: a row that was not run says so, and seeds are those that were.\n\n"
        f"{about}\n{text}"
    )

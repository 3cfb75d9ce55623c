"""Returns of every committed configuration (training/configs): IQM and 95 % interval, deterministic and sampled.

Writes BENCHMARKS.md. Runs lie under runs/configs, those of `lancelet reproduce reinforcement` among them, and are
taken up where they stopped; ``--quick`` trains nothing. What is measured are weights that are kept in results/table,
where each run leaves them: every training of a small controller, the best one (by validation) of a large one. A
configuration whose weights are not there says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lancelet import controllers, training
from lancelet.controllers.store import FILE, describe
from lancelet.files import write_atomic
from lancelet.scripts.rows import Row, header
from lancelet.tasks import short_name
from lancelet.training.config import Config, committed, folder, train_all
from lancelet.training.rollout import Score
from lancelet.training.runs.folder import read_log
from lancelet.training.statistics import interquartile

STARTS = 64
"""held-out start states: seeds 0 .. 63, never trained or selected on"""
KEPT = Path("results/table")
"""weights that the table is measured with"""
SMALL = 5_000
"""weights of a controller up to which all trainings are kept; of a larger one only the best: 2 MB are the limit"""
HEAD = (
    "task",
    "controller",
    "parameters",
    "algorithm",
    "steps",
    "trainings",
    "deterministic",
    "sampled",
    "centre of mass, m/s",
)


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
    for name, config in configs.items():
        keep(name, config)
    lines = [measure(name, config) for name, config in configs.items()]
    write_atomic("BENCHMARKS.md", page(lines, f"lancelet bench table{' --quick' if quick else ''}"))
    return [row for line in lines for row in line.rows]


def keep(name: str, config: Config) -> None:
    """Leave the weights of the runs that are here in `KEPT`, with what the table tells of each run."""
    runs = [(seed, folder(name, seed)) for seed in range(config.seeds)]
    runs = [(seed, path) for seed, path in runs if (path / FILE).exists()]
    if not runs:
        return
    logs = {seed: read_log(path) for seed, path in runs}
    best = {
        seed: max(line.get("validation", -np.inf) for line in log) for seed, log in logs.items()
    }
    chosen = max(best, key=lambda seed: best[seed])
    KEPT.mkdir(parents=True, exist_ok=True)
    for seed, path in runs:
        one = controllers.load(path)
        if one.parameter_count > SMALL and seed != chosen:
            continue
        notes = {
            "seed": seed,
            "steps": logs[seed][-1]["steps"],
            "std": describe(path)["notes"].get("std"),
        }
        controllers.save(one, KEPT / f"{name}-{seed}.safetensors", **notes)


def measure(name: str, config: Config) -> Line:
    """Score the kept weights of every training on the held-out start states."""
    files = [KEPT / f"{name}-{seed}.safetensors" for seed in range(config.seeds)]
    files = [file for file in files if file.exists()]
    who = (short_name(config.task), config.controller, config.algorithm)
    if not files:
        note = f"not run: no {KEPT}/{name}-0.safetensors here; `lancelet bench table` trains it"
        cells = (who[0], who[1], "-", who[2], "-", "-", "not run", "not run", "-")
        return Line(cells, (Row(" ".join(who), "info", note=note),))
    scores: dict[str, list[Score]] = {"deterministic": [], "sampled": []}
    count = 0
    steps = []
    task = config.task_fields()
    for file in files:
        controller = controllers.load(file)
        notes = describe(file)["notes"]
        count = controller.parameter_count
        steps.append(notes["steps"])
        scores["deterministic"].append(training.evaluate(controller, config.task, STARTS, **task))
        if notes["std"]:
            scores["sampled"].append(
                training.evaluate(controller, config.task, STARTS, std=notes["std"], **task)
            )
    rows = []
    shown = []
    for how, found in scores.items():
        if not found:
            shown.append("no action noise")
            continue
        value, interval = interquartile(np.stack([score.returns for score in found]))
        note = f"IQM over {STARTS} held-out start states a training; {count} parameters"
        speeds = _com_speeds(found)
        if speeds.size:
            note += f"; centre of mass {speeds.mean():.3f} m/s"
        rows.append(
            Row(
                f"{' '.join(who)}, {how}",
                "info",
                value,
                seeds=len(found),
                interval=interval,
                note=note,
                seeds_of="trainings",
            )
        )
        shown.append(f"{value:.1f} [{interval[0]:.1f}, {interval[1]:.1f}]")
    trainings = f"{len(files)} of {config.seeds}"
    speeds = _com_speeds(scores["deterministic"])
    speed = f"{speeds.mean():.3f}" if speeds.size else "-"
    cells = (who[0], who[1], f"{count:,}", who[2], f"{max(steps):,.0f}", trainings, *shown, speed)
    return Line(cells, tuple(rows))


def _com_speeds(scores: list[Score]) -> np.ndarray:
    """Speed of the centre of mass in every episode, m/s; empty for a task that does not measure it."""
    speeds = [score.metrics["com_speed"] for score in scores if "com_speed" in score.metrics]
    return np.concatenate(speeds) if speeds else np.empty(0)


def page(lines: list[Line], command: str) -> str:
    """BENCHMARKS.md."""
    about = "".join(
        f"- {key}: {value}\n" for key, value in {"command": f"`{command}`", **header()}.items()
    )
    table = [HEAD, ("---",) * len(HEAD), *(line.cells for line in lines)]
    text = "".join("| " + " | ".join(cells) + " |\n" for cells in table)
    return (
        "# Benchmarks\n\nReturn of each configuration in `training/configs/`: interquartile mean over trainings and "
        f"{STARTS} held-out start states each, with its 95 % bootstrap interval over trainings (of one: over start "
        "states). The controller is the run's best by validation; *sampled* adds the action noise it was trained "
        f"with. The figures are of the weights in `{KEPT}/`: all trainings of controllers of up to {SMALL:,} "
        "parameters, the best training of larger ones; a row whose weights are not there says so. The last column "
        "stands beside the return because the head's speed is what is paid: a head that beats on the spot earns a "
        "return and goes nowhere.\n\n"
        f"{about}\n{text}"
    )

"""Returns of every committed configuration (training/configs): IQM and 95 % interval, deterministic and sampled.

Writes BENCHMARKS.md. Runs lie under runs/configs, those of `lancelet reproduce reinforcement` among them, and are
taken up where they stopped; ``--quick`` trains nothing. What is measured are weights that are kept in results/table,
where each run leaves them: every training of a small controller, the best one (by validation) of a large one. A
configuration whose weights are not there says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
"""folder of the weights that the table is measured with"""
SMALL = 5_000
"""weights of a controller up to which those of all trainings are kept; of a larger one only the best: 2 MB are the
limit of what is kept of a configuration"""
DETERMINISTIC = "deterministic"
"""heading of the return of the controller alone"""
SAMPLED = "sampled"
"""heading of the return with the action noise of training"""
COM_SPEED = "centre of mass, m/s"
"""heading of the speed of the body"""
HEADINGS = (
    "task",
    "controller",
    "parameters",
    "algorithm",
    "steps",
    "trainings",
    DETERMINISTIC,
    SAMPLED,
    COM_SPEED,
)
"""columns of the table, in order; a line without a text has "-" there"""


@dataclass(frozen=True)
class Line:
    """One configuration, measured."""

    cells: dict[str, str]
    """heading of the table -> text under it"""
    rows: tuple[Row, ...]
    """its rows for the terminal and the JSON"""


def run(quick: bool) -> list[Row]:
    """All rows; `quick` trains nothing."""
    configs = committed()
    if not quick:
        train_all(configs)
    for name, config in configs.items():
        keep(name, config)
    lines = [measure(name, config) for name, config in configs.items()]
    command = "lancelet bench table --quick" if quick else "lancelet bench table"
    write_atomic("BENCHMARKS.md", page(lines, command))
    return [row for line in lines for row in line.rows]


def keep(name: str, config: Config) -> None:
    """Leave the weights of the runs that are here in `KEPT`, with what the table tells of each run."""
    runs = {}
    for seed in range(config.seeds):
        path = folder(name, seed)
        if (path / FILE).exists():
            runs[seed] = path
    if not runs:
        return
    logs = {seed: read_log(path) for seed, path in runs.items()}
    validations = {seed: _best_validation(log) for seed, log in logs.items()}
    best_seed = max(validations, key=lambda seed: validations[seed])
    KEPT.mkdir(parents=True, exist_ok=True)
    for seed, path in runs.items():
        controller = controllers.load(path)
        is_large = controller.parameter_count > SMALL
        if is_large and seed != best_seed:
            continue
        notes = {
            "seed": seed,
            "steps": logs[seed][-1]["steps"],
            "std": describe(path)["notes"].get("std"),
        }
        controllers.save(controller, _kept_file(name, seed), **notes)


def _kept_file(name: str, seed: int) -> Path:
    """Where the weights of one training of a configuration are kept."""
    return KEPT / f"{name}-{seed}.safetensors"


def _best_validation(log: Sequence[Mapping[str, float]]) -> float:
    """The best validation in a log; -inf where it has none."""
    return max(line.get("validation", -np.inf) for line in log)


def measure(name: str, config: Config) -> Line:
    """Score the kept weights of every training on the held-out start states.

    Args:
        name: name of the configuration: of its file.
        config: the configuration.
    """
    files = [_kept_file(name, seed) for seed in range(config.seeds)]
    files = [file for file in files if file.exists()]
    task = short_name(config.task)
    cells = {"task": task, "controller": config.controller, "algorithm": config.algorithm}
    title = f"{task} {config.controller} {config.algorithm}"
    if not files:
        note = f"not run: no {_kept_file(name, 0)} here; `lancelet bench table` trains it"
        not_run = {DETERMINISTIC: "not run", SAMPLED: "not run"}
        return Line(cells=cells | not_run, rows=(Row(title, "info", note=note),))

    scores: dict[str, list[Score]] = {DETERMINISTIC: [], SAMPLED: []}
    parameter_count = 0
    steps = []
    task_fields = config.task_fields()
    for file in files:
        controller = controllers.load(file)
        notes = describe(file)["notes"]
        parameter_count = controller.parameter_count
        steps.append(notes["steps"])
        score = training.evaluate(controller, config.task, STARTS, **task_fields)
        scores[DETERMINISTIC].append(score)
        if notes["std"]:
            noisy_score = training.evaluate(
                controller, config.task, STARTS, std=notes["std"], **task_fields
            )
            scores[SAMPLED].append(noisy_score)

    rows = []
    for actions, scores_of_trainings in scores.items():
        if not scores_of_trainings:
            cells[actions] = "no action noise"
            continue
        row = _row(f"{title}, {actions}", scores_of_trainings, parameter_count)
        rows.append(row)
        low, high = row.interval or (np.nan, np.nan)
        cells[actions] = f"{row.value:.1f} [{low:.1f}, {high:.1f}]"
    cells["parameters"] = f"{parameter_count:,}"
    cells["steps"] = f"{max(steps):,.0f}"
    cells["trainings"] = f"{len(files)} of {config.seeds}"
    speeds = _com_speeds(scores[DETERMINISTIC])
    if speeds.size:
        cells[COM_SPEED] = f"{speeds.mean():.3f}"
    return Line(cells=cells, rows=tuple(rows))


def _row(name: str, scores: list[Score], parameter_count: int) -> Row:
    """The interquartile mean of returns over trainings and start states.

    Args:
        name: name of the row.
        scores: one a training.
        parameter_count: weights of the controller.
    """
    value, interval = interquartile(np.stack([score.returns for score in scores]))
    note = f"IQM over {STARTS} held-out start states a training; {parameter_count} parameters"
    speeds = _com_speeds(scores)
    if speeds.size:
        note += f"; centre of mass {speeds.mean():.3f} m/s"
    return Row(
        name=name,
        kind="info",
        value=value,
        seeds=len(scores),
        interval=interval,
        note=note,
        seeds_of="trainings",
    )


def _com_speeds(scores: list[Score]) -> np.ndarray:
    """Speed of the centre of mass in every episode, m/s; empty for a task that does not measure it."""
    speeds = [score.metrics["com_speed"] for score in scores if "com_speed" in score.metrics]
    if not speeds:
        return np.empty(0)
    return np.concatenate(speeds)


def page(lines: list[Line], command: str) -> str:
    """The text of BENCHMARKS.md: what the table holds, how it came about, the table.

    Args:
        lines: one a configuration.
        command: what was run, as it is typed.
    """
    facts = {"command": f"`{command}`", **header()}
    facts_as_list = "".join(f"- {name}: {value}\n" for name, value in facts.items())
    return f"# Benchmarks\n\n{_about()}\n\n{facts_as_list}\n{_markdown_table(lines)}"


def _about() -> str:
    """What the figures of the table are: each sentence tells a rule of `keep`, `measure` or `_row`."""
    # `interquartile` gives the mean and its interval.
    figures = (
        "Return of each configuration in `training/configs/`: interquartile mean over trainings and "
        f"{STARTS} held-out start states each, with its 95 % bootstrap interval over trainings (of one: over start "
        "states)."
    )
    # `training.evaluate`, without and with `std`, in `measure`.
    columns = f"The controller is the run's best by validation; *{SAMPLED}* adds the action noise it was trained with."
    # `keep`.
    weights = (
        f"The figures are of the weights in `{KEPT}/`: all trainings of controllers of up to {SMALL:,} "
        "parameters, the best training of larger ones; a row whose weights are not there says so."
    )
    # `COM_SPEED`, the last of `HEADINGS`.
    last_column = (
        "The last column stands beside the return because the head's speed is what is paid: a head that beats on the "
        "spot earns a return and goes nowhere."
    )
    return " ".join([figures, columns, weights, last_column])


def _markdown_table(lines: list[Line]) -> str:
    """The table in Markdown, with `HEADINGS` over its columns."""
    rows = [list(HEADINGS), ["---"] * len(HEADINGS)]
    for line in lines:
        rows.append([line.cells.get(heading, "-") for heading in HEADINGS])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)

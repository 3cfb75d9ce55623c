"""Pictures of the bilateral study: forest of contrasts, paths, speeds, stiffness, lesions, error against effort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib

# Before pyplot is imported: pictures go to files, and no display is needed.
matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from lancelet.morphology.arm import Arm
from lancelet.scripts.studies.axes import tidy
from lancelet.scripts.studies.bilateral import measures
from lancelet.scripts.studies.bilateral.contrasts import INTERACTION, SIGNIFICANT, Contrast
from lancelet.scripts.studies.bilateral.measures import Figures, Lesions
from lancelet.scripts.studies.bilateral.models import BATCH, MODES, VALIDATE, Brain, Brains
from lancelet.scripts.studies.bilateral.plant import TaskName
from lancelet.scripts.study import Study
from lancelet.training.twins.losses import Mode

COLORS = {
    "U-N": "#7f7f7f",
    "U-D": "#d1495b",
    "U-ND": "#1f6f8b",
    "B-N": "#b9a44c",
    "B-S": "#8a6fb0",
    "CC-N": "#d99a2b",
    "CC-S": "#3c8d53",
    "U8-N": "#b8b8b8",
    "E-N": "#444444",
}
BETTER_COLOR = "#1f6f8b"
"""of a contrast that is below 1 by p after correction"""
WORSE_COLOR = "#d1495b"
"""of a contrast that is above 1 by p after correction"""
UNDECIDED_COLOR = "black"
FAINT = "#444444"
NAMES = {
    "U-D": "dominant hand (loss 1)",
    "U-ND": "non-dominant hand (loss 2)",
    "B-S": "two columns, specialised",
    "CC-S": "with callosum, specialised",
}
"""models whose movements are drawn -> what titles call them"""
LEGEND = (
    "U: one column of 10 units, B: two of 5, CC: two with callosum. N: mixed loss, D: loss 1 (distance, smoothness), "
    "ND: loss 2 (squared distance,\neffort), S: loss 1 drives the left column, loss 2 the right. "
    "U8-N: one column of 8 units. E-N: mean of two networks of 5."
)
MODE_TITLES: dict[str, str] = {
    "intended": "loss as intended",
    "as_released": "loss as the code was released",
}
ERROR_LABELS: dict[TaskName, str] = {
    "reach": "hand's error at 0.5 s (m)",
    "hold": "hand's mean error over 0.5 s (m)",
}
RATIO_TICKS = (0.1, 0.2, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.5, 2.0, 5.0, 10.0)
"""where an axis of ratios may have ticks"""
CENTIMETRES = 100
"""in a metre"""
MILLISECONDS_A_STEP = 10
"""of a control step"""
ELLIPSE_LENGTH = 0.12
"""m, that the half axis of an ellipse of median stiffness has in the picture"""
ELLIPSE_POINTS = 73
"""of the outline: one every 5 degrees, the first again at the end"""
LESIONED = ("B-N", "B-S", "CC-N", "CC-S")
"""models whose lesions are drawn: those with two columns"""
DARK_CELL = 6
"""cost of a lesion above which its cell is so dark that its number is white"""

Paths = dict[str, np.ndarray]
"""model -> hand paths of the standard reaches, m, (seeds, directions, steps + 1, 2)"""


@dataclass(frozen=True)
class Results:
    """What the study measured, as the pictures show it."""

    brains: Mapping[Mode, Mapping[TaskName, Brains]]
    """The networks of each loss mode and task."""
    figures: Mapping[Mode, Mapping[TaskName, Figures]]
    """Mean metrics of the models."""
    contrasts: Mapping[Mode, Mapping[str, Contrast]]
    """Planned contrasts by name."""
    lesions: Mapping[Mode, Mapping[TaskName, Lesions]]
    """Errors with parts of the networks silent."""
    curves: Mapping[str, Mapping[str, np.ndarray]]
    """Cell -> model -> mixed loss on held trials, (validations, seeds); empty where nothing was trained."""


def draw(study: Study, results: Results) -> None:
    """Draw all pictures into the study's folder and report."""
    _forest(study, results.contrasts)
    _frontier(study, results.figures)
    paths: dict[Mode, Paths] = {}
    for mode in MODES:
        brains = results.brains[mode]["reach"]
        paths[mode] = {name: measures.paths(brains[name]) for name in NAMES}
    _paths(study, paths)
    _speeds(study, paths)
    _stiffness(study, results.brains["intended"]["hold"])
    _lesions(study, results.lesions)
    if results.curves:
        _curves(study, results.curves)


def _footnote(plot: Figure, details: str) -> None:
    """Write under the picture what the models' names stand for, and a line of details."""
    plot.tight_layout()
    plot.text(0.01, -0.01, f"{LEGEND}\n{details}", fontsize=8, va="top", color=FAINT)


def _ticks(axes: Axes, ticks: Sequence[float]) -> None:
    """Make the x axis logarithmic, with plain numbers at those ticks that are within its limits."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    shown = [tick for tick in ticks if low <= tick <= high]
    axes.set_xticks(shown, [f"{tick:g}" for tick in shown], fontsize=8)
    axes.minorticks_off()


def _forest(study: Study, contrasts: Mapping[Mode, Mapping[str, Contrast]]) -> None:
    """Ratio and interval of every planned contrast, a column a loss mode."""
    plot, columns = plt.subplots(1, 2, figsize=(12, 6.4), sharey=True)
    # Only the first mode has the baselines: its contrasts are all there are.
    names = list(contrasts[MODES[0]])
    for axes, mode in zip(columns, MODES, strict=True):
        for row, name in enumerate(names):
            if name in contrasts[mode]:
                _forest_row(axes, row, contrasts[mode][name])
        axes.axvline(1, color="grey", linewidth=0.8)
        for row in _first_rows_of_tasks(names):
            axes.axhline(row - 0.5, color="lightgrey", linewidth=0.8)
        _ticks(axes, RATIO_TICKS)
        axes.set_xlabel("ratio of errors (less than 1: the first is better)")
        tidy(axes, MODE_TITLES[mode])
    columns[0].set_yticks(range(len(names)), [_forest_label(name) for name in names], fontsize=8)
    # The first contrast stands on top.
    columns[0].invert_yaxis()
    _footnote(
        plot,
        "Dot: geometric mean over seeds; bar: 95 % bootstrap interval. "
        f"Blue, red: p < {SIGNIFICANT:g} after Holm.",
    )
    caption = (
        "Planned contrasts: error of the first model over the second "
        "(reach: at 0.5 s; hold: mean over 0.5 s)."
    )
    study.picture("forest", caption, plot)


def _forest_row(axes: Axes, row: int, contrast: Contrast) -> None:
    """Draw one contrast at the height `row`."""
    if not contrast.is_significant:
        color = UNDECIDED_COLOR
    elif contrast.ratio < 1:
        color = BETTER_COLOR
    else:
        color = WORSE_COLOR
    axes.plot(contrast.interval, (row, row), color=color, linewidth=1.6)
    axes.plot(contrast.ratio, row, "o", color=color, markersize=5)


def _first_rows_of_tasks(names: Sequence[str]) -> list[int]:
    """Rows, but for row 0, whose contrast is of another task than the one before; names are ``task first/second``."""
    tasks = [name.split()[0] for name in names]
    return [row for row in range(1, len(tasks)) if tasks[row] != tasks[row - 1]]


def _forest_label(name: str) -> str:
    """What the forest calls a contrast."""
    if name == INTERACTION:
        return "(U-D / U-ND on reach) / (on hold)"
    return name.replace(" ", ": ").replace("/", " / ")


def _frontier(study: Study, figures: Mapping[Mode, Mapping[TaskName, Figures]]) -> None:
    """Error against effort of every model, a row a loss mode and a column a task."""
    plot, grid = plt.subplots(2, 2, figsize=(10, 7.4))
    for row, mode in zip(grid, MODES, strict=True):
        for axes, (task, models) in zip(row, figures[mode].items(), strict=True):
            for name, metrics in models.items():
                effort = metrics["E"]
                error = metrics[measures.error_metric(task)]
                color = COLORS[name]
                axes.plot(
                    effort, error, "o", color=color, markersize=3, alpha=0.45, markeredgewidth=0
                )
                axes.plot(effort.mean(), error.mean(), "o", color=color, markersize=8, label=name)
            efforts = np.concatenate([metrics["E"] for metrics in models.values()])
            _ticks(axes, _effort_ticks(efforts))
            axes.set_xlabel("effort: mean squared excitation")
            axes.set_ylabel(ERROR_LABELS[task])
            tidy(axes, f"{task}, {MODE_TITLES[mode]}")
    grid[0, 0].legend(fontsize=8, ncols=2, framealpha=0.7, edgecolor="none")
    _footnote(plot, "Small dots: seeds; large: their mean. Down and to the left is better in both.")
    study.picture("frontier", "Error against effort of every model.", plot)


def _effort_ticks(efforts: np.ndarray) -> list[float]:
    """Where an axis of efforts may have ticks: several a decade where few decades are shown, else one."""
    digits = (1, 2, 3, 5, 7) if efforts.max() < 50 * efforts.min() else (1,)
    ticks = []
    for power in range(-5, 0):
        ticks += [digit * 10.0**power for digit in digits]
    return ticks


def _paths(study: Study, paths: Mapping[Mode, Paths]) -> None:
    """Hand paths of the standard reaches, a row a loss mode and a column a model."""
    plot, grid = plt.subplots(2, 4, figsize=(13, 7.2), sharex=True, sharey=True)
    start = Arm().hand(measures.CENTRE)
    targets = CENTIMETRES * measures.RADIUS * measures.directions()
    for row, mode in zip(grid, MODES, strict=True):
        for axes, (name, hands) in zip(row, paths[mode].items(), strict=True):
            for seed, of_seed in enumerate(hands):
                # One seed is drawn strongly, so that single paths can be followed.
                style = {"linewidth": 0.5, "alpha": 0.35}
                if seed == 0:
                    style = {"linewidth": 1.3, "alpha": 1.0}
                for path in CENTIMETRES * (of_seed - start):
                    axes.plot(path[:, 0], path[:, 1], color=COLORS[name], **style)
            axes.plot(
                targets[:, 0], targets[:, 1], "o", color="black", markersize=5, fillstyle="none"
            )
            axes.plot(0, 0, "+", color="black")
            axes.set_aspect("equal")
            title = f"{name}: {NAMES[name]}" if mode == MODES[0] else name
            tidy(axes, title)
            axes.set_xlim(-27, 27)
            axes.set_ylim(-27, 27)
        row[0].set_ylabel(f"{MODE_TITLES[mode]}\ncm, away from the body")
    for axes in grid[1]:
        axes.set_xlabel("cm, to the side")
    plot.tight_layout()
    caption = (
        "Hand paths of eight reaches of 15 cm from one place in 0.5 s (rings: targets). "
        "Strong: seed 0; faint: the other seeds."
    )
    study.picture("paths", caption, plot)


def _speeds(study: Study, paths: Mapping[Mode, Paths]) -> None:
    """Speed of the hand over time, mean over the standard reaches, a column a loss mode."""
    plot, columns = plt.subplots(1, 2, figsize=(11, 3.8), sharey=True)
    for axes, mode in zip(columns, MODES, strict=True):
        for name, hands in paths[mode].items():
            # A step of 10 ms has 100 of them a second: metres a step times 100 are metres a second.
            speed = 100 * np.linalg.norm(np.diff(hands, axis=2), axis=-1).mean(1)
            middles = np.arange(speed.shape[1]) + 0.5
            times = MILLISECONDS_A_STEP * middles
            low = speed.min(0)
            high = speed.max(0)
            axes.fill_between(times, low, high, color=COLORS[name], alpha=0.15, linewidth=0)
            axes.plot(times, speed.mean(0), color=COLORS[name], label=f"{name}: {NAMES[name]}")
        axes.set_xlabel("ms after the target appears")
        tidy(axes, MODE_TITLES[mode])
    columns[0].set_ylabel("hand speed (m/s)")
    columns[1].legend(frameon=False, fontsize=8)
    plot.tight_layout()
    caption = (
        "Speed of the hand in the eight standard reaches, averaged over targets; "
        "band: range over seeds."
    )
    study.picture("speeds", caption, plot)


def _stiffness(study: Study, brains: Brains) -> None:
    """Ellipses of the hand's stiffness in three postures, a column a model."""
    stiffness = {name: _mean_stiffnesses(brains[name]) for name in NAMES}
    largest = []
    for of_postures in stiffness.values():
        largest += [np.linalg.norm(matrix, 2) for matrix in of_postures]
    typical = float(np.median(largest))
    scale = ELLIPSE_LENGTH / typical
    plot, columns = plt.subplots(1, 4, figsize=(13, 3.4), sharex=True, sharey=True)
    for axes, (name, of_postures) in zip(columns, stiffness.items(), strict=True):
        for posture, matrix in zip(measures.POSTURES, of_postures, strict=True):
            _stiffness_ellipse(axes, posture, matrix, scale, COLORS[name])
        axes.plot(0, 0, "s", color="grey", markersize=5)
        axes.set_aspect("equal")
        axes.set_xlim(-0.7, 0.5)
        axes.set_ylim(-0.12, 0.72)
        axes.set_xlabel("m, to the side")
        tidy(axes, f"{name}: {NAMES[name]}")
    # The scale bar stands for a power of ten of stiffness.
    bar = 10 ** np.floor(np.log10(typical))
    columns[0].plot((-0.65, -0.65 + bar * scale), (-0.06, -0.06), color="black", linewidth=2)
    columns[0].annotate(f"{bar:g} N/m", (-0.65, -0.045), fontsize=8)
    columns[0].set_ylabel("m, away from the body")
    plot.tight_layout()
    footnote = "Grey: arm, square: shoulder. Numbers: longest and shortest axis, N/m."
    plot.text(0.01, -0.01, footnote, fontsize=8, va="top")
    caption = (
        "Stiffness of the hand while holding in three postures: force that answers a displacement of one length, "
        "by direction, after 0.5 s; from the compliance averaged over seeds."
    )
    study.picture("stiffness", caption, plot)


def _mean_stiffnesses(brain: Brain) -> list[np.ndarray]:
    """Stiffness of the hand (2, 2), N/m, in each of `POSTURES`: the inverse of the compliance averaged over seeds."""
    stiffnesses = []
    for posture in measures.POSTURES:
        # Compliances are averaged, not stiffnesses: a seed that hardly yields would dominate the latter.
        compliance = measures.hand_compliance(brain, posture).mean(0)
        stiffnesses.append(np.linalg.pinv(compliance))
    return stiffnesses


def _stiffness_ellipse(
    axes: Axes, posture: tuple[float, float], stiffness: np.ndarray, scale: float, color: str
) -> None:
    """Draw the arm in a posture, and around its hand the forces that answer displacements of one length.

    Args:
        axes: drawn into, in m.
        posture: shoulder and elbow, rad.
        stiffness: N/m, (2, 2).
        scale: m of the picture for one N/m.
        color: of the ellipse.
    """
    arm = Arm()
    shoulder_angle, _ = posture
    hand = arm.hand(posture)
    elbow = arm.upper_length * np.array([np.cos(shoulder_angle), np.sin(shoulder_angle)])
    corners = np.stack([np.zeros(2), elbow, hand])
    axes.plot(corners[:, 0], corners[:, 1], color="lightgrey", linewidth=2, zorder=0)
    turns = np.linspace(0, 2 * np.pi, ELLIPSE_POINTS)
    unit_circle = np.stack([np.cos(turns), np.sin(turns)])
    ellipse = (hand[:, None] + scale * stiffness @ unit_circle).T
    axes.add_patch(Polygon(ellipse, fill=False, color=color, linewidth=1.6))
    longest, shortest = np.linalg.svd(stiffness)[1]
    hand_x, hand_y = hand
    place = (hand_x, hand_y + 0.13)
    axes.annotate(f"{longest:.0f} x {shortest:.0f}", place, fontsize=8, ha="center")


def _lesions(study: Study, lesions: Mapping[Mode, Mapping[TaskName, Lesions]]) -> None:
    """What each lesion costs each model, a row a loss mode and a column a task."""
    plot, grid = plt.subplots(2, 2, figsize=(12, 7.6), sharex=True, sharey=True)
    lesion_names = list(measures.LESIONS)
    image: Any = None
    for row, mode in zip(grid, MODES, strict=True):
        for axes, (task, errors) in zip(row, lesions[mode].items(), strict=True):
            cost = _lesion_costs(errors)
            for (line, column), value in np.ndenumerate(cost):
                if np.isnan(value):
                    continue
                color = "white" if value > DARK_CELL else "black"
                text = f"{value:.3g}"
                axes.text(column, line, text, ha="center", va="center", fontsize=9, color=color)
            image = axes.imshow(np.log2(cost), cmap="magma_r", vmin=0, vmax=4, aspect="auto")
            axes.set_xticks(range(len(LESIONED)), LESIONED)
            axes.set_yticks(range(len(lesion_names)), lesion_names, fontsize=9)
            axes.set_title(f"{task}, {MODE_TITLES[mode]}", loc="left", fontsize=10)
    plot.tight_layout()
    bar = plot.colorbar(image, ax=grid, shrink=0.6)
    # The image shows the binary logarithm of the cost.
    bar.set_ticks(range(5), labels=["1", "2", "4", "8", "16"])
    bar.set_label("error over that without a lesion")
    caption = (
        "What lesions cost: the task's error over that of the intact network, geometric mean over seeds. "
        "Empty: there is no callosum to cut."
    )
    study.picture("lesions", caption, plot)


def _lesion_costs(errors: Lesions) -> np.ndarray:
    """Error over that of the intact network, geometric mean over seeds: a row a lesion, a column a model.

    NaN where a model lacks the parts that a lesion names.
    """
    cost = np.full((len(measures.LESIONS), len(LESIONED)), np.nan)
    for column, name in enumerate(LESIONED):
        intact = errors[name][measures.NO_LESION]
        for row, lesion in enumerate(measures.LESIONS):
            if lesion in errors[name]:
                log_ratio = np.log(errors[name][lesion] / intact)
                cost[row, column] = np.exp(np.mean(log_ratio))
    return cost


def _curves(study: Study, curves: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Loss during training, a picture a cell."""
    plot, grid = plt.subplots(2, 2, figsize=(11, 7), sharex=True)
    # The cells come mode after mode, task after task: a row of the grid each mode.
    for axes, (cell, models) in zip(grid.ravel(), curves.items(), strict=True):
        for name, losses in models.items():
            # The halves of the ensemble have no colour: they are no models.
            if name not in COLORS:
                continue
            color = COLORS[name]
            steps = VALIDATE * np.arange(len(losses))
            axes.plot(steps, losses.mean(1), color=color, linewidth=1.1, label=name)
            low = losses.min(1)
            high = losses.max(1)
            axes.fill_between(steps, low, high, color=color, alpha=0.12, linewidth=0)
        axes.set_yscale("log")
        task, _, mode = cell.partition("-")
        tidy(axes, f"{task}, {MODE_TITLES[mode]}")
    for axes in grid[:, 0]:
        axes.set_ylabel("mixed loss, held trials")
    for axes in grid[1]:
        axes.set_xlabel(f"updates of {BATCH} trials")
    grid[0, 0].legend(frameon=False, fontsize=8, ncols=2)
    plot.tight_layout()
    caption = (
        "Training; lines: mean over seeds, bands: their range. "
        "All are judged by the mixed loss, whatever drives them."
    )
    study.picture("learning", caption, plot)

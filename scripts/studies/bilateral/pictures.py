"""Pictures of the bilateral study: forest of contrasts, paths, speeds, stiffness, lesions, error against effort."""

from __future__ import annotations

from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Polygon

from lancelet.morphology.arm import Arm
from lancelet.scripts.studies.axes import tidy
from lancelet.scripts.studies.bilateral import measures
from lancelet.scripts.studies.bilateral.models import MODES, VALIDATE
from lancelet.scripts.study import Study

COLORS = {
    "U-N": "#7f7f7f", "U-D": "#d1495b", "U-ND": "#1f6f8b", "B-N": "#b9a44c", "B-S": "#8a6fb0", "CC-N": "#d99a2b",
    "CC-S": "#3c8d53", "U8-N": "#b8b8b8", "E-N": "#444444",
}  # fmt: skip
NAMES = {
    "U-D": "dominant hand (loss 1)", "U-ND": "non-dominant hand (loss 2)", "B-S": "two columns, specialised",
    "CC-S": "with callosum, specialised",
}  # fmt: skip
LEGEND = (
    "U: one column of 10 units, B: two of 5, CC: two with callosum. N: mixed loss, D: loss 1 (distance, smoothness), "
    "ND: loss 2 (squared distance,\neffort), S: loss 1 drives the left column, loss 2 the right. "
    "U8-N: one column of 8 units. E-N: mean of two networks of 5."
)
TOLD = {"intended": "loss as intended", "as_released": "loss as the code was released"}
JUDGED = {"reach": "hand's error at 0.5 s (m)", "hold": "hand's mean error over 0.5 s (m)"}


def draw(study: Study, data: dict[str, Any]) -> None:
    """All pictures."""
    _forest(study, data["contrasts"])
    _frontier(study, data["figures"])
    walks = {
        mode: {name: measures.paths(data["brains"][mode]["reach"][name]) for name in NAMES}
        for mode in MODES
    }
    _paths(study, walks)
    _speeds(study, walks)
    _stiffness(study, data["brains"]["intended"]["hold"])
    _lesions(study, data["lesions"])
    if "curves" in data:
        _curves(study, data["curves"])


def _footnote(plot: Any, more: str = "") -> None:
    """What the models' names stand for, under the picture."""
    plot.tight_layout()
    plot.text(0.01, -0.01, f"{LEGEND}\n{more}", fontsize=8, va="top", color="#444444")


def _ticks(axes: Any, ticks: tuple[float, ...]) -> None:
    """A logarithmic x axis with plain numbers."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    shown = [tick for tick in ticks if low <= tick <= high]
    axes.set_xticks(shown, [f"{tick:g}" for tick in shown], fontsize=8)
    axes.minorticks_off()


def _forest(study: Study, contrasts: dict[str, Any]) -> None:
    plot, pair = plt.subplots(1, 2, figsize=(12, 6.4), sharey=True)
    keys = list(contrasts[MODES[0]])
    for axes, mode in zip(pair, MODES, strict=True):
        for row, key in enumerate(keys):
            if key not in contrasts[mode]:
                continue
            each = contrasts[mode][key]
            color = (
                "black" if each.corrected >= 0.05 else "#1f6f8b" if each.ratio < 1 else "#d1495b"
            )
            axes.plot(each.interval, (row, row), color=color, linewidth=1.6)
            axes.plot(each.ratio, row, "o", color=color, markersize=5)
        axes.axvline(1, color="grey", linewidth=0.8)
        for row in [
            k for k, key in enumerate(keys) if k and key.split()[0] != keys[k - 1].split()[0]
        ]:
            axes.axhline(row - 0.5, color="lightgrey", linewidth=0.8)
        _ticks(axes, (0.1, 0.2, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.5, 2.0, 5.0, 10.0))
        axes.set_xlabel("ratio of errors (less than 1: the first is better)")
        tidy(axes, TOLD[mode])
    told = {"interaction": "(U-D / U-ND on reach) / (on hold)"}
    labels = [told.get(key, key.replace(" ", ": ").replace("/", " / ")) for key in keys]
    pair[0].set_yticks(range(len(keys)), labels, fontsize=8)
    pair[0].invert_yaxis()
    _footnote(
        plot,
        "Dot: geometric mean over seeds; bar: 95 % bootstrap interval. Blue, red: p < 0.05 after Holm.",
    )
    caption = "Planned contrasts: error of the first model over the second (reach: at 0.5 s; hold: mean over 0.5 s)."
    study.picture("forest", caption, plot)


def _frontier(study: Study, figures: dict[str, Any]) -> None:
    plot, grid = plt.subplots(2, 2, figsize=(10, 7.4))
    for row, mode in zip(grid, MODES, strict=True):
        for axes, (task, models) in zip(row, figures[mode].items(), strict=True):
            for name, rows in models.items():
                x, y = rows["E"], rows[measures.error(task)]
                axes.plot(
                    x, y, "o", color=COLORS[name], markersize=3, alpha=0.45, markeredgewidth=0
                )
                axes.plot(x.mean(), y.mean(), "o", color=COLORS[name], markersize=8, label=name)
            efforts = np.concatenate([rows["E"] for rows in models.values()])
            parts = (1, 2, 3, 5, 7) if efforts.max() < 50 * efforts.min() else (1,)
            _ticks(axes, tuple(part * 10.0**power for power in range(-5, 0) for part in parts))
            axes.set_xlabel("effort: mean squared excitation")
            axes.set_ylabel(JUDGED[task])
            tidy(axes, f"{task}, {TOLD[mode]}")
    grid[0, 0].legend(fontsize=8, ncols=2, framealpha=0.7, edgecolor="none")
    _footnote(plot, "Small dots: seeds; large: their mean. Down and to the left is better in both.")
    caption = "Error against effort of every model."
    study.picture("frontier", caption, plot)


def _paths(study: Study, walks: dict[str, dict[str, np.ndarray]]) -> None:
    plot, grid = plt.subplots(2, 4, figsize=(13, 7.2), sharex=True, sharey=True)
    start = Arm().hand(measures.CENTRE)
    turns = 2 * np.pi * np.arange(measures.DIRECTIONS) / measures.DIRECTIONS
    targets = 100 * measures.RADIUS * np.stack([np.cos(turns), np.sin(turns)], 1)
    for row, mode in zip(grid, MODES, strict=True):
        for axes, (name, hands) in zip(row, walks[mode].items(), strict=True):
            for seed, each in enumerate(hands):
                for path in 100 * (each - start):
                    axes.plot(*path.T, color=COLORS[name], linewidth=1.3 if seed == 0 else 0.5,
                              alpha=1.0 if seed == 0 else 0.35)  # fmt: skip
            axes.plot(*targets.T, "o", color="black", markersize=5, fillstyle="none")
            axes.plot(0, 0, "+", color="black")
            axes.set_aspect("equal")
            tidy(axes, f"{name}: {NAMES[name]}" if mode == MODES[0] else name)
            axes.set_xlim(-27, 27)
            axes.set_ylim(-27, 27)
        row[0].set_ylabel(f"{TOLD[mode]}\ncm, away from the body")
    for axes in grid[1]:
        axes.set_xlabel("cm, to the side")
    plot.tight_layout()
    caption = "Hand paths of eight reaches of 15 cm from one place in 0.5 s (rings: targets). Strong: seed 0; faint: "
    caption += "the other seeds."
    study.picture("paths", caption, plot)


def _speeds(study: Study, walks: dict[str, dict[str, np.ndarray]]) -> None:
    plot, pair = plt.subplots(1, 2, figsize=(11, 3.8), sharey=True)
    for axes, mode in zip(pair, MODES, strict=True):
        for name, hands in walks[mode].items():
            speed = 100 * np.linalg.norm(np.diff(hands, axis=2), axis=-1).mean(
                1
            )  # m per 10 ms, over directions
            times = 10 * (np.arange(speed.shape[1]) + 0.5)
            low, high = speed.min(0), speed.max(0)
            axes.fill_between(times, low, high, color=COLORS[name], alpha=0.15, linewidth=0)
            axes.plot(times, speed.mean(0), color=COLORS[name], label=f"{name}: {NAMES[name]}")
        axes.set_xlabel("ms after the target appears")
        tidy(axes, TOLD[mode])
    pair[0].set_ylabel("hand speed (m/s)")
    pair[1].legend(frameon=False, fontsize=8)
    plot.tight_layout()
    caption = "Speed of the hand in the eight standard reaches, averaged over targets; band: range over seeds."
    study.picture("speeds", caption, plot)


def _stiffness(study: Study, brains: Any) -> None:
    arm, turns = Arm(), np.linspace(0, 2 * np.pi, 73)
    ring = np.stack([np.cos(turns), np.sin(turns)])
    found = {
        name: [
            np.linalg.pinv(measures.yields(brains[name], posture).mean(0))
            for posture in measures.POSTURES
        ]
        for name in NAMES
    }
    size = float(np.median([np.linalg.norm(each, 2) for rows in found.values() for each in rows]))
    scale = 0.12 / size
    plot, row = plt.subplots(1, 4, figsize=(13, 3.4), sharex=True, sharey=True)
    for axes, (name, at) in zip(row, found.items(), strict=True):
        for posture, each in zip(measures.POSTURES, at, strict=True):
            hand = arm.hand(posture)
            elbow = arm.upper_length * np.array([np.cos(posture[0]), np.sin(posture[0])])
            axes.plot(
                *np.stack([np.zeros(2), elbow, hand]).T, color="lightgrey", linewidth=2, zorder=0
            )
            ellipse = (hand[:, None] + scale * each @ ring).T
            axes.add_patch(Polygon(ellipse, fill=False, color=COLORS[name], linewidth=1.6))
            long, short = np.linalg.svd(each)[1]
            axes.annotate(
                f"{long:.0f} x {short:.0f}", np.add(hand, (0.0, 0.13)), fontsize=8, ha="center"
            )
        axes.plot(0, 0, "s", color="grey", markersize=5)
        axes.set_aspect("equal")
        axes.set_xlim(-0.7, 0.5)
        axes.set_ylim(-0.12, 0.72)
        axes.set_xlabel("m, to the side")
        tidy(axes, f"{name}: {NAMES[name]}")
    bar = 10 ** np.floor(np.log10(size))
    row[0].plot((-0.65, -0.65 + bar * scale), (-0.06, -0.06), color="black", linewidth=2)
    row[0].annotate(f"{bar:g} N/m", (-0.65, -0.045), fontsize=8)
    row[0].set_ylabel("m, away from the body")
    plot.tight_layout()
    plot.text(
        0.01,
        -0.01,
        "Grey: arm, square: shoulder. Numbers: longest and shortest axis, N/m.",
        fontsize=8,
        va="top",
    )
    caption = "Stiffness of the hand while holding in three postures: force that answers a displacement of one length, "
    caption += "by direction, after 0.5 s; from the compliance averaged over seeds."
    study.picture("stiffness", caption, plot)


def _lesions(study: Study, lesions: dict[Any, Any]) -> None:
    plot, grid = plt.subplots(2, 2, figsize=(12, 7.6), sharex=True, sharey=True)
    names, rows = ("B-N", "B-S", "CC-N", "CC-S"), list(measures.LESIONS)
    image: Any = None
    for axes, ((mode, task), found) in zip(grid.ravel(), lesions.items(), strict=True):
        cost = np.full((len(rows), len(names)), np.nan)
        for column, name in enumerate(names):
            for row, lesion in enumerate(rows):
                if lesion in found[name]:
                    cost[row, column] = np.exp(
                        np.mean(np.log(found[name][lesion] / found[name]["none"]))
                    )
                    axes.text(column, row, f"{cost[row, column]:.3g}", ha="center", va="center", fontsize=9,
                              color="white" if cost[row, column] > 6 else "black")  # fmt: skip
        image = axes.imshow(np.log2(cost), cmap="magma_r", vmin=0, vmax=4, aspect="auto")
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(len(rows)), rows, fontsize=9)
        axes.set_title(f"{task}, {TOLD[mode]}", loc="left", fontsize=10)
    plot.tight_layout()
    bar = plot.colorbar(image, ax=grid, shrink=0.6)
    bar.set_ticks(range(5), labels=["1", "2", "4", "8", "16"])
    bar.set_label("error over that without a lesion")
    caption = "What lesions cost: the task's error over that of the intact network, geometric mean over seeds. "
    caption += "Empty: there is no callosum to cut."
    study.picture("lesions", caption, plot)


def _curves(study: Study, curves: dict[str, dict[str, np.ndarray]]) -> None:
    plot, grid = plt.subplots(2, 2, figsize=(11, 7), sharex=True)
    for axes, (cell, models) in zip(grid.ravel(), curves.items(), strict=True):
        for name, rows in models.items():
            if name in COLORS:
                steps = VALIDATE * np.arange(len(rows))
                axes.plot(steps, rows.mean(1), color=COLORS[name], linewidth=1.1, label=name)
                axes.fill_between(
                    steps, rows.min(1), rows.max(1), color=COLORS[name], alpha=0.12, linewidth=0
                )
        axes.set_yscale("log")
        task, _, mode = cell.partition("-")
        tidy(axes, f"{task}, {TOLD[mode]}")
    for axes in grid[:, 0]:
        axes.set_ylabel("mixed loss, held trials")
    for axes in grid[1]:
        axes.set_xlabel("updates of 64 trials")
    grid[0, 0].legend(frameon=False, fontsize=8, ncols=2)
    plot.tight_layout()
    caption = "Training; lines: mean over seeds, bands: their range. All are judged by the mixed loss, whatever drives them."
    study.picture("learning", caption, plot)

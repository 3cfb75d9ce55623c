"""Pictures of the goodbody study: landscapes, the map of bodies, searches, paths and sensor traces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap

from lancelet.envs.kinematic import DT, NEAR, grid, manifolds, trace
from lancelet.morphology.braitenberg import CORNERS, HALF, design, mirrored
from lancelet.scripts.studies.axes import tidy
from lancelet.scripts.studies.goodbody.map import NAMED
from lancelet.scripts.studies.goodbody.placement_search import SHORT
from lancelet.scripts.studies.goodbody.search import BUDGET, METHODS
from lancelet.scripts.study import Study

SOLVED = ["#f4f1ea", "#cfdfe6", "#8fbcd0", "#3d87a6", "#d1495b"]
"""colours of 0 to 4 environments solved"""
ARMS = ("#d1495b", "#444444", "#1f6f8b", "#d99a2b")
LIGHT = "#e0a100"
STARTS = ("#1f6f8b", "#8a6fb0", "#2e8b57", "#d1495b")


def draw(study: Study, data: dict[str, Any]) -> None:
    """All pictures."""
    found = {name: manifolds(body, 121).count for name, body in NAMED.items()}
    landscape(study, found)
    _paths(study, {name: _central(found[name]) for name in ("canonical", "diagonal")})
    _map(study, data)
    _efficiency(study, data)
    _together(study, data)
    _traces(study, data)
    _resistance(study, data)


def _central(counts: np.ndarray) -> np.ndarray:
    """The optimal policy that has most optimal ones around it."""
    best = np.pad((counts == 4).astype(float), 2)
    around = sum(np.roll(best, (i, j), (0, 1)) for i in range(-2, 3) for j in range(-2, 3))
    inner = (around * best)[2:-2, 2:-2]
    return grid(len(counts))[int(np.argmax(inner))]


def landscape(study: Study, counts: Mapping[str, np.ndarray]) -> None:
    """Heat maps of n(w)."""
    colors, norm = ListedColormap(SOLVED), BoundaryNorm(np.arange(-0.5, 5), 5)
    plot, row = plt.subplots(
        1, len(counts), figsize=(3.7 * len(counts) + 0.9, 3.9), squeeze=False, layout="constrained"
    )
    image: Any = None
    for axes, (name, count) in zip(row[0], counts.items(), strict=True):
        image = axes.imshow(
            count.T,
            origin="lower",
            extent=(-1, 1, -1, 1),
            cmap=colors,
            norm=norm,
            interpolation="nearest",
        )
        axes.set_title(
            f"{name}: {(count == 4).mean():.2%} of policies solve all four", loc="left", fontsize=9
        )
        axes.set_xlabel("$w_1$: sensor 2 to left wheel")
    row[0][0].set_ylabel("$w_2$: sensor 1 to right wheel")
    bar = plot.colorbar(image, ax=row[0].tolist(), ticks=range(5), fraction=0.05)
    bar.set_label("environments solved")
    caption = "Every pixel is a policy, run from all four starts. Red solves all of them: a search that gains one "
    caption += "environment by a step away from red loses another, which is the interference."
    study.picture("landscapes", caption, plot)


def _deck(axes: Any, x: float, y: float, angle: float, body: Any, size: float = 1.0) -> None:
    """The robot from above: deck, nose, sensors."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    frame = np.array([[HALF, HALF], [HALF, -HALF], [-HALF, -HALF], [-HALF, HALF], [HALF, HALF]])
    outline = frame @ turn.T * size + (x, y)
    axes.fill(*outline.T, facecolor="white", edgecolor="black", linewidth=0.8, zorder=5)
    nose = np.array([[HALF, 0.14], [HALF + 0.2, 0], [HALF, -0.14]]) @ turn.T * size + (x, y)
    axes.fill(*nose.T, color="black", zorder=5)
    sensors = np.reshape(body, (2, 2)) @ turn.T * size + (x, y)
    axes.scatter(*sensors.T, s=16, color=["#d1495b", "#1f6f8b"], zorder=6)


def _paths(study: Study, policies: Mapping[str, np.ndarray]) -> None:
    plot, row = plt.subplots(
        1, len(policies), figsize=(6.2 * len(policies), 5.2), layout="constrained"
    )
    for axes, (name, weights) in zip(row, policies.items(), strict=True):
        for k, states in enumerate(trace(NAMED[name], weights)):
            x, y = states[:, 0], states[:, 1]
            near = np.hypot(x, y) < NEAR
            end = int(near.argmax()) + 1 if near.any() else len(x)
            axes.plot(
                x[:end],
                y[:end],
                linewidth=0.9,
                color=STARTS[k],
                label=f"start {k + 1}: {end * DT:.0f} s",
            )
            _deck(axes, x[0], y[0], 0.0, NAMED[name])
        axes.plot(0, 0, "*", markersize=17, color=LIGHT, markeredgecolor="black", zorder=7)
        axes.set_aspect("equal")
        axes.set_xlim(-4.5, 8.5)
        axes.set_ylim(-5.2, 5.6)
        tidy(
            axes,
            f"{name} body, $w_1$ = {weights[0]:.2f}, $w_2$ = {weights[1]:.2f}",
            "x (m)",
            "y (m)",
        )
        axes.legend(frameon=False, fontsize=8, loc="upper center", ncols=2)
    caption = "One policy that solves all four environments in each body, until it comes within 0.075 m of the light "
    caption += "(star). Red dot: sensor 1, blue: sensor 2; the black nose points forward. The canonical body steers; where it "
    caption += "starts ahead of the light only a thin range of weights swings it round. The diagonal body spins and drifts."
    study.picture("paths", caption, plot)


def _map(study: Study, data: dict[str, Any]) -> None:
    r1, numbers = data["r1"], data["numbers"]
    plot, (one, two, three) = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    edges = np.concatenate([[0], np.linspace(1e-9, max(r1.max(), 0.06), 25)])
    one.hist(r1[r1 > 0], bins=list(edges[1:]), color="#3d87a6")
    one.axvline(0.05, color="black", linewidth=0.8, linestyle="--")
    text = (
        f"{(r1 == 0).mean():.0%} of {len(r1)} bodies: no optimal\npolicy on the grid (not drawn)\n"
    )
    text += f"{(r1 > 0.05).mean():.1%} above 0.05"
    one.text(0.97, 0.95, text, transform=one.transAxes, ha="right", va="top", fontsize=9,
             bbox={"facecolor": "white", "edgecolor": "none"})  # fmt: skip
    tidy(
        one, "Resistance of the other bodies", "r1: share of policies that solve all four", "bodies"
    )
    places = np.array([design(n) for n in numbers])
    total, count = np.zeros((CORNERS, CORNERS)), np.zeros((CORNERS, CORNERS))
    for bodies in (places, mirrored(places)):  # sensor 1 of a body is sensor 2 of its mirror image
        cells = np.rint((bodies[:, :2] + HALF) * (CORNERS - 1)).astype(int)
        np.add.at(total, tuple(cells.T), r1)
        np.add.at(count, tuple(cells.T), 1)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    edge = HALF + 0.5 / (CORNERS - 1)
    image = two.imshow(
        mean[:, ::-1], origin="lower", extent=(edge, -edge, -edge, edge), cmap="viridis"
    )
    two.invert_xaxis()
    two.set_xlim(edge, -edge)
    plot.colorbar(image, ax=two, label="mean r1")
    tidy(
        two,
        "Where sensor 1 sits (sensor 2: mirrored)",
        "left  <  m  >  right",
        "back  <  m  >  front",
    )
    order = np.argsort(-r1, kind="stable")[:12]
    for k in order[::-1]:
        a, b = np.reshape(places[k], (2, 2))[:, ::-1]
        three.plot(
            [a[0], b[0]],
            [a[1], b[1]],
            color="grey",
            linewidth=0.6 + 25 * r1[k],
            alpha=0.6,
            zorder=1,
        )
        three.scatter(*a, color="#d1495b", s=26, zorder=2)
        three.scatter(*b, color="#1f6f8b", s=26, zorder=2)
    three.fill(
        [-HALF, HALF, HALF, -HALF], [-HALF, -HALF, HALF, HALF], facecolor="none", edgecolor="black"
    )
    three.plot([0.07, 0, -0.07], [HALF, HALF + 0.09, HALF], color="black")
    three.set_xlim(0.65, -0.65)
    three.set_ylim(-0.6, 0.65)
    three.set_aspect("equal")
    tidy(
        three,
        "The 12 best bodies (red: sensor 1, blue: sensor 2)",
        "left  <  m  >  right",
        "back  <  m  >  front",
    )
    caption = "The map of bodies. Right: lines join the two sensors of one body, thicker where r1 is larger."
    study.picture("map", caption, plot)


def _efficiency(study: Study, data: dict[str, Any]) -> None:
    r1 = data["r1"][data["chosen"]]
    floor = 0.5 / data["counts"].shape[-1] ** 2
    plot, row = plt.subplots(1, 4, figsize=(14, 3.7), sharey=True, layout="constrained")
    for axes, method, first in zip(row, METHODS, data["first"], strict=True):
        median = np.median(first, 1)
        jitter = np.random.default_rng(0).uniform(0.75, 1.33, len(r1))
        x = np.maximum(r1, floor) * np.where(r1 > 0, 1, jitter)
        never = median > BUDGET
        axes.plot(x[~never], median[~never], "o", markersize=3.6, color="#1f6f8b", alpha=0.7)
        up = np.full(never.sum(), BUDGET) * jitter[never] ** 0.2 * 1.15
        axes.plot(x[never], up, "^", markersize=3.4, color="#d1495b", alpha=0.5)
        line = np.geomspace(1 / BUDGET, 0.12, 30)
        if method == "random":
            axes.plot(
                line,
                np.log(2) / line,
                color="black",
                linewidth=0.9,
                label="median of the geometric law",
            )
            axes.legend(frameon=False, fontsize=8, loc="lower left")
        axes.set_xscale("log")
        axes.set_yscale("log")
        tidy(axes, SHORT[method], "r1 (left end: 0)", "")
    row[0].set_ylabel("evaluations to 4/4, median")
    row[-1].plot([], [], "^", color="#d1495b", markersize=4, label=f"not within {BUDGET}")
    row[-1].legend(frameon=False, fontsize=8, loc="lower left")
    caption = f"One point a body, the median of {data['first'].shape[2]} repeats. SNES stands for the paper's separable "
    caption += (
        "NES, SciPy's DE for BlackBoxOptim's, a compass search for its generating set search."
    )
    study.picture("efficiency", caption, plot)


def _together(study: Study, data: dict[str, Any]) -> None:
    found, steps = data["together"], np.arange(1, BUDGET + 1)
    plot, (one, two) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for curves, solved, name, color in zip(
        found["curves"], found["solved"], data["arms"], ARMS, strict=True
    ):
        low, middle, high = np.quantile(curves, [0.25, 0.5, 0.75], axis=0)
        one.plot(steps, middle, color=color, linewidth=1.4, label=name)
        one.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)
        two.plot(steps, (solved == 4).mean(0), color=color, linewidth=1.4, label=name)
    one.axhline(NEAR, color="black", linewidth=0.7, linestyle="--")
    one.set_yscale("log")
    one.set_ylim(1e-5, 4)
    tidy(
        one,
        "Best so far by total distance: median, quartiles",
        "evaluations",
        "mean distance from the light (m)",
    )
    tidy(two, "Searches that have found a policy for all four", "evaluations", "share of searches")
    plot.legend(
        *one.get_legend_handles_labels(),
        frameon=False,
        fontsize=9,
        loc="outside lower center",
        ncols=4,
    )
    caption = f"{found['curves'].shape[1]} searches each by EvoTorch's NSGA-II (for Borg); dashed: the threshold. "
    caption += "Best and median body are those of the map."
    study.picture("together", caption, plot)


def _traces(study: Study, data: dict[str, Any]) -> None:
    found = data["together"]
    solved = np.flatnonzero(found["solved"][0, :, -1] == 4)
    if not len(solved):
        return
    run = solved[0]
    shown = {"first to solve all four": found["onset"][run], "best at the end": found["final"][run]}
    plot, grid_ = plt.subplots(
        2, 2, figsize=(12, 5.4), sharex=True, sharey=True, layout="constrained"
    )
    for column, (name, genome) in zip(grid_.T, shown.items(), strict=True):
        states = trace(genome[:4], genome[4:])
        for sensor, axes in enumerate(column):
            for k, series in enumerate(states[:, ::5, 3 + sensor]):
                axes.plot(
                    np.arange(len(series)) * 5 * DT,
                    series,
                    linewidth=0.7,
                    color=STARTS[k],
                    label=f"start {k + 1}",
                )
            axes.set_yscale("log")
            axes.set_ylim(1e-2, 1e4)
            tidy(axes, f"{name}: sensor {sensor + 1}", "s" if sensor else "", "1 / m$^2$")
    grid_[0, 0].legend(frameon=False, fontsize=8, ncols=4, loc="upper left")
    caption = f"Search {run} of body and policy: what the sensors read from each of the four starts. The more the lines "
    caption += "lie over each other, the lower H."
    study.picture("traces", caption, plot)


def _resistance(study: Study, data: dict[str, Any]) -> None:
    plot, row = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for axes, h, name in zip(row, data["felt"]["h"].T, ("raw values", "log values"), strict=True):
        axes.plot(data["felt"]["r1"], h, "o", markersize=3.6, color="#1f6f8b", alpha=0.7)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(1e-4, 0.2)
        tidy(axes, f"Sensor homeostasis, {name}", "r1", "H (lower: more alike)")
    study.picture("resistance", "One point a body with one of its optimal policies. H: mean normalised DTW distance of "
                  "sensor series between environments.", plot)  # fmt: skip

"""Pictures of the goodbody study: landscapes, the map of bodies, searches, paths and sensor traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from lancelet.envs.kinematic import DT, NEAR, grid, manifolds, trace
from lancelet.morphology.braitenberg import CORNERS, HALF, design, mirrored
from lancelet.scripts.studies.axes import tidy
from lancelet.scripts.studies.goodbody.map import GOOD_R1, NAMED, BodyMap
from lancelet.scripts.studies.goodbody.placement_search import ALL_LIGHTS, SHORT
from lancelet.scripts.studies.goodbody.search import (
    ARM_TOGETHER,
    BODY_GENES,
    BUDGET,
    METHODS,
    Efficiency,
    Together,
)
from lancelet.scripts.studies.goodbody.sensors import FIRST_SENSOR, LOGARITHM, RAW, Felt
from lancelet.scripts.study import Study

RED = "#d1495b"
BLUE = "#1f6f8b"
LIGHT_BLUE = "#3d87a6"
SOLVED_COLORS = ["#f4f1ea", "#cfdfe6", "#8fbcd0", LIGHT_BLUE, RED]
"""colours of 0 to 4 environments solved"""
ARM_COLORS = (RED, "#444444", BLUE, "#d99a2b")
"""colours of the arms of `Together`, in their order"""
START_COLORS = (BLUE, "#8a6fb0", "#2e8b57", RED)
"""colours of the four environments' starts"""
SENSOR_COLORS = [RED, BLUE]
"""colours of sensor 1 and sensor 2"""
LIGHT_COLOR = "#e0a100"

LANDSCAPE_GRID = 121
"""weights a side of the landscapes"""
BEST_BODIES = 12
"""bodies in the picture of the best"""
TRACE_STRIDE = 5
"""steps between two drawn samples of a sensor"""
NEIGHBOURHOOD = 2
"""cells on either side of a policy that count as around it"""


def draw(
    study: Study, body_map: BodyMap, efficiency: Efficiency, runs: Together, felt: Felt
) -> None:
    """All pictures.

    Args:
        study: takes the pictures.
        body_map: the policy grids of the map's bodies.
        efficiency: of the methods that search for a policy.
        runs: of body and policy together, and of the policy alone.
        felt: sensor homeostasis of bodies.
    """
    counts = {name: manifolds(body, LANDSCAPE_GRID).count for name, body in NAMED.items()}
    landscape(study, counts)
    _paths(study, {name: _central_policy(counts[name]) for name in ("canonical", "diagonal")})
    _map(study, body_map)
    _efficiency(study, body_map, efficiency)
    _together(study, runs)
    _traces(study, runs)
    _resistance(study, felt)


# One body


def _central_policy(counts: np.ndarray) -> np.ndarray:
    """The optimal policy that has most optimal ones around it, (2,).

    Args:
        counts: environments that each policy of a grid solves, (n, n).
    """
    is_optimal = np.pad((counts == ALL_LIGHTS).astype(float), NEIGHBOURHOOD)
    optimal_around = np.zeros_like(is_optimal)
    shifts = range(-NEIGHBOURHOOD, NEIGHBOURHOOD + 1)
    for rows in shifts:
        for columns in shifts:
            optimal_around += np.roll(is_optimal, (rows, columns), (0, 1))
    inside = slice(NEIGHBOURHOOD, -NEIGHBOURHOOD)
    optimal_around_optimal = (optimal_around * is_optimal)[inside, inside]
    return grid(len(counts))[int(np.argmax(optimal_around_optimal))]


def landscape(study: Study, counts: Mapping[str, np.ndarray]) -> None:
    """Heat maps of n(w).

    Args:
        study: takes the picture.
        counts: body -> environments that each policy of its grid solves, (n, n).
    """
    plot, row = plt.subplots(
        1, len(counts), figsize=(3.7 * len(counts) + 0.9, 3.9), squeeze=False, layout="constrained"
    )
    image = None
    for axes, (name, count) in zip(row[0], counts.items(), strict=True):
        image = axes.imshow(
            count.T,
            origin="lower",
            extent=(-1, 1, -1, 1),
            cmap=ListedColormap(SOLVED_COLORS),
            norm=BoundaryNorm(np.arange(-0.5, ALL_LIGHTS + 1), ALL_LIGHTS + 1),
            interpolation="nearest",
        )
        share = (count == ALL_LIGHTS).mean()
        axes.set_title(f"{name}: {share:.2%} of policies solve all four", loc="left", fontsize=9)
        axes.set_xlabel("$w_1$: sensor 2 to left wheel")
    row[0][0].set_ylabel("$w_2$: sensor 1 to right wheel")
    # All heat maps have the same colours: the last one stands for all.
    assert image is not None
    bar = plot.colorbar(image, ax=row[0].tolist(), ticks=range(ALL_LIGHTS + 1), fraction=0.05)
    bar.set_label("environments solved")
    caption = (
        "Every pixel is a policy, run from all four starts. Red solves all of them: a search that gains one "
        "environment by a step away from red loses another, which is the interference."
    )
    study.picture("landscapes", caption, plot)


def _deck(axes: Axes, x: float, y: float, body: Sequence[float]) -> None:
    """The robot from above, heading to the right: deck, nose, sensors.

    Args:
        axes: to draw on.
        x: of the robot's middle, m.
        y: of the robot's middle, m.
        body: placement of its sensors, (4,), m.
    """
    corners = np.array(
        [
            [HALF, HALF],
            [HALF, -HALF],
            [-HALF, -HALF],
            [-HALF, HALF],
            [HALF, HALF],
        ]
    )
    nose = np.array(
        [
            [HALF, 0.14],
            [HALF + 0.2, 0],
            [HALF, -0.14],
        ]
    )
    middle = (x, y)
    sensors = np.reshape(body, (2, 2)) + middle
    axes.fill(*(corners + middle).T, facecolor="white", edgecolor="black", linewidth=0.8, zorder=5)
    axes.fill(*(nose + middle).T, color="black", zorder=5)
    axes.scatter(*sensors.T, s=16, color=SENSOR_COLORS, zorder=6)


def _paths(study: Study, policies: Mapping[str, np.ndarray]) -> None:
    """Paths of one policy a body from the four starts to the light.

    Args:
        study: takes the picture.
        policies: named body -> its policy, (2,).
    """
    plot, row = plt.subplots(
        1, len(policies), figsize=(6.2 * len(policies), 5.2), layout="constrained"
    )
    for axes, (name, weights) in zip(row, policies.items(), strict=True):
        for start, states in enumerate(trace(NAMED[name], weights)):
            x = states[:, 0]
            y = states[:, 1]
            is_near = np.hypot(x, y) < NEAR
            end = len(x)
            if is_near.any():
                end = int(is_near.argmax()) + 1
            axes.plot(
                x[:end],
                y[:end],
                linewidth=0.9,
                color=START_COLORS[start],
                label=f"start {start + 1}: {end * DT:.0f} s",
            )
            _deck(axes, x[0], y[0], NAMED[name])
        axes.plot(0, 0, "*", markersize=17, color=LIGHT_COLOR, markeredgecolor="black", zorder=7)
        axes.set_aspect("equal")
        axes.set_xlim(-4.5, 8.5)
        axes.set_ylim(-5.2, 5.6)
        title = f"{name} body, $w_1$ = {weights[0]:.2f}, $w_2$ = {weights[1]:.2f}"
        tidy(axes, title, "x (m)", "y (m)")
        axes.legend(frameon=False, fontsize=8, loc="upper center", ncols=2)
    caption = (
        f"One policy that solves all four environments in each body, until it comes within {NEAR} m of the light "
        "(star). Red dot: sensor 1, blue: sensor 2; the black nose points forward. The canonical body steers; where it "
        "starts ahead of the light only a thin range of weights swings it round. The diagonal body spins and drifts."
    )
    study.picture("paths", caption, plot)


# The map of bodies


def _map(study: Study, body_map: BodyMap) -> None:
    """How r1 is distributed, where sensor 1 sits in good bodies, and the best bodies."""
    plot, (resistance_axes, place_axes, best_axes) = plt.subplots(
        1, 3, figsize=(14, 4.2), layout="constrained"
    )
    places = np.array([design(number) for number in body_map.numbers])
    r1 = body_map.r1
    _distribution(resistance_axes, r1)
    _mean_by_place(plot, place_axes, places, r1)
    _best(best_axes, places, r1)
    caption = "The map of bodies. Right: lines join the two sensors of one body, thicker where r1 is larger."
    study.picture("map", caption, plot)


def _distribution(axes: Axes, r1: np.ndarray) -> None:
    """A histogram of r1 over the bodies that have an optimal policy on the grid."""
    edges = np.linspace(1e-9, max(r1.max(), 0.06), 25)
    axes.hist(r1[r1 > 0], bins=list(edges), color=LIGHT_BLUE)
    axes.axvline(GOOD_R1, color="black", linewidth=0.8, linestyle="--")
    text = (
        f"{(r1 == 0).mean():.0%} of {len(r1)} bodies: no optimal\n"
        "policy on the grid (not drawn)\n"
        f"{(r1 > GOOD_R1).mean():.1%} above {GOOD_R1}"
    )
    axes.text(
        0.97,
        0.95,
        text,
        transform=axes.transAxes,
        ha="right",
        va="top",
        fontsize=9,
        bbox={"facecolor": "white", "edgecolor": "none"},
    )
    title = "Resistance of the other bodies"
    tidy(axes, title, "r1: share of policies that solve all four", "bodies")


def _mean_by_place(plot: Figure, axes: Axes, places: np.ndarray, r1: np.ndarray) -> None:
    """Mean r1 of the bodies by the place of sensor 1.

    Args:
        plot: takes the colour bar.
        axes: to draw on.
        places: placements of the bodies, (bodies, 4), m.
        r1: of the bodies, (bodies,).
    """
    total = np.zeros((CORNERS, CORNERS))
    body_count = np.zeros((CORNERS, CORNERS))
    # Sensor 1 of a body is sensor 2 of its mirror image, and both bodies have the same r1.
    for bodies in (places, mirrored(places)):
        cells = np.rint((bodies[:, :2] + HALF) * (CORNERS - 1)).astype(int)
        np.add.at(total, tuple(cells.T), r1)
        np.add.at(body_count, tuple(cells.T), 1)
    mean = np.where(body_count > 0, total / np.maximum(body_count, 1), np.nan)
    edge = HALF + 0.5 / (CORNERS - 1)
    # Left of the robot is left in the picture: the horizontal axis runs from positive to negative.
    image = axes.imshow(
        mean[:, ::-1], origin="lower", extent=(edge, -edge, -edge, edge), cmap="viridis"
    )
    axes.invert_xaxis()
    axes.set_xlim(edge, -edge)
    plot.colorbar(image, ax=axes, label="mean r1")
    title = "Where sensor 1 sits (sensor 2: mirrored)"
    tidy(axes, title, "left  <  m  >  right", "back  <  m  >  front")


def _best(axes: Axes, places: np.ndarray, r1: np.ndarray) -> None:
    """The decks of the best bodies over each other, with a line from sensor to sensor.

    Args:
        axes: to draw on.
        places: placements of the bodies, (bodies, 4), m.
        r1: of the bodies, (bodies,).
    """
    best_first = np.argsort(-r1, kind="stable")[:BEST_BODIES]
    # The best body is drawn last, over the others.
    for body in best_first[::-1]:
        forward_1, left_1, forward_2, left_2 = places[body]
        axes.plot(
            [left_1, left_2],
            [forward_1, forward_2],
            color="grey",
            linewidth=0.6 + 25 * r1[body],
            alpha=0.6,
            zorder=1,
        )
        axes.scatter(left_1, forward_1, color=SENSOR_COLORS[0], s=26, zorder=2)
        axes.scatter(left_2, forward_2, color=SENSOR_COLORS[1], s=26, zorder=2)
    axes.fill(
        [-HALF, HALF, HALF, -HALF], [-HALF, -HALF, HALF, HALF], facecolor="none", edgecolor="black"
    )
    axes.plot([0.07, 0, -0.07], [HALF, HALF + 0.09, HALF], color="black")
    axes.set_xlim(0.65, -0.65)
    axes.set_ylim(-0.6, 0.65)
    axes.set_aspect("equal")
    title = f"The {BEST_BODIES} best bodies (red: sensor 1, blue: sensor 2)"
    tidy(axes, title, "left  <  m  >  right", "back  <  m  >  front")


# Searches


def _efficiency(study: Study, body_map: BodyMap, efficiency: Efficiency) -> None:
    """Evaluations to an optimal policy over r1, for each method."""
    r1 = body_map.r1[efficiency.chosen]
    jitter = np.random.default_rng(0).uniform(0.75, 1.33, len(r1))
    # A logarithmic axis has no 0: bodies with r1 = 0 stand, scattered, at half of one policy of the grid.
    least_r1 = 0.5 / body_map.grid_size**2
    x = np.maximum(r1, least_r1) * np.where(r1 > 0, 1, jitter)
    plot, row = plt.subplots(1, len(METHODS), figsize=(14, 3.7), sharey=True, layout="constrained")
    for axes, method, evaluations in zip(row, METHODS, efficiency.evaluations, strict=True):
        median = np.median(evaluations, 1)
        is_late = median > BUDGET
        axes.plot(x[~is_late], median[~is_late], "o", markersize=3.6, color=BLUE, alpha=0.7)
        above_budget = np.full(is_late.sum(), BUDGET) * jitter[is_late] ** 0.2 * 1.15
        axes.plot(x[is_late], above_budget, "^", markersize=3.4, color=RED, alpha=0.5)
        if method == "random":
            _geometric_law(axes)
        axes.set_xscale("log")
        axes.set_yscale("log")
        tidy(axes, SHORT[method], "r1 (left end: 0)", "")
    row[0].set_ylabel("evaluations to 4/4, median")
    row[-1].plot([], [], "^", color=RED, markersize=4, label=f"not within {BUDGET}")
    row[-1].legend(frameon=False, fontsize=8, loc="lower left")
    repeats = efficiency.evaluations.shape[2]
    caption = (
        f"One point a body, the median of {repeats} repeats. SNES stands for the paper's separable "
        "NES, SciPy's DE for BlackBoxOptim's, a compass search for its generating set search."
    )
    study.picture("efficiency", caption, plot)


def _geometric_law(axes: Axes) -> None:
    """The median of the geometric law with the success probability r1: ln 2 / r1 evaluations."""
    r1 = np.geomspace(1 / BUDGET, 0.12, 30)
    label = "median of the geometric law"
    axes.plot(r1, np.log(2) / r1, color="black", linewidth=0.9, label=label)
    axes.legend(frameon=False, fontsize=8, loc="lower left")


def _together(study: Study, runs: Together) -> None:
    """Distance of the best point and share of successful searches over evaluations, for each arm."""
    evaluations = np.arange(1, BUDGET + 1)
    plot, (distance_axes, share_axes) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for arm, (name, color) in enumerate(zip(runs.arms, ARM_COLORS, strict=True)):
        low, middle, high = np.quantile(runs.curves[arm], [0.25, 0.5, 0.75], axis=0)
        share = (runs.solved[arm] == ALL_LIGHTS).mean(0)
        distance_axes.plot(evaluations, middle, color=color, linewidth=1.4, label=name)
        distance_axes.fill_between(evaluations, low, high, color=color, alpha=0.15, linewidth=0)
        share_axes.plot(evaluations, share, color=color, linewidth=1.4, label=name)
    distance_axes.axhline(NEAR, color="black", linewidth=0.7, linestyle="--")
    distance_axes.set_yscale("log")
    distance_axes.set_ylim(1e-5, 4)
    tidy(
        distance_axes,
        "Best so far by total distance: median, quartiles",
        "evaluations",
        "mean distance from the light (m)",
    )
    title = "Searches that have found a policy for all four"
    tidy(share_axes, title, "evaluations", "share of searches")
    plot.legend(
        *distance_axes.get_legend_handles_labels(),
        frameon=False,
        fontsize=9,
        loc="outside lower center",
        ncols=len(runs.arms),
    )
    run_count = runs.curves.shape[1]
    caption = (
        f"{run_count} searches each by EvoTorch's NSGA-II (for Borg); dashed: the threshold. "
        "Best and median body are those of the map."
    )
    study.picture("together", caption, plot)


# Sensors


def _traces(study: Study, runs: Together) -> None:
    """What both sensors read in the first and the last good body of one run; nothing where no run solved all four."""
    successful = np.flatnonzero(runs.has_solved[ARM_TOGETHER])
    if not len(successful):
        return
    run = successful[0]
    individuals = {
        "first to solve all four": runs.onset[run],
        "best at the end": runs.final[run],
    }
    plot, cells = plt.subplots(
        2, 2, figsize=(12, 5.4), sharex=True, sharey=True, layout="constrained"
    )
    for column, (name, individual) in zip(cells.T, individuals.items(), strict=True):
        states = trace(individual[:BODY_GENES], individual[BODY_GENES:])
        sensor_1_axes, sensor_2_axes = column
        _trace(sensor_1_axes, states[:, ::TRACE_STRIDE, FIRST_SENSOR])
        _trace(sensor_2_axes, states[:, ::TRACE_STRIDE, FIRST_SENSOR + 1])
        tidy(sensor_1_axes, f"{name}: sensor 1", "", "1 / m$^2$")
        tidy(sensor_2_axes, f"{name}: sensor 2", "s", "1 / m$^2$")
    cells[0, 0].legend(frameon=False, fontsize=8, ncols=4, loc="upper left")
    caption = (
        f"Search {run} of body and policy: what the sensors read from each of the four starts. The more the lines "
        "lie over each other, the lower H."
    )
    study.picture("traces", caption, plot)


def _trace(axes: Axes, sensor: np.ndarray) -> None:
    """Values of one sensor over time, a line a start: (4, samples)."""
    for start, series in enumerate(sensor):
        seconds = np.arange(len(series)) * TRACE_STRIDE * DT
        label = f"start {start + 1}"
        axes.plot(seconds, series, linewidth=0.7, color=START_COLORS[start], label=label)
    axes.set_yscale("log")
    axes.set_ylim(1e-2, 1e4)


def _resistance(study: Study, felt: Felt) -> None:
    """H over r1, for raw sensor values and for their logarithms."""
    plot, row = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for axes, column, name in zip(row, (RAW, LOGARITHM), ("raw values", "log values"), strict=True):
        axes.plot(felt.r1, felt.h[:, column], "o", markersize=3.6, color=BLUE, alpha=0.7)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(1e-4, 0.2)
        tidy(axes, f"Sensor homeostasis, {name}", "r1", "H (lower: more alike)")
    caption = (
        "One point a body with one of its optimal policies. H: mean normalised DTW distance of "
        "sensor series between environments."
    )
    study.picture("resistance", caption, plot)

"""Pictures of the search study: the graph as it grows, paths and steps by trial, the wavefront, SAC beside us."""

from __future__ import annotations

from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import TwoSlopeNorm
from matplotlib.ticker import MaxNLocator

from lancelet.controllers.search.graph import Graph, advance
from lancelet.controllers.search.paths import activation
from lancelet.controllers.search.paths import wavefront as wavefront_path
from lancelet.envs import mazes
from lancelet.envs.maze import RADIUS
from lancelet.scripts.rows import Row
from lancelet.scripts.studies.search.film import RecordedTrial, edges, film, record_life
from lancelet.scripts.studies.search.lives import FIRST, THIRD, Lives, World, agent, fixed
from lancelet.scripts.studies.search.novel import BLOCKS
from lancelet.scripts.studies.search.results import BlockedRoute, FixedPairLives, Results
from lancelet.scripts.studies.search.sac import RELIABLE
from lancelet.scripts.study import Study

BLUE = "#1f6f8b"
RED = "#d1495b"
YELLOW = "#d99a2b"
VIOLET = "#8a6fb0"
PLAN_RED = "#e63946"
"""of a proposed behaviour, over the activity"""
MAZE_COLORS = {"umaze": BLUE, "medium": RED, "large": YELLOW}
SAC_COLORS = {5: BLUE, 1: VIOLET}
"""by action repeat"""
SHOWN = 6
"""seed of the agent that is shown: an ordinary one, by its steps"""
TRIALS_BEFORE = 3
"""trials of its life before a wall falls"""
TRIALS_AFTER = 4
"""trials behind the wall"""
SHOWN_AFTER = (0, 1, 3)
"""trials behind the wall whose paths are drawn"""
MOMENTS = (0.15, 0.5, 1.0)
"""shares of the first trial's steps at which the graph is drawn"""
FAINTEST = -20
"""log10 of the activity that is drawn darkest"""


def draw(study: Study, results: Results) -> None:
    """Draw all pictures of a whole study, and the film but in a quick one.

    Args:
        study: gets them.
        results: what its parts measured.
    """
    controller = agent(seed=SHOWN)
    world = fixed("large", 1)
    shut = world.changed({BLOCKS[0]: mazes.WALL})
    before, state = record_life(controller, world, TRIALS_BEFORE)
    after, _ = record_life(controller, shut, TRIALS_AFTER, state, seed=100)
    growth(study, before, world)
    wavefront(study, before[0], world)
    paths(study, before, after, world, shut)
    trials(study, results)
    if results.sac_runs:
        sac(study, results.fixed_pairs["umaze"].search, results.sac_runs)
    if study.size != "quick":
        _film_row(study, before[0], world)


def _film_row(study: Study, trial: RecordedTrial, world: World) -> None:
    """Draw the film of a trial, and add its row."""
    study.folder.mkdir(parents=True, exist_ok=True)
    name = "first.mp4"
    if film(trial, world, study.folder / name):
        note = f"{name}, half speed: edges green as they hold, red as they fail, the plan blue"
    else:
        note = "not drawn: no OpenGL here"
    steps = float(len(trial.track) - 1)
    study.add(Row("film of a first trial, its steps", "info", steps, note=note))


def maze(
    axes: Any, layout: mazes.Map, world: World | None = None, new: tuple[int, int] | None = None
) -> None:
    """Draw walls, start and goal; a wall that is new stands out.

    Args:
        axes: to draw on.
        layout: the map.
        world: whose first start and goal are marked; None: no marks.
        new: cell of a new wall.
    """
    height, width = len(layout), len(layout[0])
    extent = (-width / 2, width / 2, -height / 2, height / 2)
    walls = mazes.walls(layout).astype(float)
    axes.imshow(np.where(walls > 0, 0.45, 0.0), extent=extent, cmap="Greys", vmin=0, vmax=1)
    if new is not None:
        x, y = mazes.cell_to_xy(layout, new)
        axes.add_patch(plt.Rectangle((x - 0.5, y - 0.5), 1, 1, color="black", alpha=0.75))
        axes.text(x, y, "new\nwall", color="white", fontsize=7, ha="center", va="center")
    if world is not None:
        for cell, mark in ((world.starts[0], "start"), (world.goals[0], "goal")):
            x, y = mazes.cell_to_xy(layout, cell)
            axes.text(
                x,
                y + 0.62,
                mark,
                fontsize=8,
                ha="center",
                va="bottom",
                color="black",
                fontweight="bold",
            )
        goal = tuple(mazes.cell_to_xy(layout, world.goals[0]))
        axes.add_patch(plt.Circle(goal, RADIUS, color=RED, alpha=0.35))
    axes.set_xlim(extent[:2])
    axes.set_ylim(extent[2:])
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal")


def net(axes: Any, graph: Graph) -> Any:
    """Half edges in the colour of their weights."""
    ends, weight = edges(graph)
    norm = TwoSlopeNorm(graph.w0, 0.0, 1.0)
    drawn = LineCollection(list(ends), array=weight, cmap="RdYlGn", norm=norm, linewidths=2.2)  # pyright: ignore[reportArgumentType]
    axes.add_collection(drawn)
    places = graph.offset + graph.spacing * graph.cells[: graph.count]
    axes.plot(*places.T, "o", color="black", markersize=2.2)
    return drawn


def growth(study: Study, life: list[RecordedTrial], world: World) -> None:
    """The graph over the maze at moments of the first trial, and after the third."""
    plot, grid = plt.subplots(2, 2, figsize=(10.5, 8.2), layout="constrained")
    first = life[FIRST]
    third = life[THIRD]
    first_steps = len(first.track) - 1
    third_steps = len(third.track) - 1
    moments = []
    for share in MOMENTS:
        step = round(share * first_steps)
        moments.append((first, step, f"First trial, step {step:,}"))
    moments.append((third, third_steps, f"Third trial, at its end (step {third_steps:,})"))
    drawn: Any = None
    for axes, (trial, until, title) in zip(grid.flat, moments, strict=True):
        maze(axes, world.maps[0], world)
        graph = [moment.graph for moment in trial.moments if moment.step <= until][-1]
        drawn = net(axes, graph)
        track = trial.track[: until + 1]
        axes.plot(*track.T, color=BLUE, linewidth=1.2, alpha=0.8)
        axes.plot(*track[-1], "o", color=BLUE, markersize=8, markeredgecolor="white")
        axes.set_title(f"{title}: {graph.count} places", loc="left", fontsize=10)
    plot.colorbar(
        drawn, ax=grid, label="weight of an edge (0.3: never tried)", shrink=0.6, aspect=30
    )
    caption = (
        "What one agent knows, over walls that it never sees. It proposes the cheapest path; edges that it ran turn "
        "green, edges on which it stalled (and those alike beside them) turn red. Each half line is the edge that "
        "leaves the place it begins at. Blue: where it went in that trial."
    )
    study.picture("growth", caption, plot)


def wavefront(study: Study, trial: RecordedTrial, world: World) -> None:
    """Activity of the places that a wave from the goal leaves, before and after the first trial."""
    plot, pair = plt.subplots(1, 2, figsize=(10.5, 4.3), layout="constrained")
    layout = world.maps[0]
    last = trial.moments[-1].graph
    goal = trial.record["mocap_pos"][0, 0, :2].astype(float)
    start = trial.track[0].astype(float)
    born = Graph(last.spacing, last.offset, last.w0)
    image: Any = None
    shown = ((born, "At birth"), (last, "After the first trial"))
    for axes, (graph, title) in zip(pair, shown, strict=True):
        half_size = np.array([len(layout[0]), len(layout)]) / 2
        low = graph.cell(-half_size)
        high = graph.cell(half_size)
        log10_activity = activation(graph, graph.cell(goal), low, high) / np.log(10)
        begin = graph.centre(low) - graph.spacing / 2
        end = graph.centre(high) + graph.spacing / 2
        maze(axes, layout, world)
        image = axes.imshow(
            log10_activity.T,
            origin="lower",
            extent=(begin[0], end[0], begin[1], end[1]),
            cmap="viridis",
            alpha=0.8,
            zorder=2,
            vmin=FAINTEST,
            vmax=0,
        )
        path = wavefront_path(graph, graph.cell(start), graph.cell(goal))
        places = [path.start]
        for edge in path.edges:
            places.append(advance(places[-1], edge))
        points = np.array([graph.centre(place) for place in places])
        axes.plot(
            *points.T,
            "o-",
            color=PLAN_RED,
            markersize=3,
            linewidth=1.6,
            zorder=4,
            label="proposed behaviour",
        )
        for wall in np.argwhere(mazes.walls(layout)):
            corner = tuple(mazes.cell_to_xy(layout, wall) - 0.5)
            axes.add_patch(
                plt.Rectangle(
                    corner, 1, 1, facecolor="black", alpha=0.25, edgecolor="none", zorder=3
                )
            )
        axes.set_title(title, loc="left", fontsize=10)
    pair[0].legend(fontsize=8, loc="lower left")
    plot.colorbar(image, ax=pair, label="log10 of activity (tau = 1 m)", shrink=0.8)
    caption = (
        "The neural proposal: activity spreads from the goal along edges, and the next place is the most active "
        "neighbour. At birth it falls with distance alone; after a trial it runs along what held and round what "
        "failed. Shaded: walls, which the agent does not know."
    )
    study.picture("wavefront", caption, plot)


def paths(
    study: Study, before: list[RecordedTrial], after: list[RecordedTrial], world: World, shut: World
) -> None:
    """Paths of one life, trial by trial, and behind a wall on the shortest way."""
    plot, grid = plt.subplots(2, 3, figsize=(13, 7), layout="constrained")
    shown = []
    for number, trial in enumerate(before, 1):
        shown.append((trial, world, f"Trial {number}"))
    for index in SHOWN_AFTER:
        shown.append((after[index], shut, f"Blocked route, trial {index + 1} after"))
    for axes, (trial, where, title) in zip(grid.flat, shown, strict=True):
        new_wall = BLOCKS[0] if where is shut else None
        maze(axes, where.maps[0], where, new_wall)
        points = trial.track.reshape(-1, 1, 2)
        stretches: Any = list(np.concatenate([points[:-1], points[1:]], axis=1))
        moments = np.arange(len(stretches))
        axes.add_collection(LineCollection(stretches, array=moments, cmap="plasma", linewidths=1.8))
        axes.plot(*trial.track[0], "o", color="black", markersize=5)
        axes.set_title(f"{title}: {len(trial.track) - 1:,} steps", loc="left", fontsize=10)
    caption = (
        "One life on Large: dark at a trial's start, yellow at its end. The first trial feels for walls, later ones "
        "run what held. After the third a wall falls onto the shortest way; the same graph finds the detour."
    )
    study.picture("paths", caption, plot)


def trials(study: Study, results: Results) -> None:
    """Steps by trial: on the fixed pairs; and through a blocked and reopened route."""
    plot, (left, right) = plt.subplots(
        1, 2, figsize=(11.5, 4.2), layout="constrained", width_ratios=(1, 1.4)
    )
    _trials_on_fixed_pairs(left, results.fixed_pairs)
    if results.blocked_route is not None:
        _trials_of_blocked_route(right, results.blocked_route)
    for axes in (left, right):
        axes.set_xlabel("trial")
        axes.set_ylabel("environment steps to the goal")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    study.picture(
        "trials",
        "Median over agents; the band holds the middle half of them. Babble included.",
        plot,
    )


def _trials_on_fixed_pairs(axes: Any, fixed_pairs: dict[str, FixedPairLives]) -> None:
    """The search in each maze, and as a dotted line the oracle there."""
    for maze_name, color in MAZE_COLORS.items():
        lives = fixed_pairs[maze_name]
        _band(axes, lives.search.steps, color, maze_name)
        best = float(np.median(lives.oracle.steps))
        axes.axhline(best, color=color, linestyle=":", linewidth=1.2)
    axes.plot([], [], ":", color="grey", label="oracle, which has the map")
    axes.set_title("Fixed far pairs", loc="left", fontsize=10)


def _trials_of_blocked_route(axes: Any, route: BlockedRoute) -> None:
    """One life before, behind and after a wall, and lives that began behind it."""
    one_life = np.concatenate([route.before, route.blocked, route.reopened], axis=1)
    _band(axes, one_life, YELLOW, "one life")
    trials_before = route.before.shape[1]
    trials_blocked = route.blocked.shape[1]
    label = "agents born behind the wall"
    _band(axes, route.newborn, BLUE, label, first_trial=trials_before + 1)
    begin = trials_before + 0.5
    axes.axvspan(begin, begin + trials_blocked, color="grey", alpha=0.15)
    axes.text(
        trials_before + 0.6,
        0.02,
        "shortest way blocked",
        transform=axes.get_xaxis_transform(),
        fontsize=8,
    )
    title = "Large: a wall falls onto the shortest way, and goes again"
    axes.set_title(title, loc="left", fontsize=10)


def _band(axes: Any, steps: np.ndarray, color: str, label: str, *, first_trial: int = 1) -> None:
    """Draw the median and the middle half of steps (agents, trials), by the number of the trial."""
    x = np.arange(first_trial, first_trial + steps.shape[1])
    low, middle, high = np.percentile(steps, [25, 50, 75], axis=0)
    axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
    axes.plot(x, middle, "o-", color=color, markersize=4, label=label)


def sac(study: Study, search: Lives, all_runs: list[dict[str, Any]]) -> None:
    """Share of success by environment steps on the UMaze: SAC+HER's evaluations, our first trials.

    Args:
        study: gets the picture.
        search: lives of the search on the UMaze's fixed pair.
        all_runs: trainings of SAC, as `sac.train` returns them.
    """
    plot, axes = plt.subplots(figsize=(8.5, 4.2), layout="constrained")
    ours = np.sort(search.steps[:, FIRST])
    axes.step(
        ours,
        np.arange(1, len(ours) + 1) / len(ours),
        where="post",
        color=RED,
        linewidth=2.2,
        label="search: share of agents whose first trial is over",
    )
    for repeat, color in SAC_COLORS.items():
        runs = [run for run in all_runs if run["repeat"] == repeat]
        for number, run in enumerate(runs):
            # One entry in the legend for all runs of an action repeat.
            label = None
            if number == 0:
                label = f"SAC+HER, action repeat {repeat}: evaluation without noise"
            steps, success = zip(*run["curve"], strict=True)
            axes.plot(
                steps,
                success,
                "o-",
                color=color,
                markersize=2.5,
                linewidth=1,
                alpha=0.8,
                label=label,
            )
            if run["first"]:
                axes.plot(run["first"], -0.05, "|", color=color, markersize=9)
    axes.axhline(RELIABLE, color="grey", linestyle=":", linewidth=1)
    axes.set_xscale("log")
    axes.set_ylim(-0.09, 1.04)
    axes.set_xlabel("environment steps (ticks below: SAC's first success while it explores)")
    axes.set_ylabel("share of success")
    axes.set_title("UMaze, far pair", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="center", bbox_to_anchor=(0.5, 0.5))
    study.picture(
        "sac",
        f"A run ends at its second evaluation in a row at {RELIABLE} or above, or at its budget.",
        plot,
    )

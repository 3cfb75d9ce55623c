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
from lancelet.scripts.studies.search.film import Told, edges, film, tell
from lancelet.scripts.studies.search.lives import World, agent, fixed
from lancelet.scripts.studies.search.novel import BLOCKS
from lancelet.scripts.study import Study

COLORS = ("#1f6f8b", "#d1495b", "#d99a2b", "#8a6fb0", "#4b9b5f")
SHOWN = 6
"""seed of the agent that is shown: an ordinary one, by its steps"""


def draw(study: Study, data: dict[str, Any]) -> None:
    """All pictures, and the film but in a quick study."""
    who, world = agent(seed=SHOWN), fixed("large", 1)
    told, state = tell(who, world, 3)
    shut = world.changed({BLOCKS[0]: mazes.WALL})
    after, _ = tell(who, shut, 4, state, seed=100)
    growth(study, told, world)
    wavefront(study, told[0], world)
    paths(study, told, after, world, shut)
    trials(study, data)
    if data.get("sac"):
        sac(study, data)
    if study.size != "quick":
        study.folder.mkdir(parents=True, exist_ok=True)
        made = film(told[0], world, study.folder / "first.mp4")
        note = "first.mp4, half speed: edges green as they hold, red as they fail, the plan blue"
        note = note if made else "not drawn: no OpenGL here"
        study.add(
            Row(
                "film of a first trial, its steps", "info", float(len(told[0].track) - 1), note=note
            )
        )


def maze(
    axes: Any, layout: mazes.Map, world: World | None = None, new: tuple[int, int] | None = None
) -> None:
    """Walls, start and goal; a wall that is new stands out."""
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
        axes.add_patch(
            plt.Circle(
                tuple(mazes.cell_to_xy(layout, world.goals[0])), RADIUS, color=COLORS[1], alpha=0.35
            )
        )
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


def growth(study: Study, told: list[Told], world: World) -> None:
    """The graph over the maze at moments of the first trial, and after the third."""
    plot, grid = plt.subplots(2, 2, figsize=(10.5, 8.2), layout="constrained")
    first, steps = told[0], len(told[0].track) - 1
    moments = [(first, round(share * steps)) for share in (0.15, 0.5, 1.0)] + [
        (told[2], len(told[2].track) - 1)
    ]
    drawn: Any = None
    for axes, (trial, until) in zip(grid.flat, moments, strict=True):
        maze(axes, world.maps[0], world)
        graph = [one for step, one, _ in trial.graphs if step <= until][-1]
        drawn = net(axes, graph)
        track = trial.track[: until + 1]
        axes.plot(*track.T, color=COLORS[0], linewidth=1.2, alpha=0.8)
        axes.plot(*track[-1], "o", color=COLORS[0], markersize=8, markeredgecolor="white")
        which = "First trial" if trial is first else "Third trial, at its end"
        when = f", step {until:,}" if trial is first else f" (step {until:,})"
        axes.set_title(f"{which}{when}: {graph.count} places", loc="left", fontsize=10)
    plot.colorbar(
        drawn, ax=grid, label="weight of an edge (0.3: never tried)", shrink=0.6, aspect=30
    )
    caption = (
        "What one agent knows, over walls that it never sees. It proposes the cheapest path; edges that it ran turn "
        "green, edges on which it stalled (and those alike beside them) turn red. Each half line is the edge that "
        "leaves the place it begins at. Blue: where it went in that trial."
    )
    study.picture("growth", caption, plot)


def wavefront(study: Study, told: Told, world: World) -> None:
    """Activity of the places that a wave from the goal leaves, before and after the first trial."""
    plot, pair = plt.subplots(1, 2, figsize=(10.5, 4.3), layout="constrained")
    last, layout = told.graphs[-1][1], world.maps[0]
    goal, start = told.record["mocap_pos"][0, 0, :2].astype(float), told.track[0].astype(float)
    born = Graph(last.spacing, last.offset, last.w0)
    image: Any = None
    for axes, graph, title in zip(
        pair, (born, last), ("At birth", "After the first trial"), strict=True
    ):
        size = np.array([len(layout[0]), len(layout)]) / 2
        low, high = graph.cell(-size), graph.cell(size)
        wave = activation(graph, graph.cell(goal), low, high) / np.log(10)
        begin, end = graph.centre(low) - graph.spacing / 2, graph.centre(high) + graph.spacing / 2
        maze(axes, layout, world)
        extent = (begin[0], end[0], begin[1], end[1])
        image = axes.imshow(
            wave.T,
            origin="lower",
            extent=extent,
            cmap="viridis",
            alpha=0.8,
            zorder=2,
            vmin=-20,
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
            color="#e63946",
            markersize=3,
            linewidth=1.6,
            zorder=4,
            label="proposed behaviour",
        )
        for x in np.argwhere(mazes.walls(layout)):
            corner = tuple(mazes.cell_to_xy(layout, x) - 0.5)
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


def paths(study: Study, before: list[Told], after: list[Told], world: World, shut: World) -> None:
    """Paths of one life, trial by trial, and behind a wall on the shortest way."""
    plot, grid = plt.subplots(2, 3, figsize=(13, 7), layout="constrained")
    shown = [(one, world, f"Trial {k + 1}") for k, one in enumerate(before)]
    shown += [(after[k], shut, f"Blocked route, trial {k + 1} after") for k in (0, 1, 3)]
    for axes, (one, where, title) in zip(grid.flat, shown, strict=True):
        maze(axes, where.maps[0], where, BLOCKS[0] if where is shut else None)
        moments = np.arange(len(one.track))
        points = one.track.reshape(-1, 1, 2)
        axes.add_collection(LineCollection(
            list(np.concatenate([points[:-1], points[1:]], 1)), array=moments[:-1], cmap="plasma", linewidths=1.8,
        ))  # fmt: skip  # pyright: ignore[reportArgumentType]
        axes.plot(*one.track[0], "o", color="black", markersize=5)
        axes.set_title(f"{title}: {len(one.track) - 1:,} steps", loc="left", fontsize=10)
    caption = (
        "One life on Large: dark at a trial's start, yellow at its end. The first trial feels for walls, later ones "
        "run what held. After the third a wall falls onto the shortest way; the same graph finds the detour."
    )
    study.picture("paths", caption, plot)


def trials(study: Study, data: dict[str, Any]) -> None:
    """Steps by trial: on the fixed pairs; and through a blocked and reopened route."""
    plot, (left, right) = plt.subplots(
        1, 2, figsize=(11.5, 4.2), layout="constrained", width_ratios=(1, 1.4)
    )
    for color, name in zip(COLORS, ("umaze", "medium", "large"), strict=False):
        steps = data[f"{name} search"].steps
        _band(left, np.arange(1, steps.shape[1] + 1), steps, color, name)
        best = float(np.median(data[f"{name} oracle"].steps))
        left.axhline(best, color=color, linestyle=":", linewidth=1.2)
    left.plot([], [], ":", color="grey", label="oracle, which has the map")
    left.set_title("Fixed far pairs", loc="left", fontsize=10)
    blocked = data["blocked"]
    whole = np.concatenate([blocked["before"], blocked["after"], blocked["reopened"]], 1)
    _band(right, np.arange(1, whole.shape[1] + 1), whole, COLORS[2], "one life")
    begin = blocked["before"].shape[1]
    fresh = blocked["fresh"]
    _band(
        right,
        np.arange(begin + 1, begin + fresh.shape[1] + 1),
        fresh,
        COLORS[0],
        "agents born behind the wall",
    )
    right.axvspan(begin + 0.5, begin + blocked["after"].shape[1] + 0.5, color="grey", alpha=0.15)
    right.text(
        begin + 0.6, 0.02, "shortest way blocked", transform=right.get_xaxis_transform(), fontsize=8
    )
    right.set_title(
        "Large: a wall falls onto the shortest way, and goes again", loc="left", fontsize=10
    )
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


def _band(axes: Any, x: np.ndarray, steps: np.ndarray, color: str, label: str) -> None:
    low, middle, high = np.percentile(steps, [25, 50, 75], axis=0)
    axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
    axes.plot(x, middle, "o-", color=color, markersize=4, label=label)


def sac(study: Study, data: dict[str, Any]) -> None:
    """Share of success by environment steps on the UMaze: SAC+HER's evaluations, our first trials."""
    plot, axes = plt.subplots(figsize=(8.5, 4.2), layout="constrained")
    ours = np.sort(data["umaze search"].steps[:, 0])
    axes.step(ours, np.arange(1, len(ours) + 1) / len(ours), where="post", color=COLORS[1], linewidth=2.2,
              label="search: share of agents whose first trial is over")  # fmt: skip
    for color, repeat in ((COLORS[0], 5), (COLORS[3], 1)):
        for k, run in enumerate(one for one in data["sac"] if one["repeat"] == repeat):
            steps, success = zip(*run["curve"], strict=True)
            label = f"SAC+HER, action repeat {repeat}: evaluation without noise" if k == 0 else None
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
    axes.axhline(0.9, color="grey", linestyle=":", linewidth=1)
    axes.set_xscale("log")
    axes.set_ylim(-0.09, 1.04)
    axes.set_xlabel("environment steps (ticks below: SAC's first success while it explores)")
    axes.set_ylabel("share of success")
    axes.set_title("UMaze, far pair", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="center", bbox_to_anchor=(0.5, 0.5))
    study.picture(
        "sac",
        "A run ends at its second evaluation in a row at 0.9 or above, or at its budget.",
        plot,
    )

"""One life of the search, recorded with its graph: for the film, and for the pictures of the graph as it grows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from lancelet.controllers import Controller, Population
from lancelet.controllers.search.graph import STEPS, Graph, advance
from lancelet.scripts.studies.search.lives import TASK, World
from lancelet.training.rollout import make_env, rollout
from lancelet.training.video import opengl as gl
from lancelet.training.video import video

HEIGHT = 0.45
"""m, at which the graph hangs over the walls"""
GOOD, BAD, PLAN = (0.1, 0.6, 0.25), (0.8, 0.15, 0.1), (0.1, 0.3, 0.9)
"""strengthened, weakened; the behaviour that is run"""
SLOWER = 2
"""the film runs at half speed"""


@dataclass(frozen=True)
class Told:
    """One trial of one agent."""

    record: dict[str, np.ndarray]
    """``qpos`` and the rest of `Score.record`"""
    graphs: list[tuple[int, Graph, np.ndarray]]
    """after which step the graph or the plan changed: the graph, and the points (k, 2) of the plan"""
    solved: bool

    @property
    def track(self) -> np.ndarray:
        """(steps + 1, 2) m."""
        return self.record["qpos"]


def tell(
    who: Controller, world: World, trials: int = 1, state: Any = None, seed: int = 0
) -> tuple[list[Told], Any]:
    """The trials of one agent, step by step, and its state; its graph is copied whenever it has changed."""
    env = make_env(TASK, 1, 10_000, 1, maze_map=world.maps[0])
    agents = Population(who, 1)
    state = agents.initial_state() if state is None else state
    options, told = {"reset_cell": world.starts[:1], "goal_cell": world.goals[:1]}, []
    for trial in range(trials):
        graphs: list[tuple[int, Graph, np.ndarray]] = []
        mind, last = state[1][0], [()]  # minds change in place

        def look(
            step: int, mind: Any = mind, graphs: list[Any] = graphs, last: list[Any] = last
        ) -> None:
            mark = (mind.stalls, mind.graph.count, mind.level, mind.edge, tuple(mind.path))
            if mark != last[0]:
                last[0] = mark
                graphs.append((step, Graph.from_arrays(mind.graph.to_arrays()), _plan(mind)))

        score, state = rollout(env, agents, seed + trial, options, state, record=True, on_step=look)
        told.append(Told(score.record, graphs, bool(score.metrics["success"][0])))
    env.close()
    return told, state


def _plan(mind: Any) -> np.ndarray:
    """Points (k, 2) of the behaviour that a mind runs, m."""
    if mind.edge is None:
        return np.zeros((0, 2))
    places = [mind.edge[0], advance(*mind.edge)]
    for edge in mind.path:
        places.append(advance(places[-1], edge))
    points = [mind.graph.centre(place) for place in places[:-1]]
    return np.array(
        [*points, mind.goal if not mind.path else mind.graph.centre(places[-1]), mind.goal]
    )


def edges(graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """Half edges (e, 2, 2) from places, m, and weights (e,), of those that were ever changed."""
    weight = graph.weight[: graph.count, :8]
    rows, which = np.nonzero(weight != graph.w0)
    start = graph.offset + graph.spacing * graph.cells[rows]
    return np.stack([start, start + 0.48 * graph.spacing * STEPS[which]], 1), weight[rows, which]


def lines(graph: Graph, plan: np.ndarray) -> np.ndarray:
    """What the film draws in (k, 10): green where strengthened, red where weakened, blue the plan."""
    ends, weight = edges(graph)
    good = (weight > graph.w0)[:, None]
    shade = np.where(good, (weight[:, None] - graph.w0) / (1 - graph.w0), 1.0)
    color = np.concatenate([np.where(good, GOOD, BAD), 0.35 + 0.65 * shade], 1)
    drawn = np.concatenate([_raised(ends[:, 0], HEIGHT), _raised(ends[:, 1], HEIGHT), color], 1)
    if len(plan) < 2:
        return drawn
    path = [
        _raised(plan[:-1], HEIGHT + 0.05),
        _raised(plan[1:], HEIGHT + 0.05),
        np.tile([*PLAN, 1.0], (len(plan) - 1, 1)),
    ]
    return np.concatenate([drawn, np.concatenate(path, 1)])


def _raised(points: np.ndarray, z: float) -> np.ndarray:
    return np.concatenate([points, np.full((len(points), 1), z)], 1)


def film(
    told: Told, world: World, path: Path, every: int = 2, width: int = 640, height: int = 480
) -> Path | None:
    """The trial as a film with the graph drawn in; None where there is no OpenGL."""
    if gl.probe() is None:
        return None
    shown = np.arange(0, len(told.track), every)
    when = np.array([step for step, _, _ in told.graphs])
    drawn = [lines(graph, plan) for _, graph, plan in told.graphs]
    ends = np.concatenate([[0], np.cumsum([len(one) for one in drawn])])
    version = np.searchsorted(when, shown, side="right") - 1
    of = np.where(version[:, None] >= 0, np.stack([ends[version], ends[version + 1]], 1), 0)
    record = {
        name: told.record[name][shown]
        for name in ("qpos", "mocap_pos", "mocap_quat", "geom_pos")
        if name in told.record
    }
    record |= {"lines": np.concatenate(drawn).astype(np.float32), "lines_of": of}
    env: Any = gym.make(TASK, maze_map=world.maps[0]).unwrapped
    fps = 1 / env.task.control_dt(env.vector.sim) / every / SLOWER
    try:
        return video.draw(env.vector.sim.model, record, path, fps, width, height)
    finally:
        env.close()

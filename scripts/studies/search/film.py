"""One life of the search, recorded with its graph: for the film, and for pictures of the graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from lancelet.controllers import Controller, Population
from lancelet.controllers.search.graph import STEPS, WITHIN, Graph, advance
from lancelet.controllers.search.systematic import SearchMind
from lancelet.scripts.studies.search.lives import TASK, World
from lancelet.training.rollout import make_env, rollout
from lancelet.training.video import opengl as gl
from lancelet.training.video import video

HEIGHT = 0.45
"""m, at which the graph hangs over the walls"""
PLAN_HEIGHT = HEIGHT + 0.05
"""m, at which the plan hangs over the graph"""
GOOD = (0.1, 0.6, 0.25)
"""colour (red, green, blue) of an edge that was strengthened"""
BAD = (0.8, 0.15, 0.1)
"""colour of an edge that was weakened"""
PLAN = (0.1, 0.3, 0.9)
"""colour of the behaviour that is run"""
FAINTEST = 0.35
"""opacity of an edge that was hardly strengthened"""
EDGE_SHARE = 0.48
"""share of an edge that is drawn from the place it leaves: its reverse has the other half"""
SLOWER = 2
"""the film runs at half speed"""
BUDGET = 10_000
"""control steps of a trial"""


class Moment(NamedTuple):
    """The graph after a step at which it or the plan has changed."""

    step: int
    """of the trial"""
    graph: Graph
    """a copy"""
    plan: np.ndarray
    """(k, 2) m, points of the behaviour"""


@dataclass(frozen=True)
class RecordedTrial:
    """One trial of one agent, and how its graph changed in it."""

    record: dict[str, np.ndarray]
    """``qpos`` and the rest of `Score.record`"""
    moments: list[Moment]
    """those at which the graph or the plan changed, in the order of their steps"""
    solved: bool
    """whether the goal was reached"""

    @property
    def track(self) -> np.ndarray:
        """Positions (steps + 1, 2), m."""
        return self.record["qpos"]


def record_life(
    controller: Controller, world: World, trials: int = 1, state: Any = None, seed: int = 0
) -> tuple[list[RecordedTrial], Any]:
    """Let one agent live, and copy its graph whenever it has changed.

    Args:
        controller: of the agent.
        world: of which the first agent's map, start and goal are taken.
        trials: of the life.
        state: of an agent that has lived before; None: a newborn one.
        seed: of the start states, trial t at ``seed + t``.

    Returns:
        The trials, and the state of the agent at their end.
    """
    env = make_env(TASK, 1, BUDGET, 1, maze_map=world.maps[0])
    agents = Population(controller, 1)
    if state is None:
        state = agents.initial_state()
    options = {"reset_cell": world.starts[:1], "goal_cell": world.goals[:1]}
    recorded = []
    for trial in range(trials):
        # The agents of a batch share one state: that of their bodies, then a mind each.
        _, minds = state
        moments: list[Moment] = []
        watch = _watcher(minds[0], moments)
        score, state = rollout(
            env, agents, seed + trial, options, state, record=True, on_step=watch
        )
        is_solved = bool(score.metrics["success"][0])
        recorded.append(RecordedTrial(record=score.record, moments=moments, solved=is_solved))
    env.close()
    return recorded, state


def _watcher(mind: SearchMind, moments: list[Moment]) -> Callable[[int], None]:
    """What adds to `moments` after every step at which a mind, which changes in place, has changed."""
    last_mark = None

    def watch(step: int) -> None:
        nonlocal last_mark
        # Every change of the graph goes with one of these, and they are cheap to compare.
        mark = (mind.stalls, mind.graph.count, mind.level, mind.edge, tuple(mind.path))
        if mark != last_mark:
            last_mark = mark
            # A copy: the mind goes on changing its own graph in place.
            graph = Graph.from_arrays(mind.graph.to_arrays())
            moments.append(Moment(step=step, graph=graph, plan=_plan(mind)))

    return watch


def _plan(mind: SearchMind) -> np.ndarray:
    """Points (k, 2) of the behaviour that a mind runs, m; the last one is the goal."""
    if mind.edge is None:
        return np.zeros((0, 2))
    start, edge = mind.edge
    places = [start, advance(start, edge)]
    for following_edge in mind.path:
        places.append(advance(places[-1], following_edge))
    points = [mind.graph.centre(place) for place in places]
    if not mind.path:
        # The edge leads to the goal itself, not to the middle of its cell.
        points[-1] = mind.goal
    return np.array([*points, mind.goal])


def edges(graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """Half edges (e, 2, 2) from places, m, and weights (e,), of those that were ever changed.

    An edge and its reverse have weights of their own: each is drawn from its own place to the middle.
    """
    weight = graph.weight[: graph.count, :WITHIN]
    rows, edge_numbers = np.nonzero(weight != graph.w0)
    start = graph.offset + graph.spacing * graph.cells[rows]
    middle = start + EDGE_SHARE * graph.spacing * STEPS[edge_numbers]
    return np.stack([start, middle], axis=1), weight[rows, edge_numbers]


def lines(graph: Graph, plan: np.ndarray) -> np.ndarray:
    """What the film draws: green where strengthened, red where weakened, blue the plan.

    Args:
        graph: of the agent.
        plan: (k, 2) m, points of its behaviour.

    Returns:
        (lines, 10): start and end (m), and red, green, blue and opacity in [0, 1].
    """
    ends, weight = edges(graph)
    weight = weight[:, None]
    is_good = weight > graph.w0
    strength = np.where(is_good, (weight - graph.w0) / (1 - graph.w0), 1.0)
    opacity = FAINTEST + (1 - FAINTEST) * strength
    color = np.concatenate([np.where(is_good, GOOD, BAD), opacity], axis=1)
    starts = _raised(ends[:, 0], HEIGHT)
    middles = _raised(ends[:, 1], HEIGHT)
    graph_lines = np.concatenate([starts, middles, color], axis=1)
    if len(plan) < 2:
        return graph_lines
    from_points = _raised(plan[:-1], PLAN_HEIGHT)
    to_points = _raised(plan[1:], PLAN_HEIGHT)
    plan_color = np.tile([*PLAN, 1.0], (len(plan) - 1, 1))
    plan_lines = np.concatenate([from_points, to_points, plan_color], axis=1)
    return np.concatenate([graph_lines, plan_lines])


def _raised(points: np.ndarray, z: float) -> np.ndarray:
    """Points (k, 2) as points (k, 3) at the height z, m."""
    return np.concatenate([points, np.full((len(points), 1), z)], axis=1)


def film(
    trial: RecordedTrial,
    world: World,
    path: Path,
    every: int = 2,
    width: int = 640,
    height: int = 480,
) -> Path | None:
    """Draw a trial as a film with the graph in it.

    Args:
        trial: what is shown.
        world: in which it was lived.
        path: of the film.
        every: control steps between two pictures.
        width: pixels.
        height: pixels.

    Returns:
        `path`; None where there is no OpenGL.
    """
    if gl.probe() is None:
        return None
    steps = np.arange(0, len(trial.track), every)
    record = {}
    for name in ("qpos", "mocap_pos", "mocap_quat", "geom_pos"):
        # Walls that never move are not recorded.
        if name in trial.record:
            record[name] = trial.record[name][steps]

    # The lines of all moments one after the other, and the range of them that each picture shows.
    lines_of_moments = [lines(moment.graph, moment.plan) for moment in trial.moments]
    ends = np.concatenate([[0], np.cumsum([len(drawn) for drawn in lines_of_moments])])
    moment_steps = np.array([moment.step for moment in trial.moments])
    # The latest moment at or before each picture; -1 before the first one.
    latest = np.searchsorted(moment_steps, steps, side="right") - 1
    ranges = np.stack([ends[latest], ends[latest + 1]], axis=1)
    has_graph = latest[:, None] >= 0
    record["lines"] = np.concatenate(lines_of_moments).astype(np.float32)
    record["lines_of"] = np.where(has_graph, ranges, 0)

    env: Any = gym.make(TASK, maze_map=world.maps[0]).unwrapped
    frames_per_second = 1 / env.task.control_dt(env.vector.sim) / every / SLOWER
    try:
        model = env.vector.sim.model
        return video.draw(model, record, path, fps=frames_per_second, width=width, height=height)
    finally:
        env.close()

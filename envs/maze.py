"""Point-mass navigation in mazes, the physics of Gymnasium-Robotics' PointMaze-v3 (spec systematic_search 8.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import mujoco
import numpy as np
from gymnasium import spaces

from .. import morphology
from ..errors import LanceletError, unknown
from ..morphology import scenery
from ..morphology.ball import Ball
from . import mazes, walls
from .task import Array, Memory, Task

RADIUS = 0.45
"""m from the goal within which it is reached"""
SPEED = 5.0
"""m/s, each velocity is clipped to it before every simulator step"""
REWARDS = ("sparse", "dense", "cost")
Cells = Sequence[int] | Array


@dataclass(kw_only=True)
class PointMaze(Task):
    """Find the way to a goal: a ball pushed along x and y, in a maze of 1 m cells.

    Observation (Dict, float64): ``observation`` x, y (m), v_x, v_y (m/s); ``achieved_goal`` x, y (m);
    ``desired_goal`` x, y (m). Nothing is told of walls. Action (2): commands in [-1, 1]; 1 is 100 N.

    Reward: ``goal`` = 1 within 0.45 m of the goal, else 0 (sparse), or exp(-distance) (dense), or 0 there and -1 a step
    elsewhere (cost). `compute_reward`,
    `compute_terminated` and `compute_truncated` are methods of the environments too, and take batches.

    Start: at rest; goal and start in cells drawn alike or given, each moved by up to `noise` in x and y. From a seed,
    start and goal are those of Gymnasium-Robotics. Control step 0.01 s x `frame_skip`. Ends at the goal unless
    `continuing_task`; truncated after 10,000 steps unless ``max_episode_steps`` says else.

    ``reset(options=)`` takes ``goal_cell`` and ``reset_cell`` ((row, column), (2,) or (n, 2)) and ``continuing_task``
    for that episode; ``maze``, ``maze_map`` (one map or n of them, of the constructor's size) and ``gain`` ((2, 2) or
    (n, 2, 2)) for good. `set_walls`, `move_wall` and `set_gain` change the world within an episode, for good too.

    Metrics: ``success`` (1 where the goal was reached), ``path`` (m travelled), ``distance`` (m, to the goal).

    Differences from Gymnasium-Robotics: `continuing_task` is off by default, and has no ``reset_target``.

    Version: v0.
    """

    maze: str = "umaze"
    """umaze, open, medium, large, perfect:N or loops:N"""
    maze_map: Any = None
    """rows of codes (# or 1 wall, . or 0 free, r start, g goal, c both) in place of `maze`"""
    maze_seed: int = 0
    """of perfect:N and loops:N"""
    goal_cell: Any = None
    """(row, column); none: drawn at reset"""
    reset_cell: Any = None
    """(row, column) of the start; none: drawn at reset"""
    continuing_task: bool = False
    """go on at the goal"""
    frame_skip: int = 1
    """simulator steps under one action"""
    reward_type: Literal["sparse", "dense", "cost"] = "sparse"
    """1 at the goal, or exp(-distance in m), or -1 a step elsewhere"""
    noise: float = 0.25
    """m, largest offset of start and goal from their cells' centres"""
    gain: Any = ((1.0, 0.0), (0.0, 1.0))
    """matrix (2, 2) from action to motors: swapped, mirrored or rescaled actuators"""
    allow_unreachable: bool = False
    """let a goal stand where no free path leads"""

    reset_options: ClassVar[tuple[str, ...]] = (
        "goal_cell", "reset_cell", "continuing_task", "maze", "maze_map", "gain",
    )  # fmt: skip
    forwarded: ClassVar[tuple[str, ...]] = (
        "compute_reward",
        "compute_terminated",
        "compute_truncated",
    )

    def __post_init__(self) -> None:
        for body in self.bodies():
            if not isinstance(body, Ball):
                raise LanceletError(f"{type(self).__name__}.body = {body!r}: needs a Ball")
        if self.reward_type not in REWARDS:
            raise unknown("reward_type", self.reward_type, REWARDS)
        for name, least in (("frame_skip", 1), ("maze_seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise LanceletError(f"{name} = {value!r}: must be a whole number, {least} or more")
        if not (isinstance(self.noise, int | float) and 0 <= self.noise <= 0.4):
            raise LanceletError(
                f"noise = {self.noise!r}: must be from 0 to 0.4 m, or it would reach into walls"
            )
        self.gain = tuple(tuple(row) for row in _matrices(self.gain, 1)[0].tolist())
        if self.maze_map is not None:
            self.maze_map = mazes.parse(self.maze_map)
        layout = self.layout
        for name in ("goal_cell", "reset_cell"):
            if getattr(self, name) is not None:
                cell = mazes.check_cells(name, getattr(self, name), 1, layout)[0]
                mazes.check_free(name, cell, layout)
                setattr(self, name, tuple(cell.tolist()))
        self._choose(layout, self.goal_cell, self.reset_cell, np.random.default_rng(0))

    @property
    def layout(self) -> mazes.Map:
        """The maze at construction."""
        return mazes.named(self.maze, self.maze_seed) if self.maze_map is None else self.maze_map

    def default_body(self) -> morphology.Body:
        """The ball of PointMaze-v3."""
        return morphology.make("ball")

    def spec(self, body: morphology.Body) -> mujoco.MjSpec:
        """The ball, the goal, and a block for every cell, where the cell is free under the floor: walls may change."""
        spec, layout = body.build(), self.layout
        scenery.above(spec, len(layout[0]), len(layout))
        goal = spec.worldbody.add_body(name="goal", mocap=True)
        goal.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=[RADIUS, 0.01, 0], pos=[0, 0, -0.08],
            rgba=[*scenery.TARGET[:3], 0.6], contype=0, conaffinity=0,
        )  # fmt: skip
        walls.add(spec, layout)
        return spec

    @property
    def observation_space(self) -> spaces.Space:
        """Dict of three unbounded boxes, float64."""
        sizes = {"observation": 4, "achieved_goal": 2, "desired_goal": 2}
        return spaces.Dict(
            {name: spaces.Box(-np.inf, np.inf, (size,), np.float64) for name, size in sizes.items()}
        )

    @property
    def action_space(self) -> spaces.Space:
        """Box of two commands."""
        return spaces.Box(-1.0, 1.0, (2,), np.float32)

    def control_dt(self, sim: Any) -> float:
        """0.01 s x frame_skip."""
        return sim.timestep * self.frame_skip

    def make(self, n: int, nthread: int) -> Any:
        """The simulator, with the actuators mixed as `gain` says."""
        sim = super().make(n, nthread)
        if self.gain != ((1.0, 0.0), (0.0, 1.0)):
            self.set_gain(sim, self.gain)
        return sim

    def memory(self, n: int) -> Memory:
        """Path so far (m), whether the goal was reached, whether the episode goes on at the goal."""
        return {
            "path": np.zeros(n),
            "reached": np.zeros(n, bool),
            "continuing": np.full(n, self.continuing_task),
        }

    # -- starts -------------------------------------------------------------------------------------------------------

    def reset(
        self,
        sim: Any,
        memory: Memory,
        ids: Array,
        rngs: Sequence[np.random.Generator],
        options: Mapping[str, Any],
    ) -> None:
        """Goal cell and its noise, start cell and its noise, in Gymnasium-Robotics' order."""
        maps = self._given_maps(options, sim.n) or self.maps(sim)
        goals, starts = (
            mazes.check_cells(name, options.get(name, getattr(self, name)), sim.n, self.layout)
            for name in ("goal_cell", "reset_cell")
        )
        chosen = []
        for i, rng in zip(ids.tolist(), rngs, strict=True):
            chosen.append(
                self._choose(
                    maps[i],
                    goals if goals is None else goals[i],
                    starts if starts is None else starts[i],
                    rng,
                )
            )
        if "qpos" in options:
            self._check_start(np.asarray(options["qpos"], float), maps, ids, sim)
        if "gain" in options:
            self.set_gain(sim, _matrices(options["gain"], sim.n)[ids], ids)
        if "maze" in options or "maze_map" in options:
            walls.write(sim, self.layout, maps, ids)
        goal, start = np.array(chosen).transpose(1, 0, 2)
        sim.mocap_pos[ids, 0, :2], sim.qpos[ids] = goal, start
        if "continuing_task" in options:
            memory["continuing"][ids] = np.broadcast_to(
                np.asarray(options["continuing_task"], bool), (sim.n,)
            )[ids]

    def _choose(
        self, layout: mazes.Map, goal: Any, start: Any, rng: np.random.Generator
    ) -> tuple[Array, Array]:
        """Goal and start in m; what is not given is drawn."""
        labels = mazes.regions(layout)
        goals, starts = mazes.goals_and_starts(layout)
        for name, cell in (("goal_cell", goal), ("reset_cell", start)):
            if cell is not None:
                mazes.check_free(name, cell, layout)
        if goal is None:
            goal = _draw(goals, self._joined(layout, goals, starts, start), rng)
            if goal is None:
                raise LanceletError(
                    "the maze has no two free cells joined for start and goal: change maze_map"
                )
        target = mazes.cell_to_xy(layout, goal) + self._offset(rng)
        if start is None:
            good = np.hypot(*(mazes.cell_to_xy(layout, starts) - target).T) > 0.5
            if not self.allow_unreachable:
                good &= labels[starts[:, 0], starts[:, 1]] == labels[tuple(goal)]
            start = _draw(starts, good, rng)
            if start is None:
                where = mazes.name_of(goal)
                raise LanceletError(
                    f"goal_cell = {where}: no start cell is joined to it; change it, or give reset_cell"
                )
        elif labels[tuple(start)] != labels[tuple(goal)] and not self.allow_unreachable:
            raise LanceletError(
                f"goal_cell = {mazes.name_of(goal)}: no free path joins it to the start {mazes.name_of(start)} "
                "(allow_unreachable=True lets it)"
            )
        return target, mazes.cell_to_xy(layout, start) + self._offset(rng)

    def _joined(self, layout: mazes.Map, goals: Array, starts: Array, start: Any) -> Array:
        """True (k,) for the goals that some other start cell, or the one given, is joined to."""
        labels = mazes.regions(layout)
        region = labels[goals[:, 0], goals[:, 1]]
        if start is not None:
            return (region == labels[tuple(start)]) | self.allow_unreachable
        here = np.zeros(labels.shape, int)
        here[starts[:, 0], starts[:, 1]] = 1
        there = np.bincount(labels[starts[:, 0], starts[:, 1]], minlength=labels.size)
        return (len(starts) if self.allow_unreachable else there[region]) - here[
            goals[:, 0], goals[:, 1]
        ] > 0

    def _offset(self, rng: np.random.Generator) -> Array:
        return np.array(
            [rng.uniform(-self.noise, self.noise), rng.uniform(-self.noise, self.noise)]
        )

    def _given_maps(self, options: Mapping[str, Any], n: int) -> list[mazes.Map] | None:
        """The n maps of reset options; None where they name none."""
        if "maze_map" in options:
            return self._maps("maze_map", options["maze_map"], n)
        if "maze" in options:
            return self._maps("maze", mazes.named(options["maze"], self.maze_seed), n)
        return None

    def _maps(self, name: str, given: Any, n: int) -> list[mazes.Map]:
        if mazes.is_map(given):
            maps = [mazes.parse(given)] * n
        elif len(given) == n:
            maps = [mazes.parse(item) for item in given]
        else:
            raise LanceletError(f"{name} has {len(given)} maps: needs one, or {n}")
        rows, columns = len(self.layout), len(self.layout[0])
        for layout in maps:
            if (len(layout), len(layout[0])) != (rows, columns):
                size = f"{len(layout)} x {len(layout[0])}"
                raise LanceletError(
                    f"{name} has {size} cells: this environment was made for {rows} x {columns}"
                )
        return maps

    def _check_start(self, qpos: Array, maps: Sequence[mazes.Map], ids: Array, sim: Any) -> None:
        if qpos.shape not in ((2,), (sim.n, 2)) or not np.isfinite(qpos).all():
            return  # the core refuses it
        for i in ids.tolist():
            xy = qpos if qpos.ndim == 1 else qpos[i]
            blocks = mazes.cell_to_xy(maps[i], np.argwhere(mazes.walls(maps[i])))
            walls.clear(
                sim, xy, blocks, f"options['qpos'] puts the agent of environment {i} into the wall"
            )

    # -- the changing world --------------------------------------------------------------------------------------------

    def maps(self, sim: Any) -> list[mazes.Map]:
        """The n mazes as they are now; a block that `move_wall` moved is no wall of its cell."""
        return walls.maps(sim, self.layout)

    def set_walls(self, sim: Any, maze_map: Any, ids: Any = None) -> None:
        """Change the walls of simulations `ids` (None: all) now and for good.

        Args:
            sim: of the environment, ``env.sim`` of a VectorEnv, ``env.vector.sim`` of a SingleEnv, after a reset.
            maze_map: one map or n of them, of the constructor's size; marks r, g, c count for nothing here.
            ids: simulations.

        Raises:
            LanceletError: a wall on an agent or a goal, or, unless `allow_unreachable`, between the two.
        """
        ids = np.arange(sim.n)[slice(None) if ids is None else ids].reshape(-1)
        maps = self._maps("maze_map", maze_map, sim.n)
        before = walls.standing(sim, self.layout)
        for i in ids.tolist():
            layout, xy, goal = maps[i], sim.qpos[i], sim.mocap_pos[i, 0, :2]
            new = np.argwhere(mazes.walls(layout) & ~before[i])
            walls.clear(
                sim,
                xy,
                mazes.cell_to_xy(layout, new),
                f"maze_map puts a wall on the agent of environment {i},",
            )
            here, there = (tuple(mazes.xy_to_cell(layout, point).tolist()) for point in (xy, goal))
            if layout[there[0]][there[1]] == mazes.WALL:
                raise LanceletError(
                    f"maze_map puts a wall on the goal of environment {i}, at {mazes.name_of(there)}"
                )
            labels = mazes.regions(layout)
            if labels[here] != labels[there] and not self.allow_unreachable:
                raise LanceletError(
                    f"maze_map cuts the agent of environment {i} at {mazes.name_of(here)} off from its goal "
                    f"at {mazes.name_of(there)} (allow_unreachable=True lets it)"
                )
        walls.write(sim, self.layout, maps, ids)

    def move_wall(self, sim: Any, cell: Cells, xy: Any, ids: Any = None) -> None:
        """Put the block of `cell` with its centre at `xy` (m), off the lattice too, in simulations `ids` (None: all).

        Blocks may overlap: the block of a free cell, moved 0.3 m along a wall, leaves a slit of 0.3 m.

        Raises:
            LanceletError: a block on an agent, a cell outside the map, a position that is not finite.
        """
        ids = np.arange(sim.n)[slice(None) if ids is None else ids].reshape(-1)
        walls.move(sim, self.layout, mazes.check_cells("cell", cell, 1, self.layout)[0], xy, ids)

    def set_gain(self, sim: Any, gain: Any, ids: Any = None) -> None:
        """Mix actions into motors by `gain` ((2, 2), or one for each of `ids`) in simulations `ids`, for good.

        A motor takes at most full command, whatever the gain.
        """
        ids = np.arange(sim.n)[slice(None) if ids is None else ids].reshape(-1)
        sim.field("actuator_user")[ids] = _matrices(gain, len(ids))

    # -- steps ---------------------------------------------------------------------------------------------------------

    def advance(self, sim: Any, memory: Memory, action: Array) -> None:
        """Velocities are clipped before each simulator step, as in Gymnasium-Robotics."""
        rows = slice(None) if sim.live is None else sim.live
        before = sim.qpos.copy()
        mix = sim.field("actuator_user").values
        sim.ctrl[:] = mix[:, :, 0] * action[:, :1] + mix[:, :, 1] * action[:, 1:]
        for _ in range(self.frame_skip):
            sim.qvel[rows] = np.minimum(np.maximum(sim.qvel[rows], -SPEED), SPEED)
            sim.step()
        moved = sim.qpos - before
        memory["path"] += np.sqrt(moved[:, 0] ** 2 + moved[:, 1] ** 2)
        memory["reached"] |= self._at_goal(sim)

    def observe(self, sim: Any, memory: Memory) -> dict[str, Array]:
        """The three parts of the class's table."""
        state = np.concatenate([sim.qpos, sim.qvel], axis=1)
        return {
            "observation": state,
            "achieved_goal": sim.qpos.copy(),
            "desired_goal": sim.mocap_pos[:, 0, :2].copy(),
        }

    def reward(self, sim: Any, memory: Memory, action: Array) -> tuple[Array, dict[str, Array]]:
        """As `compute_reward`."""
        reward = self.compute_reward(sim.qpos, sim.mocap_pos[:, 0, :2], {})
        return reward, {"goal": reward}

    def terminated(self, sim: Any, memory: Memory) -> Array:
        """At the goal, unless the episode goes on there."""
        return self._at_goal(sim) & ~memory["continuing"]

    def metrics(self, sim: Any, memory: Memory) -> dict[str, Array]:
        """Of the episode so far."""
        distance = _distance(sim.qpos, sim.mocap_pos[:, 0, :2])
        return {
            "success": memory["reached"].astype(float),
            "path": memory["path"].copy(),
            "distance": distance,
        }

    def _at_goal(self, sim: Any) -> Array:
        return self.goal_reached(sim.qpos, sim.mocap_pos[:, 0, :2])

    def goal_reached(self, achieved: Array, desired: Array) -> Array:
        """True where `achieved` (..., 2) lies within 0.45 m of `desired`."""
        return _distance(achieved, desired) <= RADIUS

    def compute_reward(self, achieved_goal: Array, desired_goal: Array, info: Any) -> Any:
        """Reward (...) for having got to `achieved_goal` (..., 2) when `desired_goal` was wanted; `info` counts not."""
        distance = _distance(achieved_goal, desired_goal)
        if self.reward_type == "dense":
            return np.exp(-distance)
        return (distance <= RADIUS).astype(float) - (self.reward_type == "cost")

    def compute_terminated(self, achieved_goal: Array, desired_goal: Array, info: Any) -> Any:
        """True (...) where that would end an episode."""
        reached = self.goal_reached(achieved_goal, desired_goal)
        return reached & (not self.continuing_task)

    def compute_truncated(self, achieved_goal: Array, desired_goal: Array, info: Any) -> Any:
        """False (...): only time truncates."""
        return np.zeros(np.shape(achieved_goal)[:-1], bool)[()]


def _draw(cells: Array, good: Array, rng: np.random.Generator) -> Any:
    """One of the `good` cells by drawing among all until it is good, as Gymnasium-Robotics does; None if none is."""
    if not good.any():
        return None
    pick = rng.integers(0, len(cells))
    while not good[pick]:
        pick = rng.integers(0, len(cells))
    return cells[pick]


def _distance(left: Array, right: Array) -> Array:
    between = np.asarray(left, float) - np.asarray(right, float)
    return np.sqrt(between[..., 0] ** 2 + between[..., 1] ** 2)


def _matrices(given: Any, n: int) -> Array:
    """Matrices (n, 2, 2) of one, or n."""
    try:
        values = np.asarray(given, float)
    except (TypeError, ValueError):
        values = np.full(1, math.nan)
    if values.shape not in ((2, 2), (n, 2, 2)) or not np.isfinite(values).all():
        raise LanceletError(
            f"gain = {mazes.shown(given)}: must be a 2 x 2 matrix of finite numbers, or {n} of them"
        )
    return np.broadcast_to(values, (n, 2, 2))

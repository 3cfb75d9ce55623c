"""Point-mass navigation in mazes, the physics of Gymnasium-Robotics' PointMaze-v3.

See docs/systems/search.md, "The mazes".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import mujoco
import numpy as np
from gymnasium import spaces

from .. import morphology
from ..checks import number_within, whole_number
from ..errors import LanceletError, unknown
from ..morphology import scenery
from ..morphology.ball import Ball
from . import mazes, walls
from .simulation import Simulation
from .task import Array, Memory, Task

RADIUS = 0.45
"""m from the goal within which it is reached"""
LARGEST_SPEED = 5.0
"""m/s, each velocity is clipped to it before every simulator step"""
LARGEST_NOISE = 0.4
"""m from a cell's centre; further off, the ball would reach into walls"""
LEAST_DISTANCE = 0.5
"""m between a goal and a start that are drawn, as in Gymnasium-Robotics"""
REWARDS = ("sparse", "dense", "cost")
"""values of `PointMaze.reward_type`"""
UNMIXED = ((1.0, 0.0), (0.0, 1.0))
"""gain that leaves actions as they are"""
Cells = Sequence[int] | Array
"""one (row, column), or one for every simulation, (n, 2)"""


@dataclass(kw_only=True)
class PointMaze(Task):
    """Find the way to a goal: a ball pushed along x and y, in a maze of 1 m cells.

    Observation (Dict, float64): ``observation`` x, y (m), v_x, v_y (m/s); ``achieved_goal`` x, y (m);
    ``desired_goal`` x, y (m). Nothing is told of walls. Action (2): commands in [-1, 1]; 1 is 100 N.

    Reward: ``goal`` = 1 within 0.45 m of the goal, else 0 (sparse), or exp(-distance) (dense), or 0 there and -1 a step
    elsewhere (cost). `compute_reward`, `compute_terminated` and `compute_truncated` are methods of the environments
    too, and take batches.

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
    """seed of the mazes perfect:N and loops:N"""
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
    gain: Any = UNMIXED
    """matrix (2, 2) from action to motors: swapped, mirrored or rescaled actuators"""
    allow_unreachable: bool = False
    """let a goal stand where no free path leads"""

    reset_options: ClassVar[tuple[str, ...]] = (
        "goal_cell",
        "reset_cell",
        "continuing_task",
        "maze",
        "maze_map",
        "gain",
    )
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
        whole_number("frame_skip", self.frame_skip, least=1)
        whole_number("maze_seed", self.maze_seed, least=0)
        if not number_within(self.noise, 0, LARGEST_NOISE):
            raise LanceletError(
                f"noise = {self.noise!r}: must be from 0 to {LARGEST_NOISE} m, or it would reach into walls"
            )
        first_row, second_row = _matrices(self.gain, 1)[0].tolist()
        self.gain = (tuple(first_row), tuple(second_row))
        if self.maze_map is not None:
            self.maze_map = mazes.parse(self.maze_map)
        layout = self.layout
        self.goal_cell = _free_cell("goal_cell", self.goal_cell, layout)
        self.reset_cell = _free_cell("reset_cell", self.reset_cell, layout)
        # A draw that is thrown away: a maze without a start or a goal is refused here, not at the first reset.
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
        spec = body.build()
        layout = self.layout
        rows, columns = mazes.shape(layout)
        scenery.above(spec, columns, rows)
        goal = spec.worldbody.add_body(name="goal", mocap=True)
        goal.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CYLINDER,
            size=[RADIUS, 0.01, 0],
            pos=[0, 0, -0.08],
            rgba=[*scenery.TARGET[:3], 0.6],
            contype=0,
            conaffinity=0,
        )
        walls.add(spec, layout)
        return spec

    @property
    def observation_space(self) -> spaces.Space:
        """Dict of three unbounded boxes, float64."""
        return spaces.Dict(
            {
                "observation": spaces.Box(-np.inf, np.inf, (4,), np.float64),
                "achieved_goal": spaces.Box(-np.inf, np.inf, (2,), np.float64),
                "desired_goal": spaces.Box(-np.inf, np.inf, (2,), np.float64),
            }
        )

    @property
    def action_space(self) -> spaces.Space:
        """Box of two commands."""
        return spaces.Box(-1.0, 1.0, (2,), np.float32)

    def control_dt(self, sim: Simulation) -> float:
        """0.01 s x frame_skip."""
        return sim.timestep * self.frame_skip

    def make(self, n: int, nthread: int) -> Any:
        """The simulator, with the actuators mixed as `gain` says."""
        sim = super().make(n, nthread)
        if self.gain != UNMIXED:
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
        sim: Simulation,
        memory: Memory,
        ids: Array,
        rngs: Sequence[np.random.Generator],
        options: Mapping[str, Any],
    ) -> None:
        """Put goals and agents where they are given or drawn, and write what the options change for good."""
        maps = self._given_maps(options, sim.n) or self.maps(sim)
        given_goals = options.get("goal_cell", self.goal_cell)
        given_starts = options.get("reset_cell", self.reset_cell)
        goal_cells = mazes.check_cells("goal_cell", given_goals, sim.n, self.layout)
        start_cells = mazes.check_cells("reset_cell", given_starts, sim.n, self.layout)
        goals = np.zeros((len(ids), 2))
        starts = np.zeros((len(ids), 2))
        for row, (simulation, rng) in enumerate(zip(ids.tolist(), rngs, strict=True)):
            goal_cell = None if goal_cells is None else goal_cells[simulation]
            start_cell = None if start_cells is None else start_cells[simulation]
            layout = maps[simulation]
            goals[row], starts[row] = self._choose(layout, goal_cell, start_cell, rng)
        if "qpos" in options:
            self._check_start(np.asarray(options["qpos"], float), maps, ids, sim)
        # Only now, with everything checked, is anything written: a refused reset changes nothing.
        if "gain" in options:
            self.set_gain(sim, _matrices(options["gain"], sim.n)[ids], ids)
        if "maze" in options or "maze_map" in options:
            walls.write(sim, self.layout, maps, ids)
        sim.mocap_pos[ids, 0, :2] = goals
        sim.qpos[ids] = starts
        if "continuing_task" in options:
            continuing = np.asarray(options["continuing_task"], bool)
            memory["continuing"][ids] = np.broadcast_to(continuing, (sim.n,))[ids]

    def _choose(
        self, layout: mazes.Map, goal: Any, start: Any, rng: np.random.Generator
    ) -> tuple[Array, Array]:
        """Goal and start of one episode.

        The draws come in Gymnasium-Robotics' order: goal cell, its offset, start cell, its offset.

        Args:
            layout: the maze.
            goal: (row, column); None: drawn.
            start: (row, column); None: drawn.
            rng: of the simulation.

        Returns:
            Both as (x, y), m.

        Raises:
            LanceletError: a cell in a wall, or no path between the two.
        """
        if goal is not None:
            mazes.check_free("goal_cell", goal, layout)
        if start is not None:
            mazes.check_free("reset_cell", start, layout)
        if goal is None:
            goal = self._draw_goal(layout, start, rng)
        goal_xy = mazes.cell_to_xy(layout, goal) + self._offset(rng)
        if start is None:
            start = self._draw_start(layout, goal, goal_xy, rng)
        else:
            self._check_joined(layout, goal, start)
        start_xy = mazes.cell_to_xy(layout, start) + self._offset(rng)
        return goal_xy, start_xy

    def _draw_goal(self, layout: mazes.Map, start: Any, rng: np.random.Generator) -> Array:
        """A goal cell that some other start cell, or the one given, is joined to."""
        goals, starts = mazes.goals_and_starts(layout)
        goal = _draw(goals, self._can_be_goal(layout, goals, starts, start), rng)
        if goal is None:
            raise LanceletError(
                "the maze has no two free cells joined for start and goal: change maze_map"
            )
        return goal

    def _can_be_goal(self, layout: mazes.Map, goals: Array, starts: Array, start: Any) -> Array:
        """True (k,) for those of the cells `goals` (k, 2) that some other start cell, or the one given, is joined to."""
        regions = mazes.regions(layout)
        region_of_goal = regions[goals[:, 0], goals[:, 1]]
        if start is not None:
            return (region_of_goal == regions[tuple(start)]) | self.allow_unreachable
        if self.allow_unreachable:
            joined_starts = len(starts)
        else:
            region_of_start = regions[starts[:, 0], starts[:, 1]]
            starts_in_region = np.bincount(region_of_start, minlength=regions.size)
            joined_starts = starts_in_region[region_of_goal]
        # The goal's own cell is no start for it.
        is_start = np.zeros(regions.shape, int)
        is_start[starts[:, 0], starts[:, 1]] = 1
        return joined_starts - is_start[goals[:, 0], goals[:, 1]] > 0

    def _draw_start(
        self, layout: mazes.Map, goal: Array, goal_xy: Array, rng: np.random.Generator
    ) -> Array:
        """A start cell that is joined to the cell `goal`, and not too near to the goal itself at `goal_xy` (m)."""
        _, starts = mazes.goals_and_starts(layout)
        from_goal = mazes.cell_to_xy(layout, starts) - goal_xy
        can_be_start = np.hypot(from_goal[:, 0], from_goal[:, 1]) > LEAST_DISTANCE
        if not self.allow_unreachable:
            regions = mazes.regions(layout)
            can_be_start &= regions[starts[:, 0], starts[:, 1]] == regions[tuple(goal)]
        start = _draw(starts, can_be_start, rng)
        if start is None:
            raise LanceletError(
                f"goal_cell = {mazes.name_of(goal)}: no start cell is joined to it; change it, or give reset_cell"
            )
        return start

    def _check_joined(self, layout: mazes.Map, goal: Any, start: Any) -> None:
        """Refuse two cells without a free path between them, unless that is allowed."""
        regions = mazes.regions(layout)
        if regions[tuple(start)] != regions[tuple(goal)] and not self.allow_unreachable:
            raise LanceletError(
                f"goal_cell = {mazes.name_of(goal)}: no free path joins it to the start {mazes.name_of(start)} "
                "(allow_unreachable=True lets it)"
            )

    def _offset(self, rng: np.random.Generator) -> Array:
        """Offset of a goal or a start from its cell's centre, m: x is drawn before y."""
        x = rng.uniform(-self.noise, self.noise)
        y = rng.uniform(-self.noise, self.noise)
        return np.array([x, y])

    def _given_maps(self, options: Mapping[str, Any], n: int) -> list[mazes.Map] | None:
        """The n maps of reset options; None where they name none."""
        if "maze_map" in options:
            return self._maps("maze_map", options["maze_map"], n)
        if "maze" in options:
            return self._maps("maze", mazes.named(options["maze"], self.maze_seed), n)
        return None

    def _maps(self, name: str, given: Any, n: int) -> list[mazes.Map]:
        """The n maps of option `name`, from one or n given; refused where their size is not the constructor's."""
        if mazes.is_map(given):
            maps = [mazes.parse(given)] * n
        elif len(given) == n:
            maps = [mazes.parse(item) for item in given]
        else:
            raise LanceletError(f"{name} has {len(given)} maps: needs one, or {n}")
        rows, columns = mazes.shape(self.layout)
        for layout in maps:
            given_rows, given_columns = mazes.shape(layout)
            if (given_rows, given_columns) != (rows, columns):
                raise LanceletError(
                    f"{name} has {given_rows} x {given_columns} cells: "
                    f"this environment was made for {rows} x {columns}"
                )
        return maps

    def _check_start(
        self, qpos: Array, maps: Sequence[mazes.Map], ids: Array, sim: Simulation
    ) -> None:
        """Refuse the reset option ``qpos`` where it puts an agent of `ids` into a wall of its map."""
        if qpos.shape not in ((2,), (sim.n, 2)) or not np.isfinite(qpos).all():
            return  # the core refuses it
        starts = np.broadcast_to(qpos, (sim.n, 2))
        for i in ids.tolist():
            wall_cells = np.argwhere(mazes.walls(maps[i]))
            blocks = mazes.cell_to_xy(maps[i], wall_cells)
            walls.refuse_covering(
                sim,
                ball_xy=starts[i],
                block_centres=blocks,
                cause=f"options['qpos'] puts the agent of environment {i} into the wall",
            )

    # -- the changing world --------------------------------------------------------------------------------------------

    def maps(self, sim: Simulation) -> list[mazes.Map]:
        """The n mazes as they are now; a block that `move_wall` moved is no wall of its cell."""
        return walls.maps(sim, self.layout)

    def set_walls(self, sim: Simulation, maze_map: Any, ids: Any = None) -> None:
        """Change the walls of simulations `ids` (None: all) now and for good.

        Args:
            sim: of the environment, ``env.sim`` of a VectorEnv, ``env.vector.sim`` of a SingleEnv, after a reset.
            maze_map: one map or n of them, of the constructor's size; marks r, g, c count for nothing here.
            ids: simulations.

        Raises:
            LanceletError: a wall on an agent or a goal, or, unless `allow_unreachable`, between the two.
        """
        chosen = _as_ids(ids, sim.n)
        maps = self._maps("maze_map", maze_map, sim.n)
        stood_before = walls.standing(sim, self.layout)
        # All simulations are looked at before any wall is written.
        for i in chosen.tolist():
            self._check_new_walls(sim, i, maps[i], stood_before[i])
        walls.write(sim, self.layout, maps, chosen)

    def _check_new_walls(
        self, sim: Simulation, i: int, layout: mazes.Map, stood_before: Array
    ) -> None:
        """Refuse a map that simulation `i` cannot take as it stands now; nothing is changed.

        Args:
            sim: the simulations.
            i: number of the one that is to get the map.
            layout: the map.
            stood_before: (rows, columns) True where it has a wall now.

        Raises:
            LanceletError: a new wall covers the agent or the goal, or cuts one off from the other.
        """
        agent_xy = sim.qpos[i]
        goal_xy = sim.mocap_pos[i, 0, :2]
        # A wall that stands already is not looked at: the agent may touch it, and overlaps it a little then.
        new_walls = np.argwhere(mazes.walls(layout) & ~stood_before)
        walls.refuse_covering(
            sim,
            ball_xy=agent_xy,
            block_centres=mazes.cell_to_xy(layout, new_walls),
            cause=f"maze_map puts a wall on the agent of environment {i},",
        )
        agent_cell = tuple(mazes.xy_to_cell(layout, agent_xy).tolist())
        goal_cell = tuple(mazes.xy_to_cell(layout, goal_xy).tolist())
        row, column = goal_cell
        # Before the regions are compared: a wall belongs to none, and "cut off" would be the wrong reason.
        if layout[row][column] == mazes.WALL:
            raise LanceletError(
                f"maze_map puts a wall on the goal of environment {i}, at {mazes.name_of(goal_cell)}"
            )
        regions = mazes.regions(layout)
        if regions[agent_cell] != regions[goal_cell] and not self.allow_unreachable:
            raise LanceletError(
                f"maze_map cuts the agent of environment {i} at {mazes.name_of(agent_cell)} off from its goal "
                f"at {mazes.name_of(goal_cell)} (allow_unreachable=True lets it)"
            )

    def move_wall(self, sim: Simulation, cell: Cells, xy: Any, ids: Any = None) -> None:
        """Put the block of `cell` with its centre at `xy` (m), off the lattice too, in simulations `ids` (None: all).

        Blocks may overlap: the block of a free cell, moved 0.3 m along a wall, leaves a slit of 0.3 m.

        Raises:
            LanceletError: a block on an agent, a cell outside the map, a position that is not finite.
        """
        (checked_cell,) = mazes.check_cells("cell", cell, 1, self.layout)
        walls.move(sim, self.layout, checked_cell, xy, _as_ids(ids, sim.n))

    def set_gain(self, sim: Simulation, gain: Any, ids: Any = None) -> None:
        """Mix actions into motors by `gain` ((2, 2), or one for each of `ids`) in simulations `ids`, for good.

        A motor takes at most full command, whatever the gain.
        """
        chosen = _as_ids(ids, sim.n)
        sim.field("actuator_user")[chosen] = _matrices(gain, len(chosen))

    # -- steps ---------------------------------------------------------------------------------------------------------

    def advance(self, sim: Simulation, memory: Memory, action: Array) -> None:
        """Velocities are clipped before each simulator step, as in Gymnasium-Robotics."""
        live_rows = slice(None) if sim.live is None else sim.live
        before = sim.qpos.copy()
        # Not a matrix product: its rounding depends on the number of simulations.
        gain = sim.field("actuator_user").values
        sim.ctrl[:] = gain[:, :, 0] * action[:, :1] + gain[:, :, 1] * action[:, 1:]
        for _ in range(self.frame_skip):
            # Not `np.clip`, which is slower on small arrays.
            velocity = np.maximum(sim.qvel[live_rows], -LARGEST_SPEED)
            sim.qvel[live_rows] = np.minimum(velocity, LARGEST_SPEED)
            sim.step()
        memory["path"] += _distance(sim.qpos, before)
        memory["reached"] |= self._at_goal(sim)

    def observe(self, sim: Simulation, memory: Memory) -> dict[str, Array]:
        """The three parts of the class's table."""
        state = np.concatenate([sim.qpos, sim.qvel], axis=1)
        return {
            "observation": state,
            "achieved_goal": sim.qpos.copy(),
            "desired_goal": sim.mocap_pos[:, 0, :2].copy(),
        }

    def reward(
        self, sim: Simulation, memory: Memory, action: Array
    ) -> tuple[Array, dict[str, Array]]:
        """What `compute_reward` gives for where the agents are now."""
        reward = self.compute_reward(sim.qpos, sim.mocap_pos[:, 0, :2], {})
        return reward, {"goal": reward}

    def terminated(self, sim: Simulation, memory: Memory) -> Array:
        """At the goal, unless the episode goes on there."""
        return self._at_goal(sim) & ~memory["continuing"]

    def metrics(self, sim: Simulation, memory: Memory) -> dict[str, Array]:
        """Success, path and distance of the episode so far."""
        distance = _distance(sim.qpos, sim.mocap_pos[:, 0, :2])
        return {
            "success": memory["reached"].astype(float),
            "path": memory["path"].copy(),
            "distance": distance,
        }

    def _at_goal(self, sim: Simulation) -> Array:
        """True (n,) for the agents within reach of their goals."""
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

    # The names and arguments of the next two are those of Gymnasium's goal environments, which hindsight replay calls.

    def compute_terminated(self, achieved_goal: Array, desired_goal: Array, info: Any) -> Any:
        """True (...) where that would end an episode."""
        reached = self.goal_reached(achieved_goal, desired_goal)
        return reached & (not self.continuing_task)

    def compute_truncated(self, achieved_goal: Array, desired_goal: Array, info: Any) -> Any:
        """False (...): only time truncates."""
        batch_shape = np.shape(achieved_goal)[:-1]
        # Indexed by (): a number where there is one goal, an array for a batch.
        return np.zeros(batch_shape, bool)[()]


def _free_cell(name: str, given: Any, layout: mazes.Map) -> mazes.Cell | None:
    """The field `name` as a cell of Python's numbers, checked; None stays None."""
    if given is None:
        return None
    (cell,) = mazes.check_cells(name, given, 1, layout)
    mazes.check_free(name, cell, layout)
    row, column = cell.tolist()
    return row, column


def _as_ids(ids: Any, n: int) -> Array:
    """Ids (k,) of simulations from an index of any kind: None for all, a number, a list, a mask or a slice."""
    index = slice(None) if ids is None else ids
    return np.arange(n)[index].reshape(-1)


def _draw(cells: Array, allowed: Array, rng: np.random.Generator) -> Array | None:
    """One of the cells (k, 2) that are `allowed` (k,); None if none is.

    It is drawn among all of them until it is allowed, as Gymnasium-Robotics does: one seed gives the same cells there.
    """
    if not allowed.any():
        return None
    pick = rng.integers(0, len(cells))
    while not allowed[pick]:
        pick = rng.integers(0, len(cells))
    return cells[pick]


def _distance(first: Array, second: Array) -> Array:
    """Distance (...) between points (..., 2)."""
    difference = np.asarray(first, float) - np.asarray(second, float)
    # Not `np.hypot`, which rounds otherwise than Gymnasium-Robotics' norm.
    return np.sqrt(difference[..., 0] ** 2 + difference[..., 1] ** 2)


def _matrices(given: Any, n: int) -> Array:
    """Matrices (n, 2, 2) from one or n of them, checked."""
    rule = f"must be a 2 x 2 matrix of finite numbers, or {n} of them"
    try:
        values = np.asarray(given, float)
    except (TypeError, ValueError) as error:
        raise LanceletError(f"gain = {mazes.shown(given)}: {rule}") from error
    if values.shape not in ((2, 2), (n, 2, 2)) or not np.isfinite(values).all():
        raise LanceletError(f"gain = {mazes.shown(given)}: {rule}")
    return np.broadcast_to(values, (n, 2, 2))

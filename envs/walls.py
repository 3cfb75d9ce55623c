"""A maze's walls in the simulator: one block for every cell, which stands, waits under the floor, or is moved about.

Blocks are geoms of the world whose ``geom_pos`` differs between simulations: a step takes a third of the time that it
takes with as many mocap bodies. They outlive a reset, and are saved with the environment's state.

A block is numbered by its cell, row by row; its place (x, y, z) is in m.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np

from ..errors import LanceletError
from ..morphology import scenery
from . import mazes
from .simulation import Simulation

HALF_CELL = 0.5
"""m, half the width of a cell and of its block"""
HEIGHT = 0.4
"""m of the walls"""
STANDING = HEIGHT / 2
"""m, height of the centre of a block that stands on the floor"""
PARKED = -5.0
"""m, height at which the block of a free cell waits"""
MARGIN = 0.002
"""m from a wall at which contact begins to be computed, as in Gymnasium-Robotics"""
TOUCH = 0.03
"""m that an agent may overlap a wall, as contact under full force does"""
AT_HOME = 1e-9
"""m, how far a block may be from its cell's centre and still be the wall of that cell"""
Z = 2
"""place of the height in a block's (x, y, z)"""


def add(spec: mujoco.MjSpec, layout: mazes.Map) -> None:
    """Add a block for every cell of the map, row by row, to `spec`."""
    for row, column in np.ndindex(*mazes.shape(layout)):
        x, y = mazes.cell_to_xy(layout, (row, column)).tolist()
        is_wall = layout[row][column] == mazes.WALL
        z = STANDING if is_wall else PARKED
        spec.worldbody.add_geom(
            name=f"block_{row}_{column}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[HALF_CELL, HALF_CELL, HEIGHT / 2],
            pos=[x, y, z],
            margin=MARGIN,
            # Contacts without friction.
            condim=1,
            rgba=scenery.WALL,
        )


def standing(sim: Simulation, layout: mazes.Map) -> np.ndarray:
    """True (n, rows, columns) where a cell's block stands at home: a block that was moved is no wall of its cell."""
    blocks = sim.field("geom_pos").values[:, _blocks(sim, layout)]
    distance = np.abs(blocks[:, :, :Z] - _homes(layout)).max(2)
    is_wall = (blocks[:, :, Z] > 0) & (distance < AT_HOME)
    return is_wall.reshape(sim.n, *mazes.shape(layout))


def maps(sim: Simulation, layout: mazes.Map) -> list[mazes.Map]:
    """The n mazes as they are now."""
    if "geom_pos" not in sim.compiled:
        # No block of any simulation was ever moved.
        return [layout] * sim.n
    return [_with_walls(layout, is_wall.tobytes()) for is_wall in standing(sim, layout)]


def write(sim: Simulation, layout: mazes.Map, maps: Sequence[mazes.Map], ids: np.ndarray) -> None:
    """Let the walls of some simulations be those of their maps, all blocks at home.

    Args:
        sim: the simulations.
        layout: the map that the blocks were made for.
        maps: n maps, one for every simulation.
        ids: (k,) the simulations to change.
    """
    field = sim.field("geom_pos")
    blocks = _blocks(sim, layout)
    positions = field[ids]
    positions[:, blocks, :Z] = _homes(layout)
    is_wall = np.array([mazes.walls(maps[i]).reshape(-1) for i in ids.tolist()])
    positions[:, blocks, Z] = np.where(is_wall, STANDING, PARKED)
    field[ids] = positions


def move(sim: Simulation, layout: mazes.Map, cell: np.ndarray, xy: Any, ids: np.ndarray) -> None:
    """Put the block of one cell elsewhere, standing.

    Args:
        sim: the simulations.
        layout: the map that the blocks were made for.
        cell: (row, column) of the block.
        xy: m, where its centre comes to lie.
        ids: (k,) the simulations to change.

    Raises:
        LanceletError: no two finite numbers, or a place that covers an agent.
    """
    centre = np.asarray(xy, float)
    if centre.shape != (2,) or not np.isfinite(centre).all():
        raise LanceletError(f"xy = {xy!r}: must be two finite numbers, in m")
    # All agents are looked at before any block is moved.
    for i in ids.tolist():
        cause = f"move_wall puts a wall on the agent of environment {i},"
        refuse_covering(sim, ball_xy=sim.qpos[i], block_centres=centre[None], cause=cause)
    row, column = cell
    _, columns = mazes.shape(layout)
    block = _blocks(sim, layout).start + int(row) * columns + int(column)
    field = sim.field("geom_pos")
    positions = field[ids]
    positions[:, block] = [*centre, STANDING]
    field[ids] = positions


def refuse_covering(
    sim: Simulation, *, ball_xy: np.ndarray, block_centres: np.ndarray, cause: str
) -> None:
    """Refuse blocks that would cover the ball, which would stay inside; nothing is moved.

    Args:
        sim: the simulations; only the ball's radius is read.
        ball_xy: (2,) m, the ball's centre.
        block_centres: (k, 2) m, centres of the blocks.
        cause: what puts the blocks there: the first words of the error.

    Raises:
        LanceletError: a block covers the ball.
    """
    radius = sim.model.geom("ball").size[0]
    # Distance of a point from a square, along x and y, is 0 inside it.
    gap = np.maximum(np.abs(block_centres - ball_xy) - HALF_CELL, 0.0)
    distance = np.hypot(gap[:, 0], gap[:, 1])
    covering = np.flatnonzero(distance < radius - TOUCH)
    if len(covering):
        x, y = block_centres[covering[0]].tolist()
        ball_x, ball_y = ball_xy
        raise LanceletError(
            f"{cause} with its centre at ({x:g}, {y:g}) m: "
            f"the agent is at ({ball_x:.3g}, {ball_y:.3g})"
        )


def _blocks(sim: Simulation, layout: mazes.Map) -> slice:
    """MuJoCo's numbers of the geoms that are blocks."""
    rows, columns = mazes.shape(layout)
    first = sim.model.geom("block_0_0").id
    return slice(first, first + rows * columns)


@functools.lru_cache(maxsize=256)
def _homes(layout: mazes.Map) -> np.ndarray:
    """Centres (cells, 2) of all cells, m."""
    every_cell = np.array(list(np.ndindex(*mazes.shape(layout))))
    return mazes.cell_to_xy(layout, every_cell)


@functools.lru_cache(maxsize=256)
def _with_walls(layout: mazes.Map, is_wall: bytes) -> mazes.Map:
    """The map with other walls; marks are kept where the cell is free.

    Args:
        layout: the map.
        is_wall: bools (rows, columns), as bytes so that the result can be remembered by them.
    """
    grid = np.frombuffer(is_wall, bool).reshape(mazes.shape(layout))
    rows = []
    for row_is_wall, codes in zip(grid.tolist(), layout, strict=True):
        row = ""
        for wall, code in zip(row_is_wall, codes, strict=True):
            if wall:
                row += mazes.WALL
            elif code == mazes.WALL:
                row += mazes.FREE
            else:
                row += code
        rows.append(row)
    return tuple(rows)

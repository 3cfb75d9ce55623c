"""A maze's walls in the simulator: one block for every cell, which stands, waits under the floor, or is moved about.

Blocks are geoms of the world whose ``geom_pos`` differs between simulations: a third of the time of a step that as many
mocap bodies take. They outlive a reset, and are saved with the environment's state.
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

HEIGHT, PARKED = 0.4, -5.0
"""m, of the walls; m, where the block of a free cell waits"""
TOUCH = 0.03
"""m that an agent may overlap a wall, as contact under full force does"""


def add(spec: mujoco.MjSpec, layout: mazes.Map) -> None:
    """A block for every cell of the map, row by row."""
    for i, j in np.ndindex(len(layout), len(layout[0])):
        x, y = mazes.cell_to_xy(layout, (i, j)).tolist()
        spec.worldbody.add_geom(
            name=f"block_{i}_{j}", type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.5, 0.5, HEIGHT / 2],
            pos=[x, y, HEIGHT / 2 if layout[i][j] == mazes.WALL else PARKED], margin=0.002, condim=1,
            rgba=scenery.WALL,
        )  # fmt: skip


def standing(sim: Any, layout: mazes.Map) -> np.ndarray:
    """True (n, rows, columns) where a cell's block stands at home: a block that was moved is no wall of its cell."""
    blocks = sim.field("geom_pos").values[:, _blocks(sim, layout)]
    at_home = np.abs(blocks[:, :, :2] - _homes(layout)).max(2) < 1e-9
    return ((blocks[:, :, 2] > 0) & at_home).reshape(sim.n, len(layout), len(layout[0]))


def maps(sim: Any, layout: mazes.Map) -> list[mazes.Map]:
    """The n mazes as they are now."""
    if "geom_pos" not in sim.compiled:
        return [layout] * sim.n
    return [_overlay(layout, rows.tobytes()) for rows in standing(sim, layout)]


def write(sim: Any, layout: mazes.Map, maps: Sequence[mazes.Map], ids: np.ndarray) -> None:
    """Let the walls of simulations `ids` be those of their maps, all blocks at home."""
    field, blocks = sim.field("geom_pos"), _blocks(sim, layout)
    values = field[ids]
    values[:, blocks, :2] = _homes(layout)
    up = np.array([mazes.walls(maps[i]).reshape(-1) for i in ids.tolist()])
    values[:, blocks, 2] = np.where(up, HEIGHT / 2, PARKED)
    field[ids] = values


def move(sim: Any, layout: mazes.Map, cell: np.ndarray, xy: Any, ids: np.ndarray) -> None:
    """Put the block of `cell` with its centre at `xy` (m) in simulations `ids`."""
    centre = np.asarray(xy, float)
    if centre.shape != (2,) or not np.isfinite(centre).all():
        raise LanceletError(f"xy = {xy!r}: must be two finite numbers, in m")
    for i in ids.tolist():
        clear(
            sim,
            sim.qpos[i],
            centre[None],
            f"move_wall puts a wall on the agent of environment {i},",
        )
    field = sim.field("geom_pos")
    values = field[ids]
    values[:, _blocks(sim, layout).start + int(cell[0]) * len(layout[0]) + int(cell[1])] = [
        *centre,
        HEIGHT / 2,
    ]
    field[ids] = values


def clear(sim: Any, xy: np.ndarray, blocks: np.ndarray, what: str) -> None:
    """Refuse where a block with its centre at one of `blocks` (k, 2) covers the ball at `xy`: it would stay inside."""
    gap = np.maximum(np.abs(blocks - xy) - 0.5, 0.0)
    hit = np.flatnonzero(np.hypot(gap[:, 0], gap[:, 1]) < sim.model.geom("ball").size[0] - TOUCH)
    if len(hit):
        x, y = blocks[hit[0]].tolist()
        raise LanceletError(
            f"{what} with its centre at ({x:g}, {y:g}) m: the agent is at ({xy[0]:.3g}, {xy[1]:.3g})"
        )


def _blocks(sim: Any, layout: mazes.Map) -> slice:
    first = sim.model.geom("block_0_0").id
    return slice(first, first + len(layout) * len(layout[0]))


@functools.lru_cache(maxsize=256)
def _homes(layout: mazes.Map) -> np.ndarray:
    """Centres (cells, 2) of all cells."""
    return mazes.cell_to_xy(layout, np.array(list(np.ndindex(len(layout), len(layout[0])))))


@functools.lru_cache(maxsize=256)
def _overlay(layout: mazes.Map, up: bytes) -> mazes.Map:
    """The map with the walls of `up`; marks are kept where the cell is free."""
    grid = np.frombuffer(up, bool).reshape(len(layout), len(layout[0]))
    free = [[mazes.FREE if code == mazes.WALL else code for code in row] for row in layout]
    return tuple("".join(np.where(grid[i], mazes.WALL, row)) for i, row in enumerate(free))

"""Maps of mazes: named ones, random ones, cells and metres, shortest paths. A map is a tuple of rows of characters.

``#`` wall, ``.`` free; ``r`` start, ``g`` goal, ``c`` both: cells that the draw of a start or a goal prefers. Cells are
1 m wide, (row, column); the origin is the middle of the map, x grows with the column and y falls with the row, as in
Gymnasium-Robotics' PointMaze.
"""

from __future__ import annotations

import functools
import itertools
import re
import textwrap
from collections import deque
from typing import Any

import numpy as np

from ..errors import LanceletError

Map = tuple[str, ...]
Cell = tuple[int, int]

WALL, FREE, START, GOAL, BOTH = "#.rgc"
LOOPS = 4
"""openings that ``loops:N`` adds to a perfect maze"""
LARGEST = 50
"""rooms along a side of a random maze"""
_CODES = {"1": WALL, "0": FREE, " ": FREE} | {code: code for code in "#.rgc"}
_NAMED: dict[str, Map] = {
    "umaze": ("#####", "#...#", "###.#", "#...#", "#####"),
    "open": ("#######", "#.....#", "#.....#", "#.....#", "#######"),
    "medium": (
        "########",
        "#..##..#",
        "#..#...#",
        "##...###",
        "#..#...#",
        "#.#..#.#",
        "#...#..#",
        "########",
    ),
    "large": (
        "############",
        "#....#.....#",
        "#.##.#.#.#.#",
        "#......#...#",
        "#.####.###.#",
        "#..#.#.....#",
        "##.#.#.#.###",
        "#..#...#...#",
        "############",
    ),
}


@functools.lru_cache(maxsize=256)
def named(maze: str, seed: int = 0) -> Map:
    """The map called `maze`: ``umaze``, ``open``, ``medium``, ``large``, ``perfect:N`` or ``loops:N``.

    ``perfect:N`` has N x N rooms (2N + 1 cells a side) joined by a random spanning tree, drawn from `seed`; ``loops:N``
    is the same maze with 4 more openings, so that four ways round exist.

    Raises:
        LanceletError: no such maze.
    """
    if maze in _NAMED:
        return _NAMED[maze]
    found = re.fullmatch(r"(perfect|loops):(\d+)", str(maze))
    least = 2 if found and found[1] == "perfect" else 3
    if not found or not least <= int(found[2]) <= LARGEST:
        raise LanceletError(
            f"maze = {maze!r}: must be {', '.join(_NAMED)}, perfect:N (2 to {LARGEST}) or loops:N (3 to {LARGEST})"
        )
    return _random(int(found[2]), LOOPS if found[1] == "loops" else 0, seed)


def _random(rooms: int, loops: int, seed: int) -> Map:
    """Kruskal's spanning tree over a random order of the walls between rooms; then `loops` of the rest are opened."""
    grid = np.full((2 * rooms + 1, 2 * rooms + 1), WALL)
    grid[1::2, 1::2] = FREE
    walls = [(r, c) for r in range(1, 2 * rooms) for c in range(1, 2 * rooms) if (r + c) % 2]
    group = np.arange(grid.size).reshape(grid.shape)
    kept = []
    for k in np.random.default_rng(seed).permutation(len(walls)):
        r, c = walls[k]
        one, other = (
            (group[r, c - 1], group[r, c + 1]) if r % 2 else (group[r - 1, c], group[r + 1, c])
        )
        if one == other:
            kept.append((r, c))
            continue
        group[group == other] = one
        grid[r, c] = FREE
    for r, c in kept[:loops]:
        grid[r, c] = FREE
    return tuple("".join(row) for row in grid)


def parse(maze_map: Any) -> Map:
    """The map from rows of codes: strings, or lists of 0, 1, ``"r"``, ``"g"``, ``"c"`` as Gymnasium-Robotics has them.

    Raises:
        LanceletError: no rows, unequal rows, an unknown code, no free cell, or a gap in the outer wall.
    """
    if (
        isinstance(maze_map, str)
        or not isinstance(maze_map, list | tuple | np.ndarray)
        or len(maze_map) == 0
    ):
        raise LanceletError(
            f"maze_map = {shown(maze_map)}: must be a list of rows, like ['#####', '#...#', '#####']"
        )
    rows = []
    for i, row in enumerate(maze_map):
        if not isinstance(row, str | list | tuple | np.ndarray):
            raise LanceletError(
                f"maze_map's row {i} = {shown(row)}: must be a string or a list of codes"
            )
        if len(row) != len(maze_map[0]):
            raise LanceletError(
                f"maze_map's row {i} has {len(row)} cells and row 0 has {len(maze_map[0])}: must be equal"
            )
        for j, code in enumerate(row):
            if str(code) not in _CODES:
                raise LanceletError(
                    f"maze_map has {code!r} at ({i}, {j}): codes are # or 1 wall, . or 0 free, r, g, c"
                )
        rows.append("".join(_CODES[str(code)] for code in row))
    grid = walls(tuple(rows))
    if grid.all():
        raise LanceletError("maze_map has no free cell: at least one must be . (or 0)")
    edge = ~grid
    edge[1:-1, 1:-1] = False
    if edge.any():
        i, j = np.argwhere(edge)[0].tolist()
        raise LanceletError(
            f"maze_map is open at its edge, at ({i}, {j}): the outermost cells must be walls"
        )
    return tuple(rows)


def walls(maze: Map) -> np.ndarray:
    """True (rows, columns) where a wall stands."""
    return np.array([[code == WALL for code in row] for row in maze])


def cells(maze: Map, codes: str) -> np.ndarray:
    """The cells (k, 2) that carry one of `codes`, one code after the other."""
    found = [
        (i, j)
        for code in codes
        for i, row in enumerate(maze)
        for j, here in enumerate(row)
        if here == code
    ]
    return np.array(found, int).reshape(-1, 2)


@functools.lru_cache(maxsize=256)
def goals_and_starts(maze: Map) -> tuple[np.ndarray, np.ndarray]:
    """Cells (k, 2) from which a goal, and from which a start, is drawn: the marked ones, or all free ones."""
    free, both = cells(maze, FREE), cells(maze, BOTH)
    goals, starts = cells(maze, GOAL + BOTH), cells(maze, START + BOTH)
    if not len(goals) and not len(starts):
        return free, free
    if not len(both):
        goals, starts = (goals if len(goals) else free), (starts if len(starts) else free)
    return goals, starts


def cell_to_xy(maze: Map, cell: Any) -> np.ndarray:
    """Centres (..., 2) in m of `cell` (..., 2)."""
    cell = np.asarray(cell)
    return np.stack(
        [cell[..., 1] + 0.5 - len(maze[0]) / 2, len(maze) / 2 - (cell[..., 0] + 0.5)], axis=-1
    )


def xy_to_cell(maze: Map, xy: Any) -> np.ndarray:
    """Cells (..., 2) that the points `xy` (..., 2, m) lie in."""
    xy = np.asarray(xy, float)
    return np.floor(
        np.stack([len(maze) / 2 - xy[..., 1], xy[..., 0] + len(maze[0]) / 2], axis=-1)
    ).astype(int)


def distances(maze: Map, goal: Any) -> np.ndarray:
    """Moves (rows, columns) from each cell to the cell `goal` through free cells, 4 neighbours; -1: no way."""
    steps = np.full((len(maze), len(maze[0])), -1)
    first = (int(goal[0]), int(goal[1]))
    if maze[first[0]][first[1]] == WALL:
        return steps
    steps[first] = 0
    queue = deque([first])
    while queue:
        i, j = queue.popleft()
        for there in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
            inside = 0 <= there[0] < len(maze) and 0 <= there[1] < len(maze[0])
            if inside and steps[there] < 0 and maze[there[0]][there[1]] != WALL:
                steps[there] = steps[i, j] + 1
                queue.append(there)
    return steps


def shortest(maze: Map, start: Any, goal: Any) -> int:
    """Moves from the cell `start` to the cell `goal`; -1 where no way leads."""
    return int(distances(maze, goal)[int(start[0]), int(start[1])])


@functools.lru_cache(maxsize=256)
def regions(maze: Map) -> np.ndarray:
    """Number (rows, columns) of the free region that each cell belongs to; -1 in walls."""
    labels = np.full((len(maze), len(maze[0])), -1)
    for i, j in np.argwhere(~walls(maze)).tolist():
        if labels[i, j] < 0:
            labels[distances(maze, (i, j)) >= 0] = i * len(maze[0]) + j
    return labels


def with_cells(maze: Map, changes: dict[Cell, str]) -> Map:
    """The map with some cells changed: ``with_cells(maze, {(4, 6): "#"})``."""
    rows = [list(row) for row in maze]
    for (i, j), code in changes.items():
        rows[i][j] = code
    return parse(rows)


def is_map(given: Any) -> bool:
    """Whether `given` is one map, rather than a list of maps."""
    first = given[0] if isinstance(given, list | tuple | np.ndarray) and len(given) else None
    if isinstance(first, str) or first is None:
        return True
    return not any(
        isinstance(item, list | tuple | np.ndarray) or len(str(item)) > 1
        for item in itertools.islice(first, 1)
    )


def check_cells(name: str, given: Any, n: int, maze: Map) -> Any:
    """Cells (n, 2) from one (row, column) or n of them; None stays None.

    Raises:
        LanceletError: another shape, no whole numbers, or a cell outside the map.
    """
    if given is None:
        return None
    found = np.asarray(given)
    if found.shape not in ((2,), (n, 2)) or not np.issubdtype(found.dtype, np.integer):
        raise LanceletError(
            f"{name} = {shown(given)}: must be (row, column), whole numbers, or {n} of them"
        )
    found = np.broadcast_to(found, (n, 2))
    outside = ((found < 0) | (found >= (len(maze), len(maze[0])))).any(1)
    if outside.any():
        raise LanceletError(
            f"{name} = {name_of(found[outside][0])}: the map has {len(maze)} x {len(maze[0])} cells"
        )
    return found


def check_free(name: str, cell: Any, maze: Map) -> None:
    """Refuse a cell in a wall."""
    if maze[int(cell[0])][int(cell[1])] == WALL:
        raise LanceletError(f"{name} = {name_of(cell)} lies in a wall: give a free cell")


def name_of(cell: Any) -> str:
    """The cell as ``(row, column)``."""
    return f"({int(cell[0])}, {int(cell[1])})"


def shown(given: Any) -> str:
    """What was given, short and in one line, for a message."""
    return textwrap.shorten(repr(given), 80)

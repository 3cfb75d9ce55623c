"""Maps of mazes: named ones, random ones, cells and metres, shortest paths.

A map is a tuple of rows of characters: ``#`` wall, ``.`` free; ``r`` start, ``g`` goal, ``c`` both: cells that the
draw of a start or a goal prefers. Cells are 1 m wide, (row, column); the origin is the middle of the map, x grows with the
column and y falls with the row, as in Gymnasium-Robotics' PointMaze (docs/systems/search.md, "The mazes").
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

WALL = "#"
FREE = "."
START = "r"
GOAL = "g"
BOTH = "c"
"""a cell marked as a start and a goal"""
EXTRA_OPENINGS = 4
"""openings that ``loops:N`` adds to a perfect maze"""
MOST_ROOMS = 50
"""rooms along a side of a random maze, at most"""
FEWEST_ROOMS = {"perfect": 2, "loops": 3}
"""kind of random maze -> rooms along a side, at least; fewer leave no walls for the openings of loops"""
_CODES = {
    WALL: WALL,
    "1": WALL,
    FREE: FREE,
    "0": FREE,
    " ": FREE,
    START: START,
    GOAL: GOAL,
    BOTH: BOTH,
}
"""code in a given map -> code here; those of Gymnasium-Robotics are among them"""
_NAMED: dict[str, Map] = {
    "umaze": (
        "#####",
        "#...#",
        "###.#",
        "#...#",
        "#####",
    ),
    "open": (
        "#######",
        "#.....#",
        "#.....#",
        "#.....#",
        "#######",
    ),
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
    match = re.fullmatch(r"(perfect|loops):(\d+)", str(maze))
    if match is not None:
        kind = match[1]
        rooms = int(match[2])
        if FEWEST_ROOMS[kind] <= rooms <= MOST_ROOMS:
            openings = EXTRA_OPENINGS if kind == "loops" else 0
            return _random(rooms, openings, seed)
    ranges = [f"{kind}:N ({fewest} to {MOST_ROOMS})" for kind, fewest in FEWEST_ROOMS.items()]
    raise LanceletError(f"maze = {maze!r}: must be {', '.join(_NAMED)}, {' or '.join(ranges)}")


def _random(rooms: int, openings: int, seed: int) -> Map:
    """A random maze by Kruskal's spanning tree over a random order of the walls between rooms.

    Args:
        rooms: along a side; a room is a cell with an odd row and column.
        openings: how many of the walls that the tree leaves are taken away.
        seed: of the order.
    """
    side = 2 * rooms + 1
    grid = np.full((side, side), WALL)
    grid[1::2, 1::2] = FREE
    # A wall between two rooms has one odd coordinate; cells with two even ones are posts.
    inner = itertools.product(range(1, side - 1), repeat=2)
    between_rooms = [(row, column) for row, column in inner if (row + column) % 2]
    group = np.arange(grid.size).reshape(grid.shape)
    left_standing = []
    for number in np.random.default_rng(seed).permutation(len(between_rooms)):
        row, column = between_rooms[number]
        if row % 2:
            group_before = group[row, column - 1]
            group_behind = group[row, column + 1]
        else:
            group_before = group[row - 1, column]
            group_behind = group[row + 1, column]
        if group_before == group_behind:
            # The two rooms are joined already: an opening here would be a loop.
            left_standing.append((row, column))
            continue
        group[group == group_behind] = group_before
        grid[row, column] = FREE
    for row, column in left_standing[:openings]:
        grid[row, column] = FREE
    return tuple("".join(row) for row in grid)


# -- reading maps -----------------------------------------------------------------------------------------------------


def parse(maze_map: Any) -> Map:
    """The map from rows of codes: strings, or lists of 0, 1, ``"r"``, ``"g"``, ``"c"`` as Gymnasium-Robotics has them.

    Raises:
        LanceletError: no rows, unequal rows, an unknown code, no free cell, or a gap in the outer wall.
    """
    if not isinstance(maze_map, list | tuple | np.ndarray) or len(maze_map) == 0:
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
        rows.append(_parse_row(i, row))
    maze = tuple(rows)
    _check_walls(maze)
    return maze


def _parse_row(i: int, row: Any) -> str:
    """Row `i` of a map, from its codes."""
    codes = ""
    for j, code in enumerate(row):
        if str(code) not in _CODES:
            raise LanceletError(
                f"maze_map has {code!r} at ({i}, {j}): codes are # or 1 wall, . or 0 free, r, g, c"
            )
        codes += _CODES[str(code)]
    return codes


def _check_walls(maze: Map) -> None:
    """Refuse a map without a free cell, or with a gap in its outer wall."""
    is_free = ~walls(maze)
    if not is_free.any():
        raise LanceletError("maze_map has no free cell: at least one must be . (or 0)")
    gaps = is_free.copy()
    gaps[1:-1, 1:-1] = False
    if gaps.any():
        i, j = np.argwhere(gaps)[0].tolist()
        raise LanceletError(
            f"maze_map is open at its edge, at ({i}, {j}): the outermost cells must be walls"
        )


def with_cells(maze: Map, changes: dict[Cell, str]) -> Map:
    """The map with some cells changed: ``with_cells(maze, {(4, 6): "#"})``."""
    rows = [list(row) for row in maze]
    for (i, j), code in changes.items():
        rows[i][j] = code
    return parse(rows)


def is_map(given: Any) -> bool:
    """Whether `given` is one map, rather than a list of maps."""
    sequence = list | tuple | np.ndarray
    if not isinstance(given, sequence) or len(given) == 0:
        # No list of anything: `parse` refuses it with a reason.
        return True
    first_row = given[0]
    if first_row is None or isinstance(first_row, str):
        return True
    # A row of one map holds codes of one character; the first map of a list holds rows.
    first_items = list(itertools.islice(first_row, 1))
    if not first_items:
        return True
    return not isinstance(first_items[0], sequence) and len(str(first_items[0])) == 1


# -- cells ------------------------------------------------------------------------------------------------------------


def shape(maze: Map) -> tuple[int, int]:
    """Number of rows and of columns."""
    return len(maze), len(maze[0])


def walls(maze: Map) -> np.ndarray:
    """True (rows, columns) where a wall stands."""
    codes = np.array([list(row) for row in maze])
    return codes == WALL


def cells(maze: Map, codes: str) -> np.ndarray:
    """The cells (k, 2) that carry one of `codes`, one code after the other."""
    grid = np.array([list(row) for row in maze])
    return np.concatenate([np.argwhere(grid == code) for code in codes])


@functools.lru_cache(maxsize=256)
def goals_and_starts(maze: Map) -> tuple[np.ndarray, np.ndarray]:
    """Cells (k, 2) from which a goal, and from which a start, is drawn: the marked ones, or all free ones."""
    free = cells(maze, FREE)
    goals = cells(maze, GOAL + BOTH)
    starts = cells(maze, START + BOTH)
    if len(goals) == 0:
        goals = free
    if len(starts) == 0:
        starts = free
    return goals, starts


def cell_to_xy(maze: Map, cell: Any) -> np.ndarray:
    """Centres (..., 2) in m of `cell` (..., 2)."""
    rows, columns = shape(maze)
    row, column = np.moveaxis(np.asarray(cell), -1, 0)
    x = column + 0.5 - columns / 2
    y = rows / 2 - (row + 0.5)
    return np.stack([x, y], axis=-1)


def xy_to_cell(maze: Map, xy: Any) -> np.ndarray:
    """Cells (..., 2) that the points `xy` (..., 2, m) lie in."""
    rows, columns = shape(maze)
    x, y = np.moveaxis(np.asarray(xy, float), -1, 0)
    row = np.floor(rows / 2 - y)
    column = np.floor(x + columns / 2)
    return np.stack([row, column], axis=-1).astype(int)


# -- ways -------------------------------------------------------------------------------------------------------------


def distances(maze: Map, goal: Any) -> np.ndarray:
    """Moves (rows, columns) from each cell to the cell `goal` through free cells, 4 neighbours; -1: no way.

    Breadth-first search from the goal.
    """
    rows, columns = shape(maze)
    moves = np.full((rows, columns), -1)
    goal_cell = (int(goal[0]), int(goal[1]))
    if maze[goal_cell[0]][goal_cell[1]] == WALL:
        return moves
    moves[goal_cell] = 0
    queue = deque([goal_cell])
    while queue:
        i, j = queue.popleft()
        for row, column in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
            inside = 0 <= row < rows and 0 <= column < columns
            if inside and moves[row, column] < 0 and maze[row][column] != WALL:
                moves[row, column] = moves[i, j] + 1
                queue.append((row, column))
    return moves


def shortest(maze: Map, start: Any, goal: Any) -> int:
    """Moves from the cell `start` to the cell `goal`; -1 where no way leads."""
    return int(distances(maze, goal)[int(start[0]), int(start[1])])


@functools.lru_cache(maxsize=256)
def regions(maze: Map) -> np.ndarray:
    """Number (rows, columns) of the free region that each cell belongs to; -1 in walls."""
    rows, columns = shape(maze)
    labels = np.full((rows, columns), -1)
    for i, j in np.argwhere(~walls(maze)).tolist():
        if labels[i, j] < 0:
            # The number of a region is that of its first cell.
            labels[distances(maze, (i, j)) >= 0] = i * columns + j
    return labels


# -- checks -----------------------------------------------------------------------------------------------------------


def check_cells(name: str, given: Any, n: int, maze: Map) -> Any:
    """Cells (n, 2) from one (row, column) or n of them; None stays None.

    Args:
        name: of the option, for the error.
        given: what was given for it.
        n: number of simulations.
        maze: the map that the cells lie in.

    Raises:
        LanceletError: another shape, no whole numbers, or a cell outside the map.
    """
    if given is None:
        return None
    array = np.asarray(given)
    if array.shape not in ((2,), (n, 2)) or not np.issubdtype(array.dtype, np.integer):
        raise LanceletError(
            f"{name} = {shown(given)}: must be (row, column), whole numbers, or {n} of them"
        )
    cells_of_all = np.broadcast_to(array, (n, 2))
    rows, columns = shape(maze)
    outside = ((cells_of_all < 0) | (cells_of_all >= (rows, columns))).any(1)
    if outside.any():
        first_outside = name_of(cells_of_all[outside][0])
        raise LanceletError(f"{name} = {first_outside}: the map has {rows} x {columns} cells")
    return cells_of_all


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

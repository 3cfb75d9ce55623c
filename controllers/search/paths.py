"""The next behaviour: the cheapest path over the graph, by A* or by a wave of activation.

Sources: A* (Hart, Nilsson, Raphael 1968); neural wavefront, which runs from the goal (Ponulak &
Hopfield 2013). Both give the same cost.

The goal is a vertex of its own: the edges into the goal's cell lead to it, and so does the ninth
edge of that cell. So an agent that stands in the goal's cell, with a wall between, may go out and
come in from another side.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from .graph import EDGES, LENGTHS, STEPS, WITHIN, Cell, Graph, advance, rehash, slot

FIRST_NODES = 256
"""places that A* has room for at first; the room doubles when it is full"""
SLOTS_PER_NODE = 4
"""slots of A*'s hash table per place that there is room for"""
FIRST_MARGIN = 2
"""cells around start and goal that the first window of the wavefront takes in"""


@dataclass(frozen=True)
class Path:
    """A behaviour: edges to follow from a place to the goal."""

    start: Cell
    """place that it begins at"""
    edges: list[int]
    """indices of `STEPS`; the last one leads to the goal itself"""
    cost: float
    """sum over the edges of length (m) over ``weight ** beta``"""
    weakest: float
    """least weight of its edges"""


def a_star(graph: Graph, start: Cell, goal: Cell, beta: float = 1.0) -> Path:
    """The cheapest path by A*; the straight line is the heuristic (admissible, as w <= 1).

    Args:
        graph: places that were never written count as untried.
        start: place that the path leaves.
        goal: cell of the goal; it may be `start`.
        beta: an edge costs its length over ``w ** beta``.
    """
    lattice = _Lattice(table=graph.table, cells=graph.cells, weight=graph.weight, w0=graph.w0)
    cheapest = _a_star(lattice=lattice, beta=beta, start=_as_vertex(start), goal=_as_vertex(goal))
    return Path(
        start=start,
        edges=cheapest.edges.tolist(),
        cost=cheapest.cost * graph.spacing,
        weakest=cheapest.weakest,
    )


class _Lattice(NamedTuple):
    """What A* reads of a `Graph`, for compiled code."""

    table: np.ndarray
    """hash table from lattice coordinates to rows"""
    cells: np.ndarray
    """(rows, 2), lattice coordinates of the places that were written"""
    weight: np.ndarray
    """(rows, 9), weights of the edges of every place"""
    w0: float
    """weight of an edge never tried"""


class _Vertex(NamedTuple):
    """Lattice coordinates of a cell, for compiled code."""

    i: int
    j: int


def _as_vertex(cell: Cell) -> _Vertex:
    """A cell with its coordinates by name; whole numbers of numpy become Python's, of which numba compiles one form."""
    i, j = cell
    return _Vertex(i=int(i), j=int(j))


class _Cheapest(NamedTuple):
    """The result of A*."""

    edges: np.ndarray
    """(k,), indices of `STEPS`, from the start to the goal"""
    cost: float
    """in lattice constants"""
    weakest: float
    """least weight of the edges"""


class _Nodes(NamedTuple):
    """Places that A* has come upon, a row each; rows are in the order of their discovery."""

    table: np.ndarray
    """hash table from lattice coordinates to rows"""
    cells: np.ndarray
    """(rows, 2), lattice coordinates"""
    cost: np.ndarray
    """(rows,), cost of the cheapest path that is known from the start, in lattice constants"""
    parent: np.ndarray
    """(rows,), row of the place before it on that path; -1 for the start"""
    edge_in: np.ndarray
    """(rows,), edge by which that path comes in"""
    is_closed: np.ndarray
    """(rows,), whether its cost is final"""


@njit(cache=True)
def _no_nodes(capacity: int) -> _Nodes:
    return _Nodes(
        table=np.full(SLOTS_PER_NODE * capacity, -1, np.int64),
        cells=np.zeros((capacity, 2), np.int64),
        cost=np.zeros(capacity),
        parent=np.zeros(capacity, np.int64),
        edge_in=np.zeros(capacity, np.int64),
        is_closed=np.zeros(capacity, np.bool_),
    )


@njit(cache=True)
def _with_more_room(nodes: _Nodes) -> _Nodes:
    """A copy of full `nodes` with room for twice as many."""
    count = len(nodes.cells)
    larger = _no_nodes(2 * count)
    larger.cells[:count] = nodes.cells
    larger.cost[:count] = nodes.cost
    larger.parent[:count] = nodes.parent
    larger.edge_in[:count] = nodes.edge_in
    larger.is_closed[:count] = nodes.is_closed
    rehash(larger.table, larger.cells, count)
    return larger


@njit(cache=True)
def _row(lattice: _Lattice, i: int, j: int) -> int:
    """Row of a place of the graph; -1 for one that was never written."""
    return lattice.table[slot(lattice.table, lattice.cells, i, j)]


@njit(cache=True)
def _edge_weight(lattice: _Lattice, row: int, edge: int) -> float:
    """Weight of an edge of a `_row` of the graph."""
    if row < 0:
        return lattice.w0
    return lattice.weight[row, edge]


@njit(cache=True)
def _a_star(lattice: _Lattice, beta: float, start: _Vertex, goal: _Vertex) -> _Cheapest:
    """The cheapest path from `start` to `goal`; an edge costs its length over ``weight ** beta``."""
    nodes = _no_nodes(FIRST_NODES)
    nodes.cells[0, 0] = start.i
    nodes.cells[0, 1] = start.j
    nodes.parent[0] = -1
    nodes.table[slot(nodes.table, nodes.cells, start.i, start.j)] = 0
    count = 1

    best_cost = np.inf
    last_node = -1
    last_edge = 0
    # Of equal estimates the one that has come farther is looked at first, as its cost is negated:
    # fewer places are opened.
    heap = [(np.hypot(start.i - goal.i, start.j - goal.j), 0.0, 0)]
    while len(heap) > 0:
        estimate, _, node = heapq.heappop(heap)
        if estimate >= best_cost:
            break
        # A place is pushed again when a cheaper way to it is found; its older entries are stale.
        if nodes.is_closed[node]:
            continue
        nodes.is_closed[node] = True
        i = nodes.cells[node, 0]
        j = nodes.cells[node, 1]
        row = _row(lattice, i, j)
        for edge in range(EDGES):
            next_i = i + STEPS[edge, 0]
            next_j = j + STEPS[edge, 1]
            leads_to_goal = next_i == goal.i and next_j == goal.j
            if edge == WITHIN and not leads_to_goal:
                continue
            cost = nodes.cost[node] + LENGTHS[edge] / _edge_weight(lattice, row, edge) ** beta
            # The goal is no node: a path ends there, so that only the cheapest way in is kept.
            if leads_to_goal:
                if cost < best_cost:
                    best_cost = cost
                    last_node = node
                    last_edge = edge
                continue
            # Before the slot is looked up, since a larger table has other slots.
            if count == len(nodes.cells):
                nodes = _with_more_room(nodes)
            at = slot(nodes.table, nodes.cells, next_i, next_j)
            neighbour = nodes.table[at]
            if neighbour < 0:
                neighbour = count
                nodes.table[at] = neighbour
                nodes.cells[neighbour, 0] = next_i
                nodes.cells[neighbour, 1] = next_j
                count += 1
            elif nodes.is_closed[neighbour] or cost >= nodes.cost[neighbour]:
                continue
            nodes.cost[neighbour] = cost
            nodes.parent[neighbour] = node
            nodes.edge_in[neighbour] = edge
            heuristic = np.hypot(next_i - goal.i, next_j - goal.j)
            heapq.heappush(heap, (cost + heuristic, -cost, neighbour))

    edges = _traced_back(nodes, last_node, last_edge)
    weakest = _least_weight(lattice, start, edges)
    return _Cheapest(edges=edges, cost=best_cost, weakest=weakest)


@njit(cache=True)
def _traced_back(nodes: _Nodes, last_node: int, last_edge: int) -> np.ndarray:
    """Edges (k,) of the path from the start to `last_node`, and `last_edge` after them."""
    length = 1
    node = last_node
    while nodes.parent[node] >= 0:
        length += 1
        node = nodes.parent[node]
    edges = np.empty(length, np.int64)
    edges[length - 1] = last_edge
    node = last_node
    for number in range(length - 2, -1, -1):
        edges[number] = nodes.edge_in[node]
        node = nodes.parent[node]
    return edges


@njit(cache=True)
def _least_weight(lattice: _Lattice, start: _Vertex, edges: np.ndarray) -> float:
    """Least weight of the edges of a path from `start`."""
    least = 1.0
    i = start.i
    j = start.j
    for edge in edges:
        row = _row(lattice, i, j)
        least = min(least, _edge_weight(lattice, row, edge))
        i += STEPS[edge, 0]
        j += STEPS[edge, 1]
    return least


@dataclass(frozen=True)
class _Wave:
    """A window of the lattice over which activation has spread from the goal."""

    low: np.ndarray
    """(2,), the cell of its first unit"""
    goal: np.ndarray
    """(2,), the unit of the goal's cell"""
    edge_cost: np.ndarray
    """(columns, rows, 9), in lattice constants"""
    cost_to_go: np.ndarray
    """(columns, rows), in lattice constants; at the goal's cell: for an agent that has yet to
    reach the goal"""

    def best(self, unit: np.ndarray) -> tuple[float, int]:
        """Cost to go of a unit (2,), and the edge that the cheapest path from it begins with."""
        ends = unit + STEPS
        size = np.array(self.cost_to_go.shape)
        is_inside = ((ends >= 0) & (ends < size)).all(1)
        columns, rows = np.clip(ends, 0, size - 1).T
        onward = np.where(is_inside, self.cost_to_go[columns, rows], np.inf)
        # The edge within a cell leads nowhere but to a goal in it.
        onward[WITHIN] = np.inf
        onward = np.where((ends == self.goal).all(1), 0.0, onward)
        total = self.edge_cost[tuple(unit)] + onward
        return float(total.min()), int(total.argmin())


def wavefront(graph: Graph, start: Cell, goal: Cell, beta: float = 1.0) -> Path:
    """A path as cheap as that of `a_star`, by spreading activation.

    ``log y_u = max_v (log y_v - c_uv)`` with y = 1 at the goal, iterated to its fixed point: the
    activity of a place is the exponential of minus its cost to go.

    Args:
        graph: places that were never written count as untried.
        start: place that the path leaves.
        goal: cell of the goal; it may be `start`.
        beta: an edge costs its length over ``w ** beta``.
    """
    wave = _wave_without_detours(graph, start, goal, beta)
    cost, _ = wave.best(np.array(start) - wave.low)
    edges = []
    weakest = 1.0
    cell = start
    at_goal = False
    while not at_goal:
        _, edge = wave.best(np.array(cell) - wave.low)
        weakest = min(weakest, graph.value(cell, edge))
        edges.append(edge)
        cell = advance(cell, edge)
        at_goal = cell == tuple(goal)
    return Path(start=start, edges=edges, cost=cost * graph.spacing, weakest=weakest)


def _wave_without_detours(graph: Graph, start: Cell, goal: Cell, beta: float) -> _Wave:
    """The wave over a window that is large enough: no path through what lies outside is cheaper."""
    margin = FIRST_MARGIN
    while True:
        low = np.minimum(start, goal) - margin
        high = np.maximum(start, goal) + margin
        wave = _spread(graph, goal, low, high, beta)
        cost, _ = wave.best(np.array(start) - low)
        # To leave the window and come back takes at least twice the margin in length, and no
        # edge costs less than its length.
        if margin * 2 >= cost:
            return wave
        # Half the cost is always enough, as a larger window makes no path dearer. But a first cost may be far too
        # high, or infinite: four times the margin is the most at once, and twice the margin the least.
        sufficient_margin = cost / 2
        margin = max(2 * margin, int(np.ceil(min(sufficient_margin, 4 * margin))))


def activation(
    graph: Graph, goal: Cell, low: Cell, high: Cell, tau: float = 1.0, beta: float = 1.0
) -> np.ndarray:
    """Activity ``log y`` of the places of a window: minus the cost to go, over `tau`.

    Args:
        graph: places that were never written count as untried.
        goal: cell of the goal, within the window.
        low: first cell of the window.
        high: last cell of the window.
        tau: cost over which the activity falls by a factor e, m.
        beta: an edge costs its length over ``w ** beta``.

    Returns:
        (columns, rows), 0 or less.
    """
    wave = _spread(graph, goal, np.array(low), np.array(high), beta)
    return -wave.cost_to_go * graph.spacing / tau


def _spread(graph: Graph, goal: Cell, low: np.ndarray, high: np.ndarray, beta: float) -> _Wave:
    """Activation from the goal over the cells from `low` to `high`, both included."""
    edge_cost = _edge_costs(graph, low, high + 1 - low, beta)
    goal_unit = np.array(goal) - low
    return _Wave(
        low=low, goal=goal_unit, edge_cost=edge_cost, cost_to_go=_relaxed(edge_cost, goal_unit)
    )


def _edge_costs(graph: Graph, low: np.ndarray, shape: np.ndarray, beta: float) -> np.ndarray:
    """Cost (columns, rows, 9) of every edge of a window, in lattice constants."""
    weight = np.full((*shape, EDGES), graph.w0)
    units = graph.cells[: graph.count] - low
    is_inside = ((units >= 0) & (units < shape)).all(1)
    columns, rows = units[is_inside].T
    weight[columns, rows] = graph.weight[: graph.count][is_inside]
    return LENGTHS / weight**beta


def _relaxed(edge_cost: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Cost to go (columns, rows) of every unit, in lattice constants, by Bellman-Ford's relaxation.

    All units are relaxed at once, as neurons would be, until nothing changes. At the goal's cell
    stands the cost for an agent that has yet to reach the goal.

    Args:
        edge_cost: (columns, rows, 9).
        goal: (2,), the unit of the goal's cell.
    """
    columns, rows = edge_cost.shape[:2]
    # A border of units that are never reached, so that every unit has eight neighbours.
    wave = np.full((columns + 2, rows + 2), np.inf)
    while True:
        relaxed = np.full((columns, rows), np.inf)
        for edge, (step_i, step_j) in enumerate(STEPS[:WITHIN]):
            ahead = wave[1 + step_i : columns + 1 + step_i, 1 + step_j : rows + 1 + step_j]
            np.minimum(relaxed, ahead + edge_cost[..., edge], out=relaxed)
            # The neighbour from which this edge leads to the goal pays for the edge alone.
            i = goal[0] - step_i
            j = goal[1] - step_j
            if 0 <= i < columns and 0 <= j < rows:
                relaxed[i, j] = min(relaxed[i, j], edge_cost[i, j, edge])
        at_goal = tuple(goal)
        relaxed[at_goal] = min(relaxed[at_goal], edge_cost[(*goal, WITHIN)])
        if (relaxed == wave[1:-1, 1:-1]).all():
            return relaxed
        wave[1:-1, 1:-1] = relaxed

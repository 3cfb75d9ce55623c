"""The next behaviour: the cheapest path over the graph, by A* or by a wave of activation that runs from the goal.

Sources: A* (Hart, Nilsson, Raphael 1968); neural wavefront (Ponulak & Hopfield 2013). Both give the same cost.

The goal is a vertex of its own: the edges into the goal's cell lead to it, and so does the ninth edge of that cell. So
an agent that stands in the goal's cell, with a wall between, may go out and come in from another side.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numba import njit

from .graph import STEPS, WITHIN, Graph, slot

_LENGTH = np.array([1.0, np.sqrt(2.0)] * 4 + [0.5])
"""of each edge, in cells"""
Cell = tuple[int, int]


@dataclass(frozen=True)
class Path:
    """A behaviour: edges to follow from a place to the goal."""

    start: Cell
    edges: list[int]
    """each an index of `STEPS`; the last one leads to the goal itself"""
    cost: float
    """m over weight"""
    weakest: float
    """least weight on it"""


def a_star(graph: Graph, start: Cell, goal: Cell, beta: float = 1.0) -> Path:
    """The cheapest path, where an edge costs its length over ``w ** beta``.

    The straight line is the heuristic (admissible: w <= 1). Places that were never written count as untried.
    """
    edges, cost, weakest = _a_star(
        graph.table, graph.cells, graph.weight, graph.w0, beta, *start, *goal
    )
    return Path(start, edges.tolist(), cost * graph.spacing, weakest)


@njit(cache=True)
def _a_star(table, cells, weight, w0, beta, i0, j0, i1, j1):  # pyright: ignore[reportMissingParameterType]
    steps, length = STEPS, _LENGTH
    seen = np.full(1024, -1, np.int64)
    nodes, cost = np.zeros((256, 2), np.int64), np.zeros(256)
    came, through, shut = np.zeros(256, np.int64), np.zeros(256, np.int64), np.zeros(256, np.bool_)
    nodes[0, 0], nodes[0, 1], came[0] = i0, j0, -1
    count = 1
    seen[slot(seen, nodes, i0, j0)] = 0
    best, last, last_edge = np.inf, -1, 0
    heap = [(np.hypot(i0 - i1, j0 - j1), 0.0, 0)]
    while len(heap) > 0:
        estimate, _, node = heapq.heappop(heap)
        if estimate >= best:
            break
        if shut[node]:
            continue
        shut[node] = True
        i, j = nodes[node, 0], nodes[node, 1]
        row = table[slot(table, cells, i, j)]
        for edge in range(9):
            a, b = i + steps[edge, 0], j + steps[edge, 1]
            ends = a == i1 and b == j1
            if edge == 8 and not ends:
                continue
            w = weight[row, edge] if row >= 0 else w0
            total = cost[node] + length[edge] / w**beta
            if ends:
                if total < best:
                    best, last, last_edge = total, node, edge
                continue
            at = slot(seen, nodes, a, b)
            known = seen[at]
            if known < 0:
                if count == len(nodes):
                    nodes, cost = (
                        np.concatenate((nodes, np.zeros_like(nodes))),
                        np.concatenate((cost, cost)),
                    )
                    came, through = np.concatenate((came, came)), np.concatenate((through, through))
                    shut = np.concatenate((shut, np.zeros_like(shut)))
                    seen = np.full(4 * len(nodes), -1, np.int64)
                    for k in range(count):
                        seen[slot(seen, nodes, nodes[k, 0], nodes[k, 1])] = k
                    at = slot(seen, nodes, a, b)
                known = count
                nodes[known, 0], nodes[known, 1], seen[at] = a, b, known
                count += 1
            elif shut[known] or total >= cost[known]:
                continue
            cost[known], came[known], through[known] = total, node, edge
            heapq.heappush(heap, (total + np.hypot(a - i1, b - j1), -total, known))
    size, node = 1, last
    while came[node] >= 0:
        size, node = size + 1, came[node]
    edges = np.empty(size, np.int64)
    edges[size - 1], node, weakest = last_edge, last, 1.0
    for k in range(size - 2, -1, -1):
        edges[k], node = through[node], came[node]
    i, j = i0, j0
    for k in range(size):
        row = table[slot(table, cells, i, j)]
        weakest = min(weakest, weight[row, edges[k]] if row >= 0 else w0)
        i, j = i + steps[edges[k], 0], j + steps[edges[k], 1]
    return edges, best, weakest


def wavefront(graph: Graph, start: Cell, goal: Cell, beta: float = 1.0) -> Path:
    """The same path by activation: ``log y_u = max_v (log y_v - c_uv)``, y = 1 at the goal, to the fixed point.

    Units of a window relax all at once; the window grows until no path through what lies outside could be cheaper.
    """
    margin = 2
    while True:
        low = np.minimum(start, goal) - margin
        shape = np.maximum(start, goal) + margin + 1 - low
        cost = _edge_costs(graph, low, shape, beta)
        wave = _relax(cost, np.array(goal) - low)
        first = _best(cost, wave, np.array(start) - low, np.array(goal) - low)
        if margin * 2 >= first[0]:  # out of the window and back costs at least its length
            break
        margin = max(2 * margin, int(np.ceil(min(first[0] / 2, 4 * margin))))
    edges, at, weakest, at_goal = [], np.array(start), 1.0, False
    while not at_goal:
        edge = int(_best(cost, wave, at - low, np.array(goal) - low)[1])
        weakest = min(weakest, graph.value((int(at[0]), int(at[1])), edge))
        edges.append(edge)
        at = at + STEPS[edge]
        at_goal = bool((at == goal).all())
    return Path(start, edges, float(first[0]) * graph.spacing, weakest)


def activation(
    graph: Graph, goal: Cell, low: Cell, high: Cell, tau: float = 1.0, beta: float = 1.0
) -> np.ndarray:
    """Activity ``log y`` of the units of a window, cells `low` to `high` inclusive: minus cost to go over `tau` (m)."""
    cost = _edge_costs(graph, np.array(low), np.array(high) + 1 - low, beta)
    return -_relax(cost, np.array(goal) - low) * graph.spacing / tau


def _edge_costs(graph: Graph, low: np.ndarray, shape: np.ndarray, beta: float) -> np.ndarray:
    weight = np.full((*shape, 9), graph.w0)
    cells = graph.cells[: graph.count] - low
    inside = ((cells >= 0) & (cells < shape)).all(1)
    weight[cells[inside, 0], cells[inside, 1]] = graph.weight[: graph.count][inside]
    return _LENGTH / weight**beta


def _relax(cost: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Cost to go (i, j), in cells, of every unit; at the goal's cell: for an agent that has yet to reach it."""
    n, m = cost.shape[:2]
    wave = np.full((n + 2, m + 2), np.inf)
    while True:
        inputs = np.full((n, m), np.inf)
        for edge, (di, dj) in enumerate(STEPS[:WITHIN]):
            ahead = wave[1 + di : n + 1 + di, 1 + dj : m + 1 + dj]
            np.minimum(inputs, ahead + cost[..., edge], out=inputs)
            i, j = goal - (di, dj)
            if 0 <= i < n and 0 <= j < m:
                inputs[i, j] = min(inputs[i, j], cost[i, j, edge])
        inputs[tuple(goal)] = min(inputs[tuple(goal)], cost[(*goal, WITHIN)])
        if (inputs == wave[1:-1, 1:-1]).all():
            return inputs
        wave[1:-1, 1:-1] = inputs


def _best(
    cost: np.ndarray, wave: np.ndarray, at: np.ndarray, goal: np.ndarray
) -> tuple[float, int]:
    ahead = at + STEPS
    inside = ((ahead >= 0) & (ahead < wave.shape)).all(1)
    onward = np.where(inside, wave[tuple(np.clip(ahead, 0, np.array(wave.shape) - 1).T)], np.inf)
    onward[WITHIN] = np.inf
    onward = np.where((ahead == goal).all(1), 0.0, onward)
    total = cost[tuple(at)] + onward
    return float(total.min()), int(total.argmin())

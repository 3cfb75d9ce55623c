"""What the search is measured against.

A held random action, random edges, LRTA*, and an oracle that has the map. All but the first share
the search's lattice and motor layer. Source: LRTA* (Korf, "Real-time heuristic search", 1990).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from ...checks import whole_number
from ...errors import LanceletError
from ..baselines import Random, RandomOptions
from ..core import Options, State
from .graph import EDGES, FLOOR, LENGTHS, WITHIN, Cell, Graph, advance
from .mind import (
    Mind,
    Target,
    edge_from_row,
    edge_to_row,
    graph_from_arrays,
    graph_to_arrays,
)
from .navigator import Navigator, NavigatorOptions
from .paths import a_star

STEP_BITS = 32
"""bits of the state of `Random` that count steps; the stream's number stands above them"""
LRTA_ETA_M = 0.97
"""share of its weight that a stalled edge loses under LRTA*: it costs 33 times as much"""
WALL = "#"
"""a wall on the oracle's map"""


@dataclass(frozen=True, kw_only=True)
class RandomHeldOptions(RandomOptions):
    """Options of the held random controller."""

    hold: int = 10
    """steps that each action is held"""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number("hold", self.hold, least=1)


class RandomHeld(Random):
    """Uniform actions, each held for some steps."""

    Options: ClassVar[type[Options]] = RandomHeldOptions
    options: RandomHeldOptions  # pyright: ignore[reportIncompatibleVariableOverride]

    def forward(self, observation: Any, state: State) -> tuple[Tensor, State]:
        """Actions (batch, m), and the state one step on."""
        stream = state >> STEP_BITS
        step = state & (2**STEP_BITS - 1)
        # `Random` draws by the number of the step: it is shown one that stands still for a while.
        held_state = (stream << STEP_BITS) + step // self.options.hold
        action, _ = super().forward(observation, held_state)
        return action, state + 1


class EdgeMind(Mind):
    """Runs one edge of a fixed lattice at a time; subclasses choose which."""

    def __init__(self, options: Any, agent: int) -> None:
        super().__init__(options, agent)
        self.graph = self._lattice()
        self.edge: tuple[Cell, int] | None = None
        """edge that is run: the place that it leaves, and its index in `STEPS`"""

    def _lattice(self) -> Graph:
        """An empty graph at a drawn offset."""
        offset = self.rng.uniform(0.0, self.options.spacing, 2)
        return Graph(self.options.spacing, offset, 1.0)

    def propose(self, x: np.ndarray, goal: np.ndarray) -> Target:
        """One edge from x (2,) m; an edge into the goal's cell, or within it, leads to the goal."""
        options = self.options
        here = self.graph.cell(x)
        goal_cell = self.graph.cell(goal)
        edge = self.choose(here, goal_cell)
        self.edge = (here, edge)
        end = advance(here, edge)
        point = self.graph.centre(end)
        radius = options.arrival * options.spacing
        if end == goal_cell:
            # With a radius of 0 only success ends the edge.
            point = goal.copy()
            radius = 0.0
        return Target(
            point=point,
            radius=radius,
            limit=options.edge_steps,
            patience=options.patience,
        )

    def choose(self, here: Cell, goal: Cell) -> int:
        """The edge to run from `here`, an index of `STEPS`."""
        raise NotImplementedError

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The whole mind as arrays."""
        arrays = super().to_arrays() | graph_to_arrays(self.graph)
        arrays["running"] = np.array(edge_to_row(self.edge))
        return arrays

    def from_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Become the mind that `to_arrays` wrote down."""
        super().from_arrays(arrays)
        self.graph = graph_from_arrays(arrays)
        self.edge = edge_from_row(arrays["running"].tolist())


class RandomEdgeMind(EdgeMind):
    """Any edge, all alike."""

    def choose(self, here: Cell, goal: Cell) -> int:
        """One of the eight neighbours; the goal, where that is a choice, one time in nine."""
        choices = EDGES if here == goal else WITHIN
        return int(self.rng.integers(choices))


class RandomEdge(Navigator):
    """Random edges of the lattice, run by the search's motor layer."""

    Mind: ClassVar[type[Mind]] = RandomEdgeMind


class LRTAMind(EdgeMind):
    """Learning real-time A*: a learned cost to go for each place; a stalled edge is dear ever after.

    The graph's weights keep the edges' costs, as in the search: length over weight, 1 where untried.
    """

    def __init__(self, options: Any, agent: int) -> None:
        super().__init__(options, agent)
        self.learned: dict[Cell, float] = {}
        """cost to go of places that were left, in lattice constants"""
        self.goal: Cell | None = None
        """cell that the learned costs lead to"""

    def choose(self, here: Cell, goal: Cell) -> int:
        """The edge that is cheapest by what is known; the cost to go of `here` rises to that."""
        if goal != self.goal:
            self.learned = {}
            self.goal = goal
        costs = np.full(EDGES, np.inf)
        for edge in range(EDGES):
            end = advance(here, edge)
            if edge == WITHIN and end != goal:
                continue
            edge_cost = float(LENGTHS[edge]) / self.graph.value(here, edge)
            costs[edge] = edge_cost + self._cost_to_go(end, goal)
        self.learned[here] = max(self.learned.get(here, 0.0), float(costs.min()))
        return int(costs.argmin())

    def _cost_to_go(self, cell: Cell, goal: Cell) -> float:
        """What was learned of a place; the straight line where nothing was."""
        if cell == goal:
            return 0.0
        straight = float(np.hypot(cell[0] - goal[0], cell[1] - goal[1]))
        return self.learned.get(cell, straight)

    def stalled(self, x: np.ndarray) -> None:
        """The edge that was run loses most of its weight."""
        super().stalled(x)
        if self.edge is not None:
            start, edge = self.edge
            self.graph.depress(start, edge, LRTA_ETA_M)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The whole mind as arrays."""
        arrays = super().to_arrays()
        learned = [(column, row, cost) for (column, row), cost in self.learned.items()]
        # An array has no None.
        goal = (np.nan, np.nan) if self.goal is None else self.goal
        arrays["learned"] = np.array(learned, float).reshape(-1, 3)
        arrays["goal"] = np.array(goal, float)
        return arrays

    def from_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Become the mind that `to_arrays` wrote down."""
        super().from_arrays(arrays)
        self.learned = {}
        for column, row, cost in arrays["learned"].tolist():
            self.learned[int(column), int(row)] = cost
        column, row = arrays["goal"].tolist()
        self.goal = None
        if not np.isnan(column):
            self.goal = (int(column), int(row))


class LRTA(Navigator):
    """LRTA* (Korf 1990) on the search's lattice with the search's motor layer."""

    Mind: ClassVar[type[Mind]] = LRTAMind


@dataclass(frozen=True, kw_only=True)
class OracleOptions(NavigatorOptions):
    """Options of the oracle."""

    maze_map: tuple[str, ...] = ()
    """rows of the true map, ``#`` a wall; cells of 1 m, the origin at its centre, the first row at
    greatest y"""

    def __post_init__(self) -> None:
        super().__post_init__()
        widths = {len(row) for row in self.maze_map}
        if len(widths) != 1 or widths == {0}:
            raise LanceletError(
                f"maze_map = {self.maze_map}: the oracle needs the true map, rows of equal length"
            )


class OracleMind(EdgeMind):
    """Shortest path on the true map; its lattice lies on the map's cells.

    The cell in row i and column j of the map is the place (j, -i): y grows upwards.
    """

    def _lattice(self) -> Graph:
        """The map as a graph: edges into a wall, or round the corner of one, are refuted."""
        rows = self.options.maze_map
        height = len(rows)
        width = len(rows[0])
        first_cell = np.array([0.5 - width / 2, height / 2 - 0.5])
        graph = Graph(spacing=1.0, offset=first_cell, w0=1.0)
        walls = _walls(rows)
        places = itertools.product(range(height), range(width))
        for (i, j), edge in itertools.product(places, range(WITHIN)):
            place = (j, -i)
            if walls & _cells_touched(place, edge):
                # The row first: to make it may replace the array of weights.
                row = graph.row(place)
                graph.weight[row, edge] = FLOOR
        return graph

    def choose(self, here: Cell, goal: Cell) -> int:
        """The first edge of the shortest path."""
        return a_star(self.graph, here, goal).edges[0]


def _walls(rows: Sequence[str]) -> set[Cell]:
    """Places of the walls of a map."""
    walls = set()
    for i, row in enumerate(rows):
        for j, mark in enumerate(row):
            if mark == WALL:
                walls.add((j, -i))
    return walls


def _cells_touched(place: Cell, edge: int) -> set[Cell]:
    """Cells that an edge leads into or, if it is diagonal, past the corner of."""
    end = advance(place, edge)
    return {end, (end[0], place[1]), (place[0], end[1])}


class Oracle(Navigator):
    """A* on the true map, with the search's motor layer: what knowing the walls is worth.

    Its motor map is learned too, so the babble is in its steps.
    """

    Options: ClassVar[type[Options]] = OracleOptions
    Mind: ClassVar[type[Mind]] = OracleMind

"""What the search is measured against: a held random action, random edges, LRTA*, and an oracle that has the map.

Sources: LRTA* (Korf, "Real-time heuristic search", 1990). All but the first share the search's lattice and motor layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from ...errors import LanceletError
from ..baselines import Random, RandomOptions
from ..core import Options, State
from .graph import FLOOR, STEPS, WITHIN, Graph, advance
from .mind import Mind, Target
from .navigator import Navigator, NavigatorOptions
from .paths import a_star

Cell = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class RandomHeldOptions(RandomOptions):
    """Options of the held random controller."""

    hold: int = 10
    """steps that each action is held"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hold < 1:
            raise LanceletError(f"hold = {self.hold}: must be 1 or more")


class RandomHeld(Random):
    """Uniform actions, each held for some steps."""

    Options: ClassVar[type[Options]] = RandomHeldOptions

    def forward(self, observation: Any, state: State) -> tuple[Tensor, State]:
        """Actions (batch, m)."""
        stream, step = state >> 32, state & (2**32 - 1)
        return super().forward(observation, (stream << 32) + step // self.options.hold)[
            0
        ], state + 1


class EdgeMind(Mind):
    """Runs one edge of a fixed lattice at a time; subclasses choose which, from `here`, where the agent is."""

    def __init__(self, options: Any, agent: int) -> None:
        super().__init__(options, agent)
        self.graph = self._lattice()
        self.edge: tuple[Cell, int] | None = None

    def _lattice(self) -> Graph:
        return Graph(self.options.spacing, self.rng.uniform(0.0, self.options.spacing, 2), 1.0)

    def propose(self, x: np.ndarray, goal: np.ndarray) -> Target:
        """One edge from here; within the goal's cell, and into it, the goal itself."""
        here, there = self.graph.cell(x), self.graph.cell(goal)
        edge = self.choose(here, there)
        self.edge = here, edge
        end = advance(here, edge)
        options = self.options
        if end == there:
            return Target(goal.copy(), 0.0, options.edge_steps, options.patience)
        return Target(
            self.graph.centre(end),
            options.arrival * options.spacing,
            options.edge_steps,
            options.patience,
        )

    def choose(self, here: Cell, goal: Cell) -> int:
        """Index of `STEPS`."""
        raise NotImplementedError

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything in it."""
        graph = {f"graph.{name}": value for name, value in self.graph.to_arrays().items()}
        edge = [-1] * 3 if self.edge is None else [*self.edge[0], self.edge[1]]
        return {**super().to_arrays(), **graph, "running": np.array([self.edge is not None, *edge])}

    def from_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Become the mind that `to_arrays` took down."""
        super().from_arrays(arrays)
        self.graph = Graph.from_arrays(
            {k[6:]: v for k, v in arrays.items() if k.startswith("graph.")}
        )
        runs, i, j, edge = arrays["running"].tolist()
        self.edge = ((i, j), edge) if runs else None


class RandomEdgeMind(EdgeMind):
    """Any edge."""

    def choose(self, here: Cell, goal: Cell) -> int:
        """One of the eight neighbours; the goal, where that is a choice, one time in nine."""
        return int(self.rng.integers(9 if here == goal else 8))


class RandomEdge(Navigator):
    """Random edges of the lattice, run by the search's motor layer."""

    Mind: ClassVar[type[Mind]] = RandomEdgeMind


class LRTAMind(EdgeMind):
    """Real-time A*: a learned cost to go for each place; a stalled edge is dear ever after.

    The graph's weights keep the edges' costs, as in the search: length over weight, 1 where untried.
    """

    def __init__(self, options: Any, agent: int) -> None:
        super().__init__(options, agent)
        self.learned: dict[Cell, float] = {}
        self.goal: Cell | None = None

    def choose(self, here: Cell, goal: Cell) -> int:
        """The neighbour that is cheapest by what is known; the cost to go of `here` rises to that."""
        if goal != self.goal:
            self.learned, self.goal = {}, goal
        costs = np.full(9, np.inf)
        for edge in range(9):
            end = advance(here, edge)
            if edge == WITHIN and end != goal:
                continue
            length = 0.5 if edge == WITHIN else float(np.hypot(*STEPS[edge]))
            onward = (
                0.0
                if end == goal
                else self.learned.get(end, float(np.hypot(end[0] - goal[0], end[1] - goal[1])))
            )
            costs[edge] = length / self.graph.value(here, edge) + onward
        self.learned[here] = max(self.learned.get(here, 0.0), float(costs.min()))
        return int(costs.argmin())

    def stalled(self, x: np.ndarray) -> None:
        """The edge costs 33 times as much."""
        super().stalled(x)
        if self.edge is not None:
            self.graph.depress(*self.edge, 0.97)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything in it."""
        rows = [[*cell, cost] for cell, cost in self.learned.items()]
        goal = [np.nan] * 2 if self.goal is None else [*self.goal]
        return {
            **super().to_arrays(),
            "learned": np.array(rows, float).reshape(-1, 3),
            "goal": np.array(goal, float),
        }

    def from_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Become the mind that `to_arrays` took down."""
        super().from_arrays(arrays)
        self.learned = {(int(i), int(j)): cost for i, j, cost in arrays["learned"].tolist()}
        i, j = arrays["goal"].tolist()
        self.goal = None if np.isnan(i) else (int(i), int(j))


class LRTA(Navigator):
    """LRTA* (Korf 1990) on the search's lattice with the search's motor layer."""

    Mind: ClassVar[type[Mind]] = LRTAMind


@dataclass(frozen=True, kw_only=True)
class OracleOptions(NavigatorOptions):
    """Options of the oracle."""

    maze_map: tuple[str, ...] = ()
    """rows of the true map, ``#`` a wall; cells of 1 m, the origin at its centre, the first row at greatest y"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len({len(row) for row in self.maze_map}) != 1 or not self.maze_map[0]:
            raise LanceletError(
                f"maze_map = {self.maze_map}: the oracle needs the true map, rows of equal length"
            )


class OracleMind(EdgeMind):
    """Shortest path on the true map; its lattice lies on the map's cells."""

    def _lattice(self) -> Graph:
        rows = self.options.maze_map
        height, width = len(rows), len(rows[0])
        graph = Graph(1.0, np.array([0.5 - width / 2, height / 2 - 0.5]), 1.0)
        walls = {(j, -i) for i, row in enumerate(rows) for j, mark in enumerate(row) if mark == "#"}
        for i in range(height):
            for j in range(width):
                for edge in range(WITHIN):
                    end = advance((j, -i), edge)
                    corner = {end, (end[0], -i), (j, end[1])}
                    if corner & walls:
                        row = graph.row((j, -i))  # before the arrays are read: they may grow
                        graph.weight[row, edge] = FLOOR
        return graph

    def choose(self, here: Cell, goal: Cell) -> int:
        """The first edge of the shortest path."""
        return a_star(self.graph, here, goal).edges[0]


class Oracle(Navigator):
    """A* on the true map, with the search's motor layer: what knowing the walls is worth.

    Its motor map is learned too, so the babble is in its steps.
    """

    Options: ClassVar[type[Options]] = OracleOptions
    Mind: ClassVar[type[Mind]] = OracleMind

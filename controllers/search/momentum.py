"""The same search where momentum is what limits.

Places are cells of (position, velocity), edges are held actions (docs/systems/search.md,
"Momentum"). A reconstruction inspired by Baranski & Tani (arXiv 2410.01349); every rule here is this
project's. Where an action leads is not known beforehand, so an edge is (place, pattern, observed
place); a pattern never tried at a place is hoped to lead straight to the goal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from torch import Tensor

from ...checks import finite_number, whole_number
from ...errors import LanceletError
from ..core import Controller, Options, State
from .graph import FLOOR, Cell

GOAL = 0
"""vertex of the goal; places count from 1"""
PENDULUM = {
    "goal": (0.0, 0.0),
    "tolerance": (0.35, 1.5),
    "cell": (0.35, 1.0),
    "holds": (2, 4, 8),
    "actions": (-1.0, 0.0, 1.0),
}
"""options for Gymnasium's pendulum, upright in rad and rad/s; the defaults are for its continuous
mountain car"""


@dataclass(frozen=True, kw_only=True)
class MomentumOptions(Options):
    """Options of the search over (position, velocity); lengths in the observation's own units."""

    seed: int = 0
    """with the agent's number, of the lattice offset"""
    goal: tuple[float, ...] = (0.5, 0.0)
    """position and velocity to be reached"""
    tolerance: tuple[float, ...] = (0.05, 0.1)
    """distance from the goal in each that counts as there"""
    cell: tuple[float, ...] = (0.1, 0.01)
    """lattice constants, position and velocity"""
    holds: tuple[int, ...] = (4, 8, 16, 32)
    """steps that a pattern holds its action"""
    actions: tuple[float, ...] = (-1.0, 1.0)
    """levels of the action, as shares of its range: bang-bang"""
    w0: float = 0.3
    """weight of a pattern never tried"""
    eta_p: float = 0.5
    """share of the way to 1 by which an outcome strengthens its edge"""
    eta_m: float = 0.5
    """share that the outcomes that did not come about lose; less than on a lattice, as cells alias
    outcomes"""
    optimism: float = 1.0
    """steps a cell that an untried pattern is thought to need to the goal"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_pair("goal", self.goal)
        self._check_pair("tolerance", self.tolerance)
        self._check_pair("cell", self.cell)
        for value in self.tolerance:
            finite_number("tolerance", value, above=0)
        for value in self.cell:
            finite_number("cell", value, above=0)
        if not self.holds or not self.actions:
            raise LanceletError(
                f"holds = {self.holds}, actions = {self.actions}: need at least one of each"
            )
        for steps in self.holds:
            whole_number("holds", steps, least=1)
        finite_number("w0", self.w0, above=0, most=1)
        finite_number("eta_p", self.eta_p, above=0, most=1)
        finite_number("eta_m", self.eta_m, least=0, below=1)

    @staticmethod
    def _check_pair(name: str, values: tuple[float, ...]) -> None:
        if len(values) != 2:
            raise LanceletError(f"{name} = {values}: needs two numbers, position and velocity")


class Pattern(NamedTuple):
    """An action that is held for some steps."""

    hold: int
    """steps"""
    level: float
    """share of the action's range, -1 to 1"""


class MomentumMind:
    """Graph of one agent: outcomes of patterns at places, and the pattern that runs.

    A vertex is the goal (`GOAL`) or a place, by its number. An edge is one outcome of one pattern at
    one place; a pattern that is observed to lead to several places has as many edges.

    Args:
        options: of the search.
        agent: number of the agent in its batch.
    """

    def __init__(self, options: MomentumOptions, agent: int) -> None:
        self.options = options
        self.offset = np.random.default_rng([options.seed, agent]).uniform(0.0, 1.0, 2)
        """(2,), of the lattice, in cells"""
        self.patterns = [
            Pattern(hold=hold, level=level) for hold in options.holds for level in options.actions
        ]
        self.cells: dict[Cell, int] = {}
        """vertex of each place that was visited, by its cell"""
        self.untried: list[list[int]] = [[]]
        """of each vertex: patterns never tried there, shortest first"""
        self.hope: list[float] = [0.0]
        """of each vertex: steps to the goal, as the crow flies"""

        self.edges: dict[tuple[int, int], dict[int, int]] = {}
        """(place, pattern) -> outcome -> number of the edge"""
        self.start: list[int] = []
        """of each edge: the vertex that it leaves"""
        self.end: list[int] = []
        """of each edge: the vertex that it leads to, its outcome"""
        self.pattern: list[int] = []
        """of each edge: the pattern"""
        self.weight: list[float] = []
        """of each edge: in (0, 1]"""

        self.running: tuple[int, int] | None = None
        """place and pattern that run"""
        self.left = 0
        """steps left of the pattern that runs"""
        self.inside = False
        """whether the pattern that runs began at the goal"""
        self.expected = GOAL
        """outcome that the pattern that runs is meant to have"""
        self.life = 0
        """steps lived"""
        self.wrong = 0
        """outcomes that were not the expected one"""
        self.successes = 0
        """goals reached"""

    def there(self, state: np.ndarray) -> bool:
        """Whether (position, velocity) is at the goal."""
        return bool((np.abs(state - self.options.goal) <= self.options.tolerance).all())

    def act(self, state: np.ndarray) -> float:
        """Level of the action at (position, velocity)."""
        self.life += 1
        is_there = self.there(state)
        # A pattern that comes upon the goal ends there, so that the goal is its outcome.
        reaches_goal = is_there and not self.inside
        if self.running is not None and (self.left == 0 or reaches_goal):
            self.observe(state)
        if self.running is None:
            place = self._place(state)
            self.expected, pattern = self._plan(place)
            self.running = (place, pattern)
            self.left = self.patterns[pattern].hold
            self.inside = is_there
        self.left -= 1
        _, pattern = self.running
        return self.patterns[pattern].level

    def observe(self, state: np.ndarray) -> None:
        """The pattern that ran has led to (position, velocity).

        Hebb on this outcome, anti-Hebb on those that did not come about.
        """
        if self.running is None:
            return
        place, pattern = self.running
        reached = GOAL if self.there(state) else self._place(state)
        outcomes = self.edges.setdefault((place, pattern), {})
        if reached not in outcomes:
            outcomes[reached] = self._add_edge(place, pattern, reached)
        for outcome, edge in outcomes.items():
            if outcome == reached:
                self.weight[edge] += self.options.eta_p * (1 - self.weight[edge])
            else:
                self.weight[edge] = max(self.weight[edge] * (1 - self.options.eta_m), FLOOR)
        if pattern in self.untried[place]:
            self.untried[place].remove(pattern)
        if reached != self.expected:
            self.wrong += 1
        if reached == GOAL:
            self.successes += 1
        self.running = None

    def _add_edge(self, place: int, pattern: int, outcome: int) -> int:
        """Number of a new edge."""
        number = len(self.weight)
        self.start.append(place)
        self.end.append(outcome)
        self.pattern.append(pattern)
        self.weight.append(self.options.w0)
        return number

    def _place(self, state: np.ndarray) -> int:
        """Vertex of the place that holds (position, velocity), made where there is none."""
        scaled = state / self.options.cell - self.offset
        cell = (round(float(scaled[0])), round(float(scaled[1])))
        if cell not in self.cells:
            self.cells[cell] = len(self.hope)
            outside = np.abs(state - self.options.goal) - self.options.tolerance
            cells_away = float(np.hypot(*np.maximum(outside / self.options.cell, 0.0)))
            self.hope.append(self.options.optimism * cells_away)
            self.untried.append(self._shortest_first())
        return self.cells[cell]

    def _shortest_first(self) -> list[int]:
        """All patterns, the shortest first."""
        return sorted(range(len(self.patterns)), key=lambda pattern: self.patterns[pattern].hold)

    def _plan(self, place: int) -> tuple[int, int]:
        """The outcome and the pattern that begin the cheapest path from `place`.

        An observed edge costs the steps of its pattern over its weight. Of the patterns that were
        never tried at a place the shortest one is an edge straight to the goal.
        """
        hold = np.array([pattern.hold for pattern in self.patterns])
        hope = np.array(self.hope)
        tried_cost = np.zeros(0)
        if self.weight:
            tried_cost = hold[self.pattern] / np.array(self.weight)

        hopeful = np.array([vertex for vertex, untried in enumerate(self.untried) if untried], int)
        hopeful_pattern = np.array([self.untried[vertex][0] for vertex in hopeful], int)
        hopeful_cost = (hold[hopeful_pattern] + hope[hopeful]) / self.options.w0

        start = np.concatenate([np.array(self.start, int), hopeful])
        end = np.concatenate([np.array(self.end, int), np.full(len(hopeful), GOAL)])
        pattern = np.concatenate([np.array(self.pattern, int), hopeful_pattern])
        cost = np.concatenate([tried_cost, hopeful_cost])

        cost_to_go = _costs_to_goal(start, end, cost, vertices=len(self.hope))
        from_here = np.flatnonzero(start == place)
        total = cost[from_here] + cost_to_go[end[from_here]]
        choice = from_here[np.argmin(total)]
        return int(end[choice]), int(pattern[choice])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The whole mind as arrays."""
        is_untried = np.zeros((len(self.hope), len(self.patterns)), bool)
        for vertex, patterns in enumerate(self.untried):
            is_untried[vertex, patterns] = True
        place, pattern = (-1, -1) if self.running is None else self.running
        counts = [
            place,
            pattern,
            self.left,
            self.life,
            self.wrong,
            self.successes,
            self.inside,
            self.expected,
        ]
        return {
            "cells": np.array(list(self.cells), np.int64).reshape(-1, 2),
            "hope": np.array(self.hope),
            "untried": is_untried,
            "edges": np.array([self.start, self.end, self.pattern], np.int64),
            "weight": np.array(self.weight, float),
            "counts": np.array(counts, np.int64),
        }

    def from_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Become the mind that `to_arrays` wrote down."""
        first_place = GOAL + 1
        cells = enumerate(arrays["cells"].tolist(), first_place)
        self.cells = {(i, j): vertex for vertex, (i, j) in cells}
        self.hope = arrays["hope"].tolist()
        self.weight = arrays["weight"].tolist()
        shortest_first = self._shortest_first()
        self.untried = []
        for is_untried in arrays["untried"]:
            self.untried.append([pattern for pattern in shortest_first if is_untried[pattern]])
        self.start, self.end, self.pattern = arrays["edges"].tolist()
        self.edges = {}
        rows = zip(self.start, self.end, self.pattern, strict=True)
        for edge, (start, end, pattern) in enumerate(rows):
            self.edges.setdefault((start, pattern), {})[end] = edge
        place, pattern, *counts = arrays["counts"].tolist()
        self.left, self.life, self.wrong, self.successes, inside, self.expected = counts
        self.running = None if place < 0 else (place, pattern)
        self.inside = bool(inside)


def _costs_to_goal(
    start: np.ndarray, end: np.ndarray, cost: np.ndarray, vertices: int
) -> np.ndarray:
    """Cost of the cheapest path from each vertex to the goal, by Dijkstra's algorithm backwards.

    Args:
        start: (edges,), vertices that the edges leave.
        end: (edges,), vertices that they lead to.
        cost: (edges,), steps.
        vertices: number of vertices.

    Returns:
        (vertices,), steps; infinite where there is no path.
    """
    # Of parallel edges only the cheapest may enter the matrix, which would add them up. `unique`
    # keeps the first of equal keys; after a stable sort by cost that is the cheapest.
    cheapest_first = np.argsort(cost, kind="stable")
    end_and_start = (end * vertices + start)[cheapest_first]
    pair, first = np.unique(end_and_start, return_index=True)
    cheapest_cost = cost[cheapest_first][first]
    backward = csr_matrix(
        (cheapest_cost, (pair // vertices, pair % vertices)), shape=(vertices, vertices)
    )
    return dijkstra(backward, indices=GOAL)


class MomentumSearch(Controller):
    """Systematic search over (position, velocity): mountain car, pendulum.

    There is no training before, and no model. Observation (n, 2): position, velocity; or (n, 3):
    cosine and sine of an angle, and its velocity, where position is the angle in rad. Action (n, 1)
    within its Box. State: one mind an agent, a list, changed in place.

    Raises:
        LanceletError: other spaces; an observation that is not finite.
    """

    Options: ClassVar[type[Options]] = MomentumOptions
    pure = False

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Space, options: Any
    ) -> None:
        super().__init__(observation_space, action_space, options)
        is_box = isinstance(observation_space, spaces.Box)
        if not is_box or observation_space.shape not in ((2,), (3,)):
            need = "(position, velocity) or (cos, sin, velocity)"
            raise LanceletError(
                f"MomentumSearch cannot read observation space {observation_space}: needs {need}"
            )
        if not (
            isinstance(action_space, spaces.Box)
            and action_space.shape == (1,)
            and action_space.is_bounded()
        ):
            raise LanceletError(
                f"MomentumSearch cannot act in {action_space}: needs a bounded Box of 1 number"
            )
        self._middle = float(action_space.high[0] + action_space.low[0]) / 2
        self._half_range = float(action_space.high[0] - action_space.low[0]) / 2

    def initial_state(self, batch: int) -> State:
        """Newborn minds."""
        return [MomentumMind(self.options, agent) for agent in range(batch)]

    def reset(self, state: State, mask: Tensor) -> State:
        """`state` with newborn minds where `mask` (batch,) is True."""
        minds = list(state)
        for agent in torch.nonzero(mask).flatten().tolist():
            minds[agent] = MomentumMind(self.options, agent)
        return minds

    def forward(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Actions (n, 1), and `state`, changed in place."""
        states = self.positions_and_velocities(observation)
        is_finite = np.isfinite(states).all(1)
        if not is_finite.all():
            agent = int(np.flatnonzero(~is_finite)[0])
            raise LanceletError(f"observation of agent {agent}: {states[agent]}: must be finite")
        actions = []
        for mind, position_and_velocity in zip(state, states, strict=True):
            level = mind.act(position_and_velocity)
            actions.append([self._middle + self._half_range * level])
        return torch.tensor(actions), state

    def learn(
        self,
        observation: Any,
        action: Tensor,
        reward: Tensor,
        ended: Tensor,
        next_observation: Any,
        state: State,
    ) -> State:
        """Take in an episode's last step: the outcome, if it is the goal.

        A pattern that was cut short elsewhere teaches nothing.

        Args:
            observation: before the step; not looked at.
            action: of the step; not looked at.
            reward: of the step; not looked at.
            ended: (n,), True from an agent's last step on.
            next_observation: after the step, the true last one where an episode ended.
            state: changed in place.

        Returns:
            `state`.
        """
        states = self.positions_and_velocities(next_observation)
        for agent in np.flatnonzero(ended.numpy()):
            mind = state[agent]
            if mind.there(states[agent]):
                mind.observe(states[agent])
            mind.running = None
        return state

    def signals(self, state: State) -> dict[str, Tensor]:
        """Places, edges, outcomes that surprised and goals reached, of every agent: (n, 1) each."""
        return {
            "places": _column(len(mind.cells) for mind in state),
            "edges": _column(len(mind.weight) for mind in state),
            "refutations": _column(mind.wrong for mind in state),
            "successes": _column(mind.successes for mind in state),
        }

    def to_arrays(self, state: State) -> list[dict[str, np.ndarray]]:
        """Whole agents as arrays, one dict each."""
        return [mind.to_arrays() for mind in state]

    def from_arrays(self, agents: list[dict[str, np.ndarray]]) -> State:
        """The state that `to_arrays` wrote down."""
        state = self.initial_state(len(agents))
        for mind, arrays in zip(state, agents, strict=True):
            mind.from_arrays(arrays)
        return state

    @staticmethod
    def positions_and_velocities(observation: Tensor) -> np.ndarray:
        """Positions and velocities (n, 2) from observations (n, 2), or (n, 3) of an angle."""
        numbers = observation.numpy().astype(float)
        if numbers.shape[1] == 2:
            return numbers
        cosine, sine, velocity = numbers.T
        return np.stack([np.arctan2(sine, cosine), velocity], axis=1)


def _column(values: Iterable[int]) -> Tensor:
    """Numbers (n,) as a tensor (n, 1)."""
    return torch.tensor([[float(value)] for value in values])

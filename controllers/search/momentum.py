"""The same search where momentum is what limits.

Places are cells of (position, velocity), edges are held actions (docs/systems/search.md,
"Momentum"). A reconstruction inspired by Baranski & Tani (arXiv 2410.01349); every rule here is this
project's. Where an action leads is not known beforehand, so an edge is (place, pattern, observed
place); a pattern never tried at a place is hoped to lead straight to the goal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
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
NONE = -1
"""place and pattern while no pattern runs"""
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


@dataclass
class _Vertex:
    """The goal, or a place."""

    hope: float
    """steps to the goal, as the crow flies"""
    untried: list[int]
    """patterns never tried here, shortest first"""


@dataclass
class _Edge:
    """One outcome of one pattern at one place."""

    start: int
    """vertex that it leaves"""
    end: int
    """vertex that it leads to, its outcome"""
    pattern: int
    """index in `MomentumMind.patterns`"""
    weight: float
    """in (0, 1]"""


class _FirstEdge(NamedTuple):
    """An edge that begins a path, observed or hoped for."""

    end: int
    """vertex that it leads to"""
    pattern: int
    """index in `MomentumMind.patterns`"""


@dataclass
class _Trial:
    """The pattern that runs; its place and its pattern are `NONE` while none runs."""

    place: int = NONE
    """vertex at which it began"""
    pattern: int = NONE
    """index in `MomentumMind.patterns`"""
    steps_left: int = 0
    """steps that it is still to hold its action"""
    began_at_goal: bool = False
    """whether the agent was at the goal when it began: only then the goal does not end it"""
    expected: int = GOAL
    """vertex that it is meant to lead to"""

    @property
    def runs(self) -> bool:
        """Whether a pattern runs."""
        return self.place != NONE

    def stop(self) -> None:
        """Run no longer. The other fields keep their last values, which are saved but mean nothing."""
        self.place = NONE
        self.pattern = NONE


class _Count(IntEnum):
    """Places in the saved array ``counts``; saved minds are read by them, so that they stay as they are."""

    PLACE = 0
    PATTERN = 1
    STEPS_LEFT = 2
    LIFE = 3
    WRONG = 4
    SUCCESSES = 5
    BEGAN_AT_GOAL = 6
    EXPECTED = 7


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

        # The goal is no place: nothing is ever tried there.
        goal = _Vertex(hope=0.0, untried=[])
        self.vertices: list[_Vertex] = [goal]
        """by number: `GOAL`, then the places in the order in which they were first visited"""
        self.cells: dict[Cell, int] = {}
        """vertex of each place, by its cell"""
        self.edges: list[_Edge] = []
        """in the order in which they were first observed"""
        self.outcomes: dict[tuple[int, int], dict[int, _Edge]] = {}
        """(place, pattern) -> vertex that it led to -> the same edges"""

        self.trial = _Trial()
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
        reaches_goal = is_there and not self.trial.began_at_goal
        if self.trial.runs and (self.trial.steps_left == 0 or reaches_goal):
            self.observe(state)
        if not self.trial.runs:
            self.trial = self._next_trial(state)
        self.trial.steps_left -= 1
        return self.patterns[self.trial.pattern].level

    def _next_trial(self, state: np.ndarray) -> _Trial:
        """The pattern that begins the cheapest path from (position, velocity)."""
        place = self._place(state)
        first_edge = self._plan(place)
        return _Trial(
            place=place,
            pattern=first_edge.pattern,
            steps_left=self.patterns[first_edge.pattern].hold,
            began_at_goal=self.there(state),
            expected=first_edge.end,
        )

    def observe(self, state: np.ndarray) -> None:
        """The pattern that ran has led to (position, velocity).

        Hebb on this outcome, anti-Hebb on those that did not come about.
        """
        if not self.trial.runs:
            return
        place = self.trial.place
        pattern = self.trial.pattern
        reached = GOAL if self.there(state) else self._place(state)
        outcomes = self.outcomes.setdefault((place, pattern), {})
        if reached not in outcomes:
            self._add_edge(_Edge(start=place, end=reached, pattern=pattern, weight=self.options.w0))
        for outcome, edge in outcomes.items():
            if outcome == reached:
                edge.weight += self.options.eta_p * (1 - edge.weight)
            else:
                edge.weight = max(edge.weight * (1 - self.options.eta_m), FLOOR)
        untried = self.vertices[place].untried
        if pattern in untried:
            untried.remove(pattern)
        if reached != self.trial.expected:
            self.wrong += 1
        if reached == GOAL:
            self.successes += 1
        self.trial.stop()

    def _add_edge(self, edge: _Edge) -> None:
        """Enter a new edge in `edges` and in `outcomes`."""
        self.edges.append(edge)
        self.outcomes.setdefault((edge.start, edge.pattern), {})[edge.end] = edge

    def _place(self, state: np.ndarray) -> int:
        """Vertex of the place that holds (position, velocity), made where there is none."""
        scaled = state / self.options.cell - self.offset
        cell = (round(float(scaled[0])), round(float(scaled[1])))
        if cell not in self.cells:
            self.cells[cell] = len(self.vertices)
            outside = np.abs(state - self.options.goal) - self.options.tolerance
            cells_away = float(np.hypot(*np.maximum(outside / self.options.cell, 0.0)))
            hope = self.options.optimism * cells_away
            self.vertices.append(_Vertex(hope=hope, untried=self._shortest_first()))
        return self.cells[cell]

    def _shortest_first(self) -> list[int]:
        """All patterns, the shortest first."""
        return sorted(range(len(self.patterns)), key=lambda pattern: self.patterns[pattern].hold)

    def _plan(self, place: int) -> _FirstEdge:
        """The edge that begins the cheapest path from `place`.

        An observed edge costs the steps of its pattern over its weight. Of the patterns that were
        never tried at a place the shortest one is an edge straight to the goal.
        """
        hold = np.array([pattern.hold for pattern in self.patterns])
        hope = np.array([vertex.hope for vertex in self.vertices])
        tried_pattern = np.array([edge.pattern for edge in self.edges], int)
        tried_cost = hold[tried_pattern] / np.array([edge.weight for edge in self.edges], float)

        hopeful = np.array(
            [number for number, vertex in enumerate(self.vertices) if vertex.untried], int
        )
        hopeful_pattern = np.array([self.vertices[number].untried[0] for number in hopeful], int)
        hopeful_cost = (hold[hopeful_pattern] + hope[hopeful]) / self.options.w0

        tried_start = np.array([edge.start for edge in self.edges], int)
        tried_end = np.array([edge.end for edge in self.edges], int)
        # The edges that were tried come first: of equal costs `argmin` takes the first.
        start = np.concatenate([tried_start, hopeful])
        end = np.concatenate([tried_end, np.full(len(hopeful), GOAL)])
        pattern = np.concatenate([tried_pattern, hopeful_pattern])
        cost = np.concatenate([tried_cost, hopeful_cost])

        cost_to_go = _costs_to_goal(start, end, cost, vertices=len(self.vertices))
        from_here = np.flatnonzero(start == place)
        total = cost[from_here] + cost_to_go[end[from_here]]
        choice = from_here[np.argmin(total)]
        return _FirstEdge(end=int(end[choice]), pattern=int(pattern[choice]))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The whole mind as arrays, for v vertices, e edges and p patterns.

        Returns:
            ``cells`` (v - 1, 2), lattice coordinates of the places; ``hope`` (v,); ``untried`` (v, p); ``edges``
            (3, e), rows of starts, ends and patterns; ``weight`` (e,); ``counts``, see `_Count`.
        """
        is_untried = np.zeros((len(self.vertices), len(self.patterns)), bool)
        for number, vertex in enumerate(self.vertices):
            is_untried[number, vertex.untried] = True
        counts = np.zeros(len(_Count), np.int64)
        counts[_Count.PLACE] = self.trial.place
        counts[_Count.PATTERN] = self.trial.pattern
        counts[_Count.STEPS_LEFT] = self.trial.steps_left
        counts[_Count.LIFE] = self.life
        counts[_Count.WRONG] = self.wrong
        counts[_Count.SUCCESSES] = self.successes
        counts[_Count.BEGAN_AT_GOAL] = self.trial.began_at_goal
        counts[_Count.EXPECTED] = self.trial.expected
        edge_rows = [
            [edge.start for edge in self.edges],
            [edge.end for edge in self.edges],
            [edge.pattern for edge in self.edges],
        ]
        return {
            "cells": np.array(list(self.cells), np.int64).reshape(-1, 2),
            "hope": np.array([vertex.hope for vertex in self.vertices]),
            "untried": is_untried,
            "edges": np.array(edge_rows, np.int64),
            "weight": np.array([edge.weight for edge in self.edges], float),
            "counts": counts,
        }

    def from_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Become the mind that `to_arrays` wrote down."""
        first_place = GOAL + 1
        cells = enumerate(arrays["cells"].tolist(), first_place)
        self.cells = {(i, j): vertex for vertex, (i, j) in cells}
        shortest_first = self._shortest_first()
        self.vertices = []
        for hope, is_untried in zip(arrays["hope"].tolist(), arrays["untried"], strict=True):
            untried = [pattern for pattern in shortest_first if is_untried[pattern]]
            self.vertices.append(_Vertex(hope=hope, untried=untried))

        starts, ends, patterns = arrays["edges"].tolist()
        weights = arrays["weight"].tolist()
        self.edges = []
        self.outcomes = {}
        for start, end, pattern, weight in zip(starts, ends, patterns, weights, strict=True):
            self._add_edge(_Edge(start=start, end=end, pattern=pattern, weight=weight))

        counts = arrays["counts"].tolist()
        self.life = counts[_Count.LIFE]
        self.wrong = counts[_Count.WRONG]
        self.successes = counts[_Count.SUCCESSES]
        self.trial = _Trial(
            place=counts[_Count.PLACE],
            pattern=counts[_Count.PATTERN],
            steps_left=counts[_Count.STEPS_LEFT],
            began_at_goal=bool(counts[_Count.BEGAN_AT_GOAL]),
            expected=counts[_Count.EXPECTED],
        )


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
        """Actions (n, 1), and `state`: the same list of the same minds, which have lived a step more.

        Agent by agent, as every mind has a graph of its own size; a plan is compiled code anyway.
        """
        states = self.positions_and_velocities(observation)
        is_finite = np.isfinite(states).all(1)
        if not is_finite.all():
            agent = int(np.flatnonzero(~is_finite)[0])
            raise LanceletError(f"observation of agent {agent}: {states[agent]}: must be finite")
        actions = []
        for mind, position_and_velocity in zip(state, states, strict=True):
            level = mind.act(position_and_velocity)
            actions.append([self._middle + self._half_range * level])
        return torch.tensor(actions, dtype=torch.get_default_dtype()), state

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
            mind.trial.stop()
        return state

    def signals(self, state: State) -> dict[str, Tensor]:
        """Places, edges, outcomes that surprised and goals reached, of every agent: (n, 1) each."""
        return {
            "places": _column(len(mind.cells) for mind in state),
            "edges": _column(len(mind.edges) for mind in state),
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

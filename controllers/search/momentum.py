"""The same search where momentum is what limits: places of (position, velocity), edges that are held actions.

A reconstruction inspired by Baranski & Tani (arXiv 2410.01349); every rule here is this project's. Where an action
leads is not known beforehand, so an edge is (place, pattern, observed place); a pattern never tried at a place is hoped
to lead straight to the goal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from torch import Tensor

from ...errors import LanceletError
from ..core import Controller, Options, State
from .graph import FLOOR

Cell = tuple[int, int]
GOAL = 0
"""vertex of the goal; places count from 1"""
PENDULUM = {
    "goal": (0.0, 0.0), "tolerance": (0.35, 1.5), "cell": (0.35, 1.0), "holds": (2, 4, 8), "actions": (-1.0, 0.0, 1.0),
}  # fmt: skip
"""options for Gymnasium's pendulum, upright in rad and rad/s; the defaults are for its continuous mountain car"""


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
    """share that the outcomes that did not come about lose; less than on a lattice, as cells alias outcomes"""
    optimism: float = 1.0
    """steps a cell that an untried pattern is thought to need to the goal"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("goal", "tolerance", "cell"):
            if len(getattr(self, name)) != 2:
                raise LanceletError(
                    f"{name} = {getattr(self, name)}: needs two numbers, position and velocity"
                )
        if min(self.cell) <= 0 or min(self.tolerance) <= 0:
            raise LanceletError(
                f"cell = {self.cell}, tolerance = {self.tolerance}: must be above 0"
            )
        if not self.holds or min(self.holds) < 1 or not self.actions:
            raise LanceletError(
                f"holds = {self.holds}, actions = {self.actions}: need at least one, of 1 step or more"
            )
        if not (0 < self.w0 <= 1 and 0 < self.eta_p <= 1 and 0 <= self.eta_m < 1):
            raise LanceletError(
                f"w0 = {self.w0}, eta_p = {self.eta_p}, eta_m = {self.eta_m}: must lie within 0 .. 1"
            )


class MomentumMind:
    """Graph of one agent: outcomes of patterns at places, and the pattern that runs."""

    def __init__(self, options: MomentumOptions, agent: int) -> None:
        self.options = options
        self.offset = np.random.default_rng([options.seed, agent]).uniform(0.0, 1.0, 2)
        self.patterns = [(hold, level) for hold in options.holds for level in options.actions]
        self.cells: dict[Cell, int] = {}
        self.untried: list[list[int]] = [[]]
        """of each vertex: patterns never tried there, shortest first"""
        self.hope: list[float] = [0.0]
        """of each vertex: steps to the goal, as the crow flies"""
        self.edges: dict[tuple[int, int], dict[int, int]] = {}
        """(place, pattern) -> number of the edge to each outcome"""
        self.start: list[int] = []
        self.end: list[int] = []
        self.pattern: list[int] = []
        self.weight: list[float] = []
        """of each edge"""
        self.running: tuple[int, int] | None = None
        self.left = self.life = self.wrong = self.successes = 0
        """steps left of the pattern; steps lived; outcomes that were not the expected one; goals reached"""
        self.inside = False
        """whether the pattern began at the goal"""
        self.expected = GOAL

    def there(self, state: np.ndarray) -> bool:
        """Whether (position, velocity) is at the goal."""
        return bool((np.abs(state - self.options.goal) <= self.options.tolerance).all())

    def act(self, state: np.ndarray) -> float:
        """Level of the action at (position, velocity)."""
        self.life += 1
        here = self.there(state)
        if self.running is not None and (self.left == 0 or (here and not self.inside)):
            self.observe(state)
        if self.running is None:
            place = self._place(state)
            self.expected, pattern = self._plan(place)
            self.running, self.left, self.inside = (place, pattern), self.patterns[pattern][0], here
        self.left -= 1
        return self.patterns[self.running[1]][1]

    def observe(self, state: np.ndarray) -> None:
        """Hebb on the outcome of the pattern that ran, anti-Hebb on the outcomes that did not come about."""
        if self.running is None:
            return
        place, pattern = self.running
        reached = GOAL if self.there(state) else self._place(state)
        outcomes = self.edges.setdefault(self.running, {})
        if reached not in outcomes:
            outcomes[reached] = len(self.weight)
            self.start.append(place)
            self.end.append(reached)
            self.pattern.append(pattern)
            self.weight.append(self.options.w0)
        for outcome, edge in outcomes.items():
            if outcome == reached:
                self.weight[edge] += self.options.eta_p * (1 - self.weight[edge])
            else:
                self.weight[edge] = max(self.weight[edge] * (1 - self.options.eta_m), FLOOR)
        if pattern in self.untried[place]:
            self.untried[place].remove(pattern)
        self.wrong += int(reached != self.expected)
        self.successes += int(reached == GOAL)
        self.running = None

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything in it."""
        untried = np.zeros((len(self.hope), len(self.patterns)), bool)
        for vertex, left in enumerate(self.untried):
            untried[vertex, left] = True
        running = (-1, -1) if self.running is None else self.running
        counts = [
            *running,
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
            "untried": untried,
            "edges": np.array([self.start, self.end, self.pattern], np.int64),
            "weight": np.array(self.weight, float),
            "counts": np.array(counts, np.int64),
        }

    def from_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Become the mind that `to_arrays` took down."""
        self.cells = {(i, j): number for number, (i, j) in enumerate(arrays["cells"].tolist(), 1)}
        self.hope, self.weight = arrays["hope"].tolist(), arrays["weight"].tolist()
        shortest = self._shortest_first()
        self.untried = [[p for p in shortest if row[p]] for row in arrays["untried"]]
        self.start, self.end, self.pattern = arrays["edges"].tolist()
        self.edges = {}
        for edge, (start, end, pattern) in enumerate(
            zip(self.start, self.end, self.pattern, strict=True)
        ):
            self.edges.setdefault((start, pattern), {})[end] = edge
        place, pattern, self.left, self.life, self.wrong, self.successes, inside, self.expected = (
            arrays["counts"].tolist()
        )
        self.running, self.inside = None if place < 0 else (place, pattern), bool(inside)

    def _shortest_first(self) -> list[int]:
        return sorted(range(len(self.patterns)), key=lambda pattern: self.patterns[pattern][0])

    def _place(self, state: np.ndarray) -> int:
        scaled = state / self.options.cell - self.offset
        cell = (round(float(scaled[0])), round(float(scaled[1])))
        if cell not in self.cells:
            self.cells[cell] = len(self.hope)
            away = np.abs(state - self.options.goal) - self.options.tolerance
            self.hope.append(
                self.options.optimism * float(np.hypot(*np.maximum(away / self.options.cell, 0.0)))
            )
            self.untried.append(self._shortest_first())
        return self.cells[cell]

    def _plan(self, place: int) -> tuple[int, int]:
        """The outcome and the pattern that begin the cheapest path from `place`."""
        hold = np.array([hold for hold, _ in self.patterns])
        fresh = np.array([vertex for vertex, untried in enumerate(self.untried) if untried], int)
        first = np.array([self.untried[vertex][0] for vertex in fresh], int)
        start = np.concatenate([np.array(self.start, int), fresh])
        end = np.concatenate([np.array(self.end, int), np.full(len(fresh), GOAL)])
        pattern = np.concatenate([np.array(self.pattern, int), first])
        tried = hold[self.pattern] / np.array(self.weight) if self.weight else np.zeros(0)
        cost = np.concatenate([tried, (hold[first] + np.array(self.hope)[fresh]) / self.options.w0])
        n, order = len(self.hope), np.argsort(cost, kind="stable")
        key, cheapest = np.unique((end * n + start)[order], return_index=True)
        backward = csr_matrix((cost[order][cheapest], (key // n, key % n)), shape=(n, n))
        away = dijkstra(backward, indices=GOAL)
        mine = np.flatnonzero(start == place)
        choice = mine[np.argmin(cost[mine] + away[end[mine]])]
        return int(end[choice]), int(pattern[choice])


class MomentumSearch(Controller):
    """Systematic search over (position, velocity): mountain car, pendulum; no training before, no model.

    Observation (n, 2): position, velocity; or (n, 3): cosine and sine of an angle, and its velocity, where position
    is the angle in rad. Action (n, 1) within its Box. State: one mind an agent, a list, changed in place.

    Raises:
        LanceletError: other spaces; an observation that is not finite.
    """

    Options: ClassVar[type[Options]] = MomentumOptions
    pure = False

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Space, options: Any
    ) -> None:
        super().__init__(observation_space, action_space, options)
        if not isinstance(observation_space, spaces.Box) or observation_space.shape not in (
            (2,),
            (3,),
        ):
            need = "(position, velocity) or (cos, sin, velocity)"
            raise LanceletError(
                f"MomentumSearch cannot read observation space {observation_space}: needs {need}"
            )
        if (
            not isinstance(action_space, spaces.Box)
            or action_space.shape != (1,)
            or not action_space.is_bounded()
        ):
            raise LanceletError(
                f"MomentumSearch cannot act in {action_space}: needs a bounded Box of 1 number"
            )
        self._middle = float(action_space.high[0] + action_space.low[0]) / 2
        self._half = float(action_space.high[0] - action_space.low[0]) / 2

    def initial_state(self, batch: int) -> State:
        """Newborn minds."""
        return [MomentumMind(self.options, agent) for agent in range(batch)]

    def reset(self, state: State, mask: Tensor) -> State:
        """`state` with newborn minds where `mask` is True."""
        return [MomentumMind(self.options, i) if mask[i] else mind for i, mind in enumerate(state)]

    def forward(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Actions (n, 1), and `state`, changed in place."""
        seen = self._seen(observation)
        if not np.isfinite(seen).all():
            row = int(np.flatnonzero(~np.isfinite(seen).all(1))[0])
            raise LanceletError(f"observation of agent {row}: {seen[row]}: must be finite")
        levels = [mind.act(row) for mind, row in zip(state, seen, strict=True)]
        return torch.tensor([[self._middle + self._half * level] for level in levels]), state

    def learn(
        self,
        observation: Any,
        action: Tensor,
        reward: Tensor,
        ended: Tensor,
        next_observation: Any,
        state: State,
    ) -> State:
        """Take in an episode's last step: the outcome at the goal; a pattern that was cut short teaches nothing."""
        seen = self._seen(next_observation)
        for row in np.flatnonzero(ended.numpy()):
            if state[row].there(seen[row]):
                state[row].observe(seen[row])
            state[row].running = None
        return state

    def signals(self, state: State) -> dict[str, Tensor]:
        """Of every agent (n, 1): places, edges, outcomes that surprised, goals reached."""
        rows = [(len(m.cells), len(m.weight), m.wrong, m.successes) for m in state]
        names = ("places", "edges", "refutations", "successes")
        return {
            name: torch.tensor([[float(row[k])] for row in rows]) for k, name in enumerate(names)
        }

    def to_arrays(self, state: State) -> list[dict[str, np.ndarray]]:
        """Whole agents as arrays, one dict each."""
        return [mind.to_arrays() for mind in state]

    def from_arrays(self, agents: list[dict[str, np.ndarray]]) -> State:
        """The state that `to_arrays` took down."""
        state = self.initial_state(len(agents))
        for mind, arrays in zip(state, agents, strict=True):
            mind.from_arrays(arrays)
        return state

    @staticmethod
    def _seen(observation: Tensor) -> np.ndarray:
        seen = observation.numpy().astype(float)
        return (
            seen
            if seen.shape[1] == 2
            else np.stack([np.arctan2(seen[:, 1], seen[:, 0]), seen[:, 2]], axis=1)
        )

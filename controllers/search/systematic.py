"""Behaviour as systematic search over a self-modifying cognitive graph: navigation without training and without a map.

A reconstruction inspired by A. Baranski, J. Tani, "Life, uh, Finds a Way: Systematic Neural Search" (arXiv 2410.01349),
whose own rules may differ in every line: the paper's equations could not be read, and no number here is the paper's.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from ...errors import LanceletError
from ..core import Options
from .graph import HEADINGS, STEPS, WITHIN, Graph, advance, edge_between
from .mind import TRAIL, Mind, Target
from .navigator import TUNED_INTERVAL, Navigator, NavigatorOptions
from .paths import Path, a_star, wavefront
from .place_code import HarmonicCode

Cell = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class SearchOptions(NavigatorOptions):
    """Options of the search; the defaults are this project's."""

    w0: float = 0.3
    """weight of an edge never tried, in (0, 1]: 0.7 is curious, 0.3 soon content"""
    eta_p: float = 0.5
    """share of the way to 1 by which a success strengthens its edge"""
    eta_m: float = 0.97
    """share of its weight that a stalled edge loses"""
    beta: float = 1.0
    """an edge costs its length over ``w ** beta``"""
    replay: float = 0.5
    """share of the way to 1 by which success strengthens the route that led to it, its loops left out"""
    spread: float = 0.7
    """share of eta_m that edges alike lose beside a stalled one; 0: no spread"""
    spread_width: float = 0.35
    """sigma of the spread's kernel, in lattice constants"""
    spread_cosine: float = 0.6
    """least cosine to the stalled heading of an edge that is alike"""
    spread_threshold: float = 0.3
    """theta_S, similarity below which there is no spread; must lie above the code's crosstalk, 0.12 at 256 modules"""
    spread_hits: int = 4
    """spread events that can lower one edge within a search; finitely many, for completeness"""
    boundary: float = 0.2
    """m ahead of a stall at which the obstacle is taken to be"""
    least_spacing: float = 0.13
    """m, below which the lattice is not refined: then the search is re-armed"""
    forgetting: float = 0.0
    """rho, drift of all weights to w0 each 0.01 s, applied at events; 1e-4 for drifting worlds"""
    planner: Literal["astar", "wavefront"] = "astar"
    """the same paths by A* or by the neural wavefront"""
    budget: int = 100_000
    """steps of 0.01 s of one search, resets included; then it says what it refuted and rests until the goal moves"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("w0", "eta_p"):
            if not 0 < getattr(self, name) <= 1:
                raise LanceletError(
                    f"{name} = {getattr(self, name)}: must be above 0 and at most 1"
                )
        for name in ("eta_m", "replay", "spread", "forgetting", "spread_threshold"):
            if not 0 <= getattr(self, name) < 1:
                raise LanceletError(
                    f"{name} = {getattr(self, name)}: must be 0 or more and below 1"
                )
        for name in ("beta", "spread_width", "least_spacing"):
            if not getattr(self, name) > 0:
                raise LanceletError(f"{name} = {getattr(self, name)}: must be above 0")
        if self.budget < 1:
            raise LanceletError(f"budget = {self.budget}: must be 1 or more")


class SearchMind(Mind):
    """The regulated loop of proposals and Hebbian change, told of events alone; its graph lives on through trials.

    Args:
        options: of the search.
        agent: number in its batch.
        code: harmonic place code, of which the spread's kernel is read.
        off: lesioned parts.
    """

    def __init__(
        self, options: SearchOptions, agent: int, code: HarmonicCode, off: frozenset[str]
    ) -> None:
        super().__init__(options, agent)
        self.code, self.off = code, off
        self.offset = self.rng.uniform(0.0, options.spacing, 2)
        self.level = self.rearmed = self.refutations = 0
        """refinements of the lattice; times that the search began anew; edges found refuted, at any level"""
        self.graph = self._lattice()
        self.edge: tuple[Cell, int] | None = None
        """being run: place, and index of `STEPS`"""
        self.path: list[int] = []
        """edges that follow it"""
        self.route: list[tuple[Cell, int]] = []
        """edges done in this trial"""
        self.point, self.goal = np.zeros(2), np.full(2, np.nan)
        """what it drives to; the goal of the search that runs, m"""
        self.boundary: list[np.ndarray] = []
        """one unit a stall: its point and heading (4,)"""
        self.trail: dict[tuple[int, ...], np.ndarray] = {}
        """stretches lived, start and end (4,) m, latest last"""
        self.since, self.drifted, self.gave_up = 0, 0, False
        """life at the search's start; life up to which weights have drifted; its budget is spent"""

    def begin(self, x: np.ndarray) -> None:
        """A trial begins, or the goal has moved: the behaviour is dropped, the graph is kept."""
        self.edge, self.path, self.route = None, [], []

    def arrived(self, x: np.ndarray) -> None:
        """Hebb on the edge that was run, and on its reverse a little less."""
        if self.edge is None:
            return
        self._potentiate(*self.edge, self.options.eta_p)
        self.route.append(self.edge)
        self.edge = (advance(*self.edge), self.path.pop(0)) if self.path else None

    def succeeded(self) -> None:
        """The edge led to the goal; the route is replayed, and the search is over."""
        self.arrived(self.point)
        if self.options.replay > 0 and "replay" not in self.off:
            for start, edge in _without_loops(self.route):
                self._potentiate(start, edge, self.options.replay)
        self.begin(self.point)
        self._search_over()

    def lived(self, start: np.ndarray, end: np.ndarray) -> None:
        """Keep the stretch, once for each pair of places a trail's spacing wide."""
        key = tuple(round(float(value) / TRAIL) for value in (*start, *end))
        self.trail.pop(key, None)
        self.trail[key] = np.concatenate([start, end])

    def stalled(self, x: np.ndarray) -> None:
        """Anti-Hebb on the edge that failed, graded on edges alike nearby, and from where the agent stands now."""
        super().stalled(x)
        if self.edge is None:
            return
        (start, edge), self.edge, self.path = self.edge, None, []
        away = self.point - x
        distance = float(np.hypot(*away))
        heading = away / distance if distance > 1e-6 else HEADINGS[edge % WITHIN]
        self._depress(start, edge)
        end = advance(start, edge)
        here = self.graph.cell(x)
        if edge != WITHIN and here != start and here != end:
            from_here = edge_between(here, end)
            if from_here is not None:
                self._blame(x, here, from_here)
        self.boundary.append(np.concatenate([x, heading]))
        self._spread(x, heading, (start, edge))

    def propose(self, x: np.ndarray, goal: np.ndarray) -> Target | None:
        """The next edge of the behaviour, or the first of the cheapest path from where the agent is."""
        if not np.array_equal(goal, self.goal):
            self._search_over()
            self.goal = goal.copy()
        if self.options.forgetting > 0:
            steps = self._tuned_steps(self.life - self.drifted)
            self.graph.forget(1.0 - (1.0 - self.options.forgetting) ** steps)
        self.drifted = self.life
        if self._tuned_steps(self.life - self.since) > self.options.budget:
            self._give_up()
            return None
        if self.edge is None:
            path = self._plan(x)
            self.edge, self.path = (path.start, path.edges[0]), path.edges[1:]
        return self._target()

    def _target(self) -> Target:
        assert self.edge is not None
        options, spacing, long = self.options, self.graph.spacing, 1 << self.rearmed
        place = self.graph.centre(advance(*self.edge))
        near = len(self.path) == 1 and np.hypot(*(place - self.goal)) <= 0.75 * spacing
        direct = not self.path or (near and self.graph.stall_count(*self.edge) == 0)
        self.point = self.goal if direct else place
        limit = options.edge_steps * long
        return Target(
            self.point, 0.0 if direct else options.arrival * spacing, limit, options.patience * long
        )

    def _plan(self, x: np.ndarray) -> Path:
        planner = wavefront if self.options.planner == "wavefront" else a_star
        for _ in range(
            64
        ):  # levels are few; without depression (a lesion) the test would hold for ever
            path = planner(
                self.graph, self.graph.cell(x), self.graph.cell(self.goal), self.options.beta
            )
            if (
                path.weakest >= self.options.w0 * (1 - self._eta_m) ** 2 * (1 + 1e-6)
                or "refinement" in self.off
            ):
                break
            if self.graph.spacing / 2 >= self.options.least_spacing:
                self._refine()
            elif self._eta_m > 0:
                self._rearm()
            else:
                break
        return path  # pyright: ignore[reportPossiblyUnboundVariable]

    def _refine(self) -> None:
        """Half the lattice constant; what was lived is replayed on the new graph: successes, then boundaries."""
        self.level, self.route = self.level + 1, []
        self.graph = self._lattice()
        for stretch in self.trail.values():
            start = self.graph.cell(stretch[:2])
            edge = edge_between(start, self.graph.cell(stretch[2:]))
            if edge is not None:
                self._potentiate(start, edge, self.options.eta_p)
        for unit in self.boundary:
            self._spread(unit[:2], unit[2:], None)

    def _rearm(self) -> None:
        """Forget all weights and try again from the coarse lattice, with more patience and no spread."""
        self.level, self.rearmed, self.route = 0, self.rearmed + 1, []
        self.graph = self._lattice()

    def _lattice(self) -> Graph:
        return Graph(self.options.spacing / 2**self.level, self.offset, self.options.w0)

    def _tuned_steps(self, control_steps: int) -> float:
        """As many steps of `TUNED_INTERVAL`, in which the options count, as take the time of `control_steps`."""
        return control_steps * (self.options.interval / TUNED_INTERVAL)

    @property
    def _eta_m(self) -> float:
        return 0.0 if "depression" in self.off else self.options.eta_m

    def _potentiate(self, start: Cell, edge: int, eta: float) -> None:
        self.graph.strengthen(start, edge, eta, self._eta_m)
        if edge != WITHIN:
            self.graph.strengthen(advance(start, edge), (edge + 4) % WITHIN, 0.8 * eta, self._eta_m)

    def _depress(self, start: Cell, edge: int) -> None:
        before = self.graph.value(start, edge)
        self.graph.depress(start, edge, self._eta_m)
        refuted = self.options.w0 * (1 - self._eta_m) * (1 + 1e-6)
        self.refutations += int(before > refuted >= self.graph.value(start, edge))

    def _blame(self, x: np.ndarray, here: Cell, edge: int) -> None:
        """The edge from where it stands, never set out on: fully in the middle of its place, else as one alike."""
        options = self.options
        if np.hypot(*(self.graph.centre(here) - x)) < options.arrival * self.graph.spacing:
            self._depress(here, edge)
        else:
            self.graph.weaken(here, edge, 1.0 - options.spread * self._eta_m, options.spread_hits)

    def _spread(self, x: np.ndarray, heading: np.ndarray, stalled: tuple[Cell, int] | None) -> None:
        options, eta = self.options, self.options.spread * self._eta_m
        if eta == 0 or self.rearmed or "spread" in self.off:
            return
        sigma = options.spread_width * self.graph.spacing
        obstacle = x + options.boundary * heading
        cells, edges, points = self.graph.near(obstacle, heading, options.spread_cosine, 2 * sigma)
        alike = self.code.similarity(points, obstacle, sigma).max(1)
        for cell, edge, kernel in zip(cells.tolist(), edges.tolist(), alike.tolist(), strict=True):
            if kernel > options.spread_threshold and ((cell[0], cell[1]), edge) != stalled:
                self.graph.weaken(
                    (cell[0], cell[1]), edge, 1.0 - min(kernel, 1.0) * eta, options.spread_hits
                )

    def _search_over(self) -> None:
        self.graph.settle()
        self.since, self.gave_up = self.life, False

    def _give_up(self) -> None:
        if not self.gave_up:
            told, self.gave_up = self.report(), True
            x, y = self.goal
            found = f"{len(told['refuted'])} edges refuted at a spacing of {self.graph.spacing:g} m"
            more = f"{self.rearmed} times re-armed, {self.stalls} stalls in its life"
            warnings.warn(f"search: no way to ({x:.2f}, {y:.2f}) in {self.options.budget} steps; {found}, {more}",
                          RuntimeWarning, stacklevel=2)  # fmt: skip

    def report(self) -> dict[str, Any]:
        """What it has found out: the goal, whether it gave up, and the edges it holds for refuted.

        Returns:
            ``goal`` (2,) m, ``gave_up``, ``steps`` of this search, ``level``, ``spacing`` m, ``rearmed``, ``stalls``,
            ``refuted`` (e, 4): start and end of edges, m.
        """
        graph, refuted = self.graph, self.options.w0 * (1 - self._eta_m) * (1 + 1e-6)
        rows, edges = np.nonzero(
            graph.weight[: graph.count] <= (refuted if self._eta_m > 0 else 0.0)
        )
        start = graph.offset + graph.spacing * graph.cells[rows]
        return {
            "goal": self.goal.copy(), "gave_up": self.gave_up, "steps": self.life - self.since, "level": self.level,
            "spacing": graph.spacing, "rearmed": self.rearmed, "stalls": self.stalls,
            "refuted": np.concatenate([start, start + graph.spacing * STEPS[edges]], axis=1),
        }  # fmt: skip

    def signals(self) -> dict[str, float]:
        """Size and state of the graph."""
        graph = self.graph
        weight = graph.weight[: graph.count]
        known = weight[weight != graph.w0]
        return {
            "places": graph.count, "edges": len(known), "level": self.level, "stalls": self.stalls,
            "refutations": self.refutations, "rearmed": self.rearmed, "gave_up": self.gave_up,
            "mean_weight": float(known.mean()) if len(known) else graph.w0,
        }  # fmt: skip

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything in it."""
        edge = [-1] * 3 if self.edge is None else [*self.edge[0], self.edge[1]]
        counts = [
            self.level,
            self.rearmed,
            self.refutations,
            self.since,
            self.drifted,
            self.gave_up,
        ]
        return {
            **super().to_arrays(),
            **{f"graph.{name}": value for name, value in self.graph.to_arrays().items()},
            "counts": np.array(counts, np.int64),
            "running": np.array([self.edge is not None, *edge], np.int64),
            "path": np.array(self.path, np.int64),
            "route": np.array([(*start, edge) for start, edge in self.route], np.int64).reshape(
                -1, 3
            ),
            "places": np.stack([self.offset, self.point, self.goal]),
            "boundary": np.array(self.boundary, float).reshape(-1, 4),
            "trail": np.array(list(self.trail.values()), float).reshape(-1, 4),
        }

    def from_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Become the mind that `to_arrays` took down."""
        super().from_arrays(arrays)
        self.graph = Graph.from_arrays(
            {k[6:]: v for k, v in arrays.items() if k.startswith("graph.")}
        )
        self.level, self.rearmed, self.refutations, self.since, self.drifted, gave_up = arrays[
            "counts"
        ].tolist()
        self.gave_up = bool(gave_up)
        runs, i, j, edge = arrays["running"].tolist()
        self.edge, self.path = ((i, j), edge) if runs else None, arrays["path"].tolist()
        self.route = [((i, j), edge) for i, j, edge in arrays["route"].tolist()]
        self.offset, self.point, self.goal = arrays["places"].copy()
        self.boundary, self.trail = list(arrays["boundary"].copy()), {}
        for stretch in arrays["trail"]:
            self.lived(stretch[:2], stretch[2:])


def _without_loops(route: list[tuple[Cell, int]]) -> list[tuple[Cell, int]]:
    """The stretches of a route that were not undone by coming back to the same place."""
    last = {start: number for number, (start, _) in enumerate(route)}
    kept, number = [], 0
    while number < len(route):
        number = last[route[number][0]]
        kept.append(route[number])
        number += 1
    return kept


class Search(Navigator):
    """Systematic search: always a way to any goal that can be reached, with no training and no map.

    Propose the cheapest path over the graph; run it edge by edge; what is reached is strengthened, what is not is
    weakened, and so the next proposal is another one. When only refuted paths are left the lattice is refined; at
    its least spacing the search is re-armed. Worlds with states of no return are out of its reach, as of any search
    that learns by doing.

    Parts to lesion: ``spread``, ``refinement``, ``replay``, ``depression`` (without which it tries the same for ever).
    """

    Options: ClassVar[type[Options]] = SearchOptions

    def parts(self) -> list[str]:
        """Mechanisms that can be left out."""
        return ["spread", "refinement", "replay", "depression"]

    def born(self, agent: int) -> SearchMind:
        """A mind with an empty graph, its lattice offset drawn."""
        return SearchMind(self.options, agent, self.code, frozenset(self.options.lesions))

    def report(self, state: Any, agent: int = 0) -> dict[str, Any]:
        """What agent number `agent` has found out; see `SearchMind.report`."""
        return state[1][agent].report()

"""Behaviour as systematic search over a self-modifying cognitive graph.

It navigates without training and without a map (docs/systems/search.md, "The loop"). A
reconstruction inspired by A. Baranski, J. Tani, "Life, uh, Finds a Way: Systematic Neural Search"
(arXiv 2410.01349), whose own rules may differ in every line: the paper's equations could not be
read, and no number here is the paper's.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from ...checks import finite_number, whole_number
from ..core import Options
from .graph import HEADINGS, STEPS, WITHIN, Cell, Graph, advance, edge_between, opposite
from .mind import (
    TRAIL,
    Mind,
    Target,
    edge_from_row,
    edge_to_row,
    graph_from_arrays,
    graph_to_arrays,
)
from .navigator import TUNED_INTERVAL, Navigator, NavigatorOptions
from .paths import Path, a_star, wavefront
from .place_code import HarmonicCode

REVERSE_SHARE = 0.8
"""share of a success by which it strengthens the reverse edge too"""
MOST_REPLANS = 64
"""refinements of a lattice, or new beginnings, within one plan: levels are few, but the test of the
weakest edge must not loop for ever"""
DIRECT_DISTANCE = 0.75
"""lattice constants between a place and the goal in its cell, within which the agent heads for the
goal without a halt at the place"""
ROUNDING = 1 + 1e-6
"""factor on a weight that is compared with a product of other weights"""
TOUCHING = 1e-6
"""m between agent and target below which the direction from one to the other has no meaning"""


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
    """share of the way to 1 by which success strengthens the route that led to it, its loops left
    out"""
    spread: float = 0.7
    """share of eta_m that edges alike lose beside a stalled one; 0: no spread"""
    spread_width: float = 0.35
    """sigma of the spread's kernel, in lattice constants"""
    spread_cosine: float = 0.6
    """least cosine to the stalled heading of an edge that is alike"""
    spread_threshold: float = 0.3
    """theta_S, similarity below which there is no spread; must lie above the code's crosstalk, 0.12
    at 256 modules"""
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
    """steps of 0.01 s of one search, resets included; then it says what it refuted and rests until
    the goal moves"""

    def __post_init__(self) -> None:
        super().__post_init__()
        finite_number("w0", self.w0, above=0, most=1)
        finite_number("eta_p", self.eta_p, above=0, most=1)
        finite_number("eta_m", self.eta_m, least=0, below=1)
        finite_number("replay", self.replay, least=0, below=1)
        finite_number("spread", self.spread, least=0, below=1)
        finite_number("spread_threshold", self.spread_threshold, least=0, below=1)
        finite_number("forgetting", self.forgetting, least=0, below=1)
        finite_number("beta", self.beta, above=0)
        finite_number("spread_width", self.spread_width, above=0)
        finite_number("least_spacing", self.least_spacing, above=0)
        whole_number("budget", self.budget, least=1)


class SearchMind(Mind):
    """The regulated loop of proposals and Hebbian change; its graph lives on through trials.

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
        self.code = code
        self.off = off
        self.offset = self.rng.uniform(0.0, options.spacing, 2)
        """(2,) m, a point of every lattice"""
        self.level = 0
        """refinements of the lattice"""
        self.rearmed = 0
        """times that the search began anew from the coarse lattice"""
        self.refutations = 0
        """edges found refuted, at any level"""
        self.graph = self._lattice()
        self.edge: tuple[Cell, int] | None = None
        """edge that is run: the place that it leaves, and its index in `STEPS`"""
        self.path: list[int] = []
        """edges that follow it"""
        self.route: list[tuple[Cell, int]] = []
        """edges that were run in this trial"""
        self.point = np.zeros(2)
        """(2,) m, what the agent drives to"""
        self.goal = np.full(2, np.nan)
        """(2,) m, goal of the search that runs; not a number before the first one"""
        self.boundary: list[np.ndarray] = []
        """one unit a stall: its point (m) and its heading, (4,)"""
        self.trail: dict[tuple[int, ...], np.ndarray] = {}
        """stretches lived, start and end (4,) m, latest last"""
        self.since = 0
        """steps lived when the search began"""
        self.drifted = 0
        """steps lived up to which weights have drifted"""
        self.gave_up = False
        """whether the budget of this search is spent"""

    # -- events -----------------------------------------------------------------------------------

    def begin(self, x: np.ndarray) -> None:
        """A trial begins, or the goal has moved: the behaviour is dropped, the graph is kept."""
        self._drop_behaviour()
        self.route = []

    def arrived(self, x: np.ndarray) -> None:
        """Hebb on the edge that was run, and on its reverse a little less; the next edge follows."""
        if self.edge is None:
            return
        start, edge = self.edge
        self._potentiate(start, edge, self.options.eta_p)
        self.route.append(self.edge)
        if self.path:
            self.edge = (advance(start, edge), self.path.pop(0))
        else:
            self.edge = None

    def succeeded(self) -> None:
        """The edge led to the goal; the route is replayed, and the search is over."""
        self.arrived(self.point)
        if self.options.replay > 0 and "replay" not in self.off:
            for start, edge in _without_loops(self.route):
                self._potentiate(start, edge, self.options.replay)
        self.begin(self.point)
        self._end_search()

    def lived(self, start: np.ndarray, end: np.ndarray) -> None:
        """Keep the stretch, once for each pair of places a trail's spacing wide."""
        key = tuple(round(float(value) / TRAIL) for value in (*start, *end))
        # Taken out first, so that it stands last: refinement replays stretches in their order.
        self.trail.pop(key, None)
        self.trail[key] = np.concatenate([start, end])

    def stalled(self, x: np.ndarray) -> None:
        """Anti-Hebb on the edge that failed, on edges alike nearby, and from where the agent is."""
        super().stalled(x)
        if self.edge is None:
            return
        start, edge = self.edge
        self._drop_behaviour()
        heading = self._heading_from(x, edge)
        self._depress(start, edge)
        end = advance(start, edge)
        here = self.graph.cell(x)
        # The agent may have strayed: then the edge from where it is to the same end failed too.
        if edge != WITHIN and here not in (start, end):
            edge_from_here = edge_between(here, end)
            if edge_from_here is not None:
                self._blame(x, here, edge_from_here)
        self.boundary.append(np.concatenate([x, heading]))
        self._spread(x, heading, stalled=(start, edge))

    def _drop_behaviour(self) -> None:
        self.edge = None
        self.path = []

    def _heading_from(self, x: np.ndarray, edge: int) -> np.ndarray:
        """Unit vector (2,) from x to what the agent drives to; where it is there, the edge's own."""
        away = self.point - x
        distance = float(np.hypot(*away))
        if distance > TOUCHING:
            return away / distance
        return HEADINGS[edge % WITHIN]

    # -- proposals --------------------------------------------------------------------------------

    def propose(self, x: np.ndarray, goal: np.ndarray) -> Target | None:
        """The next edge of the behaviour, or the first of the cheapest path from x (2,) m."""
        if not np.array_equal(goal, self.goal):
            self._end_search()
            self.goal = goal.copy()
        self._drift()
        if self._tuned_steps(self.life - self.since) > self.options.budget:
            self._give_up()
            return None
        if self.edge is None:
            path = self._plan(x)
            self.edge = (path.start, path.edges[0])
            self.path = path.edges[1:]
        return self._target(self.edge)

    def _drift(self) -> None:
        """Forget as much as is due since the last event."""
        if self.options.forgetting > 0:
            steps = self._tuned_steps(self.life - self.drifted)
            self.graph.forget(1.0 - (1.0 - self.options.forgetting) ** steps)
        self.drifted = self.life

    def _target(self, edge: tuple[Cell, int]) -> Target:
        """What to drive to so as to run an edge: the place that it leads to, or the goal itself."""
        options = self.options
        spacing = self.graph.spacing
        start, index = edge
        place = self.graph.centre(advance(start, index))
        is_last = not self.path
        is_last_but_one = len(self.path) == 1
        # A place close to the goal is passed by; once that has failed the agent halts at it.
        passes_by = (
            is_last_but_one
            and np.hypot(*(place - self.goal)) <= DIRECT_DISTANCE * spacing
            and self.graph.stall_count(start, index) == 0
        )
        if is_last or passes_by:
            self.point = self.goal
            radius = 0.0
        else:
            self.point = place
            radius = options.arrival * spacing
        # Patience doubles whenever the search is re-armed.
        more_patience = 1 << self.rearmed
        return Target(
            point=self.point,
            radius=radius,
            limit=options.edge_steps * more_patience,
            patience=options.patience * more_patience,
        )

    def _plan(self, x: np.ndarray) -> Path:
        """The cheapest path to the goal, over a lattice on which it is not nearly refuted."""
        path = self._cheapest_path(x)
        for _ in range(MOST_REPLANS - 1):
            if self._is_promising(path):
                break
            if self.graph.spacing / 2 >= self.options.least_spacing:
                self._refine()
            elif self._eta_m > 0:
                self._rearm()
            else:
                break
            path = self._cheapest_path(x)
        return path

    def _cheapest_path(self, x: np.ndarray) -> Path:
        plan = wavefront if self.options.planner == "wavefront" else a_star
        return plan(self.graph, self.graph.cell(x), self.graph.cell(self.goal), self.options.beta)

    def _is_promising(self, path: Path) -> bool:
        """Whether each edge of a path weighs more than an untried one that has stalled twice."""
        if "refinement" in self.off:
            return True
        twice_stalled = self.options.w0 * (1 - self._eta_m) ** 2 * ROUNDING
        return path.weakest >= twice_stalled

    def _refine(self) -> None:
        """Halve the lattice constant; what was lived is replayed on the new graph."""
        self.level += 1
        self.route = []
        self.graph = self._lattice()
        for stretch in self.trail.values():
            start = self.graph.cell(stretch[:2])
            edge = edge_between(start, self.graph.cell(stretch[2:]))
            if edge is not None:
                self._potentiate(start, edge, self.options.eta_p)
        # Boundaries last: a success nearby must not hide a wall.
        for unit in self.boundary:
            self._spread(unit[:2], unit[2:], stalled=None)

    def _rearm(self) -> None:
        """Forget all weights and try again from the coarse lattice, more patiently and unspread."""
        self.level = 0
        self.rearmed += 1
        self.route = []
        self.graph = self._lattice()

    def _lattice(self) -> Graph:
        """An empty graph of the present level."""
        return Graph(self.options.spacing / 2**self.level, self.offset, self.options.w0)

    def _tuned_steps(self, control_steps: int) -> float:
        """As many steps of `TUNED_INTERVAL` as take the time of `control_steps`.

        The options count in these.
        """
        return control_steps * (self.options.interval / TUNED_INTERVAL)

    def _end_search(self) -> None:
        """Begin a new search: its budget and its counts of stalls start at 0."""
        self.graph.settle()
        self.since = self.life
        self.gave_up = False

    def _give_up(self) -> None:
        """Say once in a search that there is no way."""
        if self.gave_up:
            return
        refuted = self.report()["refuted"]
        self.gave_up = True
        x, y = self.goal
        warnings.warn(
            f"search: no way to ({x:.2f}, {y:.2f}) in {self.options.budget} steps; "
            f"{len(refuted)} edges refuted at a spacing of {self.graph.spacing:g} m, "
            f"{self.rearmed} times re-armed, {self.stalls} stalls in its life",
            RuntimeWarning,
            stacklevel=2,
        )

    # -- Hebbian change ---------------------------------------------------------------------------

    @property
    def _eta_m(self) -> float:
        """Share of its weight that a stalled edge loses; 0 where depression is lesioned."""
        return 0.0 if "depression" in self.off else self.options.eta_m

    @property
    def _refuted(self) -> float:
        """Weight at which an edge counts as refuted: that of an untried one after one stall."""
        return self.options.w0 * (1 - self._eta_m) * ROUNDING

    def _potentiate(self, start: Cell, edge: int, eta: float) -> None:
        """Strengthen an edge by the share `eta` of the way to 1, and its reverse a little less."""
        self.graph.strengthen(start, edge, eta, self._eta_m)
        if edge != WITHIN:
            reverse_eta = REVERSE_SHARE * eta
            self.graph.strengthen(advance(start, edge), opposite(edge), reverse_eta, self._eta_m)

    def _depress(self, start: Cell, edge: int) -> None:
        """Weaken an edge that stalled, and count it if it is refuted by that."""
        before = self.graph.value(start, edge)
        self.graph.depress(start, edge, self._eta_m)
        after = self.graph.value(start, edge)
        if before > self._refuted >= after:
            self.refutations += 1

    def _blame(self, x: np.ndarray, here: Cell, edge: int) -> None:
        """Weaken the edge from where the agent stands, on which it never set out.

        In the middle of its place it is as good as tried, and loses all of eta_m; elsewhere it is
        merely like the one that was.
        """
        options = self.options
        distance = np.hypot(*(self.graph.centre(here) - x))
        if distance < options.arrival * self.graph.spacing:
            self._depress(here, edge)
        else:
            factor = 1.0 - options.spread * self._eta_m
            self.graph.weaken(here, edge, factor, options.spread_hits)

    def _spread(self, x: np.ndarray, heading: np.ndarray, stalled: tuple[Cell, int] | None) -> None:
        """Weaken edges headed alike that pass the obstacle, by the code's similarity to it.

        Args:
            x: (2,) m, where the agent stalled.
            heading: (2,), unit vector of where it was going.
            stalled: the edge that is depressed already; None: none is.
        """
        options = self.options
        eta = options.spread * self._eta_m
        # A search that was re-armed does without: its spread may be what has hidden the way.
        if eta == 0 or self.rearmed or "spread" in self.off:
            return
        sigma = options.spread_width * self.graph.spacing
        obstacle = x + options.boundary * heading
        cells, edges, points = self.graph.near(obstacle, heading, options.spread_cosine, 2 * sigma)
        similarity = self.code.similarity(points, obstacle, sigma).max(1)
        rows = zip(cells.tolist(), edges.tolist(), similarity.tolist(), strict=True)
        for (i, j), edge, kernel in rows:
            if kernel > options.spread_threshold and ((i, j), edge) != stalled:
                factor = 1.0 - min(kernel, 1.0) * eta
                self.graph.weaken((i, j), edge, factor, options.spread_hits)

    # -- what it tells ----------------------------------------------------------------------------

    def report(self) -> dict[str, Any]:
        """What it has found out: the goal, whether it gave up, and the edges it holds for refuted.

        Returns:
            ``goal`` (2,) m, ``gave_up``, ``steps`` of this search, ``level``, ``spacing`` m,
            ``rearmed``, ``stalls``, ``refuted`` (e, 4): start and end of edges, m.
        """
        graph = self.graph
        # Without depression no weight ever falls: nothing is refuted.
        refuted = self._refuted if self._eta_m > 0 else 0.0
        rows, edges = np.nonzero(graph.weight[: graph.count] <= refuted)
        start = graph.offset + graph.spacing * graph.cells[rows]
        end = start + graph.spacing * STEPS[edges]
        return {
            "goal": self.goal.copy(),
            "gave_up": self.gave_up,
            "steps": self.life - self.since,
            "level": self.level,
            "spacing": graph.spacing,
            "rearmed": self.rearmed,
            "stalls": self.stalls,
            "refuted": np.concatenate([start, end], axis=1),
        }

    def signals(self) -> dict[str, float]:
        """Size and state of the graph."""
        graph = self.graph
        weight = graph.weight[: graph.count]
        changed = weight[weight != graph.w0]
        mean_weight = graph.w0
        if len(changed):
            mean_weight = float(changed.mean())
        return {
            "places": graph.count,
            "edges": len(changed),
            "level": self.level,
            "stalls": self.stalls,
            "refutations": self.refutations,
            "rearmed": self.rearmed,
            "gave_up": self.gave_up,
            "mean_weight": mean_weight,
        }

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The whole mind as arrays."""
        counts = [
            self.level,
            self.rearmed,
            self.refutations,
            self.since,
            self.drifted,
            self.gave_up,
        ]
        route = [(i, j, edge) for (i, j), edge in self.route]
        trail = list(self.trail.values())
        return {
            **super().to_arrays(),
            **graph_to_arrays(self.graph),
            "counts": np.array(counts, np.int64),
            "running": np.array(edge_to_row(self.edge), np.int64),
            "path": np.array(self.path, np.int64),
            "route": np.array(route, np.int64).reshape(-1, 3),
            "places": np.stack([self.offset, self.point, self.goal]),
            "boundary": np.array(self.boundary, float).reshape(-1, 4),
            "trail": np.array(trail, float).reshape(-1, 4),
        }

    def from_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Become the mind that `to_arrays` wrote down."""
        super().from_arrays(arrays)
        self.graph = graph_from_arrays(arrays)
        counts = arrays["counts"].tolist()
        self.level, self.rearmed, self.refutations, self.since, self.drifted, gave_up = counts
        self.gave_up = bool(gave_up)
        self.edge = edge_from_row(arrays["running"].tolist())
        self.path = arrays["path"].tolist()
        self.route = [((i, j), edge) for i, j, edge in arrays["route"].tolist()]
        self.offset, self.point, self.goal = arrays["places"].copy()
        self.boundary = list(arrays["boundary"].copy())
        self.trail = {}
        for stretch in arrays["trail"]:
            self.lived(stretch[:2], stretch[2:])


def _without_loops(route: list[tuple[Cell, int]]) -> list[tuple[Cell, int]]:
    """The stretches of a route that were not undone by coming back to the same place."""
    last_visit = {start: number for number, (start, _) in enumerate(route)}
    stretches = []
    number = 0
    while number < len(route):
        start, _ = route[number]
        # What lies between two visits of a place is a loop: only the last way out of it counts.
        number = last_visit[start]
        stretches.append(route[number])
        number += 1
    return stretches


class Search(Navigator):
    """Systematic search: always a way to any goal that can be reached, with no training and no map.

    Propose the cheapest path over the graph; run it edge by edge; what is reached is strengthened,
    what is not is weakened, and so the next proposal is another one. When only refuted paths are
    left the lattice is refined; at its least spacing the search is re-armed. Worlds with states of
    no return are out of its reach, as of any search that learns by doing.

    Parts to lesion: ``spread``, ``refinement``, ``replay``, ``depression`` (without which it tries
    the same for ever).
    """

    Options: ClassVar[type[Options]] = SearchOptions

    def parts(self) -> list[str]:
        """Mechanisms that can be left out."""
        return ["spread", "refinement", "replay", "depression"]

    def born(self, agent: int) -> SearchMind:
        """A mind with an empty graph, its lattice offset drawn."""
        return SearchMind(self.options, agent, self.code, frozenset(self.options.lesions))

    def report(self, state: Any, agent: int = 0) -> dict[str, Any]:
        """What agent number `agent` has found out, as `SearchMind.report` says it."""
        _, minds = state
        return minds[agent].report()

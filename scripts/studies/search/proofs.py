"""What must hold of the search whatever the maze: completeness, the code, planners, determinism."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np

from lancelet.controllers.search.graph import (
    EDGES,
    GRACE,
    LENGTHS,
    WITHIN,
    Cell,
    Graph,
    advance,
    edge_between,
)
from lancelet.controllers.search.paths import Path, a_star, wavefront
from lancelet.controllers.search.place_code import HarmonicCode
from lancelet.controllers.search.systematic import SearchMind, SearchOptions
from lancelet.scripts.rows import Row, at_least, at_most
from lancelet.scripts.studies.search.lives import FIRST, agent, fixed, live
from lancelet.scripts.study import Study

GRAPHS = {"quick": 200, "shown": 1000, "full": 1000}
"""random graphs with hidden dead edges"""
CODE = HarmonicCode(modules=64)
"""small, since no spread is read of it"""
CODES = 3
"""codes of other seeds that are measured"""
MEASURED_DISPLACEMENT = 11
"""m along each axis, at most, in the test of decoding"""
MEASURED_RANGE = 500
"""m from the origin along each axis, at most, in the test of decoding"""
SIGMA = 0.35
"""m, width of the kernel that is measured"""
FAR = 1.5
"""m, beyond which the kernel should be near 0"""
PLANNED_GRAPHS = 500
"""random graphs on which the planners are compared"""
DETERMINISM_AGENTS = 6
"""agents side by side that are compared with one alone"""


def proofs(study: Study) -> None:
    """All rows."""
    completeness(study, GRAPHS[study.size])
    code(study)
    planners(study)
    determinism(study)


class HiddenGraph:
    """Places of a lattice that an agent knows nothing of: of its edges some are dead, for ever.

    A tree joins all places and is alive both ways.

    Args:
        size: number of places.
        seed: of the draw.
        dead: probability that an edge outside the tree is dead.
    """

    def __init__(self, size: int, seed: int, dead: float) -> None:
        rng = np.random.default_rng(seed)
        self.places: list[Cell] = [(0, 0)]
        tree: set[tuple[Cell, Cell]] = set()
        while len(self.places) < size:
            start = self.places[rng.integers(len(self.places))]
            end = advance(start, int(rng.integers(WITHIN)))
            if end not in self.places:
                self.places.append(end)
                tree |= {(start, end), (end, start)}
        self.dead: set[tuple[Cell, int]] = set()
        """edges, as place and index, that lead nowhere"""
        for start in self.places:
            for edge in range(WITHIN):
                end = advance(start, edge)
                if end not in self.places:
                    is_dead = True
                elif (start, end) in tree:
                    is_dead = False
                else:
                    is_dead = rng.random() < dead
                if is_dead:
                    self.dead.add((start, edge))
        self.start = self.places[0]
        self.goal = self.places[rng.integers(1, size)]

    def cost(self, w0: float = SearchOptions.w0) -> float:
        """Greatest cost, over places, of the cheapest living path to the goal; m over weight.

        Its edges were never depressed. By Bellman-Ford's relaxation.
        """
        cost_to_go = {self.goal: 0.0}
        # No cheapest path has more edges than there are places: after as many rounds nothing changes any more.
        for _ in self.places:
            for start in self.places:
                for edge in range(WITHIN):
                    end = advance(start, edge)
                    if (start, edge) not in self.dead and end in cost_to_go:
                        total = cost_to_go[end] + float(LENGTHS[edge]) / w0
                        cost_to_go[start] = min(total, cost_to_go.get(start, np.inf))
        return max(cost_to_go.values())

    def stalls_of_an_edge(self) -> float:
        """Most stalls of one edge: F of docs/systems/search.md, "Completeness".

        It holds for the search's default options; an edge of 1 m costs at least 1.
        """
        growth_of_cost = 1 / (1 - SearchOptions.eta_m)
        return 1 + math.log(self.cost()) / math.log(growth_of_cost) + GRACE

    def stalls_in_all(self) -> float:
        """Most stalls of all edges, ``|E| F``."""
        return WITHIN * len(self.places) * self.stalls_of_an_edge()


def search(
    world: HiddenGraph,
    most: int,
    lesions: tuple[str, ...] = ("spread", "refinement"),
    **options: Any,
) -> tuple[Counter[tuple[Cell, int]], bool]:
    """Let the real mind search a hidden graph.

    Args:
        world: that it knows nothing of.
        most: proposals, at most.
        lesions: parts of the mind that are off.
        **options: of the search.

    Returns:
        Stalls of each edge, and whether the goal was reached.
    """
    mind = SearchMind(SearchOptions(lesions=lesions, **options), 0, CODE, frozenset(lesions))
    stalls: Counter[tuple[Cell, int]] = Counter()
    x = mind.graph.centre(world.start)
    goal = mind.graph.centre(world.goal)
    mind.begin(x)
    for _ in range(most):
        target = mind.propose(x, goal)
        assert target is not None
        here = mind.graph.cell(x)
        edge = edge_between(here, mind.graph.cell(target.point))
        assert edge is not None
        if (here, edge) in world.dead:
            stalls[here, edge] += 1
            mind.stalled(x)
        elif advance(here, edge) == world.goal:
            mind.succeeded()
            return stalls, True
        else:
            x = mind.graph.centre(advance(here, edge))
            mind.arrived(x)
    return stalls, False


def completeness(study: Study, count: int) -> None:
    """The goal of random graphs with hidden dead edges is always reached, within the bound.

    Args:
        study: gets the rows.
        count: number of graphs.
    """
    rng = np.random.default_rng(7)
    is_reached = []
    stalls_over_bound = []
    for number in range(count):
        size = int(rng.integers(5, 25))
        world = HiddenGraph(size, seed=number, dead=rng.random())
        bound = world.stalls_in_all()
        # Between two stalls there are no more successes than the cheapest path has edges, and each
        # edge costs 1 or more.
        stalls, reached = search(world, int(bound * (world.cost() + 1)))
        is_reached.append(reached)
        stalls_over_bound.append(sum(stalls.values()) / bound)
    name = "theorem: random graphs with hidden dead edges"
    row = at_least(
        f"{name}, goal reached",
        "gate",
        float(np.mean(is_reached)),
        1.0,
        seeds=count,
        reference="always",
    )
    study.add(row)
    row = at_most(
        f"{name}, most stalls over |E| F",
        "gate",
        max(stalls_over_bound),
        1.0,
        seeds=count,
        note="the real mind, spread and refinement off; F counts the cap's grace",
    )
    study.add(row)


def code(study: Study) -> None:
    """The harmonic code measures places."""
    decoding_errors = []
    kernel_errors = []
    far_values = []
    for seed in range(CODES):
        harmonic = HarmonicCode(seed=seed)
        rng = np.random.default_rng(seed)
        decoding_errors.append(_decoding_error(harmonic, rng))
        kernel_error, far_value = _kernel_error(harmonic, rng)
        kernel_errors.append(kernel_error)
        far_values.append(far_value)
    row = at_most(
        "code: noiseless decoding error, mm",
        "gate",
        1e3 * max(decoding_errors),
        1.0,
        seeds=CODES,
        note=f"displacements up to {MEASURED_DISPLACEMENT} m between places "
        f"up to {MEASURED_RANGE} m from the origin",
    )
    study.add(row)
    row = at_most(
        "code: kernel RMS error",
        "gate",
        max(kernel_errors),
        0.05,
        seeds=CODES,
        reference=0.044,
        note=f"sigma {SIGMA} m, D = 768; worst far value {max(far_values):.2f}, "
        f"below the read threshold {SearchOptions.spread_threshold}",
    )
    study.add(row)
    row = at_least(
        "code: winning place is the rounded cell, more than 0.1 h from borders",
        "gate",
        _share_of_rounded_winners(HarmonicCode(), np.random.default_rng(0)),
        0.99,
        reference=1.0,
    )
    study.add(row)


def _decoding_error(harmonic: HarmonicCode, rng: np.random.Generator) -> float:
    """Largest error along an axis of decoded displacements, m."""
    x = rng.uniform(-MEASURED_RANGE, MEASURED_RANGE, (500, 2))
    shift = rng.uniform(-MEASURED_DISPLACEMENT, MEASURED_DISPLACEMENT, (500, 2))
    bound_code = harmonic.encode(x + shift) * np.conj(harmonic.encode(x))
    return np.abs(harmonic.decode(bound_code) - shift).max()


def _kernel_error(harmonic: HarmonicCode, rng: np.random.Generator) -> tuple[float, float]:
    """RMS error of the similarity against a Gaussian, and its largest error beyond `FAR`."""
    distance = rng.uniform(0, 3, 1000)
    angle = rng.uniform(0, 2 * np.pi, 1000)
    shift = distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    gaussian = np.exp(-(distance**2) / (2 * SIGMA**2))
    error = harmonic.similarity(shift, np.zeros(2), SIGMA) - gaussian
    return np.sqrt((error**2).mean()), np.abs(error[distance > FAR]).max()


def _share_of_rounded_winners(harmonic: HarmonicCode, rng: np.random.Generator) -> float:
    """Share of positions whose most similar lattice place is the one that they round to."""
    line = np.arange(-5, 6)
    places = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    x = rng.uniform(-4.5, 4.5, (600, 2))
    is_off_borders = (np.abs(x - np.round(x)) < 0.4).all(1)
    x = x[is_off_borders]
    winner = [harmonic.similarity(position, places, SIGMA).argmax() for position in x]
    return float((places[winner] == np.round(x)).all(1).mean())


def random_graph(rng: np.random.Generator) -> tuple[Graph, Cell, Cell]:
    """A graph with random weights at random places, a start and a goal."""
    graph = Graph(1.0, np.zeros(2), 0.3)
    for _ in range(rng.integers(1, 80)):
        row = graph.row((int(rng.integers(-4, 5)), int(rng.integers(-4, 5))))
        graph.weight[row] = 10.0 ** rng.uniform(-3, 0, EDGES)
    start, goal = rng.integers(-4, 5, (2, 2)).tolist()
    return graph, tuple(start), tuple(goal)


def walked(graph: Graph, path: Path) -> float:
    """Cost of a path, added up edge by edge, m over weight: what a planner should say that it costs."""
    cell = path.start
    cost = 0.0
    for edge in path.edges:
        cost += float(LENGTHS[edge]) / graph.value(cell, edge)
        cell = advance(cell, edge)
    return cost * graph.spacing


def planners(study: Study, count: int = PLANNED_GRAPHS) -> None:
    """A* and the neural wavefront find paths of the same cost on `count` random graphs."""
    rng = np.random.default_rng(0)
    is_same = []
    for _ in range(count):
        graph, start, goal = random_graph(rng)
        star = a_star(graph, start, goal)
        wave = wavefront(graph, start, goal)
        costs = [wave.cost, walked(graph, star), walked(graph, wave)]
        is_same.append(bool(np.allclose(costs, star.cost, rtol=1e-12)))
    row = at_least(
        f"A* and the neural wavefront agree, {count} random graphs",
        "gate",
        float(np.mean(is_same)),
        1.0,
        note="cost told and cost walked, both paths",
    )
    study.add(row)


def determinism(study: Study) -> None:
    """The same seed again, and one agent alone: bit for bit."""
    controller: Any = agent(seed=5)
    world = fixed("large", DETERMINISM_AGENTS)
    lives = live(controller, world)
    again = live(controller, world)
    alone = live(controller, fixed("large", 1))
    agents = controller.to_arrays(lives.state)
    agents_again = controller.to_arrays(again.state)
    agents_alone = controller.to_arrays(alone.state)
    is_equal = (
        all(map(_same_arrays, agents, agents_again))
        and _same_arrays(agents[0], agents_alone[0])
        and bool((lives.steps == again.steps).all())
        and bool(lives.steps[0, FIRST] == alone.steps[0, FIRST])
    )
    row = Row(
        name="determinism: same seed, same steps and same graph to the bit",
        kind="gate",
        value="equal" if is_equal else "not equal",
        target="equal",
        holds=is_equal,
        seeds=DETERMINISM_AGENTS,
        note="run twice, and one alone",
    )
    study.add(row)


def _same_arrays(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    """Whether the arrays of two agents are equal; numbers that are none count as equal."""
    return all(np.array_equal(first[name], second[name], equal_nan=True) for name in first)

"""What must hold of the search whatever the maze: completeness, the code, the planners, determinism."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from lancelet.controllers.search.graph import GRACE, STEPS, WITHIN, Graph, advance, edge_between
from lancelet.controllers.search.paths import Path, a_star, wavefront
from lancelet.controllers.search.place_code import HarmonicCode
from lancelet.controllers.search.systematic import SearchMind, SearchOptions
from lancelet.scripts.rows import Row, at_least, at_most
from lancelet.scripts.studies.search.lives import agent, fixed, live
from lancelet.scripts.study import Study

Cell = tuple[int, int]
CODE = HarmonicCode(modules=64)


def proofs(study: Study) -> None:
    """All rows."""
    completeness(study, 200 if study.size == "quick" else 1000)
    code(study)
    planners(study)
    determinism(study)


class HiddenGraph:
    """Places of a lattice, joined by a tree that is alive both ways; of the other edges some are dead, for ever.

    Args:
        size: number of places.
        seed: of the draw.
        dead: probability that an edge outside the tree is dead.
    """

    def __init__(self, size: int, seed: int, dead: float) -> None:
        rng = np.random.default_rng(seed)
        self.places: list[Cell] = [(0, 0)]
        self.dead: set[tuple[Cell, int]] = set()
        tree = set()
        while len(self.places) < size:
            start = self.places[rng.integers(len(self.places))]
            end = advance(start, int(rng.integers(8)))
            if end not in self.places:
                self.places.append(end)
                tree |= {(start, end), (end, start)}
        for start in self.places:
            for edge in range(8):
                end = advance(start, edge)
                if end not in self.places or ((start, end) not in tree and rng.random() < dead):
                    self.dead.add((start, edge))
        self.start, self.goal = self.places[0], self.places[rng.integers(1, size)]

    def cost(self, w0: float = 0.3) -> float:
        """Greatest cost, over places, of the cheapest living path to the goal, its edges never depressed."""
        away = {self.goal: 0.0}
        for _ in self.places:
            for start in self.places:
                for edge in range(8):
                    end = advance(start, edge)
                    if (start, edge) not in self.dead and end in away:
                        total = away[end] + float(np.hypot(*STEPS[edge])) / w0
                        away[start] = min(total, away.get(start, np.inf))
        return max(away.values())

    def stalls_of_an_edge(self) -> float:
        """F of the statement, for the search's defaults: an edge of 1 m costs 1 at least."""
        return 1 + math.log(self.cost()) / math.log(1 / (1 - 0.97)) + GRACE


def search(
    world: HiddenGraph,
    most: int,
    lesions: tuple[str, ...] = ("spread", "refinement"),
    **options: float,
) -> tuple[Counter[tuple[Cell, int]], bool]:
    """Stalls of each edge, and whether the goal was reached, in at most `most` proposals of the real mind."""
    mind = SearchMind(SearchOptions(lesions=lesions, **options), 0, CODE, frozenset(lesions))  # pyright: ignore[reportArgumentType]
    x, stalls = mind.graph.centre(world.start), Counter()
    goal = mind.graph.centre(world.goal)
    mind.begin(x)
    for _ in range(most):
        target = mind.propose(x, goal)
        assert target is not None
        here = mind.graph.cell(x)
        edge = edge_between(here, mind.graph.cell(target.point))
        assert edge is not None and edge != WITHIN
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
    """Section 7's statement on random graphs with hidden dead edges."""
    rng, reached, worst = np.random.default_rng(7), [], []
    for number in range(count):
        world = HiddenGraph(int(rng.integers(5, 25)), number, rng.random())
        bound = 8 * len(world.places) * world.stalls_of_an_edge()
        stalls, found = search(world, int(bound * (world.cost() + 1)))
        reached.append(found)
        worst.append(sum(stalls.values()) / bound)
    name = "theorem: random graphs with hidden dead edges"
    study.add(
        at_least(
            f"{name}, goal reached",
            "gate",
            float(np.mean(reached)),
            1.0,
            seeds=count,
            reference="always",
        )
    )
    note = "the real mind, spread and refinement off; F counts the cap's grace"
    study.add(
        at_most(f"{name}, most stalls over |E| F", "gate", max(worst), 1.0, seeds=count, note=note)
    )


def code(study: Study) -> None:
    """The harmonic code measures places."""
    apart, errors, far = [], [], []
    for seed in range(3):
        made, rng = HarmonicCode(seed=seed), np.random.default_rng(seed)
        x, shift = rng.uniform(-500, 500, (500, 2)), rng.uniform(-11, 11, (500, 2))
        apart.append(
            np.abs(made.decode(made.encode(x + shift) * np.conj(made.encode(x))) - shift).max()
        )
        away, angle = rng.uniform(0, 3, 1000), rng.uniform(0, 2 * np.pi, 1000)
        shift = away[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        error = made.similarity(shift, np.zeros(2), 0.35) - np.exp(-(away**2) / (2 * 0.35**2))
        errors.append(np.sqrt((error**2).mean()))
        far.append(np.abs(error[away > 1.5]).max())
    note = "displacements up to 11 m between places up to 500 m from the origin"
    study.add(
        at_most(
            "code: noiseless decoding error, mm", "gate", 1e3 * max(apart), 1.0, seeds=3, note=note
        )
    )
    note = f"sigma 0.35 m, D = 768; worst far value {max(far):.2f}, below the read threshold 0.3"
    study.add(
        at_most(
            "code: kernel RMS error", "gate", max(errors), 0.05, seeds=3, reference=0.044, note=note
        )
    )
    made, rng = HarmonicCode(), np.random.default_rng(0)
    line = np.arange(-5, 6)
    places = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    x = rng.uniform(-4.5, 4.5, (600, 2))
    x = x[(np.abs(x - np.round(x)) < 0.4).all(1)]
    winner = places[[made.similarity(one, places, 0.35).argmax() for one in x]]
    same = float((winner == np.round(x)).all(1).mean())
    name = "code: winning place is the rounded cell, more than 0.1 h from borders"
    study.add(at_least(name, "gate", same, 0.99, reference=1.0))


def random_graph(rng: np.random.Generator) -> tuple[Graph, Cell, Cell]:
    """A graph with random weights at random places, a start and a goal."""
    graph = Graph(1.0, np.zeros(2), 0.3)
    for _ in range(rng.integers(1, 80)):
        row = graph.row((int(rng.integers(-4, 5)), int(rng.integers(-4, 5))))
        graph.weight[row] = 10.0 ** rng.uniform(-3, 0, 9)
    start, goal = rng.integers(-4, 5, (2, 2)).tolist()
    return graph, tuple(start), tuple(goal)


def walked(graph: Graph, path: Path) -> float:
    """Cost of a path, edge by edge, m."""
    at, cost = path.start, 0.0
    for edge in path.edges:
        cost += (0.5 if edge == WITHIN else float(np.hypot(*STEPS[edge]))) / graph.value(at, edge)
        at = advance(at, edge)
    return cost * graph.spacing


def planners(study: Study, count: int = 500) -> None:
    """A* and the neural wavefront."""
    rng, same = np.random.default_rng(0), []
    for _ in range(count):
        graph, start, goal = random_graph(rng)
        star, wave = a_star(graph, start, goal), wavefront(graph, start, goal)
        costs = [wave.cost, walked(graph, star), walked(graph, wave)]
        same.append(bool(np.allclose(costs, star.cost, rtol=1e-12)))
    name = f"A* and the neural wavefront agree, {count} random graphs"
    study.add(
        at_least(
            name, "gate", float(np.mean(same)), 1.0, note="cost told and cost walked, both paths"
        )
    )


def determinism(study: Study) -> None:
    """The same seed again, and one agent alone: bit for bit."""
    who, world = agent(seed=5), fixed("large", 6)
    one, other, alone = live(who, world), live(who, world), live(who, fixed("large", 1))
    first = who.to_arrays(one.state)  # pyright: ignore[reportCallIssue]
    pairs = [*zip(first, who.to_arrays(other.state), strict=True)]  # pyright: ignore[reportCallIssue]
    pairs += [*zip(first, who.to_arrays(alone.state), strict=False)]  # pyright: ignore[reportCallIssue]
    equal = all(np.array_equal(a[k], b[k], equal_nan=True) for a, b in pairs for k in a)
    equal &= bool((one.steps == other.steps).all() and one.steps[0, 0] == alone.steps[0, 0])
    name = "determinism: same seed, same steps and same graph to the bit"
    study.add(
        Row(
            name,
            "gate",
            "equal" if equal else "not equal",
            "equal",
            equal,
            6,
            note="run twice, and one alone",
        )
    )

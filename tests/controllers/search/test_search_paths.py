"""A* and the wave of activation find paths of the same cost, and there is none cheaper."""

import heapq
import itertools

import numpy as np
import pytest

from lancelet.controllers.search.graph import STEPS, WITHIN, Graph, advance
from lancelet.controllers.search.paths import a_star, activation, wavefront
from lancelet.scripts.studies.search.proofs import random_graph


def length(edge):
    return 0.5 if edge == WITHIN else float(np.hypot(*STEPS[edge]))


def walked(graph, path, goal):
    at, cost, weakest = path.start, 0.0, 1.0
    for number, edge in enumerate(path.edges):
        weight = graph.value(at, edge)
        cost, weakest, at = cost + length(edge) / weight, min(weakest, weight), advance(at, edge)
        assert (at == goal) == (number == len(path.edges) - 1)
    assert weakest == pytest.approx(path.weakest)
    return cost


def cheapest(graph, start, goal):
    """Dijkstra with dictionaries, no heuristic: the reference."""
    tie = itertools.count()
    shut, heap = set(), [(0.0, next(tie), start)]
    while heap:
        cost, _, at = heapq.heappop(heap)
        if at == "goal":
            return cost
        if at in shut:
            continue
        shut.add(at)
        for edge in range(9):
            end = advance(at, edge)
            if edge < WITHIN or end == goal:
                step = length(edge) / graph.value(at, edge)
                heapq.heappush(heap, (cost + step, next(tie), "goal" if end == goal else end))


@pytest.mark.slow
def test_a_star_and_the_wavefront_agree_on_500_random_graphs():
    rng = np.random.default_rng(0)
    for _ in range(500):
        graph, start, goal = random_graph(rng)
        star, wave = a_star(graph, start, goal), wavefront(graph, start, goal)
        assert star.cost == pytest.approx(wave.cost, rel=1e-12)
        assert walked(graph, star, goal) == pytest.approx(star.cost)
        assert walked(graph, wave, goal) == pytest.approx(star.cost)


def test_no_path_is_cheaper():
    rng = np.random.default_rng(1)
    for _ in range(40):
        graph, start, goal = random_graph(rng)
        assert a_star(graph, start, goal).cost == pytest.approx(cheapest(graph, start, goal))


def test_an_agent_in_the_goals_cell_goes_round_where_a_wall_stands_between():
    graph = Graph(1.0, np.zeros(2), 0.3)
    assert a_star(graph, (0, 0), (0, 0)).edges == [WITHIN]
    graph.depress((0, 0), WITHIN, 0.97)
    path = a_star(graph, (0, 0), (0, 0))
    assert len(path.edges) == 2 and WITHIN not in path.edges


def test_a_path_may_cost_much_and_wander_far():
    graph = Graph(0.5, np.zeros(2), 0.3)
    for j in range(-30, 31):
        for edge in range(9):
            graph.depress((3, j), edge, 0.97)
            graph.depress((3, j), edge, 0.97)
    path = a_star(graph, (0, 0), (6, 0))
    assert len(path.edges) > 40 and path.weakest == 0.3


def test_activation_falls_with_the_cost_to_go():
    graph = Graph(1.0, np.zeros(2), 0.3)
    wave = activation(graph, (0, 0), (-6, -6), (6, 6), tau=2.0)
    assert wave[6 + 3, 6 + 3] == pytest.approx(-a_star(graph, (3, 3), (0, 0)).cost / 2.0)
    assert wave[6 + 1, 6] > wave[6 + 2, 6] > wave[6 + 5, 6]

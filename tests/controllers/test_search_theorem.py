"""Completeness: on random graphs with hidden dead edges the goal is always reached, with bounded stalls."""

import math
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lancelet.controllers.search import SearchMind, SearchOptions
from lancelet.controllers.search_code import HarmonicCode
from lancelet.controllers.search_graph import GRACE, STEPS, WITHIN, advance, edge_between

CODE = HarmonicCode(modules=64)


class Maze:
    """Places of a lattice, joined by a tree that is alive both ways; of the other edges some are dead, for ever."""

    def __init__(self, size, seed, dead):
        rng = np.random.default_rng(seed)
        self.places, self.dead, tree = [(0, 0)], set(), set()
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

    def cost(self, w0):
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


def search(maze, most, lesions=("spread", "refinement"), **options):
    """Stalls of each edge and whether the goal was reached, in at most `most` proposals of the real mind."""
    mind = SearchMind(SearchOptions(lesions=lesions, **options), 0, CODE, frozenset(lesions))
    x, stalls = mind.graph.centre(maze.start), Counter()
    goal = mind.graph.centre(maze.goal)
    mind.begin(x)
    for _ in range(most):
        target = mind.propose(x, goal)
        here = mind.graph.cell(x)
        edge = edge_between(here, mind.graph.cell(target.point))
        assert edge is not None and edge != WITHIN
        if (here, edge) in maze.dead:
            stalls[here, edge] += 1
            mind.stalled(x)
        elif advance(here, edge) == maze.goal:
            mind.succeeded()
            return stalls, True
        else:
            x = mind.graph.centre(advance(here, edge))
            mind.arrived(x)
    return stalls, False


MAZES = st.builds(Maze, st.integers(5, 24), st.integers(0, 2**32 - 1), st.floats(0.0, 1.0))


@settings(max_examples=1000, deadline=None, derandomize=True, database=None)
@given(MAZES)
def test_the_goal_is_always_reached_and_stalls_are_bounded(maze):
    most = maze.cost(w0=0.3)
    each = 1 + math.log(most) / math.log(1 / (1 - 0.97)) + GRACE  # an edge of 1 m costs 1 at least
    bound = 8 * len(maze.places) * each
    stalls, reached = search(maze, most=int(bound * (most + 1)))
    assert reached
    assert sum(stalls.values()) <= bound
    assert max(stalls.values(), default=0) <= each


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(MAZES)
def test_the_goal_is_reached_with_spread_and_for_the_curious_too(maze):
    assert search(maze, 20_000, lesions=("refinement",))[1]
    assert search(maze, 20_000, lesions=("refinement",), w0=0.7, eta_m=0.9)[1]


def test_without_depression_it_tries_the_same_for_ever():
    maze = Maze(2, 0, 0.0)
    maze.places, maze.start, maze.goal = [(0, 0), (1, 1), (2, 1), (3, 0)], (0, 0), (3, 0)
    alive = {((0, 0), 1), ((1, 1), 0), ((2, 1), 7)}
    maze.dead = {(place, edge) for place in maze.places for edge in range(8)} - alive
    assert search(maze, 2000)[1]
    stalls, reached = search(maze, 2000, eta_m=0.0)
    assert not reached and max(stalls.values()) == 2000

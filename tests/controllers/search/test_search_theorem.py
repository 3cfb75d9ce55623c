"""Completeness: on random graphs with hidden dead edges the goal is always reached, with bounded stalls."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lancelet.scripts.studies.search.proofs import HiddenGraph, search

MAZES = st.builds(HiddenGraph, st.integers(5, 24), st.integers(0, 2**32 - 1), st.floats(0.0, 1.0))


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, derandomize=True, database=None)
@given(MAZES)
def test_the_goal_is_always_reached_and_stalls_are_bounded(maze):
    each = maze.stalls_of_an_edge()
    bound = 8 * len(maze.places) * each
    stalls, reached = search(maze, most=int(bound * (maze.cost() + 1)))
    assert reached
    assert sum(stalls.values()) <= bound
    assert max(stalls.values(), default=0) <= each


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(MAZES)
def test_the_goal_is_reached_with_spread_and_for_the_curious_too(maze):
    assert search(maze, 20_000, lesions=("refinement",))[1]
    assert search(maze, 20_000, lesions=("refinement",), w0=0.7, eta_m=0.9)[1]


def test_without_depression_it_tries_the_same_for_ever():
    maze = HiddenGraph(2, 0, 0.0)
    maze.places, maze.start, maze.goal = [(0, 0), (1, 1), (2, 1), (3, 0)], (0, 0), (3, 0)
    alive = {((0, 0), 1), ((1, 1), 0), ((2, 1), 7)}
    maze.dead = {(place, edge) for place in maze.places for edge in range(8)} - alive
    assert search(maze, 2000)[1]
    stalls, reached = search(maze, 2000, eta_m=0.0)
    assert not reached and max(stalls.values()) == 2000

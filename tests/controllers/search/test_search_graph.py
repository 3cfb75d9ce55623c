"""The graph grows where it is written, and its weights obey the Hebbian rules and the cap."""

import numpy as np
import pytest

from lancelet.controllers.search.graph import (
    FLOOR,
    GRACE,
    HEADINGS,
    STEPS,
    WITHIN,
    Graph,
    advance,
    edge_between,
)


def graph(spacing=1.0):
    return Graph(spacing, np.array([0.3, -0.2]), 0.3)


def test_places_come_into_being_when_written_and_keep_their_rows():
    net, rng = graph(), np.random.default_rng(0)
    cells = list({(int(i), int(j)) for i, j in rng.integers(-10_000, 10_000, (700, 2))})
    rows = {cell: net.row(cell) for cell in cells}
    assert net.count == len(cells) and len(set(rows.values())) == len(cells)
    assert all(net.row(cell) == row for cell, row in rows.items())
    assert net.value((123_456, 7), 3) == 0.3 and net.count == len(cells)


def test_memory_is_linear_in_places():
    def size(places):
        net = graph()
        for i in range(places):
            net.row((i, i * i))
        return sum(part.nbytes for part in net.to_arrays().values())

    assert size(4000) < 4.1 * size(1000)


def test_success_strengthens_and_a_stall_weakens():
    net = graph()
    net.strengthen((0, 0), 2, 0.5, 0.97)
    assert net.value((0, 0), 2) == pytest.approx(0.65)
    net.depress((0, 0), 2, 0.97)
    assert net.value((0, 0), 2) == pytest.approx(0.65 * 0.03)
    assert net.value((0, 0), 3) == 0.3 and net.stall_count((0, 0), 2) == 1


def test_successes_cannot_undo_more_stalls_than_the_grace():
    net = graph()
    for stalls in range(1, 7):
        net.depress((0, 0), 0, 0.97)
        for _ in range(60):
            net.strengthen((0, 0), 0, 0.5, 0.97)
        assert net.value((0, 0), 0) == pytest.approx(max(0.03 ** max(0, stalls - GRACE), FLOOR))
    net.settle()
    net.strengthen((0, 0), 0, 0.5, 0.97)
    assert net.value((0, 0), 0) > 0.5


def test_spread_events_lower_an_edge_a_finite_number_of_times():
    net = graph()
    for _ in range(20):
        net.weaken((0, 0), 1, 0.3, 4)
    assert net.value((0, 0), 1) == pytest.approx(0.3 * 0.3**4)


def test_edges_near_a_point_are_those_headed_alike_that_pass_it():
    net = graph()
    point = net.centre((0, 0)) + np.array([0.5, 0.0])
    cells, edges, points = net.near(point, np.array([1.0, 0.0]), 0.6, 0.4)
    assert ((HEADINGS[edges] @ [1.0, 0.0]) >= 0.6).all()
    assert (np.linalg.norm(points - point, axis=2).min(1) < 0.4).all()
    found = {(*cell, edge) for cell, edge in zip(cells.tolist(), edges.tolist(), strict=True)}
    assert (0, 0, 0) in found and (0, 0, 1) in found and (5, 0, 0) not in found


def test_neighbours_are_joined_by_the_edge_that_leads_there():
    for edge in range(WITHIN):
        assert edge_between((3, -4), advance((3, -4), edge)) == edge
        assert (STEPS[(edge + 4) % WITHIN] == -STEPS[edge]).all()
    assert edge_between((0, 0), (0, 0)) is None and edge_between((0, 0), (2, 1)) is None


def test_forgetting_drifts_to_the_untried_weight():
    net = graph()
    net.strengthen((0, 0), 0, 0.5, 0.97)
    net.forget(0.5)
    assert net.value((0, 0), 0) == pytest.approx(0.475)


def test_arrays_hold_the_whole_graph():
    net, rng = graph(0.5), np.random.default_rng(1)
    for i, j, edge in rng.integers(-9, 9, (300, 3)):
        net.strengthen((int(i), int(j)), int(edge) % 8, 0.5, 0.97)
        net.depress((int(j), int(i)), int(edge) % 8, 0.97)
        net.weaken((int(j), 0), int(edge) % 8, 0.4, 4)
    again = Graph.from_arrays(net.to_arrays())
    for name, part in net.to_arrays().items():
        np.testing.assert_array_equal(again.to_arrays()[name], part)
    assert again.value((3, 4), 2) == net.value((3, 4), 2) and again.edges == net.edges

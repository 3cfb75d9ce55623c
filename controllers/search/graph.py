"""Cognitive graph: a lattice whose places come into being when they are first written.

Each place has nine edges with Hebbian weights (docs/systems/search.md, "The graph"). A
reconstruction inspired by Baranski & Tani, "Life, uh, Finds a Way" (arXiv 2410.01349); the rules
are this project's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

Cell = tuple[int, int]
"""a place by its column and row on the lattice"""

STEPS = np.array(
    [
        (1, 0),
        (1, 1),
        (0, 1),
        (-1, 1),
        (-1, 0),
        (-1, -1),
        (0, -1),
        (1, -1),
        (0, 0),
    ]
)
"""cell steps (column, row) of the edges out of a place: its eight neighbours, counter-clockwise, then the edge to a
goal in its own cell"""
EDGES = len(STEPS)
"""edges of a place"""
WITHIN = 8
"""the edge that stays in its cell; the edges before it lead to neighbours"""
HEADINGS = STEPS[:WITHIN] / np.linalg.norm(STEPS[:WITHIN], axis=1, keepdims=True)
"""unit vectors (8, 2) of the edges to neighbours"""
LENGTH_WITHIN = 0.5
"""lattice constants that the edge to a goal in the same cell counts as long"""
LENGTHS = np.array([1.0, np.sqrt(2.0)] * (WITHIN // 2) + [LENGTH_WITHIN])
"""length of each edge, in lattice constants: straight and diagonal ones by turns"""

FLOOR = 1e-6
"""numeric guard of a weight; far below the refinement threshold, else the search would not be
complete"""
GRACE = 3
"""stalls that successes may still undo; each further one caps the weight for the rest of the
search"""

FIRST_CAPACITY = 16
"""places that a new graph has room for; the room doubles when it is full"""
SLOTS_PER_PLACE = 4
"""slots of the hash table per place that there is room for: a power of two, as the capacity is"""

_SAMPLES = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
"""points along an edge, as shares of it, whose distance to a stalled point is measured"""

# Large primes that spread neighbouring cells over the table (Teschner et al., "Optimized Spatial
# Hashing for Collision Detection of Deformable Objects", 2003).
_COLUMN_PRIME = 73856093
_ROW_PRIME = 19349663
_MIXING_PRIME = 83492791


@njit(cache=True)
def slot(table: np.ndarray, cells: np.ndarray, i: int, j: int) -> int:
    """Slot of a hash table that holds the place (i, j), or would hold it.

    Open addressing with linear probing.

    Args:
        table: (a power of two,) rows of `cells`, -1 where a slot is empty.
        cells: (places, 2), the places that the table refers to.
        i: column of the place.
        j: row of the place.
    """
    # As the size is a power of two, the mask takes the remainder, of negative numbers too.
    mask = len(table) - 1
    hashed = i * _COLUMN_PRIME ^ j * _ROW_PRIME ^ (i * _MIXING_PRIME >> 7)
    probed = hashed & mask
    # The table is never full, since it has `SLOTS_PER_PLACE` slots a place: an empty slot ends the search.
    while table[probed] >= 0:
        place = cells[table[probed]]
        if place[0] == i and place[1] == j:
            break
        probed = (probed + 1) & mask
    return probed


@njit(cache=True)
def rehash(table: np.ndarray, cells: np.ndarray, count: int) -> None:
    """Fill `table`, in place, with the first `count` rows of `cells`."""
    table[:] = -1
    for row in range(count):
        column_of_place = cells[row, 0]
        row_of_place = cells[row, 1]
        table[slot(table, cells, column_of_place, row_of_place)] = row


def advance(start: Cell, edge: int) -> Cell:
    """The place that an edge leads to."""
    return start[0] + int(STEPS[edge, 0]), start[1] + int(STEPS[edge, 1])


def edge_between(start: Cell, end: Cell) -> int | None:
    """The edge from one place to its neighbour; None where they are the same or farther apart."""
    for edge in range(WITHIN):
        if advance(start, edge) == end:
            return edge
    return None


def opposite(edge: int) -> int:
    """The edge to a neighbour that leads the other way."""
    return (edge + WITHIN // 2) % WITHIN


class NearbyEdges(NamedTuple):
    """Edges that `Graph.near` has found, e of them."""

    cells: np.ndarray
    """(e, 2), places that the edges leave"""
    edges: np.ndarray
    """(e,), indices of `STEPS`"""
    points: np.ndarray
    """(e, 5, 2) m, sampled points along each edge"""


class Graph:
    """Places of one level, and the weight in (0, 1] of each of their nine edges.

    A place takes memory only once it is written; reading one that was never written gives the
    weight of an untried edge.

    Args:
        spacing: lattice constant, m.
        offset: (2,), a lattice point, m.
        w0: weight of an edge never tried.
    """

    def __init__(self, spacing: float, offset: np.ndarray, w0: float) -> None:
        self.spacing = spacing
        self.offset = np.asarray(offset, float)
        self.w0 = w0
        self.count = 0
        """places that were written; only the first `count` rows of the arrays have a meaning"""
        self.cells = np.zeros((FIRST_CAPACITY, 2), np.int64)
        """lattice coordinates of each place"""
        self.weight = np.full((FIRST_CAPACITY, EDGES), w0)
        """weight of each edge"""
        self.stalls = np.zeros((FIRST_CAPACITY, EDGES), np.int32)
        """stalls of each edge since the search began"""
        self.hits = np.zeros((FIRST_CAPACITY, EDGES), np.int32)
        """spread events that lowered each edge since the search began"""
        self.table = np.full(SLOTS_PER_PLACE * FIRST_CAPACITY, -1, np.int64)
        """hash table from lattice coordinates to rows"""

    def cell(self, x: np.ndarray) -> Cell:
        """The place whose cell holds x (2,) m: on a lattice, the winner of the code's similarity."""
        column = round((x[0] - self.offset[0]) / self.spacing)
        row = round((x[1] - self.offset[1]) / self.spacing)
        return column, row

    def centre(self, cell: Cell) -> np.ndarray:
        """Position (2,) of a place, m."""
        return self.offset + self.spacing * np.array(cell, float)

    def row(self, cell: Cell) -> int:
        """Row of a place in the arrays; a place that has none is written."""
        known = self._known_row(cell)
        if known is not None:
            return known
        if self.count == len(self.cells):
            self._grow()
        new = self.count
        self.cells[new] = cell
        self.table[slot(self.table, self.cells, *cell)] = new
        self.count += 1
        return new

    def _known_row(self, cell: Cell) -> int | None:
        """Row of a place in the arrays; None where it was never written."""
        row = int(self.table[slot(self.table, self.cells, *cell)])
        return row if row >= 0 else None

    def _grow(self) -> None:
        """Double the room for places."""
        added = len(self.cells)
        self.cells = np.concatenate([self.cells, np.zeros((added, 2), np.int64)])
        self.weight = np.concatenate([self.weight, np.full((added, EDGES), self.w0)])
        self.stalls = np.concatenate([self.stalls, np.zeros((added, EDGES), np.int32)])
        self.hits = np.concatenate([self.hits, np.zeros((added, EDGES), np.int32)])
        self.table = np.full(SLOTS_PER_PLACE * len(self.cells), -1, np.int64)
        rehash(self.table, self.cells, self.count)

    def value(self, cell: Cell, edge: int) -> float:
        """Weight of an edge; `w0` where its place was never written."""
        row = self._known_row(cell)
        if row is None:
            return self.w0
        return float(self.weight[row, edge])

    def stall_count(self, cell: Cell, edge: int) -> int:
        """Stalls of an edge since the search began."""
        row = self._known_row(cell)
        if row is None:
            return 0
        return int(self.stalls[row, edge])

    def strengthen(self, cell: Cell, edge: int, gain: float, stall_loss: float) -> None:
        """Hebb's rule for an edge that was intended and reached its end.

        The weight rises by ``gain (1 - w)``, under the cap that earlier stalls have set.

        Args:
            cell: place that the edge leaves.
            edge: index of `STEPS`.
            gain: share of the way to 1.
            stall_loss: share of its weight that a stall takes from an edge; the cap depends on it.
        """
        row = self.row(cell)
        weight = self.weight[row, edge]
        raised = weight + gain * (1.0 - weight)
        self.weight[row, edge] = min(raised, self._cap(row, edge, stall_loss))

    def depress(self, cell: Cell, edge: int, stall_loss: float) -> None:
        """Anti-Hebbian rule for an edge that was intended and never reached its end: a stall.

        The stall is counted, and the weight is multiplied by ``1 - stall_loss``.

        Args:
            cell: place that the edge leaves.
            edge: index of `STEPS`.
            stall_loss: share of its weight that the edge loses.
        """
        row = self.row(cell)
        # The stall is counted first: the cap below includes it.
        self.stalls[row, edge] += 1
        lowered = self.weight[row, edge] * (1.0 - stall_loss)
        capped = min(lowered, self._cap(row, edge, stall_loss))
        self.weight[row, edge] = max(capped, FLOOR)

    def _cap(self, row: int, edge: int, stall_loss: float) -> float:
        """Largest weight that an edge may have after its stalls.

        Without it a success between two stalls would undo the first, and an edge could stall for
        ever (docs/systems/search.md, "Completeness").
        """
        beyond_grace = max(0, self.stalls[row, edge] - GRACE)
        return max((1.0 - stall_loss) ** beyond_grace, FLOOR)

    def weaken(self, cell: Cell, edge: int, factor: float, most: int) -> None:
        """Lower an edge that resembles a stalled one: one spread event.

        Args:
            cell: place that the edge leaves.
            edge: index of `STEPS`.
            factor: what the weight is multiplied by.
            most: spread events that can lower one edge within a search; later ones do nothing.
        """
        row = self.row(cell)
        if self.hits[row, edge] < most:
            self.hits[row, edge] += 1
            self.weight[row, edge] = max(self.weight[row, edge] * factor, FLOOR)

    def forget(self, rate: float) -> None:
        """Move every weight by the share `rate` of its way to the untried one."""
        self.weight[: self.count] += rate * (self.w0 - self.weight[: self.count])

    def settle(self) -> None:
        """A search has ended: stalls and spread events are counted from zero, weights stay."""
        self.stalls[:] = 0
        self.hits[:] = 0

    def near(
        self, point: np.ndarray, heading: np.ndarray, cosine: float, radius: float
    ) -> NearbyEdges:
        """Edges to neighbours that are headed alike and pass close to a point.

        Args:
            point: (2,) m.
            heading: (2,), unit vector.
            cosine: least cosine between `heading` and an edge that is headed alike.
            radius: largest distance between `point` and the nearest sampled point of an edge, m.

        Returns:
            The edges; points that lie farther than `radius` on one of them are included.
        """
        edges_alike = np.flatnonzero(HEADINGS @ heading >= cosine)
        block = self._cells_around(point, radius)
        # Every edge that is headed alike, out of every cell of the block.
        cells = np.repeat(block, len(edges_alike), axis=0)
        edges = np.tile(edges_alike, len(block))
        points = self._sampled(cells, edges)
        squared_distance = ((points - point) ** 2).sum(-1)
        is_close = (squared_distance < radius**2).any(1)
        return NearbyEdges(cells=cells[is_close], edges=edges[is_close], points=points[is_close])

    def _cells_around(self, point: np.ndarray, radius: float) -> np.ndarray:
        """Cells (c, 2) from which an edge may pass within `radius` m of a point (2,) m."""
        # Two cells more than the radius, since an edge may begin outside of it and pass within.
        reach = int(np.ceil(radius / self.spacing)) + 2
        span = np.arange(-reach, reach + 1)
        shifts = np.stack(np.meshgrid(span, span, indexing="ij"), axis=-1).reshape(-1, 2)
        return shifts + np.array(self.cell(point))

    def _sampled(self, cells: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """Points (e, 5, 2) m along edges (e,) out of cells (e, 2)."""
        starts = self.offset + self.spacing * cells
        steps = STEPS[edges]
        return starts[:, None] + self.spacing * _SAMPLES[:, None] * steps[:, None]

    @property
    def edges(self) -> int:
        """Number of edges whose weight is not the untried one."""
        return int((self.weight[: self.count] != self.w0).sum())

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The whole graph as arrays; the memory that it takes is their size in bytes."""
        count = self.count
        return {
            "lattice": np.array([self.spacing, *self.offset, self.w0]),
            "cells": self.cells[:count].copy(),
            "weight": self.weight[:count].copy(),
            "stalls": self.stalls[:count].copy(),
            "hits": self.hits[:count].copy(),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Graph:
        """The graph that `to_arrays` wrote down."""
        spacing, offset_x, offset_y, w0 = arrays["lattice"].tolist()
        graph = cls(spacing, np.array([offset_x, offset_y]), w0)
        for row, (i, j) in enumerate(arrays["cells"].tolist()):
            assert graph.row((i, j)) == row
        count = graph.count
        graph.weight[:count] = arrays["weight"]
        graph.stalls[:count] = arrays["stalls"]
        graph.hits[:count] = arrays["hits"]
        return graph

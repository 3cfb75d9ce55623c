"""Cognitive graph: a lattice whose places come into being when they are first written, with Hebbian edges.

A reconstruction inspired by Baranski & Tani, "Life, uh, Finds a Way" (arXiv 2410.01349); the rules are this project's.
"""

from __future__ import annotations

import numpy as np
from numba import njit

STEPS = np.array([(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (0, 0)])
"""cell steps of the edges out of a place: eight neighbours, then the edge to a goal in the same cell"""
HEADINGS = STEPS[:8] / np.linalg.norm(STEPS[:8], axis=1, keepdims=True)
WITHIN = 8
"""the edge that stays in its cell"""
FLOOR = 1e-6
"""numeric guard of a weight; far below the refinement threshold, else the search would not be complete"""
GRACE = 3
"""stalls that successes may still undo; each further one caps the weight for the rest of the search"""
_SAMPLES = np.array([0.0, 0.25, 0.5, 0.75, 1.0])


@njit(cache=True)
def slot(table: np.ndarray, cells: np.ndarray, i: int, j: int) -> int:
    """Slot of the hash `table` (a power of two long) that holds, or would hold, the place (i, j)."""
    mask = len(table) - 1
    at = (i * 73856093 ^ j * 19349663 ^ (i * 83492791 >> 7)) & mask
    while table[at] >= 0 and (cells[table[at], 0] != i or cells[table[at], 1] != j):
        at = (at + 1) & mask
    return at


@njit(cache=True)
def _rehash(table: np.ndarray, cells: np.ndarray, count: int) -> None:
    table[:] = -1
    for row in range(count):
        table[slot(table, cells, cells[row, 0], cells[row, 1])] = row


def advance(start: tuple[int, int], edge: int) -> tuple[int, int]:
    """The place that an edge leads to."""
    return start[0] + int(STEPS[edge, 0]), start[1] + int(STEPS[edge, 1])


def edge_between(start: tuple[int, int], end: tuple[int, int]) -> int | None:
    """The edge from one place to its neighbour; None where they are the same or farther apart."""
    across = (end[0] - start[0], end[1] - start[1])
    return (
        [tuple(step) for step in STEPS.tolist()].index(across)
        if max(map(abs, across)) == 1
        else None
    )


class Graph:
    """Places of one level, and the weight in (0, 1] of each of their nine edges; memory is linear in places.

    Args:
        spacing: lattice constant, m.
        offset: (2,), a lattice point, m.
        w0: weight of an edge never tried.
    """

    def __init__(self, spacing: float, offset: np.ndarray, w0: float) -> None:
        self.spacing, self.offset, self.w0, self.count = spacing, np.asarray(offset, float), w0, 0
        self.cells, self.weight = np.zeros((16, 2), np.int64), np.full((16, 9), w0)
        self.stalls, self.hits = np.zeros((16, 9), np.int32), np.zeros((16, 9), np.int32)
        """since the search began: stalls of each edge; spread events that lowered it"""
        self.table = np.full(64, -1, np.int64)

    def cell(self, x: np.ndarray) -> tuple[int, int]:
        """The place whose cell holds x (2,) m: on a lattice, the winner of the code's similarity."""
        return (
            round((x[0] - self.offset[0]) / self.spacing),
            round((x[1] - self.offset[1]) / self.spacing),
        )

    def centre(self, cell: tuple[int, int]) -> np.ndarray:
        """Position (2,) of a place, m."""
        return self.offset + self.spacing * np.array(cell, float)

    def row(self, cell: tuple[int, int]) -> int:
        """Row of a place in the arrays, made where there is none."""
        at = slot(self.table, self.cells, *cell)
        if self.table[at] >= 0:
            return int(self.table[at])
        if self.count == len(self.cells):
            self._grow()
            at = slot(self.table, self.cells, *cell)
        self.cells[self.count], self.table[at] = cell, self.count
        self.count += 1
        return self.count - 1

    def _grow(self) -> None:
        fresh = len(self.cells)
        self.cells = np.concatenate([self.cells, np.zeros((fresh, 2), np.int64)])
        self.weight = np.concatenate([self.weight, np.full((fresh, 9), self.w0)])
        self.stalls = np.concatenate([self.stalls, np.zeros((fresh, 9), np.int32)])
        self.hits = np.concatenate([self.hits, np.zeros((fresh, 9), np.int32)])
        self.table = np.full(4 * len(self.cells), -1, np.int64)
        _rehash(self.table, self.cells, self.count)

    def value(self, cell: tuple[int, int], edge: int) -> float:
        """Weight of an edge, known or not."""
        at = self.table[slot(self.table, self.cells, *cell)]
        return float(self.weight[at, edge]) if at >= 0 else self.w0

    def stall_count(self, cell: tuple[int, int], edge: int) -> int:
        """Stalls of an edge since the search began."""
        at = self.table[slot(self.table, self.cells, *cell)]
        return int(self.stalls[at, edge]) if at >= 0 else 0

    def strengthen(self, cell: tuple[int, int], edge: int, eta: float, eta_m: float) -> None:
        """Hebb: intended and reached. ``w += eta (1 - w)``, under the cap that stalls have set."""
        row = self.row(cell)
        raised = self.weight[row, edge] + eta * (1.0 - self.weight[row, edge])
        self.weight[row, edge] = min(raised, self._cap(row, edge, eta_m))

    def depress(self, cell: tuple[int, int], edge: int, eta_m: float) -> None:
        """Anti-Hebb: intended and never reached. ``w *= 1 - eta_m``; counts the stall."""
        row = self.row(cell)
        self.stalls[row, edge] += 1
        lowered = self.weight[row, edge] * (1.0 - eta_m)
        self.weight[row, edge] = max(min(lowered, self._cap(row, edge, eta_m)), FLOOR)

    def _cap(self, row: int, edge: int, eta_m: float) -> float:
        return max((1.0 - eta_m) ** max(0, self.stalls[row, edge] - GRACE), FLOOR)

    def forget(self, rate: float) -> None:
        """Drift of every weight towards the untried one."""
        self.weight[: self.count] += rate * (self.w0 - self.weight[: self.count])

    def settle(self) -> None:
        """A search has ended: counts of stalls and spread events begin anew, weights stay."""
        self.stalls[:], self.hits[:] = 0, 0

    def near(self, point: np.ndarray, heading: np.ndarray, cosine: float, radius: float):
        """Edges headed like `heading` (2,) that pass within `radius` of `point` (2,), m.

        Returns:
            cells (e, 2), edges (e,), and sampled points of each (e, 5, 2), those farther than `radius` included.
        """
        alike = np.flatnonzero(HEADINGS @ heading >= cosine)
        reach = int(np.ceil(radius / self.spacing)) + 2
        line = np.arange(-reach, reach + 1)
        block = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2) + np.array(
            self.cell(point)
        )
        cells, edges = np.repeat(block, len(alike), axis=0), np.tile(alike, len(block))
        start = self.offset + self.spacing * cells
        points = start[:, None] + self.spacing * _SAMPLES[:, None] * STEPS[edges][:, None]
        close = (((points - point) ** 2).sum(-1) < radius**2).any(1)
        return cells[close], edges[close], points[close]

    def weaken(self, cell: tuple[int, int], edge: int, factor: float, most: int) -> None:
        """One spread event lowers an edge by `factor`; after `most` of them in a search it does no more."""
        row = self.row(cell)
        if self.hits[row, edge] < most:
            self.hits[row, edge] += 1
            self.weight[row, edge] = max(self.weight[row, edge] * factor, FLOOR)

    @property
    def edges(self) -> int:
        """Number of edges whose weight is not the untried one."""
        return int((self.weight[: self.count] != self.w0).sum())

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All of it as arrays; memory in bytes is their sum."""
        n = self.count
        return {
            "lattice": np.array([self.spacing, *self.offset, self.w0]),
            "cells": self.cells[:n].copy(),
            "weight": self.weight[:n].copy(),
            "stalls": self.stalls[:n].copy(),
            "hits": self.hits[:n].copy(),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Graph:
        """The graph that `to_arrays` took down."""
        spacing, *offset, w0 = arrays["lattice"].tolist()
        graph = cls(spacing, np.array(offset), w0)
        for row, cell in enumerate(arrays["cells"].tolist()):
            assert graph.row((cell[0], cell[1])) == row
        n = graph.count
        graph.weight[:n], graph.stalls[:n], graph.hits[:n] = (
            arrays[k] for k in ("weight", "stalls", "hits")
        )
        return graph

"""Sensor homeostasis: how alike a robot's sensor series are across environments, by dynamic time warping.

Powers et al. 2021 (arXiv 2108.08398; docs/systems/goodbody.md, "Homeostasis"). The step pattern is Sakoe and Chiba's
`symmetric2`. The distance is the warped sum over the summed lengths of both series, as in the DTW library of R and Julia.

dtw-python has both, but it keeps the whole matrix (twice 0.8 GB for 10,001 samples); dtaidistance, tslearn and aeon have
other step patterns. So the recursion is written here, along diagonals, which needs the memory of three of them. Tests
hold it against dtw-python.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numba import njit

from ....errors import LanceletError
from ....threads import in_threads


@njit(nogil=True, cache=True, error_model="numpy")
def _symmetric2(first, second):
    """Least sum of |first_i - second_j| along a path from end to end, where a diagonal step counts twice.

    Cells of one anti-diagonal, i + j = k, depend on the two diagonals before it only. Cell (i, k - i) is entry i + 1 of
    diagonal k: entry 0 stays infinite and stands for what lies outside of the matrix.
    """
    first_length = len(first)
    second_length = len(second)
    reversed_second = second[::-1].copy()
    before_previous = np.full(first_length + 1, math.inf)
    previous = np.full(first_length + 1, math.inf)
    present = np.full(first_length + 1, math.inf)
    previous[1] = abs(first[0] - second[0])
    for k in range(1, first_length + second_length - 1):
        low = max(0, k - second_length + 1)
        high = min(first_length - 1, k)
        # The three arrays are used in turn: an entry just outside of this diagonal may be left from an older one.
        present[low] = math.inf
        first_values = first[low : high + 1]
        # On a diagonal i rises while j falls: against the reversed series both rise.
        offset = second_length - 1 - k
        second_values = reversed_second[offset + low : offset + high + 1]
        from_first = previous[low : high + 1]  # cell (i - 1, j)
        from_second = previous[low + 1 : high + 2]  # cell (i, j - 1)
        from_diagonal = before_previous[low : high + 1]  # cell (i - 1, j - 1)
        sums = present[low + 1 : high + 2]
        for cell in range(len(sums)):
            cost = abs(first_values[cell] - second_values[cell])
            least = from_second[cell]
            if from_first[cell] < least:
                least = from_first[cell]
            diagonal = from_diagonal[cell] + cost
            if diagonal < least:
                least = diagonal
            sums[cell] = least + cost
        if high + 2 <= first_length:
            present[high + 2] = math.inf
        oldest = before_previous
        before_previous = previous
        previous = present
        present = oldest
    return previous[first_length]


@njit(nogil=True, cache=True)
def _align_rows(begin, end, first, second, distances):
    """Write the normalised distances of rows `begin` to `end` - 1 into `distances`: what one thread does."""
    for row in range(begin, end):
        lengths = first.shape[1] + second.shape[1]
        distances[row] = _symmetric2(first[row], second[row]) / lengths


def dtw(first: Any, second: Any, threads: int = 0) -> np.ndarray:
    """Normalised distance between two arrays of series, row by row.

    Args:
        first: series of shape (..., n), finite.
        second: series of shape (..., m), as many as in `first`, finite.
        threads: how many threads share the rows; 0 means one a core.

    Returns:
        float64 of shape (...); 0 for equal series.

    Raises:
        LanceletError: a series is empty, their numbers differ, or a value is not finite.
    """
    first = np.asarray(first, float)
    second = np.asarray(second, float)
    if first.shape[:-1] != second.shape[:-1] or not first.size or not second.size:
        raise LanceletError(
            f"series of shapes {first.shape} and {second.shape}: need equal numbers of series, none empty"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise LanceletError("series: a number is not finite")
    shape = first.shape[:-1]
    distances = np.empty(math.prod(shape))
    first_rows = np.ascontiguousarray(first.reshape(len(distances), -1))
    second_rows = np.ascontiguousarray(second.reshape(len(distances), -1))
    in_threads(_align_rows, len(distances), threads, first_rows, second_rows, distances)
    return distances.reshape(shape)


def homeostasis(series: Any, threads: int = 0) -> np.ndarray:
    """H: mean over sensors and pairs of environments of the normalised distance; lower is more alike.

    Args:
        series: sensor values of shape (..., environments, sensors, samples).
        threads: how many threads share the alignments; 0 means one a core.

    Returns:
        float64 of shape (...).
    """
    series = np.asarray(series, float)
    environments = range(series.shape[-3])
    pairs = np.array(list(itertools.combinations(environments, 2)))
    first = series[..., pairs[:, 0], :, :]
    second = series[..., pairs[:, 1], :, :]
    distances = dtw(first, second, threads)
    return distances.mean((-1, -2))

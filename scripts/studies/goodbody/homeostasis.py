"""Sensor homeostasis: how alike a robot's sensor series are across environments, by dynamic time warping.

Powers et al. 2021 (arXiv 2108.08398; docs/systems/goodbody.md, "Homeostasis"). The step pattern is
Sakoe & Chiba's symmetric2, the distance
that sum over the summed lengths, as in the DTW library of R and Julia. dtw-python has both but keeps the whole matrix
(0.8 GB twice for 10,001 samples); dtaidistance, tslearn and aeon have other step patterns. So the recursion is here,
along diagonals, in memory of three; tests hold it against dtw-python.
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
def _symmetric2(one, two):
    """Least sum of |one_i - two_j| along a path from end to end, a diagonal step counted twice."""
    n, m = len(one), len(two)
    back = two[::-1].copy()
    before, last, now = np.full(n + 1, math.inf), np.full(n + 1, math.inf), np.full(n + 1, math.inf)
    # entry i + 1 of diagonal k is cell (i, k - i)
    last[1] = abs(one[0] - two[0])
    for k in range(1, n + m - 1):
        low, high = max(0, k - m + 1), min(n - 1, k)
        now[low] = math.inf
        a, b = one[low : high + 1], back[m - 1 - k + low : m - k + high]
        side, straight, cross = (
            last[low : high + 1],
            last[low + 1 : high + 2],
            before[low : high + 1],
        )
        to = now[low + 1 : high + 2]
        for i in range(len(to)):
            cost = abs(a[i] - b[i])
            least = side[i] if side[i] < straight[i] else straight[i]
            both = cross[i] + cost
            least = both if both < least else least
            to[i] = least + cost
        if high + 2 <= n:
            now[high + 2] = math.inf
        before, last, now = last, now, before
    return last[n]


@njit(nogil=True, cache=True)
def _all(first, last, one, two, out):
    for item in range(first, last):
        out[item] = _symmetric2(one[item], two[item]) / (one.shape[1] + two.shape[1])


def dtw(one: Any, two: Any, threads: int = 0) -> np.ndarray:
    """Normalised distance of series (..., n) from series (..., m), row by row: float64 (...).

    Raises:
        LanceletError: an empty series, unequal numbers of series, or a number that is not finite.
    """
    one, two = np.asarray(one, float), np.asarray(two, float)
    if one.shape[:-1] != two.shape[:-1] or not one.size or not two.size:
        raise LanceletError(
            f"series of shapes {one.shape} and {two.shape}: need equal numbers of series, none empty"
        )
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise LanceletError("series: a number is not finite")
    out = np.empty(math.prod(one.shape[:-1]))
    rows = [np.ascontiguousarray(series.reshape(len(out), -1)) for series in (one, two)]
    in_threads(_all, len(out), threads, *rows, out)
    return out.reshape(one.shape[:-1])


def homeostasis(series: Any, threads: int = 0) -> np.ndarray:
    """H: mean over sensors and pairs of environments of the normalised distance; lower is more alike.

    Args:
        series: sensor values (..., environments, sensors, samples).
        threads: that share the alignments; 0: one a core.

    Returns:
        float64 (...).
    """
    series = np.asarray(series, float)
    pairs = np.array(list(itertools.combinations(range(series.shape[-3]), 2)))
    return dtw(series[..., pairs[:, 0], :, :], series[..., pairs[:, 1], :, :], threads).mean(
        (-1, -2)
    )

"""Statistics of results: intervals by the bootstrap, differences of pairs, corrections for many tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """P values of a family, corrected for it (Holm 1979), in the same order."""
    raw = np.asarray(p, float)
    order, corrected = np.argsort(raw, kind="stable"), np.empty(len(raw))
    corrected[order] = np.minimum(
        np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1)), 1.0
    )
    return corrected


def interval(
    values: Sequence[float] | np.ndarray, statistic: Callable[..., Any] = np.mean
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean, or of another statistic; seeded, so that it is always the same.

    Args:
        values: one a seed.
        statistic: of values and ``axis``.
    """
    from scipy.stats import bootstrap

    sample = np.asarray(values, float)
    if len(sample) < 2 or np.ptp(sample) == 0:
        return float(sample.mean()), float(sample.mean())
    found = bootstrap(
        (sample,), statistic, n_resamples=5000, method="percentile", rng=np.random.default_rng(0)
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def paired_difference(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Mean of `ours` - `theirs` on the same start states, and its 95 % percentile bootstrap interval; seeded.

    Start states are resampled for both sides together, trainings on each side by themselves: a start state that is
    hard for both does not widen the interval.

    Args:
        ours: returns (trainings, start states).
        theirs: returns (trainings, start states): other trainings, the same start states in the same order.
    """
    if ours.ndim != 2 or theirs.ndim != 2 or ours.shape[1] != theirs.shape[1]:
        raise ValueError(
            f"shapes {ours.shape} and {theirs.shape}: must be (trainings, start states), equal starts"
        )
    rng = np.random.default_rng(0)
    resamples = 5000
    differences = np.empty(resamples)
    for i in range(resamples):
        starts = rng.integers(ours.shape[1], size=ours.shape[1])
        our_trainings = rng.integers(len(ours), size=len(ours))
        their_trainings = rng.integers(len(theirs), size=len(theirs))
        our_mean = ours[our_trainings].mean(axis=0)[starts].mean()
        their_mean = theirs[their_trainings].mean(axis=0)[starts].mean()
        differences[i] = our_mean - their_mean
    low, high = np.percentile(differences, [2.5, 97.5])
    return float(ours.mean() - theirs.mean()), (float(low), float(high))


def interquartile(values: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Interquartile mean of all `values` (seeds, episodes), and its 95 % interval by resampling seeds.

    Source: Agarwal et al. 2021 (NeurIPS), the mean of the middle half. One seed alone is resampled by its episodes.
    """
    from scipy.stats import bootstrap, trim_mean

    rows = values if len(values) > 1 else values.T

    def statistic(index: np.ndarray) -> float:
        return float(trim_mean(rows[index.astype(int)].ravel(), 0.25))

    value = statistic(np.arange(len(rows)))
    if np.ptp(values) == 0:
        return value, (value, value)
    settings: Any = {
        "n_resamples": 2000,
        "vectorized": False,
        "method": "percentile",
        "rng": np.random.default_rng(0),
    }
    found = bootstrap((np.arange(len(rows)),), statistic, **settings).confidence_interval
    return value, (float(found.low), float(found.high))

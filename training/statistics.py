"""Statistics of results: intervals by the bootstrap, differences of pairs, corrections for many tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

RESAMPLES = 5000
"""resamples of a bootstrap of means and differences"""
INTERQUARTILE_RESAMPLES = 2000
"""resamples of a bootstrap of interquartile means, which are slow"""
BOOTSTRAP_SEED = 0
"""seed of every bootstrap: the same values always have the same interval"""
INTERVAL_PERCENTILES = (2.5, 97.5)
"""ends of a 95 % interval"""
NORMAL_QUANTILE = 1.959963984540054
"""standard deviations from the mean of a normal distribution to either end of its middle 95 %"""
TRIMMED_SHARE = 0.25
"""share of the values that the interquartile mean leaves out at each end"""


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """P values of a family, corrected for it (Holm 1979), in the same order.

    The i-th smallest of m values is multiplied by m - i + 1, is no smaller than those before it, and at most 1.
    """
    raw = np.asarray(p, float)
    smallest_first = np.argsort(raw, kind="stable")
    factors = np.arange(len(raw), 0, -1)
    # The running maximum: a larger p value must not become the smaller one by its factor.
    non_decreasing = np.maximum.accumulate(raw[smallest_first] * factors)
    corrected = np.empty(len(raw))
    corrected[smallest_first] = np.minimum(non_decreasing, 1.0)
    return corrected


def interval(
    values: Sequence[float] | np.ndarray, statistic: Callable[..., Any] = np.mean
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean, or of another statistic; always the same for the same values.

    Args:
        values: one a seed.
        statistic: of values and ``axis``.

    Returns:
        Both ends; the mean twice where there is one value, or where all are equal.
    """
    from scipy.stats import bootstrap

    sample = np.asarray(values, float)
    # scipy refuses a single value, and where all are equal there is nothing to resample.
    if len(sample) < 2 or np.ptp(sample) == 0:
        return float(sample.mean()), float(sample.mean())
    result = bootstrap(
        (sample,),
        statistic,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(BOOTSTRAP_SEED),
    )
    ends = result.confidence_interval
    return float(ends.low), float(ends.high)


def share_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % score interval of a share (Wilson 1927): it has a width where none or all of the trials succeed, too.

    Args:
        successes: how many trials succeeded, 0 to `trials`.
        trials: how many there were, 1 or more.

    Returns:
        Both ends, in [0, 1].
    """
    share = successes / trials
    square = NORMAL_QUANTILE**2
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    spread = math.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    half_width = NORMAL_QUANTILE * spread / (1 + square / trials)
    # Where none or all succeed, that end is exactly 0 or 1; the sums above would miss it by rounding.
    low = 0.0 if successes == 0 else middle - half_width
    high = 1.0 if successes == trials else middle + half_width
    return low, high


def paired_difference(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Mean of `ours` - `theirs` on the same start states, with a 95 % percentile bootstrap interval.

    Start states are resampled for both sides together, trainings on each side by themselves: a start state that is
    hard for both does not widen the interval.

    Args:
        ours: returns (trainings, start states).
        theirs: returns (trainings, start states): other trainings, the same start states in the same order.

    Returns:
        The mean, and both ends of its interval.
    """
    if ours.ndim != 2 or theirs.ndim != 2 or ours.shape[1] != theirs.shape[1]:
        raise ValueError(
            f"shapes {ours.shape} and {theirs.shape}: must be (trainings, start states), equal starts"
        )
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    start_count = ours.shape[1]
    differences = np.empty(RESAMPLES)
    for resample in range(RESAMPLES):
        starts = rng.integers(start_count, size=start_count)
        our_trainings = rng.integers(len(ours), size=len(ours))
        their_trainings = rng.integers(len(theirs), size=len(theirs))
        our_mean = ours[our_trainings].mean(axis=0)[starts].mean()
        their_mean = theirs[their_trainings].mean(axis=0)[starts].mean()
        differences[resample] = our_mean - their_mean
    low, high = np.percentile(differences, INTERVAL_PERCENTILES)
    return float(ours.mean() - theirs.mean()), (float(low), float(high))


def interquartile(values: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Interquartile mean of all values: the mean of their middle half (Agarwal et al. 2021, NeurIPS).

    Args:
        values: (seeds, episodes).

    Returns:
        The mean, and both ends of its 95 % interval by resampling seeds; one seed alone is resampled by its episodes.
    """
    from scipy.stats import bootstrap, trim_mean

    # One seed alone: its episodes are the rows that are resampled.
    rows = values if len(values) > 1 else values.T

    def statistic(index: np.ndarray) -> float:
        return float(trim_mean(rows[index.astype(int)].ravel(), TRIMMED_SHARE))

    row_numbers = np.arange(len(rows))
    mean = statistic(row_numbers)
    if np.ptp(values) == 0:
        return mean, (mean, mean)
    result = bootstrap(
        (row_numbers,),
        statistic,
        n_resamples=INTERQUARTILE_RESAMPLES,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(BOOTSTRAP_SEED),
    )
    ends = result.confidence_interval
    return mean, (float(ends.low), float(ends.high))

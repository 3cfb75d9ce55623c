"""Planned contrasts of the bilateral study: ratios paired by seed, their intervals, permutation tests, Holm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import permutation_test

from lancelet.scripts.studies._bilateral_measures import Figures, error
from lancelet.training.report import holm, interval

SIGNIFICANT, WORSE, FEW = 0.05, 1.05, 5
"""level after Holm's correction; non-inferiority: at most 5 % worse; seeds below which no claim is judged"""


def judged(seeds: int, holds: Any) -> bool | None:
    """What a claim's row says of `holds`."""
    return bool(holds) if seeds >= FEW else None


@dataclass(frozen=True)
class Contrast:
    """One model against another by a figure where less is better."""

    name: str
    ratio: float
    """geometric mean over seeds"""
    interval: tuple[float, float]
    """95 %, bootstrap over seeds"""
    p: float
    """two-sided, sign flips"""
    effect: float
    """mean log ratio over its standard deviation (Cohen's d_z)"""
    corrected: float = 1.0
    """p after Holm's correction over the family"""

    @property
    def note(self) -> str:
        """For a row."""
        return f"p = {self.p:.2g}, Holm {self.corrected:.2g}, d_z = {self.effect:.2f}"

    @property
    def lower(self) -> bool:
        """Below 1 for certain."""
        return self.ratio < 1 and self.corrected < SIGNIFICANT


def contrast(name: str, ours: np.ndarray, theirs: np.ndarray) -> Contrast:
    """`ours` over `theirs`, (seeds,) each, paired."""
    return of_logs(name, np.log(ours) - np.log(theirs))


def of_logs(name: str, logs: np.ndarray) -> Contrast:
    """The contrast whose log ratios are `logs`, (seeds,)."""
    spread = float(logs.std(ddof=1)) if len(logs) > 1 else 0.0
    p = 1.0
    if spread:
        flips = (logs, np.zeros_like(logs))
        settings: Any = {"permutation_type": "samples", "n_resamples": 10_000, "rng": np.random.default_rng(0)}
        p = float(permutation_test(flips, _difference, vectorized=True, **settings).pvalue)
    low, high = interval(logs)
    effect = float(logs.mean() / spread) if spread else 0.0
    return Contrast(name, float(np.exp(logs.mean())), (float(np.exp(low)), float(np.exp(high))), p, effect)


def _difference(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
    return one.mean(axis) - other.mean(axis)


def planned(by_task: Mapping[str, Figures]) -> dict[str, Contrast]:
    """The family of one loss mode: hands, bilateral models against both hands, callosum, baselines; by its keys.

    Keys: ``task one/other``; ``interaction`` is how the hands' ratio on reach differs from that on hold.
    """
    pairs = [("U-D", "U-ND")] + [(s, hand) for s in ("B-S", "CC-S") for hand in ("U-D", "U-ND")]
    pairs += [("CC-N", "B-N"), ("CC-S", "B-S"), ("B-S", "B-N"), ("B-N", "U-N")]
    found = []
    for task, figures in by_task.items():
        beyond = [("B-S", "E-N"), ("B-S", "U8-N")] if "E-N" in figures else []
        for one, other in pairs + beyond:
            rows = (figures[one][error(task)], figures[other][error(task)])
            found.append(contrast(f"{task} {one}/{other}", *rows))
    hands = [np.log(figures["U-D"][error(task)] / figures["U-ND"][error(task)]) for task, figures in by_task.items()]
    found.append(of_logs("interaction", hands[0] - hands[1]))
    family = holm([each.p for each in found])
    return {each.name: replace(each, corrected=float(p)) for each, p in zip(found, family, strict=True)}


def crossover(by_task: Mapping[str, Figures], metric: Mapping[str, str]) -> dict[str, Contrast]:
    """Loss 1's hand over loss 2's in each task by a metric of each; of a ``log_`` metric what it is the log of."""
    found = {}
    for task, figures in by_task.items():
        name = metric[task]
        one, other = (figures[hand][name] for hand in ("U-D", "U-ND"))
        found[task] = of_logs(task, one - other) if name.startswith("log_") else contrast(task, one, other)
    return found


def frontier(errors: Mapping[str, float], efforts: Mapping[str, float]) -> list[str]:
    """Models that no other beats in error and effort at once."""
    return [
        name for name in errors
        if not any(errors[k] < errors[name] and efforts[k] < efforts[name] for k in errors if k != name)
    ]  # fmt: skip

"""Planned contrasts of the bilateral study: ratios paired by seed, their intervals, permutation tests, Holm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import permutation_test

from lancelet.scripts.studies.bilateral.measures import Figures, error
from lancelet.training.statistics import holm, interval

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
    corrected: float | None = None
    """p after Holm's correction over the family; None: the contrast is of no family"""

    @property
    def note(self) -> str:
        """For a row."""
        holm_told = "" if self.corrected is None else f", Holm {self.corrected:.2g}"
        return f"p = {self.p:.2g}{holm_told}, d_z = {self.effect:.2f}"

    @property
    def significant(self) -> bool:
        """Whether p is below the level after the correction over the family."""
        if self.corrected is None:
            raise ValueError(
                f"contrast {self.name} was not corrected for its family: `as_family` first"
            )
        return self.corrected < SIGNIFICANT

    @property
    def lower(self) -> bool:
        """Below 1 for certain."""
        return self.ratio < 1 and self.significant

    @property
    def apart(self) -> bool:
        """Other than 1 for certain: p after correction, and the interval."""
        return self.significant and (self.interval[0] > 1 or self.interval[1] < 1)


def as_family(contrasts: Sequence[Contrast]) -> list[Contrast]:
    """The contrasts with their p values corrected for being tested together (Holm)."""
    corrected = holm([each.p for each in contrasts])
    return [replace(each, corrected=float(p)) for each, p in zip(contrasts, corrected, strict=True)]


def contrast(name: str, ours: np.ndarray, theirs: np.ndarray) -> Contrast:
    """`ours` over `theirs`, (seeds,) each, paired."""
    return of_logs(name, np.log(ours) - np.log(theirs))


def of_logs(name: str, logs: np.ndarray) -> Contrast:
    """The contrast whose log ratios are `logs`, (seeds,)."""
    spread = float(logs.std(ddof=1)) if len(logs) > 1 else 0.0
    p = 1.0
    if spread:
        flips = (logs, np.zeros_like(logs))
        settings: Any = {
            "permutation_type": "samples",
            "n_resamples": 10_000,
            "rng": np.random.default_rng(0),
        }
        p = float(permutation_test(flips, _difference, vectorized=True, **settings).pvalue)
    low, high = interval(logs)
    effect = float(logs.mean() / spread) if spread else 0.0
    return Contrast(
        name, float(np.exp(logs.mean())), (float(np.exp(low)), float(np.exp(high))), p, effect
    )


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
    hands = [
        np.log(figures["U-D"][error(task)] / figures["U-ND"][error(task)])
        for task, figures in by_task.items()
    ]
    found.append(of_logs("interaction", hands[0] - hands[1]))
    return {each.name: each for each in as_family(found)}


def crossover(by_task: Mapping[str, Figures], metric: Mapping[str, str]) -> dict[str, Contrast]:
    """Loss 1's hand over loss 2's in each task by a metric of each; of a ``log_`` metric what it is the log of."""
    found = {}
    for task, figures in by_task.items():
        name = metric[task]
        one, other = (figures[hand][name] for hand in ("U-D", "U-ND"))
        found[task] = (
            of_logs(task, one - other) if name.startswith("log_") else contrast(task, one, other)
        )
    return found


def frontier(errors: Mapping[str, float], efforts: Mapping[str, float]) -> list[str]:
    """Models that no other beats in error and effort at once."""
    return [
        name for name in errors
        if not any(errors[k] < errors[name] and efforts[k] < efforts[name] for k in errors if k != name)
    ]  # fmt: skip

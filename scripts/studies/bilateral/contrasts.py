"""Planned contrasts of the bilateral study: ratios paired by seed, their intervals, permutation tests, Holm.

What the families are for stands in docs/systems/arm.md, "Row codes".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import permutation_test

from lancelet.scripts.studies.bilateral.measures import Figures, error_metric
from lancelet.scripts.studies.bilateral.plant import TaskName
from lancelet.training.statistics import holm, interval

SIGNIFICANT = 0.05
"""level of p after Holm's correction"""
WORSE = 1.05
"""non-inferiority: a ratio of errors whose interval ends below it is at most 5 % worse"""
FEWEST_SEEDS = 5
"""with fewer trainings no claim is judged"""
RESAMPLES = 10_000
"""most sign flips of a test; up to 13 seeds all 2**n of them are fewer, and the test is exact"""
PLANNED_PAIRS = (
    # the two hands
    ("U-D", "U-ND"),
    # bilateral models against both hands
    ("B-S", "U-D"),
    ("B-S", "U-ND"),
    ("CC-S", "U-D"),
    ("CC-S", "U-ND"),
    # with callosum against without
    ("CC-N", "B-N"),
    ("CC-S", "B-S"),
    # what specialisation, and what a second column, does by itself
    ("B-S", "B-N"),
    ("B-N", "U-N"),
)
"""model, and what it is held against, in each task"""
BASELINE_PAIRS = (
    ("B-S", "E-N"),
    ("B-S", "U8-N"),
)
"""the same, in loss modes under which the baselines were trained"""
INTERACTION = "interaction"
"""name of the contrast that asks whether the hands' ratio on reach differs from that on hold"""


def verdict(seeds: int, holds: bool) -> bool | None:
    """What a claim's row says: None where too few seeds were trained to judge.

    Args:
        seeds: how many trainings there are.
        holds: what they show.
    """
    return bool(holds) if seeds >= FEWEST_SEEDS else None


@dataclass(frozen=True)
class Contrast:
    """One model against another by a figure where less is better."""

    name: str
    ratio: float
    """Geometric mean over seeds of the first model's figure over the second's."""
    interval: tuple[float, float]
    """Bootstrap interval of the ratio over seeds, 95 %."""
    p: float
    """Two-sided p value of the sign-flip test, not corrected."""
    effect: float
    """Mean log ratio over its standard deviation (Cohen's d_z)."""
    corrected: float | None = None
    """p after Holm's correction over the family; None: the contrast is of no family."""

    @property
    def note(self) -> str:
        """p, corrected p where there is one, and effect, in words for a row."""
        holm_words = "" if self.corrected is None else f", Holm {self.corrected:.2g}"
        return f"p = {self.p:.2g}{holm_words}, d_z = {self.effect:.2f}"

    @property
    def is_significant(self) -> bool:
        """Whether p is below the level after the correction over the family.

        Raises:
            ValueError: the contrast was not corrected.
        """
        if self.corrected is None:
            raise ValueError(
                f"contrast {self.name} was not corrected for its family: `as_family` first"
            )
        return self.corrected < SIGNIFICANT

    @property
    def is_lower(self) -> bool:
        """Whether the ratio is below 1, by p after the correction."""
        return self.ratio < 1 and self.is_significant

    @property
    def differs(self) -> bool:
        """Whether the ratio is other than 1, both by p after the correction and by the interval."""
        low, high = self.interval
        return self.is_significant and (low > 1 or high < 1)


def as_family(contrasts: Sequence[Contrast]) -> list[Contrast]:
    """The contrasts with their p values corrected for being tested together (Holm)."""
    corrected = holm([member.p for member in contrasts])
    return [
        replace(member, corrected=float(p)) for member, p in zip(contrasts, corrected, strict=True)
    ]


def contrast(name: str, ours: np.ndarray, theirs: np.ndarray) -> Contrast:
    """The contrast of `ours` over `theirs`, paired by seed.

    Args:
        name: of the contrast.
        ours: a figure above 0 of the first model, (seeds,).
        theirs: the same figure of the second model, (seeds,).
    """
    return of_logs(name, np.log(ours) - np.log(theirs))


def of_logs(name: str, logs: np.ndarray) -> Contrast:
    """The contrast whose log ratios are `logs`, (seeds,); equal log ratios have p = 1 and no effect."""
    # Without spread the flips have nothing to flip, and the effect would be a division by zero.
    spread = float(logs.std(ddof=1)) if len(logs) > 1 else 0.0
    p = 1.0
    effect = 0.0
    if spread:
        p = _sign_flip_test(logs)
        effect = float(logs.mean() / spread)
    low, high = interval(logs)
    return Contrast(
        name=name,
        ratio=float(np.exp(logs.mean())),
        interval=(float(np.exp(low)), float(np.exp(high))),
        p=p,
        effect=effect,
    )


def _sign_flip_test(logs: np.ndarray) -> float:
    """Two-sided p value of the permutation test that flips the signs of paired differences."""
    # Exchanging a pair (log ratio, 0) is flipping the sign of the log ratio.
    result = permutation_test(
        (logs, np.zeros_like(logs)),
        _difference_of_means,
        vectorized=True,
        permutation_type="samples",
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def _difference_of_means(first: np.ndarray, second: np.ndarray, axis: int) -> np.ndarray:
    """The statistic of the sign-flip test."""
    return first.mean(axis) - second.mean(axis)


def planned(by_task: Mapping[TaskName, Figures]) -> dict[str, Contrast]:
    """The family of one loss mode: hands, bilateral models against both hands, callosum, baselines.

    Args:
        by_task: task -> figures of its models; reach first, then hold.

    Returns:
        The contrasts by name, corrected as one family: ``task first/second``, and `INTERACTION`.
    """
    contrasts = []
    hands = []
    for task, figures in by_task.items():
        metric = error_metric(task)
        # The baselines were trained under the intended loss alone.
        pairs = PLANNED_PAIRS
        if "E-N" in figures:
            pairs += BASELINE_PAIRS
        for first, second in pairs:
            name = f"{task} {first}/{second}"
            contrasts.append(contrast(name, figures[first][metric], figures[second][metric]))
        hands.append(np.log(figures["U-D"][metric] / figures["U-ND"][metric]))
    on_reach, on_hold = hands
    contrasts.append(of_logs(INTERACTION, on_reach - on_hold))
    return {member.name: member for member in as_family(contrasts)}


def crossover(
    by_task: Mapping[TaskName, Figures], metrics: Mapping[TaskName, str]
) -> dict[TaskName, Contrast]:
    """Loss 1's hand over loss 2's in each task.

    Args:
        by_task: task -> figures of its models.
        metrics: task -> metric to compare by; a metric ``log_...`` is the log of what is compared.
    """
    result = {}
    for task, figures in by_task.items():
        metric = metrics[task]
        loss_1_hand = figures["U-D"][metric]
        loss_2_hand = figures["U-ND"][metric]
        if metric.startswith("log_"):
            result[task] = of_logs(task, loss_1_hand - loss_2_hand)
        else:
            result[task] = contrast(task, loss_1_hand, loss_2_hand)
    return result


def frontier(errors: Mapping[str, float], efforts: Mapping[str, float]) -> list[str]:
    """Models that no other beats in error and effort at once (the Pareto frontier).

    Args:
        errors: model -> error.
        efforts: model -> effort, of the same models.
    """
    best = []
    for name in errors:
        is_beaten = any(
            errors[other] < errors[name] and efforts[other] < efforts[name] for other in errors
        )
        if not is_beaten:
            best.append(name)
    return best

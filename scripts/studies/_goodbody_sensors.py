"""Sensor homeostasis in the goodbody study: do resistant bodies feel alike wherever they start (E)?"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import spearmanr

from lancelet.morphology.braitenberg import CORNERS, design
from lancelet.scripts.rows import Row, at_most
from lancelet.scripts.studies._goodbody_search import many
from lancelet.scripts.study import Study
from lancelet.training.homeostasis import homeostasis
from lancelet.training.kinematic import grid, manifolds, trace
from lancelet.training.report import interval

COMPARED = {"quick": (16, 16), "shown": (200, 240), "full": (200, 2000)}
"""bodies of E2, at least and at most, of those with an optimal policy"""


def felt(body: Any, weights: Any) -> np.ndarray:
    """H of raw sensor values and of their decimal logarithms, (2,)."""
    series = np.moveaxis(trace(body, weights)[:, :, 3:], -1, -2)
    series = np.clip(series, 1e-12, 1e12)  # a sensor on the light reads infinity, one far away nothing
    return np.array([homeostasis(series, threads=1), homeostasis(np.log10(series), threads=1)])


def settling(study: Study, data: dict[str, Any]) -> None:
    """E1: H of the last best against that of the first that solved all four, in each run of body and policy."""
    found = data["together"]
    solved = np.flatnonzero(found["solved"][0, :, -1] == 4)

    def make() -> dict[str, Any]:
        points = [*found["onset"][solved], *found["final"][solved]]
        values = many([lambda p=p: felt(p[:4], p[4:]) for p in points])
        return {"h": np.array(values).reshape(2, -1, 2)}

    h = study.stage("settling", make)["h"]
    ratios = h[1] / h[0]
    note = (
        f"runs that solved all four; median H {np.median(h[0, :, 0]):.4f} at first, {np.median(h[1, :, 0]):.4f} at the "
    )
    note += f"end; with log-sensor values the ratio is {np.median(ratios[:, 1]):.2f}"
    ratio = float(np.median(ratios[:, 0]))
    study.add(at_most("E1 H at the end over H at the first 4/4, median", "claim", ratio, 0.5, reference=0.06, note=note,
                      seeds=len(solved), interval=interval(ratios[:, 0], np.median)))  # fmt: skip


def resistance(study: Study, data: dict[str, np.ndarray]) -> None:
    """E2: H against r1 over bodies that have an optimal policy, one of these drawn at random."""
    able = np.flatnonzero(data["r1"] > 0)[: COMPARED[study.size][1]]
    size = data["counts"].shape[-1]

    def make() -> dict[str, Any]:
        numbers, counts = list(data["numbers"][able]), list(data["counts"][able])
        for number in further(data["numbers"], COMPARED[study.size][0] - len(numbers)):
            numbers.append(number)
            counts.append(manifolds(design(number), size).count)
        kept = [k for k, count in enumerate(counts) if (count == 4).any()]
        jobs = [lambda k=k: felt(design(numbers[k]), chosen(int(numbers[k]), counts[k])) for k in kept]
        r1 = np.array([(counts[k] == 4).mean() for k in kept])
        return {"h": np.array(many(jobs)), "r1": r1}

    found = study.stage("felt", make)
    data["felt"] = found
    for k, name in enumerate(("", ", log-sensor values")):
        test = spearmanr(found["r1"], found["h"][:, k], alternative="less")
        rho, p = float(test.statistic), float(test.pvalue)  # pyright: ignore[reportAttributeAccessIssue]
        note = f"{len(found['r1'])} bodies that have an optimal policy, {len(able)} of the map; one-sided p = {p:.2g}"
        study.add(Row(f"E2 rank correlation of r1 and H{name}", "claim", rho, "< 0, p < 0.05",
                      bool(rho < 0 and p < 0.05), note=note))  # fmt: skip


def further(known: np.ndarray, count: int) -> list[int]:
    """`count` more design numbers, in an order that a seed gives, of bodies with an optimal policy on a coarse grid."""
    found: list[int] = []
    for number in np.random.default_rng(2021).permutation(CORNERS**4) + 1:
        if len(found) >= count:
            break
        if number not in known and manifolds(design(number), 31).optimal:
            found.append(int(number))
    return found


def chosen(number: int, counts: np.ndarray) -> np.ndarray:
    """One of a body's optimal policies, drawn at random by a key of its own."""
    rng = np.random.default_rng(np.random.SeedSequence([5, number]))
    return grid(counts.shape[-1])[rng.choice(np.flatnonzero(counts.ravel() == 4))]

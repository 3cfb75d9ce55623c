"""Sensor homeostasis in the goodbody study: do resistant bodies feel alike wherever they start (E)?"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import spearmanr

from lancelet.envs.kinematic import grid, manifolds, trace
from lancelet.morphology.braitenberg import CORNERS, design
from lancelet.scripts.rows import Row, at_most
from lancelet.scripts.studies.goodbody.homeostasis import homeostasis
from lancelet.scripts.studies.goodbody.search import evolved_runs, many
from lancelet.scripts.study import Study
from lancelet.training.statistics import interval

E1_GRID = 61
"""weights a side of the policy grid that the policies of E1 are drawn from"""
E1_POLICIES = 1
"""policies a body in E1, as in E2: one takes seconds"""
COMPARED = {"quick": (16, 16), "shown": (200, 240), "full": (200, 2000)}
"""bodies of E2, at least and at most, of those with an optimal policy"""


def felt(body: Any, weights: Any) -> np.ndarray:
    """H of raw sensor values and of their decimal logarithms, (2,)."""
    series = np.moveaxis(trace(body, weights)[:, :, 3:], -1, -2)
    series = np.clip(
        series, 1e-12, 1e12
    )  # a sensor on the light reads infinity, one far away nothing
    return np.array([homeostasis(series, threads=1), homeostasis(np.log10(series), threads=1)])


def settling(study: Study) -> None:
    """E1: H of the last best body against that of the first body that solved all four, in each run of both.

    As the spec words it the ratio is taken with the run's own policy, which the search changes with the body: another
    policy in the same body has another H. What is asked here is the body: each is driven by policies drawn from all
    of its own that solve the four environments, on a grid, and bodies of the same run are compared.
    """
    runs = evolved_runs(study)
    solved = np.flatnonzero(runs["solved"][:, -1] == 4)

    def make() -> dict[str, Any]:
        counts = many([lambda b=b: manifolds(b, E1_GRID).count for b in _bodies(runs, solved)])
        return {"counts": np.array(counts).reshape(2, len(solved), *counts[0].shape)}

    counts = study.stage("evolved-grids", make)["counts"]
    # A body may solve all four between two points of the grid only: then there is nothing to draw from.
    able = np.flatnonzero((counts == 4).any(axis=(2, 3)).all(axis=0))

    def feel() -> dict[str, Any]:
        jobs = []
        for moment, name in enumerate(("onset", "final")):
            for run in able:
                body = runs[name][solved[run], :4]
                policies = _policies(counts[moment, run], key=(moment, int(solved[run])))
                jobs += [lambda body=body, policy=policy: felt(body, policy) for policy in policies]
        return {"h": np.array(many(jobs)).reshape(2, len(able), E1_POLICIES, 2)}

    h = study.stage("evolved-felt", feel)["h"].mean(axis=2)
    ratios = h[1] / h[0]
    ratio = float(np.median(ratios[:, 0]))
    note = (
        f"bodies of the same run, each with {E1_POLICIES} policies drawn from those that solve all four on "
        f"{E1_GRID} x {E1_GRID}; {len(able)} of the {len(solved)} runs that solved all four have such policies for "
        f"both bodies; median H {np.median(h[0, :, 0]):.4f} at first, {np.median(h[1, :, 0]):.4f} at the end; with "
        f"log-sensor values the ratio is {np.median(ratios[:, 1]):.2f}"
    )
    name = "E1 H of the last body over H of the first that solved all four, median"
    between = interval(ratios[:, 0], np.median)
    study.add(at_most(name, "claim", ratio, 0.5, note=note, seeds=len(able), interval=between))


def _bodies(runs: dict[str, np.ndarray], solved: np.ndarray) -> list[np.ndarray]:
    """The first bodies of the runs, then the last ones."""
    return [body for name in ("onset", "final") for body in runs[name][solved, :4]]


def _policies(counts: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Policies (E1_POLICIES, 2) drawn at random from those of a body that solve all four; with repeats where few do."""
    rng = np.random.default_rng(np.random.SeedSequence([6, *key]))
    optimal = np.flatnonzero(counts.ravel() == 4)
    return grid(counts.shape[-1])[rng.choice(optimal, E1_POLICIES)]


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
        jobs = [
            lambda k=k: felt(design(numbers[k]), chosen(int(numbers[k]), counts[k])) for k in kept
        ]
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

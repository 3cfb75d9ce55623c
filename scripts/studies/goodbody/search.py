"""Searches of the goodbody study: does a good body make every method fast (C), and is it found with its policy (D)?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from scipy.stats import poisson, spearmanr, wilcoxon

from lancelet.envs.kinematic import distances, manifolds
from lancelet.morphology.braitenberg import CANONICAL, HALF, design
from lancelet.scripts.rows import Row, at_least
from lancelet.scripts.studies.goodbody.placement_search import LABELS, Found, search
from lancelet.scripts.study import Study
from lancelet.training.statistics import holm, interval

BUDGET = 500
METHODS = ("random", "pattern", "snes", "de")
BODIES = {"quick": 16, "shown": 200, "full": 400}
REPEATS = {"quick": 3, "shown": 5, "full": 10}
SEEDS = {"quick": 6, "shown": 30, "full": 30}
POPULATION, PARETO = 10, 50
"""of SNES and DE; of NSGA-II, which is the paper's first population"""
WEIGHTS = [(-1.0, -1.0), (1.0, 1.0)]
"""low, high"""


def stratified(r1: np.ndarray, count: int) -> np.ndarray:
    """Indices of `count` bodies: seven in ten spread over the ranks of those with r1 > 0, the others without."""
    order = np.argsort(r1, kind="stable")
    zeros, some = order[r1[order] == 0], order[r1[order] > 0]
    wanted = min(len(some), max(count - len(zeros), round(0.7 * count)))
    spread = (
        some[np.unique(np.linspace(0, len(some) - 1, wanted).round().astype(int))]
        if wanted
        else some[:0]
    )
    return np.concatenate([spread, zeros[: count - len(spread)]])


def many(jobs: Iterable[Callable[[], Any]]) -> list[Any]:
    """What the jobs give, in order, a thread a core."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda job: job(), jobs))


def policy(
    method: str, body: Any, *key: int, budget: int = BUDGET, population: int = POPULATION
) -> Found:
    """A search over the policy alone."""
    return search(
        method,
        lambda points: distances(body, points, threads=1),
        WEIGHTS[0],
        WEIGHTS[1],
        key,
        budget,
        population,
    )


def both(key: tuple[int, ...]) -> Found:
    """A search over body and policy together."""
    low, high = [-HALF] * 4 + [-1.0] * 2, [HALF] * 4 + [1.0] * 2
    return search(
        "nsga2", lambda x: distances(x[:, :4], x[:, 4:], threads=1), low, high, key, BUDGET, PARETO
    )


def efficiency(study: Study, data: dict[str, Any]) -> None:
    """C1 and C2: evaluations until all four environments are solved, for each method and body."""
    chosen = stratified(data["r1"], BODIES[study.size])
    numbers, repeats = data["numbers"][chosen], REPEATS[study.size]
    first = np.zeros((len(METHODS), len(numbers), repeats), int)
    for k, method in enumerate(METHODS):

        def make(k: int = k, method: str = method) -> dict[str, Any]:
            jobs = [
                lambda n=n, r=r: policy(method, design(n), 1, k, int(n), r).first
                for n in numbers
                for r in range(repeats)
            ]
            return {"first": np.array(many(jobs)).reshape(len(numbers), repeats)}

        first[k] = study.stage(f"search-{method}", make)["first"]
        study.say(
            f"  {LABELS[method]}: {first[k].size} searches, {(first[k] <= BUDGET).mean():.0%} found an optimum"
        )
    data["chosen"], data["first"] = chosen, first
    _correlations(study, data["area"][chosen], first)
    _geometric(study, data["area"][chosen], first[0])


def _correlations(study: Study, r1: np.ndarray, first: np.ndarray) -> None:
    found = [spearmanr(r1, np.median(rows, 1), alternative="less") for rows in first]
    family = holm([one.pvalue for one in found])  # pyright: ignore[reportAttributeAccessIssue]
    for method, one, corrected, rows in zip(METHODS, found, family, first, strict=True):
        rho = float(one.statistic)  # pyright: ignore[reportAttributeAccessIssue]
        note = (
            f"{LABELS[method]}; {len(r1)} bodies, {rows.shape[1]} repeats, censored at {BUDGET}: "
        )
        note += f"{(rows <= BUDGET).mean():.0%} of searches found an optimum; Holm-corrected one-sided p = {corrected:.1g}"
        study.add(Row(f"C1 {method}: rank correlation of r1 and evaluations", "claim", rho, "< 0, p < 0.01",
                      bool(rho < 0 and corrected < 0.01), seeds=rows.shape[1], note=note))  # fmt: skip


def _geometric(study: Study, area: np.ndarray, first: np.ndarray) -> None:
    """C2: successes against what the grid foretells, the sum of r1 over all evaluations made: a count of Poisson's."""
    used, hits = np.minimum(first, BUDGET), int((first <= BUDGET).sum())
    expected = float((used * area[:, None]).sum())
    low, high = poisson.ppf([0.025, 0.975], expected)
    note = f"{first.size} random searches; 1 / r1 evaluations to an optimum by the geometric law, those cut off at "
    note += f"{BUDGET} among them; successes over their expected number, target: its 95 % interval"
    study.within("C2 random search against 1 / r1", "gate", hits / expected, low / expected, high / expected,
                 reference=1.0, note=f"{hits} against {expected:.1f}; {note}", seeds=first.shape[1])  # fmt: skip


def evolved_runs(study: Study) -> dict[str, np.ndarray]:
    """Runs of body and policy together: their courses, and the points (runs, 6) that E1 compares.

    Returns:
        ``curves``, ``solved``, ``first``: as `_courses` gives them.
        ``onset``: body and policy of the first point that solved all four (of the last point, where none did).
        ``final``: body and policy of the best point at the end.
    """

    def make() -> dict[str, Any]:
        runs = many([lambda s=s: both((2, 0, s)) for s in range(SEEDS[study.size])])
        onset = np.array([run.points[min(run.first, BUDGET) - 1] for run in runs])
        final = np.array([run.points[run.best[-1]] for run in runs])
        return {**_courses(runs), "onset": onset, "final": final}

    return study.stage("evolved-runs", make)


def _courses(runs: list[Found]) -> dict[str, np.ndarray]:
    """Of each run: mean distance of the best so far, environments it solves, and evaluations until it solves four."""
    return {
        "curves": np.array([run.curve for run in runs]),
        "solved": np.array([run.solved for run in runs]),
        "first": np.array([run.first for run in runs]),
    }


def together(study: Study, data: dict[str, Any]) -> None:
    """D1 to D3: body and policy together against the policy alone on three bodies."""
    count, order = SEEDS[study.size], np.argsort(data["r1"] + 1e-6 * data["r2"], kind="stable")
    best, median = data["numbers"][order[-1]], data["numbers"][order[len(order) // 2]]
    fixed = {"canonical": CANONICAL, "best": design(best), "median": design(median)}

    def make() -> dict[str, Any]:
        jobs = []
        for k, body in enumerate(fixed.values(), 1):
            jobs += [
                lambda s=s, k=k, body=body: policy("nsga2", body, 2, k, s, population=PARETO)
                for s in range(count)
            ]
        return _courses(many(jobs))

    evolved = evolved_runs(study)
    alone = study.stage("policies-alone", make)
    found: dict[str, Any] = {"onset": evolved["onset"], "final": evolved["final"]}
    for name in ("curves", "solved", "first"):
        arms = alone[name].reshape(len(fixed), count, *alone[name].shape[1:])
        found[name] = np.concatenate([evolved[name][None], arms])
    data["together"], data["arms"] = (
        found,
        ["body and policy", *(f"policy, {name} body" for name in fixed)],
    )
    final, success = found["curves"][:, :, -1], found["solved"][:, :, -1] == 4
    area = np.log10(found["curves"]).mean(2)
    test = wilcoxon(final[0], final[1])
    effect = _rank_biserial(final[0] - final[1])
    lower = bool(final[0].mean() < final[1].mean() and success[0].mean() >= success[1].mean())
    note = f"mean distance of the best at {BUDGET} evaluations, {final[0].mean():.4f} against {final[1].mean():.4f} m "
    note += f"(medians {np.median(final[0]):.4f}, {np.median(final[1]):.4f}); solved all four: {success[0].mean():.0%} "
    note += f"against {success[1].mean():.0%}; Wilcoxon p = {test.pvalue:.2g}, rank-biserial {effect:.2f}; mean log10 "  # pyright: ignore[reportAttributeAccessIssue]
    note += f"distance over all evaluations {area[0].mean():.2f} against {area[1].mean():.2f}; {LABELS['nsga2']}"
    study.add(Row("D1 body and policy together over the canonical body: distance", "claim",
                  float(final[0].mean() / final[1].mean()), "< 1, and no fewer solve", lower, seeds=count,
                  note=note))  # fmt: skip

    def grids() -> dict[str, Any]:
        return {"r1": np.array([manifolds(point[:4]).r1 for point in found["final"]])}

    r1 = data["evolved r1"] = study.stage("evolved", grids)["r1"]
    note = f"121 x 121; 10 x the canonical body's; {np.median(r1) / 0.001776:.0f} x; the map's best {data['r1'].max():.3f}"
    study.add(at_least("D2 median r1 of the bodies that were evolved", "claim", float(np.median(r1)), 0.018,
                       seeds=count, interval=interval(r1, np.median), note=note))  # fmt: skip
    for k, (name, what) in enumerate({"best": best, "median": median}.items(), 2):
        gap = wilcoxon(final[0], final[k])
        value = data["r1"][list(data["numbers"]).index(what)]
        note = f"design {what}, r1 = {value:.4f}; solved all four: {success[k].mean():.0%}; first at a median of "
        note += f"{np.median(found['first'][k]):.0f} evaluations ({np.median(found['first'][0]):.0f} together, "
        note += (
            f"{np.median(found['first'][1]):.0f} canonical); against together p = {gap.pvalue:.2g}"  # pyright: ignore[reportAttributeAccessIssue]
        )
        study.add(Row(f"D3 policy alone, {name} body of the map: distance, m", "info", float(final[k].mean()),
                      seeds=count,
                      interval=interval(final[k]), note=note))  # fmt: skip


def _rank_biserial(gaps: np.ndarray) -> float:
    """Effect size of Wilcoxon's test: -1 where every gap is below zero."""
    from scipy.stats import rankdata

    gaps = gaps[gaps != 0]
    ranks = rankdata(np.abs(gaps))
    return float((ranks * np.sign(gaps)).sum() / ranks.sum())

"""Searches of the goodbody study: does a good body make every method fast (C), and is it found with its policy (D)?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from scipy.stats import poisson, rankdata, spearmanr, wilcoxon

from lancelet.envs.kinematic import distances, manifolds
from lancelet.morphology.braitenberg import CANONICAL, HALF, design
from lancelet.scripts.rows import Row, at_least
from lancelet.scripts.studies.goodbody.map import BodyMap
from lancelet.scripts.studies.goodbody.placement_search import (
    ALL_LIGHTS,
    LABELS,
    SearchResult,
    search,
)
from lancelet.scripts.study import Study
from lancelet.training.statistics import holm, interval

BUDGET = 500
"""evaluations of every search; one evaluation is one genome in all four environments"""
METHODS = ("random", "pattern", "snes", "de")
"""methods that search over the policy alone (C)"""
BODIES = {"quick": 16, "shown": 200, "full": 400}
"""size of the study -> bodies that are searched (C)"""
REPEATS = {"quick": 3, "shown": 5, "full": 10}
"""size of the study -> searches of each method in each body (C)"""
SEEDS = {"quick": 6, "shown": 30, "full": 30}
"""size of the study -> searches over body and policy, and over the policy in each fixed body (D)"""
SHARE_WITH_OPTIMA = 0.7
"""share of the bodies of C that have an optimal policy on the grid"""

POPULATION = 10
"""individuals of SNES and DE"""
PARETO_POPULATION = 50
"""individuals of NSGA-II: the paper's first population"""
POLICY_LOW = (-1.0, -1.0)
"""least weights of a policy"""
POLICY_HIGH = (1.0, 1.0)
"""greatest weights of a policy"""
BODY_GENES = 4
"""columns of an individual that are its body, forward and left of both sensors; its policy follows"""

# What keeps the random numbers of the experiments apart: the first entry of every key.
C_KEY = 1
D_KEY = 2
# Its second entry in D: 0 for body and policy together; the fixed bodies count from 1.
TOGETHER_KEY = 0
FIRST_FIXED_KEY = 1

TIE_BREAK = 1e-6
"""weight of r2 beside r1: less than one policy of a grid counts"""
SIGNIFICANT = 0.01
"""Holm-corrected one-sided p value below which C1 holds"""
CANONICAL_R1 = 0.001776
"""r1 of the canonical body on the full grid: 26 of 121 x 121 policies"""
LEAST_EVOLVED_R1 = 0.018
"""ten times the canonical body's r1 (D2)"""

# Arms of `Together`: body and policy together, then the policy alone in three fixed bodies.
ARM_TOGETHER = 0
ARM_CANONICAL = 1
ARM_BEST = 2
ARM_MEDIAN = 3

Result = TypeVar("Result")


@dataclass
class Efficiency:
    """How soon the methods of C find an optimal policy."""

    chosen: np.ndarray
    """entries of the map of bodies that were searched, (bodies,)"""
    evaluations: np.ndarray
    """evaluations until all four environments were solved, `BUDGET` + 1 where they never were: (methods, bodies, repeats)"""


@dataclass
class Together:
    """Body and policy searched together, and the policy alone in three bodies: four arms with as many runs each."""

    arms: list[str]
    """names of the arms, as a picture's legend has them"""
    curves: np.ndarray
    """mean distance of the best point so far, (arms, runs, `BUDGET`), m"""
    solved: np.ndarray
    """most environments that one point solved so far, (arms, runs, `BUDGET`)"""
    evaluations: np.ndarray
    """evaluations until all four environments were solved, `BUDGET` + 1 where they never were: (arms, runs)"""
    onset: np.ndarray
    """first individuals that solved all four, of the runs of body and policy: (runs, 6)"""
    final: np.ndarray
    """best individuals at the end, of the runs of body and policy: (runs, 6)"""

    @property
    def final_distance(self) -> np.ndarray:
        """Mean distance of the best point at the end, (arms, runs), m."""
        return self.curves[:, :, -1]

    @property
    def has_solved(self) -> np.ndarray:
        """Whether a point of the run solved all four environments, (arms, runs)."""
        return self.solved[:, :, -1] == ALL_LIGHTS


# Searches


def run_jobs(jobs: Iterable[Callable[[], Result]]) -> list[Result]:
    """What the jobs give, in order, a thread a core."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda job: job(), jobs))


def search_policy(
    method: str, body: Sequence[float] | np.ndarray, key: Sequence[int], population: int
) -> SearchResult:
    """A search over the policy alone.

    Args:
        method: of `placement_search.LABELS`.
        body: placement of the sensors, (4,), m.
        key: of the random stream; no other search has it.
        population: individuals, of methods that have some.
    """

    def evaluate(policies: np.ndarray) -> np.ndarray:
        # One thread each: the searches themselves run side by side.
        return distances(body, policies, threads=1)

    return search(
        method,
        evaluate,
        low=POLICY_LOW,
        high=POLICY_HIGH,
        seed=key,
        budget=BUDGET,
        population=population,
    )


def search_body_and_policy(key: Sequence[int]) -> SearchResult:
    """A search by NSGA-II over body and policy together: points (evaluations, 6).

    Args:
        key: of the random stream; no other search has it.
    """

    def evaluate(individuals: np.ndarray) -> np.ndarray:
        bodies = individuals[:, :BODY_GENES]
        policies = individuals[:, BODY_GENES:]
        return distances(bodies, policies, threads=1)

    low = [-HALF] * BODY_GENES + list(POLICY_LOW)
    high = [HALF] * BODY_GENES + list(POLICY_HIGH)
    return search(
        "nsga2",
        evaluate,
        low=low,
        high=high,
        seed=key,
        budget=BUDGET,
        population=PARETO_POPULATION,
    )


# C: the policy alone, in many bodies


def stratified(r1: np.ndarray, count: int) -> np.ndarray:
    """Indices of `count` bodies: seven in ten spread over the ranks of those with r1 > 0, the others without."""
    order = np.argsort(r1, kind="stable")
    without_optima = order[r1[order] == 0]
    with_optima = order[r1[order] > 0]
    least_needed = count - len(without_optima)
    wanted = min(len(with_optima), max(least_needed, round(SHARE_WITH_OPTIMA * count)))
    ranks = np.linspace(0, len(with_optima) - 1, wanted).round().astype(int)
    # Neighbouring ranks may round to the same one.
    spread = with_optima[np.unique(ranks)]
    return np.concatenate([spread, without_optima[: count - len(spread)]])


def efficiency(study: Study, body_map: BodyMap) -> Efficiency:
    """C1 and C2: evaluations until all four environments are solved, for each method and body."""
    chosen = stratified(body_map.r1, BODIES[study.size])
    numbers = body_map.numbers[chosen]
    area = body_map.area[chosen]
    by_method = []
    for method in METHODS:
        make = partial(_evaluations_of_method, method, numbers, REPEATS[study.size])
        evaluations = study.stage(f"search-{method}", make)["first"]
        success = (evaluations <= BUDGET).mean()
        study.say(
            f"  {LABELS[method]}: {evaluations.size} searches, {success:.0%} found an optimum"
        )
        by_method.append(evaluations)
    result = Efficiency(chosen=chosen, evaluations=np.stack(by_method))
    _correlations(study, area, result.evaluations)
    _geometric(study, area, result.evaluations[METHODS.index("random")])
    return result


def _evaluations_of_method(method: str, numbers: np.ndarray, repeats: int) -> dict[str, np.ndarray]:
    """Evaluations to solve all four environments of one method in every body: ``first``, (bodies, repeats).

    Args:
        method: of `METHODS`.
        numbers: design numbers of the bodies, (bodies,).
        repeats: searches a body.
    """
    jobs = []
    for number in numbers:
        for repeat in range(repeats):
            key = (C_KEY, METHODS.index(method), int(number), repeat)
            jobs.append(partial(_evaluations_to_solve, method, design(number), key))
    evaluations = np.array(run_jobs(jobs))
    return {"first": evaluations.reshape(len(numbers), repeats)}


def _evaluations_to_solve(method: str, body: np.ndarray, key: Sequence[int]) -> int:
    """Evaluations of one search; its points are forgotten, since thousands of searches would not fit into memory."""
    return search_policy(method, body, key, POPULATION).evaluations_to_solve


def _correlations(study: Study, r1: np.ndarray, evaluations: np.ndarray) -> None:
    """C1: the better the body, the fewer evaluations, for each method; corrected for the four tests.

    Args:
        study: takes the rows.
        r1: of the bodies, (bodies,).
        evaluations: to solve all four environments, (methods, bodies, repeats).
    """
    correlations = []
    p_values = []
    for of_method in evaluations:
        test: Any = spearmanr(r1, np.median(of_method, axis=1), alternative="less")
        correlations.append(float(test.statistic))
        p_values.append(test.pvalue)
    # Four tests of one claim: corrected as a family.
    corrected_p_values = holm(p_values)
    repeats = evaluations.shape[2]
    for index, method in enumerate(METHODS):
        correlation = correlations[index]
        corrected = corrected_p_values[index]
        success = (evaluations[index] <= BUDGET).mean()
        note = (
            f"{LABELS[method]}; {len(r1)} bodies, {repeats} repeats, censored at {BUDGET}: "
            f"{success:.0%} of searches found an optimum; Holm-corrected one-sided p = {corrected:.1g}"
        )
        study.add(
            Row(
                name=f"C1 {method}: rank correlation of r1 and evaluations",
                kind="claim",
                value=correlation,
                target=f"< 0, p < {SIGNIFICANT}",
                holds=bool(correlation < 0 and corrected < SIGNIFICANT),
                seeds=repeats,
                note=note,
            )
        )


def _geometric(study: Study, area: np.ndarray, evaluations: np.ndarray) -> None:
    """C2: the successes of random search against what the grid foretells.

    Every evaluation of random search succeeds with the probability r1 of its body. Over all evaluations made, the
    expected number of successes is therefore the sum of r1, and their number is nearly Poisson-distributed.

    Args:
        study: takes the row.
        area: r1 of the bodies by the trapezoid rule, (bodies,).
        evaluations: of random search, (bodies, repeats).
    """
    made = np.minimum(evaluations, BUDGET)
    successes = int((evaluations <= BUDGET).sum())
    expected = float((made * area[:, None]).sum())
    # The interval of the count, divided by the expected count, is that of the ratio.
    low, high = poisson.ppf([0.025, 0.975], expected)
    note = (
        f"{successes} against {expected:.1f}; {evaluations.size} random searches; 1 / r1 evaluations to an optimum by "
        f"the geometric law, those cut off at {BUDGET} among them; successes over their expected number, target: its "
        "95 % interval"
    )
    study.within(
        "C2 random search against 1 / r1",
        "gate",
        successes / expected,
        low=low / expected,
        high=high / expected,
        reference=1.0,
        note=note,
        seeds=evaluations.shape[1],
    )


# D: body and policy together


def evolved_runs(study: Study) -> dict[str, np.ndarray]:
    """Runs of body and policy together: their courses, and the points (runs, 6) that E1 compares.

    Returns:
        ``curves``, ``solved``, ``first``: as `_courses` gives them.
        ``onset``: body and policy of the first point that solved all four (of the last point, where none did).
        ``final``: body and policy of the best point at the end.
    """
    return study.stage("evolved-runs", partial(_search_together, SEEDS[study.size]))


def _search_together(count: int) -> dict[str, np.ndarray]:
    """`count` searches over body and policy: what `evolved_runs` gives."""
    keys = [(D_KEY, TOGETHER_KEY, seed) for seed in range(count)]
    runs = run_jobs([partial(search_body_and_policy, key) for key in keys])
    onset = []
    final = []
    for run in runs:
        # A run that never solved all four counts BUDGET + 1 evaluations: its last point stands in.
        onset_index = min(run.evaluations_to_solve, BUDGET) - 1
        onset.append(run.points[onset_index])
        final.append(run.points[run.best_index[-1]])
    return {**_courses(runs), "onset": np.array(onset), "final": np.array(final)}


def _courses(runs: list[SearchResult]) -> dict[str, np.ndarray]:
    """How each run went.

    Returns:
        ``curves``: mean distance of the best point so far, (runs, `BUDGET`), m.
        ``solved``: most environments that one point solved so far, (runs, `BUDGET`).
        ``first``: evaluations until a point solved all four, (runs,).
    """
    return {
        "curves": np.array([run.best_distance for run in runs]),
        "solved": np.array([run.most_solved for run in runs]),
        "first": np.array([run.evaluations_to_solve for run in runs]),
    }


def together(study: Study, body_map: BodyMap) -> Together:
    """D1 to D3: body and policy together against the policy alone on three bodies."""
    count = SEEDS[study.size]
    # r2 orders the bodies whose r1 is equal, most of all those without an optimal policy.
    order = np.argsort(body_map.r1 + TIE_BREAK * body_map.r2, kind="stable")
    best = int(body_map.numbers[order[-1]])
    median = int(body_map.numbers[order[len(order) // 2]])
    bodies = {"canonical": CANONICAL, "best": design(best), "median": design(median)}

    evolved = evolved_runs(study)
    alone = study.stage("policies-alone", partial(_search_alone, list(bodies.values()), count))
    arms_alone = [f"policy, {name} body" for name in bodies]
    result = Together(
        arms=["body and policy", *arms_alone],
        curves=_stacked_arms(evolved["curves"], alone["curves"]),
        solved=_stacked_arms(evolved["solved"], alone["solved"]),
        evaluations=_stacked_arms(evolved["first"], alone["first"]),
        onset=evolved["onset"],
        final=evolved["final"],
    )
    _against_canonical(study, result)
    _evolved_resistance(study, result, float(body_map.r1.max()))
    for arm, name, number in ((ARM_BEST, "best", best), (ARM_MEDIAN, "median", median)):
        r1 = body_map.r1[list(body_map.numbers).index(number)]
        _alone_in_body(
            study, result, arm, f"{name} body of the map", f"design {number}, r1 = {r1:.4f}"
        )
    return result


def _search_alone(bodies: Sequence[Any], count: int) -> dict[str, np.ndarray]:
    """`count` searches over the policy in each fixed body: `_courses`, body by body."""
    jobs = []
    for body_key, body in enumerate(bodies, FIRST_FIXED_KEY):
        for seed in range(count):
            key = (D_KEY, body_key, seed)
            jobs.append(partial(search_policy, "nsga2", body, key, PARETO_POPULATION))
    return _courses(run_jobs(jobs))


def _stacked_arms(evolved: np.ndarray, alone: np.ndarray) -> np.ndarray:
    """The arms in the order of `ARM_TOGETHER` to `ARM_MEDIAN`: (runs, ...) and (bodies * runs, ...) -> (arms, runs, ...)."""
    arms_alone = alone.reshape(-1, *evolved.shape)
    return np.concatenate([evolved[None], arms_alone])


def _against_canonical(study: Study, result: Together) -> None:
    """D1: the distance at the end of the budget, body and policy together against the policy in the canonical body."""
    ours = result.final_distance[ARM_TOGETHER]
    theirs = result.final_distance[ARM_CANONICAL]
    our_success = result.has_solved[ARM_TOGETHER].mean()
    their_success = result.has_solved[ARM_CANONICAL].mean()
    # The mean over all evaluations also says how soon a search came near.
    log_distance = np.log10(result.curves).mean(axis=2)
    test: Any = wilcoxon(ours, theirs)
    effect = _rank_biserial(ours - theirs)
    note = (
        f"mean distance of the best at {BUDGET} evaluations, {ours.mean():.4f} against {theirs.mean():.4f} m "
        f"(medians {np.median(ours):.4f}, {np.median(theirs):.4f}); solved all four: {our_success:.0%} "
        f"against {their_success:.0%}; Wilcoxon p = {test.pvalue:.2g}, rank-biserial {effect:.2f}; mean log10 "
        f"distance over all evaluations {log_distance[ARM_TOGETHER].mean():.2f} against "
        f"{log_distance[ARM_CANONICAL].mean():.2f}; {LABELS['nsga2']}"
    )
    study.add(
        Row(
            name="D1 body and policy together over the canonical body: distance",
            kind="claim",
            value=float(ours.mean() / theirs.mean()),
            target="< 1, and no fewer solve",
            holds=bool(ours.mean() < theirs.mean() and our_success >= their_success),
            seeds=len(ours),
            note=note,
        )
    )


def _evolved_resistance(study: Study, result: Together, best_r1: float) -> None:
    """D2: r1 of the bodies that the searches over body and policy end with.

    Args:
        study: takes the row.
        result: what the searches gave.
        best_r1: the largest of the map of bodies.
    """

    def make() -> dict[str, np.ndarray]:
        bodies = result.final[:, :BODY_GENES]
        return {"r1": np.array([manifolds(body).r1 for body in bodies])}

    r1 = study.stage("evolved", make)["r1"]
    median = np.median(r1)
    note = f"121 x 121; 10 x the canonical body's; {median / CANONICAL_R1:.0f} x; the map's best {best_r1:.3f}"
    study.add(
        at_least(
            "D2 median r1 of the bodies that were evolved",
            "claim",
            float(median),
            LEAST_EVOLVED_R1,
            seeds=len(r1),
            interval=interval(r1, np.median),
            note=note,
        )
    )


def _alone_in_body(study: Study, result: Together, arm: int, name: str, about: str) -> None:
    """D3: the policy alone in a body of the map.

    Args:
        study: takes the row.
        result: what the searches gave.
        arm: of `result`.
        name: of the body.
        about: its design number and r1, for the note.
    """
    distance = result.final_distance[arm]
    test: Any = wilcoxon(result.final_distance[ARM_TOGETHER], distance)
    evaluations = np.median(result.evaluations, axis=1)
    note = (
        f"{about}; solved all four: {result.has_solved[arm].mean():.0%}; first at a median of "
        f"{evaluations[arm]:.0f} evaluations ({evaluations[ARM_TOGETHER]:.0f} together, "
        f"{evaluations[ARM_CANONICAL]:.0f} canonical); against together p = {test.pvalue:.2g}"
    )
    study.add(
        Row(
            name=f"D3 policy alone, {name}: distance, m",
            kind="info",
            value=float(distance.mean()),
            seeds=len(distance),
            interval=interval(distance),
            note=note,
        )
    )


def _rank_biserial(differences: np.ndarray) -> float:
    """Rank-biserial correlation, the effect size of Wilcoxon's test: -1 where every difference is below zero."""
    # Wilcoxon's test leaves pairs without a difference out.
    nonzero = differences[differences != 0]
    ranks = rankdata(np.abs(nonzero))
    return float((ranks * np.sign(nonzero)).sum() / ranks.sum())

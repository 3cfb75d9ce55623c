"""Sensor homeostasis in the goodbody study: do resistant bodies feel alike wherever they start (E)?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from lancelet.envs.kinematic import grid, manifolds, trace
from lancelet.morphology.braitenberg import CORNERS, design
from lancelet.scripts.rows import Row, at_most
from lancelet.scripts.studies.goodbody.homeostasis import homeostasis
from lancelet.scripts.studies.goodbody.map import BodyMap
from lancelet.scripts.studies.goodbody.placement_search import ALL_LIGHTS
from lancelet.scripts.studies.goodbody.search import BODY_GENES, evolved_runs, run_jobs
from lancelet.scripts.study import Study
from lancelet.training.statistics import interval

E1_GRID = 61
"""weights a side of the policy grid that the policies of E1 are drawn from"""
E1_POLICIES = 1
"""policies a body in E1, as in E2: one takes seconds"""
FEWEST_COMPARED = {"quick": 16, "shown": 200, "full": 200}
"""size of the study -> bodies of E2 at least: more are sought where the map has fewer with an optimal policy"""
MOST_COMPARED = {"quick": 16, "shown": 240, "full": 2000}
"""size of the study -> bodies of E2 at most"""
COARSE_GRID = 31
"""weights a side of the grid on which further bodies are looked for"""
SIGNIFICANT = 0.05
"""one-sided p value below which E2 holds"""

FIRST_SENSOR = 3
"""column of a trace: before it stand x, y and the heading"""
READABLE = (1e-12, 1e12)
"""range of a sensor's value: one on the light reads infinity, one far away reads nothing"""

MOMENTS = ("onset", "final")
"""bodies of a run that E1 compares: the first that solved all four environments, and the last"""

# Columns of what `felt` gives.
RAW = 0
LOGARITHM = 1

# What keeps the random numbers of E1 and E2 apart.
E1_KEY = 6
E2_KEY = 5
FURTHER_BODIES_SEED = 2021


@dataclass
class Felt:
    """Sensor homeostasis of bodies, each with one of its optimal policies (E2)."""

    h: np.ndarray
    """H of raw sensor values and of their logarithms, (bodies, 2): columns `RAW` and `LOGARITHM`"""
    r1: np.ndarray
    """share of policies that solve all four environments, (bodies,)"""


def felt(body: Sequence[float] | np.ndarray, weights: np.ndarray) -> np.ndarray:
    """H of raw sensor values and of their decimal logarithms, (2,): columns `RAW` and `LOGARITHM`."""
    sensors = trace(body, weights)[:, :, FIRST_SENSOR:]
    series = np.moveaxis(sensors, -1, -2)
    series = np.clip(series, *READABLE)
    return np.array([homeostasis(series, threads=1), homeostasis(np.log10(series), threads=1)])


def settling(study: Study) -> None:
    """E1: H of the last best body against that of the first body that solved all four, in each run of both.

    The paper words it with the run's own policy, which the search changes together with the body; but another policy
    in the same body has another H. What is asked here is the body: each is driven by policies drawn from all of its own
    that solve the four environments, on a grid, and bodies of the same run are compared.
    """
    runs = evolved_runs(study)
    solved = np.flatnonzero(runs["solved"][:, -1] == ALL_LIGHTS)
    counts = study.stage("evolved-grids", lambda: _counts_on_grid(runs, solved))["counts"]
    # A body may solve all four between two points of the grid only: then there is nothing to draw from.
    is_optimal = counts == ALL_LIGHTS
    both_have_policies = is_optimal.any(axis=(2, 3)).all(axis=0)
    able = np.flatnonzero(both_have_policies)
    stage = study.stage("evolved-felt", lambda: _felt_by_bodies(runs, solved, able, counts))
    h = stage["h"].mean(axis=2)
    h_at_onset, h_at_end = h
    ratios = h_at_end / h_at_onset
    ratio = float(np.median(ratios[:, RAW]))
    note = (
        f"bodies of the same run, each with {E1_POLICIES} policies drawn from those that solve all four on "
        f"{E1_GRID} x {E1_GRID}; {len(able)} of the {len(solved)} runs that solved all four have such policies for "
        f"both bodies; median H {np.median(h_at_onset[:, RAW]):.4f} at first, "
        f"{np.median(h_at_end[:, RAW]):.4f} at the end; with log-sensor values the ratio is "
        f"{np.median(ratios[:, LOGARITHM]):.2f}"
    )
    name = "E1 H of the last body over H of the first that solved all four, median"
    between = interval(ratios[:, RAW], np.median)
    study.add(at_most(name, "claim", ratio, 0.5, note=note, seeds=len(able), interval=between))


def _counts_on_grid(runs: dict[str, np.ndarray], solved: np.ndarray) -> dict[str, np.ndarray]:
    """How many environments each policy of the grid solves: (moments, runs, E1_GRID, E1_GRID)."""
    jobs = []
    for moment in MOMENTS:
        for body in runs[moment][solved, :BODY_GENES]:
            jobs.append(partial(_counts, body))
    counts = run_jobs(jobs)
    shape = (len(MOMENTS), len(solved), *counts[0].shape)
    return {"counts": np.array(counts).reshape(shape)}


def _counts(body: np.ndarray) -> np.ndarray:
    """How many environments each policy of E1's grid solves in a body: (E1_GRID, E1_GRID)."""
    return manifolds(body, E1_GRID).count


def _felt_by_bodies(
    runs: dict[str, np.ndarray], solved: np.ndarray, able: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """H of both bodies of each run with policies drawn for it: (moments, runs, E1_POLICIES, 2).

    Args:
        runs: what `evolved_runs` gives.
        solved: the runs that solved all four environments.
        able: entries of `solved` whose bodies both have an optimal policy on the grid.
        counts: what `_counts_on_grid` gives.
    """
    jobs = []
    for moment_index, moment in enumerate(MOMENTS):
        for run in able:
            body = runs[moment][solved[run], :BODY_GENES]
            key = (moment_index, int(solved[run]))
            for policy in _policies(counts[moment_index, run], key):
                jobs.append(partial(felt, body, policy))
    return {"h": np.array(run_jobs(jobs)).reshape(len(MOMENTS), len(able), E1_POLICIES, 2)}


def _policies(counts: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Policies (E1_POLICIES, 2) drawn at random from a body's optimal ones; with repeats where there are few."""
    rng = np.random.default_rng(np.random.SeedSequence([E1_KEY, *key]))
    optimal = np.flatnonzero(counts.ravel() == ALL_LIGHTS)
    return grid(counts.shape[-1])[rng.choice(optimal, E1_POLICIES)]


def resistance(study: Study, body_map: BodyMap) -> Felt:
    """E2: H against r1 over bodies that have an optimal policy, one of these drawn at random."""
    able = np.flatnonzero(body_map.r1 > 0)[: MOST_COMPARED[study.size]]
    stage = study.stage("felt", partial(_felt_over_map, study.size, body_map, able))
    result = Felt(h=stage["h"], r1=stage["r1"])
    for column, ending in ((RAW, ""), (LOGARITHM, ", log-sensor values")):
        test: Any = spearmanr(result.r1, result.h[:, column], alternative="less")
        correlation = float(test.statistic)
        p_value = float(test.pvalue)
        holds = bool(correlation < 0 and p_value < SIGNIFICANT)
        note = (
            f"{len(result.r1)} bodies that have an optimal policy, {len(able)} of the map; "
            f"one-sided p = {p_value:.2g}"
        )
        study.add(
            Row(
                name=f"E2 rank correlation of r1 and H{ending}",
                kind="claim",
                value=correlation,
                target=f"< 0, p < {SIGNIFICANT}",
                holds=holds,
                note=note,
            )
        )
    return result


def _felt_over_map(size: str, body_map: BodyMap, able: np.ndarray) -> dict[str, np.ndarray]:
    """H and r1 of bodies of the map that have an optimal policy, and of further ones where these are too few.

    Args:
        size: of the study.
        body_map: the map of bodies.
        able: entries of the map that have an optimal policy.

    Returns:
        ``h`` and ``r1`` of `Felt`.
    """
    numbers = list(body_map.numbers[able])
    counts = list(body_map.counts[able])
    missing = FEWEST_COMPARED[size] - len(numbers)
    for number in further(body_map.numbers, missing):
        numbers.append(number)
        counts.append(manifolds(design(number), body_map.grid_size).count)
    jobs = []
    resistances = []
    for number, count in zip(numbers, counts, strict=True):
        is_optimal = count == ALL_LIGHTS
        # A further body was found on a coarse grid: on this one it may have no optimal policy.
        if not is_optimal.any():
            continue
        policy = chosen(int(number), count)
        jobs.append(partial(felt, design(number), policy))
        resistances.append(is_optimal.mean())
    return {"h": np.array(run_jobs(jobs)), "r1": np.array(resistances)}


def further(known: np.ndarray, count: int) -> list[int]:
    """Design numbers of `count` more bodies with an optimal policy on a coarse grid, in an order that a seed gives.

    Args:
        known: design numbers that are left out.
        count: how many; none where it is 0 or less.
    """
    numbers: list[int] = []
    for number in np.random.default_rng(FURTHER_BODIES_SEED).permutation(CORNERS**4) + 1:
        if len(numbers) >= count:
            break
        if number not in known and manifolds(design(number), COARSE_GRID).optimal:
            numbers.append(int(number))
    return numbers


def chosen(number: int, counts: np.ndarray) -> np.ndarray:
    """One of a body's optimal policies, (2,), drawn at random by a key of its own.

    Args:
        number: design number of the body.
        counts: how many environments each policy of the grid solves, (n, n).
    """
    rng = np.random.default_rng(np.random.SeedSequence([E2_KEY, number]))
    optimal = np.flatnonzero(counts.ravel() == ALL_LIGHTS)
    return grid(counts.shape[-1])[rng.choice(optimal)]

"""Bodies of the goodbody study and their policy grids: K1 to K4, traps of integrator, grid and threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from lancelet.envs.kinematic import DT, GRID, STEPS, Manifolds, area, manifolds
from lancelet.morphology.braitenberg import CANONICAL, CORNERS, HALF, design, mirrored
from lancelet.scripts.rows import Row
from lancelet.scripts.studies.goodbody.placement_search import ALL_LIGHTS
from lancelet.scripts.study import Study
from lancelet.training.statistics import interval

EVOLVED = (-0.319624, 0.297618, 0.251331, 0.323397)
"""placement logged near evaluation 104 of the paper's first co-optimisation"""
DIAGONAL_NUMBER = 80
"""design number of the diagonal body"""
DIAGONAL = tuple(float(place) for place in design(DIAGONAL_NUMBER))
NAMED = {"evolved": EVOLVED, "canonical": CANONICAL, "diagonal": DIAGONAL}
"""bodies that rows and pictures name -> their placements"""

BODIES = {"quick": 60, "shown": 300, "full": CORNERS**4}
"""size of the study -> bodies of the map"""
MAPPED = {"quick": 31, "shown": 61, "full": GRID}
"""size of the study -> weights a side of the map's grids"""
MIRRORS = {"quick": 6, "shown": 50, "full": 50}
"""size of the study -> bodies of the mirror test"""
CHUNK = 30
"""bodies a stage of the map, so that a broken-off one goes on"""
SAMPLE_SEED = 2108
"""of the order in which bodies enter the map"""
MIRROR_SEED = 3
"""of the bodies of the mirror test"""
MIRRORED_LIGHTS = [1, 0, 3, 2]
"""environments of a mirrored body: the starts to the left and to the right of the light change places"""

EVOLVED_R1 = 0.031965
"""r1 of the evolved body in the paper's public data"""
EVOLVED_R2 = 0.268657
"""r2 of the evolved body in the paper's public data"""
CANONICAL_SOLVERS = 1830
"""A_any of the canonical body in another re-implementation: policies that solve at least one environment"""
MIRROR_SHARE = 0.02
"""share of A_o by which a body and its mirror image may differ"""
MIRROR_POLICIES = 3
"""policies by which a body and its mirror image may differ, where that is more than the share"""

GOOD_R1 = 0.05
"""r1 above which a body is one of the heavy tail"""
BAD_MEDIAN_R1 = 0.005
"""median of r1 below which most bodies are bad"""
THRESHOLDS = (0.05, 0.075, 0.15, 0.5)
"""distances from the light that may count as near, m; the second one is the paper's"""
PAPER_THRESHOLD = 1
"""entry of `THRESHOLDS`"""
WIDER_THRESHOLD = 2
"""entry of `THRESHOLDS` that has a row of its own"""
TRAP_GRID = 61
"""weights a side of the grid on which thresholds are compared"""
COARSE_GRID = 41
"""weights a side of the grid on which integrators and grids are compared"""
VARIANT_GRID = 31
"""weights a side of the grid on which variants of the model are compared"""
VARIANTS: dict[str, dict[str, float | int]] = {
    "saturated sensors (at most 100)": {"saturation": 100.0},
    "step 0.0125": {"dt": DT / 4, "steps": 4 * STEPS},
}
"""variant of Model K -> its settings of `manifolds`"""
VARIANT_BODIES = {
    "quick": {"saturated sensors (at most 100)": 20, "step 0.0125": 20},
    "shown": {"saturated sensors (at most 100)": 300, "step 0.0125": 100},
    "full": {"saturated sensors (at most 100)": 300, "step 0.0125": 300},
}
"""size of the study -> variant -> bodies of the map that are measured again"""


@dataclass
class BodyMap:
    """Policy grids of many bodies."""

    numbers: np.ndarray
    """design numbers, (bodies,)"""
    counts: np.ndarray
    """n(w): environments that each policy of the grid solves, uint8 (bodies, size, size)"""
    solvers: np.ndarray
    """A_e: policies that solve each environment, (bodies, 4)"""

    @property
    def grid_size(self) -> int:
        """Weights a side of the grids."""
        return self.counts.shape[-1]

    @property
    def r1(self) -> np.ndarray:
        """Share of policies that solve all four environments, (bodies,)."""
        return self._optimal / self.grid_size**2

    @property
    def r2(self) -> np.ndarray:
        """Of the policies that solve any, the share that solve all, (bodies,); 0 where none does."""
        any_light = (self.counts > 0).sum((1, 2))
        return np.where(any_light > 0, self._optimal / np.maximum(any_light, 1), 0.0)

    @property
    def area(self) -> np.ndarray:
        """r1 by the trapezoid rule, (bodies,): the chance that a uniformly drawn policy solves all four."""
        return area(self.counts)

    @property
    def _optimal(self) -> np.ndarray:
        """A_o: policies that solve all four environments, (bodies,)."""
        return (self.counts == ALL_LIGHTS).sum((1, 2))


def sample(size: str) -> np.ndarray:
    """Design numbers of the map: a seed determines them, and the first 60 are the quick study's."""
    # One permutation for all sizes of the study: a larger map holds the bodies of a smaller one.
    shuffled = np.random.default_rng(SAMPLE_SEED).permutation(CORNERS**4) + 1
    if size == "full":
        return np.sort(shuffled)
    return shuffled[: BODIES[size]]


def design_number(places: np.ndarray) -> int:
    """Design number of a placement on the grid: the inverse of `design`."""
    corners = np.rint((np.asarray(places) + HALF) * (CORNERS - 1)).astype(int)
    return int(np.ravel_multi_index(tuple(corners), (CORNERS,) * 4)) + 1


# K: the build and the map


def fits(study: Study) -> None:
    """K1 and K2: the build is right."""
    evolved = manifolds(EVOLVED)
    canonical = manifolds(CANONICAL)
    diagonal = manifolds(DIAGONAL)
    study.within(
        "K1 evolved body: r1",
        "gate",
        evolved.r1,
        low=0.95 * EVOLVED_R1,
        high=1.05 * EVOLVED_R1,
        reference=EVOLVED_R1,
        note=f"A_o = {evolved.optimal} (468), A_any = {evolved.some} (1742), A_e = {evolved.each}",
    )
    study.within(
        "K1 evolved body: r2",
        "gate",
        evolved.r2,
        low=0.95 * EVOLVED_R2,
        high=1.05 * EVOLVED_R2,
        reference=EVOLVED_R2,
    )
    study.within(
        "K2 canonical body: A_o",
        "gate",
        canonical.optimal,
        low=20,
        high=32,
        reference=26,
        note=f"r1 = {canonical.r1:.5f}",
    )
    study.within(
        "K2 canonical body: A_any",
        "gate",
        canonical.some,
        low=0.98 * CANONICAL_SOLVERS,
        high=1.02 * CANONICAL_SOLVERS,
        reference=CANONICAL_SOLVERS,
    )
    ahead_left, ahead_right, behind_right, behind_left = canonical.each
    study.add(
        Row(
            name="K2 canonical body: A_e",
            kind="gate",
            value=str(canonical.each),
            target="1 = 2, 3 = 4",
            # The canonical body is its own mirror image, and so are its two pairs of starts.
            holds=ahead_left == ahead_right and behind_right == behind_left,
            reference=str((838, 838, 1606, 1606)),
        )
    )
    note = (
        f"A_o = {diagonal.optimal}, A_any = {diagonal.some}: r2 = {diagonal.r2:.3f}; "
        f"{diagonal.r1 / canonical.r1:.0f} x canonical"
    )
    study.add(
        Row(
            name=f"diagonal body, design {DIAGONAL_NUMBER}: r1",
            kind="info",
            value=diagonal.r1,
            reference=0.1035,
            note=note,
        )
    )


def mirror(study: Study) -> None:
    """K3: a body and its mirror image, the weights exchanged."""
    count = MIRRORS[study.size]
    optimal = study.stage("mirror", partial(_optimal_of_mirrored_pairs, count))["optimal"]
    differences = np.abs(np.diff(optimal, axis=1))[:, 0]
    agrees = differences <= np.maximum(MIRROR_POLICIES, MIRROR_SHARE * optimal.max(1))
    note = (
        f"largest difference of A_o {differences.max()}, of {optimal.max()} at most; each +-2 % or "
        f"+-{MIRROR_POLICIES}"
    )
    study.add(
        Row(
            name="K3 mirror images agree: bodies",
            kind="gate",
            value=int(agrees.sum()),
            target=f">= {count}",
            holds=bool(agrees.all()),
            note=note,
        )
    )


def _optimal_of_mirrored_pairs(count: int) -> dict[str, np.ndarray]:
    """A_o of random bodies and of their mirror images: ``optimal``, (count, 2)."""
    bodies = np.random.default_rng(MIRROR_SEED).uniform(-HALF, HALF, (count, 4))
    optimal = np.empty((count, 2), int)
    for row, body in zip(optimal, bodies, strict=True):
        row[:] = manifolds(body).optimal, manifolds(mirrored(body)).optimal
    return {"optimal": optimal}


def mapped(study: Study) -> BodyMap:
    """The policy grids of all bodies of the map, kept chunk by chunk.

    Of a body and its mirror image, where both are on the map, one is computed: the grid of the other is its transpose.
    """
    numbers = sample(study.size)
    size = MAPPED[study.size]
    counts_of_all = np.zeros((len(numbers), size, size), np.uint8)
    solvers_of_all = np.zeros((len(numbers), ALL_LIGHTS), int)
    row_of = {int(number): row for row, number in enumerate(numbers)}
    mirror_of = {number: design_number(mirrored(design(number))) for number in row_of}
    # Of a pair the body with the smaller number is computed, in the order of the map: chunks keep their content.
    computed = []
    for number in row_of:
        mirror_is_computed = mirror_of[number] in row_of and mirror_of[number] < number
        if not mirror_is_computed:
            computed.append(number)
    for first in range(0, len(computed), CHUNK):
        chunk = computed[first : first + CHUNK]
        stage = study.stage(f"map-{first}", partial(_grids, chunk, size))
        for number, counts, solvers in zip(chunk, stage["counts"], stage["each"], strict=True):
            counts_of_all[row_of[number]] = counts
            solvers_of_all[row_of[number]] = solvers
            if mirror_of[number] in row_of:
                # A mirrored body has its two weights exchanged, and the environments at either side.
                mirrored_row = row_of[mirror_of[number]]
                counts_of_all[mirrored_row] = counts.T
                solvers_of_all[mirrored_row] = np.asarray(solvers)[MIRRORED_LIGHTS]
        computed_count = min(first + CHUNK, len(computed))
        study.say(f"  map: {computed_count} of {len(computed)} bodies")
    return BodyMap(numbers=numbers, counts=counts_of_all, solvers=solvers_of_all)


def _grids(numbers: Sequence[int], size: int) -> dict[str, np.ndarray]:
    """Policy grids of some bodies, as a stage keeps them.

    Args:
        numbers: design numbers of the bodies.
        size: weights a side of the grids.

    Returns:
        ``counts``: n(w), uint8 (bodies, size, size); ``each``: A_e, (bodies, 4).
    """
    grids = [manifolds(design(number), size) for number in numbers]
    return {
        "counts": np.stack([body_grid.count for body_grid in grids]),
        "each": np.array([body_grid.each for body_grid in grids]),
    }


def tail(study: Study, body_map: BodyMap) -> None:
    """K4: most bodies are bad."""
    r1 = body_map.r1
    size = body_map.grid_size
    median = np.median(r1)
    good_share = float((r1 > GOOD_R1).mean())
    others = "reference: 300 other bodies, 256 random policies each"
    best_first = np.argsort(-r1, kind="stable")
    top = ", ".join(f"{body_map.numbers[row]} ({r1[row]:.3f})" for row in best_first[:10])
    study.add(
        Row(
            name=f"K4 heavy tail: share of bodies with r1 > {GOOD_R1}",
            kind="claim",
            value=good_share,
            target=f"a minority, median r1 < {BAD_MEDIAN_R1}",
            holds=bool(median < BAD_MEDIAN_R1 and 0 < good_share < 0.5),
            interval=interval(r1 > GOOD_R1),
            note=f"{len(r1)} grid bodies at {size} x {size}; median r1 {median:.4f}",
        )
    )
    study.add(
        Row(
            name="K4 mean r1",
            kind="info",
            value=float(r1.mean()),
            interval=interval(r1),
            note=others,
            reference=0.0084,
        )
    )
    study.add(
        Row(
            name="K4 share of bodies without an optimal policy",
            kind="info",
            value=float((r1 == 0).mean()),
            note=others,
            reference=0.69,
        )
    )
    study.add(
        Row(
            name="K4 90th percentile of r1",
            kind="info",
            value=float(np.quantile(r1, 0.9)),
            note=others,
            reference=0.039,
        )
    )
    study.add(
        Row(
            name="K4 largest r1",
            kind="info",
            value=float(r1.max()),
            note=f"top 10 designs: {top}",
            reference=0.1035,
        )
    )
    # Measured on the grid of the map: on a coarser grid the same body has another r1.
    canonical = manifolds(CANONICAL, size).r1
    better_count = int((r1 > canonical).sum())
    study.add(
        Row(
            name="K4 rank of design 6553",
            kind="info",
            value=better_count + 1,
            note=(
                f"bodies of the map above the canonical one, of {len(r1)}; "
                f"its r1 on this grid {canonical:.4f}"
            ),
        )
    )


# What the figures depend on


def traps(study: Study) -> None:
    """How far r1 is a matter of integrator, grid and threshold."""
    for name, body in NAMED.items():
        _threshold(study, name, body)
    coarse = manifolds(DIAGONAL, COARSE_GRID)
    fine = manifolds(DIAGONAL, COARSE_GRID, dt=DT / 10, steps=10 * STEPS)
    study.add(
        Row(
            name="diagonal body: r1 at a step of 0.005 over 0.05",
            kind="info",
            value=fine.r1 / coarse.r1,
            note=f"41 x 41; A_any {coarse.some} -> {fine.some} (272 -> 278)",
            reference=1.11,
        )
    )
    study.add(
        Row(
            name="canonical body: r1 on 41 x 41 over 121 x 121",
            kind="info",
            value=manifolds(CANONICAL, COARSE_GRID).r1 / manifolds(CANONICAL).r1,
            note="the grid decides where manifolds are small",
            reference=2.0,
        )
    )


def _threshold(study: Study, name: str, body: Sequence[float]) -> None:
    """r1 of one body at several distances from the light that may count as near.

    Args:
        study: takes the row.
        name: of the body.
        body: its placement, (4,), m.
    """
    grids: list[Manifolds] = manifolds(body, TRAP_GRID, near=THRESHOLDS)
    r1_at_thresholds = ", ".join(
        f"{threshold:g}: {at_threshold.r1:.4f}"
        for threshold, at_threshold in zip(THRESHOLDS, grids, strict=True)
    )
    overlap = grids[PAPER_THRESHOLD].overlap
    note = (
        f"r1 at thresholds {r1_at_thresholds}; r1 over what independent environments would give {overlap:.0f}; "
        f"{TRAP_GRID} x {TRAP_GRID}"
    )
    threshold = THRESHOLDS[WIDER_THRESHOLD]
    r1 = grids[WIDER_THRESHOLD].r1
    study.add(Row(f"{name} body: r1 at a threshold of {threshold}", "info", r1, note=note))


def variants(study: Study, body_map: BodyMap) -> None:
    """X1: sensors that saturate at 1 / 0.1^2, and a step a quarter as long."""
    for name in VARIANTS:
        _variant(study, body_map, name)


def _variant(study: Study, body_map: BodyMap, name: str) -> None:
    """X1 with one variant of the model: does the map keep its order and its heavy tail?"""
    from scipy.stats import spearmanr

    settings = VARIANTS[name]
    count = VARIANT_BODIES[study.size][name]

    def make() -> dict[str, np.ndarray]:
        bodies = [*map(design, body_map.numbers[:count]), *NAMED.values()]
        return {"r1": np.array([manifolds(body, VARIANT_GRID, **settings).r1 for body in bodies])}

    r1_and_named = study.stage(f"variant-{'-'.join(settings)}", make)["r1"]
    r1 = r1_and_named[: -len(NAMED)]
    named_r1 = dict(zip(NAMED, r1_and_named[-len(NAMED) :], strict=True))
    test: Any = spearmanr(r1, body_map.r1[:count])
    named_text = ", ".join(f"{body} {value:.4f}" for body, value in named_r1.items())
    study.add(
        Row(
            name=f"X1 {name}: rank correlation of r1 with the map's",
            kind="info",
            value=float(test.statistic),
            note=f"{count} bodies at {VARIANT_GRID} x {VARIANT_GRID}; r1 {named_text}",
        )
    )
    share = float((r1 > GOOD_R1).mean())
    same_order = named_r1["diagonal"] > named_r1["evolved"] > named_r1["canonical"]
    # A weaker tail than that of K4: here the share needs only to be above what the median is below.
    heavy_tail = np.median(r1) < BAD_MEDIAN_R1 < share
    study.add(
        Row(
            name=f"X1 {name}: same ordering and heavy tail",
            kind="claim",
            value=share,
            target=f"diagonal > evolved > canonical, median near 0, a minority above {GOOD_R1}",
            holds=bool(same_order and heavy_tail),
            note=f"share of r1 > {GOOD_R1}",
        )
    )

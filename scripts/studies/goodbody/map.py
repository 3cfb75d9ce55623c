"""Bodies of the goodbody study and their policy grids: K1 to K4, traps of integrator, grid and threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lancelet.envs.kinematic import DT, GRID, STEPS, Manifolds, area, manifolds
from lancelet.morphology.braitenberg import CANONICAL, CORNERS, HALF, design, mirrored
from lancelet.scripts.rows import Row
from lancelet.scripts.study import Study
from lancelet.training.statistics import interval

EVOLVED = (-0.319624, 0.297618, 0.251331, 0.323397)
"""logged near evaluation 104 of the paper's first co-optimisation"""
DIAGONAL = tuple(float(x) for x in design(80))
NAMED = {"evolved": EVOLVED, "canonical": CANONICAL, "diagonal": DIAGONAL}
BODIES = {"quick": 60, "shown": 300, "full": CORNERS**4}
"""of the map"""
MAPPED = {"quick": 31, "shown": 61, "full": GRID}
"""weights a side of the map's grids"""
MIRRORS, CHUNK = {"quick": 6, "shown": 50, "full": 50}, 30
"""bodies of the mirror test; bodies a stage of the map, so that a broken-off one goes on"""


def sample(size: str) -> np.ndarray:
    """Design numbers of the map: a seed determines them, and the first 60 are the quick study's."""
    every = np.random.default_rng(2108).permutation(CORNERS**4) + 1
    return np.sort(every) if size == "full" else every[: BODIES[size]]


def number(places: np.ndarray) -> int:
    """Design number of a placement on the grid."""
    digits = np.rint((np.asarray(places) + HALF) * (CORNERS - 1)).astype(int)
    return int(np.ravel_multi_index(tuple(digits), (CORNERS,) * 4)) + 1


def fits(study: Study) -> None:
    """K1 and K2: the build is right."""
    found = manifolds(EVOLVED)
    note = f"A_o = {found.optimal} (468), A_any = {found.some} (1742), A_e = {found.each}"
    study.within("K1 evolved body: r1", "gate", found.r1, 0.95 * 0.031965, 1.05 * 0.031965, reference=0.031965,
                 note=note)  # fmt: skip
    study.within(
        "K1 evolved body: r2",
        "gate",
        found.r2,
        0.95 * 0.268657,
        1.05 * 0.268657,
        reference=0.268657,
    )
    found = manifolds(CANONICAL)
    study.within(
        "K2 canonical body: A_o",
        "gate",
        found.optimal,
        20,
        32,
        reference=26,
        note=f"r1 = {found.r1:.5f}",
    )
    study.within(
        "K2 canonical body: A_any", "gate", found.some, 0.98 * 1830, 1.02 * 1830, reference=1830
    )
    one, two, three, four = found.each
    equal = one == two and three == four
    study.add(Row("K2 canonical body: A_e", "gate", str(found.each), "1 = 2, 3 = 4", equal,
                  reference=str((838, 838, 1606, 1606))))  # fmt: skip
    best = manifolds(DIAGONAL)
    note = f"A_o = {best.optimal}, A_any = {best.some}: r2 = {best.r2:.3f}; {best.r1 / found.r1:.0f} x canonical"
    study.add(Row("diagonal body, design 80: r1", "info", best.r1, reference=0.1035, note=note))


def mirror(study: Study) -> None:
    """K3: a body and its mirror image, the weights exchanged."""
    count = MIRRORS[study.size]

    def make() -> dict[str, Any]:
        places = np.random.default_rng(3).uniform(-HALF, HALF, (count, 4))
        both = np.array(
            [[manifolds(body).optimal, manifolds(mirrored(body)).optimal] for body in places]
        )
        return {"optimal": both}

    both = study.stage("mirror", make)["optimal"]
    gap = np.abs(np.diff(both, axis=1))[:, 0]
    fine = gap <= np.maximum(3, 0.02 * both.max(1))
    note = f"largest difference of A_o {gap.max()}, of {both.max()} at most; each +-2 % or +-3"
    study.add(
        Row(
            "K3 mirror images agree: bodies",
            "gate",
            int(fine.sum()),
            f">= {count}",
            bool(fine.all()),
            note=note,
        )
    )


def mapped(study: Study) -> dict[str, np.ndarray]:
    """n(w) of every body of the map: ``numbers`` (b,), ``counts`` uint8 (b, size, size), ``each`` (b, 4)."""
    numbers, size = sample(study.size), MAPPED[study.size]
    whole = np.zeros((len(numbers), size, size), np.uint8)
    each = np.zeros((len(numbers), 4), int)
    place = {int(n): k for k, n in enumerate(numbers)}
    twins = {n: number(mirrored(design(n))) for n in place}
    classes = [n for n in place if not (twins[n] in place and twins[n] < n)]
    for first in range(0, len(classes), CHUNK):
        chunk = classes[first : first + CHUNK]
        found = study.stage(f"map-{first}", lambda chunk=chunk: _chunk(chunk, size))
        for n, counts, solved in zip(chunk, found["counts"], found["each"], strict=True):
            whole[place[n]], each[place[n]] = counts, solved
            if (
                twins[n] in place
            ):  # what is mirrored has both weights and the environments at either side exchanged
                whole[place[twins[n]]], each[place[twins[n]]] = (
                    counts.T,
                    np.asarray(solved)[[1, 0, 3, 2]],
                )
        study.say(f"  map: {min(first + CHUNK, len(classes))} of {len(classes)} bodies")
    optimal, some = (whole == 4).sum((1, 2)), (whole > 0).sum((1, 2))
    r2 = np.where(some > 0, optimal / np.maximum(some, 1), 0.0)
    return {
        "numbers": numbers,
        "counts": whole,
        "each": each,
        "r1": optimal / size**2,
        "r2": r2,
        "area": area(whole),
    }


def _chunk(chunk: Sequence[int], size: int) -> dict[str, Any]:
    found = [manifolds(design(n), size) for n in chunk]
    return {
        "counts": np.stack([one.count for one in found]),
        "each": np.array([one.each for one in found]),
    }


def tail(study: Study, data: dict[str, np.ndarray]) -> None:
    """K4: most bodies are bad."""
    r1, size = data["r1"], MAPPED[study.size]
    order = np.argsort(-r1, kind="stable")
    top = ", ".join(f"{data['numbers'][k]} ({r1[k]:.3f})" for k in order[:10])
    share = float((r1 > 0.05).mean())
    note = f"{len(r1)} grid bodies at {size} x {size}; median r1 {np.median(r1):.4f}"
    heavy = bool(np.median(r1) < 0.005 and 0 < share < 0.5)
    study.add(Row("K4 heavy tail: share of bodies with r1 > 0.05", "claim", share, "a minority, median r1 < 0.005",
                  heavy, interval=interval(r1 > 0.05), note=note))  # fmt: skip
    rest: dict[str, Any] = {"note": "reference: 300 other bodies, 256 random policies each"}
    study.add(
        Row("K4 mean r1", "info", float(r1.mean()), reference=0.0084, interval=interval(r1), **rest)
    )
    study.add(
        Row(
            "K4 share of bodies without an optimal policy",
            "info",
            float((r1 == 0).mean()),
            reference=0.69,
            **rest,
        )
    )
    study.add(
        Row(
            "K4 90th percentile of r1", "info", float(np.quantile(r1, 0.9)), reference=0.039, **rest
        )
    )
    study.add(
        Row(
            "K4 largest r1",
            "info",
            float(r1.max()),
            reference=0.1035,
            note=f"top 10 designs: {top}",
        )
    )
    own = manifolds(CANONICAL, size).r1
    above = int((r1 > own).sum())
    note = f"bodies of the map above the canonical one, of {len(r1)}; its r1 on this grid {own:.4f}"
    study.add(Row("K4 rank of design 6553", "info", above + 1, note=note))


def traps(study: Study) -> None:
    """How far r1 is a matter of integrator, grid and threshold."""
    limits = (0.05, 0.075, 0.15, 0.5)
    for name, body in NAMED.items():
        found: list[Manifolds] = manifolds(body, 61, near=limits)
        note = "r1 at thresholds " + ", ".join(
            f"{x:g}: {one.r1:.4f}" for x, one in zip(limits, found, strict=True)
        )
        at = found[1]
        note += f"; r1 over what independent environments would give {at.overlap:.0f}; 61 x 61"
        study.add(Row(f"{name} body: r1 at a threshold of 0.15", "info", found[2].r1, note=note))
    coarse, fine = manifolds(DIAGONAL, 41), manifolds(DIAGONAL, 41, dt=DT / 10, steps=10 * STEPS)
    note = f"41 x 41; A_any {coarse.some} -> {fine.some} (272 -> 278)"
    study.add(
        Row(
            "diagonal body: r1 at a step of 0.005 over 0.05",
            "info",
            fine.r1 / coarse.r1,
            reference=1.11,
            note=note,
        )
    )
    note = "the grid decides where manifolds are small"
    ratio = manifolds(CANONICAL, 41).r1 / manifolds(CANONICAL).r1
    study.add(
        Row("canonical body: r1 on 41 x 41 over 121 x 121", "info", ratio, reference=2.0, note=note)
    )


def variants(study: Study, data: dict[str, np.ndarray]) -> None:
    """X1: sensors that saturate at 1 / 0.1^2, and a step a quarter as long."""
    from scipy.stats import spearmanr

    cuts = {"quick": (20, 20), "shown": (300, 100), "full": (300, 300)}[study.size]
    how: dict[str, dict[str, Any]] = {
        "saturated sensors (at most 100)": {"saturation": 100.0},
        "step 0.0125": {"dt": DT / 4, "steps": 4 * STEPS},
    }
    for (name, settings), count in zip(how.items(), cuts, strict=True):
        numbers = data["numbers"][:count]

        def make(
            numbers: np.ndarray = numbers, settings: dict[str, Any] = settings
        ) -> dict[str, Any]:
            bodies = [*map(design, numbers), *NAMED.values()]
            return {"r1": np.array([manifolds(body, 31, **settings).r1 for body in bodies])}

        r1 = study.stage(f"variant-{'-'.join(settings)}", make)["r1"]
        r1, named = r1[:-3], dict(zip(NAMED, r1[-3:], strict=True))
        rho = spearmanr(r1, data["r1"][:count]).statistic  # pyright: ignore[reportAttributeAccessIssue]
        note = f"{count} bodies at 31 x 31; r1 " + ", ".join(
            f"{key} {value:.4f}" for key, value in named.items()
        )
        study.add(
            Row(f"X1 {name}: rank correlation of r1 with the map's", "info", float(rho), note=note)
        )
        same = (
            named["diagonal"] > named["evolved"] > named["canonical"]
            and np.median(r1) < 0.005 < (r1 > 0.05).mean()
        )
        note = "diagonal > evolved > canonical, median near 0, a minority above 0.05"
        share = float((r1 > 0.05).mean())
        study.add(Row(f"X1 {name}: same ordering and heavy tail", "claim", share, note, bool(same),
                      note="share of r1 > 0.05"))  # fmt: skip

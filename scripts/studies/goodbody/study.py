"""Where sensors sit and what interferes, after Powers, Kriegman, Bongard 2021 (arXiv 2108.08398).

Model K is the paper's own system, compiled anew. The column "reference" has figures of its public
data, or of another re-implementation (docs/systems/goodbody.md, "Model K"), since tables and tests
of the paper could not be read. The searches are this project's: every row and picture names what
stands for what. r1 is the share of a policy grid that solves all four environments, r2 that share
of the policies that solve any. `--body` measures one placement alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lancelet.envs.kinematic import GRID, grid, manifolds
from lancelet.morphology.braitenberg import placement
from lancelet.scripts.rows import Row
from lancelet.scripts.studies.goodbody.map import fits, mapped, mirror, tail, traps, variants
from lancelet.scripts.studies.goodbody.pictures import draw, landscape
from lancelet.scripts.studies.goodbody.rigid import ordering
from lancelet.scripts.studies.goodbody.search import efficiency, together
from lancelet.scripts.studies.goodbody.sensors import resistance, settling
from lancelet.scripts.study import Study, Superseded

TITLE = "A good body: sensor placement and catastrophic interference (arXiv 2108.08398)"


@dataclass
class Options:
    """One body instead of the study."""

    body: tuple[float, float, float, float] | None = None
    """forward and left of sensor 1, then of sensor 2, from -0.5 to 0.5: measure r1 and r2 of this body alone"""
    grid: int = GRID
    """weights a side of that body's policy grid"""

    def __post_init__(self) -> None:
        grid(self.grid)
        if self.body is not None:
            placement(self.body)


PARTS = {"settling": ("E1",), "rigid": ("P MuJoCo",)}
SEEDS_OF = {"C": "searches a body", "D": "searches", "E1": "searches"}
SUPERSEDED = (
    Superseded(
        "E1 H at the end",
        "median H",
        "not run since the question was changed: with each run's own policy it measured the policy, not the body; "
        "`lancelet reproduce goodbody --only settling` compares bodies",
    ),
    Superseded(
        "P MuJoCo",
        "share of 9 x 9 policies",
        "not judged: 3 against 4 of 81 policies reach all four lights, too few to order bodies by; "
        "`lancelet reproduce goodbody --only rigid --full` has 441",
    ),
)


def run(study: Study) -> None:
    """All rows, those of a part, or those of one body."""
    if study.options is not None and study.options.body is not None:
        alone(study, study.options.body, study.options.grid)
        return
    if study.only is not None:
        if study.wants("settling"):
            settling(study)
        if study.wants("rigid"):
            ordering(study)
        return
    data: dict[str, Any] = {}
    fits(study)
    mirror(study)
    data |= mapped(study)
    tail(study, data)
    traps(study)
    efficiency(study, data)
    together(study, data)
    settling(study)
    resistance(study, data)
    variants(study, data)
    ordering(study)
    draw(study, data)


def alone(study: Study, body: tuple[float, float, float, float], size: int) -> None:
    """r1, r2 and counts of one body."""
    found = manifolds(body, size)
    note = f"{size} x {size} policies, body {tuple(map(float, np.array(body)))}"
    study.add(Row("r1", "info", found.r1, note=note))
    study.add(Row("r2", "info", found.r2))
    counts = {"A_o, policies that solve all four": found.optimal, "A_any, at least one": found.some}
    counts |= {f"A_{k}, environment {k}": n for k, n in enumerate(found.each, 1)}
    for name, count in counts.items():
        study.add(Row(name, "info", count))
    study.add(Row("r1 over what independent environments would give", "info", found.overlap if found.some else None,
                  note="" if found.some else "no policy solves any"))  # fmt: skip
    landscape(study, {"this body": found.count})

"""Where sensors sit and what interferes, after Powers, Kriegman, Bongard 2021 (arXiv 2108.08398).

Model K is the paper's own system, compiled anew. The column "reference" has figures of its public
data, or of another re-implementation (docs/systems/goodbody.md, "Model K"), since tables and tests
of the paper could not be read. The searches are this project's: every row and picture names what
stands for what. r1 is the share of a policy grid that solves all four environments, r2 that share
of the policies that solve any. `--body` measures one placement alone.
"""

from __future__ import annotations

from dataclasses import dataclass

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
        """Refuse a grid or a body that Model K would refuse, before anything is measured."""
        grid(self.grid)
        if self.body is not None:
            placement(self.body)


PARTS = {
    "settling": ("E1",),
    "rigid": ("P MuJoCo",),
}
"""part that `--only` measures alone -> beginnings of its rows' names"""
SEEDS_OF = {
    "C": "searches a body",
    "D": "searches",
    "E1": "searches",
}
"""beginning of a row's name -> what its seeds count"""
SUPERSEDED = (
    Superseded(
        beginning="E1 H at the end",
        words="median H",
        reason="not run since the question was changed: with each run's own policy it measured the policy, not the body; "
        "`lancelet reproduce goodbody --only settling` compares bodies",
    ),
    Superseded(
        beginning="P MuJoCo",
        words="share of 9 x 9 policies",
        reason="not judged: 3 against 4 of 81 policies reach all four lights, too few to order bodies by; "
        "`lancelet reproduce goodbody --only rigid --full` has 441",
    ),
)


def run(study: Study) -> None:
    """All rows, those of a part, or those of one body."""
    options = study.options
    if options is not None and options.body is not None:
        one_body(study, options.body, options.grid)
        return
    if study.only is not None:
        if study.wants("settling"):
            settling(study)
        if study.wants("rigid"):
            ordering(study)
        return
    fits(study)
    mirror(study)
    body_map = mapped(study)
    tail(study, body_map)
    traps(study)
    efficiency_of_methods = efficiency(study, body_map)
    runs = together(study, body_map)
    settling(study)
    felt = resistance(study, body_map)
    variants(study, body_map)
    ordering(study)
    draw(study, body_map, efficiency_of_methods, runs, felt)


def one_body(study: Study, body: tuple[float, float, float, float], size: int) -> None:
    """r1, r2 and counts of one body, and its landscape.

    Args:
        study: takes the rows and the picture.
        body: forward and left of sensor 1, then of sensor 2, m.
        size: weights a side of the policy grid.
    """
    manifold = manifolds(body, size)
    note = f"{size} x {size} policies, body {tuple(map(float, body))}"
    study.add(Row("r1", "info", manifold.r1, note=note))
    study.add(Row("r2", "info", manifold.r2))
    study.add(Row("A_o, policies that solve all four", "info", manifold.optimal))
    study.add(Row("A_any, at least one", "info", manifold.some))
    for environment, count in enumerate(manifold.each, 1):
        study.add(Row(f"A_{environment}, environment {environment}", "info", count))
    overlap = manifold.overlap
    overlap_note = ""
    if not manifold.some:
        overlap = None
        overlap_note = "no policy solves any"
    name = "r1 over what independent environments would give"
    study.add(Row(name, "info", overlap, note=overlap_note))
    landscape(study, {"this body": manifold.count})

"""Navigation by systematic search over a self-modifying graph, a reconstruction after Baranski & Tani (2410.01349).

The paper's equations, mazes, times and baselines could not be read: no figure here is the paper's. The column
"reference" has the figures of a prototype of the same rules (spec systematic_search 9), where it measured one. Steps
are environment steps over an agent's life, babble included; gates and goals are those of spec 10. CML (Stoeckl, Yang,
Maass 2024) and linear spreading, the ablation planners of spec 6 and 4, are not built. N1 to N7 alone:
`lancelet reproduce novel`.
"""

from __future__ import annotations

from typing import Any

from lancelet.scripts.studies.search import sac as _search_sac
from lancelet.scripts.studies.search.mazes import (
    OTHER_LATTICES,
    against_lrta,
    fixed_pairs,
    lattices,
    pairs,
    unseen,
)
from lancelet.scripts.studies.search.momentum import car, pendulum
from lancelet.scripts.studies.search.novel import novel
from lancelet.scripts.studies.search.pictures import draw
from lancelet.scripts.studies.search.proofs import proofs
from lancelet.scripts.study import Study

TITLE = "Navigation by systematic neural search (a reconstruction after arXiv 2410.01349)"


PARTS = {
    "fixed": ("umaze fixed pair", "medium fixed pair", "large fixed pair", "graph memory"),
    "lattices": (
        "medium, lattice",
        "ablation",
        *(f"large fixed pair, {label}" for label in OTHER_LATTICES),
    ),
    "pairs": ("umaze random pairs", "medium random pairs", "large random pairs"),
    "lrta": ("LRTA* on large",),
    "novel": ("N1", "N2", "N3", "N4", "N5", "N7"),
    "unseen": ("N6",),
    "car": ("mountain car",),
    "pendulum": ("pendulum",),
}
"""what `--only` measures alone; proofs, SAC's rows and the pictures come with the whole study"""
SEEDS_OF = {
    "theorem": "graphs",
    "code": "codes",
    "determinism": "agents",
    "": "agents",
    "N6": "mazes",
    "LRTA* on large": "agents",
    "SAC+HER": "trainings",
}
"""what `seeds` counts: an agent is newborn, with a lattice, babble and start noise of its own"""


def run(study: Study) -> None:
    """All rows; a full study also trains SAC where `results/search/sac.json` lacks runs."""
    data: dict[str, Any] = {}
    whole = study.only is None
    if whole:
        proofs(study)
    # The lattices are told as ratios to the fixed pairs' lives, so that each of the two parts needs them.
    if study.wants("fixed", "lattices"):
        fixed_pairs(study, data)
    if study.wants("pairs"):
        pairs(study)
    if study.wants("lrta"):
        against_lrta(study)
    if study.wants("lattices"):
        lattices(study, data)
    if study.wants("novel"):
        novel(study, data)
    if study.wants("unseen"):
        unseen(study)
    if study.wants("car"):
        car(study, data)
    if study.wants("pendulum"):
        pendulum(study, data)
    if not whole:
        return
    if study.size == "full":
        _search_sac.train_all()
    _search_sac.rows(study, data["umaze search"], data)
    draw(study, data)

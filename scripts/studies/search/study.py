"""Navigation by systematic search over a self-modifying graph, after Baranski & Tani (2410.01349).

A reconstruction: the paper's equations, mazes, times and baselines could not be read, and no figure
here is the paper's. The column "reference" has the figures of a prototype of the same rules, where
it measured one. Steps are environment steps over an agent's life, babble included. What the rows
mean, and which planners were not built, is told in docs/systems/search.md, "Row codes" and "What
held". N1 to N7 alone: `lancelet reproduce novel`.
"""

from __future__ import annotations

from lancelet.scripts.studies.search import sac
from lancelet.scripts.studies.search.lattices import OTHER_LATTICES, lattices
from lancelet.scripts.studies.search.mazes import (
    against_lrta,
    fixed_pairs,
    pairs,
    unseen,
)
from lancelet.scripts.studies.search.momentum import car, pendulum
from lancelet.scripts.studies.search.novel import novel
from lancelet.scripts.studies.search.pictures import draw
from lancelet.scripts.studies.search.proofs import proofs
from lancelet.scripts.studies.search.results import Results
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
"""what `--only` measures alone, with the beginnings of its rows' names; proofs, SAC's rows and the
pictures come with the whole study"""
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
    results = Results()
    is_whole = study.only is None
    if is_whole:
        proofs(study)
    _parts(study, results)
    if is_whole:
        _sac_and_pictures(study, results)


def _parts(study: Study, results: Results) -> None:
    """Measure the parts that can be measured alone; `results` gets what later ones and the pictures need."""
    # The lattices are told as ratios to the fixed pairs' lives, so that both parts need them.
    if study.wants("fixed", "lattices"):
        results.fixed_pairs = fixed_pairs(study)
    if study.wants("pairs"):
        pairs(study)
    if study.wants("lrta"):
        against_lrta(study)
    if study.wants("lattices"):
        lattices(study, results.fixed_pairs["large"].search)
    if study.wants("novel"):
        results.blocked_route = novel(study)
    if study.wants("unseen"):
        unseen(study)
    if study.wants("car"):
        car(study)
    if study.wants("pendulum"):
        pendulum(study)


def _sac_and_pictures(study: Study, results: Results) -> None:
    """SAC's rows, and pictures of all of it: they need the lives of the whole study."""
    if study.size == "full":
        sac.train_all()
    results.sac_runs = sac.rows(study, results.fixed_pairs["umaze"].search)
    draw(study, results)

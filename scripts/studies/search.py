"""Navigation by systematic search over a self-modifying graph, a reconstruction after Baranski & Tani (2410.01349).

The paper's equations, mazes, times and baselines could not be read: no figure here is the paper's. The column
"reference" has the figures of a prototype of the same rules (spec systematic_search 9), where it measured one. Steps
are environment steps over an agent's life, babble included; gates and goals are those of spec 10. CML (Stoeckl, Yang,
Maass 2024) and linear spreading, the ablation planners of spec 6 and 4, are not built. N1 to N7 alone:
`lancelet reproduce novel`.
"""

from __future__ import annotations

from typing import Any

from lancelet.scripts.studies import _search_sac
from lancelet.scripts.studies._search_mazes import fixed_pairs, lattices, pairs, unseen
from lancelet.scripts.studies._search_momentum import momentum
from lancelet.scripts.studies._search_novel import novel
from lancelet.scripts.studies._search_pictures import draw
from lancelet.scripts.studies._search_proofs import proofs
from lancelet.scripts.study import Study

TITLE = "Navigation by systematic neural search (a reconstruction after arXiv 2410.01349)"


def run(study: Study) -> None:
    """All rows; a full study also trains SAC where `results/search/sac.json` lacks runs."""
    data: dict[str, Any] = {}
    proofs(study)
    fixed_pairs(study, data)
    pairs(study)
    lattices(study, data)
    novel(study, data)
    unseen(study)
    momentum(study, data)
    if study.size == "full":
        _search_sac.train_all()
    _search_sac.rows(study, data["umaze search"], data)
    draw(study, data)

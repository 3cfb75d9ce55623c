"""N1 to N7: the search in novel settings, each with a fresh agent and an oracle beside it.

A blocked route and its reopening, a moved goal, other actuators, a moving wall, unseen mazes, a
narrow gap (docs/systems/search.md, "Row codes"). The same rows are part of `lancelet reproduce
search`.
"""

from __future__ import annotations

from lancelet.scripts.studies.search.mazes import unseen
from lancelet.scripts.studies.search.novel import novel
from lancelet.scripts.study import Study

TITLE = "Systematic search in novel settings (a reconstruction after arXiv 2410.01349)"

SEEDS_OF = {"": "agents", "N6": "mazes"}
"""what `seeds` counts in the rows whose names begin so"""


def run(study: Study) -> None:
    """All rows."""
    novel(study)
    unseen(study)

"""The search with other lattices and options on fixed pairs, and without the part that does the work.

Codes and words: docs/systems/search.md, "Row codes", and `mazes`.
"""

from __future__ import annotations

from typing import Any

from lancelet.scripts.rows import Row, at_least, at_most
from lancelet.scripts.studies.search.lives import FIRST, THIRD, Lives, agent, fixed, live, ratio
from lancelet.scripts.studies.search.mazes import SEEDS, all_solved
from lancelet.scripts.study import Study

COARSE_SPACING = 4.0
"""m, lattice constant that Medium cannot be solved with"""
COARSE_AGENTS = {"quick": 20, "shown": 20, "full": 100}
"""agents that begin with it"""
COARSE_BUDGET = 20_000
"""control steps of their trial"""
ABLATED_AGENTS = 20
"""agents without depression"""
ABLATED_BUDGET = 8_000
"""control steps in which none of them reaches the goal"""

OTHER_LATTICES: dict[str, dict[str, Any]] = {
    "phase noise of 0.6 rad": {"phase_noise": 0.6},
    "the curious variant (w0 = 0.7, eta_m = 0.9)": {"w0": 0.7, "eta_m": 0.9},
    "a lattice of 0.5 m": {"spacing": 0.5},
    "no replay of the route": {"lesions": ("replay",)},
}
"""options of the search that are compared with its defaults on Large's fixed pair"""


def lattices(study: Study, large_search: Lives) -> None:
    """Add the rows of other lattices, planners and readings, and of the part that does the work.

    Args:
        study: gets the rows.
        large_search: lives of the search with its defaults on Large's fixed pair (`fixed_pairs`).
    """
    _coarse_lattice(study)
    _without_depression(study)
    if study.size == "quick":
        return
    for label, options in OTHER_LATTICES.items():
        _other_lattice(study, label, options, default=large_search)


def _coarse_lattice(study: Study) -> None:
    """A lattice too coarse for Medium is refined, and the maze is solved."""
    count = COARSE_AGENTS[study.size]
    world = fixed("medium", count)
    lives = live(agent(spacing=COARSE_SPACING), world, budget=COARSE_BUDGET)
    refined_count = sum(mind.level > 0 or mind.rearmed > 0 for mind in lives.minds)
    name = f"medium, lattice of {COARSE_SPACING:g} m"
    all_solved(study, name, lives)
    row = at_least(
        f"{name}, agents that refined it",
        "gate",
        float(refined_count),
        1,
        seeds=count,
        note=f"{refined_count} of {count} agents refined theirs; {lives.summary()}",
        reference="1 of 6",
    )
    study.add(row)


def _without_depression(study: Study) -> None:
    """Without the change of the graph the goal is not reached."""
    world = fixed("umaze", ABLATED_AGENTS)
    lives = live(agent(lesions=("depression",)), world, budget=ABLATED_BUDGET)
    row = at_most(
        f"ablation: no depression, umaze, agents that reach the goal in {ABLATED_BUDGET:,} steps",
        "gate",
        float(lives.solved.sum()),
        0,
        seeds=ABLATED_AGENTS,
        note="eta_m = 0: without anti-Hebb it tries the same for ever, "
        "so the change of the graph does the work",
        reference="0 of 4",
    )
    study.add(row)


def _other_lattice(study: Study, label: str, options: dict[str, Any], default: Lives) -> None:
    """The row of a search with other options over the default one, on Large's fixed pair."""
    world = fixed("large", SEEDS[study.size])
    other = live(agent(**options), world, trials=3)
    value, between = ratio(other.steps[:, FIRST], default.steps[:, FIRST])
    row = Row(
        f"large fixed pair, {label}, over the default",
        "info",
        value,
        interval=between,
        note=f"first {other.summary()}; third {other.median(THIRD):,.0f}, "
        f"{default.median(THIRD):,.0f} by default",
        seeds=world.n,
    )
    study.add(row)

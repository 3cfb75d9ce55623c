"""The search in mazes it has never seen: fixed and random pairs, perfect mazes, coarse lattices, and what it is made of.

Words of this study (docs/systems/search.md, "Row codes"):

- A life is that of a newborn agent: several trials from one start to one goal, in which it keeps its graph.
- "The prototype" is another program of the same rules, built before this workbench; its figures are references.
- The oracle has the map and walks the shortest way by the same motor layer: what no agent can do better.
- LRTA* (Korf's learning real-time A*) is the planner that the search is held against.
- A gate is a row that must hold, a claim one that may fail and is reported, an info has no target (`rows.Kind`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lancelet.envs import mazes
from lancelet.scripts.rows import Kind, Row, at_least, at_most
from lancelet.scripts.studies.search.lives import (
    FIFTH,
    FIRST,
    FOURTH,
    SECOND,
    THIRD,
    Lives,
    World,
    agent,
    fixed,
    live,
    oracle,
    random_pairs,
    ratio,
)
from lancelet.scripts.studies.search.results import FixedPairLives
from lancelet.scripts.study import Study
from lancelet.training.statistics import interval

SEEDS = {"quick": 20, "shown": 40, "full": 200}
"""agents on a fixed pair; random pairs a maze that random edges, which are slow, are tried on"""
HELD_AGENTS = {"quick": 20, "shown": 100, "full": 200}
"""agents on a fixed pair that hold random actions"""
HELD_BUDGET = {"quick": 30_000, "shown": 100_000, "full": 100_000}
"""control steps of a trial of held random actions"""
RANDOM_PAIRS = {"quick": 20, "shown": 300, "full": 300}
"""random pairs a maze: with 40 the intervals of the medians reach over the targets"""
RANDOM_EDGE_BUDGET = 40_000
"""control steps of a trial of random edges"""
PAIR_SEED = 11
"""of the draw of random pairs; the first of the draws that LRTA* is compared on"""
LRTA_DRAWS = {"quick": 1, "shown": 5, "full": 5}
"""draws of `RANDOM_PAIRS` pairs on Large, each with agents of another seed"""
BUDGET = 10_000
"""control steps of a trial in the draws for LRTA*"""
STARTS_OF_A_DRAW = 100_000
"""seeds of start states between two draws, so that none is used twice"""
LRTA_TARGET = 0.85
"""the search's median over LRTA*'s at most: at least 15 % below"""
ORACLE_TARGET = 1.6
"""the search's third trial over the oracle's, at most"""


@dataclass(frozen=True)
class FixedPair:
    """What the search is held against on the fixed pair of a maze; steps."""

    first_at_most: float
    """target of the first trial's median"""
    third_at_most: float
    """target of the third trial's median"""
    prototype_first: int
    """the prototype's median of the first trial"""
    prototype_third: int
    """the prototype's median of the third trial"""
    prototype_held: int
    """the prototype's median of held random actions"""
    held_over_search: float | None
    """target of held random actions over the search, at least; None: no claim"""


FIXED = {
    "umaze": FixedPair(
        first_at_most=800,
        third_at_most=280,
        prototype_first=550,
        prototype_third=210,
        prototype_held=581,
        held_over_search=None,
    ),
    "medium": FixedPair(
        first_at_most=1100,
        third_at_most=430,
        prototype_first=717,
        prototype_third=331,
        prototype_held=7698,
        held_over_search=7,
    ),
    "large": FixedPair(
        first_at_most=1100,
        third_at_most=700,
        prototype_first=673,
        prototype_third=549,
        prototype_held=15019,
        held_over_search=12,
    ),
}
FIXED_TRIALS = 5
"""trials of a life on a fixed pair; what the fourth and fifth took is one row"""


@dataclass(frozen=True)
class RandomPairs:
    """What the search is held against on random pairs of a maze; steps of the first trial."""

    median_at_most: float
    p90_at_most: float
    prototype: str
    """the prototype's median and 90th percentile"""


PAIRS = {
    "umaze": RandomPairs(median_at_most=400, p90_at_most=900, prototype="269 / 621"),
    "medium": RandomPairs(median_at_most=450, p90_at_most=900, prototype="306 / 646"),
    "large": RandomPairs(median_at_most=900, p90_at_most=3000, prototype="598 / 1,891"),
}


@dataclass(frozen=True)
class Unseen:
    """Random mazes of one kind and size, from corner to corner (rows N6)."""

    kind: str
    """``perfect``: one way between any two rooms; ``loops``: several"""
    rooms: int
    """a side"""
    first_at_most: float | None = None
    """target of the first trial's median, steps; None: no claim"""
    prototype: float | None = None
    """the prototype's median of the first trial, steps"""
    compares_lrta: bool = False
    """whether LRTA* is tried on them too"""
    lrta_at_most: float | None = None
    """target of the search over LRTA*, first trial; None: no claim"""
    prototype_lrta: float | None = None
    """the prototype's search over LRTA*"""
    is_quick: bool = False
    """whether a quick study measures them"""


UNSEEN = (
    Unseen("perfect", rooms=3),
    Unseen(
        "perfect",
        rooms=5,
        first_at_most=4000,
        prototype=2884,
        compares_lrta=True,
        lrta_at_most=0.85,
        prototype_lrta=1.0,
        is_quick=True,
    ),
    Unseen("perfect", rooms=7),
    Unseen("loops", rooms=5, prototype=1338, compares_lrta=True, prototype_lrta=0.79),
)
UNSEEN_MAZES = {"quick": 24, "shown": 48, "full": 200}
"""mazes of each kind and size, one agent in each"""
UNSEEN_BUDGET = 40_000
"""control steps of a trial in them"""
UNSEEN_TRIALS = 3
"""trials of a life in them: rows tell of the first, the second and the third"""


def median_row(
    study: Study,
    name: str,
    lives: Lives,
    most: float,
    trial: int = FIRST,
    reference: float | str | None = None,
) -> None:
    """Add the gate that a trial's median is `most` steps or fewer.

    Args:
        study: gets the row.
        name: of the row.
        lives: what the agents did.
        most: target, steps.
        trial: column of `lives`.
        reference: what the prototype measured.
    """
    row = at_most(
        name,
        "gate",
        lives.median(trial),
        most,
        seeds=len(lives.steps),
        interval=lives.interval(trial),
        note=lives.summary(trial),
        reference=reference,
    )
    study.add(row)


def _at_most_or_info(
    name: str,
    kind: Kind,
    value: float,
    most: float | None,
    *,
    interval: tuple[float, float],
    note: str,
    reference: float | None,
    seeds: int,
) -> Row:
    """A row of the kind `kind` with a target, or an info where there is none.

    Args:
        name: of the row.
        kind: of the row where there is a target.
        value: what was measured.
        most: the target, at most; None: nothing is claimed.
        interval: 95 % interval of the value.
        note: what else there is to say.
        reference: what the prototype measured; None: nothing.
        seeds: number of agents.
    """
    if most is None:
        return Row(
            name, "info", value, interval=interval, note=note, reference=reference, seeds=seeds
        )
    return at_most(
        name, kind, value, most, interval=interval, note=note, reference=reference, seeds=seeds
    )


def all_solved(study: Study, name: str, lives: Lives, kind: Kind = "gate") -> None:
    """Add the row of the share of trials, later ones too, that reached their goals.

    Args:
        study: gets the row.
        name: what was solved: the beginning of the row's name.
        lives: what the agents did.
        kind: of the row.
    """
    row = at_least(
        f"{name}, solved",
        kind,
        float(lives.solved.mean()),
        1.0,
        seeds=len(lives.steps),
        note=f"{lives.solved.size} trials, at most {lives.budget:,} steps each",
        reference=1.0,
    )
    study.add(row)


def fixed_pairs(study: Study) -> dict[str, FixedPairLives]:
    """Add the rows of newborn agents on each maze's far pair, several trials, and of what else could be done.

    Returns:
        Maze -> lives there, for the pictures and the other parts.
    """
    lives_of: dict[str, FixedPairLives] = {}
    for maze, pair in FIXED.items():
        world = fixed(maze, SEEDS[study.size])
        lives = live(agent(), world, FIXED_TRIALS)
        _search_on_fixed_pair(study, maze, pair, lives)
        known = _oracle_on_fixed_pair(study, maze, world, lives)
        _held_actions_on_fixed_pair(study, maze, pair, lives)
        lives_of[maze] = FixedPairLives(search=lives, oracle=known)
    _graph_memory(study, {maze: lives.search for maze, lives in lives_of.items()})
    return lives_of


def _search_on_fixed_pair(study: Study, maze: str, pair: FixedPair, lives: Lives) -> None:
    """Add the rows that tell of the search without anything beside it.

    They are: share of trials solved, steps of the first and of the third trial against their targets, and the slowest
    of the late trials, in which agents know their way.

    Args:
        study: gets the rows.
        maze: name of the maze.
        pair: targets, and the prototype's figures.
        lives: of the search, `FIXED_TRIALS` trials.
    """
    name = f"{maze} fixed pair"
    all_solved(study, name, lives)
    median_row(
        study,
        f"{name}, first trial, steps",
        lives,
        pair.first_at_most,
        reference=pair.prototype_first,
    )
    median_row(
        study,
        f"{name}, third trial, steps",
        lives,
        pair.third_at_most,
        trial=THIRD,
        reference=pair.prototype_third,
    )
    late = [FOURTH, FIFTH]
    late_steps = lives.steps[:, late]
    censored = (~lives.solved[:, late]).sum()
    row = Row(
        f"{name}, fourth and fifth trial, p99 of steps",
        "info",
        float(np.percentile(late_steps, 99)),
        seeds=len(lives.steps),
        note=f"worst {late_steps.max():,}; "
        f"{censored} of {late_steps.size} trials censored at {lives.budget:,}",
    )
    study.add(row)


def _oracle_on_fixed_pair(study: Study, maze: str, world: World, lives: Lives) -> Lives:
    """Add the row of the search against an oracle, and return the oracle's lives."""
    known = oracle(world, FIXED_TRIALS)
    value, between = ratio(lives.steps[:, THIRD], known.steps[:, THIRD])
    row = at_most(
        f"{maze} fixed pair, third trial over the oracle's",
        "claim" if maze == "large" else "info",
        value,
        ORACLE_TARGET,
        interval=between,
        seeds=world.n,
        note=f"the oracle has the map and the same motor layer: {known.summary(THIRD)}",
    )
    study.add(row)
    return known


def _held_actions_on_fixed_pair(study: Study, maze: str, pair: FixedPair, lives: Lives) -> None:
    """Add the row of agents that hold random actions against the search, whose lives are given."""
    world = fixed(maze, HELD_AGENTS[study.size])
    controller: Any = agent("random-held")
    held = live(controller, world, budget=HELD_BUDGET[study.size])
    value, between = ratio(held.steps[:, FIRST], lives.steps[:, FIRST])
    name = f"{maze} fixed pair, held random actions over search"
    note = f"random action held {controller.options.hold} steps: {held.summary()}"
    reference = f"{pair.prototype_held / pair.prototype_first:.2g}"
    if pair.held_over_search is None:
        row = Row(
            name,
            "info",
            value,
            interval=between,
            seeds=len(held.steps),
            reference=reference,
            note=f"no claim here: chance does it too. {note}",
        )
    else:
        row = at_least(
            name,
            "gate",
            value,
            pair.held_over_search,
            interval=between,
            seeds=len(held.steps),
            reference=reference,
            note=note,
        )
    study.add(row)


def _graph_memory(study: Study, lives_of: dict[str, Lives]) -> None:
    """The row of the graphs' memory, in the maze where a place takes most."""
    bytes_a_place = []
    place_counts = []
    for maze, lives in lives_of.items():
        bytes_a_place.append(np.mean([memory(mind) for mind in lives.minds]))
        places = np.mean([mind.graph.count for mind in lives.minds])
        place_counts.append(f"{maze} {places:.0f} places")
    row = Row(
        "graph memory per visited place, bytes",
        "info",
        float(np.max(bytes_a_place)),
        seeds=SEEDS[study.size],
        note=f"nine weights and counts a place; {', '.join(place_counts)}",
    )
    study.add(row)


def memory(mind: Any) -> float:
    """Bytes of a graph per place in it."""
    size = sum(array.nbytes for array in mind.graph.to_arrays().values())
    return size / max(mind.graph.count, 1)


def pairs(study: Study) -> None:
    """Random pairs, against LRTA*, random edges, and the search without its spread."""
    for maze, expected in PAIRS.items():
        layout = mazes.named(maze)
        world = random_pairs([layout], RANDOM_PAIRS[study.size], seed=PAIR_SEED)
        lives = live(agent(), world, trials=3)
        _search_on_random_pairs(study, f"{maze} random pairs", expected, world, lives)

        others = {"LRTA*": live(agent("lrta"), world)}
        if study.size != "quick":
            others["without spread"] = live(agent(lesions=("spread",)), world)
            # The first pairs of the same draw: random edges need ten times the steps.
            fewer = random_pairs([layout], SEEDS[study.size], seed=PAIR_SEED)
            others["random edges"] = live(agent("random-edge"), fewer, budget=RANDOM_EDGE_BUDGET)
        for label, other in others.items():
            count = len(other.steps)
            value, between = ratio(lives.steps[:count, FIRST], other.steps[:, FIRST])
            row = Row(
                f"{maze} random pairs, search over {label}",
                "info",
                value,
                interval=between,
                note=f"{label}: {other.summary()}",
                seeds=count,
            )
            study.add(row)


def _search_on_random_pairs(
    study: Study, name: str, expected: RandomPairs, world: World, lives: Lives
) -> None:
    """Rows of the search alone."""
    all_solved(study, name, lives)
    median_row(
        study,
        f"{name}, first trial, steps",
        lives,
        expected.median_at_most,
        reference=expected.prototype,
    )
    first_steps = lives.steps[:, FIRST]
    row = at_most(
        f"{name}, first trial, p90",
        "gate",
        float(np.percentile(first_steps, 90)),
        expected.p90_at_most,
        reference=expected.prototype,
        interval=interval(first_steps, _ninetieth),
        seeds=world.n,
    )
    study.add(row)
    row = Row(
        f"{name}, third trial, steps",
        "info",
        lives.median(THIRD),
        interval=lives.interval(THIRD),
        note=lives.summary(THIRD),
        seeds=world.n,
    )
    study.add(row)
    # Moves are as long as cells, 1 m.
    path_over_shortest = lives.path[:, FIRST] / world.shortest
    row = Row(
        f"{name}, path over shortest, first trial",
        "info",
        float(np.median(path_over_shortest)),
        note=f"p90 {np.percentile(path_over_shortest, 90):.2f}; "
        "below 1 where corners are cut and the disc of success is near",
        seeds=world.n,
    )
    study.add(row)


def _ninetieth(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """90th percentile."""
    return np.percentile(values, 90, axis=axis)


def against_lrta(study: Study) -> None:
    """Large: the search against LRTA* on the same pairs, from the same starts, in many draws."""
    draws = LRTA_DRAWS[study.size]
    count = RANDOM_PAIRS[study.size]
    ours = []
    theirs = []
    for draw in range(draws):
        steps = study.stage(f"lrta-{draw}", lambda draw=draw: _one_draw(draw, count))
        our_steps = np.asarray(steps["search"])
        their_steps = np.asarray(steps["lrta"])
        value, between = ratio(our_steps, their_steps)
        row = Row(
            f"LRTA* on large, draw {draw}: search over LRTA*",
            "info",
            value,
            interval=between,
            seeds=len(our_steps),
            note=f"medians {np.median(our_steps):,.0f} and {np.median(their_steps):,.0f} steps, "
            "first trial",
        )
        study.add(row)
        ours.append(our_steps)
        theirs.append(their_steps)
    _over_all_draws(study, np.concatenate(ours), np.concatenate(theirs))


def _one_draw(draw: int, count: int) -> dict[str, np.ndarray]:
    """Steps of the first trial of the search and of LRTA* on one draw of pairs; both start alike."""
    world = random_pairs([mazes.named("large")], count, seed=PAIR_SEED + draw)
    starts = STARTS_OF_A_DRAW * draw
    ours = live(agent(seed=draw), world, budget=BUDGET, seed=starts)
    theirs = live(agent("lrta", seed=draw), world, budget=BUDGET, seed=starts)
    return {"search": ours.steps[:, FIRST], "lrta": theirs.steps[:, FIRST]}


def _over_all_draws(study: Study, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Gate and claim on the steps (pairs,) of the search and of LRTA*, all draws together."""
    value, between = ratio(ours, theirs)
    our_censored = int((ours >= BUDGET).sum())
    their_censored = int((theirs >= BUDGET).sum())
    note = (
        f"{LRTA_DRAWS[study.size]} draws of {RANDOM_PAIRS[study.size]} pairs, both from the same "
        f"starts, resampled in pairs; medians {np.median(ours):,.0f} and {np.median(theirs):,.0f}; "
        f"censored at {BUDGET:,}: {our_censored} and {their_censored}"
    )
    name = "LRTA* on large: search over LRTA*, first trial"
    gate = at_most(
        name,
        "gate",
        value,
        LRTA_TARGET,
        reference=0.66,
        interval=between,
        seeds=len(ours),
        note=note,
    )
    study.add(gate)
    claim = at_most(
        f"{name}, fewer steps at all",
        "claim",
        value,
        1.0,
        interval=between,
        seeds=len(ours),
        note=note,
    )
    study.add(claim)


def corners(kind: str, n: int, seeds: int) -> World:
    """One agent in each of several random mazes, from corner to corner.

    Args:
        kind: of the mazes, ``perfect`` or ``loops``.
        n: rooms a side.
        seeds: number of mazes.
    """
    maps = [mazes.named(f"{kind}:{n}", seed) for seed in range(seeds)]
    last = 2 * n - 1
    return World(maps, np.tile((1, 1), (seeds, 1)), np.tile((last, last), (seeds, 1)))


def unseen(study: Study) -> None:
    """Add the rows N6: newborn agents in perfect mazes and in mazes with loops, from corner to corner."""
    for family in UNSEEN:
        if study.size == "quick" and not family.is_quick:
            continue
        _unseen_mazes(study, family)


def _unseen_mazes(study: Study, family: Unseen) -> None:
    """Measure the search in mazes of one kind and size, and add its rows and those of what stands beside it."""
    name = f"N6 {family.kind} mazes of {family.rooms} x {family.rooms} rooms"
    world = corners(family.kind, family.rooms, UNSEEN_MAZES[study.size])
    lives = live(agent(), world, UNSEEN_TRIALS, UNSEEN_BUDGET)
    # One trial is enough: an oracle learns nothing in it.
    known = oracle(world)
    all_solved(study, name, lives)
    _unseen_first_trial(study, name, family=family, world=world, lives=lives, known=known)
    _unseen_second_trial(study, name, lives, known)
    if family.compares_lrta:
        _unseen_against_lrta(study, name, family, world, lives)


def _unseen_first_trial(
    study: Study, name: str, family: Unseen, world: World, lives: Lives, known: Lives
) -> None:
    """Add the row of the first trial's steps: a gate where the family has a target, else an info.

    Args:
        study: gets the row.
        name: of the mazes: the beginning of the row's name.
        family: the mazes' kind and size, with the target.
        world: the mazes.
        lives: of the search.
        known: of the oracle.
    """
    row = _at_most_or_info(
        f"{name}, first trial, steps",
        "gate",
        lives.median(FIRST),
        family.first_at_most,
        interval=lives.interval(FIRST),
        note=f"shortest {np.median(world.shortest):.0f} cells; {lives.summary(FIRST)}; "
        f"oracle {known.median(FIRST):,.0f}",
        reference=family.prototype,
        seeds=world.n,
    )
    study.add(row)


def _unseen_second_trial(study: Study, name: str, lives: Lives, known: Lives) -> None:
    """Add the row of the second trial, with the graph of the first, over the only one of the oracle.

    Args:
        study: gets the row.
        name: of the mazes: the beginning of the row's name.
        lives: of the search.
        known: of the oracle.
    """
    value, between = ratio(lives.steps[:, SECOND], known.steps[:, FIRST])
    row = Row(
        f"{name}, second trial over the oracle's",
        "info",
        value,
        interval=between,
        note=f"second trial {lives.summary(SECOND)}; third {lives.median(THIRD):,.0f}",
        seeds=len(lives.steps),
    )
    study.add(row)


def _unseen_against_lrta(
    study: Study, name: str, family: Unseen, world: World, lives: Lives
) -> None:
    """Add the row of the search over LRTA* in mazes of one kind and size.

    Args:
        study: gets the row.
        name: of the mazes: the beginning of the row's name.
        family: the mazes' kind and size, with the target.
        world: the mazes.
        lives: of the search.
    """
    lrta_lives = live(agent("lrta"), world, budget=UNSEEN_BUDGET)
    value, between = ratio(lives.steps[:, FIRST], lrta_lives.steps[:, FIRST])
    row = _at_most_or_info(
        f"{name}, search over LRTA*",
        "claim",
        value,
        family.lrta_at_most,
        interval=between,
        note=f"LRTA*: {lrta_lives.summary()}",
        reference=family.prototype_lrta,
        seeds=world.n,
    )
    study.add(row)

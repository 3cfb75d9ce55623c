"""N1 to N5 and N7: what the search does when the world, the goal or the body is not what it was (spec 8.2)."""

from __future__ import annotations

from typing import Any

import numpy as np

from lancelet.envs import VectorEnv, mazes
from lancelet.scripts.rows import Row, at_least, at_most
from lancelet.scripts.studies.search.lives import FAR, World, agent, fixed, live, oracle, ratio
from lancelet.scripts.studies.search.mazes import all_solved
from lancelet.scripts.study import Study

SEEDS = {"quick": 21, "shown": 42, "full": 210}
BLOCKS = ((4, 6), (5, 6), (5, 7))
"""N1: cells of Large's shortest way, one an agent in turn"""
GAINS = {
    "swapped axes": ((0.0, 1.0), (1.0, 0.0)), "one sign flipped": ((-1.0, 0.0), (0.0, 1.0)),
    "half the gain": ((0.5, 0.0), (0.0, 0.5)),
}  # fmt: skip
GATE, PERIOD, TRIALS = (4, 6), 2000, 8
"""N5: the cell that opens and closes, the steps of life between, and the trials of a life"""
ROOM = ("#########", "#...#...#", "#...#...#", "#.......#", "#...#...#", "#...#...#", "#########")
SLIT = ((3, 4), 0.3)
"""N7: the free cell of the wall, and the width in m of the slit that is left beside its block"""


def novel(study: Study, data: dict[str, Any]) -> None:
    """All rows but N6, which is in `_search_mazes.unseen`."""
    blocked_and_reopened(study, data)
    goal_moved(study)
    other_actuators(study)
    moving_wall(study)
    narrow_gap(study, data)


def blocked_and_reopened(study: Study, data: dict[str, Any]) -> None:
    """N1 and N2 in one life: three trials, four behind a wall on the shortest way, four with the wall gone."""
    count, who = SEEDS[study.size], agent()
    world = fixed("large", count)
    cells = [BLOCKS[i % len(BLOCKS)] for i in range(count)]
    shut = World(
        [mazes.with_cells(world.maps[0], {cell: mazes.WALL}) for cell in cells], world.starts, world.goals
    )  # fmt: skip
    before = live(who, world, 3)
    after = live(who, shut, 4, state=before.state, seed=5000)
    fresh, known = live(who, shut, 4, seed=5000), oracle(shut)
    data["blocked"] = {
        "before": before.steps,
        "after": after.steps,
        "fresh": fresh.steps,
        "oracle": known.median(),
    }
    all_solved(study, "N1 blocked route", after)
    value, interval = ratio(after.steps[:, 0], fresh.steps[:, 0])
    moves = (
        f"the shortest way goes from {world.shortest[0]} to {np.median(shut.shortest):.0f} cells"
    )
    note = f"{moves}; {after.told()}; a fresh agent: {fresh.told()}; third trial before: {before.median(2):,.0f}"
    rest: dict[str, Any] = {"seeds": count}
    name = "N1 blocked route, first trial after over a fresh agent's"
    study.add(
        at_most(name, "gate", value, 1.1, interval=interval, note=note, reference=0.8, **rest)
    )
    value, interval = ratio(after.steps[:, 3], known.steps[:, 0])
    note = f"{after.told(3)}; oracle {known.told()}; a fresh agent's fourth {fresh.median(3):,.0f}"
    name = "N1 blocked route, fourth trial after over the oracle's"
    study.add(at_most(name, "gate", value, 1.5, interval=interval, note=note, **rest))
    value, interval = ratio(after.steps[:, 1], after.steps[:, 0])
    note = f"{after.told(1)}; medians of trials 1 to 4: {after.medians()}"
    name = "N1 blocked route, second trial after over the first"
    study.add(
        at_most(
            name, "claim", value, 1.0, interval=interval, note=note, reference="1.2 (means)", **rest
        )
    )

    passed = np.zeros((count, 4), bool)
    taken, reopened = np.array(cells), None
    for trial in range(4):

        def look(env: VectorEnv, _: Any, trial: int = trial) -> None:
            here = mazes.xy_to_cell(world.maps[0], np.asarray(env.sim.qpos))
            passed[:, trial] |= (here == taken).all(1)

        last = after if reopened is None else reopened
        now = live(who, world, state=last.state, seed=9000 + 1000 * trial, on_step=look)
        reopened = now if reopened is None else reopened.then(now)
    assert reopened is not None
    data["blocked"]["reopened"] = reopened.steps
    all_solved(study, "N2 shortcut reopened", reopened)
    value, interval = ratio(reopened.steps[:, 1], before.steps[:, 2])
    name = "N2 shortcut reopened, second trial over the third before the block"
    note = f"medians of trials 1 to 4: {reopened.medians()}; behind the wall it was {after.median(3):,.0f}"
    study.add(Row(name, "info", value, interval=interval, note=note, **rest))
    by = np.maximum.accumulate(passed, 1).mean(0)
    note = f"by trial 1 to 4: {', '.join(f'{share:.2f}' for share in by)}; a way that works is kept: w0 = 0.3 satisfices"
    study.add(
        Row(
            "N2 share that took the shortcut by the second trial",
            "info",
            float(by[1]),
            note=note,
            **rest,
        )
    )


def goal_moved(study: Study) -> None:
    """N3: the graph of three trials serves another goal."""
    count, who = SEEDS[study.size], agent()
    world, rng = fixed("large", count), np.random.default_rng(3)
    away = mazes.distances(world.maps[0], FAR["large"][0])
    old = mazes.distances(world.maps[0], FAR["large"][1])
    cells = np.argwhere((away >= 6) & (old >= 4))
    moved = World(world.maps, world.starts, cells[rng.integers(0, len(cells), count)])
    lived = live(who, world, 3)
    after, fresh, known = (
        live(who, moved, 2, state=lived.state, seed=5000),
        live(who, moved, seed=5000),
        oracle(moved),
    )
    all_solved(study, "N3 goal moved", after)
    value, interval = ratio(after.steps[:, 0], fresh.steps[:, 0])
    note = f"{after.told()}; fresh {fresh.told()}; oracle {known.median():,.0f}; second trial {after.median(1):,.0f}"
    name = "N3 goal moved, first trial after over a fresh agent's"
    study.add(at_most(name, "claim", value, 1.0, seeds=count, interval=interval, note=note))


def other_actuators(study: Study) -> None:
    """N4: axes swapped, a sign flipped, half the gain; from birth and in mid-life."""
    count, who = SEEDS[study.size], agent()
    world = fixed("large", count)
    gains = np.array([list(GAINS.values())[i % len(GAINS)] for i in range(count)])
    born, plain = live(who, world, 3, gain=gains), live(who, world, 3)
    known = oracle(world, gain=gains)
    all_solved(study, "N4 other actuators at birth", born)
    value, interval = ratio(born.steps[:, 0], plain.steps[:, 0])
    each = [
        f"{name} {np.median(born.steps[i :: len(GAINS), 0]):,.0f}" for i, name in enumerate(GAINS)
    ]
    note = f"medians: {', '.join(each)}; with plain ones {plain.median():,.0f}; oracle {known.median():,.0f}"
    name = "N4 other actuators at birth, first trial over plain ones"
    study.add(Row(name, "info", value, seeds=count, interval=interval, note=note))
    after = live(who, world, 3, state=plain.state, seed=5000, gain=gains)
    all_solved(study, "N4 other actuators in mid-life", after)
    name, value = "N4 other actuators in mid-life, first trial after, steps", after.median()
    each = [
        f"{name} {np.median(after.steps[i :: len(GAINS), 0]):,.0f}" for i, name in enumerate(GAINS)
    ]
    note = f"{after.told()}; {', '.join(each)}; before {plain.median(2):,.0f}, second after {after.median(1):,.0f}"
    study.add(Row(name, "info", value, seeds=count, interval=after.interval(), note=note))


def moving_wall(study: Study) -> None:
    """N5: a gate on the shortest way opens and closes every 2,000 steps of life, though never on an agent."""
    count = SEEDS[study.size]
    world = fixed("large", count)
    layout = world.maps[0]
    closed, centre = mazes.with_cells(layout, {GATE: mazes.WALL}), mazes.cell_to_xy(layout, GATE)
    ways = f"oracle {oracle(world).median():,.0f} open, {oracle(world.changed({GATE: mazes.WALL})).median():,.0f} shut"
    for rho in (1e-4, 0.0) if study.size == "full" else (1e-4,):
        turns, is_shut = np.zeros(count, int), np.zeros(count, bool)

        def toggle(
            env: Any, state: Any, turns: np.ndarray = turns, is_shut: np.ndarray = is_shut
        ) -> None:
            wanted = (state[0].life.numpy() // PERIOD) % 2 == 1
            free = np.abs(np.asarray(env.sim.qpos) - centre).max(1) > 0.7
            change = np.flatnonzero((wanted != is_shut) & (free | ~wanted))
            if len(change):
                env.task.set_walls(env.sim, [closed if shut else layout for shut in wanted], change)
                is_shut[change] = wanted[change]
                turns[change] += 1

        lives = live(agent(forgetting=rho), world, TRIALS, on_step=toggle)
        name = f"N5 a gate opens and closes every {PERIOD:,} steps, rho = {rho:g}"
        all_solved(study, name, lives, "gate" if rho else "info")
        note = f"medians of {TRIALS} trials: {lives.medians()}; {turns.mean():.1f} turns a life; {ways}"
        study.add(
            Row(
                f"{name}, all trials, steps",
                "info",
                float(np.median(lives.steps)),
                seeds=count,
                note=note,
            )
        )


def narrow_gap(study: Study, data: dict[str, Any]) -> None:
    """N7: a slit of 0.3 m for a ball of 0.2 m, off the lattice.

    On the lattice of 1 m nothing has to be refined: the ball slides along the wall into the slit. So the refinement is
    shown from a lattice of 2 m.
    """
    count = SEEDS[study.size]
    world = World([ROOM] * count, np.tile((1, 1), (count, 1)), np.tile((5, 7), (count, 1)))
    cell, width = SLIT
    x, y = mazes.cell_to_xy(ROOM, cell).tolist()

    def narrow(env: Any) -> None:
        env.task.move_wall(env.sim, cell, (x, y - width))

    for spacing in (1.0, 2.0):
        lives = live(agent(spacing=spacing), world, 3, 20_000, before=narrow)
        name = f"N7 narrow gap, lattice of {spacing:g} m"
        all_solved(study, name, lives)
        refined = sum(mind.level + mind.rearmed > 0 for mind in lives.minds)
        rest: dict[str, Any] = {"seeds": count}
        if spacing == 1:
            data["gap"] = lives
            note = f"{refined} of {count} agents refined: the ball slides along the wall into the slit; {lives.told()}"
            shown = {"interval": lives.interval(), "note": note, **rest}
            study.add(Row(f"{name}, first trial, steps", "info", lives.median(), **shown))
            continue
        note = f"re-armed {sum(mind.rearmed for mind in lives.minds)} times; {lives.told()}"
        study.add(
            at_least(f"{name}, agents that refined it", "gate", refined, 1, note=note, **rest)
        )
        korf = live(agent("lrta", spacing=spacing), world, budget=20_000, before=narrow)
        note = f"LRTA*, which cannot refine: {korf.told()}"
        study.add(
            Row(f"{name}, LRTA* solved", "info", float(korf.solved.mean()), note=note, **rest)
        )

"""N1 to N5 and N7: what the search does when the world, the goal or the body is another one.

The codes are those of docs/systems/search.md, "Row codes".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lancelet.controllers import Controller
from lancelet.envs import VectorEnv, mazes
from lancelet.scripts.rows import Kind, Row, at_least, at_most
from lancelet.scripts.studies.search.lives import (
    FAR,
    FIRST,
    FOURTH,
    SECOND,
    SEEDS_OF_A_TRIAL,
    THIRD,
    Lives,
    World,
    agent,
    fixed,
    live,
    oracle,
    ratio,
)
from lancelet.scripts.studies.search.mazes import all_solved
from lancelet.scripts.studies.search.results import BlockedRoute
from lancelet.scripts.study import Study

SEEDS = {"quick": 21, "shown": 42, "full": 210}
"""agents of each setting; a multiple of the three walls of N1 and of the three gains of N4"""
TRIALS_BEFORE = 3
"""trials of a life before the setting changes"""
SEED_AFTER = 5000
"""of the start states after the change; agents that are born after it have the same"""

BLOCKS = ((4, 6), (5, 6), (5, 7))
"""N1: cells of Large's shortest way, one an agent in turn"""
TRIALS_BLOCKED = 4
"""N1: trials behind the wall"""
TRIALS_REOPENED = 4
"""N2: trials with the wall gone"""
SEED_REOPENED = 9000
"""N2: of the start states with the wall gone"""

GOAL_SEED = 3
"""N3: of the draw of other goals"""
LEAST_FROM_START = 6
"""N3: moves from the start to another goal, at least"""
LEAST_FROM_GOAL = 4
"""N3: moves from the old goal to another one, at least"""

GAINS = {
    "swapped axes": ((0.0, 1.0), (1.0, 0.0)),
    "one sign flipped": ((-1.0, 0.0), (0.0, 1.0)),
    "half the gain": ((0.5, 0.0), (0.0, 0.5)),
}
"""N4: what the commands are multiplied by, one an agent in turn"""

GATE_CELL = (4, 6)
"""N5: the cell that opens and closes"""
PERIOD = 2000
"""N5: steps of life between two turns of the gate"""
TRIALS = 8
"""N5: trials of a life"""
GATE_CLEARANCE = 0.7
"""N5: m along an axis between an agent and the middle of the gate, at which it may close"""
FORGETTING = 1e-4
"""N5: drift of the weights, for a world that changes"""

ROOM = (
    "#########",
    "#...#...#",
    "#...#...#",
    "#.......#",
    "#...#...#",
    "#...#...#",
    "#########",
)
"""N7: two rooms, and a wall between them with one free cell"""
ROOM_START = (1, 1)
"""N7: cell in the left room"""
ROOM_GOAL = (5, 7)
"""N7: cell in the right room"""
SLIT_CELL = (3, 4)
"""N7: the free cell of the wall, into which a block is put"""
SLIT_WIDTH = 0.3
"""N7: m, width of the slit that is left beside the block"""
USUAL_LATTICE = 1.0
"""N7: m, lattice constant that needs no refinement"""
COARSE_LATTICE = 2.0
"""N7: m, lattice constant that has to be refined"""
GAP_BUDGET = 20_000
"""N7: control steps of a trial"""
GAP_TRIALS = 3
"""N7: trials of a life"""


def novel(study: Study) -> BlockedRoute:
    """Add all rows but N6, which `mazes.unseen` measures.

    Returns:
        The steps of N1 and N2, for the pictures.
    """
    blocked_route = blocked_and_reopened(study)
    goal_moved(study)
    other_actuators(study)
    moving_wall(study)
    narrow_gap(study)
    return blocked_route


def blocked_and_reopened(study: Study) -> BlockedRoute:
    """Add the rows of N1 and N2, one life: three trials, four behind a wall, four with the wall gone.

    The wall stands on the shortest way.
    """
    count = SEEDS[study.size]
    controller = agent()
    world = fixed("large", count)
    wall_of_agent = [BLOCKS[number % len(BLOCKS)] for number in range(count)]
    maps = [mazes.with_cells(world.maps[0], {cell: mazes.WALL}) for cell in wall_of_agent]
    shut = World(maps, world.starts, world.goals)
    before = live(controller, world, TRIALS_BEFORE)
    # The same agents go on with what they know; newborn ones have the same start states.
    after = live(controller, shut, TRIALS_BLOCKED, state=before.state, seed=SEED_AFTER)
    fresh = live(controller, shut, TRIALS_BLOCKED, seed=SEED_AFTER)
    _blocked(
        study,
        world=world,
        shut=shut,
        before=before,
        after=after,
        fresh=fresh,
        known=oracle(shut),
    )
    # Last: the agents' minds live on from `after`, and change as they do.
    reopened = _reopened(
        study,
        controller,
        world=world,
        walls=np.array(wall_of_agent),
        before=before,
        after=after,
    )
    return BlockedRoute(
        before=before.steps,
        blocked=after.steps,
        reopened=reopened.steps,
        newborn=fresh.steps,
    )


def _blocked(
    study: Study,
    *,
    world: World,
    shut: World,
    before: Lives,
    after: Lives,
    fresh: Lives,
    known: Lives,
) -> None:
    """Add the rows of N1: after the wall came, against newborn agents, the oracle, and the trial before.

    Args:
        study: gets the rows.
        world: without the wall.
        shut: with it.
        before: trials without the wall.
        after: trials of the same agents behind it.
        fresh: trials of agents that are born behind it.
        known: the oracle's, behind it.
    """
    all_solved(study, "N1 blocked route", after)
    value, interval = ratio(after.steps[:, FIRST], fresh.steps[:, FIRST])
    row = at_most(
        "N1 blocked route, first trial after over a fresh agent's",
        "gate",
        value,
        1.1,
        interval=interval,
        note=f"the shortest way goes from {world.shortest[0]} to {np.median(shut.shortest):.0f} "
        f"cells; {after.summary()}; a fresh agent: {fresh.summary()}; "
        f"third trial before: {before.median(THIRD):,.0f}",
        reference=0.8,
        seeds=world.n,
    )
    study.add(row)
    value, interval = ratio(after.steps[:, FOURTH], known.steps[:, FIRST])
    row = at_most(
        "N1 blocked route, fourth trial after over the oracle's",
        "gate",
        value,
        1.5,
        interval=interval,
        note=f"{after.summary(FOURTH)}; oracle {known.summary()}; "
        f"a fresh agent's fourth {fresh.median(FOURTH):,.0f}",
        seeds=world.n,
    )
    study.add(row)
    value, interval = ratio(after.steps[:, SECOND], after.steps[:, FIRST])
    row = at_most(
        "N1 blocked route, second trial after over the first",
        "claim",
        value,
        1.0,
        interval=interval,
        note=f"{after.summary(SECOND)}; medians of trials 1 to {TRIALS_BLOCKED}: {after.medians()}",
        reference="1.2 (means)",
        seeds=world.n,
    )
    study.add(row)


def _reopened(
    study: Study,
    controller: Controller,
    *,
    world: World,
    walls: np.ndarray,
    before: Lives,
    after: Lives,
) -> Lives:
    """Let the agents live on with the wall gone, and add the rows of N2.

    Args:
        study: gets the rows.
        controller: of the agents.
        world: without the wall.
        walls: (agents, 2), cells where the wall has stood.
        before: trials before the wall came.
        after: trials behind it.

    Returns:
        The trials with the wall gone.
    """
    took_shortcut = np.zeros((world.n, TRIALS_REOPENED), bool)
    trials: list[Lives] = []
    for trial in range(TRIALS_REOPENED):
        # `trial=trial` binds the number of this turn; a plain closure would see that of the last one.
        def watch(env: VectorEnv, _: Any, trial: int = trial) -> None:
            cells = mazes.xy_to_cell(world.maps[0], np.asarray(env.sim.qpos))
            took_shortcut[:, trial] |= (cells == walls).all(1)

        last = after
        if trials:
            last = trials[-1]
        seed = SEED_REOPENED + SEEDS_OF_A_TRIAL * trial
        trials.append(live(controller, world, state=last.state, seed=seed, on_step=watch))
    reopened = trials[0]
    for trial_after in trials[1:]:
        reopened = reopened.then(trial_after)

    all_solved(study, "N2 shortcut reopened", reopened)
    value, interval = ratio(reopened.steps[:, SECOND], before.steps[:, THIRD])
    row = Row(
        "N2 shortcut reopened, second trial over the third before the block",
        "info",
        value,
        interval=interval,
        note=f"medians of trials 1 to {TRIALS_REOPENED}: {reopened.medians()}; "
        f"behind the wall it was {after.median(FOURTH):,.0f}",
        seeds=world.n,
    )
    study.add(row)
    share_by_trial = np.maximum.accumulate(took_shortcut, axis=1).mean(0)
    shares = ", ".join(f"{share:.2f}" for share in share_by_trial)
    row = Row(
        "N2 share that took the shortcut by the second trial",
        "info",
        float(share_by_trial[SECOND]),
        note=f"by trial 1 to {TRIALS_REOPENED}: {shares}; "
        "a way that works is kept: w0 = 0.3 satisfices",
        seeds=world.n,
    )
    study.add(row)
    return reopened


def goal_moved(study: Study) -> None:
    """N3: the graph of three trials serves another goal."""
    count = SEEDS[study.size]
    controller = agent()
    world = fixed("large", count)
    moved = World(world.maps, world.starts, _other_goals(world))
    lived = live(controller, world, TRIALS_BEFORE)
    after = live(controller, moved, 2, state=lived.state, seed=SEED_AFTER)
    fresh = live(controller, moved, seed=SEED_AFTER)
    known = oracle(moved)
    all_solved(study, "N3 goal moved", after)
    value, interval = ratio(after.steps[:, FIRST], fresh.steps[:, FIRST])
    row = at_most(
        "N3 goal moved, first trial after over a fresh agent's",
        "claim",
        value,
        1.0,
        seeds=count,
        interval=interval,
        note=f"{after.summary()}; fresh {fresh.summary()}; oracle {known.median():,.0f}; "
        f"second trial {after.median(SECOND):,.0f}",
    )
    study.add(row)


def _other_goals(world: World) -> np.ndarray:
    """Cells (agents, 2) of Large, drawn from those far from the start and from the old goal."""
    start, goal = FAR["large"]
    from_start = mazes.distances(world.maps[0], start)
    from_goal = mazes.distances(world.maps[0], goal)
    is_far = (from_start >= LEAST_FROM_START) & (from_goal >= LEAST_FROM_GOAL)
    cells = np.argwhere(is_far)
    rng = np.random.default_rng(GOAL_SEED)
    return cells[rng.integers(0, len(cells), world.n)]


def other_actuators(study: Study) -> None:
    """N4: axes swapped, a sign flipped, half the gain; from birth and in mid-life."""
    count = SEEDS[study.size]
    controller = agent()
    world = fixed("large", count)
    matrices = list(GAINS.values())
    gains = np.array([matrices[number % len(matrices)] for number in range(count)])
    born = live(controller, world, 3, gain=gains)
    plain = live(controller, world, TRIALS_BEFORE)
    known = oracle(world, gain=gains)
    all_solved(study, "N4 other actuators at birth", born)
    value, interval = ratio(born.steps[:, FIRST], plain.steps[:, FIRST])
    row = Row(
        "N4 other actuators at birth, first trial over plain ones",
        "info",
        value,
        seeds=count,
        interval=interval,
        note=f"medians: {_medians_by_gain(born)}; with plain ones {plain.median():,.0f}; "
        f"oracle {known.median():,.0f}",
    )
    study.add(row)

    after = live(controller, world, 3, state=plain.state, seed=SEED_AFTER, gain=gains)
    all_solved(study, "N4 other actuators in mid-life", after)
    row = Row(
        "N4 other actuators in mid-life, first trial after, steps",
        "info",
        after.median(),
        seeds=count,
        interval=after.interval(),
        note=f"{after.summary()}; {_medians_by_gain(after)}; before {plain.median(THIRD):,.0f}, "
        f"second after {after.median(SECOND):,.0f}",
    )
    study.add(row)


def _medians_by_gain(lives: Lives) -> str:
    """Medians of the first trial, for each of `GAINS`, in words."""
    medians = []
    for number, name in enumerate(GAINS):
        steps = lives.steps[number :: len(GAINS), FIRST]
        medians.append(f"{name} {np.median(steps):,.0f}")
    return ", ".join(medians)


class Gate:
    """A cell that is a wall for every other `PERIOD` of each agent's life; it never closes on one.

    Args:
        layout: the map with the gate open.
        agents: number of them, each with a world of its own.
    """

    def __init__(self, layout: mazes.Map, agents: int) -> None:
        self.open_map = layout
        self.shut_map = mazes.with_cells(layout, {GATE_CELL: mazes.WALL})
        self.centre = mazes.cell_to_xy(layout, GATE_CELL)
        """(2,) m"""
        self.is_shut = np.zeros(agents, bool)
        """(agents,), whether it is a wall now"""
        self.turns = np.zeros(agents, int)
        """(agents,), times that it has opened or closed"""

    def turn(self, env: Any, state: Any) -> None:
        """Open and close it in the worlds of `env` where that is due."""
        body, _ = state
        is_due_shut = (body.life.numpy() // PERIOD) % 2 == 1
        from_gate = np.abs(np.asarray(env.sim.qpos) - self.centre).max(1)
        may_turn = (from_gate > GATE_CLEARANCE) | ~is_due_shut
        changed = np.flatnonzero((is_due_shut != self.is_shut) & may_turn)
        if len(changed) == 0:
            return
        maps = [self.shut_map if is_shut else self.open_map for is_shut in is_due_shut]
        env.task.set_walls(env.sim, maps, changed)
        self.is_shut[changed] = is_due_shut[changed]
        self.turns[changed] += 1


def moving_wall(study: Study) -> None:
    """N5: a gate on the shortest way opens and closes, though never on an agent."""
    count = SEEDS[study.size]
    world = fixed("large", count)
    open_steps = oracle(world).median()
    shut_steps = oracle(world.changed({GATE_CELL: mazes.WALL})).median()
    drifts = [FORGETTING]
    if study.size == "full":
        drifts.append(0.0)
    for rho in drifts:
        gate = Gate(world.maps[0], count)
        lives = live(agent(forgetting=rho), world, TRIALS, on_step=gate.turn)
        name = f"N5 a gate opens and closes every {PERIOD:,} steps, rho = {rho:g}"
        # Agents that forget have to arrive; those that do not are there for comparison.
        kind: Kind = "info"
        if rho > 0:
            kind = "gate"
        all_solved(study, name, lives, kind)
        row = Row(
            f"{name}, all trials, steps",
            "info",
            float(np.median(lives.steps)),
            seeds=count,
            note=f"medians of {TRIALS} trials: {lives.medians()}; "
            f"{gate.turns.mean():.1f} turns a life; "
            f"oracle {open_steps:,.0f} open, {shut_steps:,.0f} shut",
        )
        study.add(row)


def narrow_gap(study: Study) -> None:
    """Add the rows of N7: a slit of 0.3 m for a ball of 0.2 m, off the lattice.

    On the lattice of 1 m nothing has to be refined: the ball slides along the wall into the slit.
    So the refinement is shown from a lattice of 2 m.
    """
    count = SEEDS[study.size]
    world = World([ROOM] * count, np.tile(ROOM_START, (count, 1)), np.tile(ROOM_GOAL, (count, 1)))
    _gap_on_usual_lattice(study, world)
    _gap_on_coarse_lattice(study, world)


def _narrow(env: Any) -> None:
    """Put a block into the free cell of the wall, beside which a slit is left."""
    x, y = mazes.cell_to_xy(ROOM, SLIT_CELL).tolist()
    env.task.move_wall(env.sim, SLIT_CELL, (x, y - SLIT_WIDTH))


def _gap_on_usual_lattice(study: Study, world: World) -> None:
    """Add the rows of agents whose lattice needs no refinement."""
    lives = live(agent(spacing=USUAL_LATTICE), world, GAP_TRIALS, GAP_BUDGET, before=_narrow)
    name = f"N7 narrow gap, lattice of {USUAL_LATTICE:g} m"
    all_solved(study, name, lives)
    row = Row(
        f"{name}, first trial, steps",
        "info",
        lives.median(),
        interval=lives.interval(),
        note=f"{_refined_count(lives)} of {world.n} agents refined: "
        f"the ball slides along the wall into the slit; {lives.summary()}",
        seeds=world.n,
    )
    study.add(row)


def _gap_on_coarse_lattice(study: Study, world: World) -> None:
    """Add the rows of agents that have to refine their lattice, and of LRTA*, which cannot.

    An agent whose cheapest path to the goal is nearly refuted halves its lattice; at the finest one it is re-armed: it
    forgets all weights, and begins again from the coarse lattice with more patience.
    """
    lives = live(agent(spacing=COARSE_LATTICE), world, GAP_TRIALS, GAP_BUDGET, before=_narrow)
    name = f"N7 narrow gap, lattice of {COARSE_LATTICE:g} m"
    all_solved(study, name, lives)
    rearmed_count = sum(mind.rearmed for mind in lives.minds)
    row = at_least(
        f"{name}, agents that refined it",
        "gate",
        _refined_count(lives),
        1,
        note=f"re-armed {rearmed_count} times; {lives.summary()}",
        seeds=world.n,
    )
    study.add(row)
    lrta = agent("lrta", spacing=COARSE_LATTICE)
    lrta_lives = live(lrta, world, budget=GAP_BUDGET, before=_narrow)
    row = Row(
        f"{name}, LRTA* solved",
        "info",
        float(lrta_lives.solved.mean()),
        note=f"LRTA*, which cannot refine: {lrta_lives.summary()}",
        seeds=world.n,
    )
    study.add(row)


def _refined_count(lives: Lives) -> int:
    """Number of agents that have refined their lattice."""
    return sum(mind.level + mind.rearmed > 0 for mind in lives.minds)

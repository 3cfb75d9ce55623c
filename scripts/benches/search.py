"""The search: its speed, alone and in a batch, and the memory of its graphs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from lancelet.controllers import Population
from lancelet.scripts.rows import Row, at_least
from lancelet.scripts.studies.search.lives import TASK, agent, fixed
from lancelet.scripts.studies.search.mazes import memory
from lancelet.training.rollout import make_env, rollout

AGENTS = 64
"""agents of the batch"""
TRIALS = 3
"""trials of a life"""
ROUNDS = 5
"""lives that are timed"""
QUICK_ROUNDS = 2
"""lives that a quick bench times"""
BUDGET = 10_000
"""control steps of a trial"""


@dataclass(frozen=True)
class Setting:
    """Agents side by side, and what their speed is held against."""

    agents: int
    nthread: int
    """threads of the physics"""
    name: str
    """of the agents, in the row"""
    cores: str
    """of the machine, in the row"""
    target: float
    """agent steps/s, at least"""
    reference: float | None
    """agent steps/s of the prototype"""


SETTINGS = (
    Setting(
        agents=1,
        nthread=1,
        name="one agent in a single environment",
        cores="one core",
        target=2_000,
        reference=400,
    ),
    Setting(
        agents=AGENTS,
        nthread=2,
        name=f"{AGENTS} agents in one batch",
        cores="2 cores",
        target=10_000,
        reference=None,
    ),
)


def run(quick: bool) -> list[Row]:
    """All rows; `quick` takes fewer rounds."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    rows = []
    minds: list[Any] = []
    for setting in SETTINGS:
        rates, cpu_rates, minds = _rates(setting.agents, setting.nthread, rounds)
        row = at_least(
            f"search, {setting.name}, {setting.cores}, physics included, agent steps/s",
            "speed",
            max(rates),
            setting.target,
            note=f"fastest of {rounds} rounds of {TRIALS} trials from birth on Large; "
            f"median {np.median(rates):,.0f}; {max(cpu_rates):,.0f} a second of CPU time",
            reference=setting.reference,
        )
        rows.append(row)
    # The graphs of the batch, the last setting.
    return [*rows, *_memory(minds)]


def _rates(n: int, nthread: int, rounds: int) -> tuple[list[float], list[float], list[Any]]:
    """Time lives of the search on Large.

    Args:
        n: agents side by side.
        nthread: threads of the physics.
        rounds: lives that are timed, one after the other.

    Returns:
        Agent steps a second of each round by the clock, and by CPU time; the minds at the end.
    """
    controller = agent()
    world = fixed("large", n)
    env = make_env(TASK, n, BUDGET, nthread, maze="large")
    options = {"reset_cell": world.starts, "goal_cell": world.goals}
    rates = []
    cpu_rates = []
    minds = []
    for number in range(rounds + 1):
        agents = Population(controller, n)
        steps = 0
        clock_begin = time.perf_counter()
        cpu_begin = time.process_time()
        state = agents.initial_state()
        for trial in range(TRIALS):
            score, state = rollout(env, agents, 1000 * number + trial, options, state)
            steps += int(score.lengths.sum())
        # The first round compiles, and is not counted.
        if number > 0:
            rates.append(steps / (time.perf_counter() - clock_begin))
            cpu_rates.append(steps / (time.process_time() - cpu_begin))
        _, minds = state
    env.close()
    return rates, cpu_rates, minds


def _memory(minds: list[Any]) -> list[Row]:
    """The row of the bytes of graphs over the places in them; a line through all says how they grow."""
    places = np.array([mind.graph.count for mind in minds])
    size = np.array([memory(mind) * mind.graph.count for mind in minds])
    slope, rest = np.polyfit(places, size, 1)
    row = Row(
        "search, graph memory per visited place, bytes",
        "info",
        float(np.mean(size / places)),
        note=f"{places.min()} to {places.max()} places: "
        f"{slope:.0f} a place and {rest:.0f} beside; linear",
    )
    return [row]

"""The search: steps of one agent in a single environment, of 64 agents in one batch, and the memory of their graphs."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from lancelet.controllers import Population
from lancelet.scripts.rows import Row, at_least
from lancelet.scripts.studies.search.lives import TASK, agent, fixed
from lancelet.scripts.studies.search.mazes import memory
from lancelet.training.rollout import make_env, rollout

AGENTS, TRIALS = 64, 3


def run(quick: bool) -> list[Row]:
    """All rows; `quick` takes fewer rounds."""
    rounds = 2 if quick else 5
    rows = []
    for n, nthread, cores, target in ((1, 1, "one core", 2_000), (AGENTS, 2, "2 cores", 10_000)):
        rates, cpu, minds = _rates(n, nthread, rounds)
        who = "one agent in a single environment" if n == 1 else f"{n} agents in one batch"
        name = f"search, {who}, {cores}, physics included, agent steps/s"
        note = f"fastest of {rounds} rounds of {TRIALS} trials from birth on Large; median {np.median(rates):,.0f}; "
        note += f"{max(cpu):,.0f} a second of CPU time"
        shown: dict[str, Any] = {"note": note}
        if n == 1:
            shown["reference"] = 400
        rows.append(at_least(name, "speed", max(rates), target, **shown))
    return [*rows, *_memory(minds)]


def _rates(n: int, nthread: int, rounds: int) -> tuple[list[float], list[float], list[Any]]:
    """Agent steps a second, by the clock and by CPU time, of each round but the first, and the last round's minds."""
    who, world, rates, cpu, minds = agent(), fixed("large", n), [], [], []
    env = make_env(TASK, n, 10_000, nthread, maze="large")
    options = {"reset_cell": world.starts, "goal_cell": world.goals}
    for number in range(rounds + 1):
        agents, steps, begun, spent = (
            Population(who, n),
            0,
            time.perf_counter(),
            time.process_time(),
        )
        state = agents.initial_state()
        for trial in range(TRIALS):
            score, state = rollout(env, agents, 1000 * number + trial, options, state)
            steps += int(score.lengths.sum())
        if number:
            rates.append(steps / (time.perf_counter() - begun))
            cpu.append(steps / (time.process_time() - spent))
        minds = state[1]
    env.close()
    return rates, cpu, minds


def _memory(minds: list[Any]) -> list[Row]:
    """Bytes of the graphs over the places in them: the slope of a line through all agents, and what is left beside."""
    places = np.array([mind.graph.count for mind in minds])
    total = np.array([memory(mind) * mind.graph.count for mind in minds])
    slope, rest = np.polyfit(places, total, 1)
    note = f"{places.min()} to {places.max()} places: {slope:.0f} a place and {rest:.0f} beside; linear"
    return [
        Row(
            "search, graph memory per visited place, bytes",
            "info",
            float(np.mean(total / places)),
            note=note,
        )
    ]

"""Mountain car and pendulum by the same search over (position, velocity) with action patterns.

See docs/systems/search.md, "Momentum".
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from lancelet import controllers
from lancelet.controllers.search.momentum import PENDULUM
from lancelet.scripts.rows import Row, at_least, at_most
from lancelet.scripts.studies.search.lives import FIRST, THIRD, ratio
from lancelet.scripts.study import Study
from lancelet.training.statistics import interval

CAR = "MountainCarContinuous-v0"
SWING = "Pendulum-v1"
AGENTS = {"quick": 4, "shown": 16, "full": 50}
"""agents on each of the two"""
HELD_STEPS = 16
"""steps that a random action is held on the mountain car"""
LIMIT = {CAR: 5_000, SWING: 200}
"""steps of an episode"""
CLIMBS = 5
"""episodes of a life on the mountain car"""
SWINGS = 22
"""episodes of a life on the pendulum"""
SWINGS_COMPARED = 6
"""episodes at a life's beginning, and at its end, that are compared on the pendulum"""
IN_WORDS = {6: "six"}
"""numbers as the notes tell them"""


def lives(
    id: str, name: str, n: int, episodes: int, **options: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What agents do that live side by side, each from episode to episode at its own pace.

    Args:
        id: of the environment, `CAR` or `SWING`.
        name: of the controller.
        n: number of agents.
        episodes: of each agent.
        **options: of the controller.

    Returns:
        (n, episodes) each: steps until the goal is first touched, the limit where it never is;
        share of an episode's steps at the goal; whether the goal was touched.
    """
    make: Any = gym.make_vec
    env = make(
        id,
        num_envs=n,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
        max_episode_steps=LIMIT[id],
    )
    single_env = gym.make(id)
    controller = controllers.make(name, single_env, **options)
    # Whether an agent is at the goal is judged alike, whatever controls it.
    judge: Any = controllers.make("search-momentum", single_env, **_goal(id))
    judging_mind = judge.initial_state(1)[0]

    steps_to_goal = np.full((n, episodes), LIMIT[id])
    share_at_goal = np.zeros((n, episodes))
    is_solved = np.zeros((n, episodes), bool)
    episode = np.zeros(n, int)
    step = np.zeros(n, int)
    state = controller.initial_state(n)
    observation, _ = env.reset(seed=0)
    # Until the last agent is done; the others live on, and are no longer looked at.
    while (episode < episodes).any():
        action, state = controller(torch.as_tensor(observation), state)
        observation, _, terminated, truncated, info = env.step(action.numpy())
        ended = terminated | truncated
        # Where an episode ended `observation` is the next one's first: this is its true last one.
        outcome = observation.copy()
        for agent in np.flatnonzero(ended):
            outcome[agent] = info["final_obs"][agent]
        state = controller.learn(
            None, action, torch.zeros(n), torch.as_tensor(ended), torch.as_tensor(outcome), state
        )
        step += 1
        outcomes = judge.positions_and_velocities(torch.as_tensor(outcome))
        for agent, position_and_velocity in enumerate(outcomes):
            now = (agent, episode[agent])
            is_counted = episode[agent] < episodes
            if is_counted and judging_mind.there(position_and_velocity):
                share_at_goal[now] += 1
                if not is_solved[now]:
                    is_solved[now] = True
                    steps_to_goal[now] = step[agent]
            if ended[agent]:
                if is_counted:
                    share_at_goal[now] /= step[agent]
                episode[agent] += 1
                step[agent] = 0
    env.close()
    return steps_to_goal, share_at_goal, is_solved


def _goal(id: str) -> dict[str, Any]:
    """Options of `search-momentum` that say what the goal of an environment is."""
    return PENDULUM if id == SWING else {}


def car(study: Study) -> None:
    """Add the rows of the mountain car from birth, and beside it of actions drawn at random and held."""
    count = AGENTS[study.size]
    climbs, _, solved = lives(CAR, "search-momentum", count, CLIMBS)
    first_climb = climbs[:, FIRST]
    later_climbs = climbs[:, THIRD:].mean(axis=1)
    _climbs(study, climbs, solved)

    value, between = ratio(later_climbs, first_climb)
    row = at_most(
        "mountain car, third to fifth climb over the first",
        "claim",
        value,
        1.0,
        interval=between,
        seeds=count,
    )
    study.add(row)

    held_climbs, _, _ = lives(CAR, "random-held", count, 1, hold=HELD_STEPS)
    held = held_climbs[:, FIRST]
    note = f"actions held {HELD_STEPS} steps: median {np.median(held):,.0f}"
    value, between = ratio(first_climb, held)
    row = at_most(
        "mountain car, first climb over held random actions",
        "claim",
        value,
        1.0,
        interval=between,
        note=f"{note}; above 1 chance is faster",
        seeds=count,
    )
    study.add(row)
    value, between = ratio(later_climbs, held)
    row = at_most(
        "mountain car, third to fifth climb over held random actions",
        "claim",
        value,
        1.0,
        interval=between,
        note=note,
        seeds=count,
    )
    study.add(row)


def _climbs(study: Study, climbs: np.ndarray, solved: np.ndarray) -> None:
    """Rows of the search alone: share of climbs that were made, and steps of the first one."""
    count = len(climbs)
    row = at_least(
        "mountain car, solved",
        "gate",
        float(solved.mean()),
        1.0,
        note=f"{CLIMBS} episodes, {LIMIT[CAR]:,} steps each",
        seeds=count,
    )
    study.add(row)
    medians = ", ".join(f"{value:,.0f}" for value in np.median(climbs, axis=0))
    first_climb = climbs[:, FIRST]
    row = Row(
        "mountain car, first climb, steps",
        "info",
        float(np.median(first_climb)),
        interval=interval(first_climb, np.median),
        note=f"medians of episodes 1 to {CLIMBS}: {medians}",
        seeds=count,
    )
    study.add(row)


def pendulum(study: Study) -> None:
    """Add the rows of the pendulum: swung up within a life, and held longer at its end than at its beginning."""
    count = AGENTS[study.size]
    steps, share_upright, solved = lives(SWING, "search-momentum", count, SWINGS, **PENDULUM)
    share_at_first = share_upright[:, :SWINGS_COMPARED].mean()
    share_at_last = share_upright[:, -SWINGS_COMPARED:].mean()
    compared = IN_WORDS[SWINGS_COMPARED]
    row = at_least(
        f"pendulum, swung up within a life of {SWINGS} episodes",
        "gate",
        float(solved[:, -SWINGS_COMPARED:].mean()),
        1.0,
        note=f"last {SWINGS_COMPARED} of {SWINGS} episodes of {LIMIT[SWING]} steps; "
        f"median {np.median(steps[:, -SWINGS_COMPARED:]):.0f} steps to upright; "
        f"time upright {share_at_first:.2f} in the first {compared}, {share_at_last:.2f} in the last",
        seeds=count,
    )
    study.add(row)
    row = at_least(
        f"pendulum, time upright, last {compared} episodes over the first {compared}",
        "claim",
        float(share_at_last / max(share_at_first, 1e-9)),
        1.0,
        seeds=count,
    )
    study.add(row)

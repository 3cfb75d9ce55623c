"""Mountain car and pendulum by the same search over (position, velocity) with action patterns (spec 6)."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from lancelet import controllers
from lancelet.controllers.search.momentum import PENDULUM
from lancelet.scripts.rows import Row, at_least, at_most
from lancelet.scripts.studies.search.lives import ratio
from lancelet.scripts.study import Study
from lancelet.training.statistics import interval

CAR, SWING = "MountainCarContinuous-v0", "Pendulum-v1"
AGENTS = {"quick": 4, "shown": 16, "full": 50}
HELD_STEPS = 16
"""steps that a random action is held on the mountain car"""
LIMIT = {CAR: 5_000, SWING: 200}
"""steps of an episode"""


def lives(
    id: str, name: str, n: int, episodes: int, **options: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps until the goal is first touched (n, episodes), the limit where never; share of steps there; solved.

    Agents live side by side, each from episode to episode at its own pace, until the last has had `episodes`.
    """
    make: Any = gym.make_vec
    env = make(id, num_envs=n, vectorization_mode="sync", vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
               max_episode_steps=LIMIT[id])  # fmt: skip
    one = gym.make(id)
    who, judge = (
        controllers.make(name, one, **options),
        controllers.make("search-momentum", one, **_goal(id)),
    )
    state, seen = who.initial_state(n), env.reset(seed=0)[0]
    first, inside = np.full((n, episodes), LIMIT[id]), np.zeros((n, episodes))
    solved, episode, step = np.zeros((n, episodes), bool), np.zeros(n, int), np.zeros(n, int)
    mind: Any = judge.initial_state(1)[0]
    while (episode < episodes).any():
        action, state = who(torch.as_tensor(seen), state)
        seen, _, terminated, truncated, info = env.step(action.numpy())
        ended = terminated | truncated
        last = seen.copy()
        for i in np.flatnonzero(ended):
            last[i] = info["final_obs"][i]
        state = who.learn(
            None, action, torch.zeros(n), torch.as_tensor(ended), torch.as_tensor(last), state
        )
        step += 1
        for i, at in enumerate(judge.positions_and_velocities(torch.as_tensor(last))):  # pyright: ignore[reportCallIssue]
            if episode[i] < episodes and mind.there(at):
                inside[i, episode[i]] += 1
                if not solved[i, episode[i]]:
                    solved[i, episode[i]], first[i, episode[i]] = True, step[i]
            if ended[i]:
                if episode[i] < episodes:
                    inside[i, episode[i]] /= step[i]
                episode[i], step[i] = episode[i] + 1, 0
    env.close()
    return first, inside, solved


def _goal(id: str) -> dict[str, Any]:
    return PENDULUM if id == SWING else {}


def car(study: Study, data: dict[str, Any]) -> None:
    """Mountain car from birth, and beside it actions drawn at random and held."""
    count = AGENTS[study.size]
    first, _, solved = lives(CAR, "search-momentum", count, 5)
    data["car"] = first
    rest: dict[str, Any] = {"seeds": count}
    solved_share = float(solved.mean())
    study.add(
        at_least(
            "mountain car, solved",
            "gate",
            solved_share,
            1.0,
            note="5 episodes, 5,000 steps each",
            **rest,
        )
    )
    medians = ", ".join(f"{value:,.0f}" for value in np.median(first, axis=0))
    study.add(
        Row(
            "mountain car, first climb, steps",
            "info",
            float(np.median(first[:, 0])),
            interval=interval(first[:, 0], np.median),
            note=f"medians of episodes 1 to 5: {medians}",
            **rest,
        )
    )
    later = first[:, 2:].mean(axis=1)
    value, between = ratio(later, first[:, 0])
    study.add(
        at_most(
            "mountain car, third to fifth climb over the first",
            "claim",
            value,
            1.0,
            interval=between,
            **rest,
        )
    )
    chance, _, _ = lives(CAR, "random-held", count, 1, hold=HELD_STEPS)
    note = f"actions held {HELD_STEPS} steps: median {np.median(chance):,.0f}"
    value, between = ratio(first[:, 0], chance[:, 0])
    name = "mountain car, first climb over held random actions"
    study.add(
        at_most(
            name,
            "claim",
            value,
            1.0,
            interval=between,
            note=f"{note}; above 1 chance is faster",
            **rest,
        )
    )
    value, between = ratio(later, chance[:, 0])
    name = "mountain car, third to fifth climb over held random actions"
    study.add(at_most(name, "claim", value, 1.0, interval=between, note=note, **rest))


def pendulum(study: Study, data: dict[str, Any]) -> None:
    """Pendulum: swung up within a life, and held longer at its end than at its beginning."""
    count = AGENTS[study.size]
    episodes = 22
    first, inside, solved = lives(SWING, "search-momentum", count, episodes, **PENDULUM)
    data["pendulum"] = inside
    rest: dict[str, Any] = {"seeds": count}
    value = float(solved[:, -6:].mean())
    note = f"last 6 of {episodes} episodes of 200 steps; median {np.median(first[:, -6:]):.0f} steps to upright; "
    note += f"time upright {inside[:, :6].mean():.2f} in the first six, {inside[:, -6:].mean():.2f} in the last"
    study.add(
        at_least(
            "pendulum, swung up within a life of 22 episodes", "gate", value, 1.0, note=note, **rest
        )
    )
    value = float(inside[:, -6:].mean() / max(inside[:, :6].mean(), 1e-9))
    name = "pendulum, time upright, last six episodes over the first six"
    study.add(at_least(name, "claim", value, 1.0, **rest))

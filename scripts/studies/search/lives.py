"""Lives of navigators in mazes, many side by side: what every part of the search study measures with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from lancelet import controllers
from lancelet.controllers import Controller, Population
from lancelet.envs import VectorEnv, mazes
from lancelet.training.rollout import make_env, rollout
from lancelet.training.statistics import interval

TASK = "lancelet/PointMaze-v0"
FAR = {"umaze": ((1, 1), (3, 1)), "medium": ((1, 1), (6, 6)), "large": ((1, 1), (7, 10))}
"""start and goal of the fixed pairs (spec 9)"""


@dataclass(frozen=True)
class World:
    """Where agents live: one map or one each, of one size; start and goal cells (n, 2)."""

    maps: list[mazes.Map]
    starts: np.ndarray
    goals: np.ndarray

    @property
    def n(self) -> int:
        """Number of agents."""
        return len(self.starts)

    @property
    def shortest(self) -> np.ndarray:
        """(n,) moves from start to goal."""
        pairs = zip(self.maps, self.starts, self.goals, strict=True)
        return np.array([mazes.shortest(layout, start, goal) for layout, start, goal in pairs])

    def changed(self, cells: dict[tuple[int, int], str]) -> World:
        """The same with walls (``#``) or free cells (``.``) put in."""
        return World(
            [mazes.with_cells(layout, cells) for layout in self.maps], self.starts, self.goals
        )

    def to(self, goal: tuple[int, int]) -> World:
        """The same with another goal."""
        return World(self.maps, self.starts, np.tile(goal, (self.n, 1)))


def fixed(maze: str, n: int) -> World:
    """`n` agents on the maze's far pair."""
    start, goal = FAR[maze]
    return World([mazes.named(maze)] * n, np.tile(start, (n, 1)), np.tile(goal, (n, 1)))


def random_pairs(maps: Sequence[mazes.Map], each: int, seed: int, least: int = 4) -> World:
    """`each` random pairs of free cells in every map, `least` moves apart or more."""
    rng, whole, starts, goals = np.random.default_rng(seed), [], [], []
    for layout in maps:
        free = np.argwhere(~mazes.walls(layout))
        while len(starts) < (len(whole) // each + 1) * each:
            start, goal = free[rng.choice(len(free), 2, replace=False)]
            if mazes.shortest(layout, start, goal) >= least:
                starts.append(start)
                goals.append(goal)
        whole += [layout] * each
    return World(whole, np.array(starts), np.array(goals))


@dataclass(frozen=True)
class Lives:
    """What agents did, trial by trial: rows are agents, columns trials."""

    steps: np.ndarray
    """environment steps of each trial, babble included; `budget` where the goal was not reached"""
    solved: np.ndarray
    path: np.ndarray
    """m travelled"""
    budget: int
    state: Any
    """of the agents at the end"""

    @property
    def minds(self) -> list[Any]:
        """Of the agents."""
        return self.state[1]

    def told(self, trial: int = 0) -> str:
        """Median, 90th percentile, worst and censored count of a trial."""
        steps = self.steps[:, trial]
        censored = int((~self.solved[:, trial]).sum())
        return (
            f"median {np.median(steps):,.0f}, p90 {np.percentile(steps, 90):,.0f}, worst {steps.max():,.0f}; "
            f"{censored} of {len(steps)} censored at {self.budget:,}"
        )

    def median(self, trial: int = 0) -> float:
        """Of the steps of a trial, censored ones at the budget."""
        return float(np.median(self.steps[:, trial]))

    def interval(self, trial: int = 0) -> tuple[float, float]:
        """95 % interval of the median."""
        return interval(self.steps[:, trial], np.median)

    def medians(self) -> str:
        """Of all trials."""
        return ", ".join(f"{self.median(trial):,.0f}" for trial in range(self.steps.shape[1]))

    def then(self, later: Lives) -> Lives:
        """These trials and later ones of the same agents."""
        steps, solved, path = (
            np.concatenate([getattr(self, name), getattr(later, name)], 1)
            for name in ("steps", "solved", "path")
        )
        return Lives(steps, solved, path, self.budget, later.state)


def agent(name: str = "search", **options: Any) -> Controller:
    """A navigator by its registered name."""
    return controllers.make(name, gym.make(TASK), **options)


def live(
    who: Controller,
    world: World,
    trials: int = 1,
    budget: int = 10_000,
    state: Any = None,
    seed: int = 0,
    before: Callable[[VectorEnv], object] | None = None,
    on_step: Callable[[VectorEnv, Any], object] | None = None,
    **reset: Any,
) -> Lives:
    """Let agents live through `trials` from start to goal.

    Args:
        who: the controller; agent i draws its lattice and babble from its seed and i.
        world: of the agents.
        trials: each ends at the goal, or after `budget` steps.
        budget: control steps of a trial.
        state: of agents that have lived before; None: newborn ones.
        seed: of the start states, trial t at ``seed + 1000 t``.
        before: called once, after a first reset, to change the world.
        on_step: called after every step with the environment and the agents' state.
        **reset: more options of every reset (``gain``).
    """
    options = {"reset_cell": world.starts, "goal_cell": world.goals, **reset}
    maps: dict[str, Any] = {"maze_map": world.maps} if len(set(world.maps)) > 1 else {}
    env = make_env(TASK, world.n, max_episode_steps=budget, nthread=1, maze_map=world.maps[0])
    agents = Population(who, world.n)
    state = agents.initial_state() if state is None else state
    if before is not None:
        env.reset(seed=seed, options=options | maps)
        before(env)
        maps = {}
    look: Any = (
        None if on_step is None else lambda _: on_step(env, state)
    )  # agents' states change in place
    scores = []
    for trial in range(trials):
        score, state = rollout(
            env, agents, seed + 1000 * trial, options | maps, state, on_step=look
        )
        scores.append(score)
        maps = {}  # walls outlive a reset
    env.close()
    solved = np.stack([score.metrics["success"] > 0 for score in scores], 1)
    steps = np.where(solved, np.stack([score.lengths for score in scores], 1), budget)
    return Lives(
        steps, solved, np.stack([score.metrics["path"] for score in scores], 1), budget, state
    )


def oracle(world: World, trials: int = 1, **options: Any) -> Lives:
    """Oracles beside each other, each with the true map of its own world."""
    one = {layout: agent("oracle", maze_map=layout) for layout in set(world.maps)}
    who: Any = one[world.maps[0]]
    state = who.initial_state(world.n)
    minds: Any = [one[layout].born(i) for i, layout in enumerate(world.maps)]  # pyright: ignore[reportCallIssue]
    return live(who, world, trials, state=(state[0], minds), **options)


def ratio(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Ratio of the medians, ours over theirs, and its 95 % interval; lives of equal number are resampled in pairs."""
    from scipy.stats import bootstrap

    def statistic(one: np.ndarray, other: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.median(one, axis=axis) / np.median(other, axis=axis)

    found = bootstrap(
        (ours, theirs), statistic, paired=len(ours) == len(theirs), n_resamples=2000, method="percentile",
        vectorized=True, rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return float(statistic(ours, theirs)), (float(found.low), float(found.high))

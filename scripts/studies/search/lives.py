"""Lives of navigators in mazes, many side by side: what every part of the study measures with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from scipy.stats import bootstrap

from lancelet import controllers
from lancelet.controllers import Controller, Population
from lancelet.envs import VectorEnv, mazes
from lancelet.training.rollout import make_env, rollout
from lancelet.training.statistics import interval

TASK = "lancelet/PointMaze-v0"
FAR = {
    "umaze": ((1, 1), (3, 1)),
    "medium": ((1, 1), (6, 6)),
    "large": ((1, 1), (7, 10)),
}
"""start and goal cell of each maze's fixed pair"""
FIRST = 0
"""column of the first trial"""
SECOND = 1
"""column of the second trial"""
THIRD = 2
"""column of the third trial"""
FOURTH = 3
"""column of the fourth trial"""
FIFTH = 4
"""column of the fifth trial"""
SEEDS_OF_A_TRIAL = 1000
"""seeds of start states between two trials of one life"""
RESAMPLES = 2000
"""of the bootstrap of a ratio"""


@dataclass(frozen=True)
class World:
    """Where agents live: maps of one size, and the way that each agent has to find in its own."""

    maps: list[mazes.Map]
    """map of each agent"""
    starts: np.ndarray
    """cell where each agent starts, (n, 2)"""
    goals: np.ndarray
    """cell that each agent looks for, (n, 2)"""

    @property
    def n(self) -> int:
        """Number of agents."""
        return len(self.starts)

    @property
    def shortest(self) -> np.ndarray:
        """Least number of moves from start to goal, (n,)."""
        pairs = zip(self.maps, self.starts, self.goals, strict=True)
        return np.array([mazes.shortest(layout, start, goal) for layout, start, goal in pairs])

    def changed(self, cells: dict[tuple[int, int], str]) -> World:
        """The same world with walls (``#``) or free cells (``.``) put in."""
        maps = [mazes.with_cells(layout, cells) for layout in self.maps]
        return World(maps, self.starts, self.goals)


def fixed(maze: str, n: int) -> World:
    """`n` agents on the maze's far pair."""
    start, goal = FAR[maze]
    return World([mazes.named(maze)] * n, np.tile(start, (n, 1)), np.tile(goal, (n, 1)))


def random_pairs(maps: Sequence[mazes.Map], pairs_per_map: int, seed: int, least: int = 4) -> World:
    """An agent on each of several random pairs of free cells in every map.

    Args:
        maps: of one size.
        pairs_per_map: agents in each map.
        seed: of the draw.
        least: moves that start and goal must be apart.
    """
    rng = np.random.default_rng(seed)
    layouts = []
    starts = []
    goals = []
    for layout in maps:
        free = np.argwhere(~mazes.walls(layout))
        pair_count = 0
        while pair_count < pairs_per_map:
            # Too near pairs are drawn again: a longer draw begins with the pairs of a shorter one.
            start, goal = free[rng.choice(len(free), 2, replace=False)]
            is_far_enough = mazes.shortest(layout, start, goal) >= least
            if is_far_enough:
                starts.append(start)
                goals.append(goal)
                pair_count += 1
        layouts += [layout] * pairs_per_map
    return World(layouts, np.array(starts), np.array(goals))


@dataclass(frozen=True)
class Lives:
    """What agents did, trial by trial: rows are agents, columns trials."""

    steps: np.ndarray
    """environment steps of each trial, babble included; `budget` where the goal was not reached"""
    solved: np.ndarray
    """whether each trial reached its goal"""
    path: np.ndarray
    """m travelled in each trial"""
    budget: int
    """most steps of a trial"""
    state: Any
    """of the agents at the end"""

    @property
    def minds(self) -> list[Any]:
        """Minds of the agents at the end."""
        _, minds = self.state
        return minds

    def censored(self, trial: int = FIRST) -> int:
        """Number of agents that did not reach the goal of a trial."""
        return int((~self.solved[:, trial]).sum())

    def summary(self, trial: int = FIRST) -> str:
        """Median, 90th percentile, worst and censored count of a trial, in words."""
        steps = self.steps[:, trial]
        return (
            f"median {np.median(steps):,.0f}, p90 {np.percentile(steps, 90):,.0f}, "
            f"worst {steps.max():,.0f}; "
            f"{self.censored(trial)} of {len(steps)} censored at {self.budget:,}"
        )

    def median(self, trial: int = FIRST) -> float:
        """Median of the steps of a trial, censored ones at the budget."""
        return float(np.median(self.steps[:, trial]))

    def interval(self, trial: int = FIRST) -> tuple[float, float]:
        """95 % interval of the median of a trial."""
        return interval(self.steps[:, trial], np.median)

    def medians(self) -> str:
        """Medians of all trials, in words."""
        trials = range(self.steps.shape[1])
        return ", ".join(f"{self.median(trial):,.0f}" for trial in trials)

    def then(self, later: Lives) -> Lives:
        """These trials and later ones of the same agents."""
        return Lives(
            steps=np.concatenate([self.steps, later.steps], axis=1),
            solved=np.concatenate([self.solved, later.solved], axis=1),
            path=np.concatenate([self.path, later.path], axis=1),
            budget=self.budget,
            state=later.state,
        )


def agent(name: str = "search", **options: Any) -> Controller:
    """A navigator by its registered name."""
    return controllers.make(name, gym.make(TASK), **options)


def live(
    controller: Controller,
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
        controller: of all agents; agent i draws its lattice and babble from its seed and i.
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
    # Walls outlive a reset: maps of their own are given at the first reset alone.
    first_options = dict(options)
    if len(set(world.maps)) > 1:
        first_options["maze_map"] = world.maps
    env = make_env(TASK, world.n, max_episode_steps=budget, nthread=1, maze_map=world.maps[0])
    agents = Population(controller, world.n)
    if state is None:
        state = agents.initial_state()
    if before is not None:
        # The world can be changed only once it is there; the first trial then resets it without new maps.
        env.reset(seed=seed, options=first_options)
        before(env)
        first_options = options

    scores = []
    for trial in range(trials):
        trial_options = options
        if trial == 0:
            trial_options = first_options
        trial_seed = seed + SEEDS_OF_A_TRIAL * trial
        watch = None
        if on_step is not None:
            # The agents' state is another object after each trial.
            watch = _watcher(on_step, env, state)
        score, state = rollout(env, agents, trial_seed, trial_options, state, on_step=watch)
        scores.append(score)
    env.close()
    lengths = np.stack([score.lengths for score in scores], axis=1)
    solved = np.stack([score.metrics["success"] > 0 for score in scores], axis=1)
    return Lives(
        steps=np.where(solved, lengths, budget),
        solved=solved,
        path=np.stack([score.metrics["path"] for score in scores], axis=1),
        budget=budget,
        state=state,
    )


def _watcher(
    on_step: Callable[[VectorEnv, Any], object], env: VectorEnv, state: Any
) -> Callable[[int], None]:
    """`on_step` as a rollout calls it; it sees the agents live, as their states change in place."""

    def watch(_: int) -> None:
        on_step(env, state)

    return watch


def oracle(world: World, trials: int = 1, **options: Any) -> Lives:
    """Oracles beside each other, each with the true map of its own world."""
    oracle_of: dict[mazes.Map, Any] = {
        layout: agent("oracle", maze_map=layout) for layout in set(world.maps)
    }
    # The body is alike for all of them; what knows the map is the mind.
    controller = oracle_of[world.maps[0]]
    body, _ = controller.initial_state(world.n)
    minds = [oracle_of[layout].born(number) for number, layout in enumerate(world.maps)]
    return live(controller, world, trials, state=(body, minds), **options)


def ratio(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Ratio of the medians, ours over theirs, and its 95 % interval by the percentile bootstrap.

    Lives of equal number are resampled in pairs.

    Args:
        ours: steps of our agents, (n,).
        theirs: steps of the others, (m,).
    """

    def ratio_of_medians(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.median(first, axis=axis) / np.median(second, axis=axis)

    result = bootstrap(
        (ours, theirs),
        ratio_of_medians,
        paired=len(ours) == len(theirs),
        n_resamples=RESAMPLES,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    low, high = result.confidence_interval
    return float(ratio_of_medians(ours, theirs)), (float(low), float(high))

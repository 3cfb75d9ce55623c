"""What the search is measured against does what it says."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from lancelet import LanceletError, controllers, training
from lancelet.envs import mazes

MAZE = "lancelet/PointMaze-v0"
FAR = {"reset_cell": (1, 1), "goal_cell": (7, 10)}


def steps(name, limit=2_500, **own):
    controller = controllers.make(name, gym.make(MAZE), **own)
    task = {"maze": "large", "options": FAR, "max_episode_steps": limit}
    score = training.evaluate(controller, MAZE, episodes=6, seed=0, nthread=1, **task)
    return np.where(score.metrics["success"] > 0, score.lengths, 10_000)


def test_a_held_action_is_held():
    controller = controllers.make("random-held", gym.make(MAZE), hold=4)
    state, seen = controller.initial_state(3), {"observation": torch.zeros(3, 4)}
    actions = []
    for _ in range(12):
        action, state = controller(seen, state)
        actions.append(action.numpy())
    actions = np.array(actions).reshape(3, 4, 3, 2)
    assert (actions == actions[:, :1]).all()
    assert len(np.unique(actions[:, 0].ravel())) == 18


@pytest.mark.slow
def test_the_order_is_oracle_then_search_then_chance():
    oracle = steps("oracle", maze_map=mazes.named("large"))
    search, lrta, edge = steps("search"), steps("lrta"), steps("random-edge")
    assert (oracle < 10_000).all() and (search < 10_000).all() and (lrta < 10_000).all()
    assert np.median(oracle) < np.median(search) < np.median(edge)
    assert np.median(steps("random-held")) > 3 * np.median(search)


def test_the_oracle_goes_by_the_map_and_meets_no_wall():
    controller = controllers.make("oracle", gym.make(MAZE), maze_map=mazes.named("large"))
    env = training.rollout.make_env(MAZE, 4, nthread=1, maze="large")
    _, state = training.rollout.rollout(env, controllers.Population(controller, 4), 0, FAR)
    assert sum(mind.stalls for mind in state[1]) <= 1


def test_the_oracle_needs_a_map():
    with pytest.raises(LanceletError, match="maze_map"):
        controllers.make("oracle", gym.make(MAZE))
    with pytest.raises(LanceletError, match="hold = 0"):
        controllers.make("random-held", gym.make(MAZE), hold=0)

"""The same maze, start, goal and trajectory as Gymnasium-Robotics' PointMaze-v3, side by side."""

import gymnasium as gym
import numpy as np
import pytest

ID = "lancelet:lancelet/PointMaze-v0"
robotics = pytest.importorskip("gymnasium_robotics")
pytestmark = pytest.mark.filterwarnings("ignore")


def theirs(name, **options):
    gym.register_envs(robotics)
    return gym.make(f"PointMaze_{name}-v3", max_episode_steps=100_000, **options)


def ours(name, **options):
    return gym.make(ID, maze=name.lower(), max_episode_steps=100_000, **options)


def held(seed, step):
    """A command held for 25 steps: long enough to run into walls and along them."""
    return np.random.default_rng([seed, step // 25]).uniform(-1, 1, 2).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["UMaze", "Open", "Medium", "Large"])
def test_trajectories_agree_to_1e_9_with_wall_contact(name):
    left, right = theirs(name), ours(name, continuing_task=True)
    contacts = 0
    for seed in range(3):
        seen, (want, _) = right.reset(seed=seed)[0], left.reset(seed=seed)
        for key in want:  # start and goal come from the seed alike
            np.testing.assert_allclose(seen[key], want[key], atol=1e-12)
        for step in range(400):
            (want, reward, *_), (seen, gain, *_) = (
                left.step(held(seed, step)),
                right.step(held(seed, step)),
            )
            assert np.abs(seen["observation"] - want["observation"]).max() < 1e-9, step
            np.testing.assert_allclose(seen["achieved_goal"], want["achieved_goal"], atol=1e-9)
            assert gain == reward
            walls = [
                c
                for c in left.unwrapped.data.contact
                if left.unwrapped.model.geom("ground").id not in c.geom
            ]
            contacts += len(walls) > 0
    assert contacts > 100


def test_a_state_at_speed_in_a_corner_agrees_too():
    left, right = theirs("Large"), ours("Large", continuing_task=True)
    qpos, qvel = (
        np.array([-4.62, 3.12]),
        np.array([-9.0, 4.9]),
    )  # at the cell (1, 1), beyond the clip of 5 m/s
    left.reset(seed=0)
    left.unwrapped.point_env.set_state(qpos, qvel)
    right.reset(seed=0, options={"qpos": qpos, "qvel": qvel})
    for step in range(200):
        action = np.array([-1.0, 1.0] if step < 100 else [0.7, -1.0], np.float32)
        want, seen = left.step(action)[0]["observation"], right.step(action)[0]["observation"]
        assert np.abs(seen - want).max() < 1e-9


def test_reward_end_and_cells_agree():
    options = {"goal_cell": np.array([3, 1]), "reset_cell": np.array([3, 3])}
    left = theirs("UMaze", continuing_task=False, reward_type="dense")
    right = ours("UMaze", reward_type="dense")
    want, _ = left.reset(seed=4, options=options)
    seen, _ = right.reset(seed=4, options=options)
    np.testing.assert_allclose(seen["desired_goal"], want["desired_goal"], atol=1e-12)
    steps = 0
    while steps < 300:
        steps += 1
        action = np.array([-0.5, 0.0], np.float32)
        (want, reward, end, _, _), (seen, gain, ended, _, info) = (
            left.step(action),
            right.step(action),
        )
        assert gain == pytest.approx(reward, abs=1e-9) and end == ended
        if end:
            break
    assert end and steps > 20 and info["metrics"]["success"] == 1.0


@pytest.mark.parametrize("name", ["Open", "Medium", "Large"])
@pytest.mark.parametrize("kind", ["Diverse_G", "Diverse_GR"])
def test_marked_cells_are_drawn_alike(name, kind):
    left = theirs(f"{name}_{kind}")
    right = ours(name, maze_map=left.unwrapped.maze.maze_map)
    for seed in range(5):
        want, seen = left.reset(seed=seed)[0], right.reset(seed=seed)[0]
        for key in want:
            np.testing.assert_allclose(seen[key], want[key], atol=1e-12)

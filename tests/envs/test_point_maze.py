import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import SAC, HerReplayBuffer

from lancelet import LanceletError
from lancelet.envs import mazes
from lancelet.training.video import opengl as gl

ID = "lancelet/PointMaze-v0"
LARGE = mazes.named("large")
CUT = ("#####", "#...#", "#####", "#...#", "#####")


def make(n=1, **options):
    options = {"autoreset_mode": "Disabled", "noise": 0.0} | options
    return gym.make_vec(ID, num_envs=n, **options).unwrapped


def push(env, command, steps):
    for _ in range(steps):
        seen, *_ = env.step(np.tile(np.float32(command), (env.num_envs, 1)))
    return seen["achieved_goal"]


def trajectory(env, steps=300, rows=1):
    seen = []
    for step in range(steps):
        command = np.random.default_rng(step // 20).uniform(-1, 1, 2)
        actions = np.stack([command * (-1) ** i for i in range(env.num_envs)]).astype(np.float32)
        seen.append(env.step(actions)[0]["observation"][:rows].copy())
    return np.array(seen)


def refused(match, call, *args, **kwargs):
    with pytest.raises(LanceletError, match=match) as error:
        call(*args, **kwargs)
    assert "\n" not in str(error.value)


# -- goals and ends ---------------------------------------------------------------------------------------------------


def test_the_goal_ends_the_episode_and_counts_as_success():
    env = make(2, goal_cell=(1, 3), reset_cell=(1, 1))
    seen, _ = env.reset(seed=0, options={"goal_cell": np.array([[1, 3], [3, 1]])})
    np.testing.assert_array_equal(seen["desired_goal"], [[1.0, 1.0], [-1.0, -1.0]])
    steps, terminated = 0, np.zeros(2, bool)
    while not terminated.any():
        seen, reward, terminated, _, info = env.step(np.float32([[1, 0], [1, 0]]))
        steps += 1
    assert 20 <= steps < 60
    np.testing.assert_array_equal(terminated, [True, False])
    np.testing.assert_array_equal(reward, [1.0, 0.0])
    np.testing.assert_array_equal(info["metrics"]["success"], [1.0, 0.0])
    assert info["metrics"]["path"][0] == pytest.approx(seen["achieved_goal"][0, 0] + 1.0)
    assert (
        info["metrics"]["distance"][0] <= 0.45
        and np.hypot(*(seen["achieved_goal"][0] - [1.0, 1.0])) <= 0.45
    )


@pytest.mark.parametrize("where", ["constructor", "reset"])
def test_a_continuing_task_goes_on_at_the_goal(where):
    options = {"goal_cell": (1, 3), "reset_cell": (1, 1), "max_episode_steps": 100}
    env = make(**options, continuing_task=where == "constructor")
    env.reset(seed=0, options={"continuing_task": True} if where == "reset" else None)
    paid = 0.0
    for _ in range(100):
        _, reward, terminated, truncated, info = env.step(np.float32([[1, 0]]))
        paid += reward[0]
        assert not terminated[0]
    assert truncated[0] and paid > 20 and info["metrics"]["success"][0] == 1.0
    env.reset()
    assert env.memory["continuing"][0] == (where == "constructor")


def test_rewards_and_ends_of_a_batch():
    task = make(reward_type="dense").task
    achieved, desired = np.zeros((3, 2)), np.array([[0.0, 0.45], [0.0, 0.46], [3.0, 4.0]])
    np.testing.assert_allclose(
        task.compute_reward(achieved, desired, [{}] * 3), np.exp([-0.45, -0.46, -5.0])
    )
    np.testing.assert_array_equal(task.goal_reached(achieved, desired), [True, False, False])
    np.testing.assert_array_equal(
        task.compute_terminated(achieved, desired, [{}] * 3), [True, False, False]
    )
    np.testing.assert_array_equal(task.compute_truncated(achieved, desired, [{}] * 3), [False] * 3)
    sparse = make(continuing_task=True).task
    np.testing.assert_array_equal(sparse.compute_reward(achieved, desired, {}), [1.0, 0.0, 0.0])
    assert not sparse.compute_terminated(achieved, desired, {}).any()
    assert sparse.compute_reward(achieved[0], desired[0], {}) == 1.0
    cost = make(reward_type="cost").task
    np.testing.assert_array_equal(cost.compute_reward(achieved, desired, {}), [0.0, -1.0, -1.0])


@pytest.mark.parametrize("made", [lambda: gym.make(ID).unwrapped, make])
def test_goal_methods_are_the_environments_own_and_others_are_not(made):
    env = made()
    assert env.compute_reward(np.zeros((2, 2)), np.ones((2, 2)), {}).shape == (2,)
    assert not hasattr(env, "set_walls") and not hasattr(env, "no_such_thing")
    assert not hasattr(gym.make("lancelet/Swim-v0").unwrapped, "compute_reward")


def test_hindsight_replay_of_stable_baselines_trains():
    env = gym.make(ID, max_episode_steps=40, frame_skip=5)
    agent = SAC(
        "MultiInputPolicy", env, replay_buffer_class=HerReplayBuffer, learning_starts=90, batch_size=16,
        buffer_size=1000, policy_kwargs={"net_arch": [8]}, seed=0, device="cpu",
    )  # fmt: skip
    agent.learn(200)
    batch = agent.replay_buffer.sample(200)
    distance = np.linalg.norm(
        (batch.next_observations["achieved_goal"] - batch.observations["desired_goal"]), axis=1
    )
    rewards = batch.rewards.numpy()[:, 0]
    np.testing.assert_array_equal(rewards, distance <= 0.45)
    assert rewards.sum() > 20  # hindsight goals were reached


# -- starts -----------------------------------------------------------------------------------------------------------


def test_starts_and_goals_lie_in_free_cells_apart_and_within_the_noise():
    env = make(64, maze="large", noise=0.25)
    seen, _ = env.reset(seed=0)
    start, goal = seen["achieved_goal"], seen["desired_goal"]
    assert (np.hypot(*(start - goal).T) > 0.2).all()
    for points in (start, goal):
        cells = mazes.xy_to_cell(LARGE, points)
        assert not mazes.walls(LARGE)[cells[:, 0], cells[:, 1]].any()
        offsets = np.abs(points - mazes.cell_to_xy(LARGE, cells))
        assert offsets.max() <= 0.25 and offsets.max() > 0.2
        assert len(np.unique(cells, axis=0)) > 20
    np.testing.assert_array_equal(seen["observation"][:, 2:], 0.0)


def test_drawn_goals_can_be_reached_in_a_maze_of_two_parts():
    seen, _ = make(40, maze_map=CUT).reset(seed=0)
    np.testing.assert_array_equal(seen["achieved_goal"][:, 1], seen["desired_goal"][:, 1])
    seen, _ = make(40, maze_map=CUT, allow_unreachable=True).reset(seed=0)
    assert (seen["achieved_goal"][:, 1] != seen["desired_goal"][:, 1]).any()


def test_a_perfect_maze_is_made_from_its_seed():
    env = make(maze="perfect:4", maze_seed=5)
    assert env.task.layout == mazes.named("perfect:4", 5) and len(env.task.layout) == 9
    env.reset(seed=0, options={"maze": "loops:4"})
    assert env.task.maps(env.sim)[0] == mazes.named("loops:4", 5)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"goal_cell": (0, 0)}, r"goal_cell = \(0, 0\) lies in a wall"),
        ({"reset_cell": (2, 1)}, r"reset_cell = \(2, 1\) lies in a wall"),
        ({"goal_cell": (9, 1)}, r"goal_cell = \(9, 1\): the map has 5 x 5"),
        ({"goal_cell": (1.5, 1.0)}, "whole numbers"),
        ({"goal_cell": (1, 2, 3)}, "must be"),
        ({"maze_map": CUT, "goal_cell": (1, 1), "reset_cell": (3, 1)}, "no free path"),
        ({"maze_map": ["###", "#.#", "###"]}, "no two free cells"),
        ({"maze_map": ["####", "####"]}, "no free cell"),
        ({"maze_map": ["####", "#..#", "###"]}, "row 2 has 3"),
        ({"maze_map": ["####", "#.?#", "####"]}, r"'\?' at"),
        ({"maze": "tiny"}, "maze = 'tiny'"),
        ({"frame_skip": 0}, "frame_skip = 0"),
        ({"reward_type": "spares"}, "did you mean sparse"),
        ({"noise": 0.6}, "noise = 0.6"),
        ({"noise": np.nan}, "noise = nan"),
        ({"gain": [[1, 0]]}, "2 x 2"),
        ({"gain": [[1, np.nan], [0, 1]]}, "finite"),
        ({"body": {"name": "swimmer"}}, "needs a Ball"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(options, why):
    refused(why, make, **options)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"goal_cell": (2, 1)}, "lies in a wall"),
        ({"reset_cell": np.array([[1, 1], [2, 2]])}, r"reset_cell = \(2, 2\) lies in a wall"),
        ({"goal_cell": np.zeros((3, 2), int)}, "or 2 of them"),
        ({"maze_map": CUT, "goal_cell": (1, 1), "reset_cell": (3, 1)}, "no free path"),
        ({"maze": "large"}, "9 x 12 cells: this environment was made for 5 x 5"),
        ({"maze_map": [CUT] * 3}, "needs one, or 2"),
        ({"qpos": [-1.0, 0.0]}, "puts the agent of environment 0 into the wall"),
        ({"qpos": [np.nan, 0.0]}, "not finite"),
        ({"gain": np.ones((3, 2, 2))}, "2 x 2"),
    ],
)
def test_reset_refuses_too_and_leaves_the_walls(options, why):
    env = make(2)
    env.reset(seed=0)
    refused(why, env.reset, options=options)
    assert env.task.maps(env.sim) == [env.task.layout] * 2


# -- the changing world -----------------------------------------------------------------------------------------------


def test_a_new_wall_stops_the_ball_and_a_removed_one_lets_it_pass_and_both_outlive_resets():
    env = make(2, maze="open", reset_cell=(2, 1), goal_cell=(1, 5), continuing_task=True)
    env.reset(seed=0)
    blocked = mazes.with_cells(env.task.layout, {(2, 3): "#"})
    env.task.set_walls(env.sim, blocked, ids=[1])
    for _ in range(2):
        x = push(env, [1, 0], 200)[:, 0]
        assert x[0] > 2.3 and x[1] == pytest.approx(
            -0.6, abs=0.03
        )  # the last wall at 2.5, the new one from -0.5
        assert env.task.maps(env.sim) == [env.task.layout, blocked]
        env.reset()
    env.task.set_walls(env.sim, env.task.layout)
    assert (push(env, [1, 0], 200)[:, 0] > 2.3).all()


def test_changed_walls_are_bit_equal_to_a_maze_made_so():
    """Both ways: a wall put into `umaze`, walls taken from a full block."""
    other = ("#####", "#..##", "##..#", "##..#", "#####")
    options = {"reset_cell": (1, 2), "goal_cell": (3, 2), "continuing_task": True}
    made, changed = (
        make(maze_map=other, **options),
        make(maze_map=("#####", "#.###", "#...#", "#...#", "#####")),
    )
    made.reset(seed=0)
    changed.reset(seed=0, options={"maze_map": other, **options})
    want = trajectory(made)
    np.testing.assert_array_equal(trajectory(changed), want)
    assert np.ptp(want[:, 0, :2], axis=0).min() > 0.8


def test_simulations_of_one_batch_have_walls_of_their_own_at_reset():
    maps = [mazes.named("perfect:3", seed) for seed in range(4)]
    env = make(4, maze="perfect:3", continuing_task=True)
    env.reset(seed=3, options={"maze_map": maps})
    assert env.task.maps(env.sim) == maps
    want = trajectory(env, rows=4)
    for i in range(4):
        alone = make(maze_map=maps[i], continuing_task=True)
        alone.reset(seed=3 + i)
        got = []
        for step in range(300):
            command = np.random.default_rng(step // 20).uniform(-1, 1, 2) * (-1) ** i
            got.append(alone.step(np.float32([command]))[0]["observation"][0])
        np.testing.assert_array_equal(got, want[:, i])


def test_a_moved_block_leaves_a_slit_of_its_own_width():
    """N7: a passage of 0.3 m off the lattice lets the ball (0.2 m wide) through only where it is."""
    layout = ("#######", "#..#..#", "#.....#", "#..#..#", "#######")
    env = make(2, maze_map=layout, reset_cell=(2, 2), goal_cell=(1, 5), continuing_task=True)
    starts = np.array(
        [[-1.0, 0.35], [-1.0, 0.0]]
    )  # before the slit, which is at y from 0.2 to 0.5; and beside it
    env.reset(seed=0, options={"qpos": starts})
    env.task.move_wall(env.sim, (2, 3), (0.0, -0.3))
    assert env.task.maps(env.sim)[0] == layout
    x = push(env, [1, 0], 120)[:, 0]
    assert x[0] > 1.5 and x[1] == pytest.approx(-0.6, abs=0.03)


def test_a_wall_never_comes_upon_an_agent_or_its_goal():
    env = make(2, maze="open", reset_cell=(2, 1), goal_cell=(1, 5))
    env.reset(seed=0)
    on = {cell: mazes.with_cells(env.task.layout, {cell: "#"}) for cell in ((2, 1), (1, 5), (2, 3))}
    refused("on the agent of environment 0", env.task.set_walls, env.sim, on[2, 1])
    refused("on the goal of environment 0", env.task.set_walls, env.sim, on[1, 5])
    refused(
        "on the agent of environment 1", env.task.move_wall, env.sim, (0, 0), (-1.5, 0.3), ids=[1]
    )
    refused("finite", env.task.move_wall, env.sim, (0, 0), (np.nan, 0.0))
    refused("3 x 5 cells", env.task.set_walls, env.sim, ["#####", "#...#", "#####"])
    push(env, [1, 0], 20)
    env.sim.qpos[1] = [-0.55, 0.0]  # its rim lies in the cell (2, 3), its centre does not
    refused("on the agent of environment 1", env.task.set_walls, env.sim, on[2, 3])
    assert env.task.maps(env.sim) == [env.task.layout] * 2


def test_a_wall_between_agent_and_goal_is_refused_unless_allowed():
    corridor = ("######", "#....#", "######")
    cut = mazes.with_cells(corridor, {(1, 3): "#"})
    options = {"maze_map": corridor, "reset_cell": (1, 1), "goal_cell": (1, 4)}
    env = make(**options)
    env.reset(seed=0)
    refused("cuts the agent of environment 0", env.task.set_walls, env.sim, cut)
    env = make(**options, allow_unreachable=True)
    env.reset(seed=0)
    env.task.set_walls(env.sim, cut)
    assert push(env, [1, 0], 100)[0, 0] < 0.0


@pytest.mark.parametrize("when", ["constructor", "reset", "later"])
def test_actuators_can_be_swapped_mirrored_and_weakened(when):
    swap, weak = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[-0.5, 0.0], [0.0, 1.0]])
    env = make(
        3,
        maze="open",
        reset_cell=(2, 3),
        goal_cell=(1, 1),
        **({"gain": swap} if when == "constructor" else {}),
    )
    plain = make(3, maze="open", reset_cell=(2, 3), goal_cell=(1, 1))
    plain.reset(seed=0)
    gains = np.stack([swap, weak, np.eye(2)])
    env.reset(seed=0, options={"gain": gains} if when == "reset" else None)
    if when == "later":
        env.task.set_gain(env.sim, gains[1:], [1, 2])
        env.task.set_gain(env.sim, swap, [0])
    moved, straight = push(env, [1.0, 0.0], 10), push(plain, [1.0, 0.0], 10)
    np.testing.assert_allclose(moved[0], straight[0, ::-1], atol=1e-12)
    if when == "constructor":
        np.testing.assert_array_equal(moved[2], moved[0])
        return
    np.testing.assert_allclose(moved[1], [-0.5 * straight[1, 0], 0.0], atol=1e-12)
    np.testing.assert_array_equal(moved[2], straight[2])
    env.reset()  # the gain stays
    np.testing.assert_array_equal(push(env, [1.0, 0.0], 10), moved)


# -- physics ----------------------------------------------------------------------------------------------------------


def test_frame_skip_repeats_the_action_with_the_velocity_clipped_every_time():
    once, five = make(maze="open"), make(maze="open", frame_skip=5)
    assert five.task.control_dt(five.sim) == pytest.approx(0.05)
    for env in (once, five):
        env.reset(seed=0, options={"reset_cell": (2, 1), "goal_cell": (1, 3), "qvel": [8.0, 0.0]})
    push(once, [0.9, 0.1], 25)
    push(five, [0.9, 0.1], 5)
    np.testing.assert_array_equal(once.sim.qpos, five.sim.qpos)
    np.testing.assert_array_equal(once.sim.qvel, five.sim.qvel)


@pytest.mark.parametrize("nthread", [1, 2])
@pytest.mark.parametrize("n", [1, 7, 64])
def test_the_trajectory_does_not_depend_on_number_or_threads(n, nthread):
    def run(n, nthread):
        env = make(n, maze="medium", nthread=nthread, continuing_task=True, noise=0.25)
        env.reset(seed=3)
        env.task.set_walls(env.sim, mazes.with_cells(env.task.layout, {(6, 2): "#"}), [0])
        return trajectory(env, 100)

    np.testing.assert_array_equal(run(n, nthread), run(1, 1))


def test_walls_gain_and_goals_are_saved_with_the_state():
    options = {"maze": "open", "reset_cell": (2, 1), "goal_cell": (1, 5), "continuing_task": True}
    env, other = make(2, **options), make(2, **options)
    env.reset(seed=0)
    env.task.set_walls(env.sim, mazes.with_cells(env.task.layout, {(2, 3): "#"}), [1])
    env.task.set_gain(env.sim, [[0.7, 0.1], [0.0, 1.0]], [0])
    trajectory(env, 30)
    other.load_state_dict(env.state_dict())
    np.testing.assert_array_equal(trajectory(env, 200, 2), trajectory(other, 200, 2))
    assert other.task.maps(other.sim)[1] != other.task.layout


PICTURES = """
import gymnasium as gym, numpy as np, lancelet
from lancelet.envs import mazes
env = gym.make_vec("lancelet/PointMaze-v0", num_envs=3, maze="large", noise=0, render_mode="rgb_array").unwrapped
env.reset(seed=0, options={"reset_cell": (1, 1), "goal_cell": (7, 10)})
before = env.render()
env.task.set_walls(env.sim, mazes.with_cells(env.task.layout, {(4, 6): "#"}), [1])
after = env.render()
differ = lambda a, b: int((np.abs(a.astype(int) - b) > 8).any(2).sum())  # the first picture of all is off by 2
print(*map(differ, before, after))
env.close()
compiled = env.sim.model.geom_pos[env.sim.model.geom("block_4_6").id, 2]
print(compiled)
"""


@pytest.mark.skipif(gl.probe() is None, reason="no OpenGL here")
def test_a_changed_wall_is_seen_in_its_own_picture(python):
    changed, compiled = python(PICTURES, MUJOCO_GL=gl.probe()).stdout.splitlines()
    first, second, third = map(int, changed.split())
    assert first == third == 0 and second > 500  # of 307,200 pixels
    assert float(compiled) < 0  # the environment's own model is not drawn upon


@pytest.mark.parametrize("frame_skip", [1, 20])
def test_an_environment_says_the_time_between_two_actions(frame_skip):
    task = "lancelet/PointMaze-v0"
    for env in (
        gym.make(task, frame_skip=frame_skip),
        gym.make_vec(task, num_envs=2, frame_skip=frame_skip),
    ):
        assert env.unwrapped.control_dt == pytest.approx(0.01 * frame_skip)

import gymnasium as gym
import numpy as np
import pytest
from conftest import NAVIGATE, SWIM

from lancelet import LanceletError

N = 4
"""simulations of a batch"""
LIMIT = 5
"""control steps of an episode"""
EPISODES = 3


def action(simulation, step):
    return np.random.default_rng([simulation, step]).uniform(-1, 1, 3).astype(np.float32)


def single(id, seed, simulation):
    """Every number of three episodes of the single environment."""
    env, out = gym.make(id, max_episode_steps=LIMIT, joints=3), []
    for episode in range(EPISODES):
        seen, _ = env.reset(seed=seed if episode == 0 else None)
        out.append(seen)
        for step in range(LIMIT):
            seen, reward, terminated, truncated, info = env.step(
                action(simulation, episode * LIMIT + step)
            )
            out += [seen, reward, terminated, truncated, list(info["metrics"].values())]
    return out


@pytest.mark.parametrize("id", [SWIM, NAVIGATE])
def test_simulation_i_of_a_vector_is_the_single_environment_with_seed_plus_i(id):
    env = gym.make_vec(id, num_envs=N, max_episode_steps=LIMIT, joints=3, autoreset_mode="Disabled")
    out = [[] for _ in range(N)]
    for episode in range(EPISODES):
        seen, _ = env.reset(
            **({"seed": 7} if episode == 0 else {"options": {"reset_mask": np.ones(N, bool)}})
        )
        for i in range(N):
            out[i].append(seen[i])
        for step in range(LIMIT):
            actions = np.stack([action(i, episode * LIMIT + step) for i in range(N)])
            seen, reward, terminated, truncated, info = env.step(actions)
            for i in range(N):
                last = step == LIMIT - 1
                metrics = (
                    [info["metrics"][name][i] for name in info["metrics"] if name[0] != "_"]
                    if last
                    else None
                )
                out[i] += [seen[i], reward[i], terminated[i], truncated[i], metrics]
    for i in range(N):
        for got, want in zip(out[i], single(id, 7 + i, i), strict=True):
            if got is not None:
                np.testing.assert_array_equal(got, want)


def test_the_generator_is_gymnasiums_own():
    env = gym.make(SWIM).unwrapped
    seen, _ = env.reset(seed=11)
    rng = gym.utils.seeding.np_random(11)[0]
    heading, joints = rng.uniform(-np.pi, np.pi), rng.uniform(-np.pi / 3, np.pi / 3, 5)
    assert env.vector.sim.qpos[0, 2] == heading
    np.testing.assert_allclose(seen[:5], joints, rtol=1e-6)


def test_seeds_of_numpy_are_seeds():
    one = gym.make(SWIM)
    plain, _ = one.reset(seed=7)
    numpys, _ = one.reset(seed=np.int64(7))
    np.testing.assert_array_equal(numpys, plain)
    assert one.unwrapped.np_random_seed == 7


def test_a_list_gives_one_seed_each_and_none_leaves_the_stream_running():
    env = gym.make_vec(SWIM, num_envs=3)
    seen, _ = env.reset(seed=[4, 9, 4])
    np.testing.assert_array_equal(seen[0], seen[2])
    np.testing.assert_array_equal(seen[1], gym.make(SWIM).reset(seed=9)[0])
    second, _ = env.reset(seed=[4, None, None])
    np.testing.assert_array_equal(second[0], seen[0])
    single = gym.make(SWIM)
    single.reset(seed=4)
    np.testing.assert_array_equal(second[2], single.reset()[0])


def test_a_seed_touches_only_the_simulations_that_the_mask_resets():
    env = gym.make_vec(SWIM, num_envs=2, autoreset_mode="Disabled")
    env.reset(seed=1)
    env.reset(seed=50, options={"reset_mask": np.array([False, True])})
    after, _ = env.reset()
    single = gym.make(SWIM)
    single.reset(seed=1)
    np.testing.assert_array_equal(after[0], single.reset()[0])
    single.reset(seed=51)
    np.testing.assert_array_equal(after[1], single.reset()[0])


def test_without_a_seed_starts_differ():
    seen, _ = gym.make_vec(SWIM, num_envs=2).reset()
    assert (seen[0] != seen[1]).any()


def test_a_seed_list_of_another_length_is_refused():
    with pytest.raises(LanceletError, match="seed has 2 entries"):
        gym.make_vec(SWIM, num_envs=3).reset(seed=[1, 2])


def test_options_set_the_start_state_of_all_or_of_each():
    env = gym.make_vec(SWIM, num_envs=2, joints=3).unwrapped
    one = np.array([0.5, -0.5, 1.0, 0.1, 0.2, 0.3])
    seen, _ = env.reset(seed=0, options={"qpos": one})
    np.testing.assert_array_equal(env.sim.qpos, [one, one])
    np.testing.assert_array_equal(seen[:, :3], np.float32([one[3:]] * 2))
    each, speed = np.stack([one, -one]), np.full((2, 6), 0.25)
    seen, _ = env.reset(options={"qpos": each, "qvel": speed})
    np.testing.assert_array_equal(env.sim.qpos, each)
    np.testing.assert_array_equal(env.sim.qvel, speed)
    assert seen[0, 3:].any(), "the velocities show in the first observation"


def test_options_of_the_single_environment():
    start = np.arange(6) / 10
    seen, _ = gym.make(SWIM, joints=3).reset(seed=0, options={"qpos": start})
    np.testing.assert_array_equal(seen[:3], np.float32(start[3:]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"qpos": np.zeros(5)}, "qpos"),
        ({"qvel": np.full(6, np.nan)}, "not finite"),
        ({"qposs": np.zeros(6)}, "did you mean qpos"),
    ],
)
def test_bad_start_states_are_refused(options, message):
    env = gym.make_vec(SWIM, num_envs=2, joints=3)
    env.reset(seed=0)
    with pytest.raises(LanceletError, match=message) as error:
        env.reset(options=options)
    assert "\n" not in str(error.value)

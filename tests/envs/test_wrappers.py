import gymnasium as gym
import numpy as np
import pytest
from conftest import NAVIGATE, SWIM
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics, vector

N = 3
"""simulations of a batch"""
LIMIT = 5
"""control steps of an episode"""


def action(step):
    return np.random.default_rng(step).uniform(-1, 1, (N, 3)).astype(np.float32)


def single(id=SWIM):
    return gym.make(f"lancelet:{id}", joints=3, max_episode_steps=LIMIT)


def trace(env, steps=3 * LIMIT):
    seen, _ = env.reset(seed=2)
    rows = [seen]
    for step in range(steps):
        rows += env.step(action(step))[:4]
    env.close()
    return rows


@pytest.mark.parametrize("id", [SWIM, NAVIGATE])
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_gymnasiums_vector_of_our_single_environment_is_our_vector(id, mode):
    kind = gym.vector.AutoresetMode(mode)
    native = gym.make_vec(id, num_envs=N, joints=3, max_episode_steps=LIMIT, autoreset_mode=mode)
    want = trace(native)
    for got, expected in zip(
        trace(SyncVectorEnv([lambda: single(id)] * N, autoreset_mode=kind)), want, strict=True
    ):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.slow
def test_the_same_in_processes_of_their_own():
    # spawn: a forked child of a process that holds a batch of two threads cannot end
    processes = AsyncVectorEnv([single] * N, context="spawn")
    native = gym.make_vec(SWIM, num_envs=N, joints=3, max_episode_steps=LIMIT)
    for got, expected in zip(trace(processes), trace(native), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_the_info_of_synchronous_environments_nests():
    env = SyncVectorEnv([single] * N)
    env.reset(seed=0)
    *_, info = env.step(action(0))
    assert info["terms"]["forward"].shape == (N,) and info["metrics"]["speed"].shape == (N,)


def test_episode_statistics_of_the_single_environment_come_from_the_wrapper():
    env = RecordEpisodeStatistics(single())
    env.reset(seed=0)
    rewards = []
    for step in range(LIMIT):
        _, reward, _, truncated, info = env.step(action(step)[0])
        rewards.append(reward)
    assert truncated and info["episode"]["l"] == LIMIT
    assert info["episode"]["r"] == pytest.approx(sum(rewards))
    native = gym.make_vec(SWIM, num_envs=1, joints=3, max_episode_steps=LIMIT)
    native.reset(seed=0)
    for step in range(LIMIT):
        *_, vector_info = native.step(action(step)[:1])
    assert vector_info["episode"]["r"][0] == pytest.approx(info["episode"]["r"])
    assert vector_info["metrics"]["speed"][0] == info["metrics"]["speed"]


def test_vector_wrappers_run_on_the_native_environment():
    env = gym.make_vec(SWIM, num_envs=N, joints=3, max_episode_steps=LIMIT)
    env = vector.ClipAction(
        vector.NormalizeReward(vector.NormalizeObservation(vector.DictInfoToList(env)))
    )
    env.reset(seed=0)
    for step in range(2 * LIMIT):
        seen, reward, *_, info = env.step(action(step))
        assert np.isfinite(seen).all() and np.isfinite(reward).all()
        if step == LIMIT - 1:
            assert [one["episode"]["l"] for one in info] == [LIMIT] * N


def test_two_environments_in_one_process_do_not_meet():
    one, two = (gym.make_vec(SWIM, num_envs=N, joints=3) for _ in range(2))
    want = trace(gym.make_vec(SWIM, num_envs=N, joints=3), 5)
    got = [one.reset(seed=2)[0]]
    two.reset(seed=9)
    for step in range(5):
        got += one.step(action(step))[:4]
        two.step(-action(step))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


EPISODES = 3


def statistics(env, mode):
    """Of every episode's end: what info tells, and the sums of the rewards."""
    env.reset(seed=2)
    total, told, summed = np.zeros(N), [], []
    for step in range(EPISODES * (LIMIT + 1)):
        _, reward, terminated, truncated, info = env.step(action(step))
        total += reward
        ended = terminated | truncated
        assert ("episode" in info) == ended.any()
        if ended.any():
            told.append(info)
            summed.append(total.copy())
            total[:] = 0.0
    return told, summed


@pytest.mark.parametrize("inside", [False, True], ids=["bare", "another wrapper between"])
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_gymnasiums_episode_statistics_wrap_the_native_environment(mode, inside):
    native = gym.make_vec(SWIM, num_envs=N, joints=3, max_episode_steps=LIMIT, autoreset_mode=mode)
    told, summed = statistics(
        vector.RecordEpisodeStatistics(vector.ClipAction(native) if inside else native), mode
    )
    assert len(told) >= EPISODES
    for info, total in zip(told, summed, strict=True):
        np.testing.assert_array_equal(info["episode"]["l"], LIMIT)
        np.testing.assert_allclose(info["episode"]["r"], total)
        assert info["_episode"].all()
        assert (info["episode"]["t"] > 0).all()
        assert info["metrics"]["_speed"].all()
        if mode == "SameStep":
            np.testing.assert_array_equal(info["final_info"]["episode"]["l"], LIMIT)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_those_who_do_not_wrap_still_read_our_own_statistics(mode):
    native = gym.make_vec(SWIM, num_envs=N, joints=3, max_episode_steps=LIMIT, autoreset_mode=mode)
    other = gym.make_vec(SWIM, num_envs=N, joints=3, max_episode_steps=LIMIT, autoreset_mode=mode)
    vector.RecordEpisodeStatistics(other)  # around another environment: nothing to do with this one
    told, summed = statistics(native, mode)
    for info, total in zip(told, summed, strict=True):
        np.testing.assert_array_equal(info["episode"]["l"], LIMIT)
        np.testing.assert_allclose(info["episode"]["r"], total)
    key = vector.RecordEpisodeStatistics(other, stats_key="figures")
    told, _ = statistics(key, mode)
    for info in told:
        np.testing.assert_array_equal(info["episode"]["l"], LIMIT)
        assert "figures" in info

import gymnasium as gym
import numpy as np
import pytest
from conftest import NAVIGATE, SWIM
from gymnasium.vector import AutoresetMode

from lancelet import LanceletError

N = 3
"""simulations of a batch"""
LIMIT = 4
"""control steps of an episode"""


def make(mode, id=SWIM, **options):
    return gym.make_vec(
        id, num_envs=N, max_episode_steps=LIMIT, autoreset_mode=mode, joints=3, **options
    ).unwrapped


def actions(step, n=N, joints=3):
    return np.random.default_rng(step).uniform(-1, 1, (n, joints)).astype(np.float32)


def run_to_the_end(env, seed=0):
    env.reset(seed=seed)
    for step in range(LIMIT):
        out = env.step(actions(step))
    return out


def test_next_step_ignores_the_action_after_the_end_and_returns_the_reset_observation():
    after = []
    for action in (actions(9), -actions(9)):
        env = make("NextStep")
        *_, truncated, info = run_to_the_end(env)
        assert truncated.all() and info["_episode"].all()
        after.append(env.step(action))
    (seen, reward, terminated, truncated, info), (other, *_) = after
    np.testing.assert_array_equal(seen, other)
    assert not reward.any() and not terminated.any() and not truncated.any()
    assert "episode" not in info and not info["_terms"].any()
    assert (seen[:, 3:] == 0).all(), "a start state is at rest"


def test_next_step_resets_only_the_simulations_that_ended():
    env = make("NextStep")
    env.reset(seed=0)
    env.step(actions(0))
    env.reset(options={"reset_mask": np.array([True, False, False])})
    for step in range(3):
        *_, truncated, _ = env.step(actions(step))
    np.testing.assert_array_equal(truncated, [False, True, True])
    seen, reward, _, truncated, info = env.step(actions(3))
    np.testing.assert_array_equal(truncated, [True, False, False])
    np.testing.assert_array_equal(info["_terms"], [True, False, False])
    assert (seen[1:, 3:] == 0).all() and (seen[0, 3:] != 0).all() and not reward[1:].any()


def test_same_step_gives_the_last_observation_in_info_and_the_next_start_outside():
    env, plain = make("SameStep"), make("Disabled")
    last, *_ = run_to_the_end(plain)
    seen, reward, _, truncated, info = run_to_the_end(env)
    np.testing.assert_array_equal(np.stack(list(info["final_obs"])), last)
    assert truncated.all() and info["_final_obs"].all() and info["_final_info"].all()
    assert (seen[:, 3:] == 0).all()
    assert reward.shape == (N,)
    final = info["final_info"]
    np.testing.assert_array_equal(final["episode"]["l"], LIMIT)
    assert set(final["metrics"]) >= {"speed", "com_speed"}


def test_same_step_names_no_last_observation_where_none_ended():
    env = make("SameStep")
    env.reset(seed=0)
    env.step(actions(0))
    env.reset(options={"reset_mask": np.array([True, False, False])})
    for step in range(3):
        *_, info = env.step(actions(step))
    np.testing.assert_array_equal(info["_final_obs"], [False, True, True])
    assert info["final_obs"][0] is None and info["final_obs"][1] is not None


def test_disabled_leaves_the_finished_ones_still_until_their_mask_comes():
    env = make("Disabled")
    last, *_ = run_to_the_end(env)
    memory, physics = {name: rows.copy() for name, rows in env.memory.items()}, env.sim.qpos.copy()
    seen, reward, terminated, truncated, _ = env.step(actions(9))
    np.testing.assert_array_equal(seen, last)
    np.testing.assert_array_equal(env.sim.qpos, physics)
    for name, rows in memory.items():
        np.testing.assert_array_equal(env.memory[name], rows)
    assert not reward.any() and not terminated.any() and not truncated.any()
    fresh, _ = env.reset(options={"reset_mask": np.array([False, True, False])})
    np.testing.assert_array_equal(fresh[[0, 2]], last[[0, 2]])
    assert (fresh[1, 3:] == 0).all()
    moved, *_ = env.step(actions(10))
    np.testing.assert_array_equal(moved[[0, 2]], last[[0, 2]])
    assert (moved[1] != fresh[1]).any()


@pytest.mark.parametrize(
    "mask",
    [np.array([True, False]), [1, 0, 1], np.array([1.0, 0.0, 1.0])],
    ids=["short", "numbers", "floats"],
)
def test_a_bad_reset_mask_is_refused(mask):
    env = make("Disabled")
    env.reset(seed=0)
    with pytest.raises(LanceletError, match="reset_mask"):
        env.reset(options={"reset_mask": mask})


def test_the_first_reset_must_be_of_all():
    with pytest.raises(LanceletError, match="first reset"):
        make("Disabled").reset(options={"reset_mask": np.array([True, False, True])})


def test_stepping_before_a_reset_is_refused():
    with pytest.raises(gym.error.ResetNeeded):
        make("NextStep").step(actions(0))
    with pytest.raises(gym.error.ResetNeeded):
        gym.make(SWIM).unwrapped.step(np.zeros(5, np.float32))


def transitions(mode, episodes=3):
    """Of each simulation: (observation, action, reward, terminated, truncated, true next observation) of live steps."""
    env = make(mode, NAVIGATE)
    seen, _ = env.reset(seed=5)
    rows, live = [[] for _ in range(N)], np.ones(N, bool)
    while min(len(r) for r in rows) < episodes * LIMIT:
        # the action depends on the simulation's own step, so that the modes' extra steps do not shift it
        action = np.stack([actions(len(rows[i]))[i] for i in range(N)])
        after, reward, terminated, truncated, info = env.step(action)
        ended = terminated | truncated
        for i in np.flatnonzero(live):
            same = mode is AutoresetMode.SAME_STEP and ended[i]
            last = info["final_obs"][i] if same else after[i]
            rows[i].append((seen[i], action[i], reward[i], terminated[i], truncated[i], last))
        seen = after
        if mode is AutoresetMode.NEXT_STEP:
            live = ~ended
        if mode is AutoresetMode.DISABLED and ended.any():
            seen, _ = env.reset(options={"reset_mask": ended})
    return [r[: episodes * LIMIT] for r in rows]


def test_an_advantage_estimator_sees_the_same_numbers_in_every_mode():
    first, *others = (transitions(mode) for mode in AutoresetMode)
    for other in others:
        for a, b in zip(first, other, strict=True):
            for left, right in zip(a, b, strict=True):
                for x, y in zip(left, right, strict=True):
                    np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_episode_statistics_are_the_sums_of_the_rewards(mode):
    env = make(mode)
    env.reset(seed=2)
    for _episode in range(3):
        total = np.zeros(N)
        for step in range(LIMIT):
            _, reward, _, _, info = env.step(np.full((N, 3), (-1.0) ** step))
            total += reward
            assert ("episode" in info) == (step == LIMIT - 1)
        np.testing.assert_array_equal(info["episode"]["r"], total)
        np.testing.assert_array_equal(info["episode"]["l"], LIMIT)
        assert total.any() and info["_episode"].all() and info["metrics"]["_speed"].all()
        if mode is AutoresetMode.NEXT_STEP:
            env.step(actions(0))
        if mode is AutoresetMode.DISABLED:
            env.reset(options={"reset_mask": np.ones(N, bool)})

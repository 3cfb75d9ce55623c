"""Environments copy and pickle with their whole state; a copy goes on to the bit, and apart from the original."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import vector

import lancelet
from lancelet import envs, morphology

COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda env: pickle.loads(pickle.dumps(env))}
IDS = [lancelet.task_id(name) for name in lancelet.registered()]
SWIM = "lancelet/Swim-v0"
N = 3
LIMIT = 6


def make(id, mode="NextStep", **options):
    return gym.make_vec(id, num_envs=N, max_episode_steps=LIMIT, autoreset_mode=mode, **options)


def follow(env, first, count=2 * LIMIT):
    """Everything that steps `first` and later return, the same actions for the same steps."""
    rows = []
    for step in range(first, first + count):
        space = env.action_space
        action = np.random.default_rng(step).uniform(space.low, space.high).astype(space.dtype)
        rows.append(env.step(action))
    return rows


def assert_same(left, right):
    """Nested tuples, dictionaries and arrays are equal, NaN to NaN."""
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for name in left:
            assert_same(left[name], right[name])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    elif isinstance(left, np.ndarray) and left.dtype == object:
        assert_same(list(left), list(right))
    else:
        np.testing.assert_array_equal(left, right)


@pytest.mark.slow
@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
@pytest.mark.parametrize("id", IDS)
def test_a_copy_of_a_vector_environment_goes_on_to_the_bit(id, mode, way):
    env = make(id, mode)
    env.reset(seed=4)
    follow(env, 0, LIMIT - 2)
    other = COPIES[way](env)
    # Further than the end of the episode, so that the next start is drawn too.
    assert_same(follow(other, LIMIT), follow(env, LIMIT))


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("id", IDS)
def test_a_copy_of_a_wrapped_single_environment_goes_on_to_the_bit(id, way):
    env = gym.make(id, max_episode_steps=LIMIT)
    env.reset(seed=4)
    follow(env, 0, LIMIT - 2)
    other = COPIES[way](env)
    assert other.unwrapped.np_random_seed == 4
    assert_same(follow(other, LIMIT, 2), follow(env, LIMIT, 2))
    assert_same(other.reset(), env.reset())
    assert_same(follow(other, 0, LIMIT), follow(env, 0, LIMIT))


@pytest.mark.parametrize("way", COPIES)
def test_original_and_copy_do_not_meet(way):
    env, plain = make(SWIM), make(SWIM)
    for one in (env, plain):
        one.reset(seed=4)
        follow(one, 0, 2)
    other = COPIES[way](env)
    other.unwrapped.field("opt.viscosity")[:] = 1.0
    other.reset(seed=9)
    follow(other, 50)
    assert_same(follow(env, 2), follow(plain, 2))


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("many", [False, True], ids=["one body", "many bodies"])
def test_changed_fields_are_copied(many, way):
    bodies = [morphology.make("swimmer", mass=mass) for mass in (0.01, 0.02)]
    env = make(SWIM, **({"body": bodies} if many else {}))
    env.reset(seed=4)
    env.unwrapped.field("body_mass")[1] *= 1.5
    env.unwrapped.field("opt.viscosity")[2] = 0.1
    follow(env, 0, 2)
    other = COPIES[way](env)
    for name in ("body_mass", "opt.viscosity", "body_subtreemass"):
        np.testing.assert_array_equal(other.unwrapped.field(name)[:], env.unwrapped.field(name)[:])
    assert_same(follow(other, 2), follow(env, 2))


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_of_an_environment_that_waits_for_its_reset_waits_too(way):
    env = make(SWIM, "Disabled")
    with pytest.raises(gym.error.ResetNeeded):
        COPIES[way](env).step(np.zeros((N, 5)))
    env.reset(seed=4)
    follow(env, 0, LIMIT)
    other = COPIES[way](env)
    assert_same(follow(other, LIMIT, 1), follow(env, LIMIT, 1))
    mask = {"reset_mask": np.array([True, False, True])}
    assert_same(other.reset(options=dict(mask)), env.reset(options=dict(mask)))
    assert_same(follow(other, 0), follow(env, 0))


@pytest.mark.parametrize("way", COPIES)
def test_what_the_next_step_will_find_wrong_is_copied(way):
    env = make(SWIM)
    env.reset(seed=4)
    follow(env, 0, 2)
    env.unwrapped.sim.qvel[1] = 1e30
    other = COPIES[way](env)
    mine, theirs = follow(env, 2), follow(other, 2)
    assert mine[0][-1]["diverged"].tolist() == [False, True, False]
    assert_same(theirs, mine)
    started = make(SWIM)
    started.reset(seed=4, options={"qvel": np.array([0.0, 1e30, 0.0])[:, None] * np.ones(8)})
    other = COPIES[way](started)
    mine, theirs = follow(started, 0), follow(other, 0)
    assert mine[0][-1]["diverged"].tolist() == [False, True, False]
    assert_same(theirs, mine)


@pytest.mark.parametrize("way", COPIES)
def test_a_wrapped_vector_environment_is_copied(way):
    env = vector.NormalizeObservation(vector.RecordEpisodeStatistics(make(SWIM)))
    env.reset(seed=4)
    follow(env, 0, LIMIT - 2)
    other = COPIES[way](env)
    mine, theirs = follow(env, LIMIT), follow(other, LIMIT)
    for one, two in zip(mine, theirs, strict=True):
        assert_same(two[:4], one[:4])
    assert isinstance(other.unwrapped, envs.VectorEnv)


def test_a_shallow_copy_shares_the_simulation():
    env = make(SWIM)
    env.reset(seed=4)
    assert copy.copy(env.unwrapped).sim is env.unwrapped.sim


def test_generators_tell_their_seeds():
    env = make(SWIM)
    env.reset(seed=[7, None, 9])
    seeds = env.unwrapped.np_random_seed
    assert seeds[0] == 7
    assert seeds[2] == 9
    assert seeds[1] not in (-1, None)
    again = make(SWIM)
    again.reset(seed=list(seeds))
    np.testing.assert_array_equal(
        again.unwrapped.np_random[1].random(3), env.unwrapped.np_random[1].random(3)
    )
    restored = make(SWIM).unwrapped
    restored.load_state_dict(env.unwrapped.state_dict())
    assert restored.np_random_seed == (-1,) * N

"""`state_dict` holds everything that decides what comes next."""

import gymnasium as gym
import numpy as np
import pytest
from conftest import NAVIGATE, SWIM
from gymnasium.vector import AutoresetMode

import lancelet
from lancelet import morphology

N = 3
"""simulations of a batch"""
LIMIT = 7
"""control steps of an episode"""


def action(step, n=N):
    return np.random.default_rng(step).uniform(-1, 1, (n, 3)).astype(np.float32)


def make(mode="NextStep", id=NAVIGATE, nthread=0, **options):
    options = {"joints": 3, **options}
    return gym.make_vec(
        id, num_envs=N, max_episode_steps=LIMIT, autoreset_mode=mode, nthread=nthread, **options
    ).unwrapped


def follow(env, first, steps=20):
    out = []
    for step in range(first, first + steps):
        seen, reward, terminated, truncated, info = env.step(action(step))
        out += [seen, reward, terminated, truncated]
        if "episode" in info:
            out += [info["episode"]["r"], info["episode"]["l"], info["metrics"]["closest"]]
    return out


def same(left, right):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("at", [0, 3, LIMIT])
def test_a_fresh_environment_continues_to_the_bit(mode, at):
    env = make(mode)
    env.reset(seed=4)
    for step in range(at):
        last, *_ = env.step(action(step))
    saved = env.state_dict()
    want = follow(env, at)
    other = make(mode, nthread=1)
    seen = other.load_state_dict(saved)
    if at:
        np.testing.assert_array_equal(seen, last)
    same(follow(other, at), want)


def test_an_environment_goes_back_in_time():
    env = make()
    env.reset(seed=4)
    saved = env.state_dict()
    want = follow(env, 0)
    env.load_state_dict(saved)
    same(follow(env, 0), want)


def test_what_is_saved_does_not_change_afterwards():
    env = make()
    env.reset(seed=4)
    saved = env.state_dict()
    physics, closest = saved["physics"].copy(), saved["memory"]["closest"].copy()
    follow(env, 0)
    np.testing.assert_array_equal(saved["physics"], physics)
    np.testing.assert_array_equal(saved["memory"]["closest"], closest)


def test_the_generators_continue():
    env, other = make(), make()
    env.reset(seed=4)
    saved = env.state_dict()
    other.load_state_dict(saved)
    np.testing.assert_array_equal(env.reset()[0], other.reset()[0])


def test_the_state_is_arrays_only():
    def leaves(value):
        return (
            [leaf for item in value.values() for leaf in leaves(item)]
            if isinstance(value, dict)
            else [value]
        )

    env = make()
    env.reset(seed=0)
    env.field("opt.viscosity")[:] = 0.1
    assert all(
        isinstance(leaf, np.ndarray) and leaf.dtype != object for leaf in leaves(env.state_dict())
    )


@pytest.mark.parametrize("many", [False, True], ids=["one body", "many bodies"])
def test_changed_parameters_are_part_of_the_state(many):
    bodies = [morphology.make("swimmer", joints=3, mass=mass) for mass in (0.01, 0.02)]
    options = {"body": bodies} if many else {}
    env, other = make(**options), make(**options)
    env.reset(seed=4)
    env.field("opt.viscosity")[:] = [0.0, 0.1, 0.2]
    env.field("body_mass")[1] = env.field("body_mass")[1] * 1.5
    env.step(action(0))
    saved = env.state_dict()
    want = follow(env, 1)
    other.load_state_dict(saved)
    np.testing.assert_array_equal(other.field("opt.viscosity")[:], [0.0, 0.1, 0.2])
    same(follow(other, 1), want)


def test_parameters_changed_after_saving_go_back():
    env = make(id=SWIM)
    env.reset(seed=4)
    saved = env.state_dict()
    want, *_ = env.step(action(0))
    env.field("opt.viscosity")[:] = 5.0
    env.load_state_dict(saved)
    np.testing.assert_array_equal(env.step(action(0))[0], want)


@pytest.mark.parametrize("name", lancelet.registered())
def test_every_task_shows_again_what_it_showed(name):
    """Sensors of forces and accelerations lag one substep after a step: they cannot be computed from the state."""
    env, other = (
        gym.make_vec(lancelet.task_id(name), num_envs=N, nthread=1).unwrapped for _ in range(2)
    )
    env.reset(seed=4)
    random = np.random.default_rng(0)
    for _ in range(12):
        last, *_ = env.step(random.uniform(env.action_space.low, env.action_space.high))
    saved = env.state_dict()
    follow = random.uniform(env.action_space.low, env.action_space.high)
    (want, gain, *_), sensors = env.step(follow), env.sim.sensordata.copy()
    for again in (env, other):
        seen = again.load_state_dict(saved)
        assert_observations(seen, last)
        assert_observations(again.task.observe(again.sim, again.memory), last, cast=True)
        after, reward, *_ = again.step(follow)
        assert_observations(after, want)
        np.testing.assert_array_equal(reward, gain)
        np.testing.assert_array_equal(again.sim.sensordata, sensors)


def assert_observations(seen, want, cast=False):
    if isinstance(want, dict):
        for name in want:
            np.testing.assert_array_equal(seen[name], want[name])
    else:
        np.testing.assert_array_equal(seen.astype(want.dtype) if cast else seen, want)


def test_touch_is_felt_in_the_state_that_is_shown_again():
    env = gym.make_vec("lancelet/Crawl-v0", num_envs=N).unwrapped
    env.reset(seed=4)
    for _ in range(12):
        env.step(np.zeros((N, 9)))
    before = env.sim.sensordata.copy()
    env.load_state_dict(env.state_dict())
    np.testing.assert_array_equal(env.sim.sensordata, before)
    env.sim.forward()
    assert (env.sim.sensordata != before).any(), "the present substep's forces are others"


def test_a_state_saved_by_an_earlier_version_loads():
    env, other = make(), make()
    env.reset(seed=4)
    last, *_ = env.step(action(0))
    saved = env.state_dict()
    for name in ("observation", "derived", "warnings"):
        del saved[name]
    want = follow(env, 1)
    np.testing.assert_array_equal(other.load_state_dict(saved), last)
    same(follow(other, 1), want)

import gymnasium as gym
import numpy as np
import pytest
from conftest import SWIM

from lancelet import LanceletError


def make(n=3):
    env = gym.make_vec(SWIM, num_envs=n, joints=3).unwrapped
    env.reset(seed=0)
    env.step(np.full((n, 3), 0.5))
    return env


def everything(env):
    saved = env.state_dict()
    return [
        saved["physics"],
        *saved["memory"].values(),
        *saved["counters"].values(),
        saved["generators"],
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("i", [0, 2])
def test_an_action_that_is_not_finite_is_refused_by_the_number_of_its_environment(value, i):
    env = make()
    before = everything(env)
    action = np.zeros((3, 3), np.float32)
    action[i, 1] = value
    with pytest.raises(LanceletError, match=f"environment {i} is not finite") as error:
        env.step(action)
    assert "\n" not in str(error.value)
    for old, new in zip(before, everything(env), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("shape", [(3,), (3, 2), (2, 3), (3, 3, 1), ()])
def test_an_action_of_the_wrong_shape_is_refused_with_both_shapes(shape):
    env = make()
    before = everything(env)
    with pytest.raises(LanceletError) as error:
        env.step(np.zeros(shape))
    assert (
        str(shape) in str(error.value)
        and "(3, 3)" in str(error.value)
        and "\n" not in str(error.value)
    )
    for old, new in zip(before, everything(env), strict=True):
        np.testing.assert_array_equal(old, new)


def test_after_a_refusal_the_run_goes_on_as_if_nothing_had_happened():
    env, plain = make(), make()
    with pytest.raises(LanceletError):
        env.step(np.full((3, 3), np.nan))
    np.testing.assert_array_equal(env.step(np.ones((3, 3)))[0], plain.step(np.ones((3, 3)))[0])


@pytest.mark.parametrize(
    "action", [np.full(3, np.nan, np.float32), np.zeros(4, np.float32), np.float32(0)]
)
def test_the_single_environment_refuses_too(action):
    env = gym.make(SWIM, joints=3).unwrapped
    env.reset(seed=0)
    with pytest.raises(LanceletError):
        env.step(action)


def test_actions_beyond_the_range_are_clipped():
    env, plain = make(), make()
    np.testing.assert_array_equal(env.step(np.full((3, 3), 9.0))[0], plain.step(np.ones((3, 3)))[0])


def test_lists_and_other_number_types_are_taken():
    outs = [
        make().step(a)[0]
        for a in ([[1, 1, 1]] * 3, np.ones((3, 3), int), np.ones((3, 3), np.float32))
    ]
    np.testing.assert_array_equal(outs[0], outs[1])
    np.testing.assert_array_equal(outs[0], outs[2])


def test_the_callers_action_is_left_alone():
    action = np.full((3, 3), 2.0)
    make().step(action)
    assert (action == 2.0).all()


def test_observations_are_the_callers_own():
    env = make()
    first, *_ = env.step(np.ones((3, 3)))
    kept = first.copy()
    env.step(-np.ones((3, 3)))
    np.testing.assert_array_equal(first, kept)

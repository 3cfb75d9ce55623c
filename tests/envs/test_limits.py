import dataclasses
import pickle

import gymnasium as gym
import numpy as np
import pytest
from conftest import SWIM
from doubles import Cue

from lancelet import LanceletError
from lancelet.envs import SingleEnv, VectorEnv


def lengths(id, limit, steps, **options):
    """At which steps the single environment and a vector of two truncate."""
    kwargs = {} if limit == "default" else {"max_episode_steps": limit}
    single, vector = (
        gym.make(id, **kwargs, **options),
        gym.make_vec(id, num_envs=2, **kwargs, **options),
    )
    single.reset(seed=0), vector.reset(seed=0)
    ends, ends_vector = [], []
    for step in range(1, steps + 1):
        if single.step(single.action_space.sample())[3]:
            ends.append(step)
            break
    for step in range(1, steps + 1):
        truncated = vector.step(vector.action_space.sample())[3]
        assert truncated[0] == truncated[1]
        if truncated.all():
            ends_vector.append(step)
            break
    return ends, ends_vector


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_single_and_vector_truncate_at_the_same_step(limit):
    assert lengths(SWIM, limit, 10) == ([limit], [limit])


def test_the_default_limit_is_a_thousand_steps():
    assert lengths(SWIM, "default", 1001, joints=1) == ([1000], [1000])


def test_minus_one_means_no_limit():
    assert lengths(SWIM, -1, 1005, joints=1) == ([], [])
    for limit in (None, -1):
        assert (
            VectorEnv(1, "lancelet.envs.swim:Swim", max_episode_steps=limit).max_episode_steps
            is None
        )


def test_a_truncated_episode_is_not_terminated():
    env = gym.make_vec(SWIM, num_envs=2, max_episode_steps=1)
    env.reset(seed=0)
    _, _, terminated, truncated, _ = env.step(np.zeros((2, 5)))
    assert truncated.all() and not terminated.any()


def test_the_count_starts_anew_after_a_reset():
    env = gym.make_vec(SWIM, num_envs=1, max_episode_steps=3)
    env.reset(seed=0)
    env.step(np.zeros((1, 5)))
    env.reset()
    assert [bool(env.step(np.zeros((1, 5)))[3][0]) for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_envs": 0}, "num_envs = 0: must be a whole number, 1 or more"),
        ({"num_envs": 2.0}, r"num_envs = 2\.0 \(of type float\)"),
        ({"max_episode_steps": 0}, "max_episode_steps = 0: must be a whole number, 1 or more"),
        ({"max_episode_steps": 2.5}, r"max_episode_steps = 2\.5 \(of type float\)"),
        ({"max_episode_steps": float("inf")}, r"max_episode_steps = inf \(of type float\)"),
        ({"nthread": -1}, "nthread = -1: must be a whole number, 0 or more"),
    ],
)
def test_counts_are_whole_numbers(options, said):
    with pytest.raises(LanceletError, match=said):
        VectorEnv(task="lancelet.envs.swim:Swim", **options)


def test_counts_and_fields_may_be_numbers_of_numpy():
    env = gym.make_vec(SWIM, num_envs=np.int64(2), joints=np.int32(4), density=np.float64(900))
    task = env.unwrapped.task
    assert (task.joints, task.density) == (4, 900.0)
    assert (type(task.joints), type(task.density)) == (int, float)
    assert env.reset(seed=0)[0].shape[0] == 2
    env.close()


# -- a limit of the task's own ------------------------------------------------------------------------------------------


@dataclasses.dataclass(kw_only=True)
class Patience(Cue):
    """A task of 0.1 s a step that takes as many seconds as it is given, and never ends of itself."""

    delay: int = 100
    patience: float | None = 0.7

    @property
    def time_limit(self):
        return self.patience


def ends(task, limit=None, steps=30):
    """At which step the single environment and a vector of two truncate; None: not within `steps`."""
    single = SingleEnv(task)
    if limit is not None:
        single = gym.wrappers.TimeLimit(single, limit)
    vector = VectorEnv(2, task, max_episode_steps=limit)
    truncations = []
    for env, action in ((single, np.zeros(1)), (vector, np.zeros((2, 1)))):
        env.reset(seed=0)
        end = None
        for step in range(1, steps + 1):
            _, _, terminated, truncated, _ = env.step(action)
            assert not np.any(terminated)
            assert np.all(truncated) == np.any(truncated)
            if np.any(truncated):
                end = step
                break
        truncations.append(end)
    return tuple(truncations)


def test_the_limit_of_a_task_holds_for_single_and_vector_alike():
    assert ends(Patience()) == (7, 7)
    assert ends(Patience(patience=2.0)) == (20, 20)
    assert ends(Patience(patience=None)) == (None, None)
    assert ends(Cue(delay=100)) == (None, None), "a task has none unless it says so"


def test_the_shorter_limit_holds():
    assert ends(Patience(), limit=20) == (7, 7)
    assert ends(Patience(), limit=3) == (3, 3)
    assert ends(Patience(patience=None), limit=4) == (4, 4)


def test_a_limit_below_one_step_is_one_step():
    assert ends(Patience(patience=0.01)) == (1, 1)


def test_the_tasks_limit_counts_from_every_reset():
    env = SingleEnv(Patience())
    env.reset(seed=0)
    for _ in range(5):
        env.step(np.zeros(1))
    env.reset()
    assert [env.step(np.zeros(1))[3] for _ in range(7)] == [False] * 6 + [True]


def test_the_environment_tells_the_limit_that_holds():
    assert VectorEnv(2, Patience()).max_episode_steps == 7
    assert VectorEnv(2, Patience(), max_episode_steps=3).max_episode_steps == 3
    assert VectorEnv(2, Patience(), max_episode_steps=-1).max_episode_steps == 7
    assert VectorEnv(2, Patience(patience=None)).max_episode_steps is None


def test_a_copy_within_an_episode_has_the_steps_that_are_left():
    env = SingleEnv(Patience())
    env.reset(seed=0)
    for _ in range(4):
        env.step(np.zeros(1))
    again = pickle.loads(pickle.dumps(env))
    assert [again.step(np.zeros(1))[3] for _ in range(3)] == [False, False, True]

"""Gymnasium's and Stable-Baselines3's own checkers, warnings as errors but for the two that our specs force."""

import warnings

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common import env_checker as sb3

import lancelet

IDS = sorted(lancelet.registered().values())
ALLOWED = (
    r".*Box observation space (minimum|maximum) value is -?infinity",
    r".*(symmetric and normalized|range of the action space).*",
)


@pytest.fixture
def strict():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for message in ALLOWED:
            warnings.filterwarnings("ignore", message)
        yield


@pytest.mark.parametrize("id", IDS)
def test_gymnasium_finds_no_fault(id, strict):
    check_env(gym.make(id).unwrapped, skip_render_check=True)


@pytest.mark.parametrize("id", IDS)
def test_stable_baselines_finds_no_fault(id, strict):
    sb3.check_env(gym.make(id).unwrapped, skip_render_check=True)


@pytest.mark.parametrize("id", IDS)
def test_the_wrapped_environment_runs_without_a_warning(id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make(id, max_episode_steps=3)
        env.reset(seed=0)
        for _ in range(3):
            env.step(env.action_space.sample())

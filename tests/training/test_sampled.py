"""The sampled policy: the same controller, with noise of its own for every episode."""

import numpy as np
import pytest
from conftest import SWIM
from test_rollout import SHORT, make

from lancelet import LanceletError, training
from lancelet.controllers import Population
from lancelet.training.rollout import make_env, rollout
from lancelet.training.sampled import Sampled


def returns(episodes, **options):
    return training.evaluate(make(), SWIM, episodes=episodes, **{**SHORT, **options}).returns


def test_noise_of_nothing_changes_nothing():
    np.testing.assert_array_equal(returns(3, std=0.0), returns(3))


def test_an_episode_has_its_noise_whatever_stands_beside_it():
    many, one = returns(4, std=0.3, seed=10), returns(1, std=0.3, seed=12)
    assert many[2] == one[0]
    assert len(set(many - returns(4, seed=10))) == 4


@pytest.mark.slow
def test_the_noise_has_the_spread_that_was_asked_for():
    noise_of_steps = []

    class Watched(Sampled):
        """Notes by how much each action differs from that of the agents without noise."""

        def __call__(self, observation, state):
            noisy, next_state = super().__call__(observation, state)
            plain, _ = Population(self.controller, 2)(observation, state)
            noise_of_steps.append(noisy - plain)
            return noisy, next_state

    env = make_env(SWIM, 2, joints=3, max_episode_steps=400)
    agents = Watched(make(), [0.1, 0.2, 0.4], [0, 1], 400)
    rollout(env, agents, [0, 1])
    noise = np.concatenate(noise_of_steps)
    np.testing.assert_allclose(noise.std(0), [0.1, 0.2, 0.4], rtol=0.1)
    np.testing.assert_allclose(noise.mean(0), 0, atol=0.05)
    action, _ = agents(np.zeros((2, 15), np.float32), agents.initial_state())
    assert action.shape == (2, 3)


def test_one_living_agent_is_not_sampled():
    with pytest.raises(LanceletError, match="keep_state=True with std"):
        training.evaluate(make(), SWIM, episodes=2, keep_state=True, std=0.1, **SHORT)

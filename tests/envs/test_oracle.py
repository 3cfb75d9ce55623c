"""The dm_control suite's own swimmer, driven by the same controller from the same start, earns the same."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import SWIM

from lancelet import controllers, training
from lancelet.optional import NO_DM_CONTROL

SEEDS = (0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("joints", [3, 5, 9])
def test_ncap_earns_the_same_return_in_the_suites_swimmer(joints):
    swimmer = pytest.importorskip("dm_control.suite.swimmer", reason=NO_DM_CONTROL)
    controller = controllers.make("ncap", gym.make(SWIM, joints=joints))
    starts, returns = [], []
    for seed in SEEDS:
        env = swimmer.swimmer(n_links=joints + 1, random=seed)
        env.reset()
        physics, state, total, steps = env.physics, controller.initial_state(1), 0.0, 0
        starts.append(physics.data.qpos.copy())
        observation, last = torch.zeros(1, 4 * joints + 3), False
        while not last:
            observation[0, :joints] = torch.as_tensor(physics.data.qpos[3:])
            with torch.no_grad():
                action, state = controller(observation, state)
            last = env.step(action[0].numpy()).last()
            total += np.clip(-physics.named.data.sensordata["head_vel"][1] / 0.1, 0, 1)
            steps += 1
        assert steps == 1000
        returns.append(total)
    score = training.evaluate(
        controller, SWIM, episodes=len(SEEDS), options={"qpos": np.stack(starts)}, joints=joints
    )
    np.testing.assert_allclose(score.returns, returns, rtol=0.005)


def test_the_same_numbers_of_the_suite_at_every_step():
    swimmer = pytest.importorskip("dm_control.suite.swimmer", reason=NO_DM_CONTROL)
    env = swimmer.swimmer(n_links=6, random=3)
    env.reset()
    ours = gym.make(SWIM).unwrapped
    ours.reset(seed=0, options={"qpos": env.physics.data.qpos})
    for step in range(50):
        action = np.random.default_rng(step).uniform(-1, 1, 5).astype(np.float32)
        suite = env.step(action).observation
        seen, *_ = ours.step(action)
        want = np.concatenate([suite["joints"], suite["body_velocities"]])
        np.testing.assert_allclose(seen, want, rtol=1e-5, atol=1e-6)

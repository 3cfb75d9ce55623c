"""Given equal actions a simulation's trajectory is the same to the bit, whatever stands beside it."""

import hashlib

import gymnasium as gym
import numpy as np
import pytest
from conftest import NAVIGATE, SWIM

STEPS = 40

CODE = """
import hashlib, gymnasium as gym, numpy as np
env = gym.make_vec("lancelet:{id}", num_envs={n}, nthread={nthread}, joints=4)
seen, _ = env.reset(seed=3)
digest = hashlib.sha256(seen[0].tobytes())
for step in range({steps}):
    action = np.random.default_rng(step).uniform(-1, 1, 4)
    seen, reward, *_ = env.step(np.stack([action * (-1) ** i for i in range({n})]))
    digest.update(seen[0].tobytes() + reward[0].tobytes())
print(digest.hexdigest())
"""


def digest(n, nthread=0, id=SWIM):
    """Hash of observations and rewards of simulation 0 of n; the others act otherwise."""
    env = gym.make_vec(id, num_envs=n, nthread=nthread, joints=4)
    seen, _ = env.reset(seed=3)
    total = hashlib.sha256(seen[0].tobytes())
    for step in range(STEPS):
        action = np.random.default_rng(step).uniform(-1, 1, 4)
        seen, reward, *_ = env.step(np.stack([action * (-1) ** i for i in range(n)]))
        total.update(seen[0].tobytes() + reward[0].tobytes())
    return total.hexdigest()


@pytest.mark.parametrize("nthread", [1, 2])
@pytest.mark.parametrize("n", [1, 7, 64, 256])
def test_the_trajectory_does_not_depend_on_number_or_threads(n, nthread):
    assert digest(n, nthread) == digest(1, 1)


def test_the_same_for_navigation():
    assert digest(7, 2, NAVIGATE) == digest(1, 1, NAVIGATE)


@pytest.mark.parametrize(("n", "nthread"), [(1, 1), (7, 2)])
def test_the_same_in_another_process(python, n, nthread):
    code = CODE.format(id=SWIM, n=n, nthread=nthread, steps=STEPS)
    assert python(code).stdout.strip() == digest(1, 1)


def test_place_in_the_batch_does_not_matter():
    env = gym.make_vec(SWIM, num_envs=5)
    env.reset(seed=[8, 1, 8, 2, 8])
    action = np.linspace(-1, 1, 5, dtype=np.float32)
    for _ in range(STEPS):
        seen, *_ = env.step(np.stack([action, -action, action, action / 2, action]))
    np.testing.assert_array_equal(seen[0], seen[2])
    np.testing.assert_array_equal(seen[0], seen[4])


def test_partial_resets_beside_it_do_not_matter():
    plain, busy = (gym.make_vec(SWIM, num_envs=3, autoreset_mode="Disabled") for _ in range(2))
    plain.reset(seed=0), busy.reset(seed=0)
    for step in range(STEPS):
        if step % 3 == 0:
            busy.reset(options={"reset_mask": np.array([True, False, True])})
        action = np.random.default_rng(step).uniform(-1, 1, (3, 5))
        want, *_ = plain.step(action)
        got, *_ = busy.step(action)
        np.testing.assert_array_equal(got[1], want[1])

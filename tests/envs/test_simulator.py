"""What a task's `make` may return: the protocols that the core and the recorder ask for."""

from dataclasses import dataclass

import numpy as np
from doubles import Cue, Tape

from lancelet import morphology
from lancelet.envs import Simulation, VectorEnv
from lancelet.envs.task import (
    PlacingSimulator,
    PosedSimulator,
    Simulator,
    StatefulSimulator,
)


class Stateless:
    """The least that a simulator must be."""

    def __init__(self, n):
        self.n = n

    def reset(self, ids):
        pass

    def step(self):
        pass


@dataclass(kw_only=True)
class CueWithoutState(Cue):
    """A task whose whole state is its memory."""

    def make(self, n, nthread):
        return Stateless(n)

    def metrics(self, sim, memory):
        return {"time": memory["time"].astype(float)}


def run(env, steps):
    observations = []
    for _ in range(steps):
        observation, reward, terminated, *_ = env.step(np.ones((env.num_envs, 1)))
        observations.append((observation, reward, terminated))
    return observations


def test_mujocos_simulation_has_all_the_parts():
    sim = Simulation([morphology.make("ball").build().compile()], 2)
    assert isinstance(sim, Simulator)
    assert isinstance(sim, StatefulSimulator)
    assert isinstance(sim, PosedSimulator)
    assert isinstance(sim, PlacingSimulator)


def test_the_optional_parts_are_told_by_what_is_there():
    assert isinstance(Tape(2), StatefulSimulator)
    assert not isinstance(Tape(2), PosedSimulator)
    assert not isinstance(Tape(2), PlacingSimulator)
    assert isinstance(Stateless(2), Simulator)
    assert not isinstance(Stateless(2), StatefulSimulator)
    assert not isinstance(object(), Simulator)


def test_a_simulator_without_a_state_is_saved_by_its_tasks_memory():
    env = VectorEnv(3, CueWithoutState, max_episode_steps=20)
    env.reset(seed=0)
    run(env, 2)
    saved = env.state_dict()
    assert saved["physics"].shape == (3, 0)
    expected = run(env, 8)
    other = VectorEnv(3, CueWithoutState, max_episode_steps=20)
    other.load_state_dict(saved)
    for step, expected_step in zip(run(other, 8), expected, strict=True):
        for array, expected_array in zip(step, expected_step, strict=True):
            np.testing.assert_array_equal(array, expected_array)

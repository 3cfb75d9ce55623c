"""What a task's `make` may return: the protocols that the core and the recorder ask for."""

from dataclasses import dataclass

import mujoco
import numpy as np
import pytest
from doubles import Bead, Cue, Tape

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


# -- the sensors of every substep ---------------------------------------------------------------------------------------

SUBSTEPS = 7


def sensed_beads(n=3):
    """Beads under different pushes, with a sensor of position and one of acceleration; row 1 starts elsewhere."""
    spec = Bead().build()
    spec.body("ball").add_site(name="middle")
    spec.add_sensor(
        name="position",
        type=mujoco.mjtSensor.mjSENS_JOINTPOS,
        objtype=mujoco.mjtObj.mjOBJ_JOINT,
        objname="slide",
    )
    spec.add_sensor(
        name="acceleration",
        type=mujoco.mjtSensor.mjSENS_ACCELEROMETER,
        objtype=mujoco.mjtObj.mjOBJ_SITE,
        objname="middle",
    )
    sim = Simulation([spec.compile()], n, 1)
    sim.qpos[:, 0] = np.linspace(0.0, 0.5, n)
    sim.ctrl[:, 0] = np.linspace(-1.0, 1.0, n)
    sim.forward()
    return sim


def test_recorded_steps_end_in_the_same_bits_as_plain_ones():
    recorded = sensed_beads()
    plain = sensed_beads()
    for _ in range(3):
        recorded.step_recorded(SUBSTEPS)
        plain.step(SUBSTEPS)
        np.testing.assert_array_equal(recorded.state, plain.state)
        np.testing.assert_array_equal(recorded.sensordata, plain.sensordata)


def test_recorded_accelerations_are_those_of_single_steps():
    recorded = sensed_beads()
    single = sensed_beads()
    rows = recorded.step_recorded(SUBSTEPS)
    assert rows.shape == (3, SUBSTEPS, recorded.model.nsensordata)
    first = recorded.model.sensor("acceleration").adr[0]
    expected = []
    for _ in range(SUBSTEPS):
        single.step()
        expected.append(single.sensor("acceleration").copy())
    np.testing.assert_array_equal(rows[:, :, first : first + 3], np.stack(expected, axis=1))
    assert np.ptp(rows[0, :, first]) > 0, "they differ from substep to substep"


def test_recorded_positions_are_those_at_the_beginning_of_a_substep_and_at_the_end_of_the_last():
    recorded = sensed_beads()
    single = sensed_beads()
    column = recorded.model.sensor("position").adr[0]
    rows = recorded.step_recorded(SUBSTEPS)[:, :, column]
    for substep in range(SUBSTEPS - 1):
        np.testing.assert_array_equal(rows[:, substep], single.qpos[:, 0])
        single.step()
    single.step()
    np.testing.assert_array_equal(rows[:, -1], single.qpos[:, 0])


@pytest.mark.parametrize("substeps", [1, SUBSTEPS])
def test_only_live_simulations_are_stepped_and_recorded(substeps):
    every = sensed_beads()
    some = sensed_beads()
    before = some.state.copy()
    some.live = np.array([0, 2])
    expected = every.step_recorded(substeps)
    rows = some.step_recorded(substeps)
    np.testing.assert_array_equal(rows[[0, 2]], expected[[0, 2]])
    assert not rows[1].any()
    np.testing.assert_array_equal(some.state[1], before[1])
    np.testing.assert_array_equal(some.state[[0, 2]], every.state[[0, 2]])

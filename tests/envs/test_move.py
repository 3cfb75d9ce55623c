import mujoco
import numpy as np
import pytest

from lancelet import morphology
from lancelet.envs import Simulation


@pytest.mark.parametrize("live", [None, [0, 2]])
def test_a_task_may_integrate_by_itself(live):
    """`Simulation.move` hands back fresh accelerations; an Euler step made of them is MuJoCo's own."""
    model = morphology.make("arm").build().compile()
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
    one, other = Simulation([model], 3), Simulation([model], 3)
    start = np.random.default_rng(0).uniform(0.5, 1.5, (3, 2))
    for sim in (one, other):
        sim.qpos[:], sim.qfrc_applied[:] = start, [0.3, -0.2]
        sim.forward()
        sim.live = None if live is None else np.array(live)
    rows = slice(None) if live is None else live
    for force in np.random.default_rng(1).normal(size=(20, 3, 2)):
        v = one.qvel + 0.01 * one.qacc
        one.move(one.qpos + 0.01 * v, v, force)
        other.step()
        other.qfrc_applied[rows] = force[rows]
    for name in ("qpos", "qvel", "time"):
        np.testing.assert_allclose(
            getattr(one, name), getattr(other, name), rtol=1e-12, err_msg=name
        )
    np.testing.assert_allclose(one.site_xpos[rows], other.site_xpos[rows], rtol=1e-12)
    if live is not None:
        np.testing.assert_array_equal(one.qpos[1], start[1])
        assert one.time[1] == 0 and (one.qfrc_applied[1] == [0.3, -0.2]).all()


def test_time_goes_on_by_what_is_said():
    sim = Simulation([morphology.make("arm").build().compile()], 1)
    sim.move(sim.qpos, sim.qvel, np.zeros((1, 2)), dt=0.5)
    assert sim.time[0] == 0.5

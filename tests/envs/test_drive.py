import numpy as np
import pytest

from lancelet import morphology
from lancelet.envs import Simulation


@pytest.mark.parametrize("live", [None, [0, 2]])
@pytest.mark.parametrize("substeps", [1, 6])
def test_driving_is_stepping_with_other_controls_each_substep(live, substeps):
    model = morphology.make("swimmer", joints=2).build().compile()
    one, other = Simulation([model], 3), Simulation([model], 3)
    controls = np.random.default_rng(0).uniform(-1, 1, (4, 3, substeps, 2))
    for sim in (one, other):
        sim.live = None if live is None else np.array(live)
        sim.forward()
    for block in controls:
        one.drive(block)
        rows = slice(None) if live is None else live
        for k in range(substeps):
            other.ctrl[rows] = block[rows, k]
            other.step()
    np.testing.assert_array_equal(one.state, other.state)
    np.testing.assert_array_equal(one.sensor("velocity_0"), other.sensor("velocity_0"))
    assert (one.time[0] > 0).all() and (live is None or one.time[1] == 0)

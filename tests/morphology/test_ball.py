import mujoco
import numpy as np
import pytest

from lancelet import LanceletError, morphology


def test_the_ball_has_the_mass_and_the_push_of_point_maze():
    model = morphology.make("ball").build().compile()
    assert model.body("ball").mass[0] == pytest.approx(4.18879, abs=1e-5)
    data = mujoco.MjData(model)
    data.ctrl[:] = [1.0, -0.5]
    mujoco.mj_step(model, data)
    assert data.qvel[0] == pytest.approx(0.238, abs=1e-3)
    assert data.qvel[1] == pytest.approx(-0.5 * data.qvel[0])
    np.testing.assert_array_equal(model.actuator_user, np.eye(2))


def test_it_coasts_with_the_time_constant_of_mass_over_damping():
    model = morphology.make("ball", damping=2.0).build().compile()
    data = mujoco.MjData(model)
    data.qvel[:] = [3.0, 0.0]
    while data.time < 4.18879 / 2.0:
        mujoco.mj_step(model, data)
    assert data.qvel[0] == pytest.approx(3.0 / np.e, rel=0.01)


def test_it_goes_through_json():
    ball = morphology.make("ball", radius=0.2)
    assert morphology.from_json(morphology.to_json(ball)) == ball


@pytest.mark.parametrize(
    ("name", "value"), [("radius", 0.5), ("radius", 0.0), ("density", np.inf), ("damping", -1.0)]
)
def test_impossible_balls_are_refused(name, value):
    with pytest.raises(LanceletError, match=f"Ball.{name}"):
        morphology.make("ball", **{name: value})

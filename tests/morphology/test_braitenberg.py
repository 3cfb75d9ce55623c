import numpy as np
import pytest

from lancelet import LanceletError, morphology
from lancelet.morphology.braitenberg import CANONICAL, Braitenberg, design, mirrored, placement


def test_designs_are_numbered_as_in_the_papers_code():
    assert tuple(design(6553)) == CANONICAL
    assert tuple(design(80)) == (-0.5, -0.5, 0.5, 0.375)
    assert tuple(design(1)) == (-0.5,) * 4 and tuple(design(6561)) == (0.5,) * 4


def test_two_mirrors_are_none_and_the_canonical_body_is_its_own_image():
    body = np.array([0.1, 0.2, -0.3, 0.4])
    assert mirrored(body).tolist() == [-0.3, -0.4, 0.1, -0.2]
    assert (mirrored(mirrored(body)) == body).all() and tuple(
        mirrored(np.array(CANONICAL))
    ) == CANONICAL


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((0.5, 0.6, 0, 0), "left of sensor 1 = 0.6: must lie on the deck, from -0.5 to 0.5"),
        ((0, 0, float("nan"), 0), "forward of sensor 2 = nan"),
        ((0, 0, 0), "needs four numbers"),
        ("corner", "needs four numbers"),
    ],
)
def test_a_sensor_beside_the_deck_is_one_line(given, says):
    with pytest.raises(LanceletError) as error:
        placement(given)
    assert says in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "bad",
    [
        {"sensor_1": (0.7, 0.0)},
        {"sensor_2": (0.0,)},
        {"torque": 0.0},
        {"wheel_back": -0.1},
        {"wheel_radius": 0.6},
    ],
)
def test_bad_bodies_are_one_line(bad):
    with pytest.raises(LanceletError) as error:
        morphology.make("braitenberg", **bad)
    assert "\n" not in str(error.value)


def test_the_sensors_are_where_the_body_has_them_and_the_masses_are_the_papers():
    body = Braitenberg.placed(design(80))
    model = body.build().compile()
    assert model.site("sensor_1").pos[:2].tolist() == [-0.5, -0.5]
    assert model.site("sensor_2").pos[:2].tolist() == [0.5, 0.375]
    assert model.body_subtreemass[model.body("deck").id] == pytest.approx(999.973 + 2 * 117.519)
    assert morphology.ranges(body) == {"sensor_1": (-0.5, 0.5), "sensor_2": (-0.5, 0.5)}


def test_equal_wheels_drive_forward_and_the_right_one_alone_turns_left():
    import mujoco

    model = Braitenberg().build().compile()
    found = {}
    for name, control in {"both": (1, 1), "right": (0, 1)}.items():
        data = mujoco.MjData(model)
        data.ctrl[:] = control
        for _ in range(100):
            mujoco.mj_step(model, data)
        found[name] = data.qpos[0], data.qvel[5], data.qpos[2]
    assert found["both"][0] > 0.1 and abs(found["both"][1]) < 1e-3
    assert found["right"][1] > 0.05
    assert all(
        abs(height - 0.26) < 0.01 for _, _, height in found.values()
    )  # neither tips over nor sinks

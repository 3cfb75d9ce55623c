import math

import mujoco
import pytest

from lancelet import LanceletError, morphology

BLIMP = morphology.make("blimp")


def data(body=BLIMP):
    model = body.build().compile()
    return model, mujoco.MjData(model)


def test_the_nominal_blimp_hovers():
    model, d = data()
    d.qpos[0] = 1.0
    for _ in range(2000):
        mujoco.mj_step(model, d)
    assert d.qpos[0] == pytest.approx(1.0, abs=1e-9)
    assert model.body_subtreemass[0] == pytest.approx(0.2285, abs=1e-4)


def test_it_starts_to_move_with_the_added_mass():
    model, d = data()
    d.qpos[0], d.ctrl[0] = 1.0, 0.1
    mujoco.mj_forward(model, d)
    assert d.qacc[0] == pytest.approx(0.1 / (0.2285 + 0.173), rel=1e-3)


def test_its_terminal_speed_balances_linear_and_quadratic_drag():
    model, d = data()
    d.qpos[0], d.ctrl[0] = 1.0, 0.05
    while d.qpos[0] < 10:
        mujoco.mj_step(model, d)
    speed, area = d.qvel[0], math.pi * 0.65 * 0.264
    drag = 0.5 * 1.204 * 0.69 * area * speed**2 + 0.020 * speed
    assert drag == pytest.approx(0.05, rel=0.01)


def test_the_envelope_drags_and_the_gondola_does_not():
    with_envelope, without = (
        data(morphology.make("blimp", damping=0.0, drag=drag)) for drag in (0.69, 0.0)
    )
    for model, d in (with_envelope, without):
        d.qpos[0], d.qvel[0] = 1.0, 0.5
        mujoco.mj_forward(model, d)
    assert with_envelope[1].qfrc_passive[0] - with_envelope[1].qfrc_gravcomp[0] < -0.05
    assert abs(without[1].qacc[0]) < 1e-2


def test_film_and_helium_that_are_too_heavy_pull_it_down():
    model, d = data(morphology.make("blimp", film_mass=0.1))
    mujoco.mj_forward(model, d)
    assert d.qfrc_gravcomp[0] == pytest.approx(9.81 * BLIMP.lift, rel=1e-9)
    assert d.qfrc_bias[0] == pytest.approx(9.81 * (0.140 + 0.034 + 0.1), rel=1e-9)


def test_force_is_odd_in_the_command_and_follows_the_exponent():
    body = morphology.make("blimp", exponent=1.4)
    assert body.force(10) == pytest.approx(0.17) and body.force(-10) == -body.force(10)
    assert body.force(5) == pytest.approx(0.17 * 0.5**1.4)


def test_every_range_holds_its_nominal_value():
    bounds = morphology.ranges(BLIMP)
    assert {"thrust", "lag", "latency", "sweep", "dead_zone", "drag"} <= bounds.keys()
    for name, (low, high) in bounds.items():
        assert low <= getattr(BLIMP, name) <= high, name
        morphology.make("blimp", **{name: high})


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"thrust": -1.0}, "Blimp.thrust = -1.0: must be finite and > 0"),
        ({"lag": math.nan}, "Blimp.lag = nan"),
        ({"latency": 2.0}, "Blimp.latency = 2.0: must be 1 s or less"),
        ({"down_efficiency": 1.5}, "must be 1 or less"),
        ({"semi_axes": (0.1, 0.1, 0.1)}, "cannot lift"),
        ({"lidar_range": (2.0, 1.0)}, "0 <= low < high"),
    ],
)
def test_a_blimp_that_cannot_be_is_refused(parameters, says):
    with pytest.raises(LanceletError, match=says.replace("(", r"\(")):
        morphology.make("blimp", **parameters)

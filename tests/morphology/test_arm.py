import dataclasses
import math

import mujoco
import numpy as np
import pytest

from lancelet import LanceletError, morphology
from lancelet.morphology.arm import MUSCLES
from lancelet.scripts.studies.bilateral import plant

ARM = morphology.make("arm")


@pytest.mark.parametrize("angle", plant.INERTIA)
def test_the_inertia_is_the_specs(angle):
    """Gate A1: to 1e-4."""
    np.testing.assert_allclose(plant.inertia()[angle], plant.INERTIA[angle], atol=1e-4)


def test_the_hand_of_the_model_is_the_hand_of_the_body():
    model = ARM.build().compile()
    data = mujoco.MjData(model)
    for angles in np.random.default_rng(0).uniform(*ARM.limits, (20, 2)):
        data.qpos[:] = angles
        mujoco.mj_forward(model, data)
        np.testing.assert_allclose(data.site("hand").xpos[:2], ARM.hand(angles), atol=1e-12)


def test_every_point_of_the_workspace_leads_back_to_its_angles_and_no_other_does():
    angles = np.random.default_rng(0).uniform(*ARM.limits, (500, 2))
    np.testing.assert_allclose(ARM.angles_at(ARM.hand(angles)), angles, atol=1e-5)
    beyond = [[0.0, 0.0], [0.65, 0.0], [0.0, -0.5], [0.1, 0.09]]
    assert np.isnan(ARM.angles_at(beyond)).all()
    corner = ARM.hand(ARM.limits).astype(np.float32)
    assert np.isfinite(ARM.angles_at(corner)).all(), "float32 rounds corners out of reach"
    both = morphology.make("arm", elbow_limit=(-1.0, 1.0))
    np.testing.assert_allclose(
        both.hand(both.angles_at(both.hand([[1.0, -0.7]]))), both.hand([[1.0, -0.7]]), atol=1e-9
    )


def test_the_limits_of_the_model_hold():
    model = ARM.build().compile()
    data = mujoco.MjData(model)
    np.testing.assert_allclose(model.jnt_range, ARM.limits.T)
    data.qpos[:], data.qvel[:] = [1.0, 1.0], [-3.0, -6.0]
    lowest = np.full(2, np.inf)
    for _ in range(300):
        mujoco.mj_step(model, data)
        lowest = np.minimum(lowest, data.qpos)
    assert (lowest > -0.05).all()


def test_a_load_moves_mass_centre_and_inertia_of_the_forearm():
    mass, place = 2.0, 0.25
    loaded = ARM.loaded(mass, place)
    spec = ARM.build()
    weight = spec.body("forearm").add_body(name="weight", pos=[place, 0, 0])
    weight.explicitinertial, weight.mass, weight.ipos, weight.inertia = (
        True,
        mass,
        [0, 0, 0],
        [1e-9] * 3,
    )
    whole = []
    for model in (loaded.build().compile(), spec.compile()):
        data = mujoco.MjData(model)
        data.qpos[:] = [0.4, 1.1]
        mujoco.mj_forward(model, data)
        inertia = np.zeros((2, 2))
        mujoco.mj_fullM(model, data, inertia)
        whole.append(inertia)
    np.testing.assert_allclose(whole[0], whole[1], atol=1e-7)
    assert ARM.loaded(0.0) == ARM


def test_every_range_holds_its_nominal_value_and_every_field_has_a_unit():
    bounds = morphology.ranges(ARM)
    for field in dataclasses.fields(ARM):
        if field.name != "timestep":
            low, high = bounds[field.name]
            assert field.metadata["unit"] and (np.array(getattr(ARM, field.name)) >= low).all(), (
                field.name
            )
            assert (np.array(getattr(ARM, field.name)) <= high).all(), field.name


def test_the_native_arm_flexes_by_its_flexors_and_extends_by_its_extensors():
    model = morphology.make("arm-native").build().compile()
    assert [model.actuator(k).name for k in range(model.nu)] == list(MUSCLES) and model.na == 6
    np.testing.assert_allclose(model.actuator_dynprm[:, :2], [[0.015, 0.05]] * 6)
    for flexor, extensor, joint in ((0, 1, 0), (2, 3, 1)):
        for muscle, sign in ((flexor, 1), (extensor, -1)):
            data = mujoco.MjData(model)
            data.qpos[:] = 1.2
            data.ctrl[muscle] = 1.0
            for _ in range(25):
                mujoco.mj_step(model, data)
            assert sign * data.qvel[joint] > 1.0, (muscle, data.qvel)


def test_the_native_muscles_have_the_lengths_and_strengths_of_the_body():
    body = morphology.make("arm-native")
    model = body.build().compile()
    data = mujoco.MjData(model)
    for angles in (body.limits[0], body.limits[1], [1.0, 0.4]):
        data.qpos[:] = angles
        mujoco.mj_forward(model, data)
        want = np.array(body.rest_length) + np.array(body.shoulder_arm) * (angles[0] - math.pi / 2)
        want = (want + np.array(body.elbow_arm) * angles[1] - body.tendon) / body.optimal_length
        low, high = model.actuator_lengthrange.T
        part = (data.actuator_length - low) / (high - low)
        have = model.actuator_gainprm[:, 0] + part * (
            model.actuator_gainprm[:, 1] - model.actuator_gainprm[:, 0]
        )
        np.testing.assert_allclose(have, want, atol=1e-9)
    np.testing.assert_allclose(model.actuator_gainprm[:, 2], body.max_force)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"upper_mass": 0.0}, "Arm.upper_mass = 0.0: must be finite and > 0"),
        (
            {"max_force": (838.0, 1207.0, -1.0, 1549.0, 414.0, 603.0)},
            "Arm.max_force = .*: must be finite and > 0",
        ),
        ({"optimal_length": (0.1,) * 5}, "Arm.optimal_length = .*: needs six numbers"),
        ({"tendon": (math.nan,) * 6}, "Arm.tendon"),
        ({"elbow_arm": (math.inf,) * 6}, "Arm.elbow_arm"),
        ({"activation_time": -0.01}, "Arm.activation_time = -0.01: must be finite and > 0"),
        ({"least_activation": 0.5}, "Arm.least_activation = 0.5: must be 0.1 or less"),
        ({"shoulder_limit": (1.0, 0.0)}, "Arm.shoulder_limit = .*: needs a low and a higher angle"),
        ({"elbow_limit": (0.0, 4.0)}, r"Arm.elbow_limit = .*: must be finite and within \+-pi"),
    ],
)
def test_an_arm_that_cannot_be_is_refused(parameters, says):
    with pytest.raises(LanceletError, match=says) as error:
        morphology.make("arm", **parameters)
    assert "\n" not in str(error.value)


def test_what_native_tendons_and_loads_cannot_be_is_refused():
    with pytest.raises(LanceletError, match=r"NativeArm.elbow_curve = .*: must be 0"):
        morphology.make("arm-native", elbow_curve=(0.001,) * 6)
    for load in (-1.0, math.nan):
        with pytest.raises(LanceletError, match="load"):
            ARM.loaded(load)

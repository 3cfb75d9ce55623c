"""The swimmer's constants (docs/systems/ncap.md, "The body") and what it refuses."""

import math

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from conftest import SWIM

from lancelet import LanceletError, morphology
from lancelet.optional import NO_DM_CONTROL

SIZES = range(3, 16)


def compiled(**parameters):
    return morphology.make("swimmer", **parameters).build().compile()


def in_water(**options):
    return gym.make(SWIM, **options).unwrapped.vector.sim.model


@pytest.mark.parametrize("n", SIZES)
def test_links_joints_and_motors(n):
    model = compiled(joints=n)
    assert (model.nq, model.nv, model.nu, model.nbody) == (n + 3, n + 3, n, n + 2)
    assert [model.joint(i).name for i in range(3)] == ["root_x", "root_y", "root_heading"]
    assert model.body_parentid[1:].tolist() == list(range(n + 1)), "a chain, head first"


@pytest.mark.parametrize("n", SIZES)
def test_masses_and_inertias(n):
    model = compiled(joints=n)
    np.testing.assert_allclose(model.body_mass[1:], 0.01)
    np.testing.assert_allclose(
        model.body_inertia[1:], [[8.667e-6, 3.367e-7, 8.337e-6]] * (n + 1), rtol=1e-3
    )
    np.testing.assert_array_equal(model.body_ipos[1:], 0)


@pytest.mark.parametrize("n", SIZES)
def test_joints(n):
    model = compiled(joints=n)
    hinges = slice(3, None)
    np.testing.assert_allclose(
        model.jnt_range[hinges], [[-2 * math.pi / (n + 1), 2 * math.pi / (n + 1)]] * n
    )
    assert model.jnt_limited[hinges].all() and not model.jnt_limited[:3].any()
    np.testing.assert_allclose(model.dof_armature[hinges], 1e-6)
    np.testing.assert_array_equal(model.dof_armature[:3], 0)
    np.testing.assert_array_equal(model.dof_damping, 0)
    np.testing.assert_array_equal(model.jnt_stiffness, 0)
    np.testing.assert_allclose(model.jnt_solref[hinges], [[0.05, 1]] * n)
    np.testing.assert_allclose(model.jnt_solimp[hinges, :3], [[0, 0.8, 0.1]] * n)
    np.testing.assert_allclose(model.jnt_pos[hinges], [[0, -0.05, 0]] * n)
    np.testing.assert_array_equal(model.jnt_axis[2:], [[0, 0, 1]] * (n + 1))
    np.testing.assert_allclose(model.body_pos[2:], [[0, 0.1, 0]] * n)


@pytest.mark.parametrize("n", SIZES)
def test_motors(n):
    model = compiled(joints=n)
    np.testing.assert_allclose(model.actuator_gear[:, 0], 5e-4)
    np.testing.assert_array_equal(model.actuator_gear[:, 1:], 0)
    np.testing.assert_array_equal(model.actuator_ctrlrange, [[-1, 1]] * n)
    assert model.actuator_ctrllimited.all()
    np.testing.assert_array_equal(model.actuator_trnid[:, 0], np.arange(3, n + 3))


def test_joint_limits_of_their_own():
    model = compiled(joints=3, joint_limit=(0.4, 0.5, 0.6))
    np.testing.assert_allclose(model.jnt_range[3:, 1], [0.4, 0.5, 0.6])
    with pytest.raises(LanceletError, match="joint_limit has 2 entries"):
        morphology.make("swimmer", joints=3, joint_limit=(0.4, 0.5))


def test_the_simulator_and_the_medium():
    model = in_water()
    assert model.opt.timestep == 0.002
    assert model.opt.integrator == mujoco.mjtIntegrator.mjINT_EULER
    assert (model.opt.density, model.opt.viscosity) == (3000.0, 0.0)
    assert model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_CONTACT
    assert not model.geom_fluid.any(), "drag on the equivalent inertia box"


def test_the_task_makes_fifteen_substeps_and_a_thousand_steps():
    env = gym.make(SWIM)
    assert env.unwrapped.task.substeps == 15
    assert env.spec.max_episode_steps == 1000
    assert env.unwrapped.task.control_dt(env.unwrapped.vector.sim) == pytest.approx(0.03)


def test_boxes_carry_all_the_mass():
    model = compiled()
    boxes = model.geom_type == mujoco.mjtGeom.mjGEOM_BOX
    assert boxes.sum() == 6
    np.testing.assert_allclose(model.geom_size[boxes], [[0.001, 0.05, 0.01]] * 6)
    without = morphology.make("swimmer").build()
    for geom in list(without.geoms):
        if geom.name.startswith("visual") or geom.name in ("head_visual", "floor"):
            without.delete(geom)
    bare = without.compile()
    np.testing.assert_array_equal(bare.body_mass, model.body_mass)
    np.testing.assert_array_equal(bare.body_inertia, model.body_inertia)


@pytest.mark.parametrize("n", [3, 5, 12])
def test_all_that_moves_equals_the_suites_swimmer(n):
    swimmer = pytest.importorskip("dm_control.suite.swimmer", reason=NO_DM_CONTROL)
    theirs, ours = swimmer.swimmer(n_links=n + 1).physics.model, in_water(joints=n)
    hinges = slice(3, None)
    for name in ("body_mass", "body_inertia", "body_ipos", "body_iquat"):
        np.testing.assert_allclose(
            getattr(ours, name)[1 : n + 2], getattr(theirs, name)[1 : n + 2], rtol=1e-12
        )
    for name in (
        "jnt_range",
        "jnt_pos",
        "jnt_axis",
        "jnt_solref",
        "jnt_solimp",
        "dof_armature",
        "dof_damping",
    ):
        np.testing.assert_allclose(
            getattr(ours, name)[hinges], getattr(theirs, name)[hinges], rtol=1e-12
        )
    np.testing.assert_array_equal(ours.actuator_gear, theirs.actuator_gear)


def test_links_may_differ_in_length():
    lengths = (0.05, 0.1, 0.2, 0.15)
    model = compiled(joints=3, lengths=lengths)
    np.testing.assert_allclose(model.body_mass[1:], 0.1 * np.array(lengths))
    boxes = model.geom_type == mujoco.mjtGeom.mjGEOM_BOX
    np.testing.assert_allclose(model.geom_size[boxes][:, 1], np.array(lengths) / 2)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    ends = -lengths[0] / 2 + np.cumsum(lengths)[:-1]
    np.testing.assert_allclose(data.xanchor[3:, 1], ends, err_msg="each hinge where two links meet")


def test_equal_lengths_by_tuple_or_number_are_one_body():
    assert morphology.model_hash(compiled(lengths=(0.1,) * 6)) == morphology.model_hash(
        compiled(lengths=0.1)
    )


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"joints": 0}, "joints = 0"),
        ({"joints": -1}, "joints"),
        ({"joints": 2.5}, "joints"),
        ({"joints": True}, "joints"),
        ({"joints": 201}, "joints"),
        ({"joints": "5"}, "joints"),
        ({"lengths": -0.1}, "lengths"),
        ({"lengths": (0.1,) * 5 + (-0.1,)}, "lengths"),
        ({"lengths": (0.1,) * 5}, "lengths has 5 entries"),
        ({"lengths": float("nan")}, "lengths"),
        ({"lengths": (0.1,) * 5 + (math.nan,)}, "lengths"),
        ({"lengths": (0.1,) * 5 + (math.inf,)}, "lengths"),
        ({"lengths": ("a",) * 6}, "lengths"),
        ({"mass": 0.0}, "mass"),
        ({"mass": math.nan}, "mass"),
        ({"gear": -1.0}, "gear"),
        ({"armature": math.nan}, "armature"),
        ({"timestep": 0.0}, "timestep"),
        ({"joint_limit": -1.0}, "joint_limit"),
        ({"joint_limit": 0.0}, "joint_limit"),
    ],
)
def test_bad_parameters_are_refused_in_one_line_that_names_the_field(bad, field):
    with pytest.raises(LanceletError, match=field) as error:
        morphology.make("swimmer", **bad)
    assert "\n" not in str(error.value)


def test_bad_parameters_are_refused_through_gym_make():
    with pytest.raises(LanceletError, match="joints = 0"):
        gym.make(SWIM, joints=0)
    with pytest.raises(LanceletError, match="lengths"):
        gym.make(SWIM, body={"name": "swimmer", "joints": 3, "lengths": [0.1, 0.1, -0.1, 0.1]})


def test_a_body_that_mujoco_cannot_compile_is_refused_in_one_line():
    with pytest.raises(LanceletError, match="does not compile") as error:
        gym.make(SWIM, body=morphology.make("swimmer", mass=1e-20))
    assert "\n" not in str(error.value)

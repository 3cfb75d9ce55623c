"""`field` changes a model parameter of some simulations as if their model had been compiled so."""

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from conftest import SWIM

from lancelet import LanceletError, envs, morphology
from lancelet.envs.simulation import SET_CONST

SWIMMER = morphology.make("swimmer", joints=3)
HEAVY = morphology.make("swimmer", joints=3, mass=0.02)
LONG = morphology.make("swimmer", joints=3, lengths=(0.1, 0.12, 0.1, 0.08))


def make(n, body=None, **options):
    env = gym.make_vec(SWIM, num_envs=n, body=body or SWIMMER, **options).unwrapped
    env.reset(seed=[6] * n)
    return env


def swim(env, steps=40):
    """The observations of each simulation under the same actions."""
    rows = []
    for step in range(steps):
        action = np.random.default_rng(step).uniform(-1, 1, 3)
        rows.append(env.step(np.tile(action, (env.num_envs, 1)))[0])
    return np.stack(rows, 1)


def test_viscosity_of_one_simulation_is_that_of_a_model_compiled_so():
    env = make(3)
    env.field("opt.viscosity")[1] = 0.05
    out = swim(env)
    np.testing.assert_array_equal(out[1], swim(make(1, viscosity=0.05))[0])
    np.testing.assert_array_equal(out[0], swim(make(1))[0])
    np.testing.assert_array_equal(out[2], out[0])
    assert (out[1] != out[0]).any()


def mass_and_inertia(env, i, body):
    """Turn simulation i into `body` by its masses and inertias."""
    model = body.build().compile()
    env.field("body_inertia")[i] = model.body_inertia
    env.field("body_mass")[i] = model.body_mass


@pytest.mark.parametrize(
    "others", [[SWIMMER], [SWIMMER, LONG, SWIMMER]], ids=["one body", "many bodies"]
)
def test_mass_of_one_simulation_is_that_of_a_model_compiled_so(others):
    env = make(3, others if len(others) > 1 else None)
    mass_and_inertia(env, 2, HEAVY)
    out = swim(env)
    np.testing.assert_array_equal(out[2], swim(make(1, HEAVY))[0])
    np.testing.assert_array_equal(out[1], swim(make(1, others[1 % len(others)]))[0])
    np.testing.assert_array_equal(out[0], swim(make(1))[0])


def test_viscosity_under_many_bodies():
    env = make(4, [SWIMMER, LONG])
    env.field("opt.viscosity")[[1, 2]] = [0.02, 0.05]
    out = swim(env)
    np.testing.assert_array_equal(out[0], swim(make(1))[0])
    np.testing.assert_array_equal(out[1], swim(make(1, LONG, viscosity=0.02))[0])
    np.testing.assert_array_equal(out[2], swim(make(1, viscosity=0.05))[0])
    np.testing.assert_array_equal(out[3], swim(make(1, LONG))[0])


def test_many_bodies_swim_as_each_alone():
    out = swim(make(5, [SWIMMER, LONG, HEAVY]))
    for i, body in enumerate([SWIMMER, LONG, HEAVY, SWIMMER, LONG]):
        np.testing.assert_array_equal(out[i], swim(make(1, body))[0])


@pytest.mark.parametrize("body", [SWIMMER, [SWIMMER, LONG]], ids=["one body", "many bodies"])
@pytest.mark.parametrize("name", ["opt.viscosity", "body_mass", "jnt_range", "opt.gravity"])
def test_a_field_reads_as_an_array_of_one_row_a_simulation(name, body):
    field = make(4, body).field(name)
    assert np.asarray(field).shape == field.values.shape and field.values.shape[0] == 4
    new = np.array(field) + np.arange(4).reshape(-1, *[1] * (field.values.ndim - 1))
    field[:] = new
    np.testing.assert_array_equal(field[:], new)
    with pytest.raises(ValueError, match="read-only"):
        field.values[0] = 0


INDICES = [
    1,
    [0, 2],
    slice(1, 3),
    np.array([True, False, True, False]),
    -1,
    ...,
    (1, 3),
    (slice(None), 2),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
@pytest.mark.parametrize("body", [SWIMMER, [SWIMMER, LONG]], ids=["one body", "many bodies"])
def test_any_index_writes_there_and_nowhere_else(index, body):
    env = make(4, body)
    want = np.array(env.field("body_mass"))
    want[index] = 0.03
    env.field("body_mass")[index] = 0.03
    np.testing.assert_array_equal(env.field("body_mass")[:], want)
    if env.sim.models:
        np.testing.assert_array_equal([model.body_mass for model in env.sim.models], want)
    total = want[:, 1:].sum(1)
    np.testing.assert_allclose(
        env.field("body_subtreemass")[:, 1], total, err_msg="derived constants follow"
    )


def test_a_changed_parameter_outlives_a_reset():
    env = make(2)
    env.field("opt.viscosity")[:] = 0.05
    env.reset(seed=[6, 6])
    np.testing.assert_array_equal(swim(env)[0], swim(make(1, viscosity=0.05))[0])


def test_the_single_environment_has_fields_too():
    env = gym.make(SWIM, body=SWIMMER).unwrapped
    env.field("opt.viscosity")[:] = 0.05
    env.reset(seed=6)
    seen = np.stack(
        [env.step(np.random.default_rng(step).uniform(-1, 1, 3))[0] for step in range(40)]
    )
    np.testing.assert_array_equal(seen, swim(make(1, viscosity=0.05))[0])


@pytest.mark.parametrize("name", ["viscosityy", "opt.viscosityy", "body_masss"])
def test_an_unknown_field_is_refused(name):
    with pytest.raises(LanceletError, match="unknown model field"):
        make(1).field(name)


def test_the_list_of_derived_constants_is_mujocos():
    assert frozenset(mujoco.MjModel._setconst_inputs) == SET_CONST
    assert {"body_mass", "body_inertia", "dof_armature", "body_pos", "geom_pos"} <= SET_CONST
    assert not {"jnt_range", "geom_friction"} & SET_CONST


def test_bodies_of_different_layouts_are_refused_in_one_line():
    with pytest.raises(LanceletError) as error:
        make(2, [SWIMMER, morphology.make("swimmer", joints=4)])
    assert "layout" in str(error.value) and "\n" not in str(error.value)


def test_an_empty_list_of_bodies_is_refused():
    with pytest.raises(LanceletError, match="empty"):
        envs.VectorEnv(1, "lancelet.envs.swim:Swim", body=[])


def test_in_place_arithmetic_on_a_row_writes_it():
    env = gym.make_vec(SWIM, num_envs=3).unwrapped
    before = env.field("body_mass")[1]
    env.field("body_mass")[1] *= 2
    assert np.allclose(env.field("body_mass")[1], 2 * before)
    assert np.allclose(env.field("body_mass")[0], before)


@pytest.mark.parametrize("body", [SWIMMER, [SWIMMER, LONG]], ids=["one body", "many bodies"])
@pytest.mark.parametrize(
    ("name", "value", "need"),
    [
        ("body_mass", np.nan, "must be finite"),
        ("body_mass", -1.0, "must be 0 or more"),
        ("body_mass", 0.0, "must be above 0"),
        ("body_inertia", 0.0, "must be above 0"),
        ("actuator_gear", np.inf, "must be finite"),
        ("opt.viscosity", -0.1, "must be 0 or more"),
        ("opt.viscosity", np.nan, "must be finite"),
        ("opt.gravity", [0.0, 0.0, np.nan], "must be finite"),
        ("dof_damping", -1.0, "must be 0 or more"),
        ("geom_size", -1.0, "must be 0 or more"),
        ("jnt_range", [1.0, -1.0], "lower end must not lie above"),
        ("opt.timestep", 0.01, "make a body with another"),
        ("opt.timestep", np.nan, "make a body with another"),
        ("jnt_type", 0, "change the body instead"),
        ("body_parentid", 99, "change the body instead"),
        ("body_mass", [1.0, 2.0], "cannot take"),
        ("body_mass", "heavy", "cannot take"),
        ("geom_contype", np.nan, "cannot take"),
    ],
)
def test_what_the_physics_cannot_carry_is_refused_and_nothing_is_written(name, value, need, body):
    env, plain = make(3, body), make(3, body)
    with pytest.raises(LanceletError, match=need) as error:
        env.field(name)[1] = value
    assert name in str(error.value)
    assert "\n" not in str(error.value)
    np.testing.assert_array_equal(env.field(name)[:], plain.field(name)[:])
    np.testing.assert_array_equal(swim(env), swim(plain))


def test_the_refusal_names_the_simulation_and_the_place():
    field = make(3).field("body_mass")
    values = field[:]
    values[2, 1] = -0.5
    with pytest.raises(LanceletError, match=r"field 'body_mass'\[2, 1\] = -0.5: must be 0 or more"):
        field[:] = values


def test_a_gain_that_the_integrator_cannot_carry_ends_its_own_episode_and_says_so():
    env, plain = make(3), make(3)
    env.field("actuator_gear")[1] *= 1e9
    action = np.random.default_rng(0).uniform(-1, 1, (3, 3))
    (seen, _, terminated, _, info), (want, *_) = env.step(action), plain.step(action)
    assert terminated.tolist() == [False, True, False]
    assert "blew up" in info["diverged_reason"][1]
    assert np.isfinite(seen).all()
    np.testing.assert_array_equal(seen[[0, 2]], want[[0, 2]])


@pytest.mark.parametrize("id", ["lancelet/Swim-v0", "lancelet/Crawl-v0", "lancelet/PointMaze-v0"])
def test_bodies_of_different_timesteps_are_refused_in_one_line(id):
    kind = {
        "lancelet/Swim-v0": "swimmer",
        "lancelet/Crawl-v0": "creature",
        "lancelet/PointMaze-v0": "ball",
    }[id]
    bodies = [morphology.make(kind), morphology.make(kind, timestep=0.001)]
    with pytest.raises(LanceletError, match=r"must share one timestep; theirs are 0.001, 0\.\d+ s"):
        gym.make_vec(id, num_envs=2, body=bodies)
    gym.make_vec(id, num_envs=2, body=bodies[1:] * 2).reset(seed=0)

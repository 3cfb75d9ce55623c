import math

import gymnasium as gym
import numpy as np
import pytest

from lancelet import LanceletError, morphology
from lancelet.envs import movement, muscles

REACH, HOLD = "lancelet/ArmReach-v0", "lancelet/ArmHold-v0"
BODY = morphology.make("arm")


def make(id=REACH, n=4, **options):
    options = {"max_episode_steps": -1, "nthread": 1, **options}
    return gym.make_vec(id, num_envs=n, **options).unwrapped


def drive(env, steps=50, seed=0, most=0.3, reset=None, resets=None):
    """Observations (steps + 1, n, 16) and hands (steps + 1, n, 2) under random excitations, rewards (steps, n)."""
    seen = [env.reset(seed=seed, options=reset)[0]]
    hands, rewards, random = [env.memory["hand"].copy()], [], np.random.default_rng(seed)
    for _ in range(steps):
        observation, reward, *_ = env.step(
            random.uniform(0, most, (env.num_envs, 6)).astype(np.float32)
        )
        seen.append(observation), rewards.append(reward), hands.append(env.memory["hand"].copy())
    return np.array(seen), np.array(hands), np.array(rewards)


def told(env):
    return env.task.metrics(env.sim, env.memory)


def test_it_starts_at_rest_within_the_limits_and_observes_hand_and_target():
    env = make(n=500)
    seen, _ = env.reset(seed=0)
    low, high = BODY.limits
    assert ((env.sim.qpos >= low) & (env.sim.qpos <= high)).all() and not env.sim.qvel.any()
    np.testing.assert_allclose(seen[:, 12:14], BODY.hand(env.sim.qpos), atol=1e-6)
    np.testing.assert_allclose(seen[:, 12:14], env.sim.site_xpos[:, 0, :2], atol=1e-6)
    assert not seen[:, 6:12].any() and np.isfinite(BODY.angles_at(seen[:, 14:])).all()
    distance = np.linalg.norm(seen[:, 14:] - seen[:, 12:14], axis=1)
    assert distance.mean() == pytest.approx(0.438, rel=0.05)  # m, of the published tasks
    np.testing.assert_allclose(told(env)["distance"], distance, atol=1e-6)
    assert env.memory["near_limit"].mean() == pytest.approx(
        0.13, abs=0.04
    )  # share of targets near a joint limit


def test_muscles_are_as_long_and_as_fast_as_the_spec_says():
    env = make(n=1)
    env.reset(options={"qpos": [1.0, 0.8], "qvel": [2.0, -1.0], "target": [0.2, 0.4]})
    (seen,) = env._observation
    d = np.array([1.0 - math.pi / 2, 0.8])
    biceps = 0.3329 - 0.03 * d[0] + (-0.016 - 5.7e-3 * d[1]) * d[1]
    assert seen[4] == pytest.approx((biceps - 0.204) / 0.137)
    assert seen[10] == pytest.approx((2.0 * -0.03 - 1.0 * (-0.016 - 2 * 5.7e-3 * d[1])) / 1.37)
    np.testing.assert_allclose(seen[14:], [0.2, 0.4], atol=1e-6)


def test_a_hold_keeps_the_start_against_a_force_nobody_sees():
    env = make(HOLD, n=500)
    seen, _ = env.reset(seed=0)
    np.testing.assert_array_equal(seen[:, 12:14], seen[:, 14:])
    force = env.memory["force"].copy()
    assert np.abs(force).max() <= 10 and force.std() == pytest.approx(20 / math.sqrt(12), rel=0.05)
    np.testing.assert_array_equal(make(REACH, n=500).reset(seed=0)[0][:, :14], seen[:, :14])
    _, pushed, _ = drive(env, steps=8, most=0.0)
    _, free, _ = drive(env, steps=8, most=0.0, reset={"force": [0.0, 0.0]})
    gives = ((pushed - free)[-1] * force).sum(1)[env.memory["near_limit"] == 0]
    assert (gives > 0).mean() > 0.98 and gives.mean() > 0.05, "limp arms give way to the force"


def test_reward_and_metrics_are_the_losses_of_the_spec():
    env = make(HOLD, n=5, weights=(1.5, 0.5, 2.0))
    _, hands, rewards = drive(env, steps=30)
    actions, random = [], np.random.default_rng(0)
    for _ in range(30):
        actions.append(random.uniform(0, 0.3, (5, 6)).astype(np.float32))
    e, u = env.memory["target"] - hands[1:], np.array(actions)
    p1, p2, effort = abs(e).mean(-1), 10 * (e**2).mean(-1), (u**2).mean(-1)
    np.testing.assert_allclose(rewards, -(1.5 * p1 + 0.5 * p2 + 2 * effort), rtol=1e-5)
    metrics, size = told(env), np.linalg.norm(e, axis=-1)
    for name, rows in {"P1": p1, "P2": p2, "E": effort, "mean_error": size}.items():
        np.testing.assert_allclose(metrics[name], rows.mean(0), rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(metrics["final_error"], size[-1])
    np.testing.assert_allclose(metrics["drift_max"], size.max(0))
    newton = np.linalg.norm(env.memory["force"], axis=1)
    np.testing.assert_allclose(metrics["drift_per_newton"], 1e3 * size[-1] / newton)
    third = np.diff(hands, 3, axis=0) / 0.01**3
    np.testing.assert_allclose(metrics["jerk"], np.sqrt((third**2).sum(-1).mean(0)), rtol=1e-6)


def test_an_episode_ends_after_fifty_steps_with_its_metrics():
    env = gym.make_vec(REACH, num_envs=2, nthread=1)
    env.reset(seed=0)
    for step in range(50):
        *_, terminated, truncated, info = env.step(np.full((2, 6), 0.1, np.float32))
        assert not terminated.any() and truncated.all() == (step == 49)
    names = {name for name in info["metrics"] if name[0] != "_"}
    assert {"mean_error", "final_error", "P1", "P2", "E", "jerk", "force_x"} <= names
    assert names >= set(movement.NAMES) - set(movement.DRIFT) and not names & set(movement.DRIFT)
    assert set(info["terms"]) >= {"P1", "P2", "E"}


def test_a_long_episode_outruns_the_path_that_is_kept():
    env = make(n=1)
    drive(env, steps=210, most=0.1)
    assert np.isfinite(told(env)["peak_speed"]).all() and env.memory["step"][0] == 210


def test_what_is_seen_and_felt_comes_late():
    now, _, _ = drive(make(HOLD))
    late, _, _ = drive(make(HOLD, vision_delay=0.07, proprioception_delay=0.02))
    for step in range(51):
        np.testing.assert_array_equal(late[step, :, 12:14], now[max(step - 7, 0), :, 12:14])
        np.testing.assert_array_equal(late[step, :, :12], now[max(step - 2, 0), :, :12])
    np.testing.assert_array_equal(late[..., 14:], now[..., 14:])


def test_noise_is_as_large_as_asked_new_every_step_and_comes_from_the_seed():
    exact, path, _ = drive(make(HOLD, n=50))
    noisy, same, _ = drive(make(HOLD, n=50, vision_noise=0.02, proprioception_noise=0.05))
    np.testing.assert_array_equal(same, path)
    difference = noisy - exact
    assert difference[..., 12:14].std() == pytest.approx(0.02, rel=0.03)
    assert (
        difference[..., :12].std() == pytest.approx(0.05, rel=0.03)
        and not difference[..., 14:].any()
    )
    assert abs(np.corrcoef(difference[:-1, :, 0].ravel(), difference[1:, :, 0].ravel())[0, 1]) < 0.1
    np.testing.assert_array_equal(
        drive(make(HOLD, n=50, vision_noise=0.02, proprioception_noise=0.05))[0], noisy
    )
    shaken, other, _ = drive(make(HOLD, n=50, motor_noise=0.1))
    assert np.abs(other - path)[-1].max() > 1e-3 and np.isfinite(shaken).all()


@pytest.mark.parametrize(("field", "gain", "power"), [("squared", 6.0, 2), ("linear", 12.0, 1)])
def test_fields_resist_the_hand_by_its_speed_or_its_square(field, gain, power):
    """The same path comes of a plain arm that is given the field's force by hand, step by step."""
    env, plain = make(HOLD, field=field, field_gain=gain), make(HOLD)
    _, hands, _ = drive(env, steps=20)
    plain.reset(seed=0)
    random, first = np.random.default_rng(0), plain.memory["force"].copy()
    for t in range(20):
        one, two = plain.sim.qpos[:, 0], plain.sim.qpos.sum(1)
        turn = plain.sim.qvel.sum(1)
        v = np.stack([-0.309 * np.sin(one) * plain.sim.qvel[:, 0] - 0.333 * np.sin(two) * turn,
                      0.309 * np.cos(one) * plain.sim.qvel[:, 0] + 0.333 * np.cos(two) * turn], axis=1)  # fmt: skip
        plain.memory["force"][:] = (
            first - gain * np.linalg.norm(v, axis=1, keepdims=True) ** (power - 1) * v
        )
        plain.sim.qfrc_applied[:] = plain.task._plant.forces(
            plain.memory, plain.sim.qpos, plain.sim.qvel
        )
        plain.sim.forward()
        plain.step(random.uniform(0, 0.3, (4, 6)).astype(np.float32))
        np.testing.assert_allclose(plain.memory["hand"], hands[t + 1], atol=1e-9)


def test_the_linear_fields_gain_varies_by_trial_and_the_squared_ones_does_not():
    linear, squared = make(n=300, field="linear"), make(n=300, field="squared")
    linear.reset(seed=0), squared.reset(seed=0)
    gains = linear.memory["gain"]
    assert (
        gains.min() >= 0
        and gains.max() <= 20
        and gains.std() == pytest.approx(20 / math.sqrt(12), rel=0.1)
    )
    assert (squared.memory["gain"] == 5).all()
    linear.reset(seed=0, options={"gain": 3.0})
    assert (told(linear)["gain"] == 3).all()
    with pytest.raises(LanceletError, match=r"options\['gain'\] = -1.0: must be from 0 to 85"):
        linear.reset(options={"gain": -1.0})
    with pytest.raises(LanceletError, match=r"options\['gain'\] = 200.0: must be from 0 to 85"):
        linear.reset(options={"gain": 200.0})
    make(field="linear", field_gain=[1, 2]).reset(seed=0)


@pytest.mark.parametrize("integrator", ["explicit", "mujoco"])
@pytest.mark.parametrize("dt_plant", [0.01, 0.002])
def test_a_linear_field_up_to_its_bound_slows_the_hand_and_a_steeper_one_is_refused(
    integrator, dt_plant
):
    options = {"integrator": integrator, "dt_plant": dt_plant, "field": "linear"}
    bound = muscles.steepest_drag(muscles.parameters(morphology.make("arm")), dt_plant)
    free, slowed = make(integrator=integrator, dt_plant=dt_plant), make(**options, field_gain=bound)
    speeds = {}
    for name, env in (("free", free), ("slowed", slowed)):
        env.reset(seed=0)
        speeds[name] = 0.0
        for step in range(50):
            action = np.random.default_rng(step).uniform(0, 1, (env.num_envs, 6))
            *_, info = env.step(action)
            assert "diverged" not in info
            speeds[name] = max(speeds[name], np.abs(env.sim.qvel).max())
    assert speeds["slowed"] < 0.7 * speeds["free"]
    with pytest.raises(
        LanceletError, match=rf"a plant step of {dt_plant:g} s carries a linear field of up to"
    ):
        make(**options, field_gain=1.01 * bound)


def test_a_squared_field_that_the_step_cannot_carry_ends_its_own_episodes_and_says_so():
    env = make(n=16, field="squared", field_gain=1000.0)
    env.reset(seed=0)
    ended = np.zeros(16, bool)
    for step in range(50):
        action = np.random.default_rng(step).uniform(0, 1, (16, 6))
        seen, _, _, _, info = env.step(action)
        assert np.isfinite(seen).all()
        if "diverged" in info:
            ended |= info["diverged"]
            assert all("blew up" in reason for reason in info["diverged_reason"][info["diverged"]])
    assert ended.all()


def test_a_load_slows_the_arm():
    _, free, _ = drive(make(HOLD), reset={"force": [10.0, 0.0]}, most=0.0, steps=20)
    _, laden, _ = drive(make(HOLD, load=2.0), reset={"force": [10.0, 0.0]}, most=0.0, steps=20)
    assert (
        np.linalg.norm(laden[-1] - laden[0], axis=1).mean()
        < 0.8 * np.linalg.norm(free[-1] - free[0], axis=1).mean()
    )


def test_a_rotation_turns_what_is_seen_about_the_start_and_moves_nothing():
    _, straight, _ = drive(make())
    env = make(rotation=math.pi / 2)
    seen, turned, _ = drive(env)
    x, y = (straight - straight[0]).transpose(2, 0, 1)
    np.testing.assert_allclose(turned - turned[0], np.stack([-y, x], axis=-1), atol=1e-12)
    np.testing.assert_allclose(seen[..., 12:14], turned, atol=1e-6)
    np.testing.assert_allclose(env.sim.site_xpos[:, 0, :2], straight[-1], atol=1e-9)


def test_reset_options_set_a_trial():
    env = make(HOLD, n=2)
    angles, force = (
        np.array([[0.5, 1.0], [1.0, 2.0]], np.float32),
        np.array([[1.0, 2.0], [3.0, -4.0]]),
    )
    seen, _ = env.reset(seed=0, options={"angles": angles, "force": force})
    np.testing.assert_allclose(env.sim.qpos, angles, atol=1e-7)
    np.testing.assert_allclose(seen[:, 14:], BODY.hand(angles), atol=1e-6)
    np.testing.assert_array_equal(told(env)["force_y"], [2.0, -4.0])
    seen, _ = env.reset(seed=0, options={"target": [0.1, 0.4]})
    np.testing.assert_allclose(seen[:, 14:], [[0.1, 0.4]] * 2, atol=1e-6)
    mask = np.array([True, False])
    env.reset(options={"angles": [0.2, 0.3], "reset_mask": mask})
    np.testing.assert_allclose(env.sim.qpos[0], [0.2, 0.3])
    assert env.sim.qpos[1, 0] != 0.2


@pytest.mark.parametrize(
    "options", [{}, {"motor_noise": 0.05, "vision_delay": 0.03, "dt_plant": 0.002, "rotation": 0.4}]
)
def test_rows_do_not_depend_on_their_number_or_threads(options):
    def run(n, nthread):
        env, random = make(HOLD, n=n, nthread=nthread, **options), np.random.default_rng(0)
        env.reset(seed=3)
        for _ in range(25):
            env.step(np.repeat(random.random((1, 6)), n, axis=0).astype(np.float32))
        return env.sim.state[0].copy(), {name: rows[0].copy() for name, rows in env.memory.items()}

    state, memory = run(1, 1)
    for n, nthread in ((3, 1), (64, 2)):
        other, rows = run(n, nthread)
        np.testing.assert_array_equal(other, state)
        for name in memory:
            np.testing.assert_array_equal(rows[name], memory[name], err_msg=name)


@pytest.mark.parametrize(
    "options", [{}, {"body": {"name": "arm-native"}}, {"integrator": "mujoco"}]
)
def test_a_saved_state_goes_on_to_the_bit(options):
    env, other, random = make(HOLD, **options), make(HOLD, **options), np.random.default_rng(0)
    env.reset(seed=1), other.reset(seed=9)
    actions = random.random((30, 4, 6)).astype(np.float32)
    for action in actions[:10]:
        env.step(action)
    other.load_state_dict(env.state_dict())
    for action in actions[10:]:
        one, two = env.step(action), other.step(action)
        np.testing.assert_array_equal(one[0], two[0])
        np.testing.assert_array_equal(one[1], two[1])


def test_a_finished_simulation_waits_while_the_others_move():
    env = gym.make_vec(
        HOLD, num_envs=2, nthread=1, max_episode_steps=20, autoreset_mode="Disabled"
    ).unwrapped
    env.reset(seed=0)
    u = np.full((2, 6), 0.2, np.float32)
    for _ in range(10):
        env.step(u)
    env.reset(options={"reset_mask": np.array([False, True])})
    for _ in range(10):
        *_, truncated, _ = env.step(u)
    assert truncated.tolist() == [True, False]
    still = env.sim.qpos[0].copy(), env.memory["path"][0].copy(), env.sim.qpos[1].copy()
    env.step(u)
    np.testing.assert_array_equal(env.sim.qpos[0], still[0])
    np.testing.assert_array_equal(env.memory["path"][0], still[1])
    assert (env.sim.qpos[1] != still[2]).any()


def test_arms_of_different_bodies_stand_side_by_side():
    bodies = [BODY, BODY.loaded(2.0), morphology.make("arm", forearm_length=0.28)]
    mixed, _, _ = drive(
        make(HOLD, n=3, body=bodies), reset={"angles": [0.8, 1.2], "force": [5.0, 5.0]}
    )
    for k, body in enumerate(bodies):
        env = make(HOLD, n=3, body=body)
        alone, _, _ = drive(env, reset={"angles": [0.8, 1.2], "force": [5.0, 5.0]})
        np.testing.assert_allclose(alone[:, k], mixed[:, k], atol=1e-6)


def test_the_native_arm_is_another_plant_that_observes_the_same():
    native = make(HOLD, body={"name": "arm-native"}, dt_plant=0.002)
    reset = {"angles": [1.0, 1.0], "force": [0.0, 0.0]}
    seen, hands, _ = drive(native, reset=reset)
    start, ours, _ = drive(make(HOLD, dt_plant=0.002), reset=reset)
    assert np.abs(hands - ours)[-1].max() > 0.01
    np.testing.assert_allclose(seen[0, :, 12:], start[0, :, 12:])
    np.testing.assert_allclose(native.sim.site_xpos[:, 0, :2], hands[-1], atol=1e-9)
    np.testing.assert_array_equal(native.memory["muscles"][:, 0], native.sim.act)
    assert (native.memory["muscles"][:, 6] >= 0).all() and native.memory["muscles"][:, 6].max() > 10


def test_single_and_vector_environment_agree():
    single, vector = gym.make(HOLD), make(HOLD, n=1)
    one, _ = single.reset(seed=5)
    two, _ = vector.reset(seed=5)
    for _ in range(50):
        np.testing.assert_array_equal(one, two[0])
        one, reward, _, truncated, info = single.step(np.full(6, 0.2, np.float32))
        two, rewards, *_ = vector.step(np.full((1, 6), 0.2, np.float32))
        assert reward == rewards[0]
    assert truncated and info["metrics"]["final_error"] == told(vector)["final_error"][0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dt_plant": 0.003}, "dt_plant = 0.003: must go into the control step of 0.01 s"),
        ({"dt_plant": 0.02}, "dt_plant = 0.02: must be from 0.0001 to 0.01"),
        ({"vision_delay": -0.01}, "vision_delay = -0.01: must be from 0 to 1"),
        (
            {"proprioception_delay": 0.025},
            "proprioception_delay = 0.025: must be a whole number of steps of 0.01 s",
        ),
        ({"vision_noise": -1.0}, "vision_noise = -1.0: must be from 0 to 1"),
        ({"force": math.nan}, "force = nan: must be from 0 to 100"),
        ({"field": "cubic"}, "unknown field 'cubic'"),
        ({"field": "linear", "field_gain": -1.0}, "field_gain = -1.0: must be from 0 to 1000"),
        (
            {"field": "squared", "field_gain": (1.0, 2.0, 3.0)},
            "field_gain = .*: must be a number or a range",
        ),
        ({"field_gain": 3.0}, "field_gain = 3.0: there is no field"),
        ({"load": -1.0}, "load = -1.0: must be from 0 to 20"),
        ({"rotation": math.inf}, "rotation = inf: must be from -3.14"),
        ({"weights": (1.0, 2.0)}, "weights = .*: needs three numbers"),
        ({"weights": (1.0, 2.0, -1.0)}, "weights = -1.0: must be from 0"),
        ({"integrator": "rk4"}, "unknown integrator 'rk4'"),
        ({"body": morphology.make("swimmer")}, "needs an Arm"),
        ({"body": [BODY, morphology.make("arm-native")]}, "no mix"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(options, says):
    with pytest.raises(LanceletError, match=says) as error:
        gym.make(REACH, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"target": [0.7, 0.0]},
            r"options\['target'\] = \[0.7, 0.0\]: out of reach; must be from 0.141 to 0.642 m",
        ),
        ({"target": [0.05, 0.05]}, "out of reach"),
        (
            {"target": [[0.1, 0.4]] * 3},
            r"options\['target'\] has shape \(3, 2\): must be \(2,\) or \(1, 2\)",
        ),
        (
            {"angles": [-0.1, 1.0]},
            r"options\['angles'\] = .*: must be within the joint limits, rad: 0 to 2.356",
        ),
        ({"angles": [1.0, 3.0]}, r"0 to 2.705 \(elbow\)"),
        ({"qpos": [3.0, 1.0]}, r"options\['qpos'\]"),
        ({"force": [math.nan, 0.0]}, r"options\['force'\] = .*: must be from -100 to 100"),
        ({"force": [0.0, 500.0]}, r"options\['force'\] = .*: must be from -100 to 100"),
        ({"gain": 1.0}, r"options\['gain'\]: there is no field"),
        ({"angle": [1.0, 1.0]}, "did you mean angles"),
    ],
)
def test_trials_that_cannot_be_are_refused(options, says):
    with pytest.raises(LanceletError, match=says) as error:
        gym.make(REACH).reset(seed=0, options=options)
    assert "\n" not in str(error.value)

import gymnasium as gym
import numpy as np
import pytest

from lancelet import LanceletError, morphology

ID = "lancelet/BlimpAltitude-v0"


def fly(steps=700, kp=9.0, ki=0.0, kd=14.0, n=1, reset=None, **options):
    """Heights (n, steps) that the LiDAR told, errors, and the metrics at the end, under a PID law."""
    env = gym.make_vec(ID, num_envs=n, max_episode_steps=steps, **options)
    seen, _ = env.reset(seed=0, options=reset)
    before, total, heights = 0.0, 0.0, []
    for _ in range(steps):
        error = seen[:, :1].astype(float)
        total = np.clip(total + 0.1 * error, -10, 10)
        action = kp * error + kd * (error - before) / 0.1 + ki * total
        before = error
        seen, reward, _, _, info = env.step(action.astype(np.float32))
        np.testing.assert_allclose(reward, -np.abs(seen[:, 0]), atol=1e-6)
        heights.append(env.unwrapped.sim.qpos[:, 0].copy())
    return np.array(heights).T, {
        name: rows for name, rows in info["metrics"].items() if name[0] != "_"
    }


def test_the_observation_is_the_error_or_four_numbers():
    env = gym.make(ID, reference=1.5)
    np.testing.assert_allclose(env.reset(seed=0)[0], [0.5], atol=1e-6)
    env = gym.make(ID, reference=1.5, track="rl")
    np.testing.assert_allclose(env.reset(seed=0)[0], [1.0, 0.0, 0.5, 0.0], atol=1e-6)
    heights = [1.0]
    for _ in range(30):
        seen, *_ = env.step(np.float32([5.0]))
        heights.append(seen[0])
        assert seen[1] == pytest.approx((heights[-1] - heights[-2]) / 0.1, abs=1e-4)
        assert seen[3] == pytest.approx(0.1 * sum(1.5 - h for h in heights[1:]), abs=1e-4)
    assert heights[-1] > 1.2


def test_the_lidar_tells_whole_centimetres_within_its_range():
    env = gym.make_vec(ID, num_envs=3, reference=1.0)
    env.reset(seed=0, options={"qpos": np.array([[1.234], [0.02], [13.0]])})
    seen, *_ = env.step(np.zeros((3, 1), np.float32))
    np.testing.assert_allclose(1.0 - seen[:, 0], [1.23, 0.1, 12.0], atol=1e-6)


def test_heavy_sinks_and_light_rises_and_the_ballast_command_hovers():
    heights, _ = fly(
        60, kp=0, kd=0, n=3, reference=1.0, reset={"ballast": np.array([3.0, 0.0, -3.0])}
    )
    assert (
        heights[0, -1] < 0.9
        and heights[1, -1] == pytest.approx(1.0, abs=1e-6)
        and heights[2, -1] > 1.1
    )
    body = morphology.make("blimp", down_efficiency=0.7, exponent=1.2)
    env = gym.make_vec(ID, num_envs=2, body=body, reference=1.0).unwrapped
    env.reset(seed=0, options={"ballast": np.array([3.0, -3.0])})
    for _ in range(300):  # drifts while the motors start, then drag stops it
        env.step(np.float32([[3.0], [-3.0]]))
    assert (np.abs(env.sim.qvel[:, 0]) < 0.01).all()


def test_a_pd_loop_has_the_limit_cycle_of_the_real_blimp():
    """Gate G2: rise 2.5 to 3.5 s, +-4 to 8 cm, period 6 to 10 s; gone without dead zone and quantisation."""
    heights, metrics = fly(reference=((0.0, 1.0), (0.1, 2.0)))
    assert 2.5 <= metrics["rise_time"][0] <= 3.5
    assert 0.04 <= metrics["oscillation"][0] <= 0.08
    tail = heights[0, 300:] - heights[0, 300:].mean()
    spectrum = np.abs(np.fft.rfft(tail * np.hanning(len(tail)), 8192))
    assert 6 <= 819.2 / spectrum.argmax() <= 10
    ideal = morphology.make("blimp", dead_zone=0.0, pwm=0.0, lidar_step=0.0)
    assert fly(reference=2.0, body=ideal)[1]["oscillation"][0] < 1e-3


def test_pd_droops_under_ballast_and_pid_does_not():
    """Gate G2: droop 0.30 to 0.36 m under 3 units; PID under 1 cm, overshoot 10 to 25 cm."""
    assert 0.30 <= fly(reference=1.5, ballast=3.0)[1]["steady_state_error"][0] <= 0.36
    steps = ((0.0, 1.0), (50.0, 1.5), (100.0, 1.0))
    _, metrics = fly(1700, ki=0.75, reference=steps, ballast=3.0)
    assert metrics["steady_state_error"][0] < 0.01 and 0.10 <= metrics["overshoot"][0] <= 0.25


def test_a_profile_moves_the_reference_and_the_next_step_is_measured():
    env = gym.make(ID, reference=((0.0, 1.0), (1.0, 1.4))).unwrapped
    assert env.reset(seed=0)[0][0] == pytest.approx(0.0, abs=1e-6)
    errors = [env.step(np.float32([0.0]))[0][0] for _ in range(15)]
    np.testing.assert_allclose(errors, [0.0] * 9 + [0.4] * 6, atol=1e-6)
    assert env.vector.memory["origin"][0] == pytest.approx(1.0)
    assert env.vector.memory["since"][0] == pytest.approx(0.6)
    assert env.vector.sim.mocap_pos[0, 0, 2] == pytest.approx(1.4)


def test_drawn_references_and_ballast_come_from_the_seed():
    def draw(seed, **options):
        env = gym.make_vec(ID, num_envs=4, **options).unwrapped
        env.reset(seed=seed)
        return env.memory

    reference = draw(0)["reference"]
    assert len(set(reference)) == 4 and reference.min() >= 0.4 and reference.max() <= 1.8
    np.testing.assert_array_equal(reference, draw(0)["reference"])
    assert draw(1)["reference"][0] == reference[1]
    ballast = draw(0, ballast=None)["ballast"]
    assert len(set(ballast)) == 4 and np.abs(ballast).max() <= 4
    assert len(set(draw(0, reference="recording")["levels"][:, 3])) == 4


def test_randomised_blimps_differ_in_every_quantity_that_has_a_range():
    env = gym.make_vec(ID, num_envs=3, randomise=True, reference=1.5).unwrapped
    env.reset(seed=0)
    plant = env.task._plant(env.memory)
    for name, (low, high) in morphology.ranges(env.task.default_body()).items():
        assert (
            len(set(plant[name])) == 3 and plant[name].min() >= low and plant[name].max() <= high
        ), name
    np.testing.assert_array_equal(env.field("dof_damping").values[:, 0], plant["damping"])
    geom = env.sim.model.geom("envelope").id
    np.testing.assert_array_equal(env.field("geom_fluid").values[:, geom, 1], plant["drag"] / 2)
    speeds = []
    for _ in range(40):
        env.step(np.full((3, 1), 8.0, np.float32))
        speeds.append(env.sim.qvel[:, 0].copy())
    assert len(set(speeds[-1])) == 3


def test_radio_gaps_hold_the_command():
    env = gym.make(ID, gaps=True, reference=1.0).unwrapped
    env.reset(seed=0)
    heard = []
    for step in range(80):
        env.step(np.float32([step / 10]))
        heard.append(env.vector.memory["commands"][0, 0])
    want = np.arange(80) / 10
    for late in (38, 39, 78, 79):
        want[late] = want[late // 40 * 40 + 37]
    np.testing.assert_allclose(heard, want, atol=1e-6)


@pytest.mark.slow
def test_rows_do_not_depend_on_their_number_or_threads():
    actions = np.random.default_rng(0).uniform(-10, 10, 60).astype(np.float32)

    def run(n, nthread):
        env = gym.make_vec(ID, num_envs=n, nthread=nthread, randomise=True, ballast=None).unwrapped
        env.reset(seed=3)
        for action in actions:
            env.step(np.full((n, 1), action))
        return env.sim.state[0].copy(), {name: rows[0].copy() for name, rows in env.memory.items()}

    state, memory = run(1, 1)
    for n, nthread in ((2, 1), (7, 2), (64, 1), (256, 2)):
        other, rows = run(n, nthread)
        np.testing.assert_array_equal(other, state)
        for name in memory:
            np.testing.assert_array_equal(rows[name], memory[name], err_msg=name)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"reference": 0.05}, "reference = 0.05: must be from 0.1 to 12"),
        ({"reference": float("nan")}, "reference = nan"),
        ({"reference": ((0.0, 1.0), (5.0, 20.0))}, "reference = 20.0: must be from 0.1 to 12"),
        ({"reference": ((1.0, 1.0),)}, "times must begin at 0"),
        ({"reference": ((0.0, 1.0), (0.0, 1.2))}, "times must begin at 0 and rise"),
        ({"reference": (1.0, 2.0)}, "a profile is a list of pairs"),
        ({"reference": "sine"}, "must be metres, a profile or 'recording'"),
        ({"ballast": 11.0}, "ballast = 11.0: must be from -10 to 10"),
        ({"track": "both"}, "track 'both'"),
        ({"body": morphology.make("swimmer")}, "needs a Blimp"),
        ({"body": morphology.make("blimp", timestep=0.03)}, "must go into the control step"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(options, says):
    with pytest.raises(LanceletError, match=says) as error:
        gym.make(ID, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "options", [{"reference": 30.0}, {"ballast": np.nan}, {"reference": np.ones(3)}]
)
def test_reset_options_are_checked(options):
    with pytest.raises(LanceletError, match="options"):
        gym.make(ID).reset(options=options)

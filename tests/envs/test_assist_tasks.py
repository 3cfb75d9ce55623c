"""The assistive tasks: what is seen, how the robot is moved, what is rewarded, and when an episode ends and how."""

import math

import gymnasium as gym
import numpy as np
import pytest
from conftest import ASSIST

from lancelet import LanceletError, morphology
from lancelet.assist_layout import COMMANDS, FORCE_UNIT, JOINTS, OBSERVATION_SIZE, SEEN
from lancelet.envs.assist import base, drawer, drink, feed, fetch, reach, scratch, wipe
from lancelet.envs.assist.scene import Forces
from lancelet.morphology.manipulator import ARM_RANGE, SERVOS
from lancelet.morphology.person import POSTURE

NAMES = list(ASSIST)
LONG_SECONDS = {
    "reach": 180,
    "scratch": 180,
    "feed": 180,
    "drink": 180,
    "wipe": 240,
    "fetch": 300,
    "drawer": 180,
}
REST = [joint.rest for joint in POSTURE.values()]


def make(name="scratch", n=2, **options):
    options = {"max_episode_steps": -1, "nthread": 1, **options}
    return gym.make_vec(ASSIST[name], num_envs=n, **options).unwrapped


def started(name="scratch", n=1, reset=None, **options):
    """An environment that has been reset, without noise in posture: at rest unless `reset` says otherwise."""
    env = make(name, n, **options)
    env.reset(seed=0, options={"posture": REST} | (reset or {}))
    return env


def column(env, joint):
    """Column of a joint in `qpos`."""
    return env.sim.model.joint(joint).qposadr[0]


def actions(env, **commands):
    """Actions (n, 8) of constant commands, shares of the largest speeds."""
    action = np.zeros(env.action_space.shape, np.float32)
    for name, share in commands.items():
        action[:, list(COMMANDS).index(name)] = share
    return action


def part(observation, name):
    return observation[..., SEEN[name]]


def bring_tip(env, place):
    """Put the tip somewhere, (n, 3) m in the robot's frame, as it would go there: by base, arm and lift.

    Set-points follow at the next step. What the arm cannot reach the base goes sideways.
    """
    sim = env.sim
    sim.qvel[:] = 0
    forwards, left, up = (place - sim.sensor("tip")).T
    yaw = sim.qpos[:, column(env, "base_yaw")]
    arm = sim.qpos[:, column(env, "arm")]
    extended = np.clip(arm - left, *ARM_RANGE)
    aside = left + (extended - arm)
    arm[:] = extended
    sim.qpos[:, column(env, "base_x")] += np.cos(yaw) * forwards - np.sin(yaw) * aside
    sim.qpos[:, column(env, "base_y")] += np.sin(yaw) * forwards + np.cos(yaw) * aside
    sim.qpos[:, column(env, "lift")] += up
    sim.forward()
    env.memory["is_fresh"][:] = True


def bring_tip_before_target(env, distance):
    place, facing = env.task.target(env.sim, env.memory)
    bring_tip(env, place + distance * facing)


def touching(env, force, peak=None):
    """Forces of a step in which the tool touches the person."""
    forces = np.full(env.num_envs, float(force))
    peaks = forces if peak is None else np.full(env.num_envs, float(peak))
    on_person = np.stack([np.zeros_like(forces), np.zeros_like(forces), -forces], axis=1)
    return Forces(on_person=on_person, peak=peaks, tool=forces, tool_peak=peaks)


def wait(env, steps):
    """Results of steps without a command, until all have ended."""
    results = []
    for _ in range(steps):
        _, reward, terminated, _, info = env.step(actions(env))
        results.append((reward, terminated, info))
        if terminated.all():
            break
    return results


def metrics(env):
    return env.episode_metrics()


# -- spaces and time ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_spaces_and_time(name):
    env = gym.make_vec(ASSIST[name], num_envs=2, nthread=1)
    assert env.single_observation_space.shape == (OBSERVATION_SIZE,)
    assert env.single_action_space.shape == (len(COMMANDS),)
    assert env.unwrapped.control_dt == pytest.approx(0.05)
    assert env.unwrapped.max_episode_steps * 0.05 == pytest.approx(LONG_SECONDS[name])
    short = gym.make_vec(ASSIST[name], num_envs=2, nthread=1, episode="short")
    assert short.unwrapped.max_episode_steps * 0.05 == pytest.approx(25)
    assert gym.make(ASSIST[name], episode="short").unwrapped.vector.max_episode_steps == 500


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("episode", ["long", "short"])
def test_nothing_touches_the_person_at_the_start_and_all_starts_differ(name, episode):
    env = make(name, n=100, episode=episode)
    observation, _ = env.reset(seed=0)
    assert np.isfinite(observation).all()
    assert not env.sim.sensor("person_force").any()
    assert len(np.unique(part(observation, "target"), axis=0)) == 100
    places = env.sim.qpos[:, [column(env, joint) for joint in ("base_x", "base_y", "base_yaw")]]
    spread = env.task.short_spread if episode == "short" else env.task.long_spread
    middle = [env.task.start.x, env.task.start.y, env.task.start.yaw]
    assert (np.abs(places - middle) <= spread).all()
    assert (places.std(0) > 0.4 * np.array(spread)).all(), "they fill the width"
    postures = env.sim.qpos[:, [column(env, joint) for joint in POSTURE]]
    low = [joint.low for joint in POSTURE.values()]
    high = [joint.high for joint in POSTURE.values()]
    assert (postures >= low).all() and (postures <= high).all()


def test_one_seed_is_one_episode_whatever_else_is_given():
    env = make()
    env.reset(seed=3)
    drawn = env.sim.qpos.copy()
    places = env.memory["along"].copy()
    env.reset(seed=3, options={"posture": REST})
    robot = slice(column(env, "base_x"), column(env, "base_yaw") + 1)
    np.testing.assert_array_equal(env.sim.qpos[:, robot], drawn[:, robot])
    np.testing.assert_array_equal(env.memory["along"], places)


# -- what is seen -------------------------------------------------------------------------------------------------------


def test_what_belongs_to_the_robot_is_seen_alike_wherever_it_stands_and_looks():
    starts = np.array([[0.2, 0.9, 0.0], [0.1, 1.2, 0.7], [-0.3, 1.0, -2.0], [1.4, 0.2, 3.0]])
    env = make(n=4)
    observation, _ = env.reset(seed=0, options={"posture": REST, "start": starts})
    for name in ("joints", "lead", "base_speed", "tip", "tip_axis", "tip_up", "force"):
        rows = part(observation, name)
        np.testing.assert_allclose(rows, rows[:1].repeat(4, 0), atol=1e-6, err_msg=name)


def test_what_stands_in_the_room_is_seen_from_the_robots_heading():
    """Turned back into the room, the itch is where it was, however the robot stands."""
    starts = np.array([[0.2, 0.9, 0.0], [0.1, 1.2, 0.7], [-0.3, 1.0, -2.0], [1.4, 0.2, 3.0]])
    env = make(n=4)
    env.reset(seed=0, options={"posture": REST, "start": starts})
    env.memory["along"][:] = 0.6
    env.memory["around"][:] = 0.3
    observation = env.task.observe(env.sim, env.memory)
    itch = part(observation, "tip") + part(observation, "target")
    out = part(observation, "target_axis")
    person = part(observation, "person")
    facing = part(observation, "person_facing")
    for row, (x, y, yaw) in enumerate(starts):
        turn = np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
        np.testing.assert_allclose(turn @ person[row] + [x, y], [0, 0], atol=1e-6)
        np.testing.assert_allclose(turn @ facing[row], [1, 0], atol=1e-6)
        itch_in_room = [*(turn @ itch[row, :2] + [x, y]), itch[row, 2]]
        first = [*(itch[0, :2] + starts[0, :2]), itch[0, 2]]
        np.testing.assert_allclose(itch_in_room, first, atol=1e-6)
        np.testing.assert_allclose([*(turn @ out[row, :2]), out[row, 2]], out[0], atol=1e-6)


@pytest.mark.parametrize("yaw", [0.0, 0.4])
def test_the_force_on_the_person_is_seen_from_the_heading(yaw):
    """An arm that pushes sideways pushes along the robot's own -y, whichever way the robot looks."""
    env = started(reset={"start": [0.2, 0.9, yaw]})
    # The tool level, before the outer side of the forearm.
    env.sim.qpos[:, column(env, "wrist_pitch")] = 0.0
    env.memory["around"][:] = math.pi / 2
    env.sim.forward()
    bring_tip_before_target(env, 0.02)
    force = np.zeros(3)
    for _ in range(60):
        observation, *_ = env.step(actions(env, arm=0.3))
        force = part(observation, "force")[0] * FORCE_UNIT
        if np.linalg.norm(force) > 1.0:
            break
    assert force[1] < -0.5
    in_room = env.sim.sensor("person_force")[0]
    turn = env.sim.qpos[0, column(env, "base_yaw")]
    x = math.cos(turn) * force[0] - math.sin(turn) * force[1]
    y = math.sin(turn) * force[0] + math.cos(turn) * force[1]
    np.testing.assert_allclose([x, y, force[2]], in_room, atol=1e-4)


def test_joints_are_observed_in_the_order_of_the_commands():
    env = started()
    env.sim.qpos[:, column(env, "lift")] = 0.7
    env.sim.qpos[:, column(env, "arm")] = 0.3
    for number, name in enumerate(("wrist_yaw", "wrist_pitch", "wrist_roll")):
        env.sim.qpos[:, column(env, name)] = 0.1 + 0.1 * number
    env.sim.forward()
    seen = part(env.task.observe(env.sim, env.memory), "joints")[0]
    expected = {"lift": 0.7, "arm": 0.3, "wrist_yaw": 0.1, "wrist_pitch": 0.2, "wrist_roll": 0.3}
    for name, value in expected.items():
        assert seen[JOINTS.index(name)] == pytest.approx(value), name


# -- how it is moved ----------------------------------------------------------------------------------------------------


def test_set_points_begin_where_the_joints_are():
    env = make(n=3)
    observation, _ = env.reset(seed=0)
    before = part(observation, "joints")
    assert not part(observation, "lead").any()
    observation, *_ = env.step(actions(env))
    np.testing.assert_allclose(part(observation, "joints"), before, atol=1e-4)
    np.testing.assert_allclose(part(observation, "lead"), 0, atol=0.02)


def test_set_points_begin_where_a_given_start_state_puts_the_joints():
    """The core writes ``qpos`` after the task's reset: set-points of the drawn state would pull the arm back."""
    env = make(n=3)
    env.reset(seed=0)
    qpos = env.sim.qpos.copy()
    qpos[:, column(env, "base_y")] = 1.3
    qpos[:, column(env, "arm")] = 0.4
    qpos[:, column(env, "lift")] = [0.3, 0.5, 1.0]
    qpos[:, column(env, "wrist_pitch")] = -1.2
    observation, _ = env.reset(seed=1, options={"qpos": qpos})
    before = part(observation, "joints")
    assert before[0, JOINTS.index("arm")] == pytest.approx(0.4)
    assert not part(observation, "lead").any()
    for _ in range(20):
        observation, *_ = env.step(actions(env))
    np.testing.assert_allclose(part(observation, "joints"), before, atol=1e-3)


def test_the_person_holds_the_posture_of_a_given_start_state():
    env = make(n=1)
    env.reset(seed=0)
    qpos = env.sim.qpos.copy()
    qpos[:, column(env, "elbow")] = 1.8
    env.reset(seed=0, options={"qpos": qpos})
    wait(env, 20)
    assert env.sim.qpos[0, column(env, "elbow")] == pytest.approx(1.8, abs=0.01)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_of_one_is_the_largest_speed(name):
    env = started("drawer", reset={"start": [0.0, 1.6, 0.3]})
    steps = 20
    drawn = env.sim.actuator_length[0].copy()
    heading = env.sim.qpos[0, column(env, "base_yaw")]
    for _ in range(steps):
        env.step(actions(env, **{name: 0.5}))
    travel = 0.5 * COMMANDS[name] * steps * env.control_dt
    tolerance = 0.1 * travel
    if name == "drive":
        x = env.sim.qpos[0, column(env, "base_x")]
        assert x == pytest.approx(travel * math.cos(heading), abs=tolerance)
    elif name == "turn":
        turned = env.sim.qpos[0, column(env, "base_yaw")] - heading
        assert turned == pytest.approx(travel, abs=tolerance)
    else:
        actuator = env.sim.model.actuator(name).id
        moved = env.sim.actuator_length[0, actuator] - drawn[actuator]
        span = SERVOS[name].range[1] - drawn[actuator]
        assert moved == pytest.approx(min(travel, span), abs=tolerance)


def test_an_action_leaves_the_persons_servos_alone():
    env = started()
    wait(env, 1)
    held = [env.sim.model.actuator(name).id for name in POSTURE]
    before = env.sim.ctrl[:, held].copy()
    env.step(np.ones(env.action_space.shape))
    np.testing.assert_array_equal(env.sim.ctrl[:, held], before)
    np.testing.assert_allclose(before[0], REST)


def test_finished_simulations_are_not_moved():
    env = make(n=3, autoreset_mode="Disabled")
    env.reset(seed=0)
    env.step(actions(env))
    bring_tip_before_target(env, 0.5)
    env.memory["is_unsafe"][1] = True
    *_, terminated, _, _ = env.step(actions(env, lift=0.5))
    assert terminated.tolist() == [False, True, False]
    state = env.sim.state.copy()
    env.step(actions(env, lift=0.5))
    np.testing.assert_array_equal(env.sim.state[1], state[1])
    assert (env.sim.state[[0, 2]] != state[[0, 2]]).any(1).all()


def test_a_robot_on_wheels_with_four_slides_sees_and_does_the_same():
    body = morphology.make("manipulator", base="wheels", arm="four-slide", tool="scratcher")
    env = started(n=2, body=body)
    planar = started(n=2)
    seen = env.task.observe(env.sim, env.memory)
    expected = planar.task.observe(planar.sim, planar.memory)
    np.testing.assert_allclose(seen, expected, atol=2e-3)
    for _ in range(20):
        seen, *_ = env.step(actions(env, arm=0.5, drive=-0.5))
        expected, *_ = planar.step(actions(planar, arm=0.5, drive=-0.5))
    np.testing.assert_allclose(part(seen, "joints"), part(expected, "joints"), atol=0.01)
    np.testing.assert_allclose(part(seen, "person"), part(expected, "person"), atol=0.05)


# -- forces and reward --------------------------------------------------------------------------------------------------


def test_the_peak_of_a_step_is_no_less_than_what_its_end_shows():
    env = started(n=8, force_limit=200.0)
    random = np.random.default_rng(0)
    bring_tip_before_target(env, 0.01)
    peaks = []
    ends = []
    for _ in range(60):
        action = actions(env, lift=-0.4, arm=0.4)
        action += random.uniform(-0.5, 0.5, action.shape)
        observation, *_ = env.step(action)
        peaks.append(part(observation, "peak_force")[:, 0] * FORCE_UNIT)
        ends.append(np.linalg.norm(part(observation, "force"), axis=1) * FORCE_UNIT)
        shown = np.linalg.norm(env.sim.sensor("person_force"), axis=1)
        np.testing.assert_allclose(ends[-1], shown, rtol=1e-5, atol=1e-6)
    peaks = np.array(peaks)
    ends = np.array(ends)
    assert (peaks >= ends * (1 - 1e-6)).all()
    touches = ends > 1.0
    assert touches.sum() > 20
    assert (peaks[touches] > 1.2 * ends[touches]).any(), "between control steps it is higher"
    np.testing.assert_allclose(metrics(env)["worst_force"], peaks.max(0), rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_reward_is_the_sum_of_its_terms(name):
    env = make(name, n=8)
    env.reset(seed=0)
    random = np.random.default_rng(0)
    if name not in ("fetch", "drawer"):
        bring_tip_before_target(env, 0.01)
    for _ in range(40):
        action = random.uniform(-1, 1, env.action_space.shape)
        live = env._live.copy()
        _, reward, _, _, info = env.step(action)
        total = sum(info["terms"][term] for term in info["terms"] if not term.startswith("_"))
        np.testing.assert_allclose(reward[live], total[live], atol=1e-9)


def test_reward_is_what_the_page_says():
    env = started()
    action = actions(env, drive=0.5, lift=-0.25)
    before = np.linalg.norm(part(env.task.observe(env.sim, env.memory), "target")[0])
    observation, *_, info = env.step(action)
    after = np.linalg.norm(part(observation, "target")[0])
    terms = info["terms"]
    assert terms["progress"][0] == pytest.approx(20 * (before - after), abs=1e-5)
    assert terms["action"][0] == pytest.approx(-0.002 * (0.25 + 0.0625))
    assert terms["near"][0] == terms["force"][0] == terms["success"][0] == terms["unsafe"][0] == 0
    env.memory["peak_force"][:] = 12.0
    _, terms = env.task.reward(env.sim, env.memory, actions(env))
    assert terms["force"][0] == pytest.approx(-0.02 * 4)


@pytest.mark.parametrize(("name", "paid"), [("reach", 0.1), ("feed", 0.1), ("scratch", 0.0)])
def test_staying_near_is_paid_where_it_is_what_is_asked(name, paid):
    env = started(name)
    bring_tip_before_target(env, 0.02)
    *_, info = env.step(actions(env))
    assert info["terms"]["near"][0] == pytest.approx(paid)


def test_going_to_the_target_and_back_gains_nothing():
    env = started("reach")
    total = 0.0
    for share in (1.0, -1.0):
        for _ in range(10):
            *_, info = env.step(actions(env, lift=0.5 * share, drive=0.5 * share))
            total += info["terms"]["progress"][0]
    for _ in range(10):
        *_, info = env.step(actions(env))
        total += info["terms"]["progress"][0]
    assert abs(total) < 0.05


# -- how episodes end ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("fetch", "drawer")])
def test_too_large_a_force_in_any_substep_ends_the_episode_as_unsafe(name):
    env = started(name, force_limit=1.0)
    # The tool begins inside the person: they push each other apart at once.
    place, facing = env.task.target(env.sim, env.memory)
    bring_tip(env, place - 0.03 * facing)
    _, reward, terminated, truncated, info = env.step(actions(env))
    assert terminated.all() and not truncated.any()
    assert info["metrics"]["unsafe"][0] == 1 and info["metrics"]["success"][0] == 0
    assert info["metrics"]["worst_force"][0] > 1.0
    assert info["terms"]["unsafe"][0] == base.UNSAFE_REWARD
    assert "diverged" not in info
    assert np.isfinite(reward).all()


def test_success_in_an_unsafe_step_is_none():
    env = started("reach", force_limit=1.0)
    place, facing = env.task.target(env.sim, env.memory)
    bring_tip(env, place - 0.03 * facing)
    env.memory["dwell"][:] = reach.DWELL
    *_, info = env.step(actions(env))
    assert info["metrics"]["unsafe"][0] == 1 and info["metrics"]["success"][0] == 0
    assert info["terms"]["success"][0] == 0


def test_reach_is_done_after_half_a_second_near_the_place():
    env = started("reach")
    bring_tip_before_target(env, 0.02)
    results = wait(env, 30)
    assert len(results) == 10
    reward, _, info = results[-1]
    assert info["metrics"]["success"][0] == 1 and info["metrics"]["unsafe"][0] == 0
    assert info["terms"]["success"][0] == base.SUCCESS_REWARD and reward[0] > 9


def test_reach_counts_from_the_start_again_after_a_break():
    env = started("reach")
    bring_tip_before_target(env, 0.02)
    wait(env, 8)
    bring_tip_before_target(env, 0.05)
    wait(env, 1)
    assert env.memory["dwell"][0] == 0
    bring_tip_before_target(env, 0.02)
    assert len(wait(env, 30)) == 10


def strokes_of(env, offsets, force=2.0, peak=None):
    """Strokes counted while the tip visits places along the forearm, m from the itch."""
    for offset in offsets:
        itch, _ = env.task.target(env.sim, env.memory)
        along = -env.sim.sensor("forearm_back")
        bring_tip(env, itch + offset * along)
        env.task.judge(env.sim, env.memory, touching(env, force, peak))
    return env.memory["strokes"][0]


def test_strokes_count_from_the_first_touch_on_each_ten_millimetres():
    assert strokes_of(started(), [0.0]) == 0, "the first touch only begins"
    assert strokes_of(started(), [0.0, 0.011]) == 1
    assert strokes_of(started(), [0.0, 0.009]) == 0, "too short"
    assert strokes_of(started(), [0.0, 0.006, 0.012, 0.018, 0.024]) == 2
    assert strokes_of(started(), [0.012, -0.012] * 6) == 11


def test_strokes_beside_the_itch_too_hard_or_in_the_air_do_not_count():
    assert strokes_of(started(), [0.03, 0.05, 0.07]) == 0
    assert strokes_of(started(), [0.0, 0.02, 0.0], force=0.1) == 0
    assert strokes_of(started(), [0.0, 0.02, 0.0], force=2.0, peak=11.0) == 0


def test_ten_strokes_are_enough():
    env = started()
    strokes_of(env, [0.012, -0.012] * 5)
    assert env.memory["strokes"][0] == 9 and not env.memory["success"][0]
    assert env.memory["event_reward"][0] == pytest.approx(9 * scratch.STROKE_REWARD)
    strokes_of(env, [0.012])
    assert env.memory["success"][0]
    assert metrics(env)["strokes"][0] == 10 and metrics(env)["success"][0] == 1
    seen = part(env.task.observe(env.sim, env.memory), "progress")[0]
    assert seen[0] == pytest.approx(1.0)


def test_feeding_is_done_after_a_second_at_the_mouth():
    env = started("feed")
    bring_tip_before_target(env, 0.02)
    results = wait(env, 40)
    assert len(results) == 20
    assert results[-1][2]["metrics"]["success"][0] == 1


def test_a_spoon_that_is_tilted_fails():
    env = started("feed")
    env.sim.qpos[:, column(env, "wrist_roll")] = 1.1 * feed.LARGEST_TILT
    env.sim.forward()
    (result,) = wait(env, 5)
    assert result[2]["metrics"]["failed"][0] == 1 and result[2]["metrics"]["success"][0] == 0
    assert result[2]["terms"]["unsafe"][0] == base.UNSAFE_REWARD
    env = started("feed")
    env.sim.qpos[:, column(env, "wrist_roll")] = 0.9 * feed.LARGEST_TILT
    env.sim.forward()
    wait(env, 5)
    assert not env.memory["has_failed"][0]


def test_food_is_not_eaten_under_force():
    env = started("feed")
    bring_tip_before_target(env, 0.02)
    env.task.judge(env.sim, env.memory, touching(env, 4.0))
    assert env.memory["dwell"][0] == pytest.approx(0.05)
    env.task.judge(env.sim, env.memory, touching(env, 6.0))
    assert env.memory["dwell"][0] == 0


def tilted_cup(distance, roll, yaw=0.0):
    """A cup whose rim is at some distance before the mouth, tilted by the wrist's roll."""
    env = started("drink")
    env.sim.qpos[:, column(env, "wrist_roll")] = roll
    env.sim.qpos[:, column(env, "wrist_yaw")] = yaw
    env.sim.forward()
    bring_tip_before_target(env, distance)
    return env


def test_drinking_is_done_after_two_seconds_of_a_tilted_cup():
    # High over the lips, so that the cup does not touch the face.
    env = tilted_cup(0.022, drink.DRINKING_TILT)
    for _ in range(39):
        env.task.judge(env.sim, env.memory, touching(env, 0.0))
    assert not env.memory["success"][0]
    env.task.judge(env.sim, env.memory, touching(env, 0.0))
    assert env.memory["success"][0] and not env.memory["has_failed"][0]


def test_an_upright_cup_is_not_drunk_from():
    env = tilted_cup(0.022, 0.0)
    env.task.judge(env.sim, env.memory, touching(env, 0.0))
    assert env.memory["dwell"][0] == 0 and not env.memory["has_failed"][0]


def test_a_cup_is_spilt_where_it_is_tilted_away_from_the_mouth():
    env = tilted_cup(0.2, 1.2 * drink.SPILLING_TILT)
    (result,) = wait(env, 3)
    assert result[2]["metrics"]["failed"][0] == 1
    near = tilted_cup(0.04, 1.2 * drink.SPILLING_TILT)
    wait(near, 3)
    assert not near.memory["has_failed"][0]


def wipe_patches(env, count, force=3.0, peak=None):
    """Let the sponge visit the patches that the task shows, with a force on it."""
    for _ in range(count):
        place, _ = env.task.target(env.sim, env.memory)
        bring_tip(env, place)
        env.task.judge(env.sim, env.memory, touching(env, force, peak))


def test_wiping_covers_patches_and_is_done_at_sixty_percent():
    env = started("wipe")
    coverage = [0.0]
    for _ in range(wipe.PATCH_COUNT):
        wipe_patches(env, 1)
        coverage.append(metrics(env)["coverage"][0])
        if env.memory["success"][0]:
            break
    assert (np.diff(coverage) > 0).all(), "the target is always a patch that is not wiped yet"
    assert coverage[-2] < wipe.SHARE <= coverage[-1]
    wiped = env.memory["is_wiped"].sum()
    assert env.memory["event_reward"][0] == pytest.approx(wipe.PATCH_REWARD * wiped)


@pytest.mark.parametrize(("force", "peak"), [(0.5, None), (9.0, None), (3.0, 9.0)])
def test_a_sponge_that_presses_too_little_or_too_much_does_not_wipe(force, peak):
    env = started("wipe")
    wipe_patches(env, 5, force, peak)
    assert metrics(env)["coverage"][0] == 0


def put_box(env, place):
    """Put the box somewhere, (3,) m in the room."""
    first = column(env, "box")
    env.sim.qpos[:, first : first + 3] = place
    env.sim.forward()


def grasp_in_room(env):
    return env.sim.site_xpos[0, env.sim.model.site("tip").id].copy()


def test_a_box_counts_as_taken_where_it_is_lifted_in_the_grasp():
    env = started("fetch")
    table_level = fetch.TABLE_HEIGHT + fetch.BOX_HALF
    bring_tip(env, env.sim.sensor("object"))
    env.task.judge(env.sim, env.memory, touching(env, 0.0))
    assert not env.memory["is_held"][0], "it still stands on the table"
    target, _ = env.task.target(env.sim, env.memory)
    np.testing.assert_allclose(target, env.sim.sensor("object"))
    bring_tip(env, env.sim.sensor("tip") + np.array([0, 0, 0.1]))
    put_box(env, grasp_in_room(env))
    assert grasp_in_room(env)[2] > table_level + fetch.LIFTED
    env.task.judge(env.sim, env.memory, touching(env, 0.0))
    assert env.memory["is_held"][0] and metrics(env)["taken"][0] == 1
    assert env.memory["event_reward"][0] == fetch.TAKEN_REWARD
    target, _ = env.task.target(env.sim, env.memory)
    np.testing.assert_allclose(target, fetch.hand(env.sim))
    assert not env.memory["success"][0]


def test_a_box_that_was_taken_is_delivered_at_the_hand():
    env = started("fetch")
    hand = fetch.hand(env.sim) + np.array([0, 0, 0.1])
    bring_tip(env, hand)
    put_box(env, grasp_in_room(env))
    env.memory["was_taken"][:] = False
    env.task.judge(env.sim, env.memory, touching(env, 0.0))
    held_high = grasp_in_room(env)[2] > fetch.TABLE_HEIGHT + fetch.BOX_HALF + fetch.LIFTED
    assert env.memory["success"][0] == held_high
    env.memory["was_taken"][:] = True
    env.task.judge(env.sim, env.memory, touching(env, 0.0))
    assert env.memory["success"][0]


def test_a_box_that_falls_to_the_floor_fails():
    env = started("fetch")
    put_box(env, [2.2, 1.0, 0.5])
    results = wait(env, 40)
    assert results[-1][2]["metrics"]["failed"][0] == 1
    assert results[-1][2]["metrics"]["success"][0] == 0


def test_a_box_left_alone_stays_on_its_table():
    env = make("fetch", n=20)
    env.reset(seed=0)
    before = env.sim.sensor("object").copy()
    wait(env, 40)
    np.testing.assert_allclose(env.sim.sensor("object"), before, atol=2e-3)
    assert not env.memory["has_failed"].any()


def test_a_drawer_is_open_at_two_hundred_millimetres():
    env = started("drawer")
    handle = column(env, "drawer")
    total = 0.0
    for opening in (0.05, 0.15, 0.199, 0.201):
        env.sim.qpos[:, handle] = opening
        env.sim.forward()
        env.memory["event_reward"][:] = 0
        env.task.judge(env.sim, env.memory, touching(env, 0.0))
        total += env.memory["event_reward"][0]
        assert env.memory["success"][0] == (opening > drawer.OPEN)
    assert total == pytest.approx(base.PROGRESS_REWARD * 0.201)
    assert metrics(env)["opening"][0] == pytest.approx(0.201)


# -- what may be given --------------------------------------------------------------------------------------------------


def test_a_posture_may_be_given_for_all_for_each_or_for_every_episode():
    first = [0.1, -0.2, 0.3, 0.2, 1.6]
    second = [-0.1, 0.2, 0.1, 0.1, 1.2]
    env = make(n=2)
    columns = [column(env, name) for name in POSTURE]
    env.reset(seed=0, options={"posture": first})
    np.testing.assert_allclose(env.sim.qpos[:, columns], [first, first])
    env.reset(seed=0, options={"posture": [first, second]})
    np.testing.assert_allclose(env.sim.qpos[:, columns], [first, second])
    env = make(n=2, posture=first)
    for _ in range(2):
        env.reset()
        np.testing.assert_allclose(env.sim.qpos[:, columns], [first, first])


def test_a_start_may_be_given():
    env = make(n=2)
    env.reset(seed=0, options={"start": [[0.3, 1.0, 0.5], [-0.2, 1.1, -3.0]]})
    columns = [column(env, name) for name in ("base_x", "base_y", "base_yaw")]
    np.testing.assert_allclose(env.sim.qpos[:, columns], [[0.3, 1.0, 0.5], [-0.2, 1.1, -3.0]])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"episode": "medium"}, "unknown episode 'medium'"),
        ({"force_limit": 0.0}, "force_limit = 0: must be > 0"),
        ({"force_limit": 0}, "force_limit = 0: must be"),
        ({"force_limit": -1.0}, "force_limit = -1.0: must be"),
        ({"force_limit": math.nan}, "force_limit = nan: must be"),
        ({"force_limit": math.inf}, "force_limit = inf: must be"),
        ({"force_limit": "20"}, "force_limit = '20': must be"),
        ({"posture": (0, 0, 0, 0)}, "needs 5 angles, of neck_pitch"),
        ({"posture": 1.0}, "posture = 1.0"),
        ({"posture": "rest!"}, "posture"),
        ({"posture": (0, 0, 0, 0, 2.5)}, "posture: elbow = 2.5: must be from 1 to 1.9"),
        ({"posture": (0, 0, 0, math.nan, 1.2)}, "posture: shoulder_abduction = nan: must be"),
        ({"body": {"name": "ball"}}, "needs a MobileManipulator"),
        ({"body": {"name": "manipulator"}}, "has tool = 'none': must be 'scratcher'"),
        ({"body": {"name": "manipulator", "tool": "sword"}}, "unknown tool 'sword'"),
        (
            {"body": {"name": "manipulator", "tool": "scratcher", "base_mass": math.nan}},
            "base_mass",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused_in_one_line(options, said):
    with pytest.raises(LanceletError, match=said) as error:
        make(**options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"posture": [0, 0, 0, 0, 2.5]}, r"posture: elbow.*must be from 1 to 1\.9"),
        ({"posture": [0, 0, -1.0, 0, 1.5]}, "posture: shoulder_flexion.*must be from"),
        ({"posture": [0, 0, 0, math.nan, 1.5]}, "posture.*not finite"),
        ({"posture": [0, 0, 0]}, "posture.*shape"),
        ({"posture": "rest"}, "posture"),
        ({"start": [0.0, 0.0, 0.0]}, "the robot would stand in the chair"),
        ({"start": [0.3, 0.5, 1.0]}, "the robot would stand in the chair"),
        ({"start": [[1.5, 0.0, 0.0], [0.0, -0.4, 0.0]]}, "the robot would stand in the chair"),
        ({"start": [math.inf, 0.9, 0.0]}, "start.*not finite"),
        ({"start": [0.2, 0.9]}, "start.*shape"),
        ({"strat": [0.2, 0.9, 0.0]}, "did you mean start"),
    ],
)
def test_start_states_that_make_no_sense_are_refused_in_one_line(options, said):
    env = make()
    with pytest.raises(LanceletError, match=said) as error:
        env.reset(seed=0, options=options)
    assert "\n" not in str(error.value)


def test_an_action_that_is_no_number_is_refused_and_nothing_moves():
    env = started()
    before = env.sim.state.copy()
    action = actions(env)
    action[0, 3] = math.nan
    with pytest.raises(LanceletError, match="is not finite"):
        env.step(action)
    np.testing.assert_array_equal(env.sim.state, before)


# -- what the physics cannot do -----------------------------------------------------------------------------------------


def test_a_robot_that_is_put_inside_the_person_ends_its_own_episode():
    env = make(n=3)
    env.reset(seed=0)
    qpos = env.sim.qpos.copy()
    inside = 1
    qpos[inside, [column(env, "base_x"), column(env, "base_y")]] = 0.0
    env.reset(seed=0, options={"qpos": qpos})
    *_, terminated, _, info = env.step(actions(env))
    assert terminated.tolist() == [False, True, False]
    is_diverged = "diverged" in info and info["diverged"][inside]
    assert is_diverged or info["metrics"]["unsafe"][inside] == 1
    assert np.isfinite(env.task.observe(env.sim, env.memory)[[0, 2]]).all()


def test_a_simulation_without_room_for_its_contacts_ends_and_no_other_notices(monkeypatch):
    full = 1
    plenty = make(n=3)
    with monkeypatch.context() as patched:
        # Enough for robot and person apart; not for a robot that stands in the person.
        patched.setattr(base, "ARENA", 24 * 1024)
        small = make(n=3)
    observations = {}
    for env in (plenty, small):
        env.reset(seed=0)
        bring_tip_before_target(env, 0.02)
        if env is small:
            env.sim.qpos[full, [column(env, "base_x"), column(env, "base_y")]] = 0.0
            env.sim.forward()
        for step in range(20):
            observation, _, terminated, _, info = env.step(actions(env, arm=0.2))
            if env is small and step == 0:
                assert terminated.tolist() == [False, True, False]
                assert info["diverged"].tolist() == [False, True, False]
                assert "arena too small" in info["diverged_reason"][full]
            observations[env is small, step] = observation
    for step in range(20):
        others = observations[True, step][[0, 2]]
        np.testing.assert_array_equal(others, observations[False, step][[0, 2]])

"""The safe stop: every fault of the signal halts every task whatever steers it, and lets it go on afterwards."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import ASSIST

from lancelet import controllers, morphology
from lancelet.assist_layout import JOINTS
from lancelet.emg_layout import CHANNEL_COUNT, GESTURE_COUNT, GESTURES, RAIL, REST
from lancelet.envs.assist import faults
from lancelet.envs.assist.faults import FAULTS, NO_FAULT, judge

FAULT_BEGIN = 1.5
"""s after the reset"""
AFTER = 12
"""control steps that are looked at after the stop"""
MOST_MOTION = 0.001
"""m that tip and base may still move after the first step of a stop"""
KINDS = [name for name in FAULTS if name != "none"]


def one_hot(gestures):
    return np.eye(GESTURE_COUNT, dtype=np.float32)[gestures]


class PerfectLabels:
    """What the muscles do, in the stride that is shown."""

    def __init__(self, env):
        self.env = env

    def __call__(self, observation):
        return one_hot(self.env.memory["gesture"])


class Stubborn:
    """The same gesture for ever, one of two: in the three modes these are six axes at full speed."""

    def __init__(self, env):
        names = ("wrist_flexion", "wrist_abduction")
        self.gestures = np.array([GESTURES.index(names[i % 2]) for i in range(env.num_envs)])

    def __call__(self, observation):
        return one_hot(self.gestures)


class AtRandom:
    """Scores without sense, some of which are held."""

    def __init__(self, env):
        self.random = np.random.default_rng(0)
        self.env = env
        self.count = 0

    def __call__(self, observation):
        if self.count % 12 == 0:
            self.scores = self.random.uniform(0, 1, (self.env.num_envs, GESTURE_COUNT))
            self.scores[:, REST] = 0.0
        self.count += 1
        return self.scores.astype(np.float32)


class Policy:
    """A network as a learner leaves it: it has never seen a fault."""

    def __init__(self, env):
        torch.manual_seed(0)
        self.network = controllers.make("mlp", env)
        with torch.no_grad():
            for weight in self.network.parameters():
                weight.mul_(3.0)
        self.state = self.network.initial_state(env.num_envs)

    def __call__(self, observation):
        tensors = {name: torch.as_tensor(rows) for name, rows in observation.items()}
        with torch.no_grad():
            action, self.state = self.network(tensors, self.state)
        return action.numpy()


STEERING = {
    "labels": PerfectLabels,
    "stubborn": Stubborn,
    "random": AtRandom,
    "policy": Policy,
}


def make(task, fault, n=6, signal="features", **options):
    disturbances = {"fault": fault, "fault_begin": FAULT_BEGIN, **options.pop("disturbances", {})}
    return gym.make_vec(
        ASSIST[task],
        num_envs=n,
        nthread=1,
        max_episode_steps=-1,
        autoreset_mode="Disabled",
        input="emg",
        signal=signal,
        users=(1, 2, 3),
        disturbances=disturbances,
        **options,
    ).unwrapped


def places(env):
    """Places (n, 6) of tip and base in the room, m."""
    tip = env.sim.site_xpos[:, env.sim.model.site("tip").id]
    base = env.sim.site_xpos[:, env.sim.model.site("centre").id]
    return np.concatenate([tip, base], axis=1)


def run_into_fault(env, steering):
    """Steer until the fault has stopped the robot for a while.

    Returns:
        Largest way of tip or base after the first step of the stop, m, and the largest speed before, m/s, of each
        simulation whose episode has not ended before.
    """
    observation, _ = env.reset(seed=0)
    # All three modes are tried.
    env.memory["mode"][:] = np.arange(env.num_envs) // 2 % 3
    steer = steering(env)
    before = places(env)
    speed = np.zeros(env.num_envs)
    live = np.ones(env.num_envs, bool)
    is_stopped = False
    while not is_stopped:
        is_stopped = (env.memory["fault"] != NO_FAULT)[live].all()
        observation, _, terminated, _, info = env.step(steer(observation))
        live &= ~terminated
        assert live.any(), "the fault comes in time"
        now = places(env)
        if not is_stopped:
            speed = np.maximum(speed, np.linalg.norm(now - before, axis=1) / 0.05)
        before = now
    # That was the first step of the stop.
    assert not env.memory["moved_by"][live].any()
    assert (info["terms"]["fault"][live] != NO_FAULT).all()
    halt = places(env)
    way = np.zeros(env.num_envs)
    for _ in range(AFTER):
        observation, *_ = env.step(steer(observation))
        assert not env.memory["moved_by"][live].any()
        ways = np.linalg.norm((places(env) - halt).reshape(-1, 2, 3), axis=2)
        way = np.maximum(way, ways.max(1))
    assert np.isfinite(np.concatenate([rows.ravel() for rows in observation.values()])).all()
    assert (env.memory["stops"][live] == AFTER + 1).all()
    return way[live], speed[live]


def marked(task):
    """The task's name; all but one are marked as slow."""
    return task if task == "reach" else pytest.param(task, marks=pytest.mark.slow)


@pytest.mark.parametrize("fault", KINDS)
@pytest.mark.parametrize("task", [marked(task) for task in ASSIST])
@pytest.mark.parametrize("steering", STEERING)
def test_every_fault_stops_every_task_whatever_steers(fault, task, steering):
    env = make(task, fault)
    way, speed = run_into_fault(env, STEERING[steering])
    assert len(way) > 0 and (way < MOST_MOTION).all(), way.max()
    assert FAULTS.index(fault) in env.memory["stopped_by"]
    if steering == "stubborn":
        assert speed.max() > 0.15, "some of them were fast"


@pytest.mark.parametrize("fault", KINDS)
def test_voltages_are_judged_as_levels_are(fault):
    env = make("reach", fault, n=3, signal="emg")
    way, _ = run_into_fault(env, Stubborn)
    assert (way < MOST_MOTION).all()
    assert (env.memory["stopped_by"] == FAULTS.index(fault)).all()


def test_a_robot_on_wheels_stops_as_its_motors_can():
    body = morphology.make("manipulator", base="wheels", arm="four-slide", tool="scratcher")
    way, _ = run_into_fault(make("reach", "nan", body=body), Stubborn)
    assert way.max() < 0.02, "1.5 N m of each wheel brake 0.2 m/s within 20 mm"


def test_after_a_fault_gestures_must_be_earned_anew():
    env = make("reach", "flat", n=1, disturbances={"fault_seconds": 0.3})
    env.reset(seed=0)
    drive = one_hot([GESTURES.index("wrist_extension")])
    moves = []
    stops = []
    for _ in range(60):
        *_, info = env.step(drive)
        moves.append(env.memory["moved_by"][0, 0])
        stops.append(info["terms"]["fault"][0] != NO_FAULT)
    first = stops.index(True)
    assert stops[first : first + 8] == [True] * 6 + [False] * 2
    assert moves[first - 1] == 1.0
    assert moves[first : first + 7] == [0.0] * 7, "and a stride to earn it"
    assert moves[first + 7] == pytest.approx(0.15)


def test_the_gripper_holds_in_a_stop():
    set_points = np.arange(12.0).reshape(2, 6)
    lengths = set_points - 0.004
    halted = faults.halted(set_points, lengths, np.array([True, False]))
    np.testing.assert_array_equal(halted[1], set_points[1])
    gripper = JOINTS.index("gripper")
    assert halted[0, gripper] == set_points[0, gripper]
    others = [column for column in range(6) if column != gripper]
    np.testing.assert_array_equal(halted[0, others], lengths[0, others])
    assert faults.is_braking(np.array([0, 1, 4, 5])).tolist() == [False, True, True, False]


@pytest.mark.slow
def test_a_held_box_stays_where_it_is_during_a_long_stop():
    env = make("fetch", "missing", n=1, disturbances={"fault_begin": 40.0})
    observation, _ = env.reset(seed=0)
    steer = PerfectLabels(env)
    while env.memory["fault"][0] == NO_FAULT:
        env.step(steer(observation))
    assert env.memory["is_held"][0]
    heights = []
    for _ in range(200):
        env.step(steer(observation))
        heights.append(env.sim.sensor("object")[0, 2])
    assert abs(heights[-1] - heights[4]) < 0.001
    assert env.memory["is_held"][0]


# -- which strides are faulty -------------------------------------------------------------------------------------------


def stride(**changes):
    """Power (1, 64) and delay (1,) of a good stride, but for `changes`: channel numbers -> value."""
    power = np.full((1, CHANNEL_COUNT), 0.05)
    for value, channels in changes.values():
        power[0, channels] = value
    return power, np.zeros(1)


@pytest.mark.parametrize(
    ("value", "count", "expected"),
    [
        (0.0, 8, "none"),
        (0.0, 9, "flat"),
        (RAIL**2, 8, "none"),
        (RAIL**2, 9, "saturated"),
        (np.nan, 1, "nan"),
        (np.inf, 1, "nan"),
        (0.08**2, 64, "none"),
    ],
)
def test_a_few_lost_channels_are_no_fault(value, count, expected):
    power, delay = stride(lost=(value, np.arange(count)))
    assert FAULTS[judge(power, delay)[0]] == expected


def test_late_is_more_than_150_ms():
    power = np.full((4, CHANNEL_COUNT), 0.05)
    delay = np.array([0.0, 0.15, 0.151, np.inf])
    names = [FAULTS[number] for number in judge(power, delay)]
    assert names == ["none", "none", "late", "missing"]

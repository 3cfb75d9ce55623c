"""The operator who steers by gestures: sees late, reacts late, moves one axis at a time, corrects, and succeeds."""

import itertools

import gymnasium as gym
import numpy as np
import pytest
from conftest import ASSIST

from lancelet.assist_layout import CONTROL_PERIOD, JOINTS, OBSERVATION_SIZE, SEEN
from lancelet.emg_layout import GESTURE_COUNT, GESTURES, REST
from lancelet.envs.assist import operator as script
from lancelet.envs.assist import plans
from lancelet.envs.assist.commands import TRIPOD

SEED = 100
EPISODES = 3
QUICK = ("reach", "feed", "drawer")
LONGEST = {
    "reach": 20,
    "feed": 20,
    "drawer": 30,
    "drink": 40,
    "scratch": 60,
    "fetch": 90,
    "wipe": 200,
}
"""task -> s within which the operator is done with perfect labels"""


def make(name, n=1, **options):
    return gym.make_vec(
        ASSIST[name],
        num_envs=n,
        nthread=1,
        autoreset_mode="Disabled",
        input="gesture",
        **options,
    ).unwrapped


def one_hot(gestures):
    return np.eye(GESTURE_COUNT, dtype=np.float32)[gestures]


def marked(name):
    return name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)


def run(env, steps=6000, seed=SEED):
    """Steer by the shown labels until all episodes have ended.

    Returns:
        Metric -> (n,) at each episode's end, and memory row -> (steps, n, ...) of some rows.
    """
    observation, _ = env.reset(seed=seed)
    live = np.ones(env.num_envs, bool)
    metrics = {}
    rows = {"gesture": [], "intent": [], "accepted": [], "operator_state": [], "moved_by": []}
    for _ in range(steps):
        observation, _, terminated, truncated, info = env.step(observation["intent"])
        for name, values in rows.items():
            values.append(env.memory[name].copy())
        ended = live & (terminated | truncated)
        for name, values in info.get("metrics", {}).items():
            if not name.startswith("_"):
                metrics.setdefault(name, np.full(env.num_envs, np.nan))[ended] = values[ended]
        live &= ~ended
        if not live.any():
            break
    return metrics, {name: np.array(values) for name, values in rows.items()}


@pytest.mark.parametrize("name", [marked(name) for name in ASSIST])
def test_with_perfect_labels_every_task_is_done(name):
    metrics, rows = run(make(name, EPISODES))
    assert metrics["success"].tolist() == [1.0] * EPISODES
    assert not metrics["unsafe"].any() and not metrics["failed"].any()
    assert (metrics["time"] < LONGEST[name]).all()
    assert (metrics["online_accuracy"] == 1).all()
    moving = (rows["moved_by"] != 0).sum(2)
    assert moving.max() == 1, "one axis at a time"


@pytest.mark.parametrize("name", [marked(name) for name in ("reach", "feed", "drawer", "scratch")])
def test_slips_are_seen_and_corrected(name):
    metrics, rows = run(make(name, EPISODES, slips=0.15))
    assert (metrics["success"] == 1).all()
    slipped = (rows["gesture"] != rows["intent"]) & (rows["intent"] != REST)
    assert slipped.any()
    assert metrics["wrong_time"].sum() > 0


def test_fine_speed_alone_will_do_but_takes_longer():
    both, _ = run(make("reach", EPISODES))
    fine, _ = run(make("reach", EPISODES, speeds="fine"))
    assert (fine["success"] == 1).all()
    assert (fine["time"] > 1.5 * both["time"]).all()


def test_wrong_labels_cost_time_but_not_the_task():
    metrics, _ = run(make("reach", EPISODES, label_noise=0.05, smoothing=3))
    assert (metrics["success"] == 1).all()


# -- how it acts --------------------------------------------------------------------------------------------------------


def presses(rows):
    """Gesture and length in strides of each press of all simulations."""
    lengths = []
    gestures = []
    for column in rows["gesture"].T:
        edges = np.flatnonzero(np.diff(np.concatenate([[REST], column, [REST]])))
        for first, last in itertools.pairwise(edges):
            if column[first] != REST:
                lengths.append(last - first)
                gestures.append(column[first])
    return np.array(gestures), np.array(lengths)


def test_no_press_is_shorter_than_200_ms_and_the_tripod_is_held_long_enough():
    _, rows = run(make("drawer", 4, slips=0.1))
    gestures, lengths = presses(rows)
    assert lengths.min() * CONTROL_PERIOD >= script.SHORTEST_PRESS - 1e-9
    tripods = lengths[gestures == TRIPOD]
    assert 0.4 < tripods.max() * CONTROL_PERIOD < 1.2


def test_what_is_seen_is_200_ms_old():
    env = make("reach", 1)
    env.reset(seed=SEED)
    present = []
    for _ in range(40):
        env.step(one_hot(env.memory["gesture"]))
        present.append(env.task._see(env.sim, env.memory))
    seen = env.memory["view"][:, 0]
    np.testing.assert_array_equal(seen, present[-1 - script.VIEW_STEPS])
    assert pytest.approx(0.2) == script.VIEW_LAG


def test_reactions_take_180_ms_and_vary():
    n = 20_000
    memory = {
        "operator_key": np.random.default_rng(0).integers(0, 2**64, size=n, dtype=np.uint64),
        "operator_draws": np.zeros(n, np.int64),
    }
    robot = make("reach").task._gestures.operator
    reactions = robot._reaction(memory)
    assert reactions.mean() == pytest.approx(0.18, abs=0.002)
    assert reactions.std() == pytest.approx(0.04, abs=0.002)
    assert reactions.min() >= script.SHORTEST_REACTION


def test_a_wrong_motion_is_let_go_after_it_was_seen():
    """All that is meant moves another axis: no press lasts longer than it takes to notice."""
    env = make("reach", 4)
    env.reset(seed=SEED)
    flexion = GESTURES.index("wrist_flexion")
    fist = GESTURES.index("fist")
    rows = {"gesture": []}
    for _ in range(200):
        gesture = env.memory["gesture"]
        wrong = np.where(gesture == REST, REST, np.where(gesture == fist, flexion, fist))
        env.step(one_hot(wrong))
        rows["gesture"].append(env.memory["gesture"].copy())
    gestures, lengths = presses({"gesture": np.array(rows["gesture"])})
    longest = lengths[gestures != TRIPOD].max() * CONTROL_PERIOD
    # Accepted, seen, reacted to, each at its latest.
    assert longest < 0.05 + 0.2 + 0.4


def test_a_gesture_that_moves_nothing_is_given_up():
    env = make("reach", 2)
    env.reset(seed=SEED)
    gestures = []
    for _ in range(120):
        env.step(one_hot(np.array([REST, REST])))
        gestures.append(env.memory["gesture"].copy())
    _, lengths = presses({"gesture": np.array(gestures)})
    assert len(lengths) >= 4
    assert lengths.max() * CONTROL_PERIOD <= script.PATIENCE + 0.5


def test_a_mode_that_was_not_switched_is_switched_again():
    env = make("drawer", 1)
    env.reset(seed=SEED)
    tripods = 0
    last = REST
    for _ in range(600):
        gesture = env.memory["gesture"][0]
        tripods += gesture == TRIPOD != last
        last = gesture
        # The first two tripods go unnoticed.
        shown = REST if gesture == TRIPOD and tripods <= 2 else gesture
        env.step(one_hot(np.array([shown])))
        if env.memory["success"][0]:
            break
    assert env.memory["success"][0]
    assert tripods >= 3


# -- plans --------------------------------------------------------------------------------------------------------------


def seen(**parts):
    """What is seen, all 0 but for `parts`, of one robot that looks where the person looks."""
    rows = {name: np.zeros((1, OBSERVATION_SIZE))[:, part] for name, part in SEEN.items()}
    rows["person_facing"] = np.array([[1.0, 0.0]])
    rows["target_axis"] = np.array([[0.0, 0.0, 1.0]])
    return rows | {name: np.array([value], float) for name, value in parts.items()}


def test_errors_say_where_axes_are_to_move():
    joints = np.zeros(6)
    joints[JOINTS.index("arm")] = 0.5
    view = seen(joints=joints, target=[0.1, -0.2, 0.3])
    errors = plans.place(view, view["target"])
    assert errors["drive"][0] == pytest.approx(0.1)
    assert errors["arm"][0] == pytest.approx(0.02), "it reaches no further"
    assert errors["lift"][0] == pytest.approx(0.3)
    assert plans.turning(seen(person_facing=[0.8, 0.6]))[0] > 0, "a person to the left: turn left"


def test_phases_follow_one_another_and_the_last_one_stays():
    zero = np.zeros(1)
    stages = [
        plans.Stage({"drive": (zero + 0.1, 0.05)}),
        plans.Stage({"lift": (zero, 0.05)}),
        plans.Stage({"arm": (zero, 0.05)}, following=1),
        plans.Stage({"arm": (zero, 0.05)}),
    ]
    following = [plans.wish(stages, np.array([phase])).phase[0] for phase in range(4)]
    assert following == [0, 2, 1, 3]
    wish = plans.wish(stages, np.array([0]))
    assert wish.error[0, 0] == pytest.approx(0.1)
    assert np.isinf(wish.tolerance[0, 1:]).all()


def test_a_grasp_ends_when_the_fingers_hold():
    lead = np.zeros(6)
    closing = plans.drawer(seen(lead=lead), np.array([3]))
    assert closing.phase[0] == 3 and closing.error[0, 7] < 0
    lead[JOINTS.index("gripper")] = -1.0
    holding = plans.drawer(seen(lead=lead), np.array([3]))
    assert holding.phase[0] == 4 and holding.error[0, 7] == 0


def test_too_much_force_is_lifted_away():
    joints = np.full(6, 0.3)
    strong = seen(force=[0.0, 0.0, -0.9], joints=joints)
    gentle = seen(force=[0.0, 0.0, -0.25], joints=joints)
    phase = np.array([4])
    lift = 2
    assert (
        plans.scratch(strong, phase).error[0, lift]
        > plans.scratch(strong, phase).tolerance[0, lift]
    )
    assert abs(plans.scratch(gentle, phase).error[0, lift]) < 1e-9

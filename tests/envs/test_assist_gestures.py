"""Gestures as input of the assistive tasks: options, spaces, what is accepted, what it moves, and what is observed."""

import copy

import gymnasium as gym
import numpy as np
import pytest
from conftest import ASSIST
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_for_sb3

from lancelet import LanceletError
from lancelet.assist_layout import COMMANDS, CONTROL_PERIOD, MODES, ROBOT_PARTS, ROBOT_SIZE
from lancelet.emg_layout import FEATURE_COUNT, GESTURE_COUNT, GESTURES, REST
from lancelet.envs.assist import chance
from lancelet.envs.assist.commands import (
    FINE_SHARES,
    GESTURE_FOR,
    PAIRS,
    PAIRS_OF_ALL_MODES,
    TRIPOD,
    CommandLayer,
)
from lancelet.envs.assist.gestures import features
from lancelet.envs.assist.operator import another

NAMES = list(ASSIST)
FIST = GESTURES.index("fist")
EXTENSION = GESTURES.index("wrist_extension")
FLEXION = GESTURES.index("wrist_flexion")
INPUTS = {
    "labels": {"input": "gesture", "slips": 0.1, "label_noise": 0.05},
    "features": {"input": "emg", "users": (1, 2, 3)},
    "emg": {"input": "emg", "signal": "emg", "users": (1, 2, 3)},
}


def make(name="reach", n=2, **options):
    options = {"max_episode_steps": -1, "nthread": 1, "input": "gesture", **options}
    return gym.make_vec(ASSIST[name], num_envs=n, **options).unwrapped


def scores(*gestures):
    """Scores (n, 10) without a doubt."""
    return np.eye(GESTURE_COUNT, dtype=np.float32)[list(gestures)]


def part(observation, name):
    """Numbers (n, k) of a part of ``robot``."""
    names = list(ROBOT_PARTS)
    first = sum(ROBOT_PARTS[before] for before in names[: names.index(name)])
    return observation["robot"][..., first : first + ROBOT_PARTS[name]]


def layer_with_memory(n=1, **options):
    layer = CommandLayer(**{"smoothing": 3} | options)
    return layer, layer.memory(n)


def hold(layer, memory, gesture, strides):
    """Shares (8,) of each of the strides in which a gesture is shown to the first simulation."""
    return [layer.decide(memory, scores(gesture))[0] for _ in range(strides)]


# -- options and spaces -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_spaces(name):
    env = make(name)
    assert env.single_action_space == gym.spaces.Box(0.0, 1.0, (GESTURE_COUNT,), np.float32)
    assert set(env.single_observation_space.spaces) == {"intent", "robot"}
    assert env.single_observation_space["robot"].shape == (ROBOT_SIZE,) == (24,)
    env = make(name, input="emg")
    assert env.single_observation_space["features"].shape == (FEATURE_COUNT,)
    env = make(name, input="emg", signal="emg")
    assert env.single_observation_space["emg"].shape == (64, 100)


@pytest.mark.parametrize("options", INPUTS.values(), ids=INPUTS)
@pytest.mark.filterwarnings("ignore")
def test_the_checks_of_gymnasium_and_sb3_pass(options):
    env = gym.make(ASSIST["reach"], **options)
    check_env(env.unwrapped, skip_render_check=True)
    check_for_sb3(env)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input": "voice"}, "voice"),
        ({"speeds": "slow"}, "slow"),
        ({"signal": "sound", "input": "emg"}, "sound"),
        ({"smoothing": 0}, "smoothing = 0"),
        ({"smoothing": 2.5}, "smoothing = 2.5"),
        ({"slips": 1.5}, "slips = 1.5"),
        ({"label_noise": -0.1}, "label_noise = -0.1"),
        ({"label_noise": np.nan}, "label_noise = nan"),
        ({"signal": "emg"}, "signal = 'emg': has no meaning with input = 'gesture'"),
        ({"users": (1,)}, "it is of input = 'emg'"),
        ({"slips": 0.1, "input": "emg"}, "slips = 0.1: has no meaning with input = 'emg'"),
        ({"speeds": "fine", "input": "velocity"}, "it is of input = 'gesture' or 'emg'"),
        ({"users": (), "input": "emg"}, "users"),
        ({"users": 3, "input": "emg"}, "users"),
        ({"disturbances": {"noise": 1}, "input": "emg"}, "noise"),
        ({"disturbances": {"fault": "fire"}, "input": "emg"}, "fire"),
        ({"disturbances": [1], "input": "emg"}, "disturbances"),
    ],
)
def test_options_that_are_not_right_are_refused_in_one_line(options, message):
    with pytest.raises(LanceletError, match=message.replace("(", r"\(")) as error:
        make(**options)
    assert "\n" not in str(error.value)


def test_one_seed_is_one_scene_whatever_steers():
    places = []
    for options in ({"input": "velocity"}, {}, {"input": "emg"}):
        env = make("fetch", **options)
        env.reset(seed=5)
        places.append(env.sim.qpos.copy())
    np.testing.assert_array_equal(places[0], places[1])
    np.testing.assert_array_equal(places[0], places[2])


def test_options_are_json():
    env = make(input="emg", users=(4,), disturbances={"dropped": 3})
    again = make(**env.task.options())
    assert again.task.options() == env.task.options()


# -- the same to the bit ------------------------------------------------------------------------------------------------


def episode(env, steps, seed=7):
    """Observations and rewards of a run that is steered by what the operator's muscles do."""
    observation, _ = env.reset(seed=seed)
    rows = [observation]
    rewards = []
    for _ in range(steps):
        observation, reward, *_ = env.step(scores(*env.memory["gesture"]))
        rows.append(observation)
        rewards.append(reward)
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}, np.array(rewards)


@pytest.mark.parametrize("options", INPUTS.values(), ids=INPUTS)
def test_a_simulation_is_the_same_alone_and_among_others(options):
    steps = 60
    together, rewards = episode(make("drawer", n=3, **options), steps)
    for i in range(3):
        own = dict(options)
        if "users" in own:
            own["users"] = (own["users"][i],)
        alone, own_rewards = episode(make("drawer", n=1, **own), steps, seed=7 + i)
        for name, rows in alone.items():
            np.testing.assert_array_equal(rows[:, 0], together[name][:, i], err_msg=name)
        np.testing.assert_array_equal(own_rewards[:, 0], rewards[:, i])


@pytest.mark.parametrize("options", INPUTS.values(), ids=INPUTS)
def test_saved_and_copied_environments_go_on_alike(options):
    env = make("reach", **options)
    episode(env, 30)
    saved = copy.deepcopy(env.state_dict())
    twin = copy.deepcopy(env)
    other = make("reach", **options)
    other.load_state_dict(saved)
    for _ in range(30):
        action = scores(*env.memory["gesture"])
        results = [each.step(action) for each in (env, twin, other)]
        for observation, reward, *_ in results[1:]:
            np.testing.assert_array_equal(reward, results[0][1])
            for name, rows in observation.items():
                np.testing.assert_array_equal(rows, results[0][0][name])


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
@pytest.mark.parametrize("options", INPUTS.values(), ids=INPUTS)
def test_an_episode_after_another_is_that_of_its_own_reset(mode, options):
    env = make("reach", n=2, max_episode_steps=25, autoreset_mode=mode, **options)
    env.reset(seed=3)
    for _ in range(25):
        env.step(scores(*env.memory["gesture"]))
    if mode == "NextStep":
        env.step(scores(REST, REST))
    single = make("reach", n=2, **options)
    single.reset(seed=3)
    observation, _ = single.reset()
    now = env._observation
    for name, rows in observation.items():
        np.testing.assert_array_equal(now[name], rows)
    for name in ("recent_scores", "mode", "operator_state", "view_accepted", "stride"):
        np.testing.assert_array_equal(env.memory[name], single.memory[name], err_msg=name)


# -- chance -------------------------------------------------------------------------------------------------------------


def test_chance_is_uniform_and_independent_of_what_else_is_drawn():
    keys = np.random.default_rng(0).integers(0, 2**64, size=20_000, dtype=np.uint64)
    counters = np.arange(20_000)
    first = chance.uniform(keys, counters, 1)
    second = chance.uniform(keys, counters, 2)
    later = chance.uniform(keys, counters + 1, 1)
    assert abs(first.mean() - 0.5) < 0.01 and abs(first.var() - 1 / 12) < 0.005
    assert (first > 0).all() and (first < 1).all()
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
    assert abs(np.corrcoef(first, later)[0, 1]) < 0.03
    assert abs(chance.normal(keys, counters, 1).std() - 1) < 0.02
    one = chance.uniform(keys[5:6], counters[5:6], 1)
    np.testing.assert_array_equal(one, first[5:6])


def test_another_gesture_is_each_other_one_alike():
    draws = (np.arange(90_000) + 0.5) / 90_000
    wrong = another(np.full(90_000, FIST), draws, with_rest=True)
    assert np.bincount(wrong, minlength=GESTURE_COUNT).tolist() == [
        0 if gesture == FIST else 10_000 for gesture in range(GESTURE_COUNT)
    ]
    slipped = another(np.full(90_000, FIST), draws, with_rest=False)
    assert REST not in slipped and FIST not in slipped
    assert len(np.unique(slipped)) == GESTURE_COUNT - 2


def test_labels_are_wrong_as_often_as_asked():
    env = make("drawer", n=8, label_noise=0.2)
    env.reset(seed=0)
    wrong = []
    for _ in range(150):
        observation, *_ = env.step(scores(*env.memory["gesture"]))
        wrong.append(observation["intent"].argmax(1) != env.memory["gesture"])
    assert np.mean(wrong) == pytest.approx(0.2, abs=0.04)


# -- what is accepted ---------------------------------------------------------------------------------------------------


def test_a_gesture_is_accepted_in_its_third_stride_and_rest_at_once():
    layer, memory = layer_with_memory()
    accepted = []
    for gesture in (EXTENSION, EXTENSION, EXTENSION, EXTENSION, REST, EXTENSION):
        layer.decide(memory, scores(gesture))
        accepted.append(int(memory["accepted"][0]))
    assert accepted[:5] == [REST, REST, EXTENSION, EXTENSION, REST]


def test_without_smoothing_two_strides_are_enough_and_one_wrong_one_stops():
    layer, memory = layer_with_memory(smoothing=1)
    accepted = []
    for gesture in (EXTENSION, EXTENSION, FLEXION, EXTENSION, EXTENSION, REST):
        layer.decide(memory, scores(gesture))
        accepted.append(int(memory["accepted"][0]))
    assert accepted == [REST, EXTENSION, REST, REST, EXTENSION, REST]


@pytest.mark.parametrize("smoothing", [1, 2, 3, 5, 8])
def test_the_layer_knows_how_long_it_takes_to_accept(smoothing):
    layer, memory = layer_with_memory(smoothing=smoothing)
    moves = [share.any() for share in hold(layer, memory, EXTENSION, 12)]
    assert moves.index(True) * CONTROL_PERIOD == pytest.approx(layer.onset)


def test_rest_wins_ties_and_doubt_is_rest():
    tie = np.zeros((1, GESTURE_COUNT))
    tie[0, [REST, FIST]] = 0.9
    doubt = np.zeros((1, GESTURE_COUNT))
    doubt[0, [FIST, EXTENSION]] = (0.55, 0.45)
    for unclear in (tie, doubt, np.ones((1, GESTURE_COUNT)), np.zeros((1, GESTURE_COUNT))):
        layer, memory = layer_with_memory()
        for _ in range(5):
            assert not layer.decide(memory, unclear).any()
            assert memory["accepted"][0] == REST


def test_one_wrong_stride_changes_nothing():
    layer, memory = layer_with_memory()
    hold(layer, memory, EXTENSION, 5)
    layer.decide(memory, scores(FLEXION))
    assert memory["accepted"][0] == EXTENSION
    assert memory["held"][0] == 4


@pytest.mark.parametrize("mode", MODES)
def test_every_pair_moves_its_axis_backwards_and_forwards(mode):
    names = list(COMMANDS)
    for axis, pair in (PAIRS[mode] | PAIRS_OF_ALL_MODES).items():
        for gesture, sign in zip(pair, (-1, 1), strict=True):
            layer, memory = layer_with_memory()
            memory["mode"][:] = MODES.index(mode)
            number = GESTURES.index(gesture)
            share = hold(layer, memory, number, 3)[-1]
            expected = np.zeros(len(COMMANDS))
            expected[names.index(axis)] = sign * FINE_SHARES[names.index(axis)]
            np.testing.assert_allclose(share, expected)
            direction = int(sign > 0)
            assert GESTURE_FOR[MODES.index(mode), names.index(axis), direction] == number


def test_a_gesture_is_fine_for_a_third_of_a_second_and_coarse_after_one():
    layer, memory = layer_with_memory()
    drive = np.array([share[0] for share in hold(layer, memory, EXTENSION, 30)])[2:]
    fine = FINE_SHARES[0]
    held = np.arange(len(drive)) * CONTROL_PERIOD
    np.testing.assert_allclose(drive[held < 0.36], fine)
    np.testing.assert_allclose(drive[held > 0.99], 1.0)
    assert (np.diff(drive) >= 0).all()
    for speeds, share in (("fine", fine), ("coarse", 1.0)):
        layer, memory = layer_with_memory(speeds=speeds)
        assert [row[0] for row in hold(layer, memory, EXTENSION, 30)[2:]] == [share] * 28


@pytest.mark.parametrize("speeds", ["both", "coarse", "fine"])
def test_the_operators_estimate_of_travel_is_right(speeds):
    layer, memory = layer_with_memory(speeds=speeds)
    drive = np.array([share[0] for share in hold(layer, memory, EXTENSION, 62)])[2:]
    travel = layer.travel(np.array([3.0]), FINE_SHARES[:1])[0]
    assert drive.sum() * CONTROL_PERIOD == pytest.approx(travel, abs=0.03)
    holds = np.linspace(0.0, 4.0, 81)
    fine = np.full_like(holds, FINE_SHARES[2])
    np.testing.assert_allclose(layer.hold_for(layer.travel(holds, fine), fine), holds, atol=1e-12)


@pytest.mark.parametrize(("strides", "switches"), [(7, False), (8, True), (40, True)])
def test_a_tripod_held_long_enough_switches_the_mode_when_it_is_released(strides, switches):
    layer, memory = layer_with_memory()
    hold(layer, memory, TRIPOD, 2)
    hold(layer, memory, TRIPOD, strides)
    assert memory["mode"][0] == 0, "while it is held nothing happens"
    hold(layer, memory, REST, 1)
    assert memory["mode"][0] == int(switches)
    assert memory["mode_switches"][0] == int(switches)


def test_modes_go_round():
    layer, memory = layer_with_memory()
    seen = []
    for _ in range(4):
        hold(layer, memory, TRIPOD, 12)
        hold(layer, memory, REST, 1)
        seen.append(MODES[memory["mode"][0]])
    assert seen == ["arm", "wrist", "drive", "arm"]


def test_a_stop_switches_no_mode():
    layer, memory = layer_with_memory()
    hold(layer, memory, TRIPOD, 20)
    layer.stop(memory, np.array([True]))
    hold(layer, memory, REST, 2)
    assert memory["mode"][0] == 0


# -- what is seen and paid ----------------------------------------------------------------------------------------------


def test_the_robot_shows_mode_gesture_and_hold():
    env = make("reach")
    observation, _ = env.reset(seed=0)
    assert part(observation, "mode").tolist() == [[1, 0, 0]] * 2
    for _ in range(5):
        observation, *_ = env.step(scores(TRIPOD, EXTENSION))
    assert part(observation, "accepted").argmax(1).tolist() == [TRIPOD, EXTENSION]
    np.testing.assert_allclose(part(observation, "held"), 0.2)
    assert not part(observation, "fault").any()
    assert part(observation, "base_speed")[1, 0] > 0.01


def test_effort_is_that_of_the_robot():
    env = make("reach")
    env.reset(seed=0)
    *_, info = env.step(scores(FIST, FIST))
    assert not info["terms"]["action"].any(), "nothing is accepted yet"
    for _ in range(3):
        *_, info = env.step(scores(FIST, FIST))
    assert (info["terms"]["action"] < 0).all()


def test_features_are_log_levels_less_their_median():
    power = np.linspace(0.01, 0.09, 64)[None]
    row = features(power)
    assert row.shape == (1, FEATURE_COUNT) and row.dtype == np.float32
    assert row[0, -1] == pytest.approx(np.log(np.sqrt(0.05)), abs=0.02)
    assert np.median(row[0, :-1]) == pytest.approx(0, abs=1e-6)
    power[0, 3] = np.nan
    assert np.isfinite(features(power)).all()


def test_figures_of_an_episode():
    env = make("reach", n=2)
    env.reset(seed=0)
    for _ in range(120):
        env.step(scores(*env.memory["gesture"]))
    metrics = env.episode_metrics()
    assert (metrics["time"] == pytest.approx(6.0)) and (metrics["presses"] >= 2).all()
    assert (metrics["online_accuracy"] == 1).all() and (metrics["steady_accuracy"] == 1).all()
    assert (metrics["strides"] > metrics["steady_strides"]).all()
    assert not metrics["wrong_path"].any() and not metrics["worst_rest_wait"].any()
    assert not metrics["stops"].any()
    assert (metrics["path_efficiency"] <= 1).all()

"""The motor map is learned from what happens, and walls do not spoil it."""

import numpy as np
import pytest

from lancelet.controllers.search.motor_map import desired_speed, fit, surprise

MAPS = {
    "straight": [[0.238, 0], [0, 0.238]],
    "swapped": [[0, 0.238], [0.238, 0]],
    "mirrored": [[-0.238, 0], [0, 0.238]],
    "weak": [[0.1, 0.02], [-0.03, 0.12]],
}


@pytest.mark.parametrize("name", MAPS)
def test_babbling_finds_the_map(name):
    rng, gain = np.random.default_rng(0), np.array(MAPS[name])
    action = rng.uniform(-1, 1, (30, 2))
    got, error = fit(action, action @ gain.T + rng.normal(0, 1e-4, (30, 2)))
    assert error < 0.01 and np.abs(got - gain).max() < 1e-3


def test_collisions_are_set_aside():
    rng, gain = np.random.default_rng(0), np.array(MAPS["straight"])
    action = rng.uniform(-1, 1, (30, 2))
    change = action @ gain.T
    change[[3, 11, 17, 25]] += rng.uniform(-2, 2, (4, 2))
    got, error = fit(action, change)
    assert error < 0.01 and np.abs(got - gain).max() < 1e-6


def test_a_wall_that_takes_a_direction_away_is_no_new_map():
    action = np.random.default_rng(0).uniform(-1, 1, (30, 2))
    change = action @ np.array(MAPS["straight"]).T * [0.0, 1.0]
    assert fit(action, change)[1] == np.inf


def test_steps_that_say_too_little_give_no_map():
    rng = np.random.default_rng(0)
    one_way = np.outer(rng.uniform(-1, 1, 30), [1.0, 0.5])
    assert fit(one_way, one_way * 0.238)[1] == np.inf
    few = rng.uniform(-1, 1, (5, 2))
    assert fit(few, few * 0.238)[1] == np.inf


def test_a_wrong_map_surprises_and_a_right_one_does_not():
    action = np.random.default_rng(0).uniform(-1, 1, (12, 2))
    change = action @ np.array(MAPS["straight"]).T
    assert surprise(action, change, np.array(MAPS["straight"])) < 1e-9
    assert surprise(action, change, np.array(MAPS["mirrored"])) > 0.5


def test_speed_leaves_room_to_brake():
    assert desired_speed(100.0, 2.5, 10.0) == 2.5
    assert desired_speed(0.05, 2.5, 10.0) == pytest.approx(1.0)

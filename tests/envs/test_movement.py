import math

import numpy as np
import pytest

from lancelet.envs import movement

DT, DISTANCE, TIME = 0.01, 0.3, 1.0


def path(points, impulse=0.0, speed=None):
    rows = np.zeros((1, len(points), 4))
    rows[0, :, :2], rows[0, :, 2] = points, impulse
    if speed is not None:
        rows[0, :, 3] = speed
    return rows


def figures(points, target=(1.0, 0.0), steps=None, inertia=0.1, **rows):
    """The figures of one path, nan where they have no meaning."""
    steps = np.array([len(points) - 1 if steps is None else steps])
    told = movement.figures(
        path(points, **rows), steps, np.array([target]), np.array([inertia]), DT
    )
    assert list(told) == list(movement.NAMES)
    assert all(np.isfinite(value).all() for value in told.values())
    distance = np.hypot(*(np.array(target) - points[0]))
    return {
        name: value[0]
        for name, value in movement.gaps(told | {"distance": np.array([distance])}).items()
    }


def minimum_jerk(rest=0):
    """A straight reach of 0.3 m in 1 s along x (Flash & Hogan 1985), then `rest` steps of rest."""
    part = np.minimum(np.arange(0, round(TIME / DT) + 1 + rest) * DT / TIME, 1)
    along = DISTANCE * (10 * part**3 - 15 * part**4 + 6 * part**5)
    return np.stack([along, np.zeros_like(along)], axis=1)


def test_a_minimum_jerk_reach_has_its_textbook_figures():
    told = figures(minimum_jerk(rest=10), steps=100)
    assert told["straightness"] == 0 and told["path_ratio"] == pytest.approx(1)
    assert told["peak_speed"] == pytest.approx(1.875 * DISTANCE / TIME, rel=2e-3)
    assert told["jerk"] == pytest.approx(math.sqrt(720) * DISTANCE / TIME**3, rel=0.05)
    assert told["log_jerk"] == pytest.approx(math.log(720 / 1.875**2), abs=0.15)
    assert told["submovements"] == 1 and told["direction_error"] == pytest.approx(0, abs=1e-9)
    assert told["time_to_peak"] == pytest.approx(
        0.44, abs=0.011
    )  # 5 % of the peak is passed after 0.06 s
    assert told["movement_time"] == pytest.approx(0.88, abs=0.021)
    late = figures(minimum_jerk(rest=10))
    assert late["movement_time"] == told["movement_time"] and late["drift_speed"] == 0


def test_jerkiness_without_scale_does_not_see_speed_and_size():
    one = minimum_jerk()
    assert figures(3 * one)["log_jerk"] == pytest.approx(figures(one)["log_jerk"])
    assert figures(3 * one)["jerk"] == pytest.approx(3 * figures(one)["jerk"])


def test_a_half_circle_is_as_crooked_as_a_half_circle():
    turn = np.linspace(0, math.pi, 51)
    told = figures(np.stack([0.2 - 0.2 * np.cos(turn), 0.2 * np.sin(turn)], axis=1))
    assert told["straightness"] == pytest.approx(0.5, rel=1e-3)
    assert told["path_ratio"] == pytest.approx(math.pi / 2, rel=1e-3)
    assert told["drift_max"] == pytest.approx(0.4) and told["chord"] == pytest.approx(0.4)


def test_corrections_are_counted_and_small_ones_are_not():
    one = np.diff(minimum_jerk(), axis=0)
    joined = np.cumsum(np.concatenate([np.zeros((1, 2)), one, 0.5 * one, 0.05 * one]), axis=0)
    assert figures(joined)["submovements"] == 2


def test_a_start_in_the_wrong_direction_is_told():
    assert figures(minimum_jerk(), target=(0.2, 0.2))["direction_error"] == pytest.approx(
        math.pi / 4
    )
    assert figures(minimum_jerk(), target=(-0.2, 1e-9))["direction_error"] == pytest.approx(math.pi)
    assert math.isnan(figures(minimum_jerk(), target=(0.01, 0.0))["direction_error"])


def test_the_muscles_share_of_the_elbows_impulse():
    speed = np.sin(
        np.linspace(0, 2 * math.pi, 101)
    )  # fastest, 1 rad/s, after 25 steps: a net impulse of the inertia
    told = figures(minimum_jerk(), inertia=0.08, impulse=np.full(101, 0.001), speed=speed)
    assert told["muscle_share"] == pytest.approx(25 * 0.001 / 0.08)
    opposed = figures(minimum_jerk(), inertia=0.08, impulse=np.full(101, 0.001), speed=-speed)
    assert opposed["muscle_share"] == pytest.approx(-25 * 0.001 / 0.08)
    assert math.isnan(figures(minimum_jerk(), speed=0.05 * speed)["muscle_share"])


def test_a_still_hand_has_no_shape():
    told = figures(np.full((51, 2), 0.25))
    for name in ("straightness", "path_ratio", "log_jerk", "direction_error", "muscle_share"):
        assert math.isnan(told[name]), name
    assert told["jerk"] == told["peak_speed"] == told["drift_max"] == told["submovements"] == 0
    assert figures(np.zeros((51, 2)), steps=0)["drift_max"] == 0


def test_only_the_steps_so_far_count():
    points = minimum_jerk()
    points[30:] = 99.0
    assert figures(points, steps=29) == pytest.approx(figures(points[:30]), nan_ok=True)


def test_sums_are_sums_of_the_steps():
    random = np.random.default_rng(0)
    hands, target = random.normal(size=(2, 4, 2)), random.normal(size=(4, 2))
    actions, muscles = random.random((2, 4, 6)), random.random((2, 4, 7, 6))
    peaks, walk, losses, sums = (
        np.full((4, 6), 2.0),
        np.zeros((4, 2, 4)),
        np.zeros((4, 3)),
        np.zeros((4, 7)),
    )
    for t in range(2):
        given = (
            hands[t],
            target,
            actions[t].astype(np.float32),
            muscles[t],
            peaks,
            np.ones(4),
            np.ones(4),
        )
        movement.book(*given, np.full(4, t), walk, losses, sums)
    e, a = target - hands, muscles[:, :, 0]
    pairs = np.minimum(a[..., ::2], a[..., 1::2]).sum(-1)
    want = [
        np.hypot(*e.transpose(2, 0, 1)),
        abs(e).mean(-1),
        10 * (e**2).mean(-1),
        (actions**2).mean(-1),
    ]
    want += [(a**2).mean(-1), ((muscles[:, :, 6] / 2) ** 2).mean(-1), pairs]
    np.testing.assert_allclose(sums, np.stack(want, -1).sum(0), rtol=1e-6)
    np.testing.assert_allclose(losses, np.stack(want[1:4], -1)[1], rtol=1e-6)
    np.testing.assert_array_equal(walk[:, 1, :2], hands[1])

"""Model K: against a plain loop, the paper's figures, its symmetry, and bad input."""

import math

import numpy as np
import pytest
from numba import njit

from lancelet import LanceletError
from lancelet.envs import kinematic as k
from lancelet.morphology.braitenberg import CANONICAL, design, mirrored

EVOLVED = (-0.319624, 0.297618, 0.251331, 0.323397)


@njit
def plain(body, w1, w2, x, y, dt, steps):
    """The spec's equations with the library's cosines."""
    angle, least = 0.0, math.hypot(x, y)
    for _ in range(steps):
        cos, sin = math.cos(angle), math.sin(angle)
        s1 = 1 / (
            (x + cos * body[0] - sin * body[1]) ** 2 + (y + sin * body[0] + cos * body[1]) ** 2
        )
        s2 = 1 / (
            (x + cos * body[2] - sin * body[3]) ** 2 + (y + sin * body[2] + cos * body[3]) ** 2
        )
        m1, m2 = w1 * s2, w2 * s1
        x, y = x + dt * (m1 + m2) / 2 * cos, y + dt * (m1 + m2) / 2 * sin
        angle += dt * (m2 - m1)
        least = min(least, math.hypot(x, y))
    return least


@pytest.mark.slow
def test_a_rollout_is_the_plain_loop_where_nothing_is_chaotic():
    weights, body = k.grid(7), np.array(EVOLVED)
    for steps in (1, 40, 400):
        found = k.distances(body, weights, steps=steps)
        wanted = [[plain(body, *w, *start, k.DT, steps) for start in k.STARTS] for w in weights]
        np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_counts_of_whole_rollouts_are_those_of_the_plain_loop():
    weights, body = k.grid(21), design(80)
    found = (k.distances(body, weights) < k.NEAR).sum(0)
    wanted = [
        sum(plain(body, *w, *start, k.DT, k.STEPS) < k.NEAR for w in weights) for start in k.STARTS
    ]
    assert np.abs(found - wanted).max() <= 3 and min(wanted) > 30


def test_the_canonical_bodys_coarse_grid_has_the_reference_counts():
    found = k.manifolds(CANONICAL, 41)
    assert abs(found.optimal - 6) <= 1 and abs(found.some - 212) <= 4
    assert found.each[0] == found.each[1] and found.each[2] == found.each[3]
    assert found.r1 == found.optimal / 1681 and found.r2 == found.optimal / found.some
    assert found.overlap == pytest.approx(found.r1 / math.prod(n / 1681 for n in found.each))


def test_ending_early_and_threads_and_company_change_no_bit():
    weights = k.grid(9)
    whole = k.distances(EVOLVED, weights, whole=True, threads=1)
    np.testing.assert_array_equal(whole, k.distances(EVOLVED, weights, threads=2))
    np.testing.assert_array_equal(whole[::-1], k.distances(EVOLVED, weights[::-1]))
    many = k.distances(np.array([EVOLVED, CANONICAL]), np.repeat(weights, 2, 0))
    np.testing.assert_array_equal(whole, many[::2])
    enough = k.distances(EVOLVED, weights, enough=k.NEAR)
    np.testing.assert_array_equal(whole < k.NEAR, enough < k.NEAR)


def test_a_mirror_image_has_the_same_manifolds():
    body = np.array([0.1, -0.4, 0.45, 0.3])
    one, other = k.manifolds(body, 31), k.manifolds(mirrored(body), 31)
    assert abs(one.optimal - other.optimal) <= 3
    swapped = np.swapaxes(other.solved, 0, 1)[..., [1, 0, 3, 2]]
    assert (one.solved != swapped).mean() < 0.01 and one.some > 30


def test_without_sensors_at_the_sides_equal_weights_go_straight_and_miss():
    assert (k.distances((0, 0, 0, 0), [[0.7, 0.7], [-0.7, -0.7]]) > 2.5).all()


@pytest.mark.slow
def test_a_trace_nears_the_light_as_the_rollout_says_and_feels_it():
    weights = (0.3, -0.35)
    states = k.trace(design(80), weights)
    np.testing.assert_array_equal(
        np.sqrt((states[:, :, 0] ** 2 + states[:, :, 1] ** 2).min(1)),
        k.distances(design(80), [weights])[0],
    )
    x, y, angle, one, _ = states[2, 100]
    place = np.array([x, y]) + np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    ) @ [
        -0.5,
        -0.5,
    ]
    assert one == pytest.approx(1 / (place**2).sum())


def test_saturated_sensors_never_read_more_and_smaller_steps_move_less():
    assert k.trace(design(80), (0.3, -0.35), saturation=2.0)[..., 3:].max() == 2.0
    one = k.trace(design(80), (0.3, -0.35), dt=0.01, steps=10)
    assert np.hypot(*np.diff(one[0, :, :2], axis=0).T).max() < 0.01


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: k.distances((0.5, 0.5, 0.5, 0.51), [[0, 0]]), "left of sensor 2 = 0.51"),
        (lambda: k.distances(CANONICAL, [[0, 1.1]]), "w2 = 1.1: must be from -1 to 1"),
        (lambda: k.distances(CANONICAL, [[math.nan, 0]]), "w1 = nan"),
        (lambda: k.distances(CANONICAL, [0.1, 0.2, 0.3]), "must be (n, 2)"),
        (lambda: k.distances(CANONICAL, [[0, 0]], dt=0), "must be above 0"),
        (lambda: k.grid(2), "grid = 2: must be 3 or more"),
        (lambda: k.manifolds(CANONICAL, 1), "grid = 1"),
    ],
)
def test_bad_input_is_one_line(call, says):
    with pytest.raises(LanceletError) as error:
        call()
    assert says in str(error.value) and "\n" not in str(error.value)

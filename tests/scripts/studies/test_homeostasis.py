import numpy as np
import pytest

from lancelet import LanceletError
from lancelet.scripts.studies.goodbody.homeostasis import dtw, homeostasis


def whole_matrix(one, two):
    """Symmetric2 as Sakoe and Chiba wrote it."""
    cost = np.abs(one[:, None] - two)
    total = np.full((len(one) + 1, len(two) + 1), np.inf)
    total[1, 1] = cost[0, 0]
    for i in range(1, len(one) + 1):
        for j in range(1, len(two) + 1):
            c = cost[i - 1, j - 1]
            total[i, j] = min(
                total[i, j], total[i - 1, j] + c, total[i, j - 1] + c, total[i - 1, j - 1] + 2 * c
            )
    return total[-1, -1] / (len(one) + len(two))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 6), (6, 1), (5, 5), (40, 23), (23, 40)])
def test_the_distance_is_that_of_the_whole_matrix(n, m):
    rng = np.random.default_rng(n * m)
    one, two = rng.normal(size=n), rng.normal(size=m)
    assert dtw(one, two) == pytest.approx(whole_matrix(one, two), rel=1e-12)


def test_the_distance_is_that_of_dtw_python():
    other = pytest.importorskip("dtw")
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(3, 400)).cumsum(1), rng.normal(size=(3, 300)).cumsum(1)
    wanted = [
        other.dtw(a, b, distance_only=True).normalizedDistance
        for a, b in zip(one, two, strict=True)
    ]
    np.testing.assert_allclose(dtw(one, two), wanted, rtol=1e-12)


def test_series_that_differ_in_time_alone_are_near_and_others_are_not():
    times = np.linspace(0, 6, 500)
    wave = np.sin(times)
    series = np.stack([np.sin(times**1.1)] * 2)[None].repeat(4, 0)
    assert homeostasis(series) == 0
    series[1] = wave
    warped = homeostasis(series)
    series[1] = -wave
    assert 0 < warped < 0.4 * homeostasis(series)


def test_h_is_the_mean_over_six_pairs_and_two_sensors_for_any_threads():
    series = np.random.default_rng(1).normal(size=(2, 4, 2, 60))
    one = [
        dtw(series[0, a, s], series[0, b, s]) for a in range(4) for b in range(a) for s in range(2)
    ]
    found = homeostasis(series)
    assert found.shape == (2,) and found[0] == pytest.approx(np.mean(one)) and len(one) == 12
    np.testing.assert_array_equal(found, homeostasis(series, threads=1))


@pytest.mark.parametrize(
    "bad", [(np.zeros((2, 3)), np.zeros((3, 3))), ([], [1.0]), ([np.nan], [1.0])]
)
def test_bad_series_are_one_line(bad):
    with pytest.raises(LanceletError, match="series"):
        dtw(*bad)

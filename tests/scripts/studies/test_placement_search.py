import numpy as np
import pytest

from lancelet import LanceletError
from lancelet.envs.kinematic import NEAR
from lancelet.scripts.studies.goodbody.placement_search import LABELS, METHODS, search

TARGET = np.array([0.3, -0.6])
LOW, HIGH = [-1, -1], [1, 1]


def bowl(points):
    """Four distances whose sum has its least value at `TARGET`."""
    return np.linalg.norm(points - TARGET, axis=1)[:, None] * np.array([1.0, 1.5, 2.0, 2.5])


@pytest.mark.parametrize("method", METHODS)
def test_a_search_spends_its_budget_in_the_box_and_finds_the_bowl(method):
    result = search(method, bowl, LOW, HIGH, (0, 1), budget=400)
    assert result.points.shape == (400, 2) and result.distances.shape == (400, 4)
    assert (np.abs(result.points) <= 1).all()
    assert result.best_distance[-1] < (0.35 if method == "random" else 0.15)
    np.testing.assert_array_equal(result.distances, bowl(result.points))


@pytest.mark.parametrize("method", METHODS)
def test_a_key_decides_everything_and_another_key_another_search(method):
    one, same, other = (
        search(method, bowl, LOW, HIGH, key, budget=60) for key in ((1, 2), (1, 2), (1, 3))
    )
    np.testing.assert_array_equal(one.points, same.points)
    assert (one.points != other.points).all(1).mean() > 0.9


def test_every_method_names_what_it_stands_for():
    assert LABELS.keys() == METHODS.keys()
    assert all("for" in label for name, label in LABELS.items() if name != "random")


def test_the_first_success_the_best_by_sum_and_by_count_are_told_apart():
    rows = np.array(
        [[1, 1, 1, 1], [0.01, 0.01, 1, 0.01], [0.1, 0.1, 0.1, 0.1], [0.01, 0.02, 0.03, 0.04]]
    )
    result = search("random", lambda points: rows[: len(points)], LOW, HIGH, (0,), budget=4)
    assert result.evaluations_to_solve == 4 and result.most_solved.tolist() == [0, 3, 3, 4]
    assert result.best_index.tolist() == [0, 1, 2, 3]
    assert result.best_distance[2] == pytest.approx(0.1) and (result.distances[2] > NEAR).all()
    assert (
        search(
            "random", lambda points: rows[: len(points)], LOW, HIGH, (0,), budget=3
        ).evaluations_to_solve
        == 4
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"method": "sness"},
        {"budget": 0},
        {"population": 2},
        {"low": [1, 1]},
        {"low": [-1], "high": [1, 1]},
    ],
)
def test_bad_searches_are_one_line(bad):
    settings = {
        "method": "random",
        "low": LOW,
        "high": HIGH,
        "seed": (0,),
        "budget": 10,
        "population": 10,
    } | bad
    with pytest.raises(LanceletError) as error:
        search(evaluate=bowl, **settings)
    assert "\n" not in str(error.value)

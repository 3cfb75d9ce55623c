"""Who breeds: the fitter, the younger, the niche's elite, the undominated."""

import numpy as np
import pytest

from lancelet import LanceletError
from lancelet.training.coevolution.parents import Candidate, parents

BOUNDS = {"size": (0.0, 1.0), "legs": (0.0, 8.0)}


def candidate(number, fitness, layer=0, features=(0.5, 4.0), objectives=None):
    return Candidate(number, fitness, layer, features, objectives or (fitness, 0.0))


def drawn(selection, candidates, count=400, window=576, layers=1):
    choice, rng = parents(selection, 0, window, layers, BOUNDS), np.random.default_rng(0)
    for one in candidates:
        choice.add(one)
    return np.array([choice.draw(rng) for _ in range(count)])


def test_tournaments_prefer_the_fit_and_leave_a_chance_to_others():
    ids = drawn("tournament", [candidate(k, float(k)) for k in range(20)])
    assert ids.mean() > 14 and len(set(ids)) > 5  # the best of four of 0 .. 19: 15.5


def test_only_the_youngest_breed():
    ids = drawn("tournament", [candidate(k, float(-k)) for k in range(3000)], window=50)
    assert ids.min() >= 2900


def test_layers_of_age_keep_young_lineages_from_old_ones():
    old = [candidate(k, 100.0 + k, layer=40) for k in range(20)]
    young = [candidate(20 + k, float(k)) for k in range(20)]
    assert (drawn("tournament", [*old, *young]) >= 20).sum() < 40
    assert (drawn("tournament", [*old, *young], layers=3) >= 20).sum() > 100


@pytest.mark.slow
def test_every_niche_has_its_elite():
    many = [candidate(k, float(k), features=(k / 10 + 0.05, 1.0)) for k in range(10)]
    weaker = [candidate(10 + k, k - 1.0, features=(k / 10 + 0.05, 1.0)) for k in range(10)]
    ids = drawn("map-elites", [*many, *weaker])
    assert set(ids) == set(range(10))
    assert np.bincount(ids).min() > 15  # drawn alike, however fit


def test_the_undominated_win():
    front = [candidate(k, 0.0, objectives=(float(k), float(-k))) for k in range(10)]
    inside = [candidate(10 + k, 0.0, objectives=(k - 5.0, -k - 5.0)) for k in range(10)]
    ids = drawn("nsga2", [*front, *inside])
    assert (ids < 10).mean() > 0.65  # the better of two: 0.75


def test_draws_depend_on_what_was_added_and_on_the_generator_alone():
    many = [
        candidate(k, float(k % 7), features=(k / 50, k / 10), objectives=(k % 7.0, k % 5.0))
        for k in range(50)
    ]
    for selection in ("tournament", "map-elites", "nsga2"):
        assert (drawn(selection, many) == drawn(selection, many)).all()


def test_unknown_selections_are_refused():
    with pytest.raises(LanceletError, match="lottery"):
        parents("lottery", 0, 10, 1, BOUNDS)

"""The reflex study's gates, and the parts of it that cost nothing."""

import numpy as np
import pytest

from lancelet.scripts.studies import reflex
from lancelet.scripts.study import Study


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Study("reflex", "A title", "quick", tmp_path / "out", say=lambda line: None)


def test_the_circuit_is_as_small_as_claimed_in_every_body(study):
    reflex.counts(study)
    assert [(row.kind, row.holds) for row in study.rows] == [("gate", True)]


def test_claims_are_held_against_both_figures_and_may_fail(study):
    reflex.against(study, "some", np.array([930.0, 950.0]), 2)
    assert [(row.kind, row.value, row.holds) for row in study.rows] == [("claim", 940, True), ("claim", 940, False)]


def test_a_search_counts_all_its_steps_and_stays_within_the_budget(monkeypatch):
    small = {"STEPS": 10, "VALIDATED": 2, "POPULATION": 4, "EPISODES": 3, "EVERY": 2}
    for name, value in small.items():
        monkeypatch.setattr(reflex, name, value)
    monkeypatch.setattr(reflex, "whole", lambda controller, starts, seed: np.ones(starts))
    done = reflex.search(0, 4)
    assert done["steps"] == reflex.cost(4) == (4 * 4 * 3 + 5 * 2) * 10
    assert done["curve"].shape == (2, 2) and len(done["weights"]) == reflex.circuit().parameter_count


def test_the_generations_of_the_budget_fit_it():
    assert 0.9 * reflex.BUDGET < reflex.cost(reflex.affordable(reflex.BUDGET)) <= reflex.BUDGET


@pytest.mark.parametrize("options", reflex.VARIANTS.values(), ids=list(reflex.VARIANTS))
def test_every_variant_is_another_circuit_of_at_most_forty_weights(options):
    assert reflex.circuit(**options).parameter_count <= reflex.WEIGHTS


def test_weights_move_to_another_body_as_they_are():
    five = reflex.circuit()
    nine = reflex.moved(five, 9)
    assert nine.joints == 9 and all((a == b).all() for a, b in zip(five.parameters(), nine.parameters(), strict=True))

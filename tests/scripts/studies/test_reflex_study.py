"""The reflex study's gates, and the parts of it that cost nothing."""

import numpy as np
import pytest

from lancelet import training
from lancelet.scripts.rows import from_json
from lancelet.scripts.studies.reflex import study as reflex
from lancelet.scripts.studies.swimming import RESULTS, kept
from lancelet.scripts.study import Study
from lancelet.training.rollout import Score


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    return Study("reflex", "A title", "quick", out, say=lambda line: None, seeds_of=reflex.SEEDS_OF)


def test_the_circuit_is_as_small_as_claimed_in_every_body(study):
    reflex.counts(study)
    assert [(row.kind, row.holds) for row in study.rows] == [("gate", True)]


@pytest.mark.slow
def test_the_best_circuit_is_compared_with_our_own_best_networks_on_the_same_starts(study):
    best = kept("reflex/best")
    assert best is not None
    reflex.against(study, best, 4)
    alone, ncap, perceptron = study.rows
    assert alone.holds is None and "centre of mass 0." in alone.note
    ours = training.evaluate(best, reflex.TASK, 4).returns
    for row, path in ((ncap, "ncap/best"), (perceptron, "reinforcement/mlp-ppo")):
        theirs = training.evaluate(kept(path), reflex.TASK, 4).returns
        assert row.value == pytest.approx((ours - theirs).mean())
        assert row.holds == (row.value >= 0 and row.interval[0] >= 0)
        assert path in row.note and (row.seeds, row.seeds_of) == (4, "start states")


def test_the_committed_comparison_with_the_perceptron_does_not_hold():
    rows = {row.name: row for row in from_json(RESULTS / "reflex" / "rows.json")}
    row = rows["reflex less the perceptron, return, paired by start state"]
    assert row.holds is False and row.seeds == 64
    assert row.interval[0] <= -2.7 <= row.interval[1]


def test_a_search_counts_all_its_steps_and_stays_within_the_budget(monkeypatch):
    small = {"STEPS": 10, "VALIDATED": 2, "POPULATION": 4, "EPISODES": 3, "EVERY": 2}
    for name, value in small.items():
        monkeypatch.setattr(reflex, name, value)
    nothing = np.ones(2)
    monkeypatch.setattr(reflex, "whole", lambda *_: Score(nothing, nothing, {}, nothing < 0))
    done = reflex.search(0, 4)
    assert done["steps"] == reflex.cost(4) == (4 * 4 * 3 + 5 * 2) * 10
    assert (
        done["curve"].shape == (2, 2) and len(done["weights"]) == reflex.circuit().parameter_count
    )


def test_the_generations_of_the_budget_fit_it():
    assert 0.9 * reflex.BUDGET < reflex.cost(reflex.affordable(reflex.BUDGET)) <= reflex.BUDGET


@pytest.mark.parametrize("options", reflex.VARIANTS.values(), ids=list(reflex.VARIANTS))
def test_every_variant_is_another_circuit_of_at_most_forty_weights(options):
    assert reflex.circuit(**options).parameter_count <= reflex.WEIGHTS


def test_weights_move_to_another_body_as_they_are():
    five = reflex.circuit()
    nine = reflex.moved(five, 9)
    assert nine.joints == 9 and all(
        (a == b).all() for a, b in zip(five.parameters(), nine.parameters(), strict=True)
    )

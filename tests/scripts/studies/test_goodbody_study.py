"""Pieces of the goodbody study, small."""

import json

import numpy as np
import pytest

from lancelet import LanceletError
from lancelet.envs.kinematic import manifolds
from lancelet.morphology.braitenberg import CANONICAL, design
from lancelet.scripts import reproduce
from lancelet.scripts.rows import from_json
from lancelet.scripts.studies.goodbody import map as bodies
from lancelet.scripts.studies.goodbody import rigid, sensors
from lancelet.scripts.studies.goodbody import search as searches
from lancelet.scripts.studies.goodbody import study as goodbody
from lancelet.scripts.study import Study


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Study(
        "goodbody", "t", "quick", tmp_path / "out", say=lambda _: None, seeds_of=goodbody.SEEDS_OF
    )


def test_the_sample_is_fixed_and_the_quick_one_is_part_of_it():
    shown = bodies.sample("shown")
    assert len(set(shown)) == 300 and (bodies.sample("quick") == shown[:60]).all()
    assert len(bodies.sample("full")) == 6561
    assert [bodies.design_number(design(n)) for n in (1, 80, 6553, 6561)] == [1, 80, 6553, 6561]


def test_half_of_a_mapped_pair_is_its_mirror_image(study, monkeypatch):
    pair = [4711, bodies.design_number(bodies.mirrored(design(4711)))]
    monkeypatch.setattr(bodies, "sample", lambda size: np.array(pair))
    monkeypatch.setitem(bodies.MAPPED, "quick", 15)
    body_map = bodies.mapped(study)
    wanted = manifolds(design(pair[1]), 15)
    assert (body_map.counts[1] != wanted.count).mean() < 0.03
    np.testing.assert_allclose(body_map.solvers[1], wanted.each, atol=2)


def test_strata_hold_both_kinds_of_bodies():
    r1 = np.array([0.0] * 70 + list(np.linspace(0.001, 0.1, 30)))
    chosen = searches.stratified(r1, 40)
    assert len(set(chosen)) == 40 and (r1[chosen] > 0).sum() == 28 and r1[chosen].max() == r1.max()
    assert len(searches.stratified(r1, 90)) == 90


def test_random_search_agrees_with_the_geometric_law_and_a_wrong_r1_does_not(study):
    rng = np.random.default_rng(0)
    r1 = np.full(200, 0.01)
    first = np.minimum(rng.geometric(0.01, (200, 5)), 501)
    searches._geometric(study, r1, first)
    searches._geometric(study, 2 * r1, first)
    assert [row.holds for row in study.rows] == [True, False]


def test_a_rank_correlation_that_is_not_there_does_not_hold(study):
    rng = np.random.default_rng(0)
    r1 = rng.uniform(0, 0.1, 60)
    first = np.stack(
        [np.tile(1 / r1[:, None], 3), np.tile(r1[:, None], 3), *rng.uniform(1, 500, (2, 60, 3))]
    )
    searches._correlations(study, r1, first)
    assert [row.holds for row in study.rows] == [True, False, False, False]


@pytest.mark.slow
def test_one_body_has_rows_of_its_own_and_leaves_the_results_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = list(map(str, CANONICAL))
    assert (
        reproduce.main(["goodbody", "--body", *place, "--grid", "21", "--json", "body.json"]) == 0
    )
    rows = {row.name: row for row in from_json(tmp_path / "body.json")}
    found = manifolds(CANONICAL, 21)
    assert rows["r1"].value == found.r1 and rows["r2"].value == found.r2
    assert rows["A_any, at least one"].value == found.some
    assert (
        not (tmp_path / "results").exists()
        and (tmp_path / "runs/reproduce-goodbody/landscapes.png").exists()
    )
    assert (
        "--body 0.5 0.5 0.5 -0.5 --grid 21"
        in (tmp_path / "runs/reproduce-goodbody/table.md").read_text()
    )
    json.loads((tmp_path / "body.json").read_text())


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--body", "0.5", "0.5", "0.5", "-0.6"], "left of sensor 2 = -0.6"),
        (["--body", "nan", "0", "0", "0"], "forward of sensor 1 = nan"),
        (["--grid", "2"], "grid = 2"),
    ],
)
def test_bad_bodies_are_one_line(flags, says):
    with pytest.raises(LanceletError) as error:
        reproduce.main(["goodbody", *flags])
    assert says in str(error.value) and "\n" not in str(error.value)


def test_rigid_bodies_are_scored_policy_by_policy():
    found = rigid.solved(CANONICAL, 3, steps=30)
    assert found["success"].shape == found["distance"].shape == (3, 3, 4)
    assert (found["distance"][1, 1] > found["distance"][2, 2]).any()


def test_an_order_of_few_policies_is_not_judged(study, monkeypatch):
    def some(canonical, diagonal):
        study.rows.clear()

        def solved(places, side):
            success = np.zeros((side, side, 4))
            count = canonical if places == rigid.CANONICAL else diagonal
            success.reshape(-1, 4)[:count] = 1
            return {"success": success, "distance": success}

        monkeypatch.setattr(rigid, "solved", solved)
        monkeypatch.setattr(rigid, "SIDE", {"quick": 9})
        rigid.ordering(study)
        return study.rows[0]

    few = some(4, 3)
    assert few.holds is None and "not judged" in few.note and few.value == 3 / 81
    assert some(25, 12).holds is False and some(12, 25).holds is True


def test_e1_compares_bodies_whatever_policy_the_search_ended_with(study, monkeypatch):
    monkeypatch.setattr(searches, "SEEDS", {"quick": 3})
    monkeypatch.setattr(sensors, "E1_GRID", 31)
    solved = np.zeros((3, searches.BUDGET))
    solved[:2] = 4
    bodies_of_runs = {"onset": np.tile(CANONICAL, (3, 1)), "final": np.tile(design(80), (3, 1))}

    def points(policy):
        return {
            name: np.concatenate([rows, np.full((3, 2), policy)], 1)
            for name, rows in bodies_of_runs.items()
        }

    felt = []

    def feel(body, weights):
        felt.append((tuple(body), tuple(weights)))
        return np.array([0.02, 0.2]) if tuple(body) == tuple(CANONICAL) else np.array([0.005, 0.1])

    monkeypatch.setattr(sensors, "felt", feel)
    verdicts = []
    for policy in (0.0, 1.0):
        monkeypatch.setattr(
            sensors, "evolved_runs", lambda _, p=policy: {"solved": solved, **points(p)}
        )
        felt.clear()
        sensors.settling(study)
        verdicts.append((study.rows[-1].value, study.rows[-1].holds, sorted(felt)))
    assert verdicts[0] == verdicts[1], "the run's own policy plays no part"
    assert verdicts[0][:2] == (0.25, True) and study.rows[-1].seeds == 2

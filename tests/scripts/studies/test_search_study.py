"""Pieces of the search study, small; completeness, code and planners have their tests beside the controller's."""

import json

import numpy as np
import pytest

from lancelet.envs import mazes
from lancelet.scripts.benches import search as bench
from lancelet.scripts.studies.search import film as films
from lancelet.scripts.studies.search import lives, novel, sac
from lancelet.scripts.studies.search import mazes as rows
from lancelet.scripts.studies.search import momentum as swing
from lancelet.scripts.studies.search import study as search
from lancelet.scripts.study import Study


@pytest.fixture
def study(tmp_path):
    return Study("search", "t", "quick", tmp_path, say=lambda _: None, seeds_of=search.SEEDS_OF)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(novel, "SEEDS", {"quick": 2})
    monkeypatch.setattr(novel, "PERIOD", 400)
    monkeypatch.setattr(novel, "TRIALS", 2)


@pytest.mark.slow
def test_agents_side_by_side_live_in_worlds_of_their_own():
    maps = [mazes.named("umaze"), mazes.with_cells(mazes.named("umaze"), {(2, 1): "."})]
    world = lives.World(maps, np.tile((1, 1), (2, 1)), np.tile((3, 1), (2, 1)))
    assert world.shortest.tolist() == [6, 2]
    found = lives.live(lives.agent(), world, 2, budget=3000)
    assert found.solved.all() and found.steps.shape == (2, 2)
    alone = lives.live(lives.agent(), lives.fixed("umaze", 1), 2, budget=3000)
    assert found.steps[0].tolist() == alone.steps[0].tolist()
    known = lives.oracle(world)
    assert known.steps[0, 0] > 1.5 * known.steps[1, 0], "each oracle has the map of its own world"


def test_what_is_not_solved_counts_as_the_budget_and_is_told():
    found = lives.live(lives.agent(lesions=("depression",)), lives.fixed("umaze", 2), budget=60)
    assert found.steps.tolist() == [[60], [60]] and not found.solved.any()
    assert "2 of 2 censored at 60" in found.summary()


def test_random_pairs_are_free_and_far_enough_apart():
    layouts = [mazes.named("perfect:5", seed) for seed in range(3)]
    world = lives.random_pairs(layouts, 4, seed=0, least=5)
    assert world.n == 12 and world.shortest.min() >= 5 and world.maps[4] == layouts[1]


def test_a_ratio_of_medians_has_an_interval_around_it():
    value, (low, high) = lives.ratio(np.array([1.0, 2, 3, 4]), np.array([2.0, 4, 6, 8]))
    assert value == 0.5 and low <= 0.5 <= high
    value, (low, high) = lives.ratio(np.array([1.0, 2, 3]), np.array([1.0, 10.0]))
    assert low < value < high


@pytest.mark.slow
def test_a_gate_closes_on_nobody_and_agents_still_arrive(study, few):
    novel.moving_wall(study)
    assert study.rows[0].kind == "gate" and study.rows[0].holds
    assert float(study.rows[1].note.split(";")[1].split()[0]) > 0, "the gate has moved"


@pytest.mark.slow
def test_lrta_is_compared_on_the_interval_over_all_draws_and_a_broken_off_run_goes_on(
    study, monkeypatch
):
    monkeypatch.chdir(study.folder)
    monkeypatch.setattr(rows, "RANDOM_PAIRS", {"quick": 3})
    monkeypatch.setattr(rows, "LRTA_DRAWS", {"quick": 2})
    rows.against_lrta(study)
    first, second, gate, claim = study.rows
    assert first.value != second.value, "other pairs, other agents"
    assert (gate.seeds, gate.seeds_of, gate.kind) == (6, "agents", "gate")
    assert gate.interval[0] <= gate.value <= gate.interval[1]
    assert gate.holds == (gate.interval[1] <= rows.LRTA_TARGET) and claim.holds == (
        claim.interval[1] <= 1
    )
    before = list(study.rows)
    study.rows.clear()
    study.resume = True
    monkeypatch.setattr(rows, "live", None)
    rows.against_lrta(study)
    assert study.rows == before


def test_the_mountain_car_says_how_its_first_climb_compares_with_chance(study, monkeypatch):
    def lives_of(id, name, n, episodes, **options):
        steps = np.full((n, episodes), 300 if name == "random-held" else 900)
        steps[:, 2:] = 150
        return steps, np.zeros((n, episodes)), np.ones((n, episodes), bool)

    monkeypatch.setattr(swing, "lives", lives_of)
    swing.car(study)
    told = {row.name: row for row in study.rows}
    first = told["mountain car, first climb over held random actions"]
    assert first.value == 3 and first.holds is False
    assert told["mountain car, third to fifth climb over held random actions"].value == 0.5


@pytest.mark.slow
def test_steps_of_a_swing_are_counted_from_each_episodes_start():
    first, inside, solved = swing.lives(swing.CAR, "search-momentum", 2, 2)
    assert solved.all() and (first > 10).all() and (first < swing.LIMIT[swing.CAR]).all()
    assert (inside > 0).all() and (inside < 0.1).all()


def test_sac_is_read_from_its_file_and_said_to_be_missing_where_it_is_not(
    study, tmp_path, monkeypatch
):
    ours = lives.Lives(np.full((3, 1), 500), np.ones((3, 1), bool), np.ones((3, 1)), 10_000, None)
    monkeypatch.setattr(sac, "FILE", tmp_path / "sac.json")
    sac.rows(study, ours)
    assert len(study.rows) == 4 and all(
        row.value is None and "not run" in row.note for row in study.rows
    )
    study.rows.clear()
    common = {"repeat": 5, "budget": 40_000, "first": 4000}
    runs = [{**common, "seed": 0, "reliable": 25_000}, {**common, "seed": 1, "reliable": None}]
    sac.FILE.write_text(json.dumps({"runs": runs}))
    sac.rows(study, ours)
    reliable, first = study.rows[:2]
    assert reliable.value == (25_000 + 40_000) / 2 / 500
    assert ">= 40,000" in reliable.note and "lower bound" in reliable.note
    assert first.value == 8 and first.holds and study.rows[2].value is None


@pytest.mark.slow
def test_a_sac_run_counts_simulator_steps_and_ends_at_its_budget():
    run = sac.train(5, 0, budget=800, every=400)
    assert [steps for steps, _ in run["curve"]] == [400, 800] and run["reliable"] is None
    assert all(0 <= share <= 1 for _, share in run["curve"]) and json.dumps(run)


@pytest.mark.slow
def test_a_life_is_told_with_the_graph_of_every_moment():
    world = lives.fixed("umaze", 1)
    (one,), _ = films.record_life(lives.agent(), world)
    assert one.solved and len(one.moments) > 5
    steps = [step for step, _, _ in one.moments]
    assert steps == sorted(steps) and steps[-1] < len(one.track)
    counts = [graph.count for _, graph, _ in one.moments]
    assert counts == sorted(counts) and counts[-1] > counts[0]
    drawn = films.lines(*one.moments[-1][1:])
    assert drawn.shape[1] == 10 and (drawn[:, 6:] >= 0).all() and (drawn[:, 6:] <= 1).all()
    assert np.abs(drawn[:, :2]).max() < 4


@pytest.mark.slow
def test_memory_is_the_same_for_every_place(monkeypatch):
    monkeypatch.setattr(bench, "TRIALS", 1)
    rates, cpu, minds = bench._rates(3, 1, 1)
    assert len(rates) == len(cpu) == 1 and rates[0] > 0
    assert 100 < rows.memory(minds[0]) < 400
    (row,) = bench._memory(minds)
    assert "linear" in row.note

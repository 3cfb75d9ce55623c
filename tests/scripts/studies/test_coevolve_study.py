"""The study of co-evolution, small: both searches with real processes, figures of held-out starts."""

import dataclasses

import numpy as np
import pytest

from lancelet import controllers, training
from lancelet.scripts.studies.coevolve import study as coevolve
from lancelet.scripts.study import Study
from lancelet.training.runs.folder import read_config


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in {"SEEDS": 2, "EVALUATIONS": 16, "STEPS": 40}.items():
        monkeypatch.setitem(getattr(coevolve, name), "quick", value)
    monkeypatch.setattr(coevolve, "TESTS", 3)
    monkeypatch.setattr(coevolve, "POPULATION", 8)
    out = tmp_path / "out"
    return Study(
        "coevolve", "t", "quick", out, resume=True, say=lambda _: None, seeds_of=coevolve.SEEDS_OF
    )


@pytest.mark.slow
def test_both_searches_get_equal_evaluations_and_rows_are_of_held_out_starts(study):
    coevolve.run(study)
    folder = coevolve._folder(study, 1)
    individuals = coevolve.read(folder)
    assert sum(one.state in ("evaluated", "invalid") for one in individuals) == 16
    options = read_config(folder.with_name("fixed-1"))["algorithm_options"]
    assert (
        options["generations"] * options["population"] == 16
        and options["episodes"] == coevolve.EPISODES
    )
    rows = {row.name: row for row in study.rows}
    fixed = [
        controllers.load(coevolve._folder(study, seed).with_name(f"fixed-{seed}"))
        for seed in (0, 1)
    ]
    again = [
        training.evaluate(one, coevolve.TASK, 3, seed=0, max_episode_steps=40).returns.mean()
        for one in fixed
    ]
    assert rows["NCAP on the standard body: return"].value == pytest.approx(np.mean(again))
    gain = rows["co-evolved less standard body, paired by seed: return"]
    ours, theirs = (
        rows[f"{name}: return"].value
        for name in ("co-evolved body and NCAP", "NCAP on the standard body")
    )
    assert gain.value == pytest.approx(ours - theirs) and gain.holds == (gain.interval[0] >= 0)
    assert all(np.isfinite(row.value) for row in study.rows)
    kept = {"champions.json", "standard-body-0.safetensors", "standard-body-1.safetensors"}
    assert {path.name for path in study.folder.iterdir()} == {"bodies.png", "lineage.png"} | kept
    part = dataclasses.replace(study, only=("kept",), parts=coevolve.PARTS, rows=[])
    coevolve.run(part)
    assert part.rows == study.rows, "measured again with what was kept"
    assert all("centre of mass 0.0" in row.note for row in part.rows)


@pytest.mark.slow
def test_a_resumed_study_evaluates_nothing_again(study):
    coevolve._coevolved(study, 0, 8, 20)
    before = {one.id: one.done for one in coevolve.read(coevolve._folder(study, 0))}
    coevolve._coevolved(study, 0, 8, 20)
    assert before == {one.id: one.done for one in coevolve.read(coevolve._folder(study, 0))}

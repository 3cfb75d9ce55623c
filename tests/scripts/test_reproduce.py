"""The studies' frame, and a small honest part of the NCAP study."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from lancelet import LanceletError
from lancelet.optional import why_no_dm_control
from lancelet.scripts import cli, reproduce
from lancelet.scripts.rows import Row, from_json
from lancelet.scripts.studies.ncap.audit import body_and_circuit
from lancelet.scripts.studies.ncap.episodes import circuit, score
from lancelet.scripts.studies.ncap.learning import strategies
from lancelet.scripts.studies.ncap.published import PER_SEED
from lancelet.scripts.study import Study, Superseded

MAIN = [sys.executable, "-m", "lancelet.scripts.main"]


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Study("ncap", "A title", "quick", tmp_path / "out", say=lambda line: None)


@pytest.mark.slow
def test_the_gates_of_body_and_circuit_hold(study):
    body_and_circuit(study)
    *gates, oracle = study.rows
    assert [row.holds for row in gates] == [True, True]
    if why_no_dm_control() is None:
        assert oracle.holds
    else:
        assert oracle.holds is None and "dm-control" in oracle.note


def test_the_untrained_circuit_gives_the_reference_return_seed_by_seed():
    found = score(circuit(), 3).returns
    assert np.abs(found - PER_SEED[:3]).max() <= 0.5


def test_a_wrong_circuit_fails_the_reference():
    found = score(circuit(period=40), 3).returns
    assert np.abs(found - PER_SEED[:3]).max() > 50


@pytest.mark.slow
def test_searches_side_by_side_improve_and_do_not_depend_on_their_number(monkeypatch):
    start = torch.tensor([1.0, 1.0, 1.0, -1.0])
    options = {"epochs": (1, 3), "size": 4}
    found = strategies("test", circuit(), [start.clone(), start.clone()], **options)
    assert found["curve"].shape == (3, 2) and found["ends"].shape == (2, 4)
    assert found["curve"][0, 0] == found["curve"][0, 1] and 785 < found["curve"][0, 0] < 812
    assert not torch.equal(found["ends"][0], found["ends"][1])
    assert (found["curve"][-1] > found["curve"][0]).all()


def test_a_stage_is_kept_and_taken_up_only_on_resume(study):
    made = []

    def make():
        made.append(1)
        return {"curve": np.arange(3.0), "count": len(made)}

    assert study.stage("long", make)["count"] == 1
    study.resume = True
    assert study.stage("long", make)["count"] == 1 and np.array_equal(
        study.stage("long", make)["curve"], np.arange(3)
    )
    study.resume = False
    assert study.stage("long", make)["count"] == 2


def test_a_study_writes_rows_table_and_a_page_that_loads_nothing(study):
    study.within(
        "inside", "gate", 0.5, 0, 1, reference=0.4, interval=(0.4, 0.6), seeds=3, seeds_of="starts"
    )
    study.within("outside <b>", "claim", 2, 0, 1)
    study.add(Row("later", "claim", note="not run"))
    study.write("lancelet reproduce ncap --quick")
    rows = from_json(study.folder / "rows.json")
    assert [row.holds for row in rows] == [True, False, None]
    page = (study.folder / "report.html").read_text()
    assert (
        "default-src 'none'" in page
        and "http" not in page.replace("http-equiv", "")
        and "<b>" not in page
    )
    assert "| inside | gate | 0.4 | 0 .. 1 | 0.5 |" in (study.folder / "table.md").read_text()


PARTS = {"a": ("a ",), "b": ("b ", "also b"), "b too": ("b too",)}


def part_of(study, *only):
    """The same study, of some of its parts."""
    units = {"": "runs", "b": "starts"}
    return dataclasses.replace(study, parts=PARTS, only=only, rows=[], _pictures={}, seeds_of=units)


def written(study):
    return {row.name: row for row in from_json(study.folder / "rows.json")}


def test_a_part_replaces_its_rows_where_they_stood_and_keeps_all_others(study):
    names = ("first", "a 1", "a 2", "also b", "b too 1", "last")
    for name in names:
        study.add(Row(name, "info", 1.0))
    study.add(Row("old", "gate", 0.9, ">= 0.5", True, None, (0.4, 1.0)))
    study.picture("kept", "A caption", plt.figure())
    study.write("lancelet reproduce ncap")
    part = part_of(study, "a", "b too")
    for name in ("a 2", "a 3", "b too 2"):
        part.add(Row(name, "info", 2.0, seeds=3))
    part.write("lancelet reproduce ncap --only a")
    found = written(study)
    assert list(found) == ["first", "a 2", "a 3", "also b", "b too 2", "last", "old"]
    assert [row.value for row in found.values()] == [1, 2, 2, 1, 2, 1, 0.9]
    assert (found["a 3"].seeds_of, found["b too 2"].seeds_of) == ("runs", "starts")
    assert found["old"].holds is False, "a kept verdict is told by the present rule"
    table = (study.folder / "table.md").read_text()
    assert table.index("`lancelet reproduce ncap` ") < table.index(
        "`lancelet reproduce ncap --only a` "
    )
    assert "A caption" in (study.folder / "report.html").read_text()
    part.write("lancelet reproduce ncap --only a")
    assert (study.folder / "table.md").read_text().count("--only a`") == 1


def test_a_figure_of_networks_whose_weights_are_gone_is_not_printed(study):
    for name in ("net 1", "net 2", "plant"):
        study.add(Row(name, "claim", 1.0, ">= 0", True, interval=(0.5, 1.5)))
    study.write("lancelet reproduce ncap")
    (study.folder / "two.safetensors").write_bytes(b"")
    kept = part_of(study)
    kept.weights_of = {"net 1": "one.safetensors", "net 2": "two.safetensors"}
    kept.write("lancelet reproduce ncap --judge")
    found = written(study)
    assert (
        found["net 1"].value is None
        and found["net 1"].holds is None
        and "one.safetensors" in found["net 1"].note
    )
    assert found["net 1"].note.endswith("as it was measured it held")
    assert found["net 2"].value == found["plant"].value == 1.0


def test_a_superseded_row_is_no_longer_told_until_it_is_measured_again(study):
    study.add(Row("a 1", "claim", 1.0, "> 0", True, note="p = 0.1, Holm 1"))
    study.add(Row("a 2", "claim", 1.0, "> 0", True, note="p = 0.1"))
    study.write("lancelet reproduce ncap")
    kept = part_of(study)
    kept.superseded = (Superseded("a ", "Holm 1", "never computed"),)
    kept.write("lancelet reproduce ncap --judge")
    found = written(study)
    assert (found["a 1"].value, found["a 1"].holds, found["a 1"].note) == (
        None,
        None,
        "never computed",
    )
    assert found["a 2"].value == 1.0, "measured since"


def test_seeds_without_what_they_count_are_refused(study):
    with pytest.raises(LanceletError, match="not of what"):
        study.add(Row("a", "info", 1.0, seeds=3))
    study.add(Row("a", "info", 1.0, seeds=3, seeds_of="trainings"))
    assert study.rows[0].seeds_of == "trainings"


def test_parts_are_checked_before_anything_is_measured(study, tmp_path):
    with pytest.raises(LanceletError, match="no such part; parts: a, b, b too"):
        part_of(study, "c")
    with pytest.raises(LanceletError, match="rows could be kept"):
        reproduce.main(["ncap", "--only", "untrained", "--out", str(tmp_path / "none")])
    with pytest.raises(LanceletError, match="not both"):
        reproduce.main(["ncap", "--only", "untrained", "--judge"])


@pytest.mark.parametrize("name", cli.studies())
def test_every_part_of_a_study_has_rows_among_those_committed(name):
    module = cli.study(name)
    path = Path(__file__).resolve().parents[2] / "results" / name / "rows.json"
    if not hasattr(module, "PARTS"):
        pytest.skip("measured as a whole")
    names = [row.name for row in from_json(path)]
    for part, beginnings in module.PARTS.items():
        assert any(row.startswith(tuple(beginnings)) for row in names), part


def test_committed_results_are_rows_with_the_keys_of_the_design():
    path = Path(__file__).resolve().parents[2] / "results" / "ncap" / "rows.json"
    rows = json.loads(path.read_text())
    keys = {"name", "kind", "value", "target", "holds", "seeds", "interval", "note"}
    assert rows and all(keys <= row.keys() for row in rows)
    assert all(row["holds"] for row in rows if row["kind"] == "gate")


def test_bad_calls_are_one_line():
    with pytest.raises(LanceletError, match="not both"):
        reproduce.main(["ncap", "--quick", "--full"])
    done = subprocess.run([*MAIN, "reproduce", "ncpa"], capture_output=True, text=True)
    assert (
        done.returncode == 2
        and "did you mean ncap?" in done.stderr
        and "Traceback" not in done.stderr
    )

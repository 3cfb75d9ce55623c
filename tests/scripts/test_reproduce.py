"""The studies' frame, and a small honest part of the NCAP study."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lancelet import LanceletError
from lancelet.scripts import reproduce
from lancelet.scripts.rows import Row, from_json
from lancelet.scripts.studies import ncap
from lancelet.scripts.study import Study

MAIN = [sys.executable, "-m", "lancelet.scripts.main"]


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Study("ncap", "A title", "quick", tmp_path / "out", say=lambda line: None)


def test_the_gates_of_body_and_circuit_hold(study):
    ncap.body_and_circuit(study)
    assert [row.holds for row in study.rows] == [True, True, True]


def test_the_untrained_circuit_gives_the_reference_return_seed_by_seed():
    found = ncap.score(ncap.circuit(), 3).returns
    assert np.abs(found - ncap.PER_SEED[:3]).max() <= 0.5


def test_a_wrong_circuit_fails_the_reference():
    found = ncap.score(ncap.circuit(period=40), 3).returns
    assert np.abs(found - ncap.PER_SEED[:3]).max() > 50


def test_searches_side_by_side_improve_and_do_not_depend_on_their_number(monkeypatch):
    start = torch.tensor([1.0, 1.0, 1.0, -1.0])
    options = {"epochs": (1, 3), "size": 4}
    found = ncap.strategies("test", ncap.circuit(), [start.clone(), start.clone()], **options)
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
    assert study.stage("long", make)["count"] == 1 and np.array_equal(study.stage("long", make)["curve"], np.arange(3))
    study.resume = False
    assert study.stage("long", make)["count"] == 2


def test_a_study_writes_rows_table_and_a_page_that_loads_nothing(study):
    study.within("inside", "gate", 0.5, 0, 1, reference=0.4, interval=(0.4, 0.6), seeds=3)
    study.within("outside <b>", "claim", 2, 0, 1)
    study.add(Row("later", "claim", note="not run"))
    study.write("lancelet reproduce ncap --quick")
    rows = from_json(study.folder / "rows.json")
    assert [row.holds for row in rows] == [True, False, None]
    page = (study.folder / "report.html").read_text()
    assert "default-src 'none'" in page and "http" not in page.replace("http-equiv", "") and "<b>" not in page
    assert "| inside | gate | 0.4 | 0 .. 1 | 0.5 |" in (study.folder / "table.md").read_text()


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
    assert done.returncode == 2 and "did you mean ncap?" in done.stderr and "Traceback" not in done.stderr

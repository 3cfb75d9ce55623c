import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from lancelet import LanceletError
from lancelet.scripts import rows
from lancelet.scripts.rows import Row

SOME = [
    rows.at_least(
        "single env vs dm_control",
        "speed",
        1.74,
        1.2,
        note="median of 5 rounds, one thread each " * 4,
    ),
    rows.at_most("import", "speed", np.float64(2.5), 1.5),
    Row("A8 parameters", "claim", 912.3, ">= 865", True, 10, (901.0, 920.5), reference=865),
    Row("EnvPool", "info", note="not installed | skipped"),
]


def test_json_has_exactly_the_keys_and_comes_back(tmp_path):
    rows.to_json(SOME, tmp_path / "deep" / "rows.json")
    items = json.loads((tmp_path / "deep" / "rows.json").read_text())
    keys = {
        "name",
        "kind",
        "value",
        "target",
        "holds",
        "seeds",
        "interval",
        "note",
        "reference",
        "seeds_of",
    }
    assert all(set(item) == keys for item in items)
    assert [item["holds"] for item in items] == [True, False, True, None]
    assert items[1]["value"] == 2.5 and items[3]["value"] is None
    assert rows.from_json(tmp_path / "deep" / "rows.json") == SOME


def test_rows_of_before_it_was_said_what_seeds_count_are_read(tmp_path):
    old = {"name": "x", "kind": "gate", "value": 1.0, "target": ">= 1", "holds": True, "seeds": 5}
    old |= {"interval": [0.9, 1.1], "note": "", "reference": None}
    (tmp_path / "old.json").write_text(json.dumps([old]))
    (row,) = rows.from_json(tmp_path / "old.json")
    assert (row.seeds, row.seeds_of, row.interval) == (5, "", (0.9, 1.1))
    assert "| 5 |" in rows.to_markdown([row])
    told = dataclasses.replace(row, seeds_of="trainings")
    assert "| 5 trainings |" in rows.to_markdown([told])


@pytest.mark.parametrize(
    ("value", "interval", "holds"),
    [
        (0.8, None, True),
        (0.8, (0.7, 0.85), True),
        (0.8, (0.7, 0.9), False),
        (0.9, (0.86, 1.0), False),
    ],
    ids=[
        "no interval",
        "all of it within",
        "it reaches over the target",
        "value and interval outside",
    ],
)
def test_a_verdict_is_of_the_interval(value, interval, holds):
    below = rows.at_most("a", "gate", value, 0.85, interval=interval)
    mirrored = None if interval is None else (-interval[1], -interval[0])
    above = rows.at_least("a", "gate", -value, -0.85, interval=mirrored)
    inside = rows.between("a", "gate", value, 0.0, 0.85, interval=interval)
    assert below.holds is above.holds is inside.holds is holds
    undecided = value <= 0.85 and not holds
    assert all((rows.UNDECIDED in row.note) == undecided for row in (below, above, inside))


def test_a_value_that_is_no_number_holds_nothing():
    assert not rows.at_least("a", "gate", float("nan"), 0.0).holds
    assert not rows.between("a", "gate", 0.5, 0.0, 1.0, interval=(0.4, float("nan"))).holds


@pytest.mark.parametrize(
    ("target", "holds"),
    [
        ("<= 0.85", False),
        ("> 0.5", True),
        ("0.5 .. 0.8", False),
        ("-0.2 .. 2e+3", True),
        ("interval excludes 1", True),
    ],
)
def test_a_row_from_a_file_is_judged_again_where_its_target_is_a_number(target, holds):
    row = Row("a", "claim", 0.7, target, True, 5, (0.6, 0.9), "told")
    again = rows.judged_again(row)
    assert again.holds is holds and again.note.endswith("told")
    assert rows.judged_again(again) == again
    never = dataclasses.replace(row, holds=None)
    assert rows.judged_again(never) == never
    assert rows.judged_again(dataclasses.replace(row, holds=False)).holds is False


def test_every_committed_verdict_is_the_one_of_the_rule():
    files = sorted((Path(__file__).resolve().parents[2] / "results").glob("*/*.json"))
    judged = [path for path in files if path.name == "rows.json" or path.parent.name == "bench"]
    assert len(judged) > 10
    for path in judged:
        for row in rows.from_json(path):
            assert rows.judged_again(row) == row, (path, row.name)
            assert row.seeds is None or row.seeds_of, (path, row.name)


def test_json_of_a_nan_is_null(tmp_path):
    rows.to_json(
        [Row("x", "info", float("nan"), interval=(float("-inf"), 1.0))], tmp_path / "r.json"
    )
    (item,) = json.loads((tmp_path / "r.json").read_text())
    assert item["value"] is None and item["interval"] == [None, 1.0]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LanceletError, match="cannot write"):
        rows.to_json(SOME, tmp_path / "file" / "rows.json")


@pytest.mark.parametrize("width", [60, 100])
def test_the_table_keeps_within_the_terminal(width):
    out = io.StringIO()
    Console(file=out, width=width).print(rows.table(SOME, title="bench"))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert all(word in text for word in ("1.74", "yes", "no", "901"))


def test_markdown_has_one_line_a_row():
    lines = rows.to_markdown(SOME).splitlines()
    assert len(lines) == 2 + len(SOME)
    assert "\\|" in lines[-1]


def test_header_names_versions():
    assert "mujoco" in rows.header()["versions"] and "cores" in rows.header()["machine"]

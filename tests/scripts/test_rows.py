import io
import json

import numpy as np
import pytest
from rich.console import Console

from lancelet import LanceletError
from lancelet.scripts import rows
from lancelet.scripts.rows import Row

SOME = [
    rows.at_least("single env vs dm_control", "speed", 1.74, 1.2, note="median of 5 rounds, one thread each " * 4),
    rows.at_most("import", "speed", np.float64(2.5), 1.5),
    Row("A8 parameters", "claim", 912.3, ">= 865", True, 10, (901.0, 920.5), reference=865),
    Row("EnvPool", "info", note="not installed | skipped"),
]


def test_json_has_exactly_the_keys_and_comes_back(tmp_path):
    rows.to_json(SOME, tmp_path / "deep" / "rows.json")
    items = json.loads((tmp_path / "deep" / "rows.json").read_text())
    keys = {"name", "kind", "value", "target", "holds", "seeds", "interval", "note", "reference"}
    assert all(set(item) == keys for item in items)
    assert [item["holds"] for item in items] == [True, False, True, None]
    assert items[1]["value"] == 2.5 and items[3]["value"] is None
    assert rows.from_json(tmp_path / "deep" / "rows.json") == SOME


def test_json_of_a_nan_is_null(tmp_path):
    rows.to_json([Row("x", "info", float("nan"), interval=(float("-inf"), 1.0))], tmp_path / "r.json")
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

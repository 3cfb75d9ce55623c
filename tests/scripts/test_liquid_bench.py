"""The bench of the liquid networks times what it says, and says what it could not time."""

import importlib.util

import pytest

from lancelet.scripts.benches import liquid


@pytest.mark.slow
def test_every_row_has_a_value(monkeypatch):
    for name, value in (
        ("STEPS", 3),
        ("BATCH", 4),
        ("POPULATION", 4),
        ("CONTROL_STEPS", 2),
        ("QUICK_ROUNDS", 2),
    ):
        monkeypatch.setattr(liquid, name, value)
    rows = liquid.run(quick=True)
    goals = [row for row in rows if row.kind == "speed"]
    assert [row.target for row in goals] == [">= 2", ">= 3", ">= 3", "<= 1.5"]
    assert all(row.value > 0 for row in rows)


def test_without_the_library_its_rows_are_not_run(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(liquid, "STEPS", 2)
    monkeypatch.setattr(liquid, "BATCH", 2)
    rows = liquid._training_rows(1)
    missing = [row for row in rows if row.holds is None and row.kind == "speed"]
    assert len(missing) == 2 and all("ncps is missing" in row.note for row in missing)

"""What compares with dm_control says in one line where it is missing; nothing else needs it."""

import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from lancelet import optional
from lancelet.scripts import doctor
from lancelet.scripts.benches import envs
from lancelet.scripts.studies.ncap import study as ncap


@pytest.fixture
def python_without_dm_control(monkeypatch):
    """This process as Python 3.13 is: no dm_control to import, and none expected."""
    monkeypatch.setitem(sys.modules, "dm_control", None)
    monkeypatch.setattr(optional.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(optional, "WITHOUT_DM_CONTROL", (3, 0))
    version = doctor._version
    monkeypatch.setattr(
        doctor, "_version", lambda name: None if name == "dm-control" else version(name)
    )


def test_rows_that_need_it_are_not_run_and_say_why(python_without_dm_control):
    oracle = ncap._oracle_row()
    (single,) = envs._single(1)
    for row in (oracle, single):
        assert row.value is None
        assert row.holds is None
        assert "3.13" in row.note
        assert "\n" not in row.note


def test_doctor_takes_mujoco_alone_and_says_why(python_without_dm_control):
    row = doctor._pair()
    assert row.holds
    assert str(row.value).startswith("mujoco ")
    assert "labmaze" in row.note


def test_doctor_asks_for_it_where_it_could_be_had(python_without_dm_control, monkeypatch):
    monkeypatch.setattr(optional, "WITHOUT_DM_CONTROL", (4, 0))
    row = doctor._pair()
    assert not row.holds
    assert "make setup" in row.note


def test_the_dependency_is_left_out_on_python_3_13_only():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    needed = [Requirement(line) for line in project["dependencies"]]
    (marker,) = [one.marker for one in needed if one.name == "dm-control"]
    assert marker is not None
    assert [
        marker.evaluate({"python_version": version}) for version in ("3.11", "3.12", "3.13")
    ] == [True, True, False]

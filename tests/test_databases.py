"""Databases of strangers: read whatever their path, never written, never for ever."""

import os
import sqlite3

import pytest

from lancelet import LanceletError, databases


def test_a_database_is_read_whatever_its_path_and_never_written(tmp_path):
    for name in ("plain", "a#b", "a?b", "a%41"):
        folder = tmp_path / name
        folder.mkdir()
        with sqlite3.connect(folder / "x.sqlite") as own:
            own.execute("create table t (x)")
            own.execute("insert into t values (1)")
        own.close()
        database = databases.open_to_read(folder / "x.sqlite", folder)
        assert database.execute("select x from t").fetchall() == [(1,)]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            database.execute("insert into t values (2)")
        database.close()
        assert os.listdir(folder) == ["x.sqlite"]
    assert sorted(os.listdir(tmp_path)) == ["a#b", "a%41", "a?b", "plain"]


def test_a_query_without_an_end_is_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(databases, "MOST_INSTRUCTIONS", 5_000_000)
    sqlite3.connect(tmp_path / "x.sqlite").execute("create table t (x)")
    database = databases.open_to_read(tmp_path / "x.sqlite", tmp_path)
    endless = (
        "with recursive n(x) as (select 1 union all select x + 1 from n) select count(*) from n"
    )
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        database.execute(endless).fetchall()
    database.close()


@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-journal"])
def test_files_of_a_database_that_are_links_or_pipes_are_refused(tmp_path, ending):
    folder = tmp_path / "run"
    folder.mkdir()
    sqlite3.connect(folder / "x.sqlite").execute("create table t (x)")
    beside = folder / f"x.sqlite{ending}"
    beside.unlink(missing_ok=True)
    os.mkfifo(beside)
    with pytest.raises(LanceletError, match="pipe"):
        databases.open_to_read(folder / "x.sqlite", folder)
    beside.unlink()
    (tmp_path / "victim").write_text("")
    beside.symlink_to(tmp_path / "victim")
    with pytest.raises(LanceletError, match="is a link"):
        databases.open_to_read(folder / "x.sqlite", folder)
    assert (tmp_path / "victim").read_text() == ""

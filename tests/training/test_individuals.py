"""The database of a co-evolution: nothing acknowledged is lost, and nobody else writes."""

import json
import random
import shutil
import sqlite3

import pytest

from lancelet import LanceletError
from lancelet.training.individuals import NAME, Individual, Individuals, read, settings

SETTINGS = {"seed": 0, "task": "lancelet/Swim-v0"}


def born(number, **rest):
    return Individual(number, [number - 1] if number else [], "random", json.dumps({"n": number}), **rest)


def done(one, fitness):
    one.state, one.fitness, one.figures, one.done = "evaluated", fitness, {"speed": fitness / 2}, 1.0
    return one


def test_what_is_recorded_is_read_back(tmp_path):
    store = Individuals(tmp_path, SETTINGS)
    people = [born(0), born(1, layer=1)]
    store.record(births=people)
    assert [(one.state, one.fitness) for one in read(tmp_path)] == [("born", None)] * 2
    store.record([done(people[0], 3.5)], [born(2)], seconds=7.5)
    found = read(tmp_path)
    assert [one.id for one in found] == [0, 1, 2] and found[1].parents == [0] and found[1].layer == 1
    assert found[0].fitness == 3.5 and found[0].figures == {"speed": 1.75} and found[0].born > 0
    assert settings(tmp_path) == SETTINGS
    store.close()
    again = Individuals(tmp_path, SETTINGS)
    assert again.get("seconds") == 7.5 and again.epoch == 2
    db = sqlite3.connect(tmp_path / NAME)
    assert db.execute("pragma journal_mode").fetchone() == ("wal",)
    assert db.execute("select count(*) from individuals where fitness is null").fetchone() == (2,)


def test_a_transaction_is_all_or_nothing(tmp_path):
    store = Individuals(tmp_path, SETTINGS)
    with pytest.raises(LanceletError, match="damaged or no database: UNIQUE"):
        store.record(births=[born(0), born(1), born(0)])
    assert read(tmp_path) == []
    store.record(births=[born(0)])
    assert len(read(tmp_path)) == 1


def test_a_journal_cut_anywhere_loses_whole_transactions_only(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    store = Individuals(run, SETTINGS)
    ends = []
    for number in range(40):
        store.record([done(born(number - 1), 1.0)] if number else [], [born(number)])
        ends.append((run / f"{NAME}-wal").stat().st_size)
    rng = random.Random(0)
    whole = ends[-1]
    for k in range(40):
        torn = tmp_path / f"torn{k}"
        shutil.copytree(run, torn)
        # half the cuts lie within the last transaction: of those it alone may be lost
        cut = rng.randrange(ends[-2], whole) if k % 2 else rng.randrange(whole)
        with open(torn / f"{NAME}-wal", "r+b") as file:
            file.truncate(cut)
        again = Individuals(torn, SETTINGS)
        people = again.all()
        assert [one.id for one in people] == list(range(len(people)))
        assert len(people) >= sum(end <= cut for end in ends) and (not k % 2 or len(people) >= 39)
        assert [one.fitness for one in people] == [1.0] * (len(people) - 1) + [None] * bool(people)
        assert sqlite3.connect(torn / NAME).execute("pragma integrity_check").fetchone() == ("ok",)
        again.record(births=[born(len(people))])
        again.close()
        shutil.rmtree(torn)


def test_a_full_disk_loses_nothing_and_the_run_goes_on_when_there_is_room(tmp_path):
    store = Individuals(tmp_path, SETTINGS)
    store.record(births=[born(0)])
    (pages,) = store._db.execute("pragma page_count").fetchone()
    store._db.execute(f"pragma max_page_count={pages + 3}")  # what SQLite meets when the file cannot grow
    with pytest.raises(LanceletError, match="the disk is full; every result so far is safe: make room and --resume"):
        for number in range(1, 1000):
            store.record(births=[born(number)])
    kept = len(read(tmp_path))
    assert 1 < kept < 999
    store._db.execute("pragma max_page_count=1000000")
    store.record(births=[born(kept)])
    assert [one.id for one in read(tmp_path)] == list(range(kept + 1))


def test_a_driver_that_was_overtaken_writes_no_more(tmp_path):
    first = Individuals(tmp_path, SETTINGS)
    second = Individuals(tmp_path, SETTINGS)
    with pytest.raises(LanceletError, match="another process has taken this run over"):
        first.record(births=[born(0)])
    second.record(births=[born(0)])
    assert len(read(tmp_path)) == 1


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("pragma user_version=7", "has schema 7: this version of Lancelet reads 1"),
        ("pragma user_version=0", "no schema version: not of Lancelet"),
    ],
)
def test_another_schema_is_refused_in_one_line(tmp_path, statement, says):
    Individuals(tmp_path, SETTINGS).close()
    sqlite3.connect(tmp_path / NAME).execute(statement)
    for opens in (lambda: Individuals(tmp_path, SETTINGS), lambda: read(tmp_path)):
        with pytest.raises(LanceletError, match=says):
            opens()


def test_other_settings_and_files_that_are_no_database_are_refused(tmp_path):
    Individuals(tmp_path, SETTINGS).close()
    with pytest.raises(LanceletError, match="was run with seed = 0, not 1: give another --folder"):
        Individuals(tmp_path, {**SETTINGS, "seed": 1})
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(LanceletError, match="holds no co-evolution"):
        read(other)
    (other / NAME).write_text("not a database at all, but text that is long enough to have a header" * 20)
    with pytest.raises(LanceletError, match="damaged or no database"):
        Individuals(other, SETTINGS)

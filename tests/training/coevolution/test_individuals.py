"""The database of a co-evolution: nothing acknowledged is lost, and nobody else writes."""

import json
import random
import shutil
import sqlite3

import pytest

from lancelet import LanceletError
from lancelet.training.coevolution.individuals import NAME, Individual, Individuals, read, settings

SETTINGS = {"seed": 0, "task": "lancelet/Swim-v0"}


def born(number, **rest):
    return Individual(
        number, [number - 1] if number else [], "random", json.dumps({"n": number}), **rest
    )


def done(one, fitness):
    one.state, one.fitness, one.figures, one.done = (
        "evaluated",
        fitness,
        {"speed": fitness / 2},
        1.0,
    )
    return one


def test_what_is_recorded_is_read_back(tmp_path):
    store = Individuals(tmp_path, SETTINGS)
    people = [born(0), born(1, layer=1)]
    store.record(births=people)
    assert [(one.state, one.fitness) for one in read(tmp_path)] == [("born", None)] * 2
    store.record([done(people[0], 3.5)], [born(2)], seconds=7.5)
    found = read(tmp_path)
    assert (
        [one.id for one in found] == [0, 1, 2] and found[1].parents == [0] and found[1].layer == 1
    )
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
    store._db.execute(
        f"pragma max_page_count={pages + 3}"
    )  # what SQLite meets when the file cannot grow
    with pytest.raises(
        LanceletError, match="the disk is full; every result so far is safe: make room and --resume"
    ):
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
    (other / NAME).write_text(
        "not a database at all, but text that is long enough to have a header" * 20
    )
    with pytest.raises(LanceletError, match="damaged or no database"):
        Individuals(other, SETTINGS)


def _evolved(folder):
    store = Individuals(folder, SETTINGS)
    store.record([done(born(0), 3.5)], [born(0), born(1)])
    store.record([done(born(0), 3.5)])
    store.close()
    return folder


VIEW = (
    "create view individuals as with recursive n(x) as (select 0 union all select x + 1 from n) "
    "select x as id, '[]' as parents, '' as operator, '' as genome, 0 as layer, 'born' as state, null as fitness, "
    "null as figures, null as learned, 0 as tries, null as reason, null as seconds, 0.0 as born, null as done from n"
)
TRIGGER = "create trigger t after update on individuals begin insert into run select hex(randomblob(9)), 1; end"
COMPUTED = "alter table individuals add column x as (hex(zeroblob(1000000)))"


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        (("drop table individuals", VIEW), "holds a 'view' called 'individuals'"),
        ((TRIGGER,), "holds a 'trigger' called 't'"),
        (("create index i on individuals (hex(genome))",), "holds a 'index' called 'i'"),
        (("create table more (x)",), "holds a 'table' called 'more'"),
        ((COMPUTED,), "table individuals is missing or has other columns"),
        (("drop table run",), "table run is missing"),
    ],
)
def test_a_strangers_schema_is_refused_by_reader_and_driver(tmp_path, statements, says):
    db = sqlite3.connect(_evolved(tmp_path) / NAME)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()
    for opens in (
        lambda: Individuals(tmp_path, SETTINGS),
        lambda: read(tmp_path),
        lambda: settings(tmp_path),
    ):
        with pytest.raises(LanceletError, match=says) as error:
            opens()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("id", 7, "individual 1 has id = 7: ids must count births"),
        ("parents", "[1]", "parents = '.1.': must be a list of at most 2 ids below its own"),
        ("parents", "[99]", "ids below its own"),
        ("parents", "[-1]", "ids below its own"),
        ("parents", "[0, 0, 0]", "at most 2"),
        ("parents", "{}", "must be a list"),
        ("parents", "[true]", "must be a list"),
        ("parents", "[", "parents is not JSON"),
        ("parents", "[" * 100_000, "parents is not JSON"),
        ("parents", b"\xff", "parents = b'.xff': must be text"),
        ("operator", "\x1b[2J", "few printable words"),
        ("operator", "x" * 1000, "few printable words"),
        ("genome", b"", "genome = b'': must be text"),
        ("layer", "x", "layer = 'x'"),
        ("layer", -1, "layer = -1"),
        ("state", "dead", "state = 'dead': must be born, evaluated"),
        ("fitness", "high", "fitness = 'high'"),
        ("fitness", 1e999, "fitness = inf"),
        ("figures", "[1]", "figures = '.1.': must be names"),
        ("figures", '{"a": NaN}', "finite numbers"),
        ("figures", '{"a": 1%s}' % ("0" * 400), "whole number of more than 128 bits"),
        ("learned", '{"a": 1}', "lists of finite numbers"),
        ("learned", '{"a": [null]}', "lists of finite numbers"),
        ("learned", "7", "lists of finite numbers"),
        ("tries", 0.5, "tries = 0.5"),
        ("reason", 7.0, None),
        ("reason", b"x", "reason = b'x': must be text"),
        ("seconds", "x", "seconds = 'x'"),
        ("born", "x", "born = 'x'"),
        ("done", b"", "done = b''"),
    ],
)
def test_a_row_that_cannot_be_is_one_line_that_names_it(tmp_path, column, value, says):
    db = sqlite3.connect(_evolved(tmp_path) / NAME)
    db.execute(f"update individuals set {column} = ? where id = 1", (value,))
    db.commit()
    db.close()
    if says is None:  # SQLite made text of it
        assert read(tmp_path)[1].reason == "7.0"
        return
    with pytest.raises(LanceletError, match=says) as error:
        read(tmp_path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("delete from run where name = 'settings'", "its run has no settings"),
        ("update run set value = '[]' where name = 'settings'", "its settings are list"),
        ("update run set value = '{' where name = 'settings'", "settings of .* is not JSON"),
        ("update run set value = '\"x\"' where name = 'epoch'", "epoch of .* = 'x'"),
    ],
)
def test_values_of_a_run_that_cannot_be_are_one_line(tmp_path, statement, says):
    db = sqlite3.connect(_evolved(tmp_path) / NAME)
    db.execute(statement)
    db.commit()
    db.close()
    with pytest.raises(LanceletError, match=says) as error:
        Individuals(tmp_path, SETTINGS)
    assert "\n" not in str(error.value)


def test_a_tree_of_pages_that_leads_to_the_same_rows_again_and_again_ends(tmp_path):
    """Interior pages that all point to one leaf: 4 KiB of file each multiply the rows by hundreds."""
    db = sqlite3.connect(_evolved(tmp_path) / NAME)
    for number in range(2, 3000):
        db.execute("insert into individuals select ?, parents, operator, genome, layer, state, fitness, figures, "
                   "learned, tries, reason, seconds, born, done from individuals where id = 1", (number,))  # fmt: skip
    db.commit()
    (root,) = db.execute("select rootpage from sqlite_master where name = 'individuals'").fetchone()
    (size,) = db.execute("pragma page_size").fetchone()
    db.execute("pragma journal_mode=delete")
    db.close()
    data = bytearray((tmp_path / NAME).read_bytes())
    page = (root - 1) * size
    assert data[page] == 5, "the root of the table is an interior page"
    cells = int.from_bytes(data[page + 3 : page + 5], "big")
    first = int.from_bytes(data[page + 12 : page + 14], "big")
    leaf = data[page + first : page + first + 4]
    for cell in range(cells):
        at = int.from_bytes(data[page + 12 + 2 * cell : page + 14 + 2 * cell], "big")
        data[page + at : page + at + 4] = leaf
    (tmp_path / NAME).write_bytes(data)
    with pytest.raises(LanceletError, match=r"ids must count births from 0 without gaps|damaged"):
        read(tmp_path)


def test_a_driver_writes_through_no_link(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("")
    for number, name in enumerate((NAME, f"{NAME}-wal", f"{NAME}-shm", f"{NAME}-journal")):
        for target in ("victim", "none"):
            run = tmp_path / f"run{number}{target}"
            run.mkdir()
            (run / name).symlink_to(outside / target)
            with pytest.raises(LanceletError, match="is a link"):
                Individuals(run, SETTINGS)
    assert [path.name for path in outside.iterdir()] == ["victim"]
    assert (outside / "victim").read_text() == ""

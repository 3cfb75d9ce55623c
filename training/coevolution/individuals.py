"""The individuals of a co-evolution in one SQLite file: births before they are sent, results after (WAL, FULL).

Anyone may read it while the run goes on; only its driver writes. What was committed survives ``kill -9`` and power loss
(docs/libraries.md, "SQLite").
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ... import databases, foreign
from ...checks import whole_number
from ...errors import LanceletError
from ..runs.folder import unchanged
from .individual_rows import State, check_schema, checked_row

SCHEMA = 1
"""version of the tables, which SQLite keeps as the database's user_version"""
NAME = "individuals.sqlite"
"""name of the database in a run folder"""
_TABLES = """
create table run (name text primary key, value text not null);
create table individuals (
    id integer primary key,      -- birth order, from 0 without gaps
    parents text not null,       -- JSON list of ids
    operator text not null,      -- what made it
    genome text not null,        -- JSON, morphology.genome
    layer integer not null,      -- age: generations since its oldest ancestor was drawn at random
    state text not null,         -- born, evaluated, invalid, quarantined
    fitness real,                -- null until evaluated, the worst number there is where it was invalid
    figures text,                -- JSON: metrics, objectives
    learned text,                -- JSON: weights by lineage name where learning changed them
    tries integer not null,      -- times that a process died over it
    reason text,                 -- why it is invalid or quarantined
    seconds real,                -- of its evaluation
    born real not null,          -- Unix time
    done real
);
"""


COLUMNS = (
    "id",
    "parents",
    "operator",
    "genome",
    "layer",
    "state",
    "fitness",
    "figures",
    "learned",
    "tries",
    "reason",
    "seconds",
    "born",
    "done",
)
"""columns of the table of individuals, in the order in which rows are read"""
_COLUMN_NAMES = ", ".join(COLUMNS)
_PARAMETERS = ", ".join(f":{column}" for column in COLUMNS)
_INSERT = f"insert into individuals ({_COLUMN_NAMES}) values ({_PARAMETERS})"
_UPDATE = """
update individuals
set state = :state, fitness = :fitness, figures = :figures, learned = :learned, tries = :tries,
    reason = :reason, seconds = :seconds, done = :done
where id = :id
"""
"""what an evaluation may change; all else is as it was at birth"""
BUSY_SECONDS = 5
"""s that SQLite waits for whoever is writing"""


@dataclass
class Individual:
    """One body with its controller: a row of the database."""

    id: int
    """number of its birth, from 0 without gaps"""
    parents: list[int]
    """ids; none for random ones, at most two"""
    operator: str
    """what made it, in words"""
    genome: str
    """JSON of a `morphology.genome.Genome`"""
    layer: int = 0
    """age: generations since its oldest ancestor was drawn at random"""
    state: State = "born"
    """born: without a result yet; evaluated; invalid: its body or its episodes failed; quarantined: never tried again"""
    fitness: float | None = None
    """mean return; None until it is evaluated, `FAILED` of `training.rollout` where it is invalid"""
    figures: dict[str, float] = field(default_factory=dict)
    """means of the task's metrics over its episodes"""
    learned: dict[str, list[float]] = field(default_factory=dict)
    """weights by lineage name where learning changed them"""
    tries: int = 0
    """processes that died over it"""
    reason: str | None = None
    """why it is invalid or quarantined, or how the last process died over it"""
    seconds: float | None = None
    """s of a worker that its evaluation took"""
    born: float = 0.0
    """Unix time, s, of its birth; 0 until it is recorded"""
    done: float | None = None
    """Unix time, s, of its result"""


class Individuals:
    """The database of one run folder, for its driver; use `read` to look on.

    Args:
        folder: of the run.
        settings: JSON values that must not change between sessions of a run; kept where the database is new.

    Raises:
        LanceletError: another schema or other settings; a database that SQLite finds damaged; a full disk.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.path = folder / NAME
        databases.check_files(self.path, inside=folder)
        with _sqlite_errors(self.path):
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=BUSY_SECONDS)
            try:
                self._begin(folder, settings)
            except BaseException:
                # A notebook keeps the exception, and with it this object and its lock.
                self._db.close()
                raise
        self._files = self._on_disk()

    def _begin(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Make the tables where there are none, and take the run over where its settings are the same."""
        databases.distrust(self._db)
        # Readers are let in while the driver writes.
        self._db.execute("pragma journal_mode=WAL")
        # What is committed outlives a loss of power: SQLite's usual setting of this mode would not promise it.
        self._db.execute("pragma synchronous=FULL")
        version = _version(self._db, self.path)
        with self._transaction(begun=False):
            if version == 0:
                for statement in _TABLES.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"pragma user_version={SCHEMA}")
                self._put(settings=dict(settings), seconds=0.0, epoch=0)
            saved = _settings(self._db, self.path)
            unchanged(folder, saved, settings, sorted(saved.keys() | settings.keys()))
            # The epoch counts sessions: a driver that sees a later one than its own has been overtaken.
            self.epoch = whole_number(f"epoch of {self.path}", self.get("epoch"), 0) + 1
            self._put(epoch=self.epoch)

    def all(self) -> list[Individual]:
        """Every row, in order of birth."""
        with _sqlite_errors(self.path):
            return _rows(self._db, self.path)

    def get(self, name: str) -> Any:
        """A value of the run: ``settings``, ``seconds`` of all sessions so far, ``epoch`` (sessions)."""
        return _value(self._db, self.path, name)

    def record(
        self,
        done: Iterable[Individual] = (),
        births: Iterable[Individual] = (),
        seconds: float | None = None,
    ) -> None:
        """Write results and births in one transaction; they are on disk when this returns.

        Args:
            done: individuals with a result, or with another try, whose rows are changed.
            births: individuals that get a row each.
            seconds: s that all sessions took so far; None: it is not written.

        Raises:
            LanceletError: a full disk, or what `check` raises.
        """
        self.check()
        with _sqlite_errors(self.path), self._transaction():
            for individual in done:
                self._db.execute(_UPDATE, _result(individual))
            for individual in births:
                self._db.execute(_INSERT, _newborn(individual))
            if seconds is not None:
                self._put(seconds=seconds)

    def check(self) -> None:
        """Check that the files are still where they were opened.

        Raises:
            LanceletError: they were deleted, moved or replaced: SQLite would go on writing what nobody can read.
        """
        if self._on_disk() != self._files:
            raise LanceletError(
                f"{self.path} is no longer the file that this run writes: "
                "it was deleted, moved or replaced while the run went on"
            )

    def _on_disk(self) -> list[int | None]:
        """The inodes of the database and its journal; None where there is none."""
        return [_inode(self.path), _inode(self.path.with_name(f"{NAME}-wal"))]

    def close(self) -> None:
        """Close the database; SQLite folds the journal into the file."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _put(self, **values: Any) -> None:
        """Write values of the run by name."""
        for name, value in values.items():
            self._db.execute("insert or replace into run values (?, ?)", (name, json.dumps(value)))

    @contextlib.contextmanager
    def _transaction(self, begun: bool = True) -> Iterator[None]:
        """Make what is executed in the block all or nothing.

        It is refused where another driver has opened the run since: the lock on the folder may not reach another node.

        Args:
            begun: whether this driver has its epoch already.
        """
        self._db.execute("begin immediate")
        try:
            if begun and self.get("epoch") != self.epoch:
                raise LanceletError(
                    f"{self.path}: another process has taken this run over; this one stops"
                )
            yield
        except BaseException:
            # A full disk has rolled back by itself.
            if self._db.in_transaction:
                self._db.execute("rollback")
            raise
        self._db.execute("commit")


def _result(individual: Individual) -> dict[str, Any]:
    """Parameters of `_UPDATE`."""
    return {
        "id": individual.id,
        "state": individual.state,
        "fitness": individual.fitness,
        "figures": json.dumps(individual.figures),
        "learned": json.dumps(individual.learned),
        "tries": individual.tries,
        "reason": individual.reason,
        "seconds": individual.seconds,
        "done": individual.done,
    }


def _newborn(individual: Individual) -> dict[str, Any]:
    """Parameters of `_INSERT`: an individual without a result."""
    return {
        "id": individual.id,
        "parents": json.dumps(individual.parents),
        "operator": individual.operator,
        "genome": individual.genome,
        "layer": individual.layer,
        "state": individual.state,
        "fitness": None,
        "figures": None,
        "learned": None,
        "tries": 0,
        "reason": None,
        "seconds": None,
        "born": individual.born or time.time(),
        "done": None,
    }


def _inode(path: Path) -> int | None:
    """The file's number on its disk; None where there is no file."""
    try:
        return path.stat().st_ino
    except OSError:
        return None


def read(folder: str | Path) -> list[Individual]:
    """Every individual of a run folder, whoever is writing to it.

    Raises:
        LanceletError: there is no database, or none that this version reads.
    """
    with _opened_to_read(folder) as db:
        return _rows(db, Path(folder) / NAME)


def settings(folder: str | Path) -> dict[str, Any]:
    """What a run folder was begun with.

    Raises:
        LanceletError: there is no database, or none that this version reads.
    """
    with _opened_to_read(folder) as db:
        return _settings(db, Path(folder) / NAME)


@contextlib.contextmanager
def _opened_to_read(folder: str | Path) -> Iterator[sqlite3.Connection]:
    """The database of a run folder, for somebody who only looks on."""
    path = Path(folder) / NAME
    if not path.exists():
        raise LanceletError(f"{path} does not exist: {folder} holds no co-evolution")
    with (
        _sqlite_errors(path),
        contextlib.closing(databases.open_to_read(path, inside=folder)) as db,
    ):
        if not _version(db, path):
            raise LanceletError(f"{path} is empty: its run has only just begun, or never did")
        yield db


def _version(db: sqlite3.Connection, path: Path) -> int:
    """The schema of a database, 0 where it is empty; whatever does not belong there is refused."""
    (version,) = db.execute("pragma user_version").fetchone()
    if version not in (0, SCHEMA):
        raise LanceletError(f"{path} has schema {version}: this version of Lancelet reads {SCHEMA}")
    if version == 0:
        names = [name for (name,) in db.execute("select name from sqlite_master limit 5")]
        if names:
            raise LanceletError(
                f"{path} holds tables ({', '.join(names)}) but no schema version: not of Lancelet"
            )
        return 0
    check_schema(db, path, _TABLES)
    return version


def _value(db: sqlite3.Connection, path: Path, name: str) -> Any:
    """A value of the run."""
    row = db.execute("select value from run where name = ?", (name,)).fetchone()
    if row is None:
        raise LanceletError(f"{path} is damaged: its run has no {name}")
    return foreign.parse_json(row[0], f"{name} of {path}")


def _settings(db: sqlite3.Connection, path: Path) -> dict[str, Any]:
    """What the run was begun with; a database where that is no names with values is refused."""
    saved = _value(db, path, "settings")
    if not isinstance(saved, dict):
        raise LanceletError(
            f"{path} is damaged: its settings are {type(saved).__name__}, not names with values"
        )
    return saved


def _rows(db: sqlite3.Connection, path: Path) -> list[Individual]:
    """Every individual, checked, in order of birth."""
    individuals = []
    rows = db.execute(f"select {_COLUMN_NAMES} from individuals order by id")
    for number, values in enumerate(rows):
        row: dict[str, Any] = dict(zip(COLUMNS, values, strict=True))
        individuals.append(Individual(**checked_row(row, number, path)))
    return individuals


@contextlib.contextmanager
def _sqlite_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite finds wrong in the block into an error of one line."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_FULL":
            raise LanceletError(
                f"cannot write {path}: the disk is full; every result so far is safe: "
                "make room and --resume"
            ) from error
        raise LanceletError(f"cannot use {path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise LanceletError(f"{path} is damaged or no database: {error}") from error

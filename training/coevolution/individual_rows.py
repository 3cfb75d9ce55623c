"""What the database of a co-evolution must hold, checked before anything in it is used: a stranger may have made it."""

from __future__ import annotations

import contextlib
import functools
import math
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from ... import foreign
from ...checks import finite_number, whole_number
from ...errors import LanceletError

State = Literal["born", "evaluated", "invalid", "quarantined"]
"""what may have become of an individual"""
MOST_PARENTS = 2
"""parents of an individual at most"""
LONGEST_OPERATOR = 500
"""characters of the name of an operator at most"""
LARGEST_COUNT = 2**62
"""the largest layer, and the largest number of tries: SQLite's numbers have 64 bits"""
CHARACTERS_SHOWN = 60
"""characters of a wrong value that an error shows"""
OBJECTS_READ = 100
"""tables, indices, views and triggers that are looked at: we make fewer, and a stranger may make millions"""


def check_schema(database: sqlite3.Connection, path: Path, tables: str) -> None:
    """Refuse a database that holds anything but the tables that this version creates.

    A view may take for ever to read, a trigger writes what its author wants whenever a row is written, and a column
    may be computed by an expression.

    Args:
        database: just opened.
        path: of the database, for the error.
        tables: the statements that create the tables, one after the other.

    Raises:
        LanceletError: the first thing that does not belong there.
    """
    needed = _columns(tables)
    objects = database.execute(
        f"select type, name, sql from sqlite_master limit {OBJECTS_READ}"
    ).fetchall()
    for kind, name, statement in objects:
        is_table = kind == "table" and name in needed
        # A virtual table is a table too: a module of SQLite, not a file, holds its rows.
        is_plain = str(statement).lower().startswith("create table")
        # SQLite makes these for primary keys, and they have no statement of their own.
        is_key_index = (
            kind == "index" and str(name).startswith("sqlite_autoindex_") and statement is None
        )
        if not ((is_table and is_plain) or is_key_index):
            raise LanceletError(
                f"{path} holds a {_shown(kind)} called {_shown(name)}: a database of Lancelet has tables only, "
                f"{' and '.join(needed)}"
            )
    for name, columns in needed.items():
        present = database.execute(f"pragma table_xinfo({name})").fetchall()
        if present != columns:
            raise LanceletError(
                f"{path}: table {name} is missing or has other columns than this version gives it"
            )


@functools.cache
def _columns(tables: str) -> dict[str, list[tuple[Any, ...]]]:
    """Table -> what SQLite tells of its columns, computed ones included.

    SQLite itself is asked, of a database in memory: it alone says how it reads the statements.
    """
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.executescript(tables)
        rows = database.execute("select name from sqlite_master where type = 'table'").fetchall()
        columns: dict[str, list[tuple[Any, ...]]] = {}
        for (name,) in rows:
            columns[name] = database.execute(f"pragma table_xinfo({name})").fetchall()
        return columns


def checked_row(row: Mapping[str, Any], number: int, path: Path) -> dict[str, Any]:
    """The fields of the individual in a row of the database.

    Args:
        row: column -> value as SQLite gives it.
        number: of the row; ids are the numbers of birth.
        path: of the database, for the error.

    Raises:
        LanceletError: the first column whose value cannot be: its row, its name, its value and what would be right.
    """
    where = f"{path}: individual {number}"
    # SQLite gives whatever a stranger wrote: 0.0 would equal the id 0.
    if row["id"] != number or not isinstance(row["id"], int):
        raise LanceletError(
            f"{where} has id = {_shown(row['id'])}: ids must count births from 0 without gaps"
        )
    if row["state"] not in get_args(State):
        states = ", ".join(get_args(State))
        raise LanceletError(f"{where}: state = {_shown(row['state'])}: must be {states}")
    operator = _text(where, "operator", row["operator"])
    # It is printed: escape sequences would change the terminal of whoever looks.
    if len(operator) > LONGEST_OPERATOR or not operator.isprintable():
        raise LanceletError(
            f"{where}: operator = {_shown(operator)}: must be a few printable words"
        )
    reason = row["reason"]
    if reason is not None:
        reason = _text(where, "reason", reason)
    return {
        "id": number,
        "parents": _parents(where, row["parents"], number),
        "operator": operator,
        "genome": _text(where, "genome", row["genome"]),
        "layer": whole_number(f"{where}: layer", row["layer"], 0, LARGEST_COUNT),
        "state": row["state"],
        "fitness": _optional_number(where, "fitness", row["fitness"]),
        "figures": _figures(where, row["figures"]),
        "learned": _learned(where, row["learned"]),
        "tries": whole_number(f"{where}: tries", row["tries"], 0, LARGEST_COUNT),
        "reason": reason,
        "seconds": _optional_number(where, "seconds", row["seconds"]),
        "born": finite_number(f"{where}: born", row["born"]),
        "done": _optional_number(where, "done", row["done"]),
    }


def _text(where: str, name: str, value: Any) -> str:
    """Return `value`, refused where it is no text.

    Args:
        where: the row, for the error.
        name: of the column, for the error.
        value: what stands there.
    """
    if not isinstance(value, str):
        raise LanceletError(f"{where}: {name} = {_shown(value)}: must be text")
    return value


def _optional_number(where: str, name: str, value: Any) -> float | None:
    """Return `value`, refused where it is neither null nor a finite number.

    Args:
        where: the row, for the error.
        name: of the column, for the error.
        value: what stands there.
    """
    if value is None:
        return None
    return finite_number(f"{where}: {name}", value)


def _parents(where: str, text: Any, number: int) -> list[int]:
    """Ids of individuals that were born before this one, so that parents form no circle.

    Args:
        where: the row, for the error.
        text: JSON.
        number: of the row.
    """
    parents = foreign.parse_json(_text(where, "parents", text), f"{where}: parents")
    if not _are_earlier_ids(parents, number):
        raise LanceletError(
            f"{where}: parents = {_shown(text)}: must be a list of at most {MOST_PARENTS} ids below its own"
        )
    return parents


def _are_earlier_ids(parents: Any, number: int) -> bool:
    """Whether `parents` is a list of at most `MOST_PARENTS` whole numbers from 0 to below `number`."""
    if not isinstance(parents, list) or len(parents) > MOST_PARENTS:
        return False
    # Not isinstance: True and False are numbers of Python.
    return all(type(parent) is int and 0 <= parent < number for parent in parents)


def _figures(where: str, text: Any) -> dict[str, float]:
    """Name -> finite number; empty where the column is null."""
    if text is None:
        return {}
    figures = foreign.parse_json(_text(where, "figures", text), f"{where}: figures")
    if not isinstance(figures, dict) or not all(map(_is_finite, figures.values())):
        raise LanceletError(f"{where}: figures = {_shown(text)}: must be names with finite numbers")
    return figures


def _learned(where: str, text: Any) -> dict[str, list[float]]:
    """Lineage -> its finite weights; empty where the column is null."""
    if text is None:
        return {}
    learned = foreign.parse_json(_text(where, "learned", text), f"{where}: learned")
    if not isinstance(learned, dict) or not all(map(_are_weights, learned.values())):
        raise LanceletError(
            f"{where}: learned = {_shown(text)}: must be names with lists of finite numbers"
        )
    return learned


def _are_weights(value: Any) -> bool:
    """Whether it is a list of finite numbers."""
    return isinstance(value, list) and all(map(_is_finite, value))


def _is_finite(value: Any) -> bool:
    """Whether it is a number that float64 holds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        # JSON has whole numbers of any length.
        return False


def _shown(value: Any) -> str:
    """A wrong value as an error shows it: cut where it is long."""
    text = repr(value)
    if len(text) > CHARACTERS_SHOWN:
        return f"{text[:CHARACTERS_SHOWN]}..."
    return text

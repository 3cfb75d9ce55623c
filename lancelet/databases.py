"""SQLite databases of strangers, opened so that nothing that their author wrote into them is run."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from . import foreign
from .errors import LanceletError

LARGEST_FILE = 4 * foreign.GIB
"""bytes of a database with its journal"""
LARGEST_TEXT = 16 * foreign.MIB
"""bytes of one text of a database"""
MOST_INSTRUCTIONS = 2_000_000_000
"""instructions of SQLite's machine that one connection may take: a million individuals need 40 million"""
_INSTRUCTIONS_A_CALL = 1_000_000
"""instructions of SQLite between two looks at how many there were"""
_SIDECARS = ("-wal", "-shm", "-journal")
"""endings of the files that SQLite opens beside a database"""


def open_to_read(path: str | Path, inside: str | Path | None = None) -> sqlite3.Connection:
    """A SQLite database to read from, whoever is writing to it; nothing that its author wrote into it is run.

    A query that takes more than `MOST_INSTRUCTIONS` ends in `sqlite3.OperationalError` ("interrupted").

    Raises:
        LanceletError: the database or a file that SQLite keeps beside it is no regular file, is larger than
            `LARGEST_FILE`, or is a link out of `inside`.
        sqlite3.Error: no database.
    """
    check_files(path, inside)
    # The path is quoted: "#" would end it, "?" would begin options, and "%41" would be an "A".
    database = sqlite3.connect(f"{foreign.real_path(path, inside).as_uri()}?mode=ro", uri=True)
    try:
        distrust(database)
        database.execute("pragma query_only=on")
    except sqlite3.Error:
        database.close()
        raise
    calls_left = MOST_INSTRUCTIONS // _INSTRUCTIONS_A_CALL

    def is_over() -> bool:
        nonlocal calls_left
        calls_left -= 1
        return calls_left < 0

    database.set_progress_handler(is_over, _INSTRUCTIONS_A_CALL)
    return database


def check_files(path: str | Path, inside: str | Path | None = None) -> None:
    """Refuse a database which, or whose journal, is no regular file, too large, or a link out of `inside`.

    Raises:
        LanceletError: the first of them.
    """
    if os.path.lexists(path):
        foreign.open_regular(path, LARGEST_FILE, inside).close()
    for ending in _SIDECARS:
        beside = Path(f"{foreign.real_path(path, inside)}{ending}")
        if os.path.lexists(beside):
            if beside.is_symlink():
                raise LanceletError(f"{beside} is a link: SQLite would write to where it leads")
            foreign.open_regular(beside, LARGEST_FILE, inside).close()


def distrust(database: sqlite3.Connection) -> None:
    """Keep what a database's schema says from calling functions, and long texts from the memory."""
    database.execute("pragma trusted_schema=off")
    database.execute("pragma cell_size_check=on")
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_TEXT)
    database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)

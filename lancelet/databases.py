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
    """Open a SQLite database to read from it; another process may write to it meanwhile.

    Nothing that its author wrote into the database is run. A query that takes more than `MOST_INSTRUCTIONS` ends in
    `sqlite3.OperationalError` ("interrupted").

    Args:
        path: path of the database.
        inside: folder that the database must lie in once links are followed; None: anywhere.

    Raises:
        LanceletError: the database or a file that SQLite keeps beside it is no regular file, is larger than
            `LARGEST_FILE`, or is a link out of `inside`.
        sqlite3.Error: the file is no database.
    """
    check_files(path, inside)
    # The path is quoted: "#" would end it, "?" would begin options, and "%41" would be an "A".
    address = foreign.real_path(path, inside).as_uri()
    database = sqlite3.connect(f"{address}?mode=ro", uri=True)
    try:
        distrust(database)
        database.execute("pragma query_only=on")
    except sqlite3.Error:
        database.close()
        raise
    # A schema can hold a query without an end, so the instructions are counted.
    calls_left = MOST_INSTRUCTIONS // _INSTRUCTIONS_A_CALL

    def is_over() -> bool:
        nonlocal calls_left
        calls_left -= 1
        return calls_left < 0

    database.set_progress_handler(is_over, _INSTRUCTIONS_A_CALL)
    return database


def check_files(path: str | Path, inside: str | Path | None = None) -> None:
    """Refuse a database which, or whose journal, is no regular file, too large, or a link out of `inside`.

    A database that does not exist is let pass.

    Raises:
        LanceletError: it names the first such file.
    """
    if os.path.lexists(path):
        foreign.open_regular(path, LARGEST_FILE, inside).close()
    for ending in _SIDECARS:
        # SQLite looks for them beside the file that a link leads to.
        sidecar = Path(f"{foreign.real_path(path, inside)}{ending}")
        if not os.path.lexists(sidecar):
            continue
        if sidecar.is_symlink():
            raise LanceletError(f"{sidecar} is a link: SQLite would write to where it leads")
        foreign.open_regular(sidecar, LARGEST_FILE, inside).close()


def distrust(database: sqlite3.Connection) -> None:
    """Restrict an open connection: its schema calls no functions, its texts are short, it attaches no other file.

    Changes the settings of `database`.
    """
    database.execute("pragma trusted_schema=off")
    database.execute("pragma cell_size_check=on")
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_TEXT)
    database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)

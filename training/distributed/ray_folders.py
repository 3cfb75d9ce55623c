"""Folders of Ray's sessions: they go with their run, and what a killed run left goes when the next one starts.

Ray itself deletes none of them. The process that owns a folder holds a lock in it, which the kernel releases however
that process ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ...errors import LanceletError
from ..runs.folder import hold

PREFIX = "lancelet-ray-"
"""of a folder whose owner has locked it"""
UNCLAIMED = "lancelet-new-"
"""of a folder whose owner has not locked it yet: a cleaner must not take it for one without an owner"""
DELETION_TRIES = 20
"""attempts to delete a folder when its session ends"""
DELETION_PAUSE = 0.1
"""s between two tries: Ray's last processes may be writing yet"""


def root() -> Path:
    """Where the folders lie: ``/tmp``, or the folder for temporary files where there is none."""
    # Not below TMPDIR, which may be long: the path of a socket in the folder may have 107 bytes.
    short = Path("/tmp")
    return short if short.is_dir() else Path(tempfile.gettempdir())


@contextlib.contextmanager
def session_folder() -> Iterator[Path]:
    """A new folder that only this user can enter, deleted at the end."""
    remove_stale()
    unclaimed = Path(tempfile.mkdtemp(prefix=UNCLAIMED, dir=root()))
    lock = hold(unclaimed)
    # Renamed only now: between its making and its lock, a cleaner would delete a folder of the other name.
    folder = unclaimed.with_name(unclaimed.name.replace(UNCLAIMED, PREFIX))
    unclaimed.rename(folder)
    try:
        yield folder
    finally:
        # The lock goes last: nobody else deletes the folder meanwhile.
        _delete(folder)
        lock.close()


def remove_stale() -> None:
    """Delete the folders of this user whose owner is dead; those of other users and of live owners stay."""
    for folder in root().glob(f"{PREFIX}*"):
        if not _is_ours(folder):
            continue
        try:
            lock = hold(folder)
        except (LanceletError, OSError):
            continue  # its owner lives, or another process is deleting it
        with lock:
            shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    """Whether this is a folder, not a link to one, and this user's."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()


def _delete(folder: Path) -> None:
    """Delete a folder, again and again while somebody still writes into it; what stays then is `remove_stale`'s."""
    for _ in range(DELETION_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(DELETION_PAUSE)

"""Writing files so that a crash, a full disk or a kill leaves the old one whole."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from .errors import LanceletError


def write_atomic(path: str | Path, data: bytes | str) -> None:
    """Write `data` to a temporary name beside `path`, fsync, rename over `path`, fsync the folder.

    Raises:
        LanceletError: the disk is full or refuses; the previous file stays as it was.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        what = "the disk is full" if full else (error.strerror or str(error))
        raise LanceletError(f"cannot write {path}: {what}; the previous file is untouched") from error

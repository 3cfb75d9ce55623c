"""Writing files so that a crash, a full disk or a kill leaves the old one whole."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .checks import plain
from .errors import LanceletError


def user_path(path: str | Path) -> Path:
    """The path that a user means: ``~`` at its beginning is the home folder.

    A shell expands it only where a word begins with it, so not in ``--folder=~/x``.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise LanceletError(f"{path}: nobody of that name has a home folder") from error


def make_folder(path: str | Path, option: str = "folder") -> Path:
    """Make a folder with those above it, where they are missing.

    Args:
        path: of the folder; ``~`` is the home folder.
        option: what the user can give another path by, for the error.

    Raises:
        LanceletError: a file is in the way, the place cannot be written to, or the name is too long.
    """
    folder = user_path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        # Versions of Python word it differently: a ValueError is a null byte in the name.
        reason = "null byte in its name" if isinstance(error, ValueError) else error.strerror
        raise LanceletError(
            f"{option} = {path}: cannot be made ({reason}); give another --{option}"
        ) from error
    return folder


def to_json(value: Any, indent: int | None = None) -> str:
    """`value` as JSON that every reader takes: numbers of numpy as numbers, NaN and infinities as null."""
    return json.dumps(_finite(plain(value)), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    """`value` with None for every number in it that is not finite."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_atomic(path: str | Path, data: bytes | str) -> None:
    """Write `data` to a new file beside `path`, fsync, rename over `path`, fsync the folder.

    The folder may be a stranger's: a link at `path` is replaced and not written through, and the new file's name
    cannot be foreseen, so that no link can wait there either.

    Raises:
        LanceletError: the disk is full or refuses; the previous file stays as it was.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(
                temporary, "xb"
            ) as file:  # x: fails where anything has that name, a link included
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        what = "the disk is full" if full else (error.strerror or str(error))
        raise LanceletError(
            f"cannot write {path}: {what}; the previous file is untouched"
        ) from error


@contextlib.contextmanager
def written_elsewhere(path: str | Path) -> Iterator[Path]:
    """Where another program, which opens files by name, is to write what will replace `path`.

    The place is a new folder beside `path` that no other user can enter, so that no link of a stranger can lie there.
    What was written replaces `path` (a link itself, never its target) at the end of the block; after an error nothing
    is replaced, and the folder is removed in both cases.

    Raises:
        LanceletError: nothing can be written beside `path`.
    """
    path = Path(path)
    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix=f".{path.stem}.", dir=path.parent)
            )
        except OSError as error:
            raise LanceletError(f"cannot write {path}: {error.strerror or error}") from error
        temporary = Path(folder) / path.name
        yield temporary
        try:
            os.replace(temporary, path)
        except OSError as error:
            raise LanceletError(f"cannot write {path}: {error.strerror or error}") from error

"""Writing files so that a crash, a full disk or a kill leaves the previous file whole."""

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

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""errors of the operating system that mean: no more bytes fit (disk, quota, size of one file)"""
_RANDOM_BYTES = 8
"""bytes of chance in the name of a temporary file"""


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
        path: path of the folder; ``~`` is the home folder.
        option: the option by which the user can give another path, for the error.

    Raises:
        LanceletError: a file is in the way, the place cannot be written to, or the name is too long.
    """
    folder = user_path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        # A ValueError is a null byte, which the versions of Python word differently.
        reason = "null byte in its name"
        if isinstance(error, OSError):
            reason = error.strerror
        raise LanceletError(
            f"{option} = {path}: cannot be made ({reason}); give another --{option}"
        ) from error
    return folder


def to_json(value: Any, indent: int | None = None) -> str:
    """`value` as JSON that every reader takes: numbers of numpy as numbers, NaN and infinities as null."""
    finite_value = _finite(plain(value))
    return json.dumps(finite_value, indent=indent, allow_nan=False)


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
    """Replace the file at `path` by one that holds `data`, all at once.

    The folder may be a stranger's: a link at `path` is replaced and not written through, and the new file's name
    cannot be foreseen, so that no link can wait there either.

    Args:
        path: path of the file; folders above it are made where they are missing.
        data: its new content; a text is written in UTF-8.

    Raises:
        LanceletError: the disk is full or refuses; the previous file stays as it was.
    """
    path = Path(path)
    content = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(_RANDOM_BYTES)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_new(temporary, content)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        # The new name is part of the folder: without this a loss of power could bring the old file back.
        _sync_folder(path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _DISK_FULL:
            reason = "the disk is full"
        raise LanceletError(
            f"cannot write {path}: {reason}; the previous file is untouched"
        ) from error


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that must not exist yet, and wait until the disk has it."""
    # "x" fails where anything has that name, a link included.
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        # Before it is renamed: else the name could reach the disk before the content does.
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def written_elsewhere(path: str | Path) -> Iterator[Path]:
    """Give another program, which opens files by name, a path to write to; its file then replaces `path`.

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
            new_folder = tempfile.TemporaryDirectory(prefix=f".{path.stem}.", dir=path.parent)
            folder = stack.enter_context(new_folder)
        except OSError as error:
            raise LanceletError(f"cannot write {path}: {error.strerror or error}") from error
        temporary = Path(folder) / path.name
        yield temporary
        try:
            os.replace(temporary, path)
        except OSError as error:
            raise LanceletError(f"cannot write {path}: {error.strerror or error}") from error

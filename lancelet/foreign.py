"""Reading what somebody else wrote: nothing in it is run, imported or followed, and nothing is trusted to be small.

A run folder may come from a stranger, or from a disk that failed. So only regular files are opened, a link may not lead
out of the folder that is read, and sizes are read from headers before anything is unpacked. What YAML and JSON may hold
stands in `plain_text`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .errors import LanceletError, first_line
from .plain_text import parse_json as parse_json
from .plain_text import parse_yaml as parse_yaml
from .plain_text import plain_values as plain_values

KIB = 1024
"""bytes"""
MIB = 1024 * KIB
"""bytes"""
GIB = 1024 * MIB
"""bytes"""

CONFIG_BYTES = 1 * MIB
"""largest configuration (YAML)"""
LOG_BYTES = 256 * MIB
"""largest log (JSON, a line a step)"""
WEIGHTS_BYTES = 1 * GIB
"""largest saved controller"""
CHECKPOINT_BYTES = 16 * GIB
"""largest checkpoint, which may hold a replay buffer"""
TENSOR_HEADER_BYTES = 16 * MIB
"""largest header of a safetensors file"""
ARRAYS_BYTES = 512 * MIB
"""all arrays of an npz file together, unpacked; the file itself may be no larger either"""
ARRAYS = 1000
"""arrays in an npz file, at most"""
ZIP_DIRECTORY_BYTES = 1 * MIB
"""largest table of contents of a zip file"""

# The layout of a zip file's end, in bytes: APPNOTE.TXT of PKWARE, 4.3.15 and 4.3.16.
_ZIP_END_MARK = b"PK\5\6"
_ZIP_END_RECORD_BYTES = 22
"""the record without the comment behind it"""
_ZIP_LONGEST_COMMENT_BYTES = 65_535
_ZIP_DIRECTORY_SIZE = slice(12, 16)
"""where the record says how large the table of contents is"""
_ZIP64_LOCATOR_MARK = b"PK\6\7"
_ZIP64_LOCATOR_BYTES = 20
"""it stands directly in front of the end record"""

_TENSOR_LENGTH_BYTES = 8
"""a safetensors file begins with the length of its header, an unsigned 64-bit number, little-endian"""


# Opening a file


def open_regular(path: str | Path, most: int, inside: str | Path | None = None) -> BinaryIO:
    """Open a file to read bytes from it.

    Args:
        path: path of the file.
        most: largest size in bytes that the file may have.
        inside: folder that the file must lie in once links are followed; None: the path is the user's own, and links
            in it may lead anywhere.

    Raises:
        LanceletError: the file is missing, no regular file, larger than `most`, outside of `inside`, or cannot be
            read.
    """
    real = real_path(path, inside)
    # Asked before `open` as well: a pipe without a writer would block there, and some devices act when opened.
    _check_regular(path, _status(path, real))
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise LanceletError(f"cannot read {path}: {error.strerror}") from error
    # Asked again of the open file: another one may have taken its place in between.
    status = os.fstat(descriptor)
    try:
        _check_regular(path, status)
        check_size(path, status.st_size, most)
    except LanceletError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def real_path(path: str | Path, inside: str | Path | None = None) -> Path:
    """`path` with every link followed.

    Args:
        path: path of a file or a folder, which need not exist.
        inside: folder that the result must lie in; None: anywhere.

    Raises:
        LanceletError: the path leads out of `inside`, or its links lead in a circle.
    """
    try:
        real = Path(path).resolve()
        root = None if inside is None else Path(inside).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise LanceletError(f"cannot read {path}: {_reason(error)}") from error
    if root is not None and not real.is_relative_to(root):
        raise LanceletError(
            f"{path} is a link that leads out of {inside}: put the file itself there"
        )
    return real


def check_links(folder: str | Path, *names: str) -> None:
    """Refuse a folder in which one of `names`, files or folders, is a link that leads out of it.

    Raises:
        LanceletError: it names the first such link.
    """
    for name in names:
        real_path(Path(folder) / name, folder)


def check_size(path: str | Path, size: int, most: int) -> None:
    """Refuse a file that is too large.

    Args:
        path: path of the file, or words for what has the size; for the error.
        size: size in bytes.
        most: largest size in bytes that is allowed.

    Raises:
        LanceletError: it says the size and what is allowed.
    """
    if size > most:
        raise LanceletError(f"{path} has {_size_text(size)}: at most {_size_text(most)} are read")


def _status(path: str | Path, real: Path) -> os.stat_result:
    """What the operating system says of the file at `real`; an error names it by `path`, as the user does."""
    try:
        return os.stat(real)
    except FileNotFoundError as error:
        raise LanceletError(f"{path} does not exist") from error
    except (OSError, ValueError) as error:
        raise LanceletError(f"cannot read {path}: {_reason(error)}") from error


def _check_regular(path: str | Path, status: os.stat_result) -> None:
    """Refuse what is no regular file."""
    if stat.S_ISDIR(status.st_mode):
        raise LanceletError(f"{path} is a folder: must be a file")
    if not stat.S_ISREG(status.st_mode):
        raise LanceletError(f"{path} is a pipe or a device: must be a regular file")


# Texts


def read_bytes(path: str | Path, most: int, inside: str | Path | None = None) -> bytes:
    """The bytes of a file, which is opened as `open_regular` does.

    Args:
        path: path of the file.
        most: largest size in bytes that the file may have.
        inside: folder that the file must lie in; None: anywhere.

    Raises:
        LanceletError: as `open_regular`.
    """
    with open_regular(path, most, inside) as file:
        content = file.read(most + 1)
    # The file may have grown since it was opened.
    check_size(path, len(content), most)
    return content


def read_text(path: str | Path, most: int, inside: str | Path | None = None) -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Args:
        path: path of the file.
        most: largest size in bytes that the file may have.
        inside: folder that the file must lie in; None: anywhere.

    Raises:
        LanceletError: as `open_regular`, or the file is no text.
    """
    try:
        return read_bytes(path, most, inside).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LanceletError(
            f"{path} is no text in UTF-8: {error.reason} at byte {error.start}"
        ) from error


def read_yaml(
    path: str | Path,
    inside: str | Path | None = None,
    by_hand: bool = False,
) -> Any:
    """The plain values in a YAML file of at most `CONFIG_BYTES`.

    Args:
        path: path of the file.
        inside: folder that the file must lie in; None: anywhere.
        by_hand: a person wrote the file, and means a number by ``1e-3``; see `parse_yaml`.

    Raises:
        LanceletError: as `open_regular`; or the file is no YAML, or holds values that are not plain.
    """
    text = read_text(path, CONFIG_BYTES, inside)
    return parse_yaml(text, str(path), by_hand)


@contextlib.contextmanager
def described_by(what: str | Path) -> Iterator[None]:
    """Build what a file, or a part of one, describes: whatever its values break becomes one line that names it.

    Raises:
        LanceletError: as it was raised inside, or in place of an error of Python, numpy, MuJoCo or torch.
    """
    try:
        yield
    except LanceletError:
        raise
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        MemoryError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise LanceletError(
            f"{what} does not describe what this version can build ({reason})"
        ) from error


# Arrays of numpy, in zip files


def read_arrays(path: str | Path, inside: str | Path | None = None) -> dict[str, np.ndarray]:
    """The arrays of an npz file by name, never of objects; their sizes are read before they are unpacked.

    Raises:
        LanceletError: as `open_regular`; or the file is no npz file, or has more than `ARRAYS` or `ARRAYS_BYTES`.
    """
    with open_regular(path, ARRAYS_BYTES, inside) as file:
        try:
            return _unpack(path, file)
        except LanceletError:
            raise
        except Exception as error:
            # zipfile, zlib, numpy and the file system have exceptions of their own each.
            raise LanceletError(
                f"{path} is no archive of arrays, or is cut short: {first_line(error)}"
            ) from error


def zip_names(path: str | Path) -> list[str]:
    """The names in a zip file's table of contents; none where it is no zip file.

    Raises:
        LanceletError: as `open_regular` with `WEIGHTS_BYTES`; or the table has more than `ZIP_DIRECTORY_BYTES`.
    """
    with open_regular(path, WEIGHTS_BYTES) as file:
        if not zipfile.is_zipfile(file):
            return []
        _check_zip_directory(path, file)
        try:
            with zipfile.ZipFile(file) as archive:
                return archive.namelist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            return []


def _unpack(path: str | Path, file: BinaryIO) -> dict[str, np.ndarray]:
    """The arrays of an open npz file by name; every size is checked before memory is taken for it."""
    _check_zip_directory(path, file)
    arrays: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > ARRAYS:
            raise LanceletError(
                f"{path} holds {len(members):,} arrays: at most {ARRAYS:,} are read"
            )
        unpacked_bytes = sum(member.file_size for member in members)
        check_size(f"{path}, unpacked,", unpacked_bytes, ARRAYS_BYTES)
        for member in members:
            # The other methods unpack a block at once, whatever its size.
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise LanceletError(
                    f"{path}: {member.filename!r} is packed by another method than numpy's"
                )
            _check_array_header(path, archive, member)
            name = member.filename.removesuffix(".npy")
            with archive.open(member) as stream:
                arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
    return arrays


def _check_array_header(
    path: str | Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> None:
    """Refuse an array whose header says more than its bytes: numpy takes the memory before it reads."""
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read_header = np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(stream)
        if dtype.hasobject:
            raise LanceletError(f"{path}: {member.filename!r} holds objects, which are not read")
        # With whole numbers of Python, which do not overflow as those of `np.prod` do.
        size = dtype.itemsize
        for length in shape:
            size *= length
        if size != member.file_size - stream.tell():
            raise LanceletError(
                f"{path}: {member.filename!r} is not of the size that its header says"
            )


def _check_zip_directory(path: str | Path, file: BinaryIO) -> None:
    """Refuse a zip file whose table of contents is long: `zipfile` makes an object of every entry at once.

    The file is read from its end, where the record lies that says how long the table is, and left at its beginning.
    """
    file_bytes = file.seek(0, os.SEEK_END)
    tail_bytes = _ZIP_END_RECORD_BYTES + _ZIP_LONGEST_COMMENT_BYTES + _ZIP64_LOCATOR_BYTES
    file.seek(max(0, file_bytes - tail_bytes))
    tail = file.read()
    file.seek(0)
    start = tail.rfind(_ZIP_END_MARK)
    if start < 0 or len(tail) < start + _ZIP_END_RECORD_BYTES:
        raise LanceletError(f"{path} is no archive of arrays, or is cut short")
    record = tail[start:]
    (directory_bytes,) = struct.unpack("<L", record[_ZIP_DIRECTORY_SIZE])
    # `zipfile` takes the sizes of a zip64 record in place of these wherever there is one.
    locator = tail[max(0, start - _ZIP64_LOCATOR_BYTES) : start]
    is_zip64 = locator.startswith(_ZIP64_LOCATOR_MARK)
    if is_zip64 or directory_bytes > ZIP_DIRECTORY_BYTES:
        raise LanceletError(
            f"{path} has a table of contents of more than {_size_text(ZIP_DIRECTORY_BYTES)}"
        )


# Tensors of torch, in safetensors files


def read_tensors(
    path: str | Path, kind: str, most: int, inside: str | Path | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a safetensors file that Lancelet wrote.

    Args:
        path: path of the file.
        kind: kind of the file, for the error: "controller" or "checkpoint".
        most: largest size in bytes that the file may have; a tensor takes as much memory as it takes of the file.
        inside: folder that the file must lie in; None: anywhere.

    Returns:
        What the file says of itself, as JSON in its header, and its tensors of torch by name.

    Raises:
        LanceletError: as `open_regular`; or the file is cut short, not ours, or has a header of more than
            `TENSOR_HEADER_BYTES`.
    """
    from safetensors import SafetensorError, safe_open

    wrong = f"{path} is not a {kind} of Lancelet, or is cut short"
    _check_tensor_header(path, wrong, most, inside)
    try:
        with safe_open(real_path(path, inside), "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (
        AttributeError,
        KeyError,
        OSError,
        OverflowError,
        RuntimeError,
        SafetensorError,
        TypeError,
        ValueError,
    ) as error:
        raise LanceletError(f"{wrong} ({first_line(error)})") from error
    if "lancelet" not in header:
        raise LanceletError(f"{wrong} (its header does not say what it is)")
    about = parse_json(header["lancelet"], f"{wrong}: its header")
    if not isinstance(about, dict) or "format" not in about:
        raise LanceletError(f"{wrong} (its header names no format)")
    return about, tensors


def _check_tensor_header(
    path: str | Path, wrong: str, most: int, inside: str | Path | None
) -> None:
    """Refuse a safetensors file that is larger than `most`, or whose header is longer than allowed.

    Args:
        path: path of the file.
        wrong: beginning of the error for a file that is not ours.
        most: largest size of the file in bytes.
        inside: folder that the file must lie in; None: anywhere.
    """
    with open_regular(path, most, inside) as file:
        file_bytes = os.fstat(file.fileno()).st_size
        length = file.read(_TENSOR_LENGTH_BYTES)
    if len(length) < _TENSOR_LENGTH_BYTES:
        raise LanceletError(f"{wrong} (it has {file_bytes} bytes)")
    (header_bytes,) = struct.unpack("<Q", length)
    if header_bytes > file_bytes - _TENSOR_LENGTH_BYTES:
        raise LanceletError(f"{wrong} (its header is longer than the file)")
    check_size(f"the header of {path}", header_bytes, TENSOR_HEADER_BYTES)


# Words for an error


def _size_text(size: int) -> str:
    """A size in bytes with the largest unit that it reaches: "3 GiB"."""
    if size >= GIB:
        return f"{size / GIB:.4g} GiB"
    if size >= MIB:
        return f"{size / MIB:.4g} MiB"
    if size >= KIB:
        return f"{size / KIB:.4g} KiB"
    return f"{size} bytes"


def _reason(error: BaseException) -> str:
    """Why a file cannot be read.

    Links in a circle are a RuntimeError up to Python 3.12, and an OSError of `os.stat` from 3.13 on.
    """
    is_loop = isinstance(error, OSError) and error.errno == errno.ELOOP
    if isinstance(error, RuntimeError) or is_loop:
        return "its links lead in a loop"
    return first_line(error)

"""Reading what somebody else wrote: nothing in it is run, imported or followed, and nothing is trusted to be small.

A run folder may come from a stranger, or from a disk that failed. So only regular files are opened, a link may not lead
out of the folder that is read, and sizes are read from headers before anything is unpacked.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import yaml

from .errors import LanceletError

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

CONFIG_BYTES = 1 * MIB
"""size of a configuration (YAML)"""
LOG_BYTES = 256 * MIB
"""size of a log (JSON, a line a step)"""
WEIGHTS_BYTES = 1 * GIB
"""size of a saved controller"""
CHECKPOINT_BYTES = 16 * GIB
"""size of a checkpoint, which may hold a replay buffer"""
TENSOR_HEADER_BYTES = 16 * MIB
"""size of the header of a safetensors file"""
ARRAYS_BYTES = 512 * MIB
"""size of all arrays of an npz file, unpacked; the file itself may be no larger either"""
ARRAYS = 1000
"""arrays in an npz file"""
ZIP_DIRECTORY_BYTES = 1 * MIB
"""size of the table of contents of a zip file"""
PLAIN_VALUES = 1_000_000
"""values in one YAML or JSON text, aliases counted as often as they stand for something"""
PLAIN_CHARACTERS = 64 * MIB
"""characters of all its texts together, counted alike"""
PLAIN_DEPTH = 64
"""levels of lists and objects in one another"""
PLAIN_INTEGER_BITS = 128
"""bits of its largest whole number"""


def open_regular(path: str | Path, most: int, inside: str | Path | None = None) -> BinaryIO:
    """Open a file to read bytes from it.

    Args:
        path: of the file.
        most: size in bytes that it may have.
        inside: the folder that it must lie in once links are followed; None: wherever the user's own path leads.

    Raises:
        LanceletError: missing, no regular file, larger than `most`, outside of `inside`, or not to be read.
    """
    real = real_path(path, inside)
    # A pipe without a writer would block in `open`, and some devices act when they are opened.
    _check_regular(path, _status(path, real))
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise LanceletError(f"cannot read {path}: {error.strerror}") from error
    status = os.fstat(descriptor)
    try:
        _check_regular(path, status)
        check_size(path, status.st_size, most)
    except LanceletError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def real_path(path: str | Path, inside: str | Path | None = None) -> Path:
    """`path` with every link followed; `inside` as in `open_regular`.

    Raises:
        LanceletError: it leads out of `inside`, or links lead in a circle.
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
        LanceletError: the first one.
    """
    for name in names:
        real_path(Path(folder) / name, folder)


def check_size(path: str | Path, size: int, most: int) -> None:
    """Refuse a file of more than `most` bytes.

    Raises:
        LanceletError: the size and what is allowed.
    """
    if size > most:
        raise LanceletError(f"{path} has {_in_words(size)}: at most {_in_words(most)} are read")


def read_bytes(path: str | Path, most: int, inside: str | Path | None = None) -> bytes:
    """The bytes of a file; see `open_regular`."""
    with open_regular(path, most, inside) as file:
        data = file.read(most + 1)
    check_size(path, len(data), most)  # it may have grown
    return data


def read_text(path: str | Path, most: int, inside: str | Path | None = None) -> str:
    """The text of a file in UTF-8, with or without a byte order mark; see `open_regular`.

    Raises:
        LanceletError: also where it is no text.
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
    """The plain values in a YAML file of at most `CONFIG_BYTES`; see `plain_values`.

    Args:
        path: of the file.
        inside: as in `open_regular`.
        by_hand: the file was written by a person, who means a number by ``1e-3`` (in YAML 1.1 it is
            text, and a hash in a file of ours may look like one).

    Raises:
        LanceletError: as `open_regular`; no YAML, or values that are not plain.
    """
    return parse_yaml(read_text(path, CONFIG_BYTES, inside), str(path), by_hand)


def parse_yaml(text: str, what: str, by_hand: bool = False) -> Any:
    """The plain values in a YAML text; see `plain_values`.

    Args:
        text: to be parsed.
        what: it is, for the error.
        by_hand: as in `read_yaml`.

    Raises:
        LanceletError: no YAML, or values that are not plain.
    """
    loader_class = _HandwrittenLoader if by_hand else _PlainLoader
    try:
        value = loader_class(text).get_single_data()
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise LanceletError(f"{what} is not YAML, or is cut short: {_first_line(error)}") from error
    return plain_values(value, what)


def parse_json(text: str | bytes, what: str) -> Any:
    """The plain values in a JSON text; see `plain_values`.

    Args:
        text: to be parsed.
        what: it is, for the error.

    Raises:
        LanceletError: no JSON, or values that are too deep, too many or too large.
    """
    try:
        value = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise LanceletError(f"{what} is not JSON: {_first_line(error)}") from error
    return plain_values(value, what)


def plain_values(value: Any, what: str) -> Any:
    """A copy of `value` in which nothing is shared; made of dicts, lists, texts, numbers, flags and None only.

    Aliases of YAML share what they stand for: a text of a kilobyte may stand for billions of values, or for a list
    that holds itself. Both meet the limits here.

    Args:
        value: what a parser gave.
        what: it is, for the error.

    Raises:
        LanceletError: other types, more than `PLAIN_VALUES`, `PLAIN_CHARACTERS` or `PLAIN_DEPTH`, or a whole number
            beyond `PLAIN_INTEGER_BITS`.
    """
    values_left = PLAIN_VALUES
    characters_left = PLAIN_CHARACTERS

    def copy(item: Any, depth: int) -> Any:
        nonlocal values_left, characters_left
        values_left -= 1
        if values_left < 0:
            raise LanceletError(f"{what} stands for more than {PLAIN_VALUES:,} values")
        if depth > PLAIN_DEPTH:
            raise LanceletError(f"{what} is nested more than {PLAIN_DEPTH} levels deep")
        if item is None or isinstance(item, bool | float):
            return item
        if isinstance(item, int):
            if item.bit_length() > PLAIN_INTEGER_BITS:
                raise LanceletError(
                    f"{what} holds a whole number of more than {PLAIN_INTEGER_BITS} bits"
                )
            return item
        if isinstance(item, str):
            characters_left -= len(item)
            if characters_left < 0:
                raise LanceletError(f"{what} stands for more than {PLAIN_CHARACTERS:,} characters")
            return item
        if isinstance(item, list):
            return [copy(one, depth + 1) for one in item]
        if isinstance(item, dict):
            return {_text_key(key): copy(one, depth + 1) for key, one in item.items()}
        raise LanceletError(
            f"{what} holds a value of type {type(item).__name__}: only plain ones are read"
        )

    def _text_key(key: Any) -> str:
        if not isinstance(key, str):
            raise LanceletError(f"{what} has a key that is no text: {str(key)[:40]!r}")
        return copy(key, 0)

    return copy(value, 0)


def read_arrays(path: str | Path, inside: str | Path | None = None) -> dict[str, np.ndarray]:
    """The arrays of an npz file, never of objects; their sizes are read before they are unpacked.

    Raises:
        LanceletError: as `open_regular`; no npz file, or more than `ARRAYS` or `ARRAYS_BYTES`.
    """
    with open_regular(path, ARRAYS_BYTES, inside) as file:
        try:
            return _unpack(path, file)
        except LanceletError:
            raise
        except Exception as error:  # zipfile, zlib, numpy and the file system each have their own
            raise LanceletError(
                f"{path} is no archive of arrays, or is cut short: {_first_line(error)}"
            ) from error


def zip_names(path: str | Path) -> list[str]:
    """Names in a zip file's table of contents; none where it is no zip file.

    Raises:
        LanceletError: as `open_regular` with `WEIGHTS_BYTES`; a table of more than `ZIP_DIRECTORY_BYTES`.
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


def read_tensors(
    path: str | Path, kind: str, most: int, inside: str | Path | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a safetensors file of ours says of itself, as JSON in its header, and its torch tensors by name.

    Args:
        path: of the file.
        kind: of file, for the error: "controller" or "checkpoint".
        most: size in bytes that it may have; a tensor takes as much memory as it takes of the file.
        inside: as in `open_regular`.

    Raises:
        LanceletError: as `open_regular`; cut short, not ours, or a header of more than `TENSOR_HEADER_BYTES`.
    """
    from safetensors import SafetensorError, safe_open

    wrong = f"{path} is not a {kind} of Lancelet, or is cut short"
    _check_tensor_header(path, wrong, most, inside)
    try:
        with safe_open(real_path(path, inside), "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, AttributeError, KeyError, OSError, OverflowError, RuntimeError, TypeError,
            ValueError) as error:  # fmt: skip
        raise LanceletError(f"{wrong} ({_first_line(error)})") from error
    if "lancelet" not in header:
        raise LanceletError(f"{wrong} (its header does not say what it is)")
    about = parse_json(header["lancelet"], f"{wrong}: its header")
    if not isinstance(about, dict) or "format" not in about:
        raise LanceletError(f"{wrong} (its header names no format)")
    return about, tensors


@contextlib.contextmanager
def described_by(what: str | Path) -> Iterator[None]:
    """Build what a file, or a part of one, describes: whatever its values break becomes one line that names it.

    Raises:
        LanceletError: as it was raised, or in place of an error of Python, numpy, MuJoCo or torch.
    """
    try:
        yield
    except LanceletError:
        raise
    except (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError,
            ValueError, OSError) as error:  # fmt: skip
        reason = f"{type(error).__name__}: {_first_line(error)}"
        raise LanceletError(
            f"{what} does not describe what this version can build ({reason})"
        ) from error


class _PlainLoader(yaml.SafeLoader):
    """A SafeLoader without merge keys, which multiply what aliases stand for, and without dates."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse ``<<``: no file of ours has it."""
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, "merge keys (<<) are not read", key.start_mark
                )

    def construct_yaml_timestamp(self, node: yaml.ScalarNode) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A date stays the text that it was."""
        return str(self.construct_scalar(node))


_PlainLoader.add_constructor("tag:yaml.org,2002:timestamp", _PlainLoader.construct_yaml_timestamp)


class _HandwrittenLoader(_PlainLoader):
    """The loader with the numbers of YAML 1.2 beside those of 1.1: an exponent needs no dot and no sign."""


_HandwrittenLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def _status(path: str | Path, real: Path) -> os.stat_result:
    try:
        return os.stat(real)
    except FileNotFoundError as error:
        raise LanceletError(f"{path} does not exist") from error
    except (OSError, ValueError) as error:
        raise LanceletError(f"cannot read {path}: {_reason(error)}") from error


def _check_tensor_header(
    path: str | Path, wrong: str, most: int, inside: str | Path | None
) -> None:
    """Refuse a safetensors file that is larger than allowed, or whose header is."""
    with open_regular(path, most, inside) as file:
        size = os.fstat(file.fileno()).st_size
        first = file.read(8)
    if len(first) < 8:
        raise LanceletError(f"{wrong} (it has {size} bytes)")
    (header,) = struct.unpack("<Q", first)
    if header > size - 8:
        raise LanceletError(f"{wrong} (its header is longer than the file)")
    check_size(f"the header of {path}", header, TENSOR_HEADER_BYTES)


def _check_regular(path: str | Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise LanceletError(f"{path} is a folder: must be a file")
    if not stat.S_ISREG(status.st_mode):
        raise LanceletError(f"{path} is a pipe or a device: must be a regular file")


def _unpack(path: str | Path, file: BinaryIO) -> dict[str, np.ndarray]:
    _check_zip_directory(path, file)
    arrays: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > ARRAYS:
            raise LanceletError(
                f"{path} holds {len(members):,} arrays: at most {ARRAYS:,} are read"
            )
        check_size(f"{path}, unpacked,", sum(member.file_size for member in members), ARRAYS_BYTES)
        for member in members:
            # The other methods unpack a block at once, whatever its size.
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise LanceletError(
                    f"{path}: {member.filename!r} is packed by another method than numpy's"
                )
            _check_array_header(path, archive, member)
            with archive.open(member) as stream:
                arrays[member.filename.removesuffix(".npy")] = np.lib.format.read_array(
                    stream, allow_pickle=False
                )
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
        size = dtype.itemsize
        for length in shape:
            size *= length
        if size != member.file_size - stream.tell():
            raise LanceletError(
                f"{path}: {member.filename!r} is not of the size that its header says"
            )


def _check_zip_directory(path: str | Path, file: BinaryIO) -> None:
    """Refuse a zip file whose table of contents is long: `zipfile` makes an object of every entry at once."""
    end_record = 22  # bytes
    longest_comment = 65_535  # bytes
    zip64_locator = 20  # bytes, in front of the end record
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - end_record - longest_comment - zip64_locator))
    tail = file.read()
    file.seek(0)
    start = tail.rfind(b"PK\5\6")
    if start < 0 or len(tail) < start + end_record:
        raise LanceletError(f"{path} is no archive of arrays, or is cut short")
    (directory,) = struct.unpack("<L", tail[start + 12 : start + 16])
    # zipfile takes the sizes of a zip64 record in place of these wherever there is one.
    is_zip64 = tail[max(0, start - zip64_locator) : start].startswith(b"PK\6\7")
    if is_zip64 or directory > ZIP_DIRECTORY_BYTES:
        raise LanceletError(
            f"{path} has a table of contents of more than {_in_words(ZIP_DIRECTORY_BYTES)}"
        )


def _in_words(size: int) -> str:
    if size < KIB:
        return f"{size} bytes"
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:.4g} {name}"
    raise AssertionError(size)


def _reason(error: BaseException) -> str:
    """Why a file cannot be read.

    Links in a circle are a RuntimeError up to Python 3.12, and an OSError of `os.stat` from 3.13 on.
    """
    if isinstance(error, RuntimeError) or getattr(error, "errno", None) == errno.ELOOP:
        return "its links lead in a loop"
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    if not text:
        return type(error).__name__
    return text[0]

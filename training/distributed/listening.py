"""What listens for connections on this machine and belongs to Ray or to this workbench, read from `/proc`."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .processes import PROC, process_ids, read_process_file

_TABLES = ("tcp", "tcp6")
"""files below `/proc/net` that list sockets"""
_LISTEN = "0A"
"""state of a listening socket in these tables"""
_OUR_COMMANDS = (b"lancelet", b"ray::", b"/ray/")
"""parts of the command lines of processes that are ours or Ray's"""
_TOKEN_MODE = b"RAY_AUTH_MODE=token"
"""variable of a process that asks whoever connects for a token"""
_SOCKET_LINK = "socket:["
"""what a link below `/proc/<pid>/fd` to a socket begins with; its inode and a bracket follow"""

# Columns of the tables.
_LOCAL_ADDRESS = 1
_STATE = 3
_INODE = 9

_ADDRESS_WORD = 8
"""hexadecimal digits in each 32-bit word of an address"""


@dataclass(frozen=True)
class Listener:
    """A socket that takes connections."""

    pid: int
    """of the process that has it open"""
    process: str
    """name of that process"""
    host: str
    """the address that it listens on"""
    port: int
    """the port that it listens on"""
    token: bool
    """whether its process asks for a Ray token"""

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self.host).is_loopback


class _Address(NamedTuple):
    """Where a socket listens."""

    host: str
    port: int


def listeners() -> list[Listener]:
    """Those of this user's processes that belong to Ray or to this workbench; none where there is no `/proc`."""
    addresses = dict(_listening_sockets())
    result = []
    for pid in process_ids():
        if not _is_this_users(pid):
            continue
        command = read_process_file(pid, "cmdline")
        if not any(part in command for part in _OUR_COMMANDS):
            continue
        variables = read_process_file(pid, "environ").split(b"\0")
        name = read_process_file(pid, "comm").decode(errors="replace").strip()
        for inode in _sockets(pid):
            if inode not in addresses:
                continue
            listener = Listener(
                pid=pid,
                process=name,
                host=addresses[inode].host,
                port=addresses[inode].port,
                token=_TOKEN_MODE in variables,
            )
            result.append(listener)
    return sorted(result, key=lambda listener: (listener.pid, listener.port))


def _is_this_users(pid: int) -> bool:
    try:
        return (PROC / str(pid)).stat().st_uid == os.getuid()
    except OSError:
        return False


def _sockets(pid: int) -> set[str]:
    """Inodes of the sockets that a process has open."""
    inodes = set()
    with contextlib.suppress(OSError):
        for link in (PROC / str(pid) / "fd").iterdir():
            # A file may be closed between its listing and its reading.
            with contextlib.suppress(OSError):
                target = os.readlink(link)
                if target.startswith(_SOCKET_LINK):
                    inodes.add(target.removeprefix(_SOCKET_LINK).removesuffix("]"))
    return inodes


def _listening_sockets() -> Iterator[tuple[str, _Address]]:
    """Inode and address of every listening socket of this machine."""
    for table in _TABLES:
        try:
            lines = (PROC / "net" / table).read_text().splitlines()
        except OSError:
            continue
        for line in lines[1:]:  # the first one holds the names of the columns
            columns = line.split()
            if columns[_STATE] == _LISTEN:
                host, _, port = columns[_LOCAL_ADDRESS].partition(":")
                yield columns[_INODE], _Address(host=_host(host), port=int(port, 16))


def _host(text: str) -> str:
    """An address, from what the kernel prints: 32-bit words in hexadecimal, in the machine's order of bytes."""
    starts = range(0, len(text), _ADDRESS_WORD)
    words = [int(text[start : start + _ADDRESS_WORD], 16) for start in starts]
    packed = struct.pack(f"={len(words)}I", *words)
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    # An IPv4 address in the table for IPv6 has this prefix.
    return socket.inet_ntop(family, packed).removeprefix("::ffff:")

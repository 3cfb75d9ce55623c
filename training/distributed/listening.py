"""What listens for connections on this machine and belongs to Ray or to this workbench, read from `/proc`."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TABLES = ("tcp", "tcp6")
_LISTEN = "0A"
"""state of a listening socket in `/proc/net/tcp`"""
_NAMES = (b"lancelet", b"ray::", b"/ray/")
"""parts of the command lines of processes that are ours or Ray's"""

# Columns of `/proc/net/tcp`.
_LOCAL_ADDRESS = 1
_STATE = 3
_INODE = 9


@dataclass(frozen=True)
class Listener:
    """A socket that takes connections."""

    pid: int
    process: str
    host: str
    port: int
    token: bool
    """whether its process asks for a Ray token"""

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self.host).is_loopback


def listeners() -> list[Listener]:
    """Those of this user's processes that belong to Ray or to this workbench; none where there is no `/proc`."""
    addresses = dict(_listening_inodes())
    found = []
    for pid in _processes():
        words = _read(pid, "cmdline")
        if not any(name in words for name in _NAMES):
            continue
        token = b"RAY_AUTH_MODE=token" in _read(pid, "environ").split(b"\0")
        process = _read(pid, "comm").decode(errors="replace").strip()
        for inode in _sockets(pid):
            if inode in addresses:
                host, port = addresses[inode]
                found.append(Listener(pid, process, host, port, token))
    return sorted(found, key=lambda one: (one.pid, one.port))


def _processes() -> list[int]:
    if not PROC.is_dir():
        return []
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit() and _is_ours(entry)]


def _is_ours(entry: Path) -> bool:
    try:
        return entry.stat().st_uid == os.getuid()
    except OSError:
        return False


def _read(pid: int, name: str) -> bytes:
    """A file of a process; empty where the process is gone, or has forbidden it."""
    try:
        return (PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""


def _sockets(pid: int) -> set[str]:
    """Inodes of the sockets that a process has open."""
    found = set()
    with contextlib.suppress(OSError):
        for link in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                target = os.readlink(link)
                if target.startswith("socket:["):
                    found.add(target[len("socket:[") : -1])
    return found


def _listening_inodes() -> Iterator[tuple[str, tuple[str, int]]]:
    """Inode, and host and port, of every listening socket of this machine."""
    for table in _TABLES:
        try:
            lines = (PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if columns[_STATE] == _LISTEN:
                host, _, port = columns[_LOCAL_ADDRESS].partition(":")
                yield columns[_INODE], (_host(host), int(port, 16))


def _host(text: str) -> str:
    """An address as the kernel prints it: 32-bit words in the machine's order of bytes."""
    words = [int(text[first : first + 8], 16) for first in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, packed).removeprefix("::ffff:")

"""Processes of this machine, as Linux tells of them in `/proc`."""

from __future__ import annotations

from pathlib import Path

PROC = Path("/proc")

# States of a process, as `/proc/<pid>/stat` writes them.
STOPPED = "T"
"""a signal has stopped it"""
TRACED = "t"
"""a debugger has stopped it"""
ZOMBIE = "Z"
"""it has ended, and its parent has not asked how"""
GONE = "X"
"""there is no such process any more"""


def process_ids() -> list[int]:
    """Ids of all processes of this machine; none where there is no `/proc`."""
    if not PROC.is_dir():
        return []
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def process_state(pid: int) -> str:
    """The letter that Linux has for the state of a process; `GONE` where there is none of that id."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return GONE
    # The name of the process stands in brackets before it, and may hold brackets and blanks.
    after_name = text.rpartition(")")[2]
    return after_name.split()[0]


def read_process_file(pid: int, name: str) -> bytes:
    """A file below `/proc/<pid>`; empty where the process is gone, or another user's."""
    try:
        return (PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""

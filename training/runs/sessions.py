"""The record of a run's sessions: when each began, by which command, and under which versions."""

from __future__ import annotations

import contextlib
import importlib.metadata
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ... import __version__
from ...errors import warn

DISTRIBUTIONS = ("mujoco", "gymnasium", "torch", "numpy", "evotorch", "stable-baselines3", "ray")
"""distributions beside Lancelet whose versions decide a run's numbers"""
GIT_PATIENCE = 5
"""s that git may take to say its commit"""


def versions() -> dict[str, str]:
    """Name -> version of what decides a run's numbers; a distribution that is not installed is left out."""
    version_of = {"lancelet": __version__}
    for name in DISTRIBUTIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            version_of[name] = importlib.metadata.version(name)
    return version_of


def this_session(options: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's record says of the session that this process begins.

    Args:
        options: the options of the algorithm that a resumed run may change, with their values in this session.
    """
    program = Path(sys.argv[0]).name
    return {
        "begun": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": shlex.join([program, *sys.argv[1:]]),
        "options": dict(options),
        "versions": versions(),
        "git": git_hash(),
    }


def git_hash() -> str | None:
    """The commit of this source tree; None where it is no checkout, or git is missing."""
    folder = Path(__file__).resolve().parent
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        result = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=GIT_PATIENCE,
            check=True,
        )
        return result.stdout.strip()
    return None


def with_session(
    old: Mapping[str, Any] | None, session: dict[str, Any], path: Path
) -> dict[str, Any]:
    """The record of a run with one more session; warns where its versions are not those of the session before.

    Args:
        old: the configuration that the run's folder holds, which is a stranger's perhaps; None: the run is new.
        session: what `this_session` returned.
        path: folder of the run, for the warning.

    Returns:
        The keys of `config.yaml` that tell what happened: the versions and the commit under which the run began, when
        it was created, and its sessions.
    """
    if old is None:
        return {
            "versions": dict(session["versions"]),
            "git": session["git"],
            "created": session["begun"],
            "sessions": [session],
        }
    sessions = _earlier_sessions(old)
    _warn_of_other_versions(sessions[-1], session, path)
    return {
        "versions": mapping_or_empty(old.get("versions")),
        "git": old.get("git"),
        "created": old.get("created"),
        "sessions": [*sessions, session],
    }


def _earlier_sessions(old: Mapping[str, Any]) -> list[Any]:
    """The sessions that a configuration lists: one or more, and whatever a stranger wrote for one."""
    sessions = old.get("sessions")
    if isinstance(sessions, list) and sessions:
        return sessions
    # A run of an earlier version of Lancelet has no list: only its last session is known.
    only_session = {
        "begun": old.get("created"),
        "versions": mapping_or_empty(old.get("versions")),
        "git": old.get("git"),
    }
    return [only_session]


def _warn_of_other_versions(before: Any, session: Mapping[str, Any], path: Path) -> None:
    """Warn where a session runs under other versions than the one before it."""
    old_versions = mapping_or_empty(mapping_or_empty(before).get("versions"))
    changes = []
    for name, version in session["versions"].items():
        if name in old_versions and old_versions[name] != version:
            changes.append(f"{name} {old_versions[name]} -> {version}")
    if changes:
        warn(
            f"{path} goes on under other versions ({', '.join(changes)}): its numbers may differ "
            "from those of a run that was never stopped"
        )


def mapping_or_empty(value: Any) -> dict[str, Any]:
    """A copy of `value` where it is a mapping, as it should be in a file of ours; else an empty one."""
    if isinstance(value, Mapping):
        return dict(value)
    return {}

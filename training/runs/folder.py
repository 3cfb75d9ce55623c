"""Run folders: configuration, log, checkpoint and results of one training run, and the lock that guards them."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import io
import json
import math
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ... import __version__, foreign
from ...checks import plain
from ...errors import LanceletError, warn
from ...files import make_folder, to_json, user_path, write_atomic
from ...optional import extras
from ...tasks import short_name
from . import checkpoint

FORMAT = 1
CHECKPOINT = Path("checkpoint") / "state.safetensors"
_LEFT_BY_A_RUN = (CHECKPOINT, Path("metrics.jsonl"), Path("best.safetensors"))
_NAMES = ("task", "controller", "algorithm")
_OPTIONS = ("task_options", "controller_options", "algorithm_options")
_RECORD = ("versions", "git", "created", "sessions")
"""keys of `config.yaml` that tell what happened, not what was asked for"""


class RunFolder:
    """One run on disk; only one process drives it at a time.

    `config.yaml` keeps what the run is, as the last session was asked for it, the versions that it
    began under, and a list of its sessions: when, by which command, under which versions.

    Args:
        config: of the run: ``task``, ``task_options``, ``controller``, ``controller_options``, ``algorithm``,
            ``algorithm_options``, ``model_hash``.
        folder: where; None for a new name under ``runs/``.
        resume: continue what is there.
        may_change: options of the algorithm that a resumed run may give other values.
        defaults: options of the algorithm and their defaults: what a run had that was begun before
            an option existed.

    Raises:
        LanceletError: the folder holds a run and `resume` is off, or its run was another one, or another process
            drives it, or the folder cannot be made.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        folder: str | Path | None = None,
        resume: bool = False,
        may_change: Collection[str] = (),
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        asked = {"format": FORMAT, **plain(dict(config))}
        self.config = {name: value for name, value in asked.items() if name not in _RECORD}
        self.path = user_path(folder) if folder else _new_name(config)
        self.watch: Callable[[dict[str, float]], None] | None = None
        """told the figures of every line of the log, where somebody looks on"""
        self._log: Any = None
        self._events: Any = None
        # Asked before anything is written, and again under the lock: another process may have
        # begun a run here since.
        _previous(self.path, resume)
        make_folder(self.path)
        self._lock = hold(self.path)
        try:
            old = _previous(self.path, resume)
            if old is not None:
                foreign.check_links(self.path, CHECKPOINT.parent.name)
                _same_run(old, self.config, self.path, may_change, defaults or {})
            options = self.config.get("algorithm_options", {})
            session = _session({name: options[name] for name in may_change if name in options})
            record = _record(old, session, self.path)
            text = yaml.safe_dump({**self.config, **record}, sort_keys=False)
            write_atomic(self.path / "config.yaml", text)
        except BaseException:
            self._lock.close()
            raise

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint, all at once."""
        checkpoint.save(self.path / CHECKPOINT, state)

    def load(self) -> dict[str, Any] | None:
        """The checkpoint; None where the run had not reached one."""
        path = self.path / CHECKPOINT
        return checkpoint.load(path, inside=self.path) if path.exists() else None

    def restoring(self) -> contextlib.AbstractContextManager[None]:
        """Take the values of a checkpoint up: where they do not fit, one line says so, with its path.

        Raises:
            LanceletError: in place of what they break.
        """
        return foreign.described_by(self.path / CHECKPOINT)

    def begin_log(self, done: int) -> None:
        """Open the log and drop lines past step `done`: the checkpoint did not see them."""
        with extras():
            from torch.utils.tensorboard.writer import SummaryWriter

        path = self.path / "metrics.jsonl"
        kept = [figures for figures in _logged(path) if figures["step"] <= done]
        text = "".join(f"{to_json(figures)}\n" for figures in kept)
        # A log with nothing to drop stays untouched: a run that is at its end is not written again.
        if not path.exists() or path.read_bytes() != text.encode():
            write_atomic(path, text)
        self._log = open(path, "a")  # noqa: SIM115 - held until close
        self._events = SummaryWriter(str(self.path), purge_step=done + 1 if done > 0 else None)

    def log(self, step: int, **figures: float) -> None:
        """Append a line to `metrics.jsonl` and to the TensorBoard events.

        A figure that is not finite is left out: there is none at this step, and NaN is no JSON.
        """
        finite = _finite_figures({"step": step, **figures})
        try:
            self._log.write(to_json(finite) + "\n")
            self._log.flush()
            for name, value in finite.items():
                if name != "step":
                    self._events.add_scalar(name, value, step)
        except OSError as error:
            raise LanceletError(
                f"cannot write the log of {self.path}: {error.strerror}; the checkpoint is valid"
            ) from error
        if self.watch is not None:
            self.watch({name: value for name, value in finite.items() if name != "step"})

    def close(self) -> None:
        """Let the folder go."""
        with (
            contextlib.ExitStack() as stack
        ):  # closes the next also where one fails, last in first out
            for file in (self._lock, self._events, self._log):
                if file is not None:
                    stack.callback(file.close)


def hold(folder: Path) -> Any:
    """The lock of a folder, as an open file: held until it is closed, or its process is gone.

    Raises:
        LanceletError: another process holds it, or the folder cannot be written to.
    """
    # The folder may be a stranger's: a link is not followed, and a pipe does not wait for a reader.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        lock = open(os.open(folder / "lock", flags, 0o666), "a")  # noqa: SIM115 - held until close
    except OSError as error:
        raise LanceletError(
            f"folder = {folder}: cannot be written to ({error.strerror}); give another --folder"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise LanceletError(
            f"{folder} is being trained by another process: wait, or give another --folder"
        ) from error
    except OSError as error:
        lock.close()
        raise LanceletError(
            f"folder = {folder}: cannot be locked ({error.strerror}); give a --folder on another disk"
        ) from error
    return lock


def read_config(folder: str | Path) -> dict[str, Any]:
    """The configuration of a run folder.

    Raises:
        LanceletError: no run there, half-written, or of another format.
    """
    path = Path(folder) / "config.yaml"
    if not Path(folder).exists():
        raise LanceletError(f"run folder {folder} does not exist")
    if not path.exists():
        raise LanceletError(f"{folder} holds no config.yaml: not a run folder")
    config = foreign.read_yaml(path, inside=folder)
    if not isinstance(config, dict) or "format" not in config:
        raise LanceletError(f"{path} is not a configuration of Lancelet, or is cut short")
    version = config["format"]
    if version != FORMAT or isinstance(version, bool):
        raise LanceletError(
            f"{path} has format {version!r}: this version of Lancelet ({__version__}) reads {FORMAT}"
        )
    for name in _NAMES:
        if not isinstance(config.get(name, ""), str):
            raise LanceletError(f"{path}: {name} = {config[name]!r}: must be a name")
    for name in _OPTIONS:
        options = config.setdefault(name, {})
        if not isinstance(options, dict):
            raise LanceletError(
                f"{path}: {name} = {options!r}: must be a mapping of names to values"
            )
    return config


def read_log(folder: str | Path) -> list[dict[str, float]]:
    """The lines of `metrics.jsonl`; lines that are torn or spoilt are left out.

    Raises:
        LanceletError: the log is no regular file, too large, or a link out of the folder.
    """
    return _logged(Path(folder) / "metrics.jsonl")


def _logged(path: Path) -> list[dict[str, float]]:
    """The figures of every line of a log that is JSON with a step."""
    if not path.exists():
        return []
    lines = []
    for line in foreign.read_bytes(path, foreign.LOG_BYTES, inside=path.parent).split(b"\n"):
        try:
            figures = foreign.parse_json(line, "a line of a log")
        except LanceletError:
            continue
        if not isinstance(figures, dict):
            continue
        figures = _finite_figures(figures)
        if "step" in figures:
            lines.append(figures)
    return lines


def _finite_figures(figures: Mapping[str, Any]) -> dict[str, float]:
    """Those that are finite numbers, as numbers of Python."""
    finite = {}
    for name, value in figures.items():
        number = plain(value)
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if is_number and math.isfinite(number):
            finite[name] = number
    return finite


def save_episode(folder: str | Path, record: Mapping[str, Any]) -> None:
    """Write a recorded episode (`rollout.Score.record`) to `episode.npz`, all at once."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **record)
    write_atomic(Path(folder) / "episode.npz", buffer.getvalue())


def versions() -> dict[str, str]:
    """Versions of what decides a run's numbers."""
    names = ("mujoco", "gymnasium", "torch", "numpy", "evotorch", "stable-baselines3", "ray")
    found = {"lancelet": __version__}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _new_name(config: Mapping[str, Any]) -> Path:
    seed = config["algorithm_options"]["seed"]
    name = f"{short_name(config['task'])}-{config['controller'].rpartition(':')[2]}-{config['algorithm']}-{seed}"
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def _git_hash() -> str | None:
    folder = Path(__file__).resolve().parent
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
        return done.stdout.strip()
    return None


def _session(options: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be known of this process's share of a run; `options` are those that may change."""
    return {
        "begun": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "options": dict(options),
        "versions": versions(),
        "git": _git_hash(),
    }


def _record(old: Mapping[str, Any] | None, session: dict[str, Any], path: Path) -> dict[str, Any]:
    """The record of a run's sessions with `session` at its end; says where versions changed."""
    if old is None:
        return {
            "versions": dict(session["versions"]),
            "git": session["git"],
            "created": session["begun"],
            "sessions": [session],
        }
    first = {
        "begun": old.get("created"),
        "versions": _mapping(old.get("versions")),
        "git": old.get("git"),
    }
    # A run of an earlier version of Lancelet has no list: only its last session is known.
    sessions = old.get("sessions")
    if not isinstance(sessions, list) or not sessions:
        sessions = [first]
    before = _mapping(_mapping(sessions[-1]).get("versions"))
    changes = []
    for name, version in session["versions"].items():
        if name in before and before[name] != version:
            changes.append(f"{name} {before[name]} -> {version}")
    if changes:
        warn(
            f"{path} goes on under other versions ({', '.join(changes)}): its numbers may differ "
            "from those of a run that was never stopped"
        )
    return {
        "versions": _mapping(old.get("versions")),
        "git": old.get("git"),
        "created": old.get("created"),
        "sessions": [*sessions, session],
    }


def _mapping(value: Any) -> dict[str, Any]:
    """A copy of `value` where it is a mapping, as it should be; else an empty one."""
    return dict(value) if isinstance(value, Mapping) else {}


def _previous(path: Path, resume: bool) -> dict[str, Any] | None:
    """The configuration of the run that lies at `path`; None where there is none.

    Raises:
        LanceletError: there is one, and it is not to be resumed; or it cannot be.
    """
    if os.path.lexists(path / "config.yaml"):
        if not resume:
            raise LanceletError(
                f"{path} already holds a run: give --resume to continue it, or another --folder"
            )
        return read_config(path)
    for name in _LEFT_BY_A_RUN:
        if os.path.lexists(path / name):
            raise LanceletError(
                f"{path} holds {name} but no config.yaml, so that nobody knows whose it is: give another --folder"
            )
    return None


def _same_run(
    old: dict[str, Any],
    new: dict[str, Any],
    path: Path,
    may_change: Collection[str],
    defaults: Mapping[str, Any],
) -> None:
    """Refuse to go on with the run at `path` where `new` describes another one."""
    same_body = old.get("model_hash") == new.get("model_hash")
    before = _mapping(old.get("versions")).get("mujoco")
    if not same_body and before not in (None, versions()["mujoco"]):
        raise LanceletError(
            f"{path} was run under MuJoCo {before}, where its body compiled to another model than "
            f"under {versions()['mujoco']}: install mujoco=={before}, or give another --folder"
        )
    unchanged(path, old, new, [key for key in new if key != "algorithm_options"])
    options = new.get("algorithm_options", {})
    kept = {**json.loads(to_json(defaults)), **_mapping(old.get("algorithm_options"))}
    unchanged(path, kept, options, [name for name in options if name not in may_change])


def unchanged(
    path: Path, old: Mapping[str, Any], new: Mapping[str, Any], names: Iterable[str]
) -> None:
    """Refuse to go on with what is at `path` under other settings than it was begun with; as JSON values."""
    new = json.loads(to_json(new))
    for name in names:
        if old.get(name) != new.get(name):
            had, given = old.get(name), new.get(name)
            raise LanceletError(
                f"{path} was run with {name} = {had!r}, not {given!r}: give another --folder"
            )

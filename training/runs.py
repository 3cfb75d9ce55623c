"""Run folders: configuration, log, checkpoint and results of one training run, and the lock that guards them."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import io
import json
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from .. import __version__, foreign
from ..errors import LanceletError
from ..files import write_atomic
from ..tasks import short_name
from . import checkpoint

FORMAT = 1
_NAMES = ("task", "controller", "algorithm")
_OPTIONS = ("task_options", "controller_options", "algorithm_options")
_FREE = ("generations", "steps", "updates", "test", "workers", "address", "chunk")
"""options that a resumed run may change: they say how long, or who computes, not what"""


class RunFolder:
    """One run on disk; only one process drives it at a time.

    Args:
        config: of the run: ``task``, ``task_options``, ``controller``, ``controller_options``, ``algorithm``,
            ``algorithm_options``, ``model_hash``.
        folder: where; None for a new name under ``runs/``.
        resume: continue what is there.

    Raises:
        LanceletError: the folder holds a run and `resume` is off, or its run was another one, or another process
            drives it.
    """

    last: Path | None = None
    """where this process opened a run last: what to tell a user who interrupts it"""

    def __init__(self, config: Mapping[str, Any], folder: str | Path | None = None, resume: bool = False) -> None:
        self.path = Path(folder) if folder else _new_name(config)
        self.path.mkdir(parents=True, exist_ok=True)
        RunFolder.last = self.path
        self._lock = hold(self.path)
        self.config = {"format": FORMAT, **config}
        if (self.path / "config.yaml").exists():
            if not resume:
                raise LanceletError(
                    f"{self.path} already holds a run: give --resume to continue it, or another --folder"
                )
            _same_run(read_config(self.path), self.config, self.path)
        about = {"versions": versions(), "git": _git_hash(), "created": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        write_atomic(self.path / "config.yaml", yaml.safe_dump({**self.config, **about}, sort_keys=False))
        self.watch: Callable[[dict[str, float]], None] | None = None
        """told the figures of every line of the log, where somebody looks on"""
        self._log: Any = None
        self._events: Any = None

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint, all at once."""
        checkpoint.save(self.path / "checkpoint" / "state.safetensors", state)

    def load(self) -> dict[str, Any] | None:
        """The checkpoint; None where the run had not reached one."""
        path = self.path / "checkpoint" / "state.safetensors"
        return checkpoint.load(path, inside=self.path) if path.exists() else None

    def begin_log(self, done: int) -> None:
        """Open the log and drop lines past step `done`: the checkpoint did not see them."""
        from torch.utils.tensorboard.writer import SummaryWriter

        path = self.path / "metrics.jsonl"
        kept = [line for line in path.read_text().splitlines() if _step_of(line) <= done] if path.exists() else []
        write_atomic(path, "".join(f"{line}\n" for line in kept))
        self._log = open(path, "a")  # noqa: SIM115 - held until close
        self._events = SummaryWriter(str(self.path), purge_step=done + 1 if done > 0 else None)

    def log(self, step: int, **figures: float) -> None:
        """Append a line to `metrics.jsonl` and to the TensorBoard events."""
        try:
            self._log.write(json.dumps({"step": step, **figures}) + "\n")
            self._log.flush()
            for name, value in figures.items():
                self._events.add_scalar(name, value, step)
        except OSError as error:
            raise LanceletError(
                f"cannot write the log of {self.path}: {error.strerror}; the checkpoint is valid"
            ) from error
        if self.watch is not None:
            self.watch(figures)

    def close(self) -> None:
        """Let the folder go."""
        for file in (self._log, self._events, self._lock):
            if file is not None:
                file.close()


def hold(folder: Path) -> Any:
    """The lock of a folder, as an open file: held until it is closed, or its process is gone.

    Raises:
        LanceletError: another process holds it.
    """
    lock = open(folder / "lock", "a")  # noqa: SIM115 - held until close
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise LanceletError(f"{folder} is being trained by another process: wait, or give another --folder") from error
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
        raise LanceletError(f"{path} has format {version!r}: this version of Lancelet ({__version__}) reads {FORMAT}")
    for name in _NAMES:
        if not isinstance(config.get(name, ""), str):
            raise LanceletError(f"{path}: {name} = {config[name]!r}: must be a name")
    for name in _OPTIONS:
        options = config.setdefault(name, {})
        if not isinstance(options, dict):
            raise LanceletError(f"{path}: {name} = {options!r}: must be a mapping of names to values")
    return config


def read_log(folder: str | Path) -> list[dict[str, float]]:
    """The lines of `metrics.jsonl`, up to the first that is none of ours: the last one may be torn.

    Raises:
        LanceletError: the log is no regular file, too large, or a link out of the folder.
    """
    path = Path(folder) / "metrics.jsonl"
    if not path.exists():
        return []
    lines = []
    for number, text in enumerate(foreign.read_text(path, foreign.LOG_BYTES, inside=folder).splitlines(), start=1):
        try:
            line = foreign.parse_json(text, f"line {number} of {path}")
        except LanceletError:
            break
        if not isinstance(line, dict):
            break
        lines.append(line)
    return lines


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
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, timeout=5, check=True
        )
        return done.stdout.strip()
    return None


def _same_run(old: dict[str, Any], new: dict[str, Any], path: Path) -> None:
    unchanged(path, old, new, [key for key in new if key != "algorithm_options"])
    options = new["algorithm_options"]
    unchanged(path, old["algorithm_options"], options, [name for name in options if name not in _FREE])


def unchanged(path: Path, old: Mapping[str, Any], new: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuse to go on with what is at `path` under other settings than it was begun with; as JSON values."""
    new = json.loads(json.dumps(new))
    for name in names:
        if old.get(name) != new.get(name):
            had, given = old.get(name), new.get(name)
            raise LanceletError(f"{path} was run with {name} = {had!r}, not {given!r}: give another --folder")


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return float("inf")

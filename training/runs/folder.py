"""Run folders: configuration, log, checkpoint and results of one training run, and the lock that guards them."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import math
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import yaml

from ... import __version__, foreign
from ...checks import plain
from ...errors import LanceletError
from ...files import make_folder, to_json, user_path, write_atomic
from ...optional import extras
from ...tasks import short_name
from . import checkpoint
from .sessions import mapping_or_empty, this_session, with_session
from .sessions import versions as versions

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

FORMAT = 1
"""format of `config.yaml` that this version writes and reads"""
CONFIG_FILE = "config.yaml"
LOG_FILE = "metrics.jsonl"
CHECKPOINT = Path("checkpoint") / "state.safetensors"
_LEFT_BY_A_RUN = (CHECKPOINT, Path(LOG_FILE), Path("best.safetensors"))
"""files by which a folder is known to hold a run, even where its configuration is missing"""
_NAMES = ("task", "controller", "algorithm")
"""keys of `config.yaml` whose values are texts"""
_OPTIONS = ("task_options", "controller_options", "algorithm_options")
"""keys of `config.yaml` whose values are mappings"""
_RECORD = ("versions", "git", "created", "sessions")
"""keys of `config.yaml` that tell what happened, not what was asked for"""


class RunFolder:
    """One run on disk; only one process drives it at a time.

    `config.yaml` keeps what the run is, as the last session was asked for it, the versions that it began under, and a
    list of its sessions: when, by which command, under which versions (docs/design.md, "A run folder").

    Args:
        config: what the run is: ``task``, ``task_options``, ``controller``, ``controller_options``, ``algorithm``,
            ``algorithm_options``, ``model_hash``.
        folder: path of the folder; None for a new name under ``runs/``.
        resume: continue the run that is there.
        may_change: options of the algorithm to which a resumed run may give other values.
        defaults: options of the algorithm and their defaults: what a run had that was begun before an option existed.

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
        given = {"format": FORMAT, **plain(dict(config))}
        self.config = {name: value for name, value in given.items() if name not in _RECORD}
        self.path = user_path(folder) if folder else _new_name(config)
        self.watch: Callable[[dict[str, float]], None] | None = None
        """called with the figures of every line of the log; None: nobody looks on"""
        self._log: TextIO | None = None
        self._events: SummaryWriter | None = None
        # Asked before anything is written, and again under the lock: another process may have begun a run here since.
        _previous(self.path, resume)
        make_folder(self.path)
        self._lock = hold(self.path)
        try:
            self._write_config(_previous(self.path, resume), may_change, defaults or {})
        except BaseException:
            self._lock.close()
            raise

    def _write_config(
        self,
        old: dict[str, Any] | None,
        may_change: Collection[str],
        defaults: Mapping[str, Any],
    ) -> None:
        """Write `config.yaml` for the session that begins now.

        Args:
            old: configuration of the run that is resumed; None: the run is new.
            may_change: as in the constructor.
            defaults: as in the constructor.

        Raises:
            LanceletError: the run that is there is another one.
        """
        if old is not None:
            foreign.check_links(self.path, CHECKPOINT.parent.name)
            _check_same_run(
                path=self.path,
                old=old,
                new=self.config,
                may_change=may_change,
                defaults=defaults,
            )
        options = self.config.get("algorithm_options", {})
        session = this_session({name: options[name] for name in may_change if name in options})
        record = with_session(old, session, self.path)
        text = yaml.safe_dump({**self.config, **record}, sort_keys=False)
        write_atomic(self.path / CONFIG_FILE, text)

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint by `state`, all at once."""
        checkpoint.save(self.path / CHECKPOINT, state)

    def load(self) -> dict[str, Any] | None:
        """The state in the checkpoint; None where the run had not reached one."""
        path = self.path / CHECKPOINT
        if not path.exists():
            return None
        return checkpoint.load(path, inside=self.path)

    def restoring(self) -> contextlib.AbstractContextManager[None]:
        """A block in which the values of a checkpoint are taken up.

        Raises:
            LanceletError: at the end of the block, in place of whatever the values broke there; it names the file.
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

        Args:
            step: number of the update, which the line begins with.
            **figures: figures of this step by name.

        Raises:
            LanceletError: the disk is full or refuses.
        """
        assert self._log is not None and self._events is not None, "begin_log comes first"
        line = _finite_figures({"step": step, **figures})
        finite = {name: value for name, value in line.items() if name != "step"}
        try:
            self._log.write(to_json(line) + "\n")
            # Flushed, so that who reads the log of a running training sees whole lines.
            self._log.flush()
            for name, value in finite.items():
                self._events.add_scalar(name, value, step)
        except OSError as error:
            raise LanceletError(
                f"cannot write the log of {self.path}: {error.strerror}; the checkpoint is valid"
            ) from error
        if self.watch is not None:
            self.watch(finite)

    def close(self) -> None:
        """Close the log and let the folder go."""
        # The stack closes the last first, and the others also where one fails: the lock goes when all is written.
        with contextlib.ExitStack() as stack:
            stack.callback(self._lock.close)
            if self._events is not None:
                stack.callback(self._events.close)
            if self._log is not None:
                stack.callback(self._log.close)


def hold(folder: Path) -> TextIO:
    """Take the lock of a folder; it is held until the file that is returned is closed, or its process is gone.

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
    """The configuration of a run folder; options that it lacks are empty.

    Raises:
        LanceletError: there is no run, or its configuration is half-written, of another format, or not one of ours.
    """
    path = Path(folder) / CONFIG_FILE
    if not Path(folder).exists():
        raise LanceletError(f"run folder {folder} does not exist")
    if not path.exists():
        raise LanceletError(f"{folder} holds no config.yaml: not a run folder")
    config = foreign.read_yaml(path, inside=folder)
    if not isinstance(config, dict) or "format" not in config:
        raise LanceletError(f"{path} is not a configuration of Lancelet, or is cut short")
    file_format = config["format"]
    # A flag is no format, though True equals 1.
    if file_format != FORMAT or isinstance(file_format, bool):
        raise LanceletError(
            f"{path} has format {file_format!r}: this version of Lancelet ({__version__}) reads {FORMAT}"
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
    return _logged(Path(folder) / LOG_FILE)


def _logged(path: Path) -> list[dict[str, float]]:
    """The figures of every line of a log that is JSON with a step; the others are left out."""
    if not path.exists():
        return []
    content = foreign.read_bytes(path, foreign.LOG_BYTES, inside=path.parent)
    lines = []
    for text in content.split(b"\n"):
        try:
            value = foreign.parse_json(text, "a line of a log")
        except LanceletError:
            # The last line of a run that was killed is torn.
            continue
        if not isinstance(value, dict):
            continue
        figures = _finite_figures(value)
        if "step" in figures:
            lines.append(figures)
    return lines


def _finite_figures(figures: Mapping[str, Any]) -> dict[str, float]:
    """Those of the figures that are finite numbers, as numbers of Python."""
    finite = {}
    for name, value in figures.items():
        number = plain(value)
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if is_number and math.isfinite(number):
            finite[name] = number
    return finite


def save_episode(folder: str | Path, record: Mapping[str, Any]) -> None:
    """Write a recorded episode (`rollout.Score.record`) to `episode.npz`, all at once."""
    archive = io.BytesIO()
    np.savez_compressed(archive, **record)
    write_atomic(Path(folder) / "episode.npz", archive.getvalue())


def _new_name(config: Mapping[str, Any]) -> Path:
    """A folder under ``runs/`` for a run that was given none."""
    task = short_name(config["task"])
    controller = config["controller"].rpartition(":")[2]
    seed = config["algorithm_options"]["seed"]
    now = time.strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{task}-{controller}-{config['algorithm']}-{seed}-{now}"


def _previous(path: Path, resume: bool) -> dict[str, Any] | None:
    """The configuration of the run that lies at `path`; None where there is none.

    Raises:
        LanceletError: there is one, and it is not to be resumed; or it cannot be.
    """
    # A link that leads nowhere counts too: it must not be written through.
    if os.path.lexists(path / CONFIG_FILE):
        if not resume:
            raise LanceletError(
                f"{path} already holds a run: give --resume to continue it, or another --folder"
            )
        return read_config(path)
    for name in _LEFT_BY_A_RUN:
        if os.path.lexists(path / name):
            raise LanceletError(
                f"{path} holds {name} but no config.yaml, so that nobody knows whose it is: "
                "give another --folder"
            )
    return None


def _check_same_run(
    path: Path,
    old: dict[str, Any],
    new: dict[str, Any],
    may_change: Collection[str],
    defaults: Mapping[str, Any],
) -> None:
    """Refuse to go on with a run under a configuration that describes another one.

    Args:
        path: folder of the run, for the error.
        old: configuration that the folder holds.
        new: configuration that is given now.
        may_change: options of the algorithm that may differ.
        defaults: options of the algorithm and their defaults, for those that `old` lacks.

    Raises:
        LanceletError: the first difference.
    """
    # The versions before the rest: another MuJoCo changes the model's hash, and then is the true reason.
    same_body = old.get("model_hash") == new.get("model_hash")
    old_mujoco = mapping_or_empty(old.get("versions")).get("mujoco")
    new_mujoco = versions()["mujoco"]
    if not same_body and old_mujoco not in (None, new_mujoco):
        raise LanceletError(
            f"{path} was run under MuJoCo {old_mujoco}, where its body compiled to another model than "
            f"under {new_mujoco}: install mujoco=={old_mujoco}, or give another --folder"
        )
    unchanged(path, old, new, [key for key in new if key != "algorithm_options"])
    # By way of JSON, as the old options went: a tuple has become a list there.
    plain_defaults = json.loads(to_json(defaults))
    old_options = {**plain_defaults, **mapping_or_empty(old.get("algorithm_options"))}
    new_options = new.get("algorithm_options", {})
    fixed_names = [name for name in new_options if name not in may_change]
    unchanged(path, old_options, new_options, fixed_names)


def unchanged(
    path: Path, old: Mapping[str, Any], new: Mapping[str, Any], names: Iterable[str]
) -> None:
    """Refuse to go on with a run under other settings than it was begun with.

    Args:
        path: folder of the run, for the error.
        old: settings of the run, as a file gave them.
        new: settings that are given now; they are compared as the JSON that they become.
        names: names of the settings that must be equal.

    Raises:
        LanceletError: the first setting that differs.
    """
    plain_new = json.loads(to_json(new))
    for name in names:
        old_value = old.get(name)
        new_value = plain_new.get(name)
        if old_value != new_value:
            raise LanceletError(
                f"{path} was run with {name} = {old_value!r}, not {new_value!r}: give another --folder"
            )

"""A run folder's episode as a video, gif or picture, drawn in a child process where OpenGL lives."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from ... import foreign
from ...checks import whole_number
from ...errors import LanceletError
from ...files import written_elsewhere
from ...morphology import model_hash
from ...tasks import check_task_options, known_task_id, registered, task_id
from ..runs.folder import read_config, save_episode
from . import opengl as gl

FORMS = (".mp4", ".gif", ".png")
LONGEST = 100_000
"""control steps of an episode that is drawn from a run folder"""


def draw(
    model: mujoco.MjModel,
    record: Mapping[str, np.ndarray],
    out: str | Path,
    fps: float,
    width: int | None = None,
    height: int | None = None,
    shadows: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Path:
    """Draw recorded configurations to `out`: a film (.mp4), an animation (.gif) or one picture (.png).

    Args:
        model: of the simulation.
        record: ``qpos``, ``mocap_pos`` and ``mocap_quat``, one row a frame; where there are, ``geom_pos`` (frames,
            geoms, 3), and lines drawn in: ``lines`` (k, 10), from xyz to xyz in m and rgba, with ``lines_of``
            (frames, 2), the first and one past the last of each frame.
        out: what was there before is replaced only by a whole file.
        fps: frames of the record in a second.
        width: in pixels; None: 640, 320 (gif) or 1200 (png).
        height: in pixels; None: 480, 240 or 400.
        shadows: good looks for a third of the speed.
        progress: called with the number of frames just drawn.

    Raises:
        LanceletError: no OpenGL here (the message says what to install), or the drawing failed.
    """
    out = Path(out)
    if out.suffix not in FORMS:
        raise LanceletError(f"cannot draw to {out}: its name must end in {', '.join(FORMS)}")
    size = {"width": width, "height": height}
    for name, value in size.items():
        if value is not None and not (16 <= value <= 4096 and value % 2 == 0):
            raise LanceletError(f"{name} = {value}: must be an even number from 16 to 4096")
    if "qpos" not in record:
        raise LanceletError(
            "the recorded episode holds no configurations: only MuJoCo tasks have pictures"
        )
    backend = gl.probe()
    if backend is None:
        raise LanceletError(gl.advice())
    options = {"fps": fps, "shadows": shadows} | {
        name: value for name, value in size.items() if value is not None
    }
    arrays: dict[str, Any] = {key: record[key] for key in _KEYS if key in record}
    with (
        tempfile.TemporaryDirectory(prefix="lancelet-") as folder,
        written_elsewhere(out) as picture,
    ):
        model_file = Path(folder) / "model.mjb"
        record_file = Path(folder) / "record.npz"
        job_file = Path(folder) / "job.json"
        mujoco.mj_saveModel(model, str(model_file), None)
        np.savez(record_file, **arrays)
        job = {
            "model": str(model_file),
            "record": str(record_file),
            "out": str(picture.resolve()),
            "options": options,
        }
        job_file.write_text(json.dumps(job))
        try:
            _child(job_file, backend, progress)
        except LanceletError as error:
            if shutil.disk_usage(picture.parent).free < 2**20:
                raise LanceletError(
                    f"cannot write {out}: the disk is full; what was there before is untouched"
                ) from error
            raise
    return out


_KEYS = ("qpos", "mocap_pos", "mocap_quat", "geom_pos", "lines", "lines_of")


def _child(job: Path, backend: str, progress: Callable[[int], object] | None) -> None:
    # -P: a file in the present folder must not stand in for a module of the child's.
    command = [sys.executable, "-P", "-m", "lancelet.envs.film", str(job)]
    with (
        open(job.with_suffix(".err"), "w+") as errors,
        subprocess.Popen(
            command, env=gl.environment(backend), stdout=subprocess.PIPE, stderr=errors, text=True
        ) as child,
    ):
        try:
            for line in child.stdout or ():
                if progress is not None:
                    progress(int(line))
        except BaseException:
            child.kill()
            raise
        if child.wait():
            errors.seek(0)
            reason = (errors.read().strip().splitlines() or [f"status {child.returncode}"])[-1]
            raise LanceletError(f"drawing with MUJOCO_GL={backend} failed: {reason}")


def render_run(
    folder: str | Path,
    out: str | Path | None = None,
    width: int | None = None,
    height: int | None = None,
    shadows: bool = False,
    progress: Callable[[int], object] | None = None,
    trust: bool = False,
) -> Path:
    """Draw a run's recorded episode, by default to ``video.mp4`` in its folder; see `draw`.

    With `trust`, the module that the run names for a task from outside the workbench is imported.

    Raises:
        LanceletError: no such run, half-written, of another version, or no OpenGL here.
    """
    folder, config = Path(folder), read_config(folder)
    env = _env(config, folder, trust)
    try:
        model, fps = env.sim.model, 1 / env.task.control_dt(env.sim)
        if config.get("model_hash") not in (None, model_hash(model)):
            print(
                f"warning: {folder}: this version builds another body than the run had",
                file=sys.stderr,
            )
        return draw(
            model,
            episode(folder, trust),
            out or folder / "video.mp4",
            fps,
            width,
            height,
            shadows,
            progress,
        )
    finally:
        env.close()


def episode(folder: str | Path, trust: bool = False) -> dict[str, np.ndarray]:
    """The recorded episode of a run folder; where there is none, its best controller swims one from seed 0.

    Raises:
        LanceletError: the record is cut short or too long, or there is neither a record nor a controller.
    """
    config = read_config(folder)
    path = Path(folder) / "episode.npz"
    if path.exists():
        try:
            return foreign.read_arrays(path, inside=folder)
        except LanceletError as error:
            raise LanceletError(f"no record: {error}; delete it, and it is made anew") from error
    from ... import controllers
    from ..rollout import evaluate

    task = _task(config, trust)
    options = _options(config, folder, task)
    controller = controllers.load(folder)
    with foreign.described_by(Path(folder) / "config.yaml"):
        record = evaluate(controller, task, episodes=1, seed=0, record=True, **options).record
    save_episode(folder, record)
    return record


def _task(config: Mapping[str, Any], trust: bool) -> str:
    """The run's task; a module that only the folder names is imported only where the caller trusts the folder."""
    name = config.get("task", "")
    module, _, id = name.rpartition(":")
    if not module or id in registered().values():
        return known_task_id(name)
    if not trust:
        raise LanceletError(
            f"this run's task lies in module {module!r}, which would be run: give --trust to import it"
        )
    return task_id(name)


def _options(config: Mapping[str, Any], folder: str | Path, task: str) -> dict[str, Any]:
    """The options of the run's task, once its module is imported: only those that the task has."""
    options = dict(config["task_options"])
    check_task_options(task, options)
    steps = options.get("max_episode_steps")
    if steps is not None:
        whole_number(f"{Path(folder) / 'config.yaml'}: max_episode_steps", steps, 1, LONGEST)
    return options


def _env(config: Mapping[str, Any], folder: Path, trust: bool) -> Any:
    from ..rollout import make_env

    path = folder / "config.yaml"
    if "task" not in config:
        raise LanceletError(f"{path} names no task: not a run of `lancelet train`")
    task = _task(config, trust)
    options = _options(config, folder, task)
    with foreign.described_by(path):
        env = make_env(task, 1, nthread=1, **options)
    if not hasattr(env.sim, "model"):
        env.close()
        raise LanceletError(f"{config['task']} is not a MuJoCo task: it has no picture")
    return env

"""A run folder's episode as a video, gif or picture, drawn in a child process where OpenGL lives."""

from __future__ import annotations

import importlib
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
from ...optional import extras
from ...tasks import check_task_options, known_task_id, registered, task_id
from ..runs.folder import read_config, save_episode
from . import opengl

WRITER_OF = {".mp4": "imageio_ffmpeg", ".gif": "imageio_ffmpeg", ".png": "matplotlib"}
"""ending of a picture's name -> the package that writes it"""
SMALLEST_SIDE = 16
"""pixels, of a picture"""
LARGEST_SIDE = 4096
"""pixels, of a picture"""
LONGEST = 100_000
"""control steps of an episode that is drawn from a run folder"""
LEAST_FREE_SPACE = 2**20
"""bytes; where the disk has less, drawing failed because it is full"""
RECORD_KEYS = ("qpos", "mocap_pos", "mocap_quat", "geom_pos", "lines", "lines_of")
"""arrays of a record that are drawn"""


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
        model: the model of the simulation.
        record: ``qpos``, ``mocap_pos`` and ``mocap_quat``, one row a frame. It may hold ``geom_pos`` (frames, geoms,
            3) and lines that are drawn in: ``lines`` (k, 10), from xyz to xyz in m and rgba, with ``lines_of``
            (frames, 2), the first and one past the last line of each frame.
        out: path of the picture; what was there before is replaced only by a whole file.
        fps: frames of the record in a second.
        width: width in pixels; None: 640, 320 (gif) or 1200 (png).
        height: height in pixels; None: 480, 240 or 400.
        shadows: whether things throw shadows; drawing then takes three times as long.
        progress: called with the number of frames just drawn.

    Raises:
        LanceletError: no OpenGL here (the message says what to install), or the drawing failed.
    """
    out = Path(out)
    _check_picture(out, width, height)
    if "qpos" not in record:
        raise LanceletError(
            "the recorded episode holds no configurations: only MuJoCo tasks have pictures"
        )
    with extras():
        importlib.import_module(WRITER_OF[out.suffix])
    backend = opengl.probe()
    if backend is None:
        raise LanceletError(opengl.advice())

    options: dict[str, Any] = {"fps": fps, "shadows": shadows}
    if width is not None:
        options["width"] = width
    if height is not None:
        options["height"] = height
    with (
        tempfile.TemporaryDirectory(prefix="lancelet-") as folder,
        written_elsewhere(out) as picture,
    ):
        # The job apart from the picture: only the latter must lie on the disk of `out`.
        job_file = _write_job(Path(folder), model, record, picture, options)
        try:
            _run_child(job_file, backend, progress)
        except LanceletError as error:
            if shutil.disk_usage(picture.parent).free < LEAST_FREE_SPACE:
                raise LanceletError(
                    f"cannot write {out}: the disk is full; what was there before is untouched"
                ) from error
            raise
    return out


def _check_picture(out: Path, width: int | None, height: int | None) -> None:
    """Refuse a file that is no picture, and sizes that films cannot have: H.264 wants even sides.

    Args:
        out: path of the picture.
        width: width in pixels; None: the usual one.
        height: height in pixels; None: the usual one.
    """
    if out.suffix not in WRITER_OF:
        raise LanceletError(f"cannot draw to {out}: its name must end in {', '.join(WRITER_OF)}")
    for name, pixels in {"width": width, "height": height}.items():
        if pixels is None:
            continue
        is_even = pixels % 2 == 0
        is_inside = SMALLEST_SIDE <= pixels <= LARGEST_SIDE
        if not (is_even and is_inside):
            raise LanceletError(
                f"{name} = {pixels}: must be an even number from {SMALLEST_SIDE} to {LARGEST_SIDE}"
            )


def _write_job(
    folder: Path,
    model: mujoco.MjModel,
    record: Mapping[str, np.ndarray],
    picture: Path,
    options: Mapping[str, Any],
) -> Path:
    """Write what the child process is to draw into `folder`, and return the path of the job.

    Args:
        folder: where the files of the job go.
        model: the model of the simulation.
        record: the configurations, as `draw` takes them.
        picture: where the child is to draw to.
        options: further arguments of the functions in `envs/film.py`.
    """
    model_file = folder / "model.mjb"
    record_file = folder / "record.npz"
    job_file = folder / "job.json"
    arrays: dict[str, Any] = {key: record[key] for key in RECORD_KEYS if key in record}
    mujoco.mj_saveModel(model, str(model_file), None)
    np.savez(record_file, **arrays)
    job = {
        "model": str(model_file),
        "record": str(record_file),
        "out": str(picture.resolve()),
        "options": options,
    }
    job_file.write_text(json.dumps(job))
    return job_file


def _run_child(job: Path, backend: str, progress: Callable[[int], object] | None) -> None:
    """Draw a job in a child process, which prints how many frames it has drawn, a line each time.

    Args:
        job: path of the job's file.
        backend: value of MUJOCO_GL for the child.
        progress: called with the number of frames just drawn; None: nobody looks on.

    Raises:
        LanceletError: the child failed; the message is the last line of its stderr.
    """
    # -P: a file in the present folder must not stand in for a module of the child's.
    command = [sys.executable, "-P", "-m", "lancelet.envs.film", str(job)]
    with (
        # A file, not a pipe: one that nobody reads would fill and stop the child.
        open(job.with_suffix(".err"), "w+") as errors,
        subprocess.Popen(
            command,
            env=opengl.environment(backend),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
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
            lines = errors.read().strip().splitlines()
            reason = lines[-1] if lines else f"status {child.returncode}"
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
    """Draw a run's recorded episode.

    Args:
        folder: folder of the run.
        out: path of the picture, as `draw` takes it; None: ``video.mp4`` in the folder.
        width: width in pixels; None: that of `draw`.
        height: height in pixels; None: that of `draw`.
        shadows: whether things throw shadows; drawing then takes three times as long.
        progress: called with the number of frames just drawn.
        trust: import the module that the run names for a task from outside the workbench.

    Raises:
        LanceletError: no such run, half-written, of another version, or no OpenGL here.
    """
    folder = Path(folder)
    config = read_config(folder)
    env = _make_env(config, folder, trust)
    try:
        model = env.sim.model
        fps = 1 / env.task.control_dt(env.sim)
        if config.get("model_hash") not in (None, model_hash(model)):
            print(
                f"warning: {folder}: this version builds another body than the run had",
                file=sys.stderr,
            )
        return draw(
            model,
            record=episode(folder, trust),
            out=out or folder / "video.mp4",
            fps=fps,
            width=width,
            height=height,
            shadows=shadows,
            progress=progress,
        )
    finally:
        env.close()


def episode(folder: str | Path, trust: bool = False) -> dict[str, np.ndarray]:
    """The recorded episode of a run folder; where there is none, its best controller acts one from seed 0.

    Args:
        folder: folder of the run, into which a new record is written.
        trust: import the module that the run names for a task from outside the workbench.

    Returns:
        The record, as `draw` takes it.

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
    is_registered = id in registered().values()
    if not module or is_registered:
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


def _make_env(config: Mapping[str, Any], folder: Path, trust: bool) -> Any:
    """One environment of the run's task, which must be one of MuJoCo."""
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

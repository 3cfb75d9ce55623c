"""Recorded configurations as mp4, gif or png: ``python -m lancelet.envs.film job.json``, MUJOCO_GL set, does one job.

A process of its own, because MUJOCO_GL counts only before `import mujoco`, and a missing library kills that import.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from ..errors import LanceletError
from .rendering import Configuration, Painter

GHOSTS = 5
"""positions of the body in a still"""

Progress = Callable[[int], object]
"""called with the number of frames just drawn"""


def configurations(record: Mapping[str, np.ndarray]) -> list[Configuration]:
    """The configurations of a recorded episode, one a frame."""
    if "qpos" not in record:
        raise LanceletError(
            "the recorded episode holds no configurations: only MuJoCo tasks have pictures"
        )
    steps = len(record["qpos"])
    mocap_pos, mocap_quat = (
        record.get("mocap_pos", np.zeros((steps, 0, 3))),
        record.get("mocap_quat", np.zeros((steps, 0, 4))),
    )
    geoms: Any = record.get("geom_pos", [None] * steps)
    lines: Any = [None] * steps
    if "lines" in record:
        lines = [record["lines"][begin:end] for begin, end in record["lines_of"]]
    rows = zip(record["qpos"], mocap_pos, mocap_quat, geoms, lines, strict=True)
    return [Configuration(*row) for row in rows]


def film(
    model: mujoco.MjModel,
    record: Mapping[str, np.ndarray],
    path: str | Path,
    fps: float,
    width: int = 640,
    height: int = 480,
    shadows: bool = False,
    progress: Progress | None = None,
) -> None:
    """Stream an episode to an mp4 file."""
    shots = configurations(record)
    output = {
        "macro_block_size": 2,
        "quality": None,
        "output_params": ["-preset", "veryfast", "-crf", "23"],
    }
    frames = _frames(model, shots, width, height, shadows, progress)
    _stream(path, frames, (width, height), fps, **output)
    _check_frames(path, len(shots))


def gif(
    model: mujoco.MjModel,
    record: Mapping[str, np.ndarray],
    path: str | Path,
    fps: float,
    width: int = 320,
    height: int = 240,
    shadows: bool = False,
    progress: Progress | None = None,
) -> None:
    """Stream an episode to an animated gif of at most 15 pictures a second, with a palette of its own."""
    shots = configurations(record)
    palette = f"fps={min(fps, 15):g},split[a][b];[a]palettegen[p];[b][p]paletteuse"
    output = {"codec": "gif", "pix_fmt_out": "pal8", "quality": None, "macro_block_size": 1}
    frames = _frames(model, shots, width, height, shadows, progress)
    _stream(
        path, frames, (width, height), fps, **output, output_params=["-filter_complex", palette]
    )
    _check_frames(path, 1)


def still(
    model: mujoco.MjModel,
    record: Mapping[str, np.ndarray],
    path: str | Path,
    fps: float,
    width: int = 1200,
    height: int = 400,
    shadows: bool = False,
    progress: Progress | None = None,
) -> None:
    """One png from above: the body at moments spread over the episode, the earlier the paler."""
    from matplotlib.image import imsave

    shots = configurations(record)
    chosen = np.linspace(0, len(shots) - 1, min(GHOSTS, len(shots))).round().astype(int)
    with contextlib.closing(Painter(model, width, height, shadows, samples=4)) as painter:
        picture = painter.strobe([shots[i] for i in chosen])
    imsave(str(path), picture)


FORMS: dict[str, Callable[..., None]] = {".mp4": film, ".gif": gif, ".png": still}


def _frames(
    model: mujoco.MjModel,
    shots: list[Configuration],
    width: int,
    height: int,
    shadows: bool,
    progress: Progress | None,
) -> Iterator[np.ndarray]:
    with contextlib.closing(Painter(model, width, height, shadows)) as painter:
        for shot in shots:
            yield painter.frame(shot)
            if progress is not None:
                progress(1)


def _stream(
    path: str | Path, frames: Iterator[np.ndarray], size: tuple[int, int], fps: float, **output: Any
) -> None:
    import imageio_ffmpeg

    writer = imageio_ffmpeg.write_frames(str(path), size, fps=fps, **output)  # pyright: ignore[reportArgumentType]
    writer.send(None)
    try:
        for frame in frames:
            writer.send(frame)
    finally:
        writer.close()


def _check_frames(path: str | Path, least: int) -> None:
    """Raise where the film is short: the wrapper does not look how ffmpeg ended, a full disk shows only here."""
    import imageio_ffmpeg

    try:
        found, _ = imageio_ffmpeg.count_frames_and_secs(str(path))
    except (RuntimeError, OSError):
        found = 0
    if found is None or found < least:
        raise LanceletError(
            f"the video came out short, {found} of {least} frames: is the disk full?"
        )


def main(job: str) -> int:
    """Do the job of a JSON file: model (mjb), record (npz), out, and options; progress goes to stdout."""
    todo = json.loads(Path(job).read_text())
    try:
        model = mujoco.MjModel.from_binary_path(todo["model"])
        with np.load(todo["record"], allow_pickle=False) as file:
            record = dict(file)
        draw = FORMS[Path(todo["out"]).suffix]
        draw(
            model,
            record,
            todo["out"],
            progress=lambda count: print(count, flush=True),
            **todo["options"],
        )
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        print(next((line for line in lines if "No space" in line), lines[0]), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))

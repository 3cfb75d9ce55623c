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

STILL_CONFIGURATIONS = 5
"""positions of the body in a still"""
STILL_SAMPLES = 4
"""of anti-aliasing a pixel in a still, which is drawn once and looked at long"""
MOST_GIF_FPS = 15
"""pictures a second of a gif, at most: its files are large"""

QPOS = "qpos"
MOCAP_POS = "mocap_pos"
MOCAP_QUAT = "mocap_quat"
GEOM_POS = "geom_pos"
LINES = "lines"
"""of all frames, one after the other"""
LINES_OF_FRAME = "lines_of"
"""(frames, 2) which of the lines belong to a frame: from the first number to before the second"""

Progress = Callable[[int], object]
"""called with the number of frames just drawn"""


def configurations(record: Mapping[str, np.ndarray]) -> list[Configuration]:
    """The configurations of a recorded episode, one a frame.

    Raises:
        LanceletError: the episode is not that of bodies.
    """
    if QPOS not in record:
        raise LanceletError(
            "the recorded episode holds no configurations: only MuJoCo tasks have pictures"
        )
    frames = len(record[QPOS])
    nowhere: list[np.ndarray | None] = [None] * frames
    lines = nowhere
    if LINES in record:
        lines = [record[LINES][begin:end] for begin, end in record[LINES_OF_FRAME]]
    rows = zip(
        record[QPOS],
        record.get(MOCAP_POS, np.zeros((frames, 0, 3))),
        record.get(MOCAP_QUAT, np.zeros((frames, 0, 4))),
        record.get(GEOM_POS, nowhere),
        lines,
        strict=True,
    )
    return [
        Configuration(
            qpos=qpos,
            mocap_pos=mocap_pos,
            mocap_quat=mocap_quat,
            geom_pos=geom_pos,
            lines=lines_of_frame,
        )
        for qpos, mocap_pos, mocap_quat, geom_pos, lines_of_frame in rows
    ]


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
    """Stream an episode to an mp4 file.

    Args:
        model: of the body in its surroundings; its visual settings are changed.
        record: of the episode; see `configurations`.
        path: of the file.
        fps: frames a second; one frame is drawn for every configuration.
        width: of the film, pixels.
        height: of the film, pixels.
        shadows: whether shadows are drawn.
        progress: called after every frame.

    Raises:
        LanceletError: no configurations, no OpenGL, or a file that came out short.
    """
    shots = configurations(record)
    frames = _frames(model, shots, width=width, height=height, shadows=shadows, progress=progress)
    _stream(
        path,
        frames,
        (width, height),
        fps,
        # The size is kept; H.264 needs even ones.
        macro_block_size=2,
        quality=None,
        output_params=["-preset", "veryfast", "-crf", "23"],
    )
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
    """Stream an episode to an animated gif of at most 15 pictures a second, with a palette of its own.

    Arguments and errors are those of `film`.
    """
    shots = configurations(record)
    frames = _frames(model, shots, width=width, height=height, shadows=shadows, progress=progress)
    # ffmpeg's filters: one copy of the film chooses the 256 colours, the other is drawn with them.
    gif_fps = min(fps, MOST_GIF_FPS)
    filters = f"fps={gif_fps:g},split[a][b];[a]palettegen[p];[b][p]paletteuse"
    _stream(
        path,
        frames,
        (width, height),
        fps,
        codec="gif",
        pix_fmt_out="pal8",
        quality=None,
        macro_block_size=1,
        output_params=["-filter_complex", filters],
    )
    # ffmpeg leaves frames out: their number is not known beforehand.
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
    """Draw one png from above: the body at moments spread over the episode, the earlier the paler.

    Arguments are those of `film`; ``fps`` and ``progress`` count for nothing.
    """
    # Here: a film needs no matplotlib, which takes a second to load.
    from matplotlib.image import imsave

    shots = configurations(record)
    count = min(STILL_CONFIGURATIONS, len(shots))
    chosen = np.linspace(0, len(shots) - 1, count).round().astype(int)
    painter = Painter(model, width, height, shadows, samples=STILL_SAMPLES)
    with contextlib.closing(painter):
        picture = painter.strobe([shots[i] for i in chosen])
    imsave(str(path), picture)


FORMS: dict[str, Callable[..., None]] = {".mp4": film, ".gif": gif, ".png": still}
"""ending of the file's name -> what draws it"""


def _frames(
    model: mujoco.MjModel,
    shots: list[Configuration],
    *,
    width: int,
    height: int,
    shadows: bool,
    progress: Progress | None,
) -> Iterator[np.ndarray]:
    """Draw one picture after the other, so that only one is ever held."""
    with contextlib.closing(Painter(model, width=width, height=height, shadows=shadows)) as painter:
        for shot in shots:
            yield painter.frame(shot)
            if progress is not None:
                progress(1)


def _stream(
    path: str | Path, frames: Iterator[np.ndarray], size: tuple[int, int], fps: float, **output: Any
) -> None:
    """Write frames to a file as they are drawn.

    Args:
        path: of the file.
        frames: RGB pictures (height, width, 3).
        size: width and height, pixels.
        fps: frames a second.
        **output: of `imageio_ffmpeg.write_frames`.
    """
    import imageio_ffmpeg

    writer = imageio_ffmpeg.write_frames(str(path), size, fps=fps, **output)  # pyright: ignore[reportArgumentType]
    writer.send(None)  # start ffmpeg
    try:
        for frame in frames:
            writer.send(frame)
    finally:
        writer.close()


def _check_frames(path: str | Path, least: int) -> None:
    """Raise where the film has fewer than `least` frames.

    The wrapper does not look how ffmpeg ended: a full disk shows only here.
    """
    import imageio_ffmpeg

    try:
        frame_count, _ = imageio_ffmpeg.count_frames_and_secs(str(path))
    except (RuntimeError, OSError):
        frame_count = 0
    if frame_count is None or frame_count < least:
        raise LanceletError(
            f"the video came out short, {frame_count} of {least} frames: is the disk full?"
        )


def main(job_file: str) -> int:
    """Do the job of a JSON file: model (mjb), record (npz), out, and options.

    Returns:
        The exit status. The number of frames drawn goes to stdout as they come, the reason of a failure to stderr.
    """
    job = json.loads(Path(job_file).read_text())
    try:
        model = mujoco.MjModel.from_binary_path(job["model"])
        with np.load(job["record"], allow_pickle=False) as file:
            record = dict(file)
        draw = FORMS[Path(job["out"]).suffix]
        draw(model, record, job["out"], progress=_print_count, **job["options"])
    except Exception as error:
        print(_reason(error), file=sys.stderr)
        return 1
    return 0


def _print_count(count: int) -> None:
    """Tell the process that waits how many frames were just drawn."""
    print(count, flush=True)


def _reason(error: Exception) -> str:
    """The line of an error that says what to mend: of ffmpeg's many, the one of a full disk."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    for line in lines:
        if "No space" in line:
            return line
    return lines[0]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))

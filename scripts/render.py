"""Film a run's recorded episode: `lancelet render runs/RUN`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lancelet.scripts import cli

BYTES_PER_KILOBYTE = 1024


@dataclass
class Render:
    """What to draw; one of `out`, `gif` and `still` says where to."""

    out: str | None = None
    """mp4, gif or png file; none: video.mp4 in the run folder"""
    width: int | None = None
    """pixels; none: 640 (gif 320, png 1200)"""
    height: int | None = None
    """pixels; none: 480 (gif 240, png 400)"""
    shadows: bool = False
    """better looks for a third of the speed"""
    gif: bool = False
    """an animated gif (video.gif in the run folder) in place of the mp4"""
    trust: bool = False
    """import the module that the run names for its task: it can run anything"""
    still: str | None = None
    """draw one picture to this png in place of the mp4: the body at five moments, seen from above"""


def main(argv: list[str] | None = None) -> int | None:
    """Draw, with a progress bar, and say where the file is."""
    cli.shield_gl()
    (run,), flags = cli.words("render", __doc__ or "", argv, run=["a folder under runs/"])
    options = cli.parse("render RUN", __doc__ or "", flags, options=Render).options
    from lancelet.training.runs.progress import progress
    from lancelet.training.video.video import episode, render_run

    out = _out(run, options)
    frame_count = len(episode(run, options.trust).get("qpos", ()))
    is_one_picture = out is not None and out.endswith(".png")
    with progress("drawing", frame_count, "frames", quiet=is_one_picture) as advance:
        path = render_run(
            run,
            out=out,
            width=options.width,
            height=options.height,
            shadows=options.shadows,
            progress=advance,
            trust=options.trust,
        )
    kilobytes = path.stat().st_size / BYTES_PER_KILOBYTE
    print(f"{path}  ({kilobytes:,.0f} kB)")
    return 0


def _out(run: str, options: Render) -> str | None:
    """Path of the picture; None: the film in the run folder."""
    if options.still:
        return options.still
    if options.out:
        return options.out
    if options.gif:
        return str(Path(run) / "video.gif")
    return None


if __name__ == "__main__":
    raise SystemExit(cli.guard(main))

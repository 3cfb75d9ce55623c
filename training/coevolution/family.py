"""The family tree of a co-evolution and the champions' silhouettes, as one picture; the champions as one film."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from ...envs.compat import quiet
from ...errors import LanceletError
from ...files import written_elsewhere
from ...foreign import described_by
from ...morphology.genome import Genome, decode
from .champions import ancestors, as_run, champions, grown
from .individuals import Individual
from .lifetimes import Life

SHOWN = 6
"""champions in the picture and in the film, spread over the run"""
_SHADES = ("#1d3557", "#5b86b3")
_ROUND = (mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_ELLIPSOID)


def chosen(people: Sequence[Individual]) -> list[Individual]:
    """The first champion, the last, and some between."""
    found = champions(people)
    return (
        [found[k] for k in sorted({round(k) for k in np.linspace(0, len(found) - 1, SHOWN)})]
        if found
        else []
    )


def tree(people: Sequence[Individual], title: str = "") -> Any:
    """A matplotlib figure: every individual by birth and fitness, the line of the best, champions' silhouettes above.

    Raises:
        LanceletError: nobody has been evaluated yet.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    picked = chosen(people)
    if not picked:
        raise LanceletError("no individual has been evaluated yet: there is no tree to draw")
    best = champions(people)[-1]
    alive = {one.id: one for one in people if one.state == "evaluated" and one.fitness is not None}
    line = {one.id for one in ancestors(people, best)}
    plot = Figure(figsize=(10, 6.5))
    grid = plot.add_gridspec(2, len(picked), height_ratios=(1, 3.5), hspace=0.05, wspace=0.05)
    axes = plot.add_subplot(grid[1, :])
    edges = [(k, parent) for k, one in alive.items() for parent in one.parents if parent in alive]
    for kin, colour, width in ((False, "#c8ced6", 0.4), (True, "#d1495b", 1.3)):
        pairs = [pair for pair in edges if (pair[0] in line and pair[1] in line) == kin]
        ends = [[(one, alive[one].fitness or 0.0) for one in pair] for pair in pairs]
        axes.add_collection(LineCollection(ends, colors=colour, linewidths=width, zorder=1 + kin))  # pyright: ignore[reportArgumentType]
    axes.plot(list(alive), [one.fitness or 0.0 for one in alive.values()], ".", color="#7a8797", ms=4, zorder=3,
              label="individuals")  # fmt: skip
    kin = [k for k in alive if k in line]
    axes.plot(kin, [alive[k].fitness or 0.0 for k in kin], "o", color="#d1495b", ms=5, zorder=4,
              label="ancestors of the best")  # fmt: skip
    axes.plot([one.id for one in picked], [one.fitness or 0.0 for one in picked], "*", color="#1d3557", ms=13,
              zorder=5, label="champions shown above")  # fmt: skip
    axes.set_xlabel("birth")
    axes.set_ylabel("fitness (mean return)")
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    boxes = [plot.add_subplot(grid[0, k]) for k in range(len(picked))]
    extents = []
    for box, one in zip(boxes, picked, strict=True):
        with described_by(f"genome of individual {one.id}"):
            extents.append(silhouette(box, grown(one)))
    width, height = np.max(extents, axis=0)  # one scale for all
    for box, one in zip(boxes, picked, strict=True):
        box.set_title(f"no. {one.id}\n{one.fitness:.4g}", fontsize=9)
        box.set_xlim(-width, width)
        box.set_ylim(-max(height, width / 3), max(height, width / 3))
        box.set_aspect("equal")
        box.axis("off")
    plot.suptitle(title or "family tree", y=0.98)
    return plot


def silhouette(axes: Any, genome: Genome) -> tuple[float, float]:
    """Draw a body, seen where it is broadest, centred, neighbouring parts in two shades.

    Returns:
        Half its width and half its height in the picture, m.
    """
    from matplotlib.patches import Ellipse

    model = decode(genome).build().compile()
    data = mujoco.MjData(model)
    with quiet:
        mujoco.mj_forward(model, data)
    own = [g for g in range(model.ngeom) if model.geom_bodyid[g] and model.geom_rgba[g, 3] > 0]
    own = [g for g in own if model.geom_type[g] != mujoco.mjtGeom.mjGEOM_PLANE]
    places = data.geom_xpos[own]
    spread = np.ptp(places, axis=0) + 1e-3 * np.array(
        [1, 1, 0]
    )  # a body that lies flat is seen from above
    across, up = sorted(np.argsort(spread)[1:])
    if (across, up) == (0, 1) and spread[1] > spread[0]:
        across, up = up, across
    centre = (places.max(0) + places.min(0)) / 2
    extent = np.zeros(2)
    for g in own:
        size, frame, kind = model.geom_size[g], data.geom_xmat[g].reshape(3, 3), model.geom_type[g]
        at = (data.geom_xpos[g] - centre)[[across, up]]
        colour = _SHADES[model.geom_bodyid[g] % 2]
        if kind in _ROUND:
            half = np.sqrt(((frame * (size if kind == _ROUND[1] else size[0])) ** 2).sum(1))[
                [across, up]
            ]
            axes.add_patch(Ellipse(at, *(2 * half), color=colour, lw=0))
            extent = np.maximum(extent, np.abs(at) + half)
            continue
        box = kind == mujoco.mjtGeom.mjGEOM_BOX
        long, thick = (int(size.argmax()), np.sort(size)[1]) if box else (1, size[0])
        along = (frame[:, long if box else 2] * size[long])[[across, up]]
        for end in np.linspace(-1, 1, 25):  # a chain of discs keeps its width at every scale
            axes.add_patch(Ellipse(at + end * along, 2 * thick, 2 * thick, color=colour, lw=0))
        extent = np.maximum(extent, np.abs(at) + np.abs(along) + thick)
    return float(extent[0]), float(extent[1])


def film(
    people: Sequence[Individual],
    life: Life,
    out: Path,
    advance: Callable[[], object] = lambda: None,
) -> list[Individual]:
    """Champions one after the other, each for its first episode, as an mp4; returns whom it shows."""
    import imageio_ffmpeg

    from ..video.video import render_run

    shown = chosen(people)
    if not shown:
        raise LanceletError("no individual has been evaluated yet: there is nobody to film")
    with tempfile.TemporaryDirectory(prefix="lancelet-") as scratch:
        folder, lines = Path(scratch), []
        for one in shown:
            with described_by(f"individual {one.id}"):
                run = as_run(folder / str(one.id), grown(one), life, one.id)
            lines.append(f"file '{render_run(run, folder / f'{one.id}.mp4')}'\n")
            advance()
        (folder / "list.txt").write_text("".join(lines))
        with written_elsewhere(out) as whole:
            command = [
                imageio_ffmpeg.get_ffmpeg_exe(),
                *("-loglevel", "error", "-y"),
                *("-f", "concat", "-safe", "0", "-i", str(folder / "list.txt")),
                *("-c", "copy", str(whole)),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["ffmpeg failed"])[-1]
                raise LanceletError(f"cannot write {out}: {reason}")
    return shown

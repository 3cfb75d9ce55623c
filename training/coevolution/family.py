"""The family tree of a co-evolution and the champions' silhouettes, as one picture; the champions as one film."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import mujoco
import numpy as np

from ...envs.compat import quiet
from ...errors import LanceletError
from ...files import written_elsewhere
from ...foreign import described_by
from ...morphology.genome import Genome, decode
from .champions import ancestors, as_run, champions, grown, scored
from .individuals import Individual
from .lifetimes import Life

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 6
"""champions in the picture and in the film, spread over the run"""

# The picture
PICTURE_SIZE = (10, 6.5)
"""inches, width and height"""
HEIGHT_RATIOS = (1, 3.5)
"""of the silhouettes and of the tree"""
SHADES = ("#1d3557", "#5b86b3")
"""colours of neighbouring parts of a silhouette"""
COLOUR_OF_EDGES = "#c8ced6"
COLOUR_OF_INDIVIDUALS = "#7a8797"
COLOUR_OF_LINE = "#d1495b"
"""of the ancestors of the best"""
COLOUR_OF_CHAMPIONS = "#1d3557"

# Silhouettes
LEAST_HEIGHT = 1 / 3
"""height of a silhouette's frame, as a part of its width, at least"""
DISCS = 25
"""discs that a capsule or a box is drawn with"""
LYING_MARGIN = np.array([1e-3, 1e-3, 0.0])
"""m, added to the spread of a body's parts along x and y, so that one that lies flat is seen from above"""
OPACITY = 3
"""place of the opacity in MuJoCo's red, green, blue, opacity"""


def chosen(individuals: Sequence[Individual]) -> list[Individual]:
    """The first champion, the last, and some between; none where nobody has been evaluated."""
    best = champions(individuals)
    if not best:
        return []
    spread = np.linspace(0, len(best) - 1, SHOWN)
    # A set: where there are fewer champions than places, some fall together.
    places = sorted({round(place) for place in spread})
    return [best[place] for place in places]


def tree(individuals: Sequence[Individual], title: str = "") -> Figure:
    """Draw every individual by birth and fitness, the line of the best, and champions' silhouettes above.

    Args:
        individuals: of a run.
        title: of the picture.

    Returns:
        A matplotlib figure.

    Raises:
        LanceletError: nobody has been evaluated yet, or a genome cannot be built.
    """
    from matplotlib.figure import Figure

    shown = chosen(individuals)
    if not shown:
        raise LanceletError("no individual has been evaluated yet: there is no tree to draw")
    figure = Figure(figsize=PICTURE_SIZE)
    grid = figure.add_gridspec(
        nrows=2,
        ncols=len(shown),
        height_ratios=HEIGHT_RATIOS,
        hspace=0.05,
        wspace=0.05,
    )
    _draw_tree(figure.add_subplot(grid[1, :]), individuals, shown)
    boxes = [figure.add_subplot(grid[0, column]) for column in range(len(shown))]
    _draw_silhouettes(boxes, shown)
    figure.suptitle(title or "family tree", y=0.98)
    return figure


class _Edge(NamedTuple):
    """A child and one of its parents, by their numbers."""

    child: int
    parent: int


def _draw_tree(
    axes: Axes,
    individuals: Sequence[Individual],
    shown: Sequence[Individual],
) -> None:
    """Draw individuals as dots, and a line from each to its parents.

    Args:
        axes: drawn on.
        individuals: of the run.
        shown: champions whose silhouettes stand above.
    """
    evaluated = scored(individuals)
    fitness = {individual.id: individual.fitness or 0.0 for individual in evaluated}
    best = champions(individuals)[-1]
    line = {ancestor.id for ancestor in ancestors(individuals, best)}
    edges_in_line: list[_Edge] = []
    other_edges: list[_Edge] = []
    for individual in evaluated:
        for parent in individual.parents:
            # A parent without a fitness has no place in the picture.
            if parent in fitness:
                edge = _Edge(child=individual.id, parent=parent)
                if line.issuperset(edge):
                    edges_in_line.append(edge)
                else:
                    other_edges.append(edge)
    _draw_edges(axes, other_edges, fitness, colour=COLOUR_OF_EDGES, width=0.4, order=1)
    _draw_edges(axes, edges_in_line, fitness, colour=COLOUR_OF_LINE, width=1.3, order=2)
    axes.plot(
        list(fitness),
        list(fitness.values()),
        ".",
        color=COLOUR_OF_INDIVIDUALS,
        ms=4,
        zorder=3,
        label="individuals",
    )
    evaluated_line = [number for number in fitness if number in line]
    axes.plot(
        evaluated_line,
        [fitness[number] for number in evaluated_line],
        "o",
        color=COLOUR_OF_LINE,
        ms=5,
        zorder=4,
        label="ancestors of the best",
    )
    axes.plot(
        [champion.id for champion in shown],
        [champion.fitness or 0.0 for champion in shown],
        "*",
        color=COLOUR_OF_CHAMPIONS,
        ms=13,
        zorder=5,
        label="champions shown above",
    )
    axes.set_xlabel("birth")
    axes.set_ylabel("fitness (mean return)")
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_edges(
    axes: Axes,
    edges: Sequence[_Edge],
    fitness: Mapping[int, float],
    colour: str,
    width: float,
    order: int,
) -> None:
    """Draw a line from each child to its parent.

    Args:
        axes: drawn on.
        edges: the children and the parents.
        fitness: number of an individual -> its fitness.
        colour: of the lines.
        width: points, of the lines.
        order: lines of a higher order lie over those of a lower one.
    """
    from matplotlib.collections import LineCollection

    lines: list[list[tuple[int, float]]] = []
    for edge in edges:
        child = (edge.child, fitness[edge.child])
        parent = (edge.parent, fitness[edge.parent])
        lines.append([child, parent])
    collection = LineCollection(lines, colors=colour, linewidths=width, zorder=order)  # pyright: ignore[reportArgumentType]
    axes.add_collection(collection)


def _draw_silhouettes(boxes: Sequence[Axes], shown: Sequence[Individual]) -> None:
    """Draw one champion in each box, all at one scale."""
    half_sizes: list[tuple[float, float]] = []
    for box, individual in zip(boxes, shown, strict=True):
        with described_by(f"genome of individual {individual.id}"):
            half_sizes.append(silhouette(box, grown(individual)))
    half_width, half_height = np.max(half_sizes, axis=0)
    half_height = max(half_height, half_width * LEAST_HEIGHT)
    for box, individual in zip(boxes, shown, strict=True):
        box.set_title(f"no. {individual.id}\n{individual.fitness:.4g}", fontsize=9)
        box.set_xlim(-half_width, half_width)
        box.set_ylim(-half_height, half_height)
        box.set_aspect("equal")
        box.axis("off")


class _Shape(NamedTuple):
    """One geom as discs in the picture."""

    places: np.ndarray
    """(discs, 2) m, centres"""
    half_sizes: np.ndarray
    """(2,) m, half axes of every disc across and up"""
    reach: np.ndarray
    """(2,) m, how far the geom comes from the middle of the picture"""


def silhouette(axes: Axes, genome: Genome) -> tuple[float, float]:
    """Draw a body, seen where it is broadest, centred, neighbouring parts in two shades.

    Returns:
        Half its width and half its height in the picture, m.
    """
    from matplotlib.patches import Ellipse

    model = decode(genome).build().compile()
    data = mujoco.MjData(model)
    with quiet:
        mujoco.mj_forward(model, data)
    geoms = _visible_geoms(model)
    places = data.geom_xpos[geoms]
    centre = (places.max(0) + places.min(0)) / 2
    view = _view(places)
    half_size = np.zeros(2)
    for geom in geoms:
        shape = _shape(model=model, data=data, geom=geom, centre=centre, view=view)
        colour = SHADES[model.geom_bodyid[geom] % len(SHADES)]
        width, height = 2 * shape.half_sizes
        for place in shape.places:
            axes.add_patch(Ellipse(place, width, height, color=colour, lw=0))
        half_size = np.maximum(half_size, shape.reach)
    half_width, half_height = half_size
    return float(half_width), float(half_height)


def _visible_geoms(model: mujoco.MjModel) -> list[int]:
    """Geoms of the body, without the ground and what is transparent."""
    geoms: list[int] = []
    for geom in range(model.ngeom):
        is_of_world = model.geom_bodyid[geom] == 0
        is_transparent = model.geom_rgba[geom, OPACITY] == 0
        is_plane = model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_PLANE
        if not (is_of_world or is_transparent or is_plane):
            geoms.append(geom)
    return geoms


def _view(places: np.ndarray) -> list[int]:
    """The axes of space that go across and up in the picture: the two along which `places` (n, 3) spread most."""
    spread = np.ptp(places, axis=0) + LYING_MARGIN
    across, up = sorted(np.argsort(spread)[1:])
    # From above, the longer side goes across.
    if (across, up) == (0, 1) and spread[1] > spread[0]:
        return [up, across]
    return [across, up]


def _shape(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    geom: int,
    centre: np.ndarray,
    view: list[int],
) -> _Shape:
    """How a geom is drawn.

    Args:
        model: of the body.
        data: its pose.
        geom: number of the geom.
        centre: (3,) m, the middle of the picture.
        view: axes of space across and up.
    """
    kind = model.geom_type[geom]
    size = model.geom_size[geom]
    frame = data.geom_xmat[geom].reshape(3, 3)
    place = (data.geom_xpos[geom] - centre)[view]
    # Asked one by one: in `kind in (...)` the enum is asked, which is equal to no number of numpy.
    if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        return _disc(place, np.full(3, size[0]), frame, view)
    if kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        return _disc(place, size, frame, view)
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        # Its longest axis is drawn as that of a capsule, as thick as its second longest.
        longest = int(size.argmax())
        thickness = np.sort(size)[1]
        half_length = frame[:, longest] * size[longest]
        return _chain(place, half_length[view], thickness)
    # Capsules and cylinders: half their length is the second number, along their own z.
    return _chain(place, (frame[:, 2] * size[1])[view], size[0])


def _disc(place: np.ndarray, half_axes: np.ndarray, frame: np.ndarray, view: list[int]) -> _Shape:
    """An ellipsoid as one disc.

    Args:
        place: (2,) m, of its middle in the picture.
        half_axes: (3,) m.
        frame: (3, 3), its axes in space, as columns.
        view: axes of space across and up.
    """
    half_sizes = np.sqrt(((frame * half_axes) ** 2).sum(1))[view]
    return _Shape(
        places=place[None],
        half_sizes=half_sizes,
        reach=np.abs(place) + half_sizes,
    )


def _chain(place: np.ndarray, half_length: np.ndarray, thickness: float) -> _Shape:
    """A long geom as a chain of discs, which keeps its width at every scale of the picture; a line would not.

    Args:
        place: (2,) m, of its middle in the picture.
        half_length: (2,) m, from its middle to its end in the picture.
        thickness: m, half its width.
    """
    shares = np.linspace(-1, 1, DISCS)[:, None]
    return _Shape(
        places=place + shares * half_length,
        half_sizes=np.full(2, thickness),
        reach=np.abs(place) + np.abs(half_length) + thickness,
    )


def film(
    individuals: Sequence[Individual],
    life: Life,
    out: Path,
    advance: Callable[[], object] = lambda: None,
) -> list[Individual]:
    """Film champions one after the other, each for its first episode.

    Args:
        individuals: of a run.
        life: how they lived.
        out: the mp4 file.
        advance: called after each champion.

    Returns:
        The individuals that the film shows.

    Raises:
        LanceletError: nobody has been evaluated yet, a genome cannot be built, or the film cannot be written.
    """
    from ..video.video import render_run

    shown = chosen(individuals)
    if not shown:
        raise LanceletError("no individual has been evaluated yet: there is nobody to film")
    with tempfile.TemporaryDirectory(prefix="lancelet-") as scratch:
        folder = Path(scratch)
        films = []
        for individual in shown:
            with described_by(f"individual {individual.id}"):
                run = as_run(folder / str(individual.id), grown(individual), life, individual.id)
            films.append(render_run(run, folder / f"{individual.id}.mp4"))
            advance()
        with written_elsewhere(out) as joined:
            _join(films, joined, folder / "list.txt", out)
    return shown


def _join(films: Sequence[Path], joined: Path, film_list: Path, out: Path) -> None:
    """Join films by ffmpeg's demuxer ``concat``, without encoding them anew.

    Args:
        films: in order.
        joined: the file to write.
        film_list: a file to write the list of films to.
        out: where the user wants the film, for the error.

    Raises:
        LanceletError: the last line of what ffmpeg says.
    """
    import imageio_ffmpeg

    lines = [f"file '{film}'\n" for film in films]
    film_list.write_text("".join(lines))
    quiet_overwrite = ["-loglevel", "error", "-y"]
    # Not safe, in ffmpeg's words: the paths in the list are absolute.
    listed_films = ["-f", "concat", "-safe", "0", "-i", str(film_list)]
    without_encoding = ["-c", "copy", str(joined)]
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        *quiet_overwrite,
        *listed_films,
        *without_encoding,
    ]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        reason = "ffmpeg failed"
        if finished.stderr.strip():
            reason = finished.stderr.strip().splitlines()[-1]
        raise LanceletError(f"cannot write {out}: {reason}")

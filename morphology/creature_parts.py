"""A creature's tree of segments laid out in space: mirrored copies, rest pose, capsules that run into one another.

The way from genes to a pose: `expand` turns segments into parts (`Part`), of which a mirrored segment gives two; `rest`
says where every part stands with all joints at 0 (`Pose`); `overlaps` finds parts that run into one another there.
Every part but the root has a frame whose origin is its joint and whose x axis is its capsule's middle line. The root's
origin is the middle of its capsule. The mirror is the xz plane.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .creature_genes import Segment

Vector = tuple[float, float, float]
"""x, y, z"""
Quaternion = tuple[float, float, float, float]
"""w, x, y, z"""

AHEAD: Vector = (1.0, 0.0, 0.0)
"""along a segment, in its own frame"""
NO_PARENT = -1
"""in place of the parent's index, at the root"""
BACKWARDS_TOLERANCE = 1e-9
"""how near to -1 the x of a direction must be to count as straight back"""
PARALLEL_TOLERANCE = 1e-12
"""m^4, of the determinant of two line segments, below which they count as parallel"""

# Columns of lines, (parts, 2 ends, 3), and of places, (parts, 3).
BEGIN = 0
END = 1
X = 0
Z = 2


@dataclass(frozen=True)
class Part:
    """One segment as it stands in the body: itself, or a mirrored copy."""

    segment: int
    """index of the gene"""
    parent: int
    """index of the part that it hangs on; `NO_PARENT`: it is the root"""
    mirrored: bool
    """whether it is an odd number of reflections away from its gene"""
    attach: Vector
    """towards its place on the parent, as `Segment.attach`, reflected where the part is mirrored"""
    direction: Vector
    """where its x points in the parent's frame, reflected where the part is mirrored"""
    axes: tuple[Vector, ...]
    """axes of its hinges in its own frame, reflected where the part is mirrored"""

    @property
    def is_root(self) -> bool:
        """Whether it hangs on nothing."""
        return self.parent == NO_PARENT

    @property
    def rotation(self) -> Quaternion:
        """Quaternion (w, x, y, z) in the parent's frame: the shortest turn of x onto the direction.

        With d the direction, it is (1 + d_x, x cross d) brought to length 1, and x cross d is (0, -d_z, d_y).
        """
        if self.is_root:
            return 1.0, 0.0, 0.0, 0.0
        x, y, z = self.direction
        if x < -1 + BACKWARDS_TOLERANCE:
            # Straight back, the formula divides by 0, and every half turn is as short: the one about z is taken.
            return 0.0, 0.0, 0.0, 1.0
        size = math.sqrt(2 * (1 + x))
        return (1 + x) / size, 0.0, -z / size, y / size


def reflect(vector: Vector) -> Vector:
    """The mirror image in the xz plane of a place or a direction."""
    x, y, z = vector
    return x, -y, z


def reflect_axis(axis: Vector) -> Vector:
    """The axis about which the mirror image turns by the same angle (an axis is a pseudovector)."""
    x, y, z = axis
    return -x, y, -z


def expand(segments: Sequence[Segment], most: int) -> list[Part]:
    """All parts, each branch to its tips before the next: the simulator's own order of bodies and joints.

    A mirrored segment brings a copy of itself and all that hangs on it, reflected in the xz plane of its parent's
    frame.

    Args:
        segments: of the genome, parents first.
        most: with more parts than this the function stops, for the caller to refuse: copies of copies double.
    """
    children: list[list[int]] = [[] for _ in segments]
    for index, segment in enumerate(segments[1:], start=1):
        children[segment.parent].append(index)
    # The root hangs on nothing: its place and direction have no meaning.
    root = Part(
        segment=0,
        parent=NO_PARENT,
        mirrored=False,
        attach=AHEAD,
        direction=AHEAD,
        axes=(),
    )
    parts = [root]

    def grow(parent: int) -> None:
        """Append what hangs on a part, each branch to its tips, until there are more than `most` parts."""
        for index in children[parts[parent].segment]:
            segment = segments[index]
            # A mirrored segment stands twice: as it is, and as its reflection.
            reflections = (False, True) if segment.mirror else (False,)
            for is_reflection in reflections:
                if len(parts) > most:
                    return
                # A reflection of what is reflected already stands as the gene says.
                mirrored = parts[parent].mirrored != is_reflection
                parts.append(_part(segment, index, parent, mirrored))
                grow(len(parts) - 1)

    grow(0)
    return parts


def _part(segment: Segment, index: int, parent: int, mirrored: bool) -> Part:
    """One segment in the frame of its parent, or its mirror image.

    Args:
        segment: the gene.
        index: of the gene.
        parent: index of the part that it hangs on.
        mirrored: whether it is the mirror image.
    """
    attach = segment.attach
    direction = segment.direction
    axes = segment.axes
    if mirrored:
        attach = reflect(attach)
        direction = reflect(direction)
        axes = tuple(reflect_axis(axis) for axis in axes)
    return Part(
        segment=index,
        parent=parent,
        mirrored=mirrored,
        attach=attach,
        direction=direction,
        axes=axes,
    )


class SurfacePoint(NamedTuple):
    """A place on the surface of a capsule."""

    point: Vector
    """m, from the capsule's centre"""
    normal: Vector
    """of length 1, outwards"""


def surface(attach: Sequence[float], half_length: float, radius: float) -> SurfacePoint:
    """Where a ray from the centre of a capsule along x leaves it, and the normal there.

    Args:
        attach: (3,), the ray, before it is stretched as the capsule is. So a place stays in proportion when the
            segment is resized.
        half_length: m, from the capsule's centre to the centre of each of its half spheres.
        radius: m, of the capsule.
    """
    stretched_x = attach[0] * (half_length + radius)
    stretched_y = attach[1] * radius
    stretched_z = attach[2] * radius
    size = math.hypot(stretched_x, stretched_y, stretched_z)
    x, y, z = stretched_x / size, stretched_y / size, stretched_z / size
    side = math.hypot(y, z)
    leaves_through_cylinder = side * half_length >= abs(x) * radius
    if leaves_through_cylinder:
        reach = radius / side
        return SurfacePoint(
            point=(x * reach, y * reach, z * reach),
            normal=(0.0, y / side, z / side),
        )
    # It leaves through a half sphere: the larger root of |reach (x, y, z) - (half_length, 0, 0)| = radius. Rounding
    # could make the discriminant negative where the ray grazes the sphere.
    along = abs(x) * half_length
    reach = along + math.sqrt(max(along**2 - half_length**2 + radius**2, 0.0))
    sphere_x = math.copysign(half_length, x)
    point = (x * reach, y * reach, z * reach)
    return SurfacePoint(
        point=point,
        normal=((point[0] - sphere_x) / radius, point[1] / radius, point[2] / radius),
    )


def matrix(quaternion: Quaternion) -> np.ndarray:
    """Rotation matrix (3, 3) of a quaternion of length 1."""
    w, x, y, z = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


@dataclass(frozen=True)
class Pose:
    """Every part at rest, in the root's frame."""

    places: np.ndarray
    """m, (parts, 3): each part's joint in its parent's frame; 0 for the root"""
    lines: np.ndarray
    """m, (parts, 2 ends, 3): the capsules' middle lines in the root's frame"""
    radii: np.ndarray
    """m, (parts,): the capsules' radii"""

    @property
    def lowest(self) -> float:
        """Height of the lowest point over the root's centre, m: below 0 as a rule."""
        lowest_points = self.lines[:, :, Z] - self.radii[:, None]
        return float(lowest_points.min())

    @property
    def span(self) -> float:
        """The longest side of the box around the whole body, m."""
        low, high = self.box
        return float((high - low).max())

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest corner of the box around the whole body, m, (3,) each."""
        radii = self.radii[:, None]
        low = (self.lines.min(axis=1) - radii).min(axis=0)
        high = (self.lines.max(axis=1) + radii).max(axis=0)
        return low, high


class _Frame(NamedTuple):
    """Where a part's frame stands in the root's."""

    origin: np.ndarray
    """m, (3,)"""
    rotation: np.ndarray
    """(3, 3)"""


def rest(segments: Sequence[Segment], parts: Sequence[Part]) -> Pose:
    """The pose with every joint at 0.

    Args:
        segments: of the genome.
        parts: as `expand` made them of these segments.
    """
    places = np.zeros((len(parts), 3))
    lines = np.zeros((len(parts), 2, 3))
    frames: list[_Frame] = []
    # Parents stand before their children: their frames are known.
    for index, part in enumerate(parts):
        segment = segments[part.segment]
        if part.is_root:
            frames.append(_Frame(origin=np.zeros(3), rotation=np.eye(3)))
            lines[index, BEGIN, X] = -segment.half_length
            lines[index, END, X] = segment.half_length
            continue
        places[index] = place(segments, parts, part)
        parent = frames[part.parent]
        frame = _Frame(
            origin=parent.origin + parent.rotation @ places[index],
            rotation=parent.rotation @ matrix(part.rotation),
        )
        frames.append(frame)
        x_axis = frame.rotation[:, X]
        lines[index, BEGIN] = frame.origin
        lines[index, END] = frame.origin + x_axis * (2 * segment.half_length)
    radii = np.array([segments[part.segment].radius for part in parts])
    return Pose(places=places, lines=lines, radii=radii)


def place(segments: Sequence[Segment], parts: Sequence[Part], part: Part) -> Vector:
    """Where a part hangs on its parent, m in the parent's frame.

    Args:
        segments: of the genome.
        parts: as `expand` made them of these segments.
        part: one of them, but not the root.
    """
    parent_part = parts[part.parent]
    parent = segments[parent_part.segment]
    x, y, z = surface(part.attach, parent.half_length, parent.radius).point
    if not parent_part.is_root:
        # The surface is measured from the capsule's centre, while all frames but the root's begin at a joint.
        x += parent.half_length
    return x, y, z


class Overlap(NamedTuple):
    """Two parts that run into one another."""

    first: int
    """index of a part"""
    second: int
    """index of another one"""
    depth: float
    """m, by which their capsules overlap"""


def overlaps(parts: Sequence[Part], pose: Pose) -> Overlap | None:
    """The two parts that run deepest into one another where they should not; None: no two do.

    Neighbours may: parts with one joint, or none, between them, as the simulator lets them.
    """
    pairs = _apart(parts)
    if not pairs:
        return None
    first, second = np.array(pairs).T
    gaps = distance(pose.lines[first], pose.lines[second]) - pose.radii[first] - pose.radii[second]
    deepest = int(gaps.argmin())
    do_overlap = gaps[deepest] < 0
    if not do_overlap:
        return None
    return Overlap(
        first=int(first[deepest]),
        second=int(second[deepest]),
        depth=-float(gaps[deepest]),
    )


def _apart(parts: Sequence[Part]) -> list[tuple[int, int]]:
    """All pairs of parts that must not overlap: those with two joints or more between them."""
    # Parts without a joint between them move as one: each is known by the first part of its rigid group.
    group = list(range(len(parts)))
    for index, part in enumerate(parts):
        if not part.is_root and not part.axes:
            group[index] = group[part.parent]
    # The group that each part's group hangs on; the root's hangs on none.
    group_above: list[int] = []
    for first_part in group:
        parent = parts[first_part].parent
        group_above.append(NO_PARENT if parent == NO_PARENT else group[parent])

    def are_apart(one: int, other: int) -> bool:
        """Whether two joints or more lie between two parts."""
        are_one_group = group[one] == group[other]
        one_hangs_on_other = group_above[one] == group[other]
        other_hangs_on_one = group_above[other] == group[one]
        return not (are_one_group or one_hangs_on_other or other_hangs_on_one)

    pairs = itertools.combinations(range(len(parts)), 2)
    return [(one, other) for one, other in pairs if are_apart(one, other)]


def distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Least distances between line segments (Ericson 2004, Real-Time Collision Detection, section 5.1.9).

    The nearest points are p1 + s d1 and p2 + t d2 with s and t in [0, 1]. The names in the code are the book's:
    a = d1.d1, b = d1.d2, c = d1.r, e = d2.d2, f = d2.r with r = p1 - p2.

    Args:
        one: m, (n, 2 ends, 3), none of length 0.
        other: m, (n, 2 ends, 3), none of length 0.

    Returns:
        m, (n,).
    """
    d1 = one[:, END] - one[:, BEGIN]
    d2 = other[:, END] - other[:, BEGIN]
    r = one[:, BEGIN] - other[:, BEGIN]
    a = _dot(d1, d1)
    e = _dot(d2, d2)
    f = _dot(d2, r)
    b = _dot(d1, d2)
    c = _dot(d1, r)
    determinant = a * e - b * b
    is_skew = determinant > PARALLEL_TOLERANCE
    # The nearest points of the two endless lines, s kept on its segment. Parallel lines are as near everywhere: s = 0.
    nearest_s = np.clip((b * f - c * e) / np.maximum(determinant, PARALLEL_TOLERANCE), 0, 1)
    line_s = np.where(is_skew, nearest_s, 0.0)
    line_t = (b * line_s + f) / e
    # Where t leaves its segment, it is an end of that, and s is what is nearest to this end.
    s_at_begin = np.clip(-c / a, 0, 1)
    s_at_end = np.clip((b - c) / a, 0, 1)
    s_up_to_end = np.where(line_t > 1, s_at_end, line_s)
    s = np.where(line_t < 0, s_at_begin, s_up_to_end)
    t = np.clip(line_t, 0, 1)
    gap = r + d1 * s[:, None] - d2 * t[:, None]
    return np.sqrt(_dot(gap, gap))


def _dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Inner products (n,) of vectors (n, 3) with others."""
    return np.einsum("nk,nk->n", one, other)

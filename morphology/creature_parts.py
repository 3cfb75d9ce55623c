"""A creature's tree of segments laid out in space: mirrored copies, rest pose, capsules that run into one another."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .creature_genes import Segment

Vector = tuple[float, float, float]

AHEAD: Vector = (1.0, 0.0, 0.0)
"""along a segment, in its own frame"""


@dataclass(frozen=True)
class Part:
    """One segment as it stands in the body: itself, or a mirrored copy."""

    segment: int
    """index of the gene"""
    parent: int
    """index of the part that it hangs on; -1: the root"""
    mirrored: bool
    """an odd number of reflections away from its gene"""
    attach: Vector
    direction: Vector
    axes: tuple[Vector, ...]

    @property
    def rotation(self) -> tuple[float, float, float, float]:
        """Quaternion (w, x, y, z) in the parent's frame: the shortest turn of x onto the direction."""
        if self.parent < 0:
            return 1.0, 0.0, 0.0, 0.0
        x, y, z = self.direction
        if x < -1 + 1e-9:
            return 0.0, 0.0, 0.0, 1.0
        size = math.sqrt(2 * (1 + x))
        return (1 + x) / size, 0.0, -z / size, y / size


def reflect(vector: Vector) -> Vector:
    """The mirror image in the xz plane of a place or a direction."""
    return vector[0], -vector[1], vector[2]


def reflect_axis(axis: Vector) -> Vector:
    """The axis about which the mirror image turns by the same angle (an axis is a pseudovector)."""
    return -axis[0], axis[1], -axis[2]


def expand(segments: Sequence[Segment], most: int) -> list[Part]:
    """All parts, each branch to its tips before the next: the simulator's own order of bodies and joints.

    A mirrored segment brings a copy of itself and all that hangs on it, reflected in the xz plane of its parent's
    frame. Stops with more than `most` parts, for the caller to refuse.
    """
    children: list[list[int]] = [[] for _ in segments]
    for index, segment in enumerate(segments[1:], start=1):
        children[segment.parent].append(index)
    # The root hangs on nothing: its place and direction have no meaning.
    root = Part(segment=0, parent=-1, mirrored=False, attach=AHEAD, direction=AHEAD, axes=())
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
    """One segment in the frame of its parent, or its mirror image."""
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


def surface(attach: Sequence[float], half_length: float, radius: float) -> tuple[Vector, Vector]:
    """Where a capsule along x, its centre at the origin, is met by `attach` (m), and the normal there.

    The direction is stretched as the capsule is, so that a place stays in proportion when the segment is resized.
    """
    x, y, z = attach[0] * (half_length + radius), attach[1] * radius, attach[2] * radius
    size = math.hypot(x, y, z)
    x, y, z = x / size, y / size, z / size
    side = math.hypot(y, z)
    if side * half_length >= abs(x) * radius:
        reach = radius / side
        return (x * reach, y * reach, z * reach), (0.0, y / side, z / side)
    along = abs(x) * half_length
    reach = along + math.sqrt(max(along**2 - half_length**2 + radius**2, 0.0))
    end = math.copysign(half_length, x)
    point = x * reach, y * reach, z * reach
    return point, ((point[0] - end) / radius, point[1] / radius, point[2] / radius)


def matrix(quaternion: tuple[float, float, float, float]) -> np.ndarray:
    """Rotation matrix (3, 3)."""
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
    """(parts, 3) m in the parent's frame, of the joint"""
    lines: np.ndarray
    """(parts, 2 ends, 3) m: the capsules' middle lines"""
    radii: np.ndarray
    """(parts,) m"""

    @property
    def lowest(self) -> float:
        """m, of the lowest point under the root's centre."""
        return float((self.lines[:, :, 2] - self.radii[:, None]).min())

    @property
    def span(self) -> float:
        """m, the longest side of the box around it all."""
        low, high = self.box
        return float((high - low).max())

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest corner, (3,) m each."""
        radii = self.radii[:, None]
        return (self.lines.min(1) - radii).min(0), (self.lines.max(1) + radii).max(0)


def rest(segments: Sequence[Segment], parts: Sequence[Part]) -> Pose:
    """The pose with every joint at 0."""
    count = len(parts)
    places, lines = np.zeros((count, 3)), np.zeros((count, 2, 3))
    frames: list[tuple[np.ndarray, np.ndarray]] = []
    for i, part in enumerate(parts):
        segment = segments[part.segment]
        if part.parent < 0:
            frames.append((np.zeros(3), np.eye(3)))
            lines[i, :, 0] = -segment.half_length, segment.half_length
            continue
        places[i] = place(segments, parts, part)
        origin, rotation = frames[part.parent]
        own = origin + rotation @ places[i], rotation @ matrix(part.rotation)
        frames.append(own)
        lines[i] = own[0], own[0] + own[1][:, 0] * (2 * segment.half_length)
    return Pose(places, lines, np.array([segments[part.segment].radius for part in parts]))


def place(segments: Sequence[Segment], parts: Sequence[Part], part: Part) -> Vector:
    """Where `part` hangs on its parent, m in the parent's frame."""
    parent = segments[parts[part.parent].segment]
    x, y, z = surface(part.attach, parent.half_length, parent.radius)[0]
    return (
        (x if parts[part.parent].parent < 0 else x + parent.half_length),
        y,
        z,
    )  # all but the root begin at a joint


def overlaps(parts: Sequence[Part], pose: Pose) -> tuple[int, int, float] | None:
    """The two parts that run deepest into one another where they should not, and by how much (m); None: no two do.

    Neighbours may: parts with one joint, or none, between them, as the simulator lets them.
    """
    weld = list(range(len(parts)))
    for i, part in enumerate(parts):
        if part.parent >= 0 and not part.axes:
            weld[i] = weld[part.parent]
    above = [weld[parts[w].parent] if parts[w].parent >= 0 else -1 for w in weld]
    pairs = [
        (i, j)
        for i, j in itertools.combinations(range(len(parts)), 2)
        if weld[i] != weld[j] and above[i] != weld[j] and above[j] != weld[i]
    ]
    if not pairs:
        return None
    one, other = np.array(pairs).T
    gap = distance(pose.lines[one], pose.lines[other]) - pose.radii[one] - pose.radii[other]
    worst = int(gap.argmin())
    return (int(one[worst]), int(other[worst]), -float(gap[worst])) if gap[worst] < 0 else None


def distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Least distances (n,) between line segments (n, 2 ends, 3) (Ericson 2004, Real-Time Collision Detection)."""
    first, second, between = (
        one[:, 1] - one[:, 0],
        other[:, 1] - other[:, 0],
        one[:, 0] - other[:, 0],
    )
    a, e, f = _dot(first, first), _dot(second, second), _dot(second, between)
    b, c = _dot(first, second), _dot(first, between)
    slope = a * e - b * b
    s = np.where(slope > 1e-12, np.clip((b * f - c * e) / np.maximum(slope, 1e-12), 0, 1), 0.0)
    t = (b * s + f) / e
    s = np.where(t < 0, np.clip(-c / a, 0, 1), np.where(t > 1, np.clip((b - c) / a, 0, 1), s))
    t = np.clip(t, 0, 1)
    gap = between + first * s[:, None] - second * t[:, None]
    return np.sqrt(_dot(gap, gap))


def _dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.einsum("nk,nk->n", one, other)

"""Primitive shapes of the mobile manipulator and the person: what each looks like, weighs, and touches."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco

SOFT_CONTACT = (0.01, 1.0)
"""s and 1, time constant and damping ratio of contacts"""


def collide(geom: mujoco.MjsGeom, touches: int, touched_by: int = 0) -> None:
    """Let a geom touch, softly, those whose bits meet its own.

    Args:
        geom: changed in place.
        touches: bits of what it is; 0 for looks alone.
        touched_by: bits of those that it also stops.
    """
    geom.contype = touches
    geom.conaffinity = touched_by
    geom.solref = list(SOFT_CONTACT)


def add_box(
    body: mujoco.MjsBody,
    half: Sequence[float],
    place: Sequence[float],
    colour: Sequence[float],
    mass: float = 0.0,
    touches: int = 0,
    touched_by: int = 0,
) -> mujoco.MjsGeom:
    """A box of half sizes `half` (m) at `place` (m); without bits it is for looks alone."""
    geom = body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=list(half),
        pos=list(place),
        rgba=list(colour),
        mass=mass,
    )
    collide(geom, touches, touched_by)
    return geom


def add_ball(
    body: mujoco.MjsBody,
    radius: float,
    place: Sequence[float],
    colour: Sequence[float],
    mass: float = 0.0,
    touches: int = 0,
) -> mujoco.MjsGeom:
    """A ball of `radius` (m) at `place` (m); without bits it is for looks alone."""
    geom = body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_SPHERE,
        size=[radius, 0, 0],
        pos=list(place),
        rgba=list(colour),
        mass=mass,
    )
    collide(geom, touches)
    return geom


def add_bar(
    body: mujoco.MjsBody,
    start: Sequence[float],
    end: Sequence[float],
    radius: float,
    colour: Sequence[float],
    mass: float = 0.0,
    touches: int = 0,
    touched_by: int = 0,
) -> mujoco.MjsGeom:
    """A capsule of `radius` (m) from `start` to `end` (m); without bits it is for looks alone."""
    geom = body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        size=[radius, 0, 0],
        fromto=[*start, *end],
        rgba=list(colour),
        mass=mass,
    )
    collide(geom, touches, touched_by)
    return geom

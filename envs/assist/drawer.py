"""Pull a drawer open by its handle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import mujoco
import numpy as np

from ...morphology.manipulator import FURNITURE, OBJECT, ROBOT
from ..simulation import Simulation
from ..task import Memory
from . import plans, scene
from .base import PROGRESS_REWARD, Assist, Forces, Start
from .plans import Plan

CABINET_PLACE = (1.25, 0.0)
"""m, middle of the cabinet, beside the person's feet; its front looks to the robot, along y"""
CABINET_HALF = (0.22, 0.20)
"""m, half width and half depth"""
CABINET_HEIGHT = 0.90
"""m"""
DRAWER_HEIGHT = 0.78
"""m, middle of the drawer"""
DRAWER_HALF = (0.19, 0.17, 0.07)
"""m, half sizes of the drawer"""
DRAWER_MASS = 2.0
"""kg"""
TRAVEL = 0.30
"""m that the drawer can be pulled"""
RUNNER_FRICTION = 2.0
"""N, of its runners"""
RUNNER_DAMPING = 4.0
"""N s/m"""
HANDLE_GAP = 0.05
"""m, of the handle before the drawer's front"""
HANDLE_HALF_LENGTH = 0.05
"""m; the handle is an upright bar"""
HANDLE_RADIUS = 0.008
"""m"""
OPEN = 0.20
"""m that the drawer must be pulled"""
WOOD = (0.72, 0.56, 0.40, 1.0)
FRONT = (0.82, 0.68, 0.52, 1.0)
STEEL = (0.55, 0.57, 0.60, 1.0)


@dataclass(kw_only=True)
class AssistDrawer(Assist):
    """Grasp the handle of a drawer and pull it 0.2 m open.

    Observation, action, reward, unsafe ends and metrics: docs/systems/assist.md, "Tasks". The target is the handle.
    Progress: the opening, in 0.2 m. Metric: ``opening`` (m).

    Version: v0.
    """

    plan: ClassVar[Plan] = staticmethod(plans.drawer)
    tool: ClassVar[str] = "none"
    start: ClassVar[Start] = Start(
        x=1.1, y=1.12, yaw=0.0, lift=0.70, arm=0.0, wrist_pitch=0.0, gripper=0.03
    )
    view: ClassVar[scene.View] = scene.View(
        place=(3.3, 2.6, 1.75), looks_at=(0.62, 0.45, 0.58), opening=39.0
    )

    def furnish(self, spec: mujoco.MjSpec) -> None:
        """The cabinet with its drawer."""
        cabinet = spec.worldbody.add_body(name="cabinet", pos=[*CABINET_PLACE, 0])
        half_x, half_y = CABINET_HALF
        drawer_low = DRAWER_HEIGHT - DRAWER_HALF[2] - 0.01
        drawer_high = DRAWER_HEIGHT + DRAWER_HALF[2] + 0.01
        _panel(cabinet, (half_x, half_y, drawer_low / 2), (0, 0, drawer_low / 2), WOOD)
        top_half = (CABINET_HEIGHT - drawer_high) / 2
        _panel(cabinet, (half_x, half_y, top_half), (0, 0, drawer_high + top_half), WOOD)
        for side in (-1, 1):
            _wall(cabinet, (0.01, half_y), (side * (half_x - 0.01), 0, DRAWER_HEIGHT))
        _wall(cabinet, (half_x, 0.01), (0, 0.01 - half_y, DRAWER_HEIGHT))
        drawer = cabinet.add_body(name="drawer", pos=[0, 0, DRAWER_HEIGHT])
        drawer.add_joint(
            name="drawer",
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=[0, 1, 0],
            range=[0, TRAVEL],
            limited=True,
            frictionloss=RUNNER_FRICTION,
            damping=RUNNER_DAMPING,
        )
        _panel(drawer, (DRAWER_HALF[0], 0.01, DRAWER_HALF[2]), (0, half_y, 0), FRONT)
        drawer.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=list(DRAWER_HALF),
            pos=[0, 0.02, -0.01],
            rgba=WOOD,
            mass=DRAWER_MASS,
            contype=0,
            conaffinity=0,
        )
        handle_y = half_y + HANDLE_GAP
        bar = drawer.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            size=[HANDLE_RADIUS, 0, 0],
            fromto=[0, handle_y, -HANDLE_HALF_LENGTH, 0, handle_y, HANDLE_HALF_LENGTH],
            rgba=STEEL,
            mass=0.1,
        )
        bar.contype = FURNITURE
        bar.conaffinity = ROBOT
        for end in (-HANDLE_HALF_LENGTH, HANDLE_HALF_LENGTH):
            drawer.add_geom(
                type=mujoco.mjtGeom.mjGEOM_CAPSULE,
                size=[0.006, 0, 0],
                fromto=[0, half_y, end, 0, handle_y, end],
                rgba=STEEL,
                mass=0.01,
                contype=0,
                conaffinity=0,
            )
        drawer.add_site(name="handle", pos=[0, handle_y, 0], group=4)
        scene.add_frame_sensor(spec, "object", mujoco.mjtSensor.mjSENS_FRAMEPOS, "handle")
        spec.add_sensor(
            name="opening",
            type=mujoco.mjtSensor.mjSENS_JOINTPOS,
            objtype=mujoco.mjtObj.mjOBJ_JOINT,
            objname="drawer",
        )

    def own_memory(self, n: int) -> Memory:
        """How far the drawer is open."""
        return {"opening": np.zeros(n)}

    def target(self, sim: Simulation, memory: Memory) -> tuple[np.ndarray, np.ndarray]:
        """The handle, which is come to from the robot's side."""
        return sim.sensor("object"), np.tile([0.0, 1.0, 0.0], (sim.n, 1))

    def carried(self, sim: Simulation, memory: Memory) -> np.ndarray:
        """The handle."""
        return sim.sensor("object")

    def judge(self, sim: Simulation, memory: Memory, forces: Forces) -> None:
        """See how far the drawer was pulled."""
        opening = sim.sensor("opening")[:, 0]
        memory["event_reward"] += PROGRESS_REWARD * (opening - memory["opening"])
        memory["opening"][:] = opening
        memory["success"] |= opening >= OPEN

    def progress(self, memory: Memory) -> list[np.ndarray]:
        """The opening."""
        return [memory["opening"] / OPEN]

    def own_metrics(self, memory: Memory) -> dict[str, np.ndarray]:
        """The opening."""
        return {"opening": memory["opening"].copy()}


def _wall(
    cabinet: mujoco.MjsBody, half: tuple[float, float], place: tuple[float, float, float]
) -> None:
    """A board beside or behind the drawer, for looks alone: the drawer runs without touching it."""
    cabinet.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[*half, DRAWER_HALF[2] + 0.01],
        pos=list(place),
        rgba=WOOD,
        mass=0.0,
        contype=0,
        conaffinity=0,
    )


def _panel(
    body: mujoco.MjsBody,
    half: tuple[float, float, float],
    place: tuple[float, float, float],
    colour: tuple[float, float, float, float],
) -> None:
    """A box of wood that can be touched."""
    geom = body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX, size=list(half), pos=list(place), rgba=colour, mass=0.5
    )
    geom.contype = FURNITURE
    geom.conaffinity = ROBOT | OBJECT

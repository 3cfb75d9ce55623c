"""Fetch a box from a table two metres away and bring it to the person's hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import mujoco
import numpy as np

from ...morphology.manipulator import FURNITURE, OBJECT, PERSON, ROBOT
from ..simulation import Simulation
from ..task import Memory
from . import plans, scene
from .base import Assist, Forces, Spread, Start
from .plans import Plan

TABLE_PLACE = (2.2, 0.17)
"""m, middle of the table; the robot passes it on its right"""
TABLE_HALF = (0.30, 0.20, 0.015)
"""m, half sizes of the top"""
TABLE_HEIGHT = 0.70
"""m of the top's upper side"""
BOX_HALF = 0.025
"""m"""
BOX_MASS = 0.1
"""kg"""
BOX_SPREAD = (0.15, 0.05)
"""m, half widths of where the box stands around its usual place"""
BOX_PLACE = (2.2, 0.27)
"""m, its usual place: near the edge that the robot passes"""
BOX_TURN = 0.2
"""rad, half width of how it is turned"""
LIFTED = 0.02
"""m over the table at which the box counts as taken"""
HELD = 0.06
"""m, the farthest that a held box is from the grasp's middle"""
DELIVERED = 0.15
"""m from the person's hand within which the box is delivered"""
HAND_OFFSET = 0.06
"""m, from the wrist to the middle of the hand"""
FLOOR = 0.3
"""m; a box below it has fallen"""
TAKEN_REWARD = 5.0
"""for lifting the box the first time"""
WOOD = (0.72, 0.56, 0.40, 1.0)
BOX_COLOUR = (0.85, 0.25, 0.30, 1.0)


@dataclass(kw_only=True)
class AssistFetch(Assist):
    """Drive 2 m to a table, grasp a 50 mm box, come back, and bring it to within 0.15 m of the person's left hand.

    Observation, action, reward, unsafe ends and metrics: docs/systems/assist.md, "Tasks". The target is the box, and
    while it is held the person's hand. Progress: whether the box is held, and whether it ever was. A box that falls to
    the floor ends the episode as failed. Metric: ``taken``.

    Version: v0.
    """

    plan: ClassVar[Plan] = staticmethod(plans.fetch)
    tool: ClassVar[str] = "none"
    start: ClassVar[Start] = Start(
        x=0.2, y=1.0, yaw=0.0, lift=0.75, arm=0.0, wrist_pitch=0.0, gripper=0.03
    )

    long_spread: ClassVar[Spread] = Spread(x=0.15, y=0.05, yaw=0.25)
    view: ClassVar[scene.View] = scene.View(
        place=(3.7, 3.5, 2.1), looks_at=(1.08, 0.52, 0.52), opening=37.0
    )

    def furnish(self, spec: mujoco.MjSpec) -> None:
        """The table and the box."""
        add_table(spec)
        add_box(spec)
        scene.add_frame_sensor(spec, "object", mujoco.mjtSensor.mjSENS_FRAMEPOS, "box")
        scene.add_frame_sensor(spec, "wrist", mujoco.mjtSensor.mjSENS_FRAMEPOS, "wrist")

    def own_memory(self, n: int) -> Memory:
        """Whether the box is held, and whether it ever was."""
        return {"is_held": np.zeros(n, bool), "was_taken": np.zeros(n, bool)}

    def draw(self, sim: Simulation, memory: Memory, i: int, rng: np.random.Generator) -> None:
        """Where the box stands on the table, and how it is turned."""
        offset_x, offset_y, turn = rng.uniform(-1, 1, 3)
        yaw = BOX_TURN * turn
        first = sim.model.joint("box").qposadr[0]
        sim.qpos[i, first : first + 7] = [
            BOX_PLACE[0] + BOX_SPREAD[0] * offset_x,
            BOX_PLACE[1] + BOX_SPREAD[1] * offset_y,
            TABLE_HEIGHT + BOX_HALF,
            np.cos(yaw / 2),
            0.0,
            0.0,
            np.sin(yaw / 2),
        ]

    def target(self, sim: Simulation, memory: Memory) -> tuple[np.ndarray, np.ndarray]:
        """The box, or while it is held the hand; both are come to from the robot's side."""
        is_held = memory["is_held"][:, None]
        place = np.where(is_held, hand(sim), sim.sensor("object"))
        facing = np.tile([0.0, 1.0, 0.0], (sim.n, 1))
        return place, facing

    def carried(self, sim: Simulation, memory: Memory) -> np.ndarray:
        """The box."""
        return sim.sensor("object")

    def judge(self, sim: Simulation, memory: Memory, forces: Forces) -> None:
        """See whether the box is held, delivered, or has fallen."""
        box = sim.sensor("object")
        near_grasp = np.linalg.norm(box - sim.sensor("tip"), axis=1) < HELD
        is_lifted = box[:, 2] > TABLE_HEIGHT + BOX_HALF + LIFTED
        memory["is_held"][:] = near_grasp & (is_lifted | memory["is_held"])
        first_time = memory["is_held"] & ~memory["was_taken"]
        memory["event_reward"] += TAKEN_REWARD * first_time
        memory["was_taken"] |= memory["is_held"]
        from_hand = np.linalg.norm(box - hand(sim), axis=1)
        memory["success"] |= memory["was_taken"] & (from_hand < DELIVERED)
        memory["has_failed"] |= box[:, 2] < FLOOR

    def progress(self, memory: Memory) -> list[np.ndarray]:
        """Held, and ever taken."""
        held = memory["is_held"].astype(float)
        taken = memory["was_taken"].astype(float)
        return [held, taken]

    def own_metrics(self, memory: Memory) -> dict[str, np.ndarray]:
        """Whether the box was ever taken."""
        return {"taken": memory["was_taken"].astype(float)}


def hand(sim: Simulation) -> np.ndarray:
    """Middle (n, 3) of the person's left hand in the robot's frame, m."""
    return sim.sensor("wrist") - HAND_OFFSET * sim.sensor("forearm_back")


def add_box(spec: mujoco.MjSpec) -> None:
    """The box, free to be carried: body, joint, geom and site are called ``box``."""
    box = spec.worldbody.add_body(name="box")
    box.add_freejoint(name="box")
    geom = box.add_geom(
        name="box",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[BOX_HALF] * 3,
        rgba=BOX_COLOUR,
        mass=BOX_MASS,
        condim=4,
        contype=OBJECT,
        conaffinity=ROBOT | FURNITURE | PERSON,
    )
    geom.friction = [1.0, 0.02, 0.0001]
    box.add_site(name="box", group=4)


def add_table(spec: mujoco.MjSpec) -> None:
    """A table that stands fast."""
    table = spec.worldbody.add_body(name="table", pos=[*TABLE_PLACE, 0])
    top_middle = TABLE_HEIGHT - TABLE_HALF[2]
    top = table.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=list(TABLE_HALF),
        pos=[0, 0, top_middle],
        rgba=WOOD,
    )
    top.contype = FURNITURE
    top.conaffinity = ROBOT | OBJECT
    for side_x in (-1, 1):
        for side_y in (-1, 1):
            leg_x = side_x * (TABLE_HALF[0] - 0.03)
            leg_y = side_y * (TABLE_HALF[1] - 0.03)
            leg = table.add_geom(
                type=mujoco.mjtGeom.mjGEOM_CAPSULE,
                size=[0.018, 0, 0],
                fromto=[leg_x, leg_y, 0.02, leg_x, leg_y, top_middle],
                rgba=WOOD,
            )
            leg.contype = FURNITURE
            leg.conaffinity = ROBOT | OBJECT

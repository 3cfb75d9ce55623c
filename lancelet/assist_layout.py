"""What the assistive tasks observe and command, by name: tasks fill these numbers, scripted controllers read them.

It stands here because controllers do not import tasks, nor tasks controllers.
"""

from __future__ import annotations

from .emg_layout import GESTURE_COUNT

COMMANDS = {
    "drive": 0.20,
    "turn": 0.50,
    "lift": 0.10,
    "arm": 0.12,
    "wrist_yaw": 0.60,
    "wrist_pitch": 0.60,
    "wrist_roll": 0.60,
    "gripper": 0.05,
}
"""the eight degrees of freedom in the order of an action -> the speed of a command of 1: m/s for drive, lift, arm and
the slide of the gripper, rad/s for the rest (docs/systems/assist.md, "Commands")"""
COMMAND_COUNT = len(COMMANDS)
BASE_COMMANDS = slice(0, 2)
"""the commands of the base: drive and turn"""
JOINT_COMMANDS = slice(2, 8)
"""the commands of joints"""
JOINTS = tuple(COMMANDS)[JOINT_COMMANDS]
"""the commands that move a joint of the robot"""
CONTROL_PERIOD = 0.05
"""s from one action to the next"""
FINE_SPEEDS = {
    "drive": 0.03,
    "turn": 0.08,
    "lift": 0.02,
    "arm": 0.02,
    "wrist_yaw": 0.10,
    "wrist_pitch": 0.10,
    "wrist_roll": 0.10,
    "gripper": 0.01,
}
"""command -> m/s or rad/s with which a gesture begins; `COMMANDS` has what it grows to
(docs/systems/hdemg.md, "Commands")"""
MODES = ("drive", "arm", "wrist")
"""what a gesture moves depends on the mode; a tripod switches to the next (docs/systems/hdemg.md, "Commands")"""

PARTS = {
    "joints": 6,
    "lead": 6,
    "base_speed": 2,
    "tip": 3,
    "tip_axis": 3,
    "tip_up": 3,
    "target": 3,
    "target_axis": 3,
    "object": 3,
    "person": 2,
    "person_facing": 2,
    "force": 3,
    "peak_force": 1,
    "progress": 4,
}
"""part of an observation -> how many numbers it has, in their order (docs/systems/assist.md, "Observation")"""
OBSERVATION_SIZE = sum(PARTS.values())
FORCE_UNIT = 10.0
"""N that an observed force of 1 stands for"""


def observation_slices() -> dict[str, slice]:
    """Part of an observation -> where it stands in it."""
    slices = {}
    first = 0
    for name, size in PARTS.items():
        slices[name] = slice(first, first + size)
        first += size
    return slices


SEEN = observation_slices()
"""part of an observation -> its slice"""

ROBOT_PARTS = {
    "joints": 6,
    "base_speed": 2,
    "mode": len(MODES),
    "accepted": GESTURE_COUNT,
    "held": 1,
    "fault": 1,
    "peak_force": 1,
}
"""part of the observation ``robot`` of tasks that gestures steer -> how many numbers it has, in their order
(docs/systems/hdemg.md, "Commands")"""
ROBOT_SIZE = sum(ROBOT_PARTS.values())

"""What a person who steers by gestures wants of each task: phases, and in each what the axes are still to move by.

See docs/systems/hdemg.md, "Operator". A plan reads the observation of `Assist`, as the person sees it, and remembers
nothing but its phase. Places are in the robot's frame: x its heading, the arm points along -y, z is up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...assist_layout import COMMAND_COUNT, COMMANDS, FORCE_UNIT, JOINTS
from ...morphology.manipulator import ARM_RANGE, LIFT_RANGE
from ...morphology.person import FOREARM_RADIUS

Seen = dict[str, np.ndarray]
"""part of an observation -> its numbers, (n, k)"""

AXES = {name: number for number, name in enumerate(COMMANDS)}
"""axis -> its column among errors and tolerances"""
NOT_WANTED = np.inf
"""tolerance of an axis that a phase does not look at"""
WRIST_TOLERANCE = 0.12
"""rad; wrong gestures turn the wrist, too"""
TURN_TOLERANCE = 0.05
"""rad"""
PLACE_TOLERANCE = 0.010
"""m; the shortest press drives 3 to 6 mm"""
LOOSE_TOLERANCE = 0.03
"""m, of an axis that is looked at again later"""
FACE_TO_FACE = math.pi / 2
"""rad, where the person looks as seen by a robot whose arm points to the face"""
SKIN_STIFFNESS = 600.0
"""N/m, by which the person estimates how much deeper the tool must press"""


class Wish(NamedTuple):
    """What is still to be done in the present phase."""

    error: np.ndarray
    """(n, 8) by how much each axis is to move, m or rad"""
    tolerance: np.ndarray
    """(n, 8) an error no larger is left alone"""
    phase: np.ndarray
    """(n,) the next phase"""


Plan = Callable[[Seen, np.ndarray], Wish]
"""(what is seen, (n,) present phase) -> what is wanted"""


class Stage(NamedTuple):
    """One phase of a plan."""

    axes: dict[str, tuple[np.ndarray, float]]
    """axis -> its error (n,) and its tolerance"""
    ended: np.ndarray | None = None
    """(n,) whether it has ended; none: it ends when nothing is left"""
    following: int | None = None
    """number of the phase after it; none: the next one"""


def wish(stages: list[Stage], phase: np.ndarray) -> Wish:
    """The wish of each simulation in its own phase; the last phase ends in itself."""
    n = len(phase)
    error = np.zeros((n, COMMAND_COUNT))
    tolerance = np.full((n, COMMAND_COUNT), NOT_WANTED)
    next_phase = phase.copy()
    for number, stage in enumerate(stages):
        rows = phase == number
        is_done = np.ones(n, bool)
        for name, (axis_error, axis_tolerance) in stage.axes.items():
            error[rows, AXES[name]] = axis_error[rows]
            tolerance[rows, AXES[name]] = axis_tolerance
            is_done &= np.abs(axis_error) <= axis_tolerance
        ended = is_done if stage.ended is None else stage.ended
        following = number + 1 if stage.following is None else stage.following
        if following < len(stages):
            next_phase[rows & ended] = following
    return Wish(error, tolerance, next_phase)


# -- errors of axes -----------------------------------------------------------------------------------------------------


def joint(seen: Seen, name: str) -> np.ndarray:
    """Position (n,) of a joint, m or rad."""
    return seen["joints"][:, JOINTS.index(name)]


def turning(seen: Seen, heading: float = 0.0) -> np.ndarray:
    """Error (n,) of turning until the person looks to `heading` (rad) in the robot's frame."""
    facing = seen["person_facing"]
    return np.arctan2(facing[:, 1], facing[:, 0]) - heading


def place(seen: Seen, vector: np.ndarray) -> dict[str, np.ndarray]:
    """Errors of drive, arm and lift that move the tip by a vector (n, 3); arm and lift only as far as they reach."""
    arm = joint(seen, "arm")
    lift = joint(seen, "lift")
    return {
        "drive": vector[:, 0],
        "arm": np.clip(-vector[:, 1], ARM_RANGE[0] - arm, ARM_RANGE[1] - arm),
        "lift": np.clip(vector[:, 2], LIFT_RANGE[0] - lift, LIFT_RANGE[1] - lift),
    }


def wrist(
    seen: Seen,
    pitch: float = 0.0,
    roll: float | np.ndarray = 0.0,
    tolerance: float = WRIST_TOLERANCE,
) -> dict[str, tuple[np.ndarray, float]]:
    """Errors and tolerance of the three axes of the wrist; yaw 0."""
    return {
        "wrist_pitch": (pitch - joint(seen, "wrist_pitch"), tolerance),
        "wrist_yaw": (-joint(seen, "wrist_yaw"), tolerance),
        "wrist_roll": (roll - joint(seen, "wrist_roll"), tolerance),
    }


def within(
    errors: dict[str, np.ndarray], **tolerances: float
) -> dict[str, tuple[np.ndarray, float]]:
    """Some of the errors, with their tolerances."""
    return {name: (errors[name], tolerance) for name, tolerance in tolerances.items()}


def force(seen: Seen) -> np.ndarray:
    """Force (n,) between robot and person, N."""
    return FORCE_UNIT * np.sqrt(np.square(seen["force"]).sum(1))


# -- tasks --------------------------------------------------------------------------------------------------------------

LEAST_TOUCH = 0.2
"""N from which on the tool touches"""
TOOL_PITCH = -0.9
"""rad, of the wrist where a tool goes down to the forearm"""
HOVER = 0.08
"""m over the skin that the tip goes to first"""
BEFORE_TOUCH = 0.012
"""m over the skin where it waits"""


def _to_the_skin(seen: Seen) -> list[Stage]:
    """Face as the person does; over the place; its height last, so that nothing is hit on the way."""
    hover = place(seen, seen["target"] + HOVER * seen["target_axis"])
    held_wrist = wrist(seen, TOOL_PITCH)
    return [
        Stage({"turn": (turning(seen), TURN_TOLERANCE), **held_wrist}),
        Stage(within(hover, drive=PLACE_TOLERANCE, arm=PLACE_TOLERANCE) | held_wrist),
    ]


TOO_FIRM = 4.0
"""N at which the tool is lifted off the skin before anything else moves"""
LIFTED_OFF = 0.012
"""m by which it is lifted then"""


def _down(seen: Seen) -> dict[str, tuple[np.ndarray, float]]:
    """To just above the skin; where the tool presses already, up and nothing else."""
    touch = place(seen, seen["target"] + BEFORE_TOUCH * seen["target_axis"])
    is_firm = force(seen) > TOO_FIRM
    careful = {
        "drive": np.where(is_firm, 0.0, touch["drive"]),
        "arm": np.where(is_firm, 0.0, touch["arm"]),
        "lift": np.where(is_firm, LIFTED_OFF, touch["lift"]),
    }
    return within(careful, drive=PLACE_TOLERANCE, arm=PLACE_TOLERANCE, lift=PLACE_TOLERANCE)


def _touches(seen: Seen) -> np.ndarray:
    """True (n,) where the tool touches gently."""
    present = force(seen)
    return (present > LEAST_TOUCH) & (present <= TOO_FIRM)


def reach(seen: Seen, phase: np.ndarray) -> Wish:
    """Over the place on the forearm, then down to just above it."""
    return wish([*_to_the_skin(seen), Stage(_down(seen))], phase)


BEFORE_MOUTH = 0.12
"""m before the mouth that the tip goes to first"""
SPOON_AT_LIPS = 0.014
"""m before the mouth where the spoon stays"""
CUP_AT_LIPS = 0.018
"""m before the mouth where the cup's rim stays"""
LEVEL_TOLERANCE = 0.06
"""rad, of a wrist that must stay level"""


def feed(seen: Seen, phase: np.ndarray) -> Wish:
    """Face the person, before the mouth, then straight to it."""
    before = place(seen, seen["target"] + BEFORE_MOUTH * seen["target_axis"])
    lips = place(seen, seen["target"] + SPOON_AT_LIPS * seen["target_axis"])
    level = wrist(seen, tolerance=LEVEL_TOLERANCE)
    return wish(
        [
            Stage({"turn": (turning(seen, FACE_TO_FACE), TURN_TOLERANCE), **level}),
            Stage(
                within(before, drive=PLACE_TOLERANCE, lift=PLACE_TOLERANCE, arm=LOOSE_TOLERANCE)
                | level
            ),
            Stage(
                within(lips, drive=PLACE_TOLERANCE, lift=PLACE_TOLERANCE, arm=PLACE_TOLERANCE)
                | level
            ),
        ],
        phase,
    )


DRINKING_ROLL = 0.785
"""rad"""
ROLL_TOLERANCE = 0.06
"""rad"""


def drink(seen: Seen, phase: np.ndarray) -> Wish:
    """Before the mouth, the rim to the lips, then the tilt, and the rim to the lips again."""
    before = place(seen, seen["target"] + BEFORE_MOUTH * seen["target_axis"])
    lips = place(seen, seen["target"] + CUP_AT_LIPS * seen["target_axis"])
    level = wrist(seen, tolerance=LEVEL_TOLERANCE)
    tilted = wrist(seen, roll=DRINKING_ROLL, tolerance=ROLL_TOLERANCE)
    at_lips = within(lips, drive=PLACE_TOLERANCE, lift=PLACE_TOLERANCE, arm=PLACE_TOLERANCE)
    return wish(
        [
            Stage({"turn": (turning(seen), TURN_TOLERANCE), **level}),
            Stage(
                within(before, drive=LOOSE_TOLERANCE, lift=PLACE_TOLERANCE, arm=PLACE_TOLERANCE)
                | level
            ),
            Stage(at_lips | level),
            Stage(tilted),
            Stage(at_lips | tilted),
        ],
        phase,
    )


GRIPPER_OPEN = 0.03
"""m, of the slide on the way to a thing"""
GRIPPER_TOLERANCE = 0.012
"""m"""
CLOSING = -0.055
"""m that the slide is closed by until something stops it"""
FIRM_LEAD = -0.9
"""leashes; where the set-point is so far beyond the fingers, they hold"""
BEFORE_THING = 0.14
"""m between the grasp and the thing before the arm is extended"""
PULL = 0.22
"""m that the operator means to pull a drawer by"""
OPEN = 0.20
"""m, the opening that is seen as 1"""


def _grasp(seen: Seen) -> Stage:
    """Close until the fingers hold."""
    holds = seen["lead"][:, JOINTS.index("gripper")] <= FIRM_LEAD
    return Stage({"gripper": (np.where(holds, 0.0, CLOSING), GRIPPER_TOLERANCE)}, ended=holds)


def _open(seen: Seen) -> dict[str, tuple[np.ndarray, float]]:
    """Keep the gripper open."""
    return {"gripper": (GRIPPER_OPEN - joint(seen, "gripper"), GRIPPER_TOLERANCE)}


def _beside(seen: Seen, vector: np.ndarray, distance: float) -> dict[str, np.ndarray]:
    """Errors to a place that is `distance` (m) before the thing on the robot's side."""
    return place(seen, vector + np.array([0.0, distance, 0.0]))


def drawer(seen: Seen, phase: np.ndarray) -> Wish:
    """Before the handle, around it, close, pull."""
    before = _beside(seen, seen["object"], BEFORE_THING)
    around = place(seen, seen["object"])
    opening = OPEN * seen["progress"][:, 0]
    ready = wrist(seen) | _open(seen)
    return wish(
        [
            Stage({"turn": (turning(seen), TURN_TOLERANCE), **ready}),
            Stage(
                within(before, drive=PLACE_TOLERANCE, lift=PLACE_TOLERANCE, arm=LOOSE_TOLERANCE)
                | ready
            ),
            Stage(within(around, drive=PLACE_TOLERANCE, arm=PLACE_TOLERANCE) | _open(seen)),
            _grasp(seen),
            Stage({"arm": (opening - PULL, PLACE_TOLERANCE)}),
        ],
        phase,
    )


RAISE = 0.10
"""m that a box is lifted"""
ON_TABLE = 0.725
"""m, height of the box's middle on the table"""
ABOVE_MIDDLE = 0.006
"""m over the box's middle where it is grasped, and how exactly: 9 mm lower the fingers would hit the table"""
OVER_HAND = 0.08
"""m over the hand where the box is brought"""
FREE_OF_KNEES = 0.22
"""m beside the hand until the robot is there"""
GIVE_TOLERANCE = 0.04
"""m; the box counts as brought within 0.15 m"""


def fetch(seen: Seen, phase: np.ndarray) -> Wish:
    """Along to the table, around the box, up, back along the way it came, and to the hand."""
    before = _beside(seen, seen["object"], BEFORE_THING)
    before["lift"] = before["lift"] + ABOVE_MIDDLE
    around = place(seen, seen["object"])
    height = seen["tip"][:, 2] + seen["object"][:, 2]
    raised = {"lift": (ON_TABLE + RAISE - height, LOOSE_TOLERANCE)}
    # The target is the hand from the moment on at which the box counts as held.
    over_hand = seen["target"] + np.array([0.0, 0.0, OVER_HAND])
    beside = _beside(seen, over_hand, FREE_OF_KNEES)
    hand = place(seen, over_hand)
    ready = wrist(seen) | _open(seen)
    straight = {"turn": (turning(seen), TURN_TOLERANCE)}
    return wish(
        [
            Stage(straight | ready),
            Stage(
                within(before, drive=PLACE_TOLERANCE, lift=ABOVE_MIDDLE, arm=LOOSE_TOLERANCE)
                | ready
            ),
            Stage(within(around, drive=PLACE_TOLERANCE, arm=PLACE_TOLERANCE) | _open(seen)),
            _grasp(seen),
            Stage(raised),
            Stage({"arm": (-joint(seen, "arm"), LOOSE_TOLERANCE)}),
            Stage(within(beside, drive=GIVE_TOLERANCE)),
            Stage(within(hand, drive=GIVE_TOLERANCE, lift=GIVE_TOLERANCE, arm=GIVE_TOLERANCE)),
        ],
        phase,
    )


STROKE = 0.013
"""m to each side of the itch"""
SCRATCH_FORCE = 2.5
"""N that is meant while scratching"""
WIPE_FORCE = 3.5
"""N that is meant while wiping"""
FORCE_TOLERANCE = 1.8
"""N; a force that is so far from the meant one is corrected"""
DEEPEST_STEP = 0.015
"""m that the tool is lowered by at once where it does not touch yet"""


def _pressing(seen: Seen, meant: float) -> tuple[np.ndarray, float]:
    """Error of the lift that brings the force to the meant one, and its tolerance."""
    missing = meant - force(seen)
    # Without a touch the skin may be anywhere below: the distance along its normal tells.
    above_skin = -(seen["target"] * seen["target_axis"]).sum(1)
    touches = force(seen) > LEAST_TOUCH
    down = np.where(touches, missing / SKIN_STIFFNESS, np.clip(above_skin, 0.004, DEEPEST_STEP))
    return -down, FORCE_TOLERANCE / SKIN_STIFFNESS


def _on_top(seen: Seen) -> Seen:
    """The same view, with the target moved towards the top of the forearm, by a third of the way on its outer side.

    The lift presses downwards: on a steep side the tool would slide off.
    """
    normal = seen["target_axis"]
    middle = seen["target"] - FOREARM_RADIUS * normal
    upper = normal + np.array([0.0, 0.0, 0.5])
    upper = upper / np.sqrt(np.square(upper).sum(1))[:, None]
    return seen | {"target": middle + FOREARM_RADIUS * upper, "target_axis": upper}


def _until_touch(seen: Seen) -> Stage:
    """Down to the skin, or until it is touched."""
    axes = _down(seen)
    is_there = np.ones(len(seen["target"]), bool)
    for error, tolerance in axes.values():
        is_there &= np.abs(error) <= tolerance
    return Stage(axes, ended=is_there | _touches(seen))


def scratch(seen: Seen, phase: np.ndarray) -> Wish:
    """Down to the itch until it touches, then to and fro along the forearm."""
    seen = _on_top(seen)
    errors = place(seen, seen["target"])
    press = {"lift": _pressing(seen, SCRATCH_FORCE)}
    forth = Stage(press | {"drive": (errors["drive"] + STROKE, 0.004)})
    back = Stage(press | {"drive": (errors["drive"] - STROKE, 0.004)})
    down = _until_touch(seen)
    # One stage for each stroke: phases do not go round.
    strokes = [forth, back] * 12
    return wish([*_to_the_skin(seen), down, Stage(press), *strokes], phase)


HOP = 0.03
"""m over the skin at which the sponge goes across the forearm: it would climb the skin, and press hard"""
ALONG_TOLERANCE = 0.006
"""m along the forearm, while wiping"""
ACROSS_TOLERANCE = 0.008
"""m across it: the sponge wipes 22 mm to each side, and the patch may be 9 mm beside the place that it goes to"""


def wipe(seen: Seen, phase: np.ndarray) -> Wish:
    """Down to a patch, along the forearm with a gentle force, and by a hop to patches further across."""
    seen = _on_top(seen)
    errors = place(seen, seen["target"])
    skin = place(seen, seen["target"] + BEFORE_TOUCH * seen["target_axis"])
    raised = place(seen, seen["target"] + HOP * seen["target_axis"])
    lift_error, lift_tolerance = _pressing(seen, WIPE_FORCE)
    # The sponge goes along only while it presses as it should.
    presses = np.abs(lift_error) <= lift_tolerance
    along = np.where(presses, errors["drive"], 0.0)
    is_along = presses & (np.abs(errors["drive"]) <= ALONG_TOLERANCE)
    is_aside = np.abs(errors["arm"]) > ACROSS_TOLERANCE
    down = _until_touch(seen)
    return wish(
        [
            *_to_the_skin(seen),
            down,
            Stage(
                {"lift": (lift_error, lift_tolerance), "drive": (along, ALONG_TOLERANCE)},
                ended=is_along & is_aside,
            ),
            Stage(within(raised, lift=PLACE_TOLERANCE)),
            Stage(within(skin, drive=PLACE_TOLERANCE, arm=PLACE_TOLERANCE), following=2),
        ],
        phase,
    )

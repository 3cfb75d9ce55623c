"""Checks of the robot alone, R1 to R7 (docs/systems/assist.md, "Row codes"): idle drift, limits, speeds, grasp."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import mujoco
import numpy as np

from lancelet import morphology
from lancelet.assist_layout import COMMANDS, CONTROL_PERIOD, JOINTS
from lancelet.envs.assist.fetch import BOX_HALF, BOX_MASS, HELD, add_box
from lancelet.morphology.manipulator import (
    FINGER_RATIO,
    FURNITURE,
    LIFT_PLACE,
    OBJECT,
    PITCH_DROP,
    ROBOT,
    SEGMENTS,
    SERVOS,
    wheel_speeds,
)
from lancelet.scripts.rows import Row, at_most
from lancelet.scripts.study import Study

BASES = ("planar", "wheels")
ARMS = ("one-slide", "four-slide")
DRIFT_SECONDS = 10.0
"""s that the robot is left alone"""
LARGEST_DRIFT = {"planar": 0.1, "wheels": 1.0}
"""mm"""
LARGEST_LIMIT_GAP = 1e-3
"""m or rad that a joint may stop before its limit"""
LIMIT_SECONDS = 1.5
"""s that a joint is given beyond the time that its whole range takes at the commanded speed"""
DRIVE_SECONDS = 2.0
"""s at the largest speed"""
LARGEST_WAY_ERROR = {"planar": 0.01, "wheels": 0.10}
"""share of the way that the command asks for"""
HOLD_SECONDS = 20.0
"""s that the box is held still"""
SHAKE_SECONDS = 5.0
"""s of driving, turning and lifting to and fro at the largest speeds"""
SHAKE_PERIOD = 1.0
"""s, to and fro"""
LARGEST_SLIP = {"held": 0.5, "shaken": 5.0}
"""mm"""
MIDDLE = {"lift": 0.6, "arm": 0.2}
"""m, of the joints that stand still while others are moved"""
BOX_HEIGHT = 0.70
"""m, of the stand on which the box waits"""
STAND_PLACE = (0.0, -0.64)
"""m, under the fingers"""
OPEN_GRIPPER = 0.03
"""m, the gripper's slide around the box"""
GRASP_SECONDS = 1.5
"""s for closing the fingers"""


class Robot:
    """The robot alone on its floor, commanded by speeds as the tasks command it.

    Args:
        base: ``planar`` or ``wheels``.
        arm: ``one-slide`` or ``four-slide``.
        with_box: whether a box on a stand waits between the fingers.
    """

    def __init__(self, base: str, arm: str, with_box: bool = False) -> None:
        body = morphology.make("manipulator", base=base, arm=arm)
        spec = body.build()
        if with_box:
            _add_stand(spec)
            add_box(spec)
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self._is_on_wheels = base == "wheels"
        self._substeps = round(CONTROL_PERIOD / self.model.opt.timestep)
        self._columns = {self.model.actuator(i).name: i for i in range(self.model.nu)}
        self._states = {name: self.model.actuator(name).actadr[0] for name in JOINTS}

    def place(self, joints: Mapping[str, float]) -> None:
        """Put joints somewhere (m or rad; the arm as a whole), all others to 0, and the set-points where they are."""
        mujoco.mj_resetData(self.model, self.data)
        for name, value in joints.items():
            stages = self._stages(name)
            for stage in stages:
                self.data.joint(stage).qpos[0] = value / len(stages)
        if "gripper" in joints:
            for finger in ("finger_left", "finger_right"):
                self.data.joint(finger).qpos[0] = FINGER_RATIO * joints["gripper"]
        mujoco.mj_forward(self.model, self.data)
        for name in JOINTS:
            self.data.act[self._states[name]] = self.position(name)

    def _stages(self, name: str) -> list[str]:
        """The slides that `name` stands for."""
        if name == "gripper":
            return []
        if name == "arm" and mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_JOINT, "arm") < 0:
            return [f"arm_{stage}" for stage in range(1, SEGMENTS + 1)]
        return [name]

    def position(self, name: str) -> float:
        """Of a joint that is commanded, m or rad."""
        return float(self.data.actuator_length[self._columns[name]])

    def go(self, speeds: Mapping[str, float], seconds: float) -> None:
        """Command shares of the largest speeds for a while; what is not named stands still."""
        wanted = {name: share * COMMANDS[name] for name, share in speeds.items()}
        controls = {name: wanted.get(name, 0.0) for name in JOINTS}
        drive = wanted.get("drive", 0.0)
        turn = wanted.get("turn", 0.0)
        if self._is_on_wheels:
            controls["wheel_left"], controls["wheel_right"] = wheel_speeds(drive, turn)
        else:
            controls["drive"] = drive
            controls["turn"] = turn
        for name, value in controls.items():
            self.data.ctrl[self._columns[name]] = value
        for _ in range(round(seconds / CONTROL_PERIOD)):
            for name, state in self._states.items():
                position = self.position(name)
                leash = SERVOS[name].leash
                self.data.act[state] = np.clip(
                    self.data.act[state], position - leash, position + leash
                )
            mujoco.mj_step(self.model, self.data, self._substeps)
        # Positions of sites lag one substep behind without it.
        mujoco.mj_forward(self.model, self.data)

    def grasp(self) -> np.ndarray:
        """Place (3,) between the finger tips, m, in the world."""
        return self.data.site("grasp").xpos.copy()

    def base(self) -> tuple[np.ndarray, float]:
        """Place (2,) of the base, m, and its heading, rad."""
        rotation = self.data.site("centre").xmat.reshape(3, 3)
        heading = float(np.arctan2(rotation[1, 0], rotation[0, 0]))
        return self.data.site("centre").xpos[:2].copy(), heading

    def box_in_gripper(self) -> np.ndarray:
        """Place (3,) of the box from between the finger tips, m, in the palm's axes."""
        palm = self.data.site("grasp").xmat.reshape(3, 3)
        return palm.T @ (self.data.site("box").xpos - self.data.site("grasp").xpos)


def robot_checks(study: Study) -> None:
    """R1 to R7, on both arms; a row tells the worse one."""
    for code, base in (("R1", "planar"), ("R2", "wheels")):
        drifts = {arm: idle_drift(Robot(base, arm)) for arm in ARMS}
        study.add(
            at_most(
                f"{code} idle drift of the grasp in {DRIFT_SECONDS:g} s, {base} (mm)",
                "gate",
                max(drifts.values()),
                LARGEST_DRIFT[base],
                note=_by_arm(drifts),
            )
        )
    study.add(limit_row())
    for code, base in (("R4", "planar"), ("R5", "wheels")):
        errors = {arm: max(way_errors(Robot(base, arm)).values()) for arm in ARMS}
        study.add(
            at_most(
                f"{code} {DRIVE_SECONDS:g} s at the largest speeds, {base}: error of the way",
                "gate",
                max(errors.values()),
                LARGEST_WAY_ERROR[base],
                note=f"driving and turning, forwards and backwards; {_by_arm(errors)}",
            )
        )
    slips = [slip(Robot(base, arm, with_box=True)) for base, arm in itertools.product(BASES, ARMS)]
    for code, when in (("R6", "held"), ("R7", "shaken")):
        seconds = HOLD_SECONDS if when == "held" else SHAKE_SECONDS
        study.add(
            at_most(
                f"{code} slip of a box that is {when} for {seconds:g} s (mm)",
                "gate",
                max(found[when] for found in slips),
                LARGEST_SLIP[when],
                note=f"{2000 * BOX_HALF:.0f} mm, {BOX_MASS:g} kg; worst of both bases and both arms",
            )
        )


def _by_arm(values: Mapping[str, float]) -> str:
    """Figures of both arms, in words."""
    return ", ".join(f"{arm}: {value:.3g}" for arm, value in values.items())


def idle_drift(robot: Robot) -> float:
    """Largest distance of the grasp from where it was, while nothing is commanded, mm."""
    robot.place({**MIDDLE, "wrist_pitch": -0.5})
    start = robot.grasp()
    farthest = 0.0
    for _ in range(round(DRIFT_SECONDS)):
        robot.go({}, 1.0)
        farthest = max(farthest, float(np.linalg.norm(robot.grasp() - start)))
    return 1000 * farthest


def limit_row() -> Row:
    """R3: the largest gap at any limit of any joint, on both bases and both arms."""
    gaps = {}
    for base, arm in itertools.product(BASES, ARMS):
        for name, gap in limit_gaps(Robot(base, arm)).items():
            gaps[f"{name} ({base}, {arm})"] = gap
    worst = max(gaps, key=lambda name: gaps[name])
    return at_most(
        "R3 every joint reaches both limits: largest gap (m or rad)",
        "gate",
        gaps[worst],
        LARGEST_LIMIT_GAP,
        note=f"{len(JOINTS)} joints, both bases, both arms; {worst}",
    )


def limit_gaps(robot: Robot) -> dict[str, float]:
    """Joint -> how far from a limit it stops when it is commanded there, the larger of both, m or rad."""
    gaps = {}
    for name in JOINTS:
        low, high = SERVOS[name].range
        seconds = (high - low) / COMMANDS[name] + LIMIT_SECONDS
        found = []
        for share, limit in ((1.0, high), (-1.0, low)):
            robot.place(MIDDLE)
            robot.go({name: share}, seconds)
            found.append(abs(robot.position(name) - limit))
        gaps[name] = max(found)
    return gaps


def way_errors(robot: Robot) -> dict[str, float]:
    """Command -> how far the base's way at the largest speed is off, as a share of what was commanded."""
    errors = {}
    for command, share in itertools.product(("drive", "turn"), (1.0, -1.0)):
        robot.place(MIDDLE)
        robot.go({}, 1.0)
        place, heading = robot.base()
        robot.go({command: share}, DRIVE_SECONDS)
        new_place, new_heading = robot.base()
        ahead = np.array([np.cos(heading), np.sin(heading)])
        ways = {"drive": (new_place - place) @ ahead, "turn": new_heading - heading}
        wanted = share * COMMANDS[command] * DRIVE_SECONDS
        errors[f"{command} {share:+g}"] = float(abs(ways[command] / wanted - 1.0))
    return errors


def slip(robot: Robot) -> dict[str, float]:
    """How far a grasped box has moved in the gripper, mm: after being held still, and after being shaken as well.

    A box that was left on its stand, or lost, has slipped infinitely far.
    """
    # The gripper hangs below the lift's carriage; the box's middle is to be between the pads.
    lift = BOX_HEIGHT + BOX_HALF - LIFT_PLACE[2] + PITCH_DROP
    robot.place({"lift": lift, "arm": 0.1, "gripper": OPEN_GRIPPER})
    robot.data.joint("box").qpos[:3] = robot.grasp()
    robot.data.joint("box").qpos[2] = BOX_HEIGHT + BOX_HALF
    mujoco.mj_forward(robot.model, robot.data)
    robot.go({"gripper": -1.0}, GRASP_SECONDS)
    robot.go({"gripper": -1.0, "lift": 1.0}, 1.0)
    robot.go({}, 1.0)
    if np.linalg.norm(robot.box_in_gripper()) > HELD:
        return {"held": np.inf, "shaken": np.inf}
    before = robot.box_in_gripper()
    robot.go({}, HOLD_SECONDS)
    held = 1000 * float(np.linalg.norm(robot.box_in_gripper() - before))
    for number in range(round(2 * SHAKE_SECONDS / SHAKE_PERIOD)):
        share = 1.0 if number % 2 else -1.0
        robot.go({"drive": share, "turn": share, "lift": share}, SHAKE_PERIOD / 2)
    shaken = 1000 * float(np.linalg.norm(robot.box_in_gripper() - before))
    return {"held": held, "shaken": shaken}


def _add_stand(spec: mujoco.MjSpec) -> None:
    """A post under the place between the fingers."""
    stand = spec.worldbody.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[0.10, 0.10, BOX_HEIGHT / 2],
        pos=[*STAND_PLACE, BOX_HEIGHT / 2],
    )
    stand.contype = FURNITURE
    stand.conaffinity = ROBOT | OBJECT

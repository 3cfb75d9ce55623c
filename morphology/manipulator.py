"""A mobile manipulator with eight degrees of freedom, built from primitives after the Hello Robot Stretch.

Dimensions and ranges are those of docs/systems/assist.md, "The robot"; no mesh and no text of the maker's is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

import mujoco
import numpy as np

from ..errors import unknown
from . import scenery
from .core import Body, quantity
from .manipulator_parts import add_ball, add_bar, add_box, collide

# -- collisions: what may touch what ------------------------------------------------------------------------------------

ROBOT = 1
"""bit of every part of the robot that touches the world"""
PERSON = 2
"""bit of the person and of the chair"""
FURNITURE = 4
"""bit of tables, drawers and the floor"""
OBJECT = 8
"""bit of what can be carried"""
HAND = 16
"""bit of wrist, gripper and tool: they touch the robot's own base and mast too"""

# -- dimensions ---------------------------------------------------------------------------------------------------------

BASE_HALF = (0.17, 0.165, 0.07)
"""m, half sizes of the base"""
BASE_HEIGHT = 0.09
"""m, of the base's centre over the floor"""
BATTERY_SHARE = 0.8
"""of the base's mass on wheels: the battery stands behind them, so that the robot rests firmly on its caster"""
BATTERY_HALF = (0.06, 0.10, 0.05)
"""m, half sizes of the battery, which is inside the base"""
BATTERY_PLACE = (-0.10, 0.0, 0.09)
"""m, of its middle in the base's frame"""
WHEEL_RADIUS = 0.0508
"""m"""
TRACK = 0.3407
"""m between the points where the wheels touch the floor"""
WHEEL_MASS = 0.15
"""kg of one wheel"""
CASTER_RADIUS = 0.02
"""m; the caster is a ball without friction"""
CASTER_PLACE = (-0.24, 0.0)
"""m, where the caster touches the floor, in the base's frame"""
MAST_PLACE = (-0.067, 0.135)
"""m, of the mast's axis in the base's frame"""
MAST_SPAN = (0.03, 1.36)
"""m, heights of the mast's ends"""
MAST_RADIUS = 0.03
"""m"""
LIFT_PLACE = (-0.104, 0.135, 0.20)
"""m, of the lift's carriage at its lowest, in the base's frame"""
LIFT_RANGE = (0.0, 1.1)
"""m"""
ARM_RANGE = (0.0, 0.52)
"""m, of the whole arm, which points to the robot's right"""
SEGMENTS = 4
"""slides of the arm that is extended in stages"""
SEGMENT_LENGTHS = (0.168, 0.163, 0.157, 0.151, 0.285)
"""m, from the one that is fixed to the lift to the last, which carries the wrist"""
FIRST_OFFSET = 0.268
"""m, from the lift to the end of the arm's fixed segment"""
SEGMENT_OFFSET = 0.013
"""m that the end of each further segment stands out when all is retracted"""
SEGMENT_RADII = (0.030, 0.027, 0.024, 0.021, 0.018)
"""m"""
SEGMENT_MASSES = (0.5, 0.27, 0.25, 0.24, 0.35)
"""kg"""
YAW_OFFSET = (0.083, -0.031, 0.0)
"""m, of the wrist from the end of the arm, in the base's axes"""
YAW_RANGE = (-1.75, 4.0)
"""rad; at 0 the gripper points along the arm, to the robot's right"""
PITCH_DROP = 0.031
"""m, of the pitch axis below the arm"""
PITCH_RANGE = (-1.57, 0.56)
"""rad; upwards positive"""
PALM_OFFSET = 0.040
"""m, from the pitch axis to the roll joint, along the gripper"""
ROLL_RANGE = (-3.14, 3.14)
"""rad"""
GRASP_OFFSET = 0.23
"""m, from the palm to the point between the finger tips"""
FINGER_LENGTH = 0.18
"""m"""
FINGER_ROOT = (0.05, 0.0375)
"""m, of a finger's hinge: along the gripper, and to the side"""
PAD_HALF = (0.02, 0.006, 0.02)
"""m, half sizes of the soft pad at a finger's tip"""
GRIPPER_RANGE = (-0.02, 0.04)
"""m, travel of the slide that moves both fingers; at 0 they are parallel"""
FINGER_RATIO = 10.0
"""rad of each finger for 1 m of that slide"""

# -- servos -------------------------------------------------------------------------------------------------------------


class Servo(NamedTuple):
    """A position servo whose set-point is moved by the commanded speed."""

    range: tuple[float, float]
    """lowest and highest set-point, m or rad"""
    stiffness: float
    """N/m or N m/rad"""
    damping: float
    """N s/m or N m s/rad"""
    leash: float
    """m or rad that the set-point may be ahead of the position: times the stiffness it bounds the force"""


SERVOS = {
    "lift": Servo(LIFT_RANGE, stiffness=4000, damping=200, leash=0.006),
    "arm": Servo(ARM_RANGE, stiffness=4000, damping=125, leash=0.006),
    "wrist_yaw": Servo(YAW_RANGE, stiffness=40, damping=1.5, leash=0.1),
    "wrist_pitch": Servo(PITCH_RANGE, stiffness=40, damping=1.5, leash=0.1),
    "wrist_roll": Servo(ROLL_RANGE, stiffness=20, damping=0.8, leash=0.1),
    "gripper": Servo(GRIPPER_RANGE, stiffness=4000, damping=60, leash=0.01),
}
"""name -> the servo of the joint, or of the tendon of several joints, that is called so"""
DRIVE_GAIN = 20_000.0
"""N s/m, of the planar base's servo along its heading"""
TURN_GAIN = 400.0
"""N m s/rad, of its servo about the vertical; beyond 2 inertia / timestep a servo at its limit swings for ever"""
LOCK_GAIN = 40_000.0
"""N s/m, of the servo that keeps it from sliding sideways"""
DRIVE_FORCE = 200.0
"""N, the most that the base pushes with"""
TURN_TORQUE = 100.0
"""N m, the most that it turns with"""
WHEEL_GAIN = 20.0
"""N m s/rad, of a wheel's servo"""
WHEEL_TORQUE = 1.5
"""N m, the most of a wheel; with more the robot would tip forwards, where it has no caster"""
WHEEL_INERTIA = 0.05
"""kg m^2, of a wheel's motor, seen through its gear"""
BASE_LOCK = "lock"
"""actuator that no command moves: its speed stays 0"""

# -- looks --------------------------------------------------------------------------------------------------------------

DARK = (0.16, 0.17, 0.20, 1.0)
LIGHT = (0.86, 0.87, 0.90, 1.0)
METAL = (0.62, 0.64, 0.68, 1.0)
RUBBER = (0.20, 0.20, 0.22, 1.0)
UNSEEN = (0.0, 0.0, 0.0, 0.0)
ACCENT = tuple(scenery.BODY)
"""RGBA of tools: what touches the person is seen at once"""
FOOD = (0.93, 0.78, 0.45, 1.0)
WATER = (0.45, 0.70, 0.92, 0.9)

WHEEL_HALF_WIDTH = 0.0125
"""m"""
GEAR_INERTIA = 0.01
"""kg m^2, of the motor of a hinge, seen through its gear"""
STIFF_COUPLING = (0.005, 1.0)
"""s and 1, time constant and damping ratio of coupled joints"""


@dataclass(frozen=True)
class MobileManipulator(Body):
    """A base that drives and turns, a lift, a telescopic arm to the right, a wrist of three axes, a gripper.

    Frames: the robot's heading is its x axis, its arm points along -y, z is up. Joints: ``base_x``, ``base_y``,
    ``base_yaw`` (or the free joint ``base`` on wheels), ``lift``, ``arm`` (or ``arm_1`` to ``arm_4``),
    ``wrist_yaw``, ``wrist_pitch``, ``wrist_roll``, ``finger_left``, ``finger_right``. Sites: ``centre`` in the base,
    ``grasp`` between the finger tips, ``tip``, where the tool touches (its x axis points out of the gripper), which
    is at ``grasp`` without a tool.

    Actuators: those of `assist_layout.COMMANDS` by name; on wheels ``drive`` and ``turn`` are ``wheel_left`` and ``wheel_right``.
    From the lift on gravity is compensated, so that what is at rest stays.

    Raises:
        LanceletError: an unknown base, arm or tool, or a size that is not positive.
    """

    base: Literal["planar", "wheels"] = "planar"
    """how it drives: on three ideal joints whose servos act along the heading, or on two wheels and a caster"""
    arm: Literal["one-slide", "four-slide"] = "one-slide"
    """one joint for the whole arm, or four of equal extension, as the robot is built"""
    tool: str = "none"
    """what the gripper holds: a name of `TOOLS`"""
    base_mass: float = quantity(25.0, "kg", 15.0, 30.0)
    """mass of the base without what stands on it"""
    finger_friction: float = quantity(1.0, "1", 0.5, 1.5)
    """sliding friction of the finger pads"""
    timestep: float = 0.002
    """s, of the simulator"""

    def __post_init__(self) -> None:
        if self.base not in ("planar", "wheels"):
            raise unknown("base", self.base, ("planar", "wheels"))
        if self.arm not in ("one-slide", "four-slide"):
            raise unknown("arm", self.arm, ("one-slide", "four-slide"))
        if self.tool not in TOOLS:
            raise unknown("tool", self.tool, TOOLS)
        self.positive("base_mass", "finger_friction", "timestep")

    def build(self) -> mujoco.MjSpec:
        """The robot on an empty floor, everything retracted."""
        spec = mujoco.MjSpec()
        spec.compiler.degree = False
        spec.option.timestep = self.timestep
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        # A held box creeps under pyramidal cones: 30 mm in 20 s, and nothing with these.
        spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
        spec.option.impratio = 10
        spec.option.noslip_iterations = 2
        scenery.floor(spec)
        floor = spec.geom("floor")
        floor.contype = FURNITURE
        floor.conaffinity = ROBOT | OBJECT
        floor.friction = [1.0, 0.005, 0.0001]

        base = self._add_base(spec)
        lift = self._add_lift(spec, base)
        wrist = self._add_arm(spec, lift)
        palm = self._add_wrist(spec, wrist)
        self._add_gripper(spec, palm)
        TOOLS[self.tool](palm)
        self._add_actuators(spec)
        return spec

    def _add_base(self, spec: mujoco.MjSpec) -> mujoco.MjsBody:
        """The base with its mast and head, and the joints that it drives on."""
        base = spec.worldbody.add_body(name="base")
        battery_share = BATTERY_SHARE if self.base == "wheels" else 0.0
        add_box(
            base,
            BASE_HALF,
            (0, 0, BASE_HEIGHT),
            DARK,
            mass=(1 - battery_share) * self.base_mass,
            touches=ROBOT,
            touched_by=HAND,
        )
        mast_low, mast_high = MAST_SPAN
        mast_x, mast_y = MAST_PLACE
        # Its round ends lie within the span: below it they would drag over the floor.
        add_bar(
            base,
            start=(mast_x, mast_y, mast_low + MAST_RADIUS),
            end=(mast_x, mast_y, mast_high - MAST_RADIUS),
            radius=MAST_RADIUS,
            colour=METAL,
            mass=1.83,
            touches=ROBOT,
            touched_by=HAND,
        )
        add_box(
            base, (0.05, 0.06, 0.04), (mast_x, mast_y, mast_high), LIGHT, mass=0.83, touches=ROBOT
        )
        # Two cameras for eyes, so that one sees where the robot looks: along its arm.
        for side in (-0.025, 0.025):
            add_ball(base, 0.014, (mast_x + side, mast_y - 0.06, mast_high + 0.005), DARK)
        add_box(base, (0.13, 0.125, 0.003), (0, 0, BASE_HEIGHT + BASE_HALF[2] + 0.003), LIGHT)
        base.add_site(name="centre", pos=[0, 0, 0], group=4)
        if self.base == "planar":
            base.add_joint(name="base_x", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[1, 0, 0])
            base.add_joint(name="base_y", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[0, 1, 0])
            base.add_joint(name="base_yaw", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, 1])
            for side in (-1, 1):
                _wheel(base, (0, side * TRACK / 2, WHEEL_RADIUS))
        else:
            base.add_freejoint(name="base")
            add_box(base, BATTERY_HALF, BATTERY_PLACE, DARK, mass=battery_share * self.base_mass)
            for name, side in (("wheel_right", -1), ("wheel_left", 1)):
                wheel = base.add_body(name=name, pos=[0, side * TRACK / 2, WHEEL_RADIUS])
                wheel.add_joint(
                    name=name,
                    type=mujoco.mjtJoint.mjJNT_HINGE,
                    axis=[0, 1, 0],
                    armature=WHEEL_INERTIA,
                )
                # A ball touches at one point; a cylinder scrubs when the robot turns.
                add_ball(wheel, WHEEL_RADIUS, (0, 0, 0), UNSEEN, mass=WHEEL_MASS, touches=ROBOT)
                _wheel(wheel, (0, 0, 0))
            caster_x, caster_y = CASTER_PLACE
            base.add_geom(
                name="caster",
                type=mujoco.mjtGeom.mjGEOM_SPHERE,
                size=[CASTER_RADIUS, 0, 0],
                pos=[caster_x, caster_y, CASTER_RADIUS],
                rgba=RUBBER,
                mass=0.1,
                condim=1,
                contype=ROBOT,
                conaffinity=0,
                # Its lack of friction must hold against the floor's.
                priority=1,
            )
        return base

    def _add_lift(self, spec: mujoco.MjSpec, base: mujoco.MjsBody) -> mujoco.MjsBody:
        """The carriage that slides along the mast, with the arm's fixed segment."""
        lift = base.add_body(name="lift", pos=list(LIFT_PLACE), gravcomp=1)
        lift.add_joint(
            name="lift",
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=[0, 0, 1],
            range=list(LIFT_RANGE),
            limited=True,
        )
        add_box(lift, (0.035, 0.06, 0.05), (0.02, 0.02, 0), LIGHT, mass=2.5, touches=ROBOT)
        add_bar(
            lift,
            start=(0, -0.02, 0),
            end=(0, -FIRST_OFFSET, 0),
            radius=SEGMENT_RADII[0],
            colour=METAL,
            mass=SEGMENT_MASSES[0],
            touches=ROBOT,
        )
        return lift

    def _add_arm(self, spec: mujoco.MjSpec, lift: mujoco.MjsBody) -> mujoco.MjsBody:
        """The sliding segments, one inside the other.

        Only the last collides: nested segments would push one another apart.

        Returns:
            The body of the last segment; its origin is the segment's end.
        """
        if self.arm == "one-slide":
            travels = [("arm", ARM_RANGE)]
        else:
            stage_range = (ARM_RANGE[0] / SEGMENTS, ARM_RANGE[1] / SEGMENTS)
            travels = [(f"arm_{stage}", stage_range) for stage in range(1, SEGMENTS + 1)]
        segment = lift
        end = FIRST_OFFSET
        for place, (name, travel) in enumerate(travels, start=1):
            is_last = place == len(travels)
            stages_in_joint = SEGMENTS // len(travels)
            segment = segment.add_body(
                name=name, pos=[0, -end - stages_in_joint * SEGMENT_OFFSET, 0], gravcomp=1
            )
            # The next segment is placed from the end of this one.
            end = 0.0
            segment.add_joint(
                name=name,
                type=mujoco.mjtJoint.mjJNT_SLIDE,
                axis=[0, -1, 0],
                range=list(travel),
                limited=True,
            )
            number = SEGMENTS if is_last else place
            add_bar(
                segment,
                start=(0, SEGMENT_LENGTHS[number], 0),
                end=(0, 0, 0),
                radius=SEGMENT_RADII[number],
                colour=LIGHT if number % 2 else METAL,
                mass=sum(SEGMENT_MASSES[1:]) if len(travels) == 1 else SEGMENT_MASSES[number],
                touches=ROBOT if is_last else 0,
            )
        if self.arm == "one-slide":
            _draw_stages(spec, lift, segment)
        else:
            beyond_limits = [ARM_RANGE[0] - 0.01, ARM_RANGE[1] + 0.01]
            tendon = spec.add_tendon(name="arm", limited=True, range=beyond_limits)
            for stage in range(1, SEGMENTS + 1):
                tendon.wrap_joint(f"arm_{stage}", 1.0)
            for stage in range(2, SEGMENTS + 1):
                _couple(spec, "arm_1", f"arm_{stage}")
        return segment

    def _add_wrist(self, spec: mujoco.MjSpec, segment: mujoco.MjsBody) -> mujoco.MjsBody:
        """Yaw, pitch and roll; from the yaw on the frame's x axis points out of the gripper.

        Returns:
            The palm.
        """
        yaw = segment.add_body(
            name="wrist_yaw",
            pos=list(YAW_OFFSET),
            quat=[math.cos(-math.pi / 4), 0, 0, math.sin(-math.pi / 4)],
            gravcomp=1,
        )
        _hinge(yaw, "wrist_yaw", (0, 0, 1), YAW_RANGE)
        add_bar(yaw, (0, 0, -0.03), (0, 0, 0.03), 0.022, DARK, mass=0.145, touches=ROBOT | HAND)
        # The bracket from the arm's end to the wrist.
        add_bar(segment, (0, 0, 0), YAW_OFFSET, 0.015, DARK, mass=0.05)
        pitch = yaw.add_body(name="wrist_pitch", pos=[0, 0, -PITCH_DROP], gravcomp=1)
        _hinge(pitch, "wrist_pitch", (0, -1, 0), PITCH_RANGE)
        add_bar(
            pitch, (0, -0.025, 0), (0, 0.025, 0), 0.018, LIGHT, mass=0.117, touches=ROBOT | HAND
        )
        palm = pitch.add_body(name="palm", pos=[PALM_OFFSET, 0, 0], gravcomp=1)
        _hinge(palm, "wrist_roll", (1, 0, 0), ROLL_RANGE)
        add_box(palm, (0.03, 0.045, 0.018), (0.025, 0, 0), DARK, mass=0.2, touches=ROBOT | HAND)
        palm.add_site(name="grasp", pos=[GRASP_OFFSET, 0, 0], group=4)
        return palm

    def _add_gripper(self, spec: mujoco.MjSpec, palm: mujoco.MjsBody) -> None:
        """Two fingers with soft pads, moved alike by one slide."""
        root_x, root_y = FINGER_ROOT
        low, high = (FINGER_RATIO * end for end in GRIPPER_RANGE)
        for name, side in (("finger_left", 1), ("finger_right", -1)):
            finger = palm.add_body(name=name, pos=[root_x, side * root_y, 0], gravcomp=1)
            _hinge(finger, name, (0, 0, side), (low, high))
            add_bar(
                finger,
                start=(0, 0, 0),
                end=(FINGER_LENGTH - 0.02, 0, 0),
                radius=0.006,
                colour=METAL,
                mass=0.03,
                touches=ROBOT | HAND,
            )
            pad = add_box(
                finger,
                PAD_HALF,
                (FINGER_LENGTH, -side * PAD_HALF[1], 0),
                RUBBER,
                mass=0.015,
                touches=ROBOT | HAND,
            )
            pad.name = f"pad_{name}"
            pad.condim = 4
            pad.friction = [self.finger_friction, 0.02, 0.0001]
            pad.priority = 1
        tendon = spec.add_tendon(name="gripper")
        for name in ("finger_left", "finger_right"):
            tendon.wrap_joint(name, 0.5 / FINGER_RATIO)
        _couple(spec, "finger_left", "finger_right")

    def _add_actuators(self, spec: mujoco.MjSpec) -> None:
        """Servos in the order of `assist_layout.COMMANDS`, then the lock of a planar base."""
        if self.base == "planar":
            _base_servo(spec, "drive", (1, 0, 0, 0, 0, 0), DRIVE_GAIN, DRIVE_FORCE)
            _base_servo(spec, "turn", (0, 0, 0, 0, 0, 1), TURN_GAIN, TURN_TORQUE)
        else:
            for name in ("wheel_left", "wheel_right"):
                wheel = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
                wheel.set_to_velocity(kv=WHEEL_GAIN)
                wheel.forcelimited = True
                wheel.forcerange = [-WHEEL_TORQUE, WHEEL_TORQUE]
        for name, servo in SERVOS.items():
            is_tendon = name == "gripper" or (name == "arm" and self.arm == "four-slide")
            transmission = mujoco.mjtTrn.mjTRN_TENDON if is_tendon else mujoco.mjtTrn.mjTRN_JOINT
            actuator = spec.add_actuator(name=name, target=name, trntype=transmission)
            actuator.set_to_intvelocity(kp=servo.stiffness, kv=servo.damping)
            actuator.actlimited = True
            actuator.actrange = list(servo.range)
        if self.base == "planar":
            _base_servo(spec, BASE_LOCK, (0, 1, 0, 0, 0, 0), LOCK_GAIN, None)


Speed = TypeVar("Speed", float, np.ndarray)
"""one number, or one a simulation"""


def wheel_speeds(drive: Speed, turn: Speed) -> tuple[Speed, Speed]:
    """Speeds of the left and the right wheel, rad/s, for a base speed, or for arrays of them.

    Args:
        drive: m/s along the heading.
        turn: rad/s to the left.
    """
    outward = turn * TRACK / 2
    return (drive - outward) / WHEEL_RADIUS, (drive + outward) / WHEEL_RADIUS


# -- tools --------------------------------------------------------------------------------------------------------------


def _no_tool(palm: mujoco.MjsBody) -> None:
    """Nothing in the gripper: it touches with what it grasps."""
    palm.add_site(name="tip", pos=[GRASP_OFFSET, 0, 0], group=4)


def _scratcher(palm: mujoco.MjsBody) -> None:
    """A rod with a small rake at its end."""
    end = GRASP_OFFSET + 0.07
    add_bar(palm, (0.06, 0, 0), (end, 0, 0), 0.006, ACCENT, mass=0.04, touches=ROBOT | HAND)
    tip = add_ball(palm, 0.010, (end, 0, 0), ACCENT, mass=0.01, touches=ROBOT | HAND)
    tip.name = "tool"
    for side in (-0.016, 0.016):
        add_bar(palm, (end - 0.012, 0, 0), (end, side, 0), 0.003, ACCENT)
    palm.add_site(name="tip", pos=[end, 0, 0], group=4)


def _spoon(palm: mujoco.MjsBody) -> None:
    """A spoon with food in its bowl."""
    end = GRASP_OFFSET + 0.08
    add_bar(palm, (0.06, 0, 0), (end - 0.02, 0, 0), 0.005, METAL, mass=0.03, touches=ROBOT | HAND)
    bowl = palm.add_geom(
        name="tool",
        type=mujoco.mjtGeom.mjGEOM_ELLIPSOID,
        size=[0.022, 0.015, 0.006],
        pos=[end - 0.015, 0, 0],
        rgba=METAL,
        mass=0.01,
    )
    collide(bowl, ROBOT | HAND, 0)
    food = palm.add_geom(
        type=mujoco.mjtGeom.mjGEOM_ELLIPSOID,
        size=[0.015, 0.011, 0.008],
        pos=[end - 0.015, 0, 0.005],
        rgba=FOOD,
        mass=0.0,
    )
    collide(food, 0, 0)
    palm.add_site(name="tip", pos=[end, 0, 0], group=4)


def _cup(palm: mujoco.MjsBody) -> None:
    """A cup between the fingers, upright where the gripper is level; its tip is the edge of its rim on the gripper's right."""
    radius = 0.034
    half_height = 0.05
    cup = palm.add_geom(
        name="tool",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[radius, half_height, 0],
        pos=[GRASP_OFFSET, 0, 0],
        rgba=(*ACCENT[:3], 0.75),
        mass=0.15,
    )
    collide(cup, ROBOT | HAND, 0)
    water = palm.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[radius - 0.003, half_height - 0.008, 0],
        pos=[GRASP_OFFSET, 0, 0.009],
        rgba=WATER,
        mass=0.0,
    )
    collide(water, 0, 0)
    palm.add_site(name="tip", pos=[GRASP_OFFSET, -radius, half_height], group=4)


def _wiper(palm: mujoco.MjsBody) -> None:
    """A sponge on a short handle."""
    end = GRASP_OFFSET + 0.04
    add_bar(palm, (0.06, 0, 0), (end - 0.01, 0, 0), 0.008, METAL, mass=0.03, touches=ROBOT | HAND)
    sponge = palm.add_geom(
        name="tool",
        type=mujoco.mjtGeom.mjGEOM_ELLIPSOID,
        size=[0.018, 0.030, 0.030],
        pos=[end, 0, 0],
        rgba=ACCENT,
        mass=0.03,
    )
    collide(sponge, ROBOT | HAND, 0)
    palm.add_site(name="tip", pos=[end + 0.018, 0, 0], group=4)


TOOLS: dict[str, Callable[[mujoco.MjsBody], None]] = {
    "none": _no_tool,
    "scratcher": _scratcher,
    "spoon": _spoon,
    "cup": _cup,
    "wiper": _wiper,
}
"""name -> what puts the tool into the palm, with the site ``tip`` where it touches"""


# -- parts --------------------------------------------------------------------------------------------------------------


def _wheel(body: mujoco.MjsBody, place: Sequence[float]) -> None:
    """The look of a wheel whose axis is y, at `place` (m)."""
    x, y, z = place
    tyre = body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[WHEEL_RADIUS, 0, 0],
        fromto=[x, y - WHEEL_HALF_WIDTH, z, x, y + WHEEL_HALF_WIDTH, z],
        rgba=RUBBER,
        mass=0.0,
    )
    collide(tyre, 0)


def _hinge(
    body: mujoco.MjsBody,
    name: str,
    axis: Sequence[float],
    limits: tuple[float, float],
) -> None:
    """A hinge with limits (rad) and the small inertia of its gear."""
    body.add_joint(
        name=name,
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=list(axis),
        range=list(limits),
        limited=True,
        armature=GEAR_INERTIA,
    )


def _draw_stages(spec: mujoco.MjSpec, lift: mujoco.MjsBody, segment: mujoco.MjsBody) -> None:
    """What bridges the gap between the fixed segment and the last one of an arm with one slide.

    A tendon without stiffness is a bar that is as long as the gap, and pulls at nothing.

    Args:
        spec: of the robot; it is changed in place.
        lift: carries the fixed segment.
        segment: the last one.
    """
    lift.add_site(name="stages_begin", pos=[0, -0.02, 0], group=4)
    segment.add_site(name="stages_end", pos=[0, SEGMENT_LENGTHS[-1] / 2, 0], group=4)
    tendon = spec.add_tendon(name="stages", width=SEGMENT_RADII[2], rgba=METAL)
    tendon.wrap_site("stages_begin")
    tendon.wrap_site("stages_end")


def _couple(spec: mujoco.MjSpec, leader: str, follower: str) -> None:
    """Hold the joint `follower` at the position of `leader`, as a belt or a gear would."""
    equality = spec.add_equality(
        name=f"{leader}_{follower}",
        type=mujoco.mjtEq.mjEQ_JOINT,
        objtype=mujoco.mjtObj.mjOBJ_JOINT,
        name1=follower,
        name2=leader,
        solref=list(STIFF_COUPLING),
    )
    # follower = 0 + 1 leader + 0 leader^2 + ...
    equality.data[:5] = [0, 1, 0, 0, 0]


def _base_servo(
    spec: mujoco.MjSpec,
    name: str,
    direction: Sequence[float],
    gain: float,
    most: float | None,
) -> None:
    """A velocity servo along, or about, a direction of the base's own frame.

    On a site the direction turns with the base in every substep; servos on the joints of a planar base would push
    along the world's axes.

    Args:
        spec: gets the actuator.
        name: of the actuator.
        direction: (6,) force and torque of a unit command, in the frame of the site ``centre``.
        gain: N s/m or N m s/rad.
        most: N or N m, the largest force; None: any.
    """
    actuator = spec.add_actuator(name=name, target="centre", trntype=mujoco.mjtTrn.mjTRN_SITE)
    actuator.set_to_velocity(kv=gain)
    actuator.gear = list(direction)
    if most is not None:
        actuator.forcelimited = True
        actuator.forcerange = [-most, most]

"""The mobile manipulator: it stays where it is, reaches its limits, drives straight, grasps, and leans gently."""

import math

import mujoco
import numpy as np
import pytest

from lancelet import LanceletError, morphology
from lancelet.assist_layout import COMMANDS, CONTROL_PERIOD
from lancelet.morphology.manipulator import (
    ARM_RANGE,
    FURNITURE,
    GRASP_OFFSET,
    GRIPPER_RANGE,
    LIFT_PLACE,
    LIFT_RANGE,
    OBJECT,
    ROBOT,
    SERVOS,
    TOOLS,
    TRACK,
    WHEEL_RADIUS,
    wheel_speeds,
)

KINDS = [
    {"base": "planar", "arm": "one-slide"},
    {"base": "planar", "arm": "four-slide"},
    {"base": "wheels", "arm": "one-slide"},
    {"base": "wheels", "arm": "four-slide"},
]
SUBSTEPS = 25
BOX_HALF = 0.025
"""m, of a box of 50 mm"""
BOX_MASS = 0.1
"""kg"""


def kind_name(kind):
    return f"{kind['base']}-{kind['arm']}"


class Rig:
    """A robot that obeys commands as in the tasks: set-points move on a leash."""

    def __init__(self, body, furnish=None):
        spec = body.build()
        if furnish is not None:
            furnish(spec)
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self.names = [self.model.actuator(i).name for i in range(self.model.nu)]
        self.is_on_wheels = "wheel_left" in self.names
        self.place_set_points()

    def set_joint(self, name, value):
        self.data.qpos[self.model.joint(name).qposadr[0]] = value

    def place_set_points(self):
        """Put every set-point where its joint is."""
        mujoco.mj_forward(self.model, self.data)
        for name in SERVOS:
            self.set_point(name)[:] = self.length(name)

    def set_point(self, name):
        """View of the set-point of a servo."""
        first = self.model.actuator(name).actadr[0]
        return self.data.act[first : first + 1]

    def length(self, name):
        """Position of the joint, or tendon, that a servo moves."""
        return self.data.actuator_length[self.names.index(name)]

    def site(self, name):
        """Place of a site, m."""
        return self.data.site(name).xpos.copy()

    def heading(self):
        """Angle of the robot's x axis in the plane, rad."""
        axes = self.data.site("centre").xmat.reshape(3, 3)
        return math.atan2(axes[1, 0], axes[0, 0])

    def run(self, seconds, **commands):
        """Move on under constant commands from -1 to 1, each a share of the largest speed."""
        speeds = {name: share * COMMANDS[name] for name, share in commands.items()}
        drive = speeds.pop("drive", 0.0)
        turn = speeds.pop("turn", 0.0)
        self.data.ctrl[:] = 0.0
        if self.is_on_wheels:
            self.data.ctrl[:2] = wheel_speeds(drive, turn)
        else:
            self.data.ctrl[:2] = drive, turn
        for name, speed in speeds.items():
            self.data.ctrl[self.names.index(name)] = speed
        for _ in range(round(seconds / CONTROL_PERIOD)):
            for name, servo in SERVOS.items():
                length = self.length(name)
                point = self.set_point(name)
                np.clip(point, length - servo.leash, length + servo.leash, out=point)
            mujoco.mj_step(self.model, self.data, SUBSTEPS)
        mujoco.mj_forward(self.model, self.data)


def rig(kind=KINDS[0], furnish=None, **parameters):
    return Rig(morphology.make("manipulator", **kind, **parameters), furnish)


@pytest.fixture(params=KINDS, ids=kind_name)
def kind(request):
    return request.param


# -- at rest ------------------------------------------------------------------------------------------------------------


def test_it_stays_where_it_is(kind):
    robot = rig(kind)
    if robot.is_on_wheels:
        # It comes to rest on its wheels, which give a little.
        robot.run(1.0)
    before = robot.site("grasp")
    robot.run(10.0)
    drift = np.linalg.norm(robot.site("grasp") - before)
    assert drift < (1e-3 if robot.is_on_wheels else 1e-4)


def test_it_stays_where_it_is_with_the_arm_far_out():
    robot = rig()
    robot.set_joint("lift", 0.8)
    robot.set_joint("arm", 0.5)
    robot.set_joint("wrist_pitch", -0.9)
    robot.place_set_points()
    before = robot.site("grasp")
    robot.run(10.0)
    assert np.linalg.norm(robot.site("grasp") - before) < 1e-4


def test_the_grasp_is_where_the_dimensions_say():
    robot = rig()
    robot.set_joint("lift", 0.5)
    robot.place_set_points()
    before = robot.site("grasp")
    assert before[2] == pytest.approx(LIFT_PLACE[2] + 0.5, abs=0.05)
    robot.set_joint("arm", 0.3)
    robot.place_set_points()
    # The arm points to the robot's right.
    np.testing.assert_allclose(robot.site("grasp") - before, [0, -0.3, 0], atol=1e-9)
    palm = robot.data.body("palm").xpos
    assert np.linalg.norm(robot.site("grasp") - palm) == pytest.approx(GRASP_OFFSET)


# -- limits -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVOS)
@pytest.mark.parametrize("arm", ["one-slide", "four-slide"])
def test_every_joint_reaches_both_limits(arm, name):
    robot = rig({"base": "planar", "arm": arm})
    # Away from the floor, so that the wrist can point down.
    robot.set_joint("lift", 0.6)
    robot.place_set_points()
    low, high = SERVOS[name].range
    seconds = 1.3 * (high - low) / COMMANDS[name] + 1.0
    for share, limit in ((1.0, high), (-1.0, low)):
        robot.run(seconds, **{name: share})
        assert robot.length(name) == pytest.approx(limit, abs=1e-3)


@pytest.mark.parametrize("arm", ["one-slide", "four-slide"])
def test_the_arm_retracts_all_the_way(arm):
    """Nested segments that collided would stick at 0.12 m."""
    robot = rig({"base": "planar", "arm": arm})
    robot.run(6.0, arm=1.0)
    robot.run(6.0, arm=-1.0)
    assert robot.length("arm") == pytest.approx(ARM_RANGE[0], abs=1e-3)


def test_the_stages_of_the_arm_extend_alike():
    robot = rig({"base": "planar", "arm": "four-slide"})
    robot.run(3.0, arm=1.0)
    stages = [robot.data.joint(f"arm_{stage}").qpos[0] for stage in range(1, 5)]
    assert sum(stages) == pytest.approx(robot.length("arm"))
    assert max(stages) - min(stages) < 1e-3


def test_eight_commands_move_eight_degrees_of_freedom():
    for name in COMMANDS:
        robot = rig()
        robot.set_joint("lift", 0.5)
        robot.set_joint("arm", 0.2)
        robot.place_set_points()
        before = robot.data.qpos.copy()
        robot.run(0.5, **{name: 0.5})
        assert np.abs(robot.data.qpos - before).max() > 5e-3, name


# -- the base -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("yaw", [0.0, 1.0, 2.5, -1.9])
def test_the_base_drives_along_its_heading(kind, yaw):
    robot = rig(kind)
    if robot.is_on_wheels:
        robot.data.qpos[3:7] = math.cos(yaw / 2), 0, 0, math.sin(yaw / 2)
    else:
        robot.set_joint("base_yaw", yaw)
    robot.place_set_points()
    before = robot.site("centre")
    robot.run(2.0, drive=1.0)
    x, y, _ = robot.site("centre") - before
    along = math.cos(yaw) * x + math.sin(yaw) * y
    aside = -math.sin(yaw) * x + math.cos(yaw) * y
    tolerance = 0.1 if robot.is_on_wheels else 0.01
    expected = 2.0 * COMMANDS["drive"]
    assert along == pytest.approx(expected, rel=tolerance)
    assert abs(aside) < tolerance * expected


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_the_base_turns_on_the_spot(kind, side):
    robot = rig(kind)
    before = robot.site("centre")
    robot.run(2.0, turn=side)
    tolerance = 0.1 if robot.is_on_wheels else 0.01
    expected = 2.0 * COMMANDS["turn"]
    assert side * robot.heading() == pytest.approx(expected, rel=tolerance)
    assert np.linalg.norm(robot.site("centre") - before) < 0.03


def test_a_curve_is_driven_along_the_heading_in_every_substep():
    robot = rig()
    robot.run(2.0, drive=1.0, turn=1.0)
    radius = COMMANDS["drive"] / COMMANDS["turn"]
    angle = 2.0 * COMMANDS["turn"]
    expected = [radius * math.sin(angle), radius * (1 - math.cos(angle))]
    np.testing.assert_allclose(robot.site("centre")[:2], expected, atol=5e-3)


def test_wheel_speeds_roll_the_base():
    left, right = wheel_speeds(0.2, 0.5)
    assert WHEEL_RADIUS * (left + right) / 2 == pytest.approx(0.2)
    assert WHEEL_RADIUS * (right - left) / TRACK == pytest.approx(0.5)


# -- contact ------------------------------------------------------------------------------------------------------------


def add_box(spec):
    """A box in the air between the open fingers, which the test holds there until they close."""
    box = spec.worldbody.add_body(name="box")
    box.add_freejoint(name="box")
    geom = box.add_geom(
        name="box",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[BOX_HALF] * 3,
        mass=BOX_MASS,
        condim=4,
        contype=OBJECT,
        conaffinity=ROBOT | FURNITURE,
    )
    geom.friction = [1.0, 0.02, 0.0001]


def holding_a_box(kind=KINDS[0]):
    """A robot whose fingers have closed around the box, before it can fall."""
    robot = rig(kind, add_box)
    robot.set_joint("lift", 0.6)
    for name in ("finger_left", "finger_right"):
        robot.set_joint(name, 0.3)
    robot.place_set_points()
    first = robot.model.joint("box").qposadr[0]
    place = [*robot.site("grasp"), 1, 0, 0, 0]
    for _ in range(30):
        robot.data.qpos[first : first + 7] = place
        robot.data.qvel[robot.model.joint("box").dofadr[0] :][:6] = 0
        robot.run(CONTROL_PERIOD, gripper=-1.0)
    robot.run(0.5, gripper=-1.0)
    return robot


def box_in_palm(robot):
    """Place of the box as seen from the palm, m."""
    palm = robot.data.body("palm")
    return palm.xmat.reshape(3, 3).T @ (robot.data.body("box").xpos - palm.xpos)


def test_a_held_box_does_not_slip():
    robot = holding_a_box()
    before = box_in_palm(robot)
    height = robot.data.body("box").xpos[2]
    robot.run(20.0, gripper=-1.0)
    assert np.linalg.norm(box_in_palm(robot) - before) < 0.5e-3
    assert robot.data.body("box").xpos[2] == pytest.approx(height, abs=1e-3)


def test_a_shaken_box_stays_in_the_gripper():
    robot = holding_a_box()
    before = box_in_palm(robot)
    for turn in range(8):
        side = 1.0 if turn % 2 == 0 else -1.0
        robot.run(0.4, drive=side, turn=side, lift=side, arm=side, gripper=-1.0)
    robot.run(1.0, gripper=-1.0)
    assert np.linalg.norm(box_in_palm(robot) - before) < 5e-3


def add_wall(spec):
    """A wall that the extending arm meets."""
    wall = spec.worldbody.add_geom(
        name="wall", type=mujoco.mjtGeom.mjGEOM_BOX, size=[1, 0.02, 1], pos=[0, -1.0, 1.0]
    )
    wall.contype = FURNITURE
    wall.conaffinity = ROBOT


def wall_force(robot):
    """Force of the robot on the wall, N."""
    total = np.zeros(3)
    wall = robot.model.geom("wall").id
    for number, contact in enumerate(robot.data.contact):
        if wall in contact.geom:
            force = np.zeros(6)
            mujoco.mj_contactForce(robot.model, robot.data, number, force)
            total += contact.frame.reshape(3, 3).T @ force[:3]
    return float(np.linalg.norm(total))


def test_the_leash_bounds_the_force_on_what_stops_the_arm():
    robot = rig(furnish=add_wall, tool="scratcher")
    robot.set_joint("lift", 0.6)
    robot.place_set_points()
    robot.run(10.0, arm=1.0)
    servo = SERVOS["arm"]
    bound = servo.stiffness * servo.leash
    assert robot.length("arm") < ARM_RANGE[1] - 0.05, "the wall stops it"
    # Within a control step the set-point runs on, until the leash is pulled in again.
    step = servo.stiffness * COMMANDS["arm"] * CONTROL_PERIOD
    assert 0.5 * bound < wall_force(robot) < bound + step
    robot.run(10.0, arm=1.0)
    assert wall_force(robot) < bound + step, "it does not wind up"
    robot.run(2.0)
    assert wall_force(robot) < bound


# -- the description ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_has_its_tip_before_the_palm(tool):
    robot = rig(tool=tool)
    palm = robot.data.body("palm")
    tip = palm.xmat.reshape(3, 3).T @ (robot.site("tip") - palm.xpos)
    assert tip[0] > GRASP_OFFSET - 1e-9
    assert np.linalg.norm(tip[1:]) < 0.08
    has_tool = mujoco.mj_name2id(robot.model, mujoco.mjtObj.mjOBJ_GEOM, "tool") >= 0
    assert has_tool == (tool != "none")


def test_it_weighs_what_the_parts_weigh(kind):
    robot = rig(kind)
    mass = robot.model.body_mass.sum()
    assert 30 < mass < 36
    heavier = rig(kind, base_mass=28.0)
    assert heavier.model.body_mass.sum() - mass == pytest.approx(3.0)


def test_the_open_fingers_are_wider_than_a_box():
    robot = rig()
    gaps = {}
    for slide in GRIPPER_RANGE:
        for name in ("finger_left", "finger_right"):
            robot.set_joint(name, 10.0 * slide)
        robot.place_set_points()
        pads = [robot.data.geom(f"pad_{name}").xpos for name in ("finger_left", "finger_right")]
        gaps[slide] = np.linalg.norm(pads[0] - pads[1])
    assert gaps[GRIPPER_RANGE[0]] < 2 * BOX_HALF < gaps[GRIPPER_RANGE[1]]


def test_one_body_has_one_hash(kind):
    hashes = {
        morphology.model_hash(morphology.make("manipulator", **kind).build().compile())
        for _ in range(2)
    }
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"base": "legs"}, "unknown base 'legs'"),
        ({"arm": "two-slide"}, "unknown arm 'two-slide'"),
        ({"tool": "spon"}, "unknown tool 'spon'.*did you mean spoon"),
        ({"base_mass": math.nan}, "base_mass = nan: must be finite and > 0"),
        ({"base_mass": -1.0}, "base_mass = -1.0: must be finite and > 0"),
        ({"finger_friction": 0.0}, "finger_friction = 0.0: must be finite and > 0"),
        ({"timestep": math.inf}, "timestep = inf: must be finite and > 0"),
    ],
)
def test_what_makes_no_robot_is_refused_in_one_line(parameters, said):
    with pytest.raises(LanceletError, match=said) as error:
        morphology.make("manipulator", **parameters)
    assert "\n" not in str(error.value)


def test_the_heights_of_the_lift_are_those_of_its_range():
    robot = rig()
    low = robot.site("grasp")[2]
    robot.set_joint("lift", LIFT_RANGE[1])
    robot.place_set_points()
    assert robot.site("grasp")[2] - low == pytest.approx(LIFT_RANGE[1])

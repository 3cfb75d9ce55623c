"""The seated person: of human size, held in a posture by soft servos, touched by the robot and not by themselves."""

import mujoco
import numpy as np
import pytest

from lancelet.morphology.manipulator import FURNITURE, HAND, OBJECT, PERSON, ROBOT
from lancelet.morphology.person import (
    FOREARM_LENGTH,
    HIP_HEIGHT,
    POSTURE,
    UPPER_ARM_LENGTH,
    add_person,
)

CORNERS = [
    {name: joint.low for name, joint in POSTURE.items()},
    {name: joint.rest for name, joint in POSTURE.items()},
    {name: joint.high for name, joint in POSTURE.items()},
]


class Seated:
    """The person alone, in a posture (name -> rad) that their servos hold."""

    def __init__(self, posture):
        spec = mujoco.MjSpec()
        spec.compiler.degree = False
        add_person(spec)
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        for name, angle in posture.items():
            self.data.qpos[self.model.joint(name).qposadr[0]] = angle
            self.data.ctrl[self.model.actuator(name).id] = angle
        mujoco.mj_forward(self.model, self.data)

    def run(self, seconds):
        mujoco.mj_step(self.model, self.data, round(seconds / self.model.opt.timestep))
        mujoco.mj_forward(self.model, self.data)

    def angle(self, name):
        return self.data.joint(name).qpos[0]

    def site(self, name):
        return self.data.site(name).xpos.copy()


def resting():
    return Seated(CORNERS[1])


def test_they_are_of_human_size_and_look_ahead():
    person = resting()
    mouth = person.site("mouth")
    assert 1.0 < mouth[2] < 1.3
    assert mouth[0] > 0.05 and mouth[1] == pytest.approx(0.0, abs=1e-9)
    out_of_the_face = person.data.site("mouth").xmat.reshape(3, 3)[:, 0]
    np.testing.assert_allclose(out_of_the_face, [1, 0, 0], atol=1e-9)
    arm = np.linalg.norm(person.site("wrist") - person.site("elbow"))
    assert arm == pytest.approx(FOREARM_LENGTH)
    assert person.site("elbow")[1] > 0, "the arm that yields is the left one"
    shoulder = person.data.body("upper_arm").xpos
    assert np.linalg.norm(person.site("elbow") - shoulder) == pytest.approx(UPPER_ARM_LENGTH)
    assert person.site("wrist")[2] > HIP_HEIGHT, "the forearm lies over the legs"


@pytest.mark.parametrize("posture", CORNERS, ids=["low", "rest", "high"])
def test_servos_hold_the_posture_that_they_are_given(posture):
    person = Seated(posture)
    person.run(3.0)
    for name, angle in posture.items():
        assert person.angle(name) == pytest.approx(angle, abs=0.01), name


@pytest.mark.parametrize("posture", CORNERS, ids=["low", "rest", "high"])
def test_they_do_not_push_themselves_apart(posture):
    assert Seated(posture).data.ncon == 0


@pytest.mark.parametrize(
    ("body", "force"), [("head", (-20, 0, 0)), ("forearm", (0, 0, -20)), ("upper_arm", (0, 20, 0))]
)
def test_head_and_left_arm_yield_to_a_push_and_come_back(body, force):
    person = resting()
    person.run(1.0)
    before = person.data.body(body).xipos.copy()
    person.data.body(body).xfrc_applied[:3] = force
    person.run(1.0)
    moved = person.data.body(body).xipos - before
    assert 1e-3 < np.dot(moved, force) / 20 < 0.2
    person.data.body(body).xfrc_applied[:3] = 0
    person.run(2.0)
    np.testing.assert_allclose(person.data.body(body).xipos, before, atol=2e-3)


def test_signs_of_the_joints_are_those_of_a_body():
    person = resting()
    before = {name: person.site(name) for name in ("mouth", "elbow", "wrist")}

    def moved(name, by, site):
        posture = CORNERS[1] | {name: CORNERS[1][name] + by}
        return Seated(posture).site(site) - before[site]

    assert moved("neck_pitch", 0.2, "mouth")[2] < 0, "the head nods forwards"
    assert moved("neck_yaw", 0.2, "mouth")[1] > 0, "it turns to the left"
    assert moved("shoulder_flexion", 0.2, "elbow")[0] > 0, "the upper arm swings forwards"
    assert moved("shoulder_abduction", 0.2, "elbow")[1] > 0, "it leaves the trunk"
    assert moved("elbow", 0.2, "wrist")[2] > 0, "the forearm rises"


def test_robot_and_objects_touch_all_that_can_be_touched():
    model = resting().model
    touchable = np.flatnonzero(model.geom_contype)
    assert len(touchable) > 20
    assert (model.geom_contype[touchable] == PERSON).all()
    assert (model.geom_conaffinity[touchable] == (ROBOT | OBJECT)).all()
    names = {model.geom(int(i)).name for i in touchable}
    assert {"forearm", "hand", "skull"} <= names
    bits = [ROBOT, PERSON, FURNITURE, OBJECT, HAND]
    assert sum(bits) == np.bitwise_or.reduce(bits), "no two share a bit"


def test_their_servos_stand_behind_those_of_the_scene():
    spec = mujoco.MjSpec()
    slider = spec.worldbody.add_body(name="slider")
    slider.add_joint(name="slide", type=mujoco.mjtJoint.mjJNT_SLIDE)
    slider.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.1, 0, 0])
    spec.add_actuator(name="first", target="slide", trntype=mujoco.mjtTrn.mjTRN_JOINT)
    add_person(spec)
    model = spec.compile()
    assert [model.actuator(i).name for i in range(model.nu)] == ["first", *POSTURE]

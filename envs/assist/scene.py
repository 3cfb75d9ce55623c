"""Sensors, view and the writing of start states that all assistive scenes share."""

from __future__ import annotations

import functools
from typing import NamedTuple

import mujoco
import numpy as np

from ...assist_layout import JOINTS
from ...morphology.manipulator import FINGER_RATIO, SEGMENTS
from ...morphology.person import POSTURE
from ..simulation import Simulation

FRAME = "centre"
"""site of the robot on the floor under its base; x is its heading"""
FORCE_DATA = 1 << int(mujoco.mjtConDataField.mjCONDATA_FORCE)
"""contact sensors tell the force"""
NET_FORCE = 3
"""and sum it over all contacts, in the world's axes"""
SKY_ABOVE = (0.80, 0.89, 0.96)
"""RGB"""
SKY_AT_HORIZON = (0.98, 0.98, 0.97)
"""RGB"""
LAMP_HEIGHT = 3.6
"""m over the floor"""


class View(NamedTuple):
    """Where a scene's camera stands."""

    place: tuple[float, float, float]
    """m"""
    looks_at: tuple[float, float, float]
    """m, what is in the middle of the picture"""
    opening: float
    """degrees, what the picture's height spans"""


BESIDE_THE_CHAIR = View(place=(2.75, 1.35, 1.60), looks_at=(0.12, 0.48, 0.72), opening=36.0)
"""from the front left: the person's face and left arm, and the whole robot beside them"""
BEFORE_THE_CHAIR = View(place=(1.9, 2.75, 1.60), looks_at=(0.42, 0.0, 0.70), opening=34.0)
"""from the left: the person's face and the robot before it"""


class Start(NamedTuple):
    """Where the robot starts an episode, as seen by the person; x, y and yaw are the middle of what is drawn."""

    x: float
    """m before the person"""
    y: float
    """m to the left"""
    yaw: float
    """rad, heading; 0 is where the person looks"""
    lift: float
    """m"""
    arm: float
    """m"""
    wrist_pitch: float
    """rad"""
    gripper: float = 0.0
    """m, of the gripper's slide"""


class Spread(NamedTuple):
    """Half widths of the uniform draws around a `Start`."""

    x: float
    """m"""
    y: float
    """m"""
    yaw: float
    """rad"""


class Forces(NamedTuple):
    """Contact forces of one control step."""

    on_person: np.ndarray
    """(n, 3) N between robot and person at its end, in the robot's frame"""
    peak: np.ndarray
    """(n,) N, the largest between robot and person in any substep"""
    tool: np.ndarray
    """(n,) N between tool and person at its end; 0 without a tool"""
    tool_peak: np.ndarray
    """(n,) N, the largest between tool and person in any substep; 0 without a tool"""


class Columns(NamedTuple):
    """Where actuators stand among controls and lengths, and forces among the sensors: looked up once a model."""

    base: np.ndarray
    """(2,) drive and turn, or the left and the right wheel"""
    joints: np.ndarray
    """(6,) in the order of `assist_layout.JOINTS`"""
    posture: np.ndarray
    """(5,) of the person, in the order of `POSTURE`"""
    is_on_wheels: bool
    """whether the base is moved by its wheels"""
    person_force: slice
    """among the sensors: the force between robot and person"""
    tool_force: slice | None
    """among the sensors: that between tool and person; None without a tool"""


@functools.lru_cache(maxsize=64)
def columns(model: mujoco.MjModel) -> Columns:
    """The columns of a compiled scene."""
    names = [model.actuator(i).name for i in range(model.nu)]
    is_on_wheels = "wheel_left" in names
    tool_force = None
    if _has(model, mujoco.mjtObj.mjOBJ_SENSOR, "tool_force"):
        tool_force = _sensor_slice(model, "tool_force")
    base_names = ("wheel_left", "wheel_right") if is_on_wheels else ("drive", "turn")
    return Columns(
        base=np.array([names.index(name) for name in base_names]),
        joints=np.array([names.index(name) for name in JOINTS]),
        posture=np.array([names.index(name) for name in POSTURE]),
        is_on_wheels=is_on_wheels,
        person_force=_sensor_slice(model, "person_force"),
        tool_force=tool_force,
    )


def _sensor_slice(model: mujoco.MjModel, name: str) -> slice:
    """Where the values of a sensor stand in `sensordata`."""
    sensor = model.sensor(name)
    first = sensor.adr[0]
    return slice(first, first + sensor.dim[0])


def add_sensors(spec: mujoco.MjSpec, with_tool: bool) -> None:
    """Add what the tasks read; places and directions are in the robot's frame.

    Args:
        spec: of the scene; it is changed in place.
        with_tool: whether the robot holds a tool, a geom called ``tool``.
    """
    position = mujoco.mjtSensor.mjSENS_FRAMEPOS
    x_axis = mujoco.mjtSensor.mjSENS_FRAMEXAXIS
    y_axis = mujoco.mjtSensor.mjSENS_FRAMEYAXIS
    z_axis = mujoco.mjtSensor.mjSENS_FRAMEZAXIS
    add_frame_sensor(spec, "tip", position, "tip")
    add_frame_sensor(spec, "tip_axis", x_axis, "tip")
    add_frame_sensor(spec, "tip_up", z_axis, "tip")
    add_frame_sensor(spec, "mouth", position, "mouth")
    add_frame_sensor(spec, "mouth_axis", x_axis, "mouth")
    add_frame_sensor(spec, "elbow", position, "elbow")
    add_frame_sensor(spec, "forearm_up", x_axis, "elbow")
    add_frame_sensor(spec, "forearm_out", y_axis, "elbow")
    add_frame_sensor(spec, "forearm_back", z_axis, "elbow")
    add_frame_sensor(spec, "person", position, "floor_under_person")
    add_frame_sensor(spec, "person_facing", x_axis, "floor_under_person")
    # Without a reference, in the world's axes, as contact forces are.
    for name, kind in (
        ("heading", x_axis),
        ("base_velocity", mujoco.mjtSensor.mjSENS_VELOCIMETER),
        ("base_turning", mujoco.mjtSensor.mjSENS_GYRO),
    ):
        spec.add_sensor(name=name, type=kind, objtype=mujoco.mjtObj.mjOBJ_SITE, objname=FRAME)
    _add_force_sensor(spec, "person_force", mujoco.mjtObj.mjOBJ_XBODY, "base")
    if with_tool:
        _add_force_sensor(spec, "tool_force", mujoco.mjtObj.mjOBJ_GEOM, "tool")


def add_frame_sensor(spec: mujoco.MjSpec, name: str, kind: mujoco.mjtSensor, site: str) -> None:
    """Add a sensor of a site's place or axis, in the robot's frame.

    Args:
        spec: of the scene; it is changed in place.
        name: of the sensor.
        kind: FRAMEPOS, FRAMEXAXIS, ...
        site: that is looked at.
    """
    spec.add_sensor(
        name=name,
        type=kind,
        objtype=mujoco.mjtObj.mjOBJ_SITE,
        objname=site,
        reftype=mujoco.mjtObj.mjOBJ_SITE,
        refname=FRAME,
    )


def _add_force_sensor(spec: mujoco.MjSpec, name: str, kind: mujoco.mjtObj, part: str) -> None:
    """Add a sensor of the sum of contact forces between a part of the robot and the whole person."""
    sensor = spec.add_sensor(
        name=name,
        type=mujoco.mjtSensor.mjSENS_CONTACT,
        objtype=kind,
        objname=part,
        reftype=mujoco.mjtObj.mjOBJ_XBODY,
        refname="person",
    )
    sensor.intprm[:3] = [FORCE_DATA, NET_FORCE, 1]


def add_view(spec: mujoco.MjSpec, view: View) -> None:
    """A sky, two lights, and the camera ``track``, which stands still.

    Args:
        spec: of the scene; it is changed in place.
        view: where the camera stands and what it looks at.
    """
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        width=64,
        height=384,
        rgb1=SKY_ABOVE,
        rgb2=SKY_AT_HORIZON,
    )
    # Much light from all sides, and daylight from above: outside the lamp's cone it would be night.
    spec.visual.headlight.ambient = [0.45, 0.45, 0.46]
    spec.visual.headlight.diffuse = [0.14, 0.14, 0.14]
    right, up = _camera_axes(view)
    spec.worldbody.add_camera(
        name="track",
        pos=list(view.place),
        xyaxes=[*right, *up],
        fovy=view.opening,
    )
    # The lamp stands on the camera's side, so that faces that are seen are lit and shadows fall away from it.
    target = np.array(view.looks_at)
    lamp = target + 0.45 * (np.array(view.place) - target)
    lamp[2] = LAMP_HEIGHT
    spec.worldbody.add_light(
        type=mujoco.mjtLightType.mjLIGHT_SPOT,
        cutoff=70,
        exponent=0,
        pos=list(lamp),
        dir=list(target - lamp),
        diffuse=[0.26, 0.26, 0.24],
        specular=[0.15, 0.15, 0.15],
        castshadow=True,
    )
    spec.worldbody.add_light(
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=[0, 0, LAMP_HEIGHT],
        dir=[-0.3, -0.2, -1],
        diffuse=[0.24, 0.24, 0.24],
        specular=[0, 0, 0],
        castshadow=False,
    )


def _camera_axes(view: View) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors to the right and upwards in the picture of a camera whose horizon is level."""
    ahead = np.array(view.looks_at) - np.array(view.place)
    right = np.cross(ahead, [0.0, 0.0, 1.0])
    up = np.cross(right, ahead)
    return right / np.linalg.norm(right), up / np.linalg.norm(up)


def write_posture(sim: Simulation, i: int, posture: np.ndarray) -> None:
    """Put the person of simulation `i` into a posture (5,), rad."""
    for name, angle in zip(POSTURE, posture, strict=True):
        sim.qpos[i, sim.model.joint(name).qposadr[0]] = angle


def write_robot(sim: Simulation, i: int, place: np.ndarray, start: Start) -> None:
    """Put the robot of simulation `i` somewhere.

    Args:
        sim: changed in place.
        i: number of the simulation.
        place: (3,) x and y (m) and heading (rad) of the base.
        start: positions of its joints.
    """
    x, y, yaw = place
    model = sim.model
    row = sim.qpos[i]
    if columns(model).is_on_wheels:
        first = model.joint("base").qposadr[0]
        row[first : first + 2] = x, y
        row[first + 3 : first + 7] = np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)
    else:
        for name, value in (("base_x", x), ("base_y", y), ("base_yaw", yaw)):
            row[model.joint(name).qposadr[0]] = value
    row[model.joint("lift").qposadr[0]] = start.lift
    row[model.joint("wrist_pitch").qposadr[0]] = start.wrist_pitch
    stages = ["arm"]
    if not _has(model, mujoco.mjtObj.mjOBJ_JOINT, "arm"):
        stages = [f"arm_{stage}" for stage in range(1, SEGMENTS + 1)]
    for name in stages:
        row[model.joint(name).qposadr[0]] = start.arm / len(stages)
    for name in ("finger_left", "finger_right"):
        row[model.joint(name).qposadr[0]] = FINGER_RATIO * start.gripper


def _has(model: mujoco.MjModel, kind: mujoco.mjtObj, name: str) -> bool:
    """Whether the model has an object of that kind and name."""
    return mujoco.mj_name2id(model, kind.value, name) >= 0


def base_speed(sim: Simulation) -> np.ndarray:
    """Speed (n, 2) of the base: along its heading, m/s, and turning, rad/s."""
    return np.stack([sim.sensor("base_velocity")[:, 0], sim.sensor("base_turning")[:, 2]], axis=1)


def forces(sim: Simulation, recorded: np.ndarray) -> Forces:
    """The contact forces of a control step.

    Args:
        sim: after the step.
        recorded: (n, substeps, nsensordata) the sensors of every substep.
    """
    places = columns(sim.model)
    on_person = recorded[:, :, places.person_force]
    person_peak = np.linalg.norm(on_person, axis=2).max(1)
    last = on_person[:, -1]
    heading = sim.sensor("heading")
    cosine = heading[:, 0]
    sine = heading[:, 1]
    in_robot_frame = np.stack(
        [
            cosine * last[:, 0] + sine * last[:, 1],
            -sine * last[:, 0] + cosine * last[:, 1],
            last[:, 2],
        ],
        axis=1,
    )
    tool_norm = np.zeros((sim.n, 1))
    if places.tool_force is not None:
        tool_norm = np.linalg.norm(recorded[:, :, places.tool_force], axis=2)
    return Forces(
        on_person=in_robot_frame,
        peak=person_peak,
        tool=tool_norm[:, -1],
        tool_peak=tool_norm.max(1),
    )

"""A light seeker on two driven wheels whose two light sensors sit anywhere on its deck.

As in docs/systems/goodbody.md, "The rigid body".

Chassis and drive: the rigid body of Powers, Kriegman, Bongard (arXiv 1910.07487; their public code), the deck also
that of the kinematic model of arXiv 2108.08398. A placement is four numbers: forward and left of sensor 1, then of 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from ..errors import LanceletError
from . import scenery
from .core import Body, quantity

HALF = 0.5
"""m, from the middle of the deck to its sides: sensors keep within"""
CORNERS = 9
"""places a side of the grid that sensors are laid out on: 81 a sensor, 6,561 bodies"""
CANONICAL = (0.5, 0.5, 0.5, -0.5)
"""both front corners, as Braitenberg drew them: design 6553"""
SENSOR, DECK = 0.05, 0.5
"""m, radius of a sensor; height of the chassis in wheel radii"""


def placement(values: Any, name: str = "body") -> np.ndarray:
    """Placements (..., 4), checked.

    Raises:
        LanceletError: not four numbers each, not finite, or beyond the deck.
    """
    try:
        places = np.array(values, float)
    except (TypeError, ValueError):
        places = np.zeros(0)
    if places.ndim == 0 or places.shape[-1] != 4 or not places.size:
        raise LanceletError(
            f"{name} = {values!r}: needs four numbers, forward and left of sensor 1, then of sensor 2"
        )
    wrong = ~(np.abs(places) <= HALF)
    if wrong.any():
        row, k = np.argwhere(np.atleast_2d(wrong))[0]
        value = float(np.atleast_2d(places)[row, k])
        what = f"{('forward', 'left')[k % 2]} of sensor {k // 2 + 1}"
        raise LanceletError(
            f"{name}: {what} = {value:g}: must lie on the deck, from {-HALF} to {HALF}"
        )
    return places


def design(number: int) -> np.ndarray:
    """Placement number 1 .. 6561 of the grid (4,): sensor 1 outer, sensor 2 inner; forward outer, left inner."""
    if not 1 <= number <= CORNERS**4:
        raise LanceletError(f"design = {number}: must be from 1 to {CORNERS**4}")
    return np.array(np.unravel_index(number - 1, (CORNERS,) * 4)) / (CORNERS - 1) - HALF


def mirrored(places: np.ndarray) -> np.ndarray:
    """The same bodies (..., 4) with left and right exchanged; their two weights change places too."""
    return places[..., [2, 3, 0, 1]] * np.array([1, -1, 1, -1])


@dataclass(frozen=True)
class Braitenberg(Body):
    """A square deck, a spherical wheel on a motor at either side, a castor that slides without friction in front.

    Actuators `left` and `right` hold a wheel speed as far as their torque goes; controls are shares of the top speed
    in [-1, 1]. Sites `sensor_1` and `sensor_2` are the light sensors. The deck's frame has x forward, y left. Both
    placements have the deck as their range, so that evolution can move them.
    """

    sensor_1: tuple[float, ...] = quantity(CANONICAL[:2], "m", -HALF, HALF)
    """forward and left of the middle of the deck"""
    sensor_2: tuple[float, ...] = quantity(CANONICAL[2:], "m", -HALF, HALF)
    """forward and left of the middle of the deck"""
    chassis_mass: float = quantity(999.973, "kg")
    """of the deck"""
    wheel_mass: float = quantity(117.519, "kg")
    """of each wheel"""
    wheel_radius: float = quantity(0.260017, "m")
    """of wheels and castor"""
    wheel_back: float = quantity(0.025, "m")
    """the axle lies behind the middle"""
    top_speed: float = quantity(2.59115 * math.pi, "rad/s")
    """of a wheel at full command"""
    torque: float = quantity(1.95026 * math.pi, "N m")
    """that a motor has at most"""
    grip: float = quantity(200.0, "N m s/rad")
    """torque a unit of speed error, up to that"""
    timestep: float = 0.05
    """s, of the simulator"""

    def __post_init__(self) -> None:
        for name in ("sensor_1", "sensor_2"):
            if len(getattr(self, name)) != 2:
                raise LanceletError(
                    f"Braitenberg.{name} = {getattr(self, name)!r}: needs forward and left, m"
                )
        placement((*self.sensor_1, *self.sensor_2), "Braitenberg")
        self.positive(
            "chassis_mass", "wheel_mass", "wheel_radius", "top_speed", "torque", "grip", "timestep"
        )
        self.not_negative("wheel_back")
        if self.wheel_back >= HALF or self.wheel_radius >= HALF:
            raise LanceletError(
                f"Braitenberg: wheel_back and wheel_radius must be below {HALF} m, half the deck"
            )

    @classmethod
    def placed(cls, places: Any, **parameters: Any) -> Braitenberg:
        """The body with the sensors at `places` (4,)."""
        values = tuple(map(float, placement(places)))
        return cls(sensor_1=values[:2], sensor_2=values[2:], **parameters)

    @property
    def height(self) -> float:
        """Of the sensors over the floor, m."""
        return self.wheel_radius * (1 + DECK / 2) + SENSOR

    def build(self) -> mujoco.MjSpec:
        """The spec: a free deck, two hinges, three contacts with the floor."""
        spec = mujoco.MjSpec()
        spec.option.timestep = self.timestep
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        scenery.floor(spec)
        ground = spec.geom("floor")
        ground.contype, ground.conaffinity, ground.condim = 1, 0, 1
        deck = spec.worldbody.add_body(name="deck", pos=[0, 0, self.wheel_radius])
        deck.add_freejoint(name="root")
        deck.add_geom(
            name="deck", type=mujoco.mjtGeom.mjGEOM_BOX, size=[HALF, HALF, DECK / 2 * self.wheel_radius],
            mass=self.chassis_mass, contype=0, conaffinity=0, rgba=scenery.BODY,
        )  # fmt: skip
        deck.add_geom(
            name="castor", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[self.wheel_radius, 0, 0], pos=[HALF, 0, 0],
            mass=0, contype=0, conaffinity=1, condim=1, rgba=scenery.WALL,
        )  # fmt: skip
        deck.add_geom(  # a beak, so that one sees where front is
            type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.18, 0.07, 0.02], pos=[HALF + 0.16, 0, DECK / 2 * self.wheel_radius],
            mass=0, contype=0, conaffinity=0, rgba=scenery.EYE,
        )  # fmt: skip
        for side, name in ((1, "left"), (-1, "right")):
            self._wheel(spec, deck, name, side)
        for k, (forward, left) in enumerate((self.sensor_1, self.sensor_2), 1):
            place = [forward, left, self.height - self.wheel_radius]
            deck.add_site(
                name=f"sensor_{k}",
                pos=place,
                size=[2 * SENSOR] * 3,
                rgba=(scenery.TARGET, scenery.EYE)[k - 1],
            )
            spec.add_sensor(
                name=f"sensor_{k}", type=mujoco.mjtSensor.mjSENS_FRAMEPOS, objtype=mujoco.mjtObj.mjOBJ_SITE,
                objname=f"sensor_{k}",
            )  # fmt: skip
        return spec

    def _wheel(self, spec: mujoco.MjSpec, deck: mujoco.MjsBody, name: str, side: int) -> None:
        wheel = deck.add_body(name=f"{name}_wheel", pos=[-self.wheel_back, side * HALF, 0])
        wheel.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 1, 0])
        wheel.add_geom(
            name=f"{name}_wheel", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[self.wheel_radius, 0, 0],
            mass=self.wheel_mass, contype=0, conaffinity=1, condim=3, rgba=scenery.WALL,
        )  # fmt: skip
        spec.add_actuator(
            name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT, gaintype=mujoco.mjtGain.mjGAIN_FIXED,
            biastype=mujoco.mjtBias.mjBIAS_AFFINE, gainprm=[self.grip * self.top_speed, *[0] * 9],
            biasprm=[0, 0, -self.grip, *[0] * 7], ctrllimited=1, ctrlrange=[-1, 1],
            forcelimited=1, forcerange=[-self.torque, self.torque],
        )  # fmt: skip

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
from numpy.typing import ArrayLike

from ..errors import LanceletError
from . import scenery
from .core import Body, quantity

HALF = 0.5
"""m, from the middle of the deck to its sides: sensors keep within"""
CORNERS = 9
"""places a side of the grid that sensors are laid out on: 81 a sensor, 6,561 bodies"""
DESIGNS = CORNERS**4
"""number of placements on the grid"""
CANONICAL = (0.5, 0.5, 0.5, -0.5)
"""placement with the sensors on both front corners, as Braitenberg drew them: design 6553"""
SENSOR = 0.05
"""m, radius of a sensor"""
DECK = 0.5
"""height of the chassis in wheel radii"""

# Numbers of a placement.
PLACEMENT = (
    "forward of sensor 1",
    "left of sensor 1",
    "forward of sensor 2",
    "left of sensor 2",
)
"""what each number of a placement is, m from the middle of the deck"""
SWAPPED_SENSORS = [2, 3, 0, 1]
"""numbers of a placement when sensors 1 and 2 change places"""
MIRROR_SIGNS = np.array([1, -1, 1, -1])
"""signs of a placement's numbers in its mirror image: left becomes right"""


def placement(values: ArrayLike, name: str = "body") -> np.ndarray:
    """Placements, checked.

    Args:
        values: m, (..., 4), as `PLACEMENT` says.
        name: of the body, for errors.

    Raises:
        LanceletError: not four numbers each, not finite, or beyond the deck.
    """
    try:
        places = np.array(values, float)
    except (TypeError, ValueError):
        # No numbers at all: refused below as the wrong count is.
        places = np.zeros(0)
    if places.ndim == 0 or places.shape[-1] != len(PLACEMENT) or not places.size:
        raise LanceletError(
            f"{name} = {values!r}: needs four numbers, forward and left of sensor 1, then of sensor 2"
        )
    rows = places.reshape(-1, len(PLACEMENT))
    # Asked this way round, NaN is off the deck as well.
    is_off_deck = ~(np.abs(rows) <= HALF)
    if is_off_deck.any():
        row, number = np.argwhere(is_off_deck)[0]
        raise LanceletError(
            f"{name}: {PLACEMENT[number]} = {float(rows[row, number]):g}: "
            f"must lie on the deck, from {-HALF} to {HALF}"
        )
    return places


def design(number: int) -> np.ndarray:
    """The placement of a number on the grid, m, (4,).

    Sensor 1 changes slower than sensor 2, and forward slower than left.

    Args:
        number: from 1 to `DESIGNS`.

    Raises:
        LanceletError: there is no design of that number.
    """
    if not 1 <= number <= DESIGNS:
        raise LanceletError(f"design = {number}: must be from 1 to {DESIGNS}")
    corners = np.unravel_index(number - 1, (CORNERS, CORNERS, CORNERS, CORNERS))
    return np.array(corners) / (CORNERS - 1) - HALF


def mirrored(places: np.ndarray) -> np.ndarray:
    """The same bodies (..., 4) with left and right exchanged; their two weights change places too."""
    return places[..., SWAPPED_SENSORS] * MIRROR_SIGNS


@dataclass(frozen=True)
class Braitenberg(Body):
    """A square deck, a spherical wheel on a motor at either side, a castor that slides without friction in front.

    Actuators `left` and `right` hold a wheel speed as far as their torque goes; controls are shares of the top speed
    in [-1, 1]. Sites `sensor_1` and `sensor_2` are the light sensors. The deck's frame has x forward, y left. Both
    placements have the deck as their range, so that evolution can move them.
    """

    sensor_1: tuple[float, ...] = quantity(CANONICAL[:2], "m", -HALF, HALF)
    """place of sensor 1, m, forward and left of the middle of the deck"""
    sensor_2: tuple[float, ...] = quantity(CANONICAL[2:], "m", -HALF, HALF)
    """place of sensor 2, m, forward and left of the middle of the deck"""
    chassis_mass: float = quantity(999.973, "kg")
    """mass of the deck, kg"""
    wheel_mass: float = quantity(117.519, "kg")
    """mass of each wheel, kg"""
    wheel_radius: float = quantity(0.260017, "m")
    """radius of wheels and castor, m"""
    wheel_back: float = quantity(0.025, "m")
    """distance of the axle behind the middle of the deck, m"""
    top_speed: float = quantity(2.59115 * math.pi, "rad/s")
    """speed of a wheel at full command, rad/s"""
    torque: float = quantity(1.95026 * math.pi, "N m")
    """largest torque of a motor, N m"""
    grip: float = quantity(200.0, "N m s/rad")
    """torque of a motor a unit of speed error, N m s/rad, up to the largest torque"""
    timestep: float = 0.05
    """time step of the simulator, s"""

    def __post_init__(self) -> None:
        for name in ("sensor_1", "sensor_2"):
            place = getattr(self, name)
            if len(place) != 2:
                raise LanceletError(f"Braitenberg.{name} = {place!r}: needs forward and left, m")
        placement((*self.sensor_1, *self.sensor_2), "Braitenberg")
        self.positive(
            "chassis_mass",
            "wheel_mass",
            "wheel_radius",
            "top_speed",
            "torque",
            "grip",
            "timestep",
        )
        self.not_negative("wheel_back")
        if self.wheel_back >= HALF or self.wheel_radius >= HALF:
            raise LanceletError(
                f"Braitenberg: wheel_back and wheel_radius must be below {HALF} m, half the deck"
            )

    @classmethod
    def placed(cls, places: ArrayLike, **parameters: Any) -> Braitenberg:
        """The body with its sensors somewhere.

        Args:
            places: m, (4,), as `PLACEMENT` says.
            **parameters: the body's other fields.

        Raises:
            LanceletError: a sensor is not on the deck, or the body refuses a field.
        """
        forward_1, left_1, forward_2, left_2 = map(float, placement(places))
        return cls(sensor_1=(forward_1, left_1), sensor_2=(forward_2, left_2), **parameters)

    @property
    def height(self) -> float:
        """Height of the sensors over the floor, m."""
        return self.wheel_radius * (1 + DECK / 2) + SENSOR

    def build(self) -> mujoco.MjSpec:
        """The spec: a free deck, two hinges, three contacts with the floor."""
        spec = mujoco.MjSpec()
        spec.option.timestep = self.timestep
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        scenery.floor(spec)
        ground = spec.geom("floor")
        # Two geoms touch where the contype of one has a bit of the other's conaffinity: the wheels and the castor, of
        # conaffinity 1, touch the ground and nothing else.
        ground.contype = 1
        ground.conaffinity = 0
        ground.condim = 1
        deck = spec.worldbody.add_body(name="deck", pos=[0, 0, self.wheel_radius])
        deck.add_freejoint(name="root")
        self._add_chassis(deck)
        self._add_wheel(spec, deck, "left", left=HALF)
        self._add_wheel(spec, deck, "right", left=-HALF)
        self._add_sensor(spec, deck, "sensor_1", self.sensor_1, colour=scenery.TARGET)
        self._add_sensor(spec, deck, "sensor_2", self.sensor_2, colour=scenery.EYE)
        return spec

    def _add_chassis(self, deck: mujoco.MjsBody) -> None:
        """Add the box that carries the mass, the castor in front, and a beak."""
        half_height = DECK / 2 * self.wheel_radius
        deck.add_geom(
            name="deck",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[HALF, HALF, half_height],
            mass=self.chassis_mass,
            contype=0,
            conaffinity=0,
            rgba=scenery.BODY,
        )
        deck.add_geom(
            name="castor",
            type=mujoco.mjtGeom.mjGEOM_SPHERE,
            size=[self.wheel_radius, 0, 0],
            pos=[HALF, 0, 0],
            mass=0,
            contype=0,
            conaffinity=1,
            # One dimension: no friction.
            condim=1,
            rgba=scenery.WALL,
        )
        # The beak shows where front is.
        deck.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[0.18, 0.07, 0.02],
            pos=[HALF + 0.16, 0, half_height],
            mass=0,
            contype=0,
            conaffinity=0,
            rgba=scenery.EYE,
        )

    def _add_wheel(
        self,
        spec: mujoco.MjSpec,
        deck: mujoco.MjsBody,
        name: str,
        left: float,
    ) -> None:
        """Add a wheel and the motor that turns it.

        The torque is ``grip * (top_speed * command - speed)``, limited to ``torque``.

        Args:
            spec: gets the motor.
            deck: that the wheel hangs on.
            name: of the hinge and of the motor, left or right.
            left: m, of the middle of the deck.
        """
        wheel = deck.add_body(name=f"{name}_wheel", pos=[-self.wheel_back, left, 0])
        wheel.add_joint(
            name=name,
            type=mujoco.mjtJoint.mjJNT_HINGE,
            axis=[0, 1, 0],
        )
        wheel.add_geom(
            name=f"{name}_wheel",
            type=mujoco.mjtGeom.mjGEOM_SPHERE,
            size=[self.wheel_radius, 0, 0],
            mass=self.wheel_mass,
            contype=0,
            conaffinity=1,
            # Three dimensions: with friction.
            condim=3,
            rgba=scenery.WALL,
        )
        gain = self.grip * self.top_speed
        spec.add_actuator(
            name=name,
            target=name,
            trntype=mujoco.mjtTrn.mjTRN_JOINT,
            gaintype=mujoco.mjtGain.mjGAIN_FIXED,
            gainprm=[gain, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            biastype=mujoco.mjtBias.mjBIAS_AFFINE,
            # A constant, a factor of the angle, a factor of the speed.
            biasprm=[0, 0, -self.grip, 0, 0, 0, 0, 0, 0, 0],
            ctrllimited=1,
            ctrlrange=[-1, 1],
            forcelimited=1,
            forcerange=[-self.torque, self.torque],
        )

    def _add_sensor(
        self,
        spec: mujoco.MjSpec,
        deck: mujoco.MjsBody,
        name: str,
        place: tuple[float, ...],
        colour: list[float],
    ) -> None:
        """Add a light sensor: a site, whose place MuJoCo tells.

        Args:
            spec: gets the MuJoCo sensor.
            deck: that the sensor sits on.
            name: of both.
            place: m, forward and left of the middle of the deck.
            colour: of the site.
        """
        forward, left = place
        deck.add_site(
            name=name,
            pos=[forward, left, self.height - self.wheel_radius],
            size=[2 * SENSOR, 2 * SENSOR, 2 * SENSOR],
            rgba=colour,
        )
        spec.add_sensor(
            name=name,
            type=mujoco.mjtSensor.mjSENS_FRAMEPOS,
            objtype=mujoco.mjtObj.mjOBJ_SITE,
            objname=name,
        )

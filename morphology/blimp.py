"""An indoor blimp on a vertical slide: buoyancy, added mass, drag, and the figures of its motors, servo and LiDAR.

Burgers, Stroobants, de Croon 2023 (arXiv 2309.12937); sizes and nominal values: docs/systems/blimp.md,
"The plant".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import mujoco

from ..errors import LanceletError
from . import scenery
from .core import Body, quantity

COMMAND = 10.0
"""largest command; the firmware clips there"""
GRAVITY = 9.81

CALIBRATED = {
    "thrust": 0.0229, "exponent": 1.0083, "down_efficiency": 0.9663, "lag": 0.5312, "latency": 0.0341,
    "sweep": 0.5438, "damping": 0.0236, "drag": 1.3601,
}  # fmt: skip
"""quantities fitted to one flight of the real blimp (docs/systems/blimp.md, "The flight") and to the overshoot
of its PID (R7), by
`lancelet reproduce blimp --full`; what they reach stands in results/blimp: ``make("blimp", **CALIBRATED)``"""


def thrust_curve(size: Any, thrust: Any, exponent: Any) -> Any:
    """Force (N) of a command of `size` >= 0 (command units); numbers or arrays."""
    return COMMAND * thrust * (size / COMMAND) ** exponent


@dataclass(frozen=True)
class Blimp(Body):
    """A helium envelope (prolate spheroid, level) over a gondola with two propellers on a servo-turned shaft.

    One degree of freedom, `height`: m of the gondola's underside, where the LiDAR sits, over the floor. The actuator
    `thrust` takes N, up positive. Commands, motors, servo and LiDAR are figures here and act in the task. Every
    quantity with a range can be drawn from it (`morphology.ranges`): that is the uncertainty of the real blimp.

    The vertical force at command c is ``10 thrust (|c| / 10) ** exponent`` in the direction of the servo.
    """

    semi_axes: tuple[float, ...] = (0.65, 0.264, 0.264)
    """m, of the envelope: along, across, vertical"""
    hardware_mass: float = quantity(0.140, "kg")
    """all that hangs on the envelope"""
    helium_mass: float = quantity(0.034, "kg")
    """the gas"""
    film_mass: float | None = None
    """kg, the envelope; none: what makes the blimp neutral"""
    air_density: float = quantity(1.204, "kg/m^3")
    """of the air around"""
    added_mass: float = quantity(0.173, "kg")
    """air that moves along vertically: inertia without weight"""
    damping: float = quantity(0.020, "N s/m", 0.0, 0.04)
    """linear drag"""
    drag: float = quantity(0.69, "1", 0.345, 1.38)
    """drag coefficient on the planform, pi a b"""
    thrust: float = quantity(0.017, "N", 0.0119, 0.0238)
    """upward force a command unit, at full command"""
    exponent: float = quantity(1.0, "1", 1.0, 1.4)
    """of the thrust curve"""
    down_efficiency: float = quantity(1.0, "1", 0.6, 1.0)
    """thrust left when the slipstream blows up into the envelope, to push down"""
    lag: float = quantity(0.27, "s", 0.2, 0.55)
    """time constant of the thrust"""
    latency: float = quantity(0.05, "s", 0.0, 0.35)
    """from a command to the motors and the servo, at most 1 s"""
    sweep: float = quantity(0.5, "s", 0.2, 0.8)
    """the servo's half turn, at constant rate"""
    dead_zone: float = quantity(0.3, "command", 0.3, 0.9)
    """smaller commands leave the motors still"""
    pwm: float = quantity(3.0, "counts/command")
    """whole counts of motor duty a command unit, the rest is cut off; 0: duty is continuous"""
    lidar_step: float = quantity(0.01, "m")
    """resolution of the LiDAR; 0: continuous"""
    lidar_noise: float = quantity(0.0, "m", 0.0, 0.005)
    """standard deviation of the LiDAR"""
    lidar_range: tuple[float, ...] = (0.1, 12.0)
    """m, heights that the LiDAR tells apart"""
    timestep: float = 0.005
    """s, of the simulator"""

    def __post_init__(self) -> None:
        if len(self.semi_axes) != 3:
            raise LanceletError(f"Blimp.semi_axes = {self.semi_axes!r}: needs three lengths")
        if (
            len(self.lidar_range) != 2
            or not 0 <= self.lidar_range[0] < self.lidar_range[1] < math.inf
        ):
            raise LanceletError(f"Blimp.lidar_range = {self.lidar_range!r}: needs 0 <= low < high")
        self.positive(
            "semi_axes",
            "hardware_mass",
            "helium_mass",
            "air_density",
            "thrust",
            "exponent",
            "timestep",
        )
        self.positive("lag", "sweep", "down_efficiency")
        self.not_negative(
            "added_mass",
            "damping",
            "drag",
            "dead_zone",
            "pwm",
            "latency",
            "lidar_step",
            "lidar_noise",
        )
        if self.latency > 1.0:
            raise LanceletError(f"Blimp.latency = {self.latency!r}: must be 1 s or less")
        if self.down_efficiency > 1.0:
            raise LanceletError(
                f"Blimp.down_efficiency = {self.down_efficiency!r}: must be 1 or less"
            )
        if self.film_mass is not None:
            self.positive("film_mass")
        elif self.envelope_mass <= self.helium_mass:
            raise LanceletError(
                "Blimp: the envelope cannot lift hardware and helium; make semi_axes larger"
            )

    @property
    def lift(self) -> float:
        """Mass of the displaced air, kg."""
        return self.air_density * 4 / 3 * math.pi * math.prod(self.semi_axes)

    @property
    def envelope_mass(self) -> float:
        """Film and helium, kg."""
        if self.film_mass is None:
            return self.lift - self.hardware_mass
        return self.film_mass + self.helium_mass

    def force(self, command: float) -> float:
        """Upward force (N) that a lasting `command` (command units, up positive) gives, dead zone and counts aside."""
        return math.copysign(thrust_curve(abs(command), self.thrust, self.exponent), command)

    def build(self) -> mujoco.MjSpec:
        """The spec: one slide joint with the added mass as armature, buoyancy by gravity compensation, no contact."""
        spec = mujoco.MjSpec()
        spec.option.timestep = self.timestep
        spec.option.density, spec.option.viscosity = self.air_density, 1.8e-5
        spec.option.gravity = [0, 0, -GRAVITY]
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
        scenery.floor(spec)
        scenery.beside(spec, height=2.4, distance=6.0)
        blimp = spec.worldbody.add_body(name="blimp")
        blimp.add_joint(
            name="height", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[0, 0, 1], armature=self.added_mass,
            damping=[self.damping, 0, 0], limited=1, range=[0, 1.5 * self.lidar_range[1]],
        )  # fmt: skip
        still = {
            "fluid_ellipsoid": 1,
            "fluid_coefs": [0.0] * 5,
        }  # or the gondola's inertia box would drag too
        blimp.add_geom(
            name="gondola", type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.09, 0.04, 0.03], pos=[0, 0, 0.03],
            mass=self.hardware_mass, rgba=scenery.EYE, **still,
        )  # fmt: skip
        for side in (-1, 1):
            blimp.add_geom(
                type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=[0.05, 0.006, 0], pos=[0, side * 0.16, 0.05], mass=0,
                rgba=scenery.TARGET,
            )  # fmt: skip
            blimp.add_geom(
                type=mujoco.mjtGeom.mjGEOM_CAPSULE, size=[0.006, 0, 0], mass=0, rgba=scenery.EYE,
                fromto=[0, 0, 0.04, 0, side * 0.16, 0.05],
            )  # fmt: skip
        # A body of its own: gravity compensation beyond its weight is the lift, and acts at the envelope's centre.
        centre = [0, 0, 0.06 + self.semi_axes[2]]
        envelope = blimp.add_body(
            name="envelope", pos=centre, gravcomp=self.lift / self.envelope_mass
        )
        envelope.add_geom(
            name="envelope", type=mujoco.mjtGeom.mjGEOM_ELLIPSOID, size=list(self.semi_axes), mass=self.envelope_mass,
            rgba=scenery.BODY, fluid_ellipsoid=1, fluid_coefs=[self.drag / 2, 0.25, 1.5, 0, 0],
        )  # fmt: skip
        spec.add_actuator(
            name="thrust",
            target="height",
            trntype=mujoco.mjtTrn.mjTRN_JOINT,
            gear=[1, 0, 0, 0, 0, 0],
        )
        return spec

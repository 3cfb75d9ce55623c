"""An indoor blimp on a vertical slide: buoyancy, added mass, drag, and the figures of its motors, servo and LiDAR.

Burgers, Stroobants, de Croon 2023 (arXiv 2309.12937); sizes and nominal values: docs/systems/blimp.md,
"The plant".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import mujoco
import numpy as np

from ..errors import LanceletError
from . import scenery
from .core import Body, quantity

COMMAND = 10.0
"""largest command, command units; the firmware clips there"""
GRAVITY = 9.81
"""gravity, m/s^2"""
AIR_VISCOSITY = 1.8e-5
"""viscosity of air, Pa s"""
MOST_LATENCY = 1.0
"""largest latency that the task's memory of commands holds, s"""
SLIDE_RANGE = 1.5
"""highest place of the slide, in ranges of the LiDAR"""

# Coefficients of an ellipsoid in a fluid, beside its drag (MuJoCo's `fluidcoef`).
SLENDER_DRAG = 0.25
"""MuJoCo's usual value"""
ANGULAR_DRAG = 1.5
"""MuJoCo's usual value"""
KUTTA_LIFT = 0.0
"""no lift: the envelope is level and moves up and down alone"""
MAGNUS_LIFT = 0.0
"""no lift: the envelope does not spin"""
NO_FLUID = {"fluid_ellipsoid": 1, "fluid_coefs": [0.0, 0.0, 0.0, 0.0, 0.0]}
"""arguments of a geom that feels no air; without them its body would drag as a box of the same inertia"""

# Sizes of what hangs below the envelope, m.
GONDOLA_HALF_SIZES = [0.09, 0.04, 0.03]
PROPELLER_RADIUS = 0.05
PROPELLER_HALF_WIDTH = 0.006
PROPELLER_ASIDE = 0.16
PROPELLER_HEIGHT = 0.05
SHAFT_RADIUS = 0.006
SHAFT_HEIGHT = 0.04

CALIBRATED = {
    "thrust": 0.0229,
    "exponent": 1.0083,
    "down_efficiency": 0.9663,
    "lag": 0.5312,
    "latency": 0.0341,
    "sweep": 0.5438,
    "damping": 0.0236,
    "drag": 1.3601,
}
"""quantities fitted to one flight of the real blimp (docs/systems/blimp.md, "The flight") and to the overshoot of its
PID (row R7 of "Row codes" there), by `lancelet reproduce blimp --full`; what they reach stands in results/blimp. The
calibrated blimp is ``make("blimp", **CALIBRATED)``."""


Quantity = TypeVar("Quantity", float, np.ndarray)


def thrust_curve(size: Quantity, thrust: Quantity, exponent: Quantity) -> Quantity:
    """Force of a command, N: ``10 thrust (size / 10) ** exponent``.

    Args:
        size: of the command without its sign, command units, >= 0.
        thrust: N a command unit, at full command.
        exponent: of the curve.
    """
    return COMMAND * thrust * (size / COMMAND) ** exponent  # pyright: ignore[reportReturnType]


@dataclass(frozen=True)
class Blimp(Body):
    """A helium envelope (prolate spheroid, level) over a gondola with two propellers on a servo-turned shaft.

    One degree of freedom, `height`: m of the gondola's underside, where the LiDAR sits, over the floor. The actuator
    `thrust` takes N, up positive. Commands, motors, servo and LiDAR are figures here and act in the task. Every
    quantity with a range can be drawn from it (`morphology.ranges`): that is the uncertainty of the real blimp.

    The vertical force at command c is ``10 thrust (|c| / 10) ** exponent`` in the direction of the servo.
    """

    semi_axes: tuple[float, ...] = (0.65, 0.264, 0.264)
    """half axes of the envelope, m: along, across, vertical"""
    hardware_mass: float = quantity(0.140, "kg")
    """mass of all that hangs on the envelope, kg"""
    helium_mass: float = quantity(0.034, "kg")
    """mass of the gas, kg"""
    film_mass: float | None = None
    """mass of the envelope's film, kg; None: what makes the blimp neutral"""
    air_density: float = quantity(1.204, "kg/m^3")
    """density of the air around, kg/m^3"""
    added_mass: float = quantity(0.173, "kg")
    """mass of the air that moves along vertically, kg: inertia without weight"""
    damping: float = quantity(0.020, "N s/m", 0.0, 0.04)
    """linear drag, N s/m"""
    drag: float = quantity(0.69, "1", 0.345, 1.38)
    """drag coefficient on the planform, which is pi a b"""
    thrust: float = quantity(0.017, "N", 0.0119, 0.0238)
    """upward force a command unit, at full command, N"""
    exponent: float = quantity(1.0, "1", 1.0, 1.4)
    """exponent of the thrust curve"""
    down_efficiency: float = quantity(1.0, "1", 0.6, 1.0)
    """share of the thrust that is left for pushing down, when the slipstream blows up into the envelope"""
    lag: float = quantity(0.27, "s", 0.2, 0.55)
    """time constant of the thrust, s"""
    latency: float = quantity(0.05, "s", 0.0, 0.35)
    """time from a command to the motors and the servo, s; at most 1 s"""
    sweep: float = quantity(0.5, "s", 0.2, 0.8)
    """time of the servo's half turn, at constant rate, s"""
    dead_zone: float = quantity(0.3, "command", 0.3, 0.9)
    """smaller commands leave the motors still, command units"""
    pwm: float = quantity(3.0, "counts/command")
    """whole counts of motor duty a command unit, the rest is cut off; 0: duty is continuous"""
    lidar_step: float = quantity(0.01, "m")
    """resolution of the LiDAR, m; 0: continuous"""
    lidar_noise: float = quantity(0.0, "m", 0.0, 0.005)
    """standard deviation of the LiDAR, m"""
    lidar_range: tuple[float, ...] = (0.1, 12.0)
    """lowest and highest height that the LiDAR measures, m"""
    timestep: float = 0.005
    """time step of the simulator, s"""

    def __post_init__(self) -> None:
        if len(self.semi_axes) != 3:
            raise LanceletError(f"Blimp.semi_axes = {self.semi_axes!r}: needs three lengths")
        is_pair = len(self.lidar_range) == 2
        if not (is_pair and 0 <= self.lidar_range[0] < self.lidar_range[1] < math.inf):
            raise LanceletError(f"Blimp.lidar_range = {self.lidar_range!r}: needs 0 <= low < high")
        self.positive(
            "semi_axes",
            "hardware_mass",
            "helium_mass",
            "air_density",
            "thrust",
            "exponent",
            "timestep",
            "lag",
            "sweep",
            "down_efficiency",
        )
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
        if self.latency > MOST_LATENCY:
            raise LanceletError(
                f"Blimp.latency = {self.latency!r}: must be {MOST_LATENCY:g} s or less"
            )
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
        """Mass of film and helium, kg."""
        if self.film_mass is None:
            return self.lift - self.hardware_mass
        return self.film_mass + self.helium_mass

    def force(self, command: float) -> float:
        """Upward force that a lasting command gives, dead zone and counts aside, N.

        Args:
            command: command units, up positive.
        """
        size = thrust_curve(abs(command), self.thrust, self.exponent)
        return math.copysign(size, command)

    def build(self) -> mujoco.MjSpec:
        """The spec: one slide joint with the added mass as armature, buoyancy by gravity compensation, no contact."""
        spec = mujoco.MjSpec()
        spec.option.timestep = self.timestep
        spec.option.density = self.air_density
        spec.option.viscosity = AIR_VISCOSITY
        spec.option.gravity = [0, 0, -GRAVITY]
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
        scenery.floor(spec)
        scenery.beside(spec, height=2.4, distance=6.0)
        blimp = spec.worldbody.add_body(name="blimp")
        _, highest = self.lidar_range
        blimp.add_joint(
            name="height",
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=[0, 0, 1],
            # Armature is inertia without weight, as the air that moves along is.
            armature=self.added_mass,
            damping=[self.damping, 0, 0],
            limited=1,
            range=[0, SLIDE_RANGE * highest],
        )
        self._add_gondola(blimp)
        self._add_envelope(blimp)
        spec.add_actuator(
            name="thrust",
            target="height",
            trntype=mujoco.mjtTrn.mjTRN_JOINT,
            gear=[1, 0, 0, 0, 0, 0],
        )
        return spec

    def _add_gondola(self, blimp: mujoco.MjsBody) -> None:
        """Add the gondola, which carries the mass of all hardware, and its propellers, which are only seen."""
        blimp.add_geom(
            name="gondola",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=GONDOLA_HALF_SIZES,
            pos=[0, 0, GONDOLA_HALF_SIZES[2]],
            mass=self.hardware_mass,
            rgba=scenery.EYE,
            **NO_FLUID,
        )
        for side in (-1, 1):
            blimp.add_geom(
                type=mujoco.mjtGeom.mjGEOM_CYLINDER,
                size=[PROPELLER_RADIUS, PROPELLER_HALF_WIDTH, 0],
                pos=[0, side * PROPELLER_ASIDE, PROPELLER_HEIGHT],
                mass=0,
                rgba=scenery.TARGET,
            )
            shaft_begin = [0, 0, SHAFT_HEIGHT]
            shaft_end = [0, side * PROPELLER_ASIDE, PROPELLER_HEIGHT]
            blimp.add_geom(
                type=mujoco.mjtGeom.mjGEOM_CAPSULE,
                size=[SHAFT_RADIUS, 0, 0],
                fromto=[*shaft_begin, *shaft_end],
                mass=0,
                rgba=scenery.EYE,
            )

    def _add_envelope(self, blimp: mujoco.MjsBody) -> None:
        """Add the envelope on top of the gondola, with its lift and its drag."""
        _, _, half_height = self.semi_axes
        gondola_height = 2 * GONDOLA_HALF_SIZES[2]
        # A body of its own: gravity compensation beyond its weight is the lift, and acts at the envelope's centre.
        envelope = blimp.add_body(
            name="envelope",
            pos=[0, 0, gondola_height + half_height],
            gravcomp=self.lift / self.envelope_mass,
        )
        envelope.add_geom(
            name="envelope",
            type=mujoco.mjtGeom.mjGEOM_ELLIPSOID,
            size=list(self.semi_axes),
            mass=self.envelope_mass,
            rgba=scenery.BODY,
            fluid_ellipsoid=1,
            # MuJoCo's drag leaves out the 1/2 of 1/2 rho A v^2 that a drag coefficient is defined with.
            fluid_coefs=[self.drag / 2, SLENDER_DRAG, ANGULAR_DRAG, KUTTA_LIFT, MAGNUS_LIFT],
        )

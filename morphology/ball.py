"""The point mass of Gymnasium-Robotics' PointMaze: a ball on two slides, pushed along x and y."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco

from ..errors import LanceletError
from . import scenery
from .core import Body


@dataclass(frozen=True)
class Ball(Body):
    """A ball on frictionless slides `ball_x`, `ball_y` (m), without gravity; motors `motor_x`, `motor_y`.

    The user data of the two motors are the rows of the matrix that mixes commands into motors: the identity.
    """

    radius: float = 0.1
    """m"""
    density: float = 1000.0
    """kg/m^3"""
    damping: float = 1.0
    """N s/m of each slide"""
    force: float = 100.0
    """N at full command"""
    timestep: float = 0.01
    """s, of the simulator"""

    def __post_init__(self) -> None:
        self.positive("radius", "density", "force", "timestep")
        self.not_negative("damping")
        if self.radius >= 0.5:
            raise LanceletError(
                f"Ball.radius = {self.radius!r}: must be below 0.5 m, half a maze's cell"
            )

    def build(self) -> mujoco.MjSpec:
        """The spec: one body, two degrees of freedom, contact without friction; the floor is only seen."""
        spec = mujoco.MjSpec()
        spec.option.timestep, spec.option.iterations = self.timestep, 20
        spec.option.gravity = [0, 0, 0]
        spec.nuser_actuator = 2
        scenery.floor(spec)
        spec.geom("floor").pos = [0, 0, -self.radius]
        ball = spec.worldbody.add_body(name="ball")
        ball.add_geom(
            name="ball", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[self.radius, 0, 0], density=self.density,
            margin=0.002, condim=1, rgba=scenery.BODY,
        )  # fmt: skip
        for k, axis in enumerate("xy"):
            ball.add_joint(
                name=f"ball_{axis}", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[1 - k, k, 0],
                damping=[self.damping, 0, 0],
            )  # fmt: skip
            spec.add_actuator(
                name=f"motor_{axis}", target=f"ball_{axis}", trntype=mujoco.mjtTrn.mjTRN_JOINT,
                gear=[self.force, 0, 0, 0, 0, 0], ctrllimited=1, ctrlrange=[-1, 1], userdata=[1 - k, k],
            )  # fmt: skip
        return spec

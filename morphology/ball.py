"""The point mass of Gymnasium-Robotics' PointMaze: a ball on two slides, pushed along x and y."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco

from ..errors import LanceletError
from . import scenery
from .core import Body

HALF_CELL = 0.5
"""m, half the side of a maze's cell: a ball of this radius could not pass"""
SOLVER_ITERATIONS = 20
"""iterations of the constraint solver a step: one ball against few walls needs no more"""
CONTACT_MARGIN = 0.002
"""m, distance from a wall at which a contact begins to act"""


@dataclass(frozen=True)
class Ball(Body):
    """A ball on frictionless slides `ball_x`, `ball_y` (m), without gravity; motors `motor_x`, `motor_y`.

    The user data of the two motors are the rows of the matrix that mixes commands into motors: the identity.
    """

    radius: float = 0.1
    """radius of the ball, m"""
    density: float = 1000.0
    """density of the ball, kg/m^3"""
    damping: float = 1.0
    """damping of each slide, N s/m"""
    force: float = 100.0
    """force of each motor at full command, N"""
    timestep: float = 0.01
    """time step of the simulator, s"""

    def __post_init__(self) -> None:
        self.positive("radius", "density", "force", "timestep")
        self.not_negative("damping")
        if self.radius >= HALF_CELL:
            raise LanceletError(
                f"Ball.radius = {self.radius!r}: must be below {HALF_CELL} m, half a maze's cell"
            )

    def build(self) -> mujoco.MjSpec:
        """The spec: one body, two degrees of freedom, contact without friction; the floor is only seen."""
        spec = mujoco.MjSpec()
        spec.option.timestep = self.timestep
        spec.option.iterations = SOLVER_ITERATIONS
        spec.option.gravity = [0, 0, 0]
        # As many user numbers an actuator as there are commands.
        spec.nuser_actuator = 2
        scenery.floor(spec)
        spec.geom("floor").pos = [0, 0, -self.radius]
        ball = spec.worldbody.add_body(name="ball")
        ball.add_geom(
            name="ball",
            type=mujoco.mjtGeom.mjGEOM_SPHERE,
            size=[self.radius, 0, 0],
            density=self.density,
            margin=CONTACT_MARGIN,
            # One dimension: contacts push along their normal, and have no friction.
            condim=1,
            rgba=scenery.BODY,
        )
        self._add_slide(spec, ball, "x", axis=[1, 0, 0], mixing=[1, 0])
        self._add_slide(spec, ball, "y", axis=[0, 1, 0], mixing=[0, 1])
        return spec

    def _add_slide(
        self,
        spec: mujoco.MjSpec,
        ball: mujoco.MjsBody,
        name: str,
        axis: list[int],
        mixing: list[int],
    ) -> None:
        """Add a slide and the motor that pushes along it.

        Args:
            spec: gets the motor.
            ball: gets the slide.
            name: of the axis, which the names of both end with.
            axis: (3,), of the slide.
            mixing: (2,), shares of the two commands that the motor gets.
        """
        ball.add_joint(
            name=f"ball_{name}",
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=axis,
            damping=[self.damping, 0, 0],
        )
        spec.add_actuator(
            name=f"motor_{name}",
            target=f"ball_{name}",
            trntype=mujoco.mjtTrn.mjTRN_JOINT,
            gear=[self.force, 0, 0, 0, 0, 0],
            ctrllimited=1,
            ctrlrange=[-1, 1],
            userdata=mixing,
        )

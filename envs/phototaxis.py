"""Driving to a light on two wheels after Powers, Kriegman, Bongard 2019 (arXiv 1910.07487).

See docs/systems/goodbody.md, "The rigid body".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import mujoco
import numpy as np
from gymnasium import spaces

from .. import morphology
from ..errors import LanceletError
from ..morphology import scenery
from ..morphology.braitenberg import HALF, Braitenberg
from .checks import reset_option, within
from .simulation import Simulation
from .task import Memory, Task

LIGHTS = np.array(
    [
        [4.0, 4.0],
        [4.0, -4.0],
        [-4.0, -4.0],
        [-4.0, 4.0],
    ]
)
"""m, places (x, y) of lights 1 to 4"""
HEIGHT = 0.201
"""m of the light's centre over the floor"""
RADIUS = 0.2
"""m of the light; a sensor reads as if it were never nearer to the centre"""
PICTURE_WIDTH = 11.5
"""m that the picture from above shows along x"""
PICTURE_HEIGHT = 9.8
"""m that the picture from above shows along y"""
LIGHT_COLOUR = (1.0, 0.8, 0.1, 1.0)
"""RGBA of the light"""
DISC_COLOUR = (1.0, 0.85, 0.3, 0.35)
"""RGBA of the disc around the light"""
SENSORS = ("sensor_1", "sensor_2")
"""names of the body's light sensors, in the order in which they are observed"""


@dataclass(kw_only=True)
class Phototaxis(Task):
    """Drive to one of four lights around: a deck on two wheels, whose two light sensors sit where the body has them.

    Observation (2, float32): sensors 1 and 2, 1 / distance^2 in 1/m^2; the distance is that of the sensor from the
    light's centre, at least 0.2 m, so that values lie in [0, 25]. Nothing casts shadows.

    Action (2): left and right wheel's speed in [-1, 1]; 1 is 8.14 rad/s. Motors reach it as far as their torque goes:
    from rest to full speed takes about a minute.

    Reward: ``nearer`` = decrease (m) of the least distance so far between the deck's middle and the light's centre,
    seen from above; the return is by how much the robot came nearer.

    Start: at rest at the origin, facing x; the light at (+-4, +-4) m. Control step 0.05 s, one of the simulator's. Ends
    where the deck's middle comes within 0.5 + wheel radius + 0.2 m (0.960) of the light; truncated after 2,500 steps
    (125 s). ``reset(options=)`` takes ``light`` (1 to 4, one number or (n,)).

    Metrics: ``success`` (1 where the light was reached), ``distance`` (m, the least).

    Not the paper's figures: these come from another simulator's contacts and motors; orderings between bodies can be
    compared. The deck slides on a castor without friction, where theirs has a hinge.

    Version: v0.
    """

    light: int | None = None
    """1 (4, 4), 2 (4, -4), 3 (-4, -4) or 4 (-4, 4); none: drawn at reset"""

    reset_options: ClassVar[tuple[str, ...]] = ("light",)

    def __post_init__(self) -> None:
        for body in self.bodies():
            if not isinstance(body, Braitenberg):
                raise LanceletError(f"{type(self).__name__}.body = {body!r}: needs a Braitenberg")
        if self.light is not None:
            within("light", self.light, 1, len(LIGHTS), "whole numbers")
            if self.light != int(self.light):
                raise LanceletError(
                    f"light = {self.light!r}: must be a whole number from 1 to {len(LIGHTS)}"
                )
            self.light = int(self.light)

    def default_body(self) -> morphology.Body:
        """Sensors at both front corners, as Braitenberg drew them."""
        return morphology.make("braitenberg")

    def spec(self, body: morphology.Body) -> mujoco.MjSpec:
        """The body, the light, and a disc as wide as the deck's middle may be from it."""
        spec = body.build()
        scenery.above(spec, PICTURE_WIDTH, PICTURE_HEIGHT)
        light = spec.worldbody.add_body(name="light", mocap=True)
        light.add_geom(
            name="light",
            type=mujoco.mjtGeom.mjGEOM_SPHERE,
            size=[RADIUS, 0, 0],
            rgba=LIGHT_COLOUR,
            contype=0,
            conaffinity=0,
        )
        light.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CYLINDER,
            size=[reach(body), 0.005, 0],
            pos=[0, 0, 0.006 - HEIGHT],
            rgba=DISC_COLOUR,
            contype=0,
            conaffinity=0,
        )
        return spec

    @property
    def observation_space(self) -> spaces.Space:
        """Box of two sensor values."""
        return spaces.Box(0.0, 1 / RADIUS**2, (2,), np.float32)

    @property
    def action_space(self) -> spaces.Space:
        """Box of two wheel speeds."""
        return spaces.Box(-1.0, 1.0, (2,), np.float32)

    def memory(self, n: int) -> Memory:
        """Where the light is, how near it must come, the least distance so far and before the last step, m."""
        reaches = np.array([reach(body) for body in self.bodies()])
        near = reaches[np.arange(n) % len(reaches)]
        return {
            "light": np.zeros((n, 2)),
            "near": near,
            "least": np.zeros(n),
            "before": np.zeros(n),
        }

    def reset(
        self,
        sim: Simulation,
        memory: Memory,
        ids: np.ndarray,
        rngs: Sequence[np.random.Generator],
        options: Mapping[str, Any],
    ) -> None:
        """At rest; which light shines is drawn, if it is not given."""
        number = np.zeros(sim.n, int)
        for i, rng in zip(ids, rngs, strict=True):
            if self.light is None:
                number[i] = rng.integers(len(LIGHTS)) + 1
            else:
                number[i] = self.light
        if "light" in options:
            # After the draw: the generators go on alike, whether a light is given or not.
            number = _light_numbers(options["light"], sim.n)
        memory["light"][ids] = LIGHTS[number[ids] - 1]
        sim.mocap_pos[ids, 0, :2] = memory["light"][ids]
        sim.mocap_pos[ids, 0, 2] = HEIGHT
        distance = self._distance(sim, memory)[ids]
        memory["least"][ids] = distance
        memory["before"][ids] = distance

    def advance(self, sim: Simulation, memory: Memory, action: np.ndarray) -> None:
        """Drive, and note how near that came."""
        super().advance(sim, memory, action)
        memory["before"][:] = memory["least"]
        np.minimum(memory["least"], self._distance(sim, memory), out=memory["least"])

    def _distance(self, sim: Simulation, memory: Memory) -> np.ndarray:
        """Distance (n,) of the deck's middle from the light's centre, seen from above, m."""
        vector = sim.qpos[:, :2] - memory["light"]
        return np.hypot(vector[:, 0], vector[:, 1])

    def observe(self, sim: Simulation, memory: Memory) -> np.ndarray:
        """The two sensors."""
        height = np.full((sim.n, 1), HEIGHT)
        light = np.concatenate([memory["light"], height], axis=1)
        squared_distances = [((sim.sensor(name) - light) ** 2).sum(1) for name in SENSORS]
        return 1 / np.maximum(np.stack(squared_distances, axis=1), RADIUS**2)

    def reward(
        self, sim: Simulation, memory: Memory, action: np.ndarray
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """By how much the least distance fell."""
        nearer = memory["before"] - memory["least"]
        return nearer, {"nearer": nearer}

    def terminated(self, sim: Simulation, memory: Memory) -> np.ndarray:
        """The light is reached."""
        return memory["least"] <= memory["near"]

    def metrics(self, sim: Simulation, memory: Memory) -> dict[str, np.ndarray]:
        """Success and the least distance."""
        return {
            "success": self.terminated(sim, memory).astype(float),
            "distance": memory["least"].copy(),
        }


def _light_numbers(given: Any, n: int) -> np.ndarray:
    """The reset option ``light`` as whole numbers (n,) from 1 to 4, checked."""
    numbers = reset_option("light", given, (n,), 1, len(LIGHTS))
    if (numbers != numbers.astype(int)).any():
        raise LanceletError(f"options['light'] = {given!r}: must be whole numbers")
    return numbers.astype(int)


def reach(body: Any) -> float:
    """Distance from the light's centre at which a body touches it, m."""
    return HALF + body.wheel_radius + RADIUS

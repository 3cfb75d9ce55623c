"""Creatures on the ground, as fast ahead as they can (Sims 1994; Gupta et al. 2021, arXiv 2102.02202)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import mujoco
import numpy as np
from gymnasium import spaces

from .. import morphology
from ..errors import LanceletError
from ..morphology.creature import Creature
from .checks import within
from .compat import quiet
from .simulation import Simulation
from .task import Memory, Task

LARGEST_BEND = 0.05
"""share of a hinge's range by which it is bent at the start, at most"""
LIFT = 0.01
"""m by which the settled creature is lifted at the start"""
SETTLING_TIME = 2.0
"""s for which a creature settles on the ground before its first episode"""
NUDGE = 0.4
"""rad/s, rate of roll and pitch when it begins to settle, so that nothing is left balancing"""

# Places in `qpos` and `qvel`: the free root comes first, then one number a hinge.
HEIGHT = 2
"""place of the root's height, m, in `qpos`"""
ROOT_SIZE = 7
"""numbers of the root in `qpos`: x, y, z (m) and a quaternion"""
ROLL_AND_PITCH = slice(3, 5)
"""rates of roll and pitch, rad/s, in `qvel`"""
CREATURE_BODY = 1
"""MuJoCo's number of the root segment, whose subtree is the whole creature"""


@dataclass(kw_only=True)
class Crawl(Task):
    """Move ahead over flat ground: any `Creature`, whatever its tree.

    Observation (C, float32), within (-1, 1): what the creature's own sensors tell, in their order, mirrored copies
    after the segment itself: tanh(gain x value / unit). C is 24 for the usual quadruped.

    | sensor | numbers | value | unit |
    |---|---|---|---|
    | joint | 2 a hinge | angle; its speed | the hinge's range (rad); 8 rad/s |
    | touch | 1 | force on a place | half the creature's weight (N) |
    | imu | 2 | cosine between an axis and the vertical; spin about that axis | 1; 5 rad/s |

    Action (J): angles that the servos are asked for, in [-1, 1], from one end of each hinge's range to the other;
    J = number of hinges, mirrored ones too, 9 for the usual quadruped.

    Reward: ``forward`` = speed of the centre of mass along +x over the step (m/s); ``effort`` = -`cost` x mean over
    the hinges of (torque / largest torque)^2, at the step's end.

    Start: facing +x, as the creature lies or stands 2 s after it was put on the ground with a nudge and without command
    (no fall counts as way), at rest, lifted by 1 cm, every hinge bent by up to 5 % of its range, uniform. Control step
    0.025 s = 5 x 0.005 s. Ends never; truncated after 400 steps (10 s).

    Metrics: ``distance`` of the centre of mass along +x (m), ``speed`` = distance over time (m/s), ``effort`` mean
    over steps and hinges of (torque / largest torque)^2.

    Version: v0.
    """

    cost: float = 0.05
    """m/s that full torque on every hinge costs"""

    substeps: ClassVar[int] = 5

    def __post_init__(self) -> None:
        within("cost", self.cost, 0.0, 100.0, "m/s")
        for body in self.bodies():
            if not isinstance(body, Creature):
                raise LanceletError(f"{type(self).__name__}.body = {body!r}: needs a Creature")

    def default_body(self) -> morphology.Body:
        """The usual quadruped."""
        return morphology.make("creature")

    def spec(self, body: morphology.Body) -> mujoco.MjSpec:
        """The creature on firm ground."""
        spec = body.build()
        spec.geom("floor").conaffinity = 1
        return spec

    @cached_property
    def _creatures(self) -> list[Creature]:
        """The bodies, decoded once; `__post_init__` has checked what they are."""
        return self.bodies()  # pyright: ignore[reportReturnType]

    def models(self) -> list[mujoco.MjModel]:
        """The creatures on the ground, compiled once."""
        return self._compiled

    @cached_property
    def _compiled(self) -> list[mujoco.MjModel]:
        """What `models` returns: the simulator and `_settled` both need it."""
        return super().models()

    @cached_property
    def _settled(self) -> np.ndarray:
        """Where each creature comes to rest, (bodies, nq)."""
        return np.array([_settle(model) for model in self._compiled])

    @cached_property
    def _columns(self) -> np.ndarray:
        """Where in the sensor data each number of the observation stands, (C,)."""
        columns = []
        first = 0
        for channel in self._creatures[0].channels:
            columns.append(first + channel.component)
            first += channel.width
        return np.array(columns)

    @property
    def observation_space(self) -> spaces.Space:
        """Box of as many numbers as the sensors tell."""
        return spaces.Box(-1.0, 1.0, (len(self._columns),), np.float32)

    @property
    def action_space(self) -> spaces.Space:
        """Box of one number a hinge."""
        return spaces.Box(-1.0, 1.0, (len(self._creatures[0].joints),), np.float32)

    def memory(self, n: int) -> Memory:
        """Steps, first and last place of the centre of mass, effort; where it settled, sensors' scales, torques."""
        body_of_simulation = np.arange(n) % len(self._creatures)
        bodies = [self._creatures[i] for i in body_of_simulation]
        scales = [_sensor_scales(body) for body in bodies]
        return {
            "steps": np.zeros(n, np.int64),
            "origin": np.zeros(n),
            "before": np.zeros(n),
            "effort": np.zeros(n),
            "settled": self._settled[body_of_simulation],
            "scale": np.array(scales),
            "torque": np.array([body.torques for body in bodies]),
        }

    def reset(
        self,
        sim: Simulation,
        memory: Memory,
        ids: np.ndarray,
        rngs: Sequence[np.random.Generator],
        options: Mapping[str, Any],
    ) -> None:
        """Put the creatures where they settled, every hinge bent by a draw from each simulation's generator."""
        # The root's joint comes first, and has no range; those of hinges are symmetric.
        ranges = sim.field("jnt_range").values[:, 1:, 1]
        hinges = ranges.shape[1]
        for i, rng in zip(ids, rngs, strict=True):
            settled = memory["settled"][i]
            bend = rng.uniform(-LARGEST_BEND, LARGEST_BEND, hinges) * ranges[i]
            angles = settled[ROOT_SIZE:] + bend
            sim.qpos[i, :ROOT_SIZE] = settled[:ROOT_SIZE]
            sim.qpos[i, ROOT_SIZE:] = np.clip(angles, -ranges[i], ranges[i])

    def advance(self, sim: Simulation, memory: Memory, action: np.ndarray) -> None:
        """Five substeps towards the angles asked for."""
        before = _ahead(sim)
        memory["origin"][:] = np.where(memory["steps"] == 0, before, memory["origin"])
        memory["before"][:] = before
        super().advance(sim, memory, action)
        memory["steps"] += 1
        memory["effort"] += self._effort(sim, memory)

    def _effort(self, sim: Simulation, memory: Memory) -> np.ndarray:
        """Mean over the hinges of (torque / largest torque)^2 at present, (n,)."""
        return ((sim.actuator_force / memory["torque"]) ** 2).mean(1)

    def observe(self, sim: Simulation, memory: Memory) -> np.ndarray:
        """The table of the class."""
        return np.tanh(sim.sensordata[:, self._columns] * memory["scale"])

    def reward(
        self, sim: Simulation, memory: Memory, action: np.ndarray
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Speed, less the effort."""
        forward = (_ahead(sim) - memory["before"]) / self.control_dt(sim)
        effort = -self.cost * self._effort(sim, memory)
        return forward + effort, {"forward": forward, "effort": effort}

    def metrics(self, sim: Simulation, memory: Memory) -> dict[str, np.ndarray]:
        """Of the episode so far."""
        steps = np.maximum(memory["steps"], 1)
        # Before the first step no origin has been noted.
        distance = np.where(memory["steps"] > 0, _ahead(sim) - memory["origin"], 0.0)
        speed = distance / (steps * self.control_dt(sim))
        return {"distance": distance, "speed": speed, "effort": memory["effort"] / steps}


def _ahead(sim: Simulation) -> np.ndarray:
    """Place of every creature's centre of mass along x, m (n,): a live view."""
    return sim.subtree_com[:, CREATURE_BODY, 0]


def _sensor_scales(body: Creature) -> list[float]:
    """Factor of every number of the observation, before the hyperbolic tangent."""
    return [channel.scale for channel in body.channels]


def _settle(model: mujoco.MjModel) -> np.ndarray:
    """Where a creature comes to rest, (nq,): over the origin, lifted."""
    data = mujoco.MjData(model)
    data.qvel[ROLL_AND_PITCH] = NUDGE
    with quiet:
        mujoco.mj_step(model, data, round(SETTLING_TIME / model.opt.timestep))
    settled = data.qpos.copy()
    settled[:HEIGHT] = 0.0
    settled[HEIGHT] += LIFT
    return settled

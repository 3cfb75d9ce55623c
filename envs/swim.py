"""Swimming forward and to a target of the planar swimmer.

The swimmer and the second task are those of the dm_control suite; the first is that of Bhattasali et al. 2022
(arXiv 2201.05242): docs/systems/ncap.md, "The tasks".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import mujoco
import numpy as np
from gymnasium import spaces

from .. import morphology
from ..checks import finite_number
from ..errors import LanceletError
from ..morphology import scenery
from .checks import finite_reset_option
from .simulation import Simulation
from .task import Memory, Task

# Speed and horizon are those of the paper's code; targets, the reward's tail and the density are dm_control's.
HORIZON = 1000
"""control steps over which the time feature runs from -1 to 1, however long the episode is"""
SPEED = 0.1
"""m/s of the head at which the reward of `Swim` is full"""
TARGET_RADIUS = 0.1
"""m from the target within which the reward of `SwimNavigate` is full"""
TAIL_RADII = 5
"""the reward of `SwimNavigate` has fallen to a tenth so many radii beyond the target's radius"""
TAIL_SCALE = 3.0
"""steepness of dm_control's long-tailed `tolerance` with a value of 0.1 at the margin: sqrt(1 / 0.1 - 1)"""
NEAR_PROBABILITY = 0.2
"""share of episodes whose target lies near the start"""
NEAR_TARGETS = 0.3
"""m in both axes from the origin within which a near target lies"""
FAR_TARGETS = 2.0
"""m in both axes from the origin within which any other target lies"""
TARGET_HEIGHT = 0.05
"""m of the target's centre above the plane, to be seen"""

HEADING = 2
"""place of the head's heading, rad, in `qpos`; x and y stand before it"""
FIRST_JOINT = 3
"""place of the first joint's angle, rad, in `qpos`"""
SENSORS_PER_LINK = 6
"""numbers that the sensors of one link tell: linear velocity x, y, z (m/s), then angular velocity x, y, z (rad/s)"""
VELOCITY_X_Y = slice(0, 2)
"""of these: velocity in the plane"""
TURN_RATE = 5
"""of these: rate of turn about the vertical axis"""
HEAD_VELOCITY_Y = 1
"""place in `sensordata` of the head's velocity along its own y axis, m/s; the nose points to -y"""
SWIMMER_BODY = 1
"""MuJoCo's number of the head, whose subtree is the whole swimmer"""


@runtime_checkable
class Jointed(Protocol):
    """A body that these tasks take: a chain like `morphology.swimmer.Swimmer`.

    Only `joints` is checked. Also needed: `qpos` holds x, y, heading and then the joints, head first; the velocity and
    gyro sensors of every link stand first in `sensordata`, head first; the head is body 1; and `SwimNavigate` asks for
    a site ``nose``.
    """

    joints: int
    """number of actuated joints"""


@dataclass(kw_only=True)
class Swim(Task):
    """Swim forward: the planar N-joint swimmer in a dense medium.

    Observation (4N + 3, float32), N = joints:

    | index | value | unit |
    |---|---|---|
    | 0 .. N-1 | joint angles, head first | rad |
    | N .. 4N+2 | for each of N + 1 links, head first: v_x, v_y, w_z in the link's frame, at its centre | m/s, rad/s |
    | 4N+3 | with ``clock=True``: time feature -1 + 2 t / 1000, t in control steps | - |

    Action (N): motor commands in [-1, 1]; 1 is 5e-4 N m of the standard body.

    Reward: ``forward`` = clip(v_f / 0.1, 0, 1), v_f = -v_y of the head in its own frame (the nose points to -y).

    Start: at rest at the origin, heading uniform in (-pi, pi), every joint uniform within its limits. Control step
    0.03 s = 15 x 0.002 s of the standard body. Ends never; truncated after 1,000 steps (30 s), a limit that is set where
    the id is registered.

    Metrics: ``speed`` mean v_f (m/s), ``com_speed`` straight-line displacement of the centre of mass over time (m/s).

    Version: v0.
    """

    joints: int = 5
    """actuated joints of the standard body; ignored where body= is given"""
    clock: bool = False
    """append the time feature to the observation"""
    density: float = 3000.0
    """kg/m^3 of the medium"""
    viscosity: float = 0.0
    """Pa s of the medium"""

    substeps: ClassVar[int] = 15

    def __post_init__(self) -> None:
        for name in ("density", "viscosity"):
            finite_number(f"{type(self).__name__}.{name}", getattr(self, name), least=0)
        for body in self.bodies():
            if not isinstance(body, Jointed):
                raise LanceletError(
                    f"{type(self).__name__}.body = {body!r}: needs a body with joints, like Swimmer"
                )
            # All bodies of one environment have one layout: the number of any is that of all.
            self.joints = body.joints

    def default_body(self) -> morphology.Body:
        """The standard swimmer of `joints` joints."""
        return morphology.make("swimmer", joints=self.joints)

    def spec(self, body: morphology.Body) -> mujoco.MjSpec:
        """The body in the medium."""
        spec = body.build()
        spec.option.density = self.density
        spec.option.viscosity = self.viscosity
        return spec

    @property
    def observation_space(self) -> spaces.Space:
        """Box of 4N + 3 numbers, one more with the clock."""
        return spaces.Box(-np.inf, np.inf, (self._size,), np.float32)

    @property
    def _size(self) -> int:
        """Length of an observation: the joints, three numbers of each of the joints + 1 links, and the clock."""
        return self.joints + 3 * (self.joints + 1) + self.clock

    @property
    def action_space(self) -> spaces.Space:
        """Box of N motor commands."""
        return spaces.Box(-1.0, 1.0, (self.joints,), np.float32)

    def memory(self, n: int) -> Memory:
        """Control steps so far, sum over them of the head's forward speed, start of the centre of mass."""
        return {"steps": np.zeros(n, np.int64), "forward": np.zeros(n), "origin": np.zeros((n, 2))}

    def reset(
        self,
        sim: Simulation,
        memory: Memory,
        ids: np.ndarray,
        rngs: Sequence[np.random.Generator],
        options: Mapping[str, Any],
    ) -> None:
        """Draw the heading, then the joints, from each simulation's generator.

        The core has put simulations and memory at their initial values: at rest, at the origin, no step yet.
        """
        # Read once: with several bodies each `field(...)` copies the values of all simulations together.
        limits = sim.field("jnt_range").values
        lower = limits[:, FIRST_JOINT:, 0]
        upper = limits[:, FIRST_JOINT:, 1]
        for i, rng in zip(ids, rngs, strict=True):
            sim.qpos[i, HEADING] = rng.uniform(-np.pi, np.pi)
            sim.qpos[i, FIRST_JOINT:] = rng.uniform(lower[i], upper[i])

    def advance(self, sim: Simulation, memory: Memory, action: np.ndarray) -> None:
        """Fifteen substeps under constant motor commands."""
        # Not in `reset`: a start state that the caller gives replaces the drawn one only after it. The condition asks
        # cheaply whether any simulation is at its first step.
        if np.count_nonzero(memory["steps"]) < sim.n:
            at_start = memory["steps"] == 0
            memory["origin"][at_start] = sim.subtree_com[at_start, SWIMMER_BODY, :2]
        super().advance(sim, memory, action)
        memory["steps"] += 1
        memory["forward"] -= sim.sensordata[:, HEAD_VELOCITY_Y]

    def observe(self, sim: Simulation, memory: Memory) -> np.ndarray:
        """Joint angles and velocities of the links, in the order of the class's table."""
        links = self.joints + 1
        observation = np.empty((sim.n, self._size), np.float32)
        observation[:, : self.joints] = sim.qpos[:, FIRST_JOINT:]

        # The links' velocities stand last, before the clock: `SwimNavigate` puts its target between joints and links.
        end = self._size - self.clock
        velocities = observation[:, end - 3 * links : end].reshape(-1, links, 3)
        sensors = sim.sensordata[:, : SENSORS_PER_LINK * links]
        sensors = sensors.reshape(-1, links, SENSORS_PER_LINK)
        velocities[:, :, :2] = sensors[:, :, VELOCITY_X_Y]
        velocities[:, :, 2] = sensors[:, :, TURN_RATE]
        if self.clock:
            observation[:, -1] = 2.0 * memory["steps"] / HORIZON - 1.0
        return observation

    def reward(
        self, sim: Simulation, memory: Memory, action: np.ndarray
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Forward speed of the head as a part of `SPEED`, clipped to 0 .. 1."""
        part_of_full_speed = sim.sensordata[:, HEAD_VELOCITY_Y] / -SPEED
        # Not `np.clip`, which is slower on small arrays.
        reward = np.minimum(np.maximum(part_of_full_speed, 0.0), 1.0)
        return reward, {"forward": reward}

    def metrics(self, sim: Simulation, memory: Memory) -> dict[str, np.ndarray]:
        """Mean speeds of the episode so far."""
        steps = np.maximum(memory["steps"], 1)
        centre_of_mass = sim.subtree_com[:, SWIMMER_BODY, :2]
        displacement = centre_of_mass - memory["origin"]
        moved = np.hypot(displacement[:, 0], displacement[:, 1])
        return {
            "speed": memory["forward"] / steps,
            "com_speed": moved / (steps * self.control_dt(sim)),
        }


@dataclass(kw_only=True)
class SwimNavigate(Swim):
    """Bring the nose to a target: `Swim` with the dm_control suite's goal.

    Observation: as `Swim`, with the vector from nose to target (m, in the head's frame: + first = left,
    - second = ahead) put in after the joints: 4N + 5 numbers, one more with ``clock=True``. Action: as `Swim`.

    Reward: ``near`` = 1 within 0.1 m of the target, falling off with a long tail to 0.1 at 0.6 m.

    Start: as `Swim`; the target uniform within +-0.3 m in both axes with probability 0.2, else within +-2 m;
    ``reset(options={"target": (2,) or (n, 2)})`` sets it.

    Metrics: those of `Swim`, ``closest`` (m, least distance so far) and ``success`` (1 where that is at most 0.1 m).

    Version: v0.
    """

    reset_options: ClassVar[tuple[str, ...]] = ("target",)
    radius: ClassVar[float] = TARGET_RADIUS
    """m from the target within which it is reached"""

    def spec(self, body: morphology.Body) -> mujoco.MjSpec:
        """The body in the medium, sensors of where its nose points, and the target to be seen."""
        spec = super().spec(body)
        nose_sensors = {
            "nose": mujoco.mjtSensor.mjSENS_FRAMEPOS,
            "head_x": mujoco.mjtSensor.mjSENS_FRAMEXAXIS,
            "head_y": mujoco.mjtSensor.mjSENS_FRAMEYAXIS,
        }
        for name, kind in nose_sensors.items():
            spec.add_sensor(name=name, type=kind, objtype=mujoco.mjtObj.mjOBJ_SITE, objname="nose")
        target = spec.worldbody.add_body(name="target", mocap=True)
        target.add_geom(
            type=mujoco.mjtGeom.mjGEOM_SPHERE,
            size=[self.radius, 0, 0],
            rgba=scenery.TARGET,
            contype=0,
            conaffinity=0,
        )
        return spec

    @property
    def _size(self) -> int:
        """Length of an observation: that of `Swim` and two numbers of the target."""
        return super()._size + 2

    def memory(self, n: int) -> Memory:
        """That of `Swim`, and the least distance so far."""
        return super().memory(n) | {"closest": np.full(n, np.inf)}

    def reset(
        self,
        sim: Simulation,
        memory: Memory,
        ids: np.ndarray,
        rngs: Sequence[np.random.Generator],
        options: Mapping[str, Any],
    ) -> None:
        """Heading, joints, then the target, in the suite's order."""
        super().reset(sim, memory, ids, rngs, options)
        for i, rng in zip(ids, rngs, strict=True):
            is_near = rng.random() < NEAR_PROBABILITY
            reach = NEAR_TARGETS if is_near else FAR_TARGETS
            x, y = rng.uniform(-reach, reach, 2)
            sim.mocap_pos[i, 0] = [x, y, TARGET_HEIGHT]
        if "target" in options:
            # After the draw: the generators go on alike, whether a target is given or not.
            targets = finite_reset_option("target", options["target"], (sim.n, 2))
            sim.mocap_pos[ids, 0, :2] = targets[ids]

    def advance(self, sim: Simulation, memory: Memory, action: np.ndarray) -> None:
        """Advance as `Swim` does, and note the least distance."""
        super().advance(sim, memory, action)
        np.minimum(memory["closest"], self._distance(sim), out=memory["closest"])

    def observe(self, sim: Simulation, memory: Memory) -> np.ndarray:
        """That of `Swim`, with the vector to the target behind the joints."""
        observation = super().observe(sim, memory)
        observation[:, self.joints : self.joints + 2] = self._to_target(sim)
        return observation

    def reward(
        self, sim: Simulation, memory: Memory, action: np.ndarray
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Long-tailed fall-off with the distance beyond the target's radius."""
        beyond = np.maximum(self._distance(sim) - self.radius, 0.0)
        beyond /= TAIL_RADII * self.radius
        reward = 1.0 / ((TAIL_SCALE * beyond) ** 2 + 1.0)
        return reward, {"near": reward}

    def metrics(self, sim: Simulation, memory: Memory) -> dict[str, np.ndarray]:
        """Those of `Swim`, and whether the target was reached."""
        reached = (memory["closest"] <= self.radius).astype(float)
        return super().metrics(sim, memory) | {
            "closest": memory["closest"].copy(),
            "success": reached,
        }

    def _to_target(self, sim: Simulation) -> np.ndarray:
        """Vector (n, 2) from nose to target in the head's frame, m."""
        vector = sim.mocap_pos[:, 0] - sim.sensor("nose")
        left = (sim.sensor("head_x") * vector).sum(1)
        behind = (sim.sensor("head_y") * vector).sum(1)
        return np.stack([left, behind], axis=1)

    def _distance(self, sim: Simulation) -> np.ndarray:
        """Distance (n,) from nose to target, seen from above, m."""
        vector = sim.mocap_pos[:, 0, :2] - sim.sensor("nose")[:, :2]
        return np.hypot(vector[:, 0], vector[:, 1])

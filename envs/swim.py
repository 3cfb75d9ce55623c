"""Swimming forward and to a target (Bhattasali et al. 2022, arXiv 2201.05242; dm_control suite; spec ncap 1, 2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import mujoco
import numpy as np
from gymnasium import spaces

from .. import morphology
from ..errors import LanceletError
from ..morphology import scenery
from .task import Memory, Task

HORIZON = 1000
"""control steps over which the time feature runs from -1 to 1"""
SPEED = 0.1
"""m/s of the head at which the reward of `Swim` is full"""


@dataclass(kw_only=True)
class Swim(Task):
    """Swim forward: the planar N-joint swimmer in a dense medium.

    Observation (4N + 3, float32), N = joints:

    | index | value | unit |
    |---|---|---|
    | 0 .. N-1 | joint angles, head first | rad |
    | N .. 4N+2 | for each of N + 1 links, head first: v_x, v_y, w_z in the link's frame, at its centre | m/s, rad/s |
    | 4N+3 | with ``clock=True``: time feature -1 + 2 t / 1000, t in control steps | - |

    Action (N): motor commands in [-1, 1]; 1 is 5e-4 N m.

    Reward: ``forward`` = clip(v_f / 0.1, 0, 1), v_f = -v_y of the head in its own frame (the nose points to -y).

    Start: at rest at the origin, heading uniform in (-pi, pi), every joint uniform within its limits. Control step
    0.03 s = 15 x 0.002 s. Ends never; truncated after 1,000 steps (30 s).

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
            value = getattr(self, name)
            if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
                raise LanceletError(
                    f"{type(self).__name__}.{name} = {value!r}: must be finite and >= 0"
                )
        bodies = self.bodies()
        for body in bodies:
            if not hasattr(body, "joints"):
                raise LanceletError(
                    f"{type(self).__name__}.body = {body!r}: needs a body with joints, like Swimmer"
                )
        self.joints = bodies[0].joints  # pyright: ignore[reportAttributeAccessIssue]

    def default_body(self) -> morphology.Body:
        """The standard swimmer of `joints` joints."""
        return morphology.make("swimmer", joints=self.joints)

    def spec(self, body: morphology.Body) -> mujoco.MjSpec:
        """The body in the medium."""
        spec = body.build()
        spec.option.density, spec.option.viscosity = self.density, self.viscosity
        return spec

    @property
    def observation_space(self) -> spaces.Space:
        """Box of 4N + 3 numbers, one more with the clock."""
        return spaces.Box(-np.inf, np.inf, (self._size,), np.float32)

    @property
    def _size(self) -> int:
        return 4 * self.joints + 3 + self.clock

    @property
    def action_space(self) -> spaces.Space:
        """Box of N motor commands."""
        return spaces.Box(-1.0, 1.0, (self.joints,), np.float32)

    def memory(self, n: int) -> Memory:
        """Control steps so far, sum over them of the head's forward speed, start of the centre of mass."""
        return {"steps": np.zeros(n, np.int64), "forward": np.zeros(n), "origin": np.zeros((n, 2))}

    def reset(
        self,
        sim: Any,
        memory: Memory,
        ids: np.ndarray,
        rngs: Sequence[np.random.Generator],
        options: Mapping[str, Any],
    ) -> None:
        """Heading, then joints, from each simulation's generator."""
        limits = sim.field(
            "jnt_range"
        ).values  # once: with many bodies every look at a field gathers it
        for i, rng in zip(ids, rngs, strict=True):
            sim.qpos[i, 2] = rng.uniform(-np.pi, np.pi)
            sim.qpos[i, 3:] = rng.uniform(limits[i, 3:, 0], limits[i, 3:, 1])

    def advance(self, sim: Any, memory: Memory, action: np.ndarray) -> None:
        """Fifteen substeps under constant motor commands."""
        if np.count_nonzero(memory["steps"]) < sim.n:
            first = memory["steps"] == 0
            memory["origin"][first] = sim.subtree_com[first, 1, :2]
        super().advance(sim, memory, action)
        memory["steps"] += 1
        memory["forward"] -= sim.sensordata[:, 1]

    def observe(self, sim: Any, memory: Memory) -> np.ndarray:
        """The table of the class."""
        n, links = self.joints, self.joints + 1
        seen = np.empty((sim.n, self._size), np.float32)
        seen[:, :n] = sim.qpos[:, 3:]
        end = self._size - self.clock
        sensors = sim.sensordata[:, : 6 * links].reshape(-1, links, 6)
        velocities = seen[:, end - 3 * links : end].reshape(-1, links, 3)
        velocities[:, :, :2], velocities[:, :, 2] = sensors[:, :, :2], sensors[:, :, 5]
        if self.clock:
            seen[:, -1] = 2.0 * memory["steps"] / HORIZON - 1.0
        return seen

    def reward(
        self, sim: Any, memory: Memory, action: np.ndarray
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Forward speed of the head, ramped."""
        reward = np.minimum(np.maximum(sim.sensordata[:, 1] / -SPEED, 0.0), 1.0)
        return reward, {"forward": reward}

    def metrics(self, sim: Any, memory: Memory) -> dict[str, np.ndarray]:
        """Mean speeds of the episode so far."""
        steps = np.maximum(memory["steps"], 1)
        com, origin = sim.subtree_com, memory["origin"]
        moved = np.hypot(com[:, 1, 0] - origin[:, 0], com[:, 1, 1] - origin[:, 1])
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
    radius: ClassVar[float] = 0.1

    def spec(self, body: morphology.Body) -> mujoco.MjSpec:
        """The body in the medium, sensors of where its nose points, and the target to be seen."""
        spec = super().spec(body)
        for name, kind in (
            ("nose", mujoco.mjtSensor.mjSENS_FRAMEPOS),
            ("head_x", mujoco.mjtSensor.mjSENS_FRAMEXAXIS),
            ("head_y", mujoco.mjtSensor.mjSENS_FRAMEYAXIS),
        ):
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
        return 4 * self.joints + 5 + self.clock

    def memory(self, n: int) -> Memory:
        """That of `Swim`, and the least distance so far."""
        return super().memory(n) | {"closest": np.full(n, np.inf)}

    def reset(
        self,
        sim: Any,
        memory: Memory,
        ids: np.ndarray,
        rngs: Sequence[np.random.Generator],
        options: Mapping[str, Any],
    ) -> None:
        """Heading, joints, then the target, in the suite's order."""
        super().reset(sim, memory, ids, rngs, options)
        for i, rng in zip(ids, rngs, strict=True):
            box = 0.3 if rng.random() < 0.2 else 2.0
            sim.mocap_pos[i, 0] = [*rng.uniform(-box, box, 2), 0.05]
        if "target" in options:
            try:
                targets = np.broadcast_to(np.asarray(options["target"], float), (sim.n, 2))
            except ValueError as error:
                shape = np.shape(options["target"])
                raise LanceletError(
                    f"options['target'] has shape {shape}: must be (2,) or ({sim.n}, 2)"
                ) from error
            if not np.isfinite(targets).all():
                raise LanceletError("options['target'] holds a number that is not finite")
            sim.mocap_pos[ids, 0, :2] = targets[ids]

    def advance(self, sim: Any, memory: Memory, action: np.ndarray) -> None:
        """As `Swim`; the least distance is kept."""
        super().advance(sim, memory, action)
        np.minimum(memory["closest"], self._distance(sim), out=memory["closest"])

    def observe(self, sim: Any, memory: Memory) -> np.ndarray:
        """The table of the class."""
        seen = super().observe(sim, memory)
        seen[:, self.joints : self.joints + 2] = self._to_target(sim)
        return seen

    def reward(
        self, sim: Any, memory: Memory, action: np.ndarray
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Long-tailed fall-off with the distance beyond the target's radius."""
        beyond = np.maximum(self._distance(sim) - self.radius, 0.0) / (5 * self.radius)
        reward = 1.0 / ((3.0 * beyond) ** 2 + 1.0)
        return reward, {"near": reward}

    def metrics(self, sim: Any, memory: Memory) -> dict[str, np.ndarray]:
        """Those of `Swim`, and whether the target was reached."""
        reached = (memory["closest"] <= self.radius).astype(float)
        return super().metrics(sim, memory) | {
            "closest": memory["closest"].copy(),
            "success": reached,
        }

    def _to_target(self, sim: Any) -> np.ndarray:
        vector = sim.mocap_pos[:, 0] - sim.sensor("nose")
        return np.stack(
            [(sim.sensor("head_x") * vector).sum(1), (sim.sensor("head_y") * vector).sum(1)], axis=1
        )

    def _distance(self, sim: Any) -> np.ndarray:
        vector = sim.mocap_pos[:, 0, :2] - sim.sensor("nose")[:, :2]
        return np.hypot(vector[:, 0], vector[:, 1])

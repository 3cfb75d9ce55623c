"""Altitude control of an indoor blimp (Burgers, Stroobants, de Croon 2023, arXiv 2309.12937; spec blimp_snn 2)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import mujoco
import numpy as np
from gymnasium import spaces

from .. import morphology
from ..errors import LanceletError, unknown
from ..morphology import scenery
from ..morphology.blimp import COMMAND, Blimp, thrust_curve
from . import steps
from .checks import reset_option, within
from .task import Memory, Task
from .thruster import forces

START, PERIOD = 1.0, 0.1
"""m, height of the start; s, control step"""
BALLAST, INTEGRAL = 4.0, 10.0
"""command units, largest ballast that is drawn; m s, clamp of the integral in the rl track"""
HISTORY, NOISE = 12, 2048
"""commands kept, for a latency of at most 1 s; LiDAR errors drawn at reset, then used again from the first"""
PLANT = ("thrust", "exponent", "down_efficiency", "lag", "latency", "sweep", "dead_zone", "pwm", "damping", "drag",
         "lidar_step", "lidar_noise")  # fmt: skip
"""quantities of the blimp that the task keeps for every simulation"""


@dataclass(kw_only=True)
class BlimpAltitude(Task):
    """Hold a reference height with two propellers on one servo-turned shaft.

    Observation, float32; e = reference - h, where h is the height that the LiDAR tells (whole cm):

    | track | index | value | unit |
    |---|---|---|---|
    | snn | 0 | e | m |
    | rl | 0 | h | m |
    | rl | 1 | climb rate: last difference of h | m/s |
    | rl | 2 | e | m |
    | rl | 3 | integral of e, kept within +-10 | m s |

    Action (1): command in [-10, 10] command units, up positive (volts = 0.33 x command). Every command passes the
    same firmware, latency, servo and thrust lag: `thruster.forces`.

    Reward: ``error`` = -|e|.

    Start: at rest at 1.0 m, ballast hung on, motors still, servo up. Control step 0.1 s = 20 x 0.005 s. Ends never;
    truncated after 700 steps (70 s). ``reset(options=)`` takes ``reference`` and ``ballast``, one number or (n,).

    Metrics (from e): ``steady_state_error`` (m, mean |e| of the last 10 s), ``overshoot`` (m), ``rise_time`` (s),
    ``oscillation`` (m): `steps.figures`.

    Version: v0.
    """

    reference: float | str | tuple[tuple[float, float], ...] | None = None
    """m; or a profile of (time s, height m) from time 0 on; or "recording": the profile of the recording flights,
    drawn at reset; none: one height from 0.4 to 1.8 m, drawn at reset"""
    ballast: float | None = 0.0
    """command units that hovering takes, > 0 heavy; none: drawn from -4 to 4 at reset"""
    track: Literal["snn", "rl"] = "snn"
    """what is observed"""
    randomise: bool = False
    """draw every quantity of the blimp that has a range from it, at reset"""
    gaps: bool = False
    """hold the command for 0.3 s every 4 s, as the radio of the real loop does"""

    substeps: ClassVar[int] = 20
    reset_options: ClassVar[tuple[str, ...]] = ("reference", "ballast")

    def __post_init__(self) -> None:
        for body in self.bodies():
            if not isinstance(body, Blimp):
                raise LanceletError(f"{type(self).__name__}.body = {body!r}: needs a Blimp")
            if abs(PERIOD / body.timestep - round(PERIOD / body.timestep)) > 1e-6:
                raise LanceletError(
                    f"Blimp.timestep = {body.timestep}: must go into the control step of {PERIOD} s"
                )
        if self.track not in ("snn", "rl"):
            raise unknown("track", self.track, ("snn", "rl"))
        if self.ballast is not None:
            within("ballast", self.ballast, -COMMAND, COMMAND, "command units")
        if isinstance(self.reference, list | tuple):
            self.reference = _profile(self.reference, *self._seen)
        elif isinstance(self.reference, str):
            if self.reference != "recording":
                raise LanceletError(
                    f"reference = {self.reference!r}: must be metres, a profile or 'recording'"
                )
        elif self.reference is not None:
            within("reference", self.reference, *self._seen, "m, the LiDAR's range")

    @property
    def _seen(self) -> tuple[float, float]:
        """Lowest and highest height that every LiDAR of the bodies tells apart."""
        ranges = [body.lidar_range for body in self.bodies()]  # pyright: ignore[reportAttributeAccessIssue]
        return max(low for low, _ in ranges), min(high for _, high in ranges)

    def default_body(self) -> morphology.Body:
        """The nominal blimp."""
        return morphology.make("blimp")

    def spec(self, body: morphology.Body) -> mujoco.MjSpec:
        """The blimp and a marker at the reference height."""
        spec = body.build()
        marker = spec.worldbody.add_body(name="reference", mocap=True)
        marker.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[1.2, 0.004, 0.006],
            rgba=scenery.TARGET,
            contype=0,
            conaffinity=0,
        )
        return spec

    @property
    def observation_space(self) -> spaces.Space:
        """Box of 1 (snn) or 4 (rl) numbers."""
        top = self._seen[1]
        high = [top] if self.track == "snn" else [top, top / PERIOD, top, INTEGRAL]
        low = [-top] if self.track == "snn" else [0.0, *(-bound for bound in high[1:])]
        return spaces.Box(np.array(low, np.float32), np.array(high, np.float32), dtype=np.float32)

    @property
    def action_space(self) -> spaces.Space:
        """Box of one command."""
        return spaces.Box(-COMMAND, COMMAND, (1,), np.float32)

    def control_dt(self, sim: Any) -> float:
        """0.1 s."""
        return PERIOD

    def memory(self, n: int) -> Memory:
        """Commands and motors, plant, reference, LiDAR errors, and what `steps` measures; ``reference`` in m."""
        bodies = self.bodies()
        chosen = [bodies[i % len(bodies)] for i in range(n)]
        noisy = self.randomise or any(body.lidar_noise for body in chosen)  # pyright: ignore[reportAttributeAccessIssue]
        rows = steps.COUNT if self.reference == "recording" else len(self._levels())
        return {
            "commands": np.zeros((n, HISTORY)),
            "servo": np.zeros(n),
            "thrust": np.zeros(n),
            "plant": np.array([[getattr(body, name) for name in PLANT] for body in chosen]),
            "lidar": np.array([body.lidar_range for body in chosen]),  # pyright: ignore[reportAttributeAccessIssue]
            "ballast": np.zeros(n),
            "step": np.zeros(n, np.int64),
            "times": np.zeros((n, rows)),
            "levels": np.zeros((n, rows)),
            "reference": np.zeros(n),
            "before": np.zeros(n),
            "integral": np.zeros(n),
            "noise": np.zeros((n, NOISE if noisy else 1)),
            **steps.memory(n, PERIOD),
        }

    def _levels(self) -> Sequence[tuple[float, float]]:
        return self.reference if isinstance(self.reference, tuple) else [(0.0, 0.0)]

    def reset(
        self,
        sim: Any,
        memory: Memory,
        ids: np.ndarray,
        rngs: Sequence[np.random.Generator],
        options: Mapping[str, Any],
    ) -> None:
        """At rest at 1 m; what is drawn comes in the order reference, ballast, plant, LiDAR errors."""
        sim.qpos[ids, 0] = START
        for i, rng in zip(ids, rngs, strict=True):
            if self.reference == "recording":
                memory["times"][i], memory["levels"][i] = steps.recording(rng)
            elif self.reference is None:
                memory["levels"][i] = rng.uniform(*steps.LEVELS)
            if self.ballast is None:
                memory["ballast"][i] = rng.uniform(-BALLAST, BALLAST)
            if self.randomise:
                self._draw(memory, i, rng)
            if memory["noise"].shape[1] > 1:
                memory["noise"][i] = rng.normal(size=NOISE)
        if self.randomise:
            self._tell(sim, memory, ids)
        if isinstance(self.reference, int | float):
            memory["levels"][ids] = self.reference
        elif isinstance(self.reference, tuple):
            memory["times"][ids], memory["levels"][ids] = np.array(self.reference).T
        if self.ballast is not None:
            memory["ballast"][ids] = self.ballast
        if "reference" in options:
            given = reset_option("reference", options["reference"], (sim.n,), *self._seen)
            memory["times"][ids], memory["levels"][ids] = 0.0, given[ids, None]
        if "ballast" in options:
            memory["ballast"][ids] = reset_option(
                "ballast", options["ballast"], (sim.n,), -COMMAND, COMMAND
            )[ids]
        memory["reference"][ids] = memory["levels"][ids, 0]
        plant, ballast = self._plant(memory), memory["ballast"]
        weight = thrust_curve(np.abs(ballast), plant["thrust"], plant["exponent"])
        up = np.where(
            ballast < 0, plant["down_efficiency"], 1.0
        )  # so that the command `ballast` hovers either way
        sim.qfrc_applied[ids, 0] = -(np.sign(ballast) * weight * up)[ids]
        sim.mocap_pos[ids, 0] = np.stack(
            [0 * ids, -0.3 + 0 * ids, memory["reference"][ids]], axis=1
        )

    def _draw(self, memory: Memory, i: int, rng: np.random.Generator) -> None:
        bounds = morphology.ranges(Blimp)
        for column, name in enumerate(PLANT):
            if name in bounds:
                memory["plant"][i, column] = rng.uniform(*bounds[name])

    def _tell(self, sim: Any, memory: Memory, ids: np.ndarray) -> None:
        """The quantities that MuJoCo computes with."""
        plant = self._plant(memory)
        sim.field("dof_damping")[ids] = plant["damping"][ids, None]
        fluid, geom = sim.field("geom_fluid"), sim.model.geom("envelope").id
        values = fluid[ids]
        values[:, geom, 1] = plant["drag"][ids] / 2  # MuJoCo's law has no factor 1/2
        fluid[ids] = values

    def _plant(self, memory: Memory) -> dict[str, np.ndarray]:
        return dict(zip(PLANT, memory["plant"].T, strict=True))

    def advance(self, sim: Any, memory: Memory, action: np.ndarray) -> None:
        """The command goes through firmware and motors, the reference may step, the response is measured."""
        plant, commands, step = self._plant(memory), memory["commands"], memory["step"]
        before = self._height(sim, memory)
        first = step == 0
        steps.step(memory, first, before)
        held = self.gaps & (step % 40 >= 38)
        commands[:, 1:] = commands[:, :-1].copy()
        commands[:, 0] = np.where(held, commands[:, 1], action[:, 0])
        force, servo, thrust = forces(
            commands,
            memory["servo"],
            memory["thrust"],
            plant,
            round(PERIOD / sim.timestep),
            sim.timestep,
        )
        memory["servo"][:], memory["thrust"][:], memory["before"][:] = servo, thrust, before
        sim.drive(force[:, :, None])
        step += 1
        height = self._height(sim, memory)
        row = (memory["times"] <= step[:, None] * PERIOD + 1e-9).sum(1) - 1
        reference = memory["levels"][np.arange(sim.n), row]
        # the response to the old reference ends with this sample; a new one counts from the next
        stepped = reference != memory["reference"]
        if stepped.any():
            steps.step(memory, stepped, height)
            memory["reference"][:] = reference
            sim.mocap_pos[:, 0, 2] = reference
        steps.respond(memory, reference, height, PERIOD)
        memory["integral"][:] = np.clip(
            memory["integral"] + PERIOD * (reference - height), -INTEGRAL, INTEGRAL
        )

    def _height(self, sim: Any, memory: Memory) -> np.ndarray:
        """What the LiDAR tells, (n,)."""
        noise, (low, high) = memory["noise"], memory["lidar"].T
        mark, spread = (
            memory["plant"][:, PLANT.index("lidar_step")],
            memory["plant"][:, PLANT.index("lidar_noise")],
        )
        raw = sim.qpos[:, 0] + spread * noise[np.arange(sim.n), memory["step"] % noise.shape[1]]
        fine = np.where(mark > 0, mark, 1e-12)
        return np.minimum(np.maximum(np.rint(raw / fine) * fine, low), high)

    def observe(self, sim: Any, memory: Memory) -> np.ndarray:
        """The table of the class."""
        height = self._height(sim, memory)
        error = memory["reference"] - height
        if self.track == "snn":
            return error[:, None]
        climb = np.where(memory["step"] > 0, height - memory["before"], 0.0) / PERIOD
        return np.stack([height, climb, error, memory["integral"]], axis=1)

    def reward(
        self, sim: Any, memory: Memory, action: np.ndarray
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Minus the size of the error."""
        reward = -np.abs(memory["reference"] - self._height(sim, memory))
        return reward, {"error": reward}

    def metrics(self, sim: Any, memory: Memory) -> dict[str, np.ndarray]:
        """Of the response to the reference's steps."""
        return steps.figures(memory, PERIOD)


def _profile(profile: Sequence[Any], low: float, high: float) -> tuple[tuple[float, float], ...]:
    """The (time, height) pairs, checked."""
    shaped = all(isinstance(row, list | tuple) and len(row) == 2 for row in profile)
    if not profile or not shaped:
        raise LanceletError(
            f"reference = {profile!r}: a profile is a list of pairs (time s, height m)"
        )
    for time, height in profile:
        within("reference's time", time, 0.0, 1e6, "s")
        within("reference", height, low, high, "m, the LiDAR's range")
    times = [float(time) for time, _ in profile]
    if times[0] != 0 or any(b <= a for a, b in itertools.pairwise(times)):
        raise LanceletError(f"reference = {profile!r}: times must begin at 0 and rise")
    return tuple((time, float(height)) for time, (_, height) in zip(times, profile, strict=True))

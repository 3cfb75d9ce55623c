"""Altitude control of an indoor blimp (Burgers, Stroobants, de Croon 2023, arXiv 2309.12937).

The task is that of docs/systems/blimp.md, "The flight"; its plant is that of "The plant" there.
"""

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
from .simulation import Simulation
from .task import Memory, Task
from .thruster import forces

START_HEIGHT = 1.0
"""m"""
PERIOD = 0.1
"""s, control step"""
LARGEST_BALLAST = 4.0
"""command units, of a ballast that is drawn"""
LARGEST_INTEGRAL = 10.0
"""m s, clamp of the integral of the error in the rl track"""
COMMANDS_KEPT = 12
"""control steps of commands that are remembered: enough for a latency of 1 s"""
NOISE_SAMPLES = 2048
"""LiDAR errors drawn at reset; after the last one the first is used again"""
CYCLE_OF_GAPS = 40
"""control steps from one gap of the radio to the next: 4 s"""
GAP_BEGINS = 38
"""control steps of a cycle before its gap: the last two repeat the command before them, so that it holds for 0.3 s"""
TIME_ROUNDING = 1e-9
"""s by which a step of the reference may lie after the control step that it is meant for"""
FINEST_MARK = 1e-12
"""m, marks of a LiDAR that rounds nothing"""
MARKER_PLACE = (0.0, -0.3)
"""m, x and y of the bar that shows the reference in pictures"""
MARKER_SIZE = (1.2, 0.004, 0.006)
"""m, half sizes of that bar"""
HEIGHT = 0
"""place of the height, m, in `qpos`; it is the only degree of freedom"""
DRAG_COEFFICIENT = 1
"""place of the blunt drag coefficient in a geom's row of `geom_fluid`"""

PLANT = (
    "thrust",
    "exponent",
    "down_efficiency",
    "lag",
    "latency",
    "sweep",
    "dead_zone",
    "pwm",
    "damping",
    "drag",
    "lidar_step",
    "lidar_noise",
)
"""quantities of the blimp that the task keeps for every simulation: the columns of ``memory["plant"]``"""


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
            substeps = PERIOD / body.timestep
            if abs(substeps - round(substeps)) > 1e-6:
                raise LanceletError(
                    f"Blimp.timestep = {body.timestep}: must go into the control step of {PERIOD} s"
                )
        if self.track not in ("snn", "rl"):
            raise unknown("track", self.track, ("snn", "rl"))
        if self.ballast is not None:
            within("ballast", self.ballast, -COMMAND, COMMAND, "command units")
        if isinstance(self.reference, list | tuple):
            self.reference = _profile(self.reference, *self._heights)
        elif isinstance(self.reference, str):
            if self.reference != "recording":
                raise LanceletError(
                    f"reference = {self.reference!r}: must be metres, a profile or 'recording'"
                )
        elif self.reference is not None:
            within("reference", self.reference, *self._heights, "m, the LiDAR's range")

    def _blimps(self) -> list[Blimp]:
        """The bodies; `__post_init__` has checked what they are."""
        return self.bodies()  # pyright: ignore[reportReturnType]

    @property
    def _heights(self) -> tuple[float, float]:
        """Lowest and highest height that every LiDAR of the bodies tells apart, m."""
        ranges = [body.lidar_range for body in self._blimps()]
        lowest = max(low for low, _ in ranges)
        highest = min(high for _, high in ranges)
        return lowest, highest

    def default_body(self) -> morphology.Body:
        """The nominal blimp."""
        return morphology.make("blimp")

    def spec(self, body: morphology.Body) -> mujoco.MjSpec:
        """The blimp and a marker at the reference height."""
        spec = body.build()
        marker = spec.worldbody.add_body(name="reference", mocap=True)
        marker.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=MARKER_SIZE,
            rgba=scenery.TARGET,
            contype=0,
            conaffinity=0,
        )
        return spec

    @property
    def observation_space(self) -> spaces.Space:
        """Box of 1 (snn) or 4 (rl) numbers."""
        _, top = self._heights
        if self.track == "snn":
            return spaces.Box(-top, top, (1,), np.float32)
        high = np.array([top, top / PERIOD, top, LARGEST_INTEGRAL], np.float32)
        low = -high
        low[0] = 0.0  # a height is never negative
        return spaces.Box(low, high, dtype=np.float32)

    @property
    def action_space(self) -> spaces.Space:
        """Box of one command."""
        return spaces.Box(-COMMAND, COMMAND, (1,), np.float32)

    def control_dt(self, sim: Simulation) -> float:
        """0.1 s."""
        return PERIOD

    def memory(self, n: int) -> Memory:
        """Commands and motors, plant, reference, LiDAR errors, and what `steps` measures; ``reference`` in m."""
        blimps = self._blimps()
        bodies = [blimps[i % len(blimps)] for i in range(n)]
        has_noise = self.randomise or any(body.lidar_noise for body in bodies)
        noise_samples = NOISE_SAMPLES if has_noise else 1
        level_count = self._level_count()
        return {
            "commands": np.zeros((n, COMMANDS_KEPT)),
            "servo": np.zeros(n),
            "thrust": np.zeros(n),
            "plant": np.array([_quantities(body) for body in bodies]),
            "lidar": np.array([body.lidar_range for body in bodies]),
            "ballast": np.zeros(n),
            "step": np.zeros(n, np.int64),
            "times": np.zeros((n, level_count)),
            "levels": np.zeros((n, level_count)),
            "reference": np.zeros(n),
            "before": np.zeros(n),
            "integral": np.zeros(n),
            "noise": np.zeros((n, noise_samples)),
            **steps.memory(n, PERIOD),
        }

    def _level_count(self) -> int:
        """Number of levels of the reference in one episode."""
        if self.reference == "recording":
            return steps.COUNT
        if isinstance(self.reference, tuple):
            return len(self.reference)
        return 1

    def reset(
        self,
        sim: Simulation,
        memory: Memory,
        ids: np.ndarray,
        rngs: Sequence[np.random.Generator],
        options: Mapping[str, Any],
    ) -> None:
        """Put the blimps at rest at 1 m; what is drawn comes in the order reference, ballast, plant, LiDAR errors."""
        sim.qpos[ids, HEIGHT] = START_HEIGHT
        for i, rng in zip(ids, rngs, strict=True):
            self._draw(memory, i, rng)
        if self.randomise:
            self._write_plant(sim, memory, ids)
        # After the draws: the generators go on alike, whatever is given.
        self._set_reference(memory, ids, options, sim.n)
        self._set_ballast(memory, ids, options, sim.n)
        sim.qfrc_applied[ids, HEIGHT] = -self._buoyancy_deficit(memory)[ids]
        sim.mocap_pos[ids, 0, :2] = MARKER_PLACE
        sim.mocap_pos[ids, 0, 2] = memory["reference"][ids]

    def _draw(self, memory: Memory, i: int, rng: np.random.Generator) -> None:
        """Draw what an episode of simulation `i` has of its own, into the memory."""
        if self.reference == "recording":
            memory["times"][i], memory["levels"][i] = steps.recording(rng)
        elif self.reference is None:
            memory["levels"][i] = rng.uniform(steps.LOWEST_LEVEL, steps.HIGHEST_LEVEL)
        if self.ballast is None:
            memory["ballast"][i] = rng.uniform(-LARGEST_BALLAST, LARGEST_BALLAST)
        if self.randomise:
            bounds = morphology.ranges(Blimp)
            for column, name in enumerate(PLANT):
                if name in bounds:
                    memory["plant"][i, column] = rng.uniform(*bounds[name])
        if memory["noise"].shape[1] > 1:
            memory["noise"][i] = rng.normal(size=NOISE_SAMPLES)

    def _set_reference(
        self, memory: Memory, ids: np.ndarray, options: Mapping[str, Any], n: int
    ) -> None:
        """Write the reference that the task or the reset options give to simulations `ids`, and its first level."""
        if isinstance(self.reference, int | float):
            memory["levels"][ids] = self.reference
        elif isinstance(self.reference, tuple):
            times, levels = np.array(self.reference).T
            memory["times"][ids] = times
            memory["levels"][ids] = levels
        if "reference" in options:
            given = reset_option("reference", options["reference"], (n,), *self._heights)
            memory["times"][ids] = 0.0
            memory["levels"][ids] = given[ids, None]
        memory["reference"][ids] = memory["levels"][ids, 0]

    def _set_ballast(
        self, memory: Memory, ids: np.ndarray, options: Mapping[str, Any], n: int
    ) -> None:
        """Write the ballast that the task or the reset options give to simulations `ids`."""
        if self.ballast is not None:
            memory["ballast"][ids] = self.ballast
        # After the task's: what a reset asks for counts more.
        if "ballast" in options:
            given = reset_option(
                "ballast", options["ballast"], shape=(n,), low=-COMMAND, high=COMMAND
            )
            memory["ballast"][ids] = given[ids]

    def _buoyancy_deficit(self, memory: Memory) -> np.ndarray:
        """Weight that buoyancy does not carry, N (n,): the force of the command that is equal to the ballast."""
        plant = self._plant(memory)
        ballast = memory["ballast"]
        thrust = thrust_curve(np.abs(ballast), plant["thrust"], plant["exponent"])
        # Propellers that push down are weaker: so is the force that they have to hold.
        efficiency = np.where(ballast < 0, plant["down_efficiency"], 1.0)
        return np.sign(ballast) * thrust * efficiency

    def _write_plant(self, sim: Simulation, memory: Memory, ids: np.ndarray) -> None:
        """Write the quantities that MuJoCo computes with into the models of simulations `ids`."""
        plant = self._plant(memory)
        sim.field("dof_damping")[ids] = plant["damping"][ids, None]
        fluid = sim.field("geom_fluid")
        envelope = sim.model.geom("envelope").id
        values = fluid[ids]
        # MuJoCo's law of drag has no factor 1/2, the blimp's has.
        values[:, envelope, DRAG_COEFFICIENT] = plant["drag"][ids] / 2
        fluid[ids] = values

    def _plant(self, memory: Memory) -> dict[str, np.ndarray]:
        """Quantity -> its live column (n,)."""
        return dict(zip(PLANT, memory["plant"].T, strict=True))

    def advance(self, sim: Simulation, memory: Memory, action: np.ndarray) -> None:
        """The command goes through firmware and motors, the reference may step, the response is measured."""
        height_before = self._height(sim, memory)
        # The first step of the reference is the start of the episode.
        steps.step(memory, memory["step"] == 0, height_before)
        memory["before"][:] = height_before

        self._receive(memory, action[:, 0])
        force, servo, thrust = forces(
            commands=memory["commands"],
            servo=memory["servo"],
            thrust=memory["thrust"],
            plant=self._plant(memory),
            substeps=round(PERIOD / sim.timestep),
            timestep=sim.timestep,
        )
        memory["servo"][:] = servo
        memory["thrust"][:] = thrust
        sim.drive(force[:, :, None])
        memory["step"] += 1

        height = self._height(sim, memory)
        reference = self._reference_now(memory)
        stepped = reference != memory["reference"]
        if stepped.any():
            # Before `respond`: the new response begins at this height, and this sample is its first.
            steps.step(memory, stepped, height)
            memory["reference"][:] = reference
            sim.mocap_pos[:, 0, 2] = reference
        steps.respond(memory, reference, height, PERIOD)
        integral = memory["integral"] + PERIOD * (reference - height)
        memory["integral"][:] = np.clip(integral, -LARGEST_INTEGRAL, LARGEST_INTEGRAL)

    def _receive(self, memory: Memory, command: np.ndarray) -> None:
        """Put the `command` (n,) in front of those remembered; in a gap the last one arrives again."""
        in_gap = self.gaps & (memory["step"] % CYCLE_OF_GAPS >= GAP_BEGINS)
        commands = memory["commands"]
        commands[:, 1:] = commands[:, :-1].copy()
        commands[:, 0] = np.where(in_gap, commands[:, 1], command)

    def _reference_now(self, memory: Memory) -> np.ndarray:
        """Level (n,) that the reference has at present, m."""
        time = memory["step"][:, None] * PERIOD
        begun = memory["times"] <= time + TIME_ROUNDING
        last_begun = begun.sum(1) - 1
        return memory["levels"][np.arange(len(last_begun)), last_begun]

    def _height(self, sim: Simulation, memory: Memory) -> np.ndarray:
        """What the LiDAR tells, m (n,): with noise, in whole marks, within its range."""
        plant = self._plant(memory)
        noise = memory["noise"]
        sample = memory["step"] % noise.shape[1]
        measured = sim.qpos[:, HEIGHT] + plant["lidar_noise"] * noise[np.arange(sim.n), sample]
        mark = np.where(plant["lidar_step"] > 0, plant["lidar_step"], FINEST_MARK)
        in_marks = np.rint(measured / mark) * mark
        lowest, highest = memory["lidar"].T
        return np.minimum(np.maximum(in_marks, lowest), highest)

    def observe(self, sim: Simulation, memory: Memory) -> np.ndarray:
        """The table of the class."""
        height = self._height(sim, memory)
        error = memory["reference"] - height
        if self.track == "snn":
            return error[:, None]
        # At the start there is no height before.
        difference = np.where(memory["step"] > 0, height - memory["before"], 0.0)
        climb = difference / PERIOD
        return np.stack([height, climb, error, memory["integral"]], axis=1)

    def reward(
        self, sim: Simulation, memory: Memory, action: np.ndarray
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Minus the size of the error."""
        reward = -np.abs(memory["reference"] - self._height(sim, memory))
        return reward, {"error": reward}

    def metrics(self, sim: Simulation, memory: Memory) -> dict[str, np.ndarray]:
        """Of the response to the reference's steps."""
        return steps.figures(memory, PERIOD)


def _quantities(body: Blimp) -> list[float]:
    """The quantities of `PLANT`, in its order."""
    return [getattr(body, name) for name in PLANT]


def _profile(profile: Sequence[Any], low: float, high: float) -> tuple[tuple[float, float], ...]:
    """The (time s, height m) pairs of a reference, checked; heights lie from `low` to `high`."""
    shaped = all(isinstance(row, list | tuple) and len(row) == 2 for row in profile)
    if not profile or not shaped:
        raise LanceletError(
            f"reference = {profile!r}: a profile is a list of pairs (time s, height m)"
        )
    for time, height in profile:
        within("reference's time", time, 0.0, 1e6, "s")
        within("reference", height, low, high, "m, the LiDAR's range")
    pairs = tuple((float(time), float(height)) for time, height in profile)
    times = [time for time, _ in pairs]
    rising = all(earlier < later for earlier, later in itertools.pairwise(times))
    if times[0] != 0 or not rising:
        raise LanceletError(f"reference = {profile!r}: times must begin at 0 and rise")
    return pairs

"""Reaching and holding with the six-muscle arm (Rinaldo et al. 2024, arXiv 2401.14057; spec bilateral 2, 3, 7, 9)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import mujoco
import numpy as np
from gymnasium import spaces

from .. import morphology
from ..errors import LanceletError, unknown
from ..morphology import scenery
from ..morphology.arm import HEIGHT, Arm, NativeArm
from . import movement, muscles
from .arm_plant import Explicit, Native, Semi
from .checks import reset_option, within
from .task import Memory, Task

PERIOD = 0.01
"""s, control step"""
HORIZON, NOISE = 200, 256
"""steps of the path that the figures of a movement look at; noise drawn at reset, then used again from the first"""
FORCE, GAIN, NEAR = 100.0, 1000.0, math.radians(5)
"""N, largest component of a hand force; largest gain of a field; rad, starts nearer to a limit are told of"""
JOINTS = ("shoulder", "elbow")
FIELDS = {"none": 0.0, "squared": 5.0, "linear": (0.0, 20.0)}
"""field -> its usual gain: N s^2/m^2, and N s/m"""


@dataclass(kw_only=True)
class ArmReach(Task):
    """Bring the hand to a target, 0.5 s.

    Observation (16), float32, unbounded:

    | index | value | unit |
    |---|---|---|
    | 0-5 | muscle lengths, in the order of `morphology.arm.MUSCLES` | optimal lengths |
    | 6-11 | muscle speeds, lengthening positive | 10 optimal lengths/s |
    | 12-13 | hand x, y | m |
    | 14-15 | target x, y | m |

    Action (6): excitations of the muscles in [0, 1].

    Plant: section 2's own step (the angles move with the OLD speeds, limits clamp) over MuJoCo's inverse inertia;
    muscles by `muscles`, as generalised forces. ``dt_plant`` = 0.01 s is the original's step, 0.002 s the accurate
    one; ``integrator="mujoco"`` is MuJoCo's Euler. Never mix them in one table. ``body={"name": "arm-native"}``
    steps MuJoCo's own muscles: another plant again. Joint speeds are not bounded.

    Reward: ``P1`` + ``P2`` + ``E``, each minus its weight times (|ex| + |ey|) / 2, 10 (ex^2 + ey^2) / 2 and
    mean(u^2), with e = target - hand and u the action. The activity penalty of the paper's losses is the
    controller's and is left out.

    Start: both joints uniform over their limits, at rest, activation 0.001; the target is the hand of a second such
    draw. Control step 0.01 s. Ends never; truncated after 50 steps. ``reset(options=)`` takes ``angles`` (rad),
    ``target`` (m) and ``force`` (N on the hand, from the first step on), each (2,) or (n, 2), and ``gain`` (of the
    field), a number or (n,).

    Metrics: ``mean_error``, ``final_error`` (m); ``P1``, ``P2``, ``E`` (means over the steps, unweighted); of
    `movement.figures`: ``straightness``, ``path_ratio``, ``jerk``, ``log_jerk``, ``movement_time``, ``peak_speed``,
    ``time_to_peak``, ``direction_error``, ``submovements``, ``muscle_share``, ``chord``, ``elbow_speed``;
    ``cocontraction`` (sum over the three pairs of the lesser activation), ``activation_effort`` (mean a^2),
    ``force_effort`` (mean (F / largest F)^2); and of the trial ``distance`` (m, start to target), ``force_x``,
    ``force_y`` (N), ``gain``, ``near_limit`` (1: a joint starts within 5 degrees of a limit). A figure without a
    meaning in its trial is 0; `movement.gaps` makes it nan. Figures of the movement look at the first 2 s.

    Variants, none of them in the original: delays, noise (Gaussian, added to excitations before they are clipped and
    to what is seen and felt), a field that resists the hand's velocity v with gain g, ``squared`` (force
    -g |v| v) or ``linear`` (-g v), a mass on the forearm, and a rotation of the seen hand about its start. Under a
    rotation "hand" above is the seen one, for reward and metrics too, without delay or noise.

    Version: v0.
    """

    dt_plant: float = 0.01
    """s, plant step: 0.01 (the original's) or 0.002 (accurate), or any that goes into 0.01"""
    integrator: Literal["explicit", "mujoco"] = "explicit"
    """section 2's step, or MuJoCo's Euler, which moves the angles with the new speeds"""
    force: float = 0.0
    """N: each component of the hand force is uniform within +- this, drawn at reset"""
    vision_delay: float = 0.0
    """s, of the seen hand; 0.07 is a person's"""
    proprioception_delay: float = 0.0
    """s, of muscle lengths and speeds; 0.02 is a person's"""
    motor_noise: float = 0.0
    """standard deviation, of excitations"""
    vision_noise: float = 0.0
    """m, standard deviation"""
    proprioception_noise: float = 0.0
    """standard deviation, of muscle lengths and speeds as observed"""
    field: Literal["none", "squared", "linear"] = "none"
    """resisting force field"""
    field_gain: float | tuple[float, float] | None = None
    """of the field: a number, or a range it is drawn from at reset; none: 5 N s^2/m^2 squared, 0 to 20 N s/m linear"""
    load: float = 0.0
    """kg, on the forearm's centre of mass"""
    rotation: float = 0.0
    """rad, that the seen hand is turned by about its start, counterclockwise"""
    weights: tuple[float, float, float] = (2.5, 2.5, 1.0)
    """of P1, P2 and E in the reward: the mixed loss; (5, 0, 0) is loss 1, (0, 5, 2) loss 2"""

    reset_options: ClassVar[tuple[str, ...]] = ("angles", "target", "force", "gain")
    reaches: ClassVar[bool] = True
    """whether a target is drawn, or the start is held"""

    def __post_init__(self) -> None:
        bodies, name = self.bodies(), type(self).__name__
        for body in bodies:
            if not isinstance(body, Arm) or isinstance(body, NativeArm) != isinstance(
                bodies[0], NativeArm
            ):
                raise LanceletError(
                    f"{name}.body = {body!r}: needs an Arm, and no mix with NativeArm"
                )
        native = isinstance(bodies[0], NativeArm)
        within("dt_plant", self.dt_plant, 1e-4, PERIOD, "s")
        if abs(PERIOD / self.dt_plant - round(PERIOD / self.dt_plant)) > 1e-6:
            raise LanceletError(
                f"dt_plant = {self.dt_plant}: must go into the control step of {PERIOD} s"
            )
        if self.integrator not in ("explicit", "mujoco"):
            raise unknown("integrator", self.integrator, ("explicit", "mujoco"))
        self._plant = (
            Native() if native else Explicit() if self.integrator == "explicit" else Semi()
        )
        within("force", self.force, 0.0, FORCE, "N")
        for delay in ("vision_delay", "proprioception_delay"):
            within(delay, getattr(self, delay), 0.0, 1.0, "s")
            self._steps(delay)
        for noise in ("motor_noise", "vision_noise", "proprioception_noise"):
            within(noise, getattr(self, noise), 0.0, 1.0, "standard deviation")
        if self.field not in FIELDS:
            raise unknown("field", self.field, FIELDS)
        if self.field == "none" and self.field_gain is not None:
            raise LanceletError(
                f"field_gain = {self.field_gain!r}: there is no field; set field to squared or linear"
            )
        if isinstance(self.field_gain, list):
            self.field_gain = tuple(self.field_gain)  # pyright: ignore[reportAttributeAccessIssue]
        for gain in self._gains:
            within("field_gain", gain, 0.0, GAIN, "N s/m, or N s^2/m^2")
        within("load", self.load, 0.0, 20.0, "kg")
        if self._gains[1] > self._steepest:
            raise LanceletError(
                f"field_gain = {self._gains[1]:g}: a plant step of {self.dt_plant:g} s carries a linear field of up to "
                f"{self._steepest:.4g} N s/m; give a smaller gain, or a smaller dt_plant"
            )
        within("rotation", self.rotation, -math.pi, math.pi, "rad")
        self.weights = tuple(self.weights)  # pyright: ignore[reportAttributeAccessIssue]
        if len(self.weights) != 3:
            raise LanceletError(f"weights = {self.weights!r}: needs three numbers, of P1, P2 and E")
        for weight in self.weights:
            within("weights", weight, 0.0, 1e6, "of P1, P2 and E")

    @property
    def _gains(self) -> tuple[float, float]:
        """Least and largest gain of the field."""
        gain = FIELDS[self.field] if self.field_gain is None else self.field_gain
        pair = gain if isinstance(gain, tuple) else (gain, gain)
        if len(pair) != 2:
            raise LanceletError(f"field_gain = {gain!r}: must be a number or a range of two")
        return pair  # pyright: ignore[reportReturnType]

    @cached_property
    def _steepest(self) -> float:
        """Largest gain of the field that the plant step carries for every body.

        A squared field has no such bound: it grows with the speed, and a step that it is too steep for blows up.
        """
        if self.field != "linear":
            return GAIN
        loaded = [body.loaded(self.load) for body in self.bodies()]  # pyright: ignore[reportAttributeAccessIssue]
        bounds = [muscles.steepest_drag(muscles.parameters(body), self.dt_plant) for body in loaded]
        return min(GAIN, *bounds)

    def _steps(self, delay: str) -> int:
        """A delay in control steps."""
        steps = getattr(self, delay) / PERIOD
        if abs(steps - round(steps)) > 1e-6:
            raise LanceletError(
                f"{delay} = {getattr(self, delay)}: must be a whole number of steps of {PERIOD} s"
            )
        return round(steps)

    def default_body(self) -> morphology.Body:
        """The nominal arm."""
        return morphology.make("arm")

    def spec(self, body: morphology.Body) -> mujoco.MjSpec:
        """The loaded arm and the target."""
        assert isinstance(body, Arm)
        spec = body.loaded(self.load).build()
        spec.option.timestep = self.dt_plant
        if type(self._plant) is Explicit:
            spec.option.disableflags |= (
                mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
            )  # limits are section 2's
        target = spec.worldbody.add_body(name="target", mocap=True)
        target.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=[0.022, 0.003, 0], rgba=[*scenery.TARGET[:3], 0.8], contype=0,
            conaffinity=0,
        )  # fmt: skip
        return spec

    @property
    def observation_space(self) -> spaces.Space:
        """Box of 16 numbers."""
        return spaces.Box(-np.inf, np.inf, (16,), np.float32)

    @property
    def action_space(self) -> spaces.Space:
        """Box of 6 excitations."""
        return spaces.Box(0.0, 1.0, (6,), np.float32)

    def control_dt(self, sim: Any) -> float:
        """0.01 s."""
        return PERIOD

    def memory(self, n: int) -> Memory:
        """Plant, muscles (`muscles.COLUMNS`), trial, what is on its way to the senses, the path, sums over steps."""
        bodies = self.bodies()
        rows = [muscles.parameters(body.loaded(self.load)) for body in bodies]  # pyright: ignore[reportAttributeAccessIssue]
        noisy = bool(self.motor_noise or self.vision_noise or self.proprioception_noise)
        return {
            "plant": np.array([rows[i % len(rows)] for i in range(n)]),
            "muscles": np.zeros((n, 7, 6)),
            "elbow": np.zeros(n),
            "target": np.zeros((n, 2)),
            "force": np.zeros((n, 2)),
            "gain": np.zeros(n),
            "squared": np.full(n, self.field == "squared"),
            "near_limit": np.zeros(n),
            "hand": np.zeros((n, 2)),
            "vision": np.zeros((n, self._steps("vision_delay") + 1, 2)),
            "proprioception": np.zeros((n, self._steps("proprioception_delay") + 1, 12)),
            "noise": np.zeros((n, NOISE if noisy else 1, 20)),
            "step": np.zeros(n, np.int64),
            "path": np.zeros((n, HORIZON + 1, 4)),
            "losses": np.zeros((n, 3)),
            "sums": np.zeros((n, len(movement.SUMS))),
        }

    def reset(
        self,
        sim: Any,
        memory: Memory,
        ids: np.ndarray,
        rngs: Sequence[np.random.Generator],
        options: Mapping[str, Any],
    ) -> None:
        """Drawn in the order start, target, force, gain, noise, whether used or not, so that variants pair."""
        plant, draws = memory["plant"][ids], np.array([rng.random(7) for rng in rngs])
        low, high = plant[:, muscles.LOW], plant[:, muscles.HIGH]
        q, v = low + (high - low) * draws[:, 0:2], np.zeros((len(ids), 2))
        for name in ("angles", "qpos"):
            if name in options:
                q = _inside(
                    name,
                    reset_option(name, options[name], (sim.n, 2), -np.inf, np.inf)[ids],
                    low,
                    high,
                )
        if "qvel" in options:
            v = reset_option("qvel", options["qvel"], (sim.n, 2), -1000, 1000)[ids]
        start = muscles.hand(plant, q)
        target = muscles.hand(plant, low + (high - low) * draws[:, 2:4]) if self.reaches else start
        if "target" in options:
            target = self._reachable(
                reset_option("target", options["target"], (sim.n, 2), -10, 10)[ids], ids
            )
        memory["target"][ids] = target
        memory["force"][ids] = self.force * (2 * draws[:, 4:6] - 1)
        memory["gain"][ids] = self._gains[0] + (self._gains[1] - self._gains[0]) * draws[:, 6]
        if "gain" in options and self.field == "none":
            raise LanceletError(
                "options['gain']: there is no field; make the task with field squared or linear"
            )
        for name, shape, least, most in (
            ("force", (sim.n, 2), -FORCE, FORCE),
            ("gain", (sim.n,), 0.0, self._steepest),
        ):
            if name in options:
                memory[name][ids] = reset_option(name, options[name], shape, least, most)[ids]
        if memory["noise"].shape[1] > 1:
            memory["noise"][ids] = [rng.standard_normal((NOISE, 20)) for rng in rngs]
        memory["near_limit"][ids] = ((q < low + NEAR) | (q > high - NEAR)).any(1)
        sim.qpos[ids], sim.qvel[ids] = q, v
        sim.mocap_pos[ids, 0] = np.column_stack([target, np.full(len(ids), HEIGHT + 0.03)])
        self._plant.start(sim, memory, ids)
        memory["hand"][ids] = memory["path"][ids, 0, :2] = start
        memory["path"][ids, 0, 3] = v[:, 1]
        for name, felt in self._sensed(memory).items():
            memory[name][ids] = felt[ids, None]

    def _reachable(self, target: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Targets (k, 2) of simulations `ids`, refused where the hand cannot be."""
        bodies = self.bodies()
        for i, body in enumerate(bodies):
            assert isinstance(body, Arm)
            mine = target[ids % len(bodies) == i]
            lost = mine[np.isnan(body.angles_at(mine)).any(1)].tolist()
            if lost:
                near, far = np.linalg.norm(
                    body.hand([[0.0, body.limits[1, 1]], [0.0, 0.0]]), axis=1
                )
                where = f"from {near:.3f} to {far:.3f} m from the shoulder, where the joint limits let the hand be"
                raise LanceletError(f"options['target'] = {lost[0]}: out of reach; must be {where}")
        return target

    def advance(self, sim: Any, memory: Memory, action: np.ndarray) -> None:
        """Plant steps under one excitation; then what is sensed, and the sums of the metrics."""
        u = action.astype(float)
        if self.motor_noise:
            u = np.clip(u + self.motor_noise * self._noise(memory)[:, :6], 0.0, 1.0)
        impulse = np.zeros(sim.n)
        for _ in range(round(PERIOD / self.dt_plant)):
            impulse += self.dt_plant * memory["elbow"]
            self._plant.step(sim, memory, u, self.dt_plant)
        memory["step"] += 1
        memory["hand"][:] = self._turned(memory, muscles.hand(memory["plant"], sim.qpos))
        for name, felt in self._sensed(memory).items():
            if memory[name].shape[1] > 1:
                memory[name][:, 1:] = memory[name][:, :-1].copy()
            memory[name][:, 0] = felt
        trial, booked = (
            (memory["target"], action, memory["muscles"]),
            ("step", "path", "losses", "sums"),
        )
        peaks = memory["plant"][:, muscles.PEAKS]
        movement.book(
            memory["hand"],
            *trial,
            peaks,
            impulse,
            sim.qvel[:, 1],
            *(memory[name] for name in booked),
        )

    def _turned(self, memory: Memory, hand: np.ndarray) -> np.ndarray:
        """The hands (n, 2) as they are shown."""
        if not self.rotation:
            return hand
        start, sin, cos = memory["path"][:, 0, :2], math.sin(self.rotation), math.cos(self.rotation)
        x, y = (hand - start).T  # no matrix product: its last bits depend on the number of rows
        return start + np.stack([cos * x - sin * y, sin * x + cos * y], axis=1)

    def _noise(self, memory: Memory) -> np.ndarray:
        """The noise of this step, (n, 20)."""
        return memory["noise"][np.arange(len(memory["step"])), memory["step"] % NOISE]

    def _sensed(self, memory: Memory) -> Memory:
        """What eyes and muscles report now."""
        muscle, hand = memory["muscles"], memory["hand"]
        felt = muscle[:, 1:3].reshape(-1, 12)
        if memory["noise"].shape[1] > 1:
            noise = self._noise(memory)
            hand = hand + self.vision_noise * noise[:, 6:8]
            felt = felt + self.proprioception_noise * noise[:, 8:]
        return {"vision": hand, "proprioception": felt}

    def observe(self, sim: Any, memory: Memory) -> np.ndarray:
        """The table of the class."""
        parts = (memory["proprioception"][:, -1], memory["vision"][:, -1], memory["target"])
        return np.concatenate(parts, axis=1).astype(np.float32)

    def reward(
        self, sim: Any, memory: Memory, action: np.ndarray
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Minus the weighted losses."""
        p1, p2, effort = (-memory["losses"] * np.array(self.weights)).T
        return p1 + p2 + effort, {"P1": p1, "P2": p2, "E": effort}

    def _drift(self, figures: dict[str, np.ndarray], memory: Memory) -> dict[str, np.ndarray]:
        """What a reach tells of its drift: nothing."""
        return {}

    def metrics(self, sim: Any, memory: Memory) -> dict[str, np.ndarray]:
        """The list of the class."""
        steps, plant = memory["step"], memory["plant"]
        means = dict(
            zip(movement.SUMS, (memory["sums"] / np.maximum(steps, 1)[:, None]).T, strict=True)
        )
        e, start = memory["target"] - memory["hand"], memory["path"][:, 0, :2]
        moved = movement.figures(
            memory["path"], steps, memory["target"], plant[:, muscles.FOREARM], PERIOD
        )
        drift = {name: moved.pop(name) for name in movement.DRIFT}
        trial = {
            "distance": np.linalg.norm(memory["target"] - start, axis=1),
            "force_x": memory["force"][:, 0].copy(),
        }
        trial |= {"force_y": memory["force"][:, 1].copy()}
        trial |= {name: memory[name].copy() for name in ("gain", "near_limit")}
        return {
            "final_error": np.linalg.norm(e, axis=1),
            **means,
            **moved,
            **trial,
            **self._drift(drift, memory),
        }


@dataclass(kw_only=True)
class ArmHold(ArmReach):
    """Hold the hand where it is against a constant force that is not observed, 0.5 s.

    Observation, action, plant, reward, variants: as `ArmReach`. Start: as `ArmReach`; the target is the start, and
    each component of the hand force is uniform within +-10 N (``force``), from the first step on.

    Metrics: those of `ArmReach`, and ``drift_max`` (m), ``drift_speed`` (m/s, mean over the last 0.1 s) and
    ``drift_per_newton`` (mm/N, of the last displacement, which is ``final_error``; 0 without a force).

    Version: v0.
    """

    force: float = 10.0
    """N: each component of the hand force is uniform within +- this, drawn at reset"""

    reaches: ClassVar[bool] = False

    def _drift(self, figures: dict[str, np.ndarray], memory: Memory) -> dict[str, np.ndarray]:
        """Positional stability."""
        size = np.linalg.norm(memory["force"], axis=1)
        last = np.linalg.norm(memory["hand"] - memory["path"][:, 0, :2], axis=1)
        return figures | {"drift_per_newton": 1e3 * last / np.where(size > 0, size, np.inf)}


def _inside(name: str, angles: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Angles (k, 2) within the limits, by as little as float32 rounds; refused beyond."""
    if not ((angles >= low - 1e-6) & (angles <= high + 1e-6)).all():
        ends = ", ".join(
            f"{a:.4g} to {b:.4g} ({joint})"
            for a, b, joint in zip(low[0], high[0], JOINTS, strict=True)
        )
        raise LanceletError(
            f"options[{name!r}] = {angles.tolist()}: must be within the joint limits, rad: {ends}"
        )
    return np.clip(angles, low, high)

"""Reaching and holding with the six-muscle arm (Rinaldo et al. 2024, arXiv 2401.14057).

The tasks are those of docs/systems/arm.md, "The tasks", the plant that of "The arm" and "The muscles".
"""

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
from ..morphology.arm import HEIGHT, MUSCLES, Arm, NativeArm
from . import movement, muscles
from .arm_parameters import ELBOW, ROW_LENGTH, as_arms, as_rows
from .arm_plant import Explicit, Native, Semi
from .checks import reset_option, within
from .task import Memory, Task

PERIOD = 0.01
"""s, control step"""
HORIZON = 200
"""steps of the path that the figures of a movement look at"""
NOISE_STEPS = 256
"""steps of noise drawn at reset; a longer episode uses them again from the first"""
LARGEST_SPEED = 1000
"""rad/s, largest joint speed that a start may have"""
FARTHEST_TARGET = 10
"""m, largest x and y of a target; those within it that are out of reach are refused by name"""
TARGET_LIFT = 0.03
"""m of the target above the arm, so that pictures show it"""
LARGEST_FORCE = 100.0
"""N, largest component of a push on the hand"""
LARGEST_GAIN = 1000.0
"""N s/m or N s^2/m^2, largest gain of a field"""
NEAR_LIMIT = math.radians(5)
"""rad; a start nearer to a joint limit is marked in the metric ``near_limit``"""
JOINTS = ("shoulder", "elbow")
"""names of the joints, in the order of ``qpos``"""
FIELDS = {
    "none": 0.0,
    "squared": 5.0,
    "linear": (0.0, 20.0),
}
"""field -> its usual gain: N s^2/m^2 for squared, N s/m (a range) for linear"""
MUSCLE_COUNT = len(MUSCLES)
COLUMN_COUNT = len(muscles.Column)
SENSED_COUNT = 2 * MUSCLE_COUNT
"""lengths and speeds of all muscles"""
SENSED = slice(muscles.Column.LENGTH, muscles.Column.SPEED + 1)
"""columns of the muscles that are felt"""
START_DRAWS = slice(0, 2)
"""of the seven numbers drawn at reset: joint angles of the start"""
TARGET_DRAWS = slice(2, 4)
"""joint angles of the target"""
PUSH_DRAWS = slice(4, 6)
"""push on the hand"""
GAIN_DRAW = 6
"""gain of the field"""
DRAW_COUNT = 7
"""numbers drawn at reset"""
MOTOR_NOISE = slice(0, 6)
"""of the noise of a step: excitations"""
VISION_NOISE = slice(6, 8)
"""the seen hand"""
PROPRIOCEPTION_NOISE = slice(8, 20)
"""muscle lengths and speeds"""
NOISE_COUNT = 20
"""numbers of noise in a step"""
HAND_PATH = slice(movement.Path.HAND_X, movement.Path.HAND_Y + 1)
"""columns of a path: the hand"""
ROUNDING = 1e-6
"""tolerance where a time must be a whole number of steps, and, in rad, of angles that float32 rounds"""


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

    Plant: the original's step (the angles move with the OLD speeds, limits clamp) over MuJoCo's inverse inertia;
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
    """the original's step, or MuJoCo's Euler, which moves the angles with the new speeds"""
    force: float = 0.0
    """N: each component of the push on the hand is uniform within +- this, drawn at reset"""
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
        self._check_bodies()
        self._check_steps()
        self._plant = self._chosen_plant()
        within("force", self.force, 0.0, LARGEST_FORCE, "N")
        for noise in ("motor_noise", "vision_noise", "proprioception_noise"):
            within(noise, getattr(self, noise), 0.0, 1.0, "standard deviation")
        within("load", self.load, 0.0, 20.0, "kg")
        self._check_field()
        within("rotation", self.rotation, -math.pi, math.pi, "rad")
        self.weights = tuple(self.weights)  # pyright: ignore[reportAttributeAccessIssue]
        if len(self.weights) != 3:
            raise LanceletError(f"weights = {self.weights!r}: needs three numbers, of P1, P2 and E")
        for weight in self.weights:
            within("weights", weight, 0.0, 1e6, "of P1, P2 and E")

    def _check_bodies(self) -> None:
        """Refuse bodies that are no arms, and a mix of MuJoCo's muscles with the original's."""
        bodies = self.bodies()
        first_is_native = isinstance(bodies[0], NativeArm)
        for body in bodies:
            if not isinstance(body, Arm) or isinstance(body, NativeArm) != first_is_native:
                name = type(self).__name__
                raise LanceletError(
                    f"{name}.body = {body!r}: needs an Arm, and no mix with NativeArm"
                )

    def _check_steps(self) -> None:
        """Refuse times that are no whole numbers of steps, and an unknown integrator."""
        within("dt_plant", self.dt_plant, 1e-4, PERIOD, "s")
        plant_steps = PERIOD / self.dt_plant
        if abs(plant_steps - round(plant_steps)) > ROUNDING:
            raise LanceletError(
                f"dt_plant = {self.dt_plant}: must go into the control step of {PERIOD} s"
            )
        if self.integrator not in ("explicit", "mujoco"):
            raise unknown("integrator", self.integrator, ("explicit", "mujoco"))
        for delay in ("vision_delay", "proprioception_delay"):
            within(delay, getattr(self, delay), 0.0, 1.0, "s")
            self._steps(delay)

    def _chosen_plant(self) -> Explicit:
        """The plant step for this body and integrator."""
        if isinstance(self.bodies()[0], NativeArm):
            return Native()
        if self.integrator == "explicit":
            return Explicit()
        return Semi()

    def _check_field(self) -> None:
        """Refuse an unknown field, a gain without a field, and one that the plant step cannot carry."""
        if self.field not in FIELDS:
            raise unknown("field", self.field, FIELDS)
        if self.field == "none" and self.field_gain is not None:
            raise LanceletError(
                f"field_gain = {self.field_gain!r}: there is no field; set field to squared or linear"
            )
        if isinstance(self.field_gain, list):
            self.field_gain = tuple(self.field_gain)  # pyright: ignore[reportAttributeAccessIssue]
        for gain in self._gains:
            within("field_gain", gain, 0.0, LARGEST_GAIN, "N s/m, or N s^2/m^2")
        _, largest_gain = self._gains
        if largest_gain > self._steepest:
            raise LanceletError(
                f"field_gain = {largest_gain:g}: a plant step of {self.dt_plant:g} s carries a "
                f"linear field of up to {self._steepest:.4g} N s/m; give a smaller gain, or a "
                "smaller dt_plant"
            )

    def _loaded_bodies(self) -> list[Arm]:
        """The bodies with the load on their forearms."""
        loaded = []
        for body in self.bodies():
            assert isinstance(body, Arm)
            loaded.append(body.loaded(self.load))
        return loaded

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
            return LARGEST_GAIN
        bounds = [
            muscles.steepest_drag(muscles.parameters(body), self.dt_plant)
            for body in self._loaded_bodies()
        ]
        return min(LARGEST_GAIN, *bounds)

    def _steps(self, delay: str) -> int:
        """A delay in control steps."""
        steps = getattr(self, delay) / PERIOD
        if abs(steps - round(steps)) > ROUNDING:
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
            # The plant step has joint limits of its own: MuJoCo's would act beside them.
            spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
        target = spec.worldbody.add_body(name="target", mocap=True)
        target.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CYLINDER,
            size=[0.022, 0.003, 0],
            rgba=[*scenery.TARGET[:3], 0.8],
            contype=0,
            conaffinity=0,
        )
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
        """Plant, muscles, trial, what is on its way to the senses, the path, and sums over steps."""
        rows = [as_rows(muscles.parameters(body))[0] for body in self._loaded_bodies()]
        is_noisy = bool(self.motor_noise or self.vision_noise or self.proprioception_noise)
        noise_steps = NOISE_STEPS if is_noisy else 1
        vision_steps = self._steps("vision_delay") + 1
        proprioception_steps = self._steps("proprioception_delay") + 1
        plant = np.array([rows[i % len(rows)] for i in range(n)])
        assert plant.shape == (n, ROW_LENGTH)
        return {
            "plant": plant,  # `arm_parameters.ARM_RECORD` as plain numbers
            "muscles": np.zeros((n, COLUMN_COUNT, MUSCLE_COUNT)),
            "elbow": np.zeros(n),  # N m, the muscles' torque there
            "target": np.zeros((n, 2)),  # m
            "force": np.zeros((n, 2)),  # N, push on the hand
            "gain": np.zeros(n),  # of the field
            "squared": np.full(n, self.field == "squared"),
            "near_limit": np.zeros(n),
            "hand": np.zeros((n, 2)),  # m, as it is shown
            "vision": np.zeros((n, vision_steps, 2)),  # newest first
            "proprioception": np.zeros((n, proprioception_steps, SENSED_COUNT)),  # newest first
            "noise": np.zeros((n, noise_steps, NOISE_COUNT)),
            "step": np.zeros(n, np.int64),
            "path": np.zeros((n, HORIZON + 1, len(movement.Path))),
            "losses": np.zeros((n, len(movement.StepLoss))),
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
        """Start new trials of simulations `ids`.

        Start, target, push, gain and noise are drawn in this order whether used or not: variants of
        a task have the same trials for the same seeds.
        """
        arms = as_arms(memory["plant"][ids])
        low = arms["lowest_angle"]
        high = arms["highest_angle"]
        draws = np.array([rng.random(DRAW_COUNT) for rng in rngs])
        if memory["noise"].shape[1] > 1:
            memory["noise"][ids] = [rng.standard_normal((NOISE_STEPS, NOISE_COUNT)) for rng in rngs]

        angles = low + (high - low) * draws[:, START_DRAWS]
        # `qpos` second: the core reads it as well, for every task, and where both are given it is the start.
        for name in ("angles", "qpos"):
            if name in options:
                given = reset_option(name, options[name], (sim.n, 2), -np.inf, np.inf)[ids]
                angles = _inside(name, given, low, high)
        speeds = np.zeros((len(ids), 2))
        if "qvel" in options:
            bounds = (-LARGEST_SPEED, LARGEST_SPEED)
            speeds = reset_option("qvel", options["qvel"], (sim.n, 2), *bounds)[ids]
        start = muscles.hands(arms, angles)
        target = start
        if self.reaches:
            target = muscles.hands(arms, low + (high - low) * draws[:, TARGET_DRAWS])
        if "target" in options:
            bounds = (-FARTHEST_TARGET, FARTHEST_TARGET)
            given = reset_option("target", options["target"], (sim.n, 2), *bounds)[ids]
            target = self._reachable(given, ids)

        memory["target"][ids] = target
        self._reset_forces(sim.n, memory, ids, draws, options)
        is_near_limit = (angles < low + NEAR_LIMIT) | (angles > high - NEAR_LIMIT)
        memory["near_limit"][ids] = is_near_limit.any(1)
        sim.qpos[ids] = angles
        sim.qvel[ids] = speeds
        above_the_arm = np.full(len(ids), HEIGHT + TARGET_LIFT)
        sim.mocap_pos[ids, 0] = np.column_stack([target, above_the_arm])
        self._plant.start(sim, memory, ids)
        memory["hand"][ids] = start
        memory["path"][ids, 0, HAND_PATH] = start
        memory["path"][ids, 0, movement.Path.ELBOW_SPEED] = speeds[:, ELBOW]
        # The delay lines are filled with the start: before the trial nothing moved.
        for name, sensed in self._sensed(memory).items():
            memory[name][ids] = sensed[ids, None]

    def _reset_forces(
        self,
        n: int,
        memory: Memory,
        ids: np.ndarray,
        draws: np.ndarray,
        options: Mapping[str, Any],
    ) -> None:
        """Set the push and the field's gain of new trials, as drawn or as given; changes `memory`.

        Args:
            n: simulations in all.
            memory: the task's.
            ids: simulations that start.
            draws: numbers in [0, 1), (len(ids), `DRAW_COUNT`).
            options: of the reset.
        """
        least_gain, largest_gain = self._gains
        memory["force"][ids] = self.force * (2 * draws[:, PUSH_DRAWS] - 1)
        memory["gain"][ids] = least_gain + (largest_gain - least_gain) * draws[:, GAIN_DRAW]
        if "gain" in options and self.field == "none":
            raise LanceletError(
                "options['gain']: there is no field; make the task with field squared or linear"
            )
        if "force" in options:
            force = reset_option("force", options["force"], (n, 2), -LARGEST_FORCE, LARGEST_FORCE)
            memory["force"][ids] = force[ids]
        if "gain" in options:
            gain = reset_option("gain", options["gain"], (n,), 0.0, self._steepest)
            memory["gain"][ids] = gain[ids]

    def _reachable(self, target: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Targets (k, 2) of simulations `ids`, refused where the hand cannot be."""
        bodies = self.bodies()
        for i, body in enumerate(bodies):
            assert isinstance(body, Arm)
            own_targets = target[ids % len(bodies) == i]
            is_lost = np.isnan(body.angles_at(own_targets)).any(1)
            if is_lost.any():
                folded = [0.0, body.limits[1, ELBOW]]
                stretched = [0.0, 0.0]
                nearest, farthest = np.linalg.norm(body.hand([folded, stretched]), axis=1)
                raise LanceletError(
                    f"options['target'] = {own_targets[is_lost][0].tolist()}: out of reach; must be "
                    f"from {nearest:.3f} to {farthest:.3f} m from the shoulder, where the joint "
                    "limits let the hand be"
                )
        return target

    def advance(self, sim: Any, memory: Memory, action: np.ndarray) -> None:
        """Plant steps under one excitation; then what is sensed, and the sums of the metrics."""
        excitation = action.astype(float)
        if self.motor_noise:
            noise = self._noise(memory)[:, MOTOR_NOISE]
            excitation = np.clip(excitation + self.motor_noise * noise, 0.0, 1.0)
        impulse = np.zeros(sim.n)
        for _ in range(round(PERIOD / self.dt_plant)):
            # The torque at the beginning of the step is the one that moves the arm through it.
            impulse += self.dt_plant * memory["elbow"]
            self._plant.step(sim, memory, excitation, self.dt_plant)

        arms = as_arms(memory["plant"])
        memory["step"] += 1
        memory["hand"][:] = self._turned(memory, muscles.hands(arms, sim.qpos))
        for name, sensed in self._sensed(memory).items():
            delay_line = memory[name]
            if delay_line.shape[1] > 1:
                delay_line[:, 1:] = delay_line[:, :-1].copy()
            delay_line[:, 0] = sensed
        movement.book(
            hand=memory["hand"],
            target=memory["target"],
            action=action,
            muscles=memory["muscles"],
            peaks=arms["muscle"]["max_force"],
            impulse=impulse,
            speed=sim.qvel[:, ELBOW],
            step=memory["step"],
            path=memory["path"],
            losses=memory["losses"],
            sums=memory["sums"],
        )

    def _turned(self, memory: Memory, hand: np.ndarray) -> np.ndarray:
        """The hands (n, 2), m, as they are shown: turned about the start of their trial."""
        if not self.rotation:
            return hand
        start = memory["path"][:, 0, HAND_PATH]
        sin = math.sin(self.rotation)
        cos = math.cos(self.rotation)
        x, y = (hand - start).T
        # Not a matrix product: its last bits depend on the number of simulations.
        return start + np.stack([cos * x - sin * y, sin * x + cos * y], axis=1)

    def _noise(self, memory: Memory) -> np.ndarray:
        """The noise of this step, (n, `NOISE_COUNT`)."""
        rows = np.arange(len(memory["step"]))
        return memory["noise"][rows, memory["step"] % NOISE_STEPS]

    def _sensed(self, memory: Memory) -> Memory:
        """What eyes and muscles report now: the hand (n, 2), lengths and speeds (n, 12)."""
        hand = memory["hand"]
        felt = memory["muscles"][:, SENSED].reshape(-1, SENSED_COUNT)
        if memory["noise"].shape[1] > 1:
            noise = self._noise(memory)
            hand = hand + self.vision_noise * noise[:, VISION_NOISE]
            felt = felt + self.proprioception_noise * noise[:, PROPRIOCEPTION_NOISE]
        return {"vision": hand, "proprioception": felt}

    def observe(self, sim: Any, memory: Memory) -> np.ndarray:
        """The table of the class, (n, 16): the oldest entry of each delay line is what arrives now."""
        felt = memory["proprioception"][:, -1]
        seen_hand = memory["vision"][:, -1]
        return np.concatenate([felt, seen_hand, memory["target"]], axis=1).astype(np.float32)

    def reward(
        self, sim: Any, memory: Memory, action: np.ndarray
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Minus the weighted losses of the step, (n,), and these by name."""
        p1, p2, effort = (-memory["losses"] * np.array(self.weights)).T
        return p1 + p2 + effort, {"P1": p1, "P2": p2, "E": effort}

    def metrics(self, sim: Any, memory: Memory) -> dict[str, np.ndarray]:
        """The metrics that the class lists, (n,) each."""
        steps = memory["step"]
        means = memory["sums"] / np.maximum(steps, 1)[:, None]
        forearm_inertia = as_arms(memory["plant"])["forearm_inertia"]
        figures = movement.figures(memory["path"], steps, memory["target"], forearm_inertia, PERIOD)
        drift = {name: figures.pop(name) for name in movement.DRIFT}
        start = memory["path"][:, 0, HAND_PATH]
        metrics = {"final_error": np.linalg.norm(memory["target"] - memory["hand"], axis=1)}
        for name, column in movement.SUMS.items():
            metrics[name] = means[:, column]
        metrics |= figures
        metrics |= {
            "distance": np.linalg.norm(memory["target"] - start, axis=1),
            "force_x": memory["force"][:, 0].copy(),
            "force_y": memory["force"][:, 1].copy(),
            "gain": memory["gain"].copy(),
            "near_limit": memory["near_limit"].copy(),
        }
        metrics |= self._drift(drift, memory)
        return metrics

    def _drift(self, figures: dict[str, np.ndarray], memory: Memory) -> dict[str, np.ndarray]:
        """The metrics of drift, of which a reach has none.

        Args:
            figures: `movement.DRIFT`, (n,) each.
            memory: the task's.
        """
        return {}


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
        """Positional stability: how far the push drove the hand, and how fast it still drifts."""
        push = np.linalg.norm(memory["force"], axis=1)
        start = memory["path"][:, 0, HAND_PATH]
        displacement = np.linalg.norm(memory["hand"] - start, axis=1)
        # Over an infinite push the quotient is 0, its value where there is none.
        per_newton = 1e3 * displacement / np.where(push > 0, push, np.inf)
        return figures | {"drift_per_newton": per_newton}


def _inside(name: str, angles: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Angles (k, 2) clipped to the limits, which they may leave by as little as float32 rounds.

    Args:
        name: of the reset option, for the error.
        angles: rad, (k, 2).
        low: lowest angles, rad, (k, 2).
        high: highest angles, rad, (k, 2).

    Raises:
        LanceletError: an angle lies further outside.
    """
    is_inside = (angles >= low - ROUNDING) & (angles <= high + ROUNDING)
    if not is_inside.all():
        ranges = [
            f"{lowest:.4g} to {highest:.4g} ({joint})"
            for lowest, highest, joint in zip(low[0], high[0], JOINTS, strict=True)
        ]
        raise LanceletError(
            f"options[{name!r}] = {angles.tolist()}: must be within the joint limits, rad: "
            f"{', '.join(ranges)}"
        )
    return np.clip(angles, low, high)

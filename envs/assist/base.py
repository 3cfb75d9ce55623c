"""What all assistive tasks share: robot and person in one scene, commands, what is seen, forces, reward, unsafe ends.

The tasks are those of docs/systems/assist.md, "Tasks".
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import mujoco
import numpy as np
from gymnasium import spaces

from ... import morphology
from ...assist_layout import (
    BASE_COMMANDS,
    COMMAND_COUNT,
    COMMANDS,
    CONTROL_PERIOD,
    FORCE_UNIT,
    JOINT_COMMANDS,
    JOINTS,
    OBSERVATION_SIZE,
    PARTS,
)
from ...emg_layout import GESTURE_COUNT
from ...errors import LanceletError, unknown
from ...morphology.manipulator import SERVOS, MobileManipulator, wheel_speeds
from ...morphology.person import POSTURE, add_person
from ..checks import finite_reset_option, reset_option, within
from ..simulation import Simulation
from ..task import Memory, Observation, Task
from . import faults, scene
from .commands import CommandLayer
from .gestures import INPUTS, LAGS, SIGNALS, GestureInput, Stream
from .operator import Operator
from .plans import Plan
from .scene import Forces, Spread, Start

PROGRESS_REWARD = 20.0
"""1/m, for every metre that the tip comes nearer"""
NEAR_REWARD = 0.1
"""for every step within `NEAR` of the target, in tasks where staying there is what is asked; where something is to be
done there it would pay for dawdling: ten strokes and success are worth less than 500 steps of it"""
NEAR = 0.03
"""m"""
ACTION_COST = 0.002
"""times the sum of squares of an action"""
FORCE_COST = 0.02
"""1/N, for every newton over `GENTLE_FORCE`"""
GENTLE_FORCE = 8.0
"""N"""
UNSAFE_REWARD = -5.0
"""at an unsafe end: where ending an episode cost nothing, a learner would crash to be rid of the distance"""
SUCCESS_REWARD = 10.0
"""at success, where the same step is not unsafe"""
SECONDS_OF_SHORT_EPISODES = 25.0
"""s"""
LARGEST_FORCE_LIMIT = 200.0
"""N"""
ROUNDING = 1e-9
"""s, tolerance of a sum of control periods"""
SPEEDS = np.array(list(COMMANDS.values()))
"""(8,) m/s or rad/s of a command of 1"""
LEASHES = np.array([SERVOS[name].leash for name in JOINTS])
"""(6,) m or rad"""
ARENA = 256 * 1024
"""bytes for contacts and the solver of one simulation; the peak of use is 40 kB"""
# What the middle of the robot's base keeps free around the person's hips: the chair, and the base's half diagonal.
ROOM_BEFORE = 0.72
"""m, with the person's feet"""
ROOM_BEHIND = 0.62
"""m"""
ROOM_BESIDE = 0.62
"""m"""

OPTIONS_OF_INPUT = {
    "velocity": (),
    "gesture": ("speeds", "smoothing", "slips", "label_noise"),
    "emg": ("speeds", "smoothing", "signal", "users", "disturbances"),
}
"""input -> the options that have a meaning with it; others keep their usual values"""
USUAL_OPTIONS = {
    "speeds": "both",
    "smoothing": 1,
    "slips": 0.0,
    "label_noise": 0.0,
    "signal": "features",
    "users": None,
    "disturbances": {},
}
"""option of gestures -> its usual value"""


@dataclass(kw_only=True)
class Assist(Task):
    """A robot of eight degrees of freedom helps a person in a wheelchair.

    What a subclass adds: the tool, where the robot starts, what lies about, the target, and what counts as success.
    Observation, action, reward, unsafe ends and metrics are told in docs/systems/assist.md, "Tasks".
    """

    episode: Literal["long", "short"] = "long"
    """long: as much time as a person who steers by gestures needs; short: 25 s, and a start near the usual one"""
    force_limit: float = 20.0
    """N; a larger force between robot and person, in any substep, ends the episode as unsafe"""
    posture: tuple[float, ...] | None = None
    """rad, neck pitch, neck yaw, shoulder flexion, shoulder abduction, elbow; none: drawn at reset"""
    input: Literal["velocity", "gesture", "emg"] = "velocity"
    """what an action is: eight speeds, or scores of ten gestures, which an operator makes; with gesture the observation
    shows their labels, with emg the signals of their muscles (docs/systems/hdemg.md)"""
    speeds: Literal["both", "coarse", "fine"] = "both"
    """of gestures: fine at first and coarse where they are held, or always the same"""
    smoothing: int = 1
    """strides of 50 ms whose scores are averaged before a gesture is accepted; decoders average by themselves"""
    slips: float = 0.0
    """input gesture: probability that the operator presses another key than the one that was meant"""
    label_noise: float = 0.0
    """input gesture: probability, in every stride, of a label that is wrong"""
    signal: Literal["features", "emg"] = "features"
    """input emg: whether log levels (65) or voltages (64, 100) of a stride are observed"""
    users: tuple[int, ...] | None = None
    """input emg: whose arms, by number, taken in turn; none: one is drawn at reset"""
    disturbances: dict[str, Any] = field(default_factory=dict)
    """input emg: settings of `envs.emg.settings.Settings` by name; those that are not named are the usual ones"""

    substeps: ClassVar[int] = 25
    reset_options: ClassVar[tuple[str, ...]] = ("posture", "start")
    divergence_reward: ClassVar[float] = UNSAFE_REWARD
    tool: ClassVar[str] = "none"
    """what the robot holds: a name of `morphology.manipulator.TOOLS`"""
    start: ClassVar[Start]
    """middle of the start states"""
    long_spread: ClassVar[Spread] = Spread(x=0.15, y=0.08, yaw=0.25)
    """half widths of the start states in long episodes"""
    short_spread: ClassVar[Spread] = Spread(x=0.05, y=0.04, yaw=0.08)
    """half widths of the start states in short episodes"""
    plan: ClassVar[Plan]
    """what an operator who steers by gestures wants"""
    near_reward: ClassVar[float] = 0.0
    """for every step within `NEAR` of the target"""
    view: ClassVar[scene.View] = scene.BESIDE_THE_CHAIR
    """what pictures and films show"""

    def __post_init__(self) -> None:
        for body in self.bodies():
            if not isinstance(body, MobileManipulator):
                raise LanceletError(
                    f"{type(self).__name__}.body = {body!r}: needs a MobileManipulator"
                )
            if body.tool != self.tool:
                raise LanceletError(
                    f"{type(self).__name__}.body has tool = {body.tool!r}: must be {self.tool!r}"
                )
        if self.episode not in ("long", "short"):
            raise unknown("episode", self.episode, ("long", "short"))
        within("force_limit", self.force_limit, 0.0, LARGEST_FORCE_LIMIT, "N")
        if self.force_limit == 0:
            raise LanceletError("force_limit = 0: must be > 0 (N)")
        if self.posture is not None:
            is_row = isinstance(self.posture, tuple | list)
            if not is_row or len(self.posture) != len(POSTURE):
                raise LanceletError(
                    f"posture = {self.posture!r}: needs {len(POSTURE)} angles, of {', '.join(POSTURE)}"
                )
            self.posture = tuple(self.posture)
            for angle, (name, joint) in zip(self.posture, POSTURE.items(), strict=True):
                within(f"posture: {name}", angle, joint.low, joint.high, "rad")
        self._check_options_of_input()
        self._gestures = self._gesture_input()

    def _check_options_of_input(self) -> None:
        """Refuse what is not right about the input, and options that have no meaning with it."""
        if self.input not in INPUTS:
            raise unknown("input", self.input, INPUTS)
        if self.signal not in SIGNALS:
            raise unknown("signal", self.signal, SIGNALS)
        for name in ("slips", "label_noise"):
            within(name, getattr(self, name), 0.0, 1.0, "a probability")
        for name, usual in USUAL_OPTIONS.items():
            value = getattr(self, name)
            inputs = [repr(key) for key, names in OPTIONS_OF_INPUT.items() if name in names]
            if repr(self.input) not in inputs and value != usual:
                raise LanceletError(
                    f"{name} = {value!r}: has no meaning with input = {self.input!r}; "
                    f"it is of input = {' or '.join(inputs)}"
                )

    def _gesture_input(self) -> GestureInput | None:
        """The way from an operator's will to the robot; None where speeds steer."""
        layer = CommandLayer(self.speeds, self.smoothing)
        if self.input == "velocity":
            return None
        operator = Operator(
            plan=type(self).plan, lags=LAGS[self.input], layer=layer, slips=self.slips
        )
        return GestureInput(
            operator=operator,
            layer=layer,
            label_noise=self.label_noise,
            stream=self._stream(),
            signal=self.signal,
        )

    def _stream(self) -> Stream | None:
        """What makes the signals; None where labels are shown."""
        if self.input != "emg":
            return None
        # Here, so that tasks without signals do not load their generator.
        from ..emg.settings import Settings
        from ..emg.stream import Stream as MuscleStream

        level = "power" if self.signal == "features" else "signal"
        if not isinstance(self.disturbances, Mapping):
            raise LanceletError(
                f"disturbances = {self.disturbances!r}: must be a table of settings by name"
            )
        settings = Settings.from_json(self.disturbances)
        return MuscleStream(level=level, settings=settings, users=self.users)

    # -- what a subclass fills ----------------------------------------------------------------------------------------

    def furnish(self, spec: mujoco.MjSpec) -> None:
        """Add to the scene what the task needs beside robot and person; nothing here."""

    def own_memory(self, n: int) -> Memory:
        """Initial state of the task beyond what all assistive tasks keep: arrays of `n` rows."""
        return {}

    def draw(
        self,
        sim: Simulation,
        memory: Memory,
        i: int,
        rng: np.random.Generator,
    ) -> None:
        """Draw what is the task's own for simulation `i`: where the target is, where objects lie."""

    @abstractmethod
    def target(self, sim: Simulation, memory: Memory) -> tuple[np.ndarray, np.ndarray]:
        """Where the tip is to go, and which way the target faces: (n, 3) m and (n, 3), in the robot's frame."""

    @abstractmethod
    def judge(self, sim: Simulation, memory: Memory, forces: Forces) -> None:
        """Look at the step that was just made: write ``memory["success"]``, ``memory["event_reward"]`` and own rows."""

    def progress(self, memory: Memory) -> list[np.ndarray]:
        """Up to four figures, (n,) each, that tell how far the task is; they are observed."""
        return []

    def own_metrics(self, memory: Memory) -> dict[str, np.ndarray]:
        """Figures of the episode beyond those of all assistive tasks, (n,) each."""
        return {}

    # -- scene --------------------------------------------------------------------------------------------------------

    def default_body(self) -> morphology.Body:
        """The robot on its planar base, with the task's tool."""
        return morphology.make("manipulator", tool=self.tool)

    def spec(self, body: morphology.Body) -> mujoco.MjSpec:
        """Robot, person, what the task needs, sensors, light and camera."""
        spec = body.build()
        spec.memory = ARENA
        add_person(spec)
        self.furnish(spec)
        scene.add_sensors(spec, with_tool=self.tool != "none")
        scene.add_view(spec, self.view)
        return spec

    @property
    def observation_space(self) -> spaces.Space:
        """Box of 44 numbers; where gestures steer, a Dict."""
        if self._gestures is not None:
            return self._gestures.observation_space
        return spaces.Box(-np.inf, np.inf, (OBSERVATION_SIZE,), np.float32)

    @property
    def action_space(self) -> spaces.Space:
        """Box of 8 speeds, each a share of the largest; where gestures steer, of a score for each of ten."""
        if self._gestures is not None:
            return spaces.Box(0.0, 1.0, (GESTURE_COUNT,), np.float32)
        return spaces.Box(-1.0, 1.0, (COMMAND_COUNT,), np.float32)

    @property
    def time_limit(self) -> float | None:
        """25 s where episodes are short; the id's own limit holds for long ones."""
        return SECONDS_OF_SHORT_EPISODES if self.episode == "short" else None

    # -- an episode ---------------------------------------------------------------------------------------------------

    def memory(self, n: int) -> Memory:
        """What all assistive tasks keep, and the task's own."""
        return {
            "is_fresh": np.ones(n, bool),  # no step since the reset: set-points are not placed yet
            "distance": np.zeros(n),  # m, from the tip to the target
            "gain": np.zeros(n),  # m that the last step brought the tip nearer
            "event_reward": np.zeros(n),  # of the task's own events in the last step
            "force": np.zeros((n, 3)),  # N on the person, in the robot's frame
            "peak_force": np.zeros(n),  # N, the largest of the last step's substeps
            "worst_force": np.zeros(n),  # N, the largest of the episode
            "is_unsafe": np.zeros(n, bool),
            "has_failed": np.zeros(n, bool),  # for a reason of the task's own, such as a spilt cup
            "success": np.zeros(n, bool),
            **self.own_memory(n),
            **({} if self._gestures is None else self._gestures.memory(n)),
        }

    def reset(
        self,
        sim: Simulation,
        memory: Memory,
        ids: np.ndarray,
        rngs: Sequence[np.random.Generator],
        options: Mapping[str, Any],
    ) -> None:
        """Draw posture, robot and task of simulations `ids`; ``posture`` and ``start`` (x, y, yaw) may be given.

        Raises:
            LanceletError: an angle outside the person's range, or a robot that would stand in the chair.
        """
        postures, starts = self._given(sim.n, options)
        spread = self.short_spread if self.episode == "short" else self.long_spread
        for i, rng in zip(ids.tolist(), rngs, strict=True):
            # All is drawn whether it is used or not, so that one seed gives one episode whatever is given.
            posture = _draw_posture(rng)
            offset = rng.uniform(-1, 1, 3) * spread
            place = np.array([self.start.x, self.start.y, self.start.yaw]) + offset
            if self.posture is not None:
                posture = np.array(self.posture)
            if postures is not None:
                posture = postures[i]
            if starts is not None:
                place = starts[i]
            scene.write_posture(sim, i, posture)
            scene.write_robot(sim, i, place, self.start)
            self.draw(sim, memory, i, rng)
        if self._gestures is not None:
            # Last: a seed gives the same scene whatever steers.
            self._gestures.reset(memory, ids, rngs)

    def _given(
        self, n: int, options: Mapping[str, Any]
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Postures (n, 5) and starts (n, 3) of ``reset(options=)``, checked; None where they are not given."""
        postures = None
        if "posture" in options:
            postures = finite_reset_option("posture", options["posture"], (n, len(POSTURE)))
            for column, (name, joint) in enumerate(POSTURE.items()):
                reset_option(f"posture: {name}", postures[:, column], (n,), joint.low, joint.high)
        starts = None
        if "start" in options:
            starts = finite_reset_option("start", options["start"], (n, 3))
            _refuse_start_in_chair(starts)
        return postures, starts

    def advance(self, sim: Simulation, memory: Memory, action: np.ndarray) -> None:
        """Move the robot by the action for one control step; where gestures steer, let the operator go on."""
        self._begin_fresh(sim, memory)
        if self._gestures is None:
            self._move(sim, memory, np.asarray(action, float), None)
            return
        shares = self._gestures.command(memory, np.asarray(action, float))
        self._move(sim, memory, shares, faults.is_braking(memory["halt_steps"]))
        self._gestures.go_on(sim, memory, self._see(sim, memory))

    def _move(
        self, sim: Simulation, memory: Memory, shares: np.ndarray, is_braking: np.ndarray | None
    ) -> None:
        """Move the set-points by the commanded speeds for one control step, and look at the forces of every substep.

        Args:
            sim: moved on.
            memory: changed in place.
            shares: (n, 8) of the largest speeds, in [-1, 1].
            is_braking: (n,) True for the robots whose set-points are brought back to their joints; None: none is.
        """
        command = shares * SPEEDS
        columns = scene.columns(sim.model)
        lengths = sim.actuator_length[:, columns.joints]
        # The leash bounds the force with which the robot leans on whatever stops it.
        set_points = np.clip(sim.act, lengths - LEASHES, lengths + LEASHES)
        if is_braking is not None:
            set_points = faults.halted(set_points, lengths, is_braking)
        controls = sim.ctrl.copy()
        controls[:, columns.base] = _base_controls(columns.is_on_wheels, command)
        controls[:, columns.joints] = command[:, JOINT_COMMANDS]
        # Simulations that wait for their reset stay as they are.
        live = slice(None) if sim.live is None else sim.live
        sim.act[live] = set_points[live]
        sim.ctrl[live] = controls[live]

        recorded = sim.step_recorded(self.substeps)
        forces = scene.forces(sim, recorded)
        memory["gain"][:] = memory["distance"] - self._distance(sim, memory)
        memory["force"][:] = forces.on_person
        memory["peak_force"][:] = forces.peak
        np.maximum(memory["worst_force"], forces.peak, out=memory["worst_force"])
        memory["is_unsafe"] |= forces.peak > self.force_limit
        memory["event_reward"][:] = 0.0
        self.judge(sim, memory, forces)
        # Anew: the task may have chosen another target.
        memory["distance"][:] = self._distance(sim, memory)

    def _begin_fresh(self, sim: Simulation, memory: Memory) -> None:
        """Where no step was made yet: set-points begin at the positions, postures are held, the distance is measured.

        It is not done in `reset`: a start state that the caller gives replaces the drawn one only afterwards.
        """
        fresh = memory["is_fresh"]
        if not fresh.any():
            return
        columns = scene.columns(sim.model)
        lengths = sim.actuator_length
        sim.act[fresh] = lengths[fresh][:, columns.joints]
        rows = np.flatnonzero(fresh)
        sim.ctrl[np.ix_(rows, columns.posture)] = lengths[np.ix_(rows, columns.posture)]
        memory["distance"][fresh] = self._distance(sim, memory)[fresh]
        if self._gestures is not None:
            self._gestures.begin(sim, memory, self._see(sim, memory), fresh)
        memory["is_fresh"][:] = False

    def _distance(self, sim: Simulation, memory: Memory) -> np.ndarray:
        """Distance (n,) of the tip from the target, m."""
        place, _ = self.target(sim, memory)
        return np.linalg.norm(place - sim.sensor("tip"), axis=1)

    def observe(self, sim: Simulation, memory: Memory) -> Observation:
        """What docs/systems/assist.md lists under "Observation"; where gestures steer, what their decoder reads."""
        if self._gestures is not None:
            return self._gestures.observe(sim, memory)
        return self._see(sim, memory)

    def _see(self, sim: Simulation, memory: Memory) -> np.ndarray:
        """What docs/systems/assist.md lists under "Observation" (n, 44), in the robot's frame."""
        columns = scene.columns(sim.model)
        joints = sim.actuator_length[:, columns.joints]
        lead = (sim.act - joints) / LEASHES
        # Before the first step the set-points are not placed yet; they will begin at the positions.
        lead[memory["is_fresh"]] = 0.0
        tip = sim.sensor("tip")
        place, facing = self.target(sim, memory)
        seen = {
            "joints": joints,
            "lead": lead,
            "base_speed": scene.base_speed(sim),
            "tip": tip,
            "tip_axis": sim.sensor("tip_axis"),
            "tip_up": sim.sensor("tip_up"),
            "target": place - tip,
            "target_axis": facing,
            "object": self.carried(sim, memory) - tip,
            "person": sim.sensor("person")[:, :2],
            "person_facing": sim.sensor("person_facing")[:, :2],
            "force": memory["force"] / FORCE_UNIT,
            "peak_force": memory["peak_force"][:, None] / FORCE_UNIT,
            "progress": self._padded_progress(memory),
        }
        return np.concatenate([seen[name] for name in PARTS], axis=1).astype(np.float32)

    def _padded_progress(self, memory: Memory) -> np.ndarray:
        """The task's figures of progress (n, 4), 0 where it has fewer."""
        padded = np.zeros((len(memory["distance"]), PARTS["progress"]))
        for column, figure in enumerate(self.progress(memory)):
            padded[:, column] = figure
        return padded

    def carried(self, sim: Simulation, memory: Memory) -> np.ndarray:
        """Place (n, 3) of the object that is to be moved, m, in the robot's frame; without one, the tip's."""
        return sim.sensor("tip")

    def reward(
        self, sim: Simulation, memory: Memory, action: np.ndarray
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Progress towards the target, less effort and force, events of the task, and the price of an unsafe end.

        Where signals steer, the term ``fault`` is the number of the fault that stopped the robot in this step; it is
        not part of the reward.
        """
        effort = action if self._gestures is None else memory["moved_by"]
        terms = {
            "progress": PROGRESS_REWARD * memory["gain"],
            "near": self.near_reward * (memory["distance"] < NEAR),
            "action": -ACTION_COST * np.square(effort).sum(1),
            "force": -FORCE_COST * np.maximum(0.0, memory["peak_force"] - GENTLE_FORCE),
            "event": memory["event_reward"].copy(),
            "success": SUCCESS_REWARD * _helped(memory),
            "unsafe": UNSAFE_REWARD * (memory["is_unsafe"] | memory["has_failed"]),
        }
        reward = sum(terms.values(), np.zeros(sim.n))
        if self.input == "emg":
            terms["fault"] = memory["stopped_by"].astype(float)
        return reward, terms

    def terminated(self, sim: Simulation, memory: Memory) -> np.ndarray:
        """The person was helped, or hurt, or the task cannot be done any more."""
        return memory["success"] | memory["is_unsafe"] | memory["has_failed"]

    def metrics(self, sim: Simulation, memory: Memory) -> dict[str, np.ndarray]:
        """Success, unsafe end, distance, forces, and the task's own."""
        return {
            "success": _helped(memory).astype(float),
            "unsafe": memory["is_unsafe"].astype(float),
            "failed": memory["has_failed"].astype(float),
            "distance": memory["distance"].copy(),
            "worst_force": memory["worst_force"].copy(),
            **self.own_metrics(memory),
            **({} if self._gestures is None else self._gestures.metrics(memory)),
        }


def count_dwell(memory: Memory, is_there: np.ndarray, wanted: float) -> None:
    """Count how long what is asked has held without a break; it is success after the wanted time.

    Args:
        memory: ``dwell`` (n,), s, and ``success`` are changed in place.
        is_there: (n,) whether it holds at the end of this step.
        wanted: s.
    """
    memory["dwell"][:] = np.where(is_there, memory["dwell"] + CONTROL_PERIOD, 0.0)
    memory["success"] |= memory["dwell"] >= wanted - ROUNDING


def _helped(memory: Memory) -> np.ndarray:
    """True (n,) where the task is done, and neither was the person hurt nor did it fail in the same step."""
    return memory["success"] & ~memory["is_unsafe"] & ~memory["has_failed"]


def _draw_posture(rng: np.random.Generator) -> np.ndarray:
    """Angles (5,) around the usual posture, a quarter of each joint's range wide."""
    draws = rng.uniform(-1, 1, len(POSTURE))
    angles = []
    for draw, joint in zip(draws, POSTURE.values(), strict=True):
        angle = joint.rest + draw * (joint.high - joint.low) / 8
        angles.append(min(max(angle, joint.low), joint.high))
    return np.array(angles)


def _refuse_start_in_chair(starts: np.ndarray) -> None:
    """Refuse a robot (n, 3: x, y, yaw) that would stand in the person's chair."""
    x = starts[:, 0]
    y = starts[:, 1]
    inside = (x < ROOM_BEFORE) & (x > -ROOM_BEHIND) & (np.abs(y) < ROOM_BESIDE)
    if inside.any():
        first = np.flatnonzero(inside)[0]
        raise LanceletError(
            f"options['start'] = {starts[first].tolist()}: the robot would stand in the chair; "
            f"give |y| >= {ROOM_BESIDE} m, or x beyond {ROOM_BEFORE:.2f} m"
        )


def _base_controls(is_on_wheels: bool, command: np.ndarray) -> np.ndarray:
    """Controls (n, 2) of the two actuators of the base for commands (n, 8)."""
    if is_on_wheels:
        drive, turn = command[:, BASE_COMMANDS].T
        left, right = wheel_speeds(drive, turn)
        return np.stack([left, right], axis=1)
    return command[:, BASE_COMMANDS]

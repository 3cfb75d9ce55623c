"""Gestures as input of the assistive tasks: operator, labels or signals, commands, and what is seen and measured of them.

See docs/systems/hdemg.md. `base` calls, in every control step, `GestureInput.command` before the physics and
`GestureInput.go_on` after it. All that changes is in the task's memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from gymnasium import spaces

from ...assist_layout import (
    COMMAND_COUNT,
    CONTROL_PERIOD,
    FORCE_UNIT,
    MODES,
    ROBOT_PARTS,
    ROBOT_SIZE,
)
from ...emg_layout import (
    CHANNEL_COUNT,
    FEATURE_COUNT,
    GESTURE_COUNT,
    LEVEL_FLOOR,
    REST,
)
from ..simulation import Simulation
from ..task import Memory
from . import chance, faults, scene
from .commands import CommandLayer
from .operator import DRAW_WRONG, DRAW_WRONG_LABEL, Lags, Operator, another

INPUTS = ("velocity", "gesture", "emg")
"""what a task is steered by: eight speeds, labels of gestures, or signals of the muscles"""
SIGNALS = ("features", "emg")
"""what is observed of the muscles: one stride's features, or its voltages"""
LAGS = {
    "gesture": Lags(onset=0.0, rest=0.0, switch_press=0.7),
    "emg": Lags(onset=0.05, rest=0.05, switch_press=1.2),
}
"""input -> what the operator knows of its delays"""
STEADY_TIME = 0.4
"""s after a change of the gesture from which on it counts as steady"""
EFFORT = 1.0
"""overall contraction of a gesture"""


class Stream(Protocol):
    """What makes the signals (`envs.emg.stream.Stream`)."""

    @property
    def samples(self) -> int:
        """Samples of a stride of the signal."""
        ...

    def memory(self, n: int) -> Memory:
        """Rows whose names begin with ``emg_``."""
        ...

    def reset(self, memory: Memory, ids: np.ndarray, rngs: Sequence[np.random.Generator]) -> None:
        """Begin simulations `ids` anew, with a first stride at rest."""
        ...

    def advance(self, memory: Memory, gesture: np.ndarray, effort: np.ndarray) -> None:
        """Make one stride."""
        ...


@dataclass(frozen=True)
class GestureInput:
    """The way from the operator's will to the robot's command, for a batch."""

    operator: Operator
    layer: CommandLayer
    label_noise: float
    """probability that the label of a stride is a wrong one"""
    stream: Stream | None
    """makes the signals; None: labels are observed"""
    signal: Literal["features", "emg"]
    """what is observed of the signals"""

    @property
    def observation_space(self) -> spaces.Dict:
        """Dict of ``robot`` and of ``intent``, ``features`` or ``emg``."""
        if self.stream is None:
            shown = {"intent": spaces.Box(0.0, 1.0, (GESTURE_COUNT,), np.float32)}
        elif self.signal == "features":
            shown = {"features": spaces.Box(-np.inf, np.inf, (FEATURE_COUNT,), np.float32)}
        else:
            shown = {
                "emg": spaces.Box(-np.inf, np.inf, (CHANNEL_COUNT, self.stream.samples), np.float32)
            }
        robot = spaces.Box(-np.inf, np.inf, (ROBOT_SIZE,), np.float32)
        return spaces.Dict({**shown, "robot": robot})

    # -- an episode ---------------------------------------------------------------------------------------------------

    def memory(self, n: int) -> Memory:
        """What operator, command layer and signals keep, and what is measured."""
        signals = {} if self.stream is None else self.stream.memory(n)
        return {
            **self.operator.memory(n),
            **self.layer.memory(n),
            **signals,
            "stride": np.zeros(n, np.int64),  # strides of the episode: the counter of wrong labels
            "label": np.full(n, REST),  # gesture that the observation shows
            "fault": np.full(n, faults.NO_FAULT),  # of the stride that the observation shows
            "stopped_by": np.full(n, faults.NO_FAULT),  # fault by which the last step was a stop
            "halt_steps": np.zeros(n, np.int64),  # steps for which the present stop has lasted
            "moved_by": np.zeros(
                (n, COMMAND_COUNT)
            ),  # shares of the largest speeds of the last step
            "tip_place": np.zeros((n, 3)),  # m, of the tip in the room
            "start_place": np.zeros((n, 3)),  # m, where it was at the start
            "path": np.zeros(n),  # m that it has moved
            "wrong_path": np.zeros(n),  # m of it by gestures that were not meant
            "wrong_time": np.zeros(n),  # s that the robot moved by gestures that were not meant
            "strides": np.zeros(n),  # in which a gesture was accepted
            "right_strides": np.zeros(n),  # in which it was the one that the muscles made
            "steady_strides": np.zeros(n),
            "right_steady_strides": np.zeros(n),
            "stops": np.zeros(n),  # steps in which a fault stopped the robot
            "rest_wait": np.zeros(n),  # s for which the muscles rest and the robot does not yet
            "worst_rest_wait": np.zeros(n),  # s
        }

    def reset(self, memory: Memory, ids: np.ndarray, rngs: Sequence[np.random.Generator]) -> None:
        """Draw the keys of simulations `ids`; their signals begin at rest."""
        for i, rng in zip(ids.tolist(), rngs, strict=True):
            memory["operator_key"][i] = chance.draw_key(rng)
        if self.stream is None:
            return
        self.stream.reset(memory, ids, rngs)
        memory["fault"][ids] = self._faults(memory)[ids]

    def begin(self, sim: Simulation, memory: Memory, present: np.ndarray, rows: np.ndarray) -> None:
        """Look at the start state of simulations `rows` (n,) bool, before their first step."""
        self.operator.begin(memory, present, rows)
        place = _tip_place(sim)[rows]
        memory["tip_place"][rows] = place
        memory["start_place"][rows] = place

    def command(self, memory: Memory, scores: np.ndarray) -> np.ndarray:
        """Shares (n, 8) of the largest speeds for scores (n, 10): 0 where the signal is faulty, whatever they say."""
        shares = self.layer.decide(memory, scores)
        is_stopped = memory["fault"] != faults.NO_FAULT
        self.layer.stop(memory, is_stopped)
        shares[is_stopped] = 0.0
        memory["stopped_by"][:] = memory["fault"]
        memory["stops"] += is_stopped
        memory["halt_steps"][:] = np.where(is_stopped, memory["halt_steps"] + 1, 0)
        memory["moved_by"][:] = shares
        self._count_strides(memory)
        return shares

    def go_on(self, sim: Simulation, memory: Memory, present: np.ndarray) -> None:
        """After the physics: measure the motion, let the operator act, and make the next stride.

        Args:
            sim: after the step.
            memory: changed in place.
            present: (n, 44) observation at the step's end.
        """
        self._measure_path(sim, memory)
        self.operator.step(memory, present)
        memory["stride"] += 1
        if self.stream is None:
            self._show_label(memory)
            return
        self.stream.advance(memory, memory["gesture"], np.full(sim.n, EFFORT))
        memory["fault"][:] = self._faults(memory)

    def _show_label(self, memory: Memory) -> None:
        """Show the gesture, or with the given probability another one."""
        key = memory["operator_key"]
        stride = memory["stride"]
        is_wrong = chance.uniform(key, stride, DRAW_WRONG) < self.label_noise
        draw = chance.uniform(key, stride, DRAW_WRONG_LABEL)
        wrong = another(memory["gesture"], draw, with_rest=True)
        memory["label"][:] = np.where(is_wrong, wrong, memory["gesture"])

    def _faults(self, memory: Memory) -> np.ndarray:
        """Faults (n,) of the present stride."""
        return faults.judge(_power(memory), memory["emg_delay"])

    # -- what is seen -------------------------------------------------------------------------------------------------

    def observe(self, sim: Simulation, memory: Memory) -> dict[str, np.ndarray]:
        """What a decoder reads, and what is known of the robot."""
        robot = self._robot(sim, memory)
        if self.stream is None:
            return {"intent": _one_hot(memory["label"], GESTURE_COUNT), "robot": robot}
        if self.signal == "features":
            return {"features": features(_power(memory)), "robot": robot}
        # What broke is no number in the signal; policies get none, and `fault` tells.
        emg = np.nan_to_num(memory["emg_signal"], nan=0.0, posinf=0.0, neginf=0.0)
        return {"emg": emg.astype(np.float32), "robot": robot}

    def _robot(self, sim: Simulation, memory: Memory) -> np.ndarray:
        """The 24 numbers of `ROBOT_PARTS`."""
        columns = scene.columns(sim.model)
        parts = {
            "joints": sim.actuator_length[:, columns.joints],
            "base_speed": scene.base_speed(sim),
            "mode": _one_hot(memory["mode"], len(MODES)),
            "accepted": _one_hot(memory["accepted"], GESTURE_COUNT),
            "held": (memory["held"] * CONTROL_PERIOD)[:, None],
            "fault": memory["fault"][:, None],
            "peak_force": memory["peak_force"][:, None] / FORCE_UNIT,
        }
        return np.concatenate([parts[name] for name in ROBOT_PARTS], axis=1).astype(np.float32)

    # -- figures ------------------------------------------------------------------------------------------------------

    def _count_strides(self, memory: Memory) -> None:
        """Compare what was accepted with what the muscles made in the stride that was decoded."""
        accepted = memory["accepted"] != REST
        is_right = accepted & (memory["accepted"] == memory["gesture"])
        is_steady = memory["gesture_age"] > STEADY_TIME
        memory["strides"] += accepted
        memory["right_strides"] += is_right
        memory["steady_strides"] += accepted & is_steady
        memory["right_steady_strides"] += is_right & is_steady
        waits = accepted & (memory["gesture"] == REST)
        memory["rest_wait"][:] = np.where(waits, memory["rest_wait"] + CONTROL_PERIOD, 0.0)
        np.maximum(memory["worst_rest_wait"], memory["rest_wait"], out=memory["worst_rest_wait"])

    def _measure_path(self, sim: Simulation, memory: Memory) -> None:
        """Add the way of the tip in this step, before the operator goes on."""
        place = _tip_place(sim)
        way = np.linalg.norm(place - memory["tip_place"], axis=1)
        memory["tip_place"][:] = place
        memory["path"] += way
        # What goes on for a moment after the muscles rest is late, but not wrong.
        is_wrong = (memory["accepted"] != REST) & (memory["accepted"] != memory["last_intent"])
        memory["wrong_path"] += way * is_wrong
        memory["wrong_time"] += CONTROL_PERIOD * is_wrong

    def metrics(self, memory: Memory) -> dict[str, np.ndarray]:
        """Figures of the way from the will to the command, (n,) each; shares of nothing are 1."""
        straight = np.linalg.norm(memory["tip_place"] - memory["start_place"], axis=1)
        return {
            "time": memory["stride"] * CONTROL_PERIOD,
            "presses": memory["operator_draws"].astype(float),
            "mode_switches": memory["mode_switches"].copy(),
            "strides": memory["strides"].copy(),
            "online_accuracy": _share(memory["right_strides"], memory["strides"]),
            "steady_strides": memory["steady_strides"].copy(),
            "steady_accuracy": _share(memory["right_steady_strides"], memory["steady_strides"]),
            "wrong_path": memory["wrong_path"].copy(),
            "wrong_time": memory["wrong_time"].copy(),
            "path_efficiency": _share(straight, memory["path"]),
            "worst_rest_wait": memory["worst_rest_wait"].copy(),
            "stops": memory["stops"].copy(),
        }


def features(power: np.ndarray) -> np.ndarray:
    """Features (n, 65) of one stride, from the mean square (n, 64) of each channel; where that is no number, of 0."""
    level = np.log(np.sqrt(np.nan_to_num(power, nan=0.0, posinf=0.0)) + LEVEL_FLOOR)
    median = np.median(level, axis=1, keepdims=True)
    return np.concatenate([level - median, median], axis=1).astype(np.float32)


def _power(memory: Memory) -> np.ndarray:
    """Mean square (n, 64) of each channel in the present stride."""
    if "emg_power" in memory:
        return memory["emg_power"]
    return np.square(memory["emg_signal"]).mean(2)


def _tip_place(sim: Simulation) -> np.ndarray:
    """Place (n, 3) of the tip in the room, m."""
    return sim.site_xpos[:, sim.model.site("tip").id].copy()


def _one_hot(numbers: np.ndarray, count: int) -> np.ndarray:
    """Rows (n, count) with a 1 where the number (n,) says."""
    rows = np.zeros((len(numbers), count), np.float32)
    rows[np.arange(len(numbers)), numbers] = 1.0
    return rows


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part / whole (n,), 1 where the whole is 0."""
    is_some = whole > 0
    return np.where(is_some, part, 1.0) / np.where(is_some, whole, 1.0)

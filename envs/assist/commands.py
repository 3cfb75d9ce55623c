"""From scores of gestures to commands of the robot: which gesture is accepted, what it moves, and how fast.

See docs/systems/hdemg.md, "Commands". Whoever gives the scores, a decoder, a keyboard or a policy, comes through here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...assist_layout import COMMAND_COUNT, COMMANDS, CONTROL_PERIOD, FINE_SPEEDS, MODES
from ...checks import whole_number
from ...emg_layout import GESTURE_COUNT, GESTURES, REST
from ...errors import unknown
from ..task import Memory

SPEEDS = ("both", "coarse", "fine")
"""both: fine at first, then growing to coarse"""
LEAST_SCORE = 0.6
"""mean score from which on a gesture may be accepted"""
STABLE_STRIDES = 2
"""strides in a row for which the same gesture must have the best mean score"""
MOST_SMOOTHING = 20
"""strides"""
FINE_TIME = 0.35
"""s that a gesture moves finely"""
GROWTH_TIME = 0.65
"""s after that in which the speed grows to coarse"""
SWITCH_HOLD = 0.4
"""s that a tripod must have been accepted; its release then switches the mode"""
ROUNDING = 1e-9
"""s, tolerance of a sum of strides"""
TRIPOD = GESTURES.index("tripod")
FINE_SHARES = np.array([FINE_SPEEDS[name] / COMMANDS[name] for name in COMMANDS])
"""(8,) fine speed over coarse speed of each axis"""
NO_AXIS = -1
DRIVE_MODE = MODES.index("drive")
PAIRS = {
    "drive": {
        "drive": ("wrist_flexion", "wrist_extension"),
        "turn": ("wrist_adduction", "wrist_abduction"),
    },
    "arm": {
        "lift": ("wrist_flexion", "wrist_extension"),
        "arm": ("wrist_adduction", "wrist_abduction"),
    },
    "wrist": {
        "wrist_pitch": ("wrist_flexion", "wrist_extension"),
        "wrist_yaw": ("wrist_adduction", "wrist_abduction"),
    },
}
"""mode -> axis -> the gestures that move it backwards and forwards"""
PAIRS_OF_ALL_MODES = {
    "wrist_roll": ("pronation", "supination"),
    "gripper": ("fist", "finger_extension"),
}
"""axis -> the gestures that move it backwards and forwards in every mode"""


def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs as arrays.

    Returns:
        Axis (mode, gesture), and its sign (mode, gesture); gesture (mode, axis, 0 backwards or 1 forwards), REST where
        the mode does not move the axis.
    """
    axes = np.full((len(MODES), GESTURE_COUNT), NO_AXIS)
    signs = np.zeros((len(MODES), GESTURE_COUNT))
    gestures = np.full((len(MODES), COMMAND_COUNT, 2), REST)
    names = list(COMMANDS)
    for number, mode in enumerate(MODES):
        for axis_name, pair in (PAIRS[mode] | PAIRS_OF_ALL_MODES).items():
            axis = names.index(axis_name)
            for direction, gesture_name in enumerate(pair):
                gesture = GESTURES.index(gesture_name)
                axes[number, gesture] = axis
                signs[number, gesture] = 2 * direction - 1
                gestures[number, axis, direction] = gesture
    return axes, signs, gestures


AXIS_OF, SIGN_OF, GESTURE_FOR = _tables()


@dataclass(frozen=True)
class CommandLayer:
    """Accepts gestures and moves the robot by them; all that changes is in the memory.

    Raises:
        LanceletError: unknown speeds, or a smoothing out of range.
    """

    speeds: Literal["both", "coarse", "fine"] = "both"
    """both: fine at first, then growing to coarse; the others: always the same"""
    smoothing: int = 1
    """strides whose scores are averaged; decoders of signals average by themselves"""

    def __post_init__(self) -> None:
        if self.speeds not in SPEEDS:
            raise unknown("speeds", self.speeds, SPEEDS)
        whole_number("smoothing", self.smoothing, least=1, most=MOST_SMOOTHING)

    def memory(self, n: int) -> Memory:
        """State before the first stride: rest is all that there was."""
        scores = np.zeros((n, self.smoothing, GESTURE_COUNT))
        scores[:, :, REST] = 1.0
        return {
            "recent_scores": scores,  # the last strides', the newest last
            "candidate": np.full(n, REST),  # gesture of the best mean score
            "stable": np.zeros(n, np.int64),  # strides that it has been that without a doubt
            "accepted": np.full(n, REST),
            "held": np.zeros(
                n, np.int64
            ),  # strides that this gesture has been accepted without a break
            "mode": np.full(n, DRIVE_MODE),
            "mode_switches": np.zeros(n),
        }

    def decide(self, memory: Memory, scores: np.ndarray) -> np.ndarray:
        """Take the scores of one stride in, and say what the robot does.

        Args:
            memory: changed in place.
            scores: (n, 10) in [0, 1], of the gestures in their order.

        Returns:
            Shares (n, 8) of the largest speeds, in [-1, 1].
        """
        accepted = self._accept(memory, scores)
        before = memory["accepted"].copy()
        held_before = memory["held"].copy()
        goes_on = (accepted == before) & (accepted != REST)
        memory["held"][:] = np.where(goes_on, held_before + 1, accepted != REST)
        memory["accepted"][:] = accepted
        released = (before == TRIPOD) & (accepted != TRIPOD)
        switches = released & (held_before * CONTROL_PERIOD >= SWITCH_HOLD - ROUNDING)
        memory["mode"][:] = np.where(switches, (memory["mode"] + 1) % len(MODES), memory["mode"])
        memory["mode_switches"] += switches
        return self._shares(memory)

    def _accept(self, memory: Memory, scores: np.ndarray) -> np.ndarray:
        """The gesture (n,) that holds in this stride. Rest needs no second stride: stopping is the fastest path."""
        recent = memory["recent_scores"]
        recent[:, :-1] = recent[:, 1:]
        recent[:, -1] = scores
        total = np.zeros_like(scores, dtype=float)
        for stride in range(self.smoothing):
            total += recent[:, stride]
        mean = total / self.smoothing
        # Of equal scores the first is the best one: rest wins.
        best = mean.argmax(1)
        is_sure = mean.max(1) >= LEAST_SCORE
        is_same = best == memory["candidate"]
        stable = np.where(is_same, memory["stable"] + 1, 1)
        memory["stable"][:] = np.where(is_sure, stable, 0)
        memory["candidate"][:] = best
        rests_now = scores.argmax(1) == REST
        is_accepted = (memory["stable"] >= STABLE_STRIDES) & ~rests_now
        return np.where(is_accepted, best, REST)

    def _shares(self, memory: Memory) -> np.ndarray:
        """Commands (n, 8) of the accepted gestures in their modes."""
        mode = memory["mode"]
        gesture = memory["accepted"]
        axis = AXIS_OF[mode, gesture]
        rows = np.flatnonzero(axis != NO_AXIS)
        shares = np.zeros((len(mode), COMMAND_COUNT))
        hold = (memory["held"][rows] - 1) * CONTROL_PERIOD
        speed = self.speed(hold, FINE_SHARES[axis[rows]])
        shares[rows, axis[rows]] = SIGN_OF[mode[rows], gesture[rows]] * speed
        return shares

    def stop(self, memory: Memory, rows: np.ndarray) -> None:
        """Forget, in the simulations of the mask (n,), what was accepted: gestures must earn it anew."""
        fresh = self.memory(1)
        for name in ("recent_scores", "candidate", "stable", "accepted", "held"):
            memory[name][rows] = fresh[name][0]

    @property
    def onset(self) -> float:
        """Time from a gesture's first clear score to the robot's motion, s."""
        clear = math.ceil(LEAST_SCORE * self.smoothing - ROUNDING)
        return (clear + STABLE_STRIDES - 2) * CONTROL_PERIOD

    # -- how far a gesture moves --------------------------------------------------------------------------------------

    def speed(self, hold: np.ndarray, fine: np.ndarray) -> np.ndarray:
        """Share (n,) of the coarse speed after a gesture was held for a while.

        Args:
            hold: (n,) s.
            fine: (n,) share of the fine speed.
        """
        if self.speeds == "fine":
            return fine + 0.0 * hold
        if self.speeds == "coarse":
            return np.ones_like(hold)
        growth = np.clip((hold - FINE_TIME) / GROWTH_TIME, 0.0, 1.0)
        return fine + (1.0 - fine) * growth

    def travel(self, hold: np.ndarray, fine: np.ndarray) -> np.ndarray:
        """What a gesture has moved by, in s of coarse speed: the integral of `speed` from 0 to `hold` (n,)."""
        if self.speeds == "fine":
            return fine * hold
        if self.speeds == "coarse":
            return hold
        growing = np.clip(hold - FINE_TIME, 0.0, GROWTH_TIME)
        grown = np.maximum(hold - FINE_TIME - GROWTH_TIME, 0.0)
        return fine * (hold - grown) + (1.0 - fine) * growing * growing / (2 * GROWTH_TIME) + grown

    def hold_for(self, travel: np.ndarray, fine: np.ndarray) -> np.ndarray:
        """How long (n,) s a gesture must be held to move by so much: the inverse of `travel`."""
        if self.speeds == "fine":
            return travel / fine
        if self.speeds == "coarse":
            return travel
        at_growth = fine * FINE_TIME
        at_coarse = self.travel(np.full_like(fine, FINE_TIME + GROWTH_TIME), fine)
        slope = (1.0 - fine) / (2 * GROWTH_TIME)
        rest = np.maximum(travel - at_growth, 0.0)
        growing = (np.sqrt(fine * fine + 4 * slope * rest) - fine) / (2 * slope)
        grown = FINE_TIME + GROWTH_TIME + (travel - at_coarse)
        hold = np.where(travel <= at_growth, travel / fine, FINE_TIME + growing)
        return np.where(travel > at_coarse, grown, hold)

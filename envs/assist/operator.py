"""A person who steers by gestures, as a script: sees late, reacts late, moves one axis at a time, and corrects.

See docs/systems/hdemg.md, "Operator". Nobody was measured for it: it stands for a practised user who makes the errors of
timing that all people make. All that changes is in the task's memory, so that it is saved with the environment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...assist_layout import COMMAND_COUNT, COMMANDS, CONTROL_PERIOD, OBSERVATION_SIZE, SEEN
from ...emg_layout import GESTURE_COUNT, REST
from ..task import Memory
from . import chance
from .commands import FINE_SHARES, GESTURE_FOR, NO_AXIS, TRIPOD, CommandLayer
from .plans import Plan, Wish

VIEW_STEPS = 4
"""control steps by which the robot is seen late: 200 ms"""
VIEW_LAG = VIEW_STEPS * CONTROL_PERIOD
"""s"""
REACTION = 0.18
"""s from what is seen to the muscles, mean"""
REACTION_SPREAD = 0.04
"""s, its standard deviation"""
SHORTEST_REACTION = 0.08
"""s"""
SHORTEST_PRESS = 0.2
"""s"""
TIMING_NOISE = 0.15
"""standard deviation of a press's time, as a part of that stretch of it that cannot be watched"""
SETTLING = 0.05
"""s that the robot needs to come to rest"""
PATIENCE = 2.0
"""s after which a gesture that moved nothing is given up"""
HALF_STEP = CONTROL_PERIOD / 2
"""s; an event takes place in the control step that is nearest"""

# What the operator is doing.
LOOKING = 0
"""rests, until what is seen has come to rest, and while nothing is wanted"""
DECIDING = 1
"""has seen what is to be done, and is about to react"""
PRESSING = 2
"""makes a gesture"""
LETTING_GO = 3
"""makes it still, and has decided when to stop"""

COARSE = np.array(list(COMMANDS.values()))
"""(8,) m/s or rad/s"""
SWITCH = COMMAND_COUNT
"""the axis that stands for a switch of the mode"""

# What a number is drawn for.
DRAW_REACTION = 1
DRAW_TIMING = 2
DRAW_SLIP = 3
DRAW_SLIPPED = 4
DRAW_WRONG = 5
DRAW_WRONG_LABEL = 6


class Lags(NamedTuple):
    """What the operator has learned of the way from the muscles to the robot."""

    onset: float
    """s from a gesture's begin to its first clear score"""
    rest: float
    """s from its end to the robot's halt"""
    switch_press: float
    """s that a tripod is held to switch the mode"""


class View(NamedTuple):
    """What the operator sees of one moment, which is past."""

    seen: dict[str, np.ndarray]
    """part of an observation -> its numbers, (n, k)"""
    mode: np.ndarray
    """(n,)"""
    accepted: np.ndarray
    """(n,) gesture that the robot shows as accepted"""
    hold: np.ndarray
    """(n,) s that it had been so"""


def view_memory(n: int) -> Memory:
    """The last moments, the newest last: what `look` reads."""
    moments = VIEW_STEPS + 1
    return {
        "view": np.zeros((n, moments, OBSERVATION_SIZE), np.float32),
        "view_mode": np.zeros((n, moments), np.int64),
        "view_accepted": np.full((n, moments), REST),
        "view_held": np.zeros((n, moments), np.int64),
    }


@dataclass(frozen=True)
class Operator:
    """Steers a task by its plan.

    Args:
        plan: what is wanted.
        lags: what the operator knows of delays.
        layer: how the robot moves by gestures, which the operator has learned.
        slips: probability that a press is of another gesture than the one that was meant.
    """

    plan: Plan
    lags: Lags
    layer: CommandLayer
    slips: float = 0.0

    def memory(self, n: int) -> Memory:
        """State before the first stride."""
        return {
            **view_memory(n),
            "operator_key": np.zeros(n, np.uint64),
            "operator_draws": np.zeros(n, np.int64),  # presses so far: the counter of what is drawn
            "operator_phase": np.zeros(n, np.int64),  # of the plan
            "operator_state": np.full(n, LOOKING),
            "operator_clock": np.full(
                n, PATIENCE
            ),  # s since the present press, or the present rest, began
            "operator_timer": np.zeros(n),  # s until the operator reacts or lets go
            "operator_axis": np.full(n, NO_AXIS),  # that is to be moved; SWITCH: the mode
            "operator_sign": np.zeros(n),
            "intent": np.full(n, REST),  # gesture that is meant
            "last_intent": np.full(n, REST),  # gesture that is or was meant in the last press
            "gesture": np.full(n, REST),  # gesture that the muscles make
            "gesture_age": np.zeros(n),  # s since it changed
        }

    def begin(self, memory: Memory, present: np.ndarray, rows: np.ndarray) -> None:
        """Show the operator the start: what they see late was always so.

        Args:
            memory: changed in place.
            present: (n, 44) observation.
            rows: (n,) True for the simulations that start.
        """
        memory["view"][rows] = present[rows, None]
        memory["view_mode"][rows] = memory["mode"][rows, None]

    def step(self, memory: Memory, present: np.ndarray) -> None:
        """Go on by one control step: write the ``gesture`` of the next stride.

        Args:
            memory: changed in place.
            present: (n, 44) observation at the step's end.
        """
        view = self._look(memory, present)
        wish = self.plan(view.seen, memory["operator_phase"])
        state = memory["operator_state"].copy()
        gesture_before = memory["gesture"].copy()
        memory["operator_clock"] += CONTROL_PERIOD
        memory["operator_timer"] -= CONTROL_PERIOD
        is_due = memory["operator_timer"] <= HALF_STEP

        self._rest(memory, view, wish, state == LOOKING)
        self._begin_press(memory, view, wish, (state == DECIDING) & is_due)
        self._watch_press(memory, view, wish, state == PRESSING)
        may_end = memory["operator_clock"] >= SHORTEST_PRESS - HALF_STEP
        self._let_go(memory, (state == LETTING_GO) & is_due & may_end)
        changed = memory["gesture"] != gesture_before
        memory["gesture_age"][:] = np.where(changed, 0.0, memory["gesture_age"] + CONTROL_PERIOD)

    @property
    def _onset(self) -> float:
        """Time from the begin of a press to the robot's motion, s."""
        return self.lags.onset + self.layer.onset

    # -- looking ------------------------------------------------------------------------------------------------------

    def _look(self, memory: Memory, present: np.ndarray) -> View:
        """Take the present moment in, and return the one that the operator sees."""
        newest = {
            "view": present,
            "view_mode": memory["mode"],
            "view_accepted": memory["accepted"],
            "view_held": memory["held"],
        }
        for name, values in newest.items():
            moments = memory[name]
            moments[:, :-1] = moments[:, 1:]
            moments[:, -1] = values
        observation = memory["view"][:, 0].astype(float)
        held = memory["view_held"][:, 0]
        return View(
            seen={name: observation[:, part] for name, part in SEEN.items()},
            mode=memory["view_mode"][:, 0].copy(),
            accepted=memory["view_accepted"][:, 0].copy(),
            hold=held * CONTROL_PERIOD,
        )

    def _rest(self, memory: Memory, view: View, wish: Wish, rows: np.ndarray) -> None:
        """Where the operator looks (rows): once the halt itself is seen, see what is left, or go on in the plan."""
        settled = memory["operator_clock"] >= VIEW_LAG + self.lags.rest + SETTLING - HALF_STEP
        looks = rows & settled & (view.accepted == REST)
        is_next = looks & (wish.phase != memory["operator_phase"])
        memory["operator_phase"][is_next] = wish.phase[is_next]
        decides = looks & ~is_next & _is_wanted(wish).any(1)
        memory["operator_state"][decides] = DECIDING
        memory["operator_timer"][decides] = self._reaction(memory)[decides]
        memory["operator_draws"] += decides

    def _reaction(self, memory: Memory) -> np.ndarray:
        """Time (n,) of the present reaction, s: one draw a press."""
        noise = chance.normal(memory["operator_key"], memory["operator_draws"], DRAW_REACTION)
        return np.maximum(REACTION + REACTION_SPREAD * noise, SHORTEST_REACTION)

    # -- pressing -----------------------------------------------------------------------------------------------------

    def _begin_press(self, memory: Memory, view: View, wish: Wish, rows: np.ndarray) -> None:
        """Choose the axis with the largest remaining error in the present mode, or switch the mode (rows)."""
        wanted = _is_wanted(wish)
        in_mode = GESTURE_FOR[view.mode, :, 1] != REST
        # Times at the coarse speed make metres and radians comparable.
        time = np.abs(wish.error) / COARSE
        candidates = np.where(wanted & in_mode, time, -1.0)
        best = candidates.argmax(1)
        n = len(best)
        has_one = candidates[np.arange(n), best] >= 0
        axis = np.where(has_one, best, SWITCH)
        sign = np.where(has_one, np.sign(wish.error[np.arange(n), best]), 0.0)
        forwards = (sign > 0).astype(int)
        gesture = np.where(has_one, GESTURE_FOR[view.mode, best, forwards], TRIPOD)

        begins = rows & wanted.any(1)
        self._start(memory, begins, axis, sign, gesture)
        gives_up = rows & ~wanted.any(1)
        memory["operator_state"][gives_up] = LOOKING

    def _start(
        self,
        memory: Memory,
        rows: np.ndarray,
        axis: np.ndarray,
        sign: np.ndarray,
        gesture: np.ndarray,
    ) -> None:
        """Begin a press in some simulations (rows); it may slip to another gesture.

        Args:
            memory: changed in place.
            rows: (n,) bool.
            axis: (n,) to move; SWITCH: the mode.
            sign: (n,) direction.
            gesture: (n,) that is meant.
        """
        key = memory["operator_key"]
        draws = memory["operator_draws"]
        slips = chance.uniform(key, draws, DRAW_SLIP) < self.slips
        other = another(gesture, chance.uniform(key, draws, DRAW_SLIPPED), with_rest=False)
        values = {
            "operator_state": np.full_like(axis, PRESSING),
            "operator_clock": np.zeros(len(axis)),
            "operator_axis": axis,
            "operator_sign": sign,
            "intent": gesture,
            "last_intent": gesture,
            "gesture": np.where(slips, other, gesture),
        }
        for name, rows_of_it in values.items():
            memory[name][rows] = rows_of_it[rows]

    def _watch_press(self, memory: Memory, view: View, wish: Wish, rows: np.ndarray) -> None:
        """Decide when to let go (rows): as planned, after a wrong motion was seen, or out of patience."""
        clock = memory["operator_clock"]
        switches = memory["operator_axis"] == SWITCH
        reaction = self._reaction(memory)
        remaining, blind = self._remaining(memory, view, wish)
        noise = chance.normal(memory["operator_key"], memory["operator_draws"], DRAW_TIMING)
        # What is left of a long press is estimated anew in every step; the last stretch cannot be watched any more.
        timer = np.where(remaining <= reaction, remaining + TIMING_NOISE * noise * blind, np.inf)
        # Nobody sees a switch coming: the tripod is held for a learned time.
        switch_time = self.lags.switch_press * (1 + TIMING_NOISE * noise) - clock
        timer = np.where(switches, switch_time, timer)

        is_wrong = (view.accepted != REST) & (view.accepted != memory["intent"])
        # What the robot still showed of the press before this one is not taken for a wrong motion.
        is_wrong &= clock > VIEW_LAG
        out_of_patience = (clock > PATIENCE) & (view.accepted == REST)
        stops = is_wrong | out_of_patience
        timer = np.where(stops, np.minimum(timer, reaction), timer)
        decides = rows & np.isfinite(timer)
        memory["operator_state"][decides] = LETTING_GO
        memory["operator_timer"][decides] = timer[decides]

    def _remaining(self, memory: Memory, view: View, wish: Wish) -> tuple[np.ndarray, np.ndarray]:
        """Time (n,) until the press must end, s, and the time (n,) from what is seen to the halt, s."""
        n = len(view.mode)
        axis = np.minimum(memory["operator_axis"], SWITCH - 1)
        axis = np.maximum(axis, 0)
        fine = FINE_SHARES[axis]
        coarse = COARSE[axis]
        left = memory["operator_sign"] * wish.error[np.arange(n), axis]
        left = np.maximum(left, 0.0) / coarse
        moves = view.accepted == memory["intent"]
        hold = np.where(moves, view.hold, 0.0)
        blind = self.layer.hold_for(self.layer.travel(hold, fine) + left, fine) - hold
        # Before the motion is seen: it will have begun by its lag, unless what is seen contradicts.
        clock = memory["operator_clock"]
        unseen = np.clip(clock - self._onset, 0.0, VIEW_LAG)
        until_onset = np.maximum(self._onset - clock, 0.0)
        since = np.where(moves, VIEW_LAG, unseen - until_onset)
        return blind - since - self.lags.rest, blind

    def _let_go(self, memory: Memory, rows: np.ndarray) -> None:
        """Rest (rows)."""
        memory["gesture"][rows] = REST
        memory["intent"][rows] = REST
        memory["operator_state"][rows] = LOOKING
        memory["operator_clock"][rows] = 0.0
        memory["operator_axis"][rows] = NO_AXIS


def _is_wanted(wish: Wish) -> np.ndarray:
    """True (n, 8) for the axes that are to move."""
    return np.abs(wish.error) > wish.tolerance


def another(gesture: np.ndarray, draw: np.ndarray, with_rest: bool) -> np.ndarray:
    """Another gesture (n,) than the given one, each of them as probable.

    Args:
        gesture: (n,).
        draw: (n,) in (0, 1).
        with_rest: whether rest may come out; otherwise it never does.
    """
    first = 0 if with_rest else 1
    count = GESTURE_COUNT - first
    # A step of 1 to count - 1 around the ring of the gestures that may come out.
    step = 1 + np.floor(draw * (count - 1)).astype(np.int64)
    return first + (gesture - first + step) % count

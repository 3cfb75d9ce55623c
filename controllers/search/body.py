"""The motor state of navigators, and the two compiled loops that run for every agent at every step.

`sense` says what has happened to an agent since its last step, `drive` turns its target into an
action. Between the two, Python attends to the agents to whom something happened (`navigator`).
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numba import njit
from torch import Tensor

from .mind import TRAIL
from .motor_map import WINDOW, desired_speed
from .place_code import Decoder, displacement, wrap

# What an agent does: the values of `Body.mode`.
BABBLING = 0
"""it acts at random, to learn what its actions do"""
DRIVING = 1
"""it drives to its target"""
RESTING = 2
"""it stays at its target: it is at the goal, or has given up"""
ASLEEP = 3
"""its episode is over: it does nothing until it is put somewhere else"""

# What has happened to an agent since its last step: the values of `Sensed.events`.
NOTHING = 0
"""nothing that Python has to attend to"""
BABBLED = 1
"""it has seen what one more random action does"""
STARTED = 2
"""it was put somewhere, or its goal has moved"""
WON = 3
"""as `STARTED`, after a trial that ended at its goal"""
ARRIVED = 4
"""it is within the radius of its target"""
STALLED = 5
"""it has made no progress towards its target for too long"""
SUCCEEDED = 6
"""it is at its goal"""

CHANGE = 2
"""first column of `Body.window` that holds a change of velocity; actions stand before it"""


Values = TypeVar("Values", Tensor, np.ndarray)
"""what a body is made of"""


class Body(NamedTuple, Generic[Values]):
    """Motor state of n agents: tensors in the controller's state, arrays in its loops."""

    x: Values
    """(n, 2) m, position at the last step"""
    v: Values
    """(n, 2) m/s, velocity at the last step"""
    goal: Values
    """(n, 2) m, goal at the last step"""
    action: Values
    """(n, 2) in [-1, 1], the last action"""
    target: Values
    """(n, 2) m, what the agent drives to"""
    radius: Values
    """(n,) m, within which the target is reached; 0: only success ends the edge"""
    best: Values
    """(n,) m, least distance to the target so far"""
    idle: Values
    """(n,) steps without progress; below 0: time to turn round"""
    steps: Values
    """(n,) steps on this edge"""
    limit: Values
    """(n,) most steps on this edge"""
    patience: Values
    """(n,) steps without progress that are a stall"""
    mode: Values
    """(n,) `BABBLING`, `DRIVING`, `RESTING` or `ASLEEP`"""
    babble: Values
    """(n,) random actions left of this bout of babbling"""
    known: Values
    """(n,) True where x, v and action of a last step are there"""
    life: Values
    """(n,) steps lived, babble included"""
    gain: Values
    """(n, 2, 2) m/s, the learned motor map: change of velocity in a step by a full action"""
    inverse: Values
    """(n, 2, 2) s/m, inverse of `gain`"""
    window: Values
    """(n, WINDOW, 4), a ring of actions and of the changes of velocity (m/s) that followed"""
    filled: Values
    """(n,) steps put into the ring so far"""
    mark: Values
    """(n, 2) m, last point of the lived trail"""


def newborn(count: int, babble: int) -> Body[Tensor]:
    """Bodies, as tensors, of `count` agents that are to begin with `babble` random actions."""

    def vectors() -> Tensor:
        return torch.zeros(count, 2, dtype=torch.float64)

    def lengths() -> Tensor:
        return torch.zeros(count, dtype=torch.float64)

    def counts() -> Tensor:
        return torch.zeros(count, dtype=torch.int64)

    def identities() -> Tensor:
        return torch.eye(2, dtype=torch.float64).repeat(count, 1, 1)

    return Body(
        x=vectors(),
        v=vectors(),
        goal=vectors(),
        action=vectors(),
        target=vectors(),
        radius=lengths(),
        best=lengths(),
        idle=counts(),
        steps=counts(),
        limit=counts(),
        patience=counts(),
        mode=counts() + BABBLING,
        babble=counts() + babble,
        known=torch.zeros(count, dtype=torch.bool),
        life=counts(),
        gain=identities(),
        inverse=identities(),
        window=torch.zeros(count, WINDOW, 4, dtype=torch.float64),
        filled=counts(),
        mark=vectors(),
    )


def as_arrays(body: Body[Tensor]) -> Body[np.ndarray]:
    """The same body as arrays; they share the tensors' memory, so that a change goes both ways."""
    return Body(*(tensor.numpy() for tensor in body))


class Reading(NamedTuple):
    """How the motor layer reads a displacement from the harmonic code of two places."""

    noise: np.ndarray
    """(n, waves) rad, error on each phase that is read; (0, 0): there is none"""
    decoder: Decoder
    """of the code; the waves of its last band are read"""


class Limits(NamedTuple):
    """What `sense` tells events by."""

    success_radius: float
    """m from the goal that counts as there"""
    jump: float
    """m; a position that moves farther in one step was reset"""
    excess: float
    """s by which the control interval is longer than the one that `jump` is meant for"""
    progress: float
    """m by which the least distance to the target must fall to count as progress"""


class Sensed(NamedTuple):
    """What `sense` has found, for n agents."""

    events: np.ndarray
    """(n,), `NOTHING`, `BABBLED`, ..."""
    adds_to_trail: np.ndarray
    """(n,) True where the lived trail needs a new point"""
    to_target: np.ndarray
    """(n, 2) m, displacement of the target where an agent drives to it; else 0"""
    is_busy: bool
    """whether Python has to attend to any agent"""
    not_finite: int
    """first row whose observation is not finite; then nothing has changed; -1: there is none"""


@njit(cache=True)
def sense(
    body: Body[np.ndarray],
    observation: np.ndarray,
    goal: np.ndarray,
    reading: Reading,
    limits: Limits,
) -> Sensed:
    """What has happened to each agent since its last step; the step is remembered in `body`.

    Args:
        body: changed in place.
        observation: (n, 4), x and y in m, vx and vy in m/s.
        goal: (n, 2) m.
        reading: of the harmonic code.
        limits: by which events are told.
    """
    count = len(observation)
    phase = np.empty(reading.decoder.band_ends[-1])
    events = np.zeros(count, np.int64)
    adds_to_trail = np.zeros(count, np.bool_)
    to_target = np.zeros((count, 2))
    is_busy = False
    # All rows are looked at before the first is changed: a refused step leaves no trace.
    not_finite = _first_not_finite(observation, goal)
    if not_finite >= 0:
        return Sensed(
            events=events,
            adds_to_trail=adds_to_trail,
            to_target=to_target,
            is_busy=is_busy,
            not_finite=not_finite,
        )

    for i in range(count):
        x = observation[i, :2]
        v = observation[i, 2:]
        shift = np.hypot(x[0] - body.x[i, 0], x[1] - body.x[i, 1])
        is_same_goal = goal[i, 0] == body.goal[i, 0] and goal[i, 1] == body.goal[i, 1]
        if body.mode[i] == ASLEEP:
            is_same_velocity = v[0] == body.v[i, 0] and v[1] == body.v[i, 1]
            if shift == 0 and is_same_goal and is_same_velocity:
                continue
            body.mode[i] = DRIVING if body.babble[i] == 0 else BABBLING
        body.life[i] += 1
        # Over a long interval the ball itself goes far: as far as the faster of its two speeds
        # takes it.
        fastest = max(np.hypot(v[0], v[1]), np.hypot(body.v[i, 0], body.v[i, 1]))
        has_jumped = body.known[i] and shift > limits.jump + limits.excess * fastest
        if body.known[i] and not has_jumped:
            _remember_response(body, i, v)

        is_at_goal = np.hypot(x[0] - goal[i, 0], x[1] - goal[i, 1]) <= limits.success_radius
        if body.mode[i] == BABBLING:
            events[i] = BABBLED
        elif body.mode[i] == DRIVING and is_at_goal:
            events[i] = SUCCEEDED
        elif has_jumped or not is_same_goal or not body.known[i]:
            has_won = has_jumped and body.mode[i] == DRIVING and _was_at_goal(body, i, limits)
            events[i] = WON if has_won else STARTED
        elif body.mode[i] == DRIVING:
            dx, dy = _displacement_of_target(body, i, x, reading, phase)
            to_target[i, 0] = dx
            to_target[i, 1] = dy
            events[i] = _progress(body, i, np.hypot(dx, dy), limits.progress)
            from_mark = np.hypot(x[0] - body.mark[i, 0], x[1] - body.mark[i, 1])
            adds_to_trail[i] = from_mark > TRAIL

        # Last, since all of the above compares with the step before.
        for axis in range(2):
            body.x[i, axis] = x[axis]
            body.v[i, axis] = v[axis]
            body.goal[i, axis] = goal[i, axis]
        body.known[i] = True
        is_busy = is_busy or adds_to_trail[i] or events[i] != NOTHING
    return Sensed(
        events=events,
        adds_to_trail=adds_to_trail,
        to_target=to_target,
        is_busy=is_busy,
        not_finite=-1,
    )


@njit(cache=True)
def _first_not_finite(observation: np.ndarray, goal: np.ndarray) -> int:
    """First row of an observation (n, 4) or a goal (n, 2) that is not finite; -1: there is none."""
    for i in range(len(observation)):
        if not (np.isfinite(observation[i]).all() and np.isfinite(goal[i]).all()):
            return i
    return -1


@njit(cache=True)
def _remember_response(body: Body[np.ndarray], i: int, v: np.ndarray) -> None:
    """Put the last action, and the change of velocity that followed, into the ring of agent i."""
    at = body.filled[i] % WINDOW
    for axis in range(2):
        body.window[i, at, axis] = body.action[i, axis]
        body.window[i, at, CHANGE + axis] = v[axis] - body.v[i, axis]
    body.filled[i] += 1


@njit(cache=True)
def _was_at_goal(body: Body[np.ndarray], i: int, limits: Limits) -> bool:
    """Whether agent i stood at its goal, or a step away, when it was last seen.

    An environment that resets at success shows the agent's next start, never the step at the goal.
    """
    left = np.hypot(body.x[i, 0] - body.goal[i, 0], body.x[i, 1] - body.goal[i, 1])
    return left <= limits.success_radius + TRAIL


@njit(cache=True)
def _progress(body: Body[np.ndarray], i: int, distance: float, least: float) -> int:
    """Count a step of agent i on its edge, `distance` m from its target; the event that it is."""
    body.steps[i] += 1
    if distance < body.best[i] - least:
        body.best[i] = distance
        body.idle[i] = min(0, body.idle[i])
    else:
        body.idle[i] += 1
    if distance < body.radius[i]:
        return ARRIVED
    if body.idle[i] >= body.patience[i] or body.steps[i] >= body.limit[i]:
        return STALLED
    return NOTHING


@njit(cache=True)
def _displacement_of_target(
    body: Body[np.ndarray], i: int, x: np.ndarray, reading: Reading, phase: np.ndarray
) -> tuple[float, float]:
    """Displacement (m) of agent i's target from x, read from the codes of the two places.

    Args:
        body: of all agents.
        i: number of the agent.
        x: (2,) m.
        reading: of the harmonic code.
        phase: (waves,), room to work in; it is overwritten.
    """
    wave = reading.decoder.wave
    true_dx = body.target[i, 0] - x[0]
    true_dy = body.target[i, 1] - x[1]
    has_noise = len(reading.noise) > 0
    for j in range(len(phase)):
        noise = 0.0
        if has_noise:
            noise = reading.noise[i, j]
        phase[j] = wrap(wave[j, 0] * true_dx + wave[j, 1] * true_dy + noise)
    return displacement(phase, reading.decoder)


class Pace(NamedTuple):
    """How fast the motor layer drives."""

    speed: float
    """m/s, at most"""
    braking: float
    """m/s^2, deceleration that it reckons with"""
    settling: float
    """s; the ball goes no faster than would take it to its target in that time; 0: no such limit"""


@njit(cache=True)
def drive(
    body: Body[np.ndarray],
    observation: np.ndarray,
    sensed: Sensed,
    reading: Reading,
    pace: Pace,
) -> None:
    """Write the actions towards the targets into ``body.action``; those of babblers are there.

    The wanted velocity is the highest that can still be braked at the target; its difference to the
    present velocity goes through the inverse of the motor map.

    Args:
        body: changed in place.
        observation: (n, 4), x and y in m, vx and vy in m/s.
        sensed: what `sense` has found at this step.
        reading: of the harmonic code.
        pace: how fast to drive.
    """
    phase = np.empty(reading.decoder.band_ends[-1])
    for i in range(len(observation)):
        if body.mode[i] == ASLEEP:
            body.action[i] = 0.0
        elif body.mode[i] != BABBLING:
            dx = sensed.to_target[i, 0]
            dy = sensed.to_target[i, 1]
            # The target may be another one than at the time of sensing, or was not read at all.
            if sensed.events[i] != NOTHING or body.mode[i] == RESTING:
                dx, dy = _displacement_of_target(body, i, observation[i, :2], reading, phase)
            distance = np.hypot(dx, dy) + 1e-12
            speed = desired_speed(distance, pace.speed, pace.braking)
            if pace.settling > 0:
                speed = min(speed, distance / pace.settling)
            scale = speed / distance
            change_x = scale * dx - observation[i, 2]
            change_y = scale * dy - observation[i, 3]
            for axis in range(2):
                to_axis = body.inverse[i, axis]
                command = to_axis[0] * change_x + to_axis[1] * change_y
                body.action[i, axis] = min(1.0, max(-1.0, command))

"""What every navigator does at every step: babble, drive to a target, tell arrival from stall; its mind says where to.

All agents of a batch go through two compiled loops over rows; Python runs for an agent only when something happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numba import njit
from torch import Tensor

from ...errors import LanceletError
from ..core import Controller, Options, State
from .mind import TRAIL, Mind
from .motor_map import ENOUGH, EXPLAINED, WINDOW, desired_speed, fit, surprise
from .place_code import HarmonicCode, displacement, wrap

TUNED_INTERVAL = 0.01
"""s, control interval in which the options count time; with another one, as many seconds stay the same"""
LONGEST_INTERVAL = 0.5
"""s; with a longer one the ball crosses half a cell of a maze between two decisions"""
LAG = 3
"""control steps, however long, that a turn takes on top of its time: what is decided shows at the next step only"""
LEAST_EDGE_STEPS = 12
"""control steps, however long, that an edge is given"""
SETTLING = 2.0
"""times the excess of the interval over `TUNED_INTERVAL`: the ball goes no faster than would take it to its target in
that time, so that it does not overshoot between two decisions"""
BABBLING, DRIVING, RESTING, ASLEEP = 0, 1, 2, 3
NOTHING, FITTED, STARTED, WON, ARRIVED, STALLED, SUCCEEDED = 0, 1, 2, 3, 4, 5, 6
MOVING = 0.5
"""m/s, above which no wall stands in the way"""
SURPRISED = 0.3
"""relative error of the motor map from which it is suspected"""


@dataclass(frozen=True, kw_only=True)
class NavigatorOptions(Options):
    """The body's side of a navigator: what it is told, and how it moves."""

    interval: float = TUNED_INTERVAL
    """s from one action to the next; `controllers.make` takes it from the environment"""
    seed: int = 0
    """of the code, and with the agent's number of lattice offset, babble and draws"""
    success_radius: float = 0.45
    """m from the goal that counts as there"""
    spacing: float = 1.0
    """h0, lattice constant at level 0, m"""
    arrival: float = 0.35
    """share of the lattice constant within which a place is reached"""
    patience: int = 12
    """T_s, steps of 0.01 s without progress that are a stall; time to turn round is given on top"""
    progress: float = 0.01
    """m by which the least distance must fall to count"""
    edge_steps: int = 150
    """most steps of 0.01 s on one edge"""
    speed: float = 2.5
    """v_max, m/s"""
    braking: float = 10.0
    """a_b, m/s^2; less than what the actuators have"""
    babble: int = 30
    """most random actions of a bout of babbling; it ends sooner once the fit explains them"""
    jump: float = 0.35
    """m; the position moves farther in one step only when the world is reset"""
    modules: int = 256
    """hexagonal triplets of the harmonic code"""
    phase_noise: float = 0.0
    """rad, standard deviation, on every phase that the motor layer reads"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (
            "success_radius",
            "spacing",
            "arrival",
            "progress",
            "speed",
            "braking",
            "jump",
        ):
            if not getattr(self, name) > 0:
                raise LanceletError(f"{name} = {getattr(self, name)}: must be above 0")
        for name, least in (
            ("patience", 1),
            ("edge_steps", 1),
            ("babble", ENOUGH),
            ("modules", 64),
        ):
            if getattr(self, name) < least:
                raise LanceletError(f"{name} = {getattr(self, name)}: must be {least} or more")
        if not 0 < self.interval <= LONGEST_INTERVAL:
            raise LanceletError(
                f"interval = {self.interval}: the search needs an action at least every {LONGEST_INTERVAL} s; "
                "lower the task's frame_skip"
            )
        if not self.phase_noise >= 0:
            raise LanceletError(f"phase_noise = {self.phase_noise}: must be 0 or more")


class Body(NamedTuple):
    """Motor state of a batch, agents first: tensors in the controller's state, arrays in its loops."""

    x: Any
    """(n, 2) m, where it was at the last step"""
    v: Any
    goal: Any
    action: Any
    target: Any
    """(n, 2) m, what it drives to"""
    radius: Any
    """(n,) m, within which the target is reached; 0: only success ends the edge"""
    best: Any
    """(n,) m, least distance to the target so far"""
    idle: Any
    """(n,) steps without progress; below 0: time to turn round"""
    steps: Any
    """(n,) on this edge"""
    limit: Any
    """(n,) most steps on this edge"""
    patience: Any
    mode: Any
    babble: Any
    """(n,) random actions left"""
    known: Any
    """(n,) True where x, v and action of a last step are there"""
    life: Any
    """(n,) steps lived, babble included"""
    gain: Any
    """(n, 2, 2), the learned motor map, m/s"""
    inverse: Any
    window: Any
    """(n, WINDOW, 4), a ring of actions and the changes of velocity that followed"""
    filled: Any
    """(n,) steps put into the ring so far"""
    mark: Any
    """(n, 2) m, last point of the lived trail"""


def _fresh(n: int, babble: int) -> Body:
    def two() -> Tensor:
        return torch.zeros(n, 2, dtype=torch.float64)

    def count() -> Tensor:
        return torch.zeros(n, dtype=torch.int64)

    def one() -> Tensor:
        return torch.zeros(n, dtype=torch.float64)

    def square() -> Tensor:
        return torch.eye(2, dtype=torch.float64).repeat(n, 1, 1)

    ring = torch.zeros(n, WINDOW, 4, dtype=torch.float64)
    return Body(
        two(), two(), two(), two(), two(), one(), one(), count(), count(), count(), count(), count(), count() + babble,
        torch.zeros(n, dtype=torch.bool), count(), square(), square(), ring, count(), two(),
    )  # fmt: skip


class Navigator(Controller):
    """A plastic controller that walks a point mass to goals by a mind of its class; knows nothing of walls.

    Observation: Dict with ``observation`` (n, 4): x, y in m, vx, vy in m/s; ``desired_goal`` (n, 2) m. Action (n, 2)
    in [-1, 1]; what it does to the velocity is learned. State: `Body` of tensors and a list of minds, one an agent,
    changed in place; agent i of a batch lives the same life whoever stands beside it.

    Raises:
        LanceletError: other spaces; an observation that is not finite.
    """

    Options: ClassVar[type[Options]] = NavigatorOptions
    Mind: ClassVar[type[Mind]] = Mind
    pure = False

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Space, options: Any
    ) -> None:
        super().__init__(observation_space, action_space, options)
        who = type(self).__name__
        parts = observation_space.spaces if isinstance(observation_space, spaces.Dict) else {}
        if [parts[k].shape if k in parts else None for k in ("observation", "desired_goal")] != [
            (4,),
            (2,),
        ]:
            need = "a Dict of observation (x, y, vx, vy) and desired_goal (x, y)"
            raise LanceletError(
                f"{who} cannot read observation space {observation_space}: needs {need}"
            )
        if not isinstance(action_space, spaces.Box) or action_space.shape != (2,):
            raise LanceletError(f"{who} cannot act in {action_space}: needs a Box of 2 numbers")
        self.code = HarmonicCode(options.modules, options.seed)
        self._noiseless = np.zeros((0, 0))
        self._pace = options.interval / TUNED_INTERVAL
        self._excess = max(0.0, options.interval - TUNED_INTERVAL)

    def initial_state(self, batch: int) -> State:
        """Newborn agents: ``(body, minds)``."""
        return _fresh(batch, self.options.babble), [self.born(agent) for agent in range(batch)]

    def born(self, agent: int) -> Mind:
        """The mind of agent number `agent` of a batch at birth."""
        return self.Mind(self.options, agent)

    def reset(self, state: State, mask: Tensor) -> State:
        """`state` with newborn agents where `mask` (batch,) is True."""
        body, minds = state
        for old, new in zip(body, _fresh(len(minds), self.options.babble), strict=True):
            old[mask] = new[mask]
        return body, [
            self.born(i) if new else mind
            for i, (new, mind) in enumerate(zip(mask.tolist(), minds, strict=True))
        ]

    def forward(self, observation: Any, state: State) -> tuple[Tensor, State]:
        """Actions (n, 2), and `state`, changed in place."""
        tensors, minds = state
        body = Body(*(tensor.numpy() for tensor in tensors))
        seen = observation["observation"].numpy().astype(float, copy=False)
        goal = observation["desired_goal"].numpy().astype(float, copy=False)
        options, code = self.options, self.code
        noise = self._noiseless
        if options.phase_noise > 0:
            noise = np.stack(
                [mind.rng.normal(0.0, options.phase_noise, code.ends[-1]) for mind in minds]
            )
        reading = (noise, code.wave, code.inverse, code.ends)
        events, trails, away, busy, bad = _sense(
            body,
            seen,
            goal,
            *reading,
            options.success_radius,
            options.jump,
            self._excess,
            options.progress,
        )
        if bad >= 0:
            raise LanceletError(
                f"observation of agent {bad}: {seen[bad]} with goal {goal[bad]}: must be finite"
            )
        if busy:
            self._attend(body, minds, events, trails, seen, goal)
        _drive(
            body,
            seen,
            events,
            away,
            *reading,
            options.speed,
            options.braking,
            SETTLING * self._excess,
        )
        return torch.from_numpy(body.action.astype(np.float32)), state

    def _attend(
        self,
        body: Body,
        minds: list[Mind],
        events: np.ndarray,
        trails: np.ndarray,
        seen: np.ndarray,
        goal: np.ndarray,
    ) -> None:
        for row in np.flatnonzero(trails):
            minds[row].lived(body.mark[row].copy(), seen[row, :2])
            body.mark[row] = seen[row, :2]
        for row in np.flatnonzero(events):
            self._happened(
                int(events[row]),
                body,
                int(row),
                minds[row],
                seen[row, :2],
                seen[row, 2:],
                goal[row],
            )
        for row in np.flatnonzero(body.mode == BABBLING):
            done = self.options.babble - int(body.babble[row])
            body.action[row] = self._babbled(minds[row].rng, body.action[row], done)
            body.babble[row] -= 1

    def _babbled(self, rng: np.random.Generator, last: np.ndarray, done: int) -> np.ndarray:
        """A random action (2,), after `done` others of a bout, of which `last` was the latest.

        Over a long interval a full command would carry the ball into the walls: commands are as much weaker as the
        interval is longer, and each is taken back by the next one, so that the ball stays about where it is.
        """
        if self._excess > 0 and done % 2 == 1:
            return -last
        return rng.uniform(-1.0, 1.0, 2) / max(1.0, self._pace)

    def _control_steps(self, tuned_steps: int, least: int = 1) -> int:
        """As many control steps as take the time of `tuned_steps`; where they are long, the lag on top, and `least`."""
        steps = round(tuned_steps / self._pace)
        if self._excess == 0:
            return max(1, steps)
        return max(least, steps + LAG)

    def learn(
        self,
        observation: Any,
        action: Tensor,
        reward: Tensor,
        ended: Tensor,
        next_observation: Any,
        state: State,
    ) -> State:
        """Take in an episode's last step: its success, and that the agent sleeps until it is put somewhere else."""
        tensors, minds = state
        if not ended.any():
            return state
        body = Body(*(tensor.numpy() for tensor in tensors))
        seen, goal = (
            next_observation["observation"].numpy(),
            next_observation["desired_goal"].numpy(),
        )
        for row in np.flatnonzero(ended.numpy() & (body.mode != ASLEEP)):
            if (
                body.mode[row] != RESTING
                and np.hypot(*(seen[row, :2] - goal[row])) <= self.options.success_radius
            ):
                minds[row].succeeded()
            body.x[row], body.v[row], body.goal[row] = seen[row, :2], seen[row, 2:], goal[row]
            body.mode[row], body.known[row], body.action[row] = ASLEEP, False, 0.0
        return state

    def signals(self, state: State) -> dict[str, Tensor]:
        """Of every agent (n, 1): stalls, and what else its mind tells."""
        rows = [mind.signals() for mind in state[1]]
        return {
            name: torch.tensor([[float(row[name])] for row in rows], dtype=torch.float64)
            for name in rows[0]
        }

    def to_arrays(self, state: State) -> list[dict[str, np.ndarray]]:
        """Whole agents as arrays, one dict each."""
        body, minds = state
        rows = [{f"body.{name}": part[i].numpy().copy() for name, part in zip(Body._fields, body, strict=True)} for i in
                range(len(minds))]  # fmt: skip
        return [row | mind.to_arrays() for row, mind in zip(rows, minds, strict=True)]

    def from_arrays(self, agents: list[dict[str, np.ndarray]]) -> State:
        """The state that `to_arrays` took down."""
        body, minds = self.initial_state(len(agents))
        for i, (arrays, mind) in enumerate(zip(agents, minds, strict=True)):
            for name, part in zip(Body._fields, body, strict=True):
                part[i] = torch.as_tensor(arrays[f"body.{name}"])
            mind.from_arrays(arrays)
        return body, minds

    def _happened(
        self,
        event: int,
        body: Body,
        row: int,
        mind: Mind,
        x: np.ndarray,
        v: np.ndarray,
        goal: np.ndarray,
    ) -> None:
        mind.life = int(body.life[row])
        if event == FITTED:
            if not self._fitted(body, row):
                return
        elif event == ARRIVED:
            self._motor_fault(body, row)
            mind.arrived(x)
        elif event == STALLED:
            if not self._motor_fault(body, row):
                mind.stalled(x)
            elif body.mode[row] == BABBLING:
                return
        elif event == SUCCEEDED:
            mind.succeeded()
            body.mode[row], body.target[row] = RESTING, goal
            return
        elif event == WON:
            mind.succeeded()
        if event in (FITTED, STARTED, WON):
            mind.begin(x)
            body.mark[row] = x
        target = mind.propose(x, goal)
        if target is None:
            body.mode[row], body.target[row] = RESTING, x
            return
        body.mode[row] = DRIVING
        body.target[row] = target.point
        body.radius[row] = target.radius
        body.limit[row] = self._control_steps(target.limit, LEAST_EDGE_STEPS)
        body.patience[row] = self._control_steps(target.patience)
        away = target.point - x
        distance = np.hypot(*away)
        back = max(0.0, -float(v @ away) / (distance + 1e-9))
        gain = np.sqrt(abs(np.linalg.det(body.gain[row]))) + 1e-9
        body.best[row], body.steps[row] = distance, 0
        body.idle[row] = -min(int(2 * back / gain), 60)

    def _recent(self, body: Body, row: int, most: int) -> tuple[np.ndarray, np.ndarray]:
        filled = int(body.filled[row])
        last = np.arange(max(0, filled - most), filled) % WINDOW
        return body.window[row, last, :2], body.window[row, last, 2:]

    def _fitted(self, body: Body, row: int) -> bool:
        """Whether babbling is over: the map is fitted, or the bout is done and starts again."""
        told = min(int(body.filled[row]), self.options.babble - int(body.babble[row]))
        gain, error = (
            fit(*self._recent(body, row, min(told, WINDOW)))
            if told >= ENOUGH
            else (np.eye(2), np.inf)
        )
        if error <= EXPLAINED or (body.babble[row] <= 0 and np.isfinite(error)):
            self._adopt(body, row, gain)
            return True
        if body.babble[row] <= 0:
            body.babble[row] = self.options.babble
        return False

    def _adopt(self, body: Body, row: int, gain: np.ndarray) -> None:
        body.gain[row], body.inverse[row], body.babble[row] = gain, np.linalg.inv(gain), 0

    def _motor_fault(self, body: Body, row: int) -> bool:
        """Whether the map, not the world, is at fault for the last steps; then mends it, or begins to babble.

        A wall takes one direction away, and what is left has no inverse; other actuators keep both.
        """
        action, change = self._recent(body, row, 12)
        if len(action) < 12 or surprise(action, change, body.gain[row]) < SURPRISED:
            return False
        gain, error = fit(*self._recent(body, row, WINDOW))
        if error > EXPLAINED:
            gain, error = fit(action, change)
        if error <= EXPLAINED:
            moved = np.linalg.norm(gain - body.gain[row]) > 0.1 * np.linalg.norm(gain)
            if moved:
                self._adopt(body, row, gain)
            return bool(moved)
        if body.idle[row] < body.patience[row] or np.linalg.norm(body.v[row]) < MOVING:
            return False
        body.mode[row], body.babble[row] = BABBLING, self.options.babble
        return True


@njit(cache=True)
def _decoded(body, i, x, noise, wave, inverse, ends, phase):  # pyright: ignore[reportMissingParameterType]
    """Displacement (m) of the target from x, read from the bound phases of the two places."""
    right, up = body.target[i, 0] - x[0], body.target[i, 1] - x[1]
    for j in range(ends[-1]):
        phase[j] = wrap(
            wave[j, 0] * right + wave[j, 1] * up + (noise[i, j] if len(noise) > 0 else 0.0)
        )
    return displacement(phase, wave, inverse, ends)


@njit(cache=True)
def _sense(body, seen, goal, noise, wave, inverse, ends, success, jump, excess, progress):  # pyright: ignore[reportMissingParameterType]
    """What happened to each agent since its last step, and whether its trail needs a new point; remembers the step.

    Returns:
        events (n,), trails (n,), displacements of the targets (n, 2), whether any agent needs Python, and the first
        row that is not finite, -1 where all are: then nothing has changed.
    """
    n, phase = len(seen), np.empty(ends[-1])
    events, trails, away = np.zeros(n, np.int64), np.zeros(n, np.bool_), np.zeros((n, 2))
    busy = False
    for i in range(n):
        for k in range(4):
            if not (np.isfinite(seen[i, k]) and np.isfinite(goal[i, k % 2])):
                return events, trails, away, busy, i
    for i in range(n):
        x, v = seen[i, :2], seen[i, 2:]
        shift = np.hypot(x[0] - body.x[i, 0], x[1] - body.x[i, 1])
        same_goal = goal[i, 0] == body.goal[i, 0] and goal[i, 1] == body.goal[i, 1]
        if body.mode[i] == ASLEEP:
            if shift == 0 and same_goal and v[0] == body.v[i, 0] and v[1] == body.v[i, 1]:
                continue
            body.mode[i] = DRIVING if body.babble[i] == 0 else BABBLING
        body.life[i] += 1
        # Over a long interval the ball itself goes far: as far as the faster of its two speeds takes it.
        fastest = max(np.hypot(v[0], v[1]), np.hypot(body.v[i, 0], body.v[i, 1]))
        jumped = body.known[i] and shift > jump + excess * fastest
        if body.known[i] and not jumped:
            at = body.filled[i] % WINDOW
            for k in range(2):
                body.window[i, at, k] = body.action[i, k]
                body.window[i, at, 2 + k] = v[k] - body.v[i, k]
            body.filled[i] += 1
        there = np.hypot(x[0] - goal[i, 0], x[1] - goal[i, 1]) <= success
        if body.mode[i] == BABBLING:
            events[i] = FITTED
        elif body.mode[i] == DRIVING and there:
            events[i] = SUCCEEDED
        elif jumped or not same_goal or not body.known[i]:
            left = np.hypot(body.x[i, 0] - body.goal[i, 0], body.x[i, 1] - body.goal[i, 1])
            won = (
                jumped and body.mode[i] == DRIVING and left <= success + TRAIL
            )  # its last step was the goal's
            events[i] = WON if won else STARTED
        elif body.mode[i] == DRIVING:
            away[i] = _decoded(body, i, x, noise, wave, inverse, ends, phase)
            distance = np.hypot(away[i, 0], away[i, 1])
            body.steps[i] += 1
            if distance < body.best[i] - progress:
                body.best[i], body.idle[i] = distance, min(0, body.idle[i])
            else:
                body.idle[i] += 1
            if distance < body.radius[i]:
                events[i] = ARRIVED
            elif body.idle[i] >= body.patience[i] or body.steps[i] >= body.limit[i]:
                events[i] = STALLED
            trails[i] = np.hypot(x[0] - body.mark[i, 0], x[1] - body.mark[i, 1]) > TRAIL
        for k in range(2):
            body.x[i, k], body.v[i, k], body.goal[i, k] = x[k], v[k], goal[i, k]
        body.known[i] = True
        busy = busy or trails[i] or events[i] != NOTHING
    return events, trails, away, busy, -1


@njit(cache=True)
def _drive(body, seen, events, away, noise, wave, inverse, ends, speed, braking, settling):  # pyright: ignore[reportMissingParameterType]
    """Actions towards the targets: the velocity that can still stop there, through the inverse of the motor map."""
    phase = np.empty(ends[-1])
    for i in range(len(seen)):
        if body.mode[i] == ASLEEP:
            body.action[i] = 0.0
        elif body.mode[i] != BABBLING:
            dx, dy = away[i, 0], away[i, 1]
            if events[i] != NOTHING or body.mode[i] == RESTING:
                dx, dy = _decoded(body, i, seen[i, :2], noise, wave, inverse, ends, phase)
            distance = np.hypot(dx, dy) + 1e-12
            wanted_speed = desired_speed(distance, speed, braking)
            if settling > 0:
                wanted_speed = min(wanted_speed, distance / settling)
            fast = wanted_speed / distance
            right, up = fast * dx - seen[i, 2], fast * dy - seen[i, 3]
            for k in range(2):
                wanted = body.inverse[i, k, 0] * right + body.inverse[i, k, 1] * up
                body.action[i, k] = min(1.0, max(-1.0, wanted))

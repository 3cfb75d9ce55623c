"""What every navigator does: babble, drive to a target, tell arrival from stall.

Where to go is its mind's business (`mind`). All agents of a batch go through two compiled loops
over rows (`body`); Python runs for an agent only when something happened to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ...checks import finite_number, whole_number
from ...errors import LanceletError
from ..core import Controller, Options, State
from .body import (
    ARRIVED,
    ASLEEP,
    BABBLED,
    BABBLING,
    CHANGE,
    DRIVING,
    RESTING,
    STALLED,
    STARTED,
    SUCCEEDED,
    WON,
    Body,
    Limits,
    Pace,
    Reading,
    Sensed,
    as_arrays,
    drive,
    newborn,
    sense,
)
from .mind import Mind, Target
from .motor_map import ENOUGH, EXPLAINED, WINDOW, fit, surprise
from .place_code import HarmonicCode

TUNED_INTERVAL = 0.01
"""s, control interval in which the options count time; with another one, as many seconds stay the
same"""
LONGEST_INTERVAL = 0.5
"""s; with a longer one the ball crosses half a cell of a maze between two decisions"""
LAG = 3
"""control steps, however long, that a turn takes on top of its time: what is decided shows at the
next step only"""
LEAST_EDGE_STEPS = 12
"""control steps, however long, that an edge is given"""
SETTLING = 2.0
"""times the excess of the interval over `TUNED_INTERVAL`: the ball goes no faster than would take
it to its target in that time, so that it does not overshoot between two decisions"""
LONGEST_TURN = 60
"""steps, at most, that an agent is given to turn round before a lack of progress counts"""
MOVING = 0.5
"""m/s, above which no wall stands in the way"""
SURPRISED = 0.3
"""relative error of the motor map from which it is suspected"""
SUSPECT_STEPS = 12
"""last steps by which the motor map is suspected"""
OTHER_MAP = 0.1
"""relative difference from the present motor map above which a new fit replaces it"""
FEWEST_MODULES = 64
"""least number of modules of the harmonic code"""


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
        finite_number("success_radius", self.success_radius, above=0)
        finite_number("spacing", self.spacing, above=0)
        finite_number("arrival", self.arrival, above=0)
        finite_number("progress", self.progress, above=0)
        finite_number("speed", self.speed, above=0)
        finite_number("braking", self.braking, above=0)
        finite_number("jump", self.jump, above=0)
        finite_number("phase_noise", self.phase_noise, least=0)
        whole_number("patience", self.patience, least=1)
        whole_number("edge_steps", self.edge_steps, least=1)
        whole_number("babble", self.babble, least=ENOUGH)
        whole_number("modules", self.modules, least=FEWEST_MODULES)
        if not 0 < self.interval <= LONGEST_INTERVAL:
            raise LanceletError(
                f"interval = {self.interval}: the search needs an action at least every "
                f"{LONGEST_INTERVAL} s; lower the task's frame_skip"
            )


class Navigator(Controller):
    """A plastic controller that walks a point mass to goals by a mind of its class.

    It knows nothing of walls. Observation: Dict with ``observation`` (n, 4): x, y in m, vx, vy in
    m/s; ``desired_goal`` (n, 2) m. Action (n, 2) in [-1, 1]; what it does to the velocity is
    learned. State: `Body` of tensors and a list of minds, one an agent, changed in place; agent i of
    a batch lives the same life whoever stands beside it.

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
        name = type(self).__name__
        if not _has_position_and_goal(observation_space):
            need = "a Dict of observation (x, y, vx, vy) and desired_goal (x, y)"
            raise LanceletError(
                f"{name} cannot read observation space {observation_space}: needs {need}"
            )
        if not isinstance(action_space, spaces.Box) or action_space.shape != (2,):
            raise LanceletError(f"{name} cannot act in {action_space}: needs a Box of 2 numbers")
        self.code = HarmonicCode(options.modules, options.seed)
        self._tuned_steps_per_step = options.interval / TUNED_INTERVAL
        self._excess = max(0.0, options.interval - TUNED_INTERVAL)
        self._limits = Limits(
            success_radius=options.success_radius,
            jump=options.jump,
            excess=self._excess,
            progress=options.progress,
        )
        self._pace = Pace(
            speed=options.speed,
            braking=options.braking,
            settling=SETTLING * self._excess,
        )

    def initial_state(self, batch: int) -> State:
        """Newborn agents: ``(body, minds)``."""
        minds = [self.born(agent) for agent in range(batch)]
        return newborn(batch, self.options.babble), minds

    def born(self, agent: int) -> Mind:
        """The mind of agent number `agent` of a batch at birth."""
        return self.Mind(self.options, agent)

    def reset(self, state: State, mask: Tensor) -> State:
        """`state` with newborn agents where `mask` (batch,) is True; the body is changed in place."""
        body, minds = state
        fresh = newborn(len(minds), self.options.babble)
        for old_part, fresh_part in zip(body, fresh, strict=True):
            old_part[mask] = fresh_part[mask]
        next_minds = list(minds)
        for agent in torch.nonzero(mask).flatten().tolist():
            next_minds[agent] = self.born(agent)
        return body, next_minds

    def forward(self, observation: Any, state: State) -> tuple[Tensor, State]:
        """Actions (n, 2), and `state`, changed in place."""
        tensors, minds = state
        body = as_arrays(tensors)
        seen = observation["observation"].numpy().astype(float, copy=False)
        goal = observation["desired_goal"].numpy().astype(float, copy=False)
        reading = self._reading(minds)
        # What happened, what the minds make of it, then the actions: the order of one step.
        sensed = sense(body=body, observation=seen, goal=goal, reading=reading, limits=self._limits)
        if sensed.not_finite >= 0:
            agent = sensed.not_finite
            raise LanceletError(
                f"observation of agent {agent}: {seen[agent]} with goal {goal[agent]}: "
                "must be finite"
            )
        if sensed.is_busy:
            self._attend(body, minds, sensed, seen, goal)
        drive(body=body, observation=seen, sensed=sensed, reading=reading, pace=self._pace)
        return torch.from_numpy(body.action.astype(np.float32)), state

    def _reading(self, minds: list[Mind]) -> Reading:
        """The code as it is read at this step; noise is drawn from each mind's own generator."""
        decoder = self.code.decoder
        noise = np.zeros((0, 0))
        if self.options.phase_noise > 0:
            sigma = self.options.phase_noise
            waves_read = decoder.band_ends[-1]
            noise = np.stack([mind.rng.normal(0.0, sigma, waves_read) for mind in minds])
        return Reading(noise=noise, decoder=decoder)

    def _attend(
        self,
        body: Body[np.ndarray],
        minds: list[Mind],
        sensed: Sensed,
        seen: np.ndarray,
        goal: np.ndarray,
    ) -> None:
        """Tell minds what happened and draw random actions; `body` is changed in place.

        Args:
            body: of all agents, as arrays.
            minds: one an agent.
            sensed: what happened.
            seen: (n, 4), x and y in m, vx and vy in m/s.
            goal: (n, 2) m.
        """
        for row in np.flatnonzero(sensed.adds_to_trail):
            minds[row].lived(body.mark[row].copy(), seen[row, :2])
            body.mark[row] = seen[row, :2]
        for row in np.flatnonzero(sensed.events):
            self._respond(
                event=int(sensed.events[row]),
                body=body,
                row=int(row),
                mind=minds[row],
                seen=seen[row],
                goal=goal[row],
            )
        # After the events, since one of them may have ended a bout of babbling or begun one.
        for row in np.flatnonzero(body.mode == BABBLING):
            done = self.options.babble - int(body.babble[row])
            body.action[row] = self._random_action(minds[row].rng, body.action[row], done)
            body.babble[row] -= 1

    def _random_action(self, rng: np.random.Generator, last: np.ndarray, done: int) -> np.ndarray:
        """A random action (2,), after `done` others of a bout, of which `last` was the latest.

        Over a long interval a full command would carry the ball into the walls: commands are as much
        weaker as the interval is longer, and each is taken back by the next one, so that the ball
        stays about where it is.
        """
        if self._excess > 0 and done % 2 == 1:
            return -last
        return rng.uniform(-1.0, 1.0, 2) / max(1.0, self._tuned_steps_per_step)

    def _control_steps(self, tuned_steps: int, least: int = 1) -> int:
        """As many control steps as take the time of `tuned_steps`.

        Where control steps are long the lag comes on top, and there are `least` of them or more.
        """
        steps = round(tuned_steps / self._tuned_steps_per_step)
        if self._excess == 0:
            return max(1, steps)
        return max(least, steps + LAG)

    def _respond(
        self,
        event: int,
        body: Body[np.ndarray],
        row: int,
        mind: Mind,
        seen: np.ndarray,
        goal: np.ndarray,
    ) -> None:
        """Tell a mind what happened to its agent, and ask it where to go if that is open now.

        Args:
            event: `BABBLED`, `STARTED`, ...
            body: of all agents, as arrays, changed in place.
            row: number of the agent.
            mind: of the agent, changed in place.
            seen: (4,), x and y in m, vx and vy in m/s.
            goal: (2,) m.
        """
        x = seen[:2]
        v = seen[2:]
        mind.life = int(body.life[row])
        if event == BABBLED:
            if not self._has_learned_map(body, row):
                return
        elif event == ARRIVED:
            # What actions did on the way tells of the motor map, though the edge was run.
            self._mend_map(body, row)
            mind.arrived(x)
        elif event == STALLED:
            # Where the motor map is at fault the world is not, and no edge is blamed.
            if not self._mend_map(body, row):
                mind.stalled(x)
            elif body.mode[row] == BABBLING:
                return
        elif event == SUCCEEDED:
            mind.succeeded()
            _rest(body, row, goal)
            return
        elif event == WON:
            mind.succeeded()
        if event in (BABBLED, STARTED, WON):
            mind.begin(x)
            body.mark[row] = x
        target = mind.propose(x, goal)
        if target is None:
            _rest(body, row, x)
        else:
            self._set_out(body, row, target, x, v)

    def _set_out(
        self, body: Body[np.ndarray], row: int, target: Target, x: np.ndarray, v: np.ndarray
    ) -> None:
        """Agent `row` drives to a target from now on, from x (2,) m at velocity v (2,) m/s."""
        body.mode[row] = DRIVING
        body.target[row] = target.point
        body.radius[row] = target.radius
        body.limit[row] = self._control_steps(target.limit, LEAST_EDGE_STEPS)
        body.patience[row] = self._control_steps(target.patience)
        away = target.point - x
        distance = np.hypot(*away)
        body.best[row] = distance
        body.steps[row] = 0
        # An agent that moves away from its target is given the time to stop, twice over.
        receding_speed = max(0.0, -float(v @ away) / (distance + 1e-9))
        speed_per_step = np.sqrt(abs(np.linalg.det(body.gain[row]))) + 1e-9
        body.idle[row] = -min(int(2 * receding_speed / speed_per_step), LONGEST_TURN)

    def _has_learned_map(self, body: Body[np.ndarray], row: int) -> bool:
        """Whether babbling is over, as a motor map was fitted; a bout without one starts again."""
        in_this_bout = self.options.babble - int(body.babble[row])
        steps = min(int(body.filled[row]), in_this_bout)
        gain = np.eye(2)
        error = np.inf
        if steps >= ENOUGH:
            action, change = _last_steps(body, row, min(steps, WINDOW))
            gain, error = fit(action, change)
        is_bout_over = body.babble[row] <= 0
        # At the end of a bout a map that explains less will do: it is mended on the way.
        if error <= EXPLAINED or (is_bout_over and np.isfinite(error)):
            _adopt(body, row, gain)
            return True
        if is_bout_over:
            body.babble[row] = self.options.babble
        return False

    def _mend_map(self, body: Body[np.ndarray], row: int) -> bool:
        """Replace the motor map, or begin to babble, where the map is at fault for the last steps.

        A map that predicts badly is at fault where the actuators are others than before, and not where a wall is in
        the way. They are told apart by a new fit: other actuators still move the ball in both directions, a wall
        takes one of them away, and what is left has no inverse, so that the fit has an infinite error.

        Args:
            body: of all agents; the map and the mode of the agent are changed in place.
            row: the agent.

        Returns:
            Whether the map, and not the world, was at fault.
        """
        action, change = _last_steps(body, row, SUSPECT_STEPS)
        if len(action) < SUSPECT_STEPS or surprise(action, change, body.gain[row]) < SURPRISED:
            return False
        window_action, window_change = _last_steps(body, row, WINDOW)
        gain, error = fit(window_action, window_change)
        if error > EXPLAINED:
            # The actuators may have changed within the window.
            gain, error = fit(action, change)
        if error <= EXPLAINED:
            difference = np.linalg.norm(gain - body.gain[row])
            is_other_map = bool(difference > OTHER_MAP * np.linalg.norm(gain))
            if is_other_map:
                _adopt(body, row, gain)
            return is_other_map
        # No map explains the steps. Only an agent that gets nowhere for long, though no wall stops it, begins anew.
        has_patience = body.idle[row] < body.patience[row]
        may_be_at_wall = np.linalg.norm(body.v[row]) < MOVING
        if has_patience or may_be_at_wall:
            return False
        body.mode[row] = BABBLING
        body.babble[row] = self.options.babble
        return True

    def learn(
        self,
        observation: Any,
        action: Tensor,
        reward: Tensor,
        ended: Tensor,
        next_observation: Any,
        state: State,
    ) -> State:
        """Take in an episode's last step: its success, and that the agent sleeps from now on.

        Args:
            observation: before the step; not looked at.
            action: of the step; not looked at.
            reward: of the step; not looked at.
            ended: (n,), True from an agent's last step on.
            next_observation: after the step, the true last one where an episode ended.
            state: changed in place.

        Returns:
            `state`.
        """
        tensors, minds = state
        if not ended.any():
            return state
        body = as_arrays(tensors)
        seen = next_observation["observation"].numpy()
        goal = next_observation["desired_goal"].numpy()
        for row in np.flatnonzero(ended.numpy() & (body.mode != ASLEEP)):
            x = seen[row, :2]
            is_at_goal = np.hypot(*(x - goal[row])) <= self.options.success_radius
            # The mind of an agent that rests was told of its success before.
            if is_at_goal and body.mode[row] != RESTING:
                minds[row].succeeded()
            body.x[row] = x
            body.v[row] = seen[row, 2:]
            body.goal[row] = goal[row]
            body.mode[row] = ASLEEP
            body.known[row] = False
            body.action[row] = 0.0
        return state

    def signals(self, state: State) -> dict[str, Tensor]:
        """Stalls of every agent, and what else its mind tells: (n, 1) each."""
        _, minds = state
        told = [mind.signals() for mind in minds]
        signals = {}
        for name in told[0]:
            values = [[float(numbers[name])] for numbers in told]
            signals[name] = torch.tensor(values, dtype=torch.float64)
        return signals

    def to_arrays(self, state: State) -> list[dict[str, np.ndarray]]:
        """Whole agents as arrays, one dict each."""
        body, minds = state
        agents = []
        for row, mind in enumerate(minds):
            parts = zip(Body._fields, body, strict=True)
            arrays = {f"body.{name}": part[row].numpy().copy() for name, part in parts}
            agents.append(arrays | mind.to_arrays())
        return agents

    def from_arrays(self, agents: list[dict[str, np.ndarray]]) -> State:
        """The state that `to_arrays` wrote down."""
        body, minds = self.initial_state(len(agents))
        for row, (arrays, mind) in enumerate(zip(agents, minds, strict=True)):
            for name, part in zip(Body._fields, body, strict=True):
                part[row] = torch.as_tensor(arrays[f"body.{name}"])
            mind.from_arrays(arrays)
        return body, minds


def _has_position_and_goal(space: spaces.Space) -> bool:
    """Whether a space is a Dict with an ``observation`` of 4 numbers and a ``desired_goal`` of 2."""
    if not isinstance(space, spaces.Dict):
        return False
    shapes = {key: part.shape for key, part in space.spaces.items()}
    return shapes.get("observation") == (4,) and shapes.get("desired_goal") == (2,)


def _rest(body: Body[np.ndarray], row: int, x: np.ndarray) -> None:
    """Agent `row` stays at x (2,) m from now on; `body` is changed in place."""
    body.mode[row] = RESTING
    body.target[row] = x


def _adopt(body: Body[np.ndarray], row: int, gain: np.ndarray) -> None:
    """Agent `row` has the motor map `gain` (2, 2) m/s from now on; `body` is changed in place."""
    body.gain[row] = gain
    body.inverse[row] = np.linalg.inv(gain)
    body.babble[row] = 0


def _last_steps(body: Body[np.ndarray], row: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The last actions (m, 2) of an agent, `most` of them or fewer, and the changes of velocity."""
    filled = int(body.filled[row])
    last = np.arange(max(0, filled - most), filled) % WINDOW
    return body.window[row, last, :CHANGE], body.window[row, last, CHANGE:]

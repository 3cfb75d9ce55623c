"""Rollouts of agents with a state: collected, judged (GAE: Schulman et al. 2016), cut into sequences and unrolled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import keystr, tree_flatten_with_path, tree_map, tree_map_with_path

from ...controllers import Controller
from ...controllers.core import State
from ...envs import VectorEnv
from ..runs import interrupt
from .critic import Critic, Observations, flat


class Feedback(NamedTuple):
    """What the environment answered to an action: a plastic controller learns from it."""

    reward: Tensor
    """(T, n)"""
    ended: Tensor
    """(T, n), bool: the action was the last one of its episode"""
    next_observation: Observations
    """(T, n, ...): the true one, also where an episode has ended"""


@dataclass(kw_only=True)
class Steps:
    """What a controller is unrolled over: T steps of n agents side by side, (T, n, ...) unless said otherwise."""

    observation: Observations
    """(T, n, ...)"""
    action: Tensor
    """(T, n, m), with the noise"""
    begins: Tensor
    """(T, n), bool: the first step of an episode; the agent's state is reset before it"""
    start: State
    """(n, ...): the agents' state before the first step, a number to the gradient"""
    feedback: Feedback | None = None
    """the answer to each action; None where the controller does not learn from it"""

    def agents(self, ids: Tensor) -> Steps:
        """The steps of some of the agents, whose numbers are `ids`."""
        return Steps(
            observation=_agents_of(self.observation, ids),
            action=_agents_of(self.action, ids),
            begins=_agents_of(self.begins, ids),
            start=tree_map(lambda rows: rows[ids], self.start),
            feedback=_agents_of(self.feedback, ids),
        )


@dataclass(kw_only=True)
class Timeouts:
    """Where time limits cut episodes short, in one step of the rollout; e of them."""

    step: Tensor
    """(e,) number of the step in the rollout"""
    agent: Tensor
    """(e,) number of the agent"""
    critic_input: Tensor
    """(e, k) what a critic reads there: the true last observation and the agent's state"""


@dataclass(kw_only=True)
class Rollout:
    """T steps of n agents, and what they were worth."""

    steps: Steps
    """of all agents, in time order"""
    sequence_starts: list[State]
    """the agents' states, (n, ...) each, before the first step of every sequence"""
    mean: Tensor
    """actions without noise (T, n, m)"""
    reward: Tensor
    """(T, n)"""
    ended: Tensor
    """(T, n), bool: the last step of an episode"""
    critic_input: Tensor
    """what a critic reads (T + 1, n, k): the observation and the agent's state before it acts on it"""
    timeouts: list[Timeouts]
    """one entry for every step at which there were some"""
    episodes: list[tuple[float, int]]
    """return and length of the episodes that ended"""

    def cut(self) -> Steps:
        """All sequences side by side, in the order of `cut`."""
        length = len(self.reward) // len(self.sequence_starts)
        return Steps(
            observation=cut(self.steps.observation, length),
            action=cut(self.steps.action, length),
            begins=cut(self.steps.begins, length),
            start=tree_map(lambda *states: torch.cat(states), *self.sequence_starts),
            feedback=cut(self.steps.feedback, length),
        )


def cut(rows: Any, length: int) -> Any:
    """Tensors (T, n, ...) as (length, T / length x n, ...): pieces of `length` steps side by side.

    Piece number i of agent a has the number i n + a.

    Args:
        rows: a tensor, or any tree of tensors; None stays None.
        length: steps in a piece; must divide T.
    """

    def cut_tensor(tensor: Tensor) -> Tensor:
        pieces = tensor.unflatten(0, (-1, length))
        return pieces.transpose(0, 1).flatten(1, 2)

    return None if rows is None else tree_map(cut_tensor, rows)


class _ControlStep(NamedTuple):
    """What one control step of all agents gives."""

    row: dict[str, Any]
    """of the rollout, (n, ...) each, by the names that `Collector.collect` stacks them under"""
    info: dict[str, Any]
    """the environment's"""
    timed_out: np.ndarray
    """(n,), True where an episode was cut short by the time limit and did not end by itself"""


class Collector:
    """Agents of one controller in a vector env, from rollout to rollout.

    Args:
        env: with ``autoreset_mode="SameStep"``.
        controller: the actor; pure.
        seeds: of the start states, one a simulation.
    """

    def __init__(self, env: VectorEnv, controller: Controller, seeds: Sequence[int]) -> None:
        self.env = env
        self.controller = controller
        self.agent_count = env.num_envs
        self.observation, _ = env.reset(seed=seeds)
        self.state = controller.initial_state(self.agent_count)
        self.begins = torch.ones(self.agent_count, dtype=torch.bool)
        # A controller that does not override `learn` needs no feedback, which takes much memory.
        self._learns = type(controller).learn is not Controller.learn

    @torch.no_grad()
    def collect(self, length: int, sequence: int, std: Tensor) -> Rollout:
        """Let the agents act, with actions Normal(action of the controller, std).

        Args:
            length: control steps.
            sequence: the agents' states are kept every so many control steps; must divide `length`.
            std: standard deviation of the noise (m,), in units of the actions.
        """
        sequence_starts: list[State] = []
        rows: list[dict[str, Any]] = []
        timeouts: list[Timeouts] = []
        episodes: list[tuple[float, int]] = []
        # Drawn at once, before the first step: the stream of random numbers is then the same for every environment.
        noise = torch.randn(length, self.agent_count, len(std)) * std
        for step in range(length):
            if step % sequence == 0:
                sequence_starts.append(self.state)
            control_step = self._step(noise[step])
            rows.append(control_step.row)
            if "final_obs" in control_step.info:
                episodes += _finished(control_step.info)
            if control_step.timed_out.any():
                last_observation = control_step.row["next_observation"]
                timeouts.append(self._timeouts(step, control_step.timed_out, last_observation))
            interrupt.check()
        if not self._learns:
            # Nobody reads these any more, and they take as much memory as the observations.
            for row in rows:
                del row["next_observation"]
        last_input = self._critic_input(tree_map(torch.as_tensor, self.observation))
        stacked = _stack(rows)
        return Rollout(
            steps=Steps(
                observation=stacked["observation"],
                action=stacked["action"],
                begins=stacked["begins"],
                start=sequence_starts[0],
                feedback=self._feedback(stacked),
            ),
            sequence_starts=sequence_starts,
            mean=stacked["mean"],
            reward=stacked["reward"],
            ended=stacked["ended"],
            critic_input=torch.cat([stacked["critic_input"], last_input[None]]),
            timeouts=timeouts,
            episodes=episodes,
        )

    def _step(self, noise: Tensor) -> _ControlStep:
        """Let all agents act once; moves `state`, `observation` and `begins` on to the next step.

        Args:
            noise: added to the actions, (n, m).
        """
        if self.begins.any():
            self.state = self.controller.reset(self.state, self.begins)
        observation = tree_map(torch.as_tensor, self.observation)
        begins = self.begins
        # Read before the agents act: acting changes their state.
        critic_input = self._critic_input(observation)
        mean, self.state = self.controller(observation, self.state)
        mean = mean.flatten(1)
        action = mean + noise

        shaped_action = action.reshape(self.env.action_space.shape).numpy()  # pyright: ignore[reportArgumentType]
        self.observation, reward, terminated, truncated, info = self.env.step(shaped_action)
        reward = torch.as_tensor(reward, dtype=torch.float32)
        self.begins = torch.as_tensor(terminated | truncated)
        next_observation = self.observation
        if "final_obs" in info:
            next_observation = _with_final(self.observation, info)
        next_observation = tree_map(torch.as_tensor, next_observation)
        if self._learns:
            self.state = self.controller.learn(
                observation, action, reward, self.begins, next_observation, self.state
            )
        row = {
            "observation": observation,
            "begins": begins,
            "critic_input": critic_input,
            "mean": mean,
            "action": action,
            "reward": reward,
            "ended": self.begins,
            "next_observation": next_observation,
        }
        return _ControlStep(row=row, info=info, timed_out=truncated & ~terminated)

    def _timeouts(
        self, step: int, timed_out: np.ndarray, next_observation: Observations
    ) -> Timeouts:
        """The time-outs of one step, with the agents' states as they are after it.

        Args:
            step: its number in the rollout.
            timed_out: which episodes were cut short, (n,) bool.
            next_observation: the true last observations, (n, ...).
        """
        agent = torch.as_tensor(np.flatnonzero(timed_out))
        return Timeouts(
            step=torch.full_like(agent, step),
            agent=agent,
            critic_input=self._critic_input(next_observation)[agent],
        )

    def _feedback(self, stacked: dict[str, Any]) -> Feedback | None:
        """What a controller learns from in a rollout; None where it does not learn."""
        if not self._learns:
            return None
        return Feedback(
            reward=stacked["reward"],
            ended=stacked["ended"],
            next_observation=stacked["next_observation"],
        )

    def _critic_input(self, observation: Observations) -> Tensor:
        """What a critic reads, (n, k): an observation, and the agents' states as they are now."""
        observation_rows = flat(observation, self.controller.observation_space)
        state_rows = flat_state(self.state, self.agent_count)
        return torch.cat([observation_rows, state_rows], dim=1)

    def state_dict(self) -> dict[str, Any]:
        """Simulations and agents, as arrays."""
        return {
            "env": self.env.state_dict(),
            "observation": self.observation,
            "agents": named(self.state),
            "begins": self.begins,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.env.load_state_dict(saved["env"])
        # The checkpoint names each tensor by its place in the tree; a fresh state shows what the tree looks like.
        fresh = self.controller.initial_state(self.agent_count)
        self.state = tree_map_with_path(lambda path, _: saved["agents"][keystr(path)], fresh)
        self.observation = saved["observation"]
        self.begins = saved["begins"]


def flat_state(state: State, n: int) -> Tensor:
    """The numbers in the states of `n` agents, one row an agent (n, size); no gradient flows through them."""
    tensors = named(state)
    # Sorted: a controller may return its dict in another order from step to step.
    rows = [tensors[name].detach().reshape(n, -1).float() for name in sorted(tensors)]
    if not rows:
        return torch.zeros(n, 0)
    return torch.cat(rows, dim=1)


def named(state: State) -> dict[str, Tensor]:
    """The tensors of a state by their place in it: dicts may come in any order."""
    tensors, _ = tree_flatten_with_path(state)
    return {keystr(path): tensor for path, tensor in tensors}


@torch.no_grad()
def judge(rollout: Rollout, critic: Critic, gamma: float, decay: float) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimates (GAE) and the critic's targets, (T, n) each.

    With the value V, the reward r and the discount gamma, the error of one step is
    delta_t = r_t + gamma V_{t+1} - V_t, and the advantage is A_t = delta_t + gamma lambda A_{t+1}, which begins
    anew at every end of an episode. What follows a time-out is worth the critic's value of the true last
    observation, a termination nothing. The target is A_t + V_t.

    Args:
        rollout: of the agents.
        critic: value of what it reads.
        gamma: discount a step, 0 to 1.
        decay: lambda of the estimate, 0 to 1.
    """
    values = critic(rollout.critic_input.flatten(0, 1)).reshape(rollout.critic_input.shape[:2])
    value = values[:-1]
    next_value = torch.where(rollout.ended, 0.0, values[1:])
    if rollout.timeouts:
        # All in one call of the critic: its rounding depends on the size of the batch.
        steps = torch.cat([timeouts.step for timeouts in rollout.timeouts])
        agents = torch.cat([timeouts.agent for timeouts in rollout.timeouts])
        last_input = torch.cat([timeouts.critic_input for timeouts in rollout.timeouts])
        next_value[steps, agents] = critic(last_input)[:, 0]

    delta = rollout.reward + gamma * next_value - value
    weight_of_next = gamma * decay * (~rollout.ended).float()
    advantage = torch.empty_like(delta)
    next_advantage = torch.zeros_like(delta[0])
    # Backwards in time: each advantage holds the one of the step behind it.
    for step in reversed(range(len(delta))):
        advantage[step] = delta[step] + weight_of_next[step] * next_advantage
        next_advantage = advantage[step]
    return advantage, advantage + value


def unroll(controller: Controller, steps: Steps) -> Tensor:
    """Actions without noise (T, n, m), the states flowing in time; the gradient stops where an episode begins.

    Args:
        controller: pure.
        steps: of the agents; where the controller learns, it learns again from what it learned from then.
    """
    length = len(steps.begins)
    some_begin = steps.begins.any(1).tolist()
    # The controller unrolls a stretch of steps in one call. A stretch ends where the state is changed from outside:
    # before a step at which an episode begins, and after every step where the controller learns.
    if steps.feedback is None:
        bounds = [0, *(step for step in range(1, length) if some_begin[step]), length]
    else:
        bounds = list(range(length + 1))

    state = steps.start
    actions = []
    for first, end in pairwise(bounds):
        if some_begin[first]:
            state = controller.reset(state, steps.begins[first])
        observations = _at(steps.observation, slice(first, end))
        action, state = controller.unroll(observations, state)
        actions.append(action.flatten(2))
        if steps.feedback is not None:
            observation = _at(steps.observation, first)
            answer = _at(steps.feedback, first)
            state = controller.learn(
                observation,
                steps.action[first],
                answer.reward,
                answer.ended,
                answer.next_observation,
                state,
            )
    return torch.cat(actions)


def _agents_of(rows: Any, ids: Tensor) -> Any:
    """The columns `ids` of tensors (T, n, ...), in any tree of them; None stays None."""
    return None if rows is None else tree_map(lambda tensor: tensor[:, ids], rows)


def _at(tree: Any, index: int | slice) -> Any:
    """The step `index`, or a slice of the steps, of all tensors in a tree."""
    return tree_map(lambda tensor: tensor[index], tree)


def _stack(rows: list[Any]) -> Any:
    """Trees of tensors (n, ...) as one tree of tensors (T, n, ...)."""
    return tree_map(lambda *tensors: torch.stack(tensors), *rows)


def _finished(info: dict[str, Any]) -> list[tuple[float, int]]:
    """Return and length of the episodes that ended in a step, from the env's info."""
    ended = info["_final_obs"]
    returns = info["episode"]["r"][ended].tolist()
    lengths = info["episode"]["l"][ended].tolist()
    return list(zip(returns, lengths, strict=True))


def _with_final(observation: Any, info: dict[str, Any]) -> Any:
    """A copy of `observation` with the true last ones where episodes have ended.

    There, `observation` holds the first one of the next episode already.
    """
    ended = info["_final_obs"]
    last_ones = list(info["final_obs"][ended])
    if not isinstance(observation, dict):
        return _replaced(observation, ended, last_ones)
    result = {}
    for name, rows in observation.items():
        result[name] = _replaced(rows, ended, [last[name] for last in last_ones])
    return result


def _replaced(rows: np.ndarray, where: np.ndarray, values: list[np.ndarray]) -> np.ndarray:
    """A copy of `rows` (n, ...) with `values` in the rows `where` (n,) is true."""
    result = rows.copy()
    result[where] = np.stack(values)
    return result

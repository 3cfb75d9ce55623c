"""Rollouts of agents with a state: collected, judged (GAE: Schulman et al. 2016), cut into sequences and unrolled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import keystr, tree_flatten_with_path, tree_map, tree_map_with_path

from ...controllers import Controller
from ...controllers.core import State
from ...envs import VectorEnv
from ..runs import interrupt
from .critic import Critic, flat


@dataclass
class Steps:
    """What a controller is unrolled over: T steps of n agents side by side, (T, n, ...) unless said otherwise."""

    observation: Any
    action: Tensor
    """(T, n, m)"""
    begins: Tensor
    """bool: the first step of an episode; the agent's state is reset before it"""
    start: State
    """(n, ...): the agents' state before the first step, a number to the gradient"""
    lessons: tuple[()] | tuple[Tensor, Tensor, Any] = ()
    """reward, whether the episode ended, and true next observation, where the controller learns from them"""

    def agents(self, ids: Tensor) -> Steps:
        """Those of some agents."""
        observation, action, begins, lessons = tree_map(
            lambda x: x[:, ids], (self.observation, self.action, self.begins, self.lessons)
        )
        return Steps(observation, action, begins, tree_map(lambda x: x[ids], self.start), lessons)


@dataclass
class Rollout:
    """T steps of n agents, and what they were worth."""

    steps: Steps
    starts: list[State]
    """the agents' states, (n, ...) each, before the first step of every sequence"""
    mean: Tensor
    """actions without noise (T, n, m)"""
    reward: Tensor
    """(T, n)"""
    ended: Tensor
    """(T, n), bool: the last step of an episode"""
    seen: Tensor
    """what a critic reads (T + 1, n, k): the observation and the agent's state before it acts on it"""
    timeouts: list[tuple[Tensor, Tensor, Tensor]]
    """where time limits cut episodes short: step (e,), agent (e,), and what a critic reads there (e, k)"""
    episodes: list[tuple[float, int]]
    """return and length of the episodes that ended"""

    def cut(self) -> Steps:
        """All sequences side by side, in the order of `cut`."""
        length, s = len(self.reward) // len(self.starts), self.steps
        observation, action, begins, lessons = cut(
            (s.observation, s.action, s.begins, s.lessons), length
        )
        start = tree_map(lambda *parts: torch.cat(parts), *self.starts)
        return Steps(observation, action, begins, start, lessons)


def cut(rows: Any, length: int) -> Any:
    """Tensors (T, n, ...) as (length, T / length x n, ...): pieces of `length` steps side by side."""
    return tree_map(lambda x: x.unflatten(0, (-1, length)).transpose(0, 1).flatten(1, 2), rows)


class Collector:
    """Agents of one controller in a vector env, from rollout to rollout.

    Args:
        env: with ``autoreset_mode="SameStep"``.
        controller: the actor; pure.
        seeds: of the start states, one a simulation.
    """

    def __init__(self, env: VectorEnv, controller: Controller, seeds: Sequence[int]) -> None:
        self.env, self.controller, self.n = env, controller, env.num_envs
        self.observation, _ = env.reset(seed=seeds)
        self.state = controller.initial_state(self.n)
        self.begins = torch.ones(self.n, dtype=torch.bool)
        self._learns = type(controller).learn is not Controller.learn

    @torch.no_grad()
    def collect(self, length: int, sequence: int, std: Tensor) -> Rollout:
        """`length` steps with actions Normal(action, std), std (m,); states are kept every `sequence` steps."""
        starts, rows, timeouts, episodes = [], [], [], []
        noise = torch.randn(length, self.n, len(std)) * std
        for step in range(length):
            if step % sequence == 0:
                starts.append(self.state)
            row, info = self._step(noise[step])
            rows.append(row)
            if "final_obs" in info:
                done, ended = info["episode"], info["_final_obs"]
                episodes += zip(done["r"][ended].tolist(), done["l"][ended].tolist(), strict=True)
                if info["truncated"].any():
                    who = torch.as_tensor(np.flatnonzero(info["truncated"]))
                    timeouts.append((torch.full_like(who, step), who, self._seen(row["next"])[who]))
            interrupt.check()
        end = self._seen(tree_map(torch.as_tensor, self.observation))
        whole = _stack(
            [{k: v for k, v in row.items() if self._learns or k != "next"} for row in rows]
        )
        seen = torch.cat([whole["seen"], end[None]])
        lessons = (whole["reward"], whole["ended"], whole["next"]) if self._learns else ()
        steps = Steps(whole["observation"], whole["action"], whole["begins"], starts[0], lessons)
        return Rollout(
            steps, starts, whole["mean"], whole["reward"], whole["ended"], seen, timeouts, episodes
        )

    def _step(self, noise: Tensor) -> tuple[dict[str, Any], dict[str, Any]]:
        """One control step: its row of the rollout, and the env's info with what was truncated."""
        if self.begins.any():
            self.state = self.controller.reset(self.state, self.begins)
        observation, begins = tree_map(torch.as_tensor, self.observation), self.begins
        seen = self._seen(observation)
        mean, self.state = self.controller(observation, self.state)
        mean = mean.flatten(1)
        action = mean + noise
        self.observation, reward, terminated, truncated, info = self.env.step(
            action.reshape(self.env.action_space.shape).numpy()  # pyright: ignore[reportArgumentType]
        )
        reward, self.begins = (
            torch.as_tensor(reward, dtype=torch.float32),
            torch.as_tensor(terminated | truncated),
        )
        last = _true(self.observation, info) if "final_obs" in info else self.observation
        row = {
            "observation": observation,
            "begins": begins,
            "seen": seen,
            "mean": mean,
            "action": action,
            "reward": reward,
            "ended": self.begins,
            "next": tree_map(torch.as_tensor, last),
        }
        if self._learns:
            self.state = self.controller.learn(
                observation, action, reward, self.begins, row["next"], self.state
            )
        return row, {**info, "truncated": truncated & ~terminated}

    def _seen(self, observation: Any) -> Tensor:
        return torch.cat(
            [flat(observation, self.controller.observation_space), flat_state(self.state, self.n)],
            1,
        )

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
        fresh = self.controller.initial_state(self.n)
        self.state = tree_map_with_path(lambda path, _: saved["agents"][keystr(path)], fresh)
        self.observation, self.begins = saved["observation"], saved["begins"]


def flat_state(state: State, n: int) -> Tensor:
    """The numbers in the states of `n` agents, one row an agent (n, size); no gradient flows through them."""
    leaves = named(state)
    rows = [leaves[name].detach().reshape(n, -1).float() for name in sorted(leaves)]
    return torch.cat(rows, 1) if rows else torch.zeros(n, 0)


def named(state: State) -> dict[str, Tensor]:
    """The tensors of a state by their place in it: dicts may come in any order."""
    return {keystr(path): leaf for path, leaf in tree_flatten_with_path(state)[0]}


@torch.no_grad()
def judge(rollout: Rollout, critic: Critic, gamma: float, decay: float) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimates and the critic's targets, (T, n) each.

    What follows a time-out is worth the critic's value of the true last observation, a termination nothing.

    Args:
        rollout: of the agents.
        critic: value of what it reads.
        gamma: discount a step.
        decay: lambda of the estimate.
    """
    value = critic(rollout.seen.flatten(0, 1)).reshape(rollout.seen.shape[:2])
    after = torch.where(rollout.ended, 0.0, value[1:])
    if rollout.timeouts:
        steps, agents, seen = (torch.cat(parts) for parts in zip(*rollout.timeouts, strict=True))
        after[steps, agents] = critic(seen)[:, 0]
    delta, reach = (
        rollout.reward + gamma * after - value[:-1],
        gamma * decay * (~rollout.ended).float(),
    )
    advantage, later = torch.empty_like(delta), torch.zeros_like(delta[0])
    for t in reversed(range(len(delta))):
        advantage[t] = later = delta[t] + reach[t] * later
    return advantage, advantage + value[:-1]


def unroll(controller: Controller, steps: Steps) -> Tensor:
    """Actions without noise (T, n, m), the states flowing in time; the gradient stops where an episode begins.

    Args:
        controller: pure.
        steps: of the agents; where the controller learns, it learns again from what it learned from then.
    """
    state, actions, length = steps.start, [], len(steps.begins)
    begun = steps.begins.any(1).tolist()
    stops = [t for t in range(1, length) if begun[t] or steps.lessons]
    for first, end in pairwise([0, *stops, length]):
        if begun[first]:
            state = controller.reset(state, steps.begins[first])
        action, state = controller.unroll(_at(steps.observation, slice(first, end)), state)
        actions.append(action.flatten(2))
        if steps.lessons:
            reward, ended, last = _at(steps.lessons, first)
            state = controller.learn(
                _at(steps.observation, first), steps.action[first], reward, ended, last, state
            )
    return torch.cat(actions)


def _at(tree: Any, index: int | slice) -> Any:
    return tree_map(lambda x: x[index], tree)


def _stack(rows: list[Any]) -> Any:
    return tree_map(lambda *parts: torch.stack(parts), *rows)


def _true(observation: Any, info: dict[str, Any]) -> Any:
    """`observation` with the last ones of the episodes that ended in place of the first ones of the next."""
    ended = info["_final_obs"]
    last = list(info["final_obs"][ended])

    def put(rows: np.ndarray, lasts: list[np.ndarray]) -> np.ndarray:
        rows = rows.copy()
        rows[ended] = np.stack(lasts)
        return rows

    if isinstance(observation, dict):
        return {
            name: put(rows, [each[name] for each in last]) for name, rows in observation.items()
        }
    return put(observation, last)

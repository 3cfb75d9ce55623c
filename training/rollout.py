"""The one loop that marries task, controller and trainer: evaluation, evolution, benches and recording call it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from ..checks import seed_number, whole_number
from ..controllers import Controller, Population
from ..envs import VectorEnv
from ..errors import LanceletError
from ..tasks import check_task_options, task_id
from .runs import interrupt
from .sampled import Sampled

FAILED = -1e9
"""return of a failed episode where candidates are compared"""


@dataclass
class Score:
    """What a batch of episodes gave: arrays with one row an episode."""

    returns: np.ndarray
    lengths: np.ndarray
    metrics: dict[str, np.ndarray]
    """NaN where the physics diverged"""
    failed: np.ndarray
    """True where the physics diverged or the controller gave a number that is not finite"""
    record: dict[str, np.ndarray] = field(default_factory=dict)
    """of the first episode, (steps + 1, ...) each: qpos, mocap_pos, mocap_quat, and geom_pos where the simulation's own
    was ever written (walls that move); (steps, ...): reward, signals"""

    @property
    def comparable(self) -> np.ndarray:
        """Returns, (episodes,), with `FAILED` for those that failed."""
        return np.where(self.failed, FAILED, self.returns)

    @property
    def figures(self) -> dict[str, np.ndarray]:
        """``return`` and the metrics, (episodes,) each, NaN where an episode failed: it was no measure of the task.

        ``success`` is 0 there: a failure is no success.
        """
        figures = {}
        for name, values in {"return": self.returns, **self.metrics}.items():
            instead = 0.0 if name == "success" else np.nan
            figures[name] = np.where(self.failed, instead, values)
        return figures

    @property
    def means(self) -> dict[str, float]:
        """Means of `figures` over the episodes that have them; NaN where none has."""
        means = {}
        for name, values in self.figures.items():
            numbers = values[~np.isnan(values)]
            means[name] = float(numbers.mean()) if numbers.size else float("nan")
        return means


def make_env(
    id: str,
    n: int,
    max_episode_steps: int | None = None,
    nthread: int = 0,
    autoreset: AutoresetMode = AutoresetMode.DISABLED,
    **task: Any,
) -> VectorEnv:
    """The vector environment of `n` episodes side by side, each to be reset by the caller unless `autoreset` is on.

    Raises:
        LanceletError: an unknown task or field of it, a value that it cannot take, or no time limit.
    """
    id = task_id(id)
    check_task_options(id, task)
    limit = {} if max_episode_steps is None else {"max_episode_steps": max_episode_steps}
    env = gym.make_vec(id, num_envs=n, autoreset_mode=autoreset, nthread=nthread, **limit, **task)
    env = env.unwrapped
    assert isinstance(env, VectorEnv)
    if env.max_episode_steps is None:
        raise LanceletError(f"{id} has no time limit: give max_episode_steps=")
    return env


def _check_interval(controller: Controller, env: VectorEnv) -> None:
    """Refuse a controller whose option `interval` is not the time between two actions in `env`."""
    interval = getattr(controller.options, "interval", None)
    if interval is not None and not math.isclose(interval, env.control_dt):
        raise LanceletError(
            f"interval = {interval:g} s of the controller: this environment takes an action every "
            f"{env.control_dt:g} s; make the controller for this environment"
        )


def rollout(
    env: VectorEnv,
    agents: Population,
    seed: int | Sequence[int],
    options: Mapping[str, Any] | None = None,
    state: Any = None,
    record: bool = False,
    on_step: Callable[[int], None] | None = None,
) -> tuple[Score, Any]:
    """Run one episode in every simulation of `env`; return the score and the agents' last state.

    Args:
        env: with autoreset disabled and a time limit.
        agents: as many as `env` has simulations.
        seed: of the start states, as in `VectorEnv.reset`.
        options: of the reset.
        state: the agents' state to begin with; None: that of a fresh agent.
        record: keep the configurations, rewards and signals of the first episode.
        on_step: called with the step's number after each step.

    Raises:
        LanceletError: the controller counts time, and was made for another control interval than `env` has.
    """
    _check_interval(agents.controller, env)
    observation, _ = env.reset(seed=seed, options=options)
    n = env.num_envs
    state = agents.initial_state() if state is None else state
    returns, lengths = np.zeros(n), np.zeros(n, np.int64)
    failed, live = np.zeros(n, bool), np.ones(n, bool)
    metrics: dict[str, np.ndarray] = {}
    tape = _Tape(env) if record else None
    step = 0
    while live.any():
        action, state = agents(observation, state)
        finite = np.isfinite(action).reshape(n, -1).all(1)
        if not finite.all():
            failed |= live & ~finite
            action = np.where(np.isfinite(action), action, 0.0).astype(action.dtype)
        before, moved = observation, live.copy()
        observation, reward, terminated, truncated, info = env.step(action)
        returns += reward
        lengths += moved
        ended = terminated | truncated
        state = agents.learn(before, action, reward, ~moved | ended, observation, state)
        if "diverged" in info:
            failed |= info["diverged"]
        if ended.any():
            for name, rows in info.get("metrics", {}).items():
                if not name.startswith("_"):
                    metrics.setdefault(name, np.full(rows.shape, np.nan))[ended] = rows[ended]
        if tape is not None and moved[0]:
            tape.add(env, reward[0], agents.signals(state))
        live &= ~ended
        step += 1
        interrupt.check()
        if on_step is not None:
            on_step(step)
    return Score(returns, lengths, metrics, failed, tape.arrays() if tape else {}), state


class _Tape:
    """Configurations of simulation 0 as float32 (kilobytes an episode), rewards and signals."""

    _STATE = ("qpos", "mocap_pos", "mocap_quat")

    def __init__(self, env: VectorEnv) -> None:
        self._rows: dict[str, list[np.ndarray]] = {}
        self._configuration(env)

    def _configuration(self, env: VectorEnv) -> None:
        for name in self._STATE:
            if hasattr(env.sim, name):
                self._rows.setdefault(name, []).append(getattr(env.sim, name)[0].astype(np.float32))
        compiled = getattr(env.sim, "compiled", {}).get("geom_pos")
        if compiled is not None:
            before = [compiled[0].astype(np.float32)] * (
                len(self._rows["qpos"]) - 1
            )  # until the first write
            self._rows.setdefault("geom_pos", before).append(
                env.sim.field("geom_pos").values[0].astype(np.float32)
            )

    def add(self, env: VectorEnv, reward: float, signals: Mapping[str, torch.Tensor]) -> None:
        self._configuration(env)
        self._rows.setdefault("reward", []).append(np.float32(reward))  # pyright: ignore[reportArgumentType]
        for name, values in signals.items():
            self._rows.setdefault(f"signal.{name}", []).append(
                values[0].detach().numpy().astype(np.float32)
            )

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: np.stack(rows) for name, rows in self._rows.items()}


def evaluate(
    controller: Controller,
    id: str,
    episodes: int = 10,
    seed: int = 0,
    keep_state: bool = False,
    options: Mapping[str, Any] | None = None,
    record: bool = False,
    nthread: int = 0,
    std: float | Sequence[float] | None = None,
    **task: Any,
) -> Score:
    """Score a controller over start states; episode i starts as the single environment reset with ``seed + i``.

    Episodes run side by side, each with a fresh agent, and do not depend on how many there are, nor on threads.

    Args:
        controller: what acts.
        id: the task, ``"lancelet/Swim-v0"``.
        episodes: their number.
        seed: of the first start state.
        keep_state: one agent lives through all the episodes, one after the other.
        options: of every reset (``qpos`` of shape (episodes, nq), ...).
        record: keep the first episode's configurations (``score.record``).
        nthread: physics threads, 0 for all.
        std: of Gaussian action noise, one number or one an action: the sampled policy of reinforcement learning.
        **task: fields of the task, and ``max_episode_steps``.
    """
    episodes = whole_number("episodes", episodes, least=1)
    seed = seed_number(seed)
    torch.set_num_threads(1)
    if not keep_state:
        env = make_env(id, episodes, nthread=nthread, **task)
        agents = Population(controller, episodes)
        if std is not None:
            agents = Sampled(
                controller, std, range(seed, seed + episodes), env.max_episode_steps or 0
            )
        return rollout(env, agents, seed, options, record=record)[0]
    if std is not None:
        raise LanceletError("keep_state=True with std: noise is drawn for fresh agents only")
    env, agents, state, scores = (
        make_env(id, 1, nthread=nthread, **task),
        Population(controller, 1),
        None,
        [],
    )
    for episode in range(episodes):
        one = {
            name: value[episode] if np.ndim(value) > 1 else value
            for name, value in (options or {}).items()
        }
        score, state = rollout(env, agents, seed + episode, one, state, record and episode == 0)
        scores.append(score)
    join = np.concatenate
    return Score(
        join([s.returns for s in scores]),
        join([s.lengths for s in scores]),
        {name: join([s.metrics[name] for s in scores]) for name in scores[0].metrics},
        join([s.failed for s in scores]),
        scores[0].record,
    )

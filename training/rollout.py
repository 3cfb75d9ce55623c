"""The one loop in which controllers act on a task: evaluation, evolution, benches and recording call it."""

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
from ..envs.simulation import Simulation
from ..envs.task import PlacingSimulator, PosedSimulator
from ..errors import LanceletError
from ..tasks import check_task_options, task_id
from .runs import interrupt
from .sampled import Sampled
from .threads import one_torch_thread

FAILED = -1e9
"""return of a failed episode where candidates are compared"""


@dataclass
class Score:
    """What a batch of episodes gave: arrays with one row an episode."""

    returns: np.ndarray
    """sum of the rewards of each episode, (episodes,)"""
    lengths: np.ndarray
    """control steps of each episode, (episodes,)"""
    metrics: dict[str, np.ndarray]
    """the task's metrics at the end of each episode, (episodes,) each; NaN where the physics diverged"""
    failed: np.ndarray
    """True where the physics diverged or the controller gave a number that is not finite, (episodes,)"""
    record: dict[str, np.ndarray] = field(default_factory=dict)
    """of the first episode: ``qpos``, ``mocap_pos``, ``mocap_quat``, and ``geom_pos`` where the simulation's own was
    ever written (walls that move), (steps + 1, ...) each; ``reward`` and ``signal.NAME``, (steps, ...) each"""

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
            value_of_failure = 0.0 if name == "success" else np.nan
            figures[name] = np.where(self.failed, value_of_failure, values)
        return figures

    @property
    def means(self) -> dict[str, float]:
        """Means of `figures` over the episodes that have them; NaN where none has."""
        means = {}
        for name, values in self.figures.items():
            numbers = values[~np.isnan(values)]
            if numbers.size:
                means[name] = float(numbers.mean())
            else:
                means[name] = float("nan")
        return means


def make_env(
    id: str,
    n: int,
    max_episode_steps: int | None = None,
    nthread: int = 0,
    autoreset: AutoresetMode = AutoresetMode.DISABLED,
    **task: Any,
) -> VectorEnv:
    """Make the vector environment of `n` episodes side by side.

    Args:
        id: the task, ``"lancelet/Swim-v0"``.
        n: number of simulations.
        max_episode_steps: time limit; None: that of the id.
        nthread: physics threads, 0 for all cores.
        autoreset: disabled: the caller resets.
        **task: fields of the task.

    Raises:
        LanceletError: an unknown task or field of it, a value that it cannot take, or no time limit.
    """
    id = task_id(id)
    check_task_options(id, task)
    # None would take the limit of the id away.
    limit = {} if max_episode_steps is None else {"max_episode_steps": max_episode_steps}
    wrapped = gym.make_vec(
        id, num_envs=n, autoreset_mode=autoreset, nthread=nthread, **limit, **task
    )
    env = wrapped.unwrapped
    assert isinstance(env, VectorEnv)
    if env.max_episode_steps is None:
        raise LanceletError(f"{id} has no time limit: give max_episode_steps=")
    return env


def _check_interval(controller: Controller, env: VectorEnv) -> None:
    """Refuse a controller whose option `interval` is not the time between two actions in `env`."""
    interval = controller.counted_interval()
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
    """Run one episode in every simulation of `env`.

    Args:
        env: with autoreset disabled and a time limit.
        agents: as many as `env` has simulations.
        seed: of the start states, as in `VectorEnv.reset`.
        options: of the reset.
        state: the agents' state to begin with; None: that of a fresh agent.
        record: keep the configurations, rewards and signals of the first episode.
        on_step: called with the step's number after each step.

    Returns:
        The score, and the agents' last state.

    Raises:
        LanceletError: the controller counts time, and was made for another control interval than `env` has.
    """
    _check_interval(agents.controller, env)
    observation, _ = env.reset(seed=seed, options=options)
    if state is None:
        state = agents.initial_state()
    count = env.num_envs
    score = Score(
        returns=np.zeros(count),
        lengths=np.zeros(count, np.int64),
        metrics={},
        failed=np.zeros(count, bool),
    )
    recorder = _Recorder(env) if record else None
    live = np.ones(count, bool)
    step = 0
    while live.any():
        proposed, state = agents(observation, state)
        action = _finite_action(proposed, live, score.failed)
        # Simulations that have ended are stepped along with the others: they stand still, and their reward is 0.
        next_observation, reward, terminated, truncated, info = env.step(action)
        ended = terminated | truncated
        score.returns += reward
        score.lengths += live
        # An agent that has ended already is told so at every step: what it sees is no transition.
        state = agents.learn(
            observation=observation,
            action=action,
            reward=reward,
            ended=~live | ended,
            next_observation=next_observation,
            state=state,
        )
        if "diverged" in info:
            score.failed |= info["diverged"]
        if ended.any():
            _take_metrics(score.metrics, info.get("metrics", {}), ended)
        if recorder is not None and live[0]:
            recorder.add(env, reward[0], agents.signals(state))
        observation = next_observation
        # A new array: the agents may have kept the one that they were shown.
        live = live & ~ended
        step += 1
        interrupt.check()
        if on_step is not None:
            on_step(step)
    if recorder is not None:
        score.record = recorder.arrays()
    return score, state


def _finite_action(action: np.ndarray, live: np.ndarray, failed: np.ndarray) -> np.ndarray:
    """The action with 0 for numbers that are not finite.

    Args:
        action: (n, ...).
        live: simulations whose episode goes on, (n,).
        failed: (n,); set in place where a live agent gave a number that is not finite.
    """
    finite = np.isfinite(action).reshape(len(action), -1).all(1)
    if finite.all():
        return action
    failed |= live & ~finite
    return np.where(np.isfinite(action), action, 0.0).astype(action.dtype)


def _take_metrics(
    metrics: dict[str, np.ndarray], reported: Mapping[str, np.ndarray], ended: np.ndarray
) -> None:
    """Take the metrics of episodes that have just ended into `metrics`, in place.

    Args:
        metrics: so far, (n,) each, NaN where an episode goes on.
        reported: of the environment's info, (n,) each; Gymnasium's masks begin with an underscore.
        ended: simulations whose episode has just ended, (n,).
    """
    for name, values in reported.items():
        if name.startswith("_"):
            continue
        if name not in metrics:
            metrics[name] = np.full(values.shape, np.nan)
        metrics[name][ended] = values[ended]


class _Recorder:
    """Configurations of simulation 0 as float32 (kilobytes an episode), its rewards and the signals of its agent."""

    def __init__(self, env: VectorEnv) -> None:
        self._rows: dict[str, list[np.ndarray]] = {}
        self._steps = 0
        self._add_configuration(env)

    def add(self, env: VectorEnv, reward: float, signals: Mapping[str, torch.Tensor]) -> None:
        """Record a step of simulation 0, after it was taken."""
        self._steps += 1
        self._add_configuration(env)
        self._append("reward", np.asarray(reward))
        for name, values in signals.items():
            self._append(f"signal.{name}", values[0].detach().numpy())

    def arrays(self) -> dict[str, np.ndarray]:
        """What was recorded, with the steps in front, as float32."""
        return {name: np.stack(rows) for name, rows in self._rows.items()}

    def _add_configuration(self, env: VectorEnv) -> None:
        """Record what a picture is drawn from, as far as the simulator has it."""
        sim = env.sim
        if isinstance(sim, PosedSimulator):
            self._append("qpos", sim.qpos[0])
        if isinstance(sim, PlacingSimulator):
            self._append("mocap_pos", sim.mocap_pos[0])
            self._append("mocap_quat", sim.mocap_quat[0])
        # A field stands in `compiled` once it was written: the geoms of most tasks never move.
        if isinstance(sim, Simulation) and "geom_pos" in sim.compiled:
            self._add_geom_positions(sim)

    def _add_geom_positions(self, sim: Simulation) -> None:
        """Record where the geoms are; up to the first step that moved them they were where they were compiled."""
        if "geom_pos" not in self._rows:
            for _ in range(self._steps):
                self._append("geom_pos", sim.compiled["geom_pos"][0])
        self._append("geom_pos", sim.field("geom_pos").values[0])

    def _append(self, name: str, values: np.ndarray) -> None:
        self._rows.setdefault(name, []).append(values.astype(np.float32))


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

    Raises:
        LanceletError: an unknown task or field of it, a number that makes no sense, or `keep_state` with `std`.
    """
    episodes = whole_number("episodes", episodes, least=1)
    seed = seed_number(seed)
    if keep_state and std is not None:
        raise LanceletError("keep_state=True with std: noise is drawn for fresh agents only")
    with one_torch_thread():
        if keep_state:
            env = make_env(id, 1, nthread=nthread, **task)
            return _one_life(
                env=env,
                controller=controller,
                episodes=episodes,
                seed=seed,
                options=options or {},
                record=record,
            )
        env = make_env(id, episodes, nthread=nthread, **task)
        if std is None:
            agents = Population(controller, episodes)
        else:
            seeds = range(seed, seed + episodes)
            agents = Sampled(controller, std, seeds, env.max_episode_steps or 0)
        score, _ = rollout(env, agents, seed, options, record=record)
        return score


def _one_life(
    env: VectorEnv,
    controller: Controller,
    episodes: int,
    seed: int,
    options: Mapping[str, Any],
    record: bool,
) -> Score:
    """Score one agent that lives through `episodes` one after the other, as `evaluate` does with `keep_state`.

    Args:
        env: of one simulation.
        controller: what acts.
        episodes: their number.
        seed: of the first start state.
        options: of the resets, as `evaluate` takes them.
        record: keep the first episode's configurations.
    """
    agent = Population(controller, 1)
    state = None
    scores = []
    for episode in range(episodes):
        own_options = {}
        for name, value in options.items():
            # One row an episode; a vector or a number is the same for all.
            own_options[name] = value[episode] if np.ndim(value) > 1 else value
        is_recorded = record and episode == 0
        score, state = rollout(
            env,
            agent,
            seed=seed + episode,
            options=own_options,
            state=state,
            record=is_recorded,
        )
        scores.append(score)
    metrics = {}
    for name in scores[0].metrics:
        metrics[name] = np.concatenate([score.metrics[name] for score in scores])
    return Score(
        returns=np.concatenate([score.returns for score in scores]),
        lengths=np.concatenate([score.lengths for score in scores]),
        metrics=metrics,
        failed=np.concatenate([score.failed for score in scores]),
        record=scores[0].record,
    )

"""A task as Gymnasium environments: `VectorEnv` for a batch, and `SingleEnv`, the same thing with one simulation."""

from __future__ import annotations

import copy
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from ..checks import plain, whole_number
from ..errors import LanceletError, check_names
from ..registry import load_object
from .simulation import Field, Simulation
from .task import Observation, Task

count_nonzero = np.count_nonzero  # a tenth of the time of .any() on small arrays


def make_task(task: str | type[Task] | Task, options: Mapping[str, Any]) -> Task:
    """The task object from a class, its ``"module:Class"`` name, or an object, with some fields set.

    Numbers and arrays of numpy among `options` become numbers and tuples of Python.
    """
    options = plain(dict(options))
    if isinstance(task, Task):
        return dataclasses.replace(task, **options)
    cls = load_object(task) if isinstance(task, str) else task
    check_names(
        f"option of {cls.__name__}", options, [field.name for field in dataclasses.fields(cls)]
    )
    return cls(**options)


class VectorEnv(gym.vector.VectorEnv):
    """n simulations of one task behind Gymnasium's vector API.

    Simulation i, reset with seed s, is bit for bit the single environment reset with seed s + i; a list gives one
    seed each. ``options``: ``qpos`` and ``qvel``, of shape (nq,) or (n, nq), set the start state; ``reset_mask``
    (bool, (n,)) resets some; a task may read more.

    Info: ``terms`` (reward terms, every step); at an episode's end ``episode`` (``r`` return, ``l`` length) and
    ``metrics`` (the task's). Where the physics could not go on, ``diverged`` is True and ``diverged_reason`` tells why
    (the state blew up, the arena was too small, the reward was no number): that episode ends with ``terminated``, its
    last observation repeated, the task's ``divergence_reward``, and NaN for every one of its metrics.

    Copies (`copy.deepcopy`, `pickle`) hold the whole state and go on bit for bit, apart from the original. Under
    Gymnasium's ``vector.RecordEpisodeStatistics`` it is the wrapper that fills ``episode``.

    Args:
        num_envs: number of simulations.
        task: a `Task` class, its ``"module:Class"`` name, or an object.
        max_episode_steps: truncation; None or -1: never.
        render_mode: None or ``"rgb_array"``.
        autoreset_mode: an `AutoresetMode` or its value: ``"NextStep"``, ``"SameStep"``, ``"Disabled"``.
        nthread: physics threads, 0 for all cores; the numbers do not depend on it.
        **options: fields of the task.

    Raises:
        LanceletError: an option, an action or a start state that the task cannot take.
    """

    metadata = {"render_modes": ["rgb_array"], "autoreset_mode": AutoresetMode.NEXT_STEP}
    _painters: dict[
        int, Any
    ] = {}  # on the class: `close` runs on environments whose constructor refused

    def __init__(
        self,
        num_envs: int = 1,
        task: str | type[Task] | Task = "",
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        nthread: int = 0,
        **options: Any,
    ) -> None:
        num_envs = whole_number("num_envs", num_envs, least=1)
        nthread = whole_number("nthread", nthread, least=0)
        if render_mode not in (None, "rgb_array"):
            raise LanceletError(f"render_mode = {render_mode!r}: must be None or 'rgb_array'")
        limit = None if max_episode_steps in (None, -1) else max_episode_steps
        if limit is not None:
            limit = whole_number("max_episode_steps", limit, least=1)
        self.task = make_task(task, options)
        self._painters = {}
        self.num_envs, self.max_episode_steps, self.render_mode = num_envs, limit, render_mode
        self.sim = self.task.make(num_envs, nthread)
        self.mode = AutoresetMode(autoreset_mode)
        self.control_dt = self.task.control_dt(self.sim)
        """s from one action to the next"""
        fps = round(1 / self.control_dt)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.mode, "render_fps": fps}
        self.single_observation_space = self.task.observation_space
        self.single_action_space = self.task.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.memory = self.task.memory(num_envs)
        self._fresh = {name: rows.copy() for name, rows in self.memory.items()}
        self.rngs: list[np.random.Generator | None] = [None] * num_envs
        self._seeds: list[int | None] = [None] * num_envs
        self._live = np.zeros(num_envs, bool)
        self._all_live = False
        self._started = False
        self._steps = np.zeros(num_envs, np.int64)
        self._returns = np.zeros(num_envs)
        self._everyone = np.ones(num_envs, bool)
        self._everyone.flags.writeable = False
        self._observation: Observation = {}

    def __getattr__(self, name: str) -> Any:
        return _forwarded(self, name)

    def field(self, name: str) -> Field:
        """A model parameter of every simulation: ``env.field("opt.viscosity")[:] = 0.1``; see `Simulation.field`."""
        return self.sim.field(name)

    @property
    def np_random(self) -> tuple[np.random.Generator, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The generator of every simulation, as Gymnasium's `SyncVectorEnv` tells them."""
        return tuple(self._generator(i) for i in range(self.num_envs))

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The seed that every simulation's generator began with; -1 where it is not known, as in Gymnasium."""
        for i in range(self.num_envs):
            self._generator(i)
        return tuple(-1 if seed is None else seed for seed in self._seeds)

    def _generator(self, i: int) -> np.random.Generator:
        """The generator of simulation `i`, seeded by the system if no reset has done it."""
        rng = self.rngs[i]
        if rng is None:
            rng, self._seeds[i] = seeding.np_random(None)
            self.rngs[i] = rng
        return rng

    # -- reset ----------------------------------------------------------------------------------------------------

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Start new episodes in all simulations, or in those of ``options["reset_mask"]``."""
        options = options or {}
        check_names(
            "reset option", options, ["qpos", "qvel", "reset_mask", *self.task.reset_options]
        )
        mask = np.asarray(options.get("reset_mask", self._everyone))
        if mask.shape != (self.num_envs,) or mask.dtype != bool:
            raise LanceletError(
                f"options['reset_mask'] must be a bool array of shape ({self.num_envs},)"
            )
        if not self._started and not mask.all():
            raise LanceletError(
                "the first reset must reset every simulation: leave out options['reset_mask']"
            )
        seeds = (
            [seed + i for i in range(self.num_envs)] if isinstance(seed, int | np.integer) else seed
        )
        if seeds is not None and len(seeds) != self.num_envs:
            raise LanceletError(
                f"seed has {len(seeds)} entries: needs one number, or {self.num_envs}, one each"
            )
        ids = np.flatnonzero(mask)
        for i in ids.tolist() if seeds is not None else ():
            seed = seeds[i]  # pyright: ignore[reportOptionalSubscript]
            if seed is not None:
                self.rngs[i], self._seeds[i] = seeding.np_random(int(seed))
        self._reset(ids, options)
        self._started = True
        self._observation = self._observe()
        return self._observation, {}

    def _reset(self, ids: np.ndarray, options: Mapping[str, Any]) -> None:
        self.sim.reset(ids)
        for name, rows in self.memory.items():
            rows[ids] = self._fresh[name][ids]
        self.task.reset(
            self.sim, self.memory, ids, [self._generator(i) for i in ids.tolist()], options
        )
        if isinstance(self.sim, Simulation):
            for name in ("qpos", "qvel"):
                if name in options:
                    getattr(self.sim, name)[ids] = self._start(name, options[name])[ids]
            self.sim.forward(ids)
        self._steps[ids], self._returns[ids], self._live[ids] = 0, 0.0, True
        self._all_live = bool(self._live.all())

    def _start(self, name: str, given: Any) -> np.ndarray:
        shape = getattr(self.sim, name).shape
        try:
            value = np.broadcast_to(np.asarray(given, float), shape)
        except ValueError as error:
            raise LanceletError(
                f"options[{name!r}] has shape {np.shape(given)}: must be {shape[1:]} or {shape}"
            ) from error
        if not np.isfinite(value).all():
            raise LanceletError(f"options[{name!r}] holds a number that is not finite")
        return value

    # -- step -----------------------------------------------------------------------------------------------------

    def step(
        self, actions: Any
    ) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One control step of every live simulation; see Gymnasium's `VectorEnv.step`."""
        live, observation, reward, terminated, terms, reasons = self.transition(actions)
        info: dict[str, Any] = {}
        if terms:
            info["terms"] = _masked(terms, live)
            info["_terms"] = live
        if reasons is not None:
            diverged = reasons != None  # noqa: E711 - for each entry of the array
            info["diverged"] = diverged
            info["_diverged"] = diverged
            info["diverged_reason"] = reasons
            info["_diverged_reason"] = diverged
        self._steps += live
        self._returns += reward
        truncated = np.zeros(self.num_envs, bool)
        if self.max_episode_steps is not None:
            truncated = live & (self._steps >= self.max_episode_steps) & ~terminated
        if count_nonzero(terminated) or count_nonzero(truncated):
            observation, info = self._end(terminated | truncated, observation, info)
        self._observation = observation
        return observation, reward, terminated, truncated, info

    def transition(self, actions: Any) -> tuple[Any, ...]:
        """Physics and task of one step, without episode bookkeeping: what `step` and `SingleEnv` share.

        Returns:
            which simulations moved (n,), observation, reward (n,), terminated (n,), reward terms, and why simulations
            diverged: an array of objects (n,), None for those that did not, or None if nowhere.
        """
        if not self._started:
            raise gym.error.ResetNeeded("call reset() before step()")
        action = self._check(actions)
        live = self._everyone if self._all_live else self._live.copy()
        self._advance(action, live)
        if live is not self._everyone and self.mode is AutoresetMode.NEXT_STEP:
            self._reset(np.flatnonzero(~live), {})
        observation = self._observe()
        reward, terms = self.task.reward(self.sim, self.memory, action)
        ended = self.task.terminated(self.sim, self.memory)
        terminated = np.zeros(self.num_envs, bool) if ended is None else live & ended
        reward = np.array(reward, float) if live is self._everyone else np.where(live, reward, 0.0)
        faulty = self.sim.diverged() if isinstance(self.sim, Simulation) else None
        if faulty is None and count_nonzero(np.isfinite(reward)) == self.num_envs:
            return live, observation, reward, terminated, terms, None
        diverged = live & ~np.isfinite(reward)
        if faulty is not None:
            diverged |= live & faulty
        reasons = self._reasons(diverged)
        reward[diverged] = self.task.divergence_reward
        terminated |= diverged
        _put(observation, diverged, self._observation)
        return live, observation, reward, terminated, terms, reasons

    def _reasons(self, diverged: np.ndarray) -> np.ndarray | None:
        """Why the simulations of the mask diverged: an array of objects (n,); None if the mask is empty."""
        if not count_nonzero(diverged):
            return None
        reasons = np.full(self.num_envs, None, object)
        for i in np.flatnonzero(diverged).tolist():
            physics = self.sim.reason(i) if isinstance(self.sim, Simulation) else None
            reasons[i] = physics or "the reward is no finite number"
        return reasons

    def _check(self, actions: Any) -> np.ndarray:
        """The actions, clipped to the action space; a wrong shape or a number that is not finite is refused."""
        space = self.action_space
        action = np.asarray(actions)
        if action.shape != space.shape:
            who = type(self.task).__name__
            raise LanceletError(
                f"actions of {who} have shape {action.shape}: must be {space.shape}"
            )
        if isinstance(space, spaces.Box):
            if count_nonzero(np.isfinite(action)) < action.size:
                i = int(np.flatnonzero(~np.isfinite(action.reshape(self.num_envs, -1)).all(1))[0])
                raise LanceletError(f"the action of environment {i} is not finite: {action[i]}")
            return np.minimum(np.maximum(action, space.low), space.high)
        if not space.contains(action):
            raise LanceletError(f"actions {action} lie outside {self.single_action_space}")
        return action

    def _advance(self, action: np.ndarray, live: np.ndarray) -> None:
        if live is self._everyone:
            self.sim.live = None
            self.task.advance(self.sim, self.memory, action)
            return
        still = ~live
        kept = {name: rows[still] for name, rows in self.memory.items()}
        self.sim.live = np.flatnonzero(live)
        self.task.advance(self.sim, self.memory, action)
        self.sim.live = None
        for name, rows in kept.items():
            self.memory[name][still] = rows

    def _observe(self) -> Observation:
        seen, space = self.task.observe(self.sim, self.memory), self.single_observation_space
        if isinstance(space, spaces.Dict):
            return {name: np.asarray(seen[name], dtype=space[name].dtype) for name in space}
        return np.asarray(seen, dtype=space.dtype)

    def _end(
        self, ended: np.ndarray, observation: Observation, info: dict[str, Any]
    ) -> tuple[Observation, dict[str, Any]]:
        """Book the episodes that ended; in SAME_STEP start the next ones and return their observations."""
        same_step = self.mode is AutoresetMode.SAME_STEP
        statistics = {
            "episode": _masked({"r": self._returns, "l": self._steps}, ended),
            "_episode": ended,
        }
        figures = {}
        metrics = self._metrics(info.get("diverged"))
        if metrics:
            figures = {"metrics": _masked(metrics, ended), "_metrics": ended}
        self._live &= ~ended
        self._all_live = False
        if same_step:
            last = statistics | figures
            for name in ("terms", "diverged", "diverged_reason"):
                if name in info:
                    last |= {name: info[name], f"_{name}": info[f"_{name}"]}
            final = np.full(self.num_envs, None, object)
            for i in np.flatnonzero(ended).tolist():
                final[i] = _row(observation, i)
            info |= {
                "final_obs": final,
                "_final_obs": ended,
                "final_info": last,
                "_final_info": ended,
            }
        info |= figures
        if _statistics_recorded(self):
            info = _Recorded(info, statistics["episode"])
        else:
            info |= statistics
        if same_step:
            self._reset(np.flatnonzero(ended), {})
            _put(observation, ended, self._observe())
        return observation, info

    def _metrics(self, diverged: np.ndarray | None) -> dict[str, np.ndarray]:
        """The task's metrics, (n,) each; NaN where the episode diverged: MuJoCo has put such a state back."""
        metrics = self.task.metrics(self.sim, self.memory)
        if diverged is None:
            return metrics
        return {name: np.where(diverged, np.nan, rows) for name, rows in metrics.items()}

    # -- state, pictures --------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides what comes next, as arrays: physics, memory, parameters, counters, generators.

        The last observation is part of it: sensors of forces and accelerations lag one substep after a step, and
        cannot be computed again from the state.
        """
        if isinstance(self.sim, Simulation):
            physics = self.sim.snapshot()
        else:
            physics = {
                "physics": np.array(getattr(self.sim, "state", np.zeros((self.num_envs, 0)))),
                "fields": {},
            }
        generators = [rng.bit_generator.state if rng else None for rng in self.rngs]
        shown = {"observation": copy.deepcopy(self._observation)} if self._started else {}
        return (
            physics
            | shown
            | {
                "memory": {name: rows.copy() for name, rows in self.memory.items()},
                "counters": {
                    "live": self._live.copy(),
                    "steps": self._steps.copy(),
                    "returns": self._returns.copy(),
                },
                "generators": np.frombuffer(json.dumps(generators).encode(), np.uint8).copy(),
            }
        )

    def load_state_dict(self, saved: Mapping[str, Any]) -> Observation:
        """Continue from `state_dict`; returns the present observation, as the last step or reset showed it."""
        if isinstance(self.sim, Simulation):
            self.sim.restore(saved)
        elif saved["physics"].size:
            self.sim.state[:] = saved["physics"]
        for name, rows in saved["memory"].items():
            self.memory[name][:] = rows
        for i, state in enumerate(json.loads(bytes(saved["generators"]))):
            rng = None if state is None else seeding.np_random(0)[0]
            if rng is not None:
                rng.bit_generator.state = state  # pyright: ignore[reportAttributeAccessIssue]
            self.rngs[i] = rng
            self._seeds[i] = None
        counters = saved["counters"]
        self._live[:], self._steps[:], self._returns[:] = (
            counters["live"],
            counters["steps"],
            counters["returns"],
        )
        self._all_live = bool(self._live.all())
        self._started = True
        # States saved by earlier versions, or before the first reset, hold no observation.
        self._observation = (
            copy.deepcopy(saved["observation"]) if "observation" in saved else self._observe()
        )
        return self._observation

    def __getstate__(self) -> dict[str, Any]:
        kept = dict(self.__dict__)
        kept["_painters"] = {}  # of this process and thread; `render` makes new ones
        return kept

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__dict__.update(kept)
        self._everyone.flags.writeable = False

    def render(self) -> tuple[np.ndarray, ...]:
        """One RGB picture (480, 640, 3) a simulation; needs ``render_mode="rgb_array"``."""
        if self.render_mode is None:
            raise LanceletError(
                "this environment cannot render: make it with render_mode='rgb_array'"
            )
        if not isinstance(self.sim, Simulation):
            raise LanceletError(
                f"{type(self.task).__name__} is not a MuJoCo task: it has no picture"
            )
        return tuple(self._paint(i) for i in range(self.num_envs))

    def _paint(self, i: int) -> np.ndarray:
        from .rendering import Painter

        which = i if self.sim.models else 0  # bodies may look different
        if which not in self._painters:
            model = self.sim.models[i] if self.sim.models else self.sim.model
            self._painters[which] = Painter(copy.copy(model))  # the painter changes what it draws
        return self._painters[which].of(self.sim, i)

    def close_extras(self, **kwargs: Any) -> None:
        """Release the renderer."""
        for painter in self._painters.values():
            painter.close()
        self._painters = {}


class SingleEnv(gym.Env):
    """One simulation of a task: `VectorEnv` with one row, its numbers unwrapped.

    Truncation is left to `gym.make`'s TimeLimit, so the environment cannot know an episode's last step:
    ``info["metrics"]`` holds the episode so far at every step, and ``info["episode"]`` is left to
    `gymnasium.wrappers.RecordEpisodeStatistics`, which refuses an environment that fills it.
    """

    metadata = {"render_modes": ["rgb_array"]}

    def __init__(
        self, task: str | type[Task] | Task = "", render_mode: str | None = None, **options: Any
    ) -> None:
        self.vector = VectorEnv(
            1,
            task,
            render_mode=render_mode,
            autoreset_mode=AutoresetMode.DISABLED,
            nthread=1,
            **options,
        )
        self.task, self.render_mode = self.vector.task, render_mode
        self.control_dt = self.vector.control_dt
        """s from one action to the next"""
        self.metadata = {**type(self).metadata, "render_fps": self.vector.metadata["render_fps"]}
        self.observation_space = self.vector.single_observation_space
        self.action_space = self.vector.single_action_space
        self._ended = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; `options` as in `VectorEnv`."""
        if isinstance(seed, np.integer):
            # Gymnasium takes integers of Python only; those of numpy come from ranges and generators.
            seed = int(seed)
        super().reset(seed=seed)
        self.vector.rngs[0] = self.np_random
        observation, _ = self.vector.reset(options=options)
        self._ended = False
        return _row(observation, 0), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One control step; after the end of an episode call `reset`."""
        vector = self.vector
        if self._ended:
            raise gym.error.ResetNeeded("the episode has ended: call reset() before step()")
        _, observation, reward, terminated, terms, reasons = vector.transition(
            np.asarray(action)[None]
        )
        vector._observation = observation
        diverged = None if reasons is None else np.ones(1, bool)
        info: dict[str, Any] = {"terms": {name: rows[0].item() for name, rows in terms.items()}}
        info["metrics"] = {name: rows[0].item() for name, rows in vector._metrics(diverged).items()}
        if reasons is not None:
            info["diverged"] = True
            info["diverged_reason"] = reasons[0]
        self._ended = bool(terminated[0])
        return _row(observation, 0), reward[0].item(), self._ended, False, info

    def __getattr__(self, name: str) -> Any:
        return _forwarded(self, name)

    def field(self, name: str) -> Field:
        """A model parameter; see `Simulation.field`."""
        return self.vector.field(name)

    def render(self) -> Any:
        """An RGB picture (480, 640, 3), or None without a render mode."""
        return None if self.render_mode is None else self.vector.render()[0]

    def close(self) -> None:
        """Release the renderer."""
        self.vector.close()


def _forwarded(env: VectorEnv | SingleEnv, name: str) -> Any:
    """The task's method that the environment shows as its own."""
    task = env.__dict__.get("task")
    if task is not None and name in task.forwarded:
        return getattr(task, name)
    raise AttributeError(f"{type(env).__name__!r} object has no attribute {name!r}")


class _Recorded(dict[str, Any]):
    """Info of an episode's end that Gymnasium's ``vector.RecordEpisodeStatistics`` is about to complete.

    The wrapper's ``episode`` keeps its time but takes our return and length: that of Gymnasium 1.2 leaves out the
    first step of every episode but the first in SAME_STEP.
    """

    def __init__(self, info: Mapping[str, Any], statistics: Mapping[str, Any]) -> None:
        super().__init__(info)
        self._statistics = statistics

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, {**value, **self._statistics} if name == "episode" else value)


def _statistics_recorded(env: VectorEnv) -> bool:
    """Whether Gymnasium's ``vector.RecordEpisodeStatistics`` around `env` is calling, to fill ``info["episode"]``.

    It raises an error where that is filled already, and an environment is not told what it is wrapped in: the callers
    are looked through, at the end of episodes only.
    """
    wrappers = sys.modules.get("gymnasium.wrappers.vector")
    wrapper = getattr(wrappers, "RecordEpisodeStatistics", None)
    if wrapper is None:
        return False
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code is wrapper.step.__code__:
            caller = frame.f_locals["self"]
            if caller.unwrapped is env and getattr(caller, "_stats_key", "episode") == "episode":
                return True
        frame = frame.f_back
    return False


def _row(observation: Observation, i: int) -> Observation:
    return (
        {k: v[i].copy() for k, v in observation.items()}
        if isinstance(observation, dict)
        else observation[i].copy()
    )


def _put(observation: Observation, mask: np.ndarray, source: Observation) -> None:
    if isinstance(observation, dict):
        for name, rows in observation.items():
            rows[mask] = source[name][mask]  # pyright: ignore[reportCallIssue, reportArgumentType]
    else:
        observation[mask] = source[mask]  # pyright: ignore[reportCallIssue, reportArgumentType]


def _masked(values: Mapping[str, np.ndarray], mask: np.ndarray) -> dict[str, np.ndarray]:
    """Gymnasium's form of vector info: each array (copied where it is live state) beside its mask."""
    out: dict[str, np.ndarray] = {}
    for name, rows in values.items():
        out[name], out[f"_{name}"] = np.array(rows), mask
    return out

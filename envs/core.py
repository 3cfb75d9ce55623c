"""A task as Gymnasium environments: `VectorEnv` for a batch, and `SingleEnv`, the same thing with one simulation.

How a step goes: `VectorEnv.transition` runs physics and task and says what happened; `VectorEnv.step` keeps count of
episodes around it, and ends or restarts them; `SingleEnv.step` unwraps the one row.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from ..checks import plain, whole_number
from ..errors import LanceletError, check_names
from ..registry import load_object
from .batches import Observation, copy_rows, masked, row_of
from .checks import finite_reset_option
from .compat import RecordedInfo, statistics_are_recorded
from .seeds import generator_at, seed_of_each
from .simulation import Field, Simulation
from .task import StatefulSimulator, Task

if TYPE_CHECKING:
    from .rendering import Painter

# Not `.any()`: on small arrays counting takes a tenth of its time.
count_nonzero = np.count_nonzero


def make_task(task: str | type[Task] | Task, options: Mapping[str, Any]) -> Task:
    """The task object with some of its fields set.

    Args:
        task: a class, its ``"module:Class"`` name, or an object, which is copied.
        options: fields; numbers and arrays of numpy among them become numbers and tuples of Python.

    Raises:
        LanceletError: the task has no such field, or cannot take its value.
    """
    fields = plain(dict(options))
    if isinstance(task, Task):
        return dataclasses.replace(task, **fields)
    task_class = load_object(task) if isinstance(task, str) else task
    known = [field.name for field in dataclasses.fields(task_class)]
    check_names(f"option of {task_class.__name__}", fields, known)
    return task_class(**fields)


class Transition(NamedTuple):
    """What happened in one control step of a batch, before any counting of episodes."""

    live: np.ndarray
    """(n,) True for the simulations that moved"""
    observation: Observation
    """(n, ...) after the step"""
    reward: np.ndarray
    """(n,) 0 for those that did not move"""
    terminated: np.ndarray
    """(n,) True where the task or a divergence ended the episode"""
    terms: dict[str, np.ndarray]
    """name -> (n,) parts of the reward"""
    diverged: np.ndarray | None
    """(n,) True where the physics could not go on; None: nowhere"""
    reasons: np.ndarray | None
    """(n,) objects: why a simulation diverged, or None for the others; None: none did"""


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
        max_episode_steps: control steps after which an episode is truncated; None or -1: never.
        render_mode: None or ``"rgb_array"``.
        autoreset_mode: an `AutoresetMode` or its value: ``"NextStep"``, ``"SameStep"``, ``"Disabled"``.
        nthread: physics threads, 0 for all cores; the numbers do not depend on it.
        **options: fields of the task.

    Raises:
        LanceletError: an option, an action or a start state that the task cannot take.
    """

    metadata = {"render_modes": ["rgb_array"], "autoreset_mode": AutoresetMode.NEXT_STEP}
    # On the class too: `close` runs on environments whose constructor refused.
    _painters: dict[int, Painter] = {}

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
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.sim = self.task.make(num_envs, nthread)
        self.mode = AutoresetMode(autoreset_mode)
        self.control_dt = self.task.control_dt(self.sim)
        """s from one action to the next"""
        self.max_episode_steps = self._shorter_limit(limit)
        fps = round(1 / self.control_dt)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.mode, "render_fps": fps}

        self.single_observation_space = self.task.observation_space
        self.single_action_space = self.task.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

        self.memory = self.task.memory(num_envs)
        """the task's own state, arrays of n rows"""
        self._initial_memory = {name: rows.copy() for name, rows in self.memory.items()}
        self.rngs: list[np.random.Generator | None] = [None] * num_envs
        """the generator of every simulation; None until it is seeded or first needed"""
        self._seeds: list[int | None] = [None] * num_envs

        self._started = False
        self._live = np.zeros(num_envs, bool)
        """(n,) True for the simulations within an episode"""
        self._all_live = False
        """whether `_live` is True everywhere: the step is faster then"""
        self._everyone = np.ones(num_envs, bool)
        """what `_live` looks like where all are live"""
        self._everyone.flags.writeable = False
        self._steps = np.zeros(num_envs, np.int64)
        """control steps of the present episodes"""
        self._returns = np.zeros(num_envs)
        """sums of rewards of the present episodes"""
        self._observation: Observation = {}
        """the last one returned: a simulation that diverges shows it again"""

    def __getattr__(self, name: str) -> Any:
        return _forwarded(self, name)

    def _shorter_limit(self, max_episode_steps: int | None) -> int | None:
        """The time limit in control steps: the given one, or the task's own where that is shorter."""
        limits = [] if max_episode_steps is None else [max_episode_steps]
        if self.task.time_limit is not None:
            limits.append(max(1, round(self.task.time_limit / self.control_dt)))
        return min(limits, default=None)

    def field(self, name: str) -> Field:
        """A model parameter of every simulation: ``env.field("opt.viscosity")[:] = 0.1``; see `Simulation.field`."""
        return self.sim.field(name)

    # -- generators ---------------------------------------------------------------------------------------------------

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

    def _seed(self, ids: np.ndarray, seed: int | Sequence[int | None] | None) -> None:
        """Seed the generators of simulations `ids`: i by seed + i, or by entry i; None leaves them as they are."""
        if seed is None:
            return
        seeds = seed_of_each(seed, self.num_envs)
        if len(seeds) != self.num_envs:
            raise LanceletError(
                f"seed has {len(seeds)} entries: needs one number, or {self.num_envs}, one each"
            )
        for i in ids.tolist():
            own_seed = seeds[i]
            if own_seed is not None:
                self.rngs[i], self._seeds[i] = seeding.np_random(int(own_seed))

    # -- reset --------------------------------------------------------------------------------------------------------

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Start new episodes in all simulations, or in those of ``options["reset_mask"]``.

        Args:
            seed: simulation i draws from a generator of seed + i; a list gives one seed each; None: it goes on.
            options: ``qpos``, ``qvel``, ``reset_mask``, and those of the task.

        Returns:
            The observation of every simulation, and an empty info. The environment keeps this very object, as `step`
            does its own: a simulation that diverges shows its row again. Copy it before you change it in place.

        Raises:
            LanceletError: an option, a seed or a start state that cannot be taken.
        """
        options = options or {}
        known = ["qpos", "qvel", "reset_mask", *self.task.reset_options]
        check_names("reset option", options, known)
        ids = np.flatnonzero(self._reset_mask(options))
        # Generators first: start states are drawn from them.
        self._seed(ids, seed)
        self._reset(ids, options)
        # Only after a reset that went through: until then `_reset_mask` asks for one of all simulations.
        self._started = True
        # All rows, those of simulations that were not reset too: their state has not moved.
        self._observation = self._observe()
        return self._observation, {}

    def _reset_mask(self, options: Mapping[str, Any]) -> np.ndarray:
        """True (n,) for the simulations to reset, checked."""
        mask = np.asarray(options.get("reset_mask", self._everyone))
        if mask.shape != (self.num_envs,) or mask.dtype != bool:
            raise LanceletError(
                f"options['reset_mask'] must be a bool array of shape ({self.num_envs},)"
            )
        if not self._started and not mask.all():
            raise LanceletError(
                "the first reset must reset every simulation: leave out options['reset_mask']"
            )
        return mask

    def _reset(self, ids: np.ndarray, options: Mapping[str, Any]) -> None:
        """Start new episodes in simulations `ids`; observes nothing."""
        self.sim.reset(ids)
        for name, rows in self.memory.items():
            rows[ids] = self._initial_memory[name][ids]
        rngs = [self._generator(i) for i in ids.tolist()]
        self.task.reset(self.sim, self.memory, ids, rngs, options)
        if isinstance(self.sim, Simulation):
            # After the task: a start state that the caller gives replaces the one that was drawn.
            for name in ("qpos", "qvel"):
                if name in options:
                    state = getattr(self.sim, name)
                    state[ids] = finite_reset_option(name, options[name], state.shape)[ids]
            self.sim.forward(ids)
        self._steps[ids] = 0
        self._returns[ids] = 0.0
        self._live[ids] = True
        self._all_live = bool(self._live.all())

    # -- step ---------------------------------------------------------------------------------------------------------

    def step(
        self, actions: Any
    ) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One control step of every live simulation; see Gymnasium's `VectorEnv.step`.

        Args:
            actions: (n, ...) clipped to the action space.

        Returns:
            Observation (n, ...), reward (n,), terminated (n,), truncated (n,), and the info of the class's docstring.

        Raises:
            LanceletError: an action of another shape, or not finite; the environments are then as before.
            gymnasium.error.ResetNeeded: before the first reset.
        """
        transition = self.transition(actions)
        live = transition.live
        terminated = transition.terminated
        self._steps += live
        self._returns += transition.reward
        truncated = np.zeros(self.num_envs, bool)
        if self.max_episode_steps is not None:
            truncated = live & (self._steps >= self.max_episode_steps) & ~terminated
        info = _info_of(transition)
        if count_nonzero(terminated) or count_nonzero(truncated):
            info = self._end(terminated | truncated, transition.observation, info)
        return transition.observation, transition.reward, terminated, truncated, info

    def transition(self, actions: Any) -> Transition:
        """Physics and task of one step, without episode bookkeeping: what `step` and `SingleEnv` share."""
        if not self._started:
            raise gym.error.ResetNeeded("call reset() before step()")
        action = self._checked_action(actions)
        live = self._everyone if self._all_live else self._live.copy()
        self._advance(action, live)
        if live is not self._everyone and self.mode is AutoresetMode.NEXT_STEP:
            # This step of theirs is a reset: the action counts for nothing, the reward is 0.
            self._reset(np.flatnonzero(~live), {})
        observation = self._observe()
        reward, terms = self.task.reward(self.sim, self.memory, action)
        # A copy either way: the rewards of diverged simulations are written over below.
        reward = np.array(reward, float)
        if live is not self._everyone:
            reward[~live] = 0.0
        ended = self.task.terminated(self.sim, self.memory)
        terminated = np.zeros(self.num_envs, bool) if ended is None else live & ended

        diverged = self._diverged(live, reward)
        reasons = None
        if diverged is not None:
            reasons = self._reasons(diverged)
            reward[diverged] = self.task.divergence_reward
            terminated |= diverged
            copy_rows(observation, diverged, self._observation)
        self._observation = observation
        return Transition(
            live=live,
            observation=observation,
            reward=reward,
            terminated=terminated,
            terms=terms,
            diverged=diverged,
            reasons=reasons,
        )

    def _checked_action(self, actions: Any) -> np.ndarray:
        """The actions, clipped to the action space; a wrong shape or a number that is not finite is refused."""
        space = self.action_space
        action = np.asarray(actions)
        if action.shape != space.shape:
            raise LanceletError(
                f"actions of {type(self.task).__name__} have shape {action.shape}: must be {space.shape}"
            )
        if isinstance(space, spaces.Box):
            finite = np.isfinite(action)
            if count_nonzero(finite) < action.size:
                finite_rows = finite.reshape(self.num_envs, -1).all(1)
                i = int(np.flatnonzero(~finite_rows)[0])
                raise LanceletError(f"the action of environment {i} is not finite: {action[i]}")
            # Not `np.clip`, which is slower on small arrays.
            return np.minimum(np.maximum(action, space.low), space.high)
        if not space.contains(action):
            raise LanceletError(f"actions {action} lie outside {self.single_action_space}")
        return action

    def _advance(self, action: np.ndarray, live: np.ndarray) -> None:
        """Let the task move the `live` simulations (n,) on; physics and memory of the others stay as they are."""
        if live is self._everyone:
            self.sim.live = None
            self.task.advance(self.sim, self.memory, action)
            return
        finished = ~live
        memory_before = {name: rows[finished] for name, rows in self.memory.items()}
        self.sim.live = np.flatnonzero(live)
        self.task.advance(self.sim, self.memory, action)
        self.sim.live = None
        for name, rows in memory_before.items():
            self.memory[name][finished] = rows

    def _observe(self) -> Observation:
        """The task's observation in the types of the observation space."""
        observation = self.task.observe(self.sim, self.memory)
        space = self.single_observation_space
        if isinstance(space, spaces.Dict):
            return {name: np.asarray(observation[name], dtype=space[name].dtype) for name in space}
        return np.asarray(observation, dtype=space.dtype)

    def _diverged(self, live: np.ndarray, reward: np.ndarray) -> np.ndarray | None:
        """True (n,) for the live simulations whose physics failed or whose reward is no number; None: none."""
        faulty = self.sim.diverged() if isinstance(self.sim, Simulation) else None
        finite = np.isfinite(reward)
        if faulty is None and count_nonzero(finite) == self.num_envs:
            return None
        diverged = live & ~finite
        if faulty is not None:
            diverged |= live & faulty
        return diverged if count_nonzero(diverged) else None

    def _reasons(self, diverged: np.ndarray) -> np.ndarray:
        """Why the simulations of the mask diverged: an array of objects (n,), None for the others."""
        reasons = np.full(self.num_envs, None, object)
        for i in np.flatnonzero(diverged).tolist():
            physics = self.sim.reason(i) if isinstance(self.sim, Simulation) else None
            reasons[i] = physics or "the reward is no finite number"
        return reasons

    # -- the end of episodes ------------------------------------------------------------------------------------------

    def _end(
        self, ended: np.ndarray, observation: Observation, info: dict[str, Any]
    ) -> dict[str, Any]:
        """Book the episodes that ended, and in SAME_STEP start the next ones.

        Args:
            ended: (n,) True where an episode ended in this step.
            observation: of this step; in SAME_STEP rows of new episodes are written over it in place.
            info: of this step; it is changed in place.

        Returns:
            The info, with the ends of episodes in it.
        """
        same_step = self.mode is AutoresetMode.SAME_STEP
        episode = masked({"r": self._returns, "l": self._steps}, ended)
        statistics = {"episode": episode, "_episode": ended}
        metrics = self.episode_metrics(info.get("diverged"))
        figures = {"metrics": masked(metrics, ended), "_metrics": ended} if metrics else {}
        self._live &= ~ended
        self._all_live = False
        if same_step:
            info |= self._final(ended, observation, info, statistics | figures)
        info |= figures
        if statistics_are_recorded(self):
            info = RecordedInfo(info, episode)
        else:
            info |= statistics
        if same_step:
            # Last: a reset overwrites the counts, the memory and the state that the lines above read.
            self._reset(np.flatnonzero(ended), {})
            copy_rows(observation, ended, self._observe())
        return info

    def _final(
        self,
        ended: np.ndarray,
        observation: Observation,
        info: Mapping[str, Any],
        end_of_episode: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The entries ``final_obs`` and ``final_info`` of SAME_STEP, with their masks.

        Args:
            ended: (n,) True where an episode ended.
            observation: of this step, before the reset.
            info: of this step.
            end_of_episode: statistics and figures of the episodes that ended.
        """
        final_info = dict(end_of_episode)
        for name in ("terms", "diverged", "diverged_reason"):
            if name in info:
                final_info[name] = info[name]
                final_info[f"_{name}"] = info[f"_{name}"]
        final_observation = np.full(self.num_envs, None, object)
        for i in np.flatnonzero(ended).tolist():
            final_observation[i] = row_of(observation, i)
        return {
            "final_obs": final_observation,
            "_final_obs": ended,
            "final_info": final_info,
            "_final_info": ended,
        }

    def episode_metrics(self, diverged: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """The task's figures of the episodes so far, (n,) each.

        Args:
            diverged: (n,) True where the episode diverged: its figures are NaN, since MuJoCo has put the state back.
        """
        metrics = self.task.metrics(self.sim, self.memory)
        if diverged is None:
            return metrics
        return {name: np.where(diverged, np.nan, rows) for name, rows in metrics.items()}

    # -- state --------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides what comes next, as arrays: physics, memory, parameters, counters, generators.

        The last observation is part of it: sensors of forces and accelerations lag one substep after a step, and
        cannot be computed again from the state.
        """
        if isinstance(self.sim, Simulation):
            saved = self.sim.snapshot()
        else:
            has_state = isinstance(self.sim, StatefulSimulator)
            physics = np.array(self.sim.state) if has_state else np.zeros((self.num_envs, 0))
            saved = {"physics": physics, "fields": {}}
        if self._started:
            saved["observation"] = copy.deepcopy(self._observation)
        saved["memory"] = {name: rows.copy() for name, rows in self.memory.items()}
        saved["counters"] = {
            "live": self._live.copy(),
            "steps": self._steps.copy(),
            "returns": self._returns.copy(),
        }
        # As bytes of JSON: the state of a generator is a dictionary of integers beyond 64 bits.
        generators = [rng.bit_generator.state if rng else None for rng in self.rngs]
        saved["generators"] = np.frombuffer(json.dumps(generators).encode(), np.uint8).copy()
        return saved

    def load_state_dict(self, saved: Mapping[str, Any]) -> Observation:
        """Continue from `state_dict`; returns the present observation, as the last step or reset showed it."""
        if isinstance(self.sim, Simulation):
            self.sim.restore(saved)
        elif saved["physics"].size:
            self.sim.state[:] = saved["physics"]
        for name, rows in saved["memory"].items():
            self.memory[name][:] = rows
        for i, state in enumerate(json.loads(bytes(saved["generators"]))):
            self.rngs[i] = None if state is None else generator_at(state)
            self._seeds[i] = None
        counters = saved["counters"]
        self._live[:] = counters["live"]
        self._steps[:] = counters["steps"]
        self._returns[:] = counters["returns"]
        self._all_live = bool(self._live.all())
        self._started = True
        if "observation" in saved:
            self._observation = copy.deepcopy(saved["observation"])
        else:
            # States saved by earlier versions, or before the first reset, hold no observation.
            self._observation = self._observe()
        return self._observation

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        # Painters belong to this process and thread: `render` makes new ones.
        state["_painters"] = {}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._everyone.flags.writeable = False

    # -- pictures -----------------------------------------------------------------------------------------------------

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
        return tuple(self._painter(i).of(self.sim, i) for i in range(self.num_envs))

    def _painter(self, i: int) -> Painter:
        """The painter of simulation `i`: one for all, or one each where bodies may look different."""
        # Here, so that an environment without pictures never loads the modules for OpenGL.
        from .rendering import Painter

        models = self.sim.models or [self.sim.model]
        which = i if self.sim.models else 0
        if which not in self._painters:
            # A copy, since a painter changes what it draws.
            self._painters[which] = Painter(copy.copy(models[which]))
        return self._painters[which]

    def close_extras(self, **kwargs: Any) -> None:
        """Release the renderer."""
        for painter in self._painters.values():
            painter.close()
        self._painters = {}


class SingleEnv(gym.Env):
    """One simulation of a task: `VectorEnv` with one row, its numbers unwrapped.

    Truncation at the id's limit is left to `gym.make`'s TimeLimit, so the environment cannot know an episode's last step:
    ``info["metrics"]`` holds the episode so far at every step, and ``info["episode"]`` is left to
    `gymnasium.wrappers.RecordEpisodeStatistics`, which refuses an environment that fills it.

    Args:
        task: a `Task` class, its ``"module:Class"`` name, or an object.
        render_mode: None or ``"rgb_array"``.
        **options: fields of the task.
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
        self.task = self.vector.task
        self.render_mode = render_mode
        self.control_dt = self.vector.control_dt
        """s from one action to the next"""
        self.metadata = {**type(self).metadata, "render_fps": self.vector.metadata["render_fps"]}
        self.observation_space = self.vector.single_observation_space
        self.action_space = self.vector.single_action_space
        self._ended = False
        self._steps = 0
        """control steps of the present episode"""

    def __getattr__(self, name: str) -> Any:
        return _forwarded(self, name)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; `options` as in `VectorEnv`."""
        if isinstance(seed, np.integer):
            # Gymnasium takes integers of Python only; those of numpy come from ranges and generators.
            seed = int(seed)
        super().reset(seed=seed)
        # One generator for both: start states are drawn from what Gymnasium shows as `env.np_random`.
        self.vector.rngs[0] = self.np_random
        observation, _ = self.vector.reset(options=options)
        self._ended = False
        self._steps = 0
        return row_of(observation, 0), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One control step; after the end of an episode call `reset`.

        Returns:
            Observation, reward, terminated, truncated (at the task's own time limit; that of the id is kept by
            `gym.make`'s TimeLimit), and info: ``terms``, ``metrics``, and where the physics could not go on
            ``diverged`` and ``diverged_reason``.
        """
        if self._ended:
            raise gym.error.ResetNeeded("the episode has ended: call reset() before step()")
        transition = self.vector.transition(np.asarray(action)[None])
        metrics = self.vector.episode_metrics(transition.diverged)
        info: dict[str, Any] = {
            "terms": {name: rows[0].item() for name, rows in transition.terms.items()},
            "metrics": {name: rows[0].item() for name, rows in metrics.items()},
        }
        if transition.reasons is not None:
            info["diverged"] = True
            info["diverged_reason"] = transition.reasons[0]
        self._ended = bool(transition.terminated[0])
        self._steps += 1
        # Without a limit of `gym.make`'s, that of the vector environment is the task's own.
        own_limit = self.vector.max_episode_steps
        truncated = own_limit is not None and self._steps >= own_limit and not self._ended
        observation = row_of(transition.observation, 0)
        return observation, transition.reward[0].item(), self._ended, truncated, info

    def field(self, name: str) -> Field:
        """A model parameter; see `Simulation.field`."""
        return self.vector.field(name)

    def render(self) -> Any:
        """An RGB picture (480, 640, 3), or None without a render mode."""
        return None if self.render_mode is None else self.vector.render()[0]

    def close(self) -> None:
        """Release the renderer."""
        self.vector.close()


def _info_of(transition: Transition) -> dict[str, Any]:
    """The info of a step in which no episode ended."""
    info: dict[str, Any] = {}
    if transition.terms:
        info["terms"] = masked(transition.terms, transition.live)
        info["_terms"] = transition.live
    if transition.diverged is not None:
        info["diverged"] = transition.diverged
        info["_diverged"] = transition.diverged
        info["diverged_reason"] = transition.reasons
        info["_diverged_reason"] = transition.diverged
    return info


def _forwarded(env: VectorEnv | SingleEnv, name: str) -> Any:
    """The task's method that the environment shows as its own; asked for attributes that `env` does not have."""
    # `env.task` would ask for itself without end, in a copy that has no attributes yet.
    task = env.__dict__.get("task")
    if task is not None and name in task.forwarded:
        return getattr(task, name)
    raise AttributeError(f"{type(env).__name__!r} object has no attribute {name!r}")

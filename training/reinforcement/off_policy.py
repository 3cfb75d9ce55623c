"""DDPG, TD3 and SAC by stable-baselines3, around any stateless controller.

Lillicrap et al. 2016 (arXiv 1509.02971); Fujimoto et al. 2018 (1802.09477); Haarnoja et al. 2018 (1812.05905).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import stable_baselines3 as sb3
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.noise import NormalActionNoise

from ...controllers import Controller
from ...controllers.boxes import half_ranges
from ...envs import Task
from ...errors import LanceletError
from ..runs import interrupt
from ..runs.state import generators, optimizer_state, restore_generators, restore_optimizer
from ..trainer import TRAINING, start_seeds
from .base import Learner, Reinforcement, with_clock
from .sb3 import Reward, SB3VecEnv, episode_figures, make_sb3_env, state_refusal
from .sb3_actors import DeterministicPolicy, StochasticPolicy

_ARRAYS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
_CHUNK = 100
"""updates between two safe points for Ctrl-C"""


@dataclass(kw_only=True)
class OffPolicy(Reinforcement):
    """A trainer that learns from a replay buffer of single steps, uniformly drawn; subclasses make the model.

    The controller sees raw observations, the critics normalised ones (running statistics, which a controller that
    normalises its own input gets as well; they move between iterations only). Actions are scaled to [-1, 1] for
    critics and noise. Time-outs are bootstrapped with the value of the true last observation. ncap trains with the
    task's ``clock=True``, which is set where it is not.

    Resuming: a run that was stopped anywhere and resumed equals the undisturbed run to the bit (weights, targets,
    optimisers, statistics, replay buffer, generators, simulations and episodes are in the checkpoint). A run of N
    steps resumed to 2N has the weights of the run of 2N; its best controller may differ, since the end of N was one
    more validation.
    """

    remedy: ClassVar[str] = "lower --actor-rate and --critic-rate"

    steps: int = 200_000
    """control steps of all simulations together, rounded up to whole iterations"""
    envs: int = 10
    """simulations side by side"""
    critic: tuple[int, ...] = (256, 256)
    """hidden units of each critic, ReLU"""
    save_every: int = 20_000
    """control steps between two checkpoints, which hold the replay buffer; 0: after every iteration"""
    buffer: int = 1_000_000
    """control steps that the replay buffer holds; memory is taken as it fills"""
    batch_size: int = 256
    """control steps in a gradient step"""
    learning_starts: int = 10_000
    """control steps before the first update"""
    random_steps: int = 10_000
    """control steps that begin the run with uniform random actions; 0 where the controller swims already (ncap)"""
    train_every: int = 50
    """control steps of all simulations between two rounds of updates, rounded up to whole vector steps"""
    updates: float = 1.0
    """gradient steps for every control step"""
    log_every: int = 2_000
    """control steps in an iteration: a line of the log, and the statistics move; rounded up to whole rounds"""
    tau: float = 0.005
    """share of the way that the targets go towards the networks in an update"""
    actor_rate: float = 1e-3
    """Adam's learning rate of the controller"""
    critic_rate: float = 1e-3
    """Adam's learning rate of the critics"""

    def check(self) -> None:
        """Counts and rates must be positive, shares between 0 and 1."""
        super().check()
        self.at_least(0, "learning_starts", "random_steps")
        self.at_least(1, "batch_size", "train_every", "log_every")
        self.above_zero("updates", "tau", "actor_rate", "critic_rate")
        self.share("tau")
        least = max(self.batch_size, self.envs)
        if self.buffer < least:
            raise LanceletError(
                f"buffer = {self.buffer}: must be at least batch_size and envs, {least}"
            )

    def adapt_task(self, task: Task, controller: Controller) -> dict[str, Any]:
        """The time in the observation for a controller with a clock."""
        return with_clock(task, controller)

    def refusal(self, controller: Controller) -> str | None:
        """A state from step to step, which shuffled single steps cannot train; actions without bounds."""
        return (
            super().refusal(controller)
            or state_refusal(controller)
            or _bounds_refusal(controller.action_space)
        )

    def learner(self, controller: Controller, task: str, task_options: dict[str, Any]) -> Learner:
        """The model of stable-baselines3 around `controller`, driven one iteration at a time."""
        return _Learning(self, controller, task, task_options)

    @abstractmethod
    def model(
        self, env: SB3VecEnv, controller: Controller, common: dict[str, Any], policy: dict[str, Any]
    ) -> Any:
        """The stable-baselines3 model; `common` are its arguments, `policy` those of our policy, that all share."""


@dataclass(kw_only=True)
class DDPG(OffPolicy):
    """Deep deterministic policy gradient; the defaults are those of tonic, which the NCAP paper trained with."""

    batch_size: int = 100
    """control steps in a gradient step"""
    random_steps: int = 20_000
    """control steps that begin the run with uniform random actions; 0 where the controller swims already (ncap)"""
    noise: float = 0.1
    """standard deviation of the action noise, in units of half the action range"""

    def check(self) -> None:
        """No negative noise."""
        super().check()
        self.at_least(0, "noise")

    def model(
        self, env: SB3VecEnv, controller: Controller, common: dict[str, Any], policy: dict[str, Any]
    ) -> Any:
        """Make the model of stable-baselines3, as `OffPolicy.model` says."""
        return _DDPG(
            DeterministicPolicy,
            env,
            action_noise=_noise(env, self.noise),
            policy_kwargs=policy,
            **common,
        )


@dataclass(kw_only=True)
class TD3(OffPolicy):
    """Twin delayed DDPG: two critics, a slower actor, smoothed targets."""

    noise: float = 0.1
    """standard deviation of the action noise, in units of half the action range"""
    policy_delay: int = 2
    """updates of the critics for one of the actor and the targets"""
    target_noise: float = 0.2
    """standard deviation of the noise on the target's action"""
    target_clip: float = 0.5
    """that noise is clipped to this"""

    def check(self) -> None:
        """No negative noise, a positive delay."""
        super().check()
        self.at_least(0, "noise", "target_clip")
        self.at_least(1, "policy_delay")
        self.above_zero("target_noise")

    def model(
        self, env: SB3VecEnv, controller: Controller, common: dict[str, Any], policy: dict[str, Any]
    ) -> Any:
        """Make the model of stable-baselines3, as `OffPolicy.model` says."""
        return _TD3(
            DeterministicPolicy,
            env,
            action_noise=_noise(env, self.noise),
            policy_delay=self.policy_delay,
            target_policy_noise=self.target_noise,
            target_noise_clip=self.target_clip,
            policy_kwargs=policy,
            **common,
        )


@dataclass(kw_only=True)
class SAC(OffPolicy):
    """Soft actor-critic with Normal(action of the controller, learned std), clipped; see `sb3_actors.GaussianActor`."""

    actor_rate: float = 3e-4
    """Adam's learning rate of the controller, its noise and the entropy coefficient"""
    std: float | None = None
    """standard deviation of the action noise at the start, action units; None: the controller's own share of half the
    action range"""
    ent_coef: float | None = None
    """weight of the entropy in the reward; None: learned, from 0.1 on"""
    target_entropy: float | None = None
    """entropy (nat) that the learned weight aims at, of actions in units of half their range; None: -1 an action,
    which is a standard deviation of 0.089"""

    def check(self) -> None:
        """No negative weight, positive noise."""
        super().check()
        self.above_zero("std")
        if self.ent_coef is not None:
            self.at_least(0, "ent_coef")

    def model(
        self, env: SB3VecEnv, controller: Controller, common: dict[str, Any], policy: dict[str, Any]
    ) -> Any:
        """Make the model of stable-baselines3, as `OffPolicy.model` says."""
        share, _ = controller.exploration
        std = share * half_ranges(controller.action_space) if self.std is None else self.std  # pyright: ignore[reportArgumentType]
        return _SAC(
            StochasticPolicy,
            env,
            learning_rate=self.actor_rate,
            ent_coef="auto_0.1" if self.ent_coef is None else self.ent_coef,
            target_entropy="auto" if self.target_entropy is None else self.target_entropy,
            policy_kwargs=policy | {"std": std},
            **common,
        )


def _bounds_refusal(space: spaces.Space) -> str | None:
    bounded = isinstance(space, spaces.Box) and space.is_bounded()
    return None if bounded else f"acts in {space}, where scaled actions need bounds"


def _noise(env: SB3VecEnv, std: float) -> NormalActionNoise:
    shape = env.action_space.shape or ()
    return NormalActionNoise(np.zeros(shape), np.full(shape, std))


class _Means(Logger):
    """A logger that keeps means: `train` is called many times in an iteration."""

    def record(self, key: str, value: Any, exclude: str | tuple[str, ...] | None = None) -> None:
        self.record_mean(key, value, exclude)


class _Rounds:
    """What our models do otherwise than stable-baselines3's: rounds of updates, and the uniform actions before."""

    random_steps = 0
    updates = 1.0
    check_weights: Any
    """`Reinforcement.check_weights` of the trainer"""

    def _update_learning_rate(self, optimizers: Any) -> None:
        """Leave the actor's and the critics' rates as the policy set them."""

    def _sample_action(
        self: Any, learning_starts: int, action_noise: Any = None, n_envs: int = 1
    ) -> Any:
        """Uniform for the first `random_steps`, whenever learning starts; drawn from numpy's global generator."""
        if self.num_timesteps < self.random_steps:
            scaled = np.random.uniform(-1, 1, (n_envs, *self.action_space.shape)).astype(np.float32)
            return self.policy.unscale_action(scaled), scaled
        return super()._sample_action(0, action_noise, n_envs)  # pyright: ignore[reportAttributeAccessIssue]

    def train(self: Any, gradient_steps: int, batch_size: int = 100) -> None:
        """The gradient steps due since the last round: `updates` a control step, the fraction carried over."""
        now, fresh = self.num_timesteps, self.train_freq.frequency * self.n_envs
        due = int(self.updates * now) - int(self.updates * (now - fresh))
        while due > 0:
            interrupt.check()
            super().train(min(due, _CHUNK), batch_size)  # pyright: ignore[reportAttributeAccessIssue]
            due -= _CHUNK
        self.check_weights((*self.actor.parameters(), *self.critic.parameters()), now)


class _DDPG(_Rounds, sb3.DDPG):
    pass


class _TD3(_Rounds, sb3.TD3):
    pass


class _SAC(_Rounds, sb3.SAC):
    pass


class _Learning:
    """The model of one run, and its checkpoint."""

    def __init__(
        self, options: OffPolicy, controller: Controller, task: str, fields: dict[str, Any]
    ) -> None:
        self.o = options
        self.env = make_sb3_env(task, options.envs, **fields)
        vector_steps = math.ceil(options.train_every / options.envs)
        # A buffer for more steps than are ever taken would only hold memory.
        most_steps = options.steps + options.log_every + (vector_steps + 1) * options.envs
        common = {
            "buffer_size": min(options.buffer, most_steps),
            "learning_starts": options.learning_starts,
            "batch_size": options.batch_size,
            "tau": options.tau,
            "gamma": options.gamma,
            "train_freq": vector_steps,
            "device": "cpu",
        }
        rates = (options.actor_rate, options.critic_rate)
        policy = {"controller": controller, "critic": options.critic, "learning_rates": rates}
        try:
            self.model = options.model(self.env, controller, common, policy)
        except MemoryError as error:
            raise LanceletError(
                f"buffer = {options.buffer}: does not fit into the memory, give less"
            ) from error
        self.model.random_steps = options.random_steps
        self.model.updates = options.updates
        self.model.check_weights = options.check_weights
        self.model.set_logger(_Means(None, []))
        self.env._seeds = start_seeds(TRAINING, options.seed, 0, options.envs)  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def steps(self) -> int:
        return self.model.num_timesteps

    def std(self) -> np.ndarray:
        space: Any = self.env.action_space
        half = (space.high - space.low).astype(np.float64).ravel() / 2
        if isinstance(self.model, _SAC):
            actor: Any = self.model.actor
            return half * actor.bounded_log_std().detach().exp().double().numpy()
        return half * self.o.noise  # pyright: ignore[reportAttributeAccessIssue]

    def iterate(self) -> dict[str, float]:
        """Take rounds of control steps and updates; mean figures of all."""
        model = self.model
        buffer = model.replay_buffer
        # Episodes and means of this iteration only.
        model.ep_info_buffer = None
        model.logger.name_to_value.clear()
        model.logger.name_to_count.clear()
        steps_before = self.steps
        first_row = buffer.pos
        reward = Reward()
        model.learn(self.o.log_every, reward, None, reset_num_timesteps=False)
        rows = (self.steps - steps_before) // self.o.envs
        # The statistics take in what is new in the buffer, which is a ring.
        new_rows = first_row + np.arange(min(rows, buffer.buffer_size))
        new_rows = new_rows % buffer.buffer_size
        model.policy.update_statistics(_map(lambda array: array[new_rows], buffer.observations))
        figures = {"reward": reward.total / rows}
        logged = model.logger.name_to_value
        for name in ("actor_loss", "critic_loss", "ent_coef"):
            if f"train/{name}" in logged:
                figures[name] = float(logged[f"train/{name}"])
        figures["std"] = float(self.std().mean())
        return figures | episode_figures(model)

    def state_dict(self) -> dict[str, Any]:
        model, buffer = self.model, self.model.replay_buffer
        size = buffer.size()
        saved = {
            "steps": self.steps,
            "updates": model._n_updates,
            "policy": dict(model.policy.state_dict()),
            "optimizers": {
                name: optimizer_state(value) for name, value in self._optimizers().items()
            },
            "generators": generators(),
            "env": self.env.env.state_dict(),
            "observation": model._last_obs,
            "starts": model._last_episode_starts,
            "buffer": {
                name: _map(lambda array: array[:size], getattr(buffer, name)) for name in _ARRAYS
            },
            "position": [buffer.pos, buffer.full],
        }
        if getattr(model, "log_ent_coef", None) is not None:
            saved["log_ent_coef"] = model.log_ent_coef.detach()
        return saved

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        model = self.model
        model.num_timesteps = saved["steps"]
        model._n_updates = saved["updates"]
        model.policy.load_state_dict(saved["policy"])
        for name, optimizer in self._optimizers().items():
            restore_optimizer(optimizer, saved["optimizers"][name])
        if "log_ent_coef" in saved:
            model.log_ent_coef.data.copy_(saved["log_ent_coef"])
        size = len(saved["buffer"]["rewards"])
        # A run that is resumed with fewer steps than it has had: there is nothing to do, but it must load.
        if size > model.replay_buffer.buffer_size:
            model.replay_buffer = type(model.replay_buffer)(
                size * self.o.envs, model.observation_space, model.action_space, "cpu", self.o.envs
            )
        buffer: ReplayBuffer = model.replay_buffer
        for name in _ARRAYS:
            _fill(getattr(buffer, name), saved["buffer"][name], size)
        buffer.pos, buffer.full = saved["position"]
        self.env.env.load_state_dict(saved["env"])
        model._last_obs = saved["observation"]
        model._last_episode_starts = saved["starts"]
        # Last: building and restoring may have drawn from the global generators.
        restore_generators(saved["generators"])

    def _optimizers(self) -> dict[str, Any]:
        model = self.model
        optimizers = {"actor": model.actor.optimizer, "critic": model.critic.optimizer}
        # Of SAC alone, and there only where the entropy's weight is learned.
        entropy = getattr(model, "ent_coef_optimizer", None)
        if entropy is not None:
            optimizers["entropy"] = entropy
        return optimizers

    def close(self) -> None:
        self.env.close()


def _map(function: Any, arrays: Any) -> Any:
    """`function` of an array, or of each in a dict (Dict observations)."""
    if isinstance(arrays, dict):
        return {name: function(array) for name, array in arrays.items()}
    return function(arrays)


def _fill(arrays: Any, saved: Any, size: int) -> None:
    """Write `saved` into the first `size` rows of an array, or of each in a dict, in place."""
    if isinstance(arrays, dict):
        for name, array in arrays.items():
            array[:size] = saved[name]
    else:
        arrays[:size] = saved

"""DDPG, TD3 and SAC by stable-baselines3, around any stateless controller.

Lillicrap et al. 2016 (arXiv 1509.02971); Fujimoto et al. 2018 (1802.09477); Haarnoja et al. 2018 (1812.05905).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.noise import NormalActionNoise

from ... import foreign
from ...controllers import Controller
from ...controllers.boxes import half_ranges
from ...envs import Task
from ...errors import LanceletError
from .base import Learner, Reinforcement, with_clock
from .off_policy_learner import DDPGModel, OffPolicyLearner, OffPolicyModel, SACModel, TD3Model
from .sb3 import SB3VecEnv, state_refusal
from .sb3_actors import DeterministicPolicy, GaussianActor, StochasticPolicy

FIRST_ENT_COEF = 0.1
"""weight of the entropy from which SAC's learned weight begins"""


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
        """Ask for the time in the observation where the controller has a clock.

        Raises:
            LanceletError: the replay buffer would become larger than a checkpoint may be.
        """
        self._check_buffer(controller)
        return with_clock(task, controller)

    def _check_buffer(self, controller: Controller) -> None:
        """Refuse a replay buffer that no checkpoint could hold: it is known before the first step is taken."""
        kept_steps = min(self.buffer, self.steps)
        # Each step is kept with the observation before it and the one after it.
        bytes_per_step = 2 * _space_bytes(controller.observation_space)
        total = kept_steps * bytes_per_step
        if total > foreign.CHECKPOINT_BYTES:
            fitting = foreign.CHECKPOINT_BYTES // bytes_per_step
            raise LanceletError(
                f"buffer = {self.buffer}: {kept_steps:,} steps with {bytes_per_step:,} bytes of observations each are "
                f"{total / foreign.GIB:.1f} GiB; must be at most {fitting:,} steps, or smaller observations"
            )

    def refusal(self, controller: Controller) -> str | None:
        """Refuse a state from step to step, which shuffled single steps cannot train, and actions without bounds."""
        return (
            super().refusal(controller)
            or state_refusal(controller)
            or _bounds_refusal(controller.action_space)
        )

    def learner(self, controller: Controller, task: str, task_options: dict[str, Any]) -> Learner:
        """Make stable-baselines3's model around `controller`; it is driven one iteration at a time."""
        return OffPolicyLearner(self, controller, task, task_options)

    @abstractmethod
    def model(
        self, env: SB3VecEnv, controller: Controller, common: dict[str, Any], policy: dict[str, Any]
    ) -> OffPolicyModel:
        """Make the model of stable-baselines3.

        Args:
            env: the simulations.
            controller: the actor; trained in place.
            common: arguments of the model that all three algorithms share.
            policy: arguments of our policy that all three share.
        """

    @abstractmethod
    def scaled_std(self, model: OffPolicyModel) -> float | np.ndarray:
        """Standard deviation of the present action noise, in units of half the action range: for all, or (m,)."""


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
    ) -> DDPGModel:
        """Make the model of stable-baselines3, as `OffPolicy.model` says."""
        return DDPGModel(
            DeterministicPolicy,
            env,
            action_noise=_noise(env, self.noise),
            policy_kwargs=policy,
            **common,
        )

    def scaled_std(self, model: OffPolicyModel) -> float:
        """The noise stays as it is."""
        return self.noise


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
    ) -> TD3Model:
        """Make the model of stable-baselines3, as `OffPolicy.model` says."""
        return TD3Model(
            DeterministicPolicy,
            env,
            action_noise=_noise(env, self.noise),
            policy_delay=self.policy_delay,
            target_policy_noise=self.target_noise,
            target_noise_clip=self.target_clip,
            policy_kwargs=policy,
            **common,
        )

    def scaled_std(self, model: OffPolicyModel) -> float:
        """The noise stays as it is."""
        return self.noise


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
    ) -> SACModel:
        """Make the model of stable-baselines3, as `OffPolicy.model` says."""
        std: float | np.ndarray
        if self.std is None:
            share, _ = controller.exploration
            std = share * half_ranges(controller.action_space)  # pyright: ignore[reportArgumentType] - Box by contract
        else:
            std = self.std
        return SACModel(
            StochasticPolicy,
            env,
            learning_rate=self.actor_rate,
            # stable-baselines3's word for a coefficient that is learned, from this value on.
            ent_coef=f"auto_{FIRST_ENT_COEF}" if self.ent_coef is None else self.ent_coef,
            target_entropy="auto" if self.target_entropy is None else self.target_entropy,
            policy_kwargs=policy | {"std": std},
            **common,
        )

    def scaled_std(self, model: OffPolicyModel) -> np.ndarray:
        """The learned noise as it is now."""
        actor = model.actor
        assert isinstance(actor, GaussianActor)
        return actor.bounded_log_std().detach().exp().double().numpy()


def _space_bytes(space: spaces.Space) -> int:
    """Bytes of one observation: a Box, or a Dict of such."""
    if isinstance(space, spaces.Dict):
        return sum(_space_bytes(part) for part in space.values())
    shape = space.shape or ()
    itemsize = np.dtype(space.dtype or np.float32).itemsize
    return math.prod(shape) * itemsize


def _bounds_refusal(space: spaces.Space) -> str | None:
    """Why these algorithms, which scale actions to [-1, 1], cannot act in `space`; None: they can."""
    if isinstance(space, spaces.Box) and space.is_bounded():
        return None
    return f"acts in {space}, where scaled actions need bounds"


def _noise(env: SB3VecEnv, std: float) -> NormalActionNoise:
    """Independent noise on every action, of one standard deviation in units of half the action range."""
    shape = env.action_space.shape or ()
    return NormalActionNoise(mean=np.zeros(shape), sigma=np.full(shape, std))

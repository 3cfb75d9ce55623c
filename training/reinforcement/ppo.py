"""Proximal policy optimisation (Schulman et al. 2017) by stable-baselines3, around any stateless controller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import Logger

from ...controllers import Controller
from ...envs import Task
from ..runs.state import generators, optimizer_state, restore_generators, restore_optimizer
from ..trainer import TRAINING, start_seeds
from . import sb3_compat
from .base import Learner, with_clock
from .on_policy import OnPolicy
from .sb3 import ControllerPolicy, Reward, episode_figures, make_sb3_env, state_refusal

VALUE_WEIGHT = 0.5
"""weight of the critic's loss, in units of the returns' variance, beside the actor's"""
LOGGED = {
    "kl": "train/approx_kl",
    "value_loss": "train/value_loss",
    "explained": "train/explained_variance",
    "std": "train/std",
    "clipped": "train/clip_fraction",
}
"""name of a figure of an update in our log -> its name in the log of stable-baselines3"""


@dataclass(kw_only=True)
class PPO(OnPolicy):
    """PPO over many simulations side by side; the controller sees raw observations, the critic normalised ones.

    Time-outs are bootstrapped with the critic's value of the true last observation. The action noise is the
    controller's own (`Controller.exploration`: NCAP fixed 0.1, others learned from 0.693) unless `std` or
    `learn_std` say otherwise. ncap trains with the task's ``clock=True``, which is set where it is not.

    Resuming: a run that was stopped anywhere and resumed equals the undisturbed run to the bit (weights, optimiser,
    statistics, generators, simulations and episodes are in the checkpoint). A run of N steps resumed to 2N has the
    weights of the run of 2N; its best controller may differ, since the end of N was one more validation.

    Segments and passes are by default those of tonic, which the NCAP paper trained with: long pieces of few episodes,
    many whole-batch passes that the divergence ends. Short pieces of many (envs=256, rollout=32, batch_size=2048,
    epochs=10) take less time a step and need more steps.
    """

    envs: int = 16
    """simulations side by side"""
    rollout: int = 256
    """control steps of each simulation between two updates"""
    batch_size: int = 4096
    """control steps in a gradient step; must divide envs x rollout"""
    epochs: int = 80
    """passes over a rollout, fewer where `target_kl` is reached"""
    target_kl: float = 0.01
    """a pass ends early at 1.5 times this divergence from the policy that acted"""

    def adapt_task(self, task: Task, controller: Controller) -> dict[str, Any]:
        """Ask for the time in the observation where the controller has a clock."""
        return with_clock(task, controller)

    def refusal(self, controller: Controller) -> str | None:
        """Refuse a state from step to step, which shuffled single steps cannot train."""
        return super().refusal(controller) or state_refusal(controller)

    def learner(self, controller: Controller, task: str, task_options: dict[str, Any]) -> Learner:
        """Make stable-baselines3's model around `controller`; it is driven one rollout and update at a time."""
        return PPOLearner(self, controller, task, task_options)


class Model(sb3.PPO):
    """stable-baselines3's PPO with separate learning rates for the actor and the critic."""

    def _update_learning_rate(
        self, optimizers: torch.optim.Optimizer | list[torch.optim.Optimizer]
    ) -> None:
        """Do nothing: `ControllerPolicy` has set the rates, and the parent would make them equal."""


class PPOLearner:
    """One run's model of stable-baselines3, as `base.Learner` wants it.

    Args:
        options: of the algorithm.
        controller: the actor; trained in place.
        task: its id.
        task_options: fields of the task, and ``max_episode_steps``.
    """

    def __init__(
        self, options: PPO, controller: Controller, task: str, task_options: dict[str, Any]
    ) -> None:
        self.options = options
        self.env = make_sb3_env(task, options.envs, **task_options)
        std, learn_std = options.noise(controller)
        self.model = Model(
            ControllerPolicy,
            self.env,
            n_steps=options.rollout,
            batch_size=options.batch_size,
            n_epochs=options.epochs,
            clip_range=options.clip,
            target_kl=options.target_kl,
            gamma=options.gamma,
            gae_lambda=options.gae_lambda,
            max_grad_norm=options.max_grad_norm,
            device="cpu",
            policy_kwargs={
                "controller": controller,
                "std": std,
                "learn_std": learn_std,
                "critic": options.critic,
                "learning_rates": (options.actor_rate, options.critic_rate),
            },
        )
        self.policy: ControllerPolicy = self.model.policy  # pyright: ignore[reportAttributeAccessIssue] - as asked for
        # Without outputs: the figures are read from the logger after each update, and written by our own log.
        self.model.set_logger(Logger(None, []))
        # `VecEnv.seed` would give successive seeds, which leave the split of the training's start states.
        sb3_compat.set_reset_seeds(self.env, start_seeds(TRAINING, options.seed, 0, options.envs))

    @property
    def steps(self) -> int:
        """Control steps of all simulations so far."""
        return self.model.num_timesteps

    def std(self) -> np.ndarray:
        """Standard deviation (m,) of the action noise, action units."""
        return self.policy.log_std.detach().exp().numpy()

    def iterate(self) -> dict[str, float]:
        """Collect one rollout and learn from it by one update; figures of both."""
        mean_reward = self._collect_and_update()
        buffer = self._buffer
        # Only after the update, which needs the policy that acted: the statistics change the policy.
        self.policy.update_statistics(buffer.observations, buffer.returns)

        figures = {"reward": mean_reward}
        logged = self.model.logger.name_to_value
        for our_name, sb3_name in LOGGED.items():
            figures[our_name] = float(logged[sb3_name])
        return figures | episode_figures(self.model)

    @property
    def _buffer(self) -> RolloutBuffer:
        """The rollout, and after an update its returns."""
        return self.model.rollout_buffer

    def _collect_and_update(self) -> float:
        """Let stable-baselines3 collect a rollout and learn from it.

        Returns:
            The mean reward of a control step; the buffer's own rewards hold the bootstraps of time-outs as well.

        Raises:
            LanceletError: weights are not finite any more.
        """
        buffer = self._buffer
        # A new buffer of episodes is made where there is none: it holds those of this rollout only.
        self.model.ep_info_buffer = None
        # Actor and critic share no weight: this only keeps a critic of any unit from filling the gradient's norm.
        self.model.vf_coef = VALUE_WEIGHT / self.policy.critic.scale.item() ** 2
        rewards = Reward()
        error_of_torch = None
        try:
            self.model.learn(
                total_timesteps=buffer.buffer_size * buffer.n_envs,
                callback=rewards,
                log_interval=None,  # pyright: ignore[reportArgumentType] - None: print nothing
                reset_num_timesteps=False,
            )
        except ValueError as error:
            # torch's check of a distribution's numbers says in a thousand lines what `check_weights` says in one.
            error_of_torch = error
        self.options.check_weights(self.policy.parameters(), self.steps)
        if error_of_torch is not None:
            raise error_of_torch
        return rewards.total / buffer.buffer_size

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides what comes next, as arrays and JSON values."""
        return {
            "steps": self.steps,
            "policy": dict(self.policy.state_dict()),
            "optimizer": optimizer_state(self.policy.optimizer),
            "generators": generators(),
            "env": self.env.env.state_dict(),
            **sb3_compat.pending_observation(self.model),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.model.num_timesteps = saved["steps"]
        self.policy.load_state_dict(saved["policy"])
        restore_optimizer(self.policy.optimizer, saved["optimizer"])
        self.env.env.load_state_dict(saved["env"])
        sb3_compat.restore_pending_observation(self.model, saved["observation"], saved["starts"])
        # Last: building and restoring may have drawn from the global generators.
        restore_generators(saved["generators"])

    def close(self) -> None:
        """Close the vector environment."""
        self.env.close()

"""Proximal policy optimisation (Schulman et al. 2017) by stable-baselines3, around any stateless controller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import stable_baselines3 as sb3
from stable_baselines3.common.logger import Logger

from ...controllers import Controller
from ...envs import Task
from ..runs.state import generators, optimizer_state, restore_generators, restore_optimizer
from ..trainer import TRAINING, start_seeds
from .base import Learner, with_clock
from .on_policy import OnPolicy
from .sb3 import ControllerPolicy, Reward, episode_figures, make_sb3_env, state_refusal

LOGGED = {
    "kl": "train/approx_kl",
    "value_loss": "train/value_loss",
    "explained": "train/explained_variance",
    "std": "train/std",
    "clipped": "train/clip_fraction",
}
"""figures of an update in our log -> in that of stable-baselines3"""


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
        """The time in the observation for a controller with a clock."""
        return with_clock(task, controller)

    def refusal(self, controller: Controller) -> str | None:
        """A state from step to step, which shuffled single steps cannot train."""
        return super().refusal(controller) or state_refusal(controller)

    def learner(self, controller: Controller, task: str, task_options: dict[str, Any]) -> Learner:
        """The model of stable-baselines3 around `controller`, driven one rollout and update at a time."""
        return _Learning(self, controller, task, task_options)


class Model(sb3.PPO):
    """stable-baselines3's PPO with the actor's and the critic's learning rates apart."""

    def _update_learning_rate(self, optimizers: Any) -> None:
        """Leave the actor's and the critic's rates as `ControllerPolicy` set them."""


class _Learning:
    """The model of one run, and its checkpoint."""

    def __init__(
        self, options: PPO, controller: Controller, task: str, fields: dict[str, Any]
    ) -> None:
        self.o = options
        std, learn_std = options.noise(controller)
        self.env = make_sb3_env(task, options.envs, **fields)
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
        self.policy: ControllerPolicy = self.model.policy  # pyright: ignore[reportAttributeAccessIssue]
        self.model.set_logger(Logger(None, []))
        self.env._seeds = start_seeds(TRAINING, options.seed, 0, options.envs)  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def steps(self) -> int:
        return self.model.num_timesteps

    def std(self) -> np.ndarray:
        return self.policy.log_std.detach().exp().numpy()

    def iterate(self) -> dict[str, float]:
        """Collect one rollout and learn from it by one update; figures of both."""
        model = self.model
        buffer = model.rollout_buffer
        # Episodes of this rollout only.
        model.ep_info_buffer = None
        # Actor and critic share no weight: this only keeps a critic of any unit from filling the gradient's norm.
        model.vf_coef = 0.5 / self.policy.critic.scale.item() ** 2
        # The buffer's own rewards hold the time-outs' bootstraps as well, so that they are counted here.
        reward = Reward()
        error_of_torch = None
        try:
            model.learn(buffer.buffer_size * buffer.n_envs, reward, None, reset_num_timesteps=False)  # pyright: ignore
        except ValueError as error:
            # torch's check of a distribution's numbers says in a thousand lines what `check_weights` says in one.
            error_of_torch = error
        self.o.check_weights(self.policy.parameters(), self.steps)
        if error_of_torch is not None:
            raise error_of_torch
        self.policy.update_statistics(buffer.observations, buffer.returns)
        logged = model.logger.name_to_value
        figures = {"reward": reward.total / buffer.buffer_size}
        for own_name, name in LOGGED.items():
            figures[own_name] = float(logged[name])
        return figures | episode_figures(model)

    def state_dict(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "policy": dict(self.policy.state_dict()),
            "optimizer": optimizer_state(self.policy.optimizer),
            "generators": generators(),
            "env": self.env.env.state_dict(),
            "observation": self.model._last_obs,
            "starts": self.model._last_episode_starts,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        model = self.model
        model.num_timesteps = saved["steps"]
        self.policy.load_state_dict(saved["policy"])
        restore_optimizer(self.policy.optimizer, saved["optimizer"])
        self.env.env.load_state_dict(saved["env"])
        model._last_obs = saved["observation"]
        model._last_episode_starts = saved["starts"]
        # Last: building and restoring may have drawn from the global generators.
        restore_generators(saved["generators"])

    def close(self) -> None:
        self.env.close()

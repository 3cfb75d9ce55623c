"""Proximal policy optimisation (Schulman et al. 2017) by stable-baselines3, around any stateless controller."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from .. import controllers
from ..controllers import Controller, Population
from ..envs import Task
from ..errors import LanceletError
from . import interrupt
from .progress import progress
from .rollout import make_env, rollout
from .runs import RunFolder
from .sb3 import ControllerPolicy, make_sb3_env, refuse_state
from .trainer import TRAINING, VALIDATION, Trainer, start_seeds


@dataclass(kw_only=True)
class PPO(Trainer):
    """PPO over many simulations side by side; the controller sees raw observations, the critic normalised ones.

    Time-outs are bootstrapped with the critic's value of the true last observation. The action noise is the
    controller's own (`Controller.exploration`: NCAP fixed 0.1, others learned from 0.693) unless `std` or
    `learn_std` say otherwise. ncap trains with the task's ``clock=True``, which is set where it is not.

    Resuming: a run that was stopped anywhere and resumed equals the undisturbed run to the bit (weights, optimiser,
    statistics, generators, simulations and episodes are in the checkpoint). A run of N steps resumed to 2N has the
    weights of the run of 2N; its best controller may differ, since the end of N was one more validation.
    """

    steps: int = 500_000
    """control steps of all simulations together, rounded up to whole rollouts"""
    envs: int = 64
    """simulations side by side"""
    rollout: int = 32
    """control steps of each simulation between two updates"""
    batch_size: int = 1024
    """control steps in a gradient step; must divide envs x rollout"""
    epochs: int = 20
    """passes over a rollout, fewer where `target_kl` is reached"""
    clip: float = 0.2
    """clip range of the probability ratio"""
    target_kl: float = 0.03
    """a pass ends early at 1.5 times this divergence from the policy that acted"""
    actor_rate: float = 3e-4
    """Adam's learning rate of the controller and its noise"""
    critic_rate: float = 1e-3
    """Adam's learning rate of the critic"""
    gamma: float = 0.99
    """discount a control step; it sets how far ahead actions are judged, 1 / (1 - gamma) steps: at 0.99 the swimmer
    (0.03 s a step) looks 3 s ahead, under two beats of its tail, while the score is the undiscounted return of 30 s"""
    gae_lambda: float = 0.97
    """of the generalised advantage estimate"""
    max_grad_norm: float = 0.5
    """gradients are clipped to this norm: with a fixed small noise the ratio overflows otherwise"""
    std: float | None = None
    """standard deviation of the action noise at the start; None: the controller's own"""
    learn_std: bool | None = None
    """train the action noise; None: the controller's own"""
    critic: tuple[int, ...] = (64, 64)
    """hidden units of the critic"""
    validation: int = 16
    """start states that choose the run's controller, acted on without noise"""
    validate_every: int = 20_000
    """control steps between two choices"""

    def check(self) -> None:
        """Counts must be positive, and batches fill a rollout."""
        super().check()
        self.at_least(0, "steps")
        self.at_least(1, "envs", "rollout", "epochs", "validation", "validate_every")
        self.at_least(2, "batch_size")
        for name in ("clip", "target_kl", "actor_rate", "critic_rate", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise LanceletError(f"{name} = {getattr(self, name)}: must be above 0")
        for name in ("gamma", "gae_lambda"):
            if not 0 <= getattr(self, name) <= 1:
                raise LanceletError(f"{name} = {getattr(self, name)}: must be from 0 to 1")
        if self.std is not None and not self.std > 0:
            raise LanceletError(f"std = {self.std}: must be above 0")
        if any(units < 1 for units in self.critic):
            raise LanceletError(f"critic = {self.critic}: must be whole numbers, 1 or more each")
        if self.envs * self.rollout % self.batch_size:
            whole = self.envs * self.rollout
            raise LanceletError(f"batch_size = {self.batch_size}: must divide envs x rollout = {whole}")

    def adapt_task(self, task: Task, controller: Controller) -> dict[str, Any]:
        """The time in the observation, where the controller keeps a state that may be a clock."""
        if getattr(task, "clock", None) is False and controller.pure and controller.initial_state(1) != ():
            return {"clock": True}
        refuse_state(controller, "ppo")
        if not list(controller.parameters()):
            raise LanceletError(f"{type(controller).__name__} has no weights to train: choose another controller")
        return {}

    def learn(self, run: RunFolder, controller: Controller, task: str, task_options: dict[str, Any]) -> None:
        """Rollout by rollout, with a checkpoint after each."""
        with _generators(self.seed):
            _Learning(self, run, controller, task, task_options).run()


class Model(sb3.PPO):
    """stable-baselines3's PPO with the actor's and the critic's learning rates apart."""

    def _update_learning_rate(self, optimizers: Any) -> None:
        """Leave the actor's and the critic's rates as `ControllerPolicy` set them."""


class _Reward(BaseCallback):
    """Mean reward a control step: the rollout buffer's own rewards hold the time-outs' bootstraps as well."""

    total = 0.0

    def _on_step(self) -> bool:
        interrupt.check()
        self.total += float(self.locals["rewards"].mean())
        return True


class _Learning:
    """One call of `PPO.learn`: the model, its counters, and their checkpoint."""

    def __init__(self, options: PPO, run: RunFolder, controller: Controller, task: str, fields: dict[str, Any]) -> None:
        self.o, self.folder, self.controller = options, run, controller
        std, learn_std = controller.exploration
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
                "std": std if options.std is None else options.std,
                "learn_std": learn_std if options.learn_std is None else options.learn_std,
                "critic": options.critic,
                "learning_rates": (options.actor_rate, options.critic_rate),
            },
        )
        self.policy: ControllerPolicy = self.model.policy  # pyright: ignore[reportAttributeAccessIssue]
        self.model.set_logger(Logger(None, []))
        self.env._seeds = start_seeds(TRAINING, options.seed, 0, options.envs)  # pyright: ignore[reportAttributeAccessIssue]
        self.arena = make_env(task, options.validation, **fields)
        self.best, self.best_score, self.best_steps = copy.deepcopy(controller), -np.inf, 0
        self.seconds = 0.0

    @property
    def steps(self) -> int:
        return self.model.num_timesteps

    def run(self) -> None:
        saved, o = self.folder.load(), self.o
        if saved is None:
            self.best_score = self._validate()
        else:
            self._restore(saved)
        self._keep()
        self.folder.begin_log(self.steps)
        begun = time.monotonic() - self.seconds
        with progress("ppo", o.steps, "steps", self.steps, o.quiet) as advance:
            while self.steps < o.steps:
                before = self.steps
                figures = self._iterate()
                if self.steps // o.validate_every > before // o.validate_every or self.steps >= o.steps:
                    figures["validation"] = self._validate()
                    if figures["validation"] > self.best_score:
                        self.best, self.best_score = copy.deepcopy(self.controller), figures["validation"]
                        self.best_steps = self.steps
                        self._keep()
                self.seconds = time.monotonic() - begun
                self.folder.log(self.steps, **figures, steps=self.steps, seconds=self.seconds)
                self.folder.save(self._state())
                shown = ("reward", "mean", "kl", "validation")
                advance(self.steps - before, **{name: figures[name] for name in shown if name in figures})

    def _iterate(self) -> dict[str, float]:
        """One rollout, one update; figures of both."""
        model, buffer = self.model, self.model.rollout_buffer
        model.ep_info_buffer = None  # episodes of this rollout only
        # the networks are apart, so this weight only keeps a critic of any unit from filling the gradient's norm
        model.vf_coef = 0.5 / self.policy.critic.scale.item() ** 2
        reward, wrong = _Reward(), None
        try:
            model.learn(buffer.buffer_size * buffer.n_envs, reward, None, reset_num_timesteps=False)  # pyright: ignore
        except ValueError as error:  # torch's check of a distribution's numbers, in a thousand lines
            wrong = error
        if not all(p.isfinite().all() for p in self.policy.parameters()):
            raise LanceletError(f"ppo: weights not finite after {self.steps} steps: lower --actor-rate or raise --std")
        if wrong is not None:
            raise wrong
        self.policy.update_statistics(buffer.observations, buffer.returns)
        found = model.logger.name_to_value
        figures = {"reward": reward.total / buffer.buffer_size, "kl": float(found["train/approx_kl"])}
        names = {
            "value_loss": "value_loss",
            "explained": "explained_variance",
            "std": "std",
            "clipped": "clip_fraction",
        }
        figures |= {ours: float(found[f"train/{theirs}"]) for ours, theirs in names.items()}
        episodes: Any = model.ep_info_buffer
        if episodes:
            figures["mean"] = float(np.mean([episode["r"] for episode in episodes]))
            figures["length"] = float(np.mean([episode["l"] for episode in episodes]))
        return figures

    def _validate(self) -> float:
        seeds = start_seeds(VALIDATION, self.o.seed, 0, self.o.validation)
        score, _ = rollout(self.arena, Population(self.controller, self.o.validation), seeds)
        return float(score.comparable.mean())

    def _keep(self) -> None:
        notes = {"validation": self.best_score, "steps": self.best_steps}
        controllers.save(self.best, self.folder.path / "best.safetensors", **notes)

    def _state(self) -> dict[str, Any]:
        optimizer = self.policy.optimizer.state_dict()
        numpy: Any = np.random.get_state()
        return {
            "steps": self.steps,
            "seconds": self.seconds,
            "best": dict(self.best.state_dict()),
            "best_score": self.best_score,
            "best_steps": self.best_steps,
            "policy": dict(self.policy.state_dict()),
            "optimizer": {str(i): values for i, values in optimizer["state"].items()},
            "torch": torch.get_rng_state(),
            "numpy": [numpy[1].astype(np.int64), int(numpy[2]), int(numpy[3]), float(numpy[4])],
            "env": self.env.env.state_dict(),
            "observation": self.model._last_obs,
            "starts": self.model._last_episode_starts,
        }

    def _restore(self, saved: dict[str, Any]) -> None:
        model, optimizer = self.model, self.policy.optimizer
        model.num_timesteps, self.seconds = saved["steps"], saved["seconds"]
        self.best_score, self.best_steps = saved["best_score"], saved["best_steps"]
        self.best.load_state_dict(saved["best"])
        self.policy.load_state_dict(saved["policy"])
        state = {int(i): values for i, values in saved["optimizer"].items()}
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        self.env.env.load_state_dict(saved["env"])
        model._last_obs, model._last_episode_starts = saved["observation"], saved["starts"]
        torch.set_rng_state(saved["torch"])
        words, *rest = saved["numpy"]
        np.random.set_state(("MT19937", words.astype(np.uint32), *rest))


@contextlib.contextmanager
def _generators(seed: int) -> Iterator[None]:
    """Global generators (stable-baselines3 draws from them) seeded inside, and as they were outside."""
    before = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(before)

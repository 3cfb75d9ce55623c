"""What the on-policy trainers share: the options of proximal policy optimisation (Schulman et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...controllers import Controller
from ...controllers.boxes import half_ranges
from ...errors import LanceletError
from .base import Reinforcement


@dataclass(kw_only=True)
class OnPolicy(Reinforcement):
    """A trainer that learns from rollouts of its present policy, Normal(action of the controller, std)."""

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
    gae_lambda: float = 0.97
    """of the generalised advantage estimate"""
    max_grad_norm: float = 0.5
    """gradients are clipped to this norm: with a fixed small noise the ratio overflows otherwise"""
    std: float | None = None
    """standard deviation of the action noise at the start, action units; None: the controller's own share of half the
    action range"""
    learn_std: bool | None = None
    """train the action noise; None: the controller's own"""

    def check(self) -> None:
        """Counts must be positive, and batches fill a rollout."""
        super().check()
        self.at_least(1, "rollout", "epochs")
        self.at_least(2, "batch_size")
        self.above_zero("clip", "target_kl", "actor_rate", "critic_rate", "max_grad_norm", "std")
        self.share("gae_lambda")
        if self.envs * self.rollout % self.batch_size:
            steps = self.envs * self.rollout
            raise LanceletError(
                f"batch_size = {self.batch_size}: must divide envs x rollout = {steps}"
            )

    def noise(self, controller: Controller) -> tuple[np.ndarray, bool]:
        """The action noise at the start of a training.

        Returns:
            Its standard deviation, (m,) in action units, and whether it is trained.
        """
        share, learn_std = controller.exploration
        half_range = half_ranges(controller.action_space)  # pyright: ignore[reportArgumentType] - Box by contract
        std = share * half_range
        if self.std is not None:
            std = np.full(half_range.shape, self.std)
        if self.learn_std is not None:
            learn_std = self.learn_std
        return std, learn_std

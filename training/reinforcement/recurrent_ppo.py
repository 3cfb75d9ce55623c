"""Proximal policy optimisation (Schulman et al. 2017) through time, for controllers with a state of any shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.spaces.utils import flatdim
from gymnasium.vector import AutoresetMode
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn.utils import clip_grad_norm_
from torch.utils._pytree import tree_leaves

from ...controllers import Controller
from ...errors import LanceletError
from ..rollout import make_env
from ..runs.state import generators, optimizer_state, restore_generators, restore_optimizer
from ..trainer import TRAINING, start_seeds
from .base import Learner
from .critic import Critic, hand_down
from .on_policy import OnPolicy
from .sequences import Collector, Rollout, Steps, cut, flat_state, judge, unroll

VALUE_WEIGHT = 0.5
"""weight of the critic's loss, in units of the returns' variance, beside the actor's"""
DIVERGENCE_MARGIN = 1.5
"""an update ends where the divergence is this many times `OnPolicy.target_kl`, as in stable-baselines3"""
LEAST_DEVIATION = 1e-8
"""added to the standard deviation of the advantages before it divides them"""
LEAST_VARIANCE = 1e-12
"""variance of the critic's targets below which the explained share divides by this"""


@dataclass(kw_only=True)
class RecurrentPPO(OnPolicy):
    """PPO that unrolls the controller in time: GRU, LSTM, a step counter, or any other tree of tensors as state.

    A rollout is cut into sequences. Each is unrolled from the state that the agent had there, which is reset where
    an episode begins, so that no gradient crosses an episode's end. The critic reads the observation and that state.
    Time-outs are bootstrapped with its value of the true last observation; what follows a termination is worth 0.

    Resuming: a run that was stopped anywhere and resumed equals the undisturbed run to the bit (weights, optimiser,
    statistics, generators, simulations, agents and episodes are in the checkpoint). A run of N steps resumed to 2N
    has the weights of the run of 2N; its best controller may differ, since the end of N was one more validation.
    """

    sequence: int = 16
    """control steps that a gradient reaches back; must divide `rollout` and `batch_size`"""

    def check(self) -> None:
        """Sequences must fill rollouts and batches."""
        super().check()
        self.at_least(1, "sequence")
        for name, steps in {"rollout": self.rollout, "batch_size": self.batch_size}.items():
            if steps % self.sequence:
                raise LanceletError(f"sequence = {self.sequence}: must divide {name} = {steps}")

    def refusal(self, controller: Controller) -> str | None:
        """Refuse a state that no gradient can flow through."""
        reason = super().refusal(controller)
        if reason is None and not controller.pure:
            reason = (
                "is plastic: its state changes in place, so that no gradient can flow through it"
            )
        return reason

    def learner(self, controller: Controller, task: str, task_options: dict[str, Any]) -> Learner:
        """Make the collector, the agent and the optimiser, at the beginning of a run."""
        return RecurrentLearner(self, controller, task, task_options)


class Agent(nn.Module):
    """The controller, its action noise, and a critic that reads the observation and the controller's state.

    Args:
        controller: the actor; trained in place.
        std: standard deviation of the action noise at the start, action units; one number or one an action, (m,).
        learn_std: whether the noise is trained.
        critic: hidden units of the critic.
    """

    def __init__(
        self,
        controller: Controller,
        std: float | np.ndarray,
        learn_std: bool,
        critic: Sequence[int],
    ) -> None:
        super().__init__()
        state_size = flat_state(controller.initial_state(1), 1).shape[1]
        self.controller = controller
        self.critic = Critic(flatdim(controller.observation_space) + state_size, critic)
        log_std = np.broadcast_to(np.log(std), flatdim(controller.action_space))
        self.log_std = nn.Parameter(torch.tensor(log_std, dtype=torch.float32), learn_std)

    def acting(self) -> list[nn.Parameter]:
        """The weights that decide the actions, as far as they are trained."""
        weights = [*self.controller.parameters(), self.log_std]
        return [weight for weight in weights if weight.requires_grad]

    def log_prob(self, mean: Tensor, action: Tensor) -> Tensor:
        """Log-density (...) of actions (..., m) around `mean`."""
        policy = Normal(mean, self.log_std.exp(), validate_args=False)
        return policy.log_prob(action).sum(-1)

    def surrogate(
        self, steps: Steps, old_log_prob: Tensor, advantage: Tensor, clip: float
    ) -> tuple[Tensor, float, float]:
        """PPO's clipped loss of the actor over sequences (Schulman et al. 2017, equation 7).

        With the probability ratio r = pi(action) / pi_old(action) and the advantage A, the loss is
        -mean(min(r A, clamp(r, 1 - clip, 1 + clip) A)).

        Args:
            steps: T steps of n agents, (T, n, ...).
            old_log_prob: log-density of the actions under the policy that took them, (T, n).
            advantage: (T, n).
            clip: range of the probability ratio.

        Returns:
            The loss, the divergence from the policy that acted, and the share of the ratios that is clipped.
        """
        log_ratio = self.log_prob(unroll(self.controller, steps), steps.action) - old_log_prob
        ratio = log_ratio.exp()
        clipped_ratio = ratio.clamp(1 - clip, 1 + clip)
        loss = -torch.min(advantage * ratio, advantage * clipped_ratio).mean()
        with torch.no_grad():
            # Schulman's estimate of the divergence, which is never below 0 (joschu.net/blog/kl-approx.html).
            divergence = float((ratio - 1 - log_ratio).mean())
            clipped_share = float((ratio != clipped_ratio).float().mean())
        return loss, divergence, clipped_share


class _Batch(NamedTuple):
    """What an update reads: sequences side by side, in the order of `sequences.cut`."""

    steps: Steps
    """(T, n, ...)"""
    old_log_prob: Tensor
    """log-density of the actions under the policy that took them, (T, n)"""
    advantage: Tensor
    """normalised over the rollout, (T, n)"""
    target: Tensor
    """value that the critic is to give, (T, n)"""
    critic_input: Tensor
    """(T, n, k)"""

    def sequences(self, numbers: Tensor) -> _Batch:
        """The sequences of these `numbers`."""
        return _Batch(
            steps=self.steps.agents(numbers),
            old_log_prob=self.old_log_prob[:, numbers],
            advantage=self.advantage[:, numbers],
            target=self.target[:, numbers],
            critic_input=self.critic_input[:, numbers],
        )


class _UpdateFigures(NamedTuple):
    """Figures of one gradient step."""

    kl: float
    """divergence from the policy that acted"""
    value_loss: float
    """mean squared error of the critic"""
    clipped: float
    """share of the probability ratios that is clipped"""


class RecurrentLearner:
    """Collector, agent and optimiser of one run, as `base.Learner` wants them.

    Args:
        options: of the algorithm.
        controller: the actor; trained in place.
        task: its id.
        task_options: fields of the task, and ``max_episode_steps``.
    """

    def __init__(
        self, options: RecurrentPPO, controller: Controller, task: str, task_options: dict[str, Any]
    ) -> None:
        self.options = options
        self.steps = 0
        std, learn_std = options.noise(controller)
        self.agent = Agent(controller, std, learn_std, options.critic)
        env = make_env(task, options.envs, autoreset=AutoresetMode.SAME_STEP, **task_options)
        seeds = start_seeds(TRAINING, options.seed, 0, options.envs)
        self.collector = Collector(env, controller, seeds)
        has_state = bool(tree_leaves(controller.initial_state(1)))
        # Without a state no gradient flows in time: sequences of one step shuffle best.
        self.sequence = options.sequence if has_state else 1
        groups = [
            {"params": self.agent.acting(), "lr": options.actor_rate},
            {"params": list(self.agent.critic.parameters()), "lr": options.critic_rate},
        ]
        self.optimizer = torch.optim.Adam(groups, fused=True)

    def std(self) -> np.ndarray:
        """Standard deviation (m,) of the action noise, action units."""
        return self.agent.log_std.detach().exp().numpy()

    def iterate(self) -> dict[str, float]:
        """Collect one rollout and learn from it by one update; figures of both."""
        options = self.options
        agent = self.agent
        noise_std = agent.log_std.detach().exp()
        rollout = self.collector.collect(options.rollout, self.sequence, noise_std)
        self.steps += options.envs * options.rollout
        advantage, target = judge(rollout, agent.critic, options.gamma, options.gae_lambda)
        figures = {"reward": float(rollout.reward.mean())}
        figures |= self._update(self._batch(rollout, advantage, target))
        options.check_weights(agent.parameters(), self.steps)

        # Only after the update, which needs the policy that acted: the statistics change the policy.
        inputs_acted_on = rollout.critic_input[:-1]
        agent.critic.update(inputs_acted_on.flatten(0, 1), target.flatten())
        hand_down(agent.critic.seen, agent.controller)

        unexplained = advantage.var() / target.var().clamp(min=LEAST_VARIANCE)
        figures["explained"] = float(1 - unexplained)
        figures["std"] = float(self.std().mean())
        if rollout.episodes:
            figures["mean"] = float(np.mean([returned for returned, _ in rollout.episodes]))
            figures["length"] = float(np.mean([length for _, length in rollout.episodes]))
        return figures

    def _batch(self, rollout: Rollout, advantage: Tensor, target: Tensor) -> _Batch:
        """All sequences of a rollout, with its advantages and the critic's targets, (T, n) each."""
        with torch.no_grad():
            old_log_prob = self.agent.log_prob(rollout.mean, rollout.steps.action)
            deviation = advantage.std() + LEAST_DEVIATION
            normalised = (advantage - advantage.mean()) / deviation
        return _Batch(
            steps=rollout.cut(),
            old_log_prob=cut(old_log_prob, self.sequence),
            advantage=cut(normalised, self.sequence),
            target=cut(target, self.sequence),
            critic_input=cut(rollout.critic_input[:-1], self.sequence),
        )

    def _update(self, batch: _Batch) -> dict[str, float]:
        """Pass over the sequences several times, in shuffled minibatches of whole ones.

        Returns:
            Mean figures of the last pass, which ends where the divergence is too large.
        """
        sequence_count = self.options.envs * self.options.rollout // self.sequence
        sequences_a_minibatch = self.options.batch_size // self.sequence
        figures: list[_UpdateFigures] = []
        for _ in range(self.options.epochs):
            figures = []
            for numbers in torch.randperm(sequence_count).split(sequences_a_minibatch):
                loss, figures_of_step = self._loss(batch.sequences(numbers))
                figures.append(figures_of_step)
                if figures_of_step.kl > DIVERGENCE_MARGIN * self.options.target_kl:
                    return _means(figures)
                self._descend(loss)
        return _means(figures)

    def _loss(self, batch: _Batch) -> tuple[Tensor, _UpdateFigures]:
        """The loss of actor and critic together, and its figures."""
        critic = self.agent.critic
        actor_loss, divergence, clipped_share = self.agent.surrogate(
            batch.steps, batch.old_log_prob, batch.advantage, self.options.clip
        )
        value = critic(batch.critic_input.flatten(0, 1))[:, 0]
        value_loss = (value - batch.target.flatten()).square().mean()
        figures = _UpdateFigures(
            kl=divergence, value_loss=float(value_loss.detach()), clipped=clipped_share
        )
        # In units of the returns' variance, so that a critic of any unit learns at the same rate.
        loss = actor_loss + VALUE_WEIGHT * value_loss / critic.scale.item() ** 2
        return loss, figures

    def _descend(self, loss: Tensor) -> None:
        """Take one gradient step."""
        self.optimizer.zero_grad()
        loss.backward()
        # Each group has a norm of its own, so that a rough critic does not slow the actor.
        for group in self.optimizer.param_groups:
            clip_grad_norm_(group["params"], self.options.max_grad_norm)
        self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides what comes next, as arrays and JSON values."""
        return {
            "steps": self.steps,
            "agent": dict(self.agent.state_dict()),
            "optimizer": optimizer_state(self.optimizer),
            "collector": self.collector.state_dict(),
            "generators": generators(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.steps = saved["steps"]
        self.agent.load_state_dict(saved["agent"])
        restore_optimizer(self.optimizer, saved["optimizer"])
        self.collector.load_state_dict(saved["collector"])
        # Last: building and restoring may have drawn from the global generators.
        restore_generators(saved["generators"])

    def close(self) -> None:
        """Close the vector environment."""
        self.collector.env.close()


def _means(figures: list[_UpdateFigures]) -> dict[str, float]:
    """The mean of each figure over some gradient steps."""
    means = np.mean(figures, axis=0).tolist()
    return dict(zip(_UpdateFigures._fields, means, strict=True))

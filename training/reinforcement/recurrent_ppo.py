"""Proximal policy optimisation (Schulman et al. 2017) through time, for controllers with a state of any shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(kw_only=True)
class RecurrentPPO(OnPolicy):
    """PPO that unrolls the controller in time: GRU, LSTM, a step counter, or any other tree of tensors as state.

    A rollout is cut into sequences. Each is unrolled from the state that the agent had there, which is reset where
    an episode begins, so that no gradient crosses an episode's end. The critic reads the observation and that state.
    Time-outs are bootstrapped with its value of the true last observation; terminations are worth nothing after.

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
        for name in ("rollout", "batch_size"):
            if getattr(self, name) % self.sequence:
                raise LanceletError(
                    f"sequence = {self.sequence}: must divide {name} = {getattr(self, name)}"
                )

    def refusal(self, controller: Controller) -> str | None:
        """Refuse a state that no gradient can flow through."""
        reason = super().refusal(controller)
        if reason is None and not controller.pure:
            reason = (
                "is plastic: its state changes in place, so that no gradient can flow through it"
            )
        return reason

    def learner(self, controller: Controller, task: str, task_options: dict[str, Any]) -> Learner:
        """The collector, the agent and the optimiser, at the beginning."""
        return _Learning(self, controller, task, task_options)


class Agent(nn.Module):
    """The controller, its action noise, and a critic that reads the observation and the controller's state.

    Args:
        controller: the actor; trained in place.
        std: standard deviation of the action noise at the start, action units; one number or one an action, (m,).
        learn_std: whether it is trained.
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
        memory = flat_state(controller.initial_state(1), 1).shape[1]
        self.controller = controller
        self.critic = Critic(flatdim(controller.observation_space) + memory, critic)
        log_std = np.broadcast_to(np.log(std), flatdim(controller.action_space))
        self.log_std = nn.Parameter(torch.tensor(log_std, dtype=torch.float32), learn_std)

    def acting(self) -> list[nn.Parameter]:
        """What decides the actions, as far as it is trained."""
        return [p for p in (*self.controller.parameters(), self.log_std) if p.requires_grad]

    def log_prob(self, mean: Tensor, action: Tensor) -> Tensor:
        """Log-density (...) of actions (..., m) around `mean`."""
        return Normal(mean, self.log_std.exp(), validate_args=False).log_prob(action).sum(-1)

    def surrogate(
        self, steps: Steps, before: Tensor, advantage: Tensor, clip: float
    ) -> tuple[Tensor, float, float]:
        """PPO's loss of the actor over sequences, its divergence from the actor before, and the share that is clipped.

        Args:
            steps: (T, n, ...).
            before: log-density of their actions when they were taken, (T, n).
            advantage: (T, n).
            clip: range of the probability ratio.
        """
        change = self.log_prob(unroll(self.controller, steps), steps.action) - before
        ratio = change.exp()
        clipped_ratio = ratio.clamp(1 - clip, 1 + clip)
        loss = -torch.min(advantage * ratio, advantage * clipped_ratio).mean()
        with torch.no_grad():
            # Schulman's estimate of the divergence, which is never below 0.
            divergence = float((ratio - 1 - change).mean())
            clipped_share = float((ratio != clipped_ratio).float().mean())
        return loss, divergence, clipped_share


class _Learning:
    """Collector, agent and optimiser of one run, and their checkpoint."""

    def __init__(
        self, options: RecurrentPPO, controller: Controller, task: str, fields: dict[str, Any]
    ) -> None:
        self.o, self.steps = options, 0
        self.agent = Agent(controller, *options.noise(controller), options.critic)
        env = make_env(task, options.envs, autoreset=AutoresetMode.SAME_STEP, **fields)
        self.collector = Collector(
            env, controller, start_seeds(TRAINING, options.seed, 0, options.envs)
        )
        # without a state steps are sequences of one: any of them may stand side by side
        self.sequence = options.sequence if tree_leaves(controller.initial_state(1)) else 1
        groups = [
            {"params": self.agent.acting(), "lr": options.actor_rate},
            {"params": list(self.agent.critic.parameters()), "lr": options.critic_rate},
        ]
        self.optimizer = torch.optim.Adam(groups, fused=True)

    def std(self) -> np.ndarray:
        return self.agent.log_std.detach().exp().numpy()

    def iterate(self) -> dict[str, float]:
        """One rollout, one update; figures of both."""
        o, agent = self.o, self.agent
        rollout = self.collector.collect(o.rollout, self.sequence, agent.log_std.detach().exp())
        self.steps += o.envs * o.rollout
        advantage, target = judge(rollout, agent.critic, o.gamma, o.gae_lambda)
        figures = {
            "reward": float(rollout.reward.mean()),
            **self._update(rollout, advantage, target),
        }
        o.check_weights(agent.parameters(), self.steps)
        agent.critic.update(rollout.critic_input[:-1].flatten(0, 1), target.flatten())
        hand_down(agent.critic.seen, agent.controller)
        figures["explained"] = float(1 - advantage.var() / target.var().clamp(min=1e-12))
        figures["std"] = float(self.std().mean())
        if rollout.episodes:
            returns, lengths = zip(*rollout.episodes, strict=True)
            figures |= {"mean": float(np.mean(returns)), "length": float(np.mean(lengths))}
        return figures

    def _update(self, rollout: Rollout, advantage: Tensor, target: Tensor) -> dict[str, float]:
        """Passes over the rollout's sequences, in batches of whole ones; figures of the last pass."""
        o, agent = self.o, self.agent
        with torch.no_grad():
            log_prob = agent.log_prob(rollout.mean, rollout.steps.action)
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        steps, rows = (
            rollout.cut(),
            cut((log_prob, advantage, target, rollout.critic_input[:-1]), self.sequence),
        )
        count, size = o.envs * o.rollout // self.sequence, o.batch_size // self.sequence
        figures: list[tuple[float, float, float]] = []
        for _ in range(o.epochs):
            figures.clear()
            for ids in torch.randperm(count).split(size):
                before, advised, aim, seen = (x[:, ids] for x in rows)
                loss, kl, clipped = agent.surrogate(steps.agents(ids), before, advised, o.clip)
                error = (agent.critic(seen.flatten(0, 1))[:, 0] - aim.flatten()).square().mean()
                figures.append((kl, float(error.detach()), clipped))
                if kl > 1.5 * o.target_kl:
                    return self._means(figures)
                self.optimizer.zero_grad()
                (loss + 0.5 * error / agent.critic.scale.item() ** 2).backward()
                for group in (
                    self.optimizer.param_groups
                ):  # apart, so that a rough critic does not slow the actor
                    clip_grad_norm_(group["params"], o.max_grad_norm)
                self.optimizer.step()
        return self._means(figures)

    @staticmethod
    def _means(figures: list[tuple[float, float, float]]) -> dict[str, float]:
        return dict(zip(("kl", "value_loss", "clipped"), np.mean(figures, 0).tolist(), strict=True))

    def state_dict(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "agent": dict(self.agent.state_dict()),
            "optimizer": optimizer_state(self.optimizer),
            "collector": self.collector.state_dict(),
            "generators": generators(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.steps = saved["steps"]
        self.agent.load_state_dict(saved["agent"])
        restore_optimizer(self.optimizer, saved["optimizer"])
        self.collector.load_state_dict(saved["collector"])
        restore_generators(saved["generators"])

    def close(self) -> None:
        self.collector.env.close()

"""Any stateless controller as the actor of stable-baselines3's off-policy algorithms, beside critics of its own."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim
from stable_baselines3.common.policies import BasePolicy, ContinuousCritic
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor, nn

from ...controllers import Controller
from .critic import Running, flat, flat_rows, hand_down
from .sb3 import Raw

STD_RANGE = (1e-3, 1.0)
"""of the learned action noise, in units of half the action range"""


class _Within(torch.autograd.Function):
    """`clamp` whose gradient still leads back: it is zero outside only where descent would lead further out."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.low, ctx.high = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (x,), gradient = ctx.saved_tensors, gradients[0]
        out = ((x > ctx.high) & (gradient < 0)) | ((x < ctx.low) & (gradient > 0))
        return gradient.masked_fill(out, 0.0), None, None


def within(x: Tensor, low: float = -1.0, high: float = 1.0) -> Tensor:
    """`x` clipped; outside, only a gradient that leads further out is stopped (after Hausknecht and Stone 2016)."""
    return _Within.apply(x, low, high)  # pyright: ignore[reportReturnType]


class ControllerActor(BasePolicy):
    """The action of a controller on the raw observation, in stable-baselines3's units: [-1, 1] spans the action box."""

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Box, controller: Controller
    ) -> None:
        super().__init__(
            observation_space,
            action_space,
            features_extractor=Raw(observation_space),
            normalize_images=False,
            squash_output=True,  # our actions are scaled, which is what stable-baselines3 asks this for
        )
        self.controller = controller
        low, high = (
            np.asarray(bound, np.float64).ravel() for bound in (action_space.low, action_space.high)
        )
        self.gain: Tensor
        self.shift: Tensor
        self.register_buffer("gain", torch.as_tensor(2 / (high - low)).float(), persistent=False)
        self.register_buffer(
            "shift", torch.as_tensor(-(high + low) / (high - low)).float(), persistent=False
        )
        self._unit = bool((low == -1).all() and (high == 1).all())

    def scaled(self, observation: Any) -> Tensor:
        """Action (batch, m) before it is clipped."""
        action = self.controller(observation, ())[0].flatten(1)
        return action if self._unit else action * self.gain + self.shift

    def forward(self, observation: Any) -> Tensor:
        """Action (batch, m) in [-1, 1]."""
        return within(self.scaled(observation))

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        return self(observation)


class GaussianActor(ControllerActor):
    """Normal(action of the controller, std), clipped to the action box; one learned std an action.

    Not squashed by a tanh, as stable-baselines3's own actor is: a circuit such as NCAP acts at exactly +-1, where
    the inverse of tanh is infinite. So the entropy is that of the Gaussian before the clip, which depends on the
    std alone, and a sample's log-probability is put at its mean, minus the entropy: the gradients are the same.

    Args:
        observation_space: Box, or Dict of Box.
        action_space: bounded Box.
        controller: the mean.
        std: at the start, in units of the action space; one number or one an action, (m,).
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Box,
        controller: Controller,
        std: float | np.ndarray,
    ) -> None:
        super().__init__(observation_space, action_space, controller)
        start = (torch.as_tensor(std, dtype=torch.float32) * self.gain).clamp(*STD_RANGE)
        self.log_std = nn.Parameter(start.log())

    def bounded_log_std(self) -> Tensor:
        """Logarithm of the std (m,) in units of half the action range, within `STD_RANGE`."""
        return within(self.log_std, *map(math.log, STD_RANGE))

    def forward(self, observation: Any, deterministic: bool = False) -> Tensor:
        """Action (batch, m) in [-1, 1]."""
        mean = self.scaled(observation)
        if deterministic:
            return within(mean)
        return within(mean + torch.randn_like(mean) * self.bounded_log_std().exp())

    def action_log_prob(self, observation: Any) -> tuple[Tensor, Tensor]:
        """Sampled action (batch, m) and minus the entropy (batch,)."""
        action = self(observation)
        entropy = (self.bounded_log_std() + 0.5 * math.log(2 * math.pi * math.e)).sum()
        return action, (-entropy).expand(len(action))

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        return self(observation, deterministic)


class Normalised(BaseFeaturesExtractor):
    """The observation, flat, by running statistics, for the critics and their targets together.

    `mean` and `std` stand still while `update` is not called.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, observation_space: spaces.Space) -> None:
        size = flatdim(observation_space)
        super().__init__(observation_space, size)
        self.seen = Running(size)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))

    def forward(self, observation: Any) -> Tensor:
        """(batch, size)."""
        return (flat_rows(observation).to(self.mean.dtype) - self.mean) / self.std

    def update(self, rows: Tensor) -> None:
        """Take (n, size) rows in."""
        self.seen.update(rows)
        self.mean.copy_(self.seen.mean)
        self.std.copy_(self.seen.std)


class Critics(ContinuousCritic):
    """stable-baselines3's critics, sparing the gradients of their weights that an actor's loss does not use."""

    def forward(self, obs: Any, actions: Tensor) -> tuple[Tensor, ...]:
        """Values (batch, 1), one tensor a critic."""
        seen = torch.cat([self.features_extractor(obs), actions], 1)
        return tuple(self._value(net, seen, actions.requires_grad) for net in self.q_networks)

    def q1_forward(self, obs: Any, actions: Tensor) -> Tensor:
        """Value (batch, 1) by the first critic."""
        return self._value(
            self.q_networks[0], torch.cat([self.features_extractor(obs), actions], 1), True
        )

    def _value(self, net: Any, x: Tensor, frozen: bool) -> Tensor:
        if not frozen:
            return net(x)
        for layer in net:
            linear = isinstance(layer, nn.Linear)
            x = (
                nn.functional.linear(x, layer.weight.detach(), layer.bias.detach())
                if linear
                else layer(x)
            )
        return x


class _Parts:
    """What our two policies share: the caller's controller, critics over one normaliser, learning rates apart."""

    controller: Controller
    normaliser: Normalised

    def _begin(self, controller: Controller, learning_rates: tuple[float, float]) -> None:
        # in a list: before Module.__init__ has run a module cannot be an attribute
        self._given: list[Any] = [controller, learning_rates]

    def make_features_extractor(self) -> BaseFeaturesExtractor:
        """One normaliser for all critics."""
        if not hasattr(self, "normaliser"):
            self.normaliser = Normalised(self.observation_space)  # pyright: ignore[reportAttributeAccessIssue]
        return self.normaliser

    def make_critic(
        self, features_extractor: BaseFeaturesExtractor | None = None
    ) -> ContinuousCritic:
        """Critics on (observation, action)."""
        return Critics(**self._update_features_extractor(self.critic_kwargs, features_extractor))  # pyright: ignore[reportAttributeAccessIssue]

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)  # pyright: ignore[reportAttributeAccessIssue]
        _, rates = self._given
        for module, rate in zip((self.actor, self.critic), rates, strict=True):  # pyright: ignore[reportAttributeAccessIssue]
            weights = [weight for weight in module.parameters() if weight.requires_grad]
            module.optimizer = torch.optim.Adam(weights, lr=rate, fused=True)

    @torch.no_grad()
    def update_statistics(self, observations: Any) -> None:
        """Take observations (..., k), or a dict of such, into the statistics of critics, controller and its target."""
        self.normaliser.update(flat(observations, self.observation_space))  # pyright: ignore[reportAttributeAccessIssue]
        for actor in (self.actor, getattr(self, "actor_target", None)):  # pyright: ignore[reportAttributeAccessIssue]
            if actor is not None:
                hand_down(self.normaliser.seen, actor.controller)


class DeterministicPolicy(_Parts, TD3Policy):
    """A controller for `stable_baselines3.DDPG` and `TD3`; the controller trained is the caller's own object.

    Args:
        observation_space: Box, or Dict of Box.
        action_space: bounded Box.
        lr_schedule: stable-baselines3's; not used: see `learning_rates`.
        controller: the actor; stateless.
        critic: hidden units of each critic.
        learning_rates: of the actor and of the critics.
        n_critics: their number.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Box,
        lr_schedule: Any,
        *,
        controller: Controller,
        critic: Sequence[int],
        learning_rates: tuple[float, float],
        n_critics: int = 2,
    ) -> None:
        self._begin(controller, learning_rates)
        nets: Any = {"pi": [], "qf": list(critic)}
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            nets,
            n_critics=n_critics,
            normalize_images=False,
        )

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Any:
        """The actor, and at the second call its target."""
        controller = self._given[0]
        mine = copy.deepcopy(controller) if hasattr(self, "actor") else controller
        return ControllerActor(self.observation_space, self.action_space, mine)  # pyright: ignore[reportArgumentType]


class StochasticPolicy(_Parts, SACPolicy):
    """A controller for `stable_baselines3.SAC`; see `GaussianActor`, and `DeterministicPolicy` for the arguments.

    Args:
        std: standard deviation of the action noise at the start, in units of the action space.
        use_sde: must be False.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Box,
        lr_schedule: Any,
        *,
        controller: Controller,
        critic: Sequence[int],
        learning_rates: tuple[float, float],
        std: float | np.ndarray,
        use_sde: bool = False,
    ) -> None:
        self._begin(controller, learning_rates)
        self._std = std
        nets: Any = {"pi": [], "qf": list(critic)}
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            nets,
            use_sde=use_sde,
            normalize_images=False,
        )

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Any:
        """The actor."""
        return GaussianActor(self.observation_space, self.action_space, self._given[0], self._std)  # pyright: ignore[reportArgumentType]

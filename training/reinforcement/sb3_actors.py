"""Any stateless controller as the actor of stable-baselines3's off-policy algorithms, beside critics of its own."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

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
from . import sb3_compat
from .critic import Observations, Running, flat, flat_rows, hand_down
from .sb3 import Raw

STD_RANGE = (1e-3, 1.0)
"""least and largest std of the learned action noise, in units of half the action range"""
LOG_STD_RANGE = (math.log(STD_RANGE[0]), math.log(STD_RANGE[1]))
"""the logarithms of both"""


class _Within(torch.autograd.Function):
    """`clamp` whose gradient still leads back: it is zero outside only where descent would lead further out."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(values)
        ctx.low = low
        ctx.high = high
        return values.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (values,) = ctx.saved_tensors
        gradient = gradients[0]
        # Descent goes against the gradient: a negative one leads up, a positive one down.
        leads_further_up = (values > ctx.high) & (gradient < 0)
        leads_further_down = (values < ctx.low) & (gradient > 0)
        stopped = leads_further_up | leads_further_down
        # `low` and `high` have no gradient.
        return gradient.masked_fill(stopped, 0.0), None, None


def within(values: Tensor, low: float = -1.0, high: float = 1.0) -> Tensor:
    """`values` clipped; outside, only a gradient that leads further out is stopped (after Hausknecht and Stone 2016).

    Args:
        values: of any shape.
        low: the least value that comes out.
        high: the largest value that comes out.
    """
    return _Within.apply(values, low, high)  # pyright: ignore[reportReturnType]


class ControllerActor(BasePolicy):
    """The action of a controller on the raw observation, in stable-baselines3's units: [-1, 1] spans the action box.

    Args:
        observation_space: Box, or Dict of Box.
        action_space: bounded Box.
        controller: the actor; stateless.
    """

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Box, controller: Controller
    ) -> None:
        super().__init__(
            observation_space,
            action_space,
            features_extractor=Raw(observation_space),
            normalize_images=False,
            # Not that a tanh squashes ours: stable-baselines3 scales actions to the box where this is set.
            squash_output=True,
        )
        self.controller = controller
        low = np.asarray(action_space.low, np.float64).ravel()
        high = np.asarray(action_space.high, np.float64).ravel()
        gain = 2 / (high - low)
        shift = -(high + low) / (high - low)
        # An action a of the controller, within the box, is gain a + shift in [-1, 1].
        self.gain: Tensor
        self.shift: Tensor
        # They follow from the space, and are not saved.
        self.register_buffer("gain", torch.as_tensor(gain).float(), persistent=False)
        self.register_buffer("shift", torch.as_tensor(shift).float(), persistent=False)
        self._unit_box = bool((low == -1).all() and (high == 1).all())

    def scaled(self, observation: Observations) -> Tensor:
        """Action (batch, m) before it is clipped; [-1, 1] spans the action box."""
        action, _ = self.controller(observation, ())
        action = action.flatten(1)
        if self._unit_box:
            return action
        return action * self.gain + self.shift

    def forward(self, observation: Observations) -> Tensor:
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
        scaled_std = torch.as_tensor(std, dtype=torch.float32) * self.gain
        least, largest = STD_RANGE
        self.log_std = nn.Parameter(scaled_std.clamp(least, largest).log())

    def bounded_log_std(self) -> Tensor:
        """Logarithm of the std (m,) in units of half the action range, within `STD_RANGE`."""
        low, high = LOG_STD_RANGE
        return within(self.log_std, low, high)

    def forward(self, observation: Observations, deterministic: bool = False) -> Tensor:
        """Action (batch, m) in [-1, 1]."""
        mean = self.scaled(observation)
        if deterministic:
            return within(mean)
        noise = torch.randn_like(mean) * self.bounded_log_std().exp()
        return within(mean + noise)

    def action_log_prob(self, observation: Observations) -> tuple[Tensor, Tensor]:
        """Sampled action (batch, m) and minus the entropy (batch,)."""
        action = self(observation)
        # The entropy of a Gaussian, ln(std) + ln(2 pi e) / 2, summed over independent actions.
        entropy = (self.bounded_log_std() + 0.5 * math.log(2 * math.pi * math.e)).sum()
        return action, (-entropy).expand(len(action))

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        return self(observation, deterministic)


class Normalised(BaseFeaturesExtractor):
    """The observation, flat, by running statistics, for the critics and their targets together.

    `mean` and `std` stand still while `update` is not called.

    Args:
        observation_space: Box, or Dict of Box.
    """

    mean: Tensor
    """(size,) mean of each number"""
    std: Tensor
    """(size,) standard deviation of each number"""

    def __init__(self, observation_space: spaces.Space) -> None:
        size = flatdim(observation_space)
        super().__init__(observation_space, size)
        self.seen = Running(size)
        """statistics of the observations; the name stands in saved runs"""
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))

    def forward(self, observation: Any) -> Tensor:
        """Normalised rows (batch, size)."""
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
        rows = self._rows(obs, actions)
        # Only an actor's loss has actions with a gradient: the critics' own has those of the replay buffer.
        frozen = actions.requires_grad
        return tuple(_value(network, rows, frozen) for network in self.q_networks)

    def q1_forward(self, obs: Any, actions: Tensor) -> Tensor:
        """Value (batch, 1) by the first critic."""
        return _value(self.q_networks[0], self._rows(obs, actions), frozen=True)

    def _rows(self, observation: Observations, actions: Tensor) -> Tensor:
        """What a critic reads: the observation, normalised, and the action, (batch, size + m)."""
        return torch.cat([self.features_extractor(observation), actions], dim=1)


def _value(network: Any, rows: Tensor, frozen: bool) -> Tensor:
    """Value (batch, 1) of `rows`; where `frozen`, gradients flow to the rows and not to the network's weights."""
    if not frozen:
        return network(rows)
    for layer in network:
        if isinstance(layer, nn.Linear):
            rows = nn.functional.linear(rows, layer.weight.detach(), layer.bias.detach())
        else:
            rows = layer(rows)
    return rows


class _PolicyParts(NamedTuple):
    """What a policy is built from, and how it is trained."""

    controller: Controller
    """the actor, the caller's own"""
    actor_rate: float
    """learning rate of the actor"""
    critic_rate: float
    """learning rate of the critics"""


class _ControllerPolicy(BasePolicy):
    """What our two policies share: the caller's controller, critics over one normaliser, separate learning rates.

    It stands in front of one of stable-baselines3's policies in the list of bases.
    """

    actor: Any
    critic: Any
    critic_kwargs: dict[str, Any]
    normaliser: Normalised
    """of the observations, for the critics and their targets"""

    def _begin(self, controller: Controller, learning_rates: tuple[float, float]) -> None:
        """Keep what the policy is built from; before `__init__` of stable-baselines3's class, which builds it."""
        actor_rate, critic_rate = learning_rates
        # The tuple hides the controller from torch: before Module.__init__ has run, a module cannot be an attribute.
        self._parts = _PolicyParts(controller, actor_rate, critic_rate)

    def make_features_extractor(self) -> BaseFeaturesExtractor:
        """One normaliser for all critics: stable-baselines3 asks again for the targets, and gets the same one."""
        if not hasattr(self, "normaliser"):
            self.normaliser = Normalised(self.observation_space)
        return self.normaliser

    def make_critic(
        self, features_extractor: BaseFeaturesExtractor | None = None
    ) -> ContinuousCritic:
        """Critics on (observation, action)."""
        arguments = sb3_compat.arguments_of_network(self, self.critic_kwargs, features_extractor)
        return Critics(**arguments)

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)  # pyright: ignore[reportAttributeAccessIssue]
        _use_adam(self.actor, self._parts.actor_rate)
        _use_adam(self.critic, self._parts.critic_rate)

    @torch.no_grad()
    def update_statistics(self, observations: Any) -> None:
        """Take observations (..., k), or a dict of such, into the statistics of critics, controller and its target."""
        rows = flat(observations, self.observation_space)
        self.normaliser.update(rows)
        for actor in self._actors():
            hand_down(self.normaliser.seen, actor.controller)

    def _actors(self) -> list[Any]:
        """The actor, and its target where the algorithm has one."""
        return [self.actor]


def _use_adam(module: Any, rate: float) -> None:
    """Give an actor or the critics, in place, an optimiser with a learning rate of their own."""
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    module.optimizer = torch.optim.Adam(weights, lr=rate, fused=True)


class DeterministicPolicy(_ControllerPolicy, TD3Policy):
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
        controller = self._parts.controller
        # The actor itself is the caller's controller, so that what is trained is what was given.
        is_target = hasattr(self, "actor")
        if is_target:
            controller = copy.deepcopy(controller)
        return ControllerActor(self.observation_space, self.action_space, controller)  # pyright: ignore[reportArgumentType]

    def _actors(self) -> list[Any]:
        return [self.actor, self.actor_target]


class StochasticPolicy(_ControllerPolicy, SACPolicy):
    """A controller for `stable_baselines3.SAC`, with the noise of a `GaussianActor`.

    Args:
        observation_space: Box, or Dict of Box.
        action_space: bounded Box.
        lr_schedule: stable-baselines3's; not used: see `learning_rates`.
        controller: the mean of the actor; stateless.
        critic: hidden units of each critic.
        learning_rates: of the actor and of the critics.
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
        return GaussianActor(
            self.observation_space,
            self.action_space,  # pyright: ignore[reportArgumentType]
            self._parts.controller,
            self._std,
        )

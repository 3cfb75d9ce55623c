"""stable-baselines3 at the door: our vector env as its `VecEnv`, any stateless controller as its policy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env.base_vec_env import VecEnv
from torch import Tensor, nn

from ...controllers import Controller
from ...envs import VectorEnv
from ...errors import LanceletError
from ..runs import interrupt
from . import sb3_compat
from .critic import Critic, Observations, flat, hand_down

DEFAULT_STD = 0.693
"""standard deviation of the action noise at the start, in units of the actions"""
DEFAULT_HIDDEN = (64, 64)
"""units of each of the critic's hidden layers"""
DEFAULT_RATES = (3e-4, 1e-3)
"""Adam's learning rates, of the actor and of the critic"""


def make_sb3_env(
    id: str, n: int, max_episode_steps: int | None = None, nthread: int = 0, **task: Any
) -> SB3VecEnv:
    """`n` simulations of a task for stable-baselines3.

    Args:
        id: the task, ``"lancelet/Swim-v0"``.
        n: number of simulations.
        max_episode_steps: None: the id's own.
        nthread: physics threads, 0 for all.
        **task: fields of the task.
    """
    options = dict(task)
    if max_episode_steps is not None:
        options["max_episode_steps"] = max_episode_steps
    env = gym.make_vec(
        id,
        num_envs=n,
        autoreset_mode=AutoresetMode.SAME_STEP.value,
        nthread=nthread,
        **options,
    )
    return SB3VecEnv(env.unwrapped)


class SB3VecEnv(VecEnv):
    """Our `VectorEnv` as stable-baselines3's; bit for bit its `DummyVecEnv` over our single environments.

    Infos are empty but at an episode's end: ``terminal_observation``, ``TimeLimit.truncated``, ``episode`` (``r``,
    ``l``, ``t``, as its `Monitor` gives them), ``metrics``, ``is_success`` where the task has success, and
    ``diverged`` and ``diverged_reason`` where the physics blew up; its ``metrics`` are NaN.

    Args:
        env: with ``autoreset_mode="SameStep"``.

    Raises:
        LanceletError: another autoreset mode.
    """

    def __init__(self, env: Any) -> None:
        if getattr(env, "mode", None) is not AutoresetMode.SAME_STEP:
            raise LanceletError(
                'stable-baselines3 needs a vector env of the workbench with autoreset_mode="SameStep"'
            )
        self.env: VectorEnv = env
        self._actions = np.empty(0)
        self._begun = time.time()
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> Any:
        """Start episodes everywhere, from the seeds of `seed` and the options of `set_options`, for all or for none."""
        options = _columns(sb3_compat.reset_options(self))
        observation, _ = self.env.reset(seed=sb3_compat.reset_seeds(self), options=options)
        sb3_compat.forget_reset_requests(self)
        return observation

    def step_async(self, actions: np.ndarray) -> None:
        """Store the actions."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """One control step of all; finished episodes have begun anew in what is returned."""
        observation, reward, terminated, truncated, info = self.env.step(self._actions)
        done = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for number in np.flatnonzero(done):
            cut_short = bool(truncated[number] and not terminated[number])
            infos[number] = self._info_at_end(info, int(number), cut_short)
        return observation, reward.astype(np.float32), done, infos

    def _info_at_end(self, info: dict[str, Any], number: int, cut_short: bool) -> dict[str, Any]:
        """Stable-baselines3's info of an episode that has ended.

        Args:
            info: of the vector env, at the step that ended it.
            number: of the simulation.
            cut_short: whether it was ended by its time limit alone.
        """
        final = info["final_info"]
        metrics = {
            name: values[number]
            for name, values in final.get("metrics", {}).items()
            if not name.startswith("_")  # Gymnasium's masks, which say where there are values
        }
        result = {
            "terminal_observation": info["final_obs"][number],
            "TimeLimit.truncated": cut_short,
            "episode": {
                "r": float(final["episode"]["r"][number]),
                "l": int(final["episode"]["l"][number]),
                "t": round(time.time() - self._begun, 6),
            },
            "metrics": metrics,
        }
        if "success" in metrics:
            # Compared, since NaN, which stands there where the physics diverged, would count as true.
            result["is_success"] = bool(metrics["success"] > 0)
        if "diverged" in final and final["diverged"][number]:
            result["diverged"] = True
            result["diverged_reason"] = final["diverged_reason"][number]
        return result

    def close(self) -> None:
        """Close the vector env."""
        self.env.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """A picture of every simulation."""
        return self.env.render()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The vector env's attribute, once for every index."""
        return [getattr(self.env, attr_name)] * self._count(indices)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of the vector env: of all simulations at once."""
        self._only_all(f"set {attr_name!r}", indices)
        setattr(self.env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of the vector env once; its result stands for every index."""
        # The task's own methods, such as compute_reward, belong to no simulation.
        if method_name not in self.env.task.forwarded:
            self._only_all(f"call {method_name!r}", indices)
        result = getattr(self.env, method_name)(*method_args, **method_kwargs)
        return [result] * self._count(indices)

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: Any = None) -> list[bool]:
        """False for every index: there are no wrappers."""
        return [False] * self._count(indices)

    def _count(self, indices: Any) -> int:
        """Number of simulations that `indices` stands for."""
        return len(sb3_compat.simulation_numbers(self, indices))

    def _only_all(self, what: str, indices: Any) -> None:
        """Refuse to do `what` for some of the simulations only."""
        numbers = sb3_compat.simulation_numbers(self, indices)
        if sorted(numbers) != list(range(self.num_envs)):
            raise LanceletError(
                f"cannot {what} for some simulations only: they share one vector env; use env.field"
            )


def _columns(options: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Reset options, one dict a simulation, as one array an option: (n, ...).

    Raises:
        LanceletError: an option is given for some simulations only.
    """
    names = sorted({name for of_one in options for name in of_one})
    try:
        return {name: np.stack([of_one[name] for of_one in options]) for name in names}
    except KeyError as error:
        raise LanceletError(
            f"reset option {error} must be given for every simulation, or for none"
        ) from error


def state_refusal(controller: Controller) -> str | None:
    """Why these algorithms, which learn from shuffled single steps, cannot train `controller`; None: they can."""
    if controller.memoryless:
        return None
    return "keeps a state from step to step (ncap: only the time, which clock=True observes)"


class Reward(BaseCallback):
    """Sum over vector steps of the mean reward; each step is a safe point for Ctrl-C."""

    total = 0.0
    """sum so far"""

    def _on_step(self) -> bool:
        interrupt.check()
        self.total += float(self.locals["rewards"].mean())
        return True


def episode_figures(model: BaseAlgorithm) -> dict[str, float]:
    """Mean return and length of the episodes in the model's buffer; nothing where none has ended."""
    episodes: Any = model.ep_info_buffer
    if not episodes:
        return {}
    return {
        "mean": float(np.mean([episode["r"] for episode in episodes])),
        "length": float(np.mean([episode["l"] for episode in episodes])),
    }


class Raw(BaseFeaturesExtractor):
    """The observation as it is: controllers read metres and radians, never normalised or flattened values."""

    def __init__(self, observation_space: spaces.Space) -> None:
        super().__init__(observation_space, flatdim(observation_space))

    def forward(self, observations: Any) -> Any:
        """The observation, unchanged."""
        return observations


class ActorCritic(nn.Module):
    """A controller beside a critic, in the form that `ActorCriticPolicy` calls its extractor."""

    def __init__(self, controller: Controller, critic: Critic) -> None:
        super().__init__()
        self.controller = controller
        self.critic = critic
        self.latent_dim_pi = flatdim(controller.action_space)
        self.latent_dim_vf = 1

    def forward(self, observation: Observations) -> tuple[Tensor, Tensor]:
        """Mean action and value."""
        return self.forward_actor(observation), self.forward_critic(observation)

    def forward_actor(self, observation: Observations) -> Tensor:
        """Mean action (batch, m)."""
        action, _ = self.controller(observation, ())
        return action.flatten(1)

    def forward_critic(self, observation: Observations) -> Tensor:
        """Value (batch, 1)."""
        return self.critic(observation)


class _PolicyParts(NamedTuple):
    """What a policy is built from, and how it is trained."""

    controller: Controller
    """the actor"""
    hidden: tuple[int, ...]
    """units of each of the critic's hidden layers"""
    std: float | np.ndarray
    """of the action noise at the start, in units of the actions"""
    learn_std: bool
    """whether the noise is trained"""
    actor_rate: float
    """learning rate of controller and noise"""
    critic_rate: float
    """learning rate of the critic"""


class ControllerPolicy(ActorCriticPolicy):
    """Any stateless controller as the actor: Normal(action of the controller on the raw observation, std).

    The controller trained is the caller's own object. The critic is a network of its own, with its own running
    normaliser of the observation and of the returns (`update_statistics`).

    Args:
        observation_space: Box, or Dict of Box.
        action_space: Box.
        lr_schedule: stable-baselines3's; not used: see `learning_rates`.
        controller: the actor.
        std: standard deviation of the action noise at the start, action units; one number or one an action, (m,).
        learn_std: whether it is trained (one number an action), or stays.
        critic: hidden units of the critic.
        learning_rates: of the actor and of the critic; they hold under `ppo.Model`, while stable-baselines3's own
            classes set both to their ``learning_rate`` before each update.
        use_sde: must be False.

    Raises:
        LanceletError: a controller that keeps a state.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Any,
        *,
        controller: Controller,
        std: float | np.ndarray = DEFAULT_STD,
        learn_std: bool = True,
        critic: Sequence[int] = DEFAULT_HIDDEN,
        learning_rates: tuple[float, float] = DEFAULT_RATES,
        use_sde: bool = False,
    ) -> None:
        reason = state_refusal(controller)
        if reason:
            raise LanceletError(
                f"stable-baselines3 cannot train {type(controller).__name__}, which {reason}"
            )
        if use_sde:
            raise LanceletError(
                "use_sde=True: state-dependent noise needs features, which a controller has not"
            )
        actor_rate, critic_rate = learning_rates
        parts = _PolicyParts(
            controller=controller,
            hidden=tuple(critic),
            std=std,
            learn_std=learn_std,
            actor_rate=actor_rate,
            critic_rate=critic_rate,
        )
        # `super().__init__` below builds the networks and needs the parts, but a module cannot be an attribute of
        # another one before that has run: the tuple hides the controller from torch.
        self._parts = parts
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            ortho_init=False,
            features_extractor_class=Raw,
            normalize_images=False,
        )

    @property
    def controller(self) -> Controller:
        """The actor."""
        return self.mlp_extractor.controller  # pyright: ignore[reportReturnType]

    @property
    def critic(self) -> Critic:
        """The critic."""
        return self.mlp_extractor.critic  # pyright: ignore[reportReturnType]

    def _build_mlp_extractor(self) -> None:
        critic = Critic(flatdim(self.observation_space), self._parts.hidden)
        self.mlp_extractor = ActorCritic(self._parts.controller, critic)  # pyright: ignore[reportAttributeAccessIssue]

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        parts = self._parts
        # Action and value come out of the extractor: the layers that stand behind it there do nothing.
        self.action_net = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
        self.value_net = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
        with torch.no_grad():
            self.log_std.copy_(torch.as_tensor(np.log(parts.std)))
        self.log_std.requires_grad_(parts.learn_std)

        actor_weights = list(self.controller.parameters())
        if parts.learn_std:
            actor_weights.append(self.log_std)
        groups = [
            {"params": actor_weights, "lr": parts.actor_rate},
            {"params": list(self.critic.parameters()), "lr": parts.critic_rate},
        ]
        # A controller without weights, with noise that stays, has nothing for Adam, which refuses an empty group.
        self.optimizer = torch.optim.Adam([group for group in groups if group["params"]])

    @torch.no_grad()
    def update_statistics(self, observations: Any, returns: np.ndarray) -> None:
        """Take a rollout into the running statistics, between rollouts only: the policy changes with them.

        Args:
            observations: of the rollout, (..., k), or a dict of such.
            returns: the critic's targets for them, of any shape.
        """
        rows = flat(observations, self.observation_space)
        self.critic.update(rows, torch.as_tensor(returns).flatten())
        hand_down(self.critic.seen, self.controller)

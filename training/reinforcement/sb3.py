"""stable-baselines3 at the door: our vector env as its `VecEnv`, any stateless controller as its policy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

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
from .critic import Critic, flat, hand_down


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
    limit = {} if max_episode_steps is None else {"max_episode_steps": max_episode_steps}
    env = gym.make_vec(
        id,
        num_envs=n,
        autoreset_mode=AutoresetMode.SAME_STEP.value,
        nthread=nthread,
        **limit,
        **task,
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
        names = sorted({name for options in self._options for name in options})
        try:
            options = {
                name: np.stack([options[name] for options in self._options]) for name in names
            }
        except KeyError as error:
            raise LanceletError(
                f"reset option {error} must be given for every simulation, or for none"
            ) from error
        observation, _ = self.env.reset(seed=self._seeds, options=options)
        self._reset_seeds()
        self._reset_options()
        return observation

    def step_async(self, actions: np.ndarray) -> None:
        """Store the actions."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """One control step of all; finished episodes have begun anew in what is returned."""
        observation, reward, terminated, truncated, info = self.env.step(self._actions)
        done = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if np.count_nonzero(done):
            last, now = info["final_info"], round(time.time() - self._begun, 6)
            for i in np.flatnonzero(done):
                infos[i] = {
                    "terminal_observation": info["final_obs"][i],
                    "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
                    "episode": {
                        "r": float(last["episode"]["r"][i]),
                        "l": int(last["episode"]["l"][i]),
                        "t": now,
                    },
                    "metrics": {
                        k: v[i] for k, v in last.get("metrics", {}).items() if not k.startswith("_")
                    },
                }
                if "success" in infos[i]["metrics"]:
                    # NaN, which counts as true, where the physics diverged
                    infos[i]["is_success"] = bool(infos[i]["metrics"]["success"] > 0)
                if "diverged" in last and last["diverged"][i]:
                    infos[i]["diverged"] = True
                    infos[i]["diverged_reason"] = last["diverged_reason"][i]
        return observation, reward.astype(np.float32), done, infos

    def close(self) -> None:
        """Close the vector env."""
        self.env.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """A picture of every simulation."""
        return self.env.render()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The vector env's attribute, once for every index."""
        return [getattr(self.env, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of the vector env: of all simulations at once."""
        self._only_all(f"set {attr_name!r}", indices)
        setattr(self.env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of the vector env once; its result stands for every index."""
        if (
            method_name not in self.env.task.forwarded
        ):  # those, such as compute_reward, are of no simulation
            self._only_all(f"call {method_name!r}", indices)
        result = getattr(self.env, method_name)(*method_args, **method_kwargs)
        return [result] * len(list(self._get_indices(indices)))

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: Any = None) -> list[bool]:
        """False for every index: there are no wrappers."""
        return [False] * len(list(self._get_indices(indices)))

    def _only_all(self, what: str, indices: Any) -> None:
        if sorted(self._get_indices(indices)) != list(range(self.num_envs)):
            raise LanceletError(
                f"cannot {what} for some simulations only: they share one vector env; use env.field"
            )


def state_refusal(controller: Controller) -> str | None:
    """Why these algorithms, which learn from shuffled single steps, cannot train `controller`; None: they can."""
    why = "keeps a state from step to step (ncap: only the time, which clock=True observes)"
    return None if controller.memoryless else why


class Reward(BaseCallback):
    """Sum over vector steps of the mean reward; each step is a safe point for Ctrl-C."""

    total = 0.0

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
        name: float(np.mean([item[key] for item in episodes]))
        for name, key in (("mean", "r"), ("length", "l"))
    }


class Raw(BaseFeaturesExtractor):
    """The observation as it is: controllers read metres and radians, never normalised or flattened values."""

    def __init__(self, observation_space: spaces.Space) -> None:
        super().__init__(observation_space, flatdim(observation_space))

    def forward(self, observations: Any) -> Any:
        """The observation."""
        return observations


class ActorCritic(nn.Module):
    """A controller beside a critic, in the form that `ActorCriticPolicy` calls its extractor."""

    def __init__(self, controller: Controller, critic: Critic) -> None:
        super().__init__()
        self.controller, self.critic = controller, critic
        self.latent_dim_pi = flatdim(controller.action_space)
        self.latent_dim_vf = 1

    def forward(self, observation: Any) -> tuple[Tensor, Tensor]:
        """Mean action and value."""
        return self.forward_actor(observation), self.forward_critic(observation)

    def forward_actor(self, observation: Any) -> Tensor:
        """Mean action (batch, m)."""
        return self.controller(observation, ())[0].flatten(1)

    def forward_critic(self, observation: Any) -> Tensor:
        """Value (batch, 1)."""
        return self.critic(observation)


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
        std: float | np.ndarray = 0.693,
        learn_std: bool = True,
        critic: Sequence[int] = (64, 64),
        learning_rates: tuple[float, float] = (3e-4, 1e-3),
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
        self._parts = [
            controller,
            tuple(critic),
            std,
            learn_std,
            learning_rates,
        ]  # a list: Module.__init__ has not run
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
        controller, hidden, _, _, _ = self._parts
        size = flatdim(self.observation_space)
        self.mlp_extractor = ActorCritic(controller, Critic(size, hidden))  # pyright: ignore[reportAttributeAccessIssue]

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        _, _, std, learn_std, (actor, critic) = self._parts
        self.action_net, self.value_net = nn.Identity(), nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
        with torch.no_grad():
            self.log_std.copy_(torch.as_tensor(np.log(std)))
        self.log_std.requires_grad_(learn_std)
        acting = [*self.controller.parameters(), *([self.log_std] if learn_std else [])]
        judging = list(self.critic.parameters())
        groups = [{"params": acting, "lr": actor}, {"params": judging, "lr": critic}]
        self.optimizer = torch.optim.Adam([group for group in groups if group["params"]])

    @torch.no_grad()
    def update_statistics(self, observations: Any, returns: np.ndarray) -> None:
        """Take a rollout into the running statistics, between rollouts only: the policy changes with them.

        Args:
            observations: of the rollout, (..., k), or a dict of such.
            returns: the critic's targets for them, of any shape.
        """
        self.critic.update(
            flat(observations, self.observation_space), torch.as_tensor(returns).flatten()
        )
        hand_down(self.critic.seen, self.controller)

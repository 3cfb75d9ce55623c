"""A controller as RLlib's module, and the learner around it. Importing this imports RLlib, which takes seconds."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from gymnasium.spaces.utils import flatdim
from ray.rllib.algorithms.ppo import PPO
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.evaluation.postprocessing import Postprocessing
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from ...controllers.core import State
from ...registry import load_object
from ..distributed.ray_compat import TemporaryLogFolder, append_to_pipeline, set_reset_seeds
from ..trainer import TRAINING, start_seeds
from .critic import Critic, Observations, flat, hand_down

MOST_RUNNERS = 1024
"""env runners that a run may have: so many streams of random numbers stand between two numbers of steps"""


class Algorithm(TemporaryLogFolder, PPO):
    """RLlib's PPO with a log folder that goes when it stops: RLlib's own lies in the home folder and stays."""


class ControllerModule(TorchRLModule, ValueFunctionAPI, InferenceOnlyAPI):
    """Normal(action of the controller on the raw observation, std), and a critic of the observation.

    The state of the controller, any pytree of tensors, goes through RLlib as a flat dict of arrays; a tensor of
    shape (batch,) gets a last axis of 1 there, and integers keep their type on the way in.

    ``model_config``: ``controller`` (``"module:Class"``), ``options`` (of its `Options`), ``std`` (m,) and
    ``learn_std`` (of the action noise), ``critic`` (hidden units), ``max_seq_len`` (control steps of a training
    sequence).
    """

    def setup(self) -> None:
        """Build controller, noise and critic; their weights come by `set_state`."""
        config: Any = self.model_config
        make = load_object(config["controller"])
        options = make.Options(**config["options"])
        self.controller = make(self.observation_space, self.action_space, options)
        log_std = torch.tensor(np.log(config["std"]), dtype=torch.float32)
        self.log_std: Tensor
        if config["learn_std"]:
            self.log_std = nn.Parameter(log_std)
        else:
            self.register_buffer("log_std", log_std)
        self.critic = Critic(flatdim(self.observation_space), config["critic"])  # pyright: ignore[reportArgumentType]
        self._leaves, self._tree = tree_flatten(self.controller.initial_state(1))

    def get_non_inference_attributes(self) -> list[str]:
        """What env runners do without."""
        return ["critic"]

    def get_initial_state(self) -> dict[str, np.ndarray]:
        """State of one agent at the start of an episode; empty where there is none."""
        packed = self._pack(self.controller.initial_state(1))
        return {name: rows[0] for name, rows in packed.items()}

    def _pack(self, state: State) -> dict[str, Any]:
        """A controller's state as RLlib takes it: the number of each tensor in the tree -> the tensor."""
        leaves, _ = tree_flatten(state)
        packed = {}
        for number, leaf in enumerate(leaves):
            # RLlib takes no numbers without an axis of their own.
            shape_of_one_agent = leaf.shape[1:] or (1,)
            packed[str(number)] = leaf.reshape(len(leaf), *shape_of_one_agent)
        return packed

    def _unpack(self, packed: dict[str, Tensor]) -> State:
        """The controller's state, of its own shapes and types, from what RLlib gives."""
        leaves = []
        for number, like in enumerate(self._leaves):
            rows = packed[str(number)].to(like.dtype)
            leaves.append(rows.reshape(-1, *like.shape[1:]))
        return tree_unflatten(leaves, self._tree)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """The distributions of the actions, and the controller's next state; RLlib calls it for acting and learning."""
        observation = batch[Columns.OBS]
        if not self.is_stateful():
            action, _ = self.controller(observation, ())
            return {Columns.ACTION_DIST_INPUTS: self._normal(action)}
        # With a state, RLlib gives sequences: (batch, time, ...).
        state = self._unpack(batch[Columns.STATE_IN])
        actions = []
        for step in range(_first_tensor(observation).shape[1]):
            action, state = self.controller(_at_step(observation, step), state)
            actions.append(action)
        return {
            Columns.ACTION_DIST_INPUTS: self._normal(torch.stack(actions, dim=1)),
            Columns.STATE_OUT: self._pack(state),
        }

    def _normal(self, mean: Tensor) -> Tensor:
        """The parameters of the Gaussian as RLlib wants them: the mean and the logarithm of the std, (..., 2 m)."""
        return torch.cat([mean, self.log_std.expand_as(mean)], -1)

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        """Values (B,), or (B, T) of a controller with a state."""
        observation = batch[Columns.OBS]
        batch_axes = 2 if self.is_stateful() else 1
        shape = _first_tensor(observation).shape[:batch_axes]
        rows = flat(observation, self.observation_space)  # pyright: ignore[reportArgumentType]
        return self.critic(rows).reshape(shape)

    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        inference_only: bool = False,
        **kwargs: Any,
    ) -> dict[str, np.ndarray]:
        """Weights and statistics, of their own precision: RLlib's version makes float32 of float64."""
        state = {}
        for name, value in self.state_dict().items():
            # Env runners act without a critic.
            if inference_only and name.startswith("critic."):
                continue
            state[name] = value.detach().cpu().numpy()
        return state

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Take what `get_state` gave."""
        self.load_state_dict({name: torch.tensor(state[name]) for name in self.state_dict()})

    @torch.no_grad()
    def update_statistics(self, observations: Observations, returns: Tensor) -> None:
        """Take observations (n, ...) and the critic's targets (n,) into the running statistics."""
        self.critic.update(flat(observations, self.observation_space), returns)  # pyright: ignore[reportArgumentType]
        hand_down(self.critic.seen, self.controller)


def _first_tensor(observation: Observations) -> Tensor:
    """A tensor of an observation, which may be a dict: all of them have the same batch."""
    tensors, _ = tree_flatten(observation)
    return tensors[0]


def _at_step(observation: Observations, step: int) -> Observations:
    """One step of observations (batch, time, ...)."""
    return tree_map(lambda rows: rows[:, step], observation)


class LastBatch(ConnectorV2):
    """Last piece of the learner's pipeline: keeps the batch for the statistics and the log."""

    batch: dict[str, Any]
    """column -> rows, of the last batch"""

    def __call__(
        self, *, rl_module: Any, batch: dict[str, Any], episodes: Any, **kwargs: Any
    ) -> Any:
        """Keep the batch and return it as it is."""
        self.batch = batch[DEFAULT_MODULE_ID]
        return batch

    def real_rows(self, column: str) -> Any:
        """A column without the rows that RLlib adds for its own use: padding, and a step after each episode."""
        mask = self.batch[Columns.LOSS_MASK]
        return tree_map(lambda rows: rows[mask], self.batch[column])


class Learner(PPOTorchLearner):
    """RLlib's learner with the actor's and the critic's learning rates apart, and running statistics."""

    def build(self) -> None:
        """Add the piece that keeps the batch."""
        super().build()
        self.last_batch = LastBatch()
        append_to_pipeline(self, self.last_batch)

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """Register two Adams, for the actor and for the critic, each with its own learning rate."""
        module: Any = self.module[module_id]
        critic_weights = list(module.critic.parameters())
        # Compared by identity: `==` of tensors compares their numbers.
        critic_ids = {id(weight) for weight in critic_weights}
        actor_weights = [weight for weight in module.parameters() if id(weight) not in critic_ids]
        for name, weights in {"actor": actor_weights, "critic": critic_weights}.items():
            rate = config.learner_config_dict[name]
            self.register_optimizer(
                module_id=module_id,
                optimizer_name=name,
                optimizer=torch.optim.Adam(weights, rate),
                params=weights,
                lr_or_lr_schedule=rate,
            )

    def compute_gradients(self, loss_per_module: Any, **kwargs: Any) -> Any:
        """Gradients; 0 for a weight that the action does not depend on (a lesioned part), where RLlib would stop."""
        gradients: Any = super().compute_gradients(loss_per_module, **kwargs)
        result = {}
        for weight, gradient in gradients.items():
            result[weight] = torch.zeros_like(weight) if gradient is None else gradient
        return result

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Take the batch into the statistics, when nothing is learned from it any more."""
        super().after_gradient_based_update(timesteps=timesteps)
        module: Any = self.module[DEFAULT_MODULE_ID]
        observations = self.last_batch.real_rows(Columns.OBS)
        targets = self.last_batch.real_rows(Postprocessing.VALUE_TARGETS)
        module.update_statistics(observations, targets)


def begin(*, env_runner: Any, seed: int, steps: int = 0, **kwargs: Any) -> None:
    """Give an env runner, before its first reset, one thread and a stream of start states and noise of its own.

    Args:
        env_runner: RLlib's; changed.
        seed: of the run.
        steps: control steps that the run has done before.
        **kwargs: what else RLlib gives; not used.
    """
    torch.set_num_threads(1)
    # No two env runners, and no two sessions of a run, share a stream.
    stream = steps * MOST_RUNNERS + env_runner.worker_index
    simulations = env_runner.num_envs or env_runner.env.num_envs
    seeds = start_seeds(TRAINING, seed, stream, simulations)
    set_reset_seeds(env_runner, seeds)
    torch.manual_seed(seeds[0])


def ended(*, episode: Any, metrics_logger: Any, **kwargs: Any) -> None:
    """Log return and length of an episode as our environment counts them: RLlib's length is one too many at times."""
    last = episode.get_infos(-1)["episode"]
    figures = {"mean": last["r"], "length": last["l"], "episodes": 1}
    for name, value in figures.items():
        metrics_logger.log_value(("lancelet", name), float(value), reduce="sum")

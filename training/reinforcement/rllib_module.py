"""A controller as RLlib's module, and the learner around it. Importing this imports RLlib, which takes seconds."""

from __future__ import annotations

import shutil
import tempfile
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
from ..trainer import TRAINING, start_seeds
from .critic import Critic, flat, hand_down


class Algorithm(PPO):
    """RLlib's PPO with a log folder that goes when it stops: RLlib's own lies in the home folder and stays."""

    def _setup_logdir(self) -> None:
        self._logdir = tempfile.mkdtemp(prefix="lancelet")

    def cleanup(self) -> None:
        """Stop the env runners."""
        super().cleanup()
        shutil.rmtree(self._logdir, ignore_errors=True)


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
        cls = load_object(config["controller"])
        self.controller = cls(
            self.observation_space, self.action_space, cls.Options(**config["options"])
        )
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
        return {
            name: rows[0] for name, rows in self._pack(self.controller.initial_state(1)).items()
        }

    def _pack(self, state: State) -> dict[str, Any]:
        leaves = [
            leaf.reshape(len(leaf), *(leaf.shape[1:] or (1,))) for leaf in tree_flatten(state)[0]
        ]
        return {str(i): leaf for i, leaf in enumerate(leaves)}

    def _unpack(self, packed: dict[str, Tensor]) -> State:
        like = enumerate(self._leaves)
        rows = [packed[str(i)].to(leaf.dtype).reshape(-1, *leaf.shape[1:]) for i, leaf in like]
        return tree_unflatten(rows, self._tree)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        seen = batch[Columns.OBS]
        if not self.is_stateful():
            action, _ = self.controller(seen, ())
            return {Columns.ACTION_DIST_INPUTS: self._normal(action)}
        state, actions = self._unpack(batch[Columns.STATE_IN]), []
        for t in range(tree_flatten(seen)[0][0].shape[1]):
            action, state = self.controller(tree_map(lambda rows, t=t: rows[:, t], seen), state)
            actions.append(action)
        packed = self._pack(state)
        return {
            Columns.ACTION_DIST_INPUTS: self._normal(torch.stack(actions, 1)),
            Columns.STATE_OUT: packed,
        }

    def _normal(self, mean: Tensor) -> Tensor:
        return torch.cat([mean, self.log_std.expand_as(mean)], -1)

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        """Values (B,), or (B, T) of a controller with a state."""
        seen = batch[Columns.OBS]
        shape = tree_flatten(seen)[0][0].shape[: 2 if self.is_stateful() else 1]
        return self.critic(flat(seen, self.observation_space)).reshape(shape)  # pyright: ignore[reportArgumentType]

    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        inference_only: bool = False,
        **kwargs: Any,
    ) -> dict[str, np.ndarray]:
        """Weights and statistics, of their own precision: RLlib's version makes float32 of float64."""
        values = {name: value.detach().cpu().numpy() for name, value in self.state_dict().items()}
        return {
            name: value
            for name, value in values.items()
            if not (inference_only and name.startswith("critic."))
        }

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Take what `get_state` gave."""
        own = self.state_dict()
        self.load_state_dict({name: torch.tensor(state[name]) for name in own})

    @torch.no_grad()
    def update_statistics(self, observations: Any, returns: Tensor) -> None:
        """Take observations (n, ...) and the critic's targets (n,) into the running statistics."""
        self.critic.update(flat(observations, self.observation_space), returns)  # pyright: ignore[reportArgumentType]
        hand_down(self.critic.seen, self.controller)


class Remember(ConnectorV2):
    """Last piece of the learner's pipeline: keeps the batch for the statistics and the log."""

    batch: dict[str, Any]

    def __call__(
        self, *, rl_module: Any, batch: dict[str, Any], episodes: Any, **kwargs: Any
    ) -> Any:
        """The batch as it is."""
        self.batch = batch[DEFAULT_MODULE_ID]
        return batch

    def taken(self, column: str) -> Any:
        """A column without the rows that RLlib adds for its own use: padding, and a step after each episode."""
        mask = self.batch[Columns.LOSS_MASK]
        return tree_map(lambda rows: rows[mask], self.batch[column])


class Learner(PPOTorchLearner):
    """RLlib's learner with the actor's and the critic's learning rates apart, and running statistics."""

    def build(self) -> None:
        """Add the piece that keeps the batch."""
        super().build()
        self.seen = Remember()
        assert self._learner_connector is not None
        self._learner_connector.append(self.seen)

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """Adam twice."""
        module: Any = self.module[module_id]
        critic = list(module.critic.parameters())
        groups = {
            "actor": [p for p in module.parameters() if all(p is not q for q in critic)],
            "critic": critic,
        }
        for name, params in groups.items():
            rate = config.learner_config_dict[name]
            optimizer = torch.optim.Adam(params, rate)
            self.register_optimizer(
                module_id=module_id,
                optimizer_name=name,
                optimizer=optimizer,
                params=params,
                lr_or_lr_schedule=rate,
            )

    def compute_gradients(self, loss_per_module: Any, **kwargs: Any) -> Any:
        """Gradients; 0 for a weight that the action does not depend on (a lesioned part), where RLlib would stop."""
        found: Any = super().compute_gradients(loss_per_module, **kwargs)
        return {
            weight: torch.zeros_like(weight) if grad is None else grad
            for weight, grad in found.items()
        }

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Take the batch into the statistics, when nothing is learned from it any more."""
        super().after_gradient_based_update(timesteps=timesteps)
        module: Any = self.module[DEFAULT_MODULE_ID]
        module.update_statistics(
            self.seen.taken(Columns.OBS), self.seen.taken(Postprocessing.VALUE_TARGETS)
        )


def begin(*, env_runner: Any, seed: int, steps: int = 0, **kwargs: Any) -> None:
    """Give an env runner, before its first reset, one thread and a stream of start states and noise of its own."""
    torch.set_num_threads(1)
    stream = (steps << 10) + env_runner.worker_index
    env_runner._seed = start_seeds(
        TRAINING, seed, stream, env_runner.num_envs or env_runner.env.num_envs
    )
    torch.manual_seed(env_runner._seed[0])


def ended(*, episode: Any, metrics_logger: Any, **kwargs: Any) -> None:
    """Log return and length of an episode as our environment counts them: RLlib's length is one too many at times."""
    last = episode.get_infos(-1)["episode"]
    for name, value in (("mean", last["r"]), ("length", last["l"]), ("episodes", 1)):
        metrics_logger.log_value(("lancelet", name), float(value), reduce="sum")

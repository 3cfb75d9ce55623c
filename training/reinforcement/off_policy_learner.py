"""One run of an off-policy algorithm: stable-baselines3's models in rounds of updates, and their checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import TrainFreq
from torch import Tensor

from ...controllers import Controller
from ...errors import LanceletError
from ..runs import interrupt
from ..runs.state import generators, optimizer_state, restore_generators, restore_optimizer
from ..trainer import TRAINING, start_seeds
from . import sb3_compat
from .sb3 import Reward, episode_figures, make_sb3_env

if TYPE_CHECKING:
    from .off_policy import OffPolicy

BUFFER_ARRAYS = (
    "observations",
    "next_observations",
    "actions",
    "rewards",
    "dones",
    "timeouts",
)
"""attributes of a replay buffer that hold its rows, and their names in a checkpoint"""
UPDATES_UNINTERRUPTED = 100
"""gradient steps between two safe points for Ctrl-C"""
LOGGED = ("actor_loss", "critic_loss", "ent_coef")
"""figures of an update in our log; stable-baselines3 puts ``train/`` in front of them"""

Arrays = np.ndarray | dict[str, np.ndarray]
"""an array of the replay buffer, or one for each entry of a Dict observation"""


class OffPolicyModel(OffPolicyAlgorithm):
    """What our models change in stable-baselines3's: rounds of updates, and the uniform actions before them.

    It stands in front of one of stable-baselines3's algorithms in the list of bases.
    """

    # The three algorithms declare classes of their own for both.
    actor: Any
    critic: Any
    random_steps: int = 0
    """control steps that begin the run with uniform random actions"""
    updates: float = 1.0
    """gradient steps for every control step"""
    check_weights: Callable[[Iterable[Tensor], int], None]
    """`Reinforcement.check_weights` of the trainer"""

    def _update_learning_rate(
        self, optimizers: torch.optim.Optimizer | list[torch.optim.Optimizer]
    ) -> None:
        """Do nothing: the policy has set the rates of actor and critics, and the parent would make them equal."""

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Act uniformly for the first `random_steps`, whenever learning starts.

        Args:
            learning_starts: not used; stable-baselines3 acts uniformly until then.
            action_noise: noise on the action of the policy.
            n_envs: number of simulations.

        Returns:
            The actions for the environment and for the replay buffer, (n, m) each; those for the buffer are scaled
            to [-1, 1].
        """
        if self.num_timesteps >= self.random_steps:
            return super()._sample_action(0, action_noise, n_envs)
        shape = (n_envs, *cast(tuple[int, ...], self.action_space.shape))
        # numpy's global generator, which is seeded for the run and saved in its checkpoint.
        scaled = np.random.uniform(-1, 1, shape).astype(np.float32)
        return self.policy.unscale_action(scaled), scaled

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Do the gradient steps that are due since the last round.

        Args:
            gradient_steps: not used; `updates` says how many.
            batch_size: control steps in a gradient step.
        """
        assert isinstance(self.train_freq, TrainFreq)
        steps = self.num_timesteps
        steps_before = steps - self.train_freq.frequency * self.n_envs
        # Counted from the start of the run, so that fractions of a gradient step add up.
        due = int(self.updates * steps) - int(self.updates * steps_before)
        while due > 0:
            interrupt.check()
            super().train(min(due, UPDATES_UNINTERRUPTED), batch_size)
            due -= UPDATES_UNINTERRUPTED
        self.check_weights((*self.actor.parameters(), *self.critic.parameters()), steps)


class DDPGModel(OffPolicyModel, sb3.DDPG):
    """stable-baselines3's DDPG in rounds of updates."""


class TD3Model(OffPolicyModel, sb3.TD3):
    """stable-baselines3's TD3 in rounds of updates."""


class SACModel(OffPolicyModel, sb3.SAC):
    """stable-baselines3's SAC in rounds of updates."""


class _MeanLogger(Logger):
    """Keeps the mean of what is recorded under a name: `train` is called many times in an iteration."""

    def record(self, key: str, value: Any, exclude: str | tuple[str, ...] | None = None) -> None:
        self.record_mean(key, value, exclude)


class OffPolicyLearner:
    """One run's model of stable-baselines3, as `base.Learner` wants it.

    Args:
        options: of the algorithm.
        controller: the actor; trained in place.
        task: its id.
        task_options: fields of the task, and ``max_episode_steps``.

    Raises:
        LanceletError: the replay buffer does not fit into the memory.
    """

    def __init__(
        self, options: OffPolicy, controller: Controller, task: str, task_options: dict[str, Any]
    ) -> None:
        self.options = options
        self.env = make_sb3_env(task, options.envs, **task_options)
        self.model = self._make_model(controller)
        self.model.random_steps = options.random_steps
        self.model.updates = options.updates
        self.model.check_weights = options.check_weights
        # Without outputs: the figures are read from the logger after each iteration, and written by our own log.
        self.model.set_logger(_MeanLogger(None, []))
        # `VecEnv.seed` would give successive seeds, which leave the split of the training's start states.
        sb3_compat.set_reset_seeds(self.env, start_seeds(TRAINING, options.seed, 0, options.envs))

    def _make_model(self, controller: Controller) -> OffPolicyModel:
        """The model at the beginning of a run."""
        options = self.options
        vector_steps = math.ceil(options.train_every / options.envs)
        # A buffer for more steps than are ever taken would only hold memory.
        most_steps = options.steps + options.log_every + (vector_steps + 1) * options.envs
        common = {
            "buffer_size": min(options.buffer, most_steps),
            "learning_starts": options.learning_starts,
            "batch_size": options.batch_size,
            "tau": options.tau,
            "gamma": options.gamma,
            "train_freq": vector_steps,
            "device": "cpu",
        }
        policy = {
            "controller": controller,
            "critic": options.critic,
            "learning_rates": (options.actor_rate, options.critic_rate),
        }
        try:
            return options.model(self.env, controller, common, policy)
        except MemoryError as error:
            raise LanceletError(
                f"buffer = {options.buffer}: does not fit into the memory, give less"
            ) from error

    @property
    def steps(self) -> int:
        """Control steps of all simulations so far."""
        return self.model.num_timesteps

    def std(self) -> np.ndarray:
        """Standard deviation (m,) of the present action noise, action units."""
        space: Any = self.env.action_space
        half_range = (space.high - space.low).astype(np.float64).ravel() / 2
        return half_range * self.options.scaled_std(self.model)

    def iterate(self) -> dict[str, float]:
        """Take rounds of control steps and updates; mean figures of all of them."""
        steps_before = self.steps
        first_new_row = self._buffer.pos
        rewards = Reward()
        self._forget_figures()
        self.model.learn(
            total_timesteps=self.options.log_every,
            callback=rewards,
            log_interval=None,  # pyright: ignore[reportArgumentType] - None: print nothing
            reset_num_timesteps=False,
        )
        new_row_count = (self.steps - steps_before) // self.options.envs
        self._update_statistics(first_new_row, new_row_count)

        figures = {"reward": rewards.total / new_row_count}
        logged = self.model.logger.name_to_value
        for name in LOGGED:
            # Before learning starts there are no losses, and DDPG and TD3 have no entropy.
            if f"train/{name}" in logged:
                figures[name] = float(logged[f"train/{name}"])
        figures["std"] = float(self.std().mean())
        return figures | episode_figures(self.model)

    def _forget_figures(self) -> None:
        """Forget the episodes and the means of the iteration before."""
        # A new buffer of episodes is made where there is none.
        self.model.ep_info_buffer = None
        self.model.logger.name_to_value.clear()
        self.model.logger.name_to_count.clear()

    @property
    def _buffer(self) -> ReplayBuffer:
        """The replay buffer: a ring of rows, each of which holds one control step of every simulation."""
        return cast(ReplayBuffer, self.model.replay_buffer)

    def _update_statistics(self, first: int, count: int) -> None:
        """Take new rows of the replay buffer into the running statistics.

        Args:
            first: place in the ring of the first new row.
            count: new rows since. Where more have come than the ring holds, all its rows are new, and those that were
                overwritten already are not counted.
        """
        ring_size = self._buffer.buffer_size
        rows = (first + np.arange(min(count, ring_size))) % ring_size
        observations = _rows_of(self._buffer.observations, rows)
        self.model.policy.update_statistics(observations)  # pyright: ignore[reportCallIssue] - of our policies

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides what comes next, as arrays and JSON values."""
        model = self.model
        optimizers = {
            name: optimizer_state(optimizer) for name, optimizer in self._optimizers().items()
        }
        saved = {
            "steps": self.steps,
            "updates": sb3_compat.gradient_steps(model),
            "policy": dict(model.policy.state_dict()),
            "optimizers": optimizers,
            "generators": generators(),
            "env": self.env.env.state_dict(),
            **sb3_compat.pending_observation(model),
            "buffer": self._buffer_state(),
            "position": [self._buffer.pos, self._buffer.full],
        }
        entropy_weight = self._log_entropy_weight()
        if entropy_weight is not None:
            saved["log_ent_coef"] = entropy_weight.detach()
        return saved

    def _buffer_state(self) -> dict[str, Arrays]:
        """The filled rows of the replay buffer, by the names of its arrays."""
        filled = slice(self._buffer.size())
        return {name: _rows_of(getattr(self._buffer, name), filled) for name in BUFFER_ARRAYS}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        model = self.model
        model.num_timesteps = saved["steps"]
        sb3_compat.restore_gradient_steps(model, saved["updates"])
        model.policy.load_state_dict(saved["policy"])
        for name, optimizer in self._optimizers().items():
            restore_optimizer(optimizer, saved["optimizers"][name])
        entropy_weight = self._log_entropy_weight()
        if entropy_weight is not None:
            entropy_weight.data.copy_(saved["log_ent_coef"])
        self._restore_buffer(saved["buffer"])
        self._buffer.pos, self._buffer.full = saved["position"]
        self.env.env.load_state_dict(saved["env"])
        sb3_compat.restore_pending_observation(model, saved["observation"], saved["starts"])
        # Last: building and restoring may have drawn from the global generators.
        restore_generators(saved["generators"])

    def _restore_buffer(self, saved: dict[str, Arrays]) -> None:
        """Fill the first rows of the replay buffer, in place, with what `_buffer_state` gave."""
        filled_rows = len(saved["rewards"])
        # A run that is resumed with fewer steps than it has had: there is nothing to do, but it must load.
        if filled_rows > self._buffer.buffer_size:
            self.model.replay_buffer = type(self._buffer)(
                buffer_size=filled_rows * self.options.envs,
                observation_space=self.model.observation_space,
                action_space=self.model.action_space,
                device="cpu",
                n_envs=self.options.envs,
            )
        for name in BUFFER_ARRAYS:
            _fill(getattr(self._buffer, name), saved[name])

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The model's optimisers, by their names in a checkpoint."""
        model: Any = self.model
        optimizers = {"actor": model.actor.optimizer, "critic": model.critic.optimizer}
        # None where the weight of the entropy is given and not learned.
        if isinstance(model, SACModel) and model.ent_coef_optimizer is not None:
            optimizers["entropy"] = model.ent_coef_optimizer
        return optimizers

    def _log_entropy_weight(self) -> Tensor | None:
        """The logarithm of SAC's learned weight of the entropy; None where there is no such weight."""
        if isinstance(self.model, SACModel) and self.model.ent_coef_optimizer is not None:
            return self.model.log_ent_coef
        return None

    def close(self) -> None:
        """Close the vector environment."""
        self.env.close()


def _rows_of(arrays: Arrays, rows: np.ndarray | slice) -> Arrays:
    """Some rows of an array of the replay buffer, or of each in a dict."""
    if isinstance(arrays, dict):
        return {name: array[rows] for name, array in arrays.items()}
    return arrays[rows]


def _fill(arrays: Arrays, saved: Arrays) -> None:
    """Write `saved` into the first rows of an array, or of each in a dict, in place."""
    if isinstance(arrays, dict):
        assert isinstance(saved, dict)
        for name, array in arrays.items():
            array[: len(saved[name])] = saved[name]
    else:
        arrays[: len(saved)] = saved

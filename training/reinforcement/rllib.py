"""Proximal policy optimisation by RLlib: any controller with tensors for a state, on many processes or machines."""

from __future__ import annotations

import contextlib
import functools
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium as gym
from gymnasium.vector import AutoresetMode

from ...controllers import Controller
from ...errors import LanceletError
from ...registry import load_object
from ...tasks import task_id
from ..distributed.cluster import check_address
from .base import Learner
from .on_policy import OnPolicy
from .rllib_learner import RLlibLearner

if TYPE_CHECKING:
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.core.rl_module import RLModuleSpec

VALUE_WEIGHT = 0.5
"""weight of the critic's loss beside the actor's"""
RESTART_SECONDS = 1.0
"""s between the death of an env runner and the start of the one that replaces it"""


@dataclass(kw_only=True)
class RLlib(OnPolicy):
    """RLlib's PPO (new API stack) over native vector environments, in this process or in `workers` env runners.

    `envs` simulations in all are shared out among the env runners, which take a CPU of the cluster each.
    The controller sees raw observations and keeps its state through RLlib's sequences; the critic sees the
    normalised observation alone. Controllers that normalise their input (mlp, gru, lstm) get the critic's running
    statistics between iterations. A killed env runner is replaced, and a run ends on the steps that were sampled.

    Resuming: weights, statistics, optimisers, the penalty's weight and the number of steps go on exactly. Not
    promised: environments begin new episodes from other start states and the action noise is another stream, so
    that N steps and N more are not bit for bit 2N; nor are two runs of equal seed with `workers` above 0 where
    runners answer in another order or are replaced.
    """

    may_change: ClassVar[tuple[str, ...]] = (*OnPolicy.may_change, "workers", "address")

    epochs: int = 10
    """passes over a rollout"""
    target_kl: float = 0.01
    """divergence from the policy that acted, which the weight of a penalty on it aims at"""
    workers: int = 0
    """env runners, a process each; 0: sample in this process"""
    sequence: int | None = None
    """control steps that gradients go back through a controller's state; None: the rollout"""
    address: str | None = None
    """host:port of a running Ray cluster's head; none: a pool on this machine"""

    def check(self) -> None:
        """Simulations must go evenly into the env runners, and the address be one."""
        super().check()
        if self.address is not None:
            check_address(self.address)
        self.at_least(0, "workers")
        if self.workers and self.envs % self.workers:
            raise LanceletError(
                f"envs = {self.envs}: must be a multiple of workers = {self.workers}"
            )
        self.at_least(1, "sequence")
        if self.batch_size < self._sequence:
            raise LanceletError(
                f"batch_size = {self.batch_size}: must be above the sequence's {self._sequence} steps"
            )

    def refusal(self, controller: Controller) -> str | None:
        """Refuse a plastic controller: RLlib's states are tensors."""
        reason = super().refusal(controller)
        if reason is None and not controller.pure:
            reason = "is plastic: its state is not of tensors"
        return reason

    def learner(self, controller: Controller, task: str, task_options: dict[str, Any]) -> Learner:
        """Make RLlib's algorithm around `controller`; it is driven one iteration at a time."""
        return RLlibLearner(self, controller, task, task_options)

    @property
    def _sequence(self) -> int:
        """Control steps of a sequence; RLlib adds one to the end of every piece of an episode."""
        return self.sequence or self.rollout + 1

    def config(
        self, controller: Controller, task: str, task_options: dict[str, Any] | None = None
    ) -> PPOConfig:
        """RLlib's `PPOConfig` for a task and a controller, to change and to build as one likes; needs no cluster.

        The weights are not in it: set them in what is built (``algo.get_module().controller``).

        Args:
            controller: what acts.
            task: its id.
            task_options: fields of the task, and ``max_episode_steps``.

        Raises:
            LanceletError: an environment that is not reset at the next step, which RLlib would misread, or a
                controller that other processes cannot import.
        """
        from ray.rllib.algorithms.ppo import PPOConfig

        from . import rllib_module as ours

        # In this process all cores step the simulations; an env runner has one CPU of the cluster.
        physics_threads = 1 if self.workers else 0
        settings = {"nthread": physics_threads} | (task_options or {})
        return (
            PPOConfig(algo_class=ours.Algorithm)
            .environment(_environment(task, settings), env_config=settings, normalize_actions=False)
            .env_runners(
                num_env_runners=self.workers,
                num_envs_per_env_runner=self.envs // max(1, self.workers),
                gym_env_vectorize_mode="vector_entry_point",
                rollout_fragment_length=self.rollout,
            )
            .learners(
                num_learners=0,
                learner_class=ours.Learner,
                learner_config_dict={"actor": self.actor_rate, "critic": self.critic_rate},
            )
            .training(
                train_batch_size_per_learner=self.envs * self.rollout,
                minibatch_size=self.batch_size,
                num_epochs=self.epochs,
                gamma=self.gamma,
                lambda_=self.gae_lambda,
                clip_param=self.clip,
                grad_clip=self.max_grad_norm,
                kl_target=self.target_kl,
                vf_clip_param=float("inf"),
                vf_loss_coeff=VALUE_WEIGHT,
                entropy_coeff=0.0,
            )
            .rl_module(rl_module_spec=self._module(controller))
            .callbacks(
                on_environment_created=functools.partial(ours.begin, seed=self.seed),
                on_episode_end=ours.ended,
            )
            .fault_tolerance(
                restart_failed_env_runners=True,
                delay_between_env_runner_restarts_s=RESTART_SECONDS,
            )
            .debugging(log_level="ERROR", log_sys_usage=False)
        )

    def _module(self, controller: Controller) -> RLModuleSpec:
        """What every process builds its `ControllerModule` from: names and numbers, no objects."""
        from ray.rllib.core.rl_module import RLModuleSpec

        from .rllib_module import ControllerModule

        std, learn_std = self.noise(controller)
        return RLModuleSpec(
            module_class=ControllerModule,
            model_config={
                "controller": _path(controller, self.workers),
                "options": asdict(controller.options),
                "std": std.tolist(),
                "learn_std": learn_std,
                "critic": tuple(self.critic),
                "max_seq_len": self._sequence,
            },
        )


def _path(controller: Controller, workers: int) -> str:
    """``"module:Class"`` of the controller, by which env runners import it.

    Args:
        controller: what acts.
        workers: number of env runners in processes of their own.

    Raises:
        LanceletError: env runners could not import the class by that name.
    """
    cls = type(controller)
    path = f"{cls.__module__}:{cls.__qualname__}"
    # The user's script is another module, or none, in the processes of the env runners.
    is_elsewhere_too = not workers or cls.__module__ != "__main__"
    # A class inside a function, or one that hides behind another of its name, is not what its path gives.
    with contextlib.suppress(LanceletError):
        if load_object(path) is cls and is_elsewhere_too:
            return path
    raise LanceletError(
        f"rllib cannot find controller {path} from its env runners: put the class in a module"
    )


def _environment(task: str, settings: dict[str, Any]) -> str:
    """The id of a task with the module that registers it, so that other processes can make it.

    Args:
        task: its id, or a short name of it.
        settings: arguments of the environment.

    Returns:
        ``"lancelet:lancelet/Swim-v0"``.

    Raises:
        LanceletError: the environment is not reset at the next step.
    """
    id = task_id(task)
    env = gym.make_vec(id, num_envs=1, **settings)
    mode = env.metadata["autoreset_mode"]
    env.close()
    if mode is not AutoresetMode.NEXT_STEP:
        raise LanceletError(
            f"autoreset_mode = {mode.value!r}: RLlib reads NextStep only, and trains on wrong data else"
        )
    given_module, _, short_id = id.rpartition(":")
    module = given_module or _module_of_task(short_id)
    # Importing the package registers all tasks of its own; one of its parts may register nothing.
    if module.startswith("lancelet."):
        module = "lancelet"
    return f"{module}:{short_id}"


def _module_of_task(id: str) -> str:
    """The module of a registered task's class, which was given as the class or as ``"module:Class"``."""
    task = gym.spec(id).kwargs["task"]
    if isinstance(task, str):
        return task.partition(":")[0]
    return task.__module__

"""Proximal policy optimisation by RLlib: any controller with tensors for a state, on many processes or machines."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from ...controllers import Controller
from ...errors import LanceletError
from ...registry import load_object
from ...tasks import task_id
from ..distributed.cluster import check_address, connected, hushed
from ..distributed.stopped_workers import StoppedWorkers
from ..runs import interrupt
from ..runs.state import optimizer_state, restore_optimizer
from .base import Learner
from .on_policy import OnPolicy

PATIENCE = 180
"""seconds without a step from any env runner after which a run gives up; a killed runner is back in about 10"""

LOGGED = {"kl": "mean_kl_loss", "value_loss": "vf_loss", "explained": "vf_explained_var"}
"""figures of an update in our log -> in RLlib's results"""


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
        """RLlib's algorithm around `controller`, driven one iteration at a time."""
        return _Learning(self, controller, task, task_options)

    @property
    def _sequence(self) -> int:
        """Control steps of a sequence; RLlib adds one to the end of every piece of an episode."""
        return self.sequence or self.rollout + 1

    def config(
        self, controller: Controller, task: str, task_options: dict[str, Any] | None = None
    ) -> Any:
        """RLlib's `PPOConfig` for a task and a controller, to change and to build as one likes; needs no cluster.

        The weights are not in it: set them in what is built (``algo.get_module().controller``).

        Raises:
            LanceletError: an environment that is not reset at the next step, which RLlib would misread, or a
                controller that other processes cannot import.
        """
        from ray.rllib.algorithms.ppo import PPOConfig
        from ray.rllib.core.rl_module import RLModuleSpec

        from . import rllib_module as ours

        std, learn_std = self.noise(controller)
        settings = {"nthread": 1 if self.workers else 0} | (task_options or {})
        module = RLModuleSpec(
            module_class=ours.ControllerModule,
            model_config={
                "controller": _path(controller, self.workers),
                "options": asdict(controller.options),
                "std": std.tolist(),
                "learn_std": learn_std,
                "critic": tuple(self.critic),
                "max_seq_len": self._sequence,
            },
        )
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
                vf_loss_coeff=0.5,
                entropy_coeff=0.0,
            )
            .rl_module(rl_module_spec=module)
            .callbacks(
                on_environment_created=functools.partial(ours.begin, seed=self.seed),
                on_episode_end=ours.ended,
            )
            .fault_tolerance(
                restart_failed_env_runners=True, delay_between_env_runner_restarts_s=1.0
            )
            .debugging(log_level="ERROR", log_sys_usage=False)
        )


def _path(controller: Controller, workers: int) -> str:
    """``"module:Class"`` of the controller, by which env runners import it."""
    cls = type(controller)
    path = f"{cls.__module__}:{cls.__qualname__}"
    with contextlib.suppress(LanceletError):
        if load_object(path) is cls and not (workers and cls.__module__ == "__main__"):
            return path
    raise LanceletError(
        f"rllib cannot find controller {path} from its env runners: put the class in a module"
    )


def _environment(task: str, settings: dict[str, Any]) -> str:
    """The id with the module that registers it before, ``"lancelet:lancelet/Swim-v0"``, so that others can make it."""
    id = task_id(task)
    env = gym.make_vec(id, num_envs=1, **settings)
    mode = env.metadata["autoreset_mode"]
    env.close()
    if mode is not AutoresetMode.NEXT_STEP:
        raise LanceletError(
            f"autoreset_mode = {mode.value!r}: RLlib reads NextStep only, and trains on wrong data else"
        )
    module, _, short = id.rpartition(":")
    target = gym.spec(short).kwargs["task"]
    module = module or (target.partition(":")[0] if isinstance(target, str) else target.__module__)
    return f"{'lancelet' if module.startswith('lancelet.') else module}:{short}"


class _Learning:
    """The algorithm of one run, and its checkpoint."""

    def __init__(
        self, options: RLlib, controller: Controller, task: str, fields: dict[str, Any]
    ) -> None:
        self.o = options
        self.controller = controller
        self.before = 0
        """control steps of earlier sessions"""
        self.open = contextlib.ExitStack()
        """what `close` lets go: the algorithm, then the cluster"""
        config = options.config(controller, task, fields)
        with contextlib.ExitStack() as stack:
            ray = stack.enter_context(connected(max(1, options.workers), options.address))
            there = int(ray.cluster_resources().get("CPU", 0))
            if there < options.workers:
                raise LanceletError(
                    f"workers = {options.workers}: the Ray cluster has {there} CPUs, one a worker"
                )
            logging.getLogger("ray.rllib").setLevel(logging.ERROR)
            self._stopped = StoppedWorkers(ray)
            self.algo = self._build(config)
            stack.callback(self.algo.stop)
            torch.set_num_threads(1)
            self.learning: Any = self.algo.learner_group._learner
            self.module: Any = self.learning.module["default_policy"]
            self.module.controller.load_state_dict(controller.state_dict())
            self._send()
            self.open = stack.pop_all()

    def _build(self, config: Any) -> Any:
        try:
            with hushed():
                return config.build_algo()
        except (LanceletError, KeyboardInterrupt):
            raise
        except Exception as error:
            # Of a worker that did not start, RLlib tells the consequences only.
            if not self.o.workers:
                raise
            needs = f"{config.env.partition(':')[0]} and {type(self.controller).__module__}"
            raise LanceletError(
                f"rllib: its env runners do not start ({type(error).__name__}: {error}); they must be able to import "
                f"{needs}; with workers = 0 everything runs in this process"
            ) from error

    @property
    def steps(self) -> int:
        name = ("env_runners", "num_env_steps_sampled_lifetime")
        return self.before + int(self.algo.metrics.peek(name, default=0))

    def std(self) -> np.ndarray:
        return self.module.log_std.detach().exp().numpy()

    def iterate(self) -> dict[str, float]:
        """One rollout, one update; figures of both. While env runners are being replaced nothing comes: try again."""
        before, begun = self.steps, time.monotonic()
        while True:
            result = self.algo.train()
            interrupt.check()
            self._stopped.end()
            if self.steps > before:
                break
            if time.monotonic() - begun > PATIENCE:
                hint = "with workers = 0 what stops them is shown"
                raise LanceletError(
                    f"rllib: no step from its env runners in {PATIENCE} s, at {self.steps} steps; {hint}"
                )
        self.o.check_weights(self.module.parameters(), self.steps)
        self.controller.load_state_dict(self.module.controller.state_dict())
        return self._figures(result)

    def _figures(self, result: dict[str, Any]) -> dict[str, float]:
        """Figures of an iteration for the log, from what RLlib says of it."""
        figures = {
            "reward": float(self.learning.seen.taken("rewards").mean()),
            "std": float(self.std().mean()),
        }
        logged = result["learners"]["default_policy"]
        for own_name, name in LOGGED.items():
            figures[own_name] = float(logged[name])
        sums = result["env_runners"].get("lancelet", {})
        # RLlib gives NaN where no episode has ended.
        if sums.get("episodes", 0) > 0:
            for name in ("mean", "length"):
                figures[name] = float(sums[name] / sums["episodes"])
        return figures

    def state_dict(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "module": self.module.get_state(),
            "optimizers": {name: optimizer_state(item) for name, item in self._optimizers()},
            "penalty": float(self._penalty),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        from .rllib_module import begin

        self.before = saved["steps"]
        self.module.set_state(saved["module"])
        for name, item in self._optimizers():
            restore_optimizer(item, saved["optimizers"][name])
        self._penalty.fill_(saved["penalty"])
        self._send()
        again = functools.partial(_again, begin, self.o.seed, self.before)
        self.algo.env_runner_group.foreach_env_runner(again)
        self.controller.load_state_dict(self.module.controller.state_dict())

    def close(self) -> None:
        self.open.close()

    @property
    def _penalty(self) -> torch.Tensor:
        return self.learning.curr_kl_coeffs_per_module["default_policy"]

    def _optimizers(self) -> list[tuple[str, Any]]:
        return self.learning.get_optimizers_for_module("default_policy")

    def _send(self) -> None:
        """The learner's weights to all env runners."""
        self.algo.env_runner_group.sync_weights(
            from_worker_or_learner_group=self.algo.learner_group, inference_only=True
        )


def _again(begin: Any, seed: int, steps: int, runner: Any) -> None:
    """Begin new episodes in an env runner, from start states that depend on the `steps` so far."""
    begin(env_runner=runner, seed=seed, steps=steps)

"""One run of RLlib's algorithm: driven an iteration at a time over env runners that may die, and its checkpoint."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from ...controllers import Controller
from ...errors import LanceletError
from ..distributed import ray_compat
from ..distributed.cluster import connected, hushed
from ..distributed.stopped_workers import StoppedWorkers
from ..runs import interrupt
from ..runs.state import optimizer_state, restore_optimizer

if TYPE_CHECKING:
    from ray.rllib.algorithms.algorithm import Algorithm
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.env.env_runner import EnvRunner

    from .rllib import RLlib
    from .rllib_module import ControllerModule, Learner

PATIENCE = 180
"""s without a step from any env runner after which a run gives up; a killed runner is back in about 10 s"""
LOGGED = {
    "kl": "mean_kl_loss",
    "value_loss": "vf_loss",
    "explained": "vf_explained_var",
}
"""name of a figure of an update in our log -> its name in RLlib's results"""
MODULE = "default_policy"
"""RLlib's name of the one module of a single agent (`DEFAULT_MODULE_ID`, whose import takes seconds)"""
STEPS_METRIC = ("env_runners", "num_env_steps_sampled_lifetime")
"""where RLlib counts the control steps of this session"""


class RLlibLearner:
    """One run's algorithm of RLlib, as `base.Learner` wants it.

    Args:
        options: of the algorithm.
        controller: it is given the trained weights after every iteration.
        task: its id.
        task_options: fields of the task, and ``max_episode_steps``.

    Raises:
        LanceletError: the cluster has too few CPUs, or the env runners do not start.
    """

    def __init__(
        self, options: RLlib, controller: Controller, task: str, task_options: dict[str, Any]
    ) -> None:
        self.options = options
        self.controller = controller
        self._steps_before = 0
        """control steps of earlier sessions"""
        config = options.config(controller, task, task_options)
        self._opened = contextlib.ExitStack()
        """what `close` lets go: the algorithm, then the cluster"""
        with contextlib.ExitStack() as stack:
            ray = stack.enter_context(connected(max(1, options.workers), options.address))
            _check_cpus(ray, options.workers)
            logging.getLogger("ray.rllib").setLevel(logging.ERROR)
            self._stopped_workers = StoppedWorkers(ray)
            self.algo = self._build(config)
            stack.callback(self.algo.stop)
            # RLlib has set it to the number of cores, and more threads are slower for networks of this size.
            torch.set_num_threads(1)
            self.rllib_learner: Learner = ray_compat.learner_of(self.algo)
            self.module = cast("ControllerModule", self.rllib_learner.module[MODULE])  # pyright: ignore[reportOptionalSubscript]
            self.module.controller.load_state_dict(controller.state_dict())
            self._send_weights()
            # All is well: what was opened stays open beyond this block.
            self._opened = stack.pop_all()

    def _build(self, config: PPOConfig) -> Algorithm:
        """The algorithm with its env runners.

        Raises:
            LanceletError: they do not start.
        """
        try:
            with hushed():
                return config.build_algo()
        except (LanceletError, KeyboardInterrupt):
            raise
        except Exception as error:
            # Of a worker that did not start, RLlib tells the consequences only: say what it needs.
            if not self.options.workers:
                raise
            module_of_task = str(config.env).partition(":")[0]
            needs = f"{module_of_task} and {type(self.controller).__module__}"
            raise LanceletError(
                f"rllib: its env runners do not start ({type(error).__name__}: {error}); they must be able to import "
                f"{needs}; with workers = 0 everything runs in this process"
            ) from error

    @property
    def steps(self) -> int:
        """Control steps of all simulations so far."""
        metrics: Any = self.algo.metrics
        return self._steps_before + int(metrics.peek(STEPS_METRIC, default=0))

    def std(self) -> np.ndarray:
        """Standard deviation (m,) of the action noise, action units."""
        return self.module.log_std.detach().exp().numpy()

    def iterate(self) -> dict[str, float]:
        """Collect one rollout and learn from it by one update; figures of both.

        Raises:
            LanceletError: no env runner has answered for `PATIENCE`, or weights are not finite any more.
        """
        result = self._train()
        self.options.check_weights(self.module.parameters(), self.steps)
        self.controller.load_state_dict(self.module.controller.state_dict())
        return self._figures(result)

    def _train(self) -> dict[str, Any]:
        """RLlib's results of the first iteration that has steps: while env runners are replaced it has none."""
        steps_before = self.steps
        begun = time.monotonic()
        while True:
            result = self.algo.train()
            interrupt.check()
            self._stopped_workers.end()
            if self.steps > steps_before:
                return result
            if time.monotonic() - begun > PATIENCE:
                hint = "with workers = 0 what stops them is shown"
                raise LanceletError(
                    f"rllib: no step from its env runners in {PATIENCE} s, at {self.steps} steps; {hint}"
                )

    def _figures(self, result: dict[str, Any]) -> dict[str, float]:
        """Figures of an iteration for the log, from what RLlib says of it."""
        rewards = self.rllib_learner.last_batch.real_rows("rewards")
        figures = {
            "reward": float(rewards.mean()),
            "std": float(self.std().mean()),
        }
        logged = result["learners"][MODULE]
        for our_name, rllib_name in LOGGED.items():
            figures[our_name] = float(logged[rllib_name])
        sums = result["env_runners"].get("lancelet", {})
        # RLlib gives NaN where no episode has ended.
        if sums.get("episodes", 0) > 0:
            for name in ("mean", "length"):
                figures[name] = float(sums[name] / sums["episodes"])
        return figures

    def state_dict(self) -> dict[str, Any]:
        """Weights, statistics, optimisers and the number of steps, as arrays and JSON values."""
        optimizers = {name: optimizer_state(optimizer) for name, optimizer in self._optimizers()}
        return {
            "steps": self.steps,
            "module": self.module.get_state(),
            "optimizers": optimizers,
            "penalty": float(self._penalty_weight),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `state_dict`, with new episodes."""
        self._steps_before = saved["steps"]
        self.module.set_state(saved["module"])
        for name, optimizer in self._optimizers():
            restore_optimizer(optimizer, saved["optimizers"][name])
        self._penalty_weight.fill_(saved["penalty"])
        # Weights before episodes: the first actions of the new episodes are taken with them.
        self._send_weights()
        self._begin_new_episodes()
        self.controller.load_state_dict(self.module.controller.state_dict())

    def close(self) -> None:
        """Stop the algorithm and its env runners, and leave the cluster."""
        self._opened.close()

    @property
    def _penalty_weight(self) -> torch.Tensor:
        """The weight of the penalty on the divergence, which RLlib adapts."""
        return cast(torch.Tensor, self.rllib_learner.curr_kl_coeffs_per_module[MODULE])

    def _optimizers(self) -> list[tuple[str, torch.optim.Optimizer]]:
        """The optimisers and their names, which are those of `Learner.configure_optimizers_for_module`."""
        return self.rllib_learner.get_optimizers_for_module(MODULE)

    def _send_weights(self) -> None:
        """Send the learner's weights to all env runners."""
        self._env_runners.sync_weights(
            from_worker_or_learner_group=self.algo.learner_group, inference_only=True
        )

    def _begin_new_episodes(self) -> None:
        """Begin new episodes in all env runners, from start states that depend on the steps so far."""
        from .rllib_module import begin

        # A partial of a function of this module, since it travels to other processes: a lambda would take `self` along.
        begin_in = functools.partial(
            _call_with_runner, begin, self.options.seed, self._steps_before
        )
        self._env_runners.foreach_env_runner(begin_in)

    @property
    def _env_runners(self) -> Any:
        """RLlib's group of env runners."""
        return self.algo.env_runner_group


def _check_cpus(ray: ModuleType, workers: int) -> None:
    """Refuse more env runners than the cluster has CPUs: RLlib would wait for the others for ever."""
    cpus = int(ray.cluster_resources().get("CPU", 0))
    if cpus < workers:
        raise LanceletError(f"workers = {workers}: the Ray cluster has {cpus} CPUs, one a worker")


def _call_with_runner(begin: Any, seed: int, steps: int, runner: EnvRunner) -> None:
    """Call `rllib_module.begin`, which takes keywords, for RLlib, which gives the env runner by position."""
    begin(env_runner=runner, seed=seed, steps=steps)

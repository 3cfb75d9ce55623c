"""Private parts of stable-baselines3 that the workbench cannot do without, each in one function.

Its version is pinned in `pyproject.toml`; whoever raises it reads this file. Methods that stable-baselines3 means to
be overridden (`_on_step`, `_predict`, `_build_mlp_extractor`, `_build`) stand in the classes that override them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env.base_vec_env import VecEnv


def reset_seeds(env: VecEnv) -> list[int | None]:
    """The seeds that were asked for by `VecEnv.seed` for the next reset, one a simulation; None: any."""
    return env._seeds


def set_reset_seeds(env: VecEnv, seeds: list[int]) -> None:
    """Set the seeds of the next reset, one a simulation, in any order; `VecEnv.seed` takes successive ones only."""
    env._seeds = list(seeds)


def reset_options(env: VecEnv) -> list[dict[str, Any]]:
    """The options that were given by `VecEnv.set_options` for the next reset, one dict a simulation."""
    return env._options


def forget_reset_requests(env: VecEnv) -> None:
    """Seeds and options hold for one reset: the one after it begins without."""
    env._reset_seeds()
    env._reset_options()


def simulation_numbers(env: VecEnv, indices: Any) -> list[int]:
    """The numbers that an argument `indices` of stable-baselines3's stands for: None for all, a number, or several."""
    return list(env._get_indices(indices))


def arguments_of_network(policy: Any, arguments: dict[str, Any], extractor: Any) -> dict[str, Any]:
    """Arguments of an actor or a critic of `policy`, with its features extractor.

    Args:
        policy: of an off-policy algorithm.
        arguments: of the network, without extractor.
        extractor: None: the policy makes one.
    """
    return policy._update_features_extractor(arguments, extractor)


def pending_observation(model: BaseAlgorithm) -> dict[str, Any]:
    """What the next control step of `model` begins from, as a checkpoint keeps it.

    Returns:
        ``observation``, (n, ...) or a dict of such, and ``starts``, (n,) bool: a new episode begins with it. Both are
        None before the first step.
    """
    return {"observation": model._last_obs, "starts": model._last_episode_starts}


def restore_pending_observation(
    model: BaseAlgorithm, observation: np.ndarray | dict[str, np.ndarray], starts: np.ndarray
) -> None:
    """Let the next control step of `model` begin from what `pending_observation` gave; changes `model`.

    Args:
        model: of any of stable-baselines3's algorithms.
        observation: (n, ...), or a dict of such.
        starts: (n,) bool.
    """
    model._last_obs = observation
    model._last_episode_starts = starts


def gradient_steps(model: BaseAlgorithm) -> int:
    """Number of gradient steps so far; TD3 updates its actor at every second of them."""
    return model._n_updates


def restore_gradient_steps(model: BaseAlgorithm, count: int) -> None:
    """Continue counting gradient steps from `count`; changes `model`."""
    model._n_updates = count

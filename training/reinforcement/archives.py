"""Archives of stable-baselines3 and RLlib as controllers: only where their author is trusted, since both unpickle."""

from __future__ import annotations

import copy
import json
import logging
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from torch import nn

from ... import controllers
from ...controllers import Controller
from ...controllers.mlp import MLP, MLPOptions
from ...controllers.store import archive_kind, untrusted
from ...errors import LanceletError

_MODULE = "learner_group/learner/rl_module/default_policy"
_ACTIVATIONS: dict[type[nn.Module], str] = {nn.Tanh: "tanh", nn.ReLU: "relu"}


def open_archive(
    path: str | Path, env: gym.Env | gym.vector.VectorEnv, trust: bool = False
) -> Controller:
    """The controller in a file of ours, or in an archive of another library whose author you trust.

    From a stable-baselines3 zip of PPO, DDPG, TD3 or SAC an ``MlpPolicy`` becomes an `mlp` of equal actions (a
    linear one acts beyond the action space now and then: there the environment clips as stable-baselines3 does), and
    our `ControllerPolicy` gives its controller. An RLlib checkpoint gives the controller of our `ControllerModule`.

    Args:
        path: a run folder, a .safetensors file, a zip of stable-baselines3, or a folder of an RLlib checkpoint.
        env: that it is to act in.
        trust: open archives, which can run anything that their author has put in.

    Raises:
        LanceletError: an archive without trust, one of another kind, or one that does not fit `env`.
    """
    kind = archive_kind(path)
    if kind is None:
        return controllers.load(path, env)
    if not trust:
        raise untrusted(path, kind)
    load = _from_sb3 if "zip" in kind else _from_rllib
    try:
        controller = load(Path(path))
    except LanceletError as error:
        raise LanceletError(f"{path} is {kind}, but {error}") from error
    except Exception as error:  # whatever its loader meets in a stranger's file
        reason = (str(error).splitlines() or [""])[0]
        raise LanceletError(
            f"{path} is {kind} that does not open: {type(error).__name__}: {reason}"
        ) from error
    for name in ("observation_space", "action_space"):
        has, needs = getattr(controller, name), getattr(env, f"single_{name}", getattr(env, name))
        if has.shape != needs.shape or (isinstance(has, spaces.Dict) and has != needs):
            raise LanceletError(f"{path}: its {name} is {has}, this environment's is {needs}")
    return controller


def _from_sb3(path: Path) -> Controller:
    import stable_baselines3 as sb3

    from .sb3 import ControllerPolicy

    marks = {
        "clip_range": (sb3.PPO, _ppo),
        "target_entropy": (sb3.SAC, _sac),
        "policy_delay": (sb3.TD3, _td3),
    }
    found = [
        marks[name] for name in marks if name in _keys(path)
    ]  # DDPG is TD3 with one critic and no delay
    if not found:
        raise LanceletError("of another algorithm than PPO, DDPG, TD3 and SAC")
    cls, layers = found[0]
    policy: Any = cls.load(path, device="cpu").policy
    if isinstance(policy, ControllerPolicy):
        return copy.deepcopy(policy.controller)
    return _mlp(policy, layers)


def _keys(path: Path) -> set[str]:
    """Names in the archive's JSON part, whose values alone are pickled."""
    with zipfile.ZipFile(path) as archive:
        return set(json.loads(archive.read("data")))


def _ppo(policy: Any) -> tuple[list[Any], bool]:
    return [*policy.mlp_extractor.policy_net, policy.action_net], policy.squash_output


def _sac(policy: Any) -> tuple[list[Any], bool]:
    return [*policy.actor.latent_pi, policy.actor.mu], True


def _td3(policy: Any) -> tuple[list[Any], bool]:
    *layers, last = policy.actor.mu
    return (layers, True) if isinstance(last, nn.Tanh) else ([*layers, last], False)


def _mlp(policy: Any, take: Callable[[Any], tuple[list[Any], bool]]) -> MLP:
    """The `mlp` that acts as an ``MlpPolicy`` does when it is deterministic."""
    from stable_baselines3.common.policies import ActorCriticPolicy
    from stable_baselines3.common.torch_layers import FlattenExtractor
    from stable_baselines3.sac.policies import SACPolicy
    from stable_baselines3.td3.policies import TD3Policy

    who, space = type(policy).__name__, policy.action_space
    actor = getattr(policy, "actor", policy)
    plain = type(policy) in (ActorCriticPolicy, SACPolicy, TD3Policy) and isinstance(
        policy.observation_space, spaces.Box
    )
    if not plain or type(actor.features_extractor) is not FlattenExtractor:
        raise LanceletError(f"its {who} is no MlpPolicy over a Box")
    if getattr(actor, "use_sde", False):
        raise LanceletError(f"its {who} explores by use_sde, which no controller here has")
    layers, squashed = take(policy)
    if squashed and not (
        isinstance(space, spaces.Box) and np.all(space.low == -1) and np.all(space.high == 1)
    ):
        raise LanceletError(f"its {who} acts in {space}: an mlp with tanh acts in [-1, 1]")
    linear, between = layers[::2], {type(layer) for layer in layers[1::2]}
    known = all(isinstance(layer, nn.Linear) and layer.bias is not None for layer in linear)
    if not known or not len(layers) % 2 or len(between) > 1 or not between <= set(_ACTIVATIONS):
        raise LanceletError(
            f"its {who} has layers that are not linear with tanh or relu between: {layers}"
        )
    options = MLPOptions(
        hidden=tuple(layer.out_features for layer in linear[:-1]),
        activation=_ACTIVATIONS[between.pop()] if between else "tanh",  # pyright: ignore[reportArgumentType]
        output="tanh" if squashed else "linear",
    )
    mlp = MLP(policy.observation_space, space, options)
    for own, layer in zip(mlp.layers, linear, strict=True):
        own.load_state_dict(layer.state_dict())
    return mlp


def _from_rllib(path: Path) -> Controller:
    from ray.rllib.core.rl_module import RLModule

    from .rllib_module import ControllerModule

    logging.getLogger("ray.rllib").setLevel(logging.ERROR)
    module = RLModule.from_checkpoint(
        str((path / _MODULE if (path / _MODULE).is_dir() else path).resolve())
    )
    if not isinstance(module, ControllerModule):
        raise LanceletError(
            f"its module is {type(module).__module__}.{type(module).__name__}: no controller of ours"
        )
    return module.controller

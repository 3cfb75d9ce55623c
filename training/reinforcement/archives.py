"""Archives of stable-baselines3 and RLlib as controllers: only where their author is trusted, since both unpickle."""

from __future__ import annotations

import copy
import json
import logging
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

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
"""where the module lies in the checkpoint of a whole algorithm"""
_ACTIVATIONS: dict[type[nn.Module], str] = {nn.Tanh: "tanh", nn.ReLU: "relu"}
"""torch's layer -> the name of the activation in an `mlp`"""


class _Layers(NamedTuple):
    """The layers between the observation and the deterministic action of an ``MlpPolicy``, as the archive has them."""

    layers: list[nn.Module]
    """in the order in which they are computed; of any kind, since the author chose them"""
    squashed: bool
    """whether a tanh follows"""


class _MLPLayers(NamedTuple):
    """The same layers where they are those of an `mlp`."""

    linear: list[nn.Linear]
    """with biases, in the order in which they are computed; the last one gives the actions"""
    activation: str
    """between any two of them, by its name in `MLPOptions`"""


class _SB3Kind(NamedTuple):
    """One of stable-baselines3's algorithms, and how its archives are read."""

    mark: str
    """a name that its archives alone hold"""
    algorithm: type[Any]
    """the class that opens them"""
    layers_of: Callable[[Any], _Layers]
    """policy -> its layers"""


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
        lines = str(error).splitlines()
        reason = lines[0] if lines else ""
        raise LanceletError(
            f"{path} is {kind} that does not open: {type(error).__name__}: {reason}"
        ) from error
    for name in ("observation_space", "action_space"):
        _check_space(path, name, getattr(controller, name), _space_of_one(env, name))
    return controller


def _space_of_one(env: gym.Env | gym.vector.VectorEnv, name: str) -> spaces.Space:
    """The space called `name` of one simulation, also of a vector environment."""
    return getattr(env, f"single_{name}", getattr(env, name))


def _check_space(path: str | Path, name: str, has: spaces.Space, needs: spaces.Space) -> None:
    """Refuse an archive whose space called `name` is not the environment's."""
    # Boxes of one shape may differ in their bounds: the environment clips. A Dict has no shape of its own.
    is_same = has == needs if isinstance(has, spaces.Dict) else has.shape == needs.shape
    if not is_same:
        raise LanceletError(f"{path}: its {name} is {has}, this environment's is {needs}")


def _from_sb3(path: Path) -> Controller:
    """The controller in a zip of stable-baselines3.

    Raises:
        LanceletError: of another algorithm, or a policy that no controller here can be.
    """
    import stable_baselines3 as sb3

    from .sb3 import ControllerPolicy

    kinds = (
        _SB3Kind(mark="clip_range", algorithm=sb3.PPO, layers_of=_ppo),
        _SB3Kind(mark="target_entropy", algorithm=sb3.SAC, layers_of=_sac),
        # DDPG is TD3 with one critic and no delay.
        _SB3Kind(mark="policy_delay", algorithm=sb3.TD3, layers_of=_td3),
    )
    names = _names(path)
    kind = next((kind for kind in kinds if kind.mark in names), None)
    if kind is None:
        raise LanceletError("of another algorithm than PPO, DDPG, TD3 and SAC")
    policy: Any = kind.algorithm.load(path, device="cpu").policy
    if isinstance(policy, ControllerPolicy):
        return copy.deepcopy(policy.controller)
    return _mlp(policy, kind.layers_of)


def _names(path: Path) -> set[str]:
    """Names in the archive's JSON part, whose values alone are pickled."""
    with zipfile.ZipFile(path) as archive:
        return set(json.loads(archive.read("data")))


def _ppo(policy: Any) -> _Layers:
    layers = [*policy.mlp_extractor.policy_net, policy.action_net]
    return _Layers(layers=layers, squashed=policy.squash_output)


def _sac(policy: Any) -> _Layers:
    layers = [*policy.actor.latent_pi, policy.actor.mu]
    return _Layers(layers=layers, squashed=True)


def _td3(policy: Any) -> _Layers:
    layers = list(policy.actor.mu)
    if isinstance(layers[-1], nn.Tanh):
        return _Layers(layers=layers[:-1], squashed=True)
    return _Layers(layers=layers, squashed=False)


def _mlp(policy: Any, layers_of: Callable[[Any], _Layers]) -> MLP:
    """The `mlp` that acts as an ``MlpPolicy`` does when it is deterministic.

    Raises:
        LanceletError: the policy is another one, or its layers are not those of an `mlp`.
    """
    _check_policy(policy)
    policy_name = type(policy).__name__
    space = policy.action_space
    layers, squashed = layers_of(policy)
    if squashed and not _is_unit_box(space):
        raise LanceletError(f"its {policy_name} acts in {space}: an mlp with tanh acts in [-1, 1]")

    mlp_layers = _as_mlp_layers(layers)
    if mlp_layers is None:
        raise LanceletError(
            f"its {policy_name} has layers that are not linear with tanh or relu between: {layers}"
        )
    hidden_layers = mlp_layers.linear[:-1]
    options = MLPOptions(
        hidden=tuple(layer.out_features for layer in hidden_layers),
        activation=mlp_layers.activation,  # pyright: ignore[reportArgumentType]
        output="tanh" if squashed else "linear",
    )
    mlp = MLP(policy.observation_space, space, options)
    # `MLP.layers` are its linear layers, from the observation to the action as here.
    for own, layer in zip(mlp.layers, mlp_layers.linear, strict=True):
        own.load_state_dict(layer.state_dict())
    return mlp


def _as_mlp_layers(layers: list[nn.Module]) -> _MLPLayers | None:
    """The layers of an `mlp`: linear ones, and between any two of them one activation, always the same.

    Returns:
        None where the layers are others.
    """
    linear: list[nn.Linear] = []
    activations: set[type[nn.Module]] = set()
    linear_is_next = True
    for layer in layers:
        if linear_is_next:
            if not isinstance(layer, nn.Linear) or layer.bias is None:
                return None
            linear.append(layer)
        elif type(layer) in _ACTIVATIONS:
            activations.add(type(layer))
        else:
            return None
        linear_is_next = not linear_is_next
    # After an activation a linear layer must come; without any layer there is none either.
    if linear_is_next or len(activations) > 1:
        return None
    # Without a hidden layer there is no activation: any will do.
    activation = "tanh"
    for kind in activations:
        activation = _ACTIVATIONS[kind]
    return _MLPLayers(linear=linear, activation=activation)


def _is_unit_box(space: spaces.Space) -> bool:
    if not isinstance(space, spaces.Box):
        return False
    return bool(np.all(space.low == -1) and np.all(space.high == 1))


def _check_policy(policy: Any) -> None:
    """Refuse a policy that is no plain ``MlpPolicy`` of one of stable-baselines3's algorithms over a Box."""
    from stable_baselines3.common.policies import ActorCriticPolicy
    from stable_baselines3.common.torch_layers import FlattenExtractor
    from stable_baselines3.sac.policies import SACPolicy
    from stable_baselines3.td3.policies import TD3Policy

    policy_name = type(policy).__name__
    actor = getattr(policy, "actor", policy)  # PPO's policy is its own actor
    is_plain = type(policy) in (ActorCriticPolicy, SACPolicy, TD3Policy)
    reads_box = isinstance(policy.observation_space, spaces.Box)
    if not is_plain or not reads_box or type(actor.features_extractor) is not FlattenExtractor:
        raise LanceletError(f"its {policy_name} is no MlpPolicy over a Box")
    if getattr(actor, "use_sde", False):
        raise LanceletError(f"its {policy_name} explores by use_sde, which no controller here has")


def _from_rllib(path: Path) -> Controller:
    """The controller in a folder of an RLlib checkpoint.

    Raises:
        LanceletError: its module is none of ours.
    """
    from ray.rllib.core.rl_module import RLModule

    from .rllib_module import ControllerModule

    logging.getLogger("ray.rllib").setLevel(logging.ERROR)
    # The folder is the checkpoint of an algorithm, or of its module alone.
    inner = path / _MODULE
    folder = inner if inner.is_dir() else path
    module = RLModule.from_checkpoint(str(folder.resolve()))
    if not isinstance(module, ControllerModule):
        raise LanceletError(
            f"its module is {type(module).__module__}.{type(module).__name__}: no controller of ours"
        )
    return module.controller

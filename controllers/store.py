"""Controllers on disk: one safetensors file, whose header says in JSON how to build them. Never code."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from .. import __version__
from ..errors import LanceletError
from ..files import write_atomic
from .core import Controller

FORMAT = 1
FILE = "best.safetensors"


def save(controller: Controller, path: str | Path, **notes: Any) -> None:
    """Write `controller` to a file (or to `best.safetensors` in a folder), all at once; `notes` are JSON values.

    Raises:
        LanceletError: the disk refuses; what was there before stays.
    """
    from . import controllers

    path = Path(path) / FILE if Path(path).is_dir() else Path(path)
    about = {
        "format": FORMAT,
        "lancelet": __version__,
        "controller": controllers.name_of(type(controller)),
        "options": dataclasses.asdict(controller.options),
        "observation_space": _space_to_json(controller.observation_space),
        "action_space": _space_to_json(controller.action_space),
        "notes": notes,
    }
    tensors = {name: value.contiguous() for name, value in controller.state_dict().items()}
    write_atomic(path, to_bytes(tensors, {"lancelet": json.dumps(about)}))


def describe(path: str | Path) -> dict[str, Any]:
    """What the header of a saved controller says.

    Raises:
        LanceletError: missing, cut short, not ours, or of another version.
    """
    return _open(path)[0]


def load(path: str | Path, env: Any = None) -> Controller:
    """The controller saved in a file or run folder; with `env`, rebuilt for that environment's spaces.

    Raises:
        LanceletError: missing, cut short, not ours, of another version, or weights that do not fit `env`.
    """
    from . import controllers

    about, tensors = _open(path)
    try:
        observation, action = _space_from_json(about["observation_space"]), _space_from_json(about["action_space"])
        if env is not None:
            observation = getattr(env, "single_observation_space", env.observation_space)
            action = getattr(env, "single_action_space", env.action_space)
        cls = controllers.known(about["controller"])
        controller: Controller = cls(observation, action, cls.Options(**about["options"]))
    except LanceletError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise LanceletError(f"{path}: the header does not describe a controller of this version: {error}") from error
    own = controller.state_dict()
    for name in own.keys() | tensors.keys():
        have = tuple(tensors[name].shape) if name in tensors else "missing"
        need = tuple(own[name].shape) if name in own else "unknown"
        if have != need:
            raise LanceletError(f"{path}: weight {name!r} is {have}, this controller and environment need {need}")
    controller.load_state_dict(tensors)
    return controller


def foreign(path: str | Path) -> str | None:
    """What archive of another library `path` is, by the names in it alone; None: none that we know."""
    path = Path(path)
    if path.is_dir():
        names = ("rllib_checkpoint.json", "algorithm_state.pkl", "class_and_ctor_args.pkl")
        return "an RLlib checkpoint" if any((path / name).exists() for name in names) else None
    if not path.is_file() or not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        known = "policy.pth" in archive.namelist() and "data" in archive.namelist()
    return "a zip of stable-baselines3" if known else None


def untrusted(path: str | Path, kind: str) -> LanceletError:
    """The error for an archive that `foreign` knows and nobody vouches for."""
    why = "loading it unpickles, which can run anything that its author put in"
    return LanceletError(f"{path} is {kind}: {why}; if you trust them: lancelet play TASK --agent {path} --trust")


def _open(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    path = Path(path)
    kind = foreign(path)
    if kind is not None:
        raise untrusted(path, kind)
    if path.is_dir():
        path = path / FILE
        if not path.exists():
            reason = "not a run folder, or its run ended before the first save"
            raise LanceletError(f"{path.parent} holds no {FILE}: {reason}")
    if not path.exists():
        raise LanceletError(f"{path} does not exist: give a run folder or a .safetensors file")
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = json.loads(header["lancelet"])
        version = about["format"]
    except (SafetensorError, KeyError, ValueError, TypeError, OSError) as error:
        raise LanceletError(f"{path} is not a controller of Lancelet, or is cut short ({error})") from error
    if version != FORMAT:
        raise LanceletError(f"{path} has format {version}, written by Lancelet {about.get('lancelet')}: needs {FORMAT}")
    return about, tensors


def _space_to_json(space: spaces.Space) -> dict[str, Any]:
    if isinstance(space, spaces.Dict):
        return {"dict": {name: _space_to_json(item) for name, item in space.items()}}
    if isinstance(space, spaces.Box):
        return {"low": _bound(space.low), "high": _bound(space.high), "shape": space.shape, "dtype": str(space.dtype)}
    raise LanceletError(f"cannot save a controller of {space}: needs Box, or Dict of Box")


def _bound(values: np.ndarray) -> list[str] | str:
    flat = [repr(float(value)) for value in values.flat]  # as text: JSON has no infinity
    return flat[0] if len(set(flat)) == 1 else flat


def _space_from_json(data: dict[str, Any]) -> spaces.Space:
    if "dict" in data:
        return spaces.Dict({name: _space_from_json(item) for name, item in data["dict"].items()})
    low, high = (
        np.broadcast_to(np.array(data[name], float).reshape(-1), (int(np.prod(data["shape"])),)).reshape(data["shape"])
        for name in ("low", "high")
    )
    dtype = np.dtype(data["dtype"])
    return spaces.Box(low.astype(dtype), high.astype(dtype), dtype=dtype.type)

"""Controllers on disk: one safetensors file, whose header says in JSON how to build them. Never code."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from safetensors.torch import save as to_bytes
from torch import Tensor

from .. import __version__, foreign
from ..checks import whole_number
from ..errors import LanceletError
from ..files import to_json, write_atomic
from .core import Controller, agent_spaces, interval_of

FORMAT = 2
"""written; 1 differs in what defaults of options meant (`Options.of_first_format`)"""
FILE = "best.safetensors"
LARGEST_SPACE = 1_000_000
"""numbers in an observation or an action of a saved controller"""
LARGEST_SIZES = 1_000_000
"""sum of the whole numbers in a saved controller's options, but for its seed: units of layers, cells, steps"""
_HEADER = {
    "controller": str,
    "options": dict,
    "observation_space": dict,
    "action_space": dict,
    "notes": dict,
}
"""what a header must hold, and of which type"""


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
    tensors = {name: value.contiguous() for name, value in _without_other_names(controller).items()}
    write_atomic(path, to_bytes(tensors, {"lancelet": to_json(about)}))


def describe(path: str | Path) -> dict[str, Any]:
    """What the header of a saved controller says.

    Raises:
        LanceletError: missing, cut short, not ours, or of another version.
    """
    return _open(path)[0]


def load(path: str | Path, env: Any = None) -> Controller:
    """The controller saved in a file or run folder; with `env`, rebuilt for that environment's spaces.

    Its class is one that is registered: nothing is imported for a name in the file.

    Raises:
        LanceletError: missing, cut short, not ours, of another version, or weights that do not fit `env`.
    """
    from . import controllers

    about, tensors = _open(path)
    cls = controllers.known(about["controller"])
    _check_sizes(path, about["options"])
    with foreign.described_by(path):
        values = about["options"]
        if about["format"] == 1:
            values = cls.Options.of_first_format(values, _space_from_json(about["action_space"]))
        options = cls.Options(**values)
        if env is not None:
            options = dataclasses.replace(options, **interval_of(cls.Options, env))
        if env is None:
            observation = _space_from_json(about["observation_space"])
            action = _space_from_json(about["action_space"])
        else:
            observation, action = agent_spaces(env)
        # Without memory first: options may ask for more than the file's own weights take.
        with _refused_by_header(path):
            shapes = _shapes(cls, observation, action, options)
        if shapes is not None:
            _check_weights(path, shapes, tensors)
        with _refused_by_header(path):
            controller: Controller = cls(observation, action, options)
        own = _without_other_names(controller)
        _check_weights(path, {name: tuple(value.shape) for name, value in own.items()}, tensors)
        # Not strict: other names of tied weights are missing, all else has been checked.
        controller.load_state_dict(tensors, strict=False)
    return controller


@contextlib.contextmanager
def _refused_by_header(path: str | Path) -> Iterator[None]:
    """Name the file where a controller refuses the options or the spaces that its header gives."""
    try:
        yield
    except LanceletError as error:
        raise LanceletError(f"{path}: the header does not fit: {error}") from error


def _check_sizes(path: str | Path, options: Mapping[str, Any]) -> None:
    """Refuse options that ask for more units, layers or cells than any controller has: they are built one by one."""
    total = 0
    waiting = [value for name, value in options.items() if name != "seed"]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        if isinstance(value, int):
            total += abs(value)
    if total > LARGEST_SIZES:
        raise LanceletError(
            f"{path}: the whole numbers in the controller's options add up to {total:,}: "
            f"at most {LARGEST_SIZES:,} are read"
        )


def _without_other_names(controller: Controller) -> dict[str, Tensor]:
    """The state's tensors, tied weights and layers of two names under their first name only."""
    first_names = {
        name for name, _ in (*controller.named_parameters(), *controller.named_buffers())
    }
    return {name: value for name, value in controller.state_dict().items() if name in first_names}


def _shapes(
    cls: type[Controller], observation: spaces.Space, action: spaces.Space, options: Any
) -> dict[str, tuple[int, ...]] | None:
    """Shapes of a controller's weights, found on a device that takes no memory; None: it cannot be built there."""
    try:
        with torch.device("meta"):
            weights = _without_other_names(cls(observation, action, options))
    except (NotImplementedError, RuntimeError):
        return None
    return {name: tuple(value.shape) for name, value in weights.items()}


def _check_weights(
    path: str | Path, shapes: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Any]
) -> None:
    """Refuse weights of a file that are not those of a controller with weights of `shapes`."""
    for name in sorted(shapes.keys() | tensors.keys()):
        have: Any = "missing"
        need: Any = "unknown"
        if name in tensors:
            have = tuple(tensors[name].shape)
        if name in shapes:
            need = shapes[name]
        if have != need:
            raise LanceletError(
                f"{path}: weight {name!r} is {have}, this controller and environment need {need}"
            )


def archive_kind(path: str | Path) -> str | None:
    """What archive of another library `path` is, by the names in it alone; None: none that we know."""
    path = Path(path)
    if path.is_dir():
        names = ("rllib_checkpoint.json", "algorithm_state.pkl", "class_and_ctor_args.pkl")
        if any((path / name).exists() for name in names):
            return "an RLlib checkpoint"
        return None
    if not path.exists():
        return None
    names = foreign.zip_names(path)
    if "policy.pth" in names and "data" in names:
        return "a zip of stable-baselines3"
    return None


def untrusted(path: str | Path, kind: str) -> LanceletError:
    """The error for an archive that `archive_kind` knows and nobody vouches for."""
    why = "loading it unpickles, which can run anything that its author put in"
    return LanceletError(
        f"{path} is {kind}: {why}; if you trust them: lancelet play TASK --agent {path} --trust"
    )


def _open(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    path = Path(path)
    kind = archive_kind(path)
    if kind is not None:
        raise untrusted(path, kind)
    folder = None
    if path.is_dir():
        folder = path
        path = path / FILE
        if not path.exists():
            reason = "not a run folder, or its run ended before the first save"
            raise LanceletError(f"{folder} holds no {FILE}: {reason}")
    if not path.exists():
        raise LanceletError(f"{path} does not exist: give a run folder or a .safetensors file")
    about, tensors = foreign.read_tensors(path, "controller", foreign.WEIGHTS_BYTES, inside=folder)
    if about["format"] not in (1, FORMAT):
        writer = about.get("lancelet")
        raise LanceletError(
            f"{path} has format {about['format']!r}, written by Lancelet {writer!r}: needs 1 or {FORMAT}"
        )
    about.setdefault("notes", {})
    for name, kind in _HEADER.items():
        if not isinstance(about.get(name), kind):
            raise LanceletError(
                f"{path}: {name} = {about.get(name)!r}: the header does not describe a controller"
            )
    return about, tensors


def _space_to_json(space: spaces.Space) -> dict[str, Any]:
    if isinstance(space, spaces.Dict):
        return {"dict": {name: _space_to_json(item) for name, item in space.items()}}
    if isinstance(space, spaces.Box):
        return {
            "low": _bound(space.low),
            "high": _bound(space.high),
            "shape": space.shape,
            "dtype": str(space.dtype),
        }
    raise LanceletError(f"cannot save a controller of {space}: needs Box, or Dict of Box")


def _bound(values: np.ndarray) -> list[str] | str:
    flat = [repr(float(value)) for value in values.flat]  # as text: JSON has no infinity
    return flat[0] if len(set(flat)) == 1 else flat


def _space_from_json(data: dict[str, Any]) -> spaces.Space:
    if "dict" in data:
        return spaces.Dict({name: _space_from_json(item) for name, item in data["dict"].items()})
    shape = tuple(whole_number("shape of a space", length, 0) for length in data["shape"])
    size = math.prod(shape)
    if size > LARGEST_SPACE:
        raise LanceletError(
            f"a space of shape {shape} has {size:,} numbers: at most {LARGEST_SPACE:,} are read"
        )
    dtype = np.dtype(data["dtype"])
    if dtype.kind not in "fiu":
        raise LanceletError(f"a space of {dtype}: must be of numbers")
    low, high = (
        np.broadcast_to(np.array(data[name], float).reshape(-1), (size,))
        for name in ("low", "high")
    )
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # a bound beyond the type's range is refused by Box
        return spaces.Box(
            low.reshape(shape).astype(dtype), high.reshape(shape).astype(dtype), dtype=dtype.type
        )

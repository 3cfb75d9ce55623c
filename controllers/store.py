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
from .core import Controller, Options, agent_spaces, interval_of

FIRST_FORMAT = 1
"""still read; it differs in what defaults of options meant (`Options.of_first_format`)"""
FORMAT = 2
"""format that is written"""
FILE = "best.safetensors"
"""name of the file in a run folder"""
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
_RLLIB_FILES = ("rllib_checkpoint.json", "algorithm_state.pkl", "class_and_ctor_args.pkl")
"""any of these names says that a folder is a checkpoint of RLlib"""
_SB3_FILES = {"policy.pth", "data"}
"""these names say that a zip is one of stable-baselines3"""


def save(controller: Controller, path: str | Path, **notes: Any) -> None:
    """Write `controller` to a file (or to `best.safetensors` in a folder), all at once; `notes` are JSON values.

    Raises:
        LanceletError: the disk refuses; what was there before stays.
    """
    from . import controllers

    file = Path(path)
    if file.is_dir():
        file = file / FILE
    header = {
        "format": FORMAT,
        "lancelet": __version__,
        "controller": controllers.name_of(type(controller)),
        "options": dataclasses.asdict(controller.options),
        "observation_space": _space_to_json(controller.observation_space),
        "action_space": _space_to_json(controller.action_space),
        "notes": notes,
    }
    weights = _without_other_names(controller)
    tensors = {name: value.contiguous() for name, value in weights.items()}
    write_atomic(file, to_bytes(tensors, {"lancelet": to_json(header)}))


def describe(path: str | Path) -> dict[str, Any]:
    """What the header of a saved controller says.

    Raises:
        LanceletError: missing, cut short, not ours, or of another version.
    """
    header, _ = _open(path)
    return header


def load(path: str | Path, env: Any = None) -> Controller:
    """The controller saved in a file or run folder; with `env`, rebuilt for that environment's spaces.

    Its class is one that is registered: nothing is imported for a name in the file.

    Raises:
        LanceletError: missing, cut short, not ours, of another version, or weights that do not fit `env`.
    """
    from . import controllers

    header, tensors = _open(path)
    cls = controllers.known(header["controller"])
    _check_sizes(path, header["options"])
    with foreign.described_by(path):
        options = _saved_options(cls, header)
        if env is None:
            observation_space = _space_from_json(header["observation_space"])
            action_space = _space_from_json(header["action_space"])
        else:
            options = dataclasses.replace(options, **interval_of(cls.Options, env))
            observation_space, action_space = agent_spaces(env)
        # Without memory first: options may ask for more than the file's own weights take.
        with _refused_by_header(path):
            shapes = _shapes_without_memory(cls, observation_space, action_space, options)
        if shapes is not None:
            _check_weights(path, shapes, tensors)
        with _refused_by_header(path):
            controller: Controller = cls(observation_space, action_space, options)
        _check_weights(path, _shapes(controller), tensors)
        # Not strict: other names of tied weights are missing, all else has been checked.
        controller.load_state_dict(tensors, strict=False)
    return controller


def _saved_options(cls: type[Controller], header: Mapping[str, Any]) -> Options:
    """The options in a header, with those that a file of format 1 leaves to its defaults."""
    values = header["options"]
    if header["format"] == FIRST_FORMAT:
        action_space = _space_from_json(header["action_space"])
        values = cls.Options.of_first_format(values, action_space)
    return cls.Options(**values)


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
    # A stack and not a recursion: a stranger's file may nest its lists as deep as it likes.
    # A seed is a whole number too, but nothing is built by it.
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
    named = [*controller.named_parameters(), *controller.named_buffers()]
    first_names = {name for name, _ in named}
    return {name: value for name, value in controller.state_dict().items() if name in first_names}


def _shapes(controller: Controller) -> dict[str, tuple[int, ...]]:
    """Shapes of what is saved of a controller, by name."""
    weights = _without_other_names(controller)
    return {name: tuple(value.shape) for name, value in weights.items()}


def _shapes_without_memory(
    cls: type[Controller],
    observation_space: spaces.Space,
    action_space: spaces.Space,
    options: Options,
) -> dict[str, tuple[int, ...]] | None:
    """Shapes of a controller's weights, found on a device that takes no memory.

    Args:
        cls: class of the controller.
        observation_space: of one agent.
        action_space: of one agent.
        options: of the class.

    Returns:
        The shapes by name; None: it cannot be built on such a device.
    """
    try:
        with torch.device("meta"):
            return _shapes(cls(observation_space, action_space, options))
    except (NotImplementedError, RuntimeError):
        return None


def _check_weights(
    path: str | Path,
    shapes: Mapping[str, tuple[int, ...]],
    tensors: Mapping[str, Tensor],
) -> None:
    """Refuse weights of a file that are not those of a controller.

    Args:
        path: of the file, for the error.
        shapes: of the controller's weights, by name.
        tensors: of the file, by name.
    """
    for name in sorted(shapes.keys() | tensors.keys()):
        given: Any = "missing"
        needed: Any = "unknown"
        if name in tensors:
            given = tuple(tensors[name].shape)
        if name in shapes:
            needed = shapes[name]
        if given != needed:
            raise LanceletError(
                f"{path}: weight {name!r} is {given}, this controller and environment need {needed}"
            )


def archive_kind(path: str | Path) -> str | None:
    """What archive of another library `path` is, by the names in it alone; None: none that we know."""
    path = Path(path)
    if path.is_dir():
        if any((path / name).exists() for name in _RLLIB_FILES):
            return "an RLlib checkpoint"
        return None
    if path.exists() and _SB3_FILES.issubset(foreign.zip_names(path)):
        return "a zip of stable-baselines3"
    return None


def untrusted(path: str | Path, kind: str) -> LanceletError:
    """The error for an archive that `archive_kind` knows and nobody vouches for."""
    reason = "loading it unpickles, which can run anything that its author put in"
    return LanceletError(
        f"{path} is {kind}: {reason}; if you trust them: lancelet play TASK --agent {path} --trust"
    )


def _open(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header of a saved controller, checked, and its tensors, which are not."""
    kind = archive_kind(path)
    if kind is not None:
        raise untrusted(Path(path), kind)
    file = Path(path)
    folder = None
    if file.is_dir():
        folder = file
        file = folder / FILE
        if not file.exists():
            reason = "not a run folder, or its run ended before the first save"
            raise LanceletError(f"{folder} holds no {FILE}: {reason}")
    if not file.exists():
        raise LanceletError(f"{file} does not exist: give a run folder or a .safetensors file")
    header, tensors = foreign.read_tensors(file, "controller", foreign.WEIGHTS_BYTES, inside=folder)
    if header["format"] not in (FIRST_FORMAT, FORMAT):
        writer = header.get("lancelet")
        raise LanceletError(
            f"{file} has format {header['format']!r}, written by Lancelet {writer!r}: "
            f"needs {FIRST_FORMAT} or {FORMAT}"
        )
    # Older files have none.
    header.setdefault("notes", {})
    for name, needed_type in _HEADER.items():
        if not isinstance(header.get(name), needed_type):
            raise LanceletError(
                f"{file}: {name} = {header.get(name)!r}: the header does not describe a controller"
            )
    return header, tensors


def _space_to_json(space: spaces.Space) -> dict[str, Any]:
    """A Box, or a Dict of such, as JSON values."""
    if isinstance(space, spaces.Dict):
        return {"dict": {name: _space_to_json(item) for name, item in space.items()}}
    if not isinstance(space, spaces.Box):
        raise LanceletError(f"cannot save a controller of {space}: needs Box, or Dict of Box")
    return {
        "low": _bound_to_json(space.low),
        "high": _bound_to_json(space.high),
        "shape": space.shape,
        "dtype": str(space.dtype),
    }


def _bound_to_json(values: np.ndarray) -> list[str] | str:
    """Bounds of a Box as text, since JSON has no infinity: all of them, or one where they are alike."""
    texts = [repr(float(value)) for value in values.flat]
    if len(set(texts)) == 1:
        return texts[0]
    return texts


def _space_from_json(data: dict[str, Any]) -> spaces.Space:
    """The space that `_space_to_json` wrote down.

    Raises:
        LanceletError: a shape or a type that no controller has.
    """
    if "dict" in data:
        return spaces.Dict({name: _space_from_json(item) for name, item in data["dict"].items()})
    shape = tuple(whole_number("shape of a space", length, 0) for length in data["shape"])
    # Before any array of that shape is made.
    size = math.prod(shape)
    if size > LARGEST_SPACE:
        raise LanceletError(
            f"a space of shape {shape} has {size:,} numbers: at most {LARGEST_SPACE:,} are read"
        )
    dtype = np.dtype(data["dtype"])
    if dtype.kind not in "fiu":
        raise LanceletError(f"a space of {dtype}: must be of numbers")
    # A bound beyond the type's range becomes what Box refuses, without a warning.
    with np.errstate(over="ignore", invalid="ignore"):
        low = _bound_from_json(data["low"], shape).astype(dtype)
        high = _bound_from_json(data["high"], shape).astype(dtype)
        return spaces.Box(low, high, dtype=dtype.type)


def _bound_from_json(texts: list[str] | str, shape: tuple[int, ...]) -> np.ndarray:
    """The bounds (shape) that `_bound_to_json` wrote down, float64."""
    values = np.array(texts, float).reshape(-1)
    return np.broadcast_to(values, (math.prod(shape),)).reshape(shape)

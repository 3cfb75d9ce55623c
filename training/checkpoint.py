"""A tree of arrays and JSON values in one safetensors file: a whole training state, and nothing that can run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from .. import __version__
from ..errors import LanceletError
from ..files import write_atomic

FORMAT = 1


def save(path: str | Path, tree: Any) -> None:
    """Write dicts, lists, arrays, tensors and JSON values to `path`, all at once (see `write_atomic`)."""
    tensors: dict[str, torch.Tensor] = {}

    def pack(value: Any, name: str) -> Any:
        if isinstance(value, np.ndarray | torch.Tensor):
            tensors[name] = torch.as_tensor(np.ascontiguousarray(value) if isinstance(value, np.ndarray) else value)
            tensors[name] = tensors[name].detach().contiguous().clone()
            return {"$array": name, "numpy": isinstance(value, np.ndarray)}
        if isinstance(value, dict):
            return {key: pack(item, f"{name}/{key}") for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [pack(item, f"{name}/{i}") for i, item in enumerate(value)]
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise TypeError(f"cannot save {name}: {type(value).__name__} is neither an array nor JSON")

    about = {"format": FORMAT, "lancelet": __version__, "tree": pack(tree, "")}
    write_atomic(path, to_bytes(tensors, {"lancelet": json.dumps(about)}))


def load(path: str | Path) -> Any:
    """The tree that `save` wrote; tuples come back as lists.

    Raises:
        LanceletError: missing, cut short, not ours, or of another format.
    """
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["lancelet"])
            # cloned into aligned memory: products of matrices that lie otherwise round otherwise
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        version, tree = about["format"], about["tree"]
    except FileNotFoundError as error:
        raise LanceletError(f"{path} does not exist: there is no checkpoint") from error
    except (SafetensorError, KeyError, ValueError, TypeError, OSError) as error:
        raise LanceletError(f"{path} is not a checkpoint of Lancelet, or is cut short ({error})") from error
    if version != FORMAT:
        raise LanceletError(f"{path} has format {version}, written by Lancelet {about['lancelet']}: needs {FORMAT}")

    def unpack(value: Any) -> Any:
        if isinstance(value, dict) and "$array" in value:
            tensor = tensors[value["$array"]]
            return tensor.numpy() if value["numpy"] else tensor
        if isinstance(value, dict):
            return {key: unpack(item) for key, item in value.items()}
        return [unpack(item) for item in value] if isinstance(value, list) else value

    return unpack(tree)

"""A tree of arrays and JSON values in one safetensors file: a whole training state, and nothing that can run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as to_bytes

from ... import __version__, foreign
from ...errors import LanceletError
from ...files import write_atomic

FORMAT = 1
"""version of what `save` writes; `load` refuses any other"""
ARRAY = "$array"
"""key of a reference to an array, by which it is told from a dict of the tree; its value is the array's name"""
IS_NUMPY = "numpy"
"""key beside it: whether the array was numpy's, else it was a tensor"""


def save(path: str | Path, tree: Any) -> None:
    """Write dicts, lists, arrays, tensors and JSON values to `path`, all at once (see `write_atomic`)."""
    tensors: dict[str, torch.Tensor] = {}
    packed = _pack(tree, "", tensors)
    about = {"format": FORMAT, "lancelet": __version__, "tree": packed}
    write_atomic(path, to_bytes(tensors, {"lancelet": json.dumps(about)}))


def _pack(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """`value` as JSON, with a reference in place of each array, which is added to `tensors`.

    Args:
        value: a tree, or a part of one.
        name: of this part: the path to it.
        tensors: the arrays so far, by name; added to.

    Raises:
        TypeError: something in it is neither an array nor JSON.
    """
    if isinstance(value, np.ndarray | torch.Tensor):
        is_numpy = isinstance(value, np.ndarray)
        tensor = torch.as_tensor(np.ascontiguousarray(value) if is_numpy else value)
        # A copy: safetensors refuses tensors that share memory.
        tensors[name] = tensor.detach().contiguous().clone()
        return {ARRAY: name, IS_NUMPY: is_numpy}
    if isinstance(value, dict):
        return {key: _pack(item, f"{name}/{key}", tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_pack(item, f"{name}/{i}", tensors) for i, item in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"cannot save {name}: {type(value).__name__} is neither an array nor JSON")


def load(path: str | Path, inside: str | Path | None = None) -> Any:
    """The tree that `save` wrote; tuples come back as lists.

    Args:
        path: of the checkpoint.
        inside: folder that it must lie in once links are followed; None: wherever `path` leads.

    Raises:
        LanceletError: missing, cut short, not ours, or of another format.
    """
    if not Path(path).exists():
        raise LanceletError(f"{path} does not exist: there is no checkpoint")
    about, tensors = foreign.read_tensors(path, "checkpoint", foreign.CHECKPOINT_BYTES, inside)
    if about["format"] != FORMAT:
        writer = about.get("lancelet")
        raise LanceletError(
            f"{path} has format {about['format']!r}, written by Lancelet {writer!r}: needs {FORMAT}"
        )
    # Cloned into aligned memory: products of matrices that lie otherwise round otherwise.
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    with foreign.described_by(path):
        return _unpack(about["tree"], tensors)


def _unpack(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """The tree that `_pack` made JSON of, from that and the arrays by name."""
    if isinstance(value, dict) and ARRAY in value:
        tensor = tensors[value[ARRAY]]
        return tensor.numpy() if value[IS_NUMPY] else tensor
    if isinstance(value, dict):
        return {key: _unpack(item, tensors) for key, item in value.items()}
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    return value

"""Training state as arrays: optimisers, and the global generators that libraries draw from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The global generators of torch and numpy are seeded inside, and as they were outside."""
    before = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(before)


def generators() -> dict[str, Any]:
    """The state of the global generators of torch and numpy, as arrays and JSON values."""
    state: Any = np.random.get_state()
    _, words, position, has_gauss, cached_gauss = state
    return {
        "torch": torch.get_rng_state(),
        # Torch, which writes checkpoints, has no unsigned integers of 32 bits.
        "numpy": [words.astype(np.int64), int(position), int(has_gauss), float(cached_gauss)],
    }


def restore_generators(saved: dict[str, Any]) -> None:
    """Continue from `generators`."""
    torch.set_rng_state(saved["torch"])
    words, *rest = saved["numpy"]
    np.random.set_state(("MT19937", words.astype(np.uint32), *rest))


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What the optimiser has gathered, by the number of the parameter.

    Learning rates are not part of it: they are options, which a resumed run may change.
    """
    state = optimizer.state_dict()["state"]
    return {str(number): values for number, values in state.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Continue from `optimizer_state`."""
    state = {int(number): values for number, values in saved.items()}
    present_groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": present_groups})

"""Training state as arrays: optimisers, and the global generators that libraries draw from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The global generators of torch and numpy seeded inside, and as they were outside."""
    before = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(before)


def generators() -> dict[str, Any]:
    """The global generators of torch and numpy."""
    numpy: Any = np.random.get_state()
    words = numpy[1].astype(np.int64)
    return {"torch": torch.get_rng_state(), "numpy": [words, int(numpy[2]), int(numpy[3]), float(numpy[4])]}


def restore_generators(saved: dict[str, Any]) -> None:
    """Continue from `generators`."""
    torch.set_rng_state(saved["torch"])
    words, *rest = saved["numpy"]
    np.random.set_state(("MT19937", words.astype(np.uint32), *rest))


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What the optimiser has gathered, by the number of the parameter; rates are options, not state."""
    return {str(i): values for i, values in optimizer.state_dict()["state"].items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Continue from `optimizer_state`."""
    state = {int(i): values for i, values in saved.items()}
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})

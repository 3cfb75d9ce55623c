"""Seeds and generators of a batch: one for each simulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.utils import seeding


def seed_of_each(seed: int | Sequence[int | None], n: int) -> Sequence[int | None]:
    """Seeds of n simulations from one number, or from a list, which may have any length."""
    if isinstance(seed, int | np.integer):
        return [seed + i for i in range(n)]
    return seed


def generator_at(state: dict[str, Any]) -> np.random.Generator:
    """A generator that goes on from a saved state."""
    rng, _ = seeding.np_random(0)
    rng.bit_generator.state = state  # pyright: ignore[reportAttributeAccessIssue]
    return rng

"""Random numbers by key and counter: those of one simulation depend neither on the others nor on what was drawn before.

A task may draw from a generator at reset only, and an operator needs chance in every step. So each simulation draws one
key at reset, and a number is a function of that key, of a counter, and of what it is drawn for.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from ..splitmix import random_bits

NEXT = np.uint64(1)
"""counter of the output that follows a state"""
MANTISSA_BITS = 53


def draw_key(rng: np.random.Generator) -> np.uint64:
    """A key, from the generator of its simulation."""
    return rng.integers(0, 2**64, dtype=np.uint64)


def uniform(keys: np.ndarray, counters: np.ndarray, purpose: int) -> np.ndarray:
    """Numbers (n,) in (0, 1).

    Args:
        keys: (n,) uint64.
        counters: (n,) whole numbers; another counter is another number.
        purpose: what it is drawn for: numbers of different purposes are independent.
    """
    streams = random_bits(keys + random_bits(np.full(len(keys), purpose, np.uint64), NEXT), NEXT)
    bits = random_bits(streams, counters.astype(np.uint64) + NEXT)
    # The middle of each of 2^53 intervals, so that neither 0 nor 1 is drawn.
    return ((bits >> np.uint64(64 - MANTISSA_BITS)) + 0.5) * 2.0**-MANTISSA_BITS


def normal(keys: np.ndarray, counters: np.ndarray, purpose: int) -> np.ndarray:
    """Numbers (n,) of the standard normal distribution; arguments as of `uniform`."""
    # The inverse distribution function goes element by element: its bits do not depend on how many there are.
    return ndtri(uniform(keys, counters, purpose))

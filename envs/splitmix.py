"""SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014) by key and counter.

No state is kept: the same key and counter give the same bits, in whatever order they are asked for. Whole arrays go through
as they are (`assist.chance`); loops compile it (`emg.draws`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2**64 divided by the golden ratio: the step of the state"""
FIRST_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
SECOND_FACTOR = np.uint64(0x94D049BB133111EB)


def random_bits(key: Any, counter: Any) -> Any:
    """64 random bits, uint64: the generator's output after the state key + counter * golden ratio."""
    bits = key + counter * GOLDEN
    bits = (bits ^ (bits >> np.uint64(30))) * FIRST_FACTOR
    bits = (bits ^ (bits >> np.uint64(27))) * SECOND_FACTOR
    return bits ^ (bits >> np.uint64(31))

"""Fair timing on a busy machine: contenders take turns, and only ratios within a round are read."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Times:
    """Seconds of each contender, one entry a round."""

    seconds: dict[str, np.ndarray]

    def ratio(self, slow: str, fast: str) -> tuple[float, tuple[float, float]]:
        """Median over the rounds of seconds(slow) / seconds(fast), and its bootstrapped 95 % interval."""
        ratios = self.seconds[slow] / self.seconds[fast]
        draws = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
        low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
        return float(np.median(ratios)), (float(low), float(high))

    def rate(self, name: str, count: int) -> float:
        """`count` a second, in the fastest round."""
        return count / float(self.seconds[name].min())


def take_turns(
    rounds: int, prepare: Callable[[int], object] | None = None, **contenders: Callable[[], object]
) -> Times:
    """Time the contenders in turn, the order turned about every round; one unmeasured round goes before."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for number in range(rounds + 1):
        if prepare is not None:
            prepare(number)
        for name in order if number % 2 else reversed(order):
            begun = time.perf_counter()
            contenders[name]()
            if number:
                seconds[name].append(time.perf_counter() - begun)
    return Times({name: np.array(values) for name, values in seconds.items()})

"""Fair timing on a busy machine: contenders take turns, and only ratios within a round are read."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
"""samples that a bootstrap draws"""
SEED_OF_RESAMPLES = 0
"""seed of the bootstrap: the same rounds give the same interval"""
INTERVAL = (2.5, 97.5)
"""percentiles between which 95 % of the medians lie"""


@dataclass(frozen=True)
class Times:
    """How long each contender took."""

    seconds: dict[str, np.ndarray]
    """name of a contender -> seconds of each round, (rounds,)"""

    def ratio(self, slow: str, fast: str) -> tuple[float, tuple[float, float]]:
        """How many times as long one contender took as another.

        Args:
            slow: name of the contender whose seconds are divided.
            fast: name of the contender by whose seconds they are divided.

        Returns:
            The median of the ratios of all rounds, and its 95 % interval by the percentile bootstrap over rounds.
        """
        ratios = self.seconds[slow] / self.seconds[fast]
        round_count = len(ratios)
        generator = np.random.default_rng(SEED_OF_RESAMPLES)
        samples = generator.choice(ratios, (RESAMPLES, round_count))
        medians = np.median(samples, axis=1)
        low, high = np.percentile(medians, INTERVAL)
        return float(np.median(ratios)), (float(low), float(high))

    def rate(self, name: str, count: int) -> float:
        """How many things a contender does in a second, in its fastest round; it does `count` in a round."""
        return count / float(self.seconds[name].min())


def take_turns(
    rounds: int, prepare: Callable[[int], object] | None = None, **contenders: Callable[[], object]
) -> Times:
    """Time the contenders one after the other, round by round.

    Args:
        rounds: rounds that are measured. One more goes before them, in which everything compiles and warms up.
        prepare: called with the number of the round before it, unmeasured; None: nothing is to be prepared.
        **contenders: what is timed, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds + 1):
        if prepare is not None:
            prepare(number)
        # Turned about every round: whoever comes second finds a warmer cache and a hotter processor.
        order = names if number % 2 == 1 else reversed(names)
        for name in order:
            begin = time.perf_counter()
            contenders[name]()
            end = time.perf_counter()
            is_measured = number > 0
            if is_measured:
                seconds[name].append(end - begin)
    return Times({name: np.array(values) for name, values in seconds.items()})

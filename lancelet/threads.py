"""Compiled loops on several threads: loops that release Python's global lock run side by side there."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

Loop = Callable[..., object]
"""A compiled loop ``loop(first, last, *values)``.

It works on the items from `first` to before `last`; results go into arrays among `values`.
"""


def in_threads(work: Loop, count: int, threads: int, *values: Any) -> None:
    """Call ``work(first, last, *values)`` for slices that together are all items, and wait for all of them.

    Args:
        work: the loop. It must release Python's global lock (``nogil=True`` in numba) to gain anything.
        count: number of items.
        threads: number of slices, each of which has a thread of its own; 0: one a core.
        *values: further arguments of the loop, the same for every slice.
    """
    wanted_threads = threads or os.cpu_count() or 1
    used_threads = min(wanted_threads, max(count, 1))
    if used_threads == 1:
        work(0, count, *values)
        return
    bounds = np.linspace(0, count, used_threads + 1).astype(int)

    def run_slice(first: int, last: int) -> None:
        work(first, last, *values)

    # Threads of Python, not of numba: numba's pools do not survive a fork, and one of them is not reentrant.
    with ThreadPoolExecutor(used_threads) as pool:
        # The list waits for every slice, and raises what a slice raised.
        list(pool.map(run_slice, bounds[:-1], bounds[1:]))

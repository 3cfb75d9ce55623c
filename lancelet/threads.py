"""Compiled loops on threads of Python's own: those that let the interpreter's lock go."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np


def in_threads(work: Any, count: int, threads: int, *values: Any) -> None:
    """``work(first, last, *values)`` for slices of `count` items, one a thread; 0: as many as cores."""
    threads = min(threads or os.cpu_count() or 1, max(count, 1))
    if threads == 1:
        work(0, count, *values)
        return
    # threads of Python's own: numba's pools do not survive a fork, and one of them is not reentrant
    cuts = np.linspace(0, count, threads + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda first, last: work(first, last, *values), cuts[:-1], cuts[1:]))

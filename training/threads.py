"""How many threads torch may use, set for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch compute an operation on one thread inside, and on as many as before outside.

    Our networks are small: two threads within an operation take 10 to 100 times as long as one when anything else wants
    a core (docs/libraries.md, "Threads"). The number is one for the whole process, so that it is given back: the
    process is the user's.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

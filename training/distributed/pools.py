"""Workers that may die, of one of two kinds, behind one face.

Processes of this machine (`Local`) need nothing and start at once. Ray tasks (`Cluster`) run on this machine or on a
cluster. `calls` holds what both have in common.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from ...errors import LanceletError
from .calls import Call, Outcome, Pool, run
from .cluster import check_address, connected
from .local_pool import Local
from .main_guard import NO_GUARD, refuse_without_guard
from .ray_pool import Cluster

__all__ = [
    "NO_GUARD",
    "Call",
    "Cluster",
    "Local",
    "Outcome",
    "Pool",
    "check_workers",
    "pool",
    "refuse_without_guard",
    "run",
]


def check_workers(workers: str | int, address: str | None = None) -> None:
    """Refuse what `pool` takes no workers from.

    Raises:
        LanceletError: `workers` is neither ``local`` nor ``ray`` nor a number of 1 or more, or `address` is none.
    """
    number = _number(workers)
    if workers not in ("local", "ray") and not number:
        raise LanceletError(
            f"workers = {workers!r}: must be local, ray, or a number of processes, 1 or more"
        )
    if address is not None:
        check_address(address)


@contextlib.contextmanager
def pool(workers: str | int = "local", address: str | None = None) -> Iterator[Pool]:
    """A pool of workers while the context lasts.

    Args:
        workers: ``local``: a process a core of this machine; ``ray``: all slots of Ray on this machine, or of the
            cluster at `address`; a number: so many processes, or slots of the cluster.
        address: host:port of a running Ray cluster; None: this machine.

    Raises:
        LanceletError: `workers` is none of these, or the cluster does not answer within 30 s.
    """
    check_workers(workers, address)
    number = _number(workers)
    cores = os.cpu_count() or 1
    if address is None and workers != "ray":
        with contextlib.closing(Local(number or cores)) as local:
            yield local
        return
    # `Local` refuses by itself; Ray would start before anybody asks.
    refuse_without_guard()
    with connected(cores, address) as ray, contextlib.closing(Cluster(ray, number)) as cluster:
        yield cluster


def _number(workers: str | int) -> int | None:
    """The number of workers that is asked for; None: `workers` is a word."""
    text = str(workers)
    return int(text) if text.isdigit() else None

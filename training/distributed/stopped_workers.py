"""Ray workers that are stopped (SIGSTOP): Ray waits for them for ever, so they are killed and Ray replaces them.

Nothing is lost: a call that a killed worker had under way comes back as died, and is computed again by whoever
asked for it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

PATIENCE = 10.0
"""s that a worker may be stopped before it is killed"""
LOOK_EVERY = 2.0
"""s between two looks at the processes of this machine"""
ASK_EVERY = 30.0
"""s between two requests to the other machines of a cluster"""
POOL = "LANCELET_POOL"
"""variable of every worker that a pool of ours starts; its value is the pool's alone"""
PROC = Path("/proc")
_STOPPED = "T"
"""state of a process in `/proc/<pid>/stat` that a signal has stopped; a debugger's are in state t"""


class StoppedWorkers:
    """Looks for stopped workers of this process's pool, on this machine and on the others of the cluster.

    Args:
        ray: the module, inside `cluster.connected`; where a user has connected it, nobody's workers are touched.
    """

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        variables = ray.get_runtime_context().runtime_env.get("env_vars", {})
        self._pool: str | None = variables.get(POOL)
        self._stopped_since: dict[int, float] = {}
        self._next_look = 0.0
        self._next_request = time.monotonic() + ASK_EVERY
        self._requests: list[Any] = []

    def end(self) -> int:
        """Kill the workers of this machine that have been stopped for `PATIENCE`; how many were.

        Costs nothing where the last call was less than `LOOK_EVERY` ago. Those of other machines are ended by a
        task there, which is not waited for.
        """
        now = time.monotonic()
        if self._pool is None or now < self._next_look:
            return 0
        self._next_look = now + LOOK_EVERY
        if now >= self._next_request:
            self._next_request = now + ASK_EVERY
            self._ask_others()
        stopped = stopped_workers(self._pool)
        self._stopped_since = {pid: self._stopped_since.get(pid, now) for pid in stopped}
        overdue = [pid for pid, since in self._stopped_since.items() if now - since >= PATIENCE]
        return _kill(overdue)

    def _ask_others(self) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        own = self._ray.get_runtime_context().get_node_id()
        others = [
            node["NodeID"] for node in self._ray.nodes() if node["Alive"] and node["NodeID"] != own
        ]
        # It takes no slot, so that it runs where all slots wait for stopped workers.
        task = self._ray.remote(num_cpus=0, max_retries=0)(_end_stopped)
        self._requests = [
            task.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=True)
            ).remote(self._pool)
            for node in others
        ]


def stopped_workers(pool: str) -> list[int]:
    """Numbers of this user's processes on this machine that are stopped workers of a pool."""
    if not PROC.is_dir():
        return []
    numbers = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
    return [pid for pid in numbers if _is_stopped(pid) and _pool_of(pid) == pool]


def _is_stopped(pid: int) -> bool:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return False
    # The name in brackets may hold anything: what follows its last bracket is the state.
    return text.rpartition(")")[2].split()[0] == _STOPPED


def _pool_of(pid: int) -> str | None:
    """The pool that a process works for; None: for none, or it is another user's."""
    try:
        variables = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return None
    prefix = f"{POOL}=".encode()
    return next(
        (item[len(prefix) :].decode() for item in variables if item.startswith(prefix)), None
    )


def _kill(pids: list[int]) -> int:
    killed = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed


def _end_stopped(pool: str) -> int:
    """On another machine: kill the workers that are stopped now and still are after `PATIENCE`."""
    before = stopped_workers(pool)
    if not before:
        return 0
    time.sleep(PATIENCE)
    return _kill([pid for pid in stopped_workers(pool) if pid in before])

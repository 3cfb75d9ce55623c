"""Ray workers that are stopped (SIGSTOP): Ray waits for them for ever, so they are killed and Ray replaces them.

Nothing is lost: a call that a killed worker had under way comes back as died, and is computed again by whoever
asked for it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from types import ModuleType
from typing import Any

from .processes import STOPPED, process_ids, process_state, read_process_file

PATIENCE = 10.0
"""s that a worker may be stopped before it is killed"""
LOOK_EVERY = 2.0
"""s between two looks at the processes of this machine"""
ASK_EVERY = 30.0
"""s between two requests to the other machines of a cluster"""
POOL = "LANCELET_POOL"
"""environment variable of every worker that a pool of ours starts; its value is the pool's alone"""


class StoppedWorkers:
    """Looks for stopped workers of this process's pool, on this machine and on the others of the cluster.

    Args:
        ray: the module, inside `cluster.connected`; where a user has connected it, nobody's workers are touched.
    """

    def __init__(self, ray: ModuleType) -> None:
        self._ray = ray
        variables = ray.get_runtime_context().runtime_env.get("env_vars", {})
        self._pool: str | None = variables.get(POOL)
        self._stopped_since: dict[int, float] = {}
        """process id -> s of the clock, when it was first seen stopped"""
        self._next_look = 0.0
        self._next_request = time.monotonic() + ASK_EVERY
        self._requests: list[Any] = []
        """the tasks on other machines that were asked for last; nobody waits for them"""

    def end(self) -> int:
        """Kill the workers of this machine that have been stopped for `PATIENCE`, and return how many were killed.

        Costs nothing where the last call was less than `LOOK_EVERY` ago. Those of other machines are ended by a
        task there, which is not waited for.
        """
        now = time.monotonic()
        if self._pool is None or now < self._next_look:
            return 0
        self._next_look = now + LOOK_EVERY
        if now >= self._next_request:
            self._next_request = now + ASK_EVERY
            self._requests = self._ask_others(self._pool)
        # Whoever goes on meanwhile is forgotten: its time begins anew when it is stopped again.
        stopped = stopped_workers(self._pool)
        self._stopped_since = {pid: self._stopped_since.get(pid, now) for pid in stopped}
        overdue = [pid for pid, since in self._stopped_since.items() if now - since >= PATIENCE]
        return _kill(overdue)

    def _ask_others(self, pool: str) -> list[Any]:
        """Send every other living machine of the cluster a task that ends its stopped workers."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        own_node = self._ray.get_runtime_context().get_node_id()
        # It takes no slot, so that it runs where all slots wait for stopped workers.
        task = self._ray.remote(num_cpus=0, max_retries=0)(_end_stopped)
        requests = []
        for node in self._ray.nodes():
            if not node["Alive"] or node["NodeID"] == own_node:
                continue
            # Soft: where the machine is gone meanwhile, the task runs elsewhere and does no harm.
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=True)
            requests.append(task.options(scheduling_strategy=there).remote(pool))
        return requests


def stopped_workers(pool: str) -> list[int]:
    """Ids of this user's processes on this machine that are stopped workers of a pool."""
    # The state is asked first: the environment is read of the few that are stopped.
    stopped = [pid for pid in process_ids() if process_state(pid) == STOPPED]
    return [pid for pid in stopped if _pool_of(pid) == pool]


def _pool_of(pid: int) -> str | None:
    """The pool that a process works for; None: for none, or it is another user's."""
    prefix = f"{POOL}=".encode()
    for variable in read_process_file(pid, "environ").split(b"\0"):
        if variable.startswith(prefix):
            return variable.removeprefix(prefix).decode()
    return None


def _kill(pids: list[int]) -> int:
    """Kill processes, and return how many there still were."""
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

"""Workers that are Ray's, on this machine or on all machines of a cluster."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ...errors import LanceletError
from .calls import TOOK_TOO_LONG, Call, Outcome, Pool, loading_error, run
from .processes import GONE, ZOMBIE, process_state, read_process_file
from .ray_compat import key_value_store
from .stopped_workers import StoppedWorkers

if TYPE_CHECKING:
    from ray import ObjectRef

LOOK_INTERVAL = 5.0
"""s between two looks at a Ray cluster: its slots, which calls have begun, whether its servers live"""
UNANSWERED = 30.0
"""s after which a call that was cancelled, and whose process was killed, is taken to be lost with its node"""
SERVERS = ("raylet", "gcs_server")
"""names of the processes that Ray on this machine cannot do without"""
WORKER_TITLE = b"ray::"
"""what the command line of a Ray worker begins with"""


@dataclass
class _SentCall:
    """A call under way in Ray."""

    key: int
    """the number that it was submitted under"""
    call: Call
    """what Ray is to run"""
    name: str
    """its name in Ray's key-value store, under which its worker says that it has begun, and where"""
    begun_at: float | None = None
    """s of the clock, when the driver saw that it had begun"""
    cancelled_at: float | None = None
    """s of the clock, when the driver ended it because it was past its deadline"""


class Cluster(Pool):
    """Ray tasks, one slot each; never retried by Ray, whose own retries come later and are not told.

    A worker that begins a call with a deadline writes its node and process id into Ray's key-value store. So the
    driver knows how long a call has run, and not only waited for a slot, and which process to end where it is
    stopped: cancelling alone leaves such a process, and its slot with it.
    Among calls without a deadline, a worker that is stopped for some seconds is killed (`stopped_workers`); a call
    that it had begun counts as one that killed it.

    Args:
        ray: the connected module.
        slots: calls at one time; None: all slots of the cluster.

    Raises:
        LanceletError: by `slots` and `outcomes`, where the servers of a local Ray are gone.
    """

    def __init__(self, ray: ModuleType, slots: int | None = None) -> None:
        self._ray = ray
        self._fixed_slots = slots
        self._task = ray.remote(num_cpus=1, max_retries=0)(run_announced)
        self._prefix = f"lancelet-{uuid.uuid4().hex}-"
        """what the names of this pool's calls begin with: other pools use the same store"""
        self._sent: dict[ObjectRef[Any], _SentCall] = {}
        self._sent_count = 0
        self._cluster_slots = 1
        self._looked_at = -math.inf
        self._servers = _servers()
        self._stopped = StoppedWorkers(ray)

    @property
    def slots(self) -> int:
        """Number of calls that run at one time: of the cluster as it is now, looked up every few seconds."""
        if self._fixed_slots:
            return self._fixed_slots
        self._look()
        return self._cluster_slots

    def submit(self, key: int, call: Call) -> None:
        """Send a call; Ray keeps it until a slot is free."""
        name = f"{self._prefix}{self._sent_count}"
        self._sent_count += 1
        reference = self._task.remote(name, call)
        self._sent[reference] = _SentCall(key=key, call=call, name=name)

    def outcomes(self, timeout: float) -> list[Outcome]:
        """The calls that have ended since the last time; waits up to `timeout` seconds for the first."""
        # A call with a deadline is ended at it, by whoever is stopped: only the others wait for ever.
        if any(not sent.call.seconds for sent in self._sent.values()):
            self._stopped.end()
        if not self._sent:
            time.sleep(timeout)
            return []
        ready, _ = self._ray.wait(list(self._sent), timeout=timeout)
        if ready:
            # The first wait gives one call only; what has ended beside it is here already.
            ready, _ = self._ray.wait(list(self._sent), num_returns=len(self._sent), timeout=0)
        outcomes = [self._outcome(reference) for reference in ready]
        # What has come back is taken first: it is no longer overdue.
        self._look()
        return outcomes + self._end_overdue()

    def close(self) -> None:
        """Cancel what is under way; the servers are `connected`'s to end."""
        for reference in self._sent:
            with contextlib.suppress(Exception):  # Ray itself may be gone
                self._ray.cancel(reference, force=True)
        self._sent.clear()
        # The store lies in a server: where that is gone, a call to it may not return.
        if self._lost_server() is None:
            key_value_store().delete_all(self._prefix)

    def _look(self) -> None:
        """See to the cluster, every few seconds: its servers, its slots, and which calls have begun."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_INTERVAL:
            return
        self._looked_at = now
        self._check_servers()
        self._cluster_slots = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        with_deadline = [sent for sent in self._sent.values() if sent.call.seconds]
        if not with_deadline:
            return
        begun_names = key_value_store().names(self._prefix)
        for sent in with_deadline:
            if sent.begun_at is None and sent.name in begun_names:
                sent.begun_at = now

    def _lost_server(self) -> str | None:
        """The name of a server of a local Ray that is gone; None: all live."""
        for name, pid in self._servers.items():
            if process_state(pid) in (ZOMBIE, GONE):
                return name
        return None

    def _check_servers(self) -> None:
        """Raise where a server is gone: Ray itself would tell nothing, and end this process after a minute."""
        lost = self._lost_server()
        if lost is not None:
            raise _ray_is_gone(lost)

    def _end_overdue(self) -> list[Outcome]:
        """End the calls that are past their deadline; the outcomes of those that do not answer even so."""
        outcomes = []
        now = time.monotonic()
        for reference, sent in list(self._sent.items()):
            if sent.begun_at is None:
                continue
            if sent.cancelled_at is None:
                if sent.call.is_overdue(now - sent.begun_at):
                    # By force at once: where a gentle try came first, the forced one does nothing.
                    self._ray.cancel(reference, force=True)
                    self._kill_process(sent)
                    sent.cancelled_at = now
            elif now - sent.cancelled_at > UNANSWERED:
                del self._sent[reference]
                died = f"{TOOK_TOO_LONG}, and its node does not answer"
                outcomes.append(Outcome(sent.key, died=died, blamed=False))
        return outcomes

    def _kill_process(self, sent: _SentCall) -> None:
        """Kill the process of a call by a task on its node: a stopped process hears nothing else."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        place = key_value_store().get(sent.name)
        if place is None:
            return
        node, pid = place.split()
        # The task needs no slot: the call that it ends may have the last one.
        task = self._ray.remote(num_cpus=0, max_retries=0)(_kill_worker)
        on_its_node = NodeAffinitySchedulingStrategy(node, soft=False)
        task.options(scheduling_strategy=on_its_node).remote(int(pid))

    def _outcome(self, reference: ObjectRef[Any]) -> Outcome:
        """What became of a call that has ended; it is no longer under way afterwards."""
        from ray import exceptions

        sent = self._sent.pop(reference)
        try:
            return Outcome(sent.key, value=self._ray.get(reference))
        except exceptions.RayTaskError as error:
            raised = error.cause or error
            if raised is not error:
                raised.__cause__ = error  # which tells where in the worker it was
            return Outcome(sent.key, error=raised)
        except exceptions.LocalRayletDiedError:
            raise _ray_is_gone("raylet") from None
        except (exceptions.RaySystemError, exceptions.RuntimeEnvSetupError) as error:
            return Outcome(sent.key, error=loading_error(error))
        except exceptions.RayError as error:
            return self._death(sent, error)

    def _death(self, sent: _SentCall, error: Exception) -> Outcome:
        """The outcome of a call whose process has died, of which Ray tells by `error`."""
        from ray import exceptions

        # Where Ray as a whole is gone, no call is to blame.
        self._check_servers()
        if sent.cancelled_at is not None:
            return Outcome(sent.key, died=TOOK_TOO_LONG)
        crashed = isinstance(error, exceptions.WorkerCrashedError)
        # What has begun and not ended has left its name; a call without a deadline leaves none.
        begun = not sent.call.seconds or key_value_store().get(sent.name) is not None
        key_value_store().delete(sent.name)
        return Outcome(
            sent.key,
            died=f"its process died ({type(error).__name__})",
            blamed=crashed and begun,
            out_of_memory=isinstance(error, exceptions.OutOfMemoryError),
        )


def run_announced(name: str, call: Call) -> Any:
    """Run a call in a Ray worker; where it has a deadline, say that and where it has begun.

    Args:
        name: of the call in the key-value store.
        call: with the deadline.
    """
    if not call.seconds:
        return run(call)
    import ray

    store = key_value_store()
    node = ray.get_runtime_context().get_node_id()
    store.put(name, f"{node} {os.getpid()}")
    try:
        return run(call)
    finally:
        store.delete(name)


def _kill_worker(pid: int) -> None:
    """In a Ray worker of the same node: kill another one, if the process of that id is a worker still."""
    if read_process_file(pid, "cmdline").startswith(WORKER_TITLE):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _servers() -> dict[str, int]:
    """Ray's servers that this process has started: name -> process id; none where it has joined a cluster."""
    servers = {}
    for children in Path("/proc/self/task").glob("*/children"):
        for text in children.read_text().split():
            pid = int(text)
            name = read_process_file(pid, "comm").decode(errors="replace").strip()
            # An earlier Ray's server that was killed is still a child, as a zombie.
            if name in SERVERS and process_state(pid) not in (ZOMBIE, GONE):
                servers[name] = pid
    return servers


def _ray_is_gone(server: str) -> LanceletError:
    return LanceletError(
        f"Ray on this machine is gone (its {server} has died); every result so far is on disk: --resume goes on"
    )

"""Ray for the trainers: a small local pool that leaves nothing behind, or a running cluster; errors in one line.

A pool of ours listens on this machine only and asks for a token that no other process knows. A cluster that is
joined listens where its owner said, and gets the user's own token.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...errors import LanceletError, warn
from ..runs import interrupt
from . import import_paths, ray_token
from .ray_folders import session_folder
from .stopped_workers import POOL

PROBE_SECONDS = 22
"""after which a cluster that does not answer is given up"""
WORKER_SECONDS = 50
"""after which a pool whose workers do not come up is given up"""
OBJECT_STORE = 150 * 2**20
"""bytes of a local pool's shared memory"""
LOOPBACK = "127.0.0.1"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MUJOCO_GL": "disable"}
"""of every worker: more threads a process are slower beside physics, and workers never draw"""
_PROBE = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR'); ray.shutdown()"
_PROBE_TRIES = 3
"""that Ray makes to reach a head, 1 s apart; of itself it makes 20, and as many where it has no token"""
_REFUSED = "InvalidAuthToken"
"""what a head says to one that does not have its token"""


@contextlib.contextmanager
def connected(cpus: int, address: str | None = None) -> Iterator[Any]:
    """Ray with `cpus` slots on this machine, or the cluster at ``host:port``; yields the module.

    Inside another `connected`, or where the caller has called ``ray.init``, the pool that is there is used and kept.
    SIGTERM is as Ctrl-C inside, unless the caller handles it.

    Raises:
        LanceletError: the address does not answer within 30 s, or wants another token, or Ray does not start, or
            its workers do not come up within 60 s.
    """
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        yield sys.modules["ray"]
        return
    pool = _local(cpus) if address is None else _joined(address)
    with interrupt.sigterm_as_ctrl_c(), pool as ray:
        yield ray


@contextlib.contextmanager
def _local(cpus: int) -> Iterator[Any]:
    """A pool on this machine: on loopback, with a token of its own, in a folder that goes with it."""
    token = ray_token.new_token()
    # No workers ahead of the first call: `ray.init` would wait for them for ever where they die at their start.
    with session_folder() as folder:
        settings = {
            "num_cpus": cpus,
            "object_store_memory": OBJECT_STORE,
            "include_dashboard": False,
            # One below, since Ray opens the folder that it is given to all users.
            "_temp_dir": str(folder / "r"),
            "_node_ip_address": LOOPBACK,
            "_system_config": {"prestart_worker_first_driver": False},
        }
        # "local": never a cluster of somebody else's that happens to run on this machine.
        with _loopback_kept(), _initialised("local", token.variables, settings, folder) as ray:
            yield ray


@contextlib.contextmanager
def _joined(address: str) -> Iterator[Any]:
    """The cluster at an address, which may want a token."""
    check_address(address)
    variables = _admission(address)
    with _initialised(address, variables, {}, None) as ray:
        yield ray


@contextlib.contextmanager
def _loopback_kept() -> Iterator[None]:
    """Ray leaves 127.0.0.1 as it is; else it listens on an address that other machines reach, even if told this one.

    The constant says whether Ray may form clusters of many machines; off, it does what it does on macOS.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextlib.contextmanager
def _initialised(
    address: str, variables: Mapping[str, str], settings: dict[str, Any], folder: Path | None
) -> Iterator[Any]:
    """Ray started or joined, once one of its workers has answered; `folder` holds its logs, where they are here."""
    import ray

    place = "this machine" if folder is not None else address
    try:
        with ray_token.used(variables):
            _init(ray, address, place, settings)
        _await_worker(ray, place, folder)
        yield ray
    finally:
        ray.shutdown()
        ray_token.forget()


def _init(ray: Any, address: str, place: str, settings: dict[str, Any]) -> None:
    paths = import_paths.own_paths()
    runtime_env = {
        "env_vars": {**ONE_THREAD, POOL: uuid.uuid4().hex},
        "worker_process_setup_hook": import_paths.at_the_end(paths),
    }
    with _handlers_kept():
        try:
            ray.init(
                address=address,
                job_config=_job_config(),
                runtime_env=runtime_env,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **settings,
            )
        except SystemExit as error:
            raise LanceletError(
                f"Ray does not start ({place}): it was told to stop (SIGTERM)"
            ) from error
        except (
            Exception
        ) as error:  # of a node that does not start in time, Ray raises no narrower class
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise LanceletError(f"Ray does not start ({place}): {reason}") from error


def _job_config() -> Any:
    """A job whose workers look for modules where our own hook says, and nowhere before."""
    from ray.job_config import JobConfig

    class Job(JobConfig):
        def _runtime_env_has_working_dir(self) -> bool:
            # Else Ray puts the folder of the script and the present one in front of the workers' path.
            return True

    return Job()


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """Ray's C++ side takes SIGTERM for itself while it starts, and aborts the process when it comes."""
    before = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or before is None:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _await_worker(ray: Any, place: str, folder: Path | None) -> None:
    """Wait for one worker's answer; it takes no slot, so that a cluster that is at work answers too.

    The task is sent whole, and not by a name: it tells that a worker has started, not what it can import.
    """
    from ray.exceptions import RayError

    answer = ray.remote(num_cpus=0, max_retries=0)(lambda: None).remote()
    deadline = time.monotonic() + WORKER_SECONDS
    ready: list[Any] = []
    while not ready and time.monotonic() < deadline:
        ready, _ = ray.wait([answer], timeout=0.5)
        interrupt.check()
    if not ready:
        reason = _last_words(folder)
        raise LanceletError(
            f"Ray's workers ({place}) did not come up within {WORKER_SECONDS} s: {reason}"
        )
    try:
        ray.get(answer)
    except RayError as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise LanceletError(f"Ray's workers ({place}) do not come up: {reason}") from error


def _last_words(folder: Path | None) -> str:
    """The last line that a worker which did not come up has written, from the logs of a session."""
    if folder is None:
        return "its machines' logs may say why"
    logs = sorted(folder.glob("r/session_latest/logs/worker-*.err"), reverse=True)
    # Python's own words, of one that died before it had a log: the raylet's lines between them begin with a bracket.
    logs += folder.glob("r/session_latest/logs/raylet.err")
    for log in logs:
        lines = log.read_text(errors="replace").strip().splitlines()
        words = [line for line in lines if line.strip() and not line.startswith("[")]
        if words:
            return words[-1].strip()
    return "their logs say nothing"


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """No stderr inside: Ray's C++ side writes warnings there that no setting silences."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def check_address(address: str) -> None:
    """Refuse what is no address, and an address that takes no connection within 5 s."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise LanceletError(f"address = {address!r}: must be host:port of a Ray cluster's head")
    try:
        socket.create_connection((host, int(port)), 5).close()
    except OSError as error:
        raise LanceletError(
            f"address = {address!r} does not answer: {error}; is `ray start --head` running?"
        ) from error


def _admission(address: str) -> dict[str, str]:
    """Ray's variables for a process that joins the cluster: with the user's token where it wants one, and says so.

    A cluster that asks for none is not shown the token.
    """
    if _answers(address, ray_token.NO_TOKEN):
        warn(f"Ray cluster {address} asks for no token: whoever reaches it can run code there")
        return dict(ray_token.NO_TOKEN)
    token = ray_token.users_token()
    if token is None:
        where = f"variable {ray_token.TOKEN}, or file ~/{ray_token.DEFAULT_FILE} or that of {ray_token.TOKEN_PATH}"
        raise LanceletError(
            f"address = {address!r}: the Ray cluster wants a token, and there is none ({where})"
        )
    if not _answers(address, token.variables):
        raise LanceletError(
            f"address = {address!r}: the Ray cluster wants another token than that of {token.source}"
        )
    print(f"Ray cluster {address}: token of {token.source}", file=sys.stderr)
    return dict(token.variables)


def _answers(address: str, variables: Mapping[str, str]) -> bool:
    """Whether the cluster lets a process with these variables in.

    Tried in a process that can be given up: `ray.init` itself tries for minutes, deaf to signals.
    """
    environment = {name: value for name, value in os.environ.items() if name != ray_token.TOKEN}
    environment |= {"RAY_NUM_REDIS_GET_RETRIES": str(_PROBE_TRIES), **variables}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PROBE, address],
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise LanceletError(
            f"address = {address!r}: no Ray cluster answered within {PROBE_SECONDS} s"
        ) from None
    if done.returncode and _REFUSED in done.stderr:
        return False
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise LanceletError(
            f"address = {address!r}: no Ray cluster there, or not of this version: {reason}"
        )
    return True

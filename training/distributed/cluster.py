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
from types import ModuleType
from typing import Any

from ...errors import LanceletError, warn
from ...optional import extras
from ..runs import interrupt
from . import import_paths, ray_compat, ray_token
from .ray_folders import session_folder
from .stopped_workers import POOL

CONNECT_SECONDS = 5
"""s after which an address that takes no connection is given up"""
PROBE_SECONDS = 22
"""s after which a cluster that does not answer is given up"""
WORKER_SECONDS = 50
"""s after which a pool whose workers do not come up is given up"""
OBJECT_STORE = 150 * 2**20
"""bytes of a local pool's shared memory"""
LOOPBACK = "127.0.0.1"
"""the address that a local pool listens on: no other machine reaches it"""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MUJOCO_GL": "disable"}
"""environment of every worker: more threads a process are slower beside physics, and workers never draw"""
_PROBE = (
    "import sys, ray; "
    "ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR'); "
    "ray.shutdown()"
)
"""Python code that joins the cluster at an address, and leaves it"""
_PROBE_TRIES = 3
"""attempts of Ray to reach a head, 1 s apart; of itself it makes 20, and as many where it has no token"""
_REFUSED = "InvalidAuthToken"
"""what a head says to one that does not have its token"""
_STDERR = 2
"""number of the file that a process writes its errors to"""


@contextlib.contextmanager
def connected(cpus: int, address: str | None = None) -> Iterator[ModuleType]:
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
def _local(cpus: int) -> Iterator[ModuleType]:
    """A pool on this machine: on loopback, with a token of its own, in a folder that goes with it."""
    token = ray_token.new_token()
    with session_folder() as folder:
        # A folder below ours, since Ray opens the one that it is given to all users.
        settings = {
            "num_cpus": cpus,
            "object_store_memory": OBJECT_STORE,
            "include_dashboard": False,
            **ray_compat.private_settings(_rays_folder(folder), LOOPBACK),
        }
        # "local": never a cluster of somebody else's that happens to run on this machine.
        started = _initialised("local", token.variables, settings, folder)
        with ray_compat.address_kept(), started as ray:
            yield ray


def _rays_folder(session: Path) -> Path:
    """Where Ray writes; its name is short because the path of a socket in it may have 107 bytes."""
    return session / "r"


@contextlib.contextmanager
def _joined(address: str) -> Iterator[ModuleType]:
    """The cluster at an address, which may want a token."""
    check_address(address)
    variables = _admission(address)
    with _initialised(address, variables, {}, None) as ray:
        yield ray


@contextlib.contextmanager
def _initialised(
    address: str, variables: Mapping[str, str], settings: dict[str, Any], folder: Path | None
) -> Iterator[ModuleType]:
    """Ray started or joined, once one of its workers has answered.

    Args:
        address: ``host:port``, or ``local`` for a new pool.
        variables: of the environment that Ray reads its token from.
        settings: further arguments of `ray.init`.
        folder: the session's, which holds its logs; None: they are on other machines.
    """
    with extras():
        import ray

    place = "this machine" if folder is not None else address
    try:
        with ray_token.used(variables):
            _init(ray, address, place, settings)
        _await_worker(ray, place, folder)
        yield ray
    finally:
        ray.shutdown()
        # Whoever uses Ray next in this process is to begin with the user's token, not with ours.
        ray_token.forget()


def _init(ray: ModuleType, address: str, place: str, settings: dict[str, Any]) -> None:
    """Call `ray.init`; its errors become one line, which names the `place`."""
    # Workers must find the user's modules, but behind Python's own: left to itself, Ray puts the script's folder in
    # front, where a file called `random.py` kills every worker. So Ray is kept from it (`job_without_folders`), and
    # our hook appends the folders instead.
    add_paths = import_paths.at_the_end(import_paths.own_paths())
    # The mark by which `stopped_workers` tells the workers of this call from those of others.
    pool_mark = uuid.uuid4().hex
    runtime_env = {
        "env_vars": {**ONE_THREAD, POOL: pool_mark},
        "worker_process_setup_hook": add_paths,
    }
    # `ray.init` takes SIGTERM's handler away and does not give it back: `connected` needs its own.
    with _handlers_kept():
        try:
            ray.init(
                address=address,
                job_config=ray_compat.job_without_folders(),
                runtime_env=runtime_env,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **settings,
            )
        except SystemExit as error:
            raise LanceletError(
                f"Ray does not start ({place}): it was told to stop (SIGTERM)"
            ) from error
        # Where a node does not start in time, Ray raises no narrower class.
        except Exception as error:
            raise LanceletError(f"Ray does not start ({place}): {_first_line(error)}") from error


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """Put SIGTERM's handler back: Ray's C++ side takes it while it starts, and aborts the process when it comes."""
    before = signal.getsignal(signal.SIGTERM)
    # Python sets handlers in the main thread only; and one of C code, which it calls None, it cannot set again.
    if threading.current_thread() is not threading.main_thread() or before is None:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _await_worker(ray: ModuleType, place: str, folder: Path | None) -> None:
    """Wait for one worker's answer.

    Args:
        ray: the connected module.
        place: where it runs, for errors.
        folder: the session's; None: its logs are on other machines.

    Raises:
        LanceletError: none came within `WORKER_SECONDS`, or Ray gave the task up.
    """
    from ray.exceptions import RayError

    # The task takes no slot, so that a cluster that is at work answers too. It is sent whole, and not by a name: it
    # tells that a worker has started, not what it can import.
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
        reason = _first_line(error)
        raise LanceletError(f"Ray's workers ({place}) do not come up: {reason}") from error


def _first_line(error: BaseException) -> str:
    """The first line of an error's message, or the name of its class where it has none."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0]


def _last_words(folder: Path | None) -> str:
    """The last line that a worker which did not come up has written, from the logs of a session."""
    if folder is None:
        return "its machines' logs may say why"
    logs_folder = _rays_folder(folder) / "session_latest" / "logs"
    logs = sorted(logs_folder.glob("worker-*.err"), reverse=True)
    # A worker that died before it had a log: Python's words about it are in the raylet's.
    logs += logs_folder.glob("raylet.err")
    for log in logs:
        lines = log.read_text(errors="replace").strip().splitlines()
        # Lines of the raylet's own begin with a bracket.
        words = [line for line in lines if line.strip() and not line.startswith("[")]
        if words:
            return words[-1].strip()
    return "their logs say nothing"


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """No stderr inside: Ray's C++ side writes warnings there that no setting silences."""
    sys.stderr.flush()
    own_stderr = os.dup(_STDERR)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, _STDERR)
        yield
    finally:
        os.dup2(own_stderr, _STDERR)
        os.close(own_stderr)
        os.close(nowhere)


def check_address(address: str) -> None:
    """Refuse what is no address of a cluster.

    Raises:
        LanceletError: it is not ``host:port``, or takes no connection within `CONNECT_SECONDS`.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise LanceletError(f"address = {address!r}: must be host:port of a Ray cluster's head")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise LanceletError(
            f"address = {address!r} does not answer: {error}; is `ray start --head` running?"
        ) from error


def _admission(address: str) -> dict[str, str]:
    """Ray's variables for a process that joins the cluster: with the user's token where it wants one, and says so.

    Raises:
        LanceletError: the cluster does not answer, or wants a token that the user has not.
    """
    # Tried without a token first: a cluster that asks for none is not shown it.
    if _lets_in(address, ray_token.NO_TOKEN):
        warn(f"Ray cluster {address} asks for no token: whoever reaches it can run code there")
        return dict(ray_token.NO_TOKEN)
    token = ray_token.users_token()
    if token is None:
        places = (
            f"variable {ray_token.TOKEN}, or file ~/{ray_token.DEFAULT_FILE} "
            f"or that of {ray_token.TOKEN_PATH}"
        )
        raise LanceletError(
            f"address = {address!r}: the Ray cluster wants a token, and there is none ({places})"
        )
    if not _lets_in(address, token.variables):
        raise LanceletError(
            f"address = {address!r}: the Ray cluster wants another token than that of {token.source}"
        )
    print(f"Ray cluster {address}: token of {token.source}", file=sys.stderr)
    return dict(token.variables)


def _lets_in(address: str, variables: Mapping[str, str]) -> bool:
    """Whether the cluster lets a process with these variables in.

    Raises:
        LanceletError: no cluster answers there, or one of another version of Ray.
    """
    environment = {name: value for name, value in os.environ.items() if name != ray_token.TOKEN}
    environment |= {"RAY_NUM_REDIS_GET_RETRIES": str(_PROBE_TRIES), **variables}
    try:
        # In a process that can be given up: `ray.init` itself tries for minutes, deaf to signals.
        probe = subprocess.run(
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
    if probe.returncode == 0:
        return True
    if _REFUSED in probe.stderr:
        return False
    lines = probe.stderr.strip().splitlines() or ["no reason given"]
    raise LanceletError(
        f"address = {address!r}: no Ray cluster there, or not of this version: {lines[-1]}"
    )

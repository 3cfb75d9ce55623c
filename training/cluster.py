"""Ray for the trainers: a small local pool that leaves nothing behind, or a running cluster; errors in one line."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from ..errors import LanceletError

TIMEOUT = 22
"""seconds after which a cluster that does not answer is given up"""
_PROBE = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR'); ray.shutdown()"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MUJOCO_GL": "disable"}
"""of every worker: more threads a process are slower beside physics, and workers never draw"""


@contextlib.contextmanager
def connected(cpus: int, address: str | None = None) -> Iterator[Any]:
    """Ray with `cpus` slots on this machine, or the cluster at ``host:port``; yields the module.

    Inside another `connected`, or where the caller has called ``ray.init``, the pool that is there is used and kept.

    Raises:
        LanceletError: the address does not answer within 30 s, or Ray does not start.
    """
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        yield sys.modules["ray"]
        return
    if address is None:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # else a local start writes a token to the home folder
    else:
        check_address(address)
        _answers(address)
    import ray

    home = tempfile.mkdtemp(prefix="lr", dir="/tmp" if os.path.isdir("/tmp") else None)  # socket paths are short
    try:
        _start(ray, cpus, address, home)
        yield ray
    finally:
        ray.shutdown()
        for _ in range(20):  # sessions are never cleaned by Ray itself, whose last processes may be writing yet
            shutil.rmtree(home, ignore_errors=True)
            if not os.path.exists(home):
                break
            time.sleep(0.1)


def _start(ray: Any, cpus: int, address: str | None, home: str) -> None:
    settings: dict[str, Any] = {
        "runtime_env": {"env_vars": {**ONE_THREAD, "PYTHONPATH": _own_path()}},
        "log_to_driver": False,
        "logging_level": logging.ERROR,
    }
    if address is None:  # "local": never a cluster of somebody else's that happens to run on this machine
        settings |= {"num_cpus": cpus, "object_store_memory": 150 * 2**20, "_temp_dir": home}
        settings |= {"include_dashboard": False}
    try:
        ray.init(address=address or "local", **settings)
    except (ConnectionError, RuntimeError, ValueError, SystemExit) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise LanceletError(f"Ray does not start ({address or 'this machine'}): {reason}") from error


def _own_path() -> str:
    """Where this process finds modules beside Python's own: Ray sends them by name, and tells workers nothing."""
    paths = [os.path.abspath(path) for path in sys.path]  # "": the present folder
    own = [path for path in paths if not path.startswith((sys.prefix, sys.base_prefix))]
    return os.pathsep.join(dict.fromkeys(own))


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


def parallel(function: Callable[..., Any], items: Iterable[Any], workers: int = 2) -> Iterator[Any]:
    """``function(item)`` of every item in processes side by side, one torch thread each; results in order.

    Args:
        function: of a module (workers import it).
        items: arguments, one a call; anything that Ray can send.
        workers: processes.
    """
    with connected(workers) as ray:
        task = ray.remote(num_cpus=1, max_retries=0)(_alone)
        refs = [task.remote(function, item) for item in items]
        for ref in refs:
            yield ray.get(ref)


def _alone(function: Callable[..., Any], item: Any) -> Any:
    torch.set_num_threads(1)
    return function(item)


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


def _answers(address: str) -> None:
    """Try the cluster from a process that can be given up: `ray.init` itself tries for minutes, deaf to signals."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, address], capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise LanceletError(f"address = {address!r}: no Ray cluster answered within {TIMEOUT} s") from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise LanceletError(f"address = {address!r}: no Ray cluster there, or not of this version: {reason}")

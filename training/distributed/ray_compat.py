"""Private parts of Ray and of its RLlib that the workbench cannot do without, each in one function.

Ray promises nothing about these names, so that its version is pinned to 2.60 in `pyproject.toml`. Whoever raises it
reads this file. Nothing here imports Ray before it is called: that takes a second, and RLlib takes several.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...optional import extras

if TYPE_CHECKING:
    from ray.job_config import JobConfig


def private_settings(folder: Path, address: str) -> dict[str, Any]:
    """Arguments of `ray.init` that begin with an underscore, for a Ray of our own on this machine.

    Args:
        folder: for everything that Ray writes.
        address: that its servers listen on; see `address_kept`.
    """
    return {
        "_temp_dir": str(folder),
        "_node_ip_address": address,
        # No workers ahead of the first call: `ray.init` would wait for them for ever where they die at their start.
        "_system_config": {"prestart_worker_first_driver": False},
    }


@contextlib.contextmanager
def address_kept() -> Iterator[None]:
    """Inside, Ray listens on 127.0.0.1 where it is told to.

    Elsewhere it puts the address in the place of that one by which other machines reach this one. The constant says
    whether Ray may form clusters of many machines; without them, as on macOS, it leaves the address as it is.
    """
    with extras():
        from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def job_without_folders() -> JobConfig:
    """The settings of a job whose workers look for modules where our own hook says, and nowhere before.

    Otherwise Ray puts the folder of the script and the present one in front of its workers' path.
    """
    from ray.job_config import JobConfig

    class Job(JobConfig):
        def _runtime_env_has_working_dir(self) -> bool:
            # Ray adds no folders for a job that says it has brought one of its own.
            return True

    return Job()


def load_token() -> None:
    """Let Ray in this process read its token now; otherwise it does when it first needs one."""
    _token_loader().has_token(ignore_auth_mode=True)


def forget_token() -> None:
    """Let Ray in this process read its mode of authentication again now, and its token when it needs one."""
    from ray._raylet import Config  # pyright: ignore[reportAttributeAccessIssue] - compiled

    Config.initialize("")
    _token_loader().reset_cache()


def _token_loader() -> Any:
    from ray._raylet import AuthenticationTokenLoader  # pyright: ignore[reportAttributeAccessIssue] - compiled

    return AuthenticationTokenLoader.instance()


class KeyValueStore:
    """Ray's key-value store, which the driver and all workers of a cluster share; names and values are texts."""

    def __init__(self) -> None:
        from ray.experimental import internal_kv

        self._store = internal_kv

    def put(self, name: str, value: str) -> None:
        """Keep a value under a name."""
        self._store._internal_kv_put(name, value)

    def get(self, name: str) -> str | None:
        """The value under a name; None: there is none."""
        value = self._store._internal_kv_get(name)
        return None if value is None else value.decode()

    def names(self, prefix: str) -> set[str]:
        """The names that begin with `prefix`."""
        return {name.decode() for name in self._store._internal_kv_list(prefix)}

    def delete(self, name: str) -> None:
        """Drop a name and its value, where there is one."""
        self._store._internal_kv_del(name, del_by_prefix=False)

    def delete_all(self, prefix: str) -> None:
        """Drop all names that begin with `prefix`."""
        self._store._internal_kv_del(prefix, del_by_prefix=True)


@functools.cache
def key_value_store() -> KeyValueStore:
    """The store of the Ray that this process is connected to."""
    return KeyValueStore()


class TemporaryLogFolder:
    """To be put in front of a class of RLlib's algorithms: its log folder goes when the algorithm stops.

    RLlib's own log folder lies in the home folder and stays.
    """

    def _setup_logdir(self) -> None:
        self._logdir = tempfile.mkdtemp(prefix="lancelet")

    def cleanup(self) -> None:
        """Stop the env runners and delete the log folder."""
        super().cleanup()  # pyright: ignore[reportAttributeAccessIssue] - of the algorithm behind it
        shutil.rmtree(self._logdir, ignore_errors=True)


def append_to_pipeline(learner: Any, piece: Any) -> None:
    """Make `piece` the last connector that an RLlib learner sends its batches through; changes `learner`."""
    pipeline = learner._learner_connector
    assert pipeline is not None, "the learner has been built"
    pipeline.append(piece)


def set_reset_seeds(env_runner: Any, seeds: list[int]) -> None:
    """Set the seeds that an RLlib env runner gives its vector environment at the first reset, one a simulation."""
    env_runner._seed = seeds


def learner_of(algorithm: Any) -> Any:
    """The learner of an RLlib algorithm that learns in this process (``num_learners=0``)."""
    return algorithm.learner_group._learner


def trials_of(results: Any) -> list[Any]:
    """The trials behind the results of a Ray Tune search; its public results do not tell one that was cut off."""
    return results._experiment_analysis.trials

"""The only place that touches private or process-wide parts of MuJoCo and Gymnasium.

A new version of either library is checked against this file first.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import mujoco

SET_CONST: frozenset[str] = frozenset(
    mujoco.MjModel._setconst_inputs  # pyright: ignore[reportAttributeAccessIssue]
)
"""model fields from which `mj_setConst` derives others: a private name of mujoco 3.17, watched by a test"""


# -- MuJoCo: warnings -------------------------------------------------------------------------------------------------


class _Quiet:
    """Keeps MuJoCo's warnings off stderr and out of ``MUJOCO_LOG.TXT`` inside a ``with quiet:`` block.

    MuJoCo has one warning handler for the whole process. It is replaced when the first block begins, in any thread,
    and put back when the last one ends, so that the handler of the user's own simulations stays theirs. Blocks may
    be nested, and may overlap in several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open_blocks = 0
        self._users_handler: Callable[[str], None] | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._open_blocks == 0:
                self._users_handler = mujoco.get_mju_user_warning()
                mujoco.set_mju_user_warning(_ignore)
            self._open_blocks += 1

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._open_blocks -= 1
            if self._open_blocks == 0:
                mujoco.set_mju_user_warning(self._users_handler)

    def after_fork(self) -> None:
        """Close the blocks that threads of the parent had open: those threads do not exist in a forked process."""
        self._lock = threading.Lock()
        if self._open_blocks > 0:
            self._open_blocks = 0
            mujoco.set_mju_user_warning(self._users_handler)


def _ignore(_message: str) -> None:
    """The warning handler inside `quiet`: `Simulation.diverged` and `Simulation.reason` report what went wrong."""


quiet = _Quiet()
"""``with quiet:`` around every call of ours that computes physics"""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=quiet.after_fork)


# -- Gymnasium: RecordEpisodeStatistics -------------------------------------------------------------------------------


def statistics_are_recorded(env: gym.vector.VectorEnv) -> bool:
    """Whether Gymnasium's ``vector.RecordEpisodeStatistics`` around `env` is calling, to fill ``info["episode"]``.

    It raises an error where ``episode`` is filled already, and an environment is not told what it is wrapped in.
    So the callers on the stack are looked through, at the end of episodes only.
    """
    wrappers = sys.modules.get("gymnasium.wrappers.vector")
    wrapper = getattr(wrappers, "RecordEpisodeStatistics", None)
    if wrapper is None:
        return False
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code is wrapper.step.__code__:
            caller = frame.f_locals["self"]
            # Gymnasium 1.2 has no `_stats_key`: it always fills "episode".
            key = getattr(caller, "_stats_key", "episode")
            if caller.unwrapped is env and key == "episode":
                return True
        frame = frame.f_back
    return False


class RecordedInfo(dict[str, Any]):
    """Info of an episode's end that ``vector.RecordEpisodeStatistics`` is about to complete.

    The wrapper's ``episode`` keeps its time but takes our return and length: the wrapper of Gymnasium 1.2 leaves out
    the first step of every episode but the first in SAME_STEP.

    Args:
        info: what the step returns, without ``episode``.
        statistics: our own ``episode``: ``r`` return, ``l`` length, and their masks.
    """

    def __init__(self, info: Mapping[str, Any], statistics: Mapping[str, Any]) -> None:
        super().__init__(info)
        self._statistics = statistics

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "episode":
            value = {**value, **self._statistics}
        super().__setitem__(name, value)

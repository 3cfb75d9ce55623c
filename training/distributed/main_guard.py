"""A script without a main guard: every spawned worker imports it, and would begin its run again.

`multiprocessing` and its spawned workers import the script that their driver runs. Where that script starts its run
at the top level, the run would start in each worker, which would start workers in its turn.
"""

from __future__ import annotations

import multiprocessing
import os

from ...errors import LanceletError

EXIT_STATUS = 77
"""exit status of a worker that was about to begin the run again"""
WORKER_MARK = "LANCELET_WORKER"
"""environment variable of the processes that a `Local` pool starts"""
NO_GUARD = (
    "the script starts its run again in every worker that imports it: "
    'put what it runs under `if __name__ == "__main__":`'
)


def refuse_without_guard() -> None:
    """Refuse to begin a run in a process that only imports the script of its driver, as a spawned worker does.

    Raises:
        LanceletError: this process is such a one, and was started by the user's own `multiprocessing`.
        SystemExit: it is a worker of a `Local` pool. It ends with `EXIT_STATUS`, and its driver says the sentence once.
    """
    # `multiprocessing` sets this attribute while a spawned process imports the script, and deletes it afterwards.
    imports_script = getattr(multiprocessing.current_process(), "_inheriting", False)
    if not imports_script:
        return
    if WORKER_MARK in os.environ:
        raise SystemExit(EXIT_STATUS)
    raise LanceletError(NO_GUARD)

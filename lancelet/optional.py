"""Packages that an installation may lack: the extra that brings each, and the line that says so.

``pip install lancelet`` brings what tasks, controllers, `play` and `evaluate` need. Everything else comes with an extra
of `pyproject.toml`: ``pip install 'lancelet[rl]'``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator

from .errors import LanceletError

EXTRA_OF = {
    "stable_baselines3": "rl",
    "ray": "cluster",
    "evotorch": "evolution",
    "ribs": "evolution",
    "nir": "spiking",
    "h5py": "spiking",
    "sklearn": "emg",
    "matplotlib": "training",
    "tensorboard": "training",
    "imageio_ffmpeg": "training",
    "dm_control": "studies",
}
"""name of an importable package -> the smallest extra that installs it"""

WITHOUT_DM_CONTROL = (3, 13)
"""Python version from which dm-control cannot be installed: labmaze, which it requires, has no wheel there."""
NO_DM_CONTROL = (
    "dm-control is not installed: labmaze, which it requires, has no wheel for Python 3.13; "
    "Python 3.11 and 3.12 have it"
)


class MissingExtra(LanceletError):
    """A package is not installed that one of the extras brings."""


def missing_extra(error: ImportError) -> MissingExtra | None:
    """The line to show in place of an error of an import; None where no extra would mend it."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    package = error.name.partition(".")[0]
    if package not in EXTRA_OF:
        return None
    return MissingExtra(
        f"{package} is not installed: pip install 'lancelet[{EXTRA_OF[package]}]' brings it"
    )


@contextlib.contextmanager
def extras() -> Iterator[None]:
    """Import optional packages inside this block: where one is missing, the error names its extra.

    ::

        with extras():
            import h5py

    Raises:
        MissingExtra: in place of `ModuleNotFoundError` for a package of `EXTRA_OF`.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = missing_extra(error)
        if missing is None:
            raise
        raise missing from error


def expects_dm_control() -> bool:
    """Whether the extra `studies` installs dm-control under this version of Python."""
    return sys.version_info < WITHOUT_DM_CONTROL


def why_no_dm_control() -> str | None:
    """Why comparisons with dm_control's swimmer cannot run here, in one line; None: they can."""
    if importlib.util.find_spec("dm_control") is not None:
        return None
    if expects_dm_control():
        return "dm-control is not installed: pip install 'lancelet[studies]', or run `make setup`"
    return NO_DM_CONTROL

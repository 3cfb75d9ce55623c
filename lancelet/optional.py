"""Packages that some machines lack, and the line that says why."""

from __future__ import annotations

import importlib.util
import sys

WITHOUT_DM_CONTROL = (3, 13)
"""Python version from which dm-control cannot be installed: labmaze, which it requires, has no wheel there."""
NO_DM_CONTROL = (
    "dm-control is not installed: labmaze, which it requires, has no wheel for Python 3.13; "
    "Python 3.11 and 3.12 have it"
)


def expects_dm_control() -> bool:
    """Whether `make setup` installs dm-control under this version of Python."""
    return sys.version_info < WITHOUT_DM_CONTROL


def why_no_dm_control() -> str | None:
    """Why what compares with dm_control's swimmer cannot run here, in one line; None: it can."""
    if importlib.util.find_spec("dm_control") is not None:
        return None
    if expects_dm_control():
        return "dm-control is not installed: run `make setup`"
    return NO_DM_CONTROL

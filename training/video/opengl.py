"""Which OpenGL works here, found by drawing one frame in a child process: a missing library kills `import mujoco`."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

INSTALL = {
    "egl": "apt-get install -y libegl1 libgl1-mesa-dri",
    "osmesa": "apt-get install -y libosmesa6",
    "glfw": "needs a display",
}
"""backend -> how to come by it"""
DRAWING_TIMEOUT = 60
"""s that a child process may take to draw one frame"""
_OF_OTHER_PLATFORMS = {"darwin": ("cgl",), "win32": ("wgl",)}
"""platform -> backends worth a try"""
_OF_LINUX = ("egl", "osmesa")
"""backends worth a try everywhere else; the one on a graphics card first"""
_OFF = ("", "disable", "disabled", "off", "0", "false")
"""values of MUJOCO_GL that name no backend"""
_DRAW = """
import mujoco
model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><geom size=".1"/></worldbody></mujoco>')
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = mujoco.Renderer(model, 32, 32)
renderer.update_scene(data)
has_colour = renderer.render().any()
renderer.close()
print("ok" if has_colour else "black")
"""
"""program that draws a ball and prints "ok"; some drivers draw without an error, and all is black"""


def candidates() -> list[str]:
    """Backends worth a try, the user's own MUJOCO_GL first (LANCELET_GL: where a command moved it to)."""
    own = (os.environ.get("LANCELET_GL") or os.environ.get("MUJOCO_GL", "")).lower()
    usual = _OF_OTHER_PLATFORMS.get(sys.platform, _OF_LINUX)
    if own in _OFF:
        return list(usual)
    others = [backend for backend in usual if backend != own]
    return [own, *others]


def environment(backend: str) -> dict[str, str]:
    """The environment variables of a child process that is to draw with `backend`."""
    variables = dict(os.environ)
    # It would decide against MUJOCO_GL.
    variables.pop("PYOPENGL_PLATFORM", None)
    variables["MUJOCO_GL"] = backend
    return variables


@functools.cache
def why_not(backend: str, timeout: float = DRAWING_TIMEOUT) -> str | None:
    """Why a backend draws no picture here, in one line; None: it draws.

    Args:
        backend: value of MUJOCO_GL.
        timeout: s that the child process may take.
    """
    # -P: a file in the present folder must not stand in for a module.
    command = [sys.executable, "-P", "-c", _DRAW]
    try:
        child = subprocess.run(
            command,
            env=environment(backend),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return f"no picture within {timeout:g} s"
    if child.returncode == 0 and "ok" in child.stdout:
        return None
    error_lines = child.stderr.strip().splitlines()
    if error_lines:
        return error_lines[-1]
    return f"ended with status {child.returncode}, {child.stdout.strip()}"


def probe() -> str | None:
    """The first backend that draws; None where none does."""
    for backend in candidates():
        if why_not(backend) is None:
            return backend
    return None


def reasons() -> dict[str, str]:
    """Backend -> why it does not draw, for those that do not."""
    reason_of = {}
    for backend in candidates():
        reason = why_not(backend)
        if reason is not None:
            reason_of[backend] = reason
    return reason_of


def advice() -> str:
    """What to install so that pictures work, in one line."""
    return (
        f"no OpenGL for pictures here: {INSTALL['egl']} (or {INSTALL['osmesa']}); "
        "`lancelet doctor` shows more"
    )

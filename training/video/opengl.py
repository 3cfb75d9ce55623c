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
_BY_PLATFORM = {"darwin": ("cgl",), "win32": ("wgl",)}
_DRAW = (
    "import mujoco as j;"
    "m=j.MjModel.from_xml_string('<mujoco><worldbody><geom size=\".1\"/></worldbody></mujoco>');d=j.MjData(m);"
    "j.mj_forward(m,d);r=j.Renderer(m,32,32);r.update_scene(d);ok=r.render().any();r.close();"
    "print('ok' if ok else 'black')"
)


def candidates() -> list[str]:
    """Backends worth a try, the user's own MUJOCO_GL first (LANCELET_GL: where a command moved it to)."""
    own = (os.environ.get("LANCELET_GL") or os.environ.get("MUJOCO_GL", "")).lower()
    names = [own] if own not in ("", "disable", "disabled", "off", "0", "false") else []
    return list(dict.fromkeys([*names, *_BY_PLATFORM.get(sys.platform, ("egl", "osmesa"))]))


def environment(backend: str) -> dict[str, str]:
    """The environment variables of a child process that is to draw with `backend`."""
    return {key: value for key, value in os.environ.items() if key != "PYOPENGL_PLATFORM"} | {
        "MUJOCO_GL": backend
    }


@functools.cache
def why_not(backend: str, timeout: float = 60) -> str | None:
    """None where `backend` draws a picture, else the reason in one line."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _DRAW],  # -P: no module of the present folder
            env=environment(backend),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return f"no picture within {timeout:g} s"
    if done.returncode == 0 and "ok" in done.stdout:
        return None
    return (
        done.stderr.strip().splitlines()
        or [f"ended with status {done.returncode}, {done.stdout.strip()}"]
    )[-1]


def probe() -> str | None:
    """The first backend that draws, or None."""
    return next((backend for backend in candidates() if why_not(backend) is None), None)


def reasons() -> dict[str, str]:
    """Backend -> why it does not draw, for those that do not."""
    found = {backend: why_not(backend) for backend in candidates()}
    return {backend: reason for backend, reason in found.items() if reason is not None}


def advice() -> str:
    """What to install so that pictures work, in one line."""
    return f"no OpenGL for pictures here: {INSTALL['egl']} (or {INSTALL['osmesa']}); `lancelet doctor` shows more"

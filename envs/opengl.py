"""OpenGL of this process: one context, in one thread of its own, for every painter.

MuJoCo frees the OpenGL objects of a renderer by their numbers, in whatever context is current in the calling thread.
Where each renderer has a context of its own, closing one (or its collection as garbage) therefore wipes out textures
of another. Here a number means one object, because there is one context; and only one thread ever touches it, so that
pictures can be asked for, and painters dropped, in every thread.
"""

from __future__ import annotations

import atexit
import os
import queue
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import mujoco
import numpy as np

from ..errors import LanceletError

FORKED = (
    "this process was forked from one that had opened OpenGL, which does not survive a fork: "
    "start it by multiprocessing's 'spawn' method, or draw the first picture after the fork"
)
"""the error of a forked process that asks for a picture"""

Job = Callable[[], Any]
"""something to be done in the thread of the context"""


class Canvas:
    """The frame buffer that pictures of one model are drawn into, with the model's meshes and textures.

    Args:
        model: the model; its visual settings (size of the offscreen buffer, multisampling) are read here, once.
        width: width of the pictures, pixels; at most the model's ``vis.global_.offwidth``.
        height: height of the pictures, pixels; at most the model's ``vis.global_.offheight``.

    Raises:
        LanceletError: this process cannot open OpenGL, or it was forked from one that had opened it.
    """

    def __init__(self, model: mujoco.MjModel, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._drawer = _the_drawer()
        drawer = self._drawer
        try:
            self._context = drawer.call(lambda: drawer.open_canvas(model, width, height))
        except LanceletError:
            raise
        except Exception as error:
            reason = str(error).partition("\n")[0]
            raise LanceletError(
                "no OpenGL in this process: start Python with MUJOCO_GL=egl (or osmesa) set, "
                f"`lancelet doctor` shows which works ({type(error).__name__}: {reason})"
            ) from error
        context = self._context
        # Runs once: at `close`, or when the canvas is collected, which may happen in any thread.
        self._free = weakref.finalize(self, drawer.post, lambda: drawer.free_canvas(context))
        # At exit the drawer frees every canvas that is left, before the context goes.
        self._free.atexit = False

    def draw(self, scene: mujoco.MjvScene) -> np.ndarray:
        """RGB picture (height, width, 3) of a scene, uint8.

        Raises:
            LanceletError: the canvas was closed, or belongs to the process that this one was forked from.
        """
        if not self._free.alive:
            raise LanceletError("this painter is closed: make another one")
        return self._drawer.call(lambda: self._draw(scene))

    def _draw(self, scene: mujoco.MjvScene) -> np.ndarray:
        """What `draw` returns. Runs in the thread of the context."""
        picture = np.empty((self.height, self.width, 3), np.uint8)
        rectangle = mujoco.MjrRect(0, 0, self.width, self.height)
        # Another canvas may have been drawn to since.
        mujoco.mjr_restoreBuffer(self._context)
        mujoco.mjr_render(rectangle, scene, self._context)
        mujoco.mjr_readPixels(picture, None, rectangle, self._context)
        # OpenGL counts rows from below.
        return np.flipud(picture).copy()

    def close(self) -> None:
        """Free the frame buffer, meshes and textures; a second time does nothing."""
        self._free()


class _Drawer(threading.Thread):
    """The thread that owns the context and does one job after the other; it dies with the process."""

    def __init__(self) -> None:
        super().__init__(name="lancelet-opengl", daemon=True)
        # `put` of this queue may be called by the garbage collector in the middle of another `put`.
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Job]] = queue.SimpleQueue()
        self._gl: Any = None
        """MuJoCo's `GLContext`; None until the first canvas"""
        self._contexts: set[mujoco.MjrContext] = set()
        """the OpenGL sides of all canvases that are open"""
        self._ended = False
        """True once everything is freed: no job is done any more"""

    def run(self) -> None:
        """Do jobs until `end`."""
        while not self._ended:
            self._do_next()

    def _do_next(self) -> None:
        """Wait for the next job, and do it."""
        # In a method of its own, so that the thread holds no result or error while it waits for the next job.
        future, job = self._jobs.get()
        try:
            future.set_result(job())
        except BaseException as error:
            future.set_exception(error)

    def post(self, job: Job) -> Future[Any]:
        """Have `job` done after all that was asked before; does not wait, and takes no lock of ours."""
        future: Future[Any] = Future()
        self._jobs.put((future, job))
        return future

    def call(self, job: Job) -> Any:
        """What `job` returns or raises, done in the thread of the context.

        Raises:
            LanceletError: the thread is gone, after a fork or because Python ends.
        """
        if not self.is_alive():
            if _inherited:
                raise LanceletError(FORKED)
            raise LanceletError("Python is ending: nothing can be drawn any more")
        return self.post(job).result()

    def open_canvas(self, model: mujoco.MjModel, width: int, height: int) -> mujoco.MjrContext:
        """Open the OpenGL side of one canvas; the first call opens OpenGL itself. Runs in the thread.

        Args:
            model: the model whose meshes and textures are loaded. Its ``vis.global_.offwidth`` and ``offheight`` are
                the size of the canvas's frame buffer.
            width: width of the window that OpenGL is opened with, pixels. It is read at the first call alone, and no
                picture depends on it: canvases are drawn into frame buffers of their own.
            height: height of that window, pixels.
        """
        if self._gl is None:
            self._open_gl(width, height)
        context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_150.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, context)
        self._contexts.add(context)
        return context

    def _open_gl(self, width: int, height: int) -> None:
        """Open the one OpenGL context of this process, and have it closed at exit. Runs in the thread."""
        gl = mujoco.GLContext(width, height)  # pyright: ignore[reportAttributeAccessIssue]
        # A context is current in the thread that calls this, and stays so: it is the only context and the only thread.
        gl.make_current()
        self._gl = gl
        # Python runs these handlers last to first. `GLContext` has just registered the one that closes its display:
        # registered after it, ours runs before it, while canvases can still be freed.
        atexit.register(self.end)

    def free_canvas(self, context: mujoco.MjrContext) -> None:
        """Free the OpenGL side of one canvas. Runs in the thread."""
        context.free()
        self._contexts.discard(context)

    def end(self) -> None:
        """Free everything, stop, and wait until that is done.

        Left to the interpreter, the order would be arbitrary, and MuJoCo would complain.
        """
        if self.is_alive():
            self.post(self._end)
            self.join()

    def _end(self) -> None:
        """Free every canvas that is left, then the context. Runs in the thread."""
        for context in self._contexts:
            context.free()
        self._contexts.clear()
        self._gl.free()
        self._ended = True


_drawer: _Drawer | None = None
"""the drawer of this process; None until the first picture"""
_drawer_lock = threading.Lock()
_inherited = False
"""True in a process that was forked from one that had opened OpenGL"""


def _the_drawer() -> _Drawer:
    """The drawer of this process, started at the first call."""
    global _drawer
    if _inherited:
        raise LanceletError(FORKED)
    with _drawer_lock:
        if _drawer is None:
            _drawer = _Drawer()
            _drawer.start()
        return _drawer


def _after_fork() -> None:
    """In a forked process: leave alone what was inherited, whose threads exist in the parent only."""
    global _drawer_lock, _inherited
    # A new one: another thread of the parent may have held it.
    _drawer_lock = threading.Lock()
    egl = sys.modules.get("mujoco.egl")
    # A display that a renderer of MuJoCo's own has opened is inherited in the same way.
    display_is_open = egl is not None and egl.EGL_DISPLAY is not None
    _inherited = _inherited or _drawer is not None or display_is_open
    if egl is not None and display_is_open:
        # It would wait at the child's exit for ever, for threads that draw.
        atexit.unregister(egl.EGL.eglTerminate)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

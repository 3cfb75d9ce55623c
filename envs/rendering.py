"""Pictures of a model: software GL at its fastest (no multisampling, no reflections, shadows on request)."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from ..errors import LanceletError


class Painter:
    """One offscreen renderer for one model; close it when done.

    Raises:
        LanceletError: this process has no OpenGL; the message says what to do.
    """

    def __init__(self, model: mujoco.MjModel, width: int = 640, height: int = 480, shadows: bool = False) -> None:
        model.vis.quality.offsamples = 0
        try:
            self._renderer = mujoco.Renderer(model, height, width)
        except Exception as error:
            raise LanceletError(
                "no OpenGL in this process: start Python with MUJOCO_GL=egl (or osmesa) set, "
                f"`lancelet doctor` shows which works ({type(error).__name__}: {str(error).splitlines()[0]})"
            ) from error
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._data = mujoco.MjData(model)
        self._model = model
        self._camera = "track" if any(model.camera(i).name == "track" for i in range(model.ncam)) else -1

    def of(self, sim: Any, i: int) -> np.ndarray:
        """RGB picture (height, width, 3) of simulation `i` as it is now."""
        return self.frame(sim.qpos[i], sim.mocap_pos[i], sim.mocap_quat[i])

    def frame(self, qpos: np.ndarray, mocap_pos: np.ndarray, mocap_quat: np.ndarray) -> np.ndarray:
        """RGB picture (height, width, 3) of a configuration."""
        self._data.qpos[:] = qpos
        self._data.mocap_pos[:], self._data.mocap_quat[:] = mocap_pos, mocap_quat
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        self._renderer.update_scene(self._data, self._camera)
        return self._renderer.render().copy()

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()

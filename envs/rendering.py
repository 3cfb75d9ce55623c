"""Pictures of a model: software GL at its fastest (no multisampling, no reflections, shadows on request)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import mujoco
import numpy as np

from ..errors import LanceletError

LINE = 4.0
"""pixels, width of a line drawn in"""


class Configuration(NamedTuple):
    """What a picture shows."""

    qpos: np.ndarray
    mocap_pos: np.ndarray
    mocap_quat: np.ndarray
    geom_pos: np.ndarray | None = None
    """(ngeom, 3) m, where geoms of bodies have been moved to; None: as compiled"""
    lines: np.ndarray | None = None
    """(k, 10), drawn in: from xyz to xyz in m, and rgba"""


class Painter:
    """One offscreen renderer for one model; close it when done.

    Args:
        model: its visual settings are changed.
        width: of the pictures.
        height: of the pictures.
        shadows: a third of the speed.
        samples: of anti-aliasing a pixel; 4 is a third of the speed.

    Raises:
        LanceletError: this process has no OpenGL; the message says what to do.
    """

    def __init__(
        self, model: mujoco.MjModel, width: int = 640, height: int = 480, shadows: bool = False, samples: int = 0
    ) -> None:
        model.vis.quality.offsamples = samples
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
        model.vis.global_.offheight = max(model.vis.global_.offheight, height)
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
        self._camera: Any = "track" if any(model.camera(i).name == "track" for i in range(model.ncam)) else -1
        fixed = self._camera == "track" and model.camera("track").mode == mujoco.mjtCamLight.mjCAMLIGHT_FIXED
        self._still: str | None = "track" if fixed else None

    def of(self, sim: Any, i: int) -> np.ndarray:
        """RGB picture (height, width, 3) of simulation `i` as it is now, geoms moved by its parameters too."""
        moved = "geom_pos" in sim.compiled and not sim.models
        geom_pos = sim.field("geom_pos").values[i] if moved else None
        return self.frame(Configuration(sim.qpos[i], sim.mocap_pos[i], sim.mocap_quat[i], geom_pos))

    def frame(self, shot: Configuration) -> np.ndarray:
        """RGB picture (height, width, 3) of a configuration."""
        self._place(shot)
        self._renderer.update_scene(self._data, self._camera)
        self._draw_in(shot.lines)
        return self._renderer.render().copy()

    def _draw_in(self, lines: np.ndarray | None) -> None:
        scene = self._renderer.scene
        for line in () if lines is None else lines.astype(float)[: scene.maxgeom - scene.ngeom]:
            geom = scene.geoms[scene.ngeom]
            shape = mujoco.mjtGeom.mjGEOM_LINE
            mujoco.mjv_initGeom(geom, shape, np.zeros(3), np.zeros(3), np.zeros(9), line[6:].astype(np.float32))
            mujoco.mjv_connector(geom, shape, LINE, line[:3], line[3:6])
            scene.ngeom += 1

    def strobe(self, configurations: Sequence[Configuration]) -> np.ndarray:
        """One RGB picture of several configurations together, the earlier the paler.

        By the model's own camera ``track`` where that stands still, else from above.
        """
        points = []
        for configuration in configurations:
            self._place(configuration)
            points.append(self._data.xpos[1:, :2].copy())
        self._renderer.update_scene(self._data, self._still or self._from_above(np.concatenate(points)))
        scene, option = self._renderer.scene, mujoco.MjvOption()
        for age, configuration in enumerate(reversed(configurations[:-1]), start=1):
            self._place(configuration)
            first = scene.ngeom
            mujoco.mjv_addGeoms(
                self._model, self._data, option, mujoco.MjvPerturb(), mujoco.mjtCatBit.mjCAT_DYNAMIC, scene
            )
            for geom in scene.geoms[first : scene.ngeom]:
                geom.rgba[3] *= 1 - 0.75 * age / len(configurations)
        return self._renderer.render().copy()

    def _from_above(self, points: np.ndarray) -> mujoco.MjvCamera:
        """The camera that sees all `points` (k, 2), their longer side along the picture's width."""
        direction = np.linalg.eigh(np.cov(points.T))[1][:, -1]
        direction *= np.sign(direction[0]) or 1.0
        turned = points @ np.array([direction, [-direction[1], direction[0]]]).T
        low, high = turned.min(0), turned.max(0)
        middle, (along, across) = (low + high) / 2, high - low + 0.3
        camera = mujoco.MjvCamera()
        camera.lookat[:2] = middle[0] * direction + middle[1] * np.array([-direction[1], direction[0]])
        camera.azimuth, camera.elevation = 90 + np.degrees(np.arctan2(*direction[::-1])), -89
        need = max(along * self._renderer.height / self._renderer.width, across)
        camera.distance = need / 2 / np.tan(np.radians(self._model.vis.global_.fovy) / 2)
        return camera

    def _place(self, shot: Configuration) -> None:
        self._data.qpos[:] = shot.qpos
        self._data.mocap_pos[:], self._data.mocap_quat[:] = shot.mocap_pos, shot.mocap_quat
        if shot.geom_pos is not None:
            self._model.geom_pos[:] = shot.geom_pos
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()

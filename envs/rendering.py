"""Pictures of a model: software GL at its fastest (no multisampling, no reflections, shadows on request)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import mujoco
import numpy as np

from .opengl import Canvas

LINE = 4.0
"""pixels, width of a line drawn in"""
MOST_GEOMS = 10_000
"""geoms in one picture; what is beyond is left out"""


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
        self,
        model: mujoco.MjModel,
        width: int = 640,
        height: int = 480,
        shadows: bool = False,
        samples: int = 0,
    ) -> None:
        model.vis.quality.offsamples = samples
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
        model.vis.global_.offheight = max(model.vis.global_.offheight, height)
        self._canvas = Canvas(model, width, height)
        self._scene = mujoco.MjvScene(model, MOST_GEOMS)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._visible = mujoco.MjvOption()
        self._data = mujoco.MjData(model)
        self._model = model
        self._camera, self._camera_stands_still = _own_camera(model)

    def of(self, sim: Any, i: int) -> np.ndarray:
        """RGB picture (height, width, 3) of simulation `i` as it is now, geoms moved by its parameters too."""
        moved = "geom_pos" in sim.compiled and not sim.models
        geom_pos = sim.field("geom_pos").values[i] if moved else None
        return self.frame(Configuration(sim.qpos[i], sim.mocap_pos[i], sim.mocap_quat[i], geom_pos))

    def frame(self, shot: Configuration) -> np.ndarray:
        """RGB picture (height, width, 3) of a configuration."""
        self._place(shot)
        self._update_scene(self._camera)
        self._draw_in(shot.lines)
        return self._canvas.draw(self._scene)

    def _update_scene(self, camera: mujoco.MjvCamera) -> None:
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(
            self._model, self._data, self._visible, None, camera, everything, self._scene
        )

    def _draw_in(self, lines: np.ndarray | None) -> None:
        if lines is None:
            return
        scene = self._scene
        room = scene.maxgeom - scene.ngeom
        shape = mujoco.mjtGeom.mjGEOM_LINE
        for line in lines.astype(float)[:room]:
            start, end, rgba = np.split(line, [3, 6])
            geom = scene.geoms[scene.ngeom]
            mujoco.mjv_initGeom(
                geom, shape, np.zeros(3), np.zeros(3), np.zeros(9), rgba.astype(np.float32)
            )
            mujoco.mjv_connector(geom, shape, LINE, start, end)
            scene.ngeom += 1

    def strobe(self, configurations: Sequence[Configuration]) -> np.ndarray:
        """One RGB picture of several configurations together, the earlier the paler.

        By the model's own camera ``track`` where that stands still, else from above.
        """
        points = []
        for configuration in configurations:
            self._place(configuration)
            points.append(self._data.xpos[1:, :2].copy())
        camera = self._camera
        if not self._camera_stands_still:
            camera = self._from_above(np.concatenate(points))
        self._update_scene(camera)
        scene = self._scene
        moving = mujoco.mjtCatBit.mjCAT_DYNAMIC.value
        for age, configuration in enumerate(reversed(configurations[:-1]), start=1):
            self._place(configuration)
            first = scene.ngeom
            mujoco.mjv_addGeoms(
                self._model, self._data, self._visible, mujoco.MjvPerturb(), moving, scene
            )
            for geom in scene.geoms[first : scene.ngeom]:
                geom.rgba[3] *= 1 - 0.75 * age / len(configurations)
        return self._canvas.draw(scene)

    def _from_above(self, points: np.ndarray) -> mujoco.MjvCamera:
        """The camera that sees all `points` (k, 2), their longer side along the picture's width."""
        direction = np.linalg.eigh(np.cov(points.T))[1][:, -1]
        direction *= np.sign(direction[0]) or 1.0
        turned = points @ np.array([direction, [-direction[1], direction[0]]]).T
        low, high = turned.min(0), turned.max(0)
        middle, (along, across) = (low + high) / 2, high - low + 0.3
        camera = mujoco.MjvCamera()
        camera.lookat[:2] = middle[0] * direction + middle[1] * np.array(
            [-direction[1], direction[0]]
        )
        camera.azimuth, camera.elevation = 90 + np.degrees(np.arctan2(*direction[::-1])), -89
        need = max(along * self._canvas.height / self._canvas.width, across)
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
        """Free what OpenGL holds for this painter; a second time does nothing."""
        self._canvas.close()


def _own_camera(model: mujoco.MjModel) -> tuple[mujoco.MjvCamera, bool]:
    """The model's camera ``track``, else MuJoCo's default view; and whether it is the model's own and stands still."""
    camera = mujoco.MjvCamera()
    index = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA.value, "track")
    if index < 0:
        mujoco.mjv_defaultFreeCamera(model, camera)
        return camera, False
    camera.type = mujoco.mjtCamera.mjCAMERA_FIXED.value
    camera.fixedcamid = index
    return camera, bool(model.cam_mode[index] == mujoco.mjtCamLight.mjCAMLIGHT_FIXED)

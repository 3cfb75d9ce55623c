"""Pictures of a model: software GL at its fastest (no multisampling, no reflections, shadows on request).

See docs/libraries.md, "Pictures".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import mujoco
import numpy as np

from .compat import quiet
from .opengl import Canvas
from .simulation import Simulation

LINE_WIDTH = 4.0
"""pixels, of a line drawn in"""
MOST_GEOMS = 10_000
"""geoms in one picture; what is beyond is left out"""
FIELDS_OF_LINE = (3, 6)
"""where the numbers of a line are cut: start xyz (m), end xyz (m), rgba"""
FADING = 0.75
"""share of opacity that the earliest configuration of a strobe would have lost"""
SEEN_AROUND = 0.3
"""m that the camera from above sees beyond the points"""
FROM_ABOVE = -89
"""degrees, elevation of the camera from above; at -90 MuJoCo's cameras have no defined direction"""


class Configuration(NamedTuple):
    """What a picture shows: where everything of one simulation is."""

    qpos: np.ndarray
    """(nq,)"""
    mocap_pos: np.ndarray
    """(nmocap, 3) m"""
    mocap_quat: np.ndarray
    """(nmocap, 4)"""
    geom_pos: np.ndarray | None = None
    """(ngeom, 3) m, where geoms of bodies have been moved to; None: as compiled"""
    lines: np.ndarray | None = None
    """(k, 10), drawn in: from xyz to xyz in m, and rgba"""


class Painter:
    """One offscreen renderer for one model; close it when done.

    Args:
        model: its visual settings are changed, and its geoms' places as configurations say: hand in a copy.
        width: of the pictures, pixels.
        height: of the pictures, pixels.
        shadows: whether shadows are drawn; with them drawing has a third of the speed.
        samples: of anti-aliasing a pixel; with 4 drawing has a third of the speed.

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

    def of(self, sim: Simulation, i: int) -> np.ndarray:
        """RGB picture (height, width, 3) of simulation `i` as it is now, geoms moved by its parameters too."""
        # Where bodies differ, the painter was made for this simulation's own model, moved geoms and all.
        geoms_moved = "geom_pos" in sim.compiled and not sim.models
        geom_pos = sim.field("geom_pos").values[i] if geoms_moved else None
        configuration = Configuration(
            qpos=sim.qpos[i],
            mocap_pos=sim.mocap_pos[i],
            mocap_quat=sim.mocap_quat[i],
            geom_pos=geom_pos,
        )
        return self.frame(configuration)

    def frame(self, configuration: Configuration) -> np.ndarray:
        """RGB picture (height, width, 3) of a configuration."""
        with quiet:
            self._place(configuration)
            self._update_scene(self._camera)
            self._add_lines(configuration.lines)
            return self._canvas.draw(self._scene)

    def _update_scene(self, camera: mujoco.MjvCamera) -> None:
        """Fill the scene with everything in the placed configuration, seen by `camera`."""
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(
            self._model, self._data, self._visible, None, camera, everything, self._scene
        )

    def _add_lines(self, lines: np.ndarray | None) -> None:
        """Add lines (k, 10) to the scene, as many as it has room for."""
        if lines is None:
            return
        scene = self._scene
        room = scene.maxgeom - scene.ngeom
        shape = mujoco.mjtGeom.mjGEOM_LINE
        for line in lines.astype(float)[:room]:
            start, end, rgba = np.split(line, FIELDS_OF_LINE)
            geom = scene.geoms[scene.ngeom]
            mujoco.mjv_initGeom(
                geom,
                type=shape,
                size=np.zeros(3),
                pos=np.zeros(3),
                mat=np.zeros(9),
                rgba=rgba.astype(np.float32),
            )
            # The connector sets size, place and direction.
            mujoco.mjv_connector(geom, shape, LINE_WIDTH, start, end)
            scene.ngeom += 1

    def strobe(self, configurations: Sequence[Configuration]) -> np.ndarray:
        """One RGB picture of several configurations together, the earlier the paler.

        It is taken by the model's own camera ``track`` where that stands still, else from above.
        """
        with quiet:
            return self._strobe(configurations)

    def _strobe(self, configurations: Sequence[Configuration]) -> np.ndarray:
        """What `strobe` returns; MuJoCo's warnings are not kept out."""
        points = []
        for configuration in configurations:
            self._place(configuration)
            points.append(self._data.xpos[1:, :2].copy())
        camera = self._camera
        if not self._camera_stands_still:
            camera = self._from_above(np.concatenate(points))
        # The last configuration is placed now: it is drawn whole, and of the earlier ones what moves is added.
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
                geom.rgba[3] *= 1 - FADING * age / len(configurations)
        return self._canvas.draw(scene)

    def _from_above(self, points: np.ndarray) -> mujoco.MjvCamera:
        """The camera that sees all `points` (k, 2), their longer side along the picture's width."""
        # Principal component analysis: eigenvalues rise, so that the last direction is that of the largest spread.
        _, directions = np.linalg.eigh(np.cov(points.T))
        along = directions[:, -1]
        along = along * (np.sign(along[0]) or 1.0)
        across = np.array([-along[1], along[0]])
        in_picture = points @ np.array([along, across]).T
        low = in_picture.min(0)
        high = in_picture.max(0)
        middle = (low + high) / 2
        width, height = high - low + SEEN_AROUND

        camera = mujoco.MjvCamera()
        camera.lookat[:2] = middle[0] * along + middle[1] * across
        camera.azimuth = 90 + np.degrees(np.arctan2(along[1], along[0]))
        camera.elevation = FROM_ABOVE
        visible_height = max(width * self._canvas.height / self._canvas.width, height)
        half_angle = np.radians(self._model.vis.global_.fovy) / 2
        camera.distance = visible_height / 2 / np.tan(half_angle)
        return camera

    def _place(self, configuration: Configuration) -> None:
        """Compute where everything is in a configuration, lights and cameras too."""
        self._data.qpos[:] = configuration.qpos
        self._data.mocap_pos[:] = configuration.mocap_pos
        self._data.mocap_quat[:] = configuration.mocap_quat
        if configuration.geom_pos is not None:
            self._model.geom_pos[:] = configuration.geom_pos
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_tendon(self._model, self._data)
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

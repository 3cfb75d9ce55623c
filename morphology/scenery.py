"""What a camera sees around every body: floor, light, camera. Massless, and out of every collision."""

from __future__ import annotations

import mujoco

BODY = [0.93, 0.62, 0.32, 1]
EYE = [0.1, 0.12, 0.2, 1]
TARGET = [0.85, 0.25, 0.3, 1]


def floor(spec: mujoco.MjSpec, size: float = 4.0) -> None:
    """A checkered ground plane, bright enough to look alike with and without shadows, and one light over it."""
    spec.add_texture(
        name="floor", type=mujoco.mjtTexture.mjTEXTURE_2D, builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        width=64, height=64, rgb1=[0.36, 0.55, 0.66], rgb2=[0.44, 0.63, 0.73],
    )  # fmt: skip
    material = spec.add_material(name="floor", texrepeat=[5, 5], texuniform=True)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "floor"
    spec.worldbody.add_geom(
        name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[size, size, 0.1], material="floor",
        contype=0, conaffinity=0,
    )  # fmt: skip
    spec.worldbody.add_light(pos=[0, 0, 2], dir=[0.1, 0.1, -1], type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
    spec.visual.headlight.ambient = [0.45, 0.45, 0.45]
    spec.visual.headlight.diffuse = [0.5, 0.5, 0.5]
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 1920, 1080


def tracking_camera(body: mujoco.MjsBody, span: float) -> None:
    """A camera named ``track`` that follows the centre of mass from above, slightly behind; `span` in m."""
    body.add_camera(
        name="track", mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM, pos=[0, -0.45 * span, 1.15 * span],
        xyaxes=[1, 0, 0, 0, 0.93, 0.36], fovy=60,
    )  # fmt: skip

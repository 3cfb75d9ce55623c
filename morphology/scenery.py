"""What a camera sees around every body: floor, light, camera. Massless, and out of every collision."""

from __future__ import annotations

import math
from collections.abc import Sequence

import mujoco

BODY = [0.95, 0.5, 0.16, 1]
EYE = [0.1, 0.12, 0.2, 1]
TARGET = [0.85, 0.2, 0.3, 1]
WALL = [0.36, 0.5, 0.62, 1]


def floor(spec: mujoco.MjSpec) -> None:
    """An endless checkered ground plane and the light around; all lights add up to about 1.

    More than 1 would bleach the floor with shadows on, while without them its texture caps it (docs/libraries.md,
    "Speed").
    """
    spec.add_texture(
        name="floor", type=mujoco.mjtTexture.mjTEXTURE_2D, builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        width=64, height=64, rgb1=[0.71, 0.85, 0.9], rgb2=[0.79, 0.91, 0.94],
    )  # fmt: skip
    material = spec.add_material(name="floor", texrepeat=[5, 5], texuniform=True, specular=0)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "floor"
    spec.worldbody.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[0, 0, 0.1],
        material="floor",
        contype=0,
        conaffinity=0,
    )
    spec.visual.headlight.ambient = [0.4, 0.4, 0.4]
    spec.visual.headlight.diffuse = [0.25, 0.25, 0.25]
    spec.visual.headlight.specular = [0, 0, 0]
    spec.visual.quality.shadowsize = 1024
    spec.visual.map.zfar = 100
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 1920, 1080


def follow(body: mujoco.MjsBody, span: float, centre: tuple[float, float] = (0, 0)) -> None:
    """A light, and a camera named ``track`` above and slightly behind, that follow the body's centre of mass.

    Args:
        body: root of the tree to follow.
        span: m, length of the whole.
        centre: m, where the centre of mass lies in the body's frame before anything moves.
    """
    x, y = centre
    body.add_camera(
        name="track", mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM, pos=[x, y - 0.45 * span, 1.15 * span],
        xyaxes=[1, 0, 0, 0, 0.93, 0.36], fovy=56,
    )  # fmt: skip
    body.add_light(  # a spot: a directional light speckles the floor with false shadows
        mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM, type=mujoco.mjtLightType.mjLIGHT_SPOT, cutoff=60, exponent=0,
        pos=[x - 0.85 * span, y - 0.5 * span, 3.4 * span], dir=[0.25, 0.15, -1],
        diffuse=[0.45, 0.45, 0.45], specular=[0.2, 0.2, 0.2], castshadow=True,
    )  # fmt: skip


def chase(body: mujoco.MjsBody, span: float, centre: Sequence[float]) -> None:
    """A light, and a camera named ``track`` to the side, somewhat in front and above, that follow the centre of mass.

    Args:
        body: root of the tree to follow.
        span: m, length of the whole.
        centre: m, where the middle of the whole lies in the body's frame before anything moves.
    """
    x, y, z = centre
    body.add_camera(
        name="track", mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM,
        pos=[x + 0.8 * span, y - 1.25 * span, z + 1.0 * span], xyaxes=[0.844, 0.537, 0, -0.307, 0.483, 0.82], fovy=50,
    )  # fmt: skip
    body.add_light(
        mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM, type=mujoco.mjtLightType.mjLIGHT_SPOT, cutoff=60, exponent=0,
        pos=[x - 0.85 * span, y - 0.5 * span, z + 3.4 * span], dir=[0.25, 0.15, -1],
        diffuse=[0.45, 0.45, 0.45], specular=[0.2, 0.2, 0.2], castshadow=True,
    )  # fmt: skip


def beside(spec: mujoco.MjSpec, height: float, distance: float) -> None:
    """A sky, a light, and a camera named ``track`` that stands still beside the scene and sees `height` upright.

    Args:
        spec: of the scene, its middle over the origin.
        height: m, that the picture shows from the floor up.
        distance: m, of the camera.
    """
    spec.add_texture(
        name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        width=64, height=384, rgb1=[0.86, 0.93, 0.98], rgb2=[0.97, 0.98, 1.0],
    )  # fmt: skip
    fovy = 2 * math.degrees(math.atan(0.55 * height / distance))
    spec.worldbody.add_camera(
        name="track", pos=[0, -distance, 0.5 * height], xyaxes=[1, 0, 0, 0, 0, 1], fovy=fovy,
    )  # fmt: skip
    spec.worldbody.add_light(
        type=mujoco.mjtLightType.mjLIGHT_SPOT, cutoff=60, exponent=0, pos=[-1, -2, 3 * height], dir=[0.2, 0.4, -1],
        diffuse=[0.45, 0.45, 0.45], specular=[0.2, 0.2, 0.2], castshadow=True,
    )  # fmt: skip


def above(
    spec: mujoco.MjSpec, width: float, depth: float, centre: tuple[float, float] = (0, 0)
) -> None:
    """A light, and a camera named ``track`` that stands still above the scene and sees `width` x `depth` m of it.

    Args:
        spec: of the scene.
        width: m, along x.
        depth: m, along y.
        centre: m, the middle of the scene.
    """
    x, y = centre
    fovy, aspect = 30.0, 4 / 3
    height = 1.08 * max(depth, width / aspect) / 2 / math.tan(math.radians(fovy / 2))
    lean = 0.12  # a little from the front, so that walls have sides
    spec.worldbody.add_camera(
        name="track", pos=[x, y - lean * height, height], xyaxes=[1, 0, 0, 0, 1, lean], fovy=fovy,
    )  # fmt: skip
    spec.worldbody.add_light(
        type=mujoco.mjtLightType.mjLIGHT_SPOT, cutoff=60, exponent=0, pos=[x - 0.4 * height, y - 0.2 * height, height],
        dir=[0.4, 0.2, -1], diffuse=[0.45, 0.45, 0.45], specular=[0.1, 0.1, 0.1], castshadow=True,
    )  # fmt: skip

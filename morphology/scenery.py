"""What a camera sees around every body: floor, lights, cameras. Massless, and out of every collision.

Nothing here changes how a body moves. Every scene has one camera, named ``track``: it is the one that films and
pictures are taken with. A body calls `floor` and one of the functions that add a camera:

| function | camera | for |
|---|---|---|
| `follow` | moves along, above | what swims in a plane |
| `chase` | moves along, aside | what walks |
| `beside` | stands still, aside | what rises and sinks |
| `above` | stands still, above | what stays in one place: an arm, a maze |
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import mujoco

CAMERA = "track"
"""name of the camera of every scene"""

BODY = [0.95, 0.5, 0.16, 1]
"""colour of bodies (red, green, blue, opacity; each from 0 to 1): orange"""
EYE = [0.1, 0.12, 0.2, 1]
"""colour of eyes and of dark parts: nearly black"""
TARGET = [0.85, 0.2, 0.3, 1]
"""colour of what a body should reach: red"""
WALL = [0.36, 0.5, 0.62, 1]
"""colour of walls and wheels: grey blue"""
CLEAR = [0, 0, 0, 0]
"""colour of what is not to be seen"""
FLOOR_COLOURS = ([0.71, 0.85, 0.9], [0.79, 0.91, 0.94])
"""colours of the two kinds of squares on the floor (red, green, blue)"""
SKY_COLOURS = ([0.86, 0.93, 0.98], [0.97, 0.98, 1.0])
"""colours of the sky (red, green, blue), between which it changes with the height"""

PICTURE_WIDTH = 1920
"""pixels, of the largest picture that can be drawn"""
PICTURE_HEIGHT = 1080
"""pixels, of the largest picture that can be drawn"""
SHADOW_SIZE = 1024
"""pixels a side of the map that shadows are drawn from"""
FARTHEST_VISIBLE = 100
"""extents of the model, from the camera: what is farther away is not drawn"""
LIGHT_CUTOFF = 60
"""degrees, from the middle of a spot light's cone to its edge"""

ABOVE_FIELD_OF_VIEW = 30.0
"""degrees, upright, of the camera of `above`"""
ABOVE_ASPECT = 4 / 3
"""width of a picture over its height that `above` reckons with"""
ABOVE_MARGIN = 1.08
"""what the camera of `above` sees, over the size of the scene"""
ABOVE_LEAN = 0.12
"""how far the camera of `above` stands to the front, over its height: a little, so that walls have sides"""
BESIDE_MARGIN = 0.55
"""half of what the camera of `beside` sees upright, over the height of the scene: 0.5 would leave no margin"""


def floor(spec: mujoco.MjSpec) -> None:
    """Add an endless checkered ground plane and the light around; all lights of a scene add up to about 1.

    More than 1 would bleach the floor with shadows on, while without them its texture caps it (docs/libraries.md,
    "Speed").
    """
    dark, bright = FLOOR_COLOURS
    spec.add_texture(
        name="floor",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        width=64,
        height=64,
        rgb1=dark,
        rgb2=bright,
    )
    material = spec.add_material(
        name="floor",
        texrepeat=[5, 5],
        texuniform=True,
        specular=0,
    )
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "floor"
    spec.worldbody.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        # Half lengths along x and y, of which 0 means without end, and the spacing of the grid.
        size=[0, 0, 0.1],
        material="floor",
        contype=0,
        conaffinity=0,
    )
    spec.visual.headlight.ambient = [0.4, 0.4, 0.4]
    spec.visual.headlight.diffuse = [0.25, 0.25, 0.25]
    spec.visual.headlight.specular = [0, 0, 0]
    spec.visual.quality.shadowsize = SHADOW_SIZE
    spec.visual.map.zfar = FARTHEST_VISIBLE
    spec.visual.global_.offwidth = PICTURE_WIDTH
    spec.visual.global_.offheight = PICTURE_HEIGHT


def follow(body: mujoco.MjsBody, span: float, centre: tuple[float, float] = (0, 0)) -> None:
    """Add a light, and a camera above and slightly behind, that follow the body's centre of mass.

    Args:
        body: root of the tree to follow; it moves in the xy plane.
        span: m, length of the whole body.
        centre: m, where the centre of mass lies in the body's frame before anything moves.
    """
    x, y = centre
    body.add_camera(
        name=CAMERA,
        mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM,
        pos=[x, y - 0.45 * span, 1.15 * span],
        xyaxes=[1, 0, 0, 0, 0.93, 0.36],
        fovy=56,
    )
    _add_following_light(body, span, [x, y, 0.0])


def chase(body: mujoco.MjsBody, span: float, centre: Sequence[float]) -> None:
    """Add a light, and a camera to the side, somewhat in front and above, that follow the body's centre of mass.

    Args:
        body: root of the tree to follow.
        span: m, longest side of the box around the whole body.
        centre: m, (3,), where the middle of that box lies in the body's frame before anything moves.
    """
    x, y, z = centre
    body.add_camera(
        name=CAMERA,
        mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM,
        pos=[x + 0.8 * span, y - 1.25 * span, z + 1.0 * span],
        xyaxes=[0.844, 0.537, 0, -0.307, 0.483, 0.82],
        fovy=50,
    )
    _add_following_light(body, span, centre)


def beside(spec: mujoco.MjSpec, height: float, distance: float) -> None:
    """Add a sky, a light, and a camera that stands still beside the scene and sees `height` upright.

    Args:
        spec: of the scene, its middle over the origin.
        height: m, that the picture shows from the floor up.
        distance: m, of the camera from the middle of the scene.
    """
    low, high = SKY_COLOURS
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        # A sky box is a column of six square pictures, one a side of the box.
        width=64,
        height=6 * 64,
        rgb1=low,
        rgb2=high,
    )
    spec.worldbody.add_camera(
        name=CAMERA,
        pos=[0, -distance, 0.5 * height],
        xyaxes=[1, 0, 0, 0, 0, 1],
        fovy=2 * math.degrees(math.atan(BESIDE_MARGIN * height / distance)),
    )
    _add_spot_light(
        spec.worldbody,
        position=[-1, -2, 3 * height],
        direction=[0.2, 0.4, -1],
    )


def above(
    spec: mujoco.MjSpec,
    width: float,
    depth: float,
    centre: tuple[float, float] = (0, 0),
) -> None:
    """Add a light, and a camera that stands still above the scene and sees `width` x `depth` m of it.

    Args:
        spec: of the scene.
        width: m, along x.
        depth: m, along y.
        centre: m, the middle of the scene.
    """
    x, y = centre
    visible_depth = ABOVE_MARGIN * max(depth, width / ABOVE_ASPECT)
    height = visible_depth / 2 / math.tan(math.radians(ABOVE_FIELD_OF_VIEW / 2))
    spec.worldbody.add_camera(
        name=CAMERA,
        pos=[x, y - ABOVE_LEAN * height, height],
        xyaxes=[1, 0, 0, 0, 1, ABOVE_LEAN],
        fovy=ABOVE_FIELD_OF_VIEW,
    )
    _add_spot_light(
        spec.worldbody,
        position=[x - 0.4 * height, y - 0.2 * height, height],
        direction=[0.4, 0.2, -1],
        specular=0.1,
    )


def _add_following_light(body: mujoco.MjsBody, span: float, centre: Sequence[float]) -> None:
    """Add a light above, to the left and behind, that follows the centre of mass.

    Args:
        body: root of the tree to follow.
        span: m, length of the whole body.
        centre: m, (3,), the middle of the whole body in the frame of its root.
    """
    x, y, z = centre
    _add_spot_light(
        body,
        position=[x - 0.85 * span, y - 0.5 * span, z + 3.4 * span],
        direction=[0.25, 0.15, -1],
        mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM,
    )


def _add_spot_light(
    body: mujoco.MjsBody,
    position: list[float],
    direction: list[float],
    specular: float = 0.2,
    mode: mujoco.mjtCamLight = mujoco.mjtCamLight.mjCAMLIGHT_FIXED,
) -> None:
    """Add a light that casts shadows.

    Args:
        body: that the light belongs to.
        position: m, (3,), in the body's frame.
        direction: (3,), where the light shines, of any length.
        specular: brightness of reflections, from 0 to 1.
        mode: whether the light stands still or moves along with the body.
    """
    body.add_light(
        # Not a directional light: it speckles the floor with false shadows.
        type=mujoco.mjtLightType.mjLIGHT_SPOT,
        mode=mode,
        pos=position,
        dir=direction,
        cutoff=LIGHT_CUTOFF,
        # The cone is equally bright up to its edge.
        exponent=0,
        diffuse=[0.45, 0.45, 0.45],
        specular=[specular, specular, specular],
        castshadow=True,
    )

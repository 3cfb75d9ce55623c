"""Bodies compiled for simulation, with as much memory for contacts as their scene can need.

MuJoCo keeps contacts, constraints and the solver's scratch in an arena of fixed size. Its default reserves 13 MB of
address space and more for every simulation: a thousand simulations would ask for more than many machines grant.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from .compat import quiet

UNSET = -1
"""value of `MjSpec.memory` where the body leaves the size of the arena open"""
MARGIN = 1.1
"""the arena is this many times the memory measured, which is that of the worst case for most shapes"""
MARGIN_OF_CORNERS = 2.0
"""the same, for scenes with shapes that have more contacts where they overlap than where they are apart"""
CORNERED = (
    mujoco.mjtGeom.mjGEOM_BOX,
    mujoco.mjtGeom.mjGEOM_MESH,
    mujoco.mjtGeom.mjGEOM_HFIELD,
    mujoco.mjtGeom.mjGEOM_SDF,
)
"""such shapes: a pair of boxes has up to 4 contacts apart, and 8 in one another"""
LEAST = 68 * 1024
"""bytes, the smallest arena; drawing and the derived constants of a changed model take some of it too. No power of two:
a thousand arenas of 64 KiB were up to a tenth slower than those of 68 KiB, which are as fast as MuJoCo's default"""
GRAIN = 1024
"""bytes, sizes of arenas are multiples of this"""
FAR = 1e6
"""m or rad, a distance within which everything lies: contacts and limits of this margin are all active"""
MOST_PAIRS = 5000
"""pairs of geoms; scenes with more are not measured, and keep MuJoCo's default size"""


def compiled(specs: Sequence[mujoco.MjSpec]) -> list[mujoco.MjModel]:
    """Compile the bodies of one environment, each with its surroundings.

    The arena holds more than what the scene takes when every pair of geoms that may collide does and every limit is
    reached. Bodies of one environment get arenas of one size, as `mujoco.batch` demands. A spec that sets its own
    `memory` keeps it.

    Raises:
        ValueError: MuJoCo's reason why a spec does not compile.
    """
    largest_need = 0
    with quiet:
        for spec in specs:
            if spec.memory == UNSET:
                # This model is for measuring alone, which changes it.
                largest_need = max(largest_need, _need(_compile(spec)))
        # Compiled again: only the compiler sets the size of an arena.
        return [_compile(spec, largest_need) for spec in specs]


def _compile(spec: mujoco.MjSpec, memory: int = 0) -> mujoco.MjModel:
    """The model of `spec`, with an arena of `memory` bytes where the spec leaves that open; 0: MuJoCo's default."""
    own_size = spec.memory
    if own_size == UNSET and memory:
        spec.memory = memory
    try:
        return spec.compile()
    finally:
        # The spec is the caller's: it is left as it was.
        spec.memory = own_size


def _need(model: mujoco.MjModel) -> int:
    """Bytes of the arena that `model` needs, at most MuJoCo's default.

    The model's margins and solver options are changed in place: it is not to be simulated afterwards.
    """
    default = int(model.narena)
    if _pairs(model) > MOST_PAIRS:
        return default
    # The worst case: everything is near enough to touch, and every limit is reached.
    model.geom_margin[:] = FAR
    model.pair_margin[:] = FAR
    model.jnt_margin[:] = FAR
    model.tendon_margin[:] = FAR
    model.flex_margin[:] = FAR
    # The bounding volumes were computed without the margins: no pair may be left out because of them.
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE
    # One iteration takes as much memory as many.
    model.opt.iterations = 1
    model.opt.ls_iterations = 1
    model.opt.noslip_iterations = min(model.opt.noslip_iterations, 1)
    data = mujoco.MjData(model)
    try:
        mujoco.mj_step(model, data)
        # Derived constants of a changed parameter (`Field`) take memory from the arena as well.
        mujoco.mj_setConst(model, data)
    except mujoco.FatalError:
        return default
    contacts_lost = data.warning[mujoco.mjtWarning.mjWARN_CONTACTFULL].number
    constraints_lost = data.warning[mujoco.mjtWarning.mjWARN_CNSTRFULL].number
    if contacts_lost or constraints_lost:
        return default
    collides = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
    cornered = collides & np.isin(model.geom_type, CORNERED)
    margin = MARGIN_OF_CORNERS if cornered.any() else MARGIN
    need = max(margin * data.maxuse_arena, LEAST)
    whole_grains = GRAIN * int(np.ceil(need / GRAIN))
    return min(whole_grains, default)


def _pairs(model: mujoco.MjModel) -> int:
    """Number of pairs of geoms, one at least of a moving body, whose bodies may collide at all."""
    collides = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
    moves = model.body_weldid[model.geom_bodyid] != 0
    moving = int(np.count_nonzero(collides & moves))
    still = int(np.count_nonzero(collides & ~moves))
    return moving * (moving - 1) // 2 + moving * still

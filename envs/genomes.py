"""Genomes where they live: their task, whether they can be tried at all, and their world as XML.

See docs/systems/coevolve.md, "Genomes".
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from ..errors import LanceletError
from ..morphology.genome import Genome, decode, kind_of
from ..registry import load_object
from ..tasks import task_id
from .compat import quiet
from .core import make_task
from .task import Task

QUIET_TIME = 0.5
"""s without command that a body must live through"""
DEEPEST_OVERLAP = 0.003
"""m by which two geoms may overlap at the start"""
LEAST_MASS = 1e-4
"""kg of the whole body"""
LARGEST_MASS = 1e3
"""kg of the whole body"""
DIVERGENCE_WARNINGS = (
    mujoco.mjtWarning.mjWARN_BADQPOS,
    mujoco.mjtWarning.mjWARN_BADQVEL,
    mujoco.mjtWarning.mjWARN_BADQACC,
)
"""kinds of warning that MuJoCo gives where a state blows up"""


def task_of(genome: Genome, **options: Any) -> Task:
    """The task that a genome's kind is tried on, with its body.

    Args:
        genome: a body and a controller.
        **options: fields of the task; they rule over the kind's usual ones.
    """
    id, usual_options = kind_of(genome).task()
    registered = dict(gym.spec(task_id(id)).kwargs)
    task_class = load_object(registered.pop("task"))
    body = decode(genome)
    return make_task(task_class, {**registered, **usual_options, **options, "body": body})


def reason(genome: Genome) -> str | None:
    """Why the genome cannot be tried, in one line; None: it can.

    It must pass its kind's check, compile, move by one motor or more, weigh from 0.1 g to 1 t, start with no two
    geoms more than 3 mm in one another, and be at finite rest or motion after 0.5 s without command.
    """
    try:
        kind_of(genome).check(genome)
        return fault(task_of(genome).models()[0])
    except LanceletError as error:
        return str(error)


def fault(model: mujoco.MjModel) -> str | None:
    """What is wrong with a compiled body; None: nothing."""
    if model.nu == 0:
        return "the body has no actuator"
    mass = float(model.body_mass.sum())
    if not LEAST_MASS <= mass <= LARGEST_MASS:
        return f"the body weighs {mass:.3g} kg: must be {LEAST_MASS:g} to {LARGEST_MASS:g} kg"
    data = mujoco.MjData(model)
    with quiet:
        mujoco.mj_forward(model, data)
        overlap = _deepest_overlap(data)
        if overlap > DEEPEST_OVERLAP:
            return (
                f"two geoms overlap by {1000 * overlap:.1f} mm at the start: "
                f"at most {1000 * DEEPEST_OVERLAP:g} mm"
            )
        mujoco.mj_step(model, data, round(QUIET_TIME / model.opt.timestep))
    if _blew_up(data):
        return f"the physics blows up within {QUIET_TIME:g} s without command"
    return None


def _deepest_overlap(data: mujoco.MjData) -> float:
    """Depth of the deepest contact, m; at most 0 where nothing overlaps."""
    distances = [float(contact.dist) for contact in data.contact]
    return -min(distances, default=0.0)


def _blew_up(data: mujoco.MjData) -> bool:
    """Whether MuJoCo put back a state that blew up, or the state holds no number now."""
    warned = any(data.warning[kind].number for kind in DIVERGENCE_WARNINGS)
    finite = np.isfinite(data.qpos).all() and np.isfinite(data.qvel).all()
    return warned or not finite


def to_xml(genome: Genome) -> str:
    """The body in its surroundings as MJCF, which needs none of this code to be looked at; six digits a number."""
    spec = task_of(genome).spec(decode(genome))
    # MuJoCo writes only specs that have been compiled.
    spec.compile()
    return spec.to_xml()

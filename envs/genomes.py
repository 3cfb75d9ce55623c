"""Genomes where they live: their task, whether they can be tried at all, and their world as XML (spec codesign 8)."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from ..errors import LanceletError
from ..morphology.genome import Genome, decode, kind_of
from ..registry import load_object
from ..tasks import task_id
from .core import make_task
from .task import Task

QUIET = 0.5
"""s, without command, that a body must live through"""
DEEPEST = 0.003
"""m, that two geoms may overlap by at the start"""
MASS = (1e-4, 1e3)
"""kg, of the whole body"""
DIVERGED = [
    mujoco.mjtWarning.mjWARN_BADQPOS,
    mujoco.mjtWarning.mjWARN_BADQVEL,
    mujoco.mjtWarning.mjWARN_BADQACC,
]


def task_of(genome: Genome, **options: Any) -> Task:
    """The task that its kind is tried on, with its body; `options` are the task's."""
    import gymnasium as gym

    id, usual = kind_of(genome).task()
    kwargs = gym.spec(task_id(id)).kwargs
    fixed = {name: value for name, value in kwargs.items() if name != "task"}
    return make_task(
        load_object(kwargs["task"]), {**fixed, **usual, **options, "body": decode(genome)}
    )


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
    if not MASS[0] <= mass <= MASS[1]:
        return f"the body weighs {mass:.3g} kg: must be {MASS[0]:g} to {MASS[1]:g} kg"
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    depth = -min((float(contact.dist) for contact in data.contact), default=0.0)
    if depth > DEEPEST:
        return f"two geoms overlap by {1000 * depth:.1f} mm at the start: at most {1000 * DEEPEST:g} mm"
    mujoco.mj_step(model, data, round(QUIET / model.opt.timestep))
    if (
        any(data.warning[kind].number for kind in DIVERGED)
        or not np.isfinite([*data.qpos, *data.qvel]).all()
    ):
        return f"the physics blows up within {QUIET:g} s without command"
    return None


def to_xml(genome: Genome) -> str:
    """The body in its surroundings as MJCF, which needs none of this code to be looked at; six digits a number."""
    spec = task_of(genome).spec(decode(genome))
    spec.compile()
    return spec.to_xml()

"""A task as its differentiable twin plays it: what a trainer needs to back-propagate through whole episodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...envs import Task
from ...errors import LanceletError
from ...registry import Registry

Trials = dict[str, Tensor]


@dataclass(frozen=True)
class Course:
    """A twin, its trials and its clock.

    The twin has ``start(angles)``, ``step(state, action, force)`` and ``observe(state, target)``, all over leading
    dimensions of any number; see `twins.arm.ArmTwin`.
    """

    twin: Any
    trials: Callable[[int, torch.Generator], Trials]
    """(count, generator) -> ``angles``, ``target``, ``force``, (count, 2) each"""
    steps: int
    """control steps of an episode"""
    dt: float
    """seconds of a control step"""
    delays: tuple[tuple[int, int], ...] = ()
    """(components, steps) from the front: how old each part of the observation is; (): not at all"""


twins = Registry("twin")
"""``"module:Class"`` of a task -> function from a task of that class and its steps to its `Course`"""
register = twins.register


def course(task: Task, steps: int) -> Course:
    """The course of a task over episodes of `steps`.

    Raises:
        LanceletError: it has no twin, or the twin knows nothing of one of its options.
    """
    cls = type(task)
    name = f"{cls.__module__}:{cls.__qualname__}"
    if name not in twins:
        known = ", ".join(each.rpartition(":")[2] for each in twins)
        raise LanceletError(
            f"{cls.__qualname__} has no differentiable twin to back-propagate through; known: {known}"
        )
    return twins.known(name)(task, steps)


register("lancelet.envs.arm:ArmReach", "lancelet.training.twins.course:arm")
register("lancelet.envs.arm:ArmHold", "lancelet.training.twins.course:arm")
_UNKNOWN_TO_THE_ARM = (
    "integrator",
    "motor_noise",
    "vision_noise",
    "proprioception_noise",
    "field",
    "rotation",
    "force",
    "weights",  # of the reward: the losses of `losses.py` have weights of their own
)


def arm(task: Any, steps: int) -> Course:
    """The arm's course: its body with the load, its plant step, its delays."""
    from ...envs.arm import PERIOD
    from ...morphology.arm import NativeArm
    from .arm import ArmTwin, trials

    cls = type(task)
    usual = cls()
    for name in _UNKNOWN_TO_THE_ARM:
        given = getattr(task, name)
        known = getattr(usual, name)
        if given != known:
            raise LanceletError(
                f"{name} = {given!r}: without effect on the arm's twin, which knows {known!r} only; "
                "leave it out, or train without a gradient"
            )
    body, *others = task.bodies()
    if others or isinstance(body, NativeArm):
        raise LanceletError(
            f"{cls.__name__}.body = {task.body!r}: the twin is of one arm with the original muscles"
        )
    body = body.loaded(task.load)
    kind = "reach" if task.reaches else "hold"
    ages = ((12, task.proprioception_delay), (2, task.vision_delay), (2, 0.0))
    delays = tuple((size, round(age / PERIOD)) for size, age in ages)
    return Course(
        ArmTwin(body, PERIOD, round(PERIOD / task.dt_plant)),
        lambda count, generator: trials(kind, count, generator, body),
        steps,
        PERIOD,
        delays if any(age for _, age in delays) else (),
    )

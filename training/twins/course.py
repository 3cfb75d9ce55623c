"""A task as its differentiable twin plays it: what a trainer needs to back-propagate through whole episodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ...envs import Task
from ...errors import LanceletError
from ...registry import Registry

Trials = dict[str, Tensor]
"""``angles``, ``target`` and ``force``, (count, 2) each"""
State = dict[str, Tensor]
"""parts of a twin's state by name, (..., size) each"""
SEEN_MUSCLES = 12
"""muscle lengths and speeds in the arm's observation"""
SEEN_HAND = 2
"""x and y of the hand in the arm's observation"""
SEEN_TARGET = 2
"""x and y of the target in the arm's observation"""


class Twin(Protocol):
    """The equations of a task in torch, over leading dimensions of any number; see `twins.arm.ArmTwin`."""

    def start(self, angles: Tensor) -> State:
        """The state at rest at these angles."""
        ...

    def step(self, state: State, excitation: Tensor, force: Tensor | None = None) -> State:
        """The state after a control step, in which the actuators have this excitation and the hand this force (N)."""
        ...

    def observe(self, state: State, target: Tensor) -> Tensor:
        """What a controller sees, (..., k)."""
        ...


@dataclass(frozen=True)
class Course:
    """A twin, its trials and its clock."""

    twin: Twin
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
    """The course of a task over episodes of `steps` control steps.

    Raises:
        LanceletError: it has no twin, or the twin knows nothing of one of its options.
    """
    cls = type(task)
    name = f"{cls.__module__}:{cls.__qualname__}"
    if name not in twins:
        known = ", ".join(registered.rpartition(":")[2] for registered in twins)
        raise LanceletError(
            f"{cls.__qualname__} has no differentiable twin to back-propagate through; known: {known}"
        )
    return twins.known(name)(task, steps)


register("lancelet.envs.arm:ArmReach", "lancelet.training.twins.course:arm")
register("lancelet.envs.arm:ArmHold", "lancelet.training.twins.course:arm")
_UNKNOWN_TO_THE_ARM_TWIN = (
    "integrator",
    "motor_noise",
    "vision_noise",
    "proprioception_noise",
    "field",
    "rotation",
    "force",
    "weights",  # of the reward: the losses of `losses.py` have weights of their own
)
"""options of the arm tasks that the twin does not have: only their defaults are trained"""


def arm(task: Any, steps: int) -> Course:
    """The arm's course: its body with the load, its plant step, its delays.

    Args:
        task: `envs.arm.ArmReach` or `ArmHold`.
        steps: control steps of an episode.

    Raises:
        LanceletError: an option or a body that the twin does not have.
    """
    from ...envs.arm import PERIOD
    from ...morphology.arm import NativeArm
    from .arm import ArmTwin, trials

    cls = type(task)
    default_task = cls()
    for name in _UNKNOWN_TO_THE_ARM_TWIN:
        given = getattr(task, name)
        known = getattr(default_task, name)
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
    loaded = body.loaded(task.load)
    kind = "reach" if task.reaches else "hold"

    def draw(count: int, generator: torch.Generator) -> Trials:
        return trials(kind, count, generator, loaded)

    # () and not three zeros: without delays the observation is not cut into parts and put together again.
    delays = ()
    if task.proprioception_delay or task.vision_delay:
        delays = (
            (SEEN_MUSCLES, round(task.proprioception_delay / PERIOD)),
            (SEEN_HAND, round(task.vision_delay / PERIOD)),
            (SEEN_TARGET, 0),
        )
    plant_steps = round(PERIOD / task.dt_plant)
    return Course(
        twin=ArmTwin(loaded, PERIOD, plant_steps),
        trials=draw,
        steps=steps,
        dt=PERIOD,
        delays=delays,
    )

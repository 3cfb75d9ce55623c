"""The arm of `morphology.arm` in torch, muscles and all: gradients flow through every step.

The equations are those of docs/systems/arm.md, "The arm" and "The muscles", compiled in
`envs.muscles`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...envs import muscles
from ...envs.muscles import Column, Gradient, Joint
from ...errors import unknown
from ...morphology.arm import MUSCLES, Arm

State = dict[str, Tensor]
JOINTS = {
    "q": Joint.ANGLE,
    "v": Joint.SPEED,
    "hand": Joint.HAND,
}
"""names in a state of the rows of `Joint`"""
MUSCLE_COUNT = len(MUSCLES)
JOINTS_SHAPE = (len(Joint), 2)
"""of the joints' part of a state: `Joint`, and shoulder and elbow (or x and y)"""
MUSCLES_SHAPE = (len(Column), MUSCLE_COUNT)
"""of the muscles' part of a state"""
HOLD_FORCE = 10.0
"""N, largest component of the force in a hold"""
# Compiled functions take arrays of any float type; their stubs say too little for the type checker.
_step: Callable[..., None] = muscles.step
_step_gradient: Callable[..., None] = muscles.step_gradient


class ArmTwin:
    """Arms side by side, any leading dimensions (models, trials, ...); `step` and `observe` are differentiable.

    A state is a dict of tensors: ``q``, ``v`` (..., 2) rad, rad/s; ``hand`` (..., 2) m; and of each muscle (..., 6):
    ``activation``, ``length`` (optimal lengths), ``speed`` (of `Arm.top_speed`, lengthening positive), ``passive`` and
    ``active`` (of the largest force), ``active_length`` (force-length factor), ``force`` (N).

    Gradients are exact, hand-written and once only, on the CPU (`envs.muscles`): a limit that clamps passes none.

    Args:
        body: the arm; none: the nominal one.
        dt: s, of a control step.
        substeps: plant steps in a control step, each of dt / substeps.
        dtype: of the states.
    """

    def __init__(
        self,
        body: Arm | None = None,
        dt: float = 0.01,
        substeps: int = 1,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.body = Arm() if body is None else body
        self.dt = dt
        self.substeps = substeps
        self.dtype = dtype
        self._arms = muscles.parameters(self.body)

    @torch.no_grad()
    def start(self, angles: Tensor) -> State:
        """The state at rest at joint angles (..., 2), rad.

        Muscles are silent (`Arm.least_activation`) and consistent with the angles.
        """
        leading_shape = angles.shape[:-1]
        q = angles.to(self.dtype).reshape(-1, 2).contiguous()
        v = torch.zeros_like(q)
        muscle = torch.zeros(len(q), *MUSCLES_SHAPE, dtype=self.dtype)
        muscle[:, Column.ACTIVATION] = self.body.least_activation
        # Fills the other columns of `muscle`, whose memory it shares.
        muscles.fill_muscles(
            arms=self._arms, angles=q.numpy(), speeds=v.numpy(), muscles=muscle.numpy()
        )
        joints = torch.zeros(len(q), *JOINTS_SHAPE, dtype=self.dtype)
        joints[:, Joint.ANGLE] = q
        joints[:, Joint.SPEED] = v
        joints[:, Joint.HAND] = torch.from_numpy(self.body.hand(q.numpy())).to(self.dtype)
        return _named(
            joints=joints.view(*leading_shape, *JOINTS_SHAPE),
            muscle=muscle.view(*leading_shape, *MUSCLES_SHAPE),
        )

    def step(self, state: State, excitation: Tensor, force: Tensor | None = None) -> State:
        """The state after a control step.

        Args:
            state: before.
            excitation: (..., 6), clipped to [`Arm.least_activation`, 1].
            force: (..., 2) N on the hand; none: 0.
        """
        push = torch.zeros(2) if force is None else force
        leading_shape = torch.broadcast_shapes(
            state["q"].shape[:-1], excitation.shape[:-1], push.shape[:-1]
        )
        excitation = excitation.to(self.dtype).expand(*leading_shape, -1)
        push = push.to(self.dtype).expand(*leading_shape, -1)
        q = state["q"].expand(*leading_shape, -1)
        v = state["v"].expand(*leading_shape, -1)
        activation = state["activation"].expand(*leading_shape, -1)
        muscle_force = state["force"].expand(*leading_shape, -1)
        joints = torch.empty(0)
        muscle = torch.empty(0)
        for _ in range(self.substeps):
            inputs = _StepInputs(
                angles=q,
                speeds=v,
                activation=activation,
                force=muscle_force,
                excitation=excitation,
                push=push,
            )
            joints, muscle = _Step.apply(self._arms, self.dt / self.substeps, *inputs)  # pyright: ignore[reportGeneralTypeIssues]
            q = joints[..., Joint.ANGLE, :]
            v = joints[..., Joint.SPEED, :]
            activation = muscle[..., Column.ACTIVATION, :]
            muscle_force = muscle[..., Column.FORCE, :]
        return _named(joints, muscle)

    def observe(self, state: State, target: Tensor) -> Tensor:
        """What a controller sees, (..., 16): muscle lengths, muscle speeds, hand, target.

        Args:
            state: of `step` or `start`.
            target: m, (..., 2).
        """
        target = target.to(self.dtype).expand_as(state["hand"])
        return torch.cat([state["length"], state["speed"], state["hand"], target], -1)


def _named(joints: Tensor, muscle: Tensor) -> State:
    """The state with its parts by name, from rows `Joint` (..., 3, 2) and `Column` (..., 7, 6)."""
    # `unbind` has one backward step for all rows; indexing row by row would have one each.
    joint_rows = joints.unbind(-2)
    muscle_rows = muscle.unbind(-2)
    state = {name: joint_rows[row] for name, row in JOINTS.items()}
    for column, name in zip(Column, muscles.COLUMNS, strict=True):
        state[name] = muscle_rows[column]
    return state


class _StepInputs(NamedTuple):
    """What a plant step is differentiated by, each (..., size); their order is told here alone.

    Torch gives and takes gradients by position: `_Step` is called with these fields in this order, and its `backward`
    returns their gradients as another `_StepInputs`.
    """

    angles: Tensor
    """rad, (..., 2)"""
    speeds: Tensor
    """rad/s, (..., 2)"""
    activation: Tensor
    """of every muscle, (..., 6)"""
    force: Tensor
    """N, of every muscle, (..., 6)"""
    excitation: Tensor
    """of every muscle, (..., 6)"""
    push: Tensor
    """N on the hand, (..., 2)"""


class _Step(torch.autograd.Function):
    """One plant step by `muscles.step`, its gradient by `muscles.step_gradient`."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,
        arms: np.ndarray,
        dt: float,
        *arguments: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Joints (..., 3, 2) and muscles (..., 7, 6) after the step.

        Args:
            ctx: torch's, for `backward`.
            arms: `muscles.parameters` of the arm.
            dt: plant step, s.
            *arguments: the fields of `_StepInputs`.
        """
        # Torch looks for gradients only in arguments that are tensors themselves, so that they come one by one.
        inputs = _StepInputs(*arguments)
        leading_shape = inputs.angles.shape[:-1]
        dtype = inputs.angles.dtype
        flat = _StepInputs(*(part.reshape(-1, part.shape[-1]).contiguous() for part in inputs))
        count = len(flat.angles)
        joints = torch.empty(count, *JOINTS_SHAPE, dtype=dtype)
        muscle = torch.empty(count, *MUSCLES_SHAPE, dtype=dtype)
        _step(
            arms=arms,
            angles=flat.angles.numpy(),
            speeds=flat.speeds.numpy(),
            activation=flat.activation.numpy(),
            force=flat.force.numpy(),
            excitation=flat.excitation.numpy(),
            push=flat.push.numpy(),
            dt=dt,
            joints=joints.numpy(),
            muscles=muscle.numpy(),
        )
        ctx.arms = arms
        ctx.dt = dt
        ctx.leading_shape = leading_shape
        ctx.save_for_backward(*flat, joints, muscle)
        return (
            joints.view(*leading_shape, *JOINTS_SHAPE),
            muscle.view(*leading_shape, *MUSCLES_SHAPE),
        )

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad_joints: Tensor, grad_muscles: Tensor
    ) -> tuple[Any, ...]:
        """The gradient in every argument of `forward`; None for the arm and the time step."""
        *saved_inputs, joints, muscle = ctx.saved_tensors
        flat = _StepInputs(*saved_inputs)
        grad_joints = grad_joints.reshape(-1, *JOINTS_SHAPE).contiguous()
        grad_muscles = grad_muscles.reshape(-1, *MUSCLES_SHAPE).contiguous()
        out = torch.empty(len(joints), muscles.GRADIENT_WIDTH, dtype=grad_joints.dtype)
        _step_gradient(
            arms=ctx.arms,
            angles=flat.angles.numpy(),
            speeds=flat.speeds.numpy(),
            activation=flat.activation.numpy(),
            force=flat.force.numpy(),
            excitation=flat.excitation.numpy(),
            push=flat.push.numpy(),
            dt=ctx.dt,
            joints=joints.numpy(),
            muscles=muscle.numpy(),
            grad_joints=grad_joints.numpy(),
            grad_muscles=grad_muscles.numpy(),
            out=out.numpy(),
        )
        gradient = out.view(*ctx.leading_shape, muscles.GRADIENT_WIDTH)
        grad_inputs = _StepInputs(
            angles=_columns(gradient, Gradient.ANGLE, 2),
            speeds=_columns(gradient, Gradient.SPEED, 2),
            activation=_columns(gradient, Gradient.ACTIVATION, MUSCLE_COUNT),
            force=_columns(gradient, Gradient.FORCE, MUSCLE_COUNT),
            excitation=_columns(gradient, Gradient.EXCITATION, MUSCLE_COUNT),
            push=_columns(gradient, Gradient.PUSH, 2),
        )
        # None for `arms` and `dt`, which stand in front of the inputs.
        return (None, None, *grad_inputs)


def _columns(gradient: Tensor, first: Gradient, count: int) -> Tensor:
    """The gradient in one argument, (..., count)."""
    return gradient[..., first : first + count]


def trials(
    task: Literal["reach", "hold"], count: int, generator: torch.Generator, body: Arm | None = None
) -> dict[str, Tensor]:
    """Trials as the tasks draw them: ``angles`` (n, 2) rad, ``target`` (n, 2) m, ``force`` (n, 2) N, float32.

    Both joints are uniform over their limits, for the start and, in a reach, again for the target. In a hold the
    target is the start and each component of the force is uniform within 10 N.

    Args:
        task: reach or hold.
        count: trials, n.
        generator: draws all three for every task, so that tasks of one seed share their starts.
        body: the arm; None: the nominal one.

    Raises:
        LanceletError: no such task.
    """
    if task not in ("reach", "hold"):
        raise unknown("task", task, ("reach", "hold"))
    body = Arm() if body is None else body
    low, high = (torch.tensor(limit) for limit in body.limits)
    start_draw, target_draw, force_draw = torch.rand(
        3, count, 2, generator=generator, dtype=torch.float64
    )
    start = low + (high - low) * start_draw
    if task == "hold":
        target_angles = start
        force = HOLD_FORCE * (2 * force_draw - 1)
    else:
        target_angles = low + (high - low) * target_draw
        force = torch.zeros(count, 2)
    target = torch.from_numpy(body.hand(target_angles.numpy()))
    return {"angles": start.float(), "target": target.float(), "force": force.float()}

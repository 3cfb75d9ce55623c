"""The arm of `morphology.arm` in torch, muscles and all: gradients flow through every step (spec bilateral 2)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...envs import muscles
from ...errors import unknown
from ...morphology.arm import Arm

State = dict[str, Tensor]
JOINTS = ("q", "v", "hand")
_forward: Any = muscles.step
_backward: Any = muscles.step_gradient


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
        self.dt, self.substeps, self.dtype = dt, substeps, dtype
        self._row = muscles.parameters(self.body)[None]

    @torch.no_grad()
    def start(self, angles: Tensor) -> State:
        """At rest at joint angles (..., 2) rad, muscles silent (`Arm.least_activation`) and consistent with them."""
        q = angles.to(self.dtype)
        flat = q.reshape(-1, 2).contiguous()
        pulled = torch.zeros(len(flat), 7, 6, dtype=self.dtype)
        pulled[:, 0] = self.body.least_activation
        still = torch.zeros_like(flat)
        muscles.pull(self._row, flat.numpy(), still.numpy(), pulled.numpy())
        hand = torch.from_numpy(self.body.hand(flat.numpy())).to(self.dtype)
        lead = q.shape[:-1]
        return _named(
            torch.stack([flat, still, hand], -2).view(*lead, 3, 2), pulled.view(*lead, 7, 6)
        )

    def step(self, state: State, excitation: Tensor, force: Tensor | None = None) -> State:
        """The state after a control step.

        Args:
            state: before.
            excitation: (..., 6), clipped to [`Arm.least_activation`, 1].
            force: (..., 2) N on the hand; none: 0.
        """
        push = torch.zeros(2) if force is None else force
        lead = torch.broadcast_shapes(state["q"].shape[:-1], excitation.shape[:-1], push.shape[:-1])
        excitation, push = (part.to(self.dtype).expand(*lead, -1) for part in (excitation, push))
        q, v, activation, pull = (
            state[name].expand(*lead, -1) for name in ("q", "v", "activation", "force")
        )
        joints = pulled = torch.empty(0)
        for _ in range(self.substeps):
            joints, pulled = _Step.apply(
                self._row, self.dt / self.substeps, q, v, activation, pull, excitation, push
            )  # pyright: ignore[reportGeneralTypeIssues]
            q, v, activation, pull = (
                joints[..., 0, :],
                joints[..., 1, :],
                pulled[..., 0, :],
                pulled[..., 6, :],
            )
        return _named(joints, pulled)

    def observe(self, state: State, target: Tensor) -> Tensor:
        """What a controller sees, (..., 16): muscle lengths, muscle speeds, hand, target (..., 2)."""
        target = target.to(self.dtype).expand_as(state["hand"])
        return torch.cat([state["length"], state["speed"], state["hand"], target], -1)


def _named(joints: Tensor, pulled: Tensor) -> State:
    return dict(
        zip((*JOINTS, *muscles.COLUMNS), (*joints.unbind(-2), *pulled.unbind(-2)), strict=True)
    )


class _Step(torch.autograd.Function):
    """One plant step by `muscles.step`, its gradient by `muscles.step_gradient`."""

    @staticmethod
    def forward(ctx: Any, row: np.ndarray, dt: float, *given: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        lead, dtype = given[0].shape[:-1], given[0].dtype
        flat = [part.reshape(-1, part.shape[-1]).contiguous() for part in given]
        joints = torch.empty(len(flat[0]), 3, 2, dtype=dtype)
        pulled = torch.empty(len(flat[0]), 7, 6, dtype=dtype)
        _forward(row, *(part.numpy() for part in flat), dt, joints.numpy(), pulled.numpy())
        ctx.row, ctx.dt, ctx.lead = row, dt, lead
        ctx.save_for_backward(*flat, joints, pulled)
        return joints.view(*lead, 3, 2), pulled.view(*lead, 7, 6)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *to: Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        *flat, joints, pulled = (part.numpy() for part in ctx.saved_tensors)
        to_joints, to_muscles = (
            to[0].reshape(-1, 3, 2).contiguous(),
            to[1].reshape(-1, 7, 6).contiguous(),
        )
        out = torch.empty(len(joints), 24, dtype=to_joints.dtype)
        _backward(
            ctx.row,
            *flat,
            ctx.dt,
            joints,
            pulled,
            to_joints.numpy(),
            to_muscles.numpy(),
            out.numpy(),
        )
        q, v, push, activation, force, excitation = out.view(*ctx.lead, 24).split(
            (2, 2, 2, 6, 6, 6), -1
        )
        return None, None, q, v, activation, force, excitation, push


def trials(
    task: Literal["reach", "hold"], count: int, generator: torch.Generator, body: Arm | None = None
) -> dict[str, Tensor]:
    """Trials as the tasks draw them: ``angles`` (n, 2) rad, ``target`` (n, 2) m, ``force`` (n, 2) N, float32.

    Both joints are uniform over their limits, for the start and, in a reach, again for the target. In a hold the
    target is the start and each component of the force is uniform within 10 N.

    Raises:
        LanceletError: no such task.
    """
    if task not in ("reach", "hold"):
        raise unknown("task", task, ("reach", "hold"))
    body = Arm() if body is None else body
    low, high = (torch.tensor(limit) for limit in body.limits)
    draws = torch.rand(3, count, 2, generator=generator, dtype=torch.float64)
    start, goal = (low + (high - low) * draw for draw in draws[:2])
    hold = task == "hold"
    target = torch.from_numpy(body.hand((start if hold else goal).numpy()))
    force = 10 * (2 * draws[2] - 1) if hold else torch.zeros(count, 2)
    return {"angles": start.float(), "target": target.float(), "force": force.float()}

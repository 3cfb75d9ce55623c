"""The controller contract: a torch module whose state belongs to the caller."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from ..checks import plain, seed_number
from ..errors import LanceletError, unknown

State = Any
"""any pytree of tensors, agents first; () for none"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a controller can be made with: JSON values, flags of the commands, saved beside the weights."""

    lesions: tuple[str, ...] = ()
    """named parts to silence; each controller lists its own"""

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            value = plain(getattr(self, name))
            if isinstance(value, list):  # from JSON
                value = tuple(value)
            if name == "seed":
                value = seed_number(value)
            object.__setattr__(self, name, value)
            if get_origin(kind) is Literal and value not in get_args(kind):
                raise unknown(name, value, get_args(kind))


class Controller(nn.Module):
    """A circuit with explicit, caller-owned state.

    `forward` writes nothing in place and draws nothing at random, so that `torch.func.functional_call` and `vmap`
    run a whole population of it. Shapes: observation (batch, k), or a dict of such; action (batch, m); every
    tensor of the state (batch, ...). A *plastic* controller says ``pure = False``: its state may hold one opaque
    object an agent (a list), changed in place by `forward`.

    Args:
        observation_space: of one agent; Box, or Dict of Box.
        action_space: of one agent; Box.
        options: of the subclass's `Options`.

    Raises:
        LanceletError: spaces that this controller cannot read, or an unknown part in ``options.lesions``.
    """

    Options: ClassVar[type[Options]] = Options
    pure: ClassVar[bool] = True
    exploration: ClassVar[tuple[float, bool]] = (0.693, True)
    """action noise that reinforcement learning begins with: standard deviation, and whether it is learned"""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "forward" in vars(cls) and "unroll" not in vars(cls):  # a parent's short cut would not be this class's
            cls.unroll = Controller.unroll

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space, options: Any) -> None:
        super().__init__()
        self.observation_space, self.action_space, self.options = observation_space, action_space, options
        known = self.parts()
        for part in options.lesions:
            if part not in known:
                raise unknown(f"part of {type(self).__name__}", part, known)

    def parts(self) -> list[str]:
        """Names of the parts that `lesion` can silence."""
        return []

    def initial_state(self, batch: int) -> State:
        """State of `batch` agents at the start of an episode."""
        return ()

    def forward(self, observation: Any, state: State) -> tuple[Tensor, State]:
        """Actions (batch, m) and next states."""
        raise NotImplementedError

    def unroll(self, observation: Any, state: State) -> tuple[Tensor, State]:
        """Actions (steps, batch, m) over observations (steps, batch, k) in time order, and the last state.

        `forward` step by step; a controller that can go through time faster may do so, with equal numbers to rounding.
        """
        actions = []
        for now in range(tree_leaves(observation)[0].shape[0]):
            action, state = self(tree_map(lambda x: x[now], observation), state)  # noqa: B023 - called at once
            actions.append(action)
        return torch.stack(actions), state

    def reset(self, state: State, mask: Tensor) -> State:
        """`state` with the agents of `mask` (batch,) back at the start of an episode."""
        fresh = self.initial_state(mask.shape[0])

        def pick(old: Tensor, new: Tensor) -> Tensor:
            return torch.where(mask.reshape(-1, *[1] * (old.dim() - 1)), new, old)

        return tree_map(pick, state, fresh)

    def learn(
        self, observation: Any, action: Tensor, reward: Tensor, ended: Tensor, next_observation: Any, state: State
    ) -> State:
        """Change within an episode after a step.

        `ended` (batch,) is True from an agent's last step on; at that step `next_observation` is the true last one.
        """
        return state

    def signals(self, state: State) -> dict[str, Tensor]:
        """Named activity to record, (batch, ...) each."""
        return {}

    @property
    def memoryless(self) -> bool:
        """Whether `forward` may be given ``()`` as state: there is none, or it only tells of the last activity."""
        state = self.initial_state(1) if self.pure else None
        return isinstance(state, tuple) and not state

    @property
    def parameter_count(self) -> int:
        """Number of trainable numbers."""
        return sum(p.numel() for p in self.parameters())

    def silenced(self, kind: str) -> list[int]:
        """Indices, from 0, of the lesioned parts named ``kind:number`` (numbers count from 1)."""
        return [int(part.split(":")[1]) - 1 for part in self.options.lesions if part.startswith(f"{kind}:")]


def lesion(controller: Controller, *parts: str) -> Controller:
    """A copy of `controller` in which the named parts are silent; `controller.parts()` lists the names.

    Raises:
        LanceletError: an unknown part; the message lists near names.
    """
    options = dataclasses.replace(controller.options, lesions=(*controller.options.lesions, *parts))
    copy = type(controller)(controller.observation_space, controller.action_space, options)
    copy.load_state_dict(controller.state_dict())
    return copy


def box(space: spaces.Space, who: str, what: str) -> int:
    """Length of a one-dimensional Box, or the error that `who` cannot read `what`."""
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise LanceletError(f"{who} cannot read {what} {space}: needs a one-dimensional Box")
    return space.shape[0]


def sigmoid(x: Tensor) -> Tensor:
    """The logistic function, by way of tanh.

    torch's own gives the last numbers of a block other last bits, so that an agent would act otherwise among others.
    """
    return 0.5 + 0.5 * torch.tanh(0.5 * x)

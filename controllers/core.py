"""The controller contract: a torch module whose state belongs to the caller."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

import numpy as np
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

    @classmethod
    def of_first_format(cls, saved: dict[str, Any], action_space: spaces.Space) -> dict[str, Any]:
        """Options as a file of format 1 meant them, where defaults have changed since; `saved` is left as it is."""
        return saved


def interval_of(options: type[Options], env: Any) -> dict[str, float]:
    """The option `interval` (s from one action to the next) that a controller of `env` is made with.

    Empty where `options` have none, or where the environment has no `control_dt` to take it from.
    """
    known = any(field.name == "interval" for field in dataclasses.fields(options))
    control_dt = getattr(getattr(env, "unwrapped", env), "control_dt", None)
    if not known or control_dt is None:
        return {}
    return {"interval": float(control_dt)}


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
    """Action noise that reinforcement learning begins with: standard deviation in units of half the action's range
    (of 1 where an action has no bounds), and whether it is learned."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "forward" in vars(cls) and "unroll" not in vars(
            cls
        ):  # a parent's short cut would not be this class's
            cls.unroll = Controller.unroll

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Space, options: Any
    ) -> None:
        super().__init__()
        self.observation_space, self.action_space, self.options = (
            observation_space,
            action_space,
            options,
        )
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
        self,
        observation: Any,
        action: Tensor,
        reward: Tensor,
        ended: Tensor,
        next_observation: Any,
        state: State,
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
        return [
            int(part.split(":")[1]) - 1
            for part in self.options.lesions
            if part.startswith(f"{kind}:")
        ]


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


def input_names(space: spaces.Space, who: str) -> list[str]:
    """Names of the numbers that `flatten` gives, for lesions: ``1``, ``2``, ..., in a Dict with the key before.

    Raises:
        LanceletError: anything but a one-dimensional Box, or a Dict of such, however deep.
    """
    if isinstance(space, spaces.Dict):
        return [f"{key}:{name}" for key in sorted(space) for name in input_names(space[key], who)]
    return [str(number) for number in range(1, box(space, who, "the observation space") + 1)]


def flatten(observation: Any, space: spaces.Space) -> Tensor:
    """An observation (..., k), or a dict of such in the order of its keys, as one tensor (..., size)."""
    if not isinstance(space, spaces.Dict):
        return observation
    return torch.cat([flatten(observation[key], space[key]) for key in sorted(space)], dim=-1)


def half_ranges(space: spaces.Box) -> np.ndarray:
    """Half the range of every action, flat, float64; 1 where a bound is missing."""
    low, high = (np.asarray(bound, np.float64).ravel() for bound in (space.low, space.high))
    bounded = np.isfinite(low) & np.isfinite(high)
    # Halved before they are subtracted: the range of two large bounds is infinite.
    return np.where(bounded, np.where(bounded, high, 0) / 2 - np.where(bounded, low, 0) / 2, 1.0)


class Span(nn.Module):
    """Numbers in [-1, 1] stretched over the action box, low to high.

    An action with one bound spans the two units beside it; an action without bounds stays in [-1, 1]. Where the box
    is [-1, 1] already, nothing is computed.

    Args:
        space: one-dimensional Box.
        stretches: False: leave every number in [-1, 1], whatever the box.
    """

    centre: Tensor
    half_range: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, space: spaces.Box, stretches: bool = True) -> None:
        super().__init__()
        half_range = half_ranges(space)
        low = np.asarray(space.low, np.float64)
        high = np.asarray(space.high, np.float64)
        low = np.where(np.isfinite(low), low, np.where(np.isfinite(high), high - 2, -1.0))
        high = np.where(np.isfinite(high), high, low + 2)
        self._is_unit = not stretches or is_unit(space)
        values = {"centre": low / 2 + high / 2, "half_range": half_range, "low": low, "high": high}
        for name, value in values.items():
            self.register_buffer(
                name, torch.as_tensor(value, dtype=torch.get_default_dtype()), persistent=False
            )

    def forward(self, values: Tensor) -> Tensor:
        """Actions (..., m) within the box."""
        if self._is_unit:
            return values
        # Clamped, since the sum may be rounded to a number just beyond the bound.
        return (self.centre + self.half_range * values).clamp(self.low, self.high)


def is_unit(space: spaces.Space) -> bool:
    """Whether every action runs from -1 to 1."""
    return isinstance(space, spaces.Box) and bool(
        (space.low == -1).all() and (space.high == 1).all()
    )


def sigmoid(x: Tensor) -> Tensor:
    """The logistic function, by way of tanh.

    torch's own gives the last numbers of a block other last bits, so that an agent would act otherwise among others.
    """
    return 0.5 + 0.5 * torch.tanh(0.5 * x)

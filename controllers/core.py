"""The controller contract: a torch module whose state belongs to the caller."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import (
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Protocol,
    get_args,
    get_origin,
    get_type_hints,
    runtime_checkable,
)

import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from ..checks import plain, seed_number
from ..errors import unknown

Observation = Any
"""A tensor (batch, k), or a dict of such, however deep."""

State = Any
"""Any pytree of tensors, agents first; ``()`` for a controller that has none."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a controller can be made with: JSON values, flags of the commands, saved beside the weights."""

    lesions: tuple[str, ...] = ()
    """named parts to silence; each controller lists its own"""

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            value = plain(getattr(self, name))
            if isinstance(value, list):
                # JSON has no tuples: a list in a file stands for one.
                value = tuple(value)
            if name == "seed":
                value = seed_number(value)
            object.__setattr__(self, name, value)
            if get_origin(kind) is Literal and value not in get_args(kind):
                raise unknown(name, value, get_args(kind))

    @classmethod
    def of_first_format(cls, saved: dict[str, Any], action_space: spaces.Space) -> dict[str, Any]:
        """Options of a file of format 1, with what its defaults meant spelled out; `saved` is left as it is.

        A class whose defaults have changed since overrides this.

        Args:
            saved: options as the file has them.
            action_space: of the saved controller.
        """
        return saved


@runtime_checkable
class Clocked(Protocol):
    """Options of a controller that counts time: it must know how long a step is."""

    interval: float
    """time from one action to the next, s"""


@runtime_checkable
class Timed(Protocol):
    """An environment that says how often it takes an action."""

    control_dt: float
    """time from one action to the next, s"""


def interval_of(options: type[Options], env: Any) -> dict[str, float]:
    """The option `interval` that a controller of `env` is made with, for `options` that are `Clocked`.

    Args:
        options: class of the controller's options.
        env: an environment, single or vector.

    Returns:
        ``{"interval": s}``; empty where `options` have none, or where the environment has no `control_dt`.
    """
    is_clocked = any(field.name == "interval" for field in dataclasses.fields(options))
    innermost = getattr(env, "unwrapped", env)
    if not is_clocked or not isinstance(innermost, Timed) or innermost.control_dt is None:
        return {}
    return {"interval": float(innermost.control_dt)}


@runtime_checkable
class ManyAgents(Protocol):
    """A vector environment: it says which spaces each of its agents has."""

    single_observation_space: spaces.Space
    single_action_space: spaces.Space


class AgentSpaces(NamedTuple):
    """The spaces that one agent lives in."""

    observation: spaces.Space
    action: spaces.Space


def agent_spaces(env: Any) -> AgentSpaces:
    """Spaces of one agent of `env`, a Gymnasium environment, single or vector."""
    if isinstance(env, ManyAgents):
        return AgentSpaces(env.single_observation_space, env.single_action_space)
    return AgentSpaces(env.observation_space, env.action_space)


class Exploration(NamedTuple):
    """Action noise that reinforcement learning begins with."""

    standard_deviation: float
    """in units of half the action's range, of 1 where an action has no bounds"""
    is_learned: bool
    """False: the noise stays as it is"""


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
    """dataclass of this controller's options"""
    pure: ClassVar[bool] = True
    """False: the controller is plastic"""
    exploration: ClassVar[tuple[float, bool]] = Exploration(
        standard_deviation=0.693, is_learned=True
    )
    """noise for circuits that know nothing of their task yet"""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        if "forward" in own and "unroll" not in own:
            # A parent's short cut through time is one through the parent's `forward`, not through this one.
            cls.unroll = Controller.unroll

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        options: Any,
    ) -> None:
        super().__init__()
        self.observation_space = observation_space
        self.action_space = action_space
        self.options = options
        # Asked here, before a subclass has built its layers: `parts` must follow from the spaces and the options.
        known_parts = self.parts()
        for part in options.lesions:
            if part not in known_parts:
                raise unknown(f"part of {type(self).__name__}", part, known_parts)

    def parts(self) -> list[str]:
        """Names of the parts that `lesion` can silence.

        Called while the controller is being built, before it has weights.
        """
        return []

    def initial_state(self, batch: int) -> State:
        """State of `batch` agents at the start of an episode."""
        return ()

    def forward(self, observation: Observation, state: State) -> tuple[Tensor, State]:
        """Actions (batch, m) and next states.

        Args:
            observation: (batch, k), or a dict of such.
            state: what `initial_state` or the last call gave.
        """
        raise NotImplementedError

    def unroll(self, observation: Observation, state: State) -> tuple[Tensor, State]:
        """Actions of many steps, and the last state.

        This calls `forward` step by step; a controller that can go through time faster may do so, with numbers that
        are equal to rounding.

        Args:
            observation: (steps, batch, k) in time order, or a dict of such.
            state: before the first step.

        Returns:
            Actions (steps, batch, m), and the state after the last step.
        """
        steps = tree_leaves(observation)[0].shape[0]
        actions = []
        for step in range(steps):
            action, state = self(_at_step(observation, step), state)
            actions.append(action)
        return torch.stack(actions), state

    def reset(self, state: State, mask: Tensor) -> State:
        """`state` with the agents of `mask` (batch,) back at the start of an episode."""
        fresh = self.initial_state(mask.shape[0])

        def pick(old: Tensor, new: Tensor) -> Tensor:
            one_per_agent = mask.reshape(-1, *[1] * (old.dim() - 1))
            return torch.where(one_per_agent, new, old)

        return tree_map(pick, state, fresh)

    def learn(
        self,
        observation: Observation,
        action: Tensor,
        reward: Tensor,
        ended: Tensor,
        next_observation: Observation,
        state: State,
    ) -> State:
        """Change within an episode, after a step; most controllers do not.

        Args:
            observation: before the step, (batch, k) or a dict of such.
            action: taken in the step, (batch, m).
            reward: of the step, (batch,).
            ended: (batch,) True from an agent's last step on.
            next_observation: after the step; at an agent's last step the true last one, not that of a new episode.
            state: what `forward` gave in the step.

        Returns:
            The state for the next step.
        """
        return state

    def signals(self, state: State) -> dict[str, Tensor]:
        """Named activity to record, (batch, ...) each."""
        return {}

    def counted_interval(self) -> float | None:
        """Time in s that this controller takes one step to last; None: it does not count time."""
        if isinstance(self.options, Clocked):
            return self.options.interval
        return None

    @property
    def memoryless(self) -> bool:
        """Whether `forward` may be given ``()`` as state: there is none, or it only tells of the last activity."""
        if not self.pure:
            return False
        state = self.initial_state(1)
        return isinstance(state, tuple) and len(state) == 0

    @property
    def parameter_count(self) -> int:
        """Number of trainable numbers."""
        return sum(weight.numel() for weight in self.parameters())

    def silenced(self, kind: str) -> list[int]:
        """Indices, from 0, of the lesioned parts named ``kind:number`` (numbers count from 1)."""
        indices = []
        for part in self.options.lesions:
            if part.startswith(f"{kind}:"):
                number = int(part.split(":")[1])
                indices.append(number - 1)
        return indices


def _at_step(observation: Observation, step: int) -> Observation:
    """The observation (batch, k) at one step of observations (steps, batch, k), or a dict of such."""
    return tree_map(lambda values: values[step], observation)


def lesion(controller: Controller, *parts: str) -> Controller:
    """A copy of `controller` in which the named parts are silent; `controller.parts()` lists the names.

    Raises:
        LanceletError: an unknown part; the message lists near names.
    """
    lesions = (*controller.options.lesions, *parts)
    options = dataclasses.replace(controller.options, lesions=lesions)
    copy = type(controller)(controller.observation_space, controller.action_space, options)
    copy.load_state_dict(controller.state_dict())
    return copy


def sigmoid(x: Tensor) -> Tensor:
    """The logistic function, by way of tanh.

    torch's own gives the last numbers of a block other last bits, so that an agent would act otherwise among others.
    """
    return 0.5 + 0.5 * torch.tanh(0.5 * x)

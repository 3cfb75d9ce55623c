"""The task contract: one class, written for a batch, that `core` turns into Gymnasium environments."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import mujoco
import numpy as np
from gymnasium import spaces

from .. import morphology
from ..errors import LanceletError
from . import arena
from .batches import Observation
from .simulation import Simulation

__all__ = [
    "Array",
    "Memory",
    "Observation",
    "PlacingSimulator",
    "PosedSimulator",
    "Simulator",
    "StatefulSimulator",
    "Task",
]

Array = np.ndarray
Memory = dict[str, Array]
"""state of the task itself: arrays of n rows by name"""


@runtime_checkable
class Simulator(Protocol):
    """What a task's `make` returns: n simulations that the task moves on. `Simulation` is the one made of MuJoCo.

    The core calls `reset` and sets the attribute ``live`` before every `Task.advance`: the ids to step, or None for
    all of them. It never calls `step`: that is the task's to do, in `Task.advance`.

    Optional parts are protocols of their own: `StatefulSimulator` is saved with the environment, `PosedSimulator`
    and `PlacingSimulator` have configurations that a recorded episode keeps.
    """

    def reset(self, ids: Array) -> None:
        """Put simulations `ids` (k,) at their defaults."""
        ...

    def step(self) -> None:
        """Advance the simulations ``live`` by one step."""
        ...


@runtime_checkable
class StatefulSimulator(Simulator, Protocol):
    """A simulator whose whole state is one array: `VectorEnv.state_dict` saves it, `load_state_dict` writes it back."""

    state: Array
    """(n, ...), live and writable"""


@runtime_checkable
class PosedSimulator(Simulator, Protocol):
    """A simulator of bodies that have positions: a recorded episode keeps them, and pictures are drawn from them."""

    qpos: Array
    """(n, nq), live"""


@runtime_checkable
class PlacingSimulator(Simulator, Protocol):
    """A simulator of bodies that are put somewhere, such as a goal: a recorded episode keeps where they are."""

    mocap_pos: Array
    """(n, nmocap, 3), m, live"""
    mocap_quat: Array
    """(n, nmocap, 4), live"""


# `Simulation` finds the arrays of MjData at their first use, where a look at its attributes does not see them yet.
StatefulSimulator.register(Simulation)  # pyright: ignore[reportAttributeAccessIssue]
PosedSimulator.register(Simulation)  # pyright: ignore[reportAttributeAccessIssue]
PlacingSimulator.register(Simulation)  # pyright: ignore[reportAttributeAccessIssue]


@dataclass(kw_only=True)
class Task(ABC):
    """What a body is to do: spaces, start states, reward, end. Subclasses are dataclasses too.

    Fields are the task's parameters: JSON values, keywords of ``gym.make`` and flags of the commands. All else
    that changes lives in the simulator or in the memory, never on ``self``.

    The core calls, in this order: `make` and `memory` once; `reset` at the start of an episode; then at every control
    step `advance`, `observe`, `reward` and `terminated`; `metrics` at the episode's end. Arrays have one row a
    simulation. A method is called for all rows, and the core drops what finished simulations did. Only `reset` and
    `advance` may write to the simulator or the memory.

    In every method ``sim`` is what `make` returned and ``memory`` what `memory` returned, with present values.

    Not MuJoCo? Override `make` to return a `Simulator` of your own, and `control_dt`.
    """

    body: Any = None
    """a Body, its JSON, or a list of bodies of one layout (simulation i gets number i modulo their count);
    None: the usual one"""

    substeps: ClassVar[int] = 1
    """simulator steps in a control step"""
    reset_options: ClassVar[tuple[str, ...]] = ()
    """keys of ``reset(options=)`` that the task reads, beside ``qpos``, ``qvel`` and ``reset_mask``"""
    forwarded: ClassVar[tuple[str, ...]] = ()
    """methods that the environments show as their own, such as the ``compute_reward`` that hindsight replay calls"""
    divergence_reward: ClassVar[float] = 0.0
    """reward of the step in which the physics blew up"""

    # -- spaces -------------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def observation_space(self) -> spaces.Space:
        """Box, or Dict of Box, of one simulation."""

    @property
    @abstractmethod
    def action_space(self) -> spaces.Space:
        """Box (or Discrete) of one simulation."""

    # -- bodies and simulator -----------------------------------------------------------------------------------------

    def default_body(self) -> morphology.Body:
        """The body where none is given."""
        raise LanceletError(f"{type(self).__name__} has no body of its own: give body=")

    def bodies(self) -> list[morphology.Body]:
        """The bodies of this task, one or many."""
        given = self.body if isinstance(self.body, list | tuple) else [self.body]
        if not given:
            raise LanceletError(
                f"{type(self).__name__}.body is an empty list: give at least one body"
            )
        return [self._body(item) for item in given]

    def _body(self, item: Any) -> morphology.Body:
        """The body from what was given for it: nothing, JSON or the body itself."""
        if item is None:
            return self.default_body()
        if isinstance(item, Mapping):
            return morphology.from_json(dict(item))
        if not isinstance(item, morphology.Body):
            raise LanceletError(
                f"{type(self).__name__}.body = {item!r}: must be a Body or its JSON"
            )
        return item

    def spec(self, body: morphology.Body) -> mujoco.MjSpec:
        """The body in its surroundings; override to add a medium, goals or obstacles."""
        return body.build()

    def models(self) -> list[mujoco.MjModel]:
        """The compiled bodies in their surroundings."""
        bodies = self.bodies()
        # A body that is in the list more than once, for several start states, is compiled once.
        different = {id(body): body for body in bodies}
        try:
            models = arena.compiled([self.spec(body) for body in different.values()])
        except LanceletError:
            raise
        except ValueError as error:
            reason = str(error).splitlines()[0]
            raise LanceletError(
                f"{type(self).__name__}: the body does not compile: {reason}"
            ) from error
        model_of = dict(zip(different, models, strict=True))
        return [model_of[id(body)] for body in bodies]

    def make(self, n: int, nthread: int) -> Any:
        """The `Simulator` of `n` simulations on `nthread` threads (0: all)."""
        return Simulation(self.models(), n, nthread)

    def control_dt(self, sim: Any) -> float:
        """Seconds of a control step."""
        return sim.timestep * self.substeps

    @property
    def time_limit(self) -> float | None:
        """Seconds after which an episode is truncated, where this is shorter than the id's limit; None: the id's."""
        return None

    # -- an episode ---------------------------------------------------------------------------------------------------

    def memory(self, n: int) -> Memory:
        """Initial per-simulation state of the task itself: arrays of `n` rows."""
        return {}

    @abstractmethod
    def reset(
        self,
        sim: Any,
        memory: Memory,
        ids: Array,
        rngs: Sequence[np.random.Generator],
        options: Mapping[str, Any],
    ) -> None:
        """Write the start states of some simulations, drawn from their own generators.

        Noise within an episode is drawn here, as one block a simulation.

        Args:
            sim: the simulator; `ids` are at their defaults already.
            memory: the task's own state; the rows `ids` are as `memory(n)` made them.
            ids: (k,) simulations that start an episode.
            rngs: the generators of these k simulations, in the same order.
            options: of ``reset(options=)``; the core applies its ``qpos`` and ``qvel`` afterwards.
        """

    def advance(self, sim: Any, memory: Memory, action: Array) -> None:
        """Move one control step on; `action` (n, k) lies within the action space."""
        sim.ctrl[:] = action
        sim.step(self.substeps)

    @abstractmethod
    def observe(self, sim: Any, memory: Memory) -> Observation:
        """Observations, (n, ...), of every simulation: fresh arrays, never views of the simulator or the memory."""

    @abstractmethod
    def reward(self, sim: Any, memory: Memory, action: Array) -> tuple[Array, dict[str, Array]]:
        """Reward (n,) of the step that `advance` has just made, and its named terms, (n,) each."""

    def terminated(self, sim: Any, memory: Memory) -> Array | None:
        """True (n,) where the episode ended of itself; None: never."""
        return None

    def metrics(self, sim: Any, memory: Memory) -> dict[str, Array]:
        """Figures of the episode so far, (n,) each; read at its end."""
        return {}

    # -- as JSON ------------------------------------------------------------------------------------------------------

    def options(self) -> dict[str, Any]:
        """The fields as JSON values: what rebuilds this task."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        body = values["body"]
        if isinstance(body, list | tuple):
            values["body"] = [_body_to_json(item) for item in body]
        else:
            values["body"] = _body_to_json(body)
        return values


def _body_to_json(body: Any) -> Any:
    """A body as JSON; what is JSON or None already stays as it is."""
    if isinstance(body, morphology.Body):
        return morphology.to_json(body)
    return body

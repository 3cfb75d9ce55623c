"""The task contract: one class, written for a batch, that `core` turns into Gymnasium environments."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import mujoco
import numpy as np
from gymnasium import spaces

from .. import morphology
from ..errors import LanceletError
from . import arena
from .simulation import Simulation

Array = np.ndarray
Memory = dict[str, Array]
Observation = Array | dict[str, Array]


@dataclass(kw_only=True)
class Task(ABC):
    """What a body is to do: spaces, start states, reward, end. Subclasses are dataclasses too.

    Fields are the task's parameters: JSON values, keywords of ``gym.make`` and flags of the commands. All else
    that changes lives in the simulator or in `memory`, never on ``self``. Arrays have one row a simulation; a
    method is called for all rows and the core drops what finished simulations did. Only `reset` and `advance`
    may write to the simulator or the memory.

    Not MuJoCo? Override `make` and return your own object with ``reset(ids)`` and ``step()``, and `control_dt`.
    The core sets its ``live`` (ids to step, None: all) and saves its ``state`` (an array of n rows) if it has one.
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

    @property
    @abstractmethod
    def observation_space(self) -> spaces.Space:
        """Box, or Dict of Box, of one simulation."""

    @property
    @abstractmethod
    def action_space(self) -> spaces.Space:
        """Box (or Discrete) of one simulation."""

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
        try:
            return arena.compiled([self.spec(body) for body in self.bodies()])
        except ValueError as error:
            if isinstance(error, LanceletError):
                raise
            reason = str(error).splitlines()[0]
            raise LanceletError(
                f"{type(self).__name__}: the body does not compile: {reason}"
            ) from error

    def make(self, n: int, nthread: int) -> Any:
        """The simulator of `n` simulations on `nthread` threads (0: all)."""
        return Simulation(self.models(), n, nthread)

    def control_dt(self, sim: Any) -> float:
        """Seconds of a control step."""
        return sim.timestep * self.substeps

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
        """Draw start states of simulations `ids`, already at their defaults, from their own generators.

        Noise within an episode is drawn here, as one block a simulation. ``qpos`` and ``qvel`` of the options
        are applied by the core afterwards.
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

    def options(self) -> dict[str, Any]:
        """The fields as JSON values: what rebuilds this task."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        body = values["body"]
        if isinstance(body, morphology.Body):
            values["body"] = morphology.to_json(body)
        elif isinstance(body, list | tuple):
            values["body"] = [
                morphology.to_json(item) if isinstance(item, morphology.Body) else item
                for item in body
            ]
        return values

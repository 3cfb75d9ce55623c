"""The classes behind a run's names, for other processes: there, a user's own file has registered nothing yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym

from ... import controllers, morphology
from ...registry import load_object
from ...tasks import register, task_id


@dataclass(frozen=True)
class Names:
    """Task, controller, bodies and algorithm by name, each with its class.

    Ray sends a class of an importable module as the module's name, which is then imported there (`cluster.connected`
    says where modules lie), and a class of ``__main__`` whole.
    """

    task: str
    spec: dict[str, Any]
    """how the task is registered: ``task`` (its class), ``max_episode_steps``, defaults of its fields"""
    controllers: dict[str, type] = field(default_factory=dict)
    bodies: dict[str, type] = field(default_factory=dict)
    algorithms: dict[str, type] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        task: str,
        controller: str,
        task_options: Mapping[str, Any],
        algorithm: str | None = None,
    ) -> Names:
        """The names of a run as they stand in this process; a module in front of a name is imported and dropped."""
        from .. import algorithms

        task = task_id(task).rpartition(":")[2]
        spec = gym.spec(task)
        kwargs: dict[str, Any] = dict(spec.kwargs)
        if isinstance(kwargs["task"], str):
            kwargs["task"] = load_object(kwargs["task"])
        given = task_options.get("body")
        bodies = [
            body
            for body in (given if isinstance(given, list | tuple) else [given])
            if isinstance(body, Mapping)
        ]
        return cls(
            task,
            {**kwargs, "max_episode_steps": spec.max_episode_steps},
            {controller.rpartition(":")[2]: controllers.controllers.get(controller)},
            {body["name"]: morphology.bodies.known(body["name"]) for body in bodies},
            {} if algorithm is None else {algorithm.rpartition(":")[2]: algorithms.get(algorithm)},
        )

    def register(self) -> None:
        """Register them all in this process."""
        from .. import algorithms

        register(self.task, **self.spec)
        known = ((controllers.controllers, self.controllers), (morphology.bodies, self.bodies))
        for registry, classes in (*known, (algorithms, self.algorithms)):
            for name, target in classes.items():
                registry.register(name, target)

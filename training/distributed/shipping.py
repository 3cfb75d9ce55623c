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
    """id of the task, without a module in front"""
    spec: dict[str, Any]
    """how the task is registered: ``task`` (its class), ``max_episode_steps``, defaults of its fields"""
    controllers: dict[str, type] = field(default_factory=dict)
    """name -> class"""
    bodies: dict[str, type] = field(default_factory=dict)
    """name -> class of every body that the task's options name"""
    algorithms: dict[str, type] = field(default_factory=dict)
    """name -> class"""

    @classmethod
    def of(
        cls,
        task: str,
        controller: str,
        task_options: Mapping[str, Any],
        algorithm: str | None = None,
    ) -> Names:
        """The names of a run as they stand in this process.

        A module in front of a name (``"my_file:Name"``) is imported here, and dropped from the name.

        Args:
            task: its id.
            controller: its name.
            task_options: of the task; ``body`` in them may name a body or several.
            algorithm: its name; None: there is none.
        """
        # Imported here: the trainers in this registry import this module.
        from .. import algorithms

        id = _without_module(task_id(task))
        names = cls(task=id, spec=_registration(id))
        names.controllers[_without_module(controller)] = controllers.controllers.get(controller)
        for body in _bodies(task_options):
            names.bodies[body] = morphology.bodies.known(body)
        if algorithm is not None:
            names.algorithms[_without_module(algorithm)] = algorithms.get(algorithm)
        return names

    def register(self) -> None:
        """Register them all in this process."""
        from .. import algorithms

        register(self.task, **self.spec)
        for name, target in self.controllers.items():
            controllers.controllers.register(name, target)
        for name, target in self.bodies.items():
            morphology.bodies.register(name, target)
        for name, target in self.algorithms.items():
            algorithms.register(name, target)


def _without_module(name: str) -> str:
    return name.rpartition(":")[2]


def _registration(id: str) -> dict[str, Any]:
    """How a task is registered in this process, with its class in the place of the class's path."""
    spec = gym.spec(id)
    settings: dict[str, Any] = dict(spec.kwargs)
    if isinstance(settings["task"], str):
        settings["task"] = load_object(settings["task"])
    settings["max_episode_steps"] = spec.max_episode_steps
    return settings


def _bodies(task_options: Mapping[str, Any]) -> list[str]:
    """Names of the bodies in a task's options, which hold one body, a list of bodies, or none."""
    given = task_options.get("body")
    bodies = given if isinstance(given, list | tuple) else [given]
    return [body["name"] for body in bodies if isinstance(body, Mapping)]

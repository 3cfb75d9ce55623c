"""Task ids: registration with Gymnasium, and the short names that commands use."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterable
from typing import Any

import gymnasium as gym

from .errors import check_names, unknown
from .registry import import_prefix, load_object

_VECTOR, _SINGLE = "lancelet.envs.core:VectorEnv", "lancelet.envs.core:SingleEnv"


def register(
    id: str, task: str | type, max_episode_steps: int | None = None, **options: Any
) -> None:
    """Register a task under a Gymnasium id, for one environment and for a batch alike.

    Args:
        id: ``"namespace/Name-v0"``.
        task: the `envs.Task` class, or ``"module:Class"`` (nothing is imported until it is made).
        max_episode_steps: control steps of an episode; None for no limit.
        **options: defaults of the task's fields.
    """
    if isinstance(task, type):
        named = (
            task.__module__ != "__main__"
            and getattr(sys.modules.get(task.__module__), task.__name__, None) is task
        )
        # a spec of strings can go to JSON and to other processes
        task = f"{task.__module__}:{task.__name__}" if named else task
    if id in gym.registry and gym.registry[id].entry_point == _SINGLE:
        del gym.registry[id]
    gym.register(
        id=id,
        entry_point=_SINGLE,
        vector_entry_point=_VECTOR,
        max_episode_steps=max_episode_steps,
        kwargs={"task": task, **options},
    )


def registered() -> dict[str, str]:
    """Short name -> Gymnasium id of every task of the workbench: ``{"swim": "lancelet/Swim-v0"}``."""
    ids = [spec.id for spec in gym.registry.values() if spec.entry_point == _SINGLE]
    return {short_name(id): id for id in sorted(ids)}


def short_name(id: str) -> str:
    """The id in kebab case without module, namespace and version: ``BlimpAltitude-v0`` -> ``blimp-altitude``."""
    name = re.sub(r"-v\d+$", "", id.rpartition(":")[2].rpartition("/")[2])
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


def task_id(name: str) -> str:
    """The Gymnasium id for a short name, an id, or ``"module:"`` before either (the module is imported).

    Raises:
        LanceletError: no such task; the message lists near names.
    """
    module, rest = import_prefix(name, "task")
    id = known_task_id(rest)
    if module:
        return f"{module}:{id}"
    return id


def known_task_id(name: str) -> str:
    """The Gymnasium id for a name that comes from a file: it must be registered, and no module is imported for it.

    A module in front of the name is left out: whoever registers a task of their own imports it first.

    Raises:
        LanceletError: no such task; the message lists near names.
    """
    short = name.rpartition(":")[2]
    known = registered()
    if short in known:
        return known[short]
    if short in known.values():
        return short
    if "/" in short:
        raise unknown("task", name, known.values())
    raise unknown("task", name, known)


def check_task_options(id: str, options: Iterable[str]) -> None:
    """Refuse names that are no fields of a registered task, nor ``max_episode_steps``.

    Gymnasium hands every keyword on to the environment, whose keyword ``task`` is a class to be imported.

    Raises:
        LanceletError: the first such name; near names are listed.
    """
    task = gym.spec(known_task_id(id)).kwargs["task"]
    if isinstance(task, str):
        task = load_object(task)
    fields = [field.name for field in dataclasses.fields(task)]
    check_names(f"option of task {id}", options, [*fields, "max_episode_steps"])

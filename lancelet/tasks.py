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

_VECTOR = "lancelet.envs.core:VectorEnv"
"""entry point of a batch of environments"""
_SINGLE = "lancelet.envs.core:SingleEnv"
"""entry point of one environment; by it a task of the workbench is told from others in Gymnasium's registry"""


def register(
    id: str, task: str | type, max_episode_steps: int | None = None, **options: Any
) -> None:
    """Register a task under a Gymnasium id, for one environment and for a batch alike.

    Args:
        id: the id in Gymnasium's form, ``"namespace/Name-v0"``; a task of the workbench that has it is replaced.
        task: the `envs.Task` class, or ``"module:Class"``: then nothing is imported until an environment is made.
        max_episode_steps: control steps of an episode; None: there is no limit.
        **options: defaults of the task's fields.
    """
    target = task
    if isinstance(task, type) and _can_be_imported(task):
        # A spec that is made of texts can go to JSON and to other processes.
        target = f"{task.__module__}:{task.__name__}"
    # Gymnasium would warn of an id that is registered twice.
    if id in gym.registry and gym.registry[id].entry_point == _SINGLE:
        del gym.registry[id]
    gym.register(
        id=id,
        entry_point=_SINGLE,
        vector_entry_point=_VECTOR,
        max_episode_steps=max_episode_steps,
        kwargs={"task": target, **options},
    )


def _can_be_imported(cls: type) -> bool:
    """Whether another process finds a class by the names of its module and its own."""
    if cls.__module__ == "__main__":
        # Another process has another main script.
        return False
    module = sys.modules.get(cls.__module__)
    return getattr(module, cls.__name__, None) is cls


def registered() -> dict[str, str]:
    """Short name -> Gymnasium id of every task of the workbench: ``{"swim": "lancelet/Swim-v0"}``."""
    ids = [spec.id for spec in gym.registry.values() if spec.entry_point == _SINGLE]
    return {short_name(id): id for id in sorted(ids)}


def short_name(id: str) -> str:
    """The id in kebab case without module, namespace and version: ``BlimpAltitude-v0`` -> ``blimp-altitude``."""
    without_module = id.rpartition(":")[2]
    versioned_name = without_module.rpartition("/")[2]
    name = re.sub(r"-v\d+$", "", versioned_name)
    hyphenated_name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
    return hyphenated_name.lower()


def task_id(name: str) -> str:
    """The Gymnasium id for a short name, an id, or ``"module:"`` before either (the module is imported).

    Raises:
        LanceletError: no such task; the message lists near names.
    """
    module, name_behind = import_prefix(name, "task")
    id = known_task_id(name_behind)
    if module:
        return f"{module}:{id}"
    return id


def known_task_id(name: str) -> str:
    """The Gymnasium id for a name that comes from a file: it must be registered, and no module is imported for it.

    A module in front of the name is left out: whoever registers a task of their own imports it first.

    Raises:
        LanceletError: no such task; the message lists near names.
    """
    name_behind = name.rpartition(":")[2]
    id_of = registered()
    if name_behind in id_of:
        return id_of[name_behind]
    if name_behind in id_of.values():
        return name_behind
    looks_like_an_id = "/" in name_behind
    if looks_like_an_id:
        raise unknown("task", name, id_of.values())
    raise unknown("task", name, id_of)


def check_task_options(id: str, options: Iterable[str]) -> None:
    """Refuse names that are no fields of a registered task, nor ``max_episode_steps``.

    Gymnasium hands every keyword on to the environment, whose keyword ``task`` is a class to be imported: a file of a
    stranger's must not get there.

    Raises:
        LanceletError: the first such name; near names are listed.
    """
    task_class = gym.spec(known_task_id(id)).kwargs["task"]
    if isinstance(task_class, str):
        task_class = load_object(task_class)
    fields = [field.name for field in dataclasses.fields(task_class)]
    check_names(f"option of task {id}", options, [*fields, "max_episode_steps"])

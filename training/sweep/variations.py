"""What a sweep may vary, and configurations with the values of one trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, get_type_hints

from ... import controllers
from ...envs import Task
from ...errors import LanceletError
from ..config import Config
from ..distributed.shipping import Names
from .ranges import Over

OWN = ("folder", "resume", "quiet", "workers", "address", "chunk")
"""options of a trainer that the sweep sets for every trial"""
NOT_SWEPT = (*OWN, "test")
"""options of a trainer that cannot be varied; the validation is what trials are compared by, not the test"""


def option_types(base: Config) -> dict[str, Any]:
    """Name -> type of every option that can be swept: the algorithm's, ``controller.x`` and ``task.x``."""
    from .. import algorithms

    trainer_class = algorithms.get(base.algorithm)
    controller_options = controllers.controllers.get(base.controller).Options
    task_class: type[Task] = Names.of(base.task, base.controller, {}).spec["task"]

    types: dict[str, Any] = {}
    for name, kind in _field_types(trainer_class).items():
        if name not in NOT_SWEPT:
            types[name] = kind
    for name, kind in _field_types(controller_options).items():
        types[f"controller.{name}"] = kind
    for name, kind in _field_types(task_class).items():
        # A field of type Any holds a body, which no text describes.
        if kind is not Any:
            types[f"task.{name}"] = kind
    types["task.max_episode_steps"] = int
    return types


def _field_types(cls: Any) -> dict[str, Any]:
    """Name -> type of every field of a dataclass."""
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def merged(base: Config, values: Mapping[str, Any]) -> Config:
    """`base` with the values of one trial, whose names are those of `option_types`."""
    options_of = {
        "task": dict(base.task_options),
        "controller": dict(base.controller_options),
        "algorithm": dict(base.algorithm_options),
    }
    for name, value in values.items():
        owner, dot, field = name.partition(".")
        if dot:
            options_of[owner][field] = value
        else:
            options_of["algorithm"][name] = value
    return dataclasses.replace(
        base,
        task_options=options_of["task"],
        controller_options=options_of["controller"],
        algorithm_options=options_of["algorithm"],
    )


def try_ends(base: Config, overs: list[Over]) -> None:
    """Try every end of every range, so that a bad value shows now and not in a trial.

    Everything is made that a training makes before it runs. An error that names another swept option is let pass: the
    value may hold together with another value of that option.

    Args:
        base: what every trial has in common.
        overs: the options that are varied.

    Raises:
        LanceletError: the first value that is refused.
    """
    for over in overs:
        other_names = [other.name.rpartition(".")[2] for other in overs if other is not over]
        for value in over.ends:
            try:
                _prepare(merged(base, {over.name: value}))
            except LanceletError as error:
                depends_on_another = any(name in str(error) for name in other_names)
                if not depends_on_another:
                    raise LanceletError(f"--over {over.name}: {error}") from error


def _prepare(config: Config) -> None:
    """Make all that a training with `config` needs, and run nothing."""
    trainer = config.trainer()
    trainer.check()
    controller, _, _ = trainer.prepare(
        config.task, config.controller, config.task_options, config.controller_options
    )
    trainer.refuse(
        controller,
        task=config.task,
        controller=config.controller,
        task_options=config.task_options,
        controller_options=config.controller_options,
    )

"""Flags of a command from the dataclasses that it fills: ``--joints 7 --controller.period 50``."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Annotated, Any

import tyro


def parse(
    command: str,
    about: str,
    argv: Sequence[str],
    prefixed: Collection[str],
    parts: dict[str, Any],
) -> Any:
    """Read flags into dataclasses, as `lancelet.scripts.cli.parse` does for all commands.

    tyro reads one dataclass, `Flags`, with a field for every part. Its classes are copies of the parts' classes without
    the fields that are no flags; the values go back into the classes themselves at the end.

    Args:
        command: the command with its words, as the usage line shows it.
        about: what the command does, shown under it.
        argv: the flags.
        prefixed: names of the parts whose flags carry the part's name.
        parts: name -> a dataclass, or an object of one whose values become the defaults.

    Returns:
        An object with one attribute a part: an object of its dataclass, filled in.
    """
    classes = {}
    fields = []
    defaults = {}
    for name, part in parts.items():
        cls = part if isinstance(part, type) else type(part)
        flag_class = _without_hidden_fields(cls)
        classes[name] = cls
        if name in prefixed:
            fields.append((name, flag_class))
        else:
            fields.append((name, Annotated[flag_class, tyro.conf.arg(name="")]))
        if part is cls:
            defaults[name] = flag_class()
        else:
            defaults[name] = flag_class(**field_values(part))

    all_flags = dataclasses.make_dataclass("Flags", fields)
    filled = tyro.cli(
        all_flags,
        args=list(argv),
        default=all_flags(**defaults),
        prog=f"lancelet {command}",
        description=about,
    )
    result = {name: cls(**field_values(getattr(filled, name))) for name, cls in classes.items()}
    return dataclasses.make_dataclass("Parsed", list(result))(**result)


def derived(cls: type, fields: list[Any]) -> type:
    """A subclass of a dataclass with other `fields`, as `dataclasses.make_dataclass` takes them, and the same help."""
    made = dataclasses.make_dataclass(cls.__name__, fields, bases=(cls,), kw_only=True)
    return _with_docs_of(cls, made)


def _without_hidden_fields(cls: type) -> type:
    """`cls` with its fields of type Any, such as bodies, hidden from the command line."""
    hidden = [field.name for field in dataclasses.fields(cls) if field.type in ("Any", Any)]
    if not hidden:
        return cls
    fields = []
    for name in hidden:
        fields.append((name, Annotated[Any, tyro.conf.Suppress], dataclasses.field(default=None)))
    made = dataclasses.make_dataclass(
        cls.__name__,
        fields,
        bases=(cls,),
        # A frozen dataclass has frozen subclasses only.
        frozen=cls.__dataclass_params__.frozen,  # pyright: ignore[reportAttributeAccessIssue]
        kw_only=True,
    )
    return _with_docs_of(cls, made)


def _with_docs_of(cls: type, made: type) -> type:
    """Tell tyro to read the help of the class `made` where that of `cls` stands; changes `made`."""
    made.__module__ = cls.__module__
    made.__doc__ = cls.__doc__
    return made


def field_values(part: Any) -> dict[str, Any]:
    """The fields of a dataclass object that its constructor takes, by name."""
    return {
        field.name: getattr(part, field.name) for field in dataclasses.fields(part) if field.init
    }

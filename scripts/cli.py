"""What commands share: words first, then flags taken from dataclasses; errors in one line."""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any

import gymnasium as gym
import tyro

from lancelet import LanceletError, registered, task_id
from lancelet.errors import LanceletWarning, Terminated, unknown
from lancelet.registry import load_object

TRACEBACK = "LANCELET_TRACEBACK"
"""environment variable that shows where an error came from"""


def guard(main: Callable[[list[str] | None], int | None], argv: list[str] | None = None) -> int:
    """Run a command: what the user can mend becomes one line on stderr and status 2.

    Ctrl-C gives status 130, SIGTERM 143.

    What the operating system refuses (a full disk, a folder without permission, no memory for a
    fork) is such a line as well. With ``LANCELET_TRACEBACK=1`` in the environment the traceback
    comes first.
    """
    warnings.formatwarning = _warning_line
    try:
        return main(argv) or 0
    except Terminated:
        return 143
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # the reader left; say nothing at exit
        return 141
    except (LanceletError, gym.error.Error, OSError) as error:
        if os.environ.get(TRACEBACK, "") not in ("", "0"):
            traceback.print_exc()
        print(f"error: {_reason(error)}", file=sys.stderr)
        return 2


def _reason(error: Exception) -> str:
    """An exception in one line."""
    if not isinstance(error, OSError) or error.strerror is None:
        return " ".join(str(error).split("\n"))
    if error.filename is None:
        return error.strerror
    return f"{error.strerror}: {os.fsdecode(error.filename)}"


_usual_format = warnings.formatwarning


def _warning_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """A warning of the workbench as one line; all others as Python shows them."""
    if issubclass(category, LanceletWarning):
        return f"warning: {message}\n"
    return _usual_format(message, category, filename, lineno, line)


def shield_gl() -> None:
    """Keep a MUJOCO_GL whose library lacks from killing `import mujoco` here: only child processes draw."""
    own = os.environ.get("MUJOCO_GL")
    if own and "mujoco" not in sys.modules:
        os.environ.update(LANCELET_GL=own, MUJOCO_GL="disable")


def spec_of(name: str) -> Any:
    """Gymnasium's spec of the task called `name` (short name, id, or with ``module:`` before)."""
    return gym.spec(task_id(name).rpartition(":")[2])


def task_cls(name: str) -> type:
    """The task class behind a short name or id.

    Raises:
        LanceletError: no such task; near names are listed.
    """
    task = spec_of(name).kwargs["task"]
    return load_object(task) if isinstance(task, str) else task


def task_defaults(name: str) -> Any:
    """The task object with the defaults of its id: the instance that `parse` turns into flags."""
    options = {key: value for key, value in spec_of(name).kwargs.items() if key != "task"}
    return task_cls(name)(**options)


def words(
    command: str,
    about: str,
    argv: Sequence[str] | None,
    least: int | None = None,
    **known: Iterable[str],
) -> tuple[list[str], list[str]]:
    """The words that come before the flags, and the flags: ``swim ncap --joints 7`` -> ([swim, ncap], [...]).

    Args:
        command: name of the command.
        about: one line for its help.
        argv: without the program's name; None: the process's.
        least: how many words must be given; None: all.
        **known: one entry a word, in order: its name and what to list in the help.

    Raises:
        LanceletError: too few or too many words.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    count = next((i for i, word in enumerate(argv) if word.startswith("-")), len(argv))
    given, flags = argv[:count], [_expanded(flag) for flag in argv[count:]]
    least = len(known) if least is None else least
    shown = " ".join(
        name.upper() if i < least else f"[{name.upper()}]" for i, name in enumerate(known)
    )
    usage = f"lancelet {command} {shown} [flags]".replace("  ", " ")
    if len(given) < least:
        if {"-h", "--help"} & set(flags):
            lists = [f"\n{name.upper():12} {', '.join(names)}" for name, names in known.items()]
            tail = f"\n\nFlags follow from them: lancelet {command} {' '.join(map(_first, known.values()))} --help"
            print(f"usage: {usage}\n\n{about}\n{''.join(lists)}{tail}")
            raise SystemExit(0)
        name, names = list(known.items())[len(given)]
        raise LanceletError(f"{command}: {name} is missing ({', '.join(names)}); usage: {usage}")
    if len(given) > len(known):
        raise LanceletError(
            f"{command}: {given[len(known)]!r} is one word too many; usage: {usage}"
        )
    return given, flags


def _expanded(flag: str) -> str:
    """``--folder=~/x`` with the home folder in place of ``~``, which a shell leaves alone there."""
    name, equals, value = flag.partition("=")
    if name.startswith("--") and equals and value.startswith("~"):
        return f"{name}={os.path.expanduser(value)}"
    return flag


def _first(names: Iterable[str]) -> str:
    return next(iter(names), "")


def parse(
    command: str, about: str, argv: Sequence[str], /, prefixed: Iterable[str] = (), **parts: Any
) -> Any:
    """Flags of several dataclasses as one command; returns an object with one attribute a part, filled in.

    ``parse("train swim ncap", "...", flags, prefixed=["controller"], task=Swim(), controller=NCAPOptions)`` takes
    ``--joints 7 --controller.period 50``. Fields of type Any (bodies) are no flags. Help comes
    from field docstrings; bad flags end the process with status 2 and say which.

    Args:
        command: shown in the usage line.
        about: shown under it.
        argv: the flags.
        prefixed: parts whose flags carry the part's name; the others' names must not meet.
        **parts: a dataclass, or an object of one whose values become the defaults.

    Raises:
        LanceletError: values that a dataclass refuses.
    """
    classes = {name: part if isinstance(part, type) else type(part) for name, part in parts.items()}
    flags = {name: _flags(cls) for name, cls in classes.items()}
    marks = {
        name: flag if name in prefixed else Annotated[flag, tyro.conf.arg(name="")]
        for name, flag in flags.items()
    }
    whole = dataclasses.make_dataclass("Flags", [(name, mark) for name, mark in marks.items()])
    defaults = {
        name: flags[name]() if isinstance(part, type) else flags[name](**_values(part))
        for name, part in parts.items()
    }
    filled = tyro.cli(
        whole,
        args=list(argv),
        default=whole(**defaults),
        prog=f"lancelet {command}",
        description=about,
    )
    result = {name: cls(**_values(getattr(filled, name))) for name, cls in classes.items()}
    return dataclasses.make_dataclass("Parsed", list(result))(**result)


def _flags(cls: type) -> Any:
    """`cls` with its fields of type Any hidden from the command line."""
    hidden = [field.name for field in dataclasses.fields(cls) if field.type in ("Any", Any)]
    if not hidden:
        return cls
    frozen = cls.__dataclass_params__.frozen  # pyright: ignore[reportAttributeAccessIssue]
    fields = [
        (name, Annotated[Any, tyro.conf.Suppress], dataclasses.field(default=None))
        for name in hidden
    ]
    made = dataclasses.make_dataclass(
        cls.__name__, fields, bases=(cls,), frozen=frozen, kw_only=True
    )
    made.__module__, made.__doc__ = (
        cls.__module__,
        cls.__doc__,
    )  # where the field docstrings are read
    return made


def _values(part: Any) -> Mapping[str, Any]:
    return {
        field.name: getattr(part, field.name) for field in dataclasses.fields(part) if field.init
    }


STUDIES = "lancelet.scripts.studies"
"""package whose folders are the studies"""


def studies() -> list[str]:
    """Names of the studies: the folders of `scripts/studies/` that hold a `study.py`."""
    import pkgutil

    package = importlib.import_module(STUDIES)
    return sorted(item.name for item in pkgutil.iter_modules(package.__path__) if item.ispkg)


def study(name: str) -> Any:
    """The module ``study`` in the folder of the study called `name`.

    Raises:
        LanceletError: no such study; near names are listed.
    """
    if name not in studies():
        raise unknown("study", name, studies())
    return importlib.import_module(f"{STUDIES}.{name}.study")


def by_file(package: str, kind: str, name: str) -> Any:
    """The module ``package.name`` found by its file name (benches).

    Raises:
        LanceletError: no such file; near names are listed.
    """
    if name not in found(package):
        raise unknown(kind, name, found(package))
    return importlib.import_module(f"{package}.{name}")


def found(package: str) -> list[str]:
    """File names, without ending, of the modules in `package`; those that begin with _ are helpers."""
    import pkgutil

    modules = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return sorted(item.name for item in modules if not item.name.startswith("_"))


def tasks() -> list[str]:
    """Short names of all tasks."""
    return list(registered())

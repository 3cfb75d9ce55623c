"""What commands share: words come first, then flags; an error is one line; studies and benches are found by name."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import pkgutil
import sys
import traceback
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym

from lancelet import LanceletError, registered, task_id
from lancelet.errors import LanceletWarning, Terminated, unknown
from lancelet.optional import missing_extra
from lancelet.registry import load_object

TRACEBACK = "LANCELET_TRACEBACK"
"""environment variable that shows where an error came from"""

STATUS_ERROR = 2
"""exit status after an error that the user can mend"""
STATUS_INTERRUPTED = 130
"""exit status after Ctrl-C: 128 and the number of SIGINT, as shells have it"""
STATUS_READER_LEFT = 141
"""exit status where nobody reads the output any more: 128 and the number of SIGPIPE"""
STATUS_TERMINATED = 143
"""exit status after SIGTERM: 128 and its number"""

STUDIES = "lancelet.scripts.studies"
"""package whose folders are the studies"""


# Errors


def guard(main: Callable[[list[str] | None], int | None], argv: list[str] | None = None) -> int:
    """Run a command: what the user can mend becomes one line on stderr.

    That is a `LanceletError`, a package that an extra brings, and what the operating system refuses (a full disk, a
    folder without permission, no memory for a fork). With ``LANCELET_TRACEBACK=1`` in the environment the traceback
    comes first. Other exceptions are faults of the program and keep their traceback.

    Args:
        main: the command, from its arguments to its exit status.
        argv: the arguments; None: those of the process.

    Returns:
        The exit status.
    """
    warnings.formatwarning = _warning_line
    try:
        return main(argv) or 0
    except Terminated:
        return STATUS_TERMINATED
    except KeyboardInterrupt:
        return STATUS_INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout at its end, which would fail again and print a traceback.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        return STATUS_READER_LEFT
    except ImportError as error:
        missing = missing_extra(error)
        if missing is None:
            raise
        _print_error(missing)
        return STATUS_ERROR
    except (LanceletError, gym.error.Error, OSError) as error:
        _print_error(error)
        return STATUS_ERROR


def _print_error(error: Exception) -> None:
    """Print an exception that is being handled as one line on stderr, after its traceback where that is wanted."""
    if os.environ.get(TRACEBACK, "") not in ("", "0"):
        traceback.print_exc()
    print(f"error: {_reason(error)}", file=sys.stderr)


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
    """Keep a MUJOCO_GL whose library is missing from ending this process at ``import mujoco``.

    Only child processes draw: they find the user's choice in LANCELET_GL.
    """
    backend = os.environ.get("MUJOCO_GL")
    if backend and "mujoco" not in sys.modules:
        os.environ.update(LANCELET_GL=backend, MUJOCO_GL="disable")


# Tasks by name


def tasks() -> list[str]:
    """Short names of all tasks."""
    return list(registered())


def spec_of(name: str) -> Any:
    """Gymnasium's spec of the task called `name`: a short name or an id, with or without ``module:`` before it."""
    _, _, id = task_id(name).rpartition(":")
    return gym.spec(id)


def task_cls(name: str) -> type:
    """The task class behind a short name or id.

    Raises:
        LanceletError: no such task; near names are listed.
    """
    task = spec_of(name).kwargs["task"]
    if isinstance(task, str):
        return load_object(task)
    return task


def task_defaults(name: str) -> Any:
    """The task object with the defaults of its id: the instance that `parse` turns into flags."""
    options = dict(spec_of(name).kwargs)
    del options["task"]
    return task_cls(name)(**options)


# Words and flags


def words(
    command: str,
    about: str,
    argv: Sequence[str] | None,
    least: int | None = None,
    **known: Iterable[str],
) -> tuple[list[str], list[str]]:
    """Part the words that come first from the flags: ``swim ncap --joints 7`` -> ([swim, ncap], [--joints, 7]).

    Args:
        command: name of the command.
        about: one line for its help.
        argv: the arguments without the program's name; None: those of the process.
        least: how many words must be given; None: all.
        **known: one entry a word, in order: its name, and what to list in the help.

    Raises:
        LanceletError: too few or too many words.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    given = []
    for argument in arguments:
        if argument.startswith("-"):
            break
        given.append(argument)
    flags = [_with_home_folder(argument) for argument in arguments[len(given) :]]
    needed = len(known) if least is None else least
    usage = _usage(command, list(known), needed)
    if len(given) < needed:
        if "-h" in flags or "--help" in flags:
            print(_help(command, about, usage, known))
            raise SystemExit(0)
        missing = list(known)[len(given)]
        choices = ", ".join(known[missing])
        raise LanceletError(f"{command}: {missing} is missing ({choices}); usage: {usage}")
    if len(given) > len(known):
        surplus = given[len(known)]
        raise LanceletError(f"{command}: {surplus!r} is one word too many; usage: {usage}")
    return given, flags


def _usage(command: str, names: list[str], needed: int) -> str:
    """The line after "usage:"; words beyond the first `needed` stand in brackets."""
    shown = [name.upper() for name in names[:needed]]
    shown += [f"[{name.upper()}]" for name in names[needed:]]
    return " ".join(["lancelet", command, *shown, "[flags]"])


def _help(command: str, about: str, usage: str, known: dict[str, Iterable[str]]) -> str:
    """The help of a command whose words are not given yet: they decide which flags there are."""
    lists = "".join(f"\n{name.upper():12} {', '.join(names)}" for name, names in known.items())
    example = " ".join(next(iter(names), "") for names in known.values())
    tail = f"Flags follow from them: lancelet {command} {example} --help"
    return f"usage: {usage}\n\n{about}\n{lists}\n\n{tail}"


def _with_home_folder(flag: str) -> str:
    """``--folder=~/x`` with the home folder in place of ``~``, which a shell leaves alone there."""
    name, equals, value = flag.partition("=")
    if name.startswith("--") and equals and value.startswith("~"):
        return f"{name}={os.path.expanduser(value)}"
    return flag


def parse(
    command: str,
    about: str,
    argv: Sequence[str],
    /,
    prefixed: Collection[str] = (),
    **parts: Any,
) -> Any:
    """Read the flags of several dataclasses as one command.

    ``parse("train swim ncap", "...", flags, prefixed=["controller"], task=Swim(), controller=NCAPOptions)`` takes
    ``--joints 7 --controller.period 50``. Fields of type Any (bodies) are no flags. Help comes from field docstrings;
    bad flags end the process with status 2 and say which.

    Args:
        command: shown in the usage line.
        about: shown under it.
        argv: the flags.
        prefixed: parts whose flags carry the part's name; names of the others' flags must differ.
        **parts: a dataclass, or an object of one whose values become the defaults.

    Returns:
        An object with one attribute a part: an object of its dataclass, filled in.

    Raises:
        LanceletError: values that a dataclass refuses.
    """
    # Here, so that commands without flags start without tyro.
    from lancelet.scripts import flags

    return flags.parse(command, about, argv, prefixed, parts)


# Studies, benches and commands by name


def studies() -> list[str]:
    """Names of the studies: the folders of `scripts/studies/`."""
    return sorted(item.name for item in _modules(STUDIES) if item.ispkg)


def study(name: str) -> Any:
    """The module ``study`` in the folder of the study called `name`.

    Raises:
        LanceletError: no such study; near names are listed.
    """
    if name not in studies():
        raise unknown("study", name, studies())
    return importlib.import_module(f"{STUDIES}.{name}.study")


def by_file(package: str, kind: str, name: str) -> Any:
    """The module ``package.name`` found by its file name.

    Args:
        package: dotted name of a package: ``lancelet.scripts.benches``.
        kind: what its modules are, for the error: "bench".
        name: file name without its ending.

    Raises:
        LanceletError: no such file; near names are listed.
    """
    if name not in found(package):
        raise unknown(kind, name, found(package))
    return importlib.import_module(f"{package}.{name}")


def found(package: str) -> list[str]:
    """File names, without ending, of the modules in `package`; those that begin with _ are helpers."""
    return sorted(item.name for item in _modules(package) if not item.name.startswith("_"))


def _modules(package: str) -> Iterable[pkgutil.ModuleInfo]:
    """Modules and packages in `package`, which are not imported."""
    return pkgutil.iter_modules(importlib.import_module(package).__path__)


def first_line(target: str) -> str:
    """First line of the docstring of ``"module"`` or ``"module:Class"``, read from its source without importing it.

    So that `list` and `--help` need not wait for the libraries of every command, nor have them. Empty where there is
    no docstring.
    """
    module, _, class_name = target.partition(":")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return ""
    node: Any = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    if class_name:
        classes = [item for item in node.body if isinstance(item, ast.ClassDef)]
        node = next((item for item in classes if item.name == class_name), None)
    if node is None:
        return ""
    lines = (ast.get_docstring(node) or "").splitlines()
    return lines[0] if lines else ""

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
from gymnasium.envs.registration import EnvSpec

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
        status = main(argv)
        return 0 if status is None else status
    except Terminated:
        return STATUS_TERMINATED
    except KeyboardInterrupt:
        return STATUS_INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout at its end, which would fail again and print a traceback: it flushes into nothing.
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
    wants_traceback = os.environ.get(TRACEBACK, "") not in ("", "0")
    if wants_traceback:
        traceback.print_exc()
    print(f"error: {_reason(error)}", file=sys.stderr)


def _reason(error: Exception) -> str:
    """An exception in one line."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error).replace("\n", " ")
    # Without its number, which `str` would put in front.
    if error.filename is None:
        return error.strerror
    return f"{error.strerror}: {os.fsdecode(error.filename)}"


_usual_format = warnings.formatwarning
"""how Python shows a warning"""


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

    Only child processes draw: they find the user's choice in LANCELET_GL. Changes the environment of this process, and
    does nothing once MuJoCo is imported.
    """
    backend = os.environ.get("MUJOCO_GL")
    if backend and "mujoco" not in sys.modules:
        os.environ.update(LANCELET_GL=backend, MUJOCO_GL="disable")


# Tasks by name


def tasks() -> list[str]:
    """Short names of all tasks."""
    return list(registered())


def spec_of(name: str) -> EnvSpec:
    """Gymnasium's spec of the task called `name`: a short name or an id, with or without ``module:`` before it.

    Raises:
        LanceletError: no such task; near names are listed.
    """
    _, _, id = task_id(name).rpartition(":")
    return gym.spec(id)


def task_cls(name: str) -> type:
    """The task class behind a short name or id.

    Raises:
        LanceletError: no such task; near names are listed.
    """
    target = spec_of(name).kwargs["task"]
    if isinstance(target, str):
        return load_object(target)
    return target


def task_defaults(name: str) -> Any:
    """The task object with the defaults of its id: the instance that `parse` turns into flags.

    Raises:
        LanceletError: no such task; near names are listed.
    """
    registered_values = dict(spec_of(name).kwargs)
    del registered_values["task"]
    return task_cls(name)(**registered_values)


# Words and flags


def words(
    command: str,
    about: str,
    argv: Sequence[str] | None,
    least: int | None = None,
    **known: Iterable[str],
) -> tuple[list[str], list[str]]:
    """Part the words that come first from the flags: ``swim ncap --joints 7`` -> ([swim, ncap], [--joints, 7]).

    Which word stands for what is their order: that of the keywords `known`, which Python keeps.

    ``--help`` is answered here only where words are missing: the flags depend on the words, so that with all of them
    `parse` knows them and answers. Whether a word is one of its choices is for the command to say: some (a run's
    folder) have none that could be listed.

    Args:
        command: name of the command.
        about: one line for its help.
        argv: the arguments without the program's name; None: those of the process.
        least: number of words that must be given, the first ones of `known`; None: all.
        **known: name of each word -> its choices, which the help and the error list. The order of the keywords is
            that of the words on the command line.

    Returns:
        The words, and the flags that follow them.

    Raises:
        LanceletError: too few or too many words.
        SystemExit: with 0, after the help.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    given = []
    for argument in arguments:
        if argument.startswith("-"):
            break
        given.append(argument)
    rest = arguments[len(given) :]
    flags = [_with_home_folder(argument) for argument in rest]
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
    words_shown = [name.upper() for name in names[:needed]]
    words_shown += [f"[{name.upper()}]" for name in names[needed:]]
    return " ".join(["lancelet", command, *words_shown, "[flags]"])


def _help(command: str, about: str, usage: str, known: dict[str, Iterable[str]]) -> str:
    """The help of a command whose words are not given yet: they decide which flags there are.

    Args:
        command: name of the command.
        about: one line that says what it does.
        usage: the line after "usage:".
        known: the words in order, each with its choices.
    """
    lists = ""
    examples = []
    for name, choices in known.items():
        lists += f"\n{name.upper():12} {', '.join(choices)}"
        examples.append(next(iter(choices), ""))
    tail = f"Flags follow from them: lancelet {command} {' '.join(examples)} --help"
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
        command: the command with its words, as the usage line shows it.
        about: what the command does, shown under it.
        argv: the flags.
        prefixed: names of the parts whose flags carry the part's name; names of the others' flags must differ.
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
    names = module_names(package)
    if name not in names:
        raise unknown(kind, name, names)
    return importlib.import_module(f"{package}.{name}")


def module_names(package: str) -> list[str]:
    """File names, without ending, of the modules in `package`; those that begin with _ are helpers and left out."""
    return sorted(item.name for item in _modules(package) if not item.name.startswith("_"))


def _modules(package: str) -> Iterable[pkgutil.ModuleInfo]:
    """Modules and packages in `package`, which are not imported."""
    return pkgutil.iter_modules(importlib.import_module(package).__path__)


def first_line(target: str) -> str:
    """First line of the docstring of ``"module"`` or ``"module:Class"``; empty where there is none.

    It is read from the source, which is not imported: `list` and `--help` then need not wait for the libraries of every
    command, nor have them.
    """
    module_name, _, class_name = target.partition(":")
    spec = importlib.util.find_spec(module_name)
    if spec is None or spec.origin is None:
        return ""
    module = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    docstring = ast.get_docstring(module)
    if class_name:
        docstring = _class_docstring(module, class_name)
    if not docstring:
        return ""
    return docstring.splitlines()[0]


def _class_docstring(module: ast.Module, name: str) -> str | None:
    """Docstring of the class called `name` in the source of a module; None where there is no such class."""
    for statement in module.body:
        if isinstance(statement, ast.ClassDef) and statement.name == name:
            return ast.get_docstring(statement)
    return None

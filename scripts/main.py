"""The `lancelet` command: every file in this folder with a `main` is a subcommand."""

from __future__ import annotations

import importlib
import os
import sys

from lancelet import __version__
from lancelet.errors import unknown
from lancelet.scripts.cli import first_line, guard, module_names

PACKAGE = "lancelet.scripts"
_NOT_COMMANDS = {"main", "cli", "flags", "rows", "study", "studies", "benches"}
"""modules and packages of this folder that are no subcommands"""


def commands() -> list[str]:
    """Names of all subcommands."""
    return [name for name in module_names(PACKAGE) if name not in _NOT_COMMANDS]


def main(argv: list[str] | None = None) -> int:
    """Run a subcommand and return its exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    return guard(_run, arguments)


def _run(argv: list[str] | None) -> int | None:
    """Run the subcommand that the first of the arguments names, with the others."""
    if not argv or argv[0] in ("-h", "--help"):
        _print_help()
        return 0
    command, *arguments = argv
    if command == "--version":
        print(__version__)
        return 0
    if _names_a_module(argv):
        # Last: a file here must not stand in for an installed module. And only where it is asked for:
        # optional modules that are not installed would be found in a stranger's folder.
        sys.path.append(os.getcwd())
    if command not in commands():
        raise unknown("command", command, commands())
    return importlib.import_module(f"{PACKAGE}.{command}").main(arguments)


def _print_help() -> None:
    """Print one line a subcommand; none of them is imported."""
    print(f"lancelet {__version__}\n\nusage: lancelet COMMAND ...\n")
    for name in commands():
        print(f"  {name:10} {first_line(f'{PACKAGE}.{name}')}")


def _names_a_module(argv: list[str]) -> bool:
    """Whether a word is ``module:name``, or the command is to trust a run folder, which may name a module."""
    return "--trust" in argv or any(":" in word for word in argv)


if __name__ == "__main__":
    raise SystemExit(main())

"""The `lancelet` command: every file in this folder with a `main` is a subcommand."""

from __future__ import annotations

import importlib
import os
import sys

from lancelet import __version__
from lancelet.errors import unknown
from lancelet.scripts.cli import found, guard

_NOT_COMMANDS = {"main", "cli", "rows", "study", "studies", "benches"}


def commands() -> list[str]:
    """Names of all subcommands."""
    return [name for name in found("lancelet.scripts") if name not in _NOT_COMMANDS]


def main(argv: list[str] | None = None) -> int:
    """Dispatch to a subcommand; its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    return guard(_run, argv)


def _names_a_module(argv: list[str]) -> bool:
    """Whether a word is ``module:name``, or the command is to trust a run folder, which may name a module."""
    return "--trust" in argv or any(":" in word for word in argv)


def _run(argv: list[str] | None) -> int | None:
    if not argv or argv[0] in ("-h", "--help"):
        print(f"lancelet {__version__}\n\nusage: lancelet COMMAND ...\n")
        for name in commands():
            about = (
                importlib.import_module(f"lancelet.scripts.{name}").__doc__ or ""
            ).splitlines()[0]
            print(f"  {name:10} {about}")
        return 0
    if argv[0] == "--version":
        print(__version__)
        return 0
    if _names_a_module(argv):
        # Last: a file here must not stand in for an installed module. And only where it is asked for:
        # optional modules that are not installed would be found in a stranger's folder.
        sys.path.append(os.getcwd())
    if argv[0] not in commands():
        raise unknown("command", argv[0], commands())
    return importlib.import_module(f"lancelet.scripts.{argv[0]}").main(argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())

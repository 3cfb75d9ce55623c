"""List every task, body, controller, algorithm, study and bench."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from lancelet import LanceletError
from lancelet.scripts import cli


def main(argv: list[str] | None = None) -> int | None:
    """Print them, one line each."""
    from rich.console import Console
    from rich.text import Text

    _, flags = cli.words("list", __doc__ or "", argv)
    cli.parse("list", __doc__ or "", flags)
    console = Console()
    for kind, entries in _all():
        console.print(Text(kind, style="bold"))
        for name, about in entries:
            line = Text.assemble("  ", (f"{name:18}", "cyan"), f" {about}")
            if console.is_terminal:
                console.print(line, no_wrap=True, overflow="ellipsis")
            else:
                print(line.plain)
    return 0


def _all() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    from lancelet import controllers, morphology, training

    yield "tasks", [(name, _about(cli.task_cls, name)) for name in cli.tasks()]
    yield "bodies", [(name, _about(morphology.bodies.get, name)) for name in morphology.bodies]
    yield (
        "controllers",
        [(name, _about(controllers.controllers.get, name)) for name in controllers.controllers],
    )
    yield (
        "algorithms",
        [(name, _about(training.algorithms.get, name)) for name in training.algorithms],
    )
    yield "studies", [(name, _about(cli.study, name)) for name in cli.studies()]
    benches = "lancelet.scripts.benches"
    yield (
        "benches",
        [(name, _about(import_module, f"{benches}.{name}")) for name in cli.found(benches)],
    )


def _about(load: Callable[[str], Any], name: str) -> str:
    """First line of the docstring; what does not load says so, and the list goes on."""
    try:
        return (load(name).__doc__ or "").strip().split("\n")[0]
    except (LanceletError, ImportError) as error:
        return f"does not load: {error}"


if __name__ == "__main__":
    raise SystemExit(cli.guard(main))

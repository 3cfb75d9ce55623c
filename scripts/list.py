"""List every task, body, controller, algorithm, study and bench."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import gymnasium as gym

from lancelet import LanceletError, registered
from lancelet.registry import Registry
from lancelet.scripts import cli
from lancelet.scripts.bench import BENCHES

Entry = tuple[str, str]
"""name, and a line about what it names"""


def main(argv: list[str] | None = None) -> int | None:
    """Print one line each."""
    from rich.console import Console
    from rich.text import Text

    _, flags = cli.words("list", __doc__ or "", argv)
    cli.parse("list", __doc__ or "", flags)
    console = Console()
    for kind, entries in _kinds():
        console.print(Text(kind, style="bold"))
        for name, about in entries:
            line = Text.assemble("  ", (f"{name:18}", "cyan"), f" {about}")
            if console.is_terminal:
                console.print(line, no_wrap=True, overflow="ellipsis")
            else:
                print(line.plain)
    return 0


def _kinds() -> Iterator[tuple[str, Iterable[Entry]]]:
    """What can be listed, kind by kind."""
    yield (
        "tasks",
        _described({name: gym.spec(id).kwargs["task"] for name, id in registered().items()}),
    )

    # After the first kind is on the screen: these imports take a second.
    from lancelet import controllers, morphology, training

    yield "bodies", _registered(morphology.bodies)
    yield "controllers", _registered(controllers.controllers)
    yield "algorithms", _registered(training.algorithms)
    yield "studies", _described({name: f"{cli.STUDIES}.{name}.study" for name in cli.studies()})
    yield "benches", _described({name: f"{BENCHES}.{name}" for name in cli.module_names(BENCHES)})


def _registered(registry: Registry) -> list[Entry]:
    """What is registered, none of which is loaded."""
    return _described({name: registry.target(name) for name in registry})


def _described(targets: Mapping[str, type | str]) -> list[Entry]:
    """Names, each with a line about its target: an object, or ``"module:name"``."""
    return [(name, _about(target)) for name, target in targets.items()]


def _about(target: type | str) -> str:
    """First line of the docstring of an object, or of the source behind ``"module:name"``, which is not loaded.

    What does not load says so, and the list goes on.
    """
    try:
        if isinstance(target, str):
            return cli.first_line(target)
        docstring = (target.__doc__ or "").strip()
        return docstring.partition("\n")[0]
    except (LanceletError, ImportError) as error:
        return f"does not load: {error}"


if __name__ == "__main__":
    raise SystemExit(cli.guard(main))

"""Search over options: `lancelet sweep swim mlp --algorithm ppo --over gamma=0.9,0.99 --over actor_rate=1e-4..1e-2`."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from lancelet import task_id
from lancelet.scripts import cli
from lancelet.scripts.train import algorithm_of, changed


@dataclass
class Episodes:
    """How long."""

    max_episode_steps: int | None = None
    """control steps of an episode; none: the task's own limit"""


def main(argv: list[str] | None = None) -> int | None:
    """Run the trials, print them best first, and say how to train with the best."""
    from lancelet import controllers, training
    from lancelet.training.config import Config
    from lancelet.training.sweep.search import OWN, Sweep

    cli.shield_gl()
    argv = list(sys.argv[1:] if argv is None else argv)
    (task, controller), flags = cli.words(
        "sweep", __doc__ or "", argv, task=cli.tasks(), controller=list(controllers.controllers)
    )
    algorithm, flags = algorithm_of(flags)
    trainer = training.algorithms.get(algorithm)
    parsed = cli.parse(
        f"sweep {task} {controller} --algorithm {algorithm}",
        f"{__doc__}\n\nOther flags hold for every trial. Algorithms: {', '.join(training.algorithms)}",
        flags,
        prefixed=["controller"],
        sweep=_repeated(Sweep),
        trainer=_without(trainer, [*OWN, *(field.name for field in dataclasses.fields(Sweep))]),
        task=cli.task_defaults(task),
        episodes=Episodes,
        controller=controllers.controllers.get(controller).Options,
    )
    options = changed(parsed.task, cli.task_defaults(task))
    if parsed.episodes.max_episode_steps is not None:
        options["max_episode_steps"] = parsed.episodes.max_episode_steps
    fixed = {name: value for name, value in changed(parsed.trainer).items() if name not in OWN}
    base = Config(task_id(task), controller, algorithm, options, changed(parsed.controller), fixed)
    sweep = Sweep(
        **{field.name: getattr(parsed.sweep, field.name) for field in dataclasses.fields(Sweep)}
    )
    try:
        trials = sweep.run(base, parsed.trainer.seed)
    except KeyboardInterrupt:
        print(
            f"\ninterrupted: continue with lancelet sweep {_again(argv, sweep.folder)}",
            file=sys.stderr,
        )
        raise
    return _report(base, sweep, trials)


def _report(base: Any, sweep: Any, trials: list[Any]) -> int:
    from rich.console import Console
    from rich.table import Table

    from lancelet.training.sweep import report as sweep_report
    from lancelet.training.sweep.ranges import parse
    from lancelet.training.sweep.search import option_types

    overs, folder = parse(sweep.over, option_types(base)), Path(sweep.folder)
    best = sweep_report.write(folder, base, overs, trials)
    head, *rows = sweep_report.rows(trials, [over.name for over in overs])
    table = Table(title="trials, best first", title_justify="left")
    for name in head:
        table.add_column(name)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    if best is None:
        print(f"every trial failed; sweep folder: {folder}", file=sys.stderr)
        return 1
    film = f"film the best: lancelet render {trials[0].folder}"
    print(f"sweep folder: {folder}   (best.yaml, sweep.png, trials.json; {film})")
    print(f"train with the best: {sweep_report.command(best)}")
    return 0


def _repeated(cls: type) -> type:
    """`cls` with an `over` that is given once for every option."""
    field = (
        "over",
        Annotated[tuple[str, ...], tyro.conf.UseAppendAction],
        dataclasses.field(default=()),
    )
    return _same_docs(
        dataclasses.make_dataclass(cls.__name__, [field], bases=(cls,), kw_only=True), cls
    )


def _without(cls: type, names: list[str]) -> type:
    """`cls` without flags for `names`, which keep their defaults."""
    fields = [
        (field.name, Any, dataclasses.field(default=field.default))
        for field in dataclasses.fields(cls)
        if field.name in names
    ]
    return _same_docs(
        dataclasses.make_dataclass(cls.__name__, fields, bases=(cls,), kw_only=True), cls
    )


def _same_docs(made: type, cls: type) -> type:
    made.__module__, made.__doc__ = (
        cls.__module__,
        cls.__doc__,
    )  # where the field docstrings are read
    return made


def _again(argv: list[str], folder: str | None) -> str:
    """The words that continue this sweep."""
    words = [word for word in argv if word not in ("--resume", "--trust")]
    where = (
        []
        if any(word.partition("=")[0] == "--folder" for word in words)
        else ["--folder", str(folder)]
    )
    return shlex.join([*words, *where, "--resume", "--trust"])


if __name__ == "__main__":
    raise SystemExit(cli.guard(main))

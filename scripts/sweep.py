"""Search over options: `lancelet sweep swim mlp --algorithm ppo --over gamma=0.9,0.99 --over actor_rate=1e-4..1e-2`."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from lancelet import task_id
from lancelet.scripts import cli
from lancelet.scripts import flags as flags_of
from lancelet.scripts.train import STATUS_FAILED, algorithm_of, changed

if TYPE_CHECKING:
    from lancelet.training.config import Config
    from lancelet.training.sweep.search import Sweep, Trial


@dataclass
class Episodes:
    """How long an episode is."""

    max_episode_steps: int | None = None
    """control steps of an episode; none: the task's own limit"""


def main(argv: list[str] | None = None) -> int | None:
    """Run the trials, print them best first, and say how to train with the best."""
    from lancelet import controllers, training
    from lancelet.training.config import Config
    from lancelet.training.sweep.search import Sweep
    from lancelet.training.sweep.variations import OWN

    cli.shield_gl()
    arguments = list(sys.argv[1:] if argv is None else argv)
    (task, controller), all_flags = cli.words(
        "sweep",
        __doc__ or "",
        arguments,
        task=cli.tasks(),
        controller=list(controllers.controllers),
    )
    algorithm, flags = algorithm_of(all_flags)
    algorithms = ", ".join(training.algorithms)
    trainer = training.algorithms.get(algorithm)
    sweep_fields = [field.name for field in dataclasses.fields(Sweep)]
    parsed = cli.parse(
        f"sweep {task} {controller} --algorithm {algorithm}",
        f"{__doc__}\n\nOther flags hold for every trial. Algorithms: {algorithms}",
        flags,
        prefixed=["controller"],
        sweep=_with_repeated_over(Sweep),
        trainer=_with_untyped_fields(trainer, [*OWN, *sweep_fields]),
        task=cli.task_defaults(task),
        episodes=Episodes,
        controller=controllers.controllers.get(controller).Options,
    )
    task_options = changed(parsed.task, cli.task_defaults(task))
    if parsed.episodes.max_episode_steps is not None:
        task_options["max_episode_steps"] = parsed.episodes.max_episode_steps
    trainer_options = changed(parsed.trainer)
    base = Config(
        task=task_id(task),
        controller=controller,
        algorithm=algorithm,
        task_options=task_options,
        controller_options=changed(parsed.controller),
        algorithm_options={
            name: value for name, value in trainer_options.items() if name not in OWN
        },
    )
    sweep = Sweep(**{name: getattr(parsed.sweep, name) for name in sweep_fields})
    try:
        trials = sweep.run(base, parsed.trainer.seed)
    except KeyboardInterrupt:
        print(
            f"\ninterrupted: continue with lancelet sweep {_again(arguments, sweep.folder)}",
            file=sys.stderr,
        )
        raise
    return _report(base, sweep, trials)


def _report(base: Config, sweep: Sweep, trials: list[Trial]) -> int:
    """Write and print what came of a sweep.

    Args:
        base: what every trial had in common.
        sweep: the sweep, whose folder is made.
        trials: all trials, best first.

    Returns:
        The exit status: 1 where every trial failed.
    """
    from rich.console import Console
    from rich.table import Table

    from lancelet.training.sweep import report as sweep_report
    from lancelet.training.sweep.ranges import parse
    from lancelet.training.sweep.variations import option_types

    assert sweep.folder is not None, "a sweep that has run has a folder"
    folder = Path(sweep.folder)
    overs = parse(sweep.over, option_types(base))
    best = sweep_report.write(folder, base, overs, trials)
    headings, *rows = sweep_report.rows(trials, [over.name for over in overs])
    table = Table(title="trials, best first", title_justify="left")
    for heading in headings:
        table.add_column(heading)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    if best is None:
        print(f"every trial failed; sweep folder: {folder}", file=sys.stderr)
        return STATUS_FAILED
    film = f"film the best: lancelet render {trials[0].folder}"
    print(f"sweep folder: {folder}   (best.yaml, sweep.png, trials.json; {film})")
    print(f"train with the best: {sweep_report.command(best)}")
    return 0


def _with_repeated_over(cls: type) -> type:
    """`cls` with a flag `--over` that is given once for every option."""
    repeated_texts = Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
    return flags_of.derived(cls, [("over", repeated_texts, dataclasses.field(default=()))])


def _with_untyped_fields(cls: type, names: list[str]) -> type:
    """`cls` without flags for the fields `names`, which keep their defaults: fields of type Any are no flags."""
    untyped_fields = []
    for field in dataclasses.fields(cls):
        if field.name in names:
            untyped_fields.append((field.name, Any, dataclasses.field(default=field.default)))
    return flags_of.derived(cls, untyped_fields)


def _again(arguments: list[str], folder: str | None) -> str:
    """The words that continue this sweep, behind ``lancelet sweep``.

    Args:
        arguments: the words that it was begun with.
        folder: folder of the sweep.
    """
    words = [word for word in arguments if word not in ("--resume", "--trust")]
    # A flag may be one word or two: --folder=x, --folder x.
    names_a_folder = any(word.partition("=")[0] == "--folder" for word in words)
    if not names_a_folder:
        words += ["--folder", str(folder)]
    return shlex.join([*words, "--resume", "--trust"])


if __name__ == "__main__":
    raise SystemExit(cli.guard(main))

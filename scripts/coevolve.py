"""Evolve bodies and controllers together: `lancelet coevolve swim --budget 5m`."""

from __future__ import annotations

import sys

from lancelet.scripts import cli


def main(argv: list[str] | None = None) -> int | None:
    """Evolve, and say what came of it and where it lies."""
    cli.shield_gl()
    from lancelet.tasks import short_name
    from lancelet.training.coevolution.driver import Coevolve
    from lancelet.training.coevolution.options import home_tasks

    task_names = [short_name(task) for task in home_tasks()]
    (task,), flags = cli.words("coevolve", __doc__ or "", argv, task=task_names)
    options = cli.parse(f"coevolve {task}", __doc__ or "", flags, options=Coevolve).options
    try:
        evolved = options.run(task)
    except KeyboardInterrupt:
        folder = options.folder or "RUN"
        print(
            f"\ninterrupted: continue with the same command, --folder {folder} --resume",
            file=sys.stderr,
        )
        raise
    best = "none yet"
    if evolved.best is not None:
        best = f"{evolved.best.fitness:.4g} (individual {evolved.best.id})"
    lost = f", {evolved.quarantined} quarantined" if evolved.quarantined else ""
    print(f"{evolved.evaluated} individuals in {evolved.seconds:.0f} s{lost}; best fitness {best}")
    if evolved.stopped:
        print(
            "stopped by SIGTERM: continue with the same command, "
            f"--folder {evolved.folder} --resume",
            file=sys.stderr,
        )
    print(
        f"run folder: {evolved.folder}   "
        f"(film the best: lancelet render {evolved.folder / 'best'}; "
        f"family tree: lancelet lineage {evolved.folder})"
    )
    return cli.STATUS_TERMINATED if evolved.stopped else 0


if __name__ == "__main__":
    raise SystemExit(cli.guard(main))

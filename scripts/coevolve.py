"""Evolve bodies and controllers together: `lancelet coevolve swim --budget 5m`."""

from __future__ import annotations

import sys

from lancelet import task_id
from lancelet.scripts import cli


def main(argv: list[str] | None = None) -> int | None:
    """Evolve, and say what came of it and where it lies."""
    cli.shield_gl()
    from lancelet.morphology.genome import kinds
    from lancelet.tasks import short_name
    from lancelet.training.coevolution.driver import Coevolve

    homes = [short_name(task_id(kinds.known(name).task()[0])) for name in kinds]
    (task,), flags = cli.words("coevolve", __doc__ or "", argv, task=homes)
    options = cli.parse(f"coevolve {task}", __doc__ or "", flags, options=Coevolve).options
    try:
        done = options.run(task)
    except KeyboardInterrupt:
        print(f"\ninterrupted: continue with the same command, --folder {options.folder or 'RUN'} --resume",
              file=sys.stderr)  # fmt: skip
        raise
    best = (
        "none yet" if done.best is None else f"{done.best.fitness:.4g} (individual {done.best.id})"
    )
    lost = f", {done.quarantined} quarantined" if done.quarantined else ""
    print(f"{done.evaluated} individuals in {done.seconds:.0f} s{lost}; best fitness {best}")
    if done.stopped:
        print(
            f"stopped by SIGTERM: continue with the same command, --folder {done.folder} --resume",
            file=sys.stderr,
        )
    print(f"run folder: {done.folder}   (film the best: lancelet render {done.folder / 'best'}; "
          f"family tree: lancelet lineage {done.folder})")  # fmt: skip
    return 143 if done.stopped else 0


if __name__ == "__main__":
    raise SystemExit(cli.guard(main))

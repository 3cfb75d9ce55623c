"""Re-measure a paper's claims: `lancelet reproduce ncap --quick`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lancelet import LanceletError
from lancelet.scripts import cli

STUDIES = "lancelet.scripts.studies"


@dataclass
class Reproduce:
    """Size and output of a study."""

    quick: bool = False
    """minutes: fewer seeds, no long training"""
    full: bool = False
    """all that the study knows to run; broken off, it goes on with --resume"""
    resume: bool = False
    """take the long stages that an earlier run of this size finished from runs/reproduce-STUDY-SIZE"""
    json: str | None = None
    """also write the rows here"""
    out: str | None = None
    """folder of rows, table, report and pictures; none: results/STUDY (quick: runs/reproduce-STUDY)"""


def main(argv: list[str] | None = None) -> int | None:
    """Run a study: claim, reference, measured, interval, seeds, holds or not."""
    cli.shield_gl()
    (name,), flags = cli.words("reproduce", __doc__ or "", argv, study=cli.found(STUDIES))
    module = cli.by_file(STUDIES, "study", name)
    options = cli.parse(f"reproduce {name}", module.__doc__ or "", flags, options=Reproduce).options
    if options.quick and options.full:
        raise LanceletError("reproduce: give --quick or --full, not both")
    import torch

    torch.set_num_threads(1)
    from lancelet.scripts.rows import show, to_json
    from lancelet.scripts.study import Study

    size = "quick" if options.quick else "full" if options.full else "shown"
    folder = Path(options.out or (f"runs/reproduce-{name}" if options.quick else f"results/{name}"))
    study = Study(name, module.TITLE, size, folder, options.resume)
    module.run(study)
    flag = "" if size == "shown" else f" --{size}"
    study.write(f"lancelet reproduce {name}{flag}")
    show(study.rows, study.title)
    if options.json:
        to_json(study.rows, options.json)
    print(f"report: {folder / 'report.html'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(cli.guard(main))

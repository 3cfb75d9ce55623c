"""Re-measure a paper's claims: `lancelet reproduce ncap --quick`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lancelet import LanceletError
from lancelet.scripts import cli


@dataclass
class Reproduce:
    """Size and output of a study."""

    quick: bool = False
    """minutes: fewer seeds, no long training"""
    full: bool = False
    """all that the study knows to run; broken off, it goes on with --resume"""
    resume: bool = False
    """take the long stages that an earlier run of this size finished from runs/reproduce-STUDY-SIZE"""
    only: tuple[str, ...] = ()
    """parts to measure again, the rows of the others are kept: `--only novel car`; the study names its parts"""
    judge: bool = False
    """measure nothing: tell the verdicts of the rows that are there by the present rule (value and interval)"""
    json: str | None = None
    """also write the rows here"""
    out: str | None = None
    """folder of rows, table, report and pictures; none: results/STUDY (quick, or with flags of the study's own:
    runs/reproduce-STUDY)"""


def main(argv: list[str] | None = None) -> int | None:
    """Run a study: claim, reference, measured, interval, seeds, holds or not."""
    cli.shield_gl()
    (name,), flags = cli.words("reproduce", __doc__ or "", argv, study=cli.studies())
    module = cli.study(name)
    parts: dict[str, Any] = {"options": Reproduce} | (
        {"own": module.Options} if hasattr(module, "Options") else {}
    )
    parsed = cli.parse(f"reproduce {name}", module.__doc__ or "", flags, **parts)
    options, own = parsed.options, getattr(parsed, "own", None)
    if options.quick and options.full:
        raise LanceletError("reproduce: give --quick or --full, not both")
    if options.judge and options.only:
        raise LanceletError("reproduce: --judge measures nothing: give --only or --judge, not both")
    import torch

    torch.set_num_threads(1)
    from lancelet.scripts.rows import show, to_json
    from lancelet.scripts.study import Study

    size = "quick" if options.quick else "full" if options.full else "shown"
    # results/ holds the study as it is: flags of its own make it another one
    aside = options.quick or (own is not None and own != module.Options())
    folder = Path(options.out or (f"runs/reproduce-{name}" if aside else f"results/{name}"))
    only = options.only or None
    if options.judge:
        only = ()
    if only is not None and not (folder / "rows.json").exists():
        raise LanceletError(
            f"reproduce {name}: no {folder / 'rows.json'} whose rows could be kept: run it whole first"
        )
    study = Study(
        name,
        module.TITLE,
        size,
        folder,
        options.resume,
        options=own,
        parts=getattr(module, "PARTS", {}),
        only=only,
        seeds_of=getattr(module, "SEEDS_OF", {}),
        weights_of=getattr(module, "WEIGHTS_OF", {}),
        superseded=getattr(module, "SUPERSEDED", ()),
    )
    if not options.judge:
        module.run(study)
    command = f"lancelet reproduce {name}"
    if size != "shown":
        command += f" --{size}"
    if options.only:
        command += f" --only {' '.join(options.only)}"
    if options.judge:
        command += " --judge"
    study.write(command + _changed(own))
    show(study.rows, study.title)
    if options.json:
        to_json(study.rows, options.json)
    print(f"report: {folder / 'report.html'}")
    return 0


def _changed(own: Any) -> str:
    """A study's own flags, those that are not the usual ones, as they are typed."""
    if own is None:
        return ""
    values = {field.name: getattr(own, field.name) for field in dataclasses.fields(own)}
    changed = {name: value for name, value in values.items() if value != getattr(type(own)(), name)}
    typed = {
        name: value if isinstance(value, tuple) else (value,) for name, value in changed.items()
    }
    return "".join(
        f" --{name.replace('_', '-')} {' '.join(map(str, value))}" for name, value in typed.items()
    )


if __name__ == "__main__":
    raise SystemExit(cli.guard(main))

"""Re-measure a paper's claims: `lancelet reproduce ncap --quick`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lancelet import LanceletError
from lancelet.scripts import cli

if TYPE_CHECKING:
    from lancelet.scripts.study import Size


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
    """measure nothing: judge the rows that are there again by the present rule (value and interval)"""
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
    options, own = _parse(name, module, flags)
    # Imported after the flags are parsed: help and errors come at once.
    import torch

    from lancelet.scripts.rows import show, to_json
    from lancelet.scripts.study import Study

    torch.set_num_threads(1)
    size = _size(options)
    folder = _folder(name, module, options, own)
    only = _parts_to_measure(name, options, folder)
    study = Study(
        name=name,
        title=module.TITLE,
        size=size,
        folder=folder,
        resume=options.resume,
        options=own,
        parts=getattr(module, "PARTS", {}),
        only=only,
        seeds_of=getattr(module, "SEEDS_OF", {}),
        weights_of=getattr(module, "WEIGHTS_OF", {}),
        superseded=getattr(module, "SUPERSEDED", ()),
    )
    if not options.judge:
        module.run(study)
    study.write(_command(name, size, options, own))
    show(study.rows, study.title)
    if options.json:
        to_json(study.rows, options.json)
    print(f"report: {folder / 'report.html'}")
    return 0


def _parse(name: str, module: ModuleType, flags: list[str]) -> tuple[Reproduce, Any]:
    """Read the flags of a study.

    Args:
        name: name of the study.
        module: its module; a dataclass `Options` there holds flags of its own.
        flags: what stands behind the name on the command line.

    Returns:
        The flags of every study, and those of this one's own (None where it has none).

    Raises:
        LanceletError: flags that exclude each other.
    """
    parts: dict[str, Any] = {"options": Reproduce}
    if hasattr(module, "Options"):
        parts["own"] = module.Options
    parsed = cli.parse(f"reproduce {name}", module.__doc__ or "", flags, **parts)
    options = parsed.options
    if options.quick and options.full:
        raise LanceletError("reproduce: give --quick or --full, not both")
    if options.judge and options.only:
        raise LanceletError("reproduce: --judge measures nothing: give --only or --judge, not both")
    return options, getattr(parsed, "own", None)


def _size(options: Reproduce) -> Size:
    """How much of the study is run."""
    if options.quick:
        return "quick"
    if options.full:
        return "full"
    return "shown"


def _folder(name: str, module: ModuleType, options: Reproduce, own: Any) -> Path:
    """Where the study writes to; `own` are the flags of its own, None where it has none."""
    if options.out:
        return Path(options.out)
    # results/ holds the study as it is: flags of its own make it another one.
    is_another_study = own is not None and own != module.Options()
    if options.quick or is_another_study:
        return Path(f"runs/reproduce-{name}")
    return Path(f"results/{name}")


def _parts_to_measure(name: str, options: Reproduce, folder: Path) -> tuple[str, ...] | None:
    """The parts of the study to measure; None: all of it; empty: none, its rows are only judged again.

    Raises:
        LanceletError: rows are to be kept, and there are none in `folder`.
    """
    if not options.judge and not options.only:
        return None
    if not (folder / "rows.json").exists():
        raise LanceletError(
            f"reproduce {name}: no {folder / 'rows.json'} whose rows could be kept: run it whole first"
        )
    # Empty with --judge, beside which --only is refused.
    return options.only


def _command(name: str, size: Size, options: Reproduce, own: Any) -> str:
    """The command as the table of the study shows it; `own` are the flags of its own, None where it has none."""
    words = ["lancelet", "reproduce", name]
    if size != "shown":
        words.append(f"--{size}")
    if options.only:
        words += ["--only", *options.only]
    if options.judge:
        words.append("--judge")
    return " ".join([*words, *_changed_flags(own)])


def _changed_flags(own: Any) -> list[str]:
    """A study's own flags with values that are not the usual ones, as they are typed."""
    if own is None:
        return []
    usual = type(own)()
    words = []
    for field in dataclasses.fields(own):
        value = getattr(own, field.name)
        if value == getattr(usual, field.name):
            continue
        values = value if isinstance(value, tuple) else (value,)
        flag = field.name.replace("_", "-")
        words.append(f"--{flag}")
        words += [str(item) for item in values]
    return words


if __name__ == "__main__":
    raise SystemExit(cli.guard(main))

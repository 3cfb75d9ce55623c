"""The family tree of a co-evolution: `lancelet lineage runs/RUN`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lancelet.files import write_atomic
from lancelet.scripts import cli


@dataclass
class Lineage:
    """What to draw."""

    out: str | None = None
    """png file; none: lineage.png in the run folder"""
    video: bool = False
    """film the champions one after the other, to champions.mp4 beside the picture"""


def main(argv: list[str] | None = None) -> int | None:
    """Draw the tree with the champions' silhouettes, and print the line of the best. The run may still go on."""
    cli.shield_gl()
    (run,), flags = cli.words("lineage", __doc__ or "", argv, run=["a folder of lancelet coevolve"])
    options = cli.parse("lineage RUN", __doc__ or "", flags, options=Lineage).options
    import io

    from lancelet.training.coevolution.champions import ancestors, champions
    from lancelet.training.coevolution.family import SHOWN, film, tree
    from lancelet.training.coevolution.individuals import read
    from lancelet.training.coevolution.lifetimes import life_of
    from lancelet.training.runs.progress import progress

    people = read(run)
    out = Path(options.out or Path(run) / "lineage.png")
    picture = io.BytesIO()
    done = sum(one.state == "evaluated" for one in people)
    tree(people, f"{Path(run).name}: {done} individuals").savefig(
        picture, dpi=120, bbox_inches="tight", format="png"
    )
    write_atomic(out, picture.getvalue())
    for one in ancestors(people, champions(people)[-1]):
        parents = " and ".join(str(number) for number in one.parents) or "nobody"
        print(
            f"  {one.id:6}  from {parents}: {one.operator}  {'' if one.fitness is None else format(one.fitness, '.4g')}"
        )
    print(out)
    if options.video:
        target = out.with_name("champions.mp4")
        with progress("drawing", SHOWN, "champions") as advance:
            film(people, life_of(run), target, advance)
        print(target)
    return 0


if __name__ == "__main__":
    raise SystemExit(cli.guard(main))

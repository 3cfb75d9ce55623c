"""The family tree of a co-evolution: `lancelet lineage runs/RUN`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lancelet.files import write_atomic
from lancelet.scripts import cli

if TYPE_CHECKING:
    from lancelet.training.coevolution.individuals import Individual


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
    # Imported after the words are parsed: help and errors come at once.
    import io

    from lancelet.training.coevolution.champions import ancestors, champions
    from lancelet.training.coevolution.family import SHOWN, film, tree
    from lancelet.training.coevolution.individuals import read
    from lancelet.training.coevolution.lifetimes import life_of
    from lancelet.training.runs.progress import progress

    individuals = read(run)
    picture_file = Path(options.out or Path(run) / "lineage.png")
    evaluated = sum(individual.state == "evaluated" for individual in individuals)
    figure = tree(individuals, f"{Path(run).name}: {evaluated} individuals")
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120, bbox_inches="tight", format="png")
    write_atomic(picture_file, picture.getvalue())
    for ancestor in ancestors(individuals, champions(individuals)[-1]):
        print(_line(ancestor))
    print(picture_file)
    if options.video:
        film_file = picture_file.with_name("champions.mp4")
        with progress("drawing", SHOWN, "champions") as advance:
            film(individuals, life_of(run), film_file, advance)
        print(film_file)
    return 0


def _line(individual: Individual) -> str:
    """One ancestor: its number, its parents, what made it, and its fitness."""
    parents = " and ".join(str(number) for number in individual.parents) or "nobody"
    fitness = "" if individual.fitness is None else f"{individual.fitness:.4g}"
    return f"  {individual.id:6}  from {parents}: {individual.operator}  {fitness}"


if __name__ == "__main__":
    raise SystemExit(cli.guard(main))

"""What every study shares: its sizes, its parts, its rows, and the pages and files they go to."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lancelet import LanceletError
from lancelet.controllers import Controller, save
from lancelet.files import write_atomic
from lancelet.scripts.rows import (
    Row,
    between,
    cells,
    from_json,
    header,
    headings,
    judged_again,
    to_json,
    to_markdown,
)
from lancelet.training.runs import checkpoint
from lancelet.training.runs.report import figure, write_page
from lancelet.training.runs.report import table as html_table

Size = Literal["quick", "shown", "full"]


@dataclass(frozen=True)
class Superseded:
    """Rows of files from before a measure or its verdict was changed: they are no longer told."""

    beginning: str
    """of their names"""
    words: str
    """in their notes, that rows measured since do not have"""
    reason: str


@dataclass
class Study:
    """Rows, pictures and weights as a study makes them; `say` reports each row at once.

    A study can be measured in parts (`only`): then `rows.json` keeps the rows of the other parts as they were, with
    their verdicts told by the present rule, and the report keeps its other pictures.
    """

    name: str
    title: str
    size: Size
    folder: Path
    resume: bool = False
    say: Callable[[str], None] = print
    options: Any = None
    """flags of the study's own, of its module's `Options`"""
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """parts that can be measured alone: the beginnings of the names of the rows that each makes"""
    only: tuple[str, ...] | None = None
    """parts to measure; None: the whole study; empty: none, the verdicts of the rows that are there are told anew"""
    seeds_of: Mapping[str, str] = field(default_factory=dict)
    """what `seeds` counts in the rows whose names begin so; the longest beginning decides"""
    weights_of: Mapping[str, str] = field(default_factory=dict)
    """figures of trained networks: the beginnings of their rows' names, and the file in `folder` that holds weights to
    measure them with again; a row that is kept while its file is missing loses its figure"""
    superseded: tuple[Superseded, ...] = ()
    """kept rows that lose their figure until their part is measured again"""
    rows: list[Row] = field(default_factory=list)
    _pictures: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a part that the study does not have, before anything is measured."""
        for part in self.only or ():
            if part not in self.parts:
                known = ", ".join(self.parts) or "none: it is measured as a whole"
                raise LanceletError(
                    f"reproduce {self.name}: --only {part}: no such part; parts: {known}"
                )

    def wants(self, *parts: str) -> bool:
        """Whether any of these parts is to be measured."""
        return self.only is None or any(part in self.only for part in parts)

    def add(self, row: Row) -> None:
        """Keep a row and say it.

        Raises:
            LanceletError: the row has `seeds`, and neither it nor the study says what they count.
        """
        row = self._with_unit(row)
        if row.seeds is not None and not row.seeds_of:
            raise LanceletError(
                f"row {row.name!r}: seeds = {row.seeds}, but not of what: give seeds_of"
            )
        self.rows.append(row)
        verdict = {True: "holds", False: "DOES NOT HOLD", None: "-"}[row.holds]
        value = row.value if row.value is not None else "not run"
        figure_text = value if isinstance(value, str) else f"{value:.4g}"
        self.say(f"  {row.name}: {figure_text}  {verdict}")

    def _with_unit(self, row: Row) -> Row:
        """The row, with what its `seeds` counts where the study says it for rows of that name."""
        if row.seeds is None or row.seeds_of:
            return row
        beginnings = [beginning for beginning in self.seeds_of if row.name.startswith(beginning)]
        if not beginnings:
            return row
        return dataclasses.replace(row, seeds_of=self.seeds_of[max(beginnings, key=len)])

    def stage(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` gives (arrays and JSON), kept on disk; with `resume`, what an earlier, broken-off run kept."""
        path = Path("runs") / f"reproduce-{self.name}-{self.size}" / f"{name}.safetensors"
        if self.resume and path.exists():
            self.say(f"  {name}: taken from {path}")
        else:
            checkpoint.save(path, make())
        return checkpoint.load(path)

    def within(
        self, name: str, kind: Any, value: float, low: float, high: float, **rest: Any
    ) -> None:
        """A row that holds where `value`, and its interval, is in [low, high]."""
        self.add(between(name, kind, round(float(value), 6), low, high, **rest))

    def picture(self, name: str, caption: str, plot: Any) -> None:
        """Keep a matplotlib figure: a PNG in the folder, and on the report's page."""
        self.folder.mkdir(parents=True, exist_ok=True)
        plot.savefig(self.folder / f"{name}.png", dpi=100, bbox_inches="tight")
        self._pictures[caption] = figure(plot)

    def weights(self, name: str, controller: Controller, **notes: Any) -> None:
        """Keep a controller beside the rows."""
        self.folder.mkdir(parents=True, exist_ok=True)
        save(controller, self.folder / f"{name}.safetensors", **notes)

    def write(self, command: str) -> None:
        """`rows.json`, `table.md` and `report.html` in the study's folder."""
        rows = self.rows
        about = [f"`{command}` ({', '.join(header().values())})"]
        pictures = self._pictures
        if self.only is not None:
            rows = self._merged(from_json(self.folder / "rows.json"))
            about = self._kept_commands(command) + about
            pictures = self._kept_pictures() | pictures
        to_json(rows, self.folder / "rows.json")
        lines_about = "\n\n".join(about)
        write_atomic(
            self.folder / "table.md", f"# {self.title}\n\n{lines_about}\n\n{to_markdown(rows)}"
        )
        lines = [cells(row, rows) for row in rows]
        figures = [
            f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
            for caption, image in pictures.items()
        ]
        paragraphs = [f"<p>{line}</p>" for line in about]
        table = html_table(headings(rows), lines)
        write_page(self.folder / "report.html", self.title, *paragraphs, table, *figures)
        self.rows = rows

    def _merged(self, kept: list[Row]) -> list[Row]:
        """The rows that were there; those of a measured part replaced by what was measured, where they stood."""
        fresh: dict[str, list[Row]] = {part: [] for part in self.only or ()}
        for row in self.rows:
            fresh.setdefault(self._part_of(row), []).append(row)
        rows = []
        for row in kept:
            part = self._part_of(row)
            if part in fresh:
                rows += fresh[part]
                fresh[part] = []
            else:
                rows.append(self._withdrawn(self._with_unit(judged_again(row))))
        for unplaced in fresh.values():
            rows += unplaced
        return rows

    def _withdrawn(self, row: Row) -> Row:
        """The row; without its figure where it is superseded, or of networks whose weights are not beside the rows."""
        if row.value is None:
            return row
        for old in self.superseded:
            if row.name.startswith(old.beginning) and old.words in row.note:
                return _without_figure(row, old.reason)
        for beginning, file in self.weights_of.items():
            is_kept = (self.folder / file).exists()
            if not row.name.startswith(beginning) or is_kept:
                continue
            place = f"{self.folder.name}/{file}"
            note = f"not printed: {place}, which it could be measured with again, was not kept"
            if row.holds is not None:
                verdict = "it held" if row.holds else "it did not hold"
                note += f"; as it was measured {verdict}"
            return _without_figure(row, note)
        return row

    def _part_of(self, row: Row) -> str:
        """The part that makes a row; "" where no part that can be measured alone does."""
        owner = ""
        longest = -1
        for part, beginnings in self.parts.items():
            for beginning in beginnings:
                if row.name.startswith(beginning) and len(beginning) > longest:
                    longest = len(beginning)
                    owner = part
        return owner

    def _kept_commands(self, command: str) -> list[str]:
        """The lines of the table that say how and when the kept rows were measured, but for this command's own."""
        text = (self.folder / "table.md").read_text()
        lines = [line for line in text.splitlines() if line.startswith("`lancelet ")]
        return [line for line in lines if not line.startswith(f"`{command}` ")]

    def _kept_pictures(self) -> dict[str, str]:
        """The pictures of the report that is there, by caption."""
        page = (self.folder / "report.html").read_text()
        found = re.findall("<figure>(.*?)<figcaption>(.*?)</figcaption></figure>", page, re.DOTALL)
        return {caption: image for image, caption in found}


def _without_figure(row: Row, note: str) -> Row:
    """A row that is not told any more, and why."""
    return Row(row.name, row.kind, target=row.target, reference=row.reference, note=note)

"""What every study shares: its sizes, its parts, its rows, and the pages and files they go to."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lancelet import LanceletError
from lancelet.controllers import Controller, save
from lancelet.files import write_atomic
from lancelet.scripts.rows import (
    Kind,
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

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Size = Literal["quick", "shown", "full"]
"""minutes; as in results/; or all that the study knows to run"""
DOTS_PER_INCH = 100
"""resolution of the pictures in a study's folder"""
SPOKEN_VERDICT = {True: "holds", False: "DOES NOT HOLD", None: "-"}
"""verdict -> the words in the line that is said"""


@dataclass(frozen=True)
class Superseded:
    """Rows of files from before a measure or its verdict was changed: they lose their figure."""

    beginning: str
    """how the names of these rows begin"""
    words: str
    """words in the notes of these rows, which rows measured since do not have"""
    reason: str
    """the note that such a row gets"""


@dataclass
class Study:
    """Rows, pictures and weights as a study makes them; `say` reports each row at once.

    A study can be measured in parts (`only`): then `rows.json` keeps the rows of the other parts as they were, judged
    again by the present rule, and the report keeps its other pictures.
    """

    name: str
    """name of the study: of its folder in `scripts/studies/`"""
    title: str
    """title of its table and of its report"""
    size: Size
    """how much of it is run"""
    folder: Path
    """where rows, table, report, pictures and weights go"""
    resume: bool = False
    """whether stages that an earlier, broken-off run has kept are taken from there"""
    say: Callable[[str], None] = print
    """called with a line for every row"""
    options: Any = None
    """flags of the study's own, of its module's `Options`"""
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """parts that can be measured alone: the beginnings of the names of the rows that each makes"""
    only: tuple[str, ...] | None = None
    """parts to measure; None: the whole study; empty: none, the rows that are there are judged again"""
    seeds_of: Mapping[str, str] = field(default_factory=dict)
    """what `seeds` counts in the rows whose names begin so; the longest beginning decides"""
    weights_of: Mapping[str, str] = field(default_factory=dict)
    """figures of trained networks: the beginnings of their rows' names, and the file in `folder` that holds weights to
    measure them with again; a row that is kept while its file is missing loses its figure"""
    superseded: tuple[Superseded, ...] = ()
    """kept rows that lose their figure until their part is measured again"""
    rows: list[Row] = field(default_factory=list)
    """rows that were measured; after `write` those that were kept too"""
    _pictures: dict[str, str] = field(default_factory=dict)
    """caption -> picture as an `img` element"""

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
        complete_row = self._with_unit(row)
        if complete_row.seeds is not None and not complete_row.seeds_of:
            raise LanceletError(
                f"row {row.name!r}: seeds = {row.seeds}, but not of what: give seeds_of"
            )
        self.rows.append(complete_row)
        self.say(f"  {row.name}: {_spoken(row.value)}  {SPOKEN_VERDICT[row.holds]}")

    def _with_unit(self, row: Row) -> Row:
        """The row, with what its `seeds` counts where the study says it for rows of that name."""
        if row.seeds is None or row.seeds_of:
            return row
        beginnings = [beginning for beginning in self.seeds_of if row.name.startswith(beginning)]
        if not beginnings:
            return row
        longest = max(beginnings, key=len)
        return dataclasses.replace(row, seeds_of=self.seeds_of[longest])

    def stage(self, name: str, make: Callable[[], Any]) -> Any:
        """The result of a long stage, which is kept on disk; with `resume`, what an earlier, broken-off run kept.

        Args:
            name: name of the stage, of its file under ``runs/reproduce-STUDY-SIZE``.
            make: computes the result: a tree of arrays and JSON values.
        """
        path = Path("runs") / f"reproduce-{self.name}-{self.size}" / f"{name}.safetensors"
        if self.resume and path.exists():
            self.say(f"  {name}: taken from {path}")
        else:
            checkpoint.save(path, make())
        # Read back in both cases: a resumed study goes on with the very same types.
        return checkpoint.load(path)

    def within(
        self, name: str, kind: Kind, value: float, low: float, high: float, **rest: Any
    ) -> None:
        """Add a row that holds where `value`, and its interval, is in [low, high].

        Args:
            name: name of the row.
            kind: kind of the row.
            value: the figure that was measured; it is rounded to six decimals.
            low: least value that holds.
            high: greatest value that holds.
            **rest: further fields of the row.
        """
        self.add(between(name, kind, round(float(value), 6), low, high, **rest))

    def picture(self, name: str, caption: str, plot: Figure) -> None:
        """Keep a matplotlib figure as a PNG in the folder, and on the report's page; the figure is closed.

        Args:
            name: name of the file, without its ending.
            caption: words below the picture in the report.
            plot: the figure.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        plot.savefig(self.folder / f"{name}.png", dpi=DOTS_PER_INCH, bbox_inches="tight")
        self._pictures[caption] = figure(plot)

    def weights(self, name: str, controller: Controller, **notes: Any) -> None:
        """Keep a controller beside the rows, in the file `name`.safetensors, with `notes` in its header."""
        self.folder.mkdir(parents=True, exist_ok=True)
        save(controller, self.folder / f"{name}.safetensors", **notes)

    def write(self, command: str) -> None:
        """Write `rows.json`, `table.md` and `report.html` into the study's folder.

        Where parts were measured, the rows and pictures of the others are taken from the files that are there.

        Args:
            command: the command that was run, as it is typed.
        """
        rows = self.rows
        about = [f"`{command}` ({', '.join(header().values())})"]
        pictures = self._pictures
        if self.only is not None:
            rows = self._merged(from_json(self.folder / "rows.json"))
            about = self._kept_commands(command) + about
            pictures = self._kept_pictures() | pictures
        to_json(rows, self.folder / "rows.json")
        self._write_table(rows, about)
        self._write_report(rows, about, pictures)
        self.rows = rows

    def _write_table(self, rows: list[Row], about: list[str]) -> None:
        """Write `table.md`; `about` says, a line each, how and when the rows were measured."""
        lines_about = "\n\n".join(about)
        text = f"# {self.title}\n\n{lines_about}\n\n{to_markdown(rows)}"
        write_atomic(self.folder / "table.md", text)

    def _write_report(self, rows: list[Row], about: list[str], pictures: dict[str, str]) -> None:
        """Write `report.html`.

        Args:
            rows: rows of its table.
            about: lines that say how and when the rows were measured.
            pictures: caption -> picture as an `img` element.
        """
        paragraphs = [f"<p>{line}</p>" for line in about]
        table = html_table(headings(rows), [cells(row, rows) for row in rows])
        figures = []
        for caption, image in pictures.items():
            figures.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
        write_page(self.folder / "report.html", self.title, *paragraphs, table, *figures)

    def _merged(self, old_rows: list[Row]) -> list[Row]:
        """The rows of a file, with those of the measured parts replaced by what was measured."""
        new_rows_of: dict[str, list[Row]] = {part: [] for part in self.only or ()}
        for row in self.rows:
            new_rows_of.setdefault(self._part_of(row), []).append(row)
        rows = []
        for row in old_rows:
            part = self._part_of(row)
            if part in new_rows_of:
                # All new rows of a part stand where its first old row stood.
                rows += new_rows_of[part]
                new_rows_of[part] = []
            else:
                rows.append(self._withdrawn(self._with_unit(judged_again(row))))
        # A part that had no rows before comes last.
        for new_rows in new_rows_of.values():
            rows += new_rows
        return rows

    def _withdrawn(self, row: Row) -> Row:
        """The row; without its figure where it is superseded, or of networks whose weights are not beside the rows."""
        if row.value is None:
            return row
        for old in self.superseded:
            if row.name.startswith(old.beginning) and old.words in row.note:
                return _without_figure(row, old.reason)
        for beginning, file in self.weights_of.items():
            weights_are_there = (self.folder / file).exists()
            if row.name.startswith(beginning) and not weights_are_there:
                return self._without_weights(row, file)
        return row

    def _without_weights(self, row: Row, file: str) -> Row:
        """A row without its figure, since the weights in `file` that it was measured with are gone."""
        place = f"{self.folder.name}/{file}"
        note = f"not printed: {place}, which it could be measured with again, was not kept"
        if row.holds is not None:
            verdict = "it held" if row.holds else "it did not hold"
            note += f"; as it was measured {verdict}"
        return _without_figure(row, note)

    def _part_of(self, row: Row) -> str:
        """The part that makes a row: the longest beginning of its name decides; "" where no part makes it."""
        owner = ""
        longest_length = -1
        for part, beginnings in self.parts.items():
            for beginning in beginnings:
                if row.name.startswith(beginning) and len(beginning) > longest_length:
                    longest_length = len(beginning)
                    owner = part
        return owner

    def _kept_commands(self, command: str) -> list[str]:
        """The lines of the table that say how and when the kept rows were measured, but for this command's own.

        Args:
            command: the command that is run now; its line is written anew.
        """
        text = (self.folder / "table.md").read_text()
        lines = [line for line in text.splitlines() if line.startswith("`lancelet ")]
        return [line for line in lines if not line.startswith(f"`{command}` ")]

    def _kept_pictures(self) -> dict[str, str]:
        """The pictures of the report that is there, by caption."""
        page = (self.folder / "report.html").read_text()
        figures = re.findall(
            "<figure>(.*?)<figcaption>(.*?)</figcaption></figure>", page, re.DOTALL
        )
        return {caption: image for image, caption in figures}


def _spoken(value: float | str | None) -> str:
    """The figure of a row as it is said."""
    if value is None:
        return "not run"
    if isinstance(value, str):
        return value
    return f"{value:.4g}"


def _without_figure(row: Row, note: str) -> Row:
    """A row that loses its figure and its verdict; `note` says why."""
    return Row(name=row.name, kind=row.kind, target=row.target, reference=row.reference, note=note)

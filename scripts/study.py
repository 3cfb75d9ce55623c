"""What every study shares: its sizes, its rows, and the pages and files they go to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lancelet.controllers import Controller, save
from lancelet.files import write_atomic
from lancelet.scripts.rows import Row, cells, header, headings, to_json, to_markdown
from lancelet.training import checkpoint
from lancelet.training.report import figure, write_page
from lancelet.training.report import table as html_table

Size = Literal["quick", "shown", "full"]


@dataclass
class Study:
    """Rows, pictures and weights as a study makes them; `say` reports each row at once."""

    name: str
    title: str
    size: Size
    folder: Path
    resume: bool = False
    say: Callable[[str], None] = print
    options: Any = None
    """flags of the study's own, of its module's `Options`"""
    rows: list[Row] = field(default_factory=list)
    _pictures: list[tuple[str, str]] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Keep a row and say it."""
        self.rows.append(row)
        verdict = {True: "holds", False: "DOES NOT HOLD", None: "-"}[row.holds]
        value = row.value if row.value is not None else "not run"
        self.say(f"  {row.name}: {value if isinstance(value, str) else format(value, '.4g')}  {verdict}")

    def stage(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` gives (arrays and JSON), kept on disk; with `resume`, what an earlier, broken-off run kept."""
        path = Path("runs") / f"reproduce-{self.name}-{self.size}" / f"{name}.safetensors"
        if self.resume and path.exists():
            self.say(f"  {name}: taken from {path}")
        else:
            checkpoint.save(path, make())
        return checkpoint.load(path)

    def within(self, name: str, kind: Any, value: float, low: float, high: float, **rest: Any) -> None:
        """A row that holds where low <= value <= high."""
        self.add(Row(name, kind, round(float(value), 6), f"{low:g} .. {high:g}", bool(low <= value <= high), **rest))

    def picture(self, name: str, caption: str, plot: Any) -> None:
        """Keep a matplotlib figure: a PNG in the folder, and on the report's page."""
        self.folder.mkdir(parents=True, exist_ok=True)
        plot.savefig(self.folder / f"{name}.png", dpi=100, bbox_inches="tight")
        self._pictures.append((caption, figure(plot)))

    def weights(self, name: str, controller: Controller, **notes: Any) -> None:
        """Keep a controller beside the rows."""
        self.folder.mkdir(parents=True, exist_ok=True)
        save(controller, self.folder / f"{name}.safetensors", **notes)

    def write(self, command: str) -> None:
        """`rows.json`, `table.md` and `report.html` in the study's folder."""
        about = f"`{command}` ({', '.join(header().values())})"
        to_json(self.rows, self.folder / "rows.json")
        write_atomic(self.folder / "table.md", f"# {self.title}\n\n{about}\n\n{to_markdown(self.rows)}")
        lines = [cells(row, self.rows) for row in self.rows]
        pictures = [f"<figure>{image}<figcaption>{caption}</figcaption></figure>" for caption, image in self._pictures]
        table = html_table(headings(self.rows), lines)
        write_page(self.folder / "report.html", self.title, f"<p>{about}</p>", table, *pictures)

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lancelet.scripts.rows import Row, cells, from_json

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
NUMBER = r"\d[\d,]*(?:\.\d+)?"
LINK = re.compile(r"\[[^\]]*\]\((results/[^ )]+)(?: \"([^\"]*)\")?\)")
"""a link into results/: its file, and its title, which names rows"""
NOT_A_FIGURE = (
    r"```.*?```",  # code
    r"`[^`]*`",
    r"\([^()]*\b(?:19|20)\d\d\)",  # a citation
    r"Python 3\.\d+(?: to 3\.\d+)?",
    r"v\d",  # PointMaze-v3
    r"[A-Za-z_]+\d\w*",  # SB3, dm_control's swimmer6
)
"""what holds digits and says nothing that was measured"""


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


@pytest.mark.slow
def test_the_example_is_short_and_trains(tmp_path):
    code = blocks("python")[1]
    assert len([line for line in code.splitlines() if line.strip()]) <= 50
    (tmp_path / "pole.py").write_text(code)
    done = subprocess.run([sys.executable, "pole.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    summary = ast.literal_eval(done.stdout)
    assert sum(summary["trained"]["return"]) > 2 * sum(summary["untrained"]["return"])
    command = [
        sys.executable,
        "-m",
        "lancelet.scripts.main",
        "train",
        "pole:balance",
        "pole:linear",
        "--test",
        "2",
    ]
    done = subprocess.run(
        [*command, "--generations", "1"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_every_command_of_the_readme_exists():
    listed = set(re.findall(r"^\.venv/bin/lancelet (\w+)", README, re.M))
    from lancelet.scripts.main import commands

    assert listed and listed <= set(commands())
    assert Path("results/readme/swimmer.png").name in README


def rows_of(file):
    """The rows of a linked file by name; a study's table.md stands for the rows.json beside it."""
    path = ROOT / file
    assert path.exists(), file
    if path.name == "table.md":
        path = path.with_name("rows.json")
    return {row.name.replace('"', ""): row for row in from_json(path)}


def without_links_and_code(text):
    for pattern in (LINK.pattern, *NOT_A_FIGURE):
        text = re.sub(pattern, " ", text, flags=re.S)
    return text


def sentences():
    """Every sentence and table line of the README that holds a figure, with its links."""
    text = re.sub(r"```.*?```", "", README, flags=re.S)
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        if paragraph.startswith("|"):
            parts = paragraph.splitlines()
        else:
            parts = re.split(r"(?<=\.)\s+(?=[A-Z`\[*])", paragraph.replace("\n", " "))
        found += [part for part in parts if re.search(NUMBER, without_links_and_code(part))]
    return found


def stands_in(number, unit, row):
    """Whether a figure is one of the row's, rounded to the digits that the README gives."""
    digits = number.replace(",", "")
    decimals = len(digits.partition(".")[2])
    zeros = 0 if decimals else len(digits) - len(digits.rstrip("0"))
    tolerance = 0.5 * 10.0 ** (zeros - decimals) * (1 + 1e-9)
    text = " ".join([row.name, *cells(row, [row])])
    held = [float(each.replace(",", "")) for each in re.findall(NUMBER, text)]
    for value in (row.value, *(row.interval or ())):
        if isinstance(value, int | float):
            held.append(value)
    scale = 100 if unit in ("cm", "%") else 1
    return any(abs(scale * value - float(digits)) <= tolerance for value in held)


def faults(sentence):
    """What a sentence says that its rows do not."""
    rows = []
    for file, title in LINK.findall(sentence):
        known = rows_of(file)
        for name in title.split("; ") if title else ():
            if name not in known:
                return [f"{file} has no row {name!r}"]
            rows.append(known[name])
    if not rows:
        return ["names no row"]
    wrong = [f"row {row.name!r} has no value" for row in rows if row.value is None]
    for number, unit in re.findall(rf"({NUMBER})k? ?([a-z%]*)", without_links_and_code(sentence)):
        if not any(stands_in(number, unit, row) for row in rows):
            wrong.append(f"{number} {unit} stands in none of its rows")
    return wrong


@pytest.mark.parametrize("sentence", sentences(), ids=lambda text: text[:60])
def test_every_figure_stands_in_the_row_that_its_sentence_names(sentence):
    assert not faults(sentence), sentence


def test_a_figure_that_its_row_does_not_hold_is_found(monkeypatch):
    row = Row("a, b", "claim", 0.02792, "<= 0.03", True, 10, (0.0264, 0.0295), "at 1.0 s 0.027")
    monkeypatch.setattr(sys.modules[__name__], "rows_of", lambda _: {"a, b": row})
    link = '([row](results/x/table.md "a, b"))'
    assert not faults(f"It ends 2.8 cm away, of 3 cm asked {link}.")
    assert faults(f"It ends 2.7 mm away {link}.") == ["2.7 mm stands in none of its rows"]
    assert faults("It ends 2.8 cm away.") == ["names no row"]
    assert "has no row" in faults('It ends 2.8 cm away ([row](results/x/table.md "a")).')[0]


def test_the_readme_has_many_figures_and_the_test_sees_them():
    assert len(sentences()) > 20

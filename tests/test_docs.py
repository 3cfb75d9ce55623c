"""The documents and the code point at each other: headings, files, links and row codes that are named exist."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("lancelet", "morphology", "controllers", "envs", "training", "scripts", "tests")
CODE = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

PAGE = r"docs/[\w/]+\.md"
CITATION = re.compile(rf'({PAGE})(?:,? "([^"]+)")?')
"""a page, and the heading behind it in quotation marks where one is given"""
LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)[^)]*\)")
QUOTED_PATH = re.compile(r"`([\w*]+(?:/[\w*.]+)+/?)`")
"""a file or folder of the repository in back quotes: it has a slash in it"""
ABSENT = re.compile(
    r"\bspecs? (?:ncap|bilateral|blimp|codesign|systematic|assistive|adaptive|liquid|\d)"
    r"|\bfacts/\w+\.md|\btraps? \d|(?<!docs/)\bdesign\.md|\bstyle\.md|\bpains\.md"
)
"""documents that are not part of the repository"""
CODE_OF_ROW = re.compile(r"^([A-Z]\d{1,2})\b")
STUDY_PAGES = {
    "assist": "assist",
    "bilateral": "arm",
    "blimp": "blimp",
    "goodbody": "goodbody",
    "ncap": "ncap",
    "reinforcement": "ncap",
    "search": "search",
}
"""study -> the page whose section "Row codes" says what its rows ask"""


def one_line(text):
    """The text with every run of blanks as one: a citation may go over the end of a line."""
    return re.sub(r"\s*\n\s*#?\s*", " ", text)


def headings(page):
    """The headings of a page, without their numbers of #."""
    lines = page.read_text().splitlines()
    return {line.lstrip("#").strip() for line in lines if line.startswith("#")}


@pytest.mark.parametrize("path", [*CODE, *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_cited_page_and_heading_exist(path):
    if path == Path(__file__).resolve() or not path.exists():
        pytest.skip("nothing is cited here")
    for page, heading in CITATION.findall(one_line(path.read_text())):
        assert (ROOT / page).exists(), page
        if heading:
            assert heading in headings(ROOT / page), f"{page} has no heading {heading!r}"


@pytest.mark.parametrize("path", [*CODE, *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_cites_a_document_that_is_not_here(path):
    if path == Path(__file__).resolve() or not path.exists():
        pytest.skip("the patterns themselves")
    assert ABSENT.findall(path.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_links_of_a_page_exist(page):
    text = page.read_text()
    for target in LINK.findall(text):
        if "://" not in target:
            assert (page.parent / target).exists(), target
    for name in QUOTED_PATH.findall(text):
        top = name.split("/")[0]
        if (ROOT / top).is_dir():
            assert list(ROOT.glob(name.rstrip("/"))), f"{name} is not in the repository"


def explains(legend, code):
    """Whether a legend names a code, or a range like `R1 to R9` that holds it."""
    if re.search(rf"\b{code}\b", legend):
        return True
    for letter, first, last in re.findall(r"\b([A-Z])(\d+) to [A-Z](\d+)\b", legend):
        if code[0] == letter and int(first) <= int(code[1:]) <= int(last):
            return True
    return False


@pytest.mark.parametrize("study", sorted(STUDY_PAGES))
def test_every_row_code_is_explained(study):
    """A reader of results/<study>/table.md finds what `A7` asks in the study's page."""
    page = (ROOT / "docs" / "systems" / f"{STUDY_PAGES[study]}.md").read_text()
    legend = page.split("## Row codes", 1)[1].split("\n## ", 1)[0]
    rows = json.loads((ROOT / "results" / study / "rows.json").read_text())
    codes = set()
    for row in rows:
        codes |= set(CODE_OF_ROW.findall(row["name"]))
    unexplained = [code for code in sorted(codes) if not explains(legend, code)]
    assert not unexplained, f"no legend for {unexplained}"


def test_the_patterns_see_what_they_are_for():
    assert CITATION.findall(one_line('docs/libraries.md,\n    # "A network beside others"')) == [
        ("docs/libraries.md", "A network beside others")
    ]
    for text in ("spec ncap 3", "facts/ray.md 2", "trap 9", "see design.md"):
        assert ABSENT.search(text), text
    assert not ABSENT.search("docs/design.md")

"""The house holds itself: arrows between folders, nothing that runs a stranger's code, files of readable length."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("lancelet", "morphology", "controllers", "envs", "training", "scripts")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
MAY_IMPORT = {
    "lancelet": {"lancelet"},
    "morphology": {"lancelet", "morphology"},
    "controllers": {"lancelet", "controllers"},
    "envs": {"lancelet", "morphology", "envs"},
    "training": {"lancelet", "morphology", "controllers", "envs", "training"},
    "scripts": set(FOLDERS),
}
LONGER_THAN_700_LINES: dict[str, str] = {}
LONGER_THAN_700_LINES: dict[str, str] = {
    "envs/muscles.py": "numba's cache does not notice a change of a helper in another file",
}
"""file -> the reason why it may be"""
PICKLES = {"pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}
RUNS_CODE = {"eval", "exec", "compile", "__import__"}
UNSAFE_LOADERS = {
    ("torch", "load"),
    ("yaml", "load"),
    ("yaml", "unsafe_load"),
    ("yaml", "full_load"),
}


def tree(path):
    return ast.parse(path.read_text())


def folder_of(path):
    return path.relative_to(ROOT).parts[0]


def imported(path):
    """Dotted names of everything a file imports, relative ones resolved under ``lancelet``."""
    parts = path.relative_to(ROOT).parts
    package = ["lancelet", *(parts[:-1] if parts[0] != "lancelet" else parts[1:-1])]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def target(name):
    """Folder that an imported name lies in; None outside the house."""
    parts = name.split(".")
    if parts[0] != "lancelet":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in FOLDERS else "lancelet"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_point_down(path):
    wrong = {
        name
        for name in imported(path)
        if (target(name) or "lancelet") not in MAY_IMPORT[folder_of(path)]
    }
    assert not wrong, f"{folder_of(path)}/ may not import {sorted(wrong)}"


def test_the_arrow_test_sees_a_forbidden_arrow(tmp_path):
    assert target("lancelet.envs.core") == "envs" and target("lancelet.errors") == "lancelet"
    assert target("numpy") is None
    assert "lancelet.morphology" in set(imported(ROOT / "envs" / "task.py"))
    assert "envs" not in MAY_IMPORT["controllers"] and "scripts" not in MAY_IMPORT["training"]


@pytest.mark.parametrize("folder", ["lancelet", "envs", "morphology"])
def test_no_torch_below_the_controllers(folder):
    for path in (ROOT / folder).rglob("*.py"):
        assert not [name for name in imported(path) if name.split(".")[0] == "torch"], path


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_can_run_a_strangers_code(path):
    assert not {name.split(".")[0] for name in imported(path)} & PICKLES
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name):
            assert called.id not in RUNS_CODE, f"line {node.lineno}: {called.id}()"
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
            assert (called.value.id, called.attr) not in UNSAFE_LOADERS, f"line {node.lineno}"
        for keyword in node.keywords:
            yes = isinstance(keyword.value, ast.Constant) and keyword.value.value is True
            assert not (keyword.arg in ("allow_pickle", "shell") and yes), (
                f"line {node.lineno}: {keyword.arg}=True"
            )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_readable(path):
    lines = len(path.read_text().splitlines())
    assert lines <= 700 or str(path.relative_to(ROOT)) in LONGER_THAN_700_LINES, f"{lines} lines"


def test_training_never_chooses_a_gl_backend():
    setters = [path.name for path in FILES if 'environ["MUJOCO_GL"]' in path.read_text()]
    assert setters == []

"""Workers find a user's modules, and no file in the present folder passes itself off as a standard one."""

import os
import subprocess
import sys

import pytest
from test_readme import blocks

from lancelet.training.distributed import import_paths

NAMES = ("random", "types", "queue", "statistics", "selectors", "socket", "tempfile")
"""standard modules that Python, multiprocessing, numpy or Ray import at their start"""
USERS = """
from lancelet.training.distributed.pools import Call, Local

def triple(x):
    return 3 * x

if __name__ == "__main__":
    crew = Local(1)
    crew.submit(0, Call(triple, 2))
    found = []
    while not found:
        found = crew.outcomes(1.0)
    print(found[0].value, found[0].died, found[0].error)
    crew.close()
"""
TRAIN = ["train", "pole:balance", "pole:linear", "--generations", "1", "--population", "4", "--test", "0",
         "--validation", "2", "--max-episode-steps", "5", "--quiet", "--folder", "run"]  # fmt: skip


@pytest.fixture
def trap(tmp_path):
    """A folder of files that are called like standard modules, and end whatever imports them."""
    folder = tmp_path / "trap"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text("raise SystemExit('imported from the present folder')")
    return folder


@pytest.mark.slow
def test_processes_of_this_machine_start_in_a_folder_of_traps(trap, tmp_path):
    (tmp_path / "driver.py").write_text(USERS)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "driver.py")],
        cwd=trap,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "6 None None", done.stderr


@pytest.mark.slow
def test_ray_workers_start_there_too_and_find_a_users_module(trap):
    (trap / "pole.py").write_text(blocks("python")[1])
    command = [os.path.join(os.path.dirname(sys.executable), "lancelet"), *TRAIN, "--workers", "1"]
    done = subprocess.run(command, cwd=trap, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert (trap / "run/best.safetensors").exists()


def test_the_paths_come_last_and_once(monkeypatch):
    monkeypatch.setattr(sys, "path", ["/standard", "/mine"])
    import_paths.at_the_end(["/mine", "/yours"])()
    assert sys.path == ["/standard", "/mine", "/yours"]


def test_the_variable_is_set_inside_only_and_a_users_own_stays(monkeypatch):
    monkeypatch.delenv(import_paths.SAFE_PATH, raising=False)
    with import_paths.safe_path():
        assert os.environ[import_paths.SAFE_PATH]
        import_paths.end_safe_path()  # as a process does that was started inside
        assert import_paths.SAFE_PATH not in os.environ
    assert import_paths.SAFE_PATH not in os.environ
    monkeypatch.setenv(import_paths.SAFE_PATH, "1")
    with import_paths.safe_path():
        import_paths.end_safe_path()
    assert os.environ[import_paths.SAFE_PATH] == "1"

"""Folders of Ray's sessions: a dead owner's goes, a live one's and everybody else's stay."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lancelet.training.distributed import ray_folders

OWNER = """
import sys
from pathlib import Path
from lancelet.training.distributed import ray_folders
ray_folders.root = lambda: Path(sys.argv[1])
with ray_folders.session_folder() as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def root(monkeypatch):
    folder = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    monkeypatch.setattr(ray_folders, "root", lambda: folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def owner(root):
    """A process that owns a folder, and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    yield process, folder
    process.kill()
    process.wait()


def test_a_folder_is_ours_alone_and_goes_with_the_context(root):
    with ray_folders.session_folder() as folder:
        (folder / "session").mkdir()
        assert folder.parent == root and folder.stat().st_mode & 0o077 == 0
        assert (
            len(f"{folder}/r/session_2026-11-27_07-29-38_664937_4194304/sockets/plasma_store") < 107
        )
    assert not list(root.iterdir())


@pytest.mark.slow
def test_a_live_owners_folder_stays_and_that_of_a_killed_one_goes(root, owner):
    process, folder = owner
    (folder / "session").mkdir()
    ray_folders.remove_stale()
    assert (folder / "session").exists()
    process.kill()
    process.wait()
    with ray_folders.session_folder() as own:
        assert list(root.iterdir()) == [own], "whoever starts next cleans up"


def test_links_and_folders_of_others_stay(root, tmp_path):
    (root / f"{ray_folders.PREFIX}link").symlink_to(tmp_path)
    (root / "somebody").mkdir()
    (tmp_path / "precious").touch()
    ray_folders.remove_stale()
    assert (tmp_path / "precious").exists() and (root / "somebody").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a folder of another user")
def test_another_users_folder_stays(root):
    folder = root / f"{ray_folders.PREFIX}theirs"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    ray_folders.remove_stale()
    assert folder.exists()

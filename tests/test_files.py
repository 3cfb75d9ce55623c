"""`write_atomic`: a full disk, a refusal or a kill leaves the previous file whole."""

import os
import signal
import subprocess
import sys
import time

import pytest

from lancelet import LanceletError, files

FULL = """
import resource, signal, sys
from lancelet import LanceletError, files
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    files.write_atomic("kept", b"new" * 1000)
except LanceletError as error:
    print(error)
"""


def test_text_and_bytes_are_written_and_replaced(tmp_path):
    path = tmp_path / "deep" / "file"
    files.write_atomic(path, "one")
    files.write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_is_one_line_and_the_previous_file_stays(python, tmp_path):
    (tmp_path / "kept").write_bytes(b"old")
    done = python(FULL)
    assert "kept: the disk is full; the previous file is untouched" in done.stdout
    assert done.stdout.count("\n") == 1 and done.stderr == ""
    assert (tmp_path / "kept").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_saving_a_controller_to_a_full_disk_keeps_the_old_one(python, tmp_path):
    code = FULL.replace(
        'files.write_atomic("kept", b"new" * 1000)',
        """
    import gymnasium as gym
    from lancelet import controllers
    box = gym.spaces.Box(-1, 1, (8,))
    controllers.save(controllers.mlp.MLP(box, box, controllers.mlp.MLPOptions()), "kept")
""",
    )
    (tmp_path / "kept").write_bytes(b"old")
    assert "the disk is full" in python("import lancelet.controllers.mlp\n" + code).stdout
    assert (tmp_path / "kept").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LanceletError, match="cannot write") as error:
        files.write_atomic(tmp_path / "file" / "below", "x")
    assert "\n" not in str(error.value) and (tmp_path / "file").read_text() == "in the way"


def test_a_kill_at_any_instant_leaves_a_whole_file(tmp_path):
    code = """
from lancelet import files
n = 0
while True:
    n += 1
    files.write_atomic("kept", bytes([n % 256]) * 300_000)
    if n == 1:
        print("ready", flush=True)
"""
    for delay in (0.0, 0.02, 0.3):
        process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, env=os.environ)
        process.stdout.readline()
        end = time.monotonic() + delay
        while True:  # a reader beside the writer sees whole files only, and so does whoever comes after the kill
            last = time.monotonic() >= end
            if last:
                process.send_signal(signal.SIGKILL)
                process.wait()
            data = (tmp_path / "kept").read_bytes()
            assert len(data) == 300_000 and len(set(data)) == 1
            if last:
                break
        process.stdout.close()


def test_the_data_are_on_the_disk_before_the_name_and_the_name_before_the_return(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, name=name, real=real: (calls.append(name), real(*args))[1])
    files.write_atomic(tmp_path / "file", "x")
    assert calls == ["fsync", "replace", "fsync"]

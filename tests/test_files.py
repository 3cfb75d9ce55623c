"""`write_atomic`: a full disk, a refusal or a kill leaves the previous file whole."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
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


@pytest.mark.slow
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
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, env=os.environ
        )
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


def test_the_data_are_on_the_disk_before_the_name_and_the_name_before_the_return(
    tmp_path, monkeypatch
):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *args, name=name, real=real: (calls.append(name), real(*args))[1]
        )
    files.write_atomic(tmp_path / "file", "x")
    assert calls == ["fsync", "replace", "fsync"]


@pytest.fixture
def precious(tmp_path):
    """A file of ours outside the folder `theirs`, which a stranger made."""
    (tmp_path / "theirs").mkdir()
    path = tmp_path / "precious"
    path.write_text("mine")
    return path


def test_a_link_at_the_path_is_replaced_and_never_written_through(tmp_path, precious):
    target = tmp_path / "theirs" / "config.yaml"
    target.symlink_to(precious)
    files.write_atomic(target, "new")
    assert precious.read_text() == "mine"
    assert not target.is_symlink() and target.read_text() == "new"


def test_a_link_at_the_temporary_name_is_refused(tmp_path, precious, monkeypatch):
    monkeypatch.setattr(files.secrets, "token_hex", lambda size: "foreseen")
    trap = tmp_path / "theirs" / ".config.yaml.foreseen.tmp"
    trap.symlink_to(precious)
    with pytest.raises(LanceletError, match="cannot write"):
        files.write_atomic(tmp_path / "theirs" / "config.yaml", "new")
    assert precious.read_text() == "mine"
    assert not (tmp_path / "theirs" / "config.yaml").exists()


def test_temporary_names_cannot_be_foreseen(tmp_path, monkeypatch):
    names = []
    monkeypatch.setattr(os, "replace", lambda source, target: names.append(source.name))
    for _ in range(3):
        files.write_atomic(tmp_path / "file", "x")
    assert len(set(names)) == 3


def test_an_interrupt_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomic(tmp_path / "file", "x")
    assert list(tmp_path.iterdir()) == []


def test_a_program_writes_where_no_link_of_a_stranger_lies(tmp_path, precious):
    target = tmp_path / "theirs" / "film.mp4"
    target.symlink_to(precious)
    with files.written_elsewhere(target) as place:
        assert place.suffix == ".mp4" and place.parent.stat().st_mode & 0o077 == 0
        place.write_text("film")
        assert precious.read_text() == "mine"
    assert precious.read_text() == "mine"
    assert not target.is_symlink() and target.read_text() == "film"
    assert list(target.parent.iterdir()) == [target]


def test_a_program_that_fails_replaces_nothing(tmp_path):
    target = tmp_path / "film.mp4"
    target.write_text("before")
    with pytest.raises(ZeroDivisionError), files.written_elsewhere(target) as place:
        place.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "before" and list(tmp_path.iterdir()) == [target]


def test_a_place_that_cannot_be_written_elsewhere_either_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(LanceletError, match="cannot write"),
        files.written_elsewhere(tmp_path / "file" / "film.mp4"),
    ):
        pass
    (tmp_path / "film.mp4").mkdir()
    with (
        pytest.raises(LanceletError, match="cannot write"),
        files.written_elsewhere(tmp_path / "film.mp4") as place,
    ):
        place.write_text("film")


def test_json_is_what_every_reader_takes():
    value = {
        "a": float("nan"),
        "b": [np.float32(0.5), (float("inf"), 1)],
        "c": np.array([1, 2]),
        "d": None,
    }
    assert files.to_json(value) == '{"a": null, "b": [0.5, [null, 1]], "c": [1, 2], "d": null}'


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for path, reason in (
        (tmp_path / "file", "File exists"),
        (tmp_path / "file" / "below", "Not a directory"),
        (tmp_path / ("x" * 300), "File name too long"),
        ("a\0b", "null byte"),
    ):
        with pytest.raises(LanceletError, match=reason):
            files.make_folder(path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.make_folder("~/deep/run") == tmp_path / "deep" / "run"
    with pytest.raises(LanceletError, match="home folder"):
        files.user_path("~nobody-of-this-name/run")

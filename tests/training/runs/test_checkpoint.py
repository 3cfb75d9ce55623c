import pickle
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from lancelet import LanceletError
from lancelet.training.runs import checkpoint

TREE = {
    "generation": 3,
    "best": torch.arange(4.0),
    "searcher": {"generator": torch.arange(5, dtype=torch.uint8), "rate": 0.1, "velocity": None},
    "rows": [np.arange(6).reshape(2, 3), "text", True],
}


def test_a_tree_comes_back_with_its_types(tmp_path):
    checkpoint.save(tmp_path / "state", TREE)
    found = checkpoint.load(tmp_path / "state")
    assert (
        found["generation"] == 3
        and found["searcher"]["rate"] == 0.1
        and found["searcher"]["velocity"] is None
    )
    assert torch.equal(found["best"], TREE["best"]) and found["best"].dtype == torch.float32
    assert found["searcher"]["generator"].dtype == torch.uint8
    assert isinstance(found["rows"][0], np.ndarray) and np.array_equal(
        found["rows"][0], TREE["rows"][0]
    )
    assert found["rows"][1:] == ["text", True]


def test_what_is_neither_array_nor_json_is_refused(tmp_path):
    with pytest.raises(TypeError, match="/thing"):
        checkpoint.save(tmp_path / "state", {"thing": object()})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cut", [0, 1, 7, 100, -1])
def test_a_truncated_file_is_refused_in_one_line(tmp_path, cut):
    checkpoint.save(tmp_path / "state", TREE)
    data = (tmp_path / "state").read_bytes()
    (tmp_path / "state").write_bytes(data[:cut])
    with pytest.raises(LanceletError, match="cut short") as caught:
        checkpoint.load(tmp_path / "state")
    assert "\n" not in str(caught.value)


def test_a_pickle_is_never_opened(tmp_path):
    trap = tmp_path / "executed"

    class Trap:
        def __reduce__(self):
            return (open, (str(trap), "w"))

    (tmp_path / "state").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(LanceletError, match="not a checkpoint"):
        checkpoint.load(tmp_path / "state")
    assert not trap.exists()


def test_another_format_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", 99)
    checkpoint.save(tmp_path / "state", TREE)
    monkeypatch.undo()
    with pytest.raises(LanceletError, match=r"format 99.*needs 1"):
        checkpoint.load(tmp_path / "state")


@pytest.mark.slow
def test_a_full_disk_keeps_the_previous_checkpoint(tmp_path):
    code = (
        "import sys, torch; from lancelet.training.runs import checkpoint; from lancelet import LanceletError\n"
        "try: checkpoint.save(sys.argv[1], {'big': torch.zeros(100_000)})\n"
        "except LanceletError as error: print(error)"
    )
    checkpoint.save(tmp_path / "state", TREE)

    def small_disk():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "state")],
        capture_output=True,
        text=True,
        preexec_fn=small_disk,
    )
    assert "the disk is full; the previous file is untouched" in done.stdout
    assert checkpoint.load(tmp_path / "state")["generation"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["state"]

"""Run folders: whose they are, what may change on resume, their record, lock and log."""

import json
import os
import re
import shutil
import warnings

import numpy as np
import pytest
import yaml
from conftest import SWIM

from lancelet import LanceletError, morphology, training
from lancelet.errors import LanceletWarning
from lancelet.training.runs import folder as runs
from lancelet.training.runs import sessions as sessions_of_runs
from lancelet.training.runs.folder import RunFolder, read_config, read_log

SHORT = {"max_episode_steps": 5}
SMALL = {
    "population": 4,
    "validation": 2,
    "validate_every": 1,
    "test": 0,
    "task_options": SHORT,
}
CONFIG = {
    "task": SWIM,
    "controller": "ncap",
    "algorithm": "snes",
    "algorithm_options": {"seed": 0, "generations": 4, "stdev": 0.5},
}


def opened(folder, resume=False, **options):
    """A run folder of `CONFIG` with other options of its algorithm, closed at once."""
    asked = {**CONFIG["algorithm_options"], **options}
    config = {**CONFIG, "algorithm_options": asked}
    run = RunFolder(
        config,
        folder,
        resume,
        may_change=("generations",),
        defaults={"stdev": 0.5, "mirrored": False},
    )
    run.close()
    return run


def test_a_refused_run_lets_its_folder_go(tmp_path):
    opened(tmp_path / "run")
    kept = []  # as a notebook keeps the last exception, with the frames of its traceback
    for options in ({"resume": False}, {"resume": True, "stdev": 0.1}):
        with pytest.raises(LanceletError) as raised:
            opened(tmp_path / "run", **options)
        kept.append(raised.value)
    assert "already holds a run" in str(kept[0])
    assert "stdev = 0.5, not 0.1" in str(kept[1])
    opened(tmp_path / "run", resume=True)


def test_a_lock_that_a_stranger_made_a_link_or_a_pipe_is_refused(tmp_path):
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(LanceletError, match="cannot be written to"):
        runs.hold(tmp_path)
    assert not (tmp_path / "precious").exists()
    (tmp_path / "lock").unlink()
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(LanceletError, match="cannot be written to"):
        runs.hold(tmp_path)


def test_a_folder_that_cannot_be_locked_says_so(tmp_path, monkeypatch):
    def no_locks(file, how):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(runs.fcntl, "flock", no_locks)
    with pytest.raises(LanceletError, match=r"cannot be locked \(No locks available\)"):
        opened(tmp_path / "run")


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize(
    "left", ["checkpoint/state.safetensors", "metrics.jsonl", "best.safetensors"]
)
def test_files_of_an_unknown_run_are_never_continued(tmp_path, left, resume):
    training.evolve(SWIM, "ncap", generations=1, folder=tmp_path / "theirs", **SMALL)
    (tmp_path / "mine" / "checkpoint").mkdir(parents=True)
    shutil.copy(tmp_path / "theirs" / left, tmp_path / "mine" / left)
    before = (tmp_path / "mine" / left).read_bytes()
    with pytest.raises(LanceletError, match=rf"holds {left} but no config\.yaml"):
        training.evolve(
            SWIM, "ncap", generations=2, folder=tmp_path / "mine", resume=resume, **SMALL
        )
    assert (tmp_path / "mine" / left).read_bytes() == before
    found = [path for path in (tmp_path / "mine").rglob("*") if path.is_file()]
    assert found == [tmp_path / "mine" / left], "nothing is written beside it"


def test_only_what_a_trainer_names_may_change_on_resume(tmp_path):
    opened(tmp_path / "run")
    opened(tmp_path / "run", resume=True, generations=9)
    assert read_config(tmp_path / "run")["algorithm_options"]["generations"] == 9
    with pytest.raises(LanceletError, match=r"seed = 0, not 1"):
        opened(tmp_path / "run", resume=True, seed=1)


@pytest.mark.parametrize("algorithm", ["ddpg", "td3", "sac"])
def test_updates_a_step_stay_what_they_were(tmp_path, algorithm):
    trainer = training.algorithms.get(algorithm)
    common = {
        "steps": 20,
        "envs": 2,
        "batch_size": 4,
        "buffer": 100,
        "validation": 1,
        "learning_starts": 4,
        "random_steps": 4,
        "train_every": 4,
        "log_every": 10,
        "test": 0,
        "quiet": True,
        "folder": str(tmp_path / "run"),
    }
    trainer(updates=0.5, **common).train(SWIM, "mlp", SHORT)
    before = (tmp_path / "run" / "config.yaml").read_bytes()
    with pytest.raises(LanceletError, match=r"updates = 0\.5, not 1\.0"):
        trainer(updates=1.0, **common, resume=True).train(SWIM, "mlp", SHORT)
    assert (tmp_path / "run" / "config.yaml").read_bytes() == before


def test_an_option_that_a_run_was_begun_before_has_its_default(tmp_path):
    opened(tmp_path / "run")
    opened(tmp_path / "run", resume=True, mirrored=False)
    config = read_config(tmp_path / "run")
    del config["algorithm_options"]["mirrored"]
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(LanceletError, match="mirrored = False, not True"):
        opened(tmp_path / "run", resume=True, mirrored=True)


def test_the_record_keeps_every_session(tmp_path, monkeypatch):
    opened(tmp_path / "run")
    first = read_config(tmp_path / "run")
    now = sessions_of_runs.versions()
    monkeypatch.setattr(sessions_of_runs, "versions", lambda: {**now, "torch": "9.9.9"})
    with pytest.warns(LanceletWarning, match=re.escape(f"(torch {now['torch']} -> 9.9.9)")) as told:
        opened(tmp_path / "run", resume=True, generations=8)
    assert len(told) == 1
    assert "\n" not in str(told[0].message)
    config = read_config(tmp_path / "run")
    assert config["versions"] == first["versions"]
    assert config["created"] == first["created"]
    sessions = config["sessions"]
    assert [session["versions"]["torch"] for session in sessions] == [now["torch"], "9.9.9"]
    assert [session["options"] for session in sessions] == [{"generations": 4}, {"generations": 8}]
    assert all(session["command"] and session["begun"] for session in sessions)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "error"
        )  # under the same versions as the last session nothing is said
        opened(tmp_path / "run", resume=True)
    assert len(read_config(tmp_path / "run")["sessions"]) == 3


def test_a_run_of_before_the_record_goes_on(tmp_path):
    opened(tmp_path / "run")
    config = read_config(tmp_path / "run")
    config["versions"]["mujoco"] = "3.0.0"
    del config["sessions"]
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.warns(LanceletWarning, match=r"mujoco 3\.0\.0 -> "):
        opened(tmp_path / "run", resume=True)
    sessions = read_config(tmp_path / "run")["sessions"]
    assert sessions[0]["versions"]["mujoco"] == "3.0.0"
    assert sessions[0]["begun"] == config["created"]
    assert len(sessions) == 2


def test_another_mujoco_that_compiles_another_model_is_named(tmp_path):
    opened(tmp_path / "run")
    config = read_config(tmp_path / "run")
    config["versions"]["mujoco"] = "3.0.0"
    config["model_hash"] = "0" * 16
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(LanceletError, match=r"install mujoco==3\.0\.0, or give another --folder"):
        RunFolder({**CONFIG, "model_hash": "1" * 16}, tmp_path / "run", resume=True)


def test_numbers_of_numpy_are_written_as_numbers(tmp_path):
    options = {"seed": np.int64(0), "stdev": np.float32(0.5), "hidden": np.array([8, 8])}
    RunFolder({**CONFIG, "algorithm_options": options}, tmp_path / "run").close()
    kept = read_config(tmp_path / "run")["algorithm_options"]
    assert kept == {"seed": 0, "stdev": 0.5, "hidden": [8, 8]}


def test_figures_that_are_not_finite_are_left_out_of_the_log(tmp_path):
    run = RunFolder(CONFIG, tmp_path / "run")
    run.begin_log(0)
    told = []
    run.watch = told.append
    run.log(1, mean=float("nan"), best=np.float32(2.5), validation=float("-inf"))
    run.close()
    (line,) = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line, parse_constant=pytest.fail) == {"step": 1, "best": 2.5}
    assert told == [{"best": 2.5}]


def test_a_log_with_nothing_past_the_checkpoint_is_not_written_again(tmp_path):
    run = RunFolder(CONFIG, tmp_path / "run")
    run.begin_log(0)
    run.log(1, mean=0.1)
    run.log(2, mean=1 / 3)
    run.close()
    log = tmp_path / "run" / "metrics.jsonl"
    os.utime(log, ns=(1, 1))
    for checkpoint_step, is_written in ((2, False), (1, True)):
        run = RunFolder(CONFIG, tmp_path / "run", resume=True)
        run.begin_log(checkpoint_step)
        run.close()
        assert (log.stat().st_mtime_ns != 1) is is_written
    assert read_log(tmp_path / "run") == [{"step": 1, "mean": 0.1}]


def test_spoilt_lines_of_a_log_are_left_out_and_the_run_goes_on(tmp_path):
    run = RunFolder(CONFIG, tmp_path / "run")
    run.begin_log(0)
    run.log(1, mean=1.0)
    run.log(2, mean=2.0)
    run.close()
    log = tmp_path / "run" / "metrics.jsonl"
    first, second = log.read_bytes().splitlines()
    spoilt = (
        b"\xff\xfe",
        b"[1, 2]",
        b"null",
        b"{}",
        b'{"step": "two", "mean": 0}',
        b'{"step": NaN}',
        b"[" * 100_000,
        b'{"step": 1, "mea',
    )
    log.write_bytes(
        b"\n".join([spoilt[0], first, *spoilt[1:], second + b"\r", b'{"step": 3, "mean": NaN}'])
    )
    assert read_log(tmp_path / "run") == [
        {"step": 1, "mean": 1.0},
        {"step": 2, "mean": 2.0},
        {"step": 3},
    ]
    run = RunFolder(CONFIG, tmp_path / "run", resume=True)
    run.begin_log(2)
    run.close()
    assert log.read_bytes() == first + b"\n" + second + b"\n"


def test_a_run_in_which_every_candidate_fails_says_so(tmp_path):
    body = morphology.to_json(morphology.make("swimmer", mass=1e-6))
    heavy = {**SMALL, "task_options": {"body": body, "max_episode_steps": 20}}
    with pytest.warns(LanceletWarning, match="every candidate of this run failed") as told:
        run = training.evolve(SWIM, "ncap", generations=2, folder=tmp_path / "run", **heavy)
    assert run.failed
    assert len(told) == 1
    lines = read_log(tmp_path / "run")
    assert [line["failed"] for line in lines] == [4, 4]
    assert not any("mean" in line or "best" in line for line in lines)


def test_a_run_with_some_failures_does_not(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", LanceletWarning)
        run = training.evolve(SWIM, "ncap", generations=1, folder=tmp_path / "run", **SMALL)
    assert not run.failed
    assert not training.trainer.nothing_succeeded(
        [{"step": 1, "failed": 4}, {"step": 2, "best": 1.0, "failed": 3}]
    )
    assert not training.trainer.nothing_succeeded([{"step": 1, "loss": 2.0}])
    assert not training.trainer.nothing_succeeded([])


def test_generations_that_no_validation_looks_at_are_named(tmp_path):
    options = {**SMALL, "validate_every": 3}
    with pytest.warns(
        LanceletWarning, match="generations = 2 with validate_every = 3: none is considered"
    ):
        training.evolve(SWIM, "ncap", generations=2, folder=tmp_path / "run", **options)
    with pytest.warns(LanceletWarning, match="the last 1 are not considered"):
        training.evolve(
            SWIM, "ncap", generations=4, folder=tmp_path / "run", resume=True, **options
        )

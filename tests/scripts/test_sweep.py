import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lancelet import LanceletError, controllers
from lancelet.scripts import cli, sweep
from lancelet.training.config import read
from lancelet.training.runs.folder import read_log
from lancelet.training.sweep.report import command, rows
from lancelet.training.sweep.search import Sweep, Trial

TINY = ["--joints", "3", "--max-episode-steps", "20", "--generations", "4", "--validation", "2",
        "--validate-every", "1"]  # fmt: skip
WORDS = ["sweep", "swim", "ncap", "--over", "stdev=0.01..1", "--over", "population=4,6", "--over",
         "controller.period=40..80", "--over", "task.clock=True,False", *TINY, "--samples", "3", "--test", "0",
         "--workers", "1", "--scheduler", "fifo", "--folder", "swept"]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A sweep whose driver was killed during its second trial, and which was continued."""
    home = tmp_path_factory.mktemp("sweep")
    (home / "home").mkdir()
    environment = {**os.environ, "HOME": str(home / "home"), "COLUMNS": "160"}
    environment.pop("RAY_AUTH_MODE", None)

    def start(*more):
        return subprocess.Popen(
            [sys.executable, "-m", "lancelet.scripts.main", *WORDS, *more],
            cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    first = start()
    while first.poll() is None and not read_log(home / "swept/trials/00001"):
        time.sleep(0.02)
    first.kill()
    first.communicate()
    stamp = (home / "swept/trials/00000/metrics.jsonl").stat().st_mtime_ns
    refused, second = start("--resume"), start("--resume", "--trust")
    return (
        home,
        stamp,
        (*refused.communicate(), refused.returncode),
        (*second.communicate(), second.returncode),
    )


@pytest.mark.slow
def test_a_killed_sweep_goes_on_and_reports_its_best(place):
    home, stamp, _, (out, error, status) = place
    folder = home / "swept"
    assert status == 0, error
    trials = json.loads((folder / "trials.json").read_text())
    assert [trial["note"] for trial in trials] == ["", "", ""]
    scores = [trial["validation"] for trial in trials]
    assert scores == sorted(scores, reverse=True) and scores[0] > scores[-1]
    assert (folder / "trials/00000/metrics.jsonl").stat().st_mtime_ns == stamp, (
        "a finished trial is not run again"
    )
    for trial in trials:
        log = read_log(trial["folder"])
        assert (
            len(log) == 4
            and trial["steps"] == log[-1]["steps"] == 4 * 20 * trial["values"]["population"]
        )
        assert trial["validation"] >= max(line["validation"] for line in log)
        assert isinstance(trial["values"]["controller.period"], int)
    assert (folder / "sweep.png").read_bytes()[1:4] == b"PNG"
    table = [line for line in out.splitlines() if line.startswith("│")]
    assert len(table) == 3 and os.path.basename(trials[0]["folder"]) in table[0]
    assert "Configuration for experiment" not in out and "Traceback" not in error


def test_the_best_can_be_trained_and_every_trial_is_a_run(place):
    home, _, _, (out, _, _) = place
    best, config = (
        json.loads((home / "swept/trials.json").read_text())[0],
        read(home / "swept/best.yaml"),
    )
    assert config.algorithm_options["stdev"] == best["values"]["stdev"]
    assert config.controller_options == {"period": best["values"]["controller.period"]}
    assert (
        config.task_options["clock"] is best["values"]["task.clock"]
        and config.task_options["joints"] == 3
    )
    line = next(
        line for line in out.splitlines() if line.startswith("train with the best: lancelet ")
    )
    assert line == f"train with the best: {command(config)}"
    words = line.removeprefix("train with the best: lancelet train ").split()
    from lancelet.scripts import train

    assert train.main([*words, "--folder", str(home / "again"), "--quiet"]) == 0
    assert (home / "again/best.safetensors").read_bytes() == Path(
        best["folder"], "best.safetensors"
    ).read_bytes()
    assert controllers.load(best["folder"]).parameter_count == 4


def test_a_resume_needs_trust_and_nothing_stays_in_the_home_folder(place):
    home, _, (_, error, status), _ = place
    assert status == 2 and error.count("\n") == 1
    assert "pickles" in error and "--resume --trust" in error
    assert not {".ray", "ray_results"} & {path.name for path in (home / "home").iterdir()}


def test_a_sweep_of_something_else_is_not_continued(place, capsys):
    home, *_ = place
    for more, message in (
        (["--resume", "--trust", "--samples", "5"], "samples = 3, not 5"),
        ([], "already holds a sweep: give --resume"),
    ):
        assert cli.guard(sweep.main, [*WORDS[1:-1], str(home / "swept"), *more]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--over", "stdv=0.1..1"], "did you mean stdev"),
        (["--over", "stdev=1..0.1"], "the range is empty"),
        (["--over", "population=two,4"], "'two' is no value of it; needs int"),
        (["--over", "population=0,4"], "--over population: population = 0: must be 2 or more"),
        (["--over", "task.joints=0..4"], "--over task.joints: "),
        (["--over", "controller.period=0..4"], "--over controller.period: "),
        (["--over", "folder=a,b"], "unknown option to sweep over 'folder'"),
        ([], "nothing to sweep over"),
        (["--over", "stdev=0.1..1", "--samples", "0"], "samples = 0"),
        (["--over", "stdev=0.1..1", "--address", "head"], "address = 'head': must be host:port"),
        (["--over", "stdev=0.1..1", "--algorithm", "ppoo"], "did you mean ppo"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    tmp_path, monkeypatch, capsys, words, message
):
    monkeypatch.chdir(tmp_path)
    assert cli.guard(sweep.main, ["swim", "ncap", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_options_that_may_hold_together_are_left_to_the_trials():
    from lancelet.training.config import Config
    from lancelet.training.sweep.ranges import parse
    from lancelet.training.sweep.search import option_types, try_ends

    base = Config("lancelet/Swim-v0", "mlp", "ppo", {}, {}, {"envs": 8, "rollout": 16})
    alone = parse(["batch_size=96,128"], option_types(base))
    with pytest.raises(LanceletError, match=r"--over batch_size: batch_size = 96: must divide"):
        try_ends(base, alone)
    try_ends(base, parse(["batch_size=96,128", "envs=8,24"], option_types(base)))


def test_the_help_says_what_a_resume_does(capsys):
    with pytest.raises(SystemExit):
        sweep.main(["swim", "ncap", "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "unpickled" in text and "--trust" in text and "Unpickling a stranger's runs" in text
    assert "--stdev" in text and text.count("--workers") >= 1 and "--chunk" not in text


def test_trials_that_failed_come_last_with_their_reason(tmp_path):
    trials = [
        Trial(folder="t/00001", values={"a": 0.12345, "b": (8, 8)}, validation=3.0, steps=2000),
        Trial(
            folder="t/00000",
            values={"a": 1e-5, "b": None},
            validation=None,
            steps=0,
            note="a = 1: no",
        ),
    ]
    assert rows(trials, ["a", "b"])[1:] == [
        ["00001", "3", "2,000", "0.1235", "8 8", ""],
        ["00000", "", "0", "1e-05", "None", "a = 1: no"],
    ]
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_text("mine")
    with pytest.raises(LanceletError, match="neither empty nor a sweep"):
        Sweep(folder=str(tmp_path / "other"))._claim(tmp_path / "other", {})

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lancelet.training.video import opengl as gl

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(tmp_path):
    """`command("play", "swim")` as a user types it, in an empty folder."""

    def run(*words, script=False, **env):
        start = (
            [str(ROOT / "scripts" / f"{words[0]}.py")]
            if script
            else ["-m", "lancelet.scripts.main", words[0]]
        )
        done = subprocess.run(
            [sys.executable, *start, *map(str, words[1:])],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "100", **env},
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.mark.slow
def test_list_has_a_line_for_everything(command):
    lines = command("list", script=True).stdout.splitlines()
    for word, about in (
        ("swim", "Swim forward"),
        ("swimmer", "chain"),
        ("ncap", "neuron"),
        ("snes", "evolution"),
    ):
        assert any(line.split()[:1] == [word] and about in line for line in lines), word
    assert not any("does not load" in line for line in lines)


@pytest.mark.slow
def test_doctor_says_what_is_here(command, tmp_path):
    done = command("doctor", "--json", "d.json")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads((tmp_path / "d.json").read_text())}
    assert rows["physics"]["holds"] and rows["dm-control pair"]["holds"] and rows["ffmpeg"]["holds"]
    assert set(rows["physics"]) >= {
        "name",
        "kind",
        "value",
        "target",
        "holds",
        "seeds",
        "interval",
        "note",
    }
    for name, row in rows.items():
        assert name in done.stdout
        if name.startswith("opengl") and not row["holds"]:
            assert "apt-get install" in row["note"]


@pytest.mark.slow
def test_doctor_tells_what_listens_and_how_ray_would_be_started(command, tmp_path):
    serve = "import socket, sys; server = socket.create_server(('', 0)); print(server.getsockname()[1], flush=True)"
    child = subprocess.Popen(
        [sys.executable, "-c", f"{serve}; sys.stdin.read()", "lancelet"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        port = child.stdout.readline().strip()
        done = command("doctor", "--json", "d.json")
    finally:
        child.kill()
        child.wait()
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "d.json").read_text())
    assert [row["value"] for row in rows if row["name"] == "ray pools"] == [
        "listen on 127.0.0.1 only, with a token of their own"
    ]
    open_to_all = [
        row for row in rows if row["name"] == "listening" and f"port {port}:" in row["value"]
    ]
    assert [row["holds"] for row in open_to_all] == [False]
    assert "every machine" in open_to_all[0]["note"] and "no Ray token" in open_to_all[0]["note"]


@pytest.mark.slow
def test_doctor_survives_a_gl_library_that_is_not_there(command):
    done = command("doctor", MUJOCO_GL="osmesa")
    assert done.returncode == 0 and "swimmer compiles" in done.stdout


@pytest.mark.slow
def test_play_prints_every_episode(command):
    done = command(
        "play",
        "swim",
        "--agent",
        "ncap",
        "--joints",
        "3",
        "--max-episode-steps",
        "30",
        "--seed",
        "4",
    )
    assert done.returncode == 0, done.stderr
    seeds = [
        line.split()[0]
        for line in done.stdout.splitlines()
        if line.split() and line.split()[0].isdigit()
    ]
    assert seeds == ["4", "5", "6"] and "speed" in done.stdout and "mean" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("play", "swm"), "did you mean swim"),
        (("play", "swim", "--agent", "ncp"), "did you mean ncap"),
        (("play", "swim", "--agent", "runs/none"), "does not exist"),
        (("play", "swim", "--joints", "0"), "joints = 0"),
        (("play", "swim", "--episodes", "0"), "episodes = 0"),
        (("play",), "task is missing"),
        (("render", "runs/none"), "does not exist"),
        (("render", "."), "no config.yaml"),
        (("bench", "env"), "did you mean envs"),
    ],
)
def test_bad_input_is_one_line_and_status_2(command, words, says):
    done = command(*words)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and says in done.stderr


@pytest.mark.slow
def test_a_video_or_one_line_that_says_what_to_install(command, tmp_path):
    import imageio_ffmpeg

    done = command(
        "play",
        "swim",
        "--episodes",
        "1",
        "--max-episode-steps",
        "20",
        "--video",
        "swim.mp4",
        script=True,
    )
    if gl.probe() is None:
        assert done.returncode == 2 and "apt-get install" in done.stderr.splitlines()[-1]
        return
    assert done.returncode == 0, done.stderr
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "swim.mp4"))
    assert frames == 21 and seconds == pytest.approx(21 * 0.03, abs=0.04)


TRAIN = "train swim ncap --generations 1 --population 4 --validation 2 --test 0 --max-episode-steps 5 --quiet"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (f"{TRAIN} --folder /etc/hostname", "folder = /etc/hostname: cannot be made (File exists)"),
        (
            f"{TRAIN} --folder /proc/none",
            "folder = /proc/none: cannot be made (No such file or directory)",
        ),
        (f"{TRAIN} --folder {'x' * 300}", "cannot be made (File name too long)"),
        (f"{TRAIN} --seed -1", "seed = -1: must be a whole number from 0 to 2**64 - 1"),
        (f"{TRAIN} --stdev nan", "stdev = nan (of type float): must be a finite number"),
        (
            f"{TRAIN} --max-episode-steps 0",
            "max_episode_steps = 0: must be a whole number, 1 or more",
        ),
        (
            "play swim --agent zero --seed -1",
            "seed = -1: must be a whole number from 0 to 2**64 - 1",
        ),
        (
            f"coevolve swim --evaluations 2 --seed {2**70}",
            "must be a whole number from 0 to 2**64 - 1",
        ),
        (
            "coevolve swim --evaluations 2 --deadline nan",
            "deadline = nan (of type float): must be a finite number",
        ),
        ("sweep swim ncap --over stdev=-0.5..0.5", "--over stdev: stdev = -0.5: must be above 0"),
        (
            "sweep swim ncap --over seed=-1,2",
            "--over seed: seed = -1: must be a whole number from 0 to 2**64 - 1",
        ),
        (
            f"sweep swim ncap --over stdev=0.1..0.5 --seed {2**64}",
            "must be a whole number from 0 to 2**64 - 1",
        ),
        ("sweep swim ncap --over stdev=nan,0.5", "--over stdev: stdev = nan (of type float)"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(command, tmp_path, words, said):
    done = command(*words.split())
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and said in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_folder_in_the_home_folder_is_made_there(command, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    done = command(*TRAIN.split(), "--folder=~/run", HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert (home / "run" / "config.yaml").exists()
    assert not (tmp_path / "~").exists()


@pytest.mark.slow
def test_a_run_in_which_all_candidates_fail_ends_with_status_1(command, tmp_path):
    # A swimmer of almost no mass under water as thick as tar: the physics diverges at once.
    done = command(*TRAIN.split(), "--validate-every", "1", "--viscosity", "1e30")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: ") and "every candidate of this run failed" in line

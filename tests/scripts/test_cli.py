import warnings
from dataclasses import dataclass

import gymnasium as gym
import pytest

from lancelet import LanceletError
from lancelet.controllers.mlp import MLPOptions
from lancelet.envs.swim import Swim
from lancelet.errors import LanceletWarning
from lancelet.scripts import cli


@dataclass
class Trainer:
    """A trainer."""

    generations: int = 40
    """how many generations"""


def parse(*flags):
    return cli.parse(
        "train",
        "About.",
        flags,
        prefixed=["controller"],
        task=Swim(joints=4),
        trainer=Trainer,
        controller=MLPOptions,
    )


def test_flags_of_three_dataclasses_reach_their_own():
    parsed = parse(
        "--joints", "7", "--clock", "--generations", "3", "--controller.hidden", "8", "9"
    )
    assert type(parsed.task) is Swim and (parsed.task.joints, parsed.task.clock) == (7, True)
    assert parsed.trainer == Trainer(3)
    assert type(parsed.controller) is MLPOptions and parsed.controller.hidden == (8, 9)


def test_an_object_gives_the_defaults_and_none_is_lost():
    assert parse().task == Swim(joints=4)
    assert parse("--no-clock").controller == MLPOptions()


def test_help_shows_field_docstrings_and_no_body(capsys):
    with pytest.raises(SystemExit) as end:
        parse("--help")
    shown = capsys.readouterr().out
    assert end.value.code == 0
    assert (
        "actuated joints" in shown
        and "how many generations" in shown
        and "--controller.hidden" in shown
    )
    assert "--body" not in shown


def test_a_wrong_flag_ends_with_status_2_and_a_near_name(capsys):
    with pytest.raises(SystemExit) as end:
        parse("--generatons", "3")
    assert end.value.code == 2
    assert "--generations" in capsys.readouterr().err


def test_a_value_that_the_task_refuses_is_a_lancelet_error():
    with pytest.raises(LanceletError, match=r"joints = 0"):
        parse("--joints", "0")


def test_words_come_first():
    known = {"task": ["swim"], "controller": ["ncap", "mlp"]}
    assert cli.words("train", "", ["swim", "ncap", "--x", "1"], **known) == (
        ["swim", "ncap"],
        ["--x", "1"],
    )
    with pytest.raises(LanceletError, match=r"controller is missing \(ncap, mlp\)"):
        cli.words("train", "", ["swim"], **known)
    with pytest.raises(LanceletError, match="one word too many"):
        cli.words("train", "", ["swim", "ncap", "more"], **known)
    assert cli.words("train", "", ["swim"], least=1, **known) == (["swim"], [])


def test_help_before_the_words_lists_them(capsys):
    with pytest.raises(SystemExit) as end:
        cli.words("train", "Train it.", ["--help"], task=["swim"], controller=["ncap"])
    shown = capsys.readouterr().out
    assert (
        end.value.code == 0
        and "Train it." in shown
        and "swim" in shown
        and "TASK CONTROLLER" in shown
    )


def test_tasks_by_name():
    assert cli.task_cls("swim") is cli.task_cls("lancelet/Swim-v0") is Swim
    assert cli.task_defaults("swim") == Swim()
    with pytest.raises(LanceletError, match="did you mean swim"):
        cli.task_cls("swm")


def test_files_are_found_by_name():
    assert "envs" in cli.module_names("lancelet.scripts.benches")
    assert not any(name.startswith("_") for name in cli.module_names("lancelet.scripts.benches"))
    with pytest.raises(LanceletError, match="did you mean envs"):
        cli.by_file("lancelet.scripts.benches", "bench", "env")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (LanceletError("a plain line"), 2),
        (gym.error.ResetNeeded("a plain line"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_guard_turns_errors_into_a_line_and_a_status(error, status, capsys):
    def main(argv):
        raise error

    assert cli.guard(main, []) == status
    assert capsys.readouterr().err == ("error: a plain line\n" if status == 2 else "")
    assert cli.guard(lambda argv: None, []) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["play", "nothing"], False),
        (["play", "mine:task"], True),
        (["render", "run", "--trust"], True),
    ],
)
def test_the_present_folder_is_searched_only_for_a_module_that_is_named(python, words, found):
    code = f"import os, sys; from lancelet.scripts.main import main; main({words!r}); print(os.getcwd() in sys.path)"
    assert python(code).stdout.splitlines()[-1] == str(found)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            PermissionError(13, "Permission denied", "/etc/shadow"),
            "error: Permission denied: /etc/shadow\n",
        ),
        (OSError(12, "Cannot allocate memory"), "error: Cannot allocate memory\n"),
        (OSError("no number"), "error: no number\n"),
        (LanceletError("joints = 0"), "error: joints = 0\n"),
        (gym.error.Error("two\nlines"), "error: two lines\n"),
    ],
)
def test_what_the_system_refuses_is_one_line(error, line, capsys, monkeypatch):
    def main(argv):
        raise error

    monkeypatch.delenv(cli.TRACEBACK, raising=False)
    assert cli.guard(main) == 2
    assert capsys.readouterr().err == line
    monkeypatch.setenv(cli.TRACEBACK, "1")
    assert cli.guard(main) == 2
    told = capsys.readouterr().err
    assert told.startswith("Traceback") and told.endswith(line)


def test_faults_of_ours_keep_their_traceback():
    def main(argv):
        raise KeyError("a fault of the program")

    with pytest.raises(KeyError):
        cli.guard(main)


def test_a_reader_that_left_and_ctrl_c_are_no_errors(monkeypatch):
    def interrupted(argv):
        raise KeyboardInterrupt

    assert cli.guard(interrupted) == 130


def test_a_warning_of_the_workbench_is_one_line(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # restored in the end
    assert cli.guard(lambda argv: 0) == 0
    ours = warnings.formatwarning(LanceletWarning("mind the gap"), LanceletWarning, "file.py", 3)
    assert ours == "warning: mind the gap\n"
    others = warnings.formatwarning(UserWarning("mind the gap"), UserWarning, "file.py", 3)
    assert others.startswith("file.py:3: UserWarning: mind the gap")


def test_the_home_folder_is_meant_wherever_a_path_stands(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    argv = ["swim", "--folder=~/x", "--start=~", "--over=stdev=~/x", "--note=a~b", "-~"]
    _, flags = cli.words("train", "", argv, task=["swim"])
    assert flags == [
        "--folder=/home/someone/x",
        "--start=/home/someone",
        "--over=stdev=~/x",
        "--note=a~b",
        "-~",
    ]

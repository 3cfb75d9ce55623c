"""The loop of every trainer: its order of events, and the proof that a resumed run ends as an undisturbed one."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from conftest import SWIM

from lancelet import training
from lancelet.training.loop import Training, crossed, run_training
from lancelet.training.runs import checkpoint
from lancelet.training.runs.folder import CHECKPOINT, RunFolder, read_log

HOLD = "lancelet/ArmHold-v0"
BLIMP = "lancelet/BlimpAltitude-v0"
CLOCK = ("seconds", "rate")
"""figures of the log that are measured by the clock"""


# -- every algorithm ---------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Case:
    """A small training by one algorithm, and how long it takes."""

    task: str
    controller: str
    length: str
    """option that says how long the run is"""
    half: int
    """that option's value for half a run: a multiple of `validate_every`, so that its end is no further choice"""
    algorithm_options: dict[str, Any]
    task_options: dict[str, Any] = field(default_factory=dict)
    controller_options: dict[str, Any] = field(default_factory=dict)


def evolution(**changes: Any) -> Case:
    """A case of an evolution strategy."""
    case = {
        "task": SWIM,
        "controller": "ncap",
        "length": "generations",
        "half": 4,
        "algorithm_options": {"population": 6, "validation": 2, "validate_every": 2},
        "task_options": {"max_episode_steps": 20, "joints": 3},
    }
    return Case(**{**case, **changes})


def imitation(**changes: Any) -> Case:
    """A case of learning by imitation; `algorithm_options` are added to those that both have."""
    common = {"sets": 3, "validation": 2, "shortlist": 3, "role": "i"}
    algorithm_options = {**common, **changes.pop("algorithm_options")}
    return Case(
        task=BLIMP,
        controller="snn",
        controller_options={"neurons": 6},
        algorithm_options=algorithm_options,
        **changes,
    )


def reinforcement(controller: str = "mlp", hidden: Any = (8,), **algorithm_options: Any) -> Case:
    """A case of reinforcement learning."""
    common = {"envs": 4, "critic": (8, 8), "validation": 2, "validate_every": 128}
    return Case(
        task=SWIM,
        controller=controller,
        length="steps",
        half=128,
        algorithm_options={**common, **algorithm_options},
        task_options={"max_episode_steps": 20, "joints": 3},
        controller_options={"hidden": hidden},
    )


ON_POLICY = {"rollout": 16, "batch_size": 32, "epochs": 2}
OFF_POLICY = {
    "batch_size": 16,
    "learning_starts": 32,
    "random_steps": 64,
    "train_every": 8,
    "log_every": 32,
    "save_every": 64,
}
CASES = {
    "snes": evolution(),
    "pgpe": evolution(),
    "cma-es": evolution(),
    "openai-es": evolution(),
    "routed-es": evolution(
        task=HOLD,
        controller="bilateral",
        task_options={"max_episode_steps": 8},
        controller_options={"callosum": True},
    ),
    "imitate": imitation(
        length="generations",
        half=4,
        algorithm_options={"population": 8, "validate_every": 2},
    ),
    "surrogate": imitation(
        length="updates",
        half=10,
        algorithm_options={"batch": 2, "validate_every": 5},
    ),
    "backprop": Case(
        task=HOLD,
        controller="bilateral",
        length="updates",
        half=6,
        # Half of the run ends two updates behind the point where the columns are joined.
        algorithm_options={
            "batch": 4,
            "validation": 4,
            "validate_every": 2,
            "specialised": True,
            "pretrain": 4,
        },
        task_options={"max_episode_steps": 8},
        controller_options={"callosum": True},
    ),
    "ppo": reinforcement(**ON_POLICY),
    "recurrent-ppo": reinforcement("gru", hidden=4, sequence=8, **ON_POLICY),
    "ddpg": reinforcement(**OFF_POLICY),
    "td3": reinforcement(**OFF_POLICY),
    "sac": reinforcement(**OFF_POLICY),
    "rllib": reinforcement("gru", hidden=4, **ON_POLICY),
}
SLOW = ("imitate", "surrogate")
"""algorithms whose shortlist flies in closed loop at the end of every run, which takes seconds"""
TO_THE_BIT = [
    pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
    for name in CASES
    if name != "rllib"
]
"""RLlib begins new episodes where it is resumed, and draws other noise: it promises less"""


def train(name, folder, length, watch=None):
    """Train the case of an algorithm, or resume it where it is."""
    case = CASES[name]
    algorithm = training.algorithms.get(name)
    options = {**case.algorithm_options, case.length: length}
    trainer = algorithm(folder=str(folder), resume=True, seed=3, test=0, quiet=True, **options)
    trainer.train(
        case.task,
        case.controller,
        case.task_options,
        case.controller_options,
        watch=watch,
    )


def log(folder):
    """The lines of a log but for what the clock says."""
    lines = read_log(folder)
    return [{name: line[name] for name in line if name not in CLOCK} for line in lines]


def state(folder):
    """Every bit of a checkpoint but for what the clock says, as text."""
    tree = checkpoint.load(folder / CHECKPOINT)
    assert tree.pop("seconds") > 0
    return json.dumps(tree, default=lambda array: array.tolist(), sort_keys=True)


def assert_same_run(one, other):
    """Two folders hold the same run to the bit."""
    assert state(one) == state(other)
    assert log(one) == log(other)
    for file in one.glob("*.safetensors"):
        assert file.read_bytes() == (other / file.name).read_bytes(), file.name


def test_every_algorithm_has_a_case():
    assert set(CASES) == set(training.algorithms)


@pytest.mark.parametrize("name", TO_THE_BIT)
def test_n_and_resume_n_is_2n_to_the_bit(tmp_path, name):
    half = CASES[name].half
    train(name, tmp_path / "whole", 2 * half)
    train(name, tmp_path / "parts", half)
    train(name, tmp_path / "parts", 2 * half)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("name", TO_THE_BIT)
def test_a_run_that_is_stopped_between_log_and_checkpoint_ends_as_the_undisturbed_one(
    tmp_path, name
):
    length = 2 * CASES[name].half
    train(name, tmp_path / "whole", length)
    lines = 0

    def stop_at_the_third_line(figures):
        nonlocal lines
        lines += 1
        if lines == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(name, tmp_path / "parts", length, stop_at_the_third_line)
    train(name, tmp_path / "parts", length)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.slow
def test_rllib_goes_on_with_the_number_of_steps_and_a_log_without_a_gap(tmp_path):
    half = CASES["rllib"].half
    train("rllib", tmp_path / "run", half)
    first_half = log(tmp_path / "run")
    train("rllib", tmp_path / "run", 2 * half)
    whole = log(tmp_path / "run")
    assert whole[: len(first_half)] == first_half
    steps_an_iteration = 4 * ON_POLICY["rollout"]
    assert [line["step"] for line in whole] == list(range(0, 2 * half + 1, steps_an_iteration))


# -- the loop by itself ------------------------------------------------------------------------------------------------


class Counting(Training):
    """Counts by twos to 8, validates every 4, saves every 6 and at the end; writes down what it is asked for."""

    verb = "counting"
    unit = "steps"
    total = 8

    def __init__(self):
        self.count = 0
        self.calls = []

    @property
    def done(self):
        return self.count

    def begin(self):
        self.calls.append("begin")
        return {"validation": 0.0}

    def restore(self, saved):
        self.calls.append("restore")
        self.count = saved["count"]

    def state(self):
        self.calls.append(f"state {self.count}")
        return {"count": self.count}

    def advance(self):
        self.count += 2
        self.calls.append(f"advance {self.count}")
        return {"mean": float(self.count)}

    def validation_due(self, before):
        return crossed(before, self.done, 4)

    def validate(self):
        self.calls.append(f"validate {self.count}")
        return {"validation": float(self.count)}

    def checkpoint_due(self, before):
        return crossed(before, self.done, 6) or self.done >= self.total

    def costs(self, seconds):
        return {"steps": self.count, "seconds": seconds}


@pytest.fixture
def run(tmp_path):
    """A run folder."""
    config = {"task": SWIM, "task_options": {}, "controller": "ncap", "algorithm": "snes"}
    folder = RunFolder(config, tmp_path / "run")
    yield folder
    folder.close()


def test_the_order_of_a_new_run(run):
    counting = Counting()
    run_training(run, counting, quiet=True)
    assert counting.calls == [
        "begin",
        "advance 2",
        "advance 4",
        "validate 4",
        "advance 6",
        "state 6",
        "advance 8",
        "validate 8",
        "state 8",
    ]
    lines = read_log(run.path)
    assert [line["step"] for line in lines] == [0, 2, 4, 6, 8]
    assert list(lines[2]) == ["step", "mean", "validation", "steps", "seconds"]
    assert lines[0] == {"step": 0, "validation": 0.0, "steps": 0, "seconds": 0.0}


def test_a_resumed_run_goes_on_from_its_checkpoint_and_logs_again_what_came_after(run):
    stopped = Counting()

    def stop_at_8(figures):
        if figures["steps"] == 8:
            raise KeyboardInterrupt

    run.watch = stop_at_8
    with pytest.raises(KeyboardInterrupt):
        run_training(run, stopped, quiet=True)
    assert [line["step"] for line in read_log(run.path)] == [0, 2, 4, 6, 8]
    run.watch = None
    resumed = Counting()
    run_training(run, resumed, quiet=True)
    assert resumed.calls == ["restore", "advance 8", "validate 8", "state 8"]
    assert [line["step"] for line in read_log(run.path)] == [0, 2, 4, 6, 8]


def test_the_clock_goes_on_where_the_last_session_stopped(run):
    run.save({"count": 6, "seconds": 1000.0})
    run_training(run, Counting(), quiet=True)
    assert 1000 < read_log(run.path)[-1]["seconds"] < 2000


def test_a_run_that_is_done_does_nothing(run):
    run.save({"count": 8, "seconds": 1.0})
    counting = Counting()
    run_training(run, counting, quiet=True)
    assert counting.calls == ["restore"]

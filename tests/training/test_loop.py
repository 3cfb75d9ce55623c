"""The loop of every trainer: its order of events, and the proof that a resumed run ends as an undisturbed one."""

import json
from dataclasses import dataclass, field
from typing import Any

import doubles
import pullers
import pytest
import torch
from conftest import SWIM

from lancelet import controllers, training
from lancelet.training.loop import Training, crossed, run_training
from lancelet.training.runs import checkpoint
from lancelet.training.runs.folder import CHECKPOINT, RunFolder, read_log

doubles.register_all()
pullers.register_all()
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
    return train_case(name, CASES[name], folder, length, watch)


def train_case(name, case, folder, length, watch=None):
    """Train a case of the algorithm called `name`, or resume it where it is."""
    algorithm = training.algorithms.get(name)
    options = {**case.algorithm_options, case.length: length}
    trainer = algorithm(folder=str(folder), resume=True, seed=3, test=0, quiet=True, **options)
    return trainer.train(
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


# -- reinforcement learning, whose checkpoints hold simulations, episodes and buffers ---------------------------------


SWIMMER = {"task": SWIM, "task_options": {"joints": 3, "max_episode_steps": 24}}
REACH = {"task": "doubles/Reach-v0", "task_options": {"tolerance": 0.3}}
BEAD = {"task": "doubles/Reach-v0", "controller": "spring"}
PPO_OPTIONS = {
    "envs": 8,
    "rollout": 16,
    "batch_size": 64,
    "epochs": 3,
    "validation": 2,
    "validate_every": 256,
}
RECURRENT_OPTIONS = {**PPO_OPTIONS, "sequence": 8, "epochs": 2, "critic": (16,)}
OFF_POLICY_OPTIONS = {
    "envs": 4,
    "critic": (16, 16),
    "batch_size": 16,
    "learning_starts": 32,
    "random_steps": 64,
    "train_every": 8,
    "log_every": 32,
    "save_every": 0,
    "validation": 2,
    "validate_every": 96,
}


def learner(options: dict[str, Any], half: int, **case: Any) -> Case:
    """A case of reinforcement learning with these options of the algorithm; `half` of its steps."""
    return Case(length="steps", half=half, algorithm_options=options, **case)


def recurrent(controller: str, half: int = 384, **case: Any) -> Case:
    """A case of recurrent PPO; on the swimmer unless `case` says otherwise."""
    units = {"gru": {"hidden": 8}, "lstm": {"hidden": 8}, "mlp": {"hidden": (8,)}}
    return learner(
        RECURRENT_OPTIONS,
        half,
        controller=controller,
        controller_options=units.get(controller, {}),
        **{**SWIMMER, **case},
    )


def ppo(controller: str, half: int = 384) -> Case:
    """A case of PPO on the swimmer."""
    return learner(PPO_OPTIONS, half, controller=controller, **SWIMMER)


ON_POLICY_SAVES = [128, 256, 384, 384, 512, 640, 768]
"""control steps at the checkpoints of a run of 768 that is killed at its third save and at its fifth"""
OFF_POLICY_SAVES = [32, 64, 96, 96, 128, 160, 192]
"""the same of a run of 192"""
KILLED = [
    pytest.param("ppo", ppo("mlp"), ON_POLICY_SAVES, marks=pytest.mark.slow, id="ppo mlp"),
    pytest.param("ppo", ppo("ncap"), ON_POLICY_SAVES, marks=pytest.mark.slow, id="ppo ncap"),
    pytest.param("recurrent-ppo", recurrent("gru"), ON_POLICY_SAVES, id="recurrent-ppo gru"),
    pytest.param("recurrent-ppo", recurrent("ncap"), ON_POLICY_SAVES, id="recurrent-ppo ncap"),
    pytest.param("recurrent-ppo", recurrent("mlp"), ON_POLICY_SAVES, id="recurrent-ppo mlp"),
    pytest.param(
        "recurrent-ppo",
        recurrent("follower", **REACH),
        ON_POLICY_SAVES,
        id="recurrent-ppo follower",
    ),
]
for off_policy in ("ddpg", "td3", "sac"):
    off_policy_case = learner(OFF_POLICY_OPTIONS, 96, controller="mlp", **SWIMMER)
    KILLED.append(pytest.param(off_policy, off_policy_case, OFF_POLICY_SAVES, id=off_policy))


def kill_twice(monkeypatch):
    """Interrupt the third save before the checkpoint is written, and the fifth after; the steps at every save."""
    save = RunFolder.save
    saves = []

    def interrupted(self, tree):
        saves.append(tree["learner"]["steps"])
        if len(saves) == 3:
            raise KeyboardInterrupt
        save(self, tree)
        if len(saves) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "save", interrupted)
    return saves


@pytest.mark.parametrize(("name", "case", "steps_at_saves"), KILLED)
def test_a_run_that_is_killed_at_a_save_ends_as_the_undisturbed_one(
    tmp_path, monkeypatch, name, case, steps_at_saves
):
    length = 2 * case.half
    run = train_case(name, case, tmp_path / "whole", length)
    saves = kill_twice(monkeypatch)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train_case(name, case, tmp_path / "parts", length)
    train_case(name, case, tmp_path / "parts", length)
    assert saves == steps_at_saves
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    if name in ("ddpg", "td3", "sac"):
        saved = learner_state(tmp_path / "whole")
        first = controllers.load(run.folder / "initial.safetensors")
        trained = saved["policy"]["actor.controller.layers.0.weight"]
        assert not torch.equal(trained, first.layers[0].weight)
        assert trained.isfinite().all()
        rows = length / case.algorithm_options["envs"]
        assert len(saved["buffer"]["rewards"]) == rows, "the filled part, no more"


def learner_state(folder):
    """The learner in a checkpoint."""
    return checkpoint.load(folder / CHECKPOINT)["learner"]


def bits(tree):
    """Every bit of a state, as text."""
    return json.dumps(tree, default=lambda array: array.tolist(), sort_keys=True)


def assert_same_learner_after_a_resume(name, case, folder, steps):
    """A run of `case.half` steps that is resumed to `steps` has the learner of the run of `steps`; returns it.

    Its best controller may be another one, since the end of the first part was one more validation.
    """
    train_case(name, case, folder / "whole", steps)
    train_case(name, case, folder / "parts", case.half)
    train_case(name, case, folder / "parts", steps)
    whole = learner_state(folder / "whole")
    assert bits(whole) == bits(learner_state(folder / "parts"))
    return whole


@pytest.mark.slow
def test_a_run_resumed_between_two_choices_has_the_weights_of_the_whole(tmp_path):
    assert_same_learner_after_a_resume("ppo", ppo("mlp"), tmp_path, 640)


@pytest.mark.parametrize("controller", ["gru", "lstm"])
def test_a_recurrent_run_resumed_between_two_choices_has_the_bits_of_the_whole(
    tmp_path, controller
):
    whole = assert_same_learner_after_a_resume(
        "recurrent-ppo", recurrent(controller), tmp_path, 768
    )
    assert {"agent", "optimizer", "generators", "collector", "steps"} == whole.keys()
    assert whole["collector"].keys() == {"env", "observation", "agents", "begins"}


@pytest.mark.slow
@pytest.mark.parametrize("buffer", [1_000_000, 80], ids=["never full", "full"])
@pytest.mark.parametrize("name", ["ddpg", "td3", "sac"])
def test_a_replay_buffer_resumed_between_two_choices_is_that_of_the_whole(tmp_path, name, buffer):
    case = learner({**OFF_POLICY_OPTIONS, "buffer": buffer}, 128, **BEAD)
    whole = assert_same_learner_after_a_resume(name, case, tmp_path, 224)
    assert whole["position"] == ([16, True] if buffer == 80 else [56, False])
    train_case(name, case, tmp_path / "parts", 64)
    steps = learner_state(tmp_path / "parts")["steps"]
    assert steps == 224, "fewer steps than are done: nothing happens"


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

import json

import doubles
import numpy as np
import pytest
import torch
from conftest import SWIM

from lancelet import LanceletError, controllers, training
from lancelet.training.reinforcement.critic import Critic
from lancelet.training.reinforcement.ppo import PPO
from lancelet.training.runs import checkpoint
from lancelet.training.runs.folder import read_config, read_log

doubles.register_all()
SMALL = {
    "envs": 8,
    "rollout": 16,
    "batch_size": 64,
    "epochs": 3,
    "validation": 2,
    "validate_every": 256,
    "test": 0,
}
TASK = {"joints": 3, "max_episode_steps": 24}


def train(folder, controller="mlp", task=TASK, **options):
    return PPO(folder=str(folder), quiet=True, **{**SMALL, **options}).train(SWIM, controller, task)


def state(folder):
    return checkpoint.load(folder / "checkpoint" / "state.safetensors")


def bits(tree):
    return json.dumps(tree, default=lambda array: array.tolist(), sort_keys=True)


def log(folder):
    return [
        {name: value for name, value in line.items() if name != "seconds"}
        for line in read_log(folder)
    ]


def test_an_mlp_learns_and_its_normaliser_with_it(tmp_path):
    run = train(tmp_path / "run", steps=512, test=2)
    first, best = controllers.load(run.folder / "initial.safetensors"), run.controller
    seen = state(run.folder)["learner"]["policy"]
    assert not torch.equal(first.layers[0].weight, seen["mlp_extractor.controller.layers.0.weight"])
    untrained, *lines = log(run.folder)
    assert untrained["steps"] == 0 and "validation" in untrained
    assert [line["steps"] for line in lines] == [128, 256, 384, 512]
    assert all(np.isfinite(list(line.values())).all() for line in lines)
    assert [("validation" in line) for line in lines] == [False, True, False, True]
    assert all(0 <= line["reward"] <= 1 for line in lines), (
        "the mean reward a step, without the time-outs' values"
    )
    assert (
        lines[1]["length"] == 24
        and "mean" in lines[1]
        and {"kl", "value_loss", "reward"} <= lines[0].keys()
    )
    assert torch.equal(seen["mlp_extractor.controller.mean"], seen["mlp_extractor.critic.mean"])
    assert (
        seen["mlp_extractor.critic.std"].min() >= 0.01
        and seen["mlp_extractor.controller.mean"].abs().max() > 0
    )
    assert isinstance(best, controllers.Controller) and run.summary["trained"]["return"]
    assert (run.folder / "report.html").exists()


@pytest.mark.slow
def test_ncap_gets_its_clock_and_does_not_fall_apart(tmp_path):
    options = {"envs": 32, "rollout": 32, "batch_size": 512, "validation": 4}
    run = train(tmp_path / "run", "ncap", {"max_episode_steps": 300}, steps=6144, **options)
    assert read_config(run.folder)["task_options"]["clock"] is True
    lines = log(run.folder)[1:]
    assert all(line["std"] == pytest.approx(0.1) for line in lines)
    task = {"clock": True, "max_episode_steps": 300}
    untrained = training.evaluate(
        controllers.load(run.folder / "initial.safetensors"), SWIM, episodes=8, **task
    )
    last = controllers.load(run.folder / "initial.safetensors")
    prefix = "mlp_extractor.controller."
    weights = {
        k.removeprefix(prefix): v
        for k, v in state(run.folder)["learner"]["policy"].items()
        if k.startswith(prefix)
    }
    last.load_state_dict({name: weights[name] for name in last.state_dict()})
    assert not torch.equal(last.proprioception, torch.tensor(1.0))
    trained = training.evaluate(last, SWIM, episodes=8, **task)
    assert trained.returns.mean() > 0.97 * untrained.returns.mean() > 100


@pytest.mark.slow
def test_equal_seeds_give_equal_runs_and_the_callers_generators_stay(tmp_path):
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(tmp_path / name, steps=128, seed=seed)
    assert torch.equal(torch.get_rng_state(), before[0]) and np.array_equal(
        np.random.get_state()[1], before[1]
    )
    a, b, c = (bits(state(tmp_path / name)["learner"]["policy"]) for name in "abc")
    assert a == b != c


def test_the_checkpoint_holds_arrays_and_json_only(tmp_path):
    run = train(tmp_path / "run", steps=128)
    names = {path.name for path in run.folder.rglob("*") if path.is_file()}
    assert not {name for name in names if name.endswith((".zip", ".pkl", ".pth", ".pt"))}
    assert state(run.folder)["learner"]["optimizer"]["0"]["exp_avg"].shape == (64, 15)


class Counter(controllers.Controller):
    """Keeps a state that no clock replaces."""

    def __init__(self, observation_space, action_space, options):
        super().__init__(observation_space, action_space, options)
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def initial_state(self, batch):
        return torch.zeros(batch)

    def forward(self, observation, state):
        return self.weight * observation[:, : self.action_space.shape[0]], state + 1


def test_controllers_that_it_cannot_train_are_refused_before_anything_is_written(tmp_path):
    controllers.register("counter", Counter)
    cases = (
        (
            "counter",
            SWIM,
            r"ppo cannot train Counter, which keeps a state from step to step.*; .*snes.* can",
        ),
        ("counter", "doubles/Cue-v0", "keeps a state"),
        (
            "plastic",
            "doubles/Cue-v0",
            "Plastic, which has no weights to train; choose another controller",
        ),
    )
    for name, task, message in cases:
        with pytest.raises(LanceletError, match=message):
            PPO(folder=str(tmp_path / "run"), quiet=True, **SMALL).train(task, name)
        assert not (tmp_path / "run").exists()
    with pytest.raises(LanceletError, match="Zero, which has no weights to train; choose another"):
        train(tmp_path / "run", "zero")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"envs": 0}, "envs = 0: must be 1 or more"),
        ({"batch_size": 100}, "batch_size = 100: must divide envs x rollout = 128"),
        ({"gamma": 1.5}, "gamma = 1.5: must be from 0 to 1"),
        ({"std": 0.0}, "std = 0.0: must be above 0"),
        ({"critic": (0,)}, "must be whole numbers"),
        ({"clip": -1.0}, "clip = -1.0: must be above 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, options, message):
    with pytest.raises(LanceletError, match=message):
        train(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_weights_that_are_not_finite_stop_the_run_and_keep_the_checkpoint(tmp_path, monkeypatch):
    train(tmp_path / "run", steps=128)
    forward = Critic.forward
    monkeypatch.setattr(Critic, "forward", lambda self, seen: forward(self, seen) * torch.nan)
    with pytest.raises(LanceletError, match="weights not finite after 256 steps"):
        train(tmp_path / "run", steps=256, resume=True)
    assert state(tmp_path / "run")["learner"]["steps"] == 128

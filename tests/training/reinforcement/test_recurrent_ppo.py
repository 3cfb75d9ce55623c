import json

import doubles
import numpy as np
import pytest
import torch
from conftest import SWIM

from lancelet import LanceletError, controllers, training
from lancelet.training.reinforcement.critic import Critic
from lancelet.training.reinforcement.recurrent_ppo import RecurrentPPO
from lancelet.training.runs import checkpoint
from lancelet.training.runs.folder import read_config, read_log

doubles.register_all()
SMALL = {
    "envs": 8, "rollout": 16, "sequence": 8, "batch_size": 64, "epochs": 2, "critic": (16,),
    "validation": 2, "validate_every": 256, "test": 0,
}  # fmt: skip
TASK = {"joints": 3, "max_episode_steps": 24}
UNITS = {"gru": {"hidden": 8}, "lstm": {"hidden": 8}, "mlp": {"hidden": (8,)}}
CUE = {
    "envs": 64, "rollout": 12, "sequence": 12, "batch_size": 384, "epochs": 6, "gamma": 0.95, "actor_rate": 4e-3,
    "critic_rate": 3e-3, "critic": (32,), "validation": 64, "validate_every": 100_000, "test": 0,
}  # fmt: skip


def train(folder, controller="gru", task=TASK, id=SWIM, **options):
    trainer = RecurrentPPO(folder=str(folder), quiet=True, **{**SMALL, **options})
    return trainer.train(id, controller, task, UNITS.get(controller))


def state(folder):
    return checkpoint.load(folder / "checkpoint" / "state.safetensors")


def bits(tree):
    return json.dumps(tree, default=lambda array: array.tolist(), sort_keys=True)


def log(folder):
    """One line an iteration."""
    lines = [
        {name: value for name, value in line.items() if name != "seconds"}
        for line in read_log(folder)
    ]
    return [line for line in lines if line["steps"]]


def last(folder):
    """The controller as the last iteration left it, not the best one."""
    controller = controllers.load(folder / "initial.safetensors")
    weights = {
        name.removeprefix("controller."): rows
        for name, rows in state(folder)["learner"]["agent"].items()
    }
    controller.load_state_dict({name: weights[name] for name in controller.state_dict()})
    return controller


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_a_network_with_memory_solves_the_cue(tmp_path, name):
    trainer = RecurrentPPO(folder=str(tmp_path / "run"), quiet=True, steps=9984, **CUE)
    run = trainer.train("doubles/Cue-v0", name, None, {"hidden": 16})
    success = training.evaluate(
        run.controller, "doubles/Cue-v0", episodes=300, seed=1_000
    ).returns.mean()
    assert success > 0.95
    untrained = controllers.load(run.folder / "initial.safetensors")
    assert (
        training.evaluate(untrained, "doubles/Cue-v0", episodes=300, seed=1_000).returns.mean()
        < 0.8
    )


def test_one_without_stays_at_chance(tmp_path):
    train(tmp_path / "run", "mlp", None, "doubles/Cue-v0", steps=9984, **CUE)
    score = training.evaluate(last(tmp_path / "run"), "doubles/Cue-v0", episodes=300, seed=1_000)
    assert 0.4 < score.returns.mean() < 0.6
    assert log(tmp_path / "run")[-1]["mean"] < 0.6


def test_a_gru_trains_on_the_swimmer_and_its_normaliser_with_it(tmp_path):
    run = train(tmp_path / "run", steps=512, test=2)
    first, seen = (
        controllers.load(run.folder / "initial.safetensors"),
        state(run.folder)["learner"]["agent"],
    )
    assert not torch.equal(first.recurrent.weight, seen["controller.recurrent.weight"])
    lines = log(run.folder)
    assert [line["steps"] for line in lines] == [128, 256, 384, 512]
    assert all(np.isfinite(list(line.values())).all() for line in lines)
    assert [("validation" in line) for line in lines] == [False, True, False, True]
    assert {"reward", "kl", "value_loss", "explained", "std", "clipped"} <= lines[0].keys()
    assert lines[1]["length"] == 24 and "mean" in lines[1] and "mean" not in lines[0]
    assert torch.equal(seen["controller.mean"], seen["critic.mean"][:15]) and seen[
        "critic.mean"
    ].shape == (15 + 8,)
    assert (
        torch.equal(seen["controller.std"], seen["critic.std"][:15])
        and seen["controller.mean"].abs().max() > 0
    )
    assert run.summary["trained"]["return"] and (run.folder / "report.html").exists()


def test_ncap_trains_without_a_clock_and_does_not_fall_apart(tmp_path):
    options = {
        "envs": 16,
        "rollout": 32,
        "sequence": 32,
        "batch_size": 256,
        "validate_every": 100_000,
        "epochs": 5,
    }
    task = {"max_episode_steps": 200}
    run = train(tmp_path / "run", "ncap", task, steps=4096, **options)
    assert read_config(run.folder)["task_options"]["clock"] is False
    assert all(line["std"] == pytest.approx(0.1) for line in log(run.folder))
    trained, untrained = last(run.folder), controllers.load(run.folder / "initial.safetensors")
    assert (
        trained.initial_state(2).dtype == torch.int64
        and state(run.folder)["learner"]["collector"]["agents"][""].max()
    )
    assert not torch.equal(trained.proprioception, untrained.proprioception)
    before, after = (
        training.evaluate(c, SWIM, episodes=4, **task).returns.mean() for c in (untrained, trained)
    )
    assert after > 0.97 * before > 60


class Sketch(doubles.Plastic):
    """Plastic, with a weight."""

    def __init__(self, observation_space, action_space, options):
        super().__init__(observation_space, action_space, options)
        self.weight = torch.nn.Parameter(torch.zeros(()))


controllers.register("sketch", Sketch)


def test_equal_seeds_give_equal_runs_and_the_callers_generators_stay(tmp_path):
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(tmp_path / name, steps=128, seed=seed)
    assert torch.equal(torch.get_rng_state(), before[0]) and np.array_equal(
        np.random.get_state()[1], before[1]
    )
    a, b, c = (bits(state(tmp_path / name)["learner"]["agent"]) for name in "abc")
    assert a == b != c


def test_noise_is_the_controllers_own_unless_told_otherwise(tmp_path):
    lines = {}
    for name, options in {"own": {}, "fixed": {"std": 0.2, "learn_std": False}}.items():
        train(tmp_path / name, steps=256, actor_rate=3e-3, **options)
        lines[name] = [line["std"] for line in log(tmp_path / name)]
    assert lines["fixed"] == [pytest.approx(0.2)] * 2
    assert lines["own"][0] == pytest.approx(0.693, abs=0.05) and len({0.693, *lines["own"]}) == 3


def test_a_large_divergence_ends_the_update_early(tmp_path, monkeypatch):
    from lancelet.training.reinforcement.recurrent_ppo import Agent

    counts, surrogate = [], Agent.surrogate

    def counted(self, *arguments):
        counts.append(1)
        return surrogate(self, *arguments)

    monkeypatch.setattr(Agent, "surrogate", counted)
    train(tmp_path / "calm", steps=128, epochs=6)
    assert len(counts) == 6 * 2
    counts.clear()
    train(tmp_path / "wild", steps=128, epochs=6, actor_rate=0.1)
    assert 2 <= len(counts) < 12 and log(tmp_path / "wild")[0]["kl"] > 0.02


def test_plastic_controllers_are_refused_before_anything_is_written(tmp_path):
    reason = "recurrent-ppo cannot train Sketch, which is plastic: its state changes in place, .*choose another"
    for name, message in (
        ("sketch", reason),
        ("zero", "Zero, which has no weights to train; choose another"),
    ):
        with pytest.raises(LanceletError, match=message):
            train(tmp_path / "run", name, None, "doubles/Cue-v0")
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"sequence": 0}, "sequence = 0: must be 1 or more"),
        ({"sequence": 5}, "sequence = 5: must divide rollout = 16"),
        ({"sequence": 16, "batch_size": 8}, "sequence = 16: must divide batch_size = 8"),
        ({"batch_size": 96}, "batch_size = 96: must divide envs x rollout = 128"),
        ({"target_kl": 0.0}, "target_kl = 0.0: must be above 0"),
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
    with pytest.raises(
        LanceletError, match="recurrent-ppo: weights not finite after 256 steps: lower --actor-rate"
    ):
        train(tmp_path / "run", steps=256, resume=True)
    assert state(tmp_path / "run")["learner"]["steps"] == 128


def test_a_diverged_episode_is_a_termination(tmp_path, monkeypatch):
    from lancelet.training.reinforcement.base import seeded

    trainer = RecurrentPPO(**{**SMALL, "envs": 2})
    with seeded(0):
        learner = trainer.learner(controllers.make("gru", _swim(), hidden=8), SWIM, TASK)
    collector, calls = learner.collector, []
    diverged = collector.env.sim.diverged

    def blows_up():
        calls.append(1)
        return np.array([len(calls) == 5, False]) if len(calls) == 5 else diverged()

    monkeypatch.setattr(collector.env.sim, "diverged", blows_up)
    rollout = collector.collect(16, 8, torch.ones(3))
    assert rollout.ended[:, 0].nonzero().tolist() == [[4]] and not rollout.ended[:, 1].any()
    assert (
        rollout.timeouts == []
        and rollout.episodes[0][1] == 5
        and torch.isfinite(rollout.critic_input).all()
    )


def _swim():
    import gymnasium as gym

    return gym.make(SWIM, joints=3)

import json
from dataclasses import dataclass
from types import SimpleNamespace

import doubles
import gymnasium as gym
import numpy as np
import pullers
import pytest
import torch
from conftest import GESTURES, SWIM
from gymnasium import spaces

import lancelet
from lancelet import LanceletError, controllers, training
from lancelet.training.reinforcement.off_policy import DDPG, SAC, TD3
from lancelet.training.reinforcement.sb3_actors import GaussianActor, within
from lancelet.training.runs import checkpoint, interrupt
from lancelet.training.runs.folder import read_config, read_log

doubles.register_all()
ALL = pytest.mark.parametrize("algorithm", [DDPG, TD3, SAC], ids=["ddpg", "td3", "sac"])
SMALL = {
    "envs": 4, "critic": (16, 16), "batch_size": 16, "learning_starts": 32, "random_steps": 64, "train_every": 8,
    "log_every": 32, "save_every": 0, "validation": 2, "validate_every": 96, "test": 0,
}  # fmt: skip
TASK = {"joints": 3, "max_episode_steps": 24}


class Wide(doubles.Reach):
    """Reach where the motor's -1 .. 1 is asked for as -1 .. 3."""

    @property
    def action_space(self):
        return spaces.Box(-1.0, 3.0, (1,), np.float32)

    def advance(self, sim, memory, action):
        super().advance(sim, memory, (action - 1) / 2)


@dataclass(kw_only=True)
class Boundless(doubles.Cue):
    """Takes any number for an answer."""

    @property
    def action_space(self):
        return spaces.Box(-np.inf, np.inf, (1,), np.float32)


pullers.register_all()
lancelet.register("doubles/Wide-v0", Wide, max_episode_steps=40)
lancelet.register("doubles/Boundless-v0", Boundless, max_episode_steps=20)


def train(algorithm, folder, controller="mlp", task=TASK, id=SWIM, **options):
    return algorithm(folder=str(folder), quiet=True, **{**SMALL, **options}).train(
        id, controller, task
    )


def learner_of(algorithm, controller="mlp", id=SWIM, fields=None, **options):
    """The learner outside a run, as the trainer would make it."""
    fields = {"max_episode_steps": 24} if fields is None else fields
    torch.manual_seed(0)
    np.random.seed(0)
    circuit = controllers.make(
        controller, gym.make(id, **{k: v for k, v in fields.items() if k[:4] != "max_"})
    )
    return circuit, algorithm(**{**SMALL, **options}).learner(circuit, id, fields)


def state(folder):
    return checkpoint.load(folder / "checkpoint" / "state.safetensors")


def bits(tree):
    return json.dumps(tree, default=lambda array: array.tolist(), sort_keys=True)


def log(folder):
    return [
        {name: value for name, value in line.items() if name != "seconds"}
        for line in read_log(folder)
    ]


@pytest.mark.slow
@ALL
def test_it_learns_to_bring_the_bead_to_its_goal(tmp_path, algorithm):
    options = {
        "envs": 8, "critic": (32, 32), "batch_size": 32, "learning_starts": 320, "random_steps": 320,
        "updates": 1.0 if algorithm is TD3 else 0.5, "train_every": 40, "log_every": 320, "save_every": 2000,
        "validation": 8, "validate_every": 640, "test": 16,
        "actor_rate": 3e-2, "critic_rate": 5e-3, "gamma": 0.9, "tau": 0.05,
    }  # fmt: skip
    run = train(
        algorithm, tmp_path / "run", "spring", {}, "doubles/Reach-v0", steps=1280, **options
    )
    before, after = (np.mean(run.summary[which]["return"]) for which in ("untrained", "trained"))
    assert before < -28 and after > before + 10
    assert np.mean(run.summary["untrained"]["success"]) == 0
    assert run.controller.gains[0] > 1, "it pulls to the goal"


@pytest.mark.slow
def test_ncap_gets_its_clock_and_does_not_fall_apart(tmp_path):
    options = {
        "envs": 8,
        "critic": (32, 32),
        "random_steps": 0,
        "learning_starts": 400,
        "log_every": 400,
    }
    options |= {
        "batch_size": 32,
        "updates": 0.2,
        "train_every": 40,
        "save_every": 2000,
        "validate_every": 2000,
    }
    run = train(TD3, tmp_path / "run", "ncap", {"max_episode_steps": 300}, steps=2000, **options)
    assert read_config(run.folder)["task_options"]["clock"] is True
    last = controllers.load(run.folder / "initial.safetensors")
    weights = state(run.folder)["learner"]["policy"]
    last.load_state_dict({name: weights[f"actor.controller.{name}"] for name in last.state_dict()})
    assert not torch.equal(last.proprioception, torch.tensor(1.0))
    task = {"clock": True, "max_episode_steps": 300}
    untrained = training.evaluate(
        controllers.load(run.folder / "initial.safetensors"), SWIM, episodes=8, **task
    )
    assert (
        training.evaluate(last, SWIM, episodes=8, **task).returns.mean()
        > 0.9 * untrained.returns.mean()
        > 100
    )


@ALL
def test_the_log_tells_what_happened(tmp_path, algorithm):
    run = train(algorithm, tmp_path / "run", steps=128, test=2)
    lines = log(run.folder)
    assert [line["steps"] for line in lines] == [0, 32, 64, 96, 128]
    assert all(np.isfinite(list(line.values())).all() for line in lines)
    assert (
        "critic_loss" not in lines[1]
        and {"critic_loss", "actor_loss", "reward", "std"} <= lines[2].keys()
    )
    assert ("ent_coef" in lines[2]) == (algorithm is SAC)
    assert lines[3]["length"] == 24 and "mean" in lines[3] and "validation" in lines[3]
    assert all(0 <= line["reward"] <= 1 for line in lines[1:])
    assert (run.folder / "report.html").exists()
    names = {path.name for path in run.folder.rglob("*") if path.is_file()}
    assert not {name for name in names if name.endswith((".zip", ".pkl", ".pth", ".pt"))}


@ALL
def test_the_actor_is_the_callers_controller_on_raw_observations(algorithm):
    circuit, learner = learner_of(
        algorithm, "ncap", fields={"clock": True, "max_episode_steps": 24}
    )
    seen = np.random.default_rng(0).normal(0, 2, (50, 24)).astype(np.float32)
    seen[:, -1] = np.linspace(-1, 1, 50)
    for _ in range(2):  # before and after the statistics and the weights have moved
        expected = circuit(torch.as_tensor(seen), ())[0].detach()
        action, _ = learner.model.predict(seen, deterministic=True)
        np.testing.assert_allclose(action, expected, atol=1e-6)
        learner.iterate()
        learner.iterate()
    assert learner.model.actor.controller is circuit


@ALL
def test_statistics_are_those_of_the_steps_and_reach_actor_target_and_critics(algorithm):
    circuit, learner = learner_of(algorithm)
    model, buffer = learner.model, learner.model.replay_buffer
    for steps in (32, 64):
        learner.iterate()
        rows = buffer.observations[: buffer.pos].reshape(steps, -1)
        np.testing.assert_allclose(circuit.mean, rows.mean(0), atol=1e-5)
        np.testing.assert_allclose(circuit.std, np.maximum(rows.std(0), 0.01), rtol=1e-4)
    for critic in (model.critic, model.critic_target):
        assert torch.equal(critic.features_extractor.mean, circuit.mean)
        assert torch.equal(critic.features_extractor.std, circuit.std)
    if algorithm is not SAC:
        target = model.actor_target.controller
        assert (
            target is not circuit
            and torch.equal(target.mean, circuit.mean)
            and torch.equal(target.std, circuit.std)
        )
        assert not torch.equal(target.layers[0].weight, circuit.layers[0].weight)


@ALL
@pytest.mark.parametrize(
    "id, limit, tolerance", [("doubles/Reach-v0", 3, 0.05), ("doubles/Reach-v0", 3, 10.0)]
)
def test_the_buffer_holds_the_true_last_observation_and_ends_only_at_terminations(
    algorithm, id, limit, tolerance
):
    fields = {"max_episode_steps": limit, "tolerance": tolerance}
    _, learner = learner_of(algorithm, "spring", id, fields)
    lasts, step = [], learner.env.step

    def spy(actions):
        seen, reward, done, infos = step(actions)
        lasts.append([info.get("terminal_observation") for info in infos])
        return seen, reward, done, infos

    learner.env.step = spy
    learner.iterate()
    buffer, ends = learner.model.replay_buffer, 0
    for t, row in enumerate(lasts[:-1]):
        for i, last in enumerate(row):
            for name in buffer.observations:
                kept, following = (
                    buffer.next_observations[name][t, i],
                    buffer.observations[name][t + 1, i],
                )
                np.testing.assert_array_equal(kept, following if last is None else last[name])
            if last is not None:
                ends += 1
                assert last["desired_goal"] != buffer.observations["desired_goal"][t + 1, i], (
                    "the next goal is another"
                )
    assert ends == (28 if tolerance == 10 else 8)
    assert buffer.sample(200).dones.unique().tolist() == ([1.0] if tolerance == 10 else [0.0])


@ALL
@pytest.mark.parametrize("tolerance", [0.05, 10.0], ids=["time-out", "termination"])
def test_time_outs_are_bootstrapped_and_terminations_are_not(algorithm, tolerance):
    # every episode is one step long and earns about -0.75; after a time-out that goes on for ever: -0.75 / (1 - 0.8)
    fields = {"max_episode_steps": 1, "tolerance": tolerance}
    options = {
        "gamma": 0.8,
        "tau": 0.3,
        "critic_rate": 1e-2,
        "actor_rate": 1e-6,
        "updates": 2.0,
        "log_every": 128,
    }
    options |= {"ent_coef": 0.0} if algorithm is SAC else {}
    _, learner = learner_of(algorithm, "spring", "doubles/Reach-v0", fields, **options)
    learner.iterate()
    sample = learner.model.replay_buffer.sample(64)
    value = learner.model.critic(sample.observations, sample.actions)[0].mean().item()
    assert sample.rewards.mean().item() == pytest.approx(-0.75, abs=0.1)
    assert -1.1 < value < -0.4 if tolerance == 10 else value < -2


@ALL
def test_actions_of_another_range_are_scaled(algorithm):
    circuit, learner = learner_of(algorithm, "spring", "doubles/Wide-v0", {})
    taken, step = [], learner.env.step

    def spy(actions):
        taken.append(actions.copy())
        return step(actions)

    learner.env.step = spy
    for _ in range(4):
        learner.iterate()
    taken, buffer = np.stack(taken), learner.model.replay_buffer
    np.testing.assert_allclose(buffer.actions[: buffer.pos], (taken - 1) / 2, atol=1e-6)
    assert -1 <= taken.min() < 0 and 2 < taken.max() <= 3 and np.abs(buffer.actions).max() <= 1
    with torch.no_grad():
        circuit.gains.copy_(torch.tensor([0.0, 0.0, 2.5]))
        seen = {name: rows[:3, 0] for name, rows in buffer.observations.items()}
        np.testing.assert_allclose(
            learner.model.predict(seen, deterministic=True)[0], 2.5, atol=1e-6
        )
        circuit.gains[2] = 4.0
        np.testing.assert_allclose(
            learner.model.predict(seen, deterministic=True)[0], 3.0, atol=1e-6
        )
    if algorithm is SAC:
        np.testing.assert_allclose(
            learner.std(), 2 * learner.model.actor.log_std.exp().detach(), rtol=1e-6
        )
    else:
        np.testing.assert_allclose(learner.std(), [0.2])


def test_the_clips_gradient_leads_back_but_never_further_out():
    x = torch.tensor([-2.0, -0.5, 0.5, 2.0], requires_grad=True)
    y = within(x)
    assert y.tolist() == [-1, -0.5, 0.5, 1]
    assert torch.autograd.grad(y.sum(), x, retain_graph=True)[0].tolist() == [
        0,
        1,
        1,
        1,
    ]  # descent lowers x
    assert torch.autograd.grad(-y.sum(), x)[0].tolist() == [-1, -1, -1, 0]


def test_sacs_noise_is_the_controllers_own_bounded_and_of_the_entropy_it_says():
    for name, std in (("mlp", 0.693), ("ncap", 0.1)):
        _, learner = learner_of(SAC, name, fields={"clock": True})
        np.testing.assert_allclose(learner.std(), std, rtol=1e-5)
    actor = learner.model.actor
    seen = torch.zeros(20_000, 24)
    action, log_prob = actor.action_log_prob(seen)
    expected = torch.distributions.Normal(torch.zeros(5), 0.1).entropy().sum().item()
    assert log_prob.shape == (20_000,) and log_prob[0].item() == pytest.approx(-expected, rel=1e-5)
    mean = actor(seen[:1], deterministic=True)[0]
    inner = mean.abs() < 0.5
    assert inner.any() and action.abs().max() <= 1
    np.testing.assert_allclose(action.std(0)[inner].detach(), 0.1, rtol=0.05)
    with torch.no_grad():
        for value, bound in ((-50.0, 1e-3), (50.0, 1.0)):
            actor.log_std.fill_(value)
            np.testing.assert_allclose(learner.std(), bound, rtol=1e-5)
    space = spaces.Box(-3.0, 5.0, (2,))
    actor = GaussianActor(
        learner.model.observation_space, space, learner.model.actor.controller, std=0.4
    )
    np.testing.assert_allclose(actor.log_std.exp().detach(), 0.1, rtol=1e-5)


def test_sacs_entropy_coefficient_is_learned_towards_the_target_or_stays():
    figures = {}
    for target in (-20.0, 20.0):
        _, learner = learner_of(SAC, target_entropy=target, actor_rate=1e-2)
        figures[target] = [learner.iterate() for _ in range(2)][-1]["ent_coef"]
    assert figures[-20.0] < 0.09 < 0.11 < figures[20.0], (
        "more weight where the entropy is below its target"
    )
    _, learner = learner_of(SAC, ent_coef=0.3)
    assert [learner.iterate() for _ in range(2)][-1]["ent_coef"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    "updates, train_every, envs", [(1.0, 8, 4), (0.3, 4, 4), (1.25, 20, 8), (1.0, 10, 3)]
)
def test_updates_keep_their_ratio_for_any_number_of_environments(updates, train_every, envs):
    options = {
        "envs": envs,
        "updates": updates,
        "train_every": train_every,
        "learning_starts": 0,
        "log_every": 16,
    }
    _, learner = learner_of(DDPG, **options)
    for _ in range(3):
        learner.iterate()
    assert learner.model._n_updates == int(updates * learner.steps)
    assert learner.steps % (envs * -(-train_every // envs)) == 0


def test_random_actions_come_first_whenever_learning_starts():
    fields = {"clock": True, "max_episode_steps": 24}
    for random_steps in (0, 16):
        circuit, learner = learner_of(
            DDPG,
            "ncap",
            fields=fields,
            random_steps=random_steps,
            noise=0.0,
            learning_starts=10_000,
        )
        learner.iterate()
        buffer = learner.model.replay_buffer
        rows = torch.as_tensor(buffer.observations[:8].reshape(32, -1))
        own = circuit(rows, ())[0].detach().numpy().reshape(8, 4, -1)
        same = np.isclose(own, buffer.actions[:8], atol=1e-6).all((1, 2))
        assert same.tolist() == [step * 4 >= random_steps for step in range(8)]


def test_ctrl_c_is_heard_between_control_steps(monkeypatch):
    _, learner = learner_of(DDPG)
    interrupt._pending.set()
    try:
        with pytest.raises(KeyboardInterrupt):
            learner.iterate()
    finally:
        interrupt._pending.clear()
    assert learner.steps == 4


def test_controllers_that_they_cannot_train_are_refused_before_anything_is_written(tmp_path):
    cases = (
        ("plastic", "doubles/Cue-v0", "ddpg cannot train Plastic, which has no weights to train"),
        (
            "mlp",
            "doubles/Boundless-v0",
            r"ddpg cannot train MLP, which acts in Box.*needs? bounds; .*ppo.* can",
        ),
    )
    for name, id, message in cases:
        with pytest.raises(LanceletError, match=message):
            train(DDPG, tmp_path / "run", name, {}, id)
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "algorithm, options, message",
    [
        (DDPG, {"buffer": 8}, "buffer = 8: must be at least batch_size and envs, 16"),
        (DDPG, {"noise": -0.1}, "noise = -0.1: must be 0 or more"),
        (DDPG, {"tau": 1.5}, "tau = 1.5: must be from 0 to 1"),
        (DDPG, {"updates": 0.0}, "updates = 0.0: must be above 0"),
        (TD3, {"policy_delay": 0}, "policy_delay = 0: must be 1 or more"),
        (TD3, {"train_every": 0}, "train_every = 0: must be 1 or more"),
        (SAC, {"std": 0.0}, "std = 0.0: must be above 0"),
        (SAC, {"ent_coef": -1.0}, "ent_coef = -1.0: must be 0 or more"),
        (SAC, {"actor_rate": 0.0}, "actor_rate = 0.0: must be above 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, algorithm, options, message):
    with pytest.raises(LanceletError, match=message):
        train(algorithm, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_weights_that_are_not_finite_stop_the_run_and_keep_the_checkpoint(tmp_path):
    train(TD3, tmp_path / "run", steps=64)
    saved = state(tmp_path / "run")
    saved["learner"]["policy"]["critic.qf0.0.weight"][:] = torch.nan
    checkpoint.save(tmp_path / "run" / "checkpoint" / "state.safetensors", saved)
    with pytest.raises(
        LanceletError, match="td3: weights not finite after 72 steps: lower --actor-rate"
    ):
        train(TD3, tmp_path / "run", steps=128, resume=True)
    assert state(tmp_path / "run")["learner"]["steps"] == 64


def test_a_replay_buffer_that_no_checkpoint_could_hold_is_refused_before_the_first_step():
    env = gym.make(GESTURES["emg"][0])
    controller = SimpleNamespace(observation_space=env.observation_space)
    # 64 x 100 samples and 24 numbers of the robot, before and after a step.
    with pytest.raises(LanceletError, match=r"51,392 bytes .* 47.9 GiB; must be at most 334,"):
        SAC(buffer=1_000_000, steps=2_000_000)._check_buffer(controller)
    SAC(buffer=1_000_000, steps=200_000)._check_buffer(controller)
    SAC(buffer=300_000, steps=2_000_000)._check_buffer(controller)

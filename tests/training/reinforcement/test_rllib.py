import json
import os
import signal
import sys

import doubles
import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import SWIM

import lancelet
from lancelet import LanceletError, controllers
from lancelet.training.distributed.cluster import connected
from lancelet.training.reinforcement import rllib_learner
from lancelet.training.reinforcement.archives import open_archive
from lancelet.training.reinforcement.rllib import RLlib
from lancelet.training.runs import checkpoint
from lancelet.training.runs.folder import read_config, read_log

doubles.register_all()
SMALL = {
    "envs": 8,
    "rollout": 16,
    "batch_size": 64,
    "epochs": 2,
    "validation": 2,
    "validate_every": 256,
    "test": 0,
}
TASK = {"joints": 3, "max_episode_steps": 24}
ELSEWHERE = """
from lancelet import register
from lancelet.envs.swim import Swim

class Pond(Swim):
    "A swimmer from a file of somebody else's."

register("elsewhere/Pond-v0", "elsewhere:Pond", max_episode_steps=24)
"""


def options(**changed):
    return RLlib(quiet=True, **{**SMALL, **changed})


def train(folder, controller="mlp", task=SWIM, task_options=TASK, **changed):
    return options(folder=str(folder), **changed).train(task, controller, task_options)


def log(folder):
    return [
        {name: value for name, value in line.items() if name != "seconds"}
        for line in read_log(folder)
    ]


def bits(tree):
    return json.dumps(tree, default=lambda array: array.tolist(), sort_keys=True)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a running cluster of two slots, whose workers must be told of a folder to import from."""
    os.environ["RAY_AUTH_MODE"] = "disabled"
    from ray.cluster_utils import Cluster

    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "elsewhere.py").write_text(ELSEWHERE)
    sys.path.append(str(folder))
    os.makedirs("/tmp/ray", exist_ok=True)
    head = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 100 * 2**20}
    whole = Cluster(
        initialize_head=True,
        head_node_args={**head, "temp_dir": str(tmp_path_factory.mktemp("ray"))},
    )
    yield whole.address
    whole.shutdown()
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def pool(cluster):
    """The same cluster, joined for all tests that follow."""
    with connected(2, cluster) as ray:
        yield ray


def learner(controller, task=SWIM, task_options=TASK, **changed):
    env = gym.make(task, **{k: v for k, v in task_options.items() if k != "max_episode_steps"})
    circuit = controllers.make(controller, env)
    return circuit, options(**changed).learner(circuit, task, task_options)


@pytest.mark.slow
def test_it_trains_on_a_running_cluster_and_a_killed_env_runner_is_replaced(
    cluster, tmp_path, monkeypatch
):
    iterate, pids, weights = rllib_learner.RLlibLearner.iterate, [], []

    def pid(learning):
        return learning.algo.env_runner_group.foreach_env_runner(
            lambda runner: os.getpid(), local_env_runner=False
        )

    def killing(learning):
        figures = iterate(learning)
        pids.append(pid(learning))
        if len(pids) == 1:
            os.kill(pids[0][0], signal.SIGKILL)
        acting = learning.algo.env_runner_group.foreach_env_runner(
            lambda runner: runner.module.get_state()
        )[-1]
        weights.append(
            all(
                np.array_equal(acting[k], v)
                for k, v in learning.module.get_state(inference_only=True).items()
            )
        )
        return figures

    monkeypatch.setattr(rllib_learner.RLlibLearner, "iterate", killing)
    run = train(
        tmp_path / "run",
        "ncap",
        "elsewhere:pond",
        {"joints": 3},
        steps=400,
        workers=1,
        address=cluster,
        epochs=1,
    )
    lines = log(run.folder)
    assert [line["steps"] for line in lines if "reward" in line] == [128, 256, 384, 512], (
        "no iteration without steps"
    )
    assert all(np.isfinite(list(line.values())).all() for line in lines)
    assert os.getpid() not in pids[0] and pids[0] != pids[1] == pids[2] == pids[3]
    assert weights[1:] == [True] * 3, "the new runner acts with the weights of the learner"
    assert read_config(run.folder)["task"] == "elsewhere:elsewhere/Pond-v0"
    with connected(1, cluster) as ray:
        assert ray.cluster_resources()["CPU"] == 2, "the cluster lives on"
        with pytest.raises(LanceletError, match="workers = 4: the Ray cluster has 2 CPUs"):
            learner("mlp", workers=4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ncap", "mlp", "gru"])
def test_controllers_with_and_without_a_state_train(pool, tmp_path, name):
    run = train(tmp_path / "run", name, steps=256)
    lines = log(run.folder)
    assert [line["steps"] for line in lines] == [0, 128, 256] and "validation" in lines[-1]
    assert all(np.isfinite(list(line.values())).all() for line in lines)
    _, first, second = lines
    assert second["length"] == 24 and "mean" in second and "mean" not in first
    assert (
        first["std"] == second["std"] == pytest.approx(0.1)
        if name == "ncap"
        else second["std"] != first["std"]
    )
    assert read_config(run.folder)["task_options"]["clock"] is False, (
        "the state is RLlib's to keep, not the task's"
    )
    initial = controllers.load(run.folder / "initial.safetensors").state_dict()
    last = checkpoint.load(run.folder / "checkpoint" / "state.safetensors")["learner"]["module"]
    for weight, value in initial.items():
        assert not np.array_equal(last[f"controller.{weight}"], value), weight
    assert isinstance(controllers.load(run.folder), controllers.Controller)


@pytest.mark.parametrize("name", ["ncap", "gru"])
def test_what_is_sampled_is_what_happened_and_is_learned_from_with_the_states_of_then(
    pool, monkeypatch, name
):
    from ray.rllib.core.columns import Columns

    circuit, learning = learner(name, std=0.1)
    try:
        runner = learning.algo.env_runner
        episodes = [episode for episode in runner.sample(num_timesteps=8 * 60) if episode.is_done]
        assert len(episodes) >= 16
        env, seeds = gym.make(SWIM, **TASK), list(runner._seed)
        assert min(seeds) >= 2**32, "never the start states of tests"
        starts = {seed: env.reset(seed=seed)[0] for seed in seeds}
        begun = {tuple(episode.get_observations(0).tolist()): episode for episode in episodes}
        for seed in seeds:
            episode, state = begun[tuple(starts[seed].tolist())], circuit.initial_state(1)
            env.reset(seed=seed)
            seen, rewards, ended = [episode.get_observations(0)], [], False
            for action, inputs in zip(
                episode.get_actions(),
                episode.get_extra_model_outputs(Columns.ACTION_DIST_INPUTS),
                strict=True,
            ):
                mean, state = circuit(torch.as_tensor(seen[-1][None]), state)
                np.testing.assert_allclose(inputs[:3], mean[0].detach(), atol=1e-6)
                row, reward, _, ended, _ = env.step(action)
                seen.append(row)
                rewards.append(reward)
            assert ended and len(rewards) == 24
            np.testing.assert_array_equal(episode.get_observations(), np.stack(seen))
            np.testing.assert_allclose(episode.get_rewards(), rewards, rtol=1e-6)
        monkeypatch.setattr(type(learning.module), "update_statistics", lambda *args: None)
        before = {name: value.clone() for name, value in learning.module.state_dict().items()}
        learning.iterate()  # begins in the middle of an episode
        learning.module.load_state_dict(before)
        batch = learning.rllib_learner.last_batch.batch
        again = learning.module.forward_train(batch)[Columns.ACTION_DIST_INPUTS][
            batch[Columns.LOSS_MASK]
        ]
        torch.testing.assert_close(
            again,
            learning.rllib_learner.last_batch.real_rows(Columns.ACTION_DIST_INPUTS),
            atol=1e-5,
            rtol=0,
        )
        assert len(again) >= 128
    finally:
        learning.close()
    assert not os.path.exists(learning.algo.logdir)


def test_weights_optimisers_statistics_and_steps_survive_to_the_bit(pool, tmp_path):
    _, learning = learner("mlp")
    learning.iterate()
    learning.iterate()
    saved = learning.state_dict()
    learning.close()
    checkpoint.save(tmp_path / "state", saved)
    circuit, again = learner("mlp", seed=1)
    try:
        again.load_state_dict(checkpoint.load(tmp_path / "state"))
        assert bits(again.state_dict()) == bits(saved) and again.steps == 256
        assert saved["module"]["critic.seen.squares"].dtype == np.float64
        assert set(saved["optimizers"]) == {"actor", "critic"}
        acting = again.algo.env_runner.module.get_state()
        for name, value in circuit.state_dict().items():
            np.testing.assert_array_equal(value, saved["module"][f"controller.{name}"])
            np.testing.assert_array_equal(value, acting[f"controller.{name}"])
        again.iterate()
        assert again.steps == 384
        again.algo.save_to_path(str(tmp_path / "theirs"))
        with pytest.raises(LanceletError, match="an RLlib checkpoint"):
            controllers.load(tmp_path / "theirs")
        opened = open_archive(tmp_path / "theirs", gym.make(SWIM, joints=3), trust=True)
        for name, value in opened.state_dict().items():
            np.testing.assert_array_equal(value, circuit.state_dict()[name])
    finally:
        again.close()


@pytest.mark.slow
def test_equal_seeds_give_equal_runs_in_one_process(pool, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(tmp_path / name, "gru", steps=256, seed=seed)
    a, b, c = (
        bits(checkpoint.load(tmp_path / name / "checkpoint" / "state.safetensors")["learner"])
        for name in "abc"
    )
    assert a == b != c


def test_a_run_is_resumed_where_its_checkpoint_stood(pool, tmp_path):
    run = train(tmp_path / "run", steps=128)
    before = checkpoint.load(run.folder / "checkpoint" / "state.safetensors")["learner"]
    names = {path.suffix for path in run.folder.rglob("*") if path.is_file()}
    assert not names & {".pkl", ".pt", ".pth", ".zip", ".msgpack"}
    train(tmp_path / "run", steps=256, resume=True)
    assert [line["steps"] for line in log(run.folder)] == [0, 128, 256]
    after = checkpoint.load(run.folder / "checkpoint" / "state.safetensors")["learner"]
    for name in ("actor", "critic"):
        one, two = before["optimizers"][name]["0"]["step"], after["optimizers"][name]["0"]["step"]
        assert one > 0 and two == 2 * one
    assert after["module"]["critic.seen.count"] == 2 * before["module"]["critic.seen.count"]


def test_env_runners_that_do_not_start_or_never_answer_end_the_run_in_one_line(pool, monkeypatch):
    from ray.rllib.algorithms.ppo import PPOConfig

    _, learning = learner("ncap")
    try:
        monkeypatch.setattr(rllib_learner, "PATIENCE", 0.0)
        monkeypatch.setattr(learning.algo, "train", dict)
        with pytest.raises(
            LanceletError,
            match=r"no step from its env runners in 0.0 s, at 0 steps; with workers = 0",
        ):
            learning.iterate()
    finally:
        learning.close()

    def fail(config):
        raise IndexError(
            "list index out of range"
        )  # what RLlib says where a module is missing over there

    monkeypatch.setattr(PPOConfig, "build_algo", fail)
    message = r"do not start \(IndexError: .*\); they must be able to import lancelet and lancelet.controllers.ncap; with"
    with pytest.raises(LanceletError, match=message):
        learner("ncap", workers=1)


class Split(controllers.Controller):
    """A lesion in the making: one weight that the action does not depend on."""

    def __init__(self, observation_space, action_space, options):
        super().__init__(observation_space, action_space, options)
        self.used = torch.nn.Parameter(torch.tensor(0.1))
        self.unused = torch.nn.Parameter(torch.tensor(0.1))

    def forward(self, observation, state):
        return self.used * (observation["desired_goal"] - observation["achieved_goal"]), state


def test_dict_observations_and_weights_without_a_gradient_train(pool):
    controllers.register("split", Split)
    circuit, learning = learner("split", "doubles/Reach-v0", {})
    try:
        figures = learning.iterate()
        assert np.isfinite(list(figures.values())).all()
        assert circuit.used != 0.1 and circuit.unused == 0.1
        np.testing.assert_allclose(
            learning.module.critic.mean[1],
            learning.rllib_learner.last_batch.real_rows("obs")["desired_goal"].mean(),
            atol=1e-5,
        )
    finally:
        learning.close()


def test_only_environments_that_are_reset_at_the_next_step_are_taken():
    circuit = controllers.make("mlp", gym.make(SWIM))
    with pytest.raises(
        LanceletError, match="autoreset_mode = 'SameStep': RLlib reads NextStep only"
    ) as caught:
        options().config(circuit, SWIM, {"autoreset_mode": "SameStep"})
    assert "\n" not in str(caught.value)
    lancelet.register(
        "doubles/SameStep-v0", "doubles:Cue", max_episode_steps=20, autoreset_mode="SameStep"
    )
    with pytest.raises(LanceletError, match="RLlib reads NextStep only"):
        options().config(circuit, "doubles/SameStep-v0")


def test_ids_carry_the_module_that_registers_them():
    circuit = controllers.make("mlp", gym.make(SWIM, joints=3))
    config = options(workers=2, envs=8).config(circuit, "swim", TASK)
    assert config.env == "lancelet:lancelet/Swim-v0" and config.env_config == {"nthread": 1, **TASK}
    assert (
        config.gym_env_vectorize_mode == "vector_entry_point"
        and config.num_envs_per_env_runner == 4
    )
    assert options().config(circuit, "doubles/Cue-v0").env == "doubles:doubles/Cue-v0"


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"workers": 3}, "envs = 8: must be a multiple of workers = 3"),
        ({"workers": -1}, "workers = -1: must be 0 or more"),
        ({"sequence": 100}, "batch_size = 64: must be above the sequence's 100 steps"),
        ({"address": "nowhere"}, "address = 'nowhere': must be host:port"),
        ({"address": "127.0.0.1:1"}, "address = '127.0.0.1:1' does not answer"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_written(
    tmp_path, changed, message
):
    with pytest.raises(LanceletError, match=message) as caught:
        train(tmp_path / "run", **changed)
    assert not (tmp_path / "run").exists() and "\n" not in str(caught.value)


def test_a_plastic_controller_and_one_that_nobody_else_can_import_are_refused(tmp_path):
    with pytest.raises(LanceletError, match="rllib cannot train Plastic"):
        train(tmp_path / "run", "plastic", "doubles/Cue-v0", {})
    assert not (tmp_path / "run").exists()

    class Inside(Split):
        pass

    circuit = Inside(
        gym.make("doubles/Reach-v0").observation_space,
        gym.make(SWIM).action_space,
        Inside.Options(),
    )
    with pytest.raises(
        LanceletError,
        match=r"rllib cannot find controller test_rllib:.*Inside.* put the class in a module",
    ):
        options().config(circuit, "doubles/Reach-v0")


@pytest.mark.slow
def test_listing_the_algorithms_loads_no_ray(python):
    code = "import sys; from lancelet import training; print(training.algorithms.get('rllib')(), 'ray' in sys.modules)"
    said = python(code).stdout
    assert said.startswith("RLlib(") and said.endswith("False\n")

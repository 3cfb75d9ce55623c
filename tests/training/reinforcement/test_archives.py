import base64
import contextlib
import json
import os
import pickle
import zipfile
from dataclasses import asdict

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch
from conftest import SWIM

from lancelet import LanceletError, controllers
from lancelet.scripts import play
from lancelet.training.reinforcement.archives import open_archive
from lancelet.training.reinforcement.ppo import Model
from lancelet.training.reinforcement.sb3 import ControllerPolicy, Raw, make_sb3_env

JOINTS = 3
KINDS = {
    "ppo": (sb3.PPO, {"n_steps": 16, "batch_size": 32}, {}),
    "ppo-relu-one-layer": (
        sb3.PPO,
        {"n_steps": 16, "batch_size": 32},
        {"activation_fn": torch.nn.ReLU, "net_arch": [7]},
    ),
    "ppo-linear": (sb3.PPO, {"n_steps": 16, "batch_size": 32}, {"net_arch": []}),
    "ddpg": (sb3.DDPG, {"learning_starts": 32, "batch_size": 16}, {"net_arch": [24, 16]}),
    "td3": (sb3.TD3, {"learning_starts": 32, "batch_size": 16}, {"activation_fn": torch.nn.Tanh}),
    "sac": (sb3.SAC, {"learning_starts": 32, "batch_size": 16}, {"net_arch": [32]}),
}


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def env():
    return gym.make(SWIM, joints=JOINTS)


def trained(path, kind, policy="MlpPolicy", **kwargs):
    cls, settings, policy_kwargs = KINDS[kind]
    vec = make_sb3_env(SWIM, 2, max_episode_steps=20, joints=JOINTS)
    model = cls(
        policy, vec, device="cpu", seed=1, policy_kwargs={**policy_kwargs, **kwargs}, **settings
    )
    model.learn(64)
    model.save(path)
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_an_mlp_policy_becomes_an_mlp_of_equal_actions(kind, env, tmp_path):
    model = trained(tmp_path / "model.zip", kind)
    for refused in (controllers.load, lambda path: open_archive(path, env)):
        with pytest.raises(
            LanceletError, match=r"a zip of stable-baselines3: .*unpickles.*run anything.*--trust"
        ) as caught:
            refused(tmp_path / "model.zip")
        assert "\n" not in str(caught.value)
    mlp = open_archive(tmp_path / "model.zip", env, trust=True)
    seen = (
        np.random.default_rng(0)
        .normal(0, 2, (200, *env.observation_space.shape))
        .astype(np.float32)
    )
    action = mlp(torch.as_tensor(seen), ())[0].detach().numpy()
    expected, _ = model.predict(seen, deterministic=True)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(np.clip(action, -1, 1), expected, atol=1e-6)
    controllers.save(mlp, tmp_path / "ours.safetensors")
    again = controllers.load(tmp_path / "ours.safetensors", env)
    assert torch.equal(again(torch.as_tensor(seen), ())[0].detach(), torch.as_tensor(action))


def test_our_policy_gives_its_controller(env, tmp_path):
    vec = make_sb3_env(SWIM, 2, clock=True, joints=JOINTS)
    ncap = controllers.make("ncap", vec.env)
    Model(
        ControllerPolicy,
        vec,
        n_steps=8,
        batch_size=8,
        device="cpu",
        policy_kwargs={"controller": ncap},
    ).save(tmp_path / "model")
    with torch.no_grad():
        ncap.oscillator.fill_(0.25)
    clocked = gym.make(SWIM, joints=JOINTS, clock=True)
    again = open_archive(tmp_path / "model.zip", clocked, trust=True)
    assert type(again) is type(ncap) and again.oscillator == 1 and again.options == ncap.options
    with pytest.raises(
        LanceletError,
        match=r"its observation_space is Box.*\(16,\).*, this environment's is .*\(15,\)",
    ):
        open_archive(tmp_path / "model.zip", env, trust=True)


@pytest.mark.parametrize(
    "kind, kwargs, message",
    [
        (
            "ppo",
            {"activation_fn": torch.nn.ELU},
            "layers that are not linear with tanh or relu between",
        ),
        (
            "sac",
            {"net_arch": [8], "activation_fn": torch.nn.Sigmoid},
            "layers that are not linear with tanh or relu",
        ),
        ("ppo", {"features_extractor_class": Raw}, "is no MlpPolicy over a Box"),
    ],
)
def test_what_is_no_perceptron_of_ours_is_refused(kind, kwargs, message, env, tmp_path):
    trained(tmp_path / "model.zip", kind, **kwargs)
    with pytest.raises(
        LanceletError, match=rf"a zip of stable-baselines3, but its .*{message}"
    ) as caught:
        open_archive(tmp_path / "model.zip", env, trust=True)
    assert "\n" not in str(caught.value)


def test_another_algorithm_is_refused_by_name(env, tmp_path):
    vec = make_sb3_env(SWIM, 2, joints=JOINTS)
    sb3.A2C("MlpPolicy", vec, device="cpu").save(tmp_path / "model.zip")
    with pytest.raises(LanceletError, match="of another algorithm than PPO, DDPG, TD3 and SAC"):
        open_archive(tmp_path / "model.zip", env, trust=True)


def test_a_trap_in_a_zip_runs_only_for_those_who_trust_it(env, tmp_path, capsys):
    trained(tmp_path / "good.zip", "ppo")
    trap = base64.b64encode(pickle.dumps(Trap(tmp_path / "sprung"))).decode()
    with (
        zipfile.ZipFile(tmp_path / "good.zip") as good,
        zipfile.ZipFile(tmp_path / "bad.zip", "w") as bad,
    ):
        for name in good.namelist():
            content = good.read(name)
            if name == "data":
                content = json.dumps(
                    {**json.loads(content), "lr_schedule": {":type:": "?", ":serialized:": trap}}
                )
            bad.writestr(name, content)
    for refused in (
        controllers.load,
        lambda path: open_archive(path, env),
        lambda path: play_it(path),
    ):
        with pytest.raises(LanceletError, match="--trust"):
            refused(tmp_path / "bad.zip")
        assert not (tmp_path / "sprung").exists()
    with contextlib.suppress(LanceletError):
        open_archive(tmp_path / "bad.zip", env, trust=True)
    assert (tmp_path / "sprung").exists(), "else the trap was none"


def play_it(path, *flags):
    flags = ["--episodes", "1", "--max-episode-steps", "10", "--joints", str(JOINTS), *flags]
    return play.main(["swim", "--agent", str(path), *flags])


def test_play_opens_an_archive_with_trust(tmp_path, capsys):
    trained(tmp_path / "model.zip", "ppo")
    assert play_it(tmp_path / "model.zip", "--trust") == 0
    assert "return" in capsys.readouterr().out


def rllib_modules(env):
    from ray.rllib.algorithms.ppo.ppo_catalog import PPOCatalog
    from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
    from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

    from lancelet.training.reinforcement.rllib_module import ControllerModule

    ncap = controllers.make("ncap", env)
    config = {"controller": "lancelet.controllers.ncap:NCAP", "options": asdict(ncap.options)}
    config |= {"std": 0.1, "learn_std": False, "critic": (8,), "max_seq_len": 8}
    spaces = {"observation_space": env.observation_space, "action_space": env.action_space}
    theirs = DefaultPPOTorchRLModule(
        **spaces, model_config=DefaultModelConfig(), catalog_class=PPOCatalog
    )
    return ControllerModule(**spaces, model_config=config), theirs


def test_an_rllib_checkpoint_gives_the_controller_of_our_module_alone(env, tmp_path):
    ours, theirs = rllib_modules(env)
    with torch.no_grad():
        ours.controller.oscillator.fill_(0.25)
    ours.save_to_path(str(tmp_path / "ours"))
    theirs.save_to_path(str(tmp_path / "theirs"))
    with pytest.raises(LanceletError, match=r"an RLlib checkpoint: .*unpickles.*--trust"):
        controllers.load(tmp_path / "ours")
    again = open_archive(tmp_path / "ours", env, trust=True)
    assert again.oscillator == 0.25 and type(again) is type(ours.controller)
    with pytest.raises(
        LanceletError,
        match=r"but its module is ray\..*DefaultPPOTorchRLModule: no controller of ours",
    ):
        open_archive(tmp_path / "theirs", env, trust=True)


def test_a_trap_in_an_rllib_checkpoint_runs_only_for_those_who_trust_it(env, tmp_path):
    ours, _ = rllib_modules(env)
    ours.save_to_path(str(tmp_path / "bad"))
    (tmp_path / "bad" / "class_and_ctor_args.pkl").write_bytes(
        pickle.dumps(Trap(tmp_path / "sprung"))
    )
    for refused in (controllers.load, lambda path: open_archive(path, env), play_it):
        with pytest.raises(LanceletError, match="--trust"):
            refused(tmp_path / "bad")
    assert not (tmp_path / "sprung").exists()
    with contextlib.suppress(LanceletError):
        open_archive(tmp_path / "bad", env, trust=True)
    assert (tmp_path / "sprung").exists()


def test_a_file_of_ours_needs_no_trust(env, tmp_path):
    controllers.save(controllers.make("ncap", env), tmp_path / "best.safetensors")
    assert open_archive(tmp_path, env).parameter_count == 4
    with zipfile.ZipFile(tmp_path / "torn", "w") as archive:
        for name in ("data", "policy.pth"):
            archive.writestr(name, "{")
    with pytest.raises(
        LanceletError, match="a zip of stable-baselines3 that does not open: JSONDecodeError"
    ):
        open_archive(tmp_path / "torn", env, trust=True)
    (tmp_path / "other.zip").write_bytes(b"PK\x05\x06" + bytes(18))  # an empty zip
    with pytest.raises(LanceletError, match="not a controller of Lancelet"):
        open_archive(tmp_path / "other.zip", env, trust=True)

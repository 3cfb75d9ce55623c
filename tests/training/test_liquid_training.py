"""Liquid networks under every trainer that takes a state: one object for evolution, PPO through time and back-propagation."""

import doubles
import numpy as np
import pytest
import torch

from lancelet import controllers, training
from lancelet.training.reinforcement.recurrent_ppo import RecurrentPPO
from lancelet.training.runs import checkpoint

doubles.register_all()

TASK = {"max_episode_steps": 20}
EVOLUTION = {"generations": 1, "population": 4, "validation": 2}
ON_POLICY = {
    "steps": 128,
    "envs": 4,
    "validation": 2,
    "rollout": 32,
    "batch_size": 64,
    "sequence": 16,
}
BACKPROP = {"updates": 2, "batch": 4, "validation": 4, "validate_every": 1}
NETWORKS = {
    "cfc": ("cfc", {"hidden": 8}),
    "cfc mixed": ("cfc", {"hidden": 8, "mixed": True}),
    "cfc ncp": ("cfc", {"hidden": 16, "wiring": "ncp"}),
    "ltc": ("ltc", {"hidden": 8}),
    "ltc ncp": ("ltc", {"hidden": 16, "wiring": "ncp"}),
    "window-mlp": ("window-mlp", {"hidden": (8,), "window": 3}),
}
ALGORITHMS = {
    "recurrent-ppo": ("lancelet/Swim-v0", TASK, ON_POLICY),
    "snes": ("lancelet/Swim-v0", TASK, EVOLUTION),
    "openai-es": ("lancelet/PointMaze-v0", TASK, EVOLUTION),
    "backprop": ("lancelet/ArmReach-v0", {}, BACKPROP),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_trains(algorithm, kind, tmp_path):
    name, options = NETWORKS[kind]
    id, task, trainer_options = ALGORITHMS[algorithm]
    trainer = training.algorithms.get(algorithm)(
        test=0, quiet=True, folder=str(tmp_path / "run"), **trainer_options
    )
    run = trainer.train(id, name, task, options)
    trained = controllers.load(run.folder)
    score = training.evaluate(trained, id, episodes=2, max_episode_steps=20)
    assert np.isfinite(score.returns).all()


CUE = {
    "envs": 64,
    "rollout": 12,
    "sequence": 12,
    "batch_size": 384,
    "epochs": 6,
    "gamma": 0.95,
    "actor_rate": 4e-3,
    "critic_rate": 3e-3,
    "critic": (32,),
    "validation": 64,
    "validate_every": 100_000,
    "test": 0,
    "quiet": True,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cfc", {"hidden": 16}),
        ("ltc", {"hidden": 16}),
        # As long as the cue lies back.
        ("window-mlp", {"hidden": (16,), "window": 8}),
    ],
)
def test_a_memory_solves_the_cue(name, options, tmp_path):
    trainer = RecurrentPPO(folder=str(tmp_path / "run"), steps=9984, **CUE)
    run = trainer.train("doubles/Cue-v0", name, None, options)
    score = training.evaluate(run.controller, "doubles/Cue-v0", episodes=300, seed=1_000)
    assert score.returns.mean() > 0.95


def weights_after(folder, name, *steps):
    """Weights of a run that is resumed to each of these numbers of steps."""
    for number, total in enumerate(steps):
        trainer = RecurrentPPO(
            folder=str(folder), steps=total, test=0, quiet=True, **RESUMED, resume=number > 0
        )
        trainer.train("lancelet/Swim-v0", name, TASK, {"hidden": 8})
    saved = checkpoint.load(folder / "checkpoint" / "state.safetensors")
    return saved["learner"]["agent"]


RESUMED = {"envs": 4, "validation": 2, "rollout": 32, "batch_size": 64, "sequence": 16}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cfc", "ltc"])
def test_a_resumed_run_is_the_undisturbed_one_to_the_bit(name, tmp_path):
    at_once = weights_after(tmp_path / "once", name, 512)
    resumed = weights_after(tmp_path / "twice", name, 256, 512)
    assert at_once.keys() == resumed.keys()
    for key, value in at_once.items():
        assert torch.equal(value, resumed[key]), key

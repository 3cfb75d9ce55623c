"""Liquid networks under every trainer that takes a state: one object for evolution, PPO through time and back-propagation."""

import numpy as np
import pytest

from lancelet import controllers, training

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

"""Every trainer that takes the usual networks trains them where observations are a Dict of float64."""

import numpy as np
import pytest

from lancelet import controllers, training

TASK = {"max_episode_steps": 20}
EVOLUTION = {"generations": 1, "population": 4, "validation": 2}
LEARNING = {"steps": 128, "envs": 4, "validation": 2}
ON_POLICY = {**LEARNING, "rollout": 32, "batch_size": 64}
OFF_POLICY = {
    **LEARNING,
    "learning_starts": 16,
    "random_steps": 16,
    "batch_size": 16,
    "log_every": 64,
}
CASES = [
    ("snes", "mlp", EVOLUTION),
    ("snes", "gru", EVOLUTION),
    ("pgpe", "mlp", EVOLUTION),
    ("cma-es", "gru", {**EVOLUTION, "separable": True}),
    ("openai-es", "mlp", EVOLUTION),
    ("ppo", "mlp", ON_POLICY),
    ("recurrent-ppo", "mlp", {**ON_POLICY, "sequence": 16}),
    ("recurrent-ppo", "gru", {**ON_POLICY, "sequence": 16}),
    ("recurrent-ppo", "lstm", {**ON_POLICY, "sequence": 16}),
    ("ddpg", "mlp", OFF_POLICY),
    ("td3", "mlp", OFF_POLICY),
    ("sac", "mlp", OFF_POLICY),
]
HIDDEN = {"mlp": (8,), "gru": 8, "lstm": 8}


@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "name", "options"), CASES)
def test_point_maze_trains(algorithm, name, options, tmp_path):
    trainer = training.algorithms.get(algorithm)(
        test=0, quiet=True, folder=str(tmp_path / "run"), **options
    )
    run = trainer.train("lancelet/PointMaze-v0", name, TASK, {"hidden": HIDDEN[name]})
    score = training.evaluate(
        controllers.load(run.folder), "lancelet/PointMaze-v0", episodes=2, **TASK
    )
    assert np.isfinite(score.returns).all()

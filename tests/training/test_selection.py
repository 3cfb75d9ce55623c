"""What a run keeps: the best by validation, whatever comes after it, also after a resume."""

import numpy as np
import torch
from conftest import SWIM
from test_rollout import SHORT, make

from lancelet import controllers
from lancelet.controllers.store import describe
from lancelet.training import evaluate
from lancelet.training.runs.folder import RunFolder
from lancelet.training.selection import Selection
from lancelet.training.trainer import VALIDATION, start_seeds

CONFIG = {"task": SWIM, "controller": "ncap", "algorithm": "ppo", "algorithm_options": {"seed": 0}}


def selection(tmp_path, controller, **options):
    run = RunFolder(CONFIG, tmp_path / "run", resume=True)
    return Selection(run, controller, SWIM, SHORT, seed=0, starts=3, **options), run


def test_the_best_is_kept_and_a_worse_one_is_not(tmp_path):
    ncap = make()
    choice, run = selection(tmp_path, ncap, sampled=2)
    first = choice.look(0, np.full(3, 0.1))
    by_hand = [
        evaluate(ncap, SWIM, 1, seed=seed, **SHORT).returns[0]
        for seed in start_seeds(VALIDATION, 0, 0, 3)
    ]
    assert first["validation"] == np.mean(by_hand) and first["sampled"] != first["validation"]
    kept = controllers.load(run.path).state_dict()
    ncap.oscillator.data.fill_(0)
    ncap.proprioception.data.fill_(0)
    assert choice.look(100)["validation"] < first["validation"]
    assert all(
        torch.equal(value, kept[name])
        for name, value in controllers.load(run.path).state_dict().items()
    )
    notes = describe(run.path)["notes"]
    assert notes == {"validation": first["validation"], "steps": 0, "std": [0.1] * 3}
    run.close()


def test_the_best_survives_a_resume(tmp_path):
    ncap = make()
    choice, run = selection(tmp_path, ncap)
    choice.look(7)
    saved = choice.state_dict()
    run.close()
    other, run = selection(tmp_path, make(period=40))
    other.load_state_dict(saved)
    assert (other.score, other.steps) == (choice.score, 7)
    assert all(
        torch.equal(value, other.best.state_dict()[name])
        for name, value in choice.best.state_dict().items()
    )
    run.close()

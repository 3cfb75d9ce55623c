"""Options of trainers: what makes no sense is one line that names it, before anything is written."""

import math

import numpy as np
import pytest
import torch
from conftest import SWIM

from lancelet import LanceletError, training
from lancelet.training.evolution.strategies import CMAES, LARGEST_FULL_COVARIANCE

ALGORITHMS = list(training.algorithms)
NUMBERS = (
    "stdev",
    "sigma",
    "rate",
    "center_rate",
    "stdev_rate",
    "actor_rate",
    "critic_rate",
    "tau",
)
"""options that must be above zero, whichever trainer has them"""
CASES = [
    (algorithm, name)
    for algorithm in ALGORITHMS
    for name in NUMBERS
    if hasattr(training.algorithms.get(algorithm), name)
]


def refused(algorithm, **options):
    """The line that refuses these options, before the task is looked at."""
    trainer = training.algorithms.get(algorithm)(**options)
    with pytest.raises(LanceletError) as raised:
        trainer.train("no-such-task", "no-such-controller")
    text = str(raised.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(("algorithm", "name"), CASES)
@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, -0.5, True, "0.1", np.float32(-1)])
def test_rates_and_deviations_must_be_above_zero(algorithm, name, value):
    assert refused(algorithm, **{name: value}).startswith(f"{name} = ")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("seed", [-1, 2**64, 2**70, 0.5, True, None])
def test_seeds_that_no_generator_takes_are_refused(algorithm, seed):
    text = refused(algorithm, seed=seed)
    assert text.startswith(f"seed = {seed}")
    assert "whole number" in text


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_flags_and_counts_are_of_their_type(algorithm):
    assert "quiet = 1 (of type int): must be True or False" in refused(algorithm, quiet=1)
    assert "test = 1.5 (of type float): must be a whole number" in refused(algorithm, test=1.5)
    assert "test = -1: must be 0 or more" in refused(algorithm, test=-1)


@pytest.mark.parametrize(
    "algorithm", ["snes", "pgpe", "cma-es", "openai-es", "routed-es", "imitate"]
)
def test_a_population_of_one_compares_nothing(algorithm):
    assert "population = 1: must be 2 or more" in refused(algorithm, population=1)


@pytest.mark.parametrize("algorithm", ["ppo", "recurrent-ppo", "rllib"])
def test_batches_fill_the_rollout(algorithm):
    assert "batch_size = 1024: must divide envs x rollout = 8" in refused(
        algorithm, envs=2, rollout=4, batch_size=1024
    )
    assert "envs = 0: must be 1 or more" in refused(algorithm, envs=0)


@pytest.mark.parametrize("limit", [0, -1, 2.5, math.nan, True])
def test_an_episode_has_one_step_at_least(tmp_path, limit):
    with pytest.raises(
        LanceletError, match=r"max_episode_steps = .*: must be a whole number, 1 or more"
    ):
        training.evolve(
            SWIM, "ncap", folder=tmp_path / "run", task_options={"max_episode_steps": limit}
        )
    assert not (tmp_path / "run").exists()


def test_choices_list_near_names():
    assert "did you mean mixed" in refused("backprop", loss="mixd")


def test_numbers_of_numpy_are_numbers(tmp_path):
    run = training.evolve(
        SWIM,
        "ncap",
        generations=np.int64(1),
        seed=np.uint64(3),
        population=np.int32(4),
        stdev=np.float64(0.3),
        validation=np.int64(2),
        validate_every=np.int8(1),
        test=np.int64(0),
        quiet=np.bool_(True),
        folder=tmp_path / "run",
        task_options={"max_episode_steps": np.int64(5), "density": np.float32(3000)},
        controller_options={"period": np.int64(50)},
    )
    text = (run.folder / "config.yaml").read_text()
    assert "!!" not in text and "&id" not in text
    assert "stdev: 0.3\n" in text and "density: 3000.0\n" in text and "period: 50\n" in text


def test_a_seed_of_64_bits_trains(tmp_path):
    common = {"test": 0, "validation": 1, "seed": 2**64 - 1, "quiet": True}
    evolved = training.algorithms.get("snes")(
        generations=1, population=2, validate_every=1, folder=str(tmp_path / "snes"), **common
    )
    evolved.train(SWIM, "ncap", {"max_episode_steps": 3})
    reinforced = training.algorithms.get("ppo")(
        steps=8, envs=2, rollout=4, batch_size=8, epochs=1, folder=str(tmp_path / "ppo"), **common
    )
    reinforced.train(SWIM, "mlp", {"max_episode_steps": 3}, {"seed": 2**64 - 1})


def test_a_refusal_names_only_algorithms_that_can(tmp_path):
    # Backprop has no twin of the swimmer, imitation no flights: neither may be recommended here.
    with pytest.raises(LanceletError, match="ppo cannot train GRU, which keeps a state") as raised:
        training.algorithms.get("ppo")(folder=str(tmp_path / "run")).train(SWIM, "gru")
    able = str(raised.value).rpartition("; ")[2].removesuffix(" can").split(", ")
    assert "recurrent-ppo" in able and "snes" in able
    assert not {"backprop", "ppo", "sac", "imitate", "surrogate", "routed-es"} & set(able)
    assert not (tmp_path / "run").exists()


def test_a_recommended_algorithm_may_change_the_task():
    # ncap keeps a state, but for ppo the task observes the time.
    ppo = training.algorithms.get("ppo")()
    assert ppo.can_train(SWIM, "ncap")
    assert not ppo.can_train(SWIM, "gru")
    assert not training.algorithms.get("backprop")().can_train(SWIM, "mlp")


def test_weights_of_the_reward_are_none_of_the_twin(tmp_path):
    trainer = training.algorithms.get("backprop")(folder=str(tmp_path / "run"))
    with pytest.raises(
        LanceletError, match=r"weights = \(1\.0, 2\.5, 1\.0\): without effect on the arm's twin"
    ):
        trainer.train("arm-reach", "mlp", {"weights": (1.0, 2.5, 1.0)})
    assert not (tmp_path / "run").exists()


def test_cma_es_on_thousands_of_weights_keeps_variances(tmp_path):
    trainer = CMAES(
        generations=1,
        population=4,
        validation=1,
        validate_every=1,
        test=0,
        quiet=True,
        folder=str(tmp_path / "run"),
    )
    hidden = {"hidden": (64, 64)}
    with pytest.warns(UserWarning, match="weights with a diagonal covariance"):
        run = trainer.train(SWIM, "mlp", {"max_episode_steps": 3}, hidden)
    assert run.controller.parameter_count > LARGEST_FULL_COVARIANCE
    assert "separable: true" in (run.folder / "config.yaml").read_text()
    assert trainer.separable is False, "a trainer may train another controller next"
    state = training.runs.checkpoint.load(run.folder / "checkpoint" / "state.safetensors")
    assert state["searcher"]["own"]["C"].shape == (run.controller.parameter_count,)


def test_training_leaves_the_threads_of_torch_alone(tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        options = {"generations": 1, "population": 2, "validation": 1, "validate_every": 1}
        task = {"joints": 3, "max_episode_steps": 3}
        folder = tmp_path / "run"
        inside = []
        trainer = training.algorithms.get("snes")(**options, test=1, quiet=True, folder=str(folder))
        trainer.train(SWIM, "ncap", task, watch=lambda _: inside.append(torch.get_num_threads()))
        assert torch.get_num_threads() == 3
        assert inside == [1]
        with pytest.raises(LanceletError, match="already holds a run"):
            training.evolve(SWIM, "ncap", folder=folder, task_options=task, test=0, **options)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)

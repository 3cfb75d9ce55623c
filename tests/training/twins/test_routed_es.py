"""Evolution with two gradients routed by column: what each weight climbs by, and that it helps."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import SWIM

from lancelet import LanceletError, controllers, training
from lancelet.training.evolution.evotorch_compat import Evaluation
from lancelet.training.rollout import make_env, rollout
from lancelet.training.runs import checkpoint
from lancelet.training.runs.folder import read_log
from lancelet.training.twins import losses
from lancelet.training.twins.routed_es import LossArena, RoutedES, Watched
from lancelet.training.twins.routed_searcher import RoutedSearcher

HOLD = "lancelet/ArmHold-v0"
SMALL = {
    "algorithm": "routed-es",
    "population": 8,
    "episodes": 2,
    "validation": 4,
    "validate_every": 2,
    "test": 0,
}


def evolve(folder, generations=4, **rest):
    return training.evolve(HOLD, "bilateral", generations, folder=folder, **{**SMALL, **rest})


def test_each_weight_climbs_by_the_loss_of_its_column():
    noise, evals = torch.randn(10, 4, generator=torch.Generator().manual_seed(0)), torch.rand(10, 3)
    shares = torch.tensor([[1.0, 0.0, 0.5, 0.5], [0.0, 1.0, 0.5, 0.5]])
    problem = Evaluation(4, 0, lambda genomes: torch.zeros(len(genomes), 3), 2)
    searcher = RoutedSearcher(
        problem,
        torch.ones(4),
        shares,
        torch.full((4,), -torch.inf),
        popsize=10,
        sigma=0.1,
        rate=0.01,
        decay=0.0,
    )
    one, two = (searcher.ascent(evals[:, k], noise) for k in (1, 2))
    want = [one[0], two[1], (one[2] + two[2]) / 2, (one[3] + two[3]) / 2]
    torch.testing.assert_close(searcher.gradient(evals, noise), torch.stack(want))


def test_the_centre_keeps_to_its_floors():
    problem = Evaluation(2, 0, lambda genomes: -genomes.sum(1, keepdim=True).expand(-1, 3), 2)
    half = torch.full((2, 2), 0.5)
    searcher = RoutedSearcher(
        problem,
        torch.ones(2),
        half,
        torch.tensor([0.9, -torch.inf]),
        popsize=10,
        sigma=0.1,
        rate=0.2,
        decay=0.0,
    )
    for _ in range(5):
        searcher.step()
    assert searcher.center[0].item() == pytest.approx(0.9) and searcher.center[1] < 0.6


def test_the_losses_of_an_episode_are_those_that_back_propagation_descends():
    env = make_env(HOLD, 3, max_episode_steps=6)
    one = controllers.make("bilateral", env, callosum=True)
    genome = torch.nn.utils.parameters_to_vector(one.parameters()).detach()[None]
    agents, seen = Watched(one, 3, genome), []

    class Spy(Watched):
        def __call__(self, observation, state):
            action, state = super().__call__(observation, state)
            seen.append(state)
            return action, state

    agents = Spy(one, 3, genome)
    score, _ = rollout(env, agents, 5)
    layers = [
        torch.stack([s[side][:, k] for s in seen]) for side in ("left", "right") for k in range(2)
    ]
    by_hand = sum(losses.penalty(layer[:, :, None], 0.01) for layer in layers)
    np.testing.assert_allclose(agents.penalty(), by_hand.numpy(), rtol=1e-5)
    worth = LossArena(one, HOLD, {}).worth(score, agents)
    np.testing.assert_allclose(worth[:, 1], -(5 * score.metrics["P1"] + 0.02 * agents.penalty()))
    np.testing.assert_allclose(worth[:, 0], worth[:, 1:].mean(1))


@pytest.mark.slow
def test_specialised_columns_evolve_and_hold_better(tmp_path):
    run = evolve(
        tmp_path / "run", 30, population=24, episodes=4, validation=8, validate_every=5, test=16
    )
    error = {which: np.mean(run.summary[which]["P1"]) for which in ("untrained", "trained")}
    assert error["trained"] < 0.97 * error["untrained"]
    log = read_log(run.folder)
    assert log[-1]["mean"] > log[0]["mean"]


@pytest.mark.slow
def test_n_and_resume_n_equals_2n_to_the_bit(tmp_path):
    whole = evolve(tmp_path / "whole", 4)
    evolve(tmp_path / "parts", 2)
    parts = evolve(tmp_path / "parts", 4, resume=True)
    states = [
        checkpoint.load(run.folder / "checkpoint" / "state.safetensors")["searcher"]
        for run in (whole, parts)
    ]
    assert torch.equal(states[0]["own"]["center"], states[1]["own"]["center"])
    assert torch.equal(states[0]["evals"], states[1]["evals"]) and states[0]["evals"].shape == (
        8,
        3,
    )


def test_what_cannot_be_specialised_is_refused(tmp_path):
    common = {"folder": str(tmp_path / "run"), "test": 0}
    with pytest.raises(LanceletError, match="no left and right column"):
        RoutedES(**common).train(HOLD, "bilateral", None, {"columns": 1})
    with pytest.raises(LanceletError, match="Swim tells no P1"):
        RoutedES(**common).train(SWIM, "bilateral")
    with pytest.raises(LanceletError, match="unknown dominance"):
        RoutedES(dominance="both", **common).train(HOLD, "bilateral")
    assert not (tmp_path / "run").exists() and gym.make(HOLD)

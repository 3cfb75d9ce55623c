"""Gate: the same NCAP weights act alike in stable-baselines3, RLlib, EvoTorch's path and the plain loop."""

from dataclasses import asdict

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import SWIM
from torch.nn.utils import parameters_to_vector

from lancelet import controllers
from lancelet.training.reinforcement.ppo import Model
from lancelet.training.reinforcement.sb3 import ControllerPolicy, make_sb3_env

STEPS = 150
"""two and a half beats of the head oscillator"""


def circuit_and_path(clock):
    """NCAP with weights of no special value, and what it sees and does in the plain loop on the single env."""
    env = gym.make(SWIM, clock=clock, joints=5)
    ncap, random = controllers.make("ncap", env, sharing=False), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in ncap.parameters():
            weight *= 0.7 + 0.5 * torch.rand(weight.shape, generator=random)
    seen, acted, state = [env.reset(seed=1)[0]], [], ncap.initial_state(1)
    for _ in range(STEPS):
        with torch.no_grad():
            action, state = ncap(torch.as_tensor(seen[-1][None]), state)
        acted.append(action[0].numpy())
        seen.append(env.step(acted[-1])[0])
    assert np.ptp(acted, axis=0).min() > 0.1, "every joint moves"
    return ncap, np.stack(seen[:-1]), np.stack(acted)


def in_rllib(ncap, seen, cut):
    """Mean actions of the RLModule, in pieces of `cut` steps as RLlib feeds a module with a state."""
    from ray.rllib.core.columns import Columns

    from lancelet.training.reinforcement.rllib_module import ControllerModule

    config = {"controller": "lancelet.controllers.ncap:NCAP", "options": asdict(ncap.options)}
    config |= {"std": 0.1, "learn_std": False, "critic": (8,), "max_seq_len": cut}
    module = ControllerModule(
        observation_space=ncap.observation_space,
        action_space=ncap.action_space,
        model_config=config,
    )
    module.controller.load_state_dict(ncap.state_dict())
    rows = torch.as_tensor(seen)
    if not module.is_stateful():
        return module.forward_inference({Columns.OBS: rows})[Columns.ACTION_DIST_INPUTS][
            :, :5
        ].numpy()
    state = {
        name: torch.as_tensor(value)[None] for name, value in module.get_initial_state().items()
    }
    actions = []
    for piece in rows.split(cut):
        out = module.forward_exploration({Columns.OBS: piece[None], Columns.STATE_IN: state})
        actions.append(out[Columns.ACTION_DIST_INPUTS][0, :, :5].numpy())
        state = out[Columns.STATE_OUT]
    return np.concatenate(actions)


def in_sb3(ncap, seen):
    env = make_sb3_env(SWIM, 1, clock=True, joints=5)
    kwargs = {"controller": ncap, "std": 0.1, "learn_std": False}
    model = Model(
        ControllerPolicy, env, n_steps=8, batch_size=8, device="cpu", policy_kwargs=kwargs
    )
    return model.predict(seen, deterministic=True)[0]


def in_evotorch(ncap, seen):
    """As a candidate of a generation, between two others: weights of its own, mapped over with the rest."""
    genome = parameters_to_vector(ncap.parameters()).detach()
    population = controllers.Population(ncap, 3, torch.stack([genome + 1, genome, genome - 1]))
    state, actions = population.initial_state(), []
    for row in seen:
        action, state = population(np.repeat(row[None], 3, 0), state)
        actions.append(action[1])
    return np.stack(actions)


@pytest.mark.parametrize("clock", [False, True])
def test_the_same_weights_act_alike_in_every_library(clock):
    ncap, seen, acted = circuit_and_path(clock)
    found = {f"RLlib, pieces of {cut}": in_rllib(ncap, seen, cut) for cut in (1, 32, STEPS)}
    found["EvoTorch"] = in_evotorch(ncap, seen)
    if clock:  # stable-baselines3 keeps no state between steps
        found["stable-baselines3"] = in_sb3(ncap, seen)
    for who, actions in found.items():
        assert actions.shape == acted.shape
        assert np.abs(actions - acted).max() < 1e-6, who

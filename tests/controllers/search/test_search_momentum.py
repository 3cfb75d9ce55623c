"""Mountain car and pendulum are solved from birth, by the same search over (position, velocity)."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from lancelet import LanceletError, controllers
from lancelet.controllers.search.momentum import PENDULUM

CAR, SWING = "MountainCarContinuous-v0", "Pendulum-v1"


def life(id, episodes, limit, seed=0, state=None, **options):
    """Steps to the goal of each episode (limit where never), share of steps spent there, and the last state."""
    env = gym.make(id, max_episode_steps=limit)
    controller = controllers.make("search-momentum", env, seed=seed, **options)
    state = controller.initial_state(1) if state is None else state
    first, share = [], []
    for episode in range(episodes):
        seen, _ = env.reset(seed=100 * seed + episode)
        there, ended = [], False
        while not ended:
            action, state = controller(torch.as_tensor(seen)[None], state)
            seen, _, terminated, truncated, _ = env.step(action.numpy()[0])
            ended = terminated or truncated
            now = torch.as_tensor(seen)[None]
            there.append(state[0].there(controller.positions_and_velocities(now)[0]))
            state = controller.learn(
                None, action, torch.zeros(1), torch.tensor([ended]), now, state
            )
        first.append(there.index(True) + 1 if any(there) else limit)
        share.append(np.mean(there))
    return np.array(first), np.array(share), state


@pytest.mark.parametrize("seed", range(3))
def test_the_mountain_is_climbed_from_birth_and_faster_later(seed):
    steps, _, state = life(CAR, 5, 5_000, seed)
    assert steps[0] < 2_500 and (steps[1:] < 1_000).all()
    assert steps[2:].mean() < steps[0]
    assert state[0].successes == 5


@pytest.mark.slow
def test_what_was_learned_beats_held_random_actions_though_the_first_climb_does_not():
    chance = []
    for seed in range(6):
        env = gym.make(CAR, max_episode_steps=5_000)
        controller = controllers.make(
            "random-held", env, hold=16, seed=seed
        )  # 16: the best of 1, 5 and 16
        state, (seen, _), ended, steps = controller.initial_state(1), env.reset(seed=seed), False, 0
        while not ended:
            action, state = controller(torch.as_tensor(seen)[None], state)
            seen, _, terminated, truncated, _ = env.step(action.numpy()[0])
            ended, steps = terminated or truncated, steps + 1
        chance.append(steps)
    later = np.concatenate([life(CAR, 5, 5_000, seed)[0][2:] for seed in range(3)])
    assert np.median(later) < np.median(chance) and later.max() < max(chance)


@pytest.mark.slow
def test_the_pendulum_swings_up_within_a_life_of_20_episodes():
    for seed in range(2):
        steps, share, _ = life(SWING, 22, 200, seed, **PENDULUM)
        assert (steps[-6:] < 200).all() and np.median(steps[-6:]) < 100
        assert share[-6:].mean() > 0.1 > share[:6].mean()


@pytest.mark.slow
def test_a_life_written_down_as_arrays_goes_on_to_the_bit():
    _, _, state = life(CAR, 2, 300)
    controller = controllers.make("search-momentum", gym.make(CAR))
    again = controller.from_arrays(controller.to_arrays(state))
    one, _, left = life(CAR, 2, 1_000, seed=0, state=state)
    other, _, right = life(CAR, 2, 1_000, seed=0, state=again)
    np.testing.assert_array_equal(one, other)
    for name, values in controller.to_arrays(left)[0].items():
        np.testing.assert_array_equal(values, controller.to_arrays(right)[0][name], err_msg=name)


def test_an_agent_lives_the_same_life_whoever_stands_beside_it():
    controller = controllers.make("search-momentum", gym.make(CAR))
    rng = np.random.default_rng(0)
    walk = torch.tensor(rng.uniform([-1.2, -0.07], [0.4, 0.07], (200, 4, 2)))
    alone, among = controller.initial_state(1), controller.initial_state(4)
    for seen in walk:
        one, alone = controller(seen[:1], alone)
        many, among = controller(seen, among)
        assert (one[0] == many[0]).all()


def test_bad_input_is_refused():
    with pytest.raises(LanceletError, match="cannot read"):
        controllers.make("search-momentum", gym.make("CartPole-v1"))
    with pytest.raises(LanceletError, match="goal"):
        controllers.make("search-momentum", gym.make(CAR), goal=(1.0,))
    with pytest.raises(LanceletError, match="eta_m"):
        controllers.make("search-momentum", gym.make(CAR), eta_m=1.0)
    controller = controllers.make("search-momentum", gym.make(CAR))
    with pytest.raises(LanceletError, match="finite"):
        controller(torch.tensor([[np.nan, 0.0]]), controller.initial_state(1))

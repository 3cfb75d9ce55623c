"""What a rollout asks of a population: to act, to learn and to tell, every agent with its own weights."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

from lancelet import controllers, training
from lancelet.controllers import Controller, Population
from lancelet.training.rollout import make_env, rollout

SWIM = "lancelet/Swim-v0"


class Habit(Controller):
    """Its state grows by `rate` a step, in `learn` alone; the action is the state."""

    def __init__(self, observation_space, action_space, options):
        super().__init__(observation_space, action_space, options)
        self.rate = nn.Parameter(torch.tensor(0.1))

    def initial_state(self, batch):
        return torch.zeros(batch)

    def forward(self, observation, state):
        return state[:, None].expand(-1, self.action_space.shape[0]) + 0 * self.rate, state

    def learn(self, observation, action, reward, ended, next_observation, state):
        return torch.where(ended, state, state + self.rate)

    def signals(self, state):
        return {"scaled": state * self.rate}


def habit():
    env = gym.make(SWIM)
    return Habit(env.observation_space, env.action_space, controllers.Options())


def test_learn_and_signals_use_the_weights_of_each_genome():
    genomes = torch.tensor([[0.1], [0.2]])
    agents = Population(habit(), 2, genomes)
    env = make_env(SWIM, 2, max_episode_steps=4)
    score, state = rollout(env, agents, [0, 0], record=True)
    # The fourth step is the last: nothing is learned from it.
    np.testing.assert_allclose(state, [0.3, 0.6], rtol=1e-6)
    assert score.returns[0] != score.returns[1]
    np.testing.assert_allclose(agents.signals(state)["scaled"], [0.03, 0.12], rtol=1e-6)
    np.testing.assert_allclose(score.record["signal.scaled"], [0.01, 0.02, 0.03, 0.03], rtol=1e-6)


class Tied(Controller):
    """One weight in two modules, and one module under two names."""

    def __init__(self, observation_space, action_space, options):
        super().__init__(observation_space, action_space, options)
        size = observation_space.shape[0]
        self.first = nn.Linear(size, size)
        self.second = nn.Linear(size, size)
        self.second.weight = self.first.weight
        self.again = self.second
        self.head = nn.Linear(size, action_space.shape[0])

    def forward(self, observation, state):
        hidden = torch.tanh(
            self.again(torch.tanh(self.second(torch.tanh(self.first(observation)))))
        )
        return torch.tanh(self.head(hidden)), state


@pytest.fixture
def tied():
    if "tied" not in controllers.controllers:
        controllers.register("tied", Tied)
    return controllers.make("tied", gym.make(SWIM))


def test_evaluate_leaves_a_controller_with_tied_weights_as_it_was(tied):
    before = {name: value.clone() for name, value in tied.state_dict().items()}
    training.evaluate(tied, SWIM, episodes=3, max_episode_steps=5)
    for name, value in tied.state_dict().items():
        assert torch.equal(value, before[name])
    assert tied.second.weight is tied.first.weight and tied.again is tied.second
    assert isinstance(tied.first.weight, nn.Parameter)


def test_genomes_set_a_tied_weight_under_all_its_names(tied):
    genomes = torch.randn(3, tied.parameter_count, generator=torch.Generator().manual_seed(0)) * 0.3
    observation = (
        np.random.default_rng(0).normal(size=(3, *tied.observation_space.shape)).astype(np.float32)
    )
    actions, _ = Population(tied, 3, genomes)(observation, ())
    for row in range(3):
        nn.utils.vector_to_parameters(genomes[row], tied.parameters())
        want, _ = tied(torch.from_numpy(observation[row : row + 1]), ())
        np.testing.assert_allclose(actions[row], want[0].detach(), atol=1e-6)


def test_a_controller_with_tied_weights_is_saved_and_loaded(tied, tmp_path):
    with torch.no_grad():
        tied.first.weight.normal_()
    controllers.save(tied, tmp_path / "tied.safetensors")
    again = controllers.load(tmp_path / "tied.safetensors")
    assert again.second.weight is again.first.weight
    for name, value in tied.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_a_controller_of_another_float_type_is_evaluated(dtype):
    controller = controllers.make("mlp", gym.make(SWIM)).to(dtype)
    score = training.evaluate(controller, SWIM, episodes=2, max_episode_steps=5)
    usual = training.evaluate(
        controllers.make("mlp", gym.make(SWIM)), SWIM, episodes=2, max_episode_steps=5
    )
    np.testing.assert_allclose(score.returns, usual.returns, rtol=0.02)

"""A guard turns what breaks in a controller into rest, agent by agent, and says so."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import GESTURES

from lancelet import LanceletError, controllers
from lancelet.controllers import Controller, Population
from lancelet.controllers.guarded import EXCEPTION, NO_FAULT, NOT_FINITE, Guarded

ENV = gym.make(GESTURES["intent"][0])
REST = [1.0] + [0.0] * 9


class Breaks(Controller):
    """Its action is the intent; its state counts steps, and is spoilt by an intent that is no number."""

    raises = False

    def __init__(self, observation_space, action_space, options):
        super().__init__(observation_space, action_space, options)
        self.weight = torch.nn.Parameter(torch.ones(1))

    def initial_state(self, batch):
        return torch.zeros(batch)

    def forward(self, observation, state):
        if self.raises:
            raise ZeroDivisionError("a fault that nobody thought of")
        intent = observation["intent"] * self.weight
        return intent + 0 * state[:, None], state + 1 + 0 * intent.sum(-1)


@pytest.fixture
def guarded():
    return Guarded(Breaks(ENV.observation_space, ENV.action_space, controllers.Options()))


def intents(*numbers):
    return {"intent": torch.eye(10)[list(numbers)], "robot": torch.zeros(len(numbers), 24)}


def test_what_is_right_passes(guarded):
    action, state = guarded(intents(2, 5), guarded.initial_state(2))
    assert torch.equal(action, torch.eye(10)[[2, 5]])
    assert state.inner.tolist() == [1, 1] and state.fault.tolist() == [NO_FAULT] * 2


def test_a_nan_rests_its_agent_alone_and_does_not_stay(guarded):
    observation = intents(2, 5)
    observation["intent"][1, 3] = torch.nan
    action, state = guarded(observation, guarded.initial_state(2))
    assert action[0].tolist() == torch.eye(10)[2].tolist() and action[1].tolist() == REST
    assert guarded.signals(state)["fault"].tolist() == [NO_FAULT, NOT_FINITE]
    action, state = guarded(intents(2, 5), state)
    assert torch.equal(action, torch.eye(10)[[2, 5]]) and state.inner.tolist() == [2, 1]
    assert state.fault.tolist() == [NO_FAULT] * 2


def test_an_exception_rests_all_and_keeps_their_state(guarded):
    _, state = guarded(intents(2, 5), guarded.initial_state(2))
    guarded.inner.raises = True
    action, state = guarded(intents(2, 5), state)
    assert action.tolist() == [REST, REST] and state.inner.tolist() == [1, 1]
    assert guarded.signals(state)["fault"].tolist() == [EXCEPTION] * 2
    guarded.inner.raises = False
    action, state = guarded(intents(2, 5), state)
    assert torch.equal(action, torch.eye(10)[[2, 5]]) and state.inner.tolist() == [2, 2]


@pytest.mark.parametrize("raises", [False, True])
def test_it_guards_a_population(guarded, raises):
    guarded.inner.raises = raises
    agents = Population(guarded, 3)
    observation = {name: values.numpy() for name, values in intents(1, 2, 3).items()}
    observation["intent"][2] = np.inf
    action, state = agents(observation, agents.initial_state())
    assert action[2].tolist() == REST
    assert (action[0].tolist() == REST) == raises
    faults = agents.signals(state)["fault"].tolist()
    assert faults == ([EXCEPTION] * 3 if raises else [NO_FAULT, NO_FAULT, NOT_FINITE])


def test_a_decoder_keeps_its_signals_and_its_reset():
    env = gym.make(GESTURES["features"][0])
    guarded = Guarded(controllers.make("emg-lda", env))
    observation = {"features": torch.zeros(2, 65), "robot": torch.zeros(2, 24)}
    _, state = guarded(observation, guarded.initial_state(2))
    assert set(guarded.signals(state)) == {"posterior", "resting", "repaired", "fault"}
    again = guarded.reset(state, torch.tensor([True, False]))
    assert again.inner.window.weight[0].sum() == 0 and again.inner.window.weight[1].sum() > 0


def test_other_actions_rest_at_zero():
    pilot = controllers.make("pid", gym.make("lancelet/BlimpAltitude-v0"))
    guarded = Guarded(pilot)
    observation = torch.full((2, *pilot.observation_space.shape), torch.nan)
    action, _ = guarded(observation, guarded.initial_state(2))
    assert torch.equal(action, torch.zeros_like(action))
    assert guarded.counted_interval() == pilot.counted_interval()


def test_a_guard_is_not_guarded_again(guarded):
    with pytest.raises(LanceletError, match="guarded already"):
        Guarded(guarded)

import gymnasium as gym
import pytest
import torch

from lancelet import LanceletError, controllers

TASK = "lancelet/Phototaxis-v0"


def test_synapses_cross():
    circuit = controllers.make("braitenberg", gym.make(TASK), left=0.25, right=-1.0)
    action, state = circuit(torch.tensor([[0.1, 2.0]]), ())
    torch.testing.assert_close(action, torch.tanh(torch.tensor([[0.25 * 2.0, -0.1]])))
    assert state == () and circuit.parameter_count == 2


def test_gain_stretches_the_box_and_a_lesion_stops_a_wheel():
    circuit = controllers.make("braitenberg", gym.make(TASK), gain=3.0)
    seen = torch.tensor([[0.1, 0.2]])
    torch.testing.assert_close(circuit(seen, ())[0], torch.tanh(torch.tensor([[0.3, 0.15]])))
    assert controllers.lesion(circuit, "left")(seen, ())[0][0, 0] == 0


@pytest.mark.parametrize("bad", [{"left": 1.5}, {"right": float("nan")}, {"gain": -1.0}])
def test_bad_weights_are_one_line(bad):
    with pytest.raises(LanceletError, match="must be from"):
        controllers.make("braitenberg", gym.make(TASK), **bad)


def test_other_tasks_are_refused():
    with pytest.raises(LanceletError, match="2 sensors and drives 2 wheels"):
        controllers.make("braitenberg", gym.make("lancelet/Swim-v0"))

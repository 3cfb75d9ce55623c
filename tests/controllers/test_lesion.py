"""Every named part of every controller can be silenced; in NCAP the behaviour changes as the circuit says."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import HOMES, NAVIGATE, NEEDS, SWIM
from conftest import observations as observe
from torch.utils._pytree import tree_leaves

from lancelet import LanceletError, controllers, training

JOINTS = 4


def make(name, id=SWIM, **options):
    return controllers.make(name, gym.make(id, joints=JOINTS), **options)


def complete(name):
    """The controller with every part it can have."""
    if name in HOMES:
        options = {"hidden": "r-iwta-lif"} if name == "snn" else NEEDS.get(name, {})
        return controllers.make(name, gym.make(HOMES[name]), **options)
    return make(name, NAVIGATE, turn=True, speed=True) if name == "ncap" else make(name)


def observations(controller, batch=32):
    return observe(controller.observation_space, batch, 0.5)


def act(controller, seen=None, step=0):
    seen = observations(controller) if seen is None else seen
    state = controller.initial_state(len(tree_leaves(seen)[0]))
    with torch.no_grad():
        return controller(seen, state + step if isinstance(state, torch.Tensor) else state)[0]


@pytest.mark.parametrize("name", list(controllers.controllers))
def test_every_part_of_every_controller_can_be_silenced(name):
    whole = complete(name)
    weights = {key: value.clone() for key, value in whole.state_dict().items()}
    before = act(whole)
    assert len(set(whole.parts())) == len(whole.parts())
    for part in whole.parts():
        cut = controllers.lesion(whole, part)
        assert cut.options.lesions == (part,)
        assert cut.parameter_count == whole.parameter_count
        assert torch.isfinite(act(cut)).all()
    assert whole.options.lesions == () and torch.equal(act(whole), before), (
        "the original is left alone"
    )
    assert all(torch.equal(value, weights[key]) for key, value in whole.state_dict().items())


@pytest.mark.parametrize("name", list(controllers.controllers))
def test_an_unknown_part_is_refused_in_one_line(name):
    with pytest.raises(LanceletError, match="unknown part") as error:
        controllers.lesion(complete(name), "hippocampus")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("part", "near"),
    [("propriception", "proprioception"), ("sensor:9", "sensor:"), ("turn", "unknown part")],
)
def test_near_names_are_given(part, near):
    with pytest.raises(LanceletError, match=near):
        controllers.lesion(make("ncap"), part)


@pytest.mark.parametrize("sharing", [True, False])
def test_a_silenced_class_acts_as_weights_of_zero(sharing):
    for name in ("proprioception", "oscillator", "ipsilateral", "contralateral", "speed", "turn"):
        options = {
            "speed": True,
            "turn": True,
            "sharing": sharing,
            "command": (0.7, 0.2, 0.4),
            "init": "uniform",
        }
        whole = make("ncap", **options)
        cut = controllers.lesion(whole, name)
        zero = make("ncap", **options)
        with torch.no_grad():
            getattr(zero, name).zero_()
        assert torch.equal(act(cut), act(zero))
        if name != "contralateral":
            assert not torch.equal(act(cut), act(whole)), name


@pytest.mark.parametrize("i", range(1, JOINTS + 1))
def test_a_silent_sensor_stills_the_joint_behind_it_alone(i):
    change = act(controllers.lesion(make("ncap"), f"sensor:{i}")) - act(make("ncap"))
    touched = change.abs().sum(0) > 0
    assert touched.tolist() == [k == i for k in range(JOINTS)]
    if i < JOINTS:
        assert not act(controllers.lesion(make("ncap"), f"sensor:{i}"))[:, i].any()


@pytest.mark.parametrize("i", range(1, JOINTS + 1))
def test_silent_neurons_still_their_own_joint_alone(i):
    cut, whole = act(controllers.lesion(make("ncap"), f"neurons:{i}")), act(make("ncap"))
    assert not cut[:, i - 1].any()
    others = [k for k in range(JOINTS) if k != i - 1]
    assert torch.equal(cut[:, others], whole[:, others])


def test_lesions_add_up():
    one = controllers.lesion(make("ncap"), "neurons:1")
    two = controllers.lesion(one, "neurons:3", "sensor:1")
    assert two.options.lesions == ("neurons:1", "neurons:3", "sensor:1")
    assert torch.equal(
        act(two), act(controllers.lesion(make("ncap"), "sensor:1", "neurons:3", "neurons:1"))
    )
    assert torch.equal(act(two), act(make("ncap", lesions=("neurons:1", "neurons:3", "sensor:1"))))


def test_the_trained_weights_are_kept():
    ncap = make("ncap")
    with torch.no_grad():
        ncap.ipsilateral.fill_(0.37)
    assert controllers.lesion(ncap, "sensor:1").ipsilateral == np.float32(0.37)


def test_a_perceptrons_silent_input_is_an_input_of_its_mean():
    mlp = make("mlp", hidden=(8,), seed=1)
    mlp.mean += 0.3
    seen = observations(mlp)
    other = seen.clone()
    other[:, 4] = mlp.mean[4]
    assert torch.equal(act(controllers.lesion(mlp, "input:5"), seen), act(mlp, other))


def test_a_perceptrons_silent_unit_sends_nothing():
    mlp = make("mlp", hidden=(8, 6), seed=1)
    for layer, unit in ((1, 3), (2, 6)):
        zero = make("mlp", hidden=(8, 6), seed=1)
        with torch.no_grad():
            zero.layers[layer].weight[:, unit - 1] = 0
        torch.testing.assert_close(act(controllers.lesion(mlp, f"layer{layer}:{unit}")), act(zero))
    assert make("mlp", hidden=(8, 6)).parts()[-1] == "layer2:6"


@pytest.mark.slow
def test_silencing_changes_how_it_swims():
    def score(*parts):
        ncap = controllers.lesion(make("ncap"), *parts) if parts else make("ncap")
        return training.evaluate(ncap, SWIM, episodes=2, joints=JOINTS).returns.mean()

    whole = score()
    assert score("ipsilateral") == 0.0
    assert score("contralateral") == whole
    assert score("proprioception") < 0.5 * whole
    assert score("oscillator") < 0.5 * whole
    assert score("sensor:1") < 0.9 * whole

"""The reflex chain against its equations; its symmetry, sharing, options and lesions."""

import math

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import SWIM

from lancelet import LanceletError, controllers, training
from lancelet.controllers import Population, lesion

SIZES = (3, 5, 7, 9, 11, 13)
SWITCHES = ("rate", "head", "membrane", "flow", "oscillator", "speed")
EVERYTHING = {**dict.fromkeys(SWITCHES, True), "hears": "behind"}
NOTHING = {**dict.fromkeys(SWITCHES, False), "hears": "front"}


def make(joints=5, seed=None, **options):
    reflex = controllers.make("reflex", gym.make(SWIM, joints=joints), **options)
    if seed is not None:
        random = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weights in reflex.parameters():
                weights += torch.randn(weights.shape, generator=random) * 0.5
    return reflex


def seen(joints=5, batch=12, seed=0):
    return torch.randn(batch, 4 * joints + 3, generator=torch.Generator().manual_seed(seed)) * 0.5


def live(reflex, steps=6, batch=12, sign=1):
    """Actions of some steps, (steps, batch, N), and the last state."""
    state, actions = reflex.initial_state(batch), []
    with torch.no_grad():
        for step in range(steps):
            action, state = reflex(seen(reflex.joints, batch, step) * sign, state)
            actions.append(action)
    return torch.stack(actions), state


def mirrored(observation, joints):
    """The observation of the mirrored body: angles, sideways and turning velocities change sign."""
    sign = -torch.ones(4 * joints + 3)
    sign[joints + 1 :: 3] = 1
    return observation * sign


@pytest.mark.parametrize("options", [{}, EVERYTHING])
def test_few_weights_the_same_number_and_shapes_in_every_body(options):
    circuits = [make(joints, **options) for joints in SIZES]
    assert (
        len({reflex.parameter_count for reflex in circuits}) == 1
        and circuits[0].parameter_count <= 40
    )
    for reflex in circuits:
        reflex.load_state_dict(make(5, 1, **options).state_dict())
        assert torch.isfinite(live(reflex)[0]).all()


def test_at_birth_it_is_the_chain_of_ncap():
    reflex = make()
    x = seen()[:, :5] / (2 * math.pi / 6)
    membrane = torch.sigmoid(torch.tensor(1.5))
    action = live(reflex, 1)[0][0]
    expected = torch.cat([torch.zeros(12, 1), 1.5 * x[:, :-1]], 1)
    torch.testing.assert_close(action, expected.clamp(-1, 1))
    torch.testing.assert_close(
        live(make(membrane=True), 1)[0][0], (membrane * expected).clamp(-1, 1)
    )


@pytest.mark.parametrize(("hears", "heard"), [("front", 1), ("own", 2), ("behind", 3)])
def test_any_weights_follow_the_equations(hears, heard):
    """The equations of the docstring, spelt out neuron by neuron for one animal."""
    reflex = make(4, 3, hears=hears, rate=True, membrane=True)
    weights = {name: values.tolist() for name, values in reflex.named_parameters()}
    limit, y = 2 * math.pi / 5, [0.0] * 4
    state = reflex.initial_state(1)
    for step in range(5):
        observation = seen(4, 1, step)
        numbers = observation[0].tolist()
        side, turn = numbers[4::3], numbers[6::3]
        x = [0.0, *(q / limit for q in numbers[:4]), 0.0]
        r = [0.0, *((turn[i + 1] - turn[i]) * 0.3 / limit for i in range(4)), 0.0]
        action = []
        for i in range(1, 5):
            drive = sum(
                weights["stretch"][k] * x[i + k - 1] + weights["rate"][k] * r[i + k - 1]
                for k in range(heard)
            )
            drive += weights["flow"][0] * side[i - 1] / 0.2
            if i == 1:
                drive += sum(
                    w * h for w, h in zip(weights["head"], (x[1], x[2], r[1], r[2]), strict=True)
                )
                drive += weights["flow"][1] * side[0] / 0.2 + weights["flow"][2] * turn[0] * 0.3
            k = 1 / (1 + math.exp(weights["membrane"][0] - 1.5))
            new = y[i - 1] + k * (drive + weights["membrane"][1] * y[i - 1] - y[i - 1])
            action.append(min(max(new, -1.0), 1.0))
        y = action
        with torch.no_grad():
            found, state = reflex(observation, state)
        np.testing.assert_allclose(found[0].numpy(), action, atol=1e-5)


def test_the_mirrored_body_moves_mirrored():
    reflex = make(seed=1, **EVERYTHING)
    states = [reflex.initial_state(12), reflex.initial_state(12)]
    with torch.no_grad():
        for step in range(20):
            observation = seen(seed=step)
            action, states[0] = reflex(observation, states[0])
            other, states[1] = reflex(mirrored(observation, 5), states[1])
            assert torch.equal(action, -other)


@pytest.mark.parametrize("options", [{}, EVERYTHING, NOTHING])
def test_a_population_acts_as_each_alone_in_float32(options):
    reflex = make(seed=2, **options)
    genomes = torch.stack(
        [
            torch.nn.utils.parameters_to_vector(make(seed=i, **options).parameters())
            for i in range(3)
        ]
    )
    together = Population(reflex, 3, genomes.detach())
    state, alone = together.initial_state(), [make(seed=i, **options) for i in range(3)]
    states = [one.initial_state(1) for one in alone]
    for step in range(10):
        observation = seen(batch=3, seed=step)
        action, state = together(observation.numpy(), state)
        assert action.dtype == np.float32 and np.abs(action).max() <= 1
        for i, one in enumerate(alone):
            with torch.no_grad():
                own, states[i] = one(observation[i : i + 1], states[i])
            np.testing.assert_allclose(action[i], own[0].numpy(), atol=1e-5)


def test_state_is_the_callers_and_resets_by_mask():
    reflex = make(seed=1, **EVERYTHING)
    _, state = live(reflex)
    kept = {name: values.clone() for name, values in state.items()}
    with torch.no_grad():
        reflex(seen(), state)
    assert all(torch.equal(state[name], kept[name]) for name in kept)
    mask = torch.arange(12) < 4
    fresh = reflex.reset(state, mask)
    assert all(
        not fresh[name][:4].any() and torch.equal(fresh[name][4:], kept[name][4:]) for name in kept
    )


@pytest.mark.parametrize("switch", SWITCHES)
def test_every_option_and_every_lesion_changes_what_it_does(switch):
    whole = make(seed=1, **EVERYTHING)
    less = make(**(EVERYTHING | {switch: False}))
    shared = {
        name: values for name, values in whole.state_dict().items() if name in less.state_dict()
    }
    for name, values in less.state_dict().items():
        values.copy_(shared[name][: values.numel()])
    assert less.parameter_count < whole.parameter_count
    assert not torch.equal(live(less)[0], live(whole)[0])
    if switch in whole.parts():
        torch.testing.assert_close(live(lesion(whole, switch))[0], live(less)[0])


def test_silent_sensors_and_neurons():
    whole = make(seed=1)
    assert not live(lesion(whole, "neurons:2"))[0][..., 1].any()
    changed = (live(lesion(whole, "sensor:4"), 1)[0] - live(whole, 1)[0]).abs().amax((0, 1)) > 0
    assert changed.tolist() == [False, False, False, True, True]
    first = (live(lesion(whole, "sensor:2"), 1)[0] - live(whole, 1)[0]).abs().amax((0, 1)) > 0
    assert first.tolist() == [True, True, True, False, False], "the head hears the second joint too"


def test_the_oscillator_rests_until_stretch_kicks_it_and_keeps_its_period():
    reflex = make(**NOTHING | {"oscillator": True})
    still, state = torch.zeros(1, 23), reflex.initial_state(1)
    with torch.no_grad():
        for _ in range(5):
            action, state = reflex(still, state)
        assert not action.any() and not state["oscillator"].any()
        bent = still.clone()
        bent[0, 0] = 0.5
        _, state = reflex(bent, state)
        phases = []
        for _ in range(300):
            _, state = reflex(still, state)
            phases.append(reflex.signals(state)["phase"].item())
    assert state["oscillator"].norm().item() == pytest.approx(1, abs=1e-3)
    turns = np.unwrap(phases)[-121:]
    assert (turns[-1] - turns[0]) / (2 * math.pi) == pytest.approx(2, abs=1e-3)


def test_signals_have_names_and_a_row_an_agent():
    _, state = live(make(**EVERYTHING))
    found = make(**EVERYTHING).signals(state)
    assert found["neurons"].shape == (12, 5) and found["phase"].shape == (12,)
    assert set(make().signals(make().initial_state(2))) == {"neurons"}


def test_saved_weights_load_in_another_body(tmp_path):
    controllers.save(make(seed=1), tmp_path / "best.safetensors")
    there = controllers.load(tmp_path / "best.safetensors", env=gym.make(SWIM, joints=9))
    assert there.joints == 9 and torch.equal(there.stretch, make(seed=1).stretch)


def test_what_it_cannot_read_is_refused_in_one_line():
    box, small = gym.spaces.Box(-1, 1, (5,)), gym.spaces.Box(-1, 1, (22,))
    options = controllers.controllers.get("reflex").Options
    with pytest.raises(LanceletError, match="4N\\+3 = 23"):
        controllers.controllers.get("reflex")(small, box, options())
    with pytest.raises(LanceletError, match="joint_limit = -1"):
        make(joint_limit=-1)


def test_an_episode_runs_whole_and_does_not_depend_on_its_neighbours():
    reflex = make(seed=4)
    many = training.evaluate(reflex, SWIM, episodes=3, max_episode_steps=40)
    one = training.evaluate(reflex, SWIM, episodes=1, seed=1, max_episode_steps=40)
    assert many.returns[1] == one.returns[0] and many.lengths.tolist() == [40, 40, 40]

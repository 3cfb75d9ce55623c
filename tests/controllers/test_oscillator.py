"""The oscillators against their equations; who follows whom, mirrored copies, feedback, and what is refused."""

import itertools
import math

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import SWIM
from gymnasium import spaces

from lancelet import LanceletError, controllers, training
from lancelet.controllers import lesion
from lancelet.controllers.oscillator import Oscillator, OscillatorOptions

TREE = {
    "upstream": (-1, 0, -1, 2), "joint_rows": (0, 1, 0, 1), "mirrored": (False, False, True, True),
    "sensor_rows": (0, 0, 1), "heard_by": ((0, 1), (2, 3), (0, 1, 2, 3)), "period": 20.0,
}  # fmt: skip


def make(seed=None, joints=4, sensors=3, **options):
    box = spaces.Box(-1, 1, (sensors,), np.float32), spaces.Box(-1, 1, (joints,), np.float32)
    circuit = Oscillator(*box, OscillatorOptions(**{**TREE, **options}))
    if seed is not None:
        random = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weights in circuit.parameters():
                weights += 0.3 * torch.randn(weights.shape, generator=random)
    return circuit


def live(circuit, steps, batch=1, still=False):
    state, actions = circuit.initial_state(batch), []
    for step in range(steps):
        random = torch.Generator().manual_seed(step)
        seen = torch.zeros(batch, 3) if still else torch.randn(batch, 3, generator=random)
        with torch.no_grad():
            action, state = circuit(seen, state)
        actions.append(action)
    return torch.stack(actions), state


def test_any_weights_follow_the_equations():
    """The equations of the docstring, spelt out joint by joint."""
    circuit = make(seed=1)
    rhythm, joints, sensors = (value.tolist() for value in circuit.parameters())
    clock, shift = 0.0, [0.0] * 4
    found = live(circuit, 12)[0][:, 0].tolist()
    for step in range(12):
        seen = torch.randn(1, 3, generator=torch.Generator().manual_seed(step))[0].tolist()
        phases, before, commands = [], list(shift), []
        for i, above in enumerate(TREE["upstream"]):
            offset, size, lag, twin_lag, hearing, twin_hearing = joints[TREE["joint_rows"][i]]
            mirrored = TREE["mirrored"][i]
            phase = clock if above < 0 else phases[above] - before[above]
            phases.append(phase - lag - mirrored * twin_lag + before[i])
            ears, motor, push = twin_hearing if mirrored else hearing, 0.0, 0.0
            for c, x in enumerate(seen):
                if i in TREE["heard_by"][c]:
                    row, share = sensors[TREE["sensor_rows"][c]], len(TREE["heard_by"][c]) ** -0.5
                    motor, push = motor + share * row[0] * x, push + share * row[1] * x
            commands.append(min(max(offset + size * math.sin(phases[i]) + ears * motor, -1.0), 1.0))
            ahead = before[above] if above >= 0 else 0.0
            pull = 0.5 / (1 + math.exp(-rhythm[1])) * math.sin(ahead - before[i])
            shift[i] = before[i] + pull - min(max(ears * push * math.cos(phases[i]), -0.5), 0.5)
        clock += 2 * math.pi / 20 * math.exp(rhythm[0])
        np.testing.assert_allclose(found[step], commands, atol=1e-4)


def test_at_birth_every_joint_swings_and_mirror_images_are_half_a_cycle_apart():
    action = live(make(), 40, still=True)[0][:, 0]
    np.testing.assert_allclose(action[20:], action[:20], atol=1e-4)  # the period
    np.testing.assert_allclose(action[:, :2].abs().max(0).values, [0.5, 0.5], atol=0.01)
    np.testing.assert_allclose(action[:10, 2], action[10:20, 0], atol=1e-4)
    np.testing.assert_allclose(
        action[:, 3], action[:, 1], atol=1e-4
    )  # half a cycle of its own, and its parent's


def test_a_joint_that_was_pushed_falls_back_to_the_one_upstream():
    circuit = make()
    state = circuit.initial_state(1)
    state["shift"] = torch.tensor([[0.0, 1.5, 0.0, 0.0]])
    shifts = []
    for _ in range(40):
        with torch.no_grad():
            _, state = circuit(torch.zeros(1, 3), state)
        shifts.append(state["shift"][0, 1].item())
    assert all(b < a for a, b in itertools.pairwise(shifts)) and shifts[-1] < 0.01
    cut = lesion(circuit, "coupling")
    with torch.no_grad():
        _, state = cut(
            torch.zeros(1, 3),
            {**cut.initial_state(1), "shift": torch.tensor([[0.0, 1.5, 0.0, 0.0]])},
        )
    assert state["shift"][0, 1] == 1.5


def test_sensors_reach_only_the_joints_that_hear_them():
    circuit = make(seed=2)
    for sensor, joints in enumerate(TREE["heard_by"]):
        seen = torch.zeros(1, 3)
        seen[0, sensor] = 0.3
        with torch.no_grad():
            still, _ = circuit(torch.zeros(1, 3), circuit.initial_state(1))
            moved, _ = circuit(seen, circuit.initial_state(1))
        assert set(torch.nonzero((moved - still)[0]).flatten().tolist()) == set(joints)
    deaf, seen = lesion(circuit, "feedback"), live(circuit, 10)[0]
    np.testing.assert_array_equal(live(deaf, 10)[0], live(deaf, 10, still=True)[0])
    assert not torch.equal(seen, live(deaf, 10)[0])


def test_lesions_silence_what_they_name():
    circuit = make(seed=3)
    assert live(lesion(circuit, "joint:2"), 20)[0][:, 0, 1].abs().max() == 0
    rest = live(lesion(circuit, "rhythm", "feedback"), 20)[0]
    assert (rest == rest[0]).all()
    one = lesion(circuit, "sensor:1", "sensor:2", "sensor:3")
    np.testing.assert_array_equal(live(one, 10)[0], live(lesion(circuit, "feedback"), 10)[0])


def test_its_phases_are_its_signal():
    circuit = make(seed=4)
    _, state = live(circuit, 5, batch=6)
    phase = circuit.signals(state)["phase"]
    assert phase.shape == (6, 4) and (phase >= 0).all() and (phase < 2 * math.pi).all()


def test_without_options_it_is_a_chain_for_any_body_and_its_wave_swims():
    env = gym.make(SWIM, joints=5)
    circuit = controllers.make("oscillator", env, period=60.0)
    assert circuit.joints.shape == (5, 6) and circuit.sensors.shape == (23, 2)
    speed = training.evaluate(circuit, SWIM, episodes=1, nthread=1, max_episode_steps=200).metrics[
        "speed"
    ]
    still = training.evaluate(
        lesion(circuit, "rhythm"), SWIM, episodes=1, nthread=1, max_episode_steps=200
    ).metrics["speed"]
    assert (speed > 0.01).all() and (still < 0.5 * speed).all()


def test_it_goes_through_a_file(tmp_path):
    circuit = make(seed=5)
    controllers.save(circuit, tmp_path / "one.safetensors")
    again = controllers.load(tmp_path / "one.safetensors")
    assert again.options == circuit.options
    np.testing.assert_array_equal(live(again, 5)[0], live(circuit, 5)[0])


@pytest.mark.parametrize(
    "bad",
    [
        {"upstream": (0, 0, -1, 2)}, {"upstream": (1, -1, -1, 2)}, {"upstream": (-1, 0)}, {"joint_rows": (0, 2, 0, 2)},
        {"sensor_rows": (0, 1)}, {"mirrored": (True,)}, {"heard_by": ((0,), (1,), (9,))}, {"period": 1.0},
        {"period": math.nan}, {"joint_rows": (0, -1, 0, 0)}, {"upstream": (-1, 0, -1, 2.0)},
    ],
)  # fmt: skip
def test_a_bad_structure_is_refused_in_one_line(bad):
    with pytest.raises(LanceletError, match="Oscillator") as error:
        make(**bad)
    assert "\n" not in str(error.value)

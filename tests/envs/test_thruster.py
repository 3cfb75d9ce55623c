"""The closed form of firmware, latency, servo and lag against a plain loop over substeps."""

import math

import numpy as np
import pytest

from lancelet import morphology
from lancelet.envs.blimp import PLANT
from lancelet.envs.thruster import firmware, forces


def plant(n=1, **changes):
    body = morphology.make("blimp", **changes)
    return {name: np.full(n, getattr(body, name)) for name in PLANT}


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        (0.29, 0.0),
        (0.3, 0.0),
        (1 / 3, 1 / 3),
        (1.0, 1.0),
        (1.2, 1.0),
        (-2.9, 8 / 3),
        (9.99, 29 / 3),
        (25.0, 10.0),
    ],
)
def test_the_firmware_clips_has_a_dead_zone_and_cuts_duty_to_whole_counts(command, kept):
    assert firmware(np.float32([command]).astype(float), plant())[0] == pytest.approx(kept)


def test_without_counts_and_dead_zone_the_command_passes():
    free = plant(pwm=0.0, dead_zone=0.0)
    np.testing.assert_allclose(firmware(np.array([0.01]), free), [0.01])


def loop(commands, changes, substeps=20, timestep=0.005):
    """The vertical force, substep by substep, of commands given every control step; servo up, motors still."""
    body = morphology.make("blimp", **changes)
    angle, push, out = 0.0, 0.0, []
    delay = round(body.latency / timestep)
    for k in range(len(commands) * substeps):
        heard = commands[(k - delay) // substeps] if k >= delay else 0.0
        goal = 0.0 if heard >= 0 else math.pi
        turn = math.pi * timestep / body.sweep
        angle += min(max(goal - angle, -turn), turn)
        size = firmware(np.array([heard]), plant(**changes))[0]
        target = 10 * body.thrust * (size / 10) ** body.exponent
        push += (target - push) * (1 - math.exp(-timestep / body.lag))
        vertical = math.cos(angle)
        out.append(push * (vertical * body.down_efficiency if vertical < 0 else vertical))
    return np.array(out)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"latency": 0.0},
        {"latency": 0.1},
        {"latency": 0.33, "sweep": 0.8, "down_efficiency": 0.6},
        {"exponent": 1.4, "lag": 0.5, "dead_zone": 0.9},
    ],
)
def test_the_closed_form_is_the_loop(changes):
    commands = np.random.default_rng(0).uniform(-6, 6, 30)
    history, servo, thrust, out = np.zeros((1, 12)), np.zeros(1), np.zeros(1), []
    for command in commands:
        history[:, 1:] = history[:, :-1].copy()
        history[:, 0] = command
        force, servo, thrust = forces(history, servo, thrust, plant(**changes), 20, 0.005)
        out.append(force[0])
    np.testing.assert_allclose(np.concatenate(out), loop(commands, changes), atol=1e-12)

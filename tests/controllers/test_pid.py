"""The PID against its law, sample by sample (docs/systems/blimp.md, "The controllers")."""

import math

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from lancelet import LanceletError, controllers, training
from lancelet.controllers import Population
from lancelet.controllers.pid import PID, PIDOptions


def make(size=1, **options):
    space = spaces.Box(-12, 12, (size,), np.float32)
    return PID(space, space, PIDOptions(**options))


def commands(pid, errors):
    """Commands (steps,) for errors (steps,) of one agent."""
    with torch.no_grad():
        seen = torch.as_tensor(errors, dtype=torch.float32)[:, None, None]
        return pid.unroll(seen, pid.initial_state(1))[0][:, 0, 0].numpy()


def spoken(errors, kp=9.0, ki=0.75, kd=14.0, dt=0.1, mean=False, limit=10.0):
    total = last = slope = 0.0
    out = []
    for e in errors:
        total = total + dt * e
        if limit is not None:
            total = min(max(total, -limit), limit)
        new = (e - last) / dt
        out.append(kp * e + ki * total + kd * ((new + slope) / 2 if mean else new))
        last, slope = e, new
    return out


@pytest.mark.parametrize("derivative", ["difference", "mean"])
def test_it_follows_the_law(derivative):
    errors = np.random.default_rng(0).normal(size=300)
    found = commands(make(derivative=derivative), errors)
    np.testing.assert_allclose(
        found, spoken(errors, mean=derivative == "mean"), atol=2e-3, rtol=1e-5
    )


def test_a_step_of_1_m_kicks_the_derivative_by_140():
    out = commands(make(), [1.0] * 3)
    np.testing.assert_allclose(out, [149.075, 9.15, 9.225], rtol=1e-6)
    np.testing.assert_allclose(
        commands(make(derivative="mean"), [1.0] * 3), [79.075, 79.15, 9.225], rtol=1e-6
    )


def test_the_integral_is_clamped_and_comes_back_at_once():
    errors = [2.0] * 100 + [-2.0] * 20
    held, free = (
        commands(make(kp=0, kd=0, ki=1, integral_limit=limit), errors) for limit in (10.0, None)
    )
    assert held[99] == pytest.approx(10, abs=1e-4) and free[99] == pytest.approx(20, abs=1e-4)
    assert held[100] == pytest.approx(9.8, abs=1e-4) and free[100] == pytest.approx(19.8, abs=1e-4)


def test_every_dimension_has_its_own_loop():
    seen = torch.randn(40, 5, 3)
    pid, one = make(3), make()
    out = pid.unroll(seen, pid.initial_state(5))[0]
    for k in range(3):
        alone = one.unroll(seen[..., k : k + 1], one.initial_state(5))[0]
        torch.testing.assert_close(out[..., k : k + 1], alone)


def test_agents_of_a_population_have_gains_of_their_own():
    pid = make()
    genomes = torch.tensor([[9.0, 0.75, 14.0], [1.0, 0.0, 0.0]])
    population = Population(pid, 2, genomes)
    state = population.initial_state()
    for e in (1.0, 0.5, -0.25):
        action, state = population(torch.full((2, 1), e), state)
    assert action[1, 0] == pytest.approx(-0.25)
    assert action[0, 0] == pytest.approx(spoken([1.0, 0.5, -0.25])[-1], rel=1e-5)


@pytest.mark.parametrize(("part", "gain"), [("p", "kp"), ("i", "ki"), ("d", "kd")])
def test_a_lesioned_term_is_as_good_as_a_gain_of_0(part, gain):
    errors = np.random.default_rng(1).normal(size=50)
    hurt = commands(controllers.lesion(make(), part), errors)
    np.testing.assert_allclose(hurt, commands(make(**{gain: 0}), errors), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("options", "match"), [
    ({"kp": math.nan}, "PID kp = nan"), ({"ki": math.inf}, "PID ki = inf"), ({"kd": "9"}, "PID kd = '9'"),
    ({"dt": 0.0}, "PID dt = 0.0: must be > 0"), ({"integral_limit": -1.0}, "PID integral_limit"),
    ({"derivative": "central"}, "unknown derivative"),
])  # fmt: skip
def test_bad_options_are_refused_in_one_line(options, match):
    with pytest.raises(LanceletError, match=match) as caught:
        make(**options)
    assert "\n" not in str(caught.value)


def test_more_errors_than_actions_are_refused():
    with pytest.raises(LanceletError, match="4 observations, 1 actions"):
        PID(spaces.Box(-1, 1, (4,)), spaces.Box(-1, 1, (1,)), PIDOptions())


def test_on_the_blimp_the_integral_lifts_the_ballast():
    def drop(**gains):
        pid = controllers.make("pid", gym.make("lancelet/BlimpAltitude-v0"), **gains)
        score = training.evaluate(
            pid, "lancelet/BlimpAltitude-v0", episodes=1, reference=1.0, ballast=3.0
        )
        return score.metrics["steady_state_error"][0]

    assert drop() < 0.02 and drop(ki=0.0) > 0.25
